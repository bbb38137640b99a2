"""BioASQ 7b from the organisers' files to BLURB's form: the yes/no questions alone.

A passage is the text of all of a question's gold snippets in their order, joined by a space, repeats and
empty ones too. A newline or tab inside a text becomes a space.
"""

from collections.abc import Iterator
from pathlib import Path

from kebench.errors import UserError
from kebench.tasks.convert.originals import (
    TO_SPACES,
    find_original,
    read_json_object,
    require_all,
    split_ids,
)

TRAINING = ("trainining7b.json", "training7b.json")  # the organisers' spelling, and the other
TEST_BATCHES = tuple(f"7B{number}_golden.json" for number in range(1, 6))


def convert_bioasq(folder: Path) -> dict[str, bytes]:
    """Return the file of each split from the folder that holds the training data and five test batches."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the one with {TRAINING[0]} and {TEST_BATCHES[0]}")
    path = find_original(folder, *TRAINING)
    training = dict(yes_no_questions(path))
    splits = split_ids("bioasq")
    wanted = [name for names in splits.values() for name in names]
    require_all(path, wanted, training, what="yes/no questions")
    contents = {split: "".join(training[name] for name in names) for split, names in splits.items()}
    contents["test"] = convert_test_year(folder)
    return {split: content.encode() for split, content in contents.items()}


def convert_test_year(folder: Path) -> str:
    """Return the test set from the folder that holds the five batches of the test year."""
    batches = [find_original(folder, name) for name in TEST_BATCHES]
    return "".join(line for path in batches for _, line in yes_no_questions(path))


def yes_no_questions(path: Path) -> Iterator[tuple[str, str]]:
    """Yield id and line of each yes/no question of a file."""
    questions = read_json_object(path).get("questions")
    if not isinstance(questions, list):
        raise UserError(f"{path}: no list 'questions'; fetch the original again")
    for number, question in enumerate(questions, 1):
        try:
            if question["type"] != "yesno":
                continue
            name, body, answer = question["id"], question["body"], question["exact_answer"]
            texts = [snippet["text"].translate(TO_SPACES) for snippet in question["snippets"]]
            fields = (name, body.translate(TO_SPACES), " ".join(texts), answer.strip().lower())
            yield name, "\t".join(fields) + "\n"
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}: question {number} is not as BioASQ's are ({error!r}); fetch the original again"
            ) from None
