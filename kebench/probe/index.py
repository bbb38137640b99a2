"""Sets as identifiers only: what may be shared of a set under the UMLS licence, and the way back.

Ours has the columns cui, lui, relation, direction; that beside the paper's released code has lui, relation,
order (0 asks for the head, 1 for the tail). Several identifiers of one query are joined with "|".
"""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow

from kebench.errors import UserError
from kebench.files import write_atomically
from kebench.probe.queries import TEXT, Asked, has_mask, load, reach_answers
from kebench.probe.query_set import QuerySet
from kebench.probe.tables import TEXT_SQL
from kebench.umls.database import Connection, one_row
from kebench.umls.knowledge_base import KnowledgeBase
from kebench.umls.rrf import parquet_sql

OURS = ("cui", "lui", "relation", "direction")
PAPERS = ("lui", "relation", "order")
_DIRECTIONS = {"0": "head", "1": "tail"}  # order 0 gives "[MASK] r o.", order 1 "s r [MASK]."
_REMEDY = "mend this line, or fetch the index again"
_LOST = "FROM entries ANTI JOIN found USING (place, part)"
_KNOWN = "FROM lines SEMI JOIN relations USING (relation)"
_UNKNOWN = "FROM lines ANTI JOIN relations USING (relation)"
# How many identifiers and relations of an index are not there, and what became of their lines.
_MISSING = {
    "luis": f"(SELECT count(DISTINCT if(lui = '', cui, lui)) {_LOST})",
    "relations": f"(SELECT count(DISTINCT relation) {_UNKNOWN})",
    "queries_without_relation": f"(SELECT count(*) {_UNKNOWN})",
    "queries_without_concept": f"(SELECT count(*) {_KNOWN} ANTI JOIN found USING (place))",
    "queries_with_fewer_concepts": f"""(SELECT count(*) {_KNOWN} SEMI JOIN found USING (place)
        WHERE place IN (SELECT place {_LOST}))""",
}


class Index(NamedTuple):
    """queries: (place, relation, direction), one a line. entries: (place, part, cui, lui), one an id."""

    queries: list[tuple[int, str, str]]
    entries: list[tuple[int, int, str, str]]


