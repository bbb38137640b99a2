"""What became of each query of a probe: where the right answer stands, why it is missing, what stands first.

By the fixed rule; answers of all lengths compete by mean log probability, as Acc@k and MRR rank them.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import Tokenizer

from kebench.probe.candidates import judge, shortest_names
from kebench.probe.forms import match_keys
from kebench.probe.scores import QUERIES_AT_ONCE
from kebench.scoring.cloze_ranks import in_order, ranks

# What may become of a query, the best first; each query is one of these.
KINDS = ("first", "near", "far", "missed", "length", "undecoded", "unanswerable")
# What a wrong first answer may be.
WRONG = ("right type", "other type", "unknown")

Known = Mapping[str, set[str]]


class Outcome(NamedTuple):
    """What became of one query.

    kind: of KINDS. The right answer stands first, within the best k (near) or below them (far); it is in no
    beam (missed); every accepted name has more word pieces than masks were tried (length); the query was not
    decoded, or accepts nothing.
    num_pieces, num_words: of the shortest accepted name by either count; 0 where nothing is accepted.
    wrong: of WRONG, where the first answer is wrong; else empty.
    """

    relation: str
    kind: str
    num_pieces: int
    num_words: int
    wrong: str


def known_concepts(queries: pa.Table, tokenizer: Tokenizer) -> dict[str, set[str]]:
    """Return the semantic types of the names that queries accept, by match key. tokenizer: the model's."""
    types: dict[str, set[str]] = {}
    for answers in queries["answers"].to_pylist():
        for answer in answers:
            for name in answer["names"]:
                types.setdefault(name, set()).update(answer["semantic_types"] or ())
    known: dict[str, set[str]] = {}
    for name, key in zip(types, match_keys(types, tokenizer), strict=True):
        known.setdefault(key, set()).update(types[name])
    known.pop("", None)
    return known


def outcomes(
    queries: pa.Table, predictions: pa.Table, tokenizer: Tokenizer, *, known: Known, k: int
) -> Iterator[Outcome]:
    """Yield what became of each query, in order; a block of queries at a time.

    predictions: of these queries, in any order. known: as `known_concepts` returns it. k: how many are near.
    """
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        block = queries.slice(start, QUERIES_AT_ONCE)
        of_block = predictions.filter(pc.is_in(predictions["query_id"], block["query_id"].combine_chunks()))
        judged = judge(block, of_block, tokenizer)
        candidates = judged.candidates
        found = ranks(candidates, num_queries=len(block), normalised=True).tolist()
        most_masks = np.zeros(len(block), dtype=np.int64)
        np.maximum.at(most_masks, candidates.query, candidates.num_masks)
        ordered = in_order(candidates, normalised=True)
        answered, at = np.unique(candidates.query[ordered], return_index=True)
        firsts = [judged.strings[sequence] for sequence in candidates.sequence[ordered[at]]]
        keys = dict(zip(answered.tolist(), match_keys(firsts, tokenizer), strict=True))
        pieces = shortest_names(block, tokenizer).tolist()
        for place, row in enumerate(block.select(["relation", "answers"]).to_pylist()):
            if rank := found[place]:
                kind = "first" if rank == 1 else "near" if rank <= k else "far"
            elif not pieces[place]:
                kind = "unanswerable"
            elif place not in keys:
                kind = "undecoded"
            else:
                kind = "length" if pieces[place] > most_masks[place] else "missed"
            wrong = ""
            if place in keys and kind not in ("first", "unanswerable"):
                wanted = {one for answer in row["answers"] for one in answer["semantic_types"] or ()}
                types = known.get(keys[place])  # of the concepts that the first answer names
                wrong = "unknown" if types is None else "right type" if types & wanted else "other type"
            names = (name for answer in row["answers"] for name in answer["names"] if name)
            num_words = min((len(name.split()) for name in names), default=0)
            yield Outcome(row["relation"], kind, pieces[place], num_words, wrong)
