"""Losses of one class and of several: against torch and by hand."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from xdcbench.training.losses import multi_label_loss, single_label_loss

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, -3.0, 1.0]])


def test_one_class_is_softmax_cross_entropy() -> None:
    classes = torch.tensor([0, 1])
    loss, right = single_label_loss(LOGITS, classes)
    assert loss == cross_entropy(LOGITS, classes) and right.tolist() == [True, False]


def test_several_classes_are_a_sum_of_sigmoids() -> None:
    sets = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    loss, right = multi_label_loss(LOGITS, sets)
    signs = (2 * sets - 1) * LOGITS
    by_hand = sum(math.log(1 + math.exp(-z)) for z in signs.flatten().tolist()) / 2
    assert loss.item() == pytest.approx(by_hand, rel=1e-6) and right.tolist() == [True, False]
