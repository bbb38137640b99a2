"""Loads a checkpoint directory: its encoder or its masked language model, and a tokenizer.

The released checkpoints are older than today's transformers, so what their files leave unsaid (family,
casing, the space before a byte-level word) is settled here and nowhere else.
"""

import pickle
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from tokenizers import pre_tokenizers
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER
from transformers.utils import is_protobuf_available, is_sentencepiece_available

from kebench.bounded import MOST_TOKENIZER_BYTES, refuse_larger
from kebench.errors import UserError, counted, first_line
from kebench.model import checkpoint_files, checks, layout
from kebench.model.biogpt import load_biogpt_tokenizer
from kebench.model.checkpoint_files import again
from kebench.model.families import config_of, quiet_transformers
from kebench.model.statements import Family

# The tokenizer of each family. A directory of another family is left to AutoTokenizer.
TOKENIZERS = {
    "bert": transformers.BertTokenizer,
    "electra": transformers.BertTokenizer,
    "roberta": transformers.RobertaTokenizer,
    "modernbert": transformers.PreTrainedTokenizerFast,
}


# A directory without any of these has no vocabulary; transformers would make an empty one and say nothing.
VOCABULARY_FILES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "spm.model", "sentencepiece.bpe.model",
    "tokenizer.model",
)  # fmt: skip


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
    load, trusted = load_masked_lm if masked_lm else load_encoder, trust_remote_code
    model = load(folder, family=family, trust_remote_code=trusted, without_numbers=True)
    tokenizer = load_tokenizer(
        folder, family=family, casing=casing, split_words=not masked_lm, trust_remote_code=trusted
    )
    remarks = [checks.remark_on_casing(tokenizer), checks.remark_on_rows(tokenizer, folder)]
    if wrapper := checkpoint_files.wrapper_of(checkpoint_files.raw_shapes(folder)):
        remarks.append(f"the names of its weights begin with '{wrapper}', which is taken off")
    prefix = f"{model.base_model_prefix}."
    taken = {name.removeprefix(prefix) for name in model.state_dict()}
    names = (name.removeprefix(prefix) for name in checkpoint_files.tensor_shapes(folder))
    parts = Counter(name.partition(".")[0] for name in names if name not in taken and layout.is_weight(name))
    left_out = ", ".join(f"{part} ({counted(number, 'tensor')})" for part, number in sorted(parts.items()))
    return Checked(model.config.model_type, tokenizer, left_out, tuple(filter(None, remarks)))


def check_lm(
    folder: Path,
    kind: Family,
    *,
    family: str = "",
    casing: str = "",
    trust_remote_code: bool = False,
) -> Checked:
    """Load all of a causal or encoder-decoder model but the numbers in its weights, as `check_checkpoint`."""
    load, trusted = load_causal_lm if kind == "causal" else load_seq2seq_lm, trust_remote_code
    model = load(folder, family=family, kind=kind, trust_remote_code=trusted, without_numbers=True)
    tokenizer = load_lm_tokenizer(folder, family=family, casing=casing, trust_remote_code=trusted)
    remark = checks.remark_on_casing(tokenizer)
    return Checked(model.config.model_type, tokenizer, "", (remark,) if remark else ())


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
    layout.refuse_other_kinds(folder)
    kind = transformers.AutoModel
    encoder, loading = _load(
        kind, folder, family, trust_remote_code=trust_remote_code, without_numbers=without_numbers
    )
    checks.refuse_unlike(folder, encoder, loading)
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
    layout.refuse_other_kinds(folder)
    kind = transformers.AutoModelForMaskedLM
    model, loading = _load(
        kind, folder, family, trust_remote_code=trust_remote_code, without_numbers=without_numbers
    )
    checks.refuse_other_names(folder, model, loading)
    prefix = f"{model.base_model_prefix}."
    missing = sorted(name for name in loading["missing_keys"] if not name.startswith(prefix))
    if missing:
        raise UserError(
            f"{folder}: no trained masked language modelling head: the weights lack {', '.join(missing)}; "
            "choose a checkpoint with one, or train one by continued pretraining"
        )
    checks.refuse_unlike(folder, model, loading, prefix=prefix)
    return model


