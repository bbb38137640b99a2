"""Lines of a task's text file, with numbers: what every reader of tab-separated files begins with.

CRLF, a byte order mark and a last line without newline are read like any other; what is not UTF-8 is refused.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from kebench.errors import UserError

FETCH_AGAIN = "fetch the file again"
MEND = "mend the file"  # of a user's own, which nobody else has


class LineError(UserError):
    """A line that cannot be read; `line` is its 1-based number."""

    def __init__(self, path: Path, line: int, what: str, remedy: str = FETCH_AGAIN) -> None:
        super().__init__(f"{path} line {line}: {what}; {remedy}")
        self.line, self.what, self.remedy = line, what, remedy


def numbered_lines(path: Path, remedy: str) -> Iterator[tuple[int, str]]:
    """Yield (1-based number, line without its end). Only LF and CRLF end a line: U+2028 is text."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if not content:
        raise UserError(f"{path}: empty; {remedy}")
    if b"\0" in content:
        raise UserError(f"{path}: a binary file, expected tab-separated text; {remedy}")
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise LineError(path, number, f"not UTF-8 ({error.reason})", remedy) from None
    for number, line in enumerate(lines, 1):
        yield number, line.removesuffix("\r")


def refuse_shared(
    lines: Mapping[str, Mapping[str, int]], paths: Mapping[str, Path], split: str, *, said: str, remedy: str
) -> None:
    """Raise LineError for the first name of a split that another one has, too.

    lines: of each split that was read the line of every name. said: what a name does there, with {} for it.
    """
    for other, known in lines.items():
        for name, line in lines[split].items() if other != split else ():
            if name in known:
                what = f"{said.format(name[:40])} {paths[other].name} line {known[name]} too"
                raise LineError(paths[split], line, what, remedy)


def column_count(fields: list[str]) -> str:
    """Return "1 column" or "3 columns"."""
    return "1 column" if len(fields) == 1 else f"{len(fields)} columns"
