"""Put errors into annotations, and see how many of the places that are suspected are such errors.

    python -m benchmarks.injected --data ../shared/data                    # forty minutes on one core
    python -m benchmarks.injected --data ../shared/data --corpora articles --seeds 1

A twentieth of all spans is dropped, gets another label or another border: by chance anywhere, or by one careless
annotator, who has a fifth of the texts and does the same to a form each time. Then the steps `consistency` and
`suspects` are run as they are. What the models said stays in benchmarks/data/injected, and is not computed again while
their config and code are the same. Errors that the corpora had before count as false: precision is a lower bound. It
writes benchmarks/results/injected.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.corpora import CORPORA
from benchmarks.injecting import Injected, Way, inject
from scripts import functions  # noqa: F401 (registers)
from scripts.annotations.files import sha256, write_json
from scripts.annotations.records import GoldText
from scripts.merging import merging
from scripts.model.training_config import load_config
from scripts.reviewing.records import FOLDER, Suspect
from scripts.reviewing.suspects import LINES, Committee, look, shorter

OUTPUT = Path("benchmarks/results/injected.json")
CONFIG = Path("configs/ner.cfg")
RATE, FOLDS, VOTES = 0.05, 5, 2
STEPS = {"addresses": 200, "protocols": 200, "articles": 400}
FIRST = (50, 100)


class Case(NamedTuple):
    """One corpus with errors, put in one way with one seed."""

    corpus: str
    way: Way
    seed: int


def write_gold(texts: Sequence[GoldText], folder: Path) -> None:
    """What `merge` leaves, as far as what follows needs it."""
    folder.mkdir(parents=True, exist_ok=True)
    gold = folder / "gold.jsonl"
    ordered = sorted(texts, key=lambda text: (text.input_hash, text.text))
    content = msgspec.json.Encoder().encode_lines(ordered)
    if not gold.exists() or gold.read_bytes() != content:
        gold.write_bytes(content)
    labels = sorted({label for text in texts for label in text.covered})
    counts = {"texts": len(texts), "unknown": 0}
    merged = merging.Merged(
        policy="majority", parts="keep", code="", manifest="", inputs={}, outputs={gold.name: sha256(gold)},
        labels=labels, totals={"texts": len(texts)}, coverage=dict.fromkeys(labels, counts),
    )  # fmt: skip
    write_json(folder / merging.NAME, merged)


def run(case: Case, data: Path, folder: Path) -> tuple[list[Injected], dict[str, list[Suspect]]]:
    """Inject, look for suspects, and give the errors and what each method ranks."""
    texts = [text for side in CORPORA[case.corpus](data).values() for text in side]
    wrong, errors = inject(texts, RATE, case.way, case.seed)
    own = folder / "-".join(map(str, case))
    write_gold(wrong, own / "corpus")
    config, values = load_config(CONFIG, {}, None)
    values |= shorter(config, str(STEPS[case.corpus]))
    look(own / "corpus", Committee(CONFIG, values, -1, FOLDS, list(range(VOTES))), own / "votes", None)
    return errors, {"models": _read(own / "corpus" / FOLDER / LINES)}


def _read(path: Path) -> list[Suspect]:
    return msgspec.json.Decoder(Suspect).decode_lines(path.read_bytes())
