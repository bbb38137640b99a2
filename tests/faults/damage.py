"""Makes bad files of good ones: bytes, lines, fields, numbers, JSON values; draws come from a generator."""

import gzip
import json
import random
from collections.abc import Callable
from typing import Any

NASTY = (
    b"", b"\0", b"\xff\xfe", b"\xc3", b"-1", b"0", b"99999999999999999999", b"1e400", b"NaN", b"-Infinity",
    b"true", b"null", b"[]", b"{}", b'"', b"'", b"\\", b"\t", b"|", b"\r", b"\x1b[2J", b"../../x", b"&", b"<",
    b"]]>", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"%s", b"\\u0000", b"[" * 3000, b"a" * 5000, b"=", b"#",
    b"\\ud800", b"'''", b"1979-05-27", b"inf",
)  # fmt: skip
NASTY_VALUES = (
    None, True, -1, 0, 2**63, 10**30, 1e308, 0.5, "", "x", "\x1b[2J", "../../x", "a" * 5000, [], {}, [[]],
    [None], {"": None}, float("nan"), float("inf"), "\ud800", "\u0000", [0], ["x"], {"x": 1},
)  # fmt: skip


def damaged(content: bytes, draw: random.Random, *, name: str = "") -> bytes:
    """Return a file's content with one to three faults. name: of the file, whose ending tells its form."""
    if name.endswith(".gz") and draw.random() < 0.7:
        return gzip.compress(damaged(gzip.decompress(content), draw, name=name.removesuffix(".gz")), mtime=0)
    ways = list(WAYS)
    if name.endswith((".json", ".jsonl")) and draw.random() < 0.6:
        ways = [change_json]
    elif name.endswith(".safetensors") and draw.random() < 0.6:
        return change_header(content, draw)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        content = draw.choice(ways)(content, draw)
    return content


def flip_bit(content: bytes, draw: random.Random) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut_off(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def drop_slice(content: bytes, draw: random.Random) -> bytes:
    start, end = _slice(content, draw)
    return content[:start] + content[end:]


def repeat_slice(content: bytes, draw: random.Random) -> bytes:
    start, end = _slice(content, draw)
    return content[:end] + content[start:end] * draw.choice((1, 1, 50)) + content[end:]


def insert_nasty(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content) + 1)
    return content[:place] + draw.choice(NASTY) + content[place:]


def replace_nasty(content: bytes, draw: random.Random) -> bytes:
    start, end = _slice(content, draw)
    return content[:start] + draw.choice(NASTY) + content[end:]


def replace_number(content: bytes, draw: random.Random) -> bytes:
    places = [place for place, byte in enumerate(content) if 48 <= byte <= 57]
    if not places:
        return content
    place = draw.choice(places)
    return (
        content[:place]
        + draw.choice((b"9", b"-", b"1e999", b"", b"99999999999", b"."))
        + content[place + 1 :]
    )


def change_lines(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    way = draw.randrange(4)
    if way == 0:
        del lines[one]
    elif way == 1:
        lines.insert(other, lines[one])
    elif way == 2:
        lines[one], lines[other] = lines[other], lines[one]
    else:
        lines[one] = draw.choice(NASTY)
    return b"\n".join(lines)


def change_fields(content: bytes, draw: random.Random) -> bytes:
    """Swap, drop or replace a field of a line, whatever stands between fields."""
    lines = content.split(b"\n")
    number = draw.randrange(len(lines))
    between = max((b"\t", b"|", b",", b" = ", b": "), key=lines[number].count)
    fields = lines[number].split(between)
    one, other = draw.randrange(len(fields)), draw.randrange(len(fields))
    way = draw.randrange(3)
    if way == 0:
        fields[one], fields[other] = fields[other], fields[one]
    elif way == 1:
        del fields[one]
    else:
        fields[one] = draw.choice(NASTY)
    lines[number] = between.join(fields)
    return b"\n".join(lines)


def change_json(content: bytes, draw: random.Random) -> bytes:
    """Change one value somewhere in a JSON text, or in one line of JSON lines."""
    try:
        return json.dumps(_changed(json.loads(content), draw)).encode()
    except (ValueError, RecursionError):
        pass
    lines = content.split(b"\n")
    number = draw.randrange(len(lines))
    try:
        lines[number] = json.dumps(_changed(json.loads(lines[number]), draw)).encode()
    except (ValueError, RecursionError):
        return flip_bit(content, draw)
    return b"\n".join(lines)


def change_header(content: bytes, draw: random.Random) -> bytes:
    """Change one value in the header of a safetensors file, which stays as long as it says."""
    length = int.from_bytes(content[:8], "little")
    header = change_json(content[8 : 8 + length], draw)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def _changed(value: Any, draw: random.Random) -> Any:
    places = list(_places(value))
    if not places:
        return draw.choice(NASTY_VALUES)
    holder, key = draw.choice(places)
    way = draw.random()
    if way < 0.2:
        del holder[key]
    elif way < 0.3 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif way < 0.4 and isinstance(holder, dict):
        holder[draw.choice(("", "x", "schema", "__metadata__"))] = holder.pop(key)
    elif way < 0.55 and isinstance(holder[key], int | float):
        holder[key] = draw.choice((holder[key] + 1, -holder[key], holder[key] * 1000, str(holder[key])))
    else:
        holder[key] = draw.choice(NASTY_VALUES)
    return value


def _places(value: Any) -> Any:
    """Yield (holder, key) of every value inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in list(inside):
        yield value, key
        yield from _places(one)


def _slice(content: bytes, draw: random.Random) -> tuple[int, int]:
    start = draw.randrange(len(content) + 1)
    return start, min(len(content), start + draw.choice((1, 2, 5, 20, 200)))


WAYS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip_bit, flip_bit, cut_off, drop_slice, repeat_slice, insert_nasty, replace_nasty, replace_number,
    change_lines, change_fields,
)  # fmt: skip
