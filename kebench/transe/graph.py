"""A graph of triples by number: from a knowledge base, or from a folder of train.txt, valid.txt, test.txt."""

# N entities, R relations

import logging
from collections.abc import Iterator
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

_log = logging.getLogger(__name__)


class Graph(NamedTuple):
    """Entities and relations by name, sorted; triples by their places in these, distinct and sorted.

    triples: "train", and where they were held out "valid" and "test"; (n, 3) of head, relation, tail.
    content_hash: of what the graph was read from.
    """

    entities: pa.StringArray
    relations: pa.StringArray
    triples: dict[str, Triples]
    content_hash: str

    @property
    def held_out(self) -> dict[str, Triples]:
        """The splits that are not trained on."""
        return {split: triples for split, triples in self.triples.items() if split != "train"}


def read_graph(source: Path) -> Graph:
    """Read a knowledge base, or a folder with train.txt. Raises UserError if `source` is neither."""
    if (source / "kb.json").is_file():
        return _from_knowledge_base(source)
    if (source / FILES["train"]).is_file():
        return _from_folder(source)
    what = "is no folder" if not source.is_dir() else "holds neither kb.json nor train.txt"
    raise UserError(
        f"{source}: {what}; name a knowledge base (kebench kb import) or a folder of triples "
        "(train.txt, valid.txt, test.txt)"
    )


def without_held_out(graph: Graph) -> Graph:
    """Return the graph with all its triples to train on."""
    together = np.unique(np.concatenate(list(graph.triples.values())), axis=0)
    return graph._replace(triples={"train": together}) if graph.held_out else graph


def _from_knowledge_base(source: Path) -> Graph:
    base = KnowledgeBase.open(source)
    indexed = base.indexed_triples()
    if not len(indexed.triples):
        raise UserError(f"{source}: a knowledge base without triples; import one that has relations")
    return Graph(indexed.entities, indexed.relations, {"train": indexed.triples}, base.content_hash)


def _from_folder(folder: Path) -> Graph:
    """Read the splits. Held-out triples of entities or relations that train lacks are left out, and said."""
    paths = {split: folder / name for split, name in FILES.items() if (folder / name).is_file()}
    columns = {split: _read_columns(path) for split, path in paths.items()}
    heads, names, tails = columns["train"].columns
    entities, relations = _sorted_names(heads, tails), _sorted_names(names)
    triples = {split: _number(table, entities, relations, paths[split]) for split, table in columns.items()}
    content = {split: sha256_of(path) for split, path in paths.items()}
    return Graph(entities, relations, triples, hash_of(content))


def _read_columns(path: Path) -> pa.Table:
    rows = list(_read_lines(path))
    if not rows:
        raise UserError(f"{path}: no triples; fill the file or remove it")
    return pa.table([pa.array(column, pa.string()) for column in zip(*rows, strict=True)], list("hrt"))


def _read_lines(path: Path) -> Iterator[tuple[str, ...]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                fields = tuple(line.decode("utf-8").rstrip("\r\n").split("\t"))
            except UnicodeDecodeError as error:
                raise UserError(f"{path} line {number}: not UTF-8 ({error.reason}); mend the line") from None
            if len(fields) != 3 or not all(fields):
                raise UserError(
                    f"{path} line {number}: {sum(map(bool, fields))} fields, expected 3 "
                    "(head, relation, tail) with a tab between them; mend or remove the line"
                )
            yield fields


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
    distinct: Triples = np.unique(triples[is_known], axis=0)
    return distinct
