"""What the tasks of the miniature share: which sentences a split may draw, and that none comes twice."""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kebench.mini.grammar import Phrases, Text, compose, normal_form, one_name
from kebench.mini.world import Concept, World

HELD_OUT_CONCEPTS = 0.35  # share of the concepts of each kind that only test splits name
HELD_OUT_NAMING = 0.5  # how often a test mention is of a held-out concept
HELD_OUT_WORDING = 0.25  # how often a test sentence has a held-out template
INTRODUCED = 0.3  # how often a name comes with its abbreviation


class Labelled(NamedTuple):
    """A sentence, and the labels of the pairs of concepts that it relates (none in NER)."""

    text: Text
    labels: dict[frozenset[str], str] = {}


class Source(NamedTuple):
    """Where the sentences of one split come from.

    held_out: the CUIs that only a test split may name. taken: normal forms of the task's sentences so far.
    """

    world: World
    phrases: Phrases
    held_out: frozenset[str]
    is_test: bool
    rng: random.Random
    taken: set[str]

    def wants_held_out(self, share: float = HELD_OUT_NAMING) -> bool:
        """Draw whether the next concept is a held-out one; in a test split only."""
        return self.is_test and self.rng.random() < share

    def compose(
        self,
        section: str,
        slots: dict[str, list[Concept]],
        *,
        introduce: float = INTRODUCED,
        capital: bool = True,
    ) -> Text:
        """Return a sentence of a section of phrases.txt."""
        template = self.phrases.pick(section, self.rng, held_out=self.wants_held_out(HELD_OUT_WORDING))
        name_of = one_name(self.rng, introduce=introduce)
        return compose(template, slots, name_of=name_of, rng=self.rng, capital=capital)

    def unseen(self, write: Callable[[], Labelled]) -> Labelled:
        """Return a sentence that no split of the task has yet, and remember it."""
        while True:
            labelled = write()
            key = normal_form(labelled.text.text)
            if key not in self.taken:
                self.taken.add(key)
                return labelled


def held_out_concepts(world: World, seed: int) -> frozenset[str]:
    """Return the CUIs that training and development splits of NER never name, a share of each kind."""
    rng = random.Random(f"concepts {seed}")
    held_out: list[Concept] = []
    for kind in world.kinds:
        concepts = world.of_kind(kind)
        held_out += rng.sample(concepts, round(len(concepts) * HELD_OUT_CONCEPTS))
    return frozenset(concept.cui for concept in held_out)


def cuis_of(text: Text) -> Sequence[str]:
    """Return the CUI of every mention, in text order."""
    return [mention.cui for mention in text.mentions]
