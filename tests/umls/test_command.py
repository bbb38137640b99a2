"""`kebench kb`, as a user calls it."""

import json
import shutil
from pathlib import Path

import pytest

from kebench.cli import main
from kebench.umls.knowledge_base import KnowledgeBase
from tests.umls.releases import write_release


def test_an_import_says_what_became_of_every_row(
    mini_release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["kb", "import", str(mini_release), "--out", str(tmp_path / "kb")])
    lines = capsys.readouterr().out.splitlines()
    names, relations = lines[2].split(), lines[3].split()
    kb = KnowledgeBase.open(tmp_path / "kb")
    assert names[:3] == [
        "names",
        f"{kb.manifest.counts['names']['read']:,}",
        f"{kb.manifest.counts['names']['kept']:,}",
    ]
    assert "language," in names
    assert "suppressed" in names
    assert relations[0] == "relations"
    assert lines[-1] == f"knowledge base: {tmp_path / 'kb'}"


def test_an_import_says_what_it_passed_over_of_an_ontology(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lab.obo"
    terms = "[Term]\nid: LAB:1\nname: cough\nsynonym: tussis\n\n[Term]\nid: LAB:2\nname: fever\nxref: a b\n"
    path.write_text(f"format-version: 1.2\n! ours\n{terms}")
    command = ["kb", "import", "--obo", str(path), "--out", str(tmp_path / "kb")]
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    assert "lab.obo line 6: not OBO (expected a name in quotes" in capsys.readouterr().err
    main([*command, "--on-error", "skip"])
    said = [
        "LAB: 1 synonym line not read (first: line 6: synonym: tussis)",
        "LAB: 1 comment line (first: line 2: ! ours)",
        "LAB: 1 xref line not read (first: line 11: xref: a b)",
    ]
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("LAB: ")] == said
    source = KnowledgeBase.open(tmp_path / "kb").manifest.sources[0]
    assert source["noted"] == {"comment_lines": 1, "synonym_not_read": 1, "xref_not_read": 1}
    assert source["noted_examples"]["synonym_not_read"] == "line 6: synonym: tussis"
    _as_older_manifest(tmp_path / "kb" / "kb.json")
    main([*command, "--on-error", "skip"])
    assert "LAB: first: line 2: ! ours" in capsys.readouterr().out.splitlines()


def _as_older_manifest(path: Path) -> None:
    """Write one as it was with one example for all kinds."""
    manifest = json.loads(path.read_text())
    del manifest["sources"][0]["noted_examples"]
    manifest["sources"][0]["noted_example"] = "line 2: ! ours"
    path.write_text(json.dumps(manifest))


def test_options_replace_single_filters_of_a_mode(mini_release: Path, tmp_path: Path) -> None:
    options = ["--mode", "released", "--language", "GER", "--relation", "may_treat", "--unnamed-relations"]
    main(["kb", "import", str(mini_release), "--out", str(tmp_path / "kb"), *options])
    filters = KnowledgeBase.open(tmp_path / "kb").manifest.filters
    assert (filters.languages, filters.relations, filters.term_statuses) == (
        ("GER",),
        ("may_treat",),
        ("P", "p"),
    )
    assert (filters.once_per_lui, filters.only_named_relations) == (True, False)


