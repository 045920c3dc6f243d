"""`serve` with 20 clients for a minute, beside `nlp.pipe` over the same texts in one call.

    python -m benchmarks.serving        # after `weasel run all`: two minutes; nothing else running

Each client asks again as soon as it is answered, on one connection; each answer is compared with what `nlp.pipe`
predicts. Clients take processor time of the same machine. It writes benchmarks/results/serving.json.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from benchmarks.measure import machine, write_results

CLIENTS = 20
TEXTS_OF_A_REQUEST = (1, 20)
_DIFFERENCE = 2e-4  # of rounded probabilities: products of matrices depend on their height in the last bits
Spans = list[dict[str, Any]]


class Client(threading.Thread):
    """Asks for texts, from one of them on, until an end; notes seconds, wrong answers, and requests without one."""

    def __init__(self, url: str, texts: list[str], expected: dict[str, Spans], first: int, size: int, end: float):
        super().__init__()
        self.url, self.texts, self.expected, self.first, self.size, self.end = url, texts, expected, first, size, end
        self.seconds: list[float] = []
        self.wrong = self.lost = 0

    def run(self) -> None:
        place = urlsplit(self.url)
        connection = HTTPConnection(str(place.hostname), place.port, timeout=60)
        at = self.first
        while time.perf_counter() < self.end:
            texts = [self.texts[(at + each) % len(self.texts)] for each in range(self.size)]
            at += self.size
            began = time.perf_counter()
            try:
                connection.request("POST", "/predict", json.dumps({"texts": texts}))
                answer = connection.getresponse()
                found = json.loads(answer.read())
            except OSError:
                self.lost += 1
                connection.close()
                continue
            self.seconds.append(time.perf_counter() - began)
            if answer.status != 200:
                self.lost += 1
            elif not all(map(_are_equal, found["results"], map(self.expected.get, texts))):
                self.wrong += 1


def _are_equal(found: dict[str, Spans], expected: Spans | None) -> bool:
    spans, right = found["spans"], expected or []
    return len(spans) == len(right) and all(
        {**one, "probability": 0} == {**other, "probability": 0}
        and abs((one["probability"] or 0) - (other["probability"] or 0)) < _DIFFERENCE
        for one, other in zip(spans, right, strict=True)
    )


class Load(NamedTuple):
    """A minute of clients."""

    texts_a_request: int
    requests: int
    texts_a_second: float
    p50_ms: float
    p95_ms: float
    wrong: int
    lost: int
    memory_before_mb: float
    memory_after_mb: float


def _load(url: str, process: int, texts: list[str], expected: dict[str, Spans], size: int, seconds: float) -> Load:
    before, began = _memory(process), time.perf_counter()
    step = len(texts) // CLIENTS
    clients = [Client(url, texts, expected, number * step, size, began + seconds) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    taken = [one for client in clients for one in client.seconds]
    cuts = quantiles(taken, n=20)
    return Load(
        size, len(taken), round(len(taken) * size / (time.perf_counter() - began)),
        round(1000 * cuts[9], 1), round(1000 * cuts[18], 1), sum(client.wrong for client in clients),
        sum(client.lost for client in clients), before, _memory(process),
    )  # fmt: skip


def _memory(process: int) -> float:
    text = Path(f"/proc/{process}/status").read_text("utf8")
    return round(int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024)


_PIPE = """
import json, sys, time
from pathlib import Path
from scripts import functions
from scripts.model.models import load_model
from scripts.reporting.one_text import predictions

nlp, texts = load_model(Path(sys.argv[1])), json.loads(sys.stdin.read())
list(nlp.pipe(texts[:100]))
began = time.perf_counter()
found = [[(span.start, span.end, span.label, p) for span, p in predictions(doc)] for doc in nlp.pipe(texts)]
seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "found": [
    [dict(zip(("start", "end", "label", "probability"), one)) for one in spans] for spans in found]}))
"""


def main() -> None:
    """Measure, write the results, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="training/ner/seed-0/model-best")
    parser.add_argument("--gold", type=Path, default=Path("corpus/gold.jsonl"))
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    texts = [json.loads(line)["text"] for line in args.gold.open(encoding="utf8")]
    done = subprocess.run(
        [sys.executable, "-c", _PIPE, args.model], input=json.dumps(texts), capture_output=True, text=True, check=True
    )
    pipe = json.loads(done.stdout)
    expected = dict(zip(texts, pipe["found"], strict=True))
    server = subprocess.Popen(
        [sys.executable, "-m", "scripts.serve", "--model", args.model, "--port", "0"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout
    url = re.findall(r"http://[^;]+", server.stdout.readline())[0]
    _load(url, server.pid, texts, expected, 1, 2)  # warm
    loads = [_load(url, server.pid, texts, expected, size, args.seconds) for size in TEXTS_OF_A_REQUEST]
    server.send_signal(signal.SIGTERM)
    server.wait()
    rate = round(len(texts) / pipe["seconds"])
    characters = round(sum(map(len, texts)) / len(texts))
    write_results(
        "serving",
        {"machine": machine(), "texts": len(texts), "characters": characters, "clients": CLIENTS,
         "seconds": args.seconds, "nlp.pipe texts_a_second": rate, "loads": [load._asdict() for load in loads]},
    )  # fmt: skip
    table = Table(*Load._fields)
    for load in loads:
        table.add_row(*map(str, load))
    console = Console(width=160)
    console.print(table)
    console.print(f"nlp.pipe: {rate:,} texts/s; {len(texts):,} texts of {characters} characters")


if __name__ == "__main__":
    main()
