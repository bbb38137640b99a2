"""What models write into blanks: beams beside all texts there are, batches beside single prompts, ends."""

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel

from kebench.errors import UserError
from kebench.model.answer_ends import DIGIT, OTHER, POINT, answer_ends, first_answer
from kebench.model.causal_lm import CausalLM
from kebench.model.checkpoint import load_causal_lm, load_lm_tokenizer, load_seq2seq_lm
from kebench.model.prompts import NameTrie, Prompt, Prompts
from kebench.model.seq2seq_lm import Seq2SeqLM
from kebench.model.statements import Statement
from kebench.model.writing import ONE_BY_ONE, TOGETHER, BlankWriter, Written
from tests.tiny_checkpoints import write_tiny_lm

# Ids of a vocabulary so small that all texts can be looked at.
PIECES = ["</s>", "a", "1", ".", ").", "Ġ", "Ċ"]
STATEMENTS = [
    Statement("Propranolol may treat", "."),
    Statement("Aspirin", " is given for pain."),
    Statement("The capital of", "."),
]
NAMES = [("pain", "pain"), ("cancer", "cancer"), ("type 2.5 can", "type 2.5 can"), ("E. coli", "E. coli")]


def small_tokenizer() -> Any:
    tokenizer = Tokenizer(models.BPE(vocab={piece: at for at, piece in enumerate(PIECES)}, merges=[]))
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens(["</s>"])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


class Bigram(torch.nn.Module):
    """A model whose next token hangs on the last one alone. log_prob_VV: by last and next token."""

    def __init__(self, log_prob_VV: torch.Tensor) -> None:
        super().__init__()
        self.log_prob_VV = log_prob_VV
        self.embedding = torch.nn.Embedding(len(log_prob_VV), 1)
        self.lengths: list[int] = []

    def get_input_embeddings(self) -> Any:
        return self.embedding

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: bool = False,
    ) -> Any:
        self.lengths.append(len(input_ids))
        return SimpleNamespace(logits=self.log_prob_VV[input_ids], past_key_values=past_key_values)


def bigram_writer(log_prob_VV: torch.Tensor) -> tuple[BlankWriter, Bigram]:
    model = Bigram(log_prob_VV)
    lm: Any = SimpleNamespace(
        model=model, tokenizer=small_tokenizer(), precision="fp32", device="cpu", limit=None
    )
    return BlankWriter(lm), model


def all_answers(log_prob_VV: numpy.ndarray, start: int, most: int) -> dict[str, float]:
    """Return the log probability of the best way to write each answer, from every text of most + 2 tokens."""
    texts = {0: None, 1: "a", 2: "1", 3: ".", 4: ").", 5: " ", 6: "\n"}
    ways: dict[tuple[tuple[int, ...], str], float] = defaultdict(float)
    for sequence in product(range(len(PIECES)), repeat=most + 2):
        last, log_prob = start, 0.0
        for token in sequence:
            log_prob += log_prob_VV[last, token]
            last = token
        read, ended_at = "", None
        for at, token in enumerate(sequence):
            piece = texts[token]
            if piece is None:
                ended_at = at
            else:
                read += piece
                for place, sign in enumerate(read):
                    is_point = sign == "." and read[:place][-1:] == "1"
                    behind = read[place + 1 : place + 2]
                    if (
                        sign == "\n"
                        or (sign == "." and not is_point)
                        or (is_point and behind not in ("", "1"))
                    ):
                        ended_at = at
                        read = read[:place]
                        break
            if ended_at is not None:
                break
        if ended_at is not None and ended_at <= most:
            if read.endswith("."):  # the text was over behind a point
                read = read[:-1]
            ways[sequence[:ended_at], read.strip()] += math.exp(log_prob)
    found: dict[str, float] = {}
    for (_, string), probability in ways.items():
        found[string] = max(math.log(probability), found.get(string, -math.inf))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_the_best_of_all_texts_there_are(seed: int) -> None:
    torch.manual_seed(seed)
    log_prob_VV = (2 * torch.randn(len(PIECES), len(PIECES))).log_softmax(-1)
    writer, _ = bigram_writer(log_prob_VV)
    expected = all_answers(log_prob_VV.double().numpy(), start=1, most=3)
    (written,) = writer.write([Prompt((), (1,))], beam=400, max_new_tokens=3, batch_tokens=1)
    found = {answer.string: answer.log_prob for answer in written.answers}
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=1e-4)
    assert [answer.log_prob for answer in written.answers] == sorted(found.values(), reverse=True)
    (narrow,) = writer.write([Prompt((), (1,))], beam=30, max_new_tokens=3, batch_tokens=1)
    assert [one.string for one in narrow.answers] == [one.string for one in written.answers[:30]]
    assert {"1.1", "1"} < found.keys()
    assert not any("\n" in string for string in found)


