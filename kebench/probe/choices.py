"""Multiple choice as models are asked it: prompts, examples before them, and the table of what was said.

By letter, as Hendrycks et al. (2021) ask MMLU: the options stand in the prompt under letters, and the letters
are scored. By text: the options do not stand there, and each is scored as the answer. Beside each prompt
stands the one in which the question is left out.

Everything of such a probe that knows no model.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from kebench.errors import UserError
from kebench.model.statements import Statement
from kebench.probe.question_files import LETTERS, NO_SUBSET, Question
from kebench.probe.questions import Asked, QuestionSet
from kebench.probe.record import ChoiceBy, ChoiceSettings, ProbeSubset
from kebench.probe.stored import asked_queries
from kebench.scoring.choice_figures import SOURCES, ChoiceFigures, Shown, choice_figures, earned_by

MOST_IN_ORDER = 32  # examples of a subset that were chosen to be shown, in this order; ours
BOOTSTRAP_SEED = 0
# By what a prompt is scored: its scores.
SCORES: dict[ChoiceBy, tuple[str, ...]] = {"letter": ("letter",), "text": ("sum", "mean", "char", "pmi")}
TOO_LONG, UNKNOWN = "too long", "unknown characters"  # why a question has no score
# A row an option of a prompt; sums are null in prompts that are left out.
CHOICES_SCHEMA = pa.schema(
    [
        ("question_id", pa.int32()),
        ("by", pa.string()),
        ("permutation", pa.int8()),
        ("place", pa.int8()),
        ("option", pa.int8()),
        ("shots", pa.int8()),
        ("left_out", pa.string()),
        ("tokens", pa.int16()),
        ("chars", pa.int32()),
        ("sum", pa.float32()),
        ("without_question_sum", pa.float32()),
        ("straddles", pa.bool_()),
        ("sharing", pa.dictionary(pa.int32(), pa.string())),
    ]
)


def asked_questions(question_set: QuestionSet, subset: ProbeSubset) -> list[Asked]:
    """Return the questions that a probe asks, by their ids: all of the split, or some drawn by hash."""
    questions = {one.question_id: one for one in question_set.questions}
    ids = pa.table({"query_id": pa.array(list(questions), pa.int32())})
    return [questions[number] for number in asked_queries(ids, subset)["query_id"].to_pylist()]


def choose_shots(
    question_set: QuestionSet, questions: Sequence[Asked], settings: ChoiceSettings
) -> dict[str, tuple[Question, ...]]:
    """Return the examples that stand before the questions of each subset, the same before all of them.

    The first ones of the file, as MMLU's are meant; of more than 32, which no one chose for that, those that
    come first in the order of a hash with the seed. Raises UserError if there are fewer than asked for.
    """
    known, chosen = question_set.shots, {}
    for subset in dict.fromkeys(one.question.subset for one in questions):
        some = known.get(subset, [])
        if len(some) < settings.shots:
            raise UserError(
                f"{question_set.folder}: {len(some)} examples of {subset} beside the questions of split "
                f"{settings.split}; ask with --shots {len(some)}, or import files that have more (dev)"
            )
        if len(some) > MOST_IN_ORDER:
            some = sorted(
                some, key=lambda one: hashlib.sha256(f"{settings.seed}:{one.text}".encode()).hexdigest()
            )
        chosen[subset] = tuple(some[: settings.shots])
    return chosen


def permutation_of(number: int, num_options: int) -> list[int]:
    """Return which option stands at each place: 0 is their own order, others are turned by so many places."""
    return [(place + number) % num_options for place in range(num_options)]


def prompt(
    question: Question,
    shots: Sequence[Question],
    by: ChoiceBy,
    *,
    permutation: int = 0,
    with_question: bool = True,
) -> Statement:
    """Return what is asked; a letter or an option follows. permutation: of the question's options alone."""
    blocks = [f"{_block(shot, by, 0)} {_answers(shot, by)[shot.answer]}" for shot in shots]
    if by == "letter":
        about = "" if question.subset == NO_SUBSET else f" about {question.subset.replace('_', ' ')}"
        blocks.insert(0, f"The following are multiple choice questions (with answers){about}.")
    blocks.append(_block(question, by, permutation, with_question=with_question))
    return Statement("\n\n".join(blocks), "")


