"""The corpus of the miniature: abstracts that state the facts of the world in varied sentences.

Each abstract has a topic. Most of its sentences state facts of the topic, some deny what is not a fact or
doubt it, some report trials, some say nothing. Half of the titles ask what the first sentence answers. One
fact in ten is never stated: what a model can know without having read it.
"""

import random
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from kebench.mini.grammar import (
    Mention,
    NamePicker,
    Text,
    compose,
    join,
    load_phrases,
    names_in_a_text,
    normal_form,
    one_name,
)
from kebench.mini.world import Concept, Triple, World

ROUNDS = 3  # abstracts on each concept; ours, so that the language model trains in under a minute
SENTENCES = (6, 9)  # of an abstract, title apart
HELD_OUT_SHARE = 0.1
QUESTIONS = 0.5  # how often a title asks what the first sentence answers
OPENED = 0.15  # how often a sentence that tells a fact has an opening


class Statement(NamedTuple):
    """What one sentence says: half-open in characters. stance: stated, negated, hedged."""

    start: int
    end: int
    head: str
    relation: str
    tails: tuple[str, ...]
    stance: str


Sentence = tuple[Text, Statement | None]


class Abstract(NamedTuple):
    """One document; the offsets run over title + " " + abstract."""

    id: str
    title: str
    abstract: str
    mentions: tuple[Mention, ...]
    statements: tuple[Statement, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the document as a line of the corpus file."""
        return self._asdict() | {
            "mentions": [mention._asdict() for mention in self.mentions],
            "statements": [statement._asdict() for statement in self.statements],
        }


def held_out_facts(world: World, seed: int) -> set[Triple]:
    """Return the facts that the corpus never states, one in ten of each relation."""
    rng = random.Random(f"facts {seed}")
    by_relation = (world.facts(relation.name) for relation in world.relations)
    return {fact for facts in by_relation for fact in rng.sample(facts, int(len(facts) * HELD_OUT_SHARE))}


def make_abstracts(
    world: World, *, seed: int, forbidden: Collection[str], rounds: int = ROUNDS
) -> Iterator[Abstract]:
    """Yield `rounds` abstracts on each concept.

    forbidden: normal forms of sentences that must not occur (those of the test splits).
    """
    rng = random.Random(f"corpus {seed}")
    writer = _Writer(world, held_out_facts(world, seed), forbidden, rng)
    topics = (topic for _ in range(rounds) for topic in rng.sample(world.concepts, len(world.concepts)))
    for number, topic in enumerate(topics, start=1):
        yield writer.write(f"mini-{number:05d}", topic)


class _Writer:
    """What every abstract needs: the world, the phrases, the facts that may be told, and the draws."""

    def __init__(
        self, world: World, untold: set[Triple], forbidden: Collection[str], rng: random.Random
    ) -> None:
        self.world, self.phrases, self.forbidden, self.rng = world, load_phrases(), forbidden, rng
        self.true_pairs = {(t.relation, t.head, t.tail) for t in world.triples}
        self.facts: dict[str, list[Triple]] = {concept.cui: [] for concept in world.concepts}
        for triple in world.triples:
            if triple not in untold:
                self.facts[triple.head].append(triple)
                self.facts[triple.tail].append(triple)
        self.interactions = {s: interaction_pairs(world, s) for s in INTERACTIONS}
        trials = list(_trials(world, untold))
        self.trials = {
            concept.cui: [trial for trial in trials if concept in trial] for concept in world.concepts
        }

    def write(self, document_id: str, topic: Concept) -> Abstract:
        """Write one abstract: a title, six to nine sentences; the first answers a title that asks."""
        name_of = names_in_a_text(self.rng)
        # Facts in the order in which the text may tell them: the topic's, then its neighbours'.
        own = self.rng.sample(self.facts[topic.cui], len(self.facts[topic.cui]))
        neighbours = [cui for t in own for cui in (t.head, t.tail) if cui != topic.cui]
        near = [self.rng.choice(self.facts[cui]) for cui in neighbours]
        facts = (own + near)[::-1]  # the next one is popped from the end
        asked = [fact for fact in own if f"question {fact.relation}" in self.phrases]
        sentences: list[Sentence] = []
        if asked and self.rng.random() < QUESTIONS:
            sentences = [self._permitted(lambda: self._answer(self.rng.choice(asked), name_of))]
        if sentences and (told := sentences[0][1]):
            slots = {"H": [self.world.by_cui[told.head]], "T": [self.world.by_cui[told.tails[0]]]}
            section, title_name_of = f"question {told.relation}", one_name(self.rng)
        else:
            section, slots, title_name_of = "title", {"H": [topic]}, lambda concept: (concept.name,)
        title = compose(self.phrases.pick(section, self.rng), slots, name_of=title_name_of, rng=self.rng)
        num_sentences = self.rng.randint(*SENTENCES)
        while len(sentences) < num_sentences:
            sentences.append(self._permitted(lambda: self._sentence(topic, facts, name_of)))
        whole, statements = title, list[Statement]()
        for sentence, said in sentences:
            start = len(whole.text) + 1
            whole = join(whole, " ", sentence)
            if said:
                statements.append(said._replace(start=start, end=len(whole.text)))
        body = whole.text[len(title.text) + 1 :]
        return Abstract(document_id, title.text, body, whole.mentions, tuple(statements))

    def _permitted(self, write: Callable[[], Sentence]) -> Sentence:
        """Return a sentence that neither is nor ends in a forbidden one: "fever and X" holds "X"."""
        while True:
            sentence, said = write()
            words = normal_form(sentence.text).split()
            if not any(" ".join(words[first:]) in self.forbidden for first in range(len(words))):
                return sentence, said

    def _sentence(self, topic: Concept, facts: list[Triple], name_of: NamePicker) -> Sentence:
        draw = self.rng.random()
        if facts and draw < 0.6:
            return self._stated(facts.pop(), name_of)
        if facts and draw < 0.77:
            return self._doubted(facts[-1], self.rng.choice(["negated", "hedged"]), name_of)
        section, slots = "none", dict[str, list[Concept]]()
        trials = self.trials[topic.cui]
        if trials and draw < 0.88:
            section = self.rng.choice(["trial", "trial", "trial list"])
            slots = {slot: [concept] for slot, concept in self.rng.choice(trials)._asdict().items()}
        elif draw < 0.97:  # true of anything, and so it says nothing
            others = self.rng.sample(self.world.concepts, 2)
            section, slots = "any", {"H": [topic], "T": [others[0]], "O": [others[1]]}
        return compose(self.phrases.pick(section, self.rng), slots, name_of=name_of, rng=self.rng), None

    def _answer(self, fact: Triple, name_of: NamePicker) -> Sentence:
        stance = self.rng.choice(["stated", "negated", "hedged"])
        if stance == "stated":
            return self._stated(fact, name_of)
        return self._doubted(fact, stance, name_of)

    def _stated(self, fact: Triple, name_of: NamePicker) -> Sentence:
        section = section_of(fact)
        if fact.relation == "interacts_with":
            kinds = [s for s in INTERACTIONS if (fact.head, fact.tail) in self.interactions[s]]
            section = self.rng.choice([*kinds, "interacts_with"])
        tails = [fact.tail]
        if fact.relation != "interacts_with" and self.rng.random() <= 0.35:
            # Up to two further tails of the fact's head: a list in the sentence.
            alike = [t for t in self.facts[fact.head] if t != fact and t._replace(tail=fact.tail) == fact]
            tails += self.rng.sample([t.tail for t in alike], min(2, len(alike)))
        return self._compose(f"{section} stated", fact, tails, "stated", name_of)

    def _doubted(self, fact: Triple, stance: str, name_of: NamePicker) -> Sentence:
        """Deny what is not a fact, or put a fact in doubt."""
        is_interaction = fact.relation == "interacts_with" and stance == "negated"
        section = "no interaction stated" if is_interaction else f"{fact.relation} {stance}"
        if section not in self.phrases:
            return self._stated(fact, name_of)
        tail = fact.tail
        if stance == "negated":  # of another concept of its kind, of which it is not true
            alike = [concept.cui for concept in self.world.of_kind(self.world.by_cui[tail].kind)]
            true = {cui for cui in alike if (fact.relation, fact.head, cui) in self.true_pairs}
            if is_interaction:  # holds in both directions
                true |= {cui for cui in alike if (fact.relation, cui, fact.head) in self.true_pairs}
            tail = self.rng.choice([cui for cui in alike if cui not in true and cui != fact.head])
        return self._compose(section, fact, [tail], stance, name_of)

    def _compose(
        self, section: str, fact: Triple, tails: list[str], stance: str, name_of: NamePicker
    ) -> Sentence:
        """Compose a sentence that tells a fact, sometimes with an opening."""
        slots = {"H": [self.world.by_cui[fact.head]], "T": [self.world.by_cui[cui] for cui in tails]}
        template = self.phrases.pick(section, self.rng)
        opens = self.rng.random() < OPENED
        text = compose(template, slots, name_of=name_of, rng=self.rng, capital=not opens)
        if opens:
            opening = compose(self.phrases.pick("setting", self.rng), {}, name_of=name_of, rng=self.rng)
            text = join(opening, " ", text)
        return text, Statement(0, len(text.text), fact.head, fact.relation, tuple(tails), stance)


def section_of(fact: Triple) -> str:
    """Return the section of `phrases.txt` that states a fact: its manner, else its relation."""
    return fact.manner or fact.relation


class Trial(NamedTuple):
    """A trial that there may have been: intervention, condition, outcome (a symptom of the condition)."""

    H: Concept
    T: Concept
    O: Concept  # noqa: E741


def _trials(world: World, untold: set[Triple]) -> Iterator[Trial]:
    """Yield the trials of what may treat a disease that has symptoms."""
    symptoms: dict[str, list[Concept]] = {}
    for triple in world.facts("manifestation_of"):
        symptoms.setdefault(triple.tail, []).append(world.by_cui[triple.head])
    for triple in world.facts("may_treat"):
        condition = world.by_cui[triple.tail]
        if triple not in untold and condition.kind == "disease":
            for outcome in symptoms.get(condition.cui, []):
                yield Trial(world.by_cui[triple.head], condition, outcome)


# The kinds of drug interaction, as sections of phrases.txt.
INTERACTIONS = ("raise", "lower", "effect", "advise", "int")


def interaction_pairs(world: World, section: str) -> list[tuple[str, str]]:
    """Return the drug pairs (head, tail) that a kind of interaction is true of, in world order.

    raise, lower: the head inhibits or induces an enzyme that metabolises the tail.
    effect, advise, int: the pairs that are known to interact.
    """
    if section not in ("raise", "lower"):
        return [(t.head, t.tail) for t in world.facts("interacts_with")]
    manner = "inhibition" if section == "raise" else "activation"
    metabolised: dict[str, list[str]] = {}
    for triple in world.facts("enzyme_metabolizes_chemical_or_drug"):
        metabolised.setdefault(triple.head, []).append(triple.tail)
    affects = world.facts("chemical_or_drug_affects_gene_product", manner)
    return [(t.head, drug) for t in affects for drug in metabolised.get(t.tail, []) if drug != t.head]
