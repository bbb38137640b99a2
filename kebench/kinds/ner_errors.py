"""Where a model goes wrong in tagging: kinds of errors, which mentions and sentences, whether seeds agree.

A gold entity is *correct* if the same span is predicted, with its type where there are types; it has a *type*
error if that span is predicted with another type, a *boundary* error if a predicted span overlaps it
otherwise, and is *missed* if none does. A predicted span that overlaps no gold entity is *spurious*. Counts
are means over seeds; of one seed, whole numbers.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from kebench.grid import Cell, Grid, GridRows, Sheet, mean_cell, share_cell
from kebench.kinds.errors import Asked, Errors, Run, Shown, agreement_grid, both_grid, scores_grid
from kebench.scoring.entities import Tags, count_entities, entity_spans

Span = tuple[Any, ...]  # half-open, in words, with the type behind it where there are types
KINDS = ("correct", "boundary", "missed")
NO_SPAN = "no such span"
MOST_TYPES, MOST_CONFUSIONS = 6, 20  # ours: what fits a page
TYPED_KINDS = ("correct", "type", "boundary", "missed")
# Letters and digits, most of them capitals, in one word: ALS, A-T, G6PD.
_ABBREVIATION = re.compile(r"(?=.*[A-Z].*[A-Z0-9])[A-Z0-9][A-Za-z0-9-]{1,9}")


class Judged(NamedTuple):
    """One sentence of one run: each gold span with its kind, and the predicted spans that are spurious."""

    gold: tuple[tuple[Span, str], ...]
    spurious: tuple[Span, ...]


def tagging_errors(asked: Asked) -> Errors:
    """Return the tables of a model's errors, and the sentences with most of them."""
    runs, types = asked.runs, asked.card.types
    words = [sentence.words for sentence in asked.examples] if asked.examples else None
    seen = training_mentions(asked.train) if words and asked.train is not None else None
    grids = [
        kinds_grid(runs, types),
        *([scores_grid("type", "entity_f1", runs, types), type_confusion_grid(runs, types)] if types else []),
        strata_grid(runs, words, seen, asked.known.has if asked.known else None, types=types),
        agreement_mentions_grid(runs),
    ]
    if asked.both:
        golds = [(place, span) for place, tags in enumerate(runs[0].gold) for span in entity_spans(tags)]
        grids.append(both_grid(("found by most seeds of", "gold mentions", "%"), asked.both, golds, _correct))
    of_type = "type: the same span is predicted with another type. " if types else ""
    notes = [
        f"{of_type}boundary: a predicted span overlaps the gold one, and is not it. missed: none does. "
        "spurious: a predicted span that overlaps no gold one. Strict IOB2.",
    ]
    if words:
        notes.append(
            "abbreviation: one word of capitals and digits for the most part. in training: the same words, "
            "lower case, are a mention of the training set."
        )
    notes += [asked.known.note] if asked.known else []
    shown = informative_sentences(runs, words, most=asked.most) if words else []
    captions = ("Means over seeds",) if len(runs) > 1 else ()
    return Errors(Sheet(asked.title, captions, tuple(grids), tuple(notes)), shown)


def judge(gold_tags: Tags, predicted_tags: Tags) -> Judged:
    """Judge a sentence's spans, by strict IOB2."""
    gold, predicted = entity_spans(gold_tags), entity_spans(predicted_tags)
    exact, places = set(predicted), {span[:2] for span in predicted}

    def kind(span: Span) -> str:
        if span in exact:
            return "correct"
        if span[:2] in places:
            return "type"
        return "boundary" if _overlaps(span, predicted) else "missed"

    judged = tuple((span, kind(span)) for span in gold)
    return Judged(judged, tuple(span for span in predicted if not _overlaps(span, gold)))


def _overlaps(span: Span, others: Iterable[Span]) -> bool:
    return any(other[0] < span[1] and span[0] < other[1] for other in others)


def kinds_grid(runs: Sequence[Run], types: Sequence[str] = ()) -> Grid:
    """Return how often each kind occurs, as a mean over seeds."""
    kinds = TYPED_KINDS if types else KINDS
    counts: Counter[str] = Counter()
    for run in runs:
        for judged in _judged(run):
            counts.update(kind for _, kind in judged.gold)
            counts["spurious"] += len(judged.spurious)
    gold = sum(counts[kind] for kind in kinds)
    rows = [
        (kind, mean_cell(counts[kind], len(runs)), share_cell(counts[kind], gold))
        for kind in (*kinds, "spurious")
    ]
    return Grid(("kind", "a run", "% of gold"), rows)


def _judged(run: Run) -> list[Judged]:
    return [judge(gold, predicted) for gold, predicted in zip(run.gold, run.predicted, strict=True)]


