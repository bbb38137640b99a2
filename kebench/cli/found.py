"""The records that a command reads: which folders, which records, their board, and how it says so."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import click

from kebench.cli.options import FOLDER, Command, added_by, option
from kebench.errors import UserError, counted, did_you_mean
from kebench.finetune.encode import choose_rows
from kebench.finetune.plan import TaskFiles, find_task_files
from kebench.kinds.card import SPLITS
from kebench.kinds.kind import Examples
from kebench.kinds.registry import read_split
from kebench.kinds.stored import read_predictions
from kebench.model.fetch import is_used_in_place
from kebench.model.source import cached_folder, card_of, model_hash
from kebench.probe.record import probe_record_paths
from kebench.records import OtherName, Record, read_other_names, read_records, record_paths
from kebench.report.baselines import FindTrain
from kebench.report.compare import Predictions
from kebench.report.merge import contradiction
from kebench.report.published import PublishedTable
from kebench.report.rescore import say_left_out as name_left_out
from kebench.report.rescore import without_seen as drop_seen
from kebench.report.table import Choice, Leaderboard, build_leaderboard, label_of
from kebench.run import data_of, resolve
from kebench.scoring.metrics import AS_PUBLISHED, METRICS, OWN
from kebench.shipped import shipped
from kebench.tasks.card import all_task_cards, data_folder, select_tasks
from kebench.tasks.facts import seen_rows

LOCAL = Path("results/local")
REMEDY = "run some with 'kebench run', or name a folder that has some with --results"

results_option = click.option(
    "--results",
    "folders",
    multiple=True,
    type=FOLDER,
    help="Folder of records; repeatable.  [default: results/local, else the shipped]",
)


@dataclass(frozen=True, kw_only=True)
class RecordOptions:
    """The options by which several commands choose records."""

    folders: tuple[Path, ...] = added_by(results_option)
    suite: str | None = option(help="Only this suite: blurb, kebiolm (the paper's eight tasks), mini ...")
    tasks: str | None = option(help="Only these tasks, suites or kinds: gad,ddi,ner ...")
    across_protocols: bool = option(help="One table a suite, each task under a protocol that a note says.")


def check_metric(choice: str) -> str:
    """Return the choice. Raises UserError if it names no metric."""
    known = (OWN, AS_PUBLISHED, *METRICS)
    if choice not in known:
        raise UserError(f"no metric '{choice}'{did_you_mean(choice, known)} there are {', '.join(known)}")
    return choice


metric_option = click.option(
    "--metric",
    default="strict",
    show_default=True,
    callback=lambda context, parameter, choice: check_metric(choice),
    help="strict: each task's own; as-published: as published numbers are scored; or a metric: accuracy ...",
)
resamples_option = click.option(
    "--resamples", type=click.IntRange(min=999), default=10_000, show_default=True
)


def correction_option(over: str) -> Any:
    """Return the field of --correction. over: what the family is made of, for the help."""
    kinds = click.Choice(["holm", "bh", "none"])
    return option(type=kinds, default="holm", help=f"Over {over}: Holm, or Benjamini-Hochberg.")


def unseen_options(command: Command, *, also: str = "") -> Command:
    """Add --without-seen, and --data for runs from before it was kept which examples were seen.

    also: another option that needs the data.
    """
    flag = click.option(
        "--without-seen", is_flag=True, help="Score without test examples that stand in train or dev."
    )
    said = f"{also}--without-seen, of older runs: the data; default: KEBENCH_DATA."
    return flag(click.option("--data", type=FOLDER, help=said)(command))


class Found(NamedTuple):
    """Records, the file of each (by task, model and identity), their folders, and the words for these.

    other_names: under which a model may be asked for that is recorded under another.
    """

    records: list[Record]
    paths: dict[tuple[str, str, str], Path]
    folders: tuple[Path, ...]
    where: str
    other_names: dict[str, OtherName]


def read_found(folders: tuple[Path, ...], *, or_probes: bool = False) -> Found:
    """Return the records of the folders; a run that stands in two of them counts once.

    or_probes: folders of probes alone will do.

    A file that is no record of ours, or that contradicts one read before it, is named and left out. Raises
    UserError if no record is left.
    """

    def has_probes(folder: Path) -> bool:
        return or_probes and any(probe_record_paths(folder))

    if not folders and LOCAL.is_dir() and (record_paths(LOCAL) or has_probes(LOCAL)):
        folders = (LOCAL,)
        say(f"records of {LOCAL}")
    elif not folders:
        recorded_ones = _recorded()
        if recorded_ones is None:
            raise UserError(f"{LOCAL}: no records, and none are shipped; {REMEDY}")
        folders = (recorded_ones,)
        say(f"records of {recorded_ones}, shipped with kebench ({LOCAL} has none)")
    by_run: dict[tuple[str, str, str], tuple[Path, Record]] = {}
    names: dict[str, OtherName] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder of records; {REMEDY}")
        for path, record in read_records(folder, left_out=say_left_out):
            kept, before = by_run.setdefault(run_key(record), (path, record))
            if before is not record and (difference := contradiction(before, record)):
                say(f"contradiction: {kept} stays, {path} is left out: {difference}")
        try:
            names |= read_other_names(folder)
        except UserError as error:
            say_left_out(error)
    where = ", ".join(str(folder) for folder in folders)
    if not by_run and not any(map(has_probes, folders)):
        raise UserError(f"{where}: no records; {REMEDY}")
    records = [record for _, record in by_run.values()]
    paths = {run: path for run, (path, _) in by_run.items()}
    recorded = {(record.model, record.model_hash) for record in records}
    known = {model for model, _ in recorded}
    others = {
        name: other
        for name, other in names.items()
        if name not in known and (other.recorded_as, other.model_hash) in recorded
    }
    return Found(records, paths, folders, where, others)


def run_key(record: Record) -> tuple[str, str, str]:
    """Return what a run is known by in several folders."""
    return record.task, record.model, record.identity


def _recorded() -> Path | None:
    """Return the folder of the records that ship with kebench, None if there are none."""
    recorded = shipped("results/recorded")
    return recorded if recorded.is_dir() and record_paths(recorded) else None


def require_here(found: Found, *, models: Iterable[str] = (), task: str = "") -> None:
    """Raise UserError for a model or a task of which only the shipped records have some.

    A user's first run hides those: from then on the default folder is that of the runs.
    """
    recorded = _recorded()
    if recorded is None or found.folders != (LOCAL,):
        return
    here = {record.model for record in found.records} | {record.task for record in found.records}
    for name, place, said in (
        *((model, f"*/{model}", f"model '{model}'") for model in models),
        (task, task, task),
    ):
        if name and name not in here and any(recorded.glob(f"{place}/")):
            shipped = recorded.relative_to(Path.cwd()) if recorded.is_relative_to(Path.cwd()) else recorded
            raise UserError(
                f"{found.where}: no records of {said}; those shipped with kebench have some: pass "
                f"--results {LOCAL} --results {shipped}"
            )


def filter_found(
    found: Found, *, suite: str | None, tasks: str | None, models: Sequence[str] = ()
) -> list[Record]:
    """Return the records that the options choose. Raises UserError if none is left."""
    names = None
    if suite is not None or tasks is not None:
        cards = all_task_cards()
        suites = {suite for card in cards for suite in card.suites}
        if suite is not None and suite not in suites:
            raise UserError(f"no suite '{suite}'; there are {', '.join(sorted(suites))}")
        chosen = select_tasks(tasks, kind_suite=suite) if tasks else cards
        names = {card.name for card in chosen if suite is None or suite in card.suites}
    kept = [
        record
        for record in found.records
        if (names is None or record.task in names) and (not models or record.model in models)
    ]
    if not kept:
        raise UserError(
            f"{found.where}: {counted(len(found.records), 'record')}, none that --suite, --tasks and "
            "--models leave; widen them"
        )
    return kept


def recorded_name(
    word: str, known: Collection[str], other_names: Mapping[str, OtherName] | None = None
) -> str:
    """Return the name that records give a model, which may be named by its folder or source, as for a run.

    other_names: of `Found`, under which it may be asked for too.
    """
    name = word
    if word not in known and _is_place(word):
        try:
            name = card_of(word).name
        except UserError:
            return word  # gone since, or never there: whoever looks for its records will say so
    other = (other_names or {}).get(name)
    return other.recorded_as if other and name not in known else name


def row_name(word: str, records: Sequence[Record], other_names: Mapping[str, OtherName]) -> str:
    """Return what stands for a model on the leaderboard: its name, of several weights also their hash.

    Named by its folder or source, it is the weights that are there now; so is a card of whose name there are
    several, if it can be resolved. Raises UserError if no record is of those weights.
    """
    name = recorded_name(word, {record.model for record in records}, other_names)
    hashes = {record.model_hash for record in records if record.model == name}
    if (name == word and len(hashes) == 1) or not (hashes or _is_place(word)):
        return name
    hashed = other_names[word].model_hash if word in other_names else weights_now(word)
    found = [
        record
        for record in records
        if record.model_hash == hashed and (record.model == name or not hashes)  # weights of another name
    ]
    if found:
        return label_of(found[0], records, other_names)
    if name == word or not hashes:  # a label may tell them apart
        return name
    raise UserError(f"{word}: no records of the weights there, but of others called {name}; run it again")


def weights_now(word: str) -> str:
    """Return the hash of a model's weights as they are here now; "" if they are not: nothing is fetched."""
    try:
        card = card_of(word)
        is_fetched = card.source_kind != "embedded" and not is_used_in_place(card)
        if is_fetched and cached_folder(card) is None:
            return ""
        resolved = resolve(word)
        return model_hash(resolved.folder, casing=resolved.card.casing)
    except UserError:
        return ""


