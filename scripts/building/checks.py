"""Checks of a corpus: labels that cannot be learned, texts that leak into evaluation, boundaries that look wrong."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import spacy
from spacy.cli.debug_data import debug_data as spacy_debug_data
from spacy.util import get_lang_class, load_config

from scripts.building.documents import GOLD
from scripts.building.reading import read_docs
from scripts.building.splits import SPLITS, Corpus, SplitName, shard_files
from scripts.core.texts import input_hash
from scripts.merging.duplicates import NearDuplicates

_BAND_TEXTS = 100  # in a band of the MinHash signature, that a text is compared with
_PAIRS = {")": "(", "]": "[", "}": "{", "»": "«", "”": "“"}
_VALID_ENDS = ".%'’"  # of abbreviations, shares, possessives and feet
_VALID_MARKS = "#@&§%"


class NearDuplicatePair(msgspec.Struct):
    """A text of dev or test and its most similar text of an earlier split.

    similarity (float): Jaccard similarity of shingles of five letters: https://en.wikipedia.org/wiki/Jaccard_index
    """

    split: SplitName
    input_hash: int
    text: str
    other_split: SplitName
    other_input_hash: int
    other_text: str
    similarity: float


class OddBoundary(msgspec.Struct):
    """An entity that begins or ends with whitespace or punctuation.

    boundary (str): "begins with" or "ends with", and the character.
    """

    split: SplitName
    input_hash: int
    label: str
    start: int
    end: int
    span: str
    boundary: str


class CorpusWarnings(msgspec.Struct):
    """corpus/debug.json.

    not_in_train (dict[str, list[SplitName]]): Labels without an entity in train, and the splits that have some.
    near_duplicates (list[NearDuplicatePair]), boundaries (list[OddBoundary]): In the order of the corpus.
    """

    not_in_train: dict[str, list[SplitName]]
    near_duplicates: list[NearDuplicatePair]
    boundaries: list[OddBoundary]

    def boundary_counts(self) -> Counter[str]:
        """Odd boundaries by label and character."""
        return Counter(f"{odd.label} {odd.boundary}" for odd in self.boundaries)


def check_corpus(folder: Path, corpus: Corpus) -> CorpusWarnings:
    """Check all texts of a corpus. RAISES (UserError): If a shard is damaged."""
    splits: list[SplitName] = []
    texts: list[str] = []
    boundaries: list[OddBoundary] = []
    vocab = spacy.blank("xx").vocab
    for split in SPLITS:
        for doc in read_docs(shard_files(folder / split), vocab):
            splits.append(split)
            texts.append(doc.text)
            boundaries += (
                OddBoundary(split, input_hash(doc.text), span.label_, span.start_char, span.end_char, span.text, odd)
                for span in doc.spans[GOLD]
                for odd in odd_boundaries(span.text)
            )
    found_in = {label: [split for split in SPLITS if counts.get(split)] for label, counts in corpus.spans.items()}
    not_in_train = {label: found for label, found in found_in.items() if found and "train" not in found}
    return CorpusWarnings(not_in_train, list(_near_duplicates(splits, texts)), boundaries)


def odd_boundaries(span: str) -> Iterator[str]:
    """Describe whitespace and punctuation at the boundaries of an entity, but for marks that entities do end with."""
    first, last = span[0], span[-1]
    is_closed = any(opening == first and closing in span for closing, opening in _PAIRS.items())
    if _is_mark(first) and not is_closed:
        yield f"begins with {first!r}"
    is_opened = last in _PAIRS and _PAIRS[last] in span
    if _is_mark(last) and last not in _VALID_ENDS and not is_opened:
        yield f"ends with {last!r}"


def _is_mark(character: str) -> bool:
    return character.isspace() or (unicodedata.category(character)[0] == "P" and character not in _VALID_MARKS)


def _near_duplicates(splits: Sequence[SplitName], texts: Sequence[str]) -> Iterator[NearDuplicatePair]:
    """For each text of dev and test, the most similar text of an earlier split, if it is a near-duplicate."""
    index = NearDuplicates(texts, _BAND_TEXTS)
    for number, (split, text) in enumerate(zip(splits, texts, strict=True)):
        earlier = {other: value for other, value in index.find(text).items() if splits[other] != split}
        if earlier:
            other = min(earlier, key=lambda other: (-earlier[other], other))
            yield NearDuplicatePair(
                split, input_hash(text), text, splits[other], input_hash(texts[other]), texts[other],
                round(earlier[other], 4),
            )  # fmt: skip
        index.add(number)


def debug_data(config: Path, corpus: Path, limit: int) -> str:
    """Run spaCy's checks of train and dev, which print: https://spacy.io/api/cli#debug-data

    config (Path): A training config with spaCy's `ner`: the checks know none of our components.
    limit (int): Number of texts to read of each split; all are in memory.
    RETURNS (str): Why the checks stopped early; empty if they did not.
    """
    paths = {"train": corpus / "train", "dev": corpus / "dev", "labels": corpus / "labels.json"}
    values = {f"paths.{name}": str(path) for name, path in paths.items()} | {
        "paths.split": str(corpus / "split.json"), "corpora.train.limit": limit, "corpora.dev.limit": limit,
    }  # fmt: skip
    try:
        with TemporaryDirectory() as folder:
            filled = Path(folder) / config.name  # debug_data does not fill in variables everywhere
            whole = load_config(config, values, interpolate=True)
            tokenizer = get_lang_class(whole["nlp"]["lang"]).default_config["nlp"]["tokenizer"]
            whole["nlp"].setdefault("tokenizer", tokenizer)  # debug_data fills in nothing that is missing
            whole.to_disk(filled)
            spacy_debug_data(filled, no_format=False, silent=False)
    except SystemExit as err:  # it found an error, and has printed it
        return "see above" if err.code else ""
    except Exception as err:  # whatever its components raise on an odd corpus
        return f"{type(err).__name__}: {' '.join(str(err).split())[:300]}"
    return ""
