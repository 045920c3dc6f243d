"""Import: read all annotations at a path, whatever their format, to make a block for each label in the config."""

from __future__ import annotations

import inspect
import re
from codecs import getincrementaldecoder
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.core import settings
from scripts.core.errors import UserError
from scripts.sources.blocks import PLACE, DatasetBlock, slug, unique
from scripts.sources.evidence import Evidence
from scripts.sources.files import files, opened, real_path
from scripts.sources.folders import split_of
from scripts.sources.limits import demand_regular
from scripts.sources.separate import LabelsOfFiles
from scripts.sources.source import Intake, Skipped
from scripts.sources.web import fetch

# A registered function. What it returns can be imported if it has `labels_found()`, the number of spans of each label,
# and, with a path, `recognizes()`. It can have `datasets()`, the names of those in it, and `findings()`, sentences
# about what else is in it.
Reader = Callable[..., Any]

_PRODIGY = "prodigyjsonl"
_START = 2**16  # bytes of a file that tell its encoding
_MAX_REASONS = 4
_MAX_OTHERS = 100  # files of a folder beside those that are read, to be recognized
_MAX_LOST = 10  # labels without a span, for which a dataset is read again


@dataclass
class FoundDataset:
    """A file, folder or dataset with annotations.

    reader (str), options (dict[str, Any]): Its reader, with all options but the labels.
    intake (Intake): The account of reading it.
    spans (Counter[str]), texts (Counter[str]): Of each label, the number of its spans and of records that have one.
    findings (list[str]): What the reader tells beside labels.
    split (str): "train", "dev" or "test", if it is one of the splits of a corpus, the others beside it.
    lost (dict[str, Counter[str]]): Of each label without a span that can be used, the reasons.
    """

    name: str
    reader: str
    options: dict[str, Any]
    intake: Intake = field(default_factory=lambda: Intake(lambda _: None))
    spans: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    split: str = ""
    evidence: Evidence = field(default_factory=Evidence)
    files: LabelsOfFiles = field(default_factory=LabelsOfFiles)
    lost: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """The labels, sorted. One without a span is a label of the corpus that this is a split of."""
        return sorted(label for label, spans in self.spans.items() if spans or self.split)


def find_datasets(format_name: str, path: str, options: Mapping[str, Any]) -> list[FoundDataset]:
    """Read all annotations at a path.

    format_name (str): The name of a reader, or the middle of it; empty to recognize it.
    path (str): A file or folder; for a database server, its `connection`.
    options (Mapping[str, Any]): Further options of the reader.
    RAISES (UserError): If there is nothing, its format is not known, or no span is in it; or for a URL, which may hold
        a password, so that the error does not repeat it.
    """
    if any(
        isinstance(value, str) and re.match(r"[A-Za-z][\w+.-]+:[/\\]", value) for value in (path, *options.values())
    ):
        raise UserError(
            "a URL is no path: fetch the files first. For a database server, give the name of an environment variable, "
            "and never the URL itself, which is a secret: --vars.format prodigyserver --vars.path DATABASE_URL"
        )
    demand_regular(Path(path).expanduser(), is_folder_allowed=True)
    readers = settings.readers()
    formats = {name.split(".")[1].lower(): name for name in readers}
    full_names = {name.lower(): short for short, name in formats.items()}
    format_name = full_names.get(format_name.lower(), format_name.lower())
    format_name = format_name or _recognize({name: readers[formats[name]] for name in sorted(formats)}, path)
    if format_name not in formats:
        there = ", ".join(sorted(formats))
        raise UserError(f"--vars.format {format_name}: there is no such format; there is {there}")
    reader = readers[formats[format_name]]
    found = list(_list_datasets(reader, formats[format_name], path, options))
    fetch({dataset.name: _make_source(reader, [], dataset.options) for dataset in found})
    corpus = sorted(set().union(*(_labels(reader, dataset) for dataset in found if dataset.split)))
    for dataset in found:
        _read(reader, dataset, corpus if dataset.split else sorted(_labels(reader, dataset)))
    if not any(dataset.spans.total() for dataset in found):
        raise UserError(f"{path}: no span that can be used is in it, read as {format_name}: {_reasons(found)}")
    return found


def _list_datasets(reader: Reader, reader_name: str, path: str, options: Mapping[str, Any]) -> Iterator[FoundDataset]:
    """Yield what is at a path, not read yet: datasets of a database, files of a folder, or all as one."""
    where = {_path_option(reader): path}
    source = _make_source(reader, [], {**where, **options})
    name = str(options.get("dataset") or options.get("project") or Path(path).expanduser().resolve().name.split(".")[0])
    inner = "project" if "project" in inspect.signature(reader).parameters else "dataset"
    if hasattr(source, "datasets") and inner not in options:
        for dataset in source.datasets():
            yield FoundDataset(str(dataset), reader_name, {**where, inner: dataset, **options})
    elif reader_name.split(".")[1].lower() == _PRODIGY and Path(path).expanduser().is_dir():
        for file in _prodigy_files(path):
            yield FoundDataset(file.name.split(".")[0], reader_name, {"path": str(file), **options})
    else:
        split = split_of(Path(path).name) if "path" in where and _sibling_splits(path) else ""
        yield FoundDataset(name, reader_name, {**where, **options}, split=split)


