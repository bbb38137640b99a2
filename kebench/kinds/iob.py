"""Tagged files: `token TAB tag`, a blank line between sentences, `-DOCSTART-` lines skipped.

Tags are of any scheme of `kebench.kinds.schemes` and become IOB2's. Types (`B-DNA`) tell mentions apart.
Where a card names types they are kept, and a mention of another is refused; where it names none they are cut,
and a file of several is refused, unless the card says that it ignores them, as BLURB does for JNLPBA
(KeBioLM, section 4.2.1).
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from kebench.errors import UserError, did_you_mean
from kebench.kinds.kind import Read
from kebench.kinds.lines import FETCH_AGAIN, LineError, column_count, numbered_lines
from kebench.kinds.schemes import MisfitError, Scheme, Tag, bio_tags, parse_tag, read_tagging
from kebench.kinds.tagging import Sentence

MEND_TYPES = "name them in the task's card (types = [...]), keep one type, or write ignore_types = true there"


def read_tagged(
    path: Path,
    *,
    scheme: Scheme | None = None,
    types: tuple[str, ...] = (),
    ignore_types: bool = False,
    remedy: str = FETCH_AGAIN,
) -> Read:
    """Read an iob file and recognise its scheme. UserError with file and line for a wrong column or tag.

    scheme: the one that the file must be in. types: those that mentions must be of, and that are kept.
    ignore_types: mentions may be of several types, which are cut.
    """
    words: list[list[str]] = [[]]
    tags: list[list[Tag]] = [[]]
    first_lines = [1]
    known: dict[str, Tag] = {}  # what stands behind the tab of lines so far: most lines need no second look
    for number, line in numbered_lines(path, remedy):
        if line.strip() and not line.startswith("-DOCSTART-"):
            word, _, behind = line.partition("\t")
            tag = known.get(behind) if word.strip() else None
            if tag is None:
                tag = known[behind] = _tag_of(line, path, number, remedy)
            words[-1].append(word)
            tags[-1].append(tag)
            continue
        if words[-1]:
            words.append([])
            tags.append([])
            first_lines.append(number + 1)
        first_lines[-1] = number + 1
    if not words[-1]:
        del words[-1], tags[-1]
    try:
        found, mentions = read_tagging(tags, scheme)
    except MisfitError as misfit:
        raise LineError(path, first_lines[misfit.sentence] + misfit.word, str(misfit), remedy) from None
    lines: dict[str, int] = {}
    for first, row in zip(first_lines, mentions, strict=False):
        for mention in row:
            lines.setdefault(mention.type, first + mention.start)
    if types and (stray := [name for name in lines if name not in types]):
        name = stray[0]
        what = f"a mention of type '{name}'{did_you_mean(name, types)}" if name else "a mention of no type;"
        raise LineError(path, lines[name], f"{what} expected one of {', '.join(types)}", remedy)
    if len(lines) > 1 and not types and not ignore_types:
        # The rarest is named first: it may be a slip. Of equals, the later ones.
        counts = Counter(mention.type for row in mentions for mention in row)
        rarest = sorted(lines, key=lambda name: (counts[name], -lines[name]))
        raise LineError(path, lines[rarest[0]], several_types(rarest), MEND_TYPES)
    if not words:
        raise UserError(f"{path}: holds no example; {remedy}")
    sentences = [
        Sentence(str(at), tuple(row), bio_tags(spans, len(row), has_types=bool(types)))
        for at, (row, spans) in enumerate(zip(words, mentions, strict=True))
    ]
    return Read(sentences, found, lines)


def several_types(types: Iterable[str], where: str = "of this file") -> str:
    """Say that a mention is of another type than others: "a mention of type 'Disease', others ..."."""
    first, *others = (f"type '{name}'" if name else "no type" for name in types)
    rest = f"{', '.join(others[:3])}{' ...' if len(others) > 3 else ''}"
    return f"a mention of {first}, others {where} are of {rest}, and no types are told apart"


def _tag_of(line: str, path: Path, number: int, remedy: str) -> Tag:
    fields = [field.strip() for field in line.split("\t")]
    if len(fields) != 2:
        looks = ""
        if len(fields) == 1 and len(words := line.split()) > 1 and parse_tag(words[-1]):
            looks = "; it looks cut by blanks, put a tab between token and tag"
        elif len(fields) > 3 and parse_tag(fields[-1]):
            looks = "; it looks like CoNLL's form, keep its first and last column"
        raise LineError(path, number, f"{column_count(fields)}, expected 2 (token TAB tag){looks}", remedy)
    word, behind = fields
    if not word:
        raise LineError(path, number, "no token before the tab", remedy)
    tag = parse_tag(behind)
    if tag is None:
        swapped = "; the columns look swapped" if re.fullmatch("[BIO](-.*)?", word) else ""
        raise LineError(path, number, f"tag '{behind[:20]}', expected B, I or O{swapped}", remedy)
    return tag


def iob_form(sentences: list[Sentence]) -> bytes:
    """Return sentences as BLURB writes them: `token TAB tag`, a blank line after each sentence."""
    lines = [
        "".join(f"{word}\t{tag}\n" for word, tag in zip(row.words, row.tags, strict=True))
        for row in sentences
    ]
    return "".join(f"{line}\n" for line in lines).encode()
