"""Task cards of fields that a test has at hand."""

from typing import Any

from kebench.kinds.card import TaskCard
from kebench.tasks.card import card_class


def task_card(fields: dict[str, Any]) -> TaskCard:
    """Return the card of some fields, as a file with them is read."""
    return card_class(fields).model_validate(fields)
