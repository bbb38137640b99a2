"""Measures kebench's fine-tuning against Hugging Face's Trainer: speed, memory, and scores (README.md).

Every training runs in a process of its own, one after another, in interleaved rounds, so that each
peak of memory is one variant's and a slow minute of the machine meets all. fp32 on the CPU.
"""

# B batch, T word pieces, D hidden, L layers, I intermediate

import argparse
import itertools
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kebench.finetune.encode import Encoded, choose_rows
from kebench.model.source import resolve_model
from kebench.records import Settings
from kebench.tasks.card import default_data_folder, read_task_card
from kebench.tasks.readers import Sentence, read_split

TASK = "ncbi-disease"
RESULTS = Path(__file__).parent / "results"
SUBSET_SEED = 0  # of the training rows' hash order
PADDED_LENGTH = 512  # the released KeBioLM code pads every sentence to its maximum length
EPOCHS_TIMED = 2  # the first warms up, the second is measured
IGNORED = -100  # the label that transformers' loss leaves out
DECIMALS = 3

OURS, PADDED, PLAIN, GROUPED = "ours", "ours padded to 512", "Trainer", "Trainer, grouped by length"
VARIANTS = (OURS, PADDED, PLAIN, GROUPED)

# (variant measured against, how many times its speed is to be reached)
SPEED_TARGETS = ((PADDED, 10.0), (PLAIN, 1.5), (GROUPED, 1.0))
LARGEST_DIFFERENCE = 1.0  # F1 points

_log = logging.getLogger("benchmarks.finetune")


# ---------------------------------------------------------------------------------------------
# One training, in its own process


class Spec(NamedTuple):
    """What one process trains. kind: train (speed and memory), score (and test F1), floor."""

    kind: str
    variant: str
    model: str
    data: str
    rows: int
    epochs: int
    seed: int
    learning_rate: float


class Loaded(NamedTuple):
    """What a training needs: the checkpoint's folder, its tokenizer, and the chosen training rows."""

    folder: Path
    tokenizer: Any
    encoded: Encoded
    settings: Settings


class Watch:
    """Notes the clock at the end of every optimiser step, and how much of every batch is padding."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self.batches: list[tuple[int, int, int, int]] = []

    def after_step(self, *_: Any) -> None:
        """The hook that torch calls, alike for both loops."""
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())

    def note_batch(self, mask_BT: Any) -> None:
        """Count sentences, positions, word pieces, and squared lengths, which attention costs."""
        lengths = mask_BT.sum(1)
        self.batches.append((len(mask_BT), mask_BT.numel(), int(lengths.sum()), int((lengths**2).sum())))

    def last_epoch(self) -> dict[str, float]:
        """Sum up the last epoch: from the last step of the epoch before it to its own last step."""
        steps = len(self.wall) // EPOCHS_TIMED
        assert len(self.batches) == len(self.wall), "a batch was collated that no step was taken on"
        counts = np.array(self.batches[-steps:]).sum(0).tolist()
        names = ("sentences", "positions", "pieces", "squared_lengths")
        seconds = {"wall": self.wall[-1] - self.wall[-1 - steps], "cpu": self.cpu[-1] - self.cpu[-1 - steps]}
        return dict(zip(names, counts, strict=True)) | seconds | {"steps": steps}


def work(spec: Spec) -> dict[str, Any]:
    """Carry out one process's task and return what it measured."""
    import torch

    from kebench.runtime import device_description, peak_memory_mib, seed_everything

    machine = {"device": device_description("cpu"), "threads": torch.get_num_threads()}
    if spec.kind == "floor":
        return machine | measure_machine(spec)
    seed_everything(spec.seed)
    loaded, watch = load(spec), Watch()
    with watched_steps(watch):
        model = TRAINERS[spec.variant](spec, loaded, watch)
    measured = machine | {"peak_mib": peak_memory_mib("cpu"), "settings": loaded.settings.model_dump()}
    if spec.kind == "train":
        return measured | watch.last_epoch()
    return measured | {"f1_percent": test_f1_percent(spec, loaded, model)}


