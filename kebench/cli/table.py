"""`kebench table`: the tables of the KeBioLM paper, our numbers beside the printed ones."""

from collections.abc import Callable
from dataclasses import dataclass
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
from kebench.cli.options import added_by, argument, option, takes
from kebench.cli.overlap import count_known
from kebench.cli.tables import format_option, print_sheets
from kebench.errors import UserError, did_you_mean
from kebench.grid import Sheet
from kebench.probe import stored
from kebench.probe.examples import examples
from kebench.probe.query_set import QuerySet, find_set
from kebench.probe.record import ProbeRecord, probe_record_paths
from kebench.report.paper import layout_sheets, paper_sheets, stars_sheet
from kebench.report.paper_data import (
    data_sheet,
    examples_sheet,
    no_examples_sheet,
    printed_examples_sheet,
    printed_probe_sheet,
    probe_sheets,
    set_sheet,
)
from kebench.report.probes import caption, row_labels
from kebench.report.published import PublishedTable, read_examples, read_published_table, read_sizes
from kebench.report.table import build_leaderboard
from kebench.shipped import shipped
from kebench.tasks.card import all_task_cards, data_folder
from kebench.umls.knowledge_base import KnowledgeBase

LOOKED_AT = 2000  # queries that are judged of each model to find hits; ours
SCORES = ("paper-2", "paper-3", "paper-4")
NAMES = (*(f"paper-{number}" for number in range(1, 8)), "paper-stars")


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """The options of the command."""

    name: str = argument(metavar="TABLE", type=click.Choice(NAMES))
    folders: tuple[Path, ...] = added_by(results_option)
    pairs: tuple[str, ...] = option(
        "--as",
        metavar="MODEL=ROW",
        help="Put our MODEL, or its folder, beside that row (my-kebiolm=kebiolm); repeatable.",
    )
    suite: str | None = option(
        help="paper-2 to paper-4: our scores on another suite than BLURB (mini) in the table's layout."
    )
    data: Path | None = option(help="paper-1: the data; default: KEBENCH_DATA.")
    kb_folder: Path | None = option("--kb", help="paper-1: count the mentions that it knows.")
    corpus_folder: Path | None = option("--corpus", help="paper-1: a corpus linked to --kb.")
    raw: Path | None = option(help="paper-1: the original chemprot and ddi, for --kb.")
    set_folder: Path | None = option("--set", help="paper-5, paper-7: a cloze set's folder.")
    models: str | None = option(help="paper-7: only these models: bert-tiny,my-kebiolm.")
    count: int | None = option("--n", type=click.IntRange(1), help="paper-7: most queries.  [default: 8]")
    hits: bool = option(help="paper-7: only queries that some model answers.")
    form: str = added_by(format_option)


@click.command()
@takes(TableOptions)
def table(options: TableOptions) -> None:
    """Print a table of the KeBioLM paper with our numbers beside the printed ones.

    paper-1: sizes of the data. paper-2: models on BLURB. paper-3, paper-4: ablations. paper-5: size of a
    cloze set. paper-6: the probe. paper-7: its examples. paper-stars: the significance marks of Table 2,
    computed again from what is printed, as far as rounded numbers decide. Where there is nothing of ours
    (paper-6, paper-7: no probe) the table stands as printed.
    """
    name, set_folder = options.name, options.set_folder
    if name != "paper-7" and (options.models or options.count or options.hits):
        raise UserError(f"{name}: --models, --n and --hits choose the examples of paper-7; leave them out")
    if options.suite and name not in SCORES:
        raise UserError(f"{name}: --suite is for {', '.join(SCORES)}; leave it out")
    if name != "paper-1" and (options.kb_folder or options.corpus_folder or options.raw):
        raise UserError(f"{name}: --kb, --corpus and --raw count the mentions of paper-1; leave them out")
    if (options.corpus_folder or options.raw) and not options.kb_folder:
        raise UserError("paper-1: --corpus and --raw are for --kb; name the knowledge base too")
    match name:
        case "paper-stars":
            sheets = [stars_sheet(_published(2))]
        case "paper-1":
            sheets = [_data_sheet(options)]
        case "paper-5":
            if set_folder is None:
                raise UserError(
                    "paper-5 needs a cloze set: name its folder by --set ('kebench probe build' makes one)"
                )
            sheets = [set_sheet(QuerySet.open(set_folder))]
        case "paper-6":
            sheets = _probe_sheets(options.folders, options.pairs)
        case "paper-7":
            # examples of ours and the paper's; ours alone where some of ours are chosen
            is_chosen = bool(options.models or options.count or options.hits)
            sheets = [] if is_chosen else [printed_examples_sheet(read_examples())]
            if found := _probe_folders(options.folders, is_needed=is_chosen or set_folder is not None):
                try:
                    sheets = [*_example_sheets(found, options), *sheets]
                except UserError as error:
                    if options.folders or is_chosen or set_folder:
                        raise
                    say(f"no examples of ours: {error}")
        case _:
            sheets = _score_sheets(_published(int(name.removeprefix("paper-"))), options)
    print_sheets(sheets, options.form)


