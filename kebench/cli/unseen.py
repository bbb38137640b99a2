"""`--without-seen`: scores without the test examples that stand in train or dev too."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import click

from kebench.cli.found import Found, predictions_of
from kebench.cli.options import FOLDER
from kebench.errors import UserError
from kebench.finetune.plan import find_task_files
from kebench.kinds.card import SPLITS
from kebench.kinds.registry import read_split
from kebench.records import Record
from kebench.report.compare import Predictions
from kebench.report.published import PublishedTable
from kebench.report.table import Choice, Leaderboard, build_leaderboard
from kebench.report.unseen import say_left_out
from kebench.report.unseen import without_seen as drop_seen
from kebench.run import data_of
from kebench.tasks.card import all_task_cards, data_folder
from kebench.tasks.facts import seen_rows

Command = TypeVar("Command", bound=Callable[..., Any])


def unseen_options(command: Command) -> Command:
    """Add --without-seen, and --data for runs from before it was kept which examples were seen."""
    flag = click.option(
        "--without-seen", is_flag=True, help="Score without test examples that stand in train or dev."
    )
    said = "--without-seen, of older runs: the data; default: KEBENCH_DATA."
    return flag(click.option("--data", type=FOLDER, help=said)(command))


def build_board(
    found: Found,
    records: Sequence[Record],
    metric: Choice,
    *,
    published: Sequence[PublishedTable] = (),
    without_seen: bool,
    data: Path | None = None,
) -> tuple[Leaderboard, Predictions]:
    """Return the leaderboard of some records that were found, and what reads their predictions.

    without_seen: both without what was seen, and without published rows, which are of whole test sets.
    data: see `unseen_options`. Raises UserError where it cannot be found out which examples were seen.
    """
    cards = all_task_cards()
    board_of = partial(build_leaderboard, cards=cards, metric=metric, other_names=found.other_names)
    predictions = predictions_of(found)
    if not without_seen:
        return board_of(records, published=published), predictions

    @cache
    def seen_in_data(task: str, task_hash: str) -> Sequence[int]:
        """Return which test examples were seen, from the very files that runs were made from."""
        what = f"{task}: which test examples were seen is not kept in these older runs"
        card = next((card for card in cards if card.name == task), None)
        if card is None:
            raise UserError(f"{what}, and there is no card of the task to read its data with; run it again")
        folder = data_of(card, data_folder(data))
        try:
            files = find_task_files(card, folder)
        except UserError as error:
            raise UserError(f"{what}; name the data they were made from by --data ({error})") from None
        if files.hash != task_hash:
            raise UserError(
                f"{what}, and they were made from other files than {folder} holds; name those by --data"
            )
        read = {split: read_split(card, files.paths[split]) for split in SPLITS}
        return seen_rows(card, read, "test").rows

    unseen = drop_seen(
        records, predictions, find_seen=lambda record: seen_in_data(record.task, record.task_hash)
    )
    return say_left_out(board_of(unseen.records), unseen), unseen.predictions
