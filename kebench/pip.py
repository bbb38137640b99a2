"""Downloads a wheel with pip, without its dependencies and without installing it."""

import subprocess
import sys
from pathlib import Path

from kebench.errors import UserError

# What pip writes when it reaches no index at all, as against an index without the package.
_NO_CONNECTION_WORDS = ("NewConnectionError", "ConnectTimeout", "ReadTimeout", "MaxRetryError")


class NoNetworkError(Exception):
    """Nothing answered; the text is why. Whoever asked says what to do about it."""


def pip_download(requirement: str, folder: Path, *, named: str = "") -> None:
    """Download one distribution's wheel into a folder.

    named: how an error calls it; the requirement if empty. Raises NoNetworkError if no index answers,
    UserError if one does and has no such wheel.
    """
    # --only-binary: building a source distribution would run its code.
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--retries=1"]
    finished = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "-d", str(folder), requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode == 0:
        return
    reason = (finished.stderr.strip().splitlines() or ["pip said nothing"])[-1]
    if any(word in finished.stderr for word in _NO_CONNECTION_WORDS):
        raise NoNetworkError(f"pip: {reason}")
    raise UserError(
        f"{named or requirement}: pip cannot download it ({reason}); "
        "check the name, the version and pip's index"
    )
