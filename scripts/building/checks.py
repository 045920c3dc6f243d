"""What is odd in a corpus: labels that cannot be learned, texts that leak into the tests, borders that look wrong.

spaCy's own checks of a corpus: https://spacy.io/api/cli#debug-data
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import spacy
from spacy.cli.debug_data import debug_data as spacy_debug_data
from spacy.tokens import Doc
from spacy.util import load_config

from scripts.building.documents import GOLD
from scripts.building.reading import read_docs
from scripts.building.splits import SPLITS, Corpus, SplitName
from scripts.core.hashing import input_hash
from scripts.merging.duplicates import SIMILAR, alike, bands, shingled

_MOST = 100  # texts of a band that are looked at
_CLOSING = {")": "(", "]": "[", "}": "{", "»": "«", "”": "“"}
_AT_THE_END = ".%'’"  # abbreviations, shares, possessives and feet end so


class Twin(msgspec.Struct):
    """A text to evaluate on that is much like one of an earlier side.

    similarity (float): Jaccard's, of shingles of five letters: https://en.wikipedia.org/wiki/Jaccard_index
    """

    side: SplitName
    input_hash: int
    text: str
    twin_side: SplitName
    twin_input_hash: int
    twin: str
    similarity: float


class Edge(msgspec.Struct):
    """An entity that begins or ends in a blank or a mark.

    edge (str): "begins with" or "ends with", and what.
    """

    side: SplitName
    input_hash: int
    label: str
    start: int
    end: int
    span: str
    edge: str


class Findings(msgspec.Struct):
    """corpus/debug.json.

    unlearned (dict[str, list[SplitName]]): Labels with entities in dev or test, and none in train.
    twins (list[Twin]), edges (list[Edge]): By side, then place in the corpus.
    """

    unlearned: dict[str, list[SplitName]]
    twins: list[Twin]
    edges: list[Edge]


def check(corpus: Path, split: Corpus) -> Findings:
    """Look at all texts of a corpus. RAISES (UserError): If a shard is damaged."""
    texts: list[tuple[SplitName, str]] = []
    edges: list[Edge] = []
    vocab = spacy.blank("xx").vocab
    for side in SPLITS:
        for doc in read_docs(sorted((corpus / side).glob("*.spacy")), vocab):
            texts.append((side, doc.text))
            edges += _edges(side, doc)
    return Findings(_unlearned(split.spans), list(_twins(texts)), edges)


def _unlearned(spans: Mapping[str, Mapping[SplitName, int]]) -> dict[str, list[SplitName]]:
    found = {
        label: [side for side in SPLITS[1:] if counts.get(side, 0)]
        for label, counts in spans.items()
        if not counts.get("train", 0)
    }
    return {label: sides for label, sides in found.items() if sides}


# Borders


def _edges(side: SplitName, doc: Doc) -> Iterator[Edge]:
    for span in doc.spans[GOLD]:
        for what in odd_edges(span.text):
            yield Edge(side, input_hash(doc.text), span.label_, span.start_char, span.end_char, span.text, what)


def odd_edges(span: str) -> Iterator[str]:
    """What is odd at the edges of an entity: blanks, and marks but those that entities do end in."""
    first, last = span[0], span[-1]
    if _is_mark(first) and not (first in _CLOSING.values() and _closed(span)):
        yield f"begins with {first!r}"
    is_pair = last in _CLOSING and _CLOSING[last] in span
    if _is_mark(last) and last not in _AT_THE_END and not is_pair:
        yield f"ends with {last!r}"


def _closed(span: str) -> bool:
    return any(opening == span[0] and closing in span for closing, opening in _CLOSING.items())


def _is_mark(character: str) -> bool:
    return character.isspace() or (unicodedata.category(character)[0] == "P" and character not in "#@&§%")


def count_edges(edges: Iterable[Edge]) -> Counter[str]:
    """How often, by label and edge."""
    return Counter(f"{edge.label} {edge.edge}" for edge in edges)


# Near-duplicates


def _twins(texts: list[tuple[SplitName, str]]) -> Iterator[Twin]:
    """Of each text to evaluate on, the one of an earlier side that is most like it, if they are alike enough."""
    met_before: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, (side, text) in enumerate(texts):  # by side: what is met is of this side or an earlier one
        shingles = shingled(text)
        keys = list(enumerate(bands(shingles).tolist())) if len(shingles) else []
        met = {other for key in keys for other in met_before[key] if texts[other][0] != side}
        if met:
            similarity, other = max((alike(shingles, shingled(texts[other][1])), -other) for other in met)
            if similarity >= SIMILAR:
                twin_side, twin = texts[-other]
                yield Twin(side, input_hash(text), text, twin_side, input_hash(twin), twin, round(similarity, 4))
        for key in keys:
            if len(met_before[key]) < _MOST:
                met_before[key].append(number)


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
