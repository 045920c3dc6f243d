"""Merging again after a few answers changed: what did not change is taken over, and the bytes are those of a merge from
nothing.
"""

from __future__ import annotations

import random
import shutil
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.core import manifest as manifests
from scripts.core.errors import UserError
from scripts.core.workers import Workers
from scripts.merging import merging, stretches
from scripts.merging import merging as gathering
from scripts.merging.account import Account
from scripts.merging.merging import merge, merge_bucket
from scripts.merging.pulling import changes, remember, remembered
from tests.annotated import task, write
from tests.test_merge import RESOURCES, answers

SENTENCE = "Bob was born in 1990 in Paris, as we all know."


def pull(folder, tasks):
    """Leave files as `pull` does, which knows what changed in them."""
    try:
        before = manifests.load(folder).datasets
    except UserError:
        before = {}
    seen = remembered(folder)
    new = folder.with_name(f"{folder.name} new")
    found = write(new, tasks)
    since = {
        name: changes(before.get(name), seen.get(name), folder / entry.file, entry, new / entry.file)
        for name, entry in found.datasets.items()
    }
    folder.mkdir(exist_ok=True)
    for path in new.iterdir():
        path.replace(folder / path.name)
    shutil.rmtree(new)
    remember(folder, found.datasets, dict.fromkeys(found.datasets, "source"), since)
    return found


def merged(folder, found, corpus="corpus", **resources):
    """All that a merge made, and the account of it."""
    account, _ = merge(found, folder / "in", folder / corpus, "majority", RESOURCES._replace(**resources))
    return {path.name: path.read_bytes() for path in sorted((folder / corpus).iterdir()) if path.is_file()}, account


@pytest.fixture
def fine(monkeypatch):
    """Sixteen stretches, however few bytes."""
    for module in (stretches, gathering):
        monkeypatch.setattr(module, "number_of_stretches", lambda size: 16)


