"""Downloads the files of a task from its card's sources: resumed, checked, and written whole or not at all.

A download in progress is FILE.part beside its target; the next call goes on from there. A file is kept
only if it holds what the card expects, so no hash of the source is needed (it is checked where known).
"""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import urlsplit

from kebench.errors import UserError
from kebench.files import sha256_of, write_atomically
from kebench.progress import progress
from kebench.tasks.card import SPLITS, TaskCard
from kebench.tasks.check import Finding, check_file, check_task
from kebench.tasks.readers import FETCH_AGAIN, Sentence, read_tagged_split

TIMEOUT_SECONDS = 30.0  # ours; for each wait on the network, not for the whole download
CHUNK_BYTES = 1 << 16


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
        if any(finding.level == "error" for finding in findings):
            raise UserError(_what_to_do(card, data))
        return [
            Fetched(finding, card.find_split(data, finding.split), was_there=True) for finding in findings
        ]
    folder = card.target_folder(data)
    return [_get_split(card, split, folder / card.files[split], force=force) for split in SPLITS]


def _what_to_do(card: TaskCard, data: Path) -> str:
    if card.access.kind == "embedded":
        return f"task '{card.name}' is part of kebench; there is nothing to fetch, 'kebench run' writes it"
    return (
        f"task '{card.name}' cannot be downloaded by a program. {card.access.instructions} "
        f"Data folder: {data}"
    )


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
    download(url, part, description=f"{card.name} {split}")
    try:
        _verify(card, split, url, part)
        with explain_write_errors(target):
            write_atomically(target, _as_published(card, split, part), point="data")
    finally:  # whatever was wrong with it, a complete download that failed must not be resumed
        part.unlink(missing_ok=True)
    return Fetched(check_file(card, split, target), target, was_there=False)


def _verify(card: TaskCard, split: str, url: str, part: Path) -> None:
    known = card.access.sha256.get(split)
    if known and (found := sha256_of(part)) != known:
        raise UserError(f"{url}: sha256 {found[:12]}..., expected {known[:12]}...; nothing kept, try again")
    finding = check_file(card, split, part)
    if finding.level == "error":
        what = finding.message.removeprefix(f"{part}: ").removeprefix(f"{part} ")
        what = what.removesuffix(f"; {FETCH_AGAIN}")
        raise UserError(f"{url}: {what}; nothing kept, the source is not what the card describes")


def _as_published(card: TaskCard, split: str, part: Path) -> bytes:
    """Return the bytes to keep: BLURB's own form where the download differs from it in form alone."""
    content = part.read_bytes()
    if card.format == "iob" and split in card.expected:
        in_form = iob_form(read_tagged_split(card, part).sentences)
        if hashlib.sha256(in_form).hexdigest() in card.expected[split].sha256:
            return in_form
    return content


def iob_form(sentences: list[Sentence]) -> bytes:
    """Return sentences as BLURB writes them: `token TAB tag`, a blank line after each sentence."""
    lines = [
        "".join(f"{word}\t{tag}\n" for word, tag in zip(row.words, row.tags, strict=True))
        for row in sentences
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def download(url: str, part: Path, *, description: str) -> None:
    """Download a URL to `part`, going on from the bytes that are there.

    Raises UserError, and leaves `part` to be resumed, if the connection cannot be made or breaks.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise UserError(f"{url}: not an http or https address; mend the card's sources")
    try:
        with _open(url, part) as (response, start):
            _receive(response, part, start=start, url=url, description=description)
    except urllib.error.HTTPError as error:
        raise UserError(
            f"{url}: the server answered {error.code} ({error.reason}); try later, or fetch the file by hand"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(
            f"{url}: no connection ({reason}); check the network, the same command goes on from there"
        ) from None


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block (no permission, disk full) into a UserError that names the file."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); free space, or name another folder with --data"
        ) from None


@contextmanager
def _open(url: str, part: Path) -> Iterator[tuple[http.client.HTTPResponse, int]]:
    """Yield the response to a request for the rest of `part`, and the byte at which it starts.

    A server that ignores the range answers 200 and sends everything; one that refuses it (416: our
    part is as long as the file, or longer) is asked again for everything.
    """
    start = part.stat().st_size if part.is_file() else 0
    try:
        response = _request(url, start)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not start:
            raise
        response = _request(url, 0)
    goes_on = response.status == 206 and _range_start(response) == start
    with response:
        yield response, start if goes_on else 0


def _request(url: str, start: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "kebench", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)
    response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    return response


def _range_start(response: http.client.HTTPResponse) -> int:
    """Return S of `Content-Range: bytes S-E/N`, or -1 if there is none."""
    unit, _, rest = (response.headers.get("Content-Range") or "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else -1


def _receive(
    response: http.client.HTTPResponse, part: Path, *, start: int, url: str, description: str
) -> None:
    length = response.headers.get("Content-Length")
    total = start + int(length) if length and length.isdigit() else None
    with explain_write_errors(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("ab" if start else "wb")
    with file, progress(description, total=total or 0, unit="bytes") as advance:
        advance(start)
        received = start + _copy(response, file, part, advance)
    if total is not None and received < total:
        raise UserError(
            f"{url}: the connection broke after {received:,} of {total:,} bytes; "
            "the same command goes on from there"
        )


def _copy(
    response: http.client.HTTPResponse, file: BinaryIO, part: Path, advance: Callable[[float], None]
) -> int:
    copied = 0
    while chunk := response.read1(CHUNK_BYTES):
        with explain_write_errors(part):
            file.write(chunk)
            file.flush()
        copied += len(chunk)
        advance(len(chunk))
    return copied
