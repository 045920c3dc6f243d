"""Clusters of Dask as processes of their own, which can be killed, stopped and put into networks of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.project import ROOT

FAST = {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False", "OMP_NUM_THREADS": "1"}


class Processes:
    """A scheduler and its workers."""

    def __init__(self, folder, host="127.0.0.1", env=None):
        self.folder = folder
        self.host = host
        self.env = os.environ | FAST | (env or {})
        self.workers = []
        self.scheduler = None

    @property
    def address(self):
        return f"tcp://{self.host}:{self.port}"

    def start_scheduler(self, port=0):
        self.port = port or free_port(self.host)
        words = ["dask_scheduler", "--host", self.host, "--port", str(self.port), "--no-dashboard"]
        self.scheduler = self._start(words, "scheduler")
        _until(lambda: _answers(self.host, self.port))

    def start_worker(self, *options, memory_mb=400, prefix=()):
        words = ["dask_worker", self.address, "--nthreads", "1", "--memory-limit", f"{memory_mb} MiB"]
        words += ["--no-dashboard", "--local-directory", str(self.folder / "scratch"), *options]
        self.workers.append(self._start(words, f"worker-{len(self.workers)}", prefix))
        return self.workers[-1]

    def _start(self, words, name, prefix=()):
        with (self.folder / f"{name}.log").open("w") as log:
            return subprocess.Popen(
                [*prefix, sys.executable, "-m", f"distributed.cli.{words[0]}", *words[1:]],
                cwd=self.folder, env=self.env, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def pids(self):
        """The processes that work: children of the nannies that watch them."""
        return [pid for nanny in self.workers for pid in children(nanny.pid)]

    def end(self):
        for process in (*self.workers, self.scheduler):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def children(pid):
    """Those of a process that run Dask's workers; resource trackers are children too."""
    try:
        found = [
            int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
        ]
        return [child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    except OSError:
        return []


@contextmanager
def cluster(folder, workers=2, host="127.0.0.1", env=None, **options):
    """A scheduler with some workers."""
    folder.mkdir(exist_ok=True)
    found = Processes(folder, host, env)
    try:
        found.start_scheduler()
        for _ in range(workers):
            found.start_worker(**options)
        yield found
    finally:
        found.end()


@contextmanager
def s3_server(host="127.0.0.1", bucket="labelwise"):
    """What a client needs in its environment to use an S3 that runs here, with an empty bucket."""
    port = free_port(host)
    words = [sys.executable, "-m", "moto.server", "-H", host, "-p", str(port)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until(lambda: _answers(host, port))
        url = f"http://{host}:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{url}/{bucket}", method="PUT")).close()
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        process.kill()
        process.wait()


def engine(storage, scheduler, **options):
    """The options of a step that make it use a cluster."""
    values = {"@misc": "labelwise.Dask.v1", "storage": storage, "scheduler": scheduler, **options}
    return [word for key, value in values.items() for word in (f"--engine.{key}", _json(value))]


def _json(value):
    return value if isinstance(value, str) else json.dumps(value)


def free_port(host="127.0.0.1"):
    with socket.socket() as found:
        found.bind((host, 0))
        return found.getsockname()[1]


def _answers(host, port):
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _until(happens, seconds=60):
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.05)
