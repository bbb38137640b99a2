"""What is asked for words: statements with a blank, shots drawn for each query; the table of answers.

Everything of a probe whose answers are written that knows no model.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from kebench.errors import UserError
from kebench.probe.forms import answer_forms
from kebench.probe.query_set import MASK, QuerySet
from kebench.probe.ranked import GIVEN, RankedPool, read_pools
from kebench.probe.record import GenerateSettings, RankSettings

# A row an answer, the best first. string: up to its end; of a constrained probe the name as the pool has it.
# is_cut: the same in all rows of a query.
WRITTEN_SCHEMA = pa.schema(
    [
        ("query_id", pa.int32()),
        ("rank", pa.int16()),
        ("tokens", pa.list_(pa.int32())),
        ("string", pa.string()),
        ("sum_log_prob", pa.float32()),
        ("is_cut", pa.bool_()),
        ("sharing", pa.dictionary(pa.int32(), pa.string())),
    ]
)
MOST_NAMES = 5  # of a candidate, as sets have them


class Accepted(NamedTuple):
    """An answer that a query accepts: a concept, its preferred name, and all its names in normal form."""

    cui: str
    name: str
    names: tuple[str, ...]


class AskedPool(NamedTuple):
    """The queries of a relation and direction that are asked by one statement.

    wording: its number. places: of the queries among the pool's. shots: of each, facts as (subject, answer).
    """

    pool: RankedPool
    wording: int
    places: tuple[int, ...]
    shots: tuple[tuple[tuple[str, str], ...], ...]

    @property
    def query_ids(self) -> list[int]:
        """The queries."""
        return [self.pool.queries[place].query_id for place in self.places]

    def statement(self, number: int) -> tuple[str, str]:
        """Return what stands before and behind the blank of a query, without shots. number: of the query."""
        return self.pool.statement(self.wording, 0, self.places[number])

    def shown(self, number: int, *, behind: str) -> str:
        """Return the shots of a query as statements, `behind` behind each."""
        return "".join(self.pool.fact(self.wording, *fact) + behind for fact in self.shots[number])

    def names(self, number: int) -> list[tuple[str, str]]:
        """Return the pool's names but the subject's, each as it stands in the statement and as it is."""
        out = self.pool.queries[self.places[number]].out
        shown = self.pool.shown_names(self.wording, range(len(self.pool.names)))
        of_pool = zip(shown, self.pool.names, strict=True)
        return [(one, name) for one, (candidate, name) in of_pool if candidate not in out]


class AskedWords(NamedTuple):
    """All that is asked, and why the rest is not. reworded: asked by another statement than the first."""

    pools: list[AskedPool]
    blank_inside: int
    without_shots: int
    reworded: int


def accepted_by(queries: pa.Table) -> dict[int, list[Accepted]]:
    """Return what each query of a set accepts, by query_id."""
    return {
        row["query_id"]: [Accepted(one["cui"], one["name"], tuple(one["names"])) for one in row["answers"]]
        for row in queries.select(["query_id", "answers"]).to_pylist()
    }


def read_asked(query_set: QuerySet, queries: pa.Table, settings: GenerateSettings) -> AskedWords:
    """Return the statements of queries, each with its shots. queries: rows of the set.

    Raises UserError for a set without pools, and if no query is left.
    """
    # All statements and names of a relation; no shots, which are drawn by query here.
    everything = RankSettings(
        family=settings.family,
        start=settings.start,
        pll=None,
        shots=0,
        draws=1,
        seed=settings.seed,
        left_out=0,
        wordings=50,
        negated=False,
        names=MOST_NAMES,
    )
    pools, _ = read_pools(query_set, queries, everything)
    facts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in query_set.shots().to_pylist():
        facts.setdefault((row["relation"], row["direction"]), []).append(row)
    accepted = accepted_by(queries) if settings.shots else {}
    # Forms under which names of facts and of answers are compared.
    names = {name for of_query in accepted.values() for one in of_query for name in one.names}
    names |= {one[end] for of_pool in facts.values() for one in of_pool for end in ("subject", "answer")}
    listed = sorted(names) if settings.shots else []
    key_of = {name: key for name, (_, key) in zip(listed, answer_forms(listed), strict=True)}

    found: list[AskedPool] = []
    blank_inside = without_shots = reworded = 0
    for pool in pools:
        # Texts of their own, of sets without statements, end with their blank or not one by one.
        by_wording: dict[int, list[int]] = {}
        for place, query in enumerate(pool.queries):
            if settings.family == "causal":
                fitting = (w for w in pool.templates if not _stands_behind(pool, w, query.text))
                wording = next(fitting, None)
            else:
                wording = 0
            if wording is None:
                blank_inside += 1
            else:
                by_wording.setdefault(wording, []).append(place)
        for wording, places in by_wording.items():
            known = facts.get((pool.relation, pool.direction), []) if pool.templates[wording] else []
            shots = {}
            for place in places:
                query_id = pool.queries[place].query_id
                true = accepted.get(query_id, [])
                drawn = _draw_shots(known, query_id, true, key_of, settings)
                if len(drawn) < settings.shots:
                    without_shots += 1
                else:
                    shots[place] = drawn
            if shots:
                found.append(AskedPool(pool, wording, tuple(shots), tuple(shots.values())))
                reworded += len(shots) * (wording != 0)
    if not found:
        raise UserError(
            f"{query_set.folder}: no query is left to ask: {blank_inside:,} have words behind the blank in "
            f"every statement, {without_shots:,} have fewer than {settings.shots} facts to show; ask more, "
            "or with fewer --shots"
        )
    return AskedWords(found, blank_inside, without_shots, reworded)


def _stands_behind(pool: RankedPool, wording: int, text: str) -> bool:
    """Whether words stand behind the blank."""
    template, blank = pool.templates[wording] or text, GIVEN[pool.direction][1]
    behind = template.partition(blank if pool.templates[wording] else MASK)[2]
    return any(letter.isalnum() for letter in behind)


def _draw_shots(
    facts: Sequence[dict[str, Any]],
    query_id: int,
    accepted: Sequence[Accepted],
    key_of: dict[str, str],
    settings: GenerateSettings,
) -> tuple[tuple[str, str], ...]:
    """Draw the shots of one query, the first by the hash of seed, query and fact; perhaps fewer than wanted.

    None names what the query accepts: neither as its answer, by CUI or by normal form, nor as its subject.
    """
    cuis = {one.cui for one in accepted}
    keys = {key_of[name] for one in accepted for name in one.names}

    def order(fact: dict[str, Any]) -> str:
        text = f"{settings.seed}:{query_id}:{fact['subject']}:{fact['answer']}"
        return hashlib.sha256(text.encode()).hexdigest()

    shown: list[tuple[str, str]] = []
    for fact in sorted(facts, key=order):
        if len(shown) == settings.shots:
            break
        if not (fact["answer_cui"] in cuis or keys & {key_of[fact["answer"]], key_of[fact["subject"]]}):
            shown.append((fact["subject"], fact["answer"]))
    return tuple(shown)
