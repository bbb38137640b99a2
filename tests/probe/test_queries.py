"""Which queries a knowledge base gives: texts, both directions, merging, the cap, what is left out."""

import hashlib
from pathlib import Path

import pyarrow.compute
import pytest

from kebench.errors import UserError
from kebench.probe.build import build_set, plan_set
from kebench.probe.query_set import COLUMNS, QuerySet
from kebench.probe.recipe import read_probe_recipe
from kebench.umls import database
from kebench.umls.knowledge_base import KnowledgeBase
from kebench.umls.names import normalise
from tests.probe.sets import NAMES, RELATIONS, answers_by_text, built, small_kb


def test_every_triple_asks_for_both_its_ends(tmp_path: Path) -> None:
    found = answers_by_text(built(small_kb(tmp_path), tmp_path / "set", relations=("may_treat",)))
    assert found == {
        # C2 and C3 both treat C1; both migraines have one text, and with it the drugs of either.
        "[MASK] may treat essential tremor.": ["C0000002", "C0000003", "C0000007"],
        "[MASK] may treat migraine.": ["C0000002", "C0000003"],
        "propranolol may treat [MASK].": ["C0000001", "C0000005"],
        # The hyphen stays, the qualifier goes.
        "propranolol-hydrochloride may treat [MASK].": ["C0000001", "C0000006"],
        "(131) may treat [MASK].": ["C0000001"],
    }


def test_queries_of_one_text_show_every_concept_of_it(tmp_path: Path) -> None:
    rows = built(small_kb(tmp_path), tmp_path / "set").table().to_pylist()
    merged = next(row for row in rows if row["text"] == "[MASK] may treat migraine.")
    assert (merged["given"], merged["luis"]) == (["C0000005", "C0000006"], ["L07", "L08"])
    assert (merged["relation"], merged["direction"]) == ("may_treat", "head")


def test_an_answer_has_all_its_names_and_types(tmp_path: Path) -> None:
    rows = built(small_kb(tmp_path), tmp_path / "set").table().to_pylist()
    (answer, *_) = next(row["answers"] for row in rows if row["text"] == "propranolol may treat [MASK].")
    assert answer == {
        "cui": "C0000001",
        "name": "Essential Tremor",
        "names": ["essential tremor", "tremor essential"],
        "semantic_types": ["T047"],
    }


def test_queries_stand_by_relation_direction_and_text_and_are_numbered(
    mini_sets: dict[str, QuerySet],
) -> None:
    for query_set in mini_sets.values():
        rows = query_set.table(["query_id", "relation", "direction", "text"]).to_pylist()
        keys = [(row["relation"], row["direction"], row["text"]) for row in rows]
        assert keys == sorted(set(keys))
        assert [row["query_id"] for row in rows] == list(range(len(query_set)))


def test_the_columns_are_the_declared_ones(mini_sets: dict[str, QuerySet]) -> None:
    for query_set in mini_sets.values():
        assert query_set.table().column_names == list(COLUMNS)


def test_every_text_holds_the_blank_once_where_the_direction_says(mini_sets: dict[str, QuerySet]) -> None:
    for query_set in mini_sets.values():
        for row in query_set.table(["direction", "text"]).to_pylist():
            assert row["text"].count("[MASK]") == 1
            assert row["text"].endswith("[MASK]." if row["direction"] == "tail" else ".")
            assert row["text"].startswith("[MASK]") == (row["direction"] == "head")


def test_every_answer_is_a_triple_and_every_triple_of_the_given_concepts_is_an_answer(
    mini_kbs: dict[str, KnowledgeBase], mini_sets: dict[str, QuerySet]
) -> None:
    for mode, kb in mini_kbs.items():
        triples = [tuple(row.values()) for row in kb.triples().read_all().to_pylist()]
        tails: dict[tuple[str, str], set[str]] = {}
        heads: dict[tuple[str, str], set[str]] = {}
        for head, relation, tail in triples:
            tails.setdefault((head, relation), set()).add(tail)
            heads.setdefault((tail, relation), set()).add(head)
        for row in mini_sets[mode].table().to_pylist():
            found = tails if row["direction"] == "tail" else heads
            expected = set().union(*(found[cui, row["relation"]] for cui in row["given"]))
            assert {answer["cui"] for answer in row["answers"]} == expected


