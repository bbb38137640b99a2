"""Records of probes: one probe.json for each finished (model, query set, decoder), beside its predictions.

It is written last, so it exists only if its probe finished. Field order is part of the format;
docs/FORMATS.md describes each field.
"""

from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from pydantic import BaseModel, Field

from kebench.cards import Part, read_json_as
from kebench.errors import counted
from kebench.files import hash_of, write_atomically
from kebench.model.statements import Family
from kebench.probe.question_files import Split
from kebench.records import Hash, Name, Printable, Provenance
from kebench.scoring.choice_figures import ChoiceFigures
from kebench.scoring.generated import GeneratedFigures
from kebench.scoring.ranked_figures import RankedFigures

# Raised by every change that can move a probe's prediction or score (marked **Scores** in the changelog).
PROBE_PROTOCOL_VERSION = 3
RANK_PROTOCOL_VERSION = 1  # the same, of ranked probes
CHOICE_PROTOCOL_VERSION = 1  # the same, of multiple choice
GENERATE_PROTOCOL_VERSION = 1  # the same, of probes whose answers are written
PROBE_SCHEMA: Literal[1] = 1
PROBE_RECORD = "probe.json"
PREDICTIONS, TOKENIZER = "predictions.parquet", "tokenizer.json"  # which stand beside it
DecoderMode = Literal["fixed", "released", "paper"]
SCORES, EARNED, CHOICES = "scores.parquet", "earned.parquet", "choices.parquet"
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

    files: ClassVar = (PREDICTIONS, TOKENIZER)  # beside the record
    protocol_version: ClassVar = PROBE_PROTOCOL_VERSION
    mode: DecoderMode
    decoder: Decoder

    @property
    def described(self) -> str:
        """All settings in words."""
        decoder = self.decoder
        beams = f"beam {decoder.beam}, 1 to {decoder.max_masks} masks"
        return f"decoder {decoder.method}, {beams}, mode {self.mode}"


USUAL_SHOTS, USUAL_DRAWS = 4, 3  # of models that see shots; ours


class RankSettings(Part):
    """How names are ranked; each field can move a score.

    start: what stands before a text that a causal model reads, as its tokenizer writes it; "" nothing.
    pll: which pseudo-log-likelihood of a masked model; None of other families. shots: facts that stand before
    a statement, the same for all queries of a relation; so many `draws` of them, by `seed`, are averaged.
    left_out: the answers of so many facts of a relation, drawn in the same way, the shots first, are no
    candidates; without shots as well, so that models with and without are ranked among the same candidates.
    wordings: at most so many statements of a relation are asked; negated: its negated one, too.
    names: at most so many names of a concept; its probability is the sum of theirs.
    """

    files: ClassVar = (SCORES, EARNED)
    protocol_version: ClassVar = RANK_PROTOCOL_VERSION
    family: Family
    start: str
    pll: Literal["original", "within-word", "answer-l2r", "independent"] | None
    shots: int = Field(ge=0, le=32)
    draws: int = Field(ge=1, le=20)
    seed: int = Field(ge=0)
    left_out: int = Field(ge=0, le=32)
    wordings: int = Field(ge=1, le=50)
    negated: bool
    names: int = Field(ge=1, le=5)

    @property
    def told_apart(self) -> list[str]:
        """What rows of one table may differ in, in words."""
        shots = f"{counted(self.shots, 'shot')} x {self.draws}" if self.shots else ""
        return [*filter(None, (shots, self.pll))]

    @property
    def worded(self) -> str:
        """What all rows of one table share, in words."""
        said = ["the first wording" if self.wordings == 1 else f"up to {self.wordings} wordings"]
        said += ["and the negated one"] * self.negated
        said.append("one name a candidate" if self.names == 1 else f"up to {self.names} names a candidate")
        if self.left_out:
            facts = f"{self.left_out} facts a relation, mean of {self.draws} draws with seed {self.seed}"
            said.append(f"the answers of {facts}, are no candidates")
        return ", ".join(said)

    @property
    def described(self) -> str:
        """All settings in words."""
        said = [f"a {self.family} model", f"texts begin with {self.start}" if self.start else "", self.pll]
        said += [counted(self.shots, "shot") if self.shots else "no shots", self.worded]
        return ", ".join(filter(None, said))


ChoiceBy = Literal["letter", "text"]


