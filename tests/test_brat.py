"""brat standoff: every quirk met in real corpora, and every annotation accounted for."""

from __future__ import annotations

import json
import os
import pickle
import re

import pytest

from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.merging.merge import Resources, merge
from scripts.merging.pull import pull
from scripts.sources.brat import Brat
from tests.prodigy import read

TEXT = "Ada Lovelace met Charles Babbage in London.\nThey talked."
ADA = "T1\tPERSON 0 12\tAda Lovelace"
CHARLES = "T2\tPERSON 17 32\tCharles Babbage"
LONDON = "T3\tPLACE 36 42\tLondon"
BOTH = ("PERSON", "PLACE")


@pytest.fixture
def folder(tmp_path):
    """Write documents; a function of name, annotation lines and text."""

    def write(*lines, text=TEXT, name="doc", end="\n", encoding="utf8"):
        path = tmp_path / "corpus" / f"{name}.ann"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("".join(line + end for line in lines).encode(encoding))
        if text is not None:
            path.with_suffix(".txt").write_bytes(text if isinstance(text, bytes) else text.encode("utf8"))
        return tmp_path / "corpus"

    return write


def source(folder, labels=BOTH, **settings):
    return Brat(str(folder), list(labels), **settings)


def spans_of(tasks):
    return [(span.start, span.end, span.label) for task in tasks for span in task.spans]


def test_a_document_is_complete_for_the_labels_asked_for(folder):
    (found,), intake, _ = read(source(folder(ADA, CHARLES, LONDON), annotator="me"))
    assert found.text == TEXT
    assert (found.kind, found.answer, found.labels, found.annotator) == ("manual", "accept", ["PERSON", "PLACE"], "me")
    assert found.spans == [Span(0, 12, "PERSON"), Span(17, 32, "PERSON"), Span(36, 42, "PLACE")]
    assert (found.source, found.meta, found.timestamp) == ("doc.ann:1", {"document": "doc"}, None)
    assert not intake.notes


def test_spans_of_other_labels_are_not_taken(folder):
    (found,), intake, _ = read(source(folder(ADA, LONDON), ["PERSON"]))
    assert spans_of([found]) == [(0, 12, "PERSON")]
    assert +intake.spans == {"read": 2, "kept": 1, "other_labels": 1}
    assert (found.other_labels, intake.labels) == (["PLACE"], {"PLACE": 1})


@pytest.mark.parametrize("lines", [(), ("",), (" ", "\t"), ("\ufeff",)])
def test_an_empty_file_is_not_annotated_yet(folder, lines):
    """brat shows only texts that have an .ann, so that people make empty ones beforehand."""
    folder(ADA, LONDON, name="done")
    path = folder(*lines, name="new", text="Nobody looked at it.")
    (found,), intake, _ = read(source(path))
    assert found.source == "done.ann:1"
    assert +intake.records == {"read": 2, "kept": 1, "answers": 1, "no_answer": 1}
    assert intake.notes == {'empty .ann: not annotated yet, unless without_spans = "annotated"': 1}
    assert source(path).findings() == ['1 empty .ann is not annotated yet: without_spans = "annotated" if it is']


@pytest.mark.parametrize("line", ["#1\tAnnotatorNotes T1\tnothing here", "R1\tKNOWS Arg1:T1 Arg2:T2"])
def test_a_file_with_lines_and_no_span_is_annotated(folder, line):
    (found,), _, _ = read(source(folder(line)))
    assert (found.labels, found.spans) == (["PERSON", "PLACE"], [])


@pytest.mark.parametrize(("without_spans", "answers"), [("annotated", 2), ("unannotated", 0), ("auto", 1)])
def test_without_spans_overrides_what_the_file_tells(folder, without_spans, answers):
    folder(name="empty")
    path = folder("#1\tAnnotatorNotes T1\tnothing here", name="opened", text="Nobody is in it.")
    assert len(read(source(path, without_spans=without_spans))[0]) == answers


def test_a_document_without_annotations_has_none_of_the_labels(folder):
    (found,), intake, _ = read(source(folder(), without_spans="annotated"))
    assert (found.labels, found.spans) == (["PERSON", "PLACE"], [])
    assert not intake.notes


