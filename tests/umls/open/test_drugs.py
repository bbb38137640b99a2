"""Drug indications: categories, and drugs joined by name."""

from pathlib import Path

import pytest

from kebench.errors import UserError
from kebench.umls.open.drugs import drugs_by_name, is_indications_folder, normal_form, read_indications
from kebench.umls.open.terms import Synonym, Term, Triple


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one drug, one disease and the three kinds of indications."""
    (tmp_path / "drugs.tsv").write_text("drugbank_id\tdrug\nDB00945\tAcetylsalicylic acid\n")
    (tmp_path / "diseases.tsv").write_text("doid_id\tdisease\nDOID:1\tfever\nDOID:2\tgout\nDOID:3\tacne\n")
    (tmp_path / "indications.tsv").write_text(
        "doid_id\tdrugbank_id\tcategory\nDOID:1\tDB00945\tSYM\nDOID:2\tDB00945\tDM\nDOID:3\tDB00945\tNOT\n"
    )
    return tmp_path


def test_categories_become_relations_and_not_is_left_out(folder: Path) -> None:
    assert is_indications_folder(folder)
    assert read_indications(folder).triples == [
        Triple("DRUGBANK:DB00945", "may_palliate", "DOID:1", line=2),
        Triple("DRUGBANK:DB00945", "may_treat", "DOID:2", line=3),
    ]


def test_an_unknown_category_is_refused_with_its_line(folder: Path) -> None:
    path = folder / "indications.tsv"
    path.write_text("doid_id\tdrugbank_id\tcategory\nDOID:1\tDB00945\tMAYBE\n")
    with pytest.raises(UserError, match=r"line 2: category 'MAYBE'; expected one of DM, SYM, NOT"):
        read_indications(folder)


def test_another_folder_is_not_taken_for_one(tmp_path: Path) -> None:
    assert not is_indications_folder(tmp_path)


def test_names_are_compared_without_case_and_punctuation() -> None:
    assert normal_form("Interferon beta-1a ") == normal_form("interferon  Beta 1A")


def test_a_drug_is_looked_for_in_mesh_first_and_by_preferred_names_first() -> None:
    drugs = [Term("DRUGBANK:DB00001", "Aspirin"), Term("DRUGBANK:DB00002", "Lepirudin")]
    terms = [
        Term("MESH:D000001", "Aspirin"),
        Term("MESH:D000002", "Aspirin Mixture", synonyms=(Synonym("aspirin"),)),
        Term("CHEBI:1", "aspirin"),
        Term("CHEBI:2", "lepirudin"),
    ]
    assert drugs_by_name(drugs, terms) == [
        ("DRUGBANK:DB00001", "MESH:D000001"),
        ("DRUGBANK:DB00002", "CHEBI:2"),
    ]


def test_a_name_of_two_terms_joins_neither() -> None:
    twice = [Term("CHEBI:1", "aspirin"), Term("CHEBI:2", "Aspirin")]
    assert drugs_by_name([Term("DRUGBANK:DB00001", "Aspirin")], twice) == []