class ChoiceSettings(Part):
    """How multiple choice questions are asked; each field can move a score.

    start, pll: as in `RankSettings`. split: whose questions are asked. shots: examples before a question;
    seed: of their draw, and of that of questions. by: what is scored. permuted: letters are asked in every
    cyclic order of the options, and averaged.
    """

    files: ClassVar = (CHOICES, EARNED)
    protocol_version: ClassVar = CHOICE_PROTOCOL_VERSION
    family: Family
    start: str
    pll: Literal["original", "within-word", "answer-l2r", "independent"] | None
    split: Split
    shots: int = Field(ge=0, le=32)
    seed: int = Field(ge=0)
    by: tuple[ChoiceBy, ...] = Field(min_length=1)
    permuted: bool

    @property
    def told_apart(self) -> list[str]:
        """What rows of one table may differ in, in words."""
        permuted = "permuted" if self.permuted else ""
        return [*filter(None, (counted(self.shots, "shot") if self.shots else "", self.pll, permuted))]

    @property
    def described(self) -> str:
        """All settings in words."""
        said = [f"a {self.family} model", f"texts begin with {self.start}" if self.start else "", self.pll]
        said.append(f"{counted(self.shots, 'shot')} (seed {self.seed})" if self.shots else "no shots")
        said.append(f"by {' and by '.join(self.by)}, split {self.split}")
        said.append("every cyclic order of the options" if self.permuted else "")
        return ", ".join(filter(None, said))


class GenerateSettings(Part):
    """How answers are written; each field can move a score.

    start: as in `RankSettings`. shots: facts that stand before a statement, drawn for each query by `seed`.
    beam: answers that are kept, and texts that may become others. max_new_tokens: of an answer.
    constrained: answers are names of the pool. wordings: which statement of a relation is asked, the first;
    of a causal model the first that ends with the blank.
    """

    files: ClassVar = (PREDICTIONS, TOKENIZER, EARNED)
    protocol_version: ClassVar = GENERATE_PROTOCOL_VERSION
    family: Literal["causal", "encoder-decoder"]
    start: str
    shots: int = Field(ge=0, le=32)
    seed: int = Field(ge=0)
    beam: int = Field(ge=1, le=100)
    max_new_tokens: int = Field(ge=1, le=256)
    constrained: bool
    wordings: Literal["first"] = "first"

    @property
    def told_apart(self) -> list[str]:
        """What rows of one table may differ in, in words."""
        return [counted(self.shots, "shot")] if self.shots else []

    @property
    def worded(self) -> str:
        """What all rows of one table share, in words."""
        answers = "names of the pool" if self.constrained else "any words"
        return f"answers of {answers}, beam {self.beam}, at most {self.max_new_tokens} tokens"

    @property
    def described(self) -> str:
        """All settings in words."""
        said = [f"a {self.family} model", f"texts begin with {self.start}" if self.start else ""]
        said.append(f"shots drawn by query: {self.shots} (seed {self.seed})" if self.shots else "no shots")
        return ", ".join(filter(None, [*said, self.worded]))


Settings = FillSettings | RankSettings | ChoiceSettings | GenerateSettings


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

    files: ClassVar = FillSettings.files
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

    @property
    def settings(self) -> FillSettings:
        """How its blanks were filled."""
        return FillSettings(mode=self.mode, decoder=self.decoder)


class RankCounts(Part):
    """What became of the queries, and of the names that they were asked with.

    queries: of the set, or of the subset. unranked: of those, without a place in a pool. without_shots: in
    relations with fewer facts to show than shots. few_facts: ranked where fewer facts than are to be left out
    are known, so that candidates are more. scored: names in statements; of these straddling: one of
    whose tokens has letters beside the name; unknown: with a token for what the vocabulary lacks.
    """

    queries: int
    unranked: int
    without_shots: int
    asked: int
    few_facts: int
    scored: int
    straddling: int
    unknown: int


class RankRecord(Part):
    """One finished ranked probe. figures: by score (`kebench.scoring.name_scores.SCORES`).

    sharing: how texts that begin alike were computed, which moves no score by more than rounding does.
    """

    files: ClassVar = RankSettings.files
    schema_version: Literal[2] = Field(2, alias="schema")
    prober: Literal["rank"] = "rank"
    identity: Hash
    model: Name
    model_hash: Printable
    set: Name
    set_hash: Printable
    protocol_version: int = Field(ge=1)
    settings: RankSettings
    precision: Literal["fp32", "bf16"]
    subset: ProbeSubset
    sharing: Printable
    counts: RankCounts
    figures: dict[str, RankedFigures]
    provenance: Provenance


