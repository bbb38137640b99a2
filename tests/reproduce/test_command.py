"""`kebench reproduce`: what is done is not done again, what has changed is, and nothing is lost."""

import csv
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import resources
from pathlib import Path

import psutil
import pytest

from kebench import processes
from kebench.cli import main
from kebench.errors import UserError
from kebench.reproduce import steps
from kebench.reproduce.profile import read_profile, values_of
from kebench.reproduce.run import State, carry_out, state_of
from kebench.reproduce.steps import Step, steps_of
from kebench.shipped import shipped
from kebench.tasks.card import read_task_card
from tests import forks

PYTHON = sys.executable
# Commands without torch, so that a run takes seconds: a knowledge base of a table, and what is read of it.
PROFILE = """
title = "own"
machine = "any"
shows = ["stats.json"]

[variables.terms]
help = "a table of terms"
is_path = true

[variables.more]
help = "a file that need not be named"
default = ""
is_path = true

[variables.form]
help = "of the output"
default = "json"

[variables.memory]
help = "how much memory"
default = ""
is_how = true

[[needs]]
kind = "path"
names = ["{terms}"]
remedy = "write it"
stages = ["kb"]

[[stages]]
name = "kb"
title = "knowledge base"
commands = ["kb import {more} --terms {terms} --out {out}/kb {memory}"]
makes = ["kb"]
estimate = {minutes = 0.1, basis = "guessed"}

[[stages]]
name = "stats"
title = "what is in it"
commands = ["kb stats {out}/kb --format {form} > {out}/stats.{form}"]
after = ["kb"]
estimate = {minutes = 0.1, basis = "guessed"}

[[stages]]
name = "tasks"
title = "apart from both"
each = ["ner", "mini-gad"]
commands = ["task list > {out}/lists/{each}.txt"]
makes = ["lists/{each}.txt"]
estimate = {minutes = 0.1, basis = "guessed"}
"""
TERMS = "id\tname\nMONDO:1\tgout\nMONDO:2\tasthma\n"


