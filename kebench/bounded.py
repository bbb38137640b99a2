"""Reads files that may come from anybody within bounds: of size, of nesting, of what they unpack to.

The bounds are ours: many times the largest honest file that we know of, and far below a machine's memory.
"""

import gc
import json
import re
import tomllib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kebench.errors import UserError

_SURROGATE = re.compile("\\\\u[dD][89a-fA-F]|[\ud800-\udfff]")  # half of a character, or of two
MOST_TOML_BYTES = 1 << 20  # the longest shipped file has 7 KB
MOST_DOTS = 2000  # in a line of TOML, where each may be a table within a table
MOST_JSON_BYTES = 128 << 20  # records, manifests, configurations
MOST_TOKENIZER_BYTES = 256 << 20  # tokenizer.json, vocabularies
MOST_PREDICTIONS_BYTES = 256 << 20  # unpacked


def read_within(path: Path, most_bytes: int = MOST_JSON_BYTES) -> bytes:
    """Return a file's bytes. Raises UserError, before reading it, if it is larger than such a file can be."""
    refuse_larger(path, most_bytes)
    return path.read_bytes()


def refuse_larger(path: Path, most_bytes: int) -> None:
    """Raise UserError if a file is larger than such a file can be."""
    if (found := path.stat().st_size) > most_bytes:
        raise UserError(
            f"{path}: {found:,} bytes, expected at most {most_bytes:,}; fetch it again, or check the path"
        )


def parse_json(content: bytes | str) -> Any:
    """Return a JSON value.

    Raises ValueError, also where it is not UTF-8, is nested too deeply for Python, or holds half a surrogate
    pair, which could be written nowhere.
    """
    text = content if isinstance(content, str) else content.decode("utf-8-sig")
    is_collecting = gc.isenabled()
    gc.disable()  # where nesting uses the stack up, a collection's finalizers would find none left
    try:
        value = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair, which is no character") from None
    finally:
        if is_collecting:
            gc.enable()
    return value


def json_objects(path: Path, lines: Iterable[str | bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of JSON lines with their numbers, from 1; blank lines are passed over.

    path: what errors call the file. Raises UserError for a line that is no JSON object.
    """
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        try:
            line = parse_json(raw)
        except ValueError as error:
            raise UserError(f"{path} line {number}: not JSON ({error}); mend this line") from None
        if not isinstance(line, dict):
            raise UserError(f"{path} line {number}: no JSON object; mend this line")
        yield number, line


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds. Raises UserError if it cannot be read."""
    try:
        text = read_within(path, MOST_TOML_BYTES).decode("utf-8")
        if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
            raise RecursionError  # a.a.a ... takes tomllib time beyond all bounds
        return tomllib.loads(text)
    except RecursionError:
        raise UserError(f"{path}: not valid TOML (nested too deeply); mend the file") from None
    except (ValueError, OverflowError) as error:  # not TOML, not UTF-8, a number beyond Python's
        raise UserError(f"{path}: not valid TOML ({error}); mend the file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def unpack_gzip(content: bytes, most_bytes: int) -> bytes:
    """Return what a gzip file holds. Raises ValueError if it is damaged, or more than so many bytes."""
    unpacked, rest = bytearray(), content
    while rest:
        stream = zlib.decompressobj(wbits=31)
        try:
            unpacked += stream.decompress(rest, most_bytes + 1 - len(unpacked))
        except zlib.error as error:
            raise ValueError(f"not gzip, or damaged: {error}") from None
        if len(unpacked) > most_bytes:
            raise ValueError(f"unpacks to more than {most_bytes:,} bytes")
        if not stream.eof:
            raise ValueError("the gzip file is cut off")
        rest = stream.unused_data.lstrip(b"\0")  # gzip may be padded, and may go on with another member
    return bytes(unpacked)
