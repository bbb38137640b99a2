"""A graph of triples by number: from a knowledge base, or from a folder of train.txt, valid.txt, test.txt.

What such a folder does not hold out, `hold_out` does.
"""

# N entities, R relations, n triples

import codecs
import io
import logging
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kebench.errors import UserError
from kebench.files import hash_of, sha256_of
from kebench.transe.batches import Triples
from kebench.umls.knowledge_base import KnowledgeBase

FILES = {"train": "train.txt", "valid": "valid.txt", "test": "test.txt"}
WORDS_OF_REASONS = {
    "unseen": "with an entity or a relation that train.txt lacks",
    "repeated": "repeated in the file",
    "in_train": "that stand in train.txt",
    "in_valid": "that stand in valid.txt",
}
# What a header calls its three columns.
_HEADERS = (
    "head subject source from h s entity1 entity_1 node1 start cui1 head_id",
    "relation predicate property edge label type r p rel rela relation_id",
    "tail object target to t o entity2 entity_2 node2 end cui2 tail_id",
)
# One of them stands in each name of another header: Head_ID, RelType, tail name.
_TITLES = (
    "head tail subject subj object obj source target entity node cui from to start end",
    "relation relationship rel rela predicate property edge label type id ids name names",
)
HEADER_WORDS = tuple(set(words.split()) for words in _HEADERS)
TITLE_WORDS = {word for words in _TITLES for word in words.split()}
_TITLE_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

_REMEDY = "expected head, relation and tail with a tab between them; mend or remove the line"

_log = logging.getLogger(__name__)


class Graph(NamedTuple):
    """Entities and relations by name, sorted; triples by their places in these, distinct and sorted.

    triples: "train", and where they were held out "valid" and "test"; (n, 3) of head, relation, tail.
    content_hash: of what the graph was read from.
    left_out: of each split, how many triples are not in `triples`, by reason: "repeated" in the file itself,
        "unseen" (train has not their entity or relation), "in_train", "in_valid".
    pairs_in_train: of each split that was held out, how many triples join two entities that a triple of
        train joins too, in either direction: their answer may follow from it.
    """

    entities: pa.StringArray
    relations: pa.StringArray
    triples: dict[str, Triples]
    content_hash: str
    left_out: dict[str, dict[str, int]]
    pairs_in_train: dict[str, int]

    @property
    def held_out(self) -> dict[str, Triples]:
        """The splits that are not trained on."""
        return {split: triples for split, triples in self.triples.items() if split != "train"}


def read_graph(source: Path) -> Graph:
    """Read a knowledge base, or a folder with train.txt. Raises UserError if `source` is neither."""
    if (source / "kb.json").is_file():
        base = KnowledgeBase.open(source)
        found = base.indexed_triples()
        if not len(found.triples):
            raise UserError(f"{source}: a knowledge base without triples; import one that has relations")
        return Graph(found.entities, found.relations, {"train": found.triples}, base.content_hash, {}, {})
    if (source / FILES["train"]).is_file():
        return _from_folder(source)
    what = "is no folder" if not source.is_dir() else "holds neither kb.json nor train.txt"
    raise UserError(
        f"{source}: {what}; name a knowledge base (kebench kb import) or a folder of triples "
        "(train.txt, valid.txt, test.txt)"
    )


def without_held_out(graph: Graph) -> Graph:
    """Return the graph with all its triples to train on."""
    if not graph.held_out:
        return graph
    together = np.unique(np.concatenate(list(graph.triples.values())), axis=0)
    lost = {
        split: {"unseen": counts["unseen"]} for split, counts in graph.left_out.items() if "unseen" in counts
    }
    return graph._replace(triples={"train": together}, left_out=lost, pairs_in_train={})


