"""Downloads: resumed where they broke, checked, alone with their part, and one line where they fail."""

import fcntl
from hashlib import sha256
from pathlib import Path

import pytest

from kebench import download
from kebench.download import NoNetworkError, downloaded
from kebench.errors import UserError
from tests.file_server import FileServer

CONTENT = b"0123456789"


def fetched(server: FileServer, part: Path, **known: str) -> bytes:
    with downloaded(f"{server.url}/x", part, description="x", **known) as whole:
        return whole.read_bytes()


@pytest.fixture
def server(file_server: FileServer) -> FileServer:
    file_server.files["/x"] = CONTENT
    return file_server


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "new" / "x.part"


def test_the_whole_file_is_there_for_the_block_and_nothing_stays(server: FileServer, part: Path) -> None:
    assert fetched(server, part, sha256=sha256(CONTENT).hexdigest()) == CONTENT
    assert list(part.parent.iterdir()) == []


def test_a_download_that_broke_goes_on_from_its_last_byte(server: FileServer, part: Path) -> None:
    server.breaks_after = 4
    with pytest.raises(UserError) as error:
        fetched(server, part)
    assert str(error.value) == (
        f"{server.url}/x: the connection broke after 4 of 10 bytes; the same command goes on from there"
    )
    assert part.read_bytes() == b"0123"
    assert fetched_in_the_end(server, part) == CONTENT
    assert [asked for _, asked in server.requests] == ["", "bytes=4-"]


def fetched_in_the_end(server: FileServer, part: Path) -> bytes:
    server.breaks_after = None
    return fetched(server, part)


def test_a_download_may_break_many_times(server: FileServer, part: Path) -> None:
    server.breaks_after = 3
    for there in (3, 6, 9):
        with pytest.raises(UserError, match=f"after {there} of 10 bytes"):
            fetched(server, part)
    assert fetched(server, part) == CONTENT


def test_an_answer_without_a_length_that_breaks_is_not_taken_for_whole(
    server: FileServer, part: Path
) -> None:
    server.chunked, server.breaks_after = True, 4
    with pytest.raises(UserError, match=r"the connection broke after 4 bytes; the same"):
        fetched(server, part)
    assert fetched_in_the_end(server, part) == CONTENT


def test_a_server_that_ignores_the_range_is_started_over(server: FileServer, part: Path) -> None:
    server.honours_range = False
    part.parent.mkdir()
    part.write_bytes(b"0123")
    assert fetched(server, part) == CONTENT


def test_a_part_that_is_longer_than_the_file_is_started_over(server: FileServer, part: Path) -> None:
    part.parent.mkdir()
    part.write_bytes(b"something longer than that")
    assert fetched(server, part) == CONTENT


def test_a_file_with_another_hash_is_refused_and_is_not_gone_on_with(server: FileServer, part: Path) -> None:
    with pytest.raises(UserError, match=r"/x: sha256 84d89877f0d4..., expected 0{12}...; nothing kept, try"):
        fetched(server, part, sha256="0" * 64)
    assert list(part.parent.iterdir()) == []


def test_a_file_that_its_user_refuses_is_not_gone_on_with(server: FileServer, part: Path) -> None:
    with pytest.raises(UserError, match="no archive"), downloaded(f"{server.url}/x", part, description="x"):
        raise UserError("no archive")
    assert list(part.parent.iterdir()) == []


def test_a_part_that_another_process_fills_is_left_to_it(server: FileServer, part: Path) -> None:
    part.parent.mkdir()
    with part.open("ab") as other:
        other.write(b"01")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        assert fetched(server, part) == CONTENT
    assert part.read_bytes() == b"01"
    assert list(part.parent.iterdir()) == [part]


def test_a_part_is_not_shared_while_the_whole_file_is_in_use(server: FileServer, part: Path) -> None:
    with downloaded(f"{server.url}/x", part, description="x") as whole:
        assert fetched(server, part) == CONTENT
        assert whole.read_bytes() == CONTENT


def test_where_nothing_answers_no_folder_is_made(part: Path) -> None:
    nowhere = "http://127.0.0.1:9/x"  # the discard port; nothing listens
    with pytest.raises(NoNetworkError, match="refused"), downloaded(nowhere, part, description="x"):
        pass
    assert not part.parent.exists()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        (
            "{}/none",
            "{}/none: the server answered 404 (Not Found); "
            "check the address, try later, or fetch the file by hand",
        ),
        ("file:///etc/hosts", "file:///etc/hosts: not an http or https address; mend it"),
    ],
)
def test_an_address_that_gives_no_file_is_named(
    url: str, complaint: str, server: FileServer, part: Path
) -> None:
    with pytest.raises(UserError) as error, downloaded(url.format(server.url), part, description="x"):
        pass
    assert str(error.value) == complaint.format(server.url)


def test_a_place_that_cannot_be_written_is_named(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"x.part: cannot be written \(.*\); free space, or name another"):
        fetched(server, tmp_path / "file" / "x.part")


def test_the_bar_counts_what_was_there_before(
    server: FileServer, part: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kebench.progress.LINE_EVERY_SECONDS", 0.0)
    part.parent.mkdir()
    part.write_bytes(b"0123")
    monkeypatch.setattr(download, "CHUNK_BYTES", 3)
    fetched(server, part)
    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()][:3] == ["4", "7", "10"]