def _data_sheet(options: TableOptions) -> Sheet:
    sizes, cards, data = read_sizes(), all_task_cards(), data_folder(options.data)
    if options.kb_folder is None:
        return data_sheet(cards, data, sizes)
    printed = {row.task for row in sizes.rows}
    theirs = [card for card in cards if card.name in printed]
    knowledge_base = KnowledgeBase.open(options.kb_folder)
    known = count_known(theirs, data, knowledge_base, options.corpus_folder, options.raw)
    return data_sheet(cards, data, sizes, known=known)


def _example_sheets(folders: tuple[Path, ...], options: TableOptions) -> list[Sheet]:
    """Return a sheet of examples for each set and way of probing. Raises UserError if there is no probe."""
    named = QuerySet.open(options.set_folder) if options.set_folder else None
    models = split_names(options.models)
    found = stored.find_probes(folders, ProbeRecord)
    known = {probe.record.model for probe in found}
    for model in models:
        if model not in known:
            listed = ", ".join(sorted(known))
            raise UserError(f"no probe of model '{model}'{did_you_mean(model, known)} there are {listed}")
    if named:
        found = stored.probes_on(found, named)
    kept = [probe for probe in found if not models or probe.record.model in models]
    if not kept:
        raise UserError(f"no probe of {', '.join(models)} on that set; {stored.REMEDY}")
    kept.sort(key=lambda probe: (models.index(probe.record.model) if models else 0, probe.record.model))
    sheets = []
    for heading in dict.fromkeys(caption(probe.record) for probe in kept):
        group = [probe for probe in kept if caption(probe.record) == heading]
        record = group[0].record
        query_set = named or find_set(record.set_hash, name=record.set)
        sheets.append(
            _examples_sheet(heading, group, query_set, count=options.count or 8, is_hits=options.hits)
        )
    return sheets


def _examples_sheet(
    heading: str,
    probes: list[stored.StoredProbe[ProbeRecord]],
    query_set: QuerySet,
    *,
    count: int,
    is_hits: bool,
) -> Sheet:
    queries = query_set.table()
    for probe in probes:
        queries = stored.decoded_queries(queries, probe.folder)
    decoded = len(queries)
    judged = stored.evenly(queries, LOOKED_AT if is_hits else count)
    labels = row_labels(probe.record for probe in probes)
    found = {}
    for probe in probes:
        predictions = stored.read_predictions(probe.folder, of=judged)
        answered = examples(judged, predictions, stored.read_tokenizer(probe.folder))
        found[labels[probe.record.identity]] = answered
    notes = [f"Queries: taken evenly from the {decoded:,} that all of these probes decoded."]
    if is_hits:
        if len(judged) < decoded:
            say(f"looked for hits among {len(judged):,} of {decoded:,} queries, evenly taken")
        mode = probes[0].record.mode
        hit = [
            place for place in range(len(judged)) if any(one[place].is_hit(mode) for one in found.values())
        ]
        shown = [hit[place] for place in stored.even_places(len(hit), count)]
        found = {label: [several[place] for place in shown] for label, several in found.items()}
        notes = [
            f"Queries: such as some model answers, by the {mode} rule and at any place of its beam; "
            f"{len(hit):,} of {len(judged):,} looked at, of {decoded:,} that all of these probes decoded."
        ]
        if not hit:
            return no_examples_sheet(heading, num_queries=len(judged), mode=mode)
    return examples_sheet(heading, found, notes=notes)


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
        raise UserError(f"{LOCAL}: no probes; {stored.REMEDY}, or name their folder with --results")
    say(f"no probes in {LOCAL}; {stored.REMEDY}, or name their folder with --results")
    return ()


def _probe_sheets(folders: tuple[Path, ...], pairs: tuple[str, ...]) -> list[Sheet]:
    published = _published(6)
    found = _probe_folders(folders, is_needed=bool(pairs))
    if not found:
        return [printed_probe_sheet(published)]
    records = [probe.record for probe in stored.find_probes(found, ProbeRecord)]
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


def _score_sheets(published: PublishedTable, options: TableOptions) -> list[Sheet]:
    found, cards, suite = read_found(options.folders), all_task_cards(), options.suite
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
    measured_as = _measured_as(options.pairs, {row.model for row in published.rows}, name_of)
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
