"""PICO: which words of an abstract tell of participants, interventions and outcomes (EBM PICO, as in BLURB).

A word has one class or none. Tags are I-CLASS and O, never B-: words are scored, one by one, and not spans,
which would be another number. A line `-DOCSTART- (ID)` begins each document and has no tag.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from kebench.errors import did_you_mean
from kebench.grid import Sheet
from kebench.kinds.card import TaskCard
from kebench.kinds.confusion import confusion_grid, right_places
from kebench.kinds.errors import Asked, Both, Errors, Run, both_grid, scores_grid
from kebench.kinds.kind import Kind, Read, Stored, Words
from kebench.kinds.lines import LineError, column_count, numbered_lines, refuse_shared
from kebench.kinds.tagging import (
    Sentence,
    StoredSentences,
    cut_words,
    encode_words,
    predicted_tags,
    tag_names,
    word_judgements,
)

_DOCUMENT = re.compile(r"-DOCSTART- \((\S+)\)\s*")


class PicoCard(TaskCard):
    """A task of words with a class. types: as tags name them behind I-; the score is the mean over them."""

    kind: Literal["pico"] = "pico"
    format: Literal["io"]
    metric: Literal["word_macro_f1"] = "word_macro_f1"
    types: Annotated[tuple[str, ...], Field(min_length=1)]

    @field_validator("types")
    @classmethod
    def _are_names(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        return tag_names(types, behind="I-")


def tags_of(task: "PicoCard | StoredPico") -> list[str]:
    """Return the tags of a task; a label's index is its place here."""
    return ["O", *(f"I-{name}" for name in task.types)]


def read_sentences(card: PicoCard, path: Path) -> Read:
    """Read one split's file. Raises UserError with file and line; an id is DOCUMENT.sN."""
    known, sentences, document, number = {*tags_of(card)}, list[Sentence](), "", 0
    lines: dict[str, int] = {}  # of documents
    words: list[str] = []
    tags: list[str] = []
    for at, line in [*numbered_lines(path, card.remedy), (0, "")]:
        if begins := line.startswith("-DOCSTART-"):
            found = _DOCUMENT.fullmatch(line)
            if not found:
                raise LineError(path, at, f"'{line[:30]}', expected -DOCSTART- (ID) alone", card.remedy)
            if found[1] in lines:
                what = f"document {found[1][:40]} begins in line {lines[found[1]]} too"
                raise LineError(path, at, what, card.remedy)
            lines[found[1]] = at
        if begins or not line.strip():
            if words:
                sentences.append(Sentence(f"{document}.s{number}", tuple(words), tags))
                words, tags, number = [], [], number + 1
            if found := _DOCUMENT.fullmatch(line):
                document, number = found[1], 0
            continue
        if not document:
            raise LineError(path, at, "a word before the first -DOCSTART- (ID)", card.remedy)
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 2 or not fields[0]:
            what = f"{column_count(fields)}, expected 2 (token TAB tag)" if fields[0] else "no token"
            raise LineError(path, at, what, card.remedy)
        if fields[1] not in known:
            hint = did_you_mean(fields[1], known)
            if fields[1].startswith("B-"):
                hint = "; words are scored and not spans, so tags are I- throughout;"
            what = f"tag '{fields[1][:20]}'{hint} expected one of {', '.join(tags_of(card))}"
            raise LineError(path, at, what, card.remedy)
        words.append(fields[0])
        tags.append(fields[1])
    if not sentences:
        raise LineError(path, 1, "holds no example", card.remedy)
    return Read(sentences, None, lines)


def refuse_shared_documents(
    card: PicoCard, paths: Mapping[str, Path], read: Mapping[str, Read], split: str
) -> None:
    """Raise LineError if a document of a split stands in one that was read before."""
    lines = {name: one.types for name, one in read.items()}
    refuse_shared(lines, paths, split, said="document {} begins in", remedy=card.remedy)


class StoredPico(Stored):
    """types: those that tags have behind I-."""

    types: list[str]
    dev: StoredSentences
    test: StoredSentences

    @model_validator(mode="after")
    def _knows_its_tags(self) -> "StoredPico":
        known = {*tags_of(self)}
        for part in (self.dev, self.test):
            if any(
                isinstance(tags, str) or not known.issuperset(tags) for tags in (*part.gold, *part.predicted)
            ):
                raise ValueError("a tag that is none of the task's")
        return self


def word_errors(asked: Asked) -> Errors:
    """Return which classes words are taken for, and each one's precision, recall and F1."""
    by_word = [_by_word(run) for run in asked.runs]
    grids = [
        confusion_grid(by_word, tags_of(asked.card)),
        scores_grid("class", asked.card.metric, asked.runs, asked.card.types),
    ]
    if both := asked.both:
        flat = Both(both.a, by_word, both.b, [_by_word(run) for run in both.runs_b])
        labelled = [place for place, tag in enumerate(by_word[0].gold) if tag != "O"]
        headings = ("right by most seeds of", "labelled words", "%")
        grids.append(both_grid(headings, flat, labelled, right_places))
    note = "Counts of words are means over seeds, gold in rows." if len(asked.runs) > 1 else "Gold in rows."
    return Errors(Sheet(asked.title, (), tuple(grids), (note,)), [])


def _by_word(run: Run) -> Run:
    """Return a run with the words of all sentences one behind another."""
    return Run(run.seed, *([tag for tags in side for tag in tags] for side in (run.gold, run.predicted)))


def count_labelled(sentences: Sequence[Sentence]) -> int:
    """Count the words that have a class."""
    return sum(tag != "O" for sentence in sentences for tag in sentence.tags)


PICO = Kind(
    name="pico",
    short="pico",
    title="PICO",
    words=Words("sentence", "labelled word", "labelled word", "tag"),
    card=PicoCard,
    metrics=("word_macro_f1",),
    task_type="token-classification",
    read=read_sentences,
    hashed=lambda card: [[card.kind, card.format, card.metric], card.types],
    encode=partial(encode_words, tags_of),
    num_outputs=lambda card: len(tags_of(card)),
    predicted=partial(predicted_tags, tags_of),
    stored=StoredPico,
    labels_of=lambda sentence: sentence.tags,
    loss="cross-entropy, end cut",
    header=lambda card: {"types": list(card.types)},
    count_units=count_labelled,
    count_gold=lambda card, sentences: count_labelled(sentences),
    gold_row=lambda sentence: f"{sentence.id}\t{sentence.gold}",
    refuse_beside=refuse_shared_documents,
    cut=cut_words,
    calibrated={"words": word_judgements},
    trivial=lambda card, train, gold: {"all-negative": [["O"] * len(tags) for tags in gold]},
    errors=word_errors,
    words_of=lambda card, sentence: sentence.words,
)
