"""The next queue of a label: tasks and their account in a numbered folder, and the screen about it; disputed texts."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar, get_args

import msgspec
from rich.console import Console

from scripts.building.corpus import whole_splitter
from scripts.building.plan import CorpusPlan, other_split
from scripts.building.splits import SPLITS, read_corpus
from scripts.checking.coverage import MATRIX, read_matrix
from scripts.checking.review import FOLDER, Suspect, stream_suspects
from scripts.core.answers import GoldText, Span, hash_of_line
from scripts.core.errors import UserError
from scripts.core.files import BUFFER, UNREADABLE, damaged, exclusive, put, work_folder, write_json
from scripts.core.manifest import file_name
from scripts.exporting.push import TOOLS, Pushed, PushTask, Target, push
from scripts.exporting.tokens import Tokens
from scripts.merging.account import Ledger
from scripts.merging.decide import longest_first
from scripts.merging.merged import annotated_labels, gold_as_merged, load
from scripts.merging.text_record import REPLACEMENT, Conflict
from scripts.model.models import TrainedModel, find_models, model_digest
from scripts.queueing.candidates import Tagger, choose_uncovered
from scripts.queueing.tasks import (
    FORMATS,
    NAME,
    Order,
    Prefill,
    Queue,
    QueueItem,
    Request,
    Selection,
    asked_before,
    question_key,
    spans_of,
    without_overlap,
)
from scripts.reporting.console import as_sum, plural
from scripts.reporting.corpus import print_other_split
from scripts.sources.blocks import DatasetBlock
from scripts.sources.similar import misspelled, same_names, synonyms

SOURCES = {"suspects.jsonl": "suspects", "consistency.jsonl": "consistency"}  # lists, and the steps that write them
_BOTH_MAY_BE_RIGHT = ("overlap between labels",)
_decode_gold = msgspec.json.Decoder(GoldText).decode
T = TypeVar("T", Suspect, Conflict)
RankedItem = tuple[tuple[float, ...], QueueItem]  # the smallest rank is asked first; a task has all disputes of a text
_UNITS = {"uncovered": "text", "suspects": "suspect", "conflicts": "conflict"}


class Queued(NamedTuple):
    """The result of `queue`."""

    folder: Path | None  # None if nothing was left to ask, and nothing was written
    queue: Queue
    waiting: dict[str, int]  # suspects and conflicts of the label that nobody was asked about
    outdated_models: bool  # whether the models that ranked the texts did not learn the label from this corpus
    unfinished: bool  # whether a later training of them began and did not end
    covering: Mapping[str, int]  # by dataset with answers, the number of texts that it covers for the label
    pushed: Pushed | None = None  # to a server, if it was asked for
    other_split: Sequence[str] = ()  # keys of [split] that were others when the corpus was made, if texts go by it


def queue(
    request: Request, corpus: Path, models: Path, output: Path, plan: CorpusPlan, target: Target | None = None
) -> Queued:
    """Write the next queue of a label: `<output>/<label>/<number>` with tasks and queue.json, whole or not at all.

    models (Path): The folder of a run, with seed-<n>/model-best. All seeds that were trained on the corpus take part.
    target (Target | None): Where the tasks go to, first of all: the next call makes the same tasks if that fails.
    RAISES (UserError): If the request is invalid, there is no such label, gold or model, or a server fails.
    """
    is_started = request.kind == "uncovered" and request.order == "random"  # a new label, which takes no model
    request = _validated(request)
    merged, gold = gold_as_merged(corpus)
    merged.validate(corpus / "conflicts.jsonl")
    labels = annotated_labels(merged)
    _demand_label(request.label, labels, is_started)
    folder = output / file_name(request.label).removesuffix(".jsonl")
    with exclusive(output), work_folder(output) as work:
        before = asked_before(folder)
        trained: list[TrainedModel] = []
        digest = ""
        if request.kind == "uncovered" and request.order == "informative":
            digest = read_corpus(corpus / "split.json").digest
            trained = find_models(models, digest, labels)[0]
        covering = covering_datasets(corpus, request.label)
        if request.kind == "uncovered":
            tagger = Tagger(trained, request.label) if trained else None
            # In one made in passes, an answer may not tell whether the label was looked for: nobody ignored the text.
            datasets = frozenset(name for name, texts in covering.items() if texts and name not in merged.passes)
            splitter = whole_splitter(plan, gold)
            chosen = choose_uncovered(gold, merged.totals["texts"], request, before, datasets, splitter, tagger)
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
        is_unfinished = any(model.is_unfinished for model in trained)
        others = other_split(corpus, plan) if request.kind == "uncovered" else []
        return Queued(place, account, waiting, is_outdated, is_unfinished, covering, pushed, others)


def covering_datasets(corpus: Path, label: str) -> dict[str, int]:
    """Return the number of texts that each dataset with answers covers for a label.

    RAISES (UserError): If coverage.csv is not as it was merged.
    """
    matrix = read_matrix(corpus / MATRIX)
    rows = [row.datasets for row in matrix.labels if row.label == label] if matrix else []
    return {name: sum(row.get(name, 0) for row in rows) for name, read in load(corpus).answers.items() if read["read"]}


def _demand_label(label: str, labels: list[str], is_started: bool) -> None:
    """RAISES (UserError): If a label is not in the gold, unless it is to be started and is not like one of them."""
    if label in labels:
        return
    if similar := [*same_names(label, labels), *misspelled(label, labels), *synonyms(label, labels)]:
        raise UserError(f"there is no label {label!r} in the gold, but {similar[0]}: --vars.label {similar[0]}")
    if not is_started:
        raise UserError(
            f"there is no label {label!r} in the gold; there are {', '.join(labels) or 'none'}; "
            'for a new one, set [queue] order = "random" in configs/datasets.cfg'
        )


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
    for name, usual in (("texts", ["train"]), ("prefill", ["gold", "none"])):  # what does nothing is a mistake
        if request.kind != "uncovered" and (value := getattr(request, name)) not in usual:
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


def print_queue(console: Console, queued: Queued, config: Path) -> None:
    """Print the account, read = queued + the others by reason, and what else waits; of config: its name."""
    queue = queued.queue
    console.print(f"{queue.unit.capitalize()}s: {as_sum(queue.counts)}")
    if queue.informativeness:
        first, last = (f"{value:.2g}" for value in queue.informativeness)
        console.print(f"Informativeness {first} (first) to {last} (last); near 0 the models are already certain")
    if queued.unfinished:
        console.print("⚠ the models are of the training before; the last one was stopped, or still runs")
    if queued.outdated_models:
        console.print("⚠ the models were trained on another corpus: weasel run train")
    print_other_split(console, queued.other_split)
    for kind, number in queued.waiting.items():
        if number:
            unasked = f"{plural(number, kind.removesuffix('s'))} of {queue.request.label} not asked about yet"
            console.print(f"{unasked}: --vars.kind {kind}")
    unanswered = queue.counts.get("queued before", 0)
    if queued.folder is None and queue.request.kind == "uncovered" and unanswered:
        console.print(
            f"{plural(unanswered, 'text')} queued before: annotate them, or see that a block of {config} reads the "
            "dataset with the answers"
        )


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


# ---- Texts in which the annotation is disputed: suspects, and conflicts between answers. A reviewer decides.


def choose_suspects(corpus: Path, request: Request, before: frozenset[str]) -> Selection:
    """Choose the suspects with the best tier and score; a reviewer decides between the annotation and the proposal.

    RAISES (UserError): If there is no list of suspects, or one is damaged.
    """
    paths = [corpus / FOLDER / name for name in SOURCES]
    if not any(path.exists() for path in paths):
        steps = " or ".join(f"weasel run {step}" for step in SOURCES.values())
        raise UserError(f"{corpus / FOLDER}: has no list of suspects; make one first: {steps}")
    counts = Ledger()
    lists = (stream_suspects(path, f"weasel run {SOURCES[path.name]}") for path in paths if path.exists())
    suspects = _by_text(chain.from_iterable(lists), request, before, counts)
    items = []
    for text in _texts(corpus / "gold.jsonl", suspects):
        listed = suspects.pop(text.text)
        current = [
            suspect for suspect in listed
            if text.covers(request.label, suspect.start, suspect.end)
            and set(spans_of(suspect.annotated, request.label)) <= set(text.covered_spans())
        ]  # fmt: skip
        counts["annotation changed since"] += len(listed) - len(current)
        if current:
            items.append(_review_suspects(text, current, request.label))
    counts["text no longer in the gold"] = sum(map(len, suspects.values()))
    return _select(items, request, counts)


def choose_conflicts(corpus: Path, request: Request, before: frozenset[str]) -> Selection:
    """Choose conflicts, unresolved first, for a reviewer. RAISES (UserError): If conflicts.jsonl is damaged."""
    counts = Ledger()
    listed = (each for each in _lines(corpus / "conflicts.jsonl", Conflict) if each.kind != REPLACEMENT)
    conflicts = _by_text(listed, request, before, counts)
    texts = _texts(corpus / "gold.jsonl", conflicts)
    return _select([_review_conflicts(text, conflicts[text.text], request.label) for text in texts], request, counts)


def count_waiting(corpus: Path, request: Request, before: frozenset[str]) -> dict[str, int]:
    """Count the suspects and conflicts of a label that nobody was asked about; without a kind that has no list."""
    waiting = {}
    for kind, choose in (("suspects", choose_suspects), ("conflicts", choose_conflicts)):
        with suppress(UserError):
            counts = choose(corpus, request, before).counts
            waiting[kind] = counts["queued"] + counts["over the limit"]
    return waiting


def _lines(path: Path, of: type[T]) -> Iterator[T]:
    try:
        with path.open("rb", BUFFER) as lines:
            yield from map(msgspec.json.Decoder(of).decode, lines)
    except FileNotFoundError:
        return
    except UNREADABLE as err:
        raise damaged(path, err, "merge again: weasel run merge") from err


def _by_text(disputes: Iterable[T], request: Request, before: frozenset[str], counts: Ledger) -> dict[str, list[T]]:
    """Group by text what is about the label and was not asked before; count the reasons against the rest."""
    by_text: dict[str, list[T]] = defaultdict(list)
    for dispute in disputes:
        counts["read"] += 1
        if request.label not in ([dispute.label] if isinstance(dispute, Suspect) else dispute.labels):
            counts["other labels"] += 1
        elif isinstance(dispute, Conflict) and dispute.kind in _BOTH_MAY_BE_RIGHT:
            counts["both may be right"] += 1
        elif _key(dispute, request.label) in before:
            counts["queued before"] += 1
        else:
            by_text[dispute.text].append(dispute)
    return by_text


def _key(dispute: Suspect | Conflict, label: str) -> str:
    """Key of a place and its annotation, whichever method suspects it; or of all answers about the label."""
    if isinstance(dispute, Suspect):
        return question_key(dispute.text, dispute.start, dispute.end, spans_of(dispute.annotated, label))
    answers = [(each.dataset, each.annotator, each.answer, spans_of(each.spans, label)) for each in dispute.answers]
    return question_key(dispute.text, dispute.kind, answers)


def _texts(gold: Path, wanted: dict[str, list[T]]) -> Iterator[GoldText]:
    """Yield the gold of the texts that are wanted. Of other lines only the hashes are decoded, since they are many."""
    hashes = {dispute.input_hash for disputes in wanted.values() for dispute in disputes}
    with gold.open("rb", BUFFER) as lines:
        for line in lines:
            if hash_of_line(line) in hashes and (text := _decode_gold(line)).text in wanted:
                yield text


def _review_suspects(text: GoldText, suspects: list[Suspect], label: str) -> RankedItem:
    annotated = spans_of([*text.spans, *text.accepted], label)
    suspected = {span for suspect in suspects for span in spans_of(suspect.annotated, label)}
    proposed = longest_first({span for suspect in suspects for span in spans_of(suspect.proposed, label)})[0]
    kept = without_overlap([span for span in annotated if span not in suspected], proposed)
    suspects = sorted(suspects, key=lambda each: (each.tier, -each.score, each.start, each.end, each.found_by))
    reason = " ".join(dict.fromkeys(suspect.reason for suspect in suspects))
    versions = [(annotated, ["as annotated"]), (sorted([*kept, *proposed]), ["as proposed"])]
    item = QueueItem(text, annotated, {"reason": reason}, [_key(suspect, label) for suspect in suspects], versions)
    return (suspects[0].tier, -suspects[0].score, text.input_hash), item


def _review_conflicts(text: GoldText, conflicts: list[Conflict], label: str) -> RankedItem:
    current = spans_of(text.spans, label) or spans_of(text.accepted, label)
    proposed_by: dict[tuple[Span, ...], set[str]] = defaultdict(set)
    for conflict, answer in ((each, answer) for each in conflicts for answer in each.answers):
        spans = spans_of(answer.spans, label)
        if conflict.range:  # the rest of the text is as it is
            start, end = conflict.range
            rest = [span for span in current if span.start < start or end < span.end]
            spans = sorted([*without_overlap(rest, spans), *spans])
        elif answer.kind == "binary":  # it judges its one span; the rest is as it is
            rest = without_overlap(current, spans)
            spans = sorted([*rest, *spans]) if answer.answer == "accept" else rest
        proposed_by[tuple(spans)].add(answer.annotator or answer.dataset)
    versions = [(list(spans), sorted(by)) for spans, by in sorted(proposed_by.items())]
    reason = " ".join(dict.fromkeys(f"{conflict.kind}, {conflict.decision}" for conflict in conflicts))
    item = QueueItem(text, current, {"reason": reason}, [_key(conflict, label) for conflict in conflicts], versions)
    return (label not in text.unresolved, text.input_hash), item


def _select(items: list[RankedItem], request: Request, counts: Ledger) -> Selection:
    items.sort(key=lambda ranked: (ranked[0], ranked[1].text.text))
    selection = Selection([item for _, item in items[: request.limit]], counts)
    counts["queued"] = sum(len(item.asked) for item in selection.items)
    counts.fill("over the limit")
    return selection
