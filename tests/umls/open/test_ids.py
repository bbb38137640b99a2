"""Identifiers: one spelling inside, source and code as UMLS writes them outside."""

import pytest

from kebench.umls.open.ids import canonical_id, code_of, id_of_address, prefix_of, rank_of, read_id, source_of


@pytest.mark.parametrize(
    ("written", "ours"),
    [
        ("MSH:D006394", "MESH:D006394"),
        ("MeSH:D006394", "MESH:D006394"),
        ("UMLS_CUI:C0018923", "UMLS:C0018923"),
        ("C0018923", "UMLS:C0018923"),
        ("DB01048", "DRUGBANK:DB01048"),
        ("Orphanet:558", "ORPHA:558"),
        ("SNOMEDCT_US_2023_03_01:129458007", "SNOMEDCT:129458007"),
        ("NCIT:C27599", "NCIT:C27599"),
        ("LAB:1", "LAB:1"),
    ],
)
def test_an_id_has_one_spelling(written: str, ours: str) -> None:
    assert read_id(written) == ours


@pytest.mark.parametrize("text", ["", "aspirin", "http://x.org/a", "UMLS:0265205", "MESH:x", "DB:1", "a b:c"])
def test_what_cannot_be_an_id_is_none(text: str) -> None:
    assert read_id(text) == ""


def test_a_prefix_that_the_local_part_repeats_is_dropped() -> None:
    assert canonical_id("DOID", "DOID:0080780") == "DOID:0080780"


@pytest.mark.parametrize(
    ("identifier", "source", "code"),
    [
        ("MESH:D010300", "MSH", "D010300"),
        ("HP:0001250", "HPO", "HP:0001250"),
        ("GO:0008150", "GO", "GO:0008150"),
        ("HGNC:5", "HGNC", "HGNC:5"),
        ("DRUGBANK:DB01048", "DRUGBANK", "DB01048"),
        ("LAB:1", "LAB", "LAB:1"),
    ],
)
def test_source_and_code_are_written_as_umls_writes_them(identifier: str, source: str, code: str) -> None:
    assert (source_of(prefix_of(identifier)), code_of(identifier)) == (source, code)


def test_unknown_namespaces_come_after_the_known_ones() -> None:
    assert rank_of("MONDO:1") < rank_of("MESH:D000001") < rank_of("AAA:1") < rank_of("LAB:1")


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        ("http://purl.obolibrary.org/obo/DOID_4", "DOID:4"),
        ("http://x.org/ontology#LAB_0001", "LAB:0001"),
        ("https://identifiers.org/hgnc:1100", "HGNC:1100"),
        ("DOID:4", "DOID:4"),
        ("http://wiki.example.org/Category:Diseases", ""),
        ("http://x.org/has_part", ""),
    ],
)
def test_an_address_is_an_id_where_it_ends_as_one(address: str, ours: str) -> None:
    assert id_of_address(address) == ours