def load_causal_lm(
    folder: Path,
    *,
    family: str = "",
    kind: str = "",
    trust_remote_code: bool = False,
    without_numbers: bool = False,
) -> transformers.PreTrainedModel:
    """Load a causal language model with its head, in float32.

    kind: of its card; see `layout.family_kind`. The rest is as in `load_masked_lm`, and no tensor of the
    file may be left over: a model with a classifier's head was trained to be one.
    """
    _refuse_kind(folder, kind, wanted="causal")
    trusted = trust_remote_code
    return _load_whole(
        transformers.AutoModelForCausalLM, folder, family, trusted=trusted, without_numbers=without_numbers
    )


def load_seq2seq_lm(
    folder: Path,
    *,
    family: str = "",
    kind: str = "",
    trust_remote_code: bool = False,
    without_numbers: bool = False,
) -> transformers.PreTrainedModel:
    """Load an encoder-decoder model with its head, in float32; the rest is as in `load_causal_lm`."""
    _refuse_kind(folder, kind, wanted="encoder-decoder")
    trusted = trust_remote_code
    return _load_whole(
        transformers.AutoModelForSeq2SeqLM, folder, family, trusted=trusted, without_numbers=without_numbers
    )


def _refuse_kind(folder: Path, stated: str, *, wanted: Family) -> None:
    if (found := layout.family_kind(folder, stated=stated)) != wanted:
        raise UserError(
            f"{folder}: {layout.KINDS[found]} ('{layout.family_of(folder)}'), expected {layout.KINDS[wanted]}"
        )
    layout.refuse_headless(folder, wanted)
    if wanted == "causal" and layout.read_config(folder).get("add_cross_attention"):
        raise UserError(
            f"{folder}/config.json: add_cross_attention = true, so its layers would look at another model's "
            "states; choose a model that stands alone"
        )


def _load_whole(
    kind: Any, folder: Path, family: str, *, trusted: bool, without_numbers: bool
) -> transformers.PreTrainedModel:
    """Load a model with its head; see `load_causal_lm`. What does not fit is found on the shapes alone."""
    for is_only_shapes in (True, False):
        model, loading = _load(
            kind, folder, family, trust_remote_code=trusted, without_numbers=is_only_shapes
        )
        checks.refuse_other_names(folder, model, loading)
        head = model.get_output_embeddings()
        names = [name for name, module in model.named_modules() if module is head]
        prefix = f"{model.base_model_prefix}." if model.base_model is not model else ""
        missing = sorted(
            name
            for name in loading["missing_keys"]
            if not name.startswith(prefix) or name.rpartition(".")[0] in names
        )
        is_tied = head is not None and head.weight is model.get_input_embeddings().weight
        if is_tied and layout.read_config(folder).get("tie_word_embeddings") is False:
            # T5's code ties the two in any case; a head that is not in the file was lost
            lost = {f"{name}.weight" for name in names} - {*checkpoint_files.raw_shapes(folder)}
            missing += sorted(lost if len(lost) == len(names) else ())
        if missing:
            raise UserError(
                f"{folder}: no language modelling head: the weights lack {', '.join(missing)}; choose a "
                "checkpoint with one (where the embedding is the head: tie_word_embeddings = true in "
                "config.json)"
            )
        checks.refuse_unlike(folder, model, loading, whole=True)
        if without_numbers:
            break
    return model


def _load(
    kind: Any, folder: Path, family: str, *, trust_remote_code: bool, without_numbers: bool
) -> tuple[transformers.PreTrainedModel, dict[str, Any]]:
    """Load a checkpoint as a kind of model; return it with transformers' report of what was missing."""
    if not (known := layout.family_of(folder) or family):
        raise UserError(f'{folder}/config.json: no model_type; add one, such as "model_type": "bert"')
    config = config_of(folder, family=known, trust_remote_code=trust_remote_code)
    if getattr(config, "quantization_config", None) is not None:
        raise UserError(
            f"{folder}: its weights are quantised (config.json, quantization_config), which moves scores and "
            "needs the library it was made with; take the unquantised model that it was made of"
        )
    # refuses, in one readable line, a file that is cut off or an unsafe pickle
    wrapper = checkpoint_files.wrapper_of(checkpoint_files.raw_shapes(folder))
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
        raise checkpoint_files.unsafe_pickle(checkpoint_files.weight_files(folder)[0]) from None
    # the files are a stranger's: whatever transformers makes of a wrong value is their fault
    except Exception as error:
        raise UserError(f"{folder}: cannot be loaded ({first_line(error)}); {again(folder)}") from None
    return model, loading


