"""Fetch real annotations to try the project with: US addresses, as a Prodigy database with a dataset a label."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts.annotations.demo import Dataset, is_pristine, parse_addresses, write_database
from scripts.annotations.errors import UserError, run_step

RELEASE = "usaddress-0.5.16"
REQUIREMENT = Path(__file__).parent.parent / "assets" / "demo.txt"

# pip asks a source distribution for its metadata even if it shall only be downloaded, which for this one means to
# fetch eight packages by no hash and to run their code and its own. This stands in for them and runs nothing.
_BACKEND = f"""
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = Path(folder, "{RELEASE}.dist-info")
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\\nName: {{}}\\nVersion: {{}}\\n".format(
        *"{RELEASE}".split("-")))
    return info.name
"""


def main() -> None:
    """Fetch the annotations and write the database. One in which somebody annotated since is left alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("assets/demo/prodigy.db"), help="default: %(default)s")
    output = parser.parse_args().output
    console = Console()
    if output.exists() and not is_pristine(output):
        console.print(f"⚠ {output} holds more than the demo: left as it is. Remove it to have the demo made anew.")
        return
    with console.status(f"Fetching {RELEASE} …"):
        xml = fetch()
    addresses = parse_addresses(xml)
    report(console, write_database(addresses, output), output)


def fetch() -> bytes:
    """Let pip fetch the source distribution and check its hash, and read the annotations out of it in memory.

    RAISES (UserError): If pip cannot: no network, no such release, or another hash.
    """
    with tempfile.TemporaryDirectory() as folder:
        _download(Path(folder))
        with tarfile.open(Path(folder, f"{RELEASE}.tar.gz")) as archive:
            member = archive.extractfile(f"{RELEASE}/training/labeled.xml")
            assert member is not None  # a regular file: the hash says so
            return member.read()


def _download(folder: Path) -> None:
    backend = folder / "backend" / "setuptools"
    backend.mkdir(parents=True)
    backend.joinpath("__init__.py").touch()
    backend.joinpath("build_meta.py").write_text(_BACKEND, encoding="utf8")
    options = "--no-deps --no-binary :all: --require-hashes --no-build-isolation --retries 1 --no-input --quiet"
    result = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options.split(), "-r", str(REQUIREMENT), "-d", str(folder)],
        env=os.environ | {"PYTHONPATH": str(backend.parent)},
        capture_output=True,
        encoding="utf8",
        errors="replace",
    )
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        said = next((line for line in lines if line.startswith("ERROR:")), lines[-1])
        raise UserError(f"the demo needs pip and the network to fetch {RELEASE}; nothing was changed. pip: {said}")


def report(console: Console, datasets: list[Dataset], output: Path) -> None:
    """Say on one screen what is in the database."""
    table = Table("dataset", "label", "texts", "entities", box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for dataset in datasets:
        table.add_row(dataset.name, dataset.label, f"{dataset.texts:,}", f"{dataset.entities:,}")
    console.print(table)
    entities = sum(dataset.entities for dataset in datasets)
    console.print(f"\n✔ {output}: {len(datasets)} Prodigy datasets, {entities:,} entities, by one annotator.")
    console.print("A fifth of each label's annotations is left out of the texts to train on, as if not made yet.")
    console.print("These are US addresses, not prose: short, formulaic texts on which scores come out high.")


if __name__ == "__main__":
    run_step(main)
