"""Folders that are replaced, what a console shows of foreign text, and streams that cannot take all of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.core.errors import plain_console
from scripts.core.files import exclusive, replace_folder, whole_file, work_folder
from scripts.reporting.console import new_table
from tests.project import ROOT


def folder_with(path, content):
    path.mkdir(parents=True)
    (path / "model").write_text(content)
    return path


def interrupted(call, number):
    """A method that a user's Ctrl-C hits instead of its call of a number."""
    calls = iter(range(number))

    def method(*args):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return call(*args)

    return method


@pytest.mark.parametrize("number", range(2))
def test_a_folder_is_never_lost_between_two_renames(number, tmp_path, monkeypatch):
    place = folder_with(tmp_path / "model-best", "previous")
    with exclusive(tmp_path), work_folder(tmp_path) as work:
        new = folder_with(work / "model-best", "new")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", interrupted(Path.rename, number))
            with pytest.raises(KeyboardInterrupt):
                replace_folder(new, place)
            assert not place.exists() or (place / "model").read_text() == "previous"
    with exclusive(tmp_path):
        assert (place / "model").read_text() == "previous"
        assert {path.name for path in tmp_path.iterdir()} <= {"model-best", ".lock"}


@pytest.mark.parametrize("above", ["", "jsonl"])
def test_what_a_kill_left_between_two_renames_is_back_with_the_next_run(above, tmp_path):
    place = tmp_path / above / "all"
    folder_with(place.with_name(".previous-all"), "previous")
    with exclusive(tmp_path):
        assert (place / "model").read_text() == "previous"
        assert not place.with_name(".previous-all").exists()


def test_what_a_kill_left_after_both_renames_is_removed(tmp_path):
    folder_with(tmp_path / "all", "new")
    folder_with(tmp_path / ".previous-all", "previous")
    with exclusive(tmp_path):
        assert (tmp_path / "all" / "model").read_text() == "new"
        assert not (tmp_path / ".previous-all").exists()


def test_a_replaced_folder_leaves_nothing_else(tmp_path):
    replace_folder(folder_with(tmp_path / "work", "new"), folder_with(tmp_path / "all", "previous"))
    assert [path.name for path in tmp_path.iterdir()] == ["all"]
    assert (tmp_path / "all" / "model").read_text() == "new"


@pytest.mark.parametrize("folder", ["metrics", "configs", "queues/ORG"])
def test_what_a_killed_process_left_of_a_file_goes_with_the_next_run(folder, tmp_path):
    """And git never sees it, since it can hold texts."""
    code = "import os\nfrom pathlib import Path\nfrom scripts.core.files import whole_file\n"
    kill = (
        "with whole_file(Path(r'{}')) as file:\n    file.write(b'text')\n    file.flush()\n    os.kill(os.getpid(), 9)"
    )
    place = tmp_path / folder / "report.html"
    subprocess.run([sys.executable, "-c", code + kill.format(place)], cwd=ROOT, check=False)
    (left,) = place.parent.iterdir()
    assert left.read_bytes() == b"text"
    own = left.with_name(f".tmp-{os.getpid()}-other.json")  # of a process that is at work
    own.touch()
    ignored = subprocess.run(["git", "check-ignore", ROOT / folder / left.name], cwd=ROOT, capture_output=True)
    assert ignored.returncode == 0
    with whole_file(place.with_name("compare.csv")) as file:
        file.write(b"a")
    assert sorted(path.name for path in place.parent.iterdir()) == [own.name, "compare.csv"]


HOSTILE = {
    "\x1b[2Jgone": "\\x1b[2Jgone",
    "\x1b]0;title\x07": "\\x1b]0;title\\x07",
    "a\rb": "a\\rb",
    "\u202edrow": "\\u202edrow",
    "\u2066x\u2069": "\\u2066x\\u2069",
    "\x9b31m": "\\x9b31m",
    "\x7f": "\\x7f",
    "[bold]x": "[bold]x",
    ":bug:": ":bug:",
    "naïve Ω 東京": "naïve Ω 東京",
}


