"""Where annotations disagree with each other: forms annotated here and not there, as this label and as that one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import msgspec

from scripts.checking.agreement import Agreement
from scripts.checking.answers import look_at_answers
from scripts.checking.findings import FOLDER, Doubt, Suspect, load_current, stream_suspects
from scripts.checking.passages import Context, Overlap
from scripts.checking.ranking import TIERS
from scripts.checking.rates import Groups
from scripts.checking.seeing import Seen, look_at_forms
from scripts.checking.surface_forms import ANNOTATED, KINDS, NONE
from scripts.core.files import exclusive, whole_file, work_folder, write_json
from scripts.core.manifest import Manifest
from scripts.merging.merged import gold_as_merged, known_labels

NAME = "consistency.json"
LIST = "consistency.jsonl"
_MEND = "look for it again: weasel run consistency"


class Form(msgspec.Struct, kw_only=True):
    """A form of a label, and what is annotated where it stands. Its places are the sum of the others.

    form (str): What it says. places (int): In texts in which the label is covered.
    annotated (int): Just so. inside (int): In a longer span of the label. partly (int): Only a part of it is.
    relabelled (int): Just so, as another label. other (int): Spans of other labels touch it. none (int): Nothing does.
    examples (dict[str, list[Context]]): By kind, the first few places of each.
    """

    form: str
    places: int
    annotated: int
    inside: int
    partly: int
    relabelled: int
    other: int
    none: int
    examples: dict[str, list[Context]]


class Label(msgspec.Struct, kw_only=True):
    """What was found of a label.

    texts (int): In which it is covered. spans (int): In these.
    within (int): Spans that begin or end inside a word: their forms are not looked for.
    forms (int): Different ones of the others.
    places (dict[str, int]): Where these stand, by kind, see `Form`. Those annotated and `within` are all spans.
    uneven (int): Forms that are annotated at some places, and not at others.
    suspects (dict[str, int]): Findings by doubt. tiers (dict[str, int]): By tier.
    table (list[Form]): The forms whose places differ most.
    """

    texts: int
    spans: int
    within: int
    forms: int
    places: dict[str, int]
    uneven: int
    suspects: dict[str, int] = {}
    tiers: dict[str, int] = {}
    table: list[Form] = []


class Several(msgspec.Struct):
    """A form with several labels.

    labels (dict[str, int]): Spans by label, the most frequent first. examples (dict[str, Context]): One of each.
    """

    form: str
    labels: dict[str, int]
    examples: dict[str, Context]


class Consistency(msgspec.Struct, kw_only=True):
    """corpus/review/consistency.json.

    gold (str): Digest of the gold that was looked at.
    texts (int): Of it.
    labels (dict[str, Label]): Sorted.
    several (list[Several]): Forms with more than one label, the most evenly divided first. all_several (int): How many
        there are.
    overlaps (list[Overlap]): Spans of different labels that overlap.
    agreement (dict[str, Agreement]): Of labels with texts that several annotators answered for.
    groups (list[Groups]): How often datasets, annotators and periods annotate, where there are several.
    places (int): Doubtful places there are. suspects (int): Findings that are listed.
    """

    gold: str
    texts: int
    labels: dict[str, Label]
    several: list[Several]
    all_several: int
    overlaps: list[Overlap]
    agreement: dict[str, Agreement]
    groups: list[Groups]
    places: int
    suspects: int


def load(corpus: Path) -> Consistency | None:
    """Read consistency.json; None if there is none.

    RAISES (UserError): If it is damaged; `Outdated` if it is of another gold than there is now.
    """
    return load_current(corpus / FOLDER / NAME, Consistency, corpus, _MEND)


def read_suspects(corpus: Path) -> Iterator[Suspect]:
    """The findings, best first. RAISES (UserError): If there are none, or they are damaged."""
    return stream_suspects(corpus / FOLDER / LIST, _MEND)


def look(corpus: Path, annotations: Path, manifest: Manifest, processes: int) -> Consistency:
    """Look at all of the gold and at all answers, and write consistency.json and consistency.jsonl.

    corpus (Path): Has the gold, and gets the results.
    annotations (Path), manifest (Manifest): The answers it was made of.
    processes (int): How many at a time; the result does not depend on it.
    RETURNS (Consistency): What was written.
    RAISES (UserError): If the gold or the answers are not there, or not as they were merged.
    """
    merged, gold = gold_as_merged(corpus)
    labels = tuple(known_labels(merged))
    with exclusive(corpus / FOLDER), work_folder(corpus / FOLDER) as work:
        agreement, groups, authors = look_at_answers(annotations, manifest, labels, work, processes)
        seen = look_at_forms(gold, labels, authors, work, processes)
        found = Consistency(
            gold=merged.outputs[gold.name], texts=merged.totals["texts"], labels=_labels(seen, labels),
            several=_shown_several(seen, labels), all_several=seen.all_several, overlaps=seen.first.overlaps,
            agreement=agreement, groups=groups, places=seen.doubtful, suspects=len(seen.suspects),
        )  # fmt: skip
        with whole_file(corpus / FOLDER / LIST) as file:
            file.write(msgspec.json.Encoder().encode_lines(seen.suspects))
    write_json(corpus / FOLDER / NAME, found)
    return found


def _labels(seen: Seen, labels: Sequence[str]) -> dict[str, Label]:
    doubts = Counter((one.label, one.doubt) for one in seen.suspects)
    tiers = Counter((one.label, str(one.tier)) for one in seen.suspects)
    result = {}
    for number, label in enumerate(labels):
        own = seen.counts[seen.first.rows["label"] == number]
        result[label] = Label(
            texts=int(seen.first.texts[number]), spans=int(seen.first.spans[number]),
            within=int(seen.first.within[number]), forms=len(own),
            places=dict(zip(KINDS, own.sum(0).tolist(), strict=True)), uneven=int((own[:, NONE] > 0).sum()),
            suspects={doubt: doubts[label, doubt] for doubt in get_args(Doubt)},
            tiers={tier: tiers[label, tier] for tier in TIERS}, table=[_form(seen, row) for row in seen.tops[number]],
        )  # fmt: skip
    return result


def _form(seen: Seen, row: int) -> Form:
    counts = dict(zip(KINDS, seen.counts[row].tolist(), strict=True))
    examples = {kind: seen.examples.of[row][kind] for kind in KINDS if kind in seen.examples.of[row]}
    return Form(form=seen.examples.names[row], places=sum(counts.values()), examples=examples, **counts)


def _shown_several(seen: Seen, labels: Sequence[str]) -> list[Several]:
    result = []
    for rows in seen.several:
        names = {row: labels[seen.first.rows["label"][row]] for row in rows}
        counts = {name: int(seen.first.rows["count"][row]) for row, name in names.items()}
        examples = {name: seen.examples.of[row][KINDS[ANNOTATED]][0] for row, name in names.items()}
        result.append(Several(seen.examples.names[rows[0]], counts, examples))
    return result
