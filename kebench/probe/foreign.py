"""Sets that were made elsewhere: BioLAMA's triples with prompts, and plain tables of queries and answers.

BioLAMA (Sung et al. 2021): one JSON object a line with sub_label, obj_labels, obj_aliases, predicate_id ...,
and a file of prompts, one template of [X] and [Y] a relation. Plain: CSV with query, answers and, if wanted,
relation. Names are accepted in the normal form of answers (kebench.probe.forms).
"""

import csv
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow

from kebench.bounded import parse_json
from kebench.errors import UserError
from kebench.files import hash_of
from kebench.probe.build import make_set
from kebench.probe.forms import answer_forms
from kebench.probe.queries import TEXT, load
from kebench.probe.query_set import MASK, SET_VERSIONS, QuerySetManifest, same_set_already
from kebench.probe.recognise import recognised
from kebench.probe.tables import count_ambiguous, counts_of, write_queries
from kebench.umls.database import Connection
from kebench.umls.rrf import InputFile, input_file

SHARING = "As the files that it was imported from."
NO_RELATION = "query"  # of a table without that column
_BLANK = re.compile(r"\[MASK\]|\[Y\]")
_REMEDY = "mend this line"
# Half of a character outside the basic plane, or what controls a terminal; white space is none of these.
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")


class Answer(NamedTuple):
    """What is accepted. cui: BioLAMA's identifier of it; "" where there is none."""

    cui: str
    names: tuple[str, ...]


class Query(NamedTuple):
    """One line. given: the identifier of what the text names, "" where there is none."""

    text: str
    relation: str
    given: str
    answers: tuple[Answer, ...]


def import_set(paths: Sequence[Path], out: Path, *, prompts: Path | None = None) -> QuerySetManifest:
    """Write a set of files made elsewhere and return its manifest: .jsonl is BioLAMA's, .csv a plain table.

    Queries of one text and relation are one, with the answers of all. Raises UserError with file and line for
    a line that is none, and if `out` holds anything else.
    """
    if prompts and all(path.suffix == ".csv" for path in paths):
        raise UserError(
            f"{prompts}: prompts are for .jsonl; a .csv holds whole queries, so leave --prompts out"
        )
    for path in paths:
        if path.is_dir():
            kind = recognised(path)
            said = f"this looks like {kind}" if kind else "a folder; name the files in it, .jsonl or .csv"
            raise UserError(f"{path}: {said}")
    files = [*paths, *([prompts] if prompts else [])]
    inputs = tuple(input_file(path) for path in files)
    wanted = hash_of([SET_VERSIONS["fixed"], "import", [file.sha256 for file in inputs]])
    if already := same_set_already(out, wanted):
        return already
    templates: dict[str, str] = {}  # of each relation
    for where, line in _json_lines(prompts) if prompts else ():
        relation, template = (_string(where, line, field) for field in ("relation", "template"))
        _check_template(where, template)
        templates[relation] = template
    lines = [query for path in paths for query in _read(path, templates)]
    if not lines:
        raise UserError(f"{', '.join(map(str, paths))}: no query in it; check the files")
    return make_set(out, wanted, partial(_write, lines, inputs))


def _read(path: Path, templates: dict[str, str]) -> Iterator[Query]:
    """Yield the queries of a file, all of whose strings can be stored and printed."""
    if kind := recognised(path):
        raise UserError(f"{path}: this looks like {kind}")
    if path.suffix == ".csv":
        lines = _read_table(path)
    elif path.suffix == ".jsonl":
        lines = _read_biolama(path, templates)
    else:
        remedy = (
            "save it with commas, as .csv" if path.suffix == ".tsv" else "write its queries as one of them"
        )
        raise UserError(f"{path}: expected .jsonl (BioLAMA's triples) or .csv (query,answers); {remedy}")
    for where, query in lines:
        names = [name for answer in query.answers for name in (answer.cui, *answer.names)]
        for text in (query.text, query.relation, query.given, *names):
            _check_text(where, text)
        yield query


def _check_template(where: str, template: str) -> None:
    _check_text(where, template)
    if "[X]" not in template or len(_BLANK.findall(template)) != 1:
        raise UserError(f"{where}: template '{template}', expected [X] and one [Y]; {_REMEDY}")


def _read_biolama(path: Path, templates: dict[str, str]) -> Iterator[tuple[str, Query]]:
    """Yield the lines, with what errors call them. A label each has its aliases and its identifier."""
    for where, line in _json_lines(path):
        relation, label = (_string(where, line, field) for field in ("predicate_id", "sub_label"))
        template = line.get("prompt") or templates.get(relation)
        if not isinstance(template, str):
            raise UserError(
                f"{where}: no prompt for the relation {relation}; name a file that has one with --prompts"
            )
        if "prompt" in line:
            _check_template(where, template)
        if MASK in label:
            raise UserError(f"{where}: '{label}' holds {MASK}; remove this line")
        text = _with_blank(where, template.replace("[X]", label))
        given = "" if line.get("sub_uri") is None else _string(where, line, "sub_uri")
        labels = line.get("obj_labels")
        if not _is_names(labels) or not labels:
            raise UserError(f"{where}: obj_labels is no list of names; {_REMEDY}")
        aliases = line.get("obj_aliases") or [[] for _ in labels]
        uris = line.get("obj_uris") or [""] * len(labels)
        fit = all(isinstance(of, list) and len(of) == len(labels) for of in (aliases, uris))
        if not fit or not all(map(_is_names, [*([uris] if any(uris) else []), *aliases])):
            raise UserError(
                f"{where}: obj_uris and obj_aliases do not fit the {len(labels)} obj_labels; {_REMEDY}"
            )
        named = zip(uris, labels, aliases, strict=True)
        answers = tuple(Answer(uri, (label, *others)) for uri, label, others in named)
        yield where, Query(text, relation, given, answers)