class ChoiceCounts(Part):
    """What became of the questions.

    asked: that have a score; too_long: beyond the model's limit without any example; unknown: an option holds
    what the vocabulary lacks; a question may be both, where it is scored in two ways. fewer_shots: asked with
    fewer examples than the others, as all did not fit. prompts: scored, those without the question too.
    straddling: answers that share a token with what stands before them.
    """

    questions: int
    asked: int
    too_long: int
    unknown: int
    fewer_shots: int
    prompts: int
    straddling: int


class ChoiceRecord(Part):
    """One finished probe by multiple choice questions.

    majority: the most frequent right letter of all questions of the split, or several. sharing: as in
    `RankRecord`. figures: by score, `letter`, or `sum`, `mean`, `char` and `pmi` of the options' texts.
    """

    files: ClassVar = ChoiceSettings.files
    schema_version: Literal[2] = Field(2, alias="schema")
    prober: Literal["choice"] = "choice"
    identity: Hash
    model: Name
    model_hash: Printable
    set: Name
    set_hash: Printable
    protocol_version: int = Field(ge=1)
    settings: ChoiceSettings
    precision: Literal["fp32", "bf16"]
    subset: ProbeSubset
    majority: tuple[str, ...]
    sharing: Printable
    counts: ChoiceCounts
    figures: dict[str, ChoiceFigures]
    provenance: Provenance


class GenerateCounts(Part):
    """What became of the queries.

    queries: of the set, or of the subset. unranked: of those, without a place in a pool, so without a subject
    to ask for. blank_inside: in relations of which no statement ends with the blank, as causal models need.
    without_shots: with fewer facts to show than shots. asked: the others; of these reworded: by another
    statement than the first; cut: whose answers might be others if they could have more tokens; unanswered:
    without any answer; out_of_reach: of which every accepted name holds an end sign.
    unwritable: names of the pools that the vocabulary lacks letters of, where answers are such names.
    answers: that were written to all of them.
    """

    queries: int
    unranked: int
    blank_inside: int
    without_shots: int
    asked: int
    reworded: int
    cut: int
    unanswered: int
    out_of_reach: int
    unwritable: int
    answers: int


class GenerateRecord(Part):
    """One finished probe whose answers were written.

    sharing: how prompts were forwarded, which moves no score by more than rounding does. figures: by score;
    there is one, `beam`.
    """

    files: ClassVar = GenerateSettings.files
    schema_version: Literal[2] = Field(2, alias="schema")
    prober: Literal["generate"] = "generate"
    identity: Hash
    model: Name
    model_hash: Printable
    set: Name
    set_hash: Printable
    protocol_version: int = Field(ge=1)
    settings: GenerateSettings
    precision: Literal["fp32", "bf16"]
    subset: ProbeSubset
    sharing: Printable
    counts: GenerateCounts
    figures: dict[Literal["beam"], GeneratedFigures]
    provenance: Provenance


AnyProbe = ProbeRecord | RankRecord | ChoiceRecord | GenerateRecord
Form = TypeVar("Form", bound=BaseModel)


def probe_identity(
    *, model_hash: str, set_hash: str, settings: Settings, precision: str, subset: ProbeSubset
) -> str:
    """Hash what can move a score of a probe: weights, queries, settings, version. No name, no device."""
    return hash_of(
        {
            "version": settings.protocol_version,
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


def write_probe_record(folder: Path, record: AnyProbe) -> None:
    """Write probe.json beside what it is made of, which must be there: who finds it finds that."""
    text = record.model_dump_json(indent=1, by_alias=True) + "\n"
    write_atomically(folder / PROBE_RECORD, text, point="record")


class _Kind(BaseModel):
    """What a record says of its prober; those of blanks that were filled do not name it."""

    prober: Literal["fill", "rank", "choice", "generate"] = "fill"


_FORMS: dict[str, type[AnyProbe]] = {
    "fill": ProbeRecord,
    "rank": RankRecord,
    "choice": ChoiceRecord,
    "generate": GenerateRecord,
}


def read_probe_record(path: Path) -> AnyProbe:
    """Read one probe.json, of any prober. Raises UserError with file and field if it is not one of ours."""

    def read(form: type[Form]) -> Form:
        return read_json_as(
            path,
            form,
            refused="not a record of a probe ({}); remove it or fetch it again",
            unreadable="{}; a finished probe has this file: ask again",
        )

    return read(_FORMS[read(_Kind).prober])


def probe_record_paths(folder: Path) -> list[Path]:
    """Return every probe.json under a folder, sorted; what is still being written is not among them."""
    return sorted(
        path
        for path in folder.rglob(PROBE_RECORD)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
