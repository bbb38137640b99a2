"""Downloads the files of a task from its card's sources: resumed, checked, and written whole or not at all.

A download in progress is FILE.part beside its target; the next call goes on from there. A file is kept
only if it holds what the card expects, so no hash of the source is needed (it is checked where known).
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

from kebench.download import NoNetworkError, downloaded, explain_write_errors
from kebench.errors import UserError
from kebench.files import write_atomically
from kebench.kinds.card import SPLITS, TaskCard
from kebench.kinds.lines import FETCH_AGAIN
from kebench.kinds.registry import KINDS
from kebench.tasks.check import Finding, check_file, check_task


class Fetched(NamedTuple):
    """One split after `get_task`. `was_there` says that nothing had to be downloaded."""

    finding: Finding
    path: Path
    was_there: bool


def get_task(card: TaskCard, data: Path, *, force: bool = False) -> list[Fetched]:
    """Download the splits of a task that are not there yet, and return what each file holds.

    force: replace files that are there but wrong. Raises UserError with what to do where the data
    cannot be downloaded, and where a file that is there is not what the card expects.
    """
    if card.access.kind != "open":
        findings = check_task(card, data)
        if not any(finding.level == "error" for finding in findings):
            return [Fetched(one, card.find_split(data, one.split), was_there=True) for one in findings]
        if card.access.kind == "embedded":
            raise UserError(
                f"task '{card.name}' is part of kebench; there is nothing to fetch, 'kebench run' writes it"
            )
        raise UserError(
            f"task '{card.name}' cannot be downloaded by a program. {card.access.instructions} "
            f"Data folder: {data}"
        )
    folder = card.target_folder(data)
    return [_get_split(card, split, folder / card.files[split], force=force) for split in SPLITS]


def _get_split(card: TaskCard, split: str, target: Path, *, force: bool) -> Fetched:
    part = target.with_name(f"{target.name}.part")
    if target.is_file():
        finding = check_file(card, split, target)
        if finding.level != "error":
            part.unlink(missing_ok=True)
            return Fetched(finding, target, was_there=True)
        if not force:
            raise UserError(f"{finding.message}, or replace it: 'kebench data get {card.name} --force'")
    url = card.access.sources[split]
    known = card.access.sha256.get(split, "")
    try:
        with downloaded(url, part, description=f"{card.name} {split}", sha256=known) as whole:
            finding = check_file(card, split, whole)
            if finding.level == "error":
                what = finding.message.removeprefix(f"{whole}: ").removeprefix(f"{whole} ")
                what = what.removesuffix(f"; {FETCH_AGAIN}")
                raise UserError(f"{url}: {what}; nothing kept, the source is not what the card describes")
            with explain_write_errors(target):
                content, kind = whole.read_bytes(), KINDS[card.kind]
                # BLURB's own form is kept where the download differs from it in form alone.
                if kind.written and split in card.expected:
                    in_form = kind.written(kind.read(card, whole).examples)
                    if hashlib.sha256(in_form).hexdigest() in card.expected[split].sha256:
                        content = in_form
                write_atomically(target, content, point="data")
    except NoNetworkError as error:
        raise UserError(
            f"{url}: no connection ({error}); check the network, the same command goes on from there"
        ) from None
    return Fetched(check_file(card, split, target), target, was_there=False)
