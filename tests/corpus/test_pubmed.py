"""PubMed's XML: text as PubMed shows it, what is taken back, constant memory."""

import gzip
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from kebench.corpus.passage import Passage, Read, Removed
from kebench.corpus.readers import detect_format, read_passages
from kebench.corpus.readers.pubmed import read_pubmed
from kebench.errors import UserError

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2025//EN" "https://x/pubmed_250101.dtd">
<PubmedArticleSet>
"""


def citation(pmid: int, title: str, abstract: str = "", kinds: str = "") -> str:
    body = (
        f"<Abstract>{abstract}<CopyrightInformation>(c)</CopyrightInformation></Abstract>" if abstract else ""
    )
    return (
        f'<PubmedArticle><MedlineCitation Status="MEDLINE"><PMID Version="1">{pmid}</PMID><Article>'
        f"<ArticleTitle>{title}</ArticleTitle>{body}<PublicationTypeList>{kinds}</PublicationTypeList></Article>"
        f"<CommentsCorrectionsList><CommentsCorrections><PMID>999</PMID></CommentsCorrections>"
        "</CommentsCorrectionsList></MedlineCitation><PubmedData><History/></PubmedData></PubmedArticle>\n"
    )


def retracted(pmid: int) -> str:
    return citation(
        pmid, "Gone.", kinds='<PublicationType UI="D016441">Retracted Publication</PublicationType>'
    )


def deleted(*pmids: int) -> str:
    inside = "".join(f'<PMID Version="1">{pmid}</PMID>' for pmid in pmids)
    return f"<DeleteCitation>{inside}</DeleteCitation>"


def write_pubmed(path: Path, *parts: str, end: str = "</PubmedArticleSet>") -> Path:
    path.write_bytes(gzip.compress((HEAD + "".join(parts) + end).encode()))
    return path


def read(path: Path) -> list[Read]:
    assert detect_format(path) == "pubmed"
    return list(read_pubmed(path))


def test_the_text_is_title_and_abstract_as_pubmed_shows_them(tmp_path: Path) -> None:
    abstract = (
        '<AbstractText Label="METHODS" NlmCategory="METHODS">p &lt; 0.05,\n   CO<sub>2</sub>.</AbstractText>'
        '<AbstractText Label="UNLABELLED">Caf&#233; &amp; <i>TP<b>53</b></i>.</AbstractText>'
    )
    (found,) = read(write_pubmed(tmp_path / "a.xml.gz", citation(1, "The <i>BRCA1</i> gene.", abstract)))
    assert found == Passage("1", 0, "The BRCA1 gene. METHODS: p < 0.05, CO2. Café & TP53.")


def test_a_citation_without_abstract_is_its_title(tmp_path: Path) -> None:
    assert read(write_pubmed(tmp_path / "a.gz", citation(3, "Gout."))) == [Passage("3", 0, "Gout.")]


def test_what_is_deleted_or_retracted_is_taken_back(tmp_path: Path) -> None:
    path = write_pubmed(tmp_path / "a.gz", citation(1, "One."), retracted(2), deleted(3, 4))
    assert read(path)[1:] == [Removed("2", "retracted"), Removed("3", "deleted"), Removed("4", "deleted")]


def test_an_article_that_names_the_note_of_its_retraction_is_taken_back(tmp_path: Path) -> None:
    noted = citation(1, "One.").replace(
        "<CommentsCorrections>", '<CommentsCorrections RefType="RetractionIn">'
    )
    note = citation(2, "Two.").replace(
        "<CommentsCorrections>", '<CommentsCorrections RefType="RetractionOf">'
    )
    found = read(write_pubmed(tmp_path / "a.gz", noted, note))
    assert found == [Removed("1", "retracted"), Passage("2", 0, "Two.")]


def test_invalid_xml_is_one_line_with_its_place(tmp_path: Path) -> None:
    path = write_pubmed(
        tmp_path / "a.gz", citation(1, "One."), "<PubmedArticle>\n<a></b>", citation(2, "Two.")
    )
    with pytest.raises(UserError) as caught:
        list(read_passages(path, "pubmed", on_error="stop", faults=Counter()))
    assert str(caught.value) == (
        f"{path} line 6: not valid XML at column 6 (mismatched tag); nothing after it can be read; "
        "mend it, or leave such records out with --on-error skip"
    )
    faults: Counter[str] = Counter()
    assert len(list(read_passages(path, "pubmed", on_error="skip", faults=faults))) == 1


def test_a_citation_without_pmid_is_one_fault(tmp_path: Path) -> None:
    path = write_pubmed(tmp_path / "a.gz", citation(1, "One.").replace('<PMID Version="1">1</PMID>', ""))
    with pytest.raises(UserError, match="citation 1: no PMID"):
        list(read_passages(path, "pubmed", on_error="stop", faults=Counter()))


def peak_of(path: Path) -> int:
    tracemalloc.start()
    try:
        for _ in read_pubmed(path):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def parts(count: int) -> Iterator[str]:
        return (
            citation(n, "A title.", "<AbstractText>" + "word " * 200 + "</AbstractText>")
            for n in range(count)
        )

    small = write_pubmed(tmp_path / "small.gz", *parts(100))
    large = write_pubmed(tmp_path / "large.gz", *parts(2000))
    assert peak_of(large) < 1.5 * peak_of(small)