@pytest.mark.parametrize("name", HOSTILE, ids=map(ascii, HOSTILE))
def test_a_console_shows_what_a_terminal_would_obey(name, capsys):
    console = plain_console(100)
    table = new_table(name, name)
    table.add_row(name, name)
    console.print(f"label {name}")
    console.print(table)
    assert capsys.readouterr().out.split("\n") == [
        f"label {HOSTILE[name]}", *2 * [f"{HOSTILE[name]} {HOSTILE[name]}"], ""
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "cp932"])
def test_a_step_ends_well_where_the_output_cannot_take_all_characters(encoding):
    code = (
        "from scripts.core.errors import plain_console, run_step\n"
        "run_step(lambda: plain_console().print('✔ ORG Łódź 東京 😀'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"ORG" in done.stdout


def test_an_error_shows_control_characters_escaped():
    code = "from scripts.core.errors import *\ndef step(): raise UserError('label \\x1b[2J\\u202e x')\nrun_step(step)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf8")
    assert done.stderr == "✘ label \\x1b[2J\\u202e x\n"


# Ctrl-C, and a disk that is full, while several outputs are put in place

STEP = """
import errno, os, signal, sys
from pathlib import Path
from scripts.core.errors import committing, run_step
from scripts.core.errors import plain_console
from scripts.core.files import exclusive, put, whole_file, work_folder
sys.orig_argv = ["python", "-m", "scripts.merge"]
folder = Path(sys.argv[1])
def step():
    with exclusive(folder), work_folder(folder) as work:
        for name in "ab":
            (work / name).write_text("new")
        {before}
        with committing():
            put(work / "a", folder / "a")
            {amid}
            put(work / "b", folder / "b")
        {after}
        print("not reached")
run_step(step)
"""
STOP, TERM = "os.kill(os.getpid(), signal.SIGINT)", "os.kill(os.getpid(), signal.SIGTERM)"
FULL = "raise OSError(errno.ENOSPC, 'No space left on device', 'b')"
AS_BEFORE, WHOLE = "previous outputs are unchanged", "b and 1 more are new, other outputs are unchanged"
AGAIN = "To go on: weasel run merge"


@pytest.mark.parametrize(
    ("when", "what", "code", "said", "left"),
    [
        ("before", STOP, 130, f"stopped; {AS_BEFORE}. {AGAIN}", "old old"),
        ("before", TERM, 143, f"stopped; {AS_BEFORE}. {AGAIN}", "old old"),
        ("amid", STOP, 130, f"stopped; {WHOLE}. {AGAIN}", "new new"),
        ("amid", TERM, 143, f"stopped; {WHOLE}. {AGAIN}", "new new"),
        ("after", STOP, 130, f"stopped; {WHOLE}. {AGAIN}", "new new"),
        ("before", FULL, 1, f"b: the disk is full; {AS_BEFORE}. Free some space and run again", "old old"),
        ("amid", FULL, 1, "b: the disk is full; a is new, other outputs are unchanged. Free some space and run again",
         "new old"),
    ],
)  # fmt: skip
def test_what_ends_a_step_says_which_outputs_are_new(when, what, code, said, left, tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("old")
    places = dict.fromkeys(("before", "amid", "after"), "pass") | {when: what}
    command = [sys.executable, "-c", STEP.format(**places), "."]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, encoding="utf8", env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"✘ {said}\n")
    assert " ".join((tmp_path / name).read_text() for name in "ab") == left
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "a", "b"]


def test_a_second_ctrl_c_ends_a_step_that_still_cleans_up(tmp_path):
    """With the one line of the first."""
    code = (
        "import os, signal\nfrom scripts.core.errors import run_step\n"
        "def step():\n    try:\n        os.kill(os.getpid(), signal.SIGINT)\n    finally:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n        print('not reached', flush=True)\nrun_step(step)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf8")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (130, "", 1)


def test_what_a_step_forks_can_be_ended_at_once():
    """As spaCy's console does with its spinner: a fork forgets a signal that comes while Python starts in it."""
    code = (
        "import multiprocessing, time\nfrom scripts.core.errors import run_step\n"
        "fork = multiprocessing.get_context('fork').Process\ndef step():\n    for _ in range(40):\n"
        "        one = fork(target=time.sleep, args=(9,))\n        one.start()\n        one.terminate()\n"
        "        one.join(5)\n        assert one.exitcode == -15, one.exitcode\nrun_step(step)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf8")
    assert (done.returncode, done.stderr) == (0, "")
