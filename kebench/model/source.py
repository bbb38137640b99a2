"""From what a user names (a card, a directory, a source) to a checkpoint directory that is there.

Fetched models live in the cache at models/<name>/<key>, whole or not at all, with a fetched.json that says
what came: source, revision, sha256 of the weights, and what is in them. Nothing here imports torch once a
model is in the cache.
"""

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from kebench.bounded import read_within
from kebench.cards import SOURCE_KINDS, ModelCard, Suggested, model_card_paths, read_card, read_model_card
from kebench.download import NoNetworkError
from kebench.errors import UserError, did_you_mean, first_fault
from kebench.files import atomic_folder, cache_folder, expand_home, hash_of, remove_if_broken, sha256_of
from kebench.model.checkpoint_files import TOKENIZER_FILES, read_json, weight_files
from kebench.model.fetch import (
    FETCHERS,
    PLACES,
    fetched_gguf,
    gguf_file,
    is_gguf,
    is_used_in_place,
    log,
)
from kebench.model.layout import (
    casing_of,
    describe_checkpoint,
    family_of,
    kind_of_family,
    read_config,
    stated_casing,
)

FETCHED = "fetched.json"
CONVERSION = 1  # of GGUF files; raised where another directory would come of the same file
SUGGESTED = "suggested.json"  # beside a checkpoint: what the card of the model that it was made of suggests

# Keys of config.json and tokenizer_config.json that cannot move a score: names, places, versions, the form of
# a chat, in which nothing is asked, and the number format on disk, since every model is loaded in float32.
PROSE_KEYS = {
    "_name_or_path", "architectures", "backend", "chat_template", "dtype", "is_local", "local_files_only",
    "name_or_path", "processor_class", "special_tokens_map_file", "tokenizer_class", "tokenizer_file",
    "torch_dtype", "transformers_version",
}  # fmt: skip


class ResolvedModel(NamedTuple):
    """A card, with revision, sha256 and MLM head filled in where they have been seen, and its directory."""

    card: ModelCard
    folder: Path


def resolve_model(
    named: str | ModelCard, *, allow_remote_code: bool = False, embedded: Callable[[str], Path] | None = None
) -> ResolvedModel:
    """Return the checkpoint of a card, its name, a local directory or a source, fetching it if need be.

    embedded: makes (or finds) the model of an `embedded:` source and returns its directory.
    A card's name wins over a directory of the same name: write ./minilm for the directory.
    Raises UserError in one line if there is no such model, no network, or not the weights the card names.
    """
    card = card_of(named) if isinstance(named, str) else named
    if card.trust_remote_code and not allow_remote_code:
        raise UserError(
            f"'{card.name}' runs code from its repository ({card.source}); read that code, then pass "
            "--allow-remote-code"
        )
    if card.source_kind == "embedded":
        assert embedded is not None, "an embedded model needs the function that makes it"
        folder = embedded(card.source_value)
    elif is_used_in_place(card):
        folder = PLACES[card.source_kind](card)
        _check_sha256(card, folder)
    else:
        if (cached := cached_folder(card)) is not None:
            remove_if_broken(cached)
        folder = cached_folder(card) or _fetch(card)
    # On casing the files win over the card, as in loading.
    seen: dict[str, Any] = {"casing": stated_casing(folder) or card.casing}
    if not card.family:
        seen = {"casing": casing_of(folder) or card.casing, "family": family_of(folder)}
    if (folder / FETCHED).is_file():
        fetched = read_json(folder / FETCHED)
        seen |= {key: fetched[key] for key in ("revision", "sha256", "mlm_head")}
        # an older fetched.json has no kind: then it was an encoder's, and is told where it is asked for
        seen["kind"] = card.kind or fetched.get("kind") or kind_of_family(fetched["family"]) or ""
    else:
        facts = describe_checkpoint(folder, kind=card.kind)
        seen |= {"mlm_head": facts.has_mlm_head, "kind": facts.kind or ""}
    if seen["mlm_head"] is None:  # a family whose head we do not know: the card's word stands
        del seen["mlm_head"]
    seen["suggested"] = card.suggested or _inherited(card, folder)
    return ResolvedModel(card.model_copy(update=seen), folder)


