"""Which terms become one concept, worked by hand and as properties."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kebench.umls.open.ids import prefix_of
from kebench.umls.open.terms import Synonym, Term, Vocabulary
from kebench.umls.open.unify import Unified, number_concepts, one_to_one, unify


def vocabulary(name: str, *terms: Term, mappings: tuple[tuple[str, str], ...] = ()) -> Vocabulary:
    return Vocabulary(name=name, title=name, files=(), terms=list(terms), mappings=list(mappings))


def term(identifier: str, *xrefs: str) -> Term:
    return Term(identifier, identifier.lower(), xrefs=xrefs)


def unified(*terms: Term) -> Unified:
    return unify([vocabulary("ALL", *terms)])


def test_terms_that_refer_to_each_other_are_one_concept() -> None:
    concepts = unified(term("MONDO:1", "DOID:1"), term("DOID:1"), term("DOID:2")).cui_of
    assert concepts["MONDO:1"] == concepts["DOID:1"] != concepts["DOID:2"]


def test_terms_that_refer_to_the_same_mesh_id_are_one_concept() -> None:
    concepts = unified(term("MONDO:1", "MESH:D000001"), term("DOID:1", "MESH:D000001")).cui_of
    assert concepts["MONDO:1"] == concepts["DOID:1"]


def test_a_concept_bears_the_cui_that_one_of_its_terms_refers_to() -> None:
    concepts = unified(term("MONDO:1", "DOID:1"), term("DOID:1", "UMLS:C0000001")).cui_of
    assert concepts == {"MONDO:1": "C0000001", "DOID:1": "C0000001"}


def test_the_other_concepts_have_numbers_of_their_own() -> None:
    cui = unified(term("MONDO:1")).cui_of["MONDO:1"]
    assert cui[0] == "K"
    assert cui[1:].isdigit()
    assert len(cui) == 8


def test_references_that_are_not_one_to_one_are_conflicts() -> None:
    # DOID:1 has two CUIs; C0000003 is claimed by two terms. None of the four says what is the same.
    found = unified(
        term("DOID:1", "UMLS:C0000001", "UMLS:C0000002"),
        term("DOID:2", "UMLS:C0000003"),
        term("DOID:3", "UMLS:C0000003"),
    )
    assert all(cui.startswith("K") for cui in found.cui_of.values())
    assert found.report.conflicts == 4
    assert found.report.examples[0] == "DOID:1 = UMLS:C0000001: not one to one"
    [kind] = found.report.kinds
    assert (kind.between, kind.given, kind.joined, kind.not_one_to_one) == (("DOID", "UMLS"), 4, 0, 4)


def test_a_concept_never_holds_two_ids_of_one_namespace() -> None:
    # MONDO:1 = DOID:1 (trusted first); then UMLS would bring DOID:2 to MONDO:1.
    found = unified(
        term("MONDO:1", "DOID:1", "UMLS:C0000001"), term("DOID:1"), term("DOID:2", "UMLS:C0000001")
    )
    assert found.cui_of["MONDO:1"] == found.cui_of["DOID:1"] == "C0000001"
    assert found.cui_of["DOID:2"] != "C0000001"
    assert found.report.examples == ("DOID:2 = UMLS:C0000001: would join two of one source",)


def test_references_to_omim_only_serve_to_look_it_up() -> None:
    found = unified(term("MONDO:1", "OMIM:104300"), term("DOID:1", "OMIM:104300"))
    assert found.cui_of["MONDO:1"] != found.cui_of["DOID:1"]
    assert found.aliases["OMIM:104300"] == found.cui_of["MONDO:1"]  # MONDO comes first in rank


def test_an_id_that_two_terms_refer_to_is_no_alias() -> None:
    assert "OMIM:1" not in unified(term("MONDO:1", "OMIM:1"), term("MONDO:2", "OMIM:1")).aliases


@pytest.mark.parametrize("other", ["HP:1", "HGNC:1"])
def test_mondo_does_not_join_a_phenotype_or_a_gene(other: str) -> None:
    concepts = unified(term("MONDO:1", other), term(other)).cui_of
    assert concepts["MONDO:1"] != concepts[other]


def test_a_former_id_stands_for_the_term_that_has_it_now() -> None:
    found = unified(Term("DOID:1", "a", alternates=("DOID:9",)), term("MONDO:1", "DOID:9"))
    assert found.cui_of["MONDO:1"] == found.cui_of["DOID:1"] == found.aliases["DOID:9"]


def test_obsolete_terms_join_nothing() -> None:
    found = unified(Term("DOID:1", "a", xrefs=("UMLS:C0000001",), is_obsolete=True))
    assert found.cui_of["DOID:1"].startswith("K")


def test_mappings_of_a_third_source_join() -> None:
    pairs = (("MESH:D000001", "CHEBI:1"),)
    found = unify(
        [vocabulary("ALL", term("MESH:D000001"), term("CHEBI:1")), vocabulary("MAP", mappings=pairs)]
    )
    assert found.cui_of["MESH:D000001"] == found.cui_of["CHEBI:1"]
    assert found.report.merged == 1


def test_a_term_of_two_files_is_named_by_the_one_it_is_at_home_in() -> None:
    home = vocabulary("HPO", Term("HP:1", "Seizure", synonyms=(Synonym("fit", "EXACT"),)))
    guest = vocabulary("MONDO", Term("HP:1", "seizure (imported)"), term("MONDO:1"))
    for order in ([home, guest], [guest, home]):
        merged = unify(order).terms["HP:1"]
        assert merged.name == "Seizure"
        assert [synonym.name for synonym in merged.synonyms] == ["fit", "seizure (imported)"]


def test_a_source_of_a_later_rank_leaves_earlier_numbers_alone() -> None:
    diseases = [f"MONDO:{number}" for number in range(2000)]
    before = number_concepts(diseases, {})
    after = number_concepts([*diseases, *(f"ZZZ:{number}" for number in range(2000))], {})
    assert all(after[identifier] == cui for identifier, cui in before.items())
    assert len(set(after.values())) == 4000


def test_one_to_one_by_hand() -> None:
    single, several = one_to_one([("a", "1"), ("b", "2"), ("b", "3"), ("c", "3"), ("a", "1")])
    assert single == [("a", "1")]
    assert several == [("b", "2"), ("b", "3"), ("c", "3")]


IDS = [f"{prefix}:{number}" for prefix in ("MONDO", "DOID", "HP") for number in range(1, 5)]
REFERENCES = [*IDS, *(f"MESH:D00000{n}" for n in range(1, 5)), *(f"UMLS:C000000{n}" for n in range(1, 5))]
ontologies = st.dictionaries(
    st.sampled_from(IDS), st.lists(st.sampled_from(REFERENCES), max_size=3, unique=True), min_size=1
).map(lambda references: [term(identifier, *xrefs) for identifier, xrefs in references.items()])


@given(ontologies, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_outcome_does_not_depend_on_the_order(terms: list[Term], shuffler: random.Random) -> None:
    first = unify([vocabulary("ALL", *terms)])
    shuffled = list(terms)
    shuffler.shuffle(shuffled)
    half = len(shuffled) // 2
    second = unify([vocabulary("B", *shuffled[:half]), vocabulary("A", *shuffled[half:])])
    assert first.cui_of == second.cui_of
    assert first.aliases == second.aliases
    assert first.report == second.report


@given(ontologies)
@settings(deadline=None)
def test_no_concept_has_two_terms_of_one_namespace(terms: list[Term]) -> None:
    found = unify([vocabulary("ALL", *terms)])
    prefixes = [(cui, prefix_of(identifier)) for identifier, cui in found.cui_of.items()]
    assert len(prefixes) == len(set(prefixes))


@given(ontologies)
@settings(deadline=None)
def test_every_reference_is_joined_or_counted(terms: list[Term]) -> None:
    report = unify([vocabulary("ALL", *terms)]).report
    assert all(kind.given == kind.joined + kind.not_one_to_one + kind.refused for kind in report.kinds)
    assert report.conflicts == sum(kind.not_one_to_one + kind.refused for kind in report.kinds)
