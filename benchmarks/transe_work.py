"""Carries out one measurement of the TransE benchmark in this process: ours, a variant of ours, or PyKEEN."""

# N entities, R relations, D dimensions, U rows of a batch

import contextlib
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from floor import best_seconds
from torch import Tensor
from transe_graphs import large_graph, learnable_graph

from kebench.runtime import device_description, peak_memory_mib, reset_peak_memory
from kebench.transe import train as training
from kebench.transe.batches import Triples, epoch_batches, epoch_generator
from kebench.transe.graph import read_graph
from kebench.transe.rank import BLOCK_ENTITIES, BLOCK_QUERIES, metrics, rank_triples
from kebench.transe.recipe import Settings
from kebench.transe.row_adam import BETA1, BETA2, EPSILON, RowAdam, Rows, Table, normalise_
from kebench.transe.train import initial_state, train, uses

OURS, DENSE, LAZY, PYKEEN = "ours", "ours, dense Adam", "ours, missed steps ignored", "PyKEEN"
EVALUATION_SEED = 99  # of the vectors that are ranked where only time counts


class DenseAdam(RowAdam):
    """Adam as everyone knows it: every step moves every row."""

    def read(self, table: Table, number_U: Tensor, *, step: int) -> Rows:
        """Return the rows as they are."""
        return Rows(number_U, *(part.index_select(0, number_U) for part in table[:3]))

    def write(self, table: Table, rows: Rows, gradient_UD: Tensor, *, step: int) -> None:
        """Take a step with all rows of the table."""
        gradient_ND = torch.zeros_like(table.vector_ND).index_copy_(0, rows.number_U, gradient_UD)
        table.mean_ND.mul_(BETA1).add_(gradient_ND, alpha=1 - BETA1)
        table.square_ND.mul_(BETA2).addcmul_(gradient_ND, gradient_ND, value=1 - BETA2)
        root_ND = table.square_ND.sqrt().div_((1 - BETA2**step) ** 0.5).add_(EPSILON)
        table.vector_ND.addcdiv_(table.mean_ND, root_ND, value=-self.learning_rate / (1 - BETA1**step))
        if table.is_unit:
            normalise_(table.vector_ND)

    def finish(self, table: Table, *, step: int) -> None:
        """Nothing lags behind."""


class LazyAdam(RowAdam):
    """What torch.optim.SparseAdam does: a row's missed steps are as if they had not been."""

    def read(self, table: Table, number_U: Tensor, *, step: int) -> Rows:
        """Return the rows where their last step left them, the moments decayed once."""
        vector_UD, mean_UD, square_UD = (part.index_select(0, number_U) for part in table[:3])
        return Rows(number_U, vector_UD, mean_UD.mul_(BETA1), square_UD.mul_(BETA2))

    def finish(self, table: Table, *, step: int) -> None:
        """Nothing is made up for."""


OPTIMISERS = {OURS: RowAdam, DENSE: DenseAdam, LAZY: LazyAdam}


def work(spec: dict[str, Any]) -> dict[str, Any]:
    """Carry out what `spec` names and return what was measured."""
    machine = {"device": device_description("cpu"), "threads": torch.get_num_threads()}
    return machine | KINDS[spec["kind"]](spec)


def quality(spec: dict[str, Any]) -> dict[str, Any]:
    """Train on a graph with standard splits and rank its test triples."""
    graph, settings = read_graph(Path(spec["data"])), Settings(**spec["settings"])
    splits, sizes = graph.triples, (len(graph.entities), len(graph.relations))
    return _score(spec["variant"], splits, sizes, settings)


def sparse_quality(spec: dict[str, Any]) -> dict[str, Any]:
    """The same on a made-up graph of so many entities that a batch holds few of them."""
    sizes = spec["num_entities"], spec["num_relations"]
    triples = learnable_graph(spec["num_triples"], num_entities=sizes[0], num_relations=sizes[1])
    draw = np.random.default_rng(1)
    is_test = draw.random(len(triples)) < 0.02
    splits = {"train": triples[~is_test], "test": triples[is_test]}
    return _score(spec["variant"], splits, sizes, Settings(**spec["settings"]))


def _score(
    variant: str, splits: dict[str, Triples], sizes: tuple[int, int], settings: Settings
) -> dict[str, Any]:
    started = time.perf_counter()
    trainer = _train_ours if variant in OPTIMISERS else _train_pykeen
    entity_ND, relation_RD = trainer(variant, splits["train"], sizes, settings)
    seconds = time.perf_counter() - started
    known = np.concatenate(list(splits.values()))
    ranks = rank_triples(
        splits["test"], known=known, entity_ND=entity_ND, relation_RD=relation_RD, norm=settings.norm
    )
    both = metrics(ranks)["both"]
    return {"seconds": seconds, **both["realistic"], "mrr_optimistic": both["optimistic"]["mrr"]}


