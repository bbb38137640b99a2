"""The options by which a command works on a Ray cluster."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal

import click
from click.core import ParameterSource

from kebench.cli.options import Command, declare, option
from kebench.engine.cluster import Cluster, ask_node, connected, say_nodes, slots
from kebench.engine.copies import run_copies
from kebench.errors import UserError
from kebench.files import cache_folder
from kebench.leases import TASK
from kebench.runtime import launched_processes

_OF_RAY = ("address", "gpus_per_job", "cpus_per_job", "memory_per_job", "copies")


@dataclass(frozen=True)
class ClusterOptions:
    """The options that name a cluster, and what a job asks of it."""

    engine: Literal["local", "ray"] = option(default="local", help="ray: on a Ray cluster (docs/SCALE.md).")
    address: str = option(
        default="", help="Ray: HOST:PORT, auto; default: RAY_ADDRESS, else this machine alone."
    )
    gpus_per_job: float | None = option(
        type=click.FloatRange(0, 1), help="Ray: share of a GPU; default: 1 where there are."
    )
    cpus_per_job: float = option(type=click.FloatRange(0), default=1.0, help="Ray: cores of a job.")
    memory_per_job: float = option(
        type=click.FloatRange(0), default=0.0, show_default=False, help="Ray: GiB that a job needs."
    )


def cluster_options(command: Command) -> Command:
    """Give a command the options of a cluster, and the cluster that they name as `cluster`."""

    @functools.wraps(command)
    def call(**given: object) -> None:
        taken: dict[str, Any] = {field.name: given.pop(field.name) for field in fields(ClusterOptions)}
        command(cluster=read_cluster(ClusterOptions(**taken)), **given)

    return declare(ClusterOptions, call)


def read_cluster(asked: ClusterOptions) -> Cluster | None:
    """Return the cluster that options name; None for this machine. Raises UserError if they disagree."""
    if os.environ.get(TASK):  # this is a copy that a cluster runs
        return None
    if asked.engine == "local":
        # Whatever its value: one that is also the default has been written for a reason.
        context = click.get_current_context()
        for name in _OF_RAY:
            if context.get_parameter_source(name) not in (None, ParameterSource.DEFAULT):
                given = f"--{name.replace('_', '-')}"
                raise UserError(f"{given}: only with --engine ray; add that, or leave it out")
        return None
    if launched_processes()[1] > 1:
        raise UserError("--engine ray: not under accelerate launch or torchrun; start the command alone")
    return Cluster(asked.address, asked.gpus_per_job, asked.cpus_per_job, asked.memory_per_job)


def refuse_workers(workers: int, cluster: Cluster | None) -> None:
    """Raise UserError if several processes of this machine are asked for where something else starts them."""
    if workers > 1 and (cluster or launched_processes()[1] > 1):
        raise UserError(f"--workers {workers}: only with --engine local, and not under a launcher")


def runs_on_cluster(*, several: bool) -> Callable[[Command], Command]:
    """Let a command that shares its work in the folder `out` be run by a cluster, once or several times."""
    copies_option = click.option(
        "--copies", type=click.IntRange(1), help="Ray: commands that share it; default: all that fit."
    )

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def call(*, cluster: Cluster | None, copies: int | None = None, **given: object) -> None:
            context = click.get_current_context()
            asked, arguments = context.params, context.find_root().obj
            refuse_workers(asked.get("workers", 1), cluster)
            if cluster is None:
                command(**given)
                return
            with connected(cluster, on_gpus=asked.get("device", "cpu") != "cpu") as decided:
                if "precision" in asked:
                    # of one node, for all: copies that differ would not share their work
                    node = ask_node(decided, device=asked["device"], precision=asked["precision"])
                    arguments = [*arguments, "--precision", node.device.precision]
                number = (copies if several else 1) or max(1, slots(decided))
                click.echo(f"{say_nodes(decided)}; copies of this command: {number}", err=True)
                leases = [asked["out"], cache_folder() / "pretraining"]
                printed = run_copies(arguments, decided, copies=number, shared=asked["out"], leases=leases)
            click.echo(printed, nl=False)

        return cluster_options(copies_option(call) if several else call)

    return decorate
