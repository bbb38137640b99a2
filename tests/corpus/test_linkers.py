"""Linkers: as scispaCy's own component links, abbreviations, ids of files, and settings."""

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scispacy_peer import scispacy_s_linker
from kebench.corpus.dictionary import DictionaryLinker
from kebench.corpus.extras import imported
from kebench.corpus.gold import GoldConcepts, GoldLinker, read_id_map
from kebench.corpus.linking import LinkingSettings, read_settings
from kebench.corpus.mentions import Detector, find_model
from kebench.corpus.name_index import NameIndex
from kebench.corpus.passage import GoldMention, Mention, Passage
from kebench.corpus.scispacy_linker import ScispacyLinker, StringLinker
from kebench.errors import UserError
from kebench.umls.knowledge_base import KnowledgeBase

STRINGS = ["gout", "Gout", "gouts", "breast cancer", "familial breast cancer", "wilson diseases", "", "xyzzy"]


def settings(**changes: Any) -> LinkingSettings:
    return read_settings(
        "scispacy", preset="paper", **({"search": "exact", "mentions": "dictionary"} | changes)
    )


def scispacy_s_links(index: NameIndex, strings: list[str], chosen: LinkingSettings, defined: set[str]) -> Any:
    """Link with scispaCy's component, on our index."""
    spacy = pytest.importorskip("spacy")
    linker = scispacy_s_linker(index, chosen, defined)
    document = spacy.tokens.Doc(spacy.blank("en").vocab, words=strings)
    document.ents = [spacy.tokens.Span(document, i, i + 1, label="X") for i in range(len(strings))]
    return [mention._.kb_ents for mention in linker(document).ents]


