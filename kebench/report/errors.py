"""Where a model goes wrong on a task: kinds of errors, which mentions and sentences, whether seeds agree.

NER: a gold entity is *correct* if the same span is predicted, has a *boundary* error if a predicted span
overlaps it otherwise, and is *missed* if none does.
A predicted span that overlaps no gold entity is *spurious*. Counts are means over seeds; of one seed, whole
numbers.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import combinations
from typing import Any, NamedTuple, TypeVar

from kebench.grid import Cell, Grid, GridRows, mean_cell, share_cell
from kebench.scoring.counts import Counts
from kebench.scoring.entities import count_entities, strict_spans

Span = tuple[int, int]
Found = TypeVar("Found", bound=Hashable)
KINDS = ("correct", "boundary", "missed")
# Letters and digits, most of them capitals, in one word: ALS, A-T, G6PD.
_ABBREVIATION = re.compile(r"(?=.*[A-Z].*[A-Z0-9])[A-Z0-9][A-Za-z0-9-]{1,9}")


class Judged(NamedTuple):
    """One sentence of one run: each gold span with its kind, and the predicted spans that are spurious."""

    gold: tuple[tuple[Span, str], ...]
    spurious: tuple[Span, ...]


class Run(NamedTuple):
    """The predictions of one seed on the test set."""

    seed: int
    gold: Sequence[str]
    predicted: Sequence[str]


def judge(gold_tags: str, predicted_tags: str) -> Judged:
    """Judge a sentence's spans, by strict IOB2."""
    gold, predicted = strict_spans(gold_tags), strict_spans(predicted_tags)
    exact = set(predicted)
    judged = tuple(
        (span, "correct" if span in exact else "boundary" if _overlaps(span, predicted) else "missed")
        for span in gold
    )
    return Judged(judged, tuple(span for span in predicted if not _overlaps(span, gold)))


def _overlaps(span: Span, others: Iterable[Span]) -> bool:
    return any(start < span[1] and span[0] < end for start, end in others)


def kinds_grid(runs: Sequence[Run]) -> Grid:
    """Return how often each kind occurs, as a mean over seeds."""
    counts: Counter[str] = Counter()
    for run in runs:
        for judged in _judged(run):
            counts.update(kind for _, kind in judged.gold)
            counts["spurious"] += len(judged.spurious)
    gold = sum(counts[kind] for kind in KINDS)
    rows = [
        (kind, mean_cell(counts[kind], len(runs)), share_cell(counts[kind], gold))
        for kind in (*KINDS, "spurious")
    ]
    return Grid(("kind", "a run", "% of gold"), rows)


def _judged(run: Run) -> list[Judged]:
    return [judge(gold, predicted) for gold, predicted in zip(run.gold, run.predicted, strict=True)]


def strata_grid(
    runs: Sequence[Run],
    words: Sequence[Sequence[str]] | None,
    seen: set[str] | None,
    is_known: Callable[[Sequence[str]], bool] | None = None,
) -> Grid:
    """Return kinds of errors by mention: its length; with the words also what `_word_strata` tells apart."""
    strata: dict[str, Callable[[int, Span], bool]] = {
        f"{length} word{'s' if length > 1 else ''}": _of_length(length) for length in (1, 2, 3)
    }
    strata["4 words and more"] = lambda _, span: span[1] - span[0] >= 4
    if words is not None:
        strata |= {name: _of_words(words, holds) for name, holds in _word_strata(seen, is_known).items()}
    counts: dict[str, Counter[str]] = {name: Counter() for name in strata}
    for run in runs:
        for place, judged in enumerate(_judged(run)):
            for span, kind in judged.gold:
                for name, holds in strata.items():
                    if holds(place, span):
                        counts[name][kind] += 1
    rows: GridRows = []
    for name, found in counts.items():
        gold = sum(found.values())
        shares = (share_cell(found[kind], gold) for kind in KINDS)
        rows.append((name, Cell(gold / len(runs), ",.0f"), *shares))
    return Grid(("gold mentions", "number", *(f"{kind}, %" for kind in KINDS)), rows)


def _of_length(length: int) -> Callable[[int, Span], bool]:
    return lambda _, span: span[1] - span[0] == length


def _of_words(
    words: Sequence[Sequence[str]], holds: Callable[[Sequence[str]], bool]
) -> Callable[[int, Span], bool]:
    return lambda place, span: holds(words[place][span[0] : span[1]])


