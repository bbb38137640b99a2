"""Relations as one decision on two entity indicators (KeBioLM, section 4.3).

The indicators (@GENE$, @CHEMICAL$ ...) are words of the vocabulary, named by the task card; the states at the
first two of a text are concatenated. A merged indicator (@CHEM-GENE$) stands for both. Where the cut text
lacks one, the other's state is read twice; where it lacks both, the first piece's; either is counted. A text
holds each of the card's two once (of one kind: twice), or one that stands for both. What looks like an
indicator (@DISORDER$) and is none of the card's is one spelt otherwise. Errors are tables of labels that are
confused, of texts by their indicators, and of whether seeds agree.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from kebench.grid import Cell, Grid, Sheet
from kebench.kinds.card import TaskCard
from kebench.kinds.confusion import confusion_grid, right_places
from kebench.kinds.encoded import Answer, Encoded, Ragged, encode_texts
from kebench.kinds.errors import Asked, Errors, Run, agreement_grid, both_grid, scores_grid
from kebench.kinds.kind import Kind, Marks, Permille, Read, Stored, StoredSplit, Trivial, Words
from kebench.kinds.pairs import GAD_HEADER, LOOKS_LIKE_A_MARKER, Pair, read_pairs
from kebench.kinds.texts import decision_judgements
from kebench.scoring.counts import count_relations


class RelationCard(TaskCard):
    """A task of relations between two marked entities of a text.

    format: pairs (id TAB text TAB label), gad (header; index, sentence, label).
    labels: the classes; `negative` is the one that does not count (F1 over the rest).
    markers: the entity indicators that stand in the text, each one token of the vocabulary.
    merged_markers: those of them that stand for both entities at once.
    """

    kind: Literal["relation"] = "relation"
    format: Literal["pairs", "gad"]
    metric: Literal["micro_f1", "macro_f1", "accuracy"] = "micro_f1"
    labels: tuple[str, ...] = ()
    negative: str = ""
    markers: tuple[str, ...] = ()
    merged_markers: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_complete(self) -> "RelationCard":
        if self.negative not in self.labels or not self.markers:
            raise ValueError("a relation task needs labels, the negative one among them, and markers")
        return self


def read_examples(card: RelationCard, path: Path) -> Read:
    """Read one split's file. Raises UserError with file and line."""
    header = GAD_HEADER if card.format == "gad" else ""
    return Read(read_pairs(path, labels=card.labels, header=header, markers=card.markers, remedy=card.remedy))


def without_markers(card: RelationCard, pair: Pair) -> str:
    """Return the text of a pair without its indicators."""
    text = pair.text
    for marker in card.markers:
        text = text.replace(marker, "")
    return text


def marker_faults(card: RelationCard, pairs: Sequence[Pair]) -> list[str]:
    """Name each text whose indicators are not the card's, and what it holds: "d0 holds @GENE$"."""
    # The longest first: an indicator of the card's may begin as another does.
    known = "|".join(re.escape(marker) for marker in sorted(card.markers, key=len, reverse=True))
    pattern = re.compile(f"{known}|{LOOKS_LIKE_A_MARKER}")
    # Right are one merged indicator, or two others: of a card's two both.
    single = [marker for marker in card.markers if marker not in card.merged_markers]
    both = [(a, b) for a in single for b in single if a != b or len(single) != 2]
    right = [*(Counter([marker]) for marker in card.merged_markers), *map(Counter, both)]
    found = ((row, Counter(pattern.findall(row.text))) for row in pairs)
    return [
        f"{row.id} holds {', '.join(held.elements()) or 'none'}" for row, held in found if held not in right
    ]


def expected_markers(card: RelationCard) -> str:
    """Say what a text should hold: "@GENE$ and @DISEASE$ once each, or @GENE-DISEASE$"."""
    single = [marker for marker in card.markers if marker not in card.merged_markers]
    pair = {1: f"{single[0]} twice", 2: f"{' and '.join(single)} once each"} if single else {}
    either = [pair.get(len(single), f"two of {', '.join(single)}")] if single else []
    return ", or ".join([*either, *card.merged_markers])


def add_markers(tokenizer: Any, card: RelationCard) -> None:
    """Make each indicator one word piece, in the card's order, so that ids never shift between splits."""
    from tokenizers import AddedToken

    # Without lstrip, byte-level BPE would leave a lone blank before each indicator.
    tokenizer.add_tokens([AddedToken(marker, normalized=False, lstrip=True) for marker in card.markers])


def encode_pairs(tokenizer: Any, pairs: Sequence[Pair], card: RelationCard, max_length: int) -> Encoded:
    """Tokenise texts and find their first two indicators, as the released code does.

    One that stands for both, or whose partner was cut off, is read twice; without any, the first piece is.
    `add_markers` must have been called before.
    """
    gold = [card.labels.index(pair.label) for pair in pairs]
    encoded = encode_texts(tokenizer, [pair.text for pair in pairs], gold, max_length=max_length)
    ids = {marker: tokenizer.convert_tokens_to_ids(marker) for marker in card.markers}
    merged = {ids[marker] for marker in card.merged_markers}
    places, num_missing = [], []
    for row in range(len(pairs)):
        pieces = encoded.pieces.row(row).tolist()
        found = [place for place, piece in enumerate(pieces) if piece in ids.values()]
        is_merged = bool(found) and pieces[found[0]] in merged
        first, second = [*found, *found, 0, 0][:2]
        places.append([(first, first if is_merged else second)])
        num_missing.append([0 if is_merged else max(2 - len(found), 0)])
    return encoded._replace(places=Ragged.of(places), num_missing=Ragged.of(num_missing))


