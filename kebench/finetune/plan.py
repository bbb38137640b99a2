"""A fine-tuning job before it runs: its budget, its files, their hashes, its identity. Needs no torch.

Budgets say how much training a score may cost; the numbers and their reasons are in budgets.toml.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import ConfigDict, Field, ValidationError

from kebench.cards import Card, LearningRate, ModelCard
from kebench.errors import UserError, did_you_mean
from kebench.files import hash_of, sha256_of
from kebench.kinds.card import SPLITS, TaskCard
from kebench.kinds.registry import KINDS
from kebench.kinds.schemes import Scheme, one_scheme
from kebench.records import Protocol, RateOrigin, Settings, identity_of, record_stem
from kebench.tasks.check import explain_unreadable


class OfKind(Card):
    """What a budget has for a kind of task of its own. origin: the paper that its numbers for it are from."""

    origin: str
    seeds: int | None = Field(None, ge=1, le=1000)


class Budget(Card):
    """One budget: what `Settings` needs, for several learning rates at once, and the rows used.

    takes_suggested_rates: whether rates that a model's card suggests replace the budget's. seeds: runs of
    each rate. kinds: what differs by kind of task. Upper bounds are ours: beyond them a value is a slip of
    the hand.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    summary: str
    learning_rates: Annotated[tuple[LearningRate, ...], Field(min_length=1)]
    takes_suggested_rates: bool = True
    seeds: int = Field(5, ge=1, le=1000)
    kinds: dict[str, OfKind] = {}
    epochs: int = Field(ge=1, le=1000)
    batch_size: int = Field(ge=1, le=4096)
    patience: int = Field(ge=0, le=1000)
    warmup_fraction: float = Field(ge=0, le=1)
    weight_decay: float = Field(ge=0, le=1)
    max_grad_norm: float = Field(gt=0)
    order: Literal["shuffled", "length-pools"]
    train_rows: int | None = Field(None, ge=1)
    dev_rows: int | None = Field(None, ge=1)

    def seeds_of(self, kind: str, asked: int | None = None) -> int:
        """Return how many seeds a task of a kind is run with: what the user asked for, else the budget's."""
        own = self.kinds.get(kind)
        return asked or (own and own.seeds) or self.seeds

    def settings(self, *, learning_rate: float, max_length: int) -> Settings:
        """Return the hyper-parameters of one run."""
        shared = {name: getattr(self, name) for name in Settings.model_fields if hasattr(self, name)}
        return Settings(**shared, learning_rate=learning_rate, max_length=max_length)


def read_budget(name: str, overrides: Mapping[str, object]) -> Budget:
    """Return a budget, with single values replaced. Raises UserError for an unknown name or bad value."""
    budgets = tomllib.loads(Path(__file__).with_name("budgets.toml").read_text())
    if name not in budgets:
        raise UserError(f"no budget '{name}'{did_you_mean(name, budgets)} there are {', '.join(budgets)}")
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return Budget.model_validate({"name": name, **budgets[name], **given})
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise UserError(f"--{option} {first['input']}: {first['msg']}") from None


class TaskFiles(NamedTuple):
    """A task with its three files, their SHA-256, and how they are tagged, where they are."""

    card: TaskCard
    paths: dict[str, Path]
    sha256: dict[str, str]
    schemes: dict[str, Scheme | None] = {}

    @property
    def converted(self) -> dict[str, Scheme]:
        """The schemes of the files whose tags are not IOB2's already, by split."""
        return {split: scheme for split, scheme in self.schemes.items() if scheme not in (None, "IOB2")}

    @property
    def hash(self) -> str:
        """Hash what can move a score: the files, and how the card has them read and scored."""
        # Records of before other schemes were recognised read such files as IOB2: theirs is another task.
        converted = [self.converted] if self.converted else []
        return hash_of([self.sha256, *KINDS[self.card.kind].hashed(self.card), *converted])


def find_task_files(card: TaskCard, data: Path) -> TaskFiles:
    """Find and hash a task's files, and read how they are tagged. Raises UserError if that cannot be done."""
    paths = {split: card.find_split(data, split) for split in SPLITS}
    sha256 = {split: sha256_of(path) for split, path in paths.items()}
    if not KINDS[card.kind].has_scheme:
        return TaskFiles(card, paths, sha256)
    schemes: dict[str, Scheme | None] = {}
    for split, path in paths.items():
        try:
            schemes[split] = KINDS[card.kind].read(card, path).scheme
        except UserError as error:
            raise UserError(explain_unreadable(error, path)) from None
    return TaskFiles(card, paths, sha256, one_scheme(schemes))


class Job(NamedTuple):
    """One run to be made. `identity` decides whether it has been made already.

    learning_rate_from: who chose the rates that are tried; no part of the identity.
    """

    card: ModelCard
    folder: Path
    model_hash: str
    task: TaskFiles
    seed: int
    settings: Settings
    protocol: Protocol
    learning_rate_from: RateOrigin | None = None

    @property
    def identity(self) -> str:
        """The hash that the record will carry."""
        return identity_of(
            model_hash=self.model_hash,
            task_version=self.task.card.version,
            task_hash=self.task.hash,
            seed=self.seed,
            settings=self.settings,
            protocol=self.protocol,
        )

    def stem(self, out: Path) -> Path:
        """The path of the run's files under `out`, without their endings."""
        return record_stem(
            out,
            task=self.task.card.name,
            model=self.card.name,
            seed=self.seed,
            learning_rate=self.settings.learning_rate,
            identity=self.identity,
        )
