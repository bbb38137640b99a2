"""Finds and reads task cards.

Adding a task is adding a file: to `kebench/tasks/cards/`, or to `./tasks/` where kebench is run.
"""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from kebench.bounded import read_toml
from kebench.cards import files_by_name, read_card, require_own_name
from kebench.errors import UserError, did_you_mean
from kebench.files import cache_folder, expand_home
from kebench.kinds.card import TaskCard
from kebench.kinds.registry import KINDS


def card_class(fields: dict[str, Any]) -> type[TaskCard]:
    """Return the class of the card that has these fields. Raises UserError for an unknown kind."""
    kind = fields.get("kind")
    if kind not in KINDS:
        said = did_you_mean(kind, KINDS) if isinstance(kind, str) else ";"
        raise UserError(f"kind = {kind!r}{said} expected one of {', '.join(KINDS)}; mend this field")
    return KINDS[kind].card


def require_splits(tasks: Iterable[TaskCard], data: Path, splits: Iterable[str]) -> None:
    """Raise UserError if a file of one of the tasks is missing; it names all tasks that lack one."""
    wanted, lacking = tuple(splits), {}
    for task in tasks:
        try:
            for split in wanted:
                task.find_split(data, split)
        except UserError as error:
            lacking[task.name] = error
    if lacking and (len(lacking) == 1 or not data.is_dir()):
        raise next(iter(lacking.values()))
    if lacking:
        raise UserError(
            f"{data}: no data of {', '.join(lacking)}; see 'kebench data get', or name their folder with "
            "--data, or fewer tasks"
        )


def data_folder(named: Path | None = None) -> Path:
    """Return where the tasks' folders are: what a user names, or KEBENCH_DATA, or its `blurb` folder.

    The cache's `data` where neither is named.
    """
    chosen = str(named or "") or os.environ.get("KEBENCH_DATA")
    if not chosen:
        return cache_folder() / "data"
    folder = expand_home(chosen)
    return folder / "blurb" if (folder / "blurb").is_dir() else folder


def task_card_paths() -> dict[str, Path]:
    """Return every task card's file by name: `./tasks/*.toml` first, then the shipped ones."""
    return files_by_name(Path("tasks"), Path(__file__).parent / "cards")


def read_task_card(name: str) -> TaskCard:
    """Return the card of a name. Raises UserError with the nearest name if there is none."""
    paths = task_card_paths()
    if name not in paths:
        raise UserError(f"no task '{name}'{did_you_mean(name, paths)} 'kebench task list' shows all")
    try:
        card = _read(paths[name])
    except UserError as error:
        where = "" if str(paths[name]) in str(error) else f"{paths[name]}: "
        raise UserError(f"{where}{error}") from None
    require_own_name(card, paths[name])
    return card


@cache
def suite_scores() -> dict[str, str]:
    """Return what the one score over a suite's tasks is called, for the suites that have one."""
    suites = read_toml(Path(__file__).with_name("suites.toml"))
    return {name: str(fields["score"]) for name, fields in suites.items()}


def _read(path: Path) -> TaskCard:
    return read_card(path, card_class(read_toml(path)))


def _task_of(card: TaskCard) -> tuple[Any, ...]:
    """Return what makes a task the same one: its suites, and how it is read, cut and scored."""
    return sorted(card.suites), card.version, card.max_length, KINDS[card.kind].hashed(card)


def all_task_cards() -> list[TaskCard]:
    """Return every task card by suite, then by kind in the order of `KINDS`, then as the cards order them.

    Raises UserError for a card of a user's own that changes what the score of a suite is made of: a further
    task of it, or another one under the name of one of its tasks.
    """
    paths, own = task_card_paths(), files_by_name(Path(__file__).parent / "cards")
    cards = [read_task_card(name) for name in paths]
    for card in cards:
        shipped = _read(own[card.name]) if card.name in own and paths[card.name] != own[card.name] else None
        scored = {*card.suites, *(shipped.suites if shipped else ())} & suite_scores().keys()
        if scored and card.name not in own:
            raise UserError(
                f"{paths[card.name]}: suite '{sorted(scored)[0]}' has a score over tasks of its own, to "
                "which none is added; name another suite"
            )
        if scored and shipped and _task_of(card) != _task_of(shipped):
            raise UserError(
                f"{paths[card.name]}: another task than the one of this name in suite '{sorted(scored)[0]}', "
                "which has a score over its tasks; give it another name and suite"
            )
    kinds = list(KINDS)
    return sorted(cards, key=lambda card: (card.suite, kinds.index(card.kind), card.order, card.name))


def select_tasks(words: str, *, kind_suite: str | None = "blurb") -> list[TaskCard]:
    """Return the tasks that a comma-separated choice names, each once, in table order.

    A word is a task, a suite (blurb, mini), or a kind of the suite `kind_suite` (None: of any), also by its
    short name; one behind a suite's name and a hyphen is that suite's (mini-ner, mini-re).
    """
    cards = all_task_cards()
    chosen: set[str] = set()
    for word in (part.strip() for part in words.split(",") if part.strip()):
        suite, _, kind = word.rpartition("-")
        kinds = {name for name, one in KINDS.items() if kind in (name, one.short)}
        of = suite or kind_suite
        by_kind = {card.name for card in cards if card.kind in kinds and (of is None or of in card.suites)}
        by_name = {card.name for card in cards if word in (card.name, *card.suites)}
        if not (by_name or by_kind):
            known = {card.name for card in cards} | {suite for card in cards for suite in card.suites}
            known |= {KINDS[card.kind].short for card in cards if kind_suite in (None, *card.suites)}
            raise UserError(
                f"no task or suite '{word}'{did_you_mean(word, known)} 'kebench task list' shows all"
            )
        chosen |= by_name or by_kind
    if not chosen:
        raise UserError("--tasks names no task; 'kebench task list' shows all")
    return [card for card in cards if card.name in chosen]
