"""Answers in the order of their hashes, and where a range of them is."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from scripts.merging.sorting import places, sorted_blocks

HASHES = st.integers(-(2**31), 2**31 - 1) | st.integers(-3, 3)
LINES = st.lists(st.tuples(HASHES, st.text(max_size=300)), max_size=60).map(
    lambda found: [
        (number, msgspec.json.encode({"_input_hash": number, "text": text}) + b"\n") for number, text in found
    ]
)


@given(lines=LINES, run_bytes=st.integers(1, 20_000))
def test_sorted_the_same_in_memory_and_on_disk(lines, run_bytes, tmp_path_factory):
    runs = tmp_path_factory.mktemp("sorting") / "runs"
    expected = b"".join(line for _, line in sorted(lines, key=lambda line: line[0]))
    assert b"".join(sorted_blocks(lines, runs, run_bytes)) == expected


@given(lines=LINES, wanted=st.lists(HASHES, max_size=10))
def test_the_place_of_a_hash_is_where_no_smaller_one_follows(lines, wanted, tmp_path_factory):
    path = tmp_path_factory.mktemp("sorting") / "sorted.jsonl"
    path.write_bytes(b"".join(line for _, line in sorted(lines)))
    smaller = [sum(len(line) for number, line in lines if number < one) for one in wanted]
    assert places(path, wanted) == smaller
