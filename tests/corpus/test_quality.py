"""Links held against gold mentions, worked by hand, and the command that prints them."""

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kebench.cli.annotate import annotate
from kebench.cli.corpus import corpus
from kebench.corpus.gold import GoldConcepts
from kebench.corpus.linked import LinkedPassage
from kebench.corpus.passage import GoldMention, Mention, Passage
from kebench.corpus.quality import judge
from kebench.errors import UserError
from kebench.scoring.counts import Counts
from kebench.umls.knowledge_base import KnowledgeBase

TEXT = "gout and allopurinol and xx"
GOLD = Passage(
    "1",
    0,
    TEXT,
    (
        GoldMention(0, 4, "Disease", ("D006073",)),
        GoldMention(9, 20, "Chemical", ("D000493", "D006527")),
        GoldMention(25, 27, "Disease", ("D999999",)),
        GoldMention(21, 24, "Disease", ()),
    ),
)


def linked(*mentions: tuple[int, int, str]) -> list[LinkedPassage]:
    return [LinkedPassage("1", 0, TEXT, [Mention(*mention, 1.0) for mention in mentions])]


def test_spans_links_and_concepts_are_counted(kb: KnowledgeBase) -> None:
    # right: gout; a right span with another concept; a span that is too long, of a concept of the document
    system = linked((0, 4, "C0000001"), (9, 20, "C0000004"), (9, 24, "C0000003"))
    found = judge(system, [GOLD, Passage("2", 0, "x")], kb)
    assert found.documents == 1
    assert (found.with_id, found.reachable) == (3, 2)
    assert found.spans == Counts(4, 3, 2)
    assert found.links == Counts(
        4, 3, 1
    )  # one of two concepts of the composite, and D999999, count as missed
    assert found.concepts == Counts(4, 3, 2)


def test_only_the_first_link_of_a_mention_counts(kb: KnowledgeBase) -> None:
    found = judge(linked((0, 4, "C0000004"), (0, 4, "C0000001")), [GOLD], kb)
    assert found.links == Counts(4, 1, 0)


def test_as_many_links_of_a_mention_count_as_gold_names(kb: KnowledgeBase) -> None:
    concepts = GoldConcepts(kb).of(["D000493", "D006527", "D006073"])
    both = [concepts["D000493"] or "D000493", concepts["D006527"] or "D006527"]
    found = judge(linked(*((9, 20, cui) for cui in [*both, "C0000009"])), [GOLD], kb)
    assert (found.links, found.further) == (Counts(4, 2, 2), 1)
    assert found.concepts == Counts(4, 2, 2)


def test_a_gold_file_held_against_itself_gets_100(kb: KnowledgeBase, tmp_path: Path) -> None:
    gold = tmp_path / "gold.txt"
    gold.write_text(
        "1|t|gout and allopurinol\n1|a|\n1\t0\t4\tgout\tDisease\tC0000001|C0000004\n"
        "1\t9\t20\tallopurinol\tChemical\tC0000002\n"
    )
    out = tmp_path / "out"
    made = [str(gold), "--kb", str(kb.folder), "--out", str(out), "--linker", "gold"]
    assert CliRunner().invoke(annotate, made, catch_exceptions=False).exit_code == 0
    lines = run("score", out, "--gold", gold, "--kb", kb.folder).stdout.splitlines()
    assert lines[2].split() == ["links", "100.0", "100.0", "100.0", "3", "3", "3"]
    assert lines[3].split() == ["concepts", "100.0", "100.0", "100.0", "3", "3", "3"]
    assert "of a mention's links the best count, as many as gold names there, or one" in lines
    assert max(map(len, lines)) <= 80


def test_kinds_and_semantic_types_narrow_both_sides(kb: KnowledgeBase) -> None:
    system = linked((0, 4, "C0000001"), (9, 20, "C0000002"))
    found = judge(system, [GOLD], kb, kinds=frozenset({"Chemical"}), semantic_types=frozenset({"T121"}))
    assert found.spans == Counts(1, 1, 1)
    assert found.links == Counts(2, 1, 1)


