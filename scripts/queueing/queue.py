"""A queue as a whole: what to ask about a label next, in a numbered folder, whole or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.building.corpus import Plan, splitter
from scripts.building.splits import read_split
from scripts.core.errors import UserError
from scripts.core.files import exclusive, work_folder, write_json
from scripts.core.manifest import file_name
from scripts.exporting.tokens import Tokens
from scripts.merging.merged import Merged, gold_as_merged, known_labels
from scripts.model.models import Trained, find, weights
from scripts.queueing.candidates import uncovered
from scripts.queueing.disputes import conflicts, suspects, waiting
from scripts.queueing.informativeness import Tagger
from scripts.queueing.request import (
    NAME,
    Item,
    Queue,
    Request,
    asked_before,
    next_folder,
)
from scripts.queueing.tasks import FORMATS

_UNITS = {"uncovered": "text", "suspects": "suspect", "conflicts": "conflict"}


class Queued(NamedTuple):
    """What came of it.

    folder (Path | None): The new one; None if there was nothing to ask, and nothing was written.
    queue (Queue): Its account.
    waiting (dict[str, int]): How many suspects and conflicts of the label nobody was asked about yet.
    is_old (bool): Whether the models that chose were trained on another corpus than there is now.
    """

    folder: Path | None
    queue: Queue
    waiting: dict[str, int]
    is_old: bool


def queue(request: Request, corpus: Path, models: Path, output: Path, plan: Plan) -> Queued:
    """Write the next queue of a label: `<output>/<label>/<number>` with tasks and queue.json.

    request (Request): What is asked for.
    corpus (Path): What was merged, and split.json.
    models (Path): The run's, with seed-<n>/model-best; of several seeds, all of the corpus as it is take part.
    output (Path): The folder for queues of all labels.
    plan (Plan): How texts are split and tokenized.
    RAISES (UserError): If there is no such format, label, gold or model.
    """
    request = _settled(request)
    merged, gold = gold_as_merged(corpus)
    _demand_label(request, merged)
    folder = output / file_name(request.label).removesuffix(".jsonl")
    with exclusive(output), work_folder(output) as work:
        before = asked_before(folder)
        found = _models(request, models, corpus)
        items, counts = _choose(request, merged.totals["texts"], corpus, before, plan, found)
        made = _account(request, merged.outputs[gold.name], found, items, counts)
        target = _write(made, items, plan, work / "new", next_folder(folder)) if items else None
        now = frozenset([*before, *made.asked])
        return Queued(target, made, waiting(corpus, request, now), _is_old(found, corpus))


def _account(request: Request, gold: str, models: list[Trained], items: list[Item], counts: Counter[str]) -> Queue:
    """RAISES (AssertionError): If something that was read is neither queued nor left out for a reason."""
    assert 2 * counts["read"] == counts.total(), counts
    worth = [item.reason["worth"] for item in items if "worth" in item.reason]
    return Queue(
        request=request,
        gold=gold,
        models={model.path.as_posix(): weights(model.path)[0] for model in models},
        unit=_UNITS[request.kind],
        counts=_sorted(counts),
        tasks=len(items),
        worth=[worth[0], worth[-1]] if worth else [],
        asked=sorted(key for item in items for key in item.asked),
    )


def _settled(request: Request) -> Request:
    """The request; texts to evaluate on are always drawn at random, since scores on chosen ones would mean nothing.

    RAISES (UserError): If there is no such thing to ask for.
    """
    for name, of in (("kind", _UNITS), ("format", FORMATS), ("texts", ("train", "dev", "test")),
                     ("order", ("useful", "random")), ("prefill", ("known", "model"))):  # fmt: skip
        _demand_one_of(name, getattr(request, name), of)
    if request.label in ("", "none"):
        raise UserError("say which label: --vars.label ORG")
    if request.limit < 1:
        raise UserError(f"--limit {request.limit}: must be 1 or more")
    order = "useful" if request.texts == "train" and request.order == "useful" else "random"
    if order == "random" and request.prefill == "model":
        raise UserError("--prefill model: is for texts that models choose, with --texts train and --order useful")
    return msgspec.structs.replace(request, order=order)


def _demand_one_of(name: str, value: str, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise UserError(f"--{name} {value}: there is no such {name}; there are {', '.join(allowed)}")


def _demand_label(request: Request, merged: Merged) -> None:
    """RAISES (UserError): If nobody has annotated the label. It can be a new one, where no model is needed."""
    known = known_labels(merged)
    if request.label not in known and not (request.kind == "uncovered" and request.order == "random"):
        there = ", ".join(known) or "none"
        raise UserError(
            f"there is no label {request.label!r} in the gold; there are {there}; for a new one, --vars.order random"
        )


def _models(request: Request, models: Path, corpus: Path) -> list[Trained]:
    """The models that choose. None where texts are drawn at random, so that they stand for all of their side."""
    if request.kind != "uncovered" or request.order == "random":
        return []
    return find(models, read_split(corpus / "split.json").digest).models


def _is_old(models: list[Trained], corpus: Path) -> bool:
    digest = read_split(corpus / "split.json").digest if models else ""
    return any(model.told is None or model.told.corpus != digest for model in models)


def _choose(
    request: Request, texts: int, corpus: Path, before: frozenset[str], plan: Plan, models: list[Trained]
) -> tuple[list[Item], Counter[str]]:
    if request.kind == "suspects":
        return suspects(corpus, request, before)
    if request.kind == "conflicts":
        return conflicts(corpus, request, before)
    gold = corpus / "gold.jsonl"
    tagger = Tagger(models, request.label) if models else None
    return uncovered(gold, texts, request, before, splitter(plan, gold), tagger)


def _write(made: Queue, items: list[Item], plan: Plan, work: Path, target: Path) -> Path:
    work.mkdir()
    FORMATS[made.request.format].write(items, made.request.label, Tokens(plan.nlp), work)
    write_json(work / NAME, made)
    target.parent.mkdir(exist_ok=True)
    work.replace(target)
    return target


def _sorted(counts: Counter[str]) -> dict[str, int]:
    """With what was read and what is queued first; without what did not occur."""
    rest = sorted(name for name in counts if name not in ("read", "queued") and counts[name])
    return {name: counts[name] for name in ("read", "queued", *rest)}
