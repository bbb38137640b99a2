"""Sets that were made elsewhere: BioLAMA, MedLAMA, BEAR, and plain tables of queries and answers.

BioLAMA (Sung et al. 2021): one JSON object a line with sub_label, obj_labels, obj_aliases, predicate_id ...,
and a file of prompts, one template of [X] and [Y] a relation. MedLAMA (Meng et al. 2022): a CSV file a relation
and prompts.csv, two prompts a relation. BEAR (Wiland et al. 2024): a folder of JSON lines, a file a relation,
with templates and answer spaces. Plain: CSV with query, answers and, if wanted, relation.

Names are accepted in the normal form of answers (kebench.probe.forms), and shown as the files have them.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow

from kebench.bounded import parse_json, read_within
from kebench.errors import UserError
from kebench.files import hash_of
from kebench.probe.build import make_set
from kebench.probe.forms import answer_forms, ends_in_modifier
from kebench.probe.pools import MOST_PLACES, POOLS_VERSION, SEED, write_pools
from kebench.probe.queries import TEXT, load
from kebench.probe.query_set import MASK, SET_VERSIONS, QuerySetManifest, same_set_already
from kebench.probe.recipe import Quality, Wording, read_quality
from kebench.probe.recognise import BEAR_METADATA, form_of, medlama_files, recognised
from kebench.probe.tables import count_ambiguous, counts_of, find_types, write_queries
from kebench.umls.database import Connection
from kebench.umls.rrf import InputFile, input_file

SHARING = "As the files that it was imported from."
NO_RELATION = "query"  # of a table without that column
_BLANK = re.compile(r"\[MASK\]|\[Y\]")
_REMEDY = "mend this line"
# Half of a character outside the basic plane, or what controls a terminal; white space is none of these.
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")


class Answer(NamedTuple):
    """What is accepted. cui: the file's identifier of it; "" where there is none."""

    cui: str
    names: tuple[str, ...]


class Query(NamedTuple):
    """One line. given: the identifier of what the text names, subject: its name; "" where there is none."""

    text: str
    relation: str
    given: str
    answers: tuple[Answer, ...]
    subject: str = ""


class Content(NamedTuple):
    """What files hold. templates: those of a relation, that of the queries' texts first.

    spaces: of BEAR the candidates of each relation, in its order. left_out: how many lines have no subject.
    """

    queries: list[Query]
    templates: dict[str, tuple[str, ...]]
    spaces: dict[str, list[Answer]]
    left_out: Counter[str]


def import_set(paths: Sequence[Path], out: Path, *, prompts: Path | None = None) -> QuerySetManifest:
    """Write a set of files made elsewhere and return its manifest.

    .jsonl is BioLAMA's, .csv a plain table; files of BEAR and MedLAMA, and folders of either, are known by their
    fields. Queries of one text and relation are one, with the answers of all. Raises UserError with file and
    line for a line that is none, and if `out` holds anything else.
    """
    forms = [form_of(path) for path in paths]
    for path, form in zip(paths, forms, strict=True):
        if form is None and (path.is_dir() or recognised(path)):
            kind = recognised(path)
            said = f"this looks like {kind}" if kind else "a folder; name the files in it, .jsonl or .csv"
            raise UserError(f"{path}: {said}")
    if len(set(forms)) > 1:
        raise UserError(f"{', '.join(map(str, paths))}: of several benchmarks; import each into its own set")
    if forms[0] == "bear":
        if prompts:
            raise UserError(f"{prompts}: BEAR has templates of its own, so leave --prompts out")
        files = [file for path in paths for file in _files_of_bear(path)]
    elif forms[0] == "medlama":
        files = [file for path in paths for file in (medlama_files(path) if path.is_dir() else [path])]
        prompts = prompts or _prompts_of_medlama(paths[0])
    else:
        files = list(paths)
        if prompts and all(path.suffix == ".csv" for path in paths):
            raise UserError(
                f"{prompts}: prompts are for .jsonl; a .csv holds whole queries, so leave --prompts out"
            )
    inputs = tuple(input_file(path) for path in [*files, *([prompts] if prompts else [])])
    queries_hash = hash_of([SET_VERSIONS["fixed"], "import", [file.sha256 for file in inputs]])
    quality = read_quality()
    wanted = hash_of([queries_hash, POOLS_VERSION, SEED, quality.model_dump(mode="json")])
    if already := same_set_already(out, wanted):
        return already
    if forms[0] == "bear":
        content = _read_bear(files)
    elif forms[0] == "medlama":
        assert prompts is not None, "without them it has been refused"
        content = _read_medlama(files, prompts)
    else:
        content = _read_files(files, prompts)
    if not content.queries:
        raise UserError(f"{', '.join(map(str, paths))}: no query in it; check the files")
    return make_set(out, wanted, partial(_write, content, inputs, quality, queries_hash))