@pytest.mark.parametrize("search", ["exact", "approximate"])
@pytest.mark.parametrize("preset", ["paper", "author", "scispacy"])
@pytest.mark.parametrize("defined", [set(), {"C0000001", "C0000006"}])
def test_links_are_those_of_scispacy_s_component(
    search: str, preset: str, defined: set[str], graph_index: NameIndex, tmp_path: Path
) -> None:
    index = graph_index
    strings = [string for string in STRINGS if string]
    chosen = read_settings("scispacy", preset=preset, search=search, mentions="dictionary", ties="cui")
    (tmp_path / "MRDEF.RRF").write_text(
        "".join(f"{cui}|A1|AT1||MSH|a thing|N||\n" for cui in sorted(defined))
    )
    ours = StringLinker(index, chosen, tmp_path / "MRDEF.RRF" if defined else None).link(strings)
    theirs = scispacy_s_links(index, strings, chosen, defined)
    assert [[cui for cui, _ in links] for links in ours] == [[cui for cui, _ in links] for links in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert [score for _, score in mine] == pytest.approx([score for _, score in other], abs=1e-5)


def test_of_equally_similar_concepts_that_with_more_names_comes_first(index: NameIndex) -> None:
    both = {ties: StringLinker(index, settings(ties=ties, max_entities=2)) for ties in ("names", "cui")}
    # C0000009 has three names, C0000002 two
    assert [cui for cui, _ in both["names"].link(["rheum"])[0]] == ["C0000009", "C0000002"]
    assert [cui for cui, _ in both["cui"].link(["rheum"])[0]] == ["C0000002", "C0000009"]


def test_a_string_is_looked_up_once_whatever_its_case(
    index: NameIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    linker = StringLinker(index, settings())
    asked: list[str] = []
    look_up = linker._look_up
    monkeypatch.setattr(linker, "_look_up", lambda strings: asked.extend(strings) or look_up(strings))
    first = linker.link(["Gout", "gout", "GOUT", "xyzzy"])
    assert linker.link(["gout", "Xyzzy"]) == [first[0], first[3]]
    assert asked == ["gout", "xyzzy"]
    assert first[0][0][0] == "C0000001"
    assert first[3] == ()


def test_a_short_form_is_linked_by_its_long_form(kb: KnowledgeBase) -> None:
    text = "Wilson disease (WD) is rare. The patients with WD had gouty arthritis."
    linker = ScispacyLinker(kb, settings(mentions="noun_chunks"))
    (linked,) = linker.link([Passage("1", 0, text)])
    found = [(text[m.char_start : m.char_end], m.cui) for m in linked.mentions]
    assert ("WD", "C0000003") in found
    assert found.count(("WD", "C0000003")) == 2
    assert ("gouty arthritis", "C0000001") in found
    without = ScispacyLinker(kb, settings(mentions="noun_chunks", abbreviations=False))
    (linked,) = without.link([Passage("1", 0, text)])
    assert "WD" not in [text[m.char_start : m.char_end] for m in linked.mentions]


def test_noun_phrases_lose_what_stands_in_front(kb: KnowledgeBase) -> None:
    text = "The two rats had their gouty arthritis."
    (found,) = Detector("noun_chunks", model=None, abbreviations=False).detect([text])
    assert [text[one.char_start : one.char_end] for one in found] == ["rats", "gouty arthritis"]


def test_the_dictionary_links_names_with_score_1(kb: KnowledgeBase) -> None:
    (linked,) = DictionaryLinker(kb).link([Passage("1", 0, "Allopurinol for gouty arthritis.")])
    assert linked.mentions == [Mention(0, 11, "C0000002", 1.0), Mention(16, 31, "C0000001", 1.0)]


def test_ids_of_files_are_found_by_the_codes_of_the_knowledge_base(kb: KnowledgeBase) -> None:
    ids = ["D006073", "MESH:D000493", "OMIM:114480", "C0000006", "UMLS:C0000006", "D001172", "D999999", "x"]
    assert GoldConcepts(kb).of(ids) == {
        "D006073": "C0000001",
        "MESH:D000493": "C0000002",
        "OMIM:114480": "C0000005",
        "C0000006": "C0000006",
        "UMLS:C0000006": "C0000006",
        "D001172": "C0000008",  # whose heading it is, not the concept of an entry term
        "D999999": None,
        "x": None,
    }


def test_a_gold_mention_has_every_concept_of_its_ids_once(kb: KnowledgeBase) -> None:
    gold = (GoldMention(5, 8, "", ("D999999",)), GoldMention(0, 4, "", ("D006073", "D000493", "D006073")))
    (linked,) = GoldLinker(kb).link([Passage("1", 0, "gout bad", gold)])
    assert linked == ([Mention(0, 4, "C0000001", 1.0), Mention(0, 4, "C0000002", 1.0)], 2)


def test_a_map_of_ids_comes_first_and_its_odd_lines_are_counted(
    kb: KnowledgeBase, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "map.tsv"
    path.write_text("mesh_id\tcui\tsource\nD006073\tC0000007\tDO\nD006073\tC0000001\tX\n5\t0265205\tDO\n")
    assert read_id_map(path) == {"MESH:D006073": "C0000007"}
    assert "2 lines without a CUI are passed over" in caplog.text
    assert GoldConcepts(kb, id_map=path).of(["D006073"]) == {"D006073": "C0000007"}
    path.write_text("a,b\n")
    with pytest.raises(UserError, match="no line of an id, a tab and a CUI"):
        read_id_map(path)


@pytest.mark.parametrize(
    "written", ["D006073\tC0000007", "MESH:D006073\tUMLS:C0000007", "mesh:d006073\tC0000007"]
)
@pytest.mark.parametrize("asked", ["D006073", "MESH:D006073"])
def test_a_map_of_ids_counts_however_the_id_is_spelt(
    written: str, asked: str, kb: KnowledgeBase, tmp_path: Path
) -> None:
    (tmp_path / "map.tsv").write_text(f"{written}\nMIM:114480\tC0000002\n")
    concepts = GoldConcepts(kb, id_map=tmp_path / "map.tsv")
    assert concepts.of([asked, "OMIM:114480"]) == {asked: "C0000007", "OMIM:114480": "C0000002"}


def test_a_cui_of_the_map_that_the_knowledge_base_lacks_is_passed_over_and_counted(
    kb: KnowledgeBase, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "map.tsv").write_text("D006073\tC9999999\nD9\tC9999998\nD1\tC0000002\n")
    concepts = GoldConcepts(kb, id_map=tmp_path / "map.tsv")
    assert concepts.of(["D006073", "D9", "D1"]) == {"D006073": "C0000001", "D9": None, "D1": "C0000002"}
    assert "2 of 3 ids have a CUI that the knowledge base lacks; they are passed over" in caplog.text


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "the file states no mention; choose another --linker"),
        ([()], "none of the stated mentions has an id"),
        ([("D77",), ("D78",)], "the knowledge base knows none of the 2 ids, such as D77; see --id-map"),
    ],
)
def test_gold_mentions_that_link_to_nothing_are_said_once_with_the_reason(
    ids: list[tuple[str, ...]], message: str, kb: KnowledgeBase, caplog: pytest.LogCaptureFixture
) -> None:
    passage = Passage("1", 0, "gout bad", tuple(GoldMention(0, 4, "", one) for one in ids))
    linker = GoldLinker(kb)
    linker.link([passage])
    linker.link([passage])
    assert [one.getMessage() for one in caplog.records] == [
        f"--linker gold links nothing in 1 passages: {message}"
    ]


