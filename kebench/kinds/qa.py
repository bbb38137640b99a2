"""Questions that a passage answers with one of a few labels: yes, no, maybe (Gu et al. 2022).

Question and passage stand together as the tokenizer puts pairs; where both are too long, the end of the
passage is cut and never the question.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from kebench.grid import Sheet
from kebench.kinds.card import TaskCard
from kebench.kinds.confusion import confusion_grid, right_places
from kebench.kinds.encoded import Answer, Encoded, encode_texts
from kebench.kinds.errors import Asked, Errors, agreement_grid, both_grid, scores_grid
from kebench.kinds.kind import Kind, Permille, Read, Stored, StoredSplit, Trivial, Words
from kebench.kinds.lines import LineError
from kebench.kinds.texts import (
    Labelled,
    as_read,
    decision_judgements,
    label_names,
    read_objects,
    read_rows,
    refuse_shared_ids,
)
from kebench.scoring.counts import Counts

COLUMNS = ("id", "question", "passage", "answer")
LOSS = "cross-entropy, passage cut"
OBJECT_FIELDS = ("id", "sentence1", "sentence2", "label")


class QaCard(TaskCard):
    """A task of questions about a passage.

    format: question-passage (id TAB question TAB passage TAB answer, no header), json-lines (objects of id,
    sentence1, sentence2, label, as LinkBERT has them). labels: the answers.
    """

    kind: Literal["qa"] = "qa"
    format: Literal["question-passage", "json-lines"]
    metric: Literal["accuracy", "macro_f1"] = "accuracy"
    labels: Annotated[tuple[str, ...], Field(min_length=2)]

    @field_validator("labels")
    @classmethod
    def _are_names(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        return label_names(labels)


def read_questions(card: QaCard, path: Path) -> Read:
    """Read one split's file. Raises UserError with file and line."""
    if card.format == "json-lines":
        lines = read_objects(path, remedy=card.remedy, fields=OBJECT_FIELDS)
    else:
        lines = read_rows(path, remedy=card.remedy, columns=COLUMNS)
    rows = []
    for line, (name, question, passage, label) in lines:
        if label not in card.labels:
            what = f"answer '{label[:20]}', expected one of {', '.join(card.labels)}"
            raise LineError(path, line, what, card.remedy)
        rows.append(Labelled(name, (question, passage), label, line))
    return as_read(path, rows, card.remedy)


def encode_questions(tokenizer: Any, rows: Sequence[Labelled], card: QaCard, max_length: int) -> Encoded:
    """Tokenise question and passage together."""
    texts, gold = [row.both for row in rows], [card.labels.index(row.label) for row in rows]
    return encode_texts(tokenizer, texts, gold, max_length=max_length, cut="second")


def predicted_split(
    card: QaCard, rows: Sequence[Labelled], encoded: Encoded, answers: Sequence[Answer]
) -> dict[str, Any]:
    """Return what is stored of one split."""
    return {
        "ids": [row.id for row in rows],
        "gold": [row.label for row in rows],
        "predicted": [card.labels[int(answer.labels[0])] for answer in answers],
        "num_cut": int(encoded.was_cut.values.sum()),
        "confidence_permille": [int(answer.permille[0]) for answer in answers],
    }


class StoredAnswers(StoredSplit):
    """num_cut: questions whose passage the maximum length cut."""

    gold: list[str]
    predicted: list[str]
    num_cut: int
    confidence_permille: list[Permille] | None = None


class StoredQa(Stored):
    """labels: all of the card."""

    labels: list[str]
    dev: StoredAnswers
    test: StoredAnswers

    @model_validator(mode="after")
    def _knows_its_labels(self) -> "StoredQa":
        if not {*self.dev.gold, *self.dev.predicted, *self.test.gold, *self.test.predicted} <= {*self.labels}:
            raise ValueError("a label that is none of the task's")
        return self


def answer_errors(asked: Asked) -> Errors:
    """Return which answers are taken for which, each one's precision and recall, and whether seeds agree."""
    runs, labels = asked.runs, asked.card.labels
    grids = [confusion_grid(runs, labels), scores_grid("answer", asked.card.metric, runs, labels)]
    places = range(len(runs[0].gold))
    if len(runs) > 1:
        headings = ("agreement of seeds", "questions", "%")
        grids.append(agreement_grid(headings, "right", runs, right_places, groups=[places], overlap=_alike))
    if asked.both:
        headings = ("right by most seeds of", "questions", "%")
        grids.append(both_grid(headings, asked.both, places, right_places))
    notes = ("Counts are means over seeds, gold in rows.",) if len(runs) > 1 else ("Gold in rows.",)
    return Errors(Sheet(asked.title, (), tuple(grids), notes), [])


def _alike(one: Sequence[str], other: Sequence[str]) -> Counts:
    return Counts(len(one), len(other), sum(a == b for a, b in zip(one, other, strict=True)))


def constant_answers(card: QaCard, train: Sequence[Labelled] | None, gold: Sequence[str]) -> Trivial:
    """Return the answer that most questions of the training set have, for every question."""
    if train is None:
        return {"majority": None}
    answers = [row.label for row in train]
    return {"majority": [max(card.labels, key=answers.count)] * len(gold)}


QA = Kind(
    name="qa",
    short="qa",
    title="QA",
    words=Words("question", "question", "question", "answer"),
    card=QaCard,
    metrics=("accuracy", "macro_f1"),
    task_type="question-answering",
    read=read_questions,
    hashed=lambda card: [[card.kind, card.format, card.metric, card.labels], LOSS],
    encode=encode_questions,
    num_outputs=lambda card: len(card.labels),
    reads_text=True,
    predicted=predicted_split,
    stored=StoredQa,
    labels_of=lambda row: [row.label],
    loss=LOSS,
    header=lambda card: {"labels": list(card.labels)},
    refuse_beside=refuse_shared_ids,
    trivial=constant_answers,
    calibrated={"questions": decision_judgements},
    errors=answer_errors,
)