def test_folders_in_folders_are_read_in_order_of_their_names(folder):
    for name in ("b/2", "a/10", "a/9", "c"):
        path = folder(ADA, name=name)
    assert [task.source for task in read(source(path))[0]] == ["a/10.ann:1", "a/9.ann:1", "b/2.ann:1", "c.ann:1"]


def test_other_kinds_of_lines_are_counted(folder):
    others = ["E1\tMEET:T1 Who:T2", "R1\tKNOWS Arg1:T1 Arg2:T2\t", "A1\tSure T1", "M1\tSure T1", "*\tEquiv T1 T2"]
    path = folder(*others, "N1\tReference T1 Wiki:1\tAda", "#1\tAnnotatorNotes T1\tnote", "", " ", ADA, *others)
    (found,), intake, _ = read(source(path))
    assert len(found.spans) == 1
    others = {"event": 2, "relation": 4, "attribute": 4, "normalization": 1, "note": 1}
    assert intake.notes == {f"{kind} is not read": times for kind, times in others.items()}


@pytest.mark.parametrize("ann_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("counted", [True, False])
def test_line_ends_and_byte_order_marks_however_the_offsets_count_them(folder, ann_end, mark, counted):
    """brat counts all characters of the file; after git or an editor has been at it, the offsets do not."""
    text = f"{mark}Ada\r\nmet\r\nBob"
    start, end = (text.index("Bob"), len(text)) if counted else (8, 11)
    path = folder(f"{mark}T1\tPERSON {start} {end}\tBob", text=text, end=ann_end)
    (found,), intake, _ = read(source(path, ["PERSON"]))
    assert [found.text[span.start : span.end] for span in found.spans] == ["Bob"]
    assert not found.text.startswith("\ufeff")
    assert not intake.notes


def test_offsets_are_code_points_and_any_whitespace_is_equal(folder):
    text = "👩‍💻 5\u00a0µl of Tris\u00a0HCl"
    path = folder("T1\tAMOUNT 4 8\t5 µl", "T2\tREAGENT 12 20\tTris HCl", text=text)
    (found,), _, _ = read(source(path, ["AMOUNT", "REAGENT"]))
    assert [found.text[span.start : span.end] for span in found.spans] == ["5\u00a0µl", "Tris\u00a0HCl"]


# Discontinuous spans

GAP = "T1\tPERSON 0 3;17 24\tAda Charles"


def test_a_discontinuous_span_is_skipped_and_its_label_is_not_covered(folder):
    found, intake, skipped = read(source(folder(GAP, "T2\tPERSON 25 32\tBabbage", LONDON)))
    assert [(task.kind, task.labels, spans_of([task]), task.source) for task in found] == [
        ("manual", ["PLACE"], [(36, 42, "PLACE")], "doc.ann:1"),
        ("binary", ["PERSON"], [(25, 32, "PERSON")], "doc.ann:2"),
    ]
    assert [(skip.place, skip.reason, skip.what) for skip in skipped] == [("doc.ann:1", "discontinuous span", "span")]
    assert +intake.spans == {"read": 3, "kept": 2, "skipped": 1}
    assert intake.notes == {"labels not taken as complete in a text, since one of their spans is skipped": 1}


def test_import_is_told_how_discontinuous_spans_are_taken(folder):
    path = folder(GAP, "T2\tPERSON 25 32\tBabbage", "T3\tPERSON 17 24;25 32\tCharles Babbage")
    (said,) = source(path).findings()
    assert said.startswith('1 × discontinuous span, which is skipped: discontinuous = "cover" takes them from')
    assert source(path, discontinuous="cover").findings() == []


@pytest.mark.parametrize(
    ("policy", "spans"),
    [("cover", [(0, 24, "PERSON")]), ("split", [(0, 3, "PERSON"), (17, 24, "PERSON")])],
)
def test_a_discontinuous_span_by_policy(folder, policy, spans):
    found, intake, skipped = read(source(folder(GAP), discontinuous=policy))
    assert (spans_of(found), skipped) == (spans, [])
    assert intake.spans["read"] == intake.spans["kept"] == len(spans)


@pytest.mark.parametrize("policy", ["skip", "cover", "split"])
def test_fragments_with_whitespace_between_are_one_span(folder, policy):
    """So brat writes what crosses the end of a line."""
    path = folder("T1\tTHING 36 43;44 48\tLondon. They", "T2\tTHING 17 24;25 32\tCharles Babbage")
    found, _, _ = read(source(path, ["THING"], discontinuous=policy))
    assert spans_of(found) == [(17, 32, "THING"), (36, 48, "THING")]


@pytest.mark.parametrize("policy", ["cover", "split"])
def test_fragments_in_any_order_and_overlapping(folder, policy):
    path = folder("T1\tX 17 24;0 3\tAda Charles", "T2\tX 4 8;6 12\tLove velace")
    found, _, _ = read(source(path, ["X"], discontinuous=policy))
    expected = {"cover": [(0, 24, "X"), (4, 12, "X")], "split": [(0, 3, "X"), (4, 8, "X"), (6, 12, "X"), (17, 24, "X")]}
    assert spans_of(found) == expected[policy]


# What cannot be used


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("T1\tPERSON 0 99\tAda Lovelace", "offsets outside the text"),
        ("T1\tPERSON 90 99\tAda Lovelace", "offsets outside the text"),
        ("T1\tPERSON 12 0\tAda Lovelace", "offsets negative, reversed or empty"),
        ("T1\tPERSON 3 3\t", "offsets negative, reversed or empty"),
        ("T1\tPERSON 3 4\t ", "span of whitespace only"),
        ("T1\tPERSON 0 12\tCharles Babbage", "quoted text differs from the text at the offsets"),
        ("T1\tPERSON -1 12\tAda Lovelace", "malformed annotation"),
        ("T1\tPERSON 0\tAda", "malformed annotation"),
        ("T1\tPERSON 0 x\tAda", "malformed annotation"),
        ("T1\tPERSON 0 12", "malformed annotation"),
        ("T1 PERSON 0 12 Ada Lovelace", "malformed annotation"),
        ("T1\tPERSON 0 12;\tAda Lovelace", "malformed annotation"),
        (f"T1\tPERSON 0 {'9' * 5000}\tAda", "malformed annotation"),
        ("T1\tPERSON 0 999999999999999\tAda", "offsets outside the text"),
        ("T1\tPERSON ٠ ١٢\tAda Lovelace", "malformed annotation"),
    ],
)
def test_a_span_that_cannot_be_used_is_skipped_and_the_rest_is_read(folder, line, reason):
    found, intake, skipped = read(source(folder(line, CHARLES, LONDON)))
    assert [(skip.place, skip.reason, skip.spans) for skip in skipped] == [("doc.ann:1", reason, 1)]
    assert {task.kind: task.labels for task in found} == {"manual": ["PLACE"], "binary": ["PERSON"]}
    assert sorted(spans_of(found)) == [(17, 32, "PERSON"), (36, 42, "PLACE")]
    assert +intake.records == {"read": 1, "kept": 1, "answers": 2}


