"""BIOSSES from the authors' annotation as text to BLURB's form.

What BLURB does: a newline or tab becomes a space, texts are stripped, and the score is the mean of five
annotators. It reads the authors' Word files. `annotation_pairs_scores.tsv` has their text, but plain blanks
in place of ten that do not break a line in Word; those are put back.
"""

from pathlib import Path

from kebench.errors import UserError
from kebench.kinds.similarity import COLUMNS as FORM
from kebench.tasks.convert.originals import decoded, find_original, read_original, require_all, split_ids

FILE = "annotation_pairs_scores.tsv"
COLUMNS = ("sentence_id", "sentence_1", "sentence_2", *(f"annotator_{letter}" for letter in "abcde"))
WHERE = "bigbio/hub/hub_repos/biosses of github.com/bigscience-workshop/biomedical"
# What stands in Word in place of a blank of the text: (pair, sentence from 0), character: what.
_NO_BREAK = "\u00a0"
_IN_WORD: dict[tuple[str, int], dict[int, str]] = {
    ("33", 1): {75: _NO_BREAK},
    ("48", 1): {34: _NO_BREAK},
    ("49", 0): {108: _NO_BREAK},
    ("51", 0): {115: _NO_BREAK},
    ("66", 1): {34: _NO_BREAK},
    ("67", 1): {24: _NO_BREAK},
    ("68", 1): {24: _NO_BREAK},
    ("79", 1): {13: _NO_BREAK, 14: _NO_BREAK, 70: ""},
    ("89", 1): {119: _NO_BREAK},
}


def convert_biosses(source: Path) -> dict[str, bytes]:
    """Return the file of each split from `annotation_pairs_scores.tsv`, or a folder that holds it."""
    given = [source] if source.is_file() else sorted(source.rglob("*"))
    others = [path for path in given if path.suffix.lower() in (".rar", ".doc", ".docx")]
    if others and not any(path.name.startswith(FILE) for path in given):
        what = "an archive of two Word files" if others[0].suffix.lower() == ".rar" else "a Word file"
        raise UserError(
            f"{others[0]}: {what}, which is not read; give the same pairs and scores as text, {FILE} "
            f"({WHERE}), or unpack it and save pairs and scores as such a table"
        )
    path = find_original(source, FILE)
    rows: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(decoded(str(path), read_original(path)).split("\n"), 1):
        fields = line.removesuffix("\r").split("\t")
        where = f"{path} line {number}"
        if number == 1:
            if fields != [*COLUMNS]:
                raise UserError(f"{where}: expected the header {' TAB '.join(COLUMNS)}; fetch it again")
        elif line.strip():
            if len(fields) != len(COLUMNS):
                raise UserError(f"{where}: {len(fields)} columns, expected {len(COLUMNS)}; fetch it again")
            pair, *texts = fields[:3]
            if wrong := [given for given in fields[3:] if given not in "01234" or len(given) != 1]:
                raise UserError(f"{where}: score '{wrong[0]}', expected 0, 1, 2, 3 or 4; fetch it again")
            if pair in rows:
                raise UserError(f"{where}: pair {pair} is there twice; fetch it again")
            as_in_word = (
                "".join(
                    _IN_WORD.get((pair, side), {}).get(place, letter) if letter == " " else letter
                    for place, letter in enumerate(text.strip())
                )
                for side, text in enumerate(texts)
            )
            rows[pair] = (pair, *as_in_word, str(sum(map(int, fields[3:])) / 5))
    splits = split_ids("biosses")
    require_all(path, [pair for pairs in splits.values() for pair in pairs], rows, what="pairs")
    return {
        split: "".join("\t".join(row) + "\n" for row in (FORM, *(rows[pair] for pair in pairs))).encode()
        for split, pairs in splits.items()
    }
