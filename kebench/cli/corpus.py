"""`kebench corpus`: what a linked corpus holds, and how good its links are."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kebench.corpus.linked import LinkedPassage

FOLDER = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_WIDTH = 80


@click.group()
def corpus() -> None:
    """Describe linked corpora, and score their links."""


@corpus.command()
@click.argument("folder", metavar="CORPUS", type=FOLDER)
def stats(folder: Path) -> None:
    """Print what a corpus holds, what it was made of, and what was left out."""
    from kebench.cli.annotate import print_manifest
    from kebench.corpus.linked import LinkedCorpus

    manifest = LinkedCorpus.open(folder).manifest
    knowledge_base = manifest.knowledge_base
    about = {
        "knowledge base": f"{knowledge_base['release']} {knowledge_base['content_hash'][:12]}",
        "linker": "; ".join(f"{k} {v}" for k, v in manifest.settings.model_dump(exclude_none=True).items()),
        "inputs": ", ".join(f"{one.name} ({one.format})" for one in manifest.inputs),
    }
    for name, text in about.items():
        click.echo("\n".join(textwrap.wrap(f"{name}: {text}", _WIDTH, subsequent_indent="  ", max_lines=6)))
    print_manifest(manifest)


@corpus.command()
@click.argument("folder", metavar="CORPUS", type=FOLDER)
@click.option("--n", "count", type=click.IntRange(1), default=3, show_default=True, help="Passages.")
@click.option("--document", help="Only this document.")
@click.option("--cui", help="Only passages with this concept.")
def show(folder: Path, count: int, document: str | None, cui: str | None) -> None:
    """Print the first passages with their mentions."""
    from itertools import islice

    from kebench.corpus.linked import LinkedCorpus
    from kebench.errors import UserError

    fitting = (
        one
        for one in LinkedCorpus.open(folder).passages()
        if document in (None, one.document_id) and (cui is None or cui in {m.cui for m in one.mentions})
    )
    found = list(islice(fitting, count))
    if not found:
        raise UserError(f"{folder}: no such passage; 'kebench corpus stats {folder}' says what there is")
    click.echo("\n\n".join(map(_passage_text, found)))


def _passage_text(passage: "LinkedPassage") -> str:
    lines = textwrap.wrap(f"{passage.document_id}: {passage.text}", _WIDTH)
    for mention in passage.mentions:
        named = passage.text[mention.char_start : mention.char_end]
        line = f"  {mention.char_start}-{mention.char_end} {mention.cui} {mention.score:.2f} {named}"
        lines += textwrap.wrap(line, _WIDTH, subsequent_indent="    ")
    return "\n".join(lines)


@corpus.command()
@click.argument("folder", metavar="CORPUS", type=FOLDER)
@click.option("--gold", "gold_file", type=FILE, required=True, help="An annotated file (PubTator, BioC ...).")
@click.option("--kb", "kb_folder", metavar="KB", type=FOLDER, required=True, help="The knowledge base.")
@click.option("--kind", "kinds", multiple=True, help="Only gold mentions of this kind (Disease); repeatable.")
@click.option("--semantic-type", "types", multiple=True,
              help="Only links to concepts of this TUI (T047); repeatable.")  # fmt: skip
@click.option("--id-map", type=FILE, help="Concepts of the file's ids, lines of ID, tab, CUI.")
def score(
    folder: Path,
    gold_file: Path,
    kb_folder: Path,
    kinds: tuple[str, ...],
    types: tuple[str, ...],
    id_map: Path | None,
) -> None:
    """Print precision, recall and F1 of a corpus's mentions and links against gold ones."""
    from collections import Counter

    from kebench.cli.tables import print_table
    from kebench.corpus.gold import GoldConcepts
    from kebench.corpus.linked import LinkedCorpus
    from kebench.corpus.passage import Passage
    from kebench.corpus.quality import judge
    from kebench.corpus.readers import detect_format, read_passages
    from kebench.errors import UserError
    from kebench.umls.knowledge_base import KnowledgeBase

    knowledge_base = KnowledgeBase.open(kb_folder)
    read = read_passages(gold_file, detect_format(gold_file), on_error="skip", faults=Counter())
    found = judge(
        LinkedCorpus.open(folder).passages(),
        (one for one in read if isinstance(one, Passage)),
        knowledge_base,
        kinds=frozenset(kinds),
        semantic_types=frozenset(types),
        concepts=GoldConcepts(knowledge_base, id_map=id_map),
    )
    if not found.documents:
        raise UserError(
            f"{folder}: none of its documents is in {gold_file}; name the file that it was made of"
        )
    rows = []
    for name in ("spans", "links", "concepts"):
        counts = getattr(found, name)
        percents = (counts.precision_percent, counts.recall_percent, counts.f1_percent)
        rows.append((name, *(f"{value:.1f}" for value in percents), f"{counts.num_gold:,}",
                     f"{counts.num_predicted:,}", f"{counts.num_correct:,}"))  # fmt: skip
    print_table(("", "P", "R", "F1", "gold", "found", "right"), rows)
    click.echo("spans: both ends; links: and the concept; concepts: of each document, anywhere")
    click.echo(
        f"{found.documents:,} passages; {found.reachable:,} of {found.with_id:,} gold mentions with an id "
        "are known"
    )
