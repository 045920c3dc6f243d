"""What a task of Prodigy's is about, and whether its answer is complete: by its interface, or what that left in it."""

from __future__ import annotations

import pytest

from scripts.core.answers import Span
from scripts.sources.prodigy_database import prodigy_database
from scripts.sources.prodigy_jsonl import ProdigyJsonl
from tests.prodigy import line, read, task, write_database

TEXT = "Ada met Bob in Rome"
ADA, BOB, ROME = (0, 3, "PER"), (8, 11, "PER"), (15, 19, "LOC")
OPTIONS = [{"id": "TRAVEL", "text": "travel"}]


@pytest.fixture(params=["jsonl", "sqlite"])
def dataset(request, tmp_path):
    """Tasks as a source of each of Prodigy's readers."""

    def write(*tasks, labels=("PER", "LOC"), kind="auto"):
        if request.param == "sqlite":
            path = tmp_path / "prodigy.db"
            path.unlink(missing_ok=True)
            write_database(path, {"ner": list(tasks)})
            return prodigy_database(str(path), "ner", list(labels), kind=kind)
        (tmp_path / "ner.jsonl").write_text("\n".join(map(line, tasks)), "utf8")
        return ProdigyJsonl(str(tmp_path / "ner.jsonl"), list(labels), kind)

    return write


def without(record, *keys):
    return {key: value for key, value in record.items() if key not in keys}


def bare(text=TEXT, spans=(), **fields):
    """A task without hashes, tokens and interface."""
    return {
        "text": text,
        "spans": [
            one if isinstance(one, dict) else dict(zip(("start", "end", "label"), one, strict=False)) for one in spans
        ],
        "answer": "accept",
    } | fields


def teach(span=ADA, **fields):
    """As ner.teach wrote it before tasks named their interface."""
    start, end, label = span
    suggested = {"start": start, "end": end, "text": TEXT[start:end], "rank": 0, "label": label, "score": 0.41}
    more = {"source": "core_web_sm", "input_hash": 17}
    return {"text": TEXT, "spans": [suggested | more], "meta": {"score": 0.41}, "answer": "accept"} | fields


def kinds(tasks):
    return [(one.kind, one.answer, one.spans) for one in tasks]


# No answer about spans


@pytest.mark.parametrize(
    ("record", "subject"),
    [
        (bare(_view_id="choice", options=OPTIONS, accept=["TRAVEL"]), "choice"),
        (task(TEXT, _view_id="choice", options=OPTIONS, accept=[]), "choice"),
        (without(bare(_view_id="classification", label="SPORTS"), "spans"), "classification"),
        (bare(_view_id="classification", label="SPORTS", answer="reject"), "classification"),
        # textcat.teach with patterns highlights what it found
        (
            bare(_view_id="classification", label="SPORTS", spans=[{"start": 0, "end": 3, "pattern": 4}]),
            "classification",
        ),
        (task(TEXT, [ADA, ROME], _view_id="relations", relations=[]), "relations"),
        (task(TEXT, [ADA], _view_id="dep", arcs=[]), "dep"),
        (task(TEXT, [(0, 3, "PROPN")], _view_id="pos_manual"), "pos_manual"),
        (bare(_view_id="text_input", user_input="a sentence"), "text_input"),
        (bare(_view_id="html", html="<b>Ada</b>"), "html"),
        (bare(_view_id="diff", added="a", removed="b"), "diff"),
        (bare(_view_id="text"), "text"),
        (bare(_view_id="llm_io", llm={"prompt": "p"}), "llm_io"),
        (bare(_view_id="pairwise"), "pairwise"),
        (
            {"input": {"text": TEXT}, "accept": {"text": "a"}, "reject": {"text": "b"}, "_view_id": "compare"},
            "compare",
        ),
        (
            {"image": "a.png", "spans": [{"points": [[0, 1]], "label": "CAR"}], "_view_id": "image_manual"},
            "image_manual",
        ),
        ({"text": TEXT, "image": "a.png", "spans": [{"points": [[0, 1]], "label": "CAR"}]}, "image"),
        ({"audio": "a.wav", "audio_spans": [], "_view_id": "audio_manual"}, "audio_manual"),
        ({"video": "a.mp4", "_input_hash": 3, "answer": "accept"}, "video"),
        # before tasks named their interface
        ({"text": TEXT, "label": "SPORTS", "answer": "reject"}, "category"),
        (
            {
                "text": TEXT,
                "label": "SPORTS",
                "spans": [{"start": 0, "end": 3, "text": "Ada"}],
                "score": 0.5,
                "answer": "accept",
            },
            "category",
        ),
        ({"text": TEXT, "options": OPTIONS, "accept": ["TRAVEL"], "answer": "accept"}, "choice"),
        # nobody has answered
        (without(bare(spans=[ADA], llm={"response": "Ada"}), "answer"), "prediction"),
        (without(task(TEXT, [ADA], openai={"response": "Ada"}), "answer", "_view_id", "_is_binary"), "prediction"),
        (without(teach(), "answer"), "prediction"),
        # several interfaces, or one of somebody's own, none of which marked spans
        (without(bare(_view_id="blocks", options=OPTIONS, user_input="why"), "spans"), "blocks"),
        (bare(spans=[ADA], _view_id="blocks", options=OPTIONS), "blocks"),
        (bare(_view_id="team_rating", stars=4), "team_rating"),
        # reviews of these
        (bare(_view_id="review", view_id="choice", options=OPTIONS, versions=[]), "choice"),
        (bare(_view_id="review", versions=[bare(_view_id="classification", label="A")]), "classification"),
    ],
)
def test_what_is_no_answer_about_spans_is_none(dataset, record, subject):
    source = dataset(record, task(TEXT, [ADA]))
    (found,), intake, skipped = read(source)
    assert found.spans == [Span(*ADA)]
    assert intake.records["no_answer"] == 1
    assert intake.notes == {f"no answer about spans: {subject}": 1}
    assert not skipped
    assert intake.spans["no_answer"] == len(record.get("spans", []))
    assert source.labels_found() == {"PER": 1}


