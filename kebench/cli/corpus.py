"""`kebench corpus`: what a linked corpus holds, and how good its links are."""

import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import click

from kebench.cli import WIDTH
from kebench.cli.annotate import print_manifest
from kebench.cli.options import FILE, FOLDER, added_by, argument, option, takes
from kebench.cli.tables import format_option, print_table, print_wrapped
from kebench.corpus.gold import GoldConcepts
from kebench.corpus.linked import LinkedCorpus, LinkedPassage
from kebench.corpus.passage import Passage
from kebench.corpus.quality import judge
from kebench.corpus.readers import detect_format, read_passages
from kebench.errors import UserError
from kebench.grid import Cell
from kebench.umls.knowledge_base import KnowledgeBase

_SHOWN_IDS = 3


@click.group()
def corpus() -> None:
    """Describe linked corpora, and score their links."""


@corpus.command()
@click.argument("folder", metavar="CORPUS", type=FOLDER)
@format_option
def stats(folder: Path, form: str) -> None:
    """Print what a corpus holds, what it was made of, and what was left out."""
    manifest = LinkedCorpus.open(folder).manifest
    knowledge_base = manifest.knowledge_base
    settings = manifest.settings.model_dump(exclude_none=True, exclude={"linker"})
    about = {
        "knowledge base": f"{knowledge_base['release']} {knowledge_base['content_hash'][:12]}",
        "linker": "; ".join([manifest.settings.linker, *(f"{k} {v}" for k, v in settings.items())]),
        "inputs": ", ".join(f"{one.name} ({one.format})" for one in manifest.inputs),
    }
    if form != "terminal":
        counts = manifest.counts.model_dump()
        print_table(("", "number"), list(counts.items()), form, content=lambda: {**about, "counts": counts})
        return
    for name, text in about.items():
        click.echo("\n".join(textwrap.wrap(f"{name}: {text}", WIDTH, subsequent_indent="  ", max_lines=6)))
    print_manifest(manifest)


@corpus.command()
@click.argument("folder", metavar="CORPUS", type=FOLDER)
@click.option("--n", "count", type=click.IntRange(1), default=3, show_default=True, help="Passages.")
@click.option("--document", help="Only this document.")
@click.option("--cui", help="Only passages with this concept.")
@click.option(
    "--kb", "kb_folder", metavar="KB", type=FOLDER, help="The knowledge base: adds concepts' names."
)
def show(folder: Path, count: int, document: str | None, cui: str | None, kb_folder: Path | None) -> None:
    """Print the first passages with their mentions: characters, concept, score, text."""
    corpus = LinkedCorpus.open(folder)
    knowledge_base = KnowledgeBase.open(kb_folder) if kb_folder else None
    if knowledge_base:
        corpus.require_made_with(knowledge_base)
    fitting = (
        one
        for one in corpus.passages()
        if document in (None, one.document_id) and (cui is None or cui in {m.cui for m in one.mentions})
    )
    found = list(islice(fitting, count))
    if not found:  # what would fit is said
        first = list(islice(dict.fromkeys(one.document_id for one in corpus.passages()), _SHOWN_IDS))
        if not first:
            raise UserError(f"{folder}: holds no passage; 'kebench corpus stats' says what was left out")
        asked, there = [], []
        if document is not None:
            asked.append(f"document '{document}'")
            there.append(f"documents {', '.join(first)}")
        if cui is not None:
            asked.append(f"concept '{cui}'")
            there.append(f"concepts {', '.join(sorted(corpus.cuis())[:_SHOWN_IDS]) or 'none at all'}")
        raise UserError(
            f"{folder}: no passage of {' and '.join(asked)}; among others there are {' and '.join(there)}"
        )
    names: dict[str, str] = {}
    if knowledge_base:
        concepts = knowledge_base.concepts(sorted({m.cui for one in found for m in one.mentions}))
        names = dict(zip(concepts["cui"].to_pylist(), concepts["name"].to_pylist(), strict=True))
    click.echo("\n\n".join(_passage_text(one, names) for one in found))


def _passage_text(passage: LinkedPassage, names: Mapping[str, str]) -> str:
    lines = textwrap.wrap(f"{passage.document_id}: {passage.text}", WIDTH)
    for mention in passage.mentions:
        said = passage.text[mention.char_start : mention.char_end]
        name = f" ({names[mention.cui]})" if mention.cui in names else ""
        line = f"  {mention.char_start}-{mention.char_end} {mention.cui}{name} {mention.score:.2f} {said}"
        lines += textwrap.wrap(line, WIDTH, subsequent_indent="    ")
    return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """The options of `kebench corpus score`."""

    folder: Path = argument(metavar="CORPUS")
    gold: Path = option(type=FILE, help="An annotated file (PubTator, BioC ...).")
    kb_folder: Path = option("--kb", metavar="KB", help="The knowledge base.")
    kinds: tuple[str, ...] = option("--kind", help="Only gold mentions of this kind (Disease); repeatable.")
    types: tuple[str, ...] = option(
        "--semantic-type", help="Only links to concepts of this TUI (T047); repeatable."
    )
    id_map: Path | None = option(type=FILE, help="Concepts of the file's ids, lines of ID, tab, CUI.")
    form: str = added_by(format_option)


@corpus.command()
@takes(ScoreOptions)
def score(options: ScoreOptions) -> None:
    """Print precision, recall and F1 of a corpus's mentions and links against gold ones."""
    folder, gold = options.folder, options.gold
    knowledge_base = KnowledgeBase.open(options.kb_folder)
    corpus = LinkedCorpus.open(folder)
    corpus.require_made_with(knowledge_base)
    click.echo(f"reading {gold}, {folder} and the codes of {options.kb_folder}", err=True)
    faults: Counter[str] = Counter()
    read = read_passages(gold, detect_format(gold), on_error="skip", faults=faults)
    found = judge(
        corpus.passages(),
        (one for one in read if isinstance(one, Passage)),
        knowledge_base,
        kinds=frozenset(options.kinds),
        semantic_types=frozenset(options.types),
        concepts=GoldConcepts(knowledge_base, id_map=options.id_map),
    )
    if not found.documents:
        what = "has the same text" if found.other_text else "is"
        raise UserError(
            f"{folder}: none of its documents {what} in {gold}; name the file that it was made of"
        )
    rows = []
    for name in ("spans", "links", "concepts"):
        counts = getattr(found, name)
        percents = (counts.precision_percent, counts.recall_percent, counts.f1_percent)
        sizes = (counts.num_gold, counts.num_predicted, counts.num_correct)
        rows.append((name, *map(Cell, percents), *sizes))
    print_table(("", "P", "R", "F1", "gold", "found", "right"), rows, options.form)
    if options.form != "terminal":
        return
    click.echo("spans: both ends; links: and the concept; concepts: of each document, anywhere")
    click.echo("of a mention's links the best count, as many as gold names there, or one")
    if found.further:
        click.echo(f"not counted: {found.further:,} further links of such mentions")
    click.echo(
        f"{found.documents:,} passages; {found.reachable:,} of {found.with_id:,} gold mentions with an id "
        "are known"
    )
    if found.other_text:
        print_wrapped(f"not scored: {found.other_text:,} passages whose text is another in {gold}")
    if faults:
        print_wrapped(
            f"not scored: {faults.total():,} records or mentions of {gold} that could not be used (they "
            "are named on stderr)"
        )