@pytest.mark.parametrize("line", ["T1", "T1\t", "T99\t\t\t"])
def test_where_the_label_cannot_be_read_it_may_have_been_any(folder, line):
    found, _, skipped = read(source(folder(line, CHARLES, LONDON)))
    assert [skip.reason for skip in skipped] == ["malformed annotation"]
    assert [(task.kind, task.labels) for task in found] == [("binary", ["PERSON"]), ("binary", ["PLACE"])]


def test_a_document_without_a_usable_span_is_skipped(folder):
    found, intake, skipped = read(source(folder("T1\tPERSON 0 99\tAda"), ["PERSON"]))
    assert not found
    assert +intake.records == {"read": 1, "skipped": 1}
    assert [skip.what for skip in skipped] == ["span", "record"]


def test_a_quoted_text_that_differs_can_be_kept(folder):
    found, intake, skipped = read(source(folder("T1\tPERSON 0 12\tAda, Countess"), ["PERSON"], mismatch="keep"))
    assert (spans_of(found), skipped) == ([(0, 12, "PERSON")], [])
    assert intake.notes == {"quoted text differs from the text at the offsets, kept": 1}


def test_a_quoted_text_broken_by_a_newline(folder):
    path = folder("T1\tPERSON 0 3\tAda", "Lovelace", CHARLES)
    found, intake, _ = read(source(path, ["PERSON"]))
    assert spans_of(found) == [(0, 3, "PERSON"), (17, 32, "PERSON")]
    assert intake.notes == {"line of an .ann that is no annotation (a quoted text broken by a newline?)": 1}


