"""What goes wrong for reasons a user can mend, and how a step says so."""

from __future__ import annotations

import atexit
import errno
import os
import sqlite3
import sys
import threading
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend: one line that says where, what, and what is allowed."""


def run_step(step: Callable[[], None]) -> None:
    """Run a step, see `in_one_line`, and end the process, if no thread is left that may have something to do: Python
    would take apart all it has loaded first, which is a sixth of the time of a step that has nothing to do.

    step (Callable): The step's main function.
    """
    in_one_line(step)
    if threading.active_count() == 1:
        atexit._run_exitfuncs()
        sys.stderr.flush()
        os._exit(0)


def in_one_line(step: Callable[[], None]) -> None:
    """Run a step so that what a user can mend ends in one line and exit code 1, without a traceback."""
    try:
        step()
        sys.stdout.flush()
    except UserError as err:
        _fail(str(err))
    except KeyboardInterrupt:
        _fail("stopped; previous outputs are as they were")
    except OSError as err:
        if isinstance(err, BrokenPipeError):  # `weasel run compare | head`
            sys.exit(1)
        _fail(_explain(err))
    except sqlite3.Error as err:
        _fail(f"SQLite: {err}")


def _explain(err: OSError) -> str:
    where = f"{err.filename}: " if err.filename else ""
    if err.errno == errno.ENOSPC:
        return f"{where}the disk is full; previous outputs are as they were. Free some space and run again"
    return f"{where}{err.strerror or err}"


def _fail(message: str) -> None:
    line = " ".join(message.split())
    print(f"✘ {line}", file=sys.stderr)
    sys.exit(1)
