"""Texts in other languages, and without whitespace: `[nlp] lang` is enough, and scores are against the annotations."""

from __future__ import annotations

import importlib.util
import json
import random

import pytest
import spacy
from spacy import registry
from spacy.scorer import Scorer
from spacy.tokens import Doc, Span
from spacy.training import Example

from scripts.building.corpus import build
from scripts.building.documents import DocMaker, tokenizer
from scripts.building.plan import CorpusPlan
from scripts.building.reading import read_docs, split_doc
from scripts.building.splits import SPLITS, Corpus, shard_files
from scripts.core import answers
from scripts.core.answers import GoldText
from scripts.core.errors import UserError
from scripts.exporting.exporting import export
from scripts.exporting.package import _requirements
from scripts.merging.merge import Resources, merge
from scripts.merging.merged import read_gold
from scripts.model.label_heads import covered_of, predictions
from scripts.scoring import counts
from scripts.scoring.counts import Tally
from scripts.scoring.evaluation import ErrorSums
from scripts.scoring.metrics import metrics
from scripts.sources.conll import Conll
from scripts.sources.tags import gaps
from tests.annotated import task, write
from tests.prodigy import read
from tests.project import ROOT
from tests.scored import one_line, step, write_model

needs_japanese = pytest.mark.skipif(
    importlib.util.find_spec("sudachipy") is None, reason="pip install -r requirements-ja.txt"
)
LANGUAGES = ["zh", pytest.param("ja", marks=needs_japanese)]
SENTENCES = {
    "zh": (
        "{person}昨天从{place}去了{other}。",
        "在{place}，{person}见到了{friend}！",
        "{friend}说：“{person}住在{place}。”",
    ),
    "ja": (
        "昨日、{person}さんは{place}から{other}へ行きました。",
        "{place}で{person}さんに会った。",
        "{friend}さんと{person}さんは{place}に住んでいる。",
    ),
}
PEOPLE = {"zh": ["王小明", "李华", "张伟", "陈静", "刘洋"], "ja": ["田中", "鈴木", "佐藤", "高橋", "山田"]}
PLACES = {"zh": ["北京", "上海", "广州", "深圳", "杭州"], "ja": ["東京", "大阪", "京都", "福岡", "札幌"]}
NAMES = {"person": "PER", "friend": "PER", "place": "LOC", "other": "LOC"}


def texts_in(lang, number, seed=0):
    """Texts of one or two sentences with their people and places: (text, [(start, end, label)])."""
    rng = random.Random(seed)
    for _ in range(number):
        text, spans = "", []
        for sentence in rng.sample(SENTENCES[lang], rng.randint(1, 2)):
            person, friend = rng.sample(PEOPLE[lang], 2)
            place, other = rng.sample(PLACES[lang], 2)
            values = {"person": person, "friend": friend, "place": place, "other": other}
            for piece in sentence.replace("{", "}").split("}"):
                if piece in values:
                    spans.append((len(text), len(text) + len(values[piece]), NAMES[piece]))
                text += values.get(piece, piece)
        yield text, spans


def plan(lang, misaligned="snap"):
    return CorpusPlan({"lang": lang}, 0.2, 0.2, "", [], [], misaligned)


def merged(folder, lang, number=150):
    """A corpus folder with the gold of such texts."""
    found = dict(texts_in(lang, number))
    tasks = [
        task(text, *spans, labels=("LOC", "PER"), source=f"link:{n}") for n, (text, spans) in enumerate(found.items())
    ]
    manifest = write(folder / "annotations", tasks)
    merge(manifest, folder / "annotations", folder / "corpus", "majority", Resources(512, 1))
    return folder / "corpus", sum(len(task.spans) for task in tasks)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_span_is_on_the_tokens_of_its_language(lang, tmp_path):
    corpus, spans = merged(tmp_path, lang)
    made, _ = build(corpus, plan(lang), 1, max_misaligned=0)
    assert made.outcomes == {"exact": spans, "read": spans}
    assert sum(count for splits in made.spans.values() for count in splits.values()) == spans


@pytest.mark.parametrize("lang", LANGUAGES)
def test_by_the_tokens_of_another_language_there_is_no_corpus_and_no_text_in_the_reason(lang, tmp_path):
    corpus, spans = merged(tmp_path, lang)
    build(corpus, plan(lang), 1)
    before = {path: path.read_bytes() for path in corpus.rglob("*") if path.is_file()}
    with pytest.raises(UserError) as failed:
        build(corpus, plan("en"), 1, max_misaligned=0.1)
    said = str(failed.value)
    assert f"of {spans} spans" in said
    assert 'it is "en"' in said
    assert "max_misaligned = 0.1" in said
    assert "LOC" in said
    assert said.isascii()
    assert {path: path.read_bytes() for path in corpus.rglob("*") if path.is_file()} == before


