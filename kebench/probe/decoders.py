"""The decoders of a probe: what is asked of a model, step by step, and how the answers are kept.

`probing/decoders.toml` holds the settings of each mode; every one of them can move an answer, so all are part
of a probe's identity. `kebench.probe.record.Decoder` says what each means.
"""

import tomllib
from collections.abc import Callable

from pydantic import ValidationError
from torch import Tensor

from kebench.errors import UserError, first_fault
from kebench.probe.beam import (
    Beams,
    Predict,
    Rules,
    fill_by_confidence,
    fill_in_order,
    fill_independently,
    refine,
)
from kebench.probe.record import Decoder, DecoderMode
from kebench.shipped import shipped

DECODERS: dict[str, Callable[..., Beams]] = {
    "independent": fill_independently,
    "order": fill_in_order,
    "confidence": fill_by_confidence,
}


def read_decoder(mode: DecoderMode, **changes: object) -> Decoder:
    """Return the settings of a mode, with single values replaced by those of `changes` that are not None."""
    path = shipped("probing") / "decoders.toml"
    fields = tomllib.loads(path.read_text(encoding="utf-8"))[mode]
    try:
        return Decoder.model_validate(fields | {k: v for k, v in changes.items() if v is not None})
    except ValidationError as error:
        fault = first_fault(error, whole="the decoder", shows_value=True)
        raise UserError(f"decoder: {fault}; choose another value") from None


def decode(predict: Predict, num_places_N: Tensor, settings: Decoder) -> Beams:
    """Fill the places of every item; the beams of each come best first."""
    rules = Rules(slots=settings.slots, duplicates=settings.duplicates, exact=settings.exact)
    beams = DECODERS[settings.method](predict, num_places_N, beam=settings.beam, rules=rules)
    if settings.refine:
        beams = refine(predict, beams, rounds=settings.refine, rules=rules)
    return beams
