"""The usual ways to do what pull, merge and corpus do, to compare with.

python -m benchmarks.baselines srsly FOLDER --datasets 5   load all with srsly, group, merge, make Docs
python -m benchmarks.baselines duckdb FOLDER               group alone, in DuckDB
python -m benchmarks.baselines decode-jsonl FOLDER         read and decode everything once: the floor
python -m benchmarks.baselines decode-jsonl FOLDER --copies 2   the same by two processes at once, each all of it
python -m benchmarks.baselines decode-sqlite FOLDER
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
from collections import defaultdict
from contextlib import closing
from functools import partial
from multiprocessing import Process
from pathlib import Path
from typing import Any


def srsly_way(folder: Path, datasets: int) -> None:
    """As teams write it: load every dataset into a list, join the spans of equal texts, make Docs and one DocBin.

    Grouped by text: by input hash every text would be made twice, since old and new versions have other hashes, and
    texts that share a hash would fail.
    """
    import spacy
    import srsly
    from spacy.tokens import DocBin
    from spacy.util import filter_spans

    loaded = [list(srsly.read_jsonl(path)) for path in _exports(folder)[:datasets]]
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for tasks in loaded:
        for task in tasks:
            if task["answer"] == "accept":
                groups[task["text"]].append(task)
    nlp = spacy.blank("en")
    docs = DocBin()
    for text, tasks in groups.items():
        doc = nlp.make_doc(text)
        spans = {(span["start"], span["end"], span["label"]) for task in tasks for span in task["spans"]}
        found = [doc.char_span(*span, alignment_mode="expand") for span in sorted(spans)]
        doc.spans["gold"] = found
        doc.set_ents(filter_spans(found))
        docs.add(doc)
    docs.to_disk(folder / "srsly.spacy")
    print(f"{len(docs)} docs of {sum(map(len, loaded))} tasks")


def duckdb_way(folder: Path) -> None:
    """Group the spans of each text, in 500 MB."""
    import duckdb

    database = duckdb.connect(config={"memory_limit": "500MB", "threads": 2, "temp_directory": str(folder / "duckdb")})
    columns = "{'text': 'VARCHAR', 'answer': 'VARCHAR', 'spans': 'JSON', '_timestamp': 'BIGINT'}"
    database.execute(f"""
        COPY (SELECT text, list(spans) AS spans, list(answer) AS answers, max(_timestamp) AS latest
              FROM read_json('{folder}/label_*.jsonl', format = 'newline_delimited', columns = {columns})
              GROUP BY text)
        TO '{folder}/duckdb.parquet'""")
    print(database.execute(f"SELECT count(*) FROM '{folder}/duckdb.parquet'").fetchone())


def decode_jsonl(folder: Path) -> None:
    """Decode every line with the reader's decoder, and nothing more."""
    from scripts.core.files import BUFFER
    from scripts.sources.prodigy_decoding import decode_whole

    number = 0
    for path in _exports(folder):
        with path.open("rb", BUFFER) as lines:
            for line in lines:
                decode_whole(line)
                number += 1
    print(f"{number} tasks")


def decode_sqlite(folder: Path) -> None:
    """Decode every example with the reader's decoder, dataset by dataset, and nothing more."""
    from scripts.sources.prodigy_decoding import decode_whole

    query = """SELECT content FROM link JOIN example ON example.id = link.example_id
               WHERE link.dataset_id = ? ORDER BY link.id"""
    number = 0
    with closing(sqlite3.connect(f"file:{folder}/prodigy.db?mode=ro", uri=True)) as database:
        for (dataset,) in database.execute("SELECT id FROM dataset WHERE NOT session").fetchall():
            for (content,) in database.execute(query, [dataset]):
                decode_whole(content)
                number += 1
    print(f"{number} tasks")


def _exports(folder: Path) -> list[Path]:
    return sorted(folder.glob("label_*.jsonl"))


def main() -> None:
    """Run one way."""
    ways = {"duckdb": duckdb_way, "decode-jsonl": decode_jsonl, "decode-sqlite": decode_sqlite}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("way", choices=["srsly", *ways])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--datasets", type=int, default=20, help="of these, for srsly")
    parser.add_argument("--copies", type=int, default=1, help="processes at once, each of which decodes all")
    args = parser.parse_args()
    way = partial(srsly_way, datasets=args.datasets) if args.way == "srsly" else ways[args.way]
    if args.copies == 1:
        way(args.folder)
        return
    copies = [Process(target=way, args=[args.folder]) for _ in range(args.copies)]
    for copy in copies:
        copy.start()
    for copy in copies:
        copy.join()
    sys.exit(any(copy.exitcode for copy in copies))


if __name__ == "__main__":
    main()
