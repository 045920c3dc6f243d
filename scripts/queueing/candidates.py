"""How much a model would learn from the annotation of a text, and which texts are the best to ask about together.

Texts of which a label is not known yet: which of them to ask about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush, heappushpop, heapreplace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc
from spacy.util import minibatch

from scripts.building.shards import read_gold
from scripts.building.splits import Splitter
from scripts.core.answers import GoldText, Span
from scripts.core.hashing import fraction
from scripts.core.workers import watched
from scripts.merging.duplicates import Near, near_any
from scripts.model.label_heads import OUT, LabelHeads, log_softmax
from scripts.queueing.request import Item, Request, free_of, key, of_label
from scripts.queueing.tagging import Tagger

Floats = NDArray[np.float64]

_DISCOUNT = 0.5  # what a form is still worth, each time that a text has been taken for it
_PART = 0.1  # a text is taken for the forms that are at least so much of what it is worth
_LENGTH = 0.5  # worth is a sum over tokens, and is divided by this power of their number


class Chosen(NamedTuple):
    """One of the texts that were taken: its place among the candidates, and what it was worth at that point."""

    number: int
    worth: float


def probabilities(pipe: LabelHeads, docs: Sequence[Doc]) -> Floats:
    """(tokens of all Docs, labels, 5): of each tag, with the bias by which the pipeline decides."""
    scores = pipe.scores(docs).astype(np.float64)
    scores[:, :, OUT] += np.array([pipe.out_bias.get(label, 0.0) for label in pipe.labels])
    found: Floats = np.exp(log_softmax(scores))
    return found


def entropies(models: Sequence[Floats]) -> Floats:
    """How unsure one or several models are of each token: the entropy of their mean, in nats.

    It is the sum of how unsure each of them is and of how far they disagree (Houlsby et al. 2011,
    https://arxiv.org/abs/1112.5745).

    models (Sequence[Floats]): Of each model (…, 5), see `probabilities`.
    """
    mean = sum(models[1:], models[0]) / len(models)
    return -(mean * np.log(np.maximum(mean, 1e-12))).sum(-1)


def by_form(words: Iterable[str], doubts: Sequence[float], length: float = _LENGTH) -> dict[str, float]:
    """What a text is worth, by the forms of its tokens.

    words (Iterable[str]): Its tokens.
    doubts (Sequence[float]): How unsure the models are of each, see `entropies`.
    length (float): 0: what is learned from a text counts, 1: what is learned from a word.
    RETURNS (dict[str, float]): Forms in lower case.
    """
    found: dict[str, float] = {}
    for word, doubt in zip(words, doubts, strict=True):
        form = word.lower()
        found[form] = found.get(form, 0.0) + doubt
    divisor = max(1, len(doubts)) ** length
    return {form: doubt / divisor for form, doubt in found.items()}


def worth(forms: Mapping[str, float], seen: Mapping[str, int], discount: float = _DISCOUNT) -> float:
    """What is still to be learned from a text when forms have been seen so many times."""
    return sum(value * discount ** seen.get(form, 0) for form, value in forms.items())


def taken_for(forms: Mapping[str, float]) -> list[str]:
    """The forms that a text is taken for: others, such as a comma, are in it by chance."""
    least = _PART * sum(forms.values())
    return [form for form, value in forms.items() if value >= least]


def choose(
    candidates: Sequence[Mapping[str, float]],
    is_free: Callable[[int], bool] = lambda number: True,
    discount: float = _DISCOUNT,
) -> Iterator[Chosen]:
    """Take the candidates one after the other, each time the one that is worth most beside those already taken.

    That worth only falls as more is taken, so that a candidate whose worth is still the largest when it is computed
    anew is the best one: lazy greedy maximisation of a submodular function (Minoux 1978,
    https://doi.org/10.1007/BFb0006528).

    candidates (Sequence[Mapping[str, float]]): See `by_form`. Of equals, the first is taken first.
    is_free (Callable[[int], bool]): Whether a candidate can be taken at all when it is its turn.
    YIELDS (Chosen): All that can be taken, in that order.
    """
    seen: Counter[str] = Counter()
    waiting = [(-worth(forms, seen, discount), number) for number, forms in enumerate(candidates)]
    heapify(waiting)
    while waiting:
        stale, number = waiting[0]
        now = -worth(candidates[number], seen, discount)
        if now > stale:
            heapreplace(waiting, (now, number))
            continue
        heappop(waiting)
        if is_free(number):
            yield Chosen(number, -now)
            seen.update(taken_for(candidates[number]))


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
