"""A file server on loopback that breaks off, ignores ranges, or has no such file, as a test wants it."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class FileServer:
    """A file server whose manners a test can change.

    honours_range: whether it sends only the rest. breaks_after: bytes after which it hangs up. chunked:
    whether it says the length of each chunk (here one) in place of that of the file.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []  # path, Range header
        self.honours_range = True
        self.chunked = False
        self.breaks_after: int | None = None
        self.url = ""

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range", "")
        self.requests.append((handler.path, wanted))
        content = self.files.get(handler.path)
        if content is None:
            handler.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.honours_range else 0
        if start >= len(content):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        rest = content[start:]
        if self.chunked:
            handler.send_header("Transfer-Encoding", "chunked")
            rest = f"{len(rest):x}\r\n".encode() + rest + b"\r\n0\r\n\r\n"
        else:
            handler.send_header("Content-Length", str(len(rest)))
        handler.end_headers()
        head = len(rest) - len(content[start:]) - 7 if self.chunked else 0
        handler.wfile.write(rest if self.breaks_after is None else rest[: head + self.breaks_after])


@contextmanager
def serving() -> Iterator[FileServer]:
    manners = FileServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            manners.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        manners.url = f"http://127.0.0.1:{httpd.server_port}"
        threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
        yield manners
        httpd.shutdown()
