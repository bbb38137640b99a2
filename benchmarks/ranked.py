"""Measures how causal models score names in statements: ours, lm-pub-quiz, plain batches (README.md).

Every measurement is a process of its own with one thread, which loads the model, asks one query to warm up,
and times the others; the sums must be the same. The floor is counted: each token behind one beginning once.
"""

import argparse
import csv
import itertools
import json
import logging
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
import transformers
from floor import matrix_peak
from ranked_page import markdown

from kebench.model.causal_lm import CausalLM
from kebench.model.families import quiet_transformers
from kebench.model.shared_prefixes import Costs, Sequences, plan_tries
from kebench.model.spans import encode_spans
from kebench.model.statements import Statement
from kebench.runtime import device_description, peak_memory_mib, reset_peak_memory, software, utc_now

RESULTS = Path(__file__).parent / "results"
NAMES, SHOTS, BATCH = 77, 4, 32
OURS, PLAIN, PEER, PEER_ALONE = "ours", "plain batches of 32", "lm-pub-quiz, batch 32", "lm-pub-quiz, batch 1"
# Made up, in the form of the names of diseases and drugs.
KINDS = (
    "acute", "chronic", "familial", "juvenile", "secondary", "atypical", "recurrent", "congenital", "severe",
    "mixed",
)  # fmt: skip
SITES = (
    "gastritis", "neuropathy", "dermatosis", "bronchial fibrosis", "anemia", "renal dystrophy", "otitis",
    "uveitis",
)  # fmt: skip
DRUGS = (
    "Amoprolol", "Betrazine", "Cortimide", "Dalsartan", "Efluvastatin", "Fenotidine", "Glibromide", "Hydrafen"
)  # fmt: skip

_log = logging.getLogger("benchmarks.ranked")


class Question(NamedTuple):
    """Statements of one relation, with a blank in each that any of the names may fill.

    templates: the same for lm-pub-quiz, with [Y] for the blank.
    """

    statements: list[Statement]
    templates: list[str]
    names: list[str]


class Case(NamedTuple):
    """A comparison. wanted: how many times as fast as each variant ours is to be, or has fewer tokens."""

    title: str
    queries: int
    with_sides: bool
    wanted: dict[str, float]


CASES = {
    "a": Case(f"blank at the end, {NAMES} names", 4, True, {PEER: 5.0, PEER_ALONE: 15.0}),
    "b": Case(f"blank at the end, {NAMES} names, {SHOTS} shots", 3, False, {PLAIN: 12.0}),
    "c": Case("BEAR, template 0, 15 relations", 4, True, {PEER: 3.5}),
    "d": Case(f"blank at the start, {NAMES} names, tokens", 50, False, {PLAIN: 3.0}),
}
FEWER = {PEER: 2, PEER_ALONE: 1, PLAIN: 1}  # queries of a relation, of the slower sides: they take minutes


