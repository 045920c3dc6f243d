"""spaCy's registries that configs/datasets.cfg uses, without importing spaCy.

Merging needs nothing else of spaCy, and importing it costs each step, and each of its processes, 60 MB and half a
second. catalogue finds functions by namespace, so what is registered here is in `spacy.registry` too, and what
others register with `@spacy.registry.readers` is found here.
"""

from __future__ import annotations

import catalogue
import confection


class registry(confection.registry):  # noqa: N801 (as spaCy's)
    """See https://spacy.io/api/top-level#registry."""

    misc = catalogue.create("spacy", "misc", entry_points=True)
    readers = catalogue.create("spacy", "readers", entry_points=True)
