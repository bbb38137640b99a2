"""All figures of one ranked probe by one score, as its record keeps them: over relations, and in groups.

Queries -> relations -> the macro mean over relations, as everywhere in kebench; each with both intervals of
`kebench.scoring.macro`. Percentages from 0 to 100; None where there is nothing to average.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from kebench.cards import Part
from kebench.scoring.calibration import calibration_error_percent
from kebench.scoring.cloze import Floats, Ints
from kebench.scoring.first_answers import Agreement, FirstAnswers
from kebench.scoring.macro import MacroMean, macro_means
from kebench.scoring.ranked import METRICS, SOURCES, Bools, QueryFigures, over_other_subjects

NUM_STRATA = 4
UNKNOWN = "unknown"  # the stratum of queries of which nobody knows it


class MacroFigure(Part):
    """One figure: the mean over relations, in percent; of a difference in points.

    facts_low_percent, facts_high_percent: 95% interval over other facts of these relations.
    relations_low_percent, relations_high_percent: over other relations, too.
    queries, relations: over which it is a mean.
    """

    percent: float | None
    facts_low_percent: float | None
    facts_high_percent: float | None
    relations_low_percent: float | None
    relations_high_percent: float | None
    queries: int
    relations: int


class MetricFigures(Part):
    """One metric by the query's own scores and by its baselines (`QueryFigures`).

    over_other_subjects: own less other subjects, of each query: what its subject tells.
    """

    own: MacroFigure
    other_subjects: MacroFigure
    over_other_subjects: MacroFigure
    no_subject: MacroFigure
    frequency: MacroFigure
    shared_words: MacroFigure
    uniform: MacroFigure


class GroupMetric(Part):
    """One metric over the queries of one group, in percent; the difference with its interval over facts."""

    own_percent: float | None
    other_subjects_percent: float | None
    over_other_subjects_percent: float | None
    over_other_subjects_low_percent: float | None
    over_other_subjects_high_percent: float | None
    no_subject_percent: float | None
    frequency_percent: float | None
    shared_words_percent: float | None
    uniform_percent: float | None


class GroupFigures(Part):
    """The queries of one relation or stratum: how many have figures, and their means."""

    queries: int
    acc_1: GroupMetric
    mrr: GroupMetric
    hits_5: GroupMetric
    auc: GroupMetric


class ReliabilityBin(Part):
    """First answers whose confidence lies in one of ten stretches of equal width, 0 the least confident.

    number: answers, of all draws. confidence_percent: their mean. accuracy_percent: the share that is right.
    """

    place: int
    number: int
    confidence_percent: float
    accuracy_percent: float


class AnswerCalibration(Part):
    """Whether first answers are right as often as their softmax over the pool says.

    error_percent: expected calibration error over all first answers of all relations and draws; the bins are
    those of the same. confidence, accuracy, true_mass: macro means of the first answer's probability, of its
    being right, of the probability of all true answers together. brier: mean squared distance of confidence
    from being right, from 0 to 1.
    """

    error_percent: float | None
    confidence_percent: float | None
    accuracy_percent: float | None
    true_mass_percent: float | None
    brier: float | None
    bins: tuple[ReliabilityBin, ...]


class AgreementFigures(Part):
    """How often other words get the same first answer, and how alike they rank; macro means.

    negated_same_first_percent, negated_rank_correlation: with the negated statement, where high is no merit;
    None where there is none.
    """

    same_first_percent: float | None
    rank_correlation: float | None
    negated_same_first_percent: float | None = None
    negated_rank_correlation: float | None = None


class RankedFigures(Part):
    """All figures of one probe by one score.

    queries: asked. ranked: that have a figure. relations: that have such a query.
    lacking: relations without any figure, and why.
    num_false: false candidates that a query competes with, the median over queries.
    agreement: None where one wording was asked.
    strata: by what is split, its strata in order, each over all its queries alike, whatever their relation.
    """

    queries: int
    ranked: int
    relations: int
    lacking: dict[str, str] = {}
    num_false: float | None
    acc_1: MetricFigures
    mrr: MetricFigures
    hits_5: MetricFigures
    auc: MetricFigures
    calibration: AnswerCalibration
    agreement: AgreementFigures | None = None
    by_relation: dict[str, GroupFigures] = Field(default={})
    strata: dict[str, dict[str, GroupFigures]] = {}


class RankedRelation(NamedTuple):
    """What the figures of one relation and direction, by one score, are made of.

    figures: means over the draws of shots (`mean_over_draws`). first: the first answers, one a draw.
    wordings, negated: agreement of each query over wordings, and with the negated statement.
    strata: by what is split, the stratum of each query, or several in which it counts.
    quantities: by what is split into quarters over all relations, the value of each query; None if unknown.
    lacks: why the score has no numbers here.
    """

    relation: str
    figures: QueryFigures
    first: Sequence[FirstAnswers]
    wordings: Agreement | None = None
    negated: Agreement | None = None
    strata: Mapping[str, Sequence[str | tuple[str, ...]]] = {}
    quantities: Mapping[str, Sequence[float | None]] = {}
    lacks: str = ""


def ranked_figures(relations: Sequence[RankedRelation], generator: np.random.Generator) -> RankedFigures:
    """Return all figures of one probe by one score. generator: draws the resamples of intervals."""
    assert relations, "no relation was asked"
    sizes = [len(one.figures.num_true) for one in relations]
    relation_Q = np.repeat(np.arange(len(relations)), sizes)
    column = {
        (metric, source): np.concatenate([one.figures.by_source[source][metric] for one in relations])
        for metric in METRICS
        for source in SOURCES
    }
    column = over_other_subjects(column)
    value_QM = np.stack([*column.values()], axis=1)
    means = dict(zip(column, macro_means(value_QM, relation_Q, generator), strict=True))
    is_ranked_Q = ~np.isnan(column["acc_1", "own"])

    by_metric = {
        metric: MetricFigures(
            **{source: macro_figure(means[metric, source]) for source in MetricFigures.model_fields}
        )
        for metric in METRICS
    }

    def groups(rows_of: Mapping[str, Ints]) -> dict[str, GroupFigures]:
        """Return the figures of each group that has a ranked query, as one relation each."""
        found = {}
        for name, rows in rows_of.items():
            ranked = rows[is_ranked_Q[rows]]
            if len(ranked):
                alone = macro_means(value_QM[ranked], np.zeros(len(ranked), dtype=np.int64), generator)
                found[name] = _group_figures(dict(zip(column, alone, strict=True)), len(ranked))
        return found

    strata = {}
    for by, labels in _labels(relations, sizes).items():
        rows_of: dict[str, list[int]] = {}
        for query, label in enumerate(labels):
            for name in (label,) if isinstance(label, str) else label:
                rows_of.setdefault(name, []).append(query)
        strata[by] = groups({name: np.array(rows_of[name]) for name in sorted(rows_of, key=_by_number)})
    lacking = {
        one.relation: one.lacks
        or (
            "no query of another subject is ranked among the same candidates"
            if ((one.figures.num_true > 0) & (one.figures.num_false > 0)).any()
            else "no query has both a true and a false answer with a score"
        )
        for place, one in enumerate(relations)
        if not is_ranked_Q[relation_Q == place].any()
    }
    num_false = np.concatenate([one.figures.num_false for one in relations])[is_ranked_Q]
    return RankedFigures(
        queries=len(relation_Q),
        ranked=int(is_ranked_Q.sum()),
        relations=len(relations) - len(lacking),
        lacking=lacking,
        num_false=float(np.median(num_false)) if len(num_false) else None,
        **by_metric,
        calibration=_calibration(relations),
        agreement=_agreement(relations),
        by_relation=groups(
            {one.relation: np.flatnonzero(relation_Q == place) for place, one in enumerate(relations)}
        ),
        strata=strata,
    )


def _labels(
    relations: Sequence[RankedRelation], sizes: Sequence[int]
) -> dict[str, list[str | tuple[str, ...]]]:
    """Return by what is split the strata of all queries; unknown where a relation does not say."""
    found: dict[str, list[str | tuple[str, ...]]] = {}
    for by in dict.fromkeys(by for one in relations for by in one.strata):
        of_relations = (
            one.strata.get(by, [UNKNOWN] * size) for one, size in zip(relations, sizes, strict=True)
        )
        found[by] = [label for labels in of_relations for label in labels]
    for by in dict.fromkeys(by for one in relations for by in one.quantities):
        numbers = (one.quantities.get(by, [None] * size) for one, size in zip(relations, sizes, strict=True))
        found[by] = [*quartiles(number for of_relation in numbers for number in of_relation)]
    for by, labels in found.items():
        assert len(labels) == sum(sizes), f"{len(labels)} strata by {by} of {sum(sizes)} queries"
    return found


def quartiles(values: Iterable[float | None]) -> list[str]:
    """Return the quarter that each value of a set lies in, named by its least and greatest value.

    Equal values are never parted, so strata may be fewer, and of unequal size. None is of the stratum
    "unknown".
    """
    held = list(values)
    known = np.array([value for value in held if value is not None], dtype=np.float64)
    if not len(known):
        return [UNKNOWN] * len(held)
    edges = np.quantile(known, np.arange(1, NUM_STRATA) / NUM_STRATA)
    place_of = np.searchsorted(edges, known, side="left")
    names = {}
    for place in np.unique(place_of).tolist():
        least, greatest = known[place_of == place].min(), known[place_of == place].max()
        names[place] = f"{least:.9g}" if least == greatest else f"{least:.9g} to {greatest:.9g}"
    places = iter(place_of.tolist())
    return [UNKNOWN if value is None else names[next(places)] for value in held]


def answer_frequency(is_true_SC: Bools) -> list[float | None]:
    """Return of each query how often the set asks for its most frequent true answer in this relation."""
    frequency_C = is_true_SC.sum(axis=0)
    most = np.where(is_true_SC, frequency_C, 0).max(axis=1, initial=0)
    return [float(number) if number else None for number in most.tolist()]


def _by_number(label: str) -> tuple[bool, float, str]:
    """Sort strata that begin with a number by it, others behind them by name, the unknown last."""
    try:
        return (False, float(label.split()[0]), label)
    except (ValueError, IndexError):
        return (True, float(label == UNKNOWN), label)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def macro_figure(mean: MacroMean) -> MacroFigure:
    """Return a mean over relations of values from 0 to 1 as records state it."""
    facts, relations = mean.facts or (None, None), mean.relations or (None, None)
    return MacroFigure(
        percent=_percent(mean.mean),
        facts_low_percent=_percent(facts[0]),
        facts_high_percent=_percent(facts[1]),
        relations_low_percent=_percent(relations[0]),
        relations_high_percent=_percent(relations[1]),
        queries=mean.num_queries,
        relations=mean.num_relations,
    )


def _group_figures(means: Mapping[tuple[str, str], MacroMean], queries: int) -> GroupFigures:
    by_metric = {}
    for metric in METRICS:
        low, high = means[metric, "over_other_subjects"].facts or (None, None)
        percents = {
            f"{source}_percent": _percent(means[metric, source].mean) for source in MetricFigures.model_fields
        }
        by_metric[metric] = GroupMetric(
            **percents,
            over_other_subjects_low_percent=_percent(low),
            over_other_subjects_high_percent=_percent(high),
        )
    return GroupFigures(queries=queries, **by_metric)


def _macro(values: Iterable[Floats]) -> float | None:
    """Return the mean over relations of the mean of what is not NaN; None where nothing is."""
    means = [float(known.mean()) for one in values if len(known := one[~np.isnan(one)])]
    return sum(means) / len(means) if means else None


def _calibration(relations: Sequence[RankedRelation]) -> AnswerCalibration:
    return answer_calibration(
        [FirstAnswers(*map(np.concatenate, zip(*one.first, strict=True))) for one in relations if one.first]
    )


def answer_calibration(first: Sequence[FirstAnswers]) -> AnswerCalibration:
    """Return the calibration of the first answers of each relation, or whatever means are macro over."""
    bins = FirstAnswers(*map(np.concatenate, zip(*first, strict=True))).bins() if first else []
    return AnswerCalibration(
        error_percent=calibration_error_percent(bins),
        confidence_percent=_percent(_macro(one.confidence for one in first)),
        accuracy_percent=_percent(_macro(one.is_right for one in first)),
        true_mass_percent=_percent(_macro(one.true_mass for one in first)),
        brier=_macro(one.brier for one in first),
        bins=tuple(
            ReliabilityBin(
                place=one.place,
                number=one.number,
                confidence_percent=100 * one.confidence,
                accuracy_percent=100 * one.accuracy,
            )
            for one in bins
        ),
    )


def _agreement(relations: Sequence[RankedRelation]) -> AgreementFigures | None:
    wordings = [one.wordings for one in relations if one.wordings]
    negated = [one.negated for one in relations if one.negated]
    if not (wordings or negated):
        return None
    return AgreementFigures(
        same_first_percent=_percent(_macro(one.same_first for one in wordings)),
        rank_correlation=_macro(one.rank_correlation for one in wordings),
        negated_same_first_percent=_percent(_macro(one.same_first for one in negated)),
        negated_rank_correlation=_macro(one.rank_correlation for one in negated),
    )
