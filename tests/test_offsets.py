"""Code points, UTF-16 or grapheme clusters: told by the texts in the spans, or asked for."""

from __future__ import annotations

import json
from random import Random
from types import SimpleNamespace

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from scripts.core.errors import UserError
from scripts.sources.brat import Brat
from scripts.sources.cas_xmi import CasXmi
from scripts.sources.doccano import Doccano
from scripts.sources.documents import Document, DocumentReader, Record
from scripts.sources.offsets import AMBIGUOUS, INSIDE_WORD, UNITS, Mark, UnitEvidence, convert, to_codepoints, unit_of
from scripts.sources.prodigy_jsonl import ProdigyJsonl
from tests.prodigy import read

TEXT = "🦆 Ada met 🦆🦆 Bob"
ADA = Mark(2, 5, "PER", "Ada")  # in code points
ADA_UTF16 = Mark(3, 6, "PER", "Ada")
BOB_UTF16 = Mark(16, 19, "PER", "Bob")
texts = st.text(st.sampled_from("ab 🦆😀é"), min_size=1, max_size=30)


def units(text, offset):
    """How many UTF-16 units are before an offset in code points."""
    return len(text[:offset].encode("utf-16-le", "surrogatepass")) // 2


def told(text, marks, usual):
    """The marks in code points, if the document alone tells their unit; else None."""
    evidence = UnitEvidence()
    evidence.add(text, marks)
    unit = unit_of(text, marks, evidence.units(usual))
    return unit and convert(text, marks, unit)


@given(texts)
def test_utf16_and_back(text):
    codepoint = to_codepoints(text, "utf16")
    assert [codepoint(units(text, offset)) for offset in range(len(text) + 3)] == [
        *range(len(text) + 1), *[len(text)] * 2
    ]  # fmt: skip
    boundaries = {units(text, offset) for offset in range(len(text) + 1)}
    inside = set(range(units(text, len(text)))) - boundaries
    assert all(codepoint(offset) is None for offset in inside)


@given(texts, st.data())
def test_spans_that_carry_their_text_are_found_however_they_are_counted(text, data):
    boundaries = st.lists(st.integers(0, len(text)), min_size=2, max_size=2, unique=True).map(sorted)
    spans = data.draw(st.lists(boundaries, min_size=1, max_size=4))
    expected = [Mark(start, end, "X", text[start:end]) for start, end in spans]
    utf16 = [mark._replace(start=units(text, mark.start), end=units(text, mark.end)) for mark in expected]
    for usual in ("codepoints", "utf16"):
        for marks in (expected, utf16):
            found = told(text, marks, usual)
            assert all(mark.fits(text) for mark in found)
    assert told(text, utf16, "utf16") == expected
    assert told(text, expected, "codepoints") == expected
    assert convert(text, utf16, "utf16") == expected
    assert convert(text, expected, "codepoints") == expected


def test_all_marks_of_a_record_are_counted_in_one_way():
    assert told(TEXT, [ADA_UTF16, BOB_UTF16], "codepoints") == [ADA, Mark(13, 16, "PER", "Bob")]


def test_nothing_is_asked_where_it_does_not_matter():
    before = [Mark(0, 3, "PER")]
    assert told("Ada 🦆", before, "codepoints") == before
    assert told("Ada é", [Mark(4, 5, "PER")], "codepoints") == [Mark(4, 5, "PER")]
    assert told("🦆東京に行く", [Mark(2, 4, "LOC")], "codepoints") is None


def answers(marks, offsets="auto", labels=("PER",)):
    units, usual = (UNITS, "codepoints") if offsets == "auto" else ((offsets,), None)
    reader = DocumentReader("data", list(labels), "annotated", units, usual)
    records = [Record("file:1", [Document(TEXT, marks)])]
    return read(SimpleNamespace(read=lambda _, intake: reader.read(records, intake)))


