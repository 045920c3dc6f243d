"""A Label Studio that runs on this machine, for as long as a test needs it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from functools import partial

TOKEN = "0123456789abcdef0123456789abcdef01234567"  # of a user that is made for the test, in a database of its own
_PATIENCE = 300  # seconds to set up the database and start


def executable():
    """Where Label Studio is: LABELWISE_LABEL_STUDIO, or on the PATH; None if it is not installed."""
    return os.environ.get("LABELWISE_LABEL_STUDIO") or shutil.which("label-studio")


@contextmanager
def running(program, folder):
    """Start Label Studio with an empty database in a folder.

    YIELDS (Callable): Calls its API: method, path, and what to send as JSON; returns the JSON it answers. Its `url` is
        the address.
    """
    port = free_port()
    command = [
        program, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port), "--data-dir", folder,
        "--username", "ada@example.com", "--password", "not-a-secret", "--user-token", TOKEN,
        "--enable-legacy-api-token", "--log-level", "ERROR",
    ]  # fmt: skip
    quiet = {"COLLECT_ANALYTICS": "false", "LATEST_VERSION_CHECK": "false", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": ""}
    quiet |= dict.fromkeys(["ML_BLOCK_LOCAL_IP", "SSRF_PROTECTION_ENABLED"], "false")  # models may be on this machine
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            list(map(str, command)), cwd=folder, env=os.environ | quiet, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait(server, port, folder / "log")
            call = partial(_call, port)
            call.url = f"http://127.0.0.1:{port}"
            yield call
        finally:
            os.killpg(server.pid, 15)
            server.wait()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _wait(server, port, log):
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            _call(port, "GET", "/api/projects", None)
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(1)
    raise AssertionError(f"Label Studio did not start: {log.read_text()[-2000:]}")


def _call(port, method, path, data=None):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        method=method,
        headers={"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"},
        data=None if data is None else json.dumps(data).encode(),
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read() or b"null")
