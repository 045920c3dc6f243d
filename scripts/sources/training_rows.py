"""Training data of spaCy 2 and its kin: JSON, JSONL or Python with texts and the offsets of their spans.

Rows are told by their structure, wherever they are in a file:
- `["text", {"entities": [[0, 4, "PERSON"]]}]`, as spaCy 2's examples called TRAIN_DATA, https://v2.spacy.io/usage/training;
  ner-annotator has them under "annotations", https://github.com/tecoholic/ner-annotator
- `{"paragraphs": [{"raw": "text", "sentences": [{"tokens": [{"orth": "Lena", "ner": "U-PERSON"}]}]}]}`, spaCy 2's JSON
  format, https://v2.spacy.io/api/annotation#json-input
- `{"text": "text", "spans": [{"start": 0, "end": 4, "label": "PERSON"}]}`, under whatever keys, as of spaCy 3's
  `Doc.to_json`, Rasa, LightTag and SageMaker Ground Truth
- `{"content": "text", "annotation": [{"label": ["PERSON"], "points": [{"start": 0, "end": 3}]}]}`, Dataturks, and LUIS,
  with ends that are inclusive
- `{"tokens": ["Lena", "left"], "ner_tags": ["B-PERSON", "O"]}`, and `"ner": [[0, 0, "PERSON"]]`, as of GLiNER
"""

from __future__ import annotations

import ast
import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from scripts.core.answers import Answer
from scripts.core.errors import UserError
from scripts.sources.columns import names_predictions
from scripts.sources.files import has_ending, opened
from scripts.sources.json_records import UNREADABLE, json_lines, json_records, reason
from scripts.sources.limits import TooLarge, read_bounded, sized
from scripts.sources.tags import find_scheme, positions_in, tagged_text

_ORIGINS = ("document", "data", "source")  # a text, or the name of what it is of
_TEXT = ("text", "content", "raw", "sentence", "body", *_ORIGINS)
SPANS = ("entities", "spans", "ents", "labels", "label", "annotations", "annotation", "ner")
_OFFSETS = ("entities", "spans", "ents")  # hold nothing but spans
_START = (
    "start", "start_offset", "startOffset", "start_char", "start_idx", "start_index", "begin", "startPos", "offset"
)  # fmt: skip
_END = ("end", "end_offset", "endOffset", "end_char", "end_idx", "end_index", "stop", "endPos")
_LABEL = ("label", "labels", "tag", "entity_type", "entity_group", "entityLabel", "type", "entity", "class", "category")
_INCLUSIVE = ("points", "endPos")
_TOKENS = ("tokens", "words", "tokenized_text")
_TAGS = ("ner_tags", "tags", "ner", "labels", "label", "entities")
_NO_SPANS = {*_TOKENS, "sents", "relations", "meta", "metadata"}
_ANNOTATOR = ("annotator", "annotator_id", "annotated_by", "worker_id")
_ANSWERS: dict[str, Answer] = {"reject": "reject", "ignore": "ignore"}
_DISCARDED: dict[str, Answer] = {"Discarded": "ignore", "discarded": "ignore"}
_UNFINISHED = ("Default", "draft", "pending")  # status of a row of Argilla that nobody has submitted
_OF_PRODIGY = {"_input_hash", "_task_hash", "_view_id", "_session_id", "_is_binary", "_timestamp"}
PRODIGY = "a task of Prodigy: save the file as JSONL, one task a line"
_MAX_DEPTH = 4  # of a list of spans in a row, and of a row in a file
_MAX_PYTHON = 2**26  # bytes
_PYTHON = re.compile(rb"\s*(?:[A-Za-z_#\"']|\(|\[\s*\(|\[?\s*[\[{]\s*')")


class RowSpan(NamedTuple):
    """A span as the source has it; is_quote (bool): Whether the quote must fit; is_wrong (bool): It was rejected."""

    start: int
    end: int
    label: str
    quote: str | None = None
    is_quote: bool = False
    fault: str = ""
    is_wrong: bool = False


class TrainingRow(NamedTuple):
    """A text with its spans by the keys that they are under, which may be empty lists. The ends of most rows are
    exclusive; is_complete (bool): All of it was annotated.
    """

    text: str
    spans: Mapping[str, Sequence[RowSpan]]
    is_inclusive: bool = False
    is_complete: bool = True
    answer: Answer = "accept"
    meta: dict[str, Any] | None = None
    annotator: str = ""


# ---- Rows


