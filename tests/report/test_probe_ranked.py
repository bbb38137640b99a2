"""Tables of ranked probes and of comparisons: they fit, say what they are, and never claim no difference."""

import csv
import io
import json
from typing import Any

import numpy as np
import pytest

from kebench.grid import number_text
from kebench.probe.record import RankRecord
from kebench.report.probe_cells import Over, best_over
from kebench.report.probe_paired import paired_fields, paired_sheet, power_words, verdict
from kebench.report.probe_ranked import (
    GROUP_FIELDS,
    RANKED_FIELDS,
    RankedBoard,
    RankedRow,
    ranked_group_rows,
    ranked_groups_sheet,
    ranked_rows,
    ranked_sheet,
)
from kebench.report.probes import asked_names
from kebench.report.write_csv import rows_as_csv
from kebench.report.write_json import as_json
from kebench.report.write_latex import sheets_as_latex
from kebench.report.write_markdown import sheets_as_markdown
from kebench.report.write_terminal import sheets_for_terminal
from kebench.scoring.first_answers import first_answers
from kebench.scoring.ranked import rank_queries
from kebench.scoring.ranked_figures import RankedFigures, RankedRelation, ranked_figures
from kebench.stats.paired import PairedComparison, compare_probes
from tests.probe.small_probes import RANKING

NUM_QUERIES, NUM_CANDIDATES = 24, 30


def figures(skill: float, *, lacks: str = "") -> RankedFigures:
    rng = np.random.default_rng(3)
    relations = []
    for name in ("may_treat/tail", "gene_associated_with_disease/head", "isa/tail"):
        is_true = np.arange(NUM_CANDIDATES) == rng.integers(NUM_CANDIDATES, size=(NUM_QUERIES, 1))
        score = rng.normal(size=is_true.shape) + skill * is_true
        is_lacking = bool(lacks) and name == "isa/tail"
        if is_lacking:
            score[:] = np.nan
        of_queries = rank_queries(score, is_true, range(NUM_QUERIES), neutral_C=np.zeros(NUM_CANDIDATES))
        frequency: list[float | None] = [*map(float, range(NUM_QUERIES))]
        relations.append(
            RankedRelation(
                name,
                of_queries,
                [first_answers(score, is_true)],
                quantities={"frequency": frequency},
                lacks=lacks if is_lacking else "",
            )
        )
    return ranked_figures(relations, np.random.default_rng(0))


LACKS = "the mean of a column needs 20 subjects, the relation has 12"
ROWS = [
    RankedRow("bert-tiny", "bert-tiny", "masked", "column", figures(0.2)),
    RankedRow("smollm2", "smollm2, 4 shots", "causal", "column", figures(2, lacks=LACKS)),
    RankedRow("t5-efficient-tiny", "t5-efficient-tiny", "encoder-decoder", "sum", figures(1)),
]
SHEET = ranked_sheet(RankedBoard("clinical [0123abcd], 72 queries; 4 shots, fp32", ROWS))


def plain(*sheets: Any, width: int = 80) -> str:
    return sheets_for_terminal(sheets, width=width, is_styled=False)


def test_models_of_all_families_stand_in_one_table_the_most_above_others_first() -> None:
    table = SHEET.grids[0]
    assert [row[0].text() for row in table.cells] == [
        "t5-efficient-tiny, sum",
        "bert-tiny, column",
        "smollm2, 4 shots, column",  # over fewer facts than the others: it competes with none
    ]
    assert ROWS[1].figures.acc_1.own.percent > ROWS[2].figures.acc_1.own.percent
    assert table.best == {(0, 3)}
    one = ROWS[2].figures.acc_1
    over = one.over_other_subjects
    shown = [one.own.percent, one.other_subjects.percent, over.percent]
    assert [cell.value for cell in table.cells[0][1:4]] == shown
    assert over.percent == pytest.approx(shown[0] - shown[1])
    assert table.cells[0][4].interval == (over.facts_low_percent, over.facts_high_percent)
    assert table.cells[0][5].interval == (over.relations_low_percent, over.relations_high_percent)
    assert [[cell.text() for cell in row[-2:]] for row in SHEET.grids[1].cells] == [
        ["72", "3"],
        ["72", "3"],
        ["48", "2"],
    ]


