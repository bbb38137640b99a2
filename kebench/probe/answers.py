"""From queries to predictions: one table of answers, each with its tokens and how probable they were."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
import pyarrow
import pyarrow.compute
import torch

from kebench.model.masked_lm import MaskedLM
from kebench.probe.beam import Beams
from kebench.probe.decoders import decode
from kebench.probe.record import Decoder
from kebench.probe.states import Items, ModelPredict, Pieces, ReleasedBatches, make_items, pieces_of
from kebench.probe.stored import SCHEMA


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
    distinct: list[Pieces] = []
    place_of: dict[Pieces, int] = {}
    places: list[int | None] = []  # of each query's text among the distinct ones
    for found in pieces:
        if found is None:
            places.append(None)
            continue
        if found not in place_of or model.depends_on_batch:
            place_of[found] = len(distinct)
            distinct.append(found)
        places.append(place_of[found])
    items = make_items(
        distinct,
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
    return _by_query(query_ids, places, _rows(items, beams), empty=decoder.beam if decoder.exact else 0)


def _rows(items: Items, beams: Beams) -> pyarrow.Table:
    """Return a row a kept state; `query_id` is the place of its text, and num_masks counts its items."""
    is_kept_NB = (beams.score_NB > -torch.inf).cpu().numpy()
    item_R, rank_R = numpy.nonzero(is_kept_NB)
    num_places_R = items.num_places_N.cpu().numpy()[item_R]
    offsets = pyarrow.array(numpy.concatenate([[0], numpy.cumsum(num_places_R)]), pyarrow.int32())
    is_place_RM = numpy.arange(beams.token_NBM.shape[2]) < num_places_R[:, None]

    def lists(values: torch.Tensor, kind: pyarrow.DataType) -> pyarrow.Array:
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


def _by_query(
    query_ids: Sequence[int], places: Sequence[int | None], answers: pyarrow.Table, *, empty: int
) -> pyarrow.Table:
    """Return the rows of each query's text, told by its place, under the query's id."""
    place_T = answers["query_id"].to_numpy()
    nothing = pyarrow.Table.from_pylist(
        [
            {"query_id": 0, "num_masks": 1, "rank": rank, "tokens": [], "order": [], "token_log_probs": []}
            | {"sum_log_prob": 0.0}
            for rank in range(empty)
        ],
        schema=SCHEMA,
    )
    tables = []
    for query_id, place in zip(query_ids, places, strict=True):
        if place is None:
            rows = nothing
        else:
            start, end = numpy.searchsorted(place_T, [place, place + 1])
            rows = answers.slice(start, end - start)
        same = pyarrow.array(numpy.full(len(rows), query_id), pyarrow.int32())
        tables.append(rows.set_column(0, "query_id", same))
    return pyarrow.concat_tables(tables).combine_chunks() if tables else SCHEMA.empty_table()


class Outcome(NamedTuple):
    """How many queries were decoded, were not for want of room or of one mask token, or with fewer masks."""

    decoded: int
    too_long: int
    unusable: int
    truncated: int


def outcome(predictions: pyarrow.Table, texts: dict[int, str], tokenizer: Any, max_masks: int) -> Outcome:
    """Count what became of queries. texts: by query_id, of all that were asked."""
    places = pyarrow.compute.list_value_length(predictions["tokens"])
    fitted = predictions.append_column("places", places).group_by("query_id").aggregate([("places", "max")])
    most = dict(zip(fitted["query_id"].to_pylist(), fitted["places_max"].to_pylist(), strict=True))
    not_decoded = [text for query_id, text in texts.items() if not most.get(query_id)]
    unusable = pieces_of(not_decoded, tokenizer).count(None)
    decoded = len(texts) - len(not_decoded)
    truncated = decoded - sum(places == max_masks for places in most.values())
    return Outcome(decoded, len(not_decoded) - unusable, unusable, truncated)