def test_a_model_whose_next_token_is_known_writes_it() -> None:
    """After "a" comes "1", then a point, then either a digit or a space: "a1" ends half of the time."""
    log_prob_VV = torch.full((7, 7), -1e4)
    log_prob_VV[1, 2] = 0.0
    log_prob_VV[2, [3, 6]] = math.log(0.5)
    log_prob_VV[3, [2, 5]] = torch.tensor([0.25, 0.75]).log()
    log_prob_VV[5, 0] = log_prob_VV[6, 0] = log_prob_VV[0, 0] = log_prob_VV[4, 0] = 0.0
    writer, _ = bigram_writer(log_prob_VV)
    (written,) = writer.write([Prompt((), (1,))], beam=2, max_new_tokens=8, batch_tokens=1)
    # "1\n" .5 alone; "1. " .375 is another way to read "1", so the better one stands for both.
    # "1.1\n" .5 x .25 x .5; "1.1. " is less probable
    assert [(one.string, one.tokens) for one in written.answers] == [("1", (2,)), ("1.1", (2, 3, 2))]
    assert [math.exp(one.log_prob) for one in written.answers] == pytest.approx([0.5, 0.0625])
    assert not written.is_cut
    (cut,) = writer.write([Prompt((), (1,))], beam=2, max_new_tokens=2, batch_tokens=1)
    assert cut.answers[0].string == "1"
    assert cut.answers[1].log_prob < -1e3  # "1.1" has three tokens
    assert cut.is_cut


def test_equal_texts_are_in_the_order_of_their_tokens_and_a_search_stops_when_none_can_win() -> None:
    log_prob_VV = torch.full((7, 7), -1e4)
    log_prob_VV[1:3, 1:3] = math.log(0.5)
    log_prob_VV[:, 0] = -0.1
    writer, model = bigram_writer(log_prob_VV.log_softmax(-1))
    (written,) = writer.write([Prompt((), (1,))], beam=3, max_new_tokens=200, batch_tokens=1)
    assert [one.string for one in written.answers] == ["", "a", "1"]
    assert len(model.lengths) < 20


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("hypertension.\nAspirin may", "hypertension"),
        (" gout; pain", "gout"),
        ("type 2 diabetes\n", "type 2 diabetes"),
        ("vitamin B 1.5 and more. Next", "vitamin B 1.5 and more"),
        ("type 2. It is", "type 2"),
        ("type 2.", "type 2"),
        ("E. coli", "E"),
        (".5", ""),
        ("\ngout", ""),
    ],
)
def test_an_answer_is_the_first_line_up_to_its_first_end_sign(text: str, answer: str) -> None:
    assert first_answer(text) == answer


