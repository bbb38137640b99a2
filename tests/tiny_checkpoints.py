"""Writes tiny random checkpoints, each in the file layout in which its family's real ones are published.

Their vocabularies hold every printable ASCII character, so any English text can be tokenised.
"""

import json
import string
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.pre_tokenizers import ByteLevel

SPECIAL_PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
COMMON_WORDS = [
    "the",
    "of",
    "and",
    "in",
    "to",
    "with",
    "for",
    "patients",
    "disease",
    "gene",
    "protein",
    "cancer",
]
# "##s" stands among the letters; with tokenizer.json, the row of the first is of no piece.
UNUSED = "[unused0]"
COMMON_ENDINGS = [UNUSED, "##ed", "##ing", "##tion", "##ine", "##oma", "##itis", "##al", "##er", "##ase"]
MERGES = ["Ġ t", "h e", "Ġt he", "i n", "Ġ in", "o n", "e r", "Ġ c", "a n", "Ġc an", "Ġcan c", "Ġcanc er"]
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def word_pieces(*, cased: bool) -> list[str]:
    """Return a WordPiece vocabulary, special pieces first."""
    letters = string.ascii_letters if cased else string.ascii_lowercase
    characters = [*letters, *string.digits]
    continued = [f"##{character}" for character in characters]
    return [*SPECIAL_PIECES, *COMMON_WORDS, *COMMON_ENDINGS, *string.punctuation, *characters, *continued]


def write_tiny_bert(folder: Path, *, cased: bool = False, mlm_head: bool = True, seed: int = 0) -> Path:
    """Today's BERT layout: config with model_type, safetensors, tokenizer.json and its config."""
    pieces = word_pieces(cased=cased)
    config = transformers.BertConfig(vocab_size=len(pieces), max_position_embeddings=128, **SIZES)
    kind = transformers.BertForMaskedLM if mlm_head else transformers.BertModel
    _random(kind, config, seed).save_pretrained(folder)
    vocabulary = {piece: number for number, piece in enumerate(pieces) if piece != UNUSED}
    transformers.BertTokenizer(vocab=vocabulary, do_lower_case=not cased).save_pretrained(folder)
    return folder


def write_tiny_kebiolm(folder: Path, *, fidelity: str = "fixed", seed: int = 0) -> Path:
    """A KeBioLM as `kebench pretrain` and `kebench model convert` write it."""
    from kebench.model.configuration import KebiolmConfig
    from kebench.model.kebiolm import KebiolmForMaskedLM

    pieces = word_pieces(cased=False)
    config = KebiolmConfig(
        vocab_size=len(pieces), max_position_embeddings=128, num_context_layers=1, num_entities=40,
        entity_size=8, max_candidate_entities=5, initializer_range=0.5, fidelity=fidelity, **SIZES,
    )  # fmt: skip
    _random(KebiolmForMaskedLM, config, seed).save_pretrained(folder)
    vocabulary = {piece: number for number, piece in enumerate(pieces) if piece != UNUSED}
    transformers.BertTokenizer(vocab=vocabulary, do_lower_case=True).save_pretrained(folder)
    return folder


def write_tiny_old_bert(folder: Path, *, cased: bool = True, mlm_head: bool = True, seed: int = 0) -> Path:
    """The layout of BioBERT, SciBERT, ClinicalBERT and BlueBERT, converted from TensorFlow.

    No model_type, a pickle from before torch 1.6 with gamma and beta for LayerNorm, a bare vocab.txt.
    """
    pieces = word_pieces(cased=cased)
    config = transformers.BertConfig(vocab_size=len(pieces), max_position_embeddings=128, **SIZES)
    kind = transformers.BertForMaskedLM if mlm_head else transformers.BertModel
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in _random(kind, config, seed).state_dict().items()
    }
    _write_old(folder, tensors, _google_config(config), zipped=False)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    return folder


def write_tiny_electra(folder: Path, *, seed: int = 0) -> Path:
    """The layout of BioM-ELECTRA: a discriminator as a zipped pickle, and a bare vocab.txt."""
    pieces = word_pieces(cased=False)
    config = transformers.ElectraConfig(
        vocab_size=len(pieces), embedding_size=8, max_position_embeddings=128, **SIZES
    )
    model = _random(transformers.ElectraForPreTraining, config, seed)
    _write_old(folder, model.state_dict(), _google_config(config) | {"model_type": "electra"}, zipped=True)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    return folder


def write_tiny_roberta(folder: Path, *, seed: int = 0) -> Path:
    """The layout of bio-lm's `-hf` archives: a pickle with an MLM head, vocab.json and merges.txt."""
    vocabulary = _byte_level_vocabulary(["<s>", "<pad>", "</s>", "<unk>"], ["<mask>"])
    config = transformers.RobertaConfig(
        vocab_size=len(vocabulary), max_position_embeddings=130, type_vocab_size=1, **SIZES
    )
    model = _random(transformers.RobertaForMaskedLM, config, seed)
    stated = _google_config(config) | {"model_type": "roberta", "pad_token_id": 1, "layer_norm_eps": 1e-5}
    _write_old(folder, model.state_dict(), stated, zipped=False)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")
    return folder