class Place:
    """A folder with a profile and a table, and the command on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        self.profile, self.terms = folder / "own.toml", folder / "terms.tsv"
        self.profile.write_text(PROFILE)
        self.terms.write_text(TERMS)
        self.command = ["reproduce", "--profile", str(self.profile), "--out", str(self.out),
                        "--set", f"terms={self.terms}"]  # fmt: skip

    def run(self, *more: str) -> None:
        main([*self.command, *more])

    def steps(self, *assignments: str) -> list[Step]:
        profile = read_profile(str(self.profile))
        return steps_of(profile, values_of(profile, (f"terms={self.terms}", *assignments)), self.out)

    def rewrite(self, old: str, new: str) -> None:
        """Change the profile in one place."""
        text = self.profile.read_text()
        assert text.count(old) == 1, old
        self.profile.write_text(text.replace(old, new))

    def states(self, *assignments: str) -> dict[str, State]:
        return {step.name: state_of(step, self.out) for step in self.steps(*assignments)}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have steps that this process starts done by forks: what is tested is which are begun, and when."""
    monkeypatch.setattr(sys, "executable", str(forks.launcher()))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place where all is done, not to be changed."""
    place = Place(tmp_path_factory.mktemp("made"))
    ended = forks.run(*place.command, before=forks.all_by_the_server())
    assert ended.returncode == 0, ended.stderr
    return place


@pytest.fixture
def done(made: Place, place: Place) -> Place:
    shutil.copytree(made.out, place.out)
    return place


def wait_for(path: Path, running: subprocess.Popen[bytes]) -> None:
    """Wait until a process has written a file."""
    while not path.exists():
        assert running.poll() is None, f"it ended, and {path} did not come"
        time.sleep(0.02)


def begun_in(said: str) -> list[str]:
    """Return the steps that were begun, by the lines that say so."""
    states = {state.value for state in State}
    return [
        name
        for line in said.splitlines()
        if (name := line.partition(":")[0]) and line.partition(": ")[2] in states
    ]


def test_all_steps_are_done_in_order_and_then_never_again(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.run()
    said = capfd.readouterr().err
    assert begun_in(said) == ["kb", "stats", "tasks-ner", "tasks-mini-gad"]
    assert json.loads((place.out / "stats.json").read_text())
    assert "mini-gad" in (place.out / "lists" / "ner.txt").read_text()
    assert f"  {place.out}/stats.json" in said
    place.run()
    again = capfd.readouterr().err
    assert begun_in(again) == []
    assert "nothing to do" in again


def test_a_changed_input_makes_again_what_comes_from_it_and_keeps_the_old(
    done: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    done.terms.write_text(TERMS + "MONDO:3\tscabies\n")
    done.run()
    said = capfd.readouterr().err
    assert begun_in(said) == ["kb", "stats"]
    assert f"kb: its inputs have changed; what was there is now {done.out}/kb.outdated-1" in said
    assert (done.out / "kb.outdated-1" / "kb.json").is_file()
    assert (done.out / "stats.json.outdated-1").is_file()


def test_a_touched_file_of_the_same_content_changes_nothing(done: Place) -> None:
    os.utime(done.terms, (1, 1))
    assert set(done.states().values()) == {State.DONE}


def test_an_input_that_is_gone_is_missed_only_by_steps_that_need_it(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    done = place
    done.run()
    capfd.readouterr()
    done.terms.unlink()
    done.run()
    assert "nothing to do" in capfd.readouterr().err
    (done.out / "kb" / "kb.json").write_text("{}")
    with pytest.raises(SystemExit):
        done.run()
    said = " ".join(capfd.readouterr().err.split())
    assert "is not there); write it" in said
    assert "1 thing is missing (see above); nothing was started" in said


def test_a_product_that_was_changed_is_made_again(done: Place, capfd: pytest.CaptureFixture[str]) -> None:
    path = done.out / "lists" / "ner.txt"
    path.write_text(path.read_text().replace("gad", "dag"))
    assert done.states()["tasks-ner"] is State.DAMAGED
    done.run()
    assert begun_in(capfd.readouterr().err) == ["tasks-ner"]
    assert "dag" in path.with_name("ner.txt.outdated-1").read_text()


def test_another_value_touches_only_the_commands_that_hold_it(done: Place) -> None:
    states = done.states("form=csv")
    assert [name for name, state in states.items() if state is not State.DONE] == ["stats"]


def test_how_a_command_works_is_no_part_of_what_it_makes(done: Place) -> None:
    assert set(done.states("memory=--memory-mib 300").values()) == {State.DONE}


def test_the_folder_may_be_moved(done: Place) -> None:
    moved = done.folder / "elsewhere"
    done.out.rename(moved)
    done.out = moved
    assert set(done.states().values()) == {State.DONE}


def test_a_path_of_the_user_s_may_hold_blanks(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.terms = place.terms.rename(tmp_path / "my own terms.tsv")
    place.command[-1] = f"terms={place.terms}"
    place.out = tmp_path / "my reproduction"
    place.command[4] = str(place.out)
    place.run()
    assert set(place.states().values()) == {State.DONE}


def test_an_input_may_be_moved(done: Place) -> None:
    (done.folder / "elsewhere").mkdir()
    done.terms = done.terms.rename(done.folder / "elsewhere" / done.terms.name)
    assert set(done.states().values()) == {State.DONE}


def test_two_steps_of_one_name_are_refused(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.rewrite('each = ["ner", "mini-gad"]', 'each = ["ner", "{out}/ner"]')
    with pytest.raises(SystemExit) as stop:
        place.run()
    assert stop.value.code == 2
    assert "two steps would be called tasks-ner" in capfd.readouterr().err


def test_a_value_of_each_may_hold_a_variable(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.rewrite('each = ["ner", "mini-gad"]', 'each = ["ner", "{form}"]')
    place.run()
    assert begun_in(capfd.readouterr().err) == ["kb", "stats", "tasks-ner", "tasks-json"]
    assert (place.out / "lists" / "json.txt").is_file()


def test_what_goes_on_may_grow_and_may_not_shrink(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.rewrite('each = ["ner", "mini-gad"]\n', "goes_on = true\n")
    place.rewrite("> {out}/lists/{each}.txt", "> {out}/lists/all.txt")
    place.rewrite('makes = ["lists/{each}.txt"]', 'makes = ["lists"]')
    place.run()
    (place.out / "lists" / "more.txt").write_text("of another command")
    assert place.states()["tasks"] is State.DONE
    (place.out / "lists" / "all.txt").unlink()
    capfd.readouterr()
    place.run()
    assert begun_in(capfd.readouterr().err) == ["tasks"]
    assert sorted(path.name for path in (place.out / "lists").iterdir()) == ["all.txt", "more.txt"]


def test_what_reads_a_folder_that_grows_is_made_again_once_it_has_grown(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.rewrite('makes = ["kb"]\n', 'makes = ["kb"]\ngoes_on = true\n')
    place.run()
    (place.out / "kb" / "more.json").write_text("{}")
    (place.out / "kb" / "more.running").write_text("a lease, which comes and goes")
    assert place.states()["kb"] is State.DONE
    assert place.states()["stats"] is State.OUTDATED
    capfd.readouterr()
    place.run()
    assert begun_in(capfd.readouterr().err) == ["stats"]
    (place.out / "kb" / "more.running").unlink()
    assert set(place.states().values()) == {State.DONE}


def reads(place: Place, one: str) -> None:
    place.rewrite('makes = ["kb"]\n', f'makes = ["kb"]\nreads = ["{one}"]\n')


def changed_by_reading(place: Place) -> list[str]:
    return [name for name, state in place.states().items() if state is State.OUTDATED]


def test_a_recipe_of_the_same_name_in_the_working_folder_is_another_input(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    reads(place, "recipe pretraining/kebiolm-frz")
    place.run()
    (place.folder / "pretraining").mkdir()
    own = place.folder / "pretraining" / "kebiolm.toml"  # which kebiolm-frz extends
    own.write_text((shipped("pretraining") / "kebiolm.toml").read_text() + "# the same\n")
    assert changed_by_reading(place) == []
    own.write_text(own.read_text().replace("seed =", "seed = 1 #"))
    assert changed_by_reading(place) == ["kb", "stats"]


def test_a_recipe_that_is_not_there_is_told_at_once(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    reads(place, "recipe pretraining/kebilm")
    with pytest.raises(SystemExit):
        place.run()
    assert "no recipe 'kebilm'; did you mean 'kebiolm'" in capfd.readouterr().err
    assert not (place.out / "kb").exists()


def test_data_of_a_task_are_an_input(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEBENCH_DATA", str(place.folder))
    folder = place.folder / read_task_card("gad").folders[0]
    folder.mkdir()
    for name in read_task_card("gad").files.values():
        (folder / name).write_text("as it was")
    reads(place, "tasks gad")
    place.run()
    assert changed_by_reading(place) == []
    (folder / read_task_card("gad").files["test"]).write_text("another")
    assert changed_by_reading(place) == ["kb", "stats"]


def test_a_checkpoint_of_the_user_s_is_an_input_wherever_it_stands(place: Place) -> None:
    folder = place.folder / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    reads(place, f"model {folder}")
    place.run()
    moved = place.folder / "elsewhere" / "mine"
    moved.parent.mkdir()
    folder.rename(moved)
    place.rewrite(f"model {folder}", f"model {moved}")
    assert changed_by_reading(place) == []
    (moved / "config.json").write_text("{ }")
    assert changed_by_reading(place) == ["kb", "stats"]


def test_a_model_that_a_step_makes_is_no_input_of_the_user_s(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is called, in the working folder too; a card's name and a source are, even there."""
    monkeypatch.chdir(place.folder)
    place.out = Path()
    place.profile.write_text(PROFILE.replace("task list >", "run --tasks gad --plan --model {form} >"))

    def key(name: str) -> str:
        return place.steps(f"form={name}")[-1].key

    before = {name: key(name) for name in ("mine", "./mine", "bert-mini", "hub:somebody/mine")}
    for folder in ("mine", "bert-mini"):
        (place.folder / folder).mkdir()
        (place.folder / folder / "config.json").write_text("{}")
    assert {name: key(name) for name in before} == before


