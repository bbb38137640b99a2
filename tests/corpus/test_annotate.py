"""`kebench annotate`: what a corpus holds, how it goes on after a kill, and what it refuses."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result

from kebench.cli.annotate import annotate
from kebench.corpus.exclude import HeldOutFilter, find_held_out, read_ids
from kebench.corpus.linked import LinkedCorpus, LinkedPassage
from kebench.corpus.passage import Passage
from kebench.corpus.plan import AnnotationPlan, claimed, plan_annotation
from kebench.errors import UserError
from kebench.tasks.card import read_task_card
from kebench.umls.knowledge_base import KnowledgeBase
from tests.corpus.test_pubmed import citation, deleted, retracted, write_pubmed
from tests.forks import KILLED, start
from tests.umls.test_crashes import kebench

TEXTS = [f"Allopurinol number {n} for gouty arthritis." for n in range(10)]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text("".join(f"{line}\n" for line in TEXTS))
    return path


def run(kb: KnowledgeBase, out: Path, *arguments: str | Path) -> Result:
    command = [*map(str, arguments), "--kb", str(kb.folder), "--out", str(out)]
    return CliRunner().invoke(annotate, command, catch_exceptions=False)


def passages(out: Path) -> list[LinkedPassage]:
    return list(LinkedCorpus.open(out).passages())


def manifest(out: Path) -> dict[str, Any]:
    """Return corpus.json without what differs from run to run."""
    found: dict[str, Any] = json.loads((out / "corpus.json").read_text())
    del found["provenance"]
    return found


def ids(out: Path) -> list[str]:
    return [passage.document_id for passage in passages(out)]


@pytest.mark.parametrize("linker", ["scispacy", "dictionary"])
def test_a_corpus_holds_passages_with_their_mentions(
    linker: str, kb: KnowledgeBase, text: Path, tmp_path: Path
) -> None:
    extra = ("--mentions", "dictionary") if linker == "scispacy" else ()
    result = run(kb, tmp_path / "out", text, "--linker", linker, *extra, "--shard-documents", "4")
    found = passages(tmp_path / "out")
    assert [passage.text for passage in found] == TEXTS
    first = found[0]
    named = [(first.text[m.char_start : m.char_end], m.cui, round(m.score, 3)) for m in first.mentions]
    assert named == [("Allopurinol", "C0000002", 1.0), ("gouty arthritis", "C0000001", 1.0)]
    said = manifest(tmp_path / "out")
    assert said["counts"] == {
        "documents": 10, "passages": 10, "characters": sum(map(len, TEXTS)), "detected": 20, "mentions": 20,
        "links": 20, "cuis": 2,
    }  # fmt: skip
    assert [shard["documents"] for shard in said["shards"]] == [4, 4, 2]
    assert said["exclusion"]["tests"] == []
    assert max(map(len, result.output.splitlines()[:-1])) <= 80
    assert "test documents kept out: not asked for; see --exclude-test-of" in result.stdout
    assert "\n  of mention and concept; cuis: distinct concepts\n" in result.stdout
    assert result.stderr.startswith("1 file, 0.0 MB, text; linker ")
    assert "first each process reads 16 names" in result.stderr
    assert f"1 process links, of {os.cpu_count()} cores (--processes)" in result.stderr
    packages = json.loads((tmp_path / "out" / "corpus.json").read_text())["provenance"]["packages"]
    assert {"ahocorasick-rs", "scikit-learn", "duckdb"} <= set(packages)
    assert "torch" not in packages


def test_gold_mentions_are_linked_as_the_file_says(kb: KnowledgeBase, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(
        "1|t|Bad gout.\n1|a|\n1\t4\t8\tgout\tDisease\tD006073|D1\n1\t0\t3\tBad\tX\t-1\n"
    )
    run(kb, tmp_path / "out", tmp_path / "a", "--linker", "gold")
    (passage,) = passages(tmp_path / "out")
    assert passage.mentions == [(4, 8, "C0000001", 1.0)]
    counts = manifest(tmp_path / "out")["counts"]
    assert (counts["detected"], counts["mentions"]) == (2, 1)


def test_a_document_counts_although_its_first_passage_cannot_be_used(
    kb: KnowledgeBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kebench.corpus.passage.MAX_CHARACTERS", 15)

    def document(first: str, second: str) -> str:
        return (
            "<collection><source>x</source><date>d</date><key>k</key><document><id>7</id>"
            f"<passage><offset>0</offset><text>{first}</text></passage>"
            f"<passage><offset>20</offset><text>{second}</text></passage></document></collection>"
        )

    (tmp_path / "a.xml").write_text(document("Longer than that.", "It cures gout."))
    (tmp_path / "b.xml").write_text(document("Longer than that.", "It is new."))
    run(kb, tmp_path / "out", *sorted(tmp_path.glob("*.xml")), "--on-error", "skip")
    assert [passage.text for passage in passages(tmp_path / "out")] == ["It is new."]
    said = manifest(tmp_path / "out")
    assert (said["counts"]["documents"], said["left_out"]) == (1, {"earlier version": 1})
    assert [shard["documents"] for shard in said["shards"]] == [0, 1]


def test_the_same_command_again_does_nothing_and_another_is_refused(
    kb: KnowledgeBase, text: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(kb, out, text)
    assert "nothing to do" in run(kb, out, text).stderr
    what = r"\(shard_documents 2000, now 3\); choose another --out, or remove it"
    with pytest.raises(UserError, match=f"holds another corpus {what}"):
        run(kb, out, text, "--shard-documents", "3")
    (out / "corpus.json").unlink()
    with pytest.raises(UserError, match=f"another annotation was begun there {what}"):
        run(kb, out, text, "--shard-documents", "3")
    with pytest.raises(
        UserError, match=r"is not finished \(corpus.json is missing\); run 'kebench annotate'"
    ):
        LinkedCorpus.open(out)


def test_a_folder_of_something_else_is_left_alone(kb: KnowledgeBase, text: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(UserError, match="exists and is no corpus"):
        run(kb, tmp_path / "out", text)


def test_a_shard_that_was_cut_off_is_seen(kb: KnowledgeBase, text: Path, tmp_path: Path) -> None:
    run(kb, tmp_path / "out", text)
    (shard,) = (tmp_path / "out" / "shards").glob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UserError, match="missing or cut off"):
        LinkedCorpus.open(tmp_path / "out")


def test_several_processes_make_the_corpus_that_one_makes(
    kb: KnowledgeBase, text: Path, tmp_path: Path
) -> None:
    for processes in ("1", "2"):
        run(kb, tmp_path / processes, text, "--processes", processes, "--shard-documents", "3")
    assert manifest(tmp_path / "1") == manifest(tmp_path / "2")


POINTS = [f"{name}.{moment}:{n}" for name in ("shard", "corpus") for moment in ("written", "renamed")
          for n in (1, 2, 4)]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_write_the_same_command_ends_as_an_undisturbed_one(
    point: str, kb: KnowledgeBase, text: Path, tmp_path: Path
) -> None:
    other = tmp_path / "b.txt"
    other.write_text("Breast cancer.\n" * 5)
    command = ("annotate", str(text), str(other), "--kb", str(kb.folder), "--shard-documents", "4")
    out = tmp_path / "out"
    assert kebench(*command, "--out", str(out), crash_at=point).returncode == KILLED
    assert kebench(*command, "--out", str(out)).returncode == 0
    assert kebench(*command, "--out", str(tmp_path / "undisturbed")).returncode == 0
    assert manifest(out) == manifest(tmp_path / "undisturbed")
    assert not [path for path in out.rglob("*") if "running" in path.name]


@pytest.mark.parametrize("moment", ["written", "renamed"])
def test_a_killed_index_leaves_nothing_or_all(moment: str, kb: KnowledgeBase, tmp_path: Path) -> None:
    folder = tmp_path / "kb"
    shutil.copytree(kb.folder, folder, ignore=shutil.ignore_patterns("index"))
    assert kebench("kb", "index", str(folder), crash_at=f"index.{moment}").returncode == KILLED
    assert (folder / "index").exists() == (moment == "renamed")
    assert kebench("kb", "index", str(folder)).returncode == 0


def test_an_index_says_beforehand_how_much_disk_it_takes(kb: KnowledgeBase, tmp_path: Path) -> None:
    folder = tmp_path / "kb"
    shutil.copytree(kb.folder, folder, ignore=shutil.ignore_patterns("index"))
    said = kebench("kb", "index", str(folder)).stderr
    assert said.startswith(f"16 names; {folder / 'index'} will take about 0 MB")
    assert "will take" not in kebench("kb", "index", str(folder)).stderr


@pytest.mark.slow
def test_two_commands_share_the_files_of_one_corpus(kb: KnowledgeBase, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for n in range(12):
        (tmp_path / "in" / f"{n:02}.txt").write_text("Breast cancer.\n" * 300)
    command = ["annotate", str(tmp_path / "in"), "--kb", str(kb.folder), "--shard-documents", "50"]
    both = [start(*command, "--out", tmp_path / "out") for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert kebench(*command, "--out", str(tmp_path / "one")).returncode == 0
    assert manifest(tmp_path / "out") == manifest(tmp_path / "one")


@pytest.mark.slow
def test_a_killed_command_s_file_is_taken_up_by_the_next(kb: KnowledgeBase, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Breast cancer and gout.\n" * 60_000)
    command = ["annotate", str(path), "--kb", str(kb.folder), "--shard-documents", "500"]
    started = start(*command, "--out", tmp_path / "out")
    shards = tmp_path / "out" / "shards"
    while started.poll() is None and len(list(shards.glob("*.parquet"))) < 3:
        time.sleep(0.01)
    assert started.poll() is None, "the file is too small to kill its annotation in the middle"
    started.kill()
    started.wait()
    assert kebench(*command, "--out", str(tmp_path / "out")).returncode == 0
    assert kebench(*command, "--out", str(tmp_path / "undisturbed")).returncode == 0
    assert manifest(tmp_path / "out") == manifest(tmp_path / "undisturbed")


def test_the_last_version_of_a_citation_stays(kb: KnowledgeBase, tmp_path: Path) -> None:
    folder = tmp_path / "pubmed"
    folder.mkdir()
    write_pubmed(folder / "1.xml.gz", *(citation(n, f"gout {n}") for n in (1, 2, 3, 4, 5, 1)))
    write_pubmed(
        folder / "2.xml.gz", citation(2, "gout two"), retracted(3), deleted(4, 6), citation(7, "gout 7")
    )
    write_pubmed(folder / "3.xml.gz", citation(4, "gout four again"))
    out = tmp_path / "out"
    result = run(kb, out, folder, "--shard-documents", "2")
    assert {p.document_id: p.text for p in passages(out)} == {
        "5": "gout 5", "1": "gout 1", "2": "gout two", "7": "gout 7", "4": "gout four again",
    }  # fmt: skip
    # 1 and 2 stood twice; 3 and the first 4 were taken back
    assert manifest(out)["left_out"] == {"deleted": 2, "earlier version": 4, "retracted": 1}
    assert "left out: 4 earlier version" in result.stdout
    run(kb, tmp_path / "kept", folder, "--retracted", "keep")
    assert {p.document_id: p.text for p in passages(tmp_path / "kept")}["3"] == "Gone."
    assert manifest(tmp_path / "kept")["left_out"] == {"deleted": 2, "earlier version": 4}


def test_a_retracted_article_that_stands_once_is_kept_if_asked(kb: KnowledgeBase, tmp_path: Path) -> None:
    path = write_pubmed(tmp_path / "a.xml.gz", citation(1, "gout"), retracted(2))
    run(kb, tmp_path / "out", path, "--retracted", "keep")
    assert ids(tmp_path / "out") == ["1", "2"]


def version_of(number: int, pmid: int, title: str) -> str:
    return citation(pmid, title).replace(f'Version="1">{pmid}<', f'Version="{number}">{pmid}<')


def test_the_highest_version_of_a_citation_stays_wherever_it_stands(
    kb: KnowledgeBase, tmp_path: Path
) -> None:
    folder = tmp_path / "pubmed"
    folder.mkdir()
    write_pubmed(
        folder / "1.xml.gz",
        *(version_of(n, 1, f"gout {n}") for n in (1, 3, 2)),  # in one shard
        *(version_of(2, n, f"gout {n} second") for n in (2, 3, 4)),
    )
    write_pubmed(
        folder / "2.xml.gz",
        *(citation(n, "gout old") for n in (2, 6, 7)),  # 2 stood in a higher version before
        deleted(3),  # its version 1, which is not there
        deleted(4).replace('Version="1"', 'Version="2"'),
        version_of(2, 5, "gout new"),
    )
    write_pubmed(folder / "3.xml.gz", citation(5, "gout late but old"))
    out = tmp_path / "out"
    run(kb, out, folder, "--shard-documents", "2")
    assert {p.document_id: p.text for p in passages(out)} == {
        "1": "gout 3", "2": "gout 2 second", "3": "gout 3 second", "5": "gout new", "6": "gout old",
        "7": "gout old",
    }  # fmt: skip
    # of 1 two, the lower 2 and 5, and the 4 that was deleted
    assert manifest(out)["left_out"] == {"deleted": 2, "earlier version": 5}


def test_what_was_read_of_titles_and_abstracts_is_counted_and_printed(
    kb: KnowledgeBase, tmp_path: Path
) -> None:
    path = write_pubmed(
        tmp_path / "a.xml.gz",
        citation(1, "[Gout]."),
        citation(2, "[Not Available]."),
        citation(3, "[Not Available].", "<AbstractText>gout</AbstractText>"),
    )
    out = tmp_path / "out"
    result = run(kb, out, path)
    assert manifest(out)["inputs"][0]["read"] == {
        "faults": 0, "title not available": 2, "title translated": 1,
    }  # fmt: skip
    assert manifest(out)["left_out"] == {"without text": 1}
    for line in ("left out: 1 without text", "read: 2 title not available", "read: 1 title translated"):
        assert line in result.stdout.splitlines()


@pytest.mark.parametrize(("number", "said"), [(1, "1 relation passed over"), (2, "2 relations passed over")])
def test_relations_of_pubtator_are_counted_and_printed(
    number: int, said: str, kb: KnowledgeBase, tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_text(
        "3|t|gout\n3|a|y\n3\t0\t4\tgout\tDisease\tD006073\n" + "3\tCID\tD000493\tD006073\n" * number
    )
    result = run(kb, tmp_path / "out", path)
    assert manifest(tmp_path / "out")["inputs"][0]["read"] == {"faults": 0, "relations passed over": number}
    assert f"read: {said}" in result.stdout.splitlines()


def test_documents_named_by_id_are_kept_out_and_said(kb: KnowledgeBase, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"id": n, "text": f"gout {n}"}) + "\n" for n in range(1, 5)))
    (tmp_path / "ids").write_text("2\n")
    (tmp_path / "pubtator").write_text("3|t|x\n3|a|y\n3\t0\t1\tx\tDisease\tD1\n")
    out = tmp_path / "out"
    said = run(kb, out, path, "--exclude", tmp_path / "ids", "--exclude", tmp_path / "pubtator").stdout
    assert ids(out) == ["1", "4"]
    assert manifest(out)["exclusion"] == {
        "tests": [], "files": ["ids", "pubtator"], "ids": 2, "sentences": 0, "by_id": 2, "by_text": 0,
    }  # fmt: skip
    assert said.splitlines()[-5:-1] == [
        "left out: 2 held out by id",
        "test documents kept out: not asked for; see --exclude-test-of",
        "ids kept out: those of ids, pubtator",
        "2 ids and 0 test sentences are known; left out: 2 by id, 0 by text",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("PMID 123\nPMID 7\n", "no list of ids (line 1 is 'PMID 123'); name a file with an id a line"),
        ("<PubmedArticleSet>\n<PMID>7</PMID>\n7\n", "no list of ids (line 1 is '<PubmedArticleSet>')"),
        ("\n", "no list of ids (the file is empty)"),
    ],
)
def test_a_file_that_is_no_list_of_ids_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text(content)
    with pytest.raises(UserError, match=re.escape(message)):
        read_ids(tmp_path / "ids")


def test_lines_without_an_id_are_passed_over_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ids").write_text("two words\n1\n2 \n\n3|t|x\n4\t5\tx\n")
    assert read_ids(tmp_path / "ids") == {"1", "2", "3", "4"}
    assert "1 lines without an id are passed over; line 1 is 'two words'" in caplog.text


def test_every_task_without_data_is_named_at_once(kb: KnowledgeBase, text: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "GAD").mkdir(parents=True)
    with pytest.raises(UserError, match="no data of ncbi-disease, ddi, gad; see 'kebench data get'"):
        run(kb, tmp_path / "out", text, "--exclude-test-of", "gad,ddi,ncbi-disease",
            "--data", tmp_path / "data")  # fmt: skip


def test_a_sentence_whose_parts_between_blinded_mentions_are_short_keeps_nothing_out(tmp_path: Path) -> None:
    (tmp_path / "GAD").mkdir()
    long = "is found in every second patient of the cohort that was studied here"
    rows = f"index\tsentence\tlabel\n0\t@GENE$ causes @DISEASE$ in mice.\t1\n1\t@GENE$ {long} @DISEASE$\t0\n"
    (tmp_path / "GAD" / "test.tsv").write_text(rows)
    held_out = find_held_out([read_task_card("gad")], tmp_path)
    assert held_out.texts == {long.replace(" ", "")}
    tests = HeldOutFilter(held_out)
    assert tests.reason(Passage("1", 0, f"BRCA1 {long} gout.")) == "text"
    assert tests.reason(Passage("2", 0, "BRCA1 causes gout in mice.")) is None


@pytest.mark.realdata
def test_test_documents_of_blurb_are_kept_out_by_id_and_by_text(
    kb: KnowledgeBase, real_data: Path, tmp_path: Path
) -> None:
    abstracts = real_data / "text" / "pubmed-abstracts" / "abstracts.jsonl.gz"
    out = tmp_path / "out"
    run(kb, out, abstracts, "--exclude-test-of", "kebiolm", "--data", real_data / "blurb")
    left = set(ids(out))
    with gzip.open(abstracts, "rt") as file:
        documents = [json.loads(line) for line in file]
    pairs = (real_data / "blurb" / "chemprot" / "test.tsv").read_text(encoding="utf-8").splitlines()
    tests = {line.partition(".")[0] for line in pairs}  # 73 of ChemProt's test abstracts have no pair
    tests |= {
        document["id"]
        for document in documents
        for corpus, split in document["sources"]
        if corpus in ("JNLPBA", "BC5CDR", "NCBI-disease") and split == "test"
    }
    assert len(tests) > 1700
    assert tests & left == set()
    # others hold a test sentence of another task: JNLPBA's abstracts are PubMed's, as BC2GM's sentences are
    assert len(documents) - len(left) - len(tests) < 0.02 * len(documents)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": the file is empty;"),
        (gzip.compress(b'{"id": 1}', mtime=0)[:15], " line 1: the gzip file is cut off or damaged;"),
    ],
)
def test_an_empty_or_damaged_file_is_said_and_may_be_skipped(
    content: bytes, message: str, kb: KnowledgeBase, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("gout\n")
    bad = tmp_path / "in" / "b.jsonl"
    bad.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(f"{bad}{message}")):
        run(kb, tmp_path / "out", tmp_path / "in")
    result = run(kb, tmp_path / "skip", tmp_path / "in", "--on-error", "skip")
    assert ids(tmp_path / "skip") == ["a.txt:1"]
    assert "left out: 1 record that could not be used" in result.stdout


def test_two_plain_text_files_of_one_name_are_refused(kb: KnowledgeBase, tmp_path: Path) -> None:
    paths = [tmp_path / folder / "a.txt" for folder in ("d1", "d2")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(f"gout in {path.parent.name}\n")
    with pytest.raises(UserError, match=r"d1/a\.txt and .*d2/a\.txt: two plain text files of one name"):
        run(kb, tmp_path / "out", *paths)


def test_a_plain_text_file_of_another_name_is_another_corpus(
    kb: KnowledgeBase, text: Path, tmp_path: Path
) -> None:
    run(kb, tmp_path / "out", text)
    other = text.rename(tmp_path / "b.txt")
    with pytest.raises(UserError, match="holds another corpus"):
        run(kb, tmp_path / "out", other)


def test_a_map_of_ids_is_spoken_of_once(
    kb: KnowledgeBase, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").write_text("1|t|Bad gout.\n1|a|\n1\t4\t8\tgout\tDisease\tD006073\n")
    (tmp_path / "map.tsv").write_text("id\tcui\nD006073\tC0000007\nx\n")
    run(kb, tmp_path / "out", tmp_path / "a", "--linker", "gold", "--id-map", tmp_path / "map.tsv")
    assert passages(tmp_path / "out")[0].mentions == [(4, 8, "C0000007", 1.0)]
    assert caplog.text.count("without a CUI are passed over") == 1


def test_one_clear_line_and_nothing_lost_at_a_bad_record(
    kb: KnowledgeBase, text: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "b.jsonl"
    bad.write_text('{"id": 1, "text": "gout"}\n{"id": 2}\n')
    command = ("annotate", str(text), str(bad), "--kb", str(kb.folder))
    stopped = kebench(*command, "--out", str(tmp_path / "out"))
    assert stopped.returncode == 2
    assert stopped.stderr.splitlines()[-1].startswith(f"kebench: {bad} line 2: no text")
    assert len(list((tmp_path / "out" / "shards").glob("*.parquet"))) == 1
    (shard,) = (tmp_path / "out" / "shards").glob("*.parquet")
    made = shard.stat().st_mtime_ns
    with pytest.raises(
        UserError, match=r"another annotation was begun there \(other inputs, such as a.txt\)"
    ):
        run(kb, tmp_path / "out", bad)
    skipping = kebench(*command, "--out", str(tmp_path / "out"), "--on-error", "skip")
    assert skipping.returncode == 0
    assert "goes on with another plan (on_error stop, now skip)" in skipping.stderr
    assert (shard.stat().st_mtime_ns, len(ids(tmp_path / "out"))) == (made, 11)
    (tmp_path / "out" / "corpus.json").unlink()
    with pytest.raises(UserError, match=r"b\.jsonl line 2: no text"):
        run(kb, tmp_path / "out", text, bad)


def test_a_file_that_was_mended_is_read_again_and_the_others_stay(
    kb: KnowledgeBase, text: Path, tmp_path: Path
) -> None:
    out, bad = tmp_path / "out", tmp_path / "b.jsonl"
    bad.write_text('{"id": 1, "text": "gout"}\n{"id": 2, "text": "gout"}\n{"id": 3}\n')
    with pytest.raises(UserError, match="line 3"):
        run(kb, out, text, bad, "--shard-documents", "1")
    shards = sorted((out / "shards").glob("*.parquet"))
    assert [shard.name[:5] for shard in shards] == ["00000"] * 10 + ["00001"]
    made = shards[0].stat().st_mtime_ns
    bad.write_text('{"id": 1, "text": "no gout"}\n')
    run(kb, out, text, bad, "--shard-documents", "1")
    assert shards[0].stat().st_mtime_ns == made
    assert [passage.text for passage in passages(out)][10:] == ["no gout"]


def test_a_plan_of_which_nothing_was_linked_gives_way(kb: KnowledgeBase, tmp_path: Path) -> None:
    bad = tmp_path / "b.jsonl"
    bad.write_text("{}\n")
    with pytest.raises(UserError, match="line 1: no id"):
        run(kb, tmp_path / "out", bad)
    bad.write_text('{"id": 1, "text": "gout"}\n')
    run(kb, tmp_path / "out", bad, "--linker", "gold")
    assert ids(tmp_path / "out") == ["1"]


def test_of_commands_with_other_settings_that_start_at_once_one_goes_on(
    kb: KnowledgeBase, text: Path, tmp_path: Path
) -> None:
    plans = [plan_annotation([text], kb, "dictionary", shard_documents=n) for n in range(1, 7)]
    barrier, over = threading.Barrier(len(plans)), threading.Event()

    def claim(plan: AnnotationPlan) -> str:
        barrier.wait()
        try:
            with claimed(plan, tmp_path / "out"):
                over.wait()
                return "goes on"
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(len(plans)) as pool:
        running = [pool.submit(claim, plan) for plan in plans]
        while sum(one.done() for one in running) < len(plans) - 1:
            time.sleep(0.01)
        over.set()
    said = [one.result() for one in running]
    winner = plans[said.index("goes on")]
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["content_hash"] == winner.content_hash
    assert (
        sum("'kebench annotate' is at work there (shard_documents" in one for one in said) == len(plans) - 1
    )


@pytest.mark.parametrize("name", ["00000-00000.parquet", "00000-00001.parquet", "00000.json"])
@pytest.mark.parametrize("is_there", [True, False])
def test_what_was_cut_off_or_lost_before_the_end_is_made_again(
    name: str, is_there: bool, kb: KnowledgeBase, text: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(kb, out, text, "--shard-documents", "5")
    before, damaged = passages(out), out / "shards" / name
    (out / "corpus.json").unlink()
    damaged.write_bytes(damaged.read_bytes()[:-9])
    if not is_there:
        damaged.unlink()
    run(kb, out, text, "--shard-documents", "5")
    assert passages(out) == before
    assert manifest(out)["left_out"] == {}


def test_a_shard_that_was_damaged_within_is_named_before_the_corpus_is_finished(
    kb: KnowledgeBase, text: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(kb, out, text)
    before = passages(out)
    (out / "corpus.json").unlink()
    (shard,) = (out / "shards").glob("*.parquet")
    content = shard.read_bytes()
    shard.write_bytes(content[:4] + b"\xff" * 200 + content[204:])
    with pytest.raises(UserError, match="damaged; copy the corpus again, or remove it and"):
        run(kb, out, text)
    shard.unlink()
    run(kb, out, text)
    assert passages(out) == before


@pytest.mark.slow
def test_workers_end_with_the_command_that_was_killed(kb: KnowledgeBase, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Breast cancer and gout.\n" * 60_000)
    command = ["annotate", str(path), "--kb", str(kb.folder), "--shard-documents", "500"]
    started = start(*command, "--out", tmp_path / "out", "--processes", 2)
    while started.poll() is None and len(list((tmp_path / "out" / "shards").glob("*.parquet"))) < 3:
        time.sleep(0.01)
    assert started.poll() is None, "the file is too small to kill its annotation in the middle"
    workers = psutil.Process(started.pid).children(recursive=True)
    started.kill()
    started.wait()
    assert len(workers) >= 2
    psutil.wait_procs(workers)
    assert kebench(*command, "--out", str(tmp_path / "out")).returncode == 0
    assert len(passages(tmp_path / "out")) == 60_000


@pytest.mark.slow
def test_processes_of_scispacy_end_without_a_word(kb: KnowledgeBase, text: Path, tmp_path: Path) -> None:
    pytest.importorskip("sparse_dot_topn")
    asked = ("--linker", "scispacy", "--mentions", "dictionary", "--processes", "2")
    command = ["annotate", str(text), "--kb", str(kb.folder), "--out", str(tmp_path / "out"), *asked]
    said = subprocess.run(  # not a fork: what is said at the end of an interpreter counts
        [sys.executable, "-m", "kebench", *command], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0
    assert "nanobind" not in said.stderr


def test_a_name_that_is_too_long_is_one_line(kb: KnowledgeBase, text: Path, tmp_path: Path) -> None:
    said = kebench("annotate", str(text), "--kb", str(kb.folder), "--out", str(tmp_path / ("x" * 300)))
    assert said.returncode == 2
    assert "File name too long; mend that" in said.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preset", "zzz"), "--preset is for --linker scispacy, not for dictionary"),
        (("--linker", "scispacy", "--preset", "papers"), "no preset 'papers'; did you mean 'paper'?"),
        (("--linker", "scispacy", "--no-definition-threshold", "0.9"), "is for --definitions; name"),
        (("--linker", "scispacy", "--mentions", "dictionary", "--spacy-model", "bogus"),
         "--spacy-model is for --mentions ner or noun_chunks, not for dictionary"),
    ],
)  # fmt: skip
def test_an_option_that_would_count_for_nothing_is_refused_before_anything_is_read(
    arguments: tuple[str, ...], message: str, kb: KnowledgeBase, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("kebench.corpus.plan.find_inputs", None)
    monkeypatch.setattr("kebench.corpus.name_index.NameIndex", None)
    (tmp_path / "a.txt").write_text("gout\n")
    with pytest.raises(UserError, match=re.escape(message)):
        run(kb, tmp_path / "out", tmp_path / "a.txt", *arguments)
