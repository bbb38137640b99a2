"""Recipes of cloze sets: which queries are made of a knowledge base, one TOML file each in probing/."""

from typing import Literal

from pydantic import ConfigDict, Field

from kebench.cards import Card
from kebench.recipes import Shelf, read_settings

TEMPLATES, DECODERS = "templates", "decoders"
SHELF = Shelf("probing", others=(TEMPLATES, DECODERS))
Mode = Literal["fixed", "released"]


class ProbeRecipe(Card):
    """What decides a set besides the knowledge base. `probing/umls-2020aa.toml` gives each value's reason.

    mode: fixed or released (docs/FIDELITY.md, Probing); None is that of the knowledge base.
    max_queries_per_relation: over both directions together; the others go, by hash order with `seed`.
    lower_case: whether the names in the queries are lower case; `released` names always are.
    templates: the file of words of relations, a name in probing/ or a path; only for mode fixed.
    relations: only these; empty for all.
    sharing: who may be given the set; words for people.
    published: what the paper counts in its own set, shown beside ours; by the names of `counts` in set.json.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mode: Mode | None = None
    max_queries_per_relation: int = Field(ge=1, lt=1_000_000)
    seed: int = Field(ge=0)
    lower_case: bool
    templates: str
    relations: tuple[str, ...]
    sharing: str
    published: dict[str, float] = {}


def read_probe_recipe(name_or_path: str, **changes: object) -> ProbeRecipe:
    """Return a recipe, with single values replaced by those of `changes` that are not None.

    name_or_path: a name in ./probing or among the shipped, or a path to a .toml. Raises UserError with the
    file and the field if there is no such recipe or if it is not a valid one.
    """
    return read_settings(ProbeRecipe, SHELF, name_or_path, **changes)
