"""Asks language models multiple choice questions: by the letters of options, and by their texts.

A part is some questions of one subset, before all of which the same examples stand: a causal model reads
them once. Where a prompt is longer than the model takes, the last examples are left out, as Hendrycks et al.
(2021) do; a question that does not fit by itself has no score.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from numpy.typing import NDArray

from kebench.errors import UserError
from kebench.model.causal_lm import CausalLM
from kebench.model.masked_ranks import Pll
from kebench.model.source import ResolvedModel, model_hash
from kebench.model.statements import Family, Statement
from kebench.probe.choices import (
    CHOICES_SCHEMA,
    TOO_LONG,
    UNKNOWN,
    answers,
    asked_questions,
    choose_shots,
    figures_of,
    permutation_of,
    prompt,
)
from kebench.probe.language_model import Asked as HowAsked
from kebench.probe.language_model import check_model, how_asked, load_model
from kebench.probe.plan import Precision, ProbePlan
from kebench.probe.question_files import LETTERS, Question
from kebench.probe.questions import Asked, QuestionSet
from kebench.probe.record import (
    CHOICES,
    EARNED,
    ChoiceBy,
    ChoiceCounts,
    ChoiceRecord,
    ChoiceSettings,
    ProbeSubset,
)
from kebench.runtime import Begun

SHOTS: dict[Family, int] = {"causal": 5, "masked": 0, "encoder-decoder": 5}  # Hendrycks et al. (2021) show 5
# Options are texts to every model; a letter behind a list of options is asked of those that read on.
BY: dict[Family, tuple[ChoiceBy, ...]] = {
    "causal": ("letter", "text"),
    "masked": ("text",),
    "encoder-decoder": ("text",),
}
_QUESTIONS = {"cpu": 16, "cuda": 256}  # of a part; ours: about a minute of work
BATCH_TOKENS = {"cpu": 1024, "cuda": 16384}  # in one forward pass; ours


def plan_choice(
    model: ResolvedModel,
    question_set: QuestionSet,
    *,
    start: str = "",
    pll: Pll | None = None,
    shots: int | None = None,
    by: tuple[ChoiceBy, ...] | None = None,
    permuted: bool = False,
    seed: int = 0,
    precision: Precision,
    subset: ProbeSubset,
    trusted: bool = False,
) -> ProbePlan:
    """Plan a probe by multiple choice. What is None is as `SHOTS` and `BY` say, and `language_model.PLL`.

    start: what stands before a text of a causal model, else what its card or its tokenizer says.
    Raises UserError for a model of no known family, or an option that is not for it.
    """
    card, folder = model.card, model.folder
    how = how_asked(model, start=start, pll=pll, trusted=trusted)
    chosen = BY[how.family] if by is None else by
    if "letter" in chosen and how.family != "causal":
        raise UserError(
            f"--by letter is for causal models, and {card.name} is {how.family}; leave it out, or ask by text"
        )
    if permuted and "letter" not in chosen:
        raise UserError(f"--permute is of letters, and {card.name} is asked by text; leave it out")
    settings = ChoiceSettings(
        **how._asdict(),
        split=question_set.split,
        shots=SHOTS[how.family] if shots is None else shots,
        seed=seed,
        by=chosen,
        permuted=permuted,
    )
    hashed = model_hash(folder, casing=card.casing)
    set_hash = question_set.manifest.content_hash
    return ProbePlan(card, folder, hashed, question_set, set_hash, settings, precision, subset)


def check_choice(plan: ProbePlan, *, allow_remote_code: bool) -> list[str]:
    """Return what is out of the common in a model; UserError if it cannot be asked, or for too few shots."""
    card, settings, question_set = plan.card, plan.settings, plan.query_set
    assert isinstance(settings, ChoiceSettings)
    assert isinstance(question_set, QuestionSet)
    choose_shots(question_set, asked_questions(question_set, plan.subset), settings)
    trusted = card.trust_remote_code and allow_remote_code
    return check_model(card, plan.folder, settings.family, trusted=trusted)


class Part(NamedTuple):
    """Questions of one subset, and what stands before each of them."""

    questions: tuple[Asked, ...]
    shots: tuple[Question, ...]


class _Prompt(NamedTuple):
    """A question asked in one way. shots: so many; left_out: why it is not asked after all, or ""."""

    asked: Asked
    by: ChoiceBy
    permutation: int
    shots: int
    left_out: str


class Choice:
    """A probe by multiple choice; the methods are those of `kebench.probe.run.Prober`."""

    may_halve = True
    unit = "questions"

    def __init__(self, plan: ProbePlan, *, device: str, trusted: bool) -> None:
        assert isinstance(plan.settings, ChoiceSettings)
        assert isinstance(plan.query_set, QuestionSet)
        self.plan, self.settings, self.device, self.trusted = plan, plan.settings, device, trusted
        kind = device.partition(":")[0]
        self.batch_tokens = BATCH_TOKENS[kind]
        self.question_set = plan.query_set
        self.questions = asked_questions(plan.query_set, plan.subset)
        shots = choose_shots(plan.query_set, self.questions, plan.settings)
        size = _QUESTIONS[kind]
        self.kind_of_parts = f"{size}-questions"
        parts = []
        for subset, before in shots.items():
            some = [one for one in self.questions if one.question.subset == subset]
            parts += [Part(tuple(some[at : at + size]), before) for at in range(0, len(some), size)]
        self.parts: Sequence[Part] = parts

    def load(self) -> None:
        """Load the model."""
        plan, settings = self.plan, self.settings
        self.model = load_model(
            plan.card,
            plan.folder,
            HowAsked(settings.family, settings.start, settings.pll),
            device=self.device,
            precision=plan.precision,
            trusted=self.trusted,
        )

    def num_units(self, part: Part) -> int:
        """How many questions a part asks."""
        return len(part.questions)

    def ask(self, part: Part, batch_tokens: int) -> pyarrow.Table:
        """Return a row an option of each prompt: what the model says of it, with and without the question."""
        prompts = self._prompts(part)
        pairs: list[tuple[Statement, str]] = []
        for one in prompts:
            if not one.left_out:
                shots, question = part.shots[: one.shots], one.asked.question
                for with_question in (True, False):
                    statement = prompt(
                        question, shots, one.by, permutation=one.permutation, with_question=with_question
                    )
                    pairs += [(statement, name) for name in answers(question, one.by, one.permutation)]
        found = iter(self._score(pairs, batch_tokens))
        sharing = self.model.sharing if pairs else ""
        rows: list[dict[str, Any]] = []
        for one in prompts:
            names = answers(one.asked.question, one.by, one.permutation)
            order = permutation_of(one.permutation, len(names))
            own, without = ([None if one.left_out else next(found) for _ in names] for _ in range(2))
            for place, (scored, unasked) in enumerate(zip(own, without, strict=True)):
                rows.append(
                    {
                        "question_id": one.asked.question_id,
                        "by": one.by,
                        "permutation": one.permutation,
                        "place": place,
                        "option": order[place],
                        "shots": one.shots,
                        "left_out": one.left_out,
                        "tokens": scored.tokens if scored else None,
                        "chars": len(one.asked.question.options[order[place]]),
                        "sum": scored.log_prob if scored else None,
                        "without_question_sum": unasked.log_prob if unasked else None,
                        "straddles": scored.straddles if scored else None,
                        "sharing": sharing,
                    }
                )
        return pyarrow.Table.from_pylist(rows, schema=CHOICES_SCHEMA)

    def _prompts(self, part: Part) -> list[_Prompt]:
        """Return how each question is asked, with as many examples as fit."""
        made = []
        for one in part.questions:
            question = one.question
            for by in self.settings.by:
                turned = range(len(question.options)) if by == "letter" and self.settings.permuted else (0,)
                left_out, number = "", len(part.shots)
                if by == "text" and self._lacks_characters(question.options):
                    left_out = UNKNOWN
                while not left_out:
                    texts = []
                    for permutation in turned:
                        before = prompt(question, part.shots[:number], by, permutation=permutation).before
                        texts += [f"{before} {name}" for name in answers(question, by, permutation)]
                    if self._fits(texts):
                        break
                    number -= 1
                    left_out = TOO_LONG if number < 0 else ""
                made += [_Prompt(one, by, permutation, max(number, 0), left_out) for permutation in turned]
        return made

    def _lacks_characters(self, options: Sequence[str]) -> bool:
        """Whether the vocabulary lacks what an option holds, or makes nothing of it."""
        ids = self.model.tokenizer(list(options), add_special_tokens=False, verbose=False)["input_ids"]
        return any(not tokens or self.model.tokenizer.unk_token_id in tokens for tokens in ids)

    def _fits(self, texts: Sequence[str]) -> bool:
        """Whether texts are within the model's limit of tokens."""
        model, start = self.model, 0
        if isinstance(model, CausalLM):
            limit, start = model.limit, len(model.start)
        else:
            limit = model.max_tokens
        encoded = model.tokenizer(
            list(texts),
            add_special_tokens=not isinstance(model, CausalLM),
            split_special_tokens=True,
            verbose=False,
        )
        return limit is None or start + max(map(len, encoded["input_ids"])) <= limit

    def _score(self, pairs: Sequence[tuple[Statement, str]], batch_tokens: int) -> list["_Scored"]:
        """Score all; what texts of a causal model begin with is read once, whatever question they are of."""
        if not pairs:
            return []
        if isinstance(self.model, CausalLM):
            found = self.model.score_pairs(pairs, batch_tokens=batch_tokens)
            return _scored(found.tokens_SN, found.name_SN, found.straddles_SN)
        scored: dict[tuple[Statement, str], _Scored] = {}
        for statement in dict.fromkeys(statement for statement, _ in pairs):
            names = list(dict.fromkeys(name for of, name in pairs if of == statement))
            of = self.model.score_names([statement], names, batch_tokens=batch_tokens)
            values = _scored(of.tokens_SN[0], of.name_SN[0], of.straddles_SN[0])
            scored |= {(statement, name): one for name, one in zip(names, values, strict=True)}
        return [scored[pair] for pair in pairs]

    def finish(self, tables: Sequence[pyarrow.Table], folder: Path, begun: Begun) -> ChoiceRecord:
        """Compute all figures, and write what was said and what each question earns."""
        plan = self.plan
        choices = pyarrow.concat_tables([CHOICES_SCHEMA.empty_table(), *tables]).unify_dictionaries()
        counts = counts_of(choices, shots=self.settings.shots)
        if not counts.asked:
            raise UserError(
                f"{plan.card.name}: none of {counts.questions:,} questions fits into its limit of tokens, or "
                "all hold what its vocabulary lacks; ask another model"
            )
        majority = self.question_set.majority
        figures, earned = figures_of(choices, self.questions, majority)
        pyarrow.parquet.write_table(choices, folder / CHOICES, compression="zstd")
        pyarrow.parquet.write_table(earned, folder / EARNED, compression="zstd")
        return ChoiceRecord(
            schema=2,
            **plan.stated(begun),
            settings=self.settings,
            majority=tuple(LETTERS[place] for place in majority),
            sharing="; ".join(sorted(filter(None, choices["sharing"].unique().to_pylist()))),
            counts=counts,
            figures=figures,
        )


class _Scored(NamedTuple):
    """What a model says of an answer behind a prompt."""

    tokens: int
    log_prob: float
    straddles: bool


def _scored(*columns: NDArray[Any]) -> list[_Scored]:
    return [_Scored(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def counts_of(choices: pyarrow.Table, *, shots: int) -> ChoiceCounts:
    """Count what became of the questions. shots: that each was to have."""
    column = {name: choices[name].to_numpy(zero_copy_only=False) for name in choices.column_names}
    question_N, left_out_N, shots_N = column["question_id"], column["left_out"], column["shots"]
    is_asked_N = left_out_N == ""

    def count(is_in_N: Any) -> int:
        return len(numpy.unique(question_N[is_in_N]))

    return ChoiceCounts(
        questions=count(slice(None)),
        asked=count(is_asked_N),
        too_long=count(left_out_N == TOO_LONG),
        unknown=count(left_out_N == UNKNOWN),
        fewer_shots=count(is_asked_N & (shots_N < shots)),
        prompts=2 * int((is_asked_N & (column["place"] == 0)).sum()),
        straddling=int(column["straddles"][is_asked_N].sum()),
    )