def test_rows_that_a_baseline_is_above_are_named() -> None:
    none = figures(0)
    below = none.acc_1.model_copy(update={"shared_words": none.acc_1.own})
    rows = [ROWS[1], RankedRow("m", "m", "causal", "sum", none.model_copy(update={"acc_1": below}))]
    notes = ranked_sheet(RankedBoard("t", rows)).notes
    assert "Not above words, by acc@1: m, sum." in notes
    assert not any("smollm2" in note for note in notes if note.startswith("Not above"))


def test_what_is_not_above_other_subjects_is_not_the_best_and_no_zero_is_negative() -> None:
    def best(*rows: tuple[float | None, float | None, int]) -> set[int]:
        return best_over([Over(str(place), *row) for place, row in enumerate(rows)])

    assert best((-0.04, -1, 9), (-2.0, -3, 9)) == set()
    assert best((0.4, -0.1, 9), (None, None, 9)) == set()  # the interval holds 0
    assert best((0.4, None, 9), (0.2, None, 9)) == set()  # or is not known
    assert best((1.04, 0.1, 9), (0.96, 0.2, 9), (5.0, 1, 8), (0.5, 0.1, 9)) == {0, 1}
    assert best_over([Over("m", 1.0, 0.5, 9), Over("m", 2.0, 0.5, 9)]) == set()  # scores of one model
    assert number_text(-0.04, "+.1f") == "+0.0"


def test_probes_that_differ_in_a_seed_or_a_start_alone_are_told_apart() -> None:
    def probe(**settings: Any) -> RankRecord:
        asked = RANKING.model_copy(update={"shots": 4, "draws": 3, **settings})
        return RankRecord.model_construct(
            model="m", model_hash="0" * 64, identity=str(settings), settings=asked
        )

    same, seed, start, fewer = (probe(), probe(seed=7), probe(seed=7, start="<s>"), probe(shots=0, draws=1))
    assert list(asked_names([same, seed, start, fewer]).values()) == [
        "m, 4 shots x 3, seed 0",
        "m, 4 shots x 3, seed 7, texts begin with nothing",
        "m, 4 shots x 3, seed 7, texts begin with <s>",
        "m",
    ]
    assert list(asked_names([seed, fewer]).values()) == ["m, 4 shots x 3", "m"]


def test_no_line_of_a_table_is_longer_than_80_columns() -> None:
    sheets = [
        SHEET,
        *(ranked_groups_sheet(ROWS[1], by, "clinical") for by in ("relation", "frequency")),
    ]
    sheets.append(paired_sheet(different(), a="smollm2, 4 shots", b="t5-efficient-tiny", figure="acc@1"))
    assert max(map(len, plain(*sheets).splitlines())) <= 80


def test_a_relation_that_is_in_no_average_is_named_with_the_reason() -> None:
    assert SHEET.notes[-1] == f"Not in the averages of smollm2, 4 shots, column: isa/tail ({LACKS})."


def test_headings_over_groups_of_columns_are_whole() -> None:
    long = RankedRow("bert-mini-random", "bert-mini-random, answer-l2r", "masked", "first", ROWS[0].figures)
    lines = plain(ranked_sheet(RankedBoard("t", [long]))).splitlines()
    (over,) = [line for line in lines if "calib" in line and "answer" in line]
    assert over.split() == ["calibration", "same", "first", "answer"]


def test_breakdowns_have_a_row_a_group() -> None:
    sheet = ranked_groups_sheet(ROWS[0], "frequency", "clinical")
    assert sheet.title == "bert-tiny, column: clinical"
    assert [row[0].text() for row in sheet.grids[0].cells] == ["0 to 5", "6 to 11", "12 to 17", "18 to 23"]
    assert [row[1].value for row in sheet.grids[0].cells] == [18] * 4


def test_programs_get_every_figure_unrounded() -> None:
    found = list(ranked_rows(ROWS))
    assert len(found) == 3 * (4 * 7 + 4)
    assert all(tuple(row) == RANKED_FIELDS for row in found)
    (own,) = (
        row for row in found if (row["model"], row["metric"], row["source"]) == ("bert-tiny", "auc", "own")
    )
    assert own["percent"] == ROWS[0].figures.auc.own.percent
    groups = list(ranked_group_rows(ROWS, "relation"))
    assert all(tuple(row) == GROUP_FIELDS for row in groups)
    assert len(groups) == (3 + 2 + 3) * 4
    lines = list(csv.DictReader(io.StringIO(rows_as_csv(GROUP_FIELDS, groups))))
    assert lines[0]["group"] == "may_treat/tail"
    json.loads(as_json(found))


