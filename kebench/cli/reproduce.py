"""`kebench reproduce`: the whole paper, at one of three sizes."""

import io
import re
import shlex
import sys
import textwrap
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from kebench.cli import kebench
from kebench.cli.found import say
from kebench.cli.options import option, takes
from kebench.cli.tables import print_unpadded
from kebench.errors import UserError, counted, did_you_mean
from kebench.processes import STOPPED, run_command
from kebench.reproduce.needs import lacks_of
from kebench.reproduce.profile import Profile, read_profile, values_of
from kebench.reproduce.run import State, StoppedError, carry_out, state_of
from kebench.reproduce.steps import Step, steps_of
from kebench.runtime import has_cuda

_NOT_THERE = re.compile(r"'(.*)' does not exist")


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """The options of the command."""

    name: str = option("--profile", default="mini", help="mini, open, full, or a .toml file.")
    out: Path | None = option(help="Where everything goes.  [default: reproduced/PROFILE]")
    assignments: tuple[str, ...] = option(
        "--set", metavar="NAME=VALUE", help="A variable of the profile; repeatable."
    )
    stages: tuple[str, ...] = option(
        "--stage", help="Only this stage, once those before it are done; repeatable."
    )
    plan_only: bool = option("--plan", help="Show stages, what is done, costs, what is missing; stop.")


@click.command()
@takes(ReproduceOptions)
def reproduce(options: ReproduceOptions) -> None:
    """Reproduce the KeBioLM paper: every stage in order, each done once.

    Knowledge base, entity vectors, linked text, pretraining, cloze set, probes, fine-tuning, tests, tables,
    page. mini is the embedded miniature, open takes openly licensed sources, full is the paper's setting.
    What has not changed is not made again; stopped at any moment, the same command goes on.
    """
    profile = read_profile(options.name)
    known = [stage.name for stage in profile.stages]
    for name in options.stages:
        if name not in known:
            raise UserError(f"no stage '{name}'{did_you_mean(name, known)} there are {', '.join(known)}")
    values = values_of(profile, options.assignments)
    out = options.out or Path("reproduced") / Path(options.name).stem
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: a file; name a folder with --out")
    steps = steps_of(profile, values, out)
    states = {step.name: state_of(step, out) for step in steps}
    chosen = [step for step in steps if not options.stages or step.stage.name in options.stages]
    left = [step for step in chosen if states[step.name] is not State.DONE]
    lacks = lacks_of(profile, values, out, left)
    _print_plan(profile, chosen, states, out)
    if options.plan_only and profile.variables:
        say("variables, changed by --set NAME=VALUE:")
        for name, variable in profile.variables.items():
            say(f"  {name}={shlex.quote(values[name]) if values.get(name) else ''}")
            say(textwrap.indent(textwrap.fill(variable.help, 76), "    "))
    for lack in lacks:
        said = f"{'to fetch' if lack.fetched else 'missing'}: {lack}"
        say("\n".join(textwrap.wrap(said, 80, subsequent_indent="  ", break_on_hyphens=False)))
    number = sum(max(1, len(lack.names)) for lack in lacks if not lack.fetched)
    count = "1 thing is" if number == 1 else f"{number} things are"
    if number and options.plan_only:
        say(f"{count} missing")
        return
    if number:
        raise UserError(f"{count} missing (see above); nothing was started")
    _check_commands(left, out)
    for before in (before for step in chosen for before in step.before):
        if before not in chosen and states[before.name] is not State.DONE:
            raise UserError(
                f"the stage {before.stage.name} comes before and is not done ({before.name}: "
                f"{states[before.name].value}); name it too, or leave out --stage"
            )
    if options.plan_only:
        return
    # Models are fetched now: without a network that fails in a minute, and not after the days before it.
    models = [name for lack in lacks for name in lack.names]
    if models and run_command(("model", "get", *models))[0]:
        raise UserError("a model cannot be fetched (see above); nothing was started")
    try:
        made = carry_out(chosen, out, say=say, again=lambda: steps_of(profile, values, out))
    except StoppedError:
        sys.exit(STOPPED)
    say(f"{counted(len(made), 'step')} done; {out}" if made else f"nothing to do; {out}")
    for path in profile.shows:
        if (out / path).exists():
            say(f"  {out / path}")


