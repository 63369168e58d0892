"""Run a program that is asked to stop when the process that started it is gone, however that ended.

    python -I -S with_parent.py <id of the parent> <program> <arguments>

The kernel sends SIGTERM (`PR_SET_PDEATHSIG`, prctl(2)); the setting outlives exec. It is made here and not between
fork and exec of the parent, where a process with threads, such as Ray's workers, may do next to nothing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the program."""
    parent, *command = sys.argv[1:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != int(parent):  # it had gone before the setting was made
        sys.exit(128 + signal.SIGTERM)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
