"""Names the files of other probes, so that one is refused as what it is and not as a line to mend.

Told by the fields of the first line: BEAR (Wiland et al. 2024), LAMA (Petroni et al. 2019), MedLAMA (Meng et
al. 2022), and our own kinds of file where another one is expected. Archives are told by their first bytes.
"""

import csv
from itertools import islice
from pathlib import Path

from kebench.bounded import parse_json

_MOST_BYTES = 1 << 20  # of a first line
_NOT_YET = (
    "closed answer sets, whose statements are ranked by their likelihood. kebench asks open blanks, and does "
    "not take closed sets yet"
)
_BEAR_FOLDER = f"BEAR (lm-pub-quiz): {_NOT_YET}"
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
_ARCHIVE = "an archive or a compressed file: unpack it first, and name the files in it"
_BEAR_ARCHIVE = f"{_ARCHIVE}. By its name it is of {_BEAR_FOLDER}"
# What a file is whose lines are JSON objects with these fields.
_LINES = (
    ({"obj_labels"}, None),  # BioLAMA's triples, which are ours to read
    ({"sub_id", "sub_label", "obj_id", "obj_label"}, f"a relation of BEAR (lm-pub-quiz): {_NOT_YET}"),
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
_MEDLAMA = (
    "a relation of MedLAMA. To import it write a .csv with the columns query (the relation's line of "
    "prompts.csv, [X] replaced by head_name), answers (tail_names, with | between) and relation (rel)"
)
_IDENTIFIERS = "a set as identifiers only: 'kebench probe build KB --index FILE' makes its queries"
# What a table is that has these columns. One of ours has query and answers.
_TABLES = (
    ({"head_name", "rel", "tail_name"}, _MEDLAMA),
    ({"head_name", "rel", "tail_names"}, _MEDLAMA),
    (
        {"pid", "human_prompt"},
        "MedLAMA's prompts, which have no queries: they belong to the files of its relations",
    ),
    ({"lui", "relation", "order"}, _IDENTIFIERS),
    ({"lui", "relation", "direction"}, _IDENTIFIERS),
)


def recognised(path: Path) -> str | None:
    """Say what a file or folder that is no set of queries looks like; None if it is nothing we know."""
    if path.is_dir():
        return _BEAR_FOLDER if any((path / name).is_file() for name in _OF_BEAR) else None
    try:
        with path.open("rb") as file:
            start = file.read(512)
            if start.startswith(_ARCHIVES) or start[_TAR_AT:].startswith(b"ustar"):
                return _BEAR_ARCHIVE if path.name.lower().startswith("bear") else _ARCHIVE
            file.seek(0)
            lines = (line for line in islice(file, 100) if line.strip())
            first = next(lines, b"")[:_MOST_BYTES].decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    if not first.lstrip().startswith("{"):
        columns = {name.strip() for name in next(csv.reader([first]), [])}
        return next((what for known, what in _TABLES if known <= columns), None)
    if path.name in _OF_BEAR:
        return _OF_BEAR[path.name]
    try:
        line = parse_json(first)
    except ValueError:
        return None
    fields = set(line) if isinstance(line, dict) else set()
    return next((what for known, what in _LINES if known <= fields), None)
