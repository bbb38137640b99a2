"""Cuts text into sentences with NLTK's Punkt and its English tables, and marks pairs in them."""

from collections.abc import Iterator
from functools import cache
from typing import Any


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the half-open character span of each sentence."""
    yield from _punkt().span_tokenize(text)


@cache
def _punkt() -> Any:
    """Return Punkt with its tables from a package that holds them as Python literals, not as a pickle."""
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
    from punkt.data import english

    parameters = PunktParameters()
    parameters.abbrev_types = set(english.ABBREV_TYPES)
    parameters.collocations = set(english.COLLOCATIONS)
    parameters.sent_starters = set(english.SENT_STARTERS)
    parameters.ortho_context.update(english.ORTHO_CONTEXT)
    return PunktSentenceTokenizer(parameters)


def with_markers(
    text: str, first: tuple[int, int], second: tuple[int, int], markers: tuple[str, str], *, both: str
) -> str:
    """Return a sentence with a pair's spans, half-open, replaced: by one marker for both if they overlap."""
    if first[1] > second[0]:
        return f"{text[: first[0]]}{both}{text[max(first[1], second[1]) :]}"
    between, after = text[first[1] : second[0]], text[second[1] :]
    return f"{text[: first[0]]}{markers[0]}{between}{markers[1]}{after}"
