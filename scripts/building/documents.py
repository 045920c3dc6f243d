"""Gold texts on tokens: gold, covered and incorrect spans, and entities for spaCy's own `ner`."""

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import spacy
from confection import Config, ConfigValidationError
from msgspec.structs import replace
from numpy.typing import NDArray
from spacy.attrs import ENT_IOB, ENT_TYPE, LENGTH, ORTH, SPACY
from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc, Span, SpanGroup
from spacy.util import filter_spans

from scripts.building.splits import MisalignedPolicy
from scripts.core import answers
from scripts.core.answers import GoldText
from scripts.core.errors import UserError

# The id of spans in doc.spans["covered"] that are ranges, even if nothing but one entity is in them.
RANGE = 1
# The id of accepted spans there (and in doc.spans["misaligned"]) that have all tokens of a text, as if it were covered.
ACCEPTED = 2
_MISSING, _INSIDE, _OUTSIDE, _BEGIN = range(4)  # spaCy's ENT_IOB
# Keys of doc.spans. `label_heads` has copies, and one of ACCEPTED: it is packaged without this module.
GOLD, COVERED, INCORRECT, MISALIGNED = "gold", "covered", "incorrect_spans", "misaligned"
SpanOutcome = Literal["snapped", "skipped", "overlapping", "too long", "no split"]


def tokenizer(nlp: dict[str, Any]) -> Language:
    """The pipeline of an [nlp] block without components. RAISES (UserError): If the block is invalid."""
    from scripts import functions  # noqa: F401 (registers what the block may name; imports this module)

    config = Config({"nlp": {**nlp, "pipeline": [], "disabled": []}, "components": {}})
    try:
        return spacy.util.load_model_from_config(config, auto_fill=True)
    except ImportError as err:
        raise missing_language(nlp.get("lang", ""), err) from err
    except (OSError, KeyError, ValueError, ConfigValidationError) as err:
        reason = " ".join(str(err).split())
        raise UserError(f"no tokenizer can be made of the [nlp] of the training config: {reason}") from err


def missing_language(lang: str, reason: ImportError) -> UserError:
    """The error where spaCy does not know a language, or its tokenizer needs a package that is not installed."""
    hint = "; pip install -r requirements-ja.txt" if lang == "ja" else ""
    return UserError(f'[nlp] lang = "{lang}" of the training config: {" ".join(str(reason).split())}{hint}')


class Misaligned(msgspec.Struct):
    """A span that is not on token boundaries, or a text in no Doc; a line of `corpus/misaligned/*.jsonl`.

    outcome (str): "overlapping": another span of its label, once snapped. "too long": for the pipeline. "no split": it
        stands in texts of several splits.
    became (str): The wording it was snapped to; else empty.
    """

    input_hash: int = msgspec.field(name="_input_hash")
    sources: list[str]
    outcome: SpanOutcome
    label: str
    start: int
    end: int
    span: str
    became: str


class Tokens(NamedTuple):
    """The tokens of a text, an element each.

    orths (NDArray[uint64]): spaCy's hashes of their wordings.
    spaces (NDArray[bool]): Whether a space follows that is in no token.
    starts (list[int]), ends (list[int]): In code points.
    has_unknown_spaces (bool): As `Doc.has_unknown_spaces`.
    """

    orths: NDArray[np.uint64]
    spaces: NDArray[np.bool_]
    starts: list[int]
    ends: list[int]
    has_unknown_spaces: bool = False

    @classmethod
    def of(cls, doc: Doc) -> "Tokens":
        """The tokens of a Doc."""
        columns: Any = doc.to_array([ORTH, LENGTH, SPACY])
        lengths, spaces = columns[:, 1].astype("l"), columns[:, 2].astype(bool)
        ends = (lengths + spaces).cumsum() - spaces
        return cls(columns[:, 0], spaces, (ends - lengths).tolist(), ends.tolist(), doc.has_unknown_spaces)

    def exact(self, start: int, end: int) -> tuple[int, int] | None:
        """[start, end) of the tokens that start and end at these code points; None if there are none.

        This and the next two are `Doc.char_span` with the alignment modes "strict", "expand" and "contract".
        """
        first, last = bisect_left(self.starts, start), bisect_left(self.ends, end)
        if max(first, last) < len(self.starts) and self.starts[first] == start and self.ends[last] == end:
            return first, last + 1
        return None

    def touched(self, start: int, end: int) -> tuple[int, int]:
        """[start, end) of the tokens that have some of these code points, of which none at either end is a space."""
        first, last = self._at(start), self._at(end - 1)
        return first + (start == self.ends[first]), last + 1

    def inside(self, start: int, end: int) -> tuple[int, int] | None:
        """[start, end) of the tokens that are inside these code points; None if there are none."""
        first, last = self._at(start), self._at(end - 1)
        first, last = first + (self.starts[first] < start), last - (end < self.ends[last])
        return (first, last + 1) if first <= last else None

    def _at(self, position: int) -> int:
        return bisect_right(self.starts, position) - 1


