"""Converters from the original distributions to BLURB's form, one module a task."""

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from kebench.download import explain_write_errors
from kebench.errors import UserError, did_you_mean
from kebench.files import atomic_folder, write_atomically
from kebench.kinds.card import SPLITS, TaskCard
from kebench.kinds.pairs import Pair
from kebench.tasks.check import Finding, check_file
from kebench.tasks.convert.bioasq import convert_bioasq
from kebench.tasks.convert.biosses import convert_biosses
from kebench.tasks.convert.chemprot import convert_chemprot
from kebench.tasks.convert.ddi import convert_ddi
from kebench.tasks.convert.ebm_pico import convert_ebm_pico, convert_ebm_pico_dev
from kebench.tasks.convert.hoc import convert_hoc
from kebench.tasks.convert.originals import TO_SPACES
from kebench.tasks.convert.pubmedqa import convert_pubmedqa

# task: what turns its original distribution (a file, a folder or an archive) into the file of each split
CONVERTERS: dict[str, Callable[[Path], dict[str, bytes]]] = {
    "bioasq": convert_bioasq,
    "biosses": convert_biosses,
    "chemprot": lambda source: _of_pairs(convert_chemprot(source)),
    "ddi": lambda source: _of_pairs(convert_ddi(source)),
    "ebm-pico": convert_ebm_pico,
    "ebm-pico-dev": convert_ebm_pico_dev,
    "hoc": convert_hoc,
    "pubmedqa": convert_pubmedqa,
}


def build_task(card: TaskCard, source: Path, data: Path, *, force: bool = False) -> list[Finding]:
    """Convert `source` into the task's folder under `data` and return what each file holds.

    force: replace files that are there. Raises UserError, with nothing written, if the original is
    damaged, if the result is not what the card expects, or if files would be replaced without force.
    """
    if card.name not in CONVERTERS:
        raise UserError(
            f"no converter for task '{card.name}'{did_you_mean(card.name, CONVERTERS)} "
            f"there is one for each of {', '.join(CONVERTERS)}"
        )
    target = card.target_folder(data)
    there = [target / name for name in card.files.values() if (target / name).exists()]
    if there and not force:
        raise UserError(f"{there[0]} is there already; --force replaces it, --data names another folder")
    contents = CONVERTERS[card.name](source)
    # All splits or none where the folder is new, and each whole or not at all where it is not.
    is_new = not target.exists()
    with explain_write_errors(target):
        with atomic_folder(target, point="data") if is_new else TemporaryDirectory() as folder:
            for split in SPLITS:
                path = Path(folder) / card.files[split]
                path.write_bytes(contents[split])
                finding = check_file(card, split, path)
                if finding.level == "error":
                    what = finding.message.removeprefix(f"{path}: ").partition("; ")[0]
                    raise UserError(
                        f"{source}: converted to {split}, {what}; nothing written, fetch the original again"
                    )
        if not is_new:
            for split in SPLITS:
                write_atomically(target / card.files[split], contents[split], point="data")
        return [check_file(card, split, target / card.files[split]) for split in SPLITS]


def _of_pairs(splits: Mapping[str, list[Pair]]) -> dict[str, bytes]:
    return {split: pairs_form(pairs) for split, pairs in splits.items()}


def pairs_form(pairs: list[Pair]) -> bytes:
    """Return pairs as BLURB writes them: `id TAB text TAB label`, no header.

    A newline, tab or carriage return inside a text becomes a space, as BLURB's scripts do it.
    """
    rows = [(pair.id, pair.text.translate(TO_SPACES), pair.label) for pair in pairs]
    return "".join("\t".join(row) + "\n" for row in rows).encode()
