"""Scores names in statements with a causal language model; what texts have in common is computed once.

A text's tokens stand behind the start tokens of the model, and each has the probability that the model gives
it after all before it. Many texts begin alike: all names behind one statement, all statements behind one
name, all of a relation behind the same shots. How much of that is shared depends on the model's architecture;
every way that a model seems to allow is first compared with scoring one text at a time, and one that differs
is not used (`CausalLM.check_sharing`).

What has to be computed for a set of texts is a pass over the nodes of their trie (`Sequences.num_nodes`) and
the head at those nodes behind which something is asked. benchmarks/ranked.py measures how near this comes.
"""

import copy
import inspect
import itertools
from collections.abc import Sequence
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

from kebench.errors import UserError, first_line
from kebench.model.families import quiet_transformers
from kebench.model.shared_prefixes import Costs, Group, Numbers, Pass, Sequences, plan_batches, plan_tries
from kebench.model.spans import encode_pairs
from kebench.model.statements import Family, NameScores, Statement

# R rows, L tokens of a row, P tokens of a prefix, H hidden, V vocabulary, U states whose logits are wanted
Tokens = NDArray[numpy.int32]
LogProbs = NDArray[numpy.float32]

_LARGEST_DIFFERENCE = 1e-3  # nats a token, between two ways of computing one probability in fp32; ours
_MOST_TOKENS = {"cpu": 1024, "cuda": 8192}  # of a forward pass; ours
_MOST_IN_A_ROW = 1024  # tokens of a trie: its mask has the square of them. Ours
_FIXED_COST = {"cpu": 16.0, "cuda": 512.0}  # tokens whose work takes as long as starting a pass; ours
_FEWEST_PROBED = 64  # tokens of the longest text of a probe; ours
_LOGITS = {"cpu": 2**23, "cuda": 2**28}  # in memory at once; ours: no more speed beyond
_LEAST_ROWS = 32  # else the head would be read again and again; ours
_SOFT_MAX_ROWS = {"cpu": 32, "cuda": 4096}  # of logits, whose soft-max is taken at once; ours
_MOST_LOGITS = 2**26  # in memory at once where a model computes them for every token itself; ours

# Under these names configurations say how many tokens a text may have. `model_max_length` of a tokenizer says
# it only sometimes: it may be 1e30.
_LIMITS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length")

# ways to forward many texts, from the least work on
TRIES, PREFIXED_TRIES = "tries", "tries behind a cached prefix"
PREFIXED_BATCHES, BATCHES, ONE_BY_ONE = "batches behind cached prefixes", "padded batches", "one by one"
WAYS = (TRIES, PREFIXED_TRIES, PREFIXED_BATCHES, BATCHES, ONE_BY_ONE)


