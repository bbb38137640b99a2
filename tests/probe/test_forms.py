"""Names of answers: what is cut off, what tells two names apart, and what a tokenizer makes of them."""

from itertools import combinations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers

from kebench.probe.forms import answer_forms, match_keys, shown_form
from kebench.umls.database import connect
from kebench.umls.names import with_steps

# What is one name, however it is written. The last of each is as word pieces are decoded.
ONE_NAME = [
    ("cold", "Cold (disorder)", "Cold [Ambiguous]", "Cold (finding) [ambiguous]", "cold ( disorder )"),
    ("x", "X (regime/therapy)", "x ( regime / therapy )"),
    ("hepatitis", "Hepatitis, NOS", "Hepatitis NOS", "Hepatitis (NOS)", "hepatitis, nos (disorder)"),
    ("insulin", "Insulin [Chemical/Ingredient] (substance)", "insulin [ chemical / ingredient ]"),
    ("olaquindox", "Olaquindox [BAN:INN]", "olaquindox [ ban : inn ]"),
    ("asthma", "[X]Asthma", "[ x ] asthma"),
    ("cold", "Cold <1>", "cold < 1 >"),
    ("non small cell carcinoma", "Non-small-cell carcinoma", "non–small cell carcinoma"),
    ("crohn disease", "Crohn's disease", "Crohn’s disease"),
    ("diabetes type 2", "diabetes, type 2", "diabetes : type 2"),
    ("5' nucleotidase", "5'-nucleotidase", "5 ' - nucleotidase"),
    ("1,2 x", "1,2-X", "1, 2 - x"),
    ("iron (ii)", "Iron (II)", "Iron(II)", "iron ( ii )"),
    ("cd4-", "CD4-", "cd4 -"),
    ("pc 18:1", "PC 18:1", "PC18:1", "pc 18 : 1"),
]
# Names of different things.
APART = [
    ("iron", "iron (II)", "iron (III)"),
    ("influenza A", "influenza A (H1N1)", "influenza A (H5N1)"),
    ("1,2-x", "12-x", "1-2-x", "1 2-x"),
    ("CD4", "CD4+", "CD4-"),
    ("epicatechin", "(+)-epicatechin", "(-)-epicatechin"),
    ("alpha-tocopherol", "beta-tocopherol", "tocopherol"),
    ("type 1 2", "type 12", "type 1,2"),
    ("factor V", "factor VIII", "factor VII"),
    ("3-methyl", "3'-methyl", "(4'S)-methyl", "(4')-methyl"),
    ("[Fe] hydrogenase", "hydrogenase"),  # three letters in front that no Read code has
    ("Ehlers-Danlos syndrome type 6", "Ehlers-Danlos syndrome type 6 (formerly)"),
    ("prion protein (113-127)", "prion protein (124-231)", "prion protein"),
    ("acetaminophen 325 MG [Tylenol]", "acetaminophen 325 MG [Panadol]"),
    ("neuronal NOS", "neuronal"),  # a synthase
    ("ANB-NOS", "ANB"),
]


@pytest.mark.parametrize("names", ONE_NAME, ids=lambda names: names[0])
def test_one_name_in_several_spellings(names: tuple[str, ...]) -> None:
    form, *spellings = names
    found = answer_forms(spellings)
    assert found[0][0] == form
    assert {key for _, key in found} == {answer_forms([form])[0][1]}


@pytest.mark.parametrize("names", APART, ids=lambda names: names[0])
def test_names_of_different_things_stay_apart(names: tuple[str, ...]) -> None:
    for (one, one_key), (other, other_key) in combinations(answer_forms(names), 2):
        assert one_key != other_key, (one, other)


def test_a_name_of_which_nothing_would_be_left_stays() -> None:
    assert [form for form, _ in answer_forms(["(disorder)", "-", "NOS", ",", "A-"])] == [
        "(disorder)", "-", "nos", ",", "a-",
    ]  # fmt: skip


signs = st.sampled_from(
    [*"ab12 -,;:'+()[]<>éß’–\u00a0\n", " (disorder)", " NOS", "[X]", "'s", "[BAN:INN]", " - "]
)


words = st.sampled_from(["ab", "a1", "12", "2", "é", "ß", "CD4", "Na"])
joins = st.sampled_from([" ", "-", "–", " - ", ", ", ",", "; ", ": ", "/", "'s ", "'-", "\u00a0"])
ends = st.sampled_from(
    ["", "+", "-", "'", "’s", " (disorder)", " NOS", ", NOS", " [BAN:INN]", " (II)", " <1>", "(H5N1)"]
)
# Names as vocabularies have them. Of signs in a row that no name has ("(:-") a second pass may take more.
some_names = st.builds(
    lambda mark, first, more, end: mark + first + "".join(join + word for join, word in more) + end,
    st.sampled_from(["", "[X]"]), words, st.lists(st.tuples(joins, words), max_size=4), ends,
)  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(st.lists(some_names, max_size=60))
@example(["-,–", "alpha-, -beta"])
def test_the_form_of_a_form_is_itself(names: list[str]) -> None:
    forms = [form for form, _ in answer_forms(names)]
    assert [form for form, _ in answer_forms(forms)] == forms


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(signs, max_size=9).map("".join), max_size=60))
def test_something_is_left_of_every_name(names: list[str]) -> None:
    forms = [form for form, _ in answer_forms(names)]
    assert all(form or not name.strip() for name, form in zip(names, forms, strict=True))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Iron (II)", "iron (ii)"),
        ("Cold (disorder)", "cold"),
        ("mixed tumor, malignant, NOS (morphologic abnormality)", "mixed tumor, malignant"),
        ("Neuronal NOS", "neuronal nos"),
        ("[Fe] hydrogenase", "[fe] hydrogenase"),
        ("9-nitro-NOS", "9-nitro-nos"),
    ],
)
def test_a_query_shows_a_name_without_its_marks(name: str, shown: str) -> None:
    with connect() as connection:
        rows = with_steps("(SELECT $name AS name)", shown_form("name", lower_case=True))
        assert connection.execute(f"SELECT form FROM {rows}", {"name": name}).fetchall() == [(shown,)]


def tokenizer_of(*parts: normalizers.Normalizer) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    if parts:
        tokenizer.normalizer = normalizers.Sequence(list(parts))
    return tokenizer


def test_a_tokenizer_folds_names_as_it_folds_text() -> None:
    uncased = tokenizer_of(normalizers.BertNormalizer(lowercase=True))
    cased = tokenizer_of(normalizers.BertNormalizer(lowercase=False))
    whole = tokenizer_of()
    spaced = tokenizer_of(normalizers.Prepend("▁"), normalizers.Replace(" ", "▁"), normalizers.NFKC())
    names = ["Sjögren's syndrome", "sjogren syndrome", "Sjögren Syndrome"]
    assert match_keys(names, uncased) == ["sjogrensyndrome"] * 3
    for tokenizer in (cased, whole, spaced):
        assert match_keys(names, tokenizer) == ["sjögrensyndrome", "sjogrensyndrome", "sjögrensyndrome"]
    assert match_keys(["β-carotene", "beta-carotene"], uncased) == ["βcarotene", "betacarotene"]