def load_tokenizer(
    folder: Path,
    *,
    family: str = "",
    casing: str = "",
    split_words: bool = True,
    trust_remote_code: bool = False,
    padded_share: float = checks.LARGE_PADDED_SHARE,
) -> transformers.PreTrainedTokenizerFast:
    """Load a checkpoint's fast tokenizer, without truncation and padding; the caller sets them.

    family, casing: the card's; used where the files are silent, so that a cased model that comes with a
        bare vocab.txt is not lower-cased, which is what transformers would do.
    split_words: for texts already split into words: byte-level tokenizers (RoBERTa, ModernBERT) then put a
        space before every word, so that it gets the pieces that it has in running text.
    padded_share: see `checks.refuse_foreign`.
    """
    known = layout.family_of(folder) or family
    if not any((folder / name).is_file() for name in VOCABULARY_FILES):
        raise UserError(
            f"{folder}: no tokenizer ({', '.join(VOCABULARY_FILES[:3])} ...); save it beside the weights "
            "with tokenizer.save_pretrained"
        )
    with quiet_transformers():
        tokenizer = _from_files(folder, known, casing, trust_remote_code=trust_remote_code)
    backend = tokenizer.backend_tokenizer
    if split_words:
        steps: Any = backend.pre_tokenizer
        is_sequence = isinstance(steps, pre_tokenizers.Sequence)
        for step in steps if is_sequence else [steps]:
            if isinstance(step, pre_tokenizers.ByteLevel):
                step.add_prefix_space = True
        backend.pre_tokenizer = steps
    backend.no_truncation()
    backend.no_padding()
    tokenizer.truncation_side = "right"  # whatever its files say: it is ends that the maximum length cuts
    checks.refuse_unusable(tokenizer, folder)
    checks.refuse_foreign(tokenizer, folder, padded_share=padded_share)
    if limit := layout.max_tokens_of(folder):
        tokenizer.model_max_length = min(tokenizer.model_max_length, limit)
    return tokenizer


def load_lm_tokenizer(
    folder: Path, *, family: str = "", casing: str = "", trust_remote_code: bool = False
) -> transformers.PreTrainedTokenizerFast:
    """Load the fast tokenizer of a causal or encoder-decoder model, for running text of any length.

    The rest is as in `load_tokenizer`. The limit of a text is `layout.max_tokens_of`: model_max_length is
    1e30 in many files, and no limit of the model in others (512 in T5's).
    """
    tokenizer = load_tokenizer(
        folder,
        family=family,
        casing=casing,
        split_words=False,
        trust_remote_code=trust_remote_code,
        padded_share=checks.LM_PADDED_SHARE,
    )
    tokenizer.model_max_length = VERY_LARGE_INTEGER
    return tokenizer


def _from_files(
    folder: Path, family: str, casing: str, *, trust_remote_code: bool
) -> transformers.PreTrainedTokenizerFast:
    kind = TOKENIZERS.get(layout.backbone_of(folder) or family, transformers.AutoTokenizer)
    # Said outright: left out, transformers asks at the terminal and runs the code on a "y".
    arguments: dict[str, Any] = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    if kind is transformers.BertTokenizer:
        chosen = layout.stated_casing(folder) or casing or layout.casing_of(folder)
        arguments |= layout.bert_normalization(folder) | {"do_lower_case": chosen == "uncased"}
    for name in checkpoint_files.DESCRIPTION_FILES:  # none of them can be so large
        if (folder / name).is_file():
            refuse_larger(folder / name, MOST_TOKENIZER_BYTES)
    if (folder / "vocab.txt").is_file() and not (folder / "tokenizer.json").is_file():
        layout.read_vocabulary(folder / "vocab.txt")
    found = [name for name in VOCABULARY_FILES if (folder / name).is_file()]
    readers = {"sentencepiece": is_sentencepiece_available(), "protobuf": is_protobuf_available()}
    lacking = [name for name, is_there in readers.items() if not is_there]
    if lacking and all(name.endswith(".model") for name in found):
        raise UserError(
            f"{folder}: its vocabulary is in {found[0]} alone, which {' and '.join(lacking)} must read; "
            "pip install 'kebench[sentencepiece]'"
        )
    try:
        if family == "biogpt" and "tokenizer.json" not in found:
            return load_biogpt_tokenizer(folder, **arguments)
        tokenizer = kind.from_pretrained(folder, **arguments)
    except UserError:
        raise
    except Exception as error:  # as in _load
        raise UserError(
            f"{folder}: its tokenizer cannot be loaded ({first_line(error)}); {again(folder)}"
        ) from None
    if not tokenizer.is_fast:
        raise UserError(f"{folder}: has no fast tokenizer, which words and their pieces are aligned by")
    return tokenizer
