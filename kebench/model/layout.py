"""What the files of a checkpoint directory say, read without torch and without running anything.

A checkpoint directory is what Hugging Face's `from_pretrained` reads: config.json, weights
(safetensors, or a pickle in older ones) and the tokenizer's files. Older BERT checkpoints hold
config.json, pytorch_model.bin and vocab.txt only; their silence on family and casing is dealt with here.
"""

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from kebench.bounded import MOST_TOKENIZER_BYTES, read_within
from kebench.errors import UserError
from kebench.model.checkpoint_files import again, read_json, read_json_if_there, tensor_shapes
from kebench.model.statements import Family

# Encoders whose config.json has transformers' own names for every size. Other families are looked up in
# transformers itself (`model/families`), which takes seconds.
PLAIN = ("bert", "electra", "kebiolm", "modernbert", "roberta")
# Families whose models are of one kind whatever else config.json says; of others transformers is asked.
CAUSAL = (
    "biogpt", "bloom", "falcon", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_bigcode", "gpt_neo",
    "gpt_neox", "gptj", "llama", "mamba", "ministral3", "mistral", "mixtral", "olmo", "olmo2", "opt", "phi",
    "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3", "stablelm", "starcoder2",
)  # fmt: skip
_AS_STATED: dict[str, Family] = {"causal": "causal", "encoder-decoder": "encoder-decoder"}
ENCODER_DECODER = ("longt5", "mt5", "switch_transformers", "t5", "umt5")
KINDS: dict[Family, str] = {
    "masked": "a masked language model",
    "causal": "a causal language model",
    "encoder-decoder": "an encoder-decoder language model",
}

FEWEST_TOKENS = 8  # of a text; ours, as `records.Settings` has it

# Tensors that a file with a masked language modelling head holds, by family. Decoder weights are tied to
# the embeddings and often left out, so they prove nothing. An ELECTRA discriminator has no such head.
_ROBERTA_HEAD = ("lm_head.dense.weight", "lm_head.bias")
_BERT_HEAD = ("cls.predictions.transform.dense.weight", "cls.predictions.bias")
MLM_HEAD_TENSORS = {
    "bert": _BERT_HEAD,
    "kebiolm": _BERT_HEAD,
    "roberta": _ROBERTA_HEAD,
    "xlm-roberta": _ROBERTA_HEAD,
    "camembert": _ROBERTA_HEAD,
    "distilbert": ("vocab_transform.weight", "vocab_projector.bias"),
    "electra": ("generator_predictions.dense.weight", "generator_lm_head.bias"),
    "modernbert": ("head.dense.weight", "decoder.bias"),
}

# First part of the name of a tensor that does not belong to the encoder proper. Inside `bert.`, `model.`
# and the like that prefix is taken off first.
NOT_ENCODER = {
    "classifier", "cls", "contact_head", "crf", "decoder", "discriminator_predictions",
    "entity_predictions", "generator_lm_head", "generator_predictions", "head", "lm_head", "lm_loss",
    "lm_predictions", "mask_predictions", "pooler", "pre_classifier", "pred_layer", "predictions",
    "qa_outputs", "sop_classifier", "vocab_layer_norm", "vocab_projector", "vocab_transform",
}  # fmt: skip
# A head that others put beside an encoder has one of these words in its name, and none that an encoder's
# parts have; ours.
_HEAD_WORD = re.compile(
    r"(?:^|_)(?:heads?|classifiers?|classification|crf|fc|linear|logits?|loss|outputs?|predictions?"
    r"|predictors?|regressor|scorer?)\d*(?:_|$)"
)
_ENCODER_WORD = re.compile(r"embed|fusion|encod|adapter|layer|attention", re.IGNORECASE)
# Numbers that a model makes itself, which older files hold all the same.
_NO_WEIGHTS = ("position_ids", "token_type_ids", "inv_freq")

# A piece of a vocabulary that is a word or a part of one, behind the sign that WordPiece (##), byte-level BPE
# (Ġ) or SentencePiece (▁) puts before it.
_WORD_PIECE = re.compile(r"(?:##|[Ġ▁])?([A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*)")
# ours: in an uncased vocabulary nothing has capitals but the few pieces that were added to it later; to one
# made of cased text every name and every beginning of a sentence gives some
CAPITALS_SHARE = 0.1

