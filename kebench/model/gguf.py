"""From a GGUF file, llama.cpp's form of a quantised causal model, to a directory that from_pretrained reads.

transformers reads such files, and passes in silence over what it does not know: tensors, settings of
attention, ways of splitting text. So the file is looked through before, and what came of it held against the
file afterwards (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). The weights become float32; what
quantisation took from them is gone.
"""

import logging
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import pre_tokenizers

from kebench.errors import UserError, counted, first_line
from kebench.model.checkpoint import load_causal_lm, load_lm_tokenizer
from kebench.model.families import quiet_transformers
from kebench.model.start_token import SENTENCES, perplexity, tokens_put

Array = NDArray[Any]

# How a tensor may be stored, each as gguf.dequantize reads it: plain floats, blocks with a scale, k-quants,
# and the two with a table of 4 bits.
STORED_AS = (
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
    "IQ4_NL", "IQ4_XS",
)  # fmt: skip


def _head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


# Settings behind the architecture's name, and the field of config.json that must have their value after the
# conversion; one that stands in no list may change what the model computes, and is refused.
_SETTINGS: dict[str, Callable[[Any], Any]] = {
    "block_count": lambda config: config.num_hidden_layers,
    "embedding_length": lambda config: config.hidden_size,
    "context_length": lambda config: config.max_position_embeddings,
    "feed_forward_length": lambda config: (
        getattr(config, "intermediate_size", None)
        or getattr(config, "n_inner", None)
        or 4 * config.hidden_size
    ),
    "attention.head_count": lambda config: config.num_attention_heads,
    "attention.head_count_kv": lambda config: getattr(
        config, "num_key_value_heads", config.num_attention_heads
    ),
    "attention.layer_norm_rms_epsilon": lambda config: config.rms_norm_eps,
    "attention.layer_norm_epsilon": lambda config: config.layer_norm_epsilon,
    "attention.key_length": _head_size,
    "attention.value_length": _head_size,
    "rope.dimension_count": _head_size,
    "rope.freq_base": lambda config: config.rope_parameters["rope_theta"],
    "vocab_size": lambda config: config.vocab_size,
}
_DEFAULTS = {"rope.freq_base": 10_000.0}  # llama.cpp's, where a file does not state it


def _as_stored_llama(name: str, values: Array, config: Any) -> Array:
    """Return a tensor of ours as llama.cpp keeps a Llama's: queries and keys in another order in each head.

    Its rotation turns neighbours, transformers' the first half against the second.
    """
    if "attn_q." not in name and "attn_k." not in name:
        return values
    heads = config.num_attention_heads if "attn_q." in name else config.num_key_value_heads
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def _as_stored_gpt2(name: str, values: Array, config: Any) -> Array:
    """Return a tensor of ours as a file keeps a GPT-2's, whose Conv1D is a Linear the other way round."""
    parts = ("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight")
    return values.T if name.endswith(parts) else values


def _as_is(name: str, values: Array, config: Any) -> Array:
    return values


# Architectures that were held against files written from known weights (tests/model/test_gguf.py).
ARCHITECTURES: dict[str, Callable[[str, Array, Any], Array]] = {
    "gpt2": _as_stored_gpt2,
    "llama": _as_stored_llama,
    "qwen2": _as_is,
    "qwen3": _as_is,
}


class _Split(NamedTuple):
    """How a byte-level tokenizer parts text before merging; the file has its name alone.

    by_transformers: transformers knows its pattern. digits: each digit stands alone.
    whole_words: a part that is a piece of the vocabulary is taken whole, whatever the merges say.
    """

    by_transformers: bool = True
    digits: bool = False
    whole_words: bool = False


_SPLITS = {
    "gpt-2": _Split(by_transformers=False),
    "smollm": _Split(by_transformers=False, digits=True),
    "llama-bpe": _Split(whole_words=True),
    "llama3": _Split(whole_words=True),
    "tekken": _Split(whole_words=True),
    "qwen2": _Split(),
    "deepseek-r1-qwen": _Split(),
}

