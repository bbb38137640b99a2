"""What the files of a checkpoint directory say, read without torch and without running anything.

A checkpoint directory is what Hugging Face's `from_pretrained` reads: config.json, weights
(safetensors, or a pickle in older ones) and the tokenizer's files. Older BERT checkpoints hold
config.json, pytorch_model.bin and vocab.txt only; their silence on family and casing is dealt with here.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from kebench.bounded import MOST_TOKENIZER_BYTES, read_within
from kebench.errors import UserError
from kebench.model.checkpoint_files import read_json
from kebench.model.tensors import tensor_shapes

FEWEST_TOKENS = 8  # of a text; ours, as `records.Settings` has it

# Tensors that a file with a masked language modelling head holds, by family. Decoder weights are tied to
# the embeddings and often left out, so they prove nothing. An ELECTRA discriminator has no such head.
_BERT_HEAD = ("cls.predictions.transform.dense.weight", "cls.predictions.bias")
MLM_HEAD_TENSORS = {
    "bert": _BERT_HEAD,
    "kebiolm": _BERT_HEAD,
    "roberta": ("lm_head.dense.weight", "lm_head.bias"),
    "electra": ("generator_predictions.dense.weight", "generator_lm_head.bias"),
    "modernbert": ("head.dense.weight", "decoder.bias"),
}

# First part of the name of a tensor that does not belong to the encoder proper. Inside `bert.`, `model.`
# and the like that prefix is taken off first.
_NOT_ENCODER = {
    "classifier",
    "cls",
    "decoder",
    "discriminator_predictions",
    "generator_lm_head",
    "generator_predictions",
    "head",
    "lm_head",
    "pooler",
    "qa_outputs",
}

# Beyond any encoder there is; transformers would build layers until memory ends.
MOST = {"num_hidden_layers": 1_000, "hidden_size": 100_000, "vocab_size": 10_000_000}


class CheckpointFacts(NamedTuple):
    """What is really in a checkpoint directory.

    parameters: of the encoder, without pooler and heads.
    has_mlm_head: from the tensors' names; None for a family whose head we do not know.
    max_tokens: the longest input, special tokens included; None where positions are not limited.
    """

    family: str
    layers: int
    hidden: int
    vocabulary: int
    casing: str
    parameters: int
    has_mlm_head: bool | None
    max_tokens: int | None


def describe_checkpoint(folder: Path) -> CheckpointFacts:
    """Read a checkpoint's config, tokenizer files and tensor names; of the weights only the headers.

    Raises UserError if a file is missing, cut off, or a pickle that holds more than tensors.
    """
    family = family_of(folder)
    shapes = tensor_shapes(folder)
    return CheckpointFacts(
        family=family,
        layers=number_of(folder, "num_hidden_layers"),
        hidden=number_of(folder, "hidden_size"),
        vocabulary=number_of(folder, "vocab_size"),
        casing=casing_of(folder) or "",
        parameters=sum(
            math.prod(shape) for name, shape in shapes.items() if _is_encoder_tensor(name, family)
        ),
        has_mlm_head=has_mlm_head(family, shapes),
        max_tokens=max_tokens_of(folder),
    )


def has_mlm_head(family: str, tensor_names: Any) -> bool | None:
    """Tell from the names of a file's tensors whether it holds an MLM head; None for an unknown family."""
    if family not in MLM_HEAD_TENSORS:
        return None
    return all(name in tensor_names for name in MLM_HEAD_TENSORS[family])


def _is_encoder_tensor(name: str, family: str) -> bool:
    for prefix in ("bert." if family == "kebiolm" else f"{family}.", "model."):
        name = name.removeprefix(prefix)
    return name.split(".")[0] not in _NOT_ENCODER and not name.endswith(("position_ids", "token_type_ids"))


def _read_json_if_there(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def read_config(folder: Path) -> dict[str, Any]:
    """Return config.json. Raises UserError if the folder has none: then it is no checkpoint."""
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder}: no config.json; expected a checkpoint directory: config.json, weights, tokenizer"
        )
    return read_json(folder / "config.json")


