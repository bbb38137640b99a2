"""Plans the forward passes that give the probabilities of tokens in many sequences, beginnings computed once.

A causal model's state of a token depends on what stands before it alone, so sequences that begin alike are
one trie. Three plans, from the least work to the least that is asked of a model:

- `plan_tries`: the nodes of a trie lie one behind the other in a row, parents before children, and an
  attention mask lets each see its ancestors only;
- `plan_batches` with `cached`: the tokens that neighbours begin with are forwarded once, their keys and
  values repeated for a batch of what follows;
- `plan_batches` without: sequences as a batch, padded on the right.

The last token of a sequence is never forwarded: nothing is read behind it.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

# B sequences, P tokens of a prefix, R rows, L tokens of a row, Q probabilities that are read
Numbers = NDArray[numpy.int64]


class Reads(NamedTuple):
    """What is read of states: state_Q gives the probability of token_Q, which is written to out_Q.

    state_Q: 0 for the last token of the prefix, 1 + row * L + column for a token of a pass.
    """

    state_Q: Numbers
    token_Q: Numbers
    out_Q: Numbers


class Pass(NamedTuple):
    """One forward pass: rows of tokens, which follow a prefix if there is one.

    position_RL: places in their sequences, from 0. length_R: tokens of each row that are no padding.
    end_L: of a row that is a trie, the column behind the last descendant of each token; None: rows are texts.
    """

    token_RL: Numbers
    position_RL: Numbers
    length_R: Numbers
    end_L: Numbers | None
    reads: Reads


class Group(NamedTuple):
    """Passes behind one prefix, whose keys and values are computed once and kept; None: no prefix."""

    prefix: Pass | None
    passes: tuple[Pass, ...]

    @property
    def num_tokens(self) -> int:
        """Return the number of tokens forwarded, padding included."""
        forwarded = (self.prefix, *self.passes) if self.prefix else self.passes
        return sum(one.token_RL.size for one in forwarded)

    @property
    def longest_row(self) -> int:
        """Return the most tokens of a trie, those of the prefix included; 0 where rows are texts."""
        behind = self.prefix.token_RL.shape[1] if self.prefix else 0
        return max(
            (behind + one.token_RL.shape[1] for one in self.passes if one.end_L is not None), default=0
        )


class Costs(NamedTuple):
    """What forwarding a row of L tokens behind a prefix of P costs: fixed + L + attention * L * (P + L).

    The unit is the work of one token outside attention. fixed: of any pass, however short.
    """

    fixed: float
    attention: float


class Sequences:
    """Sequences in lexicographic order, with what each has in common with the one before it.

    first: the place from which on each sequence's tokens are asked for, at least 1.
    out_start: where the probabilities of each stand among all that are asked for, in the order given.
    """

    def __init__(self, sequences: Sequence[Numbers], first: Sequence[int]) -> None:
        asked = [max(0, len(tokens) - start) for tokens, start in zip(sequences, first, strict=True)]
        self.num_asked = sum(asked)
        out_start = numpy.cumsum([0, *asked])
        # big-endian bytes are in the order of the numbers
        keys = [tokens.astype(">u4").tobytes() for tokens in sequences]
        order = sorted((place for place, number in enumerate(asked) if number), key=keys.__getitem__)
        self.tokens = [sequences[place] for place in order]
        self.first = [first[place] for place in order]
        self.out_start = [int(out_start[place]) for place in order]
        # places to be forwarded
        self.size_B = numpy.array([len(tokens) - 1 for tokens in self.tokens], dtype=numpy.int64)
        self.shared_B = numpy.zeros(len(order), dtype=numpy.int64)
        for place in range(1, len(order)):
            most = int(min(self.size_B[place - 1], self.size_B[place]))
            differs = self.tokens[place - 1][:most] != self.tokens[place][:most]
            self.shared_B[place] = differs.argmax() if differs.any() else most

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def num_nodes(self) -> int:
        """Return the nodes of the trie of all sequences: the fewest tokens that have to be forwarded."""
        return int((self.size_B - self.shared_B).sum())

    def reads(self, place: int, path: Numbers, start: int = 1) -> Reads:
        """Return what is read for one sequence at its places from `start` on, or from where it is asked on.

        path: the state of each of its tokens.
        """
        tokens, first = self.tokens[place], self.first[place]
        low = max(start, first)
        asked = numpy.arange(low, len(tokens))
        return Reads(path[asked - 1], tokens[low:], self.out_start[place] + asked - first)

    def prefix(self, places: range, length: int) -> Pass:
        """Return the pass of the tokens that some sequences begin with, and what they ask of it."""
        column_L = numpy.arange(length)
        found = []
        for place in places:
            whole = self.reads(place, 1 + numpy.arange(len(self.tokens[place])))
            # what the last token of the prefix tells is read with the passes that follow it
            found.append(Reads(*(part[whole.state_Q < length] for part in whole)))
        tokens = self.tokens[places[0]][:length]
        return Pass(tokens[None], column_L[None], numpy.array([length]), None, _joined(found))


def _joined(found: Sequence[Reads]) -> Reads:
    return Reads(*(numpy.concatenate(parts) for parts in zip(*found, strict=True)))


def plan_tries(sequences: Sequences, *, most_tokens: int, costs: Costs, may_cache: bool) -> list[Group]:
    """Return the passes of the least cost in which sequences that begin alike are a trie.

    most_tokens: of a row; where a sequence comes near it by itself, a quarter more.
    may_cache: what all sequences begin with may be computed once for all rows, if that costs less.
    """
    if not len(sequences):
        return []
    everything = range(len(sequences))
    cost, rows = _cut(sequences, 0, most_tokens, costs)
    common = min(sequences.shared_B[1:].min(initial=2**62), sequences.size_B.min() - 1)
    if may_cache and len(rows) > 1 and common > 0:
        behind, rows_behind = _cut(sequences, common, most_tokens, costs)
        if costs.fixed + common + costs.attention * common**2 + behind < cost:
            prefix = sequences.prefix(everything, int(common))
            return [Group(prefix, tuple(_trie(sequences, row, int(common)) for row in rows_behind))]
    return [Group(None, (_trie(sequences, row, 0),)) for row in rows]


def _cut(sequences: Sequences, behind: int, most_tokens: int, costs: Costs) -> tuple[float, list[range]]:
    """Cut sequences in order into rows, so that all rows together cost the least; return cost and rows.

    Where a row begins, what its first sequence shares with the one before is forwarded once more.
    """
    size_B = sequences.size_B - behind
    until_B = numpy.cumsum(size_B - numpy.maximum(sequences.shared_B - behind, 0))
    best = numpy.zeros(len(size_B) + 1)
    start = numpy.zeros(len(size_B) + 1, dtype=numpy.int64)
    low = 0
    for end in range(1, len(best)):
        # A row that begins later is never longer. What begins with one long text may go beyond the limit.
        while low < end - 1:
            more = until_B[end - 1] - until_B[low]
            if size_B[low] + more <= most_tokens or more <= most_tokens // 4:
                break
            low += 1
        length = size_B[low:end] + until_B[end - 1] - until_B[low:end]
        cost = best[low:end] + costs.fixed + length * (1 + costs.attention * (length + behind))
        least = int(cost.argmin())
        best[end], start[end] = cost[least], low + least
    rows, end = [], len(size_B)
    while end:
        rows.append(range(start[end], end))
        end = int(start[end])
    return float(best[-1]), rows[::-1]


def _trie(sequences: Sequences, row: range, behind: int) -> Pass:
    """Return the pass of one row: the nodes of its sequences' trie, below the first `behind` tokens."""
    path = numpy.zeros(int(sequences.size_B[row.start : row.stop].max()), dtype=numpy.int64)  # states
    tokens, positions, found = [], [], []
    end_L = numpy.zeros(int(sequences.size_B[row.start : row.stop].sum()) + 1, dtype=numpy.int64)
    count, size_before = 1, behind  # state 0 is the prefix's last token
    for place in row:
        size = int(sequences.size_B[place])
        shared = behind if place == row.start else int(sequences.shared_B[place])
        end_L[path[shared:size_before]] = count
        path[shared:size] = numpy.arange(count, count + size - shared)
        tokens.append(sequences.tokens[place][shared:size])
        positions.append(numpy.arange(shared, size))
        found.append(sequences.reads(place, path, start=max(1, behind)))
        count, size_before = count + size - shared, size
    end_L[path[behind:size_before]] = count
    token_L, position_L = numpy.concatenate(tokens), numpy.concatenate(positions)
    return Pass(
        token_L[None], position_L[None], numpy.array([len(token_L)]), end_L[1:count] - 1, _joined(found)
    )


