"""The pipeline of a training config, as far as its tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import spacy
from confection import Config, ConfigValidationError
from spacy.language import Language

from scripts.annotations.errors import UserError


def nlp_block(path: Path) -> dict[str, Any]:
    """The [nlp] block of a training config. RAISES (UserError): If there is none, or no pipeline can be made of it."""
    try:
        block = spacy.util.load_config(path, interpolate=True)["nlp"]
        tokenizer(block)
    except (OSError, KeyError, ValueError, ImportError, ConfigValidationError) as err:
        reason = str(err) if isinstance(err, OSError) else f"no tokenizer can be made of its [nlp]: {err}"
        raise UserError(f"{path}: {reason}") from err
    return dict(block)


def tokenizer(nlp: dict[str, Any]) -> Language:
    """The pipeline of an [nlp] block without its components."""
    config = Config({"nlp": {**nlp, "pipeline": [], "disabled": []}, "components": {}})
    return spacy.util.load_model_from_config(config, auto_fill=True)