def test_the_step_stops_and_a_higher_share_lets_it_pass(tmp_path):
    merged(tmp_path, "zh", 60)
    (tmp_path / "datasets.cfg").write_text(
        '[datasets]\n\n[datasets.data]\n@readers = "labelwise.ProdigyJsonl.v1"\npath = "a.jsonl"\nlabels = ["LOC"]\n'
    )
    (tmp_path / "ner.cfg").write_text('[nlp]\nlang = "en"\npipeline = []\n')
    assert "are not on token boundaries" in one_line(
        step(tmp_path, "scripts.corpus", "datasets.cfg", "ner.cfg", "corpus")
    )
    done = step(tmp_path, "scripts.corpus", "datasets.cfg", "ner.cfg", "corpus", "--docs.max_misaligned", 1)
    assert done.returncode == 0, done.stderr
    assert "snapped" in done.stdout
    assert (done.stdout + done.stderr).replace("✔", "").isascii()  # not a terminal: no text is shown


def test_a_snapped_span_is_shown_on_a_terminal(tmp_path):
    from rich.console import Console

    from scripts.reporting.corpus import print_corpus

    corpus, _ = merged(tmp_path, "zh", 60)
    made, _ = build(corpus, plan("en"), 1)
    console = Console(force_terminal=True, record=True, width=200)
    print_corpus(console, made, corpus)
    assert "' became '" in console.export_text()


def test_a_language_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r'lang = "qq"'):
        tokenizer({"lang": "qq"})


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(
    "text", ["", " ", "\r\n", " 漢字 と\n\u3000二つ  ", "🦆\t😀", "e\u0301か\u3099", "GPT-4とiPhone 15", "\ufeff東京"]
)
def test_tokens_are_the_text(lang, text):
    assert spacy.blank(lang).make_doc(text).text == text


