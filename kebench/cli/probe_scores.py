"""`kebench probe scores`: how recorded probes compare."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from kebench.cli.found import LOCAL, results_option
from kebench.cli.options import added_by, argument, option, takes
from kebench.cli.probe_show import say_unfinished
from kebench.cli.tables import Rows, format_option, print_sheets
from kebench.errors import UserError
from kebench.probe import stored
from kebench.probe.questions import open_set
from kebench.probe.record import ChoiceRecord, GenerateRecord, ProbeRecord, RankRecord
from kebench.report import probe_export as export
from kebench.report.probe_choice import (
    CHOICE_FIELDS,
    CHOICE_GROUP_FIELDS,
    choice_boards,
    choice_group_rows,
    choice_groups_sheet,
    choice_rows,
    choice_sheet,
)
from kebench.report.probe_generated import (
    GENERATED_FIELDS,
    GENERATED_GROUP_FIELDS,
    generated_boards,
    generated_group_rows,
    generated_groups_sheet,
    generated_rows,
    generated_sheet,
)
from kebench.report.probe_ranked import (
    GROUP_FIELDS,
    RANKED_FIELDS,
    STRATA,
    ranked_boards,
    ranked_group_rows,
    ranked_groups_sheet,
    ranked_rows,
    ranked_sheet,
)
from kebench.report.probes import BREAKDOWNS, PROBE_SUITE, groups_sheets, probe_sheets
from kebench.report.published import read_published_tables
from kebench.scoring.name_scores import SCORES


@dataclass(frozen=True, kw_only=True)
class ScoresOptions:
    """The options of `kebench probe scores`."""

    places: tuple[Path, ...] = argument(metavar="[FOLDER]...", nargs=-1, required=False)
    folders: tuple[Path, ...] = added_by(results_option)
    set_name: str | None = option("--set", help="Only probes of the set of this name, or in this folder.")
    score: str = option(
        type=click.Choice([*SCORES, "all"]),
        default="column",
        help="By which score ranked probes are shown; of one that lacks it, the plain sum.",
    )
    by: str | None = option(
        type=click.Choice([*BREAKDOWNS, *STRATA, "subset"]),
        help="Break the scores down instead: by relation (questions: by subset), or what else probes have.",
    )
    form: str = added_by(format_option)
    published: bool = option(
        "--published/--no-published", default=True, show_default=True, help="Show the paper's Table 6 below."
    )


@click.command()
@takes(ScoresOptions)
def scores(options: ScoresOptions) -> None:
    """Print the scores of recorded probes, with the published ones below, marked and not ranked.

    FOLDER is searched for probes, as is what --results names; default: results/local. A table holds one set
    and one way of probing: names that were ranked, models of all families in one, multiple choice, answers
    that were written, or blanks that were filled.
    """
    searched = (*options.places, *options.folders) or (LOCAL,)
    for folder in searched:
        say_unfinished(folder)
    found = stored.find_any_probes(searched)
    if (asked := options.set_name) is not None:
        folder = Path(asked)
        found = stored.probes_on(found, open_set(folder) if folder.is_dir() else asked)
    # one model may have been asked under two names
    by_identity = {probe.record.identity: probe.record for probe in reversed(found)}
    records = list(reversed(by_identity.values()))
    filled = [record for record in records if isinstance(record, ProbeRecord)]
    ranked = [record for record in records if isinstance(record, RankRecord)]
    asked_by_choice = [record for record in records if isinstance(record, ChoiceRecord)]
    written = list(generated_boards(record for record in records if isinstance(record, GenerateRecord)))
    content: dict[str, Any] = {"schema": export.PROBE_EXPORT_SCHEMA}
    fields: tuple[tuple[str, ...], ...]
    if by := options.by:
        filled = filled if by in BREAKDOWNS else []
        boards = list(ranked_boards(ranked, options.score)) if by == "relation" or by in STRATA else []
        choices = list(choice_boards(asked_by_choice)) if by == "subset" else []
        written = written if by == "relation" else []
        if not (filled or boards or choices or written):
            raise UserError(f"no probe is broken down by {by}; 'kebench probe scores' shows what there is")
        rows = [*export.group_rows(filled, by)] if filled else []
        of_ranked = [row for board in boards for row in ranked_group_rows(board.rows, by)]
        of_choice = [row for board in choices for row in choice_group_rows(board.rows)]
        sheets = [*(groups_sheets(filled, by) if filled else ())]
        sheets += [
            ranked_groups_sheet(row, by=by, title=board.title) for board in boards for row in board.rows
        ]
        sheets += [choice_groups_sheet(row, title=board.title) for board in choices for row in board.rows]
        of_written = [row for board in written for row in generated_group_rows(board.rows)]
        sheets += [generated_groups_sheet(row, title=board.title) for board in written for row in board.rows]
        fields = (export.GROUP_FIELDS, GROUP_FIELDS, CHOICE_GROUP_FIELDS, GENERATED_GROUP_FIELDS)
        content |= {"groups": rows} | ({"ranked_groups": of_ranked} if boards else {})
        content |= {"choice_groups": of_choice} if choices else {}
        content |= {"generated_groups": of_written} if written else {}
        csv_rows = rows
    else:
        boards, choices = list(ranked_boards(ranked, options.score)), list(choice_boards(asked_by_choice))
        printed = read_published_tables(PROBE_SUITE) if options.published and filled else []
        rows = list(export.probe_rows(filled, printed))
        of_ranked = [row for board in boards for row in ranked_rows(board.rows)]
        of_choice = [row for board in choices for row in choice_rows(board.rows)]
        sheets = [ranked_sheet(board.rows, title=board.title) for board in boards]
        sheets += [choice_sheet(board) for board in choices]
        of_written = [row for board in written for row in generated_rows(board.rows)]
        sheets += [generated_sheet(board.rows, title=board.title) for board in written]
        sheets += [sheet for sheet, _ in probe_sheets(filled, printed)]
        fields = (export.PROBE_FIELDS, RANKED_FIELDS, CHOICE_FIELDS, GENERATED_FIELDS)
        content |= {"figures": rows} | ({"ranked": of_ranked} if boards else {})
        content |= {"choice": of_choice} if choices else {}
        content |= {"generated": of_written} if written else {}
        csv_rows = [export.flat(row) for row in rows]
    kinds = (csv_rows, of_ranked, of_choice, of_written)
    held = [Rows(*of) for of in zip(fields, kinds, strict=True) if of[1]]
    if options.form == "csv" and len(held) > 1:
        raise UserError(
            "filled blanks, ranked probes, multiple choice and written answers are no rows of one CSV; name "
            "the set of one with --set, or its folder"
        )
    print_sheets(
        sheets, options.form, rows=lambda: held[0] if held else Rows(fields[0], ()), content=lambda: content
    )
