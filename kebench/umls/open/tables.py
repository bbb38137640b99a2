"""Vocabularies -> MRCONSO.parquet, MRREL.parquet and MRSTY.parquet, as a UMLS release would have them.

Rows are in the order of CUIs. Names: the preferred one of a concept first. TS is P for names with the
concept's preferred LUI; one LUI for all names that differ in case only. TTY as UMLS gives it to the source.
Relations: each fact in both directions, with inverse names; DIR is Y where the source states it so.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pyarrow
import pyarrow.parquet

from kebench.umls.open.ids import code_of, namespace_of, prefix_of, rank_of, source_of
from kebench.umls.open.relations import broad_relation, inverse_of
from kebench.umls.open.resolve import Facts
from kebench.umls.open.semantic_types import semantic_types
from kebench.umls.open.terms import Term, Vocabulary
from kebench.umls.open.unify import Unified
from kebench.umls.rrf import CONSO_COLUMNS, REL_COLUMNS, STY_COLUMNS

ROWS_PER_BATCH = 250_000  # ours; a batch of names is some 60 MB while it is made


class TermTypes(NamedTuple):
    """TTY of a source's names. near: broader, narrower and related names."""

    name: str = "PT"
    synonym: str = "SY"
    near: str = "ET"
    obsolete_name: str = "OP"
    obsolete_synonym: str = "IS"


MESH_HEADING = TermTypes("MH", "ET")
MESH_SUPPLEMENTARY = TermTypes("NM")
OTHERS = TermTypes()


def write_tables(
    vocabularies: Sequence[Vocabulary], unified: Unified, facts: Sequence[Facts], into: Path
) -> None:
    """Write the three tables into a folder."""
    members: dict[str, list[Term]] = defaultdict(list)
    for term_id, cui in unified.cui_of.items():
        members[cui].append(unified.terms[term_id])
    cuis = sorted(members)
    for terms in members.values():
        terms.sort(key=lambda term: (term.is_obsolete, rank_of(term.id), term.id))
    _write(into / "MRCONSO.parquet", CONSO_COLUMNS, _name_batches(cuis, members))
    _write(into / "MRSTY.parquet", STY_COLUMNS, _type_batches(cuis, members))
    del members
    names = [vocabulary.name for vocabulary in vocabularies]
    _write(into / "MRREL.parquet", REL_COLUMNS, _relation_batches(cuis, names, facts))


def _write(path: Path, columns: Sequence[str], batches: Iterable[dict[str, Any]]) -> None:
    """Write a Parquet file of strings; a column that no batch has is empty throughout."""
    text = pyarrow.string()
    schema = pyarrow.schema([(name, text) for name in columns])
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            num_rows = len(batch[columns[0]])
            arrays = []
            for values in (batch.get(name, "") for name in columns):  # Arrow, a list, or one for all rows
                if isinstance(values, str):
                    values = pyarrow.repeat(pyarrow.scalar(values, text), num_rows)
                arrays.append(values if isinstance(values, pyarrow.Array) else pyarrow.array(values, text))
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


# --- names ---


