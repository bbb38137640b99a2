"""Probes whose answers are written: models by the command, shots, string rules, resuming, bad input."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer

from kebench.cli.probe import probe
from kebench.errors import UserError
from kebench.model.checkpoint import load_lm_tokenizer
from kebench.probe.earned import earned_of
from kebench.probe.forms import answer_forms
from kebench.probe.generate_figures import figures_of
from kebench.probe.generated import WRITTEN_SCHEMA, Accepted, AskedPool, accepted_by, read_asked
from kebench.probe.query_set import QuerySet
from kebench.probe.ranked import Candidate, Query, RankedPool, Shots
from kebench.probe.record import GenerateRecord, GenerateSettings, probe_record_paths, read_probe_record
from kebench.probe.stored import StoredProbe, asked_queries
from tests import forks
from tests.forks import KILLED
from tests.tiny_checkpoints import write_tiny_bert, write_tiny_lm

QUERIES = "12"
SETTINGS = GenerateSettings(
    family="causal", start="", shots=1, seed=0, beam=2, max_new_tokens=8, constrained=False
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    longer = {"max_position_embeddings": 512}
    return {
        "masked": write_tiny_bert(folder / "tiny-bert"),
        "llama": write_tiny_lm(folder / "tiny-llama", "llama", start="<|endoftext|>", **longer),
        "short": write_tiny_lm(folder / "short-llama", "llama", start="<|endoftext|>"),
        "t5": write_tiny_lm(folder / "tiny-t5", "t5"),
        "bart": write_tiny_lm(folder / "tiny-bart", "bart", **longer),
    }


@pytest.fixture(scope="module")
def query_set(mini_sets: dict[str, QuerySet]) -> QuerySet:
    return mini_sets["fixed"]


def arguments(model: Path, query_set: QuerySet, out: Path, *more: str) -> list[str]:
    asked = ("--set", str(query_set.folder), "--out", str(out), "--queries", QUERIES, "--device", "cpu")
    return ["generate", "--model", str(model), *asked, "--max-new-tokens", "6", *more]


def generated(*command: str) -> Any:
    return CliRunner().invoke(probe, list(command), catch_exceptions=False)


def found(out: Path) -> tuple[GenerateRecord, pa.Table, Path]:
    """Return the only record under a folder, what the model wrote, and the folder of both."""
    (path,) = probe_record_paths(out)
    record = read_probe_record(path)
    assert isinstance(record, GenerateRecord)
    return record, pq.read_table(path.parent / "predictions.parquet"), path.parent


@pytest.mark.parametrize("family", ["llama", "t5", "bart"])
def test_a_model_of_each_family_is_asked_recorded_and_shown(
    family: str, models: dict[str, Path], query_set: QuerySet, tmp_path: Path
) -> None:
    result = generated(*arguments(models[family], query_set, tmp_path, "--shots", "1"))
    record, written, folder = found(tmp_path)
    counts = record.counts
    left_out = counts.unranked + counts.blank_inside + counts.without_shots
    assert counts.asked + left_out == counts.queries == int(QUERIES)
    assert counts.asked > 4
    assert counts.answers == len(written) == counts.asked * record.settings.beam
    assert written["query_id"].to_pylist() == sorted(written["query_id"].to_pylist())
    assert max(map(len, written["tokens"].to_pylist())) <= 6
    assert not any(set(string) & set("\n;") for string in written["string"].to_pylist())
    assert GenerateRecord.model_validate_json(record.model_dump_json(by_alias=True)) == record
    assert max(map(len, result.stdout.splitlines()[:-1])) <= 80
    assert "hit@5" in result.stdout
    # All figures are made again of what is stored.
    queries = asked_queries(query_set.table(), record.subset)
    pools = read_asked(query_set, queries, record.settings).pools
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    figures, earned = figures_of(written, pools, accepted_by(queries), tokenizer, record.settings)
    assert figures == record.figures["beam"]
    stored = pq.read_table(folder / "earned.parquet")
    assert earned.schema == stored.schema
    for name in earned.schema.names:
        np.testing.assert_equal(earned[name].to_numpy(), stored[name].to_numpy())  # where NaN is NaN
    again = generated(*arguments(models[family], query_set, tmp_path, "--shots", "1"))
    assert "nothing to do" in again.stderr


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_constrained_answers_are_names_of_the_pool(
    family: str, models: dict[str, Path], query_set: QuerySet, tmp_path: Path
) -> None:
    more = ("--shots", "0", "--constrained", "--max-new-tokens", "40", "--beam", "3")
    generated(*arguments(models[family], query_set, tmp_path, *more))
    record, written, folder = found(tmp_path)
    assert record.settings.constrained
    assert record.figures["beam"].released is None
    strings: dict[int, list[str]] = {}
    for row in written.to_pylist():
        strings.setdefault(row["query_id"], []).append(row["string"])
    asked = read_asked(query_set, asked_queries(query_set.table(), record.subset), record.settings)
    hits = 0
    for one in asked.pools:
        for number, query_id in enumerate(one.query_ids):
            query = one.pool.queries[one.places[number]]
            names = {name: place for place, name in one.pool.names}
            assert set(strings[query_id]) <= {name for _, name in one.names(number)} <= names.keys()
            assert not {names[string] for string in strings[query_id]} & set(query.out)
            hits += any(
                string in one.pool.candidates[place].names
                for string in strings[query_id]
                for place in query.true
            )
    earned = earned_of(StoredProbe(record, folder), "beam", "hit_beam")
    assert hits == sum(one.value for one in earned.values())


def test_shots_never_name_what_a_query_accepts_and_differ_between_queries(query_set: QuerySet) -> None:
    queries = query_set.table()
    settings = SETTINGS.model_copy(update={"shots": 2})
    asked = read_asked(query_set, queries, settings)
    accepted, draws = accepted_by(queries), set()
    gold = {one: [name for each in of for name in (each.name, *each.names)] for one, of in accepted.items()}
    shown = [name for pool in asked.pools for shots in pool.shots for fact in shots for name in fact]
    names = sorted({*shown, *(name for of in gold.values() for name in of)})
    key_of = {name: key for name, (_, key) in zip(names, answer_forms(names), strict=True)}
    for pool in asked.pools:
        for query_id, shots in zip(pool.query_ids, pool.shots, strict=True):
            assert len(set(shots)) == 2
            of_shots = {key_of[name] for fact in shots for name in fact}
            assert of_shots.isdisjoint(key_of[name] for name in gold[query_id])
            draws.add((pool.pool.pool_id, shots))
    assert len(draws) > len(asked.pools)
    assert read_asked(query_set, queries, settings).pools == asked.pools
    other = read_asked(query_set, queries, settings.model_copy(update={"seed": 1}))
    assert [one.shots for one in other.pools] != [one.shots for one in asked.pools]


def test_causal_models_are_asked_where_the_blank_is_at_the_end(query_set: QuerySet) -> None:
    queries = query_set.table()
    plain = read_asked(query_set, queries, SETTINGS)
    assert plain.blank_inside > 0
    assert plain.reworded == 0
    # With two more statements of each relation, which end either way, none is left out for its blank.
    wordings = {
        relation: worded.model_copy(
            update={"statements": (*worded.statements, "Of [Y] one says [X].", "Of [X] one says [Y].")}
        )
        for relation, worded in query_set.manifest.wordings.items()
    }
    manifest = query_set.manifest.model_copy(update={"wordings": wordings})
    causal = read_asked(replace(query_set, manifest=manifest), queries, SETTINGS)
    assert causal.blank_inside == 0
    assert len(wordings) > 3
    for pool in causal.pools:
        for number in range(len(pool.places)):
            before, after = pool.statement(number)
            assert before == before.rstrip()
            assert not any(letter.isalnum() for letter in after)
            shots = pool.shown(number, behind="\n")
            assert shots.endswith(".\n")
            assert shots.count("\n") == 1
    assert causal.reworded > plain.blank_inside // 2
    of_others = [one for one in causal.pools if one.wording]
    assert all(one.shown(0, behind="").startswith("Of ") for one in of_others)
    both = read_asked(query_set, queries, SETTINGS.model_copy(update={"family": "encoder-decoder"}))
    assert (both.reworded, both.blank_inside) == (0, 0)
    assert {one.wording for one in both.pools} == {0}


def test_queries_of_relations_with_too_few_facts_are_left_out_and_counted(query_set: QuerySet) -> None:
    queries, settings = query_set.table(), SETTINGS.model_copy(update={"family": "encoder-decoder"})
    few = read_asked(query_set, queries, settings)
    many = read_asked(query_set, queries, settings.model_copy(update={"shots": 8}))
    number, fewer = (sum(len(one.places) for one in asked.pools) for asked in (few, many))
    assert many.without_shots > few.without_shots
    assert number + few.without_shots == fewer + many.without_shots
    known = {one["relation"] for one in query_set.shots().to_pylist()}
    lacking = queries.filter([relation not in known for relation in queries["relation"].to_pylist()])
    with pytest.raises(UserError, match=r"no query is left to ask: 0 have .*, \d+ have fewer than 1 facts"):
        read_asked(query_set, lacking, settings)


def pool(*subjects: str) -> RankedPool:
    """may_treat, asked for two diseases."""
    names = (("gout", "Podagra"), ("pain",))
    candidates = tuple(Candidate((f"C{place}",), of, 1, (), None) for place, of in enumerate(names))
    return RankedPool(
        0,
        "may_treat",
        "tail",
        tuple(
            Query(number, f"{subject} may treat [MASK].", subject, (0,), (), False, ())
            for number, subject in enumerate(subjects)
        ),
        candidates,
        tuple((place, name) for place, of in enumerate(names) for name in of),
        {0: "[X] may treat [Y]."},
        (Shots((), frozenset()),),
        (Shots((), frozenset()),),
    )


def figures_by(
    strings: list[list[str]], tokenizer: Tokenizer, *, constrained: bool = False
) -> tuple[Any, list[list[float]]]:
    """Return the figures of answers to queries that accept gout, and what each query earns."""
    subjects = [f"drug {number}" for number in range(len(strings))]
    asked = AskedPool(pool(*subjects), 0, tuple(range(len(strings))), ((),) * len(strings))
    rows = [
        {
            "query_id": query,
            "rank": rank,
            "tokens": [],
            "string": string,
            "sum_log_prob": 0.0,
            "is_cut": False,
        }
        for query, of_query in enumerate(strings)
        for rank, string in reversed(list(enumerate(of_query)))
    ]
    accepted = {
        query: [Accepted("C0", "Gout", ("gout", "podagra", "gouty arthritis"))]
        for query in range(len(strings))
    }
    settings = SETTINGS.model_copy(update={"constrained": constrained})
    written = pa.Table.from_pylist(rows, schema=WRITTEN_SCHEMA)
    figures, earned = figures_of(written, [asked], accepted, tokenizer, settings)
    columns = ("own_hit_1", "own_hit_beam", "own_mrr")
    return figures, np.stack([earned[name].to_numpy() for name in columns], axis=1).tolist()


def test_an_answer_is_right_as_a_whole_string_by_normal_forms(models: dict[str, Path]) -> None:
    tokenizer = load_lm_tokenizer(models["llama"]).backend_tokenizer
    strings = [
        ["pain", "Gout"],
        ["gouty-arthritis", "gout"],
        ["gout and pain", "severe gout", "gout, pain"],  # found in the string, but not the string
        ["", "  "],
        ["pain", "pain", "GOUT (disorder)"],
    ]
    figures, earned = figures_by(strings, tokenizer)
    assert earned == [[0, 1, 1 / 2], [1, 1, 1], [0, 0, 0], [0, 0, 0], [0, 1, 1 / 2]]
    assert figures.hit_beam.own.percent == pytest.approx(60)
    # The released rule knows letters alone: gouty-arthritis and GOUT (disorder) are no names of it.
    assert figures.released.hit_1.percent == pytest.approx(0)
    assert figures.released.hit_beam.percent == pytest.approx(40)


def test_constrained_answers_are_compared_as_candidates_not_as_strings(models: dict[str, Path]) -> None:
    tokenizer = load_lm_tokenizer(models["llama"]).backend_tokenizer
    _, earned = figures_by([["Podagra"], ["pain", "gout"], ["podagra"]], tokenizer, constrained=True)
    assert earned == [[1, 1, 1], [0, 1, 1 / 2], [0, 0, 0]]


def test_written_probes_stand_in_one_table_are_compared_and_shown(
    models: dict[str, Path], query_set: QuerySet, tmp_path: Path
) -> None:
    for family in ("t5", "bart"):
        generated(*arguments(models[family], query_set, tmp_path, "--shots", "0"))
    shown = generated("scores", str(tmp_path)).stdout
    assert shown.count("queries asked for words") == 1
    assert all(f"\n{name} " in shown for name in ("tiny-t5", "tiny-bart"))
    assert max(map(len, shown.splitlines())) <= 80
    rows = json.loads(generated("scores", str(tmp_path), "--format", "json").stdout)["generated"]
    assert {row["metric"] for row in rows} >= {"hit_1", "hit_beam", "mrr", "released_hit_1"}
    assert "may_treat" in generated("scores", str(tmp_path), "--by", "relation").stdout
    for form in ("markdown", "latex"):
        for more in ((), ("--by", "relation")):
            assert "tiny-bart" in generated("scores", str(tmp_path), "--format", form, *more).stdout
    csv = generated("scores", str(tmp_path), "--format", "csv").stdout
    assert csv.startswith("set,set_hash,identity,model,name,family,beam,metric,source,percent")

    command = ("compare", "tiny-t5", "tiny-bart", "--results", str(tmp_path), "--metric", "hit_beam")
    compared = json.loads(generated(*command, "--format", "json").stdout)
    assert compared["figure"] == "hit@5"
    records = [read_probe_record(path) for path in probe_record_paths(tmp_path)]
    assert compared["queries"] == records[0].counts.asked  # type: ignore[union-attr]
    with pytest.raises(
        UserError, match="--metric acc_1 is not of these probes; choose one of hit_1, hit_beam"
    ):
        generated(*command[:-1], "acc_1")

    folder = probe_record_paths(tmp_path)[0].parent
    record = read_probe_record(folder / "probe.json")
    examples = json.loads(generated("show", str(folder), "--n", "3", "--format", "json").stdout)["examples"]
    assert len(examples) == 3
    assert all(len(one["answers"]) == 5 for one in examples)
    assert max(map(len, generated("show", str(folder)).stdout.splitlines())) <= 80
    earned = earned_of(StoredProbe(record, folder), "beam", "hit_beam")
    hits = json.loads(generated("show", str(folder), "--hits", "--format", "json").stdout)["examples"]
    assert len(hits) == sum(one.value for one in earned.values())


@pytest.mark.slow
def test_parts_batches_and_a_kill_move_nothing(
    models: dict[str, Path], query_set: QuerySet, tmp_path: Path
) -> None:
    def command(out: str, *more: str) -> list[str]:
        asked = arguments(models["llama"], query_set, tmp_path / out, "--shots", "1", *more)
        asked[asked.index("--queries") + 1] = "60"
        return asked

    generated(*command("whole"))
    killed = forks.start("probe", *command("killed"), crash_at="probe-part.renamed:2")
    assert killed.wait() == KILLED
    assert len(list((tmp_path / "killed").rglob("part-*.parquet"))) == 2
    resumed = generated(*command("killed", "--batch-tokens", "64"))
    assert resumed.exit_code == 0
    (record, written, _), (other, others, _) = found(tmp_path / "whole"), found(tmp_path / "killed")
    assert record.identity == other.identity
    assert written.drop_columns("sum_log_prob").equals(others.drop_columns("sum_log_prob"))
    assert np.allclose(written["sum_log_prob"], others["sum_log_prob"], atol=1e-4)
    assert record.figures == other.figures


def test_what_cannot_be_asked_is_refused_in_one_line_before_anything_runs(
    models: dict[str, Path], query_set: QuerySet, mini_sets: dict[str, QuerySet], tmp_path: Path
) -> None:
    def refused(match: str, *command: str) -> None:
        with pytest.raises(UserError, match=match) as caught:
            generated(*command)
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.rglob("*"))

    refused("a masked model writes no text; fill", *arguments(models["masked"], query_set, tmp_path))
    refused(r"tokens with its shots and an answer, and this model takes 96; give fewer --shots",
            *arguments(models["short"], query_set, tmp_path, "--shots", "1"))  # fmt: skip
    refused("no pools of candidates", *arguments(models["llama"], mini_sets["released"], tmp_path))
    refused("--start-token is for causal models, and tiny-t5 is encoder-decoder",
            *arguments(models["t5"], query_set, tmp_path, "--start-token", "</s>"))  # fmt: skip
