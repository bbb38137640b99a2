"""The eight tasks of the miniature, in the file forms of the eight BLURB tasks.

What keeps them from being trivial: a third of the concepts is never named in an NER training or development
split; many sentences take a mention of any kind, so that only the name tells what it is; a relation can be
denied, doubted or stated of another pair of the same sentence; and held-out templates word the test
sentences in ways that only the corpus has shown.
"""

import random
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kebench.mini.grammar import load_phrases, normal_form
from kebench.mini.ner import NER_TASKS, iob_file, ner_sentence
from kebench.mini.relations import PAIR_TASKS, relation_sentence
from kebench.mini.sentences import Source, held_out_concepts
from kebench.mini.world import World

TASKS = (*NER_TASKS, *PAIR_TASKS)
ROWS = {"train": 300, "dev": 100, "test": 200}  # ours: a fine-tune takes seconds
# The number of the first sentence of each split, in the ids of its rows.
_FIRST_NUMBER = {"train": 1, "dev": 10_001, "test": 20_001}


class TaskSplit(NamedTuple):
    """One split: the content of its file, and the sentences that it was made from."""

    content: str
    sentences: tuple[str, ...]


Tasks = Mapping[tuple[str, str], TaskSplit]


def make_tasks(world: World, *, seed: int) -> Tasks:
    """Return every split of every task by (task, split)."""
    phrases, held_out = load_phrases(), held_out_concepts(world, seed)
    made: dict[tuple[str, str], TaskSplit] = {}
    for task in TASKS:
        group = NER_TASKS[task][0] if task in NER_TASKS else task
        rng = random.Random(f"{group} {seed}")
        taken: set[str] = set()
        for split in ROWS:
            source = Source(world, phrases, held_out, split == "test", rng, taken)
            make = _ner_split if task in NER_TASKS else _pair_split
            made[task, split] = make(source, task, split)
    return made


def _ner_split(source: Source, task: str, split: str) -> TaskSplit:
    write = partial(ner_sentence, source, NER_TASKS[task][0])
    texts = [source.unseen(write).text for _ in range(ROWS[split])]
    content = iob_file(texts, source.world, task, first_document=99_000_000 + _FIRST_NUMBER[split])
    return TaskSplit(content, tuple(text.text for text in texts))


def _pair_split(source: Source, task: str, split: str) -> TaskSplit:
    rows: list[str] = []
    sentences: list[str] = []
    while len(rows) < ROWS[split]:
        labelled = source.unseen(partial(relation_sentence, source, task))
        rows += PAIR_TASKS[task](labelled, source.world, _FIRST_NUMBER[split] + len(sentences))
        sentences.append(labelled.text.text)
    rows = rows[: ROWS[split]]
    if task == "mini-gad":
        rows = ["index\tsentence\tlabel", *(f"{index}\t{row}" for index, row in enumerate(rows))]
    return TaskSplit("".join(row + "\n" for row in rows), tuple(sentences))


def sentences_of_test_splits(tasks: Tasks) -> frozenset[str]:
    """Return the normal forms of all test sentences, which the corpus must not hold."""
    tests = [made for (_, split), made in tasks.items() if split == "test"]
    return frozenset(normal_form(sentence) for made in tests for sentence in made.sentences)


def write_tasks(tasks: Tasks, folder: Path) -> None:
    """Write the eight folders of train.tsv, dev.tsv and test.tsv."""
    for (task, split), made in tasks.items():
        (folder / task).mkdir(exist_ok=True)
        (folder / task / f"{split}.tsv").write_text(made.content, encoding="utf-8", newline="\n")
