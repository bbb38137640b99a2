"""What the files of a task hold beside its examples: entity indicators that are not the card's."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kebench.cli import main
from kebench.errors import UserError
from kebench.kinds.card import SPLITS, TaskCard
from kebench.kinds.pairs import Pair
from kebench.kinds.registry import read_split
from kebench.kinds.relation import marker_faults
from kebench.tasks.card import select_tasks
from kebench.tasks.check import check_task
from kebench.tasks.facts import split_facts
from tests.task_cards import task_card

Write = Callable[..., TaskCard]


def _card(*markers: str, merged: tuple[str, ...] = ()) -> TaskCard:
    return task_card(
        {
            "name": "rel",
            "title": "Relations",
            "suite": "mine",
            "kind": "relation",
            "format": "pairs",
            "folders": ["rel"],
            "labels": ["no", "yes"],
            "negative": "no",
            "markers": markers,
            "merged_markers": merged,
            "licence": "none",
            "citation": "none",
            "access": {"kind": "registration", "instructions": "none"},
        }
    )


GENE_DISEASE = _card("@GENE$", "@DISEASE$")
CHEM_GENE = _card("@CHEM$", "@GENE$", "@CHEM-GENE$", merged=("@CHEM-GENE$",))
DRUGS = _card("@DRUG$", "@DRUG-DRUG$", merged=("@DRUG-DRUG$",))


@pytest.mark.parametrize(
    ("card", "text", "held"),
    [
        (GENE_DISEASE, "@GENE$ in @DISEASE$", None),
        (GENE_DISEASE, "@DISEASE$, not @GENE$", None),
        (GENE_DISEASE, "@GENE$ in ataxia", "@GENE$"),
        (GENE_DISEASE, "@GENE$ and @GENE$", "@GENE$, @GENE$"),
        (GENE_DISEASE, "@GENE$ and @GENE$ in @DISEASE$", "@GENE$, @GENE$, @DISEASE$"),
        (GENE_DISEASE, "@GENE$ in @Disease$", "@GENE$, @Disease$"),
        (GENE_DISEASE, "@GENE$ in @DISEASE$ and @DISORDER$", "@GENE$, @DISEASE$, @DISORDER$"),
        (CHEM_GENE, "a @CHEM-GENE$", None),
        (CHEM_GENE, "@CHEM$ and @GENE$", None),
        (CHEM_GENE, "@CHEM-GENE$ and @GENE$", "@CHEM-GENE$, @GENE$"),
        (DRUGS, "@DRUG$ and @DRUG$", None),
        (DRUGS, "@DRUG-DRUG$", None),
        (DRUGS, "@DRUG$ alone", "@DRUG$"),
        (DRUGS, "@DRUG$, @DRUG$ and @DRUG$", "@DRUG$, @DRUG$, @DRUG$"),
    ],
)
def test_a_text_holds_the_cards_two_indicators_or_one_that_stands_for_both(
    card: TaskCard, text: str, held: str | None
) -> None:
    assert marker_faults(card, [Pair("7", text, "no")]) == ([f"7 holds {held}"] if held else [])


def _rows(num_right: int, num_wrong: int) -> str:
    texts = ["@GENE$ in @DISEASE$"] * num_right + ["@GENE$ in @DISORDER$"] * num_wrong
    return "".join(f"{row}\t{text}\t{'yes' if row else 'no'}\n" for row, text in enumerate(texts))


def _write(data: Path, *, train: str) -> None:
    (data / "rel").mkdir(parents=True)
    for split in SPLITS:
        (data / "rel" / f"{split}.tsv").write_text(train if split == "train" else _rows(20, 0))


def test_one_odd_text_in_twenty_is_a_note_with_its_count(tmp_path: Path) -> None:
    _write(tmp_path, train=_rows(19, 1))
    train, dev, _ = check_task(GENE_DISEASE, tmp_path)
    assert (train.level, train.message) == (
        "note",
        f"{tmp_path}/rel/train.tsv: 20 instances; the card expects no size; "
        "1 of 20 texts do not hold @GENE$ and @DISEASE$ once each: the model reads other places there",
    )
    assert [one.facts and one.facts.num_marker_faults for one in (train, dev)] == [1, 0]
    assert dev.message.endswith("20 instances; the card expects no size")


def test_more_than_one_in_twenty_is_refused_unless_asked_for(tmp_path: Path) -> None:
    _write(tmp_path, train=_rows(18, 2))
    train, *_ = check_task(GENE_DISEASE, tmp_path)
    assert (train.level, train.message) == (
        "error",
        f"{tmp_path}/rel/train.tsv: 2 of 20 texts do not hold @GENE$ and @DISEASE$ once each "
        "(18 holds @GENE$, @DISORDER$); mend the texts or the card's markers, or pass "
        "--allow-missing-markers if they are meant so",
    )
    train, *_ = check_task(GENE_DISEASE, tmp_path, allow_missing_markers=True)
    assert train.level == "note"
    assert "2 of 20 texts do not hold" in train.message


def test_the_plan_of_a_run_refuses_and_tells_as_data_check_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(tmp_path / "data", train=_rows(0, 20))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "rel.toml").write_text(
        'name = "rel"\ntitle = "R"\nsuite = "mine"\nkind = "relation"\nformat = "pairs"\nfolders = ["rel"]\n'
        'labels = ["no", "yes"]\nnegative = "no"\nmarkers = ["@GENE$", "@DISEASE$"]\nlicence = "none"\n'
        'citation = "none"\naccess = { kind = "registration", instructions = "none" }\n'
    )
    monkeypatch.chdir(tmp_path)
    plan = ["run", "--model", "bert-mini", "--tasks", "rel", "--data", "data", "--out", "out", "--plan"]
    with pytest.raises(SystemExit) as stopped:
        main(plan)
    assert stopped.value.code == 2
    assert "20 of 20 texts do not hold @GENE$ and @DISEASE$ once each" in capsys.readouterr().err
    main([*plan, "--allow-missing-markers"])
    assert "note: rel train: 20 of 20 texts do not hold" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["data", "check", "data", "--tasks", "rel"])
    main(["data", "check", "data", "--tasks", "rel", "--allow-missing-markers"])
    assert "20 of 20 texts do not hold" in capsys.readouterr().out


def test_a_text_without_any_indicator_stays_an_unreadable_line(tmp_path: Path) -> None:
    _write(tmp_path, train="0\tno gene\tno\n")
    with pytest.raises(UserError, match=r"line 1: no @GENE\$ or @DISEASE\$ in the text 'no gene'"):
        read_split(GENE_DISEASE, tmp_path / "rel" / "train.tsv")


@pytest.mark.realdata
@pytest.mark.parametrize("task", ["chemprot", "ddi", "gad"])
def test_no_text_of_blurbs_relation_files_lacks_an_indicator(task: str, real_data: Path) -> None:
    [card] = select_tasks(task)
    read = {split: read_split(card, card.find_split(real_data / "blurb", split)) for split in SPLITS}
    assert [facts.num_marker_faults for facts in split_facts(card, read, schemes={}).values()] == [0, 0, 0]
