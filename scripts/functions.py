"""Whatever of the project's own a training config may name: the manifest for `--code`. Imports only."""

from scripts.model.labels import ner_labels
from scripts.model.provenance import record_data

__all__ = ["ner_labels", "record_data"]