# What a tokenizer must give back as it was; some hundred names come of them.
_NAMES = (
    "propranolol", "acetylsalicylic acid", "5-hydroxytryptamine", "IL-2 receptor", "TNF-α", "β-catenin",
    "Sjögren's syndrome", "Guillain-Barré syndrome", "type 2 diabetes mellitus", "HIV-1", "BRCA1", "p53",
    "1,25-dihydroxyvitamin D3", "N-acetyl-L-cysteine", "CD4+ T cells", "myocardial infarction", "COVID-19",
    "hypertension (essential)", "Heart Septal Defects, Atrial", "trisomy 21", "E. coli O157:H7", "99mTc",
    "µ-opioid",
    "Ménière disease", "Na+/K+-ATPase", "alpha-1 antitrypsin deficiency", "HER2/neu", "vitamin B12", "3'-UTR",
    "Alzheimer's disease", "pH 7.4", "miR-21", "Lou Gehrig's", "G6PD", "Crohn disease", "cis-platinum",
    "H5N1",
    "10^9/L", "L-DOPA", "Epstein–Barr virus",
)  # fmt: skip
_FORMS: tuple[Callable[[str], str], ...] = (
    str, str.lower, str.upper, "{} is a".format, "The {}, or".format, "of {}.".format,
)  # fmt: skip

_log = logging.getLogger(__name__)


def convert_gguf(file: Path, folder: Path, *, shown: str) -> dict[str, Any]:
    """Write the model of a GGUF file into a folder as config.json, model.safetensors and a tokenizer.

    shown: what a user knows the file by. Returns what it was converted from, for fetched.json.
    Raises UserError for a file that is no GGUF, is cut off, or holds what would be read wrongly.
    """
    contents = read_gguf(file, shown=shown)
    architecture = contents.metadata["general.architecture"]
    try:
        with quiet_transformers(), torch.random.fork_rng(devices=[]):
            tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            model, loading = transformers.AutoModelForCausalLM.from_pretrained(
                file.parent,
                gguf_file=file.name,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # reported, and refused by name
                output_loading_info=True,
            )
    except Exception as error:  # the file is a stranger's: whatever transformers makes of a wrong value
        raise UserError(f"{shown}: cannot be converted ({first_line(error)}); take another file") from None
    _set_split(tokenizer, contents.metadata, shown=shown)
    for fault in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if names := sorted(loading[fault]):
            raise UserError(
                f"{shown}: cannot be converted ({fault.replace('_', ' ')}: {names[0]} and {len(names) - 1} "
                "more); take the model's own safetensors"
            )
    _compare_settings(contents.metadata, architecture, model.config, shown=shown)
    _compare_tensors(contents.reader, architecture, model, shown=shown)
    _compare_tokenizer(contents.metadata, tokenizer, shown=shown)

    # Said to be quantised, which the weights are not any more, a model cannot be saved.
    del model.hf_quantizer, model.config.quantization_config
    model.is_quantized = False
    vars(model.config).pop("_model_name_or_path", None)  # the file's title, which moves no score
    with quiet_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    saved = load_lm_tokenizer(folder)
    if tokens_put(saved) != tokens_put(tokenizer) or any(
        saved(text)["input_ids"] != tokenizer(text)["input_ids"] for text in _texts()
    ):
        raise UserError(f"{shown}: its tokenizer is another once it is saved; take another file")
    loaded = load_causal_lm(folder)
    plain, turned = (
        min(perplexity(loaded, saved, (), sentences=sentences), 1e9)
        for sentences in (SENTENCES, tuple(" ".join(reversed(one.split())) for one in SENTENCES))
    )
    if plain * 2 > turned:
        _log.warning(
            "%s: perplexity %.1f on plain English, and %.1f on the same words backwards: it is no model of "
            "English, or was converted wrongly", shown, plain, turned,
        )  # fmt: skip
    return {
        "architecture": architecture,
        "stored_as": dict(sorted(contents.stored_as.items())),
        "gguf_version": version("gguf"),
        "transformers_version": transformers.__version__,
    }


class GgufContents(NamedTuple):
    """What a GGUF file holds, its tensors mapped. stored_as: number of tensors by how they are stored."""

    reader: Any
    metadata: dict[str, Any]
    stored_as: dict[str, int]


