"""Brings the records of several machines together: copies, never changes, and says where two contradict.

A run is known by its identity, which hashes all that may move its score. Two records of one identity that
differ in more than where and when they were made contradict each other: some machine computes otherwise, or a
file was edited.
"""

import shutil
from collections.abc import Iterable, Iterator
from math import isclose
from pathlib import Path
from typing import Any, NamedTuple

from kebench.errors import UserError
from kebench.files import atomic_folder
from kebench.kinds.stored import read_predictions, score_split
from kebench.probe.record import PREDICTIONS, PROBE_RECORD, TOKENIZER, probe_record_paths, read_probe_record
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


def _is_same_score(one: Score, other: Score) -> bool:
    """Return whether two scores are equal but for the rounding of another machine.

    one: computed from predictions. other: as stated; what it does not hold yet is not compared.
    """
    stated = _flat(other)
    return all(
        value == stated[name]
        or (None not in (value, stated[name]) and isclose(value, stated[name], abs_tol=1e-6))
        for name, value in _flat(one).items()
        if name in stated
    )


def _flat(score: Score) -> dict[str, Any]:
    fields = score.model_dump(exclude={"details", "further", "by_label"})
    return {**fields, **score.details, **{f"further {name}": value for name, value in score.further.items()}}


class Merged(NamedTuple):
    """What became of the records that were found.

    conflicts: (kept, not taken, what differs). refused: one line a file that could not be taken.
    """

    runs: int
    probes: int
    known: int
    conflicts: tuple[tuple[Path, Path, str], ...]
    refused: tuple[str, ...]


class _Ours(NamedTuple):
    """What the target folder holds: records by task, model and identity, probes by their place.

    damaged: the files that should be records and cannot be read, with what is wrong.
    """

    runs: dict[tuple[str, str, str], tuple[Path, dict[str, Any]]]
    probes: dict[tuple[str, ...], tuple[Path, dict[str, Any]]]
    damaged: dict[Path, str]


def merge(folders: Iterable[Path], out: Path) -> Merged:
    """Copy runs and probes of `folders` to `out`, predictions first; what `out` has stays.

    A run whose predictions are missing, or do not give its score, is refused with a line, and so is a file of
    `out` that cannot be read, which stays as well. Raises UserError if a folder is missing.
    """
    ours = _held(out)
    runs = probes = known = 0
    conflicts: list[tuple[Path, Path, str]] = []
    refused = list(ours.damaged.values())
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder of records; name those of 'kebench run --out'")
        for path, kind in _found(folder):
            try:
                is_run = kind == "run"
                took = _take_run(path, out, ours) if is_run else _take_probe(path, folder, out, ours)
            except UserError as error:
                refused.append(str(error))
                continue
            if took is None:
                runs, probes = runs + (kind == "run"), probes + (kind == "probe")
            elif took[1]:
                conflicts.append((took[0], path, took[1]))
            else:
                known += 1
        try:
            write_other_names(out, read_other_names(folder) | read_other_names(out))
        except UserError as error:
            refused.append(str(error))
    return Merged(runs, probes, known, tuple(conflicts), tuple(refused))


def _held(out: Path) -> _Ours:
    ours = _Ours({}, {}, {})
    for path, kind in _found(out) if out.is_dir() else ():
        try:
            if kind == "run":
                record = read_record(path)
                key = (record.task, record.model, record.identity)
                ours.runs[key] = (path, _compared(record.model_dump()))
            else:
                ours.probes[_place(path, out)] = (path, _compared(read_probe_record(path).model_dump()))
        except UserError as error:
            ours.damaged[path] = str(error)
    return ours


def _found(folder: Path) -> Iterator[tuple[Path, str]]:
    yield from ((path, "run") for path in record_paths(folder) if path.name != PROBE_RECORD)
    yield from ((path, "probe") for path in probe_record_paths(folder))


def _take_run(path: Path, out: Path, ours: _Ours) -> tuple[Path, str] | None:
    """Copy a run; None if it was taken, else the record that is there and how it differs."""
    record = read_record(path)
    key, content = (record.task, record.model, record.identity), _compared(record.model_dump())
    if key in ours.runs:
        held, its_content = ours.runs[key]
        difference = _difference(its_content, content)
        if not difference:
            _take_further_scores(record, held)
        return held, difference
    stem = stem_of(out, record)
    _require_free(ending(stem, ".json"), ours, path)
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
    ours.runs[key] = (ending(stem, ".json"), content)
    return None


def _take_further_scores(record: Record, held: Path) -> None:
    """Add what was computed of a run elsewhere to what is held of it."""
    ours = read_record(held)
    both = ((ours.dev.further, record.dev.further), (ours.test.further, record.test.further))
    dev, test = ({**theirs, **mine} for mine, theirs in both)
    if (dev, test) != (ours.dev.further, ours.test.further):
        write_further_scores(held, FurtherScores(schema=1, identity=ours.identity, dev=dev, test=test))


def _take_probe(path: Path, folder: Path, out: Path, ours: _Ours) -> tuple[Path, str] | None:
    content, place = _compared(read_probe_record(path).model_dump()), _place(path, folder)
    if place in ours.probes:
        held, its_content = ours.probes[place]
        return held, _difference(its_content, content)
    for name in (PREDICTIONS, TOKENIZER):
        if not (path.parent / name).is_file():
            raise UserError(f"{path.parent / name}: missing; copy the probe's whole folder")
    target = out.joinpath(*place)
    _require_free(target / PROBE_RECORD, ours, path)
    with atomic_folder(target, point="merged") as temporary:
        for name in (PREDICTIONS, TOKENIZER, PROBE_RECORD):
            shutil.copyfile(path.parent / name, temporary / name)
    ours.probes[place] = (target / PROBE_RECORD, content)
    return None


def _require_free(target: Path, ours: _Ours, path: Path) -> None:
    """Raise UserError if something unreadable, perhaps of a newer kebench, stands where a record would go."""
    if target in ours.damaged:
        raise UserError(f"{path}: {target} is in its place and cannot be read; remove that and merge again")


def _place(path: Path, folder: Path) -> tuple[str, ...]:
    return path.parent.relative_to(folder).parts


_SCORED = ("dev", "test")
_FOLLOWS = ("by_label",)


def contradiction(one: Record, other: Record) -> str:
    """Return the first field in which two records of one identity contradict; "" if they agree."""
    return _difference(_compared(one.model_dump()), _compared(other.model_dump()))


def _compared(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what two records of one identity must share: all but where, when and how long.

    Facts of files neither, and what follows from the predictions: more is kept of both from
    version to version.
    """
    left_out = {"provenance", "splits"}
    scores = {
        split: {k: v for k, v in fields[split].items() if k not in _FOLLOWS}
        for split in _SCORED
        if split in fields
    }
    return {name: value for name, value in {**fields, **scores}.items() if name not in left_out}


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
