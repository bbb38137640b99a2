"""Where the query sets are that this machine has made or asked, so that a probe's record finds its set again.

A record holds the hash of its set and no path; the cache holds, by that hash, the folder it was last seen in.
"""

from contextlib import suppress
from pathlib import Path

from kebench.errors import UserError
from kebench.files import cache_folder, write_atomically
from kebench.probe.query_set import QuerySet


def _place(content_hash: str) -> Path:
    return cache_folder() / "sets" / content_hash


def remember_set(folder: Path, content_hash: str) -> None:
    """Keep where a set is; a cache that cannot be written only costs the user an option."""
    with suppress(OSError):
        write_atomically(_place(content_hash), str(folder.absolute()), point="query-set")


def find_set(content_hash: str, *, name: str, option: str = "--set") -> QuerySet:
    """Return the set of a hash. Raises UserError if it was never seen here, or is there no more.

    option: by which the command takes a set's folder.
    """
    try:
        folder = Path(_place(content_hash).read_text(encoding="utf-8"))
    except OSError:
        raise UserError(
            f"set {name} {content_hash[:8]}: not seen on this machine; name its folder by {option} FOLDER, "
            "or make it first ('kebench probe build', 'kebench probe import')"
        ) from None
    try:
        query_set = QuerySet.open(folder)
    except UserError as error:
        raise UserError(f"set {name} {content_hash[:8]}: {error}, or name it with {option}") from None
    if query_set.manifest.content_hash != content_hash:
        raise UserError(
            f"{folder}: holds another set than {name} {content_hash[:8]} by now; name it with {option}"
        )
    return query_set
