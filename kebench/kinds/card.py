"""The task card: all that makes a task that task, in one TOML file. Here, what all kinds of task share.

Each kind adds its own fields (`kebench.kinds`). A published task is never edited so that its scores move:
`version` is raised instead.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from kebench.cards import Card
from kebench.errors import UserError
from kebench.kinds.lines import FETCH_AGAIN, MEND

SPLITS = ("train", "dev", "test")


class NoDataError(UserError):
    """A task's files are not there; says how to get them."""


class Expected(Card):
    """The size of one split.

    units: what the kind of task counts (mentions, instances), as the files hold them.
    published: the paper's Table 1, where it prints another number; `reason` says why they differ.
    gold: `kebench.tasks.check.digest_gold` of the split: which row has which label, in no order.
    text: as many digits of the words or texts, in no order and without blanks.
    pairing: of which words or texts stand with which labels, rows in no order.
    """

    units: int
    rows: int  # sentences, instances
    labels: dict[str, int] = {}  # instances by label, tokens by tag
    gold: str = ""
    text: str = ""
    pairing: str = ""
    published: int | None = None
    reason: str = ""
    sha256: tuple[str, ...] = ()  # of files known to be right; another hash with these counts is a note

    @model_validator(mode="after")
    def _a_difference_has_a_reason(self) -> "Expected":
        if self.published not in (None, self.units) and not self.reason:
            raise ValueError("published differs from units without a reason")
        return self


class Access(Card):
    """Where users get the data.

    kind: open (the sources can be downloaded), registration (a person has to ask), embedded.
    sources: {split: url} of open data; instructions: what to do otherwise.
    sha256: {split: hash of what its url gives}, where it is known; expected sizes are checked in any case.
    """

    kind: Literal["open", "registration", "embedded"]
    homepage: str = ""
    instructions: str = ""
    sources: dict[str, str] = {}
    sha256: dict[str, str] = {}

    @model_validator(mode="after")
    def _says_how(self) -> "Access":
        if self.kind == "open" and set(self.sources) != set(SPLITS):
            raise ValueError("open access needs sources for train, dev and test")
        if self.kind == "registration" and not self.instructions:
            raise ValueError("access by registration needs instructions")
        return self


class TaskCard(Card):
    """One task. A card that cannot be complete cannot be read.

    suite: the one it belongs to; also_in: further ones, whose averages it enters too.
    kind: decides which further fields there are, and how all else is done.
    folders: names under the data folder that are searched, in order.
    files: the file of each split in that folder.
    format: of the files; the kind says which it reads.
    metric: the kind's first, if left out.
    heading: over a column of numbers; the name, if left out. order: its place in tables, the lowest first.
    max_length: word pieces kept, special tokens included; 512 are what BERT takes and what KeBioLM's NER has
        (section 4.3). It stands in every record, stated or not, so the default must stay.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    title: str
    version: int = Field(default=1, ge=1)
    suite: str
    also_in: tuple[str, ...] = ()
    kind: str
    format: str
    folders: Annotated[tuple[str, ...], Field(min_length=1)]
    files: dict[str, str] = {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}
    metric: str
    heading: str = ""
    order: int = 1000
    max_length: int = Field(default=512, ge=8)
    licence: str
    citation: str
    access: Access
    expected: dict[str, Expected] = {}

    @model_validator(mode="after")
    def _names_every_split(self) -> "TaskCard":
        if set(self.files) != set(SPLITS):
            raise ValueError("files must name train, dev and test")
        return self

    @property
    def suites(self) -> tuple[str, ...]:
        """All suites that it belongs to, its own first."""
        return (self.suite, *self.also_in)

    @property
    def remedy(self) -> str:
        """What to do about a damaged file of this task."""
        return FETCH_AGAIN if self.is_published else MEND

    @property
    def is_published(self) -> bool:
        """Whether others give the files out, so that a damaged one can be fetched again."""
        return self.access.kind != "registration" or any(size.sha256 for size in self.expected.values())

    def find_folder(self, data: Path) -> Path:
        """Return the task's folder under the data folder or beside a `blurb` one. NoDataError if none is."""
        if not data.is_dir():
            raise NoDataError(
                f"{data}: no such folder; --data or KEBENCH_DATA names the one with the tasks' folders, "
                "and 'kebench data get' fills it"
            )
        if there := self._folders_there(data):
            return there[0]
        names = " or ".join(self.folders)
        raise NoDataError(
            f"{data}: no folder {names} for task '{self.name}'; see 'kebench data get {self.name}'"
        )

    def target_folder(self, data: Path) -> Path:
        """Return the folder that the task's files are written to: the one that is there, or a new one."""
        return [*self._folders_there(data), data / self.folders[0]][0]

    def _folders_there(self, data: Path) -> list[Path]:
        # A folder that holds blurb/ may hold a user's own tasks beside it.
        places = [data, data.parent] if data.name == "blurb" else [data]
        return [place / name for place in places for name in self.folders if (place / name).is_dir()]

    def find_split(self, data: Path, split: str) -> Path:
        """Return the file of one split. Raises NoDataError if it is missing."""
        path = self.find_folder(data) / self.files[split]
        if not path.is_file():
            raise NoDataError(f"{path}: missing; see 'kebench data get {self.name}'")
        return path
