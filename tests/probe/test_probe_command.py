"""`kebench probe build`, `import`, `export` and `stats`, as a user calls them."""

import json
import shutil
from pathlib import Path

import pytest

from kebench.cli import main
from kebench.errors import UserError
from kebench.mini.build import miniature_model
from kebench.probe.build import plan_set
from kebench.probe.index import export_ids
from kebench.probe.query_set import QuerySet
from kebench.probe.recipe import read_probe_recipe
from kebench.umls.knowledge_base import KnowledgeBase


@pytest.fixture
def kb(mini_kbs: dict[str, KnowledgeBase]) -> str:
    return str(mini_kbs["fixed"].folder)


def test_build_says_what_was_made(kb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["probe", "build", kb, "--recipe", "mini", "--out", str(tmp_path / "set")])
    printed = capsys.readouterr()
    query_set = QuerySet.open(tmp_path / "set")
    assert ["queries", f"{len(query_set):,}"] in [line.split() for line in printed.out.splitlines()]
    assert printed.out.splitlines()[-1] == f"set: {tmp_path / 'set'}"
    assert "mode fixed (as the knowledge base was imported), recipe mini" in printed.err
    pools = query_set.pools
    assert pools is not None
    said = " ".join(printed.out.split())
    assert f"{pools.ranked:,} queries can be ranked" in said
    assert f"{pools.flags['answer_in_question']:,} answer in question" in said
    assert "shots: for " in said
    assert len(query_set) == 1038


def test_options_replace_the_recipe(kb: str, tmp_path: Path) -> None:
    options = ["--cap", "7", "--seed", "3", "--relation", "isa", "--relation", "part_of", "--mode", "fixed"]
    main(["probe", "build", kb, "--out", str(tmp_path / "set"), *options])
    manifest = QuerySet.open(tmp_path / "set").manifest
    assert manifest.recipe is not None
    assert (manifest.recipe["max_queries_per_relation"], manifest.recipe["seed"]) == (7, 3)
    assert {name: of["queries"] for name, of in manifest.by_relation.items()} == {"isa": 7, "part_of": 7}


def test_export_and_build_by_the_index(kb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["probe", "build", kb, "--recipe", "mini", "--out", str(tmp_path / "set")])
    main(["probe", "export", str(tmp_path / "set"), "--ids", str(tmp_path / "ids.csv")])
    assert capsys.readouterr().out.splitlines()[-1] == f"{tmp_path / 'ids.csv'}: 1,038 queries"
    with (tmp_path / "ids.csv").open("a") as file:
        file.write("C9,L9,may_treat,head\n")
    main(["probe", "build", kb, "--index", str(tmp_path / "ids.csv"), "--out", str(tmp_path / "again")])
    printed = capsys.readouterr()
    assert "missing in the knowledge base: 1 luis, 1 queries without concept" in printed.out.splitlines()
    assert "is this the knowledge base" not in printed.err
    first, second = (QuerySet.open(tmp_path / name) for name in ("set", "again"))
    assert first.table().equals(second.table())


def test_an_index_of_another_knowledge_base_is_warned_of(
    kb: str, mini_sets: dict[str, QuerySet], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_ids(mini_sets["fixed"], tmp_path / "ids.csv")
    lines = (tmp_path / "ids.csv").read_text().splitlines()
    strange = [f"C9{n},L9{n},may_treat,head" for n in range(5)]
    (tmp_path / "ids.csv").write_text("\n".join([*lines[:4], *strange]) + "\n")
    main(["probe", "build", kb, "--index", str(tmp_path / "ids.csv"), "--out", str(tmp_path / "set")])
    assert "5 of the index's queries are not there; is this the knowledge base" in capsys.readouterr().err


def test_an_export_leaves_another_file_as_it_is(mini_sets: dict[str, QuerySet], tmp_path: Path) -> None:
    other = tmp_path / "ids.csv"
    other.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"ids\.csv: exists with other content; name a new file"):
        export_ids(mini_sets["fixed"], other)
    with pytest.raises(UserError, match="a folder; name a new file"):
        export_ids(mini_sets["fixed"], tmp_path)
    assert other.read_bytes() == b"\xff\xfe"


def test_the_order_of_relations_makes_no_other_set(mini_kbs: dict[str, KnowledgeBase]) -> None:
    kb = mini_kbs["fixed"]
    plans = [plan_set(kb, read_probe_recipe("mini", relations=of)) for of in (("isa", "a"), ("a", "isa"))]
    assert plans[0].content_hash == plans[1].content_hash


