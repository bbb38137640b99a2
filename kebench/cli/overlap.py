"""`kebench overlap`: how many mentions of the tasks a knowledge base and a corpus know."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click

from kebench.cli.found import read_found, run_key
from kebench.cli.tables import Rows, format_option, print_sheets
from kebench.corpus.linked import LinkedCorpus
from kebench.corpus.overlap import BUCKETS, KnownNames, bucket_counts, mention_texts, overlap_of
from kebench.errors import UserError
from kebench.grid import Cell, Grid, Sheet
from kebench.kinds.card import SPLITS, TaskCard
from kebench.kinds.kind import Examples
from kebench.kinds.registry import KINDS
from kebench.kinds.stored import read_predictions
from kebench.report.strata import STRATA_SCHEMA, Overlap, Strata, StratumScore, overlap_grid
from kebench.report.table import build_leaderboard
from kebench.run import data_of
from kebench.stats.summary import summarise
from kebench.tasks.card import all_task_cards, data_folder, require_splits, select_tasks
from kebench.umls.knowledge_base import KnowledgeBase

FOLDER = click.Path(path_type=Path)


class Setting(NamedTuple):
    """A model on a task under one protocol, both as the leaderboard names them: its runs, one a seed."""

    model: str
    task: str
    protocol: str
    paths: list[Path]


@click.command()
@click.option("--kb", "kb_folder", metavar="KB", type=FOLDER, required=True, help="The knowledge base.")
@click.option("--corpus", "corpus_folder", metavar="CORPUS", type=FOLDER,
              help="Also count mentions of concepts that this linked corpus has.")  # fmt: skip
@click.option("--tasks", default="blurb", show_default=True, help="Tasks, suites or kinds: gad,ddi,ner ...")
@click.option("--data", type=FOLDER, help="The data of all these tasks; default: KEBENCH_DATA.")
@click.option(
    "--raw", type=FOLDER, help="Folder with the original chemprot and ddi, whose mentions BLURB blinds."
)
@click.option("--results", "folders", type=FOLDER, multiple=True,
              help="Records of runs: adds F1 on known and unknown mentions; repeatable.")  # fmt: skip
@format_option
def overlap(
    kb_folder: Path,
    corpus_folder: Path | None,
    tasks: str,
    data: Path | None,
    raw: Path | None,
    folders: tuple[Path, ...],
    form: str,
) -> None:
    """Count the mentions of tasks that a knowledge base knows, and scores inside and outside it.

    The first table is the right half of Table 1 of KeBioLM's paper for any knowledge base; kebench table
    paper-1 --kb KB has it beside the printed numbers.
    """
    cards = select_tasks(tasks)
    data = data_folder(data)
    knowledge_base = KnowledgeBase.open(kb_folder)
    folders_of = {card.name: data_of(card, data) for card in cards}
    runs = _settings(folders, cards) if folders else []
    counted = count_known(cards, data, knowledge_base, corpus_folder, raw)
    found = Strata(
        schema=STRATA_SCHEMA,
        kb=knowledge_base.manifest.release,
        kb_hash=knowledge_base.content_hash,
        overlap=tuple(counted),
        scores=tuple(_score_rows(runs, cards, folders_of, knowledge_base) if runs else ()),
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
    wanted = [card.name for card in cards if KINDS[card.kind].mentions]
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
                    found.append(Setting(row.label, column.task, protocol, paths))
    return sorted(found, key=lambda one: wanted.index(one.task))


def _score_rows(
    runs: list[Setting], cards: list[TaskCard], data: dict[str, Path], knowledge_base: KnowledgeBase
) -> list[StratumScore]:
    """Score the runs of each model on the mentions of each kind."""
    rows = []
    by_name = {card.name: card for card in cards}
    for run in runs:
        card = by_name[run.task]
        kind = KINDS[card.kind]
        assert kind.mentions, "only kinds with mentions were chosen"
        test, train = (
            kind.read(card, card.find_split(data[card.name], split)).examples for split in ("test", "train")
        )
        seen = {text for one in train for text in kind.mentions(one, kind.labels_of(one))}
        predicted = [_test_tags(read_predictions(path), test, path) for path in run.paths]
        texts = {text for tags in predicted for one, line in zip(test, tags, strict=True)
                 for text in (*kind.mentions(one, line), *kind.mentions(one, one.tags))}  # fmt: skip
        known = KnownNames(knowledge_base, texts)
        counted = [bucket_counts(test, tags, known.has, seen.__contains__) for tags in predicted]
        for bucket in BUCKETS:
            gold = counted[0][bucket].num_gold
            percents = [counts[bucket].f1_percent for counts in counted]
            defined = [percent for percent in percents if percent is not None]
            if defined:
                found = summarise(defined)
                rows.append(
                    StratumScore(
                        task=run.task, model=run.model, protocol=run.protocol, mentions=bucket, gold=gold,
                        mean=found.mean, deviation=found.sd, seeds=len(counted),
                    )
                )  # fmt: skip
    return rows


def _test_tags(predictions: dict[str, Any], test: Examples, path: Path) -> list[str]:
    """Return the predicted tags of every test sentence. Raises UserError if they are of other data."""
    split = predictions["test"]
    if split["ids"] != [one.id for one in test] or [len(tags) for tags in split["gold"]] != [
        len(one.tags) for one in test
    ]:
        raise UserError(f"{path}: predictions of other test data than --data holds; name that data")
    found: list[str] = split["predicted"]
    return found


def _sheets(found: Strata) -> list[Sheet]:
    """Return the counts, then F1 under each protocol."""
    notes = ["mentions of all splits; known if letters and digits are those of a name"]
    if any(row.mentions is None for row in found.overlap):
        notes.append(
            "-: the task's files blind their mentions (--raw names the originals of chemprot and ddi)"
        )
    sheets = [Sheet("", (), (replace(overlap_grid(found), layout="listing"),), tuple(notes))]
    for protocol in dict.fromkeys(row.protocol for row in found.scores):
        rows = [
            (
                row.task,
                row.model,
                row.mentions,
                row.gold,
                Cell(row.mean, ".2f"),
                Cell(row.deviation, ".2f"),
                row.seeds,
            )
            for row in found.scores
            if row.protocol == protocol
        ]
        grid = Grid(("task", "model", "mentions", "gold", "F1", "sd", "n"), rows, layout="listing")
        sheets.append(Sheet("", (protocol,) if protocol else (), (grid,)))
    if found.scores:
        said = "strict F1 on the test set; a wrong entity counts under the kind of its own text"
        sheets[-1] = replace(sheets[-1], notes=(said,))
    return sheets