@pytest.mark.parametrize("kind", ["manual", "binary"])
def test_the_setting_makes_no_answer_of_a_category(dataset, kind):
    tasks, intake, _ = read(dataset(bare(_view_id="choice", options=OPTIONS, accept=[]), kind=kind))
    assert (tasks, intake.records["no_answer"]) == ([], 1)


def test_the_setting_takes_spans_that_were_marked_beside_something_else(dataset):
    relations = task(TEXT, [ADA, ROME], _view_id="relations", relations=[])
    (found,), _, _ = read(dataset(relations, kind="manual"))
    assert (found.kind, found.spans) == ("manual", [Span(*ADA), Span(*ROME)])
    (found,), _, _ = read(dataset(bare(spans=[ADA], _view_id="blocks"), kind="manual"))
    assert (found.kind, found.spans) == ("manual", [Span(*ADA)])


@pytest.mark.parametrize("unanswered", [bare(), bare(spans=[ADA]), task(TEXT, [ADA]), task("Ada")])
def test_a_task_without_an_answer_among_others_with_one_is_not_answered_yet(dataset, unanswered):
    """Lines of the input, or predictions, in the same file."""
    source = dataset(without(unanswered, "answer"), task(TEXT, [BOB]))
    (found,), intake, _ = read(source)
    assert found.spans == [Span(*BOB)]
    assert intake.notes == {"no answer about spans: not answered, as others are; kind takes it": 1}
    assert source.labels_found() == {"PER": 1}
    assert len(read(dataset(without(unanswered, "answer"), task(TEXT, [BOB]), kind="manual"))[0]) == 2


def test_where_no_task_has_an_answer_they_are_accepted(dataset):
    tasks, intake, _ = read(dataset(*[without(task(TEXT, spans), "answer") for spans in ([ADA], [])]))
    assert [one.answer for one in tasks] == ["accept", "accept"]
    assert intake.notes == {"has no answer: taken for accepted": 2}


# Answers about spans


@pytest.mark.parametrize("view", ["ner_manual", "spans_manual", "blocks", "team_ner"])
def test_where_spans_are_marked_the_answer_is_complete(dataset, view):
    (found, none), intake, _ = read(dataset(task(TEXT, [ADA], _view_id=view), task("No one", _view_id=view)))
    assert (found.kind, found.spans, none.kind, none.spans) == ("manual", [Span(*ADA)], "manual", [])
    assert intake.notes["spans marked in blocks: taken for complete"] == 2 * (view == "blocks")


def test_blocks_with_tokens_have_none_if_others_of_the_dataset_have_spans(dataset):
    """ner_manual leaves no key where nothing was marked."""
    empty = without(task("No one", _view_id="blocks"), "spans")
    (_, none), _, _ = read(dataset(task(TEXT, [ADA], _view_id="blocks"), empty))
    assert (none.kind, none.spans) == ("manual", [])
    tasks, intake, _ = read(dataset(empty))
    assert (tasks, intake.records["no_answer"]) == ([], 1)


