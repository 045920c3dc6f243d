"""What a packaged model says of itself: its scores label by label, and what it was trained on.

A model as a wheel: its folder, the module of its component, and a card.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
from packaging.version import InvalidVersion, Version
from spacy.cli.package import package

from scripts.core.errors import UserError
from scripts.core.files import exclusive, work_folder, write_json
from scripts.model import label_heads
from scripts.model.models import Provenance, model_digest, provenance
from scripts.reporting.console import escape_markdown, ratio
from scripts.scoring import runs
from scripts.scoring.metrics import Score
from scripts.scoring.runs import Scored

_TITLE = """# {name} {version}

A spaCy pipeline that finds {labels} kinds of entities. It was trained with Labelwise on texts that are annotated for
some labels each: what nobody looked for in a text counted neither for nor against.

```python
import spacy

nlp = spacy.load("{name}")
doc = nlp("…")
print([(entity.text, entity.label_) for entity in doc.ents])
print(doc.spans["predicted"].attrs["scores"])  # the probability of each, those that overlap included
```
"""


def card(name: str, version: str, scored: Scored, seed: int, told: Provenance) -> str:
    """The model card, in Markdown.

    name (str): As it is loaded.
    version (str): Of the package.
    scored (Scored): The run the model is of.
    seed (int): Which of its models.
    told (Provenance): What the model says of its training.
    """
    metrics = scored.metrics.seeds.get(str(seed), scored.metrics)
    known = [label for label, score in metrics.labels.items() if label in told.covered or score.texts]
    lines = [
        _TITLE.format(name=name, version=version, labels=len(known)),
        "## Scores",
        "",
        f"Strict, on {metrics.micro.texts:,} texts that were not trained on, each label where it is known. *Known in* "
        f"is how many of the {told.texts.get('train', 0):,} texts to train on were annotated for the label.",
        "",
        "| label | precision | recall | F | entities | known in |",
        "|---|---:|---:|---:|---:|---:|",
        *(_row(escape_markdown(label), metrics.labels[label], f"{told.covered.get(label, 0):,}") for label in known),
        _row("**all**", metrics.micro, ""),
        "",
        "## Made of",
        "",
        f"- run `{scored.run.folder}`, seed {seed}",
        f"- trained on the corpus `{told.corpus}`",
        f"- evaluated on the corpus `{scored.run.data.evaluated}`",
        *(
            f"- {escape_markdown(label)} was learned again from the corpus `{corpus}`"
            for label, corpus in told.relearned.items()
        ),
        f"- config `{scored.run.config.digest}`",
        f"- {', '.join(f'{package} {number}' for package, number in told.versions.items())}",
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, score: Score, known: str) -> str:
    return f"| {name} | {ratio(score.p)} | {ratio(score.r)} | {ratio(score.f)} | {score.support:,} | {known} |"


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
    digest, _ = model_digest(model)
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
