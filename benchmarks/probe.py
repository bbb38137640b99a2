"""Measures kebench's decoding of blanks against the algorithm released with KeBioLM (README.md).

Both decode the same queries with the same model in one process on the CPU, in fp32, and must give the same
strings. The peer is benchmarks/released_probe.py; ours is what `kebench probe run --mode released` calls.
"""

import argparse
import copy
import json
import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from floor import matrix_peak
from probe_page import markdown
from released_probe import decode_as_released

from kebench.model.checkpoint import load_encoder, load_masked_lm, load_tokenizer
from kebench.model.families import quiet_transformers
from kebench.model.masked_lm import MaskedLM
from kebench.model.source import resolve_model
from kebench.probe.answers import decode
from kebench.probe.plan import read_decoder
from kebench.probe.query_set import QuerySet
from kebench.probe.record import Decoder, ProbeSubset
from kebench.probe.states import ModelPredict, make_items, pieces_of
from kebench.probe.stored import asked_queries
from kebench.runtime import device_description, software, utc_now

RESULTS = Path(__file__).parent / "results"
SEED = 0
VOCABULARY = "minilm"  # whose tokenizer the model of random weights takes

_log = logging.getLogger("benchmarks.probe")


class Case(NamedTuple):
    """One comparison: a model, how many queries, and how many times as fast ours is to be."""

    model: str
    queries: int
    wanted: float


CASES = {
    "a": Case("bert-tiny", 200, 6.0),
    "b": Case("BERT-base, fixed random weights", 10, 3.0),
    "c": Case("minilm, fixed random head", 40, 4.0),
}


class Model(NamedTuple):
    """A masked language model with its tokenizer and the sizes that its cost follows from.

    whole: what the peer calls; packing: a copy of it for us, since `MaskedLM` changes what it is given.
    """

    whole: Any
    packing: MaskedLM
    tokenizer: Any

    @classmethod
    def of(cls, whole: Any, tokenizer: Any) -> "Model":
        """Return a model for both sides."""
        return cls(whole.eval(), MaskedLM(copy.deepcopy(whole)), tokenizer)

    def flops(self, *, tokens: float, squares: float, places: float, ends_at_places: bool = False) -> float:
        """Count what a forward pass costs: 2 a weight and word piece, 4TTD a layer for attention, the head.

        tokens: word pieces; squares: sum of the squared lengths; places: states that go through the head.
        ends_at_places: behind its attention, the last layer is computed at these places only.
        """
        c = self.whole.config
        behind_attention = c.hidden_size**2 + 2 * c.hidden_size * c.intermediate_size
        layer = 3 * c.hidden_size**2 + behind_attention
        spared = (tokens - places) * behind_attention if ends_at_places else 0.0
        encoder = 2.0 * (c.num_hidden_layers * layer * tokens - spared)
        attention = 4.0 * c.num_hidden_layers * c.hidden_size * squares
        return encoder + attention + 2.0 * places * (c.hidden_size**2 + c.hidden_size * c.vocab_size)


def make_model(case: str) -> Model:
    """Load or make the model of a case; what is random is drawn with a fixed seed."""
    folder = resolve_model("bert-tiny" if case == "a" else VOCABULARY).folder
    tokenizer = load_tokenizer(folder, split_words=False)
    if case == "a":
        return Model.of(load_masked_lm(folder), tokenizer)
    torch.manual_seed(SEED)
    with quiet_transformers():
        if case == "b":
            whole = transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=len(tokenizer)))
        else:
            encoder = load_encoder(folder)
            whole = transformers.BertForMaskedLM(encoder.config)
            whole.bert.load_state_dict(encoder.state_dict(), strict=False)
    return Model.of(whole, tokenizer)


def ours(texts: list[str], model: Model, decoder: Decoder) -> dict[str, Any]:
    """Decode as `answer_queries` does; return seconds, strings, and what was forwarded."""
    started = time.perf_counter()
    pieces = pieces_of(texts, model.tokenizer, cut_at=decoder.max_tokens)
    asked = [place for place, found in enumerate(pieces) if found]
    items = make_items(
        [found for found in pieces if found],
        max_masks=decoder.max_masks,
        max_tokens=decoder.max_tokens,
        mask_id=model.tokenizer.mask_token_id,
        cut=decoder.exact,
        device="cpu",
    )
    banned = () if decoder.special_tokens else model.tokenizer.all_special_ids
    num_best = decoder.beam if decoder.exact else 2 * decoder.beam
    predict = ModelPredict(model.packing, items, num_best=num_best, banned=banned)
    with torch.inference_mode():
        beams = decode(predict, items.num_places_N, decoder)
    strings: list[list[str]] = [[] if found else [""] * decoder.beam for found in pieces]
    for query, states in zip(items.query_N, beams.token_NBM.tolist(), strict=True):
        for tokens in states:
            answer = [token for token in tokens if token >= 0]
            strings[asked[query]].append(
                model.tokenizer.decode(answer, skip_special_tokens=True, clean_up_tokenization_spaces=True)
            )
    seconds = time.perf_counter() - started
    work = predict.work
    flops = model.flops(tokens=work.tokens, squares=work.squares, places=work.places, ends_at_places=True)
    return {"seconds": seconds, "strings": strings, "states": work.states, "flops": flops}


