"""Simulates the whole paper on 1 to 512 GPUs: makespan, idle share, floor, and the order of the jobs.

    python benchmarks/scale.py --data DATA

writes results/scale.json and results/scale.md. Operations are counted by the functions that kebench and the
other benchmarks count them by; what turns them into seconds is assumed, and stated (`ASSUMED`).
"""

import argparse
import heapq
import json
import random
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pretrain_page import MASKED as MASKED_PLACES
from pretrain_page import MENTIONS, PAPER, SEQUENCES, step_flops
from scale_page import markdown

from kebench.engine.drive import drive
from kebench.engine.work import RunOptions, Settled, carry_out
from kebench.finetune.plan import Job, find_task_files, read_budget
from kebench.run import flops_of, plan_grid
from kebench.runtime import Device
from kebench.tasks.card import select_tasks

RESULTS = Path(__file__).parent / "results"
GPUS = (1, 8, 64, 512)
SEEDS, DRAWS = 5, 3
QUERIES, PART_QUERIES = 143_771, 4_096
DOWNLOADED = ("biobert", "scibert", "clinicalbert", "bluebert", "diseasebert", "bio-lm", "pubmedbert")
PRETRAINED = ("kebiolm", "-wem", "+rand", "+frz", "4+8", "12+0", "continued")
# What is not counted but assumed; nothing of it was measured.
ASSUMED = {
    "peak_flops": 989e12,  # one H100, bf16, as its maker states it
    "share_of_peak": 0.30,
    "train_step_floor_s": 0.02,  # BERT-base, batch 16: to start its kernels, however short the text
    "forward_floor_s": 0.007,
    "start_s": 20.0,  # of a run: imports, weights, tokenised data
    "scaling_of_8": 0.9,  # of a pretraining on eight GPUs
    "spread": 0.2,  # standard deviation of the logarithm of real over expected seconds
}
LAYERS, HIDDEN = 12, 768
DDI_TEST_ROWS = 5_760


class Task(NamedTuple):
    """A piece of work. after: the pretraining that it waits for. expected: by which it is ordered."""

    name: str
    expected: float
    seconds: float
    gpus: int = 1
    after: str = ""


class Ran(NamedTuple):
    """How a simulation ended."""

    makespan: float
    idle_share: float


def main() -> None:
    """Simulate, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the eight data sets")
    tasks = sizes_of_tasks(parser.parse_args().data)
    results = {"assumed": ASSUMED, "tasks": tasks, "gpus": {}}
    for gpus in GPUS:
        for width in sorted({1, min(8, gpus)}):
            results["gpus"][f"{gpus}/{width}"] = compare_orders(tasks, gpus=gpus, width=width)
    results["scaling"] = [
        {"gpus": gpus} | compare_orders(tasks, gpus=gpus, width=8, orders=("longest first",))
        for gpus in (8, 16, 32, 64, 128, 256, 512, 1024)
    ]
    results["driver"] = driver_rate()
    (RESULTS / "scale.json").write_text(json.dumps(results, indent=1) + "\n")
    page = markdown(results)
    (RESULTS / "scale.md").write_text(page)
    print(page)


class InstantPool:
    """Takes 512 jobs at a time, and has each done as soon as it is asked: what is left is our own work."""

    def __init__(self, answer: Settled) -> None:
        self._answer = answer
        self._given: deque[Job] = deque()

    def room(self) -> int:
        """Return how many more jobs it takes."""
        return max(GPUS) - len(self._given)

    def submit(self, job: Job) -> None:
        """Take a job."""
        self._given.append(job)

    def settled(self, seconds: float) -> list[tuple[Job, Settled]]:
        """Return the job taken first, with the answer that is everybody's."""
        job = self._given.popleft()
        assert self._answer.record is not None, "the answer is a finished run"
        return [(job, self._answer._replace(record=self._answer.record.model_copy(update=named(job))))]


def named(job: Job) -> dict[str, Any]:
    """Return what a record says of the job that it is of."""
    return {"identity": job.identity, "model": job.card.name, "task": job.task.card.name, "seed": job.seed}


