"""A model's meta.json says what it was trained on, so that its scores can be told from those of another."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy
import spacy
import thinc
from confection import ConfigValidationError
from spacy.language import Language

from scripts.building.splits import read_split
from scripts.core.errors import UserError
from scripts.core.files import code_digest

KEY = "labelwise"  # in the meta
BEST = "model-best"  # as spaCy calls the folder of the model that did best on the dev texts
_ROOMS = ("scripts.building.", "scripts.model.")
_FUNCTIONS = Path(__file__).parent.parent / "functions.py"


class Provenance(msgspec.Struct, kw_only=True):
    """What is known of a model's training; `nlp.meta["labelwise"]`.

    corpus (str), texts (dict[str, int]): See `Split`.
    covered (dict[str, int]): By label: texts to train on in which the label is known everywhere.
    code (str): Digest of the project's modules that took part in training.
    versions (dict[str, str]): Of Python, spaCy, thinc and numpy.
    relearned (dict[str, str]): By label that was learned again, alone, afterwards: the corpus it was learned from,
        which is then part of `corpus` too.
    """

    corpus: str
    texts: dict[str, int]
    code: str
    versions: dict[str, str]
    covered: dict[str, int] = {}
    relearned: dict[str, str] = {}


@spacy.registry.callbacks("labelwise.RecordData.v1")
def record_data(split: str) -> Callable[[Language], Language]:
    """For [training.before_to_disk]: writes into each saved model's meta what it is trained on.

    split (str): Path to corpus/split.json. It is read when training starts: when it ends, there may be another.
    RETURNS (Callable[[Language], Language]): Adds the record and gives the pipeline back.
    RAISES (ConfigValidationError): If there is no corpus; `spacy train` shows it without a traceback.
    """
    try:
        found = read_split(Path(split))
    except UserError as err:
        raise ConfigValidationError(title="No corpus", desc=str(err), show_config=False) from err
    covered = {label: sides.get("train", 0) for label, sides in found.covered.items()}
    known = Provenance(
        corpus=found.digest, texts=found.texts, code=training_code(), versions=versions(), covered=covered
    )

    def record(nlp: Language) -> Language:
        nlp.meta[KEY] = msgspec.to_builtins(known)
        return nlp

    return record


def provenance(meta: Mapping[str, Any]) -> Provenance | None:
    """What a model's meta says of its training; None if it was trained without `labelwise.RecordData.v1`."""
    try:
        return msgspec.convert(meta.get(KEY), Provenance)
    except msgspec.ValidationError:
        return None


def training_code() -> str:
    """Digest of scripts/functions.py and of the modules of building/ and model/, as they are loaded."""
    found = (module.__file__ for name, module in list(sys.modules.items()) if name.startswith(_ROOMS))
    return code_digest(_FUNCTIONS, *sorted(Path(file) for file in found if file))


def versions() -> dict[str, str]:
    """Of all that a model's scores depend on, beside its inputs."""
    packages = (spacy, thinc, numpy)
    return {"python": platform.python_version()} | {package.__name__: package.__version__ for package in packages}
