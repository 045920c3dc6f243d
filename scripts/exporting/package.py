"""A model as a wheel: its folder, the module of its component, and a model card of its data and scores."""

import re
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
from confection import Config
from packaging.version import InvalidVersion, Version
from spacy.cli.package import package

from scripts.core.errors import UserError, committing, train_command
from scripts.core.files import UNREADABLE, exclusive, put, work_folder, write_json
from scripts.model import label_heads
from scripts.model.models import (
    Provenance,
    demand_finished,
    demand_labels,
    labels_of,
    load_model,
    model_digest,
    provenance,
    without_seen_words,
)
from scripts.reporting.comparison import markdown_row
from scripts.reporting.console import escape_markdown
from scripts.reporting.scores import metric_cells
from scripts.scoring import runs
from scripts.scoring.metrics import columns_of
from scripts.scoring.runs import MAY_KNOW_TESTS, Run, ScoredRun

_CARD = """# {name} {version}

A spaCy pipeline that finds {labels} kinds of entities. It was trained with Labelwise on partially annotated texts: a
label was learned from the texts in which it is covered, and the others counted neither for nor against it.

```python
import spacy

nlp = spacy.load("{name}")
doc = nlp("…")
print([(entity.text, entity.label_) for entity in doc.ents])
print(doc.spans["predicted"].attrs["scores"])  # the probability of each, those that overlap included
```

Where NumPy has OpenBLAS, as on Linux, it runs faster if its layers multiply with that. It is scored so on x86-64; other
pipelines stay as they are:

```python
from thinc.api import use_ops

with use_ops("numpy", use_blis=False):
    nlp = spacy.load("{name}")
```

## Scores

Strict precision (P), recall (R) and F1 (F) on {tests:,} test texts, each label where it is \
covered. *Covered*: in this number of the {texts:,} training texts.

{table}

## Made of

{parts}

The wheel holds weights, labels, the rules of the tokenizer and the words that have a static vector: \
no text, and no other word of one.
"""


def card(name: str, version: str, scored: ScoredRun, seed: int, record: Provenance) -> str:
    """Return the model card of a package, in Markdown. Record is that of the model's training."""
    metrics = scored.of_seed(seed)
    columns = columns_of("card")
    rows = [
        markdown_row([escape_markdown(label), *metric_cells(columns, score), f"{record.covered.get(label, 0):,}"])
        for label, score in metrics.labels.items()
        if label in record.covered or score.texts
    ]
    rows.append(markdown_row(["**all**", *metric_cells(columns, metrics.micro), ""]))
    head = markdown_row(["label", *(column.heading for column in columns), "covered"])
    parts = [
        f"run `{scored.run.folder}`, seed {seed}",
        f"trained on the corpus `{record.corpus}`",
        f"evaluated on the corpus `{scored.run.data.evaluated}`",
        *([f"⚠ {MAY_KNOW_TESTS}"] if scored.run.is_outdated else []),
        *(f"{escape_markdown(one)} was learned again from the corpus `{of}`" for one, of in record.relearned.items()),
        f"config `{scored.run.config.digest}`",
        ", ".join(f"{package} {number}" for package, number in record.versions.items()),
    ]
    return _CARD.format(
        name=name, version=version, labels=len(rows) - 1, tests=metrics.micro.texts, texts=record.texts.get("train", 0),
        table="\n".join([head, f"|---|{'---:|' * (len(columns) + 1)}", *rows]),
        parts="\n".join(f"- {part}" for part in parts),
    )  # fmt: skip


_CODE = Path(label_heads.__file__)
_ROOT = Path(__file__).parent.parent.parent
_ROOT_AND_NAME = 2  # parts of a path: a shorter one names no place


