"""Docs made of gold texts: gold, covered and incorrect spans, and entities for spaCy's own `ner`."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal, NamedTuple

import msgspec
import spacy
from confection import Config, ConfigValidationError
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
# Keys of doc.spans. `label_heads` has copies: it is packaged without this module.
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


class MisalignedEntity(NamedTuple):
    """An entity that is not on token boundaries, for `doc.spans["misaligned"]`."""

    tokens: Span  # all that it touches
    annotated: answers.Span
    is_gold: bool  # the tokens are in `doc.spans["gold"]` instead of it


class MadeDoc(NamedTuple):
    """A Doc with the spans of `doc.spans["gold"]` and `doc.spans["covered"]`."""

    doc: Doc
    gold: list[Span]  # beside the Doc, since reading them from it takes longer than writing them
    covered: list[Span]


@dataclass
class DocMaker:
    """Makes Docs of texts and counts their spans: read = exact + snapped + skipped + overlapping + too long +
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

    def make(self, text: GoldText) -> MadeDoc | None:
        """Make the Doc of a text; None if the text is longer than the pipeline allows.

        `doc.spans["gold"]` has all spans that are entities, `doc.spans["covered"]` the token ranges that are covered
        for a label, `doc.spans["incorrect_spans"]` the rejected spans. `doc.ents` are the gold spans without those
        that overlap a longer one; tokens that are not covered for all labels are "missing" in it.
        `doc.spans["misaligned"]`, if there are any, has the entities that are not on token boundaries, and in its
        attributes their boundaries as annotated: they are what the text is scored against.
        """
        if len(text.text) > self.nlp.max_length:
            self.leave_out(text, "too long")
            return None
        self._count([*text.spans, *text.accepted, *text.rejected], "read")
        doc = self.tokenize(text)
        holes: dict[str, set[int]] = defaultdict(set)
        misaligned: list[MisalignedEntity] = []
        gold = self._align(doc, text, text.spans, holes, misaligned)
        accepted = sorted(self._align(doc, text, text.accepted, holes, misaligned), key=_place)
        gold = sorted([*gold, *accepted], key=_place)
        covered = [*_covered_spans(doc, text.covered, holes), *_covered_ranges(doc, text, holes)]
        covered += [span for span in accepted if not (text.covered_ranges and _is_within(span, covered))]
        doc.spans[GOLD] = gold
        doc.spans[COVERED] = covered
        doc.spans[INCORRECT] = self._incorrect_spans(doc, text, accepted)
        if misaligned:
            annotated = [[entity.annotated.start, entity.annotated.end, entity.is_gold] for entity in misaligned]
            spans_of = [entity.tokens for entity in misaligned]
            doc.spans[MISALIGNED] = SpanGroup(doc, name=MISALIGNED, spans=spans_of, attrs={"annotated": annotated})
        self._set_entities(doc, text, gold, holes)
        return MadeDoc(doc, gold, covered)

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
        self, doc: Doc, text: GoldText, spans: Iterable[answers.Span], holes: dict[str, set[int]],
        misaligned: list[MisalignedEntity],
    ) -> list[Span]:  # fmt: skip
        """Spans on tokens. The tokens of one that is skipped are added to the holes in the coverage of its label."""
        exact, snapped = [], []
        for span in spans:
            aligned = doc.char_span(span.start, span.end, self.ids[span.label])
            if aligned is not None:
                exact.append(aligned)
                continue
            aligned = doc.char_span(span.start, span.end, self.ids[span.label], alignment_mode="expand")
            assert aligned is not None  # the span is inside the text
            if self.policy == "snap":
                snapped.append((span, aligned))
            else:
                holes[span.label].update(range(aligned.start, aligned.end))
                misaligned.append(MisalignedEntity(aligned, span, False))
                self._list(text, span, "skipped")
        self.spans["exact"] += len(exact)
        return self._without_overlaps(text, exact, snapped, misaligned) if snapped else exact

    def _without_overlaps(
        self, text: GoldText, exact: list[Span], snapped: list[tuple[answers.Span, Span]],
        misaligned: list[MisalignedEntity],
    ) -> list[Span]:  # fmt: skip
        """All spans but those that overlap another one of their label now that they are wider."""
        kept = list(exact)
        for span, aligned in sorted(snapped, key=lambda pair: pair[0]):
            same_label = (other for other in kept if other.label == aligned.label)
            is_gold = not any(aligned.start < other.end and other.start < aligned.end for other in same_label)
            misaligned.append(MisalignedEntity(aligned, span, is_gold))
            if not is_gold:
                self._list(text, span, "overlapping")
            else:
                self._list(text, span, "snapped", aligned.text)
                kept.append(aligned)
        return kept

    def _incorrect_spans(self, doc: Doc, text: GoldText, accepted: Iterable[Span]) -> list[Span]:
        """Rejected spans on tokens. Others are skipped: a tagger cannot predict them."""
        taken = {(span.start, span.end, span.label) for span in accepted}
        spans = []
        for span in text.rejected:
            aligned = doc.char_span(span.start, span.end, span.label)
            if aligned is None or (aligned.start, aligned.end, aligned.label) in taken:
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

    def _set_entities(self, doc: Doc, text: GoldText, gold: list[Span], holes: dict[str, set[int]]) -> None:
        ents: list[Span] = []
        missing = {token for tokens in holes.values() for token in tokens}
        for group in answers.overlapping(gold):
            longest = filter_spans(group) if len(group) > 1 else group
            ents += longest
            missing |= _token_numbers(group) - _token_numbers(longest)
        if not self.labels <= set(text.covered):
            doc.set_ents(ents, default="missing")
        elif not missing:
            doc.set_ents(ents)
        else:
            outside = _complement(doc, missing | _token_numbers(ents))
            doc.set_ents(ents, outside=[Span(doc, start, end) for start, end in outside], default="missing")


def _place(span: Span) -> tuple[int, int, str]:
    return span.start, span.end, span.label_


def _token_numbers(spans: Iterable[Span]) -> set[int]:
    return {token for span in spans for token in range(span.start, span.end)}


def _covered_spans(doc: Doc, labels: Iterable[str], holes: dict[str, set[int]]) -> Iterator[Span]:
    """The ranges that are covered for each label: the whole Doc but its holes."""
    for label in labels:
        for start, end in _complement(doc, holes[label]) if label in holes else [(0, len(doc))]:
            yield Span(doc, start, end, label)


def _covered_ranges(doc: Doc, text: GoldText, holes: dict[str, set[int]]) -> Iterator[Span]:
    """The tokens inside the ranges of labels that are covered in these only, but their holes."""
    for label, ranges in text.covered_ranges.items():
        for start, end in ranges:
            if (inside := doc.char_span(start, end, label, alignment_mode="contract")) is not None:
                outside = {*range(inside.start), *range(inside.end, len(doc)), *holes.get(label, ())}
                pieces = _complement(doc, outside)
                yield from (Span(doc, first, last, label, span_id=RANGE) for first, last in pieces)


def _is_within(span: Span, covered: Iterable[Span]) -> bool:
    return any(other.label == span.label and other.start <= span.start and span.end <= other.end for other in covered)


def _complement(doc: Doc, tokens: set[int]) -> Iterator[tuple[int, int]]:
    """[start, end) of the ranges of a Doc that have none of these tokens."""
    for is_in, group in groupby(range(len(doc)), tokens.__contains__):
        if not is_in:
            numbers = list(group)
            yield numbers[0], numbers[-1] + 1
