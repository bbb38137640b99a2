"""KeBioLM's configuration: that of the BERT it is built from, and how its layers, mentions and entities are.

The defaults are the paper's (section 4.1). Names are those of the released configuration where it has one.
"""

from dataclasses import field
from typing import Any

from transformers import BertConfig

FIDELITIES = ("paper", "released", "fixed")


class KebiolmConfig(BertConfig):
    """Configuration of a KeBioLM.

    num_context_layers: layers below the entities; the rest of num_hidden_layers is above. If none is above
        (12+0, section 4.5), nothing is fused: entities are detected and linked, and text stays as it is.
    num_entities, entity_size: the entity memory's rows and columns.
    special_entities: rows that are no entity (padding, unknown, NIL in released checkpoints).
    fusion_layer_norm: normalise states after entities are added; None: unless fidelity is "paper", since the
        released code does and the paper does not.
    fidelity: "fixed", "paper" or "released"; docs/FIDELITY.md says what each does.
    backbone, first_position: the family whose embeddings and tokenizer these are, and its first position.
    """

    model_type = "kebiolm"

    num_context_layers: int = 8
    num_entities: int = 1
    entity_size: int = 100
    max_mentions: int = 50
    max_candidate_entities: int = 100
    special_entities: list[int] = field(default_factory=list)
    fusion_layer_norm: bool | None = None
    fidelity: str = "fixed"
    backbone: str = "bert"
    first_position: int = 0

    def __post_init__(self, **others: Any) -> None:
        """Refuse what no model can be made of."""
        super().__post_init__(**others)
        if self.fidelity not in FIDELITIES:
            raise ValueError(f"fidelity = '{self.fidelity}'; expected one of {', '.join(FIDELITIES)}")
        if self.fusion_layer_norm is None:
            self.fusion_layer_norm = self.fidelity != "paper"
        if not 0 <= self.num_context_layers <= self.num_hidden_layers:
            raise ValueError(
                f"num_context_layers = {self.num_context_layers}; expected 0 to {self.num_hidden_layers}, "
                "as many as there are layers"
            )
        if min(self.num_entities, self.entity_size, self.max_mentions, self.max_candidate_entities) < 1:
            raise ValueError("num_entities, entity_size, max_mentions and max_candidate_entities begin at 1")

    @property
    def fuses(self) -> bool:
        """True if there are layers above the entities, so that entities are added to the text."""
        return bool(self.num_context_layers < self.num_hidden_layers)
