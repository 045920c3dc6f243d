"""The rules of `next`: the first that the measurements of a label fulfill says what to do about it."""

import math
import shlex
from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from scripts.core.files import Count
from scripts.reporting.console import count
from scripts.scoring.learning_curve import HELPS

Action = Literal["train", "test", "annotate", "guideline", "redefine", "review", "inspect", "leave"]
ACTIONS: dict[Action, str] = {
    "train": "train longer, or annotate more",
    "test": "annotate more test texts",
    "annotate": "annotate more texts",
    "guideline": "clarify the guideline, then review",
    "redefine": "tell both labels apart",
    "review": "review its suspects",
    "inspect": "inspect its errors",
    "leave": "leave it",
}

UNLEARNED_F = 0.1  # of all labels together: as `train` says it of the dev texts
FEW_ENTITIES = 30  # in the test texts
LOW_AGREEMENT, AGREEMENT_SPANS = 0.8, 50
CONFUSED_SHARE, CONFUSIONS = 0.25, 10  # of a label's errors
SUSPECT_SHARE, SUSPECTS = 0.03, 5  # of a label's spans
RECALL_GAP, UNSEEN_ENTITIES = 0.15, 30
LOW_COVERAGE = 0.5  # of the texts
LOW_F = 0.9


class Signals(msgspec.Struct, kw_only=True):
    """The measurements of a label. None: not measured, or undefined."""

    texts: Count
    covered: Count  # texts
    hours: float | None = None  # to annotate the label in the other texts, at the speed so far
    spans: Count | None = None  # annotated
    suspects: Count | None = None  # of the first tier, by the step `suspects` if it was run, else by `consistency`
    agreement: float | None = None  # F between annotators on exact spans
    agreement_spans: Count = 0  # that any of them marked
    support: Count | None = None  # entities in the test texts
    predicted: float | None = None  # entities in the test texts
    scored: Count | None = None  # test texts in which the label is covered
    test_left: int | None = None  # other test texts of the corpus
    trained: Count | None = None  # entities in the training texts of the newest run
    all_f: float | None = None  # of the newest run, of all labels together (micro)
    f: float | None = None  # of the newest run
    low: float | None = None  # of the 95 % interval of F
    high: float | None = None
    errors: float | None = None  # false positives + false negatives in the test texts
    slope: float | None = None  # F gained by the last doubling of the texts
    trend: str | None = None  # verdict of the learning curve
    seen: float | None = None  # recall on surface forms that are in the training texts
    unseen: float | None = None  # recall on the others
    unseen_entities: float = 0  # in the test texts
    confused_with: str | None = None  # the label that it is most often confused with, either way
    confusions: float = 0


class Recommendation(msgspec.Struct):
    """What to do about a label: the action, the number of the rule (from 1), and the measurements that it rests on."""

    action: Action
    rule: Count
    reason: str
    command: str = ""  # that makes the tasks, if there are any to make


class Rule(NamedTuple):
    """An action and its condition, in words and as a function: the reason if the signals fulfill it, else None."""

    action: Action
    condition: str
    reason: Callable[[Signals], str | None]


def _unlearned(label: Signals) -> str | None:
    if label.all_f is not None and label.all_f < UNLEARNED_F:
        return f"F of all labels {two_digits(label.all_f)}"
    if not label.support or label.predicted != 0:
        return None
    trained = "" if label.trained is None else f" and {label.trained:,} in the training texts"
    return f"never predicted, of {label.support:,} entities in the test texts{trained}"


def _few_entities(label: Signals) -> str | None:
    if label.support is None or label.support >= FEW_ENTITIES:
        return None
    if not label.scored:
        return "no test text has a complete answer for it"
    needed, left = needed_texts(label), label.test_left
    found = f"{label.support:,} entities in {label.scored:,} test texts"
    if needed:
        found += f"; {FEW_ENTITIES} take about {needed:,} more, at that rate"
    if left is None or (left and left >= (needed or 0)):
        return found
    return f"{found}; {left or 'none'} left: add texts"


def needed_texts(label: Signals) -> int | None:
    """The number of test texts that likely have the entities that a label lacks, by the rate of those it has so far.

    None without such a rate.
    """
    if not label.support or not label.scored:
        return None
    return math.ceil((FEW_ENTITIES - label.support) * label.scored / label.support)


