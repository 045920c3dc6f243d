"""The pipeline of a training config, as far as its tokenizer."""

from __future__ import annotations

from typing import Any

import spacy
from confection import Config, ConfigValidationError
from spacy.language import Language

from scripts import functions  # noqa: F401 (what the tokenizer is made of is registered)
from scripts.annotations.errors import UserError


def tokenizer(nlp: dict[str, Any]) -> Language:
    """The pipeline of an [nlp] block without its components. RAISES (UserError): If none can be made of it."""
    config = Config({"nlp": {**nlp, "pipeline": [], "disabled": []}, "components": {}})
    try:
        return spacy.util.load_model_from_config(config, auto_fill=True)
    except (OSError, KeyError, ValueError, ImportError, ConfigValidationError) as err:
        raise UserError(f"no tokenizer can be made of the [nlp] of the training config: {err}") from err
