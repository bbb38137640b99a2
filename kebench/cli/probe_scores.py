"""`kebench probe show` and `kebench probe scores`: what models answered, and how they compare."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pyarrow.compute as pc

from kebench.cli.found import LOCAL, results_option, say
from kebench.cli.options import added_by, argument, option, takes
from kebench.cli.probe_generate import show_written
from kebench.cli.tables import Rows, format_option, print_sheets
from kebench.errors import UserError, did_you_mean
from kebench.grid import Grid, Sheet
from kebench.probe import stored
from kebench.probe.examples import Answer, Example, examples
from kebench.probe.query_set import QUESTIONS, QuerySet, find_set
from kebench.probe.questions import QuestionSet, read_question_manifest
from kebench.probe.record import (
    PROBE_RECORD,
    ChoiceRecord,
    GenerateRecord,
    ProbeRecord,
    RankRecord,
    read_probe_record,
)
from kebench.report import probe_export as export
from kebench.report.choice import (
    CHOICE_FIELDS,
    CHOICE_GROUP_FIELDS,
    choice_boards,
    choice_group_rows,
    choice_groups_sheet,
    choice_rows,
    choice_sheet,
)
from kebench.report.generated import (
    GENERATED_FIELDS,
    GENERATED_GROUP_FIELDS,
    generated_boards,
    generated_group_rows,
    generated_groups_sheet,
    generated_rows,
    generated_sheet,
)
from kebench.report.probes import BREAKDOWNS, PROBE_SUITE, groups_sheets, probe_sheets
from kebench.report.published import read_published_tables
from kebench.report.ranked import (
    GROUP_FIELDS,
    RANKED_FIELDS,
    STRATA,
    ranked_boards,
    ranked_group_rows,
    ranked_groups_sheet,
    ranked_rows,
    ranked_sheet,
)
from kebench.scoring.name_scores import SCORES

LOOKED_AT = 5000  # queries that are judged to find hits or misses; ours
_WIDTH = 80
_INDENT = " " * 14  # what the names of an example's lines take


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """The options of `kebench probe show`."""

    folder: Path | None = argument(metavar="[PREDICTIONS]", required=False)
    set_folder: Path | None = option(
        "--set", metavar="SET", help="The query set's folder; default: where it was last seen."
    )
    model: str | None = option(help="Find the predictions of this model under --results.")
    results: Path = option(default=LOCAL, help="Folder of records; where --model looks.")
    relation: str | None = option(help="Only queries of this relation (may_treat).")
    count: int = option("--n", type=click.IntRange(1), default=20, help="Most queries.")
    hits: bool = option(help="Only queries that were answered.")
    misses: bool = option(help="Only queries that were not.")
    form: str = added_by(format_option)


@click.command()
@takes(ShowOptions)
def show(options: ShowOptions) -> None:
    """Print queries with accepted names and the answers of a model.

    Of filled blanks that is the best answer of one mask and the best of more, of written answers all.
    Queries are taken evenly from those that the options leave. PREDICTIONS is the folder of one probe.
    """
    if (options.folder is None) == (options.model is None):
        raise UserError("name either the folder of a probe's predictions, or a model with --model")
    if options.hits and options.misses:
        raise UserError("--hits and --misses leave no query; name one of them, or neither for both")
    wanted = "hits" if options.hits else "misses" if options.misses else None
    named = QuerySet.open(options.set_folder) if options.set_folder else None
    folder = options.folder or _folder_of(options.model or "", named, options.results)
    record = read_probe_record(folder / PROBE_RECORD)
    if not isinstance(record, ProbeRecord | GenerateRecord):
        kind = "ranked probe" if isinstance(record, RankRecord) else "probe by multiple choice"
        raise UserError(
            f"{folder}: a {kind}, whose answers are not shown so far; 'kebench probe scores' has its figures"
        )
    query_set = named or find_set(record.set_hash, name=record.set)
    if not named:
        say(f"{query_set.folder}: the set of this probe")
    stored.check_set(query_set, record)
    queries, relation = query_set.table(), options.relation
    if relation is not None:
        relations = set(queries["relation"].unique().to_pylist())
        if relation not in relations:
            raise UserError(
                f"{query_set.folder}: no query of relation '{relation}'{did_you_mean(relation, relations)} "
                f"'kebench probe stats {query_set.folder}' shows all"
            )
        queries = queries.filter(pc.equal(queries["relation"], relation))
    if isinstance(record, GenerateRecord):
        show_written(record, folder, queries, count=options.count, wanted=wanted, form=options.form)
        return
    # Taken evenly. Which are hits is known only of those that have been judged.
    tokenizer = stored.read_tokenizer(folder)
    if record.subset.queries is not None:
        queries = stored.decoded_queries(queries, folder)
    judged = stored.evenly(queries, LOOKED_AT if wanted else options.count)
    if wanted and len(judged) < len(queries):
        say(f"looked for {wanted} among {len(judged):,} of {len(queries):,} queries, evenly taken")
    shown = examples(judged, stored.read_predictions(folder, of=judged), tokenizer)
    if wanted:
        shown = [one for one in shown if one.is_hit(record.mode) == (wanted == "hits")]
        shown = [shown[place] for place in stored.even_places(len(shown), options.count)]
    say(f"{record.model} on {record.set}; hits by the {record.mode} rule")
    if older := stored.rules_differ(record):
        say(older)
    if not shown:
        say(f"no {wanted or 'queries'} among those that the options leave")
    if options.form != "terminal":
        _print_rows(f"{record.model} on {record.set}", shown, record.mode, options.form)
    elif shown:
        click.echo("\n\n".join("\n".join(_example_lines(one, record.mode)) for one in shown))


def _folder_of(model: str, query_set: QuerySet | None, out: Path) -> Path:
    """Return the newest probe of a model, on a set if one is named. Raises UserError if there is none."""
    _say_unfinished(out)
    found = stored.find_probes([out], ProbeRecord)
    models = {probe.record.model for probe in found}
    model = model if model in models else Path(model).name  # a directory, as `probe run` takes it
    if model not in models:
        hint = did_you_mean(model, models)
        raise UserError(
            f"{out}: no probe of model '{model}'{hint} {stored.REMEDY}, or name its place by --results"
        )
    on_set = stored.probes_on(found, query_set) if query_set else found
    fitting = [probe for probe in on_set if probe.record.model == model]
    if query_set and not fitting:
        raise UserError(f"{out}: no probe of model '{model}' on the set {query_set.folder}; {stored.REMEDY}")
    newest = stored.newest_probe(fitting)
    say(f"{newest.folder}: the newest of {len(fitting)}, of {newest.record.provenance.started_utc}")
    return newest.folder


def _print_rows(title: str, shown: list[Example], mode: str, form: str) -> None:
    """Print examples as a table of words; CSV and JSON have their numbers too."""
    rows: list[dict[str, Any]] = [
        {
            "query": one.query_id,
            "relation": one.relation,
            "text": one.text,
            "accepted": ", ".join(name if name == cui else f"{name} ({cui})" for name, cui in one.gold),
            "one_mask": one.one_mask and one.one_mask.string,
            "one_mask_log_prob": one.one_mask and one.one_mask.mean_log_prob,
            "more_masks": one.more_masks and one.more_masks.string,
            "more_masks_mean_log_prob": one.more_masks and one.more_masks.mean_log_prob,
            "right": one.right and one.right.string,
            "rank": one.rank or None,
            "answers": one.num_answers,
            "is_hit": one.is_hit(mode),
            "is_released_hit": one.is_released_hit,
        }
        for one in shown
    ]
    fields = ("text", "accepted", "one_mask", "more_masks", "right")
    lines = [[row[name] for name in fields] for row in rows]
    grid = Grid(("query", "accepted", "one mask", "more masks", "right"), lines, layout="prose")
    print_sheets(
        [Sheet(title, (), (grid,))],
        form,
        rows=lambda: Rows(list(rows[0]) if rows else (), rows),
        content=lambda: {"schema": 1, "examples": rows},
    )


def _example_lines(example: Example, mode: str) -> Iterator[str]:
    """Yield the lines of one example, none wider than 80 columns."""
    yield from textwrap.wrap(example.text, _WIDTH, subsequent_indent="  ")
    gold = ", ".join(name if name == cui else f"{name} ({cui})" for name, cui in example.gold) or "nothing"
    # which right answer ranks best, and where the two rules disagree
    fixed = example.right is not None
    by_released = f"; by the released rule a {'miss' if fixed else 'hit'}"
    differ = "" if fixed == example.is_released_hit else by_released
    said = f"none of {example.num_answers} answers is accepted{differ}"
    if example.right is not None:
        said = f"{example.right.string}, {example.rank} of {example.num_answers} answers{differ}"
    verdict = "HIT" if example.is_hit(mode) else "miss"
    lines = {
        "relation": f"{example.relation}, query {example.query_id}",
        "accepted": gold,
        "one mask": _answer_text(example.one_mask),
        "more masks": _answer_text(example.more_masks),
        verdict: said,
    }
    for name, text in lines.items():
        yield from textwrap.wrap(
            text, _WIDTH, initial_indent=f"  {name:<12}", subsequent_indent=_INDENT, max_lines=4
        )


def _answer_text(answer: Answer | None) -> str:
    if answer is None:
        return "-"
    masks = f"{answer.num_masks} masks, mean log p" if answer.num_masks > 1 else "log p"
    return f"{answer.string or '(nothing)'} ({masks} {answer.mean_log_prob:.2f})"


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
        _say_unfinished(folder)
    found = stored.find_any_probes(searched)
    if (asked := options.set_name) is not None:
        found = stored.probes_on(found, _set_of(asked))
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


def _set_of(asked: str) -> QuerySet | QuestionSet | str:
    """Return the set in a folder, of queries or of questions; else the name of one."""
    folder = Path(asked)
    if not folder.is_dir():
        return asked
    if (folder / QUESTIONS).is_file():
        manifest = read_question_manifest(folder)
        return QuestionSet(folder, manifest, next(iter(manifest.by_split)))
    return QuerySet.open(asked)


def _say_unfinished(folder: Path) -> None:
    for probe in stored.unfinished_probes(folder):
        say(f"{probe}: not finished; the same 'kebench probe run' goes on with it")
