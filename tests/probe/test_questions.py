"""Sets of multiple choice questions: files of MMLU and MedQA, what is refused, what serves as examples."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from kebench.cli.probe import probe
from kebench.errors import UserError
from kebench.probe.query_set import QuerySet
from kebench.probe.question_files import Question, question_form
from kebench.probe.questions import QuestionSet, import_questions
from tests.probe.question_sets import (
    ANATOMY,
    EXAMPLES,
    GENETICS,
    linkbert_line,
    medqa_line,
    mmlu_folder,
    question_set,
    write_mmlu,
)


def lines(path: Path, *held: str) -> Path:
    path.write_text("\n".join(held) + "\n", encoding="utf-8")
    return path


def test_mmlu_is_read_with_and_without_a_header_by_subset_and_split(tmp_path: Path) -> None:
    made = question_set(tmp_path, [mmlu_folder(tmp_path / "mmlu")])
    assert [len(made), made.manifest.counts.subsets, made.manifest.counts.questions] == [7, 2, 13]
    first, *_, last = (one.question for one in made.questions)
    assert first == Question(
        "anatomy", "test", "anatomy_test.csv line 1", ANATOMY[0][0], tuple(ANATOMY[0][1]), 0
    )
    assert (last.subset, last.answer) == ("medical_genetics", 1)
    # a record that holds a line break is of the line that it begins in
    assert [one.question.source for one in made.questions][2:4] == [
        "anatomy_test.csv line 3", "anatomy_test.csv line 5",
    ]  # fmt: skip
    assert made.questions[2].question.options[2] == "lines the lung,\nand the chest."
    assert [one.text for one in made.shots["anatomy"]] == [row[0] for row in EXAMPLES]
    assert [one.answer for one in made.shots["medical_genetics"]] == [0, 1, 2]
    assert made.majority == (1,)
    assert made.manifest.by_split["test"].answers == {"A": 2, "B": 4, "C": 1}
    assert made.manifest.by_split["test"].by_subset["anatomy"].answers == {"A": 1, "B": 2, "C": 1}
    # the examples of the second subset are those of the first
    assert made.manifest.counts.repeated == 3


def test_both_forms_of_medqa_make_one_set_gzipped_or_not(tmp_path: Path) -> None:
    own = lines(tmp_path / "phrases_no_exclude_test.jsonl", *map(medqa_line, ANATOMY))
    other = tmp_path / "test.json.gz"
    held = [linkbert_line(row, number) for number, row in enumerate(ANATOMY)]
    other.write_bytes(gzip.compress("\n".join(held).encode()))
    one, two = (question_set(tmp_path, [path], path.stem[:4]) for path in (own, other))
    assert one.manifest.content_hash == two.manifest.content_hash
    assert [one.question.source for one in two.questions][:2] == ["test-00000", "test-00001"]
    assert {one.question.subset for one in two.questions} == {"questions"}
    assert two.shots == {}
    assert import_questions([own], tmp_path / "test").content_hash == two.manifest.content_hash  # once more


def test_sets_are_told_apart_by_content_not_by_name(tmp_path: Path) -> None:
    made = question_set(tmp_path, [mmlu_folder(tmp_path / "mmlu")])
    with pytest.raises(UserError, match="a set of multiple choice questions; 'kebench probe choice' asks it"):
        QuerySet.open(made.folder)
    with pytest.raises(UserError, match="no set of questions"):
        QuestionSet.open(tmp_path / "mmlu")
    other = write_mmlu(tmp_path / "anatomy_test.csv", ANATOMY[:2])
    with pytest.raises(UserError, match="holds another set of questions; choose another --out"):
        import_questions([other], made.folder)
    assert question_form(other) == "mmlu"
    with pytest.raises(UserError, match="multiple choice questions"):
        QuerySet.open(other)
    with pytest.raises(UserError, match=r"no questions of split val; it has dev \(6\), test \(7\)"):
        QuestionSet.open(made.folder, split="val")
    (made.folder / "questions.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"questions.parquet: not the file that set.json describes"):
        QuestionSet.open(made.folder)


def test_an_example_that_is_asked_in_its_subset_is_not_shown(tmp_path: Path) -> None:
    asked = ("IS aspirin  a drug?", *EXAMPLES[0][1:])
    write_mmlu(tmp_path / "anatomy_test.csv", [*ANATOMY, asked])
    write_mmlu(tmp_path / "anatomy_dev.csv", EXAMPLES)
    made = question_set(tmp_path, sorted(tmp_path.glob("*.csv")))
    assert [one.text for one in made.shots["anatomy"]] == [row[0] for row in EXAMPLES[1:]]
    assert made.manifest.counts.repeated == 1
    assert made.questions[-1].same_as == 0


def test_what_is_twice_is_counted(tmp_path: Path) -> None:
    other = (ANATOMY[0][0], ANATOMY[0][1], "B")
    twice = ("A question?", ("yes", "no", "no", "maybe"), "B")
    path = write_mmlu(tmp_path / "anatomy_test.csv", [*ANATOMY, ANATOMY[1], other, twice])
    result = CliRunner().invoke(probe, ["import", str(path), "--out", str(tmp_path / "set")])
    assert "2 questions are repeated, with the same options." in result.stdout
    assert "1 of them with another answer." in result.stdout
    assert "1 questions have an option twice." in result.stdout
    assert max(map(len, result.stdout.splitlines()[:-1])) <= 80
    again = CliRunner().invoke(probe, ["stats", str(tmp_path / "set"), "--format", "json"])
    assert json.loads(again.stdout)["counts"] == {
        "questions": 7, "subsets": 1, "repeated": 2, "contradicting": 1, "duplicate_options": 1,
    }  # fmt: skip


HEADER = "question,choice0,choice1,choice2,choice3,answer"


@pytest.mark.parametrize(
    ("name", "held", "said"),
    [
        ("a_test.csv", 'q,1,2,3,4,A\nq,1,2,3,4,E\n', "a_test.csv line 2: the answer is 'E', expected A to D"),
        ("a_test.csv", 'q,1,2,3,4,A\n"q\nr",1,2,3,4,b\n', "line 2: the answer is 'b', expected A to D"),
        ("a_test.csv", "q,1,2,3,4,A\nq,1,2,3,4,0\n", "answer is '0', expected A to D where no header"),
        ("a_test.csv", f"{HEADER}\nq,1,2,3,4,4\n", "line 2: the answer is '4', expected 0 to 3 or A to D"),
        ("a_test.csv", "question,choice1,choice2,answer\nq,1,2,0\n", "'0', expected 1 to 2 or A to B"),
        ("a_test.csv", "question,A,B,answer\nq,1,2,0\n", "the answer is '0', expected A to B"),
        ("a_test.csv", f"{HEADER}\nq,1,2,3,4,0\nq,1,2,3,4,B\n", "3: the answer is 'B', those above are"),
        ("a_test.csv", "question,one,two,answer\nq,1,2,0\n", "options are one, two, expected choice0"),
        ("a_test.csv", "q,1,2,3,4,A\nq,1,2,3,A\n", "line 2: 5 columns, expected 6"),
        ("a_test.csv", "q,1,2,3,4,A\nq,1, ,3,4,A\n", "line 2: a question or an option is empty"),
        ("a_test.csv", 'q,1,2,3,4,A\n"q,1,2,3,4,A\n', "line 2: not CSV"),
        ("a_test.csv", "q,1,2,3,4,A\nq,1,2,\x07,4,A\n", r"line 2: holds '\\x07', which is no text"),
        ("a.csv", "q,1,2,3,4,A\n", "a.csv: its name tells no split"),
        ("test.jsonl", medqa_line(ANATOMY[0], answer="Elsewhere"), "answer 'Elsewhere' is not option A"),
        ("test.jsonl", medqa_line(ANATOMY[0], answer_idx="F"), "answer_idx 'F', expected A to D"),
        ("test.jsonl", medqa_line(ANATOMY[0], options={"A": "1", "C": "2"}), "options are no object of A, B"),
        ("test.jsonl", medqa_line(ANATOMY[0], question=" "), "a question or an option is empty"),
        ("test.jsonl", medqa_line(ANATOMY[0]) + "\n[]", "line 2: no JSON object"),
        ("test.jsonl", medqa_line(ANATOMY[0]) + "\n{", "line 2: not JSON"),
        ("dev.json", linkbert_line(ANATOMY[0]), "id 'test-00000' in a file of split dev"),
        ("test.json", linkbert_line(ANATOMY[0], label=4), "label 4, expected 0 to 3"),
        ("test.json", linkbert_line(ANATOMY[0], label=True), "label True, expected 0 to 3"),
        ("test.json", linkbert_line(ANATOMY[0], sent2="It is"), "sent2 holds text"),
        ("test.json", linkbert_line(ANATOMY[0], ending5="x"), "options ending0"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_with_its_line(
    name: str, held: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(held)
    with pytest.raises(UserError, match=said) as raised:
        import_questions([tmp_path / name], tmp_path / "set")
    assert name in str(raised.value)
    assert not (tmp_path / "set").exists()


def test_a_file_in_a_folder_that_is_no_question_is_not_passed_over(tmp_path: Path) -> None:
    folder = mmlu_folder(tmp_path / "mmlu")
    (folder / "test" / "virology_test.csv").write_text("What is a virus?,A cell,A gene\n")
    with pytest.raises(UserError, match=r"virology_test.csv: no questions in a form that is known"):
        import_questions([folder], tmp_path / "set")
    other = lines(tmp_path / "more.jsonl", json.dumps({"obj_labels": ["x"]}))
    with pytest.raises(UserError, match=r"more.jsonl: no questions in a form that is known"):
        import_questions([folder / "dev", other], tmp_path / "set")
    result = CliRunner().invoke(
        probe, ["import", str(folder / "dev"), "--out", str(tmp_path / "set"), "--prompts", str(other)]
    )
    assert "leave --prompts out" in str(result.exception)


def test_other_files_are_none(tmp_path: Path) -> None:
    table = lines(tmp_path / "plain.csv", "query,answers", "aspirin may treat [MASK].,pain")
    empty = lines(tmp_path / "empty.csv")
    (tmp_path / "broken.json.gz").write_bytes(b"\x1f\x8bno")
    assert {question_form(path) for path in (table, empty, tmp_path / "broken.json.gz")} == {None}


def test_questions_of_a_split_are_asked_with_examples_of_another(tmp_path: Path) -> None:
    write_mmlu(tmp_path / "a_dev.csv", ANATOMY)
    write_mmlu(tmp_path / "a_train.csv", GENETICS)
    import_questions(sorted(tmp_path.glob("*.csv")), tmp_path / "set")
    made = QuestionSet.open(tmp_path / "set", split="dev")
    assert len(made) == len(ANATOMY)
    assert [one.text for one in made.shots["a"]] == [row[0] for row in GENETICS]
    assert QuestionSet.open(tmp_path / "set", split="train").shots["a"][0].text == ANATOMY[0][0]


@pytest.mark.realdata
def test_mmlu_s_medical_subsets_and_medqa_are_read_whole(real_data: Path, tmp_path: Path) -> None:
    mmlu = question_set(tmp_path, [real_data / "qa" / "mmlu-med"], "mmlu")
    counted = {name: of.questions for name, of in mmlu.manifest.by_split["test"].by_subset.items()}
    assert counted == {
        "anatomy": 135, "clinical_knowledge": 265, "college_biology": 144, "college_medicine": 173,
        "medical_genetics": 100, "professional_medicine": 272,
    }  # fmt: skip
    assert len(mmlu) == 1089
    assert {name: len(some) for name, some in mmlu.shots.items()} == dict.fromkeys(counted, 5)
    # 78 questions are asked in clinical knowledge and in college medicine; 5 are examples in one of them
    assert mmlu.manifest.counts.repeated == 78 + 5
    assert mmlu.manifest.counts.contradicting == 0
    with (real_data / "qa" / "mmlu-med" / "dev" / "anatomy_dev.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert [one.answer for one in mmlu.shots["anatomy"]] == [int(row[-1]) for row in rows]

    medqa = question_set(tmp_path, [real_data / "qa" / "medqa" / "linkbert"], "medqa")
    assert {name: of.questions for name, of in medqa.manifest.by_split.items()} == {"dev": 1272, "test": 1273}
    assert medqa.manifest.by_split["test"].answers == {"A": 353, "B": 309, "C": 346, "D": 265}
    assert medqa.majority == (0,)
    assert pq.read_metadata(medqa.folder / "questions.parquet").num_rows == 2545