def strata_grid(
    runs: Sequence[Run],
    words: Sequence[Sequence[str]] | None,
    seen: set[str] | None,
    is_known: Callable[[Sequence[str]], bool] | None = None,
    *,
    types: Sequence[str] = (),
) -> Grid:
    """Return kinds of errors by mention: its length; with the words also what these tell apart.

    seen: the mentions of the training set, as `mention_text` writes them; None if they are not known.
    is_known: says whether the knowledge base has a mention's words as a name; None if none was named.
    """
    kinds = TYPED_KINDS if types else KINDS
    lengths = ("1 word", "2 words", "3 words", "4 words and more")
    strata: dict[str, Callable[[Sequence[str]], bool]] = {}
    if words is not None:
        strata["abbreviation"] = is_abbreviation
        strata["no abbreviation"] = lambda mention: not is_abbreviation(mention)
        if seen is not None:
            strata["in training"] = lambda mention: mention_text(mention) in seen
            strata["not in training"] = lambda mention: mention_text(mention) not in seen
        if is_known is not None:
            strata["in the KB"] = is_known
            strata["not in the KB"] = lambda mention: not is_known(mention)
        if seen is not None and is_known is not None:
            strata["in the KB, not in training"] = lambda mention: (
                is_known(mention) and mention_text(mention) not in seen
            )
            strata["in neither"] = lambda mention: not is_known(mention) and mention_text(mention) not in seen
    counts: dict[str, Counter[str]] = {name: Counter() for name in (*lengths, *strata)}
    for run in runs:
        for place, judged in enumerate(_judged(run)):
            for (start, end, *_), kind in judged.gold:
                counts[lengths[min(end - start, len(lengths)) - 1]][kind] += 1
                mention = words[place][start:end] if words is not None else ()
                for name, holds in strata.items():
                    counts[name][kind] += holds(mention)
    rows: GridRows = []
    for name, found in counts.items():
        gold = sum(found.values())
        shares = (share_cell(found[kind], gold) for kind in kinds)
        rows.append((name, Cell(gold / len(runs), ",.0f"), *shares))
    return Grid(("gold mentions", "number", *(f"{kind}, %" for kind in kinds)), rows)


def is_abbreviation(words: Sequence[str]) -> bool:
    """Return whether a mention is one word, mostly of capitals and digits."""
    if len(words) != 1 or not _ABBREVIATION.fullmatch(words[0]):
        return False
    letters = [letter for letter in words[0] if letter.isalnum()]
    return 2 * sum(letter.isupper() or letter.isdigit() for letter in letters) > len(letters)


def mention_text(words: Sequence[str]) -> str:
    """Return a mention as it is compared with others: its words, lower case."""
    return " ".join(words).lower()


def training_mentions(sentences: Iterable[Any]) -> set[str]:
    """Return the mentions of a training set, as `mention_text` writes them."""
    return {
        mention_text(sentence.words[start:end])
        for sentence in sentences
        for start, end, *_ in entity_spans(sentence.tags)
    }


def type_confusion_grid(runs: Sequence[Run], types: Sequence[str]) -> Grid:
    """Return gold against predicted types of spans with equal ends, as means over seeds; gold in rows.

    Of more than MOST_TYPES the most frequent confusions alone, one a row.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for run in runs:
        for both in zip(run.gold, run.predicted, strict=True):
            gold, predicted = ({span[:2]: span[2] for span in entity_spans(tags)} for tags in both)
            counts.update((gold.get(span, ""), predicted.get(span, "")) for span in gold | predicted)

    def mean(pair: tuple[str, str]) -> Cell | None:
        return mean_cell(counts[pair], len(runs)) if any(pair) else None

    if len(types) <= MOST_TYPES:
        names = (*types, "")
        rows: GridRows = [(one or NO_SPAN, *(mean((one, other)) for other in names)) for one in names]
        return Grid(("gold / predicted", *types, NO_SPAN), rows)
    confused = [pair for pair, _ in counts.most_common() if pair[0] != pair[1]][:MOST_CONFUSIONS]
    rows = [(one or NO_SPAN, other or NO_SPAN, mean((one, other))) for one, other in confused]
    return Grid(("gold", f"predicted ({MOST_CONFUSIONS} most frequent)", "a run"), rows)


def agreement_mentions_grid(runs: Sequence[Run]) -> Grid:
    """Return by how many seeds gold entities are found, and how alike the seeds' predictions are."""
    golds = {(place, span) for place, tags in enumerate(runs[0].gold) for span in entity_spans(tags)}
    headings = ("agreement of seeds", "gold mentions", "%")
    return agreement_grid(headings, "found", runs, _correct, groups=[golds], overlap=count_entities)


def _correct(run: Run) -> Iterable[tuple[int, Span]]:
    for place, (gold, predicted) in enumerate(zip(run.gold, run.predicted, strict=True)):
        yield from ((place, span) for span in set(entity_spans(gold)) & set(entity_spans(predicted)))


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
        judged, sentence = judge(run.gold[place], run.predicted[place]), words[place]
        spans = [*judged.gold, *((span, "spurious") for span in judged.spurious)]
        stretches, at = [], 0
        for (start, end, *_), kind in sorted(spans):
            if start > at:
                stretches.append((" ".join(sentence[at:start]), ""))
            stretches.append((" ".join(sentence[max(start, at) : end]), kind))
            at = max(at, end)
        if at < len(sentence):
            stretches.append((" ".join(sentence[at:]), ""))
        shown.append(Shown(place, sum(errors[place]) / len(runs), tuple(stretches)))
    return shown