@pytest.mark.parametrize("lang", LANGUAGES)
def test_lang_alone_is_enough_to_train_and_evaluate(lang, tmp_path):
    corpus, _ = merged(tmp_path, lang, 200)
    build(corpus, plan(lang), 1, max_misaligned=0)
    config = (ROOT / "configs/ner.cfg").read_text().replace('lang = "en"', f'lang = "{lang}"')
    (tmp_path / "ner.cfg").write_text(config)
    done = step(
        tmp_path, "scripts.train", "ner.cfg", "--output", "training/ner", "--training.max_steps", 60,
        "--training.eval_frequency", 30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = step(tmp_path, "scripts.evaluate", "--run", "ner", "--models", "training/ner")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["micro"]["f"] > 0.9
    assert found["micro"]["errors"]["fn"]["tokenizer"] == 0


# Scores against spans as annotated


NLP = spacy.blank("en")
TEXT = "Ada of IBMs met Bob in Main/Elm"


def gold(*spans, covered=("LOC", "ORG", "PER"), accepted=(), text=TEXT):
    found, accepted = ([answers.Span(*span) for span in some] for some in (spans, accepted))
    return GoldText(
        input_hash=0, text=text, spans=found, covered=list(covered), accepted=accepted, rejected=[], unresolved=[],
        sources=["data"], meta={},
    )  # fmt: skip


def made(text, policy="snap"):
    return DocMaker(NLP, frozenset(["LOC", "ORG", "PER"]), policy).make(text)


def scored(reference, *predicted):
    """Scores by label and all errors, of predictions in tokens."""
    doc = NLP.make_doc(reference.text)
    doc.ents = [Span(doc, *span) for span in predicted]
    tally, errors = Tally(["LOC", "ORG", "PER"]), ErrorSums(3, None)
    tally.add(reference.text, covered_of(reference), predictions(doc))
    errors.add(tally.flush(), tally.labels)
    return metrics(tally.counts(), [errors])


IBM_ADA = gold((0, 3, "PER"), (7, 10, "ORG"))  # "IBM" in "IBMs"


@pytest.mark.parametrize("policy", ["snap", "skip"])
def test_a_span_that_the_tokenizer_cannot_represent_is_its_error_by_either_policy(policy):
    found = scored(made(IBM_ADA, policy), (0, 1, "PER"), (2, 3, "ORG"))
    org, per = found.labels["ORG"], found.labels["PER"]
    assert (per.tp, per.fp, per.fn) == (1, 0, 0)
    assert (org.tp, org.fp, org.fn) == (0, 1, 1)
    assert org.errors.fn.tokenizer == org.errors.fp.tokenizer == 1
    assert org.errors.fn.boundary == org.errors.fp.boundary == 0
    assert found.micro.errors.fn.tokenizer == 1


@pytest.mark.parametrize("policy", ["snap", "skip"])
def test_it_is_an_error_if_nothing_is_predicted_too(policy):
    org = scored(made(IBM_ADA, policy)).labels["ORG"]
    assert (org.tp, org.fp, org.fn, org.errors.fn.tokenizer, org.errors.fn.missed) == (0, 0, 1, 1, 0)


def test_another_label_predicted_there_is_the_error_of_the_model():
    found = scored(made(IBM_ADA), (0, 1, "PER"), (2, 3, "LOC"))
    assert found.labels["ORG"].errors.fn.tokenizer == 1
    assert found.labels["LOC"].errors.fp.boundary_type == 1
    assert found.labels["LOC"].errors.fp.tokenizer == 0


def test_two_spans_in_one_token_are_two_entities():
    text = gold((23, 27, "LOC"), (28, 31, "LOC"), text="Ada of IBMs met Bob in Main/Elm")
    assert [token.text for token in NLP.make_doc(text.text)][-1] in ("Main/Elm", "Elm")
    words = gold((0, 2, "PER"), (2, 4, "PER"), text="AnnaMaria met")
    found = scored(made(words), (0, 1, "PER")).labels["PER"]
    assert (found.support, found.tp, found.errors.fn.tokenizer) == (2, 0, 2)


def test_errors_add_up_to_false_negatives_and_false_positives():
    rng = random.Random(0)
    for _ in range(200):
        starts = sorted(rng.sample(range(len(TEXT)), 6))
        spans = [
            (start, end, rng.choice(["LOC", "ORG", "PER"]))
            for start, end in zip(starts[::2], starts[1::2], strict=True)
            if TEXT[start:end].strip() == TEXT[start:end] != ""
        ]
        reference = made(gold(*spans), rng.choice(["snap", "skip"]))
        tokens = sorted(rng.sample(range(len(reference) + 1), 4))
        ents = [(a, z, rng.choice(["LOC", "ORG", "PER"])) for a, z in (tokens[:2], tokens[2:])]
        found = scored(reference, *ents)
        assert found.micro.support == len(spans)
        for score in [*found.labels.values(), found.micro]:
            fn, fp = score.errors.fn, score.errors.fp
            assert score.fn == fn.boundary + fn.type + fn.boundary_type + fn.missed + fn.tokenizer
            assert score.fp == fp.boundary + fp.type + fp.boundary_type + fp.spurious + fp.tokenizer


def test_what_is_annotated_decides_whether_runs_can_be_paired_not_the_tokenizer():
    """Two tokenizers, one gold: the same digests, so that a run by characters is paired with one by words."""
    text = gold((0, 3, "PER"), (7, 10, "ORG"))
    digests = []
    for lang in ("en", "zh"):
        reference = DocMaker(spacy.blank(lang), frozenset(["LOC", "ORG", "PER"]), "snap").make(text)
        tally = Tally(["LOC", "ORG", "PER"])
        tally.add(reference.text, covered_of(reference), {})
        digests.append(counts.digests(tally.counts()))
    assert digests[0] == digests[1]


def test_an_accepted_span_off_the_tokens_is_not_scored_where_its_label_is_not_covered():
    reference = made(gold((0, 3, "PER"), covered=["PER"], accepted=[(7, 10, "ORG")]))
    assert scored(reference).labels["ORG"].texts == 0


@pytest.mark.parametrize("policy", ["snap", "skip"])
@pytest.mark.parametrize("accepted", [[(0, 11)], [(0, 3), (4, 11)], [(0, 6)], [(0, 3), (4, 10)]])
def test_accepted_spans_that_have_all_tokens_do_not_cover_a_text(accepted, policy):
    spans = [(*place, "ORG") for place in accepted]
    reference = made(gold(covered=["PER"], accepted=spans, text="Ada IBMshop"), policy)
    found = scored(reference, (0, 1, "ORG")).labels
    assert (found["ORG"].texts, found["PER"].texts) == (0, 1)
    annotated = made(gold(*spans, covered=["ORG", "PER"], text="Ada IBMshop"), policy)
    assert scored(annotated).labels["ORG"].texts == 1


def test_equal_to_spacy_where_all_is_on_the_tokens():
    reference = made(gold((0, 3, "PER"), (7, 11, "ORG"), (16, 19, "PER")))
    doc = NLP.make_doc(reference.text)
    doc.ents = [Span(doc, 0, 1, "PER"), Span(doc, 2, 4, "ORG")]
    expected = Scorer.score_spans([Example(doc, reference)], "ents", getter=lambda doc, _: doc.ents)
    found = scored(reference, (0, 1, "PER"), (2, 4, "ORG")).micro
    assert (found.p, found.r) == (round(expected["ents_p"], 6), round(expected["ents_r"], 6))


def test_boundaries_as_annotated_survive_shards_and_splitting(tmp_path):
    tasks = [
        task(f"Ada {n} of IBMs met Bob", (0, 3, "ORG"), (len(f"Ada {n} of "), len(f"Ada {n} of ") + 3, "ORG"))
        for n in range(40)
    ]
    manifest = write(tmp_path / "annotations", tasks)
    merge(manifest, tmp_path / "annotations", tmp_path / "corpus", "majority", Resources(512, 1))
    made_corpus, _ = build(tmp_path / "corpus", plan("en"), 1, max_misaligned=0.5)
    assert made_corpus.outcomes_by_label == {"ORG": {"exact": 40, "read": 80, "snapped": 40}}
    for doc in read_docs([shard for split in SPLITS for shard in shard_files(tmp_path / "corpus" / split)], NLP.vocab):
        offset = doc.text.index("IBM")
        assert covered_of(doc)["ORG"].gold == {(0, 3), (offset, offset + 3)}
        first, second = split_doc(doc, 3)
        assert covered_of(first)["ORG"].gold == {(0, 3)}
        assert covered_of(second)["ORG"].gold == {(0, 3)}
        assert second.text.startswith("IBMs")


def test_a_tokenizer_that_changes_the_text_stops_the_corpus():
    @registry.tokenizers("labelwise.tests.Lowered.v1")
    def make():
        return lambda nlp: lambda text: Doc(nlp.vocab, text.lower().split())

    nlp = tokenizer({"lang": "en", "tokenizer": {"@tokenizers": "labelwise.tests.Lowered.v1"}})
    with pytest.raises(UserError, match="changes a text"):
        DocMaker(nlp, frozenset(["ORG"]), "snap").make(IBM_ADA)


def test_a_package_needs_what_its_language_needs():
    assert _requirements("en") == []
    assert {line.partition(">")[0] for line in _requirements("ja")} == {"sudachipy", "sudachidict_core"}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Two runs on texts with misaligned entities, evaluated and compared; and the report."""
    folder = tmp_path_factory.mktemp("evaluated")
    tasks = [
        task(f"Ada {n} of IBMs met Bob", (0, 3, "PER"), (len(f"Ada {n} of "), len(f"Ada {n} of ") + 3, "ORG"),
             labels=("ORG", "PER"))
        for n in range(40)
    ]  # fmt: skip
    manifest = write(folder / "annotations", tasks)
    merge(manifest, folder / "annotations", folder / "corpus", "majority", Resources(512, 1))
    build(folder / "corpus", plan("en"), 1)
    for name, patterns in (("one", {"PER": ["Ada"]}), ("two", {"PER": ["Ada"], "ORG": ["IBMs"]})):
        write_model(folder / "training" / name, patterns, folder / "corpus/split.json")
        done = step(folder, "scripts.evaluate", "--run", name, "--models", f"training/{name}")
        assert done.returncode == 0, done.stderr
        if name == "two":
            assert "entities are not on token boundaries" in " ".join(done.stdout.split())
            assert "ORG" in done.stdout
    return folder


def test_metrics_counts_and_comparison_go_by_the_annotations(evaluated):
    found = json.loads((evaluated / "metrics.json").read_text())
    org = found["labels"]["ORG"]
    assert org["tp"] == 0
    assert (
        org["support"] == org["fn"] == org["fp"] == org["errors"]["fn"]["tokenizer"] == org["errors"]["fp"]["tokenizer"]
    )
    (one, two) = (
        counts.load(next((evaluated / "metrics").glob(f"{name}-*")) / "counts.csv.gz") for name in ("one", "two")
    )
    assert (one.gold == two.gold).all()
    assert two.values[0].sum((0, 1))[:3].tolist() == [found["micro"][key] for key in ("tp", "fp", "fn")]
    done = step(evaluated, "scripts.compare", "metrics")
    assert done.returncode == 0, done.stderr
    assert "two" in done.stdout


def test_the_page_has_a_column_for_them_and_examples(evaluated):
    done = step(evaluated, "scripts.report", "metrics")
    assert done.returncode == 0, done.stderr
    page = (evaluated / "metrics/report.html").read_text("utf8")
    assert "tokenizer<br><small>FN</small>" in page
    assert "k-tokenizer" in page
    assert "Tokenizer <span" in page  # a group of examples


def test_a_config_that_keeps_another_tokenizer_than_its_language_has_is_told(tmp_path):
    corpus, _ = merged(tmp_path, "zh", 60)
    pinned = plan("zh")._replace(nlp={"lang": "zh", "tokenizer": {"@tokenizers": "spacy.Tokenizer.v1"}})
    with pytest.raises(UserError, match=r"without that line it is spacy\.zh\.ChineseTokenizer"):
        build(corpus, pinned, 1, max_misaligned=0.1)


def test_a_label_that_is_off_by_itself_is_a_warning():
    from rich.console import Console

    from scripts.reporting.corpus import print_corpus

    outcomes = {"PER": {"read": 90, "exact": 90}, "LOC": {"read": 9, "exact": 4, "snapped": 5}}
    total = {"read": 99, "exact": 94, "snapped": 5}
    splits = {"train": 1, "dev": 1, "test": 1}
    corpus = Corpus(digest="", texts=splits, tokens=splits, outcomes=total, outcomes_by_label=outcomes)
    corpus.read = {"spans": 99, "accepted": 0, "rejected": 0}
    console = Console(record=True, width=100)
    print_corpus(console, corpus, ROOT, 0.1)
    assert "more than 10% of the spans of LOC" in console.export_text()


# Tokens of scripts without spaces


TAGGED = [
    ("我住在北京。", "我 O|住 O|在 O|北 B-LOC|京 I-LOC|。 O", "北京"),
    ("在IBM工作2年", "在 O|I B-ORG|B I-ORG|M I-ORG|工 O|作 O|2 O|年 O", "IBM"),  # a character a token
    ("华为Mate 60发布", "华为 B-ORG|Mate O|60 O|发布 O", "华为"),
    ("田中さんは東京に行った", "田中 B-PER|さん O|は O|東京 B-LOC|に O|行っ O|た O", "田中"),
    ("ผมอยู่กรุงเทพ", "ผม O|อยู่ O|กรุงเทพ B-LOC", "กรุงเทพ"),
    ("서울 에 산다", "서울 B-LOC|에 O|산다 O", "서울"),
    ("met 漢字 Ltd. in Rome", "met O|漢字 B-ORG|Ltd. I-ORG|in O|Rome B-LOC", "漢字 Ltd."),
]


@pytest.mark.parametrize(("text", "rows", "first"), TAGGED)
def test_tokens_of_conll_are_joined_as_their_script_is_written(text, rows, first, tmp_path):
    lines = "\n".join(row.replace(" ", "\t") for row in rows.split("|"))
    (tmp_path / "a.conll").write_text(f"{lines}\n\n", "utf8")
    found, intake, _ = read(Conll(str(tmp_path / "a.conll"), ["LOC", "ORG", "PER"]))
    assert [each.text for each in found] == [text]
    span = found[0].spans[0]
    assert found[0].text[span.start : span.end] == first
    is_unspaced = not any(word in text for word in ("서울", "Rome"))
    assert any("without spaces between words" in note for note in intake.notes) is is_unspaced


def test_gaps_between_tokens():
    assert gaps([]) == []
    assert gaps(["one", "two"]) == [" ", ""]
    assert gaps(["华为", "Mate", "60", "发布"]) == ["", " ", "", ""]
    assert gaps(["I", "see", "北京"]) == [" ", " ", ""]


def test_chinese_goes_out_to_conll_and_comes_back(tmp_path):
    corpus, _ = merged(tmp_path, "zh", 40)
    export(corpus, tmp_path / "out", "conll", "", {"lang": "zh"})
    found, _, skipped = read(Conll(str(tmp_path / "out/conll/all/complete.conll"), ["LOC", "PER"]))
    assert skipped == []
    before = {text.text: text.spans for text in read_gold(corpus / "gold.jsonl")}
    assert {each.text: each.spans for each in found} == before
