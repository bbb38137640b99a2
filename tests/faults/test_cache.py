"""A damaged entry of the cache is noticed and made again; a checkpoint that changed is another model."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kebench.records import read_record, record_paths
from tests.faults.pipeline import STAGES, copy_place
from tests.grids import KILLED, Place, finish

pytestmark = pytest.mark.slow
CACHED = {
    "features": ("run", "features/*.npz", ""),
    "sequences": ("pretrain", "sequences/*/*/train.arrow", ""),
    "counts of sequences": ("pretrain", "sequences/*/corpus/sequences.json", ""),
    "miniature's data": ("run", "mini/world-*/tasks/mini-gad/train.tsv", ""),
    "miniature's release": ("kb", "mini/world-*/release/MRCONSO.RRF", ""),
    "state of embeddings": ("embed", "embeddings/*/epoch-*/tables.safetensors", "embeddings.written:1"),
    "weights of a state": (
        "pretrain",
        "pretraining/*/step-*/model.safetensors",
        "pretraining-state.renamed:2",
    ),
    "optimiser of a state": ("pretrain", "pretraining/*/step-*/optimizer.pt", "pretraining-state.renamed:2"),
    "place of a set": ("probe-run", "sets/*", ""),
}


def flip_a_bit_in_the_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [flip_a_bit_in_the_middle, cut_off])
@pytest.mark.parametrize("entry", CACHED)
def test_a_damaged_entry_of_the_cache_changes_no_result(
    entry: str,
    damage: Callable[[Path], None],
    quiet: Place,
    expected: dict[str, Any],
    tmp_path: Path,
) -> None:
    name, pattern, crash_at = CACHED[entry]
    stage, place = STAGES[name], copy_place(quiet, tmp_path / "place")
    shutil.rmtree(place.folder / stage.makes)
    if crash_at:  # leaves a state behind
        assert finish(place, stage.command.split(), crash_at=crash_at) == KILLED
    found = sorted(place.cache.glob(pattern))
    assert found
    for path in found:
        damage(path)
    assert finish(place, stage.command.split()) == 0, place.log[-2000:]
    made = place.folder / stage.makes
    if name == "probe-run":
        assert stage.result(made) == expected[name]
    elif name == "run":
        assert stage.result(made) == stage.result(quiet.folder / stage.makes)
    else:
        assert stage.result(made) == expected[name]


def test_a_checkpoint_that_changed_between_two_runs_is_another_model(quiet: Place, tmp_path: Path) -> None:
    place = copy_place(quiet, tmp_path / "place")
    before = {path: path.read_bytes() for path in record_paths(place.out)}
    vocabulary = place.folder / "checkpoint" / "tokenizer.json"
    vocabulary.write_text(vocabulary.read_text().replace('"the"', '"thx"', 1))
    assert finish(place, STAGES["run"].command.split()) == 0, place.log[-2000:]
    records = [read_record(path) for path in record_paths(place.out)]
    assert len(records) == 2 * len(before)
    assert len({record.model_hash for record in records}) == 2
    assert all(path.read_bytes() == content for path, content in before.items())
