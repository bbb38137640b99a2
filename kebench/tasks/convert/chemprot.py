"""ChemProt from the BioCreative VI distribution to BLURB's form.

What BLURB does: the text is `title TAB abstract NEWLINE`, cut into sentences by NLTK's English Punkt
and again at tabs; each pair of a CHEMICAL and a GENE whose spans both lie in one sentence is an
instance; a relation outside the five evaluated groups is `false`, and where a pair has several rows
the last one of the relations file wins. Offsets count characters over title + TAB + abstract.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kebench.errors import UserError
from kebench.kinds.pairs import Pair
from kebench.tasks.convert.sentences import sentence_spans, with_markers

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
    is_chemical: bool  # all others are genes (GENE-Y, GENE-N)
    char_start: int
    char_end: int


def convert_chemprot(folder: Path) -> dict[str, list[Pair]]:
    """Return the pairs of each split from the folder that holds the TSV files, at any depth."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the one with the ChemProt *.tsv files")
    splits: dict[str, list[Pair]] = {split: [] for split in FILES}
    for split, pairs in splits.items():
        entities: dict[str, list[Entity]] = {}
        for where, (document, name, kind, start, end, _) in _read(folder, split, "entities"):
            if not (start.isdecimal() and end.isdecimal()):
                raise UserError(f"{where}: offsets '{start}' and '{end}', expected numbers; fetch it again")
            entity = Entity(name, kind == "CHEMICAL", int(start), int(end))
            entities.setdefault(document, []).append(entity)
        labels = {}
        for _, (document, label, _, _, chemical, gene) in _read(folder, split, "relations"):
            ends = (argument.strip().partition(":")[2] for argument in (chemical, gene))  # Arg1:T19 -> T19
            labels[document, *ends] = label
        for where, (document, title, abstract) in _read(folder, split, "abstracts"):
            text = f"{title}\t{abstract}\n"
            found = entities.get(document, [])
            if any(not 0 <= entity.char_start < entity.char_end <= len(text) for entity in found):
                raise UserError(f"{where}: an entity lies outside the text; fetch the original again")
            pairs += _pairs_of(document, text, found, labels)
    return splits


def read_entity_texts(folder: Path) -> list[str]:
    """Return the text of every entity that stands in a pair of the task, over all splits, each once."""
    texts: list[str] = []
    for split, pairs in convert_chemprot(folder).items():
        paired = {(document, one) for pair in pairs for document, *ids in [pair.id.split(".")] for one in ids}
        rows = (row for _, row in _read(folder, split, "entities"))
        texts += [row[5] for row in rows if (row[0], row[1]) in paired]
    return texts


def _pairs_of(
    document: str, text: str, entities: list[Entity], labels: dict[tuple[str, ...], str]
) -> Iterator[Pair]:
    spans = [
        (start + part.start(), start + part.end())
        for start, end in sentence_spans(text)
        for part in re.finditer(r"[^\t]+", text[start:end])
    ]
    for start, end in spans:
        inside = [entity for entity in entities if start <= entity.char_start and entity.char_end <= end]
        chemicals = [entity for entity in inside if entity.is_chemical]
        genes = [entity for entity in inside if not entity.is_chemical]
        for chemical, gene in itertools.product(chemicals, genes):
            label = labels.get((document, chemical.id, gene.id), "false")
            # In text order; where both start together the gene comes first, as in BLURB's files.
            pair = sorted((gene, chemical), key=lambda entity: entity.char_start)
            first, second = ((entity.char_start - start, entity.char_end - start) for entity in pair)
            markers = ("@CHEMICAL$", "@GENE$") if pair[0] is chemical else ("@GENE$", "@CHEMICAL$")
            yield Pair(
                f"{document}.{pair[0].id}.{pair[1].id}",
                with_markers(text[start:end], first, second, markers, both="@CHEM-GENE$"),
                label if label in POSITIVE_LABELS else "false",
            )


def _read(folder: Path, split: str, kind: str) -> Iterator[tuple[str, list[str]]]:
    """Yield ("file line n", fields) of one original file."""
    names = [name.format(kind=kind) for name in FILES[split]]
    if (path := next((path for name in names for path in sorted(folder.rglob(name))), None)) is None:
        raise UserError(
            f"{folder}: no file {' or '.join(names)}; unpack all of ChemProt there "
            "(kebench data get chemprot)"
        )
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