# Settings under which a word does not see all others, or sees what is not in its text.
_DECODER = {
    "is_encoder_decoder": "an encoder and a decoder",
    "is_decoder": "so a word would see only what stands before it",
    "add_cross_attention": "so its layers would look at another model's states",
}

# Classes with a language modelling head, as config.json's `architectures` names them: GPT2LMHeadModel,
# LlamaForCausalLM, T5ForConditionalGeneration, T5WithLMHeadModel ...
_LM_CLASS = re.compile(r"(?:CausalLM|LMHead|ConditionalGeneration)")
_CAUSAL_CLASS = re.compile(r"(?:CausalLM|LMHeadModel)$")

# Most positions of a text; Longformer's encoder-decoder has two of its own.
_LIMITS = ("max_position_embeddings", "max_encoder_position_embeddings", "max_decoder_position_embeddings")

# Beyond any model there is; transformers would build layers until memory ends.
MOST = {"num_hidden_layers": 1_000, "hidden_size": 100_000, "vocab_size": 10_000_000}


class CheckpointFacts(NamedTuple):
    """What is really in a checkpoint directory.

    kind: None where neither files nor card tell.
    layers: of an encoder-decoder model, those of its encoder.
    parameters: of an encoder, without pooler and heads; of a causal or encoder-decoder model all.
    has_mlm_head: from the tensors' names; None for a family whose head we do not know.
    max_tokens: the longest input, special tokens included; None where positions are not limited.
    """

    family: str
    kind: Family | None
    layers: int
    hidden: int
    vocabulary: int
    casing: str
    parameters: int
    has_mlm_head: bool | None
    max_tokens: int | None


def describe_checkpoint(folder: Path, *, kind: str = "") -> CheckpointFacts:
    """Read a checkpoint's config, tokenizer files and tensor names; of the weights only the headers.

    kind: of its card; see `family_kind`.
    Raises UserError if a file is missing, cut off, or a pickle that holds more than tensors, and for whatever
    is neither an encoder of text nor a causal or encoder-decoder language model.
    """
    found = family_kind(folder, stated=kind) if kind or told_kind(folder) else None
    is_lm = found in ("causal", "encoder-decoder")
    if not is_lm:
        refuse_other_kinds(folder)
    family = family_of(folder)
    shapes = tensor_shapes(folder)
    parameters = 0
    for name, shape in shapes.items():
        first, _, rest = name.partition(".")
        # neither of a head, nor of the pooler (`bert.pooler.dense`)
        is_of_encoder = not is_head(first) and rest.partition(".")[0] not in NOT_ENCODER
        if is_weight(name) and (is_lm or is_of_encoder):
            parameters += math.prod(shape)
    return CheckpointFacts(
        family=family,
        kind=found,
        layers=number_of(folder, "num_hidden_layers"),
        hidden=number_of(folder, "hidden_size"),
        vocabulary=number_of(folder, "vocab_size"),
        casing=casing_of(folder) or "",
        parameters=parameters,
        has_mlm_head=False if is_lm else has_mlm_head(family, shapes),
        max_tokens=max_tokens_of(folder),
    )


def has_mlm_head(family: str, tensor_names: Any) -> bool | None:
    """Tell from the names of a file's tensors whether it holds an MLM head; None for an unknown family."""
    if family not in MLM_HEAD_TENSORS:
        return None
    return all(name in tensor_names for name in MLM_HEAD_TENSORS[family])


def is_weight(name: str) -> bool:
    """Whether a tensor was trained; position numbers and the like are made by the model itself."""
    return not name.endswith(_NO_WEIGHTS)


def is_head(part: str) -> bool:
    """Whether the first part of a tensor's name is that of a head, or of the pooler."""
    return part in NOT_ENCODER or bool(_HEAD_WORD.search(part) and not _ENCODER_WORD.search(part))


def refuse_other_kinds(folder: Path, *, kind: str = "") -> None:
    """Raise UserError unless config.json describes an encoder of text that sees all of it.

    kind: of its card, for a family that is not known here.
    """
    stated, family = read_config(folder), family_of(folder)
    if family not in ("", *PLAIN):
        found = kind_of_family(family)
        why = KINDS[found] if found else KINDS[_AS_STATED[kind]] if kind in _AS_STATED else ""
        if not why and (config := _known_config(folder)):
            from kebench.model.families import why_not_taken

            why = why_not_taken(config)
        if why:
            raise UserError(
                f"{folder}: a '{family}', {why}; this takes encoders that were trained to fill masks, and "
                "XLNet; causal and encoder-decoder models are asked by 'kebench probe rank'"
            )
    for name, what in _DECODER.items():
        if stated.get(name):
            raise UserError(
                f"{folder}/config.json: {name} = {json.dumps(stated[name])}, {what}; this takes encoders: if "
                "the weights are one's, set it to false, else ask the model by 'kebench probe rank'"
            )


