"""Carries out a probe: parts of the work one after another, each kept when it is done, then scores.

A part is leased while it is asked, so that any number of processes, on one machine or on several that share
the folder, work on one probe: start the same command again, or under `accelerate launch`. What is decided for
a query does not depend on its part or batch. Stopped at any moment, the same command goes on.
"""

import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow
import pyarrow.parquet

from kebench.errors import UserError
from kebench.files import atomic_folder, sweep_temporaries_of, write_parquet_atomically
from kebench.leases import share, share_one
from kebench.model.optimizer import halving
from kebench.probe.choice import Choice
from kebench.probe.fill import Fill
from kebench.probe.generate import Generate
from kebench.probe.plan import ProbePlan
from kebench.probe.rank import Rank
from kebench.probe.record import (
    PROBE_RECORD,
    AnyProbe,
    ChoiceSettings,
    FillSettings,
    GenerateSettings,
    RankSettings,
    read_probe_record,
    write_probe_record,
)
from kebench.progress import progress
from kebench.runtime import Begun, Device, begin

_log = logging.getLogger(__name__)


class Prober(Protocol):
    """One probe being made, in one file each.

    parts: what is to be asked, in pieces of a minute or so. kind_of_parts: the name of the folder that they
    are kept in while they are asked; parts of another size have another. batch_tokens: as a rule, in one
    forward pass; may_halve: fewer give the same answers. unit: what is asked, in words ("statements").
    """

    parts: Sequence[Any]
    kind_of_parts: str
    batch_tokens: int
    may_halve: bool
    unit: str

    def load(self) -> None:
        """Load the model. Raises UserError for one that cannot be asked."""

    def num_units(self, part: Any) -> int:
        """How many of them a part asks."""

    def ask(self, part: Any, batch_tokens: int) -> pyarrow.Table:
        """Ask a part."""

    def finish(self, tables: Sequence[pyarrow.Table], folder: Path, begun: Begun) -> AnyProbe:
        """Score all parts, and write what stands beside the record into a folder."""


PROBERS: dict[type, Callable[..., Prober]] = {
    FillSettings: Fill,
    RankSettings: Rank,
    ChoiceSettings: Choice,
    GenerateSettings: Generate,
}


def find_finished(plan: ProbePlan, out: Path) -> AnyProbe | None:
    """Return the record of a probe if it has been made. Raises UserError if what it is of is gone."""
    folder = plan.out(out)
    if not (folder / PROBE_RECORD).is_file():
        if folder.exists():
            raise UserError(f"{folder}: holds no {PROBE_RECORD}; remove the folder and run again")
        return None
    for name in plan.settings.files:
        if not (folder / name).is_file():
            raise UserError(
                f"{folder / name}: missing beside {PROBE_RECORD}; remove the folder and run again"
            )
    return read_probe_record(folder / PROBE_RECORD)


def run_probe(
    plan: ProbePlan,
    out: Path,
    *,
    device: Device,
    allow_remote_code: bool = False,
    batch_tokens: int | None = None,
) -> AnyProbe:
    """Ask every part that is not asked yet, score all, and write record and what stands beside it.

    batch_tokens: most tokens in one forward pass; None: the prober's, and fewer if memory runs out.
    Raises UserError for a checkpoint that cannot be asked.
    """
    begun = begin(device.name)
    trusted = plan.card.trust_remote_code and allow_remote_code
    prober = PROBERS[type(plan.settings)](plan, device=device.name, trusted=trusted)
    # What a part gave is kept beside the folder that all will be in.
    folder = plan.out(out).with_suffix(".parts") / prober.kind_of_parts
    parts = {folder / f"part-{place:05}.parquet": part for place, part in enumerate(prober.parts)}
    _ask(plan, out, prober, parts, batch_tokens=batch_tokens)
    # One process scores the parts.
    share_one(
        plan.out(out).with_suffix(".running"),
        is_done=lambda: find_finished(plan, out) is not None,
        work=lambda: _finish(plan.out(out), prober, list(parts), begun),
    )
    record = find_finished(plan, out)
    assert record is not None, "a probe that was shared is finished"
    drop_parts(plan, out)
    return record


def run_probes(plans: Sequence[ProbePlan], out: Path, run_one: Callable[[ProbePlan, Path], object]) -> None:
    """Run those of some probes that are not made, each by `run_one`; the same in several processes."""
    for plan in plans:
        if find_finished(plan, out) is None:
            run_one(plan, out)


def drop_parts(plan: ProbePlan, out: Path) -> None:
    """Remove the parts and the lease of a finished probe, which a kill may have left."""
    final = plan.out(out)
    shutil.rmtree(final.with_suffix(".parts"), ignore_errors=True)
    final.with_suffix(".running").unlink(missing_ok=True)


def _ask(
    plan: ProbePlan, out: Path, prober: Prober, parts: dict[Path, Any], *, batch_tokens: int | None
) -> None:
    """Ask parts until none is left; wait for those that other processes have in hand.

    parts: by the file of what they give. Another process may finish the whole probe, and remove its parts,
    while this one waits or takes a lease.
    """
    left = [path for path in parts if not _is_asked(path)]
    if not left:
        return
    number, unit = sum(prober.num_units(parts[path]) for path in left), prober.unit
    _log.info("asking %s %s in %d parts; a part that is done is kept", f"{number:,}", unit, len(left))
    if done := len(parts) - len(left):
        _log.info("%d of %d parts are done already", done, len(parts))
    prober.load()  # before any folder is made: a checkpoint that is refused leaves none behind
    at_once = batch_tokens or prober.batch_tokens

    def ask(path: Path) -> None:
        nonlocal at_once
        table, at_once = halving(
            lambda tokens: prober.ask(parts[path], tokens),
            at_once,
            may_halve=batch_tokens is None and prober.may_halve,
        )
        write_parquet_atomically(path, table, point="probe-part")

    with progress("probing", total=number, unit=unit) as advance:
        share(
            left,
            lambda path: path.with_suffix(".running"),
            is_done=lambda path: path.exists() or find_finished(plan, out) is not None,
            work=ask,
            after=lambda path: advance(prober.num_units(parts[path])),
        )


def _is_asked(path: Path) -> bool:
    """Tell whether a part is there; one that is not whole is removed."""
    try:
        pyarrow.parquet.read_metadata(path)
    except FileNotFoundError:
        return False
    except pyarrow.ArrowException:
        _log.warning("%s: damaged; it is asked again", path)
        path.unlink(missing_ok=True)
        return False
    return True


def _finish(final: Path, prober: Prober, parts: Sequence[Path], begun: Begun) -> None:
    """Score the parts and put what they make and the record in their place."""
    sweep_temporaries_of(final)
    tables = [pyarrow.parquet.read_table(path) for path in parts]
    with atomic_folder(final, point="probe") as folder:
        write_probe_record(folder, prober.finish(tables, folder, begun))
