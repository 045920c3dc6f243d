"""Pulling: what is read, what is skipped, what is left as it was."""

from __future__ import annotations

import json
import shutil

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.core import manifest
from scripts.core.answers import Task
from scripts.core.errors import UserError, plain_console
from scripts.core.manifest import file_name
from scripts.core.settings import DatasetOptions
from scripts.merging.merge import Resources, merge
from scripts.merging.pull import pull
from scripts.reporting.accounts import print_intake
from scripts.sources.prodigy_jsonl import ProdigyJsonl


def line(text, *spans, **fields):
    return json.dumps(
        {"text": text, "spans": [dict(zip(("start", "end", "label"), s, strict=True)) for s in spans], **fields}
    )


@pytest.fixture
def sources(tmp_path):
    """Two datasets; the first has a line that cannot be used."""
    (tmp_path / "org.jsonl").write_text(
        "\n".join([line("IBM sells.", (0, 3, "ORG")), line("Nothing here."), "no JSON", line("SAP", (0, 3, "ORG"))] * 3)
    )
    (tmp_path / "per.jsonl").write_text(line("Ada met Bob.", (0, 3, "PER"), (8, 11, "PER"), (0, 3, "ORG")))
    return {
        "org": ProdigyJsonl(str(tmp_path / "org.jsonl"), ["ORG"]),
        "per": ProdigyJsonl(str(tmp_path / "per.jsonl"), ["PER"]),
    }


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_record_is_kept_or_listed(sources, tmp_path):
    found, _ = pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    org = found.datasets["org"]
    none = {"other_labels": 0, "other_annotators": 0, "no_answer": 0}
    assert org.records == none | {"read": 12, "kept": 9, "skipped": 3, "answers": 9}
    assert found.datasets["per"].spans == none | {"read": 3, "kept": 2, "other_labels": 1, "skipped": 0}
    tasks = [
        msgspec.json.decode(line, type=Task) for line in (tmp_path / "out" / "org.jsonl").read_bytes().splitlines()
    ]
    assert len(tasks) == 9
    skipped = [json.loads(line) for line in (tmp_path / "out" / "skipped" / "org.jsonl").read_text().splitlines()]
    assert [skip["place"] for skip in skipped] == ["org.jsonl:3", "org.jsonl:7", "org.jsonl:11"]
    assert all("malformed JSON" in skip["reason"] for skip in skipped)
    assert not (tmp_path / "out" / "skipped" / "per.jsonl").exists()


def test_every_line_is_a_task_that_prodigy_takes(sources, tmp_path):
    pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    task = json.loads((tmp_path / "out" / "per.jsonl").read_text())
    assert task["text"] == "Ada met Bob."
    assert isinstance(task["_input_hash"], int)
    assert task["spans"] == [{"start": 0, "end": 3, "label": "PER"}, {"start": 8, "end": 11, "label": "PER"}]


def test_the_manifest_vouches_for_the_files(sources, tmp_path):
    found, _ = pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    assert manifest.load(tmp_path / "out") == found
    for entry in found.datasets.values():
        assert (tmp_path / "out" / entry.file).stat().st_size == entry.bytes


def test_the_same_bytes_with_more_processes_and_when_nothing_changed(sources, tmp_path):
    pull(sources, tmp_path / "1", max_skipped=0.5, processes=1)
    pull(dict(reversed(sources.items())), tmp_path / "2", max_skipped=0.5, processes=2)
    first, second = snapshot(tmp_path / "1"), snapshot(tmp_path / "2")
    del first[".fingerprints.json"], second[".fingerprints.json"]  # has times
    assert first == second
    _, unchanged = pull(sources, tmp_path / "1", max_skipped=0.5, processes=1)
    assert unchanged == ["org", "per"]
    after = snapshot(tmp_path / "1")
    del after[".fingerprints.json"]
    assert after == first


def test_only_what_changed_is_read_again(sources, tmp_path):
    pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    with (tmp_path / "per.jsonl").open("a") as file:
        file.write("\n" + line("Eve.", (0, 3, "PER")))
    found, unchanged = pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    assert unchanged == ["org"]
    assert list(found.datasets) == ["org", "per"]
    assert found.datasets["per"].records["kept"] == 2
    (tmp_path / "org.jsonl").touch()
    found, unchanged = pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    assert (unchanged, list(found.datasets)) == (["org", "per"], ["org", "per"])  # its bytes are the same
    (tmp_path / "out" / "org.jsonl").write_text("edited")
    _, unchanged = pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    assert unchanged == ["per"]
    other = sources | {"org": ProdigyJsonl(str(tmp_path / "org.jsonl"), ["ORG", "PER"])}
    _, unchanged = pull(other, tmp_path / "out", max_skipped=0.5, processes=1)
    assert unchanged == ["per"]
    _, unchanged = pull(other, tmp_path / "out", max_skipped=0.5, processes=1, fresh=True)
    assert unchanged == []