def read_index(path: Path, *, relations: Sequence[str] = ()) -> Index:
    """Read an index of either kind; if relations are named, only their lines.

    Raises UserError with file and line for anything that is no index.
    """
    index = Index([], [])
    for where, row in _rows(path):
        column, expected = ("order", "0 or 1") if "order" in row else ("direction", "head or tail")
        direction = _DIRECTIONS.get(row[column]) if column == "order" else row[column]
        if direction not in ("head", "tail"):
            raise UserError(f"{where}: {column} '{row[column]}', expected {expected}; {_REMEDY}")
        relation = row["relation"]
        if not relation:
            raise UserError(f"{where}: no relation; {_REMEDY}")
        luis = row["lui"].split("|")
        cuis = row["cui"].split("|") if "cui" in row else [""] * len(luis)
        if len(cuis) != len(luis):
            raise UserError(f"{where}: {len(cuis)} CUIs and {len(luis)} LUIs; {_REMEDY}")
        identifiers = list(zip(cuis, luis, strict=True))
        if ("", "") in identifiers:
            raise UserError(f"{where}: an empty identifier; {_REMEDY}")
        if not relations or relation in relations:
            place = len(index.queries)
            index.entries.extend((place, part, cui, lui) for part, (cui, lui) in enumerate(identifiers))
            index.queries.append((place, relation, direction))
    if not index.queries:
        of = f" of {', '.join(relations)}" if relations else " but the header"
        raise UserError(f"{path}: no line{of}; check the file")
    return index


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the lines below the header, with what errors call them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = reader.fieldnames or []
            expected = PAPERS if "order" in columns else OURS
            if missing := [column for column in expected if column not in columns]:
                raise UserError(
                    f"{path} line 1: no column {missing[0]}; expected {','.join(OURS)} or {','.join(PAPERS)}"
                )
            for row in reader:
                where = f"{path} line {reader.line_num}"
                if None in row or None in row.values():
                    raise UserError(f"{where}: not {len(columns)} columns as in line 1; {_REMEDY}")
                yield where, row
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason}); fetch the index again") from None
    except csv.Error as error:
        raise UserError(f"{path}: not CSV ({error}); fetch the index again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def ask_as_indexed(connection: Connection, kb: KnowledgeBase, index: Index, mode: str) -> Asked:
    """Make the tables queries, givens and pairs of an index, in its order; count what is missing.

    They are made of the tables relations and labels. A concept is found by its CUI, else by its LUI. The text
    shows the first that is found; in mode `released` under the very LUI that the index names.
    """
    number = pyarrow.int64()
    load(connection, "lines", index.queries, place=number, relation=TEXT, direction=TEXT)
    load(connection, "entries", index.entries, place=number, part=number, cui=TEXT, lui=TEXT)
    # What the knowledge base has of the entries: the table found.
    names = parquet_sql(kb.folder / "names.parquet", with_row_number=True)
    connection.execute(
        f"""CREATE TABLE by_lui AS SELECT lui, arg_min(cui, file_row_number) AS cui,
            arg_min(form, file_row_number) AS form
        FROM {names} WHERE lui IN (SELECT lui FROM entries) AND lui <> '' GROUP BY lui"""
    )
    is_its_own = f"{str(mode == 'released').lower()} AND by_lui.cui = labels.cui"
    connection.execute(
        f"""CREATE TABLE found AS SELECT place, part, labels.cui AS cui,
            if({is_its_own}, by_lui.form, labels.label) AS label, if({is_its_own}, by_lui.lui, '') AS lui
        FROM entries LEFT JOIN by_lui USING (lui)
        LEFT JOIN (SELECT cui AS known FROM labels) ON known = entries.cui
        JOIN labels ON labels.cui = coalesce(known, by_lui.cui)"""
    )
    connection.execute(
        """CREATE TABLE worded AS SELECT place, relation, direction, head_first, text_1, text_2, text_3, label
        FROM lines JOIN relations USING (relation)
        JOIN (SELECT place, arg_min(label, part) AS label FROM found GROUP BY place) USING (place)"""
    )
    connection.execute(
        f"""CREATE TABLE queries AS
        SELECT (row_number() OVER (ORDER BY place) - 1)::INTEGER AS query, place, relation, direction, label,
            {TEXT_SQL} FROM worded WHERE label <> '' AND NOT ({has_mask("label")})"""
    )
    connection.execute(
        """CREATE TABLE givens AS
        SELECT query, part AS place, cui, lui FROM found JOIN queries USING (place)"""
    )
    connection.execute(
        """CREATE TABLE questions AS
        SELECT query, relation, direction, cui FROM givens JOIN queries USING (query)"""
    )
    reach_answers(connection, kb)
    empty, mask = one_row(
        connection, f"SELECT count(*) FILTER (label = ''), count(*) FILTER ({has_mask('label')}) FROM worded"
    )
    missing = dict(zip(_MISSING, one_row(connection, f"SELECT {', '.join(_MISSING.values())}"), strict=True))
    return Asked({"empty_name": empty, "mask_in_name": mask}, missing=missing)


def export_ids(query_set: QuerySet, out: Path) -> int:
    """Write the identifiers of a set to a new CSV file; return the number of queries.

    Raises UserError for a set that was not made of a knowledge base, and if the file has other content.
    """
    if query_set.manifest.knowledge_base is None:
        raise UserError(
            f"{query_set.folder}: not made of a knowledge base, so identifiers do not give it back; "
            "share the files that it was imported from"
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(OURS)
    table = query_set.table(["given", "luis", "relation", "direction"])
    for row in table.to_pylist():
        writer.writerow(["|".join(row["given"]), "|".join(row["luis"]), row["relation"], row["direction"]])
    content = text.getvalue().encode()
    if out.is_dir():
        raise UserError(f"{out}: a folder; name a new file")
    if out.exists() and out.read_bytes() != content:
        raise UserError(f"{out}: exists with other content; name a new file")
    write_atomically(out, content, point="query-set")
    return len(table)
