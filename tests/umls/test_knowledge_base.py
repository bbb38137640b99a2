"""What a knowledge base answers."""

from pathlib import Path

import numpy
import pytest

from kebench.errors import UserError
from kebench.mini.world import World
from kebench.umls.knowledge_base import KnowledgeBase
from tests.umls.releases import NAMES, imported, write_release


def test_names_of_a_concept_come_in_the_order_of_the_release(mini_kb: KnowledgeBase, world: World) -> None:
    concept = world.by_name["type 2 diabetes mellitus"]
    assert tuple(mini_kb.names(concept.cui).column("name").to_pylist()) == concept.names


def test_a_name_finds_its_concepts_in_any_case_and_with_a_dash(mini_kb: KnowledgeBase, world: World) -> None:
    asked = ["NON-INSULIN DEPENDENT diabetes mellitus", "t2dm", "no such name"]
    cui = world.by_name["type 2 diabetes mellitus"].cui
    assert mini_kb.cuis(asked).to_pylist() == [{"name": name, "cui": cui} for name in asked[:2]]


def test_a_name_of_two_concepts_finds_both(tmp_path: Path) -> None:
    names = [*NAMES, "C0000002 ENG S L9 Y RX SY 519 N Gout (remedy)"]
    kb = imported(write_release(tmp_path / "release", names), tmp_path / "kb")
    assert kb.cuis("gout").column("cui").to_pylist() == ["C0000001", "C0000002"]


def test_a_code_finds_its_concept_with_and_without_the_prefix_of_mesh(tmp_path: Path) -> None:
    names = [
        "C1 ENG P L1 Y MSH PT MESH:D1 N a",
        "C2 ENG P L2 Y MSH PT D2 N b",
        "C2 ENG S L3 Y GO PT GO:7 N c",
    ]
    kb = imported(
        write_release(tmp_path / "r", names, ["C1 RO C2 of A N"], ["C1 T047 Disease"]), tmp_path / "kb"
    )
    assert kb.by_code("MSH", ["D1", "MESH:D1", "D2", "MESH:D2", "D3"]).to_pylist() == [
        {"code": "D1", "cui": "C1"},
        {"code": "D2", "cui": "C2"},
        {"code": "MESH:D1", "cui": "C1"},
        {"code": "MESH:D2", "cui": "C2"},
    ]
    assert kb.by_code("GO", "GO:7").column("cui").to_pylist() == ["C2"]
    assert kb.by_code("GO", "D1").num_rows == 0


def test_concepts_have_their_preferred_name_and_types(mini_kb: KnowledgeBase, world: World) -> None:
    concept = world.by_name["insulin"]
    (row,) = mini_kb.concepts(concept.cui).to_pylist()
    assert row == {"cui": concept.cui, "name": "insulin", "semantic_types": sorted(concept.types)}
    assert mini_kb.concepts(["M9999999"]).num_rows == 0
    assert mini_kb.concepts().num_rows == len(world.concepts)


def test_triples_can_be_asked_for_by_any_part(mini_kb: KnowledgeBase, world: World) -> None:
    drug = world.by_name["metformin"].cui
    treats = mini_kb.triples(head=drug, relation="may_treat").read_pandas()
    assert set(treats["tail"]) == {t.tail for t in world.facts("may_treat") if t.head == drug}
    back = mini_kb.triples(relation=["may_treat"], tail=list(treats["tail"])).read_all()
    assert drug in back.column("head").to_pylist()
    assert mini_kb.triples(relation="no_such").read_all().num_rows == 0


def test_relations_are_counted(mini_kb: KnowledgeBase, world: World) -> None:
    counted = {row["relation"]: row["triples"] for row in mini_kb.relations().to_pylist()}
    assert len(counted) == 2 * len(world.relations) - len([r for r in world.relations if r.name == r.inverse])
    assert counted["may_treat"] == len(world.facts("may_treat"))


def test_indexed_triples_are_the_triples(mini_kb: KnowledgeBase) -> None:
    indexed = mini_kb.indexed_triples()
    entities, relations = indexed.entities.to_pylist(), indexed.relations.to_pylist()
    assert indexed.triples.dtype == numpy.int32
    assert entities == sorted(set(entities))
    named = [(entities[h], relations[r], entities[t]) for h, r, t in indexed.triples.tolist()]
    expected = [tuple(row.values()) for row in mini_kb.triples().read_all().to_pylist()]
    assert named == expected


def test_a_folder_that_holds_no_knowledge_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no knowledge base \(kb\.json is missing\); make one with 'kebench kb import'"
    ):
        KnowledgeBase.open(tmp_path)
    (tmp_path / "kb.json").write_text("{}")
    with pytest.raises(UserError, match=r"kb\.json: release: Field required; import the release again"):
        KnowledgeBase.open(tmp_path)
