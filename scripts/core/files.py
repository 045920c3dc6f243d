"""Files that are written whole or not at all, and their digests."""

import gzip
import hashlib
import os
import re
import shutil
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

import msgspec
from zc.lockfile import LockError, SimpleLockFile

from scripts.core.errors import UserError, committing, note_new

T = TypeVar("T")
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # in a file that a step has made; others are damage
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
# Raised by a file that is no file, or may not be read, or whose JSON is broken, of another type, or too deep.
UNREADABLE = (OSError, EOFError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)
BUFFER = 2**20  # bytes to read or write at a time: with Python's own 8 kB, lines of 20 kB take three times as long
TEMPORARY = ".tmp-"  # prefix of files that a step which died left behind, unless another holds the folder's lock
_PREVIOUS = ".previous-"  # prefix of folders that are just being replaced


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Be the only process that writes to a folder. What one that was killed left in it is deleted, and a folder that it
    was about to replace is back in place.

    RAISES (UserError): If another step is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = SimpleLockFile(folder / ".lock")
    except LockError as err:
        raise UserError(f"{folder}: another run is at work there; wait until it is done") from err
    try:
        for leftover in folder.glob(f"{TEMPORARY}*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        for previous in (*folder.glob(f"{_PREVIOUS}*"), *folder.glob(f"*/{_PREVIOUS}*")):
            _settle(previous)
        yield
    finally:
        lock.close()


@contextmanager
def work_folder(folder: Path) -> Iterator[Path]:
    """Make an empty folder inside another, on the same disk, that is deleted when the block ends."""
    path = folder / f"{TEMPORARY}work"
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        with committing():
            shutil.rmtree(path, ignore_errors=True)


def replace_folder(new: Path, place: Path) -> None:
    """Put a new folder in place of another. On any error that is back; after a kill, when `exclusive` comes next.

    new (Path): On the same disk.
    """
    previous = place.with_name(f"{_PREVIOUS}{place.name}")
    with committing():
        try:
            if place.exists():
                place.rename(previous)
            new.rename(place)
            note_new(place)
        finally:
            _settle(previous)


def put(new: Path, place: Path) -> Path:
    """Put a new file or folder, on the same disk, in place of another file. RETURNS (Path): The place."""
    new.replace(place)
    note_new(place)
    return place


def remove(path: Path) -> None:
    """Remove a file of the outputs, if it is there."""
    if path.exists():
        path.unlink()
        note_new(path)


def _settle(previous: Path) -> None:
    """Delete a folder that was replaced; if it was not, put it back."""
    if previous.exists():
        place = previous.with_name(previous.name.removeprefix(_PREVIOUS))
        shutil.rmtree(previous) if place.exists() else previous.rename(place)


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """Write a file through a temporary path: it appears under its name only when the block ends well.

    Temporary files beside it that processes left when they were killed are deleted.

    YIELDS (Path): A path beside it where nothing is yet, for libraries that open their file themselves (SQLite).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}"[:240])
    temporary.unlink(missing_ok=True)
    for leftover in path.parent.glob(f"{TEMPORARY}*-*"):
        process = leftover.name.removeprefix(TEMPORARY).partition("-")[0]
        if process.isdecimal() and not _is_running(int(process)):
            leftover.unlink(missing_ok=True)
    try:
        yield temporary
        put(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    """Whether there is a process; where the system does not tell without harm, there is."""
    if os.name == "nt":  # https://docs.python.org/3/library/os.html#os.kill: signal 0 would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another user, or no number of a process
        return True
    return True


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears under its name only when it is complete; on any error nothing changes."""
    with whole_path(path) as temporary, temporary.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, data: Any) -> None:
    """Write indented JSON with a final newline, whole or not at all. Keys keep their order."""
    with whole_file(path) as file:
        file.write(_indented(data))


