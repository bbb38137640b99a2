"""Exact search of nearest names against multiplying everything, and the index on disk."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import scipy.sparse

from kebench.corpus import nearest
from kebench.corpus.name_index import NameIndex, build_index
from kebench.corpus.nearest import approximate_nearest, exact_nearest
from kebench.errors import UserError
from kebench.umls.knowledge_base import KnowledgeBase
from tests.forks import KILLED
from tests.umls.test_crashes import kebench


def random_vectors(rows: int, columns: int, *, seed: int) -> scipy.sparse.csr_matrix:
    """Vectors of length 1 in which some columns are far more frequent than others; one is empty."""
    draw = numpy.random.default_rng(seed)
    shares = 1 / numpy.arange(1, columns + 1)
    chosen = [draw.choice(columns, size=draw.integers(1, 9), p=shares / shares.sum()) for _ in range(rows)]
    made = numpy.zeros((rows, columns), dtype=numpy.float32)
    for row, places in enumerate(chosen):
        made[row, places] = draw.uniform(0.1, 1, len(places))
    made /= numpy.linalg.norm(made, axis=1, keepdims=True)
    made[rows // 2] = 0
    return scipy.sparse.csr_matrix(made)


def plain(mention: Any, name: Any, k: int, threshold: float) -> list[tuple[int, int, float]]:
    """All pairs above the threshold: by mention, best first, then by name; k of each mention."""
    product = (mention @ name.T).toarray()
    found = []
    for row, scores in enumerate(product):
        order = sorted(numpy.flatnonzero(scores > threshold), key=lambda place: (-scores[place], place))
        found += [(row, int(place), float(scores[place])) for place in order[:k]]
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.0, 0.15, 0.3, 0.7, 0.85, 0.99])
@pytest.mark.parametrize("most_passing", [4096, 3])
def test_exact_search_finds_what_multiplying_everything_finds(
    seed: int, threshold: float, most_passing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "_MOST_PASSING", most_passing)
    monkeypatch.setattr(nearest, "_CHUNK", 17)
    mention, name = random_vectors(60, 40, seed=seed), random_vectors(300, 40, seed=seed + 100)
    index: Any = SimpleNamespace(by_name=name, by_trigram=name.T.tocsr())
    found = exact_nearest(mention, index, k=400, threshold=threshold)
    wanted = plain(mention, name, 400, threshold)
    clear = {(row, place) for row, place, score in wanted if score > threshold + 1e-5}
    pairs = set(zip(found.mention.tolist(), found.name.tolist(), strict=True))
    assert clear <= pairs <= {(row, place) for row, place, _ in plain(mention, name, 400, threshold - 1e-5)}
    scores = {(row, place): score for row, place, score in wanted}
    for row, place, score in zip(found.mention, found.name, found.similarity, strict=True):
        assert scores.get((row, place), threshold) == pytest.approx(score, abs=1e-5)


def test_pairs_come_by_mention_the_best_first_and_no_more_than_k() -> None:
    name = scipy.sparse.csr_matrix(numpy.array([[0.6, 0.8], [1, 0], [0.8, 0.6]], dtype=numpy.float32))
    mention = scipy.sparse.csr_matrix(numpy.array([[0, 1], [1, 0]], dtype=numpy.float32))
    index: Any = SimpleNamespace(by_name=name, by_trigram=name.T.tocsr())
    found = exact_nearest(mention, index, k=2, threshold=0.5)
    assert found.mention.tolist() == [0, 0, 1, 1]
    assert found.name.tolist() == [0, 2, 1, 2]
    assert found.similarity.tolist() == pytest.approx([0.8, 0.6, 1.0, 0.8])


def test_no_mention_and_a_mention_without_any_known_3_gram_have_no_neighbours(index: NameIndex) -> None:
    for strings in ([], ["", "###"]):
        assert len(exact_nearest(index.vectors(strings), index, k=3, threshold=0.5).name) == 0


def test_nor_have_they_in_the_graph(graph_index: NameIndex) -> None:
    for strings in ([], ["", "###"]):
        found = approximate_nearest(graph_index.vectors(strings), graph_index, k=3, threshold=0.5)
        assert len(found.name) == 0


def test_both_searches_agree_on_a_small_index(graph_index: NameIndex) -> None:
    index = graph_index
    vectors = index.vectors(["gout", "breast cancers", "wilson's diseases", "xyz", "rheumatoid arthritis"])
    exact = exact_nearest(vectors, index, k=30, threshold=0.3)
    other = approximate_nearest(vectors, index, k=30, threshold=0.3)
    assert exact.mention.tolist() == other.mention.tolist()
    assert exact.name.tolist() == other.name.tolist()
    assert exact.similarity.tolist() == pytest.approx(other.similarity.tolist(), abs=1e-5)


def test_an_index_holds_each_name_once_in_lower_case_with_all_its_concepts(index: NameIndex) -> None:
    names = index.names.to_pylist()
    assert names == sorted(set(names))
    begins, concepts = index.cuis_of_names
    place = names.index("breast cancer")
    assert index.cuis.take(concepts[begins[place] : begins[place + 1]]).to_pylist() == [
        "C0000004",
        "C0000006",
    ]
    lengths = numpy.asarray(index.by_name.multiply(index.by_name).sum(axis=1)).ravel()
    assert lengths == pytest.approx(numpy.ones(len(names)), abs=1e-5)
    assert (index.by_name != index.by_trigram.T.tocsr()).nnz == 0


def test_a_name_s_vector_is_what_the_index_makes_of_the_name(index: NameIndex) -> None:
    made = index.vectors(index.names.to_pylist())
    assert abs(made - index.by_name).max() < 1e-6


def copied(kb: KnowledgeBase, folder: Path, *, with_index: bool = True) -> KnowledgeBase:
    """Copy a knowledge base, so that its index may be changed."""
    shutil.copytree(kb.folder, folder)
    if not with_index:
        shutil.rmtree(folder / "index")
    return KnowledgeBase.open(folder)


def test_an_index_is_made_once_and_one_without_a_graph_says_how_to_get_it(
    kb: KnowledgeBase, tmp_path: Path
) -> None:
    folder = tmp_path / "kb"
    copy = copied(kb, folder, with_index=False)
    with pytest.raises(UserError, match=rf"no index of its names; make it with 'kebench kb index {folder}'"):
        NameIndex.open(copy)
    made = build_index(copy)
    with pytest.raises(UserError, match=r"no approximate index; run 'kebench kb index .*kb --approximate'"):
        made.require_graph()
    assert build_index(copy).manifest == made.manifest


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_graph_is_added_to_the_index_that_is_there(kb: KnowledgeBase, tmp_path: Path) -> None:
    pytest.importorskip("nmslib")
    copy = copied(kb, tmp_path / "kb")
    before = content(copy.folder / "index")
    assert build_index(copy, approximate=True).manifest.graph == {"M": 16, "efConstruction": 100, "post": 0}
    after = content(copy.folder / "index")
    assert {name for name in after if after[name] != before.get(name)} == {"hnsw.bin", "index.json"}
    assert build_index(copy).manifest.graph is not None


@pytest.mark.parametrize(
    "point", [f"index-graph.{one}:{n}" for n in (1, 2) for one in ("written", "renamed")]
)
def test_the_index_stays_where_the_making_of_its_graph_is_killed(
    point: str, kb: KnowledgeBase, tmp_path: Path
) -> None:
    pytest.importorskip("nmslib")
    copy = copied(kb, tmp_path / "kb")
    command = ("kb", "index", str(copy.folder), "--approximate")
    assert kebench(*command, crash_at=point).returncode == KILLED
    assert (NameIndex.open(copy).manifest.graph is not None) == (point == "index-graph.renamed:2")
    assert len(NameIndex.open(copy).names) == len(NameIndex.open(kb).names)
    assert kebench(*command).returncode == 0
    NameIndex.open(copy).require_graph()


def test_without_nmslib_the_index_stays_and_one_line_says_what_to_do(
    kb: KnowledgeBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copied(kb, tmp_path / "kb")
    before = content(copy.folder / "index")
    monkeypatch.setitem(sys.modules, "nmslib", None)
    with pytest.raises(UserError, match=r"^nmslib cannot be imported .*pip install 'kebench\[annotate\]'"):
        build_index(copy, approximate=True)
    assert content(copy.folder / "index") == before


@pytest.mark.parametrize(
    "name", ["names.parquet", "cuis.parquet", "names-data.npy", "trigrams-indices.npy", "idf.npy"]
)
def test_a_file_of_the_index_that_is_cut_off_is_one_line(
    name: str, kb: KnowledgeBase, tmp_path: Path
) -> None:
    copy = copied(kb, tmp_path / "kb")
    path = copy.folder / "index" / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"not the file that index.json describes; remove .*index and make"):
        NameIndex.open(copy)
    manifest = copy.folder / "index" / "index.json"  # as older versions wrote it
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"sha256": {}}))
    index = NameIndex.open(copy)
    with pytest.raises(
        UserError, match=r"index: damaged \(.*\); remove it and make it with 'kebench kb index "
    ):
        _ = (index.names, index.cuis, index.by_name, index.by_trigram, index.vectorizer)


def test_a_folder_without_index_json_is_said_to_be_in_the_way(kb: KnowledgeBase, tmp_path: Path) -> None:
    copy = copied(kb, tmp_path / "kb")
    (copy.folder / "index" / "index.json").unlink()
    with pytest.raises(UserError, match=r"index is not whole, remove it and make it with 'kebench kb index "):
        build_index(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"kb_hash": "0"}, "of another knowledge base or version; remove it"), ({"names": "x"}, "names")],
)
def test_an_index_that_does_not_fit_is_refused(
    change: dict[str, str], message: str, kb: KnowledgeBase, tmp_path: Path
) -> None:
    folder = tmp_path / "kb"
    shutil.copytree(kb.folder, folder)
    path = folder / "index" / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=message):
        NameIndex.open(KnowledgeBase.open(folder))