def _check_commands(steps: list[Step], out: Path) -> None:
    """Raise UserError at a command that cannot be: now, not after the days before it."""
    faults = [
        f"{step.name}: {fault}; mend the profile, or its --set. The command is {command}"
        for step in steps
        for command in step.commands
        if (fault := _fault_of(kebench, list(command.words), out))
    ]
    for fault in faults[1:]:
        say(fault)
    if faults:
        raise UserError(faults[0])


def _fault_of(command: click.Command, words: list[str], out: Path) -> str:
    """Return why a command line cannot be run, "" if it can; what is missing in {out} a step before makes."""
    try:
        with redirect_stdout(io.StringIO()):  # of --help
            parse(command, words)
    except click.exceptions.NoArgsIsHelpError:
        return "names no command"
    except click.exceptions.Exit:
        return "asks for help, and makes nothing"
    except click.UsageError as error:
        found = _NOT_THERE.search(error.message) if isinstance(error, click.BadParameter) else None
        is_made = found is not None and out.resolve() in Path(found[1]).resolve().parents
        return "" if is_made else error.format_message().rstrip(".?")
    except UserError as error:
        return str(error)
    return ""


def parse(command: click.Command, words: list[str]) -> click.Command:
    """Parse a command line without running it; return its last command. Raises click's error."""
    context = command.make_context(command.name or "kebench", words)
    if not isinstance(command, click.Group):
        return command
    name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    assert found is not None, f"click refuses {name}"
    return parse(found, rest)


def _print_plan(profile: Profile, steps: list[Step], states: dict[str, State], out: Path) -> None:
    """Say on stderr which stages there are, what of them is done, and what the rest costs."""
    console = Console(stderr=True, highlight=False)
    console.print(f"{profile.title}\nin {out}; figures for {profile.machine}", markup=False)
    table = Table(box=None, pad_edge=False, header_style="")
    for heading in ("stage", "", "steps done", "time", "GPU h", "disk"):
        table.add_column(heading, justify="left" if heading in ("stage", "") else "right")
    minutes = gpu_hours = disk_gib = 0.0
    for stage in dict.fromkeys(step.stage for step in steps):
        of_stage = [step for step in steps if step.stage is stage]
        done = sum(states[step.name] is State.DONE for step in of_stage)
        share = 1 - done / len(of_stage)
        estimate = stage.estimate
        minutes += share * estimate.minutes
        gpu_hours += share * estimate.gpu_hours
        disk_gib += share * estimate.disk_gib
        gpu = f"{share * estimate.gpu_hours:,.1f}" if estimate.gpu_hours else "-"
        costs = (_duration(share * estimate.minutes), gpu, f"{share * estimate.disk_gib:,.2f} GiB")
        table.add_row(stage.name, stage.title, f"{done} of {len(of_stage)}", *costs)
    print_unpadded(table, err=True)
    for step in steps:
        if states[step.name] in (State.OUTDATED, State.DAMAGED):
            console.print(f"{step.name}: {states[step.name].value}; it is made again", markup=False)
    total = f"left: {_duration(minutes)}"
    total += f", of it {gpu_hours:,.1f} GPU hours" if gpu_hours else ""
    console.print(f"{total}; {disk_gib:,.1f} GiB of disk")
    if gpu_hours and not has_cuda():
        console.print("no GPU is here, without which it takes many times as long; docs/SCALE.md: clusters")
    for basis in dict.fromkeys(step.stage.estimate.basis for step in steps):
        console.print(f"  {basis}", markup=False)


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:,.1f} h" if minutes < 72 * 60 else f"{minutes / 1440:,.0f} days"
