"""RRF files written from a knowledge base give it back."""

import gzip
from pathlib import Path

import duckdb
import pytest

from kebench.errors import UserError
from kebench.umls.export import export_rrf
from kebench.umls.knowledge_base import KnowledgeBase
from kebench.umls.manifest import TABLES
from kebench.umls.rrf import COLUMNS
from tests.umls.releases import imported, write_release

EVERYTHING = {
    "languages": (),
    "keep_suppressed": True,
    "only_named_relations": False,
    "keep_self_relations": True,
}
# What a knowledge base does not keep, by table.
NOT_KEPT = {
    "MRCONSO": ("SUI", "SAUI", "SCUI", "SDUI", "SRL", "CVF"),
    "MRREL": ("AUI1", "AUI2", "RUI", "SRUI", "RG", "DIR", "CVF"),
    "MRSTY": ("ATUI", "CVF"),
}


def rows_of(path: Path, table: str) -> list[tuple[str, ...]]:
    """Return the rows of an RRF file, less the columns that a knowledge base does not keep."""
    kept = [place for place, column in enumerate(COLUMNS[table]) if column not in NOT_KEPT[table]]
    lines = path.read_text(encoding="utf-8").splitlines()
    return [tuple(line.split("|")[place] for place in kept) for line in lines]


@pytest.fixture(scope="module")
def whole(mini_release: Path, tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    """The miniature without any filter."""
    return imported(mini_release, tmp_path_factory.mktemp("whole") / "kb", **EVERYTHING)


def test_an_unfiltered_import_is_written_back_row_by_row(
    whole: KnowledgeBase, mini_release: Path, tmp_path: Path
) -> None:
    written = export_rrf(whole, tmp_path / "rrf")
    for table in COLUMNS:
        before = rows_of(mini_release / f"{table}.RRF", table)
        after = rows_of(tmp_path / "rrf" / f"{table}.RRF", table)
        assert len(after) == written[table]
        assert sorted(after) == sorted(before)
    assert rows_of(tmp_path / "rrf/MRCONSO.RRF", "MRCONSO") == rows_of(
        mini_release / "MRCONSO.RRF", "MRCONSO"
    )


@pytest.mark.parametrize("compressed", [False, True])
def test_what_is_written_gives_the_same_knowledge_base(
    whole: KnowledgeBase, compressed: bool, tmp_path: Path
) -> None:
    export_rrf(whole, tmp_path / "rrf", compressed=compressed)
    again = imported(tmp_path / "rrf", tmp_path / "kb", **EVERYTHING)
    for table in TABLES:
        first, second = (f"read_parquet('{kb.folder}/{table}.parquet')" for kb in (whole, again))
        only = [f"(FROM {one} EXCEPT ALL FROM {other})" for one, other in ((first, second), (second, first))]
        query = f"SELECT count(*) FROM ({' UNION ALL '.join(only)})"
        assert duckdb.connect().execute(query).fetchone() == (0,), table


def test_a_relation_without_rela_has_none_again(tmp_path: Path) -> None:
    release = write_release(tmp_path / "release", relations=["C0000001 SIB C0000002 - MSH N"])
    export_rrf(
        imported(release, tmp_path / "kb", only_named_relations=False), tmp_path / "rrf", compressed=True
    )
    text = gzip.decompress((tmp_path / "rrf/MRREL.RRF.gz").read_bytes()).decode()
    assert text == "C0000001||CUI|SIB|C0000002||CUI||||MSH|MSH|||N||\n"


def test_a_fact_that_mrrel_repeats_is_repeated(tmp_path: Path) -> None:
    row = "C0000001 RO C0000002 may_treat MED N"
    kb = imported(write_release(tmp_path / "release", relations=[row, row]), tmp_path / "kb")
    assert export_rrf(kb, tmp_path / "rrf")["MRREL"] == 2


def test_an_existing_folder_is_not_touched(whole: KnowledgeBase, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists; name a new folder for the RRF files"):
        export_rrf(whole, tmp_path)
