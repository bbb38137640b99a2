"""Starts `kebench` in processes of their own in milliseconds: forks of a server that has imported everything.

An interpreter that imports torch and transformers takes four seconds of a core, and tests need hundreds that
can be killed. A command's process is its own: working folder, environment, output, exit code, and its end,
which a signal may be. One server a test process; it ends with it, and ends what it has started.
"""

import atexit
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

ROOT = Path(__file__).parents[1]
KILLED = -signal.SIGKILL
_NUMBER = struct.Struct("!i")


class Request(NamedTuple):
    """What a process is to be.

    before: called in it before the command; pickled, in hex. own_session: as one at a terminal of its own.
    """

    arguments: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    before: str = ""
    own_session: bool = False


class Running:
    """A command that was started."""

    def __init__(self, connection: socket.socket, said: tuple[Path, Path] | None) -> None:
        self._connection, self._said = connection, said
        self.pid = self._number()
        self.returncode: int | None = None

    def _number(self) -> int:
        received = self._connection.recv(_NUMBER.size, socket.MSG_WAITALL)
        assert len(received) == _NUMBER.size, "the fork server has ended"
        return int(_NUMBER.unpack(received)[0])

    def poll(self) -> int | None:
        """Return the exit code, negative after a signal; None while it runs."""
        return self.wait(0)

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for its end, for so long at most; return as `poll` does."""
        if self.returncode is None and select.select([self._connection], [], [], seconds)[0]:
            self.returncode = self._number()
            self._connection.close()
        return self.returncode

    def communicate(self) -> tuple[str, str]:
        """Wait for its end; return what it printed on stdout and stderr, if nobody else was given that."""
        self.wait()
        assert self._said is not None
        out, err = (path.read_text(encoding="utf-8") for path in self._said)
        return out, err

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


def start(
    *arguments: object,
    crash_at: str = "",
    folder: Path | None = None,
    log: Path | None = None,
    before: Callable[[], object] | None = None,
    own_session: bool = False,
    **environment: str,
) -> Running:
    """Start `kebench ARGUMENTS`.

    crash_at: the crash point at which it kills itself. folder: to work in. log: a file at whose end both
    outputs go. before: is called there first. environment: beside that of this process.
    """
    import pickle

    given = os.environ | {"KEBENCH_CRASH_AT": crash_at} | environment
    asked = Request(
        tuple(map(str, arguments)),
        str(folder or Path.cwd()),
        dict(given),
        pickle.dumps(before).hex() if before else "",
        own_session,
    )
    if log:
        said, paths = None, (log, log)
    else:
        made = Path(tempfile.mkdtemp(dir=_server().folder))
        said = paths = (made / "out", made / "err")
    outputs = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for path in paths]
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        return Running(_ask(_server().address, asked, [nothing, *outputs]), said)
    finally:
        for one in (nothing, *outputs):
            os.close(one)


def run(*arguments: object, **more: Any) -> "subprocess.CompletedProcess[str]":
    """Start `kebench ARGUMENTS` and wait for its end; options as of `start`."""
    running = start(*arguments, **more)
    out, err = running.communicate()
    assert running.returncode is not None
    return subprocess.CompletedProcess(list(arguments), running.returncode, out, err)


def all_by_the_server() -> Callable[[], object]:
    """Return what is to be called before a command that starts others, so that the server forks those too."""
    return partial(_take_for_python, str(launcher()))


def _take_for_python(program: str) -> None:
    sys.executable = program


@cache
def launcher() -> Path:
    """Return a program that does what `python` or `kebench` does of kebench's commands, by the server."""
    path = _server().folder / "kebench"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{__file__}" "{_server().address}" "$@"\n')
    path.chmod(0o755)
    return path


class _Server(NamedTuple):
    address: str
    folder: Path


@cache
def _server() -> _Server:
    """Start the server of this process; return its address, and a folder for outputs."""
    kept = tempfile.TemporaryDirectory(prefix="kebench-forks-")
    address = f"{kept.name}/address"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.forks", str(listener.fileno())],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            pass_fds=(listener.fileno(),),
        )

    def end() -> None:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        kept.cleanup()

    atexit.register(end)
    return _Server(address, Path(kept.name))


