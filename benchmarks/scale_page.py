"""The page of benchmarks/scale.py: what is assumed, the orders, and where more GPUs stop helping."""

from typing import Any

from tables import table, verdict

RUNS = 1_680
IDLE_WANTED = 0.05  # of the grid's own order on 64 GPUs
STOPS_AT = 0.10  # idle share above which we say that scaling has stopped


def markdown(results: dict[str, Any]) -> str:
    """Write the results as tables, with the verdict first."""
    return (
        "\n\n".join(
            [
                "# The whole paper on many GPUs, simulated",
                "Written by benchmarks/scale.py; README.md says what is simulated. Nothing was run on a GPU.",
                "\n".join(verdicts(results)),
                orders(results["gpus"]),
                "Width: GPUs of a pretraining; the fine-tunes of seven models wait for one each. Floor: all "
                "work shared out equally, or the longest chain (a pretraining, then a run of its model), "
                "whichever is longer; no order is faster. Idle: share of GPU time in which no job runs.",
                "## Where it stops",
                scaling(results["scaling"]),
                driver(results["driver"], results["gpus"]["512/8"]),
                "## What is assumed",
                assumed(results),
            ]
        )
        + "\n"
    )


def verdicts(results: dict[str, Any]) -> list[str]:
    """Say whether the order that kebench uses is the best, and how near it is to the floor."""
    lines = []
    for name, case in results["gpus"].items():
        spans = {order: found["makespan_s"] for order, found in case.items() if isinstance(found, dict)}
        ours, best = spans["longest first"], min(spans.values())
        gpus, width = name.split("/")
        said = (
            f"{gpus} GPUs, width {width}: longest first {hours(ours)}, the best of three "
            f"{hours(best)}; wanted within 1%"
        )
        lines.append(verdict(ours <= best * 1.01, said))
    idle = results["gpus"]["64/8"]["longest first"]["idle_share"]
    lines.append(verdict(idle <= IDLE_WANTED, f"64 GPUs: {idle:.1%} idle; wanted {IDLE_WANTED:.0%}"))
    return lines


def hours(seconds: float) -> str:
    """Return a duration."""
    return f"{seconds / 3600:,.2f} h"


def orders(cases: dict[str, Any]) -> str:
    """Return a row for each number of GPUs, width of a pretraining, and order."""
    rows = []
    for name, case in cases.items():
        gpus, width = name.split("/")
        for order, found in case.items():
            if isinstance(found, dict):
                rows.append(
                    [
                        gpus,
                        width,
                        order,
                        hours(found["makespan_s"]),
                        hours(case["floor_s"]),
                        f"{found['over_floor']:.1%}",
                        f"{found['idle_share']:.1%}",
                    ]
                )
    return table(["GPUs", "width", "order", "makespan", "floor", "over floor", "idle"], rows)


def scaling(points: list[dict[str, Any]]) -> str:
    """Return makespan against GPUs, and say where idle time passes a tenth."""
    rows = [
        [
            str(point["gpus"]),
            hours(point["longest first"]["makespan_s"]),
            f"{point['work_s'] / point['longest first']['makespan_s']:,.0f}",
            f"{point['longest first']['idle_share']:.1%}",
            "work" if point["work_s"] / point["gpus"] > point["chain_s"] else "chain",
        ]
        for point in points
    ]
    fine = [point["gpus"] for point in points if point["longest first"]["idle_share"] <= STOPS_AT]
    first = points[0]
    return (
        table(["GPUs", "makespan", "times as fast as 1", "idle", "floor is the"], rows)
        + f"\n\nUp to {max(fine)} GPUs at most {STOPS_AT:.0%} of the time is idle. The work is "
        f"{hours(first['work_s'])} of GPU time; the longest chain, a pretraining on 8 GPUs and the longest "
        f"run of its model, {hours(first['chain_s'])}. Beyond {first['work_s'] / first['chain_s']:,.0f} GPUs "
        "that decides, and only a wider pretraining, or runs that train on several GPUs, would shorten it."
    )


def driver(measured: dict[str, float], case: dict[str, Any]) -> str:
    """Say how many jobs a second one command can give out and record."""
    needed = RUNS / case["longest first"]["makespan_s"]
    return (
        "The command that gives out the runs leased and recorded "
        f"{measured['jobs_per_second']:.0f} of them a second ({measured['jobs']:,.0f} in "
        f"{measured['seconds']:.0f} s, 512 in hand, predictions of DDI's size; measured, on a machine that "
        f"others used too); the grid on 512 GPUs needs {needed:.1f}."
    )


def assumed(results: dict[str, Any]) -> str:
    """Say how operations were made seconds."""
    a, tasks = results["assumed"], results["tasks"]
    rows = [
        [name, f"{size['rows']:,}", f"{size['flops']:.2e}", f"{size['seconds'] / 60:.1f}"]
        for name, size in tasks.items()
    ]
    return (
        f"A GPU: {a['peak_flops']:.3g} FLOP/s at {a['share_of_peak']:.0%} (one H100, bf16). A run: its "
        "operations (kebench.run.flops_of: 6 a weight and word piece, 4 bytes of text a piece, BERT-base, 60 "
        f"epochs), or {1000 * a['train_step_floor_s']:.0f} ms a training step of 16 and "
        f"{1000 * a['forward_floor_s']:.0f} ms a forward pass of 64, whichever is more; and "
        f"{a['start_s']:.0f} s to start. A pretraining: pretrain_page.step_flops, two epochs of 3.5M "
        f"documents, eight GPUs {8 * a['scaling_of_8']:.1f} times as fast as one. A probe: operations a "
        "query as counted by probe.py, 143,771 queries in parts of 4,096, all 14 models taken to have a "
        "masked language modelling head. Real seconds are expected ones times a log-normal draw of "
        f"{a['spread']:g}; orders go by the expected ones; means of three draws. No node is lost, and giving "
        "out jobs takes no time.\n\n"
        + table(["task", "training rows", "operations of a run", "minutes of a run"], rows)
    )
