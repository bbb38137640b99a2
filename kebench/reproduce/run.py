"""Carries out the steps of a reproduction, one after another; each command in a process of its own.

A process a command: what one leaves in memory, or how it dies, cannot touch the next. Steps are leased, so
that two of the same command on one folder share the work.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from kebench.errors import UserError
from kebench.files import write_atomically
from kebench.leases import share_one, stale_token
from kebench.processes import STOPPED, end_when_told, run_command
from kebench.reproduce.contents import Files, essence_of
from kebench.reproduce.stamps import (
    STAMP_SCHEMA,
    Stamp,
    State,
    products_of,
    read_of,
    read_stamp,
    spoilt,
    stamp_path,
    state_of,
)
from kebench.reproduce.steps import Step
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
    end_when_told()  # with the command in hand, which else would go on alone
    for step in again():
        stamp, lease = read_stamp(stamp_path(step, out)), stamp_path(step, out).with_suffix(".running")
        is_other = stamp is not None and not stamp.finished and stamp.key != step.key
        if is_other and lease.exists() and stale_token(lease) is None:
            raise UserError(
                f"{out}: another reproduction makes {step.name} there, with other settings; wait for its "
                "end, or name another --out"
            )
    made: list[Step] = []

    def is_done(step: Step) -> bool:
        return state_of(step, out) is State.DONE

    def work(step: Step) -> None:
        _do(step, out, say, again)
        made.append(step)

    for step in steps:
        lease = stamp_path(step, out).with_suffix(".running")
        if lease.exists() and stale_token(lease) is None and not is_done(step):
            say(f"{step.name}: another process has it in hand; waiting for it")
        share_one(lease, is_done=partial(is_done, step), work=partial(work, step))
    return made


def _do(step: Step, out: Path, say: Say, again: Callable[[], Sequence[Step]]) -> None:
    path = stamp_path(step, out)
    state, before = state_of(step, out), read_stamp(path)
    _require_unchanged(step, out, again)
    others: Files = {}  # of a folder that is shared: what is not this step's as it begins, or began
    if step.stage.goes_on:
        # A record that was changed is refused: the commands would take it for finished.
        if before and before.finished and (fault := spoilt(before, out)):
            raise UserError(
                f"{step.name}: {fault}; put it back, or remove it with what belongs to it (a run's record "
                "and predictions, a probe's folder), and the same command makes it again"
            )
        if before and state is State.BEGUN:
            others = before.products
        else:
            own = before.products if before and before.finished else {}
            others = {name: one for name, one in products_of(step, out, own).items() if name not in own}
    elif state is not State.BEGUN:
        # Renamed, so that nothing is lost and nothing old is taken for new: it is outdated or damaged, its
        # stamp was lost, or it is none of ours.
        for made in (one for one in step.makes if one.exists()):
            names = (made.with_name(f"{made.name}.outdated-{number}") for number in range(1, 10_000))
            aside = next(name for name in names if not name.exists())
            made.rename(aside)
            say(f"{step.name}: {state.value}; what was there is now {aside}")
    made_with = software(())
    begun = Stamp(
        schema=STAMP_SCHEMA,
        key=step.key,
        commands=tuple(map(str, step.commands)),
        finished=False,
        started_utc=before.started_utc if before and state is State.BEGUN else utc_now(),
        seconds=0.0,
        kebench_version=made_with["kebench_version"],
        commit=made_with["commit"],
        read=read_of(step, out),
        products=others,
        essence="",
    )
    clock = time.monotonic()
    _write(path, begun)
    say(f"{step.name}: {state.value}")
    for command in step.commands:  # each finds what it had finished before it was stopped
        code, printed = run_command(
            command.words, launcher=command.launcher, keeps_output=command.kept_in is not None
        )
        if code == STOPPED:  # and has said so
            raise StoppedError
        if code:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
            left = next((one for one in step.makes if one.exists() and not step.stage.goes_on), None)
            mend = f"mend it, or remove {left} if that is in the way" if left else "mend it"
            raise UserError(f"{step.name}: {command} {how} (see above); {mend}, and the same command goes on")
        if command.kept_in is not None:
            write_atomically(command.kept_in, printed, point="step")
    if missing := [one for one in step.makes if not one.exists()]:
        raise UserError(f"{step.name}: its commands ended well and {missing[0]} is not there; report this")
    try:
        _require_unchanged(step, out, again)
    except UserError:
        path.unlink(missing_ok=True)  # of two things mixed: not to be gone on with
        raise
    found = products_of(step, out, others)
    products = {name: one for name, one in found.items() if name not in others or others[name][2] != one[2]}
    seconds = round(time.monotonic() - clock, 1)
    changes = {"products": products, "essence": essence_of(products, out), "seconds": seconds}
    _write(path, begun.model_copy(update={**changes, "finished": True}))
    say(f"{step.name}: done in {seconds:,.0f} s")


def _write(path: Path, stamp: Stamp) -> None:
    write_atomically(path, stamp.model_dump_json(indent=1, by_alias=True) + "\n", point="step")


def _require_unchanged(step: Step, out: Path, again: Callable[[], Sequence[Step]]) -> None:
    """Raise UserError if what a step reads is not, or is no longer, what its key says."""
    for one in step.before:
        stamp = read_stamp(stamp_path(one, out))
        if stamp is None or not stamp.finished or stamp.key != one.key:
            raise UserError(
                f"{step.name}: what it reads ({one.name}) has meanwhile been made again with other settings; "
                "give each reproduction its own --out"
            )
    if step.key not in {one.key for one in again()}:
        raise UserError(
            f"{step.name}: its inputs were changed meanwhile; the same command makes it of what is there now"
        )
