"""JSON lines: an object a document. Ours, and PubMedDS (Vashishth et al. 2021), which differ in their keys.

Ours: id (or pmid, _id, document_id); text, or title and abstract, which are joined by a blank; mentions, if
any: objects of start, end and, if they are known, ids (or cui), type and text.
PubMedDS: _id, text (or title and text), mentions of start_offset, end_offset, link_id, mention, category.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kebench.bounded import parse_json
from kebench.corpus.passage import Fault, GoldMention, Passage, Read, mention_problem, split_ids
from kebench.corpus.readers.stream import lines_of


class Keys(NamedTuple):
    """Under which keys a format has what; the first that is there counts."""

    document: tuple[str, ...]
    parts: tuple[tuple[str, ...], ...]
    start: str
    end: str
    ids: tuple[str, ...]
    kind: tuple[str, ...]
    said: tuple[str, ...]


OURS = Keys(
    ("id", "pmid", "_id", "document_id"), (("text",), ("title", "abstract")),
    "start", "end", ("ids", "cui"), ("type",), ("text",),
)  # fmt: skip
PUBMEDDS = Keys(
    ("_id", "pmid", "id"), (("title", "text"), ("text",), ("title", "abstract")),
    "start_offset", "end_offset", ("link_id",), ("category", "type"), ("mention",),
)  # fmt: skip


def _read(path: Path, keys: Keys) -> Iterator[Read]:
    for read in lines_of(path):
        if isinstance(read, Fault):
            yield read
        elif read[1].strip():
            yield from _document(*read, keys)


read_jsonl = partial(_read, keys=OURS)
read_pubmedds = partial(_read, keys=PUBMEDDS)


def _document(number: int, line: str, keys: Keys) -> Iterator[Read]:
    where = f"line {number}"
    try:
        document = parse_json(line)
    except ValueError as error:
        yield Fault(where, f"not JSON ({error})")
        return
    if not isinstance(document, dict):
        yield Fault(where, "no JSON object")
        return
    document_id, text = _first(document, keys.document), _text(document, keys)
    if not isinstance(document_id, str | int) or str(document_id) == "":
        yield Fault(where, f"no {keys.document[0]}")
    elif text is None:
        yield Fault(where, f"no text, expected {' or '.join(' and '.join(parts) for parts in keys.parts)}")
    elif not isinstance(mentions := document.get("mentions") or [], list):
        yield Fault(where, "mentions is no list")
    else:
        gold = []
        for written in mentions:
            mention = _mention(written, text, keys)
            if isinstance(mention, str):
                yield Fault(where, mention)
            else:
                gold.append(mention)
        yield Passage(str(document_id), 0, text, tuple(gold))


def _text(document: dict[str, Any], keys: Keys) -> str | None:
    """Return the text of a document: of the first way of writing it of which anything is there."""
    for parts in keys.parts:
        found = [document.get(part) or "" for part in parts]
        if all(isinstance(part, str) for part in found) and any(part in document for part in parts):
            if len(parts) > 1 and parts[-1] not in document and keys is PUBMEDDS:
                continue
            return " ".join(part for part in found if part)
    return None


def _mention(written: Any, text: str, keys: Keys) -> GoldMention | str:
    """Return a mention, or what is wrong with it."""
    found = written if isinstance(written, dict) else {}
    start, end = found.get(keys.start), found.get(keys.end)
    if type(start) is not int or type(end) is not int:
        return f"a mention without {keys.start} and {keys.end}"
    ids, kind = _first(found, keys.ids) or [], _first(found, keys.kind) or []
    if isinstance(ids, str):
        ids = split_ids(ids)
    kinds = [kind] if isinstance(kind, str) else kind
    for name, several in ((keys.ids[0], ids), (keys.kind[0], kinds)):
        if not isinstance(several, list | tuple) or not all(isinstance(one, str | int) for one in several):
            return f"a mention whose {name} is neither a string nor a list of such"
    mention = GoldMention(start, end, "|".join(map(str, kinds)), tuple(str(one) for one in ids if one))
    said = _first(found, keys.said)
    return mention_problem(text, mention, said if isinstance(said, str) else None) or mention


def _first(found: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((found[key] for key in keys if found.get(key) is not None), None)
