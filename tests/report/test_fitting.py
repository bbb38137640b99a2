"""Columns that fit: the first is repeated, none is lost, none stands beyond the edge."""

from hypothesis import given
from hypothesis import strategies as st

from kebench.grid import Grid, Sheet
from kebench.report.fitting import column_runs, fit_latex, latex_width_pt
from kebench.report.write_latex import sheets_as_latex


def test_columns_are_cut_where_the_next_would_not_fit() -> None:
    assert list(column_runs([10, 5, 5, 5], room=22, gap=1)) == [[1, 2], [3]]
    assert list(column_runs([10, 50, 5], room=22, gap=1)) == [[1], [2]]


@given(st.lists(st.integers(0, 40), min_size=2, max_size=12), st.integers(1, 80))
def test_every_column_is_in_one_run_and_runs_fit_if_their_columns_do(widths: list[int], room: int) -> None:
    runs = list(column_runs(widths, room=room, gap=1))
    assert [place for run in runs for place in run] == list(range(1, len(widths)))
    assert all(len(run) == 1 or widths[0] + sum(widths[one] + 1 for one in run) <= room for run in runs)


def test_wide_signs_count_more_than_narrow_ones() -> None:
    assert latex_width_pt("illi") < latex_width_pt("aaaa") < latex_width_pt("AAAA") < latex_width_pt("MMMM")


def wide(num_columns: int) -> str:
    headings = ("published", *(f"PubMedBERT{place}" for place in range(num_columns)))
    return sheets_as_latex([Sheet("wide", (), (Grid(headings, (("NCBI", *["89.1"] * num_columns),)),))])


def test_a_wide_table_gets_narrow_gaps_then_small_letters_and_then_blocks() -> None:
    # five gaps of 12 pt leave 285 of 345 pt for columns, five of 5 pt leave 320; small letters need 0.9
    whole = ((1, 2, 3, 4, 5),)
    assert fit_latex([57.0] * 5).commands == ""
    assert fit_latex([50.0] * 6) == ("footnotesize", 2.5, whole)
    assert fit_latex([58.0] * 6) == ("scriptsize", 2.5, whole)
    assert fit_latex([60.0] * 6) == ("footnotesize", 2.5, ((1, 2, 3), (4, 5)))


def test_a_grid_is_set_as_it_fits() -> None:
    assert "tabcolsep" not in wide(3)
    assert r"{\scriptsize\setlength{\tabcolsep}{2.5pt}" in wide(5)
    assert wide(5).count("{tabular}") == 2
    assert wide(8).count("{tabular}") == 4
    assert wide(8).count("published &") == 2


def test_blocks_are_even_where_that_fits() -> None:
    assert fit_latex([40.0, *[70.0] * 6]).runs == ((1, 2, 3), (4, 5, 6))
    assert fit_latex([40.0, 250.0, *[70.0] * 3]).runs == ((1,), (2, 3, 4))
