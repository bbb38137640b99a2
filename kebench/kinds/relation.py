"""Relations as one decision on two entity indicators (KeBioLM, section 4.3).

The indicators (@GENE$, @CHEMICAL$ ...) are words of the vocabulary, named by the task card; the states at the
first two of a text are concatenated. A merged indicator (@CHEM-GENE$) stands for both. Where the cut text
lacks one, the other's state is read twice; where it lacks both, the first piece's; either is counted. A text
holds each of the card's two once (of one kind: twice), or one that stands for both. What looks like an
indicator (@DISORDER$) and is none of the card's is one spelt otherwise.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from kebench.kinds.card import TaskCard
from kebench.kinds.encoded import Answer, Encoded, Ragged, was_cut
from kebench.kinds.kind import Calibrated, Kind, Marks, Permille, Read, Stored, StoredSplit, Words
from kebench.kinds.label_errors import labelling_errors
from kebench.kinds.pairs import GAD_HEADER, LOOKS_LIKE_A_MARKER, Pair, read_pairs
from kebench.scoring.calibration import WHOLE, Judgement


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

    @property
    def positive_labels(self) -> tuple[str, ...]:
        """The labels that the F1 runs over."""
        return tuple(label for label in self.labels if label != self.negative)


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
    right = _right_markers(card)
    found = ((row, Counter(pattern.findall(row.text))) for row in pairs)
    return [
        f"{row.id} holds {', '.join(held.elements()) or 'none'}" for row, held in found if held not in right
    ]


def _right_markers(card: RelationCard) -> list[Counter[str]]:
    """Return what a text may hold: one merged indicator, or two others, of a card's two both."""
    single = [marker for marker in card.markers if marker not in card.merged_markers]
    pairs = [(a, b) for a in single for b in single if a != b or len(single) != 2]
    return [Counter([marker]) for marker in card.merged_markers] + [Counter(pair) for pair in pairs]


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
    """Tokenise texts and find their indicators. `add_markers` must have been called before."""
    batch = tokenizer(
        [pair.text for pair in pairs],
        truncation=True,
        max_length=max_length,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    ids = {marker: tokenizer.convert_tokens_to_ids(marker) for marker in card.markers}
    merged = {ids[marker] for marker in card.merged_markers}
    found = [_places_of(set(ids.values()), pieces) for pieces in batch["input_ids"]]
    is_merged = [
        bool(at) and pieces[at[0]] in merged for at, pieces in zip(found, batch["input_ids"], strict=True)
    ]
    return Encoded(
        pieces=Ragged.of(batch["input_ids"]),
        places=Ragged.of([[_two_places(at, both)] for at, both in zip(found, is_merged, strict=True)]),
        units=Ragged.of([[0]] * len(pairs)),
        labels=Ragged.of([[card.labels.index(pair.label)] for pair in pairs]),
        was_cut=was_cut(batch),
        num_missing=Ragged.of(
            [[0 if both else max(2 - len(at), 0)] for at, both in zip(found, is_merged, strict=True)]
        ),
    )


def _places_of(markers: set[int], pieces: Sequence[int]) -> list[int]:
    return [place for place, piece in enumerate(pieces) if piece in markers]


def _two_places(found: Sequence[int], is_merged: bool) -> tuple[int, int]:
    """Return the places of the first two indicators, as the released code does.

    One that stands for both, or whose partner was cut off, is read twice; without any, the first piece is.
    """
    first, second = [*found, *found, 0, 0][:2]
    return first, first if is_merged else second


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


def instance_judgements(part: Mapping[str, Any]) -> Iterator[Judgement]:
    """Yield every instance."""
    lines = zip(part["gold"], part["predicted"], part["confidence_permille"], strict=True)
    return (Judgement(permille / WHOLE, gold == predicted) for gold, predicted, permille in lines)


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
    header=lambda card: {"negative": card.negative, "labels": list(card.labels)},
    count_gold=lambda card, pairs: sum(pair.label != card.negative for pair in pairs),
    prepare=add_markers,
    cut=lambda part: {name: part[name] for name in ("num_cut", "num_missing_markers")},
    words_of=lambda card, pair: (
        word for word in pair.text.split() if not any(marker in word for marker in card.markers)
    ),
    plain_text=without_markers,
    errors=labelling_errors,
    marks=Marks(marker_faults, expected_markers),
    calibrated=(Calibrated("instances", instance_judgements),),
)
