"""The open vocabularies as cloze sets: how many queries, of which type, and what a drug treats."""

from pathlib import Path

import pytest

from kebench.probe.forms import answer_form
from kebench.probe.index import export_ids
from kebench.umls.database import connect
from kebench.umls.filters import PRESETS
from kebench.umls.importing import import_release
from kebench.umls.knowledge_base import KnowledgeBase
from kebench.umls.names import with_steps
from kebench.umls.open.importing import import_open_kb
from kebench.umls.rrf import find_release
from tests.probe.sets import answers_by_text, built


@pytest.mark.slow
@pytest.mark.realdata
def test_open_umls_stores_facts_once_and_gives_5525_queries(real_data: Path, tmp_path: Path) -> None:
    import_release(find_release(real_data / "kb" / "open-umls"), tmp_path / "kb", filters=PRESETS["fixed"])
    kb = KnowledgeBase.open(tmp_path / "kb")
    query_set = built(kb, tmp_path / "set", recipe="open")
    counts = query_set.manifest.counts
    assert (counts["queries"], counts["relations"], counts["triples"]) == (5525, 34, 1_512_342)
    assert (counts["type_1"], counts["type_2"]) == (956, 4569)
    assert (counts["type_1_released"], counts["type_2_released"]) == (881, 4644)
    # when every closing bracket was cut: 6,641 of 53,787, and 1,771 queries
    assert (counts["names"], counts["ambiguous_names"], counts["ambiguous_share"]) == (53_931, 6_549, 0.1214)
    assert counts["queries_with_ambiguous_names"] == 1_756
    assert _shared_by_cutting(kb) == 0
    assert counts["mean_cuis"] == pytest.approx(3.33, abs=0.01)
    assert query_set.manifest.facts_stored == "once"
    # Of has_role/head 10 queries have 215 answers; of mapped_to and the like too many are one to one.
    assert query_set.pools is not None
    assert (query_set.pools.ranked, query_set.pools.candidates) == (5236, 5009)
    assert query_set.pools.flags == {
        "between_vocabularies": 200, "answer_in_question": 956, "question_in_answer": 634,
        "inverted_name": 429, "no_sentence": 3, "names_subject": 26,
    }  # fmt: skip
    export_ids(query_set, tmp_path / "ids.csv")
    again = built(kb, tmp_path / "again", recipe="open", index=tmp_path / "ids.csv")
    assert again.path.read_bytes() == query_set.path.read_bytes()
    assert again.manifest.files == query_set.manifest.files


def _shared_by_cutting(kb: KnowledgeBase) -> int:
    """Return how many forms names of several concepts have only because a bracket at their end was cut."""
    names = f"(SELECT cui, name FROM {kb.tables()['names']})"
    with connect() as connection:
        (found,) = connection.execute(
            f"""SELECT count(*) FROM (SELECT form FROM {with_steps(names, answer_form("name"))}
            WHERE regexp_matches(name, '[)\\]]\\s*$') AND NOT regexp_matches(form, '[)\\]]$')
            GROUP BY form HAVING count(DISTINCT cui) > 1)"""
        ).fetchone()
    return int(found)


@pytest.mark.realdata
def test_indications_ask_what_a_drug_treats(real_data: Path, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "HumanDO.obo").symlink_to(real_data / "kb" / "obo" / "HumanDO.obo")
    import_open_kb(
        sources,
        tmp_path / "kb",
        indications=real_data / "kb" / "pharmacotherapydb",
        filters=PRESETS["fixed"],
    )
    query_set = built(KnowledgeBase.open(tmp_path / "kb"), tmp_path / "set", recipe="open")
    counts = query_set.manifest.by_relation
    # Of 755 pairs of a drug and a disease, and as many the other way round.
    assert {counts[name]["queries"] for name in ("may_treat", "may_be_treated_by")} == {200}
    assert counts["may_treat"]["queries_before_cap"] == counts["may_be_treated_by"]["queries_before_cap"]
    assert query_set.manifest.facts_stored == "twice"
    treats = built(
        KnowledgeBase.open(tmp_path / "kb"), tmp_path / "all", recipe="open", relations=("may_treat",),
        max_queries_per_relation=10_000,
    )  # fmt: skip
    assert "methotrexate may treat [MASK]." in answers_by_text(treats)
    assert treats.manifest.counts["triples"] == 755
    clinical = built(KnowledgeBase.open(tmp_path / "kb"), tmp_path / "clinical", recipe="clinical")
    assert clinical.pools is not None
    pool = clinical.pools.by_relation["may_treat"]["tail"]
    assert pool.queries == pool.ranked > 100
    assert pool.shots == 32
    asked = clinical.table(["text"])["text"].to_pylist()
    assert "Irbesartan may treat [MASK]." in asked or "Methotrexate may treat [MASK]." in asked
