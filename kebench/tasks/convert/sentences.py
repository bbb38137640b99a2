"""Cuts text into sentences with NLTK's Punkt and its English tables."""

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
