"""The next queue of a label: tasks and their account in a numbered folder, and the screen about it."""

from pathlib import Path
from typing import NamedTuple, get_args

import msgspec
from rich.console import Console

from scripts.building.corpus import CorpusPlan, whole_splitter
from scripts.building.splits import SPLITS, read_corpus
from scripts.core.errors import UserError
from scripts.core.files import exclusive, put, work_folder, write_json
from scripts.core.manifest import file_name
from scripts.exporting.push import TOOLS, Pushed, PushTask, Target, push
from scripts.exporting.tokens import Tokens
from scripts.merging.merged import annotated_labels, gold_as_merged
from scripts.model.models import TrainedModel, find_models, model_digest
from scripts.queueing.candidates import Tagger, choose_uncovered
from scripts.queueing.disputes import choose_conflicts, choose_suspects, count_waiting
from scripts.queueing.request import (
    NAME,
    Order,
    Prefill,
    Queue,
    QueueItem,
    Request,
    Selection,
    asked_before,
    question_key,
)
from scripts.queueing.tasks import FORMATS
from scripts.reporting.console import as_sum, plural
from scripts.sources.blocks import DatasetBlock

_UNITS = {"uncovered": "text", "suspects": "suspect", "conflicts": "conflict"}


class Queued(NamedTuple):
    """The result of `queue`."""

    folder: Path | None  # None if nothing was left to ask, and nothing was written
    queue: Queue
    waiting: dict[str, int]  # suspects and conflicts of the label that nobody was asked about
    outdated_models: bool  # whether the models that ranked the texts did not learn the label from this corpus
    unfinished: bool  # whether a later training of them began and did not end
    pushed: Pushed | None = None  # to a server, if it was asked for


def queue(
    request: Request, corpus: Path, models: Path, output: Path, plan: CorpusPlan, target: Target | None = None
) -> Queued:
    """Write the next queue of a label: `<output>/<label>/<number>` with tasks and queue.json, whole or not at all.

    models (Path): The folder of a run, with seed-<n>/model-best. All seeds that were trained on the corpus take part.
    target (Target | None): Where the tasks go to, first of all: the next call makes the same tasks if that fails.
    RAISES (UserError): If the request is invalid, there is no such label, gold or model, or a server fails.
    """
    request = _validated(request)
    merged, gold = gold_as_merged(corpus)
    merged.validate(corpus / "conflicts.jsonl")
    labels = annotated_labels(merged)
    # A new label can start with a random sample, which takes no model.
    if request.label not in labels and not (request.kind == "uncovered" and request.order == "random"):
        raise UserError(
            f"there is no label {request.label!r} in the gold; there are {', '.join(labels) or 'none'}; "
            'for a new one, set [queue] order = "random" in configs/datasets.cfg'
        )
    folder = output / file_name(request.label).removesuffix(".jsonl")
    with exclusive(output), work_folder(output) as work:
        before = asked_before(folder)
        trained: list[TrainedModel] = []
        digest = ""
        if request.kind == "uncovered" and request.order == "informative":
            digest = read_corpus(corpus / "split.json").digest
            trained = find_models(models, digest, labels)[0]
        if request.kind == "uncovered":
            tagger = Tagger(trained, request.label) if trained else None
            texts = merged.totals["texts"]
            chosen = choose_uncovered(gold, texts, request, before, whole_splitter(plan, gold), tagger)
        else:
            choose = choose_suspects if request.kind == "suspects" else choose_conflicts
            chosen = choose(corpus, request, before)
        if request.prefill == "none":
            chosen = chosen._replace(items=[item._replace(spans=[]) for item in chosen.items])
        account = _account(request, merged.outputs[gold.name], trained, chosen)
        pushed = None
        if target and chosen.items:
            version = f"{models.name} {question_key(account.models)[:8]}" if trained else "labelwise"
            pushed = push(target, list(map(_push_task, chosen.items)), request.label, version)
        place = _write(account, chosen, Tokens(plan.nlp), work / "new", folder) if chosen.items else None
        waiting = count_waiting(corpus, request, before.union(account.asked))
        records = [model.provenance for model in trained]
        is_outdated = any(record is None or record.outdated([request.label], digest) for record in records)
        return Queued(place, account, waiting, is_outdated, any(model.is_unfinished for model in trained), pushed)


