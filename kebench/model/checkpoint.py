"""Loads a checkpoint directory: its encoder or its masked language model, and a tokenizer.

The released checkpoints are older than today's transformers, so what their files leave unsaid (family,
casing, the space before a byte-level word) is settled here and nowhere else.
"""

import importlib.metadata
import pickle
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from tokenizers import pre_tokenizers

from kebench.errors import UserError, counted, first_line
from kebench.model.checkpoint_files import again, refuse_large_files
from kebench.model.families import config_of, first_position, is_known, quiet_transformers
from kebench.model.layout import (
    backbone_of,
    bert_normalization,
    casing_of,
    count_capitals,
    family_of,
    is_head,
    is_weight,
    max_tokens_of,
    number_of,
    read_vocabulary,
    refuse_other_kinds,
    stated_casing,
)
from kebench.model.tensors import raw_shapes, tensor_shapes, unsafe_pickle, weight_files, wrapper_of

# The tokenizer of each family. A directory of another family is left to AutoTokenizer.
TOKENIZERS = {
    "bert": transformers.BertTokenizer,
    "electra": transformers.BertTokenizer,
    "roberta": transformers.RobertaTokenizer,
    "modernbert": transformers.PreTrainedTokenizerFast,
}


# Rows beyond the vocabulary: embeddings are padded to a multiple of 64, 128 or (mDeBERTa) 1,000. So at most
# 128 of them, where that is a small share of all, or a very small share; ours.
PADDED_ROWS, PADDED_SHARE, LARGE_PADDED_SHARE = 128, 0.1, 0.01

# How adapters call what they put between a model's own weights, or beside them.
_ADAPTER = re.compile(
    r"(?:^|[._])(?:adapters?|lora_\w+|ia3_l|prefix_tuning|prompt_(?:encoder|embeddings))(?:[._]|$)"
)

# A directory without any of these has no vocabulary; transformers would make an empty one and say nothing.
_RARE = "\u2603 \U0001d54f \u0b95"  # what no vocabulary of words holds
VOCABULARY_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
)


class Checked(NamedTuple):
    """A checkpoint that can be run.

    left_out: in words, what of its weights is no part of what is run: heads, the pooler.
    remarks: in words, what is out of the common in it.
    """

    model_type: str
    tokenizer: transformers.PreTrainedTokenizerFast
    left_out: str
    remarks: tuple[str, ...]


def check_checkpoint(
    folder: Path,
    *,
    family: str = "",
    casing: str = "",
    masked_lm: bool = False,
    trust_remote_code: bool = False,
) -> Checked:
    """Load all of a checkpoint but the numbers in its weights: whatever would be refused in a run is here.

    masked_lm: with its masked language modelling head, and a tokenizer for running text.
    """
    load = load_masked_lm if masked_lm else load_encoder
    model = load(folder, family=family, trust_remote_code=trust_remote_code, without_numbers=True)
    tokenizer = load_tokenizer(
        folder,
        family=family,
        casing=casing,
        split_words=not masked_lm,
        trust_remote_code=trust_remote_code,
    )
    remarks = [_remark_on_casing(tokenizer), _remark_on_rows(tokenizer, folder)]
    if wrapper := wrapper_of(raw_shapes(folder)):
        remarks.append(f"the names of its weights begin with '{wrapper}', which is taken off")
    left_out = _left_out(folder, model)
    return Checked(model.config.model_type, tokenizer, left_out, tuple(filter(None, remarks)))


def _left_out(folder: Path, model: transformers.PreTrainedModel) -> str:
    prefix = f"{model.base_model_prefix}."
    taken = {name.removeprefix(prefix) for name in model.state_dict()}
    names = (name.removeprefix(prefix) for name in tensor_shapes(folder))
    parts = Counter(name.partition(".")[0] for name in names if name not in taken and is_weight(name))
    return ", ".join(f"{part} ({counted(number, 'tensor')})" for part, number in sorted(parts.items()))


def load_encoder(
    folder: Path, *, family: str = "", trust_remote_code: bool = False, without_numbers: bool = False
) -> transformers.PreTrainedModel:
    """Load a checkpoint's encoder in float32, without heads and without pooler.

    family: used where config.json names none; see `layout.family_of`.
    without_numbers: its weights have shapes and nothing in them (torch's device `meta`), in no time.

    Raises UserError if any weight of the encoder is not in the file, has another shape, or has no place in
    the encoder: a score of weights that are half drawn or half dropped must not exist. The global random
    state is left as it was found.
    """
    encoder, loading = _load(
        transformers.AutoModel,
        folder,
        family,
        trust_remote_code=trust_remote_code,
        without_numbers=without_numbers,
    )
    _check_whole(folder, encoder, loading)
    # Never trained in fine-tuning: they would be parameters without gradient. Some families call their pooler
    # whether it is there or not.
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = torch.nn.Identity()
    for part in getattr(encoder, "parts_without_gradient", ()):
        part.requires_grad_(False)
    return encoder


