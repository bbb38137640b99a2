"""Identifiers only: an export gives the same set again; the paper's index is read as its code reads it."""

import csv
from pathlib import Path

import pytest

from kebench.errors import UserError
from kebench.probe.index import export_ids, read_index
from kebench.probe.query_set import QuerySet
from kebench.umls.knowledge_base import KnowledgeBase
from tests.probe.sets import NAMES, RELATIONS, answers_by_text, built, small_kb


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("mode", ["fixed", "released"])
def test_the_export_of_a_set_gives_its_very_bytes_again(
    mode: str, mini_kbs: dict[str, KnowledgeBase], mini_sets: dict[str, QuerySet], tmp_path: Path
) -> None:
    number = export_ids(mini_sets[mode], tmp_path / "ids.csv")
    again = built(mini_kbs[mode], tmp_path / "again", index=tmp_path / "ids.csv")
    assert number == len(again) == len(mini_sets[mode])
    assert again.table().equals(mini_sets[mode].table())
    assert again.path.read_bytes() == mini_sets[mode].path.read_bytes()
    assert set(again.manifest.missing.values()) == {0}
    assert again.manifest.inputs[0].name == "ids.csv"


def test_an_export_holds_identifiers_and_no_names(tmp_path: Path) -> None:
    query_set = built(small_kb(tmp_path), tmp_path / "set", relations=("may_treat",))
    export_ids(query_set, tmp_path / "ids.csv")
    assert (tmp_path / "ids.csv").read_text().splitlines() == [
        "cui,lui,relation,direction",
        "C0000001,L01,may_treat,head",
        "C0000005|C0000006,L07|L08,may_treat,head",
        "C0000007,L09,may_treat,tail",
        "C0000002,L03,may_treat,tail",
        "C0000003,L04,may_treat,tail",
    ]


def test_the_same_export_twice_is_fine_and_another_file_is_not_overwritten(tmp_path: Path) -> None:
    query_set = built(small_kb(tmp_path), tmp_path / "set")
    for _ in range(2):
        export_ids(query_set, tmp_path / "ids.csv")
    mine = written(tmp_path / "mine.csv", "something else\n")
    with pytest.raises(UserError, match=r"mine\.csv: exists with other content; name a new file"):
        export_ids(query_set, mine)
    assert mine.read_text() == "something else\n"


# Of the release in sets.py the released reader keeps the rows with TS P: L01, L03, L04, L06 to L09.
PAPERS_INDEX = """lui,relation,order
L03,may_treat,1
L01,may_treat,0
L08|L07,may_treat,0
L01|L06,isa,1
L04,form_of,1
L03,form_of,1
"""


def test_the_papers_index_worked_by_hand(tmp_path: Path) -> None:
    """Order 1: "name WORDS [MASK].", answers are the tails; order 0: "[MASK] WORDS name.", the heads."""
    kb = small_kb(tmp_path, "released")
    index = written(tmp_path / "build_index.csv", PAPERS_INDEX)
    query_set = built(kb, tmp_path / "set", index=index)
    rows = query_set.table().to_pylist()
    found = [(row["text"], [answer["cui"] for answer in row["answers"]]) for row in rows]
    assert found == [
        ("propranolol may treat [MASK].", ["C0000001", "C0000005"]),
        ("[MASK] may treat essential tremor.", ["C0000002", "C0000003", "C0000007"]),
        # The text shows the first LUI, the answers are those of all.
        ("[MASK] may treat migraine.", ["C0000002", "C0000003"]),
        ("essential tremor is a [MASK].", ["C0000004"]),  # C4 isa nothing more
        # Brackets go, and the hyphen becomes a blank.
        ("propranolol hydrochloride is form of [MASK].", ["C0000002"]),
        ("propranolol is form of [MASK].", []),  # nothing is there; the released code asks all the same
    ]
    assert [row["given"] for row in rows][2] == ["C0000006", "C0000005"]
    assert [row["luis"] for row in rows][2] == ["L08", "L07"]
    assert rows[0]["answers"][0]["names"] == ["essential tremor"]  # the synonym is not preferred
    # C7's only name is cleaned to nothing, which any text holds.
    assert rows[1]["answers"][2]["names"] == [""]
    assert [row["is_type_1_released"] for row in rows] == [False, True, False, True, True, False]
    assert [row["is_type_1"] for row in rows] == [False, False, False, True, True, False]
    assert query_set.manifest.counts["without_answers"] == 1
    assert query_set.manifest.counts["queries_before_cap"] is None


def test_the_papers_index_is_exported_and_read_again_as_ours(tmp_path: Path) -> None:
    kb = small_kb(tmp_path, "released")
    index = written(tmp_path / "build_index.csv", PAPERS_INDEX)
    first = built(kb, tmp_path / "first", index=index)
    export_ids(first, tmp_path / "ids.csv")
    assert built(kb, tmp_path / "second", index=tmp_path / "ids.csv").table().equals(first.table())


