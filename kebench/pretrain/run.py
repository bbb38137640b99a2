"""Carries out a pretraining: sequences, model, steps, and in the end a checkpoint directory."""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import torch

from kebench.errors import UserError
from kebench.files import atomic_folder, cache_folder, sweep_temporaries, sweep_temporaries_of
from kebench.leases import lease
from kebench.model.backbone import Built, fill_entities, split_backbone, with_mlm_head
from kebench.model.checkpoint import load_tokenizer
from kebench.model.checkpoint_files import copy_tokenizer
from kebench.model.families import quiet_transformers
from kebench.model.released import ENTITIES
from kebench.model.source import write_suggested
from kebench.pretrain.batches import Collator
from kebench.pretrain.card import CARD, PretrainingCard, read_card
from kebench.pretrain.curve import CURVES, HELD_OUT, Row, curve_text
from kebench.pretrain.held_out import HeldOut
from kebench.pretrain.loop import Pretrainer
from kebench.pretrain.objectives import Objectives
from kebench.pretrain.plan import PretrainingPlan
from kebench.pretrain.sequences import EncodedCorpus, encode_corpus
from kebench.pretrain.state import Kept
from kebench.progress import progress
from kebench.records import Provenance
from kebench.runtime import agreed, device_description, peak_memory_mib, reset_peak_memory, software, utc_now
from kebench.transe.embeddings import write_names

_PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "numpy", "pyarrow", "safetensors")

_FEW_VECTORS = 0.5  # of the entities, below which a warning is due; ours

_log = logging.getLogger(__name__)


class Prepared(NamedTuple):
    """What a pretraining works with."""

    plan: PretrainingPlan
    encoded: EncodedCorpus
    built: Built
    drawn_entities: int
    trainer: Pretrainer
    held_out: HeldOut