def test_the_command_prints_precision_recall_and_f1(kb: KnowledgeBase, tmp_path: Path) -> None:
    gold = tmp_path / "gold.txt"
    gold.write_text("1|t|Bad gout here.\n1|a|\n1\t4\t8\tgout\tDisease\tD006073\n1\t0\t3\tBad\tDisease\tD9\n")
    out = tmp_path / "out"
    made = [str(gold), "--kb", str(kb.folder), "--out", str(out)]
    assert CliRunner().invoke(annotate, made, catch_exceptions=False).exit_code == 0
    asked = ["score", str(out), "--gold", str(gold), "--kb", str(kb.folder)]
    lines = CliRunner().invoke(corpus, asked, catch_exceptions=False).stdout.splitlines()
    assert lines[1].split() == ["spans", "100.0", "50.0", "66.7", "2", "1", "1"]
    assert max(map(len, lines)) <= 80
    assert not any(line.startswith("not scored") for line in lines)
    shown = CliRunner().invoke(corpus, ["show", str(out)], catch_exceptions=False).stdout
    assert shown.splitlines() == ["1: Bad gout here.", "  4-8 C0000001 1.00 gout"]
    stats = CliRunner().invoke(corpus, ["stats", str(out)], catch_exceptions=False).stdout
    assert "linker: dictionary\n" in stats
    other = tmp_path / "other.txt"
    other.write_text("7|t|x y\n7|a|\n7\t0\t1\tx\tDisease\tD9\n")
    with pytest.raises(UserError, match="none of its documents is in"):
        CliRunner().invoke(corpus, [*asked[:3], str(other), *asked[4:]], catch_exceptions=False)


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    path = tmp_path / "gold.txt"
    path.write_text("1|t|Bad gout here.\n1|a|\n1\t4\t8\tgout\tDisease\tD006073\n")
    return path


@pytest.fixture
def made(kb: KnowledgeBase, gold: Path, tmp_path: Path) -> Path:
    """A corpus of the gold file."""
    out = tmp_path / "made"
    command = [str(gold), "--kb", str(kb.folder), "--out", str(out)]
    assert CliRunner().invoke(annotate, command, catch_exceptions=False).exit_code == 0
    return out


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(corpus, list(map(str, arguments)), catch_exceptions=False)


def test_passages_whose_text_is_another_are_left_out_and_said(kb: KnowledgeBase, tmp_path: Path) -> None:
    two = [GOLD, Passage("2", 0, "Bad gout", (GoldMention(4, 8, "Disease", ("D006073",)),))]
    system = [*linked((0, 4, "C0000001")), LinkedPassage("2", 0, "xx gout", [Mention(3, 7, "C0000001", 1.0)])]
    found = judge(system, two, kb)
    assert (found.documents, found.other_text) == (1, 1)
    assert found.spans == Counts(4, 1, 1)


def test_a_gold_file_of_other_texts_is_refused(kb: KnowledgeBase, made: Path, gold: Path) -> None:
    gold.write_text(gold.read_text().replace("Bad gout here.", "Bad gout there."))
    with pytest.raises(UserError, match="none of its documents has the same text in"):
        run("score", made, "--gold", gold, "--kb", kb.folder)


def test_gold_mentions_that_cannot_be_used_are_counted_below_the_scores(
    kb: KnowledgeBase, made: Path, gold: Path
) -> None:
    gold.write_text(gold.read_text() + "1\t0\t4\tBad\tDisease\tD9\n")
    said = run("score", made, "--gold", gold, "--kb", kb.folder).stdout
    assert "not scored: 1 records or mentions of" in said


