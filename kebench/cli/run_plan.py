"""The plan of `kebench run`: every setting that will be used, and where it comes from."""

import textwrap
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from kebench.cards import ModelCard
from kebench.cli import WIDTH
from kebench.engine.opened import Engine
from kebench.errors import counted
from kebench.finetune.plan import Budget, Job
from kebench.run import Grid, Rates, rates_by_model

_NAMES = 14  # columns of the names of settings


def plan_lines(
    grid: Grid, budget: Budget, engine: Engine, seconds: float, *, asked: Collection[str]
) -> list[str]:
    """Return what will run, and every choice made for the user with its reason.

    asked: the settings that the user gave, by the names of their options.
    """
    device = engine.device
    lines = [f"budget {budget.name}: {budget.summary}", f"device {device.name} ({device.reason})"]
    lines += [f"{engine.summary}; the longest begin first"] if engine.summary else []
    lines.append("settings, and where each comes from:")
    whose = "--precision" if "precision" in asked else f"what {device.name} takes"
    settings = {
        "learning rate": _rates(rates_by_model(grid.missing), budget),
        "max length": _lengths(grid.missing),
        "seeds": _seeds(grid.jobs, budget, asked),
        **_from_budget(budget, asked),
        "precision": f"{device.precision} ({whose})",
    }
    for name, text in settings.items():
        wrapped = textwrap.wrap(text, WIDTH - _NAMES - 2, break_long_words=False, break_on_hyphens=False)
        first, *more = wrapped
        lines += [f"  {name:<{_NAMES}}{first}", *(" " * (_NAMES + 2) + line for line in more)]
    for task, count in Counter(job.task.card.name for job in grid.missing).items():
        lines.append(f"{task}: {counted(count, 'run')} to do")
    runs = counted(len(grid.missing), "run")
    return [*lines, f"estimate: {duration(seconds)} for {runs}, within a factor of three if idle"]


def unequal_footing(jobs: Sequence[Job], budget: Budget) -> str:
    """Say so if models are tried at other rates because others chose them; "" if they are not."""
    rates = rates_by_model(jobs)
    origins, values = zip(*((one.origin, frozenset(one.values)) for one in rates.values()), strict=True)
    if len(set(origins)) < 2 or len(set(values)) < 2:
        return ""
    every = ",".join(f"{rate:g}" for rate in sorted(frozenset().union(*values)))
    return (
        f"UNEQUAL FOOTING: learning rates differ by origin: {_rates(rates, budget)}. A difference between "
        f"these models may be one of rates; --learning-rates {every} tries the same for all"
    )


def _rates(rates: Mapping[ModelCard, Rates], budget: Budget) -> str:
    """Say each model's rates and who chose them; once if that is the same for all."""
    said: dict[str, list[str]] = defaultdict(list)
    for card, (values, origin) in rates.items():
        whose = (
            f"the card of {card.suggested.origin}" if card.suggested and card.suggested.origin else "its card"
        )
        who = {"option": "--learning-rates", "card": f"suggested by {whose}"}.get(
            origin, f"budget {budget.name}"
        )
        said[f"{', '.join(f'{rate:g}' for rate in values)} ({who})"].append(card.name)
    if len(said) == 1:
        return next(iter(said))
    return "; ".join(f"{', '.join(models)} {text}" for text, models in said.items())


def _seeds(jobs: Sequence[Job], budget: Budget, asked: Collection[str]) -> str:
    """Say how many seeds tasks have, and whose the budget is for kinds that have one of their own."""
    seeds: dict[str, set[int]] = defaultdict(set)
    whose: dict[str, str] = {}
    for job in jobs:
        name, own = job.task.card.name, budget.kinds.get(job.task.card.kind)
        seeds[name].add(job.seed)
        origin = f", of {own.origin}" if own else ""
        whose[name] = "--seeds" if "seeds" in asked else f"budget {budget.name}{origin}"
    said: dict[tuple[int, str], list[str]] = defaultdict(list)
    for name, numbers in seeds.items():
        said[len(numbers), whose[name]].append(name)
    if len(said) == 1:
        return "{} ({})".format(*next(iter(said)))
    return "; ".join(f"{number} on {', '.join(names)} ({origin})" for (number, origin), names in said.items())


def _lengths(jobs: Iterable[Job]) -> str:
    """Say the maximum lengths: of the tasks, and of models that take less."""
    tasks: dict[tuple[int, str], dict[str, None]] = defaultdict(dict)
    for job in jobs:
        length, asked = job.settings.max_length, job.task.card.max_length
        limit = f"the limit of {job.card.name}" if length < asked else "the task's card"
        tasks[length, limit][job.task.card.name] = None
    if len(tasks) == 1:
        ((length, limit),) = tasks
        return f"{length} word pieces ({limit})"
    return "; ".join(f"{length} on {', '.join(names)} ({limit})" for (length, limit), names in tasks.items())


def _from_budget(budget: Budget, asked: Collection[str]) -> dict[str, str]:
    """Return the settings that a budget holds, and where each comes from."""
    patience = f"{counted(budget.patience, 'epoch')} without better dev score"
    said = {
        "epochs": ("epochs", f"at most {budget.epochs}" if budget.patience else f"{budget.epochs}"),
        "patience": ("patience", patience if budget.patience else "none: all epochs are run"),
        "batch_size": ("batch", counted(budget.batch_size, "example")),
        "warmup_fraction": ("warm-up", f"{budget.warmup_fraction:g} of the steps"),
        "weight_decay": ("weight decay", f"{budget.weight_decay:g}"),
        "max_grad_norm": ("clipping", f"gradient norm {budget.max_grad_norm:g}"),
        "order": ("order", budget.order),
    }
    for split in ("train", "dev"):
        number = getattr(budget, f"{split}_rows")
        drawn = f"{number:,} rows of {split}, drawn by hash order" if number else "all"
        said[f"{split}_rows"] = (f"{split} rows", drawn)
    options = {name: f"--{name.replace('_', '-')}" for name in asked}
    return {
        title: f"{text} ({options.get(name, f'budget {budget.name}')})"
        for name, (title, text) in said.items()
    }


def duration(seconds: float) -> str:
    """Return a time in words: 90 s, 5 min, 3.0 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