def test_every_format_takes_the_tables() -> None:
    sheets = [SHEET, paired_sheet(different(), a="a_1", b="b", figure="hits@5", stated_points=3)]
    assert "hits@5" in sheets_as_markdown(sheets)
    assert "\\begin{tabular}" in sheets_as_latex(sheets)


def compare(a: Any, b: Any, relations: int = 2) -> PairedComparison:
    names = [f"r{number}" for number in np.repeat(np.arange(relations), len(a) // relations).tolist()]
    return compare_probes(np.array(a, float), np.array(b, float), names, range(len(a)), seed=0)


def different() -> PairedComparison:
    """A wins 10 of 20 queries of r0 and 1 of 20 of r1; the others are alike."""
    a = [1] * 10 + [0] * 10 + [1] + [0] * 19
    return compare(a, [0] * 40)


def test_the_verdict_says_who_is_better_by_how_much_and_where() -> None:
    said = verdict(different(), a="smollm2", b="bert-tiny", figure="acc@1")
    # 11 of 40 queries, p = 2 / 2^11; r0 2 / 2^10, r1 1
    assert said.startswith("smollm2 is better than bert-tiny: +27.5 points of acc@1 [")
    assert "], p < .001; better on 1 of 2 relations after Holm" in said


def test_the_better_one_is_named_first_whichever_it_is() -> None:
    comparison = different()
    turned = compare([0] * 40, [1] * 10 + [0] * 10 + [1] + [0] * 19)
    assert verdict(turned, a="B", b="A", figure="MRR") == verdict(comparison, a="A", b="B", figure="MRR")


def test_where_no_difference_was_seen_it_is_said_what_would_have_been() -> None:
    comparison = compare([0, 1] * 100, [0, 1] * 98 + [1, 0] * 2)
    assert comparison.power is not None
    smallest = comparison.power.smallest()
    assert smallest is not None
    said = verdict(comparison, a="A", b="B", figure="acc@1")
    assert said == (
        "No difference was seen between A and B: +0.0 points of acc@1 "
        f"{said[said.index('['):said.index(']') + 1]}, p = 1.000; this set would have seen one of "
        f"{100 * smallest:.1f} points in 80 of 100 such comparisons"
    )  # fmt: skip
    assert "no difference between" not in said.lower()


def test_where_the_power_is_unknown_that_is_said() -> None:
    comparison = compare([1, 0], [0, 0], relations=2)
    assert verdict(comparison, a="A", b="B", figure="acc@1").endswith(
        "what this set could have seen is not known (each relation has a single subject)"
    )
    assert power_words(comparison, 3) == (
        "How often 3.0 points would be seen is not known (each relation has a single subject)."
    )


def test_a_win_on_a_single_relation_is_said_beside_a_difference_that_was_not_seen() -> None:
    # r0: A wins 10 of 20, r1: B wins 10 of 20
    a, b = [1] * 10 + [0] * 30, [0] * 20 + [1] * 10 + [0] * 10
    said = verdict(compare(a, b), a="A", b="B", figure="acc@1")
    assert said.endswith("; A is better on 1 and worse on 1 of 2 relations after Holm")


def test_other_relations_might_not_show_what_these_do() -> None:
    # one relation of three carries it all: drawn again without it nothing is left
    comparison = compare([1] * 12 + [0] * 48, [0] * 60, relations=3)
    assert "; other relations might not show it [0.0, " in verdict(comparison, a="A", b="B", figure="acc@1")


def test_the_power_for_a_stated_difference_is_said() -> None:
    comparison = different()
    assert comparison.power is not None
    assert power_words(comparison, 20) == (
        f"A true difference of 20.0 points would be seen in {100 * comparison.power.of(0.2):.0f} of 100 such "
        "comparisons."
    )


def test_a_comparison_has_fields_for_programs() -> None:
    comparison = different()
    fields = json.loads(as_json(paired_fields(comparison, a="A", b="B", figure="acc@1")))
    assert fields["difference_percent"]["mean"] == pytest.approx(27.5)
    assert fields["test"]["p"] == pytest.approx(2 / 2**11)
    assert (fields["queries"], fields["relations"], fields["left_out"]) == (40, 2, 0)
    assert [one["p_corrected"] for one in fields["by_relation"]] == pytest.approx([4 / 2**10, 1])


def test_what_was_left_out_is_counted_under_the_table() -> None:
    comparison = compare([1, 0, 1, float("nan")], [0, 0, 1, 1])
    notes = paired_sheet(comparison, a="A", b="B", figure="acc@1").notes
    assert notes[-1] == "Queries left out, since one of the two has no figure: 1."