def plan_batches(sequences: Sequences, *, most_tokens: int, costs: Costs, cached: bool) -> list[Group]:
    """Return passes over padded batches of sequences.

    most_tokens: of a batch, padding included, where no sequence is longer by itself.
    cached: neighbours that begin alike follow one prefix, where that saves more than a pass costs.
    """
    groups: list[Group] = []
    alone: list[int] = []
    for places, common in _alike(sequences) if cached else [(range(len(sequences)), 0)]:
        if common * (len(places) - 1) > costs.fixed:
            batches = _batches(sequences, places, common, most_tokens)
            groups.append(Group(sequences.prefix(places, common), tuple(batches)))
        else:
            alone += places
    return groups + [Group(None, (batch,)) for batch in _batches(sequences, alone, 0, most_tokens)]


def _alike(sequences: Sequences) -> Iterator[tuple[range, int]]:
    """Cut sequences in order into groups that begin alike; yield each with the tokens its members share.

    A sequence joins the group before it where fewer tokens are forwarded than by beginning another one.
    """
    start = 0
    while start < len(sequences):
        common = int(sequences.size_B[start])
        end = start + 1
        while end < len(sequences):
            size = int(sequences.size_B[end])
            # at least one token of each has to stand behind the prefix
            shared = min(common, int(sequences.shared_B[end]), size - 1)
            lost = (common - shared) * (end - start - 1)  # what the members, but for one, forward more
            if shared <= 0 or lost >= shared:
                break
            common, end = shared, end + 1
        yield range(start, end), min(common, int(sequences.size_B[start:end].min()) - 1)
        start = end


_REPEATED = 16  # times as many tokens of a prefix as of a batch may be held as keys and values; ours


def _batches(sequences: Sequences, places: Sequence[int], behind: int, most_tokens: int) -> Iterator[Pass]:
    """Yield batches of sequences of about one length, without the first `behind` tokens."""
    by_length = sorted(places, key=lambda place: -sequences.size_B[place])
    while by_length:
        length = int(sequences.size_B[by_length[0]]) - behind
        num_rows = max(1, most_tokens // length)
        num_rows = min(num_rows, max(1, _REPEATED * most_tokens // (behind + length)))
        batch, by_length = by_length[:num_rows], by_length[num_rows:]
        token_RL = numpy.zeros((len(batch), length), dtype=numpy.int64)
        found = []
        for row, place in enumerate(batch):
            size = int(sequences.size_B[place])
            token_RL[row, : size - behind] = sequences.tokens[place][behind:size]
            path = 1 + row * length + numpy.arange(size) - behind
            path[:behind] = 0
            found.append(sequences.reads(place, path, start=max(1, behind)))
        position_RL = numpy.broadcast_to(numpy.arange(behind, behind + length), token_RL.shape)
        yield Pass(token_RL, position_RL, sequences.size_B[batch] - behind, None, _joined(found))