def _low_agreement(label: Signals) -> str | None:
    if label.agreement is None or label.agreement >= LOW_AGREEMENT or label.agreement_spans < AGREEMENT_SPANS:
        return None
    return f"F between annotators {two_digits(label.agreement)}, {label.agreement_spans:,} spans"


def _confused(label: Signals) -> str | None:
    if not label.errors or label.confusions < max(CONFUSIONS, CONFUSED_SHARE * label.errors):
        return None
    return f"{label.confusions:,.0f} of {count(label.errors)} errors are confusions with {label.confused_with}"


def _suspected(label: Signals) -> str | None:
    if not label.spans or not label.suspects or label.suspects < max(SUSPECTS, SUSPECT_SHARE * label.spans):
        return None
    return f"{label.suspects:,} suspects of tier 1 among {label.spans:,} spans"


def _still_rising(label: Signals) -> str | None:
    return f"F {label.slope:+.3f} by doubling the texts" if label.trend == HELPS and label.slope else None


def _unseen_forms(label: Signals) -> str | None:
    if label.seen is None or label.unseen is None or label.unseen_entities < UNSEEN_ENTITIES:
        return None
    if label.seen - label.unseen < RECALL_GAP:
        return None
    unseen = f"unseen {two_digits(label.unseen)} of {label.unseen_entities:,.0f}"
    return f"recall: {unseen}, seen {two_digits(label.seen)}"


def _low_coverage(label: Signals) -> str | None:
    is_low = label.covered < LOW_COVERAGE * label.texts
    return f"covered in {label.covered:,} of {label.texts:,} texts" if is_low else None


def _low_f(label: Signals) -> str | None:
    is_low = label.f is not None and label.f < LOW_F
    return f"F {two_digits(label.f)}, {count(label.errors or 0)} errors" if is_low else None


# In this order, since more texts help little while annotators disagree, labels are confused or annotations are wrong.
RULES = (
    Rule("train", "F of all labels below .1, or the label is never predicted", _unlearned),
    Rule("test", f"fewer than {FEW_ENTITIES} entities in the test texts", _few_entities),
    Rule("guideline", f"F between annotators below .8, on at least {AGREEMENT_SPANS} spans", _low_agreement),
    Rule("redefine", f"25 % of the errors, at least {CONFUSIONS}, are with one label", _confused),
    Rule("review", f"suspects are 3 % of the spans, at least {SUSPECTS}", _suspected),
    Rule("annotate", "the learning curve rises by more than noise", _still_rising),
    Rule("annotate", f"recall .15 lower on unseen surface forms, at least {UNSEEN_ENTITIES}", _unseen_forms),
    Rule("annotate", "covered in less than half of the texts", _low_coverage),
    Rule("inspect", "F below .9", _low_f),
    Rule("leave", "none of these", lambda _: ""),
)


def recommend(label: str, signals: Signals) -> Recommendation:
    """Return what the first rule that holds recommends."""
    reasons = ((number, rule, rule.reason(signals)) for number, rule in enumerate(RULES, 1))
    number, rule, reason = next(found for found in reasons if found[2] is not None)
    return Recommendation(rule.action, number, reason or "", _command(rule.action, label, signals))


_QUEUED = {"annotate": "", "review": " --vars.kind suspects", "test": " --vars.texts test"}


def _command(action: Action, label: str, signals: Signals) -> str:
    """The command that makes the tasks. weasel divides it once more, so a name with spaces is quoted twice."""
    if action not in _QUEUED or (action == "test" and signals.test_left == 0):
        return ""
    limit = ""
    if action == "test" and (needed := needed_texts(signals)):
        limit = f" --vars.limit {needed if signals.test_left is None else min(needed, signals.test_left)}"
    return f"weasel run queue . --vars.label {shlex.quote(shlex.quote(label))}{_QUEUED[action]}{limit}"


def two_digits(value: float | None) -> str:
    """Format a score: `.91`; a dash where it is undefined."""
    return "–" if value is None else f"{value:.2f}".replace("0.", ".", 1)