def _read_files(paths: Sequence[Path], prompts: Path | None) -> Content:
    """Read BioLAMA's triples and plain tables. A relation whose lines have several prompts has no template."""
    templates: dict[str, str] = {}  # of each relation
    for where, line in _json_lines(prompts) if prompts else ():
        relation, template = (_string(where, line, field) for field in ("relation", "template"))
        _check_template(where, template)
        templates[relation] = template
    queries = []
    used: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        if path.suffix == ".csv":
            lines = _read_table(path)
        elif path.suffix == ".jsonl":
            lines = _read_biolama(path, templates, used)
        else:
            remedy = (
                "save it with commas, as .csv"
                if path.suffix == ".tsv"
                else "write its queries as one of them"
            )
            raise UserError(
                f"{path}: expected .jsonl (BioLAMA's triples) or .csv (query,answers); {remedy}"
            )
        queries += [_checked(where, query) for where, query in lines]
    return Content(
        queries, {relation: tuple(of) for relation, of in used.items() if len(of) == 1}, {}, Counter()
    )


def _checked(where: str, query: Query) -> Query:
    """Return a query, all of whose strings can be stored and printed."""
    names = [name for answer in query.answers for name in (answer.cui, *answer.names)]
    for text in (query.text, query.relation, query.given, *names):
        _check_text(where, text)
    return query


def _files_of_bear(path: Path) -> list[Path]:
    """Return the files of relations of a folder, or one, with the metadata beside them first."""
    files = [path]
    if path.is_dir():
        files = [one for one in sorted(path.glob("*.jsonl")) if form_of(one) == "bear"]
        if not files:
            raise UserError(f"{path}: {BEAR_METADATA}, and no relation (P6.jsonl) beside it; unpack it again")
    metadata = files[0].parent / BEAR_METADATA
    if not metadata.is_file():
        raise UserError(f"{path}: a relation of BEAR without {BEAR_METADATA} beside it; put it there")
    return [metadata, *files]


def _read_bear(files: Sequence[Path]) -> Content:
    """Read relations of BEAR. Without an answer space candidates are the file's answers, as they come."""
    content = Content([], {}, {}, Counter())
    metadata: dict[str, Any] = {}
    for path in files:
        if path.name == BEAR_METADATA:
            try:
                metadata = parse_json(read_within(path))
            except ValueError as error:
                raise UserError(f"{path}: not JSON ({error}); fetch it again") from None
            if not isinstance(metadata, dict):
                raise UserError(f"{path}: no JSON object; fetch it again")
            continue
        relation = path.stem
        if relation in content.templates:
            raise UserError(f"{path}: a second file of relation {relation}; name one of them")
        where = f"{files[0]}: {relation}"
        of = metadata.get(relation)
        templates = of.get("templates") if isinstance(of, dict) else None
        if not _is_names(templates) or not templates:
            raise UserError(f"{where}: no templates; put the metadata of {path} beside it")
        for template in templates:
            _check_template(where, template)
        labels, ids = (of.get(f"answer_space_{field}", []) for field in ("labels", "ids"))
        if not _is_names(labels) or not _is_names(ids) or len(labels) != len(ids) or len(set(ids)) < len(ids):
            raise UserError(f"{where}: answer_space_labels and answer_space_ids do not fit; fetch it again")
        space = {id_: Answer(id_, (label,)) for id_, label in zip(ids, labels, strict=True)}
        for at, line in _json_lines(path):
            if line.get("sub_label") == "":  # two of BEAR-big
                content.left_out["empty_name"] += 1
                continue
            subject, given, label, id_ = (
                _string(at, line, field) for field in ("sub_label", "sub_id", "obj_label", "obj_id")
            )
            if MASK in subject:
                raise UserError(f"{at}: '{subject}' holds {MASK}; remove this line")
            if not ids:
                space.setdefault(id_, Answer(id_, (label,)))
            if id_ not in space or (ids and line.get("answer_idx") != ids.index(id_)):
                raise UserError(f"{at}: obj_id '{id_}' is not its answer_idx of {files[0]}; {_REMEDY}")
            text = _with_blank(at, templates[0].replace("[X]", subject))
            query = Query(text, relation, given, (space[id_],), subject)
            content.queries.append(_checked(at, query))
        content.templates[relation], content.spaces[relation] = tuple(templates), list(space.values())
        if len(space) > MOST_PLACES:
            raise UserError(f"{path}: {len(space):,} different answers, expected at most {MOST_PLACES:,}")
    return content


