"""`kebench errors`: where a model goes wrong on a task, or in a probe."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from kebench.cli.errors_known import known_mentions
from kebench.cli.found import (
    LOCAL,
    Found,
    predictions_of,
    read_found,
    recorded_name,
    require_here,
    results_option,
    row_name,
    say,
)
from kebench.cli.probe_errors import probe_errors
from kebench.cli.tables import format_option, print_sheets
from kebench.errors import UserError, counted
from kebench.files import write_atomically
from kebench.grid import Sheet
from kebench.kinds.card import TaskCard
from kebench.kinds.errors import Asked, Both, Run, Shown
from kebench.kinds.kind import Examples
from kebench.kinds.registry import KINDS, read_split
from kebench.report.calibration import Calibration, calibrations, with_calibration
from kebench.report.errors_page import build_errors_page
from kebench.report.latex_signs import escape_latex
from kebench.report.rows import find_key, row_of
from kebench.report.table import Cell, Leaderboard, build_leaderboard
from kebench.report.write_json import sheets_content
from kebench.report.write_markdown import escape_markdown
from kebench.run import data_of
from kebench.scoring.metrics import METRICS
from kebench.tasks.card import all_task_cards, data_folder, read_task_card
from kebench.tasks.facts import is_seen_widely, seen_words

# How a stretch is shown: (style in a terminal, brackets elsewhere).
_SHOWN = {
    "": ("", "", ""),
    "correct": ("green", "[", "]"),
    "type": ("cyan", "[=", "]"),
    "boundary": ("magenta", "[~", "]"),
    "missed": ("bold red", "[-", "]"),
    "spurious": ("yellow", "[+", "]"),
}
_LEGEND = (
    "Sentences with the most errors a run: [correct] [~boundary] [-missed] [+spurious], of the seed in the "
    "middle by number of errors. Before each its place in the test set and, in brackets, its errors a run."
)


@click.command()
@click.option("--model", required=True, help="A model of the leaderboard.")
@click.option("--task", "task_name", help="One task: ncbi-disease, gad ...")
@click.option("--probe", "set_name", metavar="SET", help="Instead of a task a cloze set, by name or folder.")
@click.option("--against", help="Another model: what does only one of them get right?")
@results_option
@click.option(
    "--data", type=click.Path(path_type=Path), help="The task's data, for words; default: KEBENCH_DATA."
)
@click.option(
    "--kb",
    "kb_folder",
    type=click.Path(path_type=Path),
    metavar="KB",
    help="Also tell mentions in and out of this knowledge base apart (NER).",
)
@click.option("--n", "most", type=click.IntRange(0), help="Most sentences shown (NER).  [default: 50]")
@click.option(
    "--top", type=click.IntRange(1), help="--probe: from which place on an answer is low.  [default: 5]"
)
@format_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write one HTML file instead: also sentences in colour (NER), plots where confidences were kept.",
)
def errors(
    model: str,
    task_name: str | None,
    set_name: str | None,
    against: str | None,
    folders: tuple[Path, ...],
    data: Path | None,
    kb_folder: Path | None,
    most: int | None,
    top: int | None,
    form: str,
    out: Path | None,
) -> None:
    """Show what a model gets wrong on a task, over all seeds, or in a probe.

    NER: kinds of errors, which mentions (with --kb also in and out of a knowledge base), whether seeds
    agree, and the sentences with most errors. Relations: confusion, scores by label and by entity
    indicators, whether seeds agree. Both: calibration. Words come from the task's data; without it, what
    needs words is left out.
    Probe: by relation and length of the answer, whether the right one is found low, in no beam, or longer
    than what was tried, and what wrong first answers are.
    """
    if (task_name is None) == (set_name is None):
        raise UserError("name either a task with --task, or a cloze set with --probe")
    if set_name is not None:
        if against or data or kb_folder or most is not None:
            raise UserError("--against, --data, --kb and --n are for --task; leave them out with --probe")

        _show(probe_errors(folders or (LOCAL,), model, set_name, k=top or 5), [], [], form, out)
        return
    if top is not None:
        raise UserError("--top is for --probe; leave it out with --task")
    assert task_name is not None, "one of the two is named"
    shown = _task_errors(model, task_name, against, folders, data, kb_folder, 50 if most is None else most)
    _show(*shown, form, out)


def _show(
    sheet: Sheet, shown: list[Shown], calibrated: list[Calibration], form: str, out: Path | None
) -> None:
    """Print tables and sentences, or write them as one HTML file."""
    if out:
        write_atomically(out, build_errors_page(sheet, shown, calibrated), point="page")
        click.echo(out)
        return
    if shown and form == "csv":
        say("csv: the tables alone; --format json has the sentences too")
    if form in ("csv", "json"):
        print_sheets([sheet], form, content=lambda: _content(sheet, shown))
        return
    notes = (*sheet.notes, _LEGEND) if shown else sheet.notes
    print_sheets([replace(sheet, notes=notes)], form)
    for sentence in shown:
        _print_sentence(sentence, form)


def _content(sheet: Sheet, shown: list[Shown]) -> dict[str, Any]:
    """Return what JSON holds: the tables, and the sentences."""
    sentences = [
        {
            "place": one.place + 1,  # the first is 1, as printed
            "errors": one.errors,
            "stretches": [{"text": text, "kind": kind} for text, kind in one.stretches],
        }
        for one in shown
    ]
    return {**sheets_content([sheet]), "sentences": sentences}


def _task_errors(
    model: str,
    task_name: str,
    against: str | None,
    folders: tuple[Path, ...],
    data: Path | None,
    kb_folder: Path | None,
    most: int,
) -> tuple[Sheet, list[Shown], list[Calibration]]:
    """Return the tables of a model's errors on a task, the worst sentences, and its calibration."""
    card = read_task_card(task_name)
    kind = KINDS[card.kind]
    if kind.errors is None:
        raise UserError(f"{card.name}: errors of {kind.title} tasks are not told apart; see their scores")
    if kb_folder and not kind.mentions:
        raise UserError(f"--kb tells known entities from others; {card.name} has none, leave it out")
    found = read_found(folders)
    names = {record.model for record in found.records}
    named = [model, *([against] if against else [])]
    require_here(
        found, models=[recorded_name(name, names, found.other_names) for name in named], task=card.name
    )
    records = [record for record in found.records if record.task == card.name]
    if not records:
        raise UserError(f"{found.where}: no records of {card.name}; run it with 'kebench run'")
    others = found.other_names
    model = row_name(model, records, others)
    against = against and row_name(against, records, others)
    board = build_leaderboard(records, cards=all_task_cards(), other_names=others)
    cells = _cells(board, [model, *([against] if against else [])])
    predictions = _predictions(cells[0], found)
    stored = kind.stored.model_validate(predictions[0])
    for name, value in kind.header(card).items():
        if isinstance(value, list) and getattr(stored, name) not in (None, value):
            raise UserError(
                f"{card.name}: its card names other {name} than these runs were made with; run them again"
            )
    runs = _runs(cells[0], predictions)
    title = f"{model} on {card.title}: {_score_words(card, cells[0])}"
    both: Both | None = None
    if against:
        title += f"; against {against}: {_score_words(card, cells[1])}"
        both = Both(model, runs, against, _runs(cells[1], _predictions(cells[1], found)))
    examples = _examples(card, data, runs, must_be_there=bool(data or kb_folder))
    train = _train(card, data) if examples and kind.mentions else None
    known = known_mentions(kb_folder, examples) if kb_folder and examples else None
    sheet, shown = kind.errors(Asked(title, card, runs, examples, train, both, known, most))
    calibrated = calibrations(predictions)
    return with_calibration(sheet, calibrated), shown, calibrated