def test_ambiguous_offsets_are_skipped_and_the_reason_names_the_setting():
    tasks, _, skipped = answers([Mark(3, 6, "PER"), Mark(3, 6, "ORG")])
    assert not tasks
    assert [(skip.reason, skip.spans) for skip in skipped] == [(AMBIGUOUS, 2)]
    assert "set offsets to codepoints, utf16, " in AMBIGUOUS
    (task,), _, _ = answers([Mark(3, 6, "PER")], "utf16")
    assert TEXT[task.spans[0].start : task.spans[0].end] == "Ada"


def test_a_span_that_fits_no_unit_alone_is_skipped():
    odd = Mark(4, 7, "PER", "Ada")
    tasks, _, skipped = answers([ADA_UTF16, BOB_UTF16, odd, Mark(0, 2, "ORG", "🦆")], labels=("PER", "ORG"))
    assert [skip.reason for skip in skipped] == ["quoted text differs from the text at the offsets"]
    assert [(task.kind, task.labels, len(task.spans)) for task in tasks] == [
        ("manual", ["ORG"], 1), ("binary", ["PER"], 1), ("binary", ["PER"], 1)
    ]  # fmt: skip


def test_an_offset_inside_a_character_is_skipped():
    _, _, skipped = answers([Mark(1, 6, "PER")], "utf16")
    assert skipped[0].reason == "offset inside a character of several units"


FAMILY = "👨\u200d👩\u200d👧\u200d👦"
CLUSTERS = {
    "a family": FAMILY,
    "a flag": "🇩🇪",
    "two flags": "🇩🇪🇫🇷",
    "a skin colour": "👍🏽",
    "a flag of tags": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "a keycap": "1\ufe0f\u20e3",
    "a heart": "❤\ufe0f\u200d🔥",
    "an accent of its own": "e\u0301",
    "many accents": "Z\u0351\u036b\u0343",
    "a vowel sign": "नि",
    "jamo": "\u1112\u1161\u11ab",
    "the end of a line": "\r\n",
    "a plain letter": "é",
}


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_counts_as_one(name):
    cluster, count = CLUSTERS[name], 2 if name == "two flags" else 1
    text = f"{cluster} Ada met {cluster}Bob"
    start = len(f"{cluster} Ada met {cluster}")
    marks = [Mark(count + 1, count + 4, "PER"), Mark(2 * count + 9, 2 * count + 12, "PER")]
    found = convert(text, marks, "graphemes")
    assert [(mark.start, mark.end) for mark in found] == [(len(cluster) + 1, len(cluster) + 4), (start, start + 3)]
    assert [text[mark.start : mark.end] for mark in found] == ["Ada", "Bob"]


clusters = st.lists(st.sampled_from([*CLUSTERS.values(), "x", " ", "ß"]), min_size=1, max_size=12)


@given(clusters.map("".join))
def test_every_cluster_is_between_two_boundaries_and_none_is_cut(text):
    codepoint = to_codepoints(text, "graphemes")
    found = regex.findall(r"\X", text)
    assert [text[codepoint(n) : codepoint(n + 1)] for n in range(len(found))] == found
    assert [codepoint(len(found) + beyond) for beyond in range(3)] == [len(text) + beyond for beyond in range(3)]


@given(clusters, st.data())
def test_quotes_tell_when_clusters_are_counted(parts, data):
    text = "".join(parts)
    boundaries = [match.start() for match in regex.finditer(r"\X", text)] + [len(text)]
    start, end = sorted(data.draw(st.sets(st.integers(0, len(boundaries) - 1), min_size=2, max_size=2)))
    quote = text[boundaries[start] : boundaries[end]]
    for usual in ("codepoints", "utf16"):
        (mark,) = told(text, [Mark(start, end, "X", quote)], usual)
        assert mark.fits(text)
    asked = convert(text, [Mark(start, end, "X", quote)], "graphemes")
    assert asked == [Mark(boundaries[start], boundaries[end], "X", quote)]


