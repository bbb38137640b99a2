"""The task card: everything that makes a task that task, in one TOML file.

Adding a task is adding a file: to `kebench/tasks/cards/`, or to `./tasks/` where kebench is run.
A published task is never edited so that its scores move: `version` is raised instead.
"""

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from kebench.cards import Card, read_card
from kebench.errors import UserError, did_you_mean
from kebench.files import cache_folder, expand_home
from kebench.tasks.schemes import Scheme

SPLITS = ("train", "dev", "test")
SUITE_KINDS = ("ner", "relation")
METRICS = {"ner": "entity_f1", "relation": "micro_f1"}  # each kind has one; BLURB's


class Expected(Card):
    """The size of one split.

    units: mentions (NER) or instances (relation), as the BLURB files hold them.
    published: the paper's Table 1, where it prints another number; `reason` says why they differ.
    gold: `kebench.tasks.check.digest_gold` of the split: which row has which label, in no order.
    text: `digest_text`: the words or texts, in no order.
    pairing: `digest_pairing`: which words or texts stand with which labels.
    """

    units: int
    rows: int  # sentences (NER) or instances (relation)
    labels: dict[str, int] = {}  # instances by label (relation), tokens by tag (NER)
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

    folders: names under the data folder that are searched, in order.
    files: the file of each split in that folder.
    format: iob (token TAB tag), pairs (id TAB text TAB label), gad (header; index, sentence, label).
    scheme: that of the tags (NER), where a file in another is to be refused; None recognises it.
    ignore_types: the files may tag mentions of several types (NER), which are neither learnt nor scored.
    labels: the classes of a relation task; `negative` is the one that does not count (F1 over the rest).
    markers: the entity indicators that stand in the text, each one token of the vocabulary.
    merged_markers: those of them that stand for both entities at once.
    metric: that of the kind, if left out.
    max_length: word pieces kept, special tokens included; 512 are what BERT takes and what KeBioLM's NER has
        (section 4.3). It stands in every record, stated or not, so the default must stay.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    title: str
    version: int = Field(default=1, ge=1)
    suite: str
    kind: Literal["ner", "relation"]
    format: Literal["iob", "pairs", "gad"]
    folders: Annotated[tuple[str, ...], Field(min_length=1)]
    files: dict[str, str] = {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}
    metric: Literal["entity_f1", "micro_f1"]
    scheme: Scheme | None = None
    ignore_types: bool = False
    labels: tuple[str, ...] = ()
    negative: str = ""
    markers: tuple[str, ...] = ()
    merged_markers: tuple[str, ...] = ()
    max_length: int = Field(default=512, ge=8)
    licence: str
    citation: str
    access: Access
    expected: dict[str, Expected] = {}

    @model_validator(mode="before")
    @classmethod
    def _kind_decides_metric(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and fields.get("kind") in SUITE_KINDS:
            return {"metric": METRICS[fields["kind"]]} | fields
        return fields

    @model_validator(mode="after")
    def _is_consistent(self) -> "TaskCard":
        if set(self.files) != set(SPLITS):
            raise ValueError("files must name train, dev and test")
        if (self.kind == "ner") != (self.format == "iob") or self.metric != METRICS[self.kind]:
            raise ValueError("kind, format and metric do not go together")
        if self.kind == "relation" and (self.scheme or self.ignore_types):
            raise ValueError("scheme and ignore_types are of tagged files (ner)")
        if self.kind == "relation" and (self.negative not in self.labels or not self.markers):
            raise ValueError("a relation task needs labels, the negative one among them, and markers")
        return self

    @cached_property
    def positive_labels(self) -> tuple[str, ...]:
        """The labels that the F1 runs over."""
        return tuple(label for label in self.labels if label != self.negative)

    @property
    def is_published(self) -> bool:
        """Whether others give the files out, so that a damaged one can be fetched again."""
        return self.access.kind != "registration" or any(size.sha256 for size in self.expected.values())

    def find_folder(self, data: Path) -> Path:
        """Return the task's folder under the data folder, or beside a `blurb` folder.

        Raises UserError if none of its names is there.
        """
        if not data.is_dir():
            raise UserError(
                f"{data}: no such folder; --data or KEBENCH_DATA names the one with the tasks' folders"
            )
        if there := self._folders_there(data):
            return there[0]
        names = " or ".join(self.folders)
        raise UserError(
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
        """Return the file of one split. Raises UserError if it is missing."""
        path = self.find_folder(data) / self.files[split]
        if not path.is_file():
            raise UserError(f"{path}: missing; see 'kebench data get {self.name}'")
        return path


def require_splits(tasks: Iterable[TaskCard], data: Path, splits: Iterable[str]) -> None:
    """Raise UserError if a file of one of the tasks is missing; it names all tasks that lack one."""
    wanted, lacking, first = tuple(splits), [], None
    for task in tasks:
        try:
            for split in wanted:
                task.find_split(data, split)
        except UserError as error:
            lacking.append(task.name)
            first = first or error
    if first and (len(lacking) == 1 or not data.is_dir()):
        raise first
    if first:
        raise UserError(
            f"{data}: no data of {', '.join(lacking)}; see 'kebench data get', or name their folder with "
            "--data, or fewer tasks"
        )


def default_data_folder() -> Path:
    """Return where the tasks' folders are: KEBENCH_DATA, or its `blurb` folder, else the cache's `data`."""
    chosen = os.environ.get("KEBENCH_DATA")
    return data_folder(Path(chosen)) if chosen else cache_folder() / "data"


def data_folder(named: Path | None) -> Path:
    """Return the folder that a user names, or its `blurb` folder, else the default one."""
    if named is None:
        return default_data_folder()
    folder = expand_home(str(named))
    return folder / "blurb" if (folder / "blurb").is_dir() else folder


def task_card_paths() -> dict[str, Path]:
    """Return every task card's file by name: `./tasks/*.toml` first, then the shipped ones."""
    paths: dict[str, Path] = {}
    for folder in (Path("tasks"), Path(__file__).parent / "cards"):
        for path in sorted(folder.glob("*.toml")):
            paths.setdefault(path.stem, path)
    return paths


def read_task_card(name: str) -> TaskCard:
    """Return the card of a name. Raises UserError with the nearest name if there is none."""
    paths = task_card_paths()
    if name not in paths:
        raise UserError(f"no task '{name}'{did_you_mean(name, paths)} 'kebench task list' shows all")
    card = read_card(paths[name], TaskCard)
    if card.name != name:
        raise UserError(
            f"{paths[name]}: name = '{card.name}', expected '{name}' as in the file's name; rename one"
        )
    return card


def all_task_cards() -> list[TaskCard]:
    """Return every task card, NER before relation, then in the order of the paper's Table 1."""
    cards = [read_task_card(name) for name in task_card_paths()]
    return sorted(
        cards, key=lambda card: (card.suite, SUITE_KINDS.index(card.kind), _table_place(card), card.name)
    )


# Rows of Table 1 and 2 of the paper, top to bottom: the order in which tables print tasks.
TABLE_ORDER = ("bc5cdr-chem", "bc5cdr-disease", "ncbi-disease", "bc2gm", "jnlpba", "chemprot", "ddi", "gad")


def _table_place(card: TaskCard) -> int:
    name = card.name.removeprefix("mini-")
    return TABLE_ORDER.index(name) if name in TABLE_ORDER else len(TABLE_ORDER)


def select_tasks(words: str, *, kind_suite: str = "blurb") -> list[TaskCard]:
    """Return the tasks that a comma-separated choice names, each once, in table order.

    A word is a task, a suite (blurb, mini), or a kind (ner, relation, re) of the suite `kind_suite`;
    `mini-ner` and `mini-re` name the kinds of the miniature.
    """
    cards = all_task_cards()
    chosen: set[str] = set()
    for word in (part.strip() for part in words.split(",") if part.strip()):
        names = _names_meant(word, cards, kind_suite)
        if not names:
            known = {card.name for card in cards} | {card.suite for card in cards} | {"ner", "re"}
            raise UserError(
                f"no task or suite '{word}'{did_you_mean(word, known)} 'kebench task list' shows all"
            )
        chosen |= names
    if not chosen:
        raise UserError("--tasks names no task; 'kebench task list' shows all")
    return [card for card in cards if card.name in chosen]


def _names_meant(word: str, cards: list[TaskCard], kind_suite: str) -> set[str]:
    suite, _, kind = word.rpartition("-")
    kind = {"re": "relation"}.get(kind, kind)
    by_kind = {card.name for card in cards if card.kind == kind and card.suite == (suite or kind_suite)}
    by_name = {card.name for card in cards if word in (card.name, card.suite)}
    return by_name or by_kind
