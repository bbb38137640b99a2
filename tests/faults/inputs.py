"""Small files of every format that kebench reads and the pipeline does not make itself."""

import gzip
import json
import shutil
from pathlib import Path

from kebench.shipped import shipped
from kebench.tasks import card as card_module
from kebench.tasks.check import measure
from tests import forks
from tests.corpus.test_pubmed import HEAD, citation
from tests.corpus.test_readers import BIOC, PUBTATOR
from tests.grids import Place
from tests.probe.test_foreign import LINE, PROMPT
from tests.umls.open.test_obo import HEADER, IN_JSON, IN_OBO
from tests.umls.open.test_tsv import TERMS
from tests.umls.releases import write_release

BIOC_JSON = {
    "source": "x",
    "documents": [
        {
            "id": "7",
            "passages": [
                {
                    "offset": 0,
                    "infons": {"type": "title"},
                    "text": "Carotene in gout.",
                    "annotations": [
                        {
                            "id": "1",
                            "infons": {"type": "Disease", "identifier": "MESH:D006073"},
                            "text": "gout",
                            "locations": [{"offset": 12, "length": 4}],
                        }
                    ],
                }
            ],
        }
    ],
}
OVERLAP = {
    "schema": 1,
    "kb": "mini",
    "kb_hash": "0" * 64,
    "overlap": [{"task": "mini-gad", "mentions": 10, "in_kb": 5, "in_corpus": None}],
    "scores": [
        {
            "task": "mini-ncbi-disease",
            "model": "checkpoint",
            "mentions": "known",
            "gold": 5,
            "mean": 50.0,
            "deviation": None,
            "seeds": 2,
        }
    ],
}
REPRODUCTION = """
title = "small"
machine = "any"
[variables.recipe]
help = "a file that is read"
default = "small.toml"
is_path = true
[[needs]]
kind = "tasks"
names = ["mini"]
remedy = "see {name}"
[[stages]]
name = "recipe"
title = "a recipe"
commands = ["recipe show {recipe} > {out}/recipe.txt"]
estimate = {minutes = 0.1, basis = "guessed"}
[[stages]]
name = "tasks"
title = "tasks"
each = ["ner", "relation"]
commands = ["task list > {out}/lists/{each}.txt"]
after = ["recipe"]
estimate = {minutes = 0.1, basis = "guessed"}
"""


def write_inputs(place: Place) -> None:
    """Write them into a place where the pipeline has run."""
    folder = place.folder
    world = next(place.cache.glob("mini/world-*"))
    (place.cache / "world").symlink_to(world)
    write_release(folder / "release")
    (folder / "release-gz").mkdir()
    for path in (folder / "release").iterdir():
        (folder / "release-gz" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    texts = (folder / "texts.jsonl").read_text().splitlines()[:6]
    pubmed = HEAD + "".join(
        citation(number, f"Gout <i>{number}</i>", "<AbstractText>A joint &amp; pain.</AbstractText>")
        for number in range(1, 4)
    )
    pubmed += "<DeleteCitation><PMID>2</PMID></DeleteCitation></PubmedArticleSet>"
    written = {
        "small.obo": HEADER + IN_OBO,
        "small-obo.json": IN_JSON,
        "terms.tsv": TERMS,
        "triples.tsv": "head\trelation\ttail\nLAB:1\tmay_treat\tLAB:2\nLAB:2\tisa\tLAB:1\n",
        "vectors.toml": 'extends = "transe.toml"\nepochs = 2\n',
        "texts-few.jsonl": "\n".join(texts),
        "pubmed.xml": pubmed,
        "pubtator.txt": PUBTATOR,
        "bioc.xml": BIOC,
        "bioc.json": json.dumps(BIOC_JSON),
        "ids.tsv": "D006073\tC0000001\nMESH:D019207\tC0000002\n",
        "exclude.txt": "1\n2\n7\n",
        "queries.csv": "query,answers,relation\ngout is [MASK].,a|an illness,isa\n[MASK] aches,gout,x\n",
        "biolama.jsonl": json.dumps(LINE) + "\n",
        "prompts.jsonl": json.dumps(PROMPT) + "\n",
        "reproduction.toml": REPRODUCTION,
        "transe.toml": (shipped("pretraining") / "transe-mini.toml").read_text(),
        "probing.toml": (shipped("probing") / "mini.toml").read_text(),
    }
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "overlap.json").write_text(json.dumps(OVERLAP))
    (folder / "pubmed.xml.gz").write_bytes(gzip.compress(pubmed.encode(), mtime=0))
    (folder / "graph").mkdir()
    for name in ("train", "valid", "test"):
        (folder / "graph" / f"{name}.txt").write_text("a\tr\tb\nb\tr\tc\nc\tq\ta\na\tq\tc\n")
    (folder / "tasks").mkdir()
    card = Path(card_module.__file__).with_name("cards") / "ncbi-disease.toml"
    text = card.read_text().partition("[expected")[0].replace("ncbi-disease", "mine")
    lines = (line for line in text.splitlines(keepends=True) if not line.startswith("also_in"))
    text = "".join(lines).replace('suite = "blurb"', 'suite = "own"')
    (folder / "tasks" / "mine.toml").write_text(text + expected_of(world / "tasks" / "mini-ncbi-disease"))
    shutil.copytree(world / "tasks" / "mini-ncbi-disease", folder / "tasks-data" / "mine")
    reproduce = ["reproduce", "--profile", "reproduction.toml", "--out", "reproduction"]
    made = forks.run(*reproduce, folder=folder, before=forks.all_by_the_server())
    assert made.returncode == 0, made.stderr


def expected_of(folder: Path) -> str:
    """Return the part of a task card that says how large its files are, and what is in them."""
    card, said = card_module.read_task_card("ncbi-disease"), ""
    for path in sorted(folder.iterdir()):
        size = measure(card, path)
        digests = f'gold = "{size.gold}"\ntext = "{size.text}"\npairing = "{size.pairing}"'
        said += f"[expected.{path.stem}]\nunits = {size.units}\nrows = {size.rows}\n{digests}\n"
    return said
