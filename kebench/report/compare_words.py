"""What a comparison of two models says: as a sheet for people, and as JSON for programs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kebench.grid import DASH, UNDEFINED, Cell, Grid, GridRows, Sheet, p_text
from kebench.kinds.registry import KINDS
from kebench.report.compare import AVERAGE_TESTS, TESTS, Compared, Comparison, TaskComparison
from kebench.report.table import Cell as TaskCell
from kebench.report.words import (
    column_name,
    column_notes,
    column_title,
    columns_of,
    score_title,
    score_words,
    summary_cell,
    summary_fields,
)
from kebench.stats.pvalue import CORRECTIONS, PValue

_HEADINGS = {name: name for name in TESTS} | {"welch": "Welch t", "paired": "paired t"}
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
        grids=tuple(_grids(comparison)),
        notes=tuple(_notes(comparison)),
    )


def unequal_footing(comparison: Comparison) -> list[str]:
    """Say so if the models were tried at other rates, unless each was at those that its own card suggests."""
    unequal = [task for task in comparison.tasks if _is_unequal(task)]
    if not unequal:
        return []
    a = _by_text(unequal, lambda task: _tried(task.cells[0]))
    b = _by_text(unequal, lambda task: _tried(task.cells[1]))
    return [
        f"UNEQUAL FOOTING: learning rates tried: {comparison.a} {a}; {comparison.b} {b}. The difference may "
        "be one of rates: run both with the same, 'kebench run --learning-rates'"
    ]


def _is_unequal(task: TaskComparison) -> bool:
    rates, origins = zip(*map(_rates_tried, task.cells), strict=True)
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


def _grids(comparison: Comparison) -> list[Grid]:
    headings = (comparison.a, comparison.b, "difference", "95% interval", "g")
    is_family = comparison.settings.correction != "none" and len(comparison.tasks) > 1
    differences: GridRows = []
    p_values: GridRows = []
    for task in comparison.tasks:
        title, needed = column_title(task.column), Cell(task.seeds_needed, "d")
        if task.seeds_needed is None and min(len(cell.runs) for cell in task.cells) > 1:
            needed = Cell(">1000")
        dominance = Cell(task.dominance.bound if task.dominance else None, ".2f")
        differences.append((title, *_difference_cells(task, "bootstrap"), dominance, needed))
        corrected = task.corrected if is_family else {}
        tested = (Cell(task.p_values[name].p, "p", corrected=corrected.get(name)) for name in TESTS)
        p_values.append((title, *tested))
    for _, column in comparison.undefined:
        differences.append((column_title(column), UNDEFINED, UNDEFINED, *[None] * 5))
    grids = [
        Grid(("task", *headings, "ASO", "seeds"), differences),
        Grid(("p-values", *(_HEADINGS[name] for name in TESTS)), p_values),
    ]
    if comparison.averages:
        both = [(KINDS[one.kind].title, one, "paired") for one in comparison.averages]
        both += [(one.kind, one, "bootstrap") for one in filter(None, [comparison.overall])]
        averages: GridRows = [
            (
                title,
                *_difference_cells(average, test),
                *(Cell(average.p_values[name].p, "p") for name in AVERAGE_TESTS),
            )
            for title, average, test in both
        ]
        tests = (_HEADINGS[name] for name in AVERAGE_TESTS)
        grids.append(Grid(("average", *headings, *tests), averages))
    return grids


def _difference_cells(one: Compared, test: str) -> tuple[Cell, ...]:
    """Return both means, their difference, its interval by a test, and Hedges' g."""
    return (
        summary_cell(one.a),
        summary_cell(one.b),
        Cell(one.difference, "+.1f"),
        Cell(form="+.1f", interval=one.p_values[test].interval),
        Cell(one.hedges_g, "+.1f"),
    )


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
        *(f"{column_name(task.column)}: {task.column.footnote}." for task in tasks if task.column.letter),
        *column_notes(
            [*((task.kind, task.column) for task in tasks), *comparison.undefined],
            {column.hash for _, column in comparison.undefined},
        ),
        f"Learning rate, by mean dev score: {comparison.a} {_rates(tasks, 0)}; "
        f"{comparison.b} {_rates(tasks, 1)}.",
    ]