def test_overlapping_nested_and_repeated_spans(folder):
    path = folder(ADA, "T9\tPERSON 4 12\tLovelace", "T8\tPLACE 0 12\tAda Lovelace", "T7\tPERSON 0 12\tAda Lovelace")
    found, _, skipped = read(source(path))
    assert spans_of(found) == [(0, 12, "PERSON"), (0, 12, "PLACE"), (4, 12, "PERSON")]
    assert [(skip.place, skip.reason) for skip in skipped] == [("doc.ann:4", "span repeated in the same text")]
    assert found[0].kind == "manual"  # nothing is missing


def test_whitespace_at_the_edges_is_trimmed_and_noted(folder):
    found, intake, _ = read(source(folder("T1\tPERSON 12 25\t met Charles "), ["PERSON"]))
    assert spans_of(found) == [(13, 24, "PERSON")]
    assert intake.notes == {"whitespace at the boundaries of a span trimmed": 1}


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"text": None}, "no .txt beside it"),
        ({"text": b"caf\xe9"}, ".txt is not UTF-8"),
        ({"text": TEXT.encode("utf-16")}, ".txt is not UTF-8"),
        ({"text": ""}, "text is empty"),
        ({"text": " \n\u00a0"}, "text is empty"),
    ],
)
def test_a_document_that_cannot_be_used_is_skipped_with_its_spans(folder, how, reason):
    folder(ADA, CHARLES, "R1\tKNOWS Arg1:T1 Arg2:T2", **how, name="bad")
    found, intake, skipped = read(source(folder(LONDON, name="good")))
    assert [task.source for task in found] == ["good.ann:1"]
    assert [(skip.place, skip.reason, skip.what) for skip in skipped] == [("bad.ann:1", reason, "record")]
    assert +intake.spans == {"read": 3, "kept": 1, "skipped": 2}


def test_annotations_that_are_not_utf_8(folder):
    folder("T1\tPERSON 0 3\tAdá", ADA, name="bad", encoding="latin1")
    _, _, skipped = read(source(folder(LONDON, name="good")))
    assert [(skip.reason, skip.spans) for skip in skipped] == [(".ann is not UTF-8", 2)]


def test_a_text_nobody_annotated_is_noted(folder):
    path = folder(ADA, LONDON)
    (path / "other.txt").write_text("Nobody looked at it.")
    found, intake, _ = read(source(path))
    assert len(found) == 1
    assert intake.notes == {"a .txt without an .ann: not annotated": 1}


@pytest.mark.skipif(os.name != "posix" or os.uname().sysname == "Darwin", reason="such names are Linux's alone")
def test_a_file_name_that_is_no_utf_8(folder):
    path = folder(ADA)
    for suffix in ("ann", "txt"):
        (path / f"doc.{suffix}").rename(path / os.fsdecode(b"caf\xe9." + suffix.encode()))
    assert source(path).digest()
    (found,), _, _ = read(source(path))
    assert found.source == "caf\ufffd.ann:1"


# Copies of a text: annotators, labels, versions


def copies(folder, files, text=TEXT):
    """Write files with lines about the same text, by name."""
    for name, lines in files.items():
        path = folder(*lines, text=text, name=name)
    return path


def complete(tasks):
    """Annotator, labels and spans of the complete answers, in order."""
    return sorted((task.annotator, *task.labels, spans_of([task])) for task in tasks if task.kind != "binary")


PEOPLE = [(0, 12, "PERSON")]


@pytest.mark.parametrize("name", ["{}/doc", "round/{}/doc", "doc_{}", "doc-{}", "{}/doc_{}", "train/{}/a/doc"])
def test_files_about_the_same_text_are_of_annotators(folder, name):
    files = {"ana": [ADA], "ben": [ADA, CHARLES], "cleo": [ADA, LONDON]}
    path = copies(folder, {name.replace("{}", who): lines for who, lines in files.items()})
    tasks, intake, _ = read(source(path, annotator="team"))
    assert [(task.annotator, len(task.spans)) for task in tasks] == [("ana", 1), ("ben", 2), ("cleo", 2)]
    assert all(task.labels == ["PERSON", "PLACE"] for task in tasks)
    assert intake.notes["text in several files, taken as those of annotators: ana, ben, cleo"] == 1
    assert source(path).findings()[0].endswith('copies = "labels" or "versions" takes them otherwise')


