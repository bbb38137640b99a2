"""Published tables: every file reads, and its averages are the means of its rows."""

from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from kebench.cards import read_model_card
from kebench.errors import UserError
from kebench.report.latex_signs import escape_latex
from kebench.report.published import (
    MARKS,
    PublishedRow,
    PublishedTable,
    published_table_paths,
    read_published_table,
    read_published_tables,
)
from kebench.shipped import shipped
from kebench.tasks.card import all_task_cards, read_task_card

PROBES = ["kebiolm-table6"]  # their columns are kinds of queries, not tasks
FILES = [path.stem for path in published_table_paths() if path.stem not in PROBES]
EACH_METRIC = "percent of each task's metric in BLURB: F1, Pearson's r or accuracy"
WITHOUT_CARD = {
    "biolinkbert-large",
    "kebiolm-no-wem",
    "kebiolm-rand",
    "kebiolm-frz",
    "kebiolm-4-8",
    "kebiolm-12-0",
}


def read(name: str) -> PublishedTable:
    return read_published_table(shipped("results/published") / f"{name}.toml")


def row_of(name: str, label: str) -> PublishedRow:
    return next(row for row in read(name).rows if row.label == label)


@pytest.mark.parametrize("name", FILES)
def test_every_published_table_reads_and_names_models_and_tasks_that_exist(name: str) -> None:
    table = read(name)
    assert table.unit == ("percent F1" if name.startswith("kebiolm") else EACH_METRIC)
    for row in table.rows:
        assert row.model in WITHOUT_CARD or read_model_card(row.model).name == row.model
        assert all(read_task_card(task).suite == table.suite for task in row.scores)


@pytest.mark.parametrize("name", [name for name in FILES if any(row.averages for row in read(name).rows)])
def test_every_printed_average_is_the_mean_of_its_row_to_rounding(name: str) -> None:
    for row in read(name).rows:
        for kind, printed in row.averages.items():
            if kind == "blurb":  # whose thirteen scores no table prints
                continue
            tasks = [card.name for card in all_task_cards() if (card.suite, card.kind) == ("blurb", kind)]
            mean = sum(Decimal(str(row.scores[task])) for task in tasks) / len(tasks)
            assert mean.quantize(Decimal("0.1"), ROUND_HALF_UP) == Decimal(str(printed)), row.label


@pytest.mark.parametrize("name", ["kebiolm-table3", "kebiolm-table4"])
def test_the_ablations_first_column_repeats_table_2(name: str) -> None:
    repeated = next(row for row in read(name).rows if row.model == "kebiolm")
    assert repeated.scores == row_of("kebiolm-table2", "KeBioLM").scores
    assert repeated.averages == row_of("kebiolm-table2", "KeBioLM").averages


def test_table_2_holds_the_eight_models_of_the_paper_and_all_its_deviations() -> None:
    table = read("kebiolm-table2")
    assert [row.model for row in table.rows] == [
        "biobert",
        "scibert",
        "clinicalbert",
        "bluebert",
        "diseasebert",
        "bio-lm",
        "pubmedbert",
        "kebiolm",
    ]
    assert [len(row.sd) for row in table.rows] == [0, 0, 0, 0, 0, 0, 0, 10]


def test_bio_lm_is_not_comparable_and_says_why() -> None:
    row = row_of("kebiolm-table2", "bio-lm")
    assert not row.comparable
    assert "other metrics" in row.reason


def test_the_text_of_the_paper_agrees_with_table_2() -> None:
    # Section 4.4: +1.1 and +1.9 over BioBERT, +0.8 and +0.6 over PubMedBERT (NER, RE).
    kebiolm = row_of("kebiolm-table2", "KeBioLM").averages
    for label, ner, relation in (("BioBERT", 1.1, 1.9), ("PubMedBERT", 0.8, 0.6)):
        other = row_of("kebiolm-table2", label).averages
        assert kebiolm["ner"] - other["ner"] == pytest.approx(ner)
        assert kebiolm["relation"] - other["relation"] == pytest.approx(relation)


