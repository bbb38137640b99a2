"""Semantic types: the names of TUIs (semantic_types.tsv), and the types of MeSH's trees (below)."""

from functools import cache
from pathlib import Path

# By the longest beginning of a tree number that is listed. Types as UMLS gives them to most of a branch.
TYPES_OF_TREE = {
    "A": "T017",
    "A01": "T029",  # body regions
    "A10": "T024",  # tissues
    "A11": "T025",  # cells
    "A11.284": "T026",  # structures of cells
    "A12": "T031",  # fluids and secretions
    "A16": "T018",  # embryonic structures
    "B": "T204",
    "B01.050": "T008",  # animals
    "B01.300": "T004",  # fungi
    "B01.875": "T002",  # plants and their kin
    "B02": "T194",  # archaea
    "B03": "T007",  # bacteria
    "B04": "T005",  # viruses
    "C": "T047",
    "C04": "T191",  # neoplasms
    "C16.131": "T019",  # congenital abnormalities
    "C23.300": "T190",  # anatomical pathological conditions
    "C23.550": "T046",  # pathologic processes
    "C23.888": "T184",  # signs and symptoms
    "C26": "T037",  # wounds and injuries
    "D": "T103",
    "D01": "T197",  # inorganic chemicals
    "D02": "T109",  # organic chemicals
    "D03": "T109",  # heterocyclic compounds
    "D06.472": "T125",  # hormones
    "D08.811": "T126",  # enzymes
    "D12": "T116",  # amino acids, peptides and proteins
    "D13": "T114",  # nucleic acids, nucleotides and nucleosides
    "D26": "T121",  # pharmaceutical preparations
    "D27": "T120",  # chemical actions and uses
    "E": "T061",
    "E01": "T060",  # diagnosis
    "E05": "T062",  # investigative techniques
    "E07": "T074",  # equipment and supplies
    "F01": "T053",  # behavior
    "F02": "T041",  # psychological phenomena
    "F03": "T048",  # mental disorders
    "F04": "T058",  # behavioral disciplines and activities
    "G": "T039",
    "G01": "T070",  # physical phenomena
    "G02": "T070",  # chemical phenomena
    "G04": "T043",  # cell physiological phenomena
    "G05": "T045",  # genetic phenomena
    "G16": "T070",  # biological phenomena
    "H": "T090",
    "H02": "T091",  # health occupations
    "J": "T073",
    "J02": "T168",  # food and beverages
    "M": "T098",
    "V": "T170",
    "Z": "T083",
}
OTHER_TREES = "T078"  # Idea or Concept: what is left is society, information and health care


@cache
def semantic_types() -> dict[str, str]:
    """Return the names of the semantic types of UMLS, by TUI."""
    lines = (Path(__file__).parent / "semantic_types.tsv").read_text(encoding="utf-8").splitlines()
    return {tui: name for tui, _, name in (line.partition("\t") for line in lines)}


def type_of_tree(number: str) -> str:
    """Return the semantic type of a MeSH tree number (C04.557.470): the longest listed beginning decides."""
    parts = number.split(".")
    for length in range(len(parts), 0, -1):
        if (branch := ".".join(parts[:length])) in TYPES_OF_TREE:
            return TYPES_OF_TREE[branch]
    return TYPES_OF_TREE.get(number[:1], OTHER_TREES)
