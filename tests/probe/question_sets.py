"""Small files of multiple choice questions, in the forms in which MMLU and MedQA come."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kebench.probe.questions import QuestionSet, import_questions

Row = tuple[str, Sequence[str], str]  # question, options, letter
ANATOMY: tuple[Row, ...] = (
    ("Where is the heart?", ("In the chest", "In the head", "In the leg", "In the hand"), "A"),
    ("Which of these is a bone?", ("Liver", "Femur", "Kidney", "Spleen"), "B"),
    ("The pleura", ("feels nothing.", "is bone.", "lines the lung,\nand the chest.", "is an organ."), "C"),
    ("How many lungs has a man?", ("1", "2", "3", "4"), "B"),
)
GENETICS: tuple[Row, ...] = (
    ("Which base is not in DNA?", ("Adenine", "Uracil", "Guanine", "Thymine"), "B"),
    ("A gene is made of", ("DNA", "a protein", "sugar", "fat"), "A"),
    ("How many chromosomes has a cell?", ("23", "46", "92", "12"), "B"),
)
EXAMPLES: tuple[Row, ...] = (
    ("Is aspirin a drug?", ("Yes", "No", "Never", "None of these"), "A"),
    ("What is hypertension?", ("A drug", "High blood pressure", "A bone", "A gene"), "B"),
    ("What is insulin?", ("A disease", "A bone", "A hormone", "A cell"), "C"),
)


def write_mmlu(path: Path, rows: Sequence[Row], *, header: bool = False) -> Path:
    """MMLU's CSV: letters without a header, or digits with one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if header:
            writer.writerow(["question", *(f"choice{place}" for place in range(4)), "answer"])
        for text, options, letter in rows:
            writer.writerow([text, *options, "ABCD".index(letter) if header else letter])
    return path


def mmlu_folder(folder: Path) -> Path:
    """Two subsets with three examples each, those with a header, as MMLU's folders are."""
    for subset, rows in {"anatomy": ANATOMY, "medical_genetics": GENETICS}.items():
        write_mmlu(folder / "test" / f"{subset}_test.csv", rows)
        write_mmlu(folder / "dev" / f"{subset}_dev.csv", EXAMPLES, header=True)
    (folder / "README.txt").write_text("Questions.")
    return folder


def medqa_line(row: Row, **changes: Any) -> str:
    """A line of MedQA as its authors have it."""
    text, options, letter = row
    held = dict(zip("ABCDE", options, strict=False))
    line = {"question": text, "answer": held[letter], "options": held, "meta_info": "step1"}
    return json.dumps(line | {"answer_idx": letter} | changes)


def linkbert_line(row: Row, number: int = 0, split: str = "test", **changes: Any) -> str:
    """A line of MedQA as LinkBERT has it."""
    text, options, letter = row
    endings = {f"ending{place}": option for place, option in enumerate(options)}
    line = {
        "id": f"{split}-{number:05}",
        "sent1": text,
        "sent2": "",
        **endings,
        "label": "ABCD".index(letter),
    }
    return json.dumps(line | changes)


def question_set(folder: Path, paths: Sequence[Path], name: str = "set") -> QuestionSet:
    """Import files and open what they make."""
    import_questions(paths, folder / name)
    return QuestionSet.open(folder / name)
