"""`kebench task`: list and show the tasks."""

import click

from kebench.cli.tables import format_option, print_table
from kebench.kinds.card import SPLITS, TaskCard
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
    rows = [(card.name, card.suite, card.kind, *_units(card), card.access.kind) for card in cards]
    headings = ("task", "suite", "kind", "train", "dev", "test", "data")
    content = [card.model_dump(mode="json") for card in cards]
    print_table(headings, rows, form, title="Tasks", content=lambda: content)


@task.command()
@click.argument("name")
@format_option
def show(name: str, form: str) -> None:
    """Show one task: its files, labels, metric, licence, expected sizes and where to get the data."""
    card = read_task_card(name)
    print_table(("field", "value"), _facts(card), form, content=lambda: card.model_dump(mode="json"))


def _units(card: TaskCard) -> list[int | None]:
    return [card.expected[split].units if split in card.expected else None for split in SPLITS]


def _facts(card: TaskCard) -> list[tuple[str, str]]:
    facts = [
        ("task", f"{card.name} (version {card.version}): {card.title}"),
        ("suite, kind", f"{card.suite}, {card.kind}"),
        ("files", f"{' or '.join(card.folders)}: {', '.join(card.files.values())} ({card.format})"),
        ("metric", card.metric),
        *[
            (name, _own_field(card, name))
            for name in type(card).model_fields
            if name not in TaskCard.model_fields
        ],
        ("max length", f"{card.max_length} word pieces"),
        ("licence", card.licence),
        ("citation", card.citation),
        ("data", card.access.kind + (f", {card.access.homepage}" if card.access.homepage else "")),
        ("to get it", _how_to_get(card)),
        *[(split, _size(card, split)) for split in card.expected],
    ]
    return [(field, value) for field, value in facts if value]


def _own_field(card: TaskCard, name: str) -> str:
    """Return a field that only the kind of task has; "" where it says nothing."""
    value = getattr(card, name)
    return ", ".join(value) if isinstance(value, tuple) else "yes" if value is True else str(value or "")


def _how_to_get(card: TaskCard) -> str:
    if card.access.kind == "open":
        return f"kebench data get {card.name}"
    return card.access.instructions


def _size(card: TaskCard, split: str) -> str:
    expected = card.expected[split]
    size = describe(card, expected)
    if expected.published not in (None, expected.units):
        size += f"; the paper's Table 1 prints {expected.published}: {expected.reason}"
    return size
