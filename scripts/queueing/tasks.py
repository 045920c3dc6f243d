"""Queues: what is asked for, their tasks in the formats of annotation tools, and how the answers come back.

queues/<label>/<number>/queue.json remembers what was asked.
"""

import hashlib
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from rich.console import Console

from scripts.building.splits import SplitName
from scripts.core.answers import GoldText, Span
from scripts.core.files import Count, demand_sum, read_json_if_there
from scripts.core.settings import DatasetOptions
from scripts.exporting.doccano import doccano_line
from scripts.exporting.label_studio import interface, studio_task
from scripts.exporting.prodigy import ProdigyTokens, prodigy_task
from scripts.exporting.tokens import Tokens, cut
from scripts.merging.account import Ledger
from scripts.sources.blocks import DatasetBlock, slug
from scripts.sources.prodigy_database import ProdigyDatabase, ProdigyServer
from scripts.sources.source import Source

NAME = "queue.json"
QueueKind = Literal["uncovered", "suspects", "conflicts"]
Order = Literal["informative", "random"]
Prefill = Literal["gold", "model", "none"]
_DEFAULT_DATABASE = "~/.prodigy/prodigy.db"
_encode_lines = msgspec.json.Encoder().encode_lines


class Request(msgspec.Struct, kw_only=True, frozen=True):
    """The options of a queue."""

    label: str
    kind: QueueKind = "uncovered"  # texts in which the label is not covered, suspects, or conflicts between answers
    format: str = "prodigy"  # a key of `FORMATS`
    texts: SplitName = "train"  # the split of uncovered texts
    order: Order = "informative"  # of uncovered texts: the most informative first, or a random sample
    prefill: Prefill = "gold"  # spans in the tasks of uncovered texts: those in the gold, also predicted ones, or none
    limit: int = 100  # tasks
    seed: int = 0  # of the random sample


class QueueItem(NamedTuple):
    """A task before it is written in a format."""

    text: GoldText
    spans: list[Span]  # that the task shows, sorted
    reason: dict[str, Any]  # why it is asked; it becomes part of the task's meta
    asked: list[str]  # keys of what is asked, see `question_key`
    versions: Sequence[tuple[list[Span], list[str]]] = ()  # of a review: spans of the label, and who proposes them


class Selection(NamedTuple):
    """The items of a queue in their order, and the outcomes of all texts, suspects or conflicts that were read."""

    items: list[QueueItem]
    counts: Ledger


class Queue(msgspec.Struct, kw_only=True):
    """queue.json."""

    request: Request
    gold: str  # digest
    models: dict[str, str]  # digests of the models that ranked the texts, by folder
    unit: str  # of the counts: text, suspect or conflict
    counts: dict[str, Count]  # read = queued + the others, by reason
    tasks: Count  # one a text, so that several suspects can be in one
    informativeness: list[float]  # of the first and the last text, if models ranked them
    asked: list[str]  # keys of what was asked, sorted; later queues leave it out

    def __post_init__(self) -> None:
        """RAISES (ValueError): If the counts do not add up."""
        demand_sum(self.counts, "read")


def spans_of(spans: Iterable[Span], label: str) -> list[Span]:
    """Return the spans of a label."""
    return [span for span in spans if span.label == label]


