"""Cards and files of made-up tasks, one of each kind that reads texts or words beside NER and relations."""

from pathlib import Path
from typing import Any

import pytest

from kebench.errors import UserError
from kebench.kinds.card import TaskCard
from kebench.kinds.kind import Examples
from kebench.kinds.registry import KINDS, read_split
from kebench.tasks.check import check_files
from tests.task_cards import task_card

LABELS = ("growth", "death", "immunity")
FIELDS: dict[str, dict[str, Any]] = {
    "pico": {"format": "io", "types": ["PAR", "INT", "OUT"]},
    "similarity": {"format": "scored-pairs", "lowest": 0.0, "highest": 4.0},
    "classification": {"format": "hoc", "labels": LABELS},
    "qa": {"format": "question-passage", "labels": ["yes", "no"]},
}
REMEDY = "mend the file"  # of a task that nobody else gives out


def made_up(kind: str, **fields: Any) -> TaskCard:
    """Return the card of a small task of a kind."""
    shared = {
        "name": f"small-{kind}", "folders": [f"small-{kind}"], "title": "small", "suite": "small",
        "kind": kind, "metric": KINDS[kind].metrics[0], "licence": "none", "citation": "none",
        "max_length": 64, "access": {"kind": "registration", "instructions": "none"},
    }  # fmt: skip
    return task_card(shared | FIELDS[kind] | fields)


def written(folder: Path, content: str | bytes, name: str = "test.tsv") -> Path:
    """Write a split's file, byte for byte."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read_text(card: TaskCard, folder: Path, content: str | bytes) -> Examples:
    """Return the examples of a file with that content."""
    return read_split(card, written(folder, content))


def refusal(card: TaskCard, folder: Path, content: str | bytes) -> str:
    """Return what is said of a file behind its name; it is one line that ends with the remedy."""
    path = written(folder, content)
    with pytest.raises(UserError) as error:
        read_split(card, path)
    said = str(error.value)
    assert "\n" not in said
    assert said.startswith(f"{path}")
    assert said.endswith(f"; {REMEDY}")
    return said.removeprefix(f"{path}").removesuffix(f"; {REMEDY}").lstrip(": ")


def refusal_beside(card: TaskCard, folder: Path, **contents: str) -> dict[str, str]:
    """Return what `data check` says of each split that it refuses."""
    paths = {split: written(folder, content, f"{split}.tsv") for split, content in contents.items()}
    found = check_files(card, paths)
    return {split: one.message for split, one in found.items() if one.level == "error"}


def same_however_lines_end(card: TaskCard, folder: Path, content: str) -> None:
    """Assert that CRLF, a byte order mark and a last line without newline are read like any other."""
    plain = read_text(card, folder, content)
    assert plain
    for other in (
        content.replace("\n", "\r\n"),
        "\ufeff" + content,
        content.removesuffix("\n"),
        "\ufeff" + content.replace("\n", "\r\n").removesuffix("\r\n"),
        content + "\n\n",
    ):
        assert read_text(card, folder, other) == plain
