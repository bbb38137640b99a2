"""Table 7 of the KeBioLM paper, of ours: queries, an accepted concept, and what each model answers.

As there, a query has two lines: the best answer of one word piece, and the best of more. The paper's queries
are its authors' choice, and printed as a sheet of their own; ours are taken evenly from the set.
"""

from collections.abc import Mapping, Sequence

from kebench.grid import DASH, Grid, Sheet
from kebench.probe.examples import Example
from kebench.report.published import PublishedExamples

_MODELS_A_GRID = 3  # more do not leave room for words on 80 columns
_SHOWN_CONCEPTS = 2


def examples_sheet(caption: str, examples: Mapping[str, Sequence[Example]], *, notes: Sequence[str]) -> Sheet:
    """Return a grid of queries and answers, several if models are many.

    examples: of each model, by its label; the same queries in the same order.
    """
    labels = list(examples)
    groups = [labels[at : at + _MODELS_A_GRID] for at in range(0, len(labels), _MODELS_A_GRID)]
    return Sheet(
        _title(caption),
        (
            "First line: the query, and the best answer of one word piece. Second line: accepted concepts, "
            "and the best answer of more word pieces, by mean log probability",
        ),
        tuple(_grid({label: examples[label] for label in group}) for group in groups),
        (
            "at 7: the best answer that is a name of an accepted concept, where neither line is one, and its "
            "place among all answers of the query.",
            *notes,
        ),
        best="a name of an accepted concept, by normal forms",
    )


def printed_examples_sheet(printed: PublishedExamples) -> Sheet:
    """Return the paper's own examples."""
    rows: list[tuple[str, ...]] = []
    for one in printed.examples:
        rows += [(one.query, *one.one_mask), (one.answer, *one.more_masks)]
    breaks = frozenset(range(2, len(rows), 2))
    return Sheet(
        f"{printed.table} of {printed.short}, as printed",
        (
            "First line: the query, and an answer of one mask. Second line: an accepted concept, and an "
            "answer of more masks",
        ),
        (Grid(("query and answer", *printed.models), rows, breaks=breaks, layout="prose"),),
        printed.notes,
    )


def no_examples_sheet(caption: str, *, num_queries: int, mode: str) -> Sheet:
    """Return what is said in the place of examples where hits were asked for and there are none."""
    said = (
        f"No model answers any of the {num_queries:,} queries looked at, by the {mode} rule and at any place"
    )
    return Sheet(_title(caption), (said,), ())


def _title(caption: str) -> str:
    return f"Examples as in Table 7 of Yuan et al. 2021: {caption}"


def _grid(examples: Mapping[str, Sequence[Example]]) -> Grid:
    rows: list[tuple[str | None, ...]] = []
    right: set[tuple[int, int]] = set()
    for several in zip(*examples.values(), strict=True):
        lines = (
            (several[0].text, [one.one_mask for one in several]),
            (_gold(several[0]), [one.more_masks for one in several]),
        )
        for heading, answers in lines:
            right |= {(len(rows), place) for place, one in enumerate(answers, 1) if one and one.is_right}
            rows.append((heading, *(answer and (answer.string or "(nothing)") for answer in answers)))
        rows[-1] = (rows[-1][0], *map(_with_right, rows[-1][1:], several))
    breaks = frozenset(range(2, len(rows), 2))
    return Grid(("query and answer", *examples), rows, frozenset(right), breaks=breaks, layout="prose")


def _with_right(text: str | None, example: Example) -> str | None:
    """Add the best right answer to the second line where neither line shows one."""
    right, shown = example.right, (example.one_mask, example.more_masks)
    if right is None or any(answer and answer.is_right for answer in shown):
        return text
    return f"{text or DASH}; at {example.rank}: {right.string}"


def _gold(example: Example) -> str:
    """Name the first accepted concepts, and say how many more there are."""
    if not example.gold:
        return "(nothing is accepted)"
    named = [cui if name == cui else f"{cui}: {name}" for name, cui in example.gold[:_SHOWN_CONCEPTS]]
    more = len(example.gold) - len(named)
    return "; ".join(named) + (f"; {more} more" if more else "")
