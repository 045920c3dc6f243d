"""Files that all workers see, on whatever fsspec knows. Each appears whole or not at all, whoever writes it again."""

from __future__ import annotations

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

    @contextmanager
    def whole(self, name: str) -> Iterator[Path]:
        """Give a path to write to; what is there when the block ends well appears under the name at once.

        Where files can be renamed it is renamed; object stores show an object when all of it has arrived.
        """
        files, root = opened(self.url)
        if isinstance(files, LocalFileSystem):
            path = Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")  # several machines have processes of one id
            try:
                yield temporary
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        else:
            with scratch() as folder:
                yield folder / "whole"
                files.put_file(str(folder / "whole"), f"{root}/{name}")

    def put(self, path: Path, name: str) -> None:
        """Bring a file of this machine there."""
        with self.whole(name) as place:
            shutil.copyfile(path, place)

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with self.whole(name) as path:
            path.write_bytes(content)

    def write_json(self, name: str, data: Any) -> None:
        """Write a small file of JSON."""
        self.write(name, msgspec.json.encode(data))

    def read(self, name: str) -> bytes:
        """RAISES (FileNotFoundError): If it is not there."""
        files, root = opened(self.url)
        return files.cat_file(f"{root}/{name}")

    def read_if_there(self, name: str, of: type[T]) -> T | None:
        """Read JSON of a type; None if it is not there, or is of another kind."""
        try:
            return msgspec.json.decode(self.read(name), type=of)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def ranges(self, pieces: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """Parts of files: of each the name, and from which byte to before which. Object stores read many at a time.

        RAISES (UserError): If one is shorter.
        """
        if not pieces:
            return []
        files, root = opened(self.url)
        names, starts, stops = zip(*pieces, strict=True)
        found = files.cat_ranges([f"{root}/{name}" for name in names], list(starts), list(stops), on_error="raise")
        for (name, start, stop), content in zip(pieces, found, strict=True):
            if len(content) != stop - start:
                raise UserError(f"{self.url}/{name}: is not as it was written; pull again")
        return found

    def append_to(self, path: Path, names: Sequence[str]) -> str:
        """Write files one after the other to a file of this machine, a block at a time. Gives the digest of them."""
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
        """Bring files to this machine. Object stores send many at a time."""
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
    """The file system, and the path within it. What others write is seen at once: listings are not remembered."""
    files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return files, root.rstrip("/")


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the worker's own disk, which Dask clears if the worker dies."""
    try:
        place = get_worker().local_directory
    except ValueError:  # not on a worker
        place = None
    with TemporaryDirectory(dir=place, prefix="labelwise-") as folder:
        yield Path(folder)
