"""Makes the parts of the miniature on first use and keeps them in the cache.

Data and models are separate folders, so that making the data needs no torch. A folder's name holds a hash
of everything that went into it: after a change of the data or of the code a new one is made.
"""

import json
import logging
from pathlib import Path

from kebench.errors import UserError, did_you_mean
from kebench.files import atomic_folder, cache_folder, hash_of, remove_if_broken, sha256_of
from kebench.mini.abstracts import make_abstracts
from kebench.mini.release import write_release
from kebench.mini.tasks import make_tasks, sentences_of_test_splits
from kebench.mini.world import FOLDER, load_world

log = logging.getLogger(__name__)

SEED = 20210527  # ours; the day does not matter
MODELS = {"bert-mini": True, "bert-mini-random": False}  # name -> pretrained or not
# The data, and the code that makes the miniature of it.
_MADE_FROM = ("*.tsv", "*.txt", "*.py", "../model/optimizer.py")


def miniature_data() -> Path:
    """Return the data folder of the `mini-...` tasks, as `--data` takes it."""
    return _world_folder() / "tasks"


def miniature_release() -> Path:
    """Return the folder of MRCONSO.RRF, MRREL.RRF and MRSTY.RRF."""
    return _world_folder() / "release"


def miniature_corpus() -> Path:
    """Return the corpus, a JSON Lines file."""
    return _world_folder() / "corpus.jsonl"


def miniature_model(name: str) -> Path:
    """Return the checkpoint of a model: trained on first use, in about a minute."""
    if name not in MODELS:
        raise UserError(f"no embedded model '{name}'{did_you_mean(name, MODELS)} one of {', '.join(MODELS)}")
    corpus, folder = miniature_corpus(), _model_folder(name)
    remove_if_broken(folder)
    if not folder.is_dir():
        from kebench.mini.bert import write_model

        log.info("making %s in %s: first use of the miniature's model, about a minute", name, folder)
        with atomic_folder(folder, point="model", sealed=True) as temporary:
            write_model(corpus, temporary, seed=SEED, pretrain=MODELS[name])
    return folder


def made_model(name: str) -> Path | None:
    """Return the checkpoint of a model if it has been made."""
    folder = _model_folder(name)
    return folder if folder.is_dir() else None


def _model_folder(name: str) -> Path:
    return cache_folder() / "mini" / f"{name}-{_key()}"


def _world_folder() -> Path:
    folder = cache_folder() / "mini" / f"world-{_key()}"
    remove_if_broken(folder)
    if not folder.is_dir():
        log.info("making the miniature in %s: first use of the suite 'mini', a few seconds", folder)
        with atomic_folder(folder, point="world", sealed=True) as temporary:
            write_world(temporary, seed=SEED)
    return folder


def write_world(folder: Path, *, seed: int) -> None:
    """Write release, tasks and corpus of the miniature into a folder that exists."""
    world = load_world()
    (folder / "release").mkdir()
    write_release(world, folder / "release")
    tasks = make_tasks(world, seed=seed)
    for (task, _), made in tasks.items():
        path = folder / "tasks" / task / made.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made.content, encoding="utf-8", newline="\n")
    documents = make_abstracts(world, seed=seed, forbidden=sentences_of_test_splits(tasks))
    lines = (json.dumps(document.as_json(), ensure_ascii=False) + "\n" for document in documents)
    (folder / "corpus.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")


def _key() -> str:
    """Return twelve hex digits that stand for the data, the code and the seed."""
    hashes = [sha256_of(path) for pattern in _MADE_FROM for path in sorted(FOLDER.glob(pattern))]
    return hash_of({"files": hashes, "seed": SEED})[:12]
