"""`kebench probe build`, `import`, `export` and `stats`: sets of cloze queries."""

import textwrap
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from kebench.cli.options import FILE, FOLDER, Modes, argument, changes_of, option, takes
from kebench.cli.tables import format_option, print_sheets
from kebench.errors import UserError
from kebench.grid import NAME_WIDTH, Grid, GridRows, Sheet, count_cell
from kebench.probe.build import build_set, plan_set
from kebench.probe.foreign import import_set
from kebench.probe.index import export_ids
from kebench.probe.query_set import QUESTIONS, QuerySet, QuerySetManifest, remember_set
from kebench.probe.question_files import question_files
from kebench.probe.questions import QuestionSetManifest, import_questions, read_question_manifest
from kebench.probe.recipe import read_probe_recipe
from kebench.report.probe_choice import question_set_sheet
from kebench.umls.knowledge_base import KnowledgeBase

RECIPE = "umls-2020aa"
# heading in the table: its count in set.json
NUMBERS = {
    "queries": "queries",
    "before the cap": "queries_before_cap",
    "relations": "relations",
    "answers": "answers",
    "mean CUIs": "mean_cuis",
    "without answers": "without_answers",
    "type 1": "type_1",
    "type 2": "type_2",
    "type 1, released rule": "type_1_released",
    "type 2, released rule": "type_2_released",
    "triples": "triples",
}


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """The options of `kebench probe build`."""

    folder: Path = argument(metavar="KB")
    out: Path = option(help="The new folder of the set.")
    recipe: str = option(default=RECIPE, help="umls-2020aa, open, clinical, mini, or a .toml file.")
    index: Path | None = option(
        type=FILE, help="Make the queries that this file of identifiers names, and no other."
    )
    mode: str | None = option(
        changes=True,
        type=Modes(
            "fixed",
            "released",
            without={
                "paper": "a set is made of names as a knowledge base was imported, of which the paper says "
                "little; 'kebench probe run --mode paper' fills its blanks as the paper does"
            },
        ),
        help="Ours, or as the code released with KeBioLM; default: as KB was imported.",
    )
    max_queries_per_relation: int | None = option(
        "--cap",
        type=click.IntRange(1, 999_999),
        changes=True,
        help="Queries a relation, instead of the recipe's.",
    )
    seed: int | None = option(type=click.IntRange(0), changes=True, help="Instead of the recipe's.")
    relations: tuple[str, ...] = option("--relation", help="Only this one (may_treat); may be repeated.")
    memory_mib: int | None = option(type=click.IntRange(200), help="What DuckDB may use; default: 2048.")


@click.command()
@takes(BuildOptions)
def build(options: BuildOptions) -> None:
    """Build a set of cloze queries of a knowledge base.

    Every triple asks for its tail ("s r [MASK].") and for its head ("[MASK] r o."). Queries of one text are
    one, with the answers of all; of each relation some are chosen by a seed. With --index a file of
    identifiers chooses: that of kebench probe export, or the one beside the paper's released code (lui,
    relation, order).
    """
    if options.index and (options.max_queries_per_relation, options.seed) != (None, None):
        raise UserError("--cap and --seed choose queries, and so does --index; name one or the other")
    relations = options.relations or None  # of the recipe, if none is named
    settings = read_probe_recipe(options.recipe, relations=relations, **changes_of(options))
    plan = plan_set(KnowledgeBase.open(options.folder), settings, index=options.index)
    reason = "as asked" if settings.mode else "as the knowledge base was imported"
    click.echo(f"mode {plan.mode} ({reason}), recipe {options.recipe}", err=True)
    _say_what_was_made(build_set(plan, options.out, memory_mib=options.memory_mib), options.out)


def _say_what_was_made(manifest: QuerySetManifest, out: Path) -> None:
    remember_set(out, *manifest.hashes)
    print_sheets([Sheet("", (), (_counts(manifest),))], "terminal")
    _print_ambiguous(manifest)
    lost = {name: num for name, num in manifest.missing.items() if num}
    if lost:
        parts = ", ".join(f"{num:,} {name.replace('_', ' ')}" for name, num in lost.items())
        click.echo(f"missing in the knowledge base: {parts}")
    gone = sum(lost.get(f"queries_without_{what}", 0) for what in ("relation", "concept"))
    if gone > manifest.counts["queries"]:
        click.echo(
            f"warning: {gone:,} of the index's queries are not there; "
            "is this the knowledge base that the index was made from?",
            err=True,
        )
    for reason, num in manifest.counts.get("left_out", {}).items():
        if num:
            click.echo(f"left out: {num:,} queries for {reason.replace('_', ' ')}")
    _print_pools(manifest)
    click.echo(f"set: {out}")


