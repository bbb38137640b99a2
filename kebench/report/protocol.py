"""What two scores share under one protocol, and how a caption says it in words.

`Record.column` tells whether two scores may stand in one column. A table groups the columns whose
protocols agree in everything but the parts that belong to a task: its data, metric and maximum length.
"""

from collections.abc import Collection
from typing import Any

from kebench.records import Record

Fields = tuple[tuple[str, Any], ...]  # names and values; hashable

# Left out of a table's protocol: what is chosen by dev score or is a row's own, and what is a task's own.
_NOT_SHARED = {"learning_rate", "max_length", "fidelity", "budget", "metric", "pooling"}
# Always said in a caption, in this order; the other fields only where the tables differ in them.
_ALWAYS = ("epochs", "patience", "batch_size", "train_rows", "dev_rows", "precision")


def shared_fields(record: Record) -> Fields:
    """Return the protocol of a record without the parts that belong to its task or model."""
    protocol = record.protocol.model_dump()
    subset = protocol.pop("subset")
    protocol["subset_seed"] = subset.pop("seed")
    fields = {**record.settings.model_dump(), **subset, **protocol}
    return tuple((name, value) for name, value in fields.items() if name not in _NOT_SHARED)


def task_fields(record: Record) -> Fields:
    """Return the parts of the protocol that belong to the task."""
    return (
        ("task version", record.task_version),
        ("data", record.task_hash[:8]),
        ("maximum length", record.settings.max_length),
        ("metric", record.protocol.metric),
    )


def all_fields(record: Record) -> Fields:
    """Return everything that tells runs of one task and model apart, but for the seed."""
    own = (
        ("learning rate", record.settings.learning_rate),
        ("fidelity", record.protocol.fidelity),
        ("pooling", record.protocol.pooling),
    )
    return (*shared_fields(record), *task_fields(record), *own, ("weights", record.model_hash[:8]))


def say_fields(fields: Fields, names: Collection[str]) -> str:
    """Say some fields of a protocol in words; "" of none."""
    return ", ".join(_say(name, value) for name, value in fields if name in names)


def setting_lines(record: Record) -> list[tuple[str, str]]:
    """Return all settings of a run but its seed, as names and words: what runs of one cell share."""
    settings, subset = record.settings, record.protocol.subset
    rows = {
        name: "all" if number is None else f"{number:,}, drawn with seed {subset.seed}"
        for name, number in (("train rows", subset.train_rows), ("dev rows", subset.dev_rows))
    }
    return [
        ("epochs", f"at most {settings.epochs}" if settings.patience else str(settings.epochs)),
        ("patience", f"{settings.patience} epochs" if settings.patience else "no early stop"),
        ("batch", str(settings.batch_size)),
        ("learning rate", f"{settings.learning_rate:g}"),
        ("warm-up", f"{settings.warmup_fraction:g} of the steps"),
        ("weight decay", f"{settings.weight_decay:g}"),
        ("gradient norm", f"at most {settings.max_grad_norm:g}"),
        ("order", settings.order),
        ("maximum length", f"{settings.max_length} word pieces"),
        *rows.items(),
        ("precision", record.protocol.precision),
        ("fidelity", record.protocol.fidelity),
        ("pooling", record.protocol.pooling),
        ("metric", record.protocol.metric),
        ("budget", record.protocol.budget),
        ("versions", f"task {record.task_version}, protocol {record.protocol.version}"),
        ("hashes", f"weights {record.model_hash[:8]}, data {record.task_hash[:8]}"),
    ]


def differing_names(protocols: list[Fields]) -> set[str]:
    """Return the names of the fields in which protocols differ."""
    names = {name for fields in protocols for name, _ in fields}
    return {name for name in names if len({dict(fields).get(name) for fields in protocols}) > 1}


def describe_protocol(fields: Fields, *, budgets: list[str], differing: set[str]) -> str:
    """Say a protocol in words: what always matters, and what tells it from the other tables."""
    values = dict(fields)
    also = [name for name in values if name in differing and name not in _ALWAYS]
    words = ", ".join(_say(name, values[name]) for name in (*_ALWAYS, *also) if name in values)
    return f"{' / '.join(budgets)}: {words}"


def _say(name: str, value: Any) -> str:
    match name, value:
        case "epochs", int():
            return f"{value} epoch" if value == 1 else f"{value} epochs"
        case "patience", 0:
            return "no early stop"
        case "batch_size", _:
            return f"batch {value}"
        case (("train_rows" | "dev_rows"), _):
            return f"{'all' if value is None else f'{value:,}'} {name.replace('_', ' ')}"
        case "precision", _:
            return str(value)
        case "version", _:
            return f"protocol version {value}"
    return f"{name.replace('_', ' ')} {value}"