def read_questions(case: str, options: argparse.Namespace) -> list[Question]:
    """Return what a case asks, and last a question of one query to warm up."""
    number = CASES[case].queries
    if case == "c":
        return read_bear(options.bear, number)
    drugs, diseases = (list(DRUGS), [f"{kind} {site}" for site in SITES for kind in KINDS])
    shots = [f"{drug} may treat {disease}." for drug, disease in zip(drugs, diseases[-4:], strict=False)]
    if options.indications:
        with (options.indications / "indications.tsv").open(encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file, delimiter="\t") if row["category"] == "DM"]
        drugs, diseases = (sorted({row[field] for row in rows}) for field in ("drug", "disease"))
        drugs = drugs[:: len(drugs) // (CASES["d"].queries + 1)]
        shots = [f"{row['drug']} may treat {row['disease']}." for row in rows[:: len(rows) // SHOTS]]
    before = "\n".join([*shots[:SHOTS], ""]) if case == "b" else ""
    names, asked = diseases[:NAMES], (drugs * number)[: number + 1]
    if case == "d":
        names = [name[0].upper() + name[1:] for name in names]
        statements = [Statement("", f" may be treated by {drug}.") for drug in asked]
    else:
        statements = [Statement(f"{before}{drug} may treat", ".") for drug in asked]
    templates = [f"{drug} may treat [Y]." for drug in asked]
    return [
        Question(statements[:number], templates[:number], names),
        Question(statements[number:], templates[number:], names),
    ]


def read_bear(archive: Path, number: int) -> list[Question]:
    """Return the first instances of 15 relations of BEAR, and of a 16th to warm up."""
    found = []
    with tarfile.open(archive) as files:
        relations = json.load(files.extractfile("BEAR/metadata_relations.json"))  # type: ignore[arg-type]
        for code in list(relations)[:16]:
            lines = files.extractfile(f"BEAR/{code}.jsonl").read().decode().splitlines()  # type: ignore[union-attr]
            template, names = relations[code]["templates"][0], relations[code]["answer_space_labels"]
            texts = [template.replace("[X]", json.loads(line)["sub_label"]) for line in lines[:number]]
            texts = [text[0].upper() + text[1:] for text in texts]
            parts = [text.split(" [Y]") for text in texts]
            found.append(Question([Statement(*part) for part in parts], texts, names))
    return found


# --- one measurement ---------------------------------------------------------------------------------------


class Loaded(NamedTuple):
    """A model, its tokenizer, and the id of its start token."""

    model: Any
    tokenizer: Any
    start: int


def load(options: argparse.Namespace) -> Loaded:
    with quiet_transformers():
        model = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
    tokenizer.bos_token = options.start  # which lm-pub-quiz prepends
    return Loaded(model, tokenizer, tokenizer.convert_tokens_to_ids(options.start))


def texts_of(
    lm: CausalLM, question: Question, *, with_sides: bool, blank_first: bool
) -> tuple[list[Any], list[int]]:
    """Return the tokens of each text, and from where on they are asked for.

    The whole text with its sides; else the name alone, or where the blank stands first what follows it.
    """
    spans = encode_spans(
        lm.tokenizer, question.statements, question.names, max_tokens=None, special_tokens=False
    )
    texts, first = [], []
    for text, (low, high) in enumerate(itertools.pairwise(spans.bound_X)):
        end = high if with_sides or blank_first else low + spans.end_X[text]
        texts.append(numpy.array([*lm.start, *spans.token_T[low:end]]))
        asked = 0 if with_sides else (spans.end_X if blank_first else spans.start_X)[text]
        first.append(1 + int(asked))
    return texts, first


def ask_ours(loaded: Loaded, case: str) -> Callable[[Question], list[float]]:
    """Return a function that gives the sums of a question's texts, statement by statement."""
    lm = CausalLM(loaded.model, loaded.tokenizer, start=(loaded.start,))
    lm.check_sharing(256, 512)  # as long as any text and row here

    def ask(question: Question) -> list[float]:
        sides, blank_first = CASES[case].with_sides, case == "d"
        scores = lm.score_names(
            question.statements, question.names, with_before=sides, with_after=sides or blank_first
        )
        if sides:
            return (scores.before_SN + scores.name_SN + scores.after_SN).ravel().tolist()
        return (scores.after_SN if blank_first else scores.name_SN).ravel().tolist()

    return ask


def ask_plainly(loaded: Loaded, case: str) -> Callable[[Question], list[float]]:
    """The same by padded batches of 32 texts of about one length, the head where a token is asked for."""
    lm = CausalLM(loaded.model, loaded.tokenizer, start=(loaded.start,))  # only its tokens are used
    model = loaded.model

    @torch.inference_mode()
    def ask(question: Question) -> list[float]:
        texts, firsts = texts_of(lm, question, with_sides=CASES[case].with_sides, blank_first=case == "d")
        order, sums = sorted(range(len(texts)), key=lambda place: len(texts[place])), [0.0] * len(texts)
        for low in range(0, len(texts), BATCH):
            batch = order[low : low + BATCH]
            rows = [torch.tensor(texts[place]) for place in batch]
            token_BT = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            lengths = torch.tensor([[len(row)] for row in rows])
            mask_BT = (torch.arange(token_BT.shape[1]) < lengths).long()
            hidden_BTH = model.base_model(input_ids=token_BT, attention_mask=mask_BT, use_cache=False)[0]
            for place, row, hidden_TH in zip(batch, rows, hidden_BTH, strict=True):
                first = firsts[place]
                log_prob = model.get_output_embeddings()(hidden_TH[first - 1 : len(row) - 1]).log_softmax(-1)
                sums[place] = float(log_prob.gather(1, row[first:, None]).sum())
        return sums

    return ask


def ask_peer(loaded: Loaded, case: str, *, batch_size: int) -> Callable[[Question], list[float]]:
    """The same by lm-pub-quiz."""
    from lm_pub_quiz.evaluators.pll_evaluators import Evaluator

    evaluator = Evaluator.from_model(loaded.model, model_type="CLM", tokenizer=loaded.tokenizer, device="cpu")

    def ask(question: Question) -> list[float]:
        return [
            score
            for template in question.templates
            for score in evaluator.evaluate_instance(
                template=template, answers=question.names, reduction="sum", batch_size=batch_size
            )
        ]

    return ask


VARIANTS: dict[str, Callable[[Loaded, str], Callable[[Question], list[float]]]] = {
    OURS: ask_ours,
    PLAIN: ask_plainly,
    PEER: lambda loaded, case: ask_peer(loaded, case, batch_size=BATCH),
    PEER_ALONE: lambda loaded, case: ask_peer(loaded, case, batch_size=1),
}


def work(case: str, variant: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one variant in this process: seconds of CPU and by the clock a query, peak memory, sums."""
    torch.set_num_threads(1)
    *questions, warm_up = read_questions(case, options)
    limit = 6 if case == "d" else FEWER.get(variant, 10**6)
    questions = [Question(one.statements[:limit], one.templates[:limit], one.names) for one in questions]
    ask = VARIANTS[variant](load(options), case)
    ask(warm_up if variant == OURS else warm_up._replace(names=warm_up.names[:8]))
    reset_peak_memory("cpu")
    cpu, wall = time.process_time(), time.perf_counter()
    sums = [ask(question) for question in questions]
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    queries = sum(len(question.statements) for question in questions)
    return {
        "queries": queries,
        "cpu_seconds": cpu / queries,
        "wall_seconds": wall / queries,
        "peak_mib": peak_memory_mib("cpu"),
        "sums": sums,
    }


def count(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """Count tokens and operations a query: of ours, at the least, and of texts one by one."""
    loaded = load(options)
    lm = CausalLM(loaded.model, loaded.tokenizer, start=(loaded.start,))
    config, sides = lm.config, CASES[case].with_sides
    embeddings = loaded.model.get_input_embeddings().weight.numel()
    body = 2 * (sum(one.numel() for one in loaded.model.parameters()) - embeddings)
    totals = dict.fromkeys(("plain_tokens", "tokens", "needed_tokens", "heads", "flops", "needed_flops"), 0.0)
    *questions, _ = read_questions(case, options)
    for question in questions:
        sequences = Sequences(*texts_of(lm, question, with_sides=sides, blank_first=case == "d"))
        totals["plain_tokens"] += int(sequences.size_B.sum())
        ours = plan_tries(sequences, most_tokens=lm.most_tokens, costs=lm.costs, may_cache=True)
        least = plan_tries(sequences, most_tokens=10**9, costs=Costs(0, 0), may_cache=False)
        for kind, groups in (("", ours), ("needed_", least)):
            for one in (one for group in groups for one in (group.prefix, *group.passes) if one):
                heads = len(numpy.unique(one.reads.state_Q))
                totals[f"{kind}tokens"] += one.token_RL.size
                # in each layer a token attends to its ancestors, 4 operations a number of its state
                attention = (
                    4
                    * config.hidden_size
                    * config.num_hidden_layers
                    * int(one.position_RL.sum() + one.token_RL.size)
                )
                totals[f"{kind}flops"] += body * one.token_RL.size + attention + 2 * embeddings * heads
                totals["heads"] += heads if kind else 0
    queries = sum(len(question.statements) for question in questions)
    return {name: total / queries for name, total in totals.items()} | {
        "peak_flops_per_second": matrix_peak()
    }


# --- all of them -------------------------------------------------------------------------------------------


def run(case: str, variant: str, passed: list[str]) -> dict[str, Any]:
    """Measure in a process of its own."""
    _log.info("(%s) %s", case, variant)
    command = [sys.executable, __file__, case, "--work", variant, *passed]
    one_thread = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    finished = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | one_thread
    )
    if finished.returncode:
        sys.exit(f"a measurement failed: {command}\n{finished.stderr}")
    found: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return found


def compare(case: str, rounds: int, passed: list[str]) -> dict[str, Any]:
    """Measure the variants of a case in turns; each one's fastest round and its highest peak count."""
    variants = (OURS, *CASES[case].wanted)
    measured: dict[str, list[dict[str, Any]]] = {variant: [] for variant in variants}
    for number in range(rounds):
        for variant in variants:
            if number and variant in FEWER:  # slow and even: once is enough
                continue
            measured[variant].append(run(case, variant, passed))
    sums = {variant: runs[0]["sums"] for variant, runs in measured.items()}
    found = {}
    for variant, runs in measured.items():
        best = min(runs, key=lambda one: one["cpu_seconds"])
        largest = max(
            abs(one - other)
            for ours, theirs in zip(sums[OURS], sums[variant], strict=True)
            for one, other in zip(ours, theirs, strict=False)  # some variants are asked less
        )
        found[variant] = {name: best[name] for name in ("queries", "cpu_seconds", "wall_seconds")} | {
            "peak_mib": max(one["peak_mib"] for one in runs),
            "largest_difference": largest,
            "all_cpu_seconds": [one["cpu_seconds"] for one in runs],
        }
    return {**CASES[case]._asdict(), "variants": found, "counts": run(case, "count", passed)}


def main() -> None:
    """Run the cases and write results/ranked.json and ranked.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), help="a, b, c, d; default: all")
    parser.add_argument("--model", type=Path, required=True, help="a causal model's folder")
    parser.add_argument("--start", default="<|endoftext|>", help="the token that stands before every text")
    parser.add_argument(
        "--indications", type=Path, help="the folder of PharmacotherapyDB; else names are made up"
    )
    parser.add_argument("--bear", type=Path, help="BEAR.tar.gz, for case c")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.work:
        case = options.cases[0]
        print(
            json.dumps(count(case, options) if options.work == "count" else work(case, options.work, options))
        )
        return
    passed = ["--model", str(options.model), "--start", options.start]
    for name in ("indications", "bear"):
        passed += [f"--{name}", str(getattr(options, name))] if getattr(options, name) else []
    path = RESULTS / "ranked.json"
    results = json.loads(path.read_text()) if path.exists() and set(options.cases) != set(CASES) else {}
    for case in options.cases:
        if case == "c" and not options.bear:
            _log.info("(c) is left out: it needs --bear")
            continue
        about = {
            "model": options.model.name,
            "names": "PharmacotherapyDB"
            if options.indications and case != "c"
            else "BEAR"
            if case == "c"
            else "made up",
            "machine": {"device": device_description("cpu").partition(",")[0]} | software(),
            "started_utc": utc_now(),
        }
        results.setdefault("cases", {})[case] = compare(case, options.rounds, passed) | about
        results["cases"] = dict(sorted(results["cases"].items()))
        path.write_text(json.dumps(results, indent=1) + "\n")
        (RESULTS / "ranked.md").write_text(markdown(results))
    print(markdown(results))


if __name__ == "__main__":
    main()
