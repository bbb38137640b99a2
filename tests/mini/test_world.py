from collections import Counter
from pathlib import Path
from shutil import copy

import pytest

from kebench.errors import UserError
from kebench.mini.world import FOLDER, TYPES, World, load_world


def test_the_world_is_large_enough(world: World) -> None:
    assert len(world.concepts) >= 240
    assert len(world.triples) >= 780
    assert len({triple.relation for triple in world.triples}) >= 25


def test_every_concept_has_two_to_four_names_and_known_types(world: World) -> None:
    for concept in world.concepts:
        assert 2 <= len(concept.names) <= 4, concept
        assert len(set(concept.names)) == len(concept.names), concept
        assert concept.types, concept
        assert all(tui in TYPES for tui in concept.types), concept


def test_cuis_are_ours(world: World) -> None:
    assert all(concept.cui[0] == "M" and len(concept.cui) == 8 for concept in world.concepts)


def test_no_english_name_belongs_to_two_concepts(world: World) -> None:
    count = Counter(name.lower() for concept in world.concepts for name in concept.names)
    assert [name for name, times in count.items() if times > 1] == []


def test_no_concept_stands_in_a_relation_to_itself(world: World) -> None:
    assert [triple for triple in world.triples if triple.head == triple.tail] == []


def test_a_biological_drug_is_a_drug_and_a_receptor_is_a_protein(world: World) -> None:
    assert world.by_name["adalimumab"].kind == "drug"
    assert world.by_name["insulin receptor"].kind == "protein"


def _copy_of_the_data(folder: Path) -> Path:
    for name in ("concepts.tsv", "triples.txt"):
        copy(FOLDER / name, folder / name)
    return folder


def test_an_unknown_concept_in_a_triple_is_refused_with_its_line(tmp_path: Path) -> None:
    folder = _copy_of_the_data(tmp_path)
    (folder / "triples.txt").write_text("[isa / inverse_isa CHD]\nasthma: respiratory diseaze\n")
    with pytest.raises(
        UserError, match=r"triples\.txt line 2: no concept 'respiratory diseaze'; did you mean"
    ):
        load_world(folder)


def test_a_fact_stated_twice_is_refused(tmp_path: Path) -> None:
    folder = _copy_of_the_data(tmp_path)
    (folder / "triples.txt").write_text("[isa / inverse_isa CHD]\ncarcinoma: leukemia | leukemia\n")
    with pytest.raises(UserError, match="line 2: 'carcinoma isa leukemia' is there twice"):
        load_world(folder)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("M0000001\tT047", "2 columns, expected 3 or 4"),
        ("M0000001\tT999\ta | b", "semantic type 'T999'"),
        ("M0000001\tT047\ta", "1 names, expected 2 to 4"),
    ],
)
def test_a_wrong_concept_is_refused_with_its_line(tmp_path: Path, line: str, complaint: str) -> None:
    folder = _copy_of_the_data(tmp_path)
    (folder / "concepts.tsv").write_text(f"# first line\n{line}\n")
    with pytest.raises(UserError, match=rf"concepts\.tsv line 2: {complaint}"):
        load_world(folder)
