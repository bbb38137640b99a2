"""The language models of the miniature: a WordPiece vocabulary and a small BERT, both trained on its corpus.

`bert-mini` is pretrained by masked language modelling (BERT, section 3.1, task 1); `bert-mini-random` has the
same vocabulary and architecture and no pretraining, the floor that pretraining must beat.
"""

import json
import math
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

from kebench.model.families import quiet_transformers
from kebench.model.optimizer import Part, Trainer
from kebench.progress import progress

# B batch, T tokens, P masked positions, V vocabulary
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, CLS, SEP, MASK = 0, 2, 3, 4
VOCABULARY_SIZE = 3000  # ours; about what 120,000 words fill with pieces seen more than once


class Pretraining(NamedTuple):
    """How the masked language model is trained. All numbers are ours: some 70 seconds on one core.

    800 batches of 64 at 2e-3 take 50 seconds and leave the loss at 3.6, not 2.3.
    """

    steps: int = 2400
    batch_size: int = 32
    tokens: int = 64
    learning_rate: float = 1e-3
    warmup: float = 0.1
    weight_decay: float = 0.01
    masked: float = 0.25  # BERT, section 3.1, has 0.15; more learns faster in so few steps
    threads: int = 1  # more do not help a model this small, and would change its last digits


def write_model(
    corpus: Path, folder: Path, *, seed: int, pretrain: bool = True, how: Pretraining | None = None
) -> None:
    """Train vocabulary and model on a corpus file and save both in a folder that exists.

    pretrain: False leaves the weights as they were drawn.
    """
    how = how or Pretraining()
    texts = [f"{d['title']} {d['abstract']}" for d in map(json.loads, corpus.open(encoding="utf-8"))]
    tokenizer = train_vocabulary(texts)
    with _threads(how.threads):
        model = new_model(tokenizer.get_vocab_size(), seed=seed)
        if pretrain:
            train_masked_language_model(model, encode_sentences(texts, tokenizer, how.tokens), how, seed=seed)
    fast = BertTokenizerFast(tokenizer_object=tokenizer, do_lower_case=True, model_max_length=512)
    with quiet_transformers():
        model.eval().save_pretrained(folder)
        fast.save_pretrained(folder)


def train_vocabulary(texts: list[str], size: int = VOCABULARY_SIZE) -> Tokenizer:
    """Return an uncased WordPiece tokenizer trained on texts; the same texts give the same pieces.

    The trainer numbers the pieces "##a", "##b" ... in the order of a hash table and breaks ties between
    equally frequent pairs by these numbers. Given to it as special tokens they have their numbers already;
    the tokenizer that is returned is built anew, without them being special.
    """
    learner = _uncased_tokenizer({})
    alphabet = sorted({character for text in texts for character in learner.normalizer.normalize_str(text)})
    inner = [f"##{character}" for character in alphabet if not character.isspace()]
    learner.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(
            vocab_size=size, special_tokens=[*SPECIAL_TOKENS, *inner], show_progress=False
        ),
    )
    tokenizer = _uncased_tokenizer(learner.get_vocab())
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    return tokenizer


def _uncased_tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def new_model(vocabulary_size: int, *, seed: int) -> BertForMaskedLM:
    """Return a BERT with drawn weights: 2 layers of 128, 4 heads, the prediction head included."""
    configuration = BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=512,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        initializer_range=0.08,  # ours; with BERT's 0.02 a width of 128 learns nothing in this time
        pad_token_id=PAD,
    )
    with torch.random.fork_rng(devices=[]):  # drawing weights has no generator argument
        torch.manual_seed(seed)
        return BertForMaskedLM(configuration)


