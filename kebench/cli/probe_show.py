"""`kebench probe show`: what models answered, query by query."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import pyarrow as pa
import pyarrow.compute as pc

from kebench.cli.found import LOCAL, say
from kebench.cli.options import added_by, argument, option, takes
from kebench.cli.probe_compare import HEADLINES
from kebench.cli.probe_generate import show_written
from kebench.cli.tables import Rows, format_option, print_sheets
from kebench.errors import UserError, counted, did_you_mean
from kebench.grid import Grid, Sheet
from kebench.probe import stored
from kebench.probe.choices import CHOICES_SCHEMA, asked_questions
from kebench.probe.examples import choice_examples, examples, ranked_examples
from kebench.probe.query_set import QuerySet, find_any_set, find_set
from kebench.probe.questions import QuestionSet, open_set
from kebench.probe.ranked import SCORES_SCHEMA, read_pools
from kebench.probe.record import (
    CHOICES,
    PROBE_RECORD,
    SCORES,
    ChoiceRecord,
    GenerateRecord,
    ProbeRecord,
    RankRecord,
    read_probe_record,
)
from kebench.report.probe_examples import Shown, shown_choice, shown_filled, shown_ranked
from kebench.scoring.name_scores import SCORES as NAME_SCORES

LOOKED_AT = 5000  # queries whose blanks are judged to find hits or misses; ours
# Of these scores the first that a probe has; as `probe scores` shows ranked ones.
DEFAULTS: dict[type[Any], tuple[str, ...]] = {**HEADLINES, RankRecord: ("column", "sum")}
_WIDTH = 80
_INDENT = " " * 14  # what the names of an example's lines take


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """The options of `kebench probe show`."""

    folder: Path | None = argument(metavar="[PREDICTIONS]", required=False)
    set_folder: Path | None = option(
        "--set", metavar="SET", help="The set's folder; default: where it was last seen."
    )
    model: str | None = option(help="Find the newest probe of this model under --results.")
    results: Path = option(default=LOCAL, help="Folder of records; where --model looks.")
    relation: str | None = option(
        help="Only queries of this relation (may_treat), or questions of this subset."
    )
    score: str | None = option(
        type=click.Choice([*NAME_SCORES, "letter"]),
        help="Default: of ranked probes column, else sum; of multiple choice letter, else char.",
    )
    count: int = option("--n", type=click.IntRange(1), default=20, help="Most queries.")
    hits: bool = option(help="Only queries that were answered.")
    misses: bool = option(help="Only queries that were not.")
    form: str = added_by(format_option)

    @property
    def wanted(self) -> str | None:
        """Which queries: "hits", "misses", or None for all."""
        return "hits" if self.hits else "misses" if self.misses else None


class _Kind(NamedTuple):
    """The examples of one kind of probe. rule: what is shown, and what a hit is; headings: over cells."""

    rule: str
    headings: tuple[str, ...]
    shown: list[Shown]


@click.command()
@takes(ShowOptions)
def show(options: ShowOptions) -> None:
    """Print queries with their answers.

    Of blanks that were filled the accepted names, the best answer of one mask and the best of more; of ranked
    names the best five and the place of the best true one; of multiple choice the scores of all options; of
    written answers all.
    Queries are taken evenly from those that the options leave. PREDICTIONS is the folder of one probe.
    """
    if (options.folder is None) == (options.model is None):
        raise UserError("name either the folder of a probe's predictions, or a model with --model")
    if options.hits and options.misses:
        raise UserError("--hits and --misses leave no query; name one of them, or neither for both")
    named = open_set(options.set_folder) if options.set_folder else None
    folder = options.folder or _folder_of(options.model or "", named, options.results)
    record = read_probe_record(folder / PROBE_RECORD)
    if named:
        stored.check_set(named, record)
    if isinstance(record, GenerateRecord):
        of_set = _query_set_of(record, named), _queries_of(record, named, options)
        show_written(record, folder, *of_set, count=options.count, wanted=options.wanted, form=options.form)
        return
    if isinstance(record, ProbeRecord):
        kind = _filled(record, folder, named, options)
    elif isinstance(record, RankRecord):
        kind = _ranked(record, folder, named, options)
    else:
        kind = _chosen(record, folder, named, options)
    shown, wanted = kind.shown, options.wanted
    if wanted:
        unknown = sum(one.is_hit is None for one in shown)
        if unknown:
            say(f"{unknown:,} have no score and are neither hits nor misses")
        shown = [one for one in shown if one.is_hit == (wanted == "hits")]
    shown = [shown[place] for place in stored.even_places(len(shown), options.count)]
    say(f"{record.model} on {record.set}; {kind.rule}")
    if older := stored.rules_differ(record):
        say(older)
    if not shown:
        say(f"no {wanted or 'queries'} among those that the options leave")
    if options.form != "terminal":
        fields = list(dict.fromkeys(name for one in shown for name in one.row))
        rows = [{name: one.row.get(name) for name in fields} for one in shown]
        grid = Grid(kind.headings, [one.cells for one in shown], layout="prose")
        print_sheets(
            [Sheet(f"{record.model} on {record.set}", (), (grid,))],
            options.form,
            rows=lambda: Rows(fields, rows),
            content=lambda: {"schema": 1, "examples": rows},
        )
    elif shown:
        click.echo("\n\n".join("\n".join(_lines_of(one)) for one in shown))


def _lines_of(shown: Shown) -> Iterator[str]:
    """Yield the lines of one example, none wider than 80 columns."""
    yield from textwrap.wrap(shown.text, _WIDTH, subsequent_indent="  ")
    for name, text in shown.lines.items():
        yield from textwrap.wrap(
            text, _WIDTH, initial_indent=f"  {name:<12}", subsequent_indent=_INDENT, max_lines=4
        )


def _folder_of(model: str, asked: QuerySet | QuestionSet | None, out: Path) -> Path:
    """Return the newest probe of a model, on a set if one is named. Raises UserError if there is none."""
    say_unfinished(out)
    found = stored.find_any_probes([out])
    models = {probe.record.model for probe in found}
    model = model if model in models else Path(model).name  # a directory, as `probe run` takes it
    if model not in models:
        hint = did_you_mean(model, models)
        raise UserError(
            f"{out}: no probe of model '{model}'{hint} {stored.REMEDY}, or name its place by --results"
        )
    on_set = stored.probes_on(found, asked) if asked else found
    fitting = [probe for probe in on_set if probe.record.model == model]
    if asked and not fitting:
        raise UserError(f"{out}: no probe of model '{model}' on the set {asked.folder}; {stored.REMEDY}")
    newest = stored.newest_probe(fitting)
    say(f"{newest.folder}: the newest of {len(fitting)}, of {newest.record.provenance.started_utc}")
    return newest.folder


def say_unfinished(folder: Path) -> None:
    """Name the probes under a folder that were begun and not finished."""
    for probe in stored.unfinished_probes(folder):
        say(f"{probe}: not finished; the command that began it goes on with it")


def _query_set_of(
    record: ProbeRecord | RankRecord | GenerateRecord, named: QuerySet | QuestionSet | None
) -> QuerySet:
    if named is not None:
        assert isinstance(named, QuerySet), "the hash of a set is of one kind"
        return named
    found = find_set(record.set_hash, name=record.set)
    say(f"{found.folder}: the set of this probe")
    return found


def _check_relation(relation: str | None, known: set[str], folder: Path, what: str = "relation") -> None:
    if relation is not None and relation not in known:
        raise UserError(
            f"{folder}: no query of {what} '{relation}'{did_you_mean(relation, known)} "
            f"'kebench probe stats {folder}' shows all"
        )


def _score_of(record: RankRecord | ChoiceRecord, folder: Path, asked: str | None) -> str:
    """Return the score that is shown. Raises UserError for one that the probe has not."""
    score = asked or next(one for one in DEFAULTS[type(record)] if one in record.figures)
    if score not in record.figures:
        raise UserError(f"{folder}: has no figures by '{score}'; choose one of {', '.join(record.figures)}")
    return score


def _queries_of(
    record: ProbeRecord | GenerateRecord, named: QuerySet | QuestionSet | None, options: ShowOptions
) -> pa.Table:
    """Return the queries of the set of a probe, or those of the relation that is asked for."""
    query_set = _query_set_of(record, named)
    queries = query_set.table()
    _check_relation(options.relation, set(queries["relation"].unique().to_pylist()), query_set.folder)
    if options.relation is None:
        return queries
    return queries.filter(pc.equal(queries["relation"], options.relation))


def _filled(
    record: ProbeRecord, folder: Path, named: QuerySet | QuestionSet | None, options: ShowOptions
) -> _Kind:
    """Return examples of filled blanks, so many as are shown, or are looked at for hits or misses."""
    if options.score:
        raise UserError(
            "--score is of ranked probes and multiple choice, and this one fills blanks; leave it out"
        )
    queries, wanted = _queries_of(record, named, options), options.wanted
    # Taken evenly. Which are hits is known only of those that have been judged.
    tokenizer = stored.read_tokenizer(folder)
    if record.subset.queries is not None:
        queries = stored.decoded_queries(queries, folder)
    judged = stored.evenly(queries, LOOKED_AT if wanted else options.count)
    if wanted and len(judged) < len(queries):
        say(f"looked for {wanted} among {len(judged):,} of {len(queries):,} queries, evenly taken")
    found = examples(judged, stored.read_predictions(folder, of=judged), tokenizer)
    return _Kind(
        f"hits by the {record.mode} rule",
        ("query", "accepted", "one mask", "more masks", "right"),
        [shown_filled(one, record.mode) for one in found],
    )


def _ranked(
    record: RankRecord, folder: Path, named: QuerySet | QuestionSet | None, options: ShowOptions
) -> _Kind:
    """Return examples of ranked names, of all queries of the relation."""
    score, settings = _score_of(record, folder, options.score), record.settings
    query_set = _query_set_of(record, named)
    pools, _ = read_pools(query_set, stored.asked_queries(query_set.table(), record.subset), settings)
    _check_relation(options.relation, {pool.relation for pool in pools}, query_set.folder)
    pools = [pool for pool in pools if options.relation in (None, pool.relation)]
    draws = f"{counted(settings.draws, 'draw')} of {counted(settings.shots, 'shot')}"
    shots = f", behind the first of {draws} (not shown)" if settings.shots else ""
    rule = f"by {score} ({NAME_SCORES[score]}), in the first wording{shots}; hits: a true answer is first"
    found = ranked_examples(stored.read_beside(folder / SCORES, SCORES_SCHEMA), pools, score, settings)
    return _Kind(
        rule,
        ("query", "accepted", "best five", "best true one"),
        [shown_ranked(one) for one in sorted(found, key=lambda one: one.query_id)],
    )


def _chosen(
    record: ChoiceRecord, folder: Path, named: QuerySet | QuestionSet | None, options: ShowOptions
) -> _Kind:
    """Return examples of multiple choice, of all questions of the subset."""
    score, settings = _score_of(record, folder, options.score), record.settings
    open_split = partial(QuestionSet.open, split=settings.split)
    if named:
        question_set = open_split(named.folder)
    else:
        question_set = find_any_set(record.set_hash, open_split, name=record.set)
        say(f"{question_set.folder}: the set of this probe")
    questions = asked_questions(question_set, record.subset)
    subsets = {one.question.subset for one in questions}
    _check_relation(options.relation, subsets, question_set.folder, "subset")
    order = ", options in their own order" if settings.permuted else ""
    shots = f", {counted(settings.shots, 'shot')} (not shown)" if settings.shots else ""
    rule = f"by {score}{shots}{order}; hits: the right option alone is the best"
    found = choice_examples(stored.read_beside(folder / CHOICES, CHOICES_SCHEMA), questions, score)
    return _Kind(
        rule,
        ("question", "options", "answer", "chosen"),
        [shown_choice(one) for one in found if options.relation in (None, one.asked.question.subset)],
    )
