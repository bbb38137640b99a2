"""PubMedQA from the authors' `ori_pqal.json` to LinkBERT's form of BLURB's split.

Question and contexts, stripped and joined by a space, are the input; the conclusion (LONG_ANSWER), which the
answer could be read from, is not looked at.
"""

import json
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from kebench.errors import UserError, first_fault
from kebench.kinds.qa import OBJECT_FIELDS
from kebench.tasks.convert.originals import find_original, read_json_object, require_all, split_ids

FILE = "ori_pqal.json"


class _Question(BaseModel):
    """What is read of a question of the original."""

    question: str = Field(alias="QUESTION")
    contexts: list[str] = Field(alias="CONTEXTS")
    answer: str = Field(alias="final_decision")


def convert_pubmedqa(source: Path) -> dict[str, bytes]:
    """Return the file of each split from `ori_pqal.json` (or .gz), or a folder that holds it."""
    path = find_original(source, FILE)
    questions = read_json_object(path)
    splits = split_ids("pubmedqa")
    require_all(path, [name for names in splits.values() for name in names], questions, what="questions")
    return {
        split: "".join(_line(path, name, questions[name]) + "\n" for name in names).encode()
        for split, names in splits.items()
    }


def _line(path: Path, name: str, given: object) -> str:
    try:
        fields = _Question.model_validate(given)
    except ValidationError as error:
        raise UserError(
            f"{path}: question {name}: {first_fault(error, whole='it')}; fetch the original again"
        ) from None
    passage = " ".join(text.strip() for text in fields.contexts)
    values = (name, fields.question.strip(), passage, fields.answer)
    return json.dumps(dict(zip(OBJECT_FIELDS, values, strict=True)))
