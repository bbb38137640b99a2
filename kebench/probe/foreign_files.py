"""Reads the files of other probes: BioLAMA, MedLAMA, BEAR, and plain tables of queries and answers.

BioLAMA (Sung et al. 2021): one JSON object a line with sub_label, obj_labels, obj_aliases, predicate_id ...,
and a file of prompts, one template of [X] and [Y] a relation. MedLAMA (Meng et al. 2022): a CSV file a
relation and prompts.csv, two prompts a relation. BEAR (Wiland et al. 2024): a folder of JSON lines, a file a
relation, with templates and answer spaces. Plain: CSV with query, answers and, if wanted, relation.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kebench.bounded import json_objects, parse_json, read_within
from kebench.errors import UserError
from kebench.probe.pools import MOST_PLACES
from kebench.probe.query_set import MASK
from kebench.probe.recognise import BEAR_METADATA, form_of

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


def read_files(paths: Sequence[Path], prompts: Path | None) -> Content:
    """Read BioLAMA's triples and plain tables. Of a relation with several prompts no template is kept."""
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
            raise UserError(f"{path}: expected .jsonl (BioLAMA's triples) or .csv (query,answers); {remedy}")
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


def files_of_bear(path: Path) -> list[Path]:
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


def read_bear(files: Sequence[Path]) -> Content:
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
        of = of if isinstance(of, dict) else {}
        templates = of.get("templates")
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


def prompts_of_medlama(path: Path) -> Path:
    """Return the prompts beside, or above, a folder or file of relations."""
    folder = path if path.is_dir() else path.parent
    places = [place / "prompts.csv" for place in (folder, folder.absolute().parent)]
    for place in places:
        if place.is_file():
            return place
    raise UserError(f"{path}: no prompts.csv beside it or above; name MedLAMA's with --prompts")


def read_medlama(files: Sequence[Path], prompts: Path) -> Content:
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
        for number, line in json_objects(path, file):
            yield f"{path} line {number}", line


def _string(where: str, line: dict[str, Any], field: str) -> str:
    value = line.get(field)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: {field} is missing or no text; {_REMEDY}")
    return value


def _read_table(path: Path) -> Iterator[tuple[str, Query]]:
    for where, row in _table_rows(
        path, ("query", "answers"), expected="query,answers[,relation] or a question of MMLU"
    ):
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
