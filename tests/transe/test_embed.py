"""`kebench embed` from end to end: what it writes, that it goes on after a kill, and what it refuses."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from click.testing import CliRunner, Result

from kebench.cli import kebench
from kebench.errors import UserError
from kebench.files import sha256_of
from kebench.leases import lease
from kebench.mini.release import write_release
from kebench.mini.world import load_world
from kebench.transe import embed as embed_module
from kebench.transe.embed import KeptState, make_embeddings, plan_embeddings
from kebench.transe.embeddings import EntityEmbeddings, read_embeddings_card
from kebench.transe.train import initial_state, train
from kebench.umls.filters import Filters
from kebench.umls.importing import import_release
from kebench.umls.rrf import find_release
from tests.grids import KILLED, Place, finish
from tests.transe.graphs import grid, settings, tree, write_triples

RECIPE = """extends = "transe"
dimension = 8
batch_size = 64
epochs = 4
held_out_share = 0.2
"""
COMMAND = ["embed", "facts", "--out", "out", "--recipe", "small.toml"]
HITS = ["Hits@1", "Hits@3", "Hits@10"]
CRASHES = [
    f"{name}.{moment}"
    for name in ("lease", "embedding-state", "embeddings")
    for moment in ("written", "renamed")
]


def fill(folder: Path) -> Path:
    """Write a recipe and the triples of 60 entities into a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "small.toml").write_text(RECIPE)
    return write_triples(folder / "facts" / "train.txt", tree(60)).parent


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of triples in the working folder; the cache is empty."""
    monkeypatch.setenv("KEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return fill(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a place where the command ran to its end at once."""
    place = Place(tmp_path_factory.mktemp("undisturbed"))
    fill(place.folder)
    assert finish(place, [*COMMAND, "--evaluate"]) == 0, place.log
    return place


def run(*options: str) -> Result:
    return CliRunner().invoke(kebench, [*COMMAND, *options], catch_exceptions=False)


def make(source: Path, out: Path, *, evaluate: bool = False, **changes: Any) -> None:
    plan = plan_embeddings(source, settings(**changes), evaluate=evaluate)
    make_embeddings(plan, out, source=source.name, device="cpu")


def test_embeddings_are_read_as_they_were_made(source: Path) -> None:
    make(source, Path("out"))
    opened = EntityEmbeddings.open(Path("out"))
    assert opened.entity_ND.shape == (59, 8)
    assert opened.relation_RD.shape == (3, 8)
    assert opened.cuis.to_pylist() == sorted(f"c{n}" for n in range(1, 60))
    assert opened.relations.to_pylist() == ["beside", "child_of", "parent_of"]
    assert opened.card.num_triples == {"train": len(set(tree(60)))}
    assert opened.card.evaluation is None
    assert len(opened.card.loss_by_epoch) == 3
    assert opened.card.provenance.kebench_version
    length = torch.linalg.vector_norm(opened.entity_ND, dim=1)
    torch.testing.assert_close(length, torch.ones(59), rtol=0, atol=1e-6)


def test_rows_are_found_by_cui(source: Path) -> None:
    make(source, Path("out"))
    opened = EntityEmbeddings.open(Path("out"))
    rows = opened.rows(pa.array(["c10", "nowhere", "c1"]))
    assert rows.tolist() == [opened.cuis.to_pylist().index("c10"), -1, 0]


@pytest.mark.parametrize("part", ["embeddings.json", "embeddings.safetensors", "entities.parquet"])
def test_a_missing_or_cut_part_is_refused(source: Path, part: str) -> None:
    make(source, Path("out"))
    whole = Path("out", part).read_bytes()
    Path("out", part).write_bytes(whole[:-20])
    with pytest.raises(UserError, match=f"out/{part}: .*; remove the folder and run 'kebench embed' again"):
        EntityEmbeddings.open(Path("out"))
    Path("out", part).unlink()
    with pytest.raises(UserError, match=f"out/{part}: cannot be read"):
        EntityEmbeddings.open(Path("out"))


def test_embeddings_with_other_names_are_refused(source: Path) -> None:
    make(source, Path("out"))
    shutil.copy("out/relations.parquet", "out/entities.parquet")
    with pytest.raises(UserError, match="vectors and names do not fit"):
        EntityEmbeddings.open(Path("out"))


