"""Finds the folders that ship with kebench (`baselines/`, `results/published/` ...).

In a wheel they lie in `kebench/_shipped/`, in a checkout beside the package.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped(folder: str) -> Path:
    """Return the path of a shipped top-level folder, such as "baselines"."""
    in_wheel = _PACKAGE / "_shipped" / folder
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / folder
