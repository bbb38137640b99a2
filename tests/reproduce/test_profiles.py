"""Profiles: those that ship are whole and their commands exist; a wrong one is refused with the field."""

import shlex
from pathlib import Path

import click
import pytest

from kebench.cli import kebench
from kebench.cli.reproduce import parse
from kebench.errors import UserError
from kebench.reproduce.profile import profile_names, read_profile, values_of
from kebench.reproduce.steps import steps_of

SMALL = """
title = "small"
machine = "any"
[variables.more]
help = "more"
default = ""
[[stages]]
name = "list"
title = "tasks"
commands = ["task list {more} > {out}/tasks.txt"]
makes = ["tasks.txt"]
estimate = {minutes = 1, basis = "guessed"}
"""


def written(folder: Path, text: str) -> str:
    path = folder / "own.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", profile_names())
def test_every_command_of_a_shipped_profile_parses(name: str, tmp_path: Path) -> None:
    profile = read_profile(name)
    values = values_of(profile, ()) | {
        one: str(tmp_path) for one, variable in profile.variables.items() if variable.default is None
    }
    for step in steps_of(profile, values, tmp_path):
        for command in step.commands:
            assert not isinstance(parse(kebench, list(command.words)), click.Group)


@pytest.mark.parametrize("name", profile_names())
def test_every_stage_says_what_its_estimate_is_based_on(name: str) -> None:
    for stage in read_profile(name).stages:
        assert stage.estimate.basis
        assert stage.estimate.minutes > 0


def test_the_full_profile_is_the_paper_s_grid() -> None:
    # 14 models (7 others, KeBioLM, five ablations, continued) and seven pretrainings
    profile = read_profile("full")
    stages = {stage.name: stage for stage in profile.stages}
    (grid,) = stages["fine-tune"].commands
    assert shlex.split(grid).count("--model") == 14
    assert "--budget paper" in grid
    assert len(stages["pretrain"].each) == 7
    assert len([line for line in stages["tables"].commands if " > {out}/tables/paper-" in line]) == 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("{more}", "{mor}"), "list: no variable {mor}"),
        (
            ('title = "tasks"', 'title = "tasks"\nafter = ["kb"]'),
            "list is after kb, which does not stand before",
        ),
        (('name = "list"', 'name = "A list"'), "stages.0.name"),
        (("machine", "machin"), "machine"),
        (("minutes = 1", "minutes = -1"), "minutes"),
        (('title = "small"', "title = "), "not valid TOML"),
    ],
)
def test_a_wrong_profile_is_refused_with_the_field(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=r"own\.toml") as refused:
        read_profile(written(tmp_path, SMALL.replace(*change)))
    assert message in str(refused.value)


def test_two_stages_of_one_name_are_refused(tmp_path: Path) -> None:
    stage = SMALL[SMALL.index("[[stages]]") :]
    with pytest.raises(UserError, match="two stages are called list"):
        read_profile(written(tmp_path, SMALL + stage))


def test_an_unknown_profile_and_a_missing_file_are_named() -> None:
    with pytest.raises(UserError, match="no profile 'mni'; did you mean 'mini'"):
        read_profile("mni")
    with pytest.raises(UserError, match=r"none\.toml: cannot be read"):
        read_profile("none.toml")


def test_variables_are_set_by_name(tmp_path: Path) -> None:
    profile = read_profile(written(tmp_path, SMALL))
    assert values_of(profile, ()) == {"more": ""}
    assert values_of(profile, ("more=--x=1 --y",)) == {"more": "--x=1 --y"}
    with pytest.raises(UserError, match="--set more: expected NAME=VALUE"):
        values_of(profile, ("more",))
    with pytest.raises(UserError, match="no variable 'mor'; did you mean 'more'"):
        values_of(profile, ("mor=1",))
