"""Which mentions a knowledge base knows, and F1 by kind of mention, worked by hand."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kebench.cli.overlap import overlap
from kebench.corpus.overlap import BUCKETS, KnownNames, bucket_counts, mention_texts, overlap_of
from kebench.errors import UserError
from kebench.scoring.counts import Counts
from kebench.tasks.card import read_task_card, select_tasks
from kebench.tasks.readers import Sentence
from kebench.umls.knowledge_base import KnowledgeBase

TRAIN = "Wilson\tB\n's\tI\ndisease\tI\nand\tO\ngout\tB\n\n"
DEV = "bad\tO\n\n"
TEST = "gout\tB\nand\tO\nWilson\tB\ndisease\tI\nand\tO\nxyz\tB\n\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "ncbi-disease"
    folder.mkdir(parents=True)
    for split, text in (("train", TRAIN), ("dev", DEV), ("test", TEST)):
        (folder / f"{split}.tsv").write_text(text)
    return folder.parent


def test_a_mention_is_known_by_its_letters_and_digits(kb: KnowledgeBase) -> None:
    names = KnownNames(kb, ["Gouty - arthritis", "gout", "xyz", "--", "breast cancer"])
    assert names.cuis("gouty arthritis") == ["C0000001"]
    assert sorted(names.cuis("Breast-Cancer")) == ["C0000004", "C0000006"]
    assert not names.has("xyz")
    assert not names.has("--")


def test_mentions_of_all_splits_are_counted(kb: KnowledgeBase, data: Path) -> None:
    texts = mention_texts(read_task_card("ncbi-disease"), data, None)
    assert texts == ["Wilson 's disease", "gout", "gout", "Wilson disease", "xyz"]
    names = KnownNames(kb, texts)
    assert overlap_of("x", texts, names, frozenset({"C0000001"})) == ("x", 5, 4, 2)
    assert overlap_of("x", None, names, None) == ("x", None, None, None)


def test_a_wrong_entity_counts_under_the_kind_of_its_own_text() -> None:
    sentences = [Sentence("0", ("gout", "and", "xyz", "abc"), "BOBO")]
    found = bucket_counts(sentences, ["BOOB"], {"gout", "abc"}.__contains__, {"gout"}.__contains__)
    assert dict(zip(BUCKETS, (found[name] for name in BUCKETS), strict=True)) == {
        "known": Counts(1, 2, 1),  # gout right, abc wrong
        "unknown": Counts(1, 0, 0),  # xyz missed
        "seen": Counts(1, 1, 1),
        "unseen": Counts(1, 1, 0),
        "known, unseen": Counts(0, 1, 0),
        "unknown, unseen": Counts(1, 0, 0),
    }


def test_the_command_prints_a_row_a_task_and_dashes_where_mentions_are_blinded(
    kb: KnowledgeBase, data: Path
) -> None:
    command = ["--kb", str(kb.folder), "--tasks", "ncbi-disease,gad", "--data", str(data)]
    lines = CliRunner().invoke(overlap, command, catch_exceptions=False).stdout.splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["ncbi-disease", "5", "4", "80.0"],
        ["gad", "-", "-", "-"],
    ]
    said = json.loads(
        CliRunner().invoke(overlap, [*command, "--format", "json"], catch_exceptions=False).stdout
    )
    assert said["overlap"][0] == {"task": "ncbi-disease", "mentions": 5, "in_kb": 4, "in_corpus": None}


def test_folders_without_runs_or_originals_are_refused(kb: KnowledgeBase, data: Path, tmp_path: Path) -> None:
    command = ["--kb", str(kb.folder), "--tasks", "ncbi-disease", "--data", str(data)]
    with pytest.raises(UserError, match="no run of these NER tasks"):
        CliRunner().invoke(overlap, [*command, "--results", str(tmp_path)], catch_exceptions=False)
    with pytest.raises(UserError, match="--raw names the one with the original chemprot and ddi"):
        mention_texts(read_task_card("ddi"), data, tmp_path)


@pytest.mark.realdata
def test_mentions_of_the_real_tasks_are_those_of_the_paper_s_table_1(real_data: Path) -> None:
    printed = {"bc5cdr-chem": 15935, "bc2gm": 24583, "jnlpba": 59963, "chemprot": 39022, "ddi": 15738}
    printed |= {"bc5cdr-disease": 12852, "ncbi-disease": 6881}  # the paper: 12,850 and 6,884
    for card in select_tasks("blurb"):
        texts = mention_texts(card, real_data / "blurb", real_data / "raw")
        assert (None if texts is None else len(texts)) == printed.get(card.name)
