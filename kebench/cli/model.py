"""`kebench model`: the checkpoints that can be fine-tuned, and how to add one."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kebench.cards import NAME_PATTERN, ModelCard, card_as_toml, model_card_paths, read_model_card
from kebench.cli.found import metric_option, read_found, recorded_name, results_option
from kebench.cli.options import Modes
from kebench.cli.tables import format_option, print_table
from kebench.errors import UserError
from kebench.files import expand_home, write_atomically
from kebench.mini.build import made_model
from kebench.model.checkpoint_files import read_json
from kebench.model.fetch import PLACES, is_used_in_place
from kebench.model.layout import (
    KINDS,
    CheckpointFacts,
    describe_checkpoint,
    kind_of_family,
    read_config,
)
from kebench.model.source import FETCHED, cached_folder, card_of_source, resolve_model
from kebench.report.model_index import model_index
from kebench.report.table import Choice, build_leaderboard
from kebench.run import make_embedded, resolve
from kebench.tasks.card import all_task_cards

if TYPE_CHECKING:  # it imports torch
    from kebench.model.start_token import StartPerplexity


@click.group()
def model() -> None:
    """List, show, add and fetch checkpoints."""


@model.command(name="list")
@format_option
def list_models(form: str) -> None:
    """List every model that has a card."""
    rows = []
    for name in sorted(model_card_paths()):
        card = read_model_card(name)
        folder = _folder_if_there(card)
        rows.append(
            {
                "name": card.name,
                "family": card.family,
                "kind": _kind(card, folder),
                "casing": card.casing,
                "mlm_head": _fetched(folder).get("mlm_head", card.mlm_head),
                "source": card.source_kind,
                "cached": folder is not None,
            }
        )
    cells = [[_cell(value) for value in row.values()] for row in rows]
    headings = ("name", "family", "kind", "casing", "MLM head", "source", "cached")
    print_table(headings, cells, form, title="Models", content=lambda: rows)
    if form == "terminal":
        click.echo("MLM head -: not seen yet; 'kebench model get NAME' fetches a model and looks", err=True)


def _folder_if_there(card: ModelCard) -> Path | None:
    if card.source_kind == "embedded":
        return made_model(card.source_value)
    try:
        return PLACES[card.source_kind](card) if is_used_in_place(card) else cached_folder(card)
    except UserError:
        return None


def _kind(card: ModelCard, folder: Path | None) -> str | None:
    """Return what kind of language model it is, as far as can be said without loading transformers."""
    return card.kind or _fetched(folder).get("kind") or kind_of_family(card.family)


def _fetched(folder: Path | None) -> dict[str, Any]:
    return read_json(folder / FETCHED) if folder and (folder / FETCHED).is_file() else {}


def _cell(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {True: "yes", False: "no", None: "-"}[value]
    return str(value)


@model.command()
@click.argument("name")
@format_option
def show(name: str, form: str) -> None:
    """Show one model's card, and what has been seen of its weights."""
    card = read_model_card(name)
    folder = _folder_if_there(card)
    shown = card.model_dump(mode="json") | {"folder": str(folder) if folder else None}
    shown["fetched"] = _fetched(folder) or None
    if folder:
        try:
            found = _say_what_is_found(card, folder)
            if measured := _measure_start(card, folder, found):
                shown["start_tokens"] = {one.token: _roles_and_perplexity(one) for one in measured}
        except UserError as error:
            click.echo(f"kebench: {card.name}: cannot be run: {error}", err=True)
    if form == "terminal":
        for line in _lines(shown):
            click.echo(line)
    else:
        fields = [line.strip().partition(" ") for line in _lines(shown)]
        rows = [(name, value.strip()) for name, _, value in fields]
        print_table(("field", "value"), rows, form, title=card.title, content=lambda: shown)


def _lines(fields: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in fields.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}", *_lines(value, indent + "  ")]
        elif isinstance(value, list):
            lines.append(f"{indent}{key:<{20 - len(indent)}} {', '.join(str(part) for part in value)}")
        else:
            lines.append(f"{indent}{key:<{20 - len(indent)}} {_cell(value) if value != '' else '-'}")
    return lines


