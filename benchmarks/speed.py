"""Words a second in training and running: heads as the steps run them, heads with BLIS, spaCy as its users have it.

    python -m benchmarks.speed --data ../shared/data --folder benchmarks/data   # half an hour; nothing else running

Each corpus is trained and run in turn, a process each, in several rounds: heads by `python -m scripts.train`, spaCy's
`ner` by `python -m spacy train` with the config that `python -m spacy init config` writes. Training is timed between
two evaluations on a single short text, so start-up and scoring are not in it. Running is `nlp.pipe` on the raw test
texts. Wall-clock and CPU time are both given. It writes benchmarks/results/speed.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import spacy
from rich.console import Console
from rich.table import Table

from benchmarks.corpora import CORPORA
from benchmarks.label_by_label import write
from benchmarks.measure import machine, write_results

HEADS, BLIS, STOCK = "heads", "heads, BLIS", "spacy train, ner"
_EVERY = 50  # steps between two evaluations
_LOGGER = "labelwise.benchmarks.Clock.v1"
_HEADS = "import benchmarks.speed, scripts.train; scripts.train.main()"
_NO_TABLE = "from scripts.model import models; models._OPENBLAS.clear(); "  # BLIS, on all platforms
_RUN = "import benchmarks.speed; benchmarks.speed.run_model()"


@spacy.registry.loggers(_LOGGER)
def clock(path: str) -> Callable[..., Any]:
    """A logger that writes words, seconds and CPU seconds at each evaluation, as JSON lines."""

    def setup(nlp: Any, stdout: Any = None, stderr: Any = None) -> tuple[Callable[[Any], None], Callable[[], None]]:
        def log(info: Any) -> None:
            if info:
                with Path(path).open("a", encoding="utf8") as file:
                    file.write(json.dumps([info["words"], time.perf_counter(), time.process_time()]) + "\n")

        return log, lambda: None

    return setup


def run_model() -> None:
    """Run the model sys.argv[1] on the texts of the JSON sys.argv[2]; print words a second, by clock and by CPU.

    A third argument loads it as `spacy.load` does, else it is loaded as by the steps.
    """
    from scripts import functions  # noqa: F401 (registers)
    from scripts.model.models import load_model

    model, texts = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text("utf8"))
    nlp = spacy.load(model) if len(sys.argv) > 3 else load_model(model)
    list(nlp.pipe(texts[:20]))
    began, cpu = time.perf_counter(), time.process_time()
    words = sum(len(doc) for doc in nlp.pipe(texts))
    print(json.dumps([words / (time.perf_counter() - began), words / (time.process_time() - cpu)]))


def prepare(data: Path, corpus: str, folder: Path) -> None:
    """Write a corpus, a dev split of a single short text, and the raw test texts."""
    splits = CORPORA[corpus](data)
    labels = sorted({label for each in splits["train"] for label in each.covered})
    shortest = min(splits["dev"], key=lambda gold: len(gold.text))
    write(folder, {"train": splits["train"], "dev": [shortest]}, labels)
    texts = [gold.text for gold in splits["test"]]
    texts *= max(1, 200_000 // sum(map(len, texts)))
    (folder / "texts.json").write_text(json.dumps(texts), "utf8")
    stock = ("spacy", "init", "config", str(folder / "stock.cfg"), "--lang", "en", "--pipeline", "ner", "--force")
    _python("-m", *stock)


def measure(system: str, folder: Path, steps: int) -> dict[str, float]:
    """Train and run one system. RETURNS (dict[str, float]): Words a second, by clock and by CPU."""
    log, model = folder / "clock.jsonl", folder / f"model-{system.partition(' ')[0]}-{'blis' in system.lower()}"
    log.unlink(missing_ok=True)
    values = {
        "training.max_steps": steps, "training.eval_frequency": _EVERY, "training.patience": 0,
        "training.logger": json.dumps({"@loggers": _LOGGER, "path": str(log)}),
        "paths.train": folder / "train", "paths.dev": folder / "dev",
    }  # fmt: skip
    if system == STOCK:
        words = ["-m", "spacy", "train", str(folder / "stock.cfg"), "--code", __file__, "--output", str(model)]
        best = model / "model-last"
    else:
        values |= {f"paths.{name}": folder / f"{name}.json" for name in ("labels", "split")}
        words = ["-c", (_NO_TABLE if system == BLIS else "") + _HEADS, "configs/ner.cfg", "--corpus", str(folder),
                 "--output", str(model)]  # fmt: skip
        best = model / "seed-0/model-best"
    _python(*words, *(f"--{name}={value}" for name, value in values.items()))
    lines = [json.loads(line) for line in log.read_text("utf8").splitlines()]
    (first, began, cpu_began), (last, ended, cpu_ended) = lines[1], lines[-1]
    code = (_NO_TABLE if system == BLIS else "") + _RUN
    running = json.loads(_python("-c", code, str(best), str(folder / "texts.json"), *["stock"] * (system == STOCK)))
    trained = (last - first) / (ended - began), (last - first) / (cpu_ended - cpu_began)
    return dict(zip(("training", "training, CPU", "running", "running, CPU"), (*trained, *running), strict=True))


def _python(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, encoding="utf8")
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {(done.stdout + done.stderr)[-1000:]}")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def main() -> None:
    """Measure in turn, print medians and ratios, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real corpora")
    parser.add_argument("--folder", type=Path, required=True, help="for corpora and models")
    parser.add_argument("--corpora", nargs="+", default=["protocols", "addresses"], choices=list(CORPORA))
    parser.add_argument("--steps", type=int, default=401)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for corpus in args.corpora:
        folder = args.folder / f"speed-{corpus}"
        prepare(args.data, corpus, folder)
        rounds = [
            {name: measure(name, folder, args.steps) for name in (HEADS, BLIS, STOCK)} for _ in range(args.rounds)
        ]
        for what in rounds[0][HEADS]:
            speed = {name: median(found[name][what] for found in rounds) for name in (HEADS, BLIS, STOCK)}
            rows.append({"corpus": corpus, "what": what, **{name: round(value) for name, value in speed.items()},
                         "to BLIS": round(speed[HEADS] / speed[BLIS], 2),
                         "to stock": round(speed[HEADS] / speed[STOCK], 2)})  # fmt: skip
    table = Table(*rows[0], box=None)
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    write_results("speed", {"steps": args.steps, "rounds": args.rounds, "machine": machine(), "rows": rows})


if __name__ == "__main__":
    main()
