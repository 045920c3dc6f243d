"""Steps that are stopped, killed or out of disk space just before their n-th change of a project's folder.

Changes are what Python's audit events tell: files opened to be written, renames, deletions, new folders, and fsync. A
step runs in a fork of a process that has imported everything already, so that thousands of runs take minutes.
"""

from __future__ import annotations

import errno
import gzip
import importlib
import json
import os
import re
import runpy
import shlex
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import srsly

from tests.project import ROOT

KILL, STOP, FULL = "kill", "stop", "full"
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_LINE = 300  # bytes
_SIGNALS = {KILL: signal.SIGKILL, STOP: signal.SIGINT}
_NEEDS_SPACE = ("open", "os.mkdir", "os.fsync")
_PROJECT = srsly.read_yaml(ROOT / "project.yml")
_TIME = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?Z?")  # of an evaluation
VOLATILE = ("time", "words_per_second")  # keys of run.json


class Done(NamedTuple):
    """The end of a step: exit code (negative: the signal), its output, and the changes that it made."""

    code: int
    out: str
    err: str
    changes: list[str]


def lines_of(command, **values):
    """The command lines of a step in project.yml: module and arguments."""
    (found,) = (one for one in _PROJECT["commands"] if one["name"] == command)
    values = _PROJECT["vars"] | values
    for line in found["script"]:
        words = shlex.split(re.sub(r"\$\{vars\.(\w+)\}", lambda match: str(values[match[1]]), line))
        yield words[2], words[3:]


def preload():
    """Import what steps need, so that forks need not."""
    import numpy as np
    import pandas as pd  # noqa: F401
    import spacy
    import spacy.cli

    for path in sorted((ROOT / "scripts").glob("*.py")):
        if path.stem != "__init__":
            importlib.import_module(f"scripts.{path.stem}")
    spacy.blank("en")
    np.zeros(3)


def run(folder, module, arguments, number=0, fault=KILL):
    """Run a step in a folder; number counts its changes from 1, and 0 is no fault."""
    with tempfile.TemporaryDirectory() as outside:
        out, err, log = (Path(outside, name) for name in ("out", "err", "log"))
        for path in (out, err, log):
            path.touch()
        pid = os.fork()
        if not pid:
            _be_the_step(folder, module, arguments, number, fault, out, err, log)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        _demand_none_left(pid, err)
        return Done(
            code,
            out.read_text("utf8"),
            err.read_text("utf8"),
            [line.rstrip() for line in log.read_text("utf8", "replace").splitlines()],
        )


def _demand_none_left(group, err):
    """RAISES (AssertionError): If processes of the step live on."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        alive = [fields for fields in map(_fields, Path("/proc").glob("[0-9]*/stat")) if fields[2:3] == [str(group)]]
        if all(fields[0] == "Z" for fields in alive):
            return
        time.sleep(0.01)
    os.killpg(group, signal.SIGKILL)
    raise AssertionError(f"workers live on: {[fields[:3] for fields in alive]}; {err.read_text('utf8')[-900:]}")


def _fields(stat):
    """State, parent and group of a process, and what follows."""
    try:
        return stat.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _be_the_step(folder, module, arguments, number, fault, out, err, log):
    code = 99
    try:
        os.setsid()
        os.chdir(folder)
        for stream, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), stream)
        sys.stdout, sys.stderr = (open(stream, "w", encoding="utf8", closefd=False) for stream in (1, 2))  # noqa: SIM115
        for name in [name for name in sys.modules if name == module]:
            del sys.modules[name]
        sys.argv = [module, *arguments]
        sys.orig_argv = ["python", "-m", module, *arguments]
        os.environ |= {"MLFLOW_TRACKING_URI": Path(folder, ".store").as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true"}
        _Watch(Path(folder).resolve(), number, fault, log)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class _Watch:
    """Counts the changes of a folder in this process and those that it forks; before one of them comes the fault."""

    def __init__(self, folder, number, fault, log):
        self.prefix, self.number, self.fault = f"{folder}{os.sep}", number, fault
        self.listed = os.open(log, os.O_WRONLY | os.O_APPEND)
        self.is_looking = False
        sync = os.fsync
        os.fsync = lambda file: (self("os.fsync", (file,)), sync(file))[1]  # of which Python tells nothing
        sys.addaudithook(self)

    def __call__(self, event, args):
        if event not in _EVENTS or self.is_looking:
            return
        self.is_looking = True  # what follows has audit events too
        try:
            path = _EVENTS[event](args)
            is_change = path.startswith(self.prefix) and not path.endswith("/.lock")
        finally:
            self.is_looking = False
        if is_change:
            self._change(event, path)

    def _change(self, event, path):
        os.write(self.listed, f"{event} {path[len(self.prefix) :]}".encode().ljust(_LINE - 1)[: _LINE - 1] + b"\n")
        now = os.lseek(self.listed, 0, os.SEEK_CUR) // _LINE  # the end of what this process appended
        if self.number == now and self.fault in _SIGNALS:
            os.killpg(0, _SIGNALS[self.fault])
        if 0 < self.number <= now and self.fault == FULL and event in _NEEDS_SPACE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def _place(path, folder=-1):
    """The absolute path of an argument of an event; empty if it is the number of a file, or nothing."""
    if path is None or isinstance(path, int):
        return ""
    above = _opened(folder) if isinstance(folder, int) and folder >= 0 else Path.cwd()
    return str(Path(above, os.fsdecode(path)))


def _opened(number):
    return str(Path(f"/proc/self/fd/{number}").readlink())


_EVENTS = {  # https://docs.python.org/3/library/audit_events.html
    "open": lambda args: _place(args[0]) if args[2] & _WRITES else "",
    "os.rename": lambda args: _place(args[1], args[3]),
    "os.remove": lambda args: _place(*args),
    "os.rmdir": lambda args: _place(*args),
    "os.mkdir": lambda args: _place(args[0], args[2]),
    "os.truncate": lambda args: _place(args[0]),
    "os.link": lambda args: _place(args[1], args[3]),
    "os.symlink": lambda args: _place(args[1], args[2]),
    "os.fsync": lambda args: _opened(args[0]),
}


# ---- What a project holds


def content(folder):
    """Files that a user sees, by path, without what differs from run to run."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in Path(name).parts):
            found[name] = _lasting(path)
    return found


def _lasting(path):
    content = path.read_bytes()
    if path.name == "run.json":
        with suppress(ValueError, AttributeError, RecursionError):  # it is damaged
            return json.dumps({key: value for key, value in json.loads(content).items() if key not in VOLATILE})
    if path.name == "mlflow.json":  # ids are random
        return sorted(json.loads(content))
    if path.name == "train.log":
        return b""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist()}
    if path.suffix == ".gz":
        with suppress(OSError, EOFError):  # it is damaged
            return gzip.decompress(content)
    return _TIME.sub(b"", content) if path.suffix in (".json", ".csv", ".md") else content


def leftovers(folder):
    """Temporary files, and folders that were to be replaced."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*") if path.name.startswith((".tmp", ".previous"))]


def differences(one, other):
    """Paths whose content differs."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def copy(folder, place):
    """A copy with its times, in place of a folder."""
    if place.exists():
        shutil.rmtree(place)
    shutil.copytree(folder, place)
    return place
