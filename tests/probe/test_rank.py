"""Ranked probes: a model of each family by the command; statements, shots and figures beside plain ones."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
import transformers
from click.testing import CliRunner

from kebench.cli.probe import probe
from kebench.errors import UserError
from kebench.probe.earned import earned_of
from kebench.probe.examples import RankedExample, ranked_examples
from kebench.probe.foreign import import_set
from kebench.probe.query_set import QuerySet
from kebench.probe.rank_figures import candidate_scores_of, figures_of, read_said, shared_words
from kebench.probe.ranked import (
    NEGATED,
    NEUTRAL,
    SCORES_SCHEMA,
    Candidate,
    Query,
    RankedPool,
    Shots,
    read_pools,
)
from kebench.probe.recipe import Wording
from kebench.probe.record import (
    ProbeRecord,
    RankRecord,
    probe_record_paths,
    read_probe_record,
)
from kebench.probe.stored import StoredProbe, asked_queries, find_probes
from kebench.report.probe_ranked import headline
from kebench.scoring.ranked_figures import RankedFigures
from tests import forks
from tests.forks import KILLED
from tests.probe.small_probes import RANKING as SETTINGS
from tests.probe.small_probes import answer, query_table, write_set
from tests.tiny_checkpoints import write_tiny_bert, write_tiny_lm

QUERIES = "40"  # of some thirty relations: of a few more than one is ranked
NO_SHOTS = (Shots((), frozenset()),)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    longer = {"max_position_embeddings": 1024}
    return {
        "masked": write_tiny_bert(folder / "tiny-bert"),
        "causal": write_tiny_lm(folder / "tiny-llama", "llama", start="<|endoftext|>", **longer),
        "encoder-decoder": write_tiny_lm(folder / "tiny-t5", "t5"),
    }


@pytest.fixture(scope="module")
def query_set(mini_sets: dict[str, QuerySet]) -> QuerySet:
    return mini_sets["fixed"]


def arguments(model: Path, query_set: QuerySet, out: Path, *more: str) -> list[str]:
    asked = ("--set", str(query_set.folder), "--out", str(out), "--queries", QUERIES, "--device", "cpu")
    return ["rank", "--model", str(model), *asked, *more]


def ranked(*command: str) -> Any:
    return CliRunner().invoke(probe, list(command), catch_exceptions=False)


def found(out: Path) -> tuple[RankRecord, pa.Table]:
    """Return the only record under a folder, and what the model said."""
    (path,) = probe_record_paths(out)
    record = read_probe_record(path)
    assert isinstance(record, RankRecord)
    order = [(name, "ascending") for name in ("pool_id", "query_id", "wording", "draw", "first_name")]
    return record, pq.read_table(path.parent / "scores.parquet").sort_by(order)


@pytest.mark.parametrize("family", ["masked", "causal", "encoder-decoder"])
def test_a_model_of_each_family_is_ranked_recorded_and_shown(
    family: str, models: dict[str, Path], query_set: QuerySet, tmp_path: Path
) -> None:
    result = ranked(*arguments(models[family], query_set, tmp_path, "--shots", "0"))
    record, scores = found(tmp_path)
    assert record.settings.family == family
    assert record.set_hash == query_set.manifest.content_hash
    assert record.counts.asked > 8
    assert record.counts.asked + record.counts.unranked == record.counts.queries == int(QUERIES)
    pools, _ = read_pools(query_set, asked_queries(query_set.table(), record.subset), record.settings)
    # in one draw at least an answer of it is a candidate, and another subject is asked for
    reachable = sum(
        any(not out.excludes(pool.candidates[place]) for out in pool.left_out for place in query.true)
        and len({one.about for one in pool.queries}) > 1
        for pool in pools
        for query in pool.queries
    )
    assert reachable >= record.figures["sum"].ranked > 8
    assert record.counts.scored == sum(map(len, scores["tokens"].to_pylist()))
    if family != "causal":  # what the model says of the name does not depend on what stands behind it
        assert "given" not in record.figures
    assert RankRecord.model_validate_json(record.model_dump_json(by_alias=True)) == record
    assert ", sum" in result.stdout
    assert max(map(len, result.stdout.splitlines()[:-1])) <= 80
    again = ranked(*arguments(models[family], query_set, tmp_path, "--shots", "0"))
    assert "nothing to do" in again.stderr


def test_a_causal_model_scores_what_it_says_of_the_whole_text_one_text_at_a_time(
    models: dict[str, Path], query_set: QuerySet, tmp_path: Path
) -> None:
    ranked(*arguments(models["causal"], query_set, tmp_path, "--shots", "0"))
    record, scores = found(tmp_path)
    pools = {pool.pool_id: pool for pool in read_pools(query_set, query_set.table(), record.settings)[0]}
    model = transformers.AutoModelForCausalLM.from_pretrained(models["causal"]).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(models["causal"])

    def log_prob(text: str) -> float:
        ids = torch.tensor([tokenizer(text, split_special_tokens=True)["input_ids"]])
        assert tokenizer.convert_ids_to_tokens(ids[0, 0].item()) == "<|endoftext|>"
        with torch.inference_mode():
            logits = model(ids).logits[0, :-1].log_softmax(-1)
        return float(logits.gather(1, ids[0, 1:, None]).sum())

    checked = 0
    for row in scores.to_pylist()[:: max(1, len(scores) // 12)]:
        pool = pools[row["pool_id"]]
        place = next(
            (at for at, query in enumerate(pool.queries) if query.query_id == row["query_id"]), NEUTRAL
        )
        before, after = pool.statement(0, 0, place)
        names = range(row["first_name"], row["first_name"] + len(row["tokens"]))
        name = pool.shown_names(0, names)[-1]
        text = f"{before} {name}".lstrip()
        expected = log_prob(text) - (log_prob(before) if before else 0.0)
        assert row["name_log_prob"][-1] == pytest.approx(expected, abs=1e-3)
        if pool.subject_follows(0):
            assert row["after_log_prob"][-1] == pytest.approx(
                log_prob(text + after) - log_prob(text), abs=1e-3
            )
            checked += 1
        else:
            assert np.isnan(row["after_log_prob"]).all()
    assert checked


@pytest.mark.slow
def test_parts_batches_and_a_kill_move_nothing(
    models: dict[str, Path], query_set: QuerySet, tmp_path: Path
) -> None:
    command = arguments(models["causal"], query_set, tmp_path / "killed", "--shots", "0")
    ranked(*arguments(models["causal"], query_set, tmp_path / "whole", "--shots", "0"))
    killed = forks.start("probe", *command, crash_at="probe-part.renamed:3")
    assert killed.wait() == KILLED
    ranked(*command, "--batch-tokens", "64")
    (record, scores), (other, others) = found(tmp_path / "whole"), found(tmp_path / "killed")
    assert record.identity == other.identity
    for column in ("name_log_prob", "first_log_prob", "after_log_prob"):
        for one, two in zip(scores[column].to_pylist(), others[column].to_pylist(), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-3, rtol=0)
    assert scores["tokens"] == others["tokens"]


def pool(template: str = "[X] may treat [Y].", direction: str = "tail", **changes: Any) -> RankedPool:
    """Two queries about drugs, and three diseases."""
    queries = tuple(
        Query(number, f"{subject} may treat [MASK].", subject, true, (), False, ())
        for number, (subject, true) in enumerate([("aspirin", (0,)), ("Propranolol", (1, 2))])
    )
    candidates = tuple(
        Candidate((f"C{place}",), (name,), 1, ("T047",), place)
        for place, name in enumerate(["pain", "hypertension", "pH imbalance"])
    )
    names = tuple((place, one.names[0]) for place, one in enumerate(candidates))
    made = RankedPool(
        0, "may_treat", direction, queries, candidates, names, {0: template}, NO_SHOTS, NO_SHOTS
    )
    return replace(made, **changes)


def test_statements_have_subjects_with_capitals_where_they_begin_and_shots_before() -> None:
    shots = (Shots((("heparin", "thrombosis"),), frozenset({"C9"})),)
    assert pool().statement(0, 0, 0) == ("Aspirin may treat", ".")
    assert pool().statement(0, 0, NEUTRAL) == ("This may treat", ".")
    assert pool(shots=shots).statement(0, 0, 1) == (
        "Heparin may treat thrombosis. Propranolol may treat",
        ".",
    )
    start = pool("[X] may be treated by [Y].", "head")
    assert start.statement(0, 0, 0) == ("", " may be treated by aspirin.")
    assert start.subject_follows(0)
    assert not pool().subject_follows(0)
    assert start.shown_names(0, range(3)) == ["Pain", "Hypertension", "pH imbalance"]
    assert pool().shown_names(0, range(3)) == ["pain", "hypertension", "pH imbalance"]
    # a shot states a fact, whatever the statement does
    negated = pool(shots=shots, templates={0: "[X] may treat [Y].", NEGATED: "[X] cannot treat [Y]."})
    assert negated.statement(NEGATED, 0, 0)[0] == "Heparin may treat thrombosis. Aspirin cannot treat"


def rows_of(of: RankedPool, score: np.ndarray) -> pa.Table:
    """Return what a model said that gives each name this probability, (no subject, then the queries)."""
    number = len(score)
    nothing = [[float("nan")] * score.shape[1]] * number
    columns: dict[str, Any] = {
        "pool_id": [0] * number, "query_id": [NEUTRAL, *range(number - 1)], "wording": [0] * number,
        "draw": [0] * number, "first_name": [0] * number, "tokens": [[1] * score.shape[1]] * number,
        "name_log_prob": score.tolist(), "first_log_prob": score.tolist(), "after_log_prob": nothing,
        "straddling": [0] * number, "unknown": [0] * number, "sharing": [""] * number,
    }  # fmt: skip
    return pa.table(columns, schema=SCORES_SCHEMA)


def test_answers_of_shots_are_no_candidates_by_identifier_or_by_name() -> None:
    score = np.log(np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1], [0.2, 0.4, 0.4]]))
    for shots, out in (
        (Shots((("x", "Something"),), frozenset({"C1"})), [1]),
        (Shots((("x", "PAIN"),), frozenset({"C7"})), [0]),
    ):
        of = pool(left_out=(shots,))
        said = read_said(rows_of(of, score), of)
        found_SC = candidate_scores_of(said, of, 0, 0, settings=SETTINGS)["sum"].score_SC
        assert np.flatnonzero(np.isnan(found_SC).all(axis=0)).tolist() == out


def test_what_matching_words_would_earn_stands_beside_every_figure() -> None:
    named = ["congenital ventricular defect", "defect of the atrium", "gout", "ventricle"]
    candidates = tuple(Candidate((f"C{place}",), (name,), 1, (), None) for place, name in enumerate(named))
    queries = tuple(
        Query(number, "", subject, (true,), (), False, ())
        for number, (subject, true) in enumerate([("Ventricular Septal Defect", 0), ("Arthritis", 2)])
    )
    of = pool(queries=queries, candidates=candidates, names=tuple(enumerate(named)))
    assert shared_words(of).tolist() == [[pytest.approx(2 / 3), 1 / 2, 0, 1], [0, 0, 0, 0]]
    figures, _ = figures_of(rows_of(of, np.log(np.full((3, 4), 0.25))), [of], SETTINGS)
    words = figures["sum"].mrr.shared_words
    assert words.percent == pytest.approx(100 * (1 / 2 + (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4) / 2)
    strata = figures["sum"].strata["shared-words"]
    assert {name: group.queries for name, group in strata.items()} == {"none shared": 1, "shared": 1}
    assert strata["shared"].mrr.shared_words_percent == pytest.approx(50)


def test_a_model_that_does_not_see_the_subject_earns_what_other_subjects_do() -> None:
    generator = np.random.default_rng(0)
    candidates = tuple(Candidate((f"C{place}",), (f"name {place}",), 1, (), None) for place in range(30))
    queries = tuple(
        Query(number, "", f"subject {number}", (int(generator.integers(30)),), (), False, ())
        for number in range(40)
    )
    names = tuple((place, one.names[0]) for place, one in enumerate(candidates))
    of = RankedPool(
        0,
        "r",
        "tail",
        queries,
        candidates,
        names,
        {0: "[X] r [Y]."},
        (Shots((), frozenset()),),
        (Shots((), frozenset()),),
    )
    blind = np.repeat(generator.normal(size=(1, 30)), 41, axis=0)
    figures, _ = figures_of(rows_of(of, blind), [of], SETTINGS)
    for metric in ("acc_1", "mrr", "hits_5", "auc"):
        over = getattr(figures["sum"], metric)
        assert over.own.percent == pytest.approx(over.no_subject.percent)
        assert over.over_other_subjects.percent == pytest.approx(0, abs=1e-9)
    # and one that does is seen, once what is common to all subjects is gone
    seeing = blind.copy()
    for number, query in enumerate(queries):
        seeing[number + 1, query.true[0]] += 0.5
    figures, _ = figures_of(rows_of(of, seeing), [of], SETTINGS)
    assert figures["column"].acc_1.over_other_subjects.percent > 50
    assert figures["sum"].acc_1.over_other_subjects.percent < 30


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--pll", "original"), "--pll is for masked models, and tiny-llama is causal; leave it out"),
        (("--start-token", "<|nothing|>"), "is no token of the vocabulary"),
        (("--shots", "20", "--queries", "400"), "tokens, and this model takes"),
        (("--shots", "0", "--start-token", "none"), "begin with the blank, and nothing stands before"),
    ],
)
def test_what_cannot_be_ranked_is_refused_before_anything_runs(
    options: tuple[str, ...], said: str, models: dict[str, Path], query_set: QuerySet, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said.replace("|", r"\|").replace("(", r"\(")):
        ranked(*arguments(models["causal"], query_set, tmp_path / "out", *options))
    assert not (tmp_path / "out").exists()


def test_a_model_that_gives_no_numbers_is_refused_with_what_it_was_asked(
    query_set: QuerySet, tmp_path: Path
) -> None:
    folder = write_tiny_bert(tmp_path / "damaged-bert")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors["cls.predictions.bias"][7] = float("nan")
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        UserError, match=r"damaged-bert: gives no number for '.+' in '.*\[Y\].*', which damaged weights do"
    ):
        ranked(*arguments(folder, query_set, tmp_path / "out"))


def thirty(subject: str, *templates: str) -> RankedPool:
    """Thirty queries and candidates, in some wordings. subject: of all; "" where only texts differ."""
    queries = tuple(
        Query(number, f"text {number} [MASK].", subject and f"{subject} {number}", (number,), (), False, ())
        for number in range(30)
    )
    candidates = tuple(Candidate((f"C{place}",), (f"name {place}",), 1, (), None) for place in range(30))
    names = tuple((place, one.names[0]) for place, one in enumerate(candidates))
    worded = dict(enumerate(templates))
    return RankedPool(
        0,
        "r",
        "tail",
        queries,
        candidates,
        names,
        worded,
        NO_SHOTS,
        NO_SHOTS,
    )


def test_queries_without_a_name_of_their_subject_are_of_other_subjects() -> None:
    of = thirty("", "")
    figures, earned = figures_of(rows_of(of, np.eye(31, 30, k=-1)), [of], SETTINGS)
    assert figures["sum"].acc_1.over_other_subjects.percent > 90
    assert "column" in figures
    assert len(set(earned["subject"].to_pylist())) == 30


def test_scores_that_only_some_wordings_have_are_of_those_and_say_why_they_lack() -> None:
    of = thirty("drug", "[X] may treat [Y].", "[Y] may be treated by [X].")
    said = rows_of(of, np.eye(31, 30, k=-1))
    behind = said.set_column(
        said.schema.get_field_index("after_log_prob"), SCORES_SCHEMA.field("after_log_prob"),
        said["name_log_prob"],
    )  # fmt: skip
    behind = behind.set_column(2, SCORES_SCHEMA.field("wording"), pa.array([1] * len(said), pa.int8()))
    both, earned = figures_of(pa.concat_tables([said, behind]), [of], SETTINGS)
    assert both["given"].acc_1.own.percent == pytest.approx(100)
    assert {"given", "first"} <= set(earned["score"].to_pylist())
    # a model that reads the name first says by it alone nothing of the subject
    starts = replace(of, templates={1: of.templates[1]})
    known = replace(of, pool_id=1, relation="s", templates={0: of.templates[0]})
    of_known = said.set_column(0, SCORES_SCHEMA.field("pool_id"), pa.array([1] * len(said), pa.int32()))
    figures, _ = figures_of(pa.concat_tables([behind, of_known]), [starts, known], SETTINGS)
    assert figures["first"].lacking == {
        "r/tail": "words stand behind the blank: "
        "of a name before them, by itself, a causal model says too little"
    }
    assert "first" not in figures_of(behind, [starts], SETTINGS)[0]


def test_a_set_without_pools_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    queries = query_table(("[MASK] is a cell.", [answer("C0000001", "t cell")], False, False))
    folder = write_set(tmp_path / "set", queries)
    with pytest.raises(UserError, match=r"no pools of candidates, so nothing can be ranked; build"):
        ranked("rank", "--model", str(models["masked"]), "--set", str(folder), "--out", str(tmp_path / "out"))


def imported(folder: Path) -> QuerySet:
    """A set of texts of their own, without facts that are not asked."""
    drugs = {f"drug{number}": f"disease{number}" for number in range(6)}
    rows = [f"{drug} is given to patients who have [MASK] and fever.,{of}" for drug, of in drugs.items()]
    (folder / "queries.csv").write_text("\n".join(["query,answers", *rows]) + "\n")
    return import_set([folder / "queries.csv"], folder / "set") and QuerySet.open(folder / "set")


def test_texts_of_their_own_are_ranked_without_a_neutral_subject(
    models: dict[str, Path], tmp_path: Path
) -> None:
    query_set = imported(tmp_path)
    for number, family in enumerate(("causal", "masked")):
        ranked(*arguments(models[family], query_set, tmp_path / family, "--shots", "0"))
        record, scores = found(tmp_path / family)
        assert record.counts.asked == 6
        assert NEUTRAL not in scores["query_id"].to_pylist()
        assert record.figures["sum"].acc_1.no_subject.percent is None
        # a causal model reads on: "and fever." counts
        assert np.isnan(scores["after_log_prob"].to_pylist()[0][0]) == bool(number)
    with pytest.raises(
        UserError, match="no relation has 1 facts to show before a statement; ask with --shots 0"
    ):
        ranked(*arguments(models["causal"], query_set, tmp_path / "shots", "--shots", "1"))


def test_other_settings_are_another_probe_and_defaults_are_those_of_the_family(
    models: dict[str, Path], query_set: QuerySet, tmp_path: Path
) -> None:
    ranked(*arguments(models["masked"], query_set, tmp_path))
    ranked(*arguments(models["masked"], query_set, tmp_path, "--pll", "original"))
    records = [json.loads(path.read_text()) for path in probe_record_paths(tmp_path)]
    assert sorted(record["settings"]["pll"] for record in records) == ["answer-l2r", "original"]
    assert {record["settings"]["shots"] for record in records} == {0}
    # of all queries, without shots, nothing is drawn
    all_of = imported(tmp_path)
    ranked(*arguments(models["masked"], all_of, tmp_path / "all"))
    assert (
        "nothing to do"
        in ranked(*arguments(models["masked"], all_of, tmp_path / "all", "--seed", "1")).stderr
    )


def test_ranked_probes_of_all_families_stand_in_one_table_and_are_compared(
    models: dict[str, Path], query_set: QuerySet, tmp_path: Path
) -> None:
    for family in models:
        ranked(*arguments(models[family], query_set, tmp_path, "--shots", "0"))
    shown = ranked("scores", str(tmp_path), "--score", "sum")
    names = [path.name for path in models.values()]
    rows = [line for line in shown.stdout.splitlines() if line.startswith("tiny-")]
    assert all(any(row.startswith(f"{name},") for row in rows) for name in names)
    assert shown.stdout.count("queries ranked") == 1  # one table
    assert max(map(len, shown.stdout.splitlines())) <= 80

    exported = json.loads(ranked("scores", str(tmp_path), "--score", "all", "--format", "json").stdout)
    (record_path, *_) = probe_record_paths(tmp_path)
    record = read_probe_record(record_path)
    assert isinstance(record, RankRecord)
    own = next(
        row
        for row in exported["ranked"]
        if row["model"].startswith(record.model) and (row["score"], row["metric"]) == ("sum", "mrr")
    )
    assert own["source"] == "own"
    assert own["percent"] == record.figures["sum"].mrr.own.percent
    assert ranked("scores", str(tmp_path), "--score", "sum", "--by", "triples").exit_code == 0

    # over some relations alone; over all of them it is what the record says
    asked = list(record.figures["sum"].by_relation)
    some = ["scores", str(tmp_path), "--score", "sum", "--format", "json"]
    of_all, of_one = (
        json.loads(ranked(*some, *(f"--relation={one}" for one in relations)).stdout)["ranked"]
        for relations in (asked, asked[:1])
    )
    (whole,) = (row for row in of_all if (row["model"], row["source"]) == (own["model"], "own"))
    acc_1 = record.figures["sum"].acc_1.own
    assert (whole["percent"], whole["queries"]) == (pytest.approx(acc_1.percent), acc_1.queries)
    (alone,) = (row for row in of_one if (row["model"], row["source"]) == (own["model"], "own"))
    assert alone["percent"] == pytest.approx(record.figures["sum"].by_relation[asked[0]].acc_1.own_percent)
    said = ranked("scores", str(tmp_path), "--score", "sum", "--relation", asked[0].partition("/")[0]).stdout
    assert max(map(len, said.splitlines())) <= 80
    with pytest.raises(UserError, match="asks nothing of relation 'may_tret' by score sum; did you mean"):
        ranked(*some, "--relation", "may_tret")
    with pytest.raises(UserError, match="--relation is another way to break them down than --by"):
        ranked(*some, "--relation", "may_treat", "--by", "relation")

    one, other = names[0], names[1]
    command = ("compare", one, other, "--results", str(tmp_path), "--score", "sum", "--metric", "mrr")
    compared = json.loads(ranked(*command, "--format", "json").stdout)
    assert compared["queries"] + compared["left_out"] == record.counts.asked
    assert compared["difference_percent"]["mean"] == pytest.approx(
        compared["a_percent"]["mean"] - compared["b_percent"]["mean"]
    )
    turned = json.loads(ranked("compare", other, one, *command[3:], "--format", "json").stdout)
    assert turned["difference_percent"]["mean"] == -compared["difference_percent"]["mean"]
    # also of what is above other subjects, on the same queries; a relation of one has no other
    over = ranked(*command, "--points", "5", "--format", "json").stdout
    assert json.loads(over)["over_baseline"]["figure"] == "MRR by sum over other subjects"
    assert json.loads(over)["over_baseline"]["queries"] < compared["queries"]
    assert json.loads(over)["power"]["stated_difference_percent"] == 5
    assert "over other subjects" in ranked(*command).stdout
    said = ranked(*command, "--points", "5").stdout
    assert "A true difference of 5.0 points" in said or "How often 5.0 points" in said
    assert max(map(len, said.splitlines())) <= 80
    with pytest.raises(UserError, match="no probe of model 'tiny-llam'; did you mean 'tiny-llama'"):
        ranked("compare", one, "tiny-llam", "--results", str(tmp_path))
    with pytest.raises(UserError, match="no probes that fill blanks; make some with 'kebench probe run'"):
        find_probes([tmp_path], ProbeRecord)


def test_queries_are_shown_with_their_best_candidates_and_the_place_of_the_true_one(
    models: dict[str, Path], query_set: QuerySet, tmp_path: Path
) -> None:
    few = ("--shots", "1", "--draws", "2", "--queries", "5")
    ranked(*arguments(models["causal"], query_set, tmp_path, *few))
    record, _ = found(tmp_path)
    (path,) = probe_record_paths(tmp_path)
    result = ranked("show", str(path.parent))
    assert (
        "by sum (log probability of the name), in the first wording, behind the first of 2 draws"
        in result.stderr
    )
    assert result.stdout.count("\n  accepted ") == record.counts.asked
    assert result.stdout.count(", true)") > 0
    assert max(map(len, result.stdout.splitlines())) <= 80

    # one draw, without ties: the rank is what the query earns
    one_draw = ("--shots", "1", "--draws", "1", "--queries", "16")
    ranked(*arguments(models["masked"], query_set, tmp_path / "masked", *one_draw))
    record, _ = found(tmp_path / "masked")
    folder = probe_record_paths(tmp_path / "masked")[0].parent
    place = ("show", "--model", "tiny-bert", "--results", str(tmp_path / "masked"))
    rows = json.loads(ranked(*place, "--format", "json", "--score", "mean").stdout)["examples"]
    assert len(rows) == record.counts.asked
    earned = earned_of(StoredProbe(record, folder), "mean", "mrr")
    scored = [row for row in rows if row["tied"] is not None]  # of others the answer is left out
    assert len(scored) > 8
    for row in scored:
        assert row["tied"] == 0
        assert earned[row["query"]].value == pytest.approx(1 / row["rank"])
        assert row["is_hit"] == (row["rank"] == 1)
        assert row["right"] in row["accepted"]
        if row["rank"] == 1:
            assert (row["best_1"], row["best_1_score"]) == (row["right"], row["right_score"])
    hits, misses = (
        json.loads(ranked(*place, "--format", "json", "--score", "mean", kind).stdout)["examples"]
        for kind in ("--hits", "--misses")
    )
    assert {row["is_hit"] for row in hits} <= {True}
    assert {row["is_hit"] for row in misses} == {False}
    assert len(hits) + len(misses) == len(scored)
    relation = rows[0]["relation"].partition("/")[0]
    of_one = ranked(*place, "--relation", relation, "--n", "1", "--format", "csv").stdout.splitlines()
    assert of_one[0].startswith("query,relation,text,accepted,right,right_score,rank,tied,candidates,is_hit")
    assert f",{relation}/" in of_one[1]
    with pytest.raises(UserError, match="no query of relation 'nothing'"):
        ranked(*place, "--relation", "nothing")
    with pytest.raises(UserError, match=r"has no figures by 'letter'; choose one of sum, mean"):
        ranked(*place, "--score", "letter")
    (folder / "scores.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"scores\.parquet: damaged"):
        ranked(*place)


def test_ties_and_what_has_no_score_are_said() -> None:
    def shown(score: str, *rows: list[float]) -> list[RankedExample]:
        return list(ranked_examples(rows_of(pool(), np.array(rows)), [pool()], score, SETTINGS))

    tied, first = shown("sum", [0.0, 0, 0], [-1.0, -1, -2], [-3.0, -1, -2])
    assert [one.name for one in tied.best] == ["pain", "hypertension", "pH imbalance"]
    assert (tied.text, tied.gold, tied.above, tied.level) == (
        "Aspirin may treat [MASK].",
        (("pain", "C0"),),
        0,
        1,
    )
    assert (tied.is_hit, tied.num_candidates) == (False, 3)
    # of two true ones the better counts, and the other is none that it competes with
    assert (first.right and first.right.name, first.num_candidates, first.is_hit) == ("hypertension", 2, True)
    for one in shown("column", [0.0, 0, 0], [-1.0, -1, -2], [-3.0, -1, -2]):
        assert one.lacks == "the mean of a column needs 20 subjects, the relation has 2"
        assert (one.right, one.is_hit) == (None, None)


def test_a_file_of_earnings_that_is_not_whole_is_refused(
    models: dict[str, Path], query_set: QuerySet, tmp_path: Path
) -> None:
    ranked(*arguments(models["masked"], query_set, tmp_path))
    folder = probe_record_paths(tmp_path)[0].parent
    whole = pq.read_table(folder / "earned.parquet")
    for damaged in (whole.drop_columns("score"), whole.slice(0, 20)):
        pq.write_table(damaged, folder / "earned.parquet")
        with pytest.raises(UserError, match=r"earned\.parquet: .*; copy the probe's whole folder"):
            ranked("compare", str(folder), str(folder))


def test_what_is_left_out_is_a_setting_of_its_own(
    models: dict[str, Path], query_set: QuerySet, tmp_path: Path
) -> None:
    few = ("--queries", "12", "--seed", "2", "--draws", "2")
    ranked(*arguments(models["causal"], query_set, tmp_path, "--shots", "2", *few))
    ranked(*arguments(models["masked"], query_set, tmp_path, "--leave-out", "2", *few))
    assert ranked("scores", str(tmp_path), "--score", "sum").stdout.count("queries ranked") == 1
    ranked(
        "compare", "tiny-llama", "tiny-bert", "--results", str(tmp_path), "--score", "sum", "--metric", "auc"
    )
    with pytest.raises(UserError, match="--leave-out 1: the answers of 2 shots are no candidates"):
        ranked(*arguments(models["causal"], query_set, tmp_path, "--shots", "2", "--leave-out", "1"))
    with pytest.raises(UserError, match="no relation has a negated statement; ask without --negated"):
        ranked(*arguments(models["masked"], imported(tmp_path), tmp_path, "--negated"))


def test_the_negated_statement_is_of_the_form_of_the_first(
    query_set: QuerySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.model_copy(update={"negated": True})

    def negated(*statements: str) -> dict[int, str]:
        worded = Wording(statements=("[X] shows [Y].",), negated=statements)
        monkeypatch.setattr(QuerySet, "wordings", lambda _, relation: worded)
        return read_pools(query_set, query_set.table(), settings)[0][0].templates

    assert negated("[Y] is not seen in [X].", "[X] does not show [Y].")[NEGATED] == "[X] does not show [Y]."
    assert NEGATED not in negated("[Y] is not seen in [X].")


def test_names_that_the_vocabulary_lacks_have_no_score(models: dict[str, Path], tmp_path: Path) -> None:
    rows = [f"drug{number} may treat [MASK].,disease{number}" for number in range(5)]
    rows += ["drug5 may treat [MASK].,世界", "drug6 may treat [MASK].,界世"]
    (tmp_path / "queries.csv").write_text("\n".join(["query,answers", *rows]) + "\n", encoding="utf-8")
    import_set([tmp_path / "queries.csv"], tmp_path / "set")
    of = QuerySet.open(tmp_path / "set")
    ranked(*arguments(models["masked"], of, tmp_path / "out", "--shots", "0"))
    record, scores = found(tmp_path / "out")
    assert (record.counts.asked, record.counts.unknown) == (7, 2 * 7)
    assert record.figures["sum"].ranked == 5
    assert {np.isnan(row).sum() for row in scores["name_log_prob"].to_pylist()} == {2}


def test_the_score_that_is_shown_is_one_that_all_have_of_most_facts() -> None:
    def probe(**ranked: int) -> RankRecord:
        figures = {name: RankedFigures.model_construct(ranked=number) for name, number in ranked.items()}
        return RankRecord.model_construct(figures=figures)

    assert headline([probe(sum=40, pmi=40, column=20)]) == "column"
    assert headline([probe(sum=40, pmi=40, column=19)]) == "pmi"
    assert headline([probe(sum=40, pmi=40, column=30), probe(sum=40, pmi=39)]) == "pmi"
    assert headline([probe(sum=40, column=30), probe(sum=40, pmi=40)]) == "sum"


def test_probes_of_other_queries_or_another_kind_are_not_compared(
    models: dict[str, Path], query_set: QuerySet, tmp_path: Path
) -> None:
    ranked(*arguments(models["masked"], query_set, tmp_path))
    ranked(*arguments(models["encoder-decoder"], query_set, tmp_path, "--shots", "0", "--seed", "1"))
    with pytest.raises(UserError, match="no probes of the same queries of one set"):
        ranked("compare", "tiny-bert", "tiny-t5", "--results", str(tmp_path))


def test_models_with_and_without_shots_are_ranked_among_the_same_candidates(
    models: dict[str, Path], query_set: QuerySet
) -> None:
    without = SETTINGS.model_copy(update={"family": "masked", "pll": "original", "left_out": 4, "draws": 3})
    with_shots = SETTINGS.model_copy(update={"shots": 4, "left_out": 4, "draws": 3})
    of = {
        settings.shots: {pool.pool_id: pool for pool in read_pools(query_set, query_set.table(), settings)[0]}
        for settings in (without, with_shots)
    }
    assert len(of[4]) > 3
    for pool_id, pool in of[4].items():
        assert pool.left_out == pool.shots == of[0][pool_id].left_out
        assert not any(shots.facts for shots in of[0][pool_id].shots)


def test_no_shot_is_about_a_candidate(query_set: QuerySet, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SETTINGS.model_copy(update={"shots": 4, "left_out": 4, "draws": 3})

    def drawn() -> dict[int, tuple[Shots, ...]]:
        return {one.pool_id: one.shots for one in read_pools(query_set, query_set.table(), settings)[0]}

    usual, (pool_id, *_) = drawn(), drawn()
    of_pool = next(one for one in query_set.candidates().to_pylist() if one["pool_id"] == pool_id)
    about = usual[pool_id][0].facts[0][0]
    rows = query_set.shots().to_pylist()
    for same in ({"subject": of_pool["name"]}, {"given_cuis": of_pool["cuis"]}):
        changed = [row | (same if row["subject"] == about else {}) for row in rows]
        monkeypatch.setattr(QuerySet, "shots", lambda _, rows=changed: pa.Table.from_pylist(rows))
        seen = {subject for shots in drawn()[pool_id] for subject, _ in shots.facts}
        assert not seen & {about, of_pool["name"]}
    assert len(drawn()[pool_id][0].facts) == 4


def test_wordings_are_compared_behind_the_same_shots() -> None:
    of = replace(thirty("drug", "[X] treats [Y].", "[X] is for [Y]."), shots=NO_SHOTS * 2)
    of = replace(of, left_out=of.shots)
    rng = np.random.default_rng(0)
    said = []
    for draw in range(2):  # both wordings say the same, and each draw something else
        rows = rows_of(of, rng.random((31, 30)))
        rows = rows.set_column(3, SCORES_SCHEMA.field("draw"), pa.array([draw] * len(rows), pa.int8()))
        other = pa.array([1] * len(rows), pa.int8())
        said += [rows, rows.set_column(2, SCORES_SCHEMA.field("wording"), other)]
    settings = SETTINGS.model_copy(update={"shots": 4, "draws": 2, "wordings": 2})
    agreement = figures_of(pa.concat_tables(said), [of], settings)[0]["sum"].agreement
    assert agreement is not None
    assert agreement.same_first_percent == pytest.approx(100)
    assert agreement.rank_correlation == pytest.approx(1)


def test_without_shots_what_is_left_out_differs_by_draw_and_what_was_said_does_not() -> None:
    score = np.log(np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3]]))
    facts = (Shots((("x", "pain"),), frozenset({"C0"})), Shots((("y", "hypertension"),), frozenset({"C1"})))
    figures, _ = figures_of(rows_of(pool(left_out=facts), score), [pool(left_out=facts)], SETTINGS)
    # the first query is about pain alone, which one of two draws leaves out; the second is right in both
    assert figures["sum"].acc_1.own.queries == 2
    assert figures["sum"].acc_1.own.percent == pytest.approx(100)