def read_gguf(file: Path, *, shown: str) -> GgufContents:
    """Read a GGUF file's metadata, and see that all in it is known. Raises UserError as `convert_gguf`."""
    try:
        import gguf
    except ImportError:
        raise UserError(f"{shown}: reading it needs the package gguf; pip install 'kebench[gguf]'") from None
    _check_lengths(file, shown=shown)
    try:
        reader = gguf.GGUFReader(file)
        metadata = {name: field.contents() for name, field in reader.fields.items()}
    except Exception as error:  # the library raises whatever its arrays raise
        raise UserError(f"{shown}: cannot be read as GGUF ({first_line(error)}); fetch it again") from None
    stored_as = Counter(tensor.tensor_type.name for tensor in reader.tensors)
    architecture = metadata.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise UserError(
            f"{shown}: the architecture '{architecture}'; those that are converted are "
            f"{', '.join(ARCHITECTURES)}: take the model's own safetensors"
        )
    settings = [name.partition(".")[2] for name in metadata if name.startswith(f"{architecture}.")]
    if unknown := [name for name in settings if name not in _SETTINGS]:
        raise UserError(
            f"{shown}: {architecture}.{unknown[0]}, a setting that the conversion does not know and would "
            "leave out; take the model's own safetensors"
        )
    model, split = (metadata.get(f"tokenizer.ggml.{name}") for name in ("model", "pre"))
    if not (model == "llama" or (model == "gpt2" and split in _SPLITS)):
        raise UserError(
            f"{shown}: its tokenizer is '{model}', and splits text as '{split}'; known are llama, and gpt2 "
            f"with {', '.join(_SPLITS)}: take the model's own safetensors"
        )
    return GgufContents(reader, metadata, dict(stored_as))


def _check_lengths(file: Path, *, shown: str) -> None:
    """Raise UserError unless all lengths in the head of a GGUF file lie within it, and all kinds are known.

    gguf's reader trusts them: a damaged one would keep it reading nothing for ever.
    """
    import gguf

    cut_off = UserError(f"{shown}: cut off or damaged; fetch it again")
    size = file.stat().st_size
    widths = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # of a value, by its type
    string, array = 8, 9
    with file.open("rb") as opened:

        def take(form: str) -> Any:
            found = opened.read(struct.calcsize(form))
            if len(found) < struct.calcsize(form):
                raise cut_off
            return struct.unpack(form, found)[0]

        def skip(num_bytes: int) -> None:
            if num_bytes > size - opened.tell():
                raise cut_off
            opened.seek(num_bytes, 1)

        def skip_value(kind: int) -> None:
            if kind in widths:
                skip(widths[kind])
            elif kind == string:
                skip(take("<Q"))
            elif kind == array:
                inner, count = take("<I"), take("<Q")
                if inner in widths:
                    skip(widths[inner] * count)
                elif inner == string:
                    for _ in range(count):
                        skip(take("<Q"))
                else:
                    raise cut_off
            else:
                raise cut_off

        if opened.read(4) != b"GGUF":
            raise UserError(f"{shown}: no GGUF file (it does not begin with GGUF); name another")
        if (written := take("<I")) not in (2, 3):
            raise UserError(f"{shown}: GGUF of version {written}, expected 2 or 3; take a newer file")
        num_tensors, num_values = take("<Q"), take("<Q")
        for _ in range(num_values):
            skip(take("<Q"))
            skip_value(take("<I"))
        end = 0
        for _ in range(num_tensors):
            name = opened.read(min(take("<Q"), 1 << 10)).decode("utf-8", "replace")
            num_dimensions = take("<I")
            elements = 1
            for _ in range(min(num_dimensions, 8)):
                elements *= take("<Q")
            kind, offset = take("<I"), take("<Q")
            known = [one for one in gguf.GGMLQuantizationType if one.name in STORED_AS and one.value == kind]
            if not known:
                named = {one.value: one.name for one in gguf.GGMLQuantizationType}.get(kind, f"type {kind}")
                raise UserError(
                    f"{shown}: {name} is stored as {named}; known are {', '.join(STORED_AS)}: take another "
                    "file of this model"
                )
            elements_of_block, bytes_of_block = gguf.GGML_QUANT_SIZES[known[0]]
            end = max(end, offset + elements // elements_of_block * bytes_of_block)
        start = -(-opened.tell() // gguf.GGUF_DEFAULT_ALIGNMENT) * gguf.GGUF_DEFAULT_ALIGNMENT
        if start + end > size:
            raise cut_off


def _set_split(tokenizer: Any, metadata: Mapping[str, Any], *, shown: str) -> None:
    """Give a byte-level tokenizer the way of parting text that its vocabulary was made with."""
    if metadata["tokenizer.ggml.model"] != "gpt2":
        return
    named = metadata["tokenizer.ggml.pre"]
    split, backend = _SPLITS[named], tokenizer.backend_tokenizer
    has_pattern = isinstance(backend.pre_tokenizer, pre_tokenizers.Sequence)
    if split.by_transformers != has_pattern:
        raise UserError(
            f"{shown}: transformers {transformers.__version__} does not split text as '{named}'; install a "
            "newer one"
        )
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if split.digits:
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), byte_level])
    elif not split.by_transformers:
        backend.pre_tokenizer = byte_level
    if split.whole_words:
        backend.model.ignore_merges = True


