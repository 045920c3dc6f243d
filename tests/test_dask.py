"""The steps on a cluster of Dask: the same bytes as on one machine, whatever happens to workers and storage."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from benchmarks.generate import Size, generate
from scripts.building import splits
from scripts.building.corpus import build
from scripts.building.plan import CorpusPlan, nlp_block
from scripts.building.splits import read_corpus
from scripts.core import manifest, settings
from scripts.core.errors import UserError
from scripts.merging.merge import Resources
from scripts.merging.merged import gold_as_merged
from tests.clusters import cluster, engine, s3_server
from tests.prodigy import line, task
from tests.project import ROOT, STEPS, TRAINING, fail, succeed

pytest.importorskip("distributed", reason="pip install -r requirements-dask.txt")
from scripts.engines.corpus import CorpusJob, build_on, make_shards
from scripts.engines.merge import merge_on
from scripts.engines.pull import pull_on
from scripts.engines.storage import Storage, opened

KILLS = int(os.environ.get("LABELWISE_KILLS", "3"))
RESULTS = ("gold.jsonl", "conflicts.jsonl", "coverage.csv", "contained.jsonl", "duplicates.jsonl")
PARTS = {"part_mb": 0.05}
GROWS = "held_out"
PLAN = CorpusPlan({"lang": "en"}, dev=0.2, test=0.2, document="", dev_datasets=[], test_datasets=[], misaligned="snap")
IMPATIENT = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s"}  # to wait for a scheduler that is lost

BLOCK = """
[datasets.{}]
@readers = "labelwise.ProdigyJsonl.v1"
path = "{}"
labels = ["PER"]
"""
# Nothing that Dask needs can be found.
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(("distributed", "dask", "fsspec")))
"""
# Files of which each is written, and read, only when it is tried for the third time.
FLAKY = """
import hashlib, os
from pathlib import Path
import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

def fail_twice(what):
    place = Path(os.environ["FLAKY"], "failed", hashlib.sha256(what.encode()).hexdigest())
    place.parent.mkdir(exist_ok=True)
    tried = place.read_text() if place.exists() else ""
    if len(tried) < 2:
        place.write_text(tried + "x")
        raise OSError(5, "Input/output error", what)

class Flaky(AbstractFileSystem):
    protocol = "flaky"
    local = LocalFileSystem(auto_mkdir=True)

    def put_file(self, lpath, rpath, **options):
        if rpath.endswith(".jsonl") and ("/gold/" in rpath or "/label_00/" in rpath):
            fail_twice(f"put {rpath}")
        self.local.put_file(lpath, rpath)

    def cat_file(self, path, start=None, end=None, **options):
        if self.local.exists(path) and path.endswith("/slices"):
            fail_twice(f"cat {path}")
        return self.local.cat_file(path, start, end)

    def _open(self, path, mode="rb", **options):
        return self.local.open(path, mode)

    def find(self, path, **options):
        return self.local.find(path)

    def exists(self, path, **options):
        return self.local.exists(path)

    def rm_file(self, path):
        self.local.rm_file(path)

fsspec.register_implementation("flaky", Flaky)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with datasets in either format, some of it unusable, and what one machine makes of it."""
    folder = tmp_path_factory.mktemp("dask") / "project"
    generate(folder, Size(datasets=4, tasks=150, kilobytes=3))
    blocks = [(folder / f"datasets-{kind}.cfg").read_text() for kind in ("sqlite", "jsonl")]
    blocks[1] = blocks[1].partition("[datasets]\n")[2].replace("[datasets.", "[datasets.again_")
    tasks = [task(f"Ada met number {number}.", [(0, 3, "PER")]) for number in range(20)]
    tasks.append(task("Adas are met.", [(0, 3, "PER")]))  # ends inside a token
    (folder / f"{GROWS}.jsonl").write_text("\n".join(map(line, tasks)))
    blocks.append(BLOCK.format(GROWS, folder / f"{GROWS}.jsonl"))
    (folder / "datasets.cfg").write_text("".join(blocks))
    with (folder / "label_02.jsonl").open("ab") as file:
        file.write(b'\n{"text": "cut o\n \n{"text": "", "answer": "accept"}\n')
    for step in ("pull", "merge"):
        succeed(folder, step)
    (folder / "corpus").rename(folder / "expected")
    (folder / "annotations").rename(folder / "expected-annotations")
    return folder


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("cluster"), memory_mb=1024) as found:
        yield found


