"""`kebench compare`: is one model better than another, on other seeds and on other sentences?"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kebench.cli.found import (
    correction_option,
    filter_found,
    metric_option,
    predictions_of,
    read_found,
    require_here,
    resamples_option,
    results_option,
    row_name,
    suite_option,
    tasks_option,
)
from kebench.cli.options import added_by, argument, option, takes
from kebench.cli.tables import Rows, format_option, print_sheets
from kebench.cli.unseen import board_without_seen, unseen_options
from kebench.errors import UserError

if TYPE_CHECKING:
    from kebench.report.compare import Unit
    from kebench.report.table import Choice
    from kebench.stats.pvalue import Correction, Sides


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """The options of the command."""

    a: str = argument()
    b: str = argument()
    folders: tuple[Path, ...] = added_by(results_option)
    suite: str | None = added_by(suite_option)
    tasks: str | None = added_by(tasks_option)
    metric: "Choice" = added_by(metric_option)
    is_published: bool = option("--published", help="B is a published row (pubmedbert): a one-sample t-test.")
    sides: "Sides" = option(
        type=click.Choice(["two-sided", "greater", "less"]),
        default="two-sided",
        help="greater: that A is better than B.",
    )
    correction: "Correction" = added_by(correction_option(over="the tasks"))
    unit: "Unit" = option(
        type=click.Choice(["example", "document"]),
        default="example",
        help="What is drawn from the test set; documents where ids name them (ChemProt, DDI).",
    )
    resamples: int = added_by(resamples_option)
    seed: int = option(type=click.IntRange(min=0), default=0, help="Of the resamples.")
    without_seen: bool = added_by(unseen_options)
    data: Path | None  # of the same
    form: str = added_by(format_option)


@click.command()
@takes(CompareOptions)
def compare(options: CompareOptions) -> None:
    """Compare two models on the tasks that both have.

    A and B are models of the leaderboard, or their folders, in one protocol, each at the rate that won on
    dev. T-tests ask whether the difference would hold for other seeds, permutation and bootstrap whether for
    other sentences.
    """
    from kebench.report.compare import Settings
    from kebench.report.compare import compare as compare_models
    from kebench.report.compare_export import FIELDS, comparison_rows, published_rows
    from kebench.report.compare_published import (
        compare_published,
        printed_rows_of,
        published_as_fields,
        published_sheet,
    )
    from kebench.report.compare_words import comparison_fields, comparison_sheet
    from kebench.report.published import read_published_tables
    from kebench.report.rows import find_key
    from kebench.report.table import PUBLISHED_SUITE, build_leaderboard
    from kebench.tasks.card import all_task_cards

    if options.is_published and (options.unit != "example" or options.metric != "strict"):
        raise UserError(
            "--published is a t-test of scores as they are published: without --unit and --metric"
        )
    if options.is_published and options.without_seen:
        raise UserError("--published: printed scores are of whole test sets; leave out --without-seen")
    cards = all_task_cards()
    found = read_found(options.folders)
    kept = filter_found(found, suite=options.suite, tasks=options.tasks, models=[], cards=cards)
    metric: Choice = "as-published" if options.is_published else options.metric
    board = build_leaderboard(kept, cards=cards, metric=metric, other_names=found.other_names)
    a, b = row_name(options.a, kept, found.other_names), options.b
    if not options.is_published:
        b = row_name(b, kept, found.other_names)
    require_here(found, models=[a] if options.is_published else [a, b])
    predictions = predictions_of(found)
    if options.without_seen:
        models = {find_key(board, name).model for name in (a, b)}
        both = [record for record in kept if record.model in models]
        board, predictions = board_without_seen(
            both, predictions, cards, metric, options.data, found.other_names
        )
    if options.is_published:
        compared = [
            one
            for row in printed_rows_of(b)
            for one in compare_published(board, a, row, sides=options.sides, correction=options.correction)
        ]
        if not compared:
            raise UserError(f"{a} has been run on no task of which a score of {b} is printed; run it on one")
        print_sheets(
            map(published_sheet, compared),
            options.form,
            rows=lambda: Rows(FIELDS, (row for one in compared for row in published_rows(one))),
            content=lambda: {"schema": 1, "comparisons": list(map(published_as_fields, compared))},
        )
        return
    measured = {record.model for record in found.records}
    rows = [row for table in read_published_tables(PUBLISHED_SUITE) for row in table.rows]
    for name in (a, b):
        if name not in measured and any(name in (row.model, row.label) for row in rows):
            raise UserError(
                f"no records of model '{name}', but a published row: pass --published, with the row "
                "behind the measured model"
            )
    settings = Settings(
        options.metric,
        options.sides,
        options.correction,
        options.unit,
        options.resamples,
        options.seed,
        options.without_seen,
    )
    between = compare_models(board, a, b, settings=settings, predictions=predictions)
    print_sheets(
        map(comparison_sheet, between),
        options.form,
        rows=lambda: Rows(FIELDS, (row for one in between for row in comparison_rows(one))),
        content=lambda: {"schema": 1, "comparisons": list(map(comparison_fields, between))},
    )
