"""The keys that every `[datasets.*]` block can have, applied to the answers of any reader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from scripts.core.answers import Span, Task
from scripts.core.settings import DatasetOptions
from scripts.sources.source import Intake, Source

_EQUAL = "span equal to another one under our name of its label"


def read_answers(source: Source, dataset: str, options: DatasetOptions, intake: Intake) -> Iterator[list[Task]]:
    """Stream what is taken of a source, as `Source.read` does: the answers of the annotators that are asked for, with
    our names of the labels. The intake gets those that are asked for and never occur.
    """
    answers = source.read(dataset, intake)
    if options.annotators:
        answers = _of_annotators(answers, options.annotators, intake)
    answers = _note_unseen(answers, source.labels, intake)
    return _rename(answers, source.labels, options, intake) if options.rename else answers


def _of_annotators(answers: Iterable[list[Task]], annotators: Iterable[str], intake: Intake) -> Iterator[list[Task]]:
    unseen = set(annotators)
    wanted = frozenset(unseen)
    for tasks in answers:
        taken = [task for task in tasks if task.annotator in wanted]
        if len(taken) < len(tasks):
            others = [task for task in tasks if task.annotator not in wanted]
            spans = sum(len(task.spans) for task in others)
            intake.other_annotators([task.annotator for task in others], spans, whole_record=not taken)
        if taken:
            unseen.difference_update(task.annotator for task in taken)
            yield taken
    intake.missing_annotators = sorted(unseen)


def _note_unseen(answers: Iterator[list[Task]], labels: Iterable[str], intake: Intake) -> Iterator[list[Task]]:
    unseen = set(labels)
    for tasks in answers:
        unseen.difference_update(span.label for task in tasks for span in task.spans)
        yield tasks
        if not unseen:
            break
    yield from answers
    intake.missing_labels = sorted(unseen)


def _rename(
    answers: Iterable[list[Task]], labels: Iterable[str], options: DatasetOptions, intake: Intake
) -> Iterator[list[Task]]:
    sources: dict[str, set[str]] = {}
    for label in labels:
        sources.setdefault(options.rename.get(label, label), set()).add(label)
    names = {old: f"{old} → {new}" for old, new in options.rename.items() if old != new}
    for tasks in answers:
        intake.renamed.update(names[span.label] for task in tasks for span in task.spans if span.label in names)
        if renamed := [one for task in tasks for one in _renamed(task, options, sources, intake)]:
            yield renamed
        else:
            intake.skip(tasks[0].source, "no label of it could be read completely")


def _renamed(task: Task, options: DatasetOptions, sources: dict[str, set[str]], intake: Intake) -> list[Task]:
    """Return an answer with our names of its labels. It is complete for one of ours if it is for all of the source's;
    spans of the others become answers of their own.

    sources (dict[str, set[str]]): The source's names by ours.
    """
    ours = options.rename
    spans = sorted(Span(span.start, span.end, ours.get(span.label, span.label)) for span in task.spans)
    distinct = sorted(set(spans))
    for _ in range(len(spans) - len(distinct)):
        intake.skip_span(task.source, _EQUAL)
    labels = set(options.our_labels(task.labels))
    if task.kind != "binary":
        labels = {label for label in labels if sources[label] <= set(task.labels)}
    whole = replace(
        task,
        labels=sorted(labels),
        spans=[span for span in distinct if span.label in labels],
        versions=[sorted({Span(s.start, s.end, ours.get(s.label, s.label)) for s in v}) for v in task.versions],
    )
    alone = replace(whole, kind="binary", versions=[], other_labels=[], other_places=[])
    others = [span for span in distinct if span.label not in labels]
    return [whole] * bool(labels) + [replace(alone, labels=[span.label], spans=[span]) for span in others]
