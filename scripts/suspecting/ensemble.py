"""Finds annotations that an ensemble of models contradicts, and writes them as suspects.

Each text is predicted by the models of a cross-validation that were not trained on it. Only covered labels count.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from statistics import fmean
from typing import Literal, NamedTuple

import msgspec
import spacy
from confection import Config

from scripts.checking import consistency
from scripts.checking.review import FOLDER, RESULT, SUSPECTS, Method, Suspect, SuspectKind, Suspects
from scripts.core.answers import GoldText, Span
from scripts.core.errors import UserError
from scripts.core.files import BUFFER, code_digest, exclusive, sha256, whole_file, work_folder, write_json
from scripts.merging.merged import annotated_labels, gold_as_merged, read_gold
from scripts.model.fitting import halved
from scripts.model.models import versions, weights_digests
from scripts.suspecting.cross_validation import (
    CrossValidation,
    Ensemble,
    Folds,
    TextPrediction,
    assign_folds,
    cross_validate,
    read_predictions,
)

_ROOMS = Path(__file__).parent.parent
_CODE = (  # of which a change makes other predictions
    *(_ROOMS / "building" / f"{name}.py" for name in ("documents", "reading", "shards")),
    *(
        _ROOMS / "model" / f"{name}.py"
        for name in ("label_heads", "training", "fitting", "models", "thresholds", "vectors")
    ),
    Path(__file__).with_name("cross_validation.py"),
)
CONFIRMED, MISSED, CONTRADICTED, UNCERTAIN, UNFOUND = 1, 2, 3, 4, 5  # see `TIERS`
_CERTAIN = 0.8  # the lowest score of tiers 2 and 3
_LIKELY = 0.5  # the lowest product of both scores in tier 1: more likely wrong than right
_encode = msgspec.json.Encoder().encode_lines


def shorten(config: Config, steps: int | Literal["half"]) -> dict[str, float]:
    """Values that shorten trainings of a config: models of an ensemble need not be as good as possible.

    steps (int | Literal["half"]): The most, or half of the config's.
    """
    if steps == "half" and not config["training"]["max_steps"] and "length" in config:
        return halved(config)
    most = max(2, config["training"]["max_steps"] // 2 if steps == "half" else steps)
    return {"training.max_steps": most, "training.eval_frequency": most // 2}


def find_suspects(corpus: Path, run: str, ensemble: Ensemble, folder: Path, label: str | None) -> tuple[Suspects, int]:
    """Predict all texts of train, dev and test, and write suspects.json and suspects.jsonl.

    corpus (Path): With gold.jsonl, and review/consistency.jsonl if there is one.
    run (str): The name of the run whose config the models have.
    folder (Path): Keeps the predictions, see `cross_validate`.
    label (str | None): The only label of the suspects; None for all labels.
    RETURNS (tuple[Suspects, int]): The content of suspects.json, and the number of models trained now.
    RAISES (UserError): If there is no gold or no such label, or there are too few texts.
    """
    merged, gold = gold_as_merged(corpus)
    labels = annotated_labels(merged)
    if label is not None and label not in labels:
        raise UserError(f"there is no label {label!r} in the gold; there are {', '.join(labels) or 'none'}")
    form_suspects = _read_form_suspects(corpus)
    folds = assign_folds(read_gold(gold), ensemble.folds)
    plan = CrossValidation(ensemble, gold, labels, folds, _digest(ensemble, merged.outputs[gold.name], folds))
    trained = cross_validate(plan, folder)
    account = Suspects(
        gold=merged.outputs[gold.name], predictions=plan.digest,
        consistency=None if form_suspects is None else sha256(corpus / FOLDER / consistency.SUSPECTS),
        run=run, label=label, folds=ensemble.folds, seeds=ensemble.seeds, texts=len(folds.of_text),
        unseen=round(folds.unseen, 4),
    )  # fmt: skip
    _write(corpus / FOLDER, account, _compare_all(account, plan, folder, form_suspects or {}))
    return account, trained


def _digest(ensemble: Ensemble, gold: str, folds: Folds) -> str:
    config = spacy.util.load_config(ensemble.config, overrides=dict(ensemble.values))
    of_config = config.to_str(), weights_digests(config)
    depends_on = [gold, of_config, folds.of_text.tolist(), code_digest(*_CODE), versions()]
    return hashlib.sha256(msgspec.json.encode(depends_on)).hexdigest()


def _write(folder: Path, account: Suspects, suspects: Iterable[Suspect]) -> None:
    """Sort the suspects by tier and score on disk, write suspects.jsonl, and suspects.json last."""
    with exclusive(folder), work_folder(folder) as work:
        counts: Counter[tuple[str, SuspectKind, int]] = Counter()
        order: list[tuple[int, float, int, int]] = []  # tier, score, where the line starts, its length
        with (work / SUSPECTS).open("w+b", BUFFER) as lines:
            for suspect in suspects:
                counts[suspect.label, suspect.kind, suspect.tier] += 1
                line = _encode([suspect])
                order.append((suspect.tier, -suspect.score, lines.tell(), len(line)))
                lines.write(line)
            with whole_file(folder / SUSPECTS) as file:
                for _, _, start, size in sorted(order):
                    lines.seek(start)
                    file.write(lines.read(size))
        account.count(counts)
        account.listed = sha256(folder / SUSPECTS)
        write_json(folder / RESULT, account)


def _compare_all(
    account: Suspects, plan: CrossValidation, folder: Path, form_suspects: FormSuspects
) -> Iterator[Suspect]:
    """The suspects of all texts, in the order of the gold."""
    for text, predictions in read_predictions(plan, folder):
        if any(prediction.is_too_long for prediction in predictions):
            account.too_long += 1
            continue
        for suspect in compare(text, predictions):
            if account.label in (None, suspect.label):
                yield confirm(suspect, form_suspects)


# Tier 1: suspects of the ensemble and of surface forms

FormSuspects = Mapping[tuple[int, int], Sequence[Suspect]]  # by `text_key`, the most certain first, without texts


def text_key(input_hash: int, text: str) -> tuple[int, int]:
    """Identify a text without keeping it: texts can share an input hash."""
    return input_hash, hash(text)


def _read_form_suspects(corpus: Path) -> FormSuspects | None:
    """Suspects in consistency.jsonl with a score that tier 1 needs; None if there is no such file.

    RAISES (UserError): If it is damaged, or the gold has changed since.
    """
    if consistency.load(corpus) is None:
        return None
    found: dict[tuple[int, int], list[Suspect]] = defaultdict(list)
    for suspect in takewhile(lambda suspect: suspect.score >= _LIKELY, consistency.read_suspects(corpus)):
        key = text_key(suspect.input_hash, suspect.text)
        found[key].append(msgspec.structs.replace(suspect, text=""))  # texts are not kept in memory
    return found


def confirm(suspect: Suspect, form_suspects: FormSuspects) -> Suspect:
    """Put a suspect into tier 1 if surface forms suspect the same, and the product of both scores is high enough."""
    for form in form_suspects.get(text_key(suspect.input_hash, suspect.text), ()):
        score = round(suspect.score * form.score, 4)
        if score >= _LIKELY and _is_same(suspect, form):
            both: list[Method] = ["surface_forms", "models"]
            reason = f"{suspect.reason} {form.reason}"
            return msgspec.structs.replace(suspect, tier=CONFIRMED, found_by=both, reason=reason, score=score)
    return suspect


def _is_same(suspect: Suspect, form: Suspect) -> bool:
    if form.start >= suspect.end or suspect.start >= form.end:
        return False
    if not suspect.proposed or not form.proposed:
        return suspect.kind == form.kind and suspect.label == form.label
    return not {span.label for span in suspect.proposed}.isdisjoint(span.label for span in form.proposed)


# The other tiers: where at least half of the models contradict the annotation


class _NewEntity(NamedTuple):
    """An entity that is predicted and not annotated."""

    span: Span
    models: int  # that predict exactly it
    probability: float  # its mean over all models; 0 for those that do not predict it


class _AnnotatedEntity(NamedTuple):
    """An annotated span, and its predictions."""

    span: Span
    start: int  # of its tokens
    end: int
    exact: float  # mean over models, see `SpanProbability`
    outside: float  # mean over models
    models: int  # that predict an entity of its label that overlaps it
    is_predicted: bool  # whether at least half of them predict exactly it


def compare(text: GoldText, predictions: Sequence[TextPrediction]) -> Iterator[Suspect]:
    """The suspects of a text: where at least half of the models contradict the annotation.

    predictions (Sequence[TextPrediction]): Of the models that were not trained on it.
    """
    models = len(predictions)
    annotated = [_annotated_entity(number, span, predictions) for number, span in enumerate(text.covered_spans())]
    contradicted: set[Span] = set()
    for entity in _new_entities(text, predictions, annotated):
        overlapped = [gold for gold in annotated if gold.start < entity.span.end and entity.span.start < gold.end]
        if not any(gold.is_predicted for gold in overlapped):
            suspect = _suspect_new(text, entity, overlapped, models)
            contradicted.update(suspect.annotated)
            yield suspect
    for gold in annotated:
        absent, label = models - gold.models, gold.span.label
        if gold.span not in contradicted and 2 * absent >= models:
            reason = f"{_subject(absent, models)} no {label} (probability of none {gold.outside:.2f}); it is annotated."
            yield _suspect(text, "spurious", label, [gold.span], [], reason, UNFOUND, gold.outside)


def _annotated_entity(number: int, span: Span, predictions: Sequence[TextPrediction]) -> _AnnotatedEntity:
    probabilities = [model.annotated[number] for model in predictions]
    start, end = probabilities[0].start, probabilities[0].end
    same_label = [[(new.start, new.end) for new in model.entities if new.label == span.label] for model in predictions]
    exactly = sum((start, end) in found for found in same_label)
    overlapping = sum(any(first < end and start < last for first, last in found) for found in same_label)
    exact, outside = fmean(model.exact for model in probabilities), fmean(model.outside for model in probabilities)
    return _AnnotatedEntity(span, start, end, exact, outside, overlapping, 2 * exactly >= len(probabilities))


def _new_entities(
    text: GoldText, predictions: Sequence[TextPrediction], annotated: Iterable[_AnnotatedEntity]
) -> list[_NewEntity]:
    """Entities of covered labels that at least half of the models predict; of those that overlap, the most certain."""
    gold_spans = {(gold.start, gold.end, gold.span.label) for gold in annotated}
    found: dict[Span, list[float]] = defaultdict(list)
    for entity in (entity for prediction in predictions for entity in prediction.entities):
        is_known = (entity.start, entity.end, entity.label) in gold_spans
        if not is_known and text.covers(entity.label, entity.start, entity.end):
            found[Span(entity.start, entity.end, entity.label)].append(entity.probability)
    entities = [
        _NewEntity(span, len(probabilities), sum(probabilities) / len(predictions))
        for span, probabilities in found.items()
        if 2 * len(probabilities) >= len(predictions)
    ]
    kept: list[_NewEntity] = []
    for new in sorted(entities, key=lambda entity: (-entity.models, -entity.probability, entity.span)):
        if not any(new.span.start < other.span.end and other.span.start < new.span.end for other in kept):
            kept.append(new)
    return kept


def _suspect_new(text: GoldText, entity: _NewEntity, overlapped: Sequence[_AnnotatedEntity], models: int) -> Suspect:
    """The suspect of an entity that is predicted and not annotated, and of what is annotated in its place."""
    same_label = [gold for gold in overlapped if gold.span.label == entity.span.label]
    kind: SuspectKind = "boundary" if same_label else "type" if overlapped else "missing"
    annotated = same_label or list(overlapped)
    places = [(gold.start, gold.end) for gold in overlapped]
    replaces = bool(same_label) or places == [(entity.span.start, entity.span.end)]
    score = entity.probability * min((1 - gold.exact for gold in annotated), default=1.0)
    is_certain = entity.models == models and score >= _CERTAIN
    tier = UNCERTAIN if not is_certain else MISSED if not overlapped else CONTRADICTED if replaces else UNCERTAIN
    wordings = ", ".join(f'"{text.text[gold.span.start : gold.span.end]}" as {gold.span.label}' for gold in annotated)
    reason = (
        f"{_subject(entity.models, models)} {entity.span.label} (probability {entity.probability:.2f}); annotated: "
        f"{wordings or 'nothing'}."
    )
    spans = [gold.span for gold in annotated]
    label = spans[0].label if spans else entity.span.label
    return _suspect(text, kind, label, spans, [entity.span], reason, tier, score)


def _suspect(
    text: GoldText, kind: SuspectKind, label: str, annotated: list[Span], proposed: list[Span], reason: str, tier: int,
    score: float,
) -> Suspect:  # fmt: skip
    spans = [*annotated, *proposed]
    return Suspect(
        input_hash=text.input_hash, text=text.text, label=label, kind=kind, start=min(span.start for span in spans),
        end=max(span.end for span in spans), annotated=annotated, proposed=proposed, reason=reason,
        found_by=["models"], tier=tier, score=round(score, 4),
    )  # fmt: skip


def _subject(number: int, models: int) -> str:
    """`All models not trained on this text predict`."""
    if models == 1:
        return "The model not trained on this text predicts"
    return f"{'All' if number == models else f'{number} of {models}'} models not trained on this text predict"
