"""What goes wrong in a probe: by relation and by length of the answer, and what wrong first answers are."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence

from kebench.errors import counted
from kebench.grid import Grid, GridRows, Sheet, share_cell
from kebench.probe.outcomes import KINDS, WRONG, Outcome
from kebench.probe.record import NO_ANSWER, longer_than

_ALWAYS = ("first", "near", "far", "missed", "length")  # shown even where no query is one
_MANY_WORDS = 4
_MIN_QUERIES = 5  # of a relation that is shown where some have so many; shares of fewer say nothing; ours


def probe_errors_sheet(
    title: str, caption: str, outcomes: Sequence[Outcome], *, k: int, max_masks: int, has_types: bool
) -> Sheet:
    """Return all grids of a probe's errors. has_types: whether the set says what its concepts are."""
    if not has_types:  # then a known concept is of no type
        outcomes = [
            one._replace(wrong="known" if one.wrong == "other type" else one.wrong) for one in outcomes
        ]
    names = _names(k)
    shown = {one.kind for one in outcomes} | {kind for kind in _ALWAYS if k > 1 or kind != "near"}
    kinds = [kind for kind in KINDS if kind in shown]
    wrong = WRONG if has_types else ("known", "unknown")
    by_relation = Counter(one.relation for one in outcomes)
    relations = _shown_relations(by_relation)
    pieces = [*map(str, range(1, max_masks + 1)), longer_than(max_masks), NO_ANSWER]
    words = [*map(str, range(1, _MANY_WORDS)), f"{_MANY_WORDS} and more", NO_ANSWER]

    def by(heading: str, group_of: Callable[[Outcome], str], groups: Sequence[str]) -> Grid:
        return _strata(heading, outcomes, group_of, groups, kinds=kinds, names=names)

    return Sheet(
        title,
        (
            caption,
            "Right answers by the fixed rule, ranked by mean log probability; % of the queries of a row",
        ),
        (
            _overall(outcomes, kinds, names),
            _wrong_answers(outcomes, wrong),
            by("relation", lambda one: one.relation, relations),
            by("word pieces", lambda one: _length(one.num_pieces, max_masks, longer_than(max_masks)), pieces),
            by("words", lambda one: _length(one.num_words, _MANY_WORDS - 1, words[-2]), words),
            _wrong_by_relation(outcomes, relations, wrong),
        ),
        (*_notes(k, kinds, has_types=has_types), *_left_out(by_relation, relations)),
    )


def _shown_relations(queries: Counter[str]) -> list[str]:
    """Return the relations with queries enough, most first; all of them where none has."""
    names = [name for name, _ in queries.most_common()]
    return [name for name in names if queries[name] >= _MIN_QUERIES] or names


def _left_out(queries: Counter[str], shown: Sequence[str]) -> list[str]:
    few = [number for name, number in queries.items() if name not in set(shown)]
    if not few:
        return []
    return [
        f"Left out by relation: {counted(len(few), 'relation')} of fewer than {_MIN_QUERIES} queries, "
        f"{sum(few):,} in all."
    ]


def _names(k: int) -> dict[str, str]:
    """Return what the kinds are called in headings."""
    return {
        "first": "first",
        "near": "second" if k == 2 else f"2 to {k}",
        "far": f"below {k}",
        "missed": "no beam",
        "length": "too long",
        "undecoded": "undecoded",
        "unanswerable": "no answer",
    }


def _overall(outcomes: Sequence[Outcome], kinds: Sequence[str], names: dict[str, str]) -> Grid:
    counts = Counter(one.kind for one in outcomes)
    rows = [(names[kind], counts[kind], share_cell(counts[kind], len(outcomes))) for kind in kinds]
    return Grid(("right answer", "queries", "%"), rows)


def _wrong_answers(outcomes: Sequence[Outcome], wrong: Sequence[str]) -> Grid:
    counts = Counter(one.wrong for one in outcomes if one.wrong)
    rows = [(_WRONG_NAMES[one], counts[one], share_cell(counts[one], counts.total())) for one in wrong]
    return Grid(("wrong first answer", "queries", "%"), rows)


_WRONG_NAMES = {
    "right type": "a concept of the right semantic type",
    "other type": "a concept of another type",
    "known": "a concept",
    "unknown": "no concept that the set knows",
}


def _strata(
    heading: str,
    outcomes: Iterable[Outcome],
    group_of: Callable[[Outcome], Hashable],
    groups: Sequence[str],
    *,
    kinds: Sequence[str],
    names: dict[str, str],
) -> Grid:
    counts: dict[Hashable, Counter[str]] = {group: Counter() for group in groups}
    for one in outcomes:
        if (group := group_of(one)) in counts:
            counts[group][one.kind] += 1
    rows: GridRows = [
        (group, found.total(), *(share_cell(found[kind], found.total()) for kind in kinds))
        for group, found in ((group, counts[group]) for group in groups)
        if found
    ]
    return Grid((heading, "queries", *(names[kind] for kind in kinds)), rows)


def _wrong_by_relation(outcomes: Iterable[Outcome], relations: Sequence[str], wrong: Sequence[str]) -> Grid:
    counts: dict[str, Counter[str]] = {relation: Counter() for relation in relations}
    for one in outcomes:
        if one.wrong and one.relation in counts:
            counts[one.relation][one.wrong] += 1
    rows: GridRows = [
        (relation, found.total(), *(share_cell(found[one], found.total()) for one in wrong))
        for relation, found in counts.items()
        if found
    ]
    return Grid(("wrong first answer, by relation", "queries", *wrong), rows)


def _length(number: int, most: int, beyond: str) -> str:
    return NO_ANSWER if not number else str(number) if number <= most else beyond


def _notes(k: int, kinds: Sequence[str], *, has_types: bool) -> list[str]:
    notes = [
        "first, below: the place of the best right answer among all of a query, of every length. no beam: it "
        "was never found, though as many word pieces as an accepted name has were tried. too long: every "
        "accepted name has more word pieces than masks were tried.",
        "Word pieces, words: of the shortest accepted name.",
        "A concept is known here if it is an answer to any query of the set; a name of a concept that no "
        "query accepts counts as none.",
    ]
    if not has_types:
        notes.append("The set says no semantic types, so which concepts are of the right one is not known.")
    if "undecoded" in kinds:
        notes.append("undecoded: the text leaves no room for a mask, or has no single mask token.")
    if "unanswerable" in kinds:
        notes.append("no answer: the set accepts nothing.")
    return notes