def training_rows(path: Path, name: str) -> Iterator[tuple[str, TrainingRow | str | None]]:
    """Stream the rows of a file with their places: a row, the reason why it cannot be read, or None for null.

    RAISES (UserError): If it is damaged, or neither JSON nor Python.
    """
    file_name = name.rpartition("/")[2]
    number = 0
    for place, value in _values(path):
        if isinstance(value, Exception):
            number += 1
            yield place.replace(file_name, name, 1), reason(value)
            continue
        for row in _rows_in(value):
            number += 1
            yield f"{name}:{number}", row


def _values(path: Path) -> Iterator[tuple[str, Any]]:
    """Stream the values that a file is made of: elements of its array, lines, or the whole; an exception for one that
    cannot be decoded.
    """
    with opened(path) as file:
        start = file.read(2**16).removeprefix(codecs.BOM_UTF8)
    if has_ending(path, ".py") or _PYTHON.match(start):
        yield from (("", value) for value in _python_values(path))
        return
    first = _decoded(start.lstrip().partition(b"\n")[0])
    is_whole = isinstance(first, Exception) and start.lstrip().startswith(b"{")
    if is_whole:
        with opened(path) as file:
            try:
                whole = _decoded(read_bounded(file).removeprefix(codecs.BOM_UTF8))
            except TooLarge as err:
                whole = err
        if not isinstance(whole, Exception) or (isinstance(whole, TooLarge) and b"\n" not in start):
            yield f"{path.name}:1", whole
            return
    is_lines = is_whole or not start.lstrip().startswith(b"[") or _is_pair(first)
    for place, content in json_lines(str(path)) if is_lines else json_records(str(path)):
        yield place, _decoded(content)


def _decoded(content: bytes) -> Any:
    try:
        return msgspec.json.decode(sized(content))
    except UNREADABLE as err:
        return err


def _python_values(path: Path) -> Iterator[Any]:
    """Yield the literals that a Python file assigns, or is. RAISES (UserError): If it is no Python, or too long."""
    with opened(path) as file:
        content = file.read(_MAX_PYTHON + 1)
    if len(content) > _MAX_PYTHON:
        raise UserError(f"{path}: more than {_MAX_PYTHON // 2**20} MiB of Python: save it as JSON")
    try:
        body = ast.parse(content).body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as err:
        raise UserError(f"{path}: neither JSON nor Python") from err
    for statement in body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.Expr)) and statement.value is not None:
            with suppress(ValueError, TypeError, MemoryError, RecursionError):
                value = ast.literal_eval(statement.value)
                if _has_rows([value]) or _has_rows(value):
                    yield _as_json(value)


def _as_json(value: Any) -> Any:
    """Return a literal as JSON would have it. A key that is no text, as in `links` of spaCy, becomes one."""
    if isinstance(value, dict):
        return {str(key): _as_json(found) for key, found in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(found) for found in value]
    if isinstance(value, str):
        return value.encode("utf8", "replace").decode("utf8")  # without halves of surrogate pairs
    return value if value is None or isinstance(value, (bool, float)) or _is_small(value) else str(value)


def _is_small(value: Any) -> bool:
    return isinstance(value, int) and abs(value) < 2**63


def _rows_in(value: Any, depth: int = _MAX_DEPTH) -> Iterator[TrainingRow | str | None]:
    """Yield the rows in a value of a file."""
    if value is None:
        yield None
    elif _is_pair(value):
        yield _pair(value)
    elif isinstance(value, (list, tuple)) and depth:
        for item in value:
            yield from _rows_in(item, depth - 1)
    elif isinstance(value, dict):
        yield from _rows_in_object(value, depth)
    else:
        yield "no text with spans"


def _rows_in_object(value: dict[str, Any], depth: int) -> Iterator[TrainingRow | str | None]:
    if isinstance(value.get("paragraphs"), list):
        yield from map(_paragraph, value["paragraphs"])
    elif (row := _row(value)) is not None:
        yield row
    elif inside := [found for found in value.values() if depth and _has_rows(found)]:
        for found in inside:
            yield from _rows_in(found, depth - 1)
    else:
        yield "no text with spans"


def _has_rows(value: Any, depth: int = _MAX_DEPTH) -> bool:
    """Whether a value is a list with a row in it, or has such a one inside."""
    if isinstance(value, dict):
        return depth > 0 and (_is_row(value) or any(_has_rows(found, depth - 1) for found in value.values()))
    items = value if isinstance(value, (list, tuple)) else ()
    return any(_is_pair(item) or (isinstance(item, dict) and _is_row(item)) for item in items)


def _is_row(value: dict[str, Any]) -> bool:
    return isinstance(value.get("paragraphs"), list) or isinstance(_row(value), TrainingRow)


