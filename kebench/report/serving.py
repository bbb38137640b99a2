"""Serves the results page of folders that fill: made anew when records change, with what is running."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from urllib.parse import urlsplit

from kebench.errors import UserError
from kebench.probe.record import probe_record_paths
from kebench.records import record_paths

REFRESH_SECONDS = 15


class Progress(NamedTuple):
    """What stands in the folders besides finished runs: runs in progress, and runs that failed."""

    running: tuple[str, ...]
    failed: tuple[str, ...]


def progress_of(folders: Iterable[Path]) -> Progress:
    """Return the runs in progress and the failed ones, as TASK/MODEL/RUN."""
    folders = list(folders)

    def runs(suffix: str) -> tuple[str, ...]:
        paths = (path for folder in folders for path in folder.glob(f"*/*/*{suffix}"))
        names = ((*path.parts[-3:-1], path.name.removeprefix(".").removesuffix(suffix)) for path in paths)
        return tuple(sorted(map("/".join, names)))

    return Progress(runs(".running"), runs(".failed.json"))


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

    A request that names another host is refused: a page elsewhere must not read this by rebinding a name.
    While there is nothing to show it answers 503 with the reason, and asks to be asked again.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer with the page, or say why there is none."""
            if not _is_own_name(self.headers.get("Host", ""), host, str(server.server_address[0])):
                self.send_error(HTTPStatus.FORBIDDEN)
            elif self.path != "/":
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                try:
                    self._answer(HTTPStatus.OK, site.page(), "text/html")
                except (UserError, OSError) as error:
                    self._answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n".encode(), "text/plain")

        do_HEAD = do_GET

        def _answer(self, status: HTTPStatus, content: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            if status != HTTPStatus.OK:
                self.send_header("Refresh", str(REFRESH_SECONDS))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
            """Say nothing: a refresh every few seconds is no news."""

    server = ThreadingHTTPServer((host, port), Handler)
    return server


def _is_own_name(header: str, host: str, bound: str) -> bool:
    """Return whether a request's Host is this server: a loopback name, or what it was told to listen on.

    Listening on all addresses, any address may be named, as a number: no name that could be rebound.
    """
    asked = urlsplit(f"//{header}").hostname or ""
    if asked in (host, bound, "localhost"):
        return True
    try:
        address = ip_address(asked)
    except ValueError:
        return False
    return address.is_loopback or ip_address(bound).is_unspecified
