"""Errors that a user can mend, how a step reports them, and the console of all steps."""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from scripts import stop_before_it_begins, way_on
from scripts.core.usage import report

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Controls, and marks that change the direction of text (https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters).
_HIDDEN = [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_PASSWORD = re.compile(r"(\w:/+[^\s/:@]*:)[^\s@]+(?=@)")  # in a URL
_PATIENCE = 10  # seconds for a step that was stopped to remove its temporary files; else the next run does
_SHOWN = {code: ascii(chr(code))[1:-1] for code in _HIDDEN if chr(code) not in "\t\n"}


class UserError(Exception):
    """Something the user can mend: one line with the place, what is wrong there, and what is allowed."""


def train_command(run: str, seeds: Sequence[int] = (), is_forced: bool = False) -> str:
    """Return the command that trains the models of a run, to be named in a message. `ner-ORG`, which has no config of
    its own, is the run `ner` with the head of one label trained again.

    seeds (Sequence[int]): Those that it needs; none for the first alone.
    is_forced (bool): Whether weasel may hold that there is nothing new.
    """
    base, _, label = run.rpartition("-")
    is_again = bool(base) and Path("training", base).is_dir() and not Path("configs", f"{run}.cfg").is_file()
    run = base if is_again else run
    options = ["--force"] * is_forced
    options += [f"--vars.run {shlex.quote(run)}"] * (run != "ner")
    options += [f"--vars.label {shlex.quote(label)}"] * is_again
    options += [f"--vars.seed {seed}" for seed in sorted(seeds)[:1] if seed]
    options += [f"--vars.seeds {len(seeds)}"] * (len(seeds) > 1 and not is_again)
    return " ".join(["weasel run train-label" if is_again else "weasel run train", *["."] * bool(options), *options])


class _Stopped(KeyboardInterrupt):
    """Ctrl-C. It is no plain KeyboardInterrupt: if that was raised while a string is evaluated, as `namedtuple` does,
    Python ends by the signal and not with our exit code (`unhandled_keyboard_interrupt` in CPython's Modules/main.c).
    """


class _Step:
    """The step at work.

    process (int): Its process: a worker that was forked is another.
    stopped (int): The signal that stops it; 0 for none.
    is_told (bool): Whether its last line was printed.
    commits (int): Blocks of `committing` that it is in.
    new (list[Path]): Outputs that it has put in place.
    """

    process = stopped = commits = 0
    is_told = False
    new: ClassVar[list[Path]] = []


def run_step(step: Callable[[], None]) -> None:
    """Run a step so that an error a user can mend, and Ctrl-C, end in one line, without a traceback.

    The last line of a step that is done says how long it took, and its peak memory.
    RAISES (SystemExit): With 1 after an error, with 128 + the signal if it was stopped.
    """
    _escape_what_cannot_be_encoded()
    _let_forks_be_terminated()
    _Step.process = os.getpid()
    previous = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        try:
            _report_errors(step)
        finally:  # what Python still has to do is short, and a signal then would end in a traceback
            for number, handler in previous.items():
                signal.signal(number, signal.SIG_IGN if handler is stop_before_it_begins else handler)
    except BaseException:  # a signal meanwhile, too
        if not _Step.stopped:
            raise
    if _Step.stopped:
        _tell_stopped()
        sys.exit(128 + _Step.stopped)


def _let_forks_be_terminated() -> None:
    """Give SIGTERM its meaning back in forks: one that was just made forgets a signal that has a handler in Python, and
    who ends it, as spaCy's console its spinner, does so once.
    """
    if _Step.process or not hasattr(os, "register_at_fork"):  # there already, or Windows
        return

    def pass_on(to_fork: bool) -> None:
        if to_fork:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]),
        after_in_parent=lambda: pass_on(to_fork=False),
        after_in_child=lambda: pass_on(to_fork=True),
    )


def _report_errors(step: Callable[[], None]) -> None:
    try:
        step()
        print(report())
        sys.stdout.flush()
    except UserError as err:
        _fail(str(err))
    except BrokenPipeError:  # `weasel run compare | head`
        sys.exit(1)
    except OSError as err:
        place = (
            re.sub(r"\.tmp-\d+-", "", f"{err.filename}: ") if err.filename else ""
        )  # of a file that is being written
        if err.errno == errno.ENOSPC:
            _fail(f"{place}the disk is full; {_outputs()}. Free some space and run again")
        _fail(f"{place}{err.strerror or err}")
    except sqlite3.Error as err:
        _fail(f"SQLite: {err}")


def _outputs() -> str:
    """Say which outputs are new."""
    if not _Step.new:
        return "previous outputs are unchanged"
    others = len(_Step.new) - 1
    more = f" and {others} more are" if others else " is"
    return f"{_Step.new[-1]}{more} new, other outputs are unchanged"


def note_new(output: Path) -> None:
    """Note that an output was put in place, or removed: if the step does not come to its end, it says so."""
    if output not in _Step.new and not any(part.startswith(".") for part in output.parts):
        _Step.new.append(output)


@contextmanager
def committing() -> Iterator[None]:
    """Put outputs in place that belong together, or clean up: Ctrl-C waits until that is done."""
    _Step.commits += 1
    try:
        yield
    finally:
        _Step.commits -= 1
    if _Step.stopped and not _Step.commits:
        _give_up()


def _stop(number: int, _: object) -> None:
    """For a signal: end the workers, say it, and leave each block in order. The second time: end at once."""
    if os.getpid() != _Step.process or _Step.stopped:
        os._exit(128 + number)
    _Step.stopped = number
    if not _Step.commits:
        _give_up()


def _give_up() -> None:
    """RAISES (_Stopped): Always. What else is raised from now on is of no use to anyone."""
    sys.unraisablehook = lambda _: None
    threading.excepthook = lambda _: None
    if workers := sys.modules.get("multiprocessing"):
        for worker in workers.active_children():
            worker.kill()
    _tell_stopped()  # first of all: who has started the step, as weasel, may kill it soon
    end = threading.Timer(_PATIENCE, os._exit, (128 + _Step.stopped,))
    end.daemon = True
    end.start()
    raise _Stopped


def _tell_stopped() -> None:
    if not _Step.is_told:
        _Step.is_told = True
        with suppress(RuntimeError, OSError):  # it is writing just now, or nobody reads
            print(visible(f"✘ stopped; {_outputs()}. {way_on()}"), file=sys.stderr, flush=True)


def _escape_what_cannot_be_encoded() -> None:
    """Escape on output: "✔" and names are more than ASCII, Latin-1 or a code page of Windows can take."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def visible(text: str) -> str:
    """Return a text for a console: characters that would move the cursor, or turn the text around, are escaped."""
    return text if text.isascii() and text.isprintable() else text.translate(_SHOWN)


def plain_console(width: int | None = None, stderr: bool = False) -> Console:
    """Return a console that prints text as it is, in cells of tables, too: a label such as `[bold]` or `:bug:` is no
    markup and no emoji, and what a terminal would obey is escaped, see `visible`.
    """
    from rich.console import Console  # takes a while, in which workers can begin

    class PlainConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:  # type: ignore[override]
            return super().render_str(visible(text), **options)

    return PlainConsole(width=width, stderr=stderr, markup=False, emoji=False, highlight=False)


def _fail(message: str) -> None:
    if not _Step.stopped:
        shown = _PASSWORD.sub(r"\1***", message)
        print("✘", *map(visible, shown.split()), file=sys.stderr)
    sys.exit(1)
