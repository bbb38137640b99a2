"""Loads a checkpoint as a masked language model, and asks it at chosen places only: for tokens, or the best.

The head of a masked language model turns each hidden state into one number a token of the vocabulary; for a
small encoder that is most of the work. So encoder and head are called apart, and the head sees no state but
those of the places asked for.

Texts of any lengths go through one forward pass without padding. Only attention looks from one token to
another, so they are laid one behind the other, and attention alone is computed by groups of one length.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from kebench.errors import UserError
from kebench.model.checkpoint import check_checkpoint, load_masked_lm
from kebench.model.families import first_position_of
from kebench.model.soft_max import best_of

# T tokens of all texts, P places asked for, Q tokens asked about, K best tokens, V vocabulary, H hidden
# A attention heads, D size of a head
BATCH_TOKENS = {"cpu": 2048, "cuda": 65536}  # in one forward pass; benchmarks/results/probe.md
_ROWS = {"cpu": 64, "cuda": 4096}  # places whose logits are in memory at once
_BERT_LAYERS = {"bert", "roberta", "xlm-roberta", "camembert", "electra"}  # whose layers are built as BERT's


class Group(NamedTuple):
    """Texts of one length that stand together."""

    num_texts: int
    length: int


class Packed(NamedTuple):
    """Texts one behind the other. token_T: their tokens; groups: how they are cut into texts, in order."""

    token_T: Tensor
    groups: tuple[Group, ...]


def groups_of(length_B: NDArray[numpy.int64]) -> tuple[Group, ...]:
    """Return the groups of texts whose lengths are given in order."""
    bounds = numpy.flatnonzero(numpy.diff(length_B, prepend=-1, append=-1))
    return tuple(Group(int(end - start), int(length_B[start])) for start, end in itertools.pairwise(bounds))


def can_pack(model: Any) -> bool:
    """True if a model's attention can be handed in: transformers' own code does that, other code may not."""
    return type(model).__module__.startswith("transformers.") and model._supports_attention_backend


def encode(encoder: Any, packed: Packed, *, first_position: int) -> Tensor:
    """Return the last hidden states of packed texts, (T, hidden).

    first_position: the position number of a text's first token.
    """
    device = packed.token_T.device
    position_T = torch.cat(
        [torch.arange(group.length, device=device).repeat(group.num_texts) for group in packed.groups]
    )
    hidden_1TH: Tensor = encoder(
        input_ids=packed.token_T[None], position_ids=first_position + position_T[None], groups=packed.groups
    )[0]
    return hidden_1TH[0]


def encode_by_length(encoder: Any, packed: Packed) -> Tensor:
    """Return what `encode` returns, with a forward pass for each length: for models that cannot pack."""
    sizes = [group.num_texts * group.length for group in packed.groups]
    return torch.cat(
        [
            encoder(input_ids=token_T.view(*group))[0].flatten(0, 1)
            for token_T, group in zip(packed.token_T.split(sizes), packed.groups, strict=True)
        ]
    )


def _attend_within_texts(
    module: Any,
    query_1ATD: Tensor,
    key_1ATD: Tensor,
    value_1ATD: Tensor,
    attention_mask: Tensor | None,
    *,
    groups: tuple[Group, ...],
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within each text, both ways; the form is that of transformers' attention functions.

    sliding_window: how many tokens a token sees on either side, itself included (ModernBERT's local layers).
    """
    mixed_TAD = torch.empty_like(query_1ATD[0].transpose(0, 1), memory_format=torch.contiguous_format)
    start = 0
    for group in groups:
        end = start + group.num_texts * group.length
        query, key, value = (
            states[0, :, start:end].unflatten(1, group).transpose(0, 1)
            for states in (query_1ATD, key_1ATD, value_1ATD)
        )
        mask = None
        if sliding_window is not None and group.length > sliding_window:
            place = torch.arange(group.length, device=query.device)
            mask = (place[:, None] - place).abs() < sliding_window
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
        mixed_TAD[start:end] = mixed.transpose(1, 2).flatten(0, 1)
        start = end
    return mixed_TAD[None], None


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
            AttentionInterface.register("kebench_packed", _attend_within_texts)
            model.set_attn_implementation("kebench_packed")
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

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def best_tokens(
        self, packed: Packed, place_P: Tensor, *, num_best: int, banned: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the log probabilities and ids of the best tokens at some places: twice (P, K), best first.

        place_P: places in the packed tokens.
        banned: ids that cannot be answers; their share of the probability is not given to the others.
        """
        with self._autocast():
            parts = [best_of(logit_PV, num_best, banned) for logit_PV in self._logits(packed, place_P)]
        log_prob_PK = torch.cat([part.value_PK - part.normaliser_P[:, None] for part in parts])
        return log_prob_PK, torch.cat([part.index_PK for part in parts])

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def log_probs(self, packed: Packed, place_P: Tensor, row_Q: Tensor, token_Q: Tensor) -> Tensor:
        """Return the log probabilities of given tokens, (Q), float32.

        place_P: places in the packed tokens. row_Q: at which of these each token is asked about; ascending.
        """
        first_of_parts = torch.arange(0, len(place_P), self._rows, device=row_Q.device)
        bounds = [*torch.searchsorted(row_Q, first_of_parts).tolist(), len(row_Q)]
        found = []
        with self._autocast():
            for part, logit_PV in enumerate(self._logits(packed, place_P)):
                asked = slice(*bounds[part : part + 2])
                log_prob_PV = logit_PV.float().log_softmax(-1)
                found.append(log_prob_PV[row_Q[asked] - part * self._rows, token_Q[asked]])
        return torch.cat(found)

    @property
    def _rows(self) -> int:
        return _ROWS[self.device.partition(":")[0]]

    def _autocast(self) -> torch.autocast:
        device = self.device.partition(":")[0]
        return torch.autocast(device, torch.bfloat16, enabled=self.precision == "bf16")

    def _logits(self, packed: Packed, place_P: Tensor) -> Iterator[Tensor]:
        """Yield the logits at some places, (P, V), some of the places at a time."""
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
            del mixed_1TH
        del hidden_TH  # the logits want its room; of them too one part alone is kept
        for part in self.head.transform(hidden_PH).split(self._rows):
            yield self.head.decoder(part)
