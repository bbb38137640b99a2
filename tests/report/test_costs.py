"""What runs took: sums by hand, what is missing, and where it is shown."""

import csv
import io
import json
from typing import Any

import pytest

from kebench.errors import UserError
from kebench.records import Energy, EnergyPart, Record
from kebench.report.costs import Asked, Price, cost_of, parse_columns, parse_price, with_costs
from kebench.report.published import read_published_tables
from kebench.report.table import Leaderboard, build_leaderboard
from kebench.tasks.card import all_task_cards
from tests.report.boards import render_csv, render_json, render_latex, render_markdown, render_terminal
from tests.report.sample_records import sample_record

ALL = Asked(("energy", "hours", "cost"), Price(2.0, "EUR"))


def run(
    kwh: float | None = None,
    *,
    device: str = "NVIDIA H100",
    hours: float = 1.0,
    processes: int = 1,
    guessed: bool = False,
    **changes: Any,
) -> Record:
    """Return a record that took so many hours, and so much energy if that was measured."""
    record = sample_record(**changes)
    part = None if kwh is None else EnergyPart(kwh=kwh, measured_with="NVML", is_estimate=guessed)
    took = {
        "device": device,
        "seconds": hours * 3600,
        "num_processes": processes,
        "energy_kwh": kwh,
        "energy": None if part is None else Energy(cpu=None, gpu=part, ram=None, meter="m"),
    }
    return record.model_copy(update={"provenance": record.provenance.model_copy(update=took)})


def board_of(*records: Record, asked: Asked = ALL) -> Leaderboard:
    return with_costs(build_leaderboard(records, cards=all_task_cards()), asked)


def rows_of(board: Leaderboard) -> list[list[str]]:
    """Return the terminal's lines as words."""
    return [line.split() for line in render_terminal(board, width=100, is_styled=False).splitlines()]


def test_a_gpu_hour_is_one_gpu_s_and_a_cpu_hour_the_machine_s() -> None:
    cost = cost_of([run(hours=2.0, processes=4), run(hours=0.5, device="Xeon, 8 threads", processes=2)])
    assert (cost.gpu_hours, cost.cpu_hours) == (8.0, 0.5)
    assert cost.money(Price(2.0, "EUR")) == 17.0


def test_runs_that_were_not_measured_are_missing_and_never_zero() -> None:
    assert cost_of([run()]).energy_kwh is None
    cost = cost_of([run(0.25), run(0.5), run()])
    assert (cost.energy_kwh, cost.num_measured, cost.num_runs) == (0.75, 2, 3)


def test_a_row_counts_every_seed_and_every_rate_that_was_tried() -> None:
    records = [
        run(0.5, seed=seed, rate=rate, dev=60 + 1e5 * rate) for seed in (0, 1) for rate in (1e-5, 3e-5)
    ]
    # 4 runs of half a kWh and one hour, at 2 EUR an hour; half of them of a rate that lost
    assert ["minilm", "50.0±0.0", "–", "2.00", "4.00", "8.00"] in rows_of(board_of(*records))


def test_a_guess_is_marked_and_part_of_the_runs_is_said() -> None:
    rows = rows_of(board_of(run(0.5, seed=0, guessed=True), run(seed=1), run(model="bert-tiny", test=40)))
    assert ["minilm", "50.0±0.0", "(2)*", "–", "~0.5", "(1/2)", "2.00", "4.00"] in rows
    assert ["bert-tiny", "40.0", "(1)", "–", "–", "1.00", "2.00"] in rows


def test_co2_is_shown_where_it_was_reckoned_and_a_part_of_the_runs_only_where_it_is_one() -> None:
    asked = Asked(("energy", "co2"))
    whole = " ".join(word for words in rows_of(board_of(run(0.5), asked=asked)) for word in words)
    assert "A dash for CO2: it was not reckoned ('kebench run --energy --country DEU')" in whole
    assert "(n/m)" not in whole
    energy = run(0.5).provenance.energy
    assert energy is not None
    known = run(0.5, seed=1)
    of_germany = energy.model_copy(update={"country": "DEU", "co2_kg": 0.2})
    known = known.model_copy(
        update={"provenance": known.provenance.model_copy(update={"energy": of_germany})}
    )
    rows = rows_of(board_of(run(0.5), known, asked=asked))
    assert ["NER", "BC5chem", "average", "kWh", "kg", "CO2"] in rows
    assert any(row[0] == "minilm" and row[-3:] == ["1.00", "0.2", "(1/2)"] for row in rows if row)
    said = " ".join(word for words in rows for word in words)
    assert "CO2: from the energy, by the electricity of DEU." in said
    assert "(n/m) n of m runs were measured." in said


