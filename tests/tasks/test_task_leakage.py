"""What the files of a task hold together: gold, and examples that stand in an earlier split."""

import json
from pathlib import Path

import pytest

from kebench.cli import main
from kebench.kinds.card import SPLITS, TaskCard
from kebench.kinds.pairs import Pair
from kebench.kinds.registry import read_split
from kebench.kinds.tagging import Sentence
from kebench.records import SplitFacts
from kebench.tasks.card import read_task_card
from kebench.tasks.check import check_task
from kebench.tasks.facts import is_seen_widely, remarks, seen_rows, split_facts
from tests.finetune.small_tasks import NER, RELATION

LONG = "the patients had a headache that no tablet could end"  # 52 characters


def sentence(text: str, tags: str = "") -> Sentence:
    words = tuple(text.split())
    return Sentence("0", words, tags or "O" * len(words))


def ner(*, train: list[Sentence], test: list[Sentence], dev: list[Sentence] | None = None) -> SplitFacts:
    return split_facts(NER, {"train": train, "dev": dev or [], "test": test}, schemes={})["test"]


def others(number: int) -> list[Sentence]:
    return [sentence(f"sentence number {number} of {one} that stands nowhere else") for one in range(number)]


def test_a_test_sentence_counts_as_seen_if_it_stands_in_train_or_dev_case_aside() -> None:
    test = [sentence(LONG.upper()), sentence(f"{LONG} again"), sentence(f"{LONG} twice"), *others(20)]
    facts = ner(train=[sentence(LONG)], dev=[sentence(f"{LONG} again")], test=test)
    assert (facts.num_examples, facts.num_seen, facts.num_contradicting) == (23, 2, 0)


def test_dev_counts_against_train_alone_and_train_against_nothing() -> None:
    facts = split_facts(NER, {split: [sentence(LONG)] for split in SPLITS}, schemes={})
    assert [facts[split].num_seen for split in SPLITS] == [None, 1, 1]


def test_a_seen_example_contradicts_where_its_text_only_stands_with_other_labels() -> None:
    tags = "B" + "O" * 9
    train = [sentence(LONG), sentence(f"{LONG} again", tags + "O"), sentence(f"{LONG} again")]
    test = [sentence(LONG, tags), sentence(f"{LONG} again"), *others(2)]
    facts = ner(train=train, test=test)
    assert (facts.num_seen, facts.num_contradicting) == (2, 1)


def test_white_space_within_a_relation_s_text_is_no_difference() -> None:
    read = {
        "train": [Pair("1", f"@GENE$  {LONG} @DISEASE$", "1")],
        "dev": [],
        "test": [Pair("2", f"@gene$ {LONG}\u00a0@DISEASE$", "0")],
    }
    facts = split_facts(RELATION, read, schemes={})["test"]
    assert (facts.num_seen, facts.num_contradicting) == (1, 1)


def test_short_texts_recur_by_chance_and_count_only_where_a_tenth_of_the_split_is_seen() -> None:
    short = sentence("Conclusion .")
    assert ner(train=[short], test=[short, *others(10)]).num_seen == 0  # 1 of 11
    assert ner(train=[short], test=[short, *others(9)]).num_seen == 1  # 1 of 10


def test_entity_indicators_are_no_characters_of_a_text() -> None:
    text = "@DRUG$ helps some of them against @DISEASE$."  # 'helps some of them against .': 28
    rest = [Pair("x", f"@DRUG$ {LONG} {one}", "false") for one in range(20)]
    read = {"train": [Pair("1", text, "false")], "dev": [], "test": [Pair("1", text, "false"), *rest]}
    assert seen_rows(RELATION, read, "test").rows == ()


def test_gold_is_counted_as_the_score_counts_it() -> None:
    read = {"train": [sentence("a b c d", "BIBO")], "dev": [sentence("a")], "test": [sentence("a", "B")]}
    assert [one.num_gold for one in split_facts(NER, read, schemes={}).values()] == [2, 0, 1]
    pairs = {split: [Pair("1", "@DRUG$", "treats"), Pair("2", "@DRUG$", "false")] for split in SPLITS}
    assert [one.num_gold for one in split_facts(RELATION, pairs, schemes={}).values()] == [1, 1, 1]


def test_a_file_without_gold_is_said_and_what_follows() -> None:
    facts = SplitFacts(num_examples=4, num_gold=0)
    assert [remarks(RELATION, split, facts) for split in SPLITS] == [
        ["WARNING: no positive instance: there is nothing to learn"],
        ["WARNING: no positive instance: neither epoch nor learning rate can be chosen by its F1"],
        ["WARNING: no positive instance: its F1 is undefined"],
    ]
    assert remarks(NER, "test", facts) == ["WARNING: no mention: its F1 is undefined"]


