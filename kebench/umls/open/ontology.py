"""Ontologies, in whichever of two formats: the noun that both are read into, and the way in."""

import gzip
import zlib
from collections import Counter
from pathlib import Path
from typing import IO, cast

from kebench.errors import UserError
from kebench.umls.open.ids import prefix_of, source_of
from kebench.umls.open.obo import read_obo
from kebench.umls.open.obo_json import read_obo_json
from kebench.umls.open.terms import Ontology, SourceFile, Vocabulary, describe_noted, source_file


def read_ontology(path: Path, *, skip_faults: bool = False) -> Vocabulary:
    """Return the vocabulary of one ontology file (.obo or .json, also gzipped), seen by its first character.

    skip_faults: count the lines of OBO that state a fact and cannot be read, instead of refusing them.
    Raises UserError with file and line where a file is broken, holds a term twice, or is no ontology.
    """
    try:
        with opened(path) as file:
            is_json = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
            file.seek(0)
            ontology = (
                read_obo_json(file, str(path))
                if is_json
                else read_obo(file, str(path), skip_faults=skip_faults)
            )
        described = source_file(path)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({reason}); check the path") from None
    return ontology_vocabulary(ontology, str(path), (described,))


def ontology_vocabulary(ontology: Ontology, where: str, files: tuple[SourceFile, ...]) -> Vocabulary:
    """Return an ontology as a vocabulary named after the namespace that most of its terms are in."""
    if not ontology.terms:
        left_out = ", ".join(describe_noted(num, kind) for kind, num in ontology.noted.items())
        raise UserError(
            f"{where}: no term in it{f' with a name and an id ({left_out})' if left_out else ''}; "
            "expected an OBO or OBO-JSON ontology"
        )
    counts = Counter(prefix_of(term.id) for term in ontology.terms)
    prefix = max(sorted(counts), key=lambda one: counts[one])
    return Vocabulary(
        name=source_of(prefix),
        title=ontology.name or prefix,
        files=files,
        terms=ontology.terms,
        version=ontology.version,
        licence=ontology.licence,
        noted=ontology.noted,
        examples=ontology.examples,
    )


def opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if is_gzip else path.open("rb")