def without_overlap(spans: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """Return the spans that overlap none of the others."""
    others = list(others)
    return [span for span in spans if all(span.end <= other.start or other.end <= span.start for other in others)]


def question_key(*parts: object) -> str:
    """Digest of a question: the text and, for a suspect or a conflict, the place and the annotations in question."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=8).hexdigest()


def asked_before(folder: Path) -> frozenset[str]:
    """Keys of all that was asked in the queues of a label. RAISES (UserError): If a queue.json is damaged."""
    mend = "restore it, or remove the folder to ask again"
    queues = (read_json_if_there(path, Queue, mend) for path in sorted(folder.glob(f"*/{NAME}")))
    return frozenset(key for queue in queues if queue for key in queue.asked)


# ---- Formats


class TaskFormat(NamedTuple):
    """A format of tasks, and the reader of its answers."""

    name: str  # of the file with the tasks
    write: Callable[[list[QueueItem], str, Tokens, Path], None]  # items, label, tokens, folder
    reader: str
    answers: str  # the file that answers are exported to; none with a database
    settings: dict[str, str]  # further ones of the reader


def _write_prodigy(items: list[QueueItem], label: str, tokens: Tokens, folder: Path) -> None:
    """Write tasks for ner.manual. Versions stay in the answer, which is therefore read as a review that decides."""
    with (folder / FORMATS["prodigy"].name).open("wb") as file:
        for item in items:
            spans = [*item.spans, *(span for version, _ in item.versions for span in version)]
            shown = ProdigyTokens(item.text.text, cut(tokens.of(item.text.text), spans))
            task = prodigy_task(_with_reason(item), shown, item.spans, "ner_manual")
            if item.versions:
                task["versions"] = [
                    {"spans": [shown.span(span) for span in version], "sessions": by} for version, by in item.versions
                ]
            file.write(_encode_lines([task]))


def _write_label_studio(items: list[QueueItem], label: str, tokens: Tokens, folder: Path) -> None:
    tasks = (msgspec.json.encode(studio_task(_with_reason(item), item.spans, complete=False)) for item in items)
    (folder / FORMATS["label_studio"].name).write_bytes(b"[\n" + b",\n".join(tasks) + b"\n]\n")
    (folder / "labeling.xml").write_bytes(interface([label]).encode())


def _write_doccano(items: list[QueueItem], label: str, tokens: Tokens, folder: Path) -> None:
    lines = (doccano_line(_with_reason(item), item.spans) for item in items)
    (folder / FORMATS["doccano"].name).write_bytes(_encode_lines(lines))


def _with_reason(item: QueueItem) -> GoldText:
    return msgspec.structs.replace(item.text, meta=item.text.meta | item.reason)


_ALL_ANNOTATED = {"without_spans": "annotated"}
FORMATS = {
    "prodigy": TaskFormat("tasks.jsonl", _write_prodigy, "labelwise.ProdigyDatabase.v1", "", {}),
    "label_studio": TaskFormat("tasks.json", _write_label_studio, "labelwise.LabelStudio.v1", "answers.json", {}),
    "doccano": TaskFormat("tasks.jsonl", _write_doccano, "labelwise.Doccano.v1", "answers.jsonl", _ALL_ANNOTATED),
}


def print_way_back(
    console: Console, queue: Queue, folder: Path, sources: Mapping[str, Source],
    options: Mapping[str, DatasetOptions], lang: str, covering: Mapping[str, int],
) -> None:  # fmt: skip
    """Print what to do with the tasks in a folder, and the block of the config that reads the answers.

    sources (Mapping[str, Source]), options (Mapping[str, DatasetOptions]): The datasets of the config.
    covering (Mapping[str, int]): By dataset that was merged, the number of texts that it covers for the label.
    """
    name, block = _destination(queue, folder, sources, options, covering)
    task_format = FORMATS[queue.request.format]
    tasks = (folder / task_format.name).as_posix()
    if queue.request.format == "prodigy":
        words = ["prodigy", "ner.manual", name, f"blank:{lang}", tasks, *_label_option(queue.request.label)]
        console.print(f"\n{shlex.join(words)}\n", soft_wrap=True)
    else:
        answers = (folder / task_format.answers).as_posix()
        exported = "the approved texts" if queue.request.format == "doccano" else "the answers, as JSON,"
        console.print(f"\nImport {tasks}, and export {exported} to {answers}.\n", soft_wrap=True)
        if queue.request.kind != "uncovered":
            console.print("⚠ these answers count as one more annotator's; as reviews in Prodigy they would decide")
    if block is None:
        console.print("`pull` reads that dataset already: nothing to add to configs/datasets.cfg.")
    else:
        console.print("Add this to configs/datasets.cfg once there are answers:\n")
        console.print(str(block), soft_wrap=True)


def _label_option(label: str) -> list[str]:
    """Return the words of an option, of which a label like `-` is no option itself."""
    return [f"--label={label}"] if label.startswith("-") else ["--label", label]


def _destination(
    queue: Queue, folder: Path, sources: Mapping[str, Source], options: Mapping[str, DatasetOptions],
    covering: Mapping[str, int],
) -> tuple[str, DatasetBlock | None]:  # fmt: skip
    """Return the dataset that the answers go to, and the block that reads it unless the config has one."""
    request, task_format = queue.request, FORMATS[queue.request.format]
    if request.format != "prodigy":
        name = f"{slug(request.label)}_{request.kind}_{folder.name}"
        where = {"path": (folder / task_format.answers).as_posix(), "labels": [request.label]}
        return name, DatasetBlock(name, task_format.reader, where | task_format.settings)
    prodigy = {name: one for name, one in sources.items() if isinstance(one, ProdigyDatabase | ProdigyServer)}
    # The answers will have our name of the label, and may be anybody's.
    as_it_is = [name for name in prodigy if not options[name].rename and not options[name].annotators]
    own = [name for name in as_it_is if prodigy[name].labels == [request.label]]
    # One that covers no text holds answers about single spans, as ner.teach makes them.
    complete = [name for name in own if covering.get(name) != 0]
    if complete and request.kind == "uncovered":
        return prodigy[max(complete, key=lambda name: covering.get(name, 0))].dataset, None
    # A review needs a dataset of its own: Prodigy does not ask about a text that the dataset has.
    number = "" if request.kind == "uncovered" else f"_{folder.name}"
    name = f"{slug(request.label)}_{request.kind}{number}"
    paths = [source.path for source in prodigy.values() if isinstance(source, ProdigyDatabase)]
    where = {"path": paths[0] if paths else _DEFAULT_DATABASE, "dataset": name, "labels": [request.label]}
    return name, None if name in sources else DatasetBlock(name, task_format.reader, where)