@pytest.fixture
def folder(project, tmp_path):
    """A copy of the project, with the sources where they were."""
    return linked(project, tmp_path)


def linked(project, folder):
    for path in project.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


def configured(folder, workers, **options):
    name = f"file://{folder}/storage"
    values = {"@misc": "labelwise.Dask.v1", "storage": name, "scheduler": workers.address, **PARTS, **options}
    return settings.load(folder / "datasets.cfg", {f"engine.{key}": value for key, value in values.items()})


def steps(folder, workers, buckets=64, upto="merge", **options):
    """What a run of both steps does, without their start; the options are the engine's."""
    config = configured(folder, workers, **options)
    annotations, corpus = folder / "annotations", folder / "corpus"
    found = pull_on(config.engine, config.datasets, annotations, 0.2, False)
    if upto == "pull":
        return found, None
    asked = (found.manifest, annotations, corpus, "majority")
    return found, merge_on(config.engine, *asked, Resources(256, 1, buckets), "keep")


def grow(folder):
    """A dataset is another file now, which has a text more."""
    path = (folder / f"{GROWS}.jsonl").resolve()
    (folder / "grown.jsonl").write_text(path.read_text() + "\n" + line(task("A text that is new.")) + "\n")
    config = (folder / "datasets.cfg").read_text()
    assert str(path) in config
    (folder / "datasets.cfg").unlink()
    (folder / "datasets.cfg").write_text(config.replace(str(path), f"{folder}/grown.jsonl"))


def pulled(folder, workers):
    """The options for a merge of what has been pulled."""
    steps(folder, workers, upto="pull")
    return engine(f"file://{folder}/storage", workers.address, **PARTS)


def is_as_expected(folder):
    for name in RESULTS:
        assert (folder / "corpus" / name).read_bytes() == (folder / "expected" / name).read_bytes(), name
    one, other = (json.loads((folder / where / "merge.json").read_bytes()) for where in ("corpus", "expected"))
    for account in ("policy", "labels", "totals", "answers", "spans", "coverage"):
        assert one[account] == other[account], account
    return True


def shards(folder, kind):
    return sorted(folder.glob(f"storage/corpus/*/{kind}/*.jsonl"))


def test_same_bytes_and_the_same_account(folder, workers):
    options = engine(f"file://{folder}/storage", workers.address, **PARTS)
    assert "malformed JSON" in succeed(folder, "pull", *options)
    assert "171 texts" in succeed(folder, "merge", *options, "--merge.buckets", 64)
    assert is_as_expected(folder)
    parts = json.loads((folder / "storage/annotations/parts.json").read_bytes())["parts"]
    assert len(parts) > 4 * 8  # several of each dataset
    for kind in ("gold", "conflicts"):
        found = shards(folder, kind)
        assert len(found) == 64
        assert b"".join(path.read_bytes() for path in found) == (folder / f"expected/{kind}.jsonl").read_bytes()


def test_same_account_of_what_was_read(folder, workers):
    found, _ = steps(folder, workers)
    expected = manifest.load(folder / "expected-annotations").datasets
    for key in set(manifest.Entry.__struct_fields__) - {"sha256"}:
        for name, entry in found.manifest.datasets.items():
            assert getattr(entry, key) == getattr(expected[name], key), (name, key)
    (listed,) = (folder / "expected-annotations/skipped").iterdir()
    assert (folder / "annotations/skipped" / listed.name).read_bytes() == listed.read_bytes()


