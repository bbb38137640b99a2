"""Carries out the steps of a reproduction, one after another; each command in a process of its own.

A process a command: what one leaves in memory, or how it dies, cannot touch the next. Steps are leased, so
that two of the same command on one folder share the work.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kebench.errors import UserError
from kebench.files import write_atomically
from kebench.leases import share_one
from kebench.reproduce.steps import (
    STAMP_SCHEMA,
    STAMPS,
    Command,
    Stamp,
    State,
    Step,
    products_of,
    read_stamp,
    state_of,
    write_stamp,
)
from kebench.runtime import software, utc_now


def carry_out(steps: Sequence[Step], out: Path, *, say: Callable[[str], None]) -> None:
    """Do every step that is not done. Raises UserError at the first command that fails.

    say: is told of each step as it begins and ends.
    """
    signal.signal(signal.SIGTERM, _interrupt)  # ends the command in hand too, which else would go on alone
    for step in steps:
        share_one(
            out / STAMPS / f"{step.name}.running",
            is_done=lambda step=step: state_of(step, out) is State.DONE,  # type: ignore[misc]
            work=lambda step=step: _do(step, out, say),  # type: ignore[misc]
        )


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _do(step: Step, out: Path, say: Callable[[str], None]) -> None:
    state, stamp = state_of(step, out), read_stamp(step, out)
    # To do, and there: its stamp was lost, or it is none of ours.
    if state in (State.OUTDATED, State.DAMAGED, State.TO_DO) and not step.stage.goes_on:
        _move_aside(step, state, say)
    started, clock = utc_now(), time.monotonic()
    if state is not State.BEGUN or stamp is None:
        stamp = _stamp(step, started, 0.0, finished=False)
        write_stamp(step, out, stamp)
    say(f"{step.name}: {state.value}")
    for command in step.commands:  # each finds what it had finished before it was stopped
        _run(command, step)
    missing = [path for path in step.makes if not path.exists()]
    if missing:
        raise UserError(f"{step.name}: its commands ended well and {missing[0]} is not there; report this")
    finished = _stamp(step, stamp.started_utc, round(time.monotonic() - clock, 1), finished=True)
    write_stamp(step, out, finished.model_copy(update={"products": products_of(step, out)}))
    say(f"{step.name}: done in {finished.seconds:,.0f} s")


def _stamp(step: Step, started_utc: str, seconds: float, *, finished: bool) -> Stamp:
    made_with = software(())
    return Stamp(
        schema=STAMP_SCHEMA,
        key=step.key,
        commands=tuple(map(str, step.commands)),
        finished=finished,
        started_utc=started_utc,
        seconds=seconds,
        kebench_version=made_with["kebench_version"],
        commit=made_with["commit"],
        products={},
    )


def _move_aside(step: Step, state: State, say: Callable[[str], None]) -> None:
    """Rename what a step made before: nothing is lost, and nothing old is taken for new."""
    for path in step.makes:
        if path.exists():
            number = next(n for n in range(1, 10_000) if not _outdated(path, n).exists())
            path.rename(_outdated(path, number))
            say(f"{step.name}: {state.value}; what was there is now {_outdated(path, number)}")


def _outdated(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.outdated-{number}")


def _run(command: Command, step: Step) -> None:
    """Run one command of kebench; what it prints goes to the terminal, or to its file once all is well."""
    words = [*(command.launcher or (sys.executable, "-m")), "kebench", *command.words]
    made = subprocess.run(words, stdout=subprocess.PIPE if command.kept_in else None, check=False)
    if made.returncode == 0 and command.kept_in is not None:
        write_atomically(command.kept_in, made.stdout, point="step")
    if code := made.returncode:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        raise UserError(f"{step.name}: {command} {how} (see above); mend it, and the same command goes on")
