"""`LinkedCorpus`: passages with mentions and their concepts; a folder of Parquet shards and corpus.json.

docs/FORMATS.md (Linked corpora) describes both. Text is in the shards; share them as its licence allows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import duckdb
import pyarrow
import pyarrow.parquet
from pydantic import Field, field_validator, model_validator

from kebench.cards import Part, read_json_as
from kebench.corpus.linking import LinkingSettings
from kebench.corpus.passage import Mention
from kebench.errors import UserError
from kebench.files import sha256_of
from kebench.umls.database import connect
from kebench.umls.knowledge_base import KnowledgeBase

MANIFEST, SHARDS = "corpus.json", "shards"
_MENTION = pyarrow.struct([
    ("char_start", pyarrow.int32()), ("char_end", pyarrow.int32()), ("cui", pyarrow.string()),
    ("score", pyarrow.float32()),
])  # fmt: skip
SCHEMA = pyarrow.schema([
    ("document_id", pyarrow.string()), ("passage", pyarrow.int32()), ("text", pyarrow.string()),
    ("detected", pyarrow.int32()), ("mentions", pyarrow.list_(_MENTION)),
])  # fmt: skip


class CorpusInput(Part):
    """A file that a corpus was made of, and what was read in it. faults: records that could not be used."""

    name: str
    bytes: int
    sha256: str
    format: str
    read: dict[str, int]

    @field_validator("read")
    @classmethod
    def _counts_faults(cls, read: dict[str, int]) -> dict[str, int]:
        if "faults" not in read:
            raise ValueError("no number of faults")
        return read


class Shard(Part):
    """One Parquet file: its name under `shards`, documents, rows and hash."""

    name: str
    documents: int
    passages: int
    bytes: int
    sha256: str


class CorpusCounts(Part):
    """The sizes of a corpus, as KeBioLM's sec. 4.1 gives them, and what lies behind.

    detected: mentions found in the text, linked or not. mentions: those with a concept at least. links: pairs
    of mention and concept. cuis: distinct concepts.
    """

    documents: int
    passages: int
    characters: int
    detected: int
    mentions: int
    links: int
    cuis: int


class Exclusion(Part):
    """Which documents were kept out, so that no test of a benchmark is trained on.

    tests: the tasks; none if nothing was asked. files: names of the files of ids that were given. by_id,
    by_text: documents left out by their id, and by a sentence of a test that they hold. ids, sentences: how
    many of either were known.
    """

    tests: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    ids: int = 0
    sentences: int = 0
    by_id: int = 0
    by_text: int = 0


class CorpusManifest(Part):
    """What corpus.json says.

    content_hash: of what decides the links: inputs, settings, knowledge base, models. about: what the linker
    says of itself. left_out: documents by reason.
    """

    schema_version: Literal[1] = Field(1, alias="schema")
    content_hash: str
    knowledge_base: dict[str, str]
    settings: LinkingSettings
    about: dict[str, Any]
    on_error: str
    retracted: str
    exclusion: Exclusion
    inputs: tuple[CorpusInput, ...]
    left_out: dict[str, int]
    counts: CorpusCounts
    shards: tuple[Shard, ...]
    provenance: dict[str, Any]

    @field_validator("knowledge_base")
    @classmethod
    def _names_a_release(cls, knowledge_base: dict[str, str]) -> dict[str, str]:
        if not {"release", "content_hash"} <= set(knowledge_base):
            raise ValueError("no release or no content_hash")
        return knowledge_base

    @model_validator(mode="after")
    def _adds_up(self) -> "CorpusManifest":
        if (found := sum(shard.passages for shard in self.shards)) != self.counts.passages:
            raise ValueError(f"{self.counts.passages:,} passages, its shards have {found:,}")
        return self


class LinkedPassage(NamedTuple):
    """A passage with its mentions, in order of their beginnings; of one mention the best concept first."""

    document_id: str
    number: int
    text: str
    mentions: list[Mention]


@dataclass(frozen=True)
class LinkedCorpus:
    """A linked corpus on disk; `LinkedCorpus.open` makes one of a folder."""

    folder: Path
    manifest: CorpusManifest
    _seen_whole: set[str] = field(default_factory=set, init=False, repr=False, compare=False)  # hashed shards

    @classmethod
    def open(cls, folder: Path | str) -> "LinkedCorpus":
        """Return the corpus of a folder. Raises UserError if it is none, or not finished, or not whole."""
        folder = Path(folder)
        path = folder / MANIFEST
        refused = "{}; copy the corpus again, or remove it and run the same 'kebench annotate' again"
        try:
            manifest = read_json_as(path, CorpusManifest, refused=refused)
        except FileNotFoundError:
            what, remedy = "is no linked corpus", "name a folder made by 'kebench annotate'"
            if (folder / SHARDS).is_dir():
                what, remedy = "is not finished", f"run 'kebench annotate' with --out {folder}"
            raise UserError(f"{folder} {what} ({MANIFEST} is missing); {remedy}") from None
        except NotADirectoryError:
            raise UserError(f"{folder}: a file, expected the folder of a linked corpus") from None
        for shard in manifest.shards:
            found = folder / SHARDS / shard.name
            if not found.is_file() or found.stat().st_size != shard.bytes:
                raise UserError(
                    f"{found}: missing or cut off; copy the corpus again, or remove {path} and run the same "
                    "'kebench annotate' again"
                )
        return cls(folder, manifest)

    def require_made_with(self, knowledge_base: KnowledgeBase) -> None:
        """Raise UserError if the corpus was linked to another knowledge base."""
        made_with = self.manifest.knowledge_base
        if made_with["content_hash"] != knowledge_base.content_hash:
            other = f"{knowledge_base.manifest.release} {knowledge_base.content_hash[:12]}"
            raise UserError(
                f"{self.folder}: linked to {made_with['release']} {made_with['content_hash'][:12]}, not to "
                f"{knowledge_base.folder} ({other}); name that one with --kb"
            )

    def paths(self) -> list[Path]:
        """Return the shards, in order."""
        return [self.folder / SHARDS / shard.name for shard in self.manifest.shards]

    def cuis(self) -> frozenset[str]:
        """Return the distinct concepts of all mentions."""
        if not self.manifest.shards:
            return frozenset()
        for shard in self.manifest.shards:
            self._unchanged(shard)
        try:
            with connect() as connection:
                rows = connection.execute(
                    "SELECT DISTINCT unnest(mentions).cui FROM read_parquet($paths)",
                    {"paths": [str(path) for path in self.paths()]},
                ).fetchall()
        except duckdb.Error:
            refuse_damaged(self.paths())
            raise
        return frozenset(cui for (cui,) in rows)

    def passages(self) -> Iterator[LinkedPassage]:
        """Yield every passage, a shard in memory at a time."""
        for shard in self.manifest.shards:
            yield from self.passages_of(shard)

    def passages_of(self, shard: Shard) -> Iterator[LinkedPassage]:
        """Yield the passages of one shard. Raises UserError if it is not the one that was written."""
        for row in read_shard(self._unchanged(shard)).to_pylist():
            mentions = [Mention(*mention.values()) for mention in row["mentions"]]
            yield LinkedPassage(row["document_id"], row["passage"], row["text"], mentions)

    def _unchanged(self, shard: Shard) -> Path:
        """Return a shard's path. Raises UserError if it is not the one that was written; reads it once."""
        path = self.folder / SHARDS / shard.name
        if shard.name not in self._seen_whole:
            if sha256_of(path) != shard.sha256:
                raise UserError(
                    f"{path}: not the file that {MANIFEST} describes; copy the corpus again, or remove it "
                    f"and {MANIFEST}, and run the same 'kebench annotate' again"
                )
            self._seen_whole.add(shard.name)
        return path


def read_shard(path: Path) -> pyarrow.Table:
    """Return what a shard holds. Raises UserError if it is damaged."""
    try:
        return pyarrow.parquet.read_table(path, schema=SCHEMA)
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's, not the file's
            raise
        raise UserError(
            f"{path}: damaged; copy the corpus again, or remove it and {MANIFEST}, if that is there, and run "
            "the same 'kebench annotate' again"
        ) from None


def refuse_damaged(paths: list[Path]) -> None:
    """Raise UserError at the first shard that is damaged; slow, for when something has gone wrong."""
    for path in paths:
        read_shard(path)


def is_whole_shard(path: Path) -> bool:
    """Say whether a shard is there and ends as Parquet does: one that is cut off does not."""
    try:
        return bool(pyarrow.parquet.read_schema(path).equals(SCHEMA))
    except (pyarrow.ArrowException, OSError):
        return False
