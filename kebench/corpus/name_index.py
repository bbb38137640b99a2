"""scispaCy's index of names, made of any knowledge base: TF-IDF over the character 3-grams of each name.

A mention's nearest names are those of the greatest cosine similarity (Neumann et al. 2019, sec. 4.1). It is
a folder, `KB/index` as a rule: arrays that are mapped into memory, so that processes share them, and no
pickle. `nearest` searches it. scispaCy leaves out 3-grams that fewer than ten names hold, which leaves many
names of a small knowledge base without any; here one name is enough.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy
import pyarrow
import pyarrow.parquet
import scipy.sparse
from numpy.typing import NDArray
from pydantic import Field
from sklearn.feature_extraction.text import TfidfVectorizer

from kebench.bounded import parse_json, read_within
from kebench.cards import Part, read_json_as
from kebench.corpus.extras import imported
from kebench.errors import UserError
from kebench.files import (
    atomic_folder,
    move_whole,
    sha256_of,
    sweep_temporaries_of,
    temporary_beside,
    write_atomically,
)
from kebench.runtime import software, utc_now
from kebench.umls.database import connect
from kebench.umls.knowledge_base import KnowledgeBase

MANIFEST = "index.json"
FOLDER = "index"  # within the knowledge base's
GRAPH = "hnsw.bin"
INDEX_VERSION = 1  # raised by every change that can change a search's answer
GRAPH_SETTINGS = {"M": 16, "efConstruction": 100, "post": 0}  # ours; scispaCy: M 100, efConstruction 2000
_ARRAYS = ("indptr", "indices", "data")


class IndexManifest(Part):
    """What index.json says.

    kb_hash: the knowledge base's content hash. names: distinct in lower case. graph: the settings of the
        approximate index, None if there is none. sha256: of each file; none in an index of an older version.
    """

    schema_version: Literal[1] = Field(1, alias="schema")
    version: int
    kb_hash: str
    names: int
    trigrams: int
    entries: int
    graph: dict[str, int] | None
    seconds: float
    provenance: dict[str, Any]
    sha256: dict[str, str] = {}


@dataclass(frozen=True)
class NameIndex:
    """The vectors of all names, by name and by 3-gram; `NameIndex.open` makes one of a knowledge base."""

    folder: Path
    manifest: IndexManifest

    @classmethod
    def open(cls, knowledge_base: KnowledgeBase) -> "NameIndex":
        """Return the index of a knowledge base. Raises UserError if there is none that fits."""
        folder = knowledge_base.folder / FOLDER
        make = f"make it with 'kebench kb index {knowledge_base.folder}'"
        try:
            refused = f"{{}}; remove {folder} and {make}"
            manifest = read_json_as(folder / MANIFEST, IndexManifest, refused=refused)
        except FileNotFoundError:
            remove = f"{folder} is not whole, remove it and " if folder.exists() else ""
            raise UserError(f"{knowledge_base.folder}: no index of its names; {remove}{make}") from None
        if (manifest.kb_hash, manifest.version) != (knowledge_base.content_hash, INDEX_VERSION):
            raise UserError(f"{folder}: of another knowledge base or version; remove it and {make}")
        for name, stated in manifest.sha256.items():
            path = folder / name
            if not path.is_file() or sha256_of(path) != stated:
                raise UserError(f"{path}: not the file that {MANIFEST} describes; remove {folder} and {make}")
        return cls(folder, manifest)

    @cached_property
    def names(self) -> pyarrow.Array:
        """The names, in the order of the rows."""
        return self._tables["names"]["name"].combine_chunks()

    @cached_property
    def cuis(self) -> pyarrow.Array:
        """All CUIs, ascending; `cuis_of_names` points into them."""
        return self._tables["cuis"]["cui"].combine_chunks()

    @cached_property
    def names_of_cuis(self) -> NDArray[numpy.int64]:
        """How many names each concept of `cuis` has in the release."""
        return numpy.asarray(self._tables["cuis"]["names"].to_numpy(), dtype=numpy.int64)

    @cached_property
    def cuis_of_names(self) -> tuple[NDArray[numpy.int64], NDArray[numpy.int32]]:
        """Where the concepts of each name begin, and the places of all in `cuis`, ascending within a name."""
        column = self._tables["names"]["cuis"].combine_chunks()
        return column.offsets.to_numpy().astype(numpy.int64), column.values.to_numpy()

    @cached_property
    def _tables(self) -> dict[str, pyarrow.Table]:
        with self._undamaged():
            paths = {kind: self.folder / f"{kind}.parquet" for kind in ("names", "cuis")}
            return {kind: pyarrow.parquet.read_table(path) for kind, path in paths.items()}

    @cached_property
    def by_name(self) -> scipy.sparse.csr_matrix:
        """The vectors, (names, 3-grams), each of length 1."""
        return self._matrix("names", (self.manifest.names, self.manifest.trigrams))

    @cached_property
    def by_trigram(self) -> scipy.sparse.csr_matrix:
        """The same, (3-grams, names)."""
        return self._matrix("trigrams", (self.manifest.trigrams, self.manifest.names))

    def _matrix(self, kind: str, shape: tuple[int, int]) -> scipy.sparse.csr_matrix:
        with self._undamaged():
            indptr, indices, data = (
                numpy.load(self.folder / f"{kind}-{part}.npy", mmap_mode="c") for part in _ARRAYS
            )
            return scipy.sparse.csr_matrix((data, indices, indptr), shape=shape, copy=False)

    @contextmanager
    def _undamaged(self) -> Iterator[None]:
        """Raise UserError where a file of the index cannot be read."""
        try:
            yield
        except (OSError, EOFError, ValueError, TypeError, pyarrow.ArrowException) as error:
            make = f"kebench kb index {self.folder.parent}"
            raise UserError(
                f"{self.folder}: damaged ({error}); remove it and make it with '{make}'"
            ) from None

    @cached_property
    def vectorizer(self) -> TfidfVectorizer:
        """What makes vectors of mentions as those of the names were made."""
        with self._undamaged():
            trigrams = parse_json(read_within(self.folder / "trigrams.json"))
            made = _vectorizer(vocabulary={trigram: place for place, trigram in enumerate(trigrams)})
            made.idf_ = numpy.load(self.folder / "idf.npy")
            return made

    def vectors(self, mentions: Sequence[str]) -> scipy.sparse.csr_matrix:
        """Return a vector of length 1 a mention, (mentions, 3-grams); empty where no name has one of its."""
        if not mentions:
            return scipy.sparse.csr_matrix((0, self.manifest.trigrams), dtype=numpy.float32)
        return self.vectorizer.transform(mentions)

    @cached_property
    def graph(self) -> Any:
        """The approximate index. Raises UserError if it has not been made."""
        self.require_graph()
        made = _graph()
        made.addDataPointBatch(self.by_name)
        made.loadIndex(str(self.folder / GRAPH))
        return made

    def require_graph(self) -> None:
        """Raise UserError if there is no approximate index, or no nmslib to search it."""
        if self.manifest.graph is None:
            make = f"kebench kb index {self.folder.parent} --approximate"
            raise UserError(f"{self.folder}: no approximate index; run '{make}'")
        imported("nmslib")


def build_index(knowledge_base: KnowledgeBase, *, approximate: bool = False) -> NameIndex:
    """Index the names of a knowledge base, in its folder. approximate: also make scispaCy's graph."""
    folder = knowledge_base.folder / FOLDER
    if approximate:
        imported("nmslib")  # or it would be missed after the rest is made
    if not folder.exists():
        _build(knowledge_base, folder)
    index = NameIndex.open(knowledge_base)
    if not approximate or index.manifest.graph is not None:
        return index
    # The graph stands beside the rest of the index, which stays as it is; then index.json says so.
    started = time.monotonic()
    path = folder / GRAPH
    sweep_temporaries_of(path)
    graph = _graph()
    graph.addDataPointBatch(index.by_name)
    graph.createIndex(GRAPH_SETTINGS)
    temporary = temporary_beside(path)
    try:
        graph.saveIndex(str(temporary))
        move_whole(temporary, path, point="index-graph")
    finally:
        temporary.unlink(missing_ok=True)
    hashes = index.manifest.sha256 | {GRAPH: sha256_of(path)}
    seconds = round(index.manifest.seconds + time.monotonic() - started, 1)
    changes = {"graph": GRAPH_SETTINGS, "seconds": seconds, "sha256": hashes}
    manifest = index.manifest.model_copy(update=changes)
    write_atomically(folder / MANIFEST, _written(manifest), point="index-graph")
    return NameIndex.open(knowledge_base)