def test_each_token_ends_an_answer_or_does_not_by_what_stands_before_it() -> None:
    tokenizer = small_tokenizer()
    ends = answer_ends(tokenizer, len(PIECES) + 2)  # the model has two rows more
    kinds = {
        name: set(ends[place].end_E.tolist())
        for name, place in zip("odp", (OTHER, DIGIT, POINT), strict=True)
    }
    assert kinds == {"o": {0, 3, 4, 6}, "d": {0, 4, 6}, "p": {0, 1, 3, 4, 5, 6}}  # of PIECES
    assert [place.goes_on_V.nonzero()[0].tolist() for place in ends] == [[1, 2, 5], [1, 2, 3, 5], [2]]
    of_bracket = [place.left[place.group_E[place.end_E.tolist().index(4)]] for place in ends]
    assert of_bracket == [")", ")", ""]  # behind "1." a bracket says that the answer ended before
    assert [ends[DIGIT].next_V[3], ends[POINT].next_V[2], ends[OTHER].next_V[2]] == [POINT, DIGIT, DIGIT]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("writers")
    families = ("llama", "gpt2", "mistral", "bloom", "qwen3", "t5", "bart")
    return {name: write_tiny_lm(root / name, name) for name in families}


def a_writer(folder: Path, family: str) -> tuple[BlankWriter, Prompts]:
    """Return a writer of random weights that are far from uniform."""
    is_pair = family in ("t5", "bart")
    tokenizer = load_lm_tokenizer(folder)
    model = (load_seq2seq_lm if is_pair else load_causal_lm)(folder)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    start = () if is_pair else (tokenizer.convert_tokens_to_ids("<|endoftext|>"),)
    lm = Seq2SeqLM(model, tokenizer) if is_pair else CausalLM(model, tokenizer, start=start)
    return BlankWriter(lm), Prompts(tokenizer, start=start, config=model.config if is_pair else None)


def asked(prompts: Prompts, *, constrained: bool = False) -> list[Prompt]:
    is_pair = prompts.blank_of is not None
    return [
        prompts.prompt(shots, statement, names=NAMES if constrained else None, max_new_tokens=6)
        for statement in STATEMENTS
        for shots in ("", "Gold is a metal. ")
        if is_pair or statement.after == "."
    ]


def same(one: Sequence[Written], other: Sequence[Written]) -> None:
    assert [[answer.string for answer in of.answers] for of in one] == [
        [answer.string for answer in of.answers] for of in other
    ]
    for mine, others in zip(one, other, strict=True):
        assert [answer.log_prob for answer in mine.answers] == pytest.approx(
            [answer.log_prob for answer in others.answers], abs=1e-4
        )


def plain_log_prob(writer: BlankWriter, prompt: Prompt, tokens: Sequence[int], *, ends: Any) -> float:
    """Return the log probability of tokens and of an end behind them, by one forward pass without a cache."""
    written = [*prompt.written, *tokens]
    given = {"input_ids": torch.tensor([prompt.read or written])}
    if prompt.read:
        given["decoder_input_ids"] = torch.tensor([written])
    with torch.inference_mode():
        log_prob_LV = writer.model(**given, use_cache=False).logits[0].log_softmax(-1).double()
    first = len(prompt.written) - 1
    total = sum(float(log_prob_LV[first + at, token]) for at, token in enumerate(tokens))
    return total + float(log_prob_LV[-1, ends].logsumexp(0))