def unread_files(path: str, found: Iterable[FoundDataset]) -> list[str]:
    """Return a line for each other format that files of an imported folder have, which were not read therefore. Of many
    other files, the first are looked at.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return []
    readers = {name: reader for name, reader in settings.readers().items() if not getattr(reader, "is_fallback", False)}
    read: set[Path] = set()
    for dataset in found:
        source = _make_source(settings.readers()[dataset.reader], [], dataset.options)
        read.update(file for file, _ in getattr(source, "all_files", list)())
        read.add(Path(dataset.options.get("path", "")).expanduser())
    others = [file for file, _ in files(path, ("",)) if file not in read]
    if others:  # some may be read by other names, as links
        real = set(map(real_path, read))
        others = [file for file in others if real_path(file) not in real]
    by_format: dict[str, list[Path]] = {}
    for file in others[:_MAX_OTHERS]:
        for name in _recognizing(readers, str(file))[:1]:
            by_format.setdefault(name.split(".")[1], []).append(file)
    return [
        f"{some[0]}: not read, since it looks like {name}; import it by its own path"
        + (f" (and {len(some) - 1} more)" if len(some) > 1 else "")
        for name, some in by_format.items()
    ]


def make_blocks(datasets: Iterable[FoundDataset], prefix: str = "") -> list[DatasetBlock]:
    """Make a block for each label of each dataset.

    prefix (str): Begins all names, instead of the name of the dataset.
    """
    blocks: dict[str, DatasetBlock] = {}
    for dataset in datasets:
        for label in dataset.labels:
            words = [prefix or dataset.name] + ([label] if len(dataset.labels) > 1 else [])
            name = unique(slug("_".join(words)), blocks)
            first = {key: value for key, value in dataset.options.items() if key in PLACE}
            blocks[name] = DatasetBlock(name, dataset.reader, first | {"labels": [label]} | dataset.options)
    return list(blocks.values())


# ---- What is at a path


def path_and_options(first: str, rest: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide what a command line has beside its own options into the words of the path, and options of the reader.

    first (str): The first word of the path.
    rest (Sequence[str]): The others, with the options: `--reader.key value` or `--reader.key=value`.
    """
    words, options = [first] if first else [], []
    pending = list(rest)
    while pending:
        word = pending.pop(0)
        if not word.startswith("--"):
            words.append(word)
            continue
        options.append(word)
        if "=" not in word and pending:
            options.append(pending.pop(0))
    return words, options


def find_path(words: Iterable[str]) -> str:
    """Return the path that was divided at its spaces into words: weasel divides a command, and what is in it.

    Names with several spaces in a row are found where they are.
    """
    path = Path(" ".join(words))
    if path.expanduser().exists():
        return str(path)
    found = Path(path.anchor)
    for part in path.parts[bool(path.anchor) :]:
        here = found.expanduser()
        entries = here.iterdir() if here.is_dir() and not (here / part).exists() else ()
        found /= next((entry.name for entry in entries if entry.name.split() == part.split()), part)
    return str(found if found.expanduser().exists() else path)


def _recognize(readers: Mapping[str, Reader], path: str) -> str:
    """Return the format of what is at a path. RAISES (UserError): If it looks like none, or like several."""
    if not Path(path).expanduser().exists():
        raise UserError(f"{path}: no such file or folder; say with --vars.path where the annotations are")
    fallbacks = {name: reader for name, reader in readers.items() if getattr(reader, "is_fallback", False)}
    found = _recognizing({name: reader for name, reader in readers.items() if name not in fallbacks}, path)
    found = found or _recognizing(fallbacks, path)
    if len(found) < 2 and (files := _prodigy_files(path)):
        sources = (_make_source(readers[_PRODIGY], [], {"path": str(file)}) for file in files)
        found = [_PRODIGY] if all(source.recognizes() for source in sources) else found
    if len(found) == 1:
        return found[0]
    what = f"looks like {' and like '.join(found)}" if found else f"looks like no format that can be read{_why(path)}"
    where = " or give the path of one of its folders" if len(found) > 1 and Path(path).expanduser().is_dir() else ""
    raise UserError(f"{path}: {what}; say which it is with --vars.format, one of {', '.join(readers)}{where}")


def _recognizing(readers: Mapping[str, Reader], path: str) -> list[str]:
    """Return the formats whose readers recognize what is at a path."""
    found = []
    for name, reader in readers.items():
        if _path_option(reader) == "path":
            with suppress(OSError, UserError):  # a folder where a file is expected, bytes where text is
                found += [name] if _make_source(reader, [], {"path": path}).recognizes() else []
    return found