def _word_strata(
    seen: set[str] | None, is_known: Callable[[Sequence[str]], bool] | None
) -> dict[str, Callable[[Sequence[str]], bool]]:
    """Return what is told of a mention's words: abbreviation, in training, in the knowledge base.

    seen: the mentions of the training set, as `mention_text` writes them; None if they are not known.
    is_known: says whether the knowledge base has a mention's words as a name; None if none was named.
    """
    strata: dict[str, Callable[[Sequence[str]], bool]] = {
        "abbreviation": is_abbreviation,
        "no abbreviation": lambda words: not is_abbreviation(words),
    }
    if seen is not None:
        strata["in training"] = lambda words: mention_text(words) in seen
        strata["not in training"] = lambda words: mention_text(words) not in seen
    if is_known is not None:
        strata["in the KB"] = is_known
        strata["not in the KB"] = lambda words: not is_known(words)
        if seen is not None:
            strata["in the KB, not in training"] = lambda words: (
                is_known(words) and mention_text(words) not in seen
            )
            strata["in neither"] = lambda words: not is_known(words) and mention_text(words) not in seen
    return strata


def is_abbreviation(words: Sequence[str]) -> bool:
    """Return whether a mention is one word, mostly of capitals and digits."""
    if len(words) != 1 or not _ABBREVIATION.fullmatch(words[0]):
        return False
    letters = [letter for letter in words[0] if letter.isalnum()]
    return 2 * sum(letter.isupper() or letter.isdigit() for letter in letters) > len(letters)


def mention_text(words: Sequence[str]) -> str:
    """Return a mention as it is compared with others: its words, lower case."""
    return " ".join(words).lower()


def training_mentions(tags: Iterable[str], words: Iterable[Sequence[str]]) -> set[str]:
    """Return the mentions of a training set."""
    return {
        mention_text(sentence[start:end])
        for one, sentence in zip(tags, words, strict=True)
        for start, end in strict_spans(one)
    }


def agreement_grid(runs: Sequence[Run]) -> Grid:
    """Return by how many seeds gold entities are found, and how alike the seeds' predictions are."""
    found: Counter[tuple[int, Span]] = Counter()
    golds = {(place, span) for place, tags in enumerate(runs[0].gold) for span in strict_spans(tags)}
    for run in runs:
        found.update(_correct(run))
    by_number = Counter(found[one] for one in golds)
    rows: GridRows = [
        (
            f"found by {number} of {len(runs)} seeds",
            by_number[number],
            share_cell(by_number[number], len(golds)),
        )
        for number in range(len(runs), -1, -1)
        if golds
    ]
    alike = [
        count_entities(one.predicted, other.predicted).overlap_percent for one, other in combinations(runs, 2)
    ]
    if alike:
        rows.append(("F1 of one seed against another, mean", mean_percent(alike), ""))
    return Grid(("agreement of seeds", "gold mentions", "%"), rows)


def mean_percent(percents: Sequence[float | None]) -> Cell:
    """Return a mean as a cell; a missing one if one of the numbers is undefined."""
    known = [percent for percent in percents if percent is not None]
    return Cell(sum(known) / len(known) if len(known) == len(percents) else None)


def _correct(run: Run) -> Iterable[tuple[int, Span]]:
    for place, (gold, predicted) in enumerate(zip(run.gold, run.predicted, strict=True)):
        yield from ((place, span) for span in set(strict_spans(gold)) & set(strict_spans(predicted)))


def against_grid(a: str, runs_a: Sequence[Run], b: str, runs_b: Sequence[Run]) -> Grid:
    """Return which gold entities two models find, each by most of its seeds."""
    golds = [(place, span) for place, tags in enumerate(runs_a[0].gold) for span in strict_spans(tags)]
    found_a, found_b = (_by_most(map(_correct, runs), len(runs)) for runs in (runs_a, runs_b))
    headings = ("found by most seeds of", "gold mentions", "%")
    return _both_grid(headings, (a, b), [(one in found_a, one in found_b) for one in golds])


def against_instances_grid(a: str, runs_a: Sequence[Run], b: str, runs_b: Sequence[Run]) -> Grid:
    """Return which relation instances two models label right, each by most of its seeds."""
    right_a, right_b = (_by_most(map(_right_places, runs), len(runs)) for runs in (runs_a, runs_b))
    headings = ("right by most seeds of", "instances", "%")
    places = range(len(runs_a[0].gold))
    return _both_grid(headings, (a, b), [(place in right_a, place in right_b) for place in places])


def _right_places(run: Run) -> Iterable[int]:
    return (
        place for place, (one, other) in enumerate(zip(run.gold, run.predicted, strict=True)) if one == other
    )


def _both_grid(
    headings: tuple[str, ...], models: tuple[str, str], found: Sequence[tuple[bool, bool]]
) -> Grid:
    """Return how many both of two models have, only one of them, and neither."""
    a, b = models
    counts = Counter(found)
    names = {
        (True, True): "both",
        (True, False): f"only {a}",
        (False, True): f"only {b}",
        (False, False): "neither",
    }
    rows = [(said, counts[key], share_cell(counts[key], len(found))) for key, said in names.items()]
    return Grid(headings, rows)


