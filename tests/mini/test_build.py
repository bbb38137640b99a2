import os
import subprocess
import sys
from pathlib import Path

import pytest

from kebench.errors import UserError
from kebench.mini.build import SEED, miniature_corpus, miniature_data, miniature_model, miniature_release
from kebench.mini.tasks import TASKS


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_same_seed_gives_the_same_bytes_whatever_the_hash_seed_and_without_torch(
    built: Path, tmp_path: Path
) -> None:
    program = (
        "import sys; from pathlib import Path; from kebench.mini.build import write_world; "
        f"write_world(Path({str(tmp_path)!r}), seed={SEED}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    assert _contents(tmp_path) == _contents(built)


def test_the_data_are_made_on_first_use_and_then_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEBENCH_CACHE", str(tmp_path))
    data = miniature_data()
    assert sorted(path.name for path in data.iterdir()) == sorted(TASKS)
    assert miniature_corpus().is_file()
    assert (miniature_release() / "MRCONSO.RRF").is_file()

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("made twice")

    monkeypatch.setattr("kebench.mini.build.write_world", fail)
    assert miniature_data() == data


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="no embedded model 'bert-mino'; did you mean 'bert-mini'"):
        miniature_model("bert-mino")
