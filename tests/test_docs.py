"""The docs say what the code does: every field and every option is in them, and the help page is current."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel

from kebench.cards import ModelCard, Suggested
from kebench.cli import COMMANDS
from kebench.corpus.linked import SCHEMA as SHARD
from kebench.corpus.linked import CorpusCounts, CorpusInput, CorpusManifest, Exclusion, Shard
from kebench.corpus.linking import LinkingSettings
from kebench.corpus.name_index import IndexManifest
from kebench.corpus.passage import Mention
from kebench.files import CRASH_POINTS, WRITES
from kebench.finetune.budgets import Budget
from kebench.finetune.encode import Encoded
from kebench.pretrain.card import PretrainingCard
from kebench.pretrain.recipe import Pretraining
from kebench.probe.query_set import COLUMNS, QuerySetManifest, Source
from kebench.probe.recipe import ProbeRecipe
from kebench.probe.record import (
    Bucket,
    Decoder,
    Figure,
    FixedScores,
    Group,
    ProbeCounts,
    ProbeRecord,
    ProbeScores,
    ProbeSubset,
    Ranked,
    ReleasedBucket,
    ReleasedScores,
)
from kebench.probe.tables import COUNTS
from kebench.records import Energy, EnergyPart, Protocol, Provenance, Record, Score, Settings, Subset
from kebench.report.costs import COST_FIELDS
from kebench.report.export import FIELDS
from kebench.report.probe_export import PROBE_FIELDS
from kebench.report.probe_groups import GROUP_FIELDS
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
from kebench.reproduce.stamps import Stamp
from kebench.tasks.card import Access, Expected, TaskCard
from kebench.transe.embeddings import EmbeddingsCard
from kebench.transe.recipe import Settings as TranseSettings
from kebench.umls.filters import Filters
from kebench.umls.manifest import Manifest
from tests.probe.small_probes import PREDICTIONS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.glob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md")
MAKER = runpy.run_path(str(DOCS / "make_commands.py"))
RECORD_PARTS = (Record, Settings, Protocol, Subset, Score, Provenance, Energy, EnergyPart)
PROBE_PARTS = (
    Bucket, Decoder, Figure, FixedScores, Group, ProbeCounts, ProbeRecord, ProbeScores, ProbeSubset, Ranked,
    ReleasedBucket, ReleasedScores,
)  # fmt: skip
CARD_PARTS = {
    ModelCard: "Model card",
    Suggested: "Model card",
    TaskCard: "Task card",
    Expected: "Task card",
    Access: "Task card",
    Budget: "Budgets",
    Profile: "Profile of a reproduction",
    Stage: "Profile of a reproduction",
    Variable: "Profile of a reproduction",
    Need: "Profile of a reproduction",
    Estimate: "Profile of a reproduction",
    Stamp: "Profile of a reproduction",
    Strata: "Overlap export",
    Overlap: "Overlap export",
    StratumScore: "Overlap export",
    PublishedTable: "Published table",
    PublishedRow: "Published table",
    PublishedSizes: "Published table",
    PrintedSize: "Published table",
    PublishedExamples: "Published table",
    PrintedExample: "Published table",
    Manifest: "Knowledge base",
    Filters: "Knowledge base",
    EmbeddingsCard: "Entity embeddings",
    TranseSettings: "Recipe of TransE",
    QuerySetManifest: "Cloze sets",
    Source: "Cloze sets",
    ProbeRecipe: "Recipe of a cloze set",
    CorpusManifest: "Linked corpora",
    CorpusCounts: "Linked corpora",
    CorpusInput: "Linked corpora",
    Exclusion: "Linked corpora",
    LinkingSettings: "Linked corpora",
    Shard: "Linked corpora",
    IndexManifest: "Index of names",
    Pretraining: "Recipe of a pretraining",
    PretrainingCard: "Pretrained checkpoint",
}
COMMAND_PATHS = dict(MAKER["walk"]())


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """Return the part of a page under a `## heading`, up to the next one."""
    found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert found, f"docs/FORMATS.md has no section '{heading}'"
    return found[1]


def names_of(part: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in part.model_fields.items()]


@pytest.mark.parametrize("part", RECORD_PARTS, ids=lambda part: part.__name__)
def test_every_field_of_a_record_is_described(part: type[BaseModel]) -> None:
    text = section(page("FORMATS.md"), "A record")
    assert [name for name in names_of(part) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("part", PROBE_PARTS, ids=lambda part: part.__name__)
def test_every_field_of_a_probe_is_described(part: type[BaseModel]) -> None:
    text = section(page("FORMATS.md"), "Probe records")
    assert [name for name in names_of(part) if f"`{name}`" not in text] == []


def test_every_column_of_a_probe_s_predictions_is_described() -> None:
    text = section(page("FORMATS.md"), "Predictions of a probe")
    assert [name for name in PREDICTIONS.names if f"`{name}`" not in text] == []


def test_every_field_of_an_export_of_probes_is_described() -> None:
    text = section(page("FORMATS.md"), "Export of probes")
    assert [name for name in (*PROBE_FIELDS, *GROUP_FIELDS) if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    ("part", "heading"),
    list(CARD_PARTS.items()),
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_field_of_a_card_is_described(part: type[BaseModel], heading: str) -> None:
    text = section(page("FORMATS.md"), heading)
    assert [name for name in names_of(part) if f"`{name}`" not in text] == []


def test_the_example_record_is_one() -> None:
    text = section(page("FORMATS.md"), "A record")
    example = re.search(r"```json\n(.*?)```", text, flags=re.DOTALL)
    assert example
    record = Record.model_validate_json(example[1])
    assert record.model_dump_json(indent=1, by_alias=True) == example[1].strip()


def test_every_array_of_the_features_and_every_field_of_an_export_is_described() -> None:
    text = page("FORMATS.md")
    assert [name for name in (*Encoded._fields, *FIELDS) if f"`{name}`" not in text] == []


def test_every_field_of_costs_in_an_export_is_described() -> None:
    text = section(page("FORMATS.md"), "Leaderboard export")
    fields = [name for names in COST_FIELDS.values() for name in names]
    assert [name for name in fields if f"`{name}`" not in text] == []


def test_every_count_and_column_of_a_cloze_set_is_described() -> None:
    text = section(page("FORMATS.md"), "Cloze sets")
    assert [name for name in (*COUNTS, *COLUMNS) if f"`{name}`" not in text] == []


def test_every_column_of_a_shard_is_described() -> None:
    text = section(page("FORMATS.md"), "Linked corpora")
    assert [name for name in (*SHARD.names, *Mention._fields) if f"`{name}`" not in text] == []


def test_every_write_and_crash_point_is_described() -> None:
    assert len(CRASH_POINTS) == 2 * len(WRITES)
    assert [name for name in WRITES if f"`{name}`" not in page("RELIABILITY.md")] == []


def test_the_command_page_is_current() -> None:
    # In a process of its own: click keeps the help option of a command that another test has called alone.
    made = subprocess.run(
        [sys.executable, str(DOCS / "make_commands.py"), "--print"],
        env=os.environ | {"PYTHONPATH": str(DOCS.parent)},
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert page("COMMANDS.md") == made, (
        "docs/COMMANDS.md is not what --help says; run: python docs/make_commands.py"
    )


@pytest.mark.parametrize("path", COMMAND_PATHS)
def test_every_command_and_option_is_on_the_command_page(path: str) -> None:
    text = page("COMMANDS.md")
    assert re.search(rf"^#+ {path}$", text, flags=re.MULTILINE)
    assert [option for option in options_of(COMMAND_PATHS[path]) if option not in text] == []


@pytest.mark.parametrize("path", COMMAND_PATHS)
def test_every_command_says_in_its_first_line_what_it_does(path: str) -> None:
    assert re.fullmatch(r"[A-Z].*[.?]", first_help_line(COMMAND_PATHS[path]))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_one_line_help_is_the_command_s_own(name: str) -> None:
    assert COMMANDS[name][2] == first_help_line(COMMAND_PATHS[f"kebench {name}"])


def options_of(command: click.Command) -> list[str]:
    parameters: list[Any] = [p for p in command.params if isinstance(p, click.Option)]
    return [name for option in parameters for name in (*option.opts, *option.secondary_opts)]


def first_help_line(command: click.Command) -> str:
    return (command.help or "").strip().partition("\n")[0]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_to_a_file_of_ours_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_that_a_page_shows_exists(path: Path) -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`(kebench [^`]*)`", path.read_text(encoding="utf-8"))
    shown = re.findall(r"^kebench( [a-z]+)( [a-z]+)?", "\n".join([*blocks, *spans]), re.MULTILINE)
    assert [words for words in shown if not is_command(*words)] == []


def is_command(first: str, second: str) -> bool:
    """Tell whether ` data`, ` get` are a command; a command that is no group may have any argument."""
    command = COMMAND_PATHS.get(f"kebench{first}")
    is_group = isinstance(command, click.Group)
    return command is not None and (not is_group or not second or f"kebench{first}{second}" in COMMAND_PATHS)
