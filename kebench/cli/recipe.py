"""`kebench recipe`: what a pretraining recipe says, and how it differs from the one it extends."""

import json
from typing import Any

import click

FORMATS = click.Choice(["text", "json"])


@click.group()
def recipe() -> None:
    """List and show the recipes of pretraining."""


@recipe.command(name="list")
def list_recipes() -> None:
    """List every recipe of `kebench pretrain`, and what it changes."""
    from kebench.cli.tables import print_table
    from kebench.pretrain.recipe import SHELF, base_of, difference, read_recipe

    rows = []
    for name in sorted(SHELF.paths()):
        changed = difference(name)
        said = ", ".join(f"{key} {_shown(new)}" for key, (_, new) in changed.items() if key != "label")
        rows.append((name, read_recipe(name).label, base_of(name) or "-", said or "-"))
    print_table(("recipe", "label", "extends", "changes"), rows)


@recipe.command()
@click.argument("name")
@click.option("--format", "form", type=FORMATS, default="text", show_default=True, help="How to print it.")
def show(name: str, form: str) -> None:
    """Print a recipe with all its settings, and its difference from the one it extends."""
    from kebench.pretrain.recipe import about, base_of, difference, read_recipe

    settings, base, changed = read_recipe(name).model_dump(), base_of(name), difference(name)
    if form == "json":
        changes = {key: {"base": old, "this": new} for key, (old, new) in changed.items()}
        click.echo(
            json.dumps({"name": name, "settings": settings, "extends": base, "changes": changes}, indent=2)
        )
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