def _compare_settings(metadata: Mapping[str, Any], architecture: str, config: Any, *, shown: str) -> None:
    """Raise UserError unless config.json says what the file says, and nothing of attention beside it."""
    rotates = getattr(config, "rope_parameters", None) is not None
    for name, read in _SETTINGS.items():
        stated = metadata.get(f"{architecture}.{name}", _DEFAULTS.get(name) if rotates else None)
        if stated is None:
            continue
        found = read(config)
        if found != stated and not (isinstance(found, float) and abs(found - stated) <= 1e-6 * abs(stated)):
            raise UserError(
                f"{shown}: {architecture}.{name} = {stated}, and the conversion made it {found}; take the "
                "model's own safetensors"
            )
    kind = config.rope_parameters.get("rope_type", "default") if rotates else "default"
    if kind != "default" or "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        raise UserError(f"{shown}: the conversion added rope_type '{kind}' or a window; take the safetensors")


def _compare_tensors(reader: Any, architecture: str, model: Any, *, shown: str) -> None:
    """Raise UserError unless every tensor of the file is in the model, and a sample of them to the bit."""
    import gguf

    config = model.config
    number = next(one for one, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(number, config.num_hidden_layers)
    ours = {}
    for name, tensor in model.state_dict().items():
        stem, _, ending = name.rpartition(".")
        if stored := names.get_name(stem):
            ours[f"{stored}.{ending}"] = tensor
    last = config.num_hidden_layers - 1
    sampled = {f"blk.{layer}." for layer in (0, last // 2, last)}
    for tensor in reader.tensors:
        if tensor.name not in ours:
            raise UserError(
                f"{shown}: {tensor.name}, which the conversion does not know and would leave out; take the "
                "model's own safetensors"
            )
        layer = tensor.name[: tensor.name.find(".", 4) + 1] if tensor.name.startswith("blk.") else ""
        if layer and layer not in sampled:
            continue
        stored = gguf.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        found = ARCHITECTURES[architecture](tensor.name, ours[tensor.name].numpy(), config)
        if found.shape != stored.shape or not numpy.array_equal(found, stored):
            raise UserError(
                f"{shown}: {tensor.name} is not in the model as gguf {version('gguf')} reads it; take the "
                "model's own safetensors"
            )


def _compare_tokenizer(metadata: Mapping[str, Any], tokenizer: Any, *, shown: str) -> None:
    """Raise UserError unless a tokenizer has the file's pieces, and gives names back as they were."""
    stated = metadata["tokenizer.ggml.tokens"]
    found = tokenizer.convert_ids_to_tokens(list(range(len(stated))))
    if len(tokenizer) > len(stated) or any(piece != kept for piece, kept in zip(stated, found, strict=True)):
        raise UserError(f"{shown}: its tokenizer has other pieces than the file; take the model's own")
    lost = []
    for text in _texts():
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if tokenizer.decode(ids, clean_up_tokenization_spaces=False).lstrip() != text:
            lost.append(text)
    if lost:
        raise UserError(
            f"{shown}: its tokenizer does not give back {counted(len(lost), 'text')} as they were "
            f"({lost[0]!r}); take the model's own"
        )


def _texts() -> list[str]:
    return [form(name) for name in _NAMES for form in _FORMS]
