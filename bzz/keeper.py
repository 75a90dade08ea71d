"""Run a command that does not outlive whoever holds the other end of standard input.

A program of its own, since only another process can act after a parent was killed:
`python keeper.py SECONDS REMOVE COMMAND …`.  When standard input closes, however that came
about, the command is sent SIGTERM and given SECONDS to end (0: it is killed at once), and the
folder REMOVE (if that is not empty) is taken away.  Exits as the command does.
Needs nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

NOT_FOUND, NOT_RUN = 127, 126
"""The exit codes of a shell for a command that is not there, or that cannot be run."""

_PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str]) -> int:
    """Keep a command; return its exit code."""
    seconds, folder, *command = arguments
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        # The terminal's Ctrl-C is for the parent, which closes the pipe when it is done.
        signal.signal(number, signal.SIG_IGN)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUN
    closed = threading.Event()
    ending = threading.Thread(target=_end, args=(child, float(seconds), closed), daemon=True)
    ending.start()
    code = child.wait()
    if folder and closed.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else 128 - code


def _end(child: subprocess.Popen[bytes], seconds: float, closed: threading.Event) -> None:
    """Wait for the end of standard input, then end the command."""
    while os.read(0, 1024):
        pass
    closed.set()
    if seconds:
        child.terminate()
        try:
            child.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            pass
    child.kill()


def _die_with_parent() -> None:
    # Should this process itself be killed, Linux ends the command; elsewhere it would stay.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
