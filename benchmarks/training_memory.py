"""Memory of training with a corpus and with one four times as large.

    python -m benchmarks.training_memory --data ../shared/data --folder benchmarks/data

Both corpora are larger than the reader's buffer, which would hold a smaller one completely. Beside `train`, which
streams (max_epochs = -1), the same is trained as spaCy does with max_epochs = 0: with the whole corpus in memory. It
writes benchmarks/results/training_memory.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.corpora import protocols, text
from benchmarks.label_by_label import write
from benchmarks.measure import measure, write_results
from scripts.core.answers import GoldText, Span

TIMES = (2, 8)  # twice the protocols are more than the buffer holds
WAYS = {"streamed": -1, "all in memory": 0}


def repeated(gold: list[GoldText], times: int) -> list[GoldText]:
    """Copies of texts, each with its number in front so that no two are equal."""
    result = []
    for number in range(times):
        start = f"No. {number}: "
        for each in gold:
            spans = [Span(s.start + len(start), s.end + len(start), s.label) for s in each.spans]
            result.append(text(start + each.text, spans, each.covered))
    return result


def main() -> None:
    """Write the corpora, train on each, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real corpora")
    parser.add_argument("--folder", type=Path, required=True, help="for corpora and models")
    parser.add_argument("--steps", type=int, default=100)
    args = parser.parse_args()
    splits = protocols(args.data)
    labels = sorted({label for each in splits["train"] for label in each.covered})
    rows: list[dict[str, Any]] = []
    for times in TIMES:
        corpus = args.folder / f"protocols-{times}"
        write(corpus, {"train": repeated(splits["train"], times), "dev": splits["dev"][:20]}, labels)
        paths = [f"--paths.{key}={corpus / key}" for key in ("train", "dev")]
        paths += [f"--paths.{key}={corpus / key}.json" for key in ("labels", "split")]
        for way, epochs in WAYS.items():
            command = [
                "python", "-m", "scripts.train", "configs/ner.cfg", "--corpus", str(corpus),
                "--output", str(args.folder / "memory"), f"--training.max_epochs={epochs}",
                f"--training.max_steps={args.steps}", f"--training.eval_frequency={args.steps}", *paths,
            ]  # fmt: skip
            found = measure(command)
            rows.append({"way": way, "texts": len(splits["train"]) * times, "peak_mb": round(found.peak_mb)})
    table = Table("", *(f"{len(splits['train']) * times:,} texts" for times in TIMES), "ratio", box=None)
    for way in WAYS:
        peaks = [row["peak_mb"] for row in rows if row["way"] == way]
        table.add_row(way, *(f"{peak:,} MB" for peak in peaks), f"{peaks[1] / peaks[0]:.2f}")
    Console().print(table)
    write_results("training_memory", {"steps": args.steps, "rows": rows})


if __name__ == "__main__":
    main()