def test_stats_count_by_source_relation_type_and_language(
    mini_kb: KnowledgeBase, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["kb", "stats", str(mini_kb.folder), "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert found["totals"]["concepts"] == mini_kb.manifest.counts["concepts"]["kept"]
    assert [row["language"] for row in found["language"]] == ["ENG"]
    assert found["source"] == [
        {
            "source": "MINI",
            "names": found["totals"]["names"],
            "concepts": found["totals"]["concepts"],
            "relations": found["totals"]["relation rows"],
        }
    ]
    assert sum(row["triples"] for row in found["relation"]) == found["totals"]["triples"]
    names = {row["type"]: row["name"] for row in found["type"]}
    assert names["T047"] == "Disease or Syndrome"
    counts = [row["concepts"] for row in found["type"]]
    assert counts == sorted(counts, reverse=True)


def test_stats_fit_into_eighty_columns(
    mini_kb: KnowledgeBase, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    main(["kb", "stats", str(mini_kb.folder)])
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines[1:] if not line.startswith("and ")) <= 80
    assert lines[0] == f"{mini_kb.manifest.release}, made from rrf, content {mini_kb.content_hash[:12]}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["kb", "import", "--out", "kb"],
            "name either the folder of a release, or files with --obo, --terms",
        ),
        (
            ["kb", "import", "nowhere", "--out", "kb"],
            "nowhere: no such folder; expected MRCONSO.RRF, MRREL.RRF",
        ),
        (
            ["kb", "import", "embedded:mni", "--out", "kb"],
            "no embedded release 'mni'; there is embedded:mini",
        ),
        (["kb", "stats", "nowhere"], "nowhere: no knowledge base (kb.json is missing)"),
        (["kb", "open", "nowhere", "--out", "kb"], "nowhere: no such folder; check the path"),
        (
            ["kb", "open", "--fetch", "--indications", ".", "--out", "kb"],
            ".: no drug indications; expected drugs.tsv, diseases.tsv, indications.tsv, the last with the "
            "columns doid_id, drugbank_id and category",
        ),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith(f"kebench: {message}")
    assert error.count("\n") == 1


OBO = """format-version: 1.2
ontology: doid

[Term]
id: DOID:1
name: gout
synonym: "podagra" EXACT []
xref: MESH:D006073
xref: UMLS_CUI:C0018099

[Term]
id: DOID:2
name: arthritis

[Term]
id: DOID:3
name: chronic gout
is_a: DOID:1 ! gout
"""
DRUGS = "id\tname\tsynonyms\ttypes\txrefs\nDB00437\tallopurinol\tZyloprim\tT121\t\n"
FACTS = "head\trelation\ttail\nDB00437\tmay_treat\tpodagra\n"


def test_ontologies_and_tables_make_the_same_kind_of_knowledge_base(tmp_path: Path) -> None:
    for name, text in (("doid.obo", OBO), ("drugs.tsv", DRUGS), ("facts.tsv", FACTS)):
        (tmp_path / name).write_text(text)
    main(["kb", "import", "--obo", str(tmp_path / "doid.obo"), "--terms", str(tmp_path / "drugs.tsv"),
          "--triples", str(tmp_path / "facts.tsv"), "--out", str(tmp_path / "kb")])  # fmt: skip
    kb = KnowledgeBase.open(tmp_path / "kb")
    assert kb.cuis("Podagra").column("cui").to_pylist() == ["C0018099"]
    treated = kb.triples(relation="may_treat").read_all().to_pylist()
    assert [row["tail"] for row in treated] == ["C0018099"]
    assert kb.triples(relation="may_be_treated_by", head="C0018099").read_all().num_rows == 1
    assert kb.concepts(treated[0]["head"]).column("name").to_pylist() == ["allopurinol"]
    assert [source["name"] for source in kb.manifest.sources][:1] == ["DOID"]
    assert {file.name for file in kb.manifest.inputs} == {"doid.obo", "drugs.tsv", "facts.tsv"}


def test_the_file_of_triples_is_their_source_and_makes_another_knowledge_base(tmp_path: Path) -> None:
    hashes = set()
    (tmp_path / "drugs.tsv").write_text(DRUGS + "LAB:2\tgout\t\t\t\n")
    for name in ("a", "b"):
        (tmp_path / f"{name}.tsv").write_text("head\trelation\ttail\nDB00437\tmay_treat\tgout\n")
        own = ["--terms", str(tmp_path / "drugs.tsv"), "--triples", str(tmp_path / f"{name}.tsv")]
        main(["kb", "import", *own, "--out", str(tmp_path / f"kb-{name}")])
        hashes.add(KnowledgeBase.open(tmp_path / f"kb-{name}").content_hash)
    assert len(hashes) == 2


def test_open_kb_of_a_folder_is_exported_and_read_again_as_a_release(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "doid.obo").write_text(OBO)
    main(["kb", "open", str(tmp_path / "sources"), "--out", str(tmp_path / "kb")])
    main(["kb", "export", str(tmp_path / "kb"), "--rrf", str(tmp_path / "rrf")])
    main(["kb", "import", str(tmp_path / "rrf"), "--out", str(tmp_path / "again")])
    first, second = KnowledgeBase.open(tmp_path / "kb"), KnowledgeBase.open(tmp_path / "again")
    assert first.manifest.release == "open-kb"
    assert first.concepts().equals(second.concepts())
    assert first.triples().read_all().equals(second.triples().read_all())


def test_drug_indications_may_stand_outside_the_folder_of_sources(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources, catalog = tmp_path / "sources", tmp_path / "catalog"
    sources.mkdir()
    catalog.mkdir()
    (sources / "doid.obo").write_text(OBO)
    (catalog / "drugs.tsv").write_text("drugbank_id\tdrug\nDB00437\tAllopurinol\n")
    (catalog / "diseases.tsv").write_text("doid_id\tdisease\nDOID:1\tgout\n")
    (catalog / "indications.tsv").write_text("doid_id\tdrugbank_id\tcategory\nDOID:1\tDB00437\tDM\n")
    with_them = ["--indications", str(catalog)]
    main(["kb", "open", str(sources), *with_them, "--out", str(tmp_path / "kb")])
    kb = KnowledgeBase.open(tmp_path / "kb")
    assert {"may_treat", "may_be_treated_by"} <= set(kb.relations()["relation"].to_pylist())
    # Copied into the folder they give the same knowledge base; two of them are one too many.
    shutil.copytree(catalog, sources / "catalog")
    main(["kb", "open", str(sources), "--out", str(tmp_path / "again")])
    assert KnowledgeBase.open(tmp_path / "again").content_hash == kb.content_hash
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["kb", "open", str(sources), *with_them, "--out", str(tmp_path / "both")])
    assert capsys.readouterr().err == (
        f"kebench: {sources / 'catalog'}: drug indications already, beside those of {catalog}; remove the "
        "one or leave the other out\n"
    )


def test_a_release_that_is_there_already_is_not_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    release = write_release(tmp_path / "release")
    for _ in range(2):
        main(["kb", "import", str(release), "--out", str(tmp_path / "kb")])
    assert "holds this very knowledge base already; nothing to do" in caplog.text
    assert capsys.readouterr().out.count("knowledge base:") == 2
