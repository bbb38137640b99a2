"""Linkers: from passages to mentions with concepts: as scispaCy does it, by names, or as the file says.

A linker is made once in each process and takes passages a shard at a time.
"""

import logging
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import Field, ValidationError

from kebench.corpus.dictionary import Dictionary, names_of
from kebench.corpus.gold import GoldConcepts
from kebench.corpus.passage import Mention, Passage
from kebench.errors import UserError, did_you_mean, first_fault
from kebench.records import Part
from kebench.umls.knowledge_base import KnowledgeBase

LinkerName = Literal["scispacy", "dictionary", "gold"]
DEFAULT_PRESET = "paper"
_PRESETS = Path(__file__).with_name("linking.toml")

_log = logging.getLogger(__name__)


class Linked(NamedTuple):
    """What was found in one passage. detected: mentions, linked or not."""

    mentions: list[Mention]
    detected: int


class Linker(Protocol):
    """Links the mentions of passages."""

    def link(self, passages: Sequence[Passage]) -> list[Linked]:
        """Return what was found in each passage, mentions in order of their beginnings."""

    def about(self) -> dict[str, Any]:
        """Return what decided the links beside the settings: models, versions, sizes."""


class LinkingSettings(Part):
    """How mentions are found and linked; the fields of scispaCy's linker count for no other.

    preset: whose settings. mentions, spacy_model: how mentions are found. search: of nearest names.
    threshold: a link's similarity is above it. k: nearest names looked at. max_entities: most concepts of a
    mention. ties: which of equally similar concepts comes first. definitions: SHA-256 of the file that says
    which concepts have one; the others need no_definition_threshold. id_map: SHA-256 of the file that says
    which concepts the ids of a file are.
    """

    linker: LinkerName
    preset: str | None = None
    mentions: Literal["ner", "noun_chunks", "dictionary"] | None = None
    spacy_model: str | None = None
    search: Literal["exact", "approximate"] | None = None
    threshold: float | None = Field(None, ge=0, lt=1)
    k: int | None = Field(None, ge=1, le=1000)
    max_entities: int | None = Field(None, ge=1)
    abbreviations: bool | None = None
    no_definition_threshold: float | None = Field(None, ge=0, lt=1)
    ties: Literal["names", "cui"] | None = None
    definitions: str | None = None
    id_map: str | None = None


def read_settings(linker: str, *, preset: str | None = None, **changes: Any) -> LinkingSettings:
    """Return the settings of a linker: a preset's, with changes that are not None. Raises UserError.

    preset: None is the paper's for scispacy; others have none.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    if linker != "scispacy":
        kept = {"gold": ("id_map",)}.get(linker, ())
        for name in (*changes, *(["preset"] if preset else [])):
            if name not in kept:
                raise UserError(f"--{name.replace('_', '-')} is for --linker scispacy, not for {linker}")
        return LinkingSettings.model_validate({"linker": linker, "id_map": changes.get("id_map")})
    preset = preset or DEFAULT_PRESET
    presets = tomllib.loads(_PRESETS.read_text(encoding="utf-8"))
    if preset not in presets:
        raise UserError(f"no preset '{preset}'{did_you_mean(preset, presets)} there are {', '.join(presets)}")
    chosen = {name: value for name, value in presets[preset].items() if name != "about"} | changes
    _refuse_what_counts_for_nothing(changes)
    try:
        return LinkingSettings.model_validate({"linker": "scispacy", "preset": preset, **chosen})
    except ValidationError as error:
        raise UserError(f"linker: {first_fault(error, whole='the settings')}; change that option") from None


def _refuse_what_counts_for_nothing(changes: dict[str, Any]) -> None:
    """Raise UserError at an option that would change nothing beside the others."""
    if "id_map" in changes:
        raise UserError("--id-map is for --linker gold, not for scispacy")
    if changes.get("mentions") == "dictionary" and "spacy_model" in changes:
        raise UserError(
            "--spacy-model is for --mentions ner or noun_chunks, not for dictionary; leave it out"
        )
    if "no_definition_threshold" in changes and "definitions" not in changes:
        raise UserError("--no-definition-threshold is for --definitions; name that file, or leave it out")


class DictionaryLinker:
    """Links every name that stands in a text; kebench.corpus.dictionary says which concept a name is of."""

    def __init__(
        self, knowledge_base: KnowledgeBase, settings: LinkingSettings, files: "LinkerFiles"
    ) -> None:
        self._dictionary = Dictionary(names_of(knowledge_base))

    def link(self, passages: Sequence[Passage]) -> list[Linked]:
        """Return the names in each passage; a name's score is 1."""
        found = (self._dictionary.find(passage.text) for passage in passages)
        return [Linked([Mention(*match, 1.0) for match in matches], len(matches)) for matches in found]

    def about(self) -> dict[str, Any]:
        """Return what became of the names."""
        return {"names": self._dictionary.counts._asdict()}


class GoldLinker:
    """Links the mentions that the file states, by the ids that it states."""

    def __init__(
        self, knowledge_base: KnowledgeBase, settings: LinkingSettings, files: "LinkerFiles"
    ) -> None:
        self._concepts = GoldConcepts(knowledge_base, id_map=files.id_map)
        self._has_warned = False

    def link(self, passages: Sequence[Passage]) -> list[Linked]:
        """Return the stated mentions of each passage, one for each concept; a link's score is 1."""
        concepts = self._concepts.of(one for passage in passages for gold in passage.gold for one in gold.ids)
        linked = []
        for passage in passages:
            mentions = [
                Mention(gold.char_start, gold.char_end, cui, 1.0)
                for gold in sorted(passage.gold)
                for cui in dict.fromkeys(concepts[one] for one in gold.ids)
                if cui is not None
            ]
            linked.append(Linked(mentions, len(passage.gold)))
        if passages and not self._has_warned and not any(one.mentions for one in linked):
            self._has_warned = True
            _log.warning(
                "--linker gold links nothing in %d passages: %s", len(passages), _why_none(concepts, linked)
            )
        return linked

    def about(self) -> dict[str, Any]:
        """Return nothing: the file decides."""
        return {}


def _why_none(concepts: dict[str, str | None], linked: Sequence[Linked]) -> str:
    """Say why no stated mention has a concept."""
    if unknown := next(iter(concepts), None):
        return f"the knowledge base knows none of the {len(concepts)} ids, such as {unknown}; see --id-map"
    if any(one.detected for one in linked):
        return "none of the stated mentions has an id"
    return "the file states no mention; choose another --linker"


class LinkerFiles(NamedTuple):
    """Files that a linker reads beside the knowledge base."""

    definitions: Path | None = None
    id_map: Path | None = None


NO_FILES = LinkerFiles()


def _scispacy(knowledge_base: KnowledgeBase, settings: LinkingSettings, files: LinkerFiles) -> Linker:
    from kebench.corpus.scispacy_linker import ScispacyLinker

    return ScispacyLinker(knowledge_base, settings, files.definitions)


LINKERS: dict[str, Callable[[KnowledgeBase, LinkingSettings, LinkerFiles], Linker]] = {
    "scispacy": _scispacy,
    "dictionary": DictionaryLinker,
    "gold": GoldLinker,
}
