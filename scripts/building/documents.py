"""The pipeline of a training config, as far as its tokenizer.

What is known of a text becomes a Doc: gold, covered and incorrect spans, and entities for spaCy's own `ner`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal, NamedTuple

import msgspec
import spacy
from confection import Config, ConfigValidationError
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import filter_spans

from scripts.core import answers as records
from scripts.core.answers import GoldText
from scripts.core.errors import UserError

# Keys of doc.spans. `label_heads` has them too: it is packaged alone.
GOLD, COVERED, INCORRECT = "gold", "covered", "incorrect_spans"
Misaligned = Literal["snap", "skip"]


def tokenizer(nlp: dict[str, Any]) -> Language:
    """The pipeline of an [nlp] block without its components. RAISES (UserError): If none can be made of it."""
    from scripts import functions  # noqa: F401 (what the tokenizer is made of is registered)

    config = Config({"nlp": {**nlp, "pipeline": [], "disabled": []}, "components": {}})
    try:
        return spacy.util.load_model_from_config(config, auto_fill=True)
    except (OSError, KeyError, ValueError, ImportError, ConfigValidationError) as err:
        raise UserError(f"no tokenizer can be made of the [nlp] of the training config: {err}") from err


class Misfit(msgspec.Struct):
    """A span that is not as it was annotated, or a text that is left out; a line of `corpus/misaligned.jsonl`.

    fate (str): "snapped" to whole tokens, "skipped", "overlapping" another of its label once snapped, or "too long".
    became (str): What was made of it, if anything.
    """

    input_hash: int = msgspec.field(name="_input_hash")
    sources: list[str]
    fate: str
    label: str
    start: int
    end: int
    span: str
    became: str


class Made(NamedTuple):
    """A Doc, and its spans: to take them out of it again takes longer than to put them in.

    gold (list[Span]), covered (list[Span]): Those of `doc.spans["gold"]` and `doc.spans["covered"]`.
    """

    doc: Doc
    gold: list[Span]
    covered: list[Span]


@dataclass
class DocMaker:
    """Turns texts into Docs and accounts for their spans: read = exact + snapped + skipped + overlapping + too long.

    nlp (Language): Its tokenizer is used.
    labels (frozenset[str]): Every label of the corpus.
    misaligned (Misaligned): What happens to spans whose borders are inside tokens.
    spans (Counter[str]): "read" and the fates, of right and wrong spans together.
    misfits (list[Misfit]): What did not fit.
    """

    nlp: Language
    labels: frozenset[str]
    misaligned: Misaligned
    spans: Counter[str] = field(default_factory=Counter)
    misfits: list[Misfit] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ids = {label: self.nlp.vocab.strings.add(label) for label in self.labels}

    def make(self, text: GoldText) -> Made | None:
        """The Doc of a text, or None if it is longer than the pipeline allows.

        `doc.spans["gold"]` has every span known to be an entity, `doc.spans["covered"]` the tokens at which a label
        is known, `doc.spans["incorrect_spans"]` spans known not to be. `doc.ents` are the gold spans without those
        that overlap a longer one, and "missing" where a label is not known.
        """
        found = [*text.spans, *text.accepted, *text.rejected]
        self.spans["read"] += len(found)
        if len(text.text) > self.nlp.max_length:
            self.spans["too long"] += len(found)
            self.misfits.append(Misfit(text.input_hash, text.sources, "too long", "", 0, len(text.text), "", ""))
            return None
        doc = self.tokenize(text)
        holes: dict[str, set[int]] = defaultdict(set)
        gold = self._align(doc, text, text.spans, holes)
        accepted = self._align(doc, text, text.accepted, holes)
        right = {(span.start, span.end, span.label) for span in accepted}
        everything = sorted([*gold, *accepted], key=_order)
        covered = [*_covered(doc, text.covered, holes), *sorted(accepted, key=_order)]
        doc.spans[GOLD] = everything
        doc.spans[COVERED] = covered
        doc.spans[INCORRECT] = self._incorrect(doc, text, right)
        self._set_ents(doc, text, everything, holes)
        return Made(doc, everything, covered)

    def tokenize(self, text: GoldText) -> Doc:
        """The Doc, of which nothing is known yet."""
        return self.nlp.make_doc(text.text)

    def _align(self, doc: Doc, text: GoldText, spans: Iterable[records.Span], holes: dict[str, set[int]]) -> list[Span]:
        """Spans on tokens. Where one is skipped, its tokens are holes in what is known of its label."""
        exact, snapped = [], []
        for span in spans:
            aligned = doc.char_span(span.start, span.end, self.ids[span.label])
            if aligned is not None:
                exact.append(aligned)
                continue
            aligned = doc.char_span(span.start, span.end, self.ids[span.label], alignment_mode="expand")
            assert aligned is not None  # the span is inside the text
            if self.misaligned == "snap":
                snapped.append((span, aligned))
            else:
                holes[span.label].update(range(aligned.start, aligned.end))
                self._misfit(text, span, "skipped", "")
        self.spans["exact"] += len(exact)
        return self._without_overlaps(text, exact, snapped) if snapped else exact

    def _without_overlaps(
        self, text: GoldText, exact: list[Span], snapped: list[tuple[records.Span, Span]]
    ) -> list[Span]:
        """All spans, less those that overlap another of their label now that they are wider."""
        kept = list(exact)
        for span, aligned in sorted(snapped, key=lambda pair: pair[0]):
            rivals = [other for other in kept if other.label == aligned.label]
            overlaps = any(aligned.start < other.end and other.start < aligned.end for other in rivals)
            self._misfit(text, span, "overlapping" if overlaps else "snapped", "" if overlaps else aligned.text)
            if not overlaps:
                kept.append(aligned)
        return kept

    def _incorrect(self, doc: Doc, text: GoldText, right: set[tuple[int, int, int]]) -> list[Span]:
        """Rejected spans. One that is off the tokens is skipped: the tagger could never have suggested it."""
        spans = []
        for span in text.rejected:
            aligned = doc.char_span(span.start, span.end, span.label)
            if aligned is None or (aligned.start, aligned.end, aligned.label) in right:
                self._misfit(text, span, "skipped", "")
            else:
                spans.append(aligned)
        self.spans["exact"] += len(spans)
        return spans

    def _misfit(self, text: GoldText, span: records.Span, fate: str, became: str) -> None:
        self.spans[fate] += 1
        covered = text.text[span.start : span.end]
        self.misfits.append(
            Misfit(text.input_hash, text.sources, fate, span.label, span.start, span.end, covered, became)
        )

    def _set_ents(self, doc: Doc, text: GoldText, gold: list[Span], holes: dict[str, set[int]]) -> None:
        ents: list[Span] = []
        unknown = {token for tokens in holes.values() for token in tokens}
        for place in records.overlapping(gold):
            if len(place) == 1:
                ents += place
            else:
                longest = filter_spans(place)
                ents += longest
                unknown |= _tokens(place) - _tokens(longest)
        if not self.labels <= set(text.covered):
            doc.set_ents(ents, default="missing")
        elif not unknown:
            doc.set_ents(ents)
        else:
            unknown |= _tokens(ents)
            outside = [token not in unknown for token in range(len(doc))]
            spans = [Span(doc, start, end) for start, end in _runs(outside)]
            doc.set_ents(ents, outside=spans, default="missing")


def _order(span: Span) -> tuple[int, int, str]:
    return span.start, span.end, span.label_


def _tokens(spans: Iterable[Span]) -> set[int]:
    return {token for span in spans for token in range(span.start, span.end)}


def _covered(doc: Doc, labels: Iterable[str], holes: dict[str, set[int]]) -> list[Span]:
    """The token ranges at which labels are known: the whole Doc, but for holes."""
    spans = []
    for label in labels:
        if label in holes:
            known = [token not in holes[label] for token in range(len(doc))]
            spans += [Span(doc, start, end, label) for start, end in _runs(known)]
        else:
            spans.append(Span(doc, 0, len(doc), label))
    return spans


def _runs(flags: list[bool]) -> Iterator[tuple[int, int]]:
    """Where flags are true: [start, end) of each run."""
    for flag, run in groupby(range(len(flags)), flags.__getitem__):
        tokens = list(run)
        if flag:
            yield tokens[0], tokens[-1] + 1
