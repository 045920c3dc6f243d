"""Labels and annotators that are asked for and do not occur: what is similar stops `pull`, the rest is said."""

from __future__ import annotations

import json

import pytest

from scripts.core.errors import UserError
from scripts.core.settings import DatasetOptions
from scripts.merging.pull import pull
from scripts.sources.conll import Conll
from scripts.sources.names import name_warnings, read_twice, untaken_labels
from scripts.sources.prodigy_database import prodigy_database
from scripts.sources.prodigy_jsonl import ProdigyJsonl
from scripts.sources.similar import misspelled, same_names, synonyms
from tests.prodigy import line, task
from tests.project import fail, succeed
from tests.test_reader_contracts import reader  # noqa: F401 (a fixture)

TEXT = "Ada met Bob in Rome"


@pytest.fixture
def source(tmp_path):
    """A dataset with a span of each label, and who marked it."""

    def write(taken, *labels, annotators=(), name="ner"):
        tasks = [task(f"{TEXT} {n}", [(0, 3, label)]) for n, label in enumerate(labels)]
        tasks += [task(f"{TEXT} {who}", [], _annotator_id=f"{name}-{who}") for who in annotators]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(line, tasks)), "utf8")
        return ProdigyJsonl(str(tmp_path / f"{name}.jsonl"), list(taken))

    return write


def pulled(sources, folder, **options):
    """The warnings."""
    made = {name: DatasetOptions(**found) for name, found in options.items()}
    manifest, _ = pull(sources, folder / "out", 0.5, 1, options=made)
    return list(name_warnings(sources, manifest.datasets))


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("Time", "TIME"),
        ("Home Team", "home_team"),
        ("home-team", "HomeTeam"),
        ("PRODUCT", "PRODUCTS"),
        ("CITIES", "City"),
        ("Größe", "Grosse"),
        ("Qualité", "Qualite"),
        ("PER", "B-PER"),
        ("PER ", "PER"),
        ("ORGANISATION", "ORGANIZATION"),
        ("ADRESS", "ADDRESS"),
        ("LOCATOIN", "LOCATION"),
        ("PERSON", "PER"),
        ("LOC", "Location"),
    ],
)
def test_a_similar_label_stops_the_step(asked, there, source, tmp_path):
    with pytest.raises(UserError) as caught:
        pulled({"ner": source([asked, "DATE"], there, there, "DATE", "OTHER")}, tmp_path)
    said = str(caught.value)
    assert said.startswith(f"[datasets.ner] labels: no span of {asked}, but of {there} (2).")
    assert f"set labels = {json.dumps([there, 'DATE'], ensure_ascii=False)}" in said
    assert f"rename = {json.dumps({there: asked}, ensure_ascii=False)}" in said
    assert "\n" not in said
    assert not (tmp_path / "out/manifest.json").exists()


def test_what_the_error_says_to_set_can_be_set(source, tmp_path):
    assert pulled({"ner": source(["TIME"], "TIME")}, tmp_path, ner={"rename": {"TIME": "Time"}}) == []
    (warning,) = pulled({"ner": source(["Time"], "TIME")}, tmp_path, ner={"rename": {"Time": "Time"}})
    assert warning == "ner: no answer has a span of Time; spans of labels that are not taken: TIME (1)"


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("LEVEL_A", "LEVEL_B"), ("label_00", "label_01"), ("TypeA", "TypeB"), ("ARG0", "ARG1"), ("CAR", "CAT"),
        ("PER", "PERCENT"), ("GPE", "LOC"), ("Protein", "Gene"), ("class", "clas1"),
    ],
)  # fmt: skip
def test_another_label_is_another(asked, there, source, tmp_path):
    (warning,) = pulled({"ner": source([asked], there)}, tmp_path)
    assert warning.startswith(f"ner: no answer has a span of {asked}; spans of labels that are not taken: {there} (1)")


def test_labels_of_which_both_occur_are_two(source, tmp_path):
    """As in a split of a corpus in which one of them never occurs."""
    train = {"a": source(["PAYER"], "PAYER", name="a"), "b": source(["PAYEE"], "PAYEE", name="b")}
    (warning,) = pulled({**train, "dev": source(["PAYER"], "PAYEE", name="dev")}, tmp_path)
    assert warning.startswith("dev: no answer has a span of PAYER")
    with pytest.raises(UserError, match="no span of PAYER, but of PAYEE"):
        pulled({"dev": source(["PAYER"], "PAYEE", name="dev")}, tmp_path)
    others = {"a": source(["Time"], "Time", name="a"), "b": source(["TIME"], "TIME", name="b")}
    with pytest.raises(UserError, match=r"\[datasets.dev\] labels: no span of Time, but of TIME"):
        pulled({**others, "dev": source(["Time"], "TIME", name="dev")}, tmp_path)


