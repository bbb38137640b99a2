"""Records of BLURB's five tasks beside the paper's eight: scored again by scikit-learn and SciPy."""

from pathlib import Path
from typing import Any

import pytest
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, f1_score
from sklearn.preprocessing import MultiLabelBinarizer

from kebench.kinds.stored import read_predictions
from kebench.records import read_record, read_records, record_paths
from kebench.tasks.card import read_task_card

BLURB = Path(__file__).parents[1] / "results" / "blurb"
SEEDS = {"biosses": 10, "ebm-pico-dev": 5, "hoc": 5, "pubmedqa": 5, "bioasq": 5}


def percent_of(stored: dict[str, Any]) -> float:
    gold, predicted = stored["test"]["gold"], stored["test"]["predicted"]
    match stored["kind"]:
        case "similarity":
            return 100 * float(pearsonr(gold, predicted)[0])
        case "qa":
            return 100 * float(accuracy_score(gold, predicted))
        case "classification":
            sets = MultiLabelBinarizer(classes=stored["labels"])
            both = sets.fit_transform(gold), sets.transform(predicted)
            return 100 * float(f1_score(*both, average="micro", zero_division=0))
    words = [[tag for tags in side for tag in tags] for side in (gold, predicted)]
    classes = [f"I-{name}" for name in stored["types"]]
    return 100 * float(f1_score(*words, labels=classes, average="macro"))


@pytest.mark.parametrize(
    "path", record_paths(BLURB), ids=lambda path: f"{path.parent.parent.name}-{path.name[:24]}"
)
def test_a_score_is_that_of_another_program(path: Path) -> None:
    record = read_record(path)
    assert record.test.score_percent == pytest.approx(percent_of(read_predictions(path)), abs=1e-6)
    assert record.test.num_examples == read_task_card(record.task).expected["test"].rows


def test_each_task_has_its_seeds_under_one_protocol() -> None:
    seeds: dict[tuple[str, str], set[int]] = {}
    columns: dict[str, set[str]] = {}
    for _, record in read_records(BLURB):
        seeds.setdefault((record.task, record.model), set()).add(record.seed)
        columns.setdefault(record.task, set()).add(record.column)
    assert {task for task, _ in seeds} == {*SEEDS}
    assert all(found == set(range(SEEDS[task])) for (task, _), found in seeds.items())
    assert all(len(found) == 1 for found in columns.values())