def predicted_split(
    card: RelationCard, pairs: Sequence[Pair], encoded: Encoded, answers: Sequence[Answer]
) -> dict[str, Any]:
    """Return what is stored of one split: ids, gold and predicted labels, confidences, what was cut."""
    return {
        "ids": [pair.id for pair in pairs],
        "gold": [pair.label for pair in pairs],
        "predicted": [card.labels[int(answer.labels[0])] for answer in answers],
        "num_cut": int(encoded.was_cut.values.sum()),
        "num_missing_markers": int(encoded.num_missing.values.sum()),
        "confidence_permille": [int(answer.permille[0]) for answer in answers],
    }


class StoredLabels(StoredSplit):
    """num_cut: instances that the maximum length cut into; num_missing_markers: indicators cut off."""

    gold: list[str]
    predicted: list[str]
    num_cut: int
    num_missing_markers: int
    confidence_permille: list[Permille] | None = None


class StoredRelations(Stored):
    """negative: the label that does not count. labels: all of the card; None in older runs."""

    negative: str
    labels: list[str] | None = None
    dev: StoredLabels
    test: StoredLabels

    @model_validator(mode="after")
    def _knows_its_labels(self) -> "StoredRelations":
        for part in (self.dev, self.test):
            if self.labels and not {*part.gold, *part.predicted} <= {*self.labels}:
                raise ValueError("a label that is none of the task's")
        return self


def labelling_errors(asked: Asked) -> Errors:
    """Return the tables of a model's errors."""
    runs, card = asked.runs, asked.card
    grids = [confusion_grid(runs, card.labels), scores_grid("label", "micro_f1", runs, card.labels)]
    if asked.examples:
        texts = [example.text for example in asked.examples]
        grids.append(marker_grid(runs, texts, card.markers, card.merged_markers, negative=card.negative))
    if len(runs) > 1:
        grids.append(agreement_instances_grid(runs, negative=card.negative))
    if asked.both:
        headings, places = ("right by most seeds of", "instances", "%"), range(len(runs[0].gold))
        grids.append(both_grid(headings, asked.both, places, right_places))
    several = (
        "Counts are means over seeds, gold in rows; precision, recall and F1 are of the counts of all seeds."
    )
    counts = several if len(runs) > 1 else "Gold in rows."
    notes = (f"The score counts all labels but '{card.negative}'.", counts)
    return Errors(Sheet(asked.title, (), tuple(grids), notes), [])


def agreement_instances_grid(runs: Sequence[Run], *, negative: str) -> Grid:
    """Return by how many seeds instances are labelled right, all and positive ones, and how alike seeds are.

    The last row is the F1 over the positive labels of one seed against another, which is the same both ways.
    """
    gold = runs[0].gold
    positive = [place for place, label in enumerate(gold) if label != negative]
    headings = ("agreement of seeds", "instances", "%", "positive", "% of these")
    groups, overlap = [range(len(gold)), positive], partial(count_relations, negative=negative)
    return agreement_grid(headings, "right", runs, right_places, groups=groups, overlap=overlap)


def marker_grid(
    runs: Sequence[Run], texts: Sequence[str], markers: Sequence[str], merged: Sequence[str], *, negative: str
) -> Grid:
    """Return F1 over positive labels by the indicators in a text, merged ones apart; a dash without gold."""
    groups: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        held = [marker for marker in dict.fromkeys((*merged, *markers)) if marker in text]
        groups.setdefault(" and ".join(held) or "none", []).append(place)
    rows = []
    for name, places in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        gold = [run.gold[place] for run in runs for place in places]
        predicted = [run.predicted[place] for run in runs for place in places]
        counts = count_relations(gold, predicted, negative=negative)
        rows.append((name, len(places), Cell(counts.num_gold / len(runs), ",.0f"), Cell(counts.f1_percent)))
    return Grid(("indicators in the text", "instances", "positive", "F1"), rows)


def constant_labels(card: RelationCard, train: Sequence[Pair] | None, gold: Sequence[str]) -> Trivial:
    """Return no relation anywhere, and everywhere the label that most instances of the training set have."""
    majority = None
    if train is not None:
        majority = [max(card.labels, key=[pair.label for pair in train].count)] * len(gold)
    return {"all-negative": [card.negative] * len(gold), "majority": majority}


RELATION = Kind(
    name="relation",
    short="re",
    title="RE",
    words=Words("instance", "instance", "positive instance", "label"),
    card=RelationCard,
    metrics=("micro_f1", "macro_f1", "accuracy"),
    published="micro_f1",
    task_type="text-classification",
    read=read_examples,
    hashed=lambda card: [
        [card.kind, card.format, card.metric, card.labels, card.negative],
        card.markers,
        card.merged_markers,
    ],
    encode=encode_pairs,
    num_outputs=lambda card: len(card.labels),
    states_per_decision=2,
    predicted=predicted_split,
    stored=StoredRelations,
    labels_of=lambda pair: [pair.label],
    loss="cross-entropy, end cut",
    header=lambda card: {"negative": card.negative, "labels": list(card.labels)},
    count_gold=lambda card, pairs: sum(pair.label != card.negative for pair in pairs),
    prepare=add_markers,
    cut=lambda part: {name: part[name] for name in ("num_cut", "num_missing_markers")},
    words_of=lambda card, pair: (
        word for word in pair.text.split() if not any(marker in word for marker in card.markers)
    ),
    plain_text=without_markers,
    trivial=constant_labels,
    errors=labelling_errors,
    marks=Marks(marker_faults, expected_markers),
    calibrated={"instances": decision_judgements},
)