def build(
    model: Path, metrics: Path, output: Path, name: str, version: str, labels: Collection[str] = ()
) -> tuple[Path, Run]:
    """Build a wheel that needs nothing but spaCy and is loaded by its name.

    model (Path): A folder `model-best`, unchanged since it was evaluated.
    output (Path): Gets the wheel, and the card as `<wheel>.md`.
    name (str), version (str): Of the package, without the language; as in https://peps.python.org/pep-0440/. Names are
        normalized as in https://peps.python.org/pep-0503/, with '_'.
    labels (Collection[str]): Of the corpus, if there is one.
    RETURNS (tuple[Path, Run]): The wheel, and the run that has the model.
    RAISES (UserError): If name or version are not valid, the model was not evaluated, is of another project or not of
        the last training, or the wheel cannot be built.
    """
    name = re.sub(r"[-_.]+", "_", name.lower())  # a run's name becomes one for a package, `ner-ORG` for example
    if not re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", name):
        raise UserError(f"{name!r}: is no name for a package; use letters of ASCII, digits and '_'")
    try:
        version = str(Version(version))
    except InvalidVersion as err:
        raise UserError(f"{version!r}: is no version; use one like 0.1.0") from err
    try:
        meta = msgspec.json.decode((model / "meta.json").read_bytes(), type=dict[str, object])
    except UNREADABLE as err:
        reason = err.strerror if isinstance(err, OSError) else err
        train = train_command(model.parent.parent.name)
        raise UserError(f"{model}: is no trained model ({reason}); train one first: {train}") from err
    demand_finished(model)
    demand_labels(model, labels_of(meta), labels)
    record = provenance(meta)
    if record is None:
        raise UserError(f"{model}: has no record of its training data; train it with labelwise.RecordData.v1")
    scored, seed = _run_of(model, metrics)
    full_name = f"{meta['lang']}_{name}"
    with exclusive(output), work_folder(output) as work:
        shutil.copytree(model, work / "model")
        without_seen_words(load_model(model), work / "model")
        _without_places(work / "model" / "config.cfg")
        text = card(full_name, version, scored, seed, record)
        (work / "model" / "README.md").write_text(text, "utf8")
        micro = scored.of_seed(seed).micro
        said = f"F {micro.f:.3f}" if micro.f is not None else "no score"
        description = f"Finds {len(record.covered)} kinds of entities ({said} on {micro.texts:,} texts)."
        more: dict[str, object] = {"name": name, "version": version, "description": description}
        more |= {"requirements": requirements} if (requirements := _requirements(str(meta["lang"]))) else {}
        write_json(work / "model" / "meta.json", meta | more)
        package(work / "model", work, code_paths=[_CODE], create_sdist=False, require_parent=True, silent=True)
        wheel = _wheel(work / f"{full_name}-{version}", work / "wheel")
        described = work / "card.md"
        described.write_text(text, "utf8")
        with committing():
            put(described, output / f"{wheel.name}.md")
            return put(wheel, output / wheel.name), scored.run


def _without_places(path: Path) -> None:
    """Leave of each absolute path in a config its name: a transformer's or the vectors' folder on this machine. Nothing
    reads them any more, since all that was in them is in the model.
    """

    def shorten(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shorten(each) for key, each in value.items()}
        is_place = isinstance(value, str) and Path(value).is_absolute() and len(Path(value).parts) > _ROOT_AND_NAME
        return Path(value).name if is_place else value

    Config(shorten(Config().from_disk(path))).to_disk(path)


def _requirements(lang: str) -> list[str]:
    """Packages that the tokenizer of a language needs: those of requirements-<lang>.txt, if there is one."""
    path = _ROOT / f"requirements-{lang}.txt"
    lines = path.read_text("utf8").splitlines() if path.exists() else []
    return [line.partition("#")[0].strip() for line in lines if not line.startswith("-r")]


def _run_of(model: Path, metrics: Path) -> tuple[ScoredRun, int]:
    """Find the newest run that has this model, byte for byte, and its seed."""
    if found := runs.of_model(model_digest(model)[0], metrics):
        return found
    raise UserError(f"{model}: was not evaluated, or has changed since; evaluate it first: weasel run evaluate")


def _wheel(folder: Path, output: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(output), str(folder)],
        capture_output=True, encoding="utf8", errors="replace",
    )  # fmt: skip
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        reason = lines[-1] if lines else "no output"
        raise UserError(f"the wheel cannot be built, which takes pip and a network: {reason}")
    return next(output.glob("*.whl"))
