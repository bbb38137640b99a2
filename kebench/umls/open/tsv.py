"""Tables of the user's own: terms, and triples between terms. Tab-separated UTF-8 with a header line.

Terms: the columns id and name, and any of synonyms, types, xrefs, in any order. The last three hold
several values with "|" between them.

    id	name	synonyms	types	xrefs
    LAB:1	acute cough	tussis acuta|sudden cough	T184	HP:0012735|UMLS:C0010200
    LAB:2	dextromethorphan	DXM	T109|T121	DRUGBANK:DB00514

Triples: the columns head, relation, tail, in any order. It reads "head relation tail". An end is an id of
any source that is loaded with it (LAB:1, DOID:10652, MESH:D003371, DB01048, C0010200), an id that exactly
one concept refers to (OMIM:104300), or a name that exactly one concept bears, whatever its case.

    head	relation	tail
    LAB:2	may_treat	LAB:1
    dextromethorphan	may_treat	C0010200

Lines that begin with "#" before the header say what the table is: "# title: ...", "# version: ...",
"# licence: ...", "# homepage: ...", "# citation: ...". Empty lines are skipped.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from kebench.errors import UserError
from kebench.umls.open.ids import prefix_of, read_id, source_of
from kebench.umls.open.semantic_types import semantic_types
from kebench.umls.open.terms import Synonym, Term, Triple, Vocabulary, clean_name, relation_name, source_file

TERM_COLUMNS = ("id", "name", "synonyms", "types", "xrefs")
TRIPLE_COLUMNS = ("head", "relation", "tail")
ABOUT = ("title", "version", "licence", "homepage", "citation")


def read_rows(
    path: Path, required: Sequence[str], known: Sequence[str] | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (file and line, values by column) of a table. known: all columns there may be; None is any."""
    columns: list[str] = []
    for number, line in _lines(path):
        where = f"{path} line {number}"
        values = line.split("\t")
        if not columns:
            columns = values
            missing = [name for name in required if name not in columns]
            unknown = [name for name in columns if known is not None and name not in known]
            if missing or unknown or len(set(columns)) != len(columns):
                may = [name for name in known or () if name not in required]
                optional = f" (and, if you like, {', '.join(may)})" if may else ""
                raise UserError(
                    f"{where}: columns {', '.join(columns)}; expected {', '.join(required)}{optional}, "
                    "tab-separated"
                )
        elif len(values) != len(columns):
            raise UserError(f"{where}: {len(values)} columns, expected {len(columns)} ({', '.join(columns)})")
        else:
            yield where, dict(zip(columns, (value.strip() for value in values), strict=True))
    if not columns:
        raise UserError(f"{path}: empty; expected a header line with {', '.join(required)}")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a table, without empty ones and without what stands before the header."""
    in_head = True
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                in_head = in_head and (not text.strip() or text.startswith("#"))
                if text.strip() and not in_head:
                    yield number, text
    except UnicodeDecodeError as error:
        raise UserError(f"{path} line {number}: not UTF-8 ({error.reason}); convert the file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def table_kind(path: Path) -> str:
    """Return "terms" or "triples" by the header of a table, or "" if it is neither."""
    try:
        columns = set(next(_lines(path), (0, ""))[1].split("\t"))
    except UserError:
        return ""
    if {"id", "name"} <= columns <= set(TERM_COLUMNS):
        return "terms"
    return "triples" if columns == set(TRIPLE_COLUMNS) else ""


def read_terms(path: Path) -> Vocabulary:
    """Return the vocabulary of a table of terms; its name is the namespace of the first id."""
    terms: dict[str, Term] = {}
    for where, row in read_rows(path, ("id", "name"), TERM_COLUMNS):
        term_id, name = read_id(row["id"]), clean_name(row["name"])
        if not term_id:
            raise UserError(
                f"{where}: id '{row['id']}'; expected PREFIX:number, as DOID:10652; mend the line"
            )
        if not name:
            raise UserError(f"{where}: a term without a name; mend the line")
        synonyms, types, xrefs = (
            [value.strip() for value in row.get(column, "").split("|") if value.strip()]
            for column in ("synonyms", "types", "xrefs")
        )
        if unknown := [one for one in types if one not in semantic_types()]:
            raise UserError(
                f"{where}: type '{unknown[0]}' is no semantic type of UMLS; expected one like T047"
            )
        if wrong := [xref for xref in xrefs if not read_id(xref)]:
            raise UserError(f"{where}: cross-reference '{wrong[0]}'; expected one like UMLS:C0010200")
        if term_id in terms:
            raise UserError(f"{where}: the term {row['id']} stands in this table already; remove one")
        terms[term_id] = Term(
            term_id,
            name,
            synonyms=tuple(Synonym(clean_name(one)) for one in synonyms),
            types=tuple(types),
            xrefs=tuple(map(read_id, xrefs)),
        )
    if not terms:
        raise UserError(f"{path}: no term in it; expected lines after the header")
    vocabulary = _vocabulary(path, source_of(prefix_of(next(iter(terms)))))
    return vocabulary._replace(terms=list(terms.values()))


def read_triples(path: Path) -> Vocabulary:
    """Return the vocabulary of a table of triples; its name is that of the file, in capitals."""
    triples = []
    for where, row in read_rows(path, TRIPLE_COLUMNS, TRIPLE_COLUMNS):
        if not all(row.values()) or not re.fullmatch(r"[\w -]+", row["relation"]):
            raise UserError(
                f"{where}: expected a head, a relation of letters, digits and underscores, and a tail"
            )
        triples.append(
            Triple(row["head"], relation_name(row["relation"]), row["tail"], int(where.rpartition(" ")[2]))
        )
    if not triples:
        raise UserError(f"{path}: no triple in it; expected lines after the header")
    name = re.sub(r"\W+", "_", path.stem).upper()
    return _vocabulary(path, name)._replace(triples=triples)


def _vocabulary(path: Path, name: str) -> Vocabulary:
    """Return the vocabulary of a table without its rows."""
    about = {}
    with path.open(encoding="utf-8-sig") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                break
            key, _, value = line.lstrip("# ").partition(":")
            if key.strip().lower() in ABOUT:
                about[key.strip().lower()] = value.strip()
    return Vocabulary(
        name=name,
        title=about.pop("title", path.name),
        files=(source_file(path),),
        terms=[],
        strict=True,
        **about,  # type: ignore[arg-type]  # only the fields in ABOUT
    )
