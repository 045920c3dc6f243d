"""Every step, killed, stopped and out of disk space before each of its changes of the project.

Whatever happened, no later step takes what is damaged or mixed for whole, and the same step, run again, makes the same
bytes as if nothing had happened, with no leftovers. One point of each step and fault is tried: where its last output
comes into place. LABELWISE_CRASH_POINTS is the number of others; `all` takes hours.
"""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from tests import crashes
from tests.prodigy import line, task
from tests.project import ROOT

POINTS = os.environ.get("LABELWISE_CRASH_POINTS", "0")
NAMES = ["Ada", "Bob", "Cyd", "Dan", "Eve", "Fay", "Gus"]
PLACES = ["Rome", "Oslo", "Lima", "Bern", "Kyiv"]
CONFIG = """
[split]
dev = 0.25
test = 0.25

[suspects]
folds = 2
models = 1
steps = 10

[system]
processes = {processes}

[datasets]

[datasets.loc]
@readers = "labelwise.ProdigyJsonl.v1"
path = "sources/loc.jsonl"
labels = ["LOC"]

[datasets.per]
@readers = "labelwise.ProdigyJsonl.v1"
path = "sources/per.jsonl"
labels = ["PER"]
"""


class Step(NamedTuple):
    """A command of project.yml, the values of its vars, options, and the commands that read what it makes."""

    command: str
    vars: dict[str, object] = MappingProxyType({})
    readers: tuple[str, ...] = ()
    options: dict[str, list[str]] = MappingProxyType({})


STEPS = [
    Step("demo"),
    Step("import", {"path": "sources/org.jsonl", "write": "replace"}, ("pull",)),
    Step("pull", {}, ("merge",)),
    Step("merge", {}, ("corpus", "coverage")),
    Step("corpus", {}, ("train", "evaluate", "debug")),
    Step("consistency", {}, ("next",)),
    Step("coverage", {}, ("next",)),
    Step("debug"),
    Step("train", {}, ("evaluate", "package")),
    Step("evaluate", {}, ("compare",)),
    Step("train-label", {"label": "LOC"}, ("evaluate-label",)),
    Step("evaluate-label", {"run": "ner-LOC"}, ("compare",)),
    Step("compare", {}, ("report",)),
    Step("next", {}, ("report",)),
    Step("report"),
    Step("seed-variance", {}, ("compare",), {"5": ["3"]}),
    Step("learning-curve", {}, ("next",), {"--metrics": ["--shares", "0.5", "1", "--metrics"]}),
    Step("suspects", {}, ("queue-suspects", "next")),
    Step("queue", {"label": "PER", "limit": 5}, ("queue",)),
    Step("queue-suspects", {"label": "LOC", "limit": 5, "kind": "suspects"}),
    Step("queue-conflicts", {"label": "LOC", "limit": 5, "kind": "conflicts"}),
    Step("export", {"format": "brat"}),
    Step("package"),
    Step("export-mlflow"),
    Step("show", {"hash": "Rome"}),
    Step("clean", {}, ("pull",)),
]
BY_NAME = {step.command: step for step in STEPS}
COMMANDS = {"evaluate-label": "evaluate", "queue-suspects": "queue", "queue-conflicts": "queue"}


def lines_of(step):
    """Modules and arguments of a step."""
    for module, arguments in crashes.lines_of(COMMANDS.get(step.command, step.command), **step.vars):
        yield module, [word for one in arguments for word in step.options.get(one, [one])]


def call(folder, step, number=0, fault=crashes.KILL):
    """Run the lines of a step until one fails; changes are numbered through all of them."""
    changes = []
    for module, arguments in lines_of(step):
        left = number - len(changes) if number else 0
        done = crashes.run(folder, module, arguments, max(0, left), fault)
        changes += done.changes
        if done.code:
            break
    return done._replace(changes=changes)


def answers(path, texts, labels, forgotten=()):
    """Answers about texts as JSONL of Prodigy."""
    path.parent.mkdir(exist_ok=True)
    found = []
    for number in texts:
        name, place = NAMES[number % 7], PLACES[number % 5]
        words = f"{name} is in {place} number {number} ."
        start = words.index(place)
        spans = [(0, 3, "PER"), (start, start + 4, "LOC")]
        found.append(task(words, [s for s in spans if s[2] in labels and number not in forgotten]))
    path.write_text("\n".join(map(line, found)))


