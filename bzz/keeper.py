"""Run a command that does not outlive the program that started it.

A program of its own, since only another process can act after a parent was killed:
`python keeper.py SECONDS REMOVE COMMAND …`.  When the parent ends, however that came about, or
has written something to standard input, or closed it, the command is sent SIGTERM and given
SECONDS to end (0: it is killed at once), and the folder REMOVE (if that is not empty) is taken
away.  Exits as the command does.
Needs nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

NOT_FOUND, NOT_RUN = 127, 126
"""The exit codes of a shell for a command that is not there, or that cannot be run."""

_PR_SET_PDEATHSIG = 1
_INTERVAL = 0.5


def main(arguments: Sequence[str]) -> int:
    """Keep a command; return its exit code."""
    seconds, folder, *command = arguments
    parent = os.getppid()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        # The terminal's Ctrl-C is for the parent, which says when it is done.
        signal.signal(number, signal.SIG_IGN)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_dying_with_us())
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUN
    told = threading.Event()

    def end() -> None:
        _wait_for_end_of(parent)
        told.set()
        _end(child, float(seconds))

    threading.Thread(target=end, daemon=True).start()
    code = child.wait()
    if folder and told.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else 128 - code


def _wait_for_end_of(parent: int) -> None:
    # A fork of the parent keeps the pipe open, so that it does not always close.
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], _INTERVAL)
        if readable:
            return


def _end(child: subprocess.Popen[bytes], seconds: float) -> None:
    if seconds:
        child.terminate()
        try:
            child.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            pass
    child.kill()


def _dying_with_us() -> Callable[[], None]:
    keeper = os.getpid()

    def prepare() -> None:
        """Runs in the child, before it becomes the command."""
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        # Should this process itself be killed, Linux ends the command; elsewhere it would stay.
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != keeper:
                os._exit(1)

    return prepare


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
