"""The project's steps, and the rooms they are made of."""

import os
import re
import signal
import sys
import time


def way_on() -> str:
    """Say how the step that is at work is run again, and what it then has to do."""
    words = sys.orig_argv
    name = words[words.index("-m") + 1].rpartition(".")[2] if "-m" in words[:-1] else ""
    if name == "train" and any("/" in word and word.endswith("-seeds") for word in words):
        name = "seed_variance"
    note = {"suspects": "; models that have predicted are not trained again"}
    note |= dict.fromkeys(("train", "train_label", "seed_variance", "learning_curve"), "; training starts anew")
    options = _variables(name, words)
    if name in ("train", "train_label"):
        # Its mark says that the model there is not the last one; weasel skips what it ran with the same inputs before.
        options += ["--force"]
    dot = " . " if options else ""
    return f"To go on: weasel run {name.replace('_', '-')}{dot}{' '.join(options)}{note.get(name, '')}"


def _variables(name: str, words: list[str]) -> list[str]:
    """Return the run, label and seeds of a step as options of weasel, where they are not the default."""
    said = "\n".join(words)
    run = r"configs/(?!datasets\.|gate\.)([\w.-]+)\.cfg|--model\ntraining/([\w.-]+)/seed-|--run\n([\w.-]+)"
    found = {
        "run": re.search(run, said),
        "label": re.search(r"--label[\n=]([\w.-]+)$", said, re.MULTILINE),
        "seed": re.search(r"--seed[\n=](\d+)|--model\n\S+/seed-(\d+)/", said),
        "seeds": re.search(r"--seeds[\n=](\d+)", said) if name != "seed_variance" else None,
    }
    values = {name: match[match.lastindex or 0] for name, match in found.items() if match}  # `next` is a step here
    defaults = {"run": "ner", "seed": "0", "seeds": "1"}
    return [f"--vars.{name} {value}" for name, value in values.items() if value != defaults.get(name)]


def stop_before_it_begins(number: int, _: object) -> None:
    """For a signal while the step's modules are imported, which would end in a traceback of one of them."""
    os.write(2, f"✘ stopped; previous outputs are unchanged. {way_on()}\n".encode())
    os._exit(128 + number)


if sys.argv[0] == "-m":  # so it is while Python looks for the module of a step, and neither in notebooks nor in tests
    for _number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_number, stop_before_it_begins)

from pathlib import Path  # noqa: E402 (until now Ctrl-C would end in a traceback)

STARTED = time.perf_counter()  # a step imports this first

# weasel hashes folders whole: bytecode inside them would look like a change. Where none is written, nothing is to do.
if sys.pycache_prefix is None and not sys.dont_write_bytecode:
    sys.pycache_prefix = str(Path(__file__).parent.parent / ".pycache")
