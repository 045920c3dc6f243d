"""What benchmarks.speed runs in each process, with any checkout of the project or none: it needs only spaCy."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy


@spacy.registry.loggers("labelwise.benchmarks.Clock.v1")
def clock(path: str) -> Callable[..., Any]:
    """A logger that writes words, seconds and CPU seconds at each evaluation, as JSON lines."""

    def setup(nlp: Any, stdout: Any = None, stderr: Any = None) -> tuple[Callable[[Any], None], Callable[[], None]]:
        def log(info: Any) -> None:
            if info:
                with Path(path).open("a", encoding="utf8") as file:
                    file.write(json.dumps([info["words"], time.perf_counter(), time.process_time()]) + "\n")

        return log, lambda: None

    return setup


def run_model(load: Callable[[Path], Any]) -> None:
    """Run the model sys.argv[1] on the texts of the JSON sys.argv[2]; print words a second, by clock and by CPU."""
    texts = json.loads(Path(sys.argv[2]).read_text("utf8"))
    nlp = load(Path(sys.argv[1]))
    list(nlp.pipe(texts[:20]))
    began, cpu = time.perf_counter(), time.process_time()
    words = sum(len(doc) for doc in nlp.pipe(texts))
    print(json.dumps([words / (time.perf_counter() - began), words / (time.process_time() - cpu)]))
