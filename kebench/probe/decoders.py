"""The decoders of a probe: what is asked of a model, step by step, and how the answers are kept.

`probing/decoders.toml` holds the settings of each mode; every one of them can move an answer, so all are part
of a probe's identity.
"""

import tomllib
from collections.abc import Callable
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError
from torch import Tensor

from kebench.cards import Card
from kebench.errors import UserError
from kebench.probe.beam import (
    Beams,
    Predict,
    Rules,
    fill_by_confidence,
    fill_in_order,
    fill_independently,
    refine,
)
from kebench.shipped import shipped

Decoder = Callable[..., Beams]
DECODERS: dict[str, Decoder] = {
    "independent": fill_independently,
    "order": fill_in_order,
    "confidence": fill_by_confidence,
}
MODES = ("fixed", "released")


class DecoderSettings(Card):
    """What decides the answers, besides the model and the queries.

    method: which open place is filled next. beam: states kept for each query and number of masks.
    max_masks: every number of masks from 1 to this is decoded.
    max_tokens: longest text in word pieces, special ones included; the released code cuts at it.
    refine: most rounds of predicting the least probable token anew; 0 is none.
    slots, duplicates, exact: the rules of `kebench.probe.beam`.
    special_tokens: whether a special token ([SEP], [UNK]) may fill a place.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["independent", "order", "confidence"]
    beam: int = Field(ge=1, le=100)
    max_masks: int = Field(ge=1, le=50)
    max_tokens: int = Field(ge=8)
    refine: int = Field(ge=0)
    slots: bool
    duplicates: bool
    exact: bool
    special_tokens: bool

    @property
    def rules(self) -> Rules:
        """The rules by which states are picked."""
        return Rules(slots=self.slots, duplicates=self.duplicates, exact=self.exact)


def read_decoder(mode: str, **changes: Any) -> DecoderSettings:
    """Return the settings of a mode, with single values replaced by those of `changes` that are not None."""
    path = shipped("probing") / "decoders.toml"
    fields = tomllib.loads(path.read_text(encoding="utf-8"))[mode]
    try:
        return DecoderSettings.model_validate(fields | {k: v for k, v in changes.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"decoder: {first['loc'][0]} = {first['input']!r}: {first['msg']}; choose another value"
        ) from None


def decode(predict: Predict, num_places_N: Tensor, settings: DecoderSettings) -> Beams:
    """Fill the places of every item; the beams of each come best first."""
    decoder = DECODERS[settings.method]
    beams = decoder(predict, num_places_N, beam=settings.beam, rules=settings.rules)
    if settings.refine:
        beams = refine(predict, beams, rounds=settings.refine, rules=settings.rules)
    return beams
