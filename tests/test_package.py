"""package: a wheel that installs into an empty environment and finds there what the model found here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile

import pytest
import spacy

from tests.scored import one_line, sign, step
from tests.test_train import SECRET, TEXTS, doc, found, train, write_corpus

PACKAGE = ("--metrics", "metrics", "--output", "packages", "--name", "people", "--version", "1.2.0")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A trained and evaluated model."""
    folder = tmp_path_factory.mktemp("project")
    docs = [doc(number) for number in range(60)]
    write_corpus(folder / "corpus", docs[:10], dev=docs[10:20], train=docs[20:])
    covered = {label: {"train": 40, "dev": 10, "test": 10} for label in ("LOC", "ORG", "PER")}
    sign(folder / "corpus", covered=covered)
    assert train(folder, "--paths.train", folder / "corpus" / "train").returncode == 0
    done = step(folder, "scripts.evaluate", "--run", "ner", "--models", "training/ner")
    assert done.returncode == 0, done.stderr
    return folder


def package(project, *options):
    return step(project, "scripts.package", "--model", "training/ner/seed-0/model-best", *PACKAGE, *options)


@pytest.fixture(scope="module")
def wheel(project):
    done = package(project)
    if "the network are needed" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    (path,) = (project / "packages").glob("*.whl")
    assert path.name == "en_people-1.2.0-py3-none-any.whl"
    return path


def test_an_empty_environment_finds_the_same(project, wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True)
    code = (
        "import json, sys, spacy\n"
        "nlp = spacy.load('en_people')\n"
        "found = {}\n"
        "for doc in nlp.pipe(json.loads(sys.argv[1])):\n"
        "    group = doc.spans['predicted']\n"
        "    for span, score in zip(group, group.attrs['scores']):\n"
        "        found.setdefault(span.label_, []).append((doc.text, span.start, span.end, float(score)))\n"
        "from thinc.api import use_ops\n"
        "with use_ops('numpy', use_blis=False):\n"  # as the card says
        "    fast = spacy.load('en_people')\n"
        "blis = [each.get_pipe('label_heads').model.ops.use_blis for each in (nlp, fast, spacy.load('en_people'))]\n"
        "print(json.dumps([found, 'scripts' in sys.modules, nlp.meta['version'], blis]))"
    )
    done = subprocess.run(
        [python, "-c", code, json.dumps(TEXTS)], cwd=tmp_path, capture_output=True, encoding="utf8"
    )  # not in the project, whose modules would be found
    assert done.returncode == 0, done.stderr
    there, has_project, version, blis = json.loads(done.stdout)
    assert blis == [True, False, True]
    here = found(project / "training/ner/seed-0/model-best", TEXTS)
    assert {label: [tuple(each) for each in spans] for label, spans in there.items()} == here
    assert not has_project
    assert version == "1.2.0"


def test_the_card_has_the_scores_and_what_the_model_was_made_of(project, wheel):
    metrics = json.loads((project / "metrics.json").read_text())
    card = wheel.with_name(f"{wheel.name}.md").read_text()
    for label, score in metrics["labels"].items():
        assert f"| {label} | {score['p']:.3f} | ".replace("0.", ".") in card or score["p"] == 1
        assert f"| {score['support']:,} | 40 |" in card
    assert "trained on the corpus `dddddddd`" in card
    assert 'with use_ops("numpy", use_blis=False):' in card
    assert ", threads: 1" in card
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("1.2.0/README.md"))
        assert archive.read(name).decode() == card
        (meta,) = (name for name in archive.namelist() if name.endswith("people/meta.json"))
        assert [name.partition(">")[0] for name in json.loads(archive.read(meta))["requirements"]] == ["spacy"]


