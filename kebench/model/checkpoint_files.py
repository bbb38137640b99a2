"""Which files make up a checkpoint directory, and how those in JSON are read."""

import shutil
from pathlib import Path
from typing import Any

from kebench.bounded import MOST_TOKENIZER_BYTES, parse_json, read_within, refuse_larger
from kebench.errors import UserError
from kebench.files import cache_folder

SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"

# Every file by which a tokenizer may be given.
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.txt", "vocab.json", "merges.txt", "spiece.model", "spm.model", "sentencepiece.bpe.model",
    "tokenizer.model",
)  # fmt: skip

# What may be taken from a hub, an archive or a wheel; whatever else lies there (code, unrelated pickles,
# optimizer states) stays. The weights are in one of two forms, each in one file or in shards.
DESCRIPTION_FILES = ("config.json", *TOKENIZER_FILES)
SAFETENSORS_FILES = ("model.safetensors", "model.safetensors.index.json", "model-*.safetensors")
PICKLE_FILES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*.bin")


def again(path: Path) -> str:
    """Return how to get a checkpoint anew: what was fetched is fetched, the user's own is the user's."""
    fetched = cache_folder() / "models"
    is_fetched = fetched in path.parents and fetched / "manual" not in path.parents
    return "fetch the checkpoint again" if is_fetched else "save or copy the checkpoint again"


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a checkpoint; UserError if it is not one."""
    try:
        value = parse_json(read_within(path, MOST_TOKENIZER_BYTES).decode("utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}); {again(path)}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: not a JSON object; {again(path)}")
    return value


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy a checkpoint's tokenizer files into a folder that exists."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def refuse_large_files(folder: Path) -> None:
    """Raise UserError if a file of the tokenizer, or config.json, is larger than such a file can be."""
    for name in DESCRIPTION_FILES:
        if (folder / name).is_file():
            refuse_larger(folder / name, MOST_TOKENIZER_BYTES)
