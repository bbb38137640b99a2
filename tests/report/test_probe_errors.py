"""`kebench errors --probe`: outcomes worked by hand on six queries, and what the command says."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kebench.cli import main
from kebench.probe.outcomes import Outcome, known_concepts, outcomes
from kebench.probe.record import ProbeSubset, probe_folder, write_probe_record
from kebench.probe.scores import score_probe
from kebench.report.probe_errors import probe_errors_sheet
from tests.probe.small_probes import (
    answer,
    prediction_table,
    probe_record,
    query_table,
    word_pieces,
    write_set,
)

DISEASE, DRUG = ["T047"], ["T121"]


def set_of(*, disease: Sequence[str] = DISEASE, drug: Sequence[str] = DRUG) -> pa.Table:
    return query_table(
        ("may_treat", [answer("C1", "asthma", types=disease)], False, False),
        ("may_treat", [answer("C2", "cold", types=disease)], False, False),
        ("isa", [answer("C3", "severe drug", types=drug)], False, False),
        ("isa", [answer("C4", "asthma severe cold drug", types=drug)], False, False),
        ("isa", [], False, False),
        ("isa", [answer("C1", "asthma", types=disease)], False, False),
    )


QUERIES = set_of()
PREDICTIONS = prediction_table(
    [
        (0, "drug", -1.0),
        (0, "asthma", -1.5),
        (1, "asthma", -1.0),
        (2, "severe drug", -1.0),
        (2, "drug", -2.0),
        (3, "cold", -1.0),
        (3, "head ##ache", -4.0),
        (4, "drug", -1.0),
    ]
)


def judged(queries: pa.Table = QUERIES, *, k: int = 2) -> list[Outcome]:
    known = known_concepts(queries, word_pieces())
    return list(outcomes(queries, PREDICTIONS, word_pieces(), known=known, k=k))


def test_each_query_has_one_outcome() -> None:
    assert judged() == [
        Outcome("may_treat", "near", 1, 1, "unknown"),  # drug is the name of no answer
        Outcome("may_treat", "missed", 1, 1, "right type"),  # asthma, where cold was asked: both diseases
        Outcome("isa", "first", 2, 2, ""),
        Outcome("isa", "length", 4, 4, "other type"),  # cold, where a drug was asked; two masks at most
        Outcome("isa", "unanswerable", 0, 0, ""),
        Outcome("isa", "undecoded", 1, 1, ""),
    ]


def test_what_is_not_within_the_best_k_is_far() -> None:
    assert [one.kind for one in judged(k=1)][:3] == ["far", "missed", "first"]


def test_a_name_is_known_without_its_blanks_and_with_all_its_types() -> None:
    queries = query_table(
        ("isa", [answer("C1", "5 nucleotidase", types=["T116"])], False, False),
        ("isa", [answer("C2", "5nucleotidase", types=["T126"])], False, False),
    )
    assert known_concepts(queries, word_pieces()) == {"5nucleotidase": frozenset({"T116", "T126"})}


@pytest.fixture
def probed(tmp_path: Path) -> Path:
    write_set(tmp_path / "set", QUERIES)
    write_probe(tmp_path / "local", QUERIES)
    return tmp_path


def write_probe(out: Path, queries: pa.Table, subset: ProbeSubset | None = None) -> None:
    generator = np.random.default_rng(0)
    scores = score_probe(queries, PREDICTIONS, word_pieces(), max_masks=2, generator=generator)
    record = probe_record(scores, subset=subset or ProbeSubset())
    folder = probe_folder(out, set_name=record.set, model=record.model, identity=record.identity)
    folder.mkdir(parents=True)
    pq.write_table(PREDICTIONS, folder / "predictions.parquet")
    word_pieces().save(str(folder / "tokenizer.json"))
    write_probe_record(folder, record)


def of(probed: Path, *options: str) -> list[str]:
    place = ["--results", str(probed / "local"), "--probe", str(probed / "set")]
    return ["errors", "--model", "bert-tiny", *place, *options]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[list[str]]:
    main([*arguments])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    return [line.split() for line in lines]


def test_errors_are_counted_by_relation_and_by_length(
    probed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = printed(capsys, *of(probed, "--top", "2"))
    assert ["second", "1", "16.7"] in rows
    assert [
        "relation",
        "queries",
        "first",
        "second",
        "below",
        "2",
        "no",
        "beam",
        "too",
        "long",
        "undecoded",
        "no",
        "answer",
    ] in rows
    assert ["may_treat", "2", "0.0", "50.0", "0.0", "50.0", "0.0", "0.0", "0.0"] in rows
    assert [">2", "1", "0.0", "0.0", "0.0", "0.0", "100.0", "0.0", "0.0"] in rows
    assert ["4", "and", "more", "1", "0.0", "0.0", "0.0", "0.0", "100.0", "0.0", "0.0"] in rows
    assert ["a", "concept", "of", "the", "right", "semantic", "type", "1", "33.3"] in rows
    assert ["may_treat", "2", "50.0", "0.0", "50.0"] in rows


def test_relations_of_few_queries_are_left_out_and_counted() -> None:
    one = Outcome("may_treat", "first", 1, 1, "")
    outcomes = [one] * 5 + [one._replace(relation=name) for name in ("isa", "isa", "part_of")]
    sheet = probe_errors_sheet("t", "c", outcomes, k=5, max_masks=2, has_types=True)
    grid = next(grid for grid in sheet.grids if grid.headings[0] == "relation")
    assert [row[:2] for row in grid.texts] == [("may_treat", "5")]
    assert sheet.notes[-1] == "Left out by relation: 2 relations of fewer than 5 queries, 3 in all."


def test_with_one_place_nothing_lies_between_first_and_below(
    probed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = printed(capsys, *of(probed, "--top", "1"))
    place = rows.index(["right", "answer", "queries", "%"])
    assert [row[0] for row in rows[place + 2 : place + 4]] == ["first", "below"]


def test_without_semantic_types_a_concept_is_known_or_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queries = set_of(disease=[], drug=[])
    write_set(tmp_path / "set", queries)
    write_probe(tmp_path / "local", queries)
    rows = printed(capsys, *of(tmp_path))
    assert ["a", "concept", "2", "66.7"] in rows
    assert "The set says no semantic types," in " ".join(word for row in rows for word in row)


def test_a_sample_counts_those_of_its_queries_that_were_not_decoded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(tmp_path / "set", QUERIES)
    write_probe(tmp_path / "local", QUERIES, ProbeSubset(queries=6))
    assert ["undecoded", "1", "16.7"] in printed(capsys, *of(tmp_path))


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_other_formats_hold_the_same_figures(
    form: str, probed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(of(probed, "--format", form))
    text = capsys.readouterr().out
    assert "33.3" in text
    assert "word pieces" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name either a task with --task, or a cloze set with --probe"),
        (["--task", "gad", "--probe", "umls"], "name either a task with --task, or a cloze set with --probe"),
        (["--task", "gad", "--top", "3"], "--top is for --probe; leave it out with --task"),
        (["--probe", "umls", "--n", "3"], "--against, --data, --kb and --n are for --task; leave them out"),
        (["--probe", "umsl"], "no probe of the set 'umsl'; did you mean 'umls'?"),
        (["--probe", "umls", "--model", "bert-tny"], "no probe of model 'bert-tny' on umls; did you mean"),
        (
            ["--probe", "umls"],
            "set umls 22222222: not seen on this machine; name its folder by --probe FOLDER, or make",
        ),
        (["--probe", "umls", "--results", "nowhere"], "nowhere: no such folder of probes; make some with"),
    ],
)
def test_a_mistake_is_one_line_with_what_to_do(
    arguments: list[str],
    message: str,
    probed: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEBENCH_CACHE", str(probed / "cache"))
    where = [] if "--results" in arguments else ["--results", str(probed / "local")]
    with pytest.raises(SystemExit) as stop:
        main(["errors", "--model", "bert-tiny", *where, *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
