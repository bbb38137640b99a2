"""Tagging schemes: recognised, held against seqeval's own readers, refused where none fits."""

from collections.abc import Sequence

import pytest
import seqeval.scheme
from hypothesis import given, settings
from hypothesis import strategies as st

from kebench.kinds.schemes import (
    CLOSED,
    Mention,
    MisfitError,
    Scheme,
    Tag,
    bio_tags,
    one_scheme,
    parse_tag,
    read_tagging,
)

Spans = list[Mention]


def _tags(words: str) -> list[Tag]:
    tags = [parse_tag(word) for word in words.split()]
    assert None not in tags
    return [tag for tag in tags if tag]


def _read(*sentences: str, stated: Scheme | None = None) -> tuple[str | None, list[str]]:
    scheme, mentions = read_tagging([_tags(one) for one in sentences], stated)
    lengths = [len(one.split()) for one in sentences]
    return scheme, [
        "".join(bio_tags(row, length, has_types=False)) for row, length in zip(mentions, lengths, strict=True)
    ]


@pytest.mark.parametrize(
    ("sentence", "scheme", "bio"),
    [
        ("O O", None, "OO"),
        ("B I O B B", "IOB2", "BIOBB"),
        ("B-X I-X B-Y O", "IOB2", "BIBO"),
        ("I I O I", "IO", "BIOB"),
        ("I-X I-Y O", "IO", "BBO"),  # of two types: two mentions
        ("I I B I O", "IOB1", "BIBIO"),
        ("O I-X B-X B-X", "IOB1", "OBBB"),
        ("O I-X B-Y", "IOB1", "OBB"),  # B where type alone would do: what it begins is clear
        ("B I E S O S", "IOBES", "BIIBOB"),
        ("S S O", "IOBES", "BBO"),
        ("B L U O B I L", "BILOU", "BIBOBII"),
        ("U", "BILOU", "B"),
        ("B M E S", "BMES", "BIIB"),
        ("B M E W O B E", "BMEWO", "BIIBOBI"),
        ("B-X I O", "IOB2", "BIO"),  # a tag without type contradicts none
        ("I I-X O I", "IO", "BIOB"),
    ],
)
def test_a_scheme_is_recognised_and_becomes_b_i_and_o(sentence: str, scheme: str | None, bio: str) -> None:
    assert _read(sentence) == (scheme, [bio])


@pytest.mark.parametrize(
    ("sentences", "place", "what"),
    [
        (["B I O B", "O I"], (1, 1), "tag 'I' begins a mention, which B does in 2 other places"),
        (["I O I B", "B-X O"], (1, 0), "tag 'B-X' begins a mention, which I does in 2 other places"),
        (["O B-X I-Y"], (0, 2), "tag 'I-Y' goes on with a mention of another type"),
        (["B E O", "B O"], (1, 1), "tag 'O' where a mention has no E yet (IOBES)"),
        (["B L U", "O B"], (1, 1), "the sentence ends where a mention has no L yet (BILOU)"),
        (["S O I"], (0, 2), "tag 'I' without B before it (IOBES)"),
        (["O S", "O E"], (1, 1), "tag 'E' without B before it (IOBES)"),
        (
            ["O I", "I-X E-X"],
            (1, 1),
            "tag 'E-X' in a file without B, as IOE1 and IOE2 have, which are not read; convert the file to "
            "IOB2",
        ),
        (["B-X E-Y"], (0, 1), "tag 'E-Y' goes on with a mention of type 'X'"),
        (["B B E"], (0, 1), "tag 'B' where a mention has no E yet (IOBES)"),
        (["B E O", "O U B L"], (1, 1), "tag 'U' stands in no scheme beside B and E"),
    ],
)
def test_what_fits_no_scheme_is_refused_at_its_tag(
    sentences: list[str], place: tuple[int, int], what: str
) -> None:
    with pytest.raises(MisfitError) as misfit:
        _read(*sentences)
    assert ((misfit.value.sentence, misfit.value.word), str(misfit.value)) == (place, what)


@pytest.mark.parametrize(
    ("stated", "sentences", "place", "what"),
    [
        ("IOB2", ["I I O"], (0, 0), "tag 'I' begins a mention, expected B (IOB2)"),
        ("IOB1", ["O B I"], (0, 1), "tag 'B' begins a mention, expected I (IOB1)"),
        ("IO", ["I", "I B"], (1, 1), "tag 'B', expected I and O (IO)"),
        ("IOB2", ["B E O"], (0, 1), "tag 'E', expected B, I and O (IOB2)"),
        ("IOBES", ["O", "B I O"], (1, 2), "tag 'O' where a mention has no E yet (IOBES)"),
        ("BILOU", ["S"], (0, 0), "tag 'S', expected B, I, L, U and O (BILOU)"),
    ],
)
def test_a_tag_against_the_stated_scheme_is_refused(
    stated: Scheme, sentences: list[str], place: tuple[int, int], what: str
) -> None:
    with pytest.raises(MisfitError) as misfit:
        _read(*sentences, stated=stated)
    assert ((misfit.value.sentence, misfit.value.word), str(misfit.value)) == (place, what)


def test_a_stated_scheme_names_what_two_would_fit() -> None:
    assert _read("I I O", stated="IOB1") == ("IOB1", ["BIO"])
    assert _read("S", stated="BMES") == ("BMES", ["B"])
    assert _read("O", stated="BILOU") == (None, ["O"])


