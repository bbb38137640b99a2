"""Records as a pandas frame."""

from pathlib import Path

from kebench.report.frame import records_frame
from tests.report.sample_records import sample_record, write_sample


def test_a_frame_has_a_row_a_run_sorted_by_seed(tmp_path: Path) -> None:
    write_sample(tmp_path, [sample_record(seed=1, test=51.0), sample_record(seed=0, test=50.0)])
    frame = records_frame(tmp_path)
    assert frame["seed"].tolist() == [0, 1]
    assert frame["test_percent"].tolist() == [50.0, 51.0]
    assert frame["column"].nunique() == 1


def test_runs_under_another_protocol_stand_in_another_column(tmp_path: Path) -> None:
    write_sample(tmp_path, [sample_record(epochs=3), sample_record(epochs=4)])
    assert records_frame(tmp_path)["column"].nunique() == 2


def test_a_folder_without_records_gives_a_frame_without_rows(tmp_path: Path) -> None:
    assert records_frame(tmp_path / "nowhere").empty
