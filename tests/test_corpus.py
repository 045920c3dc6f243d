"""The training corpus: splits that last, and Docs that say what is covered and what is not."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import msgspec
import numpy as np
import pytest
import spacy
import srsly
from hypothesis import given
from hypothesis import strategies as st
from spacy import registry
from spacy.lang.en import English
from spacy.tokens import Doc, DocBin, SpanGroup
from spacy.tokens import Span as TokenSpan
from spacy.vocab import create_vocab

from scripts.building.corpus import build
from scripts.building.documents import DocMaker, Tokens
from scripts.building.plan import CorpusPlan
from scripts.building.shards import EntityBin, pipeline, unpack_docs
from scripts.building.splits import SPLITS, Corpus, Splitter
from scripts.core.answers import GoldText, Span
from scripts.core.errors import UserError, plain_console
from scripts.core.settings import DatasetOptions
from scripts.merging.merge import Resources, merge
from scripts.reporting.corpus import print_corpus, print_gaps
from tests.annotated import task, write

NLP = {"lang": "en"}
PLAN = CorpusPlan(NLP, dev=0.2, test=0.2, document="", dev_datasets=[], test_datasets=[], misaligned="snap")
LABELS = frozenset(["ORG", "PER"])


def gold(text, *spans, covered=("ORG", "PER"), accepted=(), rejected=()):
    spans, accepted, rejected = ([Span(*span) for span in found] for found in (spans, accepted, rejected))
    return GoldText(
        input_hash=0, text=text, spans=spans, covered=list(covered), accepted=accepted, rejected=rejected,
        unresolved=[], sources=["data"], meta={},
    )  # fmt: skip


def groups(doc):
    return {key: [(span.start, span.end, span.label_) for span in doc.spans[key]] for key in doc.spans}


def entities(doc):
    return [(ent.text, ent.label_) for ent in doc.ents]


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


@pytest.fixture
def maker(nlp):
    maker = DocMaker(nlp, LABELS, "snap")
    yield maker
    assert 2 * maker.spans["read"] == maker.spans.total()


def test_a_text_covered_for_all_labels_has_no_missing_token(maker):
    doc = maker.make(gold("IBM hired Ada .", (0, 3, "ORG"), (10, 13, "PER")))
    assert groups(doc) == {
        "gold": [(0, 1, "ORG"), (2, 3, "PER")],
        "covered": [(0, 4, "ORG"), (0, 4, "PER")],
        "incorrect_spans": [],
    }
    assert [token.ent_iob_ for token in doc] == ["B", "O", "B", "O"]


def test_what_is_not_covered_is_missing_and_never_outside(maker):
    doc = maker.make(gold("IBM hired Ada .", (0, 3, "ORG"), covered=["ORG"]))
    assert [token.ent_iob_ for token in doc] == ["B", "", "", ""]
    assert groups(doc)["covered"] == [(0, 4, "ORG")]


def test_binary_knowledge_covers_its_tokens_alone(maker):
    doc = maker.make(gold("IBM hired Ada .", covered=[], accepted=[(10, 13, "PER")], rejected=[(0, 3, "PER")]))
    assert groups(doc) == {"gold": [(2, 3, "PER")], "covered": [(2, 3, "PER")], "incorrect_spans": [(0, 1, "PER")]}
    assert [token.ent_iob_ for token in doc] == ["", "", "B", ""]


def test_overlapping_spans_are_all_gold_and_the_longest_is_the_entity(maker):
    doc = maker.make(gold("Bank of Ada Lovelace", (0, 20, "ORG"), (8, 20, "PER")))
    assert len(doc.spans["gold"]) == 2
    assert entities(doc) == [("Bank of Ada Lovelace", "ORG")]


def test_tokens_of_an_entity_that_lost_are_missing(maker):
    doc = maker.make(gold("a b c d", (0, 5, "ORG"), (4, 7, "PER")))
    assert entities(doc) == [("a b c", "ORG")]
    assert [token.ent_iob_ for token in doc] == ["B", "I", "I", ""]


@given(spans=st.sets(st.tuples(st.integers(0, 9), st.integers(1, 4), st.sampled_from(["ORG", "PER"]))))
def test_entities_are_the_longest_spans_and_what_only_others_have_is_missing(spans, nlp):
    words = gold("a b c d e f g h i j", *((2 * at, min(2 * (at + width) - 1, 19), label) for at, width, label in spans))
    doc = DocMaker(nlp, LABELS, "snap").make(words)
    expected = spacy.util.filter_spans(list(doc.spans["gold"]))
    assert list(doc.ents) == expected
    inside = {token.i for span in expected for token in span}
    lost = {token.i for span in doc.spans["gold"] for token in span} - inside
    assert [token.i for token in doc if token.ent_iob_ == ""] == sorted(lost)


def test_a_span_off_the_tokens_is_snapped_and_listed(maker):
    doc = maker.make(gold("500mL.x of IBMs", (11, 14, "ORG")))
    assert entities(doc) == [("IBMs", "ORG")]
    assert maker.spans == Counter(read=1, snapped=1)
    assert [(span.span, span.became) for span in maker.misaligned] == [("IBM", "IBMs")]


def test_a_span_off_the_tokens_is_skipped_and_its_tokens_are_not_covered(nlp):
    maker = DocMaker(nlp, LABELS, "skip")
    doc = maker.make(gold("of IBMs and", (3, 6, "ORG")))
    assert groups(doc)["covered"] == [(0, 1, "ORG"), (2, 3, "ORG"), (0, 3, "PER")]
    assert [token.ent_iob_ for token in doc] == ["O", "", "O"]
    assert maker.spans == Counter(read=1, skipped=1)


def test_spans_that_overlap_once_snapped_are_one(maker):
    doc = maker.make(gold("of IBMs", (3, 4, "ORG"), (5, 6, "ORG")))
    assert groups(doc)["gold"] == [(1, 2, "ORG")]
    assert maker.spans == Counter(read=2, snapped=1, overlapping=1)


def test_a_text_longer_than_the_pipeline_takes_is_skipped_and_listed():
    nlp = spacy.blank("en")
    nlp.max_length = 5
    maker = DocMaker(nlp, LABELS, "snap")
    assert maker.make(gold("too long", (0, 3, "ORG"))) is None
    assert maker.spans == Counter({"read": 1, "too long": 1})
    assert [span.outcome for span in maker.misaligned] == ["too long"]


def test_texts_that_are_one_accepted_span_are_not_counted_as_covered(tmp_path):
    tasks = [task(f"Town{n}", (0, len(f"Town{n}"), "ORG"), kind="binary") for n in range(40)]
    tasks += [task(f"I saw Berg{n} again", (6, 10 + len(str(n)), "ORG")) for n in range(60)]
    merge(write(tmp_path / "a", tasks), tmp_path / "a", tmp_path / "corpus", "majority", Resources(512, 1))
    made, _ = build(tmp_path / "corpus", PLAN, 1)
    assert sum(made.texts.values()) == 100
    assert sum(made.covered["ORG"].values()) == 60


@given(text=st.text(min_size=1), share=st.floats(0, 0.4))
def test_a_text_never_changes_its_split_and_duplicates_are_together(text, share):
    splitter = Splitter(dev=0.1, test=share)
    split = splitter.split_of(gold(text))
    assert splitter.split_of(gold(f"  {text.upper().lower()} ")) == splitter.split_of(gold(text.upper().lower()))
    if split == "test":
        assert Splitter(dev=0.1, test=share + 0.1).split_of(gold(text)) == "test"


def test_texts_of_one_document_are_together():
    splitter = Splitter(0.3, 0.3, "page")
    texts = [gold(f"text {number}") for number in range(100)]
    for number, text in enumerate(texts):
        text.meta = {"page": number // 10}
    splits = [splitter.split_of(text) for text in texts]
    assert all(len(set(splits[page : page + 10])) == 1 for page in range(0, 100, 10))
    assert len(set(splits)) == 3
    for number, text in enumerate(texts):
        text.meta = {"page": float(number // 10)}
    assert [splitter.split_of(text) for text in texts] == splits
    for missing in (None, ""):  # is no document that all of these are from
        for text in texts:
            text.meta = {"page": missing}
        assert all(map(splitter.lacks_document, texts))
        assert len(set(map(splitter.split_of, texts))) == 3


# The step as a whole


@pytest.fixture
def corpus(tmp_path):
    """Merged, of two datasets; a tenth of the texts is only in the first."""
    texts = [f"IBM number {n} is {'very ' * 300}big" for n in range(400)]  # long: more than two shards of few texts
    found = [task(text, (0, 3, "ORG"), dataset="org", source=f"l:{n}") for n, text in enumerate(texts)]
    found += [task(text, labels=["PER"], dataset="per", source=f"l:{n}") for n, text in enumerate(texts[:360])]
    manifest = write(tmp_path / "annotations", found)
    merge(manifest, tmp_path / "annotations", tmp_path / "corpus", "majority", Resources(512, 1))
    return tmp_path / "corpus"


def docs(corpus, split):
    vocab = spacy.blank("en").vocab
    return [doc for path in sorted((corpus / split).iterdir()) for doc in DocBin().from_disk(path).get_docs(vocab)]


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_text_is_in_one_split(corpus):
    made, _ = build(corpus, PLAN, 1)
    texts = {split: {doc.text for doc in docs(corpus, split)} for split in SPLITS}
    assert {split: len(found) for split, found in texts.items()} == made.texts
    assert len(set.union(*texts.values())) == sum(made.texts.values()) == 400
    assert json.loads((corpus / "labels.json").read_text()) == ["ORG", "PER"]
    assert made.outcomes == {"exact": 400, "read": 400}
    missing = sum(doc[-1].ent_iob == 0 for split in SPLITS for doc in docs(corpus, split))
    assert missing == 40


def test_the_same_bytes_with_more_processes(corpus, monkeypatch):
    monkeypatch.setattr("scripts.building.splits.hash_bits", lambda _: 5)  # some before there are workers
    build(corpus, PLAN, 1)
    once = snapshot(corpus)
    for split in SPLITS:
        for path in (corpus / split).iterdir():
            path.unlink()
    build(corpus, PLAN, 2)
    assert snapshot(corpus) == once


def test_only_shards_that_changed_are_made_again(corpus, tmp_path):
    made, kept = build(corpus, PLAN, 1)
    assert kept == 0
    assert len(made.shards) > 2
    _, kept = build(corpus, PLAN, 1)
    assert kept == len(made.shards)
    next((corpus / "train").iterdir()).write_bytes(b"damaged")
    _, kept = build(corpus, PLAN, 1)
    assert kept == len(made.shards) - 1
    _, kept = build(corpus, PLAN._replace(misaligned="skip"), 1)
    assert kept == 0


def test_evaluation_datasets_take_their_texts_and_those_equal_to_them(tmp_path):
    found = [task(f"Text {n}!", (0, 4, "ORG"), dataset="org", source=f"l:{n}") for n in range(200)]
    found += [task(f"text {n}", dataset="held_out", source=f"l:{n}") for n in range(0, 200, 4)]
    manifest = write(tmp_path / "annotations", found)
    merge(manifest, tmp_path / "annotations", tmp_path / "corpus", "majority", Resources(512, 1))
    build(tmp_path / "corpus", PLAN._replace(test=0, test_datasets=["held_out"]), 1)
    texts = {doc.text for doc in docs(tmp_path / "corpus", "test")}
    assert texts == {f"Text {n}!" for n in range(0, 200, 4)} | {f"text {n}" for n in range(0, 200, 4)}


LATER = {"dataset": "later", "annotator": "ada", "timestamp": 2}


@pytest.mark.parametrize(
    ("first", "second", "corrects"),
    [
        ({}, LATER | {"annotator": "bob"}, ["held_out"]),
        ({}, LATER, []),  # the same annotator again
        ({}, LATER | {"annotator": "bob", "kind": "review", "versions": [[]]}, []),
        ({"spans": [Span(0, 4, "ORG")]}, LATER, []),  # an identical answer
        ({"answer": "ignore"}, LATER | {"annotator": "bob"}, []),
        ({"answer": "reject"}, LATER | {"annotator": "bob"}, []),
    ],
    ids=["corrects", "later", "review", "identical", "ignored", "rejected"],
)
def test_texts_of_evaluation_datasets_stay_whatever_becomes_of_their_answers(first, second, corrects, tmp_path):
    held_out = {f"Test {n}!" for n in range(20)}
    found = [task(f"Text {n}!", (0, 4, "ORG"), dataset="org", source=f"l:{n}") for n in range(60)]
    for n, text in enumerate(sorted(held_out)):
        told = {"dataset": "held_out", "annotator": "ada", "timestamp": 1, "source": f"l:{n}"}
        found.append(task(text, **(told | first)))
        if n < 12:
            found.append(task(text, (0, 4, "ORG"), source=f"l:{n}", **second))
    manifest = write(tmp_path / "annotations", found)
    options = {"later": DatasetOptions(corrects=corrects)}
    merge(manifest, tmp_path / "annotations", tmp_path / "corpus", "majority", Resources(512, 1), options=options)
    build(tmp_path / "corpus", PLAN._replace(test=0, test_datasets=["held_out"]), 1)
    assert {doc.text for doc in docs(tmp_path / "corpus", "test")} == held_out


@pytest.mark.parametrize("meta", [{"by": "ben"}, {"page": None}, {"page": ""}, {"page": "under another name"}])
def test_a_correction_leaves_a_text_in_its_document(tmp_path, meta):
    page_of = {f"Sentence {n} of page {n // 4}.": n // 4 for n in range(120)}
    found = [
        task(text, (0, 8, "ORG"), dataset="first", source="l:1", meta={"page": page}) for text, page in page_of.items()
    ]
    found += [task(text, (0, 8, "ORG"), dataset="second", source="l:1", meta=meta) for text in list(page_of)[1::4]]
    manifest = write(tmp_path / "annotations", found)
    options = {"second": DatasetOptions(corrects=["first"])}
    merge(manifest, tmp_path / "annotations", tmp_path / "corpus", "majority", Resources(512, 1), options=options)
    build(tmp_path / "corpus", PLAN._replace(document="page"), 1)
    splits = defaultdict(set)
    for split in SPLITS:
        for doc in docs(tmp_path / "corpus", split):
            splits[page_of[doc.text]].add(split)
    assert len(splits) == 30
    assert {len(found) for found in splits.values()} == {1}


def with_pages(folder, pages):
    """Merged texts, some of which name their page."""
    texts = [f"Text number {n}." for n in range(200)]
    found = [
        task(text, (0, 4, "ORG"), source=f"l:{n}", meta={"page": n // 4} if n in pages else {"by": "ana"})
        for n, text in enumerate(texts)
    ]
    manifest = write(folder / "annotations", found)
    merge(manifest, folder / "annotations", folder / "corpus", "majority", Resources(512, 1))
    return folder / "corpus"


def test_a_document_that_no_text_names_is_an_error_and_the_previous_corpus_stays(tmp_path):
    corpus = with_pages(tmp_path, range(150))
    build(corpus, PLAN._replace(document="page"), 1)
    before = snapshot(corpus)
    said = (
        r'document = "pgae": none of 200 texts has that key in its meta; keys there are: page \(150\), by \(50\)\. Set'
    )
    with pytest.raises(UserError, match=said):
        build(corpus, PLAN._replace(document="pgae"), 1)
    assert snapshot(corpus) == before


def test_texts_without_a_document_are_counted(tmp_path, capsys):
    corpus = with_pages(tmp_path, range(150))
    made, _ = build(corpus, PLAN._replace(document="page"), 1)
    assert json.loads((corpus / "split.json").read_text())["without_document"] == made.without_document == 50
    assert sum(shard.without_document for shard in made.shards.values()) == 50
    print_corpus(plain_console(), made, corpus)
    said = '⚠ 50 of 200 texts without "page" in the meta, [split] document: each is in the split of its own hash'
    assert said in " ".join(capsys.readouterr().out.split())
    made, _ = build(corpus, PLAN, 1)
    assert made.without_document == 0
    print_corpus(plain_console(), made, corpus)
    assert "document" not in capsys.readouterr().out


def test_no_text_to_train_with_is_an_error(tmp_path):
    manifest = write(tmp_path / "annotations", [task("one text")])
    merge(manifest, tmp_path / "annotations", tmp_path / "corpus", "majority", Resources(512, 1))
    with pytest.raises(UserError, match=r"no text is left for (train|dev) \(.*\): annotate more, or change the shares"):
        build(tmp_path / "corpus", PLAN, 1)


def test_a_document_with_all_texts_is_said_where_no_text_is_left(tmp_path):
    found = [task(f"Text number {n}.", (0, 4, "ORG"), source=f"l:{n}", meta={"from": "a book"}) for n in range(60)]
    manifest = write(tmp_path / "annotations", found)
    merge(manifest, tmp_path / "annotations", tmp_path / "corpus", "majority", Resources(512, 1))
    said = r'no text is left for (train|dev) .* or its document = "from", which keeps the texts of one together'
    with pytest.raises(UserError, match=said):
        build(tmp_path / "corpus", PLAN._replace(document="from"), 1)


@pytest.mark.parametrize("answer", [{"answer": "reject", "kind": "binary"}, {"answer": "ignore"}, {}])
def test_nothing_to_learn_is_an_error_and_the_previous_corpus_stays(answer, tmp_path):
    """All rejected, all ignored, or no entity at all: `train` would make a model that finds nothing, or none."""
    folder = tmp_path / "corpus"
    texts = [f"IBM number {n}" for n in range(60)]

    def build_of(tasks, name):
        manifest = write(tmp_path / name, tasks)
        merge(manifest, tmp_path / name, folder, "majority", Resources(512, 1))
        return build(folder, PLAN, 1)

    build_of([task(text, (0, 3, "ORG")) for text in texts], "before")
    before = {path: path.read_bytes() for path in folder.glob("*/*.spacy")} | {
        folder / name: (folder / name).read_bytes() for name in ("labels.json", "split.json")
    }
    spans = [(0, 3, "ORG")] if answer else []
    with pytest.raises(UserError, match="no label has an entity in the 39 texts of train"):
        build_of([task(text, *spans, **answer) for text in texts], "after")
    assert {path: path.read_bytes() for path in before} == before


def test_labels_that_cannot_be_learned_are_named(capsys):
    counts = {"train": 40, "dev": 10, "test": 10}
    none = dict.fromkeys(SPLITS, 0)
    corpus = Corpus(digest="d", texts=counts, spans={"ORG": {**counts, "dev": 0}, "PER": none}, covered={})
    print_gaps(plain_console(), corpus, ["LOC", "ORG", "PER"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "⚠ no answer about LOC was kept; weasel run merge" in shown
    assert "⚠ no entity in train, so never predicted: PER. Annotate more texts" in shown
    assert "⚠ no entity in dev, by which thresholds and probabilities are set" in shown
    print_gaps(plain_console(), Corpus(digest="d", texts=counts, spans={"ORG": counts}), ["ORG"])
    assert not capsys.readouterr().out


def test_gold_that_is_not_as_merged_stops(corpus):
    build(corpus, PLAN, 1)
    before = snapshot(corpus)
    with (corpus / "gold.jsonl").open("ab") as file:
        file.write(b"more\n")
    with pytest.raises(UserError, match=r"gold\.jsonl: is not as it was merged; merge again"):
        build(corpus, PLAN, 1)
    del before["gold.jsonl"]
    assert before.items() <= snapshot(corpus).items()


WORDS = st.lists(st.text(min_size=1, max_size=8).filter(str.strip), min_size=1, max_size=12)


@given(words=WORDS, spans=st.lists(st.tuples(st.integers(0, 11), st.integers(1, 3), st.sampled_from(["ORG", "PER"]))))
def test_what_comes_out_of_a_bin_is_what_comes_out_of_spacys(words, spans, nlp):
    doc = nlp.make_doc(" ".join(words))
    doc.spans["gold"] = [span_of(doc, start, width, label) for start, width, label in spans if start < len(doc)]
    if len(spans) % 2:
        doc.spans["covered"], doc.spans["incorrect_spans"] = [], list(doc.spans["gold"])
    doc.set_ents(spacy.util.filter_spans(list(doc.spans["gold"])), default="missing")
    ours, theirs = EntityBin(["ORG", "PER"]), DocBin(attrs=["ENT_IOB", "ENT_TYPE"])
    read = []
    for docs_in in (ours, theirs):
        docs_in.add(doc)
        vocab = create_vocab("en", English.Defaults)  # a new one, without all that a pipeline loads
        (back,) = DocBin().from_bytes(docs_in.to_bytes()).get_docs(vocab)
        read.append(
            (back.text, [(t.text, t.ent_iob_, t.ent_type_, t.norm_) for t in back], groups(back), back.to_json())
        )
    assert read[0] == read[1]
    assert ours.span_groups == theirs.span_groups  # the same bytes
    assert set(ours.strings) <= {*theirs.strings, "ORG", "PER"}


def test_docs_of_a_bin_are_read_as_spacy_reads_them(nlp):
    docs = [nlp.make_doc(text) for text in ("Ada Lovelace met Babbage", "nobody", "Ada wrote")]
    first, _, last = docs
    first.spans["gold"] = [TokenSpan(first, 0, 2, "PER", span_id="Q7259", kb_id="Q1"), TokenSpan(first, 3, 4, "PER")]
    first.spans["same"] = first.spans["gold"]  # a group of two keys
    first.spans["covered"] = []
    scored = [TokenSpan(last, 0, 1, "PER")]
    last.spans["predicted"] = SpanGroup(last, name="other", attrs={"scores": np.array([0.5])}, spans=scored)
    first.set_ents(list(first.spans["gold"])[:1])
    content = DocBin(docs=docs).to_bytes()
    old = DocBin(docs=docs)
    old.span_groups[0] = srsly.msgpack_dumps([first.spans["gold"].to_bytes()])  # as spaCy 3.3 wrote them
    for stored in (content, old.to_bytes()):
        theirs = list(DocBin().from_bytes(stored).get_docs(English().vocab))
        ours = list(unpack_docs(stored, English().vocab))
        assert [groups(doc) for doc in ours] == [groups(doc) for doc in theirs]
        assert [doc.to_json() for doc in ours] == [doc.to_json() for doc in theirs]
        assert [doc.spans.to_bytes() for doc in ours] == [doc.spans.to_bytes() for doc in theirs]
    assert ours[0].spans["gold"][0].id_ == "Q7259"
    assert ours[2].spans["predicted"].attrs["scores"].tolist() == [0.5]


WORDS_OF_KINDS = ["Ada's", "don't", "$3.50", "10km", "U.S.A.", "http://a.b/c?d", "e-mail:", "(ﬁx)", "…", "7pm", ":-)"]
TEXTS = st.lists(st.sampled_from(WORDS_OF_KINDS) | st.text(min_size=1, max_size=8), max_size=12).map(" ".join)


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_the_pipeline_of_the_shards_tokenizes_as_any_other(lang):
    ours, plain = pipeline(msgspec.json.encode({"lang": lang})), spacy.blank(lang)

    @given(TEXTS)
    def compare(text):
        for _ in range(2):  # from the cache too
            tokens = [[(token.idx, token.text, token.whitespace_) for token in nlp(text)] for nlp in (ours, plain)]
            assert tokens[0] == tokens[1]

    compare()


HOSTILE = [
    "",
    "  ",
    "\t",
    "\n\n",
    "\u00a0",
    "\0",
    "😀",
    "e\u0301\u0323",
    "don't",
    ":-)",
    "EE. UU.",
    "(http://a.b/c?d).",
]
HOSTILE_TEXTS = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=3), max_size=5).map(" ".join)
LANGUAGES = {lang: spacy.blank(lang) for lang in ("en", "de", "fr", "es", "xx", "zh", "ja")}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_spans_are_aligned_as_spacy_aligns_them(lang):
    @given(HOSTILE_TEXTS)
    def compare(text):
        doc = LANGUAGES[lang].make_doc(text)
        tokens = Tokens.of(doc)
        assert list(zip(tokens.starts, tokens.ends, strict=True)) == [(t.idx, t.idx + len(t)) for t in doc]
        for start in range(len(doc.text)):
            for end in range(start + 1, len(doc.text) + 1):
                kinds = {"strict": tokens.exact, "contract": tokens.inside}
                if not (doc.text[start].isspace() or doc.text[end - 1].isspace()):  # no span is so
                    kinds["expand"] = tokens.touched
                for mode, ours in kinds.items():
                    theirs = doc.char_span(start, end, alignment_mode=mode)
                    assert ours(start, end) == (theirs and (theirs.start, theirs.end))

    compare()


SPANS = st.sets(st.tuples(st.integers(0, 25), st.integers(1, 9), st.sampled_from(["ORG", "PER"])), max_size=6)


@pytest.mark.parametrize("policy", ["snap", "skip"])
@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_text_without_a_doc_is_stored_as_its_doc_is(lang, policy):
    nlp = LANGUAGES[lang]

    @given(HOSTILE_TEXTS, SPANS, st.sampled_from([(), ("ORG",), ("ORG", "PER")]), st.booleans())
    def compare(text, places, covered, are_ranged):
        spans = sorted(
            Span(start, end, label)
            for start, width, label in places
            if (end := start + width) <= len(text) and not (text[start].isspace() or text[end - 1].isspace())
        )
        known, others = ([s for s in spans if (s.label in covered) is is_in] for is_in in (True, False))
        ranges = {"PER": [(len(text) // 4, len(text) // 2)]} if are_ranged and "PER" not in covered and text else {}
        one = GoldText(
            input_hash=0, text=text, spans=known, covered=list(covered), covered_ranges=ranges, accepted=others[::2],
            rejected=others[1::2], unresolved=[], sources=["data"], meta={},
        )  # fmt: skip
        makers = [DocMaker(nlp, LABELS, policy) for _ in range(2)]
        texts, docs, stock = EntityBin(LABELS), EntityBin(LABELS), DocBin(attrs=["ENT_IOB", "ENT_TYPE"])
        texts.add_text(makers[0].align(one), nlp.vocab.strings)
        docs.add(doc := makers[1].make(one))
        stock.add(doc)
        assert texts.to_bytes() == docs.to_bytes()
        assert texts.span_groups == stock.span_groups
        assert [array.tolist() for array in texts.tokens] == [array.tolist() for array in stock.tokens]
        assert makers[0].spans == makers[1].spans and makers[0].misaligned == makers[1].misaligned

    compare()


@registry.tokenizers("labelwise.tests.DigitByDigit.v1")
def digit_by_digit():
    def of(nlp):
        def tokenize(text):
            parts = (list(word) if nlp.vocab[word].like_num else [word] for word in text.split(" "))
            return Doc(nlp.vocab, [word for part in parts for word in part])

        return tokenize

    return of


def test_tokenizers_that_look_at_lexical_attributes_find_them():
    block = {"lang": "en", "tokenizer": {"@tokenizers": "labelwise.tests.DigitByDigit.v1"}}
    assert [token.text for token in pipeline(msgspec.json.encode(block))("room 101")] == ["room", "1", "0", "1"]


def span_of(doc, start, width, label):
    return spacy.tokens.Span(doc, start, min(start + width, len(doc)), label)