def write_tiny_modernbert(folder: Path, *, seed: int = 0) -> Path:
    """The layout of BioClinical-ModernBERT: safetensors and a byte-level tokenizer.json."""
    specials = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    vocabulary = _byte_level_vocabulary([], specials)
    numbers = {token: vocabulary[token] for token in specials}
    config = transformers.ModernBertConfig(
        vocab_size=len(vocabulary),
        max_position_embeddings=128,
        pad_token_id=numbers["[PAD]"],
        bos_token_id=numbers["[CLS]"],
        eos_token_id=numbers["[SEP]"],
        cls_token_id=numbers["[CLS]"],
        sep_token_id=numbers["[SEP]"],
        **SIZES,
    )
    _random(transformers.ModernBertForMaskedLM, config, seed).save_pretrained(folder)
    _write_modernbert_tokenizer(folder, vocabulary, numbers)
    return folder


# Tiny language models that are not masked ones: their sizes, under each family's own names.
_LLAMA_SIZES: dict[str, Any] = SIZES | {"num_key_value_heads": 1, "max_position_embeddings": 96}
_T5_SIZES: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
_BART_SIZES: dict[str, Any] = {
    "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 96,
}  # fmt: skip
CAUSAL_FAMILIES: dict[str, dict[str, Any]] = {
    "biogpt": SIZES | {"max_position_embeddings": 96},
    "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 96},
    "gpt_neox": SIZES | {"max_position_embeddings": 96},
    "llama": _LLAMA_SIZES,
    "mistral": _LLAMA_SIZES | {"sliding_window": 8},
    "opt": {"hidden_size": 16, "word_embed_proj_dim": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "ffn_dim": 32, "max_position_embeddings": 96},
    "qwen2": _LLAMA_SIZES,
    "qwen3": _LLAMA_SIZES | {"head_dim": 8},
}  # fmt: skip
ENCODER_DECODER_FAMILIES: dict[str, dict[str, Any]] = {"bart": _BART_SIZES, "t5": _T5_SIZES}


def write_tiny_lm(folder: Path, family: str, *, seed: int = 0, start: str = "", **settings: Any) -> Path:
    """A causal or encoder-decoder model as save_pretrained writes it, with a byte-level tokenizer.

    start: the token that the tokenizer puts before a text by itself; "" for none. An encoder-decoder's puts
    </s> behind it, and has three sentinels, or BART's <mask>.
    """
    is_pair = family in ENCODER_DECODER_FAMILIES
    sizes = (ENCODER_DECODER_FAMILIES if is_pair else CAUSAL_FAMILIES)[family]
    specials = ["<pad>", "</s>", "<|endoftext|>", "<|im_start|>", "<unk>"]
    blanks = ["<mask>"] if family == "bart" else [f"<extra_id_{number}>" for number in range(3)]
    vocabulary = _byte_level_vocabulary(specials, blanks)
    config = transformers.AutoConfig.for_model(
        family, **({"vocab_size": len(vocabulary)} | sizes | settings), pad_token_id=0, eos_token_id=1,
        bos_token_id=3, decoder_start_token_id=0 if is_pair else None,
    )  # fmt: skip
    kind = transformers.AutoModelForSeq2SeqLM if is_pair else transformers.AutoModelForCausalLM
    _random(kind.from_config, config, seed).save_pretrained(folder)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(merge.split()) for merge in MERGES]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([*specials, *blanks])
    if start or is_pair:
        template = f"{start} $A".lstrip() + " </s>" * is_pair
        put = [(token, vocabulary[token]) for token in (start, "</s>") if token and token in template]
        tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=put)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="</s>", unk_token="<unk>",
        pad_token="<pad>",
    ).save_pretrained(folder)  # fmt: skip
    return folder


def _write_modernbert_tokenizer(folder: Path, vocabulary: dict[str, int], numbers: dict[str, int]) -> None:
    merges = [tuple(merge.split()) for merge in MERGES]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(numbers))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(token, numbers[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = ("unk_token", "cls_token", "sep_token", "pad_token", "mask_token")
    specials = dict(zip(names, numbers, strict=True))
    stated = specials | {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 8192}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
    (folder / "special_tokens_map.json").write_text(json.dumps(specials))


def _byte_level_vocabulary(first: list[str], last: list[str]) -> dict[str, int]:
    pieces = [
        *first,
        *sorted(pre_tokenizers.ByteLevel.alphabet()),
        *(m.replace(" ", "") for m in MERGES),
        *last,
    ]
    return {piece: number for number, piece in enumerate(pieces)}


def _random(kind: Any, config: Any, seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(config)


def _google_config(config: Any) -> dict[str, Any]:
    """Return the few keys that configs had before transformers 2.2."""
    keys = (
        "attention_probs_dropout_prob",
        "embedding_size",
        "hidden_act",
        "hidden_dropout_prob",
        "hidden_size",
        "initializer_range",
        "intermediate_size",
        "max_position_embeddings",
        "num_attention_heads",
        "num_hidden_layers",
        "type_vocab_size",
        "vocab_size",
    )
    stated = config.to_dict()
    return {key: stated[key] for key in keys if key in stated}


def _write_old(folder: Path, tensors: dict[str, Any], config: dict[str, Any], *, zipped: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    (folder / "config.json").write_text(json.dumps(config))