def test_a_relation_keeps_the_queries_of_the_least_md5(
    mini_kbs: dict[str, KnowledgeBase], mini_sets: dict[str, QuerySet], tmp_path: Path
) -> None:
    every = built(mini_kbs["fixed"], tmp_path / "all", max_queries_per_relation=999_999, seed=0)
    assert len(every) == every.manifest.counts["queries_before_cap"]
    names = {row["cui"]: row["name"] for row in mini_kbs["fixed"].concepts().to_pylist()}
    by_relation: dict[str, list[tuple[str, str]]] = {}
    for row in every.table(["relation", "direction", "given", "text"]).to_pylist():
        key = f"0|{row['relation']}|{row['direction']}|{names[row['given'][0]].lower()}"
        digest = hashlib.md5(key.encode()).hexdigest()
        by_relation.setdefault(row["relation"], []).append((digest, row["text"]))
    expected = {text for rows in by_relation.values() for _, text in sorted(rows)[:20]}
    assert set(answers_by_text(mini_sets["fixed"])) == expected
    counts = mini_sets["fixed"].manifest.by_relation
    assert {name: of["queries_before_cap"] for name, of in counts.items()} == {
        name: len(rows) for name, rows in by_relation.items()
    }


def test_another_seed_keeps_others_and_small_relations_whole(
    mini_kbs: dict[str, KnowledgeBase], mini_sets: dict[str, QuerySet], tmp_path: Path
) -> None:
    other = built(mini_kbs["fixed"], tmp_path / "other", seed=1)
    first, second = (set(answers_by_text(one)) for one in (mini_sets["fixed"], other))
    assert len(first) == len(second)
    assert first != second
    for relation, counts in other.manifest.by_relation.items():
        assert counts["queries"] == min(20, counts["queries_before_cap"]), relation


