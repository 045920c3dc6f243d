"""Random answers about random labels, written in real formats: no covered label loses a span without a trace."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.core.settings import load
from scripts.merging.buckets import Resources
from scripts.merging.merge import merge
from scripts.merging.merged import read_gold
from scripts.merging.pull import pull
from scripts.merging.text_record import Conflict

TEXTS = ["Lena flew to Porto with Acme", "Omar left Turin for Borel", "Rita stayed"]
LABELS = ("CITY", "FIRM", "PERSON")
WORDS = {text: [(text.index(word), text.index(word) + len(word)) for word in text.split()] for text in TEXTS}

# An answer: a text, and a label for some of its words.
ANSWERS = st.lists(
    st.sampled_from(TEXTS).flatmap(
        lambda text: st.tuples(
            st.just(text), st.dictionaries(st.sampled_from(WORDS[text]), st.sampled_from(LABELS), max_size=3)
        )
    ),
    min_size=1,
    max_size=8,
)


def prodigy(folder, name, answers):
    lines = [
        {"text": text, "spans": [{"start": s, "end": e, "label": label} for (s, e), label in sorted(spans.items())],
         "answer": "accept", "_view_id": "ner_manual", "_timestamp": 1_700_000_000 + number}
        for number, (text, spans) in enumerate(answers)
    ]  # fmt: skip
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return "labelwise.ProdigyJsonl.v1", f"{name}.jsonl"


def doccano(folder, name, answers):
    lines = [
        {
            "id": number,
            "text": text,
            "label": [[s, e, label] for (s, e), label in sorted(spans.items())],
            "Comments": [],
        }
        for number, (text, spans) in enumerate(answers)
    ]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return "labelwise.Doccano.v1", f"{name}.jsonl"


def label_studio(folder, name, answers):
    tasks = []
    for number, (text, spans) in enumerate(answers):
        result = [
            {"from_name": "label", "to_name": "text", "type": "labels", "id": f"{s}",
             "value": {"start": s, "end": e, "text": text[s:e], "labels": [label]}}
            for (s, e), label in sorted(spans.items())
        ]  # fmt: skip
        annotation = {
            "id": number, "completed_by": 1, "was_cancelled": False, "result": result,
            "updated_at": f"2024-01-01T00:00:{number:02}Z",
        }  # fmt: skip
        tasks.append({"id": number, "data": {"text": text}, "annotations": [annotation], "predictions": []})
    (folder / f"{name}.json").write_text(json.dumps(tasks))
    return "labelwise.LabelStudio.v1", f"{name}.json"


def conll(folder, name, answers):
    (folder / name).mkdir()
    for number, (text, spans) in enumerate(answers):
        lines = [f"{text[s:e]} {f'B-{spans[s, e]}' if (s, e) in spans else 'O'}" for s, e in WORDS[text]]
        (folder / name / f"{number:02}.conll").write_text("\n".join(lines) + "\n")
    return "labelwise.Conll.v1", name


FORMATS = (prodigy, doccano, label_studio, conll)


def merged(folder, datasets):
    """Pull and merge datasets, each in a format of its own."""
    blocks = ["[datasets]\n"]
    for name, (write, answers) in datasets.items():
        reader, path = write(folder, name, answers)
        labels = sorted({label for _, spans in answers for label in spans.values()}) or ["CITY"]
        blocks.append(
            f'[datasets.{name}]\n@readers = "{reader}"\npath = "{folder / path}"\nlabels = {json.dumps(labels)}\n'
        )
    (folder / "datasets.cfg").write_text("\n".join(blocks))
    config = load(folder / "datasets.cfg")
    pulled = pull(config.datasets, folder / "annotations", 1.0, 1, options=config.options)
    merge(pulled.manifest, folder / "annotations", folder / "corpus", "majority", Resources(512, 1),
          options=config.options)  # fmt: skip
    decode = msgspec.json.Decoder(Conflict).decode
    conflicts = [decode(line) for line in (folder / "corpus/conflicts.jsonl").read_bytes().splitlines()]
    return list(read_gold(folder / "corpus/gold.jsonl")), conflicts


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(FORMATS), ANSWERS), min_size=1, max_size=3))
def test_no_covered_label_loses_a_span_and_what_is_lost_is_listed(tmp_path_factory, found):
    """An annotated span is in the gold, or its label is unresolved or not covered there, or it is listed: as replaced,
    outvoted, or the shorter of two that overlap.
    """
    folder = Path(tmp_path_factory.mktemp("random"))
    gold, conflicts = merged(folder, {f"set_{n}": each for n, each in enumerate(found)})
    kept = {text.text.strip(): text for text in gold}
    listed = defaultdict(set)
    for conflict in conflicts:
        for answer in conflict.answers:
            listed[conflict.text.strip()].update((span.start, span.end, span.label) for span in answer.spans)
    for _, answers in found:
        answers = [(text, spans) for text, spans in answers if text in kept or spans]  # doccano: not annotated yet
        latest = dict(answers)  # by text
        for text, spans in answers:
            for (start, end), label in spans.items():
                span = (start, end, label)
                found_there = {(each.start, each.end, each.label) for each in kept[text].spans}
                is_open = label not in kept[text].covered
                assert span in found_there or is_open or span in listed[text], (span, kept[text])
        if len(found) == 1:  # nobody disputes the latest answer
            for text, spans in latest.items():
                there = {(each.start, each.end, each.label) for each in kept[text].spans}
                assert {(s, e, label) for (s, e), label in spans.items() if label in kept[text].covered} <= there
