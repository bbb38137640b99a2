"""`kebench annotate`: link text to a knowledge base."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click

from kebench.cli.cluster import runs_on_cluster
from kebench.cli.options import FILE, argument, changes_of, option, takes
from kebench.cli.tables import print_table, print_wrapped
from kebench.corpus.annotate import annotate as run
from kebench.corpus.annotate import find_corpus
from kebench.corpus.exclude import HeldOut, find_held_out
from kebench.corpus.linked import CorpusManifest
from kebench.corpus.linking import LinkerFiles
from kebench.corpus.plan import SHARD_DOCUMENTS, plan_annotation
from kebench.errors import counted_kind
from kebench.mini.build import miniature_corpus
from kebench.tasks.card import data_folder, select_tasks
from kebench.umls.knowledge_base import KnowledgeBase

FORMATS = ("pubmed", "pubmedds", "pubtator", "bioc", "jsonl", "text")


class Input(click.Path):
    """A path that exists, or embedded:mini, the miniature's corpus."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if value == "embedded:mini":
            return miniature_corpus()
        return super().convert(value, param, ctx)


@dataclass(frozen=True, kw_only=True)
class AnnotateOptions:
    """The options of the command. Those that change settings are None where they leave them."""

    inputs: tuple[Path, ...] = argument(
        metavar="INPUT...", nargs=-1, required=True, type=Input(path_type=Path, exists=True)
    )
    kb_folder: Path = option("--kb", metavar="KB", help="The knowledge base.")
    out: Path = option(help="The corpus's folder.")
    linker: Literal["scispacy", "dictionary", "gold"] = option(
        default="dictionary", help="How mentions are found and linked."
    )
    form: str | None = option(
        "--format", type=click.Choice(FORMATS), help="Of the inputs; default: found for each."
    )
    on_error: Literal["stop", "skip"] = option(default="stop", help="At a record that cannot be used.")
    retracted: Literal["drop", "keep"] = option(default="drop", help="Retracted articles of PubMed files.")
    preset: str | None = option(help="scispacy: whose settings; paper (the default), author or scispacy.")
    mentions: Literal["ner", "noun_chunks", "dictionary"] | None = option(
        changes=True, help="scispacy: how mentions are found; default: ner if the model is installed."
    )
    spacy_model: str | None = option(
        changes=True, help="scispacy: the model that finds mentions; default: en_core_sci_lg for ner."
    )
    search: Literal["exact", "approximate"] | None = option(changes=True, help="scispacy: of nearest names.")
    threshold: float | None = option(
        type=click.FloatRange(0, 1, max_open=True),
        changes=True,
        help="scispacy: links are more similar than this.",
    )
    k: int | None = option(
        type=click.IntRange(1, 1000), changes=True, help="scispacy: nearest names of a mention."
    )
    max_entities: int | None = option(
        type=click.IntRange(1), changes=True, help="scispacy: most concepts of a mention."
    )
    ties: Literal["names", "cui"] | None = option(
        changes=True, help="scispacy: of equally similar concepts, that of more names or the lower CUI."
    )
    abbreviations: bool | None = option(
        "--abbreviations/--no-abbreviations",
        changes=True,
        help="scispacy: whether short forms are looked up by their long forms.",
    )
    definitions: Path | None = option(
        type=FILE, help="scispacy: CUIs that have a definition (MRDEF.RRF); the others need more."
    )
    no_definition_threshold: float | None = option(
        type=click.FloatRange(0, 1, max_open=True),
        changes=True,
        help="scispacy: what they need, with --definitions.",
    )
    id_map: Path | None = option(type=FILE, help="gold: concepts of the files' ids, lines of ID, tab, CUI.")
    exclude_test_of: str | None = option(
        metavar="TASKS",
        help="Keep test documents of these tasks (blurb) out: by PMID, by sentences of 40 letters.",
    )
    exclude: tuple[Path, ...] = option(
        type=FILE, help="Keep these out: a file of ids, one a line, or PubTator; may be repeated."
    )
    data: Path | None = option(help="The data of those tasks; default: KEBENCH_DATA.")
    processes: int = option(type=click.IntRange(1), default=1, help="That link.")
    shard_documents: int | None = option(type=click.IntRange(1), help="Documents of a shard; default 2000.")


@click.command()
@takes(AnnotateOptions, within=runs_on_cluster(several=True))
def annotate(options: AnnotateOptions) -> None:
    """Link text to a knowledge base, and write a corpus to pretrain models on.

    INPUT is a file or a folder of files, gzipped or not: PubMed XML, PubMedDS, PubTator, BioC, JSON lines, or
    plain text with a document a line; embedded:mini is the miniature's corpus, with its own mentions (gold).
    Stopped at any moment, the same command goes on.
    """
    tests = HeldOut()
    if options.exclude_test_of is not None or options.exclude:
        cards = select_tasks(options.exclude_test_of) if options.exclude_test_of else []
        tests = find_held_out(cards, data_folder(options.data), options.exclude)
    plan = plan_annotation(
        options.inputs,
        KnowledgeBase.open(options.kb_folder),
        options.linker,
        form=options.form,
        preset=options.preset,
        files=LinkerFiles(options.definitions, options.id_map),
        tests=tests,
        on_error=options.on_error,
        retracted=options.retracted,
        shard_documents=options.shard_documents or SHARD_DOCUMENTS,
        **changes_of(options),
    )
    for line in plan.choices():
        click.echo(line, err=True)
    processes = options.processes
    if find_corpus(plan, options.out):
        click.echo(f"nothing to do: {options.out} holds this corpus", err=True)
    else:
        told = "1 process links" if processes == 1 else f"{processes} processes link"
        click.echo(f"{told}, of {os.cpu_count()} cores (--processes)", err=True)
    print_manifest(run(plan, options.out, processes=processes))
    click.echo(f"corpus: {options.out}")


def print_manifest(manifest: CorpusManifest) -> None:
    """Print what a corpus holds and what was left out."""
    counts = manifest.counts.model_dump()
    print_table(("", "number"), list(counts.items()))
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
    exclusion = manifest.exclusion
    tests = ", ".join(exclusion.tests) or "not asked for; see --exclude-test-of"
    print_wrapped(f"test documents kept out: {tests}")
    if exclusion.files:
        print_wrapped(f"ids kept out: those of {', '.join(exclusion.files)}")
    if exclusion.tests or exclusion.files:
        print_wrapped(
            f"{exclusion.ids:,} ids and {exclusion.sentences:,} test sentences are known; left out: "
            f"{exclusion.by_id:,} by id, {exclusion.by_text:,} by text"
        )
