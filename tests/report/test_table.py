"""Leaderboards before any format: columns, rows, averages and what is best."""

import subprocess
import sys

import pytest

from kebench.records import Record
from kebench.report.published import read_published_tables
from kebench.report.table import Block, Choice, Leaderboard, build_leaderboard
from kebench.stats.summary import Summary
from kebench.tasks.card import all_task_cards
from tests.report.sample_records import NER_TASKS, RELATION_TASKS, sample_grid, sample_record

HEAVY = ("torch", "transformers", "pandas", "scipy", "sklearn")


def build(records: list[Record], metric: Choice = "strict") -> Leaderboard:
    return build_leaderboard(records, cards=all_task_cards(), metric=metric)


def only_block(records: list[Record], metric: Choice = "strict") -> Block:
    (table,) = build(records, metric).tables
    (block,) = table.blocks
    return block


def test_a_cell_is_mean_deviation_and_n_of_the_test_scores() -> None:
    # 49, 50, 51: mean 50, sample deviation 1.
    block = only_block([sample_record(seed=seed, test=49.0 + seed) for seed in range(3)])
    cell = block.rows[0].cells[0]
    assert cell is not None
    assert cell.test == Summary(50.0, 1.0, 3)


def test_ner_and_relation_tasks_stand_in_table_order() -> None:
    (table,) = build(sample_grid()[::-1]).tables
    assert [block.kind for block in table.blocks] == ["ner", "relation"]
    assert tuple(column.task for column in table.blocks[0].columns) == NER_TASKS
    assert tuple(column.task for column in table.blocks[1].columns) == RELATION_TASKS


def test_an_average_is_over_all_tasks_and_its_deviation_over_the_seeds() -> None:
    # minilm: NER means 70 ... 74 average 72; seeds average 71, 72, 73, deviation 1.
    (table,) = build(sample_grid()).tables
    ner = {row.label: row.average for row in table.blocks[0].rows}
    assert ner["minilm"] == pytest.approx((72.0, 1.0, 3))


def test_an_average_with_a_task_missing_is_missing() -> None:
    block = only_block([sample_record(task=task) for task in NER_TASKS[:4]])
    assert block.rows[0].average is None


def test_an_average_over_different_seeds_has_no_deviation() -> None:
    records = [sample_record(task=task, seed=seed, test=50) for task in NER_TASKS for seed in range(2)]
    assert only_block(records[:-1]).rows[0].average == Summary(50.0, None, None)


def test_rows_stand_best_average_first() -> None:
    (table,) = build(sample_grid()[::-1]).tables
    assert [row.label for row in table.blocks[0].rows] == ["minilm", "bert-tiny"]


def test_the_best_of_each_column_is_marked() -> None:
    # RE: minilm (first row) wins ChemProt, DDI and the average (76 to 66.7), bert-tiny wins GAD (80 to 77).
    (table,) = build(sample_grid()).tables
    assert table.blocks[1].best == {(0, 0), (0, 1), (1, 2), (0, 3)}


def test_a_lone_row_is_not_the_best_of_anything() -> None:
    assert only_block([sample_record()]).best == frozenset()


def test_means_that_print_the_same_are_equally_good() -> None:
    block = only_block([sample_record("minilm", test=50.04), sample_record("bert-tiny", test=49.96)])
    assert block.best == {(0, 0), (1, 0)}


def test_another_protocol_is_another_table_and_the_caption_says_what_differs() -> None:
    tables = build([sample_record(), sample_record(epochs=60, train_rows=None)]).tables
    assert [table.caption for table in tables] == [
        "quick: 60 epochs, patience 3, batch 16, all train rows, 500 dev rows, fp32",
        "quick: 3 epochs, patience 3, batch 16, 1,000 train rows, 500 dev rows, fp32",
    ]