def _indented(data: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n"


def write_state(path: Path, data: Any) -> None:
    """Write the account of what a step made, which whoever relies on its outputs reads first: `write_json`, after all
    outputs. `remove_state` goes before them.

    Its digest is written into a folder, for project.yml: weasel only guesses what to run when a file that a step
    depends on is missing; a folder is always there, so the step itself says it.
    """
    content = _indented(data)
    with whole_file(_state_digest(path)) as file:
        file.write(f"{hashlib.sha256(content).hexdigest()}\n".encode())
    with whole_file(path) as file:
        file.write(content)


def remove_state(path: Path) -> None:
    """Remove the account of what a step made, before its outputs are replaced."""
    remove(path)
    remove(_state_digest(path))


def _state_digest(path: Path) -> Path:
    return path.parent / "state" / path.stem / "sha256"


def read_json_if_there(path: Path, of: type[T], mend: str) -> T | None:
    """Read JSON of a type; None if the file does not exist.

    mend (str): What to do about damage: "measure again: weasel run seed-variance".
    RAISES (UserError): If it is damaged.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=of)
    except FileNotFoundError:
        return None
    except UNREADABLE as err:
        raise damaged(path, err, mend) from err


def damaged(path: Path, err: BaseException, mend: str) -> UserError:
    """An error for a file that cannot be read as what it should be."""
    reason = err.strerror if isinstance(err, OSError) and err.strerror else err
    return UserError(f"{path}: is damaged ({reason}); {mend}")


def read_json(path: Path, of: type[T], make: str, mend: str) -> T:
    """Read JSON of a type.

    make (str), mend (str): What to do if there is no such file, and about damage.
    RAISES (UserError): If there is none, or it is damaged.
    """
    found = read_json_if_there(path, of, mend)
    if found is None:
        raise UserError(f"{path}: no such file; {make}")
    return found


def demand_sum(counts: Mapping[str, int], total: str, parts: Iterable[str] | None = None) -> None:
    """Check that counts add up, for the `__post_init__` of what is read from files.

    parts (Iterable[str] | None): Those that make the total; None for all others.
    RAISES (ValueError): If they do not.
    """
    found = sum(counts.get(part, 0) for part in (parts or counts.keys() - {total}))
    if counts.get(total, 0) != found:
        raise ValueError(f"{total} is {counts.get(total, 0)} and not {found}, the sum of the others")


@contextmanager
def open_maybe_gzip(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to read bytes; if it starts like gzip it is unpacked, whatever its name.

    RAISES (UserError): If it is damaged gzip.
    """
    with path.open("rb", BUFFER) as file:
        is_packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not is_packed:
            yield file
            return
        try:
            with gzip.open(file) as unpacked:
                yield unpacked  # type: ignore[misc]
        except (EOFError, gzip.BadGzipFile, zlib.error) as err:
            raise UserError(f"{path}: the gzip file is damaged or incomplete ({err})") from err


def restrict(*inputs: Path) -> None:
    """Give whatever this process, and those that it starts, make from now on no more readers than the inputs have: a
    text is as private as the strictest file that it comes from.

    inputs (Path): Files, and folders with all that is in them; those that do not exist say nothing.
    """
    hidden = 0
    for path in inputs:
        names = ((folder, name) for folder, _, names in os.walk(path) for name in names if name[0] != ".")
        for place in (path, *(Path(*name) for name in names)):
            with suppress(OSError):
                mode = place.stat().st_mode
                hidden |= sum(0o7 << shift for shift in (3, 0) if not mode & 0o4 << shift)  # of the group, of others
    os.umask(os.umask(0o077) | hidden)


def tighten(path: Path) -> None:
    """Take the readers from a file that it would not get if it was made now, see `restrict`."""
    hidden = os.umask(0o077)
    os.umask(hidden)
    mode = path.stat().st_mode
    if mode & hidden & 0o044:
        path.chmod(mode & 0o777 & ~hidden)


def tighten_state(path: Path) -> None:
    """`tighten` the account of what a step made, and its digest."""
    for file in (path, _state_digest(path)):
        if file.exists():
            tighten(file)


_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")


def as_cell(text: str) -> str:
    """Return a text for a cell of a CSV file that no spreadsheet runs as a formula; `of_cell` gives the text back.

    See https://owasp.org/www-community/attacks/CSV_Injection.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def of_cell(cell: str) -> str:
    """Return the text that `as_cell` wrote."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BUFFER):
            digest.update(block)
    return digest.hexdigest()


def has_digest(path: Path, digest: str) -> bool:
    """Whether a file exists and has this digest."""
    return path.is_file() and sha256(path) == digest


def code_digest(*places: Path) -> str:
    """Hex digest of modules, and of all modules in folders: it changes with the code that made a result."""
    digest = hashlib.sha256()
    for place in places:
        for path in [place] if place.is_file() else sorted(place.glob("*.py")):
            digest.update(f"{path.parent.name}/{path.name} {sha256(path)}\n".encode())
    return digest.hexdigest()


def download(
    requirements: Path, folder: Path, needs: str, options: Sequence[str], environment: Mapping[str, str] | None = None
) -> None:
    """Download what a requirements file pins into a folder, with pip, which checks the hashes. Nothing is installed.

    needs (str): For the error: what cannot be done without.
    options (Sequence[str]), environment (Mapping[str, str] | None): Of pip, beside those that keep it to the file.
    RAISES (UserError): If pip fails: no network, no such release, or another hash.
    """
    import subprocess  # takes a while, and two steps alone fetch something

    fixed = ["--no-deps", "--require-hashes", "--retries", "1", "--no-input", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *fixed, *options, "-r", str(requirements), "-d", str(folder)],
        env=os.environ | (environment or {}), capture_output=True, encoding="utf8", errors="replace",
    )  # fmt: skip
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        error = next((line for line in lines if line.startswith("ERROR:")), lines[-1])
        raise UserError(f"{needs}; nothing was changed. pip: {error}")
