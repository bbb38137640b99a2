"""Which labels a document has, none, one or several: each is decided by itself, at .5 (Gu et al. 2022).

Files in the form of HoC (Hallmarks of Cancer, as BLURB has it) hold a sentence a line; those of a document
are joined with a blank, and its labels are those of any of its sentences. It is documents that are scored.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from kebench.errors import counted
from kebench.grid import Cell, Grid, GridRows, Sheet
from kebench.kinds.card import TaskCard
from kebench.kinds.confusion import right_places
from kebench.kinds.encoded import Answer, Encoded, encode_texts
from kebench.kinds.errors import Asked, Errors, both_grid, scores_grid
from kebench.kinds.kind import Kind, Permille, Read, Stored, StoredSplit, Trivial, Words
from kebench.kinds.lines import LineError
from kebench.kinds.texts import Labelled, as_read, label_names, read_rows, refuse_shared_ids

SENTENCES = ("labels", "sentence", "index")  # of HoC
DOCUMENTS = ("id", "text", "labels")
NO_LABEL = "-"
LOSS = "binary cross-entropy at .5, end cut"


class ClassificationCard(TaskCard):
    """A task of documents with any number of labels.

    format: hoc (header; labels as 0_0,1_1 ..., sentence, index as DOCUMENT_sN), documents (id TAB text TAB
    labels with | between, - for none; no header). labels: in the order of hoc's numbers.
    """

    kind: Literal["classification"] = "classification"
    format: Literal["hoc", "documents"]
    metric: Literal["label_set_f1"] = "label_set_f1"
    labels: Annotated[tuple[str, ...], Field(min_length=1)]

    @field_validator("labels")
    @classmethod
    def _are_names(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if NO_LABEL in labels:
            raise ValueError(f"no label is '{NO_LABEL}', which says that there is none")
        return label_names(labels, never="|")


def read_documents(card: ClassificationCard, path: Path) -> Read:
    """Read one split's file. Raises UserError with file and line."""
    rows = _joined(card, path) if card.format == "hoc" else _documents(card, path)
    return as_read(path, rows, card.remedy)


def _documents(card: ClassificationCard, path: Path) -> Iterator[Labelled]:
    for line, (name, text, field) in read_rows(path, remedy=card.remedy, columns=DOCUMENTS):
        held = [] if field == NO_LABEL else [label.strip() for label in field.split("|")]
        if unknown := [label for label in held if label not in card.labels]:
            what = f"label '{unknown[0][:40]}', expected some of {', '.join(card.labels)}, or {NO_LABEL}"
            raise LineError(path, line, what, card.remedy)
        yield Labelled(name, (text,), tuple(label for label in card.labels if label in held), line)


def _joined(card: ClassificationCard, path: Path) -> Iterator[Labelled]:
    """Yield each document of a file of sentences, which stand one behind another in their order."""
    found: list[Labelled] = []
    lines: dict[str, int] = {}  # of documents
    last = -1  # the number of the sentence before
    known = {
        (f"{place}_{value}"): (place, value == 1) for place in range(len(card.labels)) for value in (0, 1)
    }
    for line, (field, text, index) in read_rows(
        path, remedy=card.remedy, columns=SENTENCES, header="\t".join(SENTENCES)
    ):
        marks = [known.get(mark) for mark in field.split(",")]
        if [mark[0] if mark else None for mark in marks] != list(range(len(card.labels))):
            form = (
                "0_0" if len(card.labels) == 1 else f"0_0, ..., {len(card.labels) - 1}_0 with commas between"
            )
            what = f"labels '{field[:20]}', expected {form}, and _1 for each that holds"
            raise LineError(path, line, what, card.remedy)
        document, mark, number = index.rpartition("_s")
        if not (document and mark and number.isdecimal() and len(number) < 10):
            raise LineError(path, line, f"index '{index[:30]}', expected DOCUMENT_sN", card.remedy)
        held = {card.labels[place] for place, is_held in filter(None, marks) if is_held}
        if found and found[-1].id == document:
            before = found[-1]
            if int(number) <= last:
                what = f"sentence {index[:30]} behind {document[:30]}_s{last}, expected in order, each once"
                raise LineError(path, line, what, card.remedy)
            held |= {*before.label}
            text, line = f"{before.text} {text}", before.line
            found.pop()
        elif line_of := lines.get(document):
            what = f"a sentence of {document[:30]}, which begins in line {line_of}, behind another document's"
            raise LineError(path, line, what, card.remedy)
        lines.setdefault(document, line)
        last = int(number)
        found.append(Labelled(document, (text,), tuple(one for one in card.labels if one in held), line))
    yield from found


