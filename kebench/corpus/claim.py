"""The claim on a corpus's folder: plan.json says what is being made there, and who is at work holds a lease.

Another plan is refused and told what differs, unless it only mends what stopped the first one: `_goes_on`.
"""

import json
import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kebench.bounded import parse_json, read_within
from kebench.corpus.linked import SHARDS
from kebench.corpus.plan import AnnotationPlan, describe_plan
from kebench.errors import UserError
from kebench.files import TEMPORARY_NAME, create_atomically, write_atomically
from kebench.leases import lease, stale_token

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
        begun = wanted if is_first else read_plan(out)
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


def read_plan(out: Path) -> dict[str, Any]:
    """Return what plan.json says; nothing if it is not there or damaged."""
    try:
        begun = parse_json(read_within(out / PLAN))
    except (FileNotFoundError, ValueError):
        return {}
    return begun if isinstance(begun, dict) else {}


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
