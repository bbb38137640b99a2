"""KeBioLM (Yuan et al. 2021, section 3.1): text layers, mentions linked to entities, layers over both.

Parameters have the released checkpoint's names. Importing this module registers the model, so that
transformers' Auto classes open a KeBioLM directory like any other.
"""

# B batch, T tokens, M mentions, D hidden, I intermediate, F entity dimension, X any leading dimensions

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForTokenClassification
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.bert import modeling_bert as bert
from transformers.utils.output_capturing import capture_outputs

from kebench.model.configuration import KebiolmConfig
from kebench.model.linking import EntityLinker
from kebench.model.mentions import Mentions, boundary_states, find_mentions, owners


@dataclass
class KebiolmOutput(BaseModelOutput):
    """mention_logits: (B, T, 3) for O, B, I.

    If entities were given, linking_loss: (M,), the terms of eq. 10; linked_entities: (M,), the best ones.
    """

    mention_logits: Tensor | None = None
    linking_loss: Tensor | None = None
    linked_entities: Tensor | None = None


class LeanLayer(bert.BertLayer):
    """BERT's layer, keeping less for the backward pass: what GELU gives is computed again.

    It is four times as wide as the layer, so what is kept shrinks by a quarter. Parameters, values and
    gradients are BERT's own.
    """

    def feed_forward_chunk(self, attention_output: Tensor) -> Tensor:
        """Apply the feed-forward part."""
        if type(self.intermediate.intermediate_act_fn).__name__ != "GELUActivation":
            plain_states: Tensor = super().feed_forward_chunk(attention_output)
            return plain_states
        dense = self.output.dense
        states = gelu_then_linear(self.intermediate.dense(attention_output), dense.weight, dense.bias)
        normed: Tensor = self.output.LayerNorm(self.output.dropout(states) + attention_output)
        return normed


def gelu_then_linear(value_XI: Tensor, weight_DI: Tensor, bias_D: Tensor) -> Tensor:
    """Return linear(gelu(value), weight, bias), which keeps only what it is given."""
    weight_DI, bias_D = weight_DI.to(value_XI.dtype), bias_D.to(value_XI.dtype)  # under autocast
    with torch.autocast(value_XI.device.type, enabled=False):
        states: Tensor = _GeluLinear.apply(value_XI, weight_DI, bias_D)
    return states


class _GeluLinear(torch.autograd.Function):
    """`gelu_then_linear` in one number format."""

    @staticmethod
    def forward(ctx: Any, value_XI: Tensor, weight_DI: Tensor, bias_D: Tensor) -> Tensor:
        ctx.save_for_backward(value_XI, weight_DI)
        return nn.functional.linear(nn.functional.gelu(value_XI), weight_DI, bias_D)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (grad_XD,) = gradients
        value_XI, weight_DI = ctx.saved_tensors
        rows_XD = grad_XD.flatten(0, -2)
        weight_grad_DI = rows_XD.T @ nn.functional.gelu(value_XI).flatten(0, -2)
        value_grad_XI = torch.ops.aten.gelu_backward(grad_XD @ weight_DI, value_XI)
        return value_grad_XI, weight_grad_DI, rows_XD.sum(0)


class KebiolmPreTrainedModel(bert.BertPreTrainedModel):
    """What all KeBioLM classes share with BERT's: how weights are drawn, saved and loaded."""

    config_class = KebiolmConfig
    config: KebiolmConfig
    _supports_flash_attn = False  # its mask would have to be asked for padding, see KebiolmModel.forward
    _supports_flex_attn = False
    _can_record_outputs = {"hidden_states": LeanLayer, "attentions": bert.BertSelfAttention}