def first_state(folder):
    answers(folder / "sources/loc.jsonl", range(40), {"LOC"}, {7})
    answers(folder / "sources/per.jsonl", range(30), {"PER"})
    answers(folder / "sources/org.jsonl", range(5), {"PER", "LOC"})


def second_state(folder):
    """Annotated more, and corrected."""
    answers(folder / "sources/loc.jsonl", range(60), {"LOC"}, {9})
    answers(folder / "sources/per.jsonl", range(5, 50), {"PER"})


def configure(folder, processes):
    (folder / "configs").mkdir()
    (folder / "configs/datasets.cfg").write_text(CONFIG.format(processes=processes))
    small = {"max_steps": 10, "eval_frequency": 5, "width": 16, "depth": 1, "rows": [100, 100, 100, 100]}
    for name in ("ner.cfg", "ner_transition.cfg"):
        text = (ROOT / "configs" / name).read_text("utf8")
        for key, value in small.items():
            text = re.sub(rf"^{key} = [\d\[].*", f"{key} = {value}", text, flags=re.MULTILINE)
        (folder / "configs" / name).write_text(text, "utf8")


def prepare(folder, processes=1):
    """A project in which everything was run once, and then more was annotated."""
    folder.mkdir()
    configure(folder, processes)
    first_state(folder)
    for step in STEPS:
        if step.command not in APART:
            succeed(folder, step)
    second_state(folder)


APART = {"demo", "import", "export-mlflow", "show", "clean"}  # of no chain
WRITES_NOTHING = ("show",)
MAKES_ANOTHER = ("queue", "queue-suspects")  # each time, of what was not asked
LONG = ("demo", "debug", "seed-variance", "learning-curve", "suspects", "package")
ALL = (crashes.KILL, crashes.STOP, crashes.FULL)


def succeed(folder, step):
    done = call(folder, step)
    assert done.code == 0, (step.command, done.err)
    return done


class Situation(NamedTuple):
    """A step that has something to do.

    before, after (Path): The project before it and, undisturbed, after it.
    expected (dict): By reader: what it makes of each of both; None where it fails.
    changes (list[str]): What the step changes, in its order.
    """

    step: Step
    before: Path
    after: Path
    expected: dict[str, list[dict | None]]
    changes: list[str]


def situations(project, place):
    """Each step of the chain in turn, in a project in which more was annotated; then those that are in no chain."""
    for step in STEPS:
        yield situation(step, crashes.copy(project, place / f"{step.command}-before"), place)
        if step.command not in APART:
            project = place / f"{step.command}-after"


def situation(step, before, place):
    after = crashes.copy(before, place / f"{step.command}-after")
    done = succeed(after, step)
    expected = {
        name: [read_by(BY_NAME[name], crashes.copy(state, place / "read")) for state in (before, after)]
        for name in step.readers
    }
    return Situation(step, before, after, expected, done.changes)


def read_by(reader, folder):
    """What a step makes of a project; None if it fails in one line."""
    done = call(folder, reader)
    if done.code == 0:
        return crashes.content(folder)
    assert one_line(done), (reader.command, done)
    return None


def one_line(done):
    return done.code == 1 and done.err.startswith("✘ ") and done.err.count("\n") == 1


