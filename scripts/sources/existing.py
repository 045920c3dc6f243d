"""The blocks that `import` would write, beside those that the config has already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from scripts.core import settings
from scripts.core.settings import Settings
from scripts.sources.blocks import PLACE, DatasetBlock, as_value, unique
from scripts.sources.evidence import Known
from scripts.sources.importing import FoundDataset


def compare_blocks(blocks: Iterable[DatasetBlock], config: Settings | None, renamed: bool) -> list[DatasetBlock]:
    """Return blocks with what they are beside those of a config; one that there is has the name that it has there.

    renamed (bool): Names were asked for: a source that is read under others can be read once more.
    """
    there = config.datasets if config else {}
    names = {name.casefold(): name for name in there}
    compared: list[DatasetBlock] = []
    for block in blocks:
        source = _source(block.reader, block.options)
        named = names.get(block.name.casefold(), "")
        candidates = {name: other for name, other in there.items() if name == named or not renamed}
        reading = {
            name: list(_differences(source, other)) for name, other in candidates.items() if _reads(other, source)
        }
        if reading:
            name = min(reading, key=lambda name: (bool(reading[name]), name != named))
            state: Any = "differs" if reading[name] else "same"
            compared.append(replace(block, name=name, state=state, difference=", ".join(reading[name])))
        elif named and not _is_same_place(there[named], source):
            compared.append(replace(block, name=named, state="taken", difference=_place(there[named])))
        else:
            taken = [*there, *(other.name for other in compared)]
            compared.append(replace(block, name=unique(block.name, taken)))
    return compared


def mark_origins(others: Iterable[Known], datasets: Iterable[FoundDataset], config: Settings | None) -> list[Known]:
    """Return what blocks of a config tell, with the origin of the dataset that they read, if that was found, too."""
    origins = [(_source(found.reader, found.options), id(found.evidence)) for found in datasets]
    there: Mapping[str, Any] = config.datasets if config else {}
    return [
        next((one._replace(origin=own) for source, own in origins if _is_same_place(there[one.block], source)), one)
        for one in others
    ]


def _source(reader: str, options: Mapping[str, Any]) -> Any:
    return settings.readers()[reader](**{"labels": [], **options})


def _reads(there: Any, source: Any) -> bool:
    """Whether a source reads the labels of another, from where that is."""
    return _is_same_place(there, source) and {*source.labels} <= {*there.labels}


def _is_same_place(one: Any, other: Any) -> bool:
    return type(one) is type(other) and all(_same(getattr(one, key, ""), getattr(other, key, "")) for key in PLACE)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal, or paths of one file."""
    if one == other or not (isinstance(one, str) and isinstance(other, str)):
        return bool(one == other)
    return Path(one).expanduser().resolve() == Path(other).expanduser().resolve()


def _differences(source: Any, there: Any) -> Iterator[str]:
    fields = there.__struct_fields__ if isinstance(there, msgspec.Struct) else vars(there)
    for key in fields:
        if key not in ("labels", *PLACE) and getattr(there, key) != getattr(source, key):
            yield f"{key} = {as_value(getattr(there, key))}, not {as_value(getattr(source, key))}"


def _place(source: Any) -> str:
    return ", ".join(f"{key} = {as_value(getattr(source, key))}" for key in PLACE if hasattr(source, key))
