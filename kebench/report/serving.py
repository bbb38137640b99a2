"""Serves the results page of folders that fill: made anew when records change, with what is running."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from kebench.probe.record import probe_record_paths
from kebench.records import record_paths

REFRESH_SECONDS = 15


class Progress(NamedTuple):
    """What stands in the folders besides finished runs: runs in progress, and runs that failed."""

    running: tuple[str, ...]
    failed: tuple[str, ...]


def progress_of(folders: Iterable[Path]) -> Progress:
    """Return the runs in progress and the failed ones, as TASK/MODEL/RUN."""
    running, failed = [], []
    for folder in folders:
        running += [_named(path, ".running") for path in folder.glob("*/*/*.running")]
        failed += [_named(path, ".failed.json") for path in folder.glob("*/*/*.failed.json")]
    return Progress(tuple(sorted(running)), tuple(sorted(failed)))


def _named(path: Path, suffix: str) -> str:
    run = path.name.removeprefix(".").removesuffix(suffix)
    return "/".join([*path.parts[-3:-1], run])


class Site:
    """The page of some folders, made when asked for and when something in them has changed."""

    def __init__(self, folders: Iterable[Path], build: Callable[[Progress], str]) -> None:
        self._folders, self._build = tuple(folders), build
        self._lock = Lock()
        self._state: tuple[object, ...] = ()
        self._page = b""

    def page(self) -> bytes:
        """Return the page for the folders as they are now."""
        with self._lock:
            progress = progress_of(self._folders)
            paths = [
                path
                for folder in self._folders
                for path in (*record_paths(folder), *probe_record_paths(folder))
            ]
            state = (progress, tuple((path, path.stat().st_mtime_ns) for path in paths))
            if state != self._state or not self._page:
                self._page = self._build(progress).encode()
                self._state = state
            return self._page


def server_of(site: Site, *, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server of one page, not yet running. Raises OSError if the port is taken.

    On this machine's own address a request that names another host is refused: a page elsewhere must not read
    this one by rebinding its name.
    """
    own = ("localhost", "127.0.0.1", "[::1]")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = (self.headers.get("Host") or "").rsplit(":", 1)[0]
            if host in own and asked not in own:
                self.send_error(HTTPStatus.FORBIDDEN)
            elif self.path != "/":
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                page = site.page()
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(page)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
            """Say nothing: a refresh every few seconds is no news."""

    return ThreadingHTTPServer((host, port), Handler)
