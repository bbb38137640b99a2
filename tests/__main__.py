"""Runs the tests, and ends with one line that says what came of them: `make test`, `make test-all`.

pytest's own last line is not the last that is seen, since libraries speak when their processes end. This line
comes after all of them; its numbers are pytest's own, and the exit code is pytest's.

    python -m tests [--all] [options of pytest]
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

WORKERS = ("--numprocesses", "auto", "--maxprocesses", "4", "--dist", "worksteal")


def main(arguments: list[str]) -> int:
    """Run the tests that are not marked `slow`, with --all every one; return pytest's exit code."""
    name, options = "test", list(arguments)
    if "--all" in options:
        options.remove("--all")
        name, options = "test-all", ["-m", "", *options]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kebench-tests-") as folder:
        counts = Path(folder) / "counts.xml"
        command = [sys.executable, "-m", "pytest", *WORKERS, f"--junit-xml={counts}", *options]
        code = subprocess.run(command, env=os.environ | {"PYTHONUNBUFFERED": "1"}, check=False).returncode
        said = outcome_of(counts)
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    ended = "" if code in (0, 1) else f"; pytest ended with {code}"
    print(f"{name}: {said} in {minutes} min {seconds} s{ended}", flush=True)
    return code if code >= 0 else 128 - code


def outcome_of(counts: Path) -> str:
    """Return how many tests failed, passed and were skipped, by pytest's JUnit file."""
    try:
        suites = ElementTree.parse(counts).getroot().findall("testsuite")
    except (OSError, ElementTree.ParseError):
        return "no test was counted"
    number = {
        name: sum(int(suite.get(name, 0)) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    }
    passed = number["tests"] - number["failures"] - number["errors"] - number["skipped"]
    parts = [
        (number["failures"], "failed"),
        (number["errors"], "errors"),
        (passed, "passed"),
        (number["skipped"], "skipped"),
    ]
    return ", ".join(f"{count:,} {word}" for count, word in parts if count or word == "passed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
