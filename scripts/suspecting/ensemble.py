"""Models judge all texts of a corpus, each those that it did not learn from, and what they suspect is written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import spacy
from confection import Config

from scripts.checking import consistency
from scripts.checking.review import FOLDER, Suspect
from scripts.core.errors import UserError
from scripts.core.files import BUFFER, code_digest, exclusive, sha256, whole_file, work_folder, write_json
from scripts.merging.merged import gold_as_merged, known_labels, read_gold
from scripts.model.models import versions
from scripts.suspecting.cross_validation import Plan, read, vote
from scripts.suspecting.folds import Folds, fold
from scripts.suspecting.suspects import LINES, NAME, Form, Suspects, doubts, join, read_forms

_ROOMS = Path(__file__).parent.parent
_CODE = (
    *(_ROOMS / "building" / f"{name}.py" for name in ("documents", "reading", "shards")),
    *(_ROOMS / "model" / f"{name}.py" for name in ("label_heads", "training", "thresholds")),
    Path(__file__).with_name("cross_validation.py"),
)
_encode = msgspec.json.Encoder().encode_lines


class Committee(NamedTuple):
    """Which models are asked.

    config (Path), values (Mapping[str, Any]), gpu (int): How they are trained, see `TrainingJob`.
    folds (int), seeds (list[int]): A model for each fold and seed.
    """

    config: Path
    values: Mapping[str, Any]
    gpu: int
    folds: int
    seeds: list[int]


def shorter(config: Config, steps: str) -> dict[str, int]:
    """What makes trainings of a config shorter: votes need no model that is as good as can be.

    steps (str): How many, or "half" of what the config has.
    RAISES (UserError): If it is neither.
    """
    if steps != "half" and not (steps.isdecimal() and int(steps)):
        raise UserError(f"--steps {steps}: is neither a number above 0 nor half")
    most = max(2, int(steps) if steps != "half" else config["training"]["max_steps"] // 2)
    return {"training.max_steps": most, "training.eval_frequency": most // 2}


def look(corpus: Path, committee: Committee, models: Path, label: str | None) -> tuple[Suspects, int]:
    """Judge all texts of a corpus, whichever side of the split they are on, and write what is suspected.

    corpus (Path): With gold.jsonl, and review/consistency.jsonl if what surface forms say shall take part.
    committee (Committee): Who judges.
    models (Path): Keeps what the models said, see `vote`.
    label (str | None): The one that is looked at; None for all.
    RETURNS (tuple[Suspects, int]): The account, and how many models were trained now.
    RAISES (UserError): If there is no gold or no such label, or there are too few texts.
    """
    merged, gold = gold_as_merged(corpus)
    labels = known_labels(merged)
    if label is not None and label not in labels:
        raise UserError(f"there is no label {label!r} in the gold; there are {', '.join(labels) or 'none'}")
    forms = read_forms(corpus)
    folds = fold(read_gold(gold), committee.folds)
    plan = Plan(
        gold, labels, _digest(committee, merged.outputs[gold.name], folds), committee.config, committee.values,
        committee.gpu, folds, committee.seeds,
    )  # fmt: skip
    trained = vote(plan, models)
    found_forms = None if forms is None else sha256(corpus / FOLDER / consistency.SUSPECTS)
    account = Suspects(
        gold=merged.outputs[gold.name], votes=plan.digest, forms=found_forms, run=committee.config.stem, label=label,
        folds=committee.folds, seeds=committee.seeds, texts=len(folds.number), unseen=round(folds.unseen, 4),
    )  # fmt: skip
    _write(corpus / FOLDER, account, plan, models, forms or {})
    return account, trained


def _digest(committee: Committee, gold: str, folds: Folds) -> str:
    config = spacy.util.load_config(committee.config, overrides=dict(committee.values)).to_str()
    what = [gold, config, folds.number.tolist(), code_digest(*_CODE), versions()]
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()


def _write(folder: Path, account: Suspects, plan: Plan, models: Path, forms: dict[int, list[Form]]) -> None:
    """Write suspects.jsonl, the surest first, and suspects.json, which vouches for it. Texts are not kept in memory."""
    with exclusive(folder), work_folder(folder) as work:
        order: list[tuple[int, float, int, int]] = []  # tier, score, where the line starts, how long it is
        with (work / LINES).open("w+b", BUFFER) as lines:
            for suspect in _all(account, plan, models, forms):
                account.count(suspect)
                line = _encode([suspect])
                order.append((suspect.tier, -suspect.score, lines.tell(), len(line)))
                lines.write(line)
            (folder / NAME).unlink(missing_ok=True)
            with whole_file(folder / LINES) as file:
                for _, _, start, size in sorted(order):
                    lines.seek(start)
                    file.write(lines.read(size))
        account.sort()
        write_json(folder / NAME, account)


def _all(account: Suspects, plan: Plan, models: Path, forms: dict[int, list[Form]]) -> Iterator[Suspect]:
    """In the order of the texts; where surface forms suspect the same, joined with what they say."""
    for text, said in read(plan, models):
        if any(vote.is_too_long for vote in said):
            account.unjudged += 1
            continue
        for suspect in doubts(text, said):
            if account.label in (None, suspect.label):
                yield join(suspect, forms.get(suspect.input_hash, ()))