def test_files_that_share_no_label_were_annotated_for_one_each(folder):
    path = copies(folder, {"city/1": [LONDON], "person/1": [ADA, CHARLES]})
    copies(
        folder, {"city/2": ["T1\tPLACE 0 4\tRome"], "person/2": ["#1\tAnnotatorNotes T1\tnobody"]}, text="Rome is old."
    )
    tasks, intake, _ = read(source(path, annotator="team"))
    assert complete(tasks) == [
        ("team", "PERSON", []),
        ("team", "PERSON", [(0, 12, "PERSON"), (17, 32, "PERSON")]),
        ("team", "PLACE", [(0, 4, "PLACE")]),
        ("team", "PLACE", [(36, 42, "PLACE")]),
    ]
    assert intake.notes["text in several files, taken as those of labels: city, person"] == 2
    tasks, intake, _ = read(source(path, ["PLACE"]))
    assert complete(tasks) == [("", "PLACE", [(0, 4, "PLACE")]), ("", "PLACE", [(36, 42, "PLACE")])]
    assert intake.records["other_labels"] == 2


@pytest.mark.parametrize(
    "change", [lambda text: text.replace("\n", "\r\n"), lambda text: f"{text}\n", lambda text: text]
)
def test_copies_are_found_whose_line_ends_differ(folder, change):
    """They stay different texts, and each is complete for its own labels."""
    for number in range(6):
        text = f"Text {number}.\nAda is in Rome.\nShe is at home."
        start = text.index("Ada")
        folder(f"T1\tPERSON {start} {start + 3}\tAda", text=text, name=f"person/{number}")
        start = change(text).index("Rome")
        path = folder(f"T1\tPLACE {start} {start + 4}\tRome", text=change(text), name=f"city/{number}")
    tasks, intake, _ = read(source(path))
    assert [(task.labels, len(task.spans)) for task in tasks] == [(["PLACE"], 1)] * 6 + [(["PERSON"], 1)] * 6
    assert intake.notes["text in several files, taken as those of labels: city, person"] == 6
    said = [one for one in source(path).findings() if "whose copies differ in line ends" in one]
    assert len(said) == (change("\n") != "\n")
    assert all(one.startswith("6 × text") for one in said)


def test_labels_shared_out_between_several_annotators_each(folder):
    """Two annotated people, one places: nobody who looked for places alone says that there are no people."""
    path = copies(folder, {"ana/1": [ADA], "ben/1": [CHARLES], "cleo/1": [LONDON], "dan/1": [""]})
    assert complete(read(source(path))[0]) == [
        ("", "PLACE", [(36, 42, "PLACE")]),
        ("ana", "PERSON", PEOPLE),
        ("ben", "PERSON", [(17, 32, "PERSON")]),
    ]


def test_a_stray_span_of_another_label_is_no_claim(folder):
    people = [f"T{n}\tPERSON {n} {n + 3}\t{TEXT[n : n + 3]}" for n in (0, 5, 9, 13, 17, 20, 25, 28, 33, 37, 40, 45)]
    path = copies(folder, {"city/1": [LONDON, "T9\tPERSON 0 12\tAda Lovelace"], "person/1": people})
    tasks, _, _ = read(source(path))
    assert {tuple(task.labels) for task in tasks if task.kind == "manual"} == {("PERSON",), ("PLACE",)}
    assert ("binary", "accept", PEOPLE) in [(task.kind, task.answer, spans_of([task])) for task in tasks]


@pytest.mark.parametrize("name", ["gold", "curated", "adjudicated_2024", "Consensus"])
def test_a_file_of_the_curator_decides(folder, name):
    path = copies(folder, {f"{who}/1": [ADA] for who in ("ana", "ben")} | {f"{name}/1": [ADA, LONDON]})
    tasks, _, _ = read(source(path))
    assert {task.annotator: task.kind for task in tasks} == {"ana": "manual", "ben": "manual", name: "review"}


