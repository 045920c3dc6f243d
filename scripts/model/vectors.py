"""Word vectors as a pipeline that training can start from: fetched with pip, of a text file, or of another pipeline.

Beside the vectors of a pipeline that has an `ner` are the layers of that, which heads of the same shape can start from.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import numpy as np
import spacy
from confection import Config
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training.initialize import convert_vectors
from spacy.vectors import Vectors
from spacy.vocab import Vocab
from thinc.api import Model

from scripts.building.documents import GOLD
from scripts.building.reading import read_docs
from scripts.building.splits import SPLITS, shard_files
from scripts.core.errors import UserError
from scripts.core.files import (
    download,
    exclusive,
    open_maybe_gzip,
    read_json_if_there,
    replace_folder,
    work_folder,
    write_json,
)

BUILT = Path("assets/vectors/pipeline")  # what `build` makes
LAYERS = "tok2vec.bin"  # in it: the layers of an `ner`, as spaCy's init_tok2vec reads them
_SHAPE = "tok2vec.json"  # beside: their config
_NER = "ner"
STATIC = "include_static_vectors"  # a key of layers
ROWS = 100_000
_REQUIREMENTS = Path(__file__).parents[2] / BUILT.parent  # a file for each source that pip can fetch
_BY_LANGUAGE = {"en": "en_core_web_md"}  # what is fetched if nothing is named
_PYTHON = "3.11"  # of what is fetched: nothing of it runs, so the one that we run in does not matter
_FEW = 0.01  # a source is in lower case if no larger share of its words has capitals
_SIZE = 2  # numbers in the first line of word2vec's text format: words and dimensions
_FLORET = ["<", ">"]  # the last two words in the first line of floret's: where a word begins and ends
_LONG = 2**20  # bytes of a first line
_LINES = 100  # that show how many numbers a word has
_SAMPLE = 200_000  # tokens
_LEAST = 0.1  # share of the running words: vectors of another language know some names

Wanted = Callable[[int, list[str]], bool]  # whether a vector is to be kept, by its number and words
Row = tuple[list[str], NDArray[np.float32]]  # all words that share a vector, that for which it was made first


class BuiltVectors(NamedTuple):
    """Numbers of vectors, of words that have one, of dimensions, and of lines of a text file that hold no vector.

    words (int | None): None where vectors are of parts of words, so that every word has one.
    has_layers (bool): Whether there are layers of an `ner`, too.
    """

    rows: int
    words: int | None
    width: int
    skipped: int
    has_layers: bool


def build(source: str, lang: str, corpus: Path, folder: Path = BUILT, rows: int = ROWS) -> BuiltVectors:
    """Make a pipeline of nothing but a tokenizer and vectors: the most frequent ones, and those of the corpus's words.

    Words are as in the source. Where that is in lower case, each is known with a capital and in capitals too: spaCy
    looks a word up as it is written. Vectors of floret's are of parts of words, and all kept.

    source (str): The name of a requirement file in assets/vectors, a pipeline (a package, or a folder), or a text
        file of word2vec's, GloVe's, fastText's or floret's format, which may be gzipped. Empty: by the language.
    lang (str): Of the texts: [nlp] lang of the training config.
    corpus (Path): Has the words in its shards. It may be missing.
    rows (int): Number of the most frequent vectors.
    RAISES (UserError): If there is nothing for the language, pip cannot fetch it, or the source is damaged or has no
        vectors.
    """
    source = source or _for_language(lang)
    nlp, skipped, pipeline = spacy.blank(lang), Counter[str](), None
    with exclusive(folder.parent), work_folder(folder.parent) as work:
        if _first_line(Path(source))[-2:] == _FLORET:
            _read_floret(nlp, Path(source))
        else:
            words = _corpus_words(corpus)
            pipeline, table = _find(source, work)
            wanted = partial(_is_wanted, rows, words)
            read = list(_of_pipeline(source, pipeline, wanted) if pipeline else _of_table(table, wanted, skipped))
            found = [row for row in read if np.isfinite(row[1]).all()]  # others would make a model of no numbers
            skipped["lines"] += len(read) - len(found)
            if not found:
                raise UserError(f"{source}: holds no word vectors")
            by_word = _with_capitals(found)
            data = np.stack([vector for _, vector in found]).astype(np.float32)
            nlp.vocab.vectors = Vectors(strings=nlp.vocab.strings, data=data, name=f"{lang}_vectors")
            for word, row in by_word.items():
                nlp.vocab.vectors.add(nlp.vocab.strings.add(word), row=row)
        nlp.to_disk(work / folder.name)
        has_layers = pipeline is not None and _write_layers(pipeline, work / folder.name)
        replace_folder(work / folder.name, folder)
    vectors = nlp.vocab.vectors
    words_known = None if vectors.mode == "floret" else vectors.n_keys
    return BuiltVectors(vectors.shape[0], words_known, vectors.shape[1], skipped["lines"], has_layers)


def _for_language(lang: str) -> str:
    if lang in _BY_LANGUAGE:
        return _BY_LANGUAGE[lang]
    there = ", ".join(sorted(path.stem for path in _REQUIREMENTS.glob("*.txt")))
    raise UserError(
        f'no vectors are known for [nlp] lang = "{lang}": set --vars.vectors to a text file of word2vec, GloVe, '
        f"fastText or floret, to a pipeline, or, for English, to one of {there}"
    )


def _is_wanted(rows: int, words: Collection[str], number: int, of: list[str]) -> bool:
    return number < rows or any(word in words for word in of)


def _corpus_words(corpus: Path) -> set[str]:
    """The words of all texts of a corpus, as they are and in lower case."""
    words: set[str] = set()
    for shard in (shard for split in SPLITS if (corpus / split).is_dir() for shard in shard_files(corpus / split)):
        words |= DocBin().from_bytes(shard.read()).strings
    return words | {word.lower() for word in words}


def _with_capitals(found: list[Row]) -> dict[str, int]:
    """The row of each word; of a word that occurs twice, the first. See `build` for capitals."""
    rows: dict[str, int] = {}
    for row, (words, _) in enumerate(found):
        for word in words:
            rows.setdefault(word, row)
    if sum(word != word.lower() for word in rows) <= _FEW * len(rows):
        for word, row in list(rows.items()):
            for form in (word.capitalize(), word.upper()):
                rows.setdefault(form, row)
    return rows


# ---- Sources


def _find(source: str, work: Path) -> tuple[Language | None, list[Path]]:
    """A pipeline with vectors, or files that have them: a text file, or a NumPy file and a Parquet file.

    work (Path): For what is fetched.
    """
    if Path(source).is_file():
        return None, [Path(source)]
    if not (requirement := _REQUIREMENTS / f"{source}.txt").is_file():
        return _load(source), []
    with ZipFile(_fetch(requirement, work)) as archive:
        files = [Path(archive.extract(name, work)) for name in archive.namelist()]
    inside = [path for path in files if path.name == "key2row"]
    if inside:
        return _load(str(inside[0].parents[1])), []
    return None, sorted(path for path in files if path.suffix in (".npy", ".parquet"))


def _load(pipeline: str) -> Language:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"\[W095\]")  # of another spaCy: vectors and layers are the same
            return spacy.load(pipeline)
    except (OSError, ValueError) as err:
        raise UserError(f"{pipeline}: is no file, no installed pipeline and no folder of one") from err


def _fetch(requirement: Path, work: Path) -> Path:
    """Download a wheel with pip, which checks its hash. RAISES (UserError): If pip fails."""
    options = ["--only-binary", ":all:", "--python-version", _PYTHON]
    download(requirement, work, f"{requirement.stem}: needs pip and the network", options)
    (wheel,) = work.glob("*.whl")
    return wheel


def _of_pipeline(source: str, nlp: Language, wanted: Wanted) -> Iterator[Row]:
    """spaCy keeps vectors by frequency, and finds the words of pruned ones by the nearest that is left."""
    vectors = nlp.vocab.vectors
    if vectors.mode != "default":
        raise UserError(f"{source}: has vectors of parts of words; train with --vars.vectors {source} itself")
    words: dict[int, list[str]] = defaultdict(list)
    for key, row in vectors.key2row.items():
        if key in nlp.vocab.strings:
            words[row].append(nlp.vocab.strings[key])
    for row in sorted(words):
        if wanted(row, words[row]):
            yield words[row], vectors.data[row]


def _of_table(files: list[Path], wanted: Wanted, skipped: Counter[str]) -> Iterator[Row]:
    """The vectors that are wanted, the most frequent first.

    files (List[Path]): A text file, or a NumPy file whose words are the first column of a Parquet file.
    skipped (Counter[str]): Gets the number of lines without a vector.
    """
    if len(files) == 1:
        yield from _of_text(files[0], wanted, skipped)
        return
    data, index = files
    try:
        import pandas as pd

        words = pd.read_parquet(index).iloc[:, 0].tolist()
    except ImportError as err:
        raise UserError("these vectors need pyarrow: pip install -r requirements-arrow.txt") from err
    vectors = np.load(data, mmap_mode="r", allow_pickle=False)
    for number, (word, vector) in enumerate(zip(words, vectors, strict=True)):
        if wanted(number, [word]):
            yield [word], vector


def _read_floret(nlp: Language, path: Path) -> None:
    try:
        convert_vectors(nlp, path, truncate=0, prune=-1, mode="floret")
    except ValueError as err:
        raise UserError(f"{path}: begins as a file of floret's, but is none ({err})") from err
    if not np.isfinite(nlp.vocab.vectors.data).all():
        raise UserError(f"{path}: has a vector that is not of numbers alone")


def _of_text(path: Path, wanted: Wanted, skipped: Counter[str]) -> Iterator[Row]:
    """A line a word, with its numbers; in word2vec's and fastText's format the first line is the size."""
    has_size = len(_first_line(path)) == _SIZE
    with open_maybe_gzip(path) as file:
        width = _width(list(islice(file, has_size, _LINES)))
        file.seek(0)
        for number, line in enumerate(islice(file, has_size, None)):
            word, *values = line.decode("utf8", "replace").rstrip().rsplit(" ", width)
            if not word or len(values) != width or width < _SIZE or _ends_in_number(word):
                skipped["lines"] += 1
            elif wanted(number, [word]):
                try:
                    yield [word], np.array(values, np.float32)
                except ValueError:
                    skipped["lines"] += 1


def _width(lines: list[bytes]) -> int:
    """Numbers in most of some lines: a line may have too few or too many, and a word may have a space."""
    counts = Counter(len(line.decode("utf8", "replace").split()) - 1 for line in lines)
    return max(counts, key=lambda count: (counts[count], -count), default=0)


def _ends_in_number(word: str) -> bool:
    """Whether a word has a vector's number behind a space: then the line has more of them than others."""
    _, space, last = word.rpartition(" ")
    try:
        return bool(space and "." in last and isfinite(float(last)))
    except ValueError:
        return False