@pytest.mark.parametrize(
    ("num_seen", "said"),
    [
        (0, []),
        (1, ["1 of 100 instances stand in train or dev too"]),
        (
            2,
            [
                "2 of 100 instances stand in train or dev too (1 with other labels): its score shows in part "
                "what a model remembers"
            ],
        ),
        (
            10,
            [
                "WARNING: 10 of 100 instances stand in train or dev too (1 with other labels): its score "
                "shows in part what a model remembers"
            ],
        ),
        (
            51,
            [
                "WARNING: 51 of 100 instances stand in train or dev too (1 with other labels): its score "
                "shows what a model remembers, not what it has learnt"
            ],
        ),
    ],
)
def test_the_more_of_a_split_is_seen_the_louder_it_is_said(num_seen: int, said: list[str]) -> None:
    one = SplitFacts(num_examples=100, num_gold=1, num_seen=num_seen, num_contradicting=int(num_seen > 1))
    assert remarks(RELATION, "test", one) == said
    assert is_seen_widely(one) == (num_seen > 1)
    assert any(line.startswith("WARNING: ") for line in remarks(RELATION, "test", one)) == (num_seen > 9)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("task", "num_seen", "num_contradicting"), [("jnlpba", 98, 26), ("ddi", 96, 12), ("bc2gm", 17, 2)]
)
def test_blurb_s_test_sets_stand_in_part_in_train_or_dev(
    task: str, num_seen: int, num_contradicting: int, real_data: Path
) -> None:
    card, read = _blurb(task, real_data)
    facts = split_facts(card, read, schemes={})["test"]
    assert (facts.num_seen, facts.num_contradicting) == (num_seen, num_contradicting)


@pytest.mark.realdata
def test_the_instances_of_ddi_that_are_seen_are_of_33_sentences(real_data: Path) -> None:
    card, read = _blurb("ddi", real_data)
    rows = seen_rows(card, read, "test").rows
    assert len({read["test"][row].id.rpartition(".")[0] for row in rows}) == 33


def _blurb(task: str, real_data: Path) -> tuple[TaskCard, dict[str, list[Sentence] | list[Pair]]]:
    card = read_task_card(task)
    paths = {split: card.find_split(real_data / "blurb", split) for split in SPLITS}
    return card, {split: read_split(card, path) for split, path in paths.items()}


def test_data_check_refuses_a_dev_set_without_gold_as_a_run_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_leaking_task(tmp_path)
    (tmp_path / "data" / "leaking" / "dev.tsv").write_text("1\t@GENE$ in @DISEASE$\t0\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["data", "check", "data", "--tasks", "leaking"])
    assert stopped.value.code
    said = " ".join(capsys.readouterr().out.split())
    assert "no positive instance, so neither epoch nor learning rate can be chosen by its F1" in said


def test_a_test_set_without_gold_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_leaking_task(tmp_path)
    (tmp_path / "data" / "leaking" / "test.tsv").write_text("1\t@GENE$ in @DISEASE$\t0\n")
    monkeypatch.chdir(tmp_path)
    finding = check_task(read_task_card("leaking"), tmp_path / "data")[2]
    assert (finding.split, finding.level) == ("test", "note")
    assert "WARNING: no positive instance: its F1 is undefined" in finding.message


def test_data_check_says_and_writes_what_the_files_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_leaking_task(tmp_path)
    monkeypatch.chdir(tmp_path)
    main(["data", "check", "data", "--tasks", "leaking"])
    assert capsys.readouterr().out.splitlines()[-1] == (
        "leaking test: WARNING: 2 of 2 instances stand in train or dev too: its score shows what a model "
        "remembers, not what it has learnt"
    )
    main(["data", "check", "data", "--tasks", "leaking", "--format", "json"])
    facts = json.loads(capsys.readouterr().out)[2]["facts"]
    assert (facts["num_gold"], facts["num_seen"], facts["num_contradicting"]) == (1, 2, 0)


def _write_leaking_task(folder: Path) -> None:
    lines = {
        "train": "1\t@GENE$ causes @DISEASE$.\t1\n2\t@GENE$ met @DISEASE$.\t0\n",
        "dev": "1\t@GENE$ in @DISEASE$\t1\n",
    }
    (folder / "data" / "leaking").mkdir(parents=True)
    for split, text in {**lines, "test": lines["train"]}.items():
        (folder / "data" / "leaking" / f"{split}.tsv").write_text(text)
    (folder / "tasks").mkdir()
    (folder / "tasks" / "leaking.toml").write_text(
        'name = "leaking"\ntitle = "Leaking"\nsuite = "mine"\nkind = "relation"\nformat = "pairs"\n'
        'folders = ["leaking"]\nlabels = ["0", "1"]\nnegative = "0"\nmarkers = ["@GENE$", "@DISEASE$"]\n'
        'licence = "none"\ncitation = "none"\n[access]\nkind = "registration"\ninstructions = "none"\n'
    )
