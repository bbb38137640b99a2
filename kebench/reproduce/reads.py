"""What a step reads besides its commands and products: recipes, checkpoints and tasks, by their content."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kebench.bounded import read_toml
from kebench.errors import UserError
from kebench.files import hash_of
from kebench.model.fetch import PLACES
from kebench.model.source import card_of
from kebench.recipes import Shelf, base_path
from kebench.tasks.card import SPLITS, TaskCard, default_data_folder, select_tasks

HashFiles = Callable[[Path], str]


def content_of(read: str, hash_files: HashFiles) -> str:
    """Return a hash of what `KIND NAME` names; "" of a model or of tasks that are not there.

    hash_files: of a file, or of all files in a folder. Raises UserError at a recipe that is not there or is
    none.
    """
    kind, _, name = read.partition(" ")
    try:
        return hash_of(READS[kind](name, hash_files))
    except UserError:
        if kind == "recipe":
            raise
        return ""  # `needs` says so, together with all else


def _recipe(name: str, hash_files: HashFiles) -> Any:
    """Return what FOLDER/NAME states, and those that it extends: in the working directory, or as shipped."""
    folder, _, stem = name.partition("/")
    shelf, stated = Shelf(folder), []
    path = shelf.find(stem)
    while True:
        fields = read_toml(path)
        stated.append(repr(fields))  # TOML has dates and infinity, which JSON lacks
        if "extends" not in fields or stated.count(stated[-1]) > 1:  # around a ring: the command says so
            return stated
        path = base_path(path, fields["extends"], shelf)


def _model(name: str, hash_files: HashFiles) -> Any:
    """Return a card, and the files of a checkpoint that the user may change; a fetched one is sealed."""
    card = card_of(name)
    files = hash_files(PLACES[card.source_kind](card)) if card.source_kind in PLACES else ""
    # Not its place: the folder may be moved.
    return [card.model_dump(mode="json", exclude={"source"} if card.source_kind == "path" else None), files]


def _tasks(name: str, hash_files: HashFiles) -> Any:
    return [[card.model_dump(mode="json"), *_files_of(card, hash_files)] for card in select_tasks(name)]


def _files_of(card: TaskCard, hash_files: HashFiles) -> list[str]:
    if card.access.kind == "embedded":
        return []
    return [hash_files(card.find_split(default_data_folder(), split)) for split in SPLITS]


READS: dict[str, Callable[[str, HashFiles], Any]] = {
    "recipe": _recipe,
    "model": _model,
    "tasks": _tasks,
}
