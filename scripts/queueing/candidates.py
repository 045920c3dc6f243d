"""Uncovered texts of a label: how informative their annotation would be, and which of them to ask about."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heapreplace, nlargest
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch

from scripts.building.splits import Splitter
from scripts.core.answers import GoldText, Span
from scripts.core.errors import UserError
from scripts.core.texts import fraction
from scripts.core.workers import with_progress
from scripts.merging.account import Ledger
from scripts.merging.duplicates import NearDuplicates
from scripts.merging.merged import read_gold
from scripts.model.label_heads import (
    OUT,
    calibration_array,
    decode_entities,
    log_softmax,
    tag_probabilities,
    threshold_array,
)
from scripts.model.models import TrainedModel, load_model
from scripts.model.thresholds import LabelScorer, label_scorer, run_components_below
from scripts.queueing.tasks import QueueItem, Request, Selection, question_key, spans_of, without_overlap

Floats = NDArray[np.float64]
WordValues = Mapping[str, float]  # informativeness of a text by word, see `by_word`

_BATCH = 256  # texts
_POOL = 10  # times the limit: the best candidates, among which near-duplicates are left out and words discounted
_WORDS_IN_REASON = 3
_DISCOUNT = 0.5  # factor on the informativeness of a word for each text already chosen because of it
_SHARE = 0.1  # a text is chosen because of the words that make up this share of its informativeness or more
_LENGTH = 0.5  # informativeness is a sum over tokens, divided by this power of their number


class Candidate(NamedTuple):
    """A text that may be asked about. The largest is the best. Words and spans are empty in a random sample."""

    rank: float  # informativeness, or place in the random sample
    order: int  # breaks ties: the first in the gold has the largest number
    text: GoldText
    words: WordValues
    spans: list[Span]  # predicted entities of the label


def choose_uncovered(
    gold: Path, texts: int, request: Request, before: frozenset[str], datasets: frozenset[str], splitter: Splitter,
    tagger: Tagger | None,
) -> Selection:  # fmt: skip
    """Choose uncovered texts of the gold. Memory holds ten times as many texts as are asked for.

    before (frozenset[str]): Keys of what was asked before.
    datasets (frozenset[str]): Those that cover the label: whoever ignored or rejected a text there is not asked again.
    tagger (Tagger | None): The models that rank the texts; None for a random sample.
    """
    counts = Ledger()
    all_texts = with_progress(read_gold(gold), texts, "Choosing")
    max_length = tagger.max_length if tagger else sys.maxsize
    eligible = _eligible(all_texts, request, before, datasets, splitter, max_length, counts)
    if tagger:
        known = (
            text.text for text in read_gold(gold)
            if request.label in text.covered or question_key(text.text) in before
        )  # fmt: skip
        pool = nlargest(_POOL * request.limit, _ranked(eligible, tagger))
        chosen = _most_informative(pool, known, request.limit, counts)
    else:
        shuffled = (
            Candidate(-fraction(f"{request.seed} {text.text}"), -number, text, {}, [])
            for number, text in enumerate(eligible)
        )
        chosen = nlargest(request.limit, shuffled)
    counts["queued"] = len(chosen)
    counts.fill("over the limit")
    return Selection([_item(candidate, request) for candidate in chosen], counts)


def _eligible(
    texts: Iterable[GoldText], request: Request, before: frozenset[str], datasets: frozenset[str], splitter: Splitter,
    max_length: int, counts: Ledger,
) -> Iterator[GoldText]:  # fmt: skip
    for text in texts:
        counts["read"] += 1
        if request.label in text.covered:
            counts["covered"] += 1
        elif request.label in text.unresolved:
            counts["unresolved"] += 1
        elif splitter.split_of(text) != request.texts:
            counts[f"not of the {request.texts} texts"] += 1
        elif question_key(text.text) in before:
            counts["queued before"] += 1
        elif not datasets.isdisjoint(text.other_sources):
            counts["ignored or rejected"] += 1
        elif len(text.text) > max_length:
            counts["too long for the pipeline"] += 1
        else:
            yield text


def _ranked(texts: Iterable[GoldText], tagger: Tagger) -> Iterator[Candidate]:
    number = count()
    for batch in minibatch(texts, _BATCH):
        for text, (words, spans) in zip(batch, tagger.tag(batch), strict=True):
            yield Candidate(informativeness(words, {}), -next(number), text, words, spans)


def _most_informative(pool: list[Candidate], known: Iterable[str], limit: int, counts: Ledger) -> list[Candidate]:
    """Choose the texts that are most informative together, without near-duplicates. Their rank becomes what they add.

    known (Iterable[str]): Texts in which the label is covered, or that were asked before.
    """
    texts = [candidate.text.text for candidate in pool]
    in_pool, in_queue = NearDuplicates(texts), NearDuplicates(texts)
    for number in range(len(texts)):
        in_pool.add(number)
    of_known = {number for text in known for number in in_pool.find(text)}
    counts["near-duplicates of covered or queued texts"] = len(of_known)

    def is_new(number: int) -> bool:
        is_near = number not in of_known and bool(in_queue.find(texts[number]))
        counts["near-duplicates within this queue"] += is_near
        return not is_near and number not in of_known

    chosen: list[Candidate] = []
    for number, gain in islice(choose([candidate.words for candidate in pool], is_new), limit):
        chosen.append(pool[number]._replace(rank=gain))
        in_queue.add(number)
    return chosen


def _item(candidate: Candidate, request: Request) -> QueueItem:
    text = candidate.text
    spans = accepted = spans_of(text.accepted, request.label)
    if request.prefill == "model":
        rejected = spans_of(text.rejected, request.label)
        ranges = [Span(start, end, request.label) for start, end in text.covered_ranges.get(request.label, ())]
        free = without_overlap(candidate.spans, [*accepted, *ranges])
        predicted = (span for span in free if span not in rejected)
        spans = sorted([*accepted, *predicted])
    reason: dict[str, str | float] = {"reason": "drawn at random"}
    if request.order == "informative":
        words = sorted(candidate.words, key=lambda word: (-candidate.words[word], word))[:_WORDS_IN_REASON]
        reason = {"reason": f"the model is least certain about: {', '.join(words)}"}
        reason["informativeness"] = float(f"{candidate.rank:.3g}")
    return QueueItem(text, spans, reason, [question_key(text.text)])


# Informativeness


def probabilities(pipe: LabelScorer, docs: Sequence[Doc], label: str) -> tuple[Floats, Floats]:
    """Probabilities of the five tags of a label: (tokens of all Docs, 5), calibrated; and to decode, with threshold."""
    column = pipe.labels.index(label)
    scores = pipe.scores(docs)[:, column : column + 1].astype(np.float64)
    calibrated = tag_probabilities(scores, calibration_array([label], pipe.calibration))
    scores[:, :, OUT] += threshold_array([label], pipe.thresholds)
    return calibrated[:, 0], np.exp(log_softmax(scores[:, 0]))


def entropy(probabilities: Floats) -> Floats:
    """Uncertainty about each token, in nats, by the probabilities of its tags: (…, 5) becomes (…).

    For the mean of several models it is the sum of their own uncertainty and of their disagreement (Houlsby et al.
    2011, https://arxiv.org/abs/1112.5745).
    """
    return -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(-1)


def by_word(words: Iterable[str], entropies: Sequence[float]) -> dict[str, float]:
    """Informativeness of a text by its words in lower case, from the entropies of its tokens."""
    sums: dict[str, float] = defaultdict(float)
    for word, value in zip(words, entropies, strict=True):
        sums[word.lower()] += value
    return {word: value / len(entropies) ** _LENGTH for word, value in sums.items()}


def informativeness(words: WordValues, chosen_for: Mapping[str, int]) -> float:
    """Informativeness of a text beside those chosen before: for each word, the number of texts chosen because of it."""
    return sum(value * _DISCOUNT ** chosen_for.get(word, 0) for word, value in words.items())


def main_words(words: WordValues) -> list[str]:
    """The words because of which a text is chosen. Others, such as a comma, do not matter."""
    least = _SHARE * sum(words.values())
    return [word for word, value in words.items() if value >= least]


def choose(
    candidates: Sequence[WordValues], is_allowed: Callable[[int], bool] = lambda number: True
) -> Iterator[tuple[int, float]]:
    """Choose candidates one after the other: each time the most informative beside those before; if equal, the first.

    is_allowed (Callable[[int], bool]): Whether a candidate can be chosen, asked when it is its turn.
    YIELDS (tuple[int, float]): Number of the candidate, and its informativeness beside those before it.
    """
    chosen_for: Counter[str] = Counter()
    heap = [(-informativeness(words, chosen_for), number) for number, words in enumerate(candidates)]
    heapify(heap)
    while heap:
        outdated, number = heap[0]
        # Informativeness only falls as more is chosen, so a candidate that stays on top when its own is computed anew
        # is the best: lazy greedy maximization of a submodular function (Minoux 1978, doi.org/10.1007/BFb0006528).
        current = -informativeness(candidates[number], chosen_for)
        if current > outdated:
            heapreplace(heap, (current, number))
            continue
        heappop(heap)
        if is_allowed(number):
            yield number, -current
            chosen_for.update(main_words(candidates[number]))


class Tagger:
    """The models of a run, at least one, as an ensemble for one label.

    RAISES (UserError): If a model cannot be loaded, has no label heads, or none for the label.
    """

    def __init__(self, models: Sequence[TrainedModel], label: str) -> None:
        self.label = label
        loaded = [(load_model(model.path), model) for model in models]
        self._models = [(nlp, _heads(nlp, model, label)) for nlp, model in loaded]
        self.max_length = min(nlp.max_length for nlp, _ in self._models)  # of a text, in code points

    def tag(self, texts: Sequence[GoldText]) -> Iterator[tuple[WordValues, list[Span]]]:
        """Yield for each text the informativeness of its words, and the entities that the models predict together.

        What is known, in ranges in which the label is covered, informs nobody.
        """
        of_models: list[tuple[Floats, Floats]] = []
        for nlp, pipe in self._models:
            with nlp.memory_zone():  # a vocabulary would grow with all that it reads
                docs = run_components_below(nlp, [nlp.make_doc(text.text) for text in texts])
                tokens = [[(token.idx, token.text) for token in doc] for doc in docs]
                of_models.append(probabilities(pipe, docs, self.label))
        calibrated, biased = (sum(each[1:], each[0]) / len(each) for each in zip(*of_models, strict=True))
        logs = np.log(np.maximum(biased, 1e-12))[:, None]
        start_rows, end_rows, _ = decode_entities(logs, [len(each) for each in tokens], np.zeros(1))
        entities = list(zip(start_rows.tolist(), end_rows.tolist(), strict=True))
        entropies = entropy(calibrated).tolist()
        first = 0  # token of all texts
        for text, each in zip(texts, tokens, strict=True):
            end = first + len(each)
            if self.label in text.covered_ranges:
                for number, (start, word) in enumerate(each, first):
                    entropies[number] *= not text.covers(self.label, start, start + len(word))
            inside = ((each[a - first], each[z - first - 1]) for a, z in entities if first <= a < end)
            spans = [Span(start, last + len(word), self.label) for (start, _), (last, word) in inside]
            yield by_word([word for _, word in each], entropies[first:end]), spans
            first = end


def _heads(nlp: Language, model: TrainedModel, label: str) -> LabelScorer:
    pipe = label_scorer(nlp)
    if pipe is not None and label in pipe.labels:
        return pipe
    if pipe is None:
        problem = "has no label heads, whose probabilities rank the texts; take a run that has"
    else:
        problem = f"was not trained for {label}, only for {', '.join(pipe.labels)}; train it again"
    raise UserError(f'{model.path}: {problem}, or set [queue] order = "random" in configs/datasets.cfg')