@model.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--allow-remote-code", is_flag=True, help="Fetch models whose card says they run their own code."
)
def get(names: tuple[str, ...], allow_remote_code: bool) -> None:
    """Fetch models into the cache, check them, and print where each is."""
    for name in names:
        resolved = resolve(name, allow_remote_code=allow_remote_code)
        click.echo(f"{resolved.card.name}\t{resolved.folder}")
        _say_what_is_found(resolved.card, resolved.folder, trust_remote_code=allow_remote_code)


def _say_what_is_found(card: ModelCard, folder: Path, *, trust_remote_code: bool = False) -> CheckpointFacts:
    """Say what is in a checkpoint's files, what of it is left out, and where its files contradict each other.

    Raises UserError if it cannot be run, unless it needs its own code for that, which is not trusted.
    """
    from kebench.model.checkpoint import check_checkpoint, check_lm

    facts = describe_checkpoint(folder, kind=card.kind)
    heads = {True: "an MLM head", False: "no MLM head", None: "an MLM head unknown for this family"}
    lm = facts.kind if facts.kind in ("causal", "encoder-decoder") else None
    casing = f"{facts.casing} " if facts.casing else ""
    click.echo(
        f"kebench: {card.name}: {facts.family or 'unknown family'}, {facts.layers} layers x {facts.hidden}, "
        f"{facts.parameters / 1e6:,.1f}M parameters, {facts.vocabulary:,} {casing}pieces, "
        f"{KINDS[lm] if lm else heads[facts.has_mlm_head]}",
        err=True,
    )
    if card.trust_remote_code and not trust_remote_code:
        return facts
    trusted = trust_remote_code
    if lm:
        checked = check_lm(folder, lm, family=card.family, casing=card.casing, trust_remote_code=trusted)
    else:
        checked = check_checkpoint(folder, family=card.family, casing=card.casing, trust_remote_code=trusted)
    if lm == "causal" and card.start_token:
        from kebench.model.start_token import start_token

        start_token(folder, card, checked.tokenizer)  # the card may name what is no token
    if checked.left_out:
        click.echo(f"kebench: {card.name}: fine-tuning leaves out {checked.left_out}", err=True)
    for remark in checked.remarks:
        click.echo(f"kebench: {card.name}: WARNING: {remark}", err=True)
    return facts


def _measure_start(
    card: ModelCard, folder: Path, facts: CheckpointFacts, *, trust_remote_code: bool = False
) -> "list[StartPerplexity]":
    """Say how well a causal model reads English behind each token that may stand before it; best first."""
    if facts.kind != "causal" or (card.trust_remote_code and not trust_remote_code):
        return []
    from kebench.model.checkpoint import load_causal_lm, load_lm_tokenizer
    from kebench.model.start_token import SENTENCES, measure_start_tokens

    trusted = trust_remote_code
    model = load_causal_lm(folder, family=card.family, kind=card.kind, trust_remote_code=trusted)
    tokenizer = load_lm_tokenizer(folder, family=card.family, casing=card.casing, trust_remote_code=trusted)
    measured = measure_start_tokens(model, tokenizer)
    said = ", ".join(f"{one.token} {_roles_and_perplexity(one)}" for one in measured)
    click.echo(
        f"kebench: {card.name}: perplexity of {len(SENTENCES)} English sentences by what stands before them: "
        f"{said}",
        err=True,
    )
    return measured


def _roles_and_perplexity(measured: "StartPerplexity") -> str:
    roles = f" ({', '.join(measured.roles)})" if measured.roles else ""
    return f"{measured.perplexity:.2f}{roles}"


