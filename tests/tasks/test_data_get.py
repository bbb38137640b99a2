"""`kebench data get`, against a server on loopback: resume, checksums, and nothing kept that is wrong."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from kebench.cli import main
from kebench.errors import UserError
from kebench.kinds.card import SPLITS, TaskCard
from kebench.tasks.card import read_task_card
from kebench.tasks.get import get_task
from tests.file_server import FileServer

Write = Callable[..., TaskCard]


@pytest.fixture
def card(file_server: FileServer, ner_task: Write, tmp_path: Path) -> TaskCard:
    """Return the small NER task as open data; the server has its files, with types behind the tags."""
    sources = {split: f"{file_server.url}/{split}.tsv" for split in SPLITS}
    card = ner_task(tmp_path / "origin", access={"kind": "open", "sources": sources})
    original = (tmp_path / "origin" / "small-ner" / "test.tsv").read_bytes()
    typed = original.replace(b"\tB\n", b"\tB-Disease\n").replace(b"\tI\n", b"\tI-Disease\n")
    file_server.files = {f"/{split}.tsv": typed for split in SPLITS}
    return card


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_files_are_fetched_checked_and_kept_in_blurbs_form(card: TaskCard, tmp_path: Path) -> None:
    fetched = get_task(card, tmp_path / "data")
    assert [row.finding.level for row in fetched] == ["ok", "ok", "ok"]  # the known sha256, so no types
    assert _names(tmp_path / "data") == ["dev.tsv", "test.tsv", "train.tsv"]


def test_what_is_there_is_not_fetched_again(card: TaskCard, file_server: FileServer, tmp_path: Path) -> None:
    get_task(card, tmp_path / "data")
    file_server.requests.clear()
    assert all(row.was_there for row in get_task(card, tmp_path / "data"))
    assert file_server.requests == []


def test_a_broken_connection_is_one_line_and_the_next_call_goes_on(
    card: TaskCard, file_server: FileServer, tmp_path: Path
) -> None:
    size = len(file_server.files["/train.tsv"])
    file_server.breaks_after = 40
    with pytest.raises(UserError) as error:
        get_task(card, tmp_path / "data")
    assert str(error.value) == (
        f"{file_server.url}/train.tsv: the connection broke after 40 of {size} bytes; "
        "the same command goes on from there"
    )
    assert _names(tmp_path / "data") == ["train.tsv.part"]
    file_server.breaks_after = None
    assert [row.finding.level for row in get_task(card, tmp_path / "data")] == ["ok", "ok", "ok"]
    assert file_server.requests[1] == ("/train.tsv", "bytes=40-")


def test_a_source_with_other_counts_is_refused_and_nothing_kept(
    card: TaskCard, file_server: FileServer, tmp_path: Path
) -> None:
    file_server.files["/train.tsv"] = b"gout\tB\n\n"
    with pytest.raises(UserError) as error:
        get_task(card, tmp_path / "data")
    assert str(error.value) == (
        f"{file_server.url}/train.tsv: 1 mentions in 1 sentences, expected 3 in 2; the file looks cut off; "
        "nothing kept, the source is not what the card describes"
    )
    assert _names(tmp_path / "data") == []


def test_a_source_with_another_checksum_is_refused_and_nothing_kept(
    card: TaskCard, file_server: FileServer, tmp_path: Path
) -> None:
    good = {split: sha256(file_server.files["/train.tsv"]).hexdigest() for split in SPLITS}
    known = card.model_copy(update={"access": card.access.model_copy(update={"sha256": good})})
    assert len(get_task(known, tmp_path / "good")) == 3
    wrong = card.model_copy(update={"access": card.access.model_copy(update={"sha256": {"train": "0" * 64}})})
    with pytest.raises(
        UserError, match=r"train.tsv: sha256 \w{12}..., expected 000000000000...; nothing kept"
    ):
        get_task(wrong, tmp_path / "wrong")
    assert _names(tmp_path / "wrong") == []


def test_a_wrong_file_that_is_there_is_replaced_only_with_force(card: TaskCard, tmp_path: Path) -> None:
    get_task(card, tmp_path)
    path = tmp_path / "small-ner" / "dev.tsv"
    path.write_text("mine\tO\n")
    with pytest.raises(UserError, match=r"or replace it: 'kebench data get small-ner --force'"):
        get_task(card, tmp_path)
    assert path.read_text() == "mine\tO\n"
    assert [row.was_there for row in get_task(card, tmp_path, force=True)] == [True, False, True]


def test_without_a_network_the_complaint_is_one_line_and_leaves_no_folder(
    card: TaskCard, tmp_path: Path
) -> None:
    nowhere = dict.fromkeys(SPLITS, "http://127.0.0.1:9/x.tsv")  # the discard port; nothing listens
    lost = card.model_copy(update={"access": card.access.model_copy(update={"sources": nowhere})})
    with pytest.raises(UserError) as error:
        get_task(lost, tmp_path / "data")
    assert str(error.value).startswith("http://127.0.0.1:9/x.tsv: no connection (")
    assert str(error.value).endswith("); check the network, the same command goes on from there")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("point", "there"), [("data.written", False), ("data.renamed", True)])
def test_a_crash_leaves_the_file_whole_or_absent(
    point: str, there: bool, card: TaskCard, tmp_path: Path
) -> None:
    folder = tmp_path / "crash"
    (tmp_path / "card.json").write_text(card.model_dump_json())
    program = (
        "import sys; from pathlib import Path; from kebench.kinds.ner import NerCard; "
        "from kebench.tasks.get import get_task; "
        "get_task(NerCard.model_validate_json(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))"
    )
    crashed = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "card.json"), str(folder)],
        env={**os.environ, "KEBENCH_CRASH_AT": point},
        check=False,
    )
    assert crashed.returncode == -signal.SIGKILL
    assert (folder / "small-ner" / "train.tsv").exists() is there
    assert [row.finding.level for row in get_task(card, folder)] == ["ok", "ok", "ok"]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("chemprot", "kebench data build chemprot --from DIR"),
        ("ddi", "kebench data build ddi --from ARCHIVE"),
        ("gad", "https://microsoft.github.io/BLURB/"),
    ],
)
def test_where_registration_is_needed_the_steps_are_said(
    name: str, step: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["data", "get", name, "--data", str(tmp_path)])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"kebench: task '{name}' cannot be downloaded by a program. ")
    assert step in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_sources_are_pinned_to_a_commit() -> None:
    for name in ("bc5cdr-chem", "bc5cdr-disease", "ncbi-disease", "bc2gm", "jnlpba"):
        sources = read_task_card(name).access.sources
        assert sources
        for url in sources.values():
            assert "/df0df02fae6dbb87d88ffcf323b9096528f06f84/" in url


def test_of_several_tasks_each_that_is_not_there_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["data", "get", "gad", "chemprot,ddi", "--data", str(tmp_path)])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["gad", "chemprot", "ddi", "kebench"]
    assert lines[-1] == "kebench: 3 of 3 tasks could not be fetched (see above)"


def test_what_a_person_has_to_ask_for_is_named_first_and_the_rest_fetched(
    card: TaskCard,
    file_server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cards = [card, read_task_card("bioasq"), read_task_card("gad")]
    monkeypatch.setattr("kebench.cli.data.select_tasks", lambda words: cards)
    monkeypatch.setattr("kebench.cli.data.get_task", _noting(file_server, said := []))
    with pytest.raises(SystemExit):
        main(["data", "get", "blurb", "--data", str(tmp_path / "data")])
    captured = capsys.readouterr()
    assert said == [("bioasq", 0), ("gad", 0), ("small-ner", 0)]  # before anything was asked for
    lines = captured.err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["bioasq", "gad", "kebench"]
    assert "kebench data build bioasq --from DIR" in lines[0]
    assert lines[-1] == "kebench: 2 of 3 tasks could not be fetched (see above)"
    assert len(captured.out.splitlines()) == 3


def _noting(server: FileServer, said: list[tuple[str, int]]) -> Callable[..., object]:
    """Return `get_task` that notes which task it was called for, and how many requests there were before."""

    def get(card: TaskCard, data: Path, *, force: bool) -> object:
        said.append((card.name, len(server.requests)))
        return get_task(card, data, force=force)

    return get


# Small files.
FORMS = {
    "ebm-pico": "-DOCSTART- ({split})\n\ngout\tI-PAR\n.\tO\n\n",
    "biosses": "pair_id\tsent1\tsent2\tscore\n{split}\tA\tB\t0.4\n{split}2\tC\tD\t4.0\n",
    "hoc": "labels\tsentence\tindex\n0_1,1_0,2_0,3_0,4_0,5_0,6_0,7_0,8_0,9_0\tOne .\t{split}_s0\n",
    "pubmedqa": '{{"id": "{split}", "sentence1": "Is it?", "sentence2": "It is.", "label": "yes"}}\n',
}


@pytest.mark.parametrize("name", FORMS)
def test_an_open_task_of_each_kind_is_fetched_as_it_is_and_a_broken_one_not_kept(
    name: str, file_server: FileServer, tmp_path: Path
) -> None:
    shipped = read_task_card(name)
    sources = {split: f"{file_server.url}/{shipped.files[split]}" for split in SPLITS}
    access = shipped.access.model_copy(update={"sources": sources})
    card = shipped.model_copy(update={"access": access, "expected": {}})
    files = {shipped.files[split]: FORMS[name].format(split=split).encode() for split in SPLITS}
    file_server.files = {f"/{file}": held for file, held in files.items()}
    assert [row.finding.level for row in get_task(card, tmp_path)] == ["note", "note", "note"]  # no size
    folder = tmp_path / shipped.folders[0]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    file_server.files[f"/{shipped.files['train']}"] = b"<html>"
    with pytest.raises(UserError, match=r"nothing kept, the source is not what the card describes"):
        get_task(card, tmp_path / "broken")
    assert _names(tmp_path / "broken") == []


def test_the_sources_of_blurbs_open_tasks_are_pinned_to_a_commit() -> None:
    for name in FORMS:
        for url in read_task_card(name).access.sources.values():
            assert re.fullmatch(r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/data/\S+", url)
