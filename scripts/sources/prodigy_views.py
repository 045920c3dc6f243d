"""What a task of Prodigy's is about: whether it is an answer about spans, and whether that is a complete one.

By the interface in which it was answered, https://prodi.gy/docs/api-interfaces, where the task names it. Of others, and
of tasks from before it was named, by the keys that an interface leaves in a task: "tokens" are left by those in which
spans are marked, scores and patterns by ner.teach and ner.match, which ask about one span.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Literal, NamedTuple

import msgspec

from scripts.core.answers import Kind
from scripts.sources.json_records import UNREADABLE
from scripts.sources.prodigy_decoding import CUT_TOKENS, find_tokens

KindSetting = Literal["auto", "manual", "binary"]

KIND_OF_VIEW: dict[str | None, Kind] = {
    "ner_manual": "manual",
    "spans_manual": "manual",
    "ner": "binary",
    "spans": "binary",
}
_SPANS_AND_MORE = {"dep", "pos", "pos_manual", "relations"}
_NOT_ABOUT_SPANS = {
    "audio", "audio_manual", "choice", "classification", "compare", "diff", "html", "image", "image_manual", "llm_io",
    "pages", "pairwise", "text", "text_input", "textcat", "video", "video_manual",
}  # fmt: skip
# Keys of tasks that do not name their interface, and what they are about.
_SUBJECTS = {
    "image": "image", "audio": "audio", "video": "video", "html": "html", "options": "choice", "accept": "choice",
    "relations": "relations", "arcs": "dep", "label": "category",
}  # fmt: skip
_FEW = 20  # tasks that are too few to tell by their number of spans
_MANY_REJECTED = 0.1  # share of the tasks


class _SpanMarks(msgspec.Struct, gc=False):
    """Keys of a span, where they are there."""

    label: Any = None
    start: Any = None
    answer: Any = None
    token_start: Any = None
    score: Any = None
    rank: Any = None
    priority: Any = None
    pattern: Any = None
    source: Any = None
    input_hash: Any = None

    @property
    def is_judged(self) -> bool:
        """Whether it was accepted or rejected by itself, or a model suggested it for that."""
        return any(value is not None for value in (self.answer, self.score, self.rank))

    @property
    def is_suggested(self) -> bool:
        """Whether a model or a pattern suggested it."""
        by_model = self.source is not None and self.input_hash is not None
        return self.is_judged or by_model or any(value is not None for value in (self.priority, self.pattern))


class _VersionMarks(msgspec.Struct, gc=False):
    view_id: Any = msgspec.field(name="_view_id", default=None)


class TaskMarks(msgspec.Struct, dict=True):
    """Keys by which a task tells what it is about. All of any JSON object can be decoded as one."""

    view: Any = msgspec.field(name="_view_id", default=None)
    inner_view: Any = msgspec.field(name="view_id", default=None)
    is_binary: Any = msgspec.field(name="_is_binary", default=None)
    input_hash: Any = msgspec.field(name="_input_hash", default=None)
    answer: Any = None
    meta: Any = None
    score: Any = None
    rank: Any = None
    priority: Any = None
    label: Any = None
    tokens: msgspec.Raw = msgspec.Raw()
    raw_spans: msgspec.Raw = msgspec.field(name="spans", default=msgspec.Raw())
    raw_versions: msgspec.Raw = msgspec.field(name="versions", default=msgspec.Raw())
    image: msgspec.Raw = msgspec.Raw()
    audio: msgspec.Raw = msgspec.Raw()
    video: msgspec.Raw = msgspec.Raw()
    html: msgspec.Raw = msgspec.Raw()
    options: msgspec.Raw = msgspec.Raw()
    accept: msgspec.Raw = msgspec.Raw()
    relations: msgspec.Raw = msgspec.Raw()
    arcs: msgspec.Raw = msgspec.Raw()
    llm: msgspec.Raw = msgspec.Raw()
    openai: msgspec.Raw = msgspec.Raw()

    @cached_property
    def spans(self) -> list[_SpanMarks]:
        """The spans, if they are objects."""
        return _list_of(self.raw_spans, _SpanMarks)

    def number_of_spans(self) -> int:
        """Count the spans, whatever they are."""
        return len(_list_of(self.raw_spans, Any))

    def has(self, key: str) -> bool:
        """Whether it has a key, and its value is not null."""
        value = getattr(self, key)
        return is_given(value) if isinstance(value, msgspec.Raw) else value is not None

    @property
    def has_tokens(self) -> bool:
        """Whether it has tokens."""
        return is_given(self.tokens)

    @cached_property
    def is_suggestion(self) -> bool:
        """Whether it asks about a span that a model or a pattern suggested, as ner.teach and ner.match do. Where it has
        tokens, spans of patterns may have been shown to be corrected.
        """
        if self.has_tokens:
            return any(span.is_judged for span in self.spans)
        meta = self.meta if isinstance(self.meta, dict) else {}
        own = (_score(self.score), self.rank, self.priority, _score(meta.get("score")), meta.get("pattern"))
        return any(value is not None for value in own) or any(span.is_suggested for span in self.spans)

    @property
    def is_prediction(self) -> bool:
        """Whether a model made it, and nobody has answered it, as the output of ner.llm.fetch."""
        if self.answer is not None or self.view is not None or any(span.answer is not None for span in self.spans):
            return False
        return self.has("llm") or self.has("openai") or self.is_suggestion

    def reviewed_view(self) -> Any:
        """The interface of the answers that a review shows."""
        views = (self.inner_view, *(version.view_id for version in _list_of(self.raw_versions, _VersionMarks)))
        return next((view for view in views if view is not None), None)


def _score(value: Any) -> Any:
    """Return a score of a model; None if it is another number, as the votes of a post."""
    return None if isinstance(value, (int, float)) and not 0 <= value <= 1 else value


def _list_of(value: msgspec.Raw, item: Any) -> list[Any]:
    """Decode a list of objects; empty if it is none."""
    try:
        return msgspec.json.decode(value, type=list[item])
    except UNREADABLE:
        return []


_decode = msgspec.json.Decoder(TaskMarks).decode


def is_given(value: msgspec.Raw) -> bool:
    """Whether a key is there and is not null."""
    return bytes(value) not in (b"", b"null")


def marks_of(content: Any) -> TaskMarks:
    """Decode the keys by which a task tells what it is about. RAISES (UNREADABLE): If it is no JSON object."""
    start, end = find_tokens(content) if isinstance(content, bytes) else (0, 0)
    if start:
        with suppress(*UNREADABLE):
            marks = _decode(content[:start] + CUT_TOKENS + content[end:])
            if is_given(marks.tokens):  # else it was the tokens of something inside the task
                return marks
    return _decode(content)


class Evidence(NamedTuple):
    """What the tasks of a dataset tell about those that do not tell themselves.

    unmarked (dict[bool, Kind]): The kind of tasks that have no mark of it, without tokens and with them, where it can
        be told.
    views_with_spans (frozenset[str]): The interfaces in which somebody marked spans.
    has_answers (bool): Whether there are tasks with an answer: then one without was not answered yet.
    """

    unmarked: dict[bool, Kind]
    views_with_spans: frozenset[str]
    has_answers: bool


NO_EVIDENCE = Evidence({}, frozenset(), False)


def find_evidence(contents: Iterable[Any]) -> Evidence:
    """Look for evidence in the JSON of some tasks."""
    views = set()
    has_answers = False
    unmarked: dict[bool, list[TaskMarks]] = {False: [], True: []}
    for content in contents:
        with suppress(*UNREADABLE):
            marks = marks_of(content)
            has_answers |= marks.answer is not None
            if marks.view is not None and is_given(marks.raw_spans):
                views.add(str(marks.view))
            elif marks.view is None and marks.is_binary is None and not other_subject(marks):
                unmarked[marks.has_tokens].append(marks)
    kinds = ((has_tokens, _kind_of_all(tasks, has_tokens)) for has_tokens, tasks in unmarked.items())
    return Evidence({has_tokens: kind for has_tokens, kind in kinds if kind}, frozenset(views), has_answers)


def _kind_of_all(tasks: Sequence[TaskMarks], has_tokens: bool) -> Kind | None:
    """Return the kind of tasks that name no interface, all alike; None if it cannot be told."""
    suggestions = sum(task.is_suggestion for task in tasks)
    if suggestions and suggestions >= sum(task.number_of_spans() > 0 for task in tasks) / 2:
        return "binary"
    if has_tokens:  # before interfaces were named, only those in which spans are marked had them
        return "manual"
    rejected = sum(task.answer == "reject" for task in tasks)
    asks_one_by_one = len(tasks) >= _FEW and all(task.number_of_spans() == 1 for task in tasks)
    return "binary" if asks_one_by_one and rejected >= _MANY_REJECTED * len(tasks) else None


def other_subject(marks: TaskMarks, setting: KindSetting = "auto", evidence: Evidence = NO_EVIDENCE) -> str:
    """Return what a task is about instead of spans: the name of its interface, or "category"; "" if it is about spans.

    setting (KindSetting): With another one than "auto", tasks are taken if they have spans, unless their interface
        shows none.
    """
    view = marks.reviewed_view() if marks.view == "review" else marks.view
    if view in KIND_OF_VIEW:
        return ""
    spans = marks.spans
    if marks.is_prediction and setting == "auto":
        return "prediction"
    if view is None:
        if any(span.label is not None and span.start is not None for span in spans) or (
            is_given(marks.raw_spans) and marks.has_tokens
        ):
            return ""
        return next((what for key, what in _SUBJECTS.items() if marks.has(key)), "")
    has_spans = is_given(marks.raw_spans)
    if view in _NOT_ABOUT_SPANS or (view in _SPANS_AND_MORE and setting == "auto"):
        return str(view)
    if setting != "auto" and has_spans:
        return ""
    # An interface that shows several, as "blocks", or one of somebody's own.
    was_marked = marks.has_tokens or any(span.token_start is not None for span in spans)
    return "" if was_marked and (has_spans or view in evidence.views_with_spans) else str(view)


def kind_of(marks: TaskMarks, setting: KindSetting, evidence: Evidence) -> tuple[Kind, str]:
    """Return the kind of an answer about spans, and a note where it is taken for that.

    setting (KindSetting): See `TaskReader`.
    """
    if marks.view == "review" or is_given(marks.raw_versions):
        return ("binary" if KIND_OF_VIEW.get(marks.reviewed_view()) == "binary" else "review"), ""
    if setting != "auto":
        return setting, ""
    if marks.is_binary is True:
        return "binary", ""
    if marks.view is None:
        return _kind_without_view(marks, evidence)
    return KIND_OF_VIEW.get(marks.view, "manual"), f"spans marked in {marks.view}: taken for complete"


def _kind_without_view(marks: TaskMarks, evidence: Evidence) -> tuple[Kind, str]:
    if any(span.answer is not None for span in marks.spans):
        return "binary", ""
    if marks.is_binary is not None:
        return "manual", ""
    if marks.is_suggestion and not marks.has_tokens:
        return "binary", ""
    kind = evidence.unmarked.get(marks.has_tokens)
    if kind is None:
        return "manual", f"{_UNTOLD}: taken for manual; kind sets it"
    return kind, f"{_UNTOLD}: taken for binary, as others of its dataset; kind sets it" if kind == "binary" else ""


_UNTOLD = "does not tell whether it is manual or binary"
