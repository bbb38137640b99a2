"""What an import keeps: filters, the direction of a relation, the preferred name, every form of the files."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from kebench.errors import UserError
from kebench.mini.world import World
from kebench.umls import database, importing, rrf
from kebench.umls.filters import PRESETS, Filters
from kebench.umls.importing import import_release
from kebench.umls.knowledge_base import KnowledgeBase
from kebench.umls.manifest import MANIFEST
from kebench.umls.rrf import find_release, parquet_sql
from tests.umls.releases import NAMES, RELATIONS, TYPES, imported, write_release

TABLES = ("concepts", "names", "triples", "types")


def rows_of(kb: KnowledgeBase, table: str) -> list[tuple[object, ...]]:
    import duckdb

    return duckdb.connect().execute(f"FROM {parquet_sql(kb.folder / f'{table}.parquet')}").fetchall()


def triples_of(kb: KnowledgeBase) -> set[tuple[str, str, str]]:
    return {(row["head"], row["relation"], row["tail"]) for row in kb.triples().read_all().to_pylist()}


def preferred(kb: KnowledgeBase) -> dict[str, str]:
    return {row["cui"]: row["name"] for row in kb.concepts().to_pylist()}


def test_a_row_reads_second_relation_first(mini_kb: KnowledgeBase, world: World) -> None:
    drug, disease = world.by_name["metformin"].cui, world.by_name["type 2 diabetes mellitus"].cui
    found = triples_of(mini_kb)
    assert (drug, "may_treat", disease) in found
    assert (disease, "may_be_treated_by", drug) in found
    assert (disease, "may_treat", drug) not in found


def test_the_miniature_is_there_whole(mini_kb: KnowledgeBase, world: World) -> None:
    inverse = {relation.name: relation.inverse for relation in world.relations}
    facts = {(t.head, t.relation, t.tail) for t in world.triples}
    facts |= {(t.tail, inverse[t.relation], t.head) for t in world.triples}
    assert triples_of(mini_kb) == facts
    assert preferred(mini_kb) == {concept.cui: concept.name for concept in world.concepts}
    assert mini_kb.manifest.counts["names"]["kept"] == sum(len(concept.names) for concept in world.concepts)


def test_the_counts_add_up(mini_kb: KnowledgeBase) -> None:
    for what in ("names", "relations"):
        counts = mini_kb.manifest.counts[what]
        assert counts["read"] == sum(num for reason, num in counts.items() if reason != "read")
    assert mini_kb.manifest.counts["names"]["language"] > 0
    assert mini_kb.manifest.counts["names"]["suppressed"] > 0


def test_suppressed_and_foreign_names_are_kept_only_if_asked_for(tmp_path: Path) -> None:
    names = [*NAMES, "C0000001 ENG S L4 Y MSH SY D1 O podagra", "C0000001 GER P L5 Y MSH PT D1 N Gicht"]
    release = write_release(tmp_path / "release", names)
    assert len(rows_of(imported(release, tmp_path / "a"), "names")) == 3
    assert len(rows_of(imported(release, tmp_path / "b", keep_suppressed=True), "names")) == 4
    assert len(rows_of(imported(release, tmp_path / "c", languages=()), "names")) == 4
    german = imported(release, tmp_path / "d", languages=("GER", "ENG"))
    assert preferred(german) == {"C0000001": "Gicht", "C0000002": "allopurinol"}


def test_sources_relations_and_types_can_be_chosen(tmp_path: Path) -> None:
    relations = [*RELATIONS, "C0000001 PAR C0000002 - MSH N", "C0000002 RO C0000001 may_be_treated_by MSH N"]
    release = write_release(tmp_path / "release", relations=relations)
    assert len(triples_of(imported(release, tmp_path / "a"))) == 2
    assert len(triples_of(imported(release, tmp_path / "b", relations=("may_treat",)))) == 1
    unnamed = triples_of(imported(release, tmp_path / "c", only_named_relations=False, rels=("PAR",)))
    assert unnamed == {("C0000002", "PAR", "C0000001")}
    only_diseases = imported(release, tmp_path / "d", semantic_types=("T047",))
    assert preferred(only_diseases) == {"C0000001": "Gout"}
    assert only_diseases.manifest.counts["relations"]["concept_left_out"] == 2
    one_source = imported(release, tmp_path / "e", sources=("MSH",))
    assert one_source.manifest.counts["names"]["source"] == 1


def test_relations_of_a_concept_to_itself_are_left_out_and_counted(tmp_path: Path) -> None:
    relations = [*RELATIONS, "C0000001 RO C0000001 permuted_term_of MSH N"]
    release = write_release(tmp_path / "release", relations=relations)
    kb = imported(release, tmp_path / "a")
    assert (len(triples_of(kb)), kb.manifest.counts["relations"]["self"]) == (1, 1)
    assert len(triples_of(imported(release, tmp_path / "b", keep_self_relations=True))) == 2


def test_a_relation_that_two_sources_state_is_one_triple(tmp_path: Path) -> None:
    relations = [*RELATIONS, *RELATIONS, "C0000001 RO C0000002 may_treat RX N"]
    kb = imported(write_release(tmp_path / "release", relations=relations), tmp_path / "kb")
    assert kb.triples().read_all().num_rows == 1
    assert kb.manifest.tables["triples"].rows == 3


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["C1 ENG S L1 Y A SY 1 N second", "C1 ENG P L2 Y A PT 1 N first"], "first"),
        (["C1 ENG P L1 N A PT 1 N second", "C1 ENG P L1 Y A PT 1 N first"], "first"),
        (["C1 ENG P L1 Y A PT 1 N first", "C1 ENG P L1 Y B PT 1 N second"], "first"),
        (["C1 ENG s L1 Y A PT 1 O second", "C1 ENG p L1 Y A PT 1 O first"], "first"),
    ],
    ids=["the preferred term", "the preferred atom", "of equals the first row", "of suppressed ones too"],
)
def test_the_preferred_name_is_the_release_s_own_choice(
    names: list[str], expected: str, tmp_path: Path
) -> None:
    release = write_release(tmp_path / "release", [*names, "C2 ENG P L9 Y A PT 2 N other"],
                            ["C1 RO C2 part_of A N"], ["C1 T047 Disease"])  # fmt: skip
    assert preferred(imported(release, tmp_path / "kb", keep_suppressed=True))["C1"] == expected


# A worked example of every rule by which the released code reads names (docs/FIDELITY.md). Row by row:
RELEASED_EXAMPLE = {
    "C1 ENG P L1 Y A PT 1 N Gout": True,
    "C1 ENG P L1 N B PT 1 N GOUT": False,  # its LUI was seen
    "C1 ENG S L2 Y A SY 1 N gouty arthritis": False,  # not preferred
    "C1 GER P L3 Y A PT 1 N Gicht": False,  # not English
    "C2 ENG p L4 Y A PT 2 O Cold, NOS": True,  # p counts as P, and SUPPRESS is not looked at
    "C3 ENG P L4 Y A PT 3 N cold, nos": False,  # the LUI of C2: C3 vanishes
    "C4 ENG P L5 Y A PT 4 N beta-Amylase (barley)": True,
}


def test_the_released_mode_keeps_the_rows_that_the_released_code_keeps(tmp_path: Path) -> None:
    relations = ["C1 RO C2 causes A O", "C3 RO C1 causes A N", "C4 SIB C1 - A N"]
    release = write_release(tmp_path / "release", RELEASED_EXAMPLE, relations, ["C1 T047 Disease"])
    import_release(find_release(release), tmp_path / "kb", filters=PRESETS["released"])
    kb = KnowledgeBase.open(tmp_path / "kb")
    kept = [text.split(" ", 9)[9] for text, is_kept in RELEASED_EXAMPLE.items() if is_kept]
    assert [row[1] for row in rows_of(kb, "names")] == kept
    assert preferred(kb) == {"C1": "Gout", "C2": "Cold, NOS", "C4": "beta-Amylase (barley)"}
    forms = {row[0]: row[2] for row in rows_of(kb, "names")}
    assert forms == {"C1": "gout", "C2": "cold,", "C4": "beta amylase"}
    assert triples_of(kb) == {("C2", "causes", "C1")}
    assert kb.manifest.counts["names"]["lui_seen_before"] == 2
    assert kb.manifest.counts["relations"]["concept_left_out"] == 1


@pytest.mark.parametrize("form", ["gzip", "parts", "parts within a line", "META", "windows"])
def test_every_form_of_the_files_gives_the_same_tables(
    form: str, mini_release: Path, mini_kb: KnowledgeBase, tmp_path: Path
) -> None:
    folder = tmp_path / "release"
    written = folder / "META" if form == "META" else folder
    written.mkdir(parents=True)
    for path in mini_release.glob("*.RRF"):
        text = path.read_bytes()
        if form == "gzip":
            (written / f"{path.name}.gz").write_bytes(gzip.compress(text))
        elif form.startswith("parts"):
            middle = text.index(b"\n", len(text) // 2) + (1 if form == "parts" else 9)
            (written / f"{path.name}.aa.gz").write_bytes(gzip.compress(text[:middle]))
            (written / f"{path.name}.ab.gz").write_bytes(gzip.compress(text[middle:]))
        else:
            (written / path.name).write_bytes(text.replace(b"\n", b"\r\n") if form == "windows" else text)
    kb = imported(folder, tmp_path / "kb")
    for table in TABLES:
        assert rows_of(kb, table) == rows_of(mini_kb, table)
    assert kb.manifest.tables == mini_kb.manifest.tables
    assert kb.content_hash == mini_kb.content_hash


def test_a_missing_part_is_noticed(mini_release: Path, tmp_path: Path) -> None:
    for path in mini_release.glob("*.RRF"):
        (tmp_path / f"{path.name}.aa.gz").write_bytes(gzip.compress(path.read_bytes()))
    (tmp_path / "MRREL.RRF.aa.gz").rename(tmp_path / "MRREL.RRF.ab.gz")
    with pytest.raises(
        UserError, match=r"MRREL\.RRF\.aa\* is missing before MRREL\.RRF\.ab\.gz; copy every part"
    ):
        find_release(tmp_path)


def test_the_release_is_named_by_its_own_file(mini_release: Path, tmp_path: Path) -> None:
    folder = write_release(tmp_path / "META")
    assert find_release(tmp_path).name == tmp_path.name
    (folder / "release.dat").write_text("umls.release.name=2020AA\numls.release.date=20200504\n")
    assert find_release(tmp_path).name == "2020AA"
    assert find_release(tmp_path, name="mine").name == "mine"


def test_the_same_import_twice_does_nothing_and_another_one_is_refused(tmp_path: Path) -> None:
    release = write_release(tmp_path / "release")
    imported(release, tmp_path / "kb")
    before = (tmp_path / "kb" / MANIFEST).stat().st_mtime_ns
    imported(release, tmp_path / "kb")
    assert (tmp_path / "kb" / MANIFEST).stat().st_mtime_ns == before
    with pytest.raises(
        UserError, match="holds a knowledge base of other files or filters, or made by an earlier kebench"
    ):
        imported(release, tmp_path / "kb", keep_suppressed=True)


def test_a_knowledge_base_of_an_earlier_version_is_read_and_not_taken_for_what_an_import_would_make(
    tmp_path: Path,
) -> None:
    release = write_release(tmp_path / "release")
    kb = imported(release, tmp_path / "kb")
    manifest = json.loads((kb.folder / MANIFEST).read_text())
    del manifest["import_hash"]
    (kb.folder / MANIFEST).write_text(json.dumps(manifest))
    assert KnowledgeBase.open(kb.folder).content_hash == kb.content_hash
    with pytest.raises(UserError, match=r"made by an earlier kebench .*; choose another --out, or remove it"):
        imported(release, kb.folder)


def test_the_content_hash_depends_on_content_and_filters_and_not_on_names(tmp_path: Path) -> None:
    first = imported(write_release(tmp_path / "one"), tmp_path / "a")
    same = imported(write_release(tmp_path / "two"), tmp_path / "b")
    filtered = imported(tmp_path / "one", tmp_path / "c", keep_suppressed=True)
    other = imported(write_release(tmp_path / "three", types=TYPES[:1]), tmp_path / "d")
    assert first.content_hash == same.content_hash
    assert len({first.content_hash, filtered.content_hash, other.content_hash}) == 3


def test_a_table_that_was_cut_off_is_noticed(tmp_path: Path) -> None:
    kb = imported(write_release(tmp_path / "release"), tmp_path / "kb")
    path = kb.folder / "names.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        UserError, match=r"names\.parquet: [\d,]+ bytes, expected [\d,]+; copy the knowledge base again"
    ):
        KnowledgeBase.open(kb.folder)


def test_a_filter_by_type_keeps_the_order_of_the_release(tmp_path: Path) -> None:
    # More rows than one row group of Parquet (122,880), so that several cores have a part each.
    names = [f"C{n:07d} ENG P L{n} Y A PT {n} N name {n}" for n in range(1, 200_001)]
    types = [f"C{n:07d} T04{7 + n % 2} Disease" for n in range(1, 200_001)]
    release = write_release(tmp_path / "release", names, ["C0000001 RO C0000002 of A N"], types)
    kept = [row[0] for row in rows_of(imported(release, tmp_path / "kb", semantic_types=("T047",)), "names")]
    assert kept == [f"C{n:07d}" for n in range(2, 200_001, 2)]


def mixed_release(folder: Path) -> tuple[Path, list[str]]:
    """Write a release whose order matters everywhere; return it, and the first row's name of each LUI."""
    names, first_of_lui = [], {}
    for row in range(30_000):
        lui = row * 7 % 10_000  # three rows far from each other, of different concepts
        names.append(f"C{row * 11 % 9_000:07d} ENG P L{lui} Y A PT {row} N name {row}")
        first_of_lui.setdefault(lui, f"name {row}")
    relations = [f"C{n:07d} RO C{n * 7 % 9_000:07d} part_of A N" for n in range(9_000)]
    return write_release(folder, names, relations, ["C0000001 T047 Disease"]), list(first_of_lui.values())


