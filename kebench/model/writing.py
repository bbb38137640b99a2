"""What a causal or encoder-decoder model writes into a blank: its most probable answers, by beam search.

A text behind a prompt is as probable as the product of its tokens' probabilities; nothing is divided by its
length. An answer is as probable as its tokens, and that one of all the tokens that end it follows
(`kebench.model.answer_ends`): what differs in its end sign alone is one answer. Of several ways to write what
reads alike the most probable stands for all. At each step the best B texts that go on and the best B answers
are kept, until no text can become one of these any more: texts only grow less probable. Scores are compared
to 1e-4 nats, ties broken by token ids. Where names alone may be written, all texts are kept that can still
become one of the best, so these are found whatever B is.

Prompts are forwarded together, padded on the left, and their keys and values kept. That is compared with
forwarding one text at a time first, and not done for a model that gives other probabilities then.
"""

# Q prompts, R texts that go on, of all prompts, V vocabulary, L tokens of a text

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy
import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from kebench.errors import first_line
from kebench.model.answer_ends import OTHER, POINT, answer_ends, first_answer
from kebench.model.causal_lm import CausalLM
from kebench.model.families import quiet_transformers
from kebench.model.prompts import NameTrie, Prompt, Tokens
from kebench.model.seq2seq_lm import Seq2SeqLM

SCORE_DECIMALS = 4  # hidden states differ by 1e-6 between batch sizes
TOGETHER, ONE_BY_ONE = "prompts together, keys and values kept", "one text at a time"
_LARGEST_DIFFERENCE = 1e-3  # nats, between two ways of computing one probability in fp32; ours
_FEWEST_PROBED = 32  # tokens of the longest text that is compared; ours
_VALUES = {"cpu": 2**25, "cuda": 2**29}  # probabilities in memory at once; ours


class Answer(NamedTuple):
    """An answer: its tokens before the one that ends it, its text, its natural log probability."""

    tokens: Tokens
    string: str
    log_prob: float


class Written(NamedTuple):
    """The answers to a prompt, best first. is_cut: with more tokens there might have been better ones."""

    answers: list[Answer]
    is_cut: bool


class _Text(NamedTuple):
    """A text that goes on. row: of the last forward pass. ends_with: as in `answer_ends`."""

    log_prob: float
    tokens: Tokens
    row: int
    ends_with: int
    node: NameTrie | None


def _order(one: _Text | Answer) -> tuple[float, Tokens]:
    return -round(one.log_prob, SCORE_DECIMALS), one.tokens