def test_what_fits_in_several_ways_is_read_in_the_usual_one():
    text = "👍🏽 aaaaaa"
    assert told(text, [Mark(4, 5, "X", "a")], "codepoints") == [Mark(4, 5, "X", "a")]
    assert told(text, [Mark(5, 6, "X", "a")], "utf16") == [Mark(3, 4, "X", "a")]


def test_accents_alone_ask_for_nothing():
    """A project has to be told to count clusters, so texts without emoji are taken to be in code points."""
    assert told("e\u0301 Ada", [Mark(3, 6, "PER")], "codepoints") == [Mark(3, 6, "PER")]


def test_doccano_counts_clusters_if_set_so(tmp_path):
    path = tmp_path / "admin.jsonl"
    row = {"text": f"{FAMILY} Ada met 🇩🇪 Bob", "label": [[2, 5, "PER"], [12, 15, "PER"]]}
    path.write_text(json.dumps(row))
    (task,), _, _ = read(Doccano(str(path), ["PER"], offsets="graphemes"))
    assert [task.text[span.start : span.end] for span in task.spans] == ["Ada", "Bob"]
    (same,), intake, _ = read(Doccano(str(path), ["PER"]))
    assert same == task
    assert intake.notes == {"text whose offsets count graphemes, as its spans tell": 1}
    path.write_text(json.dumps({"text": "🦆東京に行く", "label": [[2, 4, "PER"]]}))
    assert read(Doccano(str(path), ["PER"]))[2][0].reason == AMBIGUOUS


# What boundaries inside words tell, where spans carry no text


def of_bytes(text, offset):
    return len(text[:offset].encode())


def of_browsers(text, offset):
    return units(text[:offset].replace("\r\n", "\n"), offset)


def of_lines(text, offset):
    return len(text[:offset].replace("\r\n", "\n"))


WORDS = ("Ada Lovelace", "Köln", "Grace")


def doccano_rows(counted, beginning, number=6):
    """Rows with the names in a text, counted by a function of the text and an offset in code points."""
    rows = []
    for row in range(number):
        text = f"{beginning}{row} Ada Lovelace left Köln\r\nbefore Grace came 👍🏽."
        spans = [(text.index(word), text.index(word) + len(word)) for word in WORDS]
        rows.append({"text": text, "label": [[counted(text, s), counted(text, e), "X"] for s, e in spans]})
    return rows


def doccano(tmp_path, rows, **settings):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf8")
    return Doccano(str(path), ["X"], **settings)


def covered(tasks):
    return {task.text[span.start : span.end] for task in tasks for span in task.spans}


@pytest.mark.parametrize(
    ("unit", "counted", "beginning"),
    [
        ("utf16", units, "Hi 😀 all "),
        ("utf16_crlf", of_browsers, "Hi 😀\r\nall\r\n"),
        ("codepoints_crlf", of_lines, "Monday\r\nand\r\nTuesday "),
        ("bytes", of_bytes, "Grüße über Flüsse "),
        ("graphemes", lambda text, offset: len(regex.findall(r"\X", text[:offset])), "Hi 👍🏽 re\u0301sume\u0301 "),
    ],
)
def test_boundaries_tell_the_unit_and_it_is_said(tmp_path, unit, counted, beginning):
    tasks, intake, skipped = read(doccano(tmp_path, doccano_rows(counted, beginning)))
    assert covered(tasks) == set(WORDS)
    assert intake.notes == {f"text whose offsets count {unit}, as its spans tell": 6}
    assert not skipped


def test_code_points_stay_code_points(tmp_path):
    for beginning in ("Hi 😀 all ", "Monday\r\nand\r\nTuesday ", "Grüße über Flüsse ", "e\u0301 "):
        tasks, intake, _ = read(doccano(tmp_path, doccano_rows(lambda _, offset: offset, beginning)))
        assert covered(tasks) == set(WORDS)
        assert not intake.notes


