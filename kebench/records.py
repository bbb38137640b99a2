"""Records: one JSON file for each finished (model, task, hyper-parameters, seed), and nothing else.

A record is written last and atomically, so it exists only if its run finished. Beside it stand
the predictions (ids and labels, never text). A run in progress holds a lease
(`kebench.leases`); a failed one leaves `<stem>.failed.json`, which is never a score.
Field order is part of the format; docs/FORMATS.md comments each field.
"""

import gzip
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from kebench.bounded import read_within
from kebench.cards import Part, read_json_as
from kebench.errors import UserError, first_fault
from kebench.files import hash_of, write_atomically
from kebench.scoring.score import Score, upgraded

_log = logging.getLogger(__name__)
# Raised by every change that can move a score (marked **Scores** in the changelog).
PROTOCOL_VERSION = 1
RECORD_SCHEMA: Literal[2] = 2
PREDICTIONS_SCHEMA = 1
OTHER_NAMES = "other-names.json"
SCORES = ".scores.json"  # ends the names of files of further scores


def _is_no_place(name: str) -> str:
    if name in (".", ".."):
        raise ValueError("a name, not a place")
    return name


# Names become folders, and both are printed: no path leaves its folder, no sign moves a terminal's cursor.
Printable = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Name = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f/]+$"), AfterValidator(_is_no_place)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")]


class Settings(Part):
    """The hyper-parameters of one fine-tuning run. Their values and reasons: finetune/budgets.toml."""

    learning_rate: float
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    patience: int = Field(ge=0)
    warmup_fraction: float = Field(ge=0, le=1)
    weight_decay: float = Field(ge=0)
    max_grad_norm: float = Field(gt=0)
    order: Literal["shuffled", "length-pools"]
    max_length: int = Field(ge=8)


class Subset(Part):
    """How much of the data is used; None is all of it. Rows are drawn by hash order with `seed`."""

    train_rows: int | None = None
    dev_rows: int | None = None
    seed: int = 0


class Protocol(Part):
    """How a score came about, beyond the hyper-parameters. A table column holds one protocol.

    budget: the name under which the hyper-parameters were chosen.
    fidelity: paper, released or fixed (docs/FIDELITY.md).
    precision: of the arithmetic in the encoder, fp32 or bf16.
    pooling: what the classifier reads of a whole text, the state of its first piece or the mean of all;
        "first" also where it reads none.
    """

    version: int
    budget: str
    fidelity: Literal["paper", "released", "fixed"]
    metric: str
    precision: Literal["fp32", "bf16"]
    subset: Subset
    pooling: Literal["first", "mean"] = "first"

    def hashed(self, *left_out: str) -> dict[str, Any]:
        """Return the fields that are hashed. Pooling was there before it had a name: first is left out."""
        fields = self.model_dump(exclude={*left_out})
        return {name: value for name, value in fields.items() if (name, value) != ("pooling", "first")}


class SplitFacts(Part):
    """What one split's file holds that a reader of its score should know; over all rows, before training.

    None where it was not looked for: in older records, and where the kind of task or the split has no such.

    num_examples: sentences, instances; num_gold: what its score is counted over (mentions, positive
        instances).
    tag_scheme: how the file tags mentions, as `kebench.kinds.schemes` names it.
    num_seen: examples of dev or test whose normalised text stands in train (of test: in train or dev).
    num_contradicting: those of them that stand there with other labels.
    num_marker_faults: instances in which an entity indicator of the card is missing or misspelt.
    num_words, num_unknown_words: words, and those of which the model's tokenizer makes an unknown token.
    """

    num_examples: int
    num_gold: int | None = None
    tag_scheme: Printable | None = None
    num_seen: int | None = None
    num_contradicting: int | None = None
    num_marker_faults: int | None = None
    num_words: int | None = None
    num_unknown_words: int | None = None


class EnergyPart(Part):
    """What one part of a machine took. is_estimate: no meter was read, it is reckoned from watts."""

    kwh: float = Field(ge=0)
    measured_with: Printable
    is_estimate: bool