def _is_pair(value: Any) -> bool:
    is_sequence = isinstance(value, (list, tuple)) and len(value) in (2, 3)
    return is_sequence and isinstance(value[0], str) and isinstance(value[1], (dict, list, tuple))


def _pair(pair: Sequence[Any]) -> TrainingRow | str:
    """Read a text with its annotations."""
    text, annotations = pair[:2]
    found = annotations if isinstance(annotations, dict) else {"entities": list(annotations)}
    if _are(str, found.get("entities")):
        return "tags, and not the tokens that they are of"
    return TrainingRow(text, _span_lists(found))


def _row(value: dict[str, Any]) -> TrainingRow | str | None:
    """Read an object with a text or tokens; None if it has neither."""
    if not _OF_PRODIGY.isdisjoint(value):
        return PRODIGY
    row = _tagged(value) or _with_text(value)
    if not isinstance(row, TrainingRow):
        return row
    short = {name: found for name, found in value.items() if isinstance(found, (str, int, float)) and found != row.text}
    return row._replace(
        spans={} if value.get("status") in _UNFINISHED else row.spans,
        answer=_DISCARDED.get(str(value.get("status")), _ANSWERS.get(str(value.get("answer")), "accept")),
        meta={name: found for name, found in short.items() if not isinstance(found, str) or len(found) <= 200},
        annotator=next((str(value[key]) for key in _ANNOTATOR if isinstance(value.get(key), (str, int))), ""),
    )


def _with_text(value: dict[str, Any]) -> TrainingRow | None:
    if not (texts := {key: value[key] for key in _TEXT if isinstance(value.get(key), str)}):
        return None
    key = max(texts, key=lambda key: len(texts[key].split()) if key in _ORIGINS else float("inf"))
    items = [item for found in value.values() if isinstance(found, list) for item in found if isinstance(item, dict)]
    is_inclusive = any(key in item for item in items for key in _INCLUSIVE)
    return TrainingRow(texts[key], _span_lists(value), is_inclusive)


def _tagged(value: dict[str, Any]) -> TrainingRow | str | None:
    """Read tokens with a tag each; None if there are none. They are taken in their text, where it is there too."""
    tokens = next((value[key] for key in _TOKENS if _are(str, value.get(key))), None)
    row = _tags_of(tokens, value) if tokens else None
    if not isinstance(row, TrainingRow):
        return row
    texts = (value[key] for key in _TEXT if isinstance(value.get(key), str))
    return next((found for text in texts if (found := _in_text(row, text))), row)


def _tags_of(tokens: Sequence[str], value: dict[str, Any]) -> TrainingRow | str | None:
    if _are(list, value.get("ner")) and all(_is_token_span(item, len(tokens)) for item in value["ner"]):
        return _token_spans(tokens, value["ner"])
    for key in _TAGS:
        tags = value.get(key)
        if isinstance(tags, list) and len(tags) == len(tokens):
            if _are(str, tags):
                return _tagged_row(tokens, tags)
            if _are(int, tags):
                return "tag that is a number without a name"
    has_text = any(isinstance(value.get(key), str) for key in _TEXT)
    return TrainingRow(" ".join(tokens), {"ner": []}) if value.get("ner") == [] and not has_text else None


def _is_token_span(item: Any, number: int) -> bool:
    numbers = item[:2] if isinstance(item, list) and len(item) == 3 and isinstance(item[2], str) else []
    return _are(int, numbers) and 0 <= numbers[0] <= numbers[1] < number


def _token_spans(tokens: Sequence[str], found: Sequence[Any]) -> TrainingRow:
    """Read spans from a token to another, as GLiNER has them: `[[0, 1, "PERSON"]]`."""
    starts = [0, *accumulate(len(token) + 1 for token in tokens)]
    spans = [RowSpan(starts[first], starts[last + 1] - 1, label) for first, last, label in found]
    return TrainingRow(" ".join(tokens), {"ner": spans})


def _are(kind: type, values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(value, kind) for value in values)


def _tagged_row(tokens: Sequence[str], tags: Sequence[str]) -> TrainingRow:
    """Return a row of tokens and tags, of which "-" or nothing says that it is not known."""
    known = ["O" if tag in ("-", "") else tag for tag in tags]
    joined, marks = tagged_text([(tokens, known)], find_scheme("auto", [known]))
    spans = [RowSpan(mark.start, mark.end, mark.label, fault=mark.fault) for mark in marks]
    return TrainingRow(joined, {"ner": spans}, is_complete=all(tag not in ("-", "") for tag in tags))