def _build(knowledge_base: KnowledgeBase, folder: Path) -> None:
    started = time.monotonic()
    sweep_temporaries_of(folder)
    rows = knowledge_base.tables()["names"]
    with connect() as connection:
        # The concepts, ascending; names in lower case and ascending, with the places of their concepts.
        connection.execute(
            f"""CREATE TEMP TABLE cuis AS
            SELECT cui, names, (row_number() OVER (ORDER BY cui) - 1)::INTEGER AS place
            FROM (SELECT cui, count(*) AS names FROM {rows} GROUP BY cui)"""
        )
        names = connection.sql(
            f"""SELECT lower(name) AS name, list(DISTINCT place ORDER BY place) AS cuis
            FROM {rows} JOIN cuis USING (cui) WHERE trim(name) <> '' GROUP BY ALL ORDER BY name"""
        ).to_arrow_table()
        cuis = connection.sql("SELECT cui, names FROM cuis ORDER BY place").to_arrow_table()
    vectorizer = _vectorizer()
    by_name = vectorizer.fit_transform(names["name"].to_pylist()).tocsr()
    by_name.sort_indices()
    with atomic_folder(folder, point="index") as made:
        pyarrow.parquet.write_table(names, made / "names.parquet", compression="zstd")
        pyarrow.parquet.write_table(cuis, made / "cuis.parquet", compression="zstd")
        for kind, matrix in (("names", by_name), ("trigrams", by_name.T.tocsr())):
            for part in _ARRAYS:
                numpy.save(made / f"{kind}-{part}.npy", getattr(matrix, part))
        numpy.save(made / "idf.npy", vectorizer.idf_)
        trigrams = json.dumps(vectorizer.get_feature_names_out().tolist(), ensure_ascii=False)
        (made / "trigrams.json").write_text(trigrams, encoding="utf-8")
        manifest = IndexManifest(
            schema=1,
            version=INDEX_VERSION,
            kb_hash=knowledge_base.content_hash,
            names=len(names),
            trigrams=by_name.shape[1],
            entries=int(by_name.nnz),
            graph=None,
            seconds=round(time.monotonic() - started, 1),
            provenance={"made_utc": utc_now(), **software()},
            sha256={path.name: sha256_of(path) for path in sorted(made.iterdir())},
        )
        (made / MANIFEST).write_text(_written(manifest))


def _written(manifest: IndexManifest) -> str:
    return manifest.model_dump_json(by_alias=True, indent=1) + "\n"


def _vectorizer(**vocabulary: Any) -> TfidfVectorizer:
    return TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 3), min_df=1, dtype=numpy.float32, **vocabulary
    )


def _graph() -> Any:
    nmslib = imported("nmslib")
    return nmslib.init(method="hnsw", space="cosinesimil_sparse", data_type=nmslib.DataType.SPARSE_VECTOR)
