"""`kebench data`: check, fetch and convert the data sets of the tasks."""

from collections.abc import Iterable
from pathlib import Path

import click

from kebench.cli.options import FOLDER
from kebench.cli.tables import format_option, print_table
from kebench.errors import UserError
from kebench.grid import Cell, GridRows
from kebench.kinds.registry import KINDS
from kebench.mini.build import miniature_data
from kebench.tasks.card import data_folder, read_task_card, select_tasks
from kebench.tasks.check import Finding, check_data
from kebench.tasks.convert import build_task
from kebench.tasks.get import get_task

DATA_HELP = (
    "The folder with the tasks' folders, or with blurb/. Default: KEBENCH_DATA, else the cache's data folder."
)


@click.group("data")
def data() -> None:
    """Check, fetch and convert the data sets of the tasks."""


@data.command()
@click.argument("folder", metavar="[DIR]", type=FOLDER, required=False)
@click.option("--data", "named", type=FOLDER, help="The same as DIR.")
@click.option("--tasks", default="blurb", show_default=True, help="Tasks, suites or kinds, comma-separated.")
@format_option
@click.option("--allow-missing-markers", is_flag=True, help="Let through texts without the task's markers.")
def check(
    folder: Path | None, named: Path | None, tasks: str, form: str, allow_missing_markers: bool
) -> None:
    """Compare each task's files with the sizes that its card expects, and with each other.

    Said too: splits without gold, and how many examples of dev and test stand in an earlier split.
    DIR is the folder with the tasks' folders, or with blurb/; by default KEBENCH_DATA, else the cache's data
    folder.
    """
    folder = data_folder(folder or named)
    findings = check_data(
        select_tasks(tasks),
        folder,
        embedded=miniature_data,
        allow_missing_markers=allow_missing_markers,
    )
    _print_findings(findings, form)
    wrong = [finding for finding in findings if finding.level == "error"]
    if wrong:
        raise UserError(
            f"{folder}: {len(wrong)} of {len(findings)} checks failed; each error line says what to do"
        )


@data.command()
@click.argument("tasks", metavar="TASK...", nargs=-1, required=True)
@click.option("--data", "folder", type=FOLDER, help=DATA_HELP)
@click.option("--force", is_flag=True, help="Replace files that are there but wrong.")
def get(tasks: tuple[str, ...], folder: Path | None, force: bool) -> None:
    """Download the files of tasks, or say what to do where a person has to ask.

    TASK is a task, a suite or a kind: gad, blurb, ner. Of several, those that a person has to ask for are
    named first, each with how to get it; what can be fetched is.
    """
    cards = {card.name: card for words in tasks for card in select_tasks(words)}
    num_missing = 0
    for card in sorted(cards.values(), key=lambda card: card.access.kind == "open"):
        try:
            found = get_task(card, data_folder(folder), force=force)
        except UserError as error:
            if len(cards) == 1:
                raise
            click.echo(f"{card.name}: {error}", err=True)
            num_missing += 1
            continue
        for fetched in found:
            how = "was there" if fetched.was_there else "fetched"
            note = f" (note: {fetched.finding.message.partition(': ')[2]})" if fetched.finding.message else ""
            click.echo(f"{fetched.path}: {how}{note}")
    if num_missing:
        raise UserError(f"{num_missing} of {len(cards)} tasks could not be fetched (see above)")


@data.command()
@click.argument("task")
@click.option(
    "--from", "source", type=FOLDER, required=True, help="The original: a folder, a file, or an archive."
)
@click.option("--data", "folder", type=FOLDER, help=DATA_HELP)
@click.option("--force", is_flag=True, help="Replace files that are there.")
def build(task: str, source: Path, folder: Path | None, force: bool) -> None:
    """Convert the original of a task to the task's files, in BLURB's form.

    What is converted: chemprot and bioasq from the folder with the organisers' files; ddi, hoc and ebm-pico
    from the corpus, packed or not; biosses from annotation_pairs_scores.tsv; pubmedqa from ori_pqal.json;
    ebm-pico-dev from the folder of ebm-pico.
    """
    _print_findings(build_task(read_task_card(task), source, data_folder(folder), force=force), "terminal")


def _print_findings(findings: list[Finding], form: str) -> None:
    """Print found and expected of each split: units, rows, labels and hashes."""
    rows: GridRows = []
    for finding in findings:
        found, expected = finding.found, finding.expected
        labels = sha256 = None
        if found and expected and expected.labels:
            equal = sum(found.labels.get(label, 0) == count for label, count in expected.labels.items())
            labels = f"{equal}/{len(expected.labels)}"
        if found and expected and expected.sha256:
            sha256 = "known" if found.sha256 in expected.sha256 else "other"
        sizes = [
            Cell(getattr(side, name, None), "d") for name in ("units", "rows") for side in (found, expected)
        ]
        rows.append((finding.task, finding.split, *sizes, labels, sha256, finding.level))
    content = [
        {
            **one._asdict(),
            "found": one.found and one.found._asdict(),
            "expected": one.expected and one.expected.model_dump(exclude_defaults=True),
            "facts": one.facts and one.facts.model_dump(),
        }
        for one in findings
    ]
    colours = {"error": "red", "note": "yellow"}
    styles = {place: colours.get(one.level, "") for place, one in enumerate(findings)}
    headings = ("task", "split", "units", "expected", "rows", "expected", "labels", "sha256", "")
    if form == "csv":  # where a column is known by its name
        headings = (
            "task", "split", "units", "units_expected", "rows", "rows_expected", "labels", "sha256", "level",
        )  # fmt: skip
    print_table(headings, rows, form, row_styles=styles, content=lambda: content)
    if form == "json":  # which holds the messages
        return
    is_err = form != "terminal"
    if not is_err:
        words = [KINDS[read_task_card(finding.task).kind].words for finding in findings]
        units = _either(f"{one.unit}s" for one in words)
        click.echo(
            f"units: {units}; rows: {_either(f'{one.example}s' for one in words)}; labels: equal counts"
        )
    for finding in findings:
        if finding.message:
            click.echo(f"{finding.level}: {finding.message}", err=is_err)
        for remark in finding.remarks:
            if remark not in finding.message:
                click.echo(f"{finding.task} {finding.split}: {remark}", err=is_err)


def _either(words: Iterable[str]) -> str:
    """Return "a", "a or b", "a, b or c", each word once."""
    *others, last = dict.fromkeys(words)
    return f"{', '.join(others)} or {last}" if others else last