def test_the_plan_shows_what_is_done_and_starts_nothing(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.run("--plan")
    said = capfd.readouterr().err
    assert "0 of 2" in said
    assert "  form=json\n    of the output\n" in said
    assert not place.out.exists() or list(place.out.iterdir()) == [place.out / "steps"]
    place.run()
    capfd.readouterr()
    place.run("--plan")
    assert "2 of 2" in capfd.readouterr().err


def test_a_stage_alone_needs_those_before_it(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        place.run("--stage", "stats")
    assert stop.value.code == 2
    assert "the stage kb comes before and is not done (kb: to do)" in capfd.readouterr().err
    place.run("--stage", "kb")
    assert begun_in(capfd.readouterr().err) == ["kb"]
    place.run("--stage", "stats")
    assert begun_in(capfd.readouterr().err) == ["stats"]
    with pytest.raises(SystemExit):
        place.run("--stage", "stat")
    assert "no stage 'stat'; did you mean 'stats'" in capfd.readouterr().err


def test_a_stage_alone_asks_only_for_what_it_reads(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    main(["reproduce", "--profile", str(place.profile), "--out", str(place.out), "--stage", "tasks"])
    said = capfd.readouterr().err
    assert begun_in(said) == ["tasks-ner", "tasks-mini-gad"]
    assert "missing" not in said


def test_a_file_for_the_folder_is_refused(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.out.write_text("")
    with pytest.raises(SystemExit) as stop:
        place.run()
    assert stop.value.code == 2
    assert f"{place.out}: a file; name a folder with --out" in capfd.readouterr().err


def test_a_model_that_cannot_be_fetched_stops_it_before_anything_starts(
    place: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    place.rewrite("[[stages]]\nname = \"kb\"", """[[needs]]
kind = "models"
names = ["biobert"]
remedy = "see it"
[[stages]]
name = "kb\"""")  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        place.run()
    said = " ".join(capfd.readouterr().err.split())
    assert stop.value.code == 2
    assert "to fetch: the model biobert (not fetched yet)" in said
    assert "a model cannot be fetched (see above); nothing was started" in said
    assert not (place.out / "kb").exists()


def test_ray_is_asked_for_before_anything_starts(
    place: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        place.run("--set", "memory=--engine ray")
    assert "missing: the package ray (not installed); pip install 'kebench[cluster]'" in " ".join(
        capfd.readouterr().err.split()
    )


def test_everything_that_is_missing_is_named_at_once(
    place: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEBENCH_DATA", str(place.folder / "no data"))
    place.profile.write_text(
        PROFILE.replace('stages = ["kb"]', """
[[needs]]
kind = "release"
names = ["/nowhere"]
remedy = "get a licence"
[[needs]]
kind = "tasks"
names = ["gad,mini-gad,chemprot,ddi"]
remedy = "ask for {name}"
[[needs]]
kind = "package"
names = ["no_such_package", "json"]
remedy = "pip install it"
[[needs]]
kind = "models"
names = ["kebiolm", "bert-mini", "biobert"]
remedy = "see {name}"
[[needs]]
kind = "disk"
names = ["0.001", "1e9"]
remedy = "another disk"
""")
    )  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", "--profile", str(place.profile), "--out", str(place.out)])
    said = " ".join(capfd.readouterr().err.split())
    assert stop.value.code == 2
    for words in (
        "missing: --set terms=... (a table of terms); set it",
        "missing: a UMLS release in /nowhere",
        "missing: data of chemprot, ddi, gad (not whole in",
        "ask for NAME",
        "missing: the package no_such_package (not installed); pip install it",
        "missing: the model kebiolm",
        "see kebiolm",
        "to fetch: the model biobert (not fetched yet); kebench model get biobert",
        "missing: 1,000,000,000 GiB of disk",
        "8 things are missing (see above); nothing was started",
    ):
        assert words in said
    assert "mini-gad" not in said
    assert "bert-mini" not in said


def test_what_several_needs_lack_is_told_once(
    place: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEBENCH_DATA", str(place.folder / "no data"))
    place.rewrite('stages = ["kb"]\n', """stages = ["kb"]
[[needs]]
kind = "tasks"
names = ["gad"]
remedy = "ask for {name}"
[[needs]]
kind = "tasks"
names = ["gad,ddi"]
remedy = "see {name}"
""")  # fmt: skip
    place.run("--plan")
    said = " ".join(capfd.readouterr().err.split())
    assert said.count("data of gad") == 1
    assert "ask for gad" in said
    assert "see ddi" in said


def test_an_option_that_there_is_not_is_told_before_anything_starts(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.rewrite("> {out}/lists/{each}.txt", "--sorted > {out}/lists/{each}.txt")
    with pytest.raises(SystemExit) as stop:
        place.run()
    said = capfd.readouterr().err
    assert stop.value.code == 2
    assert "tasks-ner: No such option" in said
    assert "The command is kebench task list --sorted" in said
    assert "tasks-mini-gad: No such option" in said  # all at once
    assert "mend the profile, or its --set" in said
    assert begun_in(said) == []


def test_a_file_that_a_step_makes_need_not_be_there_before(place: Place) -> None:
    place.rewrite(
        "kb stats {out}/kb --format {form} >", "kb import --terms {out}/kb/no.tsv --out {out}/own >"
    )
    with pytest.raises(SystemExit):
        place.run()
    assert place.states()["kb"] is State.DONE


def test_a_launcher_that_is_not_there_is_told_before_anything_starts(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.rewrite('default = "json"\n', 'default = "json"\n[variables.launcher]\nhelp = "it"\ndefault = ""\n')
    place.rewrite('after = ["kb"]\n', 'after = ["kb"]\nlauncher = "launcher"\n')
    with pytest.raises(SystemExit):
        place.run("--set", "form=json", "--set", "launcher=no-such-program launch -m")
    said = " ".join(capfd.readouterr().err.split())
    assert "missing: the program no-such-program (not found)" in said
    assert begun_in(said) == []


def test_a_command_that_fails_stops_it_and_the_same_command_goes_on(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.terms.write_text("id\tname\nMONDO:1\n")
    with pytest.raises(SystemExit) as stop:
        place.run()
    said = capfd.readouterr().err
    assert stop.value.code == 2
    assert "terms.tsv" in said
    assert "ended with 2 (see above); mend it, and the same command goes on" in said
    assert "Traceback" not in said
    place.terms.write_text(TERMS)
    place.run()
    assert set(place.states().values()) == {State.DONE}


def test_a_damaged_stamp_is_a_step_to_do(done: Place) -> None:
    (done.out / "steps" / "stats.json").write_text("{")
    assert done.states()["stats"] is State.TO_DO
    done.run()
    assert done.states()["stats"] is State.DONE


def test_what_stands_there_without_a_stamp_is_not_taken_for_new(done: Place) -> None:
    (done.out / "steps" / "kb.json").unlink()
    done.terms.write_text(TERMS + "MONDO:3\tscabies\n")
    done.run()
    new, old = (json.loads((done.out / name / "kb.json").read_text()) for name in ("kb", "kb.outdated-1"))
    assert new != old


@pytest.mark.slow
@pytest.mark.parametrize("point", ["step.written", "step.renamed", "kb.written", "kb.renamed"])
def test_killed_at_a_write_the_same_command_finishes(place: Place, point: str) -> None:
    command = [PYTHON, "-m", "kebench", *place.command]
    killed = subprocess.run(
        command, env=os.environ | {"KEBENCH_CRASH_AT": point}, capture_output=True, check=False
    )
    assert killed.returncode != 0
    subprocess.run(command, capture_output=True, check=True)
    assert set(place.states().values()) == {State.DONE}
    assert not list(place.out.glob("*.outdated-*"))


def test_another_with_other_settings_is_refused_while_one_works(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    running = subprocess.Popen([PYTHON, "-m", "kebench", *place.command], stderr=subprocess.PIPE)
    wait_for(place.out / "steps" / "kb.json", running)
    running.send_signal(signal.SIGSTOP)
    other = place.folder / "other.tsv"
    other.write_text(TERMS + "MONDO:3\tscabies\n")
    with pytest.raises(SystemExit) as stop:
        place.run("--set", f"terms={other}", "--stage", "tasks")
    running.send_signal(signal.SIGCONT)
    running.communicate()
    assert stop.value.code == 2
    assert f"{place.out}: another reproduction makes kb there" in capfd.readouterr().err
    assert running.returncode == 0


def test_an_input_that_changes_meanwhile_is_not_taken_for_what_it_was(place: Place) -> None:
    kb, *_ = place.steps()
    place.terms.write_text(TERMS + "MONDO:3\tscabies\n")
    with pytest.raises(UserError, match="kb: its inputs were changed meanwhile"):
        carry_out([kb], place.out, say=lambda line: None, again=place.steps)
    assert place.states()["kb"] is State.TO_DO


def test_a_product_made_again_as_it_was_outdates_nothing(
    done: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    """A knowledge base says when it was made, which is no part of what it says."""
    shutil.rmtree(done.out / "kb")
    done.run()
    assert begun_in(capfd.readouterr().err) == ["kb"]


def test_a_product_made_again_as_another_outdates_what_reads_it(
    done: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    done.rewrite('commands = ["kb import', 'commands = ["task list > {out}/kb/list.txt", "kb import')
    done.rewrite("--out {out}/kb {memory}", "--out {out}/kb/of {memory}")
    done.rewrite("kb stats {out}/kb ", "kb stats {out}/kb/of ")
    done.run()
    capfd.readouterr()
    stamp = done.out / "steps" / "kb.json"  # as if the list had been another when stats was made
    fields = json.loads(stamp.read_text())
    stamp.write_text(json.dumps(fields | {"essence": "0" * 64}))
    assert done.states()["stats"] is State.OUTDATED
    assert done.states()["kb"] is State.DONE


SHARED = """
title = "shared"
machine = "any"
[[stages]]
name = "list"
title = "two steps that fill one folder, as probes and grids do"
each = ["ner", "gad"]
commands = ["task list > {out}/lists/{each}.json", "task list > {out}/lists/{each}.predictions.json.gz"]
makes = ["lists"]
goes_on = true
estimate = {minutes = 0.1, basis = "guessed"}
[[stages]]
name = "count"
title = "what reads it"
commands = ["task list > {out}/count.txt"]
after = ["list"]
estimate = {minutes = 0.1, basis = "guessed"}
"""


@pytest.fixture
def shared(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Place:
    place = Place(tmp_path)
    place.profile.write_text(SHARED)
    place.command = place.command[:5]
    place.run()
    capfd.readouterr()
    return place


def states_of(place: Place) -> dict[str, str]:
    profile = read_profile(str(place.profile))
    return {step.name: state_of(step, place.out).value for step in steps_of(profile, {}, place.out)}


def test_of_a_folder_that_is_shared_a_step_owns_what_it_made(
    shared: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("ner.json", "ner.predictions.json.gz"):
        (shared.out / "lists" / name).unlink()
    shared.run()
    assert begun_in(capfd.readouterr().err) == ["list-ner"]
    assert set(states_of(shared).values()) == {"done"}
    shared.run()
    assert "nothing to do" in capfd.readouterr().err
    assert not list(shared.out.rglob("*.outdated-*"))


def test_a_step_that_was_killed_owns_what_it_made_before(
    shared: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    stamp = shared.out / "steps" / "list-gad.json"
    fields = json.loads(stamp.read_text())
    made = fields["products"]
    assert sorted(made) == ["lists/gad.json", "lists/gad.predictions.json.gz"]
    others = json.loads((shared.out / "steps" / "list-ner.json").read_text())["products"]
    stamp.write_text(json.dumps(fields | {"finished": False, "products": others}))
    assert states_of(shared)["list-gad"] == "begun"
    shared.run()
    assert sorted(json.loads(stamp.read_text())["products"]) == sorted(made)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_text("a number that somebody liked better"), "is not as it was left"),
        (lambda path: path.unlink(), "is gone, and what belongs to it is not"),
    ],
    ids=["changed", "gone"],
)
@pytest.mark.parametrize("name", ["gad.json", "gad.predictions.json.gz"])
def test_a_record_that_was_spoilt_is_neither_taken_nor_thrown_away(
    shared: Place, name: str, spoil: Callable[[Path], object], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = shared.out / "lists" / name
    spoil(path)
    for _ in range(2):
        with pytest.raises(SystemExit) as stop:
            shared.run()
        assert stop.value.code == 2
        assert f"list-gad: {path} {said}; put it back, or remove it" in capfd.readouterr().err
    for one in ("gad.json", "gad.predictions.json.gz"):
        (shared.out / "lists" / one).unlink(missing_ok=True)
    shared.run()
    assert set(states_of(shared).values()) == {"done"}


def test_what_is_being_written_is_no_part_of_a_folder(shared: Place) -> None:
    for passing in (".x.1-abc.tmp/probe.json", "a.parts/0.parquet", "seed0.running"):
        path = shared.out / "lists" / passing
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    assert set(states_of(shared).values()) == {"done"}


def test_what_went_before_may_change_while_a_step_is_begun(done: Place) -> None:
    stats, kb = (done.out / "steps" / f"{name}.json" for name in ("stats", "kb"))
    stats.write_text(json.dumps(json.loads(stats.read_text()) | {"finished": False}))
    assert done.states()["stats"] is State.BEGUN
    kb.write_text(json.dumps(json.loads(kb.read_text()) | {"essence": "0" * 64}))
    assert done.states()["stats"] is State.OUTDATED


def test_another_version_of_kebench_looks_again_at_what_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.rewrite('makes = ["kb"]\n', 'makes = ["kb"]\ngoes_on = true\n')
    place.run()
    monkeypatch.setattr(steps, "PROTOCOL_VERSION", 99)
    assert place.states()["kb"] is State.OUTDATED
    assert place.states()["tasks-ner"] is State.DONE


@pytest.mark.parametrize("makes", [".", "..", "/tmp", "steps", "steps/kb.json", "lists/../.."])
def test_a_step_makes_things_only_within_the_folder(
    place: Place, makes: str, capfd: pytest.CaptureFixture[str]
) -> None:
    place.rewrite('makes = ["kb"]\n', f'makes = ["{makes}"]\n')
    with pytest.raises(SystemExit) as stop:
        place.run()
    assert stop.value.code == 2
    assert "no place of its own" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("memory='", "cannot be split into words (No closing quotation); mend it"),
        ("memory=--help", "asks for help, and makes nothing; mend the profile, or its --set"),
        ("terms=", "missing: --set terms=... (a table of terms); set it"),
        ("memory=--triples nowhere.tsv", "nowhere.tsv' does not exist; mend the profile, or its --set"),
    ],
)
def test_a_value_that_cannot_be_is_told_before_anything_starts(
    place: Place, assignment: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for more in ((), ("--plan",)):
        with suppress(SystemExit):
            place.run("--set", assignment, *more)
        assert said in " ".join(capfd.readouterr().err.split())
        assert not (place.out / "kb").exists()


def test_another_process_that_has_a_step_in_hand_is_named(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    command = [PYTHON, "-m", "kebench", *place.command]
    running = subprocess.Popen(command, stderr=subprocess.PIPE)
    wait_for(place.out / "steps" / "kb.json", running)
    place.run()
    running.communicate()
    assert "kb: another process has it in hand; waiting for it" in capfd.readouterr().err


def test_what_is_made_of_two_settings_is_not_kept(place: Place) -> None:
    place.run("--stage", "kb")
    _, stats, *_ = place.steps()
    with pytest.raises(UserError, match=r"stats: what it reads \(kb\) has meanwhile been made again"):
        carry_out(
            [stats], place.out, say=lambda line: (place.out / "steps" / "kb.json").unlink(), again=place.steps
        )
    assert place.states()["stats"] is State.TO_DO


def test_two_at_once_do_every_step_once(place: Place) -> None:
    command = [PYTHON, "-m", "kebench", *place.command]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate()[1] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(name for one in said for name in begun_in(one)) == sorted(place.states())


LONG = """
title = "long"
machine = "any"
[[stages]]
name = "kb"
title = "knowledge base"
commands = ["kb import embedded:mini --out {out}/kb"]
makes = ["kb"]
estimate = {minutes = 0.1, basis = "guessed"}
[[stages]]
name = "embed"
title = "hours"
commands = ["embed {out}/kb --recipe transe-mini --epochs 100000 --out {out}/vectors"]
after = ["kb"]
makes = ["vectors"]
estimate = {minutes = 0.1, basis = "guessed"}
"""


def _patient() -> None:
    """Give a command that was told to stop as long as a busy machine takes; one test waits for all of it."""
    processes._GRACE_SECONDS = 10.0


@pytest.fixture
def embedding(tmp_path: Path) -> Iterator[forks.Running]:
    """A reproduction in the midst of a command of hours, in a session of its own as at a terminal."""
    (tmp_path / "long.toml").write_text(LONG)
    running = forks.start(
        "reproduce", "--profile", "long.toml", "--out", "out", folder=tmp_path, log=tmp_path / "log",
        own_session=True, before=_patient, KEBENCH_CACHE=str(tmp_path / "cache"),
    )  # fmt: skip
    while "training on" not in (tmp_path / "log").read_text():
        assert running.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.02)
    yield running
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)


def _whole_group(running: forks.Running) -> None:
    os.killpg(running.pid, signal.SIGINT)


def _again_and_again(running: forks.Running) -> None:
    for _ in range(3):
        running.send_signal(signal.SIGTERM)
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "stop",
    [
        _whole_group,
        _again_and_again,
        lambda running: running.send_signal(signal.SIGINT),
        lambda running: running.send_signal(signal.SIGTERM),
        lambda running: running.send_signal(signal.SIGHUP),
    ],
    ids=["ctrl-c", "terminated-thrice", "interrupted-alone", "terminated", "hung-up"],
)
def test_stopped_it_says_so_once_and_leaves_no_process_behind(
    embedding: forks.Running, stop: Callable[[forks.Running], None], tmp_path: Path
) -> None:
    (command,) = psutil.Process(embedding.pid).children()
    stop(embedding)
    assert embedding.wait() == 130
    said = (tmp_path / "log").read_text()
    assert said.count("stopped; what was finished is kept") == 1
    assert "Traceback" not in said
    assert not command.is_running()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell nobody of a parent's end")
def test_killed_it_takes_its_command_along(embedding: forks.Running) -> None:
    (command,) = psutil.Process(embedding.pid).children()
    embedding.kill()
    embedding.wait()
    psutil.wait_procs([command])
    assert not command.is_running()


# What is left out: all variants but KeBioLM and the control, and most of every number.
VARIANTS = (
    "kebiolm-no-wem-mini",
    "kebiolm-rand-mini",
    "kebiolm-frz-mini",
    "kebiolm-4-8-mini",
    "kebiolm-12-0-mini",
)
CUTS = {
    "--out {out}/models/{each}": "--out {out}/models/{each} --steps 4",
    "--queries 200": "--queries 4 --max-masks 1",
    "mini-ner,mini-re --seeds 5 --epochs 4": "mini-gad,mini-ncbi-disease --seeds 2 --epochs 1",
}


@pytest.mark.slow
def test_the_whole_paper_on_the_miniature(tmp_path: Path) -> None:
    pytest.importorskip("altair")
    text = resources.files("kebench.reproduce").joinpath("profiles", "mini.toml").read_text(encoding="utf-8")
    for name in VARIANTS:
        for place in (f', "{name}"', f', "{{out}}/models/{name}"', f"--model {{out}}/models/{name}"):
            assert text.count(place) == 1, place
            text = text.replace(place, "")
        text = re.sub(rf" --as {re.escape(f'{{out}}/models/{name}')}=\S+", "", text)
    for long, short in CUTS.items():
        assert text.count(long) == 1, long
        text = text.replace(long, short)
    text = re.sub(r'^  "[^"]* --format latex [^"]*",\n', "", text, flags=re.MULTILINE)
    (tmp_path / "cut.toml").write_text(text)
    out = tmp_path / "out"
    command = ["reproduce", "--profile", tmp_path / "cut.toml", "--out", out]
    made = forks.run(*command, before=forks.all_by_the_server())
    assert made.returncode == 0, made.stderr
    assert "Traceback" not in made.stderr
    for name in ("kb/kb.json", "corpus/corpus.json", "set/set.json", "models/continued-mini/config.json",
                 "tables/paper-2.txt", "tables/significance.txt", "site/index.html"):  # fmt: skip
        assert (out / name).stat().st_size > 0
    with (out / "tables" / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    measured = {row["model"] for row in rows if row["task"] == "mini-gad"}
    assert measured == {"bert-mini-random", "bert-mini", "kebiolm-mini", "continued-mini"}
    assert "kebiolm-mini" in (out / "tables" / "probes.txt").read_text()
    again = forks.run(*command)
    assert again.returncode == 0
    assert "nothing to do" in again.stderr
    (tmp_path / "cut.toml").write_text(text.replace("--steps 4", "--steps 5"))
    other = forks.run(*command, before=forks.all_by_the_server())
    assert other.returncode == 0, other.stderr
    assert "probe-bert-mini: to do" not in other.stderr
    with (out / "tables" / "leaderboard.csv").open() as file:
        labels = {row["label"] for row in csv.DictReader(file) if row["task"] == "mini-gad"}
    assert len(labels) == len(measured) + 2  # old weights and new of the two that were pretrained again
    assert "kebiolm-mini [" in (out / "tables" / "kebiolm-continued.txt").read_text()
