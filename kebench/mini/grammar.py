"""The grammar of the miniature: templates, how a concept is named, and the sentence that comes of both.

`phrases.txt` holds the templates and says how they are written. A sentence knows where its mentions are:
they are recorded while the text is put together, never searched for afterwards.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kebench.errors import UserError, did_you_mean
from kebench.mini.world import FOLDER, Concept, World, numbered_lines

HELD_OUT_CONCEPTS = 0.35  # share of the concepts of each kind that only test splits name
HELD_OUT_NAMING = 0.5  # how often a test mention is of a held-out concept
HELD_OUT_WORDING = 0.5  # how often a test sentence has a held-out template
INTRODUCED = 0.3  # how often a name comes with its abbreviation
# How to name a concept this time: one name, or a name and the abbreviation that it introduces.
NamePicker = Callable[[Concept], tuple[str, ...]]
Slots = Mapping[str, Sequence[Concept]]


class Mention(NamedTuple):
    """Where a concept is named: half-open, in characters."""

    start: int
    end: int
    cui: str


class Text(NamedTuple):
    """A text and its mentions, in text order."""

    text: str
    mentions: tuple[Mention, ...]


class Template(NamedTuple):
    """One line of `phrases.txt`. Held-out ones are not used in training and development splits."""

    text: str
    is_held_out: bool


class Phrases(dict[str, list[Template]]):
    """All templates by section."""

    def pick(self, section: str, rng: random.Random, *, held_out: bool | None = None) -> str:
        """Draw a template; of the held-out or of the other ones only, if the section has such."""
        assert section in self, f"phrases.txt has no section [{section}]"
        wanted = [t for t in self[section] if held_out is None or t.is_held_out == held_out]
        return rng.choice(wanted or self[section]).text


def load_phrases(folder: Path = FOLDER) -> Phrases:
    """Read the templates. Raises UserError with file and line for one that cannot be filled."""
    phrases, section = Phrases(), ""
    for where, line in numbered_lines(folder / "phrases.txt"):
        if line.startswith("["):
            section = line.strip("[]")
            phrases[section] = []
            continue
        for slot in re.findall(r"{(.*?)}", line):
            if slot not in _SLOTS:
                raise UserError(f"{where}: no slot '{slot}'{did_you_mean(slot, _SLOTS)} see the first lines")
        phrases[section].append(Template(line.removeprefix("* "), line.startswith("* ")))
    return phrases


_NUMBERS = {"n": (12, 480), "p": (3, 97), "y": (2, 60)}
_SLOTS = ("H", "T", "O", *_NUMBERS)


def compose(
    template: str, slots: Slots, *, name_of: NamePicker, rng: random.Random, capital: bool = True
) -> Text:
    """Fill a template. Several concepts in one slot become a list: "a, b and c"."""
    chosen = re.sub(r"<(.*?)>", lambda match: rng.choice(match[1].split("|")), template)
    chosen = re.sub(r" +", " ", chosen).replace(" .", ".")
    text = ""
    mentions: list[Mention] = []
    for piece in re.split(r"({\w})", chosen):
        if piece[:1] != "{":
            text += piece
        elif piece[1] in _NUMBERS:
            text += str(rng.randint(*_NUMBERS[piece[1]]))
        else:
            concepts = slots[piece[1]]
            for place, concept in enumerate(concepts):
                if place:
                    text += " and " if place == len(concepts) - 1 else ", "
                name, *introduced = name_of(concept)
                mentions.append(Mention(len(text), len(text) + len(name), concept.cui))
                text += name
                for abbreviation in introduced:
                    mentions.append(Mention(len(text) + 2, len(text) + 2 + len(abbreviation), concept.cui))
                    text += f" ({abbreviation})"
    if not capital:
        starts_with_mention = bool(mentions) and mentions[0].start == 0
        text = text if starts_with_mention else text[:1].lower() + text[1:]
    elif re.match(r"[a-z]+\b(?!-)", text):  # not a symbol such as p53, 5-HT or β-blocker
        text = text[:1].upper() + text[1:]
    return Text(text, tuple(mentions))


def join(first: Text, link: str, second: Text) -> Text:
    """Return "first link second" with the second text's mentions moved along."""
    text = first.text + link
    moved = (Mention(m.start + len(text), m.end + len(text), m.cui) for m in second.mentions)
    return Text(text + second.text, first.mentions + tuple(moved))


def one_name(rng: random.Random, *, introduce: float = 0.0) -> NamePicker:
    """Return a picker for a sentence that stands alone.

    The preferred name comes in every second mention, the others share the rest; `introduce` is how
    often the preferred name introduces its abbreviation: "type 2 diabetes mellitus (T2DM)".
    """

    def pick(concept: Concept) -> tuple[str, ...]:
        if concept.abbreviations and rng.random() < introduce:
            return (concept.name, concept.abbreviations[0])
        return (concept.name if rng.random() < 0.5 else rng.choice(concept.names),)

    return pick


def names_in_a_text(rng: random.Random) -> NamePicker:
    """Return a picker with a memory: an abbreviation is introduced before it is used, then it stays."""
    alone = one_name(rng)
    introduced: set[str] = set()

    def pick(concept: Concept) -> tuple[str, ...]:
        if not concept.abbreviations:
            return alone(concept)
        if concept.cui in introduced:
            return (concept.abbreviations[0],)
        introduced.add(concept.cui)
        full = next(name for name in concept.names if name not in concept.abbreviations)
        return (full, concept.abbreviations[0])

    return pick


def tokenise(text: str) -> list[tuple[int, int]]:
    """Return the (start, end) of the words and single punctuation marks, as the BLURB files cut them."""
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


def normal_form(text: str) -> str:
    """Return the text as its tokens, lower-cased: equal for two sentences that read the same."""
    return " ".join(text[start:end] for start, end in tokenise(text)).lower()


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

    def draw(self, concepts: Sequence[Concept]) -> Concept:
        """Draw a concept; in a test split often one that no training split names."""
        is_new = self.wants_held_out()
        fitting = [concept for concept in concepts if (concept.cui in self.held_out) == is_new]
        return self.rng.choice(fitting or list(concepts))

    def compose(
        self,
        section: str,
        slots: Slots,
        *,
        introduce: float = INTRODUCED,
        capital: bool = True,
        new_wording: float = HELD_OUT_WORDING,
    ) -> Text:
        """Return a sentence of a section of phrases.txt, in a test split often of a held-out template."""
        template = self.phrases.pick(section, self.rng, held_out=self.wants_held_out(new_wording))
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
    by_kind = (world.of_kind(kind) for kind in world.kinds)
    held_out = [rng.sample(concepts, round(len(concepts) * HELD_OUT_CONCEPTS)) for concepts in by_kind]
    return frozenset(concept.cui for concepts in held_out for concept in concepts)
