"""What a profile needs and lacks: all of it at once, before anything starts."""

import importlib.util
import shutil
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from kebench.errors import UserError, first_line
from kebench.files import expand_home
from kebench.kinds.card import SPLITS
from kebench.model.source import cached_folder, card_of, resolve_model
from kebench.reproduce.profile import PLACEHOLDER, Need, Profile
from kebench.reproduce.steps import Step, split_words
from kebench.tasks.card import data_folder, require_splits, select_tasks
from kebench.umls.rrf import find_release

_GIB = 1 << 30


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


def lacks_of(profile: Profile, values: Mapping[str, str], out: Path, steps: Collection[Step]) -> list[Lack]:
    """Return everything that these steps need and that is not there, in the order of the profile.

    What is said alike of several names is one lack; what several needs lack is told of once.
    """
    said: set[tuple[str, str]] = set()
    names: dict[Lack, list[str]] = {}
    for lack in _each_lack(profile, values, out, steps):
        new = [name for name in lack.names if (lack.kind, name) not in said]
        said |= {(lack.kind, name) for name in new}
        if new or not lack.names:
            names.setdefault(lack._replace(names=()), []).extend(new)
    return [lack._replace(names=tuple(of_it)) for lack, of_it in names.items()]


def _each_lack(
    profile: Profile, values: Mapping[str, str], out: Path, steps: Collection[Step]
) -> Iterator[Lack]:
    stages = {step.stage.name: step.stage for step in steps}
    used = {name for stage in stages.values() for name in PLACEHOLDER.findall(" ".join(stage.commands))}
    for name, variable in profile.variables.items():
        if name not in values and name in used:
            yield Lack(f"--set {name}=...", (), variable.help, "set it")
    for need in profile.needs:
        for name in need.names if not need.stages or set(need.stages) & set(stages) else ():
            is_set = all(one in values for one in PLACEHOLDER.findall(name))
            if is_set and (filled := PLACEHOLDER.sub(lambda found: values[found[1]], name)):
                yield from _lacks_of_name(need, filled, out)
    for launcher in sorted({stage.launcher for stage in stages.values() if stage.launcher}):
        words = split_words(values.get(launcher, ""))
        if words and shutil.which(words[0]) is None:
            remedy = f"name its path by --set {launcher}='/PATH/TO/PROGRAM ...'"
            yield Lack("the program", words[:1], "not found", remedy)
    every = [word for step in steps for command in step.commands for word in command.words]
    if ("--engine", "ray") in pairwise(every) or "--engine=ray" in every:
        ray = Need(kind="package", names=("ray",), remedy="pip install 'kebench[cluster]'")
        yield from _lacks_of_name(ray, "ray", out)


def _lacks_of_name(need: Need, name: str, out: Path) -> Iterator[Lack]:
    if need.kind == "path" and not expand_home(name).exists():
        yield Lack("the path", (name,), "is not there", need.remedy)
    elif need.kind == "release":
        try:
            find_release(expand_home(name))
        except UserError as error:
            yield Lack("a UMLS release in", (name,), str(error), need.remedy)
    elif need.kind == "tasks":
        data = data_folder()
        for task in select_tasks(name):
            try:
                if task.access.kind != "embedded":
                    require_splits([task], data, SPLITS)
            except UserError:
                remedy = "kebench data get {names}" if task.access.kind == "open" else need.remedy
                yield Lack("data of", (task.name,), f"not whole in {data}", remedy)
    elif need.kind == "models":
        try:
            card = card_of(name)
            if card.source_kind == "embedded" or cached_folder(card):
                return
            if card.source_kind in ("manual", "path"):
                resolve_model(card)
                return
            yield Lack("the model", (name,), "not fetched yet", "kebench model get {names}", fetched=True)
        except UserError as error:
            yield Lack("the model", (name,), first_line(error), need.remedy)
    elif need.kind == "package":
        try:
            is_there = importlib.util.find_spec(name) is not None
        except (ImportError, ValueError):  # of a package within one that is not there; of no name at all
            is_there = False
        if not is_there:
            yield Lack("the package", (name,), "not installed", need.remedy)
    elif need.kind == "disk":
        folder = next(path for path in (out.resolve(), *out.resolve().parents) if path.is_dir())
        free = shutil.disk_usage(folder).free / _GIB
        try:
            wanted = float(name)
        except ValueError:
            raise UserError(f"needs: disk: {name}: expected a number of GiB; mend the profile") from None
        if free < wanted:
            yield Lack(f"{wanted:,.0f} GiB of disk", (), f"{folder} has {free:,.0f} free", need.remedy)
