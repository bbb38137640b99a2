"""Compares the files of a task with the sizes that its card expects, one finding a split.

A file with the right counts is right; another sha256 is then a note, because line ends, tag types
(`B-DNA`) or white space may differ between distributions that hold the same examples.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from kebench.errors import UserError
from kebench.files import sha256_of
from kebench.kinds.card import SPLITS, Expected, TaskCard
from kebench.kinds.kind import Examples, Read
from kebench.kinds.lines import FETCH_AGAIN, LineError
from kebench.kinds.registry import KINDS
from kebench.kinds.schemes import one_scheme
from kebench.records import SplitFacts
from kebench.scoring.metrics import METRICS
from kebench.tasks.facts import MOST_MARKER_FAULTS, is_converted, remarks, split_facts


class Size(NamedTuple):
    """What was counted in one file: mentions or instances, sentences or instances, tags or labels.

    gold, text, pairing: 16 hex digits each, as `Expected` says.
    """

    units: int
    rows: int
    labels: Counter[str]
    gold: str
    text: str
    pairing: str
    sha256: str


class Finding(NamedTuple):
    """One line of the check. `split` is "all" where the task's whole folder is missing.

    found: None where nothing could be counted; expected: None where the card expects no size.
    facts: what the file holds beside its size; remarks: what of that a reader should know, in words.
    """

    task: str
    split: str
    level: Literal["ok", "note", "error"]
    found: Size | None
    expected: Expected | None
    message: str
    facts: SplitFacts | None = None
    remarks: tuple[str, ...] = ()


def check_data(
    cards: Sequence[TaskCard],
    data: Path,
    *,
    embedded: Callable[[], Path] | None = None,
    allow_missing_markers: bool = False,
) -> list[Finding]:
    """Return a finding for every split of every task. Raises UserError if `data` is no folder.

    embedded: makes the folder of the tasks that need no data of the user's.
    """
    made = {card.name: embedded() for card in cards if embedded and card.access.kind == "embedded"}
    if len(made) < len(cards) and not data.is_dir():
        raise UserError(
            f"{data}: no such folder; name the one that holds the tasks' folders (kebench data check DIR, or "
            "KEBENCH_DATA), or fetch a task with 'kebench data get'"
        )
    findings: list[Finding] = []
    for card in cards:
        folder = made.get(card.name, data)
        findings += check_task(card, folder, allow_missing_markers=allow_missing_markers)
    return findings


def check_task(card: TaskCard, data: Path, *, allow_missing_markers: bool = False) -> list[Finding]:
    """Return a finding for every split, or a single one if the task's folder is missing."""
    try:
        card.find_folder(data)
    except (UserError, OSError) as error:
        return [Finding(card.name, "all", "error", None, None, str(error))]
    paths: dict[str, Path] = {}
    findings: dict[str, Finding] = {}
    for split in SPLITS:
        try:
            paths[split] = card.find_split(data, split)
        except UserError as error:
            findings[split] = Finding(card.name, split, "error", None, card.expected.get(split), str(error))
    findings |= check_files(card, paths, allow_missing_markers=allow_missing_markers)
    return [findings[split] for split in SPLITS]


def check_files(
    card: TaskCard, paths: Mapping[str, Path], *, allow_missing_markers: bool = False
) -> dict[str, Finding]:
    """Return a finding for each of some splits' files; the first thing that is wrong with it is reported.

    allow_missing_markers: texts without the card's entity indicators are counted, however many they are.
    """
    kind = KINDS[card.kind]
    read: dict[str, Read] = {}
    findings: dict[str, Finding] = {}
    for split, path in paths.items():
        try:
            read[split] = kind.read(card, path)
            kind.refuse_beside(card, paths, read, split)
        except UserError as error:
            read.pop(split, None)
            message = explain_unreadable(error, path)
            findings[split] = Finding(card.name, split, "error", None, card.expected.get(split), message)
    schemes = one_scheme({split: one.scheme for split, one in read.items()})
    facts = split_facts(card, {split: one.examples for split, one in read.items()}, schemes=schemes)
    for split, (examples, *_) in read.items():
        level, message, found = _judge(card, split, paths[split], examples)
        are_many = (facts[split].num_marker_faults or 0) > MOST_MARKER_FAULTS * len(examples)
        if kind.marks and are_many and level != "error" and not allow_missing_markers:
            level, faults = "error", kind.marks.faults(card, examples)
            message = (
                f"{paths[split]}: {len(faults)} of {len(examples)} texts do not hold "
                f"{kind.marks.expected(card)} ({faults[0]}); mend the texts or the card's markers, or pass "
                "--allow-missing-markers if they are meant so"
            )
        # What the error says already is no remark beside it.
        unsaid = {"num_marker_faults": None} if level == "error" else {}
        noted = facts[split].model_copy(update=unsaid)
        said = tuple(remarks(card, split, noted, schemes=filter(None, schemes.values())))
        # A file that is not as one would expect, however it stands to the others.
        has_no_gold = facts[split].num_gold == 0
        is_amiss = has_no_gold or facts[split].num_marker_faults or is_converted(facts[split])
        if split == "dev" and has_no_gold and level != "error":
            level = "error"
            message = (
                f"{paths[split]}: no {kind.words.gold}, so neither epoch nor learning rate can be chosen by "
                f"its {METRICS[card.metric].title}; move examples with one there from train"
            )
        elif is_amiss and level != "error":
            level = "note"
            message = "; ".join([message or f"{paths[split]}: right counts", *said])
        expected = card.expected.get(split)
        findings[split] = Finding(card.name, split, level, found, expected, message, facts[split], said)
    return findings


