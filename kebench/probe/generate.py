"""Asks causal and encoder-decoder models for words: what they write into the blank of a statement.

Facts of the relation may stand before it as examples, drawn for each query, so that not all queries are
answered with what one example shows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from tokenizers import Tokenizer

from kebench.errors import UserError
from kebench.model.answer_ends import answer_ends
from kebench.model.families import config_of
from kebench.model.layout import max_tokens_of
from kebench.model.masked_ranks import MaskedRanks
from kebench.model.prompts import Prompt, Prompts
from kebench.model.source import ResolvedModel, model_hash
from kebench.model.statements import Statement
from kebench.model.writing import BlankWriter
from kebench.probe.generate_figures import figures_of, out_of_reach
from kebench.probe.generated import WRITTEN_SCHEMA, AskedPool, accepted_by, read_asked
from kebench.probe.language_model import Asked, check_model, how_asked, load_model, tokenizer_of
from kebench.probe.plan import Precision, ProbePlan, refuse_older_set
from kebench.probe.query_set import QuerySet
from kebench.probe.record import (
    EARNED,
    PREDICTIONS,
    TOKENIZER,
    GenerateCounts,
    GenerateRecord,
    GenerateSettings,
    ProbeSubset,
)
from kebench.probe.stored import asked_queries
from kebench.runtime import Begun

SHOTS = 4  # from examples models learn what kind of answer is asked for, and where it ends
_PART_QUERIES = {"cpu": 16, "cuda": 512}  # ours: about a minute of work
BATCH_TOKENS = {"cpu": 4096, "cuda": 65536}  # of prompts and answers in memory; ours


def plan_generate(
    model: ResolvedModel,
    query_set: QuerySet,
    *,
    start: str = "",
    shots: int | None = None,
    seed: int,
    beam: int,
    max_new_tokens: int,
    constrained: bool,
    precision: Precision,
    subset: ProbeSubset,
    trusted: bool = False,
) -> ProbePlan:
    """Plan a probe whose answers are written. shots: None is `SHOTS`.

    start: what stands before a text of a causal model, else what its card or its tokenizer says.
    Raises UserError for a model that writes nothing, or of no known family.
    """
    refuse_older_set(query_set)
    family, begins, _ = how_asked(model, start=start, trusted=trusted)
    if family == "masked":
        raise UserError(
            f"{model.card.name}: a masked model writes no text; fill its blanks with 'kebench probe run', or "
            "rank names with 'kebench probe rank'"
        )
    settings = GenerateSettings(
        family=family,
        start=begins,
        shots=SHOTS if shots is None else shots,
        seed=seed,
        beam=beam,
        max_new_tokens=max_new_tokens,
        constrained=constrained,
    )
    hashed = model_hash(model.folder, casing=model.card.casing)
    set_hash = query_set.manifest.content_hash
    return ProbePlan(model.card, model.folder, hashed, query_set, set_hash, settings, precision, subset)


def check_generation(plan: ProbePlan, *, allow_remote_code: bool) -> list[str]:
    """Return what is out of the common in a model; UserError if it cannot be asked all that is planned."""
    settings, trusted = plan.settings, plan.card.trust_remote_code and allow_remote_code
    assert isinstance(settings, GenerateSettings)
    assert isinstance(plan.query_set, QuerySet)
    remarks = check_model(plan.card, plan.folder, settings.family, trusted=trusted)
    asked = read_asked(plan.query_set, asked_queries(plan.query_set.table(), plan.subset), settings)
    prompts = _prompts(plan, trusted=trusted)
    answer_ends(prompts.tokenizer, len(prompts.tokenizer))
    for pool in asked.pools:
        for number in range(len(pool.places)):
            # A name's tokens are the same behind all statements of a pool, as a rule: those of one are made.
            _prompt(prompts, pool, number, settings, with_names=number == 0)
    return remarks


def _prompts(plan: ProbePlan, *, trusted: bool) -> Prompts:
    settings, card = plan.settings, plan.card
    assert isinstance(settings, GenerateSettings)
    tokenizer = tokenizer_of(card, plan.folder, settings.family, trusted=trusted)
    start = tuple(tokenizer.convert_tokens_to_ids(settings.start.split()))
    config = None
    if settings.family == "encoder-decoder":
        config = config_of(plan.folder, family=card.family, trust_remote_code=trusted)
    return Prompts(tokenizer, start=start, config=config, limit=max_tokens_of(plan.folder))


def _prompt(
    prompts: Prompts, pool: AskedPool, number: int, settings: GenerateSettings, *, with_names: bool = True
) -> Prompt:
    """Return the prompt of one query of a pool."""
    # A causal model sees by the line breaks where answers end; encoder-decoders were trained on running text.
    shots = pool.shown(number, behind="\n" if settings.family == "causal" else " ")
    names = pool.names(number) if settings.constrained and with_names else None
    statement = Statement(*pool.statement(number))
    return prompts.prompt(shots, statement, names=names, max_new_tokens=settings.max_new_tokens)


class Part(NamedTuple):
    """Some queries: each a pool, and the number of its query."""

    queries: tuple[tuple[AskedPool, int], ...]


class Generate:
    """A probe whose answers are written; the methods are those of `kebench.probe.run.Prober`."""

    may_halve = True
    unit = "queries"

    def __init__(self, plan: ProbePlan, *, device: str, trusted: bool) -> None:
        assert isinstance(plan.settings, GenerateSettings)
        assert isinstance(plan.query_set, QuerySet)
        self.plan, self.settings, self.device, self.trusted = plan, plan.settings, device, trusted
        kind = device.partition(":")[0]
        self.batch_tokens = BATCH_TOKENS[kind]
        self.queries = asked_queries(plan.query_set.table(), plan.subset)
        self.asked = read_asked(plan.query_set, self.queries, self.settings)
        size = _PART_QUERIES[kind]
        self.kind_of_parts = f"{size}-queries"
        every = [(pool, number) for pool in self.asked.pools for number in range(len(pool.places))]
        self.parts: Sequence[Part] = [
            Part(tuple(every[first : first + size])) for first in range(0, len(every), size)
        ]
        self.prompts = _prompts(plan, trusted=trusted)

    def load(self) -> None:
        """Load the model."""
        lm = load_model(
            self.plan.card,
            self.plan.folder,
            Asked(self.settings.family, self.settings.start, None),
            device=self.device,
            precision=self.plan.precision,
            trusted=self.trusted,
        )
        assert not isinstance(lm, MaskedRanks), "a masked model writes nothing"
        self.writer = BlankWriter(lm)

    def num_units(self, part: Part) -> int:
        """How many queries a part asks."""
        return len(part.queries)

    def ask(self, part: Part, batch_tokens: int) -> pyarrow.Table:
        """Return a row an answer."""
        settings = self.settings
        written = self.writer.write(
            [_prompt(self.prompts, pool, number, settings) for pool, number in part.queries],
            beam=settings.beam,
            max_new_tokens=settings.max_new_tokens,
            batch_tokens=batch_tokens,
        )
        rows: list[dict[str, Any]] = [
            {
                "query_id": pool.query_ids[number],
                "rank": rank,
                "tokens": answer.tokens,
                "string": answer.string,
                "sum_log_prob": answer.log_prob,
                "is_cut": found.is_cut,
                "sharing": self.writer.sharing,
            }
            for (pool, number), found in zip(part.queries, written, strict=True)
            for rank, answer in enumerate(found.answers)
        ]
        return pyarrow.Table.from_pylist(rows, schema=WRITTEN_SCHEMA)

    def finish(self, tables: Sequence[pyarrow.Table], folder: Path, begun: Begun) -> GenerateRecord:
        """Compute all figures; write answers, tokenizer and what each query earns."""
        plan, settings, asked = self.plan, self.settings, self.asked
        written = pyarrow.concat_tables([WRITTEN_SCHEMA.empty_table(), *tables]).combine_chunks()
        written = written.sort_by([("query_id", "ascending"), ("rank", "ascending")])
        spelling = self.prompts.tokenizer.backend_tokenizer.to_str()
        accepted = accepted_by(self.queries)
        figures, earned = figures_of(written, asked.pools, accepted, Tokenizer.from_str(spelling), settings)
        pyarrow.parquet.write_table(written, folder / PREDICTIONS, compression="zstd")
        pyarrow.parquet.write_table(earned, folder / EARNED, compression="zstd")
        (folder / TOKENIZER).write_text(spelling, encoding="utf-8")
        names = {name for pool in asked.pools for _, name in pool.pool.names}
        number = sum(len(pool.places) for pool in asked.pools)
        answered = written["query_id"].to_numpy()
        cut = answered[written["is_cut"].to_numpy()]
        counts = GenerateCounts(
            queries=len(self.queries),
            unranked=len(self.queries) - number - asked.blank_inside - asked.without_shots,
            blank_inside=asked.blank_inside,
            without_shots=asked.without_shots,
            asked=number,
            reworded=asked.reworded,
            cut=len(numpy.unique(cut)),
            unanswered=number - len(numpy.unique(answered)),
            out_of_reach=0 if settings.constrained else out_of_reach(asked.pools, accepted),
            unwritable=len(self.prompts.unwritable(sorted(names))) if settings.constrained else 0,
            answers=len(written),
        )
        return GenerateRecord(
            schema=2,
            **plan.stated(begun),
            settings=settings,
            sharing="; ".join(sorted(written["sharing"].unique().to_pylist())),
            counts=counts,
            figures={"beam": figures},
        )
