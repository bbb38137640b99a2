"""A Ray cluster of two nodes on this machine, each with its own cache, whose nodes can be killed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

ROOT = Path(__file__).parents[2]
STORE_BYTES = 100 * 2**20


class TwoNodes:
    """The nodes: `head`, which has room for no job, and as many as were added."""

    def __init__(self, folder: Path, *, cpus: int) -> None:
        from ray.cluster_utils import Cluster

        small = {"object_store_memory": STORE_BYTES, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
        self._folder, self._cpus = folder, cpus
        self.address: str = self._cluster.address
        self.nodes = [self.add_node() for _ in range(2)]

    def add_node(self, **environment: str) -> Any:
        """Add a node, with a cache of its own."""
        number = len(list(self._folder.glob("cache-*")))
        cache = self._folder / f"cache-{number}"
        cache.mkdir(parents=True)
        given = {"KEBENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
        return self._cluster.add_node(
            num_cpus=self._cpus, object_store_memory=STORE_BYTES, include_dashboard=False, env_vars=given
        )

    @property
    def caches(self) -> list[Path]:
        """The caches of the nodes."""
        return sorted(self._folder.glob("cache-*"))

    def kill(self, node: Any) -> None:
        """Kill a node as a power cut does."""
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        """End all nodes."""
        self._cluster.shutdown()


@contextmanager
def two_nodes(folder: Path, *, cpus: int = 1) -> Iterator[TwoNodes]:
    """Yield a cluster of a head and two nodes, and end it with the block."""
    nodes = TwoNodes(folder, cpus=cpus)
    try:
        yield nodes
    finally:
        nodes.close()


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a command that is started in a process of its own."""
    given = {"KEBENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return os.environ | given | {"RAY_USAGE_STATS_ENABLED": "0"}


def command(*arguments: object) -> list[str]:
    """Return `kebench ARGUMENTS` for a process of its own."""
    return [sys.executable, "-m", "kebench", *map(str, arguments)]