@contextmanager
def watched_steps(watch: Watch) -> Iterator[None]:
    """Call the watch after every step of every optimiser."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    handle = register_optimizer_step_post_hook(watch.after_step)
    yield
    handle.remove()


def load(spec: Spec) -> Loaded:
    """Tokenise the chosen training rows, and no others, so that memory is training's."""
    from kebench.finetune.ner import encode_sentences
    from kebench.model.checkpoint import load_tokenizer

    resolved, card = resolve_model(spec.model), read_task_card(TASK)
    tokenizer = load_tokenizer(resolved.folder, family=resolved.card.family, casing=resolved.card.casing)
    sentences = read_sentences(spec, "train")
    rows = choose_rows(len(sentences), spec.rows, seed=SUBSET_SEED)
    chosen = [sentences[row] for row in rows]
    encoded = encode_sentences(tokenizer, chosen, max_length=card.max_length)
    return Loaded(resolved.folder, tokenizer, encoded, settings_of(spec, card.max_length))


def read_sentences(spec: Spec, split: str) -> list[Sentence]:
    """Read one split of the task."""
    card = read_task_card(TASK)
    return [
        sentence
        for sentence in read_split(card, card.find_split(Path(spec.data), split))
        if isinstance(sentence, Sentence)
    ]


def settings_of(spec: Spec, max_length: int) -> Settings:
    """The quick budget's settings, which are the Trainer's defaults but for rate, epochs and warm-up."""
    return Settings(
        learning_rate=spec.learning_rate,
        epochs=spec.epochs,
        batch_size=16,
        patience=0,
        warmup_fraction=0.1,
        weight_decay=0.0,
        max_grad_norm=1.0,
        order="shuffled" if spec.variant == PADDED else "length-pools",
        max_length=max_length,
    )


def train_ours(spec: Spec, loaded: Loaded, watch: Watch) -> Any:
    """Train with kebench's loop to the last epoch, and return a model for kebench's `predict`."""
    from accelerate import Accelerator

    from kebench.finetune import loop
    from kebench.finetune.classifier import Classifier
    from kebench.finetune.ner import TAGS
    from kebench.model.checkpoint import load_encoder

    model = Classifier(load_encoder(loaded.folder), num_labels=len(TAGS), states_per_decision=1)
    loop.collate = watched_collate(loop.collate, watch, to_length=PADDED_LENGTH * (spec.variant == PADDED))
    loop.train(
        model,
        loaded.encoded,
        settings=loaded.settings,
        seed=spec.seed,
        pad_id=loaded.tokenizer.pad_token_id,
        accelerator=Accelerator(cpu=True),
        score_dev=map(float, itertools.count()).__next__,  # every epoch is the best so far: the last is kept
    )
    return model


def watched_collate(collate: Callable[..., Any], watch: Watch, *, to_length: int) -> Callable[..., Any]:
    """Wrap kebench's collate: pad further to a fixed length (0: do not), and note the batch."""
    from torch.nn.functional import pad

    def wrapped(encoded: Encoded, rows: Any, *, pad_id: int) -> Any:
        batch = collate(encoded, rows, pad_id=pad_id)
        missing = max(0, to_length - batch.pieces_BT.shape[1])
        if missing:
            pieces_BT = pad(batch.pieces_BT, (0, missing), value=pad_id)
            batch = batch._replace(pieces_BT=pieces_BT, mask_BT=pad(batch.mask_BT, (0, missing)))
        watch.note_batch(batch.mask_BT)
        return batch

    return wrapped


def train_theirs(spec: Spec, loaded: Loaded, watch: Watch) -> Any:
    """Train with transformers' Trainer, and return its model in a form for kebench's `predict`."""
    import transformers

    from kebench.finetune.ner import TAGS

    model = transformers.AutoModelForTokenClassification.from_pretrained(
        loaded.folder, num_labels=len(TAGS), local_files_only=True
    )
    with tempfile.TemporaryDirectory() as folder:
        transformers.Trainer(
            model,
            training_arguments(spec, loaded.settings, folder),
            train_dataset=features_of(loaded.encoded),
            data_collator=watched_collator(loaded.tokenizer, watch),
        ).train()
    return as_classifier(model)


