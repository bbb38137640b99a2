"""The kinds of task there are. A new one is a file beside this one and a line here."""

from pathlib import Path

from kebench.kinds.card import TaskCard
from kebench.kinds.classification import CLASSIFICATION
from kebench.kinds.kind import Examples, Kind
from kebench.kinds.ner import NER
from kebench.kinds.pico import PICO
from kebench.kinds.qa import QA
from kebench.kinds.relation import RELATION
from kebench.kinds.similarity import SIMILARITY
from kebench.records import Record
from kebench.scoring.metrics import AS_PUBLISHED, METRICS, OWN, Metric

# In the order of tables, which is BLURB's.
_ALL = (NER, PICO, RELATION, SIMILARITY, CLASSIFICATION, QA)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}


def read_split(card: TaskCard, path: Path) -> Examples:
    """Read the examples of one split's file. Raises UserError with file and line."""
    return KINDS[card.kind].read(card, path).examples


def metric_of(record: Record, choice: str = OWN) -> Metric:
    """Return the metric that a choice means for a run: its own, that of published numbers, or one by name."""
    own = record.protocol.metric
    if choice == AS_PUBLISHED:
        return METRICS[KINDS[record.kind].published or own]
    return METRICS[own if choice == OWN else choice]
