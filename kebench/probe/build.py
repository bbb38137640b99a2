"""Makes a set of queries of a knowledge base: whole, or not at all."""

import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kebench.errors import UserError
from kebench.files import atomic_folder, hash_of, sha256_of, sweep_temporaries_of
from kebench.probe import pools, queries
from kebench.probe.index import ask_as_indexed, read_index
from kebench.probe.query_set import (
    MANIFEST,
    QUERIES,
    SCHEMA,
    SET_VERSIONS,
    QuerySetManifest,
    read_set_manifest,
    same_set_already,
)
from kebench.probe.recipe import (
    Mode,
    ProbeRecipe,
    Quality,
    Wording,
    fault_of_relation,
    read_quality,
    read_templates,
    read_wordings,
    released_words,
    words_of,
)
from kebench.probe.tables import count_ambiguous, counts_of, find_types, write_queries
from kebench.progress import progress
from kebench.runtime import begin
from kebench.umls.database import Connection, errors_explained, open_database
from kebench.umls.knowledge_base import KnowledgeBase
from kebench.umls.rrf import input_file

MEMORY_MIB = 2048  # ours; benchmarks/results/probe-build.md
_PACKAGES = ("duckdb", "pyarrow")


# Fields that recipes had not at first: where none is used, the hash of the queries is what it was then.
_FIELDS_SINCE = ("relations_if_there", "head_types", "wordings", "only_clear")


class Plan(NamedTuple):
    """What is to be made of what, and the hashes that decide whether it is there already."""

    kb: KnowledgeBase
    recipe: ProbeRecipe
    mode: Mode
    exceptions: dict[str, str]
    wordings: dict[str, Wording]
    quality: Quality
    index_path: Path | None
    queries_hash: str
    content_hash: str


def plan_set(kb: KnowledgeBase, recipe: ProbeRecipe, *, index: Path | None = None) -> Plan:
    """Decide mode and identity. Raises UserError if the knowledge base was imported in the other mode."""
    own = kb.manifest.filters.name_form
    mode = recipe.mode or own
    if mode != own:
        raise UserError(
            f"{kb.folder}: imported in mode {own}; for a set in mode {mode}: "
            f"kebench kb import RELEASE --mode {mode} --out ANOTHER_KB"
        )
    if mode == "released" and (fields := [field for field in _FIELDS_SINCE if getattr(recipe, field)]):
        raise UserError(f"recipe: {fields[0]} is for mode fixed; leave it out for {kb.folder}")
    exceptions = read_templates(recipe.templates) if mode == "fixed" else {}
    wordings, quality = read_wordings(recipe.wordings), read_quality()
    decides = recipe.model_dump(mode="json", exclude={"sharing", "published", "templates"}) | {"mode": mode}
    decides["relations"] = sorted(set(recipe.relations))
    if index:
        for field in ("max_queries_per_relation", "seed"):
            del decides[field]
    since = {field: value for field in _FIELDS_SINCE if (value := decides.pop(field))}
    since |= {"wordings": {relation: of.model_dump(mode="json") for relation, of in wordings.items()}}
    if recipe.only_clear:
        since["quality"] = quality.model_dump(mode="json")
    parts = [SET_VERSIONS[mode], kb.content_hash, decides, exceptions, sha256_of(index) if index else None]
    queries_hash = hash_of([*parts, since] if any(since.values()) else parts)
    content_hash = queries_hash
    if mode == "fixed":
        content_hash = hash_of(
            [queries_hash, pools.POOLS_VERSION, recipe.seed, quality.model_dump(mode="json")]
        )
    return Plan(kb, recipe, mode, exceptions, wordings, quality, index, queries_hash, content_hash)


def build_set(plan: Plan, out: Path, *, memory_mib: int | None = None) -> QuerySetManifest:
    """Write the set of a plan and return its manifest.

    It is made beside `out` and renamed at the end. If `out` holds the same set already, nothing is done; if
    it holds anything else, that is a UserError, and so is a set without queries.
    """
    if already := same_set_already(out, plan.content_hash):
        return already
    return make_set(out, plan.content_hash, partial(_build, plan), memory_mib=memory_mib or MEMORY_MIB)


