"""configs/datasets.cfg: what is wrong with it is said in one line, with what is allowed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.core import settings
from scripts.core.errors import UserError

ROOT = Path(__file__).parent.parent
BLOCK = '[datasets.org]\n@readers = "labelwise.ProdigyJsonl.v1"\npath = "org.jsonl"\nlabels = ["ORG"]\n'


def block(name, corrects):
    return BLOCK.replace("org]", f"{name}]") + f"corrects = {json.dumps(corrects)}\n"


def load(tmp_path, text, **overrides):
    path = tmp_path / "datasets.cfg"
    path.write_text(text, "utf8")
    return settings.load(path, {key.replace("__", "."): value for key, value in overrides.items()})


def test_the_shipped_config_resolves():
    config = settings.load(ROOT / "configs" / "datasets.cfg")
    assert len(config.datasets) == 17
    assert config.merge.between_annotators == "majority"


def test_defaults_stand_for_missing_sections(tmp_path):
    config = load(tmp_path, f"[datasets]\n{BLOCK}")
    assert config.datasets["org"].labels == ["ORG"]
    assert (config.merge.memory_mb, config.split.test, config.docs.misaligned) == (512, 0.2, "snap")
    assert config.processes >= 1


def test_values_can_be_set_from_the_command_line(tmp_path):
    config = load(tmp_path, f"[merge]\n[datasets]\n{BLOCK}", merge__memory_mb=1024)
    assert config.merge.memory_mb == 1024


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            BLOCK.replace("ProdigyJsonl", "Prodigal"),
            "[datasets.org]: there is no 'labelwise.Prodigal.v1'; there is lab",
        ),
        (BLOCK.replace("path", "file"), "takes path, labels, kind"),
        (BLOCK.replace('["ORG"]', '"ORG"'), "[datasets.org]: labels: 'ORG' is not list[str]; labelwise"),
        (BLOCK + "color = 3\n", "color"),
        (BLOCK.replace('["ORG"]', "3"), "labels: "),
        (BLOCK + 'kind = "odd"\n', "kind: "),
        (BLOCK.replace("@readers", "@reader"), '[datasets.org]: needs a line like @readers = "labelwise.Brat.v1"'),
        (BLOCK + BLOCK, "already exists"),
        (BLOCK.replace('"org.jsonl"', "${paths.nowhere}"), "nowhere"),
        (BLOCK + "[datasets.ORG]" + BLOCK.partition("]")[2], "differ only in case"),
        ("", "names no dataset"),
        (
            BLOCK + "[odd]\nx = 1\n",
            "[odd]: no such section; there are paths, datasets, pull, merge, split, docs, suspects, queue, engine,",
        ),
        (BLOCK + '[merge]\nbetween_annotators = "dice"\n', "[merge] between_annotators = 'dice': must be 'majority',"),
        (BLOCK + "[merge]\nmemory_mb = 1\n", "[merge] memory_mb = 1: must be greater than or equal to 128"),
        (
            BLOCK + "[split]\ndev = 0.6\ntest = 0.6\n",
            "[split] dev + test = 1.2: must be less than 1",
        ),
        (
            BLOCK + '[split]\ntest_datasets = ["per"]\n',
            "no dataset 'per'; there are org",
        ),
        (BLOCK + '[split]\n@misc = "labelwise.Split.v1"\n', "[split] @misc: no such key; there are dev, test"),
        (BLOCK + '[suspects]\nsteps = "third"\n', "steps = 'third': must be 'half' or a valid integer"),
        (BLOCK + '[queue]\norder = "useful"\n', "must be 'informative' or 'random'"),
        (BLOCK + '[engine]\n@misc = "labelwise.Spark.v1"\n', "there is labelwise.Dask.v1, labelwise.Local.v1"),
        (BLOCK + "[system]\nprocesses = -1\n", "[system] processes = -1: must be greater than or equal to 0"),
        (BLOCK + "[system]\ngpu = 1\n", "[system] gpu: no such key; there are processes"),
        (BLOCK + "annotators = 3\n", "[datasets.org] annotators = 3: must be a valid list"),
        (BLOCK + 'repeats = "often"\n', "repeats = 'often': must be 'auto', 'unite' or 'replace'"),
        (BLOCK + 'rename = "ORG"\n', "[datasets.org] rename = 'ORG': must be a valid dictionary"),
        (BLOCK + 'rename = {"ORG": ""}\n', "[datasets.org] rename"),
        (BLOCK + 'rename = {"PER": "PERSON"}\n', "rename: 'PER' is not among its labels; there are ORG"),
        (BLOCK + 'corrects = ["per"]\n', "[datasets.org] corrects: no dataset 'per'; there are org"),
        (BLOCK + 'corrects = ["org"]\n', "[datasets.org] corrects goes in a circle: org corrects org"),
        (
            BLOCK + 'corrects = ["b"]\n' + block("a", ["org"]) + block("b", ["a"]),
            "[datasets.org] corrects goes in a circle: org corrects b corrects a corrects org",
        ),
        (BLOCK + "color = 3\n", "and every dataset annotators, rename, corrects, repeats"),
        (BLOCK + "[options]\n", "[options]: no such section; there are paths, datasets, pull, merge, split, docs, sus"),
        ("no config at all", "datasets.cfg: "),
    ],
)
def test_an_error_is_one_line(text, said, tmp_path):
    with pytest.raises(UserError) as caught:
        load(tmp_path, f"[datasets]\n{text}")
    line = " ".join(str(caught.value).split())
    assert line.startswith(str(tmp_path / "datasets.cfg"))
    assert said in line
    assert len(line) < 600


def test_every_block_has_options_that_its_reader_does_not_get(tmp_path):
    labels = ["PER", "a=b", "c:d", "[e]", "#f", "$h", "É ü"]
    written = {label: f"our {label}" for label in labels}
    keys = f'annotators = ["ana"]\nrename = {json.dumps(written)}\nrepeats = "unite"\n'.replace("$", "\\u0024")
    text = BLOCK.replace('["ORG"]', json.dumps(labels).replace("$", "\\u0024")) + keys
    config = load(tmp_path, f"[datasets]\n{text}{block('b', ['org'])}{block('c', ['b', 'org'])}")
    assert config.datasets["org"].labels == labels
    assert config.options["org"].rename == written
    assert config.options["org"].our_labels(["PER", "LOC"]) == ["LOC", "our PER"]
    assert (config.options["org"].annotators, config.options["org"].repeats) == (["ana"], "unite")
    assert (config.options["c"].corrects, config.options["b"].repeats) == (["b", "org"], "auto")


def test_options_can_be_set_from_the_command_line(tmp_path):
    text = BLOCK + 'rename = {"ORG": "FIRM"}\nannotators = ["ana"]\n'
    config = load(tmp_path, f"[datasets]\n{text}", datasets__org__rename={"ORG": "CO"}, datasets__org__annotators=["b"])
    assert (config.options["org"].rename, config.options["org"].annotators) == ({"ORG": "CO"}, ["b"])


def test_what_the_features_do_is_set_beside_the_rules(tmp_path):
    text = f'[suspects]\nfolds = 3\nsteps = 200\n[queue]\norder = "random"\n[datasets]\n{BLOCK}'
    config = load(tmp_path, text, suspects__models=4, docs__misaligned="skip", merge__contained="keep")
    assert (config.suspects.folds, config.suspects.models, config.suspects.steps) == (3, 4, 200)
    assert (config.queue.order, config.docs.misaligned, config.merge.contained) == ("random", "skip", "keep")
    defaults = load(tmp_path, f"[datasets]\n{BLOCK}")
    assert (defaults.suspects.folds, defaults.suspects.models, defaults.suspects.steps) == (5, 2, "half")
    assert defaults.queue.order == "informative"


def test_the_shipped_config_has_the_defaults():
    """So that whoever deletes a line changes nothing."""
    shipped = settings.load(ROOT / "configs" / "datasets.cfg")
    defaults = settings.Settings(datasets=shipped.datasets, engine=shipped.engine, paths=shipped.paths)
    assert shipped == defaults


def test_the_config_is_read_without_spacy():
    code = (
        "import sys; from pathlib import Path; from scripts.core.settings import load;"
        "load(Path('configs/datasets.cfg')); assert 'spacy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_missing_config_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.cfg: no such file"):
        settings.load(tmp_path / "nowhere.cfg")


def test_values_of_missing_sections_can_be_set(tmp_path):
    config = load(tmp_path, f"[datasets]\n{BLOCK}", merge__memory_mb=1024, system__processes=7)
    assert (config.merge.memory_mb, config.processes) == (1024, 7)


@pytest.mark.parametrize("key", ["merge__memory", "system__gpu", "odd__key", "datasets__org__color"])
def test_an_override_of_nothing_is_an_error(key, tmp_path):
    with pytest.raises(UserError, match=key.rpartition("__")[2] if key != "odd__key" else "odd"):
        load(tmp_path, f"[datasets]\n{BLOCK}", **{key: 1024})


def test_a_reader_of_another_package_is_found(tmp_path):
    package = tmp_path / "theirs-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[spacy_readers]\ntheirs.Export.v1 = theirs:export\n")
    (tmp_path / "theirs.py").write_text(
        "from scripts.sources.prodigy_jsonl import ProdigyJsonl\n"
        "def export(label: str):\n"
        "    return ProdigyJsonl(label + '.jsonl', [label])\n"
    )
    config = tmp_path / "datasets.cfg"
    config.write_text('[datasets]\n[datasets.org]\n@readers = "theirs.Export.v1"\nlabel = "ORG"\n')
    code = (
        "import json, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]);"
        "from scripts.core import settings;"
        "print(json.dumps(settings.load(Path(sys.argv[2])).datasets['org'].labels))"
    )
    found = subprocess.run([sys.executable, "-c", code, tmp_path, config], cwd=ROOT, capture_output=True, text=True)
    assert not found.returncode, found.stderr
    assert json.loads(found.stdout) == ["ORG"]
