"""From files to the three tables, in the conventions of a UMLS release."""

from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from kebench.errors import UserError
from kebench.umls.open.drugs import read_indications
from kebench.umls.open.importing import build_tables, tables_from_obo
from kebench.umls.open.ontology import read_ontology
from kebench.umls.rrf import CONSO_COLUMNS, REL_COLUMNS, STY_COLUMNS

DISEASES = """format-version: 1.2

[Term]
id: DOID:1
name: disease
xref: UMLS_CUI:C0000009

[Term]
id: DOID:2
name: heart failure
synonym: "Heart Failure" EXACT []
synonym: "cardiac weakness" RELATED []
xref: UMLS_CUI:C0000002
xref: OMIM:100
is_a: DOID:1
is_a: DOID:77 ! not loaded

[Term]
id: DOID:3
name: old entry
is_obsolete: true
"""
TERMS = (
    "id\tname\ttypes\txrefs\nMESH:D000002\tHeart Failure, Congestive\tT047\tDOID:2\n"
    "MESH:D000005\tDigoxin\tT121\t\n"
)
TRIPLES = "head\trelation\ttail\nDigoxin\tmay_treat\tOMIM:100\nMESH:D000005\tmay_treat\tcardiac weakness\n"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Return an ontology, a table of terms and one of triples."""
    texts = {"obo": DISEASES, "terms": TERMS, "triples": TRIPLES}
    paths = {name: tmp_path / f"{name}.txt" for name in texts}
    for name, text in texts.items():
        paths[name].write_text(text)
    return paths


@pytest.fixture
def tables(files: dict[str, Path], tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the three tables of those files."""
    tables_from_obo([files["obo"]], terms=[files["terms"]], triples=[files["triples"]], into=tmp_path)
    return {name: rows_of(tmp_path, name) for name in ("MRCONSO", "MRREL", "MRSTY")}


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    return list(pyarrow.parquet.read_table(folder / f"{name}.parquet").to_pylist())


def test_tables_have_the_columns_of_a_release_all_of_them_text(tables: Any, tmp_path: Path) -> None:
    for name, columns in (("MRCONSO", CONSO_COLUMNS), ("MRREL", REL_COLUMNS), ("MRSTY", STY_COLUMNS)):
        schema = pyarrow.parquet.read_schema(tmp_path / f"{name}.parquet")
        assert tuple(schema.names) == columns
        assert {str(kind) for kind in schema.types} == {"string"}
        assert all(value is not None for row in tables[name] for value in row.values())


def test_names_stand_as_in_mrconso(tables: Any) -> None:
    kept = ("CUI", "TS", "LUI", "SUI", "AUI", "SAB", "TTY", "CODE", "STR", "SUPPRESS")
    rows = [tuple(row[column] for column in kept) for row in tables["MRCONSO"] if row["CUI"] == "C0000002"]
    assert rows == [
        ("C0000002", "P", "L0000001", "S0000001", "A00000001", "DOID", "PT", "DOID:2", "heart failure", "N"),
        ("C0000002", "P", "L0000001", "S0000002", "A00000002", "DOID", "SY", "DOID:2", "Heart Failure", "N"),
        ("C0000002", "S", "L0000002", "S0000003", "A00000003", "DOID", "ET", "DOID:2",
         "cardiac weakness", "N"),
        ("C0000002", "S", "L0000003", "S0000004", "A00000004", "MSH", "MH", "D000002",
         "Heart Failure, Congestive", "N"),
    ]  # fmt: skip


def test_obsolete_terms_are_suppressed(tables: Any) -> None:
    [row] = [row for row in tables["MRCONSO"] if row["STR"] == "old entry"]
    assert (row["TTY"], row["SUPPRESS"]) == ("OP", "O")


def test_rows_are_in_the_order_of_cuis(tables: Any) -> None:
    for name, column in (("MRCONSO", "CUI"), ("MRREL", "CUI1"), ("MRSTY", "CUI")):
        cuis = [row[column] for row in tables[name]]
        assert cuis == sorted(cuis)


def test_each_fact_stands_in_both_directions(tables: Any) -> None:
    """A row reads "CUI2 RELA CUI1": heart failure isa disease, digoxin may_treat heart failure."""
    drug = next(row["CUI"] for row in tables["MRCONSO"] if row["STR"] == "Digoxin")
    facts = {
        (row["CUI2"], row["RELA"], row["CUI1"], row["REL"], row["DIR"], row["SAB"]) for row in tables["MRREL"]
    }
    assert facts == {
        ("C0000002", "isa", "C0000009", "CHD", "Y", "DOID"),
        ("C0000009", "inverse_isa", "C0000002", "PAR", "N", "DOID"),
        (drug, "may_treat", "C0000002", "RO", "Y", "TRIPLES"),
        ("C0000002", "may_be_treated_by", drug, "RO", "N", "TRIPLES"),
    }
    assert len({row["RUI"] for row in tables["MRREL"]}) == len(tables["MRREL"]) == 4