class CausalLM:
    """A causal language model that ranks names (`RanksNames`), and gives log probabilities of any tokens.

    model: of any class with a head over the vocabulary, its weights in float32; it is moved to the device.
    tokenizer: a fast one, for its offsets. start: ids that stand before every text, () for none.
    precision: "bf16" computes under autocast; the soft-max is in float32 always.

    In fp32 the probabilities of a text differ by no more than 1e-4 nats whatever else is asked with it.
    """

    family: Family = "causal"

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        start: tuple[int, ...],
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        if model.dtype != torch.float32:
            raise UserError(
                f"{model.config.model_type}: its weights are {model.dtype}, in which errors cannot be told "
                "from rounding; load it in torch.float32 (precision bf16 computes faster)"
            )
        self.model, self.tokenizer, self.start = model.to(device).eval(), tokenizer, tuple(start)
        self.device, self.precision = device, precision
        self.config = model.config.get_text_config()
        self.limit_name = next((name for name in _LIMITS if getattr(self.config, name, None)), "")
        self.limit: int | None = getattr(self.config, self.limit_name) if self.limit_name else None
        self.takes = set(inspect.signature(model.base_model.forward).parameters)
        self.vocabulary = model.get_input_embeddings().weight.shape[0]
        self.has_own_logits = False  # the model's own forward pass makes the logits: `check_sharing` decides
        kind = "cpu" if device.startswith("cpu") else "cuda"  # any other accelerator is taken for one
        self.most_tokens, self.most_logits = _MOST_TOKENS[kind], _LOGITS[kind]
        self.soft_max_rows = _SOFT_MAX_ROWS[kind]
        # Beside its two products with the keys and values of each token that it sees, a token costs two
        # operations a weight outside the embeddings.
        weights = sum(one.numel() for one in model.parameters()) - model.get_input_embeddings().weight.numel()
        squares = 4 * self.config.hidden_size * self.config.num_hidden_layers
        self.costs = Costs(_FIXED_COST[kind], squares / max(1, 2 * weights))
        # Tokens forwarded, and states that went through the head, since it was made; checks are left out.
        self.num_forwarded = self.num_read = 0
        # what `check_sharing` found, and up to which lengths of a text and of a row
        self.refused: dict[str, str] = {}
        self.checked_text, self.checked_row = 0, 0

    # --- what is asked -------------------------------------------------------------------------------------

    def score_names(
        self,
        statements: Sequence[Statement],
        names: Sequence[str],
        *,
        with_before: bool = False,
        with_after: bool = False,
        batch_tokens: int | None = None,
    ) -> NameScores:
        """Score every name in every statement; see `RanksNames` and `score_pairs`."""
        found = self.score_pairs(
            [(statement, name) for statement in statements for name in names],
            with_before=with_before,
            with_after=with_after,
            batch_tokens=batch_tokens,
        )
        shape = len(statements), len(names)
        shaped: dict[str, Any] = {
            field: part if part is None else part.reshape(shape) for field, part in found._asdict().items()
        }
        return NameScores(**shaped)

    def score_pairs(
        self,
        pairs: Sequence[tuple[Statement, str]],
        *,
        with_before: bool = False,
        with_after: bool = False,
        batch_tokens: int | None = None,
    ) -> NameScores:
        """Score a name in a statement, pair by pair; all arrays are (pairs,). The rest is as in `RanksNames`.

        Work is shared among all that is asked in one call: pass all statements of a relation together, above
        all where the blank stands at their start. All texts' tokens are held in memory, 20 bytes each.
        Raises UserError also where a text's first token is asked for and nothing stands before it.
        """
        num_start = len(self.start)
        spans = encode_pairs(self.tokenizer, pairs, max_tokens=None, special_tokens=False)
        sequences, first = [], []
        for text, (low, high) in enumerate(itertools.pairwise(spans.bound_X)):
            where = f"name {pairs[text][1]!r} with its statement"
            if not num_start and (with_before or spans.start_X[text] == 0):
                raise UserError(
                    f"{where}: nothing stands before the text's first token, so it has no probability; "
                    "give the model a start token"
                )
            end = high if with_after else low + spans.end_X[text]  # what follows does not count
            sequences.append(numpy.append(numpy.array(self.start, dtype=numpy.int32), spans.token_T[low:end]))
            self._refuse_longer(len(sequences[-1]), where)
            first.append(num_start + (0 if with_before else int(spans.start_X[text])))
        found = self.token_log_probs(sequences, first, batch_tokens=batch_tokens)
        name_X, first_X, before_X, after_X = (
            numpy.full(len(pairs), numpy.nan, dtype=numpy.float32) for _ in range(4)
        )
        for text, log_probs in enumerate(found):
            skipped = int(spans.start_X[text]) if with_before else 0
            of_name = log_probs[skipped : skipped + int(spans.end_X[text] - spans.start_X[text])]
            name_X[text], first_X[text] = of_name.sum(dtype=numpy.float64), of_name[0]
            if with_before:
                before_X[text] = log_probs[:skipped].sum(dtype=numpy.float64)
            if with_after:
                after_X[text] = log_probs[skipped + len(of_name) :].sum(dtype=numpy.float64)
        return NameScores(
            tokens_SN=(spans.end_X - spans.start_X).astype(numpy.int16),
            name_SN=name_X,
            first_SN=first_X,
            before_SN=before_X,
            after_SN=after_X,
            straddles_SN=spans.straddles_X,
            unknown_SN=spans.unknown_X,
        )

    def token_log_probs(
        self,
        sequences: Sequence[Sequence[int] | Tokens],
        first: Sequence[int],
        *,
        batch_tokens: int | None = None,
    ) -> list[LogProbs]:
        """Return the natural log probabilities of each sequence's tokens from place `first` on.

        sequences: ids, start tokens included. first: at least 1, since nothing stands before place 0.
        batch_tokens: most tokens in one forward pass, where no sequence is longer by itself.
        """
        tokens = [numpy.asarray(one, dtype=numpy.int64) for one in sequences]
        if any(start < 1 for start in first):
            raise ValueError("nothing stands before a sequence's first token, so it has no probability")
        for number, one in enumerate(tokens):
            self._refuse_longer(len(one), f"text {number + 1}")
            if len(one) and not 0 <= one.min() <= one.max() < self.vocabulary:
                raise UserError(
                    f"text {number + 1}: token {one.max()}, and the model knows {self.vocabulary:,} tokens; "
                    "give the tokenizer that the model was trained with"
                )
        planned = Sequences(tokens, first)
        groups = self._plan_checked(
            planned, max(map(len, tokens), default=0), batch_tokens or self.most_tokens
        )
        log_prob_Q = self._compute(groups, planned.num_asked)
        ends = numpy.cumsum([max(0, len(one) - start) for one, start in zip(tokens, first, strict=True)])
        return numpy.split(log_prob_Q, ends[:-1]) if len(ends) else []

    def _refuse_longer(self, length: int, where: str) -> None:
        if self.limit and length > self.limit:
            raise UserError(
                f"{where}: {length:,} tokens, and the model takes {self.limit:,} ({self.limit_name} of its "
                "config); shorten the text or give fewer shots"
            )

    # --- how work is shared --------------------------------------------------------------------------------

    @property
    def sharing(self) -> str:
        """Which way of sharing work is used; which are not, and why."""
        if not self.checked_text:
            self.check_sharing()
        return "; ".join([self._way(), *(f"not {way}: {reason}" for way, reason in self.refused.items())])

    def _way(self) -> str:
        if TRIES not in self.refused:
            return TRIES if PREFIXED_TRIES in self.refused else PREFIXED_TRIES
        for way in WAYS[2:]:
            if way not in self.refused:
                return way
        raise UserError(
            f"{self.config.model_type}: a text that is scored alone gets other probabilities than by the "
            f"model's own forward pass ({self.refused[ONE_BY_ONE]}); such a model cannot be asked"
        )

    def _plan_checked(self, sequences: Sequences, longest: int, most_tokens: int) -> list[Group]:
        """Return passes that are as large as others that were found right, or smaller."""
        while True:
            groups = self._plan(self._way(), sequences, most_tokens, self.costs)
            row = max((group.longest_row for group in groups), default=0)
            if longest <= self.checked_text and row <= self.checked_row:
                return groups
            self.check_sharing(longest, row)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def check_sharing(self, longest: int = _FEWEST_PROBED, row: int = _FEWEST_PROBED) -> None:
        """Compare ways to share work with one text at a time; those that differ are not used from now on.

        longest: tokens of the longest text that will be asked. row: of the longest row of a trie.
        The probe's are as long or longer: an architecture that sees a window of tokens only, by their places
        in the text or in the row, differs no earlier. The ways are tried from the least work on; those behind
        the first that is right are not.
        Raises UserError for a model of which no way is right.
        """
        text, row = (max(_FEWEST_PROBED, 1 << (one - 1).bit_length()) for one in (longest, row))
        text, row = max(min(text, self.limit or text), self.checked_text), max(row, self.checked_row)
        probe, compared = self._probe(text, row)
        # The reference: one text at a time by the model's own forward pass, without mask or positions. The
        # last quarter is compared: it stands behind all that is shared.
        own = text - text * 3 // 4
        takes = inspect.signature(self.model.forward).parameters
        only = {"logits_to_keep": own + 1} if "logits_to_keep" in takes else {}
        reference = []
        for place in compared:
            token_1L = self._there(probe.tokens[place][None])
            with quiet_transformers():  # a text may begin with the padding's token, of which it would warn
                logit_LV = self.model(input_ids=token_1L, use_cache=False, **only).logits[0, -own - 1 : -1]
            log_prob_L1 = logit_LV.float().log_softmax(-1).gather(1, token_1L[0, -own:, None])
            reference.append(log_prob_L1[:, 0].cpu().numpy())

        few = Sequences([probe.tokens[place] for place in compared], [1] * len(compared))

        def fault(way: str) -> str:
            """Return why a way is not right, "" if it is."""
            asked, places = (probe, compared) if way in (TRIES, PREFIXED_TRIES) else (few, range(len(few)))
            read = [asked.out_start[place] + numpy.arange(text - 1)[-own:] for place in places]
            try:
                groups = self._plan(way, asked, row, Costs(0.0, 0.0))  # so that all is shared that can be
                # what all begin with, and the rows in which something is compared
                groups = [
                    group._replace(passes=kept)
                    for group in groups
                    if (kept := tuple(one for one in group.passes if numpy.isin(read, one.reads.out_Q).any()))
                ]
                log_prob_Q = self._compute(groups, asked.num_asked, exactly=True)
            # transformers raises what it likes where an architecture cannot do something
            except Exception as error:
                return f"{type(error).__name__}: {first_line(error)}"
            found = float(numpy.abs(log_prob_Q[numpy.concatenate(read)] - numpy.concatenate(reference)).max())
            return "" if found <= _LARGEST_DIFFERENCE else f"differs by {found:.2g} nats"  # NaN does, too

        # Some models do more to their logits than the head and what is known of it: then theirs are taken.
        if not self.checked_text:
            has_head = self.model.get_output_embeddings() is not None
            is_apart = self.model.base_model is not self.model
            self.has_own_logits = not (has_head and is_apart) or fault(ONE_BY_ONE) != ""
        for way in WAYS:
            if way in self.refused or (way == PREFIXED_TRIES and TRIES in self.refused):
                continue
            if reason := fault(way):
                self.refused[way] = reason
            if way != TRIES and self._way() in (way, TRIES):
                break
        self.checked_text, self.checked_row = text, row

    def _probe(self, text: int, row: int) -> tuple[Sequences, list[int]]:
        """Return texts of random tokens that share and branch, and the places of those that are compared.

        Three quarters of `text` are common to all. Of three long ones, two part again half-way; beside them
        stand one of a single token and the beginning of another. Many short ones come before them in order,
        more than fill a row, so that the long ones' tokens stand far from their ancestors.
        """
        drawn = numpy.random.default_rng(0)
        special = {*self.tokenizer.all_special_ids, *self.tokenizer.get_added_vocab().values()}
        known = range(min(self.vocabulary, len(self.tokenizer)))
        usable = numpy.array([token for token in known if token not in special])
        low, high = numpy.split(usable, [len(usable) // 2])
        stem = drawn.choice(usable, text * 3 // 4)
        own = text - len(stem)
        # their first tokens differ, and are behind those of the short ones
        one, other, single = (numpy.append(head, drawn.choice(usable, own - 1)) for head in high[-3:])
        forked = numpy.append(one[: own // 2], drawn.choice(usable, own - own // 2))
        long = [one, forked, other]
        num_short = max(8, (row - len(stem)) // 6)
        short = [numpy.append(drawn.choice(low), drawn.choice(usable, 7)) for _ in range(num_short)]
        probe = Sequences(
            [numpy.append(stem, branch) for branch in [*short, one[: own // 2], single[:1], *long]],
            [1] * (len(short) + 5),
        )
        # of those that begin in one of the high tokens, these alone are of full length
        return probe, numpy.flatnonzero(probe.size_B == text - 1).tolist()

    def _plan(self, way: str, sequences: Sequences, most_tokens: int, costs: Costs) -> list[Group]:
        """Return the passes of a way."""
        if self.has_own_logits:
            most_tokens = min(most_tokens, max(1, _MOST_LOGITS // self.vocabulary))
        if way in (TRIES, PREFIXED_TRIES):
            most, may_cache = min(most_tokens, _MOST_IN_A_ROW), way == PREFIXED_TRIES
            return plan_tries(sequences, most_tokens=most, costs=costs, may_cache=may_cache)
        if way == ONE_BY_ONE:
            most_tokens = 1
        return plan_batches(sequences, most_tokens=most_tokens, costs=costs, cached=way == PREFIXED_BATCHES)

    # --- forward passes ------------------------------------------------------------------------------------

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _compute(self, groups: Sequence[Group], num_asked: int, *, exactly: bool = False) -> LogProbs:
        """Return the log probabilities that a plan's passes read, each in its place.

        exactly: in fp32 whatever the precision.
        """
        log_prob_Q = torch.full((num_asked,), torch.nan, device=self.device)
        is_low = self.precision == "bf16" and not exactly
        with torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=is_low):
            for group in groups:
                self._forward(group, log_prob_Q)
        found: LogProbs = log_prob_Q.cpu().numpy()
        return found

    def _forward(self, group: Group, log_prob_Q: Tensor) -> None:
        """Forward the passes of a group, and write what they read."""
        cache, behind, last_1H = None, 0, None
        if group.prefix is not None:
            if "past_key_values" not in self.takes:
                raise TypeError("the model takes no cached keys and values")
            cache, behind = DynamicCache(), group.prefix.token_RL.shape[1]
            state_LH = self._states(group.prefix, cache, 0)
            self._read(group.prefix, state_LH, None, log_prob_Q)
            last_1H = state_LH[-1:].clone()
            del state_LH
        for one in group.passes:
            state_XH = self._states(one, _repeated(cache, len(one.token_RL)), behind)
            self._read(one, state_XH, last_1H, log_prob_Q)

    def _states(self, one: Pass, cache: Any, behind: int) -> Tensor:
        """Forward a pass; return the last hidden states of all its tokens, or the model's own logits."""
        given: dict[str, Any] = {
            "input_ids": self._there(one.token_RL),
            "attention_mask": self._mask(one, behind),
            "use_cache": cache is not None,
        }
        if "position_ids" in self.takes:
            given["position_ids"] = self._there(one.position_RL)
        if cache is not None:
            given["past_key_values"] = cache
        if self.has_own_logits:
            state_RLX: Tensor = self.model(**given).logits
        else:
            state_RLX = self.model.base_model(**given).last_hidden_state
        return state_RLX.flatten(0, 1)

    def _read(self, one: Pass, state_XH: Tensor, last_1H: Tensor | None, log_prob_Q: Tensor) -> None:
        """Write what is asked of a pass: a soft-max over the vocabulary, once for each state that is read."""
        if not len(one.reads.state_Q):
            return
        state_U, row_Q = numpy.unique(one.reads.state_Q, return_inverse=True)
        order = numpy.argsort(row_Q, kind="stable")
        row_Q, token_Q, out_Q = row_Q[order], one.reads.token_Q[order], one.reads.out_Q[order]
        # state 0 is the last one of the prefix
        chosen_UH = state_XH[self._there(numpy.maximum(state_U - 1, 0))]
        if state_U[0] == 0:
            assert last_1H is not None, "a state of a prefix is read, and there is none"
            chosen_UH[:1] = last_1H
        most = max(_LEAST_ROWS, self.most_logits // self.vocabulary)
        rows = -(-len(state_U) // -(-len(state_U) // most))  # parts of one size
        bounds = numpy.searchsorted(row_Q, numpy.arange(0, len(state_U) + rows, rows))
        for part_UH, low, high in zip(chosen_UH.split(rows), bounds[:-1], bounds[1:], strict=True):
            logit_UV = self._logits(part_UH)
            # Of rows that the cache holds, twice as fast on the CPU; and in float32 PyTorch's log_softmax is
            # off by 1e-5 over 50,000 logits there, ten times as much as this.
            normaliser_U = torch.cat([some_UV.logsumexp(1) for some_UV in logit_UV.split(self.soft_max_rows)])
            row, token = self._there(row_Q[low:high] % rows), self._there(token_Q[low:high])
            log_prob_Q[self._there(out_Q[low:high])] = logit_UV[row, token] - normaliser_U[row]

    def _logits(self, state_UH: Tensor) -> Tensor:
        """Return the logits of states in float32, as the head and what configurations do to them have it."""
        if self.has_own_logits:
            return state_UH.float()
        logit_UV = self.model.get_output_embeddings()(state_UH).float()
        if scale := getattr(self.config, "logit_scale", None):  # Cohere
            logit_UV *= scale
        if scale := getattr(self.config, "logits_scaling", None):  # Granite
            logit_UV /= scale
        if cap := getattr(self.config, "final_logit_softcapping", None):  # Gemma 2 and 3
            logit_UV = torch.tanh(logit_UV.div_(cap)).mul_(cap)
        return logit_UV

    def _mask(self, one: Pass, behind: int) -> Any:
        """Return who sees whom: of texts, which columns are no padding; of a trie, each token's ancestors.

        A dict by type of layer where a model has several; windows reach back so many places of the text.
        """
        if one.end_L is None:
            length_R1 = self._there(behind + one.length_R)[:, None]
            column_L = torch.arange(behind + one.token_RL.shape[1], device=self.device)
            return (column_L < length_R1).long()
        column_L = torch.arange(one.token_RL.shape[1], device=self.device)
        # A token's descendants are all that follow it, up to the end of its branch.
        sees_LL = (column_L <= column_L[:, None]) & (column_L[:, None] < self._there(one.end_L))
        sees_LX = torch.nn.functional.pad(sees_LL, (behind, 0), value=True)
        position_L = self._there(one.position_RL[0])
        position_X = torch.cat([torch.arange(behind, device=self.device), position_L])
        distance_LX = position_L[:, None] - position_X

        def added(window: int | None) -> Tensor:
            sees = sees_LX if window is None else sees_LX & (distance_LX < window)
            least = torch.finfo(self.model.dtype).min
            return torch.zeros(sees.shape, device=self.device).masked_fill_(~sees, least)[None, None]

        window = getattr(self.config, "sliding_window", None)
        if getattr(self.config, "use_sliding_window", True) is False:
            window = None
        windows = {"full_attention": None, "sliding_attention": window}
        types = set(getattr(self.config, "layer_types", None) or ())
        if unknown := types - set(windows):
            raise TypeError(f"layers of type {', '.join(sorted(unknown))}")
        if len(types) > 1:
            return {kind: added(windows[kind]) for kind in types}
        return added(windows[types.pop()] if types else window)

    def _there(self, numbers: Numbers) -> Tensor:
        return torch.tensor(numbers, device=self.device)


def _repeated(cache: Any, times: int) -> Any:
    """Return a cache of its own for one pass: keys and values are never written in place."""
    if cache is None:
        return None
    own = copy.copy(cache)
    own.layers = [copy.copy(layer) for layer in cache.layers]
    if times > 1:
        own.batch_repeat_interleave(times)
    return own
