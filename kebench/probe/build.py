"""Makes a set of queries of a knowledge base: whole, or not at all."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

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
from kebench.probe.recipe import ProbeRecipe
from kebench.probe.tables import count_ambiguous, counts_of, write_queries
from kebench.probe.templates import Words, read_templates, released_words, words_of
from kebench.progress import progress
from kebench.runtime import peak_memory_mib, reset_peak_memory, software, utc_now
from kebench.umls.database import Connection, errors_explained, open_database
from kebench.umls.knowledge_base import KnowledgeBase

Advance = Callable[[float], None]
log = logging.getLogger(__name__)
MEMORY_MIB = 2048  # ours; benchmarks/results/probe-build.md
_PACKAGES = ("duckdb", "pyarrow")


class Plan(NamedTuple):
    """What is to be made of what, and the hash that decides whether it is there already."""

    kb: KnowledgeBase
    recipe: ProbeRecipe
    mode: str
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
    with writing(out, memory_mib=memory_mib or MEMORY_MIB) as (connection, made):
        with progress("building", total=100, unit="%") as advance:
            found = _make(connection, plan, made.folder / QUERIES, advance)
        kb = plan.kb
        made.finish(
            mode=plan.mode,
            content_hash=plan.content_hash,
            knowledge_base=Source(
                release=kb.manifest.release,
                content_hash=kb.content_hash,
                made_from=kb.manifest.made_from,
            ),
            recipe=plan.recipe.model_dump(mode="json") | {"mode": plan.mode},
            inputs=tuple(input_file(path) for path in (plan.index_path,) if path),
            sharing=plan.recipe.sharing,
            **found,
        )
    return finished(out, plan.content_hash)


def _make(connection: Connection, plan: Plan, path: Path, advance: Advance) -> dict[str, Any]:
    """Write the queries; return what only the making can tell. The shares of the work are ours."""
    kb = plan.kb
    words = _words(plan, queries.relations_of(connection, kb, plan.recipe.relations))
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
        why = _why(missing | asked.left_out)
        raise UserError(f"{kb.folder}: no query is left ({why}); nothing was written")
    for relation, found in by_relation.items():
        found |= {"queries_before_cap": asked.before_cap.get(relation), **words[relation]._asdict()}
    counts |= count_ambiguous(connection, form=plan.mode) | {
        "queries_before_cap": sum(asked.before_cap.values()) or None,
        "triples": facts.triples,
        "left_out": asked.left_out,
        "relations_by_rule": _rules(by_relation),
    }
    return {
        "counts": counts,
        "by_relation": by_relation,
        "facts_stored": "twice" if facts.reverse_share >= 0.5 else "once",
        "reverse_share": facts.reverse_share,
        "missing": missing,
    }


def _ask(connection: Connection, plan: Plan) -> tuple[queries.Asked, dict[str, int]]:
    """Make the queries that an index names, or those that the recipe chooses; say what is missing."""
    if plan.index_path is None:
        return queries.choose_queries(connection, plan.kb, plan.recipe), {}
    index = read_index(plan.index_path, relations=plan.recipe.relations)
    indexed = ask_as_indexed(connection, plan.kb, index, plan.mode)
    queries.reach_answers(connection, plan.kb)
    return queries.Asked({}, indexed.left_out), indexed.missing


def _words(plan: Plan, relations: list[str]) -> dict[str, Words]:
    if plan.mode == "released":
        return {relation: released_words(relation) for relation in relations}
    return {relation: words_of(relation, plan.exceptions) for relation in relations}


def _rules(by_relation: dict[str, dict[str, Any]]) -> dict[str, int]:
    rules = [counts["rule"] for counts in by_relation.values()]
    return {rule: rules.count(rule) for rule in sorted(set(rules))}


def _why(counts: dict[str, int]) -> str:
    reasons = [f"{num:,} {reason.replace('_', ' ')}" for reason, num in counts.items() if num]
    return ", ".join(reasons) or "no triple leads to one"


class Made(NamedTuple):
    """A set in the making: the folder that will be the set, its name, and when that began."""

    folder: Path
    name: str
    started: float
    started_utc: str

    def finish(self, **fields: Any) -> None:
        """Write set.json."""
        manifest = QuerySetManifest(
            schema=SCHEMA,
            name=self.name,
            set_version=SET_VERSIONS[fields["mode"]],
            queries_sha256=sha256_of(self.folder / QUERIES),
            provenance=software(_PACKAGES)
            | {
                "started_utc": self.started_utc,
                "seconds": round(time.monotonic() - self.started, 2),
                "peak_mib": round(peak_memory_mib("cpu"), 1),
            },
            **fields,
        )
        text = manifest.model_dump_json(indent=1, by_alias=True) + "\n"
        (self.folder / MANIFEST).write_text(text, encoding="utf-8")


@contextmanager
def writing(out: Path, *, memory_mib: int) -> Iterator[tuple[Connection, Made]]:
    """Yield a database and a folder that becomes `out` at the end, without what the database spilt there."""
    sweep_temporaries_of(out)
    reset_peak_memory("cpu")
    started, started_utc = time.monotonic(), utc_now()
    with (
        errors_explained(out.parent, memory_mib=memory_mib),
        atomic_folder(out, point="query-set") as folder,
    ):
        spill = folder / "spill"
        with open_database(spill, memory_mib=memory_mib) as connection:
            yield connection, Made(folder, out.resolve().name, started, started_utc)
        shutil.rmtree(spill, ignore_errors=True)


def finished(out: Path, wanted: str) -> QuerySetManifest:
    """Return the manifest of what now stands in `out`. Raises UserError if it is not what was wanted."""
    manifest = read_set_manifest(out)
    if manifest.content_hash != wanted:
        raise UserError(f"{out}: another process has just made another set there; choose another --out")
    return manifest


def input_file(path: Path) -> dict[str, Any]:
    """Return name, size and hash of a file that a set was made of."""
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