class Energy(Part):
    """What a run took, by parts; None where a part was not measured.

    country, co2_kg: whose grid CO2 is reckoned by, and how much; "" and None if no country was given.
    meter: the program that measured.
    """

    cpu: EnergyPart | None
    gpu: EnergyPart | None
    ram: EnergyPart | None
    country: Printable = ""
    co2_kg: float | None = None
    meter: Printable

    @property
    def kwh(self) -> float:
        """The sum of the parts."""
        return sum(part.kwh for part in (self.cpu, self.gpu, self.ram) if part)

    @property
    def is_estimate(self) -> bool:
        """Whether a part is an estimate; memory always is one, and does not count."""
        return any(part.is_estimate for part in (self.cpu, self.gpu) if part)


RateOrigin = Literal["option", "card", "budget"]


class Provenance(Part):
    """Where, when and with what a run was made.

    learning_rate_from: who chose the rates that were tried in fine-tuning: the user's option, the suggestion
        of the model's card, or the budget; None in records from before it was kept.

    micro_batch: examples in memory at once at the end of training; None in records before it was kept.
    energy_kwh: the sum of `energy`; both None where nothing was measured.
    """

    kebench_version: Printable
    commit: Printable
    packages: dict[Printable, Printable]
    device: Printable
    num_processes: int
    micro_batch: int | None = None
    started_utc: Printable
    seconds: float
    peak_mib: float
    energy_kwh: float | None = None
    energy: Energy | None = None
    learning_rate_from: RateOrigin | None = None


class Record(Part):
    """One finished run. `identity` hashes what can move its score, and names its file.

    kind: of the task, as `kebench.kinds` names it; its metric is in the protocol.
    dev_percent_by_epoch: None for an epoch after which the score was undefined.
    splits: what the files of the task hold; empty in records from before it was kept.
    Records of schema 1, which had two kinds of task and one metric of each, are read into this one.
    """

    schema_version: Literal[2] = Field(RECORD_SCHEMA, alias="schema")
    identity: Hash
    kind: Name
    model: Name
    model_hash: Printable
    task: Name
    task_version: int
    task_hash: Printable
    seed: int
    settings: Settings
    protocol: Protocol
    dev: Score
    test: Score
    best_epoch: int
    dev_percent_by_epoch: tuple[float | None, ...]
    train_loss_by_epoch: tuple[float, ...]
    provenance: Provenance
    splits: dict[Printable, SplitFacts] = {}

    @model_validator(mode="before")
    @classmethod
    def _reads_schema_1(cls, fields: Any) -> Any:
        return upgraded(fields) if isinstance(fields, dict) and fields.get("schema") == 1 else fields

    @property
    def column(self) -> str:
        """The hash of everything two scores must share to stand in one column of a table."""
        settings = self.settings.model_dump(exclude={"learning_rate"})
        protocol = self.protocol.hashed("fidelity", "budget", "pooling")
        return hash_of([self.task_version, self.task_hash, settings, protocol])


def identity_of(
    *, model_hash: str, task_version: int, task_hash: str, seed: int, settings: Settings, protocol: Protocol
) -> str:
    """Hash what can move a score: weights, data, hyper-parameters, seed, protocol. No name, no device."""
    return hash_of(
        {
            "model": model_hash,
            "task": [task_version, task_hash],
            "seed": seed,
            "settings": settings.model_dump(),
            "protocol": protocol.hashed("budget"),
        }
    )


def record_stem(out: Path, *, task: str, model: str, seed: int, learning_rate: float, identity: str) -> Path:
    """Return the path of a run's files without their endings; names are for people, the hash decides."""
    return out / task / model / f"seed{seed}-lr{learning_rate:g}-{identity[:16]}"


def stem_of(out: Path, record: Record) -> Path:
    """Return the path of a finished run's files without their endings."""
    return record_stem(
        out,
        task=record.task,
        model=record.model,
        seed=record.seed,
        learning_rate=record.settings.learning_rate,
        identity=record.identity,
    )


def write_record(stem: Path, record: Record, predictions: dict[str, Any]) -> None:
    """Write predictions, then the record: who finds the record finds both."""
    content = json.dumps(predictions, ensure_ascii=False, separators=(",", ":")).encode()
    write_atomically(
        ending(stem, ".predictions.json.gz"), gzip.compress(content, mtime=0), point="predictions"
    )
    text = record.model_dump_json(indent=1, by_alias=True) + "\n"
    write_atomically(ending(stem, ".json"), text, point="record")
    for other in (".failed.json", SCORES):  # of an attempt before
        ending(stem, other).unlink(missing_ok=True)


