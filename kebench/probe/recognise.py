"""Names the files of other probes, so that one is refused as what it is and not as a line to mend.

Told by the fields of the first line: BEAR (Wiland et al. 2024), LAMA (Petroni et al. 2019), MedLAMA (Meng et
al. 2022), and our own kinds of file where another one is expected. Archives are told by their first bytes.
"""

import csv
from itertools import islice
from pathlib import Path
from typing import Literal

from kebench.bounded import parse_json
from kebench.probe.question_files import question_form

_MOST_BYTES = 1 << 20  # of a first line
_HOW = "'kebench probe import {} --out SET' makes a set of it"
BEAR_METADATA = "metadata_relations.json"
_BEAR_FOLDER = f"BEAR (lm-pub-quiz): {_HOW.format('FOLDER')}"
_OF_BEAR = {  # the files beside its relations
    BEAR_METADATA: f"BEAR's templates and answer spaces (lm-pub-quiz): {_HOW.format('FOLDER')} and its files",
    "relation_info.json": "BEAR's domains of relations (lm-pub-quiz), which no set needs",
    "bear_lite_indices.json": "BEAR-lite's choice of statements (lm-pub-quiz), which no set needs",
    "all_entities.json": "BEAR's entities (lm-pub-quiz), which no set needs",
}
_ARCHIVES = (
    b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!",
    b"\x28\xb5\x2f\xfd",
)  # fmt: skip
_TAR_AT = 257  # where "ustar" stands
_ARCHIVE = "an archive or a compressed file: unpack it first, and name the files in it"
_BEAR_ARCHIVE = f"{_ARCHIVE}, or its folder. By its name it is of {_BEAR_FOLDER}"
BEAR_FIELDS = {"sub_id", "sub_label", "obj_id", "obj_label"}
MEDLAMA_COLUMNS = {"head_name", "rel"}
MEDLAMA_PROMPTS = {"pid", "human_prompt"}
# What a file is whose lines are JSON objects with these fields.
_LINES = (
    ({"obj_labels"}, None),  # BioLAMA's triples, which are ours to read
    (BEAR_FIELDS, f"a relation of BEAR (lm-pub-quiz): {_HOW.format('FILE')}"),
    (
        {"masked_sentences", "obj_label"},
        "masked sentences of LAMA (ConceptNet, SQuAD, Google-RE). To import them write a .csv with the "
        "columns query (a masked sentence) and answers (its obj_label)",
    ),
    (
        {"predicate_id", "sub_label", "obj_label"},
        "facts of LAMA, one obj_label a line. To import them write each line's obj_label as the list "
        "obj_labels, and name LAMA's relations.jsonl with --prompts",
    ),
    (
        {"relation", "template"},
        "prompts, as BioLAMA and LAMA have them: name the file with --prompts, beside the triples",
    ),
)
_MEDLAMA = f"a relation of MedLAMA: {_HOW.format('FILE --prompts prompts.csv')}"
_IDENTIFIERS = "a set as identifiers only: 'kebench probe build KB --index FILE' makes its queries"
# What a table is that has these columns. One of ours has query and answers.
_TABLES = (
    (MEDLAMA_COLUMNS | {"tail_name"}, _MEDLAMA),
    (MEDLAMA_COLUMNS | {"tail_names"}, _MEDLAMA),
    (
        MEDLAMA_PROMPTS,
        "MedLAMA's prompts, which have no queries: name the file with --prompts, beside its relations",
    ),
    ({"lui", "relation", "order"}, _IDENTIFIERS),
    ({"lui", "relation", "direction"}, _IDENTIFIERS),
)


def form_of(path: Path) -> Literal["bear", "medlama"] | None:
    """Say which benchmark a file of a relation, or a folder, is of; None if it is of none that we read."""
    if path.is_dir():
        if (path / BEAR_METADATA).is_file():
            return "bear"
        return "medlama" if medlama_files(path) else None
    fields = _first_fields(path)
    if fields >= BEAR_FIELDS:
        return "bear"
    is_medlama = fields >= MEDLAMA_COLUMNS and fields & {"tail_name", "tail_names"}
    return "medlama" if is_medlama else None


def medlama_files(folder: Path) -> list[Path]:
    """Return MedLAMA's relations in a folder and those in it; hard parts only if there is nothing else."""
    tables = sorted([*folder.glob("*.csv"), *folder.glob("*/*.csv")])
    files = [path for path in tables if form_of(path) == "medlama"]
    return [path for path in files if not path.stem.endswith("_hard")] or files


def _first_fields(path: Path) -> set[str]:
    """Return the columns of a table, or the fields of a first line that is a JSON object; none of others."""
    first = _first_line(path)
    if first is None:
        return set()
    if not first.lstrip().startswith("{"):
        return {name.strip() for name in next(csv.reader([first]), [])}
    try:
        line = parse_json(first)
    except ValueError:
        return set()
    return set(line) if isinstance(line, dict) else set()


def _first_line(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            lines = (line for line in islice(file, 100) if line.strip())
            return next(lines, b"")[:_MOST_BYTES].decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None


def recognised(path: Path) -> str | None:
    """Say what a file or folder that is no set of queries looks like; None if it is nothing we know."""
    if path.is_dir():
        if any((path / name).is_file() for name in _OF_BEAR):
            return _BEAR_FOLDER
        is_medlama = form_of(path) == "medlama"
        return f"MedLAMA: {_HOW.format('FOLDER')}" if is_medlama else None
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        return None
    if question_form(path):
        return f"multiple choice questions (MMLU, MedQA): {_HOW.format('FILE')}"
    if start.startswith(_ARCHIVES) or start[_TAR_AT:].startswith(b"ustar"):
        return _BEAR_ARCHIVE if path.name.lower().startswith("bear") else _ARCHIVE
    first = _first_line(path)
    if first is not None and first.lstrip().startswith("{") and path.name in _OF_BEAR:
        return _OF_BEAR[path.name]
    fields = _first_fields(path)
    kinds = _LINES if first is not None and first.lstrip().startswith("{") else _TABLES
    return next((what for known, what in kinds if known <= fields), None)
