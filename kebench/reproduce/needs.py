"""What a profile needs and lacks: all of it at once, before anything starts."""

import importlib.util
import shlex
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from kebench.errors import UserError, first_line
from kebench.files import expand_home
from kebench.model.source import cached_folder, card_of, resolve_card
from kebench.reproduce.profile import PLACEHOLDER, Need, Profile
from kebench.tasks.card import SPLITS, default_data_folder, require_splits, select_tasks
from kebench.umls.rrf import find_release

_GIB = 1 << 30


class Lack(NamedTuple):
    """One thing that is not there: what, why it is not taken as it is, and how to get it.

    can_be_fetched: kebench gets it by itself where there is a network.
    """

    what: str
    why: str
    remedy: str
    can_be_fetched: bool = False


def lacks_of(profile: Profile, values: Mapping[str, str], out: Path, stages: Collection[str]) -> list[Lack]:
    """Return everything that these stages need and that is not there, in the order of the profile."""
    lacks = [
        Lack(f"--set {name}=...", variable.help, "set it")
        for name, variable in profile.variables.items()
        if name not in values
    ]
    for need in profile.needs:
        if need.stages and not set(need.stages) & set(stages):
            continue
        for name in need.names:
            unset = [one for one in PLACEHOLDER.findall(name) if one not in values]
            filled = PLACEHOLDER.sub(lambda found: values.get(found[1], ""), name)
            if not unset and filled:
                lacks += _CHECKS[need.kind](need, filled, out)
    lacks += _launchers(profile, values, stages)
    return list({lack.what: lack for lack in reversed(lacks)}.values())[::-1]


def _launchers(profile: Profile, values: Mapping[str, str], stages: Collection[str]) -> list[Lack]:
    """Return the programs that start a stage's processes and are not there."""
    named = {stage.launcher for stage in profile.stages if stage.launcher and stage.name in stages}
    programs = {name: shlex.split(values.get(name, ""))[:1] for name in sorted(named)}
    return [
        Lack(f"the program {words[0]}", "not found", f"name its path by --set {name}='/PATH/TO/PROGRAM ...'")
        for name, words in programs.items()
        if words and shutil.which(words[0]) is None
    ]


def _release(need: Need, name: str, out: Path) -> list[Lack]:
    try:
        find_release(expand_home(name))
    except UserError as error:
        return [Lack(f"a UMLS release in {name}", str(error), need.remedy)]
    return []


def _path(need: Need, name: str, out: Path) -> list[Lack]:
    return [] if expand_home(name).exists() else [Lack(name, "is not there", need.remedy)]


def _tasks(need: Need, name: str, out: Path) -> list[Lack]:
    cards = [card for card in select_tasks(name) if card.access.kind != "embedded"]
    lacks = []
    for card in cards:
        try:
            require_splits([card], default_data_folder(), SPLITS)
        except UserError:
            where = default_data_folder() / card.name
            is_open = card.access.kind == "open"
            remedy = f"kebench data get {card.name}" if is_open else need.remedy.format(name=card.name)
            lacks.append(Lack(f"data of {card.name}", f"not whole in {where}", remedy))
    return lacks


def _models(need: Need, name: str, out: Path) -> list[Lack]:
    try:
        card = card_of(name)
        if card.source_kind == "embedded" or cached_folder(card) is not None:
            return []
        if card.source_kind in ("manual", "path"):
            resolve_card(card)
            return []
    except UserError as error:
        return [Lack(f"the model {name}", first_line(error), need.remedy.format(name=name))]
    return [Lack(f"the model {name}", "not fetched yet", f"kebench model get {name}", can_be_fetched=True)]


def _package(need: Need, name: str, out: Path) -> list[Lack]:
    if importlib.util.find_spec(name) is not None:
        return []
    return [Lack(f"the package {name}", "not installed", need.remedy)]


def _disk(need: Need, name: str, out: Path) -> list[Lack]:
    folder = next(path for path in (out.resolve(), *out.resolve().parents) if path.is_dir())
    free = shutil.disk_usage(folder).free / _GIB
    if free >= float(name):
        return []
    return [Lack(f"{float(name):,.0f} GiB of disk", f"{folder} has {free:,.0f} free", need.remedy)]


_CHECKS: dict[str, Callable[[Need, str, Path], list[Lack]]] = {
    "release": _release,
    "path": _path,
    "tasks": _tasks,
    "models": _models,
    "package": _package,
    "disk": _disk,
}
