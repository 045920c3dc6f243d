"""A doccano that runs on this machine, for as long as a test needs it."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from tests.label_studio import free_port

PASSWORD = "not-a-secret"
_PATIENCE = 120  # seconds to start
_BASE = "import backend; print(*backend.__path__)"


def executable():
    """Where doccano is: LABELWISE_DOCCANO; None if it is not installed."""
    return os.environ.get("LABELWISE_DOCCANO")


@contextmanager
def running(program, folder):
    """Start doccano on loopback, with an empty database in a folder and an administrator, ada.

    YIELDS (Callable): Calls its API: user, method, path, and what to send as JSON; returns the JSON it answers. Its
        `url` is the address.
    """
    programs = Path(program).parent
    env = os.environ | {
        "DOCCANO_HOME": str(folder), "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3", "STANDALONE": "True",
        "MEDIA_ROOT": str(folder / "media"), "DJANGO_SETTINGS_MODULE": "config.settings.production",
    }  # fmt: skip
    for words in (["init"], ["createuser", "--username", "ada", "--password", PASSWORD]):
        subprocess.run([program, *words], env=env, check=True, capture_output=True, cwd=folder)
    base = subprocess.run([programs / "python", "-c", _BASE], check=True, capture_output=True, text=True).stdout.strip()
    port = free_port()
    # Its own command listens to all of the network.
    words = [programs / "gunicorn", "--bind", f"127.0.0.1:{port}", "--chdir", base, "config.wsgi"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(list(map(str, words)), cwd=base, env=env, stdout=log, stderr=log)
        try:
            yield _Api(f"http://127.0.0.1:{port}", server, folder / "log")
        finally:
            server.terminate()
            server.wait()


class _Api:
    def __init__(self, url, server, log):
        self.url, self._keys = url, {}
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                self._keys["ada"] = self._login("ada")
                return
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < end, log.read_text()[-2000:]
                assert server.poll() is None, log.read_text()[-2000:]
                time.sleep(0.5)

    def __call__(self, user, method, path, data=None):
        if user not in self._keys:
            self._keys[user] = self._login(user)
        return self._send(method, path, data, {"Authorization": f"Token {self._keys[user]}"})

    def _login(self, user):
        return self._send("POST", "/v1/auth/login/", {"username": user, "password": PASSWORD}, {})["key"]

    def _send(self, method, path, data, headers):
        content = None if data is None else json.dumps(data).encode()
        headers = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(f"{self.url}{path}", method=method, headers=headers, data=content)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")
