"""Run a program that dies with its parent, even if that is killed with SIGKILL.

Run by path as `tether.py PARENT_PID PROGRAM ARGUMENT...`. Linux tells the kernel so and becomes the
program; elsewhere this process stays and watches. Only the standard library is imported.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1
_PARENT_POLL_SECONDS = 0.5


def main(parent: int, command: list[str]) -> int:
    """The program's exit status, where this process outlives its start."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:  # else it died before it could be told
            os.execv(command[0], command)  # noqa: S606 - the service's own command, no shell
        return 1
    program = subprocess.Popen(command)  # noqa: S603 - as above
    signal.signal(signal.SIGTERM, lambda *_: program.terminate())
    while program.poll() is None and os.getppid() == parent:
        time.sleep(_PARENT_POLL_SECONDS)
    program.kill()
    return program.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
