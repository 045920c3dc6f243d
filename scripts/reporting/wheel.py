"""A model as a wheel: its folder, the module of its component, and a card."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
from packaging.version import InvalidVersion, Version
from spacy.cli.package import package

from scripts.annotations.errors import UserError
from scripts.annotations.files import exclusive, work_folder, write_json
from scripts.model import label_heads
from scripts.model.provenance import provenance
from scripts.reporting.card import card
from scripts.scoring import runs
from scripts.scoring.models import weights
from scripts.scoring.runs import Scored

_CODE = Path(label_heads.__file__)


def build(model: Path, metrics: Path, output: Path, name: str, version: str) -> Path:
    """Build a wheel that installs with spaCy alone and is loaded by its name.

    model (Path): A folder `model-best`, evaluated as it is.
    metrics (Path): Holds the runs.
    output (Path): Gets the wheel, and the card as `<wheel>.md`.
    name (str): Of the package, without the language.
    version (str): As https://peps.python.org/pep-0440/ has it.
    RETURNS (Path): The wheel.
    RAISES (UserError): If name or version are none, the model was not evaluated, or the wheel cannot be built.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", name) or "__" in name:
        raise UserError(f"{name!r}: is no name for a package; use small letters, digits and single '_'")
    try:
        version = str(Version(version))
    except InvalidVersion as err:
        raise UserError(f"{version!r}: is no version; use one like 0.1.0") from err
    meta = _meta(model)
    told = provenance(meta)
    if told is None:
        raise UserError(f"{model}: does not say what it was trained on; train it with labelwise.RecordData.v1")
    scored, seed = _run_of(model, metrics)
    full_name = f"{meta['lang']}_{name}"
    with exclusive(output), work_folder(output) as work:
        shutil.copytree(model, work / "model")
        text = card(full_name, version, scored, seed, told)
        (work / "model" / "README.md").write_text(text, "utf8")
        micro = f"F {scored.metrics.micro.f:.3f}" if scored.metrics.micro.f is not None else "no score"
        description = f"Finds {len(told.covered)} kinds of entities ({micro} on {scored.metrics.micro.texts:,} texts)."
        write_json(work / "model" / "meta.json", meta | {"name": name, "version": version, "description": description})
        package(work / "model", work, code_paths=[_CODE], create_sdist=False, require_parent=True, silent=True)
        wheel = _wheel(work / f"{full_name}-{version}", work / "wheel")
        (output / f"{wheel.name}.md").write_text(text, "utf8")
        return wheel.replace(output / wheel.name)


def _meta(model: Path) -> dict[str, object]:
    try:
        return msgspec.json.decode((model / "meta.json").read_bytes(), type=dict[str, object])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as err:
        raise UserError(f"{model}: is no trained model ({err}); train one first: weasel run train") from err


def _run_of(model: Path, metrics: Path) -> tuple[Scored, int]:
    """The newest run of which this is a model, byte for byte, and its seed."""
    digest, _ = weights(model)
    for scored in reversed(runs.load_all(metrics)[0]):
        for seed, own in scored.run.models.items():
            if own == digest:
                return scored, int(seed)
    raise UserError(f"{model}: was not evaluated as it is; evaluate it first: weasel run evaluate")


def _wheel(folder: Path, output: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(output), str(folder)],
        capture_output=True, encoding="utf8", errors="replace",
    )  # fmt: skip
    if done.returncode:
        said = next((line for line in reversed((done.stderr + done.stdout).splitlines()) if line.strip()), "no output")
        raise UserError(f"the wheel could not be built, for which pip and the network are needed: {said}")
    return next(output.glob("*.whl"))
