import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kebench.kinds.card import SPLITS
from kebench.kinds.pairs import Pair
from kebench.kinds.registry import KINDS, read_split
from kebench.kinds.tagging import Sentence
from kebench.mini.build import SEED
from kebench.mini.grammar import held_out_concepts
from kebench.mini.tasks import NER_TASKS, PAIR_TASKS, TASKS, Tasks
from kebench.mini.texts import FIELDS, PICO_CLASSES, WRITERS
from kebench.mini.world import World
from kebench.tasks.card import read_task_card, select_tasks


def _examples(built: Path, task: str, split: str) -> list[Any]:
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
    card, examples = read_task_card(task), _examples(built, task, split)
    kind, expected = KINDS[card.kind], card.expected[split]
    assert (len(examples), kind.count_units(examples)) == (expected.rows, expected.units)
    if expected.labels:
        assert Counter(label for one in examples for label in kind.labels_of(one)) == expected.labels


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


def test_the_suite_has_a_task_of_every_kind() -> None:
    assert {read_task_card(task).kind for task in TASKS} == {*KINDS}
    assert [card.name for card in select_tasks("mini") if card.name not in TASKS] == []


@pytest.mark.parametrize("task", ["mini-gad", *WRITERS])
def test_many_names_of_a_test_split_are_in_no_other(built: Path, task: str, world: World) -> None:
    held_out = held_out_concepts(world, SEED)
    # Names that stand inside no other concept's name.
    names = [n.lower() for cui in held_out for n in world.by_cui[cui].names if len(n) > 6]
    others = " | ".join(n.lower() for c in world.concepts if c.cui not in held_out for n in c.names)
    own = [name for name in names if name not in others]
    texts = {
        split: " ".join(
            " ".join(one.words) if not isinstance(one, Pair) else one.text
            for one in _examples(built, task, split)
        ).lower()
        for split in SPLITS
    }
    found = {split: sum(name in text for name in own) for split, text in texts.items()}
    assert found["test"] > 30, found
    assert found["train"] + found["dev"] < found["test"] / 10, found


def test_a_word_of_a_trial_has_the_class_of_what_it_names(built: Path, world: World) -> None:
    kind_of, seen = _telling_names(world, "disease", "drug", "symptom"), set()
    for sentence in _examples(built, "mini-ebm-pico", "test"):
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            if kind := kind_of.get(word.lower()):
                seen.add(kind)
                assert tag == f"I-{PICO_CLASSES[kind]}", sentence
    assert {"disease", "drug", "symptom"} <= seen


def _telling_names(world: World, *kinds: str) -> dict[str, str]:
    """The kinds of names of one word that are a word of no other name."""
    words = Counter(word for c in world.concepts for n in c.names for word in set(n.lower().split()))
    names = {n.lower(): c.kind for c in world.of_kind(*kinds) for n in c.names if n.isalpha() and len(n) > 4}
    return {name: kind for name, kind in names.items() if words[name] == 1}


def test_a_document_has_the_fields_of_what_it_names(built: Path, world: World) -> None:
    fields = {kind: field for field, kinds in FIELDS.items() for kind in kinds}
    names = _telling_names(world, *fields)
    documents = _examples(built, "mini-hoc", "train")
    assert any(not one.label for one in documents)
    assert any(len(one.label) == 2 for one in documents)
    named = [
        (one, {fields[names[w]] for w in one.text.lower()[:-1].split() if w in names}) for one in documents
    ]
    assert sum(bool(found) for _, found in named) > 50
    assert [one for one, found in named if not found <= {*one.label}] == []


def test_pairs_have_scores_of_the_scale_that_differ(built: Path) -> None:
    assert {one.label for one in _examples(built, "mini-biosses", "test")} == {0.0, 2.0, 3.0, 4.0}


def test_a_passage_on_no_patients_answers_maybe(built: Path, world: World) -> None:
    organs = [c.name.lower() for c in world.of_kind("anatomy", "cell") if len(c.name) > 4]
    rows = [json.loads(line) for line in (built / "tasks/mini-pubmedqa/test.json").open(encoding="utf-8")]
    opened = [r for r in rows if any(f" {o}," in r["sentence2"].lower() for o in organs)]
    assert len(opened) > 3
    assert {row["label"] for row in opened} == {"maybe"}


def test_a_question_is_answered_yes_of_a_therapy(built: Path, world: World) -> None:
    drugs = {*_telling_names(world, "drug")}
    rows = _examples(built, "mini-bioasq", "train")
    of_drugs = [r.label for r in rows if drugs & set(r.both[0].lower().rstrip("?").split())]
    assert len(of_drugs) > 50
    assert set(of_drugs) == {"yes"}


def test_hardly_a_row_of_a_relation_task_is_in_two_splits(built: Path) -> None:
    for task in PAIR_TASKS:
        texts = [{pair.text for pair in _pairs(built, task, split)} for split in SPLITS]
        shared = len(texts[2] & (texts[0] | texts[1]))
        assert shared <= len(texts[2]) / 20, (task, shared)
