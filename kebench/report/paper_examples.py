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
        gold = several[0].gold  # the first accepted concepts are named
        named = [cui if name == cui else f"{cui}: {name}" for name, cui in gold[:_SHOWN_CONCEPTS]]
        more = [f"{len(gold) - len(named)} more"] if len(gold) > len(named) else []
        lines = (
            (several[0].text, [one.one_mask for one in several]),
            ("; ".join([*named, *more]) or "(nothing is accepted)", [one.more_masks for one in several]),
        )
        for heading, answers in lines:
            right |= {(len(rows), place) for place, one in enumerate(answers, 1) if one and one.is_right}
            rows.append((heading, *(answer and (answer.string or "(nothing)") for answer in answers)))
        # the best right answer stands in the second line where neither line shows one
        second = list(rows[-1])
        for place, one in enumerate(several, start=1):
            if one.right and not any(shown and shown.is_right for shown in (one.one_mask, one.more_masks)):
                second[place] = f"{second[place] or DASH}; at {one.rank}: {one.right.string}"
        rows[-1] = tuple(second)
    breaks = frozenset(range(2, len(rows), 2))
    return Grid(("query and answer", *examples), rows, frozenset(right), breaks=breaks, layout="prose")