def test_only_hours_that_there_are_have_a_column() -> None:
    assert ["NER", "BC5chem", "average", "kWh", "GPU", "h", "EUR"] in rows_of(board_of(run()))
    both = board_of(run(), run(model="bert-tiny", device="Xeon, 8 threads"))
    assert ["NER", "BC5chem", "average", "kWh", "GPU", "h", "CPU", "h", "EUR"] in rows_of(both)


def test_notes_say_what_was_counted_with_what_and_at_which_price() -> None:
    shown = " ".join(word for words in rows_of(board_of(run(0.5))) for word in words)
    assert "Energy, hours, cost: of all runs of a row, every seed and rate tried." in shown
    assert "Energy: GPU by NVML." in shown
    assert "Cost at 2 EUR an hour" in shown


def test_small_amounts_never_look_like_nothing() -> None:
    rows = rows_of(board_of(run(0.000012, hours=0.001)))
    assert ["minilm", "50.0", "–", "1.2e-05", "0.001", "0.002"] in rows


def test_an_export_has_the_fields_of_the_columns_asked_for_and_what_is_missing_is_empty() -> None:
    board = build_leaderboard([run(), run(0.5, task="gad")], cards=all_task_cards())
    asked = Asked(("energy", "cost"), Price(2.0, "$"))
    lines = {line["task"]: line for line in csv.DictReader(io.StringIO(render_csv(board, asked)))}
    assert (lines["bc5cdr-chem"]["energy_kwh"], lines["bc5cdr-chem"]["energy_is_estimate"]) == ("", "")
    assert (lines["gad"]["energy_kwh"], lines["gad"]["cost"], lines["gad"]["currency"]) == ("0.5", "2.0", "$")
    assert "gpu_hours" not in lines["gad"]
    numbers = [one for table in json.loads(render_json(board, asked))["tables"] for one in table["numbers"]]
    assert [one["energy_kwh"] for one in numbers] == [None, 0.5]


def test_without_columns_nothing_changes() -> None:
    board = build_leaderboard([run(0.5)], cards=all_task_cards())
    assert with_costs(board, Asked(())) == board
    assert "energy" not in render_csv(board)


def test_every_format_has_the_columns_beside_published_rows() -> None:
    board = build_leaderboard([run(0.5)], cards=all_task_cards(), published=read_published_tables("blurb"))
    shown = with_costs(board, ALL)
    assert "| NER | BC5chem | average | kWh | GPU h | EUR |" in render_markdown(shown)
    assert "{kWh} & {GPU h} & {EUR}" in render_latex(shown)


@pytest.mark.parametrize(
    ("words", "price"),
    [
        ("2.50", Price(2.5, "")),
        ("2.50 EUR", Price(2.5, "EUR")),
        ("$2", Price(2.0, "$")),
        ("3€", Price(3.0, "€")),
    ],
)
def test_a_price_has_its_currency_as_typed(words: str, price: Price) -> None:
    assert parse_price(words) == price


@pytest.mark.parametrize("words", ["", "free", "-2", "2,50", "$2 EUR", "nan", "1e3"])
def test_what_is_no_price_is_refused(words: str) -> None:
    with pytest.raises(UserError, match=r"--price-per-hour .*: expected a number, with its currency"):
        parse_price(words)


def test_columns_and_price_belong_together() -> None:
    assert parse_columns("cost, energy", "2 EUR") == Asked(("energy", "cost"), Price(2.0, "EUR"))
    with pytest.raises(UserError, match="no column 'energie'; did you mean 'energy'"):
        parse_columns("energie", None)
    with pytest.raises(UserError, match="--columns cost: needs a price; pass --price-per-hour"):
        parse_columns("cost", None)
    with pytest.raises(UserError, match="--price-per-hour: no column shows it; pass --columns cost"):
        parse_columns("energy", "2")
    with pytest.raises(UserError, match="--price-per-hour : expected a number"):
        parse_columns("cost", "")