def points(changes):
    """Numbers of changes outside of temporary folders, and of some inside."""
    inside = [number for number, change in enumerate(changes, 1) if "/.tmp-work" in change]
    outside = [number for number, change in enumerate(changes, 1) if "/.tmp-work" not in change]
    return sorted({*outside, *inside[:2], *inside[:: max(1, len(inside) // 8)], *inside[-2:]})


def faults_of(found, number, fault, place):
    """What goes wrong if a fault comes before a change."""
    folder = crashes.copy(found.before, place / "now")
    done = call(folder, found.step, number, fault)
    wrong = said_wrong(found, done, folder, fault)
    for name, expected in found.expected.items():
        wrong += read_wrong(BY_NAME[name], expected, folder, place)
    wrong += again_wrong(found, folder)
    return [f"{found.step.command}, {fault} before {number} ({found.changes[number - 1]}): {one}" for one in wrong]


def read_wrong(reader, expected, folder, place):
    """A reader fails in one line, or makes the same as before the step or after it."""
    try:
        made = read_by(reader, crashes.copy(folder, place / "read"))
    except AssertionError as err:
        return [f"{reader.command}: {err}"[:900]]
    if made is None:
        return []
    was = crashes.content(folder)
    differ = [
        path
        for path, one in made.items()
        if one != was.get(path) and all(state is None or state.get(path) != one for state in expected)
    ]
    return [f"{reader.command} makes something else: {differ}"] if differ else []


def again_wrong(found, folder):
    """The step, run again, makes the same, and leaves nothing else."""
    was_done = found.step.command in MAKES_ANOTHER and crashes.content(folder) == crashes.content(found.after)
    again = call(folder, found.step)
    if again.code:
        return [f"does not run again: {again.err[-400:]}"]
    differ = not was_done and crashes.differences(crashes.content(folder), crashes.content(found.after))
    left = crashes.leftovers(folder)
    return [f"run again, {what} {paths}" for what, paths in (("makes other", differ), ("leaves", left)) if paths]


def said_wrong(found, done, folder, fault):
    """A step that is stopped says so in one true line, and leaves nothing."""
    if done.code not in {crashes.KILL: (-9, 0), crashes.STOP: (130, 0), crashes.FULL: (1, 0)}[fault]:
        return [f"ends with {done.code}: {done.err[-900:]}"]
    if fault == crashes.KILL:
        return []
    wrong = [f"leaves {left}" for left in crashes.leftovers(folder)]
    if done.code and not (done.err.startswith("✘ ") and done.err.count("\n") == 1):
        wrong.append(f"says {done.err[-900:]}")
    differ = crashes.differences(crashes.content(folder), crashes.content(found.before))
    differ = [path for path in differ if not path.endswith("/unfinished.txt")]  # a mark beside the previous model
    if found.step.command == "seed-variance":  # of two processes: the second one does not speak for the first
        differ = [path for path in differ if not path.startswith("training/")]
    if differ and "previous outputs are unchanged" in done.err:
        wrong.append(f"says {done.err.strip()!r}, though other are {differ}")
    return wrong


# ---- In CI: some points of each step


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """The steps in a project, each with something to do; made as far as they are asked for."""
    place = tmp_path_factory.mktemp("crashes")
    crashes.preload()
    prepare(place / "project")
    made = {}
    coming = situations(place / "project", place)

    def until(command):
        while command not in made:
            found = next(coming)
            made[found.step.command] = found
        return made[command]

    return until, place


def sample(found, fault):
    """Points that are looked at: the last one where an output comes into its place, and others."""
    numbers = points(found.changes)
    if POINTS == "all":
        return numbers
    renames = [number for number in numbers if found.changes[number - 1].startswith("os.rename")]
    rng = random.Random(f"{found.step.command} {fault}")
    return sorted({*(renames or numbers)[-1:], *rng.sample(numbers, min(int(POINTS), len(numbers)))})


def cases():
    """Steps that take long are killed only; all is done to all for LABELWISE_CRASH_POINTS=all."""
    for step in STEPS:
        if step.command not in WRITES_NOTHING:
            yield from (
                (step.command, fault) for fault in (ALL if POINTS == "all" or step.command not in LONG else ALL[:1])
            )


@pytest.mark.parametrize(("command", "fault"), list(cases()))
def test_a_step_that_is_not_done_harms_nothing_and_is_made_good_by_the_next_run(command, fault, chain):
    until, place = chain
    found = until(command)
    assert [one for number in sample(found, fault) for one in faults_of(found, number, fault, place)] == []


@pytest.mark.parametrize("command", WRITES_NOTHING)
def test_a_step_that_only_shows_something_changes_nothing(command, chain):
    until, _ = chain
    assert until(command).changes == []
