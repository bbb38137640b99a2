"""Files of labelled texts: `id TAB text TAB label` (ChemProt, DDI), or GAD's with a header line."""

import re
from pathlib import Path
from typing import NamedTuple

from kebench.errors import UserError
from kebench.kinds.lines import FETCH_AGAIN, MEND, LineError, column_count, numbered_lines

LOOKS_LIKE_A_MARKER = r"@[^\s@$]+\$"
GAD_HEADER = "index\tsentence\tlabel"


class Pair(NamedTuple):
    """One relation example: a text with both entities replaced by markers, and its label."""

    id: str
    text: str
    label: str

    @property
    def words(self) -> tuple[str, ...]:
        """The text, which is not cut into words."""
        return (self.text,)

    @property
    def gold(self) -> str:
        """The label."""
        return self.label


def read_pairs(
    path: Path,
    *,
    labels: tuple[str, ...],
    header: str = "",
    markers: tuple[str, ...] = (),
    remedy: str = FETCH_AGAIN,
) -> list[Pair]:
    """Read a three-column file. Raises UserError with file and line for a wrong column or label.

    header: the first line that the form prescribes (`gad`), or "" for none (`pairs`).
    markers: the entity indicators; a text with none of them is refused.
    remedy: what to do about a damaged file, as the message of an error says it.
    """
    pairs: list[Pair] = []
    if path.stem.startswith("dev") and path.is_file() and not path.read_bytes().strip():
        what = "empty, as BioBERT's dev.tsv is"
        raise UserError(f"{path}: {what}; {_or_fetch('make one of a part of train', remedy)}")
    for number, line in numbered_lines(path, remedy):
        if number == 1 and header and line != header:
            *texts, label = line.split("\t")
            what, how = f"header {line[:40]!r}, expected {header!r}", remedy
            if label.strip() in labels and len(texts) == 1:
                what = "no header, and sentence TAB label alone, as BioBERT's train and dev files have"
                how = _or_fetch(f"begin with {header!r}, and each line with an index", remedy)
            elif label.strip() in labels and len(texts) == 2:
                what, how = "an example where the header should be", f"put {header!r} before it"
            raise LineError(path, 1, what, how)
        if number == 1 and header:
            continue
        if number == 1 and line == GAD_HEADER:
            what = f"the header {GAD_HEADER!r} of BLUE's and BioBERT's files"
            raise LineError(path, 1, what, _or_fetch("remove it, or make a card of format gad", remedy))
        if line.strip():
            pairs.append(_read_pair(line, path, number, labels=labels, markers=markers, remedy=remedy))
    if not pairs:
        raise UserError(f"{path}: holds no example; {remedy}")
    return pairs


def _read_pair(
    line: str, path: Path, number: int, *, labels: tuple[str, ...], markers: tuple[str, ...], remedy: str
) -> Pair:
    fields = line.split("\t")
    if len(fields) == 2 and fields[1].strip() in labels and _has(fields[0], markers):
        what = "sentence TAB label alone, as BioBERT's train and dev files have"
        raise LineError(path, number, what, _or_fetch("begin each line with an id and a tab", remedy))
    if len(fields) != 3:
        is_csv = len(fields) == 1 and line.count(",") > 1
        form = "; it looks like CSV, put tabs between the columns" if is_csv else ""
        what = f"{column_count(fields)}, expected 3 (id TAB text TAB label){form}"
        raise LineError(path, number, what, remedy)
    pair_id, text, label = (field.strip() for field in fields)
    if label not in labels:
        swapped = (
            "; the columns look swapped" if {pair_id, text} & set(labels) and _has(label, markers) else ""
        )
        what = f"label '{label[:20]}', expected one of {', '.join(labels)}{swapped}"
        raise LineError(path, number, what, remedy)
    if markers and not _has(text, markers):
        hint = "; the columns look swapped" if _has(pair_id, markers) else ""
        if others := re.findall(LOOKS_LIKE_A_MARKER, text):
            hint = f", which holds {', '.join(others)}"
        what = f"no {' or '.join(markers)} in the text '{text[:20]}'{hint}"
        raise LineError(path, number, what, remedy)
    return Pair(pair_id, text, label)


def _or_fetch(how: str, remedy: str) -> str:
    """Say how to change a file that is in another layout; where one is published, its examples are others."""
    return how if remedy == MEND else f"fetch this task's own files ('kebench data get' says where), or {how}"


def _has(text: str, markers: tuple[str, ...]) -> bool:
    return any(marker in text for marker in markers)
