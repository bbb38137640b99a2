"""`kebench annotate`: link text to a knowledge base."""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kebench.cli.cluster import runs_on_cluster
from kebench.cli.tables import print_table, print_wrapped
from kebench.errors import counted_kind

if TYPE_CHECKING:
    from kebench.corpus.exclude import HeldOut
    from kebench.corpus.linked import CorpusManifest, Exclusion

FOLDER = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
FORMATS = ("pubmed", "pubmedds", "pubtator", "bioc", "jsonl", "text")


class Input(click.Path):
    """A path that exists, or embedded:mini, the miniature's corpus."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if value == "embedded:mini":
            from kebench.mini.build import miniature_corpus

            return miniature_corpus()
        return super().convert(value, param, ctx)


@click.command()
@click.argument(
    "inputs", metavar="INPUT...", nargs=-1, required=True, type=Input(path_type=Path, exists=True)
)
@click.option("--kb", "kb_folder", metavar="KB", type=FOLDER, required=True, help="The knowledge base.")
@click.option("--out", type=FOLDER, required=True, help="The corpus's folder.")
@click.option("--linker", type=click.Choice(["scispacy", "dictionary", "gold"]), default="dictionary",
              show_default=True, help="How mentions are found and linked.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(FORMATS), help="Of the inputs; default: found for each.")
@click.option("--on-error", type=click.Choice(["stop", "skip"]), default="stop", show_default=True,
              help="At a record that cannot be used.")  # fmt: skip
@click.option("--retracted", type=click.Choice(["drop", "keep"]), default="drop", show_default=True,
              help="Retracted articles of PubMed files.")  # fmt: skip
@click.option("--preset", help="scispacy: whose settings; paper (the default), author or scispacy.")
@click.option("--mentions", type=click.Choice(["ner", "noun_chunks", "dictionary"]),
              help="scispacy: how mentions are found; default: ner if the model is installed.")  # fmt: skip
@click.option(
    "--spacy-model", help="scispacy: the model that finds mentions; default: en_core_sci_lg for ner."
)
@click.option("--search", type=click.Choice(["exact", "approximate"]), help="scispacy: of nearest names.")
@click.option("--threshold", type=click.FloatRange(0, 1, max_open=True),
              help="scispacy: links are more similar than this.")  # fmt: skip
@click.option("--k", type=click.IntRange(1, 1000), help="scispacy: nearest names of a mention.")
@click.option("--max-entities", type=click.IntRange(1), help="scispacy: most concepts of a mention.")
@click.option("--ties", type=click.Choice(["names", "cui"]),
              help="scispacy: of equally similar concepts, that of more names or the lower CUI.")  # fmt: skip
@click.option("--abbreviations/--no-abbreviations", default=None,
              help="scispacy: whether short forms are looked up by their long forms.")  # fmt: skip
@click.option("--definitions", type=FILE,
              help="scispacy: CUIs that have a definition (MRDEF.RRF); the others need more.")  # fmt: skip
@click.option("--no-definition-threshold", type=click.FloatRange(0, 1, max_open=True),
              help="scispacy: what they need, with --definitions.")  # fmt: skip
@click.option("--id-map", type=FILE, help="gold: concepts of the files' ids, lines of ID, tab, CUI.")
@click.option(
    "--exclude-test-of",
    metavar="TASKS",
    help="Keep test documents of these tasks (blurb) out: by PMID, by sentences of 40 letters.",
)
@click.option("--exclude", "exclude", multiple=True, type=FILE,
              help="Keep these out: a file of ids, one a line, or PubTator; may be repeated.")  # fmt: skip
@click.option("--data", type=FOLDER, help="The data of those tasks; default: KEBENCH_DATA.")
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True, help="That link.")
@click.option("--shard-documents", type=click.IntRange(1), help="Documents of a shard; default 2000.")
@runs_on_cluster(several=True)
def annotate(
    inputs: tuple[Path, ...],
    kb_folder: Path,
    out: Path,
    linker: str,
    form: str | None,
    on_error: str,
    retracted: str,
    preset: str | None,
    exclude_test_of: str | None,
    exclude: tuple[Path, ...],
    data: Path | None,
    processes: int,
    shard_documents: int | None,
    definitions: Path | None,
    id_map: Path | None,
    **changes: Any,
) -> None:
    """Link text to a knowledge base, and write a corpus to pretrain models on.

    INPUT is a file or a folder of files, gzipped or not: PubMed XML, PubMedDS, PubTator, BioC, JSON lines, or
    plain text with a document a line; embedded:mini is the miniature's corpus, with its own mentions (gold).
    Stopped at any moment, the same command goes on.
    """
    from kebench.corpus.annotate import annotate as run
    from kebench.corpus.annotate import find_corpus
    from kebench.corpus.linking import LinkerFiles
    from kebench.corpus.plan import SHARD_DOCUMENTS, plan_annotation
    from kebench.umls.knowledge_base import KnowledgeBase

    plan = plan_annotation(
        inputs,
        KnowledgeBase.open(kb_folder),
        linker,
        form=form,
        preset=preset,
        files=LinkerFiles(definitions, id_map),
        tests=_tests(exclude_test_of, exclude, data),
        on_error=on_error,
        retracted=retracted,
        shard_documents=shard_documents or SHARD_DOCUMENTS,
        **changes,
    )
    for line in plan.choices():
        click.echo(line, err=True)
    if find_corpus(plan, out):
        click.echo(f"nothing to do: {out} holds this corpus", err=True)
    else:
        told = "1 process links" if processes == 1 else f"{processes} processes link"
        click.echo(f"{told}, of {os.cpu_count()} cores (--processes)", err=True)
    print_manifest(run(plan, out, processes=processes))
    click.echo(f"corpus: {out}")


def _tests(tasks: str | None, files: tuple[Path, ...], data: Path | None) -> "HeldOut":
    from kebench.corpus.exclude import HeldOut, find_held_out
    from kebench.tasks.card import data_folder, select_tasks

    if tasks is None and not files:
        return HeldOut()
    cards = select_tasks(tasks) if tasks else []
    return find_held_out(cards, data_folder(data), files)


def print_manifest(manifest: "CorpusManifest") -> None:
    """Print what a corpus holds and what was left out."""
    counts = manifest.counts.model_dump()
    print_table(("", "number"), [(name, f"{value:,}") for name, value in counts.items()])
    print_wrapped(
        "detected: mentions found; mentions: those of them that are linked; links: pairs of mention and "
        "concept; cuis: distinct concepts"
    )
    faults = sum(one.read["faults"] for one in manifest.inputs)
    unusable = {f"record{'s' * (faults != 1)} that could not be used": faults} if faults else {}
    for reason, count in (manifest.left_out | unusable).items():
        click.echo(f"left out: {count:,} {reason}")
    noted: Counter[str] = Counter()
    for one in manifest.inputs:
        noted.update({note: count for note, count in one.read.items() if note != "faults"})
    for note, count in noted.items():
        click.echo(f"read: {counted_kind(count, note)}")
    _print_exclusion(manifest.exclusion)


def _print_exclusion(exclusion: "Exclusion") -> None:
    tests = ", ".join(exclusion.tests) or "not asked for; see --exclude-test-of"
    print_wrapped(f"test documents kept out: {tests}")
    if exclusion.files:
        print_wrapped(f"ids kept out: those of {', '.join(exclusion.files)}")
    if exclusion.tests or exclusion.files:
        print_wrapped(
            f"{exclusion.ids:,} ids and {exclusion.sentences:,} test sentences are known; left out: "
            f"{exclusion.by_id:,} by id, {exclusion.by_text:,} by text"
        )
