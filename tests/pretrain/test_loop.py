"""The training loop: the same weights whatever is divided, stopped or shared."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from kebench import files
from kebench.errors import UserError
from kebench.pretrain.batches import epoch_order
from kebench.pretrain.loop import Pretrainer, Step, num_steps
from kebench.pretrain.recipe import SHELF, read_recipe
from kebench.pretrain.run import prepare
from tests.pretrain.conftest import World, plan_of

GOLDEN = Path(__file__).parents[1] / "golden" / "pretrain-losses.json"
VARIANTS = sorted(name for name in SHELF.paths() if name.endswith("-mini"))


@pytest.fixture
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def trainer_of(
    world: World,
    accelerator: Any,
    recipe: str = "kebiolm-mini",
    micro_batch: int | None = None,
    **changes: Any,
) -> Pretrainer:
    return prepare(plan_of(world, recipe, **changes), accelerator, micro_batch).trainer


def weights(trainer: Pretrainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.objectives.state_dict().items()}


def steps(trainer: Pretrainer, count: int) -> list[Step]:
    return [trainer.step() for _ in range(count)]


@pytest.mark.parametrize("recipe", VARIANTS)
def test_twenty_steps_of_each_variant_give_the_golden_losses(
    recipe: str, world: World, accelerator: Accelerator
) -> None:
    # fp32, one thread, dropout 0; kernels differ by processor, hence the tolerance
    torch.set_num_threads(1)
    trainer = trainer_of(world, accelerator, recipe, steps=20, learning_rate=1e-2)
    losses = [step.loss for step in steps(trainer, 20)]
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("KEBENCH_UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(golden | {recipe: losses}, indent=1, sort_keys=True) + "\n")
        golden = json.loads(GOLDEN.read_text())
    assert losses == pytest.approx(golden[recipe], rel=1e-3)
    assert losses[-1] < 0.93 * losses[0]


def test_the_variants_losses_differ() -> None:
    golden = json.loads(GOLDEN.read_text())
    assert len({losses[-1] for losses in golden.values()}) == len(VARIANTS)


def test_the_size_of_a_micro_batch_changes_nothing(world: World, accelerator: Accelerator) -> None:
    whole, parts = (trainer_of(world, accelerator, micro_batch=size) for size in (8, 3))
    for one, other in zip(steps(whole, 4), steps(parts, 4), strict=True):
        assert other.losses == pytest.approx(one.losses, rel=1e-5)
        assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-4)
        assert other.tokens == one.tokens


def test_gradient_checkpointing_changes_nothing(world: World, accelerator: Accelerator) -> None:
    plain = trainer_of(world, accelerator, dropout=0.1)
    saving = trainer_of(world, accelerator, dropout=0.1, gradient_checkpointing=True)
    assert saving.objectives.model.is_gradient_checkpointing
    for one, other in zip(steps(plain, 3), steps(saving, 3), strict=True):
        assert other.losses == pytest.approx(one.losses, rel=1e-6)
        assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-5)


def test_entities_that_are_frozen_stay_and_others_move(world: World, accelerator: Accelerator) -> None:
    for recipe, moves in (("kebiolm-frz-mini", False), ("kebiolm-mini", True)):
        trainer = trainer_of(world, accelerator, recipe)
        memory = trainer.objectives.model.bert.entity_linker.entity_embeddings.weight
        before = memory.detach().clone()
        steps(trainer, 2)
        assert torch.equal(before, memory) != moves


def test_dropout_is_drawn_step_by_step(world: World, accelerator: Accelerator) -> None:
    one, same = (trainer_of(world, accelerator, dropout=0.3) for _ in range(2))
    torch.manual_seed(1)
    first = [step.loss for step in steps(one, 2)]
    torch.manual_seed(2)
    assert [step.loss for step in steps(same, 2)] == first
    none = trainer_of(world, accelerator)
    assert steps(none, 1)[0].loss != first[0]


def test_the_rate_rises_and_falls(world: World, accelerator: Accelerator) -> None:
    trainer = trainer_of(world, accelerator, steps=10, short_run_warmup_share=0.4, learning_rate=0.1)
    rates = [step.learning_rate for step in steps(trainer, 10)]
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, *(0.1 * k / 7 for k in range(6, 0, -1))])


def test_a_short_run_warms_up_for_a_tenth_and_a_long_one_as_the_paper_s() -> None:
    settings = read_recipe("kebiolm")
    assert settings.warmup(13_670) == 1_367
    assert settings.warmup(20_000) == 10_000


def test_two_epochs_of_the_paper_s_corpus_are_13_672_steps() -> None:
    # 3.5M sequences in batches of 512: 6,836 an epoch, the last of them smaller
    assert num_steps(read_recipe("kebiolm"), 3_500_000) == 2 * 6_836


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_the_documents(
    where: str, world: World, accelerator: Accelerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = trainer_of(world, accelerator)
    steps(trainer, 1)
    linear = trainer.objectives.model.bert.mention_detector
    if where == "loss":
        with torch.no_grad():
            linear.bias[0] = float("nan")
    else:
        linear.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = weights(trainer)
    with pytest.raises(
        UserError,
        match=r"step 2: not finite \(mlm .* no weight was changed; its \d+ documents are in not-finite",
    ):
        trainer.step()
    assert all(
        torch.equal(value, before[name]) or value.isnan().any() for name, value in weights(trainer).items()
    )

    listed = Path("not-finite-step-2.txt").read_text().split()
    second = epoch_order(len(trainer.sequences), seed=trainer.settings.seed, epoch=0)[8:16]
    assert set(listed) == {one for number in second for one in trainer.sequences[int(number)].documents}


@pytest.mark.parametrize("point", ["not-finite.written", "not-finite.renamed"])
def test_a_kill_leaves_the_list_of_documents_whole_or_not_at_all(
    point: str, world: World, accelerator: Accelerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: int) -> None:
        raise Killed

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEBENCH_CRASH_AT", point)
    monkeypatch.setattr(os, "kill", die)
    trainer = trainer_of(world, accelerator)
    with torch.no_grad():
        trainer.objectives.model.bert.mention_detector.bias[0] = float("nan")
    files._passed.clear()
    with pytest.raises(Killed):
        trainer.step()
    path = Path("not-finite-step-1.txt")
    assert path.exists() == (point == "not-finite.renamed")
    assert not path.exists() or len(path.read_text().split()) >= 8  # a batch is of eight sequences


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(world: World, accelerator: Accelerator, tmp_path: Path) -> None:
    expected = [step.losses for step in steps(trainer_of(world, accelerator, steps=20, batch_size=7), 20)]
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    torch.multiprocessing.spawn(_one_of_two, args=(world, port, tmp_path), nprocs=2)
    for rank in range(2):
        losses = json.loads((tmp_path / f"{rank}.json").read_text())
        for one, other in zip(losses, expected, strict=True):
            assert one == pytest.approx(other, rel=1e-5)


def _one_of_two(rank: int, world: World, port: int, out: Path) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    trainer = trainer_of(world, accelerator, micro_batch=2, steps=20, batch_size=7)
    losses = [step.losses for step in steps(trainer, 20)]
    (out / f"{rank}.json").write_text(json.dumps(losses))
    del trainer  # before the group that it talks through
    torch.distributed.destroy_process_group()
