"""Checks of what is published, not of code: the numbers in docs/ are those of benchmarks/results/."""

from __future__ import annotations

import json
import re
from statistics import fmean

import pandas as pd
import pytest

from benchmarks.corpora import CORPORA
from benchmarks.partial import ALONE, COMPLETE, HEADS, KEPT, NER, SINGLE
from benchmarks.weeks import MORE
from tests.imports import ROOT

PERFORMANCE = (ROOT / "docs/performance.md").read_text("utf8")
SERVING = (ROOT / "docs/serving.md").read_text("utf8")
MACHINES = (ROOT / "docs/many-machines.md").read_text("utf8")
TRAINING = (ROOT / "docs/training.md").read_text("utf8")


def results(name):
    return json.loads((ROOT / f"benchmarks/results/{name}.json").read_text("utf8"))


def short(value, digits=3):
    """A number below 1 without its 0; a dash for none."""
    return "–" if value is None else re.sub("^0", "", f"{value:.{digits}f}")


def percent(value, digits=0):
    return f"{value:.{digits}%}".replace("%", " %")


def test_every_result_is_referred_to():
    pages = PERFORMANCE + MACHINES + SERVING + TRAINING
    for path in (ROOT / "benchmarks/results").glob("*.json"):
        assert f"benchmarks/results/{path.name}" in pages or path.name == "small.json"


def test_the_table_of_merging():
    full = results("full")
    found = full["measured"]
    some, extrapolated = found["the srsly way, 10 datasets"], found["the srsly way, 20 datasets, extrapolated linearly"]
    rows = [(some["seconds"], f"{some['mb']:,}"), (extrapolated["seconds"], "")]
    for name in ("two processes, jsonl", "one process, jsonl", "nothing new", "ten new answers"):
        steps = [found[f"{name}: {step}"] for step in ("pull", "merge", "corpus")]
        rows.append((sum(step["seconds"] for step in steps), max(step["mb"] for step in steps)))
    for seconds, memory in rows:
        assert re.search(rf"\| {seconds:.1f} \| {memory} ?\|", PERFORMANCE), (seconds, memory)
    real = [found[f"real texts: two processes, jsonl: {step}"] for step in ("pull", "merge", "corpus")]
    seconds, memory = sum(step["seconds"] for step in real), max(step["mb"] for step in real)
    targets = {target["name"]: target["value"] for target in full["targets"]}
    times = targets["real texts: the srsly way / ours, two processes"]
    assert f"{times:.0f} times as fast as srsly, in {seconds:.1f} s and {memory} MB" in PERFORMANCE
    alone = {targets[f"pull of one dataset, {kind}: one process / two processes"] for kind in ("jsonl", "sqlite")}
    assert {f"Two processes read a dataset of 2.6 GB {each:.1f} times" in PERFORMANCE for each in alone} == {True}


def test_the_tables_of_calibration_and_vectors():
    rows = {(row["corpus"], row["vectors"]): row for row in results("calibration")["rows"]}
    for (corpus, with_vectors), row in rows.items():
        if with_vectors:
            cells = (f"{short(each['f'])} ± {short(each['sd'])}" for each in (rows[corpus, False], row))
            assert f"| {corpus} | {' | '.join(cells)} |" in TRAINING
        else:
            cells = (f"{row['spans']:,.0f}", *(short(row[key]) for key in ("before", "after", "exact")))
            assert f"| {corpus} | {' | '.join(cells)} |" in TRAINING


def test_memory_of_database_servers():
    found = results("servers")
    pull, fetch = (
        [found[system][f"1000000 rows, {way}"]["mb"] for system in ("postgresql", "mysql")]
        for way in ("pull", "fetch all")
    )
    assert f"{pull[0]} MB (PostgreSQL) and {pull[1]} MB (MariaDB)" in PERFORMANCE
    assert f"{fetch[0] / 1000:.1f} and {fetch[1] / 1000:.1f} GB" in PERFORMANCE


