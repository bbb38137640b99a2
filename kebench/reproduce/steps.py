"""The steps of a reproduction: command lines with everything filled in, and whether each is done.

A step's key hashes its commands, the content of what it reads (files of the user's, recipes, checkpoints,
tasks), and the keys of the steps before it. A stamp beside the products says with which key they were made; a
step is done if its stamp has its key and the products are as they were left.
"""

import json
import logging
import os
import shlex
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kebench.errors import UserError
from kebench.files import expand_home, hash_of, sha256_of, write_atomically
from kebench.reproduce.profile import ALWAYS, PLACEHOLDER, Profile, Stage
from kebench.reproduce.reads import content_of

STAMPS = "steps"  # the folder of stamps, leases and notes under {out}
STAMP_SCHEMA: Literal[1] = 1
LEASE = ".running"  # how the names of leases end: they come and go
SAID_GIB = 1.0  # reading more than this to know it again is said

_log = logging.getLogger(__name__)


class Command(NamedTuple):
    """One command line of kebench, the file that keeps what it prints, and the launcher, if there are any."""

    words: tuple[str, ...]
    kept_in: Path | None
    launcher: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(("kebench", *self.words)) + (f" > {self.kept_in}" if self.kept_in else "")


class Step(NamedTuple):
    """What is done or not done as a whole.

    makes: the files and folders it leaves. before: the steps whose products it reads. key: see the module.
    """

    stage: Stage
    name: str
    commands: tuple[Command, ...]
    makes: tuple[Path, ...]
    before: tuple["Step", ...]
    key: str


class State(StrEnum):
    """What a look at a step's products finds."""

    DONE = "done"
    TO_DO = "to do"
    BEGUN = "begun"
    OUTDATED = "its inputs have changed"
    DAMAGED = "its products have changed"


class Stamp(BaseModel):
    """What is known of a step's products. finished: False while its commands run.

    grown: a hash of what it read of folders that may grow between two runs.
    products: each file's path under {out}, with size, time of change in ns, and SHA-256.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = Field(STAMP_SCHEMA, alias="schema")
    key: str
    commands: tuple[str, ...]
    finished: bool
    started_utc: str
    seconds: float
    kebench_version: str
    commit: str
    grown: str = ""
    products: dict[str, tuple[int, int, str]]


def steps_of(profile: Profile, values: Mapping[str, str], out: Path) -> list[Step]:
    """Return all steps in order, with their keys. Raises UserError if two would have one name."""
    inputs = {
        name: _content_of(expand_home(values[name]), out)
        for name, variable in profile.variables.items()
        if variable.is_path and values.get(name)
    }
    hash_files = cache(partial(_content_of, out=out))
    steps: list[Step] = []
    for stage in profile.stages:
        before = tuple(step for name in stage.after for step in steps if step.stage.name == name)
        for each in stage.each or ("",):
            read = {name for line in stage.commands for name in PLACEHOLDER.findall(line)} & set(inputs)
            filled = {**values, "out": str(out)}
            filled["each"] = _fill(each, filled)
            # Neither the folder nor the place of an input is part of the key: both may be moved.
            apart = {*inputs, *(name for name, variable in profile.variables.items() if variable.is_how)}
            unmoved = {**values, **{name: f"{{{name}}}" for name in apart}, "out": "{out}"}
            unmoved["each"] = _fill(each, unmoved)
            key = hash_of(
                {
                    "commands": [_fill(line, unmoved) for line in stage.commands],
                    "inputs": {name: inputs[name] for name in sorted(read)},
                    "reads": [content_of(_fill(one, filled), hash_files) for one in stage.reads],
                    "before": [step.key for step in before],
                }
            )
            launcher = tuple(shlex.split(values.get(stage.launcher, "")))
            commands = tuple(_command(line, filled, launcher, whole=inputs) for line in stage.commands)
            kept = (command.kept_in for command in commands if command.kept_in)
            makes = (*(out / _fill(path, filled) for path in stage.makes), *kept)
            name = f"{stage.name}-{Path(filled['each']).name}" if each else stage.name
            if any(step.name == name for step in steps):
                raise UserError(
                    f"two steps would be called {name}: a model of the user's has the name of one that the "
                    "profile makes; copy or add it under another name, and --set that"
                )
            steps.append(Step(stage, name, commands, makes, before, key))
    return steps


def _fill(line: str, values: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), line)


def _command(
    line: str, values: Mapping[str, str], launcher: tuple[str, ...], *, whole: Collection[str]
) -> Command:
    """Return a command with everything filled in; a word that is a variable alone may become several.

    whole: the variables that are paths, which may hold blanks and stay one word.
    """
    words: list[str] = []
    for word in shlex.split(line):
        alone, filled = PLACEHOLDER.fullmatch(word), _fill(word, values)
        is_options = alone is not None and alone[1] not in ALWAYS and alone[1] not in whole
        if alone is None or filled:  # a variable alone that is empty is left out
            words += shlex.split(filled) if is_options else [filled]
    if len(words) > 2 and words[-2] == ">":
        return Command(tuple(words[:-2]), Path(words[-1]), launcher)
    return Command(tuple(words), None, launcher)


def _content_of(path: Path, out: Path) -> str:
    """Return a hash of a file or of all files in a folder; what has not changed is not read again."""
    note = out / STAMPS / f"read-{hash_of(str(path.resolve()))[:16]}.json"
    seen = _read_note(note)
    # Gone since: what was made of it stays good, and `needs` says if it is needed again.
    found = _look(_files_under(path), path.parent, seen) if path.exists() else seen
    if found != seen:
        write_atomically(note, json.dumps(found), point="step")
    return hash_of({name: sha256 for name, (_, _, sha256) in found.items()})


def _read_note(path: Path) -> dict[str, tuple[int, int, str]]:
    try:
        return {name: (one[0], one[1], one[2]) for name, one in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, LookupError, TypeError):
        return {}


def _files_under(path: Path) -> list[Path]:
    if path.is_dir():
        names = (one for one in path.rglob("*") if not one.name.startswith(".") and one.suffix != LEASE)
        return sorted(one for one in names if one.is_file())
    return [path] if path.is_file() else []


def _look(
    files: Iterable[Path], root: Path, seen: Mapping[str, tuple[int, int, str]]
) -> dict[str, tuple[int, int, str]]:
    """Return size, time and SHA-256 of files; what has the size and time that were seen is not read."""
    found = {}
    unread: dict[str, Path] = {}
    for path in files:
        name, stat = os.path.relpath(path, root), path.stat()
        before = seen.get(name, (-1, 0, ""))
        found[name] = (stat.st_size, stat.st_mtime_ns, before[2])
        if before[:2] != found[name][:2]:
            unread[name] = path
    gib = sum(found[name][0] for name in unread) / (1 << 30)
    if gib > SAID_GIB:
        _log.info("%s: reading %.0f GiB once, to know them again", root, gib)
    return found | {name: (*found[name][:2], sha256_of(path)) for name, path in unread.items()}


def stamp_path(step: Step, out: Path) -> Path:
    """Return where a step's stamp stands."""
    return out / STAMPS / f"{step.name}.json"


