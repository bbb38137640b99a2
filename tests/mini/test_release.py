from pathlib import Path

from kebench.mini.world import World
from kebench.umls.rrf import CONSO_COLUMNS, REL_COLUMNS, STY_COLUMNS


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        *fields, after_the_last_bar = line.split("|")
        assert after_the_last_bar == ""
        assert len(fields) == len(columns), line
        rows.append(dict(zip(columns, fields, strict=True)))
    return rows


def test_the_files_have_the_columns_of_a_umls_release(built: Path) -> None:
    assert (len(CONSO_COLUMNS), len(REL_COLUMNS), len(STY_COLUMNS)) == (18, 16, 6)
    _rows(built / "release/MRCONSO.RRF", CONSO_COLUMNS)
    _rows(built / "release/MRREL.RRF", REL_COLUMNS)
    _rows(built / "release/MRSTY.RRF", STY_COLUMNS)


def test_a_row_of_mrrel_reads_second_relation_first(built: Path, world: World) -> None:
    drug, disease = world.by_name["metformin"].cui, world.by_name["type 2 diabetes mellitus"].cui
    rows = _rows(built / "release/MRREL.RRF", REL_COLUMNS)
    found = {
        (r["CUI1"], r["REL"], r["CUI2"], r["RELA"]) for r in rows if {r["CUI1"], r["CUI2"]} == {drug, disease}
    }
    assert found == {(disease, "RO", drug, "may_treat"), (drug, "RO", disease, "may_be_treated_by")}


def test_a_child_is_chd_of_its_parent_and_the_parent_par_of_it(built: Path, world: World) -> None:
    child, parent = world.by_name["atorvastatin"].cui, world.by_name["statin"].cui
    rows = _rows(built / "release/MRREL.RRF", REL_COLUMNS)
    found = {
        (r["CUI1"], r["REL"], r["CUI2"], r["RELA"]) for r in rows if {r["CUI1"], r["CUI2"]} == {child, parent}
    }
    assert found == {(parent, "CHD", child, "isa"), (child, "PAR", parent, "inverse_isa")}


def test_every_fact_is_there_in_both_directions(built: Path, world: World) -> None:
    rows = _rows(built / "release/MRREL.RRF", REL_COLUMNS)
    inverse = {relation.name: relation.inverse for relation in world.relations}
    stated = {(r["CUI2"], r["RELA"], r["CUI1"]) for r in rows}
    for triple in world.triples:
        assert (triple.head, triple.relation, triple.tail) in stated
        assert (triple.tail, inverse[triple.relation], triple.head) in stated
    assert len(rows) == 2 * len(world.triples)
    assert len({r["RUI"] for r in rows}) == len(rows)


def test_suppressed_obsolete_and_foreign_names_are_there(built: Path) -> None:
    rows = _rows(built / "release/MRCONSO.RRF", CONSO_COLUMNS)
    assert {r["SUPPRESS"] for r in rows} == {"N", "O", "Y"}
    assert {r["LAT"] for r in rows} == {"ENG", "SPA", "GER"}


def test_every_concept_has_one_preferred_english_name(built: Path, world: World) -> None:
    rows = _rows(built / "release/MRCONSO.RRF", CONSO_COLUMNS)
    preferred = {r["CUI"]: r["STR"] for r in rows if (r["LAT"], r["TS"]) == ("ENG", "P")}
    assert preferred == {concept.cui: concept.name for concept in world.concepts}
    assert len({r["AUI"] for r in rows}) == len(rows)


def test_every_semantic_type_of_every_concept_has_a_row(built: Path, world: World) -> None:
    rows = _rows(built / "release/MRSTY.RRF", STY_COLUMNS)
    found = [(r["CUI"], r["TUI"]) for r in rows]
    assert found == [(concept.cui, tui) for concept in world.concepts for tui in concept.types]
