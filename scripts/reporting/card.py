"""What a packaged model says of itself: its scores label by label, and what it was trained on."""

from __future__ import annotations

from scripts.model.provenance import Provenance
from scripts.reporting.scores import markdown, ratio
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
        *(_row(markdown(label), metrics.labels[label], f"{told.covered.get(label, 0):,}") for label in known),
        _row("**all**", metrics.micro, ""),
        "",
        "## Made of",
        "",
        f"- run `{scored.run.folder}`, seed {seed}",
        f"- trained on the corpus `{told.corpus}`",
        f"- evaluated on the corpus `{scored.run.data.evaluated}`",
        *(
            f"- {markdown(label)} was learned again from the corpus `{corpus}`"
            for label, corpus in told.relearned.items()
        ),
        f"- config `{scored.run.config.digest}`",
        f"- {', '.join(f'{package} {number}' for package, number in told.versions.items())}",
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, score: Score, known: str) -> str:
    return f"| {name} | {ratio(score.p)} | {ratio(score.r)} | {ratio(score.f)} | {score.support:,} | {known} |"
