"""What a comparison of two models says: as a sheet for people, and as JSON for programs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kebench.grid import DASH, UNDEFINED, Cell, Grid, GridRows, Plain, Sheet
from kebench.kinds.registry import KINDS
from kebench.report.compare import AVERAGE_TESTS, TESTS, Comparison, TaskComparison
from kebench.report.table import Cell as TaskCell
from kebench.report.words import (
    column_name,
    column_notes,
    column_title,
    score_title,
    score_words,
    summary_cell,
    summary_fields,
)
from kebench.stats.families import CORRECTIONS
from kebench.stats.pvalue import PValue

_HEADINGS = {
    "welch": "Welch t",
    "paired": "paired t",
    "permutation": "permutation",
    "bootstrap": "bootstrap",
    "both": "both",
}
_SIDES = {"two-sided": "two-sided", "greater": "one-sided ({a} better)", "less": "one-sided ({b} better)"}


def comparison_sheet(comparison: Comparison) -> Sheet:
    """Return a comparison as grids: the differences, what the tests say of them, and the averages."""
    table = comparison.table
    columns = [(task.kind, task.column) for task in comparison.tasks]
    return Sheet(
        title=f"{comparison.a} against {comparison.b}: {table.suite}, {table.caption}",
        captions=(
            *unequal_footing(comparison),
            f"{score_title(columns)} in percent, mean ± sd over seeds. {score_words(columns)}",
            f"Difference: {comparison.a} less {comparison.b}, with the 95% interval of the paired bootstrap",
        ),
        grids=(
            _differences(comparison),
            _p_values(comparison),
            *([_averages(comparison)] if comparison.averages else []),
        ),
        notes=tuple(_notes(comparison)),
    )


def unequal_footing(comparison: Comparison) -> list[str]:
    """Say so if the models were tried at other rates, unless each was at those that its own card suggests."""
    unequal = [task for task in comparison.tasks if _is_unequal(task)]
    if not unequal:
        return []
    a, b = _by_text(unequal, lambda task: _tried(task.a)), _by_text(unequal, lambda task: _tried(task.b))
    return [
        f"UNEQUAL FOOTING: learning rates tried: {comparison.a} {a}; {comparison.b} {b}. The difference may "
        "be one of rates: run both with the same, 'kebench run --learning-rates'"
    ]


def _is_unequal(task: TaskComparison) -> bool:
    rates, origins = zip(*(_rates_tried(cell) for cell in (task.a, task.b)), strict=True)
    return rates[0] != rates[1] and any(origin != {"card"} for origin in origins)


def _rates_tried(cell: TaskCell) -> tuple[tuple[float, ...], frozenset[str | None]]:
    """Return the rates that were tried of a model on a task, and who chose them, None where unknown."""
    rates = tuple(sorted({run.settings.learning_rate for run in cell.tried}))
    return rates, frozenset(run.provenance.learning_rate_from for run in cell.tried)


def _tried(cell: TaskCell) -> str:
    rates, origins = _rates_tried(cell)
    words = {"option": "the user's", "card": "suggested by its card", "budget": "the budget's"}
    who = " and ".join(words[origin] for origin in sorted(filter(None, origins)))
    return f"{', '.join(f'{rate:g}' for rate in rates)}{who and f' ({who})'}"


def _differences(comparison: Comparison) -> Grid:
    rows: GridRows = []
    for task in comparison.tasks:
        needed: Plain = None
        if min(len(task.a.runs), len(task.b.runs)) > 1:
            needed = ">1000" if task.seeds_needed is None else Cell(task.seeds_needed, "d")
        rows.append(
            (
                column_title(task.column),
                summary_cell(task.a.test),
                summary_cell(task.b.test),
                Cell(task.difference, "+.1f"),
                Cell(form="+.1f", interval=task.p_values["bootstrap"].interval),
                Cell(task.hedges_g, "+.1f"),
                Cell(task.dominance.bound if task.dominance else None, ".2f"),
                needed,
            )
        )
    rows += [(column_title(column), UNDEFINED, UNDEFINED, *[None] * 5) for _, column in comparison.undefined]
    headings = ("task", comparison.a, comparison.b, "difference", "95% interval", "g", "ASO", "seeds")
    return Grid(headings, rows)


def _p_values(comparison: Comparison) -> Grid:
    is_family = comparison.settings.correction != "none" and len(comparison.tasks) > 1
    rows: GridRows = [
        (
            column_title(task.column),
            *(
                Cell(task.p_values[name].p, "p", corrected=task.corrected[name] if is_family else None)
                for name in TESTS
            ),
        )
        for task in comparison.tasks
    ]
    return Grid(("p-values", *(_HEADINGS[name] for name in TESTS)), rows)


def _averages(comparison: Comparison) -> Grid:
    headings = ("average", comparison.a, comparison.b, "difference", "95% interval", "g")
    rows: GridRows = [
        (
            KINDS[average.kind].title,
            summary_cell(average.a),
            summary_cell(average.b),
            Cell(average.difference, "+.1f"),
            Cell(form="+.1f", interval=average.p_values["paired"].interval),
            Cell(average.hedges_g, "+.1f"),
            *(Cell(average.p_values[name].p, "p") for name in AVERAGE_TESTS),
        )
        for average in comparison.averages
    ]
    return Grid((*headings, *(_HEADINGS[name] for name in AVERAGE_TESTS)), rows)


def _name(task: TaskComparison) -> str:
    return column_name(task.column)


def _notes(comparison: Comparison) -> list[str]:
    settings, tasks = comparison.settings, comparison.tasks
    sides = _SIDES[settings.sides].format(a=comparison.a, b=comparison.b)
    exceptions: dict[str, list[TaskComparison]] = {}  # why a test has no p-value, or which seeds it took
    for task in tasks:
        for name in ("welch", "paired", "permutation"):  # the bootstrap lacks what permutation lacks
            if note := task.p_values[name].note:
                exceptions.setdefault(f"{_HEADINGS[name]}: {note}", []).append(task)
    units = " or ".join(dict.fromkeys(task.p_values["permutation"].unit for task in tasks))
    is_family = settings.correction != "none" and len(tasks) > 1
    correction = (
        f"; in brackets {CORRECTIONS[settings.correction]}, for each test over its tasks that have a p-value"
    )
    return [
        f"p-values are {sides}, uncorrected{correction if is_family else ''}.",
        f"Welch t, paired t: would it hold for other seeds? n: {_sizes(tasks, 'welch')}; "
        f"paired {_sizes(tasks, 'paired')}.",
        f"Permutation, bootstrap: would it hold for other {units}, of these very runs? "
        f"{settings.num_resamples:,} resamples, seed {settings.seed}; n: {_sizes(tasks, 'permutation')}.",
        "Both: the larger of Welch t and permutation, for a claim about the two models.",
        "g: Hedges' g over seeds. ASO: almost stochastic order, the upper bound of the violation ratio; "
        f"under 0.5 more of the squared distance of the quantiles favours {comparison.a}. The bound is "
        "asymptotic, not corrected, and too low for few seeds: without any order one in five is under 0.5.",
        "Seeds: so many of each show a difference of 0.5 with power .8 (Welch t, two-sided, .05).",
        *(f"{note} ({_names(several)})." for note, several in exceptions.items()),
        *_notes_of_averages(comparison),
        *(f"{_name(task)}: {task.column.footnote}." for task in tasks if task.column.letter),
        *column_notes(
            [*((task.kind, task.column) for task in tasks), *comparison.undefined],
            {column.hash for _, column in comparison.undefined},
        ),
        f"Learning rate, by mean dev score: {comparison.a} {_rates(tasks, 'a')}; "
        f"{comparison.b} {_rates(tasks, 'b')}.",
    ]


def _notes_of_averages(comparison: Comparison) -> list[str]:
    """Say what the averages are of and how they are tested, and which kinds have none."""
    notes = []
    if averages := comparison.averages:
        sizes = "; ".join(
            f"{_size(average.p_values['welch'])}, paired {_size(average.p_values['paired'])} "
            f"({KINDS[average.kind].title})"
            for average in averages
            if average.p_values["welch"].n
        )
        notes.append(
            "Averages: over all tasks of the suite and kind, each seed's average first, as on the "
            "leaderboard; interval of the paired t-test. p-values uncorrected: the averages stand outside "
            f"the family of the tasks, and say nothing of other sentences.{sizes and f' n: {sizes}.'}"
        )
    # which averages lack which test, and why; what is the same of several is said once
    lacking: dict[tuple[str, str], list[str]] = {}
    for average in comparison.averages:
        reasons: dict[str, list[str]] = {}
        for name in AVERAGE_TESTS:
            if note := average.p_values[name].note:
                reasons.setdefault(note, []).append(_HEADINGS[name])
        for note, tests in reasons.items():
            lacking.setdefault((" and no ".join(tests), note), []).append(KINDS[average.kind].title)
    notes += [
        f"No {tests} of the average of {' and '.join(kinds)}: {note}."
        for (tests, note), kinds in lacking.items()
    ]
    averaged = {average.kind for average in comparison.averages}
    missing = dict.fromkeys(task.kind for task in comparison.tasks if task.kind not in averaged)
    if missing:
        names = " and ".join(KINDS[kind].title for kind in missing)
        notes.append(
            f"No average of {names}: it takes every such task of {comparison.table.suite} from both models, "
            "once."
        )
    return notes


def _names(tasks: Iterable[TaskComparison]) -> str:
    return ", ".join(_name(task) for task in tasks)


def _sizes(tasks: Sequence[TaskComparison], name: str) -> str:
    return _by_text(tasks, lambda task: _size(task.p_values[name]))


def _rates(tasks: Sequence[TaskComparison], side: str) -> str:
    return _by_text(tasks, lambda task: f"{getattr(task, side).learning_rate:g}")


def _by_text(tasks: Sequence[TaskComparison], text_of: Callable[[TaskComparison], str]) -> str:
    """Say something of tasks: once if it is the same for all, else each text with its tasks."""
    by_text: dict[str, list[TaskComparison]] = {}
    for task in tasks:
        by_text.setdefault(text_of(task), []).append(task)
    if len(by_text) == 1:
        return next(iter(by_text))
    return "; ".join(f"{text} ({_names(several)})" for text, several in by_text.items())


def _size(p_value: PValue) -> str:
    if not p_value.n:
        return DASH
    sizes = " and ".join(f"{n:,}" for n in p_value.n)
    return f"{sizes} {p_value.unit.removesuffix('s') if p_value.n == (1,) else p_value.unit}"


def comparison_fields(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison for JSON: nothing rounded, each p-value with its test, sides and n."""
    settings = comparison.settings
    return {
        "a": comparison.a,
        "b": comparison.b,
        "suite": comparison.table.suite,
        "protocol": dict(comparison.table.protocol),
        **settings._asdict(),
        "unequal_footing": [task.column.task for task in comparison.tasks if _is_unequal(task)],
        "family": {name: family_of(comparison, name) for name in TESTS},
        "tasks": [
            {
                "task": task.column.task,
                "column": task.column.hash,
                "a": _cell_fields(task.a),
                "b": _cell_fields(task.b),
                "difference_percent": task.difference,
                "hedges_g": task.hedges_g,
                "almost_stochastic_order": task.dominance._asdict() if task.dominance else None,
                "seeds_needed": task.seeds_needed,
                "tests": [
                    {**task.p_values[name]._asdict(), "p_corrected": task.corrected[name]} for name in TESTS
                ],
            }
            for task in comparison.tasks
        ],
        "averages": [
            {
                "kind": average.kind,
                "tasks": list(average.tasks),
                "a": summary_fields(average.a),
                "b": summary_fields(average.b),
                "difference_percent": average.difference,
                "hedges_g": average.hedges_g,
                "correction": "none",
                "tests": [
                    {**average.p_values[name]._asdict(), "p_corrected": None} for name in AVERAGE_TESTS
                ],
            }
            for average in comparison.averages
        ],
        "undefined": [column.task for _, column in comparison.undefined],
    }


def family_of(comparison: Comparison, test: str) -> list[str]:
    """Return the tasks over which a test's p-values are corrected: those on which it has one."""
    return [_name(task) for task in comparison.tasks if task.p_values[test].p is not None]


def _cell_fields(cell: TaskCell) -> dict[str, Any]:
    rates, origins = _rates_tried(cell)
    return {
        **summary_fields(cell.score),
        "learning_rate": cell.learning_rate,
        "learning_rates_tried": list(rates),
        "learning_rates_from": sorted(filter(None, origins)),
        "percent_by_seed": dict(cell.test_percent_by_seed),
        "records": [run.identity for run in cell.runs],
    }
