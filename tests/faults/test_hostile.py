"""Files of strangers: too large, too deep, packed to burst, with orders to a terminal; one line, no harm."""

import gzip
import json
import pickle
import stat
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kebench.bounded import parse_json, read_toml, unpack_gzip
from kebench.cli import main
from kebench.cli.harmless import spelt_out
from kebench.errors import UserError
from kebench.kinds.stored import read_predictions
from kebench.model.checkpoint_files import tensor_shapes
from kebench.model.fetch import _unzip_folder
from kebench.records import read_record
from tests.report.sample_records import sample_grid, write_sample
from tests.tiny_checkpoints import write_tiny_bert

DEEP = "[" * 100_000
ESCAPE = "\x1b]0;owned\x07\x1b[2J"


def refusal(*command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused; return its one line."""
    with pytest.raises(SystemExit) as stop:
        main(list(command))
    captured = capsys.readouterr()
    assert stop.value.code == 2
    lines = captured.err.splitlines()
    assert lines[-1].startswith("kebench: ")
    assert "Traceback" not in captured.err
    return lines[-1]


def sparse(path: Path, size: int = 1 << 30) -> Path:
    """Write a file of a size that takes no disk."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEBENCH_CACHE", str(tmp_path / "cache"))
    for name in ("baselines", "tasks", "pretraining", "probing"):
        Path(name).mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("baselines/x.toml", ("model", "show", "x")),
        ("tasks/x.toml", ("task", "show", "x")),
        ("pretraining/x.toml", ("recipe", "show", "x")),
        ("probing/x.toml", ("probe", "build", "kb", "--recipe", "probing/x.toml", "--out", "set")),
    ],
)
@pytest.mark.parametrize("bomb", ["deep", "huge", "deep tables"])
def test_a_toml_bomb_is_refused_in_one_line(
    path: str, command: tuple[str, ...], bomb: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if bomb == "huge":
        sparse(Path(path))
    else:
        text = f"name = {DEEP}" if bomb == "deep" else "a" + ".a" * 300_000 + " = 1"
        Path(path).write_text(text)
    line = refusal(*command, capsys=capsys)
    assert path in line
    assert "nested too deeply" in line or "expected at most 1,048,576" in line


def test_a_number_beyond_all_bounds_in_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(f"a = {'9' * 10_000}")
    with pytest.raises(UserError, match="not valid TOML"):
        read_toml(tmp_path / "a.toml")


JSON_FILES: dict[str, tuple[str, ...]] = {
    "kb/kb.json": ("kb", "stats", "kb"),
    "set/set.json": ("probe", "stats", "set"),
    "corpus/corpus.json": ("corpus", "stats", "corpus"),
    "checkpoint/config.json": ("model", "add", "x", "--from", "checkpoint"),
    "checkpoint/tokenizer.json": ("model", "add", "x", "--from", "checkpoint"),
    "checkpoint/curves.jsonl": ("curves", "checkpoint"),
    "overlap.json": ("page", "--results", "out", "--overlap", "overlap.json"),
    "texts.jsonl": ("probe", "import", "texts.jsonl", "--out", "made"),
    "small.json": ("kb", "import", "--obo", "small.json", "--out", "made"),
}


@pytest.mark.parametrize("name", JSON_FILES)
@pytest.mark.parametrize("bomb", ["deep", "huge"])
def test_a_json_bomb_is_refused_in_one_line(
    name: str, bomb: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if bomb == "huge" and name in ("texts.jsonl", "small.json"):
        pytest.skip("ontologies and texts may be of any size")
    Path("kb").mkdir()
    Path("set").mkdir()
    Path("corpus").mkdir()
    write_tiny_bert(Path("checkpoint"))
    write_sample(Path("out"), sample_grid())
    if bomb == "huge":
        sparse(Path(name))
    else:
        deep = '{"a": ' * 100_000
        Path(name).write_text(deep if name.endswith("l") else f'{{"graphs": {DEEP}')
    tracemalloc.start()
    line = refusal(*JSON_FILES[name], capsys=capsys)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert Path(name).name in line
    assert peak < 100 << 20


@pytest.mark.parametrize("content", [DEEP, '{"schema": ' + DEEP, '{"a":' * 100_000])
def test_a_record_nested_too_deep_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match="not a record"):
        read_record(tmp_path / "a.json")


@pytest.mark.parametrize("content", [b'{"a": "\\ud800"}', '["\\uDFff"]', '["\ud800"]'])
def test_json_with_half_a_character_is_refused_since_it_can_be_written_nowhere(content: bytes | str) -> None:
    with pytest.raises(ValueError, match="half a surrogate pair"):
        parse_json(content)
    assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_predictions_that_unpack_without_end_are_refused_in_bounded_memory() -> None:
    packed = gzip.compress(b" " * (200 << 20))
    tracemalloc.start()
    with pytest.raises(ValueError, match="unpacks to more than 1,048,576 bytes"):
        unpack_gzip(packed, 1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (gzip.compress(DEEP.encode(), mtime=0), "nested too deeply"),
        (gzip.compress(b"{}", mtime=0)[:-6], "cut off"),
        (b"\x1f\x8b\x08\0" + b"\xff" * 40, "damaged"),
        (b"", "Expecting value"),
    ],
)
def test_predictions_that_are_none_are_one_line(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "a.predictions.json.gz").write_bytes(content)
    with pytest.raises(UserError, match=why):
        read_predictions(tmp_path / "a.json")