def peer(texts: list[str], model: Model, decoder: Decoder) -> dict[str, Any]:
    """Do the same by the released algorithm."""
    started = time.perf_counter()
    found = decode_as_released(
        texts, model.whole, model.tokenizer, beam=decoder.beam, max_masks=decoder.max_masks
    )
    seconds = time.perf_counter() - started
    flops = model.flops(tokens=found.tokens, squares=found.squares, places=found.tokens)
    return {"seconds": seconds, "strings": found.strings, "states": found.states, "flops": flops}


def needed(texts: list[str], model: Model, decoder: Decoder) -> dict[str, Any]:
    """Count what the released answers need: every distinct text with open blanks once, read only there.

    The count comes from the peer's states alone, and knows nothing of what ours does.
    """
    asked: dict[tuple[int, ...], int] = {}
    decode_as_released(
        texts, model.whole, model.tokenizer, beam=decoder.beam, max_masks=decoder.max_masks, asked=asked
    )
    flops = model.flops(
        tokens=sum(map(len, asked)),
        squares=sum(len(ids) ** 2 for ids in asked),
        places=sum(asked.values()),
        ends_at_places=True,
    )
    return {"states": len(asked), "flops": flops}


def compare(case: str, texts: list[str], rounds: int) -> dict[str, Any]:
    """Run both on a case, in turns; the fastest round of each counts."""
    model, decoder = make_model(case), read_decoder("released")
    ours(texts[:5], model, decoder)
    peer(texts[:1], model, decoder)
    runs, peers = [], []
    for number in range(rounds):
        _log.info("%s, round %d of %d: ours, then the released algorithm", case, number + 1, rounds)
        runs.append(ours(texts, model, decoder))
        peers.append(peer(texts, model, decoder))
    fastest, released = (min(found, key=lambda run: run["seconds"]) for found in (runs, peers))
    fixed = ours(texts, model, read_decoder("fixed", max_tokens=model.tokenizer.model_max_length))
    pairs = zip(fastest.pop("strings"), released.pop("strings"), strict=True)
    same = sum(sorted(one) == sorted(other) for one, other in pairs)
    fixed.pop("strings")
    return {
        **CASES[case]._asdict(),
        "queries": len(texts),
        "ours": fastest,
        "all_seconds": [run["seconds"] for run in runs],
        "released_seconds": [run["seconds"] for run in peers],
        "needed": needed(texts, model, decoder),
        "released": released,
        "fixed": fixed,
        "same_answers": same,
        "peak_flops_per_second": matrix_peak(),
    }


def sample(query_set: QuerySet, count: int) -> list[str]:
    """Return the texts of so many queries, drawn with a fixed seed."""
    subset = ProbeSubset(queries=count, seed=SEED)
    texts: list[str] = asked_queries(query_set.table(["query_id", "text"]), subset)["text"].to_pylist()
    return texts


def main() -> None:
    """Run the cases and write results/probe.json and probe.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), help="a, b, c; default: all")
    parser.add_argument("--set", type=Path, required=True, help="a query set, as 'kebench probe build' makes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    query_set = QuerySet.open(options.set)
    path = RESULTS / "probe.json"
    results = json.loads(path.read_text()) if path.exists() and set(options.cases) != set(CASES) else {}
    for case in options.cases:
        texts = sample(query_set, CASES[case].queries)
        about = {
            "set": {"name": query_set.manifest.name, "queries": len(query_set)},
            "machine": {"device": device_description("cpu")} | software(),
            "started_utc": utc_now(),
        }
        results.setdefault("cases", {})[case] = compare(case, texts, options.rounds) | about
        path.write_text(json.dumps(results, indent=1) + "\n")
        (RESULTS / "probe.md").write_text(markdown(results))
    print(markdown(results))


if __name__ == "__main__":
    main()
