"""Small releases and the sets that are built of them."""

from pathlib import Path
from typing import Any

from kebench.probe.build import build_set, plan_set
from kebench.probe.query_set import QuerySet
from kebench.probe.recipe import read_probe_recipe
from kebench.umls.filters import PRESETS
from kebench.umls.importing import import_release
from kebench.umls.knowledge_base import KnowledgeBase
from kebench.umls.rrf import find_release
from tests.umls.releases import write_release

# C5 and C6 are shown by one name; that of C7 is nothing but brackets.
NAMES = (
    "C0000001 ENG P L01 Y MSH PT D1 N Essential Tremor",
    "C0000001 ENG S L02 Y MSH SY D1 N tremor, essential",
    "C0000002 ENG P L03 Y MSH PT D2 N Propranolol",
    "C0000003 ENG P L04 Y MSH PT D3 N Propranolol-Hydrochloride (substance)",
    "C0000003 ENG S L05 Y MSH SY D3 N Inderal",
    "C0000004 ENG P L06 Y RX PT R4 N Tremor",
    "C0000005 ENG P L07 Y RX PT R5 N Migraine",
    "C0000006 ENG P L08 Y MSH PT D6 N migraine (disorder)",
    "C0000007 ENG P L09 Y MSH PT D7 N (131)",
)
# CUI1 REL CUI2 RELA: "CUI2 RELA CUI1".
RELATIONS = (
    "C0000001 RO C0000002 may_treat MSH N",
    "C0000001 RO C0000003 may_treat MSH N",
    "C0000005 RO C0000002 may_treat MSH N",
    "C0000005 RO C0000002 may_treat RX N",  # stated twice, one triple
    "C0000006 RO C0000003 may_treat MSH N",  # the other migraine
    "C0000004 CHD C0000001 isa MSH N",
    "C0000001 PAR C0000004 inverse_isa MSH N",
    "C0000002 RO C0000003 form_of MSH N",
    "C0000001 RO C0000007 may_treat MSH N",
)
TYPES = ("C0000001 T047 Disease or Syndrome", "C0000002 T121 Pharmacologic Substance")


def small_kb(folder: Path, mode: str = "fixed", **rows: Any) -> KnowledgeBase:
    """Import the small release above, or with other rows."""
    release = write_release(
        folder / "release",
        rows.get("names", NAMES),
        rows.get("relations", RELATIONS),
        rows.get("types", TYPES),
    )
    import_release(find_release(release), folder / mode, filters=PRESETS[mode])
    return KnowledgeBase.open(folder / mode)


def built(
    kb: KnowledgeBase, out: Path, *, recipe: str = "mini", index: Path | None = None, **changes: Any
) -> QuerySet:
    """Build a set and open it."""
    build_set(plan_set(kb, read_probe_recipe(recipe, **changes), index=index), out)
    return QuerySet.open(out)


def answers_by_text(query_set: QuerySet) -> dict[str, list[str]]:
    """Return the CUIs that answer each text."""
    rows = query_set.table(["text", "answers"]).to_pylist()
    return {row["text"]: [answer["cui"] for answer in row["answers"]] for row in rows}