def driver_rate() -> dict[str, float]:
    """Measure how many jobs a second the driver leases and records, with predictions of DDI's size each."""
    budget = read_budget("smoke", {})
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        jobs = plan_grid(
            ["bert-mini-random"], select_tasks("mini"), seeds=200, budget=budget, learning_rates=(),
            precision="fp32", data=out, out=out,
        ).jobs  # fmt: skip
        done = carry_out(jobs[0], Device("cpu", "fp32", ""), RunOptions())
        labels = ["false", "DDI-effect", "DDI-mechanism"] * (DDI_TEST_ROWS // 3)
        split = {"ids": [f"DDI-{n}.e0.e1" for n in range(len(labels))], "gold": labels, "predicted": labels}
        pool = InstantPool(done._replace(predictions={"kind": "relation", "dev": split, "test": split}))
        started = time.perf_counter()
        tally = drive(jobs, out, pool)
        seconds = time.perf_counter() - started
    assert tally.num_recorded == len(jobs), "each job is recorded"
    return {"jobs": len(jobs), "seconds": seconds, "jobs_per_second": len(jobs) / seconds}


def sizes_of_tasks(data: Path) -> dict[str, dict[str, float]]:
    """Return rows, operations and expected seconds of a run of each task, by the paper's budget."""
    found = {}
    epochs = read_budget("paper", {}).epochs
    for card in select_tasks("blurb"):
        files = find_task_files(card, data)
        pieces = {split: path.stat().st_size / 4 for split, path in files.paths.items()}
        rows = {split: card.expected[split].rows for split in files.paths}
        flops = flops_of(layers=LAYERS, hidden=HIDDEN, pieces=pieces, epochs=epochs)
        found[card.name] = {
            "rows": rows["train"],
            "flops": flops,
            "seconds": run_seconds(flops, rows, epochs),
        }
    return found


def run_seconds(flops: float, rows: dict[str, int], epochs: int) -> float:
    """Return the expected seconds of a run: arithmetic, or starting kernels, whichever is more."""
    train_steps = -(-rows["train"] // 16) * epochs
    forward_steps = (rows["dev"] * (epochs + 1) + rows["test"]) / 64
    launching = train_steps * ASSUMED["train_step_floor_s"] + forward_steps * ASSUMED["forward_floor_s"]
    return ASSUMED["start_s"] + max(flops / speed(), launching)


def speed() -> float:
    """Operations a second of one GPU."""
    return ASSUMED["peak_flops"] * ASSUMED["share_of_peak"]


def paper_tasks(sizes: dict[str, dict[str, float]], *, width: int, seed: int) -> list[Task]:
    """Return 7 pretrainings, 1,680 fine-tunes and the parts of 14 probes, in the order they are planned in.

    width: GPUs of a pretraining. seed: draws how far real seconds are from expected ones.
    """
    draw = random.Random(seed)

    def task(name: str, expected: float, after: str = "", gpus: int = 1) -> Task:
        return Task(name, expected, expected * draw.lognormvariate(0, ASSUMED["spread"]), gpus, after)

    flops = step_flops(
        PAPER, sequences=SEQUENCES, masked=SEQUENCES * MASKED_PLACES, mentions=SEQUENCES * MENTIONS
    )
    whole = flops / speed() / (width * (ASSUMED["scaling_of_8"] if width > 1 else 1.0))
    models = [*((name, "") for name in DOWNLOADED), *((name, name) for name in PRETRAINED)]
    rates = len(read_budget("paper", {}).learning_rates)
    runs = [
        task(f"{name} {model}", size["seconds"], after)
        for name, size in sizes.items()
        for model, after in models
        for _ in range(rates * SEEDS)
    ]
    part = query_flops() * PART_QUERIES / speed()
    probes = [
        task(f"probe {model}", part, after)
        for model, after in models
        for _ in range(-(-QUERIES // PART_QUERIES))
    ]
    return [*(task(name, whole, gpus=width) for name in PRETRAINED), *runs, *probes]


def query_flops() -> float:
    """Return the operations of a query to a BERT-base, as benchmarks/probe.py counted them."""
    case = json.loads((RESULTS / "probe.json").read_text())["cases"]["b"]
    return float(case["ours"]["flops"] / case["queries"])


ORDERS: dict[str, Callable[[Task], float]] = {
    "as planned": lambda task: 0.0,
    "longest first": lambda task: -task.expected,
    "shortest first": lambda task: task.expected,
}


def compare_orders(
    sizes: dict[str, dict[str, float]], *, gpus: int, width: int, orders: Iterable[str] = ORDERS
) -> dict[str, Any]:
    """Return floor and, for each order, makespan, idle share and distance to the floor, means over draws."""
    drawn = [paper_tasks(sizes, width=width, seed=seed) for seed in range(DRAWS)]
    floors = [floor_of(tasks, gpus) for tasks in drawn]
    found: dict[str, Any] = {
        "work_s": statistics.mean(sum(task.seconds * task.gpus for task in tasks) for tasks in drawn),
        "chain_s": statistics.mean(longest_chain(tasks) for tasks in drawn),
        "floor_s": statistics.mean(floors),
    }
    for name in orders:
        ran = [simulate(tasks, gpus, ORDERS[name]) for tasks in drawn]
        found[name] = {
            "makespan_s": statistics.mean(one.makespan for one in ran),
            "idle_share": statistics.mean(one.idle_share for one in ran),
            "over_floor": statistics.mean(
                one.makespan / floor - 1 for one, floor in zip(ran, floors, strict=True)
            ),
        }
    return found


def floor_of(tasks: Sequence[Task], gpus: int) -> float:
    """Return the least that any order could take: all work shared out, or the longest chain."""
    return max(sum(task.seconds * task.gpus for task in tasks) / gpus, longest_chain(tasks))


def longest_chain(tasks: Sequence[Task]) -> float:
    """Return the longest pretraining with what waits for it, or the longest task."""
    of_model = {task.name: task.seconds for task in tasks if task.name in PRETRAINED}
    return max(task.seconds + of_model.get(task.after, 0.0) for task in tasks)


def simulate(tasks: Sequence[Task], gpus: int, order: Callable[[Task], float]) -> Ran:
    """Give tasks to GPUs: pretrainings first, then in an order; a free GPU takes the first that may begin."""
    first = sorted(tasks, key=lambda task: task.name not in PRETRAINED)
    ranked = [
        *(task for task in first if task.name in PRETRAINED),
        *sorted((task for task in first if task.name not in PRETRAINED), key=order),
    ]
    ready: list[tuple[int, Task]] = [(rank, task) for rank, task in enumerate(ranked) if not task.after]
    heapq.heapify(ready)
    waiting = {name: [(n, t) for n, t in enumerate(ranked) if t.after == name] for name in PRETRAINED}
    running: list[tuple[float, int, Task]] = []
    now, free, busy = 0.0, gpus, 0.0
    while ready or running:
        while ready and ready[0][1].gpus <= free:
            rank, task = heapq.heappop(ready)
            free -= task.gpus
            busy += task.seconds * task.gpus
            heapq.heappush(running, (now + task.seconds, rank, task))
        now, _, ended = heapq.heappop(running)
        free += ended.gpus
        for following in waiting.pop(ended.name, []):
            heapq.heappush(ready, following)
    return Ran(now, 1 - busy / (now * gpus))


if __name__ == "__main__":
    main()