def family_kind(folder: Path, *, stated: str = "") -> Family:
    """Tell whether a checkpoint is a masked, a causal or an encoder-decoder language model.

    stated: the `kind` of its card, "" for none; it decides only where the files do not tell (`told_kind`).
    Raises UserError for what cannot be told, and for a card that contradicts the files.
    """
    found = told_kind(folder)
    if found and stated and stated != found:
        raise UserError(
            f'{folder}: the card says kind = "{stated}", and by config.json it is {KINDS[found]}; mend '
            "the card"
        )
    for kind in KINDS:
        if kind == (found or stated):
            return kind
    raise UserError(
        f"{folder}: config.json does not tell whether this '{family_of(folder)}' is a masked, a causal or an "
        'encoder-decoder language model; write it into a card: kind = "masked" (or causal, encoder-decoder)'
    )


def told_kind(folder: Path) -> Family | None:
    """Return what kind of language model a checkpoint's config.json says it is, None if it does not tell.

    It is told by the family, and where that has models of several kinds, by what config.json says of
    attention: a BERT with `is_decoder` reads from left to right. Raises UserError where the class that it
    was saved as contradicts that.
    """
    config, family = read_config(folder), family_of(folder)
    if family not in PLAIN:
        if (kind := kind_of_family(family)) or not family:
            return kind
        from kebench.model import families  # takes seconds

        kind = families.kind_of(folder, family)
    else:
        kind = "causal" if config.get("is_decoder") else "masked"
    saved_as = str((config.get("architectures") or [""])[0])
    if kind == "masked" and _CAUSAL_CLASS.search(saved_as):
        raise UserError(
            f"{folder}/config.json: saved as {saved_as}, and without is_decoder = true each word would see "
            "all others; set it if the model reads from left to right, else mend architectures"
        )
    return kind


def kind_of_family(family: str) -> Family | None:
    """Return the kind of all models of a family, as far as can be said without asking transformers."""
    if family in PLAIN:
        return "masked"
    return "causal" if family in CAUSAL else "encoder-decoder" if family in ENCODER_DECODER else None


def refuse_headless(folder: Path, kind: Family) -> None:
    """Raise UserError if config.json says that a model was saved without the head of its kind.

    Where the head is the embedding itself (tied), the weights cannot tell it.
    """
    saved_as = [str(name) for name in read_config(folder).get("architectures") or ()]
    if saved_as and not any(_LM_CLASS.search(name) for name in saved_as):
        raise UserError(
            f"{folder}: no {kind} language modelling head: config.json says it was saved as {saved_as[0]}; "
            "choose a checkpoint with such a head"
        )


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
        pre_tokenizer = json.dumps(read_json_if_there(folder / "tokenizer.json").get("pre_tokenizer"))
        is_byte_level = (folder / "merges.txt").is_file() or '"ByteLevel"' in pre_tokenizer
        return "cased" if is_byte_level else None
    return "uncased" if stated else "cased"


def casing_of(folder: Path) -> str | None:
    """Return the casing the files state, else that of the pieces in vocab.txt."""
    if (casing := stated_casing(folder)) or not (folder / "vocab.txt").is_file():
        return casing
    return count_capitals(read_vocabulary(folder / "vocab.txt")).casing


def read_vocabulary(path: Path) -> list[str]:
    """Return the pieces of a vocab.txt. Raises UserError unless each stands there once."""
    try:
        text = read_within(path, MOST_TOKENIZER_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason}); {again(path.parent)}") from None
    if text.startswith("\ufeff"):
        raise UserError(f"{path}: begins with a byte order mark; take it off")
    pieces = text.replace("\r\n", "\n").split("\n")
    line_of: dict[str, int] = {}
    for line, piece in enumerate(pieces, 1):
        if piece and (earlier := line_of.setdefault(piece, line)) != line:
            raise UserError(
                f"{path}:{line}: the piece {piece!r} of line {earlier} again; a vocabulary holds each piece "
                "once: put the one there that the weights were trained with"
            )
    return pieces