def training_arguments(spec: Spec, settings: Settings, folder: str) -> Any:
    """The Trainer's settings: the same as ours; no evaluation, saving, logging or bars in its way."""
    import transformers

    return transformers.TrainingArguments(
        folder,
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        warmup_steps=settings.warmup_fraction,  # below 1 it is a share of all steps
        lr_scheduler_type="linear",
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        train_sampling_strategy="group_by_length" if spec.variant == GROUPED else "random",
        seed=spec.seed,
        use_cpu=True,
        dataloader_pin_memory=False,
        dataloader_num_workers=0,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def features_of(encoded: Encoded) -> list[dict[str, list[int]]]:
    """Return the same examples as the Trainer takes them: a label at each first piece, else -100."""
    features = []
    for row in range(encoded.num_examples):
        pieces = encoded.pieces.row(row)
        labels = np.full(len(pieces), IGNORED)
        labels[encoded.places.row(row).reshape(-1)] = encoded.labels.row(row)
        features.append({"input_ids": pieces.tolist(), "labels": labels.tolist()})
    return features


def watched_collator(tokenizer: Any, watch: Watch) -> Callable[[Any], Any]:
    """DataCollatorForTokenClassification, with its batches noted."""
    from transformers import DataCollatorForTokenClassification

    collator = DataCollatorForTokenClassification(tokenizer)

    def wrapped(features: Any) -> Any:
        batch = collator(features)
        watch.note_batch(batch["attention_mask"])
        return batch

    return wrapped


TRAINERS: dict[str, Callable[[Spec, Loaded, Watch], Any]] = {
    OURS: train_ours,
    PADDED: train_ours,
    PLAIN: train_theirs,
    GROUPED: train_theirs,
}


def as_classifier(model: Any) -> Any:
    """Give a token classification model the form of kebench's Classifier: logits of the decisions."""
    from torch import nn

    class Reader(nn.Module):
        """Reads the logits at each decision's place."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, batch: Any) -> Any:
            logits_BTL = self.model(input_ids=batch.pieces_BT, attention_mask=batch.mask_BT).logits
            return logits_BTL[batch.rows_P, batch.places_PS[:, 0]]

    return Reader()


def test_f1_percent(spec: Spec, loaded: Loaded, model: Any) -> float:
    """Score a trained model on the whole test set: strict entity F1 of kebench, whoever trained it."""
    from accelerate import Accelerator

    from kebench.finetune.loop import predict
    from kebench.finetune.ner import encode_sentences, predicted_split
    from kebench.scoring.entities import count_entities

    sentences = read_sentences(spec, "test")
    encoded = encode_sentences(loaded.tokenizer, sentences, max_length=loaded.settings.max_length)
    pad_id = loaded.tokenizer.pad_token_id
    decisions = predict(model, encoded, pad_id=pad_id, accelerator=Accelerator(cpu=True))
    split = predicted_split(sentences, encoded, decisions)
    return count_entities(split["gold"], split["predicted"]).f1_percent


# ---------------------------------------------------------------------------------------------
# The floor: what the arithmetic and the bytes cost at the least


class Sizes(NamedTuple):
    """The sizes of an encoder that its cost follows from."""

    layers: int
    hidden: int
    intermediate: int
    parameters: int


def sizes_of(model: str) -> Sizes:
    """Read a model's sizes from its files."""
    from kebench.model.layout import describe_checkpoint, read_config

    folder = resolve_model(model).folder
    facts = describe_checkpoint(folder)
    return Sizes(facts.layers, facts.hidden, read_config(folder)["intermediate_size"], facts.parameters)


def training_flops(sizes: Sizes, *, pieces: float, squared_lengths: float) -> float:
    """Count the floating-point operations of training on real word pieces, none on padding.

    6 a weight and word piece (2 forward, 4 backward) in the layers' matrices, L(4DD + 2DI): 12 LDD where
    I = 4D. Attention: 4TTD a layer forward, thrice that in all. Head, norms and softmax are left out.
    """
    weights = sizes.layers * (4 * sizes.hidden**2 + 2 * sizes.hidden * sizes.intermediate)
    return 6.0 * weights * pieces + 12.0 * sizes.layers * sizes.hidden * squared_lengths


def optimizer_bytes(sizes: Sizes) -> float:
    """AdamW's bytes a step in fp32: read weight, gradient, two moments; write weight, two moments."""
    return 7 * 4.0 * sizes.parameters


def measure_machine(spec: Spec) -> dict[str, Any]:
    """Measure matrix products of the model's own size, and bandwidth, on the threads of the trainings."""
    import torch

    sizes = sizes_of(spec.model)
    left, right = torch.rand(spec.rows, sizes.hidden), torch.rand(sizes.hidden, sizes.intermediate)
    source, target = torch.rand(sizes.parameters), torch.empty(sizes.parameters)
    # CPU seconds of one thread, like all else here if the machine is shared; best of many tries.
    product, copy = best_seconds(lambda: left @ right, 200), best_seconds(lambda: target.copy_(source), 20)
    return {
        "matrix_pieces": spec.rows,
        "flops_per_second": 2.0 * left.shape[0] * right.numel() / product,
        "bytes_per_second": 8.0 * sizes.parameters / copy,
    }


def best_seconds(call: Callable[[], Any], tries: int) -> float:
    """Return the shortest of many timings of a call."""
    seconds = []
    for _ in range(tries):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


# ---------------------------------------------------------------------------------------------
# Speed and memory


def run(spec: Spec) -> dict[str, Any]:
    """Run one process and return what it measured."""
    _log.info("%s: %s, %d rows, seed %d", spec.kind, spec.variant or "machine", spec.rows, spec.seed)
    command = [sys.executable, __file__, "work", json.dumps(spec._asdict())]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(f"a training process failed: {command}\n{finished.stderr}")
    measured: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return measured


def compare_speed(options: argparse.Namespace) -> dict[str, Any]:
    """Time every variant in interleaved rounds, then the machine at their mean batch."""
    runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in VARIANTS}
    for round_number, variant in itertools.product(range(options.rounds), VARIANTS):
        rows = options.padded_rows if variant == PADDED else options.rows
        runs[variant].append(run(spec_of(options, "train", variant, rows, EPOCHS_TIMED, seed=round_number)))
    machine = run(spec_of(options, "floor", "", pieces_per_step(runs[OURS][0]), 0, seed=0))
    sizes = sizes_of(options.model)
    rates = {variant: rates_of(runs[variant], machine, sizes, options.clock) for variant in VARIANTS}
    return {"options": stated(options), "machine": machine, "rates": rates, "runs": runs}