def _build(plan: Plan, connection: Connection, path: Path) -> dict[str, Any]:
    """Write the queries of a plan; return what set.json says of them. The shares of the work are ours."""
    kb, recipe, mode = plan.kb, plan.recipe, plan.mode
    word = released_words if mode == "released" else partial(words_of, exceptions=plan.exceptions)
    said: dict[str, Any] = {}
    with progress("building", total=100, unit="%") as advance:
        relations = queries.load_relations(connection, kb, recipe, word, plan.wordings, plan.quality)
        words = relations.words
        num_triples, reverse_share = queries.count_facts(connection, kb)
        advance(15)
        queries.label_concepts(
            connection, kb, mode, lower_case=recipe.lower_case, only_clear=recipe.only_clear
        )
        advance(10)
        if plan.index_path is None:
            asked = queries.choose_queries(connection, kb, recipe)
        else:
            index = read_index(plan.index_path, relations=recipe.relations)
            asked = ask_as_indexed(connection, kb, index, mode)
        advance(35)
        queries.name_answers(connection, kb, mode)
        find_types(connection, form=mode)
        if recipe.only_clear and plan.index_path is None:
            asked.left_out["answer_in_question"] = queries.keep_clear(connection, recipe)
        queries.add_luis(connection, kb, mode)
        write_queries(connection, path)
        advance(15)
        if mode == "fixed":
            if plan.index_path:  # which chooses queries; what it does not name may serve as shots
                queries.number_questions(connection, kb, recipe)
                queries.draw_questions(connection, recipe)
            pools.gather(connection, kb, recipe)
            faults = {
                relation: fault
                for relation, of in words.items()
                if (fault := fault_of_relation(relation, of, plan.quality))
            }
            made = pools.write_pools(connection, path.parent, seed=recipe.seed, faults=faults, kb=kb)
            said = {"queries_hash": plan.queries_hash, "pools": made[0], "files": made[1]}
            said["wordings"] = relations.wordings
        advance(25)
    counts, by_relation = counts_of(connection, path)
    if not counts["queries"]:
        lost = {reason: num for reason, num in (asked.missing | asked.left_out).items() if num}
        why = ", ".join(f"{num:,} {reason.replace('_', ' ')}" for reason, num in lost.items())
        raise UserError(
            f"{kb.folder}: no query is left ({why or 'no triple leads to one'}); nothing was written"
        )
    for relation, found in by_relation.items():
        found |= {"queries_before_cap": asked.before_cap.get(relation), **words[relation]._asdict()}
    counts |= count_ambiguous(connection, form=mode) | {
        "queries_before_cap": sum(asked.before_cap.values()) or None,
        "triples": num_triples,
        "left_out": asked.left_out,
        "relations_by_rule": dict(sorted(Counter(words[relation].rule for relation in by_relation).items())),
    }
    return {
        "mode": mode,
        "knowledge_base": kb.manifest.model_dump(include={"release", "content_hash", "made_from"}),
        "recipe": recipe.model_dump(mode="json") | {"mode": mode},
        "inputs": tuple(input_file(path) for path in (plan.index_path,) if path),
        "counts": counts,
        "by_relation": by_relation,
        "facts_stored": "twice" if reverse_share >= 0.5 else "once",
        "reverse_share": reverse_share,
        "sharing": recipe.sharing,
        "missing": asked.missing,
        "relations_left_out": relations.left_out,
        **said,
    }


def make_set(
    out: Path,
    content_hash: str,
    write: Callable[[Connection, Path], dict[str, Any]],
    *,
    memory_mib: int = MEMORY_MIB,
) -> QuerySetManifest:
    """Write a set as a whole and return its manifest.

    write: writes the queries to a file and returns what set.json says of them, by the names of its fields.
    Raises UserError if another process has made another set there meanwhile.
    """
    sweep_temporaries_of(out)
    begun = begin("cpu")
    with errors_explained(out.parent, memory_mib=memory_mib), atomic_folder(out, point="query-set") as folder:
        spill = folder / "spill"  # of the database; no part of the set
        with open_database(spill, memory_mib=memory_mib) as connection:
            said = write(connection, folder / QUERIES)
        shutil.rmtree(spill, ignore_errors=True)
        same_for_all = {
            "schema": SCHEMA,
            "name": out.resolve().name,
            "set_version": SET_VERSIONS[said["mode"]],
            "content_hash": content_hash,
            "queries_sha256": sha256_of(folder / QUERIES),
            "provenance": begun.provenance(_PACKAGES),
        }
        manifest = QuerySetManifest.model_validate(same_for_all | said)
        text = manifest.model_dump_json(indent=1, by_alias=True) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")
    found = read_set_manifest(out)
    if found.content_hash != content_hash:
        raise UserError(f"{out}: another process has just made another set there; choose another --out")
    return found
