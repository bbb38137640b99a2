"""`kebench table`: the tables of the KeBioLM paper, our numbers beside the printed ones."""

from collections.abc import Callable
from pathlib import Path

import click

from kebench.cli.found import (
    LOCAL,
    read_found,
    recorded_name,
    results_option,
    row_name,
    say,
    split_names,
    weights_now,
)
from kebench.cli.overlap import count_known
from kebench.cli.table_examples import example_sheets
from kebench.cli.tables import format_option, print_sheets
from kebench.errors import UserError, did_you_mean
from kebench.grid import Sheet
from kebench.probe.query_set import QuerySet
from kebench.probe.record import probe_record_paths
from kebench.probe.stored import REMEDY, find_probes
from kebench.report.paper import layout_sheets, paper_sheets, stars_sheet
from kebench.report.paper_data import data_sheet, printed_probe_sheet, probe_sheets, set_sheet
from kebench.report.paper_examples import printed_examples_sheet
from kebench.report.published import PublishedTable, read_examples, read_published_table, read_sizes
from kebench.report.table import build_leaderboard
from kebench.shipped import shipped
from kebench.tasks.card import all_task_cards, data_folder
from kebench.umls.knowledge_base import KnowledgeBase

SCORES = ("paper-2", "paper-3", "paper-4")
NAMES = (*(f"paper-{number}" for number in range(1, 8)), "paper-stars")


@click.command()
@click.argument("name", metavar="TABLE", type=click.Choice([*NAMES]))
@results_option
@click.option(
    "--as",
    "pairs",
    multiple=True,
    metavar="MODEL=ROW",
    help="Put our MODEL, or its folder, beside that row (my-kebiolm=kebiolm); repeatable.",
)
@click.option(
    "--suite", help="paper-2 to paper-4: our scores on another suite than BLURB (mini) in the table's layout."
)
@click.option("--data", type=click.Path(path_type=Path), help="paper-1: the data; default: KEBENCH_DATA.")
@click.option(
    "--kb", "kb_folder", type=click.Path(path_type=Path), help="paper-1: count the mentions that it knows."
)
@click.option(
    "--corpus", "corpus_folder", type=click.Path(path_type=Path), help="paper-1: a corpus linked to --kb."
)
@click.option(
    "--raw", type=click.Path(path_type=Path), help="paper-1: the original chemprot and ddi, for --kb."
)
@click.option(
    "--set", "set_folder", type=click.Path(path_type=Path), help="paper-5, paper-7: a cloze set's folder."
)
@click.option("--models", help="paper-7: only these models: bert-tiny,my-kebiolm.")
@click.option("--n", "count", type=click.IntRange(1), help="paper-7: most queries.  [default: 8]")
@click.option("--hits", is_flag=True, help="paper-7: only queries that some model answers.")
@format_option
def table(
    name: str,
    folders: tuple[Path, ...],
    pairs: tuple[str, ...],
    suite: str | None,
    data: Path | None,
    kb_folder: Path | None,
    corpus_folder: Path | None,
    raw: Path | None,
    set_folder: Path | None,
    models: str | None,
    count: int | None,
    hits: bool,
    form: str,
) -> None:
    """Print a table of the KeBioLM paper with our numbers beside the printed ones.

    paper-1: sizes of the data. paper-2: models on BLURB. paper-3, paper-4: ablations. paper-5: size of a
    cloze set. paper-6: the probe. paper-7: its examples. paper-stars: the significance marks of Table 2,
    computed again from what is printed, as far as rounded numbers decide. Where there is nothing of ours
    (paper-6, paper-7: no probe) the table stands as printed.
    """
    if name != "paper-7" and (models or count or hits):
        raise UserError(f"{name}: --models, --n and --hits choose the examples of paper-7; leave them out")
    if suite and name not in SCORES:
        raise UserError(f"{name}: --suite is for {', '.join(SCORES)}; leave it out")
    if name != "paper-1" and (kb_folder or corpus_folder or raw):
        raise UserError(f"{name}: --kb, --corpus and --raw count the mentions of paper-1; leave them out")
    if (corpus_folder or raw) and not kb_folder:
        raise UserError("paper-1: --corpus and --raw are for --kb; name the knowledge base too")
    match name:
        case "paper-stars":
            sheets = [stars_sheet(_published(2))]
        case "paper-1":
            sheets = [_data_sheet(data, kb_folder, corpus_folder, raw)]
        case "paper-5":
            if set_folder is None:
                raise UserError(
                    "paper-5 needs a cloze set: name its folder by --set ('kebench probe build' makes one)"
                )
            sheets = [set_sheet(QuerySet.open(set_folder))]
        case "paper-6":
            sheets = _probe_sheets(folders, pairs)
        case "paper-7":
            sheets = _example_sheets(folders, set_folder, models, count=count, is_hits=hits)
        case _:
            sheets = _score_sheets(int(name.removeprefix("paper-")), folders, pairs, suite)
    print_sheets(sheets, form)


