"""Fills the blanks of queries by beam search with a masked language model (KeBioLM, sec. 4.6.2)."""

from collections.abc import Sequence
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet
from tokenizers import Tokenizer

from kebench.errors import UserError
from kebench.model.checkpoint import load_tokenizer
from kebench.model.layout import read_config
from kebench.model.masked_lm import BATCH_TOKENS, MaskedLM
from kebench.probe.answers import answer_queries, outcome
from kebench.probe.plan import ProbePlan
from kebench.probe.query_set import QuerySet
from kebench.probe.record import (
    PREDICTIONS,
    TOKENIZER,
    FillSettings,
    ProbeRecord,
    probe_counts,
)
from kebench.probe.scores import score_probe
from kebench.probe.stored import SCHEMA, asked_queries
from kebench.runtime import Begun

PART_QUERIES = {"cpu": 16, "cuda": 4096}  # ours: about a minute of work
BOOTSTRAP_SEED = 0


class Fill:
    """A probe that fills blanks; the methods are those of `kebench.probe.run.Prober`.

    Raises UserError for a checkpoint without a mask token.
    """

    unit = "queries"

    def __init__(self, plan: ProbePlan, *, device: str, trusted: bool) -> None:
        assert isinstance(plan.settings, FillSettings)
        assert isinstance(plan.query_set, QuerySet)
        self.plan, self.settings, self.device, self.trusted = plan, plan.settings, device, trusted
        kind = device.partition(":")[0]
        self.queries = asked_queries(plan.query_set.table(), plan.subset)
        size = PART_QUERIES[kind]
        if (
            read_config(plan.folder).get("fidelity") == "released"
        ):  # its answers depend on the batch: one part
            size = max(1, len(self.queries))
        self.kind_of_parts = f"{size}-queries"
        starts = range(0, len(self.queries), size)
        self.parts: Sequence[pyarrow.Table] = [self.queries.slice(at, size) for at in starts]
        self.batch_tokens = BATCH_TOKENS[kind]
        card = plan.card
        self.tokenizer = load_tokenizer(
            plan.folder,
            family=card.family,
            casing=card.casing,
            split_words=False,
            trust_remote_code=trusted,
        )
        if self.tokenizer.mask_token_id is None:
            raise UserError(f"{plan.folder}: its tokenizer has no mask token; it is no masked language model")

    def load(self) -> None:
        """Load the model. Raises UserError for one without a trained head."""
        self.model = MaskedLM.load(
            self.plan.folder,
            family=self.plan.card.family,
            device=self.device,
            precision=self.plan.precision,
            trust_remote_code=self.trusted,
        )
        self.may_halve = not self.model.depends_on_batch

    def num_units(self, part: pyarrow.Table) -> int:
        """How many queries a part asks."""
        return len(part)

    def ask(self, part: pyarrow.Table, batch_tokens: int) -> pyarrow.Table:
        """Return the predictions of a part's queries."""
        ids, texts = (part[column].to_pylist() for column in ("query_id", "text"))
        decoder = self.settings.decoder
        return answer_queries(ids, texts, self.model, self.tokenizer, decoder, batch_tokens=batch_tokens)

    def finish(self, tables: Sequence[pyarrow.Table], folder: Path, begun: Begun) -> ProbeRecord:
        """Score all parts, and write predictions and tokenizer."""
        plan, settings = self.plan, self.settings
        predictions = pyarrow.concat_tables([SCHEMA.empty_table(), *tables])
        spelling, max_masks = self.tokenizer.backend_tokenizer.to_str(), settings.decoder.max_masks
        scores = score_probe(
            self.queries,
            predictions,
            Tokenizer.from_str(spelling),
            max_masks=max_masks,
            generator=numpy.random.default_rng(BOOTSTRAP_SEED),
        )
        ids, texts = (self.queries[column].to_pylist() for column in ("query_id", "text"))
        counted = outcome(predictions, dict(zip(ids, texts, strict=True)), self.tokenizer, max_masks)
        pyarrow.parquet.write_table(predictions, folder / PREDICTIONS, compression="zstd")
        (folder / TOKENIZER).write_text(spelling, encoding="utf-8")
        return ProbeRecord(
            schema=1,
            **plan.stated(begun),
            mode=settings.mode,
            decoder=settings.decoder,
            counts=probe_counts(scores, counted, max_masks=max_masks),
            scores=scores,
        )
