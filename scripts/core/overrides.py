"""Values of a config that are set on the command line, like --training.max_steps 4000."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from scripts.core.errors import UserError


def overrides(args: Sequence[str], example: str) -> dict[str, Any]:
    """Read `--section.key value` or `--section.key=value`; values are JSON, or else text.

    args (Sequence[str]): What of the command line is not a step's own.
    example (str): One that is right, for the message.
    RAISES (UserError): If something is none, or has no value.
    """
    values: dict[str, Any] = {}
    pending = list(args)
    while pending:
        name, equals, value = pending.pop(0).partition("=")
        if not name.startswith("--") or "." not in name or not (equals or pending):
            raise UserError(f"{name}: not an option. Values of the config are set like {example}")
        value = value if equals else pending.pop(0)
        try:
            values[name[2:]] = json.loads(value)
        except ValueError:
            values[name[2:]] = value
    return values
