"""`kebench compare`: is one model better than another, on other seeds and on other sentences?"""

from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import click

from kebench.cli.found import (
    RecordOptions,
    build_board,
    correction_option,
    filter_found,
    metric_option,
    read_found,
    require_here,
    resamples_option,
    row_name,
    unseen_options,
)
from kebench.cli.options import added_by, argument, option, takes
from kebench.cli.tables import Rows, format_option, print_sheets
from kebench.errors import UserError
from kebench.report.compare import Settings, Unit
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
from kebench.report.table import PUBLISHED_SUITE, Choice, find_key
from kebench.stats.pvalue import Correction, Sides


@dataclass(frozen=True, kw_only=True)
class CompareOptions(RecordOptions):
    """The options of the command."""

    a: str = argument()
    b: str = argument()
    metric: Choice = added_by(metric_option)
    is_published: bool = option("--published", help="B is a published row (pubmedbert): a one-sample t-test.")
    sides: Sides = option(default="two-sided", help="greater: that A is better than B.")
    correction: Correction = correction_option("the tasks")
    unit: Unit = option(
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
    is_published, metric = options.is_published, options.metric
    if is_published and (options.unit != "example" or metric != "strict"):
        raise UserError(
            "--published is a t-test of scores as they are published: without --unit and --metric"
        )
    if is_published and options.without_seen:
        raise UserError("--published: printed scores are of whole test sets; leave out --without-seen")
    found = read_found(options.folders)
    kept = filter_found(found, suite=options.suite, tasks=options.tasks)
    build = partial(
        build_board,
        found,
        metric="as-published" if is_published else metric,
        suite=options.suite,
        across_protocols=options.across_protocols,
    )
    board, predictions = build(kept, without_seen=False)
    a = row_name(options.a, kept, found.other_names)
    b = options.b if is_published else row_name(options.b, kept, found.other_names)
    require_here(found, models=[a] if is_published else [a, b])
    if options.without_seen:
        models = {find_key(board, name).model for name in (a, b)}
        both = [record for record in kept if record.model in models]
        board, predictions = build(both, without_seen=True, data=options.data)
    if is_published:
        printed = [
            one
            for row in printed_rows_of(b)
            for one in compare_published(board, a, row, sides=options.sides, correction=options.correction)
        ]
        if not printed:
            raise UserError(f"{a} has been run on no task of which a score of {b} is printed; run it on one")
        sheets, fields = map(published_sheet, printed), map(published_as_fields, printed)
        rows = chain.from_iterable(map(published_rows, printed))
    else:
        measured = {record.model for record in found.records}
        shelf = [row for table in read_published_tables(PUBLISHED_SUITE) for row in table.rows]
        for name in (a, b):
            if name not in measured and any(name in (row.model, row.label) for row in shelf):
                raise UserError(
                    f"no records of model '{name}', but a published row: pass --published, with the row "
                    "behind the measured model"
                )
        drawn = options.unit, options.resamples, options.seed
        settings = Settings(metric, options.sides, options.correction, *drawn, options.without_seen)
        compared = compare_models(board, a, b, settings=settings, predictions=predictions)
        sheets, fields = map(comparison_sheet, compared), map(comparison_fields, compared)
        rows = chain.from_iterable(map(comparison_rows, compared))
    print_sheets(
        sheets,
        options.form,
        rows=lambda: Rows(FIELDS, rows),
        content=lambda: {"schema": 1, "comparisons": list(fields)},
    )
