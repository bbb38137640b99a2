"""Every record that was made keeps its identity, its column and its scores, to the bit.

tests/golden/recorded.json was written by the version before records had a kind: of each record its identity,
its column, and a hash of all numbers of dev and test. Nothing rewrites it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from kebench.files import hash_of
from kebench.finetune.plan import find_task_files
from kebench.kinds.stored import read_predictions, score_split
from kebench.records import identity_of, read_record, record_paths
from kebench.scoring.score import Score
from kebench.tasks.card import all_task_cards, read_task_card

ROOT = Path(__file__).parents[1]
RECORDED: dict[str, list[str]] = json.loads((ROOT / "tests/golden/recorded.json").read_text())


def of_schema_1(score: Score) -> dict[str, Any]:
    """Return a score's numbers under the names, and in the order, in which records of schema 1 have them."""
    fields = score.model_dump()
    details = fields.pop("details")
    published = fields.pop("further").get("entity_f1_lenient")
    del fields["by_label"]
    return {
        "score_percent": fields.pop("score_percent"),
        "score_as_published_percent": published,
        **details,
        **fields,
    }


def test_no_recorded_run_is_missing_from_the_list() -> None:
    folders = (ROOT / "results/recorded", ROOT / "results/pretraining")
    there = {str(path.relative_to(ROOT)) for folder in folders for path in record_paths(folder)}
    assert there >= RECORDED.keys()


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_run_keeps_identity_column_and_scores(name: str) -> None:
    identity, column, scores = RECORDED[name]
    record, stored = read_record(ROOT / name), read_predictions(ROOT / name)
    assert (record.identity, record.column) == (identity, column)
    given = record.model_dump(include={"model_hash", "task_version", "task_hash", "seed"})
    assert identity_of(**given, settings=record.settings, protocol=record.protocol) == identity
    assert hash_of([of_schema_1(record.dev), of_schema_1(record.test)])[:16] == scores
    again = [score_split(stored, split, metric=record.protocol.metric) for split in ("dev", "test")]
    assert hash_of(list(map(of_schema_1, again)))[:16] == scores


@pytest.mark.realdata
def test_the_data_of_recorded_runs_are_hashed_as_they_were(real_data: Path) -> None:
    records = [read_record(ROOT / name) for name in RECORDED]
    blurb = {card.name for card in all_task_cards() if "kebiolm" in card.suites}
    hashes = {record.task: record.task_hash for record in records if record.task in blurb}
    assert hashes
    for task, recorded in hashes.items():
        assert find_task_files(read_task_card(task), real_data / "blurb").hash == recorded
