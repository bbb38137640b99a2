"""Known and unknown names: how many mentions of tasks a knowledge base has, and F1 on each kind of mention.

`kebench overlap` counts them (it needs the knowledge base and the tasks' data) and writes this as JSON; the
page shows the file.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from kebench.cards import Part, read_json_as
from kebench.grid import Cell, Grid, share_cell
from kebench.records import Printable

STRATA_SCHEMA: Literal[1] = 1


class Overlap(Part):
    """One row of the right half of Table 1: mentions of a task; those that a name, and the corpus, has."""

    task: Printable
    mentions: int | None
    in_kb: int | None
    in_corpus: int | None


class StratumScore(Part):
    """F1 in percent of a model on one kind of mention, mean and deviation over seeds; gold: how many.

    model, protocol: as the leaderboard writes them; files from before protocols were named have none.
    """

    task: Printable
    model: Printable
    protocol: Printable = ""
    mentions: Printable
    gold: int
    mean: float
    deviation: float | None
    seeds: int


class Strata(Part):
    """What `kebench overlap` found, and with which knowledge base."""

    schema_version: Literal[1] = Field(STRATA_SCHEMA, alias="schema")
    kb: Printable
    kb_hash: Printable
    overlap: tuple[Overlap, ...]
    scores: tuple[StratumScore, ...]

    def by_protocol(self) -> dict[tuple[str, str], list[StratumScore]]:
        """Return the scores that may be compared: by task and protocol, in their order."""
        found: dict[tuple[str, str], list[StratumScore]] = {}
        for score in self.scores:
            found.setdefault((score.task, score.protocol), []).append(score)
        return found


def read_strata(path: Path) -> Strata:
    """Read what `kebench overlap --format json` wrote. Raises UserError if it is something else."""
    refused = "no output of 'kebench overlap --format json' ({}); make it again"
    return read_json_as(path, Strata, refused=refused, unreadable="cannot be read ({})")


def overlap_grid(strata: Strata) -> Grid:
    """Return how many mentions of each task are known."""
    has_corpus = any(one.in_corpus is not None for one in strata.overlap)
    headings = ("task", "mentions", "in KB", "%", *(("in corpus", "%") if has_corpus else ()))
    rows = []
    for one in strata.overlap:
        counts = (one.in_kb, *((one.in_corpus,) if has_corpus else ()))
        shares = [cell for count in counts for cell in (count, share_cell(count, one.mentions))]
        rows.append((one.task, one.mentions, *shares))
    return Grid(headings, rows)


def strata_grids(strata: Strata) -> list[tuple[str, Grid]]:
    """Return a named grid for each task and protocol: F1 ± deviation, kinds of mentions by models."""
    compared = strata.by_protocol()
    tasks = [task for task, _ in compared]
    grids = []
    for (task, protocol), scores in compared.items():
        models = list(dict.fromkeys(score.model for score in scores))
        gold = {score.mentions: score.gold for score in scores}
        cells = {(one.mentions, one.model): Cell(one.mean, deviation=one.deviation) for one in scores}
        rows = [(kind, number, *(cells.get((kind, one)) for one in models)) for kind, number in gold.items()]
        title = f"{task} ({protocol})" if tasks.count(task) > 1 else task
        grids.append((title, Grid(("mentions", "gold", *models), rows)))
    return grids
