"""A probe from the command: what it writes, how it goes on after a kill, and two processes at once."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.compute
import pyarrow.parquet
import pytest
import torch
from click.testing import CliRunner

from kebench.cli import main
from kebench.cli.probe import probe
from kebench.errors import UserError
from kebench.leases import _started, stale_token
from kebench.probe import fill
from kebench.probe.plan import read_decoder
from kebench.probe.query_set import QuerySet
from kebench.probe.record import (
    PROBE_PROTOCOL_VERSION,
    PROBE_RECORD,
    ProbeRecord,
    probe_record_paths,
)
from kebench.probe.stored import find_probes
from tests import forks
from tests.forks import KILLED
from tests.probe.small_probes import answer, query_table, write_set
from tests.tiny_checkpoints import write_tiny_bert, write_tiny_electra, write_tiny_kebiolm, write_tiny_lm

SMALL = ("--beam", "2", "--max-masks", "3", "--queries", "150", "--device", "cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture(scope="module")
def query_set(mini_sets: dict[str, QuerySet]) -> Path:
    return mini_sets["fixed"].folder


def arguments(model: Path, query_set: Path, out: Path, *more: str) -> list[str]:
    return ["run", "--model", str(model), "--set", str(query_set), "--out", str(out), *SMALL, *more]


def start(*command: str, crash_at: str = "", own_session: bool = False) -> forks.Running:
    """Start `kebench probe COMMAND` in a process of its own; a part is 16 queries, so there are ten."""
    return forks.start("probe", *command, crash_at=crash_at, own_session=own_session)


def invoke(*command: str) -> Any:
    return CliRunner().invoke(probe, list(command), catch_exceptions=False)


def found(out: Path) -> tuple[dict[str, Any], pyarrow.Table]:
    """Return the only record under a folder, less its provenance, and its predictions."""
    (path,) = probe_record_paths(out)
    record = json.loads(path.read_text())
    del record["provenance"]
    return record, pyarrow.parquet.read_table(path.with_name("predictions.parquet"))


@pytest.fixture(scope="module")
def undisturbed(model: Path, query_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("undisturbed")
    assert invoke(*arguments(model, query_set, out)).exit_code == 0
    return found(out)


def test_a_probe_writes_predictions_and_a_record_and_prints_its_scores(
    model: Path, query_set: Path, tmp_path: Path
) -> None:
    result = invoke(*arguments(model, query_set, tmp_path))
    ((record, _),) = find_probes([tmp_path], ProbeRecord)
    assert (record.counts.queries, record.counts.decoded, record.counts.too_long) == (150, 150, 0)
    predictions = found(tmp_path)[1]
    assert len(predictions) == 150 * 3 * 2
    ids = predictions["query_id"].to_pylist()
    assert ids == sorted(ids)
    lines = result.stdout.splitlines()
    assert lines[0].split(" on ")[0] == record.model
    assert lines[1].split("  ")[0] == "queries"
    assert lines[2].split()[:2] == ["all", "150"]
    assert ": 150 of 1,038 queries (seed 0) in " in result.stderr
    assert lines[-1].startswith(f"predictions and record: {tmp_path}")
    assert all(len(line) <= 80 for line in lines[:-1])
    assert not list(tmp_path.rglob("*.parts"))


def test_a_probe_takes_fewer_word_pieces_at_once_when_cuda_runs_out_of_memory(
    model: Path, query_set: Path, undisturbed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_queries, tried = fill.answer_queries, []

    def answer_or_out_of_memory(*given: Any, batch_tokens: int) -> pyarrow.Table:
        tried.append(batch_tokens)
        if batch_tokens > 600:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return answer_queries(*given, batch_tokens=batch_tokens)

    monkeypatch.setattr(fill, "answer_queries", answer_or_out_of_memory)
    assert invoke(*arguments(model, query_set, tmp_path)).exit_code == 0
    assert tried[:4] == [2048, 1024, 512, 512]  # and what is left goes on with that
    assert found(tmp_path)[1].drop_columns(["token_log_probs", "sum_log_prob"]) == undisturbed[
        1
    ].drop_columns(["token_log_probs", "sum_log_prob"])

    chosen = arguments(model, query_set, tmp_path / "chosen", "--batch-tokens", "1000")
    with pytest.raises(torch.cuda.OutOfMemoryError):
        invoke(*chosen)


def test_a_probe_that_is_recorded_is_not_made_again(
    model: Path, query_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = invoke(*arguments(model, query_set, tmp_path))
    monkeypatch.setattr(fill, "answer_queries", None)
    again = invoke(*arguments(model, query_set, tmp_path))
    assert "nothing to do: " in again.stderr
    assert again.stdout == first.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment", ["probe-part.written", "probe-part.renamed:2", "probe.written", "probe.renamed"]
)
def test_a_killed_probe_goes_on_to_the_same_end(
    moment: str, model: Path, query_set: Path, undisturbed: Any, tmp_path: Path
) -> None:
    command = arguments(model, query_set, tmp_path)
    assert start(*command, crash_at=moment).wait() == KILLED
    assert bool(probe_record_paths(tmp_path)) == (moment == "probe.renamed")
    assert start(*command).wait() == 0
    record, predictions = found(tmp_path)
    assert record == undisturbed[0]
    assert predictions["tokens"] == undisturbed[1]["tokens"]
    left = [path.name for path in tmp_path.rglob("*") if path.is_file() and ".tmp" not in path.parent.name]
    assert sorted(left) == ["predictions.parquet", PROBE_RECORD, "tokenizer.json"]


@pytest.mark.slow
def test_two_processes_share_a_probe(model: Path, query_set: Path, undisturbed: Any, tmp_path: Path) -> None:
    command = arguments(model, query_set, tmp_path)
    both = [start(*command), start(*command)]
    assert [process.wait() for process in both] == [0, 0]
    record, predictions = found(tmp_path)
    assert record == undisturbed[0]
    assert predictions.drop(["token_log_probs", "sum_log_prob"]) == undisturbed[1].drop(
        ["token_log_probs", "sum_log_prob"]
    )


def owners(out: Path) -> set[int]:
    """Return the processes that have a part in hand."""
    found = set()
    for path in out.rglob("part-*.running"):
        with suppress(OSError, ValueError):  # it has just been given back
            found.add(json.loads(path.read_text())["pid"])
    return found


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; pytest's own limit ends what never is."""
    while not is_so():
        time.sleep(0.01)


