"""Measures pseudo-log-likelihoods of sentences against lm-pub-quiz (README.md): speed, memory, the same sums.

Both sides score the same 77 diseases in "DRUG may treat DISEASE." with the same weights, one thread, fp32.
Each measurement is a process of its own; CPU seconds count, since the machine may be shared.
"""

import argparse
import importlib.metadata
import json
import logging
import multiprocessing
import random
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
import transformers
from tables import table, verdict

from kebench.model.checkpoint import load_masked_lm, load_tokenizer
from kebench.model.families import quiet_transformers
from kebench.model.masked_lm import MaskedLM
from kebench.model.masked_ranks import MaskedRanks
from kebench.model.source import resolve_model
from kebench.model.statements import Statement
from kebench.runtime import (
    device_description,
    peak_memory_mib,
    reset_peak_memory,
    software,
    utc_now,
)
from kebench.umls.open.drugs import read_indications

RESULTS = Path(__file__).parent / "results"
SEED = 0
PEER_BATCH = 256
OURS, PEER = "ours", "lm-pub-quiz"
METRICS = {"original": "original", "within-word": "within_word_l2r"}  # its names of what is masked
LARGEST_DIFFERENCE = 1e-3  # nats, of a sum

_log = logging.getLogger("benchmarks.ranked_masked")


class Case(NamedTuple):
    """One comparison: a model, what is masked, how many drugs are asked, how many times as fast to be."""

    model: str
    pll: str
    queries: int
    wanted: float


BASE = "BERT, 12 x 768, fixed random weights"
CASES = {
    "a": Case("bert-tiny", "original", 20, 8.0),
    "b": Case("bert-tiny", "within-word", 20, 8.0),
    "c": Case(BASE, "within-word", 1, 1.8),
}


class Work(NamedTuple):
    """What went through a model. squares: of the texts' lengths; places: those that went through the head."""

    texts: int = 0
    tokens: int = 0
    squares: int = 0
    places: int = 0

    def plus(self, *more: int) -> "Work":
        """Return both together."""
        return Work(*(one + other for one, other in zip(self, more, strict=True)))

    def flops(self, config: Any, *, ends_at_places: bool) -> float:
        """Count operations: 2 a weight and token, 4 D a layer and pair of tokens, the head.

        ends_at_places: behind its attention, the last layer is computed at the places only.
        """
        behind = config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
        layers = config.num_hidden_layers * (3 * config.hidden_size**2 + behind) * self.tokens
        spared = (self.tokens - self.places) * behind if ends_at_places else 0
        attention = 4 * config.num_hidden_layers * config.hidden_size * self.squares
        head = self.places * (config.hidden_size**2 + config.hidden_size * config.vocab_size)
        return 2.0 * (layers - spared + head) + attention


def load(case: Case) -> tuple[Any, Any]:
    """Return a case's model and tokenizer; what is random is drawn with a fixed seed."""
    folder = resolve_model("bert-tiny").folder
    tokenizer = load_tokenizer(folder, split_words=False)
    if case.model == "bert-tiny":
        return load_masked_lm(folder).eval(), tokenizer
    torch.manual_seed(SEED)
    with quiet_transformers():
        config = transformers.BertConfig(vocab_size=len(tokenizer))
        return transformers.BertForMaskedLM(config).eval(), tokenizer


