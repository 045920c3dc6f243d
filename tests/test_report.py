"""The report: it shows the numbers of the files, nothing in it is taken for markup, and it loads nothing."""

from __future__ import annotations

import io
import random
import re
import shutil
from collections import Counter

import msgspec
import pytest
from markupsafe import escape
from rich.console import Console

from benchmarks.report import LABELS, WORDS, generate
from scripts.checking import consistency, coverage
from scripts.checking.review import TIERS, Suspects, read_suspects
from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.core.files import sha256, write_json
from scripts.page import contents
from scripts.page.page import breakable, group_errors, mark_spans, render, stack, unbroken
from scripts.queueing import recommendation as deciding
from scripts.queueing.rules import ACTIONS
from scripts.reporting.console import count, ratio
from scripts.reporting.scores import print_scores
from scripts.scoring import comparison, runs
from scripts.scoring import learning_curve as curve
from scripts.scoring.runs import load_all
from tests.html import Page
from tests.project import ROOT, succeed
from tests.runs import counted, made, write
from tests.scored import step

SHARED = ("boundary", "type", "boundary + type")  # kinds of both false negatives and false positives
HOSTILE = [
    "<b>bold</b>", "</bdi></dd></main>", "שלום", "\u202eevil", "\u2067iso", "&amp;", "<script>alert(1)</script>",
    "日本",     "</style>", "مرحبا", '"quoted"', "it's", "{{x}}", "{%raw%}", "\x01\x7f", "tab\there", "<!--", "]]>",
    "javascript:a()",
]  # fmt: skip
NAMES = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\u202eO'Brien & Sons", "{{ 7*7 }}", "שם_של"]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Ten runs, with all that can be shown. Not to be changed."""
    folder = tmp_path_factory.mktemp("many")
    generate(folder, 10, LABELS[:6], texts=80)
    return folder


def load(folder, with_texts=True):
    return contents.load(folder / "metrics", folder / "corpus", with_texts)


@pytest.fixture(scope="module")
def page(many):
    return Page(render(load(many)))


def number(cell):
    return float(cell.replace(",", "") or 0)


# What it says


def test_the_scores_are_those_of_the_newest_run(many, page):
    newest = load_all(many / "metrics")[0][-1]
    rows = page.rows("Scores by label")
    assert [row["label"] for row in rows] == [*newest.metrics.labels, "all (micro)"]
    for row, score in zip(rows, [*newest.metrics.labels.values(), newest.metrics.micro], strict=True):
        assert [row[name] for name in ("F", "P", "R")] == [ratio(score.f), ratio(score.p), ratio(score.r)]
        numbers = [row[name] for name in ("entities", "TP", "FP", "FN", "texts")]
        assert numbers == [count(each) for each in (score.support, score.tp, score.fp, score.fn, score.texts)]
    assert rows[-2]["95 % interval"] == "no entities"


def test_what_to_do_next_is_what_the_step_says(many, page):
    found = deciding.load(many / "metrics", many / "corpus")
    rows = page.rows("Measurements of each label, and what to do")
    assert [row["label"] for row in rows] == list(found.labels)
    for row, each in zip(rows, found.labels.values(), strict=True):
        assert row["recommendation"] == ACTIONS[each.recommendation.action]
        advice = each.recommendation
        assert row["rule"] == " ".join(f"{advice.rule} {advice.reason} {advice.command}".split())
        assert row["errors"] == count(each.signals.errors)


def test_recommendations_of_another_run_are_not_shown(many, tmp_path):
    folder = shutil.copytree(many, tmp_path / "many")
    path = folder / "metrics" / deciding.NAME
    path.write_bytes(path.read_bytes().replace(b'"run": "', b'"run": "x'))
    content = render(load(folder))
    assert "Measurements of each label, and what to do" not in Page(content).tables
    assert b"<code>weasel run next</code>" in content


