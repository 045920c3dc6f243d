"""Which occurrences of a surface form are probably annotated wrong, ranked.

A form that is annotated as a label almost wherever it occurs was probably overlooked where it is not: the more
occurrences and the fewer exceptions, the more certain. The score is the lower end of the confidence interval of the
share of occurrences that are annotated the usual way (Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953).
An annotator who makes the same mistake every time is self-consistent, so where the annotator is known, their
annotations are compared with those of the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.checking.answers import UNATTRIBUTED
from scripts.checking.groups import find_words
from scripts.checking.occurrences import ALL, Counts, FormCounts, Occurrence
from scripts.checking.review import Suspect, SuspectKind
from scripts.checking.surface_forms import ANNOTATED, INSIDE, KINDS, NONE, PARTIAL, RELABELED, FormTable
from scripts.core.answers import Span

TIERS = ("1", "2", "3")
_MOST = 10_000  # candidates that are read
_Z = 1.0  # of the interval: 84 % of the shares are above its lower end
_FEWEST = 2  # occurrences that make a usual way
_TIER_1, _TIER_2, _LEAST = 0.5, 0.25, 0.1  # lowest scores of these tiers, and of what is listed
_HYPHENS = frozenset("-–/&")

Scores = NDArray[np.float64]


class _Rule(NamedTuple):
    """Occurrences of one kind are suspect where another kind is usual."""

    kind: int
    usual: int
    suspect: SuspectKind
    # Below 1 where exceptions are often right: words mean several things, and longer names are meant. From corpora
    # with errors put into them.
    weight: float


RULES = (
    _Rule(NONE, ANNOTATED, "missing", 1.0),
    _Rule(RELABELED, ANNOTATED, "type", 0.8),
    _Rule(PARTIAL, ANNOTATED, "boundary", 1.0),
    _Rule(INSIDE, ANNOTATED, "boundary", 0.35),
    _Rule(ANNOTATED, PARTIAL, "boundary", 1.0),
    _Rule(ANNOTATED, NONE, "spurious", 0.2),
)


def lower_share(part: Counts, whole: Counts) -> Scores:
    """The lower end of the confidence interval of a share; 0 where `whole` is 0."""
    number = np.maximum(whole, 1)
    share = part / number
    spread = _Z * np.sqrt(share * (1 - share) / number + _Z**2 / (4 * number**2))
    return np.where(whole > 0, (share + _Z**2 / (2 * number) - spread) / (1 + _Z**2 / number), 0.0)


class Judgment(NamedTuple):
    """A rule that applies to an occurrence."""

    rule: _Rule
    score: float
    usual: int
    whole: int
    of_others: bool  # the counts are those of other annotators' texts


class FormEvidence:
    """How all forms are annotated, which makes single occurrences suspect.

    table (FormTable), labels (Sequence[str]): All forms, and the names of their labels.
    counted (FormCounts): By form and annotator. counts (Counts): By form.
    scores (Scores): `counted` × rules: the score of the occurrences that a rule applies to, 0 to 1.
    """

    def __init__(self, table: FormTable, labels: Sequence[str], counted: FormCounts) -> None:
        self.table, self.labels, self.counted = table, labels, counted
        self.counts = np.zeros((len(table), len(KINDS)), np.int64)
        np.add.at(self.counts, counted.rows, counted.counts)
        self._is_attributed = counted.annotators != UNATTRIBUTED
        self._keys = np.ascontiguousarray(table["key"])
        # Occurrences in the texts of others; all where the annotator is not known.
        self._counts_of_others = self.counts[counted.rows] - np.where(self._is_attributed[:, None], counted.counts, 0)

    @cached_property
    def scores(self) -> Scores:
        """Score each rule by the texts of other annotators; by all texts where these have too few."""
        scores = np.zeros((len(self._counts_of_others), len(RULES)))
        whole = self.counts.sum(1)
        whole_of_others = self._counts_of_others.sum(1) + self._is_attributed  # with the occurrence itself
        for column, rule in enumerate(RULES):
            usual, usual_of_others = self.counts[:, rule.usual], self._counts_of_others[:, rule.usual]
            overall = np.where(usual >= _FEWEST, rule.weight * lower_share(usual, whole), 0)
            by_others = rule.weight * lower_share(usual_of_others, whole_of_others)
            of_others = self._is_attributed & (usual_of_others >= _FEWEST)
            score = np.where(of_others, by_others, overall[self.counted.rows])
            scores[:, column] = np.where(self.counted.counts[:, rule.kind] > 0, score, 0)
        scores[scores < _LEAST] = 0
        return scores

    @property
    def candidates(self) -> int:
        """Occurrences that a rule applies to."""
        counts = self.counted.counts
        return sum(int(counts[self.scores[:, number] > 0, rule.kind].sum()) for number, rule in enumerate(RULES))

    def wanted(self) -> NDArray[np.int8]:
        """`counted` × kinds: ALL for those with the highest scores, so that no more than `_MOST` are read."""
        wanted = np.zeros(self.counted.counts.shape, np.int8)
        rows, rules = np.nonzero(self.scores)
        order = np.lexsort((rules, rows, -self.scores[rows, rules]))
        rows, rules = rows[order], rules[order]
        kinds = np.array([rule.kind for rule in RULES])[rules]
        fits = np.cumsum(self.counted.counts[rows, kinds]) <= _MOST
        wanted[rows[fits], kinds[fits]] = ALL
        return wanted

    def judge(self, occurrence: Occurrence) -> Iterator[Judgment]:
        """The rules that apply to an occurrence."""
        others = self._counts_of_others[occurrence.counted]
        for rule, score in zip(RULES, self.scores[occurrence.counted].tolist(), strict=True):
            if rule.kind == occurrence.kind and score:
                of_others = bool(self._is_attributed[occurrence.counted] and others[rule.usual] >= _FEWEST)
                counts = others if of_others else self.counts[occurrence.row]
                yield Judgment(rule, score, int(counts[rule.usual]), int(counts.sum()), of_others)

    def annotated_as(self, occurrence: Occurrence, label: str) -> int:
        """How often the form of an occurrence is annotated as another label than its own.

        If its annotator never annotates it as its own, their annotations of it as the other count as one.
        """
        number, key = self.labels.index(label), self.table["key"][occurrence.row]
        same_form = slice(*(int(np.searchsorted(self._keys, key, side)) for side in ("left", "right")))
        row = same_form.start + int(np.argmax(self.table["label"][same_form] == number))
        times, annotator = int(self.counts[row, ANNOTATED]), occurrence.annotators[number]
        if annotator == UNATTRIBUTED or self.counted.counts[occurrence.counted, ANNOTATED]:
            return times
        same_row = slice(*np.searchsorted(self.counted.rows, [row, row + 1]))
        is_annotator = self.counted.annotators[same_row] == annotator
        return times + 1 - int(self.counted.counts[same_row][is_annotator, ANNOTATED].sum())


def rank(occurrences: Iterable[Occurrence], evidence: FormEvidence) -> list[Suspect]:
    """The suspects, the most certain first, without those that overlap a more certain one."""
    return _distinct(
        suspect
        for occurrence in occurrences
        for judgment in evidence.judge(occurrence)
        if (suspect := _suspect(occurrence, judgment, evidence)).score >= _LEAST
    )


def _suspect(occurrence: Occurrence, judgment: Judgment, evidence: FormEvidence) -> Suspect:
    rule, text, score = judgment.rule, occurrence.text, judgment.score
    label = evidence.labels[evidence.table["label"][occurrence.row]]
    form = Span(occurrence.start, occurrence.end, label)
    annotated = [span for span in text.spans if span.start < form.end and form.start < span.end]
    suspect = next((span for span in annotated if span.label == label), form)
    if rule.kind in (NONE, INSIDE):
        score *= _standalone(text.text, form)
    if rule.kind == RELABELED:
        suspect = next(span for span in annotated if (span.start, span.end) == (form.start, form.end))
        # A form that is often annotated as the other label too has two meanings.
        score /= max(1, evidence.annotated_as(occurrence, suspect.label))
    elif rule.kind == INSIDE:
        added = f"{text.text[suspect.start : form.start]} {text.text[form.end : suspect.end]}"
        score *= occurrence.longer <= 1 and len(find_words(added)) == 1
    return Suspect(
        input_hash=text.input_hash, text=text.text, label=suspect.label, kind=rule.suspect, start=suspect.start,
        end=suspect.end, annotated=annotated, proposed=[] if rule.kind == ANNOTATED else [form],
        reason=_reason(judgment, label, suspect.label), found_by=["surface_forms"],
        tier=1 if score >= _TIER_1 else 2 if score >= _TIER_2 else 3, score=round(score, 4),
    )  # fmt: skip


def _reason(judgment: Judgment, label: str, suspect_label: str) -> str:
    texts = " in texts of other annotators" if judgment.of_others else ""
    times = f"{judgment.usual:,} of {judgment.whole:,} occurrences of this surface form{texts}"
    if judgment.rule.usual == PARTIAL:
        return f"In {times}, only a part is annotated as {label}; here all of it is."
    if judgment.rule.usual == NONE:
        return f"In {times}, nothing is annotated; here it is annotated as {label}."
    this = {
        NONE: "is not", RELABELED: f"as {suspect_label}", PARTIAL: "only in part", INSIDE: "with one word or sign more",
    }[judgment.rule.kind]  # fmt: skip
    return f"{times} are annotated as {label}; this one {this}."


def _standalone(text: str, form: Span) -> float:
    """A factor below 1 where the form is probably a part of something: a compound, or a longer name."""
    before, after = text[max(0, form.start - 40) : form.start], text[form.end : form.end + 2]
    hyphenated = (before[-1:] in _HYPHENS and not before[-2:-1].isspace()) or (
        after[:1] in _HYPHENS and after[1:].strip()
    )
    factor = 0.5 if hyphenated and (before or after).strip() else 1.0
    return factor * 0.6 if _in_longer_name(text, form, before, after) else factor


def _in_longer_name(text: str, form: Span, before: str, after: str) -> bool:
    """Whether the form and a word beside it are capitalized, other than the first word of a sentence."""
    if not text[form.start].isupper():
        return False
    if after.lstrip()[:1].isupper():
        return True
    words = before.split()
    is_first = len(words) < 2 or words[-2][-1] in ".!?:"
    return before[-1:].isspace() and bool(words) and words[-1][0].isupper() and words[-1].isalnum() and not is_first


def _order(suspect: Suspect) -> tuple[int, float, int, str, int, int, str]:
    return (
        suspect.tier, -suspect.score, suspect.input_hash, suspect.text, suspect.start, suspect.end, suspect.label,
    )  # fmt: skip


def _distinct(suspects: Iterable[Suspect]) -> list[Suspect]:
    """Of suspects that overlap, the most certain; of missing ones within each other, the longest."""
    by_text: dict[tuple[int, str], list[Suspect]] = defaultdict(list)
    for suspect in sorted(suspects, key=_order):
        by_text[suspect.input_hash, suspect.text].append(suspect)
    kept = []
    for same_text in by_text.values():
        missing = [(suspect.start, suspect.end) for suspect in same_text if suspect.kind == "missing"]
        apart: list[Suspect] = []
        for suspect in same_text:
            is_part = suspect.kind == "missing" and any(
                start <= suspect.start and suspect.end <= end and end - start > suspect.end - suspect.start
                for start, end in missing
            )
            if not is_part and all(suspect.end <= other.start or other.end <= suspect.start for other in apart):
                apart.append(suspect)
        kept += apart
    return sorted(kept, key=_order)