@pytest.mark.parametrize("name", ["v{}/1", "1_v{}", "Version {}/1", "rev{}/1"])
def test_of_versions_the_last_counts(folder, tmp_path, name):
    path = copies(folder, {name.format(1): [ADA, LONDON], name.format(2): [ADA, CHARLES]})
    tasks, intake, _ = read(source(path))
    assert {task.annotator for task in tasks} == {""}
    assert [note.partition(":")[0] for note in intake.notes] == ["text in several files, taken as those of versions"]
    found = merged(path, tmp_path)
    assert found == [(["Ada Lovelace", "Charles Babbage"], ["PERSON", "PLACE"], [])]


def test_copies_can_be_set(folder):
    path = copies(folder, {"a/1": [ADA], "b/1": [LONDON]})
    assert len(complete(read(source(path))[0])) == 2
    assert [task.labels for task in read(source(path, copies="annotators"))[0]] == [["PERSON", "PLACE"]] * 2
    assert [task.annotator for task in read(source(path, copies="versions", annotator="me"))[0]] == ["me", "me"]
    with_both = copies(folder, {"a/1": [ADA, LONDON], "b/1": [LONDON]})
    assert [task.labels for task in read(source(with_both, copies="labels"))[0]] == [["PERSON", "PLACE"]] * 2


@pytest.mark.parametrize(
    "files",
    [
        {"train/1": TEXT, "test/1": TEXT, "train/2": "Ada.", "test/2": "Ada and Bob."},  # of two splits
        {f"{n}": TEXT if n in (3, 7) else f"Ada is number {n}." for n in range(30)},  # a text that repeats
        {str(n): f"Ada is number {n // 2}." for n in range(30)},  # each text twice
        {"a/1": "Ada left.", "b/1": "Ada left!"},  # another text of the same size and name
    ],
)
def test_other_texts_that_are_alike_are_of_nobody(folder, files):
    for name, text in files.items():
        path = folder("T1\tPERSON 0 3\tAda", text=text, name=name)
    tasks, intake, _ = read(source(path, ["PERSON"], annotator="me"))
    assert {task.annotator for task in tasks} == {"me"}
    assert not intake.notes


def test_texts_in_a_folder_of_their_own(folder):
    path = folder(ADA, LONDON, name="ann/1")
    (path / "text").mkdir()
    (path / "ann" / "1.txt").rename(path / "text" / "1.txt")
    (found,), intake, _ = read(source(path))
    assert (found.text, len(found.spans)) == (TEXT, 2)
    assert not intake.notes


def test_annotators_beside_one_text(folder):
    path = folder(ADA, name="1")
    for who, line in (("ana", ADA), ("ben", CHARLES)):
        (path / f"1.{who}.ann").write_text(f"{line}\n")
    (path / "1.ann").unlink()
    tasks, _, _ = read(source(path))
    assert [(task.annotator, task.text, len(task.spans)) for task in tasks] == [("ana", TEXT, 1), ("ben", TEXT, 1)]


def merged(path, folder, labels=BOTH, **settings):
    """The gold of a source with a dataset for each label, as `import` writes it: spans, and the labels covered."""
    sources = {label.lower(): source(path, [label], **settings) for label in labels}
    manifest, _ = pull(sources, folder / "annotations", 0.2, 1)
    merge(manifest, folder / "annotations", folder / "corpus", "majority", Resources(512, 1))
    lines = (folder / "corpus" / "gold.jsonl").read_text("utf8").splitlines()
    return [
        ([text["text"][span["start"] : span["end"]] for span in text["spans"]], text["covered"], text["unresolved"])
        for text in map(json.loads, lines)
    ]


def test_of_three_annotators_the_majority_decides(folder, tmp_path):
    path = copies(folder, {"ana/1": [ADA, LONDON], "ben/1": [ADA], "cleo/1": [CHARLES, LONDON]})
    assert merged(path, tmp_path) == [(["Ada Lovelace", "London"], ["PERSON", "PLACE"], [])]


