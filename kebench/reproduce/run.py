"""Carries out the steps of a reproduction, one after another; each command in a process of its own.

A process a command: what one leaves in memory, or how it dies, cannot touch the next. Steps are leased, so
that two of the same command on one folder share the work. A stamp, a file a step, says what the step made,
from what: a step is done if its stamp has its key, the products are as they were left, and what it read of
the steps before it is still the same. Steps that go on share a folder, in which a step's products are the
files that came while its commands ran: the rest belongs to others, or to the user.
"""

import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kebench.errors import UserError
from kebench.files import hash_of, write_atomically
from kebench.leases import share_one, stale_token
from kebench.probe.record import PREDICTIONS, PROBE_RECORD, TOKENIZER
from kebench.processes import STOPPED, end_when_told, run_command
from kebench.reproduce.contents import STAMPS, Files, essence_of, files_under, hash_of_path, look
from kebench.reproduce.steps import Step
from kebench.runtime import software, utc_now


class StoppedError(Exception):
    """The user stopped a command, which has said so."""


class State(StrEnum):
    """What a look at a step's products finds."""

    DONE = "done"
    TO_DO = "to do"
    BEGUN = "begun"
    OUTDATED = "its inputs have changed"
    DAMAGED = "its products have changed"


class Stamp(BaseModel):
    """What is known of a step's products. finished: False while its commands run.

    read: a hash of what the steps before it had made when it read that.
    products: each file's path under {out}, with size, time of change in ns, and SHA-256; while the commands
    of a step that goes on run, those files that were there before and are not its own.
    essence: a hash of what they say, less times and places.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[2] = Field(2, alias="schema")
    key: str
    commands: tuple[str, ...]
    finished: bool
    started_utc: str
    seconds: float
    kebench_version: str
    commit: str
    read: str
    products: Files
    essence: str


def stamp_path(step: Step, out: Path) -> Path:
    """Return where a step's stamp stands."""
    return out / STAMPS / f"{step.name}.json"


def read_stamp(path: Path) -> Stamp | None:
    """Return a stamp; None if there is none, or if it is damaged, which is the same."""
    try:
        return Stamp.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def products_of(step: Step, out: Path, seen: Files) -> Files:
    """Return the files where a step makes its own. seen: those that need not be read again."""
    return look([path for made in step.makes for path in files_under(made)], out, seen)


def read_of(step: Step, out: Path) -> str:
    """Return a hash of what the steps before this one have made; "" if there are none.

    Of a folder that goes on, all that is there: others may have added to it.
    """
    folder_hash = cache(partial(hash_of_path, out=out))  # many steps fill one folder
    made = {}
    for one in step.before:
        if one.stage.goes_on:
            made[one.name] = hash_of([folder_hash(path) for path in one.makes])
        else:
            stamp = read_stamp(stamp_path(one, out))
            made[one.name] = stamp.essence if stamp else ""
    return hash_of(made) if made else ""


def state_of(step: Step, out: Path) -> State:
    """Say whether a step is done."""
    stamp = read_stamp(stamp_path(step, out))
    if stamp is None:
        return State.TO_DO
    if stamp.key != step.key or stamp.read != read_of(step, out):
        return State.OUTDATED
    if not stamp.finished:
        return State.BEGUN
    if step.stage.goes_on:  # and may have grown since
        found = look([out / name for name in stamp.products], out, stamp.products)
    else:
        found = products_of(step, out, stamp.products)
    left = {name: one[2] for name, one in stamp.products.items()}
    return State.DONE if {name: one[2] for name, one in found.items()} == left else State.DAMAGED


def spoilt(stamp: Stamp, out: Path) -> str:
    """Say which product of a step that goes on its commands would not make again; "" if none.

    They make a record again if it is gone with all that stands beside it. One that was changed, or is there
    in part, they would take for finished.
    """

    def owner(name: str) -> str:  # a run's stem, or a probe's folder
        if Path(name).name in (PROBE_RECORD, PREDICTIONS, TOKENIZER):
            return str(Path(name).parent)
        return name.removesuffix(".json").removesuffix(".predictions.json.gz")

    others = [one for path in (out / STAMPS).glob("*.json") if (one := read_stamp(path)) and one.finished]
    found = look([out / name for name in stamp.products], out, stamp.products)
    for name, (_, _, left) in stamp.products.items():
        # Another step may have made it again.
        as_left = {left, *(one.products[name][2] for one in others if name in one.products)}
        if name in found and found[name][2] not in as_left:
            return f"{out / name} is not as it was left"
        if name not in found and any(owner(other) == owner(name) for other in found):
            return f"{out / name} is gone, and what belongs to it is not"
    return ""


def carry_out(
    steps: Sequence[Step], out: Path, *, say: Callable[[str], None], again: Callable[[], Sequence[Step]]
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
    for step in steps:

        def is_done(step: Step = step) -> bool:
            return state_of(step, out) is State.DONE

        def work(step: Step = step) -> None:
            _do(step, out, say, again)
            made.append(step)

        lease = stamp_path(step, out).with_suffix(".running")
        if lease.exists() and stale_token(lease) is None and not is_done():
            say(f"{step.name}: another process has it in hand; waiting for it")
        share_one(lease, is_done=is_done, work=work)
    return made


def _do(step: Step, out: Path, say: Callable[[str], None], again: Callable[[], Sequence[Step]]) -> None:
    def write(stamp: Stamp) -> None:
        write_atomically(path, stamp.model_dump_json(indent=1, by_alias=True) + "\n", point="step")

    path = stamp_path(step, out)
    state, before = state_of(step, out), read_stamp(path)
    _require_unchanged(step, out, again)
    others = _make_room(step, state, before, out, say)
    made_with = software(())
    begun = Stamp(
        schema=2,
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
    write(begun)
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
    made = {"products": products, "essence": essence_of(products, out), "seconds": seconds}
    write(begun.model_copy(update={**made, "finished": True}))
    say(f"{step.name}: done in {seconds:,.0f} s")


def _make_room(
    step: Step, state: State, before: Stamp | None, out: Path, say: Callable[[str], None]
) -> Files:
    """Put aside what is not to be taken for new; return what a shared folder has that is not the step's own.

    before: the step's stamp, if it has one. Raises UserError if a record of its own was changed.
    """
    if step.stage.goes_on:
        # A record that was changed is refused: the commands would take it for finished.
        if before and before.finished and (fault := spoilt(before, out)):
            raise UserError(
                f"{step.name}: {fault}; put it back, or remove it with what belongs to it (a run's record "
                "and predictions, a probe's folder), and the same command makes it again"
            )
        if before and state is State.BEGUN:
            return before.products
        own = before.products if before and before.finished else {}
        return {name: one for name, one in products_of(step, out, own).items() if name not in own}
    if state is not State.BEGUN:
        # Renamed, so that nothing is lost and nothing old is taken for new: it is outdated or damaged, its
        # stamp was lost, or it is none of ours.
        for old in (one for one in step.makes if one.exists()):
            names = (old.with_name(f"{old.name}.outdated-{number}") for number in range(1, 10_000))
            aside = next(name for name in names if not name.exists())
            old.rename(aside)
            say(f"{step.name}: {state.value}; what was there is now {aside}")
    return {}


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
