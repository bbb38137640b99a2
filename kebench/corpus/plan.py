"""An annotation before it runs: its inputs, settings and what is kept out, and the hash of all that.

In the corpus's folder plan.json says so, and who is at work holds a lease. Another plan is refused and told
what differs, unless it only mends what stopped the first one: `_goes_on`.
"""

import json
import logging
import textwrap
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from kebench.bounded import parse_json, read_within
from kebench.corpus.exclude import NOTHING_HELD_OUT, HeldOut
from kebench.corpus.linked import SHARDS
from kebench.corpus.linking import NO_FILES, LinkerFiles, LinkingSettings, read_settings
from kebench.corpus.mentions import default_mentions, find_model
from kebench.corpus.readers import READERS, check_format, detect_format
from kebench.errors import UserError
from kebench.files import TEMPORARY_NAME, create_atomically, hash_of, sha256_of, write_atomically
from kebench.leases import lease, stale_token
from kebench.progress import progress
from kebench.umls.knowledge_base import KnowledgeBase

ANNOTATION_VERSION = 2  # raised by every change that can move a mention or a link
# Of the readers that read a file otherwise than before; raised by every change that can move a text.
READER_VERSIONS = {"pubmed": 2}
SHARD_DOCUMENTS = 2000  # ours: a shard is some seconds to some minutes of work
PLAN = "plan.json"
AT_WORK = "annotate-*.running"
_CHOOSE = "choose another --out, or remove it"
_SHOWN_DIFFERENCES = 3
_WORDS = {
    "version": "made by another version of kebench",
    "knowledge_base": "another knowledge base",
    "tests": "other documents kept out",
    "model": "another spaCy model",
}

_log = logging.getLogger(__name__)


class InputFile(NamedTuple):
    """A file to be annotated."""

    path: Path
    format: str
    bytes: int
    sha256: str


class AnnotationPlan(NamedTuple):
    """Everything that decides a corpus.

    model: name and version of the spaCy model that finds mentions, if one does.
    on_error: "stop" or "skip". retracted: "drop" or "keep".
    """

    inputs: tuple[InputFile, ...]
    knowledge_base: KnowledgeBase
    settings: LinkingSettings
    files: LinkerFiles
    model: dict[str, str]
    on_error: str
    retracted: str
    tests: HeldOut
    shard_documents: int

    @property
    def content_hash(self) -> str:
        """The hash of what decides documents and links; no folder, no number of processes."""
        return hash_of(self.decides())

    def decides(self) -> dict[str, Any]:
        """Return what decides documents and links."""
        return {
            "version": ANNOTATION_VERSION,
            # a document of plain text is called by its file
            "inputs": [
                [
                    one.format,
                    one.sha256,
                    *([one.path.name] if one.format == "text" else []),
                    *([READER_VERSIONS[one.format]] if one.format in READER_VERSIONS else []),
                ]
                for one in self.inputs
            ],
            "knowledge_base": self.knowledge_base.content_hash,
            "settings": self.settings.model_dump(mode="json", exclude={"preset"}),
            "model": self.model,
            "on_error": self.on_error,
            "retracted": self.retracted,
            "tests": hash_of([sorted(self.tests.ids), sorted(self.tests.texts)]),
            "shard_documents": self.shard_documents,
        }

    def choices(self) -> list[str]:
        """Return what was chosen for the user, a line each."""
        formats = ", ".join(sorted({one.format for one in self.inputs}))
        size = sum(one.bytes for one in self.inputs) / 1e6
        files = f"{len(self.inputs):,} file{'s' * (len(self.inputs) != 1)}"
        told = [f"{files}, {size:,.1f} MB, {formats}; linker {self.settings.linker}"]
        if "dictionary" in (self.settings.linker, self.settings.mentions):
            names = self.knowledge_base.manifest.counts["names"]["kept"]
            told.append(f"first each process reads {names:,} names; a million takes about 20 s")
        if self.settings.linker == "scispacy":
            shown = self.settings.model_dump(exclude_none=True, exclude={"linker", "definitions"})
            told += textwrap.wrap("; ".join(f"{name} {value}" for name, value in shown.items()), 78)
        return told


