"""What a task's files hold that a reader of its scores should know, for plan, `data check` and record.

A score without gold measures nothing, and one on examples that stand in the training data measures memory.
Entity indicators: a text holds each of the card's two once (of one kind: twice), or one that stands for
both. What looks like an indicator (@DISORDER$) and is none of the card's is one spelt otherwise.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from kebench.records import SplitFacts
from kebench.tasks.card import TaskCard
from kebench.tasks.readers import LOOKS_LIKE_A_MARKER, Pair, Sentence
from kebench.tasks.schemes import Scheme

# Of a split's texts; ours. BLURB's 84,000 have none. One odd text in a file of forty is let through with a
# word; an indicator that is misspelt is so in every text of a kind, far more than one in twenty.
MOST_MARKER_FAULTS = 0.05
Examples = Sequence[Sentence | Pair]
# Of which splits no example of a split should stand in.
EARLIER = {"dev": ("train",), "test": ("train", "dev")}
# ours; a text of so few characters recurs by chance ("Conclusion ."), so it counts only in a split of which
# in all so large a share stands in the earlier ones
SHORT_CHARACTERS = 40
NO_CHANCE_SHARE = 0.1
# ours; more examples that were seen may move an F1 by as much as good models differ
SEEN_SHARE = 0.01


def split_facts(
    card: TaskCard,
    read: Mapping[str, Examples],
    *,
    schemes: Mapping[str, Scheme | None] = MappingProxyType({}),
) -> dict[str, SplitFacts]:
    """Return what each split holds, counted over all its rows.

    read: the examples of the splits there are. schemes: those of their tags (NER).
    """
    found = {}
    for split, examples in read.items():
        is_comparable = split in EARLIER and set(EARLIER[split]) <= set(read)
        seen = seen_rows(card, read, split) if is_comparable else None
        found[split] = SplitFacts(
            num_examples=len(examples),
            num_gold=count_gold(card, examples),
            tag_scheme=schemes.get(split),
            num_seen=len(seen.rows) if seen else None,
            num_contradicting=len(seen.contradicting) if seen else None,
            num_marker_faults=len(marker_faults(card, examples)) if card.kind == "relation" else None,
        )
    return found


def count_gold(card: TaskCard, examples: Examples) -> int:
    """Return what an F1 counts as gold: mentions (NER), or instances whose label is not the negative one."""
    return sum(
        one.tags.count("B") if isinstance(one, Sentence) else one.label != card.negative for one in examples
    )


def gold_unit(kind: str) -> str:
    """Return what an F1 of a kind of task is counted over."""
    return "mention" if kind == "ner" else "positive instance"


class Seen(NamedTuple):
    """Rows of a split, from 0, whose text stands in an earlier one; those that only do with other labels."""

    rows: tuple[int, ...]
    contradicting: tuple[int, ...]


def seen_rows(card: TaskCard, read: Mapping[str, Examples], split: str) -> Seen:
    """Return the rows of a split whose text stands in an earlier one, case and white space aside.

    Rows are instances: of DDI's test set 96, of 33 sentences. Texts that differ in anything else, such as
    another tokenizer's blanks before a full stop, are not found.
    """
    labels_of: dict[str, set[str]] = {}
    for earlier in EARLIER[split]:
        for example in read[earlier]:
            labels_of.setdefault(_normalised(_text(example)), set()).add(_labels(example))
    examples = read[split]
    texts = [_normalised(_text(example)) for example in examples]
    rows = [row for row, text in enumerate(texts) if text in labels_of]
    if len(rows) < NO_CHANCE_SHARE * len(examples):
        rows = [row for row in rows if _num_characters(card, _text(examples[row])) > SHORT_CHARACTERS]
    contradicting = [row for row in rows if _labels(examples[row]) not in labels_of[texts[row]]]
    return Seen(tuple(rows), tuple(contradicting))


def _text(example: Sentence | Pair) -> str:
    return " ".join(example.words) if isinstance(example, Sentence) else example.text


def _labels(example: Sentence | Pair) -> str:
    return example.tags if isinstance(example, Sentence) else example.label


def _normalised(text: str) -> str:
    return " ".join(text.split()).casefold()


def _num_characters(card: TaskCard, text: str) -> int:
    """Count the characters of a text, one blank between words, without its entity indicators."""
    for marker in card.markers:
        text = text.replace(marker, "")
    return len(" ".join(text.split()))


def marker_faults(card: TaskCard, examples: Examples) -> list[str]:
    """Name each text whose indicators are not the card's, and what it holds: "d0 holds @GENE$"."""
    # The longest first: an indicator of the card's may begin as another does.
    known = "|".join(re.escape(marker) for marker in sorted(card.markers, key=len, reverse=True))
    pattern = re.compile(f"{known}|{LOOKS_LIKE_A_MARKER}")
    right = _right_markers(card)
    found = ((row, Counter(pattern.findall(row.text))) for row in examples if isinstance(row, Pair))
    return [
        f"{row.id} holds {', '.join(held.elements()) or 'none'}" for row, held in found if held not in right
    ]


