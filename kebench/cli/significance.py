"""`kebench significance`: which models differ from which, on which tasks."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kebench.cli.found import (
    check_models,
    correction_option,
    filter_found,
    metric_option,
    predictions_of,
    read_found,
    recorded_name,
    require_here,
    resamples_option,
    results_option,
    split_names,
    suite_option,
    tasks_option,
)
from kebench.cli.tables import Rows, format_option, print_sheets
from kebench.cli.unseen import board_without_seen, unseen_options

if TYPE_CHECKING:
    from kebench.report.significance import Test
    from kebench.report.table import Choice
    from kebench.stats.pvalue import Correction


@click.command()
@results_option
@suite_option
@tasks_option
@click.option("--models", help="Only these models: minilm,bert-tiny.")
@metric_option
@click.option(
    "--test",
    type=click.Choice(["welch", "paired", "permutation", "both"]),
    default="welch",
    show_default=True,
    help="Over seeds (welch, paired), the test set (permutation), or the larger p of the two (both).",
)
@correction_option(over="all pairs of models on all tasks")
@resamples_option
@unseen_options
@format_option
def significance(
    folders: tuple[Path, ...],
    suite: str | None,
    tasks: str | None,
    models: str | None,
    metric: "Choice",
    test: "Test",
    correction: "Correction",
    resamples: int,
    without_seen: bool,
    data: Path | None,
    form: str,
) -> None:
    """Test every model against every other on every task.

    Prints models by tasks, with a dagger where a model is significantly below the best; models by models,
    the tasks won and lost; and mean ranks with Nemenyi's critical difference, from five tasks and three
    models on.
    """
    from kebench.report.compare import Settings
    from kebench.report.compare_export import FIELDS, significance_fields, significance_rows
    from kebench.report.significance import significance as test_all
    from kebench.report.significance import significance_sheet
    from kebench.report.table import build_leaderboard
    from kebench.tasks.card import all_task_cards

    cards = all_task_cards()
    found = read_found(folders)
    known = {record.model for record in found.records}
    wanted = [recorded_name(word, known, found.other_names) for word in split_names(models)]
    require_here(found, models=wanted)
    check_models(wanted, known)
    kept = filter_found(found, suite=suite, tasks=tasks, models=wanted, cards=cards)
    predictions, others = predictions_of(found), found.other_names
    if without_seen:
        board, predictions = board_without_seen(kept, predictions, cards, metric, data, others)
    else:
        board = build_leaderboard(kept, cards=cards, metric=metric, other_names=others)
    settings = Settings(
        metric=metric,
        correction=correction,
        num_resamples=resamples,
        without_seen=without_seen,
    )
    tested = test_all(board, test=test, settings=settings, predictions=predictions)
    print_sheets(
        map(significance_sheet, tested),
        form,
        rows=lambda: Rows(FIELDS, (row for one in tested for row in significance_rows(one))),
        content=lambda: {"schema": 1, "significance": [significance_fields(one) for one in tested]},
    )