class TokenSpan(msgspec.Struct, frozen=True, order=True, gc=False):
    """An entity, or a range: [start, end) in tokens. The id is that of `Span.id`."""

    start: int
    end: int
    label: str
    id: int = 0


class MisalignedEntity(NamedTuple):
    """An entity that is not on token boundaries, for `doc.spans["misaligned"]`."""

    tokens: TokenSpan  # all that it touches
    annotated: answers.Span
    is_gold: bool  # the tokens are in `doc.spans["gold"]` instead of it


class AlignedText(NamedTuple):
    """A text on tokens: all that its Doc has.

    groups (dict[str, list[TokenSpan]]): `doc.spans`.
    entities (NDArray[uint64]): Tokens × (ENT_IOB, ENT_TYPE).
    annotated (list[list[int]]): The attribute "annotated" of `doc.spans["misaligned"]`.
    """

    tokens: Tokens
    groups: dict[str, list[TokenSpan]]
    entities: NDArray[np.uint64]
    annotated: list[list[int]]

    def attributes(self, key: str) -> dict[str, Any]:
        """The attributes of a group of spans."""
        return {"annotated": self.annotated} if key == MISALIGNED else {}

    def annotate(self, doc: Doc) -> None:
        """Set the spans and entities of a Doc of these tokens."""
        for key, spans in self.groups.items():
            made = [Span(doc, span.start, span.end, span.label, span_id=span.id) for span in spans]
            doc.spans[key] = SpanGroup(doc, name=key, attrs=self.attributes(key), spans=made)
        doc.from_array([ENT_IOB, ENT_TYPE], self.entities)


