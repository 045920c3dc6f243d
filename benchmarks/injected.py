"""Precision of the suspects: errors are put into annotations, and suspects that lie on them are counted.

    python -m benchmarks.injected --data ../shared/data                    # an hour on one core
    python -m benchmarks.injected --data ../shared/data --corpora articles --seeds 1

A twentieth of all spans is dropped, gets another label or another boundary: anywhere at random, or by one careless
annotator of five, who has a fifth of the texts and does the same to a surface form each time. Then the steps
`consistency` and `suspects` run as they are. Predictions are cached in benchmarks/data/injected while config and code
are the same. Errors that the corpora had before count as false: precision is a lower bound. It writes
benchmarks/results/injected.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.corpora import CORPORA, text
from benchmarks.measure import RESULTS, write_results
from scripts import functions  # noqa: F401 (registers)
from scripts.checking import consistency
from scripts.checking.review import FOLDER, SUSPECTS, TIERS, Suspect
from scripts.core.answers import GoldText, Span, Task
from scripts.core.files import sha256, write_json
from scripts.core.texts import fraction
from scripts.merging.merged import NAME, MergeRecord
from scripts.model.training import load_config
from scripts.suspecting.cross_validation import Ensemble
from scripts.suspecting.ensemble import find_suspects, shorten
from tests.annotated import task, write

CONFIG = Path("configs/ner.cfg")
RATE, FOLDS, MODELS_PER_TEXT = 0.05, 5, 2
STEPS = {"addresses": 200, "protocols": 200, "articles": 400, "diagnoses": 200}
FIRST = (50, 100)
ONE, MODELS, SURFACE_FORMS, TIER = "one model a fold, unranked", "models", "surface forms", "tier"


ErrorKind = Literal["dropped", "relabeled", "boundary"]
Way = Literal["uniform", "careless"]
KINDS: tuple[ErrorKind, ...] = ("dropped", "relabeled", "boundary")
WAYS: tuple[Way, ...] = ("uniform", "careless")
ANNOTATORS = ("ana", "ben", "cleo", "dan", "eva")  # of a fifth of the texts each; the first may be careless
_WORD = re.compile(r"\S+")


class Injected(NamedTuple):
    """One error: its text, range, kind, and the labels that are wrong or missing there."""

    text: str
    kind: ErrorKind
    start: int
    end: int
    labels: frozenset[str]


def annotator(words: str, seed: int) -> str:
    """Annotator of a text."""
    return ANNOTATORS[int(fraction(f"{seed} annotator {words}") * len(ANNOTATORS))]


def inject(texts: Iterable[GoldText], rate: float, way: Way, seed: int) -> tuple[list[GoldText], list[Injected]]:
    """Put errors into a share of all spans: a third of them each is dropped, gets another label, another boundary.

    way (Way): "uniform": anywhere at random. "careless": in the fifth of the texts that one annotator has, the same
        error for all occurrences of a surface form.
    RETURNS (tuple[list[GoldText], list[Injected]]): All texts, and the errors.
    """
    texts = list(texts)
    labels = sorted({span.label for each in texts for span in each.spans})
    result, errors = [], []
    for each in texts:
        is_own = way == "uniform" or annotator(each.text, seed) == ANNOTATORS[0]
        share = (rate if way == "uniform" else rate * len(ANNOTATORS)) * is_own
        spans: list[Span] = []
        pending = list(each.spans)
        while pending:
            span = pending.pop(0)
            form = each.text[span.start : span.end]
            key = f"{seed} {span.label} {form.casefold()}" if way == "careless" else f"{seed} {span} {each.text}"
            wrong = _wrong(each.text, span, [*spans, *pending], labels, key) if fraction(key) < share else None
            if wrong:
                kind, became = wrong
                errors.append(_error(each.text, kind, [span, became] if became else [span]))
                spans += [became] if became else []
            else:
                spans.append(span)
        result.append(text(each.text, spans, each.covered))
    return result, errors


def _error(words: str, kind: ErrorKind, spans: Sequence[Span]) -> Injected:
    labels = frozenset(span.label for span in spans)
    return Injected(words, kind, min(span.start for span in spans), max(span.end for span in spans), labels)


def _wrong(
    words: str, span: Span, others: Sequence[Span], labels: list[str], key: str
) -> tuple[ErrorKind, Span | None] | None:
    """The error of a span and the span that replaces it; None where that kind of error is not possible."""
    chance = fraction(f"{key} kind")
    kind = KINDS[int(chance * len(KINDS))]
    if kind == "dropped":
        return kind, None
    if kind == "relabeled":
        rest = [label for label in labels if label != span.label]
        became = Span(span.start, span.end, rest[int(fraction(f"{key} label") * len(rest))])
    else:
        ways = _other_boundaries(words, span)
        if not ways:
            return None
        became = ways[int(fraction(f"{key} boundary") * len(ways))]
    clash = any(
        other.label == became.label and other.start < became.end and became.start < other.end for other in others
    )
    return None if clash else (kind, became)


def _other_boundaries(words: str, span: Span) -> list[Span]:
    """A word more or less at either end."""
    found = [match.span() for match in _WORD.finditer(words)]
    inside = [word for word in found if span.start <= word[0] and word[1] <= span.end]
    before = [word for word in found if word[1] < span.start and "\n" not in words[word[1] : span.start]][-1:]
    after = [word for word in found if word[0] > span.end and "\n" not in words[span.end : word[0]]][:1]
    ways = [Span(word[0], span.end, span.label) for word in before] + [
        Span(span.start, word[1], span.label) for word in after
    ]
    if len(inside) > 1:
        ways += [Span(inside[1][0], span.end, span.label), Span(span.start, inside[-2][1], span.label)]
    return [way for way in ways if words[way.start].isalnum() and words[way.end - 1].isalnum()]


class Errors:
    """Errors by text."""

    def __init__(self, errors: Sequence[Injected]) -> None:
        self.all = errors
        self._of: dict[str, list[int]] = defaultdict(list)
        for number, error in enumerate(errors):
            self._of[error.text].append(number)

    def under(self, suspect: Suspect) -> list[int]:
        """Numbers of the errors that a suspect overlaps, and that have its label, or one annotated or proposed."""
        labels = {suspect.label, *(span.label for span in (*suspect.annotated, *suspect.proposed))}
        found = ((number, self.all[number]) for number in self._of.get(suspect.text, ()))
        return [
            number
            for number, error in found
            if error.start < suspect.end and suspect.start < error.end and error.labels & labels
        ]


class Case(NamedTuple):
    """One corpus with errors, put in one way with one seed."""

    corpus: str
    way: Way
    seed: int


def run(case: Case, data: Path, folder: Path, models: int) -> dict[str, Any]:
    """Inject errors, find suspects, and measure each method."""
    texts = [text for split in CORPORA[case.corpus](data).values() for text in split]
    wrong, errors = inject(texts, RATE, case.way, case.seed)
    own = folder / "-".join(map(str, case))
    corpus = own / "corpus"
    write_gold(wrong, corpus)
    shutil.rmtree(own / "annotations", ignore_errors=True)
    manifest = write(own / "annotations", answers(wrong, case.seed))
    (corpus / FOLDER / consistency.NAME).unlink(missing_ok=True)
    ranked = {ONE: suspected(case, own, 1), MODELS: suspected(case, own, models)}
    consistency.check(corpus, own / "annotations", manifest, 1)
    ranked[SURFACE_FORMS] = list(consistency.read_suspects(corpus))
    both = suspected(case, own, models)
    ranked |= {f"{TIER} {tier}": [one for one in both if one.tier == tier] for tier in TIERS}
    spans = [span for each in wrong for span in each.spans]
    visible = sum(error.kind != "dropped" for error in errors)
    return {
        **case._asdict(), "models": models, "steps": STEPS[case.corpus], "texts": len(wrong), "spans": len(spans),
        "errors": {kind: sum(error.kind == kind for error in errors) for kind in KINDS},
        "random": round(visible / len(spans), 4),
        "methods": {name: measured(found, errors, name == ONE) for name, found in ranked.items()},
    }  # fmt: skip


def write_gold(texts: Sequence[GoldText], folder: Path) -> None:
    """Write gold.jsonl and merge.json, as far as the following steps read them."""
    folder.mkdir(parents=True, exist_ok=True)
    gold = folder / "gold.jsonl"
    ordered = sorted(texts, key=lambda text: (text.input_hash, text.text))
    gold.write_bytes(msgspec.json.Encoder().encode_lines(ordered))
    labels = sorted({label for text in texts for label in text.covered})
    counts = {"texts": len(texts), "not_covered": 0}
    merged = MergeRecord(
        policy="majority", contained="keep", code="", manifest="", inputs={}, outputs={gold.name: sha256(gold)},
        labels=labels, totals={"texts": len(texts)}, coverage=dict.fromkeys(labels, counts),
    )  # fmt: skip
    write_json(folder / NAME, merged)


def answers(texts: Sequence[GoldText], seed: int) -> list[Task]:
    """A complete answer about each text, by its annotator."""
    return [
        task(
            gold.text, *((span.start, span.end, span.label) for span in gold.spans), labels=gold.covered,
            annotator=annotator(gold.text, seed), dataset="all", source=f"all:{number}",
        )
        for number, gold in enumerate(sorted(texts, key=lambda gold: (gold.input_hash, gold.text)))
    ]  # fmt: skip


def suspected(case: Case, own: Path, seeds: int) -> list[Suspect]:
    """Suspects as the step `suspects` ranks them."""
    config, values = load_config(CONFIG, {}, None)
    values |= shorten(config, STEPS[case.corpus])
    ensemble = Ensemble(CONFIG, values, -1, FOLDS, list(range(seeds)))
    find_suspects(own / "corpus", "ner", ensemble, own / "predictions", None)
    return msgspec.json.Decoder(Suspect).decode_lines((own / "corpus" / FOLDER / SUSPECTS).read_bytes())


def measured(ranked: Sequence[Suspect], errors: Sequence[Injected], is_unranked: bool) -> dict[str, Any]:
    """Precision of the first suspects and of all, and recall by kind of error.

    is_unranked (bool): The order means nothing: precision of all counts for the first too.
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
    """Print the results of a case."""
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
    path = RESULTS / "injected.json"
    rows = json.loads(path.read_text("utf8"))["cases"] if path.exists() else []
    key = [row[name] for name in Case._fields]
    rows = [one for one in rows if [one[name] for name in Case._fields] != key]
    rows = sorted([*rows, row], key=lambda one: (one["corpus"], WAYS.index(one["way"]), one["seed"]))
    write_results("injected", {"rate": RATE, "folds": FOLDS, "cases": rows})


def main() -> None:
    """Run all cases in turn; each is written when it is done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real corpora")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/data/injected"), help="for cached predictions")
    parser.add_argument("--corpora", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--models", type=int, default=MODELS_PER_TEXT, help="that judge each text")
    args = parser.parse_args()
    console = Console()
    for case in itertools.starmap(Case, itertools.product(args.corpora, args.ways, range(args.seeds))):
        row = run(case, args.data, args.folder, args.models)
        show(console, row)
        _save(row)


if __name__ == "__main__":
    main()
