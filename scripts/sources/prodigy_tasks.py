"""Prodigy's task JSON, of all ages, as answers. Both Prodigy readers go through here.

What the fields mean was found in real databases and exports: see https://prodi.gy/docs/api-interfaces.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any, Literal

import msgspec

from scripts.core.answers import Kind, Span, Task, are_apart
from scripts.core.hashing import input_hashes
from scripts.sources.documents import TRIMMED, note_unseen
from scripts.sources.json_records import UNREADABLE, is_too_deep, reason
from scripts.sources.prodigy_records import Record, SpanRecord, Version, decode
from scripts.sources.source import Intake, fit_span

SAMPLE = 1000  # tasks, to name the labels in them
KindSetting = Literal["auto", "manual", "binary"]

# Sessions that nobody named are called by their start; they say nothing about who answered.
_UNNAMED_SESSION = re.compile(r"(.*-)?\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", re.DOTALL)


class _Unusable(Exception):
    """Why a record yields no answer."""


def is_task(content: bytes) -> bool:
    """Whether JSON has what only Prodigy's tasks have, a hash, or a span as only they have it."""
    try:
        record = decode(content)
    except UNREADABLE:
        return False
    return isinstance(record.input_hash, int) or bool(record.spans)


def labels_in(contents: Iterable[Any], most: int | None = None) -> Counter[str]:
    """The labels of the spans in tasks, and how often each occurs.

    contents (Iterable): The JSON of a task each; what is none does not count.
    most (int | None): How many tasks to look at, if not at all.
    """
    found: Counter[str] = Counter()
    for content in islice(contents, most):
        with suppress(*UNREADABLE):
            found.update(span.label for span in decode(content).spans or () if span.label)
    return found


