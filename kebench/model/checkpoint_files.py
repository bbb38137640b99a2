"""Which files make up a checkpoint directory, how those in JSON are read, and what tensors the weights hold.

Of weights the headers alone are read. Nothing in a pickle is run: one that names more is refused.
"""

import collections
import io
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from kebench.bounded import MOST_TOKENIZER_BYTES, parse_json, read_within
from kebench.errors import UserError, first_line
from kebench.files import cache_folder

SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"
MOST_HEADER_BYTES = 100 << 20  # of weights: safetensors' own bound
# What the names begin with when a model was saved inside of another: DataParallel's, torch.compile's, PEFT's.
# Where all names begin so, it is taken off.
WRAPPERS = ("module.", "_orig_mod.", "base_model.model.")

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


def read_json_if_there(path: Path) -> dict[str, Any]:
    """Read a JSON object as `read_json` does; empty if there is no such file."""
    return read_json(path) if path.is_file() else {}


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy a checkpoint's tokenizer files into a folder that exists."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold the weights: safetensors if there are any, else the pickle; shards too.

    Raises UserError if there are none, a shard is missing, or an adapter lies beside them.
    """
    if (folder / "adapter_config.json").is_file():
        raise UserError(
            f"{folder}: an adapter (adapter_config.json), which changes what the weights compute; merge it "
            "into its model (PEFT: merge_and_unload) and save that with save_pretrained"
        )
    for name in (SAFETENSORS, PICKLE):
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if not index.is_file():
            continue
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(one, str) for one in weight_map.values()):
            raise UserError(f"{index}: no weight_map from tensors to files; {again(folder)}")
        paths = [folder / PurePosixPath(one).name for one in sorted(set(weight_map.values()))]
        for path in paths:
            if not path.is_file():
                raise UserError(f"{path}: named in {index.name} but not there; {again(path)}")
        return paths
    raise UserError(
        f"{folder}: no weights; expected {SAFETENSORS} (or {PICKLE}) beside config.json; "
        "TensorFlow and Flax files are not read"
    )


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor in the weight files, reading their headers only.

    Names are today's, and begin where the model does (`wrapper_of`).
    """
    shapes = raw_shapes(folder)
    wrapper = wrapper_of(shapes)
    return {modern_name(name.removeprefix(wrapper)): shape for name, shape in shapes.items()}


def raw_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor in the weight files by its name there."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        shapes |= _safetensors_shapes(path) if path.suffix == ".safetensors" else _pickle_shapes(path)
    return shapes


def wrapper_of(names: Iterable[str]) -> str:
    """Return what all names begin with because the model was saved inside of another, or ""."""
    names = list(names)
    wrapper = ""
    while names and (
        found := [one for one in WRAPPERS if all(name.startswith(wrapper + one) for name in names)]
    ):
        wrapper += found[0]
    return wrapper


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
        raise UserError(f"{path}: not a safetensors file; {again(path)}") from None
    if 8 + header_length + end != size:
        raise UserError(
            f"{path}: {size:,} bytes, its header announces {8 + header_length + end:,}; the file is cut off, "
            f"{again(path)}"
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
        raise UserError(f"{path}: not a readable weights file ({first_line(error)}); {again(path)}") from None
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
