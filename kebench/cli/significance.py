"""`kebench significance`: which models differ from which, on which tasks."""

from dataclasses import dataclass
from pathlib import Path

import click

from kebench.cli.found import (
    RecordOptions,
    build_board,
    correction_option,
    filter_found,
    metric_option,
    read_found,
    resamples_option,
    unseen_options,
    wanted_models,
)
from kebench.cli.options import added_by, option, takes
from kebench.cli.tables import Rows, format_option, print_sheets
from kebench.report.compare import Settings
from kebench.report.compare_export import FIELDS, significance_fields, significance_rows
from kebench.report.significance import Test, significance_sheet
from kebench.report.significance import significance as test_all
from kebench.report.table import Choice
from kebench.stats.pvalue import Correction


@dataclass(frozen=True, kw_only=True)
class SignificanceOptions(RecordOptions):
    """The options of the command."""

    models: str | None = option(help="Only these models: minilm,bert-tiny.")
    metric: Choice = added_by(metric_option)
    test: Test = option(
        default="welch",
        help="Over seeds (welch, paired), the test set (permutation), or the larger p of the two (both).",
    )
    correction: Correction = correction_option("all pairs of models on all tasks")
    resamples: int = added_by(resamples_option)
    without_seen: bool = added_by(unseen_options)
    data: Path | None  # of the same
    form: str = added_by(format_option)


@click.command()
@takes(SignificanceOptions)
def significance(options: SignificanceOptions) -> None:
    """Test every model against every other on every task.

    Prints models by tasks, with a dagger where a model is significantly below the best; models by models,
    the tasks won and lost; and mean ranks with Nemenyi's critical difference, from five tasks and three
    models on.
    """
    found = read_found(options.folders)
    wanted = wanted_models(found, options.models)
    kept = filter_found(found, suite=options.suite, tasks=options.tasks, models=wanted)
    board, predictions = build_board(
        found,
        kept,
        options.metric,
        without_seen=options.without_seen,
        data=options.data,
        suite=options.suite,
        across_protocols=options.across_protocols,
    )
    settings = Settings(
        metric=options.metric,
        correction=options.correction,
        num_resamples=options.resamples,
        without_seen=options.without_seen,
    )
    tested = test_all(board, test=options.test, settings=settings, predictions=predictions)
    print_sheets(
        map(significance_sheet, tested),
        options.form,
        rows=lambda: Rows(FIELDS, (row for one in tested for row in significance_rows(one))),
        content=lambda: {"schema": 1, "significance": [significance_fields(one) for one in tested]},
    )