def find_inputs(paths: Sequence[Path], form: str | None) -> tuple[InputFile, ...]:
    """Return the files named, and those within the folders named, by name. Raises UserError if there is none.

    form: their format; None finds each file's own.
    """
    found: dict[Path, None] = {}
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(
                one
                for one in path.iterdir()
                if one.is_file()
                and not one.name.startswith(".")
                and one.suffix not in (".md", ".md5", ".json5")
                and one.name not in ("LICENSE", "README")
            )
        if not inside:
            raise UserError(f"{path}: no file in it; name files, or a folder of them")
        found |= dict.fromkeys(inside)
    assert form is None or form in READERS, form
    if form is not None:
        for path in found:
            check_format(path, form)
    formats = {path: form or detect_format(path) for path in found}
    by_name: dict[str, Path] = {}
    for path in found:
        if formats[path] == "text" and (other := by_name.setdefault(path.name, path)) != path:
            raise UserError(
                f"{other} and {path}: two plain text files of one name, by which their documents are called "
                "(NAME:LINE); rename one"
            )
    total = sum(path.stat().st_size for path in found)
    with progress("hashing the inputs", total=total, unit="bytes") as advance:
        return tuple(
            InputFile(path, formats[path], path.stat().st_size, sha256_of(path, on_read=advance))
            for path in found
        )


def describe_plan(plan: AnnotationPlan) -> dict[str, Any]:
    """Return what plan.json says: what is being made, and what decides it."""
    return {
        "content_hash": plan.content_hash,
        "inputs": [one.path.name for one in plan.inputs],
        "decides": plan.decides(),
    }


def plan_annotation(
    paths: Sequence[Path],
    knowledge_base: KnowledgeBase,
    linker: str,
    *,
    form: str | None = None,
    preset: str | None = None,
    files: LinkerFiles = NO_FILES,
    tests: HeldOut = NOTHING_HELD_OUT,
    on_error: str = "stop",
    retracted: str = "drop",
    shard_documents: int = SHARD_DOCUMENTS,
    **changes: object,
) -> AnnotationPlan:
    """Plan an annotation: see that everything it needs is there, and hash what decides it.

    preset: whose settings, for scispacy; None is the paper's. changes: settings that differ from the
    preset's; None is the preset's. Wrong settings are a UserError before the inputs are read.
    """
    named = {name: str(path) for name, path in files._asdict().items() if path is not None}
    settings = read_settings(linker, preset=preset, **changes, **named)
    found: dict[str, str] = {}
    model: dict[str, str] = {}
    if linker == "scispacy":
        from kebench.corpus.name_index import NameIndex  # scikit-learn and SciPy, which no other linker needs

        found = {"search": settings.search or "exact"}
        found["mentions"] = settings.mentions or default_mentions(settings.spacy_model)
        if found["mentions"] != "dictionary":
            model = find_model(found["mentions"], settings.spacy_model)
            found["spacy_model"] = model["spacy_model"]
        index = NameIndex.open(knowledge_base)
        if found["search"] == "approximate":
            index.require_graph()
    found |= {name: sha256_of(path) for name, path in files._asdict().items() if path is not None}
    return AnnotationPlan(
        inputs=find_inputs(paths, form),
        knowledge_base=knowledge_base,
        settings=settings.model_copy(update=found),
        files=files,
        model=model,
        on_error=on_error,
        retracted=retracted,
        tests=tests,
        shard_documents=shard_documents,
    )


