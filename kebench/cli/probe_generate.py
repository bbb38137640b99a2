"""`kebench probe generate`: ask language models for words."""

import textwrap
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.compute as pc

from kebench.cli.cluster import runs_on_cluster
from kebench.cli.options import option, takes
from kebench.cli.probe_run import AskOptions, ask, opened, start_token_option
from kebench.cli.tables import Rows, print_sheets
from kebench.grid import Grid, GridRows, Sheet
from kebench.model.source import ResolvedModel
from kebench.probe import stored
from kebench.probe.earned import earned_of
from kebench.probe.generate_figures import SCORE
from kebench.probe.generated import WRITTEN_SCHEMA, accepted_by, read_asked
from kebench.probe.plan import Precision, ProbePlan
from kebench.probe.query_set import QuerySet
from kebench.probe.record import GenerateRecord, ProbeSubset
from kebench.report.probe_generated import generated_boards, generated_groups_sheet, generated_sheet

_NAMED = 5  # accepted names in a line of `kebench probe show`


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(AskOptions):
    """The options of `kebench probe generate`."""

    shots: int | None = option(
        type=click.IntRange(0, 32),
        help="Facts of the relation that stand before a statement, others for each query; default: 4.",
    )
    beam: int = option(type=click.IntRange(1, 100), default=5, help="Answers that are kept of each query.")
    max_new_tokens: int = option(
        type=click.IntRange(1, 256), default=24, help="Most tokens of an answer, without its end."
    )
    constrained: bool = option(help="Answers are names of the query's pool alone.")
    start: str = start_token_option()


@click.command("generate")
@takes(GenerateOptions, within=runs_on_cluster(several=True))
def probe_generate(options: GenerateOptions) -> None:
    """Ask causal and encoder-decoder models for words: what they write into the blanks of a query set.

    An answer is right if it is, as a whole, a name that the query accepts. What is recorded is not made
    again, and a probe that was stopped goes on, as with 'kebench probe run'.
    """
    from kebench.probe.generate import check_generation, plan_generate

    query_set = opened(options, QuerySet.open)
    allowed = options.allow_remote_code

    def plan_one(model: ResolvedModel, *, precision: Precision, subset: ProbeSubset) -> ProbePlan:
        return plan_generate(
            model,
            query_set,
            start=options.start,
            shots=options.shots,
            seed=options.seed,
            beam=options.beam,
            max_new_tokens=options.max_new_tokens,
            constrained=options.constrained,
            precision=precision,
            subset=subset,
            trusted=allowed and model.card.trust_remote_code,
        )

    check = partial(check_generation, allow_remote_code=allowed)
    ask(options, query_set, plan_one, check=check, show=_print_record)


def _print_record(record: GenerateRecord, folder: Path) -> None:
    """Print the figures of one probe, what became of its queries, and where it is."""
    for board in generated_boards([record]):
        sheets = [generated_sheet(board)]
        sheets += [generated_groups_sheet(row, "relation", board.title) for row in board.rows]
        print_sheets(sheets, "terminal")
    counts = record.counts
    said = (
        f"{counts.asked:,} of {counts.queries:,} queries asked, {counts.reworded:,} of them by another "
        f"statement than the first; left out: {counts.unranked:,} have no place in a pool, "
        f"{counts.blank_inside:,} have words behind the blank in every statement, {counts.without_shots:,} "
        f"have too few facts for shots. {counts.answers:,} answers; {counts.unanswered:,} queries have none, "
        f"{counts.cut:,} might have others with more tokens, {counts.out_of_reach:,} accept only names with "
        "an end sign."
    )
    if record.settings.constrained:
        said += f" {counts.unwritable:,} names of the pools hold letters that the vocabulary lacks."
    click.echo(textwrap.fill(said, 80))
    click.echo(f"answers and record: {folder}")


def show_written(
    record: GenerateRecord,
    folder: Path,
    query_set: QuerySet,
    queries: pa.Table,
    *,
    count: int,
    wanted: str | None,
    form: str,
) -> None:
    """Print queries with what a model wrote, evenly taken of those that were asked.

    queries: of the set. wanted: "hits" or "misses" alone.
    """
    earned = earned_of(stored.StoredProbe(record, folder), SCORE, "mrr")
    queries = queries.filter(pc.is_in(queries["query_id"], pa.array(list(earned), pa.int32())))
    if wanted:
        is_hit = [earned[query_id].value > 0 for query_id in queries["query_id"].to_pylist()]
        queries = queries.filter(pa.array([hit == (wanted == "hits") for hit in is_hit], pa.bool_()))
    shown = stored.evenly(queries, count)
    stated = {  # of causal models not always by the text of the query
        query_id: " [MASK]".join(one.statement(number)).strip()
        for one in (read_asked(query_set, shown, record.settings).pools if len(shown) else ())
        for number, query_id in enumerate(one.query_ids)
    }
    written = stored.read_predictions(folder, of=shown, schema=WRITTEN_SCHEMA).sort_by("rank")
    answers: dict[int, list[dict[str, Any]]] = {}
    for row in written.select(["query_id", "string", "sum_log_prob"]).to_pylist():
        answers.setdefault(row.pop("query_id"), []).append(row)
    accepted = accepted_by(shown)
    rows: list[dict[str, Any]] = [
        {
            "query": row["query_id"],
            "relation": row["relation"],
            "text": stated[row["query_id"]],
            "accepted": [one.name for one in accepted[row["query_id"]]],
            "answers": answers.get(row["query_id"], []),
            "rank": round(1 / mrr) if (mrr := earned[row["query_id"]].value) else None,
        }
        for row in shown.to_pylist()
    ]
    lines: GridRows = [
        (
            row["text"],
            ", ".join(row["accepted"][:_NAMED]) + _and_more(row["accepted"]),
            "; ".join(one["string"] or "(nothing)" for one in row["answers"]),
            row["rank"],
        )
        for row in rows
    ]
    headings = ("query", "accepted", "answers, best first", "right")
    grid = Grid(headings, lines, layout="prose")
    note = "right: the place of the first right answer among different ones."
    flat = [
        {
            **row,
            "accepted": ", ".join(row["accepted"]),
            "answers": "; ".join(one["string"] for one in row["answers"]),
        }
        for row in rows
    ]
    print_sheets(
        [Sheet(f"{record.model} on {record.set}", (), (grid,), (note,))],
        form,
        rows=lambda: Rows(list(flat[0]) if flat else (), flat),
        content=lambda: {"schema": 1, "examples": rows},
    )


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