def _score_words(card: TaskCard, cell: Cell) -> str:
    seeds, metric = counted(len(cell.runs), "seed"), METRICS[cell.runs[0].protocol.metric]
    score = f"{cell.test.mean:.1f}" if cell.test else f"undefined (no {metric.lacks} in the test set)"
    test = cell.runs[-1].splits.get("test")
    seen = f" ({seen_words(card.kind, 'test', test)})" if test and is_seen_widely(test) else ""
    return f"{metric.title} {score} over {seeds}, rate {cell.learning_rate:g}{seen}"


def _cells(board: Leaderboard, names: list[str]) -> list[Cell]:
    """Return the models' cells in the first protocol that all have. Raises UserError if there is none."""
    keys = [find_key(board, name) for name in names]
    if len(set(keys)) < len(keys):
        raise UserError(f"--against {names[1]}: is the model itself; name another one")
    found = []
    for table in board.tables:
        for block in table.blocks:
            rows = [row_of(block.rows, key) for key in keys]
            for place in range(len(block.columns)):
                cells = [row.cells[place] for row in rows if row]
                if len(cells) == len(keys) and all(cells):
                    found.append((table.caption, [cell for cell in cells if cell]))
    if not found:
        raise UserError(f"{' and '.join(names)} have no runs under one protocol on this task")
    if len(found) > 1:
        say(f"{len(found)} protocols; this is {found[0][0]}")
    return found[0][1]


