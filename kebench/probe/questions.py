"""`QuestionSet`: multiple choice questions with their answers; a folder on disk.

questions.parquet has a row a question of any split, set.json everything else (docs/FORMATS.md).
Those of one split are asked; those of another are shown as examples before them.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow
import pyarrow.parquet
from pydantic import Field

from kebench.cards import Part, read_json_as
from kebench.errors import UserError
from kebench.files import atomic_folder, hash_of, sha256_of, sweep_temporaries_of
from kebench.probe.query_set import MANIFEST, QUERIES, QUESTIONS, QuerySet
from kebench.probe.question_files import LETTERS, SPLITS, Question, Split, question_files, read_questions
from kebench.runtime import begin
from kebench.umls.rrf import InputFile, input_file

QUESTION_SET_VERSION = 1  # raised by every change of the import that can change a question
SHARING = (
    "As the files that it was imported from. MMLU: MIT licence. MedQA: MIT licence for the collection; its "
    "questions come from sites that prepare for examinations."
)
SHOTS_FROM: tuple[Split, ...] = ("dev", "train")  # the first that is there and not asked
SCHEMA = pyarrow.schema(
    [
        ("question_id", pyarrow.int32()),
        ("subset", pyarrow.string()),
        ("split", pyarrow.string()),
        ("source", pyarrow.string()),
        ("question", pyarrow.string()),
        ("options", pyarrow.list_(pyarrow.string())),
        ("answer", pyarrow.int8()),
        ("same_as", pyarrow.int32()),
    ]
)

_log = logging.getLogger(__name__)


class Counted(Part):
    """So many questions. answers: how many have A, B ... for an answer."""

    questions: int
    answers: dict[str, int]


class SplitCounts(Counted):
    """The questions of one split."""

    by_subset: dict[str, Counted]


class QuestionCounts(Part):
    """What a set holds.

    repeated: questions that stand there before, with the same options, whatever their split and subset;
    contradicting: of these, with another answer. duplicate_options: questions two of whose options are one.
    """

    questions: int
    subsets: int
    repeated: int
    contradicting: int
    duplicate_options: int


class QuestionSetManifest(Part):
    """What set.json says; docs/FORMATS.md describes each field."""

    schema_version: Literal[1] = Field(1, alias="schema")
    kind: Literal["questions"]
    name: str
    set_version: int
    content_hash: str
    inputs: tuple[InputFile, ...]
    counts: QuestionCounts
    by_split: dict[Split, SplitCounts]
    sharing: str
    questions_sha256: str
    provenance: dict[str, Any]

    @property
    def hashes(self) -> tuple[str, ...]:
        """The hash by which probes name this set."""
        return (self.content_hash,)


class Asked(NamedTuple):
    """A question of a set. same_as: the first question that is the same, by its id; itself if none is."""

    question_id: int
    question: Question
    same_as: int


@dataclass(frozen=True)
class QuestionSet:
    """The questions of one split of a set on disk; `QuestionSet.open` makes one of a folder."""

    folder: Path
    manifest: QuestionSetManifest
    split: Split

    @classmethod
    def open(cls, folder: Path | str, *, split: Split = "test") -> "QuestionSet":
        """Return a split of the set in a folder. Raises UserError if it is none, not whole, or lacks it."""
        folder = Path(folder)
        manifest = read_question_manifest(folder)
        path = folder / QUESTIONS
        if not path.is_file() or sha256_of(path) != manifest.questions_sha256:
            what = "not the file that set.json describes" if path.is_file() else "missing"
            raise UserError(f"{path}: {what}; copy the set again, or import it again")
        if split not in manifest.by_split:
            held = ", ".join(f"{name} ({of.questions:,})" for name, of in manifest.by_split.items())
            raise UserError(f"{folder}: no questions of split {split}; it has {held}: choose with --split")
        return cls(folder, manifest, split)

    def __len__(self) -> int:
        return self.manifest.by_split[self.split].questions

    @property
    def questions(self) -> list[Asked]:
        """The questions of the split, by their ids."""
        return self._by_split[self.split]

    @property
    def shots(self) -> dict[str, list[Question]]:
        """Examples of each subset, in the order of their files: never a question that is asked in it.

        Nothing of a set that has no other split to take them from.
        """
        asked = {(one.question.subset, one.same_as) for one in self.questions}
        split = next((one for one in SHOTS_FROM if one in self._by_split and one != self.split), None)
        found: dict[str, list[Question]] = {}
        for one in self._by_split[split] if split else ():
            if (one.question.subset, one.same_as) not in asked:
                found.setdefault(one.question.subset, []).append(one.question)
        return found

    @property
    def majority(self) -> tuple[int, ...]:
        """The place of the split's most frequent answer, from 0; several where they are as frequent."""
        answers = self.manifest.by_split[self.split].answers
        return tuple(LETTERS.index(one) for one, of in answers.items() if of == max(answers.values()))

    @cached_property
    def _by_split(self) -> dict[Split, list[Asked]]:
        found: dict[Split, list[Asked]] = {}
        for row in pyarrow.parquet.read_table(self.folder / QUESTIONS).to_pylist():
            question = Question(
                row["subset"],
                row["split"],
                row["source"],
                row["question"],
                tuple(row["options"]),
                row["answer"],
            )
            asked = Asked(row["question_id"], question, row["same_as"])
            found.setdefault(question.split, []).append(asked)
        return found


