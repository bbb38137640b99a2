"""Carries out the steps of a reproduction, one after another; each command in a process of its own.

A process a command: what one leaves in memory, or how it dies, cannot touch the next. Steps are leased, so
that two of the same command on one folder share the work.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kebench.errors import UserError
from kebench.files import write_atomically
from kebench.leases import share_one, stale_token
from kebench.processes import STOPPED, end_when_told, run_command
from kebench.reproduce.contents import STAMPS, Files, essence_of
from kebench.reproduce.stamps import (
    STAMP_SCHEMA,
    Stamp,
    State,
    is_stamped,
    products_of,
    read_of,
    read_stamp,
    spoilt,
    stamp_path,
    state_of,
    write_stamp,
)
from kebench.reproduce.steps import Command, Step
from kebench.runtime import software, utc_now

Say = Callable[[str], None]


class StoppedError(Exception):
    """The user stopped a command, which has said so."""


def carry_out(
    steps: Sequence[Step], out: Path, *, say: Say, again: Callable[[], Sequence[Step]]
) -> list[Step]:
    """Do every step that is not done; return those that were done here.

    say: is told of each step as it begins and ends. again: returns all steps with their keys as they are by
    now, since the user may change an input while a command runs.
    Raises UserError at the first command that fails, or if a reproduction with other settings works in the
    folder; StoppedError if the user stopped a command.
    """
    end_when_told()
    _refuse_another(again(), out)
    made: list[Step] = []

    def work(step: Step) -> None:
        _do(step, out, say, again)
        made.append(step)

    for step in steps:
        lease = _lease(step, out)
        if lease.exists() and stale_token(lease) is None and state_of(step, out) is not State.DONE:
            say(f"{step.name}: another process has it in hand; waiting for it")
        share_one(
            lease,
            is_done=lambda step=step: state_of(step, out) is State.DONE,  # type: ignore[misc]
            work=lambda step=step: work(step),  # type: ignore[misc]
        )
    return made


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


def _do(step: Step, out: Path, say: Say, again: Callable[[], Sequence[Step]]) -> None:
    state, stamp = state_of(step, out), read_stamp(step, out)
    _require_unchanged(step, out, again)
    if step.stage.goes_on:
        _require_whole(step, out, stamp)
    else:
        _move_aside(step, state, say)
    read, clock = read_of(step, out), time.monotonic()
    others = _of_others(step, out, state, stamp) if step.stage.goes_on else {}
    if state is not State.BEGUN or stamp is None:
        stamp = _stamp(step, utc_now(), read=read, products=others)
        write_stamp(step, out, stamp)
    say(f"{step.name}: {state.value}")
    for command in step.commands:  # each finds what it had finished before it was stopped
        _run(command, step)
    missing = [path for path in step.makes if not path.exists()]
    if missing:
        raise UserError(f"{step.name}: its commands ended well and {missing[0]} is not there; report this")
    try:
        _require_unchanged(step, out, again)
    except UserError:
        stamp_path(step, out).unlink(missing_ok=True)  # of two things mixed: not to be gone on with
        raise
    found = products_of(step, out, others)
    products = {name: one for name, one in found.items() if name not in others or others[name][2] != one[2]}
    finished = _stamp(
        step,
        stamp.started_utc,
        read=read,
        products=products,
        essence=essence_of(products, out),
        seconds=round(time.monotonic() - clock, 1),
        finished=True,
    )
    write_stamp(step, out, finished)
    say(f"{step.name}: done in {finished.seconds:,.0f} s")


def _require_unchanged(step: Step, out: Path, again: Callable[[], Sequence[Step]]) -> None:
    """Raise UserError if what a step reads is not, or is no longer, what its key says."""
    for one in step.before:
        if not is_stamped(one, out):
            raise UserError(
                f"{step.name}: what it reads ({one.name}) has meanwhile been made again with other settings; "
                "give each reproduction its own --out"
            )
    if step.key not in {one.key for one in again()}:
        raise UserError(
            f"{step.name}: its inputs were changed meanwhile; the same command makes it of what is there now"
        )


def _stamp(
    step: Step,
    started_utc: str,
    *,
    read: str,
    products: Files,
    essence: str = "",
    seconds: float = 0.0,
    finished: bool = False,
) -> Stamp:
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
        read=read,
        products=products,
        essence=essence,
    )


def _of_others(step: Step, out: Path, state: State, stamp: Stamp | None) -> Files:
    """Return the files of a folder that is shared that are not this step's, as it begins, or as it began."""
    if state is State.BEGUN and stamp is not None:
        return stamp.products
    own = stamp.products if stamp and stamp.finished else {}
    return {name: one for name, one in products_of(step, out, own).items() if name not in own}


def _require_whole(step: Step, out: Path, stamp: Stamp | None) -> None:
    """Raise UserError for a record that was changed, which its command would take for finished."""
    if stamp and stamp.finished and (fault := spoilt(stamp, out)):
        raise UserError(
            f"{step.name}: {fault}; put it back, or remove it with what belongs to it (a run's record and "
            "predictions, a probe's folder), and the same command makes it again"
        )


def _move_aside(step: Step, state: State, say: Say) -> None:
    """Rename what a step made before: nothing is lost, and nothing old is taken for new."""
    if state in (State.BEGUN, State.DONE):
        return
    for path in step.makes:  # to do, and there: its stamp was lost, or it is none of ours
        if path.exists():
            number = next(n for n in range(1, 10_000) if not _outdated(path, n).exists())
            path.rename(_outdated(path, number))
            say(f"{step.name}: {state.value}; what was there is now {_outdated(path, number)}")


def _outdated(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.outdated-{number}")


def _run(command: Command, step: Step) -> None:
    """Run one command of kebench; what it prints goes to the terminal, or to its file once all is well."""
    code, printed = run_command(
        command.words, launcher=command.launcher, keeps_output=command.kept_in is not None
    )
    if code == STOPPED:  # and has said so
        raise StoppedError
    if code == 0 and command.kept_in is not None:
        write_atomically(command.kept_in, printed, point="step")
    if code:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        left = next((path for path in step.makes if path.exists() and not step.stage.goes_on), None)
        mend = f"mend it, or remove {left} if that is in the way" if left else "mend it"
        raise UserError(f"{step.name}: {command} {how} (see above); {mend}, and the same command goes on")
