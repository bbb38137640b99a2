"""ChemProt from the BioCreative VI distribution to BLURB's form.

What BLURB does: the text is `title TAB abstract NEWLINE`, cut into sentences by NLTK's English Punkt
and again at tabs; each pair of a CHEMICAL and a GENE whose spans both lie in one sentence is an
instance; a relation outside the five evaluated groups is `false`, and where a pair has several rows
the last one of the relations file wins. Offsets count characters over title + TAB + abstract.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kebench.errors import UserError
from kebench.kinds.pairs import Pair
from kebench.tasks.convert.sentences import sentence_spans

POSITIVE_LABELS = ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9")

# split: the names of an original file, the organisers' own and the one seen in copies of it
FILES = {
    "train": ("chemprot_training_{kind}.tsv",),
    "dev": ("chemprot_development_{kind}.tsv",),
    "test": ("chemprot_test_{kind}_gs.tsv", "chemprot_test_gs_{kind}.tsv"),
}
COLUMNS = {"abstracts": 3, "entities": 6, "relations": 6}


class Entity(NamedTuple):
    """One annotated entity; its span is half-open, in characters of the document."""

    id: str
    type: str
    char_start: int
    char_end: int

    @property
    def is_chemical(self) -> bool:
        """Whether it is a CHEMICAL; all others are genes (GENE-Y, GENE-N)."""
        return self.type == "CHEMICAL"


def convert_chemprot(folder: Path) -> dict[str, list[Pair]]:
    """Return the pairs of each split from the folder that holds the TSV files, at any depth."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the one with the ChemProt *.tsv files")
    return {split: _convert_split(folder, split) for split in FILES}


def _convert_split(folder: Path, split: str) -> list[Pair]:
    entities: dict[str, list[Entity]] = {}
    for where, row in _read(folder, split, "entities"):
        entities.setdefault(row[0], []).append(_entity(row, where))
    labels = {}
    for _, row in _read(folder, split, "relations"):
        labels[row[0], _argument(row[4]), _argument(row[5])] = row[1]
    pairs: list[Pair] = []
    for where, (document, title, abstract) in _read(folder, split, "abstracts"):
        text = f"{title}\t{abstract}\n"
        found = entities.get(document, [])
        if any(not 0 <= entity.char_start < entity.char_end <= len(text) for entity in found):
            raise UserError(f"{where}: an entity lies outside the text; fetch the original again")
        pairs += _pairs_of(document, text, found, labels)
    return pairs


def read_entity_texts(folder: Path) -> list[str]:
    """Return the text of every entity that stands in a pair of the task, over all splits, each once."""
    texts: list[str] = []
    for split, pairs in convert_chemprot(folder).items():
        paired = {(document, one) for pair in pairs for document, *ids in [pair.id.split(".")] for one in ids}
        rows = (row for _, row in _read(folder, split, "entities"))
        texts += [row[5] for row in rows if (row[0], row[1]) in paired]
    return texts


def _pairs_of(
    document: str, text: str, entities: list[Entity], labels: dict[tuple[str, str, str], str]
) -> Iterator[Pair]:
    for start, end in _sentence_spans(text):
        inside = [entity for entity in entities if start <= entity.char_start and entity.char_end <= end]
        for chemical in (entity for entity in inside if entity.is_chemical):
            for gene in (entity for entity in inside if not entity.is_chemical):
                label = labels.get((document, chemical.id, gene.id), "false")
                # In text order; where both start together the gene comes first, as in BLURB's files.
                first, second = sorted((gene, chemical), key=lambda entity: entity.char_start)
                yield Pair(
                    f"{document}.{first.id}.{second.id}",
                    _mark(text, start, end, first, second),
                    label if label in POSITIVE_LABELS else "false",
                )


def _mark(text: str, start: int, end: int, first: Entity, second: Entity) -> str:
    """Return the sentence with both entities replaced, by one marker if their spans overlap."""
    if first.char_end > second.char_start:
        after = max(first.char_end, second.char_end)
        return f"{text[start : first.char_start]}@CHEM-GENE${text[after:end]}"
    between = text[first.char_end : second.char_start]
    before, after_second = text[start : first.char_start], text[second.char_end : end]
    return f"{before}{_marker(first)}{between}{_marker(second)}{after_second}"


def _marker(entity: Entity) -> str:
    return "@CHEMICAL$" if entity.is_chemical else "@GENE$"


def _sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    for start, end in sentence_spans(text):
        for part in text[start:end].split("\t"):
            yield start, start + len(part)
            start += len(part) + 1


def _entity(row: list[str], where: str) -> Entity:
    if not (row[3].isdecimal() and row[4].isdecimal()):
        raise UserError(f"{where}: offsets '{row[3]}' and '{row[4]}', expected numbers; fetch it again")
    return Entity(row[1], row[2], int(row[3]), int(row[4]))


def _argument(field: str) -> str:
    return field.strip().partition(":")[2]  # Arg1:T19 -> T19


def _read(folder: Path, split: str, kind: str) -> Iterator[tuple[str, list[str]]]:
    """Yield ("file line n", fields) of one original file."""
    path = _find(folder, split, kind)
    try:
        text = path.read_bytes().decode("utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); fetch the original again") from None
    for number, line in enumerate(text.split("\n"), 1):
        row = line.removesuffix("\r").split("\t")
        where = f"{path} line {number}"
        if len(row) != COLUMNS[kind]:
            raise UserError(
                f"{where}: {len(row)} columns, expected {COLUMNS[kind]}; fetch the original again"
            )
        yield where, row


def _find(folder: Path, split: str, kind: str) -> Path:
    names = [name.format(kind=kind) for name in FILES[split]]
    for name in names:
        if found := sorted(folder.rglob(name)):
            return found[0]
    raise UserError(
        f"{folder}: no file {' or '.join(names)}; unpack all of ChemProt there (kebench data get chemprot)"
    )
