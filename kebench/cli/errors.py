"""`kebench errors`: where a model goes wrong on a task, or in a probe."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from kebench.cli.found import (
    LOCAL,
    predictions_of,
    read_found,
    recorded_name,
    require_here,
    results_option,
    row_name,
    say,
)
from kebench.cli.options import added_by, option, takes
from kebench.cli.tables import format_option, print_sheets
from kebench.corpus.overlap import KnownNames
from kebench.errors import UserError, counted, did_you_mean
from kebench.files import write_atomically
from kebench.grid import Sheet
from kebench.kinds.card import TaskCard
from kebench.kinds.errors import Asked, Both, Known, Run, Shown
from kebench.kinds.kind import Examples, Kind
from kebench.kinds.registry import KINDS, read_split
from kebench.probe import stored
from kebench.probe.outcomes import known_concepts, outcomes
from kebench.probe.query_set import QuerySet, find_set
from kebench.probe.record import ProbeRecord
from kebench.report.calibration import Calibration, calibrations, with_calibration
from kebench.report.document import build_errors_page
from kebench.report.latex_signs import escape_latex
from kebench.report.probe_errors import probe_errors_sheet
from kebench.report.probes import caption
from kebench.report.table import Cell, Leaderboard, build_leaderboard, find_key, row_of
from kebench.report.write_json import sheets_content
from kebench.report.write_markdown import escape_markdown
from kebench.run import data_of
from kebench.scoring.metrics import METRICS
from kebench.tasks.card import all_task_cards, data_folder, read_task_card
from kebench.tasks.facts import is_seen_widely, seen_words
from kebench.umls.knowledge_base import KnowledgeBase

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


@dataclass(frozen=True, kw_only=True)
class ErrorsOptions:
    """The options of the command."""

    model: str = option(help="A model of the leaderboard.")
    task_name: str | None = option("--task", help="One task: ncbi-disease, gad ...")
    set_name: str | None = option(
        "--probe", metavar="SET", help="Instead of a task a cloze set, by name or folder."
    )
    against: str | None = option(help="Another model: what does only one of them get right?")
    folders: tuple[Path, ...] = added_by(results_option)
    data: Path | None = option(help="The task's data, for words; default: KEBENCH_DATA.")
    kb_folder: Path | None = option(
        "--kb", metavar="KB", help="Also tell mentions in and out of this knowledge base apart (NER)."
    )
    most: int | None = option(
        "--n", type=click.IntRange(0), help="Most sentences shown (NER).  [default: 50]"
    )
    top: int | None = option(
        type=click.IntRange(1), help="--probe: from which place on an answer is low.  [default: 5]"
    )
    form: str = added_by(format_option)
    out: Path | None = option(
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write one HTML file instead: also sentences in colour (NER), plots where confidences were "
        "kept.",
    )


@click.command()
@takes(ErrorsOptions)
def errors(options: ErrorsOptions) -> None:
    """Show what a model gets wrong on a task, over all seeds, or in a probe.

    NER: kinds of errors, which mentions (with --kb also in and out of a knowledge base), whether seeds
    agree, and the sentences with most errors. Relations: confusion, scores by label and by entity
    indicators, whether seeds agree. Both: calibration. Words come from the task's data; without it, what
    needs words is left out.
    Probe: by relation and length of the answer, whether the right one is found low, in no beam, or longer
    than what was tried, and what wrong first answers are.
    """
    form, shown, calibrated = options.form, list[Shown](), list[Calibration]()
    if (options.task_name is None) == (options.set_name is None):
        raise UserError("name either a task with --task, or a cloze set with --probe")
    if options.set_name is not None:
        if options.against or options.data or options.kb_folder or options.most is not None:
            raise UserError("--against, --data, --kb and --n are for --task; leave them out with --probe")
        sheet = _probe_errors(
            options.folders or (LOCAL,), options.model, options.set_name, k=options.top or 5
        )
    else:
        if options.top is not None:
            raise UserError("--top is for --probe; leave it out with --task")
        sheet, shown, calibrated = _task_errors(options)
    if options.out:
        write_atomically(options.out, build_errors_page(sheet, shown, calibrated), point="page")
        click.echo(options.out)
        return
    if shown and form == "csv":
        say("csv: the tables alone; --format json has the sentences too")
    if shown and form not in ("csv", "json"):
        sheet = replace(sheet, notes=(*sheet.notes, _LEGEND))
    sentences = [
        {
            "place": one.place + 1,  # the first is 1, as printed
            "errors": one.errors,
            "stretches": [{"text": text, "kind": kind} for text, kind in one.stretches],
        }
        for one in shown
    ]
    print_sheets([sheet], form, content=lambda: {**sheets_content([sheet]), "sentences": sentences})
    if form not in ("csv", "json"):
        for sentence in shown:
            _print_sentence(sentence, form)


def _task_errors(options: ErrorsOptions) -> tuple[Sheet, list[Shown], list[Calibration]]:
    """Return the tables of a model's errors on a task, the worst sentences, and its calibration."""
    assert options.task_name is not None, "a task is named, or a set"
    card = read_task_card(options.task_name)
    kind = KINDS[card.kind]
    data, kb_folder = options.data, options.kb_folder
    if kind.errors is None:
        raise UserError(f"{card.name}: errors of {kind.title} tasks are not told apart; see their scores")
    if kb_folder and not kind.mentions:
        raise UserError(f"--kb tells known entities from others; {card.name} has none, leave it out")
    found = read_found(options.folders)
    others, known_models = found.other_names, {record.model for record in found.records}
    named = [options.model, *([options.against] if options.against else [])]
    require_here(found, models=[recorded_name(name, known_models, others) for name in named], task=card.name)
    records = [record for record in found.records if record.task == card.name]
    if not records:
        raise UserError(f"{found.where}: no records of {card.name}; run it with 'kebench run'")
    labels = [row_name(name, records, others) for name in named]
    cells = _cells(build_leaderboard(records, cards=all_task_cards(), other_names=others), labels)
    read = predictions_of(found)
    predictions = [read(run) for run in cells[0].runs]
    first = kind.stored.model_validate(predictions[0])
    for name, value in kind.header(card).items():
        if isinstance(value, list) and getattr(first, name) not in (None, value):
            raise UserError(
                f"{card.name}: its card names other {name} than these runs were made with; run them again"
            )
    runs = _runs(cells[0], predictions)
    title = f"{labels[0]} on {card.title}: {_score_words(card, cells[0])}"
    both: Both | None = None
    if options.against:
        title += f"; against {labels[1]}: {_score_words(card, cells[1])}"
        both = Both(labels[0], runs, labels[1], _runs(cells[1], [read(run) for run in cells[1].runs]))
    examples = _read(card, data, "test", without="words", must_be_there=bool(data or kb_folder))
    if examples is not None and len(examples) != len(runs[0].gold):
        raise UserError(
            f"{card.name}: the data has {len(examples):,} test examples, the records {len(runs[0].gold):,}; "
            "name the data they were made from by --data"
        )
    train = _read(card, data, "train", without="the training set") if examples and kind.mentions else None
    known = _known_mentions(kb_folder, kind, examples) if kb_folder and examples else None
    most = 50 if options.most is None else options.most
    sheet, shown = kind.errors(Asked(title, card, runs, examples, train, both, known, most))
    calibrated = calibrations(predictions)
    if not kind.calibrated:  # such as of values, of which there is no confidence
        return sheet, shown, calibrated
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