def test_a_set_is_the_same_bytes_with_any_number_of_threads(
    mini_kbs: dict[str, KnowledgeBase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = database.connect
    for mode, kb in mini_kbs.items():
        hashes = set()
        for threads in (1, 8):

            def connect_with_threads(threads: int = threads) -> database.Connection:
                connection = connect()
                connection.execute(f"SET threads = {threads}")
                return connection

            monkeypatch.setattr(database, "connect", connect_with_threads)
            hashes.add(built(kb, tmp_path / f"{mode} {threads}").manifest.queries_sha256)
        assert len(hashes) == 1


def test_the_same_set_twice_is_the_same_bytes(
    mini_kbs: dict[str, KnowledgeBase], mini_sets: dict[str, QuerySet], tmp_path: Path
) -> None:
    for mode, kb in mini_kbs.items():
        again = built(kb, tmp_path / mode)
        assert again.path.read_bytes() == mini_sets[mode].path.read_bytes()
        assert again.manifest.content_hash == mini_sets[mode].manifest.content_hash


def test_names_that_cannot_be_shown_are_left_out_and_counted(tmp_path: Path) -> None:
    names = [*NAMES, "C0000008 ENG P L10 Y MSH PT D8 N test [MASK] kit"]
    relations = [*RELATIONS, "C0000005 RO C0000008 may_treat MSH N"]
    kb = small_kb(tmp_path, names=names, relations=relations)
    query_set = built(kb, tmp_path / "set")
    assert query_set.manifest.counts["left_out"] == {"empty_name": 0, "mask_in_name": 1}
    assert "C0000008" in answers_by_text(query_set)["[MASK] may treat migraine."]
    released = built(small_kb(tmp_path, "released", names=names, relations=relations), tmp_path / "old")
    # "(131)" is cleaned to nothing: one query to leave out; C8 another.
    assert released.manifest.counts["left_out"] == {"empty_name": 1, "mask_in_name": 1}
    assert all(row.count("[MASK]") == 1 for row in answers_by_text(released))


def test_case_is_kept_if_the_recipe_says_so(tmp_path: Path) -> None:
    cased = built(small_kb(tmp_path), tmp_path / "set", lower_case=False, relations=("form_of",))
    assert set(answers_by_text(cased)) == {
        "Propranolol-Hydrochloride is form of [MASK].",
        "[MASK] is form of Propranolol.",
    }


@pytest.mark.parametrize(
    ("text", "word_bounded", "released"),
    [
        # A tremor is in "essential tremor", as a word and as a part.
        ("essential tremor is a [MASK].", True, True),
        # "propranolol" is a word of the other's normal form, whose hyphen is a blank.
        ("propranolol-hydrochloride is form of [MASK].", True, True),
        ("[MASK] includes essential tremor.", True, True),
        ("tremor includes [MASK].", False, False),
        ("[MASK] is form of propranolol.", False, False),
    ],
)
def test_type_1_by_both_rules(text: str, word_bounded: bool, released: bool, tmp_path: Path) -> None:
    rows = {row["text"]: row for row in built(small_kb(tmp_path), tmp_path / "set").table().to_pylist()}
    assert (rows[text]["is_type_1"], rows[text]["is_type_1_released"]) == (word_bounded, released)


def test_a_name_within_a_word_is_type_1_only_by_the_released_rule(tmp_path: Path) -> None:
    names = ("C1 ENG P L1 Y A PT 1 N Neuropathy", "C2 ENG P L2 Y A PT 2 N Path")
    kb = small_kb(tmp_path, names=names, relations=("C2 RO C1 part_of A N",), types=("C1 T047 Disease",))
    (row, _) = built(kb, tmp_path / "set").table().sort_by([("direction", "descending")]).to_pylist()
    assert row["text"] == "neuropathy is part of [MASK]."
    assert (row["is_type_1"], row["is_type_1_released"]) == (False, True)


def test_both_types_are_those_of_a_plain_rewriting(mini_sets: dict[str, QuerySet]) -> None:
    for mode, query_set in mini_sets.items():
        rows = query_set.table().to_pylist()
        bare = [row["text"].replace("[MASK]", "").strip(" .") for row in rows]
        for row, text in zip(rows, normalise(bare, form=mode), strict=True):
            names = [name for answer in row["answers"] for name in answer["names"]]
            gold = [*names, *(answer["cui"] for answer in row["answers"])]
            assert row["is_type_1"] == any(name and f" {name} " in f" {text} " for name in names)
            assert row["is_type_1_released"] == any(name.lower() in row["text"].lower() for name in gold)


def test_counts_add_up(mini_sets: dict[str, QuerySet]) -> None:
    for query_set in mini_sets.values():
        counts, by_relation = query_set.manifest.counts, query_set.manifest.by_relation
        assert counts["queries"] == len(query_set) == query_set.table().num_rows
        assert counts["relations"] == len(by_relation) == sum(counts["relations_by_rule"].values())
        for name in ("queries", "answers", "type_1", "type_2", "type_1_released", "queries_before_cap"):
            assert counts[name] == sum(of[name] for of in by_relation.values())
        assert counts["type_1"] + counts["type_2"] == counts["queries"]
        answers = pyarrow.compute.list_value_length(query_set.table(["answers"])["answers"])
        assert counts["mean_cuis"] == pytest.approx(pyarrow.compute.mean(answers).as_py(), abs=1e-4)


def test_facts_stored_once_and_twice_are_told_apart(mini_sets: dict[str, QuerySet], tmp_path: Path) -> None:
    assert mini_sets["fixed"].manifest.facts_stored == "twice"
    once = built(small_kb(tmp_path), tmp_path / "set").manifest
    # Of eight triples isa and inverse_isa are each other's reverse.
    assert (once.facts_stored, once.reverse_share, once.counts["triples"]) == ("once", 0.25, 8)


def test_released_sets_show_cleaned_names_and_released_words(mini_sets: dict[str, QuerySet]) -> None:
    texts = answers_by_text(mini_sets["released"])
    assert any(" is may be treated by " in text for text in texts)
    assert any(" inverse is a " in text for text in texts)
    assert set(mini_sets["released"].manifest.counts["relations_by_rule"]) == {"released"}


def test_the_mode_must_be_that_of_the_knowledge_base(mini_kbs: dict[str, KnowledgeBase]) -> None:
    with pytest.raises(UserError) as caught:
        plan_set(mini_kbs["fixed"], read_probe_recipe("mini", mode="released"))
    assert str(caught.value) == (
        f"{mini_kbs['fixed'].folder}: imported in mode fixed; for a set in mode released: "
        "kebench kb import RELEASE --mode released --out ANOTHER_KB"
    )


def test_no_triples_and_unknown_relations_are_refused(
    mini_kbs: dict[str, KnowledgeBase], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"no triple has the relation 'may_tret'; did you mean 'may_treat'\?"):
        built(mini_kbs["fixed"], tmp_path / "set", relations=("may_tret",))
    empty = small_kb(tmp_path, relations=("C0000001 RO C0000001 may_treat MSH N",))
    with pytest.raises(UserError, match="no triples, so nothing to ask; import a release with relations"):
        built(empty, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_set_whose_names_are_all_empty_is_refused(tmp_path: Path) -> None:
    names = ("C1 ENG P L1 Y A PT 1 N (1)", "C2 ENG P L2 Y A PT 2 N (2)")
    kb = small_kb(
        tmp_path, "released", names=names, relations=("C2 RO C1 of A N",), types=("C1 T047 Disease",)
    )
    with pytest.raises(UserError, match=r"no query is left \(2 empty name\); nothing was written"):
        built(kb, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_set_that_is_there_is_not_made_again_and_another_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kb = small_kb(tmp_path)
    caplog.set_level("INFO")
    before = built(kb, tmp_path / "set").manifest.provenance
    assert built(kb, tmp_path / "set").manifest.provenance == before
    assert "holds this very set of queries already; nothing to do" in caplog.text
    with pytest.raises(UserError, match=r"holds another set of queries \(set, \d+ queries\); choose another"):
        built(kb, tmp_path / "set", seed=1)
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="exists and is no set of queries; choose another --out"):
        built(kb, tmp_path / "other")


def test_neither_name_nor_sharing_makes_another_set(tmp_path: Path) -> None:
    kb = small_kb(tmp_path)
    plans = [
        plan_set(kb, read_probe_recipe(recipe, max_queries_per_relation=20))
        for recipe in ("mini", "open", "umls-2020aa")
    ]
    assert len({plan.content_hash for plan in plans}) == 1
    build_set(plans[0], tmp_path / "set")
    assert build_set(plans[1], tmp_path / "set").name == "set"


def test_a_damaged_set_is_refused(tmp_path: Path) -> None:
    query_set = built(small_kb(tmp_path), tmp_path / "set")
    query_set.path.write_bytes(query_set.path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"queries\.parquet: not the file that set\.json describes; copy the"):
        QuerySet.open(query_set.folder)
    query_set.path.unlink()
    with pytest.raises(UserError, match=r"queries\.parquet: missing; copy the set again, or build it again"):
        QuerySet.open(query_set.folder)
    with pytest.raises(UserError, match=r"no set of queries \(set\.json is missing\)"):
        QuerySet.open(tmp_path)
