"""Each command line of project.yml, parsed by the parser of its own step: by default, and with each var set."""

from __future__ import annotations

import importlib
import re
import shlex
from argparse import ArgumentParser
from pathlib import Path

import pytest
import srsly
from weasel.util import split_command

from tests.imports import ROOT

PROJECT = srsly.read_yaml(ROOT / "project.yml")
LINES = [(command["name"], line) for command in PROJECT["commands"] for line in command["script"]]
OTHERS = {
    "run": "ner_trf", "seed": 7, "seeds": 3, "gpu": 0, "vectors": "en_core_web_md", "label": "ORG", "version": "1.2.3",
    "path": "my/brat", "format": "prodigy", "write": "replace", "kind": "suspects", "texts": "dev", "prefill": "model",
    "limit": 5, "hash": -12,
}  # fmt: skip


class Parsed(Exception):
    """Carries what a step's parser made of a line, before the step does anything."""


def words(line, **changed):
    """The words of a line, its vars filled in."""
    values = PROJECT["vars"] | changed
    return shlex.split(re.sub(r"\$\{vars\.(\w+)\}", lambda match: str(values[match[1]]), line))


def parsed(line, monkeypatch, **changed):
    """The arguments that a step gets from a line; its module is found, and nothing is left over."""
    python, option, module, *arguments = words(line, **changed)
    assert (python, option) == ("python", "-m")
    parse = ArgumentParser.parse_known_args

    def stop(parser, args=None, namespace=None):
        found, rest = parse(parser, args, namespace)
        assert rest == [], f"{parser.prog} does not know {rest}"
        raise Parsed(vars(found))

    monkeypatch.setattr(ArgumentParser, "parse_known_args", stop)
    monkeypatch.setattr("sys.argv", [module, *arguments])
    with pytest.raises(Parsed) as caught:
        importlib.import_module(module).main()
    return {name: str(value) for name, value in caught.value.args[0].items()}


def test_there_is_another_value_for_every_var():
    assert set(OTHERS) == set(PROJECT["vars"])
    assert all(str(OTHERS[name]) != str(value) for name, value in PROJECT["vars"].items())


@pytest.mark.parametrize(("name", "line"), LINES, ids=[name for name, _ in LINES])
def test_a_step_understands_its_command_line(name, line, monkeypatch):
    assert parsed(line, monkeypatch)


VARIED = [(name, var, line) for name, line in LINES for var in sorted(set(re.findall(r"vars\.(\w+)", line)))]


@pytest.mark.parametrize(("name", "var", "line"), VARIED, ids=[f"{name}-{var}" for name, var, _ in VARIED])
def test_a_var_reaches_the_step(name, var, line, monkeypatch):
    before = parsed(line, monkeypatch)
    monkeypatch.undo()
    after = parsed(line, monkeypatch, **{var: OTHERS[var]})
    changed = [value for option, value in after.items() if value != before[option]]
    assert changed
    assert all(str(OTHERS[var]) in value for value in changed)


@pytest.mark.parametrize("path", ["assets/My Data", "Users/Ada L/a b.jsonl", "a  b", "x/New folder (2)/é ü"])
def test_a_path_with_spaces_reaches_import(path, tmp_path, monkeypatch):
    """As weasel divides a command."""
    importing = importlib.import_module("scripts.import")
    (line,) = (line for name, line in LINES if name == "import")
    monkeypatch.chdir(tmp_path)
    place = tmp_path / path
    place.mkdir(parents=True)
    found = []
    monkeypatch.setattr(importing, "find_datasets", lambda format_name, path, options: found.append(path) or exit())
    filled = line.replace("${vars.path}", path)
    _, _, module, *arguments = split_command(re.sub(r"\$\{vars\.(\w+)\}", lambda m: str(PROJECT["vars"][m[1]]), filled))
    monkeypatch.setattr("sys.argv", [module, *arguments])
    with pytest.raises(SystemExit):
        importing.main()
    assert [Path(one) for one in found] == [Path(path)]
