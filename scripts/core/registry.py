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

    misc = catalogue.create("spacy", "misc")
    readers = catalogue.create("spacy", "readers")

    @classmethod
    def has(cls, registry_name: str, func_name: str) -> bool:
        """Check whether a function is available in a registry.

        Entry points of other packages are looked for only if nobody registered the function: each look goes through
        those of all packages, which with twenty datasets would be a tenth of a step's start.
        """
        if super().has(registry_name, func_name):
            return True
        packages = catalogue.create("spacy", registry_name, entry_points=True)
        function = packages.get_entry_point(func_name)
        if function:
            packages.register(func_name, func=function)
        return function is not None
