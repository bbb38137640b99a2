"""The card of a pretrained checkpoint: what made it, and of what."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from kebench.cards import Part, read_json_as
from kebench.pretrain.recipe import Pretraining
from kebench.records import Provenance

CARD = "pretraining.json"


class PretrainingCard(Part):
    """What pretraining.json says of a checkpoint.

    identity: hash of all that decides the weights. backbone, corpus, embeddings: names and hashes.
    sequences: of each split, and what of the corpus was not used.
    drawn: parameters that the backbone lacked; unused: those of it that have no place.
    drawn_entities: of how many entities the vectors were drawn.
    held_out: the last scores on held-out text. resumed_after_step: 0 if one process made it all.
    """

    schema_version: Literal[1] = Field(1, alias="schema")
    identity: str
    recipe: str
    settings: Pretraining
    backbone: dict[str, str]
    corpus: dict[str, str]
    embeddings: dict[str, str] | None
    sequences: dict[str, dict[str, int]]
    drawn: tuple[str, ...]
    unused: tuple[str, ...]
    num_entities: int
    drawn_entities: int
    steps: int
    held_out: dict[str, float]
    resumed_after_step: int
    provenance: Provenance


def read_card(folder: Path) -> PretrainingCard:
    """Read pretraining.json. Raises UserError if it is missing or not one of ours."""
    unreadable = "cannot be read ({}); name a folder made by 'kebench pretrain'"
    return read_json_as(folder / CARD, PretrainingCard, refused="{}; pretrain again", unreadable=unreadable)
