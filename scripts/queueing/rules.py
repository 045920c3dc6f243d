"""What to do about a label: the first of a few rules that holds. What the numbers were is told with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

Do = Literal["annotate", "guideline", "redefine", "review", "look", "leave"]

FEW = 30  # entities in the test texts
AGREED, AGREED_ON = 0.8, 50  # F between annotators, and spans
MIXED, MIXED_TIMES = 0.25, 10  # of what is wrong with a label, and entities
DOUBTFUL, DOUBTFUL_PLACES = 0.03, 5  # of the spans
GAP, NEW = 0.15, 30  # in recall, and entities
MISSING = 0.5  # of the texts
GOOD = 0.9  # F


class Signals(msgspec.Struct, kw_only=True):
    """All that is known of a label. None is what was not measured, or cannot be.

    texts (int), covered (int): All, and those in which the label is annotated completely.
    hours (float | None): To annotate it in the others, at the speed so far.
    spans (int | None), doubtful (int | None): Annotated, and places of the first tier: of `suspects`, if it has been
        run, else of `consistency`.
    agreement (float | None): F between annotators, on exact spans. agreed_on (int): Spans that any of them marked.
    support (int | None): Entities in the test texts.
    f, low, high (float | None): F of the newest run, and its interval.
    wrong (float | None): Entities missed and invented in the test texts.
    slope (float | None): F that twice as many texts brought. more (str | None): What the learning curve says of that.
    seen, unseen (float | None): Recall of forms that were in the texts to train on, and of others. new (float):
        Entities of the others.
    confused (str | None): The other label it is taken for, or that is taken for it, most often. times (float): How
        often.
    """

    texts: int
    covered: int
    hours: float | None = None
    spans: int | None = None
    doubtful: int | None = None
    agreement: float | None = None
    agreed_on: int = 0
    support: int | None = None
    f: float | None = None
    low: float | None = None
    high: float | None = None
    wrong: float | None = None
    slope: float | None = None
    more: str | None = None
    seen: float | None = None
    unseen: float | None = None
    new: float = 0
    confused: str | None = None
    times: float = 0


class Advice(msgspec.Struct):
    """What to do, by which rule (from 1), and what its numbers were."""

    do: Do
    rule: int
    why: str


class Rule(NamedTuple):
    """When to do what.

    when (str): In words. why (Callable): Of the label's numbers, where the rule holds; else None.
    """

    do: Do
    when: str
    why: Callable[[Signals], str | None]


def _few(it: Signals) -> str | None:
    if it.support is None or it.support >= FEW:
        return None
    return f"{it.support:,} entities in the test texts"


def _disagreement(it: Signals) -> str | None:
    if it.agreement is None or it.agreement >= AGREED or it.agreed_on < AGREED_ON:
        return None
    return f"F between annotators {_ratio(it.agreement)}, on {it.agreed_on:,} spans"


def _confusion(it: Signals) -> str | None:
    if not it.wrong or it.times < MIXED_TIMES or it.times < MIXED * it.wrong:
        return None
    return f"{it.times:,.0f} × {it.confused} for it, or it for {it.confused}; {it.wrong:,.0f} wrong in all"


def _doubt(it: Signals) -> str | None:
    if not it.spans or not it.doubtful or it.doubtful < DOUBTFUL_PLACES or it.doubtful < DOUBTFUL * it.spans:
        return None
    return f"{it.doubtful:,} doubtful places, {it.spans:,} spans"


def _steep(it: Signals) -> str | None:
    return f"twice as many texts brought {it.slope:+.3f} F" if it.more == "more helps" and it.slope else None


def _new_forms(it: Signals) -> str | None:
    if it.seen is None or it.unseen is None or it.new < NEW or it.seen - it.unseen < GAP:
        return None
    return f"recall {_ratio(it.unseen)} of {it.new:,.0f} entities of new forms, {_ratio(it.seen)} of seen ones"


def _low(it: Signals) -> str | None:
    if it.f is None or it.f >= GOOD:
        return None
    return f"F {_ratio(it.f)}, {it.wrong or 0:,.0f} wrong"


def _incomplete(it: Signals) -> str | None:
    if not it.texts or it.covered >= MISSING * it.texts:
        return None
    return f"annotated in {it.covered:,} of {it.texts:,} texts"


RULES = (
    Rule("annotate", f"fewer than {FEW} entities in the test texts", _few),
    Rule("guideline", f"F between annotators below .8, on {AGREED_ON} spans or more", _disagreement),
    Rule("redefine", f"a quarter of what is wrong is one other label, {MIXED_TIMES} times or more", _confusion),
    Rule("review", f"3 % of the spans are in doubt, {DOUBTFUL_PLACES} or more", _doubt),
    Rule("annotate", "the learning curve rises by more than noise", _steep),
    Rule("annotate", f"recall of new forms .15 below that of seen ones, of {NEW} or more", _new_forms),
    Rule("annotate", "annotated in less than half of the texts", _incomplete),
    Rule("look", "F below .9, and none of these", _low),
    Rule("leave", "none of these", lambda _: ""),
)


def advise(signals: Signals) -> Advice:
    """What the first rule that holds says."""
    found = ((number, rule, rule.why(signals)) for number, rule in enumerate(RULES, 1))
    return next(Advice(rule.do, number, why) for number, rule, why in found if why is not None)


def _ratio(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1)
