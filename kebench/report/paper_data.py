"""Tables 1, 5, 6 and 7 of the KeBioLM paper beside ours: sizes of data and cloze set, probes, their answers.

In Table 7 a query has two lines: the best answer of one word piece, and the best of more. The paper's queries
are its authors' choice, and printed as a sheet of their own; ours are taken evenly from the set.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from kebench.grid import DASH, Cell, Grid, GridRows, Plain, Sheet, count_cell, share_cell
from kebench.kinds.card import TaskCard
from kebench.probe.examples import Example
from kebench.probe.query_set import QuerySet
from kebench.probe.recipe import read_probe_recipe
from kebench.probe.record import Figure, ProbeRecord
from kebench.report.probes import BUCKETS, caption, row_labels
from kebench.report.published import (
    PublishedExamples,
    PublishedRow,
    PublishedSizes,
    PublishedTable,
    paper_headings,
)
from kebench.report.strata import Overlap
from kebench.tasks.check import check_task

_SPLITS = ("train", "dev", "test")
_SIZES = {
    "queries": "#Queries",
    "relations": "#Relations",
    "mean_cuis": "#Avg. CUIs",
    "type_1_released": "type 1, released rule",
    "type_2_released": "type 2, released rule",
}
_PRINTED = {"type_1": "type-1", "type_2": "type-2", "overall": "overall"}
_MODELS_A_GRID = 3  # more do not leave room for words on 80 columns
_SHOWN_CONCEPTS = 2


def data_sheet(
    cards: Sequence[TaskCard], data: Path, sizes: PublishedSizes, *, known: Sequence[Overlap] = ()
) -> Sheet:
    """Return Table 1: units of each split as counted in the data, beside those the paper prints.

    Mentions of NER tasks, instances of relation tasks. What is not there or cannot be read is a dash, and
    said in a note. sizes: what the paper prints of mentions; known: what a knowledge base of ours, and a
    corpus, know of them.
    """
    by_name = {card.name: card for card in cards}
    rows, notes = GridRows(), list[str]()
    for name, heading in paper_headings().items():
        if not (card := by_name.get(name)):
            continue
        found = {finding.split: finding for finding in check_task(card, data)}
        cells: list[int | None] = []
        for split in _SPLITS:
            finding, expected = found.get(split), card.expected[split]
            printed = expected.units if expected.published is None else expected.published
            ours = finding.found.units if finding and finding.found else None
            cells += [ours, printed]
            if ours is not None and ours != printed:
                notes.append(f"{heading} {split}: {expected.reason or 'another number than printed'}.")
        notes += [f"{heading}: {one.message}" for one in found.values() if one.level == "error"]
        rows.append((heading, *cells))
    if not known:
        notes.append("What a knowledge base and a corpus of ours know: --kb KB, --corpus CORPUS.")
    titles = ("", *(f"{split}{which}" for split in _SPLITS for which in ("", ", paper")))
    return Sheet(
        "Table 1 of Yuan et al. 2021, and ours: the data sets",
        ("Mentions (NER) or instances (relations) of each split",),
        (Grid(titles, rows), _known_grid(sizes, known)),
        (*notes, *sizes.notes),
    )


def _known_grid(sizes: PublishedSizes, known: Sequence[Overlap]) -> Grid:
    """Return the right half: mentions of all splits, those that are known, and what part of all they are."""
    ours = {one.task: one for one in known}
    nothing = Overlap(task="", mentions=None, in_kb=None, in_corpus=None)
    headings = ["known mentions", *(["all"] if known else []), "all, paper"]
    for what, of_paper in (("KB", "UMLS"), ("corpus", "KeBioLM")):
        headings += [f"in {what}", f"% in {what}"] if known else []
        headings += [f"in {of_paper}, paper", f"% in {of_paper}, paper"]
    rows = []
    for printed in sizes.rows:
        mine = ours.get(printed.task, nothing)
        cells: list[Plain] = [*([mine.mentions] if known else []), printed.mentions]
        for count, theirs in ((mine.in_kb, printed.in_umls), (mine.in_corpus, printed.in_kebiolm)):
            if known:
                cells += [count, share_cell(count, mine.mentions)]
            cells += [theirs, share_cell(theirs, printed.mentions)]
        rows.append((paper_headings()[printed.task], *cells))
    return Grid(tuple(headings), rows)


def set_sheet(query_set: QuerySet) -> Sheet:
    """Return Table 5: a cloze set's size beside the paper's."""
    printed = read_probe_recipe("umls-2020aa").published
    counts = query_set.manifest.counts
    rows = [
        (said, count_cell(counts.get(name)), count_cell(printed.get(name))) for name, said in _SIZES.items()
    ]
    source = query_set.manifest.knowledge_base
    of = f" of {source.release}" if source else ", imported"
    return Sheet(
        f"Table 5 of Yuan et al. 2021, and {query_set.manifest.name}{of}",
        ("The paper's set is of UMLS 2020AA; types by section 4.6.4",),
        (Grid(("", "ours", "paper"), rows),),
    )


def probe_sheets(
    records: Sequence[ProbeRecord], published: PublishedTable, *, measured_as: Mapping[str, str]
) -> list[Sheet]:
    """Return Table 6, hits by the released rule beside the printed ones; a sheet a set and way of probing.

    Printed rows that none of our models stands beside are a grid of their own, under the first sheet's.
    A difference is within noise if the printed score lies in our 95% interval over relations. On another set
    than the paper's no difference means anything, so none is shown.
    """
    stands_for = {ours: row for row, ours in measured_as.items()}
    names = row_labels(records)
    printed = {row.model: row for row in published.rows}
    sheets: list[Sheet] = []
    models = {stands_for.get(record.model, record.model) for record in records}
    alone = [row for row in published.rows if row.model not in models]
    no_row = "No model of ours is one of the table's; --as MODEL=ROW puts one beside a row."
    for heading in dict.fromkeys(caption(record) for record in records):
        group = [record for record in records if caption(record) == heading]
        is_papers = any(
            record.set.startswith("umls-2020aa") and record.subset.queries is None for record in group
        )
        rows = []
        for record in sorted(group, key=lambda one: one.model):
            row = printed.get(stands_for.get(record.model, record.model))
            for name, title in BUCKETS.items():
                hit = getattr(record.scores.released, name).hit
                score = row.scores.get(_PRINTED[name]) if row else None
                beside = _beside(hit, score, is_papers=is_papers)
                rows.append((f"{names[record.identity]}, {title}", *beside))
        sheets.append(
            Sheet(
                f"{published.source}, and ours: {heading}",
                ("Recall@5 as the paper has it, percent, with the 95% interval over relations",),
                (
                    Grid(("", "ours", "interval", "published", "difference", "within noise"), rows),
                    *([_printed_grid(alone)] if alone and not sheets else []),
                ),
                (
                    *(() if models & set(printed) else (no_row,)),
                    f"Published: {published.protocol}.",
                    *(() if is_papers else ("Another set than the paper's: scores do not compare.",)),
                    *published.notes,
                ),
            )
        )
    return sheets


def printed_probe_sheet(published: PublishedTable) -> Sheet:
    """Return Table 6 alone, where there is no probe of ours."""
    return Sheet(
        f"{published.source}, as printed; no probe of ours",
        (f"{published.unit}; {published.protocol}",),
        (_printed_grid(published.rows),),
        published.notes,
    )


def _printed_grid(rows: Sequence[PublishedRow]) -> Grid:
    return Grid(
        ("published", *BUCKETS.values()),
        [(row.label, *(Cell(row.scores.get(_PRINTED[name]), ".2f") for name in BUCKETS)) for row in rows],
    )


def _beside(ours: Figure, printed: float | None, *, is_papers: bool) -> tuple[Plain, ...]:
    interval = difference = within = None
    if ours.low_percent is not None and ours.high_percent is not None:
        interval = (ours.low_percent, ours.high_percent)
    if printed is not None and ours.macro_percent is not None and is_papers:
        difference = ours.macro_percent - printed
        if interval:
            within = "yes" if interval[0] <= printed <= interval[1] else "no"
    return (
        Cell(ours.macro_percent, ".2f"),
        Cell(form=".2f", interval=interval),
        Cell(printed, ".2f"),
        Cell(difference, "+.2f"),
        within,
    )


def examples_sheet(caption: str, examples: Mapping[str, Sequence[Example]], *, notes: Sequence[str]) -> Sheet:
    """Return grids of queries and answers. examples: of each model by label, in the same order."""
    labels = list(examples)
    groups = [labels[at : at + _MODELS_A_GRID] for at in range(0, len(labels), _MODELS_A_GRID)]
    return Sheet(
        _examples_title(caption),
        (
            "First line: the query, and the best answer of one word piece. Second line: accepted concepts, "
            "and the best answer of more word pieces, by mean log probability",
        ),
        tuple(_examples_grid({label: examples[label] for label in group}) for group in groups),
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
    return Sheet(_examples_title(caption), (said,), ())


def _examples_title(caption: str) -> str:
    return f"Examples as in Table 7 of Yuan et al. 2021: {caption}"


def _examples_grid(examples: Mapping[str, Sequence[Example]]) -> Grid:
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
