"""Which rows of a release a knowledge base keeps, as settings, and the SQL that keeps them.

`PRESETS` holds the two ways of reading a release that have names (docs/FIDELITY.md, Knowledge base); single
options replace single settings, and the whole of it is stored in kb.json.
"""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel

from kebench.umls.rrf import quoted


class Filters(BaseModel, extra="forbid", frozen=True):
    """What is kept. An empty tuple keeps all.

    languages: LAT; the preferred name is of the first one that a concept has.
    sources: SAB, of names and of relations.
    keep_suppressed: also rows whose SUPPRESS is O, E or Y.
    term_statuses: TS of names: P preferred, S not, p and s the same of suppressed terms.
    once_per_lui: of the names with one LUI only the first row of the file, whatever its concept.
    relations, rels: RELA and REL of relations, in the direction in which a row reads.
    only_named_relations: rows with a RELA; the others (RN, SIB ...) are called by their REL.
    keep_self_relations: rows that relate a concept to itself.
    semantic_types: TUI; concepts with none of them are left out.
    name_form: under which form names are looked up (kebench.umls.names).
    """

    languages: tuple[str, ...] = ("ENG",)
    sources: tuple[str, ...] = ()
    keep_suppressed: bool = False
    term_statuses: tuple[str, ...] = ()
    once_per_lui: bool = False
    relations: tuple[str, ...] = ()
    rels: tuple[str, ...] = ()
    only_named_relations: bool = True
    keep_self_relations: bool = False
    semantic_types: tuple[str, ...] = ()
    name_form: Literal["fixed", "released"] = "fixed"


PRESETS = {
    "fixed": Filters(),
    # What the released code's reader of MRCONSO and MRREL keeps; it knows neither SUPPRESS nor sources.
    "released": Filters(
        keep_suppressed=True, term_statuses=("P", "p"), once_per_lui=True, name_form="released"
    ),
}


def name_tests(filters: Filters) -> dict[str, str]:
    """Return, by the reason that kb.json counts, the SQL over names that is true of a row to keep.

    The columns are those of the table of names.
    """
    has_type = _one_of("TUI", filters.semantic_types)
    return {
        "language": _one_of("language", filters.languages),
        "source": _one_of("source", filters.sources),
        "suppressed": "true" if filters.keep_suppressed else "suppress NOT IN ('O', 'E', 'Y')",
        "term_status": _one_of("term_status", filters.term_statuses),
        "semantic_type": "true" if has_type == "true" else f"cui IN (SELECT CUI FROM types WHERE {has_type})",
    }


def relation_tests(filters: Filters) -> dict[str, str]:
    """Return the same for the rows of MRREL, by its own columns."""
    return {
        "without_cui": "CUI1 <> '' AND CUI2 <> ''",  # such rows are said to stand in files that NLM ships
        "source": _one_of("SAB", filters.sources),
        "suppressed": "true" if filters.keep_suppressed else "SUPPRESS NOT IN ('O', 'E', 'Y')",
        "unnamed": "RELA <> ''" if filters.only_named_relations else "true",
        "relation": _one_of("RELA", filters.relations),
        "rel": _one_of("REL", filters.rels),
        "self": "true" if filters.keep_self_relations else "CUI1 <> CUI2",
    }


def _one_of(column: str, values: Iterable[str]) -> str:
    listed = ", ".join(quoted(value) for value in values)
    return f"{column} IN ({listed})" if listed else "true"
