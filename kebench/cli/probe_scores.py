"""`kebench probe show` and `kebench probe scores`: what models answered, and how they compare."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kebench.cli.found import results_option
from kebench.cli.tables import Rows, format_option, print_sheets
from kebench.errors import UserError, did_you_mean
from kebench.grid import Grid, Sheet

if TYPE_CHECKING:
    import pyarrow as pa

    from kebench.probe.examples import Answer, Example
    from kebench.probe.query_set import QuerySet
    from kebench.probe.record import ProbeRecord

LOCAL = Path("results/local")
REMEDY = "make some with 'kebench probe run'"
FOLDER = click.Path(path_type=Path)
LOOKED_AT = 5000  # queries that are judged to find hits or misses; ours
_WIDTH = 80
_INDENT = " " * 14  # what the names of an example's lines take


@click.command()
@click.argument("folder", metavar="[PREDICTIONS]", type=FOLDER, required=False)
@click.option(
    "--set",
    "set_folder",
    metavar="SET",
    type=FOLDER,
    help="The query set's folder; default: where it was last seen.",
)
@click.option("--model", help="Find the predictions of this model under --results.")
@click.option(
    "--results", type=FOLDER, default=LOCAL, show_default=True, help="Folder of records; where --model looks."
)
@click.option("--relation", help="Only queries of this relation (may_treat).")
@click.option("--n", "count", type=click.IntRange(1), default=20, show_default=True, help="Most queries.")
@click.option("--hits", is_flag=True, help="Only queries that were answered.")
@click.option("--misses", is_flag=True, help="Only queries that were not.")
@format_option
def show(
    folder: Path | None,
    set_folder: Path | None,
    model: str | None,
    results: Path,
    relation: str | None,
    count: int,
    hits: bool,
    misses: bool,
    form: str,
) -> None:
    """Print queries with their answers: accepted names, the best answer of one mask, the best of more.

    Queries are taken evenly from those that the options leave. PREDICTIONS is the folder of one probe.
    """
    import pyarrow.compute as pc

    from kebench.probe.query_set import QuerySet, find_set
    from kebench.probe.record import PROBE_RECORD, read_probe_record
    from kebench.probe.stored import check_set, rules_differ

    if (folder is None) == (model is None):
        raise UserError("name either the folder of a probe's predictions, or a model with --model")
    if hits and misses:
        raise UserError("--hits and --misses leave no query; name one of them, or neither for both")
    wanted = "hits" if hits else "misses" if misses else None
    named = QuerySet.open(set_folder) if set_folder else None
    record_path = (folder or _folder_of(model or "", named, results)) / PROBE_RECORD
    record = read_probe_record(record_path)
    query_set = named or find_set(record.set_hash, name=record.set)
    if not named:
        _say(f"{query_set.folder}: the set of this probe")
    check_set(query_set, record)
    queries = query_set.table()
    if relation is not None:
        relations = set(queries["relation"].unique().to_pylist())
        if relation not in relations:
            raise UserError(
                f"{query_set.folder}: no query of relation '{relation}'{did_you_mean(relation, relations)} "
                f"'kebench probe stats {query_set.folder}' shows all"
            )
        queries = queries.filter(pc.equal(queries["relation"], relation))
    shown = _examples(queries, record_path.parent, record, count=count, wanted=wanted)
    _say(f"{record.model} on {record.set}; hits by the {record.mode} rule")
    if older := rules_differ(record):
        _say(older)
    if not shown:
        _say(f"no {wanted or 'queries'} among those that the options leave")
    if form != "terminal":
        _print_rows(f"{record.model} on {record.set}", shown, record.mode, form)
        return
    if not shown:
        return
    click.echo("\n\n".join("\n".join(_example_lines(one, record.mode)) for one in shown))


def _folder_of(model: str, query_set: "QuerySet | None", out: Path) -> Path:
    """Return the newest probe of a model, on a set if one is named. Raises UserError if there is none."""
    from kebench.probe.stored import find_probes, newest_probe, probes_on

    _say_unfinished(out)
    found = find_probes([out])
    models = {probe.record.model for probe in found}
    model = model if model in models else Path(model).name  # a directory, as `probe run` takes it
    if model not in models:
        hint = did_you_mean(model, models)
        raise UserError(f"{out}: no probe of model '{model}'{hint} {REMEDY}, or name its place by --results")
    on_set = probes_on(found, query_set) if query_set else found
    fitting = [probe for probe in on_set if probe.record.model == model]
    if query_set and not fitting:
        raise UserError(f"{out}: no probe of model '{model}' on the set {query_set.folder}; {REMEDY}")
    newest = newest_probe(fitting)
    _say(f"{newest.folder}: the newest of {len(fitting)}, of {newest.record.provenance.started_utc}")
    return newest.folder


def _examples(
    queries: "pa.Table", folder: Path, record: "ProbeRecord", *, count: int, wanted: str | None
) -> "list[Example]":
    """Return evenly taken examples. Which are hits is known only of those that have been judged."""
    from kebench.probe.examples import examples
    from kebench.probe.stored import (
        decoded_queries,
        even_places,
        evenly,
        read_predictions,
        read_tokenizer,
    )

    tokenizer = read_tokenizer(folder)
    asked = queries if record.subset.queries is None else decoded_queries(queries, folder)
    judged = evenly(asked, LOOKED_AT if wanted else count)
    if wanted and len(judged) < len(asked):
        _say(f"looked for {wanted} among {len(judged):,} of {len(asked):,} queries, evenly taken")
    found = examples(judged, read_predictions(folder, of=judged), tokenizer)
    if wanted:
        found = [one for one in found if one.is_hit(record.mode) == (wanted == "hits")]
        found = [found[place] for place in even_places(len(found), count)]
    return found


def _print_rows(title: str, shown: "list[Example]", mode: str, form: str) -> None:
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


def _example_lines(example: "Example", mode: str) -> Iterator[str]:
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


def _answer_text(answer: "Answer | None") -> str:
    if answer is None:
        return "-"
    masks = f"{answer.num_masks} masks, mean log p" if answer.num_masks > 1 else "log p"
    return f"{answer.string or '(nothing)'} ({masks} {answer.mean_log_prob:.2f})"


@click.command()
@click.argument("places", metavar="[FOLDER]...", nargs=-1, type=FOLDER)
@results_option
@click.option("--set", "set_name", help="Only probes of the set of this name, or in this folder.")
@click.option(
    "--by",
    type=click.Choice(["relation", "semantic-type", "answer-length"]),
    help="Break the scores down, by the fixed rule, instead.",
)
@format_option
@click.option(
    "--published/--no-published", default=True, show_default=True, help="Show the paper's Table 6 below."
)
def scores(
    places: tuple[Path, ...],
    folders: tuple[Path, ...],
    set_name: str | None,
    by: str | None,
    form: str,
    published: bool,
) -> None:
    """Print the scores of recorded probes, with the published ones below, marked and not ranked.

    FOLDER is searched for probes, as is what --results names; default: results/local. A table holds one set
    and one way of probing.
    """
    from kebench.report import probe_export as export
    from kebench.report.probes import PROBE_SUITE, groups_sheets, probe_sheets
    from kebench.report.published import read_published_tables

    records = _records((*places, *folders) or (LOCAL,), set_name)
    if by:
        rows = list(export.group_rows(records, by))
        print_sheets(
            groups_sheets(records, by),
            form,
            rows=lambda: Rows(export.GROUP_FIELDS, rows),
            content=lambda: {"schema": export.PROBE_EXPORT_SCHEMA, "groups": rows},
        )
        return
    printed = read_published_tables(PROBE_SUITE) if published else []
    figures = list(export.probe_rows(records, printed))
    print_sheets(
        [sheet for sheet, _ in probe_sheets(records, printed)],
        form,
        rows=lambda: Rows(export.PROBE_FIELDS, map(export.flat, figures)),
        content=lambda: {"schema": export.PROBE_EXPORT_SCHEMA, "figures": figures},
    )


def _records(folders: tuple[Path, ...], set_name: str | None) -> "list[ProbeRecord]":
    """Return the records under some folders, each probe once. Raises UserError if there is none."""
    from kebench.probe.query_set import QuerySet
    from kebench.probe.stored import find_probes, probes_on

    for folder in folders:
        _say_unfinished(folder)
    found = find_probes(folders)
    if set_name is not None:
        found = probes_on(found, QuerySet.open(set_name) if Path(set_name).is_dir() else set_name)
    by_identity: dict[str, ProbeRecord] = {}  # one model may have been asked under two names
    for probe in found:
        by_identity.setdefault(probe.record.identity, probe.record)
    return list(by_identity.values())


def _say_unfinished(folder: Path) -> None:
    from kebench.probe.stored import unfinished_probes

    for probe in unfinished_probes(folder):
        _say(f"{probe}: not finished; the same 'kebench probe run' goes on with it")


def _say(line: str) -> None:
    click.echo(line, err=True)