def card_of(name: str) -> ModelCard:
    """Return the card of a name, a source or a directory. Raises UserError if there is no such model."""
    if name in (paths := model_card_paths()):
        return read_model_card(name)
    if name.partition(":")[0] in SOURCE_KINDS:
        return card_of_source(name)
    if expand_home(name).is_dir() or (name.endswith(".gguf") and expand_home(name).is_file()):
        return card_of_source(f"path:{expand_home(name).resolve()}")
    raise UserError(
        f"no model '{name}'{did_you_mean(name, paths)} 'kebench model list' shows all; a directory "
        f"or a source ({', '.join(f'{kind}:' for kind in SOURCE_KINDS)}) does as well"
    )


def card_of_source(source: str, *, name: str = "") -> ModelCard:
    """Return a card for a source that has none; `resolve_model` reads casing and family from its files."""
    kind, _, rest = source.partition(":")
    if kind not in SOURCE_KINDS and source.startswith((".", "/", "~")):
        raise UserError(f"{source}: no such folder; name a checkpoint's, or a source")
    if kind not in SOURCE_KINDS or not rest:
        raise UserError(
            f"'{source}' names no source; expected one of {', '.join(SOURCE_KINDS)} before a colon"
        )
    title = rest.rstrip("/").removesuffix(".gguf").rpartition("/")[2] or kind
    cleaned = re.sub(r"[^a-z0-9.+-]+", "-", title.lower()).strip("-.+") or kind
    return ModelCard(
        name=name or cleaned,
        title=title,
        family="",
        source=source,
        casing="cased" if "uncased" not in title.lower() else "uncased",
        mlm_head=None,
        licence="unknown",
        citation="",
    )


def _inherited(card: ModelCard, folder: Path) -> Suggested | None:
    """Return what is suggested for the model that a checkpoint was made of, or whose weights it holds."""
    if (folder / SUGGESTED).is_file():
        return read_suggested(folder)
    if is_used_in_place(card):  # a copy of a model that has a card
        others = (read_card(path, ModelCard) for path in model_card_paths().values())
        suggesting = [one for one in others if one.suggested and one.sha256]
        hashed = weights_sha256(folder) if suggesting else ""
        for other in suggesting:
            if other.suggested and other.sha256 == hashed:
                return other.suggested.model_copy(update={"origin": other.name})
    return None


def read_suggested(folder: Path) -> Suggested | None:
    """Return the suggestion that a checkpoint has with it, None if none. UserError if it is not one."""
    path = folder / SUGGESTED
    try:
        return Suggested.model_validate_json(read_within(path)) if path.is_file() else None
    except (OSError, ValidationError) as error:
        fault = first_fault(error, whole="the file") if isinstance(error, ValidationError) else error.strerror
        raise UserError(f"{path}: {fault}; mend or remove it") from None


