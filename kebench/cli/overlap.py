"""`kebench overlap`: how many mentions of the tasks a knowledge base and a corpus know."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import click

from kebench.cli.found import read_found, run_key
from kebench.cli.options import added_by, option, takes
from kebench.cli.tables import Rows, format_option, print_sheets
from kebench.corpus.linked import LinkedCorpus
from kebench.corpus.overlap import BUCKETS, KnownNames, bucket_counts, mention_texts, overlap_of
from kebench.errors import UserError
from kebench.grid import Cell, Grid, GridRows, Sheet
from kebench.kinds.card import SPLITS, TaskCard
from kebench.kinds.registry import KINDS
from kebench.kinds.stored import read_predictions
from kebench.report.strata import STRATA_SCHEMA, Overlap, Strata, StratumScore, overlap_grid
from kebench.report.table import build_leaderboard
from kebench.run import data_of
from kebench.stats.summary import summarise
from kebench.tasks.card import all_task_cards, data_folder, require_splits, select_tasks
from kebench.umls.knowledge_base import KnowledgeBase


class Setting(NamedTuple):
    """A model on a task under one protocol, both as the leaderboard names them: its runs, one a seed."""

    card: TaskCard
    model: str
    protocol: str
    paths: list[Path]


@dataclass(frozen=True, kw_only=True)
class OverlapOptions:
    """The options of the command."""

    kb_folder: Path = option("--kb", metavar="KB", help="The knowledge base.")
    corpus_folder: Path | None = option(
        "--corpus", metavar="CORPUS", help="Also count mentions of concepts that this linked corpus has."
    )
    tasks: str = option(default="kebiolm", help="Tasks, suites or kinds: gad,ddi,ner ...")
    data: Path | None = option(help="The data of all these tasks; default: KEBENCH_DATA.")
    raw: Path | None = option(help="Folder with the original chemprot and ddi, whose mentions BLURB blinds.")
    folders: tuple[Path, ...] = option(
        "--results", help="Records of runs: adds F1 on known and unknown mentions; repeatable."
    )
    form: str = added_by(format_option)


@click.command()
@takes(OverlapOptions)
def overlap(options: OverlapOptions) -> None:
    """Count the mentions of tasks that a knowledge base knows, and scores inside and outside it.

    The first table is the right half of Table 1 of KeBioLM's paper for any knowledge base; kebench table
    paper-1 --kb KB has it beside the printed numbers.
    """
    cards, data, form = select_tasks(options.tasks), data_folder(options.data), options.form
    knowledge_base = KnowledgeBase.open(options.kb_folder)
    runs = _settings(options.folders, cards) if options.folders else []
    counted = count_known(cards, data, knowledge_base, options.corpus_folder, options.raw)
    scores = (row for run in runs for row in _score_rows(run, data_of(run.card, data), knowledge_base))
    found = Strata(
        schema=STRATA_SCHEMA,
        kb=knowledge_base.manifest.release,
        kb_hash=knowledge_base.content_hash,
        overlap=tuple(counted),
        scores=tuple(scores),
    )
    if form == "csv" and found.scores:
        click.echo("csv: F1 alone; --format json has the counts of mentions too", err=True)
    rows = [row.model_dump() for row in found.scores or found.overlap]
    print_sheets(
        _sheets(found),
        form,
        rows=lambda: Rows(list(rows[0]), rows),
        content=lambda: found.model_dump(mode="json", by_alias=True),
    )


def count_known(
    cards: list[TaskCard],
    data: Path,
    knowledge_base: KnowledgeBase,
    corpus_folder: Path | None,
    raw: Path | None,
) -> list[Overlap]:
    """Count the mentions of each task that a knowledge base and a corpus, if one is named, know."""
    corpus = LinkedCorpus.open(corpus_folder) if corpus_folder else None
    if corpus:
        corpus.require_made_with(knowledge_base)
    folders_of = {card.name: data_of(card, data) for card in cards}
    theirs = [card for card in cards if KINDS[card.kind].mentions and folders_of[card.name] == data]
    require_splits(theirs, data, SPLITS)
    texts = {card.name: mention_texts(card, folders_of[card.name], raw) for card in cards}
    cuis = corpus.cuis() if corpus else None
    known = KnownNames(knowledge_base, (text for found in texts.values() for text in found or ()))
    counted = (overlap_of(card.name, texts[card.name], known, cuis) for card in cards)
    return [Overlap(**one._asdict()) for one in counted]


def _settings(folders: tuple[Path, ...], cards: list[TaskCard]) -> list[Setting]:
    """Return the cells of the leaderboard's NER tasks, by task and protocol. Raises UserError if none."""
    wanted = {card.name: card for card in cards if KINDS[card.kind].mentions}
    stored = read_found(folders)
    records = [record for record in stored.records if record.task in wanted]
    if not records:
        raise UserError(
            f"{', '.join(map(str, folders))}: no run of these tasks with mentions; see 'kebench run'"
        )
    found = []
    for table in build_leaderboard(records, cards=all_task_cards()).tables:
        (block,) = table.blocks
        for place, column in enumerate(block.columns):
            protocol = "; ".join(part for part in (table.caption, column.footnote) if part)
            for row in block.rows:
                if cell := row.cells[place]:
                    paths = [stored.paths[run_key(run)] for run in cell.runs]
                    found.append(Setting(wanted[column.task], row.label, protocol, paths))
    return sorted(found, key=lambda one: list(wanted).index(one.card.name))


