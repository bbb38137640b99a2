"""Ranks the candidates of each query's pool by what a language model says of their names.

Every name of a pool is put into every statement of it; shots, the same facts for all queries of a relation,
may stand before. What the model says is kept whole, so that all scores and figures can be made again of it.
Between models of all families only `kebench.model.statements.RanksNames` stands.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from kebench.errors import UserError
from kebench.model.layout import max_tokens_of
from kebench.model.masked_ranks import Pll
from kebench.model.source import ResolvedModel, model_hash
from kebench.model.spans import encode_spans
from kebench.model.statements import Family, RanksNames, Statement
from kebench.probe.language_model import Asked, check_model, how_asked, load_model, tokenizer_of
from kebench.probe.plan import Precision, ProbePlan, refuse_older_set
from kebench.probe.query_set import QuerySet
from kebench.probe.rank_figures import figures_of
from kebench.probe.ranked import NEUTRAL, SCORES_SCHEMA, RankedPool, read_pools
from kebench.probe.record import (
    EARNED,
    SCORES,
    USUAL_DRAWS,
    USUAL_SHOTS,
    ProbeSubset,
    RankCounts,
    RankRecord,
    RankSettings,
)
from kebench.probe.stored import asked_queries
from kebench.runtime import Begun

# Of each family (docs/GUIDE.md): decoders learn from examples what kind of answer is asked for.
SHOTS: dict[Family, int] = {"causal": USUAL_SHOTS, "masked": 0, "encoder-decoder": USUAL_SHOTS}
_STATEMENTS = {"cpu": 16, "cuda": 512}  # of a part, with all names; ours: about a minute of work
_NAMES = {"cpu": 16, "cuda": 512}  # of a part, in all statements, where a causal model reads the name first
BATCH_TOKENS = {"cpu": 1024, "cuda": 16384}  # in one forward pass; ours


def plan_rank(
    model: ResolvedModel,
    query_set: QuerySet,
    *,
    start: str = "",
    pll: Pll | None = None,
    shots: int | None = None,
    draws: int | None = None,
    left_out: int | None = None,
    seed: int = 0,
    wordings: int = 1,
    negated: bool = False,
    names: int = 1,
    precision: Precision,
    subset: ProbeSubset,
    trusted: bool = False,
) -> ProbePlan:
    """Plan a ranked probe. What is None is as `SHOTS` and `USUAL_DRAWS` say, and `language_model.PLL`.

    start: what stands before a text of a causal model, else what its card or its tokenizer says. The
    rest is as in `RankSettings`. Raises UserError for a model of no known family, or an option not for it.
    """
    card, folder = model.card, model.folder
    refuse_older_set(query_set)
    family, begins, pll = how_asked(model, start=start, pll=pll, trusted=trusted)
    number = SHOTS[family] if shots is None else shots
    facts = query_set.shots().num_rows  # an imported set has none
    if negated and not any(worded.negated for worded in query_set.manifest.wordings.values()):
        raise UserError(f"{query_set.folder}: no relation has a negated statement; ask without --negated")
    if number and left_out is not None and left_out < number:
        raise UserError(
            f"--leave-out {left_out}: the answers of {number} shots are no candidates; name {number} or more"
        )
    asked = RankSettings(
        family=family,
        start=begins,
        pll=pll,
        shots=number,
        draws=(USUAL_DRAWS if draws is None else draws) if number or facts else 1,
        seed=seed if number or facts else 0,
        left_out=(number or USUAL_SHOTS if left_out is None else left_out) if number or facts else 0,
        wordings=wordings,
        negated=negated,
        names=names,
    )
    hashed = model_hash(folder, casing=card.casing)
    set_hash = query_set.manifest.content_hash
    return ProbePlan(card, folder, hashed, query_set, set_hash, asked, precision, subset)


def check_ranking(plan: ProbePlan, *, allow_remote_code: bool) -> list[str]:
    """Return what is out of the common in a model; UserError if it cannot be asked, or the set not ranked."""
    card, settings = plan.card, plan.settings
    assert isinstance(settings, RankSettings)
    assert isinstance(plan.query_set, QuerySet)
    asked = asked_queries(plan.query_set.table(), plan.subset)
    pools, _ = read_pools(plan.query_set, asked, settings)
    trusted = card.trust_remote_code and allow_remote_code
    remarks = check_model(card, plan.folder, settings.family, trusted=trusted)
    tokenizer = tokenizer_of(card, plan.folder, settings.family, trusted=trusted)
    # All statements of each pool must fit with its longest name.
    limit = max_tokens_of(plan.folder)
    for pool in pools:
        for wording, draw in product(pool.templates, range(len(pool.shots))):
            statements = [
                Statement(*pool.statement(wording, draw, query)) for query in range(len(pool.queries))
            ]
            names = pool.shown_names(wording, range(len(pool.names)))
            if (
                settings.family == "causal"
                and not settings.start
                and not all(one.before for one in statements)
            ):
                raise UserError(
                    f"{card.name}: statements of {pool.relation} begin with the blank, and nothing stands "
                    "before their first token, so it has no probability; name a --start-token, or ask with "
                    "--shots"
                )
            bound_X = encode_spans(tokenizer, statements[:1], names, max_tokens=limit).bound_X
            longest = names[int(numpy.diff(bound_X).argmax())]
            encode_spans(tokenizer, statements, [longest], max_tokens=limit)
    return remarks


class Part(NamedTuple):
    """Statements and names of one pool: by which wording and draw of shots, of which queries, which names.

    wording: -1 is the negated one. queries: places among the pool's, NEUTRAL the statement without a subject.
    """

    pool: RankedPool
    wording: int
    draw: int
    queries: tuple[int, ...]
    names: range


class Rank:
    """A ranked probe; the methods are those of `kebench.probe.run.Prober`."""

    may_halve = True
    unit = "statements"

    def __init__(self, plan: ProbePlan, *, device: str, trusted: bool) -> None:
        assert isinstance(plan.settings, RankSettings)
        assert isinstance(plan.query_set, QuerySet)
        self.plan, self.settings, self.device, self.trusted = plan, plan.settings, device, trusted
        kind = device.partition(":")[0]
        self.batch_tokens = BATCH_TOKENS[kind]
        self.asked = asked_queries(plan.query_set.table(), plan.subset)
        self.pools, self.without_shots = read_pools(plan.query_set, self.asked, plan.settings)
        self.kind_of_parts = f"{_STATEMENTS[kind]}-statements-{_NAMES[kind]}-names"
        self.parts: Sequence[Part] = [part for pool in self.pools for part in self._parts(pool, kind)]

    def _parts(self, pool: RankedPool, kind: str) -> Iterator[Part]:
        for wording, draw in product(pool.templates, range(len(pool.shots))):
            neutral = [NEUTRAL] if pool.templates[wording] else []
            places = (*neutral, *range(len(pool.queries)))
            # Behind the same shots all statements go on from one name, or all names from one statement.
            if self._goes_on(pool, wording) and pool.subject_follows(wording):
                for start in range(0, len(pool.names), _NAMES[kind]):
                    names = range(start, min(start + _NAMES[kind], len(pool.names)))
                    yield Part(pool, wording, draw, places, names)
            else:
                for start in range(0, len(places), _STATEMENTS[kind]):
                    some = places[start : start + _STATEMENTS[kind]]
                    yield Part(pool, wording, draw, some, range(len(pool.names)))

    def _goes_on(self, pool: RankedPool, wording: int) -> bool:
        """Whether the model reads on behind the name: what it says of these words counts, too."""
        return self.settings.family == "causal" and pool.words_follow(wording)

    def load(self) -> None:
        """Load the model."""
        plan, settings = self.plan, self.settings
        self.model: RanksNames = load_model(
            plan.card,
            plan.folder,
            Asked(settings.family, settings.start, settings.pll),
            device=self.device,
            precision=plan.precision,
            trusted=self.trusted,
        )

    def num_units(self, part: Part) -> int:
        """How many statements a part holds, in names of its pool: those of several parts are one."""
        return len(part.queries) * len(part.names) // len(part.pool.names)

    def ask(self, part: Part, batch_tokens: int) -> pyarrow.Table:
        """Return a row a statement: what the model says of each name in it."""
        pool = part.pool
        statements = [Statement(*pool.statement(part.wording, part.draw, query)) for query in part.queries]
        names = pool.shown_names(part.wording, part.names)
        found = self.model.score_names(
            statements,
            names,
            with_after=self._goes_on(pool, part.wording),
            batch_tokens=batch_tokens,
        )
        scored = (found.name_SN, found.after_SN) if self._goes_on(pool, part.wording) else (found.name_SN,)
        for score_SN in scored:  # figures would leave out, in silence, what has no number
            if not (is_number_SN := numpy.isfinite(score_SN)).all():
                statement, name = (int(place[0]) for place in numpy.nonzero(~is_number_SN))
                remedy = "fetch it again" if self.plan.precision == "fp32" else "ask it with --precision fp32"
                raise UserError(
                    f"{self.plan.card.name}: gives no number for '{names[name]}' in "
                    f"'{' [Y]'.join(statements[statement]).lstrip()}', which damaged weights do, and numbers "
                    f"too large for {self.plan.precision}; {remedy}"
                )
        number = len(part.queries)
        unknown = found.unknown_SN if found.unknown_SN is not None else numpy.zeros_like(found.tokens_SN)
        # All names with a token for what the vocabulary lacks read alike: they have no score of their own.
        name_SN, first_SN, after_SN = (
            numpy.where(unknown > 0, numpy.nan, score_SN)
            for score_SN in (found.name_SN, found.first_SN, found.after_SN)
        )
        columns: dict[str, Any] = {
            "pool_id": [pool.pool_id] * number,
            "query_id": [
                NEUTRAL if query == NEUTRAL else pool.queries[query].query_id for query in part.queries
            ],
            "wording": [part.wording] * number,
            "draw": [part.draw] * number,
            "first_name": [part.names.start] * number,
            "tokens": list(found.tokens_SN),
            "name_log_prob": list(name_SN.astype(numpy.float32)),
            "first_log_prob": list(first_SN.astype(numpy.float32)),
            "after_log_prob": list(after_SN.astype(numpy.float32)),
            "straddling": found.straddles_SN.sum(axis=1),
            "unknown": (unknown > 0).sum(axis=1),
            "sharing": [self.model.sharing] * number,
        }
        return pyarrow.table(columns, schema=SCORES_SCHEMA)

    def finish(self, tables: Sequence[pyarrow.Table], folder: Path, begun: Begun) -> RankRecord:
        """Compute all figures, and write scores and what each query earns."""
        plan = self.plan
        scores = pyarrow.concat_tables([SCORES_SCHEMA.empty_table(), *tables])
        figures, earned = figures_of(scores, self.pools, self.settings)
        pyarrow.parquet.write_table(scores, folder / SCORES, compression="zstd")
        pyarrow.parquet.write_table(earned, folder / EARNED, compression="zstd")
        num_asked = sum(len(pool.queries) for pool in self.pools)
        num_scored = pyarrow.compute.sum(pyarrow.compute.list_value_length(scores["tokens"])).as_py() or 0
        counts = RankCounts(
            queries=len(self.asked),
            unranked=len(self.asked) - num_asked - self.without_shots,
            without_shots=self.without_shots,
            asked=num_asked,
            few_facts=sum(
                len(pool.queries)
                for pool in self.pools
                if len(pool.left_out[0].facts) < self.settings.left_out
            ),
            scored=num_scored,
            straddling=pyarrow.compute.sum(scores["straddling"]).as_py() or 0,
            unknown=pyarrow.compute.sum(scores["unknown"]).as_py() or 0,
        )
        return RankRecord(
            schema=2,
            **plan.stated(begun),
            settings=self.settings,
            sharing="; ".join(sorted(filter(None, scores["sharing"].unique().to_pylist()))),
            counts=counts,
            figures=figures,
        )
