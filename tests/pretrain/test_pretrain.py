"""`kebench pretrain` from end to end: what it writes, that it goes on after a kill, and what it refuses."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file

from kebench.cli import kebench
from kebench.errors import UserError
from kebench.finetune.plan import read_budget
from kebench.leases import lease
from kebench.model.checkpoint import load_encoder, load_masked_lm, load_tokenizer
from kebench.model.source import model_hash, resolve_model, write_suggested
from kebench.pretrain.card import read_card
from kebench.pretrain.curve import CURVES, read_curve
from kebench.pretrain.plan import plan_pretraining
from kebench.pretrain.recipe import SHELF, difference, read_recipe
from kebench.pretrain.run import state_folder
from kebench.run import rates_of
from kebench.transe.embeddings import read_names, write_names
from tests.grids import KILLED, Place, finish
from tests.pretrain.conftest import SMALL, World, plan_of, resolved
from tests.tiny_checkpoints import write_tiny_lm

RECIPE = 'extends = "kebiolm-mini"\nlabel = "small"\n' + "".join(
    f"{name} = {value}\n" for name, value in SMALL.items()
)
CRASHES = [
    f"{name}.{moment}:{count}"
    for name, count in (
        ("sequences", 2),
        ("pretraining-state", 1),
        ("pretraining-state", 2),
        ("pretrained", 1),
    )
    for moment in ("written", "renamed")
]


def command(world: World, recipe: str = "small.toml", *options: Any) -> list[str]:
    return ["pretrain", recipe, "--corpus", str(world.corpus), "--entities", str(world.entities),
            "--backbone", str(world.backbone), "--out", "out", *map(str, options)]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(RECIPE)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(kebench, list(arguments), catch_exceptions=False)


def filled(folder: Path) -> Place:
    folder.mkdir(exist_ok=True)
    (folder / "small.toml").write_text(RECIPE.replace("dropout = 0.0", "dropout = 0.2"))
    return Place(folder)


@pytest.fixture(scope="module")
def undisturbed(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    there = filled(tmp_path_factory.mktemp("undisturbed"))
    assert finish(there, command(world)) == 0, there.log
    return there.folder / "out"


def test_logging_shows_the_curve_and_moves_no_weight(place: Path, world: World) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert run(*command(world)).exit_code == 0
    assert run(*command(world), "--out", "logged", "--log", "tensorboard", "--log-dir", "l").exit_code == 0
    events = accumulator.EventAccumulator("l/tensorboard/logged")
    events.Reload()
    rows = read_curve(Path("logged", CURVES))
    logged = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert logged == [(row["step"], pytest.approx(row["loss"])) for row in rows]
    assert {"train/learning_rate", "train/tokens_per_second", "held_out/perplexity"} <= set(
        events.Tags()["scalars"]
    )
    weights = [Path(out, "model.safetensors").read_bytes() for out in ("out", "logged")]
    assert weights[0] == weights[1]


def test_a_backbone_that_is_no_encoder_is_refused(place: Path, world: World) -> None:
    folder = write_tiny_lm(place / "gpt", "gpt2")
    with pytest.raises(UserError, match=r"a 'gpt2', a causal language model; .* 'kebench probe rank'"):
        run(*command(world), "--backbone", str(folder))
    assert not Path("out").exists()


def test_the_checkpoint_is_one_like_any_other(place: Path, world: World) -> None:
    result = run(*command(world))
    assert result.exit_code == 0
    assert "recipe small.toml (small); backbone bert" in result.stderr
    assert "checkpoint: out" in result.stdout
    assert max(map(len, result.output.splitlines())) <= 80
    out = Path("out")
    model = load_masked_lm(out)
    assert model.config.model_type == "kebiolm"
    assert (model.config.num_context_layers, model.config.max_candidate_entities) == (1, 5)
    assert load_encoder(out).config.num_entities == model.config.num_entities
    assert load_tokenizer(out).mask_token == "[MASK]"
    cuis = pyarrow.parquet.read_table(out / "entities.parquet")["cui"].to_pylist()
    assert len(cuis) == model.config.num_entities
    card = read_card(out)
    assert (card.recipe, card.settings.label, card.steps) == ("small.toml", "small", 6)
    assert set(card.held_out) == {
        "perplexity", "mlm_accuracy_percent", "mention_f1_percent", "linking_accuracy_percent",
    }  # fmt: skip
    assert card.num_entities == len(cuis)
    curve = [json.loads(line) for line in (out / "curves.jsonl").read_text().splitlines()]
    assert [row["step"] for row in curve] == [1, 2, 3, 4, 5, 6]
    assert [("perplexity" in row) for row in curve] == [False, False, True, False, False, True]
    assert curve[0]["loss"] == pytest.approx(sum(curve[0][part] for part in ("mlm", "detection", "linking")))
    assert "nothing to do: out holds this model" in run(*command(world)).stderr
    assert run("model", "convert", "out", "--to", "released", "--out", "old").exit_code == 0


@pytest.mark.parametrize("recipe", ["kebiolm-rand-mini", "kebiolm-12-0-mini", "continued-mini"])
def test_variants_come_out_whole(recipe: str, place: Path, world: World) -> None:
    small = ("--steps", 2, "--batch-size", 4, "--max-tokens", 64, "--entity-size", 8)
    assert run(*command(world, recipe, *small)).exit_code == 0
    assert load_masked_lm(Path("out")).config.model_type == ("bert" if "continued" in recipe else "kebiolm")
    card = read_card(Path("out"))
    assert card.drawn_entities == (card.num_entities if "rand" in recipe else card.drawn_entities)
    assert (card.embeddings is None) == (recipe in ("kebiolm-rand-mini", "continued-mini"))


def test_a_checkpoint_inherits_what_its_backbone_s_card_suggests(place: Path, world: World) -> None:
    Path("baselines").mkdir()
    Path("baselines/small-bert.toml").write_text(
        f'name = "small-bert"\ntitle = "small"\nfamily = "bert"\nsource = "path:{world.backbone}"\n'
        'casing = "uncased"\nlicence = "MIT"\ncitation = "ours"\n'
        '[suggested]\nlearning_rates = [1e-3]\nreason = "tiny"\n'
    )
    shared = ["--corpus", str(world.corpus), "--entities", str(world.entities), "--steps", "1"]
    run("pretrain", "small.toml", *shared, "--backbone", "small-bert", "--out", "made")
    said = {"learning_rates": [1e-3], "reason": "tiny", "origin": "small-bert"}
    assert json.loads(Path("made/suggested.json").read_text()) == said
    made = resolve_model("./made")
    assert rates_of(made.card, read_budget("quick", {}), ()) == ((1e-3,), "card")
    # what is made of it in turn inherits from the model with the card
    backbone = made.card.suggested
    assert backbone
    write_suggested(backbone, place, origin="made")
    assert json.loads((place / "suggested.json").read_text()) == said
    # which model it is stays a matter of weights, tokenizer and configuration alone
    before = model_hash(made.folder)
    Path("made/suggested.json").write_text('{"learning_rates": [5], "reason": ""}')
    with pytest.raises(UserError, match=r"suggested.json: learning_rates.0: .*0.1; mend or remove it"):
        resolve_model("./made")
    Path("made/suggested.json").unlink()
    assert resolve_model("./made").card.suggested is None
    assert model_hash(made.folder) == before


@pytest.mark.slow
@pytest.mark.parametrize("crash", CRASHES)
def test_a_killed_pretraining_ends_with_the_weights_of_an_undisturbed_one(
    crash: str, world: World, undisturbed: Path, tmp_path: Path
) -> None:
    there = filled(tmp_path / "there")
    assert finish(there, command(world), crash_at=crash) == KILLED
    assert finish(there, command(world)) == 0, there.log
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (there.folder / "out", undisturbed))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    losses = [
        [json.loads(line)["loss"] for line in (folder / "curves.jsonl").read_text().splitlines()]
        for folder in (there.folder / "out", undisturbed)
    ]
    assert losses[0] == losses[1]
    assert [path.name for path in (there.cache / "pretraining").iterdir()] == []
    if crash == "pretraining-state.renamed:2":
        assert read_card(there.folder / "out").resumed_after_step == 4


@pytest.mark.slow
def test_two_processes_that_were_killed_end_where_one_does(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Place(tmp_path / "there")
    for folder in (there.folder, tmp_path / "one"):
        folder.mkdir()
        (folder / "small.toml").write_text(RECIPE)

    def launch(crash_at: str) -> int:
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", free_port()]
        environment = os.environ | {
            "KEBENCH_CACHE": str(there.cache), "KEBENCH_CRASH_AT": crash_at, "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, *launcher, "-m", "kebench", *command(world), "--device", "cpu"],
            cwd=there.folder, env=environment, capture_output=True, check=False,
        ).returncode  # fmt: skip

    assert launch("pretraining-state.renamed:1") != 0
    assert launch("") == 0
    assert read_card(there.folder / "out").resumed_after_step == 2
    monkeypatch.chdir(tmp_path / "one")
    assert run(*command(world)).exit_code == 0
    curves = [
        [json.loads(line)["loss"] for line in (folder / "out" / "curves.jsonl").read_text().splitlines()]
        for folder in (there.folder, tmp_path / "one")
    ]
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


@pytest.mark.slow
def test_a_damaged_state_is_passed_over_for_the_one_before(
    world: World, undisturbed: Path, tmp_path: Path
) -> None:
    there = filled(tmp_path / "there")
    assert finish(there, command(world), crash_at="pretraining-state.renamed:2") == KILLED
    (folder,) = (there.cache / "pretraining").glob("*/step-0000004")
    (folder / "optimizer.pt").write_bytes(b"cut off")
    assert finish(there, command(world)) == 0, there.log
    assert "unreadable" in there.log
    assert read_card(there.folder / "out").resumed_after_step == 2
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (there.folder / "out", undisturbed))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_what_does_not_move_weights_is_not_in_the_identity(world: World) -> None:
    plan = plan_of(world)
    assert plan_of(world, checkpoint_every=1, evaluate_every=1, label="x").identity == plan.identity
    moves_nothing = {"label", "evaluate_every", "checkpoint_every", "keep_checkpoints", "held_out_sequences"}
    moves_nothing |= {"gradient_checkpointing", "compile"}
    others: dict[str, Any] = {"architecture": "backbone", "entities": "random", "masking_unit": "word"}
    for name, value in plan.settings.model_dump().items():
        number = value if isinstance(value, int | float) else 0
        other = others.get(name, not value if isinstance(value, bool) else number + 1)
        changed = plan._replace(settings=plan.settings.model_copy(update={name: other}))
        assert (changed.identity == plan.identity) == (name in moves_nothing), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("kebiolm-mni",), "no recipe 'kebiolm-mni'; did you mean 'kebiolm-mini'?"),
        (("kebiolm",), "max_tokens = 512, and bert takes 128; pass --max-tokens 128"),
        (
            ("kebiolm-mini",),
            "vectors of dimension 8, and 'kebiolm-mini' has entity_size = 100; embed again with",
        ),
        (
            ("small.toml", "--context-layers", "3"),
            "context_layers = 3, and bert has 2 layers; pass --context-layers 0 to 2",
        ),
        (("small.toml", "--corpus", "nowhere"), "nowhere is no linked corpus"),
        (("small.toml", "--entities", "nowhere"), "nowhere/embeddings.json: cannot be read"),
        (("small.toml", "--backbone", "nowhere"), "no model 'nowhere'"),
        (
            ("small.toml", "--batch-size", "0"),
            "--batch-size 0: Input should be greater than or equal to 1; pass",
        ),
        (("small.toml", "--epochs", "2", "--steps", "3"), "--epochs and --steps: each says how long"),
        (("small.toml", "--out", "small.toml"), "small.toml: exists and is no pretrained checkpoint"),
        (("small.toml", "--out", "small.toml/out"), "small.toml/out: cannot be made (File exists)"),
    ],
)
def test_what_does_not_fit_is_refused(
    options: tuple[str, ...], message: str, place: Path, world: World
) -> None:
    with pytest.raises(UserError) as error:
        run(*command(world, *options))
    assert message in str(error.value)
    assert not Path("out").exists()


def test_a_recipe_with_vectors_asks_for_them(world: World) -> None:
    with pytest.raises(UserError, match="starts from entity vectors; name those of 'kebench embed' by --ent"):
        plan_pretraining(
            "kebiolm-mini", read_recipe("kebiolm-mini", **SMALL), corpus=world.corpus, embeddings=None,
            backbone=resolved(world.backbone),
        )  # fmt: skip


def test_another_model_in_out_and_another_process_at_work_are_refused(place: Path, world: World) -> None:
    with lease(state_folder(plan_of(world, dropout=0.0)).with_suffix(".running")) as is_ours:
        assert is_ours
        with pytest.raises(UserError, match="another process is at this pretraining"):
            run(*command(world))
    assert run(*command(world)).exit_code == 0
    with pytest.raises(UserError, match="out: holds a model pretrained in another way; choose another --out"):
        run(*command(world, "small.toml", "--seed", 1))


def test_a_mini_twin_changes_what_its_recipe_changes() -> None:
    names = [name for name in SHELF.paths() if not name.endswith("-mini")]
    assert len(names) == 7
    for name in names:
        full, mini = set(difference(name)), set(difference(f"{name}-mini"))
        assert full == mini, name
        assert len(full) <= 2  # the label and one thing


def test_recipes_are_listed_and_shown_with_their_difference() -> None:
    listed = run("recipe", "list").stdout
    assert "kebiolm-no-wem       -wem       kebiolm       masking_unit word" in listed
    shown = run("recipe", "show", "kebiolm-frz").stdout
    assert shown.startswith("Entity vectors stay as TransE made them (sec. 4.5, c).\n\nlabel")
    assert "freeze_entities          true   # kebiolm: false" in shown
    assert shown.endswith("kebiolm-frz extends kebiolm and changes label, freeze_entities\n")
    stated = json.loads(run("recipe", "show", "kebiolm-4-8", "--format", "json").stdout)
    assert stated["changes"]["context_layers"] == {"base": 8, "this": 4}
    assert max(map(len, (listed + shown).splitlines())) <= 80


def test_an_empty_folder_is_taken_for_the_checkpoint(place: Path, world: World) -> None:
    Path("out").mkdir()
    run(*command(world))
    assert read_card(Path("out")).steps == read_recipe("small.toml").steps


def test_epochs_that_are_asked_for_count_where_the_recipe_states_steps() -> None:
    assert (read_recipe("kebiolm-mini").steps, read_recipe("kebiolm-mini", epochs=3).steps) == (150, 0)


def test_vectors_of_another_knowledge_base_are_refused(place: Path, world: World, tmp_path: Path) -> None:
    strange = strange_vectors(world, tmp_path / "strange", share=0.0)
    with pytest.raises(
        UserError, match=r"no vector for any of the corpus's [\d,]+ CUIs; name those that were"
    ):
        run(*command(world, "small.toml", "--entities", strange))


def test_few_vectors_are_warned_of(
    place: Path, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(*command(world, "small.toml", "--entities", strange_vectors(world, tmp_path / "few", share=0.2)))
    assert any("are they of the same knowledge base?" in one.getMessage() for one in caplog.records)


def strange_vectors(world: World, folder: Path, *, share: float) -> Path:
    """Copy vectors, and give all but a share of the entities other names."""
    shutil.copytree(world.entities, folder)
    path = folder / "entities.parquet"
    names = read_names(path).to_pylist()
    kept = round(share * len(names))
    changed = [name if place < kept else f"X{name}" for place, name in enumerate(names)]
    write_names(path, "cui", pyarrow.array(changed))
    return folder
