"""The rules of `next`: the first that the measurements of a label fulfill says what to do about it."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from scripts.core.files import Count
from scripts.scoring.learning_curve import HELPS

Action = Literal["annotate", "guideline", "redefine", "review", "inspect", "leave"]
ACTIONS: dict[Action, str] = {
    "annotate": "annotate more texts",
    "guideline": "clarify the guideline, then review",
    "redefine": "tell both labels apart",
    "review": "review its suspects",
    "inspect": "inspect its errors",
    "leave": "leave it",
}

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


class Rule(NamedTuple):
    """An action and its condition, in words and as a function: the reason if the signals fulfill it, else None."""

    action: Action
    condition: str
    reason: Callable[[Signals], str | None]


def _few_entities(label: Signals) -> str | None:
    is_few = label.support is not None and label.support < FEW_ENTITIES
    return f"{label.support:,} entities in the test texts" if is_few else None


def _low_agreement(label: Signals) -> str | None:
    if label.agreement is None or label.agreement >= LOW_AGREEMENT or label.agreement_spans < AGREEMENT_SPANS:
        return None
    return f"F between annotators {two_digits(label.agreement)}, {label.agreement_spans:,} spans"


def _confused(label: Signals) -> str | None:
    if not label.errors or label.confusions < max(CONFUSIONS, CONFUSED_SHARE * label.errors):
        return None
    return f"{label.confusions:,.0f} of {label.errors:,.0f} errors are confusions with {label.confused_with}"


def _suspected(label: Signals) -> str | None:
    if not label.spans or not label.suspects or label.suspects < max(SUSPECTS, SUSPECT_SHARE * label.spans):
        return None
    return f"{label.suspects:,} suspects among {label.spans:,} spans"


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
    return f"F {two_digits(label.f)}, {label.errors or 0:,.0f} errors" if is_low else None


# In this order, since more texts help little while annotators disagree, labels are confused or annotations are wrong.
RULES = (
    Rule("annotate", f"fewer than {FEW_ENTITIES} entities in the test texts", _few_entities),
    Rule("guideline", f"F between annotators below .8, on at least {AGREEMENT_SPANS} spans", _low_agreement),
    Rule("redefine", f"25 % of the errors, at least {CONFUSIONS}, are with one label", _confused),
    Rule("review", f"suspects are 3 % of the spans, at least {SUSPECTS}", _suspected),
    Rule("annotate", "the learning curve rises by more than noise", _still_rising),
    Rule("annotate", f"recall .15 lower on unseen surface forms, at least {UNSEEN_ENTITIES}", _unseen_forms),
    Rule("annotate", "covered in less than half of the texts", _low_coverage),
    Rule("inspect", "F below .9", _low_f),
    Rule("leave", "none of these", lambda _: ""),
)


def recommend(signals: Signals) -> Recommendation:
    """Return what the first rule that holds recommends."""
    reasons = ((number, rule, rule.reason(signals)) for number, rule in enumerate(RULES, 1))
    return next(Recommendation(rule.action, number, reason) for number, rule, reason in reasons if reason is not None)


def two_digits(value: float | None) -> str:
    """Format a score: `.91`; a dash where it is undefined."""
    return "–" if value is None else f"{value:.2f}".replace("0.", ".", 1)
