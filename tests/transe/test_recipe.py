"""TransE's recipes: what they hold, how one extends another, and what is said of a bad one."""

from pathlib import Path

import pytest

from kebench.errors import UserError
from kebench.transe.recipe import SHELF, read_recipe


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(content: str, name: str = "mine.toml") -> str:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(content, encoding="utf-8")
    return name


def message_of(name_or_path: str) -> str:
    with pytest.raises(UserError) as caught:
        read_recipe(name_or_path)
    return str(caught.value)


def test_the_recipe_has_the_papers_numbers() -> None:
    """Section 4.1 of the KeBioLM paper."""
    settings = read_recipe("transe")
    assert (settings.dimension, settings.norm, settings.learning_rate) == (100, 2, 0.001)
    assert (settings.batch_size, settings.epochs) == (2048, 30)


def test_every_shipped_recipe_can_be_read() -> None:
    assert set(SHELF.paths()) >= {"transe", "transe-mini"}
    for name in SHELF.paths():
        read_recipe(name)


def test_an_extending_recipe_states_only_what_differs() -> None:
    write('extends = "transe"\nepochs = 7\n')
    assert read_recipe("mine.toml") == read_recipe("transe", epochs=7)


def test_an_option_replaces_a_single_value_and_none_replaces_nothing() -> None:
    assert read_recipe("transe", epochs=3, margin=None).epochs == 3
    assert read_recipe("transe", epochs=3, margin=None).margin == read_recipe("transe").margin


def test_a_recipe_in_the_working_folder_wins() -> None:
    write('extends = "transe"\nseed = 5\n', "pretraining/transe-mini.toml")
    assert read_recipe("transe-mini").seed == 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('extends = "transe"\nmargn = 2\n', "no field 'margn'; did you mean 'margin'? mend this field"),
        ('extends = "transe"\nnorm = 3\n', "norm = 3: Input should be 1 or 2; mend this field"),
        (
            'extends = "transe"\nepochs = 0\n',
            "epochs = 0: Input should be greater than or equal to 1; mend this field",
        ),
        ("dimension = 5\n", "norm: Field required; mend this field"),
        ("extends = 3\n", "extends = 3: expected the name of a recipe; mend this field"),
        ('extends = "mine.toml"\n', "extends itself, by way of others; mend the field extends"),
        (
            'extends = "../recipes/mine.toml"\n',
            "extends = '../recipes/mine.toml': no such file beside it; mend this field",
        ),
        ('extends = "mien.toml"\n', "extends = 'mien.toml': no such file beside it; mend this field"),
        (
            'extends = "trans"\n',
            "extends: no recipe 'trans'; did you mean 'transe'? there are transe, transe-mini",
        ),
        ("epochs = \n", "not valid TOML (Invalid value (at line 1, column 10)); mend the file"),
    ],
)
def test_a_bad_recipe_is_refused_with_its_field(content: str, message: str) -> None:
    assert message_of(write(content)) == f"mine.toml: {message}"


def test_a_recipe_may_extend_one_that_extends_another() -> None:
    path = write('extends = "transe-mini"\nmargin = 3\n')
    assert read_recipe(path) == read_recipe("transe-mini", margin=3)


def test_an_option_is_blamed_for_its_value() -> None:
    with pytest.raises(
        UserError, match=r"^--epochs 0: Input should be greater than or equal to 1; pass another"
    ):
        read_recipe("transe", epochs=0)


def test_an_unknown_recipe_gets_the_nearest_name() -> None:
    assert message_of("trans") == "no recipe 'trans'; did you mean 'transe'? there are transe, transe-mini"


def test_a_missing_file_is_said() -> None:
    assert message_of("no.toml") == "no.toml: cannot be read (No such file or directory); check the path"