@pytest.mark.parametrize(
    ("theirs", "ours", "is_alike"),
    [
        ([("C1", 1.0)], [("C2", 1.0)], False),  # nothing was cut off
        ([("C1", 1.0), ("C2", 0.9)], [("C2", 0.9), ("C1", 1.0)], False),
        ([("C1", 0.9), ("C2", 0.9)], [("C2", 0.9), ("C1", 0.9)], True),
        ([("C1", 1.0), ("C2", 0.9), ("C3", 0.9)], [("C1", 1.0), ("C2", 0.9), ("C4", 0.9)], True),  # of four
        ([("C1", 1.0), ("C2", 0.9), ("C3", 0.9)], [("C5", 1.0), ("C2", 0.9), ("C3", 0.9)], False),
        ([], [], True),
    ],
)
def test_the_benchmark_ignores_concepts_only_where_some_were_cut_off(
    theirs: list[tuple[str, float]], ours: list[tuple[str, float]], is_alike: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    benchmarks = Path(__file__).parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(str(benchmarks))
    alike = runpy.run_path(str(benchmarks / "annotate.py"))["alike"]
    assert alike(theirs, ours, most=3) is is_alike


def test_presets_hold_the_settings_of_paper_author_and_scispacy() -> None:
    wanted = {"paper": (0.85, 1), "author": (0.9, 1), "scispacy": (0.7, 5)}
    for preset, values in wanted.items():
        chosen = read_settings("scispacy", preset=preset)
        assert (chosen.threshold, chosen.max_entities) == values


@pytest.mark.parametrize(
    ("linker", "preset", "changes", "message"),
    [
        ("scispacy", "papper", {}, "no preset 'papper'; did you mean 'paper'"),
        (
            "dictionary",
            "paper",
            {"threshold": 0.5},
            "--threshold is for --linker scispacy, not for dictionary",
        ),
        ("scispacy", "paper", {"id_map": "0"}, "--id-map is for --linker gold"),
        ("scispacy", "paper", {"k": 0}, "k"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(
    linker: str, preset: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_settings(linker, preset=preset, **changes)


def test_a_model_that_is_not_installed_is_one_line_with_the_command() -> None:
    with pytest.raises(
        UserError, match=r"en_core_sci_xl is not installed; pip install https.*en_core_sci_xl"
    ):
        find_model("ner", "en_core_sci_xl")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("numpy", r"--spacy-model numpy: that package is no spaCy model; name one, as en_core_web_sm"),
        ("./x y", r"--spacy-model '\./x y': expected the name of an installed model, no path"),
        ("/tmp", r"--spacy-model /tmp: expected the name of an installed model, no path"),
    ],
)
def test_what_is_no_model_is_one_line(model: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_model("ner", model)


def test_a_model_that_cannot_be_loaded_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import spacy

    def load(name: str, **_: Any) -> None:
        raise TypeError("load() got an unexpected keyword")

    monkeypatch.setattr(spacy, "load", load)
    with pytest.raises(UserError, match=r"the spaCy model en_core_web_sm\S* cannot be loaded \(load\(\) got"):
        Detector("noun_chunks", model=None, abbreviations=False)


@pytest.mark.parametrize("package", ["spacy", "scispacy", "sparse_dot_topn", "nmslib", "bioc"])
def test_a_package_that_is_missing_is_one_line_with_the_command(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"^{package} cannot be imported \(.*\); pip install 'kebench\[annotate\]'"
    with pytest.raises(UserError, match=message):
        imported(package)


def test_nothing_of_the_extra_is_imported_but_by_the_function_that_says_so() -> None:
    sources = (Path(__file__).parents[2] / "kebench" / "corpus").rglob("*.py")
    pattern = re.compile(
        r"^\s*(?:import|from) (?:spacy|scispacy|sparse_dot_topn|nmslib|bioc)\b", re.MULTILINE
    )
    assert [path.name for path in sources if pattern.search(path.read_text(encoding="utf-8"))] == []