def test_table_2_copies_the_first_version_of_pubmedberts_scores() -> None:
    # 80.06 and 82.34 print as 80.1 and 82.3; the final version has 79.10 and 83.96.
    first = row_of("pubmedbert-versions", "PubMedBERT first").scores
    printed = row_of("kebiolm-table2", "PubMedBERT").scores
    assert {task: round(percent, 1) for task, percent in first.items()} == {
        task: printed[task] for task in first
    }


def test_pubmedbert_has_the_five_tasks_that_kebiolms_paper_leaves_out() -> None:
    final, others = (
        row_of("pubmedbert-versions", "PubMedBERT final").scores,
        row_of("kebiolm-table2", "KeBioLM"),
    )
    assert {task: final[task] for task in final if task not in others.scores} == {
        "ebm-pico": 73.38,
        "biosses": 92.30,
        "hoc": 82.32,
        "pubmedqa": 55.84,
        "bioasq": 87.56,
    }
    assert {*final} | {*others.scores} == {card.name for card in all_task_cards() if "blurb" in card.suites}


def test_linkberts_repository_has_the_blurb_score_of_three_models() -> None:
    rows = read("yasunaga-linkbert").rows
    assert [(row.label, *row.scores.values(), row.averages["blurb"]) for row in rows] == [
        ("PubmedBERT-base", 55.8, 87.5, 81.10),
        ("BioLinkBERT-base", 70.2, 91.4, 83.39),
        ("BioLinkBERT-large", 72.2, 94.8, 84.30),
    ]
    # PubMedBERT's are those of its paper, cut and not rounded.
    final = row_of("pubmedbert-versions", "PubMedBERT final").scores
    assert [int(10 * final[task]) / 10 for task in rows[0].scores] == [*rows[0].scores.values()]


def test_a_row_that_is_not_comparable_needs_a_reason() -> None:
    with pytest.raises(ValidationError, match="needs a reason"):
        PublishedRow(model="m", label="M", source="its own paper", comparable=False, scores={})


def test_a_deviation_without_its_score_is_refused_with_file_and_field(tmp_path: Path) -> None:
    file = tmp_path / "paper-table1.toml"
    text = (shipped("results/published") / "kebiolm-table2.toml").read_text()
    file.write_text(text.replace("bc5cdr-chem = 93.3, bc5cdr-disease = 86.1", "bc5cdr-disease = 86.1"))
    with pytest.raises(UserError, match=r"paper-table1.toml: rows\.7.*without a score: bc5cdr-chem"):
        read_published_table(file)


def test_only_tables_of_the_suite_are_read() -> None:
    assert len(read_published_tables("blurb")) == len(FILES)
    assert read_published_tables("mini") == []


def test_table_6_is_what_the_paper_prints() -> None:
    table = read("kebiolm-table6")
    assert (table.unit, table.decimals) == ("percent Recall@5", 2)
    assert [(row.label, *row.scores.values()) for row in table.rows] == [
        ("SciBERT", 13.92, 1.01, 2.75),
        ("ClinicalBERT", 4.19, 0.33, 0.79),
        ("BlueBERT", 4.67, 0.39, 1.02),
        ("KeBioLM", 14.01, 1.48, 3.26),
    ]
    assert all(list(row.scores) == ["type-1", "type-2", "overall"] for row in table.rows)
    assert all(read_model_card(row.model).name == row.model for row in table.rows)


def test_table_6_says_that_its_recall_is_an_unranked_hit_and_of_which_queries() -> None:
    # Table 5, and section 4.6.4: 24,260 + 119,511 = 143,771
    protocol = read("kebiolm-table6").protocol
    assert "unranked hit among 5 beams x 10 lengths" in protocol
    assert all(size in protocol for size in ("143,771", "922", "2.39", "24,260", "119,511"))
    assert 24_260 + 119_511 == 143_771


def test_probes_stand_under_a_suite_of_their_own() -> None:
    assert [table.table for table in read_published_tables("umls-probe")] == ["Table 6"]


def test_every_table_of_a_suite_has_a_mark_of_its_own_that_latex_knows() -> None:
    assert len(read_published_tables("blurb")) <= len(MARKS)
    assert all(escape_latex(mark).isascii() and escape_latex(mark) != "?" for mark in MARKS)
