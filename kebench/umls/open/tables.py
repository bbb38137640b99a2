"""Vocabularies -> MRCONSO.parquet, MRREL.parquet and MRSTY.parquet, as a UMLS release would have them.

Rows are in the order of CUIs. Names: the preferred one of a concept first. TS is P for names with the
concept's preferred LUI; one LUI for all names that differ in case only. TTY as UMLS gives it to the source.
Relations: each fact in both directions, with inverse names; DIR is Y where the source states it so. A row
(CUI1, REL, CUI2, RELA) reads "CUI2 RELA CUI1". REL says what CUI2 is to CUI1: CHD a child, PAR a parent, RO
related otherwise.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet

from kebench.umls.open.ids import code_of, namespace_of, prefix_of, rank_of, source_of
from kebench.umls.open.resolve import Facts
from kebench.umls.open.semantic_types import semantic_types
from kebench.umls.open.terms import Term, Vocabulary
from kebench.umls.open.unify import Unified
from kebench.umls.rrf import CONSO_COLUMNS, REL_COLUMNS, STY_COLUMNS

ROWS_PER_BATCH = 250_000  # ours; a batch of names is some 60 MB while it is made
# TTY of the name and of the synonyms of a term; those that are broader, narrower or related have ET.
MESH_HEADING, MESH_SUPPLEMENTARY, OTHERS, OBSOLETE = ("MH", "ET"), ("NM", "SY"), ("PT", "SY"), ("OP", "IS")


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
    columns = ("CUI", "TS", "LUI", "SUI", "AUI", "SAB", "TTY", "CODE", "STR", "SUPPRESS")
    constant = {"LAT": "ENG", "STT": "PF", "ISPREF": "Y", "SRL": "0"}
    rows = _name_rows(cuis, members)
    batches = iter(lambda: list(islice(rows, ROWS_PER_BATCH)), [])
    names = (constant | _columns(columns, batch) for batch in batches)
    _write(into / "MRCONSO.parquet", CONSO_COLUMNS, names)
    types: list[tuple[str, ...]] = []
    for cui in cuis:
        of_terms = (term.types or namespace_of(prefix_of(term.id)).types for term in members[cui])
        for tui in sorted(set(chain.from_iterable(of_terms))):
            types.append((cui, tui, semantic_types()[tui], f"AT{len(types) + 1:08d}"))
    _write(into / "MRSTY.parquet", STY_COLUMNS, [_columns(("CUI", "TUI", "STY", "ATUI"), types)])
    del members, types
    sources = [vocabulary.name for vocabulary in vocabularies]
    _write(into / "MRREL.parquet", REL_COLUMNS, _relation_batches(cuis, sources, facts))


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
        suppress, of_name, of_synonym = ("N", *OTHERS)
        if term.is_obsolete:
            suppress, of_name, of_synonym = ("O", *OBSOLETE)
        elif source == "MSH":
            of_name, of_synonym = MESH_SUPPLEMENTARY if code.startswith("C") else MESH_HEADING
        yield source, of_name, code, term.name, suppress
        seen = {term.name}
        for synonym in term.synonyms:
            if synonym.name not in seen:
                seen.add(synonym.name)
                is_near = synonym.scope in ("BROAD", "NARROW", "RELATED") and not term.is_obsolete
                yield source, "ET" if is_near else of_synonym, code, synonym.name, suppress


def _name_rows(cuis: Sequence[str], members: dict[str, list[Term]]) -> Iterator[tuple[str, ...]]:
    lexical: dict[str, int] = {}
    strings: dict[str, int] = {}
    number = 0
    for cui in cuis:
        preferred = -1
        for source, kind, code, name, suppress in names_of(members[cui]):
            number += 1
            word = lexical.setdefault(name.lower(), len(lexical) + 1)
            string = strings.setdefault(name, len(strings) + 1)
            preferred = word if preferred < 0 else preferred
            status = "P" if word == preferred else "S"
            numbers = (f"L{word:07d}", f"S{string:07d}", f"A{number:08d}")
            yield cui, status, *numbers, source, kind, code, name, suppress


def _columns(names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> dict[str, list[str]]:
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


# --- relations ---

# One line a pair; a relation that is its own inverse stands alone. Names are those of UMLS where it has the
# relation (may_treat of MED-RT, gene_associated_with_disease of NCI, mapped_to of MeSH), else the source's.
PAIRS = """
isa                              inverse_isa
part_of                          has_part
mapped_to                        mapped_from
may_treat                        may_be_treated_by
may_palliate                     may_be_palliated_by
gene_associated_with_disease     disease_has_associated_gene
gene_associated_with_phenotype   phenotype_has_associated_gene
has_phenotype                    phenotype_of
has_inheritance                  inheritance_of
has_clinical_course              clinical_course_of
has_past_history                 past_history_of
has_modifier                     modifier_of
has_role                         role_of
has_functional_parent            functional_parent_of
has_parent_hydride               parent_hydride_of
is_substituent_group_from        has_substituent_group
is_conjugate_base_of             is_conjugate_acid_of
is_enantiomer_of
is_tautomer_of
regulates                        regulated_by
positively_regulates             positively_regulated_by
negatively_regulates             negatively_regulated_by
occurs_in                        has_occurrence
happens_during                   has_happening
ends_during                      has_ending
has_characteristic               characteristic_of
predisposes_towards              has_predisposition
disease_has_feature              feature_of_disease
disease_has_major_feature        major_feature_of_disease
disease_arises_from_feature      feature_gives_rise_to_disease
disease_causes_feature           feature_caused_by_disease
disease_shares_features_of
part_of_progression_of_disease   disease_progression_has_part
has_symptom                      symptom_of
located_in                       location_of
derives_from                     has_derivative
"""
INVERSES: dict[str, str] = {}
for line in PAIRS.split("\n"):
    if names := line.split():
        INVERSES[names[0]], INVERSES[names[-1]] = names[-1], names[0]
Rows = numpy.ndarray[Any, numpy.dtype[numpy.int32]]


def inverse_of(relation: str) -> str:
    """Return the relation that states the same fact from the other end; its inverse is the relation again."""
    if relation in INVERSES:
        return INVERSES[relation]
    return relation.removeprefix("inverse_") if relation.startswith("inverse_") else f"inverse_{relation}"


def broad_relation(relation: str) -> str:
    """Return the REL of a RELA."""
    return {"isa": "CHD", "inverse_isa": "PAR"}.get(relation, "RO")


def _relation_batches(
    cuis: Sequence[str], sources: Sequence[str], facts: Sequence[Facts]
) -> Iterator[dict[str, Any]]:
    """Yield rows (CUI1, REL, CUI2, RELA): a fact (head, relation, tail) is CUI1 = tail, CUI2 = head.

    A fact that a source states from both ends (conjugate acid and base) is two rows, not four.
    """
    stated = {name for one in facts for _, name, _ in one.rows}
    relations = sorted({*stated, *map(inverse_of, stated)})
    # Rows (tail, head, relation, source, 0) of places in the sequences; two vocabularies of one name are one
    # source.
    place = {cui: number for number, cui in enumerate(cuis)}
    number_of = {name: number for number, name in enumerate(relations)}
    flat = array("i")
    for name, one in zip(sources, facts, strict=True):
        number = sources.index(name)
        for head, relation, tail in one.rows:
            flat.extend((place[tail], place[head], number_of[relation], number, 0))
    rows = both_directions(numpy.array(flat, dtype=numpy.int32).reshape(-1, 5), relations)
    constant = {"STYPE1": "CUI", "STYPE2": "CUI", "SUPPRESS": "N"}
    for start in range(0, max(len(rows), 1), ROWS_PER_BATCH):
        first, second, relation_places, source, is_inverse = rows[start : start + ROWS_PER_BATCH].T
        named = _decode(sources, source)
        yield {
            **constant,
            "CUI1": _decode(cuis, first),
            "REL": _decode([broad_relation(name) for name in relations], relation_places),
            "CUI2": _decode(cuis, second),
            "RELA": _decode(relations, relation_places),
            "RUI": [f"R{number:08d}" for number in range(start + 1, start + 1 + len(first))],
            "SAB": named,
            "SL": named,
            "DIR": _decode(["Y", "N"], is_inverse),
        }


def _decode(values: Sequence[str], places: Rows) -> pyarrow.Array:
    return pyarrow.array(values, pyarrow.string()).take(pyarrow.array(places))


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