def _train_ours(
    variant: str, triples: Triples, sizes: tuple[int, int], settings: Settings
) -> tuple[Tensor, Tensor]:
    training.RowAdam = OPTIMISERS[variant]  # the only switch there is: the command has none
    state = initial_state(num_entities=sizes[0], num_relations=sizes[1], settings=settings, device="cpu")
    trained = train(triples, settings, state)
    return trained.entity_ND, trained.relation_RD


def _train_pykeen(
    variant: str, triples: Triples, sizes: tuple[int, int], settings: Settings
) -> tuple[Tensor, Tensor]:
    model, run = _pykeen(variant, triples, sizes, settings)
    run()
    return tuple(
        part[0](None).detach() for part in (model.entity_representations, model.relation_representations)
    )


def _pykeen(
    variant: str, triples: Triples, sizes: tuple[int, int], settings: Settings, callback: Any = None
) -> tuple[Any, Callable[[], None]]:
    """Return PyKEEN's TransE with the same hyper-parameters, and a function that trains it."""
    from pykeen.losses import MarginRankingLoss
    from pykeen.models import TransE
    from pykeen.training import SLCWATrainingLoop
    from pykeen.triples import CoreTriplesFactory

    factory = CoreTriplesFactory.create(
        torch.from_numpy(triples.astype(np.int64)), num_entities=sizes[0], num_relations=sizes[1]
    )
    model = TransE(
        triples_factory=factory,
        embedding_dim=settings.dimension,
        scoring_fct_norm=settings.norm,
        loss=MarginRankingLoss(margin=settings.margin),
        random_seed=settings.seed,
    )
    loop = SLCWATrainingLoop(
        model=model,
        triples_factory=factory,
        optimizer=torch.optim.Adam(model.parameters(), lr=settings.learning_rate),
        negative_sampler="basic",
        negative_sampler_kwargs={"num_negs_per_pos": settings.num_negatives},
    )
    how = {"num_epochs": settings.epochs, "batch_size": settings.batch_size, "use_tqdm": False}
    return model, lambda: loop.train(triples_factory=factory, callbacks=callback, **how)


def speed(spec: dict[str, Any]) -> dict[str, Any]:
    """Time training on the large graph: whole epochs of ours, some steps of PyKEEN after a few to warm up."""
    base_mib = _resident_mib(spec["variant"])
    settings, sizes = Settings(**spec["settings"]), (spec["num_entities"], spec["num_relations"])
    triples = large_graph(spec["num_triples"], num_entities=sizes[0], num_relations=sizes[1])
    measure = _time_ours if spec["variant"] == OURS else _time_pykeen
    gc.collect()
    reset_peak_memory("cpu")
    measured = measure(spec, triples, sizes, settings)
    embeddings_mib = sum(sizes) * settings.dimension * 4 / 2**20
    return measured | {
        "beyond_imports_mib": peak_memory_mib("cpu") - base_mib,
        "embeddings_mib": embeddings_mib,
    }


def _resident_mib(variant: str) -> float:
    """Return what the process holds after its imports and a first use of torch."""
    if variant == PYKEEN:
        import pykeen.evaluation
        import pykeen.training  # noqa: F401
    torch.rand(64, 64) @ torch.rand(64, 64)
    reset_peak_memory("cpu")
    return peak_memory_mib("cpu")


def _time_ours(
    spec: dict[str, Any], triples: Triples, sizes: tuple[int, int], settings: Settings
) -> dict[str, Any]:
    ends = [time.perf_counter()]
    state = initial_state(num_entities=sizes[0], num_relations=sizes[1], settings=settings, device="cpu")
    train(triples, settings, state, after_batch=lambda _: ends.append(time.perf_counter()))
    steps = len(ends) - 1
    return _rate(ends[spec["warm_up_steps"] :], settings) | {"steps": steps}


def _time_pykeen(
    spec: dict[str, Any], triples: Triples, sizes: tuple[int, int], settings: Settings
) -> dict[str, Any]:
    from pykeen.training.callbacks import TrainingCallback

    ends: list[float] = []

    class Watch(TrainingCallback):
        def post_batch(self, epoch: int, batch: Any, **kwargs: Any) -> None:
            ends.append(time.perf_counter())

    steps = spec["peer_warm_up_steps"] + spec["peer_steps"]
    draw = np.random.default_rng(0)  # a step costs the same however many triples there are
    some = triples[draw.choice(len(triples), steps * settings.batch_size, replace=False)]
    _, run = _pykeen(PYKEEN, some, sizes, settings, callback=Watch())
    with contextlib.redirect_stdout(None):
        run()
    return _rate(ends[spec["peer_warm_up_steps"] - 1 :], settings) | {"steps": steps}