def usual_prefill(target: Target, request: Request) -> Prefill:
    """Return the spans that tasks have: in Label Studio, those of the model stand beside the answers as predictions; in
    doccano, they would be answers.
    """
    if target.tool == "doccano":
        return "none"
    ranked = request.kind == "uncovered" and request.order == "informative" and request.texts == "train"
    return "model" if ranked else "gold"


def _push_task(item: QueueItem) -> PushTask:
    text = msgspec.structs.replace(item.text, meta=item.text.meta | item.reason)
    ranked = item.reason.get("informativeness")
    return PushTask(question_key(*item.asked), text, item.spans, None if ranked is None else round(1 / (1 + ranked), 4))


def _validated(request: Request) -> Request:
    """Return the request; texts to evaluate on are always a random sample, since scores on chosen ones mean nothing.

    RAISES (UserError): If a value is not one of those allowed.
    """
    choices = {"kind": [*_UNITS], "format": [*FORMATS], "texts": SPLITS, "prefill": get_args(Prefill)}
    for name, allowed in choices.items():
        if (value := getattr(request, name)) not in allowed:
            raise UserError(f"--{name} {value}: there is no such {name}; there are {', '.join(allowed)}")
    if not request.label:
        raise UserError("say which label: --vars.label ORG")
    if request.limit < 1:
        raise UserError(f"--limit {request.limit}: must be 1 or more")
    for name, usual in (("texts", "train"), ("prefill", "gold")):  # what does nothing is a mistake
        if request.kind != "uncovered" and (value := getattr(request, name)) != usual:
            raise UserError(f"--{name} {value}: is for uncovered texts; {request.kind} are of all splits, as annotated")
    order: Order = request.order if request.texts == "train" else "random"
    if order == "random" and request.prefill == "model":
        raise UserError('--prefill model: needs texts that models rank: --texts train, [queue] order = "informative"')
    return msgspec.structs.replace(request, order=order)


def _account(request: Request, gold: str, models: list[TrainedModel], chosen: Selection) -> Queue:
    ranks = [item.reason["informativeness"] for item in chosen.items if "informativeness" in item.reason]
    return Queue(
        request=request, gold=gold, models={model.path.as_posix(): model_digest(model.path)[0] for model in models},
        unit=_UNITS[request.kind], counts=chosen.counts.to_dict("queued"), tasks=len(chosen.items),
        informativeness=[ranks[0], ranks[-1]] if ranks else [],
        asked=sorted(key for item in chosen.items for key in item.asked),
    )  # fmt: skip


def _write(account: Queue, chosen: Selection, tokens: Tokens, work: Path, folder: Path) -> Path:
    """Write the files, and put them in place as the folder after the largest number: 001, 002, …"""
    work.mkdir()
    FORMATS[account.request.format].write(chosen.items, account.request.label, tokens, work)
    write_json(work / NAME, account)
    numbers = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    folder.mkdir(exist_ok=True)
    return put(work, folder / f"{max(numbers, default=0) + 1:03}")


def print_queue(console: Console, queued: Queued) -> None:
    """Print the account, read = queued + the others by reason, and what else waits."""
    queue = queued.queue
    console.print(f"{queue.unit.capitalize()}s: {as_sum(queue.counts)}")
    if queue.informativeness:
        first, last = (f"{value:.2g}" for value in queue.informativeness)
        console.print(f"Informativeness {first} (first) to {last} (last); near 0 the models are already certain")
    if queued.unfinished:
        console.print("⚠ the models are of the training before; the last one was stopped, or still runs")
    if queued.outdated_models:
        console.print("⚠ the models were trained on another corpus: weasel run train")
    for kind, number in queued.waiting.items():
        if number:
            unasked = f"{plural(number, kind.removesuffix('s'))} of {queue.request.label} not asked about yet"
            console.print(f"{unasked}: --vars.kind {kind}")


def print_pushed(console: Console, target: Target, pushed: Pushed, block: DatasetBlock | None) -> None:
    """Print where the tasks are, and what reads their answers; block: That which was added to the config."""
    there = f", {pushed.there:,} were there already" if pushed.there else ""
    tool = TOOLS[target.tool]
    console.print(f"\n{tool}, project {target.project}: {plural(pushed.sent, 'task')} pushed{there}")
    if pushed.left_out:
        console.print(f"⚠ {plural(pushed.left_out, 'task')} not pushed: {tool} removes the whitespace around a text")
    if block:
        console.print(f"[datasets.{block.name}] is new in the config: `pull` reads the answers by it")
    else:
        console.print("`pull` reads the answers: nothing to add to the config")
