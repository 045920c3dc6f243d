"""spaCy's own checks of a corpus: https://spacy.io/api/cli#debug-data"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from spacy.cli.debug_data import debug_data as spacy_debug_data
from spacy.util import load_config


def debug_data(config: Path, corpus: Path, limit: int) -> str:
    """Print what spaCy says of the texts to train and to tune on.

    It knows spaCy's components alone, of ours it would say nothing: the config should have `ner`.

    config (Path): A training config.
    corpus (Path): With train, dev, labels.json and split.json.
    limit (int): How many texts are read of each side; they are all in memory.
    RETURNS (str): Why it stopped early; empty if it did not.
    """
    paths = {"train": corpus / "train", "dev": corpus / "dev", "labels": corpus / "labels.json"}
    values = {f"paths.{name}": str(path) for name, path in paths.items()} | {
        "paths.split": str(corpus / "split.json"), "corpora.train.limit": limit, "corpora.dev.limit": limit,
    }  # fmt: skip
    try:
        with TemporaryDirectory() as folder:  # it does not fill in variables everywhere
            filled = Path(folder) / config.name
            load_config(config, values, interpolate=True).to_disk(filled)
            spacy_debug_data(filled, no_format=False, silent=False)
    except SystemExit as err:  # it found what it takes for an error, and has said so
        return "see above" if err.code else ""
    except Exception as err:  # whatever its components raise on an odd corpus
        return f"{type(err).__name__}: {' '.join(str(err).split())[:300]}"
    return ""