def test_a_source_whose_offsets_fit_in_no_unit_is_stopped_unless_they_are_set(tmp_path):
    text = "On Monday Ada Lovelace left Rome today"
    rows = [{"text": f"{number} {text}", "label": [[14, 26, "X"], [32, 36, "X"]]} for number in range(6)]
    with pytest.raises(UserError, match=r"rows.jsonl: 12 of 12 spans seem to be shifted, as 14 to 26 in .*:1; no"):
        read(doccano(tmp_path, rows))
    tasks, intake, _ = read(doccano(tmp_path, rows, offsets="codepoints"))
    assert covered(tasks) == {"a Lovelace l", "me t"}
    assert intake.notes["span that starts or ends inside a word"] == 12


def test_ends_that_are_inclusive_stop_the_source(tmp_path):
    text = "Monday Ada Lovelace left Köln for Grace"
    spans = [[text.index(word) + 2, text.index(word) + 2 + len(word) - 1, "X"] for word in WORDS]
    rows = [{"text": f"{number} {text}", "label": spans} for number in range(6)]
    said = "18 of 18 spans end one character before the end of a word, as 9 to 20 in"
    with pytest.raises(UserError, match=said):
        read(doccano(tmp_path, rows))
    tasks, _, _ = read(doccano(tmp_path, rows, offsets="codepoints"))
    assert covered(tasks) == {"Ada Lovelac", "Köl", "Grac"}
    with pytest.raises(UserError, match="ends must be exclusive"):
        read(prodigy(tmp_path, lambda text, offset: offset - (offset in ends_of(text))))


def ends_of(text):
    return {text.index(word) + len(word) for word in WORDS}


def test_a_mixed_source_is_read_document_by_document_where_the_documents_tell(tmp_path):
    one, two = (doccano_rows(counted, "Monday\r\nand\r\n") for counted in (of_lines, lambda _, offset: offset))
    tasks, intake, _ = read(doccano(tmp_path, one + two))
    assert covered(tasks) == set(WORDS)
    assert intake.notes == {"text whose offsets count codepoints_crlf, as its spans tell": 6}


@pytest.mark.parametrize(
    ("text", "name"),
    [("李明在北京大学学习。", "北京大学"), ("彼は東京に行く", "東京"), ("เขาไปกรุงเทพกับเพื่อน", "กรุงเทพ"),
     ("서울에서 만났다", "서울"),
     ("Helsingissä sataa", "Helsing"), ("w Krakowie", "Krakow"), ("10mg of it", "10"), ("Ada's hat", "Ada"),
     ("הוא גר בירושלים היום", "ירושלים"), ("ذهب والقاهرة جميلة", "القاهرة"), ("#NewYork", "NewYork")],
)  # fmt: skip
def test_names_that_end_inside_words_are_no_sign_of_shifted_offsets(tmp_path, text, name):
    start = text.index(name)
    rows = [{"text": f"{number}: {text}", "label": [[start + 3, start + 3 + len(name), "X"]]} for number in range(10)]
    tasks, _, skipped = read(doccano(tmp_path, rows))
    assert (covered(tasks), skipped) == ({name}, [])


# Quotes that only differ in what the mouse covered


@pytest.mark.parametrize(
    "quote", ["and Hotel Me", "Grand Hotel Meer", "d Hotel M", " Grand  Hotel\nMeer ", "Grand\\nHotel Me"]
)
def test_a_span_that_was_widened_to_whole_words_fits(quote):
    text = "the Grand Hotel Meer is"
    assert Mark(4, 20, "X", quote).fits(text)
    assert Mark(10, 15, "X", "ote").fits(text)


@pytest.mark.parametrize(
    ("start", "end", "quote"),
    [(4, 20, "and Hotel"), (4, 20, "Hotel Me"), (4, 20, "rand Hotels Me"), (5, 20, "nd Hotel Me"),
     (4, 15, "Grand Hotel M"),
     (4, 20, ""), (3, 19, "Grand Hotel Meer"), (10, 15, "Hotels"), (0, 99, "the")],
)  # fmt: skip
def test_any_other_quote_does_not(start, end, quote):
    assert not Mark(start, end, "X", quote).fits("the Grand Hotel Meer is")