@dataclass
class DocMaker:
    """Aligns texts with tokens and counts their spans: read = exact + snapped + skipped + overlapping + too long +
    no split.

    nlp (Language): Its tokenizer is used.
    labels (frozenset[str]): All labels of the corpus.
    policy (MisalignedPolicy): Applies to spans that are not on token boundaries: "snap" widens them to whole tokens,
        "skip" leaves their tokens not covered.
    spans (Counter[str]): "read" and the outcomes, of gold, accepted and rejected spans together.
    by_label (defaultdict[str, Counter[str]]): The same of each label, without "exact": the rest of those read.
    misaligned (list[Misaligned]): Spans that are not exact.
    """

    nlp: Language
    labels: frozenset[str]
    policy: MisalignedPolicy
    spans: Counter[str] = field(default_factory=Counter)
    by_label: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    misaligned: list[Misaligned] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ids = {label: self.nlp.vocab.strings.add(label) for label in self.labels}

    def make(self, text: GoldText) -> Doc | None:
        """Make the Doc of a text; None if the text is longer than the pipeline allows. See `align`."""
        if self._is_too_long(text):
            return None
        doc = self.tokenize(text)
        self._align_text(text, Tokens.of(doc)).annotate(doc)
        return doc

    def align(self, text: GoldText) -> AlignedText | None:
        """Align a text with its tokens; None if the text is longer than the pipeline allows.

        The group "gold" has all spans that are entities, "covered" the token ranges that are covered for a label,
        "incorrect_spans" the rejected spans. `entities` are the gold spans without those that overlap a longer one;
        tokens that are not covered for all labels are "missing" in it. The group "misaligned", if there is one, has
        the entities that are not on token boundaries, and in its attributes their boundaries as annotated: they are
        what the text is scored against.
        """
        if self._is_too_long(text):
            return None
        return self._align_text(text, Tokens.of(self.tokenize(text)))

    def _is_too_long(self, text: GoldText) -> bool:
        if len(text.text) <= self.nlp.max_length:
            return False
        self.leave_out(text, "too long")
        return True

    def _align_text(self, text: GoldText, tokens: Tokens) -> AlignedText:
        self._count([*text.spans, *text.accepted, *text.rejected], "read")
        holes: dict[str, set[int]] = defaultdict(set)
        misaligned: list[MisalignedEntity] = []
        gold = self._align(tokens, text, text.spans, holes, misaligned)
        accepted = sorted(self._align(tokens, text, text.accepted, holes, misaligned))
        gold = sorted([*gold, *accepted])
        covered = [*_covered_spans(tokens, text.covered, holes), *_covered_ranges(tokens, text, holes)]
        single = [span for span in accepted if not (text.covered_ranges and _is_within(span, covered))]
        touched = [entity.tokens for entity in misaligned]
        if text.accepted:
            single, touched = _mark_full(text, len(tokens.starts), single, touched)
        groups = {GOLD: gold, COVERED: covered + single, INCORRECT: self._incorrect_spans(tokens, text, accepted)}
        if misaligned:
            groups[MISALIGNED] = touched
        annotated = [[entity.annotated.start, entity.annotated.end, entity.is_gold] for entity in misaligned]
        return AlignedText(tokens, groups, self._entities(tokens, text, gold, holes), annotated)

    def _count(self, spans: Iterable[answers.Span], outcome: str) -> None:
        for label, number in Counter(span.label for span in spans).items():
            self.spans[outcome] += number
            self.by_label[label][outcome] += number

    def leave_out(self, text: GoldText, outcome: SpanOutcome) -> None:
        """Count the spans of a text that is in no Doc, and list it."""
        spans = [*text.spans, *text.accepted, *text.rejected]
        self._count(spans, "read")
        self._count(spans, outcome)
        self.misaligned.append(Misaligned(text.input_hash, text.sources, outcome, "", 0, len(text.text), "", ""))

    def tokenize(self, text: GoldText) -> Doc:
        """The Doc without any spans. RAISES (UserError): If its text is another, so that no offset is right."""
        doc = self.nlp.make_doc(text.text)
        if type(self.nlp.tokenizer) is not Tokenizer and doc.text != text.text:  # spaCy's own never does
            raise UserError(
                f'the tokenizer of [nlp] lang = "{self.nlp.lang}" changes a text (_input_hash {text.input_hash}), so '
                "that annotations would be shifted: set another in [nlp.tokenizer]"
            )
        return doc

    def _align(
        self, tokens: Tokens, text: GoldText, spans: Iterable[answers.Span], holes: dict[str, set[int]],
        misaligned: list[MisalignedEntity],
    ) -> list[TokenSpan]:  # fmt: skip
        """Spans on tokens. The tokens of one that is skipped are added to the holes in the coverage of its label."""
        exact, snapped = [], []
        for span in spans:
            place = tokens.exact(span.start, span.end)
            if place is not None:
                exact.append(TokenSpan(*place, span.label))
                continue
            aligned = TokenSpan(*tokens.touched(span.start, span.end), span.label)
            if self.policy == "snap":
                snapped.append((span, aligned))
            else:
                holes[span.label].update(range(aligned.start, aligned.end))
                misaligned.append(MisalignedEntity(aligned, span, False))
                self._list(text, span, "skipped")
        self.spans["exact"] += len(exact)
        return self._without_overlaps(tokens, text, exact, snapped, misaligned) if snapped else exact

    def _without_overlaps(
        self, tokens: Tokens, text: GoldText, exact: list[TokenSpan], snapped: list[tuple[answers.Span, TokenSpan]],
        misaligned: list[MisalignedEntity],
    ) -> list[TokenSpan]:  # fmt: skip
        """All spans but those that overlap another one of their label now that they are wider."""
        kept = list(exact)
        for span, aligned in sorted(snapped, key=lambda pair: pair[0]):
            same_label = (other for other in kept if other.label == aligned.label)
            is_gold = not any(aligned.start < other.end and other.start < aligned.end for other in same_label)
            misaligned.append(MisalignedEntity(aligned, span, is_gold))
            if not is_gold:
                self._list(text, span, "overlapping")
            else:
                self._list(
                    text, span, "snapped", text.text[tokens.starts[aligned.start] : tokens.ends[aligned.end - 1]]
                )
                kept.append(aligned)
        return kept

    def _incorrect_spans(self, tokens: Tokens, text: GoldText, accepted: Iterable[TokenSpan]) -> list[TokenSpan]:
        """Rejected spans on tokens. Others are skipped: a tagger cannot predict them."""
        taken = set(accepted)
        spans = []
        for span in text.rejected:
            place = tokens.exact(span.start, span.end)
            if place is None or (aligned := TokenSpan(*place, span.label)) in taken:
                self._list(text, span, "skipped")
            else:
                spans.append(aligned)
        self.spans["exact"] += len(spans)
        return spans

    def _list(self, text: GoldText, span: answers.Span, outcome: SpanOutcome, became: str = "") -> None:
        self.spans[outcome] += 1
        self.by_label[span.label][outcome] += 1
        wording = text.text[span.start : span.end]
        self.misaligned.append(
            Misaligned(text.input_hash, text.sources, outcome, span.label, span.start, span.end, wording, became)
        )

    def _entities(
        self, tokens: Tokens, text: GoldText, gold: list[TokenSpan], holes: dict[str, set[int]]
    ) -> NDArray[np.uint64]:
        """Tokens × (ENT_IOB, ENT_TYPE)."""
        length = len(tokens.starts)
        iob = array("Q", [_OUTSIDE if self.labels <= set(text.covered) else _MISSING]) * length
        types = array("Q", [0]) * length
        for token in chain.from_iterable(holes.values()):
            iob[token] = _MISSING
        for group in answers.overlapping(gold):
            longest: Any = group
            if len(group) > 1:
                for token in range(group[0].start, max(span.end for span in group)):
                    iob[token] = _MISSING
                longest = filter_spans(longest)  # needs their starts and ends only
            for span in longest:
                for token in range(span.start, span.end):
                    iob[token], types[token] = _INSIDE, self.ids[span.label]
                iob[span.start] = _BEGIN
        return np.column_stack((iob, types))


