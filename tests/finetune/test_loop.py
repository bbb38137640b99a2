"""The training loop: batches, gradients, schedule, best epoch, and answers that do not depend on batching."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kebench.finetune import loop
from kebench.finetune.classifier import Batch, Classifier
from kebench.finetune.job import Prepared, prepare
from kebench.finetune.loop import epoch_batches, predict, train, train_epoch
from kebench.kinds.encoded import Encoded, Ragged
from kebench.model.optimizer import linear_rate
from kebench.records import Settings
from tests.finetune.small_tasks import NER, RELATION, job_on

GOLDEN_LOSSES = Path(__file__).parents[1] / "golden" / "finetune-losses.json"


def prepared_on(
    checkpoints: dict[str, Path], data: Path, accelerator: Any, card: Any = NER, **changes: Any
) -> Prepared:
    prepared = prepare(job_on(card, data, checkpoints["bert"], **changes), accelerator=accelerator)
    for module in prepared.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return prepared


def spoilt_at(trainer: Any, spoilt: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the loss of one step, from 1, infinite."""
    update, steps = trainer.update, iter(range(1, 1000))

    def spoil(*given: Any) -> Any:
        done = update(*given)
        return done._replace(losses=done.losses / 0) if next(steps) == spoilt else done

    monkeypatch.setattr(trainer, "update", spoil)


@pytest.mark.parametrize("look_every", [1, 4, 50])
def test_the_first_step_without_a_finite_loss_is_named_however_seldom_it_is_looked_for(
    checkpoints: dict[str, Path],
    data: Path,
    accelerator: Any,
    monkeypatch: pytest.MonkeyPatch,
    look_every: int,
) -> None:
    prepared = prepared_on(checkpoints, data, accelerator)
    monkeypatch.setitem(loop.LOOK_EVERY, "cpu", look_every)
    trainer = loop.new_trainer(prepared.model, settings_with(), 48, accelerator, None)
    spoilt_at(trainer, 6, monkeypatch)
    encoded = prepared.splits["train"].encoded
    batches = epoch_batches(encoded, settings_with(), np.random.default_rng(0))
    with pytest.raises(loop.NotFiniteError, match=r"^epoch 2, step 6: loss inf, gradient norm \d"):
        train_epoch(trainer, prepared.model.head, encoded, batches, 0, number=2)