def answers(question: Question, by: ChoiceBy, permutation: int) -> list[str]:
    """Return what is scored behind a prompt, place by place."""
    order = permutation_of(permutation, len(question.options))
    return _answers(question, by) if by == "letter" else [question.options[option] for option in order]


def _answers(question: Question, by: ChoiceBy) -> list[str]:
    return list(LETTERS[: len(question.options)]) if by == "letter" else list(question.options)


def _block(question: Question, by: ChoiceBy, permutation: int, *, with_question: bool = True) -> str:
    if by == "text":
        return f"Question: {question.text}\nAnswer:" if with_question else "Answer:"
    order = permutation_of(permutation, len(question.options))
    options = [f"{letter}. {question.options[place]}" for letter, place in zip(LETTERS, order, strict=False)]
    return "\n".join([*([question.text] if with_question else []), *options, "Answer:"])


def figures_of(
    choices: pa.Table, questions: Sequence[Asked], majority: Sequence[int]
) -> tuple[dict[str, ChoiceFigures], pa.Table]:
    """Return the figures by score, and a row a question and score of what it earns; no model, no set.

    questions: all that were asked. majority: see `kebench.scoring.choice_figures.earned_by`.
    """
    made: dict[str, ChoiceFigures] = {}
    earned: list[pa.Table] = []
    subsets = [one.question.subset for one in questions]
    for by in SCORES:
        of_by = choices.filter(pa.array(choices["by"].to_numpy(zero_copy_only=False) == by))
        if not len(of_by):
            continue
        for score, shown in shown_of(of_by, questions, by).items():
            made[score] = choice_figures(
                shown,
                subsets,
                letters=LETTERS,
                majority=majority,
                generator=np.random.default_rng(BOOTSTRAP_SEED),
            )
            of_source = earned_by(shown, majority)
            columns: dict[str, object] = {
                "score": [score] * len(questions),
                "query_id": [one.question_id for one in questions],
                "relation": subsets,
                "subject": [str(one.same_as) for one in questions],
            }
            earned.append(pa.table(columns | {f"{source}_acc": of_source[source] for source in SOURCES}))
    return made, pa.concat_tables(earned)


def shown_of(choices: pa.Table, questions: Sequence[Asked], by: ChoiceBy) -> dict[str, list[Shown]]:
    """Return by score what each order of the options came to. choices: of one way to score."""
    place_of = {one.question_id: place for place, one in enumerate(questions)}
    column = {name: choices[name].to_numpy(zero_copy_only=False) for name in choices.column_names}
    row_N = np.array([place_of[number] for number in column["question_id"].tolist()])
    answer_Q = np.array([one.question.answer for one in questions])
    shape = len(questions), max(len(one.question.options) for one in questions)
    found: dict[str, list[Shown]] = {score: [] for score in SCORES[by]}
    for permutation in np.unique(column["permutation"]):
        is_in_N = column["permutation"] == permutation
        at = row_N[is_in_N], column["place"][is_in_N]
        total, without, tokens, chars = (np.full(shape, np.nan) for _ in range(4))
        is_right = np.zeros(shape, dtype=np.bool_)
        names = ("sum", "without_question_sum", "tokens", "chars")
        for matrix, name in zip((total, without, tokens, chars), names, strict=True):
            matrix[at] = column[name][is_in_N]
        is_right[at] = column["option"][is_in_N] == answer_Q[at[0]]
        # The question's own scores, and those without it: log p, a token, a character (lm-eval's acc_norm),
        # and against what the option has without the question (PMI, Holtzman et al. 2021), 0 without it.
        of_score = {
            "letter": (total, without),
            "sum": (total, without),
            "mean": (total / tokens, without / tokens),
            "char": (total / chars, without / chars),
            "pmi": (total - without, without - without),
        }
        for score, of in found.items():
            of.append(Shown(*of_score[score], is_right, chars))
    return found
