"""Real corpora whose texts are covered for all labels, so that annotations can be removed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from scripts.building.splits import SPLITS, SplitName, Splitter
from scripts.core.answers import GoldText, Span, Task
from scripts.core.texts import input_hash
from scripts.demo import choose_datasets, parse_addresses
from scripts.merging.account import Account
from scripts.merging.merge_text import merge_text
from scripts.merging.rules import MergeRules
from scripts.sources.brat import Brat
from scripts.sources.conll import Conll
from scripts.sources.source import Intake, Source

Splits = dict[SplitName, list[GoldText]]

PROTOCOLS = [
    "Action", "Amount", "Concentration", "Device", "Generic-Measure", "Location", "Measure-Type", "Mention", "Method",
    "Modifier", "Numerical", "Reagent", "Seal", "Size", "Speed", "Temperature", "Time", "Unit", "pH", "Misc",
]  # fmt: skip
DIAGNOSES = ["Anatomy", "Characteristic", "Classification_system", "Diagnostic_tool", "Dimension", "Disease", "Symptom"]


def protocols(data: Path) -> Splits:
    """Wet lab protocols: long texts, about twenty labels."""
    return _apart({split: _of(Brat(str(data / "brat-wlp" / split), PROTOCOLS)) for split in SPLITS})


def addresses(data: Path) -> Splits:
    """The demo: US addresses, 17 labels."""
    found = parse_addresses((data / "usaddress" / "labeled.xml").read_bytes())
    labels = sorted(dataset.label for dataset in choose_datasets(found))
    return _divided(
        text(address.text, [span for span in address.spans if span.label in labels], labels) for address in found
    )


def posts(data: Path) -> Splits:
    """WNUT 17: posts of the web, six labels; the test texts are of other sources and times."""
    folder = data / "conll-wnut17"
    files = {"train": "wnut17train.conll", "dev": "emerging.dev.conll", "test": "emerging.test.annotated"}
    read = {split: _of_conll((folder / name).read_text("utf8")) for split, name in files.items()}
    labels = sorted({span.label for found in read.values() for _, spans in found for span in spans})
    return _apart({split: [text(words, spans, labels) for words, spans in found] for split, found in read.items()})


def articles(data: Path) -> Splits:
    """Wikigold: sentences of Wikipedia, four labels."""
    file = data / "conll-wikigold" / "data" / "wikigold" / "CONLL-format" / "data" / "wikigold.conll.txt"
    return _divided(_of(Conll(str(file), ["LOC", "MISC", "ORG", "PER"], scheme="io")))


def diagnoses(data: Path) -> Splits:
    """Abstracts about the diagnosis of diseases, seven labels."""
    return _divided(_of(Brat(str(data / "brat-ibm-diagnosis"), DIAGNOSES)))


CORPORA: dict[str, Callable[[Path], Splits]] = {
    "protocols": protocols,
    "addresses": addresses,
    "posts": posts,
    "articles": articles,
    "diagnoses": diagnoses,
}


def text(words: str, spans: Iterable[Span], covered: Iterable[str]) -> GoldText:
    """A gold text that is covered for some labels."""
    return GoldText(
        input_hash=input_hash(words), text=words, spans=sorted(spans), covered=sorted(covered), accepted=[],
        rejected=[], unresolved=[], sources=[], meta={},
    )  # fmt: skip


def _divided(texts: Iterable[GoldText]) -> Splits:
    """Split texts by a hash, with the demo's shares."""
    splitter = Splitter(0.1, 0.2)
    splits: Splits = {split: [] for split in SPLITS}
    for gold in texts:
        splits[splitter.split_of(gold)].append(gold)
    return splits


def _of(source: Source) -> list[GoldText]:
    answers: dict[str, list[Task]] = defaultdict(list)
    for tasks in source.read("data", Intake(lambda _: None)):
        for task in tasks:
            answers[task.text].append(task)
    return [merge_text(tasks, MergeRules(), Account())[0] for _, tasks in sorted(answers.items())]


def _of_conll(lines: str) -> list[tuple[str, list[Span]]]:
    """Sentences of tokens and IOB tags, the tokens joined by spaces."""
    found = []
    for block in "\n".join(line.strip() for line in lines.splitlines()).split("\n\n"):
        words, spans = "", []
        for token, _, tag in (line.partition("\t") for line in block.splitlines() if line):
            start = len(words) + bool(words)
            words = f"{words} {token}" if words else token
            if tag.startswith("B-"):
                spans.append(Span(start, len(words), tag[2:]))
            elif tag.startswith("I-") and spans:
                spans[-1] = Span(spans[-1].start, len(words), spans[-1].label)
        if words:
            found.append((words, spans))
    return found


def _apart(splits: Splits) -> Splits:
    """Remove repeated texts; a text that is in several splits stays in the last of them."""
    seen: set[str] = set()
    result: Splits = {}
    for split in reversed(SPLITS):
        result[split] = []
        for gold in splits[split]:
            if gold.text not in seen:
                seen.add(gold.text)
                result[split].append(gold)
    return result