def _why(path: str) -> str:
    """Return why something cannot be read, as far as its name and its encoding tell."""
    suffix = Path(path).suffix.lower()
    if suffix in (".pkl", ".pickle"):
        return " (a pickle can run any code when it is opened: save it as JSON)"
    if suffix in (".zip", ".tar", ".tgz", ".7z", ".rar"):
        return " (unpack it)"
    if suffix in (".csv", ".xls", ".xlsx", ".doc", ".docx", ".pdf"):
        return " (annotations of texts are not kept in such files; export them as JSON, CoNLL or brat)"
    fault = _encoding_fault(path) if Path(path).expanduser().is_file() else ""
    return f" ({fault})" if fault else ""


def _encoding_fault(path: str) -> str:
    """Return why a file cannot be read as text: it is UTF-16, or neither UTF-8 nor binary."""
    try:
        with opened(path) as file:
            start = file.read(_START)
        getincrementaldecoder("utf8")().decode(start)
    except UserError as err:
        return str(err)
    except UnicodeDecodeError:
        return "" if b"\0" in start else "it is not UTF-8; save it as UTF-8"
    return ""


def _prodigy_files(path: str) -> list[Path]:
    """The files of a folder that may be exports of Prodigy, a dataset each."""
    return [file for file, _ in files(path, (".jsonl", ".jsonl.gz"))] if Path(path).expanduser().is_dir() else []


def _sibling_splits(path: str) -> list[Path]:
    """The files or folders beside one that are the other splits of its corpus, by their names."""
    place = Path(path).expanduser()
    split, words = split_of(place.name), _words(place.name)
    others = sorted(place.resolve().parent.iterdir()) if split and place.exists() else []
    rest = [word for word in words if not split_of(word)]
    return [
        other
        for other in others
        if split_of(other.name) not in ("", split)
        and [word for word in _words(other.name) if not split_of(word)] == rest
    ]


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", name.casefold())


def _path_option(reader: Reader) -> str:
    return "path" if "path" in inspect.signature(reader).parameters else "connection"


def _make_source(reader: Reader, labels: list[str], options: Mapping[str, Any]) -> Any:
    """RAISES (UserError): If the reader has no such option."""
    allowed = inspect.signature(reader).parameters
    unknown = [key for key in options if key not in allowed]
    if unknown:
        raise UserError(f"--reader.{unknown[0]}: there is no such setting; there is {', '.join(allowed)}")
    given = {"labels": labels, **options}
    return reader(**{name: "" for name in ("dataset", "project") if name in allowed} | given)


# ---- Reading it


def _labels(reader: Reader, dataset: FoundDataset) -> set[str]:
    """Return the labels in a dataset, and in the other splits of its corpus, if it is one."""
    labels = set(_make_source(reader, [], dataset.options).labels_found())
    if dataset.split:
        for path in _sibling_splits(str(dataset.options["path"])):
            try:
                labels |= set(_make_source(reader, [], {**dataset.options, "path": str(path)}).labels_found())
            except (OSError, UserError):  # something else than a split
                continue
    return labels


def _read(reader: Reader, dataset: FoundDataset, labels: list[str]) -> None:
    dataset.spans.update(dict.fromkeys(labels, 0))
    source = _make_source(reader, labels, dataset.options)
    if labels:
        source.check()
    for tasks in source.read(dataset.name, dataset.intake):
        spans = Counter(span.label for task in tasks for span in task.spans)
        dataset.intake.keep(len(tasks), spans.total())
        dataset.spans.update(spans)
        dataset.texts.update(spans.keys())
        dataset.evidence.add(tasks)
        dataset.files.add(tasks)
    dataset.intake.assert_adds_up()
    dataset.findings = getattr(source, "findings", list)()
    if not dataset.split and dataset.intake.spans["skipped"]:
        without = [label for label in labels if not dataset.spans[label]]
        dataset.lost = {label: _reasons_of(reader, dataset, label) for label in without[:_MAX_LOST]}


def _reasons_of(reader: Reader, dataset: FoundDataset, label: str) -> Counter[str]:
    """Read a dataset again for a label, and return why its spans are skipped."""
    skipped: list[Skipped] = []
    with suppress(UserError):
        deque(_make_source(reader, [label], dataset.options).read(dataset.name, Intake(skipped.append)), maxlen=0)
    spans = Counter(skip.reason for skip in skipped if skip.what == "span")
    return spans or Counter(skip.reason for skip in skipped)


def _reasons(found: Iterable[FoundDataset]) -> str:
    """Say why no span can be used: the most frequent reasons and notes of the readers, and what they found."""
    counts: Counter[str] = Counter()
    told: dict[str, None] = {}
    for dataset in found:
        counts += dataset.intake.reasons + dataset.intake.notes
        told.update(dict.fromkeys(dataset.findings))
    reasons = [f"{number:,} × {what}" for what, number in counts.most_common(_MAX_REASONS)]
    return "; ".join([*told, *reasons]) or "there is nothing to import"
