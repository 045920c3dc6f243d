"""Exporting as a whole: the gold, or one label of it, in a format that other tools read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from scripts.building.shards import read_gold
from scripts.core.answers import GoldText, Span
from scripts.core.errors import UserError
from scripts.core.files import exclusive, sha256, work_folder, write_json
from scripts.core.manifest import file_name
from scripts.core.workers import watched
from scripts.exporting.account import Account
from scripts.exporting.brat import Brat
from scripts.exporting.conll import Conll
from scripts.exporting.docbin import Docbin
from scripts.exporting.doccano import Doccano
from scripts.exporting.formats import Export, Format
from scripts.exporting.label_studio import LabelStudio
from scripts.exporting.parquet import Parquet
from scripts.exporting.prodigy import Prodigy
from scripts.exporting.tokens import Tokens
from scripts.merging.merged import gold_as_merged, known_labels

NAME = "export.json"
ALL = ("none", "all")  # what stands for all labels
FORMATS: dict[str, Callable[[Export], Format]] = {
    "prodigy": Prodigy,
    "brat": Brat,
    "doccano": Doccano,
    "label_studio": LabelStudio,
    "conll": Conll,
    "docbin": Docbin,
    "parquet": Parquet,
}


class Exported(msgspec.Struct):
    """export.json, beside what was exported.

    format (str), labels (list[str]): What was asked for.
    gold (str): Digest of the gold.
    texts (dict[str, int]), spans (dict[str, int]): read = written + not carried, by reason.
    notes (dict[str, int]): What of the written texts the files do not say.
    digest (str): Of the names and contents of the files, so that what was changed since is not overwritten.
    """

    format: str
    labels: list[str]
    gold: str
    texts: dict[str, int]
    spans: dict[str, int]
    notes: dict[str, int]
    digest: str


def export(corpus: Path, output: Path, name: str, label: str, nlp: dict[str, Any]) -> tuple[Path, Exported]:
    """Write the gold in a format, into `<output>/<format>/<label>`, whole or not at all.

    corpus (Path): The folder of what was merged.
    output (Path): The folder for exports of all formats.
    name (str): A format, a key of FORMATS.
    label (str): The one to export, or "all".
    nlp (dict[str, Any]): The [nlp] block of a training config, for formats with tokens.
    RETURNS (tuple[Path, Exported]): The folder, and the account.
    RAISES (UserError): If there is no such format, label or gold, or the folder was changed since it was written.
    """
    if name not in FORMATS:
        raise UserError(f"there is no format {name!r}; there are {', '.join(FORMATS)}")
    merged, gold = gold_as_merged(corpus)
    labels = _labels(known_labels(merged), label)
    target = output / name / ("all" if label in ALL else file_name(label).removesuffix(".jsonl"))
    with exclusive(output):
        _demand_unchanged(target)
        with work_folder(output) as work:
            account = Account()
            files = work / "new"
            files.mkdir()
            writer = FORMATS[name](Export(files, labels, Tokens(nlp), account))
            _write(watched(read_gold(gold), merged.totals["texts"], "Exporting"), writer, labels, account)
            exported = Exported(
                name, labels, merged.outputs[gold.name], _counts(account.texts), _counts(account.spans),
                dict(sorted(account.notes.items())), _digest(files),
            )  # fmt: skip
            write_json(files / NAME, exported)
            target.parent.mkdir(exist_ok=True)
            if target.exists():
                target.replace(work / "old")
            files.replace(target)
    return target, exported


def _labels(known: list[str], label: str) -> list[str]:
    if label in ALL:
        return known
    if label not in known:
        raise UserError(f"there is no label {label!r} in the gold; there are {', '.join(known) or 'none'}")
    return [label]


def _write(texts: Iterable[GoldText], writer: Format, labels: list[str], account: Account) -> None:
    wanted = frozenset(labels)
    for text in texts:
        account.read(text)
        about = _about(text, wanted, account)
        if about.covered or about.accepted or about.rejected:
            writer.add(about)
        else:
            account.leave_out("nothing is known of it", 0)
    writer.close()
    account.settle()


def _about(text: GoldText, labels: frozenset[str], account: Account) -> GoldText:
    """What of a text is about these labels."""

    def own(spans: list[Span]) -> list[Span]:
        return [span for span in spans if span.label in labels]

    about = msgspec.structs.replace(
        text, spans=own(text.spans), accepted=own(text.accepted), rejected=own(text.rejected),
        covered=[label for label in text.covered if label in labels],
        unresolved=[label for label in text.unresolved if label in labels],
    )  # fmt: skip
    others = sum(len(getattr(text, name)) - len(getattr(about, name)) for name in ("spans", "accepted", "rejected"))
    account.leave_out_spans("of another label", others)
    return about


def _counts(counts: dict[str, int]) -> dict[str, int]:
    """With what was read and what was written first."""
    reasons = sorted(set(counts) - {"read", "written"})
    return {key: counts[key] for key in ("read", "written", *reasons)}


def _demand_unchanged(folder: Path) -> None:
    """RAISES (UserError): If somebody has worked in the folder since it was exported."""
    if not folder.exists():
        return
    try:
        before = msgspec.json.decode((folder / NAME).read_bytes(), type=Exported).digest
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        before = ""
    if before != _digest(folder):
        raise UserError(f"{folder}: was changed since it was exported, and is not overwritten; move it away")


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    files = (path for path in folder.rglob("*") if path.is_file())
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in files):
        if name != NAME:
            digest.update(f"{name} {sha256(path)}\n".encode())
    return digest.hexdigest()
