"""`QuerySet`: cloze queries with their answers, and where they came from; a folder on disk.

queries.parquet has a row a query, set.json everything else; pools of candidates, for ranking, have three
files of their own. docs/FORMATS.md (Cloze sets) describes all.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow
import pyarrow.parquet
from pydantic import Field, field_validator, model_validator

from kebench.cards import Part, read_json_as
from kebench.errors import UserError
from kebench.files import cache_folder, sha256_of, write_atomically
from kebench.probe.recipe import Wording
from kebench.probe.recognise import recognised
from kebench.umls.rrf import InputFile

MANIFEST, QUERIES = "set.json", "queries.parquet"
QUESTIONS = "questions.parquet"  # of a set of another kind: `kebench.probe.questions`
CANDIDATES, ASKED, SHOTS = "candidates.parquet", "asked.parquet", "shots.parquet"
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
# Why a query is a bad question; docs/FORMATS.md says what each means.
FLAGS = (
    "between_vocabularies", "answer_in_question", "question_in_answer", "inverted_name", "no_sentence",
    "names_subject",
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


class FillUps(Part):
    """How many candidates fill a pool up: answers of the relation that no query has, or of other ones."""

    relation: int
    type: int


class NoDistractors(Part):
    """Pairs of a ranked query and a candidate that is true for it: by CUI, or only by name."""

    by_cui: int
    by_name: int


class Pool(Part):
    """What became of the pool of a relation and direction; docs/FORMATS.md describes each field."""

    asked: int
    reached: int
    taken_from: Literal["relation", "type"] = Field(alias="from")
    answers: int
    fill_ups: FillUps
    merged: int
    left_out: NoDistractors
    too_small: bool
    queries: int
    ranked: int
    shots: int


class Pools(Part):
    """What set.json says of the pools. by_relation: relation -> direction -> its pool."""

    version: int
    seed: int
    candidates: int
    ranked: int
    not_ranked: dict[str, int]
    flags: dict[str, int]
    by_relation: dict[str, dict[Literal["tail", "head"], Pool]]


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
    queries_hash: str = ""
    pools: Pools | None = None
    wordings: dict[str, Wording] = {}
    relations_left_out: dict[str, str] = {}
    files: dict[str, str] = {}
    provenance: dict[str, Any]

    @property
    def hash_of_queries(self) -> str:
        """The hash of what decides the queries alone: the content_hash that the set has without pools."""
        return self.queries_hash or self.content_hash

    @property
    def hashes(self) -> tuple[str, ...]:
        """The hashes by which probes may name this set: of its queries, or with its pools."""
        return tuple(dict.fromkeys((self.content_hash, self.hash_of_queries)))

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

    @model_validator(mode="after")
    def _has_files_of_pools(self) -> "QuerySetManifest":
        if set(self.files) != ({CANDIDATES, ASKED, SHOTS} if self.pools else set()):
            raise ValueError("pools without files, or the reverse")
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
        for name, sha256 in ({QUERIES: manifest.queries_sha256} | manifest.files).items():
            path = folder / name
            if not path.is_file() or sha256_of(path) != sha256:
                what = "not the file that set.json describes" if path.is_file() else "missing"
                raise UserError(f"{path}: {what}; copy the set again, or build it again")
        counted = {QUERIES: ("queries", manifest.counts["queries"])}
        if manifest.pools:
            counted[CANDIDATES] = ("candidates", manifest.pools.candidates)
            counted[ASKED] = ("ranked queries", manifest.pools.ranked)
        for name, (what, stated) in counted.items():
            rows = pyarrow.parquet.read_metadata(folder / name).num_rows
            if rows != stated:
                raise UserError(
                    f"{folder / MANIFEST}: {stated:,} {what}, {name} has {rows:,}; copy the set again, or "
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

    @property
    def pools(self) -> Pools | None:
        """What is said of the pools of candidates; None if the set has none, and cannot be ranked."""
        return self.manifest.pools

    def candidates(self) -> pyarrow.Table:
        """Return the candidates of all pools, by pool_id and place. Raises UserError if there are none."""
        return self._candidates

    def asked(self) -> pyarrow.Table:
        """Return the queries that can be ranked, by query_id. Raises UserError if there are no pools."""
        return self._asked

    def shots(self) -> pyarrow.Table:
        """Return facts that are not asked, by relation and direction, in the order of their draw.

        Raises UserError if there are no pools.
        """
        return self._shots

    def wordings(self, relation: str) -> Wording:
        """Return how facts of a relation are stated; no statement where each query has a text of its own.

        Raises UserError if there are no pools.
        """
        self._require_pools()
        return self.manifest.wordings.get(relation, Wording(statements=()))

    @cached_property
    def _candidates(self) -> pyarrow.Table:
        return self._read(CANDIDATES)

    @cached_property
    def _asked(self) -> pyarrow.Table:
        return self._read(ASKED)

    @cached_property
    def _shots(self) -> pyarrow.Table:
        return self._read(SHOTS)

    def _read(self, name: str) -> pyarrow.Table:
        self._require_pools()
        return pyarrow.parquet.read_table(self.folder / name)

    def _require_pools(self) -> None:
        if self.pools is None:
            remedy = "build or import it again, into another folder"
            if self.manifest.mode == "released":
                remedy = "those of mode released have none; build one of a knowledge base in mode fixed"
            raise UserError(f"{self.folder}: no pools of candidates, so nothing can be ranked; {remedy}")


def read_set_manifest(folder: Path) -> QuerySetManifest:
    """Return what set.json says. Raises UserError if it is missing or not one of ours."""
    if (folder / QUESTIONS).is_file():
        raise UserError(f"{folder}: a set of multiple choice questions; 'kebench probe choice' asks it")
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


def remember_set(folder: Path, *hashes: str) -> None:
    """Keep in the cache where a set was last seen, by its hashes: a probe's record holds one and no path.

    A cache that cannot be written only costs the user an option.
    """
    with suppress(OSError):
        for one in hashes:
            write_atomically(cache_folder() / "sets" / one, str(folder.absolute()), point="query-set")


def find_set(content_hash: str, *, name: str, option: str = "--set") -> QuerySet:
    """Return the set of a hash. Raises UserError if it is not here, with the option that takes its folder."""
    found: QuerySet = find_any_set(content_hash, QuerySet.open, name=name, option=option)
    return found


def find_any_set(
    content_hash: str, open_folder: Callable[[Path], Any], *, name: str, option: str = "--set"
) -> Any:
    """Return what `open_folder` makes of the folder where the set of a hash was last seen; as `find_set`."""
    try:
        folder = Path((cache_folder() / "sets" / content_hash).read_text(encoding="utf-8"))
    except OSError:
        raise UserError(
            f"set {name} {content_hash[:8]}: not seen on this machine; name its folder by {option} FOLDER, "
            "or make it first ('kebench probe build', 'kebench probe import')"
        ) from None
    try:
        found = open_folder(folder)
    except UserError as error:
        raise UserError(f"set {name} {content_hash[:8]}: {error}, or name it with {option}") from None
    if content_hash not in found.manifest.hashes:
        raise UserError(
            f"{folder}: holds another set than {name} {content_hash[:8]} by now; name it with {option}"
        )
    return found