def measure(side: str, case: Case, drugs: list[str], diseases: list[str]) -> dict[str, Any]:
    """Score on one side; return CPU seconds, sums, work, and memory beyond what is loaded."""
    torch.set_num_threads(1)
    model, tokenizer = load(case)
    config, work = model.config, Work()
    if side == OURS:
        ranks = MaskedRanks(MaskedLM(model), tokenizer, pll=case.pll)
        log_probs = ranks.model.log_probs

        def counting(packed: Any, place_P: Any, *asked: Any) -> Any:
            nonlocal work
            for group in packed.groups:
                size = group.num_texts * group.length
                work = work.plus(group.num_texts, size, size * group.length, 0)
            work = work.plus(0, 0, 0, len(place_P))
            return log_probs(packed, place_P, *asked)

        ranks.model.log_probs = counting

        def score(some: list[str]) -> Any:
            statements = [Statement(f"{drug} may treat", ".") for drug in some]
            found = ranks.score_names(statements, diseases, with_before=True, with_after=True)
            return found.before_SN + found.name_SN + found.after_SN

    else:
        import lm_pub_quiz

        def count(_: Any, __: Any, given: dict[str, Any]) -> None:
            nonlocal work
            texts, length = given["input_ids"].shape
            work = work.plus(texts, texts * length, texts * length**2, texts * length)

        model.register_forward_pre_hook(count, with_kwargs=True)
        evaluator = lm_pub_quiz.Evaluator.from_model(
            model, model_type="MLM", tokenizer=tokenizer, device="cpu", pll_metric=METRICS[case.pll]
        )

        def score(some: list[str]) -> Any:
            return [
                evaluator.evaluate_instance(
                    template=f"{drug} may treat [Y].",
                    answers=diseases,
                    reduction="sum",
                    batch_size=PEER_BATCH,
                )
                for drug in some
            ]

    if case.model == "bert-tiny":
        score(drugs[:1])
    work = Work()
    reset_peak_memory("cpu")
    before = peak_memory_mib("cpu")
    started = time.process_time()
    sums = numpy.asarray(score(drugs))
    seconds = time.process_time() - started
    return {
        "seconds": seconds,
        "peak_mib": peak_memory_mib("cpu") - before,
        "sums": sums.tolist(),
        **work._asdict(),
        "flops": work.flops(config, ends_at_places=side == OURS),
    }


def needed(case: Case, drugs: list[str], diseases: list[str]) -> float:
    """Count the operations without which the sums cannot be had, by the definition alone.

    Every distinct masked text is forwarded once and without padding; the head, and the last layer behind
    its attention, are computed at the token asked for.
    """
    model, tokenizer = load(case)
    asked: set[tuple[tuple[int, ...], int]] = set()
    for text in (f"{drug} may treat {disease}." for drug in drugs for disease in diseases):
        encoding = tokenizer(text).encodings[0]
        for place, word in enumerate(encoding.word_ids):
            if word is not None:
                rest = [at for at, other in enumerate(encoding.word_ids) if other == word and at >= place]
                masked = [place] if case.pll == "original" else rest
                ids = (tokenizer.mask_token_id if at in masked else of for at, of in enumerate(encoding.ids))
                asked.add((tuple(ids), place))
    lengths = [len(text) for text in {text for text, _ in asked}]
    work = Work(len(lengths), sum(lengths), sum(length**2 for length in lengths), len(asked))
    return work.flops(model.config, ends_at_places=True)


def compare(case: Case, drugs: list[str], diseases: list[str], *, rounds: int) -> dict[str, Any]:
    """Measure both sides of a case, in turns; the fastest round and the highest peak of each count."""
    runs: dict[str, list[dict[str, Any]]] = {OURS: [], PEER: []}
    for number in range(rounds):
        for side, of_side in runs.items():
            _log.info("%s, %s, round %d of %d: %s", case.model, case.pll, number + 1, rounds, side)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                of_side.append(pool.apply(measure, (side, case, drugs, diseases)))
    sums = [numpy.array(of_side[0]["sums"]) for of_side in runs.values()]
    fastest = {
        side: min(of_side, key=lambda run: float(run["seconds"]))
        | {"peak_mib": max(run["peak_mib"] for run in of_side), "all": [run["seconds"] for run in of_side]}
        for side, of_side in runs.items()
    }
    for run in fastest.values():
        del run["sums"]
    return {
        **case._asdict(), "queries": len(drugs), "names": len(diseases), "sides": fastest,
        "largest_difference": float(numpy.abs(sums[0] - sums[1]).max()),
        "needed_flops": needed(case, drugs, diseases),
    }  # fmt: skip