def find_finished(plan: PretrainingPlan, out: Path) -> PretrainingCard | None:
    """Return the card of what is already in `out`; None if nothing is. UserError if it is something else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / CARD).is_file():
        raise UserError(f"{out}: exists and is no pretrained checkpoint; choose another --out, or remove it")
    card = read_card(out)
    if card.identity != plan.identity:
        raise UserError(f"{out}: holds a model pretrained in another way; choose another --out, or remove it")
    return card


def drop_leftovers(plan: PretrainingPlan) -> None:
    """Remove the states of a pretraining that is done, which a kill may have left; not while one goes on."""
    folder = state_folder(plan)
    if folder.exists() or folder.with_suffix(".running").exists():
        with lease(folder.with_suffix(".running")) as is_ours:
            if is_ours:
                Kept(folder, 0).remove()


def state_folder(plan: PretrainingPlan) -> Path:
    """Return where a pretraining keeps its state until it is done."""
    return cache_folder() / "pretraining" / plan.identity[:16]


def pretrain(
    plan: PretrainingPlan,
    out: Path,
    *,
    accelerator: Any,
    micro_batch: int | None = None,
    watch: Callable[[Row], None] = lambda row: None,
) -> PretrainingCard:
    """Pretrain and write the checkpoint to `out`, which must not exist; a kept state is gone on from.

    Under a launcher every process calls this. watch: is told what each step did.
    """
    folder = state_folder(plan)
    is_main = accelerator.is_main_process
    with lease(folder.with_suffix(".running")) if is_main else nullcontext(False) as is_ours:
        if not agreed(is_ours, accelerator):
            raise UserError(f"{out}: another process is at this pretraining; wait for it, or stop it")
        if is_main:
            sweep_temporaries(folder.parent)
            sweep_temporaries_of(out)
        if card := find_finished(plan, out):  # killed between the last two steps, or made meanwhile
            if is_main:
                Kept(folder, 0).remove()
        else:
            card = _pretrain(plan, out, folder, accelerator, micro_batch, watch)
        accelerator.wait_for_everyone()
    return card


def prepare(plan: PretrainingPlan, accelerator: Any, micro_batch: int | None = None) -> Prepared:
    """Encode the corpus, build the model, and put both into a trainer."""
    settings, card = plan.settings, plan.backbone.card
    tokenizer = load_tokenizer(
        plan.backbone.folder, family=card.family, casing=card.casing, split_words=False
    )
    encoded = encode_corpus(
        plan.corpus, tokenizer, max_tokens=settings.max_tokens, held_out_share=settings.held_out_share
    )
    built, drawn_entities = build_model(plan, encoded)
    if settings.dropout is not None:
        for module in built.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = settings.dropout
    if settings.gradient_checkpointing:
        built.model.gradient_checkpointing_enable()
    objectives = Objectives(built.model).to(accelerator.device)
    collator = Collator(tokenizer, settings, vocabulary_size=built.model.config.vocab_size)
    trainer = Pretrainer(
        objectives, encoded.split("train"), collator, settings, accelerator, micro_batch=micro_batch
    )
    held_out = HeldOut(
        encoded.split("held-out"), collator, most=settings.held_out_sequences, batch_size=trainer.micro_batch
    )
    if accelerator.is_main_process:  # what only the encoded text tells
        train = encoded.counts["train"]
        per_epoch = -(-train["sequences"] // settings.batch_size)
        _log.info(
            "%s sequences: %s steps, %.3g epochs, warm-up over the first %s",
            f"{train['sequences']:,}", f"{trainer.steps:,}", trainer.steps / per_epoch,
            f"{settings.warmup(trainer.steps):,}",
        )  # fmt: skip
        if any(name.startswith("cls.") or "lm_head" in name for name in built.drawn):
            _log.info("the backbone has no head for masked language modelling: one is drawn")
        if not held_out.batches:
            _log.info(
                "no document is held out: too few for the recipe's share of %g", settings.held_out_share
            )
    return Prepared(plan, encoded, built, drawn_entities, trainer, held_out)


def build_model(plan: PretrainingPlan, encoded: EncodedCorpus) -> tuple[Built, int]:
    """Return the model to be pretrained, and how many of its entities' vectors were drawn.

    Raises UserError if vectors are given and none is of an entity of the corpus.
    """
    settings, backbone = plan.settings, plan.backbone
    if settings.architecture == "backbone":
        return with_mlm_head(backbone.folder, family=backbone.card.family, seed=settings.seed), 0
    built = split_backbone(
        backbone.folder,
        family=backbone.card.family,
        num_context_layers=settings.context_layers,
        num_entities=len(encoded.cuis),
        entity_size=settings.entity_size,
        seed=settings.seed,
        max_mentions=settings.max_mentions,
        max_candidate_entities=settings.candidates,
        fusion_layer_norm=settings.fusion_layer_norm,
    )
    if plan.embeddings is None:
        vectors, rows = None, torch.full((len(encoded.cuis),), -1)
    else:
        vectors, rows = plan.embeddings.entity_ND, torch.from_numpy(plan.embeddings.rows(encoded.cuis))
    drawn = fill_entities(built.model, vectors, rows, seed=settings.seed)
    if plan.embeddings:
        found, source = len(rows) - drawn, plan.embeddings.card.source
        if not found:
            raise UserError(
                f"{source}: no vector for any of the corpus's {len(rows):,} CUIs; name those that were made "
                "of the knowledge base that it was linked to by --entities"
            )
        said = f"vectors for {found:,} of the corpus's {len(rows):,} CUIs; the others are drawn"
        if found < _FEW_VECTORS * len(rows):
            _log.warning("%s: only %s; are they of the same knowledge base?", source, said)
        else:
            _log.info(said if drawn else f"vectors for all {len(rows):,} CUIs of the corpus")
    if settings.freeze_entities:
        built.model.bert.entity_linker.entity_embeddings.weight.requires_grad_(False)
    return built, drawn


def _pretrain(
    plan: PretrainingPlan,
    out: Path,
    folder: Path,
    accelerator: Any,
    micro_batch: int | None,
    watch: Callable[[Row], None],
) -> PretrainingCard:
    reset_peak_memory(str(accelerator.device))
    started_utc, started = utc_now(), time.monotonic()
    prepared = prepare(plan, accelerator, micro_batch)
    trainer, settings = prepared.trainer, plan.settings
    is_main = accelerator.is_main_process
    kept = Kept(folder, settings.keep_checkpoints)
    resumed, rows = agreed(kept.newest() if is_main else (0, []), accelerator)
    if resumed:
        kept.restore(trainer, resumed)
    if resumed and is_main:
        _log.info("going on after step %s of %s, kept in %s", f"{resumed:,}", f"{trainer.steps:,}", folder)
    with progress(
        "pretraining", total=trainer.steps, unit="steps", done=resumed, is_shown=is_main
    ) as advance:
        while trainer.done < trainer.steps:
            step = trainer.step()
            row: Row = {
                "step": step.number,
                "loss": step.loss,
                **step.losses,
                "learning_rate": step.learning_rate,
                "grad_norm": step.grad_norm,
                "tokens": step.tokens,
                "tokens_per_second": round(step.tokens / max(step.seconds, 1e-9), 1),
            }
            is_last = step.number == trainer.steps
            if is_last or step.number % settings.evaluate_every == 0:
                row |= prepared.held_out.evaluate(trainer.objectives, accelerator)
            rows.append(row)
            watch(row)
            if is_main and (is_last or step.number % settings.checkpoint_every == 0):
                kept.save(trainer, rows, partial(write_checkpoint, prepared))
            parts = f"mlm {row['mlm']:.2f} ed {row['detection']:.2f} el {row['linking']:.2f}"
            advance(1, note=f"loss {row['loss']:.2f} ({parts}), {row['tokens_per_second']:,.0f} tokens/s")
    provenance = Provenance(
        **software(_PACKAGES),
        device=device_description(str(accelerator.device)),
        num_processes=accelerator.num_processes,
        micro_batch=trainer.micro_batch,
        started_utc=started_utc,
        seconds=round(time.monotonic() - started, 3),
        peak_mib=round(peak_memory_mib(str(accelerator.device)), 1),
    )
    card = _card(prepared, rows, resumed, provenance)
    if is_main:
        with atomic_folder(out, point="pretrained") as temporary:
            write_checkpoint(prepared, temporary)
            (temporary / CURVES).write_text(curve_text(rows), encoding="utf-8")
            text = card.model_dump_json(indent=1, by_alias=True) + "\n"
            (temporary / CARD).write_text(text, encoding="utf-8")
        kept.remove()
    return card


def _card(prepared: Prepared, rows: list[Row], resumed: int, provenance: Provenance) -> PretrainingCard:
    plan, encoded, vectors = prepared.plan, prepared.encoded, prepared.plan.embeddings
    return PretrainingCard(
        schema=1,
        identity=plan.identity,
        recipe=plan.recipe,
        settings=plan.settings,
        backbone={"name": plan.backbone.card.name, "hash": plan.backbone_hash},
        corpus={"name": plan.corpus.folder.resolve().name, "hash": plan.corpus.manifest.content_hash},
        embeddings={"source": vectors.card.source, "hash": vectors.card.sha256} if vectors else None,
        sequences=encoded.counts,
        drawn=prepared.built.drawn,
        unused=prepared.built.unused,
        num_entities=len(encoded.cuis) if plan.settings.architecture == "kebiolm" else 0,
        drawn_entities=prepared.drawn_entities,
        steps=prepared.trainer.steps,
        held_out={name: rows[-1][name] for name in HELD_OUT if name in rows[-1]},
        resumed_after_step=resumed,
        provenance=provenance,
    )


def write_checkpoint(prepared: Prepared, folder: Path) -> None:
    """Write a model with tokenizer and entities into a folder that exists."""
    with quiet_transformers():
        prepared.built.model.save_pretrained(folder)
    backbone = prepared.plan.backbone
    copy_tokenizer(backbone.folder, folder)
    write_suggested(backbone.card.suggested, folder, origin=backbone.card.name)
    if prepared.plan.settings.architecture == "kebiolm":
        write_names(folder / ENTITIES, "cui", pa.array(prepared.encoded.cuis))