def test_the_tables_of_partial_annotation():
    rows = results("partial")["scores"]
    scores = {(row["corpus"], row["system"], row["kept"]): row["f"] for row in rows}
    assert f"| – | {short(scores['addresses', SINGLE, 0.5])} | – |" in PERFORMANCE
    assert {corpus for corpus, *_ in scores} == CORPORA.keys()
    for corpus in CORPORA:
        for system, name in ((HEADS, f"{corpus}, a head per label"), (NER, "spaCy's `ner`, missing labels taken for")):
            cells = " | ".join(short(scores[corpus, system, kept]) for kept in KEPT)
            assert re.search(rf"\| {name}[^|]*\| {re.escape(cells)} \|", PERFORMANCE), (corpus, system)
        alone = [scores[corpus, HEADS, 1.0], *(scores[corpus, ALONE, kept] for kept in KEPT[1:])]
        assert f"| … without a teacher | {' | '.join(map(short, alone))} |" in PERFORMANCE
        complete = " | ".join(short(scores[corpus, COMPLETE, kept]) for kept in KEPT[1:])
        assert f"| {short(scores[corpus, NER, 1.0])} | {complete} |" in PERFORMANCE


def test_the_table_of_complete_and_half_annotations():
    rows = {(row["corpus"], row["kept"]): row for row in results("partial")["scores"] if row["system"] == HEADS}
    for corpus in CORPORA:
        cells = [short(rows[corpus, kept][name]) for kept in (1.0, 0.5) for name in ("f", "macro")]
        assert f"| {corpus} | {' | '.join(cells)} |" in TRAINING


def test_the_table_of_the_teacher():
    rows = {(row["corpus"], row["kept"], row["system"]): row for row in results("partial")["scores"]}
    for corpus in CORPORA:
        found = [rows[corpus, kept, system] for kept in (0.5, 0.25) for system in (ALONE, HEADS)]
        cells = [f"{short(row['f'])}, {short(row['macro'])}" for row in found]
        assert f"| {corpus} | {' | '.join(cells)} |" in TRAINING
        (alone, taught), (alone_of_few, taught_of_few) = found[:2], found[2:]
        assert taught["f"] > alone["f"]
        assert taught_of_few["f"] > alone_of_few["f"] - 0.001


def test_words_a_second_beside_spacys_own_ner():
    rows = [row for row in results("speed")["rows"] if "CPU" not in row["what"]]
    assert len(rows) == 4  # training and running of two corpora
    for row in rows:
        heads, stock = row["heads"], row["spacy train, ner"]
        expected = f"| {row['what']}, {row['corpus']} | {heads:,} | {stock:,} | {row['to spacy train, ner']:.2f} × |"
        assert expected in PERFORMANCE


def test_memory_of_training():
    rows = results("training_memory")["rows"]
    streamed, loaded = ([row["peak_mb"] for row in rows if row["way"] == way] for way in ("streamed", "all in memory"))
    assert f"{streamed[0]} MB for {rows[0]['texts']:,} and for {rows[-1]['texts']:,} texts" in PERFORMANCE
    assert f"{loaded[0]} and {loaded[1]} MB" in PERFORMANCE
    assert abs(streamed[1] / streamed[0] - 1) < 0.02


def test_no_variant_that_is_called_worse_was_better():
    scores = results("variants")["scores"]
    wins = [row["variant"] for row in scores if row["wins"]]
    assert all(wins.count(variant) < len({row["corpus"] for row in scores}) for variant in wins)


def test_the_table_of_one_label_alone():
    rows = results("label_by_label")["rows"]
    for label in {row["label"] for row in rows}:
        of_label = [row for row in rows if row["label"] == label]
        before, alone, anew, quick, slow = (
            fmean(row[name] for row in of_label) for name in ("before", "alone", "anew", "alone_s", "anew_s")
        )
        cells = " | ".join(map(short, (before, alone, anew)))
        assert f"| {label} | {cells} | {slow / quick:.1f} × as long |" in PERFORMANCE


def test_texts_that_the_queue_saves():
    for *labels, micro in results("weeks")["needed"].values():
        rising = [row["texts"] for row in labels if row["texts"] is not None]
        few = [texts for texts in rising if texts != MORE and texts <= 0.7]
        assert f"{percent(micro['texts'])} of the texts ({percent(micro['words'])} of the words)" in PERFORMANCE
        assert f"at most 70 % of them for {len(few)} of the {len(rising)} labels" in PERFORMANCE


