"""Whatever is wrong with a release is one line with file and line number, and nothing is left behind."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from kebench.errors import UserError
from tests.umls.releases import NAMES, RELATIONS, imported, name_row, relation_row, write_release

REMEDY = "mend it if the release is your own, else unpack or download it again"


def damage(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("table", "change", "expected"),
    [
        ("MRCONSO", lambda b: b.replace(b"|Gout|", b"|"), "line 1: 17 fields, expected 18"),
        ("MRCONSO", lambda b: b.replace(b"gouty", b"gou|ty"), "line 2: 19 fields, expected 18"),
        ("MRCONSO", lambda b: b.replace(b"gouty", b"go\xff"), "line 2: byte 0xff at column 47 is not UTF-8"),
        ("MRCONSO", lambda b: b[:-9],
         "line 3: 15 fields, expected 18, and no end of line: the file is cut off"),
        ("MRCONSO", lambda b: b.replace(b"Gout|0|N||\n", b"Gout|0|N|256\n"),
         "line 1: no bar behind the last of 18 fields"),
        ("MRCONSO", lambda b: b[:-2] + b"256",
         "line 3: no bar behind the last of 18 fields, and no end of line: the file is cut off"),
        ("MRCONSO", lambda b: b[:-1], "line 3: no end of line: the file is cut off"),
        ("MRCONSO", lambda b: b.replace(b"gouty", b"gout\r"), "line 2: a carriage return within the line"),
        ("MRCONSO", lambda b: b.replace(b"C0000002", b""), "line 3: the first field, a CUI, is empty"),
        ("MRCONSO", lambda b: b"", "the file is empty"),
        ("MRCONSO", lambda b: b"\n", "the file is empty"),
        ("MRCONSO", lambda b: b.replace(b"y arthritis|0|N|", b"|arthritis|0||"),
         "line 2: 19 fields, expected 18"),
        ("MRCONSO", lambda b: b.replace(b"arthritis|0|", b"arthritis|[|"),
         "line 2: '[' in SRL, expected a number or nothing"),
        ("MRSTY", lambda b: b.replace(b"|AT1|", b"|X1|"),
         "line 1: 'X1' in ATUI, expected AT and a number, or nothing"),
        ("MRREL", lambda b: b.replace(b"|N||", b"|X||"),
         "line 1: 'X' in SUPPRESS, expected N, O, E, Y or nothing"),
        ("MRREL", lambda b: b"", "the file is empty"),
        ("MRREL", lambda b: b.replace(b"|RO|", b"|"), "line 1: 15 fields, expected 16"),
        ("MRREL", lambda b: b.replace(b"\n", b"x\n"), "line 1: 17 fields, expected 16"),
        ("MRREL", lambda b: b.replace(b"C0000002", b"C0000009"), "line 1: C0000009 is no concept of MRCONSO"),
        ("MRSTY", lambda b: b.replace(b"C0000002", b"C0000009"), "line 2: C0000009 is no concept of MRCONSO"),
        ("MRSTY", lambda b: b + b, None),
        ("MRSTY", lambda b: b.replace(b"|A1|", b"|A1|A2|"), "line 1: 7 fields, expected 6"),
        ("MRSTY", lambda b: b.replace(b"|AT1|256|", b"||x|"),
         "line 1: 'x' in CVF, expected a number or nothing"),
    ],
)  # fmt: skip
def test_each_damage_is_one_line_and_leaves_nothing(
    table: str, change: Callable[[bytes], bytes], expected: str | None, tmp_path: Path
) -> None:
    release = write_release(tmp_path / "release")
    damage(release / f"{table}.RRF", change)
    out = tmp_path / "out" / "kb"
    if expected is None:
        imported(release, out)  # the same type twice is no damage
        return
    with pytest.raises(UserError) as error:
        imported(release, out)
    where = f"{release / table}.RRF"
    assert str(error.value) == f"{where}{':' if expected.startswith('the') else ''} {expected}; {REMEDY}"
    assert list(out.parent.glob("*")) + list(out.parent.glob(".*")) == []


def test_the_line_is_right_in_a_large_file_and_in_a_part_of_one(tmp_path: Path) -> None:
    release = write_release(tmp_path / "release")
    rows = [name_row(f"C{n:07d} ENG P L{n} Y MSH PT D{n} N name number {n}") for n in range(1, 30_000)]
    rows[20_000] = rows[20_000].replace("|MSH|", "|")
    (release / "MRCONSO.RRF").unlink()
    for part, half in (("aa", rows[:15_000]), ("ab", rows[15_000:])):
        (release / f"MRCONSO.RRF.{part}.gz").write_bytes(gzip.compress("".join(half).encode()))
    with pytest.raises(UserError) as error:
        imported(release, tmp_path / "kb")
    name = release / "MRCONSO.RRF.{aa,ab}.gz"
    assert str(error.value) == f"{name} line 20001: 17 fields, expected 18; {REMEDY}"


def test_a_gzip_file_that_was_cut_off_is_named(tmp_path: Path) -> None:
    release = write_release(tmp_path / "release")
    whole = gzip.compress("".join(name_row(text) for text in NAMES).encode())
    (release / "MRCONSO.RRF").unlink()
    (release / "MRCONSO.RRF.gz").write_bytes(whole[:-30])
    with pytest.raises(UserError, match=r"MRCONSO\.RRF\.gz: the compressed file is cut off or broken"):
        imported(release, tmp_path / "kb")


def test_unknown_concepts_are_counted(tmp_path: Path) -> None:
    relations = [*RELATIONS, "C0000001 RO C0000008 causes MSH N", "C0000007 RO C0000002 causes MSH N"]
    release = write_release(tmp_path / "release", relations=relations)
    with pytest.raises(
        UserError, match=r"MRREL\.RRF line 3: C0000007 is no concept of MRCONSO \(nor are 1 others\)"
    ):
        imported(release, tmp_path / "kb")


def test_a_concept_that_the_filters_left_out_is_not_unknown(tmp_path: Path) -> None:
    names = [*NAMES, "C0000003 GER P L4 Y MSH PT D3 N Gicht"]
    relations = [*RELATIONS, "C0000001 RO C0000003 causes MSH N"]
    kb = imported(write_release(tmp_path / "release", names, relations), tmp_path / "kb")
    assert kb.manifest.counts["relations"]["concept_left_out"] == 1
    assert kb.manifest.counts["relations"]["kept"] == 1


def test_filters_that_leave_nothing_are_refused(tmp_path: Path) -> None:
    release = write_release(tmp_path / "release")
    with pytest.raises(UserError) as error:
        imported(release, tmp_path / "kb", term_statuses=("X",))
    expected = "no name is kept of 3 in MRCONSO (left out: 3 by term_status); widen the filters"
    assert str(error.value) == expected


def test_quotes_and_the_word_null_in_a_name_are_no_damage(tmp_path: Path) -> None:
    names = [*NAMES, 'C0000002 ENG S L4 Y RX SY 519 N 5" "quoted\' NULL']
    kb = imported(write_release(tmp_path / "release", names), tmp_path / "kb")
    assert kb.names("C0000002").column("name").to_pylist() == ["allopurinol", '5" "quoted\' NULL']


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    release = write_release(tmp_path / "release")
    (release / "MRSTY.RRF").unlink()
    with pytest.raises(
        UserError,
        match=r"no MRSTY\.RRF, MRSTY\.RRF\.gz or MRSTY\.RRF\.aa\.gz; name the folder of a UMLS release",
    ):
        imported(release, tmp_path / "kb")


def test_a_broken_row_is_found_whatever_the_filters_look_at(tmp_path: Path) -> None:
    relations = [*RELATIONS, "C0000001 RO C0000002 - MSH N"]
    release = write_release(tmp_path / "release", relations=relations)
    damage(release / "MRREL.RRF", lambda b: b.replace(b"|||MSH|", b"||||MSH|"))
    with pytest.raises(UserError, match=r"MRREL\.RRF line 2: 17 fields, expected 16"):
        imported(release, tmp_path / "kb", keep_self_relations=True)


def test_an_unknown_concept_behind_an_empty_line_has_its_line(tmp_path: Path) -> None:
    release = write_release(tmp_path / "release", relations=["C0000001 RO C0000009 causes MSH N"])
    damage(release / "MRREL.RRF", lambda b: b"\n" + b)
    with pytest.raises(UserError, match=r"MRREL\.RRF line 2: C0000009 is no concept of MRCONSO"):
        imported(release, tmp_path / "kb")


def test_a_row_of_a_relation_has_sixteen_fields() -> None:
    assert relation_row(RELATIONS[0]) == "C0000001||CUI|RO|C0000002|||may_treat|||MED||||N||\n"
