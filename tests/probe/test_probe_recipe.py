"""Recipes of cloze sets: the paper's numbers, what ships, what is said of a bad one."""

from pathlib import Path

import pytest

from kebench.errors import UserError
from kebench.probe.recipe import SHELF, read_probe_recipe


def test_the_recipe_has_the_papers_numbers() -> None:
    """KeBioLM, section 4.6.1 and table 5."""
    recipe = read_probe_recipe("umls-2020aa")
    assert recipe.max_queries_per_relation == 200
    published = recipe.published
    assert (published["queries"], published["relations"], published["mean_cuis"]) == (143_771, 922, 2.39)
    assert published["type_1_released"] + published["type_2_released"] == published["queries"]


def test_every_shipped_recipe_can_be_read_and_the_templates_are_none() -> None:
    assert set(SHELF.paths()) == {"umls-2020aa", "open", "mini", "clinical"}
    for name in SHELF.paths():
        assert read_probe_recipe(name).mode == ("fixed" if name == "clinical" else None)


def test_the_strings_of_umls_may_not_be_shared_and_those_of_open_sources_may() -> None:
    assert "the strings of queries and answers may not" in read_probe_recipe("umls-2020aa").sharing
    assert "the whole set may be shared, strings included" in read_probe_recipe("open").sharing


def test_a_recipe_of_your_own_states_what_differs(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('extends = "open"\nseed = 4\n')
    assert read_probe_recipe(str(mine)) == read_probe_recipe("open", seed=4)
    mine.write_text('extends = "umls-2020aa"\nseed = 4\n')
    assert read_probe_recipe(str(mine)) == read_probe_recipe("umls-2020aa", seed=4)
    mine.write_text('extends = "umls-2020aa"\ncap = 4\n')
    with pytest.raises(UserError, match=r"mine\.toml: no field 'cap'(.*) mend this field"):
        read_probe_recipe(str(mine))
