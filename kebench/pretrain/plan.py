"""A pretraining before it runs: recipe, corpus, vectors, backbone, and the hash of what decides weights."""

from pathlib import Path
from typing import NamedTuple

from kebench.corpus.linked import LinkedCorpus
from kebench.errors import UserError
from kebench.files import hash_of
from kebench.model.layout import describe_checkpoint, refuse_other_kinds
from kebench.model.source import ResolvedModel, model_hash
from kebench.pretrain.recipe import Pretraining
from kebench.pretrain.sequences import ENCODING_VERSION
from kebench.transe.embeddings import EntityEmbeddings

METHOD_VERSION = 1  # raised by every change that can move a weight


class PretrainingPlan(NamedTuple):
    """Everything that decides a pretrained checkpoint. embeddings: None if none are needed."""

    recipe: str
    settings: Pretraining
    corpus: LinkedCorpus
    embeddings: EntityEmbeddings | None
    backbone: ResolvedModel
    backbone_hash: str
    precision: str

    @property
    def identity(self) -> str:
        """The hash of what decides the weights: no name, no path, no device, no number of processes."""
        used = self.settings.model_dump(
            exclude={"label", "evaluate_every", "checkpoint_every", "keep_checkpoints", "held_out_sequences"}
            | {"gradient_checkpointing", "compile"}
        )
        return hash_of(
            {
                "version": [METHOD_VERSION, ENCODING_VERSION],
                "settings": used,
                "corpus": self.corpus.manifest.content_hash,
                "embeddings": self.embeddings.card.identity if self.embeddings else None,
                "backbone": self.backbone_hash,
                "precision": self.precision,
            }
        )


def plan_pretraining(
    recipe: str,
    settings: Pretraining,
    *,
    corpus: Path,
    embeddings: Path | None,
    backbone: ResolvedModel,
    precision: str = "fp32",
) -> PretrainingPlan:
    """Plan a pretraining: see that everything it needs is there and fits.

    Raises UserError in one line if a part is missing or does not fit the recipe.
    """
    opened = LinkedCorpus.open(corpus)
    if settings.architecture == "kebiolm" and not opened.manifest.counts.mentions:
        raise UserError(f"{corpus}: no mention in it, and '{recipe}' learns from mentions; annotate again")
    refuse_other_kinds(backbone.folder, kind=backbone.card.kind)
    described = describe_checkpoint(backbone.folder)
    limit = described.max_tokens
    if limit and settings.max_tokens > limit:
        raise UserError(
            f"max_tokens = {settings.max_tokens}, and {backbone.card.name} takes {limit}; "
            f"pass --max-tokens {limit}"
        )
    if settings.architecture == "kebiolm" and settings.context_layers > described.layers:
        raise UserError(
            f"context_layers = {settings.context_layers}, and {backbone.card.name} has {described.layers} "
            f"layers; pass --context-layers 0 to {described.layers}"
        )
    hashed = model_hash(backbone.folder, casing=backbone.card.casing)
    vectors = None
    if settings.architecture == "kebiolm" and settings.entities == "embeddings":
        if embeddings is None:
            raise UserError(
                f"'{recipe}' starts from entity vectors; name those of 'kebench embed' by --entities"
            )
        vectors = EntityEmbeddings.open(embeddings)
        if vectors.entity_ND.shape[1] != settings.entity_size:
            raise UserError(
                f"{embeddings}: vectors of dimension {vectors.entity_ND.shape[1]}, and '{recipe}' has "
                f"entity_size = {settings.entity_size}; embed again with --dimension {settings.entity_size}, "
                f"or pass --entity-size {vectors.entity_ND.shape[1]}"
            )
    return PretrainingPlan(recipe, settings, opened, vectors, backbone, hashed, precision)