def test_a_merge_believes_what_was_pulled_by_size_and_time_and_reads_what_has_others(sources, tmp_path):
    found, _ = pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    corpus = tmp_path / "corpus"
    merge(found, tmp_path / "out", corpus, "majority", Resources(memory_mb=512, processes=1))
    gold = (corpus / "gold.jsonl").read_bytes()
    shutil.copytree(tmp_path / "out", tmp_path / "copy", copy_function=shutil.copyfile)  # with times of its own
    merge(found, tmp_path / "copy", tmp_path / "other", "majority", Resources(memory_mb=512, processes=1))
    assert (tmp_path / "other" / "gold.jsonl").read_bytes() == gold
    for folder in (tmp_path / "out", tmp_path / "copy"):
        path = folder / "per.jsonl"
        path.write_bytes(path.read_bytes().replace(b"Ada", b"Eva"))
        with pytest.raises(UserError, match=r"per\.jsonl: is not as it was pulled; pull again"):
            merge(found, folder, corpus, "union", Resources(memory_mb=512, processes=1))
    assert (corpus / "gold.jsonl").read_bytes() == gold


def test_what_is_no_longer_asked_for_goes(sources, tmp_path):
    pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    del sources["org"]
    pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    made = [".fingerprints.json", ".lock", "manifest.json", "per.jsonl", "state/manifest/sha256"]
    assert sorted(snapshot(tmp_path / "out")) == made


def test_too_much_skipped_stops_lists_all_and_harms_nothing(sources, tmp_path):
    pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    before = snapshot(tmp_path / "out")
    with (tmp_path / "org.jsonl").open("a") as file:
        file.write("\nbroken" * 20)
    with pytest.raises(UserError, match=r"\[datasets\.org\] 23 of 32 records cannot be used.*malformed JSON.*skipped"):
        pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    after = snapshot(tmp_path / "out")
    assert len(after.pop("skipped/org.jsonl").splitlines()) == 23
    del before["skipped/org.jsonl"]
    assert after == before


def test_a_source_that_fails_stops_before_anything_changes(sources, tmp_path):
    pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    before = snapshot(tmp_path / "out")
    (tmp_path / "per.jsonl").unlink()
    with pytest.raises(UserError, match=r"\[datasets\.per\] .*per\.jsonl: no such file"):
        pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    assert snapshot(tmp_path / "out") == before


def test_an_empty_dataset_is_no_error_but_nothing_at_all_is(sources, tmp_path):
    (tmp_path / "org.jsonl").write_text("\n")
    found, _ = pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    assert found.datasets["org"].records["read"] == 0
    (tmp_path / "per.jsonl").write_text("")
    with pytest.raises(UserError, match="nothing to pull: no record in org, per"):
        pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)


def test_what_a_killed_run_left_is_cleared_away(sources, tmp_path):
    (tmp_path / "out" / ".tmp-work" / "deep").mkdir(parents=True)
    (tmp_path / "out" / ".tmp-123-manifest.json").write_text("half")
    pull(sources, tmp_path / "out", max_skipped=0.5, processes=1)
    assert not list((tmp_path / "out").glob(".tmp-*"))


NAMES = st.text(min_size=1, max_size=300) | st.sampled_from(
    [
        "..",
        ".",
        "../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "C:\\x",
        "x\ny",
        'q"q',
        "🦆",
        ".tmp-work",
        "manifest",
        "skipped",
    ]
)


@given(NAMES.filter(lambda name: not any("\ud800" <= char <= "\udfff" for char in name)))
def test_a_name_is_a_plain_file_in_the_folder_whatever_it_is(name):
    file = file_name(name)
    assert file.endswith(".jsonl")
    assert not file.startswith(".")
    assert set(file).isdisjoint('/\\:\n"<>|?*')
    assert len(file.encode()) < 200


@given(st.lists(NAMES, unique_by=str.casefold, max_size=20))
def test_different_names_are_different_files(names):
    names = [name for name in names if not any("\ud800" <= char <= "\udfff" for char in name)]
    assert len({file_name(name) for name in names}) == len(names)


@pytest.mark.parametrize("name", [":bug:", "[bold]org", "a [link=x]b"])
def test_names_are_shown_as_they_are(name, sources, tmp_path, capsys):
    pulled = pull({name: sources["org"]}, tmp_path / "in", 0.5, 1)
    print_intake(plain_console(width=200), pulled.manifest.datasets)
    assert name in capsys.readouterr().out


def test_the_options_of_a_block_are_applied_and_its_source_is_read_again_if_they_change(sources, tmp_path):
    def pulled(**options):
        return pull(sources, tmp_path / "out", 0.5, 1, options={"per": DatasetOptions(**options)})

    found, _ = pulled(rename={"PER": "PERSON"})
    assert found.datasets["per"].labels == ["PERSON"]
    assert found.datasets["per"].other_labels == {"ORG": 1}
    (answer,) = map(json.loads, (tmp_path / "out/per.jsonl").read_text().splitlines())
    assert (answer["labels"], answer["other_labels"]) == (["PERSON"], ["ORG"])
    assert pulled(rename={"PER": "PERSON"}, corrects=["org"]).unchanged == ["org", "per"]
    assert pulled(rename={"PER": "HUMAN"}).unchanged == ["org"]
    with pytest.raises(UserError, match="no answer of ana; its answers name no annotator"):
        pulled(annotators=["ana"])


def test_what_is_no_answer_does_not_hide_that_answers_are_skipped(tmp_path):
    tasks = [line("Ada", _view_id="choice")] * 90 + [line("Ada met Bob.", (0, 3, "PER"))] * 7 + ["no JSON"] * 3
    (tmp_path / "per.jsonl").write_text("\n".join(tasks))
    with pytest.raises(UserError, match=r"\[datasets.per\] 3 of 10 records cannot be used"):
        pull({"per": ProdigyJsonl(str(tmp_path / "per.jsonl"), ["PER"])}, tmp_path / "out", 0.2, 1)
