"""The profile mini from end to end, cut down to a minute: every stage runs and leaves what it should."""

import csv
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

# What is left out: all variants but KeBioLM and the control, and most of every number.
VARIANTS = (
    "kebiolm-no-wem-mini",
    "kebiolm-rand-mini",
    "kebiolm-frz-mini",
    "kebiolm-4-8-mini",
    "kebiolm-12-0-mini",
)
CUTS = {
    "--out {out}/models/{each}": "--out {out}/models/{each} --steps 4",
    "--queries 200": "--queries 4 --max-masks 1",
    "--tasks mini --seeds 5 --epochs 4": "--tasks mini-gad,mini-ncbi-disease --seeds 2 --epochs 1",
}


@pytest.mark.timeout(600)
def test_the_whole_paper_on_the_miniature(tmp_path: Path) -> None:
    pytest.importorskip("altair")
    text = resources.files("kebench.reproduce").joinpath("profiles", "mini.toml").read_text(encoding="utf-8")
    for name in VARIANTS:
        for place in (f', "{name}"', f', "{{out}}/models/{name}"', f"--model {{out}}/models/{name}"):
            assert text.count(place) == 1, place
            text = text.replace(place, "")
    for long, short in CUTS.items():
        assert text.count(long) == 1, long
        text = text.replace(long, short)
    text = re.sub(r'^  "[^"]* --format latex [^"]*",\n', "", text, flags=re.MULTILINE)
    text = re.sub(r', "tables/[^"]*\.tex"', "", text)
    (tmp_path / "cut.toml").write_text(text)
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "kebench",
        "reproduce",
        "--profile",
        str(tmp_path / "cut.toml"),
        "--out",
        str(out),
    ]
    made = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert made.returncode == 0, made.stderr
    assert "Traceback" not in made.stderr
    for name in ("kb/kb.json", "corpus/corpus.json", "set/set.json", "models/continued-mini/config.json",
                 "tables/paper-2.txt", "tables/significance.txt", "site/index.html"):  # fmt: skip
        assert (out / name).stat().st_size > 0
    with (out / "tables" / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    measured = {row["model"] for row in rows if row["task"] == "mini-gad"}
    assert measured == {"bert-mini-random", "bert-mini", "kebiolm-mini", "continued-mini"}
    assert "kebiolm-mini" in (out / "tables" / "probes.txt").read_text()
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "nothing to do" in again.stderr
