"""`kebench probe`: the group. Its commands stand in files of their own."""

import click

from kebench.cli import (
    probe_build,
    probe_choice,
    probe_compare,
    probe_generate,
    probe_run,
    probe_scores,
    probe_show,
)


@click.group("probe")
def probe() -> None:
    """Build query sets, probe language models, show and compare what they know."""


for _command in (
    probe_build.build,
    probe_build.import_,
    probe_build.export,
    probe_build.stats,
    probe_run.probe_run,
    probe_run.probe_rank,
    probe_generate.probe_generate,
    probe_choice.probe_choice,
    probe_show.show,
    probe_scores.scores,
    probe_compare.compare,
):
    probe.add_command(_command)
