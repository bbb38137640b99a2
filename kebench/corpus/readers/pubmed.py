"""PubMed's baseline and update files: XML, citation by citation, in constant memory.

The text of a citation is its title, a blank and its abstract; labelled parts of an abstract are written as
PubMed shows them, "METHODS: ...". White space is single. By NLM's description of the elements:

- ArticleTitle is English; a translated one stands in brackets, which stay. "[Not Available]." and "[In
  process citation]." stand for a title that is not there.
- Abstract is English. OtherAbstract is one by another body or in another language: an English one is taken
  where there is no Abstract. "Abstract available from the publisher." stands for one that is not there.
- A whole book has a BookTitle in place of an ArticleTitle.
- A PMID may have several versions; the highest counts, wherever it stands. Update files hold new versions
  and DeleteCitation (books: DeleteDocument), a list of those that are gone, each with the lower ones.
- A retracted article is of type Retracted Publication, or names the note of its retraction (RefType
  RetractionIn).
"""

import re
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from xml.etree import ElementTree

from kebench.corpus.passage import Fault, Passage, Read, Removed
from kebench.corpus.readers.stream import elements_of

PUBMED_ROOTS = (
    "PubmedArticleSet", "MedlineCitationSet", "PubmedBookArticleSet", "BookDocumentSet", "PubmedArticle",
    "PubmedBookArticle", "MedlineCitation", "BookDocument",
)  # fmt: skip
RETRACTED = "Retracted Publication"
NO_TITLE, TRANSLATED, BOOK_TITLE = "title not available", "title translated", "BookTitle as title"
OTHER_TAKEN, OTHER_LEFT_OUT = "English OtherAbstract as abstract", "OtherAbstract left out"
_DELETED = ("DeleteCitation", "DeleteDocument")
_NO_TITLE = re.compile(r"\[?(?:not available|in[ -]process citation)\]?\.?", re.IGNORECASE)
_NO_ABSTRACT = re.compile(r"abstract available from the publisher\.?", re.IGNORECASE)
_WHITE = re.compile(r"\s+")
_NO_LABEL = ("", "UNLABELLED", "UNASSIGNED")


def read_pubmed(path: Path, *, keep_retracted: bool = False) -> Iterator[Read]:
    """Yield a passage a citation, and the citations that are deleted, retracted or have no text."""
    number, last = 0, "the beginning"
    for element in elements_of(path, ("MedlineCitation", "BookDocument", *_DELETED)):
        if isinstance(element, Fault):
            yield element if element.where else element._replace(where=f"after {last}")
        elif element.tag in _DELETED:
            for pmid in element.iter("PMID"):
                version = _version(pmid)
                if version is None:
                    yield _no_version(f"{element.tag} after {last}", pmid)
                else:
                    yield Removed(_spelt(pmid), "deleted", version)
        else:
            number += 1
            read = _citation(element, number, keep_retracted=keep_retracted)
            last = f"citation {number}"
            if isinstance(read, Passage):
                last += f" (PMID {read.document_id})"
            yield read


def _citation(element: ElementTree.Element, number: int, *, keep_retracted: bool) -> Read:
    written = element.find("PMID")
    pmid = _spelt(written)
    if written is None or not pmid:
        return Fault(f"citation {number}", "no PMID")
    version = _version(written)
    if version is None:
        return _no_version(f"citation {number}", written)
    # Some have the type alone, and some the note of the retraction.
    types = map(_spelt, element.iter("PublicationType"))
    is_noted = any(note.get("RefType") == "RetractionIn" for note in element.iter("CommentsCorrections"))
    if not keep_retracted and (is_noted or RETRACTED in types):
        return Removed(pmid, "retracted", version)
    notes: list[str] = []
    title = _spelt(next(element.iter("ArticleTitle"), None))
    if not title and (of_book := _spelt(element.find("Book/BookTitle"))):
        title, notes = of_book, [BOOK_TITLE]
    elif not title or _NO_TITLE.fullmatch(title):
        title, notes = "", [NO_TITLE]
    elif title.startswith("["):  # a translated one, if the bracket is closed at its end, not before
        signs = title.removesuffix(".")
        depths = accumulate({"[": 1, "]": -1}.get(sign, 0) for sign in signs)
        if next((place for place, depth in enumerate(depths) if not depth), 0) == len(signs) - 1:
            notes = [TRANSLATED]
    # Each other abstract is noted, whether it is taken or not.
    abstract = _parts(next(element.iter("Abstract"), None))
    for other in element.iter("OtherAbstract"):
        text = _parts(other) if other.get("Language", "eng").lower() in ("eng", "en") else ""
        is_taken = not abstract and text and not _NO_ABSTRACT.fullmatch(text)
        abstract = text if is_taken else abstract
        notes.append(OTHER_TAKEN if is_taken else OTHER_LEFT_OUT)
    if text := " ".join(filter(None, (title, abstract))):
        return Passage(pmid, 0, text, version=version, notes=tuple(notes))
    return Removed(pmid, "without text", version, tuple(notes))


def _version(pmid: ElementTree.Element) -> int | None:
    """Return the version that a PMID states, 1 if none; None if that is no number."""
    written = pmid.get("Version") or "1"
    return int(written) if re.fullmatch("[0-9]{1,9}", written) else None


def _no_version(where: str, pmid: ElementTree.Element) -> Fault:
    return Fault(where, f"PMID {_spelt(pmid)}: Version {pmid.get('Version', '')[:20]!r} is no number")


def _parts(abstract: ElementTree.Element | None) -> str:
    parts = []
    for part in [] if abstract is None else abstract.iter("AbstractText"):
        text, label = _spelt(part), part.get("Label", "")
        parts.append(f"{label}: {text}" if text and label.upper() not in _NO_LABEL else text)
    return " ".join(filter(None, parts))


def _spelt(element: ElementTree.Element | None) -> str:
    """Return the text within an element, of <i> and <sup> too, white space single."""
    return "" if element is None else _WHITE.sub(" ", "".join(element.itertext())).strip()
