"""Names the files of other probes, so that one is refused as what it is and not as a line to mend.

Told by the fields of the first line: BEAR (Wiland et al. 2024), LAMA (Petroni et al. 2019), MedLAMA (Meng et
al. 2022), and our own kinds of file where another one is expected. Archives are told by their first bytes.
"""

import csv
from itertools import islice
from pathlib import Path
from typing import Any

from kebench.bounded import parse_json

_MOST_BYTES = 1 << 20  # of a first line
_NOT_YET = (
    "closed answer sets, whose statements are ranked by their likelihood. kebench asks open blanks, and does "
    "not take closed sets yet"
)
BEAR = f"a relation of BEAR (lm-pub-quiz): {_NOT_YET}"
BEAR_FOLDER = f"BEAR (lm-pub-quiz): {_NOT_YET}"
_OF_BEAR = {  # the files beside its relations
    "metadata_relations.json": f"BEAR's templates and answer spaces (lm-pub-quiz): {_NOT_YET}",
    "relation_info.json": f"BEAR's domains of relations (lm-pub-quiz): {_NOT_YET}",
    "bear_lite_indices.json": f"BEAR-lite's choice of statements (lm-pub-quiz): {_NOT_YET}",
    "all_entities.json": f"BEAR's entities (lm-pub-quiz): {_NOT_YET}",
}
_ARCHIVES = (
    b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!",
    b"\x28\xb5\x2f\xfd",
)  # fmt: skip
_TAR_AT = 257  # where "ustar" stands
ARCHIVE = "an archive or a compressed file: unpack it first, and name the files in it"
BEAR_ARCHIVE = f"{ARCHIVE}. By its name it is of {BEAR_FOLDER}"
LAMA_FACTS = (
    "facts of LAMA, one obj_label a line. To import them write each line's obj_label as the list obj_labels, "
    "and name LAMA's relations.jsonl with --prompts"
)
LAMA_SENTENCES = (
    "masked sentences of LAMA (ConceptNet, SQuAD, Google-RE). To import them write a .csv with the columns "
    "query (a masked sentence) and answers (its obj_label)"
)
MEDLAMA = (
    "a relation of MedLAMA. To import it write a .csv with the columns query (the relation's line of "
    "prompts.csv, [X] replaced by head_name), answers (tail_names, with | between) and relation (rel)"
)
MEDLAMA_PROMPTS = "MedLAMA's prompts, which have no queries: they belong to the files of its relations"
PROMPTS = "prompts, as BioLAMA and LAMA have them: name the file with --prompts, beside the triples"
IDENTIFIERS = "a set as identifiers only: 'kebench probe build KB --index FILE' makes its queries"


def recognised(path: Path) -> str | None:
    """Say what a file or folder that is no set of queries looks like; None if it is nothing we know."""
    if path.is_dir():
        return BEAR_FOLDER if any((path / name).is_file() for name in _OF_BEAR) else None
    try:
        with path.open("rb") as file:
            start = file.read(512)
            if start.startswith(_ARCHIVES) or start[_TAR_AT:].startswith(b"ustar"):
                return BEAR_ARCHIVE if path.name.lower().startswith("bear") else ARCHIVE
            file.seek(0)
            lines = (line for line in islice(file, 100) if line.strip())
            first = next(lines, b"")[:_MOST_BYTES].decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    if not first.lstrip().startswith("{"):
        return _table(next(csv.reader([first]), []))
    if path.name in _OF_BEAR:
        return _OF_BEAR[path.name]
    try:
        line = parse_json(first)
    except ValueError:
        return None
    return _line(line) if isinstance(line, dict) else None


def _line(line: dict[str, Any]) -> str | None:
    """Say what one JSON object a line is. BioLAMA's lines have obj_labels and are none of these."""
    fields = line.keys()
    if "obj_labels" in fields:
        return None
    if {"sub_id", "sub_label", "obj_id", "obj_label"} <= fields:
        return BEAR
    if {"masked_sentences", "obj_label"} <= fields:
        return LAMA_SENTENCES
    if {"predicate_id", "sub_label", "obj_label"} <= fields:
        return LAMA_FACTS
    return PROMPTS if {"relation", "template"} <= fields else None


def _table(header: list[str]) -> str | None:
    """Say what a table with this header is. One of ours has query and answers."""
    fields = {name.strip() for name in header}
    if {"head_name", "rel"} <= fields and fields & {"tail_name", "tail_names"}:
        return MEDLAMA
    if {"pid", "human_prompt"} <= fields:
        return MEDLAMA_PROMPTS
    return IDENTIFIERS if {"lui", "relation"} <= fields and fields & {"order", "direction"} else None
