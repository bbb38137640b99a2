"""Records of probes: written and read, refused with a reason, and named by what can move a score."""

from pathlib import Path

import numpy as np
import pytest

from kebench.errors import UserError
from kebench.files import hash_of
from kebench.probe.record import (
    PROBE_PROTOCOL_VERSION,
    ProbeRecord,
    ProbeSubset,
    probe_folder,
    probe_record_paths,
    read_probe_record,
    write_probe_record,
)
from kebench.probe.scores import score_probe
from kebench.probe.stored import find_probes
from kebench.records import record_paths
from kebench.report.probes import caption, probe_sheets
from tests.probe.small_probes import answer, prediction_table, probe_record, query_table, word_pieces


@pytest.fixture(scope="module")
def record() -> ProbeRecord:
    queries = query_table(("isa", [answer("C1", "asthma", types=["T047"])], False, False))
    predictions = prediction_table([(0, "asthma", -1.0)])
    generator = np.random.default_rng(0)
    return probe_record(score_probe(queries, predictions, word_pieces(), max_masks=2, generator=generator))


def write(out: Path, record: ProbeRecord) -> Path:
    folder = probe_folder(out, set_name=record.set, model=record.model, identity=record.identity)
    folder.mkdir(parents=True)
    write_probe_record(folder, record)
    return folder


def test_what_is_written_is_read_again(tmp_path: Path, record: ProbeRecord) -> None:
    folder = write(tmp_path, record)
    assert folder == tmp_path / "probe" / "umls" / "bert-tiny" / record.identity[:16]
    assert read_probe_record(folder / "probe.json") == record
    assert [probe.record for probe in find_probes([tmp_path], ProbeRecord)] == [record]


def test_a_record_from_before_versions_were_kept_is_read_and_stands_apart(
    tmp_path: Path, record: ProbeRecord
) -> None:
    path = write(tmp_path, record) / "probe.json"
    path.write_text(path.read_text().replace(f' "protocol_version": {PROBE_PROTOCOL_VERSION},\n', ""))
    old = read_probe_record(path)
    assert old.protocol_version == 2
    assert caption(old) == f"{caption(record)}, protocol 2 of probes"
    assert len(probe_sheets([old, record])) == 2


def test_a_folder_that_is_still_being_written_holds_no_record(tmp_path: Path, record: ProbeRecord) -> None:
    write(tmp_path / ".umls.1-0123abcd.tmp", record)
    assert probe_record_paths(tmp_path) == []


def test_a_probe_is_not_taken_for_a_run_of_fine_tuning(tmp_path: Path, record: ProbeRecord) -> None:
    write(tmp_path, record)
    assert record_paths(tmp_path) == []


def test_a_field_that_nobody_declared_is_refused_by_name(tmp_path: Path, record: ProbeRecord) -> None:
    path = write(tmp_path, record) / "probe.json"
    path.write_text(path.read_text().replace('"beam": 5', '"beam": 5,\n  "width": 5'))
    with pytest.raises(
        UserError, match=r"probe\.json: not a record of a probe \(decoder\.width: Extra inputs"
    ):
        read_probe_record(path)


def test_a_folder_without_a_record_is_no_finished_probe(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a finished probe has this file: ask again"):
        read_probe_record(tmp_path / "probe.json")


def test_the_identity_is_what_can_move_a_score_and_no_name(record: ProbeRecord) -> None:
    same = probe_record(record.scores, model="another name")
    others = [
        probe_record(record.scores, model_hash="9" * 64),
        probe_record(record.scores, set_hash="9" * 64),
        probe_record(record.scores, mode="released"),
        probe_record(record.scores, precision="bf16"),
        probe_record(record.scores, subset=ProbeSubset(queries=7)),
        probe_record(record.scores, decoder=record.decoder.model_copy(update={"beam": 4})),
    ]
    assert same.identity == record.identity
    assert len({record.identity, *(other.identity for other in others)}) == 7


def test_the_recorded_probes_of_the_repository_are_read_and_keep_their_identity() -> None:
    folder = Path(__file__).parents[2] / "results" / "pretraining"
    if not folder.is_dir():
        pytest.skip("only in a checkout")
    found = [probe.record for probe in find_probes([folder], ProbeRecord)]
    assert len(found) == 9
    for record in found:
        assert record.protocol_version == 2
        decided = {
            "version": 2, "model": record.model_hash, "set": record.set_hash, "mode": record.mode,
            "decoder": record.decoder.model_dump(), "precision": record.precision,
            "subset": record.subset.model_dump(),
        }  # fmt: skip
        assert hash_of(decided) == record.identity