def _first_line(path: Path) -> list[str]:
    if not path.is_file():
        return []
    with open_maybe_gzip(path) as file:
        return file.readline(_LONG).decode("utf8", "replace").split()


# ---- Layers


def _write_layers(nlp: Language, folder: Path) -> bool:
    """Write the layers of a pipeline's own `ner` that read its vectors, and their config. RETURNS (bool): Whether there
    are any.
    """
    shape = nlp.config.interpolate()["components"].get(_NER, {}).get("model", {}).get("tok2vec", {})
    if not shape.get("embed", {}).get(STATIC):
        return False
    layers = _tok2vec(nlp, _NER).layers[0]  # what follows is the parser's own
    (folder / LAYERS).write_bytes(layers.to_bytes())
    write_json(folder / _SHAPE, shape)
    return True


def _tok2vec(nlp: Language, name: str) -> Model[Any, Any]:
    pipe: Any = nlp.get_pipe(name)
    return pipe.model.get_ref("tok2vec")


def heads_of(config: Config) -> str | None:
    """The component that is trained as label heads, if there is one."""
    blocks = config.get("components", {}).items()
    return next((name for name, block in blocks if block.get("factory") == "label_heads"), None)


def layers_for(config: Config) -> Path | None:
    """The layers beside built vectors, if the label heads of a config that uses these have the same ones."""
    heads, shape = (
        heads_of(config),
        read_json_if_there(BUILT / _SHAPE, dict[str, Any], "build it again: weasel run vectors"),
    )
    if heads is None or shape is None:
        return None
    return BUILT / LAYERS if config.interpolate()["components"][heads]["model"]["tok2vec"] == shape else None


