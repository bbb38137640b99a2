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


@pytest.mark.parametrize("title", ["[Not Available].", "[Not available]", "[In process citation].", ""])
def test_a_title_that_is_not_there_is_no_text(title: str, tmp_path: Path) -> None:
    abstract = "<AbstractText>Gout hurts.</AbstractText>"
    path = write_pubmed(tmp_path / "a.gz", citation(1, title, abstract), citation(2, title))
    assert read(path) == [
        Passage("1", 0, "Gout hurts.", notes=("title not available",)),
        Removed("2", "without text", notes=("title not available",)),
    ]


def test_a_translated_title_keeps_its_brackets_and_is_noted(tmp_path: Path) -> None:
    path = write_pubmed(
        tmp_path / "a.gz", citation(1, "[Gout in old age]."), citation(2, "[3H]thymidine in gout [review].")
    )
    assert read(path) == [
        Passage("1", 0, "[Gout in old age].", notes=("title translated",)),
        Passage("2", 0, "[3H]thymidine in gout [review]."),
    ]


@pytest.mark.parametrize(
    ("abstract", "others", "text", "note"),
    [
        ("", '<OtherAbstract Type="PIP"{}>Of another body.{}', "Of another body.", "taken"),
        ("", '<OtherAbstract Type="KIE" Language="eng"{}>Of another body.{}', "Of another body.", "taken"),
        ("", '<OtherAbstract Type="Publisher" Language="fre"{}>La goutte.{}', "", "left out"),
        ("", '<OtherAbstract Type="Publisher"{}>Abstract available from the publisher.{}', "", "left out"),
        ("Its own.", '<OtherAbstract Type="plain-language-summary"{}>In short.{}', "Its own.", "left out"),
    ],
)
def test_an_english_other_abstract_stands_for_one_that_is_missing(
    abstract: str, others: str, text: str, note: str, tmp_path: Path
) -> None:
    other = others.format("><AbstractText", "</AbstractText></OtherAbstract>")
    written = citation(1, "Gout.", f"<AbstractText>{abstract}</AbstractText>" if abstract else "")
    written = written.replace("</MedlineCitation>", f"{other}</MedlineCitation>")
    said = {"taken": "English OtherAbstract as abstract", "left out": "OtherAbstract left out"}[note]
    (found,) = read(write_pubmed(tmp_path / "a.gz", written))
    assert found == Passage("1", 0, " ".join(filter(None, ("Gout.", text))), notes=(said,))


def book(pmid: int, chapter: str, *, title: str = "LiverTox") -> str:
    return (
        f'<PubmedBookArticle><BookDocument><PMID Version="1">{pmid}</PMID><Book><Publisher/>'
        f"<BookTitle>{title}</BookTitle></Book>{chapter}<Abstract><AbstractText>Gout drugs.</AbstractText>"
        "</Abstract></BookDocument></PubmedBookArticle>\n"
    )


def test_a_book_has_its_own_title_and_a_chapter_that_of_the_chapter(tmp_path: Path) -> None:
    chapter = '<ArticleTitle book="x" part="y">Allopurinol</ArticleTitle>'
    path = write_pubmed(tmp_path / "a.gz", book(1, ""), book(2, chapter))
    assert read(path) == [
        Passage("1", 0, "LiverTox Gout drugs.", notes=("BookTitle as title",)),
        Passage("2", 0, "Allopurinol Gout drugs."),
    ]


def test_deleted_books_and_versions_are_read(tmp_path: Path) -> None:
    second = citation(1, "One, again.").replace('Version="1">1<', 'Version="2">1<')
    gone = '<DeleteDocument><PMID>8</PMID><PMID Version="3">9</PMID></DeleteDocument>'
    assert read(write_pubmed(tmp_path / "a.gz", second, gone)) == [
        Passage("1", 0, "One, again.", version=2), Removed("8", "deleted"), Removed("9", "deleted", 3),
    ]  # fmt: skip


def test_a_version_that_is_no_number_is_a_fault(tmp_path: Path) -> None:
    path = write_pubmed(tmp_path / "a.gz", citation(7, "One.").replace('Version="1">7', 'Version="2a">7'))
    with pytest.raises(UserError, match="citation 1: PMID 7: Version '2a' is no number; mend it"):
        list(read_passages(path, "pubmed", on_error="stop", faults=Counter()))


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