# Prodigy counts code points; other programs write its tasks too


def prodigy(tmp_path, counted, beginning="Hi 😀 all ", number=6, **settings):
    rows = doccano_rows(counted, beginning, number)
    tasks = [{"text": row["text"], "_input_hash": 1, "spans": [spans(*one) for one in row["label"]]} for row in rows]
    path = tmp_path / "ner.jsonl"
    path.write_text("\n".join(map(json.dumps, tasks)), "utf8")
    return ProdigyJsonl(str(path), ["X"], **settings)


def spans(start, end, label):
    return {"start": start, "end": end, "label": label}


@pytest.mark.parametrize(
    ("unit", "counted", "beginning"),
    [("utf16", units, "Hi 😀😀 all "), ("codepoints_crlf", of_lines, "Monday\r\nand\r\n"),
     ("bytes", of_bytes, "Größe ß ")],
)  # fmt: skip
def test_tasks_with_shifted_offsets_are_stopped_and_the_unit_is_named(tmp_path, unit, counted, beginning):
    with pytest.raises(UserError, match=f"seem to be shifted, as .*; they fit if offsets count {unit}: set offsets"):
        read(prodigy(tmp_path, counted, beginning))
    tasks, intake, _ = read(prodigy(tmp_path, counted, beginning, offsets=unit))
    assert covered(tasks) == set(WORDS)
    assert INSIDE_WORD not in intake.notes
    tasks, intake, _ = read(prodigy(tmp_path, counted, beginning, offsets="codepoints"))
    assert intake.notes[INSIDE_WORD] >= 12


def test_spans_of_other_labels_do_not_hide_those_that_are_shifted(tmp_path):
    rows = doccano_rows(units, "Hi 😀😀 all ", 6)
    others = [spans(0, 2, "Y")] * 60
    tasks = [
        {"text": row["text"], "_input_hash": 1, "spans": [spans(*one) for one in row["label"]] + others} for row in rows
    ]
    path = tmp_path / "ner.jsonl"
    path.write_text("\n".join(map(json.dumps, tasks)), "utf8")
    with pytest.raises(UserError, match="of 18 spans seem to be shifted"):
        read(ProdigyJsonl(str(path), ["X"]))


def test_tasks_as_prodigy_writes_them_are_not_stopped(tmp_path):
    for beginning in ("Hi 😀😀 all ", "Monday\r\nand\r\n", "Größe ß "):
        tasks, intake, _ = read(prodigy(tmp_path, lambda _, offset: offset, beginning))
        assert covered(tasks) == set(WORDS)
        assert INSIDE_WORD not in intake.notes


def test_an_offset_inside_a_character_of_a_task_is_skipped(tmp_path):
    path = tmp_path / "ner.jsonl"
    path.write_text(json.dumps({"text": "🦆 Ada", "spans": [spans(1, 6, "X")]}))
    _, _, (skip,) = read(ProdigyJsonl(str(path), ["X"], offsets="utf16"))
    assert skip.reason == "span: offset inside a character of several units"


# brat counts code points, and quotes; other tools write its format too


@pytest.mark.parametrize(
    ("unit", "counted", "beginning"),
    [("utf16", units, "Hi 😀😀 all "), ("bytes", of_bytes, "Größe ß "), ("utf16_crlf", of_browsers, "😀\r\n\r\n"),
     ("graphemes", lambda text, offset: len(regex.findall(r"\X", text[:offset])), "👍🏽 re\u0301sume\u0301 "),
     ("codepoints", lambda _, offset: offset, "Hi 😀😀 all ")],
)  # fmt: skip
def test_quotes_of_brat_tell_the_unit(tmp_path, unit, counted, beginning):
    text = f"{beginning}Ada Lovelace left Köln for Grace"
    lines = []
    for number, word in enumerate(WORDS, 1):
        start = text.index(word)
        lines.append(f"T{number}\tX {counted(text, start)} {counted(text, start + len(word))}\t{word}\n")
    (tmp_path / "a.ann").write_text("".join(lines), "utf8")
    (tmp_path / "a.txt").write_bytes(text.encode())
    tasks, intake, skipped = read(Brat(str(tmp_path), ["X"]))
    assert (covered(tasks), skipped) == (set(WORDS), [])
    assert set(intake.notes) <= {f"text whose offsets count {unit}, as its spans tell"}
    assert bool(intake.notes) == (unit != "codepoints")


