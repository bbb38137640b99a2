"""`kebench task`: list and show the tasks."""

import click

from kebench.cli.tables import format_option, print_table
from kebench.grid import GridRows
from kebench.kinds.card import SPLITS, TaskCard
from kebench.kinds.registry import KINDS
from kebench.tasks.card import all_task_cards, read_task_card
from kebench.tasks.check import describe


@click.group("task")
def task() -> None:
    """List and show the tasks."""


@task.command("list")
@format_option
def list_tasks(form: str) -> None:
    """List every task: the shipped ones and those of ./tasks/*.toml."""
    cards = all_task_cards()
    rows: GridRows = []
    for card in cards:
        units = [card.expected[split].units if split in card.expected else None for split in SPLITS]
        rows.append((card.name, card.suite, card.kind, *units, card.access.kind))
    headings = ("task", "suite", "kind", "train", "dev", "test", "data")
    content = [card.model_dump(mode="json") for card in cards]
    print_table(headings, rows, form, title="Tasks", content=lambda: content)


@task.command()
@click.argument("name")
@format_option
def show(name: str, form: str) -> None:
    """Show one task: its files, labels, metric, licence, expected sizes and where to get the data."""
    card = read_task_card(name)
    access = card.access
    facts = [
        ("task", f"{card.name} (version {card.version}): {card.title}"),
        ("suites, kind", f"{', '.join(card.suites)}; {card.kind}"),
        ("files", f"{' or '.join(card.folders)}: {', '.join(card.files.values())} ({card.format})"),
        ("metric", card.metric),
        ("further metrics", ", ".join(name for name in KINDS[card.kind].metrics if name != card.metric)),
    ]
    for field in type(card).model_fields:  # those that only the kind of task has
        if field not in TaskCard.model_fields:
            value = getattr(card, field)
            said = ", ".join(value) if isinstance(value, tuple) else str(value or "")
            facts.append((field, "yes" if value is True else said))
    kind = KINDS[card.kind]
    read = "each word's first piece"
    if kind.reads_text:
        read = "the first state of the text, or the mean of all, as the model's card says"
    elif kind.marks:
        read = "the states of two entity indicators"
    facts += [
        ("decided by", f"one linear layer on {read}"),
        ("loss", kind.loss),
        ("max length", f"{card.max_length} word pieces"),
        ("licence", card.licence),
        ("citation", card.citation),
        ("data", access.kind + (f", {access.homepage}" if access.homepage else "")),
        ("to get it", f"kebench data get {card.name}" if access.kind == "open" else access.instructions),
    ]
    for split, expected in card.expected.items():
        size = describe(card, expected)
        if expected.published not in (None, expected.units):
            size += f"; the paper's Table 1 prints {expected.published}: {expected.reason}"
        facts.append((split, size))
    rows = [(field, said) for field, said in facts if said]
    print_table(("field", "value"), rows, form, content=lambda: card.model_dump(mode="json"))