def _rate(ends: list[float], settings: Settings) -> dict[str, Any]:
    """Return triples/s over all timed steps, and of the fastest tenth, which other work disturbed least."""
    seconds = np.diff(ends)
    fastest = np.sort(seconds)[: max(1, len(seconds) // 10)]
    return {
        "timed_steps": len(seconds),
        "triples_per_second": settings.batch_size / float(seconds.mean()),
        "median_step_ms": 1e3 * float(np.median(seconds)),
        "fast_step_ms": 1e3 * float(fastest.mean()),
    }


def ranking(spec: dict[str, Any]) -> dict[str, Any]:
    """Time the filtered ranking of some triples of the large graph, with vectors of a short training."""
    base_mib = _resident_mib(spec["variant"])
    settings, sizes = Settings(**spec["settings"]), (spec["num_entities"], spec["num_relations"])
    triples = large_graph(spec["num_triples"], num_entities=sizes[0], num_relations=sizes[1])
    vectors = _some_vectors(triples, sizes, settings)
    order = np.random.default_rng(EVALUATION_SEED).permutation(len(triples))
    rank = _rank_ours if spec["variant"] == OURS else _rank_pykeen
    gc.collect()
    reset_peak_memory("cpu")
    return rank(spec, triples, order, vectors, settings) | {
        "beyond_imports_mib": peak_memory_mib("cpu") - base_mib
    }


def _some_vectors(triples: Triples, sizes: tuple[int, int], settings: Settings) -> tuple[Tensor, Tensor]:
    draw = epoch_generator(EVALUATION_SEED, 0)
    some = triples[draw.choice(len(triples), 200 * settings.batch_size, replace=False)]
    state = initial_state(num_entities=sizes[0], num_relations=sizes[1], settings=settings, device="cpu")
    trained = train(some, settings.model_copy(update={"epochs": 1, "learning_rate": 0.01}), state)
    return trained.entity_ND, trained.relation_RD


def _rank_ours(
    spec: dict[str, Any],
    triples: Triples,
    order: np.ndarray,
    vectors: tuple[Tensor, Tensor],
    settings: Settings,
) -> dict[str, Any]:
    def rank(count: int) -> tuple[float, float]:
        started = time.perf_counter()
        ranks = rank_triples(
            triples[order[:count]],
            known=triples,
            entity_ND=vectors[0],
            relation_RD=vectors[1],
            norm=settings.norm,
        )
        return time.perf_counter() - started, metrics(ranks)["both"]["realistic"]["mrr"]

    _, mrr = rank(spec["peer_ranked"])  # warms up, and is what PyKEEN's answer is compared with
    seconds, _ = rank(spec["ranked"])
    return {"queries": 2 * spec["ranked"], "queries_per_second": 2 * spec["ranked"] / seconds, "mrr": mrr}


def _rank_pykeen(
    spec: dict[str, Any],
    triples: Triples,
    order: np.ndarray,
    vectors: tuple[Tensor, Tensor],
    settings: Settings,
) -> dict[str, Any]:
    from pykeen.evaluation import RankBasedEvaluator

    sizes = len(vectors[0]), len(vectors[1])
    model, _ = _pykeen(PYKEEN, triples[:10], sizes, settings)
    for part, vector in zip(
        (model.entity_representations, model.relation_representations), vectors, strict=True
    ):
        part[0]._embeddings.weight.data = vector
    mapped = torch.from_numpy(triples.astype(np.int64))
    ranked = mapped[torch.from_numpy(order[: spec["peer_ranked"]])]
    started = time.perf_counter()
    results = RankBasedEvaluator().evaluate(
        model, ranked, batch_size=spec["peer_batch"], additional_filter_triples=[mapped], use_tqdm=False
    )
    seconds = time.perf_counter() - started
    mrr = float(results.get_metric("both.realistic.inverse_harmonic_mean_rank"))
    queries = 2 * spec["peer_ranked"]
    return {"queries": queries, "queries_per_second": queries / seconds, "mrr": mrr}


def floor(spec: dict[str, Any]) -> dict[str, Any]:
    """Measure what training and ranking are bounded by: copying rows, and products of a block."""
    settings, num_entities = Settings(**spec["settings"]), spec["num_entities"]
    triples = large_graph(
        200 * settings.batch_size, num_entities=num_entities, num_relations=spec["num_relations"]
    )
    rows = [
        len(uses(torch.from_numpy(np.concatenate(pairs)[:, [0, 2]].ravel().astype(np.int64))).row_U)
        for pairs in epoch_batches(triples, settings, num_entities=num_entities, known=None, epoch=1)
    ]
    source, target = (
        torch.rand(num_entities, settings.dimension),
        torch.zeros(num_entities, settings.dimension),
    )
    left, right = (
        torch.rand(BLOCK_QUERIES, settings.dimension),
        torch.rand(BLOCK_ENTITIES, settings.dimension),
    )
    copy_seconds = best_seconds(lambda: target.copy_(source), 20, "wall")
    product_seconds = best_seconds(lambda: left @ right.T, 100, "wall")
    return {
        "rows_per_step": float(np.mean(rows)),
        "bytes_per_second": 2 * source.numel() * 4 / copy_seconds,
        "flops_per_second": 2 * left.numel() * len(right) / product_seconds,
    }


KINDS = {
    "quality": quality,
    "sparse_quality": sparse_quality,
    "speed": speed,
    "ranking": ranking,
    "floor": floor,
}
