"""What the runs behind a leaderboard's numbers took: energy, hours of devices, and money at a stated price.

Counted are all runs that a number rests on: every seed, and every learning rate that was tried for it.
Only finished runs have records, so what failed or was stopped is not in it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from kebench.errors import UserError, did_you_mean
from kebench.grid import Cell
from kebench.records import Record
from kebench.report.table import Extra, Leaderboard, Table

COLUMNS = ("energy", "co2", "hours", "cost")
_ESTIMATE = "~"
_PROCESSOR = re.compile(r", \d+ threads$")  # how a record's device says that it is no GPU


class Price(NamedTuple):
    """What an hour of a device costs; currency as the user typed it."""

    per_hour: float
    currency: str


class Asked(NamedTuple):
    """Which columns are shown, in the order of COLUMNS, and at which price."""

    columns: tuple[str, ...]
    price: Price | None = None


class Cost(NamedTuple):
    """What some runs took. energy_kwh: of those num_measured that have one; None if none has. So co2_kg.

    countries: by whose electricity CO2 was reckoned.
    """

    num_runs: int
    num_measured: int
    energy_kwh: float | None
    is_estimate: bool
    gpu_hours: float
    cpu_hours: float
    co2_kg: float | None
    num_reckoned: int
    countries: tuple[str, ...]

    def money(self, price: Price) -> float:
        """Return what the hours cost."""
        return (self.gpu_hours + self.cpu_hours) * price.per_hour


def parse_columns(words: str | None, price: str | None) -> Asked:
    """Read "energy,cost" and "2.50 EUR". Raises UserError if they are not such, or do not belong together."""
    names = [name.strip() for name in (words or "").split(",") if name.strip()]
    for name in names:
        if name not in COLUMNS:
            raise UserError(
                f"--columns {words}: no column '{name}'{did_you_mean(name, COLUMNS)} "
                f"expected {', '.join(COLUMNS)}"
            )
    if "cost" in names and price is None:
        raise UserError("--columns cost: needs a price; pass --price-per-hour 2.50, or '2.50 EUR'")
    if price is not None and "cost" not in names:
        raise UserError("--price-per-hour: no column shows it; pass --columns cost too")
    in_order = tuple(name for name in COLUMNS if name in names)
    return Asked(in_order, None if price is None else parse_price(price))


def parse_price(words: str) -> Price:
    """Read a number with what stands before or behind it as its currency: 2.50, $2.50, 2.50 EUR."""
    found = re.fullmatch(r"\s*([^\d\s.,+-]*)\s*(\d+(?:\.\d+)?)\s*([^\d.,+-]*?)\s*", words)
    if found is None or (found[1] and found[3]):
        raise UserError(
            f"--price-per-hour {words}: expected a number, with its currency if you like: 2.50, '2.50 EUR'"
        )
    return Price(float(found[2]), found[1] or found[3])


def cost_of(runs: Iterable[Record]) -> Cost:
    """Add up what runs took. A GPU hour is an hour of one GPU, a CPU hour one of the whole machine."""
    made = [run.provenance for run in runs]
    measured = [one for one in made if one.energy_kwh is not None]
    reckoned = [one.energy for one in made if one.energy and one.energy.co2_kg is not None]
    hours = {True: 0.0, False: 0.0}
    for one in made:
        is_gpu = not _PROCESSOR.search(one.device)
        hours[is_gpu] += one.seconds / 3600 * (one.num_processes if is_gpu else 1)
    return Cost(
        num_runs=len(made),
        num_measured=len(measured),
        energy_kwh=sum(one.energy_kwh or 0.0 for one in measured) if measured else None,
        is_estimate=any(one.energy is None or one.energy.is_estimate for one in measured),
        gpu_hours=hours[True],
        cpu_hours=hours[False],
        co2_kg=sum(one.co2_kg or 0.0 for one in reckoned) if reckoned else None,
        num_reckoned=len(reckoned),
        countries=tuple(sorted({one.country for one in reckoned})),
    )


def with_costs(board: Leaderboard, asked: Asked) -> Leaderboard:
    """Return the leaderboard with a column of each block's rows for each that is asked for."""
    if not asked.columns:
        return board
    tables = []
    for table in board.tables:
        costs = [[cost_of(row.tried) for row in block.rows] for block in table.blocks]
        every = [cost for of_block in costs for cost in of_block]
        blocks = tuple(
            replace(block, extras=_extras(of_block, every, asked))
            for block, of_block in zip(table.blocks, costs, strict=True)
        )
        notes = (*table.notes, *_notes(table, every, asked))
        tables.append(replace(table, blocks=blocks, notes=notes))
    return replace(board, tables=tuple(tables))