@pytest.fixture
def anew(fine, monkeypatch):
    """The texts that are merged, and not taken over, and how often texts are compared."""
    seen = {"texts": [], "compared": 0}
    spread = Workers.spread

    def note(self, work, items, title):
        for made in spread(self, work, items, title):
            if work is merge_bucket:
                seen["texts"] += [Account.unpacked(each.account).totals["texts"] for each in made.values()]
            yield made

    def compare(*args):
        seen["compared"] += 1
        return find_resemblance(*args)

    from scripts.merging import contained as resemblance

    find_resemblance = resemblance.find_resemblance
    monkeypatch.setattr(Workers, "spread", note)
    monkeypatch.setattr(resemblance, "find_resemblance", compare)
    return seen


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.lists(answers(), min_size=1, max_size=25),
    later=st.lists(st.tuples(st.sets(st.integers(0, 24)), st.lists(answers(), max_size=3)), min_size=1, max_size=3),
    buckets=st.integers(0, 40),
    skip=st.booleans(),
)
def test_the_bytes_are_those_of_a_merge_from_nothing(first, later, buckets, skip, fine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stretches")
    merged(folder, pull(folder / "in", first))
    tasks = first
    for number, (gone, new) in enumerate(later):
        tasks = [one for index, one in enumerate(tasks) if index not in gone] + new or first
        found = pull(folder / "in", tasks)
        if skip and number % 2:  # pulled twice before it is merged
            continue
        expected, _ = merged(folder, found, f"from nothing {number}")
        assert merged(folder, found, buckets=buckets)[0] == expected


@pytest.fixture
def many():
    """2,000 texts, annotated for two labels by one annotator each."""
    return [
        task(f"text {number} " * 9, labels=[label], dataset=label.lower(), source=f"link:{number}")
        for number in range(2000)
        for label in ("ORG", "PERSON")
    ]


def changed(tasks, number):
    """So many answers are others now."""
    tasks = list(tasks)
    for index in random.Random(number).sample(range(0, len(tasks), 2), number):
        old = tasks[index]
        tasks[index] = task(old.text, (0, 4, "ORG"), labels=old.labels, dataset=old.dataset, source=old.source)
    return tasks


@pytest.mark.parametrize("processes", [1, 2])
def test_only_stretches_with_changes_are_merged(processes, many, anew, tmp_path):
    merged(tmp_path, pull(tmp_path / "in", many))
    assert sum(anew["texts"]) == 2000
    tasks = many
    anew["texts"].clear()
    for number in (1, 2):  # pulled twice before it is merged
        tasks = changed(tasks, number)
        found = pull(tmp_path / "in", tasks)
    made, account = merged(tmp_path, found, processes=processes)
    assert account.coverage["ORG"]["spans"] == 3
    assert 0 < sum(anew["texts"]) < 2000 * 4 / 16
    assert anew["compared"] == 1
    assert merged(tmp_path, found, "from nothing")[0] == made


def test_texts_are_compared_again_only_where_others_could_resemble(many, anew, tmp_path):
    whole = task(f"Ada met Bob. {SENTENCE} He lives there still.", source="link:8000")
    tasks = [*many, whole, task(SENTENCE, source="link:8001")]
    merged(tmp_path, pull(tmp_path / "in", tasks))
    assert anew["compared"] == 1

    def compared(tasks):
        before = anew["compared"]
        found = pull(tmp_path / "in", tasks)
        made, account = merged(tmp_path, found)
        now = anew["compared"] - before
        assert merged(tmp_path, found, f"from nothing {anew['compared']}")[0] == made
        return now, account.totals["parts"]

    tasks = changed(tasks, 3)
    assert compared(tasks) == (0, 1)  # other answers about the same texts
    tasks = [one for one in tasks if (one.dataset, one.source) != ("org", "link:7")]
    assert compared(tasks) == (0, 1)  # a text has one source less, and resembles none
    tasks += [task(SENTENCE, labels=["PERSON"], dataset="person", source="link:8002")]
    assert compared(tasks) == (1, 1)  # a part has a source more
    tasks += [task("Ada met Bob.", source="link:8003")]
    assert compared(tasks)[0] == 1  # a new text


def test_nothing_is_taken_over_from_what_is_not_as_it_was_merged(many, anew, tmp_path):
    merged(tmp_path, pull(tmp_path / "in", many))
    corpus, annotations = tmp_path / "corpus", tmp_path / "in"
    stretches_file = corpus / ".stretches.json"
    remembered_then = stretches_file.read_bytes()

    def texts_anew(tasks, harm):
        found = pull(tmp_path / "in", tasks)
        harm()
        anew["texts"].clear()
        made, _ = merged(tmp_path, found)
        count = sum(anew["texts"])
        shutil.rmtree(tmp_path / "from nothing", ignore_errors=True)
        assert merged(tmp_path, found, "from nothing")[0] == made
        return count

    assert texts_anew(changed(many, 1), lambda: None) < 500
    killed = partial(stretches_file.write_bytes, remembered_then)  # before it could remember
    assert texts_anew(changed(many, 2), killed) == 2000
    assert texts_anew(changed(many, 3), lambda: stretches_file.write_text("{")) == 2000
    assert texts_anew(changed(many, 4), lambda: stretches_file.unlink()) == 2000
    assert texts_anew(changed(many, 5), lambda: (corpus / "gold.jsonl").write_text("edited")) == 2000
    assert texts_anew(changed(many, 6), lambda: (corpus / "parts.jsonl").unlink()) == 2000
    assert texts_anew(changed(many, 7), lambda: (annotations / ".fingerprints.json").unlink()) == 2000
    assert texts_anew([*changed(many, 7), task("new", dataset="a third")], lambda: None) == 2001
    assert texts_anew(changed(many, 8), lambda: None) == 2000  # it is gone
    assert texts_anew(changed(many, 9), lambda: None) < 2000


def test_by_another_policy_all_is_merged(many, anew, tmp_path):
    found = pull(tmp_path / "in", many)
    merged(tmp_path, found)
    anew["texts"].clear()
    merge(found, tmp_path / "in", tmp_path / "corpus", "union", RESOURCES)
    assert sum(anew["texts"]) == 2000
    merge(found, tmp_path / "in", tmp_path / "corpus", "union", RESOURCES, "map")
    assert sum(anew["texts"]) == 4000
    found = pull(tmp_path / "in", changed(many, 1))
    merge(found, tmp_path / "in", tmp_path / "corpus", "union", RESOURCES, "map")
    assert sum(anew["texts"]) == 6000  # where answers move there may be others than changed


@pytest.mark.parametrize("place", ["write_json", "remember"])
def test_a_merge_that_breaks_off_while_it_publishes_is_made_up_for(place, many, fine, tmp_path, monkeypatch):
    merged(tmp_path, pull(tmp_path / "in", many))
    found = pull(tmp_path / "in", changed(many, 3))
    with monkeypatch.context() as patched:
        patched.setattr(merging, place, lambda *_: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(OSError, match="no space"):
            merged(tmp_path, found)
    expected, _ = merged(tmp_path, found, "from nothing")
    made, _ = merged(tmp_path, found)
    assert made.pop(".stretches.json") == expected.pop(".stretches.json") or place == "remember"
    assert made == expected
    found = pull(tmp_path / "in", changed(many, 4))
    assert merged(tmp_path, found)[0] == merged(tmp_path, found, "and from nothing")[0]


def test_stretches_depend_on_the_size_alone():
    assert [stretches.number_of_stretches(size) for size in (0, 2**22 - 1, 2**22, 2**23, 2**40)] == [1, 1, 2, 4, 256]
    run = stretches.Run(3, 5, True)
    hashes = stretches.hashes_of(run, 16)
    assert [stretches.stretch_of(each, 16) for each in (hashes.start, hashes.stop - 1)] == [3, 4]
    assert stretches.stretch_of(-(2**31), 256) == 0
    assert stretches.stretch_of(2**31 - 1, 256) == 255
