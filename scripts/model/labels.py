"""The labels of the corpus as components want them, so that no pass over the corpus is needed to know them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import spacy
from confection import ConfigValidationError
from spacy.pipeline._parser_internals.ner import BiluoPushDown

from scripts.annotations.errors import UserError
from scripts.annotations.files import read_json


@spacy.registry.readers("labelwise.Labels.v1")
def label_heads_labels(path: str) -> list[str]:
    """For [initialize.components.label_heads.labels]: labels.json as it is.

    path (str): Path to corpus/labels.json, a list of names.
    RAISES (ConfigValidationError): If there is no such list; `spacy train` shows it without a traceback.
    """
    try:
        return read_labels(Path(path))
    except UserError as err:
        raise ConfigValidationError(title="No labels", desc=str(err), show_config=False) from err


@spacy.registry.readers("labelwise.NerLabels.v1")
def ner_labels(path: str) -> dict[int, Counter[str]]:
    """For [initialize.components.ner.labels]: labels.json as transitions.

    path (str): Path to corpus/labels.json, a list of names.
    RETURNS (dict[int, Counter[str]]): Labels by the number of the action, as `spacy init labels` writes them.
    RAISES (ConfigValidationError): As `label_heads_labels`.
    """
    return BiluoPushDown.get_actions(entity_types=label_heads_labels(path))


def read_labels(path: Path) -> list[str]:
    """Read corpus/labels.json. RAISES (UserError): If there is none, or it is damaged."""
    return read_json(
        path, list[str], "make the corpus first: weasel run corpus", "make the corpus again: weasel run corpus"
    )