def test_an_annotator_who_has_not_begun_has_no_vote(folder, tmp_path):
    path = copies(folder, {"ana/1": [ADA], "ben/1": [ADA], "cleo/1": []})
    assert merged(path, tmp_path) == [(["Ada Lovelace"], ["PERSON", "PLACE"], [])]


def test_a_folder_a_label_gives_all_labels(folder, tmp_path):
    path = copies(folder, {"person/1": [ADA, CHARLES], "place/1": [LONDON]})
    assert merged(path, tmp_path) == [(["Ada Lovelace", "Charles Babbage", "London"], ["PERSON", "PLACE"], [])]


def test_the_gold_folder_overrules_its_annotators(folder, tmp_path):
    path = copies(folder, {"ana/1": [ADA], "ben/1": [ADA], "gold/1": [CHARLES, LONDON]})
    assert merged(path, tmp_path) == [(["Charles Babbage", "London"], ["PERSON", "PLACE"], [])]


def test_published_splits_are_told(folder):
    for name in ("train/1", "dev/1", "test/1"):
        path = folder(ADA, text=f"{TEXT} {name}", name=name)
    assert source(path).split_paths() == {name: str(path / name) for name in ("dev", "test", "train")}
    assert source(path).findings() == [
        "published splits by the names of its files: dev (dev), test (test), train (train)"
    ]
    folder(ADA, name="other/1")
    assert source(path).split_paths() == {}


# BioNLP's shared tasks


def shared_task(folder, number, given, triggers=None, text=TEXT):
    path = folder(*given, name=f"{number}", text=text)
    (path / f"{number}.ann").rename(path / f"{number}.a1")
    if triggers is not None:
        (path / f"{number}.a2").write_text("".join(f"{line}\n" for line in triggers))
    return path


def test_both_files_of_a_document_are_one_record(folder):
    path = shared_task(folder, 1, [ADA, LONDON], ["T7\tMEET 13 16\tmet", "E1\tMEET:T7 Theme:T1", "*\tEquiv T1 T3"])
    (found,), intake, _ = read(source(path, [*BOTH, "MEET"]))
    assert spans_of([found]) == [(0, 12, "PERSON"), (13, 16, "MEET"), (36, 42, "PLACE")]
    assert (found.source, intake.records["read"]) == ("1.ann:1".replace("ann", "a1"), 1)
    assert intake.notes == {"event is not read": 1, "relation is not read": 1}
    assert source(path).labels_found() == {"PERSON": 1, "PLACE": 1, "MEET": 1}
    assert source(path).recognizes()


def test_their_endings_may_be_in_upper_case(folder):
    path = shared_task(folder, 1, [ADA, LONDON], ["T7\tMEET 13 16\tmet"])
    shared_task(folder, 2, [ADA], text=f"{TEXT} Twice.")
    before = [(task.text, task.labels, task.spans) for task in read(source(path, [*BOTH, "MEET"]))[0]]
    for file in list(path.iterdir()):
        file.rename(file.with_suffix(file.suffix.upper()))
    tasks, intake, skipped = read(source(path, [*BOTH, "MEET"]))
    assert [(task.text, task.labels, task.spans) for task in tasks] == before
    assert (len(before), intake.records["read"], skipped) == (2, 2, [])
    (path / "1.A2").write_text("T7\tMEET 13 99\tmet\n")
    assert [skip.place for skip in read(source(path, ["PERSON", "MEET"]))[2]] == ["1.A2:1"]


def test_a_document_of_the_test_set_says_nothing_of_the_triggers(folder):
    shared_task(folder, 1, [ADA], ["T7\tMEET 13 16\tmet"])
    path = shared_task(folder, 2, [ADA], text=f"{TEXT} Twice.")
    tasks, _, _ = read(source(path, ["PERSON", "MEET"]))
    assert [task.labels for task in tasks] == [["MEET", "PERSON"], ["PERSON"]]


def test_a_fault_in_the_second_file_has_its_place(folder):
    path = shared_task(folder, 1, [ADA], ["E1\tMEET:T7", "T7\tMEET 13 99\tmet"])
    _, _, (skip,) = read(source(path, ["PERSON", "MEET"]))
    assert (skip.place, skip.reason) == ("1.a2:2", "offsets outside the text")
    (path / "1.a2").write_bytes(b"T7\tMEET 13 16\tm\xe9t")
    _, _, (skip,) = read(source(path, ["PERSON", "MEET"]))
    assert skip.reason == ".a2 is not UTF-8"


