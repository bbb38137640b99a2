"""Figures of answers that models write: what each query earns, and what its baselines earn.

An answer is right or not as a whole string; how strings are compared is decided before. Answers of a query
that are compared as one count once, at the better place. All answers to queries of other subjects are judged
by what a query accepts; nothing is drawn, so the mean over them is exact.
"""

# Q queries of one relation and direction

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from kebench.cards import Part
from kebench.scoring.cloze import Floats
from kebench.scoring.macro import MacroMean, macro_means
from kebench.scoring.ranked import over_other_subjects
from kebench.scoring.ranked_figures import MacroFigure, macro_figure

METRICS = ("hit_1", "hit_beam", "mrr")
SOURCES = ("own", "other_subjects", "frequency")

Earnings = dict[str, Floats]  # by metric: what each query earns, from 0 to 1; NaN where it has no figure


def metric_name(metric: str, *, beam: int) -> str:
    """Return what a metric is called where people read."""
    return {"hit_1": "hit@1", "hit_beam": f"hit@{beam}", "mrr": "MRR"}[metric]


class GeneratedMetric(Part):
    """One metric by the query's own answers and by its baselines (`earned`).

    over_other_subjects: own less other subjects, of each query: what its subject tells.
    """

    own: MacroFigure
    other_subjects: MacroFigure
    over_other_subjects: MacroFigure
    frequency: MacroFigure


class GeneratedGroupMetric(Part):
    """One metric over the queries of one relation, in percent; the interval is over facts."""

    own_percent: float | None
    other_subjects_percent: float | None
    over_other_subjects_percent: float | None
    over_other_subjects_low_percent: float | None
    over_other_subjects_high_percent: float | None
    frequency_percent: float | None


class GeneratedGroup(Part):
    """The queries of one relation and direction, and their means."""

    queries: int
    hit_1: GeneratedGroupMetric
    hit_beam: GeneratedGroupMetric
    mrr: GeneratedGroupMetric


class ReleasedHits(Part):
    """Hits by the string rules of the code released with KeBioLM."""

    hit_1: MacroFigure
    hit_beam: MacroFigure


class GeneratedFigures(Part):
    """All figures of one probe whose answers were written.

    hit_1: the first answer is right. hit_beam: any answer is. mrr: mean reciprocal rank of the first right
    one, 0 where none is. released: None where answers are names of the pool, which no string rule compares.
    """

    queries: int
    relations: int
    hit_1: GeneratedMetric
    hit_beam: GeneratedMetric
    mrr: GeneratedMetric
    released: ReleasedHits | None
    by_relation: dict[str, GeneratedGroup] = Field(default={})


class WrittenRelation(NamedTuple):
    """The queries of one relation and direction.

    answers: of each query, best first, as they are compared. accepted: what it accepts, as it is compared.
    subjects: what it is about. true: its true answers by identifier. names: of each identifier, as an answer
    that names it is compared.
    released: of each query whether its first answer is right by the released rule, and whether any is; (Q, 2)
    or None.
    """

    relation: str
    answers: Sequence[Sequence[Hashable]]
    accepted: Sequence[frozenset[Hashable]]
    subjects: Sequence[str]
    true: Sequence[frozenset[str]]
    names: Mapping[str, Hashable]
    released: Floats | None = None


def earned(relation: WrittenRelation, *, beam: int) -> dict[str, Earnings]:
    """Return what each query of a relation earns, by source of the answers (SOURCES) and metric (METRICS).

    own: by the query's answers. other_subjects: the mean over the answers to all queries of other subjects;
    NaN where there is none. frequency: by naming the `beam` concepts that most queries have as an answer, the
    query itself among them, equally frequent ones in random order, in expectation.
    """
    number = len(relation.answers)
    found = {source: {metric: np.zeros(number) for metric in METRICS} for source in SOURCES}
    # Where which query has an answer: its place, counted from 0, among distinct ones.
    places: dict[Hashable, dict[int, int]] = {}
    for query, answers in enumerate(relation.answers):
        for place, answer in enumerate(dict.fromkeys(answers)):
            places.setdefault(answer, {})[query] = place
    for query, accepted in enumerate(relation.accepted):
        first: dict[int, int] = {}  # of each query's answers, the place of the first that this one accepts
        for answer in accepted:
            for other, place in places.get(answer, {}).items():
                first[other] = min(place, first.get(other, place))
        others = {other for other in range(number) if relation.subjects[other] != relation.subjects[query]}
        gained = dict.fromkeys(METRICS, 0.0)
        for other, place in first.items():
            of_place = {"hit_1": float(place == 0), "hit_beam": 1.0, "mrr": 1 / (1 + place)}
            for metric, value in of_place.items():
                if other == query:
                    found["own"][metric][query] = value
                elif other in others:
                    gained[metric] += value
        frequency = _earned_by_frequency(relation, query, beam)
        for metric in METRICS:
            mean = gained[metric] / len(others) if others else np.nan
            found["other_subjects"][metric][query] = mean
            found["frequency"][metric][query] = frequency[metric]
    return found


