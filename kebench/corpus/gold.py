"""Ids of annotated files as concepts of a knowledge base: MeSH and OMIM ids by its codes, CUIs as such.

An id is known by any of its spellings: D006073 and MESH:D006073, MIM:114480 and OMIM:114480.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from kebench.corpus.linking import Linked
from kebench.corpus.passage import Mention, Passage
from kebench.errors import UserError
from kebench.umls.database import connect
from kebench.umls.knowledge_base import KnowledgeBase

# Where several concepts bear a code, the one whose heading it is comes before those of entry terms.
_HEADINGS = ("MH", "PT", "NM", "HT")
_MESH = re.compile(r"(?:MESH:)?([CD]\d{6}|[CD]\d{9})", re.IGNORECASE)
_OMIM = re.compile(r"(?:OMIM|MIM):(\d{6})", re.IGNORECASE)
_CUI = re.compile(r"(?:UMLS:)?([A-Z]\d{7})")

_log = logging.getLogger(__name__)


class GoldConcepts:
    """Finds the concept of each id, once. id_map: a file of lines ID <tab> CUI, which comes first."""

    def __init__(self, knowledge_base: KnowledgeBase, *, id_map: Path | None = None) -> None:
        self._knowledge_base = knowledge_base
        self._id_map = id_map

    @cached_property
    def _known(self) -> dict[str, str | None]:
        """The concepts of ids that were asked for, or stand in the map; it is read when one is asked for."""
        if self._id_map is None:
            return {}
        written = read_id_map(self._id_map)
        there = set(self._knowledge_base.concepts(sorted(set(written.values())))["cui"].to_pylist())
        known: dict[str, str | None] = {one: cui for one, cui in written.items() if cui in there}
        if missing := len(written) - len(known):
            _log.warning(
                "%s: %d of %d ids have a CUI that the knowledge base lacks; they are passed over",
                self._id_map,
                missing,
                len(written),
            )
        return known

    def of(self, ids: Iterable[str]) -> dict[str, str | None]:
        """Return the CUI of each id, None where the knowledge base has none."""
        wanted = {one: _spelt(one) for one in ids}
        new = [one for one in dict.fromkeys(wanted.values()) if one not in self._known]
        if new:
            self._known.update(dict.fromkeys(new) | self._look_up(new))
        return {one: self._known[spelt] for one, spelt in wanted.items()}

    def _look_up(self, ids: list[str]) -> dict[str, str]:
        # How vocabularies may write each id: (id, source, code); of a CUI there is no source.
        asked: list[tuple[str, str | None, str]] = []
        for one in ids:
            source, _, code = one.partition(":")
            if _CUI.fullmatch(one):
                asked.append((one, None, one))
            elif code:
                source = "MSH" if _MESH.fullmatch(one) else source.upper()
                asked += [(one, source, code), (one, source, one)]
        tables = self._knowledge_base.tables()
        with connect() as connection:
            connection.execute("CREATE TEMP TABLE asked (id VARCHAR, source VARCHAR, code VARCHAR)")
            if asked:
                connection.executemany("INSERT INTO asked VALUES (?, ?, ?)", asked)
            rows = connection.execute(
                f"""WITH found AS (
                    SELECT id, cui, bool_or(term_type IN {_HEADINGS}) AS is_heading, count(*) AS names
                    FROM asked JOIN {tables["names"]} USING (source, code) GROUP BY id, cui
                )
                SELECT id, cui FROM found
                QUALIFY row_number() OVER (PARTITION BY id ORDER BY is_heading DESC, names DESC, cui) = 1
                UNION ALL SELECT id, cui FROM asked JOIN {tables["concepts"]} ON code = cui
                WHERE source IS NULL"""
            ).fetchall()
        return dict(rows)


def _spelt(one: str) -> str:
    """Return the one spelling of an id by which it is known here."""
    if found := _MESH.fullmatch(one):
        return f"MESH:{found[1].upper()}"
    if found := _OMIM.fullmatch(one):
        return f"OMIM:{found[1]}"
    if found := _CUI.fullmatch(one):
        return found[1]
    return one


def read_id_map(path: Path) -> dict[str, str]:
    """Return id -> CUI of a file of two columns with a tab between; of an id's CUIs the first one counts.

    Ids are spelt as `GoldConcepts` knows them. Lines without a CUI are counted and passed over. Raises
    UserError if there is no other line.
    """
    found: dict[str, str] = {}
    passed_over = 0
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from None
    for line in lines:
        one, _, rest = line.partition("\t")
        cui = rest.partition("\t")[0].strip()
        if is_cui := _CUI.fullmatch(cui):
            found.setdefault(_spelt(one.strip()), is_cui[1])
        else:
            passed_over += bool(line.strip())
    if not found:
        raise UserError(f"{path}: no line of an id, a tab and a CUI; name a file that has such")
    if passed_over > 1:  # the first is the heading
        _log.warning("%s: %d lines without a CUI are passed over", path, passed_over)
    return found


class GoldLinker:
    """Links the mentions that the file states, by the ids that it states."""

    def __init__(self, knowledge_base: KnowledgeBase, *, id_map: Path | None = None) -> None:
        self._concepts = GoldConcepts(knowledge_base, id_map=id_map)
        self._has_warned = False

    def link(self, passages: Sequence[Passage]) -> list[Linked]:
        """Return the stated mentions of each passage, one for each concept; a link's score is 1."""
        concepts = self._concepts.of(one for passage in passages for gold in passage.gold for one in gold.ids)
        linked = []
        for passage in passages:
            mentions = [
                Mention(gold.char_start, gold.char_end, cui, 1.0)
                for gold in sorted(passage.gold)
                for cui in dict.fromkeys(concepts[one] for one in gold.ids)
                if cui is not None
            ]
            linked.append(Linked(mentions, len(passage.gold)))
        if passages and not self._has_warned and not any(one.mentions for one in linked):
            self._has_warned = True
            why = "the file states no mention; choose another --linker"
            if unknown := next(iter(concepts), None):
                known = f"none of the {len(concepts)} ids, such as {unknown}"
                why = f"the knowledge base knows {known}; see --id-map"
            elif any(one.detected for one in linked):
                why = "none of the stated mentions has an id"
            _log.warning("--linker gold links nothing in %d passages: %s", len(passages), why)
        return linked

    def about(self) -> dict[str, Any]:
        """Return nothing: the file decides."""
        return {}