# Checks


def test_an_error_is_one_line(folder, tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such folder"):
        source(tmp_path / "nowhere").check()
    with pytest.raises(UserError, match=r"no such folder with a file \*\.ann, \*\.a1, \*\.a2 in it"):
        source(tmp_path).check()
    path = folder(ADA, LONDON)
    source(path).check()
    with pytest.raises(UserError, match=r"no such folder"):
        source(path / "doc.ann").check()
    with pytest.raises(UserError, match=r"labels is empty. There is PERSON, PLACE$"):
        source(path, []).check()
    with pytest.raises(UserError, match=r"labels is empty. There is none$"):
        source(folder(), []).check()


def test_a_source_pickles_and_labels_named_twice_do_no_harm(folder):
    twice = source(folder(ADA), ["PERSON", "PERSON"])
    assert pickle.loads(pickle.dumps(twice)) == twice
    (found,), _, _ = read(twice)
    assert found.labels == ["PERSON"]


def test_the_digest_follows_every_file(folder):
    path = folder(ADA)
    prints = [source(path).digest()]
    (path / "doc.txt").write_text(f"{TEXT} ")
    prints.append(source(path).digest())
    (path / "doc.txt").rename(path / "other.txt")
    prints.append(source(path).digest())
    (path / "notes.md").write_text("no matter")
    prints.append(source(path).digest())
    assert len(set(prints)) == 3
    assert prints[2] == prints[3]


# Real corpora

# Documents and T lines.
CORPORA = {
    "brat-wlp": (622, 60745),
    "brat-ibm-diagnosis": (193, 6980),
    "brat-litbank": (100, 13912),
}


def lines_of(folder):
    """Label and fragments of every line that starts like a T line, found without the reader."""
    for path in sorted(folder.rglob("*.ann")):
        for line in re.findall(r"^T\d.*$", path.read_bytes().decode("utf8"), re.MULTILINE):
            yield line.split("\t")[1].split(" ")[0], line.split("\t")[1].count(";") + 1


@pytest.mark.parametrize("discontinuous", ["skip", "cover"])
@pytest.mark.parametrize("corpus", CORPORA)
def test_every_annotation_of_a_real_corpus_is_accounted_for(shared_data, corpus, discontinuous):
    documents, annotations = CORPORA[corpus]
    lines = list(lines_of(shared_data / corpus))
    assert len(lines) == annotations
    labels = sorted({label for label, _ in lines})
    taken = labels[: len(labels) - 2]
    one = source(shared_data / corpus, taken, discontinuous=discontinuous)
    one.check()
    found, intake, skipped = read(one)
    assert intake.records["read"] == documents
    assert intake.spans["read"] == annotations
    assert intake.spans["other_labels"] == sum(label not in taken for label, _ in lines)
    assert intake.spans["kept"] == sum(len(task.spans) for task in found)
    assert intake.spans["skipped"] == sum(skip.spans for skip in skipped)
    quotes = [task.text[span.start : span.end] for task in found for span in task.spans]
    assert all(quote == quote.strip() != "" for quote in quotes)
    assert intake.spans["skipped"] < 0.01 * annotations, intake.reasons


def test_the_wet_lab_protocols(shared_data):
    """What the corpus is known for: discontinuous spans, quotes that differ by blanks, a broken line."""
    labels = sorted({label for label, _ in lines_of(shared_data / "brat-wlp")})
    _, intake, _ = read(source(shared_data / "brat-wlp", labels))
    broken = "line of an .ann that is no annotation (a quoted text broken by a newline?)"
    assert (intake.reasons, intake.notes[broken]) == ({"discontinuous span": 103}, 1)
    assert intake.notes["whitespace at the boundaries of a span trimmed"] == 49
    for policy, spans in (("split", 60848), ("cover", 60745)):
        found, intake, _ = read(source(shared_data / "brat-wlp", labels, discontinuous=policy))
        assert (intake.spans["kept"], len(found)) == (spans, 622)
        assert not intake.reasons
