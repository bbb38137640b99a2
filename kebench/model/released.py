"""Converts the released KeBioLM (pytorch_model.bin, entity.jsonl, config.json) to our directory, and back.

Both hold the same parameters under the same names; ours adds the CUI of each entity row and says in
config.json how the released code reads the rest (docs/FIDELITY.md).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import torch
from torch import Tensor

from kebench.bounded import parse_json
from kebench.errors import UserError, first_line
from kebench.files import atomic_folder
from kebench.model.checkpoint import load_masked_lm
from kebench.model.checkpoint_files import (
    copy_tokenizer,
    modern_name,
    read_json_if_there,
    tensor_shapes,
    weight_files,
)
from kebench.model.configuration import KebiolmConfig
from kebench.model.families import quiet_transformers
from kebench.model.kebiolm import KebiolmForMaskedLM
from kebench.model.layout import family_of, read_config
from kebench.model.source import read_suggested, write_suggested
from kebench.transe.embeddings import read_names, write_names

ENTITIES = "entities.parquet"  # in our directory: the name of each row of the entity memory
RELEASED_ENTITIES = "entity.jsonl"
SPECIAL_NAMES = ("[PAD_ENT]", "[UNK_ENT]", "[NIL_ENT]")
_MEMORY = "bert.entity_linker.entity_embeddings.weight"


class Converted(NamedTuple):
    """What was written. fidelity: how the weights are run, or were (released files cannot say)."""

    layers: tuple[int, int]
    num_entities: int
    special: int
    fidelity: str


def from_released(source: Path, out: Path, *, fidelity: str = "released") -> Converted:
    """Write a released checkpoint as a directory of ours.

    Raises UserError, and writes nothing, if a file is missing or does not fit the others.
    """
    if family_of(source) == "kebiolm":
        raise UserError(
            f"{source}: already a directory of ours; --to released makes the released files of it"
        )
    tensor_shapes(source)  # refuses what is cut off, or a pickle that holds more than tensors
    path = weight_files(source)[0]
    loaded: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    weights = {
        modern_name(name): value for name, value in loaded.items() if not name.endswith("position_ids")
    }
    if _MEMORY not in weights:
        raise UserError(f"{path}: no {_MEMORY}; this is no released KeBioLM")
    names = _released_names(source / RELEASED_ENTITIES, rows=len(weights[_MEMORY]))
    special = [row for row, name in enumerate(names) if name in SPECIAL_NAMES]
    rows, size = weights[_MEMORY].shape
    ours = {"num_entities": rows, "entity_size": size, "special_entities": special, "fidelity": fidelity}
    unset = {"model_type", "architectures", "fusion_layer_norm", "backbone", "first_position", *ours}
    stated = {name: value for name, value in read_config(source).items() if name not in unset}
    try:
        config = KebiolmConfig(**{"max_mentions": 15} | stated, **ours)  # the released code's default
        model = KebiolmForMaskedLM(config)
    # config.json is a stranger's: whatever transformers makes of a wrong value is the file's fault
    except Exception as error:
        said = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"{source}/config.json: no KeBioLM can be made of it ({said})") from None
    for name, value in model.state_dict().items():
        if name in weights and weights[name].shape != value.shape:
            raise UserError(
                f"{source}: {name} is {tuple(weights[name].shape)} in the weights, {tuple(value.shape)} by "
                "config.json; the two do not belong together"
            )
    missing, unexpected = model.load_state_dict(weights, strict=False)
    lacking = sorted(name for name in missing if not name.startswith("cls.predictions.decoder."))
    if lacking or unexpected:
        what = f"lack {lacking[0]}" if lacking else f"hold {sorted(unexpected)[0]}"
        raise UserError(f"{source}: the weights {what}; this is no released KeBioLM, or not a whole one")
    model.tie_weights()
    with atomic_folder(out, point="model") as folder, quiet_transformers():
        model.save_pretrained(folder)
        write_names(folder / ENTITIES, "cui", pa.array(names, pa.string()))
        copy_tokenizer(source, folder)
        write_suggested(read_suggested(source), folder, origin=source.name)
    return _converted(config)


def to_released(source: Path, out: Path) -> Converted:
    """Write a directory of ours as the released code reads it.

    That code wants a padding entity in row 0, and an unknown and a NIL one; where there are none, three rows
    of zeros are put first.
    """
    if family_of(source) != "kebiolm":
        raise UserError(
            f"{source}: its config.json says '{family_of(source)}', not kebiolm; nothing to convert"
        )
    model = load_masked_lm(source)
    config = model.config
    if not (config.fuses and config.fusion_layer_norm and config.backbone == "bert"):
        raise UserError(f"{source}: the released code runs only a BERT split in two, with LayerNorm")
    names = read_names(source / ENTITIES, command="pretrain").to_pylist()
    if len(names) != config.num_entities:
        raise UserError(
            f"{source / ENTITIES}: {len(names):,} names for {config.num_entities:,} entities; copy the "
            "checkpoint again"
        )
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    lacking = [name for name in SPECIAL_NAMES if name not in names]
    names = [*lacking, *names]
    memory = weights[_MEMORY]
    weights[_MEMORY] = torch.cat([memory.new_zeros(len(lacking), memory.shape[1]), memory])
    weights.pop("bert.embeddings.position_ids", None)
    ours = ("fidelity", "special_entities", "fusion_layer_norm", "backbone", "first_position")
    stated = {key: value for key, value in config.to_dict().items() if key not in ours}
    with atomic_folder(out, point="model") as folder:
        torch.save(weights, folder / "pytorch_model.bin")
        lines = [json.dumps({"entity_name": name, "id": row}) for row, name in enumerate(names)]
        (folder / RELEASED_ENTITIES).write_text("\n".join(lines) + "\n", encoding="utf-8")
        text = json.dumps(stated | {"model_type": "kebio", "num_entities": len(names)}, indent=2)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")
        copy_tokenizer(source, folder)
        write_suggested(read_suggested(source), folder, origin=source.name)
        # The released code reads vocab.txt, which a directory with tokenizer.json may lack.
        has_vocabulary = (folder / "vocab.txt").is_file()
        cut = None if has_vocabulary else read_json_if_there(source / "tokenizer.json").get("model")
        if isinstance(cut, dict) and cut.get("type") == "WordPiece":
            vocab = cut.get("vocab")
            if not isinstance(vocab, dict) or not all(type(number) is int for number in vocab.values()):
                raise UserError(f"{source / 'tokenizer.json'}: its vocab has no numbers; copy it again")
            pieces = sorted(vocab, key=vocab.__getitem__)
            (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    return _converted(config)._replace(num_entities=len(names) - len(SPECIAL_NAMES), special=3)


def _converted(config: Any) -> Converted:
    above = config.num_hidden_layers - config.num_context_layers
    special = len(config.special_entities)
    return Converted(
        (config.num_context_layers, above), config.num_entities - special, special, config.fidelity
    )


def _released_names(path: Path, *, rows: int) -> list[str]:
    """Read the name of each entity row; rows that have none keep an empty one."""
    names = [""] * rows
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    entity = parse_json(line)
                    row, name = entity["id"], entity["entity_name"]
                    fits = isinstance(row, int) and 0 <= row < rows and isinstance(name, str)
                except (ValueError, KeyError, TypeError):
                    fits = False
                if not fits:
                    expected = f'{{"entity_name": ..., "id": 0 to {rows - 1:,}}}'
                    raise UserError(
                        f"{path} line {number}: expected {expected}; the file does not belong to these "
                        "weights, or is cut off"
                    )
                names[row] = name
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); it comes with the released weights") from None
    return names
