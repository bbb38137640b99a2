"""Heads: losses and answers by hand."""

from math import log

import pytest
import torch

from kebench.finetune.classifier import HEADS


def test_softmax_takes_the_most_probable_label() -> None:
    logits_PL = torch.tensor([[0.0, log(3.0)], [0.0, 0.0]])  # probabilities 1/4, 3/4 and 1/2, 1/2
    labels, probability = HEADS["softmax"].decide(logits_PL)
    assert labels.tolist() == [1, 0]
    assert probability is not None
    assert probability.tolist() == pytest.approx([0.75, 0.5])
    loss = HEADS["softmax"].summed_loss(logits_PL, torch.tensor([0, 1]))
    assert float(loss) == pytest.approx(log(4) + log(2))


def test_sigmoid_takes_each_label_that_is_more_probable_than_not() -> None:
    logits_PL = torch.tensor([[log(3.0), -log(3.0)]])  # probabilities 3/4 and 1/4
    labels, probability = HEADS["sigmoid"].decide(logits_PL)
    assert labels.tolist() == [[1, 0]]
    assert probability is not None
    assert probability[0].tolist() == pytest.approx([0.75, 0.75])  # of the answers that are given
    loss = HEADS["sigmoid"].summed_loss(logits_PL, torch.tensor([[1.0, 1.0]]))
    assert float(loss) == pytest.approx((log(4 / 3) + log(4)) / 2)  # the mean over labels


def test_regression_answers_with_its_value_and_no_probability() -> None:
    values_P1 = torch.tensor([[1.5], [-2.0]])
    labels, probability = HEADS["regression"].decide(values_P1)
    assert (labels.tolist(), probability) == ([1.5, -2.0], None)
    assert float(HEADS["regression"].summed_loss(values_P1, torch.tensor([1.0, 0.0]))) == pytest.approx(4.25)