def test_what_did_not_change_is_not_done_again(folder, workers):
    steps(folder, workers)
    parts = {path: path.stat().st_mtime_ns for path in folder.glob("storage/annotations/**/*.jsonl")}
    parts = {path: time for path, time in parts.items() if GROWS not in path.parts}
    found, (_, is_new) = steps(folder, workers)
    assert (len(found.unchanged), is_new) == (9, False)
    grow(folder)
    _, (merged, _) = steps(folder, workers)
    assert merged.totals["texts"] == 172
    assert {path: path.stat().st_mtime_ns for path in parts} == parts
    assert len(shards(folder, "gold")) == 64  # those of the other merge are gone
    assert not list(folder.glob("storage/**/.tmp-*"))


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_workers_that_are_started_for_it_as_the_page_says(folder):
    (folder / "configs").mkdir()
    (folder / "configs/datasets.cfg").symlink_to(folder / "datasets.cfg")
    page = (ROOT / "docs/many-machines.md").read_text("utf8")
    (commands,) = (block for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) if "scripts.pull" in block)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = os.environ | {"PYTHONPATH": str(ROOT), "PATH": path}
    done = subprocess.run(["bash", "-euc", commands], cwd=folder, env=env, capture_output=True, encoding="utf8")
    assert done.returncode == 0, done.stderr
    assert is_as_expected(folder)


def test_results_can_stay_in_shards(folder, workers):
    (folder / "corpus").mkdir()
    (folder / "corpus/gold.jsonl").write_text("of an earlier merge")
    steps(folder, workers, fetch=False)
    assert not (folder / "corpus/gold.jsonl").exists()
    found = json.loads((folder / "corpus/shards.json").read_bytes())
    gold = b"".join((folder / "storage" / shard["name"]).read_bytes() for shard in found["gold"])
    assert gold == (folder / "expected/gold.jsonl").read_bytes()
    assert (folder / "corpus/coverage.csv").read_bytes() == (folder / "expected/coverage.csv").read_bytes()
    assert steps(folder, workers)[1][1]  # now it is fetched
    assert is_as_expected(folder)


# Shards of Docs


def made(corpus):
    """What `corpus` makes."""
    paths = (path for name in ("train", "dev", "test", "misaligned") for path in (corpus / name).glob("*"))
    paths = (*paths, *(corpus / name for name in ("labels.json", "split.json", "docbins.json")))
    return {str(path.relative_to(corpus)): path.read_bytes() for path in paths if path.exists()}


@pytest.fixture
def local(folder):
    """What this machine makes of the same gold."""
    shutil.copytree(folder / "expected", folder / "local")

    def build_here(plan=PLAN):
        build(folder / "local", plan, 1)
        return made(folder / "local")

    return build_here


@pytest.fixture(scope="module")
def merged_once(project, workers, tmp_path_factory):
    folder = linked(project, tmp_path_factory.mktemp("merged"))
    steps(folder, workers, buckets=16)
    return folder


@pytest.fixture
def merged(merged_once, folder, workers):
    """The engine, and what it has merged, in 16 buckets. No shards of Docs are there."""
    shutil.copytree(merged_once / "corpus", folder / "corpus")
    shutil.rmtree(merged_once / "storage/docbins", ignore_errors=True)
    (folder / "storage").symlink_to(merged_once / "storage")
    return configured(merged_once, workers).engine, folder / "corpus"


def receipts(folder):
    return sorted(folder.glob("storage/docbins/*/*/made.json"))