def check_file(card: TaskCard, split: str, path: Path) -> Finding:
    """Count one file and compare it with the card."""
    return check_files(card, {split: path})[split]


def _judge(
    card: TaskCard, split: str, path: Path, examples: Examples
) -> tuple[Literal["ok", "note", "error"], str, Size]:
    """Compare a file's size with the card's; return level, message and size."""
    expected, found = card.expected.get(split), measure(card, path, examples)
    if expected is None:
        return "note", f"{path}: {describe(card, found)}; the card expects no size", found
    if wrong := _difference(card, found, expected):
        cut_off = ""
        is_shorter = found.rows < expected.rows or found.labels.total() < sum(expected.labels.values())
        if is_shorter and found.rows <= expected.rows:
            line = _open_last_line(path)
            cut_off = f"the file looks cut off{f' (last line {line} has no newline)' if line else ''}; "
        remedy = FETCH_AGAIN if card.is_published else "mend the file, or the sizes that the card expects"
        return "error", f"{path}: {wrong}; {cut_off}{remedy}", found
    if expected.sha256 and found.sha256 not in expected.sha256:
        return "note", f"{path}: right counts, another sha256 ({found.sha256[:12]}...)", found
    return "ok", "", found


def measure(card: TaskCard, path: Path, examples: Examples | None = None) -> Size:
    """Count one file, and read it if that has not been done. Raises UserError as the readers do."""
    kind, labels = KINDS[card.kind], Counter[str]()
    examples = kind.read(card, path).examples if examples is None else examples
    for example in examples:
        labels.update(kind.labels_of(example))
    return Size(
        kind.count_units(examples),
        len(examples),
        labels,
        digest_gold(card, examples),
        _digest("".join(word.split()) for example in examples for word in example.words),
        _digest("".join("\t".join(row.words).split()) + "\t" + row.gold for row in examples),
        sha256_of(path),
    )


def digest_gold(card: TaskCard, examples: Examples) -> str:
    """Return 16 hex digits that change when labels move between rows, but not with the rows' order.

    They cover each sentence's tags, or each other example's id and label, and no text: other white space or
    another tokenizer's quotes leave them alone, a shuffled label column does not.
    """
    return _digest(map(KINDS[card.kind].gold_row, examples))


def _digest(rows: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()[:16]


def describe(card: TaskCard, size: Size | Expected) -> str:
    """Return "960 mentions in 940 sentences" or "535 instances"."""
    words = KINDS[card.kind].words
    in_rows = f" in {size.rows} {words.example}s" if words.unit != words.example else ""
    return f"{size.units} {words.unit}s{in_rows}"


def _difference(card: TaskCard, found: Size, expected: Expected) -> str:
    """Return what is wrong with the counts, or ""."""
    words = KINDS[card.kind].words
    if (found.units, found.rows) != (expected.units, expected.rows):
        in_rows = f" in {expected.rows}" if words.unit != words.example else ""
        return f"{describe(card, found)}, expected {expected.units}{in_rows}"
    kind = words.label
    for label in sorted(expected.labels):
        if found.labels[label] != expected.labels[label]:
            return f"{kind} '{label}' {found.labels[label]} times, expected {expected.labels[label]}"
    if expected.gold and found.gold != expected.gold:
        return f"right counts, but {kind}s stand on other rows than in the published file"
    # Another text alone may be another tokenizer's; the very text with other labels is a shuffled column.
    if expected.text and found.text == expected.text and found.pairing != expected.pairing:
        return f"right counts, but its texts stand beside other {kind}s than in the published file"
    return ""


def explain_unreadable(error: UserError, path: Path) -> str:
    """Say that a file is cut off where its unreadable line is a last one without newline."""
    if isinstance(error, LineError) and error.line == _open_last_line(path):
        what = f"{error.what}; the file looks cut off (its last line has no newline)"
        return str(LineError(path, error.line, what, error.remedy))
    return str(error)


def _open_last_line(path: Path) -> int:
    """Return the number of a last line that has no newline, or 0 if the file ends in one."""
    content = path.read_bytes()
    return 0 if content.endswith(b"\n") else content.count(b"\n") + 1
