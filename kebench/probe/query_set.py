"""`QuerySet`: cloze queries with their answers, and where they came from; a folder on disk.

queries.parquet has a row a query, set.json everything else. docs/FORMATS.md (Cloze sets) describes both.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow
import pyarrow.parquet
from pydantic import Field, field_validator, model_validator

from kebench.cards import Part, read_json_as
from kebench.errors import UserError
from kebench.files import cache_folder, sha256_of, write_atomically
from kebench.probe.recognise import recognised
from kebench.umls.rrf import InputFile

MANIFEST, QUERIES = "set.json", "queries.parquet"
SCHEMA: Literal[1] = 1
# Raised, of a mode, by every change that can change a query or an accepted name.
SET_VERSIONS = {"fixed": 2, "released": 1}
MASK = "[MASK]"
NUMBERS_OF_RELATION = ("queries", "mean_cuis", "type_1", "type_2")
NUMBERS = (
    *NUMBERS_OF_RELATION, "queries_before_cap", "relations", "answers", "without_answers", "type_1_released",
    "type_2_released", "triples", "names", "ambiguous_names", "ambiguous_share",
    "queries_with_ambiguous_names",
)  # fmt: skip
COLUMNS = (
    "query_id", "text", "relation", "direction", "given", "luis", "answers", "is_type_1",
    "is_type_1_released",
)  # fmt: skip

_log = logging.getLogger(__name__)


class Source(Part):
    """The knowledge base that a set was made of."""

    release: str
    content_hash: str
    made_from: str


class QuerySetManifest(Part):
    """What set.json says; docs/FORMATS.md describes each field."""

    schema_version: Literal[1] = Field(SCHEMA, alias="schema")
    name: str
    set_version: int = 1  # sets say it since 2
    mode: Literal["fixed", "released"]
    content_hash: str
    knowledge_base: Source | None
    recipe: dict[str, Any] | None
    inputs: tuple[InputFile, ...] = ()
    counts: dict[str, Any]
    by_relation: dict[str, dict[str, Any]]
    facts_stored: Literal["once", "twice"] | None
    reverse_share: float | None
    sharing: str
    missing: dict[str, int]
    queries_sha256: str
    provenance: dict[str, Any]

    @field_validator("counts")
    @classmethod
    def _counts_queries(cls, counts: dict[str, Any]) -> dict[str, Any]:
        if type(counts.get("queries")) is not int:
            raise ValueError("no number of queries")
        if not all(_is_number(counts.get(name)) for name in NUMBERS):
            raise ValueError(f"a number is none; expected {', '.join(NUMBERS)}")
        return counts

    @field_validator("recipe")
    @classmethod
    def _has_published_numbers(cls, recipe: dict[str, Any] | None) -> dict[str, Any] | None:
        if recipe is not None and not isinstance(recipe.get("published", {}), dict):
            raise ValueError("published is no table")
        return recipe

    @field_validator("by_relation")
    @classmethod
    def _counts_relations(cls, by_relation: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for relation, counts in by_relation.items():
            if not all(name in counts and _is_number(counts[name]) for name in NUMBERS_OF_RELATION):
                raise ValueError(f"{relation}: expected {', '.join(NUMBERS_OF_RELATION)}")
        return by_relation

    @model_validator(mode="after")
    def _knows_both_of_facts(self) -> "QuerySetManifest":
        if (self.facts_stored is None) != (self.reverse_share is None):
            raise ValueError("facts_stored without reverse_share, or the reverse")
        return self


def _is_number(value: Any) -> bool:
    """Whether a value is a number, or missing."""
    return value is None or type(value) in (int, float)


@dataclass(frozen=True)
class QuerySet:
    """A set of cloze queries on disk; `QuerySet.open` makes one of a folder."""

    folder: Path
    manifest: QuerySetManifest

    @classmethod
    def open(cls, folder: Path | str) -> "QuerySet":
        """Return the set of a folder. Raises UserError if it is none, or not whole."""
        folder = Path(folder)
        manifest = read_set_manifest(folder)
        path = folder / QUERIES
        if not path.is_file() or sha256_of(path) != manifest.queries_sha256:
            what = "not the file that set.json describes" if path.is_file() else "missing"
            raise UserError(f"{path}: {what}; copy the set again, or build it again")
        rows, stated = pyarrow.parquet.read_metadata(path).num_rows, manifest.counts["queries"]
        if rows != stated:
            raise UserError(
                f"{folder / MANIFEST}: {stated:,} queries, {QUERIES} has {rows:,}; copy the set again, or "
                "build it again"
            )
        return cls(folder, manifest)

    @property
    def path(self) -> Path:
        """The Parquet file of the queries."""
        return self.folder / QUERIES

    def table(self, columns: Sequence[str] | None = None) -> pyarrow.Table:
        """Return the queries, or some columns of them, in the order of query_id."""
        return pyarrow.parquet.read_table(self.path, columns=None if columns is None else list(columns))

    def __len__(self) -> int:
        return int(self.manifest.counts["queries"])


def read_set_manifest(folder: Path) -> QuerySetManifest:
    """Return what set.json says. Raises UserError if it is missing or not one of ours."""
    try:
        return read_json_as(folder / MANIFEST, QuerySetManifest, refused="{}; build the set again")
    except (FileNotFoundError, NotADirectoryError) as error:
        if kind := recognised(folder):
            raise UserError(f"{folder}: this looks like {kind}") from None
        wrong = "a file, expected a set's folder; 'kebench probe import' makes one of .csv and .jsonl"
        if isinstance(error, FileNotFoundError):
            wrong = f"no set of queries ({MANIFEST} is missing); make one with 'kebench probe build'"
        raise UserError(f"{folder}: {wrong}") from None


def same_set_already(out: Path, wanted: str) -> QuerySetManifest | None:
    """Return the manifest of `out` if it holds the wanted content, and say so; None if it is not there.

    Raises UserError if it holds anything else.
    """
    if not out.exists():
        return None
    if not (out / MANIFEST).is_file():
        raise UserError(f"{out}: exists and is no set of queries; choose another --out, or remove it")
    found = QuerySet.open(out).manifest
    if found.content_hash != wanted:
        raise UserError(
            f"{out}: holds another set of queries ({found.name}, {found.counts['queries']:,} queries); "
            "choose another --out, or remove it"
        )
    _log.info("%s: holds this very set of queries already; nothing to do", out)
    return found


def remember_set(folder: Path, content_hash: str) -> None:
    """Keep in the cache where a set was last seen, by its hash: a probe's record holds that and no path.

    A cache that cannot be written only costs the user an option.
    """
    with suppress(OSError):
        write_atomically(cache_folder() / "sets" / content_hash, str(folder.absolute()), point="query-set")


def find_set(content_hash: str, *, name: str, option: str = "--set") -> QuerySet:
    """Return the set of a hash. Raises UserError if it is not here, with the option that takes its folder."""
    try:
        folder = Path((cache_folder() / "sets" / content_hash).read_text(encoding="utf-8"))
    except OSError:
        raise UserError(
            f"set {name} {content_hash[:8]}: not seen on this machine; name its folder by {option} FOLDER, "
            "or make it first ('kebench probe build', 'kebench probe import')"
        ) from None
    try:
        query_set = QuerySet.open(folder)
    except UserError as error:
        raise UserError(f"set {name} {content_hash[:8]}: {error}, or name it with {option}") from None
    if query_set.manifest.content_hash != content_hash:
        raise UserError(
            f"{folder}: holds another set than {name} {content_hash[:8]} by now; name it with {option}"
        )
    return query_set
