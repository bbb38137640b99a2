"""Examples of probes, as programs, tables and terminals show them."""

from typing import Any, NamedTuple

from kebench.probe.examples import Answer, ChoiceExample, Example, RankedExample
from kebench.probe.question_files import LETTERS


class Shown(NamedTuple):
    """An example. row: for programs; cells: of a table for people; text, lines: in a terminal.

    is_hit: None where nothing can be told.
    """

    is_hit: bool | None
    row: dict[str, Any]
    cells: tuple[str | None, ...]
    text: str
    lines: dict[str, str]


def shown_filled(one: Example, mode: str) -> Shown:
    """Return a query whose blank was filled. mode: by whose rule it is a hit."""
    gold = _names(one.gold)
    row: dict[str, Any] = {
        "query": one.query_id,
        "relation": one.relation,
        "text": one.text,
        "accepted": gold,
        "one_mask": one.one_mask and one.one_mask.string,
        "one_mask_log_prob": one.one_mask and one.one_mask.mean_log_prob,
        "more_masks": one.more_masks and one.more_masks.string,
        "more_masks_mean_log_prob": one.more_masks and one.more_masks.mean_log_prob,
        "right": one.right and one.right.string,
        "rank": one.rank or None,
        "answers": one.num_answers,
        "is_hit": one.is_hit(mode),
        "is_released_hit": one.is_released_hit,
    }
    # which right answer ranks best, and where the two rules disagree
    fixed = one.right is not None
    by_released = f"; by the released rule a {'miss' if fixed else 'hit'}"
    differ = "" if fixed == one.is_released_hit else by_released
    said = f"none of {one.num_answers} answers is accepted{differ}"
    if one.right is not None:
        said = f"{one.right.string}, {one.rank} of {one.num_answers} answers{differ}"
    lines = {
        "relation": f"{one.relation}, query {one.query_id}",
        "accepted": gold or "nothing",
        "one mask": _answer_text(one.one_mask),
        "more masks": _answer_text(one.more_masks),
        _verdict(one.is_hit(mode)): said,
    }
    cells = tuple(row[name] for name in ("text", "accepted", "one_mask", "more_masks", "right"))
    return Shown(one.is_hit(mode), row, cells, one.text, lines)


def shown_ranked(one: RankedExample) -> Shown:
    """Return a query whose candidates were ranked."""
    gold, right = _names(one.gold), one.right
    rank = one.above + 1 if right else None
    row: dict[str, Any] = {
        "query": one.query_id,
        "relation": one.relation,
        "text": one.text,
        "accepted": gold,
        "right": right and right.name,
        "right_score": right and right.score,
        "rank": rank,
        "tied": one.level if right else None,
        "candidates": one.num_candidates if right else None,
        "is_hit": one.is_hit,
        "no_score": one.lacks,
    }
    lines = {"relation": f"{one.relation}, query {one.query_id}", "accepted": gold}
    for number, best in enumerate(one.best, start=1):
        row |= {f"best_{number}": best.name, f"best_{number}_score": best.score}
        lines[str(number)] = f"{best.name} ({best.score:.2f}{', true' if best.is_true else ''})"
    said = one.lacks
    if right:
        place = f"{rank} to {rank + one.level}" if rank and one.level else str(rank)
        said = f"{right.name}, {place} of {one.num_candidates} candidates"
    lines[_verdict(one.is_hit)] = said
    cells = one.text, gold, "; ".join(best.name for best in one.best), said
    return Shown(one.is_hit, row, cells, one.text, lines)


def shown_choice(one: ChoiceExample) -> Shown:
    """Return a question with its options."""
    question = one.asked.question
    answer, chosen = LETTERS[question.answer], ", ".join(LETTERS[place] for place in one.chosen)
    row: dict[str, Any] = {
        "question": one.asked.question_id,
        "subset": question.subset,
        "text": question.text,
        "answer": answer,
        "chosen": chosen or None,
        "is_hit": one.is_hit,
        "no_score": one.left_out,
    }
    lines = {"subset": f"{question.subset}, question {one.asked.question_id}"}
    for place, text in enumerate(question.options):
        score = one.scores[place] if one.scores else None
        row |= {LETTERS[place]: text, f"{LETTERS[place]}_score": score}
        lines[LETTERS[place]] = text if score is None else f"{text} ({score:.2f})"
    lines |= {"answer": answer, _verdict(one.is_hit): one.left_out or f"{chosen} chosen"}
    options = "; ".join(f"{letter}: {text}" for letter, text in zip(LETTERS, question.options, strict=False))
    return Shown(one.is_hit, row, (question.text, options, answer, chosen), question.text, lines)


def _names(gold: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(name if name == cui else f"{name} ({cui})" for name, cui in gold)


def _verdict(is_hit: bool | None) -> str:
    return "no score" if is_hit is None else "HIT" if is_hit else "miss"


def _answer_text(answer: Answer | None) -> str:
    if answer is None:
        return "-"
    masks = f"{answer.num_masks} masks, mean log p" if answer.num_masks > 1 else "log p"
    return f"{answer.string or '(nothing)'} ({masks} {answer.mean_log_prob:.2f})"