def _by_most(found_by_run: Iterable[Iterable[Found]], num_runs: int) -> set[Found]:
    found = Counter(one for of_run in found_by_run for one in of_run)
    return {one for one, number in found.items() if 2 * number > num_runs}


class Shown(NamedTuple):
    """A sentence to look at: its place in the test set, its errors a run, its stretches of text.

    A stretch is (text, kind): kind is "" outside of spans, one of KINDS, or "spurious"; of the run that
    stands in the middle by its number of errors.
    """

    place: int
    errors: float
    stretches: tuple[tuple[str, str], ...]


def informative_sentences(runs: Sequence[Run], words: Sequence[Sequence[str]], *, most: int) -> list[Shown]:
    """Return the sentences with the most errors a run; of equal ones those on which seeds differ first."""
    errors: list[list[int]] = [[] for _ in words]
    for run in runs:
        for place, judged in enumerate(_judged(run)):
            wrong = sum(kind != "correct" for _, kind in judged.gold) + len(judged.spurious)
            errors[place].append(wrong)

    def order(place: int) -> tuple[Any, ...]:
        found = errors[place]
        return (-sum(found), -(max(found) - min(found)), len(words[place]), place)

    worst = [place for place in sorted(range(len(words)), key=order) if sum(errors[place])]
    shown = []
    for place in worst[:most]:
        ranked = sorted(range(len(runs)), key=lambda number: (errors[place][number], number))
        run = runs[ranked[len(ranked) // 2]]
        judged = judge(run.gold[place], run.predicted[place])
        shown.append(Shown(place, sum(errors[place]) / len(runs), _stretches(words[place], judged)))
    return shown


def _stretches(words: Sequence[str], judged: Judged) -> tuple[tuple[str, str], ...]:
    spans = sorted([*judged.gold, *((span, "spurious") for span in judged.spurious)])
    stretches, at = [], 0
    for (start, end), kind in spans:
        if start > at:
            stretches.append((" ".join(words[at:start]), ""))
        stretches.append((" ".join(words[max(start, at) : end]), kind))
        at = max(at, end)
    if at < len(words):
        stretches.append((" ".join(words[at:]), ""))
    return tuple(stretches)


def confusion_grid(runs: Sequence[Run], labels: Sequence[str]) -> Grid:
    """Return gold against predicted relation labels, as means over seeds; gold in rows."""
    counts = Counter(
        (gold, predicted) for run in runs for gold, predicted in zip(run.gold, run.predicted, strict=True)
    )
    rows: GridRows = [
        (gold, *(mean_cell(counts[gold, predicted], len(runs)) for predicted in labels)) for gold in labels
    ]
    return Grid(("gold / predicted", *labels), rows)


def label_grid(runs: Sequence[Run], labels: Sequence[str]) -> Grid:
    """Return precision, recall and F1 of each relation label, from counts over all seeds; a dash for none."""
    rows: GridRows = []
    for label in labels:
        gold = sum(one == label for run in runs for one in run.gold)
        predicted = sum(one == label for run in runs for one in run.predicted)
        pairs = ((one, other) for run in runs for one, other in zip(run.gold, run.predicted, strict=True))
        right = sum(one == other == label for one, other in pairs)
        counts = Counts(gold, predicted, right)
        percents = (counts.precision_percent, counts.recall_percent, counts.f1_percent)
        rows.append((label, Cell(gold / len(runs), ",.0f"), *map(Cell, percents)))
    return Grid(("label", "gold", "precision", "recall", "F1"), rows)


def marker_grid(
    runs: Sequence[Run], texts: Sequence[str], markers: Sequence[str], merged: Sequence[str], *, negative: str
) -> Grid:
    """Return F1 over the positive labels by the entity indicators that a text holds, merged ones apart.

    A dash where no such text has a positive gold label.
    """
    groups: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        held = [marker for marker in dict.fromkeys((*merged, *markers)) if marker in text]
        groups.setdefault(" and ".join(held) or "none", []).append(place)
    rows = []
    for name, places in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        gold = predicted = right = 0
        for run in runs:
            for place in places:
                one, other = run.gold[place], run.predicted[place]
                gold, predicted = gold + (one != negative), predicted + (other != negative)
                right += one == other != negative
        f1 = Cell(200 * right / (gold + predicted) if gold else None)
        rows.append((name, len(places), Cell(gold / len(runs), ",.0f"), f1))
    return Grid(("indicators in the text", "instances", "positive", "F1"), rows)
