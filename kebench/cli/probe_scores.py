"""`kebench probe scores`: how recorded probes compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from kebench.cli.found import LOCAL, results_option
from kebench.cli.options import added_by, argument, option, takes
from kebench.cli.probe_show import say_unfinished
from kebench.cli.tables import Rows, format_option, print_sheets
from kebench.errors import UserError
from kebench.grid import Sheet
from kebench.probe import stored
from kebench.probe.earned import over_relations
from kebench.probe.questions import open_set
from kebench.probe.record import ProbeRecord, RankRecord
from kebench.report import probe_export as export
from kebench.report.probe_boards import KINDS, Kind, boards_of
from kebench.report.probe_cells import row_fields
from kebench.report.probe_ranked import RANKED_FIELDS, STRATA, relations_sheet
from kebench.report.probes import BREAKDOWNS, PROBE_SUITE, groups_sheets, probe_sheets
from kebench.report.published import read_published_tables
from kebench.scoring.name_scores import SCORES


@dataclass(frozen=True, kw_only=True)
class ScoresOptions:
    """The options of `kebench probe scores`."""

    places: tuple[Path, ...] = argument(metavar="[FOLDER]...", nargs=-1, required=False)
    folders: tuple[Path, ...] = added_by(results_option)
    set_name: str | None = option("--set", help="Only probes of the set of this name, or in this folder.")
    kind: str | None = option(
        type=click.Choice(["filled", *(kind.name for kind in KINDS)]), help="Only probes of this kind."
    )
    score: str | None = option(
        type=click.Choice([*SCORES, "all"]),
        help="By which score ranked probes are shown, of one that lacks it the plain sum; default: column, "
        "else pmi, else sum, the first that all have of most facts.",
    )
    by: str | None = option(
        type=click.Choice([*BREAKDOWNS, *STRATA, "subset"]),
        help="Break the scores down instead: by relation (questions: by subset), or what else probes have.",
    )
    relations: tuple[str, ...] = option(
        "--relation",
        help="Ranked probes over this relation alone (may_treat, or may_treat/tail); may be repeated.",
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
    boards = list(boards_of(records, options.score))
    if options.kind:
        filled = filled if options.kind == "filled" else []
        boards = [(kind, board) for kind, board in boards if kind.name == options.kind]
        if not (filled or boards):
            raise UserError(f"no probe is of kind {options.kind}; 'kebench probe scores' shows what there is")
    sheets: list[Sheet] = []
    if options.relations:
        _print_relations(options, {probe.record.identity: probe for probe in found}, boards)
        return
    tables: dict[str, list[dict[str, Any]]] = {}  # for programs: the rows of each kind, and their fields
    fields: dict[str, tuple[str, ...]] = {}
    if by := options.by:
        boards = [(kind, board) for kind, board in boards if by in kind.by]
        filled = filled if by in BREAKDOWNS else []
        if not (boards or filled):
            raise UserError(f"no probe is broken down by {by}; 'kebench probe scores' shows what there is")
        for kind, board in boards:
            sheets += [kind.groups_sheet(row, by, board.title) for row in board.rows]
            tables.setdefault(name := f"{kind.name}_groups", []).extend(kind.group_rows(board.rows, by))
            fields[name] = kind.group_fields
        sheets += groups_sheets(filled, by) if filled else ()
        of_filled = {"groups": list(export.group_rows(filled, by)) if filled else []}
        csv_of_filled = Rows(export.GROUP_FIELDS, of_filled["groups"])
    else:
        printed = read_published_tables(PROBE_SUITE) if options.published and filled else []
        for kind, board in boards:
            sheets.append(kind.sheet(board))
            tables.setdefault(kind.name, []).extend(kind.rows(board.rows))
            fields[kind.name] = kind.fields
        sheets += [sheet for sheet, _ in probe_sheets(filled, printed)]
        of_filled = {"figures": list(export.probe_rows(filled, printed))}
        csv_of_filled = Rows(export.PROBE_FIELDS, map(export.flat, of_filled["figures"]))
    csv_tables = [csv_of_filled] * bool(filled) + [Rows(fields[name], of) for name, of in tables.items()]
    if options.form == "csv" and len(csv_tables) > 1:
        raise UserError(
            "filled blanks, ranked probes, multiple choice and written answers are no rows of one CSV; name "
            "one with --kind"
        )
    print_sheets(
        sheets,
        options.form,
        rows=lambda: csv_tables[0] if csv_tables else csv_of_filled,
        content=lambda: {"schema": export.PROBE_EXPORT_SCHEMA, **of_filled, **tables},
    )


def _print_relations(
    options: ScoresOptions, probes: Mapping[str, stored.StoredProbe[Any]], boards: Sequence[tuple[Kind, Any]]
) -> None:
    """Print ranked probes over some relations alone."""
    boards = [(kind, board) for kind, board in boards if kind.record is RankRecord]
    if options.by or not boards:
        why = (
            "is another way to break them down than --by"
            if boards
            else "is of ranked probes, of which there is none"
        )
        raise UserError(f"--relation {why}; leave one of them out")
    sheets, rows = [], []
    for _, board in boards:
        found = [
            over_relations(probes[row.record.identity], row.score, "acc_1", options.relations)
            for row in board.rows
        ]
        sheets.append(relations_sheet(board, found, options.relations))
        for row, of in zip(board.rows, found, strict=True):
            shared = {**row_fields(row), "score": row.score, "metric": "acc_1"}
            rows += [{**shared, "source": source, **figure.model_dump()} for source, figure in of.items()]
    content = {"schema": export.PROBE_EXPORT_SCHEMA, "relations": options.relations, "ranked": rows}
    print_sheets(sheets, options.form, rows=lambda: Rows(RANKED_FIELDS, rows), content=lambda: content)