class TaskReader(msgspec.Struct, frozen=True, dict=True):
    """Turns the JSON of one task into the answers it holds.

    dataset (str): The name of the `[datasets.*]` block.
    labels (Sequence[str]): The labels that were annotated in it.
    kind (KindSetting): What its answers mean, if the tasks themselves are not to be believed ("auto").
    origin (str): Prodigy's own name of the dataset, a prefix of its session names.
    annotator (str): Who answered, where a task does not say.
    """

    dataset: str
    labels: Collection[str]
    kind: KindSetting
    origin: str
    annotator: str = ""

    def read(self, contents: Iterable[tuple[str, Any]], intake: Intake) -> Iterator[list[Task]]:
        """The answers in many tasks, those of one task at a time.

        contents (Iterable): Where each task stands, and its JSON.
        intake (Intake): The account; it is noted there if a label never occurs.
        """
        unseen = set(self.labels)
        for source, content in contents:
            if tasks := self.answers(content, source, intake):
                if unseen:
                    unseen.difference_update(span.label for task in tasks for span in task.spans)
                yield tasks
        note_unseen(unseen, intake)

    def answers(self, content: Any, source: str, intake: Intake) -> list[Task]:
        """The answers in one task: usually one, one a span for binary tasks, none if refused or left out.

        content (Any): The JSON as bytes or text; anything else is refused.
        source (str): Where it stands.
        intake (Intake): The account; the record is counted in it.
        """
        try:
            record = decode(content)
        except UNREADABLE as err:
            intake.record()
            intake.skip(source, reason(err))
            return []
        found = len(record.spans or ())
        intake.record(found)
        try:
            return self._judge(record, source, intake)
        except _Unusable as err:
            intake.skip(source, str(err), found)
            return []

    def _judge(self, record: Record, source: str, intake: Intake) -> list[Task]:
        spans = record.spans or ()
        _check(record)
        taken, fitted, trimmed = self._fit(record.text, spans)
        current_hash, old_hash = input_hashes(record.text)
        task = self._task(record, source, current_hash)
        if task.kind == "binary":
            tasks = _binary(record, task, taken, fitted)
        else:
            task.spans = fitted if are_apart(fitted) else sorted(set(fitted))
            if task.kind == "review":
                task.versions = [self._version(record.text, version) for version in record.versions or ()]
            tasks = [task]
            for _ in range(len(taken) - len(task.spans)):
                intake.skip_span(source, "span repeated in the same task")
        intake.other_labels(len(spans) - len(taken), whole_record=not tasks)
        intake.note(TRIMMED, trimmed)
        self._note(record, task, old_hash, intake)
        return tasks

    def _fit(self, text: str, spans: Iterable[SpanRecord]) -> tuple[list[SpanRecord], list[Span], int]:
        """The spans of the labels that are taken, these as they fit into the text, and how many had to be trimmed."""
        taken, fitted = [], []
        trimmed = 0
        for span in spans:
            label = span.label
            if not label:
                raise _Unusable("span without a label")
            if label in self.labels:
                start, end = span.start, span.end
                fits = fit_span(text, start, end, label)
                if isinstance(fits, str):
                    raise _Unusable(f"span: {fits}")
                if fits.start != start or fits.end != end:
                    trimmed += 1
                taken.append(span)
                fitted.append(fits)
        return taken, fitted, trimmed

    def _task(self, record: Record, source: str, input_hash: int) -> Task:
        """The answer, but for its spans."""
        return Task(
            input_hash=input_hash,
            text=record.text,
            labels=self._sorted_labels,
            spans=[],
            answer=record.answer or "accept",
            kind=self._kind(record),
            annotator=_annotator(record.annotator_id or record.session_id or "", self.origin) or self.annotator,
            timestamp=_seconds(record.timestamp),
            dataset=self.dataset,
            source=source,
            meta=record.meta if isinstance(record.meta, dict) else {},
        )

    @cached_property
    def _sorted_labels(self) -> list[str]:
        return sorted(self.labels)

    def _kind(self, record: Record) -> Kind:
        if record.versions is not None or record.view_id == "review":
            return "review"
        if self.kind != "auto":
            return self.kind
        if record.is_binary or record.view_id == "ner":
            return "binary"
        if record.view_id is None and any(span.answer for span in record.spans or ()):
            return "binary"  # exports of ner.teach from before tasks named their view
        return "manual"

    def _version(self, text: str, version: Version) -> list[Span]:
        spans = (fit_span(text, span.start, span.end, span.label) for span in version.spans or ())
        return sorted({span for span in spans if isinstance(span, Span) and span.label in self.labels})

    def _note(self, record: Record, task: Task, old_hash: int, intake: Intake) -> None:
        if record.meta is not None and not isinstance(record.meta, dict):
            intake.note("meta that is no object left out")
        if self.kind == "auto" and task.kind == "manual" and record.view_id is None and record.is_binary is None:
            intake.note("does not say whether it is manual or binary: taken for manual")
        stored = record.input_hash
        if stored is None or stored == task.input_hash:
            return
        is_old = stored == old_hash
        intake.note("input hash of an old Prodigy version" if is_old else "stored input hash is not that of the text")


def _check(record: Record) -> None:
    """RAISES (_Unusable): If nothing can be made of the record, whatever its kind."""
    if not record.text or record.text.isspace():
        raise _Unusable("text is empty")
    if record.meta and is_too_deep(record.meta):
        raise _Unusable("meta is nested too deeply")


def _binary(record: Record, task: Task, taken: list[SpanRecord], fitted: list[Span]) -> list[Task]:
    """An answer for each span. A span's own goes before that of the record, unless all of it is ignored."""
    spans = record.spans or []
    if not spans:
        raise _Unusable("binary answer without a span")
    if task.answer == "reject" and sum(span.answer is None for span in spans) > 1:
        raise _Unusable("binary reject of several spans at once: which one is wrong is not known")
    answers = ["ignore" if task.answer == "ignore" else span.answer or task.answer for span in taken]
    return [
        msgspec.structs.replace(task, answer=answer, labels=[span.label], spans=[span])
        for answer, span in zip(answers, fitted, strict=True)
    ]


@lru_cache(2**10)
def _annotator(session: str, origin: str) -> str:
    """Prodigy names a session "<dataset>-<annotator>", or after the moment it began if nobody named it."""
    is_unnamed = session == origin or _UNNAMED_SESSION.fullmatch(session)
    return "" if is_unnamed else session.removeprefix(f"{origin}-")


def _seconds(timestamp: float | None) -> int | None:
    """Whole seconds; zero, negative and absurd times (beyond the year 9999) are taken for not known."""
    return int(timestamp) if timestamp is not None and 0 < timestamp < 253_402_300_800 else None
