"""Two small tasks, one of each kind, that a tiny random encoder can learn something of, and jobs on them."""

import random
from pathlib import Path

from kebench.cards import ModelCard
from kebench.finetune.plan import Job, find_task_files
from kebench.kinds.card import TaskCard
from kebench.kinds.ner import NerCard
from kebench.kinds.relation import RelationCard
from kebench.model.source import model_hash
from kebench.records import PROTOCOL_VERSION, Protocol, Settings, Subset

SHARED = {
    "title": "small",
    "version": 1,
    "suite": "small",
    "max_length": 24,
    "licence": "Apache-2.0",
    "citation": "ours",
    "access": {"kind": "registration", "instructions": "none"},
}
NER = NerCard(
    name="small-ner", kind="ner", format="iob", folders=("small-ner",), metric="entity_f1", **SHARED
)
RELATION = RelationCard(
    name="small-relation",
    kind="relation",
    format="pairs",
    folders=("small-relation",),
    metric="micro_f1",
    labels=("false", "treats"),
    negative="false",
    markers=("@DRUG$", "@DISEASE$", "@DRUG-DISEASE$"),
    merged_markers=("@DRUG-DISEASE$",),
    **SHARED,
)


def write_small_tasks(data: Path) -> Path:
    """Write both tasks; in NER "cancer" and "disease" are the entities, in relations "for" decides."""
    draw = random.Random(0)
    for split, size in (("train", 48), ("dev", 16), ("test", 16)):
        _write(data / "small-ner" / f"{split}.tsv", [_sentence(draw) for _ in range(size)])
        _write(data / "small-relation" / f"{split}.tsv", [_pair(draw, row) for row in range(size)])
    return data


def _write(path: Path, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _sentence(draw: random.Random) -> str:
    words = [
        draw.choice(["the", "protein", "was", "in", "cancer", "disease"]) for _ in range(draw.randint(2, 9))
    ]
    return "".join(f"{word}\t{'B' if word in ('cancer', 'disease') else 'O'}\n" for word in words)


def _pair(draw: random.Random, row: int) -> str:
    label = draw.choice(["false", "treats"])
    return f"id{row}\t@DRUG$ was {'for' if label == 'treats' else 'in'} the @DISEASE$\t{label}"


def job_on(card: TaskCard, data: Path, folder: Path, *, family: str = "bert", **changes: object) -> Job:
    """Return a job of two epochs; `changes` are settings, `seed` or `subset`."""
    seed, subset = changes.pop("seed", 0), changes.pop("subset", Subset())
    settings = {
        "learning_rate": 1e-2, "epochs": 2, "batch_size": 16, "patience": 0, "warmup_fraction": 0.1,
        "weight_decay": 0.0, "max_grad_norm": 1.0, "order": "shuffled", "max_length": card.max_length,
    }  # fmt: skip
    protocol = Protocol(
        version=PROTOCOL_VERSION,
        budget="test",
        fidelity="fixed",
        metric=card.metric,
        precision="fp32",
        subset=subset,
    )
    return Job(
        model_card(folder.name, family),
        folder,
        model_hash(folder, casing="uncased"),
        find_task_files(card, data),
        int(str(seed)),
        Settings.model_validate(settings | changes),
        protocol,
    )


def model_card(name: str, family: str) -> ModelCard:
    """Return a card for a tiny checkpoint."""
    return ModelCard(
        name=name, title=name, family=family, source="path:x", casing="uncased", mlm_head=None,
        licence="Apache-2.0", citation="ours",
    )  # fmt: skip