def _in_text(row: TrainingRow, text: str) -> TrainingRow | None:
    """Return a row of joined tokens with the text that they are of; None if they are not those of all of it."""
    place = positions_in(text, row.text)
    if not place:
        return None
    moved = {
        key: [span._replace(start=place[span.start], end=place[span.end - 1] + 1) for span in spans]
        for key, spans in row.spans.items()
    }
    return row._replace(text=text, spans=moved)


def _paragraph(paragraph: Any) -> TrainingRow | str | None:
    """Read a paragraph of spaCy 2's JSON format."""
    if not isinstance(paragraph, dict):
        return "paragraph that is no object"
    raw = found if isinstance(found := paragraph.get("raw"), str) else ""
    sentences = paragraph.get("sentences")
    tokens = [
        token
        for sentence in (sentences if isinstance(sentences, list) else ())
        for token in (sentence.get("tokens", ()) if isinstance(sentence, dict) else ())
        if isinstance(token, dict) and isinstance(token.get("orth"), str) and token["orth"].strip()
    ]
    if not tokens:
        return _row(paragraph) or "paragraph without tokens"
    tags = [tag if isinstance(tag := token.get("ner"), str) else "-" for token in tokens]
    row = _tagged_row([token["orth"] for token in tokens], tags)
    placed = _in_text(row, raw) if raw else row
    if all(tag in ("-", "") for tag in tags):
        return (placed or row)._replace(spans={})
    return placed or "tokens that are not those of the raw text"


# ---- Spans

_MALFORMED = RowSpan(0, 0, "", fault="malformed span")


def _span_lists(value: Mapping[str, Any], prefix: str = "", depth: int = _MAX_DEPTH) -> dict[str, list[RowSpan]]:
    """Return the lists of spans in an object, and in objects inside, by their keys, and those that are empty: first
    those with spans, then those of usual keys.
    """
    found: dict[str, list[RowSpan]] = {}
    for key, inside in value.items():
        name = f"{prefix}{key}"
        if (key in _NO_SPANS or names_predictions(key)) and not _are_labeled_tokens(inside):
            continue
        if isinstance(inside, dict) and depth:
            found.update(_span_lists(inside, f"{name}.", depth - 1))
        elif isinstance(inside, (list, tuple)):
            spans = [_spans(item) for item in inside]
            if any(spans) or not inside or (key in _OFFSETS and not any(isinstance(item, str) for item in inside)):
                found[name] = [span for some in spans for span in some or [_MALFORMED]]
    rank = {name: (not found[name], name not in SPANS, SPANS.index(name) if name in SPANS else 0) for name in found}
    return {name: found[name] for name in sorted(found, key=rank.__getitem__)}


def _are_labeled_tokens(value: Any) -> bool:
    """Whether a list called tokens has spans, as that of UBIAI."""
    return _are(dict, value) and all("entityLabel" in item for item in value)


def _spans(item: Any) -> list[RowSpan]:
    """Return the spans in an item of a list, one for each of its labels; none if it is no span."""
    if isinstance(item, dict):
        points = item.get("points")
        if isinstance(points, (list, dict)):
            parts = points if isinstance(points, list) else [points]
            objects = [{"label": "", **item, **part, "points": 0} for part in parts if isinstance(part, dict)]
            return [span for part in objects for span in _spans(part)]
        return _object_spans(item)
    if isinstance(item, (list, tuple)) and len(item) >= 3:
        numbers = [_number(part) for part in item[:3]]
        if numbers[0] is not None and numbers[1] is not None and isinstance(item[2], str):
            return [RowSpan(numbers[0], numbers[1], item[2])]
        if numbers[1] is not None and numbers[2] is not None and isinstance(item[0], str):
            return [RowSpan(numbers[1], numbers[2], item[0])]
    return []


def _object_spans(item: Mapping[str, Any]) -> list[RowSpan]:
    start = next((number for key in _START if (number := _number(item.get(key))) is not None), None)
    end = next((number for key in _END if (number := _number(item.get(key))) is not None), None)
    if end is None and start is not None and (length := _number(item.get("length"))) is not None:
        end = start + length
    key = next((key for key in _LABEL if key in item), None)
    if start is None or end is None or key is None:
        return []
    labels = item[key] if isinstance(item[key], list) else [item[key]]
    quote = next((item[name] for name in ("text", "value", "word", "quote") if isinstance(item.get(name), str)), None)
    is_quote = isinstance(item.get("text"), str)
    is_wrong = item.get("correct") is False or item.get("answer") == "reject"  # of LightTag's reviews, and Prodigy
    return [
        RowSpan(start, end, str(label) if isinstance(label, (str, int)) else "", quote, is_quote, is_wrong=is_wrong)
        for label in labels or [""]
    ]


def _number(value: Any) -> int | None:
    """Return a whole number, also one that is written as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