def _earned_by_frequency(relation: WrittenRelation, query: int, beam: int) -> dict[str, float]:
    """Return what naming the most frequent answers of the queries earns, over all orders of equal ones."""
    frequency = Counter(cui for true in relation.true for cui in true)
    is_right = {cui: relation.names[cui] in relation.accepted[query] for cui in frequency}
    best = max((times for cui, times in frequency.items() if is_right[cui]), default=0)
    if not best:
        return dict.fromkeys(METRICS, 0.0)
    above = sum(times > best for times in frequency.values())
    tied = [is_right[cui] for cui, times in frequency.items() if times == best]
    wrong, right = tied.count(False), tied.count(True)
    at_least, found = 1.0, dict.fromkeys(METRICS, 0.0)
    for before in range(wrong + 1):  # so many wrong ones come before the first right one of the equal
        next_wrong = (wrong - before) / (wrong + right - before)
        place, chance = above + before, at_least * (1 - next_wrong)
        at_least *= next_wrong
        found["hit_1"] += chance * (place == 0)
        found["hit_beam"] += chance * (place < beam)
        found["mrr"] += chance / (1 + place) * (place < beam)
    return found


def generated_figures(
    relations: Sequence[WrittenRelation],
    earnings: Sequence[Mapping[str, Earnings]],
    generator: np.random.Generator,
) -> GeneratedFigures:
    """Return all figures of one probe. earnings: `earned` of each relation. generator: for intervals."""
    assert relations, "no relation was asked"
    sizes = [len(one.answers) for one in relations]
    relation_Q = np.repeat(np.arange(len(relations)), sizes)
    column = {
        (metric, source): np.concatenate([one[source][metric] for one in earnings])
        for metric in METRICS
        for source in SOURCES
    }
    column = over_other_subjects(column)
    values = list(column.values())
    released = [one.released for one in relations if one.released is not None]
    if released:
        assert len(released) == len(relations), "all relations are judged by the released rule, or none"
        values += list(np.concatenate(released).T)
    means = macro_means(np.stack(values, axis=1), relation_Q, generator)
    of_column = dict(zip(column, means, strict=False))
    by_relation = {}
    for place, one in enumerate(relations):
        alone = np.stack([of_all[relation_Q == place] for of_all in column.values()], axis=1)
        of_one = macro_means(alone, np.zeros(len(alone), dtype=np.int64), generator)
        by_relation[one.relation] = _group(dict(zip(column, of_one, strict=True)), len(alone))
    return GeneratedFigures(
        queries=len(relation_Q),
        relations=len(relations),
        **{
            metric: GeneratedMetric(
                **{source: macro_figure(of_column[metric, source]) for source in GeneratedMetric.model_fields}
            )
            for metric in METRICS
        },
        released=ReleasedHits(hit_1=macro_figure(means[-2]), hit_beam=macro_figure(means[-1]))
        if released
        else None,
        by_relation=by_relation,
    )


def _group(means: Mapping[tuple[str, str], MacroMean], queries: int) -> GeneratedGroup:
    by_metric = {}
    for metric in METRICS:
        figures = {source: macro_figure(means[metric, source]) for source in GeneratedMetric.model_fields}
        over = figures["over_other_subjects"]
        by_metric[metric] = GeneratedGroupMetric(
            **{f"{source}_percent": figure.percent for source, figure in figures.items()},
            over_other_subjects_low_percent=over.facts_low_percent,
            over_other_subjects_high_percent=over.facts_high_percent,
        )
    return GeneratedGroup(queries=queries, **by_metric)
