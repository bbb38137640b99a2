"""Small releases, written where a test wants them."""

from collections.abc import Iterable
from pathlib import Path

from kebench.umls.filters import Filters
from kebench.umls.importing import import_release
from kebench.umls.knowledge_base import KnowledgeBase
from kebench.umls.rrf import COLUMNS, find_release

# Two names of one concept, one of another, one fact.
NAMES = (
    "C0000001 ENG P L1 Y MSH PT D1 N Gout",
    "C0000001 ENG S L2 Y MSH SY D1 N gouty arthritis",
    "C0000002 ENG P L3 Y RX PT 519 N allopurinol",
)
RELATIONS = ("C0000001 RO C0000002 may_treat MED N",)  # C0000002 may_treat C0000001
TYPES = ("C0000001 T047 Disease or Syndrome", "C0000002 T121 Pharmacologic Substance")


def name_row(text: str) -> str:
    """Return a row of MRCONSO of "CUI LAT TS LUI ISPREF SAB TTY CODE SUPPRESS a name"."""
    cui, language, status, lui, is_preferred, source, kind, code, suppress, name = text.split(" ", 9)
    return _row(
        "MRCONSO", CUI=cui, LAT=language, TS=status, LUI=lui, STT="PF", SUI=f"S{lui}", ISPREF=is_preferred,
        AUI=f"A{lui}", SAB=source, TTY=kind, CODE=code, STR=name, SRL="0", SUPPRESS=suppress,
    )  # fmt: skip


def relation_row(text: str) -> str:
    """Return a row of MRREL of "CUI1 REL CUI2 RELA SAB SUPPRESS"; a RELA of - is none."""
    first, rel, second, rela, source, suppress = text.split(" ")
    rela = "" if rela == "-" else rela
    return _row(
        "MRREL", CUI1=first, STYPE1="CUI", REL=rel, CUI2=second, RELA=rela, SAB=source, SUPPRESS=suppress
    )


def type_row(text: str) -> str:
    """Return a row of MRSTY of "CUI TUI a name"."""
    cui, tui, name = text.split(" ", 2)
    return _row("MRSTY", CUI=cui, TUI=tui, STN="A1", STY=name, ATUI="AT1", CVF="256")


def _row(table: str, **fields: str) -> str:
    return "".join(fields.get(column, "") + "|" for column in COLUMNS[table]) + "\n"


def write_release(
    folder: Path,
    names: Iterable[str] = NAMES,
    relations: Iterable[str] = RELATIONS,
    types: Iterable[str] = TYPES,
) -> Path:
    """Write the three files of a release and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = {
        "MRCONSO": [name_row(text) for text in names],
        "MRREL": [relation_row(text) for text in relations],
        "MRSTY": [type_row(text) for text in types],
    }
    for table, rows in lines.items():
        (folder / f"{table}.RRF").write_text("".join(rows), encoding="utf-8", newline="\n")
    return folder


def imported(release: Path, out: Path, **filters: object) -> KnowledgeBase:
    """Import a release with some filters replaced and return the knowledge base."""
    import_release(find_release(release), out, filters=Filters.model_validate(filters))
    return KnowledgeBase.open(out)
