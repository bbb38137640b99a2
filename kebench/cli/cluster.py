"""The options by which a command works on a Ray cluster."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kebench.errors import UserError

if TYPE_CHECKING:
    from kebench.engine.ray import Cluster

Command = TypeVar("Command", bound=Callable[..., Any])

_ENGINE = click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="ray: on a Ray cluster (docs/SCALE.md).",
)
_OPTIONS = (
    click.option(
        "--address", default="", help="Ray: HOST:PORT, auto; default: RAY_ADDRESS, else this machine alone."
    ),
    click.option(
        "--gpus-per-job", type=click.FloatRange(0, 1), help="Ray: share of a GPU; default: 1 where there are."
    ),
    click.option(
        "--cpus-per-job",
        type=click.FloatRange(0),
        default=1.0,
        show_default=True,
        help="Ray: cores of a job.",
    ),
    click.option(
        "--memory-per-job", type=click.FloatRange(0), default=0.0, help="Ray: GiB that a job needs."
    ),
)


def cluster_options(command: Command) -> Command:
    """Give a command the options of `read_cluster`."""
    for option in reversed((_ENGINE, *_OPTIONS)):
        command = option(command)
    return command


def read_cluster(
    engine: str, address: str, gpus_per_job: float | None, cpus_per_job: float, memory_per_job: float
) -> "Cluster | None":
    """Return the cluster that options name; None for this machine. Raises UserError if they disagree."""
    from kebench.engine.ray import Cluster
    from kebench.runtime import launched_processes

    if engine == "local":
        given = {"--address": address, "--gpus-per-job": gpus_per_job, "--memory-per-job": memory_per_job}
        if named := next((name for name, value in given.items() if value), None):
            raise UserError(f"{named}: only with --engine ray; add that, or leave it out")
        return None
    if launched_processes()[1] > 1:
        raise UserError("--engine ray: not under accelerate launch or torchrun; start the command alone")
    return Cluster(address, gpus_per_job, cpus_per_job, memory_per_job)