def load_masked_lm(
    folder: Path, *, family: str = "", trust_remote_code: bool = False, without_numbers: bool = False
) -> transformers.PreTrainedModel:
    """Load a checkpoint with its masked language modelling head, in float32.

    Raises UserError, with the names of what is missing, if the head was never trained or is not in the file:
    a model with a random head says nothing. The rest is as in `load_encoder`.
    """
    kind = transformers.AutoModelForMaskedLM
    model, loading = _load(
        kind, folder, family, trust_remote_code=trust_remote_code, without_numbers=without_numbers
    )
    _refuse_other_names(folder, model, loading)
    prefix = f"{model.base_model_prefix}."
    missing = sorted(name for name in loading["missing_keys"] if not name.startswith(prefix))
    if missing:
        raise UserError(
            f"{folder}: no trained masked language modelling head: the weights lack {', '.join(missing)}; "
            "choose a checkpoint with one, or train one by continued pretraining"
        )
    _check_whole(folder, model, loading, prefix=prefix)
    return model


def _load(
    kind: Any, folder: Path, family: str, *, trust_remote_code: bool, without_numbers: bool
) -> tuple[transformers.PreTrainedModel, dict[str, Any]]:
    """Load a checkpoint as a kind of model; return it with transformers' report of what was missing."""
    config = _load_config(folder, family=family, trust_remote_code=trust_remote_code)
    # refuses, in one readable line, a file that is cut off or an unsafe pickle
    wrapper = wrapper_of(raw_shapes(folder))
    try:
        with quiet_transformers(), torch.random.fork_rng(devices=[]):
            model, loading = kind.from_pretrained(
                folder,
                config=config,
                key_mapping={f"^{re.escape(wrapper)}": ""} if wrapper else None,
                device_map="meta" if without_numbers else None,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # reported, and refused by name
                local_files_only=True,
                output_loading_info=True,
                trust_remote_code=trust_remote_code,
                weights_only=True,
            )
    except pickle.UnpicklingError:
        raise unsafe_pickle(weight_files(folder)[0]) from None
    # the files are a stranger's: whatever transformers makes of a wrong value is their fault
    except Exception as error:
        raise UserError(f"{folder}: cannot be loaded ({first_line(error)}); {again(folder)}") from None
    return model, loading


def _load_config(folder: Path, *, family: str, trust_remote_code: bool) -> transformers.PreTrainedConfig:
    refuse_other_kinds(folder)
    known = family_of(folder) or family
    if not known:
        raise UserError(f'{folder}/config.json: no model_type; add one, such as "model_type": "bert"')
    return config_of(folder, family=known, trust_remote_code=trust_remote_code)


def _check_whole(
    folder: Path, model: transformers.PreTrainedModel, loading: dict[str, Any], *, prefix: str = ""
) -> None:
    """Raise UserError unless encoder and weights hold the same tensors, but for heads and the pooler.

    prefix: what the encoder's tensors begin with in the model.
    """
    _refuse_other_names(folder, model, loading)
    unplaced = _unplaced(folder, model, loading)
    if adapters := [name for name in unplaced if _ADAPTER.search(name)]:
        raise UserError(
            f"{folder}: the weights hold an adapter ({adapters[0]}, {len(adapters)} tensors), which would be "
            "dropped; merge it into them (PEFT: merge_and_unload) and save that"
        )
    missing = sorted(name for name in loading["missing_keys"] if not name.startswith(f"{prefix}pooler."))
    if missing:
        raise UserError(
            f"{folder}: the weights lack {missing[0]} ({len(missing)} missing); config.json describes "
            "another model than the weights, or the file is cut off"
        )
    if mismatched := sorted(loading["mismatched_keys"]):
        name, in_file, expected = mismatched[0]
        raise UserError(
            f"{folder}: {name} is {tuple(in_file)} in the weights, {tuple(expected)} by config.json; "
            "the two do not belong together"
        )
    if unplaced:
        raise UserError(
            f"{folder}: the weights hold {unplaced[0]} ({len(unplaced)} such), which an encoder of "
            f"config.json has no place for and would drop; {_why_unplaced(model, unplaced)}"
        )


