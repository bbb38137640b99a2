"""What goes wrong in a probe: by relation and by length of the answer, and what wrong first answers are."""

from collections import Counter
from collections.abc import Mapping, Sequence

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
    shown = {one.kind for one in outcomes} | {kind for kind in _ALWAYS if k > 1 or kind != "near"}
    places = ("first", "second" if k == 2 else f"2 to {k}", f"below {k}")
    names = (*places, "no beam", "too long", "undecoded", "no answer")
    kinds = {kind: name for kind, name in zip(KINDS, names, strict=True) if kind in shown}
    wrong = WRONG if has_types else ("known", "unknown")
    by_relation = Counter(one.relation for one in outcomes)
    most_first = [name for name, _ in by_relation.most_common()]
    relations = [name for name in most_first if by_relation[name] >= _MIN_QUERIES] or most_first
    few = [number for name, number in by_relation.items() if name not in set(relations)]
    pieces = [*map(str, range(1, max_masks + 1)), longer_than(max_masks), NO_ANSWER]
    words = [*map(str, range(1, _MANY_WORDS)), f"{_MANY_WORDS} and more", NO_ANSWER]

    def length(number: int, groups: Sequence[str]) -> str:
        return NO_ANSWER if not number else groups[min(number, len(groups) - 1) - 1]

    answers, wrong_ones = [one.kind for one in outcomes], [one for one in outcomes if one.wrong]
    by_pieces = [(length(one.num_pieces, pieces), one.kind) for one in outcomes]
    wrong_by_relation = [(one.relation, one.wrong) for one in wrong_ones]
    grids = (
        _counts("right answer", answers, kinds),
        _counts("wrong first answer", [one.wrong for one in wrong_ones], {w: _WRONG[w] for w in wrong}),
        _strata("relation", relations, [(one.relation, one.kind) for one in outcomes], kinds),
        _strata("word pieces", pieces, by_pieces, kinds),
        _strata("words", words, [(length(one.num_words, words), one.kind) for one in outcomes], kinds),
        _strata(
            "wrong first answer, by relation",
            relations,
            wrong_by_relation,
            dict(zip(wrong, wrong, strict=True)),
        ),
    )
    notes = [
        "first, below: the place of the best right answer among all of a query, of every length. no "
        "beam: it was never found, though as many word pieces as an accepted name has were tried. too "
        "long: every accepted name has more word pieces than masks were tried.",
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
    if few:
        notes.append(
            f"Left out by relation: {counted(len(few), 'relation')} of fewer than {_MIN_QUERIES} queries, "
            f"{sum(few):,} in all."
        )
    of = "Right answers by the fixed rule, ranked by mean log probability; % of the queries of a row"
    return Sheet(title, (caption, of), grids, tuple(notes))


_WRONG = {
    "right type": "a concept of the right semantic type",
    "other type": "a concept of another type",
    "known": "a concept",
    "unknown": "no concept that the set knows",
}


def _counts(heading: str, found: Sequence[str], names: Mapping[str, str]) -> Grid:
    """Return how often each kind of answer was found. names: of the kinds, as the rows name them."""
    counts = Counter(found)
    rows = [(name, counts[kind], share_cell(counts[kind], len(found))) for kind, name in names.items()]
    return Grid((heading, "queries", "%"), rows)


def _strata(
    heading: str, groups: Sequence[str], found: Sequence[tuple[str, str]], names: Mapping[str, str]
) -> Grid:
    """Return the shares of kinds in groups that have any. found: the group and the kind of each query."""
    counts, totals = Counter(found), Counter(group for group, _ in found)
    rows: GridRows = [
        (group, totals[group], *(share_cell(counts[group, kind], totals[group]) for kind in names))
        for group in groups
        if totals[group]
    ]
    return Grid((heading, "queries", *names.values()), rows)