def start_from(weights: Path, nlp: Language, heads: str) -> None:
    """Give label heads layers to start from. RAISES (UserError): If these are of another shape, or cannot be read."""
    try:
        _tok2vec(nlp, heads).from_bytes(weights.read_bytes())
    except Exception as err:  # msgpack and thinc have many
        reason = err.strerror if isinstance(err, OSError) else "holds no weights of these layers"
        raise UserError(
            f"[paths] init_tok2vec {weights}: {reason}; to train without: --paths.init_tok2vec null"
        ) from err


# ---- What vectors a corpus has


def known_words(config: Config, train: Path) -> Iterator[str]:
    """Say which share of the training texts' words, the first 200,000 tokens of them, has a vector; numbers and
    punctuation are no words. Nothing for a config without vectors.

    RAISES (UserError): If there are no such vectors, or nearly none of the words has one.
    """
    vectors = config.interpolate()["initialize"].get("vectors")
    if not vectors:
        return
    nlp = _load(vectors)
    everything, in_entities = Counter[int](), Counter[int]()
    for doc in read_docs(shard_files(train), nlp.vocab):
        everything.update(doc.to_array("ORTH").tolist())
        for span in doc.spans.get(GOLD, ()):
            in_entities.update(doc.to_array("ORTH")[span.start : span.end].tolist())
        if everything.total() >= _SAMPLE:
            break
    share = _share(nlp.vocab, everything)
    if share < _LEAST:
        raise UserError(
            f"{vectors}: {share:.1%} of the words in {train} have a vector. Are these of another language, or in lower "
            "case only? Build others: weasel run vectors; or train without: --vars.vectors none"
        )
    if start := config.interpolate()["initialize"].get("init_tok2vec"):
        yield f"Layers start from {start}"
    yield (
        f"Vectors of {vectors}: {share:.1%} of the words in the training texts have one, "
        f"{_share(nlp.vocab, in_entities):.1%} of those in entities"
    )


def _share(vocab: Vocab, tokens: Counter[int]) -> float:
    words = {key: number for key, number in tokens.items() if any(map(str.isalpha, vocab.strings[key]))}
    known = sum(count for key, count in words.items() if vocab.has_vector(key))
    return known / max(1, sum(words.values()))
