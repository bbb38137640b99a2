"""What each query of a stored probe earns, from 0 to 1: what two probes are compared by."""

from collections.abc import Sequence
from math import nan
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kebench.errors import UserError, did_you_mean
from kebench.probe.query_set import find_set
from kebench.probe.record import EARNED, ChoiceRecord, ProbeRecord, RankRecord
from kebench.probe.scores import hits_of
from kebench.probe.stored import WHOLE, StoredProbe, asked_queries, read_predictions, read_tokenizer
from kebench.scoring.macro import macro_means
from kebench.scoring.ranked import over_other_subjects
from kebench.scoring.ranked_figures import MacroFigure, macro_figure


class Earned(NamedTuple):
    """What a query earns, NaN if it has no figure. subject: what it is about.

    baseline: what it earns by the scores of other subjects, a question by those without it; NaN of filled
    blanks.
    """

    value: float
    relation: str
    subject: str
    baseline: float = nan


def earned_of(probe: StoredProbe[Any], score: str, metric: str) -> dict[int, Earned]:
    """Return what each query of a probe earns, by its id.

    score, metric: of ranked probes; of filled blanks a query earns 1 where any answer is right, by the fixed
    rule. Raises UserError for a score that a probe has not, and for files that are missing or damaged.
    """
    record, folder = probe.record, probe.folder
    if isinstance(record, ProbeRecord):
        query_set = find_set(record.set_hash, name=record.set)
        queries = asked_queries(query_set.table(), record.subset)
        hits = hits_of(queries, read_predictions(folder, of=queries), read_tokenizer(folder))
        rows = zip(queries.select(["query_id", "relation", "given", "text"]).to_pylist(), hits, strict=True)
        return {
            row["query_id"]: Earned(float(hit), row["relation"], " ".join(row["given"]) or row["text"])
            for row, hit in rows
        }
    rows = _read(probe, score)
    baseline = "without_question" if isinstance(record, ChoiceRecord) else "other_subjects"
    names = ("query_id", f"own_{metric}", "relation", "subject", f"{baseline}_{metric}")
    columns = (rows[name].to_pylist() for name in names)
    return {query_id: Earned(*of) for query_id, *of in zip(*columns, strict=True)}


def over_relations(
    probe: StoredProbe[RankRecord], score: str, metric: str, relations: Sequence[str]
) -> dict[str, MacroFigure]:
    """Return figures of a ranked probe over some relations alone: own, other subjects, and the difference.

    relations: with a direction ("may_treat/tail"), or without for both. Raises UserError for one that the
    probe did not ask, and as `earned_of` does.
    """
    rows = _read(probe, score)
    asked = rows["relation"].to_pylist()
    known = {*asked, *(relation.partition("/")[0] for relation in asked)}
    for relation in relations:
        if relation not in known:
            raise UserError(
                f"{probe.folder}: asks nothing of relation '{relation}' by score {score}"
                f"{did_you_mean(relation, known)} 'kebench probe scores --by relation' lists what it asks"
            )
    is_chosen = [not {relation, relation.partition("/")[0]}.isdisjoint(relations) for relation in asked]
    rows = rows.filter(pa.array(is_chosen))
    relation_Q = np.unique(rows["relation"].to_pylist(), return_inverse=True)[1].reshape(-1)
    column = over_other_subjects(
        {(metric, source): rows[f"{source}_{metric}"].to_numpy() for source in ("own", "other_subjects")}
    )
    means = macro_means(np.stack([*column.values()], axis=1), relation_Q, np.random.default_rng(0))
    return {source: macro_figure(mean) for (_, source), mean in zip(column, means, strict=True)}


def _read(probe: StoredProbe[Any], score: str) -> pa.Table:
    record, path = probe.record, probe.folder / EARNED
    if score not in record.figures:
        raise UserError(
            f"{probe.folder}: has no figures by '{score}'; choose one of {', '.join(record.figures)}"
        )
    try:
        table = pq.read_table(path)
        rows = table.filter(pc.equal(table["score"], score))
        queries = rows["query_id"]
    except (OSError, KeyError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read ({error}); {WHOLE}") from None
    figures = record.figures[score]
    if len(rows) < getattr(figures, "ranked", 1) or len(queries.unique()) != len(rows):
        raise UserError(
            f"{path}: {len(rows):,} queries by {score}, fewer than the record has figures of; {WHOLE}"
        )
    return rows
