"""Export the gold, or one label of it, in a format that other tools read, and print the account."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from scripts.core.answers import GoldText
from scripts.core.errors import UserError
from scripts.core.files import UNREADABLE, exclusive, replace_folder, sha256, work_folder, write_json
from scripts.core.manifest import file_name
from scripts.core.workers import with_progress
from scripts.exporting.brat import BratWriter
from scripts.exporting.conll import ConllWriter
from scripts.exporting.docbin import DocbinWriter
from scripts.exporting.doccano import DoccanoWriter
from scripts.exporting.label_studio import LabelStudioWriter
from scripts.exporting.parquet import ParquetWriter
from scripts.exporting.prodigy import ProdigyWriter
from scripts.exporting.tokens import Tokens
from scripts.exporting.writer import Writer, span_count
from scripts.merging.merged import annotated_labels, gold_as_merged, read_gold
from scripts.reporting.console import as_sum, decided_apart, print_counts

NAME = "export.json"
ALL = ("", "none", "all")  # values of --label that mean all labels
FORMATS: dict[str, Callable[[Path, list[str], Tokens], Writer]] = {
    "prodigy": ProdigyWriter,
    "brat": BratWriter,
    "doccano": DoccanoWriter,
    "label_studio": LabelStudioWriter,
    "conll": ConllWriter,
    "docbin": DocbinWriter,
    "parquet": ParquetWriter,
}


class Exported(msgspec.Struct):
    """export.json, beside the exported files."""

    format: str
    labels: list[str]
    gold: str  # digest
    read: dict[str, int]  # spans of the gold: "spans", "accepted" and "rejected", as in merge.json and split.json
    texts: dict[str, int]  # read = written + skipped, by reason
    spans: dict[str, int]  # of the gold, likewise
    notes: dict[str, int]  # differences between the written texts and the gold
    digest: str  # of the names and contents of the files, so that files changed since are not overwritten


def export(corpus: Path, output: Path, name: str, label: str, nlp: dict[str, Any]) -> tuple[Path, Exported]:
    """Write the gold in a format into `<output>/<format>/<label>`, whole or not at all.

    name (str): A format, a key of FORMATS.
    label (str): A label, or one of ALL.
    nlp (dict[str, Any]): The [nlp] block of a training config, for formats with tokens.
    RAISES (UserError): If there is no such format, label or gold, or the folder was changed since it was written.
    """
    if name not in FORMATS:
        raise UserError(f"there is no format {name!r}; there are {', '.join(FORMATS)}")
    merged, gold = gold_as_merged(corpus)
    labels = annotated_labels(merged)
    if label not in ALL and label not in labels:
        raise UserError(f"there is no label {label!r} in the gold; there are {', '.join(labels) or 'none'}")
    labels = labels if label in ALL else [label]
    target = output / name / ("all" if label in ALL else file_name(label).removesuffix(".jsonl"))
    with exclusive(output):
        _demand_unchanged(target)
        with work_folder(output) as work:
            files = work / "new"
            files.mkdir()
            writer = FORMATS[name](files, labels, Tokens(nlp))
            read = _write(with_progress(read_gold(gold), merged.totals["texts"], "Exporting"), writer)
            exported = Exported(
                name, labels, merged.outputs[gold.name], read, writer.texts.to_dict("written"),
                writer.spans.to_dict("written"), dict(sorted((+writer.notes).items())), _digest(files),
            )  # fmt: skip
            write_json(files / NAME, exported)
            target.parent.mkdir(exist_ok=True)
            replace_folder(files, target)
    return target, exported


def _write(texts: Iterable[GoldText], writer: Writer) -> dict[str, int]:
    """Write texts. RETURNS (dict[str, int]): The spans of the gold by kind."""
    labels = frozenset(writer.labels)
    read = dict.fromkeys(("spans", "accepted", "rejected"), 0)
    for text in texts:
        for kind in read:
            read[kind] += len(getattr(text, kind))
        exported = _with_labels(text, labels)
        writer.texts["read"] += 1
        writer.spans["read"] += span_count(text)
        writer.spans["other labels"] += span_count(text) - span_count(exported)
        if exported.covered or exported.covered_ranges or exported.accepted or exported.rejected:
            writer.add(exported)
        else:
            writer.count("no label covered and no span decided")
    writer.close()
    return read


def _with_labels(text: GoldText, labels: frozenset[str]) -> GoldText:
    """Return a text with the annotations of some labels only."""
    kept = {name: [label for label in getattr(text, name) if label in labels] for name in ("covered", "unresolved")}
    for name in ("spans", "accepted", "rejected"):
        kept[name] = [span for span in getattr(text, name) if span.label in labels]
    ranges = {label: found for label, found in text.covered_ranges.items() if label in labels}
    return msgspec.structs.replace(text, covered_ranges=ranges, **kept)


def _demand_unchanged(folder: Path) -> None:
    """RAISES (UserError): If somebody has worked in the folder since it was exported."""
    if not folder.exists():
        return
    try:
        exported = msgspec.json.decode((folder / NAME).read_bytes(), type=Exported).digest
    except UNREADABLE:
        exported = ""
    if exported != _digest(folder):
        raise UserError(f"{folder}: was changed since it was exported, and is not overwritten; move it away")


def _digest(folder: Path) -> str:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    lines = (f"{name} {sha256(path)}\n" for name, path in sorted(files.items()) if name != NAME)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def print_export(console: Console, exported: Exported) -> None:
    """Print texts and spans, read = written + skipped by reason, then the differences from the gold."""
    console.print(f"Texts: {as_sum(exported.texts)}")
    if binary := decided_apart(exported.read):
        console.print(binary)
    console.print(f"Spans: {as_sum(exported.spans)}")
    print_counts(console, "Noted", exported.notes)
