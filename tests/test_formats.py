"""docs/FORMATS.md has every field of every file in the table of its own format, and no field that is gone."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kebench.cards import ModelCard, Suggested
from kebench.corpus.linked import SCHEMA as SHARD
from kebench.corpus.linked import CorpusCounts, CorpusInput, CorpusManifest, Exclusion, Shard
from kebench.corpus.linking import LinkingSettings
from kebench.corpus.name_index import IndexManifest
from kebench.corpus.passage import Mention
from kebench.finetune.plan import Budget
from kebench.kinds.card import Access, Expected, TaskCard
from kebench.kinds.encoded import Encoded
from kebench.kinds.registry import KINDS
from kebench.leases import Owner
from kebench.pretrain.card import PretrainingCard
from kebench.pretrain.recipe import Pretraining
from kebench.probe.choices import CHOICES_SCHEMA
from kebench.probe.generated import WRITTEN_SCHEMA
from kebench.probe.query_set import COLUMNS, FLAGS, Pools, QuerySetManifest, Source
from kebench.probe.questions import SCHEMA as QUESTION_SCHEMA
from kebench.probe.questions import QuestionCounts, QuestionSetManifest, SplitCounts
from kebench.probe.ranked import SCORES_SCHEMA
from kebench.probe.recipe import ProbeRecipe, Wording
from kebench.probe.record import (
    Bucket,
    ChoiceCounts,
    ChoiceRecord,
    ChoiceSettings,
    Decoder,
    Figure,
    FixedScores,
    GenerateCounts,
    GenerateRecord,
    GenerateSettings,
    Group,
    ProbeCounts,
    ProbeRecord,
    ProbeScores,
    ProbeSubset,
    RankCounts,
    Ranked,
    RankRecord,
    RankSettings,
    ReleasedBucket,
    ReleasedScores,
)
from kebench.probe.tables import COUNTS
from kebench.records import (
    Energy,
    EnergyPart,
    FurtherScores,
    Protocol,
    Provenance,
    Record,
    Settings,
    SplitFacts,
    Subset,
)
from kebench.report.compare_export import FIELDS as TEST_FIELDS
from kebench.report.costs import COLUMNS as COST_COLUMNS
from kebench.report.costs import Asked, Price, cost_fields
from kebench.report.export import FIELDS
from kebench.report.probe_export import GROUP_FIELDS, PROBE_FIELDS
from kebench.report.published import (
    PrintedExample,
    PrintedSize,
    PublishedExamples,
    PublishedRow,
    PublishedSizes,
    PublishedTable,
)
from kebench.report.strata import Overlap, Strata, StratumScore
from kebench.reproduce.profile import Estimate, Need, Profile, Stage, Variable
from kebench.reproduce.run import Stamp
from kebench.scoring.choice_figures import ChoiceFigure, ChoiceFigures, LetterShare, MicroFigure
from kebench.scoring.generated import (
    GeneratedFigures,
    GeneratedGroup,
    GeneratedGroupMetric,
    GeneratedMetric,
    ReleasedHits,
)
from kebench.scoring.ranked_figures import (
    AgreementFigures,
    AnswerCalibration,
    GroupFigures,
    GroupMetric,
    MacroFigure,
    MetricFigures,
    RankedFigures,
    ReliabilityBin,
)
from kebench.scoring.score import LabelScore, Score
from kebench.transe.embeddings import EmbeddingsCard
from kebench.transe.recipe import Settings as TranseSettings
from kebench.umls.filters import Filters
from kebench.umls.manifest import Manifest
from tests.probe.small_probes import PREDICTIONS

PAGE = Path(__file__).parents[1] / "docs" / "FORMATS.md"


class At(NamedTuple):
    """Where fields are described: in the first column of a section's table with this first heading.

    row: they stand in the text of this row. paragraph: they stand in the paragraph that begins so.
    """

    section: str
    heading: str = "field"
    row: str = ""
    paragraph: str = ""


SCORES = "field of `overall`, `type_1` and `type_2`"
SIZES = "Two tables without scores"
# Everything that has fields, and where they are.
PLACES: list[tuple[Any, At]] = [
    (ModelCard, At("Model card")),
    (Suggested, At("Model card", row="suggested")),
    (TaskCard, At("Task card")),
    *(
        (set(kind.card.model_fields) - set(TaskCard.model_fields), At("Task card", "field of a kind"))
        for kind in KINDS.values()
    ),
    (Access, At("Task card", "field of `access`")),
    (Expected, At("Task card", "field of `expected.SPLIT`")),
    (Budget, At("Budgets")),
    (Record, At("A record")),
    (Settings, At("A record", "field of `settings`")),
    (Protocol, At("A record", "field of `protocol`")),
    (Subset, At("A record", "field of `protocol`", row="subset")),
    (Score, At("A record", "field of `dev` and `test`")),
    (LabelScore, At("A record", "field of `dev` and `test`", row="by_label")),
    (SplitFacts, At("A record", "field of a split in `splits`")),
    (Provenance, At("A record", "field of `provenance`")),
    (Energy, At("A record", "field of `energy`")),
    (EnergyPart, At("A record", "field of `energy`")),
    (FurtherScores, At("Further scores")),
    (PREDICTIONS.names, At("Predictions of a probe", "column of `predictions.parquet`")),
    (ProbeRecord, At("Probe records")),
    (ProbeSubset, At("Probe records", row="subset")),
    (Decoder, At("Probe records", "field of `decoder`")),
    (ProbeCounts, At("Probe records", "field of `counts`")),
    (ProbeScores, At("Probe records", paragraph="`scores` holds the two rules")),
    (ReleasedScores, At("Probe records", paragraph="`scores` holds the two rules")),
    (ReleasedBucket, At("Probe records", SCORES)),
    (Bucket, At("Probe records", SCORES)),
    (Ranked, At("Probe records", SCORES, row="by_sum")),
    (Figure, At("Probe records", "field of `hit`, `acc_1`, `acc_5`, `mrr`")),
    (
        set(FixedScores.model_fields) - set(ReleasedScores.model_fields),
        At("Probe records", "field of `fixed`"),
    ),
    (Group, At("Probe records", paragraph="Each entry of these has")),
    (RankRecord, At("Records of ranked probes")),
    (RankSettings, At("Records of ranked probes", "field of `settings`")),
    (RankCounts, At("Records of ranked probes", "field of `counts`")),
    (SCORES_SCHEMA.names, At("Scores of names", "column")),
    (RankedFigures, At("Ranked figures")),
    (AgreementFigures, At("Ranked figures", row="agreement")),
    (MetricFigures, At("Ranked figures", "field of `acc_1`, `mrr`, `hits_5`, `auc`")),
    (MacroFigure, At("Ranked figures", "field of each of these")),
    (GroupFigures, At("Ranked figures", "field of a relation or stratum")),
    (GroupMetric, At("Ranked figures", "field of a relation or stratum", row="acc_1")),
    (AnswerCalibration, At("Ranked figures", "field of `calibration`")),
    (ReliabilityBin, At("Ranked figures", "field of `calibration`", row="bins")),
    (ChoiceRecord, At("Records of multiple choice")),
    (ChoiceSettings, At("Records of multiple choice", "field of `settings`")),
    (ChoiceCounts, At("Records of multiple choice", "field of `counts`")),
    (ChoiceFigures, At("Records of multiple choice", "field of a score in `figures`")),
    (LetterShare, At("Records of multiple choice", "field of a score in `figures`", row="letters")),
    (ChoiceFigure, At("Records of multiple choice", "field of `own` and all differences and baselines")),
    (MicroFigure, At("Records of multiple choice", "field of a score in `figures`", row="by_subset")),
    (CHOICES_SCHEMA.names, At("Choices", "column")),
    (GenerateRecord, At("Records of written answers")),
    (GenerateSettings, At("Records of written answers", "field of `settings`")),
    (GenerateCounts, At("Records of written answers", "field of `counts`")),
    (GeneratedFigures, At("Records of written answers", "field of `figures`")),
    (ReleasedHits, At("Records of written answers", "field of `figures`", row="released")),
    (GeneratedGroup, At("Records of written answers", "field of `figures`", row="by_relation")),
    (GeneratedGroupMetric, At("Records of written answers", "field of `figures`", row="by_relation")),
    (GeneratedMetric, At("Records of written answers", "field of `hit_1`, `hit_beam`, `mrr`")),
    (WRITTEN_SCHEMA.names, At("Written answers", "column")),
    (PROBE_FIELDS, At("Export of probes")),
    (set(GROUP_FIELDS) - set(PROBE_FIELDS) | {"queries"}, At("Export of probes", "field of a group")),
    (Owner, At("Lease")),
    (PublishedTable, At("Published table")),
    (PublishedRow, At("Published table", "field of `rows`")),
    (PublishedSizes, At("Published table", paragraph=SIZES)),
    (PrintedSize, At("Published table", paragraph=SIZES)),
    (PublishedExamples, At("Published table", paragraph=SIZES)),
    (PrintedExample, At("Published table", paragraph=SIZES)),
    (FIELDS, At("Leaderboard export")),
    (list(cost_fields((), Asked(COST_COLUMNS, Price(1, "EUR")))), At("Leaderboard export", "field of costs")),
    (TEST_FIELDS, At("Tests, flat")),
    (Strata, At("Overlap export")),
    (Overlap, At("Overlap export", row="overlap")),
    (StratumScore, At("Overlap export", row="scores")),
    (Encoded._fields, At("Features", "array")),
    (Manifest, At("Knowledge base", "field of `kb.json`")),
    (Filters, At("Knowledge base", "field of `filters`")),
    (SHARD.names, At("Linked corpora", "column of a shard")),
    (Mention._fields, At("Linked corpora", "column of a shard", row="mentions")),
    (CorpusManifest, At("Linked corpora", "field of `corpus.json`")),
    (LinkingSettings, At("Linked corpora", "field of `corpus.json`", row="settings")),
    (Exclusion, At("Linked corpora", "field of `corpus.json`", row="exclusion")),
    (CorpusInput, At("Linked corpora", "field of `corpus.json`", row="inputs")),
    (CorpusCounts, At("Linked corpora", "field of `corpus.json`", row="counts")),
    (Shard, At("Linked corpora", "field of `corpus.json`", row="shards")),
    (IndexManifest, At("Index of names", "file", row="index.json")),
    (EmbeddingsCard, At("Entity embeddings", "field of `embeddings.json`")),
    (TranseSettings, At("Recipe of TransE")),
    (Pretraining, At("Recipe of a pretraining")),
    (PretrainingCard, At("Pretrained checkpoint", "field of `pretraining.json`")),
    (COLUMNS, At("Cloze sets", "column of `queries.parquet`")),
    (QuerySetManifest, At("Cloze sets", "field of `set.json`")),
    (Source, At("Cloze sets", "field of `set.json`", row="knowledge_base")),
    (COUNTS, At("Cloze sets", "field of `set.json`", row="counts")),
    (Pools, At("Cloze sets", "field of `set.json`", row="pools")),
    (Wording, At("Cloze sets", "field of `set.json`", row="wordings")),
    (FLAGS, At("Cloze sets", "flag")),
    (QUESTION_SCHEMA.names, At("Question sets", "column of `questions.parquet`")),
    (QuestionSetManifest, At("Question sets", "field of `set.json`")),
    (QuestionCounts, At("Question sets", "field of `set.json`", row="counts")),
    (SplitCounts, At("Question sets", "field of `set.json`", row="by_split")),
    (ProbeRecipe, At("Recipe of a cloze set")),
    (Profile, At("Profile of a reproduction")),
    (Stage, At("Profile of a reproduction", "field of a stage")),
    (Variable, At("Profile of a reproduction", row="variables")),
    (Need, At("Profile of a reproduction", row="needs")),
    (Estimate, At("Profile of a reproduction", "field of a stage", row="estimate")),
    (Stamp, At("Profile of a reproduction", paragraph="`OUT/steps/STEP.json` is a step's stamp")),
]
# What a file has beside the fields of its part.
BESIDE = {At("Recipe of TransE"): {"extends"}, At("Recipe of a cloze set"): {"extends"}}
TABLES = {at for _, at in PLACES if not at.row and not at.paragraph}


def names_of(part: Any) -> list[str]:
    """Return the names of fields of a pydantic model, as a file has them, or those of a list."""
    fields = getattr(part, "model_fields", None)
    return list(part) if fields is None else [field.alias or name for name, field in fields.items()]


def section(heading: str) -> str:
    """Return the part of the page under a `## heading`, up to the next one."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert found, f"docs/FORMATS.md has no section '{heading}'"
    return found[1]


