"""How mentions are linked: the settings of a linker, their presets, and what every linker does."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import Field, ValidationError

from kebench.cards import Part
from kebench.corpus.passage import Mention, Passage
from kebench.errors import UserError, did_you_mean, first_fault

LinkerName = Literal["scispacy", "dictionary", "gold"]
DEFAULT_PRESET = "paper"
_PRESETS = Path(__file__).with_name("linking.toml")


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


class LinkerFiles(NamedTuple):
    """Files that a linker reads beside the knowledge base."""

    definitions: Path | None = None
    id_map: Path | None = None


NO_FILES = LinkerFiles()


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


def read_settings(linker: str, *, preset: str | None = None, **changes: object) -> LinkingSettings:
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
    # An option that would change nothing beside the others is a mistake.
    if "id_map" in changes:
        raise UserError("--id-map is for --linker gold, not for scispacy")
    if changes.get("mentions") == "dictionary" and "spacy_model" in changes:
        raise UserError(
            "--spacy-model is for --mentions ner or noun_chunks, not for dictionary; leave it out"
        )
    if "no_definition_threshold" in changes and "definitions" not in changes:
        raise UserError("--no-definition-threshold is for --definitions; name that file, or leave it out")
    chosen = {name: value for name, value in presets[preset].items() if name != "about"} | changes
    try:
        return LinkingSettings.model_validate({"linker": "scispacy", "preset": preset, **chosen})
    except ValidationError as error:
        raise UserError(f"linker: {first_fault(error, whole='the settings')}; change that option") from None
