"""Curves: printed in few rows, drawn to files that stand alone."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kebench.cli import kebench
from kebench.errors import UserError
from kebench.pretrain.curve import Row, averaged, curve_text, read_curves


def row(step: int, **more: float) -> Row:
    losses = {"loss": 3.0 + step, "mlm": 1.0 + step, "detection": 1.0, "linking": 1.0}
    return {
        "step": step,
        **losses,
        "learning_rate": 0.1,
        "grad_norm": 1.0,
        "tokens": 5,
        "tokens_per_second": 9.0,
    } | more


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [row(step, **({"perplexity": 50.0 - step} if step % 10 == 0 else {})) for step in range(1, 41)]
    (tmp_path / "kebiolm").mkdir()
    (tmp_path / "kebiolm" / "curves.jsonl").write_text(curve_text(rows))
    return tmp_path / "kebiolm"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(kebench, ["curves", *map(str, arguments)], catch_exceptions=False)


def test_a_printed_row_is_the_mean_of_a_stretch_with_its_last_look_at_held_out_text() -> None:
    rows = averaged([row(1), row(2, perplexity=9.0), row(3), row(4), row(5)], 2)
    assert [one["step"] for one in rows] == [3, 5]
    assert [one["loss"] for one in rows] == [5.0, 7.5]
    assert [one.get("perplexity") for one in rows] == [9.0, None]


def test_curves_are_printed(folder: Path) -> None:
    lines = run(folder).stdout.splitlines()
    assert lines[0] == "kebiolm"
    assert lines[1].split()[:5] == ["step", "loss", "mlm", "detection", "linking"]
    assert lines[2].split() == ["4", "5.500", "3.500", "1.000", "1.000", "-", "-", "-", "-"]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("suffix", ["html", "svg", "png"])
def test_curves_are_drawn_to_a_file_that_stands_alone(folder: Path, suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    out = tmp_path / "charts" / f"c.{suffix}"
    assert run(folder, "--out", out).stdout.strip() == str(out)
    content = out.read_bytes()
    if suffix == "png":
        assert content.startswith(b"\x89PNG")
    else:
        assert b"held out: perplexity" in content
        assert b'src="http' not in content


def test_what_cannot_be_drawn_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"c\.pdf: expected a name that ends with \.html, \.svg, \.png"):
        run(folder, "--out", tmp_path / "c.pdf")
    with pytest.raises(UserError, match=r"cannot be read .* name a folder made by 'kebench pretrain'"):
        run(tmp_path)
    (folder / "curves.jsonl").write_text("{")
    with pytest.raises(UserError, match=r"curves.jsonl: damaged \("):
        read_curves(folder)
