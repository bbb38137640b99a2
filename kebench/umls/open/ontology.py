"""Ontologies, in whichever of two formats: the noun that both are read into, and the way in."""

import gzip
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from kebench.errors import UserError
from kebench.umls.open.ids import prefix_of, source_of
from kebench.umls.open.obo import read_obo
from kebench.umls.open.obo_json import read_obo_json
from kebench.umls.open.terms import Ontology, SourceFile, Vocabulary, source_file


def read_ontologies(paths: Sequence[Path]) -> list[Vocabulary]:
    """Return one vocabulary for each ontology file (.obo or .json, also gzipped).

    Raises UserError with file and line where a file is broken, holds a term twice, or is no ontology.
    """
    return [read_ontology(path) for path in paths]


def read_ontology(path: Path) -> Vocabulary:
    """Return the vocabulary of one ontology file; its format is seen from its first character."""
    try:
        with opened(path) as file:
            is_json = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
            file.seek(0)
            ontology = read_obo_json(file, str(path)) if is_json else read_obo(file, str(path))
        described = source_file(path)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({reason}); check the path") from None
    return ontology_vocabulary(ontology, str(path), (described,))


def ontology_vocabulary(ontology: Ontology, where: str, files: tuple[SourceFile, ...]) -> Vocabulary:
    """Return an ontology as a vocabulary named after the namespace that most of its terms are in."""
    if not ontology.terms:
        raise UserError(f"{where}: no term in it; expected an OBO or OBO-JSON ontology")
    counts = Counter(prefix_of(term.id) for term in ontology.terms)
    prefix = max(sorted(counts), key=lambda one: counts[one])
    return Vocabulary(
        name=source_of(prefix),
        title=ontology.name or prefix,
        files=files,
        terms=ontology.terms,
        version=ontology.version,
        licence=ontology.licence,
    )


def opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if is_gzip else path.open("rb")
