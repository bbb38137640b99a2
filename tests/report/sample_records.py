"""Builds records by hand for tests of reports: only what a test is about needs to be said."""

from pathlib import Path
from typing import Any, Literal

from kebench.files import hash_of
from kebench.records import (
    Protocol,
    Provenance,
    Record,
    Settings,
    SplitFacts,
    Subset,
    identity_of,
    stem_of,
    write_record,
)
from kebench.scoring.score import Score

NER_TASKS = ("bc5cdr-chem", "bc5cdr-disease", "ncbi-disease", "bc2gm", "jnlpba")
RELATION_TASKS = ("chemprot", "ddi", "gad")
OTHER_TASKS = {  # of BLURB, with kind and metric
    "ebm-pico": ("pico", "word_macro_f1"),
    "biosses": ("similarity", "pearson"),
    "hoc": ("classification", "label_set_f1"),
    "pubmedqa": ("qa", "accuracy"),
    "bioasq": ("qa", "accuracy"),
}


def sample_record(
    model: str = "minilm",
    task: str = "bc5cdr-chem",
    *,
    seed: int = 0,
    rate: float = 5e-5,
    dev: float = 60.0,
    test: float | None = 50.0,
    as_published: float | None = None,
    epochs: int = 3,
    train_rows: int | None = 1000,
    precision: Literal["fp32", "bf16"] = "fp32",
    fidelity: Literal["paper", "released", "fixed"] = "fixed",
    weights: str = "",
    data: str = "",
    seen: tuple[int, int] | None = None,
) -> Record:
    """Return one record. weights, data: stand for other weights or data files under the same name.

    test: None for a test set without gold. seen: of how many test examples how many stand in train or dev.
    """
    is_ner = task.removeprefix("mini-") in NER_TASKS
    kind, metric = ("ner", "entity_f1") if is_ner else ("relation", "micro_f1")
    if task in OTHER_TASKS:
        kind, metric = OTHER_TASKS[task]
    settings = Settings(
        learning_rate=rate,
        epochs=epochs,
        batch_size=16,
        patience=3,
        warmup_fraction=0.1,
        weight_decay=0.0,
        max_grad_norm=1.0,
        order="length-pools",
        max_length=512 if is_ner else 256,
    )
    protocol = Protocol(
        version=1,
        budget="quick",
        fidelity=fidelity,
        metric=metric,
        precision=precision,
        subset=Subset(train_rows=train_rows, dev_rows=500),
    )
    identifying: dict[str, Any] = {
        "model_hash": hash_of(model + weights),
        "task_version": 1,
        "task_hash": hash_of(task + data),
        "seed": seed,
        "settings": settings,
        "protocol": protocol,
    }
    return Record(
        schema=2,
        kind=kind,
        identity=identity_of(**identifying),
        model=model,
        task=task,
        **identifying,
        dev=_score(dev, None, is_ner=is_ner),
        test=_score(test, as_published, is_ner=is_ner),
        best_epoch=1,
        dev_percent_by_epoch=(dev,),
        train_loss_by_epoch=(0.1,),
        provenance=Provenance(
            kebench_version="0",
            commit="",
            packages={},
            device="cpu",
            num_processes=1,
            started_utc="2026-01-01T00:00:00Z",
            seconds=1.0,
            peak_mib=1.0,
        ),
        splits={} if seen is None else {"test": SplitFacts(num_examples=seen[1], num_seen=seen[0])},
    )


def _score(percent: float | None, as_published: float | None, *, is_ner: bool) -> Score:
    published = percent if as_published is None else as_published
    return Score(
        score_percent=percent,
        details={
            "precision_percent": percent,
            "recall_percent": percent,
            "num_gold": 0 if percent is None else 10,
            "num_predicted": 10,
            "num_correct": 5,
        },
        further={"entity_f1_lenient": published} if is_ner else {},
        num_examples=10,
        num_cut=0,
    )


def sample_grid() -> list[Record]:
    """Return two models on the eight tasks over three seeds, with deviations of exactly 1.

    Seeds 0, 1, 2 score m - 1, m, m + 1. minilm's means are 70, 71 ... 77 in table order, bert-tiny's
    60 on every task but GAD, where it has 80.
    """
    records = []
    for place, task in enumerate((*NER_TASKS, *RELATION_TASKS)):
        means = {"minilm": 70.0 + place, "bert-tiny": 80.0 if task == "gad" else 60.0}
        for model, mean in means.items():
            records += [
                sample_record(
                    model, task, seed=seed, rate=1e-3, test=mean - 1 + seed, as_published=mean + seed
                )
                for seed in range(3)
            ]
    return records


def write_sample(out: Path, records: list[Record]) -> None:
    """Write records where `kebench run` would."""
    for record in records:
        stem = stem_of(out, record)
        stem.parent.mkdir(parents=True, exist_ok=True)
        write_record(stem, record, {"dev": {}, "test": {}})
