"""Relations as one decision on two entity indicators (KeBioLM, section 4.3).

The indicators (@GENE$, @CHEMICAL$ ...) are words of the vocabulary, named by the task card; the
states at the first two of a text are concatenated. A merged indicator (@CHEM-GENE$) stands for
both. Where the cut text lacks one, the first token's state stands in, and it is counted.
"""

from collections.abc import Sequence
from typing import Any

from kebench.finetune.encode import Encoded, Ints, Ragged, was_cut
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
    places = [_two_places(pieces, set(ids.values()), merged) for pieces in batch["input_ids"]]
    return Encoded(
        pieces=Ragged.of(batch["input_ids"]),
        places=Ragged.of([[both] for both in places]),
        units=Ragged.of([[0]] * len(pairs)),
        labels=Ragged.of([[card.labels.index(pair.label)] for pair in pairs]),
        was_cut=was_cut(batch),
    )


def _two_places(pieces: Sequence[int], markers: set[int], merged: set[int]) -> tuple[int, int]:
    """Return the places of the first two indicators; 0, which no indicator can have, where one is missing."""
    found = [place for place, piece in enumerate(pieces) if piece in markers]
    if found and pieces[found[0]] in merged:
        return found[0], found[0]
    first, second = [*found, 0, 0][:2]
    return first, second


def predicted_split(
    pairs: Sequence[Pair], encoded: Encoded, decisions: Sequence[Ints], *, card: TaskCard
) -> dict[str, Any]:
    """Return what is stored of one split: ids, gold and predicted labels, what was cut; never text."""
    return {
        "ids": [pair.id for pair in pairs],
        "gold": [pair.label for pair in pairs],
        "predicted": [card.labels[int(labels[0])] for labels in decisions],
        "num_cut": int(encoded.was_cut.values.sum()),
        "num_missing_markers": int((encoded.places.values == 0).sum()),
    }
