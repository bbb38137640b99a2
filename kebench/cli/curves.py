"""`kebench curves`: how pretrainings went."""

from dataclasses import replace
from pathlib import Path

import click

from kebench.cli.tables import format_option, print_sheets
from kebench.files import expand_home
from kebench.grid import Cell, Grid, Sheet
from kebench.pretrain.curve import HELD_OUT, LOSSES, absent_losses, averaged, draw, read_curves

ROWS = 12  # of a printed curve; ours


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@format_option
@click.option("--out", type=click.Path(path_type=Path), help="Draw them, to a .html, .svg or .png file.")
def curves(folders: tuple[Path, ...], form: str, out: Path | None) -> None:
    """Show the losses of pretrainings, and what the models made of held-out text.

    DIR is a checkpoint of 'kebench pretrain'. Each printed row is the mean of a stretch of steps.
    """
    names = [folder.resolve().name for folder in folders]
    labels = [
        str(folder) if names.count(name) > 1 else name for folder, name in zip(folders, names, strict=True)
    ]
    found = {label: read_curves(expand_home(str(one))) for label, one in zip(labels, folders, strict=True)}
    if out:
        draw(found, out)
        click.echo(out)
        return
    columns = ("step", "loss", *LOSSES, "perplexity", "pieces %", "F1", "links %")
    sheets = []
    for name, rows in found.items():
        absent = absent_losses(rows)
        table = [
            (
                row["step"],
                *(Cell(None if loss in absent else row[loss], ".3f") for loss in ("loss", *LOSSES)),
                *(Cell(row.get(score), ".2f") for score in HELD_OUT),
            )
            for row in averaged(rows, ROWS)
        ]
        sheets.append(Sheet(name, (), (Grid(columns, table, layout="listing"),)))
    said = "perplexity, right pieces, F1 of mentions, right links: on held-out documents"
    sheets[-1] = replace(sheets[-1], notes=(said,))
    print_sheets(sheets, form)
