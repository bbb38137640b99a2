"""Pools of candidates: who is in them, who is true for whom, which queries are ranked, shots, flags."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from kebench.errors import UserError
from kebench.files import hash_of
from kebench.probe.build import build_set, plan_set
from kebench.probe.forms import answer_forms, ends_in_modifier, turned
from kebench.probe.index import export_ids
from kebench.probe.pools import LEAST, MOST
from kebench.probe.query_set import ASKED, CANDIDATES, FLAGS, SHOTS, QuerySet
from kebench.probe.recipe import read_probe_recipe, read_quality, read_templates, read_wordings
from kebench.umls.database import connect
from kebench.umls.knowledge_base import KnowledgeBase
from tests.probe.sets import NAMES, RELATIONS, TYPES, built, small_kb


def pools_of(query_set: QuerySet) -> dict[int, list[dict[str, Any]]]:
    """Return the candidates of each pool, in order."""
    pools: dict[int, list[dict[str, Any]]] = {}
    for row in query_set.candidates().to_pylist():
        pools.setdefault(row["pool_id"], []).append(row)
    return pools


def keys_of(names: Iterable[str]) -> dict[str, str]:
    """Return what each name is compared as."""
    several = list(set(names))
    return {name: key for name, (_, key) in zip(several, answer_forms(several), strict=True)}


def asked_by_text(query_set: QuerySet) -> dict[str, dict[str, Any]]:
    texts = query_set.table(["text"])["text"].to_pylist()
    return {texts[row["query_id"]]: row for row in query_set.asked().to_pylist()}


def one_to_one(folder: Path, number: int, *, types: tuple[str, ...] = (), **more: Any) -> KnowledgeBase:
    """Import a knowledge base of so many facts: drug n treats disease n."""
    names = [f"C{n:04} ENG P L{n} Y A PT {n} N drug {chr(65 + n % 26)}{n}x" for n in range(number)]
    names += [f"D{n:04} ENG P M{n} Y A PT d{n} N illness {chr(65 + n % 26)}{n}y" for n in range(number)]
    relations = [f"D{n:04} RO C{n:04} may_treat A N" for n in range(number)]
    rows = {
        "names": [*names, *more.get("names", ())],
        "relations": [*relations, *more.get("relations", ())],
        "types": types or ("C0000 T121 Drug",),
    }
    return small_kb(folder, **rows)


def test_candidates_of_a_pool_differ_and_stand_by_place(mini_sets: dict[str, QuerySet]) -> None:
    pools = pools_of(mini_sets["fixed"])
    key = keys_of(row["name"] for pool in pools.values() for row in pool)
    assert list(pools) == list(range(len(pools)))
    for pool in pools.values():
        assert 5 <= len(pool) <= MOST
        assert [row["place"] for row in pool] == list(range(len(pool)))
        assert len({(row["relation"], row["direction"]) for row in pool}) == 1
        assert len({key[row["name"]] for row in pool}) == len(pool)
        assert len({cui for row in pool for cui in row["cuis"]}) == sum(len(row["cuis"]) for row in pool)


def test_names_of_a_candidate_are_the_shown_one_and_the_shortest_others(
    mini_kbs: dict[str, KnowledgeBase], mini_sets: dict[str, QuerySet]
) -> None:
    rows = mini_sets["fixed"].candidates().to_pylist()
    table = mini_kbs["fixed"].names([row["cui"] for row in rows]).select(["cui", "name"])
    key = keys_of([*table["name"].to_pylist(), *(name for row in rows for name in row["names"])])
    borne = {(row["cui"], key[row["name"]]) for row in table.to_pylist()}
    for row in rows:
        names = row["names"]
        assert names[0] == row["name"]
        assert row["cui"] in row["cuis"]
        assert len(names) <= 5
        assert len({key[name] for name in names}) == len({name.lower() for name in names}) == len(names)
        assert [len(name) for name in names[1:]] == sorted(len(name) for name in names[1:])
        assert {(row["cui"], key[name]) for name in names} <= borne
    assert max(len(row["names"]) for row in rows) > 1


def test_true_places_are_those_of_a_plain_rewriting(mini_sets: dict[str, QuerySet]) -> None:
    query_set = mini_sets["fixed"]
    pools, answers = pools_of(query_set), query_set.table(["answers"])["answers"].to_pylist()
    key = keys_of(
        [name for pool in pools.values() for row in pool for name in row["names"]]
        + [name for of in answers for answer in of for name in answer["names"]]
    )
    for row in query_set.asked().to_pylist():
        pool, true = pools[row["pool_id"]], answers[row["query_id"]]
        cuis = {answer["cui"] for answer in true}
        accepted = {key[name] for answer in true for name in answer["names"]}
        assert row["true_places"] == [
            place
            for place, candidate in enumerate(pool)
            if cuis & set(candidate["cuis"]) or key[candidate["name"]] in accepted
        ]
        assert row["true_places"]
        # No name under which a distractor is scored is right.
        for place, candidate in enumerate(pool):
            if place not in row["true_places"]:
                assert not accepted & {key[name] for name in candidate["names"]}


def test_every_answer_of_the_queries_stands_in_a_pool_that_is_not_full(
    mini_sets: dict[str, QuerySet],
) -> None:
    query_set = mini_sets["fixed"]
    standing = {
        (row["relation"], row["direction"], cui)
        for row in query_set.candidates().to_pylist()
        for cui in row["cuis"]
    }
    kept = {(relation, direction) for relation, direction, _ in standing}
    for row in query_set.table(["relation", "direction", "answers"]).to_pylist():
        if (row["relation"], row["direction"]) in kept:
            found = {(row["relation"], row["direction"], answer["cui"]) for answer in row["answers"]}
            assert found <= standing
    pools = query_set.pools
    assert pools is not None
    assert pools.ranked + sum(pools.not_ranked.values()) == len(query_set)


def test_the_subject_is_shown_in_natural_case_and_the_text_is_the_first_statement(
    mini_sets: dict[str, QuerySet],
) -> None:
    query_set = mini_sets["fixed"]
    texts = query_set.table(["text", "relation", "direction"]).to_pylist()
    subjects = query_set.asked().to_pylist()
    assert any(row["subject"] != row["subject"].lower() for row in subjects)
    for row in subjects:
        asked = texts[row["query_id"]]
        (statement,) = query_set.wordings(asked["relation"]).statements
        given, blank = ("[X]", "[Y]") if asked["direction"] == "tail" else ("[Y]", "[X]")
        text = statement.replace(blank, "[MASK]").replace(given, row["subject"].lower())
        assert text == asked["text"]


def test_a_pool_ends_at_a_hundred_and_queries_without_a_true_answer_in_it_are_not_ranked(
    tmp_path: Path,
) -> None:
    query_set = built(one_to_one(tmp_path, 150), tmp_path / "set", max_queries_per_relation=1000)
    assert query_set.pools is not None
    pool = query_set.pools.by_relation["may_treat"]["tail"]
    assert (pool.asked, pool.reached, pool.answers, pool.queries, pool.ranked) == (100, 100, 150, 150, 100)
    assert query_set.pools.not_ranked["no_true_candidate"] == 100  # 50 in each direction
    for row in query_set.asked().to_pylist():
        assert len(row["true_places"]) == 1


def test_at_least_one_true_answer_of_every_query_is_in_though_the_pool_is_full(tmp_path: Path) -> None:
    # Drug 0 treats 150 further diseases, which crowd nobody out.
    names = [f"E{n:04} ENG P N{n} Y A PT e{n} N ailment {n}z" for n in range(150)]
    relations = [f"E{n:04} RO C0000 may_treat A N" for n in range(150)]
    kb = one_to_one(tmp_path, 60, names=names, relations=relations)
    query_set = built(kb, tmp_path / "set", max_queries_per_relation=1000)
    assert query_set.pools is not None
    pool = query_set.pools.by_relation["may_treat"]["tail"]
    assert (pool.answers, pool.reached, pool.queries, pool.ranked) == (210, 100, 60, 60)


def test_another_seed_chooses_other_candidates(tmp_path: Path) -> None:
    kb = one_to_one(tmp_path, 150)
    sets = [
        built(kb, tmp_path / f"{seed}", max_queries_per_relation=1000, seed=seed).candidates()["cui"]
        for seed in (0, 1)
    ]
    assert set(sets[0].to_pylist()) != set(sets[1].to_pylist())


def test_small_pools_are_filled_from_the_relation_and_then_by_semantic_type(tmp_path: Path) -> None:
    # Of 30 facts 8 are asked, 4 a direction: the rest of the relation's answers fill up.
    query_set = built(one_to_one(tmp_path / "a", 30), tmp_path / "set", max_queries_per_relation=8)
    assert query_set.pools is not None
    for pool in query_set.pools.by_relation["may_treat"].values():
        assert (pool.reached, pool.fill_ups.relation, pool.fill_ups.type) == (LEAST, LEAST - pool.answers, 0)
        assert pool.taken_from == "relation"
    # A relation of 3 facts, in a set with one of 30: answers of that one, of the same types.
    names = [f"F000{n} ENG P O{n} Y A PT f{n} N ache {n}" for n in range(3)]
    relations = [f"F000{n} RO C000{n} may_palliate A N" for n in range(3)]
    types = tuple(
        [f"C{n:04} T121 Drug" for n in range(30)] + [f"D{n:04} T047 Disease" for n in range(15)]
        + [f"F000{n} T047 Disease" for n in range(3)]
    )  # fmt: skip
    kb = one_to_one(tmp_path / "b", 30, types=types, names=names, relations=relations)
    query_set = built(kb, tmp_path / "typed", max_queries_per_relation=1000)
    assert query_set.pools is not None
    pool = query_set.pools.by_relation["may_palliate"]["tail"]
    assert (pool.reached, pool.answers, pool.fill_ups.type, pool.taken_from) == (18, 3, 15, "type")
    (filled,) = [rows for rows in pools_of(query_set).values() if rows[0]["relation"] == "may_palliate"
                 and rows[0]["direction"] == "tail"]  # fmt: skip
    assert {row["cui"] for row in filled if row["source"] == "type"} == {f"D{n:04}" for n in range(15)}
    assert {row["semantic_types"][0] for row in filled} == {"T047"}


def test_fewer_than_five_candidates_are_not_ranked(tmp_path: Path) -> None:
    query_set = built(small_kb(tmp_path), tmp_path / "set", relations=("form_of", "isa"))
    assert query_set.pools is not None
    assert query_set.candidates().num_rows == query_set.asked().num_rows == 0
    assert query_set.pools.not_ranked["pool_too_small"] == len(query_set) == 4
    assert query_set.pools.by_relation["isa"]["tail"].too_small


# Six drugs and what they treat; C5 and C6 are both migraine, "tremor" is a name of C1 and that of C4.
MORE_NAMES = (
    *NAMES,
    "C0000001 ENG S L20 Y MSH SY D1 N Tremor",
    *(f"C000001{n} ENG P L3{n} Y RX PT S{n} N Drug {chr(65 + n)}" for n in range(5)),
    *(f"C000002{n} ENG P L4{n} Y RX PT T{n} N Illness {chr(65 + n)}" for n in range(5)),
)
MORE_RELATIONS = (
    *RELATIONS,
    *(f"C000002{n} RO C000001{n} may_treat MSH N" for n in range(5)),
    "C0000004 RO C0000010 may_treat MSH N",
)


@pytest.fixture
def more(tmp_path: Path) -> QuerySet:
    kb = small_kb(tmp_path, names=MORE_NAMES, relations=MORE_RELATIONS)
    return built(kb, tmp_path / "set", relations=("may_treat",))


def test_two_answers_of_one_normal_form_are_one_candidate_and_true_for_both(more: QuerySet) -> None:
    (pool, *_) = [of for of in pools_of(more).values() if of[0]["direction"] == "tail"]
    (migraine,) = [row for row in pool if row["cuis"] == ["C0000005", "C0000006"]]
    assert migraine["name"].lower() == "migraine"
    asked = asked_by_text(more)
    for drug in ("propranolol", "propranolol-hydrochloride"):  # of C5 and of C6
        assert migraine["place"] in asked[f"{drug} may treat [MASK]."]["true_places"]
    assert more.pools is not None
    assert more.pools.by_relation["may_treat"]["tail"].merged == 1


def test_a_candidate_that_is_right_by_name_is_no_distractor(more: QuerySet) -> None:
    (pool, *_) = [of for of in pools_of(more).values() if of[0]["direction"] == "tail"]
    place = {row["cui"]: row["place"] for row in pool}
    # Propranolol treats C1, of which Tremor, the name of C4, is another name. C1 is not right for C4's drug.
    asked = asked_by_text(more)
    assert place["C0000004"] in asked["propranolol may treat [MASK]."]["true_places"]
    assert place["C0000001"] not in asked["drug a may treat [MASK]."]["true_places"]
    (essential,) = [row for row in pool if row["cui"] == "C0000001"]
    assert essential["names"] == ["Essential Tremor"]  # not Tremor, which another one is called; no comma
    assert more.pools is not None
    assert more.pools.by_relation["may_treat"]["tail"].left_out.by_name > 0


def test_triples_of_a_candidate_are_counted(more: QuerySet) -> None:
    found = dict(zip(*more.candidates().select(["cui", "num_triples"]).to_pydict().values(), strict=True))
    # C2: treats C1 and C5, stated twice, and is a form of C3's. C7: treated by C1's drug alone.
    assert (found["C0000002"], found["C0000020"]) == (3, 1)


def test_a_candidate_with_the_subjects_name_is_marked(tmp_path: Path) -> None:
    # a is a b, b is a c, ...: each asks for one that another query names.
    names = [f"C{n} ENG P L{n} Y A PT {n} N thing {chr(97 + n)}" for n in range(8)]
    relations = [f"C{n + 1} CHD C{n} isa A N" for n in range(7)]
    kb = small_kb(tmp_path, names=names, relations=relations, types=("C0 T047 Disease",))
    query_set = built(kb, tmp_path / "set")
    pools = pools_of(query_set)
    rows = asked_by_text(query_set)
    row = rows["thing b is a [MASK]."]
    (place,) = row["subject_places"]
    assert pools[row["pool_id"]][place]["name"] == "thing b"
    assert row["flags"] == ["names_subject"]
    assert place not in row["true_places"]
    assert rows["thing a is a [MASK]."]["subject_places"] == []


def test_shots_are_facts_whose_question_is_not_asked(
    mini_kbs: dict[str, KnowledgeBase], mini_sets: dict[str, QuerySet]
) -> None:
    query_set = mini_sets["fixed"]
    triples = {tuple(row.values()) for row in mini_kbs["fixed"].triples().read_all().to_pylist()}
    asked = {
        (row["relation"], row["direction"], cui)
        for row in query_set.table(["relation", "direction", "given"]).to_pylist()
        for cui in row["given"]
    }
    shots = query_set.shots().to_pylist()
    names = {row["cui"]: row["name"] for row in mini_kbs["fixed"].concepts().to_pylist()}
    assert shots
    counted: dict[tuple[str, str], int] = {}
    for shot in shots:
        relation, direction = shot["relation"], shot["direction"]
        counted[relation, direction] = counted.get((relation, direction), 0) + 1
        (given,) = shot["given_cuis"]
        assert (relation, direction, given) not in asked
        head, tail = (given, shot["answer_cui"]) if direction == "tail" else (shot["answer_cui"], given)
        assert (head, relation, tail) in triples
        assert (shot["subject"], shot["answer"]) == (names[given], names[shot["answer_cui"]])
    assert max(counted.values()) <= 32
    assert query_set.pools is not None
    for relation, directions in query_set.pools.by_relation.items():
        for direction, pool in directions.items():
            assert pool.shots == counted.get((relation, direction), 0)


def test_facts_of_one_answer_come_first_as_shots_and_relations_asked_whole_have_none(tmp_path: Path) -> None:
    names = [f"E{n:04} ENG P N{n} Y A PT e{n} N ailment {n}z" for n in range(20)]
    relations = [f"E{n:04} RO C{n:04} may_treat A N" for n in range(20)]  # so C0000 to C0019 treat two
    kb = one_to_one(tmp_path, 60, names=names, relations=relations)
    query_set = built(kb, tmp_path / "set", max_queries_per_relation=10)
    shots = [row for row in query_set.shots().to_pylist() if row["direction"] == "tail"]
    assert len(shots) == 32
    assert all(int(row["given_cuis"][0][1:]) >= 20 for row in shots[:30])
    whole = built(kb, tmp_path / "whole", max_queries_per_relation=1000)
    assert whole.shots().num_rows == 0


def test_an_index_gives_the_same_pools_and_shots(
    mini_kbs: dict[str, KnowledgeBase], mini_sets: dict[str, QuerySet], tmp_path: Path
) -> None:
    export_ids(mini_sets["fixed"], tmp_path / "ids.csv")
    again = built(mini_kbs["fixed"], tmp_path / "again", index=tmp_path / "ids.csv")
    for name in (CANDIDATES, ASKED, SHOTS):
        first = (mini_sets["fixed"].folder / name).read_bytes()
        assert (again.folder / name).read_bytes() == first, name


def test_pools_are_part_of_a_sets_identity_and_its_queries_have_the_hash_of_before(
    mini_kbs: dict[str, KnowledgeBase],
) -> None:
    for mode, kb in mini_kbs.items():
        plan = plan_set(kb, read_probe_recipe("mini"))
        decides = {
            "mode": mode, "max_queries_per_relation": 20, "seed": 0, "lower_case": True, "relations": []
        }  # fmt: skip
        exceptions = read_templates("templates") if mode == "fixed" else {}
        version = 2 if mode == "fixed" else 1
        before = hash_of([version, kb.content_hash, decides, exceptions, None])
        assert plan.queries_hash == before
        assert (plan.content_hash == before) == (mode == "released")


def test_a_set_without_pools_opens_and_cannot_be_ranked(
    mini_sets: dict[str, QuerySet], tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(mini_sets["fixed"].folder, old)
    manifest = json.loads((old / "set.json").read_text())
    for field in ("pools", "wordings", "files", "queries_hash", "relations_left_out"):
        del manifest[field]
    (old / "set.json").write_text(json.dumps(manifest))
    query_set = QuerySet.open(old)
    assert query_set.pools is None
    assert len(query_set.table()) == len(query_set)
    for read in (query_set.candidates, query_set.asked, query_set.shots, lambda: query_set.wordings("isa")):
        with pytest.raises(UserError) as caught:
            read()
        assert str(caught.value) == (
            f"{old}: no pools of candidates, so nothing can be ranked; build or import it again, into "
            "another folder"
        )
    assert mini_sets["released"].pools is None
    with pytest.raises(UserError, match="those of mode released have none; build one of a knowledge base in"):
        mini_sets["released"].candidates()


def test_a_damaged_file_of_pools_is_refused(mini_sets: dict[str, QuerySet], tmp_path: Path) -> None:
    for name in (CANDIDATES, ASKED, SHOTS):
        folder = tmp_path / name
        shutil.copytree(mini_sets["fixed"].folder, folder)
        (folder / name).write_bytes((folder / name).read_bytes()[:-1])
        with pytest.raises(UserError, match=rf"{name}: not the file that set\.json describes; copy the set"):
            QuerySet.open(folder)
        (folder / name).unlink()
        with pytest.raises(UserError, match=rf"{name}: missing; copy the set again, or build it again"):
            QuerySet.open(folder)
    manifest = json.loads((mini_sets["fixed"].folder / "set.json").read_text())
    shutil.copytree(mini_sets["fixed"].folder, tmp_path / "set")
    for changes in ({"files": {}}, {"pools": manifest["pools"] | {"ranked": 3}}):
        (tmp_path / "set" / "set.json").write_text(json.dumps(manifest | changes))
        with pytest.raises(UserError, match=r"pools without files|3 ranked queries, asked\.parquet has"):
            QuerySet.open(tmp_path / "set")


def test_flags_are_those_of_the_queries(tmp_path: Path) -> None:
    names = [
        "C1 ENG P L1 Y A PT 1 N Heart Septal Defects, Atrial",
        "C2 ENG P L2 Y A PT 2 N Leukemia, Myeloid, Acute",
        "C2 ENG S L3 Y A SY 2 N Acute Myeloid Leukemia",
        "C3 ENG P L4 Y A PT 3 N Leukemia",
        "C3 ENG S L5 Y A SY 3 N myeloid leukemia",
        *(f"C1{n} ENG P M{n} Y A PT 1{n} N kind {chr(97 + n)}" for n in range(6)),
    ]
    relations = [
        "C3 CHD C2 isa A N", "C10 CHD C1 isa A N", "C3 RO C1 feature_of_disease A N",
        *(f"C1{n + 1} CHD C1{n} isa A N" for n in range(5)),
        *(f"C1{n + 1} RO C1{n} feature_of_disease A N" for n in range(5)),
        *(f"C1{n + 1} RO C1{n} same_as A N" for n in range(5)),
    ]  # fmt: skip
    kb = small_kb(tmp_path, names=names, relations=relations, types=("C1 T047 Disease",))
    query_set = built(kb, tmp_path / "set")
    rows = asked_by_text(query_set)
    assert rows["heart septal defects, atrial is a [MASK]."]["flags"] == ["inverted_name"]
    assert rows["leukemia, myeloid, acute is a [MASK]."]["flags"] == ["answer_in_question", "inverted_name"]
    assert rows["[MASK] is a leukemia."]["flags"] == ["question_in_answer"]
    assert "no_sentence" in rows["kind a feature of disease [MASK]."]["flags"]
    assert "between_vocabularies" in rows["kind a is the same as [MASK]."]["flags"]
    assert query_set.pools is not None
    assert list(query_set.pools.flags) == list(FLAGS)
    assert query_set.pools.flags["inverted_name"] == 3  # each given name that is inverted
    # A set of clear questions has none of them, and shows the names the right way round.
    clear = built(kb, tmp_path / "clear", only_clear=True, lower_case=False)
    assert clear.pools is not None
    assert {flag: num for flag, num in clear.pools.flags.items() if num and flag != "names_subject"} == {}
    assert clear.manifest.relations_left_out == {
        "feature_of_disease": "no_sentence", "same_as": "between_vocabularies"
    }  # fmt: skip
    assert clear.manifest.counts["left_out"]["inverted_name"] == 1  # of isa; C1 has no other name
    texts = clear.table(["text"])["text"].to_pylist()
    assert not [text for text in texts if "Septal" in text or "eukemia" in text]
    shown = {row["cui"]: row["name"] for row in clear.candidates().to_pylist()}
    assert shown.get("C2", "Acute Myeloid Leukemia") == "Acute Myeloid Leukemia"


@pytest.mark.parametrize(
    ("name", "is_inverted"),
    [
        ("Heart Septal Defects, Atrial", True),
        ("nephritis, dog", True),
        ("kuru, susceptibility to", True),
        ("intellectual disability, autosomal dominant 47", True),
        ("spermatogenic failure, X-linked, 6", True),
        ("Paget disease of bone 2, early-onset", True),
        ("Ehlers-Danlos syndrome, vascular type", True),
        ("Carney complex, type 1", False),
        ("Piperacillin, Tazobactam Drug Combination", False),
        ("CD8-positive, alpha-beta T cell", False),
        ("2,4-dinitrophenol", False),
        ("Abnormal morphology of ears, nose and throat", False),
        ("asthma", False),
    ],
)
def test_a_name_that_ends_in_a_modifier(name: str, is_inverted: bool) -> None:
    with connect() as connection:
        asked = f"SELECT {ends_in_modifier('name')} FROM (SELECT $name AS name)"
        assert connection.execute(asked, {"name": name}).fetchone() == (is_inverted,)


def test_a_name_is_turned_by_its_commas() -> None:
    with connect() as connection:
        found = connection.execute(
            f"SELECT {turned('name')} FROM (SELECT 'Leukemia, Myeloid, Acute' AS name)"
        )
        assert found.fetchone() == ("Acute Myeloid Leukemia",)


@pytest.fixture(scope="module")
def clinical(mini_kbs: dict[str, KnowledgeBase], tmp_path_factory: pytest.TempPathFactory) -> QuerySet:
    out = tmp_path_factory.mktemp("clinical") / "set"
    return built(mini_kbs["fixed"], out, recipe="clinical", head_types={})


def test_a_clinical_set_asks_in_fluent_statements_without_a_flag(clinical: QuerySet) -> None:
    assert clinical.pools is not None
    assert sum(num for flag, num in clinical.pools.flags.items() if flag != "names_subject") == 0
    assert clinical.manifest.counts["type_1"] == 0
    wordings = read_wordings("wordings")
    for relation in clinical.manifest.by_relation:
        assert clinical.wordings(relation) == wordings[relation]
    rows = clinical.table(["text", "relation", "direction"]).to_pylist()
    for asked in clinical.asked().to_pylist():
        row = rows[asked["query_id"]]
        statement = clinical.wordings(row["relation"]).statements[0]
        given, blank = ("[X]", "[Y]") if row["direction"] == "tail" else ("[Y]", "[X]")
        assert statement.replace(blank, "[MASK]").replace(given, asked["subject"]) == row["text"]
    assert clinical.manifest.relations_left_out["has_phenotype"] == "missing"
    assert clinical.manifest.counts["relations_by_rule"] == {"wording": len(clinical.manifest.by_relation)}


def test_a_clinical_set_keeps_a_tenth_for_shots(clinical: QuerySet) -> None:
    assert clinical.pools is not None
    asked = {
        (row["relation"], row["direction"], cui)
        for row in clinical.table(["relation", "direction", "given"]).to_pylist()
        for cui in row["given"]
    }
    for shot in clinical.shots().to_pylist():
        assert not {(shot["relation"], shot["direction"], cui) for cui in shot["given_cuis"]} & asked
    for relation, directions in clinical.pools.by_relation.items():
        for direction, pool in directions.items():
            assert min(32, pool.queries // 10) <= pool.shots <= 32, (relation, direction)
    assert min(of.shots for of in clinical.pools.by_relation["may_treat"].values()) > 0


def test_only_heads_of_the_wanted_types_are_asked_and_stand_in_pools(tmp_path: Path) -> None:
    types = tuple(f"C{n:04} T121 Drug" for n in range(20))
    kb = one_to_one(tmp_path, 30, types=types)
    query_set = built(
        kb, tmp_path / "set", max_queries_per_relation=1000, head_types={"may_treat": ("T121",)}
    )
    assert len(query_set) == 40
    heads = {row["cui"] for row in query_set.candidates().to_pylist() if row["direction"] == "head"}
    assert heads == {f"C{n:04}" for n in range(20)}


def test_every_relation_of_the_clinical_recipe_has_wordings_and_a_negated_one() -> None:
    wordings, quality = read_wordings("wordings"), read_quality()
    recipe = read_probe_recipe("clinical")
    assert set(recipe.relations_if_there) == set(wordings)
    for relation, wording in wordings.items():
        assert len(set(wording.statements)) == len(wording.statements) >= 3, relation
        assert wording.negated
        assert not set(wording.negated) & set(wording.statements)
        assert relation not in quality.between_vocabularies
    ends = [one.endswith("[Y].") for wording in wordings.values() for one in wording.statements]
    assert 0 < sum(ends) < len(ends)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[isa]\nstatements = []\n", "isa: no statement; name one, or leave the relation out"),
        ("[isa]\nstatements = ['[X] is.']\n", "isa.statements: '[X] is.': expected [X] and [Y] once each"),
        ("[isa]\nstatements = ['[X] is [Y]']\n", "isa: '[X] is [Y]': expected single blanks and a full stop"),
        ("[isa]\nnegated = []\n", "isa.statements: Field required; mend it"),
        ("[isa]\nstatement = 3\n", "isa.statements: Field required; mend it"),
        ("isa = 3\n", "isa.the table: Input should be a valid dictionary"),
    ],
)
def test_a_bad_file_of_wordings_is_one_line(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(content)
    with pytest.raises(UserError) as caught:
        read_wordings(str(tmp_path / "mine.toml"))
    assert str(caught.value).startswith(f"{tmp_path / 'mine.toml'}: {message}")


def test_relations_that_may_be_missing_must_not_all_be(
    mini_kbs: dict[str, KnowledgeBase], tmp_path: Path
) -> None:
    kb = mini_kbs["fixed"]
    with pytest.raises(
        UserError, match="none of the 2 relations of the recipe can be asked; kebench kb stats"
    ):
        built(kb, tmp_path / "set", relations_if_there=("a", "b"))
    with pytest.raises(UserError, match="no triple has the relation 'may_tret'"):
        built(kb, tmp_path / "set", recipe="clinical", relations=("may_tret",))
    with pytest.raises(UserError, match="imported in mode released; for a set in mode fixed"):
        plan_set(mini_kbs["released"], read_probe_recipe("clinical"))
    with pytest.raises(UserError, match="recipe: only_clear is for mode fixed; leave it out for"):
        plan_set(mini_kbs["released"], read_probe_recipe("mini", only_clear=True))


def test_types_are_of_the_small_release() -> None:
    assert len(TYPES) == 2  # what `more` relies on: no fill-up by type


def test_the_same_pools_whatever_the_number_of_threads(
    mini_kbs: dict[str, KnowledgeBase], mini_sets: dict[str, QuerySet], tmp_path: Path
) -> None:
    plan = plan_set(mini_kbs["fixed"], read_probe_recipe("mini"))
    assert build_set(plan, tmp_path / "set").files == mini_sets["fixed"].manifest.files
