"""A whole run: every family and both kinds, what a record holds, and what moves its identity."""

import gc
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kebench.cards import Suggested
from kebench.engine.local import Outcome, run_jobs
from kebench.engine.work import RunOptions
from kebench.errors import UserError
from kebench.finetune import job as finetune_job
from kebench.finetune.classifier import Classifier
from kebench.finetune.job import Finished, fine_tune
from kebench.finetune.plan import Job
from kebench.kinds.stored import read_predictions, score_split
from kebench.leases import lease
from kebench.model.checkpoint import load_encoder
from kebench.model.source import model_hash, read_suggested
from kebench.records import Subset, ending, read_record, record_paths
from kebench.runtime import Device, software
from tests.finetune.conftest import WRITERS
from tests.finetune.small_tasks import NER, RELATION, job_on

CPU = Device("cpu", "fp32", "as asked")


def run_one(job: Job, accelerator: Any, **options: Any) -> Finished:
    return fine_tune(job, accelerator=accelerator, software=software(), **options)


@pytest.mark.parametrize("card", [NER, RELATION], ids=["ner", "relation"])
@pytest.mark.parametrize("family", WRITERS)
def test_every_family_learns_a_task_of_either_kind(
    checkpoints: dict[str, Path], data: Path, accelerator: Any, family: str, card: Any
) -> None:
    job = job_on(card, data, checkpoints[family], family=family, epochs=6)
    record = run_one(job, accelerator).record
    assert record.train_loss_by_epoch[-1] < record.train_loss_by_epoch[0]
    assert record.dev.score_percent == max(record.dev_percent_by_epoch)
    assert record.test.num_examples == 16
    assert ("entity_f1_lenient" in record.test.further) == (card is NER)


