"""DDI from the SemEval-2013 XML to BLURB's form.

What BLURB does: each `pair` element is an instance; an entity with several spans counts from its
first start to its last end (the XML's end offsets are inclusive); newline, tab and carriage return
become spaces. The corpus says train and test; `ddi-documents.toml` says which documents are dev.

XML with a DOCTYPE or ENTITY declaration is refused, so no entity is expanded and nothing outside the file
is fetched.
"""

import tomllib
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path

from kebench.errors import UserError
from kebench.kinds.pairs import Pair
from kebench.tasks.convert.originals import corpus_files
from kebench.tasks.convert.sentences import with_markers

_PREFIXES = {"D": "DDI-DrugBank.d", "M": "DDI-MedLine.d"}


def convert_ddi(source: Path) -> dict[str, list[Pair]]:
    """Return the pairs of each split from the corpus: a .tar.gz, a .zip, or an unpacked folder."""
    documents: dict[str, list[Pair]] = {}
    for where, _, content in corpus_files(source, _is_document):
        name, pairs = _parse(content, where)
        # The corpus has a second copy of some documents, without pairs, for another task.
        known = documents.get(name)
        if known and pairs and known != pairs:
            raise UserError(f"{where}: document {name} is in {source} twice and differs; remove one of them")
        documents[name] = known or pairs
    splits = split_documents()
    missing = [name for names in splits.values() for name in names if name not in documents]
    if missing:
        raise UserError(
            f"{source}: {len(missing)} of {sum(map(len, splits.values()))} documents are missing, "
            f"first {missing[0]}; give the whole DDI corpus, its train and test parts"
        )
    return {split: [pair for name in names for pair in documents[name]] for split, names in splits.items()}


@cache
def split_documents() -> dict[str, tuple[str, ...]]:
    """Return the document ids of each split, in the order of BLURB's files."""
    text = Path(__file__).with_name("ddi-documents.toml").read_text(encoding="utf-8")
    return {
        split: tuple(_PREFIXES[name[0]] + name[1:] for name in names.split())
        for split, names in tomllib.loads(text).items()
    }


def read_drug_texts(source: Path) -> list[str]:
    """Return the text of every drug that stands in a pair of the corpus, over all splits, each once.

    source: as for `convert_ddi`, or a folder that holds nothing but the archive.
    """
    archives = (
        [path for path in source.iterdir() if path.suffix in (".gz", ".zip")] if source.is_dir() else []
    )
    source = archives[0] if len(archives) == 1 else source
    texts: dict[str, str] = {}
    for where, _, content in corpus_files(source, _is_document):
        _parse(content, where)
        root = ElementTree.fromstring(content.decode("utf-8-sig"))
        paired = {pair.attrib[end] for pair in root.iter("pair") for end in ("e1", "e2")}
        texts |= {
            one.attrib["id"]: one.attrib["text"] for one in root.iter("entity") if one.attrib["id"] in paired
        }
    return list(texts.values())


def _is_document(name: str) -> bool:
    """Return whether a member is an XML file; macOS archives hold `._x.xml` shadows that are none."""
    return name.endswith(".xml") and not name.rpartition("/")[2].startswith("._")


def _parse(content: bytes, where: str) -> tuple[str, list[Pair]]:
    """Return a document's id and pairs."""
    pairs = []
    try:
        document = content.decode("utf-8-sig")
        if "<!DOCTYPE" in document or "<!ENTITY" in document:
            raise UserError(
                f"{where}: declares a DOCTYPE or ENTITY, which the corpus does not; fetch it again"
            )
        root = ElementTree.fromstring(document)
        for sentence in root.iter("sentence"):
            text, spans = sentence.attrib["text"], {}
            for entity in sentence.iter("entity"):
                # `0-4` or `0-4;9-12`: from the first start to the last end
                parts = entity.attrib["charOffset"].split(";")
                span = int(parts[0].partition("-")[0]), int(parts[-1].partition("-")[2]) + 1
                spans[entity.attrib["id"]] = span
            for pair in sentence.iter("pair"):
                first, second = sorted((spans[pair.attrib["e1"]], spans[pair.attrib["e2"]]))
                if second[1] > len(text):
                    raise ValueError(f"pair {pair.attrib['id']}: an entity lies outside the sentence")
                marked = with_markers(text, first, second, ("@DRUG$", "@DRUG$"), both="@DRUG-DRUG$")
                label = f"DDI-{pair.attrib['type']}" if pair.attrib["ddi"] == "true" else "DDI-false"
                pairs.append(Pair(pair.attrib["id"], marked, label))
        return root.attrib["id"], pairs
    except (UnicodeDecodeError, ElementTree.ParseError, KeyError, ValueError) as error:
        raise UserError(f"{where}: not a DDI document ({error!r}); fetch the corpus again") from None
