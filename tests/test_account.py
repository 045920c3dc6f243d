"""The account holds from step to step: what one step kept, the next one read, or the difference is a named row.

Every number is counted anew from the files themselves, on a small set with everything in it and on a larger one.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest
import spacy
from spacy.tokens import DocBin

from scripts.exporting.exporting import FORMATS
from tests.before import run_step
from tests.generated import write_project

CONFIG = """
[datasets]

[datasets.org]
@readers = "labelwise.ProdigyJsonl.v1"
path = "org.jsonl"
labels = ["ORG"]
annotators = ["ana", "ben", "cyn"]

[datasets.per]
@readers = "labelwise.ProdigyJsonl.v1"
path = "per.jsonl"
labels = ["PER"]

[datasets.teach]
@readers = "labelwise.ProdigyJsonl.v1"
path = "teach.jsonl"
labels = ["LOC", "PER"]

[datasets.loc]
@readers = "labelwise.Doccano.v1"
path = "loc.jsonl"
labels = ["LOC"]
without_spans = "annotated"
offsets = "codepoints"

[datasets.documents]
@readers = "labelwise.ProdigyJsonl.v1"
path = "documents.jsonl"
labels = ["NUM"]

[datasets.sentences]
@readers = "labelwise.ProdigyJsonl.v1"
path = "sentences.jsonl"
labels = ["GPE"]

[pull]
max_skipped = 0.9

[split]
dev = 0.3
test = 0.3

