"""How good the links of a corpus are, held against a file with gold mentions.

Spans count as right if both ends agree; links, if the concept agrees too; documents, by the concepts that
they hold at all. Of a mention's links the best count, as many as the gold file names concepts there, or else
one: a linker that offers thirty candidates is not held to all of them, one that names both parts of "breast
or lung cancer" is right twice, and a gold file held against itself gets 100. Gold mentions whose id no
concept bears cannot be linked by anybody: they count as missed, and how many they are is said. A passage
whose text differs between the two is left out: so do its places.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from kebench.corpus.gold import GoldConcepts
from kebench.corpus.linked import LinkedPassage
from kebench.corpus.passage import Passage
from kebench.errors import UserError, did_you_mean
from kebench.scoring.counts import Counts
from kebench.umls.knowledge_base import KnowledgeBase


class Quality(NamedTuple):
    """Counts of spans, of links (span and concept), and of concepts by document.

    documents: passages that both sides have; other_text: those that differ in text, which do not count.
    with_id: gold mentions with an id; reachable: those whose concept the knowledge base has.
    further: links that do not count, since their mention has better ones.
    """

    documents: int
    other_text: int
    with_id: int
    reachable: int
    spans: Counts
    links: Counts
    concepts: Counts
    further: int


def judge(
    system: Iterable[LinkedPassage],
    gold: Iterable[Passage],
    knowledge_base: KnowledgeBase,
    *,
    kinds: frozenset[str] = frozenset(),
    semantic_types: frozenset[str] = frozenset(),
    concepts: GoldConcepts | None = None,
) -> Quality:
    """Hold a corpus against gold mentions, over the passages that both have.

    kinds: only gold mentions of these (Disease); none is all. semantic_types: only links of the system to
    concepts with one of these TUIs; none is all.
    Raises UserError if there is no gold mention, none of such a kind, or no concept of such a type.
    """
    wanted = _concepts_of_types(knowledge_base, semantic_types)
    concepts = concepts or GoldConcepts(knowledge_base)
    passages = {(one.document_id, one.number): one for one in gold}
    there = {mention.kind for passage in passages.values() for mention in passage.gold}
    if not there:
        raise UserError("the gold file states no mentions; name an annotated file with --gold")
    if missing := sorted(kinds - there):
        raise UserError(f"no gold mention of kind '{missing[0]}'; there are {', '.join(sorted(there))}")
    # all at once: each time the knowledge base's codes are read through
    concepts.of({one for passage in passages.values() for mention in passage.gold for one in mention.ids})
    totals = dict.fromkeys(("spans", "links", "concepts"), Counts(0, 0, 0))
    with_id = reachable = found = other_text = further = 0
    for one in system:
        passage = passages.pop((one.document_id, one.number), None)
        if passage is None:
            continue
        if passage.text != one.text:
            other_text += 1
            continue
        found += 1
        mentions = [mention for mention in passage.gold if not kinds or mention.kind in kinds]
        known = concepts.of(one for mention in mentions for one in mention.ids)
        spans = {(mention.char_start, mention.char_end) for mention in mentions}
        links = {(m.char_start, m.char_end, known[one] or one) for m in mentions for one in m.ids}
        with_id += sum(bool(mention.ids) for mention in mentions)
        reachable += sum(any(known[one] for one in mention.ids) for mention in mentions)
        linked: dict[tuple[int, int], dict[str, None]] = {}
        for start, end, cui, _ in one.mentions:
            if wanted is None or cui in wanted:
                linked.setdefault((start, end), {})[cui] = None
        num_named = Counter((start, end) for start, end, _ in links)
        counted = {
            (*span, cui) for span, cuis in linked.items() for cui in list(cuis)[: max(1, num_named[span])]
        }
        further += sum(map(len, linked.values())) - len(counted)
        units: list[tuple[str, set[Any], set[Any]]] = [
            ("spans", spans, set(linked)),
            ("links", links, counted),
            ("concepts", {link[2] for link in links}, {link[2] for link in counted}),
        ]
        for name, stated, predicted in units:
            more = (len(stated), len(predicted), len(stated & predicted))
            totals[name] = Counts(*map(sum, zip(totals[name], more, strict=True)))
    return Quality(found, other_text, with_id, reachable, **totals, further=further)


def _concepts_of_types(knowledge_base: KnowledgeBase, tuis: frozenset[str]) -> frozenset[str] | None:
    if not tuis:
        return None
    concepts = knowledge_base.concepts()
    types = concepts["semantic_types"].to_pylist()
    there = {tui for of in types for tui in of}
    if missing := sorted(tuis - there):
        raise UserError(
            f"no concept of semantic type '{missing[0]}'{did_you_mean(missing[0], there)} "
            f"'kebench kb stats {knowledge_base.folder} --by type' shows all"
        )
    cuis = concepts["cui"].to_pylist()
    return frozenset(cui for cui, of in zip(cuis, types, strict=True) if tuis & set(of))