def open_set(folder: Path) -> QuerySet | QuestionSet:
    """Return the set in a folder, of queries or of questions (those of its first split)."""
    if not (folder / QUESTIONS).is_file():
        return QuerySet.open(folder)
    return QuestionSet.open(folder, split=next(iter(read_question_manifest(folder).by_split)))


def import_questions(paths: Sequence[Path], out: Path) -> QuestionSetManifest:
    """Write a set of questions and return its manifest. paths: files of them, or folders with such files.

    Raises UserError for a file that is none, for a question that contradicts itself, and if `out` holds
    anything else.
    """
    begun = begin("cpu")
    files = question_files(paths)
    inputs = tuple(input_file(path) for path in files)
    questions = read_questions(files)
    if not questions:
        raise UserError(f"{', '.join(map(str, paths))}: no question in it; check the files")
    # Of what is asked, in whichever form the files have it.
    asked = [(one.subset, one.split, one.text, one.options, one.answer) for one in questions]
    wanted = hash_of([QUESTION_SET_VERSION, "questions", asked])
    if out.exists():
        if not (out / QUESTIONS).is_file():
            raise UserError(f"{out}: exists and is no set of questions; choose another --out, or remove it")
        found = read_question_manifest(out)
        if found.content_hash != wanted:
            raise UserError(f"{out}: holds another set of questions; choose another --out, or remove it")
        _log.info("%s: holds this very set of questions already; nothing to do", out)
        return found
    # Case and blanks move nothing in whether two questions are one.
    first_of: dict[tuple[str, ...], int] = {}
    same_as = []
    for number, one in enumerate(questions):
        form = tuple(" ".join(text.split()).casefold() for text in (one.text, *one.options))
        same_as.append(first_of.setdefault(form, number))
    counts = QuestionCounts(
        questions=len(questions),
        subsets=len({one.subset for one in questions}),
        repeated=len(questions) - len(first_of),
        contradicting=sum(
            questions[first].answer != one.answer for first, one in zip(same_as, questions, strict=True)
        ),
        duplicate_options=sum(len(set(one.options)) < len(one.options) for one in questions),
    )
    columns: dict[str, Sequence[object]] = {
        "question_id": range(len(questions)),
        "subset": [one.subset for one in questions],
        "split": [one.split for one in questions],
        "source": [one.source for one in questions],
        "question": [one.text for one in questions],
        "options": [one.options for one in questions],
        "answer": [one.answer for one in questions],
        "same_as": same_as,
    }
    sweep_temporaries_of(out)
    with atomic_folder(out, point="query-set") as folder:
        table = pyarrow.table(columns, schema=SCHEMA)
        pyarrow.parquet.write_table(table, folder / QUESTIONS, compression="zstd")
        manifest = QuestionSetManifest(
            schema=1,
            kind="questions",
            name=out.resolve().name,
            set_version=QUESTION_SET_VERSION,
            content_hash=wanted,
            inputs=inputs,
            counts=counts,
            by_split=_counted(questions),
            sharing=SHARING,
            questions_sha256=sha256_of(folder / QUESTIONS),
            provenance=begun.provenance(("pyarrow",)),
        )
        text = manifest.model_dump_json(indent=1, by_alias=True) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")
    found = read_question_manifest(out)
    if found.content_hash != wanted:
        raise UserError(f"{out}: another process has just made another set there; choose another --out")
    return found


def read_question_manifest(folder: Path) -> QuestionSetManifest:
    """Return what set.json says. Raises UserError if it is missing or of no set of questions."""
    if (folder / QUERIES).is_file():
        raise UserError(f"{folder}: a set of cloze queries; 'kebench probe run' and 'rank' ask it")
    if not (folder / MANIFEST).is_file():
        raise UserError(
            f"{folder}: no set of questions ({MANIFEST} is missing); make one with 'kebench probe import "
            "FILES --out SET'"
        )
    return read_json_as(folder / MANIFEST, QuestionSetManifest, refused="{}; import the set again")


def _counted(questions: Sequence[Question]) -> dict[Split, SplitCounts]:
    """Return how many questions each split has, and each subset of it."""

    def count(some: Sequence[Question]) -> Counted:
        answers = Counter(LETTERS[one.answer] for one in some)
        return Counted(questions=len(some), answers=dict(sorted(answers.items())))

    found: dict[Split, SplitCounts] = {}
    for split in SPLITS:
        of_subset: dict[str, list[Question]] = {}
        for one in questions:
            if one.split == split:
                of_subset.setdefault(one.subset, []).append(one)
        if of_subset:
            together = count([one for some in of_subset.values() for one in some])
            by_subset = {subset: count(some) for subset, some in of_subset.items()}
            found[split] = SplitCounts(**together.model_dump(), by_subset=by_subset)
    return found