def _print_pools(manifest: QuerySetManifest) -> None:
    """Print what can be ranked, what cannot, and how many questions are bad ones."""
    pools = manifest.pools
    if pools is None:
        click.echo("pools: none, so nothing of it can be ranked")
        return
    each = [of for directions in pools.by_relation.values() for of in directions.values()]
    sizes = sorted(of.reached for of in each if not of.too_small)
    said = "pools: none of 5 candidates"
    if sizes:
        said = (
            f"pools: {len(sizes)} of a relation and direction, {sizes[0]} to {sizes[-1]} candidates (median "
            f"{sizes[len(sizes) // 2]}); {pools.ranked:,} queries can be ranked"
        )
    filled = sum(of.fill_ups.relation + of.fill_ups.type for of in each if not of.too_small)
    parts = [f"{num:,} {reason.replace('_', ' ')}" for reason, num in pools.not_ranked.items() if num]
    said += f"; not: {', '.join(parts)}" if parts else ""
    said += f"; {filled:,} candidates fill small pools up" if filled else ""
    with_shots = sum(of.shots > 0 for of in each)
    lines = [f"{said}.", f"shots: for {with_shots} of {len(each)} relations and directions."]
    if flags := [f"{num:,} {flag.replace('_', ' ')}" for flag, num in pools.flags.items() if num]:
        lines.append(f"flagged queries: {', '.join(flags)}.")
    reasons = defaultdict(list)
    for relation, why in manifest.relations_left_out.items():
        reasons[why.replace("_", " ")].append(relation)
    lines += [f"relations of the recipe left out, {why}: {', '.join(of)}." for why, of in reasons.items()]
    for line in lines:
        click.echo(textwrap.fill(line, 80, break_on_hyphens=False, break_long_words=False))


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=FOLDER, required=True, help="The new folder of the set.")
@click.option(
    "--prompts",
    type=FILE,
    help='BioLAMA\'s: {"relation": ..., "template": "[X] ... [Y] ."} a line; or MedLAMA\'s prompts.csv.',
)
def import_(files: tuple[Path, ...], out: Path, prompts: Path | None) -> None:
    """Make a set of queries that were made elsewhere.

    FILES are BioLAMA's triples (.jsonl; each line may hold its own "prompt", else --prompts has one for each
    predicate_id), or tables (.csv) with the columns query and answers, joined with |, and perhaps relation.
    A query holds [MASK] or [Y] once. Folders and files of MedLAMA and BEAR are known by their fields:
    MedLAMA's prompts.csv is looked for beside or above them, BEAR's answer spaces are its candidates.

    Multiple choice questions become a set for 'kebench probe choice': FILES, or folders, of MMLU
    (anatomy_test.csv, anatomy_dev.csv ...) or MedQA (test.jsonl, dev.json.gz ...).
    """
    if question_files(files):
        if prompts:
            raise UserError(
                f"{prompts}: prompts are for triples, and these are questions; leave --prompts out"
            )
        _print_questions(import_questions(files, out))
        click.echo(f"set: {out}")
        return
    _say_what_was_made(import_set(files, out, prompts=prompts), out)


@click.command()
@click.argument("folder", metavar="SET", type=FOLDER)
@click.option("--ids", "out", type=FOLDER, required=True, help="The new CSV file.")
def export(folder: Path, out: Path) -> None:
    """Write a set as identifiers only: cui, lui, relation, direction.

    Of these, `kebench probe build --index` makes the same set again for anyone who has the release.
    """
    click.echo(f"{out}: {export_ids(QuerySet.open(folder), out):,} queries")


