"""Splits and shards: where each text of the gold goes, and corpus/split.json, the account of a corpus.

Nothing here needs spaCy, so that `corpus` finds out quickly that nothing has changed.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from scripts.core.answers import GoldText, hash_of_line
from scripts.core.errors import UserError
from scripts.core.files import (
    Count,
    demand_sum,
    has_digest,
    read_json,
    read_json_if_there,
    restrict,
    sha256,
    write_json,
    write_state,
)
from scripts.core.texts import fraction, normalized

SplitName = Literal["train", "dev", "test"]
Placed = dict[int, SplitName | None]  # by wording, the split of a text that is not in that of its hash; None: in none
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
NAME = "split.json"
LABELS = "labels.json"
_MERGED = "merge.json"  # beside them, where `corpus` makes them
STORED = "docbins.json"  # beside split.json if the shards are elsewhere: says where
MisalignedPolicy = Literal["snap", "skip"]
_SHARD_BYTES = 2**17  # of gold, on average, at most
_MAX_BITS = 12


class Splitter(msgspec.Struct, frozen=True):
    """Decides by a text (or its document) alone which split it is in, so that it never changes.

    dev (float), test (float): Shares of the texts.
    document (str): The key of the texts' meta that names the document; texts of one document are in one split.
    reserved_dev, reserved_test (frozenset[bytes]): Keys of texts that are in a split whatever their hash.
    placed (Placed): Texts that are in the split of their containers, or in none. See `place_texts`.
    """

    dev: float
    test: float
    document: str = ""
    reserved_dev: frozenset[bytes] = frozenset()
    reserved_test: frozenset[bytes] = frozenset()
    placed: Placed = {}

    def lacks_document(self, text: GoldText) -> bool:
        """Whether documents are kept together, and a text names none: it is split by its own words."""
        return bool(self.document) and not _names_document(text, self.document)

    def split_of(self, text: GoldText) -> SplitName | None:
        """The split of a text; None if it is in none."""
        if self.placed and (words := wording(text.text)) in self.placed:
            return self.placed[words]
        return self.own_split(text)[0]

    def own_split(self, text: GoldText) -> tuple[SplitName, bool]:
        """The split of a text whatever it stands in, and whether that is reserved. Texts that differ only in case,
        whitespace and punctuation are in the same one.
        """
        key = _split_key(text, self.document)
        if self.reserved_test or self.reserved_dev:
            digest = _digest(key)
            if digest in self.reserved_test:
                return "test", True
            if digest in self.reserved_dev:
                return "dev", True
        share = fraction(key)
        # Test comes first, so that a text stays in test when the share of dev changes.
        if share < self.test:
            return "test", False
        return ("dev" if share < self.test + self.dev else "train"), False


def reserved(texts: Iterable[GoldText], datasets: Collection[str], document: str) -> frozenset[bytes]:
    """Keys of the texts that have an answer in one of these datasets, also one that does not count, since it was
    corrected, say: they and their duplicates are evaluated on.
    """
    return frozenset(
        _digest(_split_key(text, document))
        for text in texts
        if not set(datasets).isdisjoint((*text.sources, *text.other_sources))
    )


def _names_document(text: GoldText, document: str) -> bool:
    return text.meta.get(document) not in (None, "")


def _split_key(text: GoldText, document: str) -> str:
    if document and _names_document(text, document):
        name = text.meta[document]
        # A column of numbers that some rows lack comes out of a table as 12.0.
        return f"{document}={int(name) if isinstance(name, float) and name.is_integer() else name}"
    return normalized(text.text)


def wording(text: str) -> int:
    """Hash of the normalized text, of 64 bits: texts of one wording are in one split."""
    return int.from_bytes(
        hashlib.blake2b(normalized(text).encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )


def digest_of_placed(placed: Placed) -> str:
    """Digest of some placed texts; empty if there are none."""
    return hashlib.sha256(msgspec.json.encode(sorted(placed.items()))).hexdigest() if placed else ""


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=12).digest()


class GoldRange(NamedTuple):
    """The lines of gold.jsonl that make a shard: the number of its range of hashes, their bytes and their digest."""

    name: str
    start: int
    size: int
    sha256: str


def hash_bits(size: int) -> int:
    """The number of leading bits of a text's hash that name its shard, for a number of bytes of gold.

    As the gold grows, all shards are cut in two at a time, so that they stay small and few.
    """
    return min((size // _SHARD_BYTES).bit_length(), _MAX_BITS)


def shards_within(start: int, stop: int, bits: int) -> dict[str, tuple[int, int]]:
    """Shards between two hashes, by name: their first hash, and the one after their last. Hashes are signed: the
    smallest has the number 0.
    """
    size = 1 << (32 - bits)
    numbers = range((start + 2**31) // size, (stop - 1 + 2**31) // size + 1)
    return {f"{number:04}": (number * size - 2**31, (number + 1) * size - 2**31) for number in numbers}


def gold_ranges(gold: Path, bits: int) -> Iterator[GoldRange]:
    """Cut sorted gold into shards.

    gold (Path): gold.jsonl, or a part of it that ends where a shard ends.
    bits (int): See `hash_bits`.
    RAISES (ValueError): If it is damaged.
    """
    start, position, name = 0, 0, ""
    digest = hashlib.sha256()
    with gold.open("rb") as lines:
        for line in lines:
            number = f"{(hash_of_line(line) + 2**31) >> (32 - bits):04}"  # see `shards_within`
            if number != name and position > start:
                yield GoldRange(name, start, position - start, digest.hexdigest())
                start, digest = position, hashlib.sha256()
            name = number
            position += len(line)
            digest.update(line)
    if position > start:
        yield GoldRange(name, start, position - start, digest.hexdigest())


class CorpusShard(msgspec.Struct):
    """A shard of the corpus: the Docs of a range of hashes. Counts are those of `Corpus`, but split before label, and
    outcomes by label.

    gold (str): Digest of its lines of gold.
    placed (str): Digest of its `Splitter.placed`; empty if there are none.
    files (dict[str, str]): Digests of its files by their paths in the corpus; a split without texts has none.
    """

    gold: str
    placed: str = ""
    files: dict[str, str] = {}
    texts: dict[SplitName, Count] = {}
    tokens: dict[SplitName, Count] = {}
    spans: dict[SplitName, dict[str, Count]] = {}
    covered: dict[SplitName, dict[str, Count]] = {}
    read: dict[str, Count] = {}
    rejected: Count = 0
    outcomes: dict[str, dict[str, Count]] = {}
    too_long: Count = 0
    no_split: Count = 0
    without_document: Count = 0


class Corpus(msgspec.Struct, kw_only=True):
    """corpus/split.json.

    digest (str): Of the gold, its labels and the settings; the same whatever code made the corpus.
    texts (dict[SplitName, int]), tokens (dict[SplitName, int]): Counts by split.
    spans (dict[str, dict[SplitName, int]]): Gold spans by label and split.
    covered (dict[str, dict[SplitName, int]]): Texts covered for a label, by label and split.
    read (dict[str, int]): Spans of the gold: "spans", "accepted" and "rejected", as in merge.json.
    rejected (int): Rejected spans in the Docs. With the sum of `spans` and the outcomes but "exact" and "snapped", they
        are all that was read.
    outcomes (dict[str, int]): Outcomes of all spans: "read" is the sum of the others, see `DocMaker`.
    outcomes_by_label (dict[str, dict[str, int]]): The same of each label.
    too_long (int): Texts that were skipped, since the pipeline does not take them.
    no_split (int): Texts in no split.
    without_document (int): Texts that have no [split] document in their meta, if that is set, wherever they went.
    placed (dict[str, int] | None): Texts that are not in the split of their own hash, see `Placements`; None if
        contained texts were not looked for.
    split (dict[str, Any]): The keys of [split].
    made_of (dict[str, str]): Digests by name of gold.jsonl, and of its lists of contained texts and duplicates.
    nlp (dict[str, Any]): What tokenized it, of the training config's [nlp]: "lang", and "tokenizer" where it is set.
    files (dict[str, str]): The digest of labels.json, by its name.
    made_by (str): Digest of all that a shard depends on but its gold: settings, code, version of spaCy.
    shards (dict[str, CorpusShard]): By name.
    """

    digest: str
    texts: dict[SplitName, Count] = {}
    tokens: dict[SplitName, Count] = {}
    spans: dict[str, dict[SplitName, Count]] = {}
    covered: dict[str, dict[SplitName, Count]] = {}
    read: dict[str, Count] = {}
    rejected: Count = 0
    outcomes: dict[str, Count] = {}
    outcomes_by_label: dict[str, dict[str, Count]] = {}
    too_long: Count = 0
    no_split: Count = 0
    without_document: Count = 0
    placed: dict[str, Count] | None = None
    split: dict[str, Any] = {}
    made_of: dict[str, str] = {}
    nlp: dict[str, Any] = {}
    files: dict[str, str] = {}
    made_by: str = ""
    shards: dict[str, CorpusShard] = {}

    def __post_init__(self) -> None:
        """RAISES (ValueError): If the counts do not add up."""
        demand_sum(self.outcomes, "read")
        for split, texts in self.texts.items() if self.shards else ():
            if texts != sum(shard.texts.get(split, 0) for shard in self.shards.values()):
                raise ValueError(f"texts of {split} are not those of the shards")
        if self.without_document > self.all_texts():
            raise ValueError("more texts are without a document than there are")

    def all_texts(self) -> int:
        """The number of texts that were read: in the splits, in none, or too long."""
        return sum(self.texts.values()) + self.no_split + self.too_long

    def digests(self, split: str) -> dict[str, str]:
        """Digests of the shards of a split, by file name."""
        paths = {Path(name): digest for shard in self.shards.values() for name, digest in shard.files.items()}
        return {path.name: digest for path, digest in paths.items() if path.parent.name == split}

    def uncovered(self, label: str, split: SplitName) -> int:
        """The number of texts of a split that are not covered for a label."""
        return self.texts.get(split, 0) - self.covered.get(label, {}).get(split, 0)

    def is_partial(self, split: SplitName) -> bool:
        """Whether a label is not covered in some texts of a split."""
        return any(self.uncovered(label, split) for label in self.covered)


class _Merged(msgspec.Struct):
    """Of corpus/merge.json: the digests of the files that the merge wrote."""

    outputs: dict[str, str] = {}


class StoredShards(msgspec.Struct):
    """corpus/docbins.json, if the shards are not beside it: URL of the storage, and the folder of each shard there."""

    storage: str
    folders: dict[str, str]


def write_account(folder: Path, labels: list[str], corpus: Corpus) -> None:
    """Write labels.json, and last split.json, which gets its digest: whoever finds it checks the files by it."""
    write_json(folder / LABELS, labels)
    corpus.files = {LABELS: sha256(folder / LABELS)}
    write_state(folder / NAME, corpus)


# ---- Who reads a corpus checks its files


class ShardFile(NamedTuple):
    """A file of Docs, and its digest in split.json; empty if it is of no corpus that the step made."""

    path: Path
    sha256: str

    def read(self) -> bytes:
        """Its bytes. RAISES (UserError): If they are not as they were made."""
        content = self.path.read_bytes()
        if self.sha256 and hashlib.sha256(content).hexdigest() != self.sha256:
            raise _other_file(self.path, "is not as it was made")
        return content


def read_corpus(path: Path) -> Corpus:
    """Read corpus/split.json, and check labels.json and all shards against it; what is made of the corpus is to be as
    private as it is.

    RAISES (UserError): If one of them is missing, has changed or is of another corpus, or the shards are elsewhere.
    """
    restrict(path)
    corpus = _read_account(path)
    for name, digest in corpus.files.items():
        if not has_digest(path.with_name(name), digest):
            problem = "is not as it was made" if path.with_name(name).exists() else "is missing"
            raise _other_file(path.with_name(name), problem)
    for split in SPLITS:
        for shard in _shards_of(corpus, path.with_name(split)):
            shard.read()
    return corpus


def shard_files(folder: Path) -> list[ShardFile]:
    """The .spacy files of a split, sorted, to be read with `ShardFile.read`. Without split.json beside the folder, they
    are somebody's own.

    RAISES (UserError): If one is missing or of another corpus, or the corpus is incomplete.
    """
    corpus = _corpus_around(folder)
    if corpus is None or folder.name not in SPLITS:
        return [ShardFile(path, "") for path in sorted(folder.glob("*.spacy"))]
    return _shards_of(corpus, folder)


def corpus_doubt(folder: Path, nlp: Mapping[str, Any] | None = None) -> str:
    """What to say of a folder's corpus if other gold was merged there since it was made, or another tokenizer made its
    tokens; empty if not, or unknown.

    nlp (Mapping[str, Any] | None): The [nlp] block of what is trained on it.
    """
    corpus, found = _read_account(folder / NAME), None
    if nlp is not None and corpus.nlp and tokenizing(nlp) != corpus.nlp:
        return f"{folder} was tokenized by another [nlp] lang or tokenizer; make it again: weasel run corpus"
    with suppress(UserError):
        found = read_json_if_there(folder / _MERGED, _Merged, "merge again: weasel run merge")
    now, then = (files.get("gold.jsonl") for files in (found.outputs if found else {}, corpus.made_of))
    if not now or not then or now == then:
        return ""
    return f"{folder} was made of other gold than was merged since; make it again: weasel run corpus"


def tokenizing(nlp: Mapping[str, Any]) -> dict[str, Any]:
    """What of an [nlp] block tokenizes: "lang", and "tokenizer" if it is another than that of the language."""
    lang, tokenizer = nlp.get("lang"), nlp.get("tokenizer")
    is_usual = not tokenizer or tokenizer == usual_tokenizer(nlp)
    return {"lang": lang} if is_usual else {"lang": lang, "tokenizer": tokenizer}


def usual_tokenizer(nlp: Mapping[str, Any]) -> dict[str, Any]:
    """The tokenizer block of the language of an [nlp] block."""
    from spacy.util import get_lang_class  # takes a second, and few configs name a tokenizer

    return dict(get_lang_class(nlp["lang"]).default_config["nlp"]["tokenizer"])


def check_labels(path: Path) -> None:
    """Check labels.json against split.json beside it. RAISES (UserError): If it was changed."""
    corpus = _corpus_around(path)
    if corpus and path.name == LABELS and not has_digest(path, corpus.files.get(LABELS, "")):
        raise _other_file(path, "is not as it was made")


def _read_account(path: Path) -> Corpus:
    if path.with_name(STORED).exists():
        raise UserError(f"{path.parent}: its shards stayed on the storage; bring them: fetch = true, weasel run corpus")
    return read_json(
        path, Corpus, "make the corpus first: weasel run corpus", "make the corpus again: weasel run corpus"
    )


def _corpus_around(path: Path) -> Corpus | None:
    """The corpus that a path is in; None in a folder that was never merged into."""
    account = path.with_name(NAME)
    return _read_account(account) if account.exists() or path.with_name(_MERGED).exists() else None


def _shards_of(corpus: Corpus, folder: Path) -> list[ShardFile]:
    expected, found = corpus.digests(folder.name), {path.name for path in folder.glob("*.spacy")}
    for name in sorted(expected.keys() ^ found):
        raise _other_file(folder / name, "is missing" if name in expected else "is of another corpus")
    return [ShardFile(folder / name, digest) for name, digest in sorted(expected.items())]


def _other_file(path: Path, problem: str) -> UserError:
    return UserError(f"{path}: {problem}; make the corpus again: weasel run corpus")
