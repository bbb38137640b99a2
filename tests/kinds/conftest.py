"""Checkpoints and an accelerator, as the tests of fine-tuning have them."""

from tests.finetune.conftest import _own_cache, accelerator, checkpoints

__all__ = ["_own_cache", "accelerator", "checkpoints"]