def test_a_concept_has_the_types_of_its_terms(tables: Any) -> None:
    named = {(row["CUI"], row["TUI"], row["STY"]) for row in tables["MRSTY"]}
    assert ("C0000002", "T047", "Disease or Syndrome") in named
    assert sum(cui == "C0000002" for cui, _, _ in named) == 1


def test_the_manifest_counts_what_went_in_and_what_did_not(files: dict[str, Path], tmp_path: Path) -> None:
    manifest = tables_from_obo([files["obo"]], into=tmp_path)
    [source] = manifest.sources
    assert (source.name, source.terms, source.names, source.relations) == ("DOID", 3, 5, 1)
    assert (source.unresolved, source.unresolved_example) == (1, "DOID:2 isa DOID:77")
    assert source.files[0]["bytes"] == len(DISEASES)
    assert (manifest.unification.concepts, manifest.unification.with_cui) == (3, 2)


def test_the_order_of_files_does_not_matter(files: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.obo"
    other.write_text(
        "format-version: 1.2\n\n[Term]\nid: HP:1\nname: weak heart\nxref: UMLS:C0000002\nis_a: HP:2\n"
    )
    outcomes = []
    for number, order in enumerate(([files["obo"], other], [other, files["obo"]])):
        into = tmp_path / str(number)
        into.mkdir()
        manifest = tables_from_obo(order, into=into)
        outcomes.append((manifest, rows_of(into, "MRCONSO"), rows_of(into, "MRREL"), rows_of(into, "MRSTY")))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "DOID:5\tmay_treat\tDOID:2",
            "triples.txt line 2: 'DOID:5' is no id and no name that is loaded (1 such lines); "
            "load its source with it, or mend the line",
        ),
        (
            "DOID:2\tmay_treat\tsame",
            "triples.txt line 2: 'same' is the name of 2 concepts (1 such lines); give an id",
        ),
    ],
)
def test_a_triple_that_refers_to_nothing_is_refused(
    line: str, message: str, files: dict[str, Path], tmp_path: Path
) -> None:
    files["terms"].write_text("id\tname\nLAB:1\tsame\nLAB:2\tsame\n")
    files["triples"].write_text(f"head\trelation\ttail\n{line}\n")
    with pytest.raises(UserError) as refused:
        tables_from_obo([files["obo"]], terms=[files["terms"]], triples=[files["triples"]], into=tmp_path)
    assert str(refused.value) == message


def test_a_fact_stated_from_both_ends_is_two_rows(tmp_path: Path) -> None:
    path = tmp_path / "chebi.obo"
    path.write_text(
        "format-version: 1.2\n\n[Term]\nid: CHEBI:1\nname: acid\nrelationship: is_conjugate_acid_of CHEBI:2\n"
        "\n[Term]\nid: CHEBI:2\nname: base\nrelationship: is_conjugate_base_of CHEBI:1\n"
    )
    tables_from_obo([path], into=tmp_path)
    assert [(row["RELA"], row["DIR"]) for row in rows_of(tmp_path, "MRREL")] in (
        [("is_conjugate_acid_of", "Y"), ("is_conjugate_base_of", "Y")],
        [("is_conjugate_base_of", "Y"), ("is_conjugate_acid_of", "Y")],
    )


def test_negations_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "mondo.obo"
    path.write_text(
        "format-version: 1.2\n\n[Term]\nid: MONDO:1\nname: a\nrelationship: excluded_subClassOf MONDO:2\n\n"
        "[Term]\nid: MONDO:2\nname: b\n"
    )
    [source] = tables_from_obo([path], into=tmp_path).sources
    assert (source.relations, source.negations) == (0, 1)
    assert rows_of(tmp_path, "MRREL") == []


def test_nothing_to_build_from_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no ontology and no table of terms"):
        tables_from_obo([], triples=[files["triples"]], into=tmp_path)


@pytest.mark.realdata
def test_indications_join_the_disease_ontology(real_data: Path, tmp_path: Path) -> None:
    drugs = read_indications(real_data / "kb" / "pharmacotherapydb")
    manifest = build_tables([read_ontology(real_data / "kb" / "obo" / "HumanDO.obo"), drugs], into=tmp_path)
    # 755 DM and 390 SYM of 1,388 rows; the 243 NOT are left out. All 97 diseases are DOIDs of the ontology.
    relations = [row["RELA"] for row in rows_of(tmp_path, "MRREL") if row["SAB"] == "PHARMACOTHERAPYDB"]
    counts = {name: relations.count(name) for name in sorted(set(relations))}
    assert counts == {
        "may_palliate": 390, "may_be_palliated_by": 390, "may_treat": 755, "may_be_treated_by": 755,
    }  # fmt: skip
    assert manifest.unification.concepts == 8948 + 601
