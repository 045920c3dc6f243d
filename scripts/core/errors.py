"""Errors that a user can mend, and how a step reports them."""

import errno
import sqlite3
import sys
from collections.abc import Callable
from io import TextIOWrapper

from scripts.core.usage import report

# Controls, and marks that change the direction of text (https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters).
_HIDDEN = [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_SHOWN = {code: ascii(chr(code))[1:-1] for code in _HIDDEN if chr(code) not in "\t\n"}


class UserError(Exception):
    """Something the user can mend: one line with the place, what is wrong there, and what is allowed."""


def run_step(step: Callable[[], None]) -> None:
    """Run a step so that an error a user can mend ends in one line and exit code 1, without a traceback.

    The last line of a step that is done says how long it took, and its peak memory.
    """
    _escape_what_cannot_be_encoded()
    try:
        step()
        print(report())
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


def _escape_what_cannot_be_encoded() -> None:
    """Escape on output: "✔" and names are more than ASCII, Latin-1 or a code page of Windows can take."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def visible(text: str) -> str:
    """Return a text for a console: characters that would move the cursor, or turn the text around, are escaped."""
    return text if text.isascii() and text.isprintable() else text.translate(_SHOWN)


def _fail(message: str) -> None:
    print("✘", *map(visible, message.split()), file=sys.stderr)
    sys.exit(1)
