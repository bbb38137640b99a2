"""Sets that were made elsewhere: what kebench.probe.foreign_files reads, with pools of their answers.

Names are accepted in the normal form of answers (kebench.probe.forms), and shown as the files have them.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow

from kebench.errors import UserError
from kebench.files import hash_of
from kebench.probe.build import make_set
from kebench.probe.foreign_files import (
    Answer,
    Content,
    Query,
    files_of_bear,
    prompts_of_medlama,
    read_bear,
    read_files,
    read_medlama,
)
from kebench.probe.forms import answer_forms, ends_in_modifier
from kebench.probe.pools import POOLS_VERSION, SEED, write_pools
from kebench.probe.queries import TEXT, load
from kebench.probe.query_set import MASK, SET_VERSIONS, QuerySetManifest, same_set_already
from kebench.probe.recipe import Quality, Wording, read_quality
from kebench.probe.recognise import form_of, medlama_files, recognised
from kebench.probe.tables import count_ambiguous, counts_of, find_types, write_queries
from kebench.umls.database import Connection
from kebench.umls.rrf import InputFile, input_file

SHARING = "As the files that it was imported from."


def import_set(paths: Sequence[Path], out: Path, *, prompts: Path | None = None) -> QuerySetManifest:
    """Write a set of files made elsewhere and return its manifest.

    .jsonl is BioLAMA's, .csv a plain table; files of BEAR and MedLAMA, and folders of either, are known by
    their fields. Queries of one text and relation are one, with the answers of all. Raises UserError with
    file and line for a line that is none, and if `out` holds anything else.
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
        files = [file for path in paths for file in files_of_bear(path)]
    elif forms[0] == "medlama":
        files = [file for path in paths for file in (medlama_files(path) if path.is_dir() else [path])]
        prompts = prompts or prompts_of_medlama(paths[0])
    else:
        files = list(paths)
        if prompts and all(path.suffix == ".csv" for path in paths):
            raise UserError(
                f"{prompts}: prompts are for .jsonl; a .csv holds whole queries, so leave --prompts out"
            )
    inputs = tuple(input_file(path) for path in [*files, *([prompts] if prompts else [])])
    decides = [file.sha256 for file in inputs]
    if forms[0] == "bear":  # whose files' names are the relations'
        decides += [file.name for file in inputs]
    queries_hash = hash_of([SET_VERSIONS["fixed"], "import", decides])
    quality = read_quality()
    wanted = hash_of([queries_hash, POOLS_VERSION, SEED, quality.model_dump(mode="json")])
    if already := same_set_already(out, wanted):
        return already
    if forms[0] == "bear":
        content = read_bear(files)
    elif forms[0] == "medlama":
        assert prompts is not None, "without them it has been refused"
        content = read_medlama(files, prompts)
    else:
        content = read_files(files, prompts)
    if not content.queries:
        raise UserError(f"{', '.join(map(str, paths))}: no query in it; check the files")
    return make_set(out, wanted, partial(_write, content, inputs, quality, queries_hash))


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
        "counts": counts
        | count_ambiguous(connection, form="fixed")
        | {"lines": len(lines)}
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


def _load_lines(connection: Connection, lines: Sequence[Query], spaces: dict[str, list[Answer]]) -> None:
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
        (relation, "tail", place, answer.cui, answer.names[0], formed[answer.names[0]][1])
        for relation, space in spaces.items()
        for place, answer in enumerate(space)
    ]
    load(
        connection, "spaces", places, relation=TEXT, direction=TEXT, place=key, cui=TEXT, name=TEXT, key=TEXT
    )
    connection.execute(
        f"""CREATE TABLE subjects AS SELECT *, {ends_in_modifier("name")} AS is_inverted FROM named_subjects;
        CREATE TABLE members AS SELECT DISTINCT relation, direction, cui, 'answer' AS source
        FROM pairs JOIN (SELECT answer, cui FROM answers) USING (answer) JOIN queries USING (query);
        CREATE TABLE shots
            (relation VARCHAR, direction VARCHAR, cui VARCHAR, answer VARCHAR, cuis VARCHAR[])"""
    )
