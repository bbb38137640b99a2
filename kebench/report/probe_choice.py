"""Tables of probes by multiple choice: models of all families in one, and breakdowns of one by subset.

Percentages. Accuracy never stands without what the same options earn where the question is left out.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from kebench.grid import Cell, Grid, GridRows, Sheet
from kebench.probe.questions import QuestionSetManifest
from kebench.probe.record import ChoiceRecord
from kebench.report.probe_cells import ROW_FIELDS, Over, best_over, interval_cell, row_fields
from kebench.report.probe_ranked import INTERVAL
from kebench.report.probes import asked_names
from kebench.scoring.choice_figures import ChoiceFigure, ChoiceFigures, MicroFigure
from kebench.scoring.first_answers import ANSWER_BINS

SOURCES = (
    "own", "without_question", "over_without_question", "majority", "over_majority", "longest", "uniform",
)  # fmt: skip
CHOICE_FIELDS = (*ROW_FIELDS, "score", "questions", "subsets", "source", *ChoiceFigure.model_fields)
CHOICE_GROUP_FIELDS = (
    *ROW_FIELDS, "score", "subset", "questions", "source", *MicroFigure.model_fields,
)  # fmt: skip
_OVER = 4  # the column of the difference to what is earned without the question
_WHAT_SCORES_ARE = {
    "letter": "letter: log probability of each option's letter, the options in the prompt.",
    "sum": "sum: of each option's text.",
    "mean": "mean: sum a token.",
    "char": "char: sum a character (lm-evaluation-harness's acc_norm).",
    "pmi": "pmi: sum less that of the text without the question, so that its figure without it is chance.",
}


class ChoiceRow(NamedTuple):
    """A probe by one of its scores. name: of the model, with what tells rows apart ("smollm2, 5 shots")."""

    model: str
    name: str
    family: str
    score: str
    figures: ChoiceFigures
    record: ChoiceRecord | None = None

    @property
    def label(self) -> str:
        """What stands before the row."""
        return f"{self.name}, {self.score}"


class ChoiceBoard(NamedTuple):
    """Probes that may stand in one table. title: what they share. majority: the commonest right letter."""

    title: str
    majority: tuple[str, ...]
    rows: list[ChoiceRow]


def choice_boards(records: Iterable[ChoiceRecord]) -> Iterator[ChoiceBoard]:
    """Yield a board for each set, split and choice of questions, the largest first."""
    alike: dict[tuple[object, ...], list[ChoiceRecord]] = {}
    for record in sorted(records, key=lambda one: (-one.counts.questions, one.set, one.model)):
        shared = (record.set_hash, record.subset, record.settings.split, record.precision)
        alike.setdefault((*shared, record.protocol_version), []).append(record)
    for group in alike.values():
        first, names = group[0], asked_names(group)
        title = f"{first.set} [{first.set_hash[:8]}], {first.counts.questions:,} questions of split "
        title += first.settings.split
        title += f", drawn with seed {first.subset.seed}" if first.subset.queries else ""
        rows = [
            ChoiceRow(one.model, names[one.identity], one.settings.family, *of, one)
            for one in group
            for of in one.figures.items()
        ]
        yield ChoiceBoard(f"{title}, {first.precision}", first.majority, rows)


def choice_sheet(board: ChoiceBoard) -> Sheet:
    """Return the table of probes of the same questions, the most above what needs no question first."""
    rows = sorted(
        board.rows, key=lambda row: (-(row.figures.over_without_question.percent or 0.0), row.label)
    )
    overs = [
        Over(
            row.name,
            over.percent if row.score != "pmi" else None,  # without the question it is chance by itself
            over.low_percent,
            row.figures.questions,
        )
        for row in rows
        for over in [row.figures.over_without_question]
    ]
    best = {(place, _OVER) for place in best_over(overs)}
    letters = list(dict.fromkeys(letter for row in rows for letter in row.figures.letters))
    first = "model, score"
    grids = [
        Grid(
            (first, "accuracy", INTERVAL, "no question", "over", INTERVAL),
            [
                (
                    row.label,
                    Cell(row.figures.own.percent),
                    _interval(row.figures.own),
                    Cell(row.figures.without_question.percent),
                    Cell(row.figures.over_without_question.percent, "+.1f"),
                    _interval(row.figures.over_without_question, "+.1f"),
                )
                for row in rows
            ],
            best=frozenset(best),
        ),
        Grid(
            (first, "questions", "majority", "over", INTERVAL, "longest", "uniform"),
            [
                (
                    row.label,
                    row.figures.questions,
                    Cell(row.figures.majority.percent),
                    Cell(row.figures.over_majority.percent, "+.1f"),
                    _interval(row.figures.over_majority, "+.1f"),
                    Cell(row.figures.longest.percent),
                    Cell(row.figures.uniform.percent),
                )
                for row in rows
            ],
        ),
        Grid(
            (first, "accuracy", INTERVAL, "no question", "subsets", "ECE, %", "Brier"),
            [
                (
                    row.label,
                    Cell(row.figures.own.macro_percent),
                    _macro_interval(row.figures.own),
                    Cell(row.figures.without_question.macro_percent),
                    row.figures.subsets,
                    Cell(row.figures.calibration.error_percent),
                    Cell(row.figures.calibration.brier, ".3f"),
                )
                for row in rows
            ],
            groups=(("mean of subsets", 4), ("calibration", 2)),
        ),
        Grid((first, *letters), _letter_rows(rows, letters), groups=(("answered", len(letters)),)),
    ]
    scores = dict.fromkeys(row.score for row in rows)
    notes = (
        " ".join(_WHAT_SCORES_ARE[score] for score in _WHAT_SCORES_ARE if score in scores),
        "Accuracy: the best option is right (of several that share the first place, the share that is), in "
        f"percent; {INTERVAL}: over other such questions. no question: the same with the question left out "
        "of the prompt; over: accuracy less that, of each question.",
        f"majority: always {' or '.join(board.majority)}, the commonest right letter of all questions of "
        "the split, known from their answers; over: accuracy less that. longest: the option with the most "
        "characters. uniform: a random one.",
        *_notes_of_questions(rows),
        f"Calibration of the best option: softmax over the options; ECE in {ANSWER_BINS} bins, in percent; "
        "Brier from 0 to 1. Answered: how often the option at a letter, or at its place, is the best one.",
    )
    return Sheet(board.title, (), tuple(grids), notes, best="the most above no question" if best else "")


def _notes_of_questions(rows: Sequence[ChoiceRow]) -> Iterator[str]:
    """Say of which probes some questions were asked with fewer examples, or have no score; once for each."""
    for record in {row.record.identity: row.record for row in rows if row.record}.values():
        counts = record.counts
        said = {
            f"{counts.fewer_shots:,} of {counts.asked:,} questions were asked with fewer examples than "
            "stated, as all did not fit": counts.fewer_shots,
            f"{counts.too_long:,} were too long": counts.too_long,
            f"{counts.unknown:,} have characters that the vocabulary lacks": counts.unknown,
        }
        if any(said.values()):
            name = next(row.name for row in rows if row.record is record)
            yield f"{name}: {'; '.join(text for text, number in said.items() if number)}."


def _letter_rows(rows: Sequence[ChoiceRow], letters: Sequence[str]) -> GridRows:
    """Return how often each letter is answered, and below how often it is right: permuted or not."""
    shares = {(row.label, row.score): [row.figures.letters.get(letter) for letter in letters] for row in rows}
    answered: GridRows = [
        (label, *(Cell(one.answered_percent if one else None) for one in of))
        for (label, _), of in shares.items()
    ]
    # The same of all rows, but for those of permuted options.
    right = {
        tuple(one.right_percent if one else None for one in of): label for (label, _), of in shares.items()
    }
    for shown, label in right.items():
        answered.append((f"right, {label}" if len(right) > 1 else "right", *map(Cell, shown)))
    return answered


def choice_groups_sheet(row: ChoiceRow, by: str, title: str) -> Sheet:
    """Return a probe by one of its scores broken down by subset."""
    assert by == "subset", by
    grid = Grid(
        ("subset", "asked", "accuracy", "no question", "over", INTERVAL, "majority"),
        [
            (
                name,
                group.questions,
                Cell(group.own.percent),
                Cell(group.without_question.percent),
                Cell(group.over_without_question.percent, "+.1f"),
                _interval(group.over_without_question, "+.1f"),
                Cell(group.majority.percent),
            )
            for name, group in row.figures.by_subset.items()
        ],
    )
    return Sheet(
        f"{row.label}: {title}", (), (grid,), ("Means over the questions of each subset, in percent.",)
    )


def question_set_sheet(manifest: QuestionSetManifest) -> Sheet:
    """Return how many questions a set has, by split and subset, and how many have which answer."""
    letters = sorted({letter for of in manifest.by_split.values() for letter in of.answers})
    rows: GridRows = []
    for split, of_split in manifest.by_split.items():
        several = of_split.by_subset.items() if len(of_split.by_subset) > 1 else ()
        for name, counted in (*several, ("all", of_split)):
            answers = (counted.answers.get(letter, 0) for letter in letters)
            rows.append((name, split, counted.questions, *answers))
    counts = manifest.counts
    said = {
        f"{counts.repeated:,} questions are repeated, with the same options.": counts.repeated,
        f"{counts.contradicting:,} of them with another answer.": counts.contradicting,
        f"{counts.duplicate_options:,} questions have an option twice.": counts.duplicate_options,
    }
    notes = (*(text for text, number in said.items() if number), f"Sharing: {manifest.sharing}")
    grid = Grid(("subset", "split", "questions", *letters), rows, groups=(("", 2), ("answers", len(letters))))
    title = f"{manifest.name}: {counts.questions:,} questions, content {manifest.content_hash[:12]}"
    return Sheet(title, (), (grid,), notes)


def choice_rows(rows: Iterable[ChoiceRow]) -> Iterator[dict[str, Any]]:
    """Yield every figure for programs, one a row (CHOICE_FIELDS); nothing is rounded."""
    for row in rows:
        for source in SOURCES:
            sizes = {"questions": row.figures.questions, "subsets": row.figures.subsets, "source": source}
            yield {**_shared(row), **sizes, **getattr(row.figures, source).model_dump()}


def choice_group_rows(rows: Iterable[ChoiceRow], by: str) -> Iterator[dict[str, Any]]:
    """Yield every figure of each subset for programs, one a row (CHOICE_GROUP_FIELDS)."""
    assert by == "subset", by
    for row in rows:
        for name, group in row.figures.by_subset.items():
            for source in SOURCES:
                of = {"subset": name, "questions": group.questions, "source": source}
                yield {**_shared(row), **of, **getattr(group, source).model_dump()}


def _shared(row: ChoiceRow) -> dict[str, str | None]:
    return {**row_fields(row), "score": row.score}


def _interval(figure: MicroFigure, form: str = "") -> Cell:
    return interval_cell(figure.low_percent, figure.high_percent, form)


def _macro_interval(figure: ChoiceFigure) -> Cell:
    return interval_cell(figure.macro_low_percent, figure.macro_high_percent, "")
