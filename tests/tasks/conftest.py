"""A small NER task and a small relation task, with their cards, written where a test wants them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kebench.kinds.card import TaskCard
from kebench.tasks.check import measure
from tests.task_cards import task_card

# Two sentences, three mentions (two of them adjacent), ten tokens.
NER_TEXT = "gout\tB\nhurts\tO\n.\tO\n\nTay\tB\nSachs\tI\nGaucher\tB\nare\tO\nrare\tO\nones\tO\n.\tO\n\n"
PAIRS_TEXT = (
    "1.T1.T2\t@CHEMICAL$ blocks @GENE$.\tCPR:4\n"
    "1.T1.T3\t@CHEMICAL$ and @GENE$.\tfalse\n"
    "1.T4.T5\tThe @CHEM-GENE$.\tfalse\n"
)

COMMON = {
    "title": "Small",
    "version": 1,
    "suite": "small",
    "max_length": 64,
    "licence": "none",
    "citation": "none",
}
NER_FIELDS = {**COMMON, "name": "small-ner", "kind": "ner", "format": "iob", "metric": "entity_f1"}
RELATION_FIELDS = {
    **COMMON,
    "name": "small-re",
    "kind": "relation",
    "format": "pairs",
    "metric": "micro_f1",
    "labels": ["false", "CPR:4"],
    "negative": "false",
    "markers": ["@CHEMICAL$", "@GENE$", "@CHEM-GENE$"],
    "merged_markers": ["@CHEM-GENE$"],
}


def _card(fields: dict[str, Any], text: str, folder: Path, access: dict[str, Any] | None) -> TaskCard:
    """Return a card that expects `text` in each split, and write the text there."""
    fields = {**fields, "folders": [fields["name"]], "access": access or {"kind": "embedded"}}
    card = task_card(fields)
    files = folder / card.name
    files.mkdir(parents=True, exist_ok=True)
    for name in card.files.values():
        (files / name).write_text(text)
    size = measure(card, files / "test.tsv")
    expected = {
        "units": size.units,
        "rows": size.rows,
        "labels": dict(size.labels),
        "gold": size.gold,
        "text": size.text,
        "pairing": size.pairing,
        "sha256": [size.sha256],
    }
    return task_card({**fields, "expected": dict.fromkeys(card.files, expected)})


@pytest.fixture
def ner_task() -> Callable[..., TaskCard]:
    """Return a function (folder, access=None) that writes the NER task and returns its card."""
    return lambda folder, access=None: _card(NER_FIELDS, NER_TEXT, folder, access)


@pytest.fixture
def relation_task() -> Callable[..., TaskCard]:
    """Return a function (folder, access=None) that writes the relation task and returns its card."""
    return lambda folder, access=None: _card(RELATION_FIELDS, PAIRS_TEXT, folder, access)