def test_what_the_release_lacks_is_counted(tmp_path: Path) -> None:
    lines = (
        "L99,may_treat,0\nL99|L01,may_treat,0\nL01,cures,0\nL98,cures,1\nL09,may_treat,1\nL03,may_treat,1\n"
    )
    index = written(tmp_path / "index.csv", f"lui,relation,order\n{lines}")
    query_set = built(small_kb(tmp_path, "released"), tmp_path / "set", index=index)
    assert query_set.manifest.missing == {
        "luis": 2,  # L98, L99
        "relations": 1,  # cures
        "queries_without_relation": 2,
        "queries_without_concept": 1,
        "queries_with_fewer_concepts": 1,
    }
    assert query_set.manifest.counts["left_out"] == {"empty_name": 1, "mask_in_name": 0}  # L09
    assert list(answers_by_text(query_set)) == [
        "[MASK] may treat essential tremor.",
        "propranolol may treat [MASK].",
    ]


def test_another_release_with_one_concept_less_gives_the_rest_of_the_set(tmp_path: Path) -> None:
    export_ids(built(small_kb(tmp_path), tmp_path / "set"), tmp_path / "ids.csv")
    fewer = small_kb(
        tmp_path / "fewer",
        names=[name for name in NAMES if not name.startswith("C0000005")],
        relations=[row for row in RELATIONS if "C0000005" not in row],
    )
    query_set = built(fewer, tmp_path / "again", index=tmp_path / "ids.csv")
    assert query_set.manifest.missing["luis"] == 1
    assert query_set.manifest.missing["queries_with_fewer_concepts"] == 1
    assert answers_by_text(query_set)["[MASK] may treat migraine."] == ["C0000003"]


def test_a_concept_without_lui_is_found_by_its_cui(tmp_path: Path) -> None:
    names = [name.replace(" L03 ", "  ") for name in NAMES]
    kb = small_kb(tmp_path, names=names)
    query_set = built(kb, tmp_path / "set", relations=("form_of",))
    assert query_set.table(["luis"])["luis"].to_pylist() == [[""], ["L04"]]
    export_ids(query_set, tmp_path / "ids.csv")
    assert built(kb, tmp_path / "again", index=tmp_path / "ids.csv").table().equals(query_set.table())


def test_an_index_of_one_relation_only(mini_kbs: dict[str, KnowledgeBase], tmp_path: Path) -> None:
    export_ids(built(mini_kbs["fixed"], tmp_path / "set"), tmp_path / "ids.csv")
    some = built(mini_kbs["fixed"], tmp_path / "some", index=tmp_path / "ids.csv", relations=("may_treat",))
    assert set(some.table(["relation"])["relation"].to_pylist()) == {"may_treat"}
    assert some.manifest.missing["relations"] == 0


def test_the_miniature_by_an_index_in_the_papers_form(
    mini_kbs: dict[str, KnowledgeBase], mini_sets: dict[str, QuerySet], tmp_path: Path
) -> None:
    """The released set, written as the paper's index and read again, is the same set."""
    rows = mini_sets["released"].table(["luis", "relation", "direction"]).to_pylist()
    with (tmp_path / "build_index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["lui", "relation", "order"])
        for row in rows:
            order = {"head": 0, "tail": 1}[row["direction"]]
            writer.writerow(["|".join(row["luis"]), row["relation"], order])
    again = built(mini_kbs["released"], tmp_path / "again", index=tmp_path / "build_index.csv")
    assert again.table().equals(mini_sets["released"].table())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "lui,relation\nL1,isa\n",
            " line 1: no column cui; expected cui,lui,relation,direction or lui,relation,",
        ),
        ("lui,order\nL1,1\n", " line 1: no column relation; expected"),
        ("lui,relation,order\nL1,isa,2\n", " line 2: order '2', expected 0 or 1; mend this line, or fetch"),
        ("lui,relation,order\nL1,isa,1\nL1,isa\n", " line 3: not 3 columns as in line 1; mend this line"),
        ("lui,relation,order\nL1,isa,1,x\n", " line 2: not 3 columns as in line 1; mend this line"),
        ("lui,relation,order\nL1|,isa,1\n", " line 2: an empty identifier; mend this line"),
        ("lui,relation,order\nL1,,1\n", " line 2: no relation; mend this line"),
        ("cui,lui,relation,direction\nC1|C2,L1,isa,head\n", " line 2: 2 CUIs and 1 LUIs; mend this line"),
        (
            "cui,lui,relation,direction\nC1,L1,isa,up\n",
            " line 2: direction 'up', expected head or tail; mend",
        ),
        ("lui,relation,order\n", ": no line but the header; check the file"),
        ("", " line 1: no column cui; expected"),
        ('lui,relation,order\n"L1,isa,1\n', ": not CSV (unexpected end of data); fetch the index again"),
    ],
)
def test_a_damaged_index_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    index = written(tmp_path / "index.csv", text)
    with pytest.raises(UserError) as caught:
        read_index(index)
    assert str(caught.value).startswith(f"{index}{message}")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_bytes(b"lui,relation,order\nL\xff,isa,1\n")
    with pytest.raises(
        UserError, match=r"index\.csv: not UTF-8 \(invalid start byte\); fetch the index again"
    ):
        read_index(tmp_path / "index.csv")