def test_one_count_of_errors_and_one_order_of_labels(many, page, tmp_path):
    """On the page, on the console of evaluate, compare and next, in compare.md, and in the files."""
    newest = load_all(many / "metrics")[0][-1]
    labels = list(newest.metrics.labels)
    errors = {label: count(score.error_count) for label, score in newest.metrics.labels.items()}
    printed = io.StringIO()
    print_scores(Console(file=printed, width=80), newest.metrics)
    rows = [line.split() for line in printed.getvalue().splitlines()[1:-2]]
    assert [row[0] for row in rows] == labels
    fp_fn = {row[0]: count(float(row[-3]) + float(row[-2])) for row in rows}
    assert fp_fn == errors
    said = step(many, "scripts.compare", "metrics", "--output", tmp_path).stdout
    rows = [line.split()[0] for line in said.splitlines() if line.startswith("LABEL_")]
    assert rows == labels * (len(rows) // len(labels))
    lines = (tmp_path / "compare.md").read_text().splitlines()
    named = [line.split(" | ")[0].removeprefix("| ").replace("&#95;", "_") for line in lines if "LABEL&#95;" in line]
    assert named[: len(labels)] == labels
    by_errors = sorted(labels, key=lambda label: (-newest.metrics.labels[label].error_count, label))
    found = deciding.load(many / "metrics", many / "corpus")
    by_errors = [label for label in by_errors if label in found.labels]  # all were learned
    assert list(found.labels) == by_errors
    assert {label: count(each.signals.errors) for label, each in found.labels.items()}.items() <= errors.items()
    printed = io.StringIO()
    deciding.print_next(Console(file=printed, width=100), found)
    rows = [line.split() for line in printed.getvalue().splitlines()[1 : len(by_errors) + 1]]
    assert {row[0]: row[-2] for row in rows}.items() <= errors.items()
    assert [row[0] for row in rows] == by_errors

    for name in (
        "Scores by label", "Errors by kind and label", "Changes since the baseline by label", "F by label and run",
        "Confusion matrix", "Recall of seen and unseen surface forms by label",
    ):  # fmt: skip
        assert [row[0].strip() for row in page.tables[name][1:]][: len(labels)] == labels, name
    for name in ("Measurements of each label, and what to do", "Labels with the most errors"):
        rows = page.rows(name)
        assert [row["label"] for row in rows] == by_errors[: len(rows)]
        assert len(rows) >= len(by_errors) - 1
        assert {row["label"]: row["errors"] for row in rows}.items() <= errors.items()
    assert {row["label"]: row["errors"] for row in page.rows("Errors by kind and label")[:-1]} == errors
    summaries = dict(re.findall(r"<summary><bdi>([^<]+)</bdi> <span class=\"muted\">([\d,.]+) errors", page.content))
    assert summaries
    assert summaries.items() <= errors.items()
    for label, groups in group_errors(load(many).errors, newest.metrics).items():
        assert count(sum(group.total for group in groups)) == errors[label]


def test_counts_add_up(page):
    scores = {row["label"]: row for row in page.rows("Scores by label")}
    kinds = page.rows("Errors by kind and label")
    for row in kinds:
        sides = ("FN", "missed"), ("FP", "spurious")
        sums = [sum(number(row[f"{kind} {side}"]) for kind in (*SHARED, last)) for side, last in sides]
        assert sum(sums) == number(row["errors"])
        if row["label"] != "all":
            assert sums == [number(scores[row["label"]][side]) for side, _ in sides]
    assert sum(number(row["errors"]) for row in kinds[:-1]) == number(kinds[-1]["errors"])
    for row in page.rows("Confusion matrix")[:-1]:
        label, *cells, total = row.values()
        assert sum(map(number, cells)) == number(total) == number(scores[label]["entities"])
    for label, _, _, seen, _, unseen in page.tables["Recall of seen and unseen surface forms by label"][1:-1]:
        assert number(seen) + number(unseen) == number(scores[label]["entities"])
    for row in page.rows("Coverage by label"):
        states = ("covered", "partly covered", "unresolved", "not covered")
        assert sum(number(row[state]) for state in states) == number(row["sum"]) == 2_000


def test_changes_are_those_that_compare_found(many, page):
    found = comparison.load(many / "metrics").runs[-1].changes
    rows = page.rows("Changes since the baseline by label")
    assert [row["label"] for row in rows] == [*found.labels, "micro", "macro"]
    for row, change in zip(rows, [*found.labels.values(), found.micro, found.macro], strict=True):
        assert row["change"] == ratio(change.delta, sign=True)
        assert change.verdict in row["verdict"]


def test_all_runs_are_listed_and_the_last_ones_drawn(many, page):
    scored, _ = load_all(many / "metrics")
    assert [row["run"] for row in page.rows("All runs")] == [each.run.folder for each in reversed(scored)]
    rows = page.tables["F by label and run"]
    assert len(rows[0]) == 2 + 6
    assert rows[1][-1].strip() == ratio(scored[-1].metrics.labels[LABELS[0]].f)


def test_the_learning_curve_has_its_numbers(many, page):
    found = curve.load(many / "metrics")
    for row in page.rows("F by label and number of texts")[:-1]:
        assert row["225 texts"] == ratio(found.points[0].labels[row["label"]].f)
        assert row["more texts"] == found.labels[row["label"]].verdict


def test_it_warns_of_what_makes_numbers_uncertain(tmp_path):
    before = made("ner", "a", 1, counted({"ORG": 5, "PER": 5}))
    trained = runs.TrainingData(100, {"ORG": 10, "PER": 90}, {}, outdated=["ORG", "PER"])
    after = made(
        "ner", "b", 2, counted({"ORG": 5, "PER": 5}, other_gold=["PER"]), data=runs.RunData("other", "a"),
        trained=trained, code=runs.RunCode("a", "a", "c" * 40, ["configs/ner.cfg", "scripts/x.py"]),
    )  # fmt: skip
    write(tmp_path, before, after)
    assert "is not compared with another" in render(load(tmp_path)).decode()
    scored, _ = load_all(tmp_path / "metrics")
    found = comparison.compare_runs(tmp_path / "metrics", scored, scored[0])
    (tmp_path / "metrics/compare.json").write_bytes(msgspec.json.encode(found))
    (tmp_path / "metrics/broken").mkdir()
    said = render(load(tmp_path)).decode()
    for what in (
        "The test changed for 1 label since the baseline: PER", "One seed.", "Uncommitted changes in 2 files",
        "trained on another state of the corpus", "2 labels have fewer than 30 entities",
        "1 label covered in fewer than half of the training texts: ORG", "A folder was skipped",
    ):  # fmt: skip
        assert what in said


@pytest.mark.parametrize("changed", ["a", "b"])
def test_a_comparison_and_a_recommendation_of_other_scores_are_not_shown(changed, many, tmp_path):
    folder = shutil.copytree(many, tmp_path / "many")
    write(folder, *(made("ner", d, n, counted(dict.fromkeys(LABELS[:2], 5))) for d, n in (("a", 22), ("b", 23))))
    steps = (("compare", "metrics", "--baseline", "ner-a", "--runs", "ner-b"), ("next", "corpus", "metrics"))
    for name, *options in steps:
        succeed(folder, name, *options)
    said = render(load(folder)).decode()
    assert "<h3>Change since <bdi>ner-aaaaaaaa</bdi></h3>" in said
    write(folder, made("ner", changed, 24, counted(dict.fromkeys(LABELS[:2], 8))))
    said = render(load(folder)).decode()
    assert "<h3>Change since" not in said
    assert "The scores have changed since the runs were compared.</bdi></b> Compare them again:" in said
    assert "The scores have changed since. To compare them again: <code>weasel run compare</code>" in said
    assert (load(folder).next is None) == (changed == "b")
    for name, *options in steps:
        succeed(folder, name, *options)
    found = load(folder)
    assert found.comparisons.runs[-1].changes.labels[LABELS[0]].f == pytest.approx(
        8 / 10 if changed == "b" else 10 / 17, abs=1e-6
    )
    assert found.comparisons.baseline == "ner-aaaaaaaa"


def test_reliability_has_its_numbers(many, page):
    newest = load_all(many / "metrics")[0][-1]
    rows = page.rows("Reliability by label")
    assert [row["label"] for row in rows] == [*newest.metrics.labels, "all"]
    for row, score in zip(rows, [*newest.metrics.labels.values(), newest.metrics.micro], strict=True):
        found = score.reliability
        assert [row[name] for name in ("ECE", "exact", "80 %")] == [
            ratio(found.ece),
            ratio(found.exact_ece),
            ratio(found.p80),
        ]
        assert row["spans"] == count(found.spans)
    bins = runs.load_reliability(many / "metrics" / newest.run.folder).seeds["0"].micro
    shown = page.rows("Reliability diagram as a table")
    assert [(row["probability"], row["precision"]) for row in shown] == [
        (ratio(b.probability), ratio(b.precision)) for b in bins
    ]
    assert sum(number(row["spans"]) for row in shown) == newest.metrics.micro.reliability.spans


def test_missing_sections_name_the_command_that_makes_them(tmp_path):
    write(tmp_path, made("ner", "a", 1, counted({"ORG": 5})))
    (tmp_path / "metrics/ner-aaaaaaaa/confusion.json").unlink()
    said = render(load(tmp_path)).decode()
    for command in ("evaluate", "merge", "learning-curve", "compare", "consistency"):
        assert f"<code>weasel run {command}</code>" in said
    assert "have no calibrated probabilities" in said


def test_several_seeds_are_means(tmp_path):
    write(tmp_path, made("ner", "a", 1, counted({"ORG": [5, 8]}, seeds=(0, 1))))
    said = render(load(tmp_path)).decode()
    assert "means over 2 seeds" in said
    assert "One seed." not in said
    assert Page(said.encode()).rows("Scores by label")[0]["TP"] == "6.5"


def test_the_parts_of_a_bar_follow_each_other():
    parts = list(stack([("a", 1), ("b", 0), ("c", 3)], 4))
    assert parts == [("a", 0, 0.25), ("c", 0.25, 0.75)]
    assert not list(stack([("a", 1)], 0))


# Marked texts


def test_overlapping_spans_are_all_marked():
    spans = [Span(0, 6, "A"), Span(4, 9, "B"), Span(4, 9, "C"), Span(9, 10, "A")]
    line = mark_spans("0123456789", [(span, "other") for span in spans])
    assert line.lanes == 3
    assert [(piece.text, len(piece.marks)) for piece in line.pieces] == [("0123", 1), ("45", 3), ("678", 2), ("9", 1)]
    assert [[label for label, _ in piece.ends] for piece in line.pieces] == [[], ["A"], ["B", "C"], ["A"]]


def test_any_spans_leave_the_text_as_it_is():
    random_ = random.Random(0)
    for _ in range(200):
        text = "x" * random_.randrange(30)
        spans = [Span(*sorted(random_.choices(range(32), k=2)), random_.choice("AB")) for _ in range(6)]
        line = mark_spans(text, [(span, "other") for span in spans])
        inside = [span for span in spans if span.start < span.end <= len(text)]
        assert "".join(piece.text for piece in line.pieces) == text
        assert sum(len(piece.ends) for piece in line.pieces) == len(inside)
        assert sum(len(p.text) * len(p.marks) for p in line.pieces) == sum(span.end - span.start for span in inside)
        for piece in line.pieces:
            assert len({mark.lane for mark in piece.marks}) == len(piece.marks)


def test_errors_are_shown_with_their_texts(many, page):
    found = load(many).errors
    assert set(page.texts) <= {example.text for example in found}
    groups = group_errors(found, load(many).runs[-1].metrics)
    assert set(groups) == {example.label for example in found}
    assert len(page.texts) == 2 * sum(len(group.shown) for of_label in groups.values() for group in of_label)


def test_without_texts_there_are_none(many):
    assert not Page(render(load(many, with_texts=False))).texts


# Consistency, coverage and suspects


def test_places_of_forms_are_those_that_were_found(many, page):
    found = load(many).consistency
    rows = page.rows("Occurrences of surface forms by label")
    assert [row["label"] for row in rows] == list(found.labels)
    for row, label in zip(rows, found.labels.values(), strict=True):
        names = ("annotated", "other boundary", "other label", "nothing")
        assert sum(number(row[name]) for name in names) == number(row["sum"]) == sum(label.occurrences.values())
        assert number(row["annotated"]) == label.occurrences["annotated"] == label.spans - label.inside_words
        assert number(row["suspects"]) == sum(label.suspects.values())
        assert number(row["tier 1"]) == label.tiers["1"]
    for name in (each for each in page.tables if each.startswith("Surface forms of ")):
        for row in page.rows(name):
            assert sum(number(row[each]) for each in names) == number(row["sum"])


def test_findings_are_shown_and_a_label_leads_to_its_own(many, page):
    found = load(many)
    content = render(found).decode()
    assert sum(len(each) for each in found.consistency_suspects.values()) == content.count('<dd class="muted">')
    assert all(escape(one.reason) in content for each in found.consistency_suspects.values() for one in each)
    links = re.findall(r'<bdi><a href="#(consistency-[0-9]+)">(.*?)</a>', content)
    assert {place for place, _ in links} == set(re.findall(r'<td class="n"><a href="#(.*?)">', content))
    assert len(links) == sum(bool(each) for each in found.consistency_suspects.values()) > 0
    for place, label in links:
        assert re.search(
            rf'<bdi>{re.sub("<wbr>", "", label)}</bdi> <span[^>]*>[^<]*</span></summary>\s*<div id="{place}">', content
        )


def test_agreement_and_texts_to_annotate_are_shown(many, page):
    found = load(many)
    for row in page.rows("Agreement between annotators by label"):
        agreement = found.consistency.agreement[row["label"]]
        assert (row["F"], row["α"]) == (ratio(agreement.f), ratio(agreement.alpha))
        assert number(row["both marked"]) == agreement.pairs[0].both
    for row in page.rows("Texts to annotate by label"):
        known = found.coverage.labels[row["label"]]
        assert (number(row["to annotate"]), number(row["words"])) == (known.to_annotate, known.words)


def test_without_texts_no_form_is_shown(many):
    content = render(load(many, with_texts=False)).decode()
    assert "<mark>" not in content
    assert not [word for word in WORDS if len(word) > 5 and word in content]
    assert Page(content.encode()).rows("Occurrences of surface forms by label")
    assert "Berlin" in render(load(many)).decode()


def test_what_is_of_other_annotations_is_not_shown(many, tmp_path):
    shutil.copytree(many, tmp_path, dirs_exist_ok=True)
    merged = (tmp_path / "corpus/merge.json").read_text()
    gold = re.search(r'"gold.jsonl": "(\w+)"', merged)[1]
    (tmp_path / "corpus/merge.json").write_text(merged.replace(gold, "0" * 64))
    content = render(load(tmp_path)).decode()
    assert content.count("The annotations have changed since.") == 3
    assert "<mark>" not in content
    for command in ("consistency", "coverage", "next"):
        assert f"<code>weasel run {command}</code>" in content


def suspected(folder, into):
    """The same project, where models suspect what surface forms do."""
    shutil.copytree(folder, into, dirs_exist_ok=True)
    review = into / "corpus/review"
    shutil.copy(review / "consistency.jsonl", review / "suspects.jsonl")
    account = Suspects(
        gold=consistency.load(into / "corpus").gold, predictions="", consistency="", run="ner", label=None, folds=5,
        seeds=[0, 1], texts=80, listed=sha256(review / "suspects.jsonl"),
    )  # fmt: skip
    account.count(Counter((one.label, one.kind, one.tier) for one in read_suspects(into / "corpus")))
    write_json(review / "suspects.json", account)
    return account


def test_suspects_are_counted_and_the_first_are_shown(many, page, tmp_path):
    assert "weasel run suspects" in render(load(many)).decode()
    account = suspected(many, tmp_path)
    found = load(tmp_path)
    content = render(found)
    rows = Page(content).rows("Suspects by label and tier")
    assert [row["label"] for row in rows] == list(account.labels)
    assert sum(number(row["sum"]) for row in rows) == account.suspects > 0
    assert all(sum(number(row[f"tier {tier}"]) for tier in TIERS) == number(row["sum"]) for row in rows)
    assert sum(len(each) for each in found.first_suspects.values()) * 2 == content.count(b'<dd class="muted">')
    assert b"<mark>" not in render(load(tmp_path, with_texts=False))


# Nothing in it is markup


def hostile(text):
    """As long, of other characters."""
    return text.translate(
        dict(zip(range(97, 123), "<>&\"'/={}\u202e\u2067ש\u0007-!#`\\%;:\u200f\x00ﬃ😀\n", strict=True))
    )


def test_texts_change_nothing_but_what_is_shown(many):
    plain, odd = load(many), load(many)
    for example in odd.errors:
        example.text = hostile(example.text)
    pages = [Page(render(found)) for found in (plain, odd)]
    assert pages[0].shape == pages[1].shape
    seen = {example.text.replace("\x00", "␀").replace("\x07", "␇") for example in odd.errors}
    assert set(pages[1].texts) <= seen


def test_forms_and_findings_change_nothing_but_what_is_shown(many, tmp_path):
    suspected(many, tmp_path)
    plain, odd = load(tmp_path), load(tmp_path)
    for suspect in (
        one for found in (odd.consistency_suspects, odd.first_suspects) for each in found.values() for one in each
    ):
        suspect.text, suspect.reason = hostile(suspect.text), hostile(suspect.reason)
    contexts = [where for each in odd.consistency.ambiguous for where in each.examples.values()]
    for form in (form for label in odd.consistency.labels.values() for form in label.most_inconsistent):
        form.surface_form = hostile(form.surface_form)
        contexts += [where for places in form.examples.values() for where in places]
    for where in contexts:
        where.before, where.text, where.after = map(hostile, (where.before, where.text, where.after))
    pages = [Page(render(found)) for found in (plain, odd)]
    assert pages[0].shape == pages[1].shape


def test_names_change_nothing_but_what_is_shown(tmp_path):
    pages = []
    for folder, names in (("plain", ["plain"] * 5), ("odd", NAMES)):
        labels = [f"{place}{name}" for place, name in enumerate(names)]
        generate(tmp_path / folder, 2, labels, texts=40, words=HOSTILE)
        pages.append(Page(render(load(tmp_path / folder))))
    assert pages[0].shape == pages[1].shape
    assert [row["label"] for row in pages[1].rows("Scores by label")][:-1] == [
        f"{place}{name}" for place, name in enumerate(NAMES)
    ]


def test_a_name_breaks_only_where_it_may():
    assert breakable("StreetNamePre_Type<b>") == "Street<wbr>Name<wbr>Pre_<wbr>Type&lt;b&gt;"


# One file, the same bytes


def test_a_command_breaks_at_its_spaces_alone():
    assert unbroken("weasel run queue . --vars.label 'A <b>'") == (
        "<span>weasel</span> <span>run</span> <span>queue</span> <span>.</span> <span>--vars.label</span> "
        "<span>&#39;A</span> <span>&lt;b&gt;&#39;</span>"
    )


def test_it_refers_to_nothing_outside(many):
    content = render(load(many)).decode()
    style = content[content.index("<style>") : content.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    for tag, attributes in Page(content.encode()).tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "base")
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("src", "srcset", "action")
            assert name != "href" or value.startswith("#")


def test_its_links_lead_somewhere(page):
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))
    assert {a["href"][1:] for tag, a in page.tags if tag == "a"} <= set(names)


