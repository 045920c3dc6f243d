"""CoNLL files, and entities as a tag a token."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.sources import columns
from scripts.sources.conll import Conll
from scripts.sources.tags import TaggedEntity, entities, find_scheme
from tests.prodigy import read

labels = st.sampled_from(["A", "B-C", "creative-work"])


@st.composite
def sentences(draw):
    """Entities in a sentence: (start, end, label) in tokens, in order, and how many tokens there are."""
    at = 0
    found = []
    for gap, length, label in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), labels), max_size=5)):
        found.append((at + gap, at + gap + length, label))
        at += gap + length
    return found, at + draw(st.integers(0, 2))


def tagged(found, size, scheme):
    """Tags, as each scheme has them."""
    tags = ["O"] * size
    before = (-1, "")
    for start, end, label in found:
        for number in range(start, end):
            prefix = "B" if number == start else "I"
            if scheme == "iob1" and prefix == "B" and before != (start, label):
                prefix = "I"
            if scheme in ("biluo", "bioes") and number == end - 1:
                prefix = {"biluo": "UL", "bioes": "SE"}[scheme][number > start]
            tags[number] = f"{prefix}-{label}"
        before = (end, label)
    return tags


@given(st.lists(sentences(), min_size=1, max_size=4), st.sampled_from(["iob1", "iob2", "biluo", "bioes"]))
def test_a_scheme_is_recognized_by_what_keeps_to_it(found, scheme):
    tags = [tagged(spans, size, scheme) for spans, size in found]
    for (spans, _), one in zip(found, tags, strict=True):
        assert [tuple(entity) for entity in entities(one, find_scheme("auto", tags))] == [(*span, "") for span in spans]


@pytest.mark.parametrize(
    ("scheme", "tags", "found"),
    [
        ("iob2", "B-A I-A B-A O", [(0, 2, "A"), (2, 3, "A")]),
        ("iob1", "I-A I-A B-A O", [(0, 2, "A"), (2, 3, "A")]),
        ("io", "I-A I-A O A A", [(0, 2, "A"), (3, 5, "A")]),
        ("biluo", "B-A I-A L-A U-A", [(0, 3, "A"), (3, 4, "A")]),
        ("iob2", "I-A B-A", [(0, 1, "A", "I- where an entity starts, in iob2"), (1, 2, "A")]),
        ("iob2", "B-A I-B", [(0, 1, "A"), (1, 2, "B", "I- where an entity starts, in iob2")]),
        ("iob2", "PER O", [(0, 1, "PER", "tag without a prefix in iob2")]),
        ("io", "B-A I-A", [(0, 2, "A", "B- where an entity starts, in io")]),
        ("biluo", "B-A O", [(0, 1, "A", "entity without its last token, L-")]),
        ("biluo", "B-A B-A L-A", [(0, 1, "A", "entity without its last token, L-"), (1, 3, "A")]),
        ("biluo", "I-A L-A", [(0, 2, "A", "I- where an entity starts, in biluo")]),
        ("biluo", "L-A", [(0, 1, "A", "L- where an entity starts, in biluo")]),
    ],
)
def test_what_breaks_the_rules_of_a_scheme_has_a_fault(scheme, tags, found):
    assert list(entities(tags.split(), scheme)) == [TaggedEntity(*entity) for entity in found]


@pytest.mark.parametrize(
    "tags",
    ["B_PER I_PER O B_LOC", "B:PER I:PER O B:LOC", "PER-B PER-I O LOC-B", "PER_B PER_E O LOC_S"],
)
def test_other_ways_to_write_tags(corpus, tags):
    rows = "".join(f"{token} {tag}\n" for token, tag in zip(["New", "Porto", "and", "Rome"], tags.split(), strict=True))
    source = corpus((rows + "are O\nfar O\n") * 3)
    assert (source.recognizes(), source.labels_found()) == (True, {"PER": 3, "LOC": 3})
    assert spans(read(source)[0][:1])[0][:2] == [("New Porto", "PER"), ("Rome", "LOC")]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (["Ana B-PER|B-ACTOR", "Ross I-PER|I-ACTOR", "met O"], [("Ana Ross", "ACTOR"), ("Ana Ross", "PER")]),
        (["TU B-ORG", "Rome I-ORG|U-LOC", "now L-ORG"], [("TU Rome now", "ORG"), ("Rome", "LOC")]),
        (["TU B-ORG|O", "of I-ORG|_", "Rome I-ORG|B-LOC"], [("TU of Rome", "ORG"), ("Rome", "LOC")]),
        (["Ana B-PER|B-ACTOR", "Bob I-ACTOR|B-PER"], [("Ana Bob", "ACTOR"), ("Ana", "PER"), ("Bob", "PER")]),
        (["Ana I-PER", "Ross I-PER|I-ACTOR", "Eva B-PER"], [("Ana Ross", "PER"), ("Ross", "ACTOR"), ("Eva", "PER")]),
    ],
)
def test_a_token_may_have_tags_of_several_labels(corpus, rows, found):
    source = corpus(("\n".join(rows) + "\nlater O\n\n") * 3, labels=["ACTOR", "LOC", "ORG", "PER"])
    labels = {label: 3 * sum(other == label for _, other in found) for _, label in found}
    assert (source.recognizes(), source.labels_found()) == (True, labels)
    tasks, intake, skipped = read(source)
    assert (sorted(spans(tasks)[0]), len(tasks), skipped) == (sorted(found), 3, [])
    assert source._with_columns().tag == -1
    assert sum(intake.notes.values()) == 1


def test_a_label_may_have_a_bar_in_it(corpus):
    source = corpus("Ana B-PER|ORG\nRoss I-PER|ORG\nmet O\nEva B-A|B\n", labels=["A|B", "PER|ORG"])
    assert source.labels_found() == {"PER|ORG": 1, "A|B": 1}


def test_entities_of_one_label_inside_another_are_told_apart():
    tags = ["B-ORG", "I-ORG|B-ORG", "I-ORG|I-ORG", "O"]
    assert sorted(entities(tags, find_scheme("auto", [tags]))) == [(0, 3, "ORG", ""), (1, 3, "ORG", "")]


@pytest.mark.parametrize("tags", ["B_CELL I_BAND O O", "E_coli S_aureus O O", "PER PER O LOC"])
def test_labels_that_look_like_prefixes(corpus, tags):
    rows = "".join(f"{token} {tag}\n" for token, tag in zip(["a", "b", "c", "d"], tags.split(), strict=True))
    source = corpus(rows + "e O\n")
    assert source.recognizes()
    assert set(source.labels_found()) == set(tags.split()) - {"O"}


# Files


@pytest.fixture
def corpus(tmp_path):
    """A function that writes a file and gives a source that reads it."""

    def write(content, labels=("PER", "LOC"), name="train.conll", **settings):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Conll(str(path), list(labels), **settings)

    return write


def spans(tasks):
    return [[(task.text[span.start : span.end], span.label) for span in task.spans] for task in tasks]


FILE = "Ada B-PER\nLovelace I-PER\nmet O\nBob B-PER\n\nin O\nKöln B-LOC\n"


def test_a_sentence_is_a_text(corpus):
    first, second = read(corpus(FILE))[0]
    assert (first.text, first.spans) == ("Ada Lovelace met Bob", [Span(0, 12, "PER"), Span(17, 20, "PER")])
    assert (second.text, second.spans) == ("in Köln", [Span(3, 7, "LOC")])
    assert (first.source, second.source) == ("train.conll:1", "train.conll:6")
    assert (first.annotator, first.timestamp, first.meta) == ("", None, {})
    assert corpus(FILE).recognizes()
    assert corpus(FILE).labels_found() == {"PER": 2, "LOC": 1}


@pytest.mark.parametrize(
    "content",
    [
        FILE.replace(" ", "\t"),
        FILE.replace("\n\n", "\n\t\n"),
        FILE.replace("\n\n", "\n \t \n\n\n"),
        FILE.replace("\n", "\r\n"),
        FILE.replace(" ", "  "),
        FILE.rstrip(),
        f"\ufeff{FILE}",
        f"\n\n{FILE}\n\n",
        FILE.replace(" ", "\t").replace("\n\n", "\n\t\n"),
        gzip.compress(FILE.encode(), mtime=0),
    ],
)
def test_the_same_however_it_is_laid_out(corpus, content):
    tasks, intake, _ = read(corpus(content))
    assert [task.text for task in tasks] == ["Ada Lovelace met Bob", "in Köln"]
    assert spans(tasks) == [[("Ada Lovelace", "PER"), ("Bob", "PER")], [("Köln", "LOC")]]
    assert intake.notes == {"file with tags read as iob2": 1}


def test_columns_by_number(corpus):
    content = "1 Ada NNP I-NP B-PER _\n2 met VB O O _\n"
    assert spans(read(corpus(content, token=2, tag=5))[0]) == [[("Ada", "PER")]]
    assert spans(read(corpus(content, token=-5, tag=-2))[0]) == [[("Ada", "PER")]]
    assert read(corpus(content, labels=["NP"], token=2, tag=4, scheme="iob1"))[0][0].spans == [Span(0, 3, "NP")]
    with pytest.raises(UserError, match="scheme = 'bio': must be one of auto, iob1, iob2, biluo, io"):
        corpus(content, scheme="bio")


def test_tokens_contain_spaces_where_tabs_separate(corpus):
    (task,), _, _ = read(corpus("Ada Lovelace\tB-PER\nmet\tO\n"))
    assert (task.text, task.spans) == ("Ada Lovelace met", [Span(0, 12, "PER")])


DOCUMENTS = "-DOCSTART- O\n\nAda B-PER\n\nmet O\n\n-DOCSTART- -X- O\nBob B-PER\n"


def test_sentences_know_their_document(corpus):
    tasks, _, _ = read(corpus(DOCUMENTS))
    assert [(task.text, task.meta["document"]) for task in tasks] == [
        ("Ada", "train.conll:1"), ("met", "train.conll:1"), ("Bob", "train.conll:2")
    ]  # fmt: skip


def test_a_document_is_a_text(corpus):
    tasks, _, _ = read(corpus(DOCUMENTS, text="document"))
    assert [task.text for task in tasks] == ["Ada\nmet", "Bob"]
    assert spans(tasks) == [[("Ada", "PER")], [("Bob", "PER")]]
    (whole,), _, _ = read(corpus(FILE, text="document"))
    assert whole.text == "Ada Lovelace met Bob\nin Köln"


def test_an_entity_ends_with_its_sentence(corpus):
    (task,), _, _ = read(corpus("Ada I-PER\n\nBob I-PER\n", text="document"))
    assert spans([task]) == [[("Ada", "PER"), ("Bob", "PER")]]


def test_comments_are_noted(corpus):
    content = "# id 1 of 3\nAda B-PER\n# O\n"
    (task,), intake, _ = read(corpus(content))
    assert task.text == "Ada #"
    assert intake.notes["lines of comment are not read"] == 1


@pytest.mark.parametrize("header", ["Word\tTag", "TOKEN\tNE-COARSE-LIT", "token\tner_tags"])
@pytest.mark.parametrize(("person", "blank"), [("PER", ""), ("B-PER", "\n")])
def test_names_of_columns_are_no_token(corpus, header, person, blank):
    source = corpus(f"{header}\n{blank}Ada\t{person}\nmet\tO\n\nWord\tO\nRome\t{person}\n")
    tasks, intake, _ = read(source)
    assert [task.text for task in tasks] == ["Ada met", "Word Rome"]
    assert source.labels_found() == {"PER": 2}
    assert (intake.notes["lines of comment are not read"], intake.reasons) == (1, {})


@pytest.mark.parametrize(
    "line",
    ["Token\tB-PER", "Text\tNE\t_", "1\tText\ttext\tNOUN\tNN\t_\t0\troot\t_\tNER=O"],
    ids=["tag", "none", "CoNLL-U"],
)
def test_a_file_may_begin_with_the_word_token(line, corpus):
    rest = line.replace("Token", "met").replace("Text", "met").replace("1", "2").replace("B-PER", "O")
    (task,), _, _ = read(corpus(f"{line}\n{rest}\n"))
    assert task.text == f"{'Token' if 'Token' in line else 'Text'} met"


FORMS = {
    "MultiCoNER": "# id 1f0c5d5e-0001\tdomain=en\nada _ _ B-PER\nmet _ _ O\n\n# id 2\tdomain=en\nbob _ _ B-PER\n",
    "two columns": "# id 7\nada B-PER\nmet O\n\n# newpar\nbob B-PER\n",
    "a text that ends like a row": "# text = O\nada X X B-PER\nmet X X O\n\n# sent_id = B-PER\nbob X X B-PER\n",
    "CoNLL-U": "# newdoc id = 1\n# sent_id = 1\n1\tada\tB-PER\t-\n2\tmet\tO\t-\n\n# sent_id = 2\n1\tbob\tB-PER\t-\n",
    "GermEval": "#\thttp://a.example [2009]\n1\tada\tB-PER\tO\n2\tmet\tO\tO\n\n#\tb [2010]\n1\tbob\tB-PER\tO\n",
    "OntoNotes": "#begin document (a);\nada B-PER\nmet O\n\n#end document\n#begin document (b); part 0\nbob B-PER\n",
    "AIDA": "-DOCSTART- (1 EU)\nada\tB-PER\nmet\tO\n\n-DOCSTART- (2 UN)\nbob\tB-PER\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_lines_of_comment_are_told_by_their_form(corpus, form):
    source = corpus(FORMS[form])
    assert source.recognizes()
    assert [task.text for task in read(source)[0]] == ["ada met", "bob"]
    assert source.labels_found() == {"PER": 2}


@pytest.mark.parametrize("line", ["# X X O", "#hashtag X X O", "#1 X X B-PER", "# X X O\n# X X O"])
@pytest.mark.parametrize("place", ["{}\nAda X X B-PER", "Ada X X B-PER\n{}"])
def test_a_token_may_begin_with_a_hash(corpus, line, place):
    (task,), intake, _ = read(corpus(f"{place.format(line)}\n\n" + "Bob X X B-PER\n" * 3, text="document"))
    assert sum(token.startswith("#") for token in task.text.split()) == line.count("#")
    assert intake.notes == {"file with tags read as iob2": 1}


# Columns

STACKOVERFLOW = (
    "In\tO\tIn\tO\nJava\tB-Language\tJava\tO\n+\tB-Code\t+\tO\n=\tI-Code\t=\tO\n\n"
    "use\tO\tuse\tO\nextract\tB-Function\textract\tB-Code\n"
)
CONLL_2003 = "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\nGerman JJ B-NP B-MISC\ncall NN I-NP O\n\nPeter NNP B-NP B-PER\n"
NESTED = "1\tTU\tB-ORG\tO\n2\tKöln\tI-ORG\tB-LOC\n3\tand\tO\tO\n\n1\tBonn\tB-LOC\tO\n"
UNER = "1\tAda\tB-PER\t-\t-\n2\tmet\tO\t-\t-\n\n1\tBob\tB-PER\t-\t-\n"


@pytest.mark.parametrize(
    ("content", "texts", "labels", "others"),
    [
        (STACKOVERFLOW, ["In Java + =", "use extract"], {"Language": 1, "Code": 1, "Function": 1}, {4: 1}),
        (CONLL_2003, ["EU rejects German call", "Peter"], {"ORG": 1, "MISC": 1, "PER": 1}, {3: 4}),
        (NESTED, ["TU Köln and", "Bonn"], {"ORG": 1, "LOC": 1}, {4: 1}),
        (UNER, ["Ada met", "Bob"], {"PER": 2}, {}),
        (FILE, ["Ada Lovelace met Bob", "in Köln"], {"PER": 2, "LOC": 1}, {}),
    ],
)
def test_the_column_of_the_entities_is_found_and_the_others_are_named(corpus, content, texts, labels, others):
    source = corpus(content, labels=sorted(labels))
    assert (source.recognizes(), source.labels_found()) == (True, labels)
    tasks, intake, _ = read(source)
    assert [task.text for task in tasks] == texts
    notes = {f"span in column {n}, which has tags too: tag = {n} takes it": spans for n, spans in others.items()}
    assert notes.items() <= intake.notes.items()
    assert len(intake.notes) == len(notes) + 1


UNIVERSAL = (
    "# sent_id = 1\n# text = Ana vai ao Rio do rei.\n1\tAna\tB-PER\t-\n2\tvai\tO\t-\n3-4\tao\t{0}\t-\n3\ta\tO\t-\n"
    "4\to\tO\t-\n5\tRio\tB-LOC\t-\n5.1\tfoi\t{0}\t-\n6-7\tdo\t{0}\t-\n6\tde\tI-LOC\t-\n7\to\tI-LOC\t-\n8\trei\tI-LOC\t-\n\n"
)


@pytest.mark.parametrize("tag", ["O", "_"])
@pytest.mark.parametrize("columns", [{}, {"token": 2, "tag": 3}])
def test_multiword_tokens_and_empty_nodes_of_conll_u_are_no_words(corpus, tag, columns):
    source = corpus(UNIVERSAL.format(tag) * 3, **columns)
    assert (source.recognizes(), source.labels_found()) == (True, {"PER": 3, "LOC": 3})
    tasks, intake, _ = read(source)
    assert {task.text for task in tasks} == {"Ana vai a o Rio de o rei"}
    assert spans(tasks[:1]) == [[("Ana", "PER"), ("Rio de o rei", "LOC")]]
    note = "line of a multiword token (3-4) or an empty node (3.1) is not read: the words themselves are"
    assert (intake.notes[note], intake.reasons) == (9, {})


def test_numbers_of_tokens_may_go_on_across_sentences(corpus):
    rows = [f"{n}\t{w}\t{t}\n" for n, (w, t) in enumerate([("Ana", "B-PER"), ("ran", "O")] * 30, 1)]
    source = corpus("".join(a + b + "\n" for a, b in zip(rows[::2], rows[1::2], strict=True)))
    assert {task.text for task in read(source)[0]} == {"Ana ran"}
    assert source.labels_found() == {"PER": 30}
    two_numbers = corpus("".join(f"{n}\t{n % 3 + 1}\tAna\tB-PER\n\n" for n in range(1, 20)))
    assert {task.text for task in read(two_numbers)[0]} == {"Ana"}


def test_ranges_are_tokens_where_no_column_counts_them(corpus):
    pages = "".join(f"{page}\tAna\tB-PER\n12-13\tran\tO\n\n" for page in (40, 12, 31))
    assert [task.text for task in read(corpus(pages, token=2, tag=3))[0]] == ["Ana ran"] * 3
    offsets = "".join(f"{start}-{start + 3}\tAna\tB-PER\n" for start in range(0, 40, 4))
    assert read(corpus(offsets))[0][0].text == " ".join(["Ana"] * 10)
    scores = "".join(f"{n}\tCD\tO\n3-1\tCD\tB-PER\n\n" for n in range(9))
    assert read(corpus(scores, token=1, tag=3))[0][0].text == "0 3-1"


def test_an_underscore_is_no_label(corpus):
    source = corpus("".join(f"Ana{n} NNP B-PER\nran VBD _\nto IN _\nRome NNP B-LOC\n# SYM _\n\n" for n in range(9)))
    assert (source.recognizes(), source.labels_found()) == (True, {"PER": 9, "LOC": 9})
    tasks, intake, _ = read(source)
    assert tasks[0].text == "Ana0 ran to Rome #"
    assert spans(tasks[:1]) == [[("Ana0", "PER"), ("Rome", "LOC")]]
    assert intake.reasons == {}
    assert not corpus("".join(f"Ana{n} NNP _\nran VBD _\n\n" for n in range(9))).recognizes()


def test_import_is_told_of_the_columns(corpus):
    assert corpus(STACKOVERFLOW).findings() == ["tags of column 2 are taken; tag = 4 takes column 4, with 1 × Code"]
    assert corpus(CONLL_2003).findings() == [
        "tags of the last column are taken; tag = 3 takes column 3, with 4 × NP, VP"
    ]
    assert corpus(UNER).findings() == ["tokens of column 2 are taken, since column 1 numbers them"]
    assert corpus(FILE).findings() == []


def test_a_column_that_the_config_names_is_taken_as_it_is(corpus):
    tasks, intake, _ = read(corpus(STACKOVERFLOW, labels=["Code"], tag=-1))
    assert spans(tasks) == [[], [("extract", "Code")]]
    assert intake.notes == {"file with tags read as iob2": 1}
    (first, _), _, _ = read(corpus(CONLL_2003, labels=["NP"], tag=3))
    assert [text for text, _ in spans([first])[0]] == ["EU", "German call"]


def test_files_of_other_widths_in_a_folder(corpus, tmp_path):
    """The last column is the last one in each, and another has its number."""
    corpus(CONLL_2003 * 3, name="train.conll")
    corpus("Ada B-PER\nmet O\n", name="dev.conll")
    source = Conll(str(tmp_path), ["ORG", "PER"])
    assert source.labels_found() == {"ORG": 3, "MISC": 3, "PER": 4}
    assert read(source)[1].notes["span in column 3, which has tags too: tag = 3 takes it"] == 12


def test_columns_are_looked_for_beyond_the_first_lines(corpus):
    """Tags of a column that is empty for long, beside one that is not."""
    content = "a O O\n" * 1500 + "Ada B-PER O\n" * 40 + "b O O\n" * 20
    assert corpus(content).labels_found() == {"PER": 40}


def test_a_long_file_of_another_format_is_not_read_to_its_end(corpus, monkeypatch):
    source = corpus('{"text": "Ada met Bob", "spans": []}\n' * 20_000, name="all.jsonl")
    lines = []
    split = columns.columns_of
    monkeypatch.setattr(columns, "columns_of", lambda *line: lines.append(line) or split(*line))
    assert not source.recognizes()
    assert 0 < len(lines) < 5000


# Folders


def test_the_files_of_a_corpus_have_one_label_set(corpus, tmp_path):
    for name, content in {"eng.train": FILE, "eng.testa": "Eve B-PER\n", "eng.testb": "here O\n"}.items():
        corpus(content, name=name)
    source = Conll(str(tmp_path), ["LOC", "PER"])
    assert source.recognizes()
    assert {(task.source, *task.labels) for task in read(source)[0]} == {
        ("eng.testa:1", "LOC", "PER"), ("eng.testb:1", "LOC", "PER"), ("eng.train:1", "LOC", "PER"),
        ("eng.train:6", "LOC", "PER"),
    }  # fmt: skip
    names = {"train": "eng.train", "dev": "eng.testa", "test": "eng.testb"}
    assert source.split_paths() == {split: str(tmp_path / name) for split, name in names.items()}
    assert source.findings() == [
        "published splits by the names of its files: dev (eng.testa), test (eng.testb), train (eng.train)"
    ]


@pytest.mark.parametrize("name", ["{}.conll", "{}/1.conll", "1_{}.tsv", "{}.txt"])
def test_files_with_the_same_texts_are_of_annotators(corpus, tmp_path, name):
    for who, content in {"ana": FILE, "ben": FILE.replace("Bob B-PER", "Bob O"), "cleo": FILE}.items():
        (tmp_path / name.format(who)).parent.mkdir(exist_ok=True)
        corpus(content, name=name.format(who))
    source = Conll(str(tmp_path), ["LOC", "PER"])
    tasks, intake, _ = read(source)
    assert [(task.annotator, len(task.spans)) for task in tasks] == [
        ("ana", 2), ("ana", 1), ("ben", 1), ("ben", 1), ("cleo", 2), ("cleo", 1)
    ]  # fmt: skip
    assert intake.notes["text in several files, taken as those of annotators: ana, ben, cleo"] == 1
    assert source.findings()[0].startswith("1 × text in several files")


def test_files_with_the_same_texts_and_other_labels(corpus, tmp_path):
    corpus(FILE.replace("Köln B-LOC", "Köln O"), name="person.conll")
    corpus("Ada O\nLovelace O\nmet O\nBob O\n\nin O\nKöln B-LOC\n", name="place.conll")
    tasks, _, _ = read(Conll(str(tmp_path), ["LOC", "PER"]))
    found = [(*task.labels, len(task.spans)) for task in tasks]
    assert found == [("PER", 2), ("PER", 0), ("LOC", 0), ("LOC", 1)]
    tasks, _, _ = read(Conll(str(tmp_path), ["LOC", "PER"], copies="versions"))
    assert all(task.labels == ["LOC", "PER"] for task in tasks)


def test_files_of_prose_in_a_folder_are_not_read(corpus, tmp_path):
    corpus(FILE)
    corpus("This is a corpus\nof names.\n\nIt is free to use for everyone.\n", name="README.txt")
    corpus("PER\nLOC\n", name="labels.txt")
    source = Conll(str(tmp_path), ["LOC", "PER"])
    tasks, intake, skipped = read(source)
    assert (len(tasks), skipped, source.recognizes()) == (2, [], True)
    assert intake.notes["file *.txt or *.tsv without columns is not read"] == 2


def test_files_of_prose_may_end_in_upper_case(corpus, tmp_path):
    corpus(FILE, name="train.CONLL")
    corpus("All names\n\nare from a novel of that time.\nThanks!\n", name="README.TXT")
    source = Conll(str(tmp_path), ["PER", "LOC"])
    assert source.recognizes()
    assert spans(read(source)[0]) == [[("Ada Lovelace", "PER"), ("Bob", "PER")], [("Köln", "LOC")]]


def test_a_webanno_file_is_not_taken_for_another(corpus):
    source = corpus("#FORMAT=WebAnno TSV 3.3\n\n\n#Text=Ada\n1-1\t0-3\tAda\tPER\n", name="a.tsv")
    assert source.recognizes()
    with pytest.raises(UserError, match="is WebAnno TSV, which is not read; export it as UIMA CAS XMI"):
        read(source)


def test_what_breaks_the_scheme_costs_its_label_the_sentence(corpus):
    tasks, intake, (skip,) = read(corpus(FILE + "\nEve I-PER\nand O\nBob B-PER\nin O\nBonn B-LOC\n"))
    assert (skip.place, skip.reason) == ("train.conll:9", "I- where an entity starts, in iob2")
    assert [(task.kind, task.labels) for task in tasks[2:]] == [("manual", ["LOC"]), ("binary", ["PER"])]
    assert intake.spans == {"read": 6, "kept": 5, "skipped": 1}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"Ada", "line without a column for the token and one for the tag"),
        ("\u00a0 B-PER".encode(), "token is empty"),
        (b"\xff B-PER", "not UTF-8"),
        (b"New York B-PER", "line with more columns than the others: of which is its token?"),
    ],
)
def test_a_line_that_cannot_be_used_costs_its_sentence(corpus, line, reason):
    tasks, intake, (skip,) = read(corpus(FILE.encode() + b"\nEve B-PER\n" + line + b"\n\nEve B-PER\n"))
    assert (len(tasks), skip.place, skip.reason) == (3, "train.conll:9", reason)
    assert intake.spans["read"] == 4 + skip.spans
    assert skip.spans == 1 + (b"PER" in line)


def test_what_a_sentence_without_spans_means(corpus):
    (task,), _, _ = read(corpus("Ada O\n"))
    assert task.spans == []
    tasks, intake, _ = read(corpus("Ada O\n", without_spans="unannotated"))
    assert (tasks, intake.records) == ([], {"read": 1, "no_answer": 1})


def test_all_files_of_a_folder(corpus, tmp_path):
    corpus("Ada B-PER\n", name="b.conll")
    corpus("Bob I-PER\n", name="a.iob")
    corpus("no tags", name="README.md")
    tasks, intake, _ = read(Conll(str(tmp_path), ["PER"]))
    assert [task.source for task in tasks] == ["a.iob:1", "b.conll:1"]
    assert intake.notes == {"file with tags read as io": 1, "file with tags read as iob2": 1}
    before = Conll(str(tmp_path), ["PER"]).digest()
    corpus("Ada Lovelace B-PER\n", name="b.conll")
    assert Conll(str(tmp_path), ["PER"]).digest() != before


def test_what_is_wrong_before_reading(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such file, nor folder with a file \*.conll, \*.iob"):
        Conll(str(tmp_path / "nowhere"), ["PER"]).check()
    with pytest.raises(UserError, match=r"no such folder with a file \*.conll"):
        Conll(str(tmp_path), ["PER"]).check()


@pytest.mark.parametrize("content", ["Ada met Bob\nin Köln .\n", "Ada\n", "", "\n\n", "{}\n", "a,b\n"])
def test_prose_is_not_taken_for_tags(corpus, content):
    assert not corpus(content).recognizes()


def test_an_empty_file_does_not_hide_the_format_of_a_folder(corpus, tmp_path):
    corpus(FILE, name="complete.conll")
    corpus("", name="incomplete.conll")  # as `export` writes it where all texts are complete
    assert Conll(str(tmp_path), ["PER"]).recognizes()
    assert not corpus("", name="incomplete.conll").recognizes()


def test_a_few_broken_lines_do_not_hide_the_format(tmp_path):
    sentence = "Ada\tB-PER\nlives\tO\nin\tO\nGraz\tB-LOC\n.\tO\n\n"
    broken = sentence.replace("lives\tO", "lives")
    (tmp_path / "x.conll").write_text((sentence * 9 + broken) * 6, "utf8")
    source = Conll(str(tmp_path / "x.conll"), ["PER", "LOC"])
    tasks, intake, _ = read(source)
    assert (source.recognizes(), len(tasks)) == (True, 54)
    assert intake.reasons == {"line without a column for the token and one for the tag": 6}
    (tmp_path / "x.conll").write_text(broken * 6, "utf8")
    assert not source.recognizes()