def _prompts_of_medlama(path: Path) -> Path:
    """Return the prompts beside, or above, a folder or file of relations."""
    folder = path if path.is_dir() else path.parent
    places = [place / "prompts.csv" for place in (folder, folder.absolute().parent)]
    for place in places:
        if place.is_file():
            return place
    raise UserError(f"{path}: no prompts.csv beside it or above; name MedLAMA's with --prompts")


def _read_medlama(files: Sequence[Path], prompts: Path) -> Content:
    """Read relations of MedLAMA. Of its two prompts that by hand is the text of a query."""
    content = Content([], {}, {}, Counter())
    for where, row in _table_rows(prompts, ("pid", "human_prompt")):
        found = [" ".join(row.get(column, "").split()) for column in ("human_prompt", "default_prompt")]
        templates = tuple(dict.fromkeys(filter(None, found)))
        for template in templates:
            _check_template(where, template)
        content.templates[row["pid"]] = templates
    for path in files:
        for where, row in _table_rows(path, ("head_name", "rel")):
            relation, subject = row["rel"], row["head_name"].strip()
            if not content.templates.get(relation):
                raise UserError(f"{where}: no prompt for the relation {relation} in {prompts}; add it there")
            if not subject or MASK in subject:
                raise UserError(f"{where}: head_name '{subject}' is no name; remove this line")
            names, cuis = (
                [part.strip() for part in row.get(f"tail_{field}s", row.get(f"tail_{field}", "")).split("||")]
                for field in ("name", "cui")
            )
            if cuis == [""]:
                cuis = [""] * len(names)
            if len(cuis) != len(names) or not all(names):
                raise UserError(f"{where}: tail names and tail CUIs do not fit; {_REMEDY}")
            text = _with_blank(where, content.templates[relation][0].replace("[X]", subject))
            answers = tuple(Answer(cui, (name,)) for cui, name in zip(cuis, names, strict=True))
            query = Query(text, relation, row.get("head_cui", ""), answers, subject)
            content.queries.append(_checked(where, query))
    return content


def _check_template(where: str, template: str) -> None:
    _check_text(where, template)
    if "[X]" not in template or len(_BLANK.findall(template)) != 1:
        raise UserError(f"{where}: template '{template}', expected [X] and one [Y]; {_REMEDY}")


def _read_biolama(
    path: Path, templates: dict[str, str], used: dict[str, set[str]]
) -> Iterator[tuple[str, Query]]:
    """Yield the lines, with what errors call them. A label each has its aliases and its identifier.

    used: takes the templates of each relation.
    """
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
        used[relation].add(template)
        yield where, Query(text, relation, given, answers, label)


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
    for where, row in _table_rows(path, ("query", "answers"), expected="query,answers[,relation]"):
        names = [name.strip() for name in row["answers"].split("|")]
        if not all(names):
            raise UserError(f"{where}: an empty answer; {_REMEDY}")
        text, relation = _with_blank(where, row["query"]), row.get("relation") or NO_RELATION
        yield where, Query(text, relation, "", tuple(Answer("", (name,)) for name in names))


