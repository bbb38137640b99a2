"""HoC from the authors' corpus to BLURB's form.

What BLURB does: a sentence is a line of `text/PMID.txt`, its labels stand behind a `<` in `labels/PMID.txt`,
with AND between and -- between levels, of which only the first counts (37 classes fold into ten).
"""

from pathlib import Path

from kebench.errors import UserError
from kebench.kinds.classification import SENTENCES
from kebench.tasks.convert.originals import corpus_files, decoded, require_all, split_ids

# In the order of their numbers in BLURB's files.
LABELS = (
    "activating invasion and metastasis",
    "avoiding immune destruction",
    "cellular energetics",
    "enabling replicative immortality",
    "evading growth suppressors",
    "genomic instability and mutation",
    "inducing angiogenesis",
    "resisting cell death",
    "sustaining proliferative signaling",
    "tumor promoting inflammation",
)
NO_LABEL = "null"


def convert_hoc(source: Path) -> dict[str, bytes]:
    """Return the file of each split from the corpus: its .tar.gz, a .zip, or an unpacked folder."""
    texts: dict[str, str] = {}
    labels: dict[str, tuple[str, str]] = {}  # with the place of the file
    for where, name, content in corpus_files(source, _is_wanted):
        folder, document = name.removesuffix(".txt").split("/")[-2:]
        if folder == "text":
            texts[document] = decoded(where, content)
        else:
            labels[document] = where, decoded(where, content)
    splits = split_ids("hoc")
    documents = [name for names in splits.values() for name in names]
    require_all(source, documents, texts.keys() & labels.keys(), what="documents")
    header = "\t".join(SENTENCES) + "\n"
    return {
        split: (header + "".join(_lines(name, texts[name], *labels[name]) for name in names)).encode()
        for split, names in splits.items()
    }


def _is_wanted(name: str) -> bool:
    *_, folder, file = ("", *name.split("/"))
    return folder in ("text", "labels") and file.endswith(".txt") and file[:-4].isdecimal()


def _lines(document: str, text: str, where: str, marks: str) -> str:
    """Return a line for each sentence of a document. where, marks: the file of its labels, what it holds."""
    sentences = text.removesuffix("\n").split("\n")
    marked = marks.split("<")[1:]
    if len(marked) != len(sentences):
        raise UserError(
            f"{where}: labels of {len(marked)} sentences, its text has {len(sentences)}; "
            "fetch the corpus again"
        )
    lines = ""
    for number, (sentence, labels) in enumerate(zip(sentences, marked, strict=True)):
        held = {one.partition("--")[0].strip().lower() for one in labels.split("AND")} - {"", NO_LABEL}
        if unknown := sorted(held - {*LABELS}):
            raise UserError(f"{where}: label '{unknown[0][:40]}' is none of the ten; fetch the corpus again")
        field = ",".join(f"{place}_{int(label in held)}" for place, label in enumerate(LABELS))
        lines += f"{field}\t{sentence.replace(chr(9), ' ').strip()}\t{document}_s{number}\n"
    return lines
