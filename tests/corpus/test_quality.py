"""Links held against gold mentions, worked by hand, and the command that prints them."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from kebench.cli.annotate import annotate
from kebench.cli.corpus import corpus
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
    shown = CliRunner().invoke(corpus, ["show", str(out)], catch_exceptions=False).stdout
    assert shown.splitlines() == ["1: Bad gout here.", "  4-8 C0000001 1.00 gout"]
    stats = CliRunner().invoke(corpus, ["stats", str(out)], catch_exceptions=False).stdout
    assert "linker: linker dictionary" in stats
    other = tmp_path / "other.txt"
    other.write_text("7|t|x y\n7|a|\n")
    with pytest.raises(UserError, match="none of its documents is in"):
        CliRunner().invoke(corpus, [*asked[:3], str(other), *asked[4:]], catch_exceptions=False)