class Capitals(NamedTuple):
    """How many of a vocabulary's pieces hold a capital, of how many words and parts of words."""

    num_capitalised: int
    num_pieces: int

    @property
    def casing(self) -> str:
        """What the vocabulary was made for. Without letters there is nothing that lower-casing could lose."""
        return "cased" if self.num_capitalised > CAPITALS_SHARE * self.num_pieces else "uncased"


def count_capitals(pieces: Iterable[str]) -> Capitals:
    """Count the pieces of ASCII letters and digits, and those of them with a capital.

    Others do not count: special ones ([PAD]), entity indicators that were added (@GENE$), signs.
    """
    found = [match[1] for piece in pieces if (match := _WORD_PIECE.fullmatch(piece))]
    return Capitals(sum(not word.islower() for word in found), len(found))


def bert_normalization(folder: Path) -> dict[str, Any]:
    """Return what the files say of BERT's text normalisation, under BertTokenizer's argument names."""
    normalizer = read_json_if_there(folder / "tokenizer.json").get("normalizer")
    if not isinstance(normalizer, dict) or normalizer.get("type") != "BertNormalizer":
        normalizer = {}
    names = {
        "do_lower_case": "lowercase",
        "strip_accents": "strip_accents",
        "tokenize_chinese_chars": "handle_chinese_chars",
    }
    stated = {argument: normalizer[key] for argument, key in names.items() if key in normalizer}
    config = read_json_if_there(folder / "tokenizer_config.json")
    return stated | {argument: config[argument] for argument in names if config.get(argument) is not None}


def max_tokens_of(folder: Path) -> int | None:
    """Return the longest input in tokens, special ones included; None if the config sets no limit.

    Where positions follow the padding's id (RoBERTa and what is built like it), that many fewer can be used.
    """
    first, *others = _LIMITS
    limit = number_of(folder, first) or min(
        filter(None, (number_of(folder, name) for name in others)), default=0
    )
    if not limit:
        return None
    found = limit - _first_position(folder)
    if found < FEWEST_TOKENS:
        raise UserError(
            f"{folder}/config.json: {_LIMITS[0]} = {limit} leaves {found} tokens for a text, "
            f"expected at least {FEWEST_TOKENS}; mend it"
        )
    return found


def _first_position(folder: Path) -> int:
    backbone = backbone_of(folder)
    if not backbone or backbone in CAUSAL or (backbone in PLAIN and backbone != "roberta"):
        return 0
    stated = read_config(folder)
    if backbone == "roberta" and stated.get("pad_token_id", 1) is not None:
        return (number_of(folder, "pad_token_id") if "pad_token_id" in stated else 1) + 1
    if not (config := _known_config(folder)):
        return 0
    from kebench.model.families import first_position, of_text

    config = of_text(config)
    has_padding = config.pad_token_id is not None
    if not has_padding:
        config.pad_token_id = 1
    if (first := first_position(config)) and not has_padding:
        raise UserError(
            f"{folder}/config.json: pad_token_id = null, and a '{backbone}' counts positions from it; "
            "set it to the tokenizer's, which is 1 in most"
        )
    return first


def number_of(folder: Path, name: str) -> int:
    """Return a whole number of config.json, 0 if it has none. Raises UserError if it is none.

    Where another name stands for it, or a default, it is what transformers makes of that (`n_layers`).
    """
    value = read_config(folder).get(name)
    if value is None:
        config = _known_config(folder)
        value = getattr(config, name, None)
        if value is None and config is not None:  # a causal model may be one of text and images
            from kebench.model.families import of_text

            value = getattr(of_text(config), name, None)
        value = None if value == -1 else value  # XLNet's word for no limit of positions
    if value is not None and type(value) is not int:
        shown = repr(value)[:40]
        raise UserError(f"{folder}/config.json: {name} = {shown}, expected a whole number; mend it")
    if value and value > (most := MOST.get(name, value)):
        raise UserError(f"{folder}/config.json: {name} = {value}, expected at most {most:,}; mend it")
    return value or 0


def _known_config(folder: Path) -> Any:
    """Return config.json as transformers reads it; None of a family that it does not know."""
    if not (family := family_of(folder)):
        return None
    from kebench.model import families  # takes seconds

    return families.config_of(folder, family=family) if families.is_known(family) else None