def _check_text(where: str, text: str) -> None:
    if found := _NO_TEXT.search(text):
        raise UserError(f"{where}: {text!r} holds {found[0]!r}, which is no text; {_REMEDY}")


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and name.strip() for name in value)


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            try:
                line = parse_json(raw)
            except ValueError as error:
                raise UserError(f"{path} line {number}: not JSON ({error}); {_REMEDY}") from None
            if not isinstance(line, dict):
                raise UserError(f"{path} line {number}: no JSON object; {_REMEDY}")
            yield f"{path} line {number}", line


def _string(where: str, line: dict[str, Any], field: str) -> str:
    value = line.get(field)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: {field} is missing or no text; {_REMEDY}")
    return value


def _read_table(path: Path) -> Iterator[tuple[str, Query]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header = reader.fieldnames
            if not header:
                raise UserError(f"{path}: empty; expected query,answers[,relation] in line 1")
            if missing := [column for column in ("query", "answers") if column not in header]:
                raise UserError(
                    f"{path} line 1: no column {missing[0]} in '{','.join(header)}'; "
                    "expected query,answers[,relation]"
                )
            for row in reader:
                where = f"{path} line {reader.line_num}"
                if None in row or None in row.values():
                    raise UserError(f"{where}: not as many columns as in line 1; {_REMEDY}")
                names = [name.strip() for name in row["answers"].split("|")]
                if not all(names):
                    raise UserError(f"{where}: an empty answer; {_REMEDY}")
                text, relation = _with_blank(where, row["query"]), row.get("relation") or NO_RELATION
                yield where, Query(text, relation, "", tuple(Answer("", (name,)) for name in names))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path}: not CSV ({error}); mend the file") from None


def _with_blank(where: str, text: str) -> str:
    """Return a text with its one blank as [MASK]."""
    text = " ".join(text.split())
    if len(_BLANK.findall(text)) != 1:
        raise UserError(f"{where}: '{text}' does not hold [MASK] or [Y] once; {_REMEDY}")
    return _BLANK.sub(MASK, text)


def _write(
    lines: Sequence[Query], inputs: tuple[InputFile, ...], connection: Connection, path: Path
) -> dict[str, Any]:
    """Write queries in the order of their first line; return what set.json says of them."""
    _load_lines(connection, lines)
    write_queries(connection, path, form="fixed")
    counts, by_relation = counts_of(connection, path)
    connection.execute("CREATE TEMP VIEW bearers AS SELECT cui, form FROM answers JOIN forms USING (answer)")
    return {
        "mode": "fixed",
        "inputs": inputs,
        "counts": counts | count_ambiguous(connection, form="fixed") | {"lines": len(lines)},
        "by_relation": by_relation,
        "sharing": SHARING,
        "missing": {},
        **dict.fromkeys(("knowledge_base", "recipe", "facts_stored", "reverse_share")),
    }


def _load_lines(connection: Connection, lines: Sequence[Query]) -> None:
    """Make the five tables that `write_queries` wants.

    Answers without an identifier are one if they are compared as one; the first name is their identifier.
    """
    names = [name for line in lines for answer in line.answers for name in answer.names]
    form_of = dict(zip(names, answer_forms(names), strict=True))
    first_of: dict[str, str] = {}  # key -> the first name of it
    numbers: dict[tuple[str, str], int] = {}
    answers: dict[tuple[int, str], dict[str, None]] = {}  # (query, cui) -> names, the first one preferred
    given: dict[tuple[int, str], None] = {}
    for line in lines:
        query = numbers.setdefault((line.text, line.relation), len(numbers))
        if line.given:
            given.setdefault((query, line.given))
        for answer in line.answers:
            cui = answer.cui or first_of.setdefault(form_of[answer.names[0]][1], answer.names[0])
            answers.setdefault((query, cui), {}).update(dict.fromkeys(answer.names))
    queries = [
        (query, relation, "tail", text, text.replace(MASK, " ").rstrip(" ."))
        for (text, relation), query in numbers.items()
    ]
    givens = [(query, cui, cui, "") for query, cui in given]
    pairs = [(query, place) for place, (query, _) in enumerate(answers)]
    described = [
        (place, cui, next(iter(of)), list[str]()) for place, ((_, cui), of) in enumerate(answers.items())
    ]
    forms = dict.fromkeys(
        (place, form_of[name][0]) for place, of in enumerate(answers.values()) for name in of
    )
    number, key = pyarrow.int32(), pyarrow.int64()
    load(connection, "queries", queries, query=number, relation=TEXT, direction=TEXT, text=TEXT, bare=TEXT)
    load(connection, "givens", givens, query=number, place=TEXT, cui=TEXT, lui=TEXT)
    load(connection, "pairs", pairs, query=number, answer=key)
    several = pyarrow.list_(TEXT)
    load(connection, "answers", described, answer=key, cui=TEXT, name=TEXT, semantic_types=several)
    load(connection, "forms", list(forms), answer=key, form=TEXT)
