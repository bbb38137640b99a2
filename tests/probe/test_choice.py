"""Probes by multiple choice: a model of each family by the command; prompts and scores beside plain ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from click.testing import CliRunner

from kebench.cards import ModelCard
from kebench.cli.probe import probe
from kebench.errors import UserError
from kebench.probe.choices import answers, choose_shots, figures_of, prompt
from kebench.probe.earned import earned_of
from kebench.probe.language_model import Asked, load_model
from kebench.probe.questions import QuestionSet
from kebench.probe.record import ChoiceRecord, ChoiceSettings, probe_record_paths, read_probe_record
from kebench.probe.stored import StoredProbe
from tests import forks
from tests.forks import KILLED
from tests.probe.question_sets import ANATOMY, EXAMPLES, mmlu_folder, question_set, write_mmlu
from tests.tiny_checkpoints import write_tiny_bert, write_tiny_lm

SETTINGS = ChoiceSettings(
    family="causal", start="", pll=None, split="test", shots=2, seed=0, by=("letter", "text"), permuted=False
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    longer = {"max_position_embeddings": 2048}
    return {
        "masked": write_tiny_bert(folder / "tiny-bert"),
        "causal": write_tiny_lm(folder / "tiny-llama", "llama", start="<|endoftext|>", **longer),
        "encoder-decoder": write_tiny_lm(folder / "tiny-t5", "t5"),
    }


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> QuestionSet:
    folder = tmp_path_factory.mktemp("questions")
    return question_set(folder, [mmlu_folder(folder / "mmlu")])


def arguments(model: Path, questions: QuestionSet, out: Path, *more: str) -> list[str]:
    asked = ("--set", str(questions.folder), "--out", str(out), "--device", "cpu")
    return ["choice", "--model", str(model), *asked, *more]


def chosen(*command: str) -> Any:
    return CliRunner().invoke(probe, list(command), catch_exceptions=False)


def found(out: Path) -> tuple[ChoiceRecord, pa.Table]:
    """Return the only record under a folder, and what the model said."""
    (path,) = probe_record_paths(out)
    record = read_probe_record(path)
    assert isinstance(record, ChoiceRecord)
    order = [(name, "ascending") for name in ("question_id", "by", "permutation", "place")]
    return record, pq.read_table(path.parent / "choices.parquet").sort_by(order)


def test_letters_are_asked_as_mmlu_is_and_texts_as_answers(questions: QuestionSet) -> None:
    question = questions.questions[1].question
    shots = choose_shots(questions, questions.questions, SETTINGS)["anatomy"][:1]
    assert prompt(question, shots, "letter").before == (
        "The following are multiple choice questions (with answers) about anatomy.\n\n"
        "Is aspirin a drug?\nA. Yes\nB. No\nC. Never\nD. None of these\nAnswer: A\n\n"
        "Which of these is a bone?\nA. Liver\nB. Femur\nC. Kidney\nD. Spleen\nAnswer:"
    )
    assert prompt(question, (), "letter", permutation=1, with_question=False).before == (
        "The following are multiple choice questions (with answers) about anatomy.\n\n"
        "A. Femur\nB. Kidney\nC. Spleen\nD. Liver\nAnswer:"
    )
    assert prompt(question, shots, "text").before == (
        "Question: Is aspirin a drug?\nAnswer: Yes\n\nQuestion: Which of these is a bone?\nAnswer:"
    )
    assert prompt(question, shots, "text", with_question=False).before == (
        "Question: Is aspirin a drug?\nAnswer: Yes\n\nAnswer:"
    )
    assert answers(question, "letter", 1) == ["A", "B", "C", "D"]
    assert answers(question, "text", 0) == ["Liver", "Femur", "Kidney", "Spleen"]
    plain = question._replace(subset="questions")
    assert prompt(plain, (), "letter").before.startswith(
        "The following are multiple choice questions (with answers).\n\n"
    )
    genetics = question._replace(subset="medical_genetics")
    assert "about medical genetics." in prompt(genetics, (), "letter").before


def test_examples_are_the_first_ones_and_of_many_drawn_by_seed(tmp_path: Path) -> None:
    rows = [(f"Question {number}?", ("yes", "no"), "A") for number in range(40)]
    for number in (32, 40):
        write_mmlu(tmp_path / f"few{number}_test.csv", ANATOMY)
        write_mmlu(tmp_path / f"few{number}_dev.csv", rows[:number])
    made = question_set(tmp_path, sorted(tmp_path.glob("*.csv")))

    def texts(seed: int, shots: int = 3) -> dict[str, list[str]]:
        settings = SETTINGS.model_copy(update={"seed": seed, "shots": shots})
        drawn = choose_shots(made, made.questions, settings)
        return {subset: [one.text for one in some] for subset, some in drawn.items()}

    assert texts(0)["few32"] == texts(1)["few32"] == [row[0] for row in rows[:3]]
    assert texts(0)["few40"] != texts(1)["few40"]
    assert texts(0)["few40"] == texts(0)["few40"] == texts(0, 5)["few40"][:3]


@pytest.mark.parametrize("permuted", [False, True])
def test_a_causal_model_is_scored_as_whole_prompts_are_one_at_a_time(
    permuted: bool, models: dict[str, Path], questions: QuestionSet, tmp_path: Path
) -> None:
    more = ("--permute",) if permuted else ()
    chosen(*arguments(models["causal"], questions, tmp_path, "--shots", "2", *more))
    record, choices = found(tmp_path)
    shots = choose_shots(questions, questions.questions, record.settings)
    asked = {one.question_id: one.question for one in questions.questions}
    model = transformers.AutoModelForCausalLM.from_pretrained(models["causal"]).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(models["causal"])

    def log_prob(text: str) -> float:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        assert tokenizer.convert_ids_to_tokens(ids[0, 0].item()) == "<|endoftext|>"
        with torch.inference_mode():
            logits = model(ids).logits[0, :-1].log_softmax(-1)
        return float(logits.gather(1, ids[0, 1:, None]).sum())

    num_orders = {"letter": 4 if permuted else 1, "text": 1}
    assert len(choices) == len(asked) * 4 * sum(num_orders.values())
    for row in choices.to_pylist()[:: 5 if permuted else 3]:
        question = asked[row["question_id"]]
        name = answers(question, row["by"], row["permutation"])[row["place"]]
        assert row["option"] == (row["place"] + row["permutation"]) % 4
        for column, with_question in (("sum", True), ("without_question_sum", False)):
            before, _ = prompt(
                question, shots[question.subset], row["by"], permutation=row["permutation"],
                with_question=with_question,
            )  # fmt: skip
            expected = log_prob(f"{before} {name}") - log_prob(before)
            assert row[column] == pytest.approx(expected, abs=1e-3)
        assert row["tokens"] == len(tokenizer(f" {name}", add_special_tokens=False)["input_ids"])
        assert row["chars"] == len(question.options[row["option"]])


def test_the_record_s_figures_come_again_of_its_table(
    models: dict[str, Path], questions: QuestionSet, tmp_path: Path
) -> None:
    result = chosen(*arguments(models["causal"], questions, tmp_path, "--shots", "2", "--permute"))
    record, choices = found(tmp_path)
    assert record.settings.by == ("letter", "text")
    assert record.majority == ("B",)
    assert set(record.figures) == {"letter", "sum", "mean", "char", "pmi"}
    assert record.counts.asked == record.counts.questions == record.figures["sum"].questions == 7
    assert record.counts.prompts == 2 * 7 * (4 + 1)
    again, _ = figures_of(choices, questions.questions, questions.majority)
    assert again == record.figures
    assert record.figures["pmi"].without_question.percent == pytest.approx(25)  # nothing to choose by
    assert record.figures["letter"].majority.percent == pytest.approx(25)  # permuted
    assert record.figures["sum"].majority.percent == pytest.approx(100 * 4 / 7)
    assert ChoiceRecord.model_validate_json(record.model_dump_json(by_alias=True)) == record
    # by hand: the best of the sums, and of them less those without the question
    rows = [row for row in choices.to_pylist() if row["by"] == "text"]
    right = [one.question.answer for one in questions.questions]
    for score, value in {
        "sum": [row["sum"] for row in rows],
        "char": [row["sum"] / row["chars"] for row in rows],
        "pmi": [row["sum"] - row["without_question_sum"] for row in rows],
    }.items():
        best = np.array(value).reshape(7, 4).argmax(axis=1)
        assert record.figures[score].own.percent == pytest.approx(100 * (best == right).mean())
        earned = earned_of(StoredProbe(record, probe_record_paths(tmp_path)[0].parent), score, "acc")
        assert [earned[one.question_id].value for one in questions.questions] == (best == right).tolist()
    assert {(one.relation, one.subject) for one in earned.values()} >= {("anatomy", "6")}
    lines = result.stdout.splitlines()
    assert max(map(len, lines[:-1])) <= 80
    assert "anatomy" in result.stdout
    assert "choices and record: " in lines[-1]


def test_a_model_that_always_says_a_earns_the_share_of_a_and_chance_when_permuted(
    questions: QuestionSet, tmp_path: Path
) -> None:
    folder = write_tiny_lm(
        tmp_path / "says-a", "gpt_neox", start="<|endoftext|>", max_position_embeddings=2048
    )
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        norm, head = model.base_model.final_layer_norm, model.get_output_embeddings()
        norm.weight.zero_()
        norm.bias.fill_(1.0)
        head.weight.zero_()
        letter = transformers.AutoTokenizer.from_pretrained(folder)("A")["input_ids"][-1]
        head.weight[letter] = 1.0
    model.save_pretrained(folder)
    for name, more in (("plain", ()), ("permuted", ("--permute",))):
        out = tmp_path / name
        chosen(*arguments(folder, questions, out, "--by", "letter", "--shots", "0", *more))
        figures = found(out)[0].figures["letter"]
        assert figures.letters["A"].answered_percent == pytest.approx(100)
        assert figures.own.percent == pytest.approx(100 * 2 / 7 if name == "plain" else 25)
        assert figures.over_without_question.percent == pytest.approx(0)


@pytest.mark.parametrize("family", ["masked", "encoder-decoder"])
def test_models_of_other_families_are_asked_by_text(
    family: str, models: dict[str, Path], questions: QuestionSet, tmp_path: Path
) -> None:
    result = chosen(*arguments(models[family], questions, tmp_path, "--shots", "0"))
    record, choices = found(tmp_path)
    assert record.settings.by == ("text",)
    assert record.settings.pll == ("answer-l2r" if family == "masked" else None)
    assert "asked by text" not in result.stderr
    card = ModelCard(
        name="tiny", title="", family="", source=f"path:{models[family]}", casing="uncased", licence="",
        citation="",
    )  # fmt: skip
    how = Asked(record.settings.family, "", record.settings.pll)
    model = load_model(card, models[family], how, device="cpu", precision="fp32", trusted=False)
    for one in questions.questions[:3]:
        statements = [prompt(one.question, (), "text", with_question=asked) for asked in (True, False)]
        scores = model.score_names(statements, one.question.options)
        rows = choices.filter(pa.array(choices["question_id"].to_numpy() == one.question_id)).to_pylist()
        for row in rows:
            own, without = scores.name_SN[:, row["place"]]
            assert (row["sum"], row["without_question_sum"]) == pytest.approx((own, without), abs=1e-4)
    with pytest.raises(UserError, match="--by letter is for causal models, and tiny-"):
        chosen(*arguments(models[family], questions, tmp_path, "--by", "letter"))


def test_parts_batches_and_a_kill_move_nothing(
    models: dict[str, Path],
    questions: QuestionSet,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    more = ("--shots", "1", "--permute")
    command = arguments(models["causal"], questions, tmp_path / "killed", *more)
    chosen(*arguments(models["causal"], questions, tmp_path / "whole", *more))
    killed = forks.start("probe", *command, crash_at="probe-part.renamed:1")
    assert killed.wait() == KILLED
    with caplog.at_level("INFO"):
        chosen(*command, "--batch-tokens", "64")
    assert "1 of 2 parts are done already" in caplog.text
    (record, choices), (other, others) = found(tmp_path / "whole"), found(tmp_path / "killed")
    assert record.identity == other.identity
    for column in ("sum", "without_question_sum"):
        np.testing.assert_allclose(choices[column], others[column], atol=1e-3, rtol=0)
    assert "nothing to do" in chosen(*command).stderr


def test_examples_that_do_not_fit_are_left_out_and_counted_and_so_are_questions(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    # tiny vocabularies write a character a token, or nearly
    short, middle, long = (("x" * number, ("a", "b"), "A") for number in (20, 200, 600))
    write_mmlu(tmp_path / "a_test.csv", [short, middle, long])
    write_mmlu(tmp_path / "a_dev.csv", EXAMPLES)
    made = question_set(tmp_path, sorted(tmp_path.glob("*.csv")))
    model = write_tiny_lm(
        tmp_path / "short-llama", "llama", start="<|endoftext|>", max_position_embeddings=400
    )
    result = chosen(*arguments(model, made, tmp_path / "out", "--shots", "3"))
    record, choices = found(tmp_path / "out")
    assert (record.counts.asked, record.counts.too_long, record.counts.fewer_shots) == (2, 1, 1)
    ids = [one.question_id for one in made.questions]
    rows = {(ids.index(row["question_id"]), row["by"]): row for row in choices.to_pylist()}
    assert rows[0, "letter"]["shots"] == rows[0, "text"]["shots"] == 3
    assert 0 < rows[1, "letter"]["shots"] < 3
    assert [rows[2, "text"][name] for name in ("left_out", "sum", "tokens")] == ["too long", None, None]
    assert record.figures["sum"].questions == 2
    assert "1 too long for the model" in result.stdout
    tiny = write_tiny_lm(tmp_path / "least", "llama", start="<|endoftext|>", max_position_embeddings=32)
    with pytest.raises(UserError, match="none of 3 questions fits into its limit of tokens"):
        chosen(*arguments(tiny, made, tmp_path / "none", "--shots", "0"))


def test_questions_with_different_numbers_of_options_are_permuted_each_by_its_own(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    # MMLU's tables have one number of options a file
    write_mmlu(tmp_path / "a_test.csv", ANATOMY)
    write_mmlu(tmp_path / "b_test.csv", [("Is it?", ("yes", "no"), "B")])
    made = question_set(tmp_path, sorted(tmp_path.glob("*.csv")))
    chosen(*arguments(models["causal"], made, tmp_path / "out", "--shots", "0", "--permute"))
    record, choices = found(tmp_path / "out")
    figures = record.figures["letter"]
    assert record.counts.prompts == 2 * (4 * (4 + 1) + (2 + 1))
    assert (figures.questions, figures.by_subset["b"].questions) == (5, 1)
    assert figures.uniform.percent == figures.majority.percent == pytest.approx((4 * 25 + 50) / 5)
    assert set(choices["left_out"].to_pylist()) == {""}


def test_options_that_the_vocabulary_lacks_have_no_score(tmp_path: Path, models: dict[str, Path]) -> None:
    rows = [("Which is it?", ("β", "b"), "A"), ("Which one?", ("a", "b"), "B")]
    write_mmlu(tmp_path / "a_test.csv", rows)
    made = question_set(tmp_path, [tmp_path / "a_test.csv"])
    chosen(*arguments(models["masked"], made, tmp_path / "out"))
    record, _ = found(tmp_path / "out")
    assert (record.counts.asked, record.counts.unknown, record.figures["sum"].questions) == (1, 1, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--shots", "9"), "3 examples of anatomy beside the questions of split test; ask with --shots 3"),
        (("--split", "dev"), r"0 examples of anatomy beside the questions of split dev; ask with --shots 0"),
        (("--split", "val"), r"no questions of split val; it has dev \(6\), test \(7\)"),
        (("--pll", "original"), "--pll is for masked models"),
        (("--start-token", "<nothing>"), "is no token of the vocabulary"),
        (("--by", "text", "--permute"), "--permute is of letters, and tiny-llama is asked by text"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_runs(
    options: tuple[str, ...], said: str, models: dict[str, Path], questions: QuestionSet, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        chosen(*arguments(models["causal"], questions, tmp_path / "out", *options))
    assert not (tmp_path / "out").exists()


def test_settings_are_part_of_the_identity(
    models: dict[str, Path], questions: QuestionSet, tmp_path: Path
) -> None:
    for more in (("--shots", "0"), ("--shots", "1"), ("--shots", "0", "--by", "text"), ("--queries", "3")):
        chosen(*arguments(models["causal"], questions, tmp_path, *("--shots", "0"), *more))
    records = [read_probe_record(path) for path in probe_record_paths(tmp_path)]
    assert len({record.identity for record in records}) == 4
    assert sorted(record.counts.questions for record in records if isinstance(record, ChoiceRecord)) == [
        3,
        7,
        7,
        7,
    ]


def test_probes_stand_in_one_table_and_are_compared_question_by_question(
    models: dict[str, Path], questions: QuestionSet, tmp_path: Path
) -> None:
    other = write_tiny_lm(
        tmp_path / "other-llama", "llama", seed=1, start="<|endoftext|>", max_position_embeddings=2048
    )
    for model in (models["causal"], other, models["masked"]):
        chosen(*arguments(model, questions, tmp_path / "out", "--shots", "0"))
    searched = ("scores", str(tmp_path / "out"))
    shown = chosen(*searched).stdout
    for row in ("tiny-llama, letter", "other-llama, letter", "tiny-bert, answer-l2r"):
        assert row in shown
    assert "tiny-bert, answer-l2r, letter" not in shown
    assert "majority: always B" in shown
    by_subset = chosen(*searched, "--by", "subset").stdout
    assert by_subset.count("medical_genetics") == 5 + 5 + 4
    assert max(map(len, (shown + by_subset).splitlines())) <= 80
    as_json = json.loads(chosen(*searched, "--set", str(questions.folder), "--format", "json").stdout)
    held = {(row["name"], row["score"], row["source"]): row["percent"] for row in as_json["choice"]}
    assert len(held) == (5 + 5 + 4) * 7
    assert held["tiny-llama", "sum", "majority"] == pytest.approx(100 * 4 / 7)
    lines = chosen(*searched, "--format", "csv").stdout.splitlines()
    assert lines[0].startswith("set,set_hash,identity,model,name,family,score,questions,subsets,source")
    assert len(lines) == 1 + len(held)

    results = ("--results", str(tmp_path / "out"), "--format", "json")
    compared = json.loads(chosen("compare", "tiny-llama", "other-llama", *results).stdout)
    assert compared["figure"] == "accuracy by letter"
    assert compared["queries"] == 7
    text = json.loads(chosen("compare", "tiny-llama", "tiny-bert", *results).stdout)
    assert text["figure"] == "accuracy by char"
    with pytest.raises(UserError, match="has no figures by 'letter'"):
        chosen("compare", "tiny-llama", "tiny-bert", "--score", "letter", *results)


def test_questions_are_shown_with_the_scores_of_their_options(
    models: dict[str, Path], questions: QuestionSet, tmp_path: Path
) -> None:
    chosen(*arguments(models["causal"], questions, tmp_path, "--shots", "1", "--permute"))
    record, choices = found(tmp_path)
    # found by its hash: who asked it remembered where it is
    place = ("show", "--model", "tiny-llama", "--results", str(tmp_path))
    result = chosen(*place)
    assert "by letter, 1 shot (not shown), options in their own order; hits:" in result.stderr
    assert "  A           In the chest (-" in result.stdout
    assert "  answer      B\n" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80

    rows = json.loads(chosen(*place, "--score", "pmi", "--format", "json").stdout)["examples"]
    assert len(rows) == record.counts.questions == 7
    by_hand = {
        (row["question_id"], "ABCD"[row["place"]]): row["sum"] - row["without_question_sum"]
        for row in choices.to_pylist()
        if row["by"] == "text"
    }
    for row in rows:
        scores = {letter: row[f"{letter}_score"] for letter in "ABCD"}
        assert scores == pytest.approx({letter: by_hand[row["question"], letter] for letter in "ABCD"})
        assert row["chosen"] == max(scores, key=lambda letter: scores[letter])
        assert row["is_hit"] == (row["chosen"] == row["answer"])
    assert 100 * sum(row["is_hit"] for row in rows) / 7 == pytest.approx(record.figures["pmi"].own.percent)
    missed = chosen(*place, "--misses", "--relation", "anatomy", "--n", "1").stdout
    assert "miss        " in missed
    assert "  subset      anatomy, question" in missed
    with pytest.raises(UserError, match="no query of subset 'anatomie'; did you mean 'anatomy'"):
        chosen(*place, "--relation", "anatomie")
    with pytest.raises(UserError, match=r"has no figures by 'column'; choose one of letter, sum"):
        chosen(*place, "--score", "column")


def test_questions_without_a_score_are_shown_with_the_reason(tmp_path: Path, models: dict[str, Path]) -> None:
    write_mmlu(tmp_path / "a_test.csv", [("Which is it?", ("β", "b"), "A"), ("Which one?", ("a", "b"), "B")])
    made = question_set(tmp_path, [tmp_path / "a_test.csv"])
    chosen(*arguments(models["masked"], made, tmp_path / "out"))
    place = ("show", "--model", "tiny-bert", "--results", str(tmp_path / "out"), "--set", str(made.folder))
    assert "  A           β\n" in chosen(*place).stdout
    assert "  no score    unknown characters\n" in chosen(*place).stdout
    result = chosen(*place, "--misses")
    assert "1 have no score and are neither hits nor misses" in result.stderr
    assert "Which is it?" not in result.stdout
