"""What a task's files hold that a reader of its scores should know, for plan, `data check` and record.

Entity indicators: a text holds each of the card's two once (of one kind: twice), or one that stands for
both. What looks like an indicator (@DISORDER$) and is none of the card's is one spelt otherwise.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from kebench.records import SplitFacts
from kebench.tasks.card import TaskCard
from kebench.tasks.readers import Pair, Sentence

# Of a split's texts; ours. BLURB's 84,000 have none. One odd text in a file of forty is let through with a
# word; an indicator that is misspelt is so in every text of a kind, far more than one in twenty.
MOST_MARKER_FAULTS = 0.05
_LOOKS_LIKE_A_MARKER = r"@[^\s@$]+\$"


def split_facts(
    card: TaskCard, read: Mapping[str, Sequence[Sentence] | Sequence[Pair]]
) -> dict[str, SplitFacts]:
    """Return what each split holds, counted over all its rows. read: the examples of the splits there are."""
    return {
        split: SplitFacts(
            num_examples=len(examples),
            num_marker_faults=len(marker_faults(card, examples)) if card.kind == "relation" else None,
        )
        for split, examples in read.items()
    }


def marker_faults(card: TaskCard, examples: Sequence[Sentence] | Sequence[Pair]) -> list[str]:
    """Name each text whose indicators are not the card's, and what it holds: "d0 holds @GENE$"."""
    # The longest first: an indicator of the card's may begin as another does.
    known = "|".join(re.escape(marker) for marker in sorted(card.markers, key=len, reverse=True))
    pattern = re.compile(f"{known}|{_LOOKS_LIKE_A_MARKER}")
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


def remarks(card: TaskCard, facts: SplitFacts) -> list[str]:
    """Say in words what is out of the common in a split."""
    if not facts.num_marker_faults:
        return []
    return [
        f"{facts.num_marker_faults} of {facts.num_examples} texts do not hold {expected_markers(card)}: "
        "the model reads other places there"
    ]


def expected_markers(card: TaskCard) -> str:
    """Say what a text should hold: "@GENE$ and @DISEASE$ once each, or @GENE-DISEASE$"."""
    single = [marker for marker in card.markers if marker not in card.merged_markers]
    pair = {1: f"{single[0]} twice", 2: f"{' and '.join(single)} once each"} if single else {}
    either = [pair.get(len(single), f"two of {', '.join(single)}")] if single else []
    return ", or ".join([*either, *card.merged_markers])