@click.command()
@click.argument("folder", metavar="SET", type=FOLDER)
@click.option("--by", "heading", type=click.Choice(["relation"]), help="Also the numbers of each relation.")
@format_option
def stats(folder: Path, heading: str | None, form: str) -> None:
    """Print a set's counts, those of the paper's beside them."""
    if (folder / QUESTIONS).is_file():
        if heading:
            raise UserError(f"--by {heading} is of cloze queries, and {folder} holds questions; leave it out")
        _print_questions(read_question_manifest(folder), form)
        return
    manifest = QuerySet.open(folder).manifest
    if form != "terminal":
        grids = (_counts(manifest), *([_relations(manifest, is_broken=False)] if heading else []))
        title = f"{manifest.name}, mode {manifest.mode}, content {manifest.content_hash[:12]}"
        counts: dict[str, Any] = {"counts": manifest.counts}
        counts |= {"by_relation": manifest.by_relation} if heading else {}
        if manifest.pools:
            but = None if heading else {"by_relation"}
            counts["pools"] = manifest.pools.model_dump(mode="json", by_alias=True, exclude=but)
        print_sheets([Sheet(title, (), grids)], form, content=lambda: counts)
        return
    source = manifest.knowledge_base
    of = f"of {source.release}, made from {source.made_from}" if source else "imported"
    click.echo(f"{manifest.name}: {of}, mode {manifest.mode}, content {manifest.content_hash[:12]}")
    if manifest.facts_stored:
        click.echo(f"facts are stored {manifest.facts_stored} (reverse there: {manifest.reverse_share:.1%})")
    click.echo(textwrap.fill(f"sharing: {manifest.sharing}", 80, break_on_hyphens=False))
    print_sheets([Sheet("", (), (_counts(manifest),))], form)
    _print_ambiguous(manifest)
    _print_pools(manifest)
    if heading:
        click.echo()
        print_sheets([Sheet("", (), (_relations(manifest, is_broken=True),))], form)


def _print_questions(manifest: QuestionSetManifest, form: str = "terminal") -> None:
    fields = {"counts", "by_split"}
    print_sheets([question_set_sheet(manifest)], form, content=lambda: manifest.model_dump(include=fields))


def _counts(manifest: QuerySetManifest) -> Grid:
    """Return the counts; beside them the paper's, if the recipe has them and no relation was chosen."""
    recipe = manifest.recipe or {}
    published = {} if recipe.get("relations") else recipe.get("published", {})
    rows: GridRows = [
        (
            _mean(manifest) if heading == "mean CUIs" else heading,
            count_cell(manifest.counts[name]),
            *([count_cell(published.get(name))] if published else []),
        )
        for heading, name in NUMBERS.items()
        if manifest.counts.get(name) is not None
    ]
    return Grid(("", "this set", *(("paper",) if published else ())), rows, layout="listing")


def _print_ambiguous(manifest: QuerySetManifest) -> None:
    counts = manifest.counts
    if counts.get("ambiguous_share") is not None:
        of = "concepts of the knowledge base" if manifest.knowledge_base else "answers of this set"
        said = (
            f"{counts['ambiguous_share']:.1%} of the accepted names ({counts['ambiguous_names']:,} of "
            f"{counts['names']:,}) are names of several {of}. {counts['queries_with_ambiguous_names']:,} "
            "queries accept the name of one that is no answer of theirs."
        )
        click.echo(textwrap.fill(said, 80))


def _mean(manifest: QuerySetManifest) -> str:
    """Return what the mean is of: an imported set need not know of CUIs."""
    return "mean CUIs" if manifest.knowledge_base else "mean answers"


def _relations(manifest: QuerySetManifest, *, is_broken: bool) -> Grid:
    """Return the numbers of each relation. is_broken: long names into lines, never inside a word."""
    columns = ("relation", "words", "rule", "queries", _mean(manifest), "type 1", "type 2")
    rows: GridRows = []
    for relation, counts in manifest.by_relation.items():
        name = relation
        if is_broken and len(relation) > NAME_WIDTH:
            lines = textwrap.wrap(relation.replace("_", "_ "), NAME_WIDTH, break_long_words=False)
            name = "\n".join(line.replace("_ ", "_") for line in lines)
        numbers = (count_cell(counts[one]) for one in ("queries", "mean_cuis", "type_1", "type_2"))
        words, rule = (str(counts.get(one, "-")) for one in ("words", "rule"))
        rows.append((name, words, rule, *numbers))
    return Grid(columns, rows, layout="listing")
