"""All answers about one text become one GoldText."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, groupby
from operator import attrgetter
from typing import Any

import msgspec

from scripts.core.answers import Answer, GoldText, Kind, Span, Task, are_apart
from scripts.merging.account import Account
from scripts.merging.decide import Decision, Policy, Spans, Vote, decide, longest_first

_DATASET = attrgetter("dataset")


class Voice(msgspec.Struct):
    """Who said what, in a conflict."""

    dataset: str
    annotator: str
    timestamp: int | None
    source: str
    kind: Kind
    answer: Answer
    spans: list[Span]


class Conflict(msgspec.Struct, kw_only=True):
    """Answers that cannot all be right; a line of `corpus/conflicts.jsonl`.

    kind (str): "disagreement", "rejected text", "binary", "overlap within a label" or "overlap between labels".
    labels (list[str]): The labels it is about.
    decision (str): How it was decided, in words.
    spans (list[Span]): What was made of it.
    answers (list[Voice]): Who said what.
    """

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    kind: str
    labels: list[str]
    decision: str
    spans: list[Span]
    answers: list[Voice]


def merge_text(tasks: Iterable[Task], policy: Policy, account: Account) -> tuple[GoldText, list[Conflict]]:
    """Merge all answers about one text. The result does not depend on their order.

    tasks (Iterable[Task]): At least one, all of the same text.
    policy (Policy): How disagreements between annotators are decided.
    account (Account): The fate of every answer and span is counted in it.
    RETURNS (tuple[GoldText, list[Conflict]]): What is known of the text, and what did not agree.
    """
    return _Text(_ordered(tasks), policy, account).merge()


def position(task: Task) -> int:
    """The place of an answer in its dataset, which is the order of time there."""
    return int(task.source.rpartition(":")[2])


def _ordered(tasks: Iterable[Task]) -> list[Task]:
    """As `_order` says. Most are of a dataset of their own, which tells all of them."""
    ordered = sorted(tasks, key=_DATASET)
    if len({task.dataset for task in ordered}) == len(ordered):
        return ordered
    of_datasets = (list(same) for _, same in groupby(ordered, _DATASET))
    return [task for own in of_datasets for task in (sorted(own, key=_order) if len(own) > 1 else own)]


def _order(task: Task) -> tuple[Any, ...]:
    """By dataset and time. Answers that it does not tell apart are the same."""
    when = -1 if task.timestamp is None else task.timestamp
    meta = msgspec.json.encode(task.meta, order="sorted") if task.meta else b""
    return (
        task.dataset, when, task.source, task.kind, task.answer, task.labels, task.spans, task.annotator,
        task.versions, meta,
    )  # fmt: skip


def _annotator(task: Task) -> tuple[str, str]:
    """Who answered. Of a dataset that does not say, all answers count as one annotator's."""
    return (task.annotator, "") if task.annotator else ("", task.dataset)


def _later(task: Task) -> tuple[int, str, int]:
    return (-1 if task.timestamp is None else task.timestamp, task.dataset, position(task))


def _newest(tasks: list[Task]) -> list[Task]:
    """One annotator's valid answers out of several: the newest where all have a time; else the last of each dataset."""
    if len(tasks) == 1:
        return tasks
    times = [task.timestamp for task in tasks]
    if None not in times:
        tasks = [task for task in tasks if task.timestamp == max(times)]  # type: ignore[type-var]
    last = {task.dataset: task for task in sorted(tasks, key=position)}
    return list(last.values())


