"""Writes GGUF files from tiny random models, as llama.cpp's converter lays their weights out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import transformers
from safetensors.numpy import load_file

from kebench.model.gguf import ARCHITECTURES

QUERIES = "model.layers.0.self_attn.q_proj.weight"


def write_tiny_gguf(
    file: Path,
    model: Path,
    architecture: str,
    *,
    stored_as: str = "F32",
    split: str = "gpt-2",
    pieces_of: Any = None,
    change: Callable[[Any], None] = lambda writer: None,
    **settings: Any,
) -> Path:
    """Write the model of a directory (`write_tiny_lm`) into a GGUF file.

    stored_as: of its matrices. split: the name of how its tokenizer parts text. pieces_of: the
    SentencePiece model that stands for the directory's tokenizer. change: is given the writer
    before it is closed. settings: beside the model's own, under their names without the architecture's.
    """
    import gguf

    config = transformers.AutoConfig.from_pretrained(model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(heads := config.num_attention_heads)
    if architecture == "gpt2":
        writer.add_feed_forward_length(4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_key_length(load_file(model / "model.safetensors")[QUERIES].shape[0] // heads)
    for name, value in settings.items():
        writer.add_float32(f"{architecture}.{name.replace('__', '.')}", value)
    if pieces_of is None:
        _add_byte_level(writer, tokenizer, split)
    else:
        _add_sentencepiece(writer, pieces_of)
    names = gguf.get_tensor_name_map(
        next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture),
        config.num_hidden_layers,
    )
    for name, values in load_file(model / "model.safetensors").items():
        stem, _, ending = name.rpartition(".")
        stored = f"{names.get_name(stem)}.{ending}"
        as_stored = numpy.ascontiguousarray(ARCHITECTURES[architecture](stored, values, config))
        kind = gguf.GGMLQuantizationType[stored_as if as_stored.ndim == 2 else "F32"]
        writer.add_tensor(stored, gguf.quantize(as_stored, kind), raw_dtype=kind)
    change(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _add_byte_level(writer: Any, tokenizer: Any, split: str) -> None:
    import gguf

    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(pieces)
    writer.add_token_types([control if number in special else normal for number in range(len(pieces))])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)


def _add_sentencepiece(writer: Any, pieces_of: Any) -> None:
    import gguf

    kinds = []
    for number in (numbers := range(pieces_of.vocab_size())):
        kind = gguf.TokenType.BYTE if pieces_of.is_byte(number) else gguf.TokenType.NORMAL
        kind = gguf.TokenType.CONTROL if pieces_of.is_control(number) else kind
        kinds.append(gguf.TokenType.UNKNOWN if pieces_of.is_unknown(number) else kind)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([pieces_of.id_to_piece(number) for number in numbers])
    writer.add_token_scores([pieces_of.get_score(number) for number in numbers])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(pieces_of.bos_id())
    writer.add_eos_token_id(pieces_of.eos_id())
    writer.add_unk_token_id(pieces_of.unk_id())
    writer.add_add_bos_token(True)