def resumed_log_prob(writer: BlankWriter, prompt: Prompt, tokens: Sequence[int]) -> list[float]:
    """Return the log probability of tokens and of the first word behind the blank, where that is written."""
    if not (resumed := prompt.resumed):
        return []
    return [plain_log_prob(writer, prompt, [*tokens, *resumed[:-1]], ends=[resumed[-1]])]


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "bloom", "qwen3", "t5", "bart"])
def test_answers_have_the_probabilities_of_a_plain_pass_in_any_batch(
    family: str, folders: dict[str, Path]
) -> None:
    writer, maker = a_writer(folders[family], family)
    prompts = asked(maker)
    together = writer.write(prompts, beam=4, max_new_tokens=6, batch_tokens=10**6)
    assert writer.sharing == TOGETHER
    same(together, writer.write(prompts, beam=4, max_new_tokens=6, batch_tokens=1))
    same(together, writer.write(prompts[::-1], beam=4, max_new_tokens=6, batch_tokens=200)[::-1])
    for prompt, written in zip(prompts, together, strict=True):
        assert len(written.answers) == 4
        for answer in written.answers:
            text = writer.tokenizer.backend_tokenizer.decode(list(answer.tokens), skip_special_tokens=False)
            state = DIGIT if text[-1:].isdigit() else POINT if text[-1:] == "." else OTHER
            ends = writer.ends[state]
            ways = [
                plain_log_prob(writer, prompt, answer.tokens, ends=ends.end_E[ends.group_E == group])
                for group, left in enumerate(ends.left)
                if first_answer(text + left) == answer.string
            ]
            ways += resumed_log_prob(writer, prompt, answer.tokens)
            assert min(abs(answer.log_prob - way) for way in ways) < 1e-4


def test_a_way_of_forwarding_that_is_wrong_for_a_model_is_not_used(folders: dict[str, Path]) -> None:
    writer, maker = a_writer(folders["gpt2"], "gpt2")
    expected = writer.write(asked(maker), beam=3, max_new_tokens=5, batch_tokens=10**6)
    writer.takes_positions, writer.checked = False, 0  # GPT-2 counts padding, too, unless told
    found = writer.write(asked(maker), beam=3, max_new_tokens=5, batch_tokens=10**6)
    assert writer.sharing.startswith(f"{ONE_BY_ONE}: {TOGETHER}, differ by")
    same(found, expected)


@pytest.mark.parametrize("family", ["llama", "t5", "bart"])
def test_constrained_answers_are_names_with_the_probability_of_their_tokens_and_an_end(
    family: str, folders: dict[str, Path]
) -> None:
    writer, maker = a_writer(folders[family], family)
    prompts = asked(maker, constrained=True)
    everything = writer.write(prompts, beam=9, max_new_tokens=24, batch_tokens=10**6)
    for best, written in zip(
        writer.write(prompts, beam=2, max_new_tokens=24, batch_tokens=10**6), everything, strict=True
    ):
        assert [one.string for one in best.answers] == [one.string for one in written.answers[:2]]
    for prompt, written in zip(prompts, everything, strict=True):
        assert sorted(answer.string for answer in written.answers) == sorted(name for _, name in NAMES)
        for answer in written.answers:
            read = writer.tokenizer.decode(list(answer.tokens))
            assert read.strip() == answer.string
            ends = writer.ends[OTHER]
            ways = [plain_log_prob(writer, prompt, answer.tokens, ends=ends.end_E[ends.group_E == 0])]
            ways += resumed_log_prob(writer, prompt, answer.tokens)
            assert answer.log_prob == pytest.approx(max(ways), abs=1e-4)
    short = writer.write(prompts[:1], beam=9, max_new_tokens=6, batch_tokens=10**6)[0]
    assert short.is_cut
    assert len(short.answers) < len(NAMES)


def test_an_encoder_decoder_is_asked_in_the_form_of_its_training(folders: dict[str, Path]) -> None:
    statement = Statement("Aspirin", " is given for pain.")
    writer, maker = a_writer(folders["t5"], "t5")
    prompt = maker.prompt("Gold is a metal. ", statement, names=None, max_new_tokens=4)
    decode = writer.tokenizer.decode
    assert decode(prompt.read) == "Gold is a metal. Aspirin<extra_id_0> is given for pain.</s>"
    assert decode(prompt.written) == "<pad><extra_id_0>"
    assert prompt.resumed == ()
    assert writer.tokenizer.convert_tokens_to_ids("<extra_id_1>") in writer.ends[OTHER].end_E
    writer, maker = a_writer(folders["bart"], "bart")
    prompt = maker.prompt("", statement, names=None, max_new_tokens=4)
    assert writer.tokenizer.decode(prompt.read) == "Aspirin<mask> is given for pain.</s>"
    assert writer.tokenizer.decode(prompt.written) == "<pad>Aspirin"
    assert writer.tokenizer.decode(prompt.resumed) == " is"
    assert maker.prompt("", STATEMENTS[0], names=None, max_new_tokens=4).resumed == ()


