"""Errors that a user can mend, and how a step reports them."""

import errno
import sqlite3
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend: one line with the place, what is wrong there, and what is allowed."""


def run_step(step: Callable[[], None]) -> None:
    """Run a step so that an error a user can mend ends in one line and exit code 1, without a traceback."""
    try:
        step()
        sys.stdout.flush()
    except UserError as err:
        _fail(str(err))
    except KeyboardInterrupt:
        _fail("stopped; previous outputs are unchanged")
    except BrokenPipeError:  # `weasel run compare | head`
        sys.exit(1)
    except OSError as err:
        place = f"{err.filename}: " if err.filename else ""
        if err.errno == errno.ENOSPC:
            _fail(f"{place}the disk is full; previous outputs are unchanged. Free some space and run again")
        _fail(f"{place}{err.strerror or err}")
    except sqlite3.Error as err:
        _fail(f"SQLite: {err}")


def _fail(message: str) -> None:
    print("✘", *message.split(), file=sys.stderr)
    sys.exit(1)
