from collections import Counter
from pathlib import Path

import pytest

from kebench.kinds.card import SPLITS
from kebench.kinds.pairs import Pair
from kebench.kinds.registry import read_split
from kebench.kinds.tagging import Sentence
from kebench.mini.build import SEED
from kebench.mini.grammar import held_out_concepts
from kebench.mini.tasks import NER_TASKS, PAIR_TASKS, TASKS, Tasks
from kebench.mini.world import World
from kebench.tasks.card import read_task_card


def _examples(built: Path, task: str, split: str) -> list[Sentence] | list[Pair]:
    card = read_task_card(task)
    return read_split(card, card.find_split(built / "tasks", split))


def _pairs(built: Path, task: str, split: str) -> list[Pair]:
    return [e for e in _examples(built, task, split) if isinstance(e, Pair)]


def _mentions(built: Path, task: str, split: str) -> set[str]:
    """The marked mentions of a split, lower-cased, words joined by a blank."""
    found: set[str] = set()
    for example in _examples(built, task, split):
        assert isinstance(example, Sentence)
        words: list[str] = []
        for word, tag in [*zip(example.words, example.tags, strict=True), ("", "O")]:
            if tag != "I" and words:
                found.add(" ".join(words).lower())
                words = []
            if tag != "O":
                words.append(word)
    return found


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("split", SPLITS)
def test_sizes_are_those_of_the_card(built: Path, task: str, split: str) -> None:
    examples = _examples(built, task, split)
    expected = read_task_card(task).expected[split]
    assert len(examples) == expected.rows
    if task in NER_TASKS:
        assert sum(e.tags.count("B") for e in examples if isinstance(e, Sentence)) == expected.units
    else:
        assert Counter(e.label for e in examples if isinstance(e, Pair)) == expected.labels
        assert len(examples) == expected.units


@pytest.mark.parametrize("task", TASKS)
def test_training_splits_are_small(built: Path, task: str) -> None:
    assert len(_examples(built, task, "train")) <= 300


@pytest.mark.parametrize("task", NER_TASKS)
def test_many_test_mentions_are_new(built: Path, task: str) -> None:
    seen = _mentions(built, task, "train") | _mentions(built, task, "dev")
    tested = _mentions(built, task, "test")
    assert len(tested - seen) > len(tested) / 3


@pytest.mark.parametrize("task", NER_TASKS)
def test_held_out_concepts_are_in_no_training_sentence(built: Path, task: str, world: World) -> None:
    names = {n.lower() for cui in held_out_concepts(world, SEED) for n in world.by_cui[cui].names}
    assert not names & (_mentions(built, task, "train") | _mentions(built, task, "dev"))


@pytest.mark.parametrize("task", PAIR_TASKS)
def test_every_row_has_two_markers_or_a_merged_one(built: Path, task: str) -> None:
    card = read_task_card(task)
    single = set(card.markers) - set(card.merged_markers)
    for split in SPLITS:
        for pair in _pairs(built, task, split):
            merged = sum(pair.text.count(marker) for marker in card.merged_markers)
            assert 2 * merged + sum(pair.text.count(marker) for marker in single) == 2, pair
            assert not (merged and pair.label != card.negative), pair


@pytest.mark.parametrize("task", PAIR_TASKS)
def test_every_label_is_in_every_split(built: Path, task: str) -> None:
    for split in SPLITS:
        assert {pair.label for pair in _pairs(built, task, split)} == set(read_task_card(task).labels)


def test_denied_relations_are_negative(built: Path) -> None:
    denied = [p for p in _pairs(built, "mini-chemprot", "test") if "@CHEMICAL$ did not" in p.text]
    assert denied
    assert {pair.label for pair in denied} == {"false"}


def test_merged_markers_occur_where_blurb_has_them(built: Path) -> None:
    assert any("@CHEM-GENE$" in pair.text for pair in _pairs(built, "mini-chemprot", "train"))
    assert any("@DRUG-DRUG$" in pair.text for pair in _pairs(built, "mini-ddi", "train"))


def test_bc5cdr_tasks_share_their_sentences(built: Path) -> None:
    for split in SPLITS:
        chemicals = _examples(built, "mini-bc5cdr-chem", split)
        diseases = _examples(built, "mini-bc5cdr-disease", split)
        assert [e[1] for e in chemicals] == [e[1] for e in diseases]


def test_jnlpba_has_docstart_lines(built: Path) -> None:
    assert (built / "tasks/mini-jnlpba/train.tsv").read_text().startswith("-DOCSTART- 99")


@pytest.mark.parametrize("task", TASKS)
def test_no_sentence_is_in_two_splits(tasks: Tasks, task: str) -> None:
    splits = [set(tasks[task, split].sentences) for split in SPLITS]
    assert not splits[0] & splits[1]
    assert not (splits[0] | splits[1]) & splits[2]


def test_some_rows_are_not_ascii(built: Path) -> None:
    assert not (built / "tasks/mini-chemprot/train.tsv").read_text(encoding="utf-8").isascii()
