"""corpus/conflicts.jsonl: answers about one text that cannot all be right, and answers that were replaced."""

import msgspec

from scripts.core.answers import Answer, Kind, Range, Span

REPLACEMENT = "replacement"  # is no dispute: what counts is known


class ConflictAnswer(msgspec.Struct):
    """An answer as a conflict shows it, with the spans that are in conflict."""

    dataset: str
    annotator: str
    timestamp: int | None
    source: str
    kind: Kind
    answer: Answer
    spans: list[Span]


class Conflict(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Answers that cannot all be right; a line of `corpus/conflicts.jsonl`.

    kind (str): "disagreement", "rejected text", "binary", "overlap within a label", "overlap between labels", or
        "replacement": the answers that were replaced, and those that count instead.
    labels (list[str]): The labels it is about.
    decision (str): How it was decided, in words.
    spans (list[Span]): The spans that were decided on.
    answers (list[ConflictAnswer]): The answers in conflict.
    range (Range | None): The part of the text that it is about, if it is not all of it: the answers' spans are those
        inside.
    """

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    kind: str
    labels: list[str]
    decision: str
    spans: list[Span]
    answers: list[ConflictAnswer]
    range: Range | None = None
