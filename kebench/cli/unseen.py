"""`--without-seen`: scores without the test examples that stand in train or dev too."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from kebench.errors import UserError
from kebench.finetune.plan import find_task_files
from kebench.kinds.card import SPLITS, TaskCard
from kebench.kinds.registry import read_split
from kebench.records import OtherName, Record
from kebench.report.compare import Predictions
from kebench.report.table import Choice, Leaderboard, build_leaderboard
from kebench.report.unseen import say_left_out, without_seen
from kebench.run import data_of
from kebench.tasks.card import data_folder
from kebench.tasks.facts import seen_rows

Command = TypeVar("Command", bound=Callable[..., Any])


def unseen_options(command: Command) -> Command:
    """Add --without-seen, and --data for runs from before it was kept which examples were seen."""
    flag = click.option(
        "--without-seen", is_flag=True, help="Score without test examples that stand in train or dev."
    )
    data = click.option(
        "--data",
        type=click.Path(path_type=Path),
        help="--without-seen, of older runs: the data; default: KEBENCH_DATA.",
    )
    return flag(data(command))


def board_without_seen(
    records: Sequence[Record],
    predictions: Predictions,
    cards: Sequence[TaskCard],
    metric: Choice,
    data: Path | None,
    other_names: Mapping[str, OtherName],
) -> tuple[Leaderboard, Predictions]:
    """Return the leaderboard without what was seen, and what reads predictions so.

    Raises UserError where it cannot be found out which test examples were seen.
    """
    found: dict[tuple[str, str], Sequence[int]] = {}

    def find_seen(record: Record) -> Sequence[int]:
        key = (record.task, record.task_hash)
        if key not in found:
            found[key] = _seen_in_data(record, cards, data)
        return found[key]

    unseen = without_seen(records, predictions, find_seen=find_seen)
    board = build_leaderboard(unseen.records, cards=cards, metric=metric, other_names=other_names)
    return say_left_out(board, unseen), unseen.predictions


def _seen_in_data(record: Record, cards: Sequence[TaskCard], data: Path | None) -> Sequence[int]:
    """Return which test examples were seen, from the very files that a run was made from."""
    what = f"{record.task}: which test examples were seen is not kept in these older runs"
    card = next((card for card in cards if card.name == record.task), None)
    if card is None:
        raise UserError(f"{what}, and there is no card of the task to read its data with; run it again")
    folder = data_of(card, data_folder(data))
    try:
        files = find_task_files(card, folder)
    except UserError as error:
        raise UserError(f"{what}; name the data they were made from by --data ({error})") from None
    if files.hash != record.task_hash:
        raise UserError(
            f"{what}, and they were made from other files than {folder} holds; name those by --data"
        )
    read = {split: read_split(card, files.paths[split]) for split in SPLITS}
    return seen_rows(card, read, "test").rows
