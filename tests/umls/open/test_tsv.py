"""Tables of terms and of triples."""

from pathlib import Path

import pytest

from kebench.errors import UserError
from kebench.umls.open.terms import Synonym, Term, Triple
from kebench.umls.open.tsv import read_terms, read_triples, table_kind

TERMS = (
    "# title: Coughs of our ward\n# licence: CC0 1.0\n\nid\tname\tsynonyms\ttypes\txrefs\n"
    "LAB:1\tacute cough\ttussis acuta|sudden cough\tT184\tHP:0012735|C0010200\nLAB:2\tother cough\t\t\t\n"
)
TRIPLES = "head\trelation\ttail\nDB00514\tmay_treat\tLAB:1\naspirin\tmay treat\theadache\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "ward table.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_terms_is_read(tmp_path: Path) -> None:
    vocabulary = read_terms(written(tmp_path, TERMS))
    assert vocabulary.terms == [
        Term(
            "LAB:1",
            "acute cough",
            synonyms=(Synonym("tussis acuta"), Synonym("sudden cough")),
            types=("T184",),
            xrefs=("HP:0012735", "UMLS:C0010200"),
        ),
        Term("LAB:2", "other cough"),
    ]
    assert (vocabulary.name, vocabulary.title, vocabulary.licence) == ("LAB", "Coughs of our ward", "CC0 1.0")


def test_columns_may_stand_in_any_order_and_be_left_out(tmp_path: Path) -> None:
    assert read_terms(written(tmp_path, "name\tid\nacute cough\tLAB:1\n")).terms == [
        Term("LAB:1", "acute cough")
    ]


def test_a_table_of_triples_is_read_and_named_after_its_file(tmp_path: Path) -> None:
    vocabulary = read_triples(written(tmp_path, TRIPLES))
    assert vocabulary.triples == [
        Triple("DB00514", "may_treat", "LAB:1", line=2),
        Triple("aspirin", "may_treat", "headache", line=3),
    ]
    assert vocabulary.name == "WARD_TABLE"


def test_a_table_is_known_by_its_header(tmp_path: Path) -> None:
    assert table_kind(written(tmp_path, TERMS)) == "terms"
    assert table_kind(written(tmp_path, TRIPLES)) == "triples"
    assert table_kind(written(tmp_path, "a\tb\n1\t2\n")) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id\tlabel\nLAB:1\ta\n",
            "line 1: columns id, label; expected id, name (and, if you like, synonyms, types, xrefs), "
            "tab-separated",
        ),
        ("id\tname\nLAB:1\n", "line 2: 1 columns, expected 2 (id, name)"),
        ("id\tname\ncough\ta\n", "line 2: id 'cough'; expected PREFIX:number, as DOID:10652; mend the line"),
        ("id\tname\nLAB:1\t \n", "line 2: a term without a name; mend the line"),
        ("id\tname\nLAB:1\ta\nLAB:1\tb\n", "line 3: the term LAB:1 stands in this table already; remove one"),
        (
            "id\tname\ttypes\nLAB:1\ta\tT999\n",
            "line 2: type 'T999' is no semantic type of UMLS; expected one like T047",
        ),
        (
            "id\tname\txrefs\nLAB:1\ta\tcough\n",
            "line 2: cross-reference 'cough'; expected one like UMLS:C0010200",
        ),
        ("id\tname\n", "no term in it; expected lines after the header"),
        ("", "empty; expected a header line with id, name"),
    ],
)
def test_a_wrong_table_of_terms_is_refused_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UserError) as refused:
        read_terms(path)
    assert str(refused.value) in (f"{path} {message}", f"{path}: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "head\ttail\nA:1\tA:2\n",
            "line 1: columns head, tail; expected head, relation, tail, tab-separated",
        ),
        (
            "head\trelation\ttail\nA:1\t\tA:2\n",
            "line 2: expected a head, a relation of letters, digits and underscores, and a tail",
        ),
    ],
)
def test_a_wrong_table_of_triples_is_refused_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UserError) as refused:
        read_triples(path)
    assert str(refused.value) == f"{path} {message}"


def test_other_encodings_are_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.tsv"
    path.write_bytes("id\tname\nLAB:1\tMénière\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin\.tsv line 2: not UTF-8"):
        read_terms(path)