@pytest.fixture
def shards_of_docs(folder, monkeypatch):
    """Sets how many there are: a power of 2."""
    size = (folder / "expected/gold.jsonl").stat().st_size
    return lambda number: monkeypatch.setattr(splits, "_SHARD_BYTES", size * 2 // number)


@pytest.mark.parametrize("number", [4, 64])
def test_same_shards_cut_as_finely_as_the_gold_or_not(number, merged, local, folder, shards_of_docs):
    shards_of_docs(number)
    corpus, kept = build_on(*merged, PLAN)
    expected = local()
    assert made(merged[1]) == expected
    assert kept == 0
    assert len(receipts(folder)) == min(16, len(corpus.shards))
    assert any("misaligned" in name for name in expected)
    assert sum(name.endswith(".spacy") for name in expected) > number // 2
    assert build_on(*merged, PLAN)[1] == len(corpus.shards)  # now they are there
    assert build(merged[1], PLAN, 1)[1] == len(corpus.shards)  # for the other engine too


def test_the_step_and_datasets_to_evaluate_with(merged, local, folder):
    (folder / "training.cfg").write_text(TRAINING)
    options = engine(merged[0].storage, merged[0].scheduler)
    said = succeed(folder, "corpus", *options, "--split.test_datasets", '["held_out"]', "--split.dev", 0.2)
    assert "✔ corpus: 2 shards" in said
    assert made(merged[1])["labels.json"] == local()["labels.json"]
    plan = PLAN._replace(nlp=nlp_block(folder / "training.cfg"), test_datasets=["held_out"])
    assert made(merged[1]) == local(plan)


def test_only_what_changed_is_made_and_brought_again(workers, folder, shards_of_docs):
    shards_of_docs(16)
    steps(folder, workers, buckets=16)
    merged = configured(folder, workers).engine, folder / "corpus"
    corpus, _ = build_on(*merged, PLAN)
    before = {path: path.stat().st_mtime_ns for path in merged[1].glob("*/*.spacy")}
    next(iter(before)).write_bytes(b"damaged")
    grow(folder)
    steps(folder, workers, buckets=16)
    again, kept = build_on(*merged, PLAN)
    assert kept == len(corpus.shards) - 1
    assert sum(again.texts.values()) == sum(corpus.texts.values()) + 1
    same = [path for path, time in before.items() if path.exists() and path.stat().st_mtime_ns == time]
    assert len(before) - 4 <= len(same) < len(before)
    assert len(receipts(folder)) == len(again.shards)  # those of the other corpus are gone


def test_workers_killed_while_they_make_shards_change_nothing(merged, local, workers, folder, shards_of_docs):
    shards_of_docs(64)

    def kill():
        while len(receipts(folder)) < 4:
            time.sleep(0.01)
        os.kill(_one_of(workers, random.Random(0)), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    build_on(*merged, PLAN)
    killer.join()
    assert made(merged[1]) == local()


def test_shards_can_stay_on_the_storage(merged, local, workers, folder, shards_of_docs):
    shards_of_docs(64)
    build_on(*merged, PLAN)
    stays = replace(merged[0], fetch=False)
    build_on(stays, merged[1], PLAN)
    found, expected = made(merged[1]), local()
    where = json.loads(found.pop("docbins.json"))
    assert found == {name: expected[name] for name in ("labels.json", "split.json")}
    for name in expected.keys() - found.keys():
        place = folder / "storage" / where["folders"][Path(name).stem]
        assert (place / name).read_bytes() == expected[name]
    with pytest.raises(UserError, match=r"corpus: its shards stayed on the storage; bring them: fetch = true"):
        read_corpus(merged[1] / "split.json")
    build(merged[1], PLAN, 1)
    assert made(merged[1]) == expected
    assert read_corpus(merged[1] / "split.json").texts


def test_gold_that_never_was_on_this_machine_can_be_learned_from(local, workers, folder):
    steps(folder, workers, fetch=False)
    engine = configured(folder, workers).engine
    build_on(engine, folder / "corpus", PLAN)
    found, expected = made(folder / "corpus"), local()
    splits, looked_at = (json.loads(files.pop("split.json")) for files in (found, expected))
    assert found == expected
    assert looked_at.pop("placed")["leaks"] == 0
    # Contained texts were not looked for, and the gold is of shards.
    assert splits == looked_at | {"placed": None, "made_of": {}}
    with pytest.raises(UserError, match=r"set \[engine\] fetch = true, or leave both empty"):
        build_on(engine, folder / "corpus", PLAN._replace(dev_datasets=["label_00"]))
    with pytest.raises(UserError, match=r"gold\.jsonl: stayed on the storage, in shards; bring it: \[engine\] fetch"):
        gold_as_merged(folder / "corpus")


def test_gold_that_changed_since_merge_is_an_error(merged, folder):
    shard = shards(folder, "gold")[3]
    content = shard.read_bytes()
    shard.write_bytes(b"{}")
    with pytest.raises(UserError, match=r"gold/00003\.jsonl: is not as it was merged; merge again"):
        build_on(*merged, PLAN)
    shard.write_bytes(content)
    elsewhere = replace(merged[0], storage="file:///elsewhere")
    with pytest.raises(UserError, match=r"storage = file:///elsewhere: the gold is on file://.*; merge again"):
        build_on(elsewhere, merged[1], PLAN)
    (merged[1] / "shards.json").write_text("{}")
    with pytest.raises(UserError, match=r"shards\.json: is not as it was merged; merge again"):
        build_on(*merged, PLAN)
    with pytest.raises(UserError, match=r"was merged by another engine than labelwise\.Dask\.v1; merge again"):
        build_on(merged[0], folder / "expected", PLAN)
    with pytest.raises(UserError, match=r"memory_mb = 300: for corpus it must be at least 512"):
        build_on(replace(merged[0], memory_mb=300), merged[1], PLAN)


def test_another_version_of_spacy_on_a_worker_is_an_error(tmp_path):
    job = CorpusJob(Storage(f"file://{tmp_path}"), [], 0, "rules.json", "docbins", "3.0.0", {})
    with pytest.raises(UserError, match=r"a worker has spaCy .*, and here it is 3\.0\.0: install the same"):
        make_shards(job)


# What happens to workers


def test_workers_killed_while_they_merge_change_nothing(folder, workers):
    rng = random.Random(0)
    options = pulled(folder, workers)
    merge = _start(folder, "merge", *options, "--merge.buckets", 256)
    for kill in range(KILLS):
        _wait_for_shards(folder, merge, (kill + rng.random()) * 256 / (KILLS + 1))
        os.kill(_one_of(workers, rng), signal.SIGKILL)
    assert merge.wait(120) == 0, merge.stderr.read()
    assert is_as_expected(folder)
    for kind in ("gold", "conflicts"):
        assert len(shards(folder, kind)) == 256


def test_a_worker_that_hangs_is_done_without_and_may_come_back(folder, tmp_path_factory):
    patience = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "4s"}
    with cluster(tmp_path_factory.mktemp("slow"), env=patience) as workers:
        options = pulled(folder, workers)
        merge = _start(folder, "merge", *options, "--merge.buckets", 64)
        _wait_for_shards(folder, merge, 16)
        hanging = _one_of(workers, random.Random(0))
        os.kill(hanging, signal.SIGSTOP)
        assert merge.wait(120) == 0, merge.stderr.read()
        with suppress(ProcessLookupError):
            os.kill(hanging, signal.SIGCONT)
        assert is_as_expected(folder)
        assert len(shards(folder, "gold")) == 64


def test_a_lost_scheduler_is_said_and_the_next_run_goes_on(folder, tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("lost")) as workers:
        options = pulled(folder, workers)
        merge = _start(folder, "merge", *options, "--merge.buckets", 64)
        _wait_for_shards(folder, merge, 16)
        workers.scheduler.kill()
        said = merge.communicate(timeout=120)[1]
        assert (merge.returncode, said.count("\n")) == (1, 1), said
        assert f"the scheduler {workers.address} was lost; run again" in said
        assert not (folder / "corpus/gold.jsonl").exists()
        before = {path: path.stat().st_mtime_ns for path in shards(folder, "gold")}
        workers.start_scheduler(workers.port)
        workers.start_worker()
        succeed(folder, "merge", *options, "--merge.buckets", 64)
        assert is_as_expected(folder)
        again = [path for path, time in before.items() if path.stat().st_mtime_ns != time]
        assert len(again) <= 2  # a shard is not done before its account is written


def test_workers_without_enough_memory_are_an_error(folder, tmp_path_factory):
    """They have less than the config says, and one text has very many answers."""
    with (folder / "large.jsonl").open("w") as file:
        for number in range(60_000):
            file.write(line({"text": "Ada met Bob.", "spans": [], "meta": {"n": f"{number:0400}"}}) + "\n")
    (folder / "datasets.cfg").unlink()
    (folder / "datasets.cfg").write_text(f"[datasets]\n{BLOCK.format('large', folder / 'large.jsonl')}")
    env = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0", "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "False"}
    with cluster(tmp_path_factory.mktemp("short"), workers=1, env=env, memory_mb=130) as workers:
        options = engine(f"file://{folder}/storage", workers.address)
        succeed(folder, "pull", *options)
        said = fail(folder, "merge", *options)
        assert "1 workers died of the same task" in said
        assert "memory_mb" in said
    assert not (folder / "corpus/gold.jsonl").exists()


