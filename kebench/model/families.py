"""What transformers knows of a family of models: kind, sizes under their own names, the first position.

The families of the shipped cards need none of it (`layout.PLAIN`), so that a finished grid is recognised
without torch, which transformers imports.
"""

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)
from transformers.utils import logging as transformers_logging

from kebench.errors import UserError, first_line
from kebench.model import kebiolm  # noqa: F401  (the Auto classes know KeBioLM from here on)
from kebench.model.checkpoint_files import read_json
from kebench.model.statements import Family

# Encoders that read both ways, beside those trained to fill masks. XLNet's order of prediction is a matter of
# training alone: without a permutation mask every word piece sees the whole text.
_OTHER_ENCODERS = {"xlnet", "kebiolm"}
# Trained to fill masks, and yet not one state of the stated size for each word piece, the same in any batch.
_PADDED = (
    "makes other states of a text when padding stands beside it, so that scores would depend on the batch"
)
_OTHER_STATES = {
    "convbert": _PADDED,
    "fnet": _PADDED,
    "funnel": _PADDED,
    "mra": "attends to nothing where its own CUDA code is not built",
    "nystromformer": _PADDED,
    "perceiver": "has states of its own, not one a word piece",
    "reformer": "has states twice as wide as its size says",
    "yoso": _PADDED,
}


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hold back transformers' load report and bar: we check the report ourselves."""
    verbosity = transformers_logging.get_verbosity()
    had_bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if had_bar:
            transformers_logging.enable_progress_bar()


def config_of(folder: Path, *, family: str, trust_remote_code: bool = False) -> transformers.PreTrainedConfig:
    """Return config.json as transformers reads it, defaults filled in.

    family: its model_type, or what stands for it where it names none.
    """
    stated = read_json(folder / "config.json")
    try:
        with quiet_transformers():
            if stated.get("model_type"):
                return transformers.AutoConfig.from_pretrained(
                    folder, local_files_only=True, trust_remote_code=trust_remote_code
                )
            return transformers.AutoConfig.for_model(family, **stated)
    # the file is a stranger's: whatever transformers makes of a wrong value is its fault
    except Exception as error:
        raise UserError(f"{folder}/config.json: {first_line(error)}; mend it") from None


def of_text(config: transformers.PreTrainedConfig) -> transformers.PreTrainedConfig:
    """Return a model's config, of a model of text and images that of its part for text."""
    return getattr(config, "text_config", None) or config


def is_known(family: str) -> bool:
    """Tell whether transformers itself has a family; the code of others comes with their checkpoints."""
    return family in CONFIG_MAPPING


def why_not_taken(config: transformers.PreTrainedConfig) -> str:
    """Return what a model is that is no encoder of text, "" for one."""
    family = config.model_type
    if config.is_encoder_decoder:
        return "an encoder and a decoder"
    if hasattr(config, "vision_config"):
        return "a model of text and images"
    if family in _OTHER_STATES:
        return f"which {_OTHER_STATES[family]}"
    if family in MODEL_FOR_MASKED_LM_MAPPING_NAMES or family in _OTHER_ENCODERS:
        return ""
    if family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return "a decoder, which sees only what stands before a word"
    return "not trained to fill masks in text"


# By the class that a checkpoint's own code offers for it (config.json, auto_map).
_AUTO_CLASSES: dict[str, Family] = {
    "AutoModelForMaskedLM": "masked",
    "AutoModelForCausalLM": "causal",
    "AutoModelForSeq2SeqLM": "encoder-decoder",
}
# One class for what was trained either way, and a setting of attention that many files leave out; XLNet was
# trained to predict in any order.
_UNTOLD = {"flaubert", "xlm", "xlnet"}


def kind_of(folder: Path, family: str) -> Family | None:
    """Return what kind of language model a checkpoint is, None if its files do not tell."""
    if not is_known(family):
        offered = read_json(folder / "config.json").get("auto_map")
        kinds = {
            kind for name, kind in _AUTO_CLASSES.items() if isinstance(offered, dict) and name in offered
        }
        return kinds.pop() if len(kinds) == 1 else None
    config = config_of(folder, family=family)
    if config.is_encoder_decoder:
        return "encoder-decoder" if family in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES else None
    is_causal = family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    is_masked = family in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if family in _UNTOLD:
        return "causal" if getattr(config, "causal", False) else None
    if is_causal and is_masked:
        # the decoder of an encoder-decoder (BART's) is causal, and a masked model on its own it never is
        in_pairs = family in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
        return "causal" if getattr(config, "is_decoder", False) else None if in_pairs else "masked"
    return "causal" if is_causal else "masked" if is_masked else None


def first_position(config: transformers.PreTrainedConfig) -> int:
    """Return the number of a text's first position.

    It is 0, or follows the padding's id (RoBERTa, and what is built like it: XLM-R, MPNet, Longformer ...),
    where the embedding of positions sets a row apart for padding.
    """
    return _first_position(config.model_type, config.to_json_string())


@functools.lru_cache(maxsize=64)
def _first_position(family: str, settings: str) -> int:
    with torch.device("meta"), torch.random.fork_rng(devices=[]):  # shapes alone
        config = CONFIG_MAPPING[family].from_dict(json.loads(settings))
        return first_position_of(transformers.AutoModel.from_config(config))


def first_position_of(model: Any) -> int:
    """Return the number of a text's first position in a model: see `first_position`."""
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        if "position" in name.rpartition(".")[2] and padding is not None:
            return int(padding) + 1
    return 0