@contextmanager
def claimed(plan: AnnotationPlan, out: Path) -> Iterator[None]:
    """Hold a folder for a plan. Raises UserError if it is something else, or of another plan."""
    is_something = out.exists() and not all(
        TEMPORARY_NAME.search(path.name) or path.match(AT_WORK) for path in out.iterdir()
    )
    if is_something and not (out / PLAN).exists():  # looked for last: another command may just have begun
        raise UserError(f"{out}: exists and is no corpus; {_CHOOSE}")
    at_work = out / AT_WORK.replace("*", uuid.uuid4().hex[:8])
    with lease(at_work):  # before the plan is read, so that of two commands one sees the other
        path, wanted = out / PLAN, describe_plan(plan)
        content = json.dumps(wanted, indent=1) + "\n"
        is_first = create_atomically(path, content, point="corpus")
        begun = wanted if is_first else read_if_whole(out / PLAN)
        if begun.get("content_hash") != wanted["content_hash"]:
            what = differences(begun, wanted)
            others = [path for path in out.glob(AT_WORK) if path != at_work]
            if any(stale_token(path) is None and path.exists() for path in others):
                raise UserError(
                    f"{out}: another 'kebench annotate' is at work there ({what}); "
                    "choose another --out, or wait"
                )
            if not _goes_on(begun, wanted, out):
                raise UserError(f"{out}: another annotation was begun there ({what}); {_CHOOSE}")
            _log.warning("%s: goes on with another plan (%s)", out, what)
            write_atomically(path, content, point="corpus")
        yield


def _goes_on(begun: Mapping[str, Any], wanted: Mapping[str, Any], out: Path) -> bool:
    """Say whether a plan can go on from what another one left, and remove what does not fit.

    It can if nothing was linked yet, or if all that differs is --on-error and the content of inputs, by the
    same names, that were not read to their ends: what stopped the first one has been mended, or is skipped.
    """
    shards = out / SHARDS
    linked = [path for path in shards.glob("*") if path.suffix in (".parquet", ".json")]
    if not linked:
        return True
    old, new = (dict(one.get("decides", {})) for one in (begun, wanted))
    was, now = old.pop("inputs", []), new.pop("inputs")
    is_skipping_else = old.pop("on_error", "") != new.pop("on_error")
    changed = [place for place, (a, b) in enumerate(zip(was, now, strict=False)) if a != b]
    is_done = {place for place in changed if (shards / f"{place:05}.json").exists()}
    if old != new or begun["inputs"] != wanted["inputs"] or is_done:
        return False
    for path in linked:
        if int(path.name[:5]) in changed or (is_skipping_else and path.suffix == ".json"):
            path.unlink(missing_ok=True)
    return True


def read_if_whole(path: Path) -> dict[str, Any]:
    """Return what a JSON file of ours says; nothing if it is not there or damaged."""
    try:
        written = parse_json(read_within(path))
    except (FileNotFoundError, ValueError):
        return {}
    return written if isinstance(written, dict) else {}


def differences(begun: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Say in which settings two plans differ: "threshold 0.85, now 0.9"."""
    if not begun.get("decides"):
        return f"its {PLAN} cannot be read"
    old, new = ({**one["decides"], **one["decides"].get("settings", {})} for one in (begun, wanted))
    told = [
        _WORDS.get(name, f"{name} {old.get(name)}, now {new.get(name)}")
        for name in new
        if name not in ("inputs", "settings") and old.get(name) != new[name]
    ]
    if old.get("inputs") != new["inputs"]:
        was, now = (
            dict(zip(one["inputs"], map(tuple, one["decides"]["inputs"]), strict=False))
            for one in (begun, wanted)
        )
        first = next((name for name in (*now, *was) if was.get(name) != now.get(name)), None)
        told.append(f"other inputs, such as {first}" if first else "inputs in another order")
    rest = len(told) - _SHOWN_DIFFERENCES
    return "; ".join([*told[:_SHOWN_DIFFERENCES], *([f"and {rest} more"] if rest > 0 else [])])
