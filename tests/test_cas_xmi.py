"""INCEpTION's and WebAnno's CAS XMI."""

from __future__ import annotations

import io
import sys
import zipfile

import pytest

from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.sources.cas_xmi import NAMED_ENTITY, CasXmi
from scripts.sources.importing import find_datasets
from tests.prodigy import read

cassis = pytest.importorskip("cassis", reason="pip install -r requirements-inception.txt")

TEXT = "Ada met 🦆 Bob\nin Köln."
# Written by hand, in the form of INCEpTION's exports; offsets in UTF-16 units.
XMI = """<?xml version="1.0" encoding="UTF-8"?>
<xmi:XMI xmlns:xmi="http://www.omg.org/XMI" xmlns:cas="http:///uima/cas.ecore"
    xmlns:type="http:///de/tudarmstadt/ukp/dkpro/core/api/ner/type.ecore" xmi:version="2.0">
  <cas:NULL xmi:id="0"/>
  {spans}
  <cas:Sofa xmi:id="1" sofaNum="1" sofaID="_InitialView" mimeType="text"
      sofaString="Ada met 🦆 Bob&#10;in Köln."/>
  <cas:View sofa="1" members="{members}"/>
</xmi:XMI>
"""
TYPES = f"""<?xml version="1.0" encoding="UTF-8"?>
<typeSystemDescription xmlns="http://uima.apache.org/resourceSpecifier"><types>
  <typeDescription><name>{NAMED_ENTITY}</name><supertypeName>uima.tcas.Annotation</supertypeName><features>
    <featureDescription><name>value</name><rangeTypeName>uima.cas.String</rangeTypeName></featureDescription>
    <featureDescription><name>identifier</name><rangeTypeName>uima.cas.String</rangeTypeName></featureDescription>
  </features></typeDescription>
</types></typeSystemDescription>
"""
ADA, BOB, KOELN = (0, 3, "PER"), (11, 14, "PER"), (18, 22, "LOC")


def xmi(*spans):
    """By hand. spans: (begin, end, value) in UTF-16 units."""
    lines = [
        f'<type:NamedEntity xmi:id="{number}" sofa="1" begin="{start}" end="{end}"'
        + (f' value="{value}"/>' if value is not None else "/>")
        for number, (start, end, value) in enumerate(spans, 10)
    ]
    return XMI.format(spans="\n".join(lines), members=" ".join(str(number) for number in range(10, 10 + len(spans))))


def made(text, spans, layer=NAMED_ENTITY):
    """An XMI and its types, by cassis. spans: in code points."""
    types = cassis.TypeSystem()
    kind = types.create_type(name=layer, supertypeName="uima.tcas.Annotation")
    types.create_feature(kind, name="value", rangeType="uima.cas.String")
    cas = cassis.Cas(typesystem=types)
    cas.sofa_string, cas.sofa_mime = text, "text/plain"
    cas.add_all([kind(begin=start, end=end, value=value) for start, end, value in spans])
    return cas.to_xmi(), types.to_xml()