def _score_rows(run: Setting, data: Path, knowledge_base: KnowledgeBase) -> Iterator[StratumScore]:
    """Score a model's runs on the mentions of each kind. Raises UserError if they are of other data."""
    card, kind = run.card, KINDS[run.card.kind]
    assert kind.mentions, "only kinds with mentions were chosen"
    test, train = (kind.read(card, card.find_split(data, split)).examples for split in ("test", "train"))
    seen = {text for one in train for text in kind.mentions(one, kind.labels_of(one))}
    predicted = []
    for path in run.paths:
        stored = read_predictions(path)["test"]
        is_same = stored["ids"] == [one.id for one in test]
        if not is_same or [len(tags) for tags in stored["gold"]] != [len(one.tags) for one in test]:
            raise UserError(f"{path}: predictions of other test data than --data holds; name that data")
        predicted.append(stored["predicted"])
    texts = {text for tags in predicted for one, line in zip(test, tags, strict=True)
             for text in (*kind.mentions(one, line), *kind.mentions(one, one.tags))}  # fmt: skip
    known = KnownNames(knowledge_base, texts)
    counted = [bucket_counts(test, tags, known.has, seen.__contains__) for tags in predicted]
    for bucket in BUCKETS:
        percents = [counts[bucket].f1_percent for counts in counted]
        defined = [percent for percent in percents if percent is not None]
        if defined:
            found = summarise(defined)
            yield StratumScore(
                task=card.name, model=run.model, protocol=run.protocol, mentions=bucket,
                gold=counted[0][bucket].num_gold, mean=found.mean, deviation=found.sd, seeds=len(counted),
            )  # fmt: skip


def _sheets(found: Strata) -> list[Sheet]:
    """Return the counts, then F1 under each protocol."""
    notes = ["mentions of all splits; known if letters and digits are those of a name"]
    if any(row.mentions is None for row in found.overlap):
        notes.append(
            "-: the task's files blind their mentions (--raw names the originals of chemprot and ddi)"
        )
    sheets = [Sheet("", (), (replace(overlap_grid(found), layout="listing"),), tuple(notes))]
    for protocol in dict.fromkeys(row.protocol for row in found.scores):
        rows: GridRows = []
        for row in found.scores:
            if row.protocol == protocol:
                mean, deviation = Cell(row.mean, ".2f"), Cell(row.deviation, ".2f")
                rows.append((row.task, row.model, row.mentions, row.gold, mean, deviation, row.seeds))
        grid = Grid(("task", "model", "mentions", "gold", "F1", "sd", "n"), rows, layout="listing")
        sheets.append(Sheet("", (protocol,) if protocol else (), (grid,)))
    if found.scores:
        said = "strict F1 on the test set; a wrong entity counts under the kind of its own text"
        sheets[-1] = replace(sheets[-1], notes=(said,))
    return sheets