def test_a_label_that_is_taken_is_no_candidate(source, tmp_path):
    (warning,) = pulled({"ner": source(["PERSON", "Person"], "PERSON")}, tmp_path)
    assert warning == "ner: no answer has a span of Person"


def test_of_a_label_in_two_spellings_one_is_not_lost_in_silence(source, tmp_path):
    (warning,) = pulled({"ner": source(["PERSON"], "PERSON", "Person", "Person")}, tmp_path)
    assert warning == "ner: PERSON is taken, but not Person (2); labels and rename make them one"
    both = {"ner": source(["PERSON"], "PERSON", "Person"), "b": source(["Person"], "Person", name="b")}
    assert pulled(both, tmp_path) == []


def test_spans_of_a_label_that_no_block_takes_are_counted(source, tmp_path):
    """As after a label got another name in the annotation tool, in the middle of a dataset."""
    sources = {
        "money": source(["MONEY"], "MONEY", "AMOUNT", "AMOUNT", "ORG", "money", name="money"),
        "org": source(["ORG"], "ORG", "MONEY", name="org"),
        "per": source(["PER"], "DATE", name="per"),
    }
    entries = pull(sources, tmp_path / "out", 0.5, 1).manifest.datasets
    assert untaken_labels(sources, entries) == {"AMOUNT (money)": 2}  # warnings name money and DATE


def test_spans_of_a_label_that_no_block_takes_count_once_for_all_blocks_of_a_file(source, tmp_path):
    one = source(["PER"], "PER", "ORG", "AMOUNT", "AMOUNT", name="all")
    sources = {"per": one, "org": ProdigyJsonl(one.path, ["ORG"])}
    entries = pull(sources, tmp_path / "out", 0.5, 1).manifest.datasets
    assert list(untaken_labels(sources, entries).values()) == [2]


def test_an_empty_dataset_is_said_to_be_empty_alone(source, tmp_path):
    assert pulled({"ner": source(["PER"], "PER"), "none": source(["LOC"], name="none")}, tmp_path) == []


@pytest.mark.parametrize(
    ("asked", "there", "said"),
    [
        (["anna"], ["ana", "ben"], "no answer of anna; there are without a name (1), ana (1), ben (1)"),
        (["Ben", "ana"], ["ana", "ben"], "no answer of Ben; there are without a name (1), ben (1)"),
        (["cleo"], [], "no answer of cleo; its answers name no annotator"),
    ],
)
def test_an_annotator_who_is_not_there_stops_the_step(asked, there, said, source, tmp_path):
    with pytest.raises(UserError) as caught:
        pulled({"ner": source(["PER"], "PER", annotators=there)}, tmp_path, ner={"annotators": asked})
    assert str(caught.value).startswith("[datasets.ner] annotators: ")
    assert said.split("; ")[0] in str(caught.value)
    assert said.split("; ")[1] in str(caught.value)


def test_an_annotator_who_has_not_begun_is_said(source, tmp_path):
    there = source(["PER"], annotators=["ana", "ben"])
    warnings = pulled({"ner": there}, tmp_path, ner={"annotators": ["ana", "zoe"]})
    assert warnings == ["ner: no answer of zoe", "ner: no answer has a span of PER"]


def test_it_holds_for_every_reader(reader, tmp_path):  # noqa: F811
    (tmp_path / "input").mkdir(exist_ok=True)
    with pytest.raises(UserError, match=r"\[datasets.data\] labels: no span of Person, but of PER \(8\)"):
        pulled({"data": reader(labels=["Person", "LOC"])}, tmp_path)
    (warning,) = pulled({"data": reader(labels=["DATE", "LOC"])}, tmp_path)
    assert warning == "data: no answer has a span of DATE; spans of labels that are not taken: PER (8)"


def test_similar_names():
    names = ["PER", "per", "PERSON", "Pers.", "B-PER", "ORG", "PERSONS"]
    assert same_names("PER", names) == ["B-PER", "Pers.", "per"]
    assert synonyms("PER", names) == ["B-PER", "PERSON", "PERSONS", "Pers.", "per"]
    assert misspelled("PERSN", names) == ["PERSON", "PERSONS"]


def blocks(**sources):
    """Lines about two blocks each; of a block its source, or its source and its options."""
    pairs = {name: found if isinstance(found, tuple) else (found, {}) for name, found in sources.items()}
    options = {name: DatasetOptions(**keys) for name, (_, keys) in pairs.items()}
    return list(read_twice({name: found for name, (found, _) in pairs.items()}, options))