[docs]
max_misaligned = 1
"""
TRAINING = '[nlp]\nlang = "en"\npipeline = []\n'


def answer(text, *spans, view="ner_manual", **fields):
    found = [{"start": start, "end": end, "label": label} for start, end, label in spans]
    return {"text": text, "spans": found, "answer": "accept", "_view_id": view, "_annotator_id": "ana"} | fields


def binary(text, span, decided, **fields):
    return answer(text, span, view="ner", answer=decided, _is_binary=True) | fields


def everything(folder):
    """A project in which each outcome of an answer and of a span occurs."""
    texts = [f"IBM hired Ada in Bonn, no. {number}." for number in range(30)]
    org = [answer(text, (0, 3, "ORG"), _timestamp=10 + number) for number, text in enumerate(texts)]
    org += [
        org[0],  # a duplicate
        answer(texts[1], (10, 13, "ORG"), _timestamp=999),  # replaces
        answer(texts[2], _annotator_id="ben", _timestamp=50),  # a tie with ana
        answer(texts[3], (0, 3, "ORG"), answer="reject", _annotator_id="ben"),
        answer(texts[4], (0, 3, "ORG"), answer="ignore", _annotator_id="ben"),
        answer(texts[5], (0, 3, "ORG"), _annotator_id="dan"),  # another annotator
        answer(texts[6], (0, 3, "ORG"), (0, 9, "ORG"), _annotator_id="ben", _timestamp=70),  # the longest stays
        answer(texts[6], (0, 3, "ORG"), (0, 9, "ORG"), _annotator_id="cyn", _timestamp=71),
        answer(texts[7], (0, 3, "ORG"), (10, 13, "PER"), _timestamp=80),  # another label
        answer("too short", (0, 99, "ORG")),  # skipped
        {"text": "a choice", "options": [{"id": "A"}], "accept": ["A"], "answer": "accept", "_view_id": "choice"},
    ]
    per = [answer(text, (10, 13, "PER"), _annotator_id="ben", _timestamp=5) for text in texts[:20]]
    per.append(answer("O'Reilly met Xyz-Smithson.", (13, 21, "PER"), (21, 25, "PER"), _annotator_id="ben"))  # off
    teach = [binary(text, (17, 21, "LOC"), "accept") for text in texts[:10]]
    teach += [binary(text, (0, 3, "LOC"), "reject") for text in texts[:10]]
    teach += [binary(text, (10, 13, "PER"), "accept") for text in texts[:3]]  # confirms
    teach += [binary(text, (0, 3, "PER"), "accept") for text in texts[3:5]]  # contradicts
    teach += [binary(text, (10, 12, "PER"), "accept") for text in texts[25:27]]  # off the tokens, not covered
    teach += [binary("Eve left Bonn.", (0, 3, "PER"), "accept")]
    loc = [{"text": text, "label": [[17, 21, "LOC"]]} for text in texts[8:16]]
    loc += [{"text": f"A longer one: {texts[9]} It goes on.", "label": []}]  # contains a text
    documents, sentences = [], []
    for number in range(12):
        parts = [f"Ada met Bob of Rome in {number}.", f"She left {number} Bonn for Kiel.", "It was nice there."]
        documents.append(answer(" ".join(parts), (23, 24 + (number > 9), "NUM")))
        sentences += [
            answer(parts[0], (15, 19, "GPE")),
            answer(parts[1], *((at, at + 4, "GPE") for at in (parts[1].index("Bonn"), parts[1].index("Kiel")))),
        ]
    rows = {"org": org, "per": per, "teach": teach, "loc": loc, "documents": documents, "sentences": sentences}
    for name, lines in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf8")
    (folder / "datasets.cfg").write_text(CONFIG)
    (folder / "training.cfg").write_text(TRAINING)


@pytest.fixture(scope="module", params=["everything", "generated", "skip"])
def project(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("account") / request.param
    folder.mkdir()
    if request.param == "generated":
        write_project(folder)
    else:
        everything(folder)
    policy = "skip" if request.param == "skip" else "snap"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_step("pull", "datasets.cfg", "annotations", "--system.processes", 1)
        run_step("merge", "datasets.cfg", "annotations", "corpus", "--system.processes", 1)
        options = ("--system.processes", 1, "--docs.misaligned", policy, "--docs.max_misaligned", 1)
        run_step("corpus", "datasets.cfg", "training.cfg", "corpus", *options)
        for name in FORMATS:
            run_step("export", "training.cfg", "corpus", "exports", "--format", name)
    return folder


def lines_of(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def read(path):
    return json.loads(path.read_bytes())


def adds_up(counts):
    assert counts["read"] == sum(number for outcome, number in counts.items() if outcome != "read"), counts


def gold_of(project):
    return lines_of(project / "corpus/gold.jsonl")


def spans_of_gold(project):
    """Spans of the gold by kind."""
    return {kind: sum(len(text[kind]) for text in gold_of(project)) for kind in ("accepted", "rejected", "spans")}


def test_pull_keeps_what_it_writes_and_counts_the_rest(project):
    for entry in read(project / "annotations/manifest.json")["datasets"].values():
        answers = lines_of(project / "annotations" / entry["file"])
        outcomes = ("kept", "other_labels", "other_annotators", "no_answer", "skipped")
        for unit in ("records", "spans"):
            counts = entry[unit]
            adds_up({name: counts.get(name, 0) for name in ("read", *outcomes)})
        assert entry["records"]["answers"] == len(answers)
        assert entry["spans"]["kept"] == sum(len(answer["spans"]) for answer in answers)
        assert entry["records"]["skipped"] == sum(entry["reasons"].values()) or entry["spans"]["skipped"]


def test_merge_reads_what_pull_kept(project):
    manifest, merged = read(project / "annotations/manifest.json"), read(project / "corpus/merge.json")
    for name, entry in manifest["datasets"].items():
        adds_up(merged["answers"][name])
        skipped = entry["records"]["skipped"]
        answers = merged["answers"][name]
        assert answers["read"] - answers["skipped"] - answers.get("other_labels", 0) == entry["records"]["answers"]
        assert answers["skipped"] == skipped
        for counts in merged["spans"][name].values():
            adds_up(counts)
        kept = sum(counts["read"] for counts in merged["spans"][name].values())
        assert kept == entry["spans"]["kept"]
        by_label = Counter(
            span["label"] for answer in lines_of(project / "annotations" / entry["file"]) for span in answer["spans"]
        )
        assert by_label == +Counter({label: counts["read"] for label, counts in merged["spans"][name].items()})


def test_gold_has_the_spans_that_merge_says(project):
    merged, gold = read(project / "corpus/merge.json"), spans_of_gold(project)
    assert {kind: merged["totals"][kind] for kind in gold} == gold
    by_label = Counter(span["label"] for text in gold_of(project) for span in text["spans"])
    assert {label: counts["spans"] for label, counts in merged["coverage"].items()} == {
        label: by_label[label] for label in merged["coverage"]
    }
    outcomes = Counter()
    for labels in merged["spans"].values():
        for counts in labels.values():
            outcomes.update(counts)
    # A span of the gold is that of one answer, or of several that say the same.
    assert outcomes["gold"] + outcomes["partial"] == sum(gold.values()) + merged["totals"]["said again"]


def test_the_corpus_has_the_spans_of_the_gold_or_says_what_became_of_them(project):
    corpus, gold = read(project / "corpus/split.json"), spans_of_gold(project)
    assert corpus["read"] == gold
    adds_up(corpus["outcomes"])
    assert corpus["outcomes"]["read"] == sum(gold.values())
    for counts in corpus["outcomes_by_label"].values():
        adds_up(counts)
    by_label = Counter(span["label"] for text in gold_of(project) for kind in gold for span in text[kind])
    assert {label: counts["read"] for label, counts in corpus["outcomes_by_label"].items()} == by_label
    in_docs = sum(number for splits in corpus["spans"].values() for number in splits.values())
    others = sum(
        number for outcome, number in corpus["outcomes"].items() if outcome not in ("read", "exact", "snapped")
    )
    assert in_docs + corpus["rejected"] + others == sum(gold.values())


def test_docs_have_the_spans_that_the_corpus_says(project):
    corpus = read(project / "corpus/split.json")
    gold, rejected, misaligned = Counter(), 0, 0
    for path in sorted((project / "corpus").glob("*/*.spacy")):
        for doc in DocBin().from_disk(path).get_docs(spacy.blank("xx").vocab):
            gold.update((span.label_, path.parent.name) for span in doc.spans["gold"])
            rejected += len(doc.spans["incorrect_spans"])
            misaligned += len(doc.spans.get("misaligned", ()))
    found = {(label, split): n for label, splits in corpus["spans"].items() for split, n in splits.items()}
    assert gold == +Counter(found)
    assert rejected == corpus["rejected"]
    listed = [line for path in (project / "corpus/misaligned").glob("*.jsonl") for line in lines_of(path)]
    counted = Counter(line["outcome"] for line in listed)
    assert counted == +Counter(
        {name: corpus["outcomes"].get(name, 0) for name in ("snapped", "skipped", "overlapping")}
    )
    assert misaligned <= sum(counted.values())  # rejected ones are in no Doc


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_has_the_spans_of_the_gold_or_says_what_became_of_them(name, project):
    exported, gold = read(project / "exports" / name / "all/export.json"), spans_of_gold(project)
    assert exported["read"] == gold
    adds_up(exported["texts"])
    adds_up(exported["spans"])
    assert exported["texts"]["read"] == len(gold_of(project))
    assert exported["spans"]["read"] == sum(gold.values())


WRITTEN = {
    "prodigy": lambda folder: sum(len(line["spans"]) for path in folder.glob("*.jsonl") for line in lines_of(path)),
    "brat": lambda folder: sum(len(path.read_text("utf8").splitlines()) for path in folder.rglob("*.ann")),
    "doccano": lambda folder: sum(len(line["label"]) for path in folder.glob("*.jsonl") for line in lines_of(path)),
    "label_studio": lambda folder: sum(len(task["predictions"][0]["result"]) for task in read(folder / "tasks.json")),
    "conll": lambda folder: sum(path.read_text("utf8").count("\tB-") for path in folder.glob("*.conll")),
    "docbin": lambda folder: sum(
        len(doc.spans["gold"]) + len(doc.spans["incorrect_spans"])
        for path in folder.glob("*.spacy")
        for doc in DocBin().from_disk(path).get_docs(spacy.blank("xx").vocab)
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_files_of_an_export_have_the_spans_that_it_says(name, project):
    folder = project / "exports" / name / "all"
    assert WRITTEN[name](folder) == read(folder / "export.json")["spans"]["written"]


def test_ranges_of_sentences_are_in_the_docs_and_in_the_exports(project):
    if project.name == "generated":
        return
    texts = [text for text in gold_of(project) if text.get("covered_ranges")]
    assert len(texts) == 12
    assert all(sorted(text["covered_ranges"]) == ["GPE"] for text in texts)
    assert sum(span["label"] == "GPE" for text in texts for span in text["accepted"]) == 36
    by_text = {text["text"]: text for text in texts}
    seen = 0
    for path in (project / "corpus").glob("*/*.spacy"):
        for doc in DocBin().from_disk(path).get_docs(spacy.blank("xx").vocab):
            if doc.text in by_text:
                seen += 1
                found = [(s.start_char, s.end_char) for s in doc.spans["covered"] if s.label_ == "GPE"]
                assert found[0][0] == by_text[doc.text]["covered_ranges"]["GPE"][0][0]
                assert found[-1][1] == by_text[doc.text]["covered_ranges"]["GPE"][-1][1]
    assert seen == 12
    exported = lines_of(project / "exports/prodigy/all/GPE.jsonl")
    assert sum(len(task["spans"]) for task in exported) == 36
    assert not any(task["_is_binary"] for task in exported)


def test_each_outcome_occurs_in_the_set_with_everything(project):
    if project.name != "everything":
        return
    manifest, merged = read(project / "annotations/manifest.json"), read(project / "corpus/merge.json")
    records = Counter()
    for entry in manifest["datasets"].values():
        records.update({name for name, number in entry["records"].items() if number})
    assert records >= Counter(["kept", "other_annotators", "no_answer"])
    answers = {name for counts in merged["answers"].values() for name, number in counts.items() if number}
    assert answers >= {"kept", "ignored", "rejected", "duplicates", "replaced"}
    spans = {
        name for labels in merged["spans"].values() for counts in labels.values() for name, number in counts.items()
        if number
    }  # fmt: skip
    assert spans >= {"gold", "partial", "confirming", "unresolved", "overlapping", "contradicting", "replaced"}
    assert {"exact", "snapped", "overlapping"} <= read(project / "corpus/split.json")["outcomes"].keys()
    assert "rejected spans" in read(project / "exports/brat/all/export.json")["spans"]
