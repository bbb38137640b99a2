"""Kinds and metrics are known by name where they live, and nowhere else: a new one touches no other file."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kebench.kinds.registry import KINDS
from kebench.scoring.metrics import METRICS

PACKAGE = Path(__file__).parents[2] / "kebench"
HOMES = ("kinds", "scoring")
# Where a relation is a triple's, ner a stage of a linker, and F1 that of a corpus's links and mentions.
OF_ANOTHER_SENSE = ("umls", "transe", "probe", "corpus", "pretrain", "mini", "model")
THEIR_COMMANDS = (
    "probe",
    "corpus",
    "kb",
    "annotate",
    "curves",
    "overlap",
)  # begin the names in cli and report
NAMES = {*KINDS, *METRICS}


def named(path: Path) -> Path:
    return path.relative_to(PACKAGE).with_suffix("")


def modules() -> list[Path]:
    return [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if (parts := named(path).parts)[0] not in (*HOMES, *OF_ANOTHER_SENSE)
        and not (parts[0] in ("cli", "report") and parts[-1].startswith(THEIR_COMMANDS))
    ]


def strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the string constants of a module but for docstrings, with their lines."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def offences(source: str) -> list[str]:
    return [
        f"line {line}: {text!r}"
        for line, text in strings(ast.parse(source))
        if text in NAMES or re.search(r"\bF1\b", text)
    ]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_names_no_kind_and_no_metric(path: Path) -> None:
    assert not offences(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "written", ['"ner"', 'x == "relation"', '"entity_f1"', 'f"{x} F1 of"', '"dev F1, %"', '"test F1"']
)
def test_the_gate_sees_a_name(written: str) -> None:
    assert offences(f'"""ner"""\ny = {written}')