def _right_markers(card: TaskCard) -> list[Counter[str]]:
    """Return what a text may hold: one merged indicator, or two others, of a card's two both."""
    single = [marker for marker in card.markers if marker not in card.merged_markers]
    pairs = [(a, b) for a in single for b in single if a != b or len(single) != 2]
    return [Counter([marker]) for marker in card.merged_markers] + [Counter(pair) for pair in pairs]


def remarks(card: TaskCard, split: str, facts: SplitFacts, *, schemes: Iterable[str] = ()) -> list[str]:
    """Say in words what a reader of a split's scores should know. schemes: of all files of the task."""
    said = []
    if is_converted(facts):
        others = ", ".join(sorted({*schemes} - {facts.tag_scheme}))
        beside = f", while other files of the task are in {others}" if others else ""
        unsure = " (or IOB1 in which no two mentions touch)" if facts.tag_scheme == "IO" else ""
        said.append(f"tagged in {facts.tag_scheme}{unsure} and read so{beside}")
    if facts.num_gold == 0:
        said.append(f"WARNING: no {gold_unit(card.kind)}: {_WITHOUT_GOLD[split]}")
    if facts.num_seen:
        said.append("WARNING: " * is_beyond_chance(facts) + seen_words(card.kind, split, facts))
    if facts.num_marker_faults:
        said.append(
            f"{facts.num_marker_faults} of {facts.num_examples} texts do not hold {expected_markers(card)}: "
            "the model reads other places there"
        )
    return said


_WITHOUT_GOLD = {
    "train": "there is nothing to learn",
    "dev": "neither epoch nor learning rate can be chosen by its F1",
    "test": "its F1 is undefined",
}


def is_converted(facts: SplitFacts) -> bool:
    """Return whether a file's tags are of another scheme than the one that is scored."""
    return facts.tag_scheme not in (None, "IOB2")


def is_amiss(facts: SplitFacts) -> bool:
    """Return whether a file is not as one would expect, however it stands to the others."""
    return facts.num_gold == 0 or bool(facts.num_marker_faults) or is_converted(facts)


def is_beyond_chance(facts: SplitFacts) -> bool:
    """Return whether too much of a split stands in earlier ones for chance."""
    return (facts.num_seen or 0) >= NO_CHANCE_SHARE * facts.num_examples


def is_seen_widely(facts: SplitFacts) -> bool:
    """Return whether so much of a split stands in earlier ones that its score must not stand uncommented."""
    return (facts.num_seen or 0) > SEEN_SHARE * facts.num_examples


def seen_words(kind: str, split: str, facts: SplitFacts) -> str:
    """Say how much of a split stands in earlier ones, "98 of 3,856 sentences ...", and what follows."""
    unit = "sentences" if kind == "ner" else "instances"
    where = " or ".join(EARLIER[split])
    others = f" ({facts.num_contradicting:,} with other labels)" if facts.num_contradicting else ""
    said = f"{facts.num_seen:,} of {facts.num_examples:,} {unit} stand in {where} too{others}"
    if 2 * (facts.num_seen or 0) > facts.num_examples:
        return f"{said}: its score shows what a model remembers, not what it has learnt"
    return f"{said}: its score shows in part what a model remembers" if is_seen_widely(facts) else said


def expected_markers(card: TaskCard) -> str:
    """Say what a text should hold: "@GENE$ and @DISEASE$ once each, or @GENE-DISEASE$"."""
    single = [marker for marker in card.markers if marker not in card.merged_markers]
    pair = {1: f"{single[0]} twice", 2: f"{' and '.join(single)} once each"} if single else {}
    either = [pair.get(len(single), f"two of {', '.join(single)}")] if single else []
    return ", or ".join([*either, *card.merged_markers])