def test_what_cannot_be_asked_is_told_of_in_one_line(folders: dict[str, Path]) -> None:
    _, maker = a_writer(folders["llama"], "llama")
    with pytest.raises(UserError, match="a causal model does not see what stands behind a blank"):
        maker.prompt("", STATEMENTS[1], names=None, max_new_tokens=4)
    maker.limit = 30
    with pytest.raises(
        UserError, match=r"'Propranolol may treat': 31 tokens with its shots and an answer, and .* 30"
    ):
        maker.prompt("", STATEMENTS[0], names=None, max_new_tokens=11)
    joined = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "▁": 2, "a▁": 3}, merges=[("a", "▁")]))
    joined.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    with pytest.raises(UserError, match="name 'b': this model's tokenizer joins it with what stands beside"):
        Prompts(transformers.PreTrainedTokenizerFast(tokenizer_object=joined), start=(0,)).prompt(
            "", Statement("a", "."), names=[("b", "b")], max_new_tokens=1
        )
    odd = _odd_tokenizer()
    with pytest.raises(UserError, match="it cannot be said which tokens end an answer"):
        answer_ends(odd, 3)
    odd.backend_tokenizer.decoder = None
    with pytest.raises(UserError, match="its tokenizer does not say how tokens are joined to text"):
        answer_ends(odd, 3)


def test_names_with_letters_that_the_vocabulary_lacks_are_not_written() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    prompts = Prompts(
        transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]"), start=(0,)
    )
    names = [("a", "a"), ("a β", "a β"), ("b", "b")]
    prompt = prompts.prompt("", Statement("a", "."), names=names, max_new_tokens=1)
    assert prompt.names is not None
    assert prompt.names.below.keys() == {0, 1}
    assert prompts.unwritable(["a", "a β", "b"]) == ["a β"]


def _odd_tokenizer() -> Any:
    """A tokenizer whose text of one token hangs on the next."""
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "</s>": 2}, unk_token="</s>"))
    tokenizer.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace("ab", "c")])
    tokenizer.add_special_tokens(["</s>"])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


def test_a_name_that_ends_in_a_digit_may_be_over_with_a_point_as_any_other() -> None:
    log_prob_VV = torch.full((7, 7), -1e4)
    log_prob_VV[5, 2], log_prob_VV[5, 1] = math.log(0.8), math.log(0.2)  # behind the space: "1" or "a"
    for name in (1, 2):  # both end by a point, or by </s>
        log_prob_VV[name, 3], log_prob_VV[name, 0] = math.log(0.9), math.log(0.1)
    log_prob_VV[3, 5] = log_prob_VV[3, 0] = math.log(0.5)  # a point behind "1" is an end: no digit follows
    log_prob_VV[0, 0] = log_prob_VV[4, 0] = log_prob_VV[6, 0] = 0.0
    writer, _ = bigram_writer(log_prob_VV)
    names = NameTrie()
    names.add((2,), "1", resumed=())
    names.add((1,), "a", resumed=())
    free, constrained = (
        writer.write([Prompt((), (5,), (), allowed)], beam=2, max_new_tokens=5, batch_tokens=1)[0].answers
        for allowed in (None, names)
    )
    assert [one.string for one in constrained] == ["1", "a"]
    assert [one.log_prob for one in constrained] == pytest.approx([math.log(0.72), math.log(0.2)])
    assert [(one.string, one.log_prob) for one in free] == [(one.string, one.log_prob) for one in constrained]
