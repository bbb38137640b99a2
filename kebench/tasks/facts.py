"""What a task's files hold that a reader of its scores should know, for plan, `data check` and record.

A score without gold measures nothing, and one on examples that stand in the training data measures memory.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kebench.errors import counted
from kebench.kinds.card import TaskCard
from kebench.kinds.kind import Examples
from kebench.kinds.registry import KINDS
from kebench.kinds.schemes import Scheme
from kebench.records import SplitFacts
from kebench.scoring.metrics import METRICS

# Of a split's texts; ours. BLURB's 84,000 have none. One odd text in a file of forty is let through with a
# word; an indicator that is misspelt is so in every text of a kind, far more than one in twenty.
MOST_MARKER_FAULTS = 0.05
# Of which splits no example of a split should stand in.
EARLIER = {"dev": ("train",), "test": ("train", "dev")}
# ours; a text of so few characters recurs by chance ("Conclusion ."), so it counts only in a split of which
# in all so large a share stands in the earlier ones
SHORT_CHARACTERS = 40
NO_CHANCE_SHARE = 0.1
# ours; more examples that were seen may move an F1 by as much as good models differ
SEEN_SHARE = 0.01


def split_facts(
    card: TaskCard, read: Mapping[str, Examples], *, schemes: Mapping[str, Scheme | None]
) -> dict[str, SplitFacts]:
    """Return what each split that was read holds, counted over all its rows. schemes: of their tags."""
    kind, found = KINDS[card.kind], {}
    for split, examples in read.items():
        is_comparable = split in EARLIER and set(EARLIER[split]) <= set(read)
        seen = seen_rows(card, read, split) if is_comparable else None
        found[split] = SplitFacts(
            num_examples=len(examples),
            num_gold=kind.count_gold(card, examples),
            tag_scheme=schemes.get(split),
            num_seen=len(seen.rows) if seen else None,
            num_contradicting=len(seen.contradicting) if seen else None,
            num_marker_faults=len(kind.marks.faults(card, examples)) if kind.marks else None,
        )
    return found


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
            labels_of.setdefault(_normalised(example.text), set()).add(example.gold)
    examples = read[split]
    texts = [_normalised(example.text) for example in examples]
    rows = [row for row, text in enumerate(texts) if text in labels_of]
    if len(rows) < NO_CHANCE_SHARE * len(examples):
        plain = [KINDS[card.kind].plain_text(card, example).split() for example in examples]
        rows = [row for row in rows if len(" ".join(plain[row])) > SHORT_CHARACTERS]
    contradicting = [row for row in rows if examples[row].gold not in labels_of[texts[row]]]
    return Seen(tuple(rows), tuple(contradicting))


def _normalised(text: str) -> str:
    return " ".join(text.split()).casefold()


def remarks(card: TaskCard, split: str, facts: SplitFacts, *, schemes: Iterable[str] = ()) -> list[str]:
    """Say in words what a reader of a split's scores should know. schemes: of all files of the task."""
    kind, said = KINDS[card.kind], []
    if is_converted(facts):
        others = ", ".join(sorted({*schemes} - {facts.tag_scheme}))
        beside = f", while other files of the task are in {others}" if others else ""
        unsure = " (or IOB1 in which no two mentions touch)" if facts.tag_scheme == "IO" else ""
        said.append(f"tagged in {facts.tag_scheme}{unsure} and read so{beside}")
    if facts.num_gold == 0:
        what = _WITHOUT_GOLD[split].format(score=METRICS[card.metric].title)
        said.append(f"WARNING: no {kind.words.gold}: {what}")
    if facts.num_seen:
        is_beyond_chance = facts.num_seen >= NO_CHANCE_SHARE * facts.num_examples
        said.append("WARNING: " * is_beyond_chance + seen_words(card.kind, split, facts))
    if facts.num_marker_faults and kind.marks:
        lacking = f"{facts.num_marker_faults} of {facts.num_examples} texts do not hold"
        said.append(f"{lacking} {kind.marks.expected(card)}: the model reads other places there")
    return said


_WITHOUT_GOLD = {
    "train": "there is nothing to learn",
    "dev": "neither epoch nor learning rate can be chosen by its {score}",
    "test": "its {score} is undefined",
}


def is_converted(facts: SplitFacts) -> bool:
    """Return whether a file's tags are of another scheme than the one that is scored."""
    return facts.tag_scheme not in (None, "IOB2")


def is_seen_widely(facts: SplitFacts) -> bool:
    """Return whether so much of a split stands in earlier ones that its score must not stand uncommented."""
    return (facts.num_seen or 0) > SEEN_SHARE * facts.num_examples


def seen_words(kind: str, split: str, facts: SplitFacts) -> str:
    """Say how much of a split stands in earlier ones, "98 of 3,856 sentences ...", and what follows."""
    where = " or ".join(EARLIER[split])
    others = f" ({facts.num_contradicting:,} with other labels)" if facts.num_contradicting else ""
    of_all = counted(facts.num_examples, KINDS[kind].words.example)
    said = f"{facts.num_seen:,} of {of_all} stand in {where} too{others}"
    if 2 * (facts.num_seen or 0) > facts.num_examples:
        return f"{said}: its score shows what a model remembers, not what it has learnt"
    return f"{said}: its score shows in part what a model remembers" if is_seen_widely(facts) else said