def test_files_of_io_beside_one_of_iob1_are_iob1() -> None:
    assert one_scheme({"train": "IOB1", "dev": "IO", "test": None}) == {
        "train": "IOB1",
        "dev": "IOB1",
        "test": None,
    }
    assert one_scheme({"train": "IO", "dev": "IO"}) == {"train": "IO", "dev": "IO"}
    assert one_scheme({"train": "IOB2", "dev": "IO"}) == {"train": "IOB2", "dev": "IO"}


# As in SciBERT's BC5CDR: single words have I, several words B and I.
B_FOR_SEVERAL_WORDS = ["O I O B I I", "B I O I", "I O O", "O B I I B I"]


def test_b_before_mentions_of_several_words_alone_is_read_as_conlleval_does() -> None:
    scheme, bio = _read(*B_FOR_SEVERAL_WORDS * 10)
    assert (scheme, bio[:4]) == ("IOB1", ["OBOBII", "BIOB", "BOO", "OBIIBI"])


@pytest.mark.parametrize("slip", ["B O O", "I I O I I O I I O I I"])
def test_that_layout_is_not_taken_for_iob2_with_slips(slip: str) -> None:
    with pytest.raises(MisfitError):  # a single word with B; several words with I
        _read(*B_FOR_SEVERAL_WORDS * 10, *[slip] * 3)
    with pytest.raises(MisfitError):  # too few to tell
        _read(*B_FOR_SEVERAL_WORDS)


@st.composite
def _sentence(draw: st.DrawFn) -> tuple[int, Spans]:
    """Draw a sentence's length and mentions of two types, many of which touch."""
    place = 0
    mentions: Spans = []
    for _ in range(draw(st.integers(0, 4))):
        start = place + draw(st.sampled_from([0, 0, 1, 2]))
        place = start + draw(st.integers(1, 3))
        mentions.append(Mention(start, place, draw(st.sampled_from(["X", "Y"]))))
    return place + draw(st.integers(0, 2)) or 1, mentions


def _write(num_words: int, mentions: Spans, scheme: str) -> list[str]:
    """Write tags as the scheme has them, by its definition alone."""
    tags = ["O"] * num_words
    for at, (start, end, kind) in enumerate(mentions):
        before = mentions[at - 1] if at else None
        touches = before is not None and before.end == start and before.type == kind
        first, inside, last, alone = {
            "IOB2": "BIIB",
            "IOB1": "BIIB" if touches else "IIII",
            "IO": "IIII",
        }.get(scheme) or CLOSED[scheme]  # type: ignore[index]
        letters = [alone] if end - start == 1 else [first, *[inside] * (end - start - 2), last]
        tags[start:end] = [f"{letter}-{kind}" for letter in letters]
    return tags


def _by_seqeval(sentences: Sequence[list[str]], scheme: str) -> list[Spans]:
    found = seqeval.scheme.Entities([*sentences], getattr(seqeval.scheme, scheme)).entities
    return [[Mention(one.start, one.end, one.tag) for one in row] for row in found]


SENTENCES = st.lists(_sentence(), min_size=1, max_size=4)


@pytest.mark.parametrize("scheme", ["IOB2", "IOB1", "IOBES", "BILOU", "BMES", "BMEWO"])
@given(SENTENCES)
@settings(max_examples=100, deadline=None)
def test_mentions_survive_every_scheme_and_are_seqevals(
    scheme: Scheme, drawn: list[tuple[int, Spans]]
) -> None:
    written = [_write(*one, scheme) for one in drawn]
    found, mentions = read_tagging([_tags(" ".join(tags)) for tags in written])
    assert mentions == [spans for _, spans in drawn]
    same = {"IOB1": {"IO"}, "BMES": {"IOBES"}, "BMEWO": {"IOBES", "BMES"}}.get(scheme, set())
    assert found in {scheme, *same} or not any(mentions)
    if scheme in ("IOB2", "IOB1", "IOBES", "BILOU"):
        assert mentions == _by_seqeval(written, scheme)


@given(SENTENCES)
@settings(max_examples=100, deadline=None)
def test_io_is_read_as_iob1_without_its_b(drawn: list[tuple[int, Spans]]) -> None:
    written = [_write(*one, "IO") for one in drawn]
    found, mentions = read_tagging([_tags(" ".join(tags)) for tags in written])
    assert mentions == _by_seqeval(written, "IOB1")
    assert found in ("IO", None)


@given(
    st.lists(st.lists(st.sampled_from([*"OBIESLUMW", "B-X", "I-X", "I-Y", "E-X"]), min_size=1), min_size=1)
)
@settings(max_examples=300, deadline=None)
def test_no_tag_is_lost(drawn: list[list[str]]) -> None:
    sentences = [_tags(" ".join(tags)) for tags in drawn]
    try:
        _, found = read_tagging(sentences)
    except MisfitError:
        return
    for tags, mentions in zip(sentences, found, strict=True):
        covered = {place for start, end, _ in mentions for place in range(start, end)}
        assert covered == {place for place, tag in enumerate(tags) if tag.letter != "O"}
        begun = {place for place, tag in enumerate(tags) if tag.letter in "BSUW"}
        assert begun <= {start for start, _, _ in mentions}