def _runs(cell: Cell, predictions: list[dict[str, Any]]) -> list[Run]:
    """Return what is predicted on the test set, seed by seed."""
    parts = [(run.seed, one["test"]) for run, one in zip(cell.runs, predictions, strict=True)]
    return [Run(seed, part["gold"], part["predicted"]) for seed, part in parts]


def _read(
    card: TaskCard, data: Path | None, split: str, *, without: str, must_be_there: bool = False
) -> Examples | None:
    """Return a split of a task's data, None (with a line) where it is not there and need not be."""
    try:
        return read_split(card, card.find_split(data_of(card, data_folder(data)), split))
    except UserError as error:
        if must_be_there:
            raise
        say(f"without {without}: {error}")
        return None


def _known_mentions(kb_folder: Path, kind: Kind, sentences: Examples) -> Known:
    """Return which gold mentions of some sentences a knowledge base knows, as `kebench overlap` counts."""
    assert kind.mentions, "--kb is refused for tasks without mentions"
    knowledge_base = KnowledgeBase.open(kb_folder)
    texts = (text for one in sentences for text in kind.mentions(one, kind.labels_of(one)))
    names = KnownNames(knowledge_base, texts)
    note = (
        "in the KB: letters and digits of the mention, in lower case, are those of a name of "
        f"{knowledge_base.manifest.release}, whatever the concept."
    )
    return Known(lambda words: names.has(" ".join(words)), note)


def _probe_errors(folders: tuple[Path, ...], model: str, set_name: str, *, k: int) -> Sheet:
    """Return what goes wrong in the newest probe of a model on a set. set_name: its name, or its folder."""
    named = QuerySet.open(set_name) if Path(set_name).is_dir() else None
    on_set = stored.probes_on(stored.find_probes(folders, ProbeRecord), named or set_name)
    models = {probe.record.model for probe in on_set}
    fitting = [probe for probe in on_set if probe.record.model == model]
    if not fitting:
        listed = ", ".join(sorted(models))
        raise UserError(
            f"no probe of model '{model}' on {set_name}{did_you_mean(model, models)} there are {listed}"
        )
    record, folder = stored.newest_probe(fitting)
    if len(fitting) > 1:
        say(f"{folder}: the newest of {len(fitting)}, of {record.provenance.started_utc}")
    queries = (named or find_set(record.set_hash, name=record.set, option="--probe")).table()
    tokenizer, predictions = stored.read_tokenizer(folder), stored.read_predictions(folder)
    known = known_concepts(queries, tokenizer)
    if older := stored.rules_differ(record):
        say(older)
    asked = stored.asked_queries(queries, record.subset)
    found = list(outcomes(asked, predictions, tokenizer, known=known, k=k))
    hit = record.scores.fixed.overall.hit.micro_percent
    return probe_errors_sheet(
        f"{model} on {record.set}: {len(found):,} queries"
        + ("" if hit is None else f", {hit:.1f}% answered"),
        caption(record),
        found,
        k=k,
        max_masks=record.decoder.max_masks,
        has_types=any(known.values()),
    )


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
