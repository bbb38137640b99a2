"""`kebench annotate`: what a corpus holds, how it goes on after a kill, and what it refuses."""

import gzip
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kebench.cli.annotate import annotate
from kebench.corpus.linked import LinkedCorpus, LinkedPassage
from kebench.errors import UserError
from kebench.umls.knowledge_base import KnowledgeBase
from tests.corpus.test_pubmed import citation, deleted, retracted, write_pubmed
from tests.umls.test_crashes import KILLED, kebench

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
    assert "test documents kept out: none (--exclude-test-of blurb)" in result.stdout


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
    with pytest.raises(UserError, match="holds another corpus; choose another --out, or remove it"):
        run(kb, out, text, "--shard-documents", "3")
    (out / "corpus.json").unlink()
    with pytest.raises(UserError, match="another annotation was begun there"):
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
    import shutil

    folder = tmp_path / "kb"
    shutil.copytree(kb.folder, folder, ignore=shutil.ignore_patterns("index"))
    assert kebench("kb", "index", str(folder), crash_at=f"index.{moment}").returncode == KILLED
    assert (folder / "index").exists() == (moment == "renamed")
    assert kebench("kb", "index", str(folder)).returncode == 0


def test_two_commands_share_the_files_of_one_corpus(kb: KnowledgeBase, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for n in range(12):
        (tmp_path / "in" / f"{n:02}.txt").write_text("Breast cancer.\n" * 300)
    command = ["annotate", str(tmp_path / "in"), "--kb", str(kb.folder), "--shard-documents", "50"]
    code = "import sys; from kebench.cli import main; main(sys.argv[1:])"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, *command, "--out", str(tmp_path / "out")], env=os.environ
        )
        for _ in range(2)
    ]
    assert [process.wait(timeout=240) for process in both] == [0, 0]
    assert kebench(*command, "--out", str(tmp_path / "one")).returncode == 0
    assert manifest(tmp_path / "out") == manifest(tmp_path / "one")


def test_a_killed_command_s_file_is_taken_up_by_the_next(kb: KnowledgeBase, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Breast cancer and gout.\n" * 60_000)
    command = ["annotate", str(path), "--kb", str(kb.folder), "--shard-documents", "500"]
    code = "import sys; from kebench.cli import main; main(sys.argv[1:])"
    started = subprocess.Popen([sys.executable, "-c", code, *command, "--out", str(tmp_path / "out")])
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
    assert "3" in ids(tmp_path / "kept")


def test_documents_named_by_id_are_kept_out_and_said(kb: KnowledgeBase, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"id": n, "text": f"gout {n}"}) + "\n" for n in range(1, 5)))
    (tmp_path / "ids").write_text("2\n")
    (tmp_path / "pubtator").write_text("3|t|x\n3|a|y\n3\t0\t1\tx\tDisease\tD1\n")
    run(kb, tmp_path / "out", path, "--exclude", tmp_path / "ids", "--exclude", tmp_path / "pubtator")
    assert ids(tmp_path / "out") == ["1", "4"]
    assert manifest(tmp_path / "out")["exclusion"] == {
        "tests": [], "ids": 2, "sentences": 0, "by_id": 2, "by_text": 0,
    }  # fmt: skip


@pytest.mark.realdata
def test_test_documents_of_blurb_are_kept_out_by_id_and_by_text(
    kb: KnowledgeBase, real_data: Path, tmp_path: Path
) -> None:
    abstracts = real_data / "text" / "pubmed-abstracts" / "abstracts.jsonl.gz"
    out = tmp_path / "out"
    run(kb, out, abstracts, "--exclude-test-of", "blurb", "--data", real_data / "blurb")
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
        (gzip.compress(b'{"id": 1}')[:15], " line 1: the gzip file is cut off or damaged;"),
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
    assert "left out: 1 records" in result.stdout


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
    bad.write_text('{"id": 1, "text": "gout"}\n')
    with pytest.raises(UserError, match="another annotation was begun"):
        run(kb, tmp_path / "out", text, bad)
    skipping = kebench(*command, "--out", str(tmp_path / "skip"), "--on-error", "skip")
    assert skipping.returncode == 0
