"""Measure pull from PostgreSQL and MariaDB, with 200,000 and a million tasks, beside fetching all rows at once.

    python -m benchmarks.servers --folder /tmp/bench

It needs the servers that the tests need (tests/servers.py), and 4 GB of their disk. It writes
benchmarks/results/servers.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.measure import measure, write_results
from tests.prodigy import line, task
from tests.servers import engine, temporary_database

ROWS = (200_000, 1_000_000)
SYSTEMS = ("postgresql", "mysql")
_VARIABLE = "BENCHMARK_URL"
# A series of numbers n, a number as text, and a text as content.
_SQL = {
    "postgresql": ("generate_series(1, {}) AS series (n)", "n::text", "convert_to({}, 'UTF8')"),
    "mysql": ("(SELECT seq AS n FROM seq_1_to_{}) AS series", "CAST(n AS CHAR)", "{}"),
}
_CONFIG = """
[datasets]

[datasets.many]
@readers = "labelwise.ProdigyServer.v1"
connection = "{}"
dataset = "many"
labels = ["PERSON"]
"""


def fill(url: Any, system: str, rows: int) -> None:
    """Insert tasks that differ in a number; the server makes them."""
    content = line(task("Ada met number @ .", [(0, 3, "PERSON")])).replace("'", "''")
    series, number, stored = _SQL[system]
    made = stored.format(f"replace('{content}', '@', {number})")
    with engine(url).begin() as database:
        database.exec_driver_sql("INSERT INTO dataset (name, created, meta, session) VALUES ('many', 1, '', FALSE)")
        examples = f"SELECT n, n, {made} FROM {series.format(rows)} ORDER BY n"
        database.exec_driver_sql(f"INSERT INTO example (input_hash, task_hash, content) {examples}")
        database.exec_driver_sql("INSERT INTO link (example_id, dataset_id) SELECT id, 1 FROM example ORDER BY id")
    if system == "postgresql":
        with engine(url).connect().execution_options(isolation_level="AUTOCOMMIT") as database:
            database.exec_driver_sql("ANALYZE")


def fetch_all(url: str) -> None:
    """The usual way, in a process of its own: decode all rows of one query."""
    with engine(url).connect() as database:
        query = "SELECT example.content FROM example JOIN link ON example.id = example_id WHERE dataset_id = 1"
        tasks = [json.loads(content) for (content,) in database.exec_driver_sql(query)]
    print(len(tasks))


def compare(system: str, folder: Path, console: Console) -> dict[str, Any]:
    """Measure pull and fetching all rows, for each number of rows."""
    found: dict[str, Any] = {}
    for rows in ROWS:
        with temporary_database(system, "labelwise_bench") as url:
            fill(url, system, rows)
            os.environ[_VARIABLE] = url.render_as_string(hide_password=False)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / "datasets.cfg").write_text(_CONFIG.format(_VARIABLE))
            pull = ["python", "-m", "scripts.pull", f"{folder}/datasets.cfg", f"{folder}/annotations"]
            ways = {
                "pull": [*pull, "--system.processes", "1"],
                "pull, nothing new": [*pull, "--system.processes", "1"],
                "fetch all": ["python", "-m", "benchmarks.servers", "--fetch"],
            }
            for way, words in ways.items():
                measured = measure(words)
                found[f"{rows} rows, {way}"] = {"seconds": round(measured.seconds, 2), "mb": round(measured.peak_mb)}
                measured_line = (
                    f"{system:12}{rows:10,} rows  {way:20}{measured.seconds:8.1f} s{measured.peak_mb:8.0f} MB"
                )
                console.print(measured_line, highlight=False)
    return found


def main() -> None:
    """Measure, report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--folder", type=Path, default=Path("/tmp/bench"), help="for what is pulled; default: %(default)s"
    )
    parser.add_argument("--fetch", action="store_true", help="only fetch all rows")
    args = parser.parse_args()
    if args.fetch:
        sys.exit(fetch_all(os.environ[_VARIABLE]))
    console = Console()
    results = {system: compare(system, args.folder.absolute() / "servers", console) for system in SYSTEMS}
    console.print(f"✔ {write_results('servers', results)}")


if __name__ == "__main__":
    main()
