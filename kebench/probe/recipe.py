"""Recipes of cloze sets, one TOML file each in probing/, and how a relation is worded: "s WORDS o."

Words by KeBioLM, sec. 4.6.1. fixed: an exception of probing/templates.toml, else the paper's rule. released:
the released code's rule, bug for bug: "isa" is replaced inside words too, and "is" stands before a name that
has it already. A recipe may name further statements of a relation (probing/wordings.toml).
"""

import itertools
from typing import Literal, NamedTuple

from pydantic import ConfigDict, Field, ValidationError, field_validator

from kebench.bounded import read_toml
from kebench.cards import Card, Part
from kebench.errors import UserError, first_fault
from kebench.recipes import Shelf, read_settings

SHELF = Shelf("probing", others=("templates", "decoders", "wordings", "quality"))
_TEMPLATES = Shelf("probing", "templates*.toml")
_WORDINGS = Shelf("probing", "wordings*.toml")
_QUALITY = Shelf("probing", "quality.toml")
HEAD, TAIL = "[X]", "[Y]"  # where the ends of a fact stand in a statement
_NEEDS_IS = ("of", "as", "by")  # KeBioLM, sec. 4.6.1
# Ours: no "is is member of", no "is may be treated by".
_HAS_A_VERB = ("is", "has", "have", "are", "was", "were", "may", "can", "does")
_NO_WORDS = "is related to"  # ours; for a name of which no word is left
Mode = Literal["fixed", "released"]
Rule = Literal["exception", "is", "plain", "released", "wording"]


class ProbeRecipe(Card):
    """What decides a set besides the knowledge base (docs/FORMATS.md); probing/umls-2020aa.toml says why."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mode: Mode | None = None  # that of the knowledge base
    max_queries_per_relation: int = Field(ge=1, lt=1_000_000)
    seed: int = Field(ge=0)
    lower_case: bool
    templates: str
    relations: tuple[str, ...]
    relations_if_there: tuple[str, ...] = ()
    head_types: dict[str, tuple[str, ...]] = {}
    wordings: str = ""
    only_clear: bool = False
    sharing: str
    published: dict[str, float] = {}


def read_probe_recipe(name_or_path: str, **changes: object) -> ProbeRecipe:
    """Return a recipe, with single values replaced by those of `changes` that are not None.

    name_or_path: a name in ./probing or among the shipped, or a path to a .toml. Raises UserError with the
    file and the field if there is no such recipe or if it is not a valid one.
    """
    return read_settings(ProbeRecipe, SHELF, name_or_path, **changes)


class Words(NamedTuple):
    """The words of a relation, and the rule that they come of."""

    words: str
    rule: Rule


def read_templates(name_or_path: str) -> dict[str, str]:
    """Return the exceptions of a file of templates: relation -> words.

    Raises UserError if the file has anything else, or words that could not stand in a query.
    """
    path = _TEMPLATES.find(name_or_path)
    fields = read_toml(path)
    exceptions = fields.pop("words", None)
    if fields or not isinstance(exceptions, dict):
        raise UserError(f"{path}: expected one table, [words], of relations and their words; mend the file")
    for relation, words in exceptions.items():
        if not isinstance(words, str) or not words or words != " ".join(words.split()) or "[MASK]" in words:
            raise UserError(
                f"{path}: words.{relation} = {words!r}: expected words with single blanks between, without "
                "[MASK]; mend this line"
            )
    return exceptions


class Wording(Part):
    """How a fact of a relation is stated, with [X] for its head and [Y] for its tail; negated: its denial.

    The first statement is that of a query's text. There is none where each imported query has its own text.
    """

    statements: tuple[str, ...]
    negated: tuple[str, ...] = ()

    @field_validator("statements", "negated")
    @classmethod
    def _hold_both_ends(cls, statements: tuple[str, ...]) -> tuple[str, ...]:
        for one in statements:
            if one.count(HEAD) != 1 or one.count(TAIL) != 1 or "[MASK]" in one:
                raise ValueError(f"'{one}': expected {HEAD} and {TAIL} once each, and no [MASK]")
        return statements


def read_wordings(name_or_path: str) -> dict[str, Wording]:
    """Return the statements of a file of wordings, by relation. "" names none.

    Raises UserError, with the relation, for a statement that could not be the text of a query.
    """
    if not name_or_path:
        return {}
    path, wordings = _WORDINGS.find(name_or_path), {}
    for relation, table in read_toml(path).items():
        try:
            wording = Wording.model_validate(table)
        except ValidationError as error:
            raise UserError(f"{path}: {relation}.{first_fault(error, whole='the table')}; mend it") from None
        if not wording.statements:
            raise UserError(f"{path}: {relation}: no statement; name one, or leave the relation out")
        for one in (*wording.statements, *wording.negated):
            if one != " ".join(one.split()) or not one.endswith("."):
                raise UserError(
                    f"{path}: {relation}: '{one}': expected single blanks and a full stop at the end; mend it"
                )
        wordings[relation] = wording
    return wordings


class Quality(Part):
    """Which relations are between entries of vocabularies, and the verbs by which words are a sentence."""

    between_vocabularies: tuple[str, ...]
    verbs: tuple[str, ...]


def read_quality() -> Quality:
    """Return probing/quality.toml: the user's, else the shipped one."""
    path = _QUALITY.find("quality")
    try:
        return Quality.model_validate(read_toml(path))
    except ValidationError as error:
        raise UserError(f"{path}: {first_fault(error, whole='the file')}; mend it") from None


def fault_of_relation(relation: str, words: Words, quality: Quality) -> str:
    """Return the flag that every query of a relation has: between_vocabularies, no_sentence, or "".

    The paper's rule makes a sentence if it puts "is" in front, or if the name begins with a verb, or with
    words on -ly and a verb: "negatively regulates".
    """
    if relation in quality.between_vocabularies:
        return "between_vocabularies"
    first = next((word for word in words.words.split() if not word.lower().endswith("ly")), "")
    if words.rule == "plain" and first.lower() not in quality.verbs:
        return "no_sentence"
    return ""


def words_of(relation: str, exceptions: dict[str, str]) -> Words:
    """Return the words of a relation in a `fixed` set."""
    if relation in exceptions:
        return Words(exceptions[relation], "exception")
    words: list[str] = []
    for word in relation.replace("_", " ").split():
        words += ["is", "a"] if word.lower() == "isa" else [word]
    if not words:
        return Words(_NO_WORDS, "plain")
    needs_is = words[-1].lower() in _NEEDS_IS and words[0].lower() not in _HAS_A_VERB
    words = ["is", *words] if needs_is else words
    once = [  # no "is is"
        word
        for before, word in itertools.pairwise(["", *words])
        if not before.lower() == word.lower() == "is"
    ]
    return Words(" ".join(once), "is" if needs_is else "plain")


def released_words(relation: str) -> Words:
    """Return the words of a relation as the released code makes them."""
    words = relation.replace("_", " ").replace("isa", "is a")
    if len(words) > 2 and words.split(" ")[-1] in _NEEDS_IS:
        words = f"is {words}"
    return Words(words, "released")