def markdown(results: dict[str, Any]) -> str:
    """Write the results as tables, with the verdict on every target first."""
    verdicts, speed, operations = [], [], []
    for letter, case in results["cases"].items():
        ours, peer = case["sides"][OURS], case["sides"][PEER]
        ratio, difference = peer["seconds"] / ours["seconds"], case["largest_difference"]
        verdicts += [
            verdict(
                ratio >= case["wanted"], f"({letter}) {ratio:.1f} times as fast; wanted {case['wanted']:g}"
            ),
            verdict(
                difference <= LARGEST_DIFFERENCE,
                f"({letter}) sums differ by at most {difference:.1e} nats; wanted {LARGEST_DIFFERENCE:g}",
            ),
            verdict(
                ours["peak_mib"] <= peer["peak_mib"],
                f"({letter}) {ours['peak_mib']:.0f} MiB beyond what is loaded; wanted at most its "
                f"{peer['peak_mib']:.0f}",
            ),
        ]
        for side, run in case["sides"].items():
            a_query = run["seconds"] / case["queries"]
            speed.append([
                f"({letter}) {case['model']}, {case['pll']}", side, str(case["queries"]), f"{a_query:.2f}",
                f"{peer['seconds'] / run['seconds']:.1f}x", f"{run['peak_mib']:.0f}",
            ])  # fmt: skip
            operations.append([
                f"({letter})", side,
                *(f"{run[of] / case['queries']:,.0f}" for of in ("texts", "tokens", "places")),
                f"{run['flops'] / case['queries'] / 1e9:,.1f}",
                f"{run['flops'] / case['needed_flops']:.2f}",
                f"{run['flops'] / run['seconds'] / 1e9:.0f}",
            ])  # fmt: skip
    about = [
        f"- ({letter}) {case['names']} names; {of['device']}; lm-pub-quiz {of['peer']} at batch "
        f"{PEER_BATCH}; rounds: {of['rounds']}; commit {of['commit']}; {of['started_utc']}"
        for letter, case in results["cases"].items()
        for of in [case["about"]]
    ]
    parts = [
        "# Names ranked by masked models, measured",
        "Written by benchmarks/ranked_masked.py; README.md says what is compared.",
        "\n".join(verdicts),
        table(["model, masked", "side", "queries", "CPU s a query", "speed", "MiB"], speed),
        "## Operations a query",
        table(
            ["case", "side", "texts", "tokens", "head places", "GFLOP", "used / needed", "GFLOP/s"],
            operations,
        ),
        "Needed, the floor: every distinct masked text forwarded once without padding; the head, and the "
        "last layer behind its attention, at the token asked for only; counted from the definition. What the "
        "peer uses of it is the most that can be gained. Operations: 2 a weight and token, 4 TTD a layer for "
        "attention, the head; norms and soft-max are not counted.",
        "One thread, fp32.",
        "\n".join(about),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Run the cases and write results/ranked-masked.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), help="a, b, c; default: all")
    parser.add_argument("--indications", type=Path, required=True, help="PharmacotherapyDB's catalog")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    catalog = read_indications(options.indications)
    name_of = {term.id: term.name for term in catalog.terms}
    may_treat = [triple for triple in catalog.triples if triple.relation == "may_treat"]
    diseases = sorted({name_of[triple.tail] for triple in may_treat})
    drugs = sorted({name_of[triple.head] for triple in may_treat})
    random.Random(SEED).shuffle(drugs)
    path = RESULTS / "ranked-masked.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"cases": {}}
    about = {
        "peer": importlib.metadata.version("lm-pub-quiz"), "rounds": options.rounds,
        "device": device_description("cpu"), **software(),
    }  # fmt: skip
    for letter in options.cases:
        case = CASES[letter]
        begun = about | {"started_utc": utc_now()}
        found = compare(case, drugs[: case.queries], diseases, rounds=options.rounds)
        results["cases"][letter] = found | {"about": begun}
        path.write_text(json.dumps(results, indent=1) + "\n")
        (RESULTS / "ranked-masked.md").write_text(markdown(results))
    sys.stdout.write(markdown(results))


if __name__ == "__main__":
    main()
