"""A few hundred damaged files in every command: one line or a result. `make fuzz` gives it ten thousand."""

import gzip
import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kebench.errors import UserError
from kebench.kinds.stored import read_predictions
from kebench.records import read_record
from tests.faults.damage import damaged
from tests.faults.fuzz import TARGETS, fuzz
from tests.faults.inputs import write_inputs
from tests.faults.pipeline import copy_place
from tests.grids import Place

INPUTS = 300
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=9), inside, max_size=4),
    max_leaves=12,
)
PARTS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("ids", "gold", "predicted", "num_kept", "confidence_permille"), ANY_JSON)
)


@pytest.fixture(scope="module")
def place(quiet: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a place with small files of every format."""
    found = copy_place(quiet, tmp_path_factory.mktemp("fuzz") / "place")
    write_inputs(found)
    return found


@pytest.mark.slow
def test_damaged_files_end_in_one_line_or_in_a_result(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = fuzz(place, list(TARGETS), INPUTS, seed=0, loud=False)
    assert set(outcomes) <= {"refused", "result"}, capsys.readouterr().out
    assert outcomes.total() >= INPUTS
    assert outcomes["refused"] > INPUTS / 3  # the damage is no sham


def test_damage_is_drawn_from_the_generator_alone() -> None:
    content = json.dumps({"a": [1, 2, {"b": "c"}]}).encode()
    first, second = (
        [damaged(content, random.Random(number), name="x.json") for number in range(50)] for _ in range(2)
    )
    assert first == second
    assert sum(one != content for one in first) > 40


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=ANY_JSON)
def test_any_json_is_a_record_or_one_line(value: object, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(value))
    with pytest.raises(UserError, match="not a record"):
        read_record(tmp_path / "a.json")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["ner", "relation", "x", None]), dev=PARTS | ANY_JSON, test=PARTS)
def test_any_predictions_are_read_or_one_line(
    kind: object, dev: object, test: object, tmp_path: Path
) -> None:
    content = json.dumps({"kind": kind, "dev": dev, "test": test}).encode()
    (tmp_path / "a.predictions.json.gz").write_bytes(gzip.compress(content))
    said = ""
    try:
        read_predictions(tmp_path / "a.json")
    except UserError as error:
        said = str(error)
    assert "\n" not in said
