"""Measures a step of pretraining against the released step, written plainly (README.md, Pretraining)."""

import argparse
import copy
import gc
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from floor import matrix_peak
from plain_pretraining import plain_losses
from pretrain_page import CASES, markdown
from transformers.models.bert.modeling_bert import BertLayer

from kebench.model.configuration import KebiolmConfig
from kebench.model.kebiolm import KebiolmForMaskedLM, LeanLayer
from kebench.model.optimizer import decay_matrices_only
from kebench.pretrain.batches import Batch, Collator
from kebench.pretrain.encode import PackedSequence
from kebench.pretrain.objectives import Objectives
from kebench.pretrain.recipe import read_recipe
from kebench.runtime import device_description, peak_memory_mib, reset_peak_memory, software, utc_now

RESULTS = Path(__file__).parent / "results"
SEQUENCES, TOKENS, MENTIONS = 8, 512, 30
SIDES = {"released": "eager", "released, sdpa": "sdpa", "ours": "sdpa"}  # and their attention
# Memory that is given back goes to the system at once, so that what is resident is what is in use.
_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "131072"}

_log = logging.getLogger("benchmarks.pretrain")


def new_model(case: dict[str, int]) -> Any:
    """Return a model with drawn weights, without dropout."""
    config = KebiolmConfig(
        vocab_size=case["pieces"], hidden_size=case["hidden"], num_hidden_layers=case["layers"],
        num_attention_heads=case["heads"], intermediate_size=4 * case["hidden"],
        max_position_embeddings=TOKENS,
        num_context_layers=case["context"], num_entities=case["entities"], entity_size=100,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    return KebiolmForMaskedLM(config).train()


class _Vocabulary:
    """What the collator asks of a tokenizer."""

    pad_token_id, cls_token_id, sep_token_id, mask_token_id = 0, 2, 3, 4
    all_special_ids = (0, 1, 2, 3, 4)

    def __init__(self, size: int) -> None:
        self.size = size

    def get_vocab(self) -> dict[str, int]:
        return {str(piece): piece for piece in range(self.size)}


def drawn_batch(case: dict[str, int]) -> Batch:
    """Return 8 full sequences with 30 mentions each, of one to four pieces, hidden as the recipe says."""
    rng = np.random.default_rng(0)
    settings = read_recipe("kebiolm")
    collator = Collator(_Vocabulary(case["pieces"]), settings, vocabulary_size=case["pieces"])
    sequences = []
    for _ in range(SEQUENCES):
        piece_T = rng.integers(5, case["pieces"], TOKENS).astype(np.int32)
        piece_T[0], piece_T[-1] = 2, 3
        starts_word_T = rng.random(TOKENS) < 0.6
        starts_word_T[[0, 1, -1]] = True
        begin_M = 1 + 17 * np.arange(MENTIONS) + rng.integers(0, 8, MENTIONS)
        entity_M = rng.integers(0, case["entities"], MENTIONS)
        mention_M3 = np.stack([begin_M, begin_M + rng.integers(1, 5, MENTIONS), entity_M], axis=1)
        sequences.append(PackedSequence(piece_T, starts_word_T, mention_M3.astype(np.int32), ("d",)))
    masked = [collator.mask(one, epoch=0, number=number) for number, one in enumerate(sequences)]
    return collator.batch(sequences, masked)


class Training:
    """One side: a model, its optimiser, and a step."""

    def __init__(self, side: str, model: Any, batch: Batch) -> None:
        self.side, self.model, self.batch = side, model, batch
        self.objectives = Objectives(model)
        self.scale_3 = 1 / batch.counts()
        groups = decay_matrices_only(model, 0.01)
        self.optimizer = torch.optim.AdamW(groups, lr=5e-5, fused=True)

    def losses(self) -> torch.Tensor:
        """Return the three means."""
        if self.side != "ours":
            return plain_losses(self.model, self.batch)
        loss_3: torch.Tensor = self.objectives(self.batch).loss_3 * self.scale_3
        return loss_3

    def step(self, *, keep_gradients: bool = False) -> float:
        """Take a step; return its seconds. keep_gradients: leave their memory where it is."""
        started = time.perf_counter()
        self.losses().sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=not keep_gradients)
        return time.perf_counter() - started


def training_of(side: str, model: Any, batch: Batch) -> Training:
    """Return a side's training of a copy of a model."""
    model = copy.deepcopy(model)
    model.set_attn_implementation(SIDES[side])
    if side != "ours":
        for layer in model.modules():
            if isinstance(layer, LeanLayer):
                layer.__class__ = BertLayer
    return Training(side, model, batch)


def time_sides(name: str, *, rounds: int) -> dict[str, Any]:
    """Time steps of all sides in turns, in one process, from the same weights."""
    case, batch = CASES[name], drawn_batch(CASES[name])
    model = new_model(case)
    sides = {side: training_of(side, model, batch) for side in SIDES}
    with torch.no_grad():
        losses = {side: training.losses().tolist() for side, training in sides.items()}
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(rounds + 1):  # the first warms up
        for side, training in sides.items():
            took = training.step()
            _log.info("(%s) step %d, %s: %.2f s", name, number, side, took)
            if number:
                seconds[side].append(took)
    return {
        "seconds": {side: min(found) for side, found in seconds.items()}, "rounds": rounds, "losses": losses,
        "masked": len(batch.piece_P), "mentions": len(batch.entity_M),
        "parameters": sum(p.numel() for p in model.parameters()),
    }  # fmt: skip


def peak_of(name: str, side: str) -> float:
    """Return the MiB that a step takes beyond weights, gradients and optimiser, all of which are there."""
    batch = drawn_batch(CASES[name])
    gc.collect()
    before = _resident_mib()
    training = training_of(side, new_model(CASES[name]), batch)
    training.step(keep_gradients=True)
    gc.collect()
    reset_peak_memory("cpu")
    training.step(keep_gradients=True)
    kept = sum(4 * 4 * parameter.numel() for parameter in training.model.parameters()) / 2**20
    return peak_memory_mib("cpu") - before - kept


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_in_a_process(name: str, side: str) -> float:
    """Measure a peak in a process of its own."""
    command = [sys.executable, __file__, name, "--peak", side]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | _ALLOCATOR)
    return float(run.stdout.split()[-1])


def main() -> None:
    """Measure the cases that are named and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="+", choices=[*CASES, "all"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak_of(options.cases[0], options.peak))
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    path = RESULTS / "pretrain.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"cases": {}}
    for name in CASES if "all" in options.cases else options.cases:
        found = time_sides(name, rounds=options.rounds)
        found["peak_mib"] = {side: peak_in_a_process(name, side) for side in SIDES}
        found["peak_flops_per_second"] = matrix_peak()
        machine = {"device": device_description("cpu"), **software(("torch", "transformers", "numpy"))}
        results["cases"][name] = found | {"machine": machine, "when": utc_now()}
    path.write_text(json.dumps(results, indent=1) + "\n")
    page = markdown(results)
    (RESULTS / "pretrain.md").write_text(page)
    sys.stdout.write(page)


if __name__ == "__main__":
    main()
