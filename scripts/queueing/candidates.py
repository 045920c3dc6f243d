"""Texts in which a label is not covered yet: which of them to ask about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import heappush, heappushpop
from pathlib import Path
from typing import NamedTuple

from spacy.util import minibatch

from scripts.building.shards import read_gold
from scripts.building.splits import Splitter
from scripts.core.answers import GoldText, Span
from scripts.core.hashing import fraction
from scripts.core.workers import watched
from scripts.merging.duplicates import Near, near_any
from scripts.queueing.informativeness import (
    Tagger,
    by_form,
    choose,
    worth,
)
from scripts.queueing.request import Item, Request, free_of, key, of_label

_BATCH = 256
_DEPTH = 10  # times the limit: so many of the best are kept, to choose from them such as differ
_SHOWN = 3  # tokens, in the reason


class Candidate(NamedTuple):
    """A text that may be asked about.

    rank (float): The larger the earlier.
    order (int): Of those of the same rank, the first in the gold comes first: it is the larger number.
    forms (dict[str, float]), spans (list[Span]): See `by_form`, and what models find; nothing if they were not asked.
    """

    rank: float
    order: int
    text: GoldText
    forms: dict[str, float]
    spans: list[Span]


def uncovered(
    gold: Path, texts: int, request: Request, before: frozenset[str], splitter: Splitter, tagger: Tagger | None
) -> tuple[list[Item], Counter[str]]:
    """Choose texts. Memory is that of the best of them, ten times as many as are asked for.

    gold (Path), texts (int): gold.jsonl, and how many texts are in it.
    before (frozenset[str]): Keys of what was asked before.
    splitter (Splitter): Tells on which side a text is.
    tagger (Tagger | None): The models; None to draw at random, each text with the same probability.
    RETURNS (tuple[list[Item], Counter[str]]): What to ask, in this order, and the account of all texts.
    """
    counts: Counter[str] = Counter()
    free = _free(watched(read_gold(gold), texts, "Choosing"), request, before, splitter, counts)
    pool: list[Candidate] = []
    for candidate in _ranked(free, request, tagger, counts):
        if len(pool) < _DEPTH * request.limit:
            heappush(pool, candidate)
        else:
            heappushpop(pool, candidate)
    pool.sort(reverse=True)
    if tagger is None:
        chosen = pool[: request.limit]
    else:
        near = near_any([one.text.text for one in pool], _known(read_gold(gold), request, before))
        counts["nearly the same as one that is known or asked"] = len(near)
        chosen = _different([one for number, one in enumerate(pool) if number not in near], request.limit, counts)
    counts["queued"] = len(chosen)
    counts["over the limit"] = 2 * counts["read"] - counts.total()
    return [_item(one, request) for one in chosen], counts


def _free(
    texts: Iterable[GoldText], request: Request, before: frozenset[str], splitter: Splitter, counts: Counter[str]
) -> Iterator[GoldText]:
    """The texts that can be asked about; of others, the reason is counted."""
    for text in texts:
        counts["read"] += 1
        if request.label in text.covered:
            counts["covered"] += 1
        elif request.label in text.unresolved:
            counts["unresolved, a conflict"] += 1
        elif splitter.side(text) != request.texts:
            counts[f"not of the {request.texts} texts"] += 1
        elif key(text.text) in before:
            counts["queued before"] += 1
        else:
            yield text


def _known(texts: Iterable[GoldText], request: Request, before: frozenset[str]) -> Iterator[str]:
    for text in texts:
        if request.label in text.covered or key(text.text) in before:
            yield text.text


def _ranked(
    texts: Iterable[GoldText], request: Request, tagger: Tagger | None, counts: Counter[str]
) -> Iterator[Candidate]:
    if tagger is None:
        for number, text in enumerate(texts):
            yield Candidate(-fraction(f"{request.seed} {text.text}"), -number, text, {}, [])
        return
    number = 0
    for batch in minibatch(_short(texts, tagger.longest, counts), _BATCH):
        tagged = tagger.tag([text.text for text in batch])
        for text, found in zip(batch, tagged, strict=True):
            forms = by_form(found.words, found.doubts)
            yield Candidate(worth(forms, {}), -number, text, forms, found.spans)
            number += 1


def _short(texts: Iterable[GoldText], longest: int, counts: Counter[str]) -> Iterator[GoldText]:
    for text in texts:
        if len(text.text) > longest:
            counts["longer than the pipeline takes"] += 1
        else:
            yield text


def _different(pool: list[Candidate], limit: int, counts: Counter[str]) -> list[Candidate]:
    """Of candidates, the best first, so many as are most useful together, none of them nearly the same as another."""
    near = Near()
    chosen: list[Candidate] = []

    def is_free(number: int) -> bool:
        is_like = bool(near.like(pool[number].text.text))
        counts["nearly the same as one in this queue"] += is_like
        return not is_like

    for found in choose([one.forms for one in pool], is_free):
        chosen.append(pool[found.number]._replace(rank=found.worth))
        near.add(found.number, pool[found.number].text.text)
        if len(chosen) == limit:
            break
    return chosen


def _item(one: Candidate, request: Request) -> Item:
    text = one.text
    known, wrong = of_label(text.accepted, request.label), of_label(text.rejected, request.label)
    spans = known
    if request.prefill == "model":
        spans = sorted([*known, *(span for span in free_of(one.spans, known) if span not in wrong)])
    reason = {"reason": "drawn at random"} if request.order == "random" else _reason(one)
    return Item(text, spans, reason, [key(text.text)])


def _reason(one: Candidate) -> dict[str, str | float]:
    forms = sorted(one.forms.items(), key=lambda pair: (-pair[1], pair[0]))[:_SHOWN]
    doubtful = ", ".join(form for form, _ in forms)
    return {"reason": f"the model is least sure of: {doubtful}", "worth": float(f"{one.rank:.3g}")}
