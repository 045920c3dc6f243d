"""Answers in the order of their hashes, and the offsets of ranges of hashes."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from scripts.merging.sorting import offsets_of, sorted_blocks

HASHES = st.integers(-(2**31), 2**31 - 1) | st.integers(-3, 3)
LINES = st.lists(st.tuples(HASHES, st.text(max_size=300)), max_size=60).map(
    lambda found: [
        (number, msgspec.json.encode({"_input_hash": number, "text": text}) + b"\n") for number, text in found
    ]
)


@given(lines=LINES, chunk_bytes=st.integers(1, 20_000))
def test_sorted_the_same_in_memory_and_on_disk(lines, chunk_bytes, tmp_path_factory):
    chunks = tmp_path_factory.mktemp("sorting") / "chunks"
    expected = b"".join(line for _, line in sorted(lines, key=lambda line: line[0]))
    assert b"".join(sorted_blocks(lines, chunks, chunk_bytes)) == expected


@given(lines=LINES, wanted=st.lists(HASHES, max_size=10))
def test_the_offset_of_a_hash_is_where_no_smaller_one_follows(lines, wanted, tmp_path_factory):
    path = tmp_path_factory.mktemp("sorting") / "sorted.jsonl"
    path.write_bytes(b"".join(line for _, line in sorted(lines)))
    smaller = [sum(len(line) for number, line in lines if number < one) for one in wanted]
    assert offsets_of(path, wanted) == smaller
