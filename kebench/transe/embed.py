"""From a source of triples to `EntityEmbeddings`: split, train, rank, write. What `kebench embed` does."""

import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from kebench.errors import UserError
from kebench.files import (
    atomic_folder,
    broken_file,
    cache_folder,
    hash_of,
    sweep_temporaries,
    sweep_temporaries_of,
)
from kebench.leases import lease
from kebench.progress import progress
from kebench.records import Provenance
from kebench.runtime import begin, device_description
from kebench.transe.embeddings import EmbeddingsCard, EntityEmbeddings, read_embeddings_card
from kebench.transe.graph import FILES, Graph, describe_left_out, hold_out, read_graph, without_held_out
from kebench.transe.rank import Numbers, metrics, rank_triples
from kebench.transe.recipe import Settings
from kebench.transe.row_adam import Table
from kebench.transe.train import State, Trained, initial_state, train

# Raised by every change that moves vectors or what is held out.
METHOD_VERSION = 1
TRAINING_PER_SAVING = 20  # ours: saving takes at most a twentieth of the time, however large the tables
TABLES, LOSSES = "tables.safetensors", "losses.json"
NAMES, PARTS = ("entity", "relation"), ("vector", "mean", "square", "touched")
_PACKAGES = ("torch", "numpy", "pandas", "pyarrow", "safetensors")

Watch = Callable[[int, dict[str, float]], None]

_log = logging.getLogger(__name__)


class Plan(NamedTuple):
    """What is to be made, and the hash that names it."""

    graph: Graph
    settings: Settings
    identity: str


class KeptState:
    """The newest state of an unfinished training, so that the same command goes on after a kill.

    In a folder of its own one folder an epoch, `epoch-00012`, each whole or not there at all; the older ones
    are removed once the newest is written. Together with the seed a state decides all that follows: on the
    CPU, with as many threads, a resumed training gives the same vectors bit for bit.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._saved_at = self._saving_seconds = 0.0

    def load(self, *, device: str) -> State | None:
        """Return the newest state, or None if there is none that can be read."""
        folders = self._epochs()
        if not folders:
            return None
        if broken := broken_file(folders[-1]):
            _log.warning("%s: damaged; training from the start", folders[-1] / broken)
            shutil.rmtree(self.folder)
            return None
        try:
            parts = load_file(folders[-1] / TABLES, device=device)
            losses = json.loads((folders[-1] / LOSSES).read_text())
        except (SafetensorError, OSError, ValueError) as error:
            _log.warning("%s: unreadable (%s); training from the start", folders[-1], error)
            shutil.rmtree(self.folder)  # or its epochs would stand in the way of new ones
            return None
        entity, relation = (
            Table._make([*(parts[f"{name}.{part}"] for part in PARTS), name == "entity"]) for name in NAMES
        )
        return State(entity, relation, tuple(losses))

    def save_if_due(self, state: State) -> None:
        """Save a state if training since the last time has taken long enough; the first is always saved."""
        started = time.monotonic()
        if self._saving_seconds and started - self._saved_at < TRAINING_PER_SAVING * self._saving_seconds:
            return
        older = self._epochs()
        place = self.folder / f"epoch-{len(state.loss_by_epoch):05d}"
        with atomic_folder(place, point="embedding-state", sealed=True) as temporary:
            parts = {
                f"{name}.{part}": tensor
                for name, table in zip(NAMES, (state.entity, state.relation), strict=True)
                for part, tensor in zip(PARTS, table[:4], strict=True)
            }
            save_file(parts, temporary / TABLES)
            (temporary / LOSSES).write_text(json.dumps(state.loss_by_epoch))
        for folder in older:
            shutil.rmtree(folder, ignore_errors=True)
        self._saved_at = time.monotonic()
        self._saving_seconds = self._saved_at - started

    def remove(self) -> None:
        """Remove the state, once what it was for exists."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _epochs(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*"))


def plan_embeddings(source: Path, settings: Settings, *, evaluate: bool) -> Plan:
    """Read a source and decide what is trained on and what is held out.

    With `evaluate` that is the source's own held-out splits, or else a sample. Raises UserError if nothing of
    a split is left to rank, or there is nothing to tell apart.
    """
    graph = read_graph(source)
    if not evaluate:
        graph = without_held_out(graph)
    for name, triples in graph.held_out.items():
        if not len(triples):
            left_out = describe_left_out(graph.left_out[name])
            raise UserError(
                f"{source / FILES[name]}: no triple is left to rank; left out: {left_out}; "
                "mend or remove the file, or leave out --evaluate"
            )
    if evaluate and not graph.held_out:
        graph = hold_out(graph, share=settings.held_out_share, seed=settings.seed)
    if len(graph.entities) < 2:
        raise UserError(f"{source}: a single entity; an embedding needs at least two to tell apart")
    used = settings.model_dump(exclude=set() if evaluate else {"held_out_share"})
    decides = [METHOD_VERSION, graph.content_hash, used, evaluate]
    if any(reason.startswith("in_") for counts in graph.left_out.values() for reason in counts):
        decides.append(graph.left_out)  # a ranking without triples of earlier splits
    return Plan(graph, settings, hash_of(decides))


