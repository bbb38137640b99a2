"""Inverse relations."""

from hypothesis import given
from hypothesis import strategies as st

from kebench.umls.open.tables import INVERSES, broad_relation, inverse_of


def test_relations_that_umls_has_are_called_as_there() -> None:
    pairs = {"isa": "inverse_isa", "may_treat": "may_be_treated_by", "mapped_to": "mapped_from"}
    assert {relation: inverse_of(relation) for relation in pairs} == pairs


def test_a_child_is_seen_from_its_parent() -> None:
    assert (broad_relation("isa"), broad_relation("inverse_isa"), broad_relation("part_of")) == (
        "CHD",
        "PAR",
        "RO",
    )


def test_an_unknown_relation_has_an_inverse() -> None:
    assert inverse_of("worsens") == "inverse_worsens"


@given(st.sampled_from(sorted(INVERSES)) | st.from_regex(r"[a-z_]{1,12}", fullmatch=True))
def test_the_inverse_of_the_inverse_is_the_relation(relation: str) -> None:
    if relation not in ("inverse_", "inverse_isa"):
        assert inverse_of(inverse_of(relation)) == relation