def test_a_setting_that_captions_do_not_always_name_is_named_where_it_differs() -> None:
    other = sample_record()
    other = other.model_copy(update={"settings": other.settings.model_copy(update={"weight_decay": 0.01})})
    captions = [table.caption for table in build([sample_record(), other]).tables]
    assert sorted(caption.rpartition(", ")[2] for caption in captions) == [
        "weight decay 0.0",
        "weight decay 0.01",
    ]


def test_a_precision_is_part_of_the_protocol() -> None:
    assert len(build([sample_record(), sample_record(precision="bf16")]).tables) == 2


def test_other_data_of_a_task_is_a_column_of_its_own_with_a_footnote() -> None:
    block = only_block([sample_record(), sample_record(data="edited")])
    assert [column.letter for column in block.columns] == ["a", "b"]
    assert all(column.footnote.startswith("data ") for column in block.columns)
    assert block.columns[0].footnote != block.columns[1].footnote


def test_a_task_with_two_columns_has_no_average() -> None:
    records = [sample_record(task=task) for task in NER_TASKS]
    assert only_block([*records, sample_record(task="jnlpba", data="edited")]).rows[0].average is None


def test_suites_never_share_a_table() -> None:
    tables = build([sample_record(task="mini-jnlpba"), sample_record(task="jnlpba")]).tables
    assert [table.suite for table in tables] == ["blurb", "mini"]


def test_a_task_without_a_card_is_shown_without_a_suite() -> None:
    assert [table.suite for table in build([sample_record(task="my-task")]).tables] == ["no suite"]


def test_two_weights_under_one_name_are_two_rows_with_their_hashes() -> None:
    records = [sample_record(test=60), sample_record(weights="tuned", test=50)]
    labels = [row.label for row in only_block(records).rows]
    assert labels == [f"minilm [{record.model_hash[:8]}]" for record in records]


def test_a_mode_of_fidelity_is_a_row_of_its_own_in_the_same_column() -> None:
    block = only_block([sample_record(test=60), sample_record(fidelity="released", test=50)])
    assert [row.label for row in block.rows] == ["minilm", "minilm (released)"]
    assert len(block.columns) == 1


def test_the_published_metric_takes_the_other_score_where_there_is_one() -> None:
    records = [sample_record(test=50, as_published=53), sample_record("bert-tiny", test=40)]
    assert [row.means[0] for row in only_block(records, "as-published").rows] == [53, 40]
    assert [row.means[0] for row in only_block(records).rows] == [50, 40]


def test_the_published_metric_does_not_change_the_chosen_rate() -> None:
    records = [
        sample_record(rate=1e-5, dev=61, test=50, as_published=50),
        sample_record(rate=3e-5, dev=60, test=60, as_published=90),
    ]
    assert [row.means[0] for row in only_block(records, "as-published").rows] == [50]


def test_published_rows_are_never_among_the_best_and_stand_under_one_block_only() -> None:
    records = [*sample_grid(), *(sample_record(seed=seed, epochs=60) for seed in range(3))]
    board = build_leaderboard(records, cards=all_task_cards(), published=read_published_tables("blurb"))
    shown = [[bool(block.published) for block in table.blocks] for table in board.tables]
    assert shown == [[True], [False, True]]
    best = {place for table in board.tables for block in table.blocks for place, _ in block.best}
    assert best == {0, 1}  # the places of the two measured rows


def test_a_row_that_several_published_tables_print_is_shown_once() -> None:
    board = build_leaderboard(sample_grid(), cards=all_task_cards(), published=read_published_tables("blurb"))
    models = [printed.row.model for printed in board.tables[0].blocks[0].published]
    assert models.count("kebiolm") == 1
    assert models.count("kebiolm-rand") == 1


def test_reports_import_no_heavy_library() -> None:
    code = (
        "import sys, kebench.cli.leaderboard, kebench.report.table, kebench.report.published,"
        "kebench.report.board, kebench.report.write_latex, kebench.report.write_terminal,"
        "kebench.report.export;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