def test_a_corpus_of_another_knowledge_base_is_refused(
    kb: KnowledgeBase, made: Path, gold: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(kb.folder, other, ignore=shutil.ignore_patterns("index"))
    manifest = other / "kb.json"
    manifest.write_text(manifest.read_text().replace(kb.content_hash, "f" * 64))
    message = rf"linked to release {kb.content_hash[:12]}, not to {other} \(release f{{12}}\); name that one"
    for command in (("score", made, "--gold", gold), ("show", made)):
        with pytest.raises(UserError, match=message):
            run(*command, "--kb", other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--kind", "disease"), "no gold mention of kind 'disease'; there are Disease"),
        (("--semantic-type", "T47"), "no concept of semantic type 'T47'.* shows all"),
    ],
)
def test_a_kind_or_type_that_nothing_has_is_refused(
    changes: tuple[str, ...], message: str, kb: KnowledgeBase, made: Path, gold: Path
) -> None:
    with pytest.raises(UserError, match=message):
        run("score", made, "--gold", gold, "--kb", kb.folder, *changes)


def test_a_gold_file_without_mentions_is_refused(kb: KnowledgeBase, made: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1, "text": "Bad gout here. "}\n')
    with pytest.raises(UserError, match="the gold file states no mentions; name an annotated file"):
        run("score", made, "--gold", tmp_path / "a.jsonl", "--kb", kb.folder)


def test_the_codes_of_all_gold_ids_are_looked_up_at_once(
    kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    passages = [GOLD._replace(document_id=str(n)) for n in range(5)]
    passages[4] = passages[4]._replace(gold=(GoldMention(0, 4, "Disease", ("D9",)),))
    concepts = GoldConcepts(kb)
    look_up, calls = concepts._look_up, []
    monkeypatch.setattr(concepts, "_look_up", lambda ids: calls.append(ids) or look_up(ids))
    judge([LinkedPassage(one.document_id, 0, TEXT, []) for one in passages], passages, kb, concepts=concepts)
    assert len(calls) == 1


def test_names_of_concepts_are_shown_with_the_knowledge_base(kb: KnowledgeBase, made: Path) -> None:
    shown = run("show", made, "--kb", kb.folder).stdout
    assert shown.splitlines()[1] == "  4-8 C0000001 (Gout) 1.00 gout"


def test_what_is_not_there_is_said_with_what_is(made: Path) -> None:
    with pytest.raises(UserError, match="no passage of document '7'; among others there are documents 1"):
        run("show", made, "--document", "7")
    with pytest.raises(UserError, match=r"no passage of concept 'C9'; among others .* concepts C0000001"):
        run("show", made, "--cui", "C9")


def test_a_damaged_shard_is_one_line_with_a_remedy_that_works(
    kb: KnowledgeBase, made: Path, gold: Path
) -> None:
    before = run("show", made).stdout
    (shard,) = (made / "shards").glob("*.parquet")
    content = shard.read_bytes()
    shard.write_bytes(content[:4] + b"\xff" * (len(content) // 2) + content[4 + len(content) // 2 :])
    again = [str(gold), "--kb", str(kb.folder), "--out", str(made)]
    message = f"{shard}: not the file that corpus.json describes; copy the corpus again, or remove it and"
    with pytest.raises(UserError, match=re.escape(message)):
        run("show", made)
    shard.unlink()
    (made / "corpus.json").unlink()
    assert CliRunner().invoke(annotate, again, catch_exceptions=False).exit_code == 0
    assert run("show", made).stdout == before


def test_a_shard_or_a_manifest_that_was_cut_off_is_mended_as_the_message_says(
    kb: KnowledgeBase, made: Path, gold: Path
) -> None:
    before = run("show", made).stdout
    again = [str(gold), "--kb", str(kb.folder), "--out", str(made)]
    (shard,) = (made / "shards").glob("*.parquet")
    manifest = made / "corpus.json"
    for cut, message in ((shard, f"or remove {manifest} and run"), (manifest, "or remove it and run")):
        cut.write_bytes(cut.read_bytes()[:-20])
        with pytest.raises(UserError, match=re.escape(message)):
            CliRunner().invoke(annotate, again, catch_exceptions=False)
        manifest.unlink()
        assert CliRunner().invoke(annotate, again, catch_exceptions=False).exit_code == 0
        assert run("show", made).stdout == before