def family_of(folder: Path) -> str:
    """Return config.json's model_type, or "" if nothing tells.

    Configs converted from Google's BERT code (BlueBERT, the first BioBERT and SciBERT) predate model_type;
    they alone come with a vocab.txt and without it.
    """
    stated = read_config(folder).get("model_type")
    return str(stated) if stated else "bert" if (folder / "vocab.txt").is_file() else ""


def backbone_of(folder: Path) -> str:
    """Return the family whose tokenizer and positions a checkpoint has: for a KeBioLM its backbone's."""
    family = family_of(folder)
    return str(read_config(folder).get("backbone", "bert")) if family == "kebiolm" else family


def stated_casing(folder: Path) -> str | None:
    """Return "cased" or "uncased" if the tokenizer's files say so, else None.

    tokenizer_config.json comes before tokenizer.json's normalizer, as in transformers.
    """
    stated = bert_normalization(folder).get("do_lower_case")
    if stated is None:
        return "cased" if (folder / "merges.txt").is_file() or _is_byte_level(folder) else None
    return "uncased" if stated else "cased"


def casing_of(folder: Path) -> str | None:
    """Return the casing the files state, else guess it from vocab.txt: an uncased one has no capitals."""
    if (casing := stated_casing(folder)) or not (folder / "vocab.txt").is_file():
        return casing
    try:
        text = read_within(folder / "vocab.txt", MOST_TOKENIZER_BYTES).decode("utf-8")
        pieces = text.replace("\r\n", "\n").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{folder / 'vocab.txt'}: not UTF-8 ({error.reason}); fetch it again") from None
    has_capitals = any(piece != piece.lower() for piece in pieces if not piece.startswith(("[", "<")))
    return "cased" if has_capitals else "uncased"


def bert_normalization(folder: Path) -> dict[str, Any]:
    """Return what the files say of BERT's text normalisation, under BertTokenizer's argument names."""
    normalizer = _read_json_if_there(folder / "tokenizer.json").get("normalizer")
    if not isinstance(normalizer, dict) or normalizer.get("type") != "BertNormalizer":
        normalizer = {}
    names = {
        "do_lower_case": "lowercase",
        "strip_accents": "strip_accents",
        "tokenize_chinese_chars": "handle_chinese_chars",
    }
    stated = {argument: normalizer[key] for argument, key in names.items() if key in normalizer}
    config = _read_json_if_there(folder / "tokenizer_config.json")
    return stated | {argument: config[argument] for argument in names if config.get(argument) is not None}


def _is_byte_level(folder: Path) -> bool:
    return '"ByteLevel"' in json.dumps(_read_json_if_there(folder / "tokenizer.json").get("pre_tokenizer"))


def max_tokens_of(folder: Path) -> int | None:
    """Return the longest input in tokens, special ones included; None if the config sets no limit.

    RoBERTa's positions start at pad_token_id + 1, so it can use that many fewer.
    """
    limit = number_of(folder, "max_position_embeddings")
    if not limit:
        return None
    found = limit - ((number_of(folder, "pad_token_id") or 1) + 1 if backbone_of(folder) == "roberta" else 0)
    if found < FEWEST_TOKENS:
        raise UserError(
            f"{folder}/config.json: max_position_embeddings = {limit} leaves {found} tokens for a text, "
            f"expected at least {FEWEST_TOKENS}; mend it"
        )
    return found


def number_of(folder: Path, name: str) -> int:
    """Return a whole number that config.json states, 0 if it does not. Raises UserError if it is none."""
    value = read_config(folder).get(name)
    if value is not None and type(value) is not int:
        shown = repr(value)[:40]
        raise UserError(f"{folder}/config.json: {name} = {shown}, expected a whole number; fetch it again")
    if value and value > (most := MOST.get(name, value)):
        raise UserError(f"{folder}/config.json: {name} = {value}, expected at most {most:,}; fetch it again")
    return value or 0
