"""Reads multiple choice questions: MMLU's tables, and MedQA in the form of its authors or of LinkBERT.

MMLU (Hendrycks et al. 2021): CSV of question, options and the answer's letter, without a header; copies of it
have one (question,choice0,choice1,choice2,choice3,answer), and digits for letters. MedQA (Jin et al. 2021): a
JSON object a line with question, options ({"A": ...}) and answer_idx. LinkBERT (Yasunaga et al. 2022) gives
it as sent1, ending0 ... and label. Any of them may be gzipped.

The form is told by what a file holds. No file holds its split, and MMLU's hold no subset: these stand in the
names (anatomy_test.csv, dev.json.gz). What contradicts itself is refused with file and line.
"""

import csv
import gzip
import io
import re
import string
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from kebench.bounded import json_objects, parse_json, read_within, unpack_gzip
from kebench.errors import UserError

Split = Literal["train", "dev", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
LETTERS = string.ascii_uppercase
NO_SUBSET = "questions"  # of files that know no subsets
Form = Literal["mmlu", "linkbert", "medqa"]
_SPLIT_OF: dict[str, Split] = {**{name: name for name in SPLITS}, "validation": "val"}
_FIELDS: dict[Form, set[str]] = {  # of the first line
    "linkbert": {"sent1", "ending0", "label"},
    "medqa": {"question", "options", "answer_idx"},
}
_SUFFIXES = (".csv", ".json", ".jsonl")
_GZIP = b"\x1f\x8b"
_MOST_BYTES = 128 << 20  # unpacked; ours: MedQA's training questions have 15 MB
_FIRST_BYTES = 1 << 20  # of a file whose form is looked for
_REMEDY = "mend this line"


class Question(NamedTuple):
    """A question. source: where it comes from, for people. answer: the place of the right option."""

    subset: str
    split: Split
    source: str
    text: str
    options: tuple[str, ...]
    answer: int


def question_form(path: Path) -> Form | None:
    """Say in which form a file holds questions, by its first line; None if in none that we read."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
        with gzip.open(path) if packed else path.open("rb") as file:
            text = file.read(_FIRST_BYTES).decode("utf-8-sig", errors="replace").lstrip()
    except (OSError, EOFError, zlib.error):
        return None
    if text.startswith("{"):
        try:
            fields = parse_json(text.split("\n", 1)[0])
        except ValueError:
            return None
        return next((form for form, known in _FIELDS.items() if known <= set(fields)), None)
    try:
        row = next(csv.reader(io.StringIO(text, newline="")), [])
    except csv.Error:
        return None
    is_row = len(row) >= 4 and re.fullmatch(r"\s*[A-Z]\s*", row[-1]) is not None
    return "mmlu" if is_row or _is_header(row) else None


def question_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files of questions among some, and in folders; none if no path is or has one.

    Raises UserError where a path has some and another, or a table in such a folder, is none: a subset would
    be lost without a word.
    """
    found: list[Path] = []
    others: list[Path] = []
    for path in paths:
        inside = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        questions = [one for one in inside if question_form(one)]
        tables = [one for one in inside if one.name.removesuffix(".gz").endswith(_SUFFIXES)]
        found += questions
        others += sorted(set(tables) - set(questions)) if path.is_dir() else set(inside) - set(questions)
        others += [path] if path.is_dir() and not questions else []
    if found and others:
        raise UserError(
            f"{others[0]}: no questions in a form that is known ({found[0].name} has some); mend its first "
            "line, or name the files that are meant"
        )
    return found


def read_questions(paths: Sequence[Path]) -> list[Question]:
    """Read files of questions, in the order of split, subset, file name and line.

    Raises UserError with file and line for what is no question, or contradicts itself.
    """
    readers = {"mmlu": _read_mmlu, "linkbert": _read_linkbert, "medqa": _read_medqa}
    questions: list[Question] = []
    for path in sorted(paths, key=lambda path: (path.name, str(path))):
        form = question_form(path)
        assert form, "files of questions were looked for"
        subset, split = _subset_and_split(path)
        try:
            content = read_within(path)
            if content.startswith(_GZIP):
                content = unpack_gzip(content, _MOST_BYTES)
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from None
        except ValueError as error:
            raise UserError(f"{path}: {error}; fetch it again") from None
        for line, source, asked, options, answer in readers[form](path, text, split):
            where = f"{path} line {line}"
            asked, *options = (_checked(where, one) for one in (asked, *options))
            questions.append(
                Question(
                    subset if form == "mmlu" else NO_SUBSET,
                    split,
                    source or f"{path.name} line {line}",
                    asked,
                    tuple(options),
                    answer,
                )
            )
    return sorted(questions, key=lambda one: (SPLITS.index(one.split), one.subset))


def _subset_and_split(path: Path) -> tuple[str, Split]:
    """Return what a file's name says: anatomy_test.csv, test.jsonl."""
    stem = re.sub(r"(\.csv|\.jsonl?)?(\.gz)?$", "", path.name)
    named = re.fullmatch(rf"(?:(.+)[_-])?({'|'.join(_SPLIT_OF)})", stem)
    if named is None:
        raise UserError(
            f"{path}: its name tells no split ({', '.join(SPLITS)}); name it as anatomy_test.csv, test.jsonl"
        )
    return named[1] or NO_SUBSET, _SPLIT_OF[named[2]]


# what a reader yields: number of the line, source, question, options, place of the answer
_Row = tuple[int, str, str, list[str], int]


def _read_mmlu(path: Path, text: str, split: Split) -> Iterator[_Row]:
    """Yield the rows of a table. A digit is an answer only where a header says what it numbers."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    numbers: list[str] = []  # what the header calls the options
    kind = num_options = None
    line, is_first = 1, True
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise UserError(f"{path} line {line}: not CSV ({error}); {_REMEDY}") from None
        if row is None:
            return
        where, is_header = f"{path} line {line}", is_first and _is_header(row)
        if is_header:
            numbers, num_options = _numbers_of(where, row[1:-1]), len(row) - 2
        elif row:
            if num_options not in (None, len(row) - 2):
                raise UserError(f"{where}: {len(row)} columns, expected {num_options + 2}; {_REMEDY}")
            num_options = len(row) - 2
            letters = list(LETTERS[:num_options])
            label = row[-1].strip()
            known = numbers if label.isdigit() else letters
            if label not in known:
                expected = f"{letters[0]} to {letters[-1]}"
                if label.isdigit() and not numbers:
                    expected += " where no header (question,choice0, ... ,answer) numbers the options"
                elif numbers and numbers != letters:
                    expected = f"{numbers[0]} to {numbers[-1]} or {expected}"
                raise UserError(f"{where}: the answer is '{label}', expected {expected}; {_REMEDY}")
            if kind not in (None, label.isdigit()):
                above = "digits" if kind else "letters"
                raise UserError(f"{where}: the answer is '{label}', those above are {above}; {_REMEDY}")
            kind = label.isdigit()
            yield line, "", row[0], row[1:-1], known.index(label)
        line, is_first = reader.line_num + 1, False


def _is_header(row: Sequence[str]) -> bool:
    names = [name.strip().lower() for name in row]
    return len(names) >= 4 and names[0] == "question" and names[-1] in ("answer", "label", "target")


def _numbers_of(where: str, names: Sequence[str]) -> list[str]:
    """Return how the columns of options are numbered: from 0, from 1, or by letters."""
    found = [re.fullmatch(r"(?:choice|option|answer)?[ _]?(\d+|[A-Za-z])", name.strip()) for name in names]
    numbers = [one[1].upper() if one else "" for one in found]
    places = range(len(names))
    if numbers not in ([f"{place}" for place in places], [f"{place + 1}" for place in places],
                       list(LETTERS[: len(names)])):  # fmt: skip
        raise UserError(
            f"{where}: columns of options are {', '.join(names)}, expected choice0, choice1 ... or A, B ...; "
            "rename them"
        )
    return numbers


def _read_linkbert(path: Path, text: str, split: Split) -> Iterator[_Row]:
    for number, line in json_objects(path, text.split("\n")):
        where = f"{path} line {number}"
        places = [name for name in line if re.fullmatch(r"ending\d+", name)]
        if sorted(places) != sorted(f"ending{place}" for place in range(len(places))):
            raise UserError(f"{where}: options {', '.join(places)}, expected ending0, ending1 ...; {_REMEDY}")
        if line.get("sent2"):
            raise UserError(
                f"{where}: sent2 holds text, and nobody said whose it is: questions are sent1; {_REMEDY}"
            )
        label = line.get("label")
        if type(label) is not int or not 0 <= label < len(places):
            raise UserError(f"{where}: label {label!r}, expected 0 to {len(places) - 1}; {_REMEDY}")
        own = line.get("id", "")
        stated = re.fullmatch(rf"({'|'.join(_SPLIT_OF)})-\d+", own) if isinstance(own, str) else None
        if stated and _SPLIT_OF[stated[1]] != split:
            raise UserError(f"{where}: id '{own}' in a file of split {split}; rename the file")
        options = [line[f"ending{place}"] for place in range(len(places))]
        yield number, own if stated else "", line.get("sent1", ""), options, label


def _read_medqa(path: Path, text: str, split: Split) -> Iterator[_Row]:
    for number, line in json_objects(path, text.split("\n")):
        where = f"{path} line {number}"
        held = line.get("options")
        letters = sorted(held) if isinstance(held, dict) else []
        if not isinstance(held, dict) or letters != list(LETTERS[: len(letters)]):
            raise UserError(f"{where}: options are no object of A, B ...; {_REMEDY}")
        label = line.get("answer_idx")
        if label not in letters:
            said = f"{letters[0]} to {letters[-1]}" if letters else "one of its options"
            raise UserError(f"{where}: answer_idx {label!r}, expected {said}; {_REMEDY}")
        if "answer" in line and line["answer"] != held[label]:
            raise UserError(
                f"{where}: answer {line['answer']!r} is not option {label}, {held[label]!r}; {_REMEDY}"
            )
        options = [held[letter] for letter in letters]
        yield number, "", line.get("question", ""), options, letters.index(label)


def _checked(where: str, given: Any) -> str:
    """Return a question or an option without blanks around it."""
    if not isinstance(given, str) or not given.strip():
        raise UserError(f"{where}: a question or an option is empty, or no text; {_REMEDY}")
    text: str = given.replace("\r\n", "\n").strip()
    if found := next((one for one in text if unicodedata.category(one) == "Cc" and one not in "\n\t"), None):
        raise UserError(f"{where}: holds {found!r}, which is no text; {_REMEDY}")
    return text
