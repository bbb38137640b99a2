"""Stamps: a file a step that says what the step made, from what, and whether all of it is done.

A step is done if its stamp has its key, the products are as they were left, and what it read of the steps
before it is still the same. Steps that go on share a folder, in which a step's products are the files that
came while its commands ran: the rest belongs to others, or to the user.
"""

from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kebench.files import hash_of
from kebench.probe.record import PREDICTIONS, PROBE_RECORD, TOKENIZER
from kebench.reproduce.contents import STAMPS, Files, files_under, hash_of_path, look
from kebench.reproduce.steps import Step

STAMP_SCHEMA: Literal[2] = 2


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

    schema_version: Literal[2] = Field(STAMP_SCHEMA, alias="schema")
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
    others = [one for path in (out / STAMPS).glob("*.json") if (one := read_stamp(path)) and one.finished]
    found = look([out / name for name in stamp.products], out, stamp.products)
    for name, (_, _, left) in stamp.products.items():
        # Another step may have made it again.
        as_left = {left, *(one.products[name][2] for one in others if name in one.products)}
        if name in found and found[name][2] not in as_left:
            return f"{out / name} is not as it was left"
        if name not in found and any(_unit(other) == _unit(name) for other in found):
            return f"{out / name} is gone, and what belongs to it is not"
    return ""


def _unit(name: str) -> str:
    """Return what a file of a folder of results belongs to: a run's stem, or a probe's folder."""
    path = Path(name)
    if path.name in (PROBE_RECORD, PREDICTIONS, TOKENIZER):
        return str(path.parent)
    return name.removesuffix(".json").removesuffix(".predictions.json.gz")
