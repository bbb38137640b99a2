"""PubMed's baseline and update files: XML, citation by citation, in constant memory.

The text of a citation is its title, a blank and its abstract; labelled parts of an abstract are written as
PubMed shows them, "METHODS: ...". White space is single. Update files hold new versions of citations and
DeleteCitation, a list of those that are gone. A retracted article is of type Retracted Publication, or names
the note of its retraction (RefType RetractionIn).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from kebench.corpus.passage import Fault, Passage, Read, Removed
from kebench.corpus.readers.stream import elements_of

PUBMED_ROOTS = (
    "PubmedArticleSet", "MedlineCitationSet", "PubmedBookArticleSet", "PubmedArticle", "PubmedBookArticle",
    "MedlineCitation", "BookDocument",
)  # fmt: skip
RETRACTED = "Retracted Publication"
_WHITE = re.compile(r"\s+")
_NO_LABEL = ("", "UNLABELLED", "UNASSIGNED")


def read_pubmed(path: Path) -> Iterator[Read]:
    """Yield a passage a citation, and the citations that are deleted or retracted."""
    number, last = 0, "the beginning"
    for element in elements_of(path, ("MedlineCitation", "BookDocument", "DeleteCitation")):
        if isinstance(element, Fault):
            yield element if element.where else element._replace(where=f"after {last}")
        elif element.tag == "DeleteCitation":
            yield from (Removed(_spelt(pmid), "deleted") for pmid in element.iter("PMID"))
        else:
            number += 1
            read = _citation(element, number)
            last = f"citation {number}"
            if isinstance(read, Passage):
                last += f" (PMID {read.document_id})"
            yield read


def _citation(element: ElementTree.Element, number: int) -> Read:
    pmid = _spelt(element.find("PMID"))
    if not pmid:
        return Fault(f"citation {number}", "no PMID")
    if _is_retracted(element):
        return Removed(pmid, "retracted")
    title = next(element.iter("ArticleTitle"), None)
    abstract = next(element.iter("Abstract"), None)
    parts = [] if abstract is None else [_part(part) for part in abstract.iter("AbstractText")]
    return Passage(pmid, 0, " ".join(part for part in (_spelt(title), *parts) if part))


def _is_retracted(element: ElementTree.Element) -> bool:
    """Say whether an article is of the type, or a note of its retraction is named; some have one only."""
    notes = element.iter("CommentsCorrections")
    return any(_spelt(kind) == RETRACTED for kind in element.iter("PublicationType")) or any(
        note.get("RefType") == "RetractionIn" for note in notes
    )


def _part(part: ElementTree.Element) -> str:
    text, label = _spelt(part), part.get("Label", "")
    return f"{label}: {text}" if text and label.upper() not in _NO_LABEL else text


def _spelt(element: ElementTree.Element | None) -> str:
    """Return the text within an element, of <i> and <sup> too, white space single."""
    return "" if element is None else _WHITE.sub(" ", "".join(element.itertext())).strip()