def names_of(terms: Iterable[Term]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield (source, term type, code, name, suppress) of a concept's terms, each name of a code once."""
    for term in terms:
        source, code = source_of(prefix_of(term.id)), code_of(term.id)
        suppress = "O" if term.is_obsolete else "N"
        kinds = OTHERS
        if source == "MSH":
            kinds = MESH_SUPPLEMENTARY if code.startswith("C") else MESH_HEADING
        yield source, kinds.obsolete_name if term.is_obsolete else kinds.name, code, term.name, suppress
        seen = {term.name}
        for synonym in term.synonyms:
            if synonym.name not in seen:
                seen.add(synonym.name)
                kind = kinds.near if synonym.scope in ("BROAD", "NARROW", "RELATED") else kinds.synonym
                kind = kinds.obsolete_synonym if term.is_obsolete else kind
                yield source, kind, code, synonym.name, suppress


def _name_batches(cuis: Sequence[str], members: dict[str, list[Term]]) -> Iterator[dict[str, Any]]:
    lexical: dict[str, int] = {}
    strings: dict[str, int] = {}
    columns = ("CUI", "TS", "LUI", "SUI", "AUI", "SAB", "TTY", "CODE", "STR", "SUPPRESS")
    constant = {"LAT": "ENG", "STT": "PF", "ISPREF": "Y", "SRL": "0"}
    rows: list[tuple[str, ...]] = []
    written = 0
    for cui in cuis:
        preferred = -1
        for source, kind, code, name, suppress in names_of(members[cui]):
            word = lexical.setdefault(name.lower(), len(lexical) + 1)
            string = strings.setdefault(name, len(strings) + 1)
            preferred = word if preferred < 0 else preferred
            status = "P" if word == preferred else "S"
            numbers = (f"L{word:07d}", f"S{string:07d}", f"A{written + len(rows) + 1:08d}")
            rows.append((cui, status, *numbers, source, kind, code, name, suppress))
        if len(rows) >= ROWS_PER_BATCH:
            yield {**constant, **_columns(columns, rows)}
            written += len(rows)
            rows = []
    yield {**constant, **_columns(columns, rows)}


def _columns(names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> dict[str, list[str]]:
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


# --- semantic types ---


def _type_batches(cuis: Sequence[str], members: dict[str, list[Term]]) -> Iterator[dict[str, Any]]:
    rows: list[tuple[str, ...]] = []
    for cui in cuis:
        types = {one for term in members[cui] for one in term.types or namespace_of(prefix_of(term.id)).types}
        for tui in sorted(types):
            rows.append((cui, tui, semantic_types()[tui], f"AT{len(rows) + 1:08d}"))
    yield _columns(("CUI", "TUI", "STY", "ATUI"), rows)


# --- relations ---

Rows = numpy.ndarray[Any, numpy.dtype[numpy.int32]]


def _relation_batches(
    cuis: Sequence[str], sources: Sequence[str], facts: Sequence[Facts]
) -> Iterator[dict[str, Any]]:
    """Yield rows (CUI1, REL, CUI2, RELA): a fact (head, relation, tail) is CUI1 = tail, CUI2 = head.

    A fact that a source states from both ends (conjugate acid and base) is two rows, not four.
    """
    relations = sorted({name for one in facts for _, name, _ in one.rows})
    relations = sorted({*relations, *map(inverse_of, relations)})
    rows = both_directions(_encode(cuis, sources, relations, facts), relations)
    constant = {"STYPE1": "CUI", "STYPE2": "CUI", "SUPPRESS": "N"}
    for start in range(0, max(len(rows), 1), ROWS_PER_BATCH):
        first, second, relation, source, stated = rows[start : start + ROWS_PER_BATCH].T
        named = _decode(sources, source)
        yield {
            **constant,
            "CUI1": _decode(cuis, first),
            "REL": _decode([broad_relation(name) for name in relations], relation),
            "CUI2": _decode(cuis, second),
            "RELA": _decode(relations, relation),
            "RUI": [f"R{number:08d}" for number in range(start + 1, start + 1 + len(first))],
            "SAB": named,
            "SL": named,
            "DIR": _decode(["Y", "N"], stated),
        }


def _decode(values: Sequence[str], places: Rows) -> pyarrow.Array:
    return pyarrow.array(values, pyarrow.string()).take(pyarrow.array(places))


def _encode(
    cuis: Sequence[str], sources: Sequence[str], relations: Sequence[str], facts: Sequence[Facts]
) -> Rows:
    """Return facts as rows (tail, head, relation, source, 0) of places in the sequences."""
    place = {cui: number for number, cui in enumerate(cuis)}
    number_of = {name: number for number, name in enumerate(relations)}
    first_of = {name: sources.index(name) for name in sources}  # two vocabularies of one name are one source
    flat = array("i")
    for name, one in zip(sources, facts, strict=True):
        for head, relation, tail in one.rows:
            flat.extend((place[tail], place[head], number_of[relation], first_of[name], 0))
    return numpy.array(flat, dtype=numpy.int32).reshape(-1, 5)


def both_directions(stated: Rows, relations: Sequence[str]) -> Rows:
    """Return the rows and their inverses, each once and in order; the last column is 1 for an inverse."""
    number_of = {name: number for number, name in enumerate(relations)}
    inverse = numpy.array([number_of[inverse_of(name)] for name in relations] or [0], dtype=numpy.int32)
    turned = numpy.column_stack(
        (stated[:, 1], stated[:, 0], inverse[stated[:, 2]], stated[:, 3], numpy.ones_like(stated[:, 4]))
    )
    rows = numpy.concatenate((stated, turned))
    rows = rows[numpy.lexsort(rows.T[::-1])]  # a stated row comes before the same one turned
    is_new = numpy.ones(len(rows), dtype=bool)
    is_new[1:] = numpy.any(rows[1:, :4] != rows[:-1, :4], axis=1)
    kept: Rows = rows[is_new]
    return kept