def waiting_for(event: Callable[[], None]) -> Callable[..., pyarrow.Table]:
    """Return `answer_queries`, which is called after something has happened in another process."""
    answer_queries = fill.answer_queries

    def answer(*given: Any, **more: Any) -> pyarrow.Table:
        event()
        return answer_queries(*given, **more)

    return answer


@pytest.mark.slow
def test_two_workers_give_the_record_and_the_predictions_of_one_and_print_it_once(
    model: Path,
    query_set: Path,
    undisturbed: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def see_a_part_of_the_other() -> None:
        until(lambda: any(tmp_path.rglob("part-*.parquet")))

    monkeypatch.setattr(fill, "answer_queries", waiting_for(see_a_part_of_the_other))
    result = invoke(*arguments(model, query_set, tmp_path, "--workers", "2"))
    record, predictions = found(tmp_path)
    assert record == undisturbed[0]
    assert predictions["tokens"] == undisturbed[1]["tokens"]
    assert "2 processes share the work (--workers)" in result.stderr
    assert result.stdout == invoke(*arguments(model, query_set, tmp_path)).stdout
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.rglob("*.parts"))


@pytest.mark.slow
def test_a_worker_that_dies_with_a_part_in_hand_does_not_lose_the_probe(
    model: Path,
    query_set: Path,
    undisturbed: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    killed: list[int] = []

    def kill_the_other() -> None:
        until(lambda: bool(killed or owners(tmp_path) - {os.getpid()}))
        for pid in owners(tmp_path) - {os.getpid(), *killed}:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    monkeypatch.setattr(fill, "answer_queries", waiting_for(kill_the_other))
    assert invoke(*arguments(model, query_set, tmp_path, "--workers", "2")).exit_code == 0
    assert len(killed) == 1
    assert caplog.text.count("one of the workers ended (killed by SIGKILL); the others do its share") == 1
    record, predictions = found(tmp_path)
    assert record == undisturbed[0]
    assert predictions["tokens"] == undisturbed[1]["tokens"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_command(
    how: signal.Signals, model: Path, query_set: Path, tmp_path: Path
) -> None:
    long = ("--queries", "1000", "--beam", "5", "--max-masks", "10", "--workers", "2")
    process = start(*arguments(model, query_set, tmp_path, *long), own_session=True)
    until(lambda: len(owners(tmp_path)) == 2)
    workers = owners(tmp_path) - {process.pid}
    if how == signal.SIGINT:  # a terminal sends it to all
        os.killpg(process.pid, how)
    else:
        process.kill()
    _, told = process.communicate()
    until(lambda: not any(_started(pid) for pid in workers))
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert told.splitlines()[-1].startswith("kebench: stopped; what was finished is kept")
        assert "Traceback" not in told
        assert "one of the workers" not in told
    assert all(stale_token(path) is not None for path in tmp_path.rglob("part-*.running")), (
        "nobody waits for it"
    )


def test_other_settings_are_another_probe(model: Path, query_set: Path, tmp_path: Path) -> None:
    for more in ((), ("--decoder", "order"), ("--seed", "1"), ("--mode", "released"), ("--refine", "1")):
        invoke(*arguments(model, query_set, tmp_path, *more))
    assert len({record.identity for record, _ in find_probes([tmp_path], ProbeRecord)}) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "nowhere"), "no set of queries"),
    ],
)
def test_a_wrong_option_is_one_line(
    options: tuple[str, ...], message: str, model: Path, query_set: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        invoke(*arguments(model, query_set, tmp_path), *options)


@pytest.mark.parametrize(
    ("option", "value", "bounds"),
    [
        ("--beam", 0, "1<=x<=100"),
        ("--beam", 101, "1<=x<=100"),
        ("--max-masks", 51, "1<=x<=50"),
        ("--refine", 51, "0<=x<=50"),
    ],
)
def test_what_the_predictions_cannot_hold_is_refused_by_the_option_s_name(
    option: str, value: int, bounds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["probe", "run", "--model", "m", "--set", "s", option, str(value)])
    assert stop.value.code == 2
    assert f"Invalid value for '{option}': {value} is not in the range {bounds}." in capsys.readouterr().err
    name = option.removeprefix("--").replace("-", "_")
    with pytest.raises(UserError, match=rf"decoder: {name} = {value}: .*; choose another value"):
        read_decoder("fixed", **{name: value})


@pytest.mark.parametrize(
    "most", [("--beam", "100", "--max-masks", "2"), ("--beam", "1", "--max-masks", "50", "--refine", "50")]
)
def test_the_bounds_of_the_options_fit_into_the_predictions(
    most: tuple[str, ...], model: Path, tmp_path: Path
) -> None:
    folder = write_set(tmp_path / "set", query_table(("r", [answer("C1", "a")], False, False)))
    invoke("run", "--model", str(model), "--set", str(folder), "--out", str(tmp_path / "out"), *most)
    predictions = found(tmp_path / "out")[1]
    assert pyarrow.compute.max(predictions["rank"]).as_py() == int(most[1]) - 1
    assert pyarrow.compute.max(predictions["num_masks"]).as_py() == int(most[3])


def test_an_empty_set_is_recorded_with_its_counts(model: Path, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", query_table())
    invoke("run", "--model", str(model), "--set", str(folder), "--out", str(tmp_path / "out"))
    ((record, _),) = find_probes([tmp_path / "out"], ProbeRecord)
    assert (record.counts.queries, record.counts.decoded) == (0, 0)
    assert record.scores.fixed.overall.hit.macro_percent is None


def test_a_part_that_was_cut_off_is_decoded_again(
    model: Path, query_set: Path, undisturbed: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = arguments(model, query_set, tmp_path)
    assert start(*command, crash_at="probe-part.renamed:2").wait() == KILLED
    part = next(tmp_path.rglob("part-00001.parquet"))
    part.write_bytes(part.read_bytes()[:-10])
    invoke(*command)
    assert f"{part}: damaged; it is asked again" in caplog.text
    assert found(tmp_path)[1]["tokens"] == undisturbed[1]["tokens"]


def test_a_probe_without_its_predictions_is_not_taken_for_finished(
    model: Path, query_set: Path, tmp_path: Path
) -> None:
    invoke(*arguments(model, query_set, tmp_path))
    next(tmp_path.rglob("predictions.parquet")).unlink()
    with pytest.raises(
        UserError, match=r"predictions\.parquet: missing beside probe\.json; remove the folder"
    ):
        invoke(*arguments(model, query_set, tmp_path))


def test_a_part_is_not_decoded_again_once_another_process_has_scored_all(
    model: Path, query_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke(*arguments(model, query_set, tmp_path / "done"))
    (record_path,) = probe_record_paths(tmp_path / "done")
    finished = record_path.parent
    num_answered: list[int] = []
    answer_queries = fill.answer_queries

    def answer_while_another_finishes(query_ids: list[int], *given: Any, **more: Any) -> pyarrow.Table:
        num_answered.append(len(query_ids))
        shutil.copytree(finished, tmp_path / "out" / finished.relative_to(tmp_path / "done"))
        return answer_queries(query_ids, *given, **more)

    monkeypatch.setattr(fill, "answer_queries", answer_while_another_finishes)
    invoke(*arguments(model, query_set, tmp_path / "out"))
    assert len(num_answered) == 1
    assert not list((tmp_path / "out").rglob("*.parts"))


def test_an_out_that_is_a_file_is_refused_first(query_set: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match="out: a file; name a folder for the results with --out"):
        invoke("run", "--model", "no-model", "--set", str(query_set), "--out", str(tmp_path / "out"))


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_model_that_is_not_masked_is_sent_to_the_command_that_takes_it(
    query_set: Path, tmp_path: Path, family: str
) -> None:
    folder = write_tiny_lm(tmp_path / family, family)
    with pytest.raises(UserError, match=rf"a '{family}', an? .* language model; .* 'kebench probe rank'"):
        invoke(*arguments(folder, query_set, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_model_without_a_trained_head_is_refused(query_set: Path, tmp_path: Path) -> None:
    headless = write_tiny_bert(tmp_path / "headless", mlm_head=False)
    with pytest.raises(UserError, match=r"the weights lack cls\.predictions\.bias, cls\.predictions"):
        invoke(*arguments(headless, query_set, tmp_path / "out"))
    discriminator = write_tiny_electra(tmp_path / "discriminator")
    with pytest.raises(
        UserError, match=r"no trained masked language modelling head: .*generator_predictions"
    ):
        invoke(*arguments(discriminator, query_set, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [("--refine", "3"), ("--decoder", "independent")])
def test_what_the_released_code_has_no_batches_for_is_refused_for_a_released_kebiolm(
    option: tuple[str, str], query_set: Path, tmp_path: Path
) -> None:
    folder = write_tiny_kebiolm(tmp_path / "kebiolm", fidelity="released")
    with pytest.raises(
        UserError, match=rf"{' '.join(option).removesuffix(' 3')} is not for a KeBioLM in mode"
    ):
        invoke(*arguments(folder, query_set, tmp_path / "out", *option))
    assert not (tmp_path / "out").exists()


def test_the_papers_mode_is_asked_for_and_recorded(model: Path, query_set: Path, tmp_path: Path) -> None:
    invoke(*arguments(model, query_set, tmp_path / "out", "--mode", "paper"))
    ((record, _),) = find_probes([tmp_path / "out"], ProbeRecord)
    assert (record.mode, record.decoder.slots, record.decoder.duplicates) == ("paper", False, False)
    assert record.protocol_version == PROBE_PROTOCOL_VERSION


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (
            ["kb", "import", "--mode", "paper"],
            "the paper does not say how the rows and names of a release are",
        ),
        (["probe", "build", "KB", "--mode", "paper"], "'kebench probe run --mode paper' fills its blanks as"),
        (["model", "convert", ".", "--fidelity", "paper"], "trained with a LayerNorm behind the entities"),
    ],
)
def test_a_command_without_the_papers_mode_says_why_and_where_it_is(
    command: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--out", "out"])
    said = " ".join(capsys.readouterr().err.split())
    assert ended.value.code == 2
    assert "no mode 'paper' here: " in said
    assert reason in said
    assert "docs/FIDELITY.md says which mode exists where" in said


def test_a_tokenizer_without_a_mask_token_is_refused(model: Path, query_set: Path, tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path / "maskless")
    path = folder / "tokenizer_config.json"
    stated = json.loads(path.read_text())
    path.write_text(json.dumps(stated | {"mask_token": None}))
    with pytest.raises(UserError, match="its tokenizer has no mask token"):
        invoke(*arguments(folder, query_set, tmp_path / "out"))


def test_all_models_that_cannot_be_probed_are_refused_at_once_before_the_good_ones(
    model: Path, query_set: Path, tmp_path: Path
) -> None:
    headless = write_tiny_bert(tmp_path / "headless", mlm_head=False)
    discriminator = write_tiny_electra(tmp_path / "discriminator")
    others = ("--model", str(headless), "--model", "no-such-model", "--model", str(discriminator))
    with pytest.raises(UserError) as refused:
        invoke(*arguments(model, query_set, tmp_path / "out"), *others)
    first, second, third = str(refused.value).split("\n")
    assert first.startswith("no model 'no-such-model'")
    assert second.startswith(f"{headless}: no trained masked language modelling head")
    assert third.startswith(f"{discriminator}: no trained masked language modelling head")
    assert not (tmp_path / "out").exists()


def imported_biolama(folder: Path) -> list[str]:
    """Write three triples with a prompt; return what `kebench probe import` is called with."""
    line = {"predicate_id": "UR50", "obj_uris": ["C2"], "obj_labels": ["Tremor"], "obj_aliases": [["a"]]}
    lines = [line | {"sub_uri": f"C{n}", "sub_label": f"drug {n}"} for n in range(3, 6)]
    prompt = {"relation": "UR50", "template": "[X] may treat [Y] ."}
    (folder / "triples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "prompts.jsonl").write_text(json.dumps(prompt))
    return [str(folder / "triples.jsonl"), "--prompts", str(folder / "prompts.jsonl")]


def imported_csv(folder: Path) -> list[str]:
    rows = [f"drug {n} may treat [MASK] .,Tremor|a,UR50" for n in range(3, 6)]
    (folder / "own.csv").write_text("\n".join(["query,answers,relation", *rows]))
    return [str(folder / "own.csv")]


@pytest.mark.parametrize("imported", [imported_biolama, imported_csv])
def test_a_set_made_elsewhere_is_imported_asked_scored_and_shown(
    imported: Callable[[Path], list[str]], model: Path, tmp_path: Path
) -> None:
    made, out = str(tmp_path / "set"), tmp_path / "local"
    invoke("import", *imported(tmp_path), "--out", made)
    # a beam so wide holds most of the words there are, and the answer of one letter among them
    wide = ("--beam", "100", "--max-masks", "1", "--device", "cpu")
    invoke("run", "--model", str(model), "--set", made, "--out", str(out), *wide)
    ((record, _),) = find_probes([out], ProbeRecord)
    assert record.counts.decoded == 3
    assert record.scores.fixed.overall.hit.macro_percent == 100.0
    shown = invoke("show", "--model", record.model, "--results", str(out)).stdout
    assert shown.count("HIT") == 3
    assert "drug 3 may treat [MASK] ." in shown
