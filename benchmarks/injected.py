"""Put errors into annotations, and see how many of the places that are suspected are such errors.

    python -m benchmarks.injected --data ../shared/data                    # an hour on one core
    python -m benchmarks.injected --data ../shared/data --corpora articles --seeds 1

A twentieth of all spans is dropped, gets another label or another border: by chance anywhere, or by one careless
annotator of five, who has a fifth of the texts and does the same to a form each time. Then the steps `consistency` and
`suspects` are run as they are. What the models said stays in benchmarks/data/injected, and is not computed again while
their config and code are the same. Errors that the corpora had before count as false: precision is a lower bound. It
writes benchmarks/results/injected.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.consistency import write_answers
from benchmarks.corpora import CORPORA
from benchmarks.injecting import KINDS, WAYS, Errors, Injected, Way, annotator, inject
from scripts import functions  # noqa: F401 (registers)
from scripts.checking import consistency
from scripts.checking.review import FOLDER, Suspect
from scripts.core.answers import GoldText, Task
from scripts.core.files import sha256, write_json
from scripts.merging.merged import NAME, Merged
from scripts.model.training import load_config
from scripts.suspecting.ensemble import Committee, look, shorter
from scripts.suspecting.suspects import LINES, TIERS

OUTPUT = Path("benchmarks/results/injected.json")
CONFIG = Path("configs/ner.cfg")
RATE, FOLDS, VOTES = 0.05, 5, 2
STEPS = {"addresses": 200, "protocols": 200, "articles": 400, "diagnoses": 200}
FIRST = (50, 100)
ONE, MODELS, FORMS, TIER = "one model a fold, unranked", "models", "surface forms", "tier"


class Case(NamedTuple):
    """One corpus with errors, put in one way with one seed."""

    corpus: str
    way: Way
    seed: int


def run(case: Case, data: Path, folder: Path, votes: int) -> dict[str, Any]:
    """Inject, look for suspects, and say of each method how many of those that it ranks are injected."""
    texts = [text for side in CORPORA[case.corpus](data).values() for text in side]
    wrong, errors = inject(texts, RATE, case.way, case.seed)
    own = folder / "-".join(map(str, case))
    corpus = own / "corpus"
    write_gold(wrong, corpus)
    (own / "annotations").mkdir(exist_ok=True)
    manifest = write_answers(answers(wrong, case.seed), [], own / "annotations")
    (corpus / FOLDER / consistency.NAME).unlink(missing_ok=True)
    ranked = {ONE: suspected(case, own, 1), MODELS: suspected(case, own, votes)}
    consistency.check(corpus, own / "annotations", manifest, 1)
    ranked[FORMS] = list(consistency.read_suspects(corpus))
    both = suspected(case, own, votes)
    ranked |= {f"{TIER} {tier}": [one for one in both if one.tier == tier] for tier in TIERS}
    spans = [span for each in wrong for span in each.spans]
    visible = sum(error.kind != "dropped" for error in errors)
    return {
        **case._asdict(), "votes": votes, "steps": STEPS[case.corpus], "texts": len(wrong), "spans": len(spans),
        "errors": {kind: sum(error.kind == kind for error in errors) for kind in KINDS},
        "random": round(visible / len(spans), 4),
        "methods": {name: measured(found, errors, name == ONE) for name, found in ranked.items()},
    }  # fmt: skip


def write_gold(texts: Sequence[GoldText], folder: Path) -> None:
    """What `merge` leaves, as far as what follows needs it."""
    folder.mkdir(parents=True, exist_ok=True)
    gold = folder / "gold.jsonl"
    ordered = sorted(texts, key=lambda text: (text.input_hash, text.text))
    gold.write_bytes(msgspec.json.Encoder().encode_lines(ordered))
    labels = sorted({label for text in texts for label in text.covered})
    counts = {"texts": len(texts), "not_covered": 0}
    merged = Merged(
        policy="majority", parts="keep", code="", manifest="", inputs={}, outputs={gold.name: sha256(gold)},
        labels=labels, totals={"texts": len(texts)}, coverage=dict.fromkeys(labels, counts),
    )  # fmt: skip
    write_json(folder / NAME, merged)


def answers(texts: Sequence[GoldText], seed: int) -> list[Task]:
    """Who answered what, sorted by hash."""
    return [
        Task(
            input_hash=text.input_hash, text=text.text, labels=text.covered, spans=text.spans, answer="accept",
            kind="manual", annotator=annotator(text.text, seed), timestamp=None, dataset="all",
            source=f"all:{number}", meta={},
        )
        for number, text in enumerate(sorted(texts, key=lambda text: (text.input_hash, text.text)))
    ]  # fmt: skip


def suspected(case: Case, own: Path, seeds: int) -> list[Suspect]:
    """What the step `suspects` ranks."""
    config, values = load_config(CONFIG, {}, None)
    values |= shorter(config, str(STEPS[case.corpus]))
    look(own / "corpus", Committee(CONFIG, values, -1, FOLDS, list(range(seeds))), own / "votes", None)
    return msgspec.json.Decoder(Suspect).decode_lines((own / "corpus" / FOLDER / LINES).read_bytes())


def measured(ranked: Sequence[Suspect], errors: Sequence[Injected], is_unranked: bool) -> dict[str, Any]:
    """Precision of the first and of all that is ranked, and the share of the errors that is in it, by kind.

    is_unranked (bool): All of it is as good as the first.
    """
    index = Errors(errors)
    under = [index.under(one) for one in ranked]
    found = {number for numbers in under for number in numbers}
    whole = _share(sum(map(bool, under)), len(ranked))
    first = {
        f"precision_{n}": whole if is_unranked else _share(sum(map(bool, under[:n])), min(n, len(ranked)))
        for n in FIRST
    }
    recall = {
        kind: _share(sum(errors[number].kind == kind for number in found), sum(e.kind == kind for e in errors))
        for kind in KINDS
    }
    return {"ranked": len(ranked), **first, "precision": whole, "recall": _share(len(found), len(errors)), **recall}


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def show(console: Console, row: dict[str, Any]) -> None:
    """Print what was measured of a case."""
    errors = ", ".join(f"{number:,} {kind}" for kind, number in row["errors"].items())
    console.print(
        f"{row['corpus']}, {row['way']}: {row['texts']:,} texts, {row['spans']:,} spans; wrong are {errors}; of random "
        f"spans {row['random']:.3f} are",
        highlight=False,
    )
    columns = ("ranked", *(f"precision_{n}" for n in FIRST), "precision", "recall", *KINDS)
    table = Table("", *(name.replace("_", " ") for name in columns), box=None)
    for name, found in row["methods"].items():
        cells = (found[column] for column in columns)
        table.add_row(name, *("–" if c is None else f"{c:,}" if isinstance(c, int) else f"{c:.3f}" for c in cells))
    console.print(table)


def _save(row: dict[str, Any]) -> None:
    rows = json.loads(OUTPUT.read_text("utf8"))["cases"] if OUTPUT.exists() else []
    key = [row[name] for name in Case._fields]
    rows = [one for one in rows if [one[name] for name in Case._fields] != key]
    rows = sorted([*rows, row], key=lambda one: (one["corpus"], WAYS.index(one["way"]), one["seed"]))
    result = {"rate": RATE, "folds": FOLDS, "cases": rows}
    OUTPUT.write_text(json.dumps(result, indent=2) + "\n", "utf8")


def main() -> None:
    """All cases, one after the other; each is written when it is done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real corpora")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/data/injected"), help="keeps what models said")
    parser.add_argument("--corpora", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--votes", type=int, default=VOTES, help="models for each fold; default: %(default)s")
    args = parser.parse_args()
    console = Console()
    for case in itertools.starmap(Case, itertools.product(args.corpora, args.ways, range(args.seeds))):
        row = run(case, args.data, args.folder, args.votes)
        show(console, row)
        _save(row)


if __name__ == "__main__":
    main()
