"""From queries to predictions: one table of answers, each with its tokens and how probable they were."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy
import pyarrow
import pyarrow.compute
import torch
from torch import Tensor

from kebench.model.masked_lm import MaskedLM
from kebench.probe import beam
from kebench.probe.record import Decoder, ProbeCounts
from kebench.probe.states import Items, ModelPredict, ReleasedBatches, make_items, pieces_of
from kebench.probe.stored import SCHEMA

DECODERS: dict[str, Callable[..., beam.Beams]] = {
    "independent": beam.fill_independently,
    "order": beam.fill_in_order,
    "confidence": beam.fill_by_confidence,
}


def answer_queries(
    query_ids: Sequence[int],
    texts: Sequence[str],
    model: MaskedLM,
    tokenizer: Any,
    decoder: Decoder,
    *,
    batch_tokens: int | None = None,
) -> pyarrow.Table:
    """Return the predictions of some queries, sorted by query, number of masks and rank (docs/FORMATS.md).

    Texts that are the same word pieces are decoded once, unless answers depend on the batch. A query that no
    mask fits into has no rows; with `decoder.exact`, the released code's way, it has as many empty answers as
    the beam is wide.
    """
    pieces = pieces_of(texts, tokenizer, cut_at=decoder.max_tokens if decoder.exact else None)
    # Each text once; where answers depend on the batch, as often as it is asked.
    asked = [found and (found, place * model.depends_on_batch) for place, found in enumerate(pieces)]
    place_of = {one: place for place, one in enumerate(dict.fromkeys(one for one in asked if one))}
    items = make_items(
        [found for found, _ in place_of],
        max_masks=decoder.max_masks,
        max_tokens=min(decoder.max_tokens, tokenizer.model_max_length),
        mask_id=tokenizer.mask_token_id,
        cut=decoder.exact,
        device=model.device,
    )
    kind = ReleasedBatches if model.depends_on_batch else ModelPredict
    predict = kind(
        model,
        items,
        num_best=decoder.beam if decoder.exact else 2 * decoder.beam,
        banned=() if decoder.special_tokens else tokenizer.all_special_ids,
        batch_tokens=batch_tokens,
    )
    with torch.inference_mode():
        beams = decode(predict, items.num_places_N, decoder)
    # All queries of a text get its answers, which are told by its place; -1 is that of a text without a mask.
    empty = {"query_id": -1, "num_masks": 1, "tokens": [], "order": [], "token_log_probs": []}
    empty["sum_log_prob"] = 0.0
    nothing = [empty | {"rank": rank} for rank in range(decoder.beam if decoder.exact else 0)]
    tables = [pyarrow.Table.from_pylist(nothing, schema=SCHEMA), _rows(items, beams)]
    answers = pyarrow.concat_tables(tables).combine_chunks()
    places = [place_of[one] if one else -1 for one in asked]
    starts, ends = (numpy.searchsorted(answers["query_id"], places, side) for side in ("left", "right"))
    rows = [row for start, end in zip(starts, ends, strict=True) for row in range(start, end)]
    ids = numpy.repeat(numpy.array(query_ids, dtype=numpy.int32), ends - starts)
    taken = answers.take(pyarrow.array(rows, pyarrow.int64()))
    return taken.set_column(0, "query_id", pyarrow.array(ids))


def decode(predict: beam.Predict, num_places_N: Tensor, settings: Decoder) -> beam.Beams:
    """Fill the places of every item; the beams of each come best first."""
    rules = beam.Rules(slots=settings.slots, duplicates=settings.duplicates, exact=settings.exact)
    beams = DECODERS[settings.method](predict, num_places_N, beam=settings.beam, rules=rules)
    if settings.refine:
        beams = beam.refine(predict, beams, rounds=settings.refine, rules=rules)
    return beams


def _rows(items: Items, beams: beam.Beams) -> pyarrow.Table:
    """Return a row a kept state; `query_id` is the place of its text, and num_masks counts its items."""
    is_kept_NB = (beams.score_NB > -torch.inf).cpu().numpy()
    item_R, rank_R = numpy.nonzero(is_kept_NB)
    num_places_R = items.num_places_N.cpu().numpy()[item_R]
    offsets = pyarrow.array(numpy.concatenate([[0], numpy.cumsum(num_places_R)]), pyarrow.int32())
    is_place_RM = numpy.arange(beams.token_NBM.shape[2]) < num_places_R[:, None]

    def lists(values: Tensor, kind: pyarrow.DataType) -> pyarrow.Array:
        flat = values.cpu().numpy()[item_R, rank_R][is_place_RM]
        return pyarrow.ListArray.from_arrays(offsets, pyarrow.array(flat, kind))

    first_item = numpy.searchsorted(items.query_N, items.query_N)  # items of a query stand together
    num_masks_N = numpy.arange(len(items.query_N)) - first_item + 1
    columns = [
        pyarrow.array(items.query_N[item_R], pyarrow.int32()),
        pyarrow.array(num_masks_N[item_R], pyarrow.int8()),
        pyarrow.array(rank_R, pyarrow.int8()),
        lists(beams.token_NBM, pyarrow.int32()),
        lists(beams.step_NBM, pyarrow.int8()),
        lists(beams.log_prob_NBM, pyarrow.float32()),
        pyarrow.array(beams.score_NB.cpu().numpy()[item_R, rank_R], pyarrow.float32()),
    ]
    return pyarrow.table(columns, schema=SCHEMA)


def outcome(predictions: pyarrow.Table, texts: dict[int, str], tokenizer: Any, max_masks: int) -> ProbeCounts:
    """Count what became of queries, but for what the answers' lengths decide. texts: of all, by query_id."""
    places = pyarrow.compute.list_value_length(predictions["tokens"])
    fitted = predictions.append_column("places", places).group_by("query_id").aggregate([("places", "max")])
    most = dict(zip(fitted["query_id"].to_pylist(), fitted["places_max"].to_pylist(), strict=True))
    not_decoded = [text for query_id, text in texts.items() if not most.get(query_id)]
    unusable = pieces_of(not_decoded, tokenizer).count(None)
    decoded = len(texts) - len(not_decoded)
    return ProbeCounts(
        queries=len(texts),
        decoded=decoded,
        too_long=len(not_decoded) - unusable,
        truncated=decoded - sum(places == max_masks for places in most.values()),
        unusable=unusable,
    )
