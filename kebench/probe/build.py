"""Makes a set of queries of a knowledge base: whole, or not at all."""

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from kebench.errors import UserError
from kebench.files import atomic_folder, hash_of, sha256_of, sweep_temporaries_of
from kebench.probe import queries
from kebench.probe.index import ask_as_indexed, read_index
from kebench.probe.query_set import (
    MANIFEST,
    QUERIES,
    SCHEMA,
    SET_VERSIONS,
    QuerySetManifest,
    Source,
    read_set_manifest,
    same_set_already,
)
from kebench.probe.recipe import Mode, ProbeRecipe
from kebench.probe.tables import count_ambiguous, counts_of, write_queries
from kebench.probe.templates import read_templates, released_words, words_of
from kebench.progress import progress
from kebench.runtime import Begun, begin
from kebench.umls.database import Connection, errors_explained, open_database
from kebench.umls.knowledge_base import KnowledgeBase
from kebench.umls.rrf import InputFile, input_file

Advance = Callable[[float], None]
log = logging.getLogger(__name__)
MEMORY_MIB = 2048  # ours; benchmarks/results/probe-build.md
_PACKAGES = ("duckdb", "pyarrow")


class Plan(NamedTuple):
    """What is to be made of what, and the hash that decides whether it is there already."""

    kb: KnowledgeBase
    recipe: ProbeRecipe
    mode: Mode
    exceptions: dict[str, str]
    index_path: Path | None
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
    exceptions = read_templates(recipe.templates) if mode == "fixed" else {}
    decides = recipe.model_dump(mode="json", exclude={"sharing", "published", "templates"}) | {"mode": mode}
    decides["relations"] = sorted(set(recipe.relations))
    if index:
        for field in ("max_queries_per_relation", "seed"):
            del decides[field]
    parts = [SET_VERSIONS[mode], kb.content_hash, decides, exceptions, sha256_of(index) if index else None]
    return Plan(kb, recipe, mode, exceptions, index, hash_of(parts))


def build_set(plan: Plan, out: Path, *, memory_mib: int | None = None) -> QuerySetManifest:
    """Write the set of a plan and return its manifest.

    It is made beside `out` and renamed at the end. If `out` holds the same set already, nothing is done; if
    it holds anything else, that is a UserError, and so is a set without queries.
    """
    if already := same_set_already(out, plan.content_hash):
        log.info("%s: holds this very set of queries already; nothing to do", out)
        return already
    with (
        writing(out, memory_mib=memory_mib or MEMORY_MIB) as (connection, made),
        progress("building", total=100, unit="%") as advance,
    ):
        _make(connection, plan, made, advance)
    return finished(out, plan.content_hash)


def _make(connection: Connection, plan: Plan, made: "Made", advance: Advance) -> None:
    """Write the queries, then set.json. The shares of the work are ours."""
    kb, path = plan.kb, made.folder / QUERIES
    relations = queries.relations_of(connection, kb, plan.recipe.relations)
    words = {
        relation: released_words(relation) if plan.mode == "released" else words_of(relation, plan.exceptions)
        for relation in relations
    }
    queries.load_relations(connection, words)
    facts = queries.count_facts(connection, kb)
    advance(20)
    queries.label_concepts(connection, kb, plan.mode, lower_case=plan.recipe.lower_case)
    advance(15)
    asked, missing = _ask(connection, plan)
    advance(45)
    queries.name_answers(connection, kb, plan.mode)
    queries.add_luis(connection, kb, plan.mode)
    write_queries(connection, path, form=plan.mode)
    advance(20)
    counts, by_relation = counts_of(connection, path)
    if not counts["queries"]:
        lost = {reason: num for reason, num in (missing | asked.left_out).items() if num}
        why = ", ".join(f"{num:,} {reason.replace('_', ' ')}" for reason, num in lost.items())
        raise UserError(
            f"{kb.folder}: no query is left ({why or 'no triple leads to one'}); nothing was written"
        )
    for relation, found in by_relation.items():
        found |= {"queries_before_cap": asked.before_cap.get(relation), **words[relation]._asdict()}
    rules = [found["rule"] for found in by_relation.values()]
    counts |= count_ambiguous(connection, form=plan.mode) | {
        "queries_before_cap": sum(asked.before_cap.values()) or None,
        "triples": facts.triples,
        "left_out": asked.left_out,
        "relations_by_rule": {rule: rules.count(rule) for rule in sorted(set(rules))},
    }
    source = kb.manifest
    made.finish(
        plan.content_hash,
        mode=plan.mode,
        knowledge_base=Source(
            release=source.release, content_hash=source.content_hash, made_from=source.made_from
        ),
        recipe=plan.recipe.model_dump(mode="json") | {"mode": plan.mode},
        inputs=tuple(input_file(path) for path in (plan.index_path,) if path),
        counts=counts,
        by_relation=by_relation,
        reverse_share=facts.reverse_share,
        sharing=plan.recipe.sharing,
        missing=missing,
    )


