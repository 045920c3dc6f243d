"""Whatever stands in a file of any format: it ends in one line, or everything is accounted for and sound."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path
from xml.sax.saxutils import quoteattr

import msgspec
import pytest
import spacy
from hypothesis import assume, event, given
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span

from scripts.core.answers import Task
from scripts.core.errors import UserError
from scripts.sources.cas_xmi import CasXmi
from scripts.sources.conll import Conll
from scripts.sources.docbin import DocBinFiles
from scripts.sources.doccano import Doccano
from scripts.sources.hugging_face import HuggingFace
from scripts.sources.json_records import json_records
from scripts.sources.label_studio import LabelStudio
from tests.prodigy import read
from tests.test_hostile import dumped, jsons, numbers, offsets, scalars, texts

LABELS = ["PERSON", "ORG", "Ö D"]
labels = st.sampled_from([*LABELS, "", "OTHER"])
lists = st.lists


LONG = st.sampled_from(["Ada met 🦆 Bob in Köln .", "a 🦆\u00a0b \n c", "Ada met Bob."])
inside = st.integers(0, 12)


def of_its_type(of):
    return of


def anything(of):
    return of | of | of | jsons


def objects(maybe, required, **optional):
    """Objects whose fields are what they should be, or, as `maybe` has it, anything."""
    of = [{key: maybe(of) for key, of in fields.items()} for fields in (required, optional)]
    return st.fixed_dictionaries(of[0], optional=of[1])


def doccano_rows(maybe, text, offset):
    """Rows with the fields of all versions."""
    pairs = st.tuples(offset, offset, labels).map(list)
    of = {"start_offset": offset, "end_offset": offset, "label": labels}
    spans = lists(maybe(pairs | objects(maybe, of, user=scalars, id=numbers)), max_size=5) | st.none()
    fields = dict.fromkeys(("labels", "entities", "annotations"), spans)
    fields |= dict.fromkeys(("user", "username", "annotation_approver", "cats", "background_color"), scalars)
    return objects(maybe, {"text": text}, label=spans) | objects(
        maybe, {"label": spans}, text=text, data=text, meta=jsons, id=scalars, **fields
    )


def label_studio_tasks(maybe, text, offset):
    """Tasks of both formats and of all versions."""
    value = {"start": offset, "end": offset, "labels": lists(labels, max_size=3)}
    region = objects(maybe, value, text=text)
    types = st.sampled_from(["labels", "labels", "labels", "relation", "hypertextlabels", ""])
    names = st.sampled_from(["text", "other", ""])
    results = lists(objects(maybe, {"value": region, "type": types}, id=scalars, to_name=maybe(names)), max_size=4)
    about = dict.fromkeys(("completed_by", "created_at", "updated_at"), scalars)
    flags = dict.fromkeys(("was_cancelled", "skipped", "ground_truth", "honeypot"), st.booleans())
    flags["reviews"] = maybe(lists(objects(maybe, {"accepted": st.booleans()}, created_at=scalars), max_size=2))
    found = lists(objects(maybe, {"result": results}, **about, **flags), max_size=3)
    data = objects(maybe, {"text": text}, other=text | scalars)
    return (
        objects(maybe, {"data": data, "annotations": found}, id=scalars, predictions=lists(jsons, max_size=2))
        | objects(maybe, {"data": data}, completions=found)
        | objects(maybe, {"text": text, "label": lists(region, max_size=4)}, annotator=scalars, updated_at=scalars)
    )


def sound(task):
    assert task.text.strip()
    assert set(task.labels) <= set(LABELS)
    assert task.spans == sorted(set(task.spans))
    for span in task.spans:
        covered = task.text[span.start : span.end]
        assert 0 <= span.start < span.end <= len(task.text)
        assert covered == covered.strip() != ""
        assert span.label in task.labels
    assert msgspec.json.decode(msgspec.json.encode(task), type=Task) == task


def judge(source):
    """Read a source: nothing raises, the account settles, and what comes out is sound; the account."""
    found, intake, skipped = read(source)
    assert all("\n" not in skip.reason and len(skip.reason) < 200 for skip in skipped)
    msgspec.json.encode(skipped)
    for task in found:
        event(f"{task.kind}, {task.answer}, {min(2, len(task.spans))} spans or more")
        sound(task)
    assert source.labels_found().total() <= intake.spans["read"]  # a span without a label has none
    source.recognizes()
    return intake


ROWS = (doccano_rows(of_its_type, LONG, inside), doccano_rows(anything, texts, offsets))
TASKS = (label_studio_tasks(of_its_type, LONG, inside), label_studio_tasks(anything, texts, offsets))


UNITS = st.sampled_from(["auto", "utf16", "codepoints", "graphemes"])


@pytest.mark.parametrize("as_array", [False, True])
@given(lists(ROWS[0] | ROWS[1] | jsons, max_size=5), st.booleans(), UNITS)
def test_doccano_rows_of_anything(as_array, rows, ascii_only, offsets):
    judge_json(Doccano, as_array, rows, ascii_only, offsets=offsets)


@pytest.mark.parametrize("as_array", [False, True])
@given(lists(TASKS[0] | TASKS[1] | jsons, max_size=4), st.booleans(), UNITS)
def test_label_studio_tasks_of_anything(as_array, rows, ascii_only, offsets):
    judge_json(LabelStudio, as_array, rows, ascii_only, offsets=offsets)


def judge_json(reader, as_array, rows, ascii_only, **settings):
    lines = [dumped(row, ascii_only) for row in rows]
    content = b"[" + b",\n".join(lines) + b"]" if as_array else b"\n".join(lines)
    assume(as_array or not content.lstrip().startswith(b"["))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "export.json")
        path.write_bytes(content)
        try:
            intake = judge(reader(str(path), LABELS, **settings))
        except UserError as err:
            assert "set offsets" in str(err)
            return
    assert intake.records["read"] == len(rows)


@pytest.mark.parametrize("reader", [Doccano, LabelStudio])
@given(st.binary(max_size=80) | lists(jsons, max_size=3).map(lambda rows: dumped(rows, True)), st.data())
def test_json_cut_anywhere_is_one_line_or_is_accounted_for(reader, content, data):
    cut = data.draw(st.integers(0, len(content)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "export.json")
        path.write_bytes(content[:cut])
        try:
            judge(reader(str(path), LABELS))
        except UserError as err:
            assert "\n" not in str(err)


@given(lists(jsons, max_size=6), st.sampled_from([None, 2]), st.sampled_from([1, 2, 7, 1000]))
def test_the_elements_of_an_array_whatever_they_are_and_however_they_are_read(rows, indent, buffer):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("scripts.sources.json_records.BUFFER", buffer)
        path = Path(folder, "export.json")
        path.write_text(json.dumps(rows, indent=indent), encoding="utf8")
        found = [json.loads(element) for _, element in json_records(str(path))]
    assert json.dumps(found) == json.dumps(rows)


@given(lists(st.dictionaries(texts, jsons, max_size=3), min_size=1, max_size=4), st.sampled_from([1, 2, 7, 1000]))
def test_objects_with_a_line_for_each_key(rows, buffer):
    rows = [{"first": 1} | row for row in rows]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("scripts.sources.json_records.BUFFER", buffer)
        path = Path(folder, "export.json")
        path.write_text("\n".join(json.dumps(row, indent=2) for row in rows), encoding="utf8")
        found = [json.loads(record) for _, record in json_records(str(path))]
    assert json.dumps(found) == json.dumps(rows)


known = ["O", "B-PERSON", "I-PERSON", "L-PERSON", "U-ORG", "B-ORG", "S-OTHER", "ORG", "", "B-", "-"]
tags = st.sampled_from(known) | texts
pairs = st.builds("{}{}{}".format, texts, st.sampled_from([" ", "\t", "  ", ""]), tags)
conll_lines = (
    pairs
    | st.builds("Ada\t{}".format, st.sampled_from(known))
    | st.sampled_from(["", "\t", "-DOCSTART- O", "-DOCSTART-", "# x", "# O"])
)


@given(
    lists(conll_lines, max_size=8).map("\n".join).map(lambda lines: lines.encode("utf8", "surrogatepass"))
    | st.binary(max_size=60),
    st.sampled_from(["auto", "iob1", "iob2", "biluo", "io"]),
    st.sampled_from(["sentence", "document"]),
    st.sampled_from([(1, -1), (2, 1), (1, 1), (-1, -2)]),
)
def test_conll_files_of_anything(content, scheme, text, columns):
    assume(not content.startswith((b"\x1f\x8b", b"\xff\xfe", b"\xfe\xff")))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.conll")
        path.write_bytes(content)
        judge(Conll(str(path), LABELS, token=columns[0], tag=columns[1], scheme=scheme, text=text))


VOCAB = spacy.blank("en").vocab


@st.composite
def docs(draw):
    """Docs with tokens and spans of any kind."""
    words = draw(lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4), max_size=6))
    doc = Doc(VOCAB, words=words, spaces=[draw(st.booleans()) for _ in words])
    boundaries = lists(st.integers(0, len(words)), min_size=2, max_size=2, unique=True).map(sorted)
    found = [Span(doc, *draw(boundaries), draw(labels)) for _ in range(draw(st.integers(0, 3)))] if words else []
    with suppress(ValueError):  # overlapping, or nothing but blanks
        doc.set_ents(spacy.util.filter_spans(found), default=draw(st.sampled_from(["outside", "missing"])))
    for key in draw(st.sets(st.sampled_from(["sc", "incorrect_spans", "covered"]))):
        doc.spans[key] = found
    return doc


@given(lists(docs(), max_size=3), st.sampled_from(["", "sc"]), st.sampled_from(["annotated", "unannotated"]))
def test_docs_of_any_kind(found, key, without_spans):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.spacy")
        DocBin(docs=found).to_disk(path)
        assert judge(DocBinFiles(str(path), LABELS, spans_key=key, without_spans=without_spans)).records["read"] == len(
            found
        )


@given(st.binary(max_size=200), st.data())
def test_bytes_that_are_no_docbin(content, data):
    whole = DocBin(docs=[Doc(VOCAB, words=["Ada"])]).to_bytes()
    start = data.draw(st.integers(0, len(whole)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.spacy")
        path.write_bytes(data.draw(st.sampled_from([content, whole[:start], whole[:start] + content + whole[start:]])))
        with suppress(UserError):
            judge(DocBinFiles(str(path), LABELS))


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
rows = st.tuples(
    lists(words | st.none(), max_size=4) | st.none(), lists(st.integers(-2, 9) | st.none(), max_size=4) | st.none()
)


@given(lists(rows, min_size=1, max_size=4), lists(tags, max_size=6))
def test_rows_of_anything(found, names):
    arrow = pytest.importorskip("pyarrow", reason="pip install -r requirements-arrow.txt")
    from pyarrow import parquet

    of = {"tokens": arrow.list_(arrow.string()), "ner_tags": arrow.list_(arrow.int64())}
    columns = {name: arrow.array([row[n] for row in found], kind) for n, (name, kind) in enumerate(of.items())}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "data.parquet")
        parquet.write_table(arrow.table(columns), path)
        assert judge(HuggingFace(str(path), LABELS, names=names)).records["read"] == len(found)


attributes = st.one_of(inside.map(str), offsets.map(str), labels, st.sampled_from(["", "x", "1", "99", "9" * 30]))
xml_names = st.sampled_from(["begin", "end", "value", "sofa", "xmi:id", "identifier", "self", "odd"])
# In cassis' own order of things, and with anything in its place.
elements = st.builds(
    lambda kind, given, inner: (
        f"<{kind} {' '.join(f'{name}={quoteattr(value)}' for name, value in given.items())}>{inner}</{kind}>"
    ),
    st.sampled_from(["type:NamedEntity"] * 4 + ["type:Other", "cas:Sofa", "cas:View", "NamedEntity", "cas:FSArray"]),
    st.dictionaries(xml_names, attributes, max_size=5),
    st.sampled_from(["", "", "<value>x</value>", "<a><b/></a>", "text", "<!-- -->"]),
)


@given(
    lists(st.tuples(inside | offsets, inside | offsets, st.sampled_from([*LABELS, "OTHER", "", None])), max_size=4)
    | lists(st.tuples(st.integers(0, 3), st.integers(4, 23), st.sampled_from(LABELS)), max_size=4),
    st.just([]) | lists(elements, max_size=2),
    st.data(),
)
def test_xmi_of_anything(spans, odd, data):
    pytest.importorskip("cassis", reason="pip install -r requirements-dev.txt")
    from tests.test_cas_xmi import TYPES, xmi

    content = xmi(*spans).replace("<cas:Sofa", "".join(odd) + "<cas:Sofa", 1).encode("utf8", "surrogatepass")
    types = TYPES.encode()
    if data.draw(st.sampled_from([False, False, True])):
        at = data.draw(st.integers(0, len(content)))
        content = content[:at] + data.draw(st.binary(max_size=3)) + content[at + data.draw(st.integers(0, 9)) :]
    if data.draw(st.sampled_from([False, False, True])):
        at = data.draw(st.integers(0, len(types)))
        types = types[:at] + types[at + data.draw(st.integers(0, 40)) :]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "TypeSystem.xml").write_bytes(types)
        Path(folder, "a.xmi").write_bytes(content)
        assert judge(CasXmi(folder, LABELS)).records["read"] == 1


@given(st.binary(max_size=60), st.data())
def test_zips_of_anything(odd, data):
    pytest.importorskip("cassis", reason="pip install -r requirements-dev.txt")
    from tests.test_cas_xmi import ADA, both, zipped

    content = zipped({"annotation/a/x.zip": both("ada", ADA), "annotation/a/y.zip": odd, "b.xmi": odd})
    at = data.draw(st.integers(0, len(content)))
    cut = data.draw(st.integers(0, 20))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "project.zip")
        path.write_bytes(content[:at] + odd[: data.draw(st.integers(0, 9))] + content[at + cut :])
        judge(CasXmi(str(path), LABELS))