def _extras(costs: Sequence[Cost], every: Sequence[Cost], asked: Asked) -> tuple[Extra, ...]:
    """Return a block's columns; GPU and CPU hours only where some row of the table has them."""
    extras = []
    for name, title in (("energy", "kWh"), ("co2", "kg CO2")):
        if name in asked.columns:
            extras.append(Extra(title, tuple(_measured_cell(name, cost) for cost in costs)))
    if "hours" in asked.columns:
        for title, hours in (("GPU h", "gpu_hours"), ("CPU h", "cpu_hours")):
            if any(getattr(cost, hours) for cost in every):
                extras.append(Extra(title, tuple(_amount(getattr(cost, hours)) for cost in costs)))
    if asked.price:
        cells = (_amount(cost.money(asked.price), least=0.01) for cost in costs)
        extras.append(Extra(asked.price.currency or "cost", tuple(cells)))
    return tuple(extras)


def _measured_cell(column: str, cost: Cost) -> Cell:
    """Return energy or CO2; ~ if it is an estimate, and how many runs it is of where that is not all."""
    by_column = {"energy": (cost.energy_kwh, cost.num_measured), "co2": (cost.co2_kg, cost.num_reckoned)}
    value, num_measured = by_column[column]
    if value is None:
        return Cell()
    part = f" ({num_measured}/{cost.num_runs})" if num_measured < cost.num_runs else ""
    return replace(_amount(value), before=_ESTIMATE * cost.is_estimate, mark=part)


def _amount(value: float, *, least: float = 1) -> Cell:
    """Return an amount that is printed with two digits that count; nothing at all is a missing one.

    least: of amounts from here on the two digits behind the point count.
    """
    return Cell(value, ".2f" if value >= least else ".2g") if value else Cell()


def _notes(table: Table, costs: Sequence[Cost], asked: Asked) -> list[str]:
    """Say what was counted, with what energy was measured, and the price."""
    notes = [f"{', '.join(asked.columns).capitalize()}: of all runs of a row, every seed and rate tried"]
    if "energy" in asked.columns:
        runs = [run for block in table.blocks for row in block.rows for run in row.tried]
        sources = dict.fromkeys(
            f"{name} {'estimated as' if part.is_estimate else 'by'} {part.measured_with}"
            for one in (run.provenance.energy for run in runs)
            if one
            for name, part in (("processor", one.cpu), ("GPU", one.gpu), ("memory", one.ram))
            if part
        )
        if sources:
            notes.append(f"Energy: {'; '.join(sources)}")
        if any(cost.num_measured == 0 for cost in costs):
            notes.append("A dash: no run was measured ('kebench run --energy')")
    if "co2" in asked.columns:
        if countries := sorted({one for cost in costs for one in cost.countries}):
            notes.append(f"CO2: from the energy, by the electricity of {', '.join(countries)}")
        if any(cost.co2_kg is None for cost in costs):
            notes.append("A dash for CO2: it was not reckoned ('kebench run --energy --country DEU')")
    if measured := [column for column in ("energy", "co2") if column in asked.columns]:
        if any(cost.is_estimate for cost in costs):
            notes.append(f"{_ESTIMATE} no meter was read")
        if any(_measured_cell(column, cost).mark for column in measured for cost in costs):
            notes.append("(n/m) n of m runs were measured")
    if asked.price:
        price = f"{asked.price.per_hour:g} {asked.price.currency}".rstrip()
        notes.append(f"Cost at {price} an hour of a GPU, or of a machine where the CPU ran it")
    return notes


def cost_fields(runs: Iterable[Record], asked: Asked) -> dict[str, object]:
    """Return the fields that an export gains of the runs behind a number; what is missing is None."""
    cost, price = cost_of(runs), asked.price
    by_column: dict[str, dict[str, object]] = {
        "energy": {
            "energy_kwh": cost.energy_kwh,
            "energy_runs": cost.num_measured,
            "energy_is_estimate": None if cost.energy_kwh is None else cost.is_estimate,
        },
        "co2": {
            "co2_kg": cost.co2_kg,
            "co2_runs": cost.num_reckoned,
            "co2_countries": " ".join(cost.countries) or None,
        },
        "hours": {"gpu_hours": cost.gpu_hours, "cpu_hours": cost.cpu_hours, "cost_runs": cost.num_runs},
        "cost": {"cost": cost.money(price), "currency": price.currency} if price else {},
    }
    return {name: value for column in asked.columns for name, value in by_column[column].items()}
