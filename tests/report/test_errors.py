"""`kebench errors`: judged by hand on small sentences, and on the recorded runs."""

from pathlib import Path

import pytest

from kebench.cli import main
from kebench.cli.errors import sentence_line
from kebench.kinds.confusion import confusion_grid, right_places
from kebench.kinds.errors import Both, Run, Shown, both_grid, scores_grid
from kebench.kinds.ner_errors import (
    _correct,
    agreement_mentions_grid,
    informative_sentences,
    is_abbreviation,
    judge,
    kinds_grid,
    strata_grid,
    training_mentions,
)
from kebench.kinds.pairs import Pair
from kebench.kinds.registry import read_split
from kebench.kinds.relation import marker_grid
from kebench.kinds.tagging import Sentence
from kebench.mini.build import miniature_data
from kebench.records import stem_of, write_record
from kebench.scoring.entities import entity_spans
from kebench.shipped import shipped
from kebench.tasks.card import read_task_card
from tests.report.sample_records import sample_record, write_sample

RECORDED = ["--results", str(shipped("results/recorded"))]
#       0123456789
GOLD = "BIOBOOBIIO"
WORDS = ("a", "b", "c", "ALS", "d", "e", "f", "g", "h", "i")
RUNS = [Run(0, [GOLD], ["BIOBOOOBIO"]), Run(1, [GOLD], ["BOOOOBOOOO"])]


def test_a_span_is_right_cut_wrong_missed_or_spurious() -> None:
    judged = judge(GOLD, "BOOBOOOOOB")
    assert judged.gold == (((0, 2), "boundary"), ((3, 4), "correct"), ((6, 9), "missed"))
    assert judged.spurious == ((9, 10),)


def test_kinds_are_means_over_seeds() -> None:
    # Seed 0: right, right, boundary. Seed 1: boundary, missed, missed, and a spurious one at 5.
    assert kinds_grid(RUNS).texts == (
        ("correct", "1.0", "33.3"),
        ("boundary", "1.0", "33.3"),
        ("missed", "1.0", "33.3"),
        ("spurious", "0.5", "16.7"),
    )


def test_strata_know_lengths_abbreviations_and_training() -> None:
    rows = {row[0]: row[1:] for row in strata_grid(RUNS, [WORDS], {"a b"}).texts}
    assert rows["1 word"] == ("1", "50.0", "0.0", "50.0")
    assert rows["3 words"] == ("1", "0.0", "50.0", "50.0")
    assert rows["4 words and more"] == ("0", "–", "–", "–")
    assert rows["abbreviation"] == rows["1 word"]
    assert rows["in training"] == ("1", "50.0", "50.0", "0.0")
    assert rows["not in training"][0] == "2"
    assert "abbreviation" not in {row[0] for row in strata_grid(RUNS, None, None).texts}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("ALS", True),
        ("G6PD", True),
        ("A-T", True),
        ("Als", False),
        ("I", False),
        ("PTENs", True),
        ("cancer", False),
    ],
)
def test_what_counts_as_an_abbreviation(word: str, expected: bool) -> None:
    assert is_abbreviation([word]) is expected
    assert not is_abbreviation([word, word])


def test_training_mentions_are_compared_in_small_letters() -> None:
    assert training_mentions([Sentence("0", ("Lung", "Cancer", "is"), "BIO")]) == {"lung cancer"}


def test_seeds_agree_where_they_find_the_same() -> None:
    rows = {row[0]: row[1] for row in agreement_mentions_grid(RUNS).texts}
    assert rows["found by 1 of 2 seeds"] == "2"
    assert rows["found by 0 of 2 seeds"] == "1"
    assert rows["F1 of one seed against another, mean"] == "0.0"
    assert len(agreement_mentions_grid(RUNS[:1]).texts) == 2


def test_models_are_held_against_each_other_by_most_of_their_seeds() -> None:
    right = [Run(0, [GOLD], [GOLD])]
    golds = [(0, span) for span in entity_spans(GOLD)]
    grid = both_grid(("", "", ""), Both("one", RUNS[:1], "two", right), golds, _correct)
    rows = {row[0]: row[1] for row in grid.texts}
    assert rows == {"both": "2", "only one": "0", "only two": "1", "neither": "0"}


def test_models_are_held_against_each_other_on_relation_instances_too() -> None:
    gold = ["no", "up", "up", "down"]
    one = [Run(seed, gold, ["no", "up", "no", "up"]) for seed in range(2)] + [Run(2, gold, ["up"] * 4)]
    two = [Run(0, gold, ["up", "up", "up", "no"])]
    rows = both_grid(("", "", ""), Both("one", one, "two", two), range(len(one[0].gold)), right_places).texts
    # One is right on the first two by most seeds, though its third seed is right on the third as well.
    assert rows == (("both", "1", "25.0"), ("only one", "1", "25.0"), ("only two", "1", "25.0"),
                    ("neither", "1", "25.0"))  # fmt: skip


def test_the_sentence_with_most_errors_comes_first_and_one_without_never() -> None:
    gold = ["BO", "BOB", "B"]
    runs = [Run(0, gold, ["OO", "OOO", "B"])]
    shown = informative_sentences(runs, [("x", "y"), ("p", "q", "r"), ("z",)], most=5)
    assert [one.place for one in shown] == [1, 0]
    assert shown[0].stretches == (("p", "missed"), ("q", ""), ("r", "missed"))
    assert len(informative_sentences(runs, [("x", "y"), ("p", "q", "r"), ("z",)], most=1)) == 1


