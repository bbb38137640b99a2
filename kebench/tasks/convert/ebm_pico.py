"""EBM PICO from EBM-NLP (`ebm_nlp_2_00`) to BLURB's form, and the protocol that trains on its dev set.

What BLURB does: words are what `documents/PMID.tokens` holds, cut at white space. Labels are those of
`annotations/aggregated/starting_spans`, 0 or another number for each word, of crowd workers in training and
development set and of experts in the test set. A word has one label: of participants, interventions and
outcomes the last that names it. The shortest of the lists ends a document. A sentence ends at a word that is
a full stop, and nowhere else.
"""

import re
from hashlib import sha256
from pathlib import Path

from kebench.errors import UserError
from kebench.kinds.card import SPLITS
from kebench.tasks.convert.originals import (
    corpus_files,
    decoded,
    find_original,
    read_original,
    require_all,
    split_ids,
)

CLASSES = {"participants": "PAR", "interventions": "INT", "outcomes": "OUT"}  # a later one wins
NUM_TRAINING = 3842  # BLURB's list; of the corpus' 4,993 documents 960 are dev and 191 test
TRAINING_IDS = "b64cf27f87ee74fd"  # SHA-256 of that list, in the order of ids as text, a newline between
DEV_DOCUMENTS_TO_TRAIN = 768  # of 960, four in five; ours
_ANNOTATION = re.compile(
    r"(?:^|/)annotations/aggregated/starting_spans/(\w+)/(train|test/gold)/(\d+)\.AGGREGATED\.ann$"
)
_TOKENS = re.compile(r"(?:^|/)documents/(\d+)\.tokens$")
_DOCUMENT = re.compile(rb"^-DOCSTART- \((\S+)\)[ \t\r]*$", re.MULTILINE)


def convert_ebm_pico(source: Path) -> dict[str, bytes]:
    """Return the file of each split from `ebm_nlp_2_00`: the .tar.gz, a .zip, or the unpacked folder."""
    tokens: dict[str, list[str]] = {}
    labels: dict[str, dict[str, list[bool]]] = {"train": {}, "test/gold": {}}
    for where, name, content in corpus_files(source, lambda name: bool(_kind_of(name))):
        words = decoded(where, content).split()
        if found := _TOKENS.search(name):
            tokens[found[1]] = words
        elif found := _ANNOTATION.search(name):
            if wrong := [word for word in words if not word.isdecimal()]:
                raise UserError(f"{where}: '{wrong[0][:20]}', expected numbers; fetch the corpus again")
            labels[found[2]][f"{found[3]} {found[1]}"] = [int(word) > 0 for word in words]
    splits = split_ids("ebm-pico")
    held_out = {*splits["dev"], *splits["test"]}
    training = sorted({key.partition(" ")[0] for key in labels["train"]} - held_out)
    if len(training) != NUM_TRAINING:
        raise UserError(
            f"{source}: {len(training):,} documents beside BLURB's dev and test set, expected "
            f"{NUM_TRAINING:,}; give the whole of ebm_nlp_2_00"
        )
    if not sha256("\n".join(training).encode()).hexdigest().startswith(TRAINING_IDS):
        raise UserError(
            f"{source}: as many documents as BLURB's training set, but other ones; give ebm_nlp_2_00 as it is"
        )
    splits = {"train": tuple(training), **splits}
    contents = {}
    for split in SPLITS:
        given = labels["test/gold" if split == "test" else "train"]
        require_all(source, splits[split], tokens, what="documents")
        wanted = [f"{name} {element}" for name in splits[split] for element in CLASSES]
        require_all(source, wanted, given, what="lists of labels")
        text = "".join(
            _document(name, tokens[name], [given[f"{name} {element}"] for element in CLASSES])
            for name in splits[split]
        )
        contents[split] = text.encode()
    return contents


def _kind_of(name: str) -> re.Match[str] | None:
    return _TOKENS.search(name) or _ANNOTATION.search(name)


def _document(name: str, tokens: list[str], of_classes: list[list[bool]]) -> str:
    """Return the lines of a document. of_classes: of each class whether it names a word."""
    lines = f"-DOCSTART- ({name})\n\n"
    for token, *named in zip(tokens, *of_classes, strict=False):
        tag = "O"
        for label, is_named in zip(CLASSES.values(), named, strict=True):
            tag = f"I-{label}" if is_named else tag
        lines += f"{token}\t{tag}\n" + "\n" * (token == ".")
    return lines


def convert_ebm_pico_dev(folder: Path) -> dict[str, bytes]:
    """Return the splits of `ebm-pico-dev` from the folder with EBM PICO's dev.tsv and test.tsv.

    Training set are the documents of the development set that come first by the SHA-256 of their ids;
    documents stand in the order of the file. The test set is the very file.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the one with EBM PICO's dev.tsv and test.tsv")
    path = find_original(folder, "dev.tsv")
    content = read_original(path).removeprefix(b"\xef\xbb\xbf")
    begins = [found.start() for found in _DOCUMENT.finditer(content)]
    names = [found[1] for found in _DOCUMENT.finditer(content)]
    expected = len(split_ids("ebm-pico")["dev"])
    if len({*names}) != expected:
        raise UserError(
            f"{path}: {len({*names}):,} documents (-DOCSTART- lines), expected {expected:,}; "
            "fetch it again (kebench data get ebm-pico)"
        )
    chosen = {*sorted(names, key=lambda name: sha256(name).digest())[:DEV_DOCUMENTS_TO_TRAIN]}
    parts = {"train": b"", "dev": b""}
    for name, start, end in zip(names, begins, [*begins[1:], len(content)], strict=True):
        parts["train" if name in chosen else "dev"] += content[start:end]
    return {**parts, "test": read_original(find_original(folder, "test.tsv"))}
