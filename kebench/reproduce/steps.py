"""The steps of a reproduction: command lines with everything filled in, and what decides their products.

A step's key hashes its commands, the content of what it reads (files of the user's, recipes, checkpoints,
tasks), and the keys of the steps before it.
"""

import shlex
from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from kebench import __version__
from kebench.cards import SOURCE_KINDS, model_card_paths
from kebench.errors import UserError
from kebench.files import expand_home, hash_of
from kebench.kinds.card import SPLITS
from kebench.model.fetch import PLACES, gguf_file, is_gguf
from kebench.model.source import card_of
from kebench.probe.record import PROBE_PROTOCOL_VERSION
from kebench.recipes import Shelf, stated_fields
from kebench.records import PROTOCOL_VERSION
from kebench.reproduce.contents import STAMPS, hash_of_path
from kebench.reproduce.profile import ALWAYS, PLACEHOLDER, Profile, Stage
from kebench.tasks.card import data_folder, select_tasks

# What decides the content of a model that a command names.
_NAMES_A_MODEL = ("--model", "--backbone")


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


def steps_of(profile: Profile, values: Mapping[str, str], out: Path) -> list[Step]:
    """Return all steps in order, with their keys.

    Raises UserError if two would have one name, if one would make something outside {out}, or if a value
    cannot be split into words.
    """
    hash_files = cache(partial(hash_of_path, out=out))
    inputs = {
        name: hash_files(expand_home(values[name]))
        for name, variable in profile.variables.items()
        if variable.is_path and values.get(name)
    }
    # Neither the folder nor the place of an input is part of a key: both may be moved.
    apart = {*inputs, *(name for name, variable in profile.variables.items() if variable.is_how)}
    unmoved = {**values, **{name: f"{{{name}}}" for name in apart}, "out": "{out}"}
    steps: list[Step] = []
    for stage in profile.stages:
        before = tuple(step for name in stage.after for step in steps if step.stage.name == name)
        read = {name for line in stage.commands for name in PLACEHOLDER.findall(line)} & set(inputs)
        launcher = split_words(values.get(stage.launcher, ""))
        for each in stage.each or ("",):
            filled = {**values, "out": str(out)}
            filled["each"] = _fill(each, filled)
            commands = tuple(_command(line, filled, launcher, whole=inputs) for line in stage.commands)
            reads = [_fill(one, filled) for one in stage.reads]
            for command in commands:  # and models that no step makes
                words = [part for word in command.words for part in word.split("=", 1)]
                for option, name in pairwise(words):
                    # A folder in {out} is made, unless it is called as a card, whose name wins, or a source.
                    is_known = name in model_card_paths() or name.partition(":")[0] in SOURCE_KINDS
                    is_made = not is_known and out.resolve() in Path(name).resolve().parents
                    reads += [f"model {name}"] if option in _NAMES_A_MODEL and not is_made else []
            hashed = {
                "commands": [
                    _fill(line, {**unmoved, "each": _fill(each, unmoved)}) for line in stage.commands
                ],
                "inputs": {name: inputs[name] for name in sorted(read)},
                "reads": [_content_of(one, hash_files) for one in reads],
                "before": [step.key for step in before],
            }
            if stage.goes_on:  # it knows what is finished, by rules that another version may have changed
                hashed["version"] = [__version__, PROTOCOL_VERSION, PROBE_PROTOCOL_VERSION]
            kept = (command.kept_in for command in commands if command.kept_in)
            makes = tuple(dict.fromkeys((*(out / _fill(path, filled) for path in stage.makes), *kept)))
            name = f"{stage.name}-{Path(filled['each']).name}" if each else stage.name
            if any(step.name == name for step in steps):
                raise UserError(
                    f"two steps would be called {name}: 'each' of the profile names one thing twice, or a "
                    "model of yours has the name of one that the profile makes; --set it under another name"
                )
            for path in makes:
                inside, stamps = path.resolve(), out.resolve() / STAMPS
                if out.resolve() not in inside.parents or stamps in (inside, *inside.parents):
                    raise UserError(f"{name}: makes {path}, no place of its own in {out}; mend the profile")
            steps.append(Step(stage, name, commands, makes, before, hash_of(hashed)))
    return steps


def _fill(line: str, values: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), line)


def split_words(text: str) -> tuple[str, ...]:
    """Split as a shell does. Raises UserError where a quote is left open."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UserError(f"{text}: cannot be split into words ({error}); mend it") from None


def _command(
    line: str, values: Mapping[str, str], launcher: tuple[str, ...], *, whole: Collection[str]
) -> Command:
    """Return a command with everything filled in; a word that is a variable alone may become several.

    whole: the variables that are paths, which may hold blanks and stay one word.
    """
    words: list[str] = []
    for word in split_words(line):
        alone, filled = PLACEHOLDER.fullmatch(word), _fill(word, values)
        is_options = alone is not None and alone[1] not in ALWAYS and alone[1] not in whole
        if alone is None or filled:  # a variable alone that is empty is left out
            words += split_words(filled) if is_options else [filled]
    if len(words) > 2 and words[-2] == ">":
        return Command(tuple(words[:-2]), Path(words[-1]), launcher)
    return Command(tuple(words), None, launcher)


def _content_of(read: str, hash_files: Callable[[Path], str]) -> str:
    """Return a hash of what `KIND NAME` of `reads` names; "" of a model or of tasks that are not there.

    hash_files: of a file, or of all files in a folder. Raises UserError at a recipe that is none.
    """
    kind, _, name = read.partition(" ")
    stated: Any
    if kind == "recipe":
        folder, _, stem = name.partition("/")
        shelf = Shelf(folder)
        # As Python writes it: TOML has dates and infinity, which JSON lacks.
        return hash_of([repr(fields) for fields in stated_fields(shelf.find(stem), shelf)])
    try:
        if kind == "model":  # a card, and the files that the user may change; a fetched one is sealed
            card = card_of(name)
            files = ""
            if card.source_kind in PLACES:
                files = hash_files(gguf_file(card) if is_gguf(card) else PLACES[card.source_kind](card))
            left_out = {"source"} if card.source_kind == "path" else set()  # the folder may be moved
            left_out |= {
                name for name in ("kind", "start_token") if not getattr(card, name)
            }  # as before these
            return hash_of([card.model_dump(mode="json", exclude=left_out), files])
        stated = []
        for task in select_tasks(name):
            splits = SPLITS if task.access.kind != "embedded" else ()
            found = [hash_files(task.find_split(data_folder(), split)) for split in splits]
            stated.append([task.model_dump(mode="json"), *found])
        return hash_of(stated)
    except UserError:
        return ""  # `needs` says so, together with all else