def test_the_command_says_what_it_chose_and_prints_the_numbers(source: Path) -> None:
    result = run("--evaluate", "--seed", "3")
    assert result.exit_code == 0
    said = result.stderr.splitlines()
    assert said[0] == "graph: 59 entities, 3 relations"
    assert said[1].startswith("training on ")
    assert said[1].endswith(" test (--evaluate)")
    assert said[2].startswith("recipe small.toml: dimension 8, L2, margin ")
    assert said[3].endswith("seed 3")
    assert said[4] == "device cpu (no CUDA found)"
    printed = result.stdout.splitlines()
    assert printed[0].startswith("out: 59 entities, 3 relations, dimension 8, loss ")
    assert printed[1].split() == ["split", "asked", "for", "ties", "MRR", *HITS, "mean", "rank"]
    assert [line.split()[:3] for line in printed[2:7]] == [
        ["test", "head", "realistic"],
        ["test", "tail", "realistic"],
        ["test", "both", "optimistic"],
        ["test", "both", "realistic"],
        ["test", "both", "pessimistic"],
    ]
    assert max(map(len, printed)) <= 80


def test_without_evaluation_it_says_that_nothing_is_held_out(source: Path) -> None:
    write_triples(source / "test.txt", [("c1", "beside", "c7")])
    result = run()
    assert f"training on {len(set(tree(60))) + 1} triples; nothing held out (no --evaluate)" in result.stderr
    assert "not evaluated; pass --evaluate" in result.stdout


def test_a_second_call_has_nothing_to_do_and_prints_the_same(source: Path) -> None:
    first, before = run("--evaluate"), sha256_of(Path("out/embeddings.json"))
    second = run("--evaluate")
    assert second.stderr == "nothing to do: out holds these embeddings\n"
    assert second.stdout == first.stdout
    assert sha256_of(Path("out/embeddings.json")) == before