def test_a_run_whose_loss_is_no_number_fails_in_one_line_at_its_first_step(
    checkpoints: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    job = job_on(NER, data, checkpoints["bert"], learning_rate=1e38, epochs=60)
    said: list[str] = []
    tally = run_jobs(
        [job],
        tmp_path,
        device=CPU,
        options=RunOptions(),
        report=lambda _, outcome: said.append(outcome.error),
    )
    # 48 sentences in 3 steps an epoch, 180 in all, 18 of warm-up: the rate of step 1 is 0, of step 2 1e38/18
    assert (tally.num_recorded, tally.num_failed, record_paths(tmp_path)) == (0, 1, [])
    assert re.fullmatch(
        r"epoch 1, step 3: loss nan, gradient norm nan: training stops here \(learning rate 1\.1\d*e\+37 at "
        r"this step, up to 1\.1\d*e\+37 before\); lower it with --learning-rates",
        said[0],
    ), said
    assert json.loads(ending(job.stem(tmp_path), ".failed.json").read_text())["error"] == said[0]


def test_the_same_seed_gives_the_same_record_and_another_seed_another(
    checkpoints: dict[str, Path], data: Path, accelerator: Any
) -> None:
    first, again, other = (
        run_one(job_on(NER, data, checkpoints["bert"], seed=seed), accelerator) for seed in (1, 1, 2)
    )
    assert first.predictions == again.predictions
    assert first.record.train_loss_by_epoch == again.record.train_loss_by_epoch
    assert first.record.train_loss_by_epoch != other.record.train_loss_by_epoch
    assert first.record.identity == again.record.identity != other.record.identity


def test_the_same_mentions_in_another_scheme_give_the_same_scores_in_another_column(
    checkpoints: dict[str, Path],
    data: Path,
    accelerator: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for path in (data / "small-ner").glob("*.tsv"):  # all mentions are of one word
        other = tmp_path / "small-ner" / path.name
        other.parent.mkdir(exist_ok=True)
        other.write_text(path.read_text().replace("\tB", "\tS"))
    keys: list[dict[str, Any]] = []
    cached = finetune_job.cached
    monkeypatch.setattr(finetune_job, "cached", lambda key, make: [keys.append(key), cached(key, make)][1])
    iob2, iobes = (
        run_one(job_on(NER, folder, checkpoints["bert"], epochs=2), accelerator)
        for folder in (data, tmp_path)
    )
    assert iobes.predictions == iob2.predictions
    assert iobes.record.test == iob2.record.test
    assert iobes.record.task_hash != iob2.record.task_hash
    schemes = [{facts.tag_scheme for facts in one.record.splits.values()} for one in (iob2, iobes)]
    assert schemes == [{"IOB2"}, {"IOBES"}]
    # Features of before such files were converted lie in the cache under the same file's hash.
    assert [key.get("scheme") for key in keys] == [None] * 3 + ["IOBES"] * 3


def test_stored_predictions_give_the_record_s_score_again_and_hold_no_text(
    checkpoints: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    run_jobs([job_on(NER, data, checkpoints["bert"])], tmp_path, device=CPU, options=RunOptions())
    (path,) = record_paths(tmp_path)
    predictions = read_predictions(path)
    assert score_split(predictions, "test") == read_record(path).test
    assert len(predictions["test"]["seen"]) == read_record(path).splits["test"].num_seen
    assert "cancer" not in json.dumps(predictions)


def test_identity_follows_content_and_never_names(
    checkpoints: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    job = job_on(NER, data, checkpoints["bert"])
    renamed = shutil.copytree(checkpoints["bert"], tmp_path / "another-name")
    shutil.copytree(data, tmp_path / "data")
    assert job_on(NER, tmp_path / "data", renamed).identity == job.identity
    dev = tmp_path / "data" / "small-ner" / "dev.tsv"
    dev.write_text(dev.read_text() + "the\tO\n")
    changed = [
        job_on(NER, tmp_path / "data", renamed),
        job_on(NER, data, checkpoints["bert"], seed=1),
        job_on(NER, data, checkpoints["bert"], learning_rate=1e-3),
        job_on(NER, data, checkpoints["bert"], subset=Subset(train_rows=10)),
        job_on(NER.model_copy(update={"version": 2}), data, checkpoints["bert"]),
        job_on(NER, data, checkpoints["electra"]),
    ]
    assert len({job.identity, *(other.identity for other in changed)}) == 7


def test_a_subset_of_the_training_rows_is_used_and_recorded(
    checkpoints: dict[str, Path], data: Path, accelerator: Any
) -> None:
    subset = Subset(train_rows=20, dev_rows=8)
    record = run_one(job_on(NER, data, checkpoints["bert"], subset=subset), accelerator).record
    assert (record.protocol.subset, record.dev.num_examples, record.test.num_examples) == (subset, 8, 16)


def test_kept_weights_are_a_checkpoint_directory(
    checkpoints: dict[str, Path], data: Path, accelerator: Any, tmp_path: Path
) -> None:
    job = job_on(NER, data, checkpoints["bert"])
    suggested = Suggested(learning_rates=(1e-3,), reason="tiny")
    carded = job._replace(card=job.card.model_copy(update={"suggested": suggested}))
    run_one(carded, accelerator, keep_weights=tmp_path / "kept")
    kept = read_suggested(tmp_path / "kept")
    assert kept == suggested.model_copy(update={"origin": job.card.name})
    assert load_encoder(tmp_path / "kept").config.hidden_size == 16
    assert (tmp_path / "kept" / "head.safetensors").is_file()
    assert model_hash(tmp_path / "kept") != model_hash(checkpoints["bert"])


def test_a_failed_run_is_written_down_is_no_score_and_is_tried_again(
    checkpoints: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "data"
    shutil.copytree(data, broken)
    good, bad = job_on(NER, broken, checkpoints["bert"]), job_on(RELATION, broken, checkpoints["bert"])
    test_file = broken / "small-relation" / "test.tsv"
    whole = test_file.read_text()
    test_file.write_text(whole.replace("treats", "tweets"))
    seen: list[Outcome] = []
    tally = run_jobs(
        [bad, good],
        tmp_path / "out",
        device=CPU,
        options=RunOptions(),
        report=lambda _, outcome: seen.append(outcome),
    )
    assert tally == (1, 1, 0)
    assert "label 'tweets'" in seen[0].error
    assert seen[1].record is not None
    assert len(record_paths(tmp_path / "out")) == 1
    assert len(list((tmp_path / "out").rglob("*.failed.json"))) == 1
    test_file.write_text(whole)
    assert run_jobs([bad, good], tmp_path / "out", device=CPU, options=RunOptions()) == (2, 0, 0)
    assert len(record_paths(tmp_path / "out")) == 2
    assert not list((tmp_path / "out").rglob("*.failed.json"))


def test_models_of_finished_runs_do_not_stay_in_memory(
    checkpoints: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    before = _num_classifiers()  # other tests may hold some
    jobs = [job_on(NER, data, checkpoints["bert"], seed=seed) for seed in (0, 1)]
    run_jobs(jobs, tmp_path, device=CPU, options=RunOptions())
    assert _num_classifiers() == before


def _num_classifiers() -> int:
    gc.collect()
    return sum(type(found) is Classifier for found in gc.get_objects())


CODE = """
import pathlib, transformers
pathlib.Path(__file__).with_name("ran").touch()
class C(transformers.BertConfig): model_type = "own-code"
class T(transformers.BertTokenizer): pass
"""


@pytest.mark.parametrize("allow_remote_code", [False, True])
def test_code_of_a_checkpoint_never_runs_unless_its_card_says_so(
    checkpoints: dict[str, Path], data: Path, accelerator: Any, tmp_path: Path, allow_remote_code: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # what transformers would ask
    folder = shutil.copytree(checkpoints["bert"], tmp_path / "own-code")
    (folder / "own.py").write_text(CODE)
    for name, auto in (
        ("config.json", {"AutoConfig": "own.C"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["own.T", "own.T"]}),
    ):
        content = json.loads((folder / name).read_text()) | {"auto_map": auto, "model_type": "own-code"}
        (folder / name).write_text(json.dumps(content))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    job = job_on(NER, data, folder, family="own-code")
    with pytest.raises(UserError):
        run_one(job, accelerator, allow_remote_code=allow_remote_code)
    assert not list(tmp_path.rglob("ran"))


def test_a_run_in_hand_elsewhere_is_not_counted_as_recorded(
    checkpoints: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    job = job_on(NER, data, checkpoints["bert"])
    with lease(ending(job.stem(tmp_path), ".running")):
        assert run_jobs([job], tmp_path, device=CPU, options=RunOptions(wait=False)) == (0, 0, 1)
    assert record_paths(tmp_path) == []


TWO_PROCESSES = """
import sys, torch
from pathlib import Path
from kebench.cards import Suggested
from kebench.engine.local import run_jobs
from kebench.engine.work import RunOptions
from kebench.runtime import Device
from tests.finetune.small_tasks import NER, RELATION, job_on
torch.set_num_threads(1)
data, folder, out = map(Path, sys.argv[1:])
jobs = [job_on(card, data, folder) for card in (NER, RELATION)]
run_jobs(jobs, out, device=Device("cpu", "fp32", ""), options=RunOptions())
"""


@pytest.mark.slow
def test_two_processes_together_give_the_record_of_one(
    checkpoints: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(checkpoints["bert"], tmp_path / "no-dropout")
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    for world in (1, 2):
        _run_processes(world, [str(data), str(folder), str(tmp_path / f"out{world}")])
    alone, together = ([read_record(p) for p in record_paths(tmp_path / f"out{world}")] for world in (1, 2))
    assert len(alone) == len(together) == 2
    for one, two in zip(alone, together, strict=True):
        assert (one.identity, one.test, one.provenance.num_processes) == (two.identity, two.test, 1)
        assert two.provenance.num_processes == 2
        assert one.train_loss_by_epoch == pytest.approx(two.train_loss_by_epoch, rel=1e-3)


def _run_processes(world: int, arguments: list[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = []
    for rank in range(world):
        launched = {
            "WORLD_SIZE": str(world),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "ACCELERATE_USE_CPU": "true",
        }
        environment = {
            **os.environ,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            **(launched if world > 1 else {}),
        }
        processes.append(subprocess.Popen([sys.executable, "-c", TWO_PROCESSES, *arguments], env=environment))
    assert [process.wait() for process in processes] == [0] * world