@pytest.mark.parametrize("view", ["ner", "spans"])
def test_where_spans_are_shown_the_answer_is_about_each(dataset, view):
    (found,), _, _ = read(dataset(task(TEXT, [ADA], _view_id=view, answer="reject")))
    assert kinds([found]) == [("binary", "reject", [Span(*ADA)])]


@pytest.mark.parametrize("inner", [{"view_id": "spans_manual"}, {"versions": [task(TEXT, _view_id="ner_manual")]}])
def test_a_review_of_marked_spans_decides(dataset, inner):
    (found,), _, _ = read(dataset(task(TEXT, [ADA], _view_id="review", **{"versions": [], **inner})))
    assert (found.kind, found.spans) == ("review", [Span(*ADA)])


def test_a_review_of_yes_and_no_is_about_its_span(dataset):
    (found,), _, _ = read(dataset(task(TEXT, [ADA], _view_id="review", view_id="ner", versions=[], answer="reject")))
    assert kinds([found]) == [("binary", "reject", [Span(*ADA)])]


# Binary or complete, where the interface is not named


@pytest.mark.parametrize(
    "record",
    [
        teach(),
        bare(spans=[{"start": 0, "end": 3, "label": "PER", "score": 0.5}]),
        bare(spans=[{"start": 0, "end": 3, "label": "PER", "text": "Ada", "priority": 0.5, "pattern": 14}]),
        bare(spans=[ADA], meta={"score": 0.3}),
        bare(spans=[ADA], meta={"pattern": 2}),
        bare(spans=[ADA], score=0.3, priority=0.3),
        bare(spans=[{"start": 0, "end": 3, "label": "PER", "answer": "accept"}]),
        bare(spans=[ADA], _is_binary=True),
    ],
)
def test_exports_of_old_ner_teach_and_ner_match_are_binary(dataset, record):
    (found,), intake, _ = read(dataset(record))
    assert kinds([found]) == [("binary", "accept", [Span(*ADA)])]
    assert not intake.notes


def test_tasks_without_marks_are_as_most_of_their_dataset(dataset):
    """Not by what spans they happen to have: one without a span is not complete since it has none."""
    stripped = [bare("Bob again", [(0, 3, "PER")]), bare("no one here")]
    tasks, intake, skipped = read(dataset(teach(), teach(BOB, answer="reject"), *stripped, teach(ROME)))
    assert [one.kind for one in tasks] == ["binary"] * 4
    assert intake.notes["no answer about spans: yes or no without a span"] == 1
    assert not skipped
    taken = "does not tell whether it is manual or binary: taken for binary, as others of its dataset; kind sets it"
    assert intake.notes[taken] == 2


def test_tasks_with_tokens_were_marked_whatever_the_others_of_their_dataset_are(dataset):
    """Old ner.make-gold in the dataset of an old ner.teach."""
    gold = without(task(TEXT, [ADA, ROME]), "_view_id", "_is_binary")
    tasks, intake, _ = read(dataset(teach(), teach(BOB), gold))
    assert [one.kind for one in tasks] == ["binary", "binary", "manual"]
    assert not any("does not tell" in note for note in intake.notes)


def test_spans_of_patterns_that_were_corrected_are_complete(dataset):
    """ner.manual with patterns, of which somebody took the keys that begin with an underscore."""
    record = without(task(TEXT, [ADA, BOB], meta={"pattern": "4, 5"}), "_view_id", "_is_binary")
    record["spans"][0] |= {"text": "Ada", "pattern": 4}
    tasks, _, _ = read(dataset(*[record] * 3))
    assert [(one.kind, len(one.spans)) for one in tasks] == [("manual", 2)] * 3


def test_somebody_s_own_score_of_a_text_is_no_question_about_its_spans(dataset):
    record = without(task(TEXT, [ADA, BOB], meta={"score": 0.4}, score=0.4), "_view_id", "_is_binary")
    assert [one.kind for one in read(dataset(record))[0]] == ["manual"]


@pytest.mark.parametrize("own", [{"score": 57}, {"meta": {"score": -3, "by": "a reader"}}])
def test_a_number_that_is_no_score_of_a_model_does_not_make_a_task_binary(dataset, own):
    """As the votes of a post, of which another program made a task."""
    (found,), intake, _ = read(dataset(bare(spans=[ADA, BOB], **own)))
    assert (found.kind, len(found.spans)) == ("manual", 2)
    assert intake.notes["does not tell whether it is manual or binary: taken for manual; kind sets it"] == 1


def test_spans_with_answers_need_none_of_the_task(dataset):
    judged = [{"start": 0, "end": 3, "label": "PER", "answer": "reject"}]
    tasks, _, _ = read(dataset(without(bare(spans=judged), "answer")))
    assert kinds(tasks) == [("binary", "reject", [Span(*ADA)])]