def write_suggested(suggested: Suggested | None, folder: Path, *, origin: str) -> None:
    """Write what is suggested for a model beside a checkpoint made of it. origin: the model's name."""
    if suggested:
        named = suggested.model_copy(update={"origin": suggested.origin or origin})
        (folder / SUGGESTED).write_text(named.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _cache_place(card: ModelCard) -> Path:
    identity: list[Any] = [
        card.source, card.revision, card.sha256, card.tokenizer_source, card.trust_remote_code,
    ]  # fmt: skip
    if is_gguf(card):
        identity.append(CONVERSION)
        if card.source_kind == "path":  # what lies there may be another one tomorrow
            stat = gguf_file(card).stat()
            identity += [stat.st_size, stat.st_mtime_ns]
    return cache_folder() / "models" / card.name / hash_of(identity)[:16]


def cached_folder(card: ModelCard) -> Path | None:
    """Return where a fetched model lies in the cache, or None if it is not there."""
    folder = _cache_place(card)
    return folder if (folder / FETCHED).is_file() else None


def _fetch(card: ModelCard) -> Path:
    place = _cache_place(card)
    log.info("fetching %s from %s", card.name, card.source)
    try:
        with atomic_folder(place, point="model", sealed=True) as folder:
            converted: dict[str, Any] = {}
            if is_gguf(card):
                revision, converted = _convert(card, folder)
            else:
                revision = FETCHERS[card.source_kind](card, folder)
            if card.tokenizer_source:  # in place of the checkpoint's own tokenizer
                tokenizer_card, other = card_of_source(card.tokenizer_source), folder / "tokenizer"
                other.mkdir()
                FETCHERS[tokenizer_card.source_kind](tokenizer_card, other)
                for name in TOKENIZER_FILES:
                    (folder / name).unlink(missing_ok=True)
                    if (other / name).is_file():
                        (other / name).rename(folder / name)
                shutil.rmtree(other)
            if not converted:
                _check_sha256(card, folder)
            facts = describe_checkpoint(folder, kind=card.kind)
            stated = {
                "source": card.source,
                "revision": revision,
                "sha256": converted.get("sha256") or weights_sha256(folder),
                "fetched_utc": datetime.now(UTC).isoformat(timespec="seconds"),
                "family": facts.family or card.family,
                "kind": facts.kind,
                "layers": facts.layers,
                "hidden": facts.hidden,
                "parameters": facts.parameters,
                "mlm_head": facts.has_mlm_head,
            } | ({"converted_from": converted} if converted else {})
            (folder / FETCHED).write_text(json.dumps(stated, indent=2) + "\n")
    except NoNetworkError as error:
        has_card = card.name in model_card_paths()
        command = f"model get {card.name}" if has_card else f"model add NAME --from {card.source}"
        raise UserError(
            f"no network and '{card.name}' is not in the cache ({error}); on a machine with network run "
            f"'kebench {command}', or pass a local directory"
        ) from None
    return place


def _convert(card: ModelCard, folder: Path) -> tuple[str, dict[str, Any]]:
    """Fetch a GGUF file and write its model into a folder; return its revision, and what it was made from."""
    from kebench.model.gguf import convert_gguf  # takes seconds

    with fetched_gguf(card) as (file, revision):
        found = sha256_of(file)
        if card.sha256 and found != card.sha256:
            raise _other_weights(card, found)
        log.info("converting %s: once, for a minute or more", card.source)
        facts = convert_gguf(file, folder, shown=card.source)
        name = card.source_value.rpartition("/")[2]
        return revision, {"file": name, "sha256": found, "bytes": file.stat().st_size, **facts}


def weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of the weights file, as sha256sum prints it; of the list of them if sharded."""
    hashes = [sha256_of(path) for path in weight_files(folder)]
    return hashes[0] if len(hashes) == 1 else hash_of(hashes)


def _check_sha256(card: ModelCard, folder: Path) -> None:
    if card.sha256 and (seen := weights_sha256(folder)) != card.sha256:
        raise _other_weights(card, seen)


def _other_weights(card: ModelCard, seen: str) -> UserError:
    return UserError(
        f"'{card.name}' from {card.source}: the weights have sha256 {seen}, the card says {card.sha256}; "
        "these are other weights, and nothing of them is kept"
    )


def model_hash(folder: Path, *, casing: str = "") -> str:
    """Return a hash of all in a checkpoint that can move a score: weights, tokenizer, configuration.

    casing: the card's, which decides where the files are silent. Names, places and versions do not enter.
    """
    hashed: dict[str, Any] = {
        "weights": [sha256_of(path) for path in weight_files(folder)],
        "config": _without_prose(read_config(folder)),
        "casing": stated_casing(folder) or casing or casing_of(folder),
    }
    if card_code := {path.name: sha256_of(path) for path in sorted(folder.glob("*.py"))}:
        hashed["code"] = card_code
    for name in TOKENIZER_FILES:
        if not (path := folder / name).is_file():
            continue
        is_config = name == "tokenizer_config.json"
        hashed[name] = _without_prose(read_json(path)) if is_config else sha256_of(path)
    try:
        return hash_of(hashed)
    except ValueError:  # Python reads NaN and 1e400, which are no JSON
        raise UserError(
            f"{folder}: config.json or tokenizer_config.json holds NaN or infinity; mend it"
        ) from None


def _without_prose(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in PROSE_KEYS}