def write_failure(stem: Path, *, error: str, job: dict[str, Any]) -> None:
    """Write down that a run failed and why. It is tried again by the next grid that wants it."""
    text = json.dumps({"schema": RECORD_SCHEMA, "error": error, **job}, indent=1, ensure_ascii=False) + "\n"
    write_atomically(ending(stem, ".failed.json"), text, point="failure")


def ending(stem: Path, suffix: str) -> Path:
    """Return the stem with an ending; `with_suffix` would cut a rate such as 0.0002."""
    return stem.parent / (stem.name + suffix)


def read_record(path: Path) -> Record:
    """Read one record. Raises UserError with file and field if it is not one of ours.

    It has what `kebench rescore` wrote beside it; what it holds itself stays. Such scores that are damaged,
    or of another run, are passed over with a line: rescoring writes them again.
    """
    refused = "not a record ({}); remove it or fetch it again"
    record = read_json_as(path, Record, refused=refused, unreadable="cannot be read ({})")
    beside = ending(path.with_suffix(""), SCORES)
    if not beside.is_file():
        return record
    try:
        more = FurtherScores.model_validate_json(read_within(beside))
    except (OSError, ValidationError):
        more = None
    if more is None or more.identity != record.identity:
        _log.warning("%s: no scores of its record, passed over; 'kebench rescore' writes them again", beside)
        return record
    update = {}
    for split, score, scores in (("dev", record.dev, more.dev), ("test", record.test, more.test)):
        update[split] = score.model_copy(update={"further": {**scores, **score.further}})
    return record.model_copy(update=update)


class FurtherScores(Part):
    """Percentages by metric that `kebench rescore` computed from a run's predictions; None if undefined."""

    schema_version: Literal[1] = Field(1, alias="schema")
    identity: Hash
    dev: dict[str, float | None]
    test: dict[str, float | None]


def write_further_scores(path: Path, found: FurtherScores) -> Path:
    """Write further scores beside the record of a run; return their file."""
    beside = ending(path.with_suffix(""), SCORES)
    write_atomically(beside, found.model_dump_json(indent=1, by_alias=True) + "\n", point="record")
    return beside


class OtherName(Part):
    """The name under which weights are recorded that somebody has named otherwise, and their mode."""

    recorded_as: Name
    model_hash: Printable
    fidelity: Literal["paper", "released", "fixed"]


class OtherNames(Part):
    """What other-names.json holds: the other names of models whose runs are recorded in its folder."""

    schema_version: Literal[1] = Field(1, alias="schema")
    names: dict[Name, OtherName]


def read_other_names(out: Path) -> dict[str, OtherName]:
    """Return the other names of models in a folder of records. Raises UserError if the file is damaged."""
    path = out / OTHER_NAMES
    try:
        return OtherNames.model_validate_json(read_within(path)).names if path.is_file() else {}
    except (OSError, ValidationError) as error:
        fault = first_fault(error, whole="the file") if isinstance(error, ValidationError) else error.strerror
        raise UserError(f"{path}: {fault}; remove it, and 'kebench run' writes it again") from None


def write_other_names(out: Path, names: Mapping[str, OtherName]) -> None:
    """Add other names of models to a folder of records; a name that is there already is replaced."""
    known = read_other_names(out)
    if not names.items() <= known.items():
        stored = OtherNames(schema=1, names=dict(sorted({**known, **names}.items())))
        text = stored.model_dump_json(indent=1, by_alias=True) + "\n"
        write_atomically(out / OTHER_NAMES, text, point="record")


def record_paths(out: Path) -> list[Path]:
    """Return the records' files under a folder, sorted; failures and predictions are not among them."""
    others = (".failed.json", ".predictions.json", SCORES)
    found = (path for path in out.glob("*/*/*.json") if not path.name.startswith("."))
    return sorted(path for path in found if not path.name.endswith(others))


def read_records(
    out: Path, *, left_out: Callable[[UserError], object] | None = None
) -> Iterator[tuple[Path, Record]]:
    """Yield every record under a folder with its file, in the order of their paths.

    left_out: told of a file that is no record of ours; without it, that UserError is raised.
    """
    for path in record_paths(out):
        try:
            record = read_record(path)
        except UserError as error:
            if left_out is None:
                raise
            left_out(error)
        else:
            yield path, record