def zipped(files):
    """The bytes of a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def both(user, *spans):
    return zipped({f"{user}.xmi": xmi(*spans), "TypeSystem.xml": TYPES})


@pytest.fixture
def stored(tmp_path):
    """A function that writes an XMI with its types, and gives a source that reads it."""

    def write(content, types=TYPES, labels=("PER",), name="letter.xmi", **settings):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        if types is not None:
            (tmp_path / "TypeSystem.xml").write_bytes(types if isinstance(types, bytes) else types.encode())
        return CasXmi(str(tmp_path / name), list(labels), **settings)

    return write


def test_named_entities_are_spans_counted_in_utf16(stored):
    source = stored(xmi(ADA, BOB, KOELN))
    (task,), intake, _ = read(source)
    assert (task.text, task.spans) == (TEXT, [Span(0, 3, "PER"), Span(10, 13, "PER")])
    assert (task.source, task.annotator, task.meta) == ("letter.xmi:1", "", {"document": "letter"})
    assert intake.spans == {"read": 3, "kept": 2, "other_labels": 1}
    assert source.labels_found() == {"PER": 2, "LOC": 1}
    assert source.recognizes()


def test_what_cassis_writes(stored):
    text = "👨\u200d👩\u200d👧 é\u0301 🇩🇪\r\nAda & <Bob>"
    start = text.index("Ada")
    content, types = made(text, [(start, start + 3, "PER"), (start + 7, start + 10, "PER")], "webanno.custom.Who")
    (task,), _, _ = read(stored(content, types, layer="webanno.custom.Who"))
    assert task.text == text
    assert [text[span.start : span.end] for span in task.spans] == ["Ada", "Bob"]


def test_another_feature_and_types_that_derive(stored):
    types = TYPES.replace(
        "</types>",
        f"<typeDescription><name>{NAMED_ENTITY[:-11]}Person</name><supertypeName>{NAMED_ENTITY}</supertypeName>"
        "</typeDescription></types>",
    )
    content = xmi(ADA, BOB).replace("type:NamedEntity", "type:Person", 1)
    assert len(read(stored(content, types))[0][0].spans) == 2
    assert len(read(stored(content, types, layer=f"{NAMED_ENTITY[:-11]}Person"))[0][0].spans) == 1
    (task,), _, _ = read(stored(xmi(ADA).replace("value=", "identifier="), labels=["PER"], feature="identifier"))
    assert task.spans == [Span(0, 3, "PER")]


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        ((20, 99, "PER"), "offsets outside the text"),
        ((3, 3, "PER"), "offsets negative, reversed or empty"),
        ((-2, 3, "PER"), "offsets negative, reversed or empty"),
        ((9, 14, "PER"), "offset inside a character of several units"),
        ((3, 4, "PER"), "span of whitespace only"),
        ((4, 7, None), "span without a label"),
        (ADA, "span repeated in the same text"),
    ],
)
def test_an_impossible_span_alone_is_skipped(stored, span, reason):
    (task,), intake, (skip,) = read(stored(xmi(ADA, span)))
    assert (skip.place, skip.reason, skip.what) == ("letter.xmi:1", reason, "span")
    assert intake.spans == {"read": 2, "kept": 1, "skipped": 1}
    assert task.spans == [Span(0, 3, "PER")]


DOCTYPE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n<xmi:XMI'


@pytest.mark.parametrize(
    ("content", "types", "reason"),
    [
        (xmi(ADA).replace("<xmi:XMI", DOCTYPE, 1), TYPES, ".xmi has a DOCTYPE, which is not safe to read"),
        (xmi(ADA), f"<!DOCTYPE x>{TYPES[38:]}", "TypeSystem.xml has a DOCTYPE, which is not safe to read"),
        (xmi(ADA).encode("utf-16"), TYPES, ".xmi is not UTF-8"),
        (xmi(ADA).encode("utf-16-le"), TYPES, ".xmi is not UTF-8"),
        (xmi(ADA).replace("UTF-8", "UTF-7"), TYPES, ".xmi is not UTF-8"),
        (xmi(ADA)[:-20], TYPES, "damaged XML, or a text of more than 10 MB"),
        ("", TYPES, "damaged XML, or a text of more than 10 MB"),
        (xmi(ADA), TYPES[:-30], "damaged XML, or a text of more than 10 MB"),
        (xmi(ADA).replace("type:NamedEntity", "type:Other"), TYPES, "a type in it is not in its TypeSystem.xml"),
        (xmi(ADA).replace('begin="0"', 'begin="x"'), TYPES, "no CAS that can be read (ValueError)"),
        (xmi(ADA).replace('members="10"', 'members="99"'), TYPES, "no CAS that can be read (KeyError)"),
        (xmi(), TYPES.replace(NAMED_ENTITY, "x.Y"), f"no type {NAMED_ENTITY} in its TypeSystem.xml: set layer"),
        (xmi(), TYPES.replace("tcas.Annotation", "cas.TOP"), f"{NAMED_ENTITY} is no layer of spans: set layer"),
        (xmi(), TYPES.replace("<name>value<", "<name>x<"), f"{NAMED_ENTITY} has no feature value: set feature"),
        (xmi().replace("sofaString=", "sofaURI="), TYPES, "no text in it"),
        (xmi(ADA), None, "no TypeSystem.xml beside it"),
    ],
)
def test_a_file_that_cannot_be_used_is_skipped_and_the_rest_is_read(stored, content, types, reason):
    tasks, intake, (skip,) = read(stored(content, types))
    assert (tasks, skip.place, skip.reason) == ([], "letter.xmi:1", reason)
    assert intake.records == {"read": 1, "skipped": 1}


def test_the_export_of_a_project_says_who_annotated(tmp_path):
    project = zipped(
        {
            "exportedproject123.json": "{}",
            "annotation/a.txt/webanno1export.zip": both("ada", ADA),
            "annotation/a.txt/bob.xmi": xmi(BOB),
            "annotation/a.txt/TypeSystem.xml": TYPES,
            "annotation/a.txt/INITIAL_CAS.zip": both("INITIAL_CAS"),
            "curation/a.txt/CURATION_USER.zip": both("CURATION_USER", ADA, BOB),
            "source/a.txt": TEXT,
        }
    )
    (tmp_path / "project.zip").write_bytes(project)
    tasks, intake, _ = read(CasXmi(str(tmp_path / "project.zip"), ["PER"], annotator="me"))
    assert [(task.annotator, len(task.spans)) for task in tasks] == [("bob", 1), ("ada", 1), ("CURATION_USER", 2)]
    assert tasks[1].source == "project.zip/annotation/a.txt/webanno1export.zip/ada.xmi:1"
    assert intake.records == {"read": 4, "kept": 3, "answers": 3, "no_answer": 1}
    with zipfile.ZipFile(tmp_path / "project.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    again, _, _ = read(CasXmi(str(tmp_path / "unpacked"), ["PER"], annotator="me"))
    assert [(task.annotator, task.spans) for task in again] == [(task.annotator, task.spans) for task in tasks]


def test_elsewhere_nobody_is_made_up(stored, tmp_path):
    (tmp_path / "ada.zip").write_bytes(both("ada", ADA))
    assert read(CasXmi(str(tmp_path / "ada.zip"), ["PER"]))[0][0].annotator == ""
    assert read(stored(xmi(ADA), name="bob.xmi", annotator="me"))[0][0].annotator == "me"


def test_types_may_be_in_a_folder_above_but_not_outside(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a.xmi").write_text(xmi(ADA), "utf8")
    (tmp_path / "TypeSystem.xml").write_text(TYPES)
    assert len(read(CasXmi(str(tmp_path), ["PER"]))[0]) == 1
    assert read(CasXmi(str(tmp_path / "in"), ["PER"]))[2][0].reason == "no TypeSystem.xml beside it"


def test_what_changes_the_types_changes_the_fingerprint(stored, tmp_path):
    source = stored(xmi(ADA))
    before = source.fingerprint()
    (tmp_path / "TypeSystem.xml").write_text(TYPES + "\n")
    assert source.fingerprint() != before


def test_damaged_zips_and_too_large_files_are_refused(tmp_path, monkeypatch):
    good = both("ada", ADA)
    (tmp_path / "a.zip").write_bytes(good)
    (tmp_path / "b.zip").write_bytes(good[:-40])
    (tmp_path / "c.zip").write_bytes(good.replace(b"Ada met", b"Eve met"))
    tasks, _, skipped = read(CasXmi(str(tmp_path), ["PER"]))
    assert [skip.reason for skip in skipped] == ["damaged zip"] * 2
    assert len(tasks) == 1
    monkeypatch.setattr("scripts.sources.cas_xmi.MAX_BYTES", 100)
    assert read(CasXmi(str(tmp_path / "a.zip"), ["PER"]))[2][0].reason == "larger than 0 MiB"


def test_import_recognizes_it(stored, tmp_path):
    stored(xmi(ADA, KOELN))
    (tmp_path / "b.zip").write_bytes(both("ada", BOB))
    for path in (tmp_path, tmp_path / "letter.xmi", tmp_path / "b.zip"):
        (part,) = find_datasets("", str(path), {})
        assert part.reader == "labelwise.CasXmi.v1"
    (part,) = find_datasets("", str(tmp_path), {})
    assert part.spans == {"PER": 2, "LOC": 1}


def test_without_cassis_it_says_what_to_install(stored, monkeypatch):
    source = stored(xmi(ADA))
    monkeypatch.setitem(sys.modules, "cassis", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-inception\.txt"):
        read(source)
