"""Records of probes: one probe.json for each finished (model, query set, decoder), beside its predictions.

It is written last, so it exists only if its probe finished. Field order is part of the format;
docs/FORMATS.md describes each field.
"""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from kebench.cards import Part, read_json_as
from kebench.files import hash_of, write_atomically
from kebench.records import Hash, Name, Printable, Provenance

# Raised by every change that can move a probe's prediction or score (marked **Scores** in the changelog).
PROBE_PROTOCOL_VERSION = 3
PROBE_SCHEMA: Literal[1] = 1
PROBE_RECORD = "probe.json"
PREDICTIONS, TOKENIZER = "predictions.parquet", "tokenizer.json"  # which stand beside it
DecoderMode = Literal["fixed", "released", "paper"]
NO_ANSWER = "none"  # the answer length of a query that accepts nothing


def longer_than(max_masks: int) -> str:
    """Return what answers are called that have more word pieces than are decoded."""
    return f">{max_masks}"


class Decoder(Part):
    """How masks were filled: the settings of `probing/decoders.toml`, after the options.

    The bounds keep ranks, and steps with those of refinement, within a byte of the predictions.
    """

    method: Literal["independent", "order", "confidence"]
    beam: int = Field(ge=1, le=100)
    max_masks: int = Field(ge=1, le=50)
    max_tokens: int = Field(ge=1)
    refine: int = Field(ge=0, le=50)
    slots: bool
    duplicates: bool
    exact: bool
    special_tokens: bool


class FillSettings(Part):
    """How blanks are filled. Scores are made by the rules of both modes."""

    files: ClassVar = (PREDICTIONS, TOKENIZER)
    mode: DecoderMode
    decoder: Decoder


Settings = FillSettings


class ProbeSubset(Part):
    """How many queries were asked; None is all of them. They are drawn by hash order with `seed`."""

    queries: int | None = None
    seed: int = 0


class ProbeCounts(Part):
    """What became of the queries."""

    queries: int
    decoded: int
    too_long: int = 0
    truncated: int = 0
    unusable: int = 0
    without_answers: int = 0
    answers_longer_than_max_masks: int = 0  # other pieces of the same strings may still hit


class Figure(Part):
    """One metric over some queries, in percent; None where there is nothing to average."""

    macro_percent: float | None
    low_percent: float | None
    high_percent: float | None
    micro_percent: float | None


class Ranked(Part):
    """Figures of one ranking of all candidates of a query."""

    acc_1: Figure
    acc_5: Figure
    mrr: Figure


class ReleasedBucket(Part):
    """Scores over the queries of one kind by the released code's string rules, which rank nothing."""

    queries: int
    relations: int
    hit: Figure


class Bucket(ReleasedBucket):
    """Scores over the queries of one kind by normal forms."""

    by_sum: Ranked
    by_mean: Ranked


class Group(Part):
    """Means over the queries of one relation, semantic type or answer length, in percent."""

    queries: int
    hit_percent: float
    acc_1_percent: float
    acc_5_percent: float
    mrr_percent: float


class ReleasedScores(Part):
    """By the released rules: overall, type 1 (a gold string is found in the text), type 2 (the others)."""

    overall: ReleasedBucket
    type_1: ReleasedBucket
    type_2: ReleasedBucket


class FixedScores(Part):
    """By normal forms: overall, type 1 (an answer's name stands in the text at word bounds), type 2."""

    overall: Bucket
    type_1: Bucket
    type_2: Bucket
    by_relation: dict[str, Group]
    by_semantic_type: dict[str, Group]
    by_answer_length: dict[str, Group]


class ProbeScores(Part):
    """All scores of one probe, from its predictions and the query set alone."""

    released: ReleasedScores
    fixed: FixedScores


def probe_counts(scores: ProbeScores, counted: ProbeCounts, *, max_masks: int) -> ProbeCounts:
    """Return what became of the queries, with what the answers' lengths decide: the scores hold it."""
    by_length = scores.fixed.by_answer_length
    longer, none = by_length.get(longer_than(max_masks)), by_length.get(NO_ANSWER)
    return counted.model_copy(
        update={
            "without_answers": none.queries if none else 0,
            "answers_longer_than_max_masks": longer.queries if longer else 0,
        }
    )


class ProbeRecord(Part):
    """One finished probe. `identity` hashes what can move its scores, and names its folder."""

    schema_version: Literal[1] = Field(PROBE_SCHEMA, alias="schema")
    identity: Hash
    model: Name
    model_hash: Printable
    set: Name
    set_hash: Printable
    protocol_version: int = Field(2, ge=1)  # records say it since 3
    mode: DecoderMode
    decoder: Decoder
    precision: Literal["fp32", "bf16"]
    subset: ProbeSubset
    counts: ProbeCounts
    scores: ProbeScores
    provenance: Provenance


def probe_identity(
    *, model_hash: str, set_hash: str, settings: Settings, precision: str, subset: ProbeSubset
) -> str:
    """Hash what can move a score of a probe: weights, queries, settings, version. No name, no device."""
    return hash_of(
        {
            "version": PROBE_PROTOCOL_VERSION,
            "model": model_hash,
            "set": set_hash,
            "precision": precision,
            "subset": subset.model_dump(),
        }
        | settings.model_dump(mode="json")
    )


def probe_folder(out: Path, *, set_name: str, model: str, identity: str) -> Path:
    """Return the folder of a probe; names are for people, the hash decides."""
    return out / "probe" / set_name / model / identity[:16]


def write_probe_record(folder: Path, record: ProbeRecord) -> None:
    """Write probe.json beside the predictions, which must be there: who finds it finds them."""
    text = record.model_dump_json(indent=1, by_alias=True) + "\n"
    write_atomically(folder / PROBE_RECORD, text, point="record")


def read_probe_record(path: Path) -> ProbeRecord:
    """Read one probe.json. Raises UserError with file and field if it is not one of ours."""
    return read_json_as(
        path,
        ProbeRecord,
        refused="not a record of a probe ({}); remove it or fetch it again",
        unreadable="{}; a finished probe has this file: run it again with 'kebench probe run'",
    )


def probe_record_paths(folder: Path) -> list[Path]:
    """Return every probe.json under a folder, sorted; what is still being written is not among them."""
    return sorted(
        path
        for path in folder.rglob(PROBE_RECORD)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