def test_relations_are_counted_by_label_and_by_indicator() -> None:
    runs = [Run(0, ["no", "up", "up"], ["up", "up", "no"])]
    assert confusion_grid(runs, ["no", "up"]).texts == (("no", "0", "1"), ("up", "1", "1"))
    assert confusion_grid([*runs, *runs], ["no", "up"]).texts[0] == ("no", "0.0", "1.0")  # a mean over seeds
    assert scores_grid("label", "micro_f1", runs, ["no", "up"]).texts[1] == (
        "up",
        "2",
        "50.0",
        "50.0",
        "50.0",
    )
    texts = ["@G$ and @D$", "@G$ and @D$", "@G-D$"]
    grid = marker_grid(runs, texts, ["@G$", "@D$", "@G-D$"], ["@G-D$"], negative="no")
    assert grid.texts == (("@G$ and @D$", "2", "1", "66.7"), ("@G-D$", "1", "1", "0.0"))


def test_a_label_that_is_never_predicted_has_no_precision() -> None:
    by_label = scores_grid("label", "micro_f1", [Run(0, ["up"], ["no"])], ["up"])
    assert by_label.texts == (("up", "1", "–", "0.0", "0.0"),)


def test_sentences_are_escaped_where_they_are_written_as_latex_or_markdown() -> None:
    sentence = Shown(0, 1.0, (("5 % of A & B_1", ""), ("<b>", "missed")))
    assert sentence_line(sentence, "latex") == (
        r"1 (1.0) 5 \% of A \& B\_1 {[}-\textless{}b\textgreater{}{]}\par"
    )
    assert sentence_line(sentence, "markdown") == "1 (1.0) 5 % of A &amp; B\\_1 \\[-&lt;b&gt;\\]\n"


def test_without_data_the_words_are_left_out_and_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEBENCH_DATA", str(tmp_path))
    main(["errors", "--model", "minilm", "--task", "ncbi-disease", "--against", "bert-tiny", *RECORDED])
    shown = capsys.readouterr()
    assert shown.err.startswith("without words: ")
    assert "found by 3 of 3 seeds" in shown.out
    assert "only bert-tiny" in shown.out
    assert "abbreviation  " not in shown.out


@pytest.mark.realdata
def test_sentences_of_real_data_are_shown(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data", str(real_data / "blurb"), "--n", "2"]
    main(["errors", "--model", "minilm", "--task", "ncbi-disease", *options, *RECORDED])
    shown = capsys.readouterr().out
    assert "in training" in shown
    assert "[-" in shown.splitlines()[-1] + shown.splitlines()[-2] + shown.splitlines()[-3]
    main(["errors", "--model", "minilm", "--task", "chemprot", *options, *RECORDED])
    assert "@CHEMICAL$ and @GENE$" in capsys.readouterr().out


def test_models_of_other_protocols_are_not_held_against_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sample(
        tmp_path,
        [sample_record("minilm", "ncbi-disease"), sample_record("bert-tiny", "ncbi-disease", epochs=60)],
    )
    with pytest.raises(SystemExit):
        main(
            [
                "errors",
                "--model",
                "minilm",
                "--task",
                "ncbi-disease",
                "--against",
                "bert-tiny",
                "--results",
                str(tmp_path),
            ]
        )
    assert "minilm and bert-tiny have no runs under one protocol" in capsys.readouterr().err


def test_a_model_is_not_held_against_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sample(tmp_path, [sample_record("minilm", "gad")])
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "errors",
                "--model",
                "minilm",
                "--against",
                "minilm",
                "--task",
                "gad",
                "--results",
                str(tmp_path),
            ]
        )
    assert stop.value.code == 2
    message = "kebench: --against minilm: is the model itself; name another one\n"
    assert capsys.readouterr().err == message


def test_two_models_on_relations_are_in_the_title_and_in_a_grid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEBENCH_DATA", str(tmp_path))
    main(["errors", "--model", "minilm", "--task", "ddi", "--against", "bert-tiny", *RECORDED])
    shown = capsys.readouterr().out
    assert "against bert-tiny: F1 28.0 over 1 seed" in " ".join(shown.split())
    assert "right by most seeds of" in shown
    assert "only bert-tiny" in shown
    assert "Means over seeds" not in shown  # it is one seed


def test_the_miniature_s_words_are_made_and_not_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEBENCH_DATA", str(tmp_path))
    test = read_split(
        read_task_card("mini-gad"), read_task_card("mini-gad").find_split(miniature_data(), "test")
    )
    labels = [one.label for one in test if isinstance(one, Pair)]
    part = {"ids": list(map(str, range(len(labels)))), "gold": labels, "predicted": labels}
    part |= {"num_cut": 0, "num_missing_markers": 0}
    record = sample_record("minilm", "mini-gad")
    stem = stem_of(tmp_path, record)
    stem.parent.mkdir(parents=True)
    write_record(stem, record, {"kind": "relation", "negative": "0", "dev": part, "test": part})
    main(["errors", "--model", "minilm", "--task", "mini-gad", "--results", str(tmp_path)])
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "indicators in the text" in shown.out


def test_unknown_models_and_tasks_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sample(tmp_path, [sample_record("minilm", "gad")])
    for arguments, message in (
        (["--model", "minlm", "--task", "gad"], "no records of model 'minlm'; did you mean 'minilm'?"),
        (["--model", "minilm", "--task", "gda"], "no task 'gda'"),
        (["--model", "minilm", "--task", "ddi"], "no records of ddi; run it"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["errors", *arguments, "--results", str(tmp_path)])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err