def _table_rows(
    path: Path, columns: Sequence[str], *, expected: str = ""
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of a CSV file that has these columns, with what errors call them."""
    expected = expected or ",".join(columns)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header = reader.fieldnames
            if not header:
                raise UserError(f"{path}: empty; expected {expected} in line 1")
            if missing := [column for column in columns if column not in header]:
                raise UserError(
                    f"{path} line 1: no column {missing[0]} in '{','.join(header)}'; expected {expected}"
                )
            for row in reader:
                where = f"{path} line {reader.line_num}"
                if None in row or None in row.values():
                    raise UserError(f"{where}: not as many columns as in line 1; {_REMEDY}")
                yield where, row
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
    content: Content,
    inputs: tuple[InputFile, ...],
    quality: Quality,
    queries_hash: str,
    connection: Connection,
    path: Path,
) -> dict[str, Any]:
    """Write queries in the order of their first line, and pools; return what set.json says of them."""
    lines = content.queries
    _load_lines(connection, lines, content.spaces)
    find_types(connection, form="fixed")
    write_queries(connection, path)
    counts, by_relation = counts_of(connection, path)
    connection.execute("CREATE TEMP VIEW bearers AS SELECT cui, form FROM answers JOIN forms USING (answer)")
    faults = {
        relation: "between_vocabularies"
        for relation in by_relation
        if relation in quality.between_vocabularies
    }
    pools, files = write_pools(
        connection, path.parent, seed=SEED, faults=faults, in_given_order=bool(content.spaces)
    )
    return {
        "mode": "fixed",
        "inputs": inputs,
        "counts": counts | count_ambiguous(connection, form="fixed") | {"lines": len(lines)}
        | ({"left_out": dict(content.left_out)} if content.left_out else {}),
        "by_relation": by_relation,
        "sharing": SHARING,
        "missing": {},
        "queries_hash": queries_hash,
        "pools": pools,
        "files": files,
        "wordings": {
            relation: Wording(statements=content.templates.get(relation, ())) for relation in by_relation
        },
        **dict.fromkeys(("knowledge_base", "recipe", "facts_stored", "reverse_share")),
    }


def _load_lines(
    connection: Connection, lines: Sequence[Query], spaces: dict[str, list[Answer]]
) -> None:
    """Make the tables that `find_types` and `write_pools` want.

    Answers without an identifier are one if they are compared as one; the first name is their identifier.
    """
    standing = [answer for space in spaces.values() for answer in space]
    names = [name for line in lines for answer in line.answers for name in answer.names]
    names += [line.subject for line in lines] + [name for answer in standing for name in answer.names]
    formed = dict(zip(names, answer_forms(names), strict=True))
    first_of: dict[str, str] = {}  # key -> the first name of it
    numbers: dict[tuple[str, str], int] = {}
    answers: dict[tuple[int, str], dict[str, None]] = {}  # (query, cui) -> names, the first one preferred
    given: dict[tuple[int, str], None] = {}
    subjects: dict[int, str] = {}
    names_of: dict[str, dict[str, None]] = {answer.cui: dict.fromkeys(answer.names) for answer in standing}
    for line in lines:
        query = numbers.setdefault((line.text, line.relation), len(numbers))
        if line.subject:
            subjects.setdefault(query, line.subject)
        if line.given:
            given.setdefault((query, line.given))
        for answer in line.answers:
            cui = answer.cui or first_of.setdefault(formed[answer.names[0]][1], answer.names[0])
            answers.setdefault((query, cui), {}).update(dict.fromkeys(answer.names))
            names_of.setdefault(cui, {}).update(dict.fromkeys(answer.names))
    queries = [
        (query, relation, "tail", subjects.get(query, ""), text, text.replace(MASK, " ").rstrip(" ."))
        for (text, relation), query in numbers.items()
    ]
    givens = [(query, cui, cui, "") for query, cui in given]
    pairs = [(query, place) for place, (query, _) in enumerate(answers)]
    described = [
        (place, cui, next(iter(of)), list[str]()) for place, ((_, cui), of) in enumerate(answers.items())
    ]
    forms = dict.fromkeys(
        (place, formed[name][0]) for place, of in enumerate(answers.values()) for name in of
    )
    number, key = pyarrow.int32(), pyarrow.int64()
    load(
        connection, "queries", queries, query=number, relation=TEXT, direction=TEXT, label=TEXT, text=TEXT,
        bare=TEXT,
    )  # fmt: skip
    load(connection, "givens", givens, query=number, place=TEXT, cui=TEXT, lui=TEXT)
    load(connection, "pairs", pairs, query=number, answer=key)
    several = pyarrow.list_(TEXT)
    load(connection, "answers", described, answer=key, cui=TEXT, name=TEXT, semantic_types=several)
    load(connection, "forms", list(forms), answer=key, form=TEXT)
    # What pools are made of: names as they are shown and compared, and who the candidates are.
    shown = [(cui, next(iter(of)), formed[next(iter(of))][1], list[str]()) for cui, of in names_of.items()]
    load(connection, "shown", shown, cui=TEXT, name=TEXT, key=TEXT, semantic_types=several)
    aliases = [(cui, name, formed[name][1]) for cui, of in names_of.items() for name in of]
    load(connection, "aliases", aliases, cui=TEXT, name=TEXT, key=TEXT)
    named = [(query, name, formed[name][1]) for query, name in subjects.items()]
    load(connection, "named_subjects", named, query=number, name=TEXT, key=TEXT)
    places = [
        (relation, "tail", place, answer.cui)
        for relation, space in spaces.items()
        for place, answer in enumerate(space)
    ]
    load(connection, "spaces", places, relation=TEXT, direction=TEXT, place=key, cui=TEXT)
    connection.execute(
        f"""CREATE TABLE subjects AS SELECT *, {ends_in_modifier("name")} AS is_inverted FROM named_subjects;
        CREATE TABLE members AS SELECT DISTINCT relation, direction, cui, 'answer' AS source
        FROM pairs JOIN (SELECT answer, cui FROM answers) USING (answer) JOIN queries USING (query);
        CREATE TABLE shots (relation VARCHAR, direction VARCHAR, cui VARCHAR, answer VARCHAR, cuis VARCHAR[])"""
    )