def test_of_several_seeds_the_description_has_the_score_of_this_one_as_the_card_has(project, tmp_path):
    metrics = shutil.copytree(project / "metrics", tmp_path / "metrics")
    (path,) = metrics.glob("ner-*/metrics.json")
    own = json.loads(path.read_text())
    mean = json.loads(path.read_text())
    mean["micro"]["f"] = 0.123
    path.write_text(json.dumps(mean | {"seeds": {"0": own, "1": own}}))
    done = package(project, "--metrics", metrics, "--output", tmp_path)
    if "the network are needed" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (meta,) = (name for name in archive.namelist() if name.endswith("0/meta.json"))
        assert f"(F {own['micro']['f']:.3f} on " in json.loads(archive.read(meta))["description"]


def test_a_model_that_may_have_learned_test_texts_is_said_to_be_one(project, wheel, tmp_path):
    said = "was trained on another corpus than it is evaluated on, and may have learned texts of the test"
    assert said not in wheel.with_name(f"{wheel.name}.md").read_text()
    metrics = shutil.copytree(project / "metrics", tmp_path / "metrics")
    (path,) = metrics.glob("ner-*/run.json")
    run = json.loads(path.read_text())
    run["trained"]["outdated"] = sorted(run["tests"])
    path.write_text(json.dumps(run))
    done = package(project, "--metrics", metrics, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"⚠ {path.parent.name} {said}; the card says so" in " ".join(done.stdout.split())
    (card,) = tmp_path.glob("*.md")
    assert f"- ⚠ {said}" in card.read_text()


def test_the_wheel_has_no_word_of_the_training_texts(project, tmp_path):
    """Not even of a model that has them, as `spacy train` alone writes it."""
    strings = project / "training/ner/seed-0/model-best/vocab/strings.json"
    before = strings.read_bytes()
    strings.write_text(json.dumps([*json.loads(before), SECRET]))
    try:
        assert step(project, "scripts.evaluate", "--run", "ner", "--models", "training/ner").returncode == 0
        done = package(project, "--output", tmp_path)
    finally:
        strings.write_bytes(before)
    if "the network are needed" in done.stderr:
        pytest.skip(done.stderr)
    (path,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        (kept,) = (name for name in wheel.namelist() if name.endswith("strings.json"))
        assert "e.g." in json.loads(wheel.read(kept))  # of the tokenizer's rules
        for name in wheel.namelist():
            assert SECRET.encode() not in wheel.read(name), name


def test_the_wheel_has_no_path_of_this_machine(project, wheel):
    with zipfile.ZipFile(wheel) as archive:
        assert not any(str(project).encode() in archive.read(name) for name in archive.namelist())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--name", "My Model"], "is no name for a package"),
        (["--version", "new"], "is no version; use one like 0.1.0"),
        (["--model", "nowhere"], "nowhere: is no trained model"),
        (
            ["--metrics", "nowhere"],
            "was not evaluated, or has changed since; evaluate it first: weasel run evaluate",
        ),
    ],
)
def test_what_cannot_be_packaged_is_one_line(options, said, project):
    before = sorted((project / "packages").glob("*"))
    assert said in one_line(package(project, *options))
    assert sorted((project / "packages").glob("*")) == before


def test_a_model_of_other_labels_is_not_packaged(project, tmp_path):
    """As the demo's is not, once there are other annotations."""
    (tmp_path / "labels.json").write_text('["COMPOUND", "DOSE"]')
    said = one_line(package(project, "--corpus", tmp_path))
    assert "model-best: knows no label of the corpus (COMPOUND, DOSE): weasel run train" in said


def test_the_name_of_any_run_becomes_one_for_a_package(project, tmp_path):
    assert step(project, "scripts.evaluate", "--run", "ner", "--models", "training/ner").returncode == 0
    done = package(project, "--name", "ner-StreetName", "--output", tmp_path)
    if "the network are needed" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.glob("*.whl")] == ["en_ner_streetname-1.2.0-py3-none-any.whl"]


def test_a_model_that_changed_since_it_was_evaluated_is_not_packaged(project, tmp_path):
    nlp = spacy.load(project / "training/ner/seed-0/model-best")
    nlp.get_pipe("label_heads").thresholds["ORG"] = 3.0
    nlp.to_disk(tmp_path / "changed")
    assert "was not evaluated, or has changed since" in one_line(package(project, "--model", tmp_path / "changed"))
