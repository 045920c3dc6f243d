"""Prodigy's task JSON, of all ages, as answers. Both Prodigy readers go through here.

What the fields mean was found in real databases and exports: see https://prodi.gy/docs/api-interfaces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from scripts.annotations.hashing import input_hash, old_input_hash
from scripts.annotations.intake import Intake, fit_span
from scripts.annotations.records import Answer, Kind, Span, Task

KindSetting = Literal["auto", "manual", "binary"]

# Sessions that nobody named are called by their start; they say nothing about who answered.
_UNNAMED_SESSION = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")


class _Span(msgspec.Struct, gc=False):
    start: int
    end: int
    label: str
    answer: Answer | None = None


class _Version(msgspec.Struct, gc=False):
    spans: list[_Span] | None = None


class _Record(msgspec.Struct, gc=False):
    """The fields that matter; the decoder skips the rest, above all `tokens`, most of a task's bytes."""

    text: str
    spans: list[_Span] | None = None
    answer: Answer | None = None
    meta: Any = None
    versions: list[_Version] | None = None
    input_hash: Any = msgspec.field(name="_input_hash", default=None)
    view_id: str | None = msgspec.field(name="_view_id", default=None)
    is_binary: bool | None = msgspec.field(name="_is_binary", default=None)
    session_id: str | None = msgspec.field(name="_session_id", default=None)
    annotator_id: str | None = msgspec.field(name="_annotator_id", default=None)
    timestamp: float | None = msgspec.field(name="_timestamp", default=None)


_decode = msgspec.json.Decoder(_Record).decode


class _Unusable(Exception):
    """Why a record yields no answer."""


@dataclass(frozen=True)
class TaskReader:
    """Turns the JSON of one task into the answers it holds.

    dataset (str): The name of the `[datasets.*]` block.
    labels (Sequence[str]): The labels that were annotated in it.
    kind (KindSetting): What its answers mean, if the tasks themselves are not to be believed ("auto").
    origin (str): Prodigy's own name of the dataset, a prefix of its session names.
    """

    dataset: str
    labels: Sequence[str]
    kind: KindSetting
    origin: str

    def answers(self, content: bytes | str, source: str, intake: Intake) -> list[Task]:
        """The answers in one task: usually one, one a span for binary tasks, none if refused or left out.

        content (bytes | str): The JSON.
        source (str): Where it stands.
        intake (Intake): The account; the record is counted in it.
        """
        try:
            record = _decode(content)
        except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError) as err:
            intake.record()
            intake.refuse(source, _reason(err))
            return []
        found = len(record.spans or ())
        intake.record(found)
        try:
            return self._judge(record, source, intake)
        except _Unusable as err:
            intake.refuse(source, str(err), found)
            return []

    def _judge(self, record: _Record, source: str, intake: Intake) -> list[Task]:
        if not record.text or record.text.isspace():
            raise _Unusable("text is empty")
        kind = self._kind(record)
        spans = [(_fit(record.text, span), span.answer) for span in record.spans or ()]
        taken = [(span, answer) for span, answer in spans if span.label in self.labels]
        if kind == "binary":
            tasks = self._binary(record, spans, taken)
        else:
            tasks = [self._complete(record, kind, taken)]
            for _ in range(len(taken) - len(tasks[0].spans)):
                intake.refuse_span(source, "span repeated in the same task")
        for task in tasks:
            task.source = source
        self._notes(record, spans, intake)
        intake.leave_out(len(spans) - len(taken), whole_record=not tasks)
        return tasks

    def _kind(self, record: _Record) -> Kind:
        if record.versions is not None or record.view_id == "review":
            return "review"
        if self.kind != "auto":
            return self.kind
        if record.is_binary or record.view_id == "ner":
            return "binary"
        if record.view_id is None and any(span.answer for span in record.spans or ()):
            return "binary"  # exports of ner.teach from before tasks named their view
        return "manual"

    def _complete(self, record: _Record, kind: Kind, taken: list[tuple[Span, Answer | None]]) -> Task:
        task = self._task(record, kind, record.answer or "accept", sorted({span for span, _ in taken}))
        if kind == "review":
            task.versions = [self._version(record.text, version) for version in record.versions or ()]
        return task

    def _version(self, text: str, version: _Version) -> list[Span]:
        spans = (fit_span(text, span.start, span.end, span.label) for span in version.spans or ())
        return sorted({span for span in spans if isinstance(span, Span) and span.label in self.labels})

    def _binary(self, record: _Record, spans: list[Any], taken: list[tuple[Span, Answer | None]]) -> list[Task]:
        if not spans:
            raise _Unusable("binary answer without a span")
        judged = [answer or record.answer or "accept" for _, answer in spans]
        if len(spans) > 1 and not spans[0][1] and judged[0] == "reject":
            raise _Unusable("binary reject of several spans at once: which one is wrong is not known")
        return [
            self._task(record, "binary", answer or record.answer or "accept", [span], [span.label])
            for span, answer in taken
        ]

    def _task(
        self, record: _Record, kind: Kind, answer: Answer, spans: list[Span], labels: list[str] | None = None
    ) -> Task:
        return Task(
            input_hash=input_hash(record.text),
            text=record.text,
            labels=sorted(self.labels) if labels is None else labels,
            spans=spans,
            answer=answer,
            kind=kind,
            annotator=self._annotator(record),
            timestamp=_seconds(record.timestamp),
            dataset=self.dataset,
            source="",
            meta=record.meta if isinstance(record.meta, dict) else {},
        )

    def _annotator(self, record: _Record) -> str:
        """Prodigy names a session "<dataset>-<annotator>", or after the moment it began if nobody named it."""
        name = record.annotator_id or record.session_id or ""
        name = name.removeprefix(f"{self.origin}-")
        return "" if _UNNAMED_SESSION.fullmatch(name) or name == self.origin else name

    def _notes(self, record: _Record, spans: list[Any], intake: Intake) -> None:
        trimmed = sum(
            (span.start, span.end) != (raw.start, raw.end)
            for (span, _), raw in zip(spans, record.spans or (), strict=True)
        )
        intake.note("blanks at the edges of a span trimmed", trimmed)
        stored = record.input_hash
        if stored is None or stored == input_hash(record.text):
            return
        old = stored == old_input_hash(record.text)
        intake.note("input hash of an old Prodigy version" if old else "stored input hash is not that of the text")


def _fit(text: str, span: _Span) -> Span:
    if not span.label:
        raise _Unusable("span without a label")
    fitted = fit_span(text, span.start, span.end, span.label)
    if isinstance(fitted, str):
        raise _Unusable(f"span: {fitted}")
    return fitted


def _seconds(timestamp: float | None) -> int | None:
    """Whole seconds; zero, negative and absurd times (beyond the year 9999) are taken for not known."""
    return int(timestamp) if timestamp is not None and 0 < timestamp < 253_402_300_800 else None


def _reason(err: Exception) -> str:
    if isinstance(err, RecursionError):
        return "JSON is nested too deeply"
    if isinstance(err, UnicodeError):
        return "not UTF-8"
    if isinstance(err, TypeError):
        return "content is neither text nor bytes"
    if isinstance(err, msgspec.ValidationError):
        return re.sub(r"\[\.*\d*\]", "[]", str(err))  # `$.spans[3].start` and `$.spans[7].start` are one reason
    return re.sub(r" \(byte \d+\)", "", f"malformed JSON: {err}")