def _unplaced(folder: Path, model: transformers.PreTrainedModel, loading: dict[str, Any]) -> list[str]:
    """Return the tensors of the weights' encoder that the model has no place for, sorted.

    What a file has under the encoder's own name (`bert.`) is the encoder's, but for the pooler. Beside it, or
    in a file without that name, only what is called as a head is none of the encoder's.
    """
    prefix = f"{model.base_model_prefix}."
    parts = {name.partition(".")[0] for name in model.base_model.state_dict()}

    def is_of_encoder(name: str) -> bool:
        first = name.removeprefix(prefix).partition(".")[0]
        if not is_weight(name) or first == "pooler":
            return False
        return bool(_ADAPTER.search(name)) or name.startswith(prefix) or first in parts or not is_head(first)

    return sorted(name for name in loading["unexpected_keys"] if is_of_encoder(name))


def _why_unplaced(model: transformers.PreTrainedModel, unplaced: list[str]) -> str:
    layers = [int(found[1]) for name in unplaced if (found := re.search(r"\.layers?\.(\d+)\.", name))]
    stated = model.config.num_hidden_layers
    if layers and min(layers) >= stated:
        return f"it says {stated} layers, the weights have {max(layers) + 1}: mend num_hidden_layers"
    return (
        "if they are a head's, save the encoder without it; else they are another kind of model's, whose "
        "code is not here"
    )


def _refuse_other_names(folder: Path, model: transformers.PreTrainedModel, loading: dict[str, Any]) -> None:
    """Raise UserError if the encoder is there under names that begin otherwise."""
    if not (missing := sorted(loading["missing_keys"])):
        return
    known, prefix = model.config.model_type, f"{model.base_model_prefix}."
    lacking = {name.removeprefix(prefix) for name in missing}
    for name in sorted(loading["unexpected_keys"]):
        first, _, rest = name.partition(".")
        if rest in lacking and f"{first}." != prefix and is_known(first):
            raise UserError(
                f"{folder}: the weights are those of a '{first}' ({name}), and config.json says '{known}'; "
                "mend model_type"
            )
    for name in loading["unexpected_keys"]:
        before = name.removesuffix(missing[0])
        if before != name and before.endswith("."):
            raise UserError(
                f"{folder}: the names of the weights' tensors begin with '{before}' ({name}); take it "
                "off, or save the model that is inside with save_pretrained"
            )


def load_tokenizer(
    folder: Path,
    *,
    family: str = "",
    casing: str = "",
    split_words: bool = True,
    trust_remote_code: bool = False,
) -> transformers.PreTrainedTokenizerFast:
    """Load a checkpoint's fast tokenizer.

    family, casing: the card's; used where the files are silent, so that a cased model that comes with a
        bare vocab.txt is not lower-cased, which is what transformers would do.

    split_words: for texts already split into words: byte-level tokenizers (RoBERTa, ModernBERT) then put a
        space before every word, so that it gets the pieces that it has in running text. Otherwise for
        running text, as the file has it.

    Truncation and padding saved in the file are dropped; the caller sets them.
    """
    known = family_of(folder) or family
    if not any((folder / name).is_file() for name in VOCABULARY_FILES):
        raise UserError(
            f"{folder}: no tokenizer ({', '.join(VOCABULARY_FILES[:3])} ...); save it beside the weights "
            "with tokenizer.save_pretrained"
        )
    with quiet_transformers():
        tokenizer = _from_files(folder, known, casing, trust_remote_code=trust_remote_code)
    backend = tokenizer.backend_tokenizer
    if split_words:
        _put_space_before_words(backend)
    backend.no_truncation()
    backend.no_padding()
    _refuse_unusable(tokenizer, folder)
    _refuse_foreign(tokenizer, folder)
    if limit := max_tokens_of(folder):
        tokenizer.model_max_length = min(tokenizer.model_max_length, limit)
    return tokenizer


def _from_files(
    folder: Path, family: str, casing: str, *, trust_remote_code: bool
) -> transformers.PreTrainedTokenizerFast:
    kind = TOKENIZERS.get(backbone_of(folder) or family, transformers.AutoTokenizer)
    # Said outright: left out, transformers asks at the terminal and runs the code on a "y".
    arguments: dict[str, Any] = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    if kind is transformers.BertTokenizer:
        chosen = stated_casing(folder) or casing or casing_of(folder)
        arguments |= bert_normalization(folder) | {"do_lower_case": chosen == "uncased"}
    refuse_large_files(folder)
    if (folder / "vocab.txt").is_file() and not (folder / "tokenizer.json").is_file():
        read_vocabulary(folder / "vocab.txt")
    _require_sentencepiece(folder)
    try:
        tokenizer = kind.from_pretrained(folder, **arguments)
    except Exception as error:  # as in _load
        raise UserError(
            f"{folder}: its tokenizer cannot be loaded ({first_line(error)}); {again(folder)}"
        ) from None
    if not tokenizer.is_fast:
        raise UserError(f"{folder}: has no fast tokenizer, which words and their pieces are aligned by")
    return tokenizer