def _data_sheet(
    data: Path | None, kb_folder: Path | None, corpus_folder: Path | None, raw: Path | None
) -> Sheet:
    sizes, cards, data = read_sizes(), all_task_cards(), data_folder(data)
    if kb_folder is None:
        return data_sheet(cards, data, sizes)
    printed = {row.task for row in sizes.rows}
    theirs = [card for card in cards if card.name in printed]
    known = count_known(theirs, data, KnowledgeBase.open(kb_folder), corpus_folder, raw)
    return data_sheet(cards, data, sizes, known=known)


def _example_sheets(
    folders: tuple[Path, ...],
    set_folder: Path | None,
    models: str | None,
    *,
    count: int | None,
    is_hits: bool,
) -> list[Sheet]:
    """Return examples of ours and the paper's; ours alone where some of ours are chosen."""
    is_chosen = bool(models or count or is_hits)
    sheets = []
    if found := _probe_folders(folders, is_needed=is_chosen or set_folder is not None):
        try:
            sheets = example_sheets(found, set_folder, split_names(models), count=count or 8, is_hits=is_hits)
        except UserError as error:
            if folders or is_chosen or set_folder:
                raise
            say(f"no examples of ours: {error}")
    return sheets if is_chosen else [*sheets, printed_examples_sheet(read_examples())]


def _probe_folders(folders: tuple[Path, ...], *, is_needed: bool) -> tuple[Path, ...]:
    """Return the folders of probes: those named, or results/local, or the recorded ones; () if none is there.

    is_needed: raises UserError then.
    """
    if folders:
        return folders
    recorded = shipped("results/pretraining") / "probe"
    for folder in (LOCAL, recorded):
        if folder.is_dir() and probe_record_paths(folder):
            say(f"probes of {folder}" + (f" ({LOCAL} has none)" if folder != LOCAL else ""))
            return (folder,)
    if is_needed:
        raise UserError(f"{LOCAL}: no probes; {REMEDY}, or name their folder with --results")
    say(f"no probes in {LOCAL}; {REMEDY}, or name their folder with --results")
    return ()


def _probe_sheets(folders: tuple[Path, ...], pairs: tuple[str, ...]) -> list[Sheet]:
    published = _published(6)
    found = _probe_folders(folders, is_needed=bool(pairs))
    if not found:
        return [printed_probe_sheet(published)]
    records = [probe.record for probe in find_probes(found)]
    known = {record.model for record in records}
    here: dict[str, str] = {}  # models that are named by their folder, and the weights that are there now

    def name_of(word: str) -> str:
        """Return the name of a model's probes, and note its weights if a folder is named."""
        name = recorded_name(word, known)
        _require(name, known)
        if name != word:
            here[name] = weights_now(word)
        return name

    measured = _measured_as(pairs, {row.model for row in published.rows}, name_of)
    records = [one for one in records if here.get(one.model, one.model_hash) == one.model_hash]
    return probe_sheets(records, published, measured_as=measured)


def _published(number: int) -> PublishedTable:
    return read_published_table(shipped("results/published") / f"kebiolm-table{number}.toml")


def _score_sheets(
    number: int, folders: tuple[Path, ...], pairs: tuple[str, ...], suite: str | None
) -> list[Sheet]:
    published = _published(number)
    found = read_found(folders)
    cards = all_task_cards()
    others = found.other_names
    board = build_leaderboard(found.records, cards=cards, metric="as-published", other_names=others)
    known = {record.model for record in found.records}

    def name_of(word: str) -> str:
        """Return the label of a model's row on the leaderboard."""
        _require(recorded_name(word, known, others), known)
        return row_name(word, found.records, others)

    suites = sorted({card.suite for card in cards})
    if suite is not None and suite not in suites:
        raise UserError(f"no suite '{suite}'{did_you_mean(suite, suites)} there are {', '.join(suites)}")
    measured_as = _measured_as(pairs, {row.model for row in published.rows}, name_of)
    if suite is None or suite == published.suite:
        return paper_sheets(board, published, measured_as=measured_as)
    return layout_sheets(board, published, suite=suite, measured_as=measured_as)


def _measured_as(pairs: tuple[str, ...], rows: set[str], name_of: Callable[[str], str]) -> dict[str, str]:
    """Return our model for each row that --as names. Raises UserError for what is no row.

    name_of: returns what our model is called in the records, or raises UserError if there are none of it.
    """
    measured = {}
    for pair in pairs:
        ours, is_pair, row = pair.rpartition("=")
        if not is_pair:
            raise UserError(f"--as {pair}: no row of the table is named; pass --as {pair}=ROW")
        if row not in rows:
            raise UserError(
                f"--as {pair}: no row '{row}'{did_you_mean(row, rows)} there are {', '.join(sorted(rows))}"
            )
        if row in measured:
            raise UserError(f"--as {pair}: another model stands beside {row} already; leave one out")
        measured[row] = name_of(ours)
    return measured


def _require(ours: str, known: set[str]) -> None:
    if ours not in known:
        raise UserError(
            f"--as {ours}=...: no records of model '{ours}'{did_you_mean(ours, known)} there are "
            f"{', '.join(sorted(known))}"
        )
