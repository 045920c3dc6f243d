"""corpus/review/: the results of `consistency`, `coverage` and `suspects`, each bound to the gold it was made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol, TypeVar, get_args

import msgspec

from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.core.files import BUFFER, UNREADABLE, Count, damaged, read_json_if_there, sha256
from scripts.merging import merged
from scripts.reporting.console import Console, plural, print_sums

FOLDER = "review"  # in corpus/
RESULT, SUSPECTS = "suspects.json", "suspects.jsonl"  # of the step `suspects`
TIERS = {
    1: "suspected by surface forms too",
    2: "all models are certain of an entity where nothing is annotated",
    3: "all models are certain of another label or boundary",
    4: "at least half of the models predict an entity that is not annotated, less certainly",
    5: "at least half of the models predict nothing where an entity is annotated",
}
_ADVICE = "find them again: weasel run suspects"
SuspectKind = Literal["missing", "spurious", "boundary", "type"]
Method = Literal["surface_forms", "models"]


class Outdated(UserError):
    """The annotations have changed since a result was made."""


class Suspect(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """An annotation of one label that is probably wrong; a line of `corpus/review/*.jsonl`."""

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    label: str  # that is in question; it is covered there
    # "missing": nothing is annotated, and an entity probably should be. "spurious": the reverse. "boundary": probably
    # other boundaries. "type": probably another label.
    kind: SuspectKind
    start: int  # in code points
    end: int  # exclusive
    annotated: list[Span]  # what is annotated there, of any label
    proposed: list[Span]  # what is probably right instead; empty for no entity, or if that is not covered
    reason: str  # a sentence for the reviewer
    # "surface_forms": the same wording is annotated differently elsewhere. "models": models that did not learn from
    # the text predict something else.
    found_by: list[Method]
    tier: int  # 1 is the most certain
    score: float  # orders the suspects of a tier, the highest first


class BoundToGold(Protocol):
    """A result that names the digest of the gold it was made of."""

    gold: str


T = TypeVar("T", bound=BoundToGold)


def load_current(path: Path, of: type[T], corpus: Path, advice: str) -> T | None:
    """Read a result; None if there is no such file.

    corpus (Path): Holds the gold that the result must belong to.
    advice (str): Ends the message: "check again: weasel run suspects".
    RAISES (UserError): If it is damaged; `Outdated` if the gold has changed since.
    """
    result = read_json_if_there(path, of, advice)
    if result and result.gold != merged.load(corpus).outputs.get("gold.jsonl"):
        raise Outdated(f"{path}: the annotations have changed since; {advice}")
    return result


class _Listed(msgspec.Struct):
    """The digest of the list, in the result beside it."""

    listed: str


def stream_suspects(path: Path, advice: str) -> Iterator[Suspect]:
    """The suspects of a file, in its order.

    RAISES (UserError): If there is none, it is damaged, or it is not the one that the result beside it was made with.
    """
    result = read_json_if_there(path.with_suffix(".json"), _Listed, advice)
    if result and path.is_file() and sha256(path) != result.listed:
        raise UserError(f"{path}: is not as it was made; {advice}")
    decode = msgspec.json.Decoder(Suspect).decode
    try:
        with path.open("rb", BUFFER) as lines:
            yield from map(decode, lines)
    except FileNotFoundError as err:
        raise UserError(f"{path}: no such file; {advice}") from err
    except UNREADABLE as err:
        raise damaged(path, err, advice) from err


# ---- The suspects of models


class Suspects(msgspec.Struct, kw_only=True):
    """corpus/review/suspects.json."""

    gold: str  # digest of the gold
    predictions: str  # digest of what predictions depend on: the gold, config, code and folds
    consistency: str | None  # digest of consistency.jsonl; None if there was none
    run: str  # the name of the config
    label: str | None  # the only label of the suspects; None for all labels
    folds: Count
    seeds: list[int]  # a model each, for each fold
    texts: Count  # of the gold, in all folds
    too_long: Count = 0  # of these, texts that the pipeline does not take
    unseen: float = 0.0  # the share of entities whose surface form is in no other fold
    suspects: Count = 0  # lines of suspects.jsonl
    listed: str = ""  # digest of suspects.jsonl
    labels: dict[str, dict[SuspectKind, dict[Count, Count]]] = {}  # suspects by label, kind and tier

    def count(self, numbers: Counter[tuple[str, SuspectKind, int]]) -> None:
        """Set the counts, from those by label, kind and tier."""
        self.suspects = numbers.total()
        for (label, kind, tier), number in sorted(numbers.items()):
            self.labels.setdefault(label, {}).setdefault(kind, {})[tier] = number

    def number(self, label: str, tier: int | None = None) -> int:
        """The number of suspects of a label, of one tier or of all."""
        tiers = self.labels[label].values()
        return sum(number for counts in tiers for key, number in counts.items() if tier in (None, key))


def load_suspects(corpus: Path) -> Suspects | None:
    """Read suspects.json; None if there is none. RAISES (UserError): See `load_current`."""
    return load_current(corpus / FOLDER / RESULT, Suspects, corpus, _ADVICE)


def read_suspects(corpus: Path) -> Iterator[Suspect]:
    """The suspects, the most certain first. RAISES (UserError): See `stream_suspects`."""
    return stream_suspects(corpus / FOLDER / SUSPECTS, _ADVICE)


def print_suspects(console: Console, found: Suspects, trained: int) -> None:
    """The models; suspects by label and kind; suspects by tier."""
    models = found.folds * len(found.seeds)
    cached = f", {models - trained} of them in an earlier run" if trained < models else ""
    judges = plural(len(found.seeds), "model")
    console.print(
        f"{plural(found.texts, 'text')} of train, dev and test in {found.folds} folds; {plural(models, 'model')} "
        f"trained{cached}. Each text is judged by the {judges} not trained on its fold; {found.unseen:.0%} of the "
        "entities have surface forms that are in no other fold."
    )
    if found.too_long:
        console.print(f"{plural(found.too_long, 'text')} skipped: too long for the pipeline")
    rows = {
        label: {"suspects": {"read": found.number(label)} | {kind: sum(by_kind[kind].values()) for kind in by_kind}}
        for label, by_kind in found.labels.items()
    }
    print_sums(console, "label", rows, {"suspects": get_args(SuspectKind)})
    for tier, meaning in TIERS.items():
        number = sum(found.number(label, tier) for label in found.labels)
        console.print(f"Tier {tier} ({plural(number, 'suspect')}): {meaning}")
    if found.consistency is None:
        console.print("⚠ tier 1 needs surface forms: weasel run consistency, then this again")
