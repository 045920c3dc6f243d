"""What `import` proposes for the blocks that it writes, by the evidence in the answers of all datasets.

A proposal is active where the evidence is in the data; else it is written as a comment, to be decided by people.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import msgspec

from scripts.core.errors import UserError
from scripts.core.settings import DatasetOptions, Settings
from scripts.sources.blocks import DatasetBlock, Proposal
from scripts.sources.corrections import find_corrected
from scripts.sources.evidence import Evidence, Known, find_repeats, simple_name
from scripts.sources.importing import FoundDataset
from scripts.sources.options import read_answers
from scripts.sources.similar import same_names, synonyms
from scripts.sources.source import Intake

_MAX_ANSWERS = 500_000  # read of each dataset that is in the config already
_STRAY = 0.05  # of a dataset's texts, and of the spans of its main label, at most
_STRAY_ALONE = 0.02  # where neither the name nor another dataset tells what was annotated
_MIN_EXPECTED = 5.0  # spans of a label that an annotator would have who looked for it
_MAX_COMPARED = 100  # blocks before another one, up to which places are compared of labels with other names
_MIN_SAME = 5  # spans in the same place that show that two labels mean the same
_ALSO_MEAN = [  # besides `synonyms`
    {"location", "place"}, {"product", "prod"}, {"event", "evt"}, {"date", "dat"}, {"time", "tim"}, {"money", "mon"},
    {"number", "num"}, {"percent", "pct", "percentage"}, {"language", "lang"}, {"facility", "fac"},
    {"phone", "tel", "telephone", "phonenumber"}, {"email", "mail", "emailaddress"}, {"disease", "dis"},
    {"chemical", "chem"}, {"address", "addr"},
]  # fmt: skip


def in_config(config: Settings | None) -> list[Known]:
    """Read the datasets of a config, each source once, whatever the number of its blocks; without those that fail."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, source in config.datasets.items() if config else ():
        if isinstance(source, msgspec.Struct):
            options = config.options.get(name, DatasetOptions()) if config else DatasetOptions()
            fields = {key: getattr(source, key) for key in source.__struct_fields__ if key != "labels"}
            groups[f"{type(source)} {fields} {options.annotators} {options.rename}"].append(name)
    return [known for names in groups.values() for known in _read_group(config, names)]


def _read_group(config: Any, names: Sequence[str]) -> Iterator[Known]:
    labels = sorted(set().union(*(config.datasets[name].labels for name in names)))
    source = msgspec.structs.replace(config.datasets[names[0]], labels=labels)
    options, evidence = config.options[names[0]], Evidence()
    try:
        for tasks in islice(read_answers(source, names[0], options, Intake(lambda _: None)), _MAX_ANSWERS):
            evidence.add(tasks)
    except (OSError, UserError):
        return
    for name in names:
        ours = frozenset(config.options[name].our_labels(config.datasets[name].labels))
        yield Known(
            name, getattr(source, "dataset", "") or name, ours, evidence, getattr(source, "path", ""), "", id(evidence)
        )


def propose(
    datasets: Sequence[FoundDataset], blocks: Sequence[DatasetBlock], others: Sequence[Known]
) -> list[DatasetBlock]:
    """Return the blocks with proposals.

    blocks (Sequence[DatasetBlock]): Of the datasets, one for each of their labels, in order.
    others (Sequence[Known]): The blocks that stay in the config.
    """
    pairs = [(dataset, label) for dataset in datasets for label in dataset.labels]
    known = [
        Known(block.name, dataset.name, frozenset([label]), *_of_dataset(dataset))
        for block, (dataset, label) in zip(blocks, pairs, strict=True)
    ]
    dismissed = {id(dataset): stray_labels(dataset, datasets, others) for dataset in datasets}
    written: list[Known] = []  # with the names that they get
    renames: list[list[Proposal]] = []
    for number, (one, (dataset, label)) in enumerate(zip(known, pairs, strict=True)):
        renames.append(list(_renames(one, label, [*others, *written])))
        if active := [proposal.value[label] for proposal in renames[-1] if proposal.is_active]:
            known[number] = one._replace(labels=frozenset(active), found=label)
        if label not in dismissed[id(dataset)] and blocks[number].state == "new":
            written.append(known[number])
    proposed = []
    for block, one, (dataset, label), renamed in zip(blocks, known, pairs, renames, strict=True):
        found = [
            *_annotators(dataset.evidence, label),
            *renamed,
            *_alike(dataset, label, one),
            *find_corrected(one, others, written),
            *_repeats(dataset.evidence),
        ]
        doubt = dismissed[id(dataset)].get(label, "")
        proposed.append(replace(block, proposals=tuple(found), doubt=doubt))
    return proposed


