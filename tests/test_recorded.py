"""The records that ship with kebench: whole, of one protocol, and re-scored from their predictions."""

from itertools import product
from pathlib import Path

import pytest

from kebench.kinds.stored import read_predictions, score_split
from kebench.probe.record import ProbeRecord
from kebench.probe.stored import find_probes
from kebench.records import read_record, read_records, record_paths
from kebench.scoring.counts import count_relations
from kebench.scoring.entities import count_entities
from kebench.tasks.card import all_task_cards, read_task_card

RECORDED = Path(__file__).parents[1] / "results" / "recorded"
PRETRAINED = RECORDED.parent / "pretraining"
PATHS = [*record_paths(RECORDED), *record_paths(PRETRAINED)]


def test_every_blurb_task_has_a_record_of_three_models() -> None:
    found = {(path.parent.parent.name, path.parent.name) for path in record_paths(RECORDED)}
    blurb = [card.name for card in all_task_cards() if "kebiolm" in card.suites]
    assert blurb
    assert found >= set(product(blurb, ("minilm", "bert-tiny", "bert-mini")))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.parent.name}-{path.name[:24]}")
def test_a_record_s_scores_follow_from_its_predictions(path: Path) -> None:
    record, predictions = read_record(path), read_predictions(path)
    for split, score in (("dev", record.dev), ("test", record.test)):
        gold, predicted = predictions[split]["gold"], predictions[split]["predicted"]
        if predictions["kind"] == "ner":
            counts = count_entities(gold, predicted)
        else:
            counts = count_relations(gold, predicted, negative=predictions["negative"])
        assert counts.f1_percent == pytest.approx(score.score_percent)
    assert record.test.num_examples == read_task_card(record.task).expected["test"].rows


def test_what_was_pretrained_has_five_seeds_on_its_tasks() -> None:
    seeds: dict[tuple[str, str], set[int]] = {}
    for _, record in read_records(PRETRAINED):
        seeds.setdefault((record.task, record.model), set()).add(record.seed)
    assert {model for _, model in seeds} >= {"bert-tiny", "bert-tiny-continued", "bert-tiny-kebiolm"}
    assert ("ncbi-disease", "minilm-kebiolm") in seeds
    assert all(found == set(range(5)) for found in seeds.values())
    fills_masks = {model for _, model in seeds if model != "minilm"}  # which has lost its head
    assert {probe.record.model for probe in find_probes([PRETRAINED], ProbeRecord)} >= fills_masks


@pytest.mark.parametrize("path", [path for path in PATHS if path.parent.parent.name == "ncbi-disease"][:2])
def test_a_record_is_scored_again_as_published_numbers_are(path: Path) -> None:
    again, recorded = score_split(read_predictions(path), "test"), read_record(path).test
    assert again.further.items() >= recorded.further.items()
    left_out = {"further", "by_label"}
    assert again.model_dump(exclude=left_out) == recorded.model_dump(exclude=left_out)


def test_recorded_runs_of_a_task_share_one_protocol() -> None:
    columns: dict[str, set[str]] = {}
    for _, record in read_records(RECORDED):
        columns.setdefault(record.task, set()).add(record.column)
    assert columns
    assert [task for task, found in columns.items() if len(found) > 1] == []
