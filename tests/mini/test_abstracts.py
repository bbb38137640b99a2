import json
from pathlib import Path
from typing import Any

import pytest

from kebench.mini.abstracts import held_out_facts
from kebench.mini.build import SEED
from kebench.mini.grammar import normal_form
from kebench.mini.tasks import Tasks, sentences_of_test_splits
from kebench.mini.world import World


@pytest.fixture(scope="module")
def documents(built: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (built / "corpus.jsonl").open(encoding="utf-8")]


def _text(document: dict[str, Any]) -> str:
    return f"{document['title']} {document['abstract']}"


def test_every_mention_is_a_name_of_its_concept(documents: list[dict[str, Any]], world: World) -> None:
    names = {concept.cui: {name.lower() for name in concept.names} for concept in world.concepts}
    for document in documents:
        text = _text(document)
        for mention in document["mentions"]:
            assert text[mention["start"] : mention["end"]].lower() in names[mention["cui"]], document["id"]


def test_mentions_come_in_text_order_without_overlap(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        ends = [0] + [mention["end"] for mention in document["mentions"]]
        starts = [mention["start"] for mention in document["mentions"]]
        assert all(start >= end for start, end in zip(starts, ends, strict=False)), document["id"]


def test_every_concept_is_mentioned(documents: list[dict[str, Any]], world: World) -> None:
    mentioned = {mention["cui"] for document in documents for mention in document["mentions"]}
    assert mentioned == set(world.by_cui)


def test_a_statement_covers_the_mentions_of_its_concepts(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        for statement in document["statements"]:
            start, end = statement["start"], statement["end"]
            inside = {m["cui"] for m in document["mentions"] if start <= m["start"] and m["end"] <= end}
            assert {statement["head"], *statement["tails"]} <= inside


def test_only_what_is_no_fact_is_denied(documents: list[dict[str, Any]], world: World) -> None:
    facts = {triple[:3] for triple in world.triples}
    stances = set()
    for statement in (s for document in documents for s in document["statements"]):
        stances.add(statement["stance"])
        for tail in statement["tails"]:
            is_fact = (statement["head"], statement["relation"], tail) in facts
            assert is_fact == (statement["stance"] != "negated"), statement
    assert stances == {"stated", "negated", "hedged"}


def test_held_out_facts_are_never_stated(documents: list[dict[str, Any]], world: World) -> None:
    held_out = {triple[:3] for triple in held_out_facts(world, SEED)}
    assert len(held_out) > 80
    stated = {
        (s["head"], s["relation"], tail) for d in documents for s in d["statements"] for tail in s["tails"]
    }
    assert not stated & held_out


def test_no_test_sentence_is_in_the_corpus(documents: list[dict[str, Any]], tasks: Tasks) -> None:
    corpus = "\n".join(f" {normal_form(_text(document))} " for document in documents)
    tests = sentences_of_test_splits(tasks)
    assert len(tests) > 1000
    assert [sentence for sentence in sorted(tests) if f" {sentence} " in corpus] == []
