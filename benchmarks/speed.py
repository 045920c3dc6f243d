"""Words a second in training and running: heads as the steps run them, spaCy's `ner` as its users have it.

    python -m benchmarks.speed --data ../shared/data --folder benchmarks/data   # five minutes; nothing else running

Each corpus is trained and run in turn, a process each, in several rounds: heads by `python -m scripts.train`, spaCy's
`ner` by `python -m spacy train` with the config that `python -m spacy init config` writes, and with `--before`, heads
of an earlier checkout by `python -m spacy train`, as it was. Training is timed between two evaluations on a single
short text, so start-up and scoring are not in it. Running is `nlp.pipe` on the raw test texts. Wall-clock and CPU time
are both given, by `time.perf_counter` and `time.process_time`. It writes benchmarks/results/speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.corpora import CORPORA
from benchmarks.label_by_label import write
from benchmarks.measure import machine, write_results

HEADS, STOCK, BEFORE = "heads", "spacy train, ner", "heads before"
_EVERY = 50  # steps between two evaluations
_CLOCK = Path(__file__).with_name("clock.py").absolute()
_START = f"import runpy; clock = runpy.run_path({str(_CLOCK)!r}); "
_SPACY = "from spacy.cli import setup_cli; setup_cli()"
_OURS = "from scripts import functions; "
# By system: how it is trained, and how its model is loaded.
_CODE = {
    HEADS: ("import scripts.train; scripts.train.main()", "from scripts.model.models import load_model; "),
    STOCK: (_SPACY, "from spacy import load as load_model; "),
    BEFORE: (_OURS + _SPACY, "from spacy import load as load_model; "),
}


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
    _python(Path(), "-m", *stock)


def measure(system: str, folder: Path, steps: int, place: Path) -> dict[str, float]:
    """Train and run one system. RETURNS (dict[str, float]): Words a second, by clock and by CPU.

    place (Path): The checkout whose code is run.
    """
    log, model = folder / "clock.jsonl", folder / f"model-{system.split()[-1]}"
    log.unlink(missing_ok=True)
    values: dict[str, Any] = {
        "training.max_steps": steps, "training.eval_frequency": _EVERY, "training.patience": 0,
        "training.logger": json.dumps({"@loggers": "labelwise.benchmarks.Clock.v1", "path": str(log)}),
        "paths.train": folder / "train", "paths.dev": folder / "dev",
    }  # fmt: skip
    if system == STOCK:
        words = ["train", str(folder / "stock.cfg")]
    else:
        values |= {f"paths.{name}": folder / f"{name}.json" for name in ("labels", "split")}
        words = ["train", "configs/ner.cfg"] if system == BEFORE else ["configs/ner.cfg", "--corpus", str(folder)]
    if system == BEFORE:
        values["training.before_to_disk"] = "null"  # it reads a split.json of its time
    train, load = _CODE[system]
    _python(
        place, "-c", _START + train, *words, "--output", str(model), *(f"--{name}={values[name]}" for name in values)
    )
    lines = [json.loads(line) for line in log.read_text("utf8").splitlines()]
    (first, began, cpu_began), (last, ended, cpu_ended) = lines[1], lines[-1]
    best = model / ("seed-0/model-best" if system == HEADS else "model-last")
    run = f"{_START}{_OURS * (system != STOCK)}{load}clock['run_model'](load_model)"
    running = json.loads(_python(place, "-c", run, str(best), str(folder / "texts.json")))
    trained = (last - first) / (ended - began), (last - first) / (cpu_ended - cpu_began)
    return dict(zip(("training", "training, CPU", "running", "running, CPU"), (*trained, *running), strict=True))


def _python(place: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(place.absolute())}
    done = subprocess.run([sys.executable, *words], capture_output=True, encoding="utf8", cwd=place, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {(done.stdout + done.stderr)[-1000:]}")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def main() -> None:
    """Measure in turn, print medians and ratios, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real corpora")
    parser.add_argument("--folder", type=Path, required=True, help="for corpora and models")
    parser.add_argument("--corpora", nargs="+", default=["protocols", "addresses"], choices=list(CORPORA))
    parser.add_argument("--steps", type=int, default=151)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, help="a checkout of an earlier commit, to compare with")
    args = parser.parse_args()
    places = {HEADS: Path(), STOCK: Path()} | ({BEFORE: args.before} if args.before else {})
    rows: list[dict[str, Any]] = []
    for corpus in args.corpora:
        folder = (args.folder / f"speed-{corpus}").absolute()
        prepare(args.data, corpus, folder)
        rounds = [
            {name: measure(name, folder, args.steps, place) for name, place in places.items()}
            for _ in range(args.rounds)
        ]
        for what in rounds[0][HEADS]:
            speed = {name: median(found[name][what] for found in rounds) for name in places}
            ratios = {f"to {name}": round(speed[HEADS] / speed[name], 2) for name in places if name != HEADS}
            rows.append(
                {"corpus": corpus, "what": what, **{name: round(value) for name, value in speed.items()}, **ratios}
            )
    table = Table(*rows[0], box=None)
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    write_results("speed", {"steps": args.steps, "rounds": args.rounds, "machine": machine(), "rows": rows})


if __name__ == "__main__":
    main()
