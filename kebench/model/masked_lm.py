"""Loads a checkpoint as a masked language model, and asks it for the best tokens at chosen places only.

The head of a masked language model turns each hidden state into one number a token of the vocabulary; for a
small encoder that is most of the work. So encoder and head are called apart, and the head sees no state but
those of the places asked for.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kebench.errors import UserError
from kebench.model.best import best_of
from kebench.model.checkpoint import check_checkpoint, load_masked_lm
from kebench.model.families import first_position_of
from kebench.model.packed import Packed, can_pack, encode, encode_by_length, use_packed_attention

# T tokens of all texts, P places asked for, V vocabulary, K best tokens, H hidden
_ROWS = {"cpu": 64, "cuda": 4096}  # places whose logits are in memory at once
_BERT_LAYERS = {"bert", "roberta", "xlm-roberta", "camembert", "electra"}  # whose layers are built as BERT's


class Head(NamedTuple):
    """The head in two steps: what happens to a hidden state, and the linear layer that makes tokens of it."""

    transform: Callable[[Tensor], Tensor]
    decoder: Any


def _bert(model: Any) -> Head:
    return Head(model.cls.predictions.transform, model.cls.predictions.decoder)


def _roberta(model: Any) -> Head:
    head = model.lm_head
    return Head(lambda hidden: head.layer_norm(torch.nn.functional.gelu(head.dense(hidden))), head.decoder)


HEADS: dict[str, Callable[[Any], Head]] = {
    "bert": _bert,
    "kebiolm": _bert,
    "roberta": _roberta,
    "xlm-roberta": _roberta,
    "camembert": _roberta,
    "electra": lambda model: Head(model.generator_predictions, model.generator_lm_head),
    "distilbert": lambda model: Head(
        lambda hidden: model.vocab_layer_norm(model.activation(model.vocab_transform(hidden))),
        model.vocab_projector,
    ),
    "modernbert": lambda model: Head(model.head, model.decoder),
}


def check_masked_lm(
    folder: Path, *, family: str = "", casing: str = "", trust_remote_code: bool = False
) -> tuple[str, ...]:
    """Load all of a checkpoint but the numbers; return in words what is out of the common in it.

    Raises UserError for whatever cannot be probed, as loading and decoding do.
    """
    checked = check_checkpoint(
        folder, family=family, casing=casing, masked_lm=True, trust_remote_code=trust_remote_code
    )
    _refuse_other_heads(folder, checked.model_type)
    if checked.tokenizer.mask_token_id is None:
        raise UserError(f"{folder}: its tokenizer has no mask token; it is no masked language model")
    return checked.remarks


def _refuse_other_heads(folder: Path, model_type: str) -> None:
    if model_type not in HEADS:
        raise UserError(
            f"{folder}: a model of type '{model_type}', whose head is not known; "
            f"choose one of type {', '.join(sorted(HEADS))}"
        )


class MaskedLM:
    """A masked language model that answers for chosen places; `MaskedLM.load` makes one of a checkpoint.

    The model given is changed: it is moved to the device, and takes packed texts only.
    """

    def __init__(self, model: Any, *, device: str = "cpu", precision: str = "fp32") -> None:
        self.model = model.to(device).eval()
        self.device, self.precision = device, precision
        self.encoder = model.base_model
        self.first_position = first_position_of(self.encoder)
        self.head = HEADS[model.config.model_type](model)
        self.can_pack = can_pack(model)
        if self.can_pack:
            use_packed_attention(model)
        self.last_layer: Any = None
        if self.can_pack and model.config.model_type in _BERT_LAYERS:
            layers = self.encoder.encoder.layer
            self.encoder.encoder.layer, self.last_layer = layers[:-1], layers[-1]

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        family: str = "",
        device: str = "cpu",
        precision: str = "fp32",
        trust_remote_code: bool = False,
    ) -> "MaskedLM":
        """Load a checkpoint directory. Raises UserError for a head that is untrained or of no known kind."""
        model = load_masked_lm(folder, family=family, trust_remote_code=trust_remote_code)
        _refuse_other_heads(folder, model.config.model_type)
        return cls(model, device=device, precision=precision)

    @property
    def depends_on_batch(self) -> bool:
        """True if what is said of a text depends on the texts beside it: KeBioLM as released."""
        return getattr(self.model.config, "fidelity", "") == "released"

    @property
    def vocabulary_size(self) -> int:
        """How many tokens the head tells apart."""
        return int(self.head.decoder.weight.shape[0])

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def best_tokens(
        self, packed: Packed, place_P: Tensor, *, num_best: int, banned: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the log probabilities and ids of the best tokens at some places: twice (P, K), best first.

        place_P: places in the packed tokens.
        banned: ids that cannot be answers; their share of the probability is not given to the others.
        """
        device = self.device.partition(":")[0]
        with torch.autocast(device, torch.bfloat16, enabled=self.precision == "bf16"):
            if self.can_pack:
                hidden_TH = encode(self.encoder, packed, first_position=self.first_position)
            else:
                hidden_TH = encode_by_length(self.encoder, packed)
            hidden_PH = hidden_TH[place_P]
            # Nobody looks at states of the last layer but those of the places asked for.
            if (layer := self.last_layer) is not None:
                mixed_1TH = layer.attention.self(hidden_TH[None], groups=packed.groups)[0]
                attended_PH = layer.attention.output(mixed_1TH[0, place_P], hidden_PH)
                hidden_PH = layer.output(layer.intermediate(attended_PH), attended_PH)
            logits = map(self.head.decoder, self.head.transform(hidden_PH).split(_ROWS[device]))
            parts = [best_of(part, num_best, banned) for part in logits]
        log_prob_PK = torch.cat([part.value_PK - part.normaliser_P[:, None] for part in parts])
        return log_prob_PK, torch.cat([part.index_PK for part in parts])
