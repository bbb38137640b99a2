"""Normal forms of names: every rule by hand, and the released form against a plain rewriting of its rules."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kebench.errors import UserError
from kebench.umls.names import normalise

FIXED = {
    "Gout": "gout",
    "Crohn's disease": "crohn disease",
    "Crohn’s  disease": "crohn disease",
    "Cold (disorder)": "cold",
    "Insulin [Chemical/Ingredient] (substance)": "insulin",
    "[X]Asthma": "asthma",
    "Hepatitis, NOS": "hepatitis",
    "Hepatitis NOS (disorder)": "hepatitis",
    "diabetes mellitus, type 2": "diabetes mellitus type 2",
    "Non-Hodgkin lymphoma": "non hodgkin lymphoma",
    "IL–2\u00a0receptor": "il 2 receptor",
    "(R)-3-hydroxybutyrate": "(r) 3 hydroxybutyrate",
    "poly(ester)": "poly(ester)",
    "Nos": "nos",
    "hepatitis,nos": "hepatitis",
    " Cold (disorder) ": "cold",
    "(disorder)": "(disorder)",
    "-": "-",
    "Cafe\u0301 disease": "café disease",
}
# The rules of the released code, one by one (docs/FIDELITY.md).
RELEASED = {
    "Gout": "gout",
    "Hepatitis NOS": "hepatitis",
    "Hepatitis, NOS": "hepatitis,",  # the comma stays
    "NOS disease": "disease",
    "Cold (disorder)": "cold",
    "(R)-3-hydroxybutyrate": "3 hydroxybutyrate",  # chemical brackets go too
    "a (b (c) d)": "a d)",  # up to the first closing bracket
    "Insulin [Chemical]": "insulin [chemical]",  # square ones stay
    "Crohn's disease": "crohn's disease",
    "Non-Hodgkin  lymphoma": "non hodgkin lymphoma",
    "cryptNOS": "cryptnos",
    "(all)": "",
}


def released_by_hand(name: str) -> str:
    padded = f" {name} ".lower().replace(" nos ", " ")
    return " ".join(re.sub(r"\(.*?\)", "", padded).replace("-", " ").split())


@pytest.mark.parametrize(("name", "form"), FIXED.items())
def test_our_form_of_a_name(name: str, form: str) -> None:
    assert normalise([name]) == [form]


@pytest.mark.parametrize(("name", "form"), RELEASED.items())
def test_the_released_form_of_a_name(name: str, form: str) -> None:
    assert normalise([name], form="released") == [form]
    assert released_by_hand(name) == form


NAMES = st.text(st.sampled_from("aAß Éİ()[]-–,;:'’ \t\u00a0\u2003nosNOS12"), max_size=24)


@settings(max_examples=200, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=20))
def test_the_released_form_of_any_name_is_that_of_a_plain_rewriting(names: list[str]) -> None:
    assert normalise(names, form="released") == [released_by_hand(name) for name in names]


@settings(max_examples=200, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=20))
def test_our_form_has_single_blanks_and_is_empty_only_for_blank_names(names: list[str]) -> None:
    for name, form in zip(names, normalise(names), strict=True):
        assert form == " ".join(form.split())
        assert bool(form) == bool(name.strip())


def test_order_and_repetition_of_a_list_are_kept() -> None:
    assert normalise(["B", "a", "B"]) == ["b", "a", "b"]
    assert normalise([]) == []


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(UserError, match="normal form 'paper': expected one of fixed, released"):
        normalise(["a"], form="paper")


@pytest.mark.realdata
def test_the_released_form_of_every_open_name_is_that_of_a_plain_rewriting(real_data: Path) -> None:
    import gzip

    with gzip.open(real_data / "kb/open-umls/MRCONSO.RRF.gz", "rt", encoding="utf-8") as file:
        names = [line.split("|")[14] for number, line in enumerate(file) if number % 10 == 0]
    assert len(names) > 100_000
    assert normalise(names, form="released") == [released_by_hand(name) for name in names]
