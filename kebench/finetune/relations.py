"""Relations as one decision on two entity indicators (KeBioLM, section 4.3).

The indicators (@GENE$, @CHEMICAL$ ...) are words of the vocabulary, named by the task card; the
states at the first two of a text are concatenated. A merged indicator (@CHEM-GENE$) stands for
both. Where the cut text lacks one, the other's state is read twice; where it lacks both, the first
piece's; either is counted.
"""

from collections.abc import Sequence
from typing import Any

from kebench.finetune.encode import Encoded, Ragged, was_cut
from kebench.finetune.loop import Answer
from kebench.tasks.card import TaskCard
from kebench.tasks.readers import Pair


def add_markers(tokenizer: Any, card: TaskCard) -> None:
    """Make each indicator one word piece, in the card's order, so that ids never shift between splits."""
    from tokenizers import AddedToken

    # Without lstrip, byte-level BPE would leave a lone blank before each indicator.
    tokenizer.add_tokens([AddedToken(marker, normalized=False, lstrip=True) for marker in card.markers])


def encode_pairs(tokenizer: Any, pairs: Sequence[Pair], *, card: TaskCard, max_length: int) -> Encoded:
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
    pairs: Sequence[Pair], encoded: Encoded, answers: Sequence[Answer], *, card: TaskCard
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