def _of_dataset(dataset: FoundDataset) -> tuple[Evidence, str, str, int]:
    """Return what is the same for all blocks of a dataset, in the order of `Known`."""
    return dataset.evidence, str(dataset.options.get("path", "")), "", id(dataset.evidence)


# ---- Labels that nobody looked for


def stray_labels(
    dataset: FoundDataset, datasets: Iterable[FoundDataset], others: Iterable[Known] = ()
) -> dict[str, str]:
    """Return the labels that a dataset about another label has a few spans of, as of patterns that were highlighted,
    with the numbers that tell it. In a dataset with several frequent labels, none is stray.
    """
    records = dataset.intake.records["kept"]
    main = max(dataset.labels, key=lambda label: dataset.spans[label], default="")
    elsewhere = {label for other in datasets if other is not dataset for label in _main_labels(other)}
    elsewhere |= {label for other in others if other.origin != id(dataset.evidence) for label in other.labels}
    is_named = bool(main) and simple_name(main) in simple_name(dataset.name)

    def is_rare(label: str) -> bool:
        is_other = label in elsewhere or (is_named and simple_name(label) not in simple_name(dataset.name))
        share = _STRAY if is_other else _STRAY_ALONE
        return dataset.spans[label] <= share * dataset.spans[main] and dataset.texts[label] <= share * records

    rare = [label for label in dataset.labels if is_rare(label)]
    if find_repeats(dataset.evidence).are_passes:  # a pass for the label, not finished
        return {}
    if dataset.split or len(dataset.labels) - len(rare) > 1:
        return {}
    return {label: _say_stray(dataset, label, main) for label in rare}


def _say_stray(dataset: FoundDataset, label: str, main: str) -> str:
    counts = (
        f"{dataset.spans[label]:,} spans in {dataset.texts[label]:,} of {dataset.intake.records['kept']:,} texts, "
        f"beside {dataset.spans[main]:,} of {main}"
    )
    if _mean_the_same(label, main):
        return f"{counts}: {label} may be another name of {main}. See there"
    return f"{counts}: {label} was probably not annotated here. Take the block if it was"


def _main_labels(dataset: FoundDataset) -> list[str]:
    most = max(dataset.spans.values(), default=0)
    return [label for label, spans in dataset.spans.items() if spans > _STRAY * most]


# ---- Annotators


def _annotators(evidence: Evidence, label: str) -> Iterator[Proposal]:
    """Propose whose answers to take, if others have no span of a label who would have some had they looked for it."""
    spans = {name: evidence.spans[name, label] for name in evidence.answers if name}
    looking = sorted(name for name, number in spans.items() if number)
    others = sorted(name for name, number in spans.items() if not number)
    if not looking or not others or "" in evidence.answers:
        return
    rate = sum(spans.values()) / sum(evidence.answers[name] for name in looking)
    expected = rate * sum(evidence.answers[name] for name in others)
    if expected < 1:
        return
    answers = sum(evidence.answers[name] for name in others)
    said = f"{', '.join(others)}: no {label} in {answers:,} answers; {', '.join(looking)}: {sum(spans.values()):,}"
    are_many = all(rate * evidence.answers[name] >= _MIN_EXPECTED for name in others)
    if evidence.reviews:
        said += f"; {evidence.reviews:,} answers decide between annotators, as a curation or ground truth does: "
        said += "they count only if those who gave them are listed"
    yield Proposal("annotators", looking, said, are_many and not evidence.reviews)


# ---- Labels that mean the same


def _renames(one: Known, label: str, before: Sequence[Known]) -> Iterator[Proposal]:
    """Propose the name of a label that is called otherwise in another dataset: of those before it, the first."""
    if any(label in other.labels for other in before):
        return
    for other in before:
        for name in sorted(other.labels):
            is_meant = _mean_the_same(label, name)
            if other.origin == one.origin or not (is_meant or len(before) < _MAX_COMPARED):
                continue
            same, total = _same_places(one.evidence, label, other.evidence, other.found or name)
            is_same = same >= _MIN_SAME and same >= 0.8 * total
            if is_meant or (is_same and same >= 0.9 * total):
                places = f"{same:,} of {total:,} spans are where {other.dataset} has {name}"
                said = f"{label} may be what {other.dataset} calls {name}: {places if total else 'by their names'}"
                yield Proposal("rename", {label: name}, said, is_same and is_meant)
                return


def _alike(dataset: FoundDataset, label: str, one: Known) -> Iterator[Proposal]:
    """Propose to take labels of the same dataset that mean the same as one of more spans, in its block."""
    size = {name: (dataset.spans[name], name) for name in dataset.labels}
    same = [name for name in dataset.labels if name != label and _mean_the_same(label, name)]
    if not same or any(size[name] > size[label] for name in same):
        return
    name = min(one.labels)
    counts = ", ".join(f"{dataset.spans[other]:,} of {other}" for other in same)
    together = json.dumps([label, *same], ensure_ascii=False)
    said = f"{counts} may mean the same as {dataset.spans[label]:,} of {label}: if so, labels = {together} here"
    own = {} if name == label else {label: name}
    yield Proposal("rename", own | dict.fromkeys(same, name), f"{said}, and no block of their own", is_active=False)