class KebiolmLayers(nn.Module):
    """A run of transformer layers."""

    def __init__(self, config: KebiolmConfig, first: int, end: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(LeanLayer(config, layer_idx=number) for number in range(first, end))

    def forward(self, hidden_BTD: Tensor, attention_mask: Tensor | None, **options: Any) -> Tensor:
        """Apply the layers, one after the other."""
        for layer in self.layer:
            hidden_BTD = layer(hidden_BTD, attention_mask, **options)
        return hidden_BTD


class KebiolmModel(KebiolmPreTrainedModel):
    """The encoder: last_hidden_state is that of the layers over text and entities."""

    _no_split_modules = ["BertEmbeddings", "LeanLayer"]
    _input_embed_layer = "word_embeddings"

    def __init__(self, config: KebiolmConfig) -> None:
        super().__init__(config)
        self.embeddings = bert.BertEmbeddings(config)
        self.context_encoder = KebiolmLayers(config, 0, config.num_context_layers)
        self.mention_detector = nn.Linear(config.hidden_size, 3)
        self.entity_linker = EntityLinker(config)
        if config.fuses:
            self.entity_context_projection = nn.Linear(config.entity_size, config.hidden_size)
            if config.fusion_layer_norm:
                self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
            self.recontext_encoder = KebiolmLayers(
                config, config.num_context_layers, config.num_hidden_layers
            )
        self.post_init()

    @property
    def parts_without_gradient(self) -> tuple[nn.Module, ...]:
        """What a loss on last_hidden_state cannot train."""
        return (self.mention_detector,) if self.config.fuses else (self.mention_detector, self.entity_linker)

    @capture_outputs  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        mentions: Mentions | None = None,
        mention_entities: Tensor | None = None,
        **options: Any,
    ) -> KebiolmOutput:
        """Encode texts (eqs. 1 to 5).

        attention_mask: (B, T), 1 for tokens. By default everything is attended to, which is fastest, and
            mentions are looked for where no padding is.
        mentions, mention_entities: the right mentions, and the row of each one's entity (NO_ENTITY: unknown);
            by default mentions are where the detector sees them.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give input_ids or inputs_embeds, one of the two")
        if attention_mask is not None:
            is_token_BT = attention_mask.bool()
        elif input_ids is not None:
            is_token_BT = input_ids != self.config.pad_token_id
        else:
            assert inputs_embeds is not None, "neither ids nor embeddings"
            is_token_BT = inputs_embeds.new_ones(inputs_embeds.shape[:2], dtype=torch.bool)
        if position_ids is None:
            place_T = torch.arange(is_token_BT.shape[1], device=is_token_BT.device)
            position_ids = (place_T + self.config.first_position)[None]
        embedded_BTD = self.embeddings(
            input_ids=input_ids,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
        )
        mask = None
        if attention_mask is not None:  # what is added to attention's logits, (B, 1, 1, T)
            # transformers' own function asks whether there is padding, which on a GPU makes the host wait.
            zero_BT = embedded_BTD.new_zeros(is_token_BT.shape)
            least = torch.finfo(embedded_BTD.dtype).min
            mask = zero_BT.masked_fill(~is_token_BT, least)[:, None, None]
        hidden_BTD = self.context_encoder(embedded_BTD, mask, **options)
        logit_BT3 = self.mention_detector(hidden_BTD)
        if mentions is None and self.config.fuses:
            mentions = self._find_mentions(logit_BT3.argmax(-1), is_token_BT)
        output = KebiolmOutput(last_hidden_state=hidden_BTD, mention_logits=logit_BT3)
        if mentions is not None and (self.config.fuses or mention_entities is not None):
            linked = self.entity_linker(boundary_states(hidden_BTD, mentions), mention_entities)
            if mention_entities is not None:
                output.linking_loss, output.linked_entities = linked.loss_M, linked.entity_M
            if self.config.fuses:
                fused_BTD = self._fuse(hidden_BTD, mentions, linked.vector_MF)
                output.last_hidden_state = self.recontext_encoder(fused_BTD, mask, **options)
        return output

    def _find_mentions(self, label_BT: Tensor, is_token_BT: Tensor) -> Mentions:
        released = self.config.fidelity == "released"
        if released:  # from position 1 to the last token of a row, [SEP] included
            place_T = torch.arange(label_BT.shape[1], device=label_BT.device)
            may_be_BT = (place_T > 0) & (place_T < is_token_BT.sum(1, keepdim=True))
        else:  # the first and last token of a text are [CLS] and [SEP]
            none_B1 = is_token_BT.new_zeros(len(is_token_BT), 1)
            after_BT = torch.cat([none_B1, is_token_BT[:, :-1]], dim=1)
            before_BT = torch.cat([is_token_BT[:, 1:], none_B1], dim=1)
            may_be_BT = is_token_BT & after_BT & before_BT
        return find_mentions(label_BT, may_be_BT, max_mentions=self.config.max_mentions, released=released)

    def _fuse(self, hidden_BTD: Tensor, mentions: Mentions, vector_MF: Tensor) -> Tensor:
        """Add each mention's entity to its tokens (eq. 4)."""
        batch, tokens, _ = hidden_BTD.shape
        added_MD = self.entity_context_projection(vector_MF)
        none = len(added_MD)  # of a token in no mention: a row of zeros, which gets no gradient
        added_MD = torch.cat([added_MD, added_MD.new_zeros(1, added_MD.shape[1])])
        released = self.config.fidelity == "released"
        owner_BT = owners(mentions, batch=batch, tokens=tokens, released=released)
        fused_BTD = hidden_BTD + nn.functional.embedding(owner_BT, added_MD, padding_idx=none)
        return self.layer_norm(fused_BTD) if self.config.fusion_layer_norm else fused_BTD


class KebiolmForMaskedLM(KebiolmPreTrainedModel, bert.BertForMaskedLM):
    """KeBioLM with BERT's masked language modelling head and its loss (eqs. 7 and 8)."""

    def __init__(self, config: KebiolmConfig) -> None:
        super(bert.BertForMaskedLM, self).__init__(config)  # which would draw a BERT first
        self.bert = KebiolmModel(config)
        self.cls = bert.BertOnlyMLMHead(config)
        self.post_init()


class KebiolmForTokenClassification(KebiolmPreTrainedModel, bert.BertForTokenClassification):
    """KeBioLM with BERT's linear layer on each token's state (section 4.3)."""

    def __init__(self, config: KebiolmConfig) -> None:
        super(bert.BertForTokenClassification, self).__init__(config)  # which would draw a BERT first
        self.num_labels = config.num_labels
        self.bert = KebiolmModel(config)
        dropout = config.classifier_dropout
        self.dropout = nn.Dropout(config.hidden_dropout_prob if dropout is None else dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()
        for part in self.bert.parts_without_gradient:
            part.requires_grad_(False)


AutoConfig.register("kebiolm", KebiolmConfig, exist_ok=True)
AutoModel.register(KebiolmConfig, KebiolmModel, exist_ok=True)
AutoModelForMaskedLM.register(KebiolmConfig, KebiolmForMaskedLM, exist_ok=True)
AutoModelForTokenClassification.register(KebiolmConfig, KebiolmForTokenClassification, exist_ok=True)
