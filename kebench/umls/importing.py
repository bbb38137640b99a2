"""Makes a knowledge base of a release: whole, or not at all."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from kebench.errors import UserError
from kebench.files import atomic_folder, hash_of, sha256_of, sweep_temporaries_of
from kebench.progress import progress
from kebench.runtime import begin
from kebench.umls.build import Built, build_tables
from kebench.umls.database import errors_explained
from kebench.umls.filters import Filters
from kebench.umls.manifest import MANIFEST, Manifest, Table, import_hash, read_manifest
from kebench.umls.rrf import Release, find_damage

log = logging.getLogger(__name__)
_PACKAGES = ("duckdb", "pyarrow")


def import_release(
    release: Release,
    out: Path,
    *,
    filters: Filters,
    memory_mib: int | None = None,
    made_from: str = "rrf",
    named: Sequence[str] = (),
    sources: list[dict[str, Any]] | None = None,
    unification: dict[str, Any] | None = None,
) -> Manifest:
    """Write the knowledge base of a release and return its manifest.

    It is made beside `out` and renamed at the end. If `out` holds the same knowledge base already, nothing is
    done; if it holds anything else, that is a UserError, and so is any damage in the release.
    """
    wanted = import_hash(release.inputs, filters, named=named)
    if already := same_already(out, wanted):
        return already
    sweep_temporaries_of(out)
    begun = begin("cpu")
    if not memory_mib:
        # More for a larger release, 3 GiB at most (ours; benchmarks/results/kb.md). More saves little time:
        # what does not fit is sorted on disk.
        total = sum(file.bytes * (5 if file.name.endswith(".gz") else 1) for file in release.inputs)
        memory_mib = min(max(total // 2**20, 1000), 3072)
    with errors_explained(out.parent, memory_mib=memory_mib), atomic_folder(out, point="kb") as folder:
        counts, tables = _build(release, folder, filters, memory_mib)
        contents = {name: one.content for name, one in tables.items()}
        manifest = Manifest(
            release=release.name,
            made_from=made_from,
            content_hash=hash_of({"contents": contents, "filters": filters.model_dump(mode="json")}),
            import_hash=wanted,
            inputs=release.inputs,
            filters=filters,
            counts=counts,
            tables={
                name: Table(rows=one.rows, bytes=path.stat().st_size, sha256=sha256_of(path))
                for name, one in tables.items()
                for path in [folder / f"{name}.parquet"]
            },
            sources=sources or [],
            unification=unification or {},
            provenance=begun.provenance(_PACKAGES),
        )
        (folder / MANIFEST).write_text(
            manifest.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8"
        )
    if read_manifest(out).content_hash != manifest.content_hash:
        raise UserError(
            f"{out}: another process has just made another knowledge base there; choose another --out"
        )
    return manifest


def same_already(out: Path, wanted: str) -> Manifest | None:
    """Return the manifest of `out` if it was made of what is wanted (`import_hash`); None if it is not there.

    Raises UserError if it holds anything else.
    """
    if not out.exists():
        return None
    if not (out / MANIFEST).is_file():
        raise UserError(f"{out}: exists and is no knowledge base; choose another --out, or remove it")
    manifest = read_manifest(out)
    if manifest.import_hash != wanted:
        raise UserError(
            f"{out}: holds a knowledge base of other files or filters, or made by an earlier kebench "
            f"({manifest.release}); choose another --out, or remove it"
        )
    log.info("%s: holds this very knowledge base already; nothing to do", out)
    return manifest


def _build(release: Release, folder: Path, filters: Filters, memory_mib: int) -> Built:
    staging = folder / "staging"
    staging.mkdir()
    try:
        with progress("importing", total=100, unit="%") as advance:
            built = build_tables(
                release, folder, filters, lambda part: advance(100 * part), memory_mib=memory_mib
            )
    except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.IOException, ValueError):
        if damage := find_damage(release.files):
            raise UserError(damage) from None
        raise
    shutil.rmtree(staging)
    return built
