"""What kinds share that decide once a text, or a pair of texts: similarity, classification, QA.

The decision is made at the first piece ([CLS]), or at the mean of all, as the model's card says
(`kebench.finetune.classifier`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kebench.bounded import parse_json
from kebench.kinds.kind import Read
from kebench.kinds.lines import LineError, column_count, numbered_lines, refuse_shared
from kebench.scoring.calibration import WHOLE, Judgement


class Labelled(NamedTuple):
    """An example of one text or two: `label` is a label, or several, or a number. line: where it begins."""

    id: str
    words: tuple[str, ...]
    label: Any
    line: int

    @property
    def both(self) -> tuple[str, str]:
        """The two texts of a pair."""
        first, second = self.words
        return first, second

    @property
    def text(self) -> str:
        """All of its texts, a blank between."""
        return " ".join(self.words)

    @property
    def gold(self) -> str:
        """The label as a file writes it; of several, in the order of the card, with | between."""
        return "|".join(self.label) if isinstance(self.label, tuple) else f"{self.label}"


def read_rows(
    path: Path, *, remedy: str, columns: Sequence[str], header: str = ""
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of a tab-separated file: as many as `columns`, none of them empty, stripped.

    header: the first line that the form prescribes, "" for none. Raises UserError with file and line.
    """
    form = " TAB ".join(columns)
    for number, line in numbered_lines(path, remedy):
        if number == 1 and header:
            if line != header:
                shown = header.replace("\t", " TAB ")
                raise LineError(path, 1, f"header {line[:40]!r}, expected {shown}", remedy)
            continue
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != len(columns):
            raise LineError(path, number, f"{column_count(fields)}, expected {len(columns)} ({form})", remedy)
        if lacking := [name for name, field in zip(columns, fields, strict=True) if not field]:
            raise LineError(path, number, f"no {lacking[0]}", remedy)
        yield number, fields


def read_objects(path: Path, *, remedy: str, fields: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, values) of a file with a JSON object a line, of which `fields` are texts, none empty."""
    for number, line in numbered_lines(path, remedy):
        if not line.strip():
            continue
        try:
            found = parse_json(line)
        except ValueError as error:
            raise LineError(path, number, f"not JSON ({error})", remedy) from None
        if not isinstance(found, dict):
            raise LineError(path, number, f"expected an object with {', '.join(fields)}", remedy)
        for name in fields:
            if not isinstance(found.get(name), str) or not found[name].strip():
                raise LineError(path, number, f"{name} is missing, empty or no text", remedy)
        yield number, [found[name].strip() for name in fields]


def label_names(labels: tuple[str, ...], *, never: str = "") -> tuple[str, ...]:
    """Return the labels of a card. Raises ValueError for one that is there twice or that no field can hold.

    never: characters that stand in none.
    """
    if len({*labels}) < len(labels) or not all(label and label == label.strip() for label in labels):
        raise ValueError("expected labels without blanks around them, each once")
    if any(sign in label for label in labels for sign in (*never, "\t", "\n")):
        raise ValueError(f"expected labels without tabs{f' and without {never}' if never else ''}")
    return labels


def as_read(path: Path, rows: Iterable[Labelled], remedy: str) -> Read:
    """Return the examples of a file. Raises UserError if there is none, or an id is there twice."""
    rows, lines = list(rows), dict[str, int]()
    for row in rows:
        if row.id in lines:
            raise LineError(path, row.line, f"id {row.id[:40]} stands in line {lines[row.id]} too", remedy)
        lines[row.id] = row.line
    if not rows:
        raise LineError(path, 1, "holds no example", remedy)
    return Read(rows)


def refuse_shared_ids(card: Any, paths: Mapping[str, Path], read: Mapping[str, Read], split: str) -> None:
    """Raise LineError if an example of a split has the id of one in a split that was read before."""
    lines = {name: {row.id: row.line for row in one.examples} for name, one in read.items()}
    refuse_shared(lines, paths, split, said="id {} stands in", remedy=card.remedy)


def decision_judgements(part: Mapping[str, Any]) -> Iterator[Judgement]:
    """Yield every example of which one label is predicted."""
    lines = zip(part["gold"], part["predicted"], part["confidence_permille"], strict=True)
    return (Judgement(permille / WHOLE, gold == predicted) for gold, predicted, permille in lines)
