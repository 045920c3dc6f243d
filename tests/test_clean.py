"""clean: what the steps made goes, with the demo and its runs; what took somebody's time stays."""

from __future__ import annotations

from docs.outputs import without_usage
from tests.prodigy import task, write_database
from tests.runs import counted, made, write
from tests.scored import step

DEMO_RUN = made("ner", "d", 1, counted({"StreetName": 5, "ZipCode": 6}))
OWN_RUN = made("ner", "a", 2, counted({"ORG": 5, "ZipCode": 6}))


def files(folder):
    return {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"
    }


def test_the_demo_goes_and_what_is_ones_own_stays(tmp_path):
    write(tmp_path, DEMO_RUN, OWN_RUN)
    own = {
        f"metrics/{OWN_RUN.run.folder}/{path.name}" for path in (tmp_path / "metrics" / OWN_RUN.run.folder).iterdir()
    }
    (tmp_path / "assets/demo").mkdir(parents=True)
    spans = [(0, 4, "StreetName"), (5, 10, "ZipCode")]
    write_database(tmp_path / "assets/demo/prodigy.db", {"address": [task("Main 12345", spans)]})
    kept = [
        "configs/datasets.cfg",
        "training/ner/seed-0/model-best/meta.json",
        "assets/mine.jsonl",
        "queues/ORG/001/queue.json",
    ]
    gone = ["assets/annotations/org.jsonl", "corpus/train/0000.spacy", "corpus/gold.jsonl", "metrics.json",
            "metrics/compare.csv", "metrics/next.json", "metrics/report.html", "project.lock"]  # fmt: skip
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    done = step(tmp_path, "scripts.clean", ".")
    assert done.returncode == 0, done.stderr
    assert files(tmp_path) == {*kept, *own}
    assert f"✔ metrics/{DEMO_RUN.run.folder}: removed" in done.stdout
    again = step(tmp_path, "scripts.clean", ".")
    assert (again.returncode, without_usage(again.stdout)) == (0, "")


def test_without_the_demo_no_run_goes(tmp_path):
    write(tmp_path, DEMO_RUN, OWN_RUN)
    before = files(tmp_path)
    assert step(tmp_path, "scripts.clean", ".").returncode == 0
    assert files(tmp_path) == before
