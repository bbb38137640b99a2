"""`kebench rescore`: stored runs scored by further metrics."""

from pathlib import Path

import click

from kebench.cli.found import LOCAL, check_metric, say_left_out
from kebench.cli.tables import format_option, print_table
from kebench.errors import UserError, counted
from kebench.grid import UNDEFINED, Cell
from kebench.report.rescore import rescore as score_again
from kebench.stats.summary import summarise


@click.command()
@click.argument("folders", metavar="[RESULTS]...", nargs=-1, type=click.Path(path_type=Path, file_okay=False))
@click.option("--metric", help="Only this one: accuracy, macro_f1 ...  [default: all of each kind of task]")
@format_option
def rescore(folders: tuple[Path, ...], metric: str | None, form: str) -> None:
    """Compute metrics of finished runs from their stored predictions.

    They are written beside each record, which stays as it is; leaderboard, compare, significance and page
    show them with --metric. What cannot be computed is said, with the reason. RESULTS: folders of records,
    results/local if none is named.
    """
    folders = folders or (LOCAL,)
    if metric:
        check_metric(metric)
    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise UserError(f"{missing[0]}: no such folder of records; run some with 'kebench run'")
    found = score_again(folders, metric=metric, left_out=say_left_out)
    rows: list[tuple[Cell | str | int | None, ...]] = []
    tell = any(settings for *_, settings in found.computed)
    for (task, model, name, settings), percents in sorted(found.computed.items()):
        known = [percent for percent in percents if percent is not None]
        mean = Cell(summarise(known).mean) if len(known) == len(percents) else UNDEFINED
        rows.append((task, model, name, *([settings] if tell else []), mean, len(percents)))
    if rows:
        columns = ("task", "model", "metric", *(["settings"] if tell else []), "test, mean", "runs")
        print_table(columns, rows, form)
    for reason, paths in found.refused.items():
        click.echo(f"not computed of {counted(len(paths), 'run')}: {reason}", err=True)
    if not rows:
        why = "no records; see 'kebench run'"
        if found.num_runs:
            why = "no further metric of these tasks; their own stands in the records"
        if found.refused:
            why = "nothing was computed (see above)"
        raise UserError(f"{', '.join(map(str, folders))}: {why}")
    click.echo(f"{counted(found.num_written, 'file')} of further scores written beside the records", err=True)
