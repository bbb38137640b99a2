"""What a profile needs and lacks: all of it at once, before anything starts."""

import importlib.util
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from kebench.errors import UserError, first_line
from kebench.files import expand_home
from kebench.model.source import cached_folder, card_of, resolve_card
from kebench.reproduce.profile import PLACEHOLDER, Need, Profile
from kebench.reproduce.steps import Step, split_words
from kebench.tasks.card import SPLITS, TaskCard, default_data_folder, require_splits, select_tasks
from kebench.umls.rrf import find_release

_GIB = 1 << 30
_GET = "kebench data get {names}"


class Lack(NamedTuple):
    """Things of one kind that are not there, why they are not taken as they are, and how to get them.

    kind: "data of", "the model" and the like, or all there is to say. remedy: may hold {name}, of one of
    them, and {names}. fetched: models that are fetched at the start, where there is a network.
    """

    kind: str
    names: tuple[str, ...]
    why: str
    remedy: str
    fetched: bool = False

    def __str__(self) -> str:
        what = f"{self.kind} {', '.join(self.names)}".strip()
        name = self.names[0] if len(self.names) == 1 else "NAME"
        remedy = self.remedy.replace("{names}", " ".join(self.names)).replace("{name}", name)
        return f"{what} ({self.why}); {remedy}"


def _together(lacks: Iterable[Lack]) -> list[Lack]:
    """Return one lack for all that say the same of several names; each name once, as it is first told."""
    said: set[tuple[str, str]] = set()
    names: dict[Lack, list[str]] = {}
    for lack in lacks:
        new = [name for name in lack.names if (lack.kind, name) not in said]
        said |= {(lack.kind, name) for name in new}
        if new or not lack.names:
            names.setdefault(lack._replace(names=()), []).extend(new)
    return [lack._replace(names=tuple(of_it)) for lack, of_it in names.items()]


def lacks_of(profile: Profile, values: Mapping[str, str], out: Path, steps: Collection[Step]) -> list[Lack]:
    """Return everything that these steps need and that is not there, in the order of the profile."""
    stages = {step.stage.name for step in steps}
    wanted = {name for step in steps for line in step.stage.commands for name in PLACEHOLDER.findall(line)}
    lacks = [
        Lack(f"--set {name}=...", (), variable.help, "set it")
        for name, variable in profile.variables.items()
        if name not in values and name in wanted
    ]
    for need in profile.needs:
        if need.stages and not set(need.stages) & stages:
            continue
        for name in need.names:
            unset = [one for one in PLACEHOLDER.findall(name) if one not in values]
            filled = PLACEHOLDER.sub(lambda found: values.get(found[1], ""), name)
            if not unset and filled:
                lacks += _CHECKS[need.kind](need, filled, out)
    lacks += _launchers(profile, values, stages)
    lacks += _ray(steps)
    return _together(lacks)


def _launchers(profile: Profile, values: Mapping[str, str], stages: Collection[str]) -> list[Lack]:
    """Return the programs that start a stage's processes and are not there."""
    named = {stage.launcher for stage in profile.stages if stage.launcher and stage.name in stages}
    programs = {name: split_words(values.get(name, ""))[:1] for name in sorted(named)}
    return [
        Lack("the program", (words[0],), "not found", f"name its path by --set {name}='/PATH/TO/PROGRAM ...'")
        for name, words in programs.items()
        if words and shutil.which(words[0]) is None
    ]


def _ray(steps: Collection[Step]) -> list[Lack]:
    """Return Ray, if a command is to work on it and it is not installed."""
    words = [word for step in steps for command in step.commands for word in command.words]
    is_wanted = ("--engine", "ray") in pairwise(words) or "--engine=ray" in words
    return _package_if_lacking("ray", "pip install 'kebench[cluster]'") if is_wanted else []


def _release(need: Need, name: str, out: Path) -> list[Lack]:
    try:
        find_release(expand_home(name))
    except UserError as error:
        return [Lack("a UMLS release in", (name,), str(error), need.remedy)]
    return []


def _path(need: Need, name: str, out: Path) -> list[Lack]:
    return [] if expand_home(name).exists() else [Lack("the path", (name,), "is not there", need.remedy)]


def _tasks(need: Need, name: str, out: Path) -> list[Lack]:
    lacking = [card for card in select_tasks(name) if card.access.kind != "embedded" and not _is_whole(card)]
    where = f"not whole in {default_data_folder()}"
    return [
        Lack("data of", (card.name,), where, _GET if card.access.kind == "open" else need.remedy)
        for card in lacking
    ]


def _is_whole(card: TaskCard) -> bool:
    try:
        require_splits([card], default_data_folder(), SPLITS)
    except UserError:
        return False
    return True


def _models(need: Need, name: str, out: Path) -> list[Lack]:
    try:
        card = card_of(name)
        if card.source_kind == "embedded" or cached_folder(card) is not None:
            return []
        if card.source_kind in ("manual", "path"):
            resolve_card(card)
            return []
    except UserError as error:
        return [Lack("the model", (name,), first_line(error), need.remedy)]
    return [Lack("the model", (name,), "not fetched yet", "kebench model get {names}", fetched=True)]


def _package(need: Need, name: str, out: Path) -> list[Lack]:
    return _package_if_lacking(name, need.remedy)


def _package_if_lacking(name: str, remedy: str) -> list[Lack]:
    try:
        is_there = importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # of a package within one that is not there; of no name at all
        is_there = False
    if is_there:
        return []
    return [Lack("the package", (name,), "not installed", remedy)]


def _disk(need: Need, name: str, out: Path) -> list[Lack]:
    folder = next(path for path in (out.resolve(), *out.resolve().parents) if path.is_dir())
    free = shutil.disk_usage(folder).free / _GIB
    if free >= float(name):
        return []
    return [Lack(f"{float(name):,.0f} GiB of disk", (), f"{folder} has {free:,.0f} free", need.remedy)]


_CHECKS: dict[str, Callable[[Need, str, Path], list[Lack]]] = {
    "release": _release,
    "path": _path,
    "tasks": _tasks,
    "models": _models,
    "package": _package,
    "disk": _disk,
}