def encode_sentences(texts: list[str], tokenizer: Tokenizer, tokens: int) -> list[list[int]]:
    """Return every sentence of the texts as [CLS] ... [SEP], cut at so many tokens.

    Sentences and not blocks of running text, because the tasks are made of sentences: a small model that
    always starts at a sentence's first word learns far faster what stands where.
    """
    sentences = [sentence for text in texts for sentence in _SENTENCE_END.split(text)]
    encodings = tokenizer.encode_batch(sentences, add_special_tokens=False)
    return [[CLS, *encoding.ids[: tokens - 2], SEP] for encoding in encodings]


_SENTENCE_END = re.compile(r"(?<=[.?]) (?=[^a-z])")  # not before a small letter: H. pylori


def train_masked_language_model(
    model: BertForMaskedLM, sentences: list[list[int]], how: Pretraining, *, seed: int
) -> list[float]:
    """Train the model in place; return the loss of every step."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=how.learning_rate, weight_decay=how.weight_decay, betas=(0.9, 0.98)
    )
    alone = SimpleNamespace(  # not accelerate: whoever runs the model is still to set that up
        device=torch.device("cpu"), num_processes=1, process_index=0, prepare_model=lambda model: model,
        backward=Tensor.backward, reduce=lambda loss, reduction: loss,
    )  # fmt: skip
    warmup = max(1, round(how.steps * how.warmup))

    def rate(step: int) -> float:  # linear warm-up, then a cosine to zero
        falling = 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, how.steps - warmup)))
        return how.learning_rate * ((step + 1) / warmup if step < warmup else falling)

    def losses_of(parts: list[Part]) -> Iterator[Tensor]:
        for batch, _ in parts:
            longest = max(map(len, batch))
            token_BT = torch.tensor([sentence + [PAD] * (longest - len(sentence)) for sentence in batch])
            input_BT, is_masked_BT = mask_tokens(
                token_BT, share=how.masked, vocabulary_size=model.config.vocab_size, generator=generator
            )
            output = model.bert(input_BT, attention_mask=(token_BT != PAD).long())
            score_PV = model.cls(output.last_hidden_state[is_masked_BT])  # only these places are predicted
            yield torch.nn.functional.cross_entropy(score_PV, token_BT[is_masked_BT])

    trainer = Trainer(
        model, optimizer, rate, max_grad_norm=1.0, accelerator=alone, micro_batch=how.batch_size
    )
    model.eval()  # without dropout: it costs a third of the time, and the corpus is read only a few times
    losses: list[float] = []
    with progress("bert-mini", total=how.steps, unit="steps") as advance:
        for batch in _batches(sentences, how, random.Random(seed)):
            losses.append(float(trainer.update(batch, losses_of).losses))
            advance(1)
    return losses


def _batches(sentences: list[list[int]], how: Pretraining, rng: random.Random) -> Iterator[list[list[int]]]:
    """Yield `how.steps` batches of sentences of like length, every sentence once an epoch."""
    batches: list[list[list[int]]] = []
    for _ in range(how.steps):
        if not batches:
            order = sorted(rng.sample(sentences, len(sentences)), key=len)  # stable: ties stay shuffled
            starts = range(0, len(order), how.batch_size)
            batches = [order[start : start + how.batch_size] for start in starts]
            rng.shuffle(batches)
        yield batches.pop()


def mask_tokens(
    token_BT: Tensor, *, share: float, vocabulary_size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the masked input and where it is masked: 80 % [MASK], 10 % random, 10 % kept (BERT, 3.1)."""
    draw_BT = torch.rand(token_BT.shape, generator=generator)
    is_masked_BT = (draw_BT < share) & (token_BT >= len(SPECIAL_TOKENS))
    kind_BT = torch.rand(token_BT.shape, generator=generator)
    random_BT = torch.randint(len(SPECIAL_TOKENS), vocabulary_size, token_BT.shape, generator=generator)
    input_BT = torch.where(is_masked_BT & (kind_BT < 0.8), MASK, token_BT)
    return torch.where(is_masked_BT & (kind_BT >= 0.9), random_BT, input_BT), is_masked_BT


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Use so many threads inside the block: sums are then made in the same order on every run."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