def find_finished(out: Path, identity: str) -> EmbeddingsCard | None:
    """Return the card of what is already in `out`; None if nothing is. UserError if it is something else."""
    if not out.exists():
        return None
    card = read_embeddings_card(out)
    if card.identity != identity:
        raise UserError(
            f"{out}: holds embeddings made from other triples or settings; choose another --out or remove it"
        )
    KeptState(_state_folder(identity)).remove()  # left by a kill between the last two steps
    return card


def _state_folder(identity: str) -> Path:
    return cache_folder() / "embeddings" / identity[:16]


def make_embeddings(
    plan: Plan, out: Path, *, source: str, device: str, watch: Watch = lambda epoch, numbers: None
) -> EmbeddingsCard:
    """Train, rank what was held out, and write all to `out`, which must not exist.

    watch: is told the loss and the speed of each epoch.
    """
    folder, graph = _state_folder(plan.identity), plan.graph
    sweep_temporaries(folder.parent)
    sweep_temporaries_of(out)
    with lease(folder.with_suffix(".running")) as is_ours:
        if not is_ours:
            raise UserError(f"{out}: another process is making these embeddings; wait for it or stop it")
        kept = KeptState(folder)
        begun = begin(device)  # peak memory is counted from here on
        trained, resumed_after_epoch = _train(plan, kept, device, watch)
        evaluation = _evaluate(plan, trained)
        about = begun.provenance(_PACKAGES)
        card = EmbeddingsCard(
            schema=1,
            identity=plan.identity,
            source=source,
            source_hash=graph.content_hash,
            settings=plan.settings,
            num_entities=len(graph.entities),
            num_relations=len(graph.relations),
            num_triples={name: len(triples) for name, triples in graph.triples.items()},
            left_out=graph.left_out,
            pairs_in_train=graph.pairs_in_train,
            loss_by_epoch=trained.loss_by_epoch,
            evaluation=evaluation,
            sha256="",
            resumed_after_epoch=resumed_after_epoch,
            provenance=Provenance(**about, device=device_description(device), num_processes=1),
        )
        vectors = trained.entity_ND.cpu(), trained.relation_RD.cpu()
        card = EntityEmbeddings(*vectors, graph.entities, graph.relations, card).save(out)
        kept.remove()
    return card


def _train(plan: Plan, kept: KeptState, device: str, watch: Watch) -> tuple[Trained, int]:
    """Train from the kept state if there is one; return also the epoch after which it was kept, or 0."""
    graph, settings = plan.graph, plan.settings
    state = kept.load(device=device) or initial_state(
        num_entities=len(graph.entities), num_relations=len(graph.relations), settings=settings, device=device
    )
    done = len(state.loss_by_epoch)
    if done:
        _log.info("going on after epoch %d of %d, kept in %s", done, settings.epochs, kept.folder)
    num_left = (settings.epochs - done) * len(graph.triples["train"])
    started = time.monotonic()

    def after_epoch(state: State) -> None:
        nonlocal started
        per_second = len(graph.triples["train"]) / max(time.monotonic() - started, 1e-9)
        numbers = {"train/loss": state.loss_by_epoch[-1], "train/triples_per_second": per_second}
        watch(len(state.loss_by_epoch), numbers)
        kept.save_if_due(state)
        started = time.monotonic()

    with progress("training", total=num_left, unit="triples") as advance:
        trained = train(graph.triples["train"], settings, state, after_batch=advance, after_epoch=after_epoch)
    return trained, done


def _evaluate(plan: Plan, trained: Trained) -> dict[str, Numbers] | None:
    """Rank every held-out split among all entities; every triple of any split counts as known."""
    held_out = plan.graph.held_out
    if not held_out:
        return None
    known = np.concatenate(list(plan.graph.triples.values()))
    num_queries = 2 * sum(map(len, held_out.values()))
    with progress("ranking", total=num_queries, unit="queries") as advance:
        return {
            name: metrics(
                rank_triples(
                    triples,
                    known=known,
                    entity_ND=trained.entity_ND,
                    relation_RD=trained.relation_RD,
                    norm=plan.settings.norm,
                    after_block=advance,
                )
            )
            for name, triples in held_out.items()
        }
