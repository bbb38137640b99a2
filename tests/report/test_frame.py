"""Records and tests as pandas frames, which hold what the commands print as CSV."""

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from kebench.cli import main
from kebench.errors import UserError
from kebench.report.compare import Settings
from kebench.report.frame import comparison_frame, published_frame, records_frame, significance_frame
from kebench.shipped import shipped
from tests.report.sample_records import sample_grid, sample_record, write_sample

RECORDED = shipped("results/recorded")


def test_a_frame_has_a_row_a_run_sorted_by_seed(tmp_path: Path) -> None:
    write_sample(tmp_path, [sample_record(seed=1, test=51.0), sample_record(seed=0, test=50.0)])
    frame = records_frame(tmp_path)
    assert frame["seed"].tolist() == [0, 1]
    assert frame["test_percent"].tolist() == [50.0, 51.0]
    assert frame["column"].nunique() == 1


def test_runs_under_another_protocol_stand_in_another_column(tmp_path: Path) -> None:
    write_sample(tmp_path, [sample_record(epochs=3), sample_record(epochs=4)])
    assert records_frame(tmp_path)["column"].nunique() == 2


@pytest.mark.parametrize("frame_of", [records_frame, significance_frame])
def test_no_folder_and_no_records_are_refused_as_the_commands_do(
    frame_of: Callable[[Path], pd.DataFrame], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder of records; run some with"):
        frame_of(tmp_path / "nowhere")
    with pytest.raises(UserError, match=": no records; run some with"):
        frame_of(tmp_path)


def test_a_torn_record_is_named_in_the_log_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs = [sample_record(name, "gad", seed=seed) for name in ("minilm", "bert-tiny") for seed in (0, 1, 2)]
    write_sample(tmp_path, runs)
    torn = sorted(tmp_path.glob("gad/minilm/*.json"))[0]
    torn.write_text(torn.read_text()[:100])
    assert len(records_frame(tmp_path)) == 5
    assert f"left out: {torn}" in caplog.text
    tests = significance_frame(tmp_path)
    assert tests["a_n"].tolist() + tests["b_n"].tolist() in ([2, 3], [3, 2])


def csv_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> pd.DataFrame:
    main([*arguments, "--format", "csv"])
    return pd.read_csv(io.StringIO(capsys.readouterr().out))


def assert_same(frame: pd.DataFrame, printed: pd.DataFrame) -> None:
    as_text = frame.assign(n=frame["n"].map(lambda sizes: " ".join(map(str, sizes))))
    read = pd.read_csv(io.StringIO(as_text.to_csv(index=False)))
    pd.testing.assert_frame_equal(read, printed)


def test_comparisons_are_the_same_as_frame_and_csv(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(num_resamples=999)
    frame = comparison_frame(RECORDED, "minilm", "bert-tiny", tasks=["gad", "ddi"], settings=settings)
    tasks = ["--results", str(RECORDED), "--tasks", "gad,ddi"]
    assert_same(frame, csv_of(capsys, "compare", "minilm", "bert-tiny", *tasks, "--resamples", "999"))
    assert len(frame) == 2 * 5


def test_published_comparisons_are_the_same_as_frame_and_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sample(tmp_path, sample_grid())
    frame = published_frame(tmp_path, "minilm", "biobert")
    results = ["--results", str(tmp_path)]
    assert_same(frame, csv_of(capsys, "compare", "minilm", "biobert", "--published", *results))
    gad = frame.set_index("task").loc["gad"]
    assert (gad["a_mean_percent"], gad["b_mean_percent"]) == (77.0, 80.9)
    assert gad["interval_low_percent"] < gad["difference_percent"] < gad["interval_high_percent"]


def test_pairs_of_all_models_are_the_same_as_frame_and_csv(capsys: pytest.CaptureFixture[str]) -> None:
    frame = significance_frame(RECORDED)
    assert_same(frame, csv_of(capsys, "significance", "--results", str(RECORDED)))
    assert (frame["a_mean_percent"] >= frame["b_mean_percent"]).all()
    assert set(frame["family_size"]) == {frame["p"].notna().sum()} == {9}


@pytest.mark.parametrize(
    "make",
    [
        lambda: comparison_frame(RECORDED, "minilm", "bert-tiny", settings=Settings(num_resamples=999)),
        lambda: significance_frame(RECORDED, test="both", tasks=["gad"]),
    ],
    ids=["compare", "significance"],
)
def test_no_p_value_stands_without_test_sides_n_and_correction(make: Callable[[], pd.DataFrame]) -> None:
    frame = make()
    having = frame[frame["p"].notna()]
    assert len(having)
    assert having[["test", "sides", "n", "unit", "correction"]].notna().all(axis=None)
    assert (
        having.loc[having["correction"] != "none", ["p_corrected", "family", "family_size"]]
        .notna()
        .all(axis=None)
    )
    assert frame.loc[frame["p"].isna(), "note"].notna().all()


def test_averages_are_rows_without_a_family(tmp_path: Path) -> None:
    write_sample(tmp_path, sample_grid())
    frame = published_frame(tmp_path, "minilm", "biobert")
    averages = frame[frame["task"] == "average"]
    assert averages["kind"].tolist() == ["ner", "relation"]
    assert averages["correction"].tolist() == ["none", "none"]
    assert averages[["family", "family_size", "p_corrected"]].isna().all(axis=None)


def test_a_folder_without_the_tasks_has_nothing_to_test(tmp_path: Path) -> None:
    write_sample(tmp_path, [sample_record()])
    with pytest.raises(UserError, match="1 record, none of these tasks and models; run some"):
        comparison_frame(tmp_path, "minilm", "bert-tiny", tasks=["gad"])