def test_weights_that_give_no_number_are_not_blamed_on_the_rate(
    checkpoints: dict[str, Path], data: Path, accelerator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepared_on(checkpoints, data, accelerator)
    prepared.model.encoder.embeddings.word_embeddings.weight.data.fill_(float("nan"))
    with pytest.raises(loop.NotFiniteError, match=r"step 1: loss nan.* no weight has been changed yet"):
        trained_with(prepared, [0.0], accelerator)


def test_an_answer_that_is_no_number_is_no_prediction(
    checkpoints: dict[str, Path], data: Path, accelerator: Any
) -> None:
    prepared = prepared_on(checkpoints, data, accelerator)

    def score_dev() -> float:
        with torch.no_grad():
            prepared.model.linear.weight.fill_(float("inf"))
        prepared.predict("dev")
        return 0.0

    with pytest.raises(
        loop.NotFiniteError, match=r"epoch 1, after step 3, the last: what the model answers is not finite"
    ):
        train(
            prepared.model, prepared.splits["train"].encoded, settings=prepared.job.settings, seed=0,
            pad_id=0, accelerator=accelerator, score_dev=score_dev,
        )  # fmt: skip


def encoded_of_lengths(lengths: list[int]) -> Encoded:
    rows = Ragged.of([[0] * length for length in lengths])
    ones = Ragged.of([[0]] * len(lengths))
    return Encoded(
        rows, Ragged.of([[]] * len(lengths)), Ragged.of([[[0]]] * len(lengths)), ones, ones, ones, ones
    )


def settings_with(**changes: Any) -> Settings:
    return Settings.model_validate(
        {
            "learning_rate": 1e-3, "epochs": 1, "batch_size": 4, "patience": 0, "warmup_fraction": 0.1,
            "weight_decay": 0.0, "max_grad_norm": 1.0, "order": "shuffled", "max_length": 24,
        } | changes
    )  # fmt: skip


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.sampled_from(["shuffled", "length-pools"]))
def test_an_epoch_takes_every_example_once(lengths: list[int], order: str) -> None:
    batches = epoch_batches(encoded_of_lengths(lengths), settings_with(order=order), np.random.default_rng(0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert max(len(batch) for batch in batches) <= 4


def test_batches_of_length_pools_hold_examples_of_like_length() -> None:
    lengths = [row % 20 + 1 for row in range(200)]
    batches = epoch_batches(
        encoded_of_lengths(lengths), settings_with(order="length-pools"), np.random.default_rng(0)
    )
    spread = [max(lengths[row] for row in batch) - min(lengths[row] for row in batch) for batch in batches]
    assert max(spread) <= 1


def test_the_rate_climbs_over_a_tenth_of_the_steps_and_falls_to_zero() -> None:
    # 20 steps, 2 of warm-up: 0, 1/2, then 18/18 falling by 1/18
    rates = [linear_rate(step, 2, 20) for step in range(21)]
    assert rates[:4] == [0, 0.5, 1, 17 / 18]
    assert rates[20] == 0


@pytest.mark.parametrize("micro_batch", [1, 5, 16])
def test_micro_batches_sum_to_the_gradient_of_the_whole_batch(
    checkpoints: dict[str, Path], data: Path, accelerator: Any, micro_batch: int
) -> None:
    gradients = [_gradient(checkpoints, data, accelerator, size) for size in (micro_batch, 16)]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)


def _gradient(checkpoints: dict[str, Path], data: Path, accelerator: Any, micro_batch: int) -> torch.Tensor:
    return one_step(prepared_on(checkpoints, data, accelerator), accelerator, micro_batch)[1]


def one_step(prepared: Prepared, accelerator: Any, micro_batch: int | None) -> tuple[Any, torch.Tensor]:
    """Learn from the first 16 examples; return the trainer, and the gradient that the step is taken with."""
    trainer = loop.new_trainer(prepared.model, prepared.job.settings, 48, accelerator, micro_batch)
    trainer.max_grad_norm = 1e9  # never clipped
    weight, seen = prepared.model.encoder.embeddings.word_embeddings.weight, []
    trainer.optimizer.register_step_pre_hook(lambda *_: seen.append(weight.grad.clone()))
    train_epoch(trainer, prepared.model.head, prepared.splits["train"].encoded, [np.arange(16)], 0, number=1)
    return trainer, seen[0]


def out_of_memory_beyond(prepared: Prepared, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let memory not suffice for a second micro-batch of more examples than so many, nor for all at once."""
    forward, tried = prepared.model.forward, []

    def forward_or_out_of_memory(batch: Batch) -> torch.Tensor:
        tried.append(len(batch.pieces_BT))
        if tried[-1] > most and (tried[-1] == 16 or tried.count(tried[-1]) == 2):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return forward(batch)

    monkeypatch.setattr(prepared.model, "forward", forward_or_out_of_memory)


def test_a_micro_batch_is_halved_until_cuda_memory_is_enough(
    checkpoints: dict[str, Path], data: Path, accelerator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _gradient(checkpoints, data, accelerator, 16)
    prepared = prepared_on(checkpoints, data, accelerator)
    out_of_memory_beyond(prepared, 4, monkeypatch)
    trainer, gradient = one_step(prepared, accelerator, None)
    assert trainer.micro_batch == 4
    torch.testing.assert_close(gradient, whole, atol=1e-6, rtol=1e-4)  # without the half that was made at 8


def test_a_micro_batch_that_the_user_chose_is_not_halved(
    checkpoints: dict[str, Path], data: Path, accelerator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepared_on(checkpoints, data, accelerator)
    out_of_memory_beyond(prepared, 4, monkeypatch)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        one_step(prepared, accelerator, 8)


def trained_with(
    prepared: Prepared,
    dev_percent: list[Any],
    accelerator: Any,
    untrained_percent: float | None = 0.0,
    **changes: Any,
) -> Any:
    """Train with dev scores given in advance; also return the linear layer's weights after each epoch."""
    scores, weights = iter(dev_percent), []

    def score_dev() -> float:
        weights.append(prepared.model.linear.weight.detach().clone())
        return next(scores)

    chosen = prepared.job.settings.model_copy(update={"epochs": len(dev_percent), **changes})
    trained = train(
        prepared.model, prepared.splits["train"].encoded, settings=chosen, seed=0, pad_id=0,
        accelerator=accelerator, score_dev=score_dev, untrained_percent=untrained_percent,
    )  # fmt: skip
    return trained, weights


def test_the_best_epoch_on_dev_is_kept_and_of_equal_ones_the_first(
    checkpoints: dict[str, Path], data: Path, accelerator: Any
) -> None:
    prepared = prepared_on(checkpoints, data, accelerator)
    trained, weights = trained_with(prepared, [10.0, 30.0, 30.0, 20.0], accelerator)
    assert trained.best_epoch == 2
    assert torch.equal(prepared.model.linear.weight, weights[1])
    assert not torch.equal(weights[1], weights[3])


def test_training_stops_when_patience_is_over(
    checkpoints: dict[str, Path], data: Path, accelerator: Any
) -> None:
    prepared = prepared_on(checkpoints, data, accelerator)
    trained, _ = trained_with(prepared, [30.0, 20.0, 25.0, 99.0], accelerator, patience=2)
    assert trained.dev_percent_by_epoch == (30.0, 20.0, 25.0)
    assert trained.best_epoch == 1


def test_scores_below_zero_end_training_too_where_none_is_that_of_an_untrained_model(
    checkpoints: dict[str, Path], data: Path, accelerator: Any
) -> None:
    prepared = prepared_on(checkpoints, data, accelerator)
    trained, _ = trained_with(
        prepared, [-10.0, -30.0, -20.0, 50.0], accelerator, untrained_percent=None, patience=2
    )
    assert trained.dev_percent_by_epoch == (-10.0, -30.0, -20.0)
    assert trained.best_epoch == 1


def test_an_epoch_whose_score_is_undefined_is_never_the_best(
    checkpoints: dict[str, Path], data: Path, accelerator: Any
) -> None:
    prepared = prepared_on(checkpoints, data, accelerator)
    trained, _ = trained_with(
        prepared, [None, -30.0, None, -40.0], accelerator, untrained_percent=None, patience=0
    )
    assert (trained.dev_percent_by_epoch, trained.best_epoch) == ((None, -30.0, None, -40.0), 2)


def test_patience_does_not_count_epochs_before_the_first_hit(
    checkpoints: dict[str, Path], data: Path, accelerator: Any
) -> None:
    prepared = prepared_on(checkpoints, data, accelerator)
    trained, _ = trained_with(prepared, [0.0, 0.0, 0.0, 15.0], accelerator, patience=2)
    assert (len(trained.dev_percent_by_epoch), trained.best_epoch) == (4, 4)


@pytest.mark.parametrize("card", [NER, RELATION], ids=["ner", "relation"])
@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_answers_do_not_depend_on_the_batch_but_for_near_ties(
    checkpoints: dict[str, Path], data: Path, accelerator: Any, card: Any, batch_size: int
) -> None:
    prepared = prepared_on(checkpoints, data, accelerator, card)
    encoded = prepared.splits["dev"].encoded
    alone = _logits_one_by_one(prepared.model, encoded)
    answers = predict(prepared.model, encoded, pad_id=0, accelerator=accelerator, batch_size=batch_size)
    for logits_PL, answer in zip(alone, answers, strict=True):
        best_two = logits_PL.topk(2).values
        is_clear = (best_two[:, 0] - best_two[:, 1] > 1e-4).numpy()
        assert (logits_PL.argmax(-1).numpy() == answer.labels)[is_clear].all()
        # three digits are kept, and the sums of another batch differ in the seventh
        assert np.abs(1000 * logits_PL.softmax(-1).max(-1).values.numpy() - answer.permille).max() < 0.6
        assert is_clear.any()


def _logits_one_by_one(model: Classifier, encoded: Encoded) -> list[torch.Tensor]:
    model.eval()
    with torch.inference_mode():
        rows = [np.array([row]) for row in range(encoded.num_examples)]
        return [model(loop.collate(encoded, row, pad_id=0)) for row in rows]


@given(st.permutations(range(16)))
@settings(max_examples=5, deadline=None)
def test_answers_do_not_depend_on_the_order_of_examples(order: list[int]) -> None:
    # by hand: a classifier that answers with the first piece's parity, whatever stands around it
    rows = Ragged.of([[row, 5] for row in range(16)])
    encoded = Encoded(rows, Ragged.of([[]] * 16), Ragged.of([[[0]]] * 16), *[Ragged.of([[0]] * 16)] * 4)
    answers = predict(_Parity(), encoded.take(order), pad_id=0, accelerator=_OneProcess(), batch_size=3)
    assert [int(answer.labels[0]) for answer in answers] == [row % 2 for row in order]


class _Parity(torch.nn.Module):
    def forward(self, batch: Batch) -> torch.Tensor:
        piece_P = batch.pieces_BT[batch.rows_P, batch.places_PS[:, 0]]
        return torch.nn.functional.one_hot(piece_P % 2, 2)


class _OneProcess:
    num_processes, process_index, device = 1, 0, "cpu"


def test_twenty_steps_give_the_golden_losses(
    checkpoints: dict[str, Path], data: Path, accelerator: Any
) -> None:
    # fp32, one thread, dropout 0; kernels differ by processor, hence the tolerance
    prepared = prepared_on(checkpoints, data, accelerator)
    losses: list[float] = []
    chosen = settings_with(epochs=5, batch_size=12)
    trainer = loop.new_trainer(prepared.model, chosen, 48, accelerator, None)
    batches = epoch_batches(
        prepared.splits["train"].encoded, settings_with(batch_size=12), np.random.default_rng(0)
    )
    for _ in range(5):
        for rows in batches:
            train = prepared.splits["train"].encoded
            done = train_epoch(trainer, prepared.model.head, train, [rows], 0, number=1)
            losses.append(done.mean_loss)
    if os.environ.get("KEBENCH_UPDATE_GOLDEN"):
        GOLDEN_LOSSES.write_text(json.dumps(losses, indent=1) + "\n")
    assert losses == pytest.approx(json.loads(GOLDEN_LOSSES.read_text()), rel=1e-3)
    assert losses[-1] < 0.9 * losses[0]
