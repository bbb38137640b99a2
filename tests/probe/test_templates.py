"""The words of a relation: the paper's rule, our exceptions, the released code's rule with its errors."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kebench.errors import UserError
from kebench.probe.recipe import read_templates, released_words, words_of

EXCEPTIONS = read_templates("templates")
PIECES = st.sampled_from(["isa", "is", "ISA", "of", "as", "by", "disarticulation", "has", "", " ", "_", "X"])
NAMES = st.one_of(st.text(), st.lists(PIECES).map("_".join))


@given(NAMES)
@example("is_member_of")
@example("isa")
@example("is_isa_of")
@example("")
@example("_")
def test_any_relation_becomes_words_that_can_stand_in_a_sentence(relation: str) -> None:
    for exceptions in (EXCEPTIONS, {}):
        words = words_of(relation, exceptions).words
        assert words
        assert words == " ".join(words.split())
        assert "_" not in words
        assert not re.search(r"(?<!\S)is is(?!\S)", words.lower())
        assert "isa" not in words.lower().split()


@given(NAMES)
def test_isa_is_replaced_only_where_it_is_a_word(relation: str) -> None:
    kept = [word for word in relation.replace("_", " ").split() if word.lower() not in ("isa", "is", "a")]
    words = words_of(relation, {}).words.split()
    if kept:
        assert [word for word in words if word.lower() not in ("is", "a")] == kept


@pytest.mark.parametrize(
    ("relation", "words", "rule"),
    [
        ("may_treat", "may treat", "plain"),  # KeBioLM, sec. 4.6.1, as are the next three
        ("translation_of", "is translation of", "is"),
        ("classified_as", "is classified as", "is"),
        ("mapped_by", "is mapped by", "is"),
        ("is_member_of", "is member of", "plain"),
        ("may_be_treated_by", "may be treated by", "plain"),
        ("has_disarticulation", "has disarticulation", "plain"),
        ("isa", "is a", "exception"),
        ("inverse_isa", "includes", "exception"),
        ("CHD", "is a child of", "exception"),
        ("_", "is related to", "plain"),
    ],
)
def test_fixed_words(relation: str, words: str, rule: str) -> None:
    assert words_of(relation, EXCEPTIONS) == (words, rule)


@pytest.mark.parametrize(
    ("relation", "words"),
    [
        ("may_treat", "may treat"),
        ("translation_of", "is translation of"),
        ("isa", "is a"),
        ("inverse_isa", "inverse is a"),
        ("has_disarticulation", "has dis articulation"),
        ("is_member_of", "is is member of"),
        ("may_be_treated_by", "is may be treated by"),
        ("visan_of", "is vis an of"),
        ("by", "by"),
        ("as_", "as "),
    ],
)
def test_released_words_have_the_released_errors(relation: str, words: str) -> None:
    assert released_words(relation) == (words, "released")


def test_every_exception_says_something_else_than_the_rule() -> None:
    same = [name for name, words in EXCEPTIONS.items() if words_of(name, {}).words == words]
    assert same == ["isa"]  # which is there to be seen


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("isa = 'is a'\n", "expected one table, [words], of relations and their words; mend the file"),
        (
            "[words]\nisa = 'is  a'\n",
            "words.isa = 'is a': expected words with single blanks between, without [MASK]; mend this line",
        ),
        (
            "[words]\nisa = 3\n",
            "words.isa = 3: expected words with single blanks between, without [MASK]; mend this line",
        ),
    ],
)
def test_a_bad_file_of_templates_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(content)
    with pytest.raises(UserError) as caught:
        read_templates(str(tmp_path / "mine.toml"))
    assert str(caught.value) == f"{tmp_path / 'mine.toml'}: {message}"
