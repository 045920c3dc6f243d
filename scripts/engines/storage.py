"""Files that all workers see, on any file system of fsspec. Each appears when it is complete, or not at all."""

import hashlib
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import fsspec
import msgspec
from distributed import get_worker
from fsspec.implementations.local import LocalFileSystem

from scripts.core.errors import UserError
from scripts.core.files import BUFFER, TEMPORARY

T = TypeVar("T")


@dataclass(frozen=True)
class Storage:
    """A folder by its URL; names are paths within it."""

    url: str

    def check(self) -> None:
        """RAISES (UserError): If the library for such URLs is not installed."""
        try:
            opened(self.url)
        except (ImportError, ValueError) as err:
            raise UserError(f"[engine] storage = {self.url}: {err}") from err

    def put(self, path: Path, name: str) -> None:
        """Store a file of this machine; it appears under its name when it is complete."""
        files, root = opened(self.url)
        if not isinstance(files, LocalFileSystem):
            files.put_file(str(path), f"{root}/{name}")  # object stores show an object when all of it has arrived
            return
        target = Path(root, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")  # process ids repeat on other machines
        try:
            shutil.copyfile(path, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def write(self, name: str, content: bytes) -> None:
        """Store a small file."""
        with scratch() as folder:
            (folder / "content").write_bytes(content)
            self.put(folder / "content", name)

    def write_json(self, name: str, data: Any) -> None:
        """Store a small file of JSON."""
        self.write(name, msgspec.json.encode(data))

    def read(self, name: str) -> bytes:
        """Read a small file. RAISES (FileNotFoundError): If it is not there."""
        files, root = opened(self.url)
        return files.cat_file(f"{root}/{name}")

    def read_if_there(self, name: str, of: type[T]) -> T | None:
        """Read JSON of a type; None if there is no such file, or it holds something else."""
        try:
            return msgspec.json.decode(self.read(name), type=of)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def ranges(self, pieces: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """Read ranges of files, given by name, start and stop in bytes; object stores read many at a time.

        RAISES (UserError): If a file is too short.
        """
        if not pieces:
            return []
        files, root = opened(self.url)
        names, starts, stops = zip(*pieces, strict=True)
        found = files.cat_ranges([f"{root}/{name}" for name in names], list(starts), list(stops), on_error="raise")
        for (name, start, stop), content in zip(pieces, found, strict=True):
            if len(content) != stop - start:
                raise UserError(f"{self.url}/{name}: is not as it was written; pull again: weasel run pull")
        return found

    def append_to(self, path: Path, names: Sequence[str]) -> str:
        """Append files to a file of this machine, a block at a time. Returns the digest of what was appended."""
        digest = hashlib.sha256()
        files, root = opened(self.url)
        with path.open("ab") as out:
            for name in names:
                with files.open(f"{root}/{name}", "rb") as file:
                    while block := file.read(4 * BUFFER):
                        out.write(block)
                        digest.update(block)
        return digest.hexdigest()

    def fetch(self, names: Sequence[str], paths: Sequence[Path]) -> None:
        """Copy files to this machine; object stores send many at a time."""
        files, root = opened(self.url)
        for folder in {path.parent for path in paths}:
            folder.mkdir(parents=True, exist_ok=True)
        files.get([f"{root}/{name}" for name in names], [str(path) for path in paths])

    def sweep(self, folder: str, keep: set[str]) -> None:
        """Delete the files of a folder, except those that are named or are in folders that are named."""
        files, root = opened(self.url)
        if files.exists(f"{root}/{folder}"):
            for path in files.find(f"{root}/{folder}"):
                name = path.removeprefix(f"{root}/")
                if keep.isdisjoint([name, *map(str, PurePosixPath(name).parents)]):
                    files.rm_file(path)


@lru_cache(maxsize=4)
def opened(url: str) -> tuple[Any, str]:
    """The file system, and the path within it. Listings are not cached, since other machines write too."""
    files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return files, root.rstrip("/")


@lru_cache(maxsize=1)
def read_cached(storage: Storage, name: str, of: type[T]) -> T:
    """Read JSON of a type that all jobs of a worker share and that does not change."""
    return msgspec.json.decode(storage.read(name), type=of)


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder on the worker's own disk, which Dask clears if the worker dies."""
    try:
        place = get_worker().local_directory
    except ValueError:  # not on a worker
        place = None
    with TemporaryDirectory(dir=place, prefix="labelwise-") as folder:
        yield Path(folder)