def test_spans_with_scores_are_asked_about_though_there_are_tokens(dataset):
    """ner.teach of today, without the keys that begin with an underscore."""
    record = without(task(TEXT, [ADA], meta={"score": 0.4}), "_view_id", "_is_binary")
    record["spans"][0] |= {"score": 0.4, "source": "core_web_sm"}
    tasks, _, _ = read(dataset(*[record, record | {"answer": "reject"}]))
    assert [(one.kind, one.answer) for one in tasks] == [("binary", "accept"), ("binary", "reject")]


def test_a_dataset_that_asks_one_by_one_and_is_often_rejected_is_binary(dataset):
    """ner.teach's tasks, of which somebody took all but text, spans and answer."""
    asked = [bare(spans=[ADA], answer="reject" if number % 3 else "accept") for number in range(30)]
    tasks, _, _ = read(dataset(*asked))
    assert {one.kind for one in tasks} == {"binary"}


def test_what_cannot_be_told_is_taken_for_complete_and_said(dataset):
    tasks, intake, _ = read(dataset(*[bare(TEXT, [ADA, ROME][: number % 3]) for number in range(30)]))
    assert {one.kind for one in tasks} == {"manual"}
    assert intake.notes == {"does not tell whether it is manual or binary: taken for manual; kind sets it": 30}


@pytest.mark.parametrize(("kind", "expected"), [("manual", "manual"), ("binary", "binary")])
def test_the_setting_decides(dataset, kind, expected):
    tasks, intake, _ = read(dataset(teach(), bare(TEXT, [ROME]), kind=kind))
    assert [one.kind for one in tasks] == [expected] * 2
    assert not intake.notes


def test_parts_of_a_source_are_of_one_kind(dataset):
    source = dataset(*[teach()] * 30, *[bare(TEXT, [ROME])] * 30)
    parts = source.parts(1000)
    assert len(parts) > 2
    assert {one.kind for part in parts for one in read(part)[0]} == {"binary"}


# Spans with an answer of their own


def answered(*spans, **fields):
    found = task(TEXT, [span[:3] for span in spans], **fields)
    for span, (*_, answer) in zip(found["spans"], spans, strict=True):
        span["answer"] = answer
    return found


def test_a_rejected_span_is_never_gold(dataset):
    source = dataset(answered((*ADA, "accept"), (*BOB, "reject"), (*ROME, "accept")))
    tasks, intake, _ = read(source)
    assert kinds(tasks) == [
        ("manual", "accept", [Span(*ADA), Span(*ROME)]),
        ("binary", "reject", [Span(*BOB)]),
    ]
    assert tasks[0].labels == ["LOC", "PER"]
    assert intake.spans == {"read": 3, "kept": 3}


@pytest.mark.parametrize("view", ["review", "blocks", "spans_manual"])
def test_nor_in_other_interfaces(dataset, view):
    tasks, _, _ = read(dataset(answered((*ADA, "reject"), _view_id=view, view_id="ner_manual")))
    assert [(one.answer, one.spans) for one in tasks] == [("accept", []), ("reject", [Span(*ADA)])]


def test_nor_if_it_is_accepted_as_well(dataset):
    tasks, intake, _ = read(dataset(answered((*ADA, "reject"), (*ADA, "accept"))))
    assert [(one.answer, one.spans) for one in tasks] == [("accept", []), ("reject", [Span(*ADA)])]
    assert intake.spans == {"read": 2, "kept": 1, "skipped": 1}


def test_nor_among_the_versions_of_a_review(dataset):
    version = answered((*ADA, "reject"), (*BOB, "accept"))
    (found,), _, _ = read(dataset(task(TEXT, [BOB], _view_id="review", versions=[version])))
    assert found.versions == [[Span(*BOB)]]


def test_an_ignored_span_leaves_its_label_open(dataset):
    tasks, _, _ = read(dataset(answered((*ADA, "ignore"), (*BOB, "accept"), (*ROME, "accept"))))
    assert tasks[0].labels == ["LOC"]
    assert kinds(tasks) == [
        ("manual", "accept", [Span(*ROME)]),
        ("binary", "ignore", [Span(*ADA)]),
        ("binary", "accept", [Span(*BOB)]),
    ]


@pytest.mark.parametrize("answer", ["reject", "ignore"])
def test_of_a_text_that_is_rejected_all_is(dataset, answer):
    tasks, _, _ = read(dataset(answered((*ADA, "accept"), (*BOB, "reject"), answer=answer)))
    assert kinds(tasks) == [("manual", answer, [Span(*ADA), Span(*BOB)])]