def read_stamp(step: Step, out: Path) -> Stamp | None:
    """Return a step's stamp; None if there is none, or if it is damaged, which is the same."""
    try:
        return Stamp.model_validate_json(stamp_path(step, out).read_bytes())
    except (OSError, ValidationError):
        return None


def write_stamp(step: Step, out: Path, stamp: Stamp) -> None:
    """Write a step's stamp."""
    write_atomically(
        stamp_path(step, out), stamp.model_dump_json(indent=1, by_alias=True) + "\n", point="step"
    )


def products_of(step: Step, out: Path, stamp: Stamp | None = None) -> dict[str, tuple[int, int, str]]:
    """Return the files that a step has made, with size, time and SHA-256."""
    files = [path for made in step.makes for path in _files_under(made)]
    return _look(files, out, stamp.products if stamp else {})


def grown_of(step: Step, out: Path) -> str:
    """Return a hash of the records that a step reads: others may have been added to their folder by hand.

    "" if it reads no folder that goes on.
    """
    folders = {path for one in step.before if one.stage.goes_on for path in one.makes}
    return hash_of([_content_of(path, out) for path in sorted(folders)]) if folders else ""


def is_stamped(step: Step, out: Path) -> bool:
    """Say whether a step has been finished, and not been made from anything else since; a quick look."""
    stamp = read_stamp(step, out)
    return stamp is not None and stamp.finished and stamp.key == step.key


def state_of(step: Step, out: Path) -> State:
    """Say whether a step is done."""
    stamp = read_stamp(step, out)
    if stamp is None:
        return State.TO_DO
    if stamp.key != step.key:
        return State.OUTDATED
    if not stamp.finished:
        return State.BEGUN
    if not step.stage.goes_on and stamp.grown != grown_of(step, out):
        return State.OUTDATED
    return State.DONE if _are_as_left(step, out, stamp) else State.DAMAGED


def _are_as_left(step: Step, out: Path, stamp: Stamp) -> bool:
    found = products_of(step, out, stamp)
    hashes = {name: one[2] for name, one in found.items()}
    left = {name: one[2] for name, one in stamp.products.items()}
    # What goes on by itself may have grown since: the command knows what of it is finished.
    return left.items() <= hashes.items() if step.stage.goes_on else hashes == left
