"""The kinds of task there are. A new one is a file beside this one and a line here."""

from pathlib import Path

from kebench.kinds.card import TaskCard
from kebench.kinds.kind import Examples, Kind
from kebench.kinds.ner import NER
from kebench.kinds.relation import RELATION

KINDS: dict[str, Kind] = {kind.name: kind for kind in (NER, RELATION)}  # in the order of tables


def read_split(card: TaskCard, path: Path) -> Examples:
    """Read the examples of one split's file. Raises UserError with file and line."""
    return KINDS[card.kind].read(card, path).examples