class BlankWriter:
    """A causal or encoder-decoder model that writes into blanks.

    lm: the model as it ranks names, with tokenizer, device and precision.

    In fp32 the probabilities of answers differ by no more than 1e-4 nats whatever else is asked with them.
    """

    def __init__(self, lm: CausalLM | Seq2SeqLM) -> None:
        self.model, self.tokenizer, self.precision = lm.model, lm.tokenizer, lm.precision
        self.device, self.kind = lm.device, "cpu" if lm.device.partition(":")[0] == "cpu" else "cuda"
        self.is_pair = isinstance(lm, Seq2SeqLM)
        self.limit = lm.max_tokens if isinstance(lm, Seq2SeqLM) else lm.limit
        self.vocabulary = int(self.model.get_input_embeddings().weight.shape[0])
        self.ends = answer_ends(self.tokenizer, self.vocabulary)
        takes = inspect.signature(self.model.forward).parameters
        self.only_last = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self.takes_positions = "position_ids" in takes
        # which way is used, and up to how many tokens it was compared
        self.sharing, self.is_shared, self.checked = "", False, 0

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def write(
        self, prompts: Sequence[Prompt], *, beam: int, max_new_tokens: int, batch_tokens: int
    ) -> list[Written]:
        """Return the best `beam` answers to each prompt, of at most so many tokens; fewer if there are fewer.

        batch_tokens: most tokens of prompts and answers in memory, where one prompt alone has no more.
        """
        length = max((len(one.read) + len(one.written) for one in prompts), default=0) + max_new_tokens
        if length > self.checked:
            self.check(length)
        found: list[Written | None] = [None] * len(prompts)
        # Decoders of pairs count their positions from the first token, padding or not: one length at a time.
        by_length = sorted(
            range(len(prompts)), key=lambda at: (len(prompts[at].written), len(prompts[at].read), at)
        )
        while by_length:
            batch: list[int] = []
            for at in by_length:
                one = prompts[at]
                number = len(batch) + 1
                width = max(beam, len(one.names.below) if one.names else 0)
                size = number * width * (len(one.read) + len(one.written) + max_new_tokens)
                # At first some models make those of all tokens of a prompt.
                values = number * max(width, 1 if self.only_last else len(one.written)) * self.vocabulary
                other = self.is_pair and len(one.written) != len(prompts[by_length[0]].written)
                too_many = size > batch_tokens or values > _VALUES[self.kind]
                if batch and (too_many or other or not self.is_shared):
                    break
                batch.append(at)
            by_length = by_length[len(batch) :]
            written = self._search([prompts[at] for at in batch], beam, max_new_tokens)
            for at, one_found in zip(batch, written, strict=True):
                found[at] = one_found
        return [one for one in found if one is not None]

    # --- the search ----------------------------------------------------------------------------------------

    def _search(self, prompts: Sequence[Prompt], beam: int, max_new_tokens: int) -> list[Written]:
        steps: _Steps = _Together(self, prompts) if self.is_shared else _OneByOne(self, prompts)
        log_prob_RV = steps.begin()
        texts = [[_Text(0.0, (), row, OTHER, one.names)] for row, one in enumerate(prompts)]
        answers: list[list[Answer]] = [[] for _ in prompts]
        is_cut = [False] * len(prompts)
        for length in range(max_new_tokens + 1):
            longer = self._longer(texts, log_prob_RV, prompts, beam)
            for query, (going_on, ended) in enumerate(longer):
                # Of answers that read alike, as other tokens of the same letters, the best stands for all.
                best: dict[str, Answer] = {}
                for answer in sorted([*answers[query], *ended], key=_order):
                    best.setdefault(answer.string, answer)
                answers[query] = list(best.values())[:beam]
                kept = beam if prompts[query].names is None else len(going_on)
                texts[query] = sorted(going_on, key=_order)[:kept]
                if len(answers[query]) == beam and texts[query]:
                    worst = round(answers[query][-1].log_prob, SCORE_DECIMALS)
                    texts[query] = [
                        one for one in texts[query] if round(one.log_prob, SCORE_DECIMALS) > worst
                    ]
            if length == max_new_tokens:
                is_cut = [bool(left) for left in texts]
                break
            rows = [one for of_query in texts for one in of_query]
            if not rows:
                break
            log_prob_RV = steps.go_on([one.row for one in rows], [one.tokens[-1] for one in rows])
            place = iter(range(len(rows)))
            texts = [[one._replace(row=next(place)) for one in of_query] for of_query in texts]
        return [Written(*one) for one in zip(answers, is_cut, strict=True)]

    def _longer(
        self, texts: Sequence[Sequence[_Text]], log_prob_RV: Tensor, prompts: Sequence[Prompt], beam: int
    ) -> list[tuple[list[_Text], list[Answer]]]:
        """Return for each prompt its texts with one more token, and those that end, as answers."""
        found: list[tuple[list[_Text], list[Answer]]] = [([], []) for _ in texts]
        rows = [(query, one) for query, of_query in enumerate(texts) for one in of_query]
        for ends_with, ends in enumerate(self.ends):
            some = [(query, one) for query, one in rows if one.ends_with == ends_with]
            if not some:
                continue
            row_RV = log_prob_RV[[one.row for _, one in some]]
            # The probability of each way to end: the sum over its tokens.
            ended_RG = torch.zeros(len(some), len(ends.left), dtype=torch.float64, device=self.device)
            of_tokens_RE = row_RV[:, self._there(ends.end_E)].double().exp()
            ended_RG.index_add_(1, self._there(ends.group_E), of_tokens_RE)
            goes_on_RV = row_RV.masked_fill(~self._there(ends.goes_on_V), -torch.inf)
            # Or the text behind the blank begins.
            for place, (query, text) in enumerate(some):
                resumed = prompts[query].resumed
                whole = text.tokens[: len(text.tokens) + 1 - len(resumed)]
                if resumed and text.node is None and (*whole, *resumed[:-1]) == text.tokens:
                    log_prob = text.log_prob + float(row_RV[place, resumed[-1]])
                    found[query][1].append(Answer(whole, first_answer(self._read(whole)), log_prob))
                    goes_on_RV[place, resumed[-1]] = -torch.inf
            ended_RG = ended_RG.log()
            best_end = [one.tolist() for one in ended_RG.topk(min(beam, len(ends.left)))]
            # Twice as many as are kept, for ties.
            best = [one.tolist() for one in goes_on_RV.topk(min(2 * beam, self.vocabulary))]
            for place, (query, text) in enumerate(some):
                going_on, ended = found[query]
                if text.node is None:
                    for log_prob, group in zip(best_end[0][place], best_end[1][place], strict=True):
                        string = first_answer(self._read(text.tokens) + ends.left[group])
                        ended.append(Answer(text.tokens, string, text.log_prob + log_prob))
                    log_probs, tokens = best[0][place], best[1][place]
                else:
                    # What is no name is not written; so a name may hold end signs.
                    if text.node.name:
                        log_prob = text.log_prob + float(ended_RG[place, 0])
                        ended.append(Answer(text.tokens, text.node.name, log_prob))
                        # Behind a digit the next token tells whether a point is the end of the name.
                        over = NameTrie()
                        over.name = text.node.name
                        for token in ends.points:
                            log_prob = text.log_prob + float(row_RV[place, token])
                            longer = (*text.tokens, token)
                            going_on.append(_Text(log_prob, longer, text.row, POINT, over))
                    tokens = list(text.node.below)
                    log_probs = row_RV[place, tokens].tolist()
                for log_prob, token in zip(log_probs, tokens, strict=True):
                    if log_prob > -torch.inf:
                        node = text.node.below[token] if text.node else None
                        ends_next, longer = int(ends.next_V[token]), (*text.tokens, token)
                        log_prob += text.log_prob
                        going_on.append(_Text(log_prob, longer, text.row, ends_next, node))
                        if node and node.over:
                            whole = longer[: len(longer) - len(prompts[query].resumed)]
                            ended.append(Answer(whole, node.over, log_prob))
        return [(going_on, [one for one in ended if one.log_prob > -torch.inf]) for going_on, ended in found]

    def _read(self, tokens: Tokens) -> str:
        return str(self.tokenizer.backend_tokenizer.decode(list(tokens), skip_special_tokens=False))

    # --- forward passes ------------------------------------------------------------------------------------

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def check(self, length: int) -> None:
        """Compare both ways of forwarding on random texts of so many tokens, and decide which is used."""
        self.checked = max(_FEWEST_PROBED, 1 << (length - 1).bit_length())
        length = min(self.checked, self.limit or self.checked)
        drawn = numpy.random.default_rng(0)
        special = {*self.tokenizer.all_special_ids, *self.tokenizer.get_added_vocab().values()}
        usable = [one for one in range(min(self.vocabulary, len(self.tokenizer))) if one not in special]

        def text(size: int) -> Tokens:
            return tuple(drawn.choice(usable, size).tolist())

        # Of unequal length; then two texts go on from the second, whose rows change places.
        sizes = (length - 1, max(1, length // 3))
        prompts = [Prompt(text(size), text(3)) if self.is_pair else Prompt((), text(size)) for size in sizes]
        rows, tokens = [1, 0, 1], text(3)

        def forwarded(steps: _Steps) -> Tensor:
            return torch.cat([steps.begin(), steps.go_on(rows, tokens)])

        expected = forwarded(_OneByOne(self, prompts, exactly=True))
        self.sharing, self.is_shared = TOGETHER, True
        try:
            difference = float((forwarded(_Together(self, prompts, exactly=True)) - expected).abs().max())
            reason = "" if difference <= _LARGEST_DIFFERENCE else f"differ by {difference:.2g} nats"  # or NaN
        # transformers raises what it likes where an architecture cannot do something
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
        if reason:
            self.sharing, self.is_shared = f"{ONE_BY_ONE}: {TOGETHER}, {reason}", False

    def log_probs(self, given: dict[str, Any], *, exactly: bool) -> tuple[Tensor, Any]:
        """Return the log probabilities of the token behind each row, (R, V), and keys and values."""
        low = self.precision == "bf16" and not exactly
        with (
            torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=low),
            quiet_transformers(),
        ):
            found = self.model(**given, **self.only_last)
        logit_RV = found.logits[:, -1, : self.vocabulary].float()
        return logit_RV.log_softmax(-1), getattr(found, "past_key_values", None)

    def _there(self, numbers: Any) -> Tensor:
        return torch.as_tensor(numbers, device=self.device)


class _Steps(Protocol):
    """Forwards prompts, and then some of what was forwarded with one more token each."""

    def begin(self) -> Tensor:
        """Return the log probabilities of what stands behind each prompt, (Q, V)."""

    def go_on(self, rows: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Return those behind some rows of the last call, each with a token, (R, V)."""


class _OneByOne:
    def __init__(self, writer: BlankWriter, prompts: Sequence[Prompt], *, exactly: bool = False) -> None:
        self.writer, self.exactly = writer, exactly
        self.texts = [(one.read, one.written) for one in prompts]

    def begin(self) -> Tensor:
        found = []
        for read, written in self.texts:
            given: dict[str, Any] = {"input_ids": [written]}
            if self.writer.is_pair:
                given = {"input_ids": [read], "decoder_input_ids": [written]}
            there = {name: torch.tensor(ids, device=self.writer.device) for name, ids in given.items()}
            found.append(self.writer.log_probs({**there, "use_cache": False}, exactly=self.exactly)[0])
        return torch.cat(found)

    def go_on(self, rows: Sequence[int], tokens: Sequence[int]) -> Tensor:
        self.texts = [
            (self.texts[row][0], (*self.texts[row][1], token))
            for row, token in zip(rows, tokens, strict=True)
        ]
        return self.begin()


class _Together:
    """The keys and values of all rows are kept; those that go on are chosen among them."""

    def __init__(self, writer: BlankWriter, prompts: Sequence[Prompt], *, exactly: bool = False) -> None:
        self.writer, self.exactly, self.prompts = writer, exactly, prompts

    def begin(self) -> Tensor:
        writer, device = self.writer, self.writer.device
        written = [one.written for one in self.prompts]
        if writer.is_pair:
            assert len({len(one) for one in written}) == 1, "decoders of pairs take no padding"
            longest = max(len(one.read) for one in self.prompts)
            read = [(*one.read, *[0] * (longest - len(one.read))) for one in self.prompts]
            self.mask = torch.tensor([[at < len(one.read) for at in range(longest)] for one in self.prompts])
            self.mask = self.mask.long().to(device)
            low = writer.precision == "bf16" and not self.exactly
            with torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=low):
                encoder = writer.model.get_encoder()
                ids = torch.tensor(read, device=device)
                self.state = encoder(input_ids=ids, attention_mask=self.mask)[0]
            self.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
            return self._forward(written)
        longest = max(map(len, written))
        # The padding is not seen; any token will do.
        padding = [longest - len(one) for one in written]
        self.mask = (
            torch.tensor([[at >= left for at in range(longest)] for left in padding]).long().to(device)
        )
        self.position = (self.mask.cumsum(1) - 1).clamp(min=0)
        self.cache = DynamicCache()
        return self._forward([(*[0] * left, *one) for left, one in zip(padding, written, strict=True)])

    def go_on(self, rows: Sequence[int], tokens: Sequence[int]) -> Tensor:
        index = torch.tensor(rows, device=self.writer.device)
        self.cache.batch_select_indices(index)
        self.mask = self.mask[index]
        if self.writer.is_pair:
            self.state = self.state[index]
        else:
            self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=1)
            self.position = self.position[index, -1:] + 1
        return self._forward([[token] for token in tokens])

    def _forward(self, rows: Sequence[Sequence[int]]) -> Tensor:
        ids = torch.tensor(rows, device=self.writer.device)
        given: dict[str, Any] = {
            "attention_mask": self.mask,
            "past_key_values": self.cache,
            "use_cache": True,
        }
        if self.writer.is_pair:
            state = BaseModelOutput(last_hidden_state=self.state)
            given |= {"decoder_input_ids": ids, "encoder_outputs": state}
        else:
            given["input_ids"] = ids
            if self.writer.takes_positions:
                given["position_ids"] = self.position
        log_prob_RV, self.cache = self.writer.log_probs(given, exactly=self.exactly)
        return log_prob_RV
