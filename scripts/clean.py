"""Start afresh: remove pulled annotations, the corpus, and the demo with its runs. Models and your own runs stay."""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

from scripts.core.errors import note_new, plain_console, run_step
from scripts.core.files import exclusive, remove
from scripts.scoring.runs import load_all
from scripts.sources.importing import find_datasets

DEMO = "assets/demo/prodigy.db"
_FOLDERS = ("assets/annotations", "assets/demo", "corpus")
_LATEST = ("metrics.json", "metrics/compare.*", "metrics/next.json", "metrics/report.html", "project.lock")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path, help="the folder with project.yml")
    args = parser.parse_args()
    console = plain_console()
    for path in made_by_steps(args.project):
        if path.is_dir():
            with exclusive(path):  # no step is at work there
                note_new(path)
                shutil.rmtree(path)
        else:
            remove(path)
        console.print(f"✔ {path}: removed")


def made_by_steps(project: Path) -> Iterator[Path]:
    """Find what is removed: runs of the demo's labels before the demo itself, by which they are known."""
    yield from _runs_of_demo(project)
    yield from (project / folder for folder in _FOLDERS if (project / folder).exists())
    yield from sorted(path for pattern in _LATEST for path in project.glob(pattern))


def _runs_of_demo(project: Path) -> list[Path]:
    """Folders of runs that are scored on no other labels than the demo's; none if the demo is not there."""
    database = project / DEMO
    if not database.exists():
        return []
    labels = {label for dataset in find_datasets("prodigydatabase", str(database), {}) for label in dataset.spans}
    metrics = project / "metrics"
    return [metrics / scored.run.folder for scored in load_all(metrics)[0] if labels.issuperset(scored.run.tests)]


if __name__ == "__main__":
    run_step(main)
