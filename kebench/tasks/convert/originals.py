"""What converters share: the files of an original in memory, and which examples BLURB puts into each split.

Archives are never unpacked; a member that leads out of one, or is far larger than a document, is refused.
"""

import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

from kebench.bounded import parse_json, read_toml, read_within, unpack_gzip
from kebench.errors import UserError
from kebench.kinds.card import SPLITS

TO_SPACES = str.maketrans(
    "\n\r\t", "   "
)  # as BLURB's scripts do it, so that a text is one field of one line
MAX_MEMBER_BYTES = 5_000_000  # ours; the largest document of a corpus has about 0.3 MB
MAX_FILE_BYTES = 256 << 20  # ours; the largest original in one file has 50 MB


@cache
def split_ids(task: str) -> dict[str, tuple[str, ...]]:
    """Return the ids of each split's examples in the order of BLURB's files (`TASK-ids.toml`)."""
    fields = read_toml(Path(__file__).with_name(f"{task}-ids.toml"))
    return {split: tuple(fields[split].split()) for split in SPLITS if split in fields}


def require_all(source: Path, wanted: Collection[str], found: Collection[str], *, what: str) -> None:
    """Raise UserError if an original lacks some of the examples that the splits name."""
    if missing := [name for name in wanted if name not in found]:
        raise UserError(
            f"{source}: {len(missing):,} of {len(wanted):,} {what} are missing, first {missing[0]}; "
            "give the whole original"
        )


def corpus_files(source: Path, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, str, bytes]]:
    """Yield ("source: file", path, content) of the wanted files of a folder, a .tar.gz or a .zip.

    path: with / between folders. Raises UserError for what is none of them, and for a hostile member.
    """
    try:
        if source.is_dir():
            for path in sorted(source.rglob("*")):
                name = path.relative_to(source).as_posix()
                if is_wanted(name) and path.is_file():
                    _check_member(str(path), name, path.stat().st_size)
                    yield str(path), name, path.read_bytes()
        elif zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as zipped:
                for entry in zipped.infolist():
                    if is_wanted(entry.filename) and not entry.is_dir():
                        where = f"{source}: {entry.filename}"
                        _check_member(where, entry.filename, entry.file_size)
                        yield where, entry.filename, zipped.read(entry)
        else:
            with tarfile.open(source, "r:*") as archive:
                for member in archive:
                    if not is_wanted(member.name):
                        continue
                    where = f"{source}: {member.name}"
                    _check_member(where, member.name, member.size)
                    if (file := archive.extractfile(member) if member.isreg() else None) is None:
                        raise UserError(f"{where}: a link or device, expected a file; fetch the corpus again")
                    yield where, member.name, file.read()
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{source}: cannot be read as a folder, .tar.gz or .zip ({error}); fetch the corpus again"
        ) from None


def _check_member(where: str, name: str, size: int) -> None:
    if name.startswith(("/", "\\")) or ".." in Path(name).parts:
        raise UserError(f"{where}: a path that leads out of the archive; fetch the corpus again")
    if size > MAX_MEMBER_BYTES:
        raise UserError(f"{where}: {size:,} bytes, expected at most {MAX_MEMBER_BYTES:,}; fetch it again")


def decoded(where: str, content: bytes) -> str:
    """Return a file's text without a byte order mark. Raises UserError if it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 ({error.reason}); fetch the original again") from None


def find_original(source: Path, *names: str) -> Path:
    """Return `source` if it is a file, else the file in it of one of the names, at any depth, or its .gz."""
    if source.is_file():
        return source
    if not source.is_dir():
        raise UserError(f"{source}: no such file or folder; name the one with {' or '.join(names)}")
    for name in names:
        for path in (*sorted(source.rglob(name)), *sorted(source.rglob(f"{name}.gz"))):
            if path.is_file():
                return path
    raise UserError(f"{source}: no file {' or '.join(names)}; put the original there")


def read_original(path: Path) -> bytes:
    """Return a file's bytes, unpacked where they are gzip. Raises UserError if it cannot be read."""
    try:
        content = read_within(path, MAX_FILE_BYTES)
        return unpack_gzip(content, MAX_FILE_BYTES) if content.startswith(b"\x1f\x8b") else content
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); fetch the original again") from None


def read_json_object(path: Path) -> Mapping[str, object]:
    """Return the JSON object that a file holds. Raises UserError if it holds none."""
    try:
        found = parse_json(read_original(path))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); fetch the original again") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected a JSON object; fetch the original again")
    return found
