"""Toy models for the search: any text, a handful of tokens, exact in float64."""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from kebench.probe.beam import OPEN, BestTokens, Predict, Rules

RELEASED = Rules(slots=False, duplicates=True, exact=True)
TOP = Rules(slots=False)


def from_log_probs(log_probs: Callable[[Tensor, Tensor], Tensor], *, num_best: int) -> Predict:
    """Return a `Predict` that asks a function from (item_R, token_RM) to log probabilities (R, M, V)."""

    def predict(item_R: Tensor, token_RM: Tensor, asked_RM: Tensor) -> BestTokens:
        log_prob_RMV = log_probs(item_R, token_RM).masked_fill(~asked_RM[..., None], -torch.inf)
        return BestTokens(*log_prob_RMV.topk(min(num_best, log_prob_RMV.shape[-1]), dim=-1))

    return predict


def toy(
    num_places: int, num_tokens: int, *, seed: int, sharp: float = 2.0
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function from states to log probabilities in which every filled place moves every open one."""
    draw = torch.Generator().manual_seed(seed)
    alone = torch.randn(4, num_places, num_tokens, generator=draw, dtype=torch.float64)
    size = (num_places, num_tokens + 1, num_places, num_tokens)
    together = torch.randn(size, generator=draw, dtype=torch.float64)

    def log_probs(item_R: Tensor, token_RM: Tensor) -> Tensor:
        logits = alone[item_R % 4][:, : token_RM.shape[1]].clone()
        for place in range(token_RM.shape[1]):
            moved = together[place, token_RM[:, place].clamp(min=OPEN)][:, : token_RM.shape[1]]
            logits += moved * (token_RM[:, place] >= OPEN)[:, None, None]
        return (sharp * logits).log_softmax(-1)

    return log_probs


def every_path(
    log_probs: Callable[[Tensor, Tensor], Tensor], item: int, num_places: int
) -> dict[tuple[int, ...], float]:
    """Return for each filling of the places the score of the best order of filling them, by trying all."""
    best: dict[tuple[int, ...], float] = {}
    num_tokens = log_probs(torch.tensor([item]), torch.full((1, num_places), OPEN)).shape[2]
    for tokens in itertools.product(range(num_tokens), repeat=num_places):
        for order in itertools.permutations(range(num_places)):
            state, score = [OPEN] * num_places, 0.0
            for place in order:
                found = log_probs(torch.tensor([item]), torch.tensor([state]))
                score += float(found[0, place, tokens[place]])
                state[place] = tokens[place]
            best[tokens] = max(score, best.get(tokens, -float("inf")))
    return best
