"""Which modules of the project a step imports, directly and through others."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent


def imported(path: Path) -> set[Path]:
    """The project's modules that a module imports, and those that these import; itself included."""
    found: set[Path] = set()
    pending = [path]
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            pending += [other for name in _names(module) if (other := _file(name))]
    return found


def _names(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in for_types:
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def _file(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
    return path if name.startswith("scripts.") and path.is_file() else None