def test_the_same_inputs_are_the_same_bytes(many, tmp_path):
    shutil.copytree(many, tmp_path, dirs_exist_ok=True)
    made = []
    for name in ("one.html", "two.html"):
        succeed(tmp_path, "report", tmp_path / "metrics", "--corpus", tmp_path / "corpus", "--output", tmp_path / name)
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1] == render(load(many))


def test_sixty_runs_are_less_than_a_megabyte_and_no_counts_are_read(tmp_path):
    generate(tmp_path, 2, texts=60)
    template = tmp_path / "metrics/ner-00000001"
    for number in range(2, 60):
        other = tmp_path / f"metrics/ner-{number:08}"
        shutil.copytree(template, other)
        run = (other / "run.json").read_text().replace("00000001" * 8, f"{number:08}" * 8)
        (other / "run.json").write_text(run)
    for path in tmp_path.glob("metrics/*/counts.csv.gz"):
        path.unlink()
    found = load(tmp_path)
    assert len(found.runs) == 60
    assert len(render(found)) < 1e6


# What is damaged


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(UserError, match="there is no run; evaluate a model first"):
        load(tmp_path)
    (tmp_path / "coverage.csv").write_text("label,dataset\nORG,*\n")
    with pytest.raises(UserError, match=r"merge\.json: no such file; .* weasel run merge"):
        coverage.read_matrix(tmp_path / "coverage.csv")
    (tmp_path / "compare.json").write_text("{")
    with pytest.raises(UserError, match=r"compare\.json: is damaged .* weasel run compare"):
        comparison.load(tmp_path)


def test_the_page_is_not_kept_in_git():
    """It shows texts, as errors.jsonl.gz does."""
    assert re.search(r"^/metrics/report\.html$", (ROOT / ".gitignore").read_text("utf8"), re.MULTILINE)
