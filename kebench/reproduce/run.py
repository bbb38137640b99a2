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
from kebench.leases import share_one, stale_token
from kebench.reproduce.steps import (
    STAMP_SCHEMA,
    STAMPS,
    Command,
    Stamp,
    State,
    Step,
    grown_of,
    is_stamped,
    products_of,
    read_stamp,
    stamp_path,
    state_of,
    write_stamp,
)
from kebench.runtime import software, utc_now

STOPPED = 130  # a command's exit code after Ctrl-C
GRACE_SECONDS = 1.0


class StoppedError(Exception):
    """The user stopped a command, which has said so."""


def carry_out(steps: Sequence[Step], out: Path, *, say: Callable[[str], None]) -> None:
    """Do every step that is not done.

    Raises UserError at the first command that fails, or if a reproduction with other settings works in the
    folder; StoppedError if the user stopped a command.

    say: is told of each step as it begins and ends.
    """
    signal.signal(signal.SIGTERM, _interrupt)  # ends the command in hand too, which else would go on alone
    _refuse_another(steps, out)
    for step in steps:
        share_one(
            _lease(step, out),
            is_done=lambda step=step: state_of(step, out) is State.DONE,  # type: ignore[misc]
            work=lambda step=step: _do(step, out, say),  # type: ignore[misc]
        )


def _refuse_another(steps: Sequence[Step], out: Path) -> None:
    """Raise UserError if a step is being made in this folder by a reproduction with other settings."""
    for step in steps:
        stamp, running = read_stamp(step, out), _lease(step, out)
        is_other = stamp is not None and not stamp.finished and stamp.key != step.key
        if is_other and running.exists() and stale_token(running) is None:
            raise UserError(
                f"{out}: another reproduction makes {step.name} there, with other settings; wait for its "
                "end, or name another --out"
            )


def _lease(step: Step, out: Path) -> Path:
    return out / STAMPS / f"{step.name}.running"


def _require_unchanged(step: Step, out: Path) -> None:
    """Raise UserError if what a step reads is not, or is no longer, what was made for it."""
    for one in step.before:
        if not is_stamped(one, out):
            raise UserError(
                f"{step.name}: what it reads ({one.name}) has meanwhile been made again with other settings; "
                "give each reproduction its own --out"
            )


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _do(step: Step, out: Path, say: Callable[[str], None]) -> None:
    state, stamp = state_of(step, out), read_stamp(step, out)
    # To do, and there: its stamp was lost, or it is none of ours.
    if state in (State.OUTDATED, State.DAMAGED, State.TO_DO) and not step.stage.goes_on:
        _move_aside(step, state, say)
    _require_unchanged(step, out)
    grown = grown_of(step, out)
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
    try:
        _require_unchanged(step, out)
    except UserError:
        stamp_path(step, out).unlink(missing_ok=True)  # of two things mixed: not to be gone on with
        raise
    finished = _stamp(step, stamp.started_utc, round(time.monotonic() - clock, 1), finished=True)
    products = products_of(step, out)
    write_stamp(step, out, finished.model_copy(update={"products": products, "grown": grown}))
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
    process = subprocess.Popen(words, stdout=subprocess.PIPE if command.kept_in else None)
    try:
        printed, _ = process.communicate()
    except KeyboardInterrupt:
        _stop(process)
        if process.returncode == STOPPED:  # and has said so
            raise StoppedError from None
        raise
    if process.returncode == 0 and command.kept_in is not None:
        write_atomically(command.kept_in, printed, point="step")
    if code := process.returncode:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        raise UserError(f"{step.name}: {command} {how} (see above); mend it, and the same command goes on")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a command as Ctrl-C does, which at a terminal it has had already; by force if it lingers."""
    try:
        process.wait(GRACE_SECONDS)
        return
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(10 * GRACE_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()
