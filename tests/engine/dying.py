"""What a process does that is killed at once. In a module of its own: it imports nothing that takes time."""

import os
import signal


def die(*given: object) -> None:
    """End this process as the kernel ends one for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)
