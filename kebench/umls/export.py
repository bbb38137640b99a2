"""Writes a knowledge base back as RRF files, for tools that read UMLS and nothing else.

Only what the knowledge base keeps is written. The other columns are empty, but for MRREL's SUPPRESS (N), SL
(the source) and STYPE (CUI). Read again without filters, the files give the same knowledge base.
"""

import shutil
from pathlib import Path

from kebench.errors import UserError
from kebench.files import atomic_folder, sweep_temporaries_of
from kebench.umls.database import errors_explained, one_row, open_database
from kebench.umls.knowledge_base import KnowledgeBase
from kebench.umls.rrf import COLUMNS, parquet_sql, quoted

MEMORY_MIB = 1024  # ours; the relations are sorted
# RRF column: the column of our table that it is written from.
_CONSO = {
    "CUI": "cui", "LAT": "language", "TS": "term_status", "LUI": "lui", "STT": "string_type",
    "ISPREF": "is_preferred", "AUI": "aui", "SAB": "source", "TTY": "term_type", "CODE": "code",
    "STR": "name", "SUPPRESS": "suppress",
}  # fmt: skip
# The direction of a row: "CUI2 RELA CUI1". A relation that has no name of its own is called by its REL.
_REL = {
    "CUI1": "tail", "STYPE1": "'CUI'", "REL": "rel", "CUI2": "head", "STYPE2": "'CUI'",
    "RELA": "if(relation = rel, '', relation)", "SAB": "source", "SL": "source", "SUPPRESS": "'N'",
}  # fmt: skip
_STY = {"CUI": "cui", "TUI": "tui", "STN": "tree_number", "STY": "name"}


def export_rrf(knowledge_base: KnowledgeBase, out: Path, *, compressed: bool = False) -> dict[str, int]:
    """Write MRCONSO.RRF, MRREL.RRF and MRSTY.RRF into a new folder; return the number of rows of each.

    compressed: write .RRF.gz. Raises UserError if the folder exists.
    """
    if out.exists():
        raise UserError(f"{out}: exists; name a new folder for the RRF files")
    sweep_temporaries_of(out)
    # Lines are written as they are: a tab never stands in a field, so nothing is quoted.
    suffix, compression = (".RRF.gz", "gzip") if compressed else (".RRF", "none")
    options = f"FORMAT csv, HEADER false, DELIMITER '\t', QUOTE '', ESCAPE '', COMPRESSION {compression}"
    tables = knowledge_base.tables()
    names = parquet_sql(knowledge_base.folder / "names.parquet", with_row_number=True)
    types = f"""(SELECT cui, tui, tree_number, types.name FROM
        (SELECT cui, unnest(semantic_types) AS tui FROM {tables["concepts"]})
        JOIN {tables["types"]} AS types USING (tui) ORDER BY cui, tui, tree_number, types.name)"""
    rows = {
        "MRCONSO": _lines("MRCONSO", _CONSO, f"(FROM {names} ORDER BY file_row_number)"),
        "MRREL": _lines(
            "MRREL", _REL, f"(FROM {tables['triples']} ORDER BY tail, head, relation, rel, source)"
        ),
        "MRSTY": _lines("MRSTY", _STY, types),
    }
    with (
        errors_explained(out.parent, memory_mib=MEMORY_MIB),
        atomic_folder(out, point="rrf") as folder,
        open_database(folder / "spill", memory_mib=MEMORY_MIB) as connection,
    ):
        written = {
            table: int(
                one_row(connection, f"COPY ({lines}) TO {quoted(f'{folder / table}{suffix}')} ({options})")[0]
            )
            for table, lines in rows.items()
        }
        shutil.rmtree(folder / "spill", ignore_errors=True)
    return written


def _lines(table: str, columns: dict[str, str], rows: str) -> str:
    """Return SQL for the lines of an RRF file: every field closed by a bar."""
    fields = ", ".join(f"{columns.get(column, quoted(''))}, '|'" for column in COLUMNS[table])
    return f"SELECT concat({fields}) FROM {rows}"
