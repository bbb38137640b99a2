"""`kebench serve`: the page of a folder that fills, to this machine alone."""

import http.client
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from kebench.cli import main
from kebench.errors import UserError
from kebench.records import record_paths
from kebench.report.serving import Progress, Site, _is_own_name, progress_of, server_of
from kebench.shipped import shipped
from tests.report.sample_records import sample_record, write_sample

pytest.importorskip("altair")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_sample(tmp_path, [sample_record("minilm", "gad")])
    return tmp_path


def page_of(progress: Progress) -> str:
    return f"{len(progress.running)} running, {len(progress.failed)} failed"


@pytest.fixture
def port(results: Path) -> Iterator[int]:
    server = server_of(Site([results], page_of), host="127.0.0.1", port=0)
    Thread(target=server.serve_forever, daemon=True).start()
    yield int(server.server_address[1])
    server.shutdown()
    server.server_close()


def get(port: int, path: str = "/", host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_what_runs_and_what_failed_is_shown_as_it_changes(port: int, results: Path) -> None:
    assert get(port) == (200, "0 running, 0 failed")
    (results / "gad" / "minilm" / "seed1-lr1e-05-abc.running").write_text("{}")
    (results / "gad" / "minilm" / "seed2-lr1e-05-abc.failed.json").write_text("{}")
    assert progress_of([results]) == Progress(
        ("gad/minilm/seed1-lr1e-05-abc",), ("gad/minilm/seed2-lr1e-05-abc",)
    )
    assert get(port) == (200, "1 running, 1 failed")


def test_head_is_answered_without_the_page(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("HEAD", "/")
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Content-Length"), answer.read()) == (200, "19", b"")


def test_the_page_is_made_again_only_when_something_changed(results: Path) -> None:
    made = []
    site = Site([results], lambda progress: made.append(progress) or str(len(made)))  # type: ignore[func-returns-value]
    assert (site.page(), site.page()) == (b"1", b"1")
    write_sample(results, [sample_record("minilm", "gad", seed=1)])
    assert site.page() == b"2"


def test_other_hosts_and_other_paths_get_nothing(port: int) -> None:
    assert get(port, host=f"evil.example:{port}")[0] == 403
    assert get(port, "/etc/passwd")[0] == 404
    assert get(port, host=f"localhost:{port}")[0] == 200


def test_a_folder_that_is_not_there_is_refused_before_anything_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["serve", "--results", str(tmp_path / "nowhere")])
    assert stop.value.code == 2
    assert "no such folder of records" in capsys.readouterr().err


def test_while_there_is_nothing_to_show_it_says_why_and_asks_to_be_asked_again(tmp_path: Path) -> None:
    def nothing(progress: Progress) -> str:
        raise UserError("no records")

    server = server_of(Site([tmp_path], nothing), host="127.0.0.1", port=0)
    Thread(target=server.serve_forever, daemon=True).start()
    assert get(int(server.server_address[1])) == (503, "no records\n")
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("header", "host", "bound", "expected"),
    [
        ("localhost:8765", "127.0.0.1", "127.0.0.1", True),
        ("[::1]:8765", "127.0.0.1", "127.0.0.1", True),
        ("evil.example:8765", "127.1", "127.0.0.1", False),
        ("localhost.evil.example", "127.0.0.1", "127.0.0.1", False),
        ("", "127.0.0.1", "127.0.0.1", False),
        ("192.168.1.7:8765", "0.0.0.0", "0.0.0.0", True),
        ("evil.example:8765", "0.0.0.0", "0.0.0.0", False),
        ("192.168.1.7:8765", "127.0.0.1", "127.0.0.1", False),
    ],
)
def test_only_names_that_cannot_be_rebound_are_answered(
    header: str, host: str, bound: str, expected: bool
) -> None:
    assert _is_own_name(header, host, bound) is expected


def test_a_served_page_refreshes_itself_and_says_what_runs(tmp_path: Path) -> None:
    from kebench.cli.page import material
    from kebench.report.page import build_page

    shutil.copytree(shipped("results/recorded") / "gad", tmp_path / "gad")
    shown = material((tmp_path,), title="live")
    page = build_page(shown, refresh_seconds=15, running=["gad/minilm/seed3"], failed=[])
    assert '<meta http-equiv="refresh" content="15">' in page
    assert f"{len(record_paths(tmp_path))} runs finished, 1 running, 0 failed" in page
    assert "gad/minilm/seed3" in page
    assert 'http-equiv="refresh"' not in build_page(shown)