def _predictions(cell: Cell, found: Found) -> list[dict[str, Any]]:
    """Return a cell's predictions as they are stored, seed by seed."""
    read = predictions_of(found)
    return [read(run) for run in cell.runs]


def _runs(cell: Cell, predictions: list[dict[str, Any]]) -> list[Run]:
    """Return what is predicted on the test set, seed by seed."""
    parts = [(run.seed, one["test"]) for run, one in zip(cell.runs, predictions, strict=True)]
    return [Run(seed, part["gold"], part["predicted"]) for seed, part in parts]


def _examples(card: TaskCard, data: Path | None, runs: list[Run], *, must_be_there: bool) -> Examples | None:
    """Return the test set with its words, None (with a line) where it is not there and need not be."""
    try:
        examples = read_split(card, card.find_split(_data_of(card, data), "test"))
    except UserError as error:
        if must_be_there:
            raise
        say(f"without words: {error}")
        return None
    if len(examples) != len(runs[0].gold):
        raise UserError(
            f"{card.name}: the data has {len(examples):,} test examples, the records {len(runs[0].gold):,}; "
            "name the data they were made from by --data"
        )
    return examples


def _train(card: TaskCard, data: Path | None) -> Examples | None:
    """Return the training set, None (with a line) where it is not there."""
    try:
        return read_split(card, card.find_split(_data_of(card, data), "train"))
    except UserError as error:
        say(f"without the training set: {error}")
        return None


def _data_of(card: TaskCard, data: Path | None) -> Path:
    """Return the folder that a task's data are in: the miniature's, the one named, or the default."""
    return data_of(card, data_folder(data))


def _print_sentence(sentence: Shown, form: str) -> None:
    if form != "terminal":
        click.echo(sentence_line(sentence, form))
        return
    console = Console(highlight=False)
    is_styled = console.is_terminal
    text = Text(f"{sentence.place + 1:>5} ({sentence.errors:.1f})  ", style="dim" if is_styled else "")
    for stretch, kind in sentence.stretches:
        style, before, after = _SHOWN[kind]
        text.append(f"{before}{stretch}{after}", style=style if is_styled else "")
        text.append(" ")
    console.print(text)


def sentence_line(sentence: Shown, form: str) -> str:
    """Return a sentence as a paragraph of Markdown or LaTeX, escaped."""
    stretches = ((text, *_SHOWN[kind][1:]) for text, kind in sentence.stretches)
    line = " ".join(f"{before}{text}{after}" for text, before, after in stretches)
    line = f"{sentence.place + 1} ({sentence.errors:.1f}) {line}"
    return f"{escape_latex(line)}\\par" if form == "latex" else f"{escape_markdown(line)}\n"