def _mean_the_same(one: str, other: str) -> bool:
    if same_names(one, [other]) or synonyms(one, [other]):
        return True
    return any({simple_name(one), simple_name(other)} <= meaning for meaning in _ALSO_MEAN)


def _same_places(one: Evidence, label: str, other: Evidence, name: str) -> tuple[int, int]:
    """Return how many spans of a label have the same place as those of another in the texts that both have, and the
    number of all places there.
    """
    same = total = 0
    for key in one.texts.items.keys() & other.texts.items.keys():
        here, there = (
            {span[:2] for answer in evidence.texts.items[key] for span in answer.spans if span[2] == wanted}
            for evidence, wanted in ((one, label), (other, name))
        )
        same, total = same + len(here & there), total + len(here | there)
    return same, total


# ---- Several answers about a text


def _repeats(evidence: Evidence) -> Iterator[Proposal]:
    """Propose how to take several answers about a text, where most texts do not tell: not as `merge` takes them."""
    repeats = find_repeats(evidence)
    if repeats.unclear > repeats.other + repeats.again:
        said = f"{repeats.unclear:,} × several answers about a text, one of them without spans: "
        if repeats.are_passes:
            said += "each is for its own labels, unless the later one was to replace the earlier"
        else:
            said += "the later one replaces the earlier, unless each was for its own labels"
        yield Proposal("repeats", "replace" if repeats.are_passes else "unite", said, is_active=False)


def said_of_repeats(dataset: FoundDataset) -> str:
    """Say how many texts of a dataset have several complete answers, and what is taken of them."""
    repeats = find_repeats(dataset.evidence)
    if not any(repeats):
        return ""
    kinds = {
        "with other labels": repeats.other,
        "with the same again": repeats.again,
        "cannot be told": repeats.unclear,
    }
    counts = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number)
    order = " (without times, by file and line: a guess)" if dataset.evidence.untimed else ""
    taken = "each is for its own labels" if repeats.are_passes else f"the later one replaces the earlier{order}"
    about = "" if dataset.evidence.texts.is_whole else "about "
    texts = f"{sum(repeats):,} text{'s' * (sum(repeats) > 1)}"
    setting = "replace" if repeats.are_passes else "unite"
    return f'{about}{texts} with several answers of one annotator ({counts}): {taken}; repeats = "{setting}" if not'


# ---- Languages

_LANGUAGES = {
    "Greek": "el", "Armenian": "hy", "Hebrew": "he", "Arabic": "ar", "Devanagari": "hi", "Bengali": "bn",
    "Gujarati": "gu", "Tamil": "ta", "Telugu": "te", "Kannada": "kn", "Malayalam": "ml", "Sinhala": "si",
    "Thai": "th", "Tibetan": "bo", "Ethiopic": "am", "Hangul": "ko", "Han": "zh", "Cyrillic": "ru",
}  # fmt: skip
_ALSO = {"Cyrillic": "uk bg sr mk ky tt", "Devanagari": "mr ne sa", "Ethiopic": "ti", "Arabic": "fa ur", "Han": "ja"}


def find_language(datasets: Iterable[FoundDataset]) -> tuple[str, str, frozenset[str]]:
    """Return the script of most of the characters, the likely language, and all that are written in it; nothing for
    Latin, in which most are.
    """
    scripts: Counter[str] = sum((dataset.evidence.scripts for dataset in datasets), Counter())
    japanese = scripts["Han"] + scripts["Kana"]
    if scripts["Kana"] > 0.05 * japanese:
        scripts = Counter({name: number for name, number in scripts.items() if name not in ("Han", "Kana")})
        scripts["Han and Kana"] = japanese
    script, most = max(scripts.items(), key=lambda item: item[1], default=("", 0))
    if 2 * most <= scripts.total():
        return "", "", frozenset()
    language = "ja" if script == "Han and Kana" else _LANGUAGES.get(script, "")
    return script, language, frozenset([language, *_ALSO.get(script, "").split()]) if language else frozenset()


def said_of_language(datasets: Iterable[FoundDataset], configs: Mapping[str, str]) -> str:
    """Propose another language for the training configs, if the texts are in another script than theirs.

    configs (Mapping[str, str]): Their languages by name.
    """
    script, language, languages = find_language(datasets)
    others = {name: lang for name, lang in configs.items() if lang not in languages}
    if not language or not others:
        return ""
    there = ", ".join(f'{name} ("{lang}")' for name, lang in others.items())
    return f'most characters are {script}: set [nlp] lang = "{language}" in {there}'
