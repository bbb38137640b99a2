"""A small world to pretrain in: part of the miniature's corpus, linked, its vectors, and a tiny BERT."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from kebench.cli import kebench
from kebench.corpus.linked import LinkedCorpus
from kebench.mini.abstracts import make_abstracts
from kebench.mini.release import write_release
from kebench.mini.world import load_world
from kebench.model.source import ResolvedModel, card_of_source, resolve_model
from kebench.pretrain.plan import PretrainingPlan, plan_pretraining
from kebench.pretrain.recipe import read_recipe
from tests.tiny_checkpoints import write_tiny_bert

SMALL: dict[str, Any] = {
    "max_tokens": 64, "batch_size": 8, "entity_size": 8, "candidates": 5, "steps": 6, "dropout": 0.0,
    "held_out_share": 0.1, "held_out_sequences": 8, "evaluate_every": 3, "checkpoint_every": 2,
}  # fmt: skip


class World(NamedTuple):
    """Folders of a corpus, vectors and a backbone."""

    corpus: Path
    entities: Path
    backbone: Path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("pretrain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEBENCH_CACHE", str(folder / "cache"))
        return _make_world(folder)


def _make_world(folder: Path) -> World:
    world = load_world()
    (folder / "release").mkdir()
    write_release(world, folder / "release")
    abstracts = list(make_abstracts(world, seed=0, forbidden=(), rounds=1))[:90]
    lines = [json.dumps(one.as_json()) for one in abstracts]
    (folder / "texts.jsonl").write_text("\n".join(lines))
    run("kb", "import", folder / "release", "--out", folder / "kb")
    run("annotate", folder / "texts.jsonl", "--kb", folder / "kb", "--linker", "gold",
        "--out", folder / "corpus", "--shard-documents", 40)  # fmt: skip
    run("embed", folder / "kb", "--out", folder / "entities", "--recipe", "transe-mini", "--epochs", 1,
        "--dimension", 8)  # fmt: skip
    write_tiny_bert(folder / "bert")
    return World(folder / "corpus", folder / "entities", folder / "bert")


def run(*command: Any) -> None:
    result = CliRunner().invoke(kebench, [str(part) for part in command], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def resolved(folder: Path) -> ResolvedModel:
    return resolve_model(card_of_source(f"path:{folder}"))


def plan_of(world: World, recipe: str = "kebiolm-mini", **changes: Any) -> PretrainingPlan:
    settings = read_recipe(recipe, **SMALL | changes)
    return plan_pretraining(
        recipe, settings, corpus=world.corpus, embeddings=world.entities, backbone=resolved(world.backbone)
    )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep sequences once a session: they are the same for every test here."""
    monkeypatch.setenv("KEBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def corpus(world: World) -> LinkedCorpus:
    return LinkedCorpus.open(world.corpus)