# What happens to storage


def test_storage_that_fails_twice_and_then_works(folder, tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("flaky")
    (place / "sitecustomize.py").write_text(FLAKY)
    monkeypatch.setenv("FLAKY", str(place))
    exec(FLAKY, {})
    with cluster(place / "cluster", env={"PYTHONPATH": str(place)}) as workers:
        steps(folder, workers, storage=f"flaky://{folder}/storage", part_mb=128, buckets=2)
    assert is_as_expected(folder)
    assert [path.read_text() for path in (place / "failed").iterdir()] == ["xx"] * 4  # a part, the slices, two shards


def test_storage_that_cannot_be_used_is_an_error(folder, workers):
    blocked = folder / "blocked"
    blocked.write_text("a file")
    said = fail(folder, "pull", *engine(f"file://{blocked}/storage", workers.address))
    assert "blocked" in said
    assert "nothing://here" in fail(folder, "pull", *engine("nothing://here", workers.address))


@pytest.fixture
def object_store(hosts, monkeypatch):
    """An S3 on this host's address, and what leads to it."""
    pytest.importorskip("s3fs", reason="pip install -r requirements-dask.txt")
    pytest.importorskip("moto.server", reason="pip install moto[server]")
    with s3_server(hosts[0]) as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        forget()
        yield
        forget()


def forget():
    """What is remembered of another server."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
    opened.cache_clear()


def test_an_object_store_as_storage_and_hosts_of_their_own(folder, object_store, hosts, tmp_path_factory):
    """Each worker on a host of its own, with the scheduler and an S3 on a third; nothing but TCP between them. Where
    networks cannot be made, which is warned of, all are on one.
    """
    address, prefixes = hosts
    place = tmp_path_factory.mktemp("hosts")
    with cluster(place, 0, address) as workers:
        for prefix in prefixes:
            workers.start_worker(prefix=prefix)
        steps(folder, workers, storage="s3://labelwise/project", part_mb=128, buckets=4)
        logs = "".join(path.read_text() for path in place.glob("worker-*.log"))
    assert not all(prefixes) or all(f"tcp://{address[:-1]}{number}:" in logs for number in (2, 3))
    assert is_as_expected(folder)


@pytest.fixture
def hosts():
    """The address of this host on a network, and what to put before a command to run it on one of two others."""
    here = ("127.0.0.1", [[], []])
    if os.geteuid() or not shutil.which("ip"):
        warnings.warn("network namespaces need root and iproute2: all workers are on one host", stacklevel=1)
        yield here
        return
    name, net = f"lw{os.getpid() % 10_000}", f"10.213.{os.getpid() % 250}"
    made = _ip(f"link add {name} type bridge") and _ip(f"addr add {net}.1/24 dev {name}") and _ip(f"link set {name} up")
    for number in (2, 3):
        host = f"{name}-{number}"
        made = made and all(
            _ip(words)
            for words in (
                f"netns add {host}",
                f"link add {host} type veth peer name eth0 netns {host}",
                f"link set {host} master {name}",
                f"link set {host} up",
                f"-n {host} addr add {net}.{number}/24 dev eth0",
                f"-n {host} link set eth0 up",
                f"-n {host} link set lo up",
            )
        )
    if not made:
        warnings.warn("no right to make network namespaces: all workers are on one host", stacklevel=1)
        yield here
    else:
        yield f"{net}.1", [["ip", "netns", "exec", f"{name}-{number}"] for number in (2, 3)]
    for number in (2, 3):
        _ip(f"netns delete {name}-{number}")
    _ip(f"link delete {name}")


def _ip(words):
    return subprocess.run(["ip", *words.split()], capture_output=True).returncode == 0


# The config


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"storage": "/shared"}, "storage = /shared: must be a URL, file:///shared/labelwise"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "leave one of the two out"),
        ({"workers": -1}, "workers = -1: must be 0 (all cores) or more"),
        ({"memory_mb": 100}, "memory_mb = 100: must be at least 240"),
        ({"part_mb": 0}, "part_mb = 0"),
        ({"threads": 2}, "takes storage, scheduler, workers, memory_mb, part_mb, fetch"),
    ],
)
def test_wrong_settings_are_errors(values, said, folder):
    given = {"@misc": "labelwise.Dask.v1", "storage": "file:///shared", **values}
    with pytest.raises(UserError, match=re.escape(said)):
        settings.load(folder / "datasets.cfg", {f"engine.{key}": value for key, value in given.items()})


def test_a_missing_scheduler_is_an_error(folder):
    done = _start(folder, "pull", *engine(f"file://{folder}/storage", "tcp://127.0.0.1:1"))
    said = done.communicate(timeout=60)[1]
    assert (done.returncode, said.count("\n")) == (1, 1), said
    assert "tcp://127.0.0.1:1: nobody answers there" in said


def test_moving_answers_on_a_cluster_is_an_error(folder, workers):
    texts = {json.loads(line)["text"] for line in (folder / f"{GROWS}.jsonl").read_text().splitlines()}
    config = folder / "datasets.cfg"
    blocks = config.read_text()
    sentences = [{"text": f"It was found in box {n} of the cellar.", "spans": []} for n in range(9)]
    documents = [{"text": f"{each['text']} {sorted(texts)[0]}", "spans": []} for each in sentences]
    for name, lines in (("sentences", sentences), ("documents", documents)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line | {"answer": "accept"}) + "\n" for line in lines))
        block = f'@readers = "labelwise.ProdigyJsonl.v1"\npath = "{folder}/{name}.jsonl"\nlabels = ["ORG"]'
        blocks += f"\n[datasets.{name}]\n{block}\n"
    config.unlink()  # it is a link to that of all tests
    config.write_text(blocks)
    options = pulled(folder, workers)
    said = fail(folder, "merge", *options)
    assert "sentences: made of texts that are contained in others, and labelwise.Dask.v1 moves no answers" in said
    assert 'set [merge] contained = "keep"' in said


def test_without_dask_the_error_names_what_to_install_and_one_machine_needs_none(folder, tmp_path):
    (tmp_path / "without").mkdir()
    (tmp_path / "without/sitecustomize.py").write_text(WITHOUT)
    env = {"PYTHONPATH": f"{tmp_path}/without:{ROOT}"}
    (folder / "training.cfg").write_text(TRAINING)
    for step in ("pull", "merge", "corpus"):
        done = _start(folder, step, env=env)
        assert done.wait(60) == 0, done.stderr.read()
    assert is_as_expected(folder)
    done = _start(folder, "pull", *engine("file:///shared", ""), env=env)
    said = done.communicate(timeout=60)[1]
    assert (done.returncode, said.count("\n")) == (1, 1), said
    assert "labelwise.Dask.v1 needs Dask: pip install -r requirements-dask.txt" in said


def _start(folder, step, *options, env=None):
    return subprocess.Popen(
        [sys.executable, "-m", f"scripts.{step}", *STEPS[step], *map(str, options)], cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | IMPATIENT | (env or {}),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf8",
    )  # fmt: skip


def _wait_for_shards(folder, merge, number):
    deadline = time.monotonic() + 120
    while len(shards(folder, "gold")) < number:
        assert merge.poll() is None, merge.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _one_of(workers, rng):
    deadline = time.monotonic() + 120
    while not (pids := workers.pids()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return rng.choice(pids)