def encode_documents(
    tokenizer: Any, documents: Sequence[Labelled], card: ClassificationCard, max_length: int
) -> Encoded:
    """Tokenise documents, cut at their ends; of each label a 0 or a 1."""
    gold = [[label in row.label for label in card.labels] for row in documents]
    texts = [row.text for row in documents]
    return encode_texts(tokenizer, texts, gold, max_length=max_length, label_type=np.uint8)


def predicted_split(
    card: ClassificationCard, documents: Sequence[Labelled], encoded: Encoded, answers: Sequence[Answer]
) -> dict[str, Any]:
    """Return what is stored of one split: of each document the labels that it has, in the card's order."""
    return {
        "ids": [row.id for row in documents],
        "gold": [list(row.label) for row in documents],
        "predicted": [
            [label for label, holds in zip(card.labels, answer.labels[0], strict=True) if holds]
            for answer in answers
        ],
        "num_cut": int(encoded.was_cut.values.sum()),
        "confidence_permille": [answer.permille[0].tolist() for answer in answers],
    }


class StoredSets(StoredSplit):
    """confidence_permille: of each label, of its being as predicted. num_cut: documents that were cut."""

    gold: list[list[str]]
    predicted: list[list[str]]
    num_cut: int
    confidence_permille: list[list[Permille]] | None = None


class StoredClassification(Stored):
    """labels: all of the card."""

    labels: list[str]
    dev: StoredSets
    test: StoredSets

    @model_validator(mode="after")
    def _knows_its_labels(self) -> "StoredClassification":
        for part in (self.dev, self.test):
            if not {label for labels in (*part.gold, *part.predicted) for label in labels} <= {*self.labels}:
                raise ValueError("a label that is none of the task's")
            if any(len(row) != len(self.labels) for row in part.confidence_permille or ()):
                raise ValueError("confidence_permille is not one number a label")
        return self


def classification_errors(asked: Asked) -> Errors:
    """Return precision, recall and F1 of each label, and how many labels documents have and are given."""
    runs, labels = asked.runs, asked.card.labels
    most = max(len(held) for run in runs for held in (*run.gold, *run.predicted))
    rows: GridRows = []
    for number in range(most + 1):
        gold = sum(len(held) == number for run in runs for held in run.gold) / len(runs)
        found = sum(len(held) == number for run in runs for held in run.predicted) / len(runs)
        right = sum(
            {*held} == {*given} and len(held) == number
            for run in runs
            for held, given in zip(run.gold, run.predicted, strict=True)
        )
        rows.append(
            (counted(number, "label"), *(Cell(count, ",.0f") for count in (gold, found, right / len(runs))))
        )
    grids = [
        scores_grid("label", asked.card.metric, runs, labels),
        Grid(("documents with", "gold", "predicted", "all labels right"), rows),
    ]
    if asked.both:
        headings = ("all labels right by most seeds of", "documents", "%")
        grids.append(both_grid(headings, asked.both, range(len(runs[0].gold)), right_places))
    several = ("Counts are means over seeds.",) if len(runs) > 1 else ()
    return Errors(Sheet(asked.title, (), tuple(grids), several), [])


def constant_sets(
    card: ClassificationCard, train: Sequence[Labelled] | None, gold: Sequence[list[str]]
) -> Trivial:
    """Return no label anywhere, and everywhere those that most documents of the training set have."""
    majority = None
    if train is not None:
        times = Counter(label for row in train for label in row.label)
        majority = [[label for label in card.labels if 2 * times[label] > len(train)]] * len(gold)
    return {"all-negative": [[]] * len(gold), "majority": majority}


CLASSIFICATION = Kind(
    name="classification",
    short="classification",
    title="Classification",
    words=Words("document", "document", "label", "label"),
    card=ClassificationCard,
    metrics=("label_set_f1",),
    task_type="text-classification",
    read=read_documents,
    hashed=lambda card: [[card.kind, card.format, card.metric, card.labels], LOSS],
    encode=encode_documents,
    num_outputs=lambda card: len(card.labels),
    head="sigmoid",
    reads_text=True,
    predicted=predicted_split,
    stored=StoredClassification,
    labels_of=lambda row: row.label,
    loss=LOSS,
    header=lambda card: {"labels": list(card.labels)},
    count_gold=lambda card, rows: sum(len(row.label) for row in rows),
    gold_row=lambda row: f"{row.id}\t{row.gold}",
    refuse_beside=refuse_shared_ids,
    trivial=constant_sets,
    errors=classification_errors,
)