def test_blocks_that_read_the_same_answers_are_said_to(tmp_path, monkeypatch):
    """A copied block would make of one annotator two: a tie becomes a majority."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.jsonl").symlink_to("x.jsonl")
    here = ProdigyJsonl("x.jsonl", ["CITY", "PER"])
    said = "x, x2: both read the answers about CITY from one place, so they can count twice"
    for other in ("./x.jsonl", str(tmp_path / "x.jsonl"), "link.jsonl"):
        (line,) = blocks(x=here, x2=ProdigyJsonl(other, ["CITY"], annotator="ben"), y=ProdigyJsonl("y.jsonl", ["CITY"]))
        assert line.startswith(said)
    both = {"path": "x.db", "labels": ["CITY"]}
    database = prodigy_database(dataset="ner", **both)
    assert blocks(x=(database, {"annotators": ["ana"]}), x2=(database, {"annotators": ["ana", "ben"]}))
    assert blocks(x=(database, {"annotators": ["ana"]}), x2=database)
    assert blocks(x=(database, {"rename": {"CITY": "GPE"}}), x2=(database, {"rename": {"CITY": "GPE"}}))


def test_labels_that_become_one_belong_in_one_block():
    """Else the block of each says that there is none where the other has a span."""
    company = (ProdigyJsonl("x.jsonl", ["COMPANY", "CITY"]), {"rename": {"COMPANY": "ORG"}})
    university = (ProdigyJsonl("x.jsonl", ["UNIVERSITY"]), {"rename": {"UNIVERSITY": "ORG"}})
    (said,) = blocks(a=company, b=university)
    assert said == (
        "a, b: both give a part of ORG, from one place, so each denies the spans of the other; take them in one block: "
        'labels = ["COMPANY", "UNIVERSITY"], rename = {"COMPANY": "ORG", "UNIVERSITY": "ORG"}'
    )
    assert blocks(a=company, b=(ProdigyJsonl("y.jsonl", ["ORG"]), {})) == []


@pytest.mark.parametrize(
    "others",
    [
        ProdigyJsonl("x.jsonl", ["PER"]),  # a block a label
        ProdigyJsonl("y.jsonl", ["CITY"]),
        (ProdigyJsonl("x.jsonl", ["CITY"]), {"rename": {"CITY": "GPE"}}),
        (ProdigyJsonl("x.jsonl", ["CITY"]), {"annotators": ["ben"]}),
        (ProdigyJsonl("x.jsonl", ["CITY"]), {"corrects": ["x"]}),
        Conll("x.jsonl", ["CITY"]),
    ],
)
def test_blocks_that_read_other_answers_are_not(others):
    assert blocks(x=(ProdigyJsonl("x.jsonl", ["CITY"]), {"annotators": ["ana"]}), x2=others) == []


def test_blocks_of_other_datasets_columns_or_layers_are_not():
    databases = {name: prodigy_database(path="x.db", dataset=name, labels=["CITY"]) for name in ("a", "b")}
    columns = {f"c{tag}": Conll("x.conll", ["CITY"], tag=tag) for tag in (2, 3)}
    assert blocks(**databases, **columns) == []


def test_pull_says_which_blocks_read_the_same_answers(tmp_path):
    (tmp_path / "x.jsonl").write_text(line(task(TEXT, [(0, 3, "PER")])))
    block = '[datasets.{}]\n@readers = "labelwise.ProdigyJsonl.v1"\npath = "x.jsonl"\nlabels = ["PER"]\n'
    (tmp_path / "datasets.cfg").write_text("[datasets]\n" + block.format("x"))
    assert "⚠" not in succeed(tmp_path, "pull")
    (tmp_path / "datasets.cfg").write_text("[datasets]\n" + block.format("x") + block.format("x2"))
    assert "⚠ x, x2: both read the answers about PER from one place" in succeed(tmp_path, "pull")


def test_names_that_look_the_same_are_told_apart_by_their_escapes(tmp_path):
    (tmp_path / "x.jsonl").write_text(line(task(TEXT, [(0, 3, "Re\u0301gion")])))
    block = '[datasets.x]\n@readers = "labelwise.ProdigyJsonl.v1"\npath = "x.jsonl"\nlabels = ["R\u00e9gion"]\n'
    (tmp_path / "datasets.cfg").write_text("[datasets]\n" + block)
    said = fail(tmp_path, "pull")
    assert 'labels = ["Re\\u0301gion"] and rename = {"Re\\u0301gion": "R\u00e9gion"}' in said
    (tmp_path / "datasets.cfg").write_text(
        "[datasets]\n"
        + block.partition("labels")[0]
        + 'labels = ["Re\\u0301gion"]\nrename = {"Re\\u0301gion": "R\u00e9gion"}\n'
    )
    assert "1 × Re\u0301gion → R\u00e9gion" in succeed(tmp_path, "pull")