def spec_of(
    options: argparse.Namespace, kind: str, variant: str, rows: int, epochs: int, *, seed: int
) -> Spec:
    """Fill in what every process of a comparison shares."""
    return Spec(kind, variant, options.model, str(options.data), rows, epochs, seed, options.learning_rate)


def stated(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options that belong into results; where the data lies does not."""
    return {name: value for name, value in vars(options).items() if name not in ("data", "command")}


def pieces_per_step(measured: dict[str, Any]) -> int:
    """Return how many word pieces a step multiplies, padding left out."""
    return round(measured["pieces"] / measured["steps"])


def rates_of(
    runs: list[dict[str, Any]], machine: dict[str, Any], sizes: Sizes, clock: str
) -> dict[str, float]:
    """Return a variant's rates in its fastest round (noise only ever adds time), and its highest peak."""
    best = min(runs, key=lambda measured: measured[clock] / measured["sentences"])
    seconds = best[clock]
    flops = training_flops(sizes, pieces=best["pieces"], squared_lengths=best["squared_lengths"])
    optimizer_seconds = best["steps"] * optimizer_bytes(sizes) / machine["bytes_per_second"]
    floor_seconds = flops / machine["flops_per_second"] + optimizer_seconds
    return {
        "sentences_per_second": best["sentences"] / seconds,
        "padding_percent": 100 * (1 - best["pieces"] / best["positions"]),
        "flops_utilisation_percent": 100 * flops / machine["flops_per_second"] / seconds,
        "times_the_floor": seconds / floor_seconds,
        "peak_mib": max(measured["peak_mib"] for measured in runs),
    }


# ---------------------------------------------------------------------------------------------
# Scores


def compare_scores(options: argparse.Namespace) -> dict[str, Any]:
    """Train ours and the plain Trainer with every seed, in turn, and compare their test F1."""
    runs: dict[str, list[dict[str, Any]]] = {OURS: [], PLAIN: []}
    for seed, variant in itertools.product(range(options.seeds), runs):
        runs[variant].append(
            run(spec_of(options, "score", variant, options.score_rows, options.epochs, seed=seed))
        )
    f1 = {variant: [measured["f1_percent"] for measured in runs[variant]] for variant in runs}
    return {"options": stated(options), "f1_percent": f1, "difference": difference_of(f1), "runs": runs}


def difference_of(f1: dict[str, list[float]]) -> dict[str, float]:
    """Return ours minus the Trainer's mean, and Welch's 95% interval (two-sided, unequal variances)."""
    from scipy.stats import ttest_ind

    interval = ttest_ind(f1[OURS], f1[PLAIN], equal_var=False).confidence_interval(0.95)
    mean = statistics.mean(f1[OURS]) - statistics.mean(f1[PLAIN])
    return {"mean": mean, "low": float(interval.low), "high": float(interval.high)}


# ---------------------------------------------------------------------------------------------
# What is written


def verdicts(results: dict[str, Any]) -> list[str]:
    """Return one line for each target: reached or not, and the numbers."""
    lines = speed_verdicts(results["speed"]["rates"]) if "speed" in results else []
    return lines + (score_verdicts(results["scores"]["difference"]) if "scores" in results else [])


def speed_verdicts(rates: dict[str, dict[str, float]]) -> list[str]:
    """Judge speed and memory."""
    lines = []
    for variant, wanted in SPEED_TARGETS:
        ratio = rates[OURS]["sentences_per_second"] / rates[variant]["sentences_per_second"]
        lines.append(verdict(ratio >= wanted, f"{ratio:.2f}x the speed of {variant}; wanted {wanted:g}x"))
    ours, theirs = rates[OURS]["peak_mib"], rates[PLAIN]["peak_mib"]
    return [
        *lines,
        verdict(ours <= theirs, f"peak {ours:.0f} MiB; wanted at most the Trainer's {theirs:.0f}"),
    ]


def score_verdicts(difference: dict[str, float]) -> list[str]:
    """Judge the difference of scores."""
    mean, low, high = difference["mean"], difference["low"], difference["high"]
    return [
        verdict(
            low <= 0 <= high, f"95% interval of the F1 difference {low:+.2f} to {high:+.2f}; wanted 0 in it"
        ),
        verdict(
            abs(mean) <= LARGEST_DIFFERENCE,
            f"F1 difference {mean:+.2f}; wanted at most {LARGEST_DIFFERENCE} either way",
        ),
    ]


def verdict(is_reached: bool, numbers: str) -> str:
    """Say it."""
    return f"- **{'reached' if is_reached else 'NOT reached'}**: {numbers}"


def markdown(results: dict[str, Any]) -> str:
    """Write the results as tables, with the verdict on every target first."""
    parts = ["# Fine-tuning, measured", "Written by benchmarks/finetune.py; README.md says what is compared."]
    parts.append("\n".join(verdicts(results)))
    if "speed" in results:
        parts += speed_section(results["speed"])
    if "scores" in results:
        parts += score_section(results["scores"])
    return "\n\n".join(parts) + "\n"


def speed_section(speed: dict[str, Any]) -> list[str]:
    """The table of rates, and the conditions they were measured under."""
    rates, options, machine = speed["rates"], speed["options"], speed["machine"]
    header = ["variant", "sentences/s", "ours is", "padding %", "FLOPs used %", "x floor", "peak MiB"]
    ours = rates[OURS]["sentences_per_second"]
    rows = [[variant, *rate_cells(rate, ours)] for variant, rate in rates.items()]
    measured = speed["runs"][OURS][0]
    return [
        "## Speed and memory",
        table(header, rows),
        f"{TASK}, {options['model']}, batches of 16, {options['rows']} training sentences "
        f"({options['padded_rows']} where padded to 512), fp32, {machine['device']}. Each variant ran "
        f"{options['rounds']} times, in turn; the fastest counts, by {options['clock']} seconds of its second "
        "epoch. The peak is the whole process's, the highest of its runs.",
        f"The floor: {machine['flops_per_second'] / 1e9:.1f} GFLOP/s in fp32 products of "
        f"{machine['matrix_pieces']} word pieces at the model's own sizes, on what is not padding, plus AdamW's "
        f"28 bytes a parameter and step at {machine['bytes_per_second'] / 1e9:.1f} GB/s. A step holds "
        f"{pieces_per_step(measured)} word pieces on average.",
        "### Every run",
        table(["variant", "round", "sentences", "wall s", "CPU s", "peak MiB"], run_rows(speed["runs"])),
    ]


def rate_cells(rate: dict[str, float], ours: float) -> list[str]:
    """One variant's cells of the speed table."""
    return [
        f"{rate['sentences_per_second']:.2f}",
        f"{ours / rate['sentences_per_second']:.2f}x",
        f"{rate['padding_percent']:.1f}",
        f"{rate['flops_utilisation_percent']:.1f}",
        f"{rate['times_the_floor']:.2f}",
        f"{rate['peak_mib']:.0f}",
    ]


def run_rows(runs: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    """One row for each timed process."""
    return [
        [
            variant,
            str(place + 1),
            f"{r['sentences']}",
            f"{r['wall']:.2f}",
            f"{r['cpu']:.2f}",
            f"{r['peak_mib']:.0f}",
        ]
        for variant, measured in runs.items()
        for place, r in enumerate(measured)
    ]


def score_section(scores: dict[str, Any]) -> list[str]:
    """The table of scores by seed."""
    options, f1 = scores["options"], scores["f1_percent"]
    seeds = [f"seed {seed}" for seed in range(options["seeds"])]
    rows = [
        [name, f"{statistics.mean(of):.2f}", f"{statistics.stdev(of):.2f}", *(f"{one:.2f}" for one in of)]
        for name, of in f1.items()
    ]
    return [
        "## Scores",
        table(["variant", "mean F1", "SD", *seeds], rows),
        f"Strict entity F1 on the whole test set of {TASK} after {options['epochs']} epochs on "
        f"{options['score_rows']} training sentences, {options['model']}, rate {options['learning_rate']:g}, n = "
        f"{options['seeds']} seeds each. The difference is ours minus the Trainer's, its interval Welch's, two-sided.",
    ]


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table, the first column to the left and numbers to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_results(new: dict[str, Any]) -> None:
    """Put new results in place of older ones of the same kind, and print the page."""
    from kebench.runtime import software, utc_now

    path = RESULTS / "finetune.json"
    RESULTS.mkdir(exist_ok=True)
    results = json.loads(path.read_text()) if path.exists() else {}
    made = {"finished_utc": utc_now(), "software": software()}
    results |= {kind: made | found for kind, found in new.items()}
    path.write_text(json.dumps(rounded(results), indent=1) + "\n")
    (RESULTS / "finetune.md").write_text(markdown(results))
    print(markdown(results))


def rounded(value: Any) -> Any:
    """Round every number that has a fraction, so that a results file reads well."""
    if isinstance(value, dict):
        return {key: rounded(of) for key, of in value.items()}
    if isinstance(value, list):
        return [rounded(of) for of in value]
    return round(value, DECIMALS) if isinstance(value, float) and abs(value) > 1 else value


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["speed", "scores", "all"])
    parser.add_argument(
        "--data", type=Path, default=default_data_folder(), help="where the tasks' folders are"
    )
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument(
        "--clock", choices=["wall", "cpu"], default="wall", help="cpu: one thread, shared machine"
    )
    parser.add_argument("--rows", type=int, default=1000, help="speed: training sentences")
    parser.add_argument("--padded-rows", type=int, default=64, help="speed: the same for the padded variant")
    parser.add_argument("--rounds", type=int, default=2, help="speed: runs of each variant")
    parser.add_argument("--score-rows", type=int, default=500, help="scores: training sentences")
    parser.add_argument("--epochs", type=int, default=2, help="scores: epochs")
    parser.add_argument("--seeds", type=int, default=5, help="scores: seeds 0, 1, 2 ...")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure, write and print; a target that is missed is reported, never an error."""
    if sys.argv[1:2] == ["work"]:
        print(json.dumps(work(Spec(**json.loads(sys.argv[2])))))
        return
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    options = parse(sys.argv[1:])
    comparisons = {"speed": compare_speed, "scores": compare_scores}
    wanted = list(comparisons) if options.command == "all" else [options.command]
    write_results({kind: comparisons[kind](options) for kind in wanted})


if __name__ == "__main__":
    main()
