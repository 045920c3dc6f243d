"""From brat to one model as people do it: a dataset a label, corrections by sentences, questions of ner.teach."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin

from scripts.building.containers import SHORTEST
from scripts.core.settings import DatasetOptions
from scripts.merging.merge import Resources, merge
from scripts.merging.merged import load, read_gold
from scripts.queueing.queue import choose_conflicts
from scripts.queueing.tasks import Request
from tests.annotated import task, write
from tests.before import json_lines, run_step

SURGEONS, DRUGS, WARDS = ("Okafor", "Lindqvist", "Marchetti"), ("heparin", "aspirin", "warfarin"), ("A3", "B12", "C7")
LABELS = {"SURGEON": SURGEONS, "DRUG": DRUGS, "WARD": WARDS}
REPORTS = 48
MISSED = range(0, REPORTS, 3)  # reports in which the first drug was overlooked
WRONG = range(1, REPORTS, 6)  # reports in which a ward was taken for a drug


def sentences(number):
    surgeon, drug, other = (words[(number + shift) % 3] for shift, words in enumerate((SURGEONS, DRUGS, DRUGS)))
    ward = WARDS[number // 3 % 3]
    return [
        f"Report {number}: Dr {surgeon} gave {drug} on arrival in ward {ward}.",
        f"Patient {number} had {other} until day {number + 2}.",
        f"No further {drug} was needed after visit {number}!",
    ]


def report(number):
    return " ".join(sentences(number))


def find(text, label):
    found = [
        (at, at + len(word), label) for word in LABELS[label] for at in range(len(text)) if text.startswith(word, at)
    ]
    return sorted(found)


def write_brat(folder):
    folder.mkdir()
    for number in range(REPORTS):
        text = report(number)
        spans = [span for label in LABELS for span in find(text, label)]
        if number in MISSED:
            spans.remove(find(text, "DRUG")[0])
        if number in WRONG:
            spans.append((*find(text, "WARD")[0][:2], "DRUG"))
        (folder / f"{number}.txt").write_text(text)
        (folder / f"{number}.ann").write_text(
            "".join(f"T{n}\t{label} {start} {end}\t{text[start:end]}\n" for n, (start, end, label) in enumerate(spans))
        )


def write_lines(path, tasks):
    path.write_text("".join(json.dumps(task) + "\n" for task in tasks))


def manual(text, label, at):
    spans = [{"start": start, "end": end, "label": name} for start, end, name in find(text, label)]
    return {"text": text, "spans": spans, "answer": "accept", "_view_id": "ner_manual", "_timestamp": at}


def binary(text, start, end, label, answer):
    span = {"start": start, "end": end, "label": label}
    return {"text": text, "spans": [span], "answer": answer, "_view_id": "ner", "_is_binary": True, "_timestamp": 9}


def block(name, reader, path, label, *more):
    return "\n".join(
        [
            f"[datasets.{name}]",
            f'@readers = "labelwise.{reader}.v1"',
            f'path = "{path}"',
            f'labels = ["{label}"]',
            *more,
        ]
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """brat with three labels, a dataset for each; DRUG corrected by sentences; ner.teach about SURGEON and NURSE."""
    folder = tmp_path_factory.mktemp("hospital")
    write_brat(folder / "brat")
    texts = [text for number in range(REPORTS) for text in sentences(number)]
    write_lines(folder / "drug_correct.jsonl", [manual(text, "DRUG", 100 + n) for n, text in enumerate(texts)])
    asked = [(text, *find(text, "SURGEON")[0][:2]) for text in texts if find(text, "SURGEON")]
    write_lines(folder / "surgeon_teach.jsonl", [binary(*where, "SURGEON", "accept") for where in asked])
    write_lines(folder / "nurse_teach.jsonl", [binary(*where, "NURSE", "reject") for where in asked])
    blocks = ["[split]\ndev = 0.2\ntest = 0.2\n\n[datasets]"]
    blocks += [block(label.lower(), "Brat", "brat", label) for label in LABELS]
    blocks.append(block("drug_correct", "ProdigyJsonl", "drug_correct.jsonl", "DRUG", 'corrects = ["drug"]'))
    blocks += [
        block(f"{name}_teach", "ProdigyJsonl", f"{name}_teach.jsonl", name.upper()) for name in ("surgeon", "nurse")
    ]
    (folder / "datasets.cfg").write_text("\n\n".join(blocks))
    (folder / "training.cfg").write_text('[nlp]\nlang = "en"\npipeline = []\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for step, *options in STEPS:
            run_step(step, *options)
    return folder


STEPS = [
    ("pull", "datasets.cfg", "annotations"),
    ("merge", "datasets.cfg", "annotations", "corpus"),
    ("corpus", "datasets.cfg", "training.cfg", "corpus"),
]


def gold_of(folder):
    return {text.text: text for text in read_gold(folder / "corpus/gold.jsonl")}


def spans_of(text, *fields):
    return sorted((span.start, span.end, span.label) for field in fields for span in getattr(text, field))


def test_no_correction_is_lost(project):
    gold = gold_of(project)
    assert gold.keys() == {report(number) for number in range(REPORTS)}
    for text, found in gold.items():
        assert found.covered == sorted(LABELS)
        assert spans_of(found, "spans") == sorted(span for label in LABELS for span in find(text, label))
        assert spans_of(found, "rejected") == [(start, end, "NURSE") for start, end, _ in find(text, "SURGEON")]
        assert not (found.unresolved or found.covered_ranges or found.accepted)


def test_no_contradiction_is_left_and_each_correction_is_listed(project):
    conflicts = json_lines((project / "corpus/conflicts.jsonl").read_bytes())
    kinds = {(each["kind"], tuple(each["labels"])) for each in conflicts}
    assert kinds == {("replacement", ("DRUG",))}
    changed = {number for number in range(REPORTS) for each in conflicts if each["text"] == report(number)}
    assert changed == {*MISSED, *WRONG}


def test_every_answer_is_accounted_for(project):
    merged = load(project / "corpus")
    assert {name: counts["moved"] for name, counts in merged.moved.items()} == {
        "drug_correct": 3 * REPORTS, "surgeon_teach": REPORTS, "nurse_teach": REPORTS,
    }  # fmt: skip
    assert all(counts["read"] == counts["kept"] for counts in merged.answers.values())
    assert merged.spans["drug"]["DRUG"]["replaced"] == len(WRONG)
    assert merged.spans["surgeon_teach"]["SURGEON"]["confirming"] == REPORTS


def test_the_corpus_has_all_of_it_and_no_leak(project):
    texts, spans = {}, []
    for split in ("train", "dev", "test"):
        docs = [
            doc for path in sorted((project / "corpus" / split).glob("*.spacy"))
            for doc in DocBin().from_disk(path).get_docs(spacy.blank("en").vocab)
        ]  # fmt: skip
        texts[split] = [doc.text for doc in docs]
        spans += [(doc.text, span.start_char, span.end_char, span.label_) for doc in docs for span in doc.spans["gold"]]
    assert sorted(text for found in texts.values() for text in found) == sorted(gold_of(project))
    assert sorted(spans) == sorted(
        (text, *span) for text in gold_of(project) for name in LABELS for span in find(text, name)
    )
    assert all(len(found) > 3 for found in texts.values())
    for held_out in texts["dev"] + texts["test"]:
        assert not [
            text
            for text in texts["train"]
            if min(len(text), len(held_out)) >= SHORTEST and (text in held_out or held_out in text)
        ]


def test_kept_as_texts_the_sentences_are_where_their_reports_are(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    run_step("merge", "datasets.cfg", "annotations", tmp_path, "--merge.contained", "keep")
    run_step("corpus", "datasets.cfg", "training.cfg", tmp_path)
    splits = {}
    for split in ("train", "dev", "test"):
        for path in (tmp_path / split).glob("*.spacy"):
            splits |= dict.fromkeys(
                (doc.text for doc in DocBin().from_disk(path).get_docs(spacy.blank("en").vocab)), split
            )
    assert len(splits) == 4 * REPORTS
    assert all(splits[text] == splits[report(number)] for number in range(REPORTS) for text in sentences(number))


def test_without_the_key_what_contradicts_is_open_in_its_sentence_and_a_review_settles_it(
    project, tmp_path, monkeypatch
):
    monkeypatch.chdir(project)
    config = Path("datasets.cfg").read_text().replace('\ncorrects = ["drug"]', "")
    (tmp_path / "datasets.cfg").write_text(
        config.replace('"brat"', f'"{project}/brat"')
        .replace('path = "drug', f'path = "{project}/drug')
        .replace('path = "surgeon', f'path = "{project}/surgeon')
        .replace('path = "nurse', f'path = "{project}/nurse')
    )
    monkeypatch.chdir(tmp_path)
    run_step("pull", "datasets.cfg", "annotations")
    run_step("merge", "datasets.cfg", "annotations", "corpus")
    open_reports = {*MISSED, *WRONG}
    for number in range(REPORTS):
        found = gold_of(tmp_path)[report(number)]
        first = len(sentences(number)[0])
        assert found.covers("DRUG", first + 1, len(report(number)))  # the other sentences are not in question
        assert found.covers("DRUG", 0, first) == (number not in open_reports)
    items = choose_conflicts(tmp_path / "corpus", Request(label="DRUG", kind="conflicts"), frozenset()).items
    assert len(items) == len(open_reports)
    for item in items:  # each version is one of the whole report
        versions = [[(span.start, span.end, span.label) for span in spans] for spans, _ in item.versions]
        assert find(item.text.text, "DRUG") in versions
        assert all(find(item.text.text, "DRUG")[-1] in version for version in versions)


CITIES = ["Turin", "Graz", "Oslo", "Bergen"]
clauses = st.lists(
    st.sampled_from(["Ada saw {}", "so {} it is", "they left {} in the long winter of that year", "no city here"]),
    min_size=1, max_size=2,
)  # fmt: skip


@st.composite
def written(draw):
    """Documents as lists of sentences, of which some are short and some stand in several documents."""
    made = []
    for _ in range(draw(st.integers(1, 4))):
        document = [
            " ".join(draw(clauses)).format(*draw(st.permutations(CITIES))) + draw(st.sampled_from(".!?"))
            for _ in range(draw(st.integers(2, 5)))
        ]  # fmt: skip
        made.append(document)
    return made


def cities(text):
    return [(at, at + len(city), "CITY") for city in CITIES for at in range(len(text)) if text.startswith(city, at)]


@settings(max_examples=settings.default.max_examples // 3)
@given(documents=written(), data=st.data(), timed=st.booleans(), corrects=st.booleans())
def test_corrected_sentences_stand_in_every_document(documents, data, timed, corrects, tmp_path):
    """Documents with some cities missed, then corrected by sentences: what is moved counts, in its range alone."""
    texts = [f"Nr {number}. {' '.join(found)}" for number, found in enumerate(documents)]
    whole = {text: [span for span in cities(text) if data.draw(st.booleans())] for text in texts}
    sentences = sorted({sentence for found in documents for sentence in found})
    chosen = [sentence for sentence in sentences if data.draw(st.integers(0, 3))]
    tasks = [
        task(text, *spans, labels=["CITY"], dataset="city", source=f"d:{n}", timestamp=5 if timed else None)
        for n, (text, spans) in enumerate(whole.items())
    ]
    tasks += [
        task(text, *cities(text), labels=["CITY"], dataset="correct", source=f"s:{n}", timestamp=9 if timed else None)
        for n, text in enumerate(chosen)
    ]
    shutil.rmtree(tmp_path, ignore_errors=True)
    manifest = write(tmp_path / "in", tasks)
    options = {"correct": DatasetOptions(corrects=["city"])} if corrects else {}
    merged, _ = merge(manifest, tmp_path / "in", tmp_path / "out", "majority", Resources(512, 1), options=options)
    gold = {text.text: text for text in read_gold(tmp_path / "out/gold.jsonl")}
    assert gold.keys() >= set(texts)
    if not merged.moved:
        assert gold.keys() == {*texts, *chosen}
        return
    moved = sorted(set(chosen) - gold.keys())
    assert merged.moved["correct"]["moved"] == len(moved)
    for text in texts:
        # Each is in one place: after the end of another sentence.
        places = [max(text.find(f"{mark} {sentence}") for mark in ".!?") + 2 for sentence in moved]
        corrected = [(at, at + len(sentence)) for at, sentence in zip(places, moved, strict=True) if at > 1]
        inside = {span for span in cities(text) if any(start <= span[0] and span[1] <= end for start, end in corrected)}
        outside = {span for span in whole[text] if not any(s <= span[0] and span[1] <= e for s, e in corrected)}
        found = gold[text]
        if timed or corrects:
            assert found.covered == ["CITY"]
            assert set(spans_of(found, "spans")) == inside | outside
        else:  # where they contradict each other, nothing is taken for "none"
            for start, end in corrected:
                here = [{s for s in spans if start <= s[0] and s[1] <= end} for spans in (cities(text), whole[text])]
                agree = here[0] == here[1]
                assert found.covers("CITY", start, end) == agree
            assert outside <= set(spans_of(found, "spans", "accepted"))