@model.command()
@click.argument("name")
@click.option(
    "--from", "source", required=True, metavar="PATH_OR_SOURCE", help="A directory, or hub:org/name ..."
)
@click.option("--allow-remote-code", is_flag=True, help="Let the model run its own code when it is loaded.")
def add(name: str, source: str, allow_remote_code: bool) -> None:
    """Check that a checkpoint loads and write its card, baselines/NAME.toml."""
    from kebench.model.checkpoint import load_encoder, load_seq2seq_lm

    if not re.fullmatch(NAME_PATTERN, name):
        raise UserError(
            f"'{name}' cannot be a model's name; expected small letters, digits, '.', '+' and '-'"
        )
    if name in (known := model_card_paths()):
        raise UserError(f"'{name}' is there already: {known[name]}; choose another name, or delete that card")
    if expand_home(source).is_dir() or (source.endswith(".gguf") and expand_home(source).is_file()):
        source = f"path:{expand_home(source).resolve()}"
    asked = card_of_source(source, name=name).model_copy(update={"trust_remote_code": allow_remote_code})
    card, folder = resolve_model(asked, allow_remote_code=allow_remote_code, embedded=make_embedded)
    facts = _say_what_is_found(card, folder, trust_remote_code=allow_remote_code)
    if facts.kind == "causal":
        from kebench.model.start_token import PUT

        measured = _measure_start(card, folder, facts, trust_remote_code=allow_remote_code)
        if puts := next((one for one in measured if PUT in one.roles), None):
            said = f"start_token is left out: the tokenizer puts {puts.token} before a text"
        else:
            card = card.model_copy(update={"start_token": measured[0].token})
            said = f"start_token = {json.dumps(card.start_token)}, which has the lowest; see that it is meant"
        click.echo(f"kebench: {name}: {said}", err=True)
    else:
        load = load_seq2seq_lm if facts.kind == "encoder-decoder" else load_encoder
        load(folder, family=card.family, trust_remote_code=allow_remote_code)
    has_code = "auto_map" in read_config(folder)  # a card does not ask for code that is not there
    card = card.model_copy(update={"trust_remote_code": allow_remote_code and has_code})
    path = Path("baselines") / f"{name}.toml"
    write_atomically(path, card_as_toml(card), point="card")
    click.echo(path)


@model.command(name="card")
@click.argument("name")
@results_option
@metric_option
def print_card(name: str, folders: tuple[Path, ...], metric: Choice) -> None:
    """Print a model's scores as the model-index of a Hugging Face model card, YAML for its README.md."""
    cards = all_task_cards()
    found = read_found(folders)
    name = recorded_name(name, {record.model for record in found.records}, found.other_names)
    board = build_leaderboard(found.records, cards=cards, metric=metric)
    licence = read_model_card(name).licence if name in model_card_paths() else ""
    click.echo(model_index(board, name, tasks=cards, licence=licence.lower()), nl=False)


@model.command()
@click.argument("source", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The directory to write.")
@click.option(
    "--to",
    "form",
    type=click.Choice(["kebench", "released"]),
    default="kebench",
    show_default=True,
    help="kebench: from the released files to a directory for every command here; released: back.",
)
@click.option(
    "--fidelity",
    type=Modes(
        "released",
        "fixed",
        without={
            "paper": "the released weights were trained with a LayerNorm behind the entities, which "
            "equation 4 of the paper has not, and would be run without it; a recipe of pretraining with "
            "fusion_layer_norm = false makes such a model"
        },
    ),
    default="released",
    show_default=True,
    help="Of what --to kebench writes: run as the released code, or without its faults (FIDELITY.md).",
)
def convert(source: Path, out: Path, form: str, fidelity: str) -> None:
    """Convert a KeBioLM between the released files and a directory of ours.

    The released files are pytorch_model.bin, config.json, vocab.txt and entity.jsonl.
    """
    from kebench.model.released import from_released, to_released

    if out.exists():
        raise UserError(f"{out}: exists; choose another --out, or remove it")
    done = from_released(source, out, fidelity=fidelity) if form == "kebench" else to_released(source, out)
    below, above = done.layers
    how = f"run as {done.fidelity}"
    if form == "released":
        how = f"it was {how}, which these files cannot say: convert back with --fidelity {done.fidelity}"
    click.echo(
        f"{out}: {below} layers of text and {above} of text and entities, {done.num_entities:,} entities "
        f"and {done.special} special rows; {how}"
    )
