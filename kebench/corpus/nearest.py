"""The names nearest to mentions by cosine similarity: exactly, or by scispaCy's approximate graph.

Exact search above a threshold t need not multiply everything. Mention q and name d have length 1, so a name
that shares none of some 3-grams of q can only score as much as the length of the rest of q. Of each mention,
rarest first, so many 3-grams are looked up that the rest is shorter than `REST` x t; their lists are short,
since they are rare. With p the product over these, a the length of q within them and s of the rest
(a^2 + s^2 = 1), the whole product is at most

    p + s sqrt(1 - (p/a)^2) = sin(arcsin(p/a) + arcsin(s)),    so p >= a sin(arcsin(t) - arcsin(s))

for every name above the threshold. The few names that pass are scored in full. All-pairs similarity search by
prefixes (Bayardo et al. 2007) with the bound of both lengths.

Most strings of a text have no name above the threshold, and the exact search says so sooner than the graph:
only the others are looked for there. What the graph then finds is what it would have found.
"""

# M mentions, F 3-grams, N names

import multiprocessing
import os
from collections.abc import Callable
from typing import NamedTuple

import numpy
import scipy.sparse
from numpy.typing import NDArray

from kebench.corpus.extras import imported
from kebench.corpus.name_index import NameIndex

REST = 0.65  # ours; more 3-grams are less to score and more to multiply
LEAST_THRESHOLD = 0.2  # below it nearly every name passes, and everything is multiplied
EF_SEARCH = 200  # scispaCy's
_CHUNK = 512  # mentions at a time
_MOST_PASSING = 4096  # names of a mention; a mention with more is multiplied with everything
_SLACK = 1e-4  # for float32


class Neighbours(NamedTuple):
    """Pairs of mention and name: places and similarity; by mention, the most similar first, then by name."""

    mention: NDArray[numpy.int64]
    name: NDArray[numpy.int64]
    similarity: NDArray[numpy.float32]


def exact_nearest(
    mention_MF: scipy.sparse.csr_matrix, index: NameIndex, *, k: int, threshold: float
) -> Neighbours:
    """Return the k nearest names of each mention, of those whose similarity is above the threshold."""
    chunks = []
    for start in range(0, mention_MF.shape[0], _CHUNK):
        chunk = mention_MF[start : start + _CHUNK]
        found = (_above if threshold >= LEAST_THRESHOLD else _most_similar)(chunk, index, k, threshold)
        chunks.append(found._replace(mention=found.mention + start))
    if not chunks:
        return _ordered([], [], [], k=k, threshold=threshold)
    return Neighbours(*map(numpy.concatenate, zip(*chunks, strict=True)))


def approximate_nearest(
    mention_MF: scipy.sparse.csr_matrix, index: NameIndex, *, k: int, threshold: float
) -> Neighbours:
    """Return what scispaCy's search finds of the k nearest names, of those above the threshold."""
    asked = numpy.flatnonzero(numpy.diff(mention_MF.indptr))  # the graph crashes on an empty vector
    if threshold >= LEAST_THRESHOLD:
        least = threshold - _SLACK
        asked = numpy.unique(exact_nearest(mention_MF, index, k=1, threshold=least).mention)
    if not len(asked):
        return _ordered([], [], [], k=k, threshold=threshold)
    index.graph.setQueryTimeParams({"efSearch": EF_SEARCH})
    found = index.graph.knnQueryBatch(mention_MF[asked], k=k, num_threads=threads())
    mention = numpy.repeat(asked, [len(names) for names, _ in found])
    name = numpy.concatenate([names for names, _ in found])
    similarity = 1.0 - numpy.concatenate([distances for _, distances in found])
    return _ordered(mention, name, similarity, k=k, threshold=threshold)


def threads() -> int:
    """Return how many threads a search takes: all cores, but one in one of several processes that link."""
    if multiprocessing.parent_process() is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


SEARCHES: dict[str, Callable[..., Neighbours]] = {"exact": exact_nearest, "approximate": approximate_nearest}