def _ask(connection: Connection, plan: Plan) -> tuple[queries.Asked, dict[str, int]]:
    """Make the queries that an index names, or those that the recipe chooses; say what is missing."""
    if plan.index_path is None:
        return queries.choose_queries(connection, plan.kb, plan.recipe), {}
    index = read_index(plan.index_path, relations=plan.recipe.relations)
    indexed = ask_as_indexed(connection, plan.kb, index, plan.mode)
    queries.reach_answers(connection, plan.kb)
    return queries.Asked({}, indexed.left_out), indexed.missing


class Made(NamedTuple):
    """A set in the making: the folder that will be the set, its name, and when that began."""

    folder: Path
    name: str
    begun: Begun

    def finish(
        self,
        content_hash: str,
        *,
        mode: Mode,
        knowledge_base: Source | None = None,
        recipe: dict[str, Any] | None = None,
        inputs: tuple[InputFile, ...],
        counts: dict[str, Any],
        by_relation: dict[str, dict[str, Any]],
        reverse_share: float | None = None,
        sharing: str,
        missing: dict[str, int] | None = None,
    ) -> None:
        """Write set.json."""
        facts_stored: Literal["once", "twice"] | None = None
        if reverse_share is not None:
            facts_stored = "twice" if reverse_share >= 0.5 else "once"
        manifest = QuerySetManifest(
            schema=SCHEMA,
            name=self.name,
            set_version=SET_VERSIONS[mode],
            mode=mode,
            content_hash=content_hash,
            knowledge_base=knowledge_base,
            recipe=recipe,
            inputs=inputs,
            counts=counts,
            by_relation=by_relation,
            facts_stored=facts_stored,
            reverse_share=reverse_share,
            sharing=sharing,
            missing=missing or {},
            queries_sha256=sha256_of(self.folder / QUERIES),
            provenance=self.begun.provenance(_PACKAGES),
        )
        text = manifest.model_dump_json(indent=1, by_alias=True) + "\n"
        (self.folder / MANIFEST).write_text(text, encoding="utf-8")


@contextmanager
def writing(out: Path, *, memory_mib: int) -> Iterator[tuple[Connection, Made]]:
    """Yield a database and a folder that becomes `out` at the end, without what the database spilt there."""
    sweep_temporaries_of(out)
    begun = begin("cpu")
    with errors_explained(out.parent, memory_mib=memory_mib), atomic_folder(out, point="query-set") as folder:
        spill = folder / "spill"
        with open_database(spill, memory_mib=memory_mib) as connection:
            yield connection, Made(folder, out.resolve().name, begun)
        shutil.rmtree(spill, ignore_errors=True)


def finished(out: Path, wanted: str) -> QuerySetManifest:
    """Return the manifest of what now stands in `out`. Raises UserError if it is not what was wanted."""
    manifest = read_set_manifest(out)
    if manifest.content_hash != wanted:
        raise UserError(f"{out}: another process has just made another set there; choose another --out")
    return manifest
