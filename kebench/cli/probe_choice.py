"""`kebench probe choice`: ask language models multiple choice questions."""

import textwrap
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import click

from kebench.cli.cluster import runs_on_cluster
from kebench.cli.options import option, takes
from kebench.cli.probe_run import AskOptions, ask, opened, pll_option, start_token_option
from kebench.cli.tables import print_sheets
from kebench.model.source import ResolvedModel
from kebench.probe.plan import Precision, ProbePlan
from kebench.probe.questions import QuestionSet
from kebench.probe.record import ChoiceBy, ChoiceRecord, ProbeSubset
from kebench.report.probe_choice import choice_boards, choice_groups_sheet, choice_sheet

_BY: dict[str, tuple[ChoiceBy, ...]] = {"letter": ("letter",), "text": ("text",), "both": ("letter", "text")}


@dataclass(frozen=True, kw_only=True)
class ChoiceOptions(AskOptions):
    """The options of `kebench probe choice`."""

    split: Literal["train", "dev", "val", "test"] = option(default="test", help="Whose questions are asked.")
    shots: int | None = option(
        type=click.IntRange(0, 32),
        help="Examples of another split before a question; default: 5, of a masked model 0.",
    )
    by: Literal["letter", "text", "both"] | None = option(
        help="What is scored: the letters of options in the prompt, or their texts as answers; default: "
        "both, of models that are not causal their texts."
    )
    permute: bool = option(help="Ask for letters in every cyclic order of the options, and average.")
    pll: Literal["original", "within-word", "answer-l2r", "independent"] | None = pll_option()
    start: str = start_token_option()


@click.command("choice")
@takes(ChoiceOptions, within=runs_on_cluster(several=True))
def probe_choice(options: ChoiceOptions) -> None:
    """Ask language models multiple choice questions, with and without the question.

    SET is made of files of MMLU or MedQA by 'kebench probe import'. What is recorded is not made again, and a
    probe that was stopped goes on, as with 'kebench probe run'.
    """
    from kebench.probe.choice import check_choice, plan_choice

    question_set = opened(options, partial(QuestionSet.open, split=options.split))
    allowed = options.allow_remote_code

    def plan_one(model: ResolvedModel, *, precision: Precision, subset: ProbeSubset) -> ProbePlan:
        return plan_choice(
            model,
            question_set,
            start=options.start,
            pll=options.pll,
            shots=options.shots,
            by=_BY[options.by] if options.by else None,
            permuted=options.permute,
            seed=options.seed,
            precision=precision,
            subset=subset,
            trusted=allowed and model.card.trust_remote_code,
        )

    ask(
        options,
        question_set,
        plan_one,
        check=partial(check_choice, allow_remote_code=allowed),
        show=_print_choice,
    )


def _print_choice(record: ChoiceRecord, folder: Path) -> None:
    """Print the figures of one probe, what became of its questions, and where it is."""
    (board,) = choice_boards([record])
    sheets = [choice_sheet(board)]
    if any(len(row.figures.by_subset) > 1 for row in board.rows):
        sheets += [choice_groups_sheet(row, "subset", "by subset") for row in board.rows[:1]]
    print_sheets(sheets, "terminal")
    counts = record.counts
    said = (
        f"{counts.asked:,} of {counts.questions:,} questions asked in {counts.prompts:,} prompts; without a "
        f"score: {counts.too_long:,} too long for the model, {counts.unknown:,} with characters that its "
        f"vocabulary lacks. {counts.fewer_shots:,} were asked with fewer examples, as all did not fit; "
        f"{counts.straddling:,} answers share a token with what stands before them."
    )
    click.echo(textwrap.fill(said, 80))
    click.echo(f"choices and record: {folder}")
