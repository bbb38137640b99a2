"""`kebench recipe`: what a pretraining recipe says, and how it differs from the one it extends."""

from typing import Any

import click

from kebench.cli.tables import format_option, print_table
from kebench.pretrain.recipe import SHELF, about, base_of, difference, read_recipe


@click.group()
def recipe() -> None:
    """List and show the recipes of pretraining."""


@recipe.command(name="list")
@format_option
def list_recipes(form: str) -> None:
    """List every recipe of `kebench pretrain`, and what it changes."""
    rows = []
    for name in sorted(SHELF.paths()):
        changed = difference(name)
        said = ", ".join(f"{key} {_shown(new)}" for key, (_, new) in changed.items() if key != "label")
        rows.append((name, read_recipe(name).label, base_of(name) or "-", said or "-"))
    print_table(("recipe", "label", "extends", "changes"), rows, form, title="Recipes of pretraining")


@recipe.command()
@click.argument("name")
@format_option
def show(name: str, form: str) -> None:
    """Print a recipe with all its settings, and its difference from the one it extends."""
    settings, base, changed = read_recipe(name).model_dump(), base_of(name), difference(name)
    if form != "terminal":
        changes = {key: {"base": old, "this": new} for key, (old, new) in changed.items()}
        rows = [
            (key, _shown(value), _shown(changed[key][0]) if key in changed else "")
            for key, value in settings.items()
        ]
        content = {"name": name, "settings": settings, "extends": base, "changes": changes}
        print_table(("setting", name, base or "-"), rows, form, content=lambda: content)
        return
    if lines := about(name):
        click.echo("\n".join([*lines, ""]))
    for key, value in settings.items():
        mark = f"   # {base}: {_shown(changed[key][0])}" if key in changed else ""
        click.echo(f"{key:<24} {_shown(value)}{mark}")
    if base:
        click.echo(f"\n{name} extends {base} and changes {', '.join(changed)}")


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
