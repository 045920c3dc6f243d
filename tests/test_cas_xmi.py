"""INCEpTION's and WebAnno's CAS XMI."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.merging.merge import Resources, merge
from scripts.merging.pull import pull
from scripts.sources import cas
from scripts.sources.cas import NAMED_ENTITY, ParsedFiles, parse_cas
from scripts.sources.cas_xmi import CasXmi
from scripts.sources.documents import Unusable
from scripts.sources.importing import find_datasets
from scripts.sources.limits import record_limit
from tests.prodigy import read

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
    cassis = pytest.importorskip("cassis", reason="pip install -r requirements-dev.txt")
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
        (("x", 7, "PER"), "span without offsets"),
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
        (xmi(ADA)[:-20], TYPES, ".xmi is damaged XML"),
        ("", TYPES, ".xmi is damaged XML"),
        (xmi(ADA), TYPES[:-30], "TypeSystem.xml is damaged XML"),
        (xmi(ADA).replace('members="10"', 'members="99"'), TYPES, "annotations of it are missing"),
        ("<html/>", TYPES, "no text in it"),
        (xmi(), TYPES.replace(NAMED_ENTITY, "x.Y"), f"no type {NAMED_ENTITY} in its TypeSystem.xml: set layer"),
        (xmi(), TYPES.replace("tcas.Annotation", "cas.TOP"), f"{NAMED_ENTITY} is no layer of spans: set layer"),
        (xmi(), TYPES.replace("<name>value<", "<name>x<"), f"{NAMED_ENTITY} has no feature value: set feature"),
        (xmi().replace("sofaString=", "sofaURI="), TYPES, "no text in it"),
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
    assert [task.kind for task in tasks] == ["manual", "manual", "review"]
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
    assert not read(CasXmi(str(tmp_path), ["PER"]))[1].notes
    missing = "no TypeSystem.xml beside an .xmi: types that derive from the layer are not known"
    assert read(CasXmi(str(tmp_path / "in"), ["PER"]))[1].notes == {missing: 1}


def test_what_changes_the_types_changes_the_fingerprint(stored, tmp_path):
    source = stored(xmi(ADA))
    before = source.digest()
    (tmp_path / "TypeSystem.xml").write_text(TYPES + "\n")
    assert source.digest() != before


def test_damaged_zips_and_too_large_files_are_refused(tmp_path):
    good = both("ada", ADA)
    (tmp_path / "a.zip").write_bytes(good)
    (tmp_path / "b.zip").write_bytes(good[:-40])
    (tmp_path / "c.zip").write_bytes(good.replace(b"Ada met", b"Eve met"))
    tasks, _, skipped = read(CasXmi(str(tmp_path), ["PER"]))
    assert [skip.reason for skip in skipped] == ["damaged zip"] * 2
    assert len(tasks) == 1
    with record_limit(0):
        (skipped,) = read(CasXmi(str(tmp_path / "a.zip"), ["PER"]))[2]
    assert skipped.reason == "larger than 0 MiB, see [pull] max_record_mb"


def test_import_recognizes_it(stored, tmp_path):
    stored(xmi(ADA, KOELN))
    (tmp_path / "b.zip").write_bytes(both("ada", BOB))
    for path in (tmp_path, tmp_path / "letter.xmi", tmp_path / "b.zip"):
        (part,) = find_datasets("", str(path), {})
        assert part.reader == "labelwise.CasXmi.v1"
    (part,) = find_datasets("", str(tmp_path), {})
    assert part.spans == {"PER": 2, "LOC": 1}


# Who answered, who decides, and what is no answer


def project(tmp_path, files, **states):
    """The export of a project. files: by user and document; states: of documents by user, "curation" for the others."""
    described = [
        {"name": name, "user": user, "state": state, "updated": 1_700_000_000_123}
        for user, named in states.items()
        for name, state in named.items()
    ]
    sources = [one for one in described if one["user"] == "curation"]
    content = {
        "exportedproject_2024.json": json.dumps({"source_documents": sources, "annotation_documents": described})
    }
    for (user, document), spans in files.items():
        folder = "curation" if user == "CURATION_USER" else "annotation"
        content[f"{folder}/{document}/{user}.zip"] = both(user, *spans)
    (tmp_path / "project.zip").write_bytes(zipped(content))
    return str(tmp_path / "project.zip")


def test_a_curated_document_decides(tmp_path):
    files = {("ada", "a.txt"): [ADA], ("bob", "a.txt"): [ADA, BOB], ("CURATION_USER", "a.txt"): [BOB]}
    tasks, _, _ = read(CasXmi(project(tmp_path, files, curation={"a.txt": "CURATION_FINISHED"}), ["PER"]))
    assert {task.annotator: (task.kind, task.versions) for task in tasks} == {
        "ada": ("manual", []), "bob": ("manual", []), "CURATION_USER": ("review", [])
    }  # fmt: skip


def test_the_gold_is_what_the_curator_says(tmp_path):
    """Both annotators took Bob for a person; the curator has the place, and a document that only one annotated."""
    files = {
        ("ada", "a.txt"): [BOB], ("bob", "a.txt"): [BOB], ("CURATION_USER", "a.txt"): [ADA, KOELN],
    }  # fmt: skip
    path = project(tmp_path, files, curation={"a.txt": "CURATION_FINISHED"}, ada={"a.txt": "FINISHED"})
    sources = {label.lower(): CasXmi(path, [label]) for label in ("PER", "LOC")}
    manifest, _ = pull(sources, tmp_path / "annotations", 0.2, 1)
    merge(manifest, tmp_path / "annotations", tmp_path / "corpus", "majority", Resources(512, 1))
    (text,) = map(json.loads, (tmp_path / "corpus" / "gold.jsonl").read_text("utf8").splitlines())
    assert [(span["start"], span["end"], span["label"]) for span in text["spans"]] == [(0, 3, "PER"), (17, 21, "LOC")]
    assert (text["covered"], text["unresolved"]) == (["LOC", "PER"], [])
    lines = (tmp_path / "corpus" / "conflicts.jsonl").read_text("utf8").splitlines()
    assert {conflict["kind"] for conflict in map(json.loads, lines)} == {"replacement"}


@pytest.mark.parametrize(
    ("user", "states", "note"),
    [
        ("ada", {"ada": {"a.txt": "IN_PROGRESS"}}, "document that its annotator has not finished"),
        ("ada", {"ada": {"a.txt": "NEW"}}, "document that its annotator has not finished"),
        ("ada", {"ada": {"a.txt": "IGNORE"}}, "document that is locked for its annotator"),
        ("ada7301", {"ada": {"a.txt": "IGNORE"}, "ada73": {"a.txt": "FINISHED"}}, ""),
        ("INITIAL_CAS", {}, "document as it was uploaded (INITIAL_CAS)"),
        (
            "CURATION_USER",
            {"curation": {"a.txt": "CURATION_IN_PROGRESS"}},
            "document that its curation has not finished",
        ),
        ("CURATION_USER", {"curation": {"a.txt": "CURATION_FINISHED"}}, ""),
        ("ada", {"ada": {"a.txt": "FINISHED", "b.txt": "IN_PROGRESS"}}, ""),
        ("ada", {"bob": {"a.txt": "IN_PROGRESS"}}, ""),
        ("ada", {}, ""),
    ],
)
def test_what_nobody_has_finished_is_no_answer(tmp_path, user, states, note):
    path = project(tmp_path, {(user, "a.txt"): [ADA, BOB]}, **states)
    tasks, intake, _ = read(CasXmi(path, ["PER"]))
    assert len(tasks) == (not note)
    assert (intake.records["no_answer"], intake.spans["no_answer"]) == ((1, 2) if note else (0, 0))
    assert all(found.startswith(note) for found in intake.notes)


def test_unfinished_documents_can_be_taken(tmp_path):
    files = {("ada", "a.txt"): [ADA, BOB], ("ada", "b.txt"): [], ("bob", "a.txt"): [ADA]}
    states = {"ada": {"a.txt": "IN_PROGRESS", "b.txt": "IN_PROGRESS"}, "bob": {"a.txt": "IGNORE"}}
    path = project(tmp_path, files, **states)
    tasks, intake, _ = read(CasXmi(path, ["PER"], unfinished="spans"))
    assert [(task.kind, task.labels, len(task.spans)) for task in tasks] == [("binary", ["PER"], 1)] * 2
    assert intake.records["no_answer"] == 2
    tasks, _, _ = read(CasXmi(path, ["PER"], unfinished="complete"))
    assert [(task.kind, len(task.spans)) for task in tasks] == [("manual", 2), ("manual", 0)]


def test_the_project_says_when_a_document_was_annotated(tmp_path):
    path = project(tmp_path, {("ada", "a.txt"): [ADA]}, ada={"a.txt": "FINISHED"})
    (task,), _, _ = read(CasXmi(path, ["PER"]))
    assert (task.annotator, task.timestamp) == ("ada", 1_700_000_000)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked")
    source = CasXmi(str(tmp_path / "unpacked"), ["PER"])
    assert [(task.annotator, task.timestamp) for task in read(source)[0]] == [("ada", None)]
    for zipped_file in (tmp_path / "unpacked").rglob("*.zip"):
        with zipfile.ZipFile(zipped_file) as archive:
            archive.extractall(zipped_file.with_suffix(""))
        zipped_file.unlink()
    assert [(task.annotator, task.timestamp) for task in read(source)[0]] == [("ada", 1_700_000_000)]
    before = source.digest()
    (tmp_path / "unpacked" / "exportedproject_2024.json").write_text("{}")
    assert source.digest() != before


def test_a_damaged_description_of_a_project_does_no_harm(tmp_path):
    content = {"exportedproject.json": "{", "annotation/a.txt/ada.zip": both("ada", ADA)}
    (tmp_path / "project.zip").write_bytes(zipped(content))
    assert len(read(CasXmi(str(tmp_path / "project.zip"), ["PER"]))[0]) == 1


# Layers and features


def layers(*annotations):
    """An XMI without types. annotations: the name of the type, begin, end, and features."""
    rows = [
        f'<{name} xmlns:custom="http:///webanno/custom.ecore" xmi:id="{number}" sofa="1" begin="{begin}" end="{end}" '
        + " ".join(f'{key}="{value}"' for key, value in features.items())
        + "/>"
        for number, (name, begin, end, features) in enumerate(annotations, 10)
    ]
    members = " ".join(str(number) for number in range(10, 10 + len(rows)))
    return XMI.format(spans="\n".join(rows), members=members)


NAMED = ("type:NamedEntity", 0, 3, {"value": "PER", "identifier": "http://a.example/Ada"})
DRUG = ("custom:Drug", 11, 14, {"kind": "DOSE", "comment": "sure"})
RELATION = ("custom:Rel", 0, 3, {"label": "knows", "Governor": "10", "Dependent": "11"})


@pytest.mark.parametrize(
    ("annotations", "settings", "labels"),
    [
        ([NAMED, DRUG, DRUG], {}, {"PER": 1}),
        ([DRUG], {}, {"DOSE": 1}),
        ([DRUG, RELATION, RELATION, RELATION], {}, {"DOSE": 1}),
        ([("type:NamedEntity", 0, 3, {"identifier": "Q7"}), DRUG], {}, {"Q7": 1}),
        ([NAMED, DRUG], {"layer": "webanno.custom.Drug"}, {"DOSE": 1}),
        ([NAMED, DRUG], {"layer": "webanno.custom.Drug", "feature": "comment"}, {"sure": 1}),
        ([NAMED, DRUG], {"feature": "identifier"}, {"http://a.example/Ada": 1}),
    ],
)
def test_the_layer_that_holds_labels_is_found_also_without_types(stored, annotations, settings, labels):
    source = stored(layers(*annotations), None, sorted(labels), **settings)
    assert source.labels_found() == labels
    (task,), _, _ = read(source)
    assert len(task.spans) == sum(labels.values())


def test_other_layers_and_features_are_named_with_their_counts(stored):
    source = stored(layers(NAMED, DRUG, RELATION), None)
    _, intake, _ = read(source)
    others = {
        f'layer = "{NAMED_ENTITY}" with feature = "identifier"',
        'layer = "webanno.custom.Drug" with feature = "kind"',
        'layer = "webanno.custom.Drug" with feature = "comment"',
    }
    assert {f"label in another layer or feature: {other} takes it" for other in others} < intake.notes.keys()
    (found,) = source.findings()
    assert found.startswith(f'labels are taken from layer = "{NAMED_ENTITY}" with feature = "value"; ')
    assert 'layer = "webanno.custom.Drug" with feature = "kind" has 1 × DOSE' in found


def test_a_list_is_no_label(stored):
    content = xmi(ADA, BOB).replace('value="PER"/>', "><value>PER</value></type:NamedEntity>", 1)
    _, _, (skip,) = read(stored(content, feature="value"))
    assert skip.reason == "value is no text"


def test_an_export_without_xmi_says_what_is_missing(tmp_path):
    (tmp_path / "project.zip").write_bytes(
        zipped({"exportedproject.json": "{}", "annotation/a.txt/ada.tsv": "#FORMAT"})
    )
    source = CasXmi(str(tmp_path / "project.zip"), ["PER"])
    assert source.recognizes()
    with pytest.raises(UserError, match=r"project\.zip: no \.xmi in it: export it as UIMA CAS XMI"):
        source.labels_found()


def test_xml_of_version_1_1_and_its_control_characters(stored):
    content = xmi(ADA).replace('version="1.0"', 'version="1.1"', 1).replace("Bob&#10;", "Bob&#x1;")
    (task,), _, _ = read(stored(content))
    assert (task.text, task.spans) == (TEXT.replace("\n", "\ufffd"), [Span(0, 3, "PER")])


def test_types_that_derive_are_one_layer(stored):
    names = ("Person", "Place")
    derived = "".join(
        f"<typeDescription><name>{NAMED_ENTITY[:-11]}{name}</name><supertypeName>{NAMED_ENTITY}</supertypeName>"
        "</typeDescription>"
        for name in names
    )
    content = xmi(ADA, KOELN)
    for name in names:
        content = content.replace("type:NamedEntity", f"type:{name}", 1)
    source = stored(content, TYPES.replace("</types>", f"{derived}</types>"))
    assert source.labels_found() == {"PER": 1, "LOC": 1}
    assert source.findings() == []


@pytest.mark.parametrize("name", ["{}/1", "1_{}"])
def test_files_with_the_same_text_are_of_annotators(tmp_path, name):
    for who, spans in {"ana": [ADA], "ben": [ADA, BOB], "gold": [BOB]}.items():
        path = tmp_path / f"{name.format(who)}.xmi"
        path.parent.mkdir(exist_ok=True)
        path.write_text(xmi(*spans), "utf8")
    (tmp_path / "TypeSystem.xml").write_text(TYPES)
    source = CasXmi(str(tmp_path), ["PER"])
    tasks, intake, _ = read(source)
    assert [(task.annotator, task.kind, len(task.spans)) for task in tasks] == [
        ("ana", "manual", 1), ("ben", "manual", 2), ("gold", "review", 1)
    ]  # fmt: skip
    assert intake.notes == {"text in several files, taken as those of annotators: ana, ben, gold": 1}
    assert len(source.findings()) == 1


def test_all_blocks_on_a_folder_parse_each_file_once(tmp_path, monkeypatch):
    for name, spans in {"a": [ADA, BOB], "b": [KOELN], "c": [ADA, KOELN], "damaged": []}.items():
        (tmp_path / f"{name}.xmi").write_text(xmi(*spans) if spans else "<xmi", "utf8")
    (tmp_path / "TypeSystem.xml").write_text(TYPES, "utf8")
    blocks = {label: CasXmi(str(tmp_path), [label]) for label in ("PER", "LOC")}
    parsed = []
    monkeypatch.setattr(cas, "parse_cas", lambda content: (parsed.append(content), parse_cas(content))[1])
    together = pull(blocks | {"both": CasXmi(str(tmp_path), ["LOC", "PER"])}, tmp_path / "together", 1.0, 1).manifest
    assert len(parsed) == 4
    for label, block in blocks.items():
        alone = pull({label: block}, tmp_path / f"alone-{label}", 1.0, 1).manifest
        assert alone.datasets[label] == together.datasets[label]
    assert together.datasets["PER"].reasons == {".xmi is damaged XML": 1}


def test_what_was_parsed_is_the_same_from_memory_and_from_disk():
    files = [xmi(ADA, (start, start + 1, "LOC")).replace("Köln", "Köln " * 200_000).encode() for start in range(8)]
    parsed = ParsedFiles()
    for _ in range(2):
        assert [parsed.parse(content) for content in files] == list(map(parse_cas, files))
    for _ in range(2):
        with pytest.raises(Unusable, match="damaged"):
            parsed.parse(b"<xmi")