def _require_sentencepiece(folder: Path) -> None:
    """Raise UserError if the vocabulary is SentencePiece's alone, and what reads it is not installed."""
    found = [name for name in VOCABULARY_FILES if (folder / name).is_file()]
    lacking = [name for name in ("sentencepiece", "protobuf") if not _is_installed(name)]
    if lacking and all(name.endswith(".model") for name in found):
        raise UserError(
            f"{folder}: its vocabulary is in {found[0]} alone, which {' and '.join(lacking)} must read; "
            "pip install 'kebench[sentencepiece]'"
        )


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _refuse_unusable(tokenizer: transformers.PreTrainedTokenizerFast, folder: Path) -> None:
    """Raise UserError for a tokenizer that would fail in the middle of a run."""
    most = tokenizer.model_max_length
    if not isinstance(most, int | float) or not most > 0:
        raise UserError(f"{folder}: its tokenizer takes {most!r} tokens, expected a number; {again(folder)}")
    try:
        tokenizer.backend_tokenizer.encode(_RARE)
    except Exception as error:  # the library raises no narrower kind
        raise UserError(f"{folder}: its tokenizer cannot be used ({error}); {again(folder)}") from None


def _refuse_foreign(tokenizer: transformers.PreTrainedTokenizerFast, folder: Path) -> None:
    """Raise UserError for a tokenizer whose pieces are not those of the weights' rows."""
    if not (rows := number_of(folder, "vocab_size")):
        return
    remedy = "put the tokenizer there that the weights were trained with"
    # a blank line of vocab.txt makes a piece that no text has
    beyond = sorted(piece for piece, number in tokenizer.get_vocab().items() if number >= rows and piece)
    if beyond:
        shown = ", ".join(repr(piece) for piece in beyond[:3]) + " ..." * (len(beyond) > 3)
        raise UserError(
            f"{folder}: its tokenizer has {counted(len(beyond), 'piece')} ({shown}) beyond the {rows:,} rows "
            f"of the embedding, which would be drawn at random; {remedy}"
        )
    unused = _rows_without_piece(tokenizer, rows)
    if unused > max(min(PADDED_ROWS, PADDED_SHARE * rows), LARGE_PADDED_SHARE * rows):
        raise UserError(
            f"{folder}: its tokenizer has {rows - unused:,} pieces and the embedding {rows:,} rows; that is "
            f"another model's vocabulary: {remedy}"
        )
    family = family_of(folder)
    config = config_of(folder, family=family) if is_known(family) else None
    if config is not None and first_position(config) and config.pad_token_id != tokenizer.pad_token_id:
        raise UserError(
            f"{folder}: padding is piece {tokenizer.pad_token_id} of the tokenizer, and by config.json "
            f"{config.pad_token_id}, where positions are counted from; {remedy}"
        )


def _rows_without_piece(tokenizer: transformers.PreTrainedTokenizerFast, rows: int) -> int:
    return rows - 1 - max((number for piece, number in tokenizer.get_vocab().items() if piece), default=0)


def _remark_on_rows(tokenizer: transformers.PreTrainedTokenizerFast, folder: Path) -> str:
    """Say if the embedding has rows without a piece, and not as many as padding would make."""
    rows = number_of(folder, "vocab_size")
    if (unused := _rows_without_piece(tokenizer, rows)) <= 0 or not rows % 8 or not rows % 100:
        return ""
    return (
        f"its embedding has {rows:,} rows and its tokenizer {rows - unused:,} pieces: those that were added "
        "in training are missing, or it is another model's"
    )


def _remark_on_casing(tokenizer: transformers.PreTrainedTokenizerFast) -> str:
    """Say if the tokenizer treats capitals otherwise than its vocabulary was made for."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    lower_cases = normalizer is not None and normalizer.normalize_str("A").strip("▁ ") == "a"
    capitalised, pieces = found = count_capitals(tokenizer.get_vocab())
    counts = f"{capitalised:,} of its vocabulary's {pieces:,} words and parts have capitals"
    if lower_cases and found.casing == "cased":
        return f"it lower-cases text, and {counts}: its files (or its card) state the wrong casing"
    if not lower_cases and found.casing == "uncased" and pieces:
        return f"it keeps capitals, and only {counts}: its files (or its card) state the wrong casing"
    return ""


def _put_space_before_words(backend: Any) -> None:
    steps: Any = backend.pre_tokenizer
    is_sequence = isinstance(steps, pre_tokenizers.Sequence)
    for step in steps if is_sequence else [steps]:
        if isinstance(step, pre_tokenizers.ByteLevel):
            step.add_prefix_space = True
    backend.pre_tokenizer = steps