def hold_out(graph: Graph, *, share: float, seed: int) -> Graph:
    """Return the graph with about `share` of the pairs of entities held out as "test".

    A UMLS release states each fact twice, as A r B and as B r' A, and often once more from another source. So
    that no triple can be guessed from its inverse, what is held out is a pair of entities, with every triple
    between the two, whatever its direction. Whether a pair is held out follows from a hash of seed and names
    alone: more triples move no other pair.

    Each entity and relation of a held-out triple also occurs in a triple that is trained on; pairs for
    which that fails are trained on too. Raises UserError if nothing is left to hold out.
    """
    import pandas as pd  # half a second, which who asks for help need not wait for

    triples = graph.triples["train"]
    head_n, relation_n, tail_n = triples.T
    name_N = pd.util.hash_array(graph.entities.to_numpy(zero_copy_only=False), categorize=False)
    sum_n = name_N[head_n] + name_N[tail_n]  # wraps around, and does not see the order
    pair_n = pd.util.hash_array(sum_n ^ np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    is_held_n = pair_n < np.uint64(int(share * 2**64))
    # A triple is trained on, with its whole pair, if one of its parts occurs in no other that is.
    entity_is_seen_N, relation_is_seen_R = (
        np.zeros(len(names), bool) for names in (graph.entities, graph.relations)
    )
    entity_is_seen_N[triples[~is_held_n][:, [0, 2]]] = True
    relation_is_seen_R[relation_n[~is_held_n]] = True
    is_seen_n = entity_is_seen_N[head_n] & relation_is_seen_R[relation_n] & entity_is_seen_N[tail_n]
    is_held_n &= ~np.isin(pair_n, pair_n[is_held_n & ~is_seen_n])
    if not is_held_n.any():
        raise UserError(
            f"no pair of entities can be held out of {len(triples)} triples at held_out_share = {share:g}; "
            "raise it in the recipe, or leave out --evaluate"
        )
    parted = {"train": triples[~is_held_n], "test": triples[is_held_n]}
    return graph._replace(triples=parted, pairs_in_train={"test": 0})


def describe_left_out(counts: dict[str, int]) -> str:
    """Return the counts of `Graph.left_out` of one split in words."""
    return ", ".join(f"{number:,} {WORDS_OF_REASONS[reason]}" for reason, number in counts.items())


def _from_folder(folder: Path) -> Graph:
    """Read the splits. Each triple counts once, in the first of train, valid and test that has it."""
    paths = {split: folder / name for split, name in FILES.items() if (folder / name).is_file()}
    files = {split: _read_file(path) for split, path in paths.items()}
    trained = files["train"][0]
    _refuse_tails_between(trained, paths["train"])
    if len(trained) > 1 and _is_lone(trained):
        _log.warning(
            "%s line 1: no other line has a name of %r; if it is a header, remove it",
            paths["train"], _first_line(trained),
        )  # fmt: skip
    entities, relations = _sorted_names(trained["h"], trained["t"]), _sorted_names(trained["r"])
    _warn_of_near_doubles(paths["train"], entities=entities, relations=relations)
    content: dict[str, str] = {split: sha256_of(path) for split, path in paths.items()}
    if any(is_stripped for _, is_stripped in files.values()):
        content["read"] = "stripped"
    triples: dict[str, Triples] = {}
    left_out: dict[str, dict[str, int]] = {}
    pairs_in_train: dict[str, int] = {}
    for split, (columns, _) in files.items():
        known = _number(columns, entities, relations, paths[split])
        distinct = np.unique(known, axis=0)
        counts = {"unseen": len(columns) - len(known), "repeated": len(known) - len(distinct)}
        for earlier, those in triples.items():
            key, keys = (
                (of[:, 1].astype(np.int64) * len(entities) + of[:, 0]) * len(entities) + of[:, 2]
                for of in (distinct, those)
            )
            is_there = np.isin(key, keys)
            counts[f"in_{earlier}"] = int(is_there.sum())
            distinct = distinct[~is_there]
        triples[split] = distinct
        left_out[split] = {reason: number for reason, number in counts.items() if number}
        if split != "train":  # whichever direction they have
            pair, trained = (np.sort(of[:, [0, 2]].astype(np.int64)) for of in (distinct, triples["train"]))
            is_joined = np.isin(pair[:, 0] << 32 | pair[:, 1], trained[:, 0] << 32 | trained[:, 1])
            pairs_in_train[split] = int(is_joined.sum())
    left_out = {split: counts for split, counts in left_out.items() if counts}
    return Graph(entities, relations, triples, hash_of(content), left_out, pairs_in_train)


def _read_file(path: Path) -> tuple[pa.Table, bool]:
    """Return the rows of a file, and whether blanks, or a byte order mark, were taken off."""
    content = path.read_bytes()
    text = content.removeprefix(codecs.BOM_UTF8)
    is_stripped = len(text) < len(content)
    rows: list[tuple[str, ...]] = []
    first_empty = 0  # lines at the end of a file may be empty
    for number, line in enumerate(io.BytesIO(text), start=1):
        if not line.strip(b" \r\n"):
            first_empty = first_empty or number
            continue
        if first_empty:
            raise UserError(f"{path} line {first_empty}: an empty line; {_REMEDY}")
        try:
            fields = tuple(line.decode("utf-8").rstrip("\r\n").split("\t"))
        except UnicodeDecodeError as error:
            raise UserError(f"{path} line {number}: not UTF-8 ({error.reason}); mend the line") from None
        stripped = tuple(field.strip() for field in fields)
        if len(fields) != 3 or not all(stripped):
            if not any(stripped):
                fault = "an empty line"
            elif len(fields) == 1:
                fault = f"no tab in {stripped[0]!r}"
            elif len(fields) == 3:
                fault = f"an empty {('head', 'relation', 'tail')[stripped.index('')]}"
            else:
                fault = f"{len(fields)} columns" + (", the last of them empty" if not stripped[-1] else "")
            raise UserError(f"{path} line {number}: {fault}; {_REMEDY}")
        is_stripped |= stripped != fields
        rows.append(stripped)
    if not rows:
        raise UserError(f"{path}: no triples; fill the file or remove it")
    columns = pa.table([pa.array(column, pa.string()) for column in zip(*rows, strict=True)], list("hrt"))
    _refuse_header(columns, path)
    return columns, is_stripped


def _refuse_header(columns: pa.Table, path: Path) -> None:
    first = [column[0].as_py() for column in columns.columns]
    is_title = all(name.lower() in words for name, words in zip(first, HEADER_WORDS, strict=True))
    if is_title and pc.sum(pc.equal(columns["r"], first[1])).as_py() == 1:
        raise UserError(f"{path} line 1: {_first_line(columns)!r} is a header, not a triple; remove the line")
    words = [{word.lower() for word in _TITLE_WORD.findall(name)} for name in first]
    if all(of & TITLE_WORDS for of in words) and _is_lone(columns):
        raise UserError(
            f"{path} line 1: {_first_line(columns)!r} looks like a header (no other line has one of its "
            "names); remove the line, or move it down if it is a triple"
        )


def _first_line(columns: pa.Table) -> str:
    return " ".join(column[0].as_py() for column in columns.columns)


def _is_lone(columns: pa.Table) -> bool:
    """Say whether no other line has a name of the first one, as with column titles."""
    rest = columns.slice(1)
    places = (("h", "ht"), ("r", "r"), ("t", "ht"))
    return not any(
        pc.any(pc.equal(rest[name], columns[part][0])).as_py() for part, names in places for name in names
    )


def _refuse_tails_between(columns: pa.Table, path: Path) -> None:
    """Refuse files in the order head, tail, relation, which train and rank without a complaint."""
    head, second, third = map(pc.unique, columns.columns)
    num_second, num_third = (pc.sum(pc.is_in(of, value_set=head)).as_py() for of in (second, third))
    if num_second > num_third and len(second) > len(third):
        raise UserError(
            f"{path}: of {len(second)} names in the second column {num_second} are heads too, of "
            f"{len(third)} in the third {num_third}: it looks like head, tail, relation; "
            "write head, relation, tail"
        )


def _warn_of_near_doubles(path: Path, **names: pa.StringArray) -> None:
    """Say which names differ in nothing but case, blanks or the way that a sign is encoded."""
    for what, of in names.items():
        folded = pc.utf8_normalize(pc.utf8_lower(of), form="NFKC")
        folded = pc.replace_substring_regex(folded, pattern=r"\s+", replacement=" ").to_pandas()
        doubles = folded.duplicated(keep=False)
        if doubles.any():
            alike = folded[doubles]
            pair = of.take(np.flatnonzero(folded == alike.iloc[0])[:2]).to_pylist()
            _log.warning(
                "%s: %d %s differ from another only in case, blanks or encoding, such as %r and %r; "
                "they count as different",
                path, len(alike), what, *pair,
            )  # fmt: skip


def _sorted_names(*columns: pa.ChunkedArray) -> pa.StringArray:
    chunks = [chunk for column in columns for chunk in column.chunks]
    names = pc.unique(pa.chunked_array(chunks))
    return names.take(pc.array_sort_indices(names))


def _number(table: pa.Table, entities: pa.StringArray, relations: pa.StringArray, path: Path) -> Triples:
    columns = zip(table.columns, (entities, relations, entities), strict=True)
    places = [pc.fill_null(pc.index_in(column, names), -1).to_numpy() for column, names in columns]
    triples = np.stack(places, axis=1).astype(np.int32)
    is_known = (triples >= 0).all(axis=1)
    if not is_known.any():
        raise UserError(
            f"{path}: train.txt lacks an entity or the relation of every triple; mend one of them"
        )
    if not is_known.all():
        first = int(np.flatnonzero(~is_known)[0])
        _log.warning(
            "%s: %d of %d triples left out, the first in line %d: train.txt lacks their entity or relation",
            path, (~is_known).sum(), len(triples), first + 1,
        )  # fmt: skip
    known: Triples = triples[is_known]
    return known
