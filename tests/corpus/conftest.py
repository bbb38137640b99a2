"""A small knowledge base of diseases and drugs, with its index of names, for all tests here."""

import shutil
from pathlib import Path

import pytest

from kebench.corpus.name_index import NameIndex, build_index
from kebench.umls.knowledge_base import KnowledgeBase
from tests.umls.releases import imported, write_release

NAMES = (
    "C0000001 ENG P L1 Y MSH PT D006073 N Gout",
    "C0000001 ENG S L2 Y MSH SY D006073 N gouty arthritis",
    "C0000002 ENG P L3 Y MSH PT D000493 N Allopurinol",
    "C0000003 ENG P L4 Y MSH PT D006527 N Hepatolenticular Degeneration",
    "C0000003 ENG S L5 Y MSH SY D006527 N Wilson disease",
    "C0000003 ENG S L6 Y MSH SY D006527 N Wilson's disease",
    "C0000004 ENG P L7 Y MSH PT D001943 N Breast Neoplasms",
    "C0000004 ENG S L8 Y MSH SY D001943 N breast cancer",
    "C0000005 ENG P L9 Y OMIM PT 114480 N breast cancer, familial",
    "C0000006 ENG P L8 Y DX PT D1 N breast cancer",
    "C0000007 ENG S L10 Y MSH SY D001172 N joint disease",
    "C0000008 ENG P L11 Y MSH PT D001172 N Arthritis, Rheumatoid",
    "C0000009 ENG P L12 Y MSH PT D9 N Rheumatism",
    "C0000009 ENG S L13 Y MSH SY D9 N rheum",
    "C0000002 ENG S L13 Y DX SY D2 N rheum",
    "C0000009 ENG S L14 Y MSH SY D9 N soft tissue rheumatism",
)


@pytest.fixture(scope="session")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    """The small knowledge base; its index, without a graph, is in it."""
    folder: Path = tmp_path_factory.mktemp("corpus")
    made = imported(write_release(folder / "release", NAMES), folder / "kb")
    build_index(made)
    return made


@pytest.fixture(scope="session")
def index(kb: KnowledgeBase) -> NameIndex:
    return NameIndex.open(kb)


@pytest.fixture(scope="session")
def graph_index(kb: KnowledgeBase, tmp_path_factory: pytest.TempPathFactory) -> NameIndex:
    """The same index with a graph; nmslib has no wheel for Python 3.13."""
    pytest.importorskip("nmslib")
    folder = tmp_path_factory.mktemp("graph") / "kb"
    shutil.copytree(kb.folder, folder)
    return build_index(KnowledgeBase.open(folder), approximate=True)
