"""Brings the records of several machines together: copies, never changes, and says where two contradict.

A run is known by its identity, which hashes all that may move its score. Two records of one identity that
differ in more than where and when they were made contradict each other: some machine computes otherwise, or a
file was edited.
"""

import shutil
from collections.abc import Collection, Iterable, Sequence
from math import isclose
from pathlib import Path
from typing import Any, NamedTuple

from kebench.errors import UserError
from kebench.files import atomic_folder
from kebench.kinds.stored import read_predictions, score_split
from kebench.probe.record import (
    PROBE_RECORD,
    AnyProbe,
    probe_record_paths,
    read_probe_record,
)
from kebench.records import (
    FurtherScores,
    Record,
    ending,
    identity_of,
    read_other_names,
    read_record,
    record_paths,
    stem_of,
    write_further_scores,
    write_other_names,
    write_record,
)
from kebench.scoring.score import Score


class Merged(NamedTuple):
    """What became of the records that were found.

    conflicts: (kept, not taken, what differs). refused: one line a file that could not be taken.
    """

    runs: int
    probes: int
    known: int
    conflicts: tuple[tuple[Path, Path, str], ...]
    refused: tuple[str, ...]


_Key = tuple[str, str, str] | Path  # task, model and identity of a run; the place of a probe


def merge(folders: Iterable[Path], out: Path) -> Merged:
    """Copy runs and probes of `folders` to `out`, predictions first; what `out` has stays.

    A run whose predictions are missing, or do not give its score, is refused with a line, and so is a file of
    `out` that cannot be read, which stays as well. Raises UserError if a folder is missing.
    """
    held: dict[_Key, tuple[Path, dict[str, Any]]] = {}
    damaged: dict[Path, str] = {}
    for path in _found(out) if out.is_dir() else ():
        try:
            _, key, content = _read(path, path)
            held[key] = (path, content)
        except UserError as error:
            damaged[path] = str(error)
    runs = probes = known = 0
    conflicts: list[tuple[Path, Path, str]] = []
    refused = list(damaged.values())
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder of records; name those of 'kebench run --out'")
        for path in _found(folder):
            target = out / path.relative_to(folder)
            try:
                record, key, content = _read(path, target)
                is_run = isinstance(record, Record)
                if key not in held:
                    if isinstance(record, Record):
                        target = _take_run(path, record, out, damaged)
                    else:
                        _take_probe(path, record.files, target, damaged)
                    held[key] = (target, content)
                    runs, probes = runs + is_run, probes + (not is_run)
                    continue
                kept, its_content = held[key]
                if difference := _difference(its_content, content):
                    conflicts.append((kept, path, difference))
                    continue
                if isinstance(record, Record):
                    _take_further_scores(record, kept)
                known += 1
            except UserError as error:
                refused.append(str(error))
        try:
            write_other_names(out, read_other_names(folder) | read_other_names(out))
        except UserError as error:
            refused.append(str(error))
    return Merged(runs, probes, known, tuple(conflicts), tuple(refused))


def _found(folder: Path) -> list[Path]:
    """Return the records of a folder: of runs, then of probes."""
    runs = [path for path in record_paths(folder) if path.name != PROBE_RECORD]
    return [*runs, *probe_record_paths(folder)]


def _read(path: Path, place: Path) -> tuple[Record | AnyProbe, _Key, dict[str, Any]]:
    """Return a record, what it is known by, and what others of it must share. place: where it would lie."""
    if path.name == PROBE_RECORD:
        probe = read_probe_record(path)
        return probe, place, _compared(probe.model_dump())
    record = read_record(path)
    return record, (record.task, record.model, record.identity), _compared(record.model_dump())


def _take_run(path: Path, record: Record, out: Path, damaged: Collection[Path]) -> Path:
    """Copy a run, and return where to."""
    stem = stem_of(out, record)
    _require_free(ending(stem, ".json"), damaged, path)
    predictions = read_predictions(path)
    if predictions["kind"] != record.kind:
        raise UserError(f"{path}: of the kind {record.kind}, its predictions of {predictions['kind']}")
    for split, stated in (("dev", record.dev), ("test", record.test)):
        if not _is_same_score(score_split(predictions, split, metric=record.protocol.metric), stated):
            raise UserError(f"{path}: its predictions give another {split} score; fetch both files again")
    identifying = record.model_dump(include={"model_hash", "task_version", "task_hash", "seed"})
    if record.identity != identity_of(**identifying, settings=record.settings, protocol=record.protocol):
        raise UserError(f"{path}: its identity is not that of its settings; fetch it again")
    stem.parent.mkdir(parents=True, exist_ok=True)
    write_record(stem, record, predictions)
    return ending(stem, ".json")


def _is_same_score(one: Score, other: Score) -> bool:
    """Return whether two scores are equal but for the rounding of another machine.

    one: computed from predictions. other: as stated; what it does not hold yet is not compared.
    """
    computed, stated = (
        score.model_dump(exclude={"details", "further", "by_label"})
        | score.details
        | {f"further {name}": value for name, value in score.further.items()}
        for score in (one, other)
    )
    return all(
        value == stated[name]
        or (None not in (value, stated[name]) and isclose(value, stated[name], abs_tol=1e-6))
        for name, value in computed.items()
        if name in stated
    )


def _take_further_scores(record: Record, held: Path) -> None:
    """Add what was computed of a run elsewhere to what is held of it."""
    ours = read_record(held)
    dev = {**record.dev.further, **ours.dev.further}
    test = {**record.test.further, **ours.test.further}
    if (dev, test) != (ours.dev.further, ours.test.further):
        write_further_scores(held, FurtherScores(schema=1, identity=ours.identity, dev=dev, test=test))


def _take_probe(path: Path, files: Sequence[str], target: Path, damaged: Collection[Path]) -> None:
    """Copy a probe's folder to that of a target. files: what stands beside its record."""
    for name in files:
        if not (path.parent / name).is_file():
            raise UserError(f"{path.parent / name}: missing; copy the probe's whole folder")
    _require_free(target, damaged, path)
    with atomic_folder(target.parent, point="merged") as temporary:
        for name in (*files, PROBE_RECORD):
            shutil.copyfile(path.parent / name, temporary / name)


def _require_free(target: Path, damaged: Collection[Path], path: Path) -> None:
    """Raise UserError if something unreadable, perhaps of a newer kebench, stands where a record would go."""
    if target in damaged:
        raise UserError(f"{path}: {target} is in its place and cannot be read; remove that and merge again")


def contradiction(one: Record, other: Record) -> str:
    """Return the first field in which two records of one identity contradict; "" if they agree."""
    return _difference(_compared(one.model_dump()), _compared(other.model_dump()))


def _compared(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what two records of one identity must share: all but where, when and how long.

    Facts of files neither, and what follows from the predictions: more is kept of both from
    version to version.
    """
    shared = {name: value for name, value in fields.items() if name not in ("provenance", "splits")}
    for split in {"dev", "test"} & shared.keys():
        shared[split] = {name: value for name, value in shared[split].items() if name != "by_label"}
    return shared


def _difference(one: dict[str, Any], other: dict[str, Any], path: str = "") -> str:
    """Return the first field in which two records differ, with both values; "" if none."""
    for name, value in one.items():
        its_value, where = other.get(name), f"{path}{name}"
        if path.endswith("further.") and name not in other:
            continue  # more was computed of one of them
        if isinstance(value, dict) and isinstance(its_value, dict):
            if inner := _difference(value, its_value, f"{where}."):
                return inner
        elif value != its_value:
            return f"{where} is {value} here and {its_value} there"
    return ""