def _notes_of_averages(comparison: Comparison) -> list[str]:
    """Say what the averages are of and how they are tested, and which kinds have none."""
    notes = []
    if comparison.averages:
        sizes = "; ".join(
            f"{_size(average.p_values['welch'])}, paired {_size(average.p_values['paired'])} "
            f"({KINDS[average.kind].title})"
            for average in comparison.averages
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
        for note in dict.fromkeys(test.note for test in average.p_values.values() if test.note):
            tests = (_HEADINGS[name] for name, test in average.p_values.items() if test.note == note)
            lacking.setdefault((" and no ".join(tests), note), []).append(KINDS[average.kind].title)
    notes += [
        f"No {tests} of the average of {' and '.join(kinds)}: {note}."
        for (tests, note), kinds in lacking.items()
    ]
    if one := comparison.overall:
        notes.append(overall_words(one))
    averaged = {average.kind for average in comparison.averages}
    missing = dict.fromkeys(task.kind for task in comparison.tasks if task.kind not in averaged)
    if missing:
        names = " and ".join(KINDS[kind].title for kind in missing)
        notes.append(
            f"No average of {names}: it takes every such task of {comparison.table.suite} from both models, "
            "once."
        )
    return notes


def overall_words(one: Compared) -> str:
    """Say how the one score of a suite was tested."""
    permutation, bootstrap = one.p_values["permutation"], one.p_values["bootstrap"]
    if permutation.p is None:
        return f"No test of the {one.kind} over examples: {permutation.note}."
    interval = Cell(form="+.1f", interval=bootstrap.interval).text()
    return (
        f"{one.kind}: difference {one.difference:+.1f} {interval} by the paired bootstrap, examples drawn "
        f"within each task{bootstrap.note and f' ({bootstrap.note})'}; permutation p "
        f"{p_text(permutation.p)}, of {_size(permutation)}. t-tests over seeds where all tasks have the same."
    )


def _names(tasks: Iterable[TaskComparison]) -> str:
    return ", ".join(column_name(task.column) for task in tasks)


def _sizes(tasks: Sequence[TaskComparison], name: str) -> str:
    return _by_text(tasks, lambda task: _size(task.p_values[name]))


def _rates(tasks: Sequence[TaskComparison], side: int) -> str:
    return _by_text(tasks, lambda task: f"{task.cells[side].learning_rate:g}")


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
                "a": _cell_fields(task.cells[0]),
                "b": _cell_fields(task.cells[1]),
                "difference_percent": task.difference,
                "hedges_g": task.hedges_g,
                "almost_stochastic_order": task.dominance._asdict() if task.dominance else None,
                "seeds_needed": task.seeds_needed,
                "tests": tests_fields(task),
            }
            for task in comparison.tasks
        ],
        "averages": [
            {
                "kind": average.kind,
                "tasks": [one.task for kind, one in columns_of(comparison.table) if kind == average.kind],
                "a": summary_fields(average.a),
                "b": summary_fields(average.b),
                "difference_percent": average.difference,
                "hedges_g": average.hedges_g,
                "correction": "none",
                "tests": tests_fields(average),
            }
            for average in comparison.averages
        ],
        "overall": comparison.overall
        and {
            "score": comparison.overall.kind,
            "a": summary_fields(comparison.overall.a),
            "b": summary_fields(comparison.overall.b),
            "difference_percent": comparison.overall.difference,
            "hedges_g": comparison.overall.hedges_g,
            "correction": "none",
            "tests": tests_fields(comparison.overall),
        },
        "undefined": [column.task for _, column in comparison.undefined],
    }


def tests_fields(one: Compared) -> list[dict[str, Any]]:
    """Return tests for JSON, each with its p-value corrected where it is in a family."""
    return [{**test._asdict(), "p_corrected": one.corrected.get(name)} for name, test in one.p_values.items()]


def family_of(comparison: Comparison, test: str) -> list[str]:
    """Return the tasks over which a test's p-values are corrected: those on which it has one."""
    return [column_name(task.column) for task in comparison.tasks if task.p_values[test].p is not None]


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