def test_speed_of_consistency():
    rows = {(row["what"], row["texts"]): row for row in results("consistency")["measured"]}
    some, many = (rows["consistency, 2 processes", texts] for texts in (12_500, 50_000))
    assert f"in {many['seconds']:.1f} s and {many['peak_mb']:.0f} MB with two processes" in PERFORMANCE
    assert f"a quarter of them in {some['peak_mb']:.0f} MB" in PERFORMANCE
    assert f"takes {rows['PhraseMatcher', 12_500]['seconds']:.1f} s" in PERFORMANCE


@pytest.mark.parametrize("case", results("injected")["cases"], ids=lambda case: f"{case['corpus']}-{case['way']}")
def test_the_table_of_suspects(case):
    methods = case["methods"]
    tiers = [methods[f"tier {tier}"] for tier in (1, 2, 3)]
    cells = [
        short(methods["one model a fold, unranked"]["precision"], 2),
        *(short(methods[name]["precision_50"], 2) for name in ("models", "surface forms", "tier 1")),
        *(f"{short(tier['precision'], 2)} of {tier['ranked']:,}" for tier in tiers),
    ]
    assert f"| {case['corpus']}, {case['way']} | {' | '.join(cells)} |" in PERFORMANCE
    assert case["models"] == 1  # "One model judged each text"


def test_errors_of_compare():
    found = results("verdicts")
    assert f"at most {percent(max(row['share'] for row in found['alarms']), 1)} of the labels" in PERFORMANCE
    for share, words in ((0.2, "{} of {} with one"), (0.5, "{} of {} with one")):
        rows = [row for row in found["changes"] if row["removed"] == share]
        assert all(row["several_verdict"] == "worse" for row in rows)
        hits, pairs = (sum(row[name] for row in rows) for name in ("one_seed_found", "one_seed_pairs"))
        assert words.format(hits, pairs).replace(" with one", "") in PERFORMANCE


def test_speed_of_scoring():
    found = results("scoring")["scoring"]
    assert f"Scoring {found['texts']:,} texts with {found['labels']} labels" in PERFORMANCE
    assert f"{found['times_as_fast']:.0f} times as fast as nervaluate" in PERFORMANCE


def test_the_tables_of_many_machines():
    found = results("engines")
    for row in found["rows"][:5]:
        values = f"{row['pull'] + row['merge']:.1f} | {row['ratio']:.2f} | {row['cpu']:.1f} | {row['mb']}"
        assert f"| {values} |" in MACHINES
    assert all(found["same_bytes_with_workers"].values())
    cluster = found["cluster"]
    assert cluster["same_bytes"]
    assert cluster["kills"] == {"kills": 20, "merges": 20, "exact": 20}
    assert f"{cluster['json_mb'] / cluster['limit_mb']:.1f} times as much JSON" in MACHINES
    assert f"took {max(cluster['worker_mb'])} MB at most" in MACHINES
    seconds = [worker["seconds"] for worker in found["growth"][1]["workers"]]
    assert f"{sum(seconds) / max(seconds):.2f} times as fast" in MACHINES


def test_the_speed_of_serve_and_that_no_answer_was_wrong_or_lost():
    found = results("serving")
    assert f"in one call | {found['nlp.pipe texts_a_second']:,} |" in SERVING
    for load in found["loads"]:
        cells = (f"{load['texts_a_second']:,}", *(f"{load[key]:.0f} ms" for key in ("p50_ms", "p95_ms")))
        assert f" | {' | '.join(cells)} |" in SERVING
        assert load["wrong"] == load["lost"] == 0
    assert f"{sum(load['requests'] for load in found['loads']):,} answers" in SERVING


def test_the_table_of_binary_answers():
    rows = pd.DataFrame(results("binary")["rows"])
    for (corpus, assumed), found in rows.groupby(["corpus", "assumed_outside"]):
        name = f"{corpus}, " + ("`assumed_outside = 1.0`" if assumed else "from the spans alone")
        cells = [f"{short(found[key].mean())} ± {short(found[key].std())}" for key in ("f", "others")]
        assert f"| {name} | {cells[0]} | {cells[1]} |" in TRAINING
        assert short(found["f"].mean()) in PERFORMANCE