def _above(mention_MF: scipy.sparse.csr_matrix, index: NameIndex, k: int, threshold: float) -> Neighbours:
    sp_matmul_topn = imported("sparse_dot_topn").sp_matmul_topn
    # The rarest 3-grams of each mention, as many as it takes, scaled so that a product must pass 1.
    num_mentions = mention_MF.shape[0]
    row = numpy.repeat(numpy.arange(num_mentions), numpy.diff(mention_MF.indptr))
    order = numpy.lexsort((numpy.diff(index.by_trigram.indptr)[mention_MF.indices], row))
    column, weight = mention_MF.indices[order], mention_MF.data[order].astype(numpy.float64)
    square = weight**2
    before = numpy.cumsum(square) - square
    before -= before[mention_MF.indptr[:-1].clip(max=max(len(before) - 1, 0))][row] if len(before) else 0
    taken = 1.0 - before >= (REST * threshold) ** 2
    count = numpy.bincount(row[taken], minlength=num_mentions)
    length = numpy.sqrt(numpy.minimum(1.0, numpy.bincount(row[taken], square[taken], minlength=num_mentions)))
    rest = numpy.sqrt(1.0 - length**2)
    needed = length * numpy.sin(numpy.arcsin(threshold) - numpy.arcsin(rest)) - _SLACK
    scaled = (weight[taken] / numpy.maximum(needed, _SLACK)[row[taken]]).astype(numpy.float32)
    indptr = numpy.concatenate([[0], numpy.cumsum(count)]).astype(mention_MF.indptr.dtype)
    rare_MF = scipy.sparse.csr_matrix((scaled, column[taken], indptr), shape=mention_MF.shape)
    # The few names that pass are scored in full; where too many do, all are.
    passing_MN = sp_matmul_topn(
        rare_MF, index.by_trigram, top_n=_MOST_PASSING, threshold=1.0, sort=False, n_threads=threads()
    )
    counts = numpy.diff(passing_MN.indptr)
    full = numpy.flatnonzero(counts >= _MOST_PASSING)
    mention = numpy.repeat(numpy.arange(len(counts)), numpy.where(counts < _MOST_PASSING, counts, 0))
    name = passing_MN.indices[numpy.repeat(counts < _MOST_PASSING, counts)]
    similarity = numpy.asarray(mention_MF[mention].multiply(index.by_name[name]).sum(axis=1)).ravel()
    if len(full):
        more = _most_similar(mention_MF[full], index, k, threshold)
        mention = numpy.concatenate([mention, full[more.mention]])
        name = numpy.concatenate([name, more.name])
        similarity = numpy.concatenate([similarity, more.similarity])
    return _ordered(mention, name, similarity, k=k, threshold=threshold)


def _most_similar(
    mention_MF: scipy.sparse.csr_matrix, index: NameIndex, k: int, threshold: float
) -> Neighbours:
    sp_matmul_topn = imported("sparse_dot_topn").sp_matmul_topn
    product_MN = sp_matmul_topn(
        mention_MF, index.by_trigram, top_n=k, threshold=threshold, sort=False, n_threads=threads()
    )
    mention = numpy.repeat(numpy.arange(mention_MF.shape[0]), numpy.diff(product_MN.indptr))
    return _ordered(mention, product_MN.indices, product_MN.data, k=k, threshold=threshold)


def _ordered(mention: object, name: object, similarity: object, *, k: int, threshold: float) -> Neighbours:
    """Return pairs above the threshold in order, the k first of each mention."""
    mention_P = numpy.asarray(mention, dtype=numpy.int64)
    name_P = numpy.asarray(name, dtype=numpy.int64)
    similarity_P = numpy.asarray(similarity, dtype=numpy.float32)
    above = similarity_P > threshold
    mention_P, name_P, similarity_P = mention_P[above], name_P[above], similarity_P[above]
    order = numpy.lexsort((name_P, -similarity_P, mention_P))
    mention_P = mention_P[order]
    first = numpy.searchsorted(mention_P, mention_P)
    kept = numpy.arange(len(order)) - first < k
    return Neighbours(mention_P[kept], name_P[order][kept], similarity_P[order][kept])