@pytest.mark.parametrize("padding", [b"", b"\0" * 100])
def test_gzip_of_two_members_or_padded_is_read(padding: bytes) -> None:
    assert unpack_gzip(gzip.compress(b"a") + gzip.compress(b"b") + padding, 10) == b"ab"


def test_a_member_of_an_archive_that_bursts_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/config.json", b" " * (100 << 20))
    with (
        zipfile.ZipFile(tmp_path / "a.zip") as archive,
        pytest.raises(UserError, match="the archive is unsafe"),
    ):
        _unzip_folder(archive, "m", tmp_path, source="url:x")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


OUTSIDE = ("m/../../config.json", "/etc/config.json", "m/..\\config.json", "C:\\config.json")


@pytest.mark.parametrize("name", [*OUTSIDE, "link"])
def test_an_archive_with_a_path_that_leads_outside_or_a_link_is_refused_whole(
    name: str, tmp_path: Path
) -> None:
    member = zipfile.ZipInfo(name)
    if name == "link":
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("m/config.json", "{}")
        archive.writestr(member, "/etc/passwd")
    out = tmp_path / "out"
    out.mkdir()
    why = "is a link" if name == "link" else "is absolute or climbs out"
    with zipfile.ZipFile(tmp_path / "a.zip") as archive, pytest.raises(UserError) as told:
        _unzip_folder(archive, "m", out, source="url:x")
    assert str(told.value) == f"url:x: the archive is unsafe ({name} {why}); nothing of it is kept"
    assert list(out.iterdir()) == []


class Orders:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return print, ("owned",)


@pytest.mark.parametrize("form", ["stream", "zip"])
def test_a_pickle_that_holds_more_than_tensors_is_not_loaded(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_bert(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    weights = tmp_path / "model" / "pytorch_model.bin"
    if form == "zip":
        with zipfile.ZipFile(weights, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Orders()))
    else:
        weights.write_bytes(pickle.dumps(Orders()))
    with pytest.raises(UserError, match="holds more than tensors"):
        tensor_shapes(tmp_path / "model")
    assert capsys.readouterr().out == ""


def test_a_pickle_that_bursts_is_not_unpacked(tmp_path: Path) -> None:
    write_tiny_bert(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    with zipfile.ZipFile(tmp_path / "model" / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"0" * (101 << 20))
    with pytest.raises(UserError, match="would unpack to 105,906,176 bytes"):
        tensor_shapes(tmp_path / "model")


def test_names_of_strangers_give_a_terminal_no_orders(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quoted = json.dumps(ESCAPE)[1:-1]
    card = (
        f'name = "x"\ntitle = "a{quoted}b"\nfamily = "bert"\nsource = "manual:{quoted}"\ncasing = "cased"\n'
        'licence = "x"\ncitation = "y"\n'
    )
    Path("baselines/x.toml").write_text(card)
    main(["model", "show", "x"])
    Path("small.obo").write_text(
        f"format-version: 1.2\n\n[Term]\nid: DOID:1\nname: go{ESCAPE}ut\n\n[Term]\nid: DOID:2\nname: b\n"
        "is_a: DOID:1\n"
    )
    main(["kb", "import", "--obo", "small.obo", "--out", "kb"])
    main(["kb", "stats", "kb"])
    Path("mine.csv").write_text(f"query,answers\ngo{ESCAPE}ut is [MASK].,a{ESCAPE}\n")
    assert "\x1b" not in refusal("probe", "import", "mine.csv", "--out", "set", capsys=capsys)
    main(["model", "show", "x"])
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert "a\\x1b]0;owned\\x07b" in captured.out  # click itself takes the other order out
    line = refusal("model", "show", f"no{ESCAPE}model", capsys=capsys)
    assert "\x1b" not in line


def test_colours_of_tables_pass_and_orders_do_not() -> None:
    assert spelt_out("\x1b[1mbest\x1b[0m\r\n\ta") == "\x1b[1mbest\x1b[0m\r\n\ta"
    assert spelt_out("\x1b[8mhidden\x1b[0;8m\ra\x9b2J") == ("\\x1b[8mhidden\\x1b[0;8m\\x0da\\x9b2J")


def test_names_of_strangers_are_text_on_a_page_and_in_latex(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "<script>alert(1)<!-- \\input{x} 50% & $x_1^2$ #~"
    records = [one.model_copy(update={"model": name}) for one in sample_grid()]
    write_sample(Path("out"), [one for one in records if "<" in one.model][:3])
    main(["page", "--results", "out", "--out", "site"])
    page = Path("site/index.html").read_text()
    assert "<script>alert(1)" not in page
    capsys.readouterr()
    main(["leaderboard", "--results", "out", "--format", "latex"])
    latex = capsys.readouterr().out
    assert "\\input" not in latex
    assert "50\\%" in latex