def _ask(address: str, asked: Request, descriptors: list[int]) -> socket.socket:
    """Ask the server for a process with these standard files; return the connection that tells of it."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    content = json.dumps(asked).encode()
    socket.send_fds(connection, [_NUMBER.pack(len(content))], descriptors)
    connection.sendall(content)
    return connection


def _serve(listener: socket.socket) -> Request:
    """Fork a process for each request until stdin ends; return in each with what it is to be."""
    wakes, woken = socket.socketpair()
    woken.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all
    signal.set_wakeup_fd(woken.fileno())
    told: dict[int, socket.socket] = {}
    while True:
        ready = select.select([listener, wakes, sys.stdin], [], [])[0]
        if wakes in ready:
            wakes.recv(4096)
            _tell_ends(told)
        if sys.stdin in ready:
            for pid in told:
                os.kill(pid, signal.SIGKILL)
            os._exit(0)
        if listener in ready:
            connection, _ = listener.accept()
            size, descriptors, _, _ = socket.recv_fds(connection, _NUMBER.size, 3)
            content = connection.recv(_NUMBER.unpack(size)[0], socket.MSG_WAITALL)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                signal.signal(signal.SIGHUP, signal.SIG_DFL)  # though the tests run under nohup
                for other in (listener, wakes, woken, connection, *told.values()):
                    other.close()
                for number, descriptor in enumerate(descriptors):
                    os.dup2(descriptor, number)
                    os.close(descriptor)
                return Request(*json.loads(content))
            for descriptor in descriptors:
                os.close(descriptor)
            told[pid] = connection
            connection.sendall(_NUMBER.pack(pid))


def _tell_ends(told: dict[int, socket.socket]) -> None:
    """Tell of each process that has ended how it did."""
    for pid, connection in list(told.items()):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            del told[pid]
            with suppress(BrokenPipeError):  # nobody waits for it
                connection.sendall(_NUMBER.pack(os.waitstatus_to_exitcode(status)))
            connection.close()


def _import_everything() -> None:
    """Import every module of kebench that this machine can, and what those import late."""
    import gc
    import importlib
    import pkgutil

    import kebench

    late = (
        "seqeval.metrics",
        "accelerate",
        "transformers.models.bert.modeling_bert",
        "altair",
        "sklearn.metrics",
    )
    names = [module.name for module in pkgutil.walk_packages(kebench.__path__, "kebench.")]
    for name in (*names, *late):
        if not name.endswith("__main__"):
            with suppress(ImportError):
                importlib.import_module(name)
    gc.freeze()  # a fork that looked for garbage among all this would copy it


def _become(asked: Request) -> NoReturn:
    """Run the command in this process, which is a fork, and end it.

    The end is an interpreter's, less the taking down of a thousand modules, which takes seconds in a fork.
    """
    import pickle
    import threading
    import traceback

    import torch

    from kebench.cli import main

    if asked.own_session:
        os.setsid()
    os.chdir(asked.folder)
    os.environ.clear()
    os.environ.update(asked.environment)
    torch.set_num_threads(1)
    sys.argv = ["kebench", *asked.arguments]
    code: Any = 0
    try:
        if asked.before:
            pickle.loads(bytes.fromhex(asked.before))()
        main(list(asked.arguments))
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else bool(code))


def _launch(address: str, arguments: list[str]) -> int:
    """Have `kebench ARGUMENTS` done with this process's folder, environment and standard files."""
    if arguments[:2] == ["-m", "kebench"]:
        arguments = arguments[2:]
    asked = Request(tuple(arguments), os.getcwd(), dict(os.environ))
    running = Running(_ask(address, asked, [0, 1, 2]), None)
    code = running.wait()
    assert code is not None
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    if len(sys.argv) == 2:
        _import_everything()
        _become(_serve(socket.socket(fileno=int(sys.argv[1]))))
    else:
        sys.exit(_launch(sys.argv[1], sys.argv[2:]))