def spans(text: str) -> set[str]:
    """Return what stands between backquotes."""
    return set(re.findall(r"`([^`]+)`", text))


def table(at: At) -> list[tuple[str, str]]:
    """Return the rows of the only table of a section with this first heading: first cell, and the others."""
    begun = rf"^\| {re.escape(at.heading)} \|.*\n\|[-|]+\|\n"
    (found,) = re.finditer(rf"{begun}((?:\|.*\n)+)", section(at.section), flags=re.MULTILINE)
    rows = (line.strip("|").partition("|") for line in found[1].splitlines())
    return [(first, rest) for first, _, rest in rows]


def described(at: At) -> set[str]:
    """Return the names that are described at a place."""
    if at.paragraph:
        (found,) = (text for text in section(at.section).split("\n\n") if at.paragraph in text)
        return spans(found)
    if at.row:
        (found,) = (rest for first, rest in table(at) if at.row in spans(first))
        return spans(found)
    return {name for first, _ in table(at) for name in spans(first)}


def ident(value: object) -> str:
    if isinstance(value, At):
        return "-".join(part for part in value if part).replace("`", "")
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("part", "at"), PLACES, ids=ident)
def test_every_field_is_described_where_its_format_is(part: Iterable[str] | Any, at: At) -> None:
    assert names_of(part)
    assert [name for name in names_of(part) if name not in described(at)] == []


@pytest.mark.parametrize("at", sorted(TABLES), ids=ident)
def test_no_table_has_a_field_that_there_is_not(at: At) -> None:
    fields = {name for part, place in PLACES if place == at for name in names_of(part)}
    assert described(at) - fields == BESIDE.get(at, set())


def test_the_example_record_is_one() -> None:
    example = re.search(r"```json\n(.*?)```", section("A record"), flags=re.DOTALL)
    assert example
    record = Record.model_validate_json(example[1])
    assert record.model_dump_json(indent=1, by_alias=True) == example[1].strip()
