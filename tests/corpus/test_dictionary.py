"""The dictionary: whole words, longest first, offsets in any script, and which names it leaves out."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from kebench.corpus.dictionary import Dictionary, NamedConcept, common_words, names_of
from kebench.umls.knowledge_base import KnowledgeBase
from tests.umls.releases import imported, write_release


def dictionary(**names: str) -> Dictionary:
    """names: CUI -> names with | between."""
    return Dictionary(NamedConcept(name, cui) for cui, joined in names.items() for name in joined.split("|"))


def found(made: Dictionary, text: str) -> list[tuple[str, str]]:
    return [(text[match.char_start : match.char_end], match.cui) for match in made.find(text)]


def test_the_longest_name_wins_from_the_left() -> None:
    made = dictionary(C1="breast cancer", C2="cancer", C3="cancer cell line", C4="hereditary breast")
    assert found(made, "breast cancer cell line") == [("breast cancer", "C1")]
    assert found(made, "the cancer cell line and cancer") == [("cancer cell line", "C3"), ("cancer", "C2")]


def test_a_name_is_found_only_as_whole_words_and_neighbours_are_both_found() -> None:
    made = dictionary(C1="gout", C2="pain")
    assert found(made, "gouty painless gout pain, Pain-gout") == [
        ("gout", "C1"), ("pain", "C2"), ("Pain", "C2"), ("gout", "C1"),
    ]  # fmt: skip


def test_hyphens_blanks_case_and_possessives_make_no_difference() -> None:
    made = dictionary(C1="type-2 diabetes", C2="Crohn's disease", C3="non\u2013small cell")
    text = "Type 2\n Diabetes, crohn disease, Crohn’s Disease; NON-SMALL-CELL"
    assert [cui for _, cui in found(made, text)] == ["C1", "C2", "C2", "C3"]
    assert found(made, text)[2][0] == "Crohn’s Disease"


def test_no_name_reaches_across_a_full_stop() -> None:
    assert found(dictionary(C1="cell death"), "one cell. Death of another (cell) death") == []


def test_signs_are_part_of_a_name() -> None:
    made = dictionary(C1="5'-nucleotidase", C2="(R)-warfarin")
    assert [text for text, _ in found(made, "the 5'-nucleotidase of (R)-warfarin")] == [
        "5'-nucleotidase", "(R)-warfarin",
    ]  # fmt: skip


def test_a_short_word_with_capitals_within_counts_only_as_it_is_spelt() -> None:
    made = dictionary(C1="AIDS", C2="pain", C3="Gout")
    assert [text for text, _ in found(made, "AIDS aids Aids Pain PAIN gout")] == [
        "AIDS", "Pain", "PAIN", "gout",
    ]  # fmt: skip


def test_a_short_name_with_a_possessive_or_a_hyphen_outside_is_found() -> None:
    made = dictionary(C1="Crohn's", C2="-AIDS-", C3="Bell’s")
    assert found(made, "Crohn's of the gut, crohn, AIDS aids, Bell's") == [
        ("Crohn", "C1"), ("crohn", "C1"), ("AIDS", "C2"), ("Bell", "C3"),
    ]  # fmt: skip


def test_short_common_and_very_long_names_are_left_out_and_counted() -> None:
    long = " ".join(["chloro"] * 16)
    made = Dictionary([NamedConcept(name, "C1") for name in ("WD", "17", "the", "Group", long, "gout")])
    assert made.counts == {"names": 1, "ambiguous": 0, "short": 2, "common": 2, "long": 1}


def test_function_words_are_common_words() -> None:
    assert common_words() >= ENGLISH_STOP_WORDS  # scikit-learn's, which is not loaded for them
    assert all(word == word.lower() for word in common_words())


def test_of_an_ambiguous_name_the_first_concept_counts() -> None:
    made = Dictionary([NamedConcept("cold", "C2"), NamedConcept("Cold", "C1")])
    assert found(made, "a cold day") == [("cold", "C2")]
    assert made.counts["ambiguous"] == 1


@pytest.mark.parametrize("before", ["İstanbul ", "ﬁbrosis ", "naïve β-cells, ", "𝛼-helix 日本 ", "ẞ "])
def test_offsets_are_right_behind_any_script(before: str) -> None:
    text = before + "gouty arthritis."
    assert found(dictionary(C1="gouty arthritis"), text) == [("gouty arthritis", "C1")]


def test_a_dictionary_without_names_finds_nothing() -> None:
    assert Dictionary([]).find("gout") == []
    assert dictionary(C1="gout").find("") == []


WORDS = ("alpha", "beta", "gamma", "delta")


def plain_matches(names: set[str], text: str) -> list[tuple[int, int]]:
    """Try every name at every word, longest first."""
    spans = [word.span() for word in re.finditer(r"\w+|[^\w\s]", text)]
    words = [text[start:end] for start, end in spans]
    matches, place = [], 0
    while place < len(words):
        fitting = [name.split() for name in names if words[place : place + len(name.split())] == name.split()]
        if not fitting:
            place += 1
            continue
        length = max(map(len, fitting))
        matches.append((spans[place][0], spans[place + length - 1][1]))
        place += length
    return matches


@given(
    st.sets(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join), max_size=8),
    st.lists(st.sampled_from((*WORDS, ".", "alphas", "x")), max_size=20).map(" ".join),
)
def test_it_finds_what_trying_every_name_at_every_word_finds(names: set[str], text: str) -> None:
    made = Dictionary(NamedConcept(name, "C1") for name in sorted(names))
    assert [match[:2] for match in made.find(text)] == plain_matches(names, text)


def test_the_better_concept_of_a_name_comes_first(kb: KnowledgeBase) -> None:
    owners: dict[str, list[str]] = {}
    for name, cui in names_of(kb):
        owners.setdefault(name, []).append(cui)
    # C3 is called so by preference; C1 by two rows of the release, C2 by one
    assert owners["Cold"] == ["C0000003", "C0000001", "C0000002"]


@pytest.fixture
def kb(tmp_path: Path) -> KnowledgeBase:
    names = (
        "C0000001 ENG P L1 Y MSH PT D1 N Common cold",
        "C0000001 ENG S L2 N MSH SY D1 N Cold",
        "C0000001 ENG S L2 N RX SY 7 N Cold",
        "C0000002 ENG P L3 Y MSH PT D2 N Cold temperature",
        "C0000002 ENG S L2 N MSH SY D2 N Cold",
        "C0000003 ENG P L2 Y DX PT D3 N Cold",
    )
    return imported(write_release(tmp_path / "release", names), tmp_path / "kb")
