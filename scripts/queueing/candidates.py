"""Uncovered texts of a label: how informative their annotation would be, and which of them to ask about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush, heappushpop, heapreplace
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
from scripts.core.hashing import fraction
from scripts.core.ledger import Ledger
from scripts.core.workers import watched
from scripts.merging.duplicates import NearDuplicates
from scripts.merging.merged import read_gold
from scripts.model.label_heads import OUT, find_entities, log_softmax
from scripts.model.models import TrainedModel, load_model
from scripts.model.thresholds import LabelScorer, label_scorer, run_components_below
from scripts.queueing.request import QueueItem, Request, Selection, question_key, spans_of, without_overlap

Floats = NDArray[np.float64]

_BATCH = 256  # texts
_POOL = 10  # times the limit: the best candidates, among which near-duplicates are left out and words discounted
_WORDS_IN_REASON = 3
_DISCOUNT = 0.5  # factor on the informativeness of a word for each text already chosen because of it
_SHARE = 0.1  # a text is chosen because of the words that make up this share of its informativeness or more
_LENGTH = 0.5  # informativeness is a sum over tokens, divided by this power of their number


class Candidate(NamedTuple):
    """A text that may be asked about. The largest is the best.

    rank (float): Its informativeness, or its place in the random sample.
    order (int): Breaks ties: the first in the gold has the largest number.
    words (dict[str, float]): Informativeness by word, see `by_word`; empty in a random sample.
    spans (list[Span]): Predicted entities of the label; empty in a random sample.
    """

    rank: float
    order: int
    text: GoldText
    words: dict[str, float]
    spans: list[Span]


def choose_uncovered(
    gold: Path, texts: int, request: Request, before: frozenset[str], splitter: Splitter, tagger: Tagger | None
) -> Selection:
    """Choose uncovered texts. Memory holds ten times as many texts as are asked for.

    gold (Path), texts (int): gold.jsonl, and the number of its texts.
    before (frozenset[str]): Keys of what was asked before.
    tagger (Tagger | None): The models that rank the texts; None for a random sample.
    """
    counts = Ledger()
    eligible = _eligible(watched(read_gold(gold), texts, "Choosing"), request, before, splitter, counts)
    pool: list[Candidate] = []
    for candidate in _ranked(eligible, tagger, counts) if tagger else _shuffled(eligible, request.seed):
        if len(pool) < _POOL * request.limit:
            heappush(pool, candidate)
        else:
            heappushpop(pool, candidate)
    pool.sort(reverse=True)
    chosen = pool[: request.limit]
    if tagger:
        new = _without_near_duplicates(pool, _covered_or_asked(gold, request, before))
        counts["near-duplicates of covered or queued texts"] = len(pool) - len(new)
        chosen = _most_informative(new, request.limit, counts)
    counts["queued"] = len(chosen)
    counts.fill("over the limit")
    return Selection([_item(candidate, request) for candidate in chosen], counts)


def _eligible(
    texts: Iterable[GoldText], request: Request, before: frozenset[str], splitter: Splitter, counts: Ledger
) -> Iterator[GoldText]:
    """Yield the texts that can be asked about, and count the reasons against the others."""
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
        else:
            yield text


def _covered_or_asked(gold: Path, request: Request, before: frozenset[str]) -> Iterator[str]:
    for text in read_gold(gold):
        if request.label in text.covered or question_key(text.text) in before:
            yield text.text


def _shuffled(texts: Iterable[GoldText], seed: int) -> Iterator[Candidate]:
    for number, text in enumerate(texts):
        yield Candidate(-fraction(f"{seed} {text.text}"), -number, text, {}, [])


def _ranked(texts: Iterable[GoldText], tagger: Tagger, counts: Ledger) -> Iterator[Candidate]:
    number = 0
    for batch in minibatch(_not_too_long(texts, tagger.max_length, counts), _BATCH):
        tagged = tagger.tag([text.text for text in batch])
        for text, (words, entropies_of_words, spans) in zip(batch, tagged, strict=True):
            by_words = by_word(words, entropies_of_words)
            yield Candidate(informativeness(by_words, {}), -number, text, by_words, spans)
            number += 1


def _not_too_long(texts: Iterable[GoldText], max_length: int, counts: Ledger) -> Iterator[GoldText]:
    for text in texts:
        if len(text.text) > max_length:
            counts["too long for the pipeline"] += 1
        else:
            yield text


def _without_near_duplicates(pool: Sequence[Candidate], others: Iterable[str]) -> list[Candidate]:
    """The candidates that are no near-duplicates of other texts, of which there may be many more."""
    index = NearDuplicates([candidate.text.text for candidate in pool])
    for number in range(len(pool)):
        index.add(number)
    near = {number for other in others for number in index.find(other)}
    return [candidate for number, candidate in enumerate(pool) if number not in near]


def _most_informative(pool: list[Candidate], limit: int, counts: Ledger) -> list[Candidate]:
    """Choose the texts that are most informative together, without near-duplicates. Their rank becomes what they add.

    pool (list[Candidate]): The best first.
    """
    index = NearDuplicates([candidate.text.text for candidate in pool])
    chosen: list[Candidate] = []

    def is_new(number: int) -> bool:
        is_near = bool(index.find(pool[number].text.text))
        counts["near-duplicates within this queue"] += is_near
        return not is_near

    for number, gain in choose([candidate.words for candidate in pool], is_new):
        chosen.append(pool[number]._replace(rank=gain))
        index.add(number)
        if len(chosen) == limit:
            break
    return chosen


def _item(candidate: Candidate, request: Request) -> QueueItem:
    text = candidate.text
    spans = accepted = spans_of(text.accepted, request.label)
    if request.prefill == "model":
        rejected = spans_of(text.rejected, request.label)
        predicted = (span for span in without_overlap(candidate.spans, accepted) if span not in rejected)
        spans = sorted([*accepted, *predicted])
    return QueueItem(text, spans, _reason(candidate, request), [question_key(text.text)])


def _reason(candidate: Candidate, request: Request) -> dict[str, str | float]:
    if request.order == "random":
        return {"reason": "drawn at random"}
    words = sorted(candidate.words, key=lambda word: (-candidate.words[word], word))[:_WORDS_IN_REASON]
    reason = f"the model is least certain about: {', '.join(words)}"
    return {"reason": reason, "informativeness": float(f"{candidate.rank:.3g}")}


# Informativeness


def probabilities(pipe: LabelScorer, docs: Sequence[Doc]) -> Floats:
    """Probabilities of the five tags, thresholds included: (tokens of all Docs, labels, 5)."""
    scores = pipe.scores(docs).astype(np.float64)
    scores[:, :, OUT] += np.array([pipe.thresholds.get(label, 0.0) for label in pipe.labels])
    result: Floats = np.exp(log_softmax(scores))
    return result


def entropies(models: Sequence[Floats]) -> Floats:
    """Uncertainty about each token: the entropy of the models' mean prediction, in nats.

    It is the sum of the models' own uncertainty and of their disagreement (Houlsby et al. 2011,
    https://arxiv.org/abs/1112.5745).

    models (Sequence[Floats]): Of each model (…, 5), see `probabilities`.
    """
    mean = sum(models[1:], models[0]) / len(models)
    return -(mean * np.log(np.maximum(mean, 1e-12))).sum(-1)


def by_word(words: Iterable[str], entropies: Sequence[float], length: float = _LENGTH) -> dict[str, float]:
    """Informativeness of a text, by its words in lower case.

    words (Iterable[str]), entropies (Sequence[float]): Its tokens, and the uncertainty about each.
    length (float): 0 ranks by what a text teaches, 1 by what it teaches a word.
    """
    result: dict[str, float] = {}
    for word, entropy in zip(words, entropies, strict=True):
        word = word.lower()
        result[word] = result.get(word, 0.0) + entropy
    divisor = max(1, len(entropies)) ** length
    return {word: entropy / divisor for word, entropy in result.items()}


def informativeness(words: Mapping[str, float], chosen_for: Mapping[str, int], discount: float = _DISCOUNT) -> float:
    """Informativeness of a text beside those already chosen.

    words (Mapping[str, float]): See `by_word`.
    chosen_for (Mapping[str, int]): The number of texts that were chosen because of a word.
    """
    return sum(value * discount ** chosen_for.get(word, 0) for word, value in words.items())


def main_words(words: Mapping[str, float]) -> list[str]:
    """The words because of which a text is chosen. Others, such as a comma, do not matter."""
    least = _SHARE * sum(words.values())
    return [word for word, value in words.items() if value >= least]


def choose(
    candidates: Sequence[Mapping[str, float]],
    is_allowed: Callable[[int], bool] = lambda number: True,
    discount: float = _DISCOUNT,
) -> Iterator[tuple[int, float]]:
    """Choose the candidates one after the other: each time the most informative beside those already chosen.

    candidates (Sequence[Mapping[str, float]]): See `by_word`. Of equals, the first is chosen first.
    is_allowed (Callable[[int], bool]): Whether a candidate can be chosen, asked when it is its turn.
    YIELDS (tuple[int, float]): Number of the candidate, and its informativeness beside those before it.
    """
    chosen_for: Counter[str] = Counter()
    heap = [(-informativeness(words, chosen_for, discount), number) for number, words in enumerate(candidates)]
    heapify(heap)
    while heap:
        outdated, number = heap[0]
        # Informativeness only falls as more is chosen, so a candidate that stays on top when its own is computed anew
        # is the best: lazy greedy maximization of a submodular function (Minoux 1978, doi.org/10.1007/BFb0006528).
        current = -informativeness(candidates[number], chosen_for, discount)
        if current > outdated:
            heapreplace(heap, (current, number))
            continue
        heappop(heap)
        if is_allowed(number):
            yield number, -current
            chosen_for.update(main_words(candidates[number]))


class TaggedText(NamedTuple):
    """A text as models see it: its tokens, the uncertainty about each, and the entities that they predict together."""

    words: list[str]
    entropies: list[float]
    spans: list[Span]


class Tagger:
    """The models of a run as an ensemble that judges one label.

    models (Sequence[TrainedModel]): At least one.
    RAISES (UserError): If a model cannot be loaded, has no label heads, or none for the label.
    """

    def __init__(self, models: Sequence[TrainedModel], label: str) -> None:
        self.label = label
        self._pipelines = [load_model(model.path) for model in models]
        self._heads = [_heads(nlp, model, label) for nlp, model in zip(self._pipelines, models, strict=True)]

    @property
    def max_length(self) -> int:
        """The length that a text may have, in code points."""
        return min(nlp.max_length for nlp in self._pipelines)

    def tag(self, texts: Sequence[str]) -> list[TaggedText]:
        """Tag texts, none of them longer than `max_length`."""
        of_models = []
        for nlp, pipe in zip(self._pipelines, self._heads, strict=True):
            with nlp.memory_zone():  # a vocabulary would grow with all that it reads
                docs = run_components_below(nlp, [nlp.make_doc(text) for text in texts])
                tokens = [[(token.idx, token.text) for token in doc] for doc in docs]
                of_models.append(probabilities(pipe, docs)[:, pipe.labels.index(self.label)])
        return list(self._by_text(tokens, of_models))

    def _by_text(self, texts: list[list[tuple[int, str]]], of_models: list[Floats]) -> Iterator[TaggedText]:
        """Divide what is known of all tokens in a row among their texts.

        texts (list[list[tuple[int, str]]]): Offset and wording of the tokens of each text.
        """
        mean = sum(of_models[1:], of_models[0]) / len(of_models)
        found = find_entities(np.log(np.maximum(mean, 1e-12))[:, None], [len(tokens) for tokens in texts])
        entities = list(zip(found.start.tolist(), found.end.tolist(), strict=True))
        uncertainty = entropies(of_models)
        first = 0
        for tokens in texts:
            end = first + len(tokens)
            inside = ((tokens[a - first], tokens[z - first - 1]) for a, z in entities if first <= a < end)
            yield TaggedText(
                [word for _, word in tokens],
                uncertainty[first:end].tolist(),
                [Span(start, last + len(word), self.label) for (start, _), (last, word) in inside],
            )
            first = end


def _heads(nlp: Language, model: TrainedModel, label: str) -> LabelScorer:
    pipe = label_scorer(nlp)
    instead = 'or set [queue] order = "random" in configs/datasets.cfg'
    if pipe is None:
        raise UserError(
            f"{model.path}: has no label heads, whose probabilities rank the texts; take a run that has, {instead}"
        )
    if label not in pipe.labels:
        there = ", ".join(pipe.labels)
        raise UserError(f"{model.path}: was not trained for {label}, only for {there}; train it again, {instead}")
    return pipe