def _is_place(word: str) -> bool:
    return bool(set(word) & set("/:"))


def split_names(words: str | None) -> list[str]:
    """Return the names of a list with commas."""
    return [word.strip() for word in (words or "").split(",") if word.strip()]


def wanted_models(found: Found, words: str | None, *, printed: Collection[str] = ()) -> list[str]:
    """Return the models that --models names. Raises UserError for one of which there is nothing.

    printed: models of published tables, which may be named too.
    """
    known = {record.model for record in found.records}
    wanted = [recorded_name(word, known, found.other_names) for word in split_names(words)]
    require_here(found, models=[name for name in wanted if name not in printed])
    known |= set(printed)
    for name in wanted:
        if name not in known:
            listed = ", ".join(sorted(known))
            raise UserError(f"no records of model '{name}'{did_you_mean(name, known)} there are {listed}")
    return wanted


def predictions_of(found: Found) -> Predictions:
    """Return what reads the predictions beside a record."""
    return lambda record: read_predictions(found.paths[run_key(record)])


def build_board(
    found: Found,
    records: Sequence[Record],
    metric: Choice,
    *,
    published: Sequence[PublishedTable] = (),
    without_seen: bool,
    data: Path | None = None,
    suite: str | None = None,
    across_protocols: bool = False,
) -> tuple[Leaderboard, Predictions]:
    """Return the leaderboard of some records that were found, and what reads their predictions.

    without_seen: both without what was seen, and without published rows, which are of whole test sets.
    data: see `unseen_options`. Raises UserError where it cannot be found out which examples were seen.
    """
    cards = all_task_cards()
    board_of = partial(
        build_leaderboard,
        cards=cards,
        metric=metric,
        other_names=found.other_names,
        suite=suite,
        across_protocols=across_protocols,
    )
    predictions = predictions_of(found)
    if not without_seen:
        return board_of(records, published=published), predictions

    @cache
    def seen_in_data(task: str, task_hash: str) -> Sequence[int]:
        """Return which test examples were seen, from the very files that runs were made from."""
        what = f"{task}: which test examples were seen is not kept in these older runs"
        card = next((card for card in cards if card.name == task), None)
        if card is None:
            raise UserError(f"{what}, and there is no card of the task to read its data with; run it again")
        folder = data_of(card, data_folder(data))
        try:
            files = find_task_files(card, folder)
        except UserError as error:
            raise UserError(f"{what}; name the data they were made from by --data ({error})") from None
        if files.hash != task_hash:
            raise UserError(
                f"{what}, and they were made from other files than {folder} holds; name those by --data"
            )
        read = {split: read_split(card, files.paths[split]) for split in SPLITS}
        return seen_rows(card, read, "test").rows

    unseen = drop_seen(
        records, predictions, find_seen=lambda record: seen_in_data(record.task, record.task_hash)
    )
    return name_left_out(board_of(unseen.records), unseen), unseen.predictions


def find_train(data: Path | None) -> FindTrain:
    """Return what finds the training examples of a run. data: the folder that a user names, if one is."""
    cards = {card.name: card for card in all_task_cards()}

    @cache
    def files_of(task: str) -> TaskFiles | None:
        """Return a task's files, None where they are not there or cannot be read."""
        try:
            return find_task_files(cards[task], data_of(cards[task], data_folder(data)))
        except UserError:
            return None

    @cache
    def read_train(task: str) -> Examples:
        files = files_of(task)
        assert files is not None, "asked of a task that has files"
        return read_split(files.card, files.paths["train"])

    def of_run(record: Record) -> Examples | None:
        files = files_of(record.task)
        if files is None or files.hash != record.task_hash:
            return None
        examples, subset = read_train(record.task), record.protocol.subset
        return [examples[row] for row in choose_rows(len(examples), subset.train_rows, seed=subset.seed)]

    return of_run


def say_left_out(error: UserError) -> None:
    """Say that a file is passed over, and why."""
    say(f"left out: {error}")


def say(line: str) -> None:
    """Print a line for the user to stderr, so that tables go to files alone."""
    click.echo(line, err=True)
