"""What `import` says and proposes by the evidence in the answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

from scripts.core import settings
from scripts.core.errors import UserError
from scripts.sources.blocks import set_split, write_config
from scripts.sources.importing import find_datasets, find_path, path_and_options
from scripts.sources.planning import plan_import
from scripts.sources.proposals import find_language, in_config
from tests.prodigy import line, task, write_database

TEXTS = [f"Number {number}: Ada moved to Graz and joined Acme." for number in range(40)]


def span(text, word, label):
    return (text.index(word), text.index(word) + len(word), label)


def person(text):
    return span(text, "Ada", "PERSON")


def city(text):
    return span(text, "Graz", "CITY")


def person_as_city(text):
    return span(text, "Ada", "CITY")


def answers(texts, *marks, start=None, **fields):
    """Complete answers about texts; start (int): the time of the first."""
    times = [None if start is None else start + number for number in range(len(texts))]
    return [
        task(text, [mark(text) for mark in marks], _timestamp=time, **fields)
        for text, time in zip(texts, times, strict=True)
    ]


def export(folder, name, tasks):
    (folder / name).write_text("\n".join(line(one) for one in tasks), "utf8")
    return str(folder / name)


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """A function that imports a path into the config of a folder, and gives the plan."""
    monkeypatch.chdir(tmp_path)

    def run(path, write="add", format_name="", **options):
        plan = plan_import(find_datasets(format_name, str(path), options), Path("datasets.cfg"), write)
        write_config(Path("datasets.cfg"), plan.config)
        return plan

    return run


def options():
    return settings.load(Path("datasets.cfg")).options


# ---- corrects


@pytest.mark.parametrize("name", ["all_cities", "city_x"])
def test_a_dataset_that_was_merged_of_others_takes_their_place(name, imported, tmp_path):
    """Else each answer counts twice: of two that differ, the later one would have the majority."""
    first, second = answers(TEXTS[:25], city, start=100), answers(TEXTS[20:], person_as_city, start=500)
    write_database(tmp_path / "p.db", {"city_1": first, "city_2": second, name: first + second})
    plan = imported("p.db")
    assert [(block.name, block.proposals[0].value) for block in plan.blocks if block.proposals] == [
        (name, ["city_1", "city_2"])
    ]
    assert options()[name].corrects == ["city_1", "city_2"]


def test_an_export_of_a_dataset_that_is_read_too_takes_its_place(imported, tmp_path):
    write_database(
        tmp_path / "p.db", {"city": answers(TEXTS, city, start=100), "copy": answers(TEXTS, city, start=100)}
    )
    imported("p.db")
    assert [options()[name].corrects for name in ("city", "copy")] == [[], ["city"]]
    imported(export(tmp_path, "exported.jsonl", answers(TEXTS, city, start=100)))
    assert options()["exported"].corrects == ["city", "copy"]


@pytest.mark.parametrize("name", ["city_correct", "city_final", "city-gold", "CITY_corrected"])
def test_a_dataset_that_is_named_after_one_it_corrects_corrects_it(name, imported, tmp_path):
    write_database(tmp_path / "p.db", {
        "city": answers(TEXTS, city), "person": answers(TEXTS, person), name: answers(TEXTS, city),
    })  # fmt: skip
    plan = imported("p.db")
    (corrected,) = (block for block in plan.blocks if block.proposals)
    assert options()[corrected.name].corrects == ["city"]
    assert any("40 of 40 texts are those of city, with the same label; its name" in sentence for sentence in plan.said)


def test_answers_that_are_all_later_correct_those_before(imported, tmp_path):
    imported(export(tmp_path, "first.jsonl", answers(TEXTS, city, start=1_700_000_000)))
    imported(export(tmp_path, "second.jsonl", answers(TEXTS[:30], city, start=1_700_100_000)))
    assert options()["second"].corrects == ["first"]


def test_after_db_in_those_of_prodigy_are_later(imported, tmp_path):
    write_database(tmp_path / "p.db", {"a": answers(TEXTS, city), "b": answers(TEXTS, city, start=1_700_000_000)})
    imported("p.db")
    assert options()["b"].corrects == ["a"]


def test_sentences_correct_the_documents_that_they_are_of(imported, tmp_path):
    documents = [f"{TEXTS[n]} It rained in Bern {n}." for n in range(40)]
    imported(export(tmp_path, "city.jsonl", answers(documents, city)))
    plan = imported(export(tmp_path, "city_correct.jsonl", answers(TEXTS, city)))
    assert options()["city_correct"].corrects == ["city"]
    assert "40 of 40 texts are parts of those of city" in " ".join(plan.said)


def test_what_only_may_be_a_correction_is_a_comment(imported, tmp_path):
    imported(export(tmp_path, "ana.jsonl", answers(TEXTS, city)))
    plan = imported(export(tmp_path, "ben.jsonl", answers(TEXTS, city)))
    assert options()["ben"].corrects == []
    assert '# corrects = ["ana"]' in Path("datasets.cfg").read_text()
    assert any(said.startswith('ben: corrects = ["ana"] is proposed, as a comment: 40 of 40') for said in plan.said)


def test_two_named_annotators_do_not_correct_each_other(imported, tmp_path):
    imported(export(tmp_path, "a.jsonl", answers(TEXTS, city, start=1_700_000_000, _session_id="a-ana")))
    imported(export(tmp_path, "b.jsonl", answers(TEXTS, city, start=1_700_100_000, _session_id="b-ben")))
    assert options()["b"].corrects == []
    assert "annotators differ" in Path("datasets.cfg").read_text()


@pytest.mark.parametrize(("second", "mark"), [(TEXTS[30:] + ["Other texts."] * 40, city), (TEXTS, person)])
def test_other_texts_or_labels_are_no_correction(second, mark, imported, tmp_path):
    imported(export(tmp_path, "a.jsonl", answers(TEXTS, city, start=1_700_000_000)))
    texts = [f"{text} {number}" if text == "Other texts." else text for number, text in enumerate(second)]
    texts = [text if "Graz" in text else f"{text} Graz" for text in texts]
    plan = imported(export(tmp_path, "b.jsonl", answers(texts, mark, start=1_700_100_000)))
    assert not any(block.proposals for block in plan.blocks)


def config_text():
    return Path("datasets.cfg").read_text()


WEEK = 7 * 86_400


def test_names_of_datasets_say_nothing_where_the_annotators_have_names(imported, tmp_path):
    for number, name in enumerate(["city_v2", "city_teach"]):
        marked = answers(TEXTS, city, start=1_700_000_000 + number * WEEK, _session_id=f"{name}-ana")
        imported(export(tmp_path, f"{name}.jsonl", marked))
    assert options()["city_teach"].corrects == ["city_v2"]
    assert "two annotators" not in config_text()


@pytest.mark.parametrize("names", [("city_ana", "city_ben"), ("ana-city", "ben-city")])
def test_names_of_two_annotators_are_no_correction(names, imported, tmp_path):
    for number, name in enumerate(names):
        imported(export(tmp_path, f"{name}.jsonl", answers(TEXTS, city, start=1_700_000_000 + number * WEEK)))
    assert [found.corrects for found in options().values()] == [[], []]
    assert "# corrects = [" in config_text()
    assert "all its answers about them are later; by their names, they may be of two annotators" in config_text()


@pytest.mark.parametrize("names", [
    ("city_2023", "city_2024"), ("city_v1", "city_v2"), ("city_round_1", "city_round_2"), ("city", "city_again"),
    ("city_ana", "city_final"), ("city_ben", "city_ben_correct"),
])  # fmt: skip
def test_versions_and_named_corrections_are_corrections(names, imported, tmp_path):
    for number, name in enumerate(names):
        imported(export(tmp_path, f"{name}.jsonl", answers(TEXTS, city, start=1_700_000_000 + number * WEEK)))
    assert [found.corrects for found in options().values()] == [[], [names[0]]]


def test_far_fewer_spans_are_no_correction(imported, tmp_path):
    imported(export(tmp_path, "city.jsonl", answers(TEXTS, city)))
    imported(export(tmp_path, "city_correct.jsonl", answers(TEXTS[:19], city) + answers(TEXTS[19:])))
    assert options()["city_correct"].corrects == []
    assert "it has 19 spans of the label in these texts, city 40" in config_text()


def test_binary_corrections_need_no_spans(imported, tmp_path):
    imported(export(tmp_path, "city.jsonl", answers(TEXTS, city)))
    judged = answers(TEXTS, city, _view_id="ner", answer="reject")
    judged[0]["answer"] = "accept"
    imported(export(tmp_path, "city_correct.jsonl", judged))
    assert options()["city_correct"].corrects == ["city"]


def test_corrections_are_compared_under_the_new_names(imported, tmp_path):
    imported(export(tmp_path, "a.jsonl", answers(TEXTS, labelled("city"), start=1_700_000_000)))
    imported(export(tmp_path, "a_correct.jsonl", answers(TEXTS, labelled("City"), start=1_700_100_000)))
    assert (options()["a_correct"].rename, options()["a_correct"].corrects) == ({"City": "city"}, ["a"])


def test_parts_of_documents_are_compared_by_all_times(imported, tmp_path):
    documents = [f"{text} It rained in Bern {number}." for number, text in enumerate(TEXTS[1:])]
    first = answers(TEXTS[:1], city, start=1_700_000_000) + answers(documents, city, start=1_700_900_000)
    imported(export(tmp_path, "documents.jsonl", first))
    imported(export(tmp_path, "sentences.jsonl", answers(TEXTS, city, start=1_700_100_000)))
    assert options()["sentences"].corrects == []
    assert "39 of 40 texts are parts of those of documents" in config_text()
    assert "later" not in config_text()


def test_times_are_compared_in_the_texts_that_both_have(imported, tmp_path):
    before = answers(TEXTS, city, start=1_700_000_000) + answers(["Graz again."], city, start=1_800_000_000)
    imported(export(tmp_path, "a.jsonl", before))
    imported(export(tmp_path, "b.jsonl", answers(TEXTS, city, start=1_700_000_001)))
    assert options()["b"].corrects == ["a"]
    mixed = answers(TEXTS[1:], city, start=1_700_100_000) + answers(TEXTS[:1], city, start=1_600_000_000)
    imported(export(tmp_path, "c.jsonl", mixed))
    assert options()["c"].corrects == []


# ---- annotators


def test_where_answers_decide_annotators_are_a_comment(imported, tmp_path):
    results = [(name, word, name == "cora") for name, word in [("ana", "Ada")] * 20 + [("cora", "Graz")] * 20]
    tasks = [
        {"id": number, "data": {"text": text}, "annotations": [{
            "id": number, "completed_by": {"email": name}, "ground_truth": decides, "result": [{
                "from_name": "l", "to_name": "t", "type": "labels", "value": {
                    "start": text.index(word), "end": text.index(word) + len(word), "text": word, "labels": [word]}}],
        }]}
        for number, (text, (name, word, decides)) in enumerate(zip(TEXTS, results, strict=True))
    ]  # fmt: skip
    imported(stored_json(tmp_path, tasks))
    assert all(found.annotators == [] for found in options().values())
    assert "20 answers decide between annotators, as a curation or ground truth does" in config_text()


def test_labels_that_annotators_shared_out_are_theirs(imported, tmp_path):
    tasks = answers(TEXTS[:20], person, _session_id="x-ana") + answers(TEXTS[20:], city, _session_id="x-ben")
    plan = imported(export(tmp_path, "x.jsonl", tasks))
    assert {name: found.annotators for name, found in options().items()} == {"x_city": ["ben"], "x_person": ["ana"]}
    assert 'x_city: annotators = ["ben"] is written: ana: no CITY in 20 answers; ben: 20' in plan.said


def test_few_answers_are_no_evidence_for_shared_labels(imported, tmp_path):
    tasks = answers(TEXTS[:20], person, city, _session_id="x-ana") + answers(TEXTS[20:23], city, _session_id="x-ben")
    imported(export(tmp_path, "x.jsonl", tasks))
    assert all(found.annotators == [] for found in options().values())
    assert '# annotators = ["ana"]' in Path("datasets.cfg").read_text()


def test_annotators_of_the_same_labels_and_answers_without_a_name_are_no_evidence(imported, tmp_path):
    same = answers(TEXTS[:20], person, _session_id="x-ana") + answers(TEXTS[20:], person, _session_id="x-ben")
    assert not any(block.proposals for block in imported(export(tmp_path, "x.jsonl", same)).blocks)
    unnamed = answers(TEXTS[:20], person, _session_id="y-ana") + answers(TEXTS[20:], city)
    assert not any(block.proposals for block in imported(export(tmp_path, "y.jsonl", unnamed), "replace").blocks)


# ---- rename


def labelled(label):
    return lambda text: (*person(text)[:2], label)


@pytest.mark.parametrize("label", ["PER", "Person", "person"])
def test_labels_that_mean_the_same_get_the_name_that_is_there(label, imported, tmp_path):
    imported(export(tmp_path, "a.jsonl", answers(TEXTS, person)))
    imported(export(tmp_path, "b.jsonl", answers(TEXTS[10:], labelled(label))))
    assert options()["b"].rename == {label: "PERSON"}


def test_a_label_that_another_dataset_has_too_keeps_its_name(imported, tmp_path):
    for name, label in (("a", "PERSON"), ("b", "PER"), ("c", "PER")):
        imported(export(tmp_path, f"{name}.jsonl", answers(TEXTS, labelled(label))))
    assert [options()[name].rename for name in "abc"] == [{}, {"PER": "PERSON"}, {"PER": "PERSON"}]
    write_database(tmp_path / "p.db", {"a": answers(TEXTS, person), "b": answers(TEXTS, person)})
    assert not any("rename" in said for said in imported("p.db", "replace").said)


def test_names_alone_or_places_alone_are_a_comment(imported, tmp_path):
    imported(export(tmp_path, "a.jsonl", answers(TEXTS[:20], person)))
    imported(export(tmp_path, "b.jsonl", answers(TEXTS[20:], labelled("PER"))))
    imported(export(tmp_path, "c.jsonl", answers(TEXTS[:20], labelled("Mensch"))))
    assert options()["b"].rename == options()["c"].rename == {}
    config = Path("datasets.cfg").read_text()
    assert '# rename = {"PER": "PERSON"}' in config
    assert '# rename = {"Mensch": "PERSON"}' in config


def test_datasets_of_one_database_get_the_same_name(imported, tmp_path):
    write_database(tmp_path / "p.db", {name: answers(TEXTS, labelled(label)) for name, label in (
        ("a", "PERSON"), ("b", "PER"), ("c", "PER"),
    )})  # fmt: skip
    imported("p.db")
    assert [options()[name].rename for name in "abc"] == [{}, {"PER": "PERSON"}, {"PER": "PERSON"}]


def test_labels_of_one_dataset_that_mean_the_same_are_a_comment(imported, tmp_path):
    tasks = answers(TEXTS[:30], labelled("CITY")) + answers(TEXTS[30:], labelled("City"))
    plan = imported(export(tmp_path, "a.jsonl", tasks))
    assert all(found.rename == {} for found in options().values())
    assert config_text().count('# rename = {"City": "CITY"}') == 1
    said = '10 of City may mean the same as 30 of CITY: if so, labels = ["CITY", "City"] here'
    assert said in str(plan.said)


def test_a_rare_spelling_of_a_label_is_no_other_label(imported, tmp_path):
    tasks = answers(TEXTS[1:], labelled("PERSON")) + answers(TEXTS[:1], labelled("People"))
    plan = imported(export(tmp_path, "person.jsonl", tasks))
    assert "beside 39 of PERSON: People may be another name of PERSON. See there" in str(plan.said)
    assert '# rename = {"People": "PERSON"}' in config_text()


def test_the_comment_for_labels_that_mean_the_same_can_be_taken(imported, tmp_path):
    tasks = answers(TEXTS[:30], labelled("CITY")) + answers(TEXTS[30:], labelled("City"))
    imported(export(tmp_path, "a.jsonl", tasks))
    block = config_text().partition("[datasets.a_city_2]")[0]
    block = block.replace('labels = ["CITY"]\n', 'labels = ["CITY", "City"]\n').replace("# rename", "rename")
    Path("datasets.cfg").write_text(block)
    (known,) = in_config(settings.load(Path("datasets.cfg")))
    assert known.labels == {"CITY"}
    assert known.evidence.spans == {("", "CITY"): 40}


# ---- Labels that nobody looked for


def test_a_label_with_a_few_spans_beside_another_one_is_no_claim(imported, tmp_path):
    tasks = answers(TEXTS[2:], city) + answers(TEXTS[:2], city, person)
    plan = imported(export(tmp_path, "city.jsonl", tasks))
    assert list(options()) == ["city_city"]
    assert "# [datasets.city_person]" in Path("datasets.cfg").read_text()
    assert any("2 spans in 2 of 40 texts, beside 40 of CITY: PERSON was probably not" in said for said in plan.said)


def test_where_another_dataset_is_about_it_a_label_is_stray_too(imported, tmp_path):
    write_database(tmp_path / "p.db", {
        "x": answers(TEXTS[2:], city) + answers(TEXTS[:2], city, person), "y": answers(TEXTS, person)
    })  # fmt: skip
    imported("p.db")
    assert list(options()) == ["x_city", "y"]


def test_a_block_that_is_a_comment_is_not_corrected(imported, tmp_path):
    write_database(tmp_path / "p.db", {
        "city": answers(TEXTS[2:], city) + answers(TEXTS[:2], city, person),
        "city_correct": answers(TEXTS, city, person),
    })  # fmt: skip
    imported("p.db")
    assert {name: found.corrects for name, found in options().items()} == {
        "city_city": [], "city_correct_city": ["city_city"], "city_correct_person": []
    }  # fmt: skip


def test_a_pass_that_was_begun_is_a_claim(imported, tmp_path):
    plan = imported(export(tmp_path, "city.jsonl", answers(TEXTS, city) + answers(TEXTS[:2], person)))
    assert list(options()) == ["city_city", "city_person"]
    assert not any(block.doubt for block in plan.blocks)


def test_a_rare_label_of_a_corpus_stays(imported, tmp_path):
    tasks = answers(TEXTS[1:], city, person) + answers(TEXTS[:1], city, lambda text: span(text, "Acme", "FIRM"))
    imported(export(tmp_path, "corpus.jsonl", tasks))
    assert list(options()) == ["corpus_city", "corpus_firm", "corpus_person"]


# ---- Several answers about a text


def test_several_answers_about_a_text_are_counted_by_what_they_are_about(imported, tmp_path):
    passes = imported(export(tmp_path, "a.jsonl", answers(TEXTS, city) + answers(TEXTS, person)))
    assert any(said.startswith("a: 40 texts with several answers of one annotator (40 with other labels): each is for "
        'its own labels; repeats = "replace" if not') for said in passes.said)  # fmt: skip
    again = imported(export(tmp_path, "b.jsonl", answers(TEXTS, city) + answers(TEXTS[:9], city, person)))
    assert any(
        "9 texts with several answers of one annotator (9 with the same again): the later one replaces the "
        "earlier (without times, by file and line: a guess)" in said
        for said in again.said
    )
    unclear = imported(export(tmp_path, "c.jsonl", answers(TEXTS, city) + answers(TEXTS[:9])))
    assert any("(9 cannot be told)" in said for said in unclear.said)
    assert '# repeats = "unite"' in str(unclear.blocks[0])
    assert options()["c"].repeats == "auto"
    apart = answers(TEXTS, city, _session_id="e-ana") + answers(TEXTS[:9], city, person, _session_id="e-ben")
    assert not any("several answers" in said for said in imported(export(tmp_path, "e.jsonl", apart), "replace").said)
    same = imported(export(tmp_path, "d.jsonl", answers(TEXTS, city) + answers(TEXTS, city)), "replace")
    assert not any("several answers" in said for said in same.said)


def test_what_is_said_of_several_answers_fits_what_is_proposed(imported, tmp_path):
    passes = answers(TEXTS, city) + answers(TEXTS[:5], person) + answers(TEXTS[5:20])
    plan = imported(export(tmp_path, "a.jsonl", passes))
    assert any('each is for its own labels; repeats = "replace" if not' in said for said in plan.said)
    assert '# repeats = "replace"' in config_text()
    assert '# repeats = "unite"' not in config_text()
    assert "the later one replaces" not in "\n".join(plan.said)


# ---- Splits of a corpus


def conll(folder, **texts):
    folder.mkdir()
    for name, words in texts.items():
        (folder / f"{name}.conll").write_text("".join(f"{word} {tag}\n\n" for word, tag in words.items()))


def test_published_splits_are_said_and_kept_if_each_is_imported(imported, tmp_path):
    words = {"Ada": "B-PER", "Graz": "B-LOC", "met": "O"}
    conll(tmp_path / "corpus", train=words, dev={"Bob": "B-PER", "sat": "O"}, test=words)
    plan = imported(tmp_path / "corpus", "nothing")
    assert any("published splits by the names of its files: dev (dev.conll), test (test" in said for said in plan.said)
    for name in ("train", "dev", "test"):
        plan = imported(tmp_path / "corpus" / f"{name}.conll")
    config = settings.load(Path("datasets.cfg"))
    assert config.split.test_datasets == ["test_loc", "test_per"]
    assert config.split.dev_datasets == ["dev_loc", "dev_per"]
    assert config.datasets["dev_loc"].labels == ["LOC"]
    assert any("[split] test_datasets has test_loc to test_per" in said for said in plan.said)


def test_a_file_has_the_labels_of_the_other_splits_beside_it(imported, tmp_path):
    conll(
        tmp_path / "corpus",
        train={"Ada": "B-PER", "Graz": "B-LOC"},
        dev={"Bob": "B-PER", "sat": "O"},
        other={"a": "B-X"},
    )
    imported(tmp_path / "corpus" / "train.conll")
    imported(tmp_path / "corpus" / "dev.conll")
    config = settings.load(Path("datasets.cfg"))
    assert list(config.datasets) == ["train_loc", "train_per", "dev_loc", "dev_per"]
    assert (config.split.dev_datasets, config.split.test_datasets) == (["dev_loc", "dev_per"], [])


@pytest.mark.parametrize("name", ["test.json", "test"])
def test_splits_of_other_formats_and_folders_of_splits(name, imported, tmp_path):
    for split in ("train", "test"):
        place = tmp_path / "c" / name.replace("test", split)
        place = place if place.suffix else place / "a.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps([["Ada met Bob.", {"entities": [[0, 3, "PER"]]}]]))
    imported(tmp_path / "c" / name)
    assert settings.load(Path("datasets.cfg")).split.test_datasets == ["test"]


def test_a_split_alone_is_no_published_one(imported, tmp_path):
    imported(export(tmp_path, "test.jsonl", answers(TEXTS, city)))
    assert settings.load(Path("datasets.cfg")).split.test_datasets == []


def test_lists_of_a_section_get_more_names():
    assert set_split("[split]\ntest = 0.2\n\n[x]\n", {"test_datasets": ["a"]}) == (
        '[split]\ntest = 0.2\ntest_datasets = ["a"]\n\n[x]\n'
    )
    assert set_split('[split]\ntest_datasets = ["b"]\n', {"test_datasets": ["a", "b"]}) == (
        '[split]\ntest_datasets = ["b", "a"]\n'
    )
    assert set_split("[x]\n", {"dev_datasets": ["a"]}).endswith('[split]\ndev_datasets = ["a"]\n')


# ---- Languages


@pytest.mark.parametrize(("text", "language"), [
    ("小明去了北京。", "zh"), ("太郎は東京に行きました。", "ja"), ("철수는 서울에 갔다.", "ko"),
    ("Анна в Москве.", "ru"),
    ("ذهب أحمد إلى القاهرة.", "ar"), ("Η Άννα πήγε στην Αθήνα.", "el"), ("राम दिल्ली गया।", "hi"),
    ("Ada went to Graz.", ""),
])  # fmt: skip
def test_the_script_tells_the_language(text, language, imported, tmp_path):
    Path("ner.cfg").write_text('[nlp]\nlang = "en"\n')
    path = export(tmp_path, "a.jsonl", [task(text, [(0, 2, "X")])])
    assert find_language(find_datasets("", path, {}))[1] == language
    said = [sentence for sentence in imported(path).said if "[nlp]" in sentence]
    assert bool(said) == bool(language)
    assert all(f'set [nlp] lang = "{language}" in ner.cfg ("en")' in sentence for sentence in said)
    Path("ner.cfg").write_text(f'[nlp]\nlang = "{language or "de"}"\n')
    assert not any("[nlp]" in sentence for sentence in imported(path, "replace").said)


# ---- Why nothing can be used


def stored_json(folder, content):
    (folder / "a.json").write_text(json.dumps(content))
    return folder / "a.json"


def label_studio(kind="labels", **fields):
    result = {"from_name": "l", "to_name": "t", "type": kind, "value": {"start": "/p[1]", "end": "/p[1]", kind: ["X"]}}
    return [{"id": 1, "data": {"text": "Ada sat."}, "annotations": [{"id": 1, "result": [result]}]} | fields]


def unset_docs(folder):
    DocBin(docs=[spacy.blank("en")("Ada sat.")]).to_disk(folder / "a.spacy")
    return folder / "a.spacy"


@pytest.mark.parametrize(("write", "reason"), [
    (lambda folder: stored_json(folder, label_studio("hypertextlabels")), "1 × HyperText is not read"),
    (lambda folder: stored_json(folder, label_studio(annotations=[], predictions=[{"result": []}])),
     "1 × predictions are not read"),
    (lambda folder: export(folder, "a.jsonl", [task("Ada", [], label="X", _view_id="classification")]),
     "1 × no answer about spans: classification"),
    (unset_docs, "1 × not annotated yet"),
    (lambda folder: stored_json(folder, [{"id": 1, "text": "Ada", "label": [[0, 90, "X"]]}]),
     "1 × offsets outside the text"),
])  # fmt: skip
def test_the_reason_why_no_span_can_be_used_is_that_of_the_reader(write, reason, tmp_path):
    with pytest.raises(UserError, match=f"no span that can be used is in it, read as .*: .*{reason}"):
        find_datasets("", str(write(tmp_path)), {})


def test_where_pull_would_stop_it_is_said(imported, tmp_path):
    rows = [["Ada met Bob.", {"entities": [[0, 3, "PER"], [8, 30, "PER"]]}]]
    plan = imported(stored_json(tmp_path, rows))
    assert "a: 1 of 2 spans cannot be used: pull will stop, since [pull] max_skipped = 0.2" in plan.said


# ---- Paths and formats


def test_a_path_that_was_divided_at_its_spaces_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "My  Data" / "a b").mkdir(parents=True)
    (tmp_path / "it is").mkdir()
    assert find_path(["My", "Data/a", "b"]) == str(Path("My  Data") / "a b")
    assert find_path(["it", "is"]) == "it is"
    assert find_path([*str(tmp_path).split(), "no"]).endswith(" no")
    assert path_and_options("My", ["Data/a", "--reader.x", "1", "b", "--reader.y=2"]) == (
        ["My", "Data/a", "b"], ["--reader.x", "1", "--reader.y=2"]
    )  # fmt: skip


def test_a_folder_of_prodigy_exports_is_a_dataset_a_file(imported, tmp_path):
    (tmp_path / "exports" / "old").mkdir(parents=True)
    export(tmp_path / "exports" / "old", "city.jsonl", answers(TEXTS, city))
    export(tmp_path / "exports", "people.jsonl", answers(TEXTS, person))
    imported(tmp_path / "exports")
    assert {name: source.labels for name, source in settings.load(Path("datasets.cfg")).datasets.items()} == {
        "city": ["CITY"], "people": ["PERSON"]
    }  # fmt: skip


@pytest.mark.parametrize("name", ["labelwise.ProdigyJsonl.v1", "LABELWISE.PRODIGYJSONL.V1", "ProdigyJsonl"])
def test_a_format_is_named_in_full_or_in_short(name, tmp_path):
    path = export(tmp_path, "a.jsonl", answers(TEXTS, city))
    assert find_datasets(name, path, {})[0].reader == "labelwise.ProdigyJsonl.v1"


@pytest.mark.parametrize(("name", "said"), [("a.pkl", "save it as JSON"), ("a.zip", "unpack it"), ("a.xlsx", "export")])
def test_what_is_no_format_says_what_to_do(name, said, tmp_path):
    (tmp_path / name).write_bytes(b"\0\1\2")
    with pytest.raises(UserError, match=f"looks like no format that can be read .*{said}"):
        find_datasets("", str(tmp_path / name), {})


@pytest.mark.parametrize(
    ("encoding", "said"), [("utf-16", "is UTF-16, as the > of PowerShell"), ("latin1", "not UTF-8")]
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.conll"])
def test_a_file_in_another_encoding_is_said_to_be(encoding, said, name, tmp_path):
    content = {"a.conll": "Köln\tB-CITY\n", "a.jsonl": '{"text": "Köln", "spans": []}\n'}
    (tmp_path / name).write_bytes(content[name].encode(encoding))
    with pytest.raises(UserError, match=f"looks like no format that can be read .*{said}.*save it as UTF-8"):
        find_datasets("", str(tmp_path / name), {})


def test_a_format_is_recognized_by_rows_far_below(tmp_path):
    rows = [{"text": text} for text in TEXTS] * 40 + [json.loads(line(one)) for one in answers(TEXTS, city)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert find_datasets("", str(tmp_path / "a.jsonl"), {})[0].spans == {"CITY": 40}