@pytest.mark.parametrize("mode", ["fixed", "released"])
def test_an_import_gives_the_same_bytes_with_any_number_of_threads_plain_or_gzipped(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, first_of_lui = mixed_release(tmp_path / "plain")
    (tmp_path / "gzipped").mkdir()
    for path in plain.iterdir():
        (tmp_path / "gzipped" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    monkeypatch.setattr(rrf, "_BUFFER_BYTES", 50_000)  # so that a small file has parts for many threads
    connect = database.connect

    def made(packing: str, threads: int) -> KnowledgeBase:
        def connect_with_threads() -> database.Connection:
            connection = connect()
            connection.execute(f"SET threads = {threads}")
            return connection

        monkeypatch.setattr(database, "connect", connect_with_threads)
        out = tmp_path / f"{packing} {threads}"
        import_release(find_release(tmp_path / packing), out, filters=PRESETS[mode])
        return KnowledgeBase.open(out)

    first = made("plain", 1)
    for packing, threads in (("plain", 8), ("plain", 3), ("gzipped", 8)):
        again = made(packing, threads)
        assert again.manifest.tables == first.manifest.tables  # with the hashes of their bytes
        assert again.content_hash == first.content_hash
    names = [row[1] for row in rows_of(first, "names")]
    assert names == (first_of_lui if mode == "released" else [f"name {row}" for row in range(30_000)])


def test_other_rows_in_the_same_tables_give_another_content_hash(tmp_path: Path) -> None:
    turned = imported(write_release(tmp_path / "turned", [NAMES[1], NAMES[0], NAMES[2]]), tmp_path / "a")
    kb = imported(write_release(tmp_path / "release"), tmp_path / "b")
    assert rows_of(turned, "concepts") == rows_of(kb, "concepts")
    assert sorted(rows_of(turned, "names")) == sorted(rows_of(kb, "names"))
    assert turned.content_hash != kb.content_hash


def test_what_is_written_depends_on_rows_alone_however_a_query_hands_them_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "SELECT 'n' || i AS name, [i::VARCHAR, 'x'] AS types FROM range(10_000) AS r(i) ORDER BY i"
    with database.connect() as connection:
        whole = database.write_rows(connection, query, tmp_path / "a")
        monkeypatch.setattr(database, "_full_groups", lambda reader: [reader.read_all()])
        at_once = database.write_rows(connection, query, tmp_path / "b")
        moved = database.write_rows(connection, query.replace("'n'", "'m'"), tmp_path / "c")
    assert (whole.rows, whole) == (10_000, at_once)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert moved.content != whole.content


def test_relations_without_a_cui_are_counted_and_left_out(tmp_path: Path) -> None:
    release = write_release(tmp_path / "release")
    rows = (release / "MRREL.RRF").read_text()
    more = rows.replace("C0000001|", "|", 1) + rows.replace("C0000002|", "|", 1)
    (release / "MRREL.RRF").write_text(more + rows)
    kb = imported(release, tmp_path / "kb")
    counts = kb.manifest.counts["relations"]
    assert (counts["read"], counts["without_cui"], counts["kept"]) == (3, 2, 1)
    assert triples_of(kb) == {("C0000002", "may_treat", "C0000001")}


@pytest.mark.parametrize("folder", ["kb*", "kb?", "kb[12]", "it's", "source=foo", "release=2020AA"])
def test_a_folder_may_have_any_name(folder: str, tmp_path: Path) -> None:
    release = write_release(tmp_path / folder / "release")
    for beside in ("kbX", "kb1"):  # what a pattern would also find
        imported(release, tmp_path / beside / "kb")
    kb = imported(release, tmp_path / folder / "kb")
    assert len(rows_of(kb, "names")) == 3
    assert kb.concepts().to_pylist()[0] == {"cui": "C0000001", "name": "Gout", "semantic_types": ["T047"]}
    assert set(kb.names("C0000001").column("source").to_pylist()) == {"MSH"}


def test_another_knowledge_base_that_was_made_meanwhile_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, out = write_release(tmp_path / "release"), tmp_path / "kb"
    build = importing.build_tables

    def build_and_lose(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(importing, "build_tables", build)
        imported(release, out, keep_suppressed=True)
        return build(*arguments, **options)

    monkeypatch.setattr(importing, "build_tables", build_and_lose)
    with pytest.raises(UserError, match="another process has just made another knowledge base there"):
        imported(release, out)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (
            {"relations": ("may_teat", "may_treat")},
            "no row of MRREL has the rela 'may_teat'; did you mean 'may_treat'? change the filter",
        ),
        ({"rels": ("XX",)}, "no row of MRREL has the rel 'XX'; change the filter"),
        ({"languages": ("ENGL",)}, "the language 'ENGL'; did you mean 'ENG'? change the filter"),
        ({"sources": ("SNOMED",)}, "no row of MRCONSO has the source 'SNOMED'; change the filter"),
    ],
)
def test_a_filter_for_what_no_row_has_is_refused(
    filters: dict[str, Any], message: str, mini_release: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        imported(mini_release, tmp_path / "kb", **filters)


def test_relations_that_the_filters_leave_nothing_of_are_refused(mini_release: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^no relation is kept of 2,418 in MRREL \(left out: .* by rel\)"):
        imported(mini_release, tmp_path / "kb", relations=("may_treat",), rels=("CHD",))


def test_a_knowledge_base_is_not_taken_for_a_release(mini_kb: KnowledgeBase, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a knowledge base already; to write it as RRF: kebench kb export"):
        find_release(mini_kb.folder)


def test_an_existing_folder_is_not_taken_for_a_knowledge_base(tmp_path: Path) -> None:
    (tmp_path / "kb").mkdir()
    with pytest.raises(UserError, match="exists and is no knowledge base; choose another --out"):
        imported(write_release(tmp_path / "release"), tmp_path / "kb")


def test_filters_know_their_fields() -> None:
    with pytest.raises(ValueError, match="language\n"):
        Filters.model_validate({"language": "ENG"})


@pytest.mark.slow
@pytest.mark.realdata
def test_open_umls_in_released_mode_is_what_the_released_loader_makes_of_it(
    real_data: Path, tmp_path: Path
) -> None:
    release = find_release(real_data / "kb" / "open-umls")
    import_release(release, tmp_path / "kb", filters=PRESETS["released"])
    kb = KnowledgeBase.open(tmp_path / "kb")
    assert kb.manifest.tables["concepts"].rows == 637_405
    assert sum(batch.num_rows for batch in kb.triples()) == 1_359_507


@pytest.mark.slow
@pytest.mark.realdata
def test_the_counts_of_open_umls_are_those_of_its_provenance(real_data: Path, tmp_path: Path) -> None:
    kb = imported(real_data / "kb" / "open-umls", tmp_path / "kb")
    counts = kb.manifest.counts
    assert counts["concepts"]["kept"] == 671_151
    assert counts["names"]["kept"] == 1_453_826
    assert counts["relations"]["read"] == 1_522_843
    relations = {row["relation"]: row["triples"] for row in kb.relations().to_pylist()}
    assert len(relations) == 34
    rows = dict(_rows_by_relation(kb))
    stated = {
        "isa": 462_797, "mapped_to": 435_420, "gene_associated_with_phenotype": 258_426,
        "has_phenotype": 225_122, "has_role": 43_432, "has_functional_parent": 19_574,
        "gene_associated_with_disease": 9_829, "has_inheritance": 8_623, "part_of": 8_444,
    }  # fmt: skip
    assert {relation: rows[relation] for relation in stated} == stated
    assert sum(cui.startswith("C") for cui in preferred(kb)) == 23_939


def _rows_by_relation(kb: KnowledgeBase) -> list[tuple[str, int]]:
    import duckdb

    query = f"SELECT relation, count(*) FROM read_parquet('{kb.folder}/triples.parquet') GROUP BY relation"
    return duckdb.connect().execute(query).fetchall()
