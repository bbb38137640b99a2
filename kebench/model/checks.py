"""What of a checkpoint does not belong together: config.json, weights, tokenizer, casing."""

import re
from pathlib import Path
from typing import Any

import transformers

from kebench.errors import UserError, counted
from kebench.model.checkpoint_files import again
from kebench.model.families import config_of, first_position, is_known, of_text
from kebench.model.layout import CAUSAL, count_capitals, family_of, is_head, is_weight, number_of

# Rows beyond the vocabulary: embeddings are padded to a multiple of 64, 128 or (mDeBERTa) 1,000. So at most
# 128 of them, where that is a small share of all, or a very small share; ours.
PADDED_ROWS, PADDED_SHARE, LARGE_PADDED_SHARE = 128, 0.1, 0.01
# Of causal and encoder-decoder models: Qwen2.5 has 151,936 rows and 151,665 pieces, Phi-2 51,200 and 50,295,
# DeepSeek 102,400 and 100,015.
LM_PADDED_SHARE = 0.03

# How adapters call what they put between a model's own weights, or beside them.
_ADAPTER = re.compile(
    r"(?:^|[._])(?:adapters?|lora_\w+|ia3_l|prefix_tuning|prompt_(?:encoder|embeddings))(?:[._]|$)"
)
_RARE = "\u2603 \U0001d54f \u0b95"  # what no vocabulary of words holds


def refuse_unlike(
    folder: Path,
    model: transformers.PreTrainedModel,
    loading: dict[str, Any],
    *,
    prefix: str = "",
    whole: bool = False,
) -> None:
    """Raise UserError unless encoder and weights hold the same tensors, but for heads and the pooler.

    prefix: what the encoder's tensors begin with in the model. whole: no tensor at all may be left over.
    """
    refuse_other_names(folder, model, loading)
    # What a file has under the encoder's own name (`bert.`) is the encoder's, but for the pooler. Beside it,
    # or in a file without that name, only what is called as a head is none of the encoder's.
    own = f"{model.base_model_prefix}."
    parts = {name.partition(".")[0] for name in model.base_model.state_dict()}

    def is_of_encoder(name: str) -> bool:
        first = name.removeprefix(own).partition(".")[0]
        if not is_weight(name) or (first == "pooler" and not whole):
            return False
        return (
            whole
            or bool(_ADAPTER.search(name))
            or name.startswith(own)
            or first in parts
            or not is_head(first)
        )

    unplaced = sorted(name for name in loading["unexpected_keys"] if is_of_encoder(name))
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
        layers = [int(found[1]) for name in unplaced if (found := re.search(r"\.layers?\.(\d+)\.", name))]
        stated = number_of(folder, "num_hidden_layers")
        why = (
            "they are another head's, or another kind of model's, and the model was trained for that; choose "
            "a checkpoint of the language model"
            if whole
            else "if they are a head's, save the encoder without it; else they are another kind of model's, "
            "whose code is not here"
        )
        if layers and min(layers) >= stated:
            why = f"it says {stated} layers, the weights have {max(layers) + 1}: mend num_hidden_layers"
        what = "the language model" if whole else "an encoder"
        raise UserError(
            f"{folder}: the weights hold {unplaced[0]} ({len(unplaced)} such), which {what} of "
            f"config.json has no place for and would drop; {why}"
        )


def refuse_other_names(folder: Path, model: transformers.PreTrainedModel, loading: dict[str, Any]) -> None:
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


def refuse_unusable(tokenizer: transformers.PreTrainedTokenizerFast, folder: Path) -> None:
    """Raise UserError for a tokenizer that would fail in the middle of a run."""
    most = tokenizer.model_max_length
    if not isinstance(most, int | float) or not most > 0:
        raise UserError(f"{folder}: its tokenizer takes {most!r} tokens, expected a number; {again(folder)}")
    try:
        tokenizer.backend_tokenizer.encode(_RARE)
    except Exception as error:  # the library raises no narrower kind
        raise UserError(f"{folder}: its tokenizer cannot be used ({error}); {again(folder)}") from None


def refuse_foreign(
    tokenizer: transformers.PreTrainedTokenizerFast, folder: Path, *, padded_share: float = LARGE_PADDED_SHARE
) -> None:
    """Raise UserError for a tokenizer whose pieces are not those of the weights' rows.

    padded_share: how many of a large embedding's rows may have no piece.
    """
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
    if unused > max(min(PADDED_ROWS, PADDED_SHARE * rows), padded_share * rows):
        raise UserError(
            f"{folder}: its tokenizer has {rows - unused:,} pieces and the embedding {rows:,} rows; that is "
            f"another model's vocabulary: {remedy}"
        )
    family = family_of(folder)
    is_asked = is_known(family) and family not in CAUSAL
    config = of_text(config_of(folder, family=family)) if is_asked else None
    if config is not None and first_position(config) and config.pad_token_id != tokenizer.pad_token_id:
        raise UserError(
            f"{folder}: padding is piece {tokenizer.pad_token_id} of the tokenizer, and by config.json "
            f"{config.pad_token_id}, where positions are counted from; {remedy}"
        )


def _rows_without_piece(tokenizer: transformers.PreTrainedTokenizerFast, rows: int) -> int:
    return rows - 1 - max((number for piece, number in tokenizer.get_vocab().items() if piece), default=0)


def remark_on_rows(tokenizer: transformers.PreTrainedTokenizerFast, folder: Path) -> str:
    """Say if the embedding has rows without a piece, and not as many as padding would make."""
    rows = number_of(folder, "vocab_size")
    if (unused := _rows_without_piece(tokenizer, rows)) <= 0 or not rows % 8 or not rows % 100:
        return ""
    return (
        f"its embedding has {rows:,} rows and its tokenizer {rows - unused:,} pieces: those that were added "
        "in training are missing, or it is another model's"
    )


def remark_on_casing(tokenizer: transformers.PreTrainedTokenizerFast) -> str:
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
