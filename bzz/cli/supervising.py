"""Keeps several processes that serve one application: starts them, again when they die, anew.

They are fresh processes, and none of the application is loaded here: clients of MongoDB must not
be forked, and those that are started anew have the code that is installed by then.  The sockets
are bound here and handed down, so that somebody listens all the time.  Each process has a link to
this one, a pair of sockets: it says by it that it serves, and ends when the other end is gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from socket import socket, socketpair
from typing import Any

_PAUSES = (0.5, 30.0)
"""Seconds before a process is started again that has died at once, and at most."""
_SETTLED = 10.0
"""Seconds after which a process that dies is started again without a pause."""
_FAILURES = 5
"""So many starts may fail, one after another, while no process serves."""
_AFTER = 5.0
"""Seconds after the grace that a process has to end."""
_log = logging.getLogger("bzz.serve")

Command = Callable[[str], Sequence[str]]
"""The command of a process, given the numbers of its sockets and of its link."""


class _Child:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process, link: socket) -> None:
        self._process = process
        self._link = link
        self.begun = asyncio.get_running_loop().time()
        self.is_wanted = True

    @property
    def pid(self) -> int:
        return self._process.pid

    async def serves(self) -> bool:
        """Wait until it serves; false when it ends before."""
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            return bool(await loop.sock_recv(self._link, 1))
        return False

    async def wait(self) -> int:
        """Wait until it has ended; its exit code."""
        code = await self._process.wait()
        self._link.close()
        return code

    def send(self, number: int) -> None:
        self.is_wanted = False
        with suppress(ProcessLookupError):
            self._process.send_signal(number)


class Supervisor:
    """Processes that serve on the same sockets, for as long as `run` takes.

    Args:
        command: of one process.
        sockets: that are bound; they are closed at the end.
        count: how many processes.
        grace: seconds that a process takes to end in order.
        is_ready: called once all serve.
    """

    def __init__(
        self,
        command: Command,
        sockets: Sequence[socket],
        count: int,
        *,
        grace: float,
        is_ready: Callable[[], object],
    ) -> None:
        self._command = command
        self._sockets = sockets
        self._count = count
        self._grace = grace
        self._is_ready = is_ready
        self._children: set[_Child] = set()
        self._serving: list[_Child] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._code = 0

    async def run(self) -> int:
        """Keep the processes until SIGTERM or SIGINT; the exit code.

        SIGHUP starts them anew, one after another.  A second signal kills them.
        """
        self._ended, self._renewed = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._renewed.set)
        self._do(self._begin())
        await self._ended.wait()
        await self._finish()
        return self._code

    def _end(self) -> None:
        if self._ended.is_set():
            _log.warning("Ending at once")
            self._code = 1
            for each in self._children:
                each.send(signal.SIGKILL)
        self._ended.set()

    def _give_up(self, code: int) -> None:
        self._code = code
        self._ended.set()

    async def _begin(self) -> None:
        """Start all processes; the first alone, so that what it cannot do is said once."""
        first = await self._start()
        if not await first.serves():
            code = await first.wait()
            self._give_up(code if code > 0 else 1)
            return
        self._enter(first)
        others = [await self._start() for _ in range(self._count - 1)]
        for each in others:
            if await each.serves():
                self._enter(each)
            else:
                self._do(self._replace(each))
        self._is_ready()
        while True:
            await self._renewed.wait()
            self._renewed.clear()
            await self._renew()

    async def _finish(self) -> None:
        for each in self._sockets:
            each.close()  # else connections would wait here for processes that take none any more
        for task in self._tasks:
            task.cancel()
        for child in self._children:
            if child.is_wanted:
                child.send(signal.SIGTERM)
        waiting = [asyncio.ensure_future(child.wait()) for child in self._children]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=self._grace + _AFTER)
            for child in self._children if late else ():
                child.send(signal.SIGKILL)
            await asyncio.gather(*waiting)

    async def _start(self) -> _Child:
        mine, its = socketpair()
        mine.setblocking(False)
        numbers = [each.fileno() for each in self._sockets]
        handed = f"{','.join(map(str, numbers))}:{its.fileno()}"
        with its:
            process = await asyncio.create_subprocess_exec(
                *self._command(handed),
                pass_fds=[*numbers, its.fileno()],
                # Ctrl-C is for this process, which tells them to end.
                process_group=0,
            )
        child = _Child(process, mine)
        self._children.add(child)
        return child

    def _enter(self, child: _Child) -> None:
        self._failures = 0
        self._serving.append(child)
        self._do(self._watch(child))

    async def _watch(self, child: _Child) -> None:
        """Wait until it ends, and start another in its place where nobody wanted that."""
        code = await child.wait()
        self._children.discard(child)
        if child.is_wanted:
            self._serving.remove(child)
            _log.error("Process %d has ended %s; it is started again", child.pid, _how(code))
            await self._replace(child)

    async def _replace(self, child: _Child) -> None:
        """Start a process in the place of one, until there is one that serves."""
        loop, pause = asyncio.get_running_loop(), _PAUSES[0]
        while True:
            if loop.time() - child.begun < _SETTLED:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _PAUSES[1])
            child = await self._start()
            if await child.serves():
                self._enter(child)
                return
            code = await child.wait()
            self._children.discard(child)
            self._failures += 1
            _log.error("Process %d could not start: it has ended %s", child.pid, _how(code))
            if self._failures >= _FAILURES and not self._serving:
                _log.error("No process can be started any more")
                self._give_up(1)
                return

    async def _renew(self) -> None:
        """Start all processes anew, one after another; the old ones go on where that fails."""
        for old in list(self._serving):
            new = await self._start()
            if not await new.serves():
                code = await new.wait()
                self._children.discard(new)
                _log.error("A new process has ended %s; the old ones go on", _how(code))
                return
            self._enter(new)
            # Where the old one has died meanwhile, another is started in its place: one too many.
            leaving = old if old in self._serving else new
            self._serving.remove(leaving)
            leaving.send(signal.SIGTERM)
        _log.info("All processes were started anew")

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _how(code: int) -> str:
    if code >= 0:
        return f"with code {code}"
    with suppress(ValueError):
        return f"by {signal.Signals(-code).name}"
    return f"by signal {-code}"


def cores() -> int:
    """How many processes can work at a time."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