def test_stats_show_table_5_with_the_papers_numbers_beside_it(
    kb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["probe", "build", kb, "--out", str(tmp_path / "set")])
    capsys.readouterr()
    main(["probe", "stats", str(tmp_path / "set")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["this", "set", "paper"] in lines
    queries = next(line for line in lines if line[0] == "queries")
    assert queries[2] == "143,771"
    assert next(line for line in lines if line[:2] == ["mean", "CUIs"])[3] == "2.39"


def test_stats_by_relation_as_json(
    mini_sets: dict[str, QuerySet], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["probe", "stats", str(mini_sets["fixed"].folder), "--by", "relation", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert found["counts"] == mini_sets["fixed"].manifest.counts
    assert found["by_relation"]["isa"]["words"] == "is a"
    pools = mini_sets["fixed"].pools
    assert pools is not None
    assert found["pools"] == pools.model_dump(mode="json", by_alias=True)
    main(["probe", "stats", str(mini_sets["released"].folder)])
    assert "pools: none, so nothing of it can be ranked" in capsys.readouterr().out.splitlines()


def test_a_clinical_set_says_which_relations_the_knowledge_base_lacks(
    kb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["probe", "build", kb, "--recipe", "clinical", "--out", str(tmp_path / "set")])
    said = " ".join(capsys.readouterr().out.split())
    assert "relations of the recipe left out, missing: may_palliate, has_role, disease_has_feature," in said
    assert "left out: " in said
    assert "queries for answer in question" in said


def test_stats_fit_into_eighty_columns(
    mini_sets: dict[str, QuerySet], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    main(["probe", "stats", str(mini_sets["fixed"].folder), "--by", "relation"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    first = [line.split("  ")[0] for line in lines]
    assert "may_be_prevented_by" in {name.strip() for name in first}
    place = first.index("tissue_is_")
    assert first[place : place + 3] == ["tissue_is_", "expression_site_of_", "gene_product"]


def test_import_makes_a_set_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.csv").write_text("query,answers\ngout is [MASK].,a disease\n")
    main(["probe", "import", str(tmp_path / "mine.csv"), "--out", str(tmp_path / "set")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["queries", "1"] in lines
    assert ["mean", "answers", "1"] in lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "nowhere", "--out", "set"], "nowhere: no knowledge base (kb.json is missing)"),
        (["build", "KB", "--out", "set", "--recipe", "opn"], "no recipe 'opn'; did you mean 'open'?"),
        (["build", "KB", "--out", "set", "--mode", "released"], "KB: imported in mode fixed; for a set in"),
        (["build", "KB", "--out", "set", "--relation", "treats"], "no triple has the relation 'treats';"),
        (
            ["build", "KB", "--out", "set", "--index", "empty.csv", "--cap", "3"],
            "--cap and --seed choose queries, and so does --index; name one or the other",
        ),
        (
            ["build", "KB", "--out", "set", "--index", "empty.csv"],
            "empty.csv line 1: no column cui; expected",
        ),
        (["stats", "nowhere"], "nowhere: no set of queries (set.json is missing); make one with"),
        (["export", "nowhere", "--ids", "ids.csv"], "nowhere: no set of queries (set.json is missing)"),
        (
            ["import", "empty.csv", "--out", "set"],
            "empty.csv: empty; expected query,answers[,relation] or a question of MMLU in line 1",
        ),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, kb: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("empty.csv").touch()
    Path("KB").symlink_to(kb)
    with pytest.raises(SystemExit) as stop:
        main(["probe", *arguments])
    error = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert error[-1].startswith(f"kebench: {message}")
    assert not Path("set").exists()


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("recipe", {"published": []}, "published is no table"),
        ("by_relation", {"r": {"queries": 1}}, "r: expected queries, mean_cuis, type_1, type_2"),
        ("counts", {"queries": 1, "type_1": "x"}, "a number is none"),
        ("facts_stored", None, "facts_stored without reverse_share"),
    ],
)
def test_a_manifest_of_a_set_with_other_values_is_one_line(
    field: str, value: object, why: str, mini_sets: dict[str, QuerySet], tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(mini_sets["fixed"].folder, folder)
    manifest = json.loads((folder / "set.json").read_text())
    (folder / "set.json").write_text(json.dumps(manifest | {field: value}))
    with pytest.raises(UserError, match=why):
        QuerySet.open(folder)


def test_a_model_without_a_trained_head_can_be_left_out(
    mini_sets: dict[str, QuerySet], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import BertModel

    whole = miniature_model("bert-mini-random")
    BertModel.from_pretrained(whole).save_pretrained(tmp_path / "headless")
    for path in whole.glob("*oken*"):
        (tmp_path / "headless" / path.name).write_bytes(path.read_bytes())
    options = ["--set", str(mini_sets["fixed"].folder), "--skip-headless", "--out", str(tmp_path / "out")]
    main(["probe", "run", "--model", str(tmp_path / "headless"), *options])
    assert "headless: left out, its checkpoint has no trained head" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
