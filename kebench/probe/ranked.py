"""What is ranked: the pools of a query set, their statements with shots before; the table of what was said.

Everything of a ranked probe that knows no model.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from kebench.errors import UserError
from kebench.probe.query_set import MASK, QuerySet
from kebench.probe.record import RankSettings

NEUTRAL = -1  # in place of a query: the statement about no subject
NEGATED = -1  # in place of a wording
NO_SUBJECT = "this"  # "This may treat ...": Holtzman et al., arXiv:2104.08315, ask without the premise
GIVEN = {"tail": ("[X]", "[Y]"), "head": ("[Y]", "[X]")}  # by direction: the subject's place, and the blank
# A row a statement, with some of its pool's names: from `first_name` on, in the order of `RankedPool.names`.
SCORES_SCHEMA = pa.schema(
    [
        ("pool_id", pa.int32()),
        ("query_id", pa.int32()),
        ("wording", pa.int8()),
        ("draw", pa.int8()),
        ("first_name", pa.int32()),
        ("tokens", pa.list_(pa.int16())),
        ("name_log_prob", pa.list_(pa.float32())),
        ("first_log_prob", pa.list_(pa.float32())),
        ("after_log_prob", pa.list_(pa.float32())),
        ("straddling", pa.int32()),
        ("unknown", pa.int32()),
        ("sharing", pa.dictionary(pa.int32(), pa.string())),
    ]
)


class Query(NamedTuple):
    """A query that is ranked. subject: as shown; true: places of its answers in the pool.

    out: places of what is neither answer nor distractor, as it has the subject's name. text: with [MASK].
    """

    query_id: int
    text: str
    subject: str
    true: tuple[int, ...]
    out: tuple[int, ...]
    is_type_1: bool
    flags: tuple[str, ...]

    @property
    def about(self) -> str:
        """What tells its subject from others: the name, or the whole text where a table has none."""
        return (self.subject or self.text).casefold()


class Candidate(NamedTuple):
    """A concept of a pool, or several of one name. names: that are asked, the shown one first."""

    cuis: tuple[str, ...]
    names: tuple[str, ...]
    num_names: int
    semantic_types: tuple[str, ...]
    num_triples: int | None


class Shots(NamedTuple):
    """Facts that stand before a statement, or whose answers are left out of the candidates, or both."""

    facts: tuple[tuple[str, str], ...]  # subject, answer
    cuis: frozenset[str]

    def excludes(self, candidate: Candidate) -> bool:
        """Whether a candidate is the answer of a fact, by identifier or by name."""
        shown = {answer.casefold() for _, answer in self.facts}
        return not self.cuis.isdisjoint(candidate.cuis) or any(
            name.casefold() in shown for name in candidate.names
        )


@dataclass(frozen=True)
class RankedPool:
    """The queries of one relation and direction, and the candidates that all of them are ranked among.

    templates: by wording, with [X] and [Y]; "" where each query has a text of its own. shots: by draw.
    left_out: by draw, facts whose answers are no candidates: the shots, or those that others see as shots.
    names: so many of each candidate as are asked, each with the place of its candidate.
    """

    pool_id: int
    relation: str
    direction: str
    queries: tuple[Query, ...]
    candidates: tuple[Candidate, ...]
    names: tuple[tuple[int, str], ...]
    templates: dict[int, str]
    shots: tuple[Shots, ...]
    left_out: tuple[Shots, ...]

    def statement(self, wording: int, draw: int, query: int) -> tuple[str, str]:
        """Return what stands before and behind the blank. query: a place among the queries, or NEUTRAL."""
        given, blank = GIVEN[self.direction]
        if not (template := self.templates[wording]):
            before, _, after = self.queries[query].text.partition(MASK)
            return before.rstrip(" "), after
        subject = NO_SUBJECT if query == NEUTRAL else self.queries[query].subject
        before, _, after = _put(template, given, subject).partition(blank)
        # Shots are in the first wording where the statement is a negated one: they are true.
        affirmed = wording if wording != NEGATED else 0
        facts = (self.fact(affirmed, *fact) for fact in self.shots[draw].facts)
        return " ".join([*facts, before.rstrip(" ")]).rstrip(" "), after

    def fact(self, wording: int, subject: str, answer: str) -> str:
        """Return a fact as a wording states it."""
        given, blank = GIVEN[self.direction]
        return _put(_put(self.templates[wording], given, subject), blank, answer)

    def subject_follows(self, wording: int) -> bool:
        """Whether the subject stands behind the blank; of texts of their own, whether any word does."""
        given, blank = GIVEN[self.direction]
        template = self.templates[wording]
        return template.index(given) > template.index(blank) if template else self.words_follow(wording)

    def words_follow(self, wording: int) -> bool:
        """Whether words stand behind the blank."""
        _, blank = GIVEN[self.direction]
        template = self.templates[wording]
        behind = (
            [template.partition(blank)[2]] if template else [q.text.partition(MASK)[2] for q in self.queries]
        )
        return any(letter.isalnum() for text in behind for letter in text)

    def shown_names(self, wording: int, names: range) -> list[str]:
        """Return names as they stand in a statement: one that begins it begins with a capital."""
        begins = self.templates[wording].startswith(GIVEN[self.direction][1])
        shown = [self.names[place][1] for place in names]
        return [_capitalised(name) for name in shown] if begins else shown


def _is_tail_last(template: str) -> bool:
    return template.index("[X]") < template.index("[Y]")


def _put(template: str, place: str, name: str) -> str:
    """Put a name into a template, whose first word begins with a capital."""
    shown = _capitalised(name) if template.startswith(place) else name
    return template.replace(place, shown, 1)


def _capitalised(text: str) -> str:
    """Return a text with a capital, where its first word is of small letters alone: not pH, p53, mRNA."""
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first.islower() and first.isalpha() else text


def read_pools(query_set: QuerySet, asked: pa.Table, settings: RankSettings) -> tuple[list[RankedPool], int]:
    """Return the pools of the queries that are asked, and how many queries lack facts for shots.

    Raises UserError for a set without pools, and if no query is left.
    """
    needed = asked.select(["query_id", "text", "is_type_1"])
    asked_of = {row["query_id"]: row for row in needed.to_pylist()}
    queries: dict[int, list[Query]] = {}
    for row in query_set.asked().to_pylist():
        if of := asked_of.get(row["query_id"]):
            query = Query(
                row["query_id"],
                of["text"],
                row["subject"],
                tuple(row["true_places"]),
                tuple(row["subject_places"]),
                of["is_type_1"],
                tuple(row["flags"]),
            )
            queries.setdefault(row["pool_id"], []).append(query)
    candidates: dict[int, list[Candidate]] = {}
    name_of: dict[int, tuple[str, str]] = {}
    for row in query_set.candidates().to_pylist():
        if (pool_id := row["pool_id"]) in queries:
            name_of[pool_id] = row["relation"], row["direction"]
            names, types = row["names"][: settings.names], row["semantic_types"] or ()
            numbers = len(row["names"]), row["num_triples"]
            candidate = Candidate(tuple(row["cuis"]), tuple(names), numbers[0], tuple(types), numbers[1])
            candidates.setdefault(pool_id, []).append(candidate)
    facts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in query_set.shots().to_pylist():
        facts.setdefault((row["relation"], row["direction"]), []).append(row)
    pools, without_shots = [], 0
    for pool_id in sorted(queries):
        relation, direction = name_of[pool_id]
        # No shot is about a candidate: having been read before, its name would be likelier than the others.
        cuis = {cui for one in candidates[pool_id] for cui in one.cuis}
        shown = {name.casefold() for one in candidates[pool_id] for name in one.names}
        known = [
            fact
            for fact in facts.get((relation, direction), [])
            if cuis.isdisjoint(fact["given_cuis"]) and fact["subject"].casefold() not in shown
        ]
        if len(known) < settings.shots:
            without_shots += len(queries[pool_id])
            continue
        worded = query_set.wordings(relation)
        templates = dict(enumerate(worded.statements[: settings.wordings] or [""]))
        if settings.negated and worded.statements:
            # Of the first statement's form: else what a model says of another part of the text is compared.
            twins = [one for one in worded.negated if _is_tail_last(one) == _is_tail_last(templates[0])]
            templates |= {NEGATED: twins[0]} if twins else {}
        pools.append(
            RankedPool(
                pool_id,
                relation,
                direction,
                tuple(queries[pool_id]),
                tuple(candidates[pool_id]),
                tuple((place, name) for place, one in enumerate(candidates[pool_id]) for name in one.names),
                templates,
                tuple(
                    draw_shots(known, settings.shots, settings.seed, draw)
                    for draw in range(settings.draws if settings.shots else 1)
                ),
                tuple(
                    draw_shots(known, settings.left_out, settings.seed, draw)
                    for draw in range(settings.draws if known else 1)
                ),
            )
        )
    if not pools:
        raise UserError(
            f"{query_set.folder}: no relation has {settings.shots} facts to show before a statement; ask "
            f"with {'fewer --shots' if facts else '--shots 0: an imported set has none'}"
            if without_shots
            else f"{query_set.folder}: none of the queries that are asked has a pool of candidates; ask more"
        )
    return pools, without_shots


def draw_shots(facts: Sequence[dict[str, Any]], number: int, seed: int, draw: int) -> Shots:
    """Draw so many facts of one relation and direction, the first by the hash of seed, draw and fact."""

    def order(fact: dict[str, Any]) -> str:
        text = f"{seed}:{draw}:{fact['subject']}:{fact['answer']}"
        return hashlib.sha256(text.encode()).hexdigest()

    chosen = sorted(facts, key=order)[:number]
    shown = tuple((fact["subject"], fact["answer"]) for fact in chosen)
    return Shots(shown, frozenset(fact["answer_cui"] for fact in chosen))
