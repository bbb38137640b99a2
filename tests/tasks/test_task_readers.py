"""The readers: each trap of the real files by hand, and no input that ends in a traceback."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kebench.errors import UserError
from kebench.kinds.card import TaskCard
from kebench.kinds.iob import iob_form, read_tagged
from kebench.kinds.ner import read_sentences as read_tagged_split
from kebench.kinds.pairs import GAD_HEADER, Pair, read_pairs
from kebench.kinds.registry import read_split
from kebench.kinds.tagging import Sentence
from tests.task_cards import task_card

LABELS = ("1", "0")
MARKERS = ("@GENE$", "@DISEASE$")


def _file(folder: Path, content: str | bytes) -> Path:
    path = folder / "test.tsv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read_sentences(path: Path) -> list[Sentence]:
    return list(read_tagged(path).examples)


def test_docstart_lines_are_no_tokens_and_end_a_sentence(tmp_path: Path) -> None:
    text = "-DOCSTART- 91\n\nIL-2\tB\n-DOCSTART-\tO\nSCL\tB\n"
    assert [row.words for row in read_sentences(_file(tmp_path, text))] == [("IL-2",), ("SCL",)]


def test_types_behind_a_tag_are_ignored(tmp_path: Path) -> None:
    rows = read_sentences(_file(tmp_path, "IL-2\tB-DNA\ngene\tI-DNA\nis\tO\n\n"))
    assert rows == [Sentence("0", ("IL-2", "gene", "is"), "BIO")]


def test_adjacent_b_tags_stay_two_mentions(tmp_path: Path) -> None:
    assert read_sentences(_file(tmp_path, "a\tB\nb\tB\n\n"))[0].tags == "BB"


@pytest.mark.parametrize(
    "text", ["a\tB\r\nb\tO\r\n\r\n", "a\tB\nb\tO", "a\tB\nb\tO\n", "\ufeffa\tB\nb\tO\n\n\n"]
)
def test_line_ends_do_not_change_what_is_read(text: str, tmp_path: Path) -> None:
    assert read_sentences(_file(tmp_path, text)) == [Sentence("0", ("a", "b"), "BO")]


def test_the_line_separator_u2028_is_text_and_ends_no_line(tmp_path: Path) -> None:
    text = "7\tβ\u2028@GENE$ in @DISEASE$\t1\n"
    assert read_pairs(_file(tmp_path, text), labels=LABELS) == [Pair("7", "β\u2028@GENE$ in @DISEASE$", "1")]


def test_gads_header_is_no_instance(tmp_path: Path) -> None:
    path = _file(tmp_path, f"{GAD_HEADER}\r\n0\t@GENE$ in @DISEASE$\t1\r\n")
    assert len(read_pairs(path, labels=LABELS, header=GAD_HEADER)) == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (
            "a\tB\nB\ta\n",
            "line 2: tag 'a', expected B, I or O; the columns look swapped; fetch the file again",
        ),
        ("a\tB\nb\tX\n", "line 2: tag 'X', expected B, I or O; fetch the file again"),
        ("a\tB\nb\tBO\n", "line 2: tag 'BO', expected B, I or O; fetch the file again"),
        ("a\tB\n\nb\n", "line 3: 1 column, expected 2 (token TAB tag); fetch the file again"),
        ("a\tb\tB\n", "line 1: 3 columns, expected 2 (token TAB tag); fetch the file again"),
        ("a\tB\n\tO\n", "line 2: no token before the tab; fetch the file again"),
        (
            "a\tB\nb O\n",
            "line 2: 1 column, expected 2 (token TAB tag); it looks cut by blanks, put a tab between "
            "token and tag; fetch the file again",
        ),
        (
            "a\tNN\tO\tB-X\n",
            "line 1: 4 columns, expected 2 (token TAB tag); it looks like CoNLL's form, keep its "
            "first and last column; fetch the file again",
        ),
        (
            "a\tB\nb\tO\nc\tI\n",
            "line 3: tag 'I' begins a mention, which B does in 1 other place; fetch the file again",
        ),
        (
            "a\tB-X\nb\tI-Y\n",
            "line 2: tag 'I-Y' goes on with a mention of another type; fetch the file again",
        ),
        (
            "-DOCSTART-\n\n\na\tB-X\n\n\nb\tO\nc\tB-Y\n",
            "line 8: a mention of type 'Y', others of this file are of type 'X', and no types are "
            "told apart; name them in the task's card (types = [...]), keep one type, or write ignore_types "
            "= true there",
        ),
        (
            "a\tB-X\nb\tB\n",
            "line 2: a mention of no type, others of this file are of type 'X', and no types are "
            "told apart; name them in the task's card (types = [...]), keep one type, or write ignore_types "
            "= true there",
        ),
        (b"a\tB\n\xff\tO\n", "line 2: not UTF-8 (invalid start byte); fetch the file again"),
    ],
)
def test_a_wrong_iob_line_is_named(content: str | bytes, complaint: str, tmp_path: Path) -> None:
    path = _file(tmp_path, content)
    with pytest.raises(UserError) as error:
        read_sentences(path)
    assert str(error.value) == f"{path} {complaint}"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (
            "0\t1\t@GENE$ @DISEASE$",
            "label '@GENE$ @DISEASE$', expected one of 1, 0; the columns look swapped",
        ),
        ("@GENE$ @DISEASE$\t0\t1", "no @GENE$ or @DISEASE$ in the text '0'; the columns look swapped"),
        ("0\t@GENE$ @DISEASE$\t2", "label '2', expected one of 1, 0"),
        (
            "0\t@gene$ x @disease$\t1",
            "no @GENE$ or @DISEASE$ in the text '@gene$ x @disease$', which holds @gene$, @disease$",
        ),
        ("0\t@GENE$ @DISEASE$", "2 columns, expected 3 (id TAB text TAB label)"),
    ],
)
def test_a_wrong_pairs_line_is_named(line: str, complaint: str, tmp_path: Path) -> None:
    path = _file(tmp_path, f"0\t@GENE$ @DISEASE$\t1\n{line}\n")
    with pytest.raises(UserError) as error:
        read_pairs(path, labels=LABELS, markers=MARKERS)
    assert str(error.value) == f"{path} line 2: {complaint}; fetch the file again"


BIOBERTS = "@GENE$ in @DISEASE$\t1\n@GENE$ not in @DISEASE$\t0\n"
FETCH = "fetch this task's own files ('kebench data get' says where), or"
HEADER_AS_SAID = GAD_HEADER.replace("\t", "\\t")


@pytest.mark.parametrize(
    ("content", "header", "complaint"),
    [
        (
            BIOBERTS,
            "",
            "sentence TAB label alone, as BioBERT's train and dev files have; "
            f"{FETCH} begin each line with an id and a tab",
        ),
        (
            BIOBERTS,
            GAD_HEADER,
            "no header, and sentence TAB label alone, as BioBERT's train and dev files have; "
            f"{FETCH} begin with '{HEADER_AS_SAID}', and each line with an index",
        ),
        (
            f"{GAD_HEADER}\n0\t@GENE$ in @DISEASE$\t1\n",
            "",
            f"the header '{HEADER_AS_SAID}' of BLUE's and BioBERT's files; "
            f"{FETCH} remove it, or make a card of format gad",
        ),
        (
            "0\t@GENE$ in @DISEASE$\t1\n",
            GAD_HEADER,
            f"an example where the header should be; put '{HEADER_AS_SAID}' before it",
        ),
    ],
)
def test_layouts_of_biobert_and_blue_are_named(
    content: str, header: str, complaint: str, tmp_path: Path
) -> None:
    path = _file(tmp_path, content)
    with pytest.raises(UserError) as error:
        read_pairs(path, labels=LABELS, markers=MARKERS, header=header)
    assert str(error.value) == f"{path} line 1: {complaint}"


def test_a_file_with_commas_for_tabs_looks_like_csv(tmp_path: Path) -> None:
    (tmp_path / "test.tsv").write_text("1,@GENE$ meets @DISEASE$,1\n")
    with pytest.raises(UserError, match=r"1 column, expected 3 .*; it looks like CSV, put tabs between"):
        read_pairs(tmp_path / "test.tsv", labels=LABELS, markers=MARKERS)


def test_an_empty_dev_file_is_biobert_s(tmp_path: Path) -> None:
    empty = tmp_path / "dev.tsv"
    empty.write_text("\n")
    with pytest.raises(UserError, match=r"dev.tsv: empty, as BioBERT's dev.tsv is"):
        read_pairs(empty, labels=LABELS, markers=MARKERS)
    empty.write_text("")
    with pytest.raises(UserError) as error:
        read_pairs(empty, labels=LABELS, markers=MARKERS)
    assert str(error.value) == (
        f"{empty}: empty, as BioBERT's dev.tsv is; {FETCH} make one of a part of train"
    )
    with pytest.raises(UserError, match=r"as BioBERT's dev.tsv is; make one of a part of train$"):
        read_pairs(empty, labels=LABELS, markers=MARKERS, remedy="mend the file")


def test_a_file_of_the_users_own_is_mended_not_fetched(tmp_path: Path) -> None:
    own = _card(access={"kind": "registration", "instructions": "ask"})
    path = _file(tmp_path, "a\tB\nb\tX\n")
    with pytest.raises(UserError, match=r"line 2: tag 'X', expected B, I or O; mend the file$"):
        read_split(own, path)
    with pytest.raises(UserError, match=r"empty; mend the file$"):
        read_split(own, _file(tmp_path, ""))
    published = _card(access={"kind": "embedded"})
    with pytest.raises(UserError, match=r"fetch the file again$"):
        read_split(published, path)


def _card(**fields: object) -> TaskCard:
    given = {"title": "Own", "suite": "mine", "kind": "ner", "format": "iob", "folders": ["own"]}
    told = {"name": "own", "licence": "none", "citation": "none", "access": {"kind": "embedded"}}
    return task_card(given | told | fields)


IOB2 = "a\tB\nb\tI\nc\tO\n\nd\tB\ne\tB\n"


@pytest.mark.parametrize(
    ("scheme", "content"),
    [
        ("IOB2", IOB2),
        ("IOB1", "a\tI\nb\tI\nc\tO\n\nd\tI\ne\tB\n"),
        ("IOBES", "a\tB\nb\tE\nc\tO\n\nd\tS\ne\tS\n"),
        ("BILOU", "a\tB\nb\tL\nc\tO\n\nd\tU\ne\tU\n"),
        ("BMEWO", "a\tB\nb\tE\nc\tO\n\nd\tW\ne\tW\n"),
    ],
)
def test_the_same_mentions_in_another_scheme_are_the_same_sentences(
    scheme: str, content: str, tmp_path: Path
) -> None:
    path = _file(tmp_path, content)
    assert [one.tags for one in read_sentences(path)] == ["BIO", "BB"]
    assert read_tagged_split(_card(), path).scheme == scheme
    assert read_tagged_split(_card(scheme=scheme), path).scheme == scheme
    other = "IOBES" if scheme == "IOB2" else "IOB2"
    remedy = f"mend the file, or the card's scheme, which is {other} "
    with pytest.raises(UserError, match=rf"test.tsv line \d: .* \({other}\); {remedy}"):
        read_split(_card(scheme=other), path)


def test_types_are_read_over_where_the_card_says_so(tmp_path: Path) -> None:
    path = _file(tmp_path, "a\tI-DNA\nb\tI-RNA\nc\tO\n")
    card = _card(ignore_types=True)
    assert read_split(card, path) == [Sentence("0", ("a", "b", "c"), "BBO")]
    assert read_tagged_split(card, path).types == {"DNA": 1, "RNA": 2}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "empty"),
        (b"\n\n", "holds no example"),
        (b"\x1f\x8b\x08\0\0", "a binary file, expected tab-separated text"),
    ],
)
def test_a_file_without_examples_is_refused(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = _file(tmp_path, content)
    with pytest.raises(UserError) as error:
        read_sentences(path)
    assert str(error.value) == f"{path}: {complaint}; fetch the file again"


WORDS = st.text(st.characters(exclude_characters="\t\n\r\0", exclude_categories=["Cs"]), min_size=1)
SENTENCES = st.lists(
    st.lists(
        st.tuples(
            WORDS.filter(lambda word: word.strip() and not word.startswith(("-DOCSTART-", "\ufeff"))),
            st.sampled_from("BIO"),
        ),
        min_size=1,
    ).map(lambda row: [(word, "B" if tag == "I" and (not at or row[at - 1][1] == "O") else tag)
                       for at, (word, tag) in enumerate(row)]),
    min_size=1,
)  # fmt: skip


@given(SENTENCES)
@settings(max_examples=50, deadline=None)
def test_writing_sentences_and_reading_them_is_identity(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[tuple[str, str]]]
) -> None:
    sentences = [
        Sentence(str(i), tuple(word for word, _ in row), "".join(tag for _, tag in row))
        for i, row in enumerate(rows)
    ]
    path = _file(tmp_path_factory.mktemp("iob"), iob_form(sentences))
    assert read_sentences(path) == sentences


@given(st.binary(max_size=80))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = _file(tmp_path_factory.mktemp("any"), content)
    for read in (read_sentences, lambda path: read_pairs(path, labels=LABELS)):
        complaint = _complaint(read, path)
        assert complaint == "" or complaint.startswith(str(path))
        assert "\n" not in complaint


def _complaint(read: Callable[[Path], object], path: Path) -> str:
    try:
        read(path)
    except UserError as error:
        return str(error)
    return ""


def test_of_several_types_the_rarest_is_named_since_it_may_be_a_slip(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("a\tB-Durg\n\nb\tB-Drug\n\nc\tB-Drug\n")
    with pytest.raises(
        UserError, match=r"line 1: a mention of type 'Durg', others of this file are of type 'Drug'"
    ):
        read_sentences(tmp_path / "train.tsv")