def _covered_spans(tokens: Tokens, labels: Iterable[str], holes: dict[str, set[int]]) -> Iterator[TokenSpan]:
    """The ranges that are covered for each label: the whole text but its holes."""
    length = len(tokens.starts)
    for label in labels:
        for start, end in _complement(length, holes[label]) if label in holes else [(0, length)]:
            yield TokenSpan(start, end, label)


def _covered_ranges(tokens: Tokens, text: GoldText, holes: dict[str, set[int]]) -> Iterator[TokenSpan]:
    """The tokens inside the ranges of labels that are covered in these only, but their holes."""
    length = len(tokens.starts)
    for label, ranges in text.covered_ranges.items():
        for start, end in ranges:
            if (inside := tokens.inside(start, end)) is not None:
                outside = {*range(inside[0]), *range(inside[1], length), *holes.get(label, ())}
                yield from (TokenSpan(first, last, label, RANGE) for first, last in _complement(length, outside))


def _mark_full(
    text: GoldText, length: int, accepted: list[TokenSpan], touched: list[TokenSpan]
) -> tuple[list[TokenSpan], list[TokenSpan]]:
    """Return accepted and misaligned spans, with the id ACCEPTED those of labels that have all tokens of a text, of
    which nothing but accepted spans is known.
    """
    places: dict[str, set[int]] = defaultdict(set)
    for span in chain(accepted, touched):
        if span.label not in text.covered and span.label not in text.covered_ranges:
            places[span.label].update(range(span.start, span.end))
    full = {label for label, inside in places.items() if len(inside) == length}
    if not full:
        return accepted, touched
    marked = (
        [replace(span, id=ACCEPTED) if span.label in full else span for span in spans] for spans in (accepted, touched)
    )
    return next(marked), next(marked)


def _is_within(span: TokenSpan, covered: Iterable[TokenSpan]) -> bool:
    return any(other.label == span.label and other.start <= span.start and span.end <= other.end for other in covered)


def _complement(length: int, tokens: set[int]) -> Iterator[tuple[int, int]]:
    """[start, end) of the ranges of a text of some tokens that have none of these."""
    for is_in, group in groupby(range(length), tokens.__contains__):
        if not is_in:
            numbers = list(group)
            yield numbers[0], numbers[-1] + 1
