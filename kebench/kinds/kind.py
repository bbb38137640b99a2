"""What a kind of task is: everything that is done in its own way, in one place.

A kind needs no torch. What it leaves out is not there for its tasks: without `errors`, `kebench errors` says
so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kebench.kinds.card import TaskCard
from kebench.kinds.encoded import Answer, Encoded
from kebench.kinds.errors import Asked, Errors
from kebench.scoring.calibration import Judgement
from kebench.scoring.metrics import METRICS

# Of one class with the attributes id, text, words (what the file cuts the text into, or the text alone), and
# gold (what a model should say, as text).
Examples = Sequence[Any]


# Predictions of one that reads no text, by its name; None of one whose training set is not given.
Trivial = Mapping[str, Sequence[Any] | None]


class Read(NamedTuple):
    """What a split's file holds. scheme: of its tags, None without. types: of mentions, a line of each."""

    examples: Examples
    scheme: Any = None
    types: Mapping[str, int] = {}


class Words(NamedTuple):
    """What a kind's things are called, in the singular.

    example: a row of the file. unit: what its size is counted in. gold: what its score is counted over.
    label: what is predicted.
    """

    example: str
    unit: str
    gold: str
    label: str


class StoredSplit(BaseModel):
    """One split of stored predictions, as all kinds share it; each says more of its own columns.

    seen: rows of the test set that stand in train or dev too; none in runs from before it was kept.
    """

    model_config = ConfigDict(extra="ignore", strict=True)

    ids: list[str]
    gold: list[Any]
    predicted: list[Any]
    confidence_permille: list[Any] | None = None
    seen: list[int] = []

    @model_validator(mode="after")
    def _is_of_one_length(self) -> "StoredSplit":
        lists = {name: value for name, value in self if isinstance(value, list) and name != "seen"}
        if len({len(value) for value in lists.values()}) > 1:
            raise ValueError(f"{', '.join(lists)} are not of one length")
        seen = self.seen
        if seen != sorted({row for row in seen if 0 <= row < len(self.ids)}):
            raise ValueError("seen are not rows of the split, ascending")
        return self


class Stored(BaseModel):
    """Stored predictions of dev and test. A kind's own form has its splits, and what stands above them."""

    model_config = ConfigDict(extra="ignore", strict=True)

    kind: str


Permille = Annotated[int, Field(ge=0, le=1000)]


class Marks(NamedTuple):
    """How a kind checks the entity indicators in texts.

    faults: names each example whose indicators are not the card's, and what it holds.
    expected: says what a text should hold.
    """

    faults: Callable[[Any, Examples], list[str]]
    expected: Callable[[Any], str]


@dataclass(frozen=True)
class Kind:
    """One kind of task. Functions take the kind's own card.

    name: in cards and records. short: another word for it (--tasks re). title: over the block of a table.
    metrics: that it can be scored by (`kebench.scoring.metrics`); a card's is the first unless it says so.
    published: the metric that published numbers are in; "" where a task's own is that.
    task_type: Hugging Face's name of such tasks, for model cards.
    read: reads a split's file; raises UserError with file and line.
    hashed: returns what decides how files are read and scored; a task's hash covers it.
    count_units, count_gold, labels_of: what a size is counted in, what a score is counted over, and the
        labels of one example.
    encode: makes arrays of examples; raises nothing that `read` lets through.
    prepare: adds to a tokenizer what the card needs.
    loss: what is learnt by, and what of a text the maximum length cuts; for people, and in the hash of kinds
        that read a whole text.
    head, num_outputs, states_per_decision: of `kebench.finetune.classifier`.
    reads_text: whether a decision is on a whole text, at its first piece or at the mean of all.
    predicted: returns a split's predictions as they are stored: ids, gold, predicted ..., no text.
    stored: the form of the whole; header: what stands above the splits.
    refuse_beside: raises UserError if a split's file does not fit those read before it.
    cut: returns how many words or examples of a stored split the maximum length cut into (num_cut), and how
        many indicators it cut off (num_missing_markers).
    marks: of kinds whose texts hold entity indicators. calibrated: the decisions of a split that calibration
        is counted over, by name ("instances").
    trivial: returns what predictors that read no text say of a split, by name; of the training set's
        examples and the split's gold as it is stored. Without a training set (None), None of those that
        need it.
    errors: tells where a model goes wrong.
    words_of: returns the words of an example, of which a tokenizer may not know some.
    plain_text: returns an example's text without entity indicators.
    written: returns the bytes of a file of these examples in the form that is handed out.
    has_scheme: whether files are tagged in a scheme, which a run has to know before it is planned.
    mentions: returns the text of each mention that some predictions of an example mark.
    """

    name: str
    short: str
    title: str
    words: Words
    card: type[TaskCard]
    metrics: tuple[str, ...]
    task_type: str
    read: Callable[[Any, Path], Read]
    hashed: Callable[[Any], list[Any]]
    encode: Callable[[Any, Examples, Any, int], Encoded]
    num_outputs: Callable[[Any], int]
    predicted: Callable[[Any, Examples, Encoded, Sequence[Answer]], dict[str, Any]]
    stored: type[Stored]
    labels_of: Callable[[Any], Iterable[str]]
    loss: str
    published: str = ""
    header: Callable[[Any], dict[str, Any]] = lambda card: {}
    count_units: Callable[[Examples], int] = len
    count_gold: Callable[[Any, Examples], int] = lambda card, examples: len(examples)
    gold_row: Callable[[Any], str] = lambda example: f"{example.id}\t{example.gold}"
    prepare: Callable[[Any, Any], None] = lambda tokenizer, card: None
    head: Literal["softmax", "sigmoid", "regression"] = "softmax"
    states_per_decision: int = 1
    reads_text: bool = False
    refuse_beside: Callable[[Any, Mapping[str, Path], Mapping[str, Read], str], None] = lambda *given: None
    cut: Callable[[Mapping[str, Any]], dict[str, int]] = lambda part: {"num_cut": part.get("num_cut", 0)}
    marks: Marks | None = None
    calibrated: Mapping[str, Callable[[Mapping[str, Any]], Iterable[Judgement]]] = field(default_factory=dict)
    trivial: Callable[[Any, Examples | None, Sequence[Any]], Trivial] = lambda *given: {}
    errors: Callable[[Asked], Errors] | None = None
    mentions: Callable[[Any, Any], Iterable[str]] | None = None
    words_of: Callable[[Any, Any], Iterable[str]] = lambda card, example: example.text.split()
    plain_text: Callable[[Any, Any], str] = lambda card, example: example.text
    written: Callable[[Examples], bytes] | None = None
    has_scheme: bool = False

    def __post_init__(self) -> None:
        unknown = {*self.metrics, *filter(None, [self.published])} - {*METRICS}
        assert self.metrics, f"kind {self.name}: a kind has a metric"
        assert not unknown, f"kind {self.name}: no metric {', '.join(sorted(unknown))}"