def test_logging_shows_each_epoch_s_loss_and_moves_no_vector(source: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for out, options in {"out": ("--log", "tensorboard"), "alone": ()}.items():
        assert run("--out", out, *options).exit_code == 0
    events = accumulator.EventAccumulator(str(Path("logs", "tensorboard", "out")))
    events.Reload()
    losses = read_embeddings_card(Path("out")).loss_by_epoch
    logged = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert logged == [(epoch, pytest.approx(loss)) for epoch, loss in enumerate(losses, start=1)]
    assert all(event.value > 0 for event in events.Scalars("train/triples_per_second"))
    tables = [Path(out, "embeddings.safetensors").read_bytes() for out in ("out", "alone")]
    assert tables[0] == tables[1]


def test_triples_of_train_are_not_ranked_and_stand_in_the_card(source: Path) -> None:
    lines = (source / "train.txt").read_text().splitlines(keepends=True)
    (source / "test.txt").write_text("c2\tbeside\tc9\n")
    clean, clean_name = (
        run("--evaluate", "--out", "clean"),
        plan_embeddings(source, settings(), evaluate=True),
    )
    assert clean.exit_code == 0
    (source / "test.txt").write_text("".join(["c2\tbeside\tc9\n", *lines[:5]]))
    result = run("--evaluate")
    assert "held out: 1 test (--evaluate)" in result.stderr
    for text in (result.stderr, result.stdout):
        assert "left out of test: 5 that stand in train.txt\n" in text
    card, of_clean = (read_embeddings_card(Path(name)) for name in ("out", "clean"))
    assert card.left_out == {"test": {"in_train": 5}}
    assert (of_clean.left_out, of_clean.pairs_in_train) == ({}, {"test": 0})
    assert card.evaluation == of_clean.evaluation
    assert clean_name.identity != plan_embeddings(source, settings(), evaluate=True).identity
    without = plan_embeddings(source, settings(), evaluate=False)
    assert without.graph.left_out == {}


def test_a_test_split_that_stands_in_train_is_refused(source: Path) -> None:
    lines = (source / "train.txt").read_text().splitlines(keepends=True)
    (source / "test.txt").write_text("".join([lines[0], *lines[:5]]))
    with pytest.raises(UserError) as caught:
        run("--evaluate")
    assert str(caught.value) == (
        "facts/test.txt: no triple is left to rank; left out: 1 repeated in the file, "
        "5 that stand in train.txt; mend or remove the file, or leave out --evaluate"
    )
    assert run().exit_code == 0


def test_pairs_that_train_joins_otherwise_are_ranked_and_counted(source: Path) -> None:
    (source / "test.txt").write_text("c9\tchild_of\tc8\nc2\tbeside\tc9\n")
    result = run("--evaluate")
    line = "test: 1 of 2 triples join a pair that train joins too (any relation)"
    assert line in result.stderr.splitlines()
    assert line in result.stdout.splitlines()
    assert read_embeddings_card(Path("out")).pairs_in_train == {"test": 1}


@pytest.mark.parametrize("options", [("--seed", "1"), ("--evaluate",), ("--epochs", "5")])
def test_other_embeddings_are_never_overwritten(source: Path, options: tuple[str, ...]) -> None:
    run()
    with pytest.raises(UserError) as caught:
        run(*options)
    assert str(caught.value) == (
        "out: holds embeddings made from other triples or settings; choose another --out or remove it"
    )


def test_a_folder_of_something_else_is_left_alone(source: Path) -> None:
    Path("out").mkdir()
    with pytest.raises(UserError, match=r"out/embeddings.json: cannot be read .*; name a folder made by"):
        run()


def test_the_share_that_is_held_out_does_not_name_embeddings_of_everything(source: Path) -> None:
    plans = [
        plan_embeddings(source, settings(held_out_share=share), evaluate=evaluate).identity
        for evaluate in (False, True)
        for share in (0.2, 0.3)
    ]
    assert plans[0] == plans[1]
    assert len(set(plans)) == 3


def test_two_processes_do_not_make_the_same_embeddings(source: Path) -> None:
    plan = plan_embeddings(source, settings(), evaluate=False)
    with (
        lease(Path("cache/embeddings", f"{plan.identity[:16]}.running")),
        pytest.raises(UserError, match="out: another process is making these embeddings"),
    ):
        make_embeddings(plan, Path("out"), source="facts", device="cpu")


def test_a_single_entity_is_refused(source: Path) -> None:
    write_triples(source / "train.txt", [("a", "likes", "a")])
    with pytest.raises(UserError, match="facts: a single entity; an embedding needs at least two"):
        run()


@pytest.mark.parametrize("crash_at", CRASHES)
def test_killed_anywhere_it_ends_with_the_same_vectors(
    crash_at: str, undisturbed: Place, tmp_path: Path
) -> None:
    place = Place(tmp_path)
    fill(place.folder)
    command = [*COMMAND, "--evaluate"]
    assert finish(place, command, crash_at=crash_at) == KILLED, place.log
    assert place.out.exists() == (crash_at == "embeddings.renamed")
    assert finish(place, command) == 0, place.log
    for name in ("embeddings.safetensors", "entities.parquet", "relations.parquet"):
        assert sha256_of(place.out / name) == sha256_of(undisturbed.out / name)
    ours, theirs = read_embeddings_card(place.out), read_embeddings_card(undisturbed.out)
    assert ours.loss_by_epoch == theirs.loss_by_epoch
    assert ours.evaluation == theirs.evaluation
    assert bool(ours.resumed_after_epoch) == (crash_at in ("embedding-state.renamed", "embeddings.written"))


def test_the_newest_state_replaces_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_module, "TRAINING_PER_SAVING", 0)
    kept, chosen = KeptState(tmp_path / "kept"), settings(epochs=3)
    first = initial_state(num_entities=16, num_relations=3, settings=chosen, device="cpu")
    trained = train(grid(4), chosen, first, after_epoch=kept.save_if_due)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["epoch-00003"]
    loaded = kept.load(device="cpu")
    assert loaded is not None
    assert loaded.loss_by_epoch == trained.loss_by_epoch


def test_an_unreadable_state_is_said_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    epoch = tmp_path / "kept" / "epoch-00001"
    epoch.mkdir(parents=True)
    (epoch / "tables.safetensors").write_bytes(b"cut")
    assert KeptState(tmp_path / "kept").load(device="cpu") is None
    assert caplog.messages[0].startswith(f"{epoch}: unreadable (")
    assert caplog.messages[0].endswith("; training from the start")


def test_the_miniature_is_embedded_from_its_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "release").mkdir()
    write_release(load_world(), tmp_path / "release")
    import_release(find_release(tmp_path / "release"), tmp_path / "kb", filters=Filters())
    command = ["kb", "--out", "out", "--recipe", "transe-mini", "--evaluate", "--epochs", "20"]
    assert CliRunner().invoke(kebench, ["embed", *command], catch_exceptions=False).exit_code == 0
    card = EntityEmbeddings.open(Path("out")).card
    assert card.num_entities == 558  # two concepts stand in no triple
    assert sum(card.num_triples.values()) == 2 * 1209
    assert card.num_triples["test"] % 2 == 0, "the two directions of a fact were parted"
    assert card.evaluation is not None
    assert card.evaluation["test"]["both"]["realistic"]["mrr"] > 0.1  # chance: 0.012