# In any language, no unit is taken that gives other spans than the annotated ones: it is found, or asked for

COUNTS = {
    "codepoints": lambda _, offset: offset,
    "utf16": units,
    "codepoints_crlf": of_lines,
    "utf16_crlf": of_browsers,
    "graphemes": lambda text, offset: len(regex.findall(r"\X", text[:offset])),
    "bytes": of_bytes,
}
LANGUAGES = {
    "mixed": (
        " ",
        [
            "the",
            "hotel",
            "Ada",
            "Lovelace",
            "left",
            "Köln",
            "near",
            "Größe",
            "of",
            "I",
            "résumé",
            "10",
            "2024",
            "Porto",
            "in",
            "x",
        ],
    ),
    "Hindi": (" ", ["नरेंद्र", "मोदी", "दिल्ली", "में", "है"]),
    "Arabic": (" ", ["محمد", "في", "القاهرة", "إلى"]),
    "Chinese": ("", list("李明在北京大学学习，他去了东京。")),
    "Thai": ("", ["กรุงเทพ", "เพื่อน", "ไป", "ที่"]),
}
ODD = {"emoji": ["😀", "👍🏽", FAMILY, "🇩🇪"], "line ends": ["\r\n"], "accents": ["e\u0301te\u0301"]}


def random_document(language, odd, random):
    """A text with odd characters in it, and some of its words as spans."""
    between, words = LANGUAGES[language]
    text, places = "", []
    for _ in range(random.randint(6, 25)):
        if random.random() < 0.2:
            text += random.choice(ODD[odd]) + between
            continue
        word = random.choice(words)
        if random.random() < 0.3:
            places.append((len(text), len(text) + len(word)))
        text += word + between
    return text, places


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("unit", COUNTS)
def test_the_unit_is_found_or_asked_for(language, odd, unit):
    random = Random(f"{language} {odd} {unit}")
    evidence = UnitEvidence()
    documents = []
    for _ in range(30):
        text, places = random_document(language, odd, random)
        marks = [Mark(COUNTS[unit](text, start), COUNTS[unit](text, end), "X") for start, end in places]
        documents.append((text, places, marks))
        evidence.add(text, marks)
    found = [
        (text, places, marks, unit_of(text, marks, evidence.units("codepoints"))) for text, places, marks in documents
    ]
    for text, places, marks, taken in found:
        assert taken is None or [mark[:2] for mark in convert(text, marks, taken)] == places
    if LANGUAGES[language][0]:
        assert all(taken for *_, taken in found)


# UIMA counts UTF-16; some programs that write its XMI count code points


@pytest.mark.parametrize(("less", "unit"), [(0, ""), (1, "codepoints")])
def test_xmi_counts_utf16_unless_several_spans_tell_otherwise(tmp_path, less, unit):
    from tests.test_cas_xmi import TYPES, xmi

    (tmp_path / "TypeSystem.xml").write_text(TYPES)
    for number in range(4):
        content = xmi((11 - less, 14 - less, "X"), (18 - less, 22 - less, "X"))
        (tmp_path / f"{number}.xmi").write_text(content.replace("Ada met", f"{number}da met"), "utf8")
    tasks, intake, _ = read(CasXmi(str(tmp_path), ["X"]))
    assert covered(tasks) == {"Bob", "Köln"}
    assert intake.notes == ({f"text whose offsets count {unit}, as its spans tell": 4} if unit else {})
    tasks, intake, _ = read(CasXmi(str(tmp_path), ["X"], offsets="utf16"))
    assert bool(intake.notes[INSIDE_WORD]) == bool(less)
