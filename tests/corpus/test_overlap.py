"""Which mentions a knowledge base knows, and F1 by kind of mention, worked by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kebench.cli.annotate import annotate
from kebench.cli.overlap import overlap
from kebench.corpus.overlap import BUCKETS, KnownNames, bucket_counts, mention_texts, overlap_of
from kebench.errors import UserError
from kebench.kinds.registry import read_split
from kebench.kinds.tagging import Sentence
from kebench.records import record_stem, stem_of, write_record
from kebench.scoring.counts import Counts
from kebench.tasks.card import read_task_card, select_tasks
from kebench.umls.knowledge_base import KnowledgeBase
from tests.report.sample_records import sample_record, write_sample

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
    assert max(map(len, lines)) <= 80
    said = json.loads(
        CliRunner().invoke(overlap, [*command, "--format", "json"], catch_exceptions=False).stdout
    )
    assert said["overlap"][0] == {"task": "ncbi-disease", "mentions": 5, "in_kb": 4, "in_corpus": None}


@pytest.fixture
def results(data: Path, tmp_path: Path) -> Path:
    """Two runs of one model: the first is right everywhere, the second finds the first gout alone."""
    out = tmp_path / "results"
    card = read_task_card("ncbi-disease")
    (sentence,) = read_split(card, card.find_split(data, "test"))
    gold = {"ids": [sentence.id], "gold": ["BOBIOB"]}
    for seed, tags in enumerate(("BOBIOB", "BOOOOO")):
        record = sample_record("tiny", "ncbi-disease", seed=seed)
        stem = record_stem(out, task=record.task, model=record.model, seed=seed, learning_rate=1e-3,
                           identity=record.identity)  # fmt: skip
        stem.parent.mkdir(parents=True, exist_ok=True)
        part = gold | {"predicted": [tags], "num_kept": [6]}
        write_record(stem, record, {"kind": "ner", "negative": "", "dev": part, "test": part})
    return out


# gold: gout (known, seen), Wilson disease (known, unseen), xyz (unknown, unseen). The second run has of the
# known one of two, F1 2 x 1 / (2 + 1); of the rest none, but all of the seen. sd = difference / sqrt(2).
F1_ROWS = [
    ("known", 2, (100 + 200 / 3) / 2, (100 - 200 / 3) / 2**0.5),
    ("unknown", 1, 50.0, 100 / 2**0.5),
    ("seen", 1, 100.0, 0.0),
    ("unseen", 2, 50.0, 100 / 2**0.5),
    ("known, unseen", 1, 50.0, 100 / 2**0.5),
    ("unknown, unseen", 1, 50.0, 100 / 2**0.5),
]


def asked(kb: KnowledgeBase, data: Path, *more: str | Path) -> Result:
    command = ["--kb", kb.folder, "--tasks", "ncbi-disease", "--data", data, *more]
    return CliRunner().invoke(overlap, list(map(str, command)), catch_exceptions=False)


def test_f1_of_runs_is_printed_by_kind_of_mention(kb: KnowledgeBase, data: Path, results: Path) -> None:
    lines = asked(kb, data, "--results", results).stdout.splitlines()
    begin = next(n for n, line in enumerate(lines) if line.split()[-3:] == ["F1", "sd", "n"]) + 1
    assert [line.split() for line in lines[begin : begin + 6]] == [
        ["ncbi-disease", "tiny", *kind.split(), str(gold), f"{mean:.2f}", f"{sd:.2f}", "2"]
        for kind, gold, mean, sd in F1_ROWS
    ]
    said = json.loads(asked(kb, data, "--results", results, "--format", "json").stdout)
    assert len(said["overlap"]) == 1
    assert [(one["mentions"], one["gold"], one["mean"], one["deviation"]) for one in said["scores"]] == [
        (kind, gold, pytest.approx(mean), pytest.approx(sd)) for kind, gold, mean, sd in F1_ROWS
    ]


def test_a_csv_says_which_table_it_is(kb: KnowledgeBase, data: Path, results: Path) -> None:
    alone, both = (asked(kb, data, "--format", "csv", *more) for more in ([], ["--results", results]))
    assert alone.stdout.splitlines()[0] == "task,mentions,in_kb,in_corpus"
    assert alone.stderr == ""
    assert both.stdout.splitlines()[0] == "task,model,protocol,mentions,gold,mean,deviation,seeds"
    assert both.stderr == "csv: F1 alone; --format json has the counts of mentions too\n"


def test_predictions_of_other_test_data_are_refused(kb: KnowledgeBase, data: Path, results: Path) -> None:
    (data / "ncbi-disease" / "test.tsv").write_text("gout\tB\n\n")
    with pytest.raises(UserError, match="predictions of other test data than --data holds"):
        asked(kb, data, "--results", results)


def test_every_task_without_data_is_named_at_once(kb: KnowledgeBase, data: Path) -> None:
    with pytest.raises(UserError, match="no data of bc5cdr-chem, bc2gm; see 'kebench data get'"):
        asked(kb, data, "--tasks", "ncbi-disease,bc2gm,bc5cdr-chem")


def test_a_corpus_counts_if_it_is_of_this_knowledge_base_and_may_be_empty(
    kb: KnowledgeBase, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 7, "text": "gout"}\n')
    (tmp_path / "ids").write_text("7\n")
    for name, more, count in (("full", (), "2"), ("empty", ("--exclude", tmp_path / "ids"), "0")):
        out = tmp_path / name
        made = [tmp_path / "a.jsonl", "--kb", kb.folder, "--out", out, *more]
        assert CliRunner().invoke(annotate, list(map(str, made)), catch_exceptions=False).exit_code == 0
        if name == "empty":
            empty_of_shards(out)
        row = asked(kb, data, "--corpus", out).stdout.splitlines()[1].split()
        assert row[4] == count
    manifest = tmp_path / "full" / "corpus.json"
    manifest.write_text(manifest.read_text().replace(kb.content_hash, "f" * 64))
    with pytest.raises(UserError, match=r"full: linked to release f{12}, not to"):
        asked(kb, data, "--corpus", tmp_path / "full")


def empty_of_shards(out: Path) -> None:
    """Take away the shard without rows, as where no input holds a document."""
    manifest = json.loads((out / "corpus.json").read_text())
    (out / "corpus.json").write_text(json.dumps(manifest | {"shards": []}))


def test_folders_without_runs_or_originals_are_refused(kb: KnowledgeBase, data: Path, tmp_path: Path) -> None:
    command = ["--kb", str(kb.folder), "--tasks", "ncbi-disease", "--data", str(data)]
    with pytest.raises(UserError, match="no records"):
        CliRunner().invoke(overlap, [*command, "--results", str(tmp_path)], catch_exceptions=False)
    write_sample(tmp_path / "results", [sample_record("tiny", "gad")])
    with pytest.raises(UserError, match="no run of these tasks with mentions"):
        CliRunner().invoke(
            overlap, [*command, "--results", str(tmp_path / "results")], catch_exceptions=False
        )
    with pytest.raises(UserError, match="--raw names the one with the original chemprot and ddi"):
        mention_texts(read_task_card("ddi"), data, tmp_path)


@pytest.mark.slow
@pytest.mark.realdata
def test_mentions_of_the_real_tasks_are_those_of_the_paper_s_table_1(real_data: Path) -> None:
    printed = {"bc5cdr-chem": 15935, "bc2gm": 24583, "jnlpba": 59963, "chemprot": 39022, "ddi": 15738}
    printed |= {"bc5cdr-disease": 12852, "ncbi-disease": 6881}  # the paper: 12,850 and 6,884
    for card in select_tasks("kebiolm"):
        texts = mention_texts(card, real_data / "blurb", real_data / "raw")
        assert (None if texts is None else len(texts)) == printed.get(card.name)


def test_a_file_that_is_no_record_is_named_and_left_out(kb: KnowledgeBase, data: Path, results: Path) -> None:
    before = asked(kb, data, "--results", results).stdout
    torn = results / "ncbi-disease" / "tiny" / "torn.json"
    torn.write_text("{")
    after = asked(kb, data, "--results", results)
    assert after.stdout == before
    assert after.stderr.startswith(f"left out: {torn}: not a record (")


def test_runs_of_other_epochs_or_weights_are_told_apart(
    kb: KnowledgeBase, data: Path, tmp_path: Path
) -> None:
    part = {"ids": ["0"], "gold": ["BOBIOB"], "predicted": ["BOBIOB"], "num_kept": [6]}
    ids = [one.id for one in read_split(read_task_card("ncbi-disease"),
                                        read_task_card("ncbi-disease").find_split(data, "test"))]  # fmt: skip
    kinds: list[dict[str, Any]] = [
        {"epochs": 3}, {"epochs": 60}, {"weights": "other"}, {"fidelity": "released"},
    ]  # fmt: skip
    for kind in kinds:
        record = sample_record("tiny", "ncbi-disease", rate=1e-3, **kind)
        stem = stem_of(tmp_path / "results", record)
        stem.parent.mkdir(parents=True, exist_ok=True)
        split = part | {"ids": ids}
        write_record(stem, record, {"kind": "ner", "negative": "", "dev": split, "test": split})
    said = json.loads(asked(kb, data, "--results", tmp_path / "results", "--format", "json").stdout)
    known = [one for one in said["scores"] if one["mentions"] == "known"]
    assert [one["seeds"] for one in known] == [1, 1, 1, 1]
    assert len({(one["model"], one["protocol"]) for one in known}) == 4
    assert sum("60 epochs" in one["protocol"] for one in known) == 1
    assert sum(one["model"].endswith(" (released)") for one in known) == 1
    lines = asked(kb, data, "--results", tmp_path / "results").stdout.splitlines()
    assert sum(line.startswith("quick: 60 epochs") for line in lines) == 1
    assert sum(line.split()[-3:] == ["F1", "sd", "n"] for line in lines) == 2