class _Text:
    """The merge of one text: its answers, and what has been found so far."""

    def __init__(self, tasks: list[Task], policy: Policy, account: Account) -> None:
        self.tasks = tasks
        self.policy = policy
        self.account = account
        self.fates: dict[int, set[str]] = defaultdict(set)  # by id of a task: its fates, one a label
        self.complete: dict[str, list[Task]] = defaultdict(list)  # by label, of the answers that count
        self.binary: dict[str, list[Task]] = defaultdict(list)
        self.undisputed: list[Task] = []
        self.conflicts: list[Conflict] = []
        # By ids of the answers that reject the text, or accept it: the labels for which both were given.
        self.contested: dict[tuple[int, ...], list[str]] = defaultdict(list)
        self.gold = GoldText(
            input_hash=tasks[0].input_hash, text=tasks[0].text, spans=[], covered=[], accepted=[], rejected=[],
            unresolved=[], sources=[], meta={},
        )  # fmt: skip

    def merge(self) -> tuple[GoldText, list[Conflict]]:
        rest = self._take_undisputed()
        for task in rest:
            self.account.answers[task.dataset, "read"] += 1
            self._count_spans(task, task.spans, "read")
        complete, binary = self.complete, self.binary
        live = self._distinct(self._heeded(rest))
        for task in live:
            for label in task.labels:
                (binary if task.kind == "binary" else complete)[label].append(task)
        for label in sorted(complete):
            self._settle_label(label, complete[label])
        for label in sorted(binary):
            self._settle_binary(label, binary[label])
        self._finish(rest, live)
        return self.gold, self.conflicts

    # Answers

    def _take_undisputed(self) -> list[Task]:
        """Take what nothing else is said of: it comes to what `_settle_label` does, in a third of the time, and nearly
        all answers are such. Returns the others.
        """
        said = Counter(chain.from_iterable(task.labels for task in self.tasks))
        rest = []
        gold, account = self.gold, self.account
        for task in self.tasks:
            if len(task.labels) == 1 and task.answer == "accept" and task.kind != "binary":
                label, spans = task.labels[0], task.spans
                if said[label] == 1 and are_apart(spans):
                    self.undisputed.append(task)
                    account.take(task.dataset, label, len(spans))
                    gold.covered.append(label)
                    gold.spans += spans
                    continue
            rest.append(task)
        return rest

    def _heeded(self, tasks: list[Task]) -> list[Task]:
        for task in tasks:
            if task.answer == "ignore":
                self._drop(task, "ignored")
        return [task for task in tasks if task.answer != "ignore"]

    def _distinct(self, tasks: list[Task]) -> list[Task]:
        """Of identical answers of one annotator, the latest."""
        about: dict[tuple[str, ...], list[Task]] = defaultdict(list)
        for task in tasks:
            about[tuple(task.labels)].append(task)
        dropped = {id(task) for same in about.values() if len(same) > 1 for task in self._repeated(same)}
        return [task for task in tasks if id(task) not in dropped] if dropped else tasks

    def _repeated(self, tasks: list[Task]) -> list[Task]:
        """Those that the same annotator gave again, of answers about the same labels."""
        latest: dict[Any, Task] = {}
        repeated = []
        for task in sorted(tasks, key=_later):
            versions = tuple(tuple(version) for version in task.versions)
            same = (_annotator(task), task.kind, task.answer, tuple(task.spans), versions)
            if same in latest:
                self._drop(latest[same], "duplicates")
                repeated.append(latest[same])
            latest[same] = task
        return repeated

    def _drop(self, task: Task, fate: str) -> None:
        self.account.answers[task.dataset, fate] += 1
        self._count_spans(task, task.spans, fate)

    def _count_spans(self, task: Task, spans: Collection[Span], fate: str) -> None:
        if len(task.labels) == 1:
            self.account.spans[task.dataset, task.labels[0], fate] += len(spans)
            return
        for label, times in Counter(span.label for span in spans).items():
            self.account.spans[task.dataset, label, fate] += times

    def _judge(self, task: Task, label: str, fate: str, span_fate: str | None = None) -> None:
        """Note the fate of a task for a label; of its spans too, where all of them share one."""
        self.fates[id(task)].add(fate)
        if span_fate:
            self._count_spans(task, _of(task, label), span_fate)

    # Complete answers

    def _settle_label(self, label: str, tasks: list[Task]) -> None:
        voters = tasks if len(tasks) == 1 else self._reviewed(label, self._current(label, tasks))
        rejects = [task for task in voters if task.answer == "reject"]
        for task in rejects:
            self._judge(task, label, "rejected", "rejected")
        voters = [task for task in voters if task.answer == "accept"]
        if rejects and voters:
            self.contested[tuple(map(id, rejects + voters))].append(label)
        if voters:
            self._vote(label, voters)

    def _current(self, label: str, tasks: list[Task]) -> list[Task]:
        """The answers that no later answer of the same annotator replaces."""
        by_annotator = defaultdict(list)
        for task in tasks:
            by_annotator[_annotator(task)].append(task)
        current = {id(task) for own in by_annotator.values() for task in _newest(own)}
        for task in tasks:
            if id(task) not in current:
                self._judge(task, label, "replaced", "replaced")
        return [task for task in tasks if id(task) in current]

    def _reviewed(self, label: str, tasks: list[Task]) -> list[Task]:
        """The answers without those that a review showed and decided otherwise."""
        reviews = [task for task in tasks if task.kind == "review"]
        if not reviews:
            return tasks
        overruled = set()
        for review in reviews:
            shown = [[span for span in version if span.label == label] for version in review.versions]
            for task in tasks:
                same = task.answer == review.answer and _of(task, label) == _of(review, label)
                if task.kind != "review" and not same and _of(task, label) in shown:
                    overruled.add(id(task))
        for task in tasks:
            if id(task) in overruled:
                self._judge(task, label, "replaced", "replaced")
        return [task for task in tasks if id(task) not in overruled]

    def _vote(self, label: str, voters: list[Task]) -> None:
        votes = [Vote(task.timestamp, self._without_overlaps(label, task)) for task in voters]
        decision = decide(votes, self.policy)
        for task, vote in zip(voters, votes, strict=True):
            self._judge(task, label, "kept")
            self._count_vote(task, vote.spans, decision)
        self._record(label, voters, decision)
        if len({vote.spans for vote in votes}) > 1:
            how = f"by {self.policy}" if decision.resolved else "unresolved: only what all agree on is taken"
            self._conflict("disagreement", [label], how, decision.spans, voters)

    def _without_overlaps(self, label: str, task: Task) -> Spans:
        kept, overlapping = longest_first(_of(task, label))
        if overlapping:
            self._count_spans(task, overlapping, "overlapping")
            self._conflict("overlap within a label", [label], "the longest span stays", kept, [task])
        return kept

    def _count_vote(self, task: Task, spans: Spans, decision: Decision) -> None:
        decided = set(decision.spans)
        won = [span for span in spans if span in decided]
        lost = [span for span in spans if span not in decided]
        self._count_spans(task, won, "gold" if decision.resolved else "known")
        self._count_spans(task, lost, "outvoted" if decision.resolved else "unresolved")

    def _record(self, label: str, voters: list[Task], decision: Decision) -> None:
        if not decision.resolved:
            self.gold.unresolved.append(label)
            self.gold.accepted.extend(decision.spans)
            return
        self.gold.covered.append(label)
        self.gold.spans.extend(decision.spans)
        coverage = self.account.coverage
        coverage[label, "", "spans"] += len(decision.spans)
        for dataset in {"", *(task.dataset for task in voters)}:
            coverage[label, dataset, "covered"] += 1

    # Binary answers

    def _settle_binary(self, label: str, tasks: list[Task]) -> None:
        by_span: dict[Span, list[Task]] = defaultdict(list)
        for task in tasks:
            by_span[task.spans[0]].append(task)
        covered = label in self.gold.covered
        known = {span for span in (self.gold.spans if covered else self.gold.accepted) if span.label == label}
        for span in sorted(by_span):
            voters = self._current(label, by_span[span])
            for task in voters:
                self._judge(task, label, "kept")
            if covered:
                self._compare(span, voters, span in known)
            elif span in known:
                self._compare(span, voters, True)
            else:
                self._judge_span(span, voters)
        if not covered:
            self._keep_disjoint(label, known, by_span)

    def _compare(self, span: Span, voters: list[Task], entity: bool) -> None:
        """Check binary answers about a span that complete answers have decided."""
        wrong = [task for task in voters if (task.answer == "accept") != entity]
        for task in voters:
            self._count_spans(task, [span], "contradicting" if task in wrong else "confirming")
        if wrong:
            decided = "the complete answers count"
            self._conflict("binary", [span.label], decided, [span] if entity else [], voters)

    def _judge_span(self, span: Span, voters: list[Task]) -> None:
        """Decide between binary answers about a span of a label that is not covered."""
        accepts = sum(task.answer == "accept" for task in voters)
        rejects = len(voters) - accepts
        winner = "accept" if accepts > rejects else "reject" if rejects > accepts else None
        lost = "outvoted" if winner else "unresolved"
        for task in voters:
            if task.answer != winner:
                self._count_spans(task, [span], lost)
            elif winner == "reject":
                self._count_spans(task, [span], "known")  # accepted spans are counted once overlaps are settled
        if winner:
            (self.gold.accepted if winner == "accept" else self.gold.rejected).append(span)
        if accepts and rejects:
            decided = "by majority" if winner else "unresolved: neither is taken"
            self._conflict("binary", [span.label], decided, [span] if winner == "accept" else [], voters)

    def _keep_disjoint(self, label: str, agreed: set[Span], by_span: dict[Span, list[Task]]) -> None:
        """Of accepted spans that overlap, those that complete answers agree on stay, then the longest."""
        found = [span for span in self.gold.accepted if span.label == label and span not in agreed]
        free = [s for s in found if all(s.end <= other.start or other.end <= s.start for other in agreed)]
        kept = {*agreed, *longest_first(free)[0]}
        self.gold.accepted = [span for span in self.gold.accepted if span.label != label or span in kept]
        for span in found:
            voters = [task for task in self._current_only(by_span[span]) if task.answer == "accept"]
            for task in voters:
                self._count_spans(task, [span], "known" if span in kept else "overlapping")
            if span not in kept:
                self._conflict("overlap within a label", [label], "the longest span stays", sorted(kept), voters)

    def _current_only(self, tasks: list[Task]) -> list[Task]:
        return [task for task in tasks if "kept" in self.fates[id(task)]]

    # The end

    def _conflict(
        self, kind: str, labels: list[str], decision: str, spans: Iterable[Span], tasks: Iterable[Task]
    ) -> None:
        answers = [
            Voice(
                task.dataset, task.annotator, task.timestamp, task.source, task.kind, task.answer,
                [span for span in task.spans if span.label in labels],
            )
            for task in sorted(tasks, key=_order)
        ]  # fmt: skip
        self.account.totals[f"conflicts: {kind}"] += 1
        self.conflicts.append(
            Conflict(
                input_hash=self.gold.input_hash, text=self.gold.text, kind=kind, labels=labels,
                decision=decision, spans=list(spans), answers=answers,
            )
        )  # fmt: skip

    def _finish(self, disputed: list[Task], live: list[Task]) -> None:
        gold = self.gold
        dropped = {id(task) for task in disputed}.difference(id(task) for task in self._kept(live))
        kept = [task for task in self.tasks if id(task) not in dropped] if dropped else self.tasks
        for task in kept:
            if task.meta != gold.meta:
                for key, value in task.meta.items():
                    gold.meta.setdefault(key, value)
        gold.sources = sorted({task.dataset for task in kept})
        gold.covered.sort()
        for spans in (gold.spans, gold.accepted, gold.rejected):
            spans.sort()
        self._list_crossing()
        for answers, labels in self.contested.items():
            tasks = [task for task in live if id(task) in answers]
            self._conflict("rejected text", labels, "the answers that accept it count", [], tasks)
        self._count_states()
        if len(self.conflicts) > 1:
            self.conflicts.sort(
                key=lambda found: msgspec.json.encode((found.kind, found.labels, found.spans, found.answers))
            )

    def _kept(self, live: list[Task]) -> Iterator[Task]:
        """The answers that took part in a decision; the fate of each is counted."""
        for task in live:
            fates = self.fates[id(task)]
            fate = "kept" if "kept" in fates else "rejected" if "rejected" in fates else "replaced"
            self.account.answers[task.dataset, fate] += 1
            if fate == "kept":
                yield task

    def _list_crossing(self) -> None:
        """List spans of different labels that overlap. They are kept."""
        open_spans: list[Span] = []
        end = 0
        for span in self.gold.spans:
            if span.start >= end:
                open_spans = [span]
                end = span.end
            else:
                open_spans = [other for other in open_spans if other.end > span.start]
                for other in open_spans:
                    labels = sorted({span.label, other.label})
                    self._conflict(
                        "overlap between labels", labels, "both are kept", [other, span], self._who_said(other, span)
                    )
                open_spans.append(span)
                end = max(end, span.end)

    def _who_said(self, *spans: Span) -> Iterable[Task]:
        """The complete answers that have one of these."""
        said = (task for task in self.undisputed for span in spans if span in task.spans)
        voted = (task for span in spans for task in self.complete[span.label] if span in task.spans)
        return {id(task): task for tasks in (said, voted) for task in tasks}.values()

    def _count_states(self) -> None:
        gold, coverage = self.gold, self.account.coverage
        partly = {span.label for span in (*gold.accepted, *gold.rejected)} - set(gold.unresolved)
        for state, labels in (("unresolved", gold.unresolved), ("partly", partly)):
            for label in labels:
                coverage[label, "", state] += 1
        self.account.totals["texts"] += 1
        self.account.totals["spans"] += len(gold.spans)


def _of(task: Task, label: str) -> list[Span]:
    """A task's spans of one label. Mostly it has one label only, and then no list is made."""
    return task.spans if len(task.labels) == 1 else [span for span in task.spans if span.label == label]
