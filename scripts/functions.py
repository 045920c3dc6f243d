"""All functions of the project that a training config may name: the manifest for `--code`. Imports only."""

from scripts.building.reading import CorpusReader, label_heads_labels, ner_labels
from scripts.model.fitting import table_logger
from scripts.model.label_heads import label_heads_model, make_covered_scorer, make_label_heads
from scripts.model.models import record_data

__all__ = [
    "CorpusReader",
    "label_heads_labels",
    "label_heads_model",
    "make_covered_scorer",
    "make_label_heads",
    "ner_labels",
    "record_data",
    "table_logger",
]
