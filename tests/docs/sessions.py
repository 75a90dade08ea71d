"""Sessions of the docs: programs that are started, and commands that print what a page says.

A program has the name of its file as caption; what is typed stands behind `$ ` in a console
block, and what it prints below it.  Ports and databases are a test's own.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.support import wait_until

ROOT = Path(__file__).parent.parent.parent
PORT = "8888"

# What differs from run to run: ids, times, correlation ids, and positions.
VARYING = [
    (re.compile(r'"[0-9a-f]{24}"'), '"<id>"'),
    (re.compile(r'"[0-9a-f]{32}"'), '"<correlation>"'),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r'"position": ?(\d+|null)'), '"position": <n>'),  # given within a moment
]

_IN_RST = re.compile(
    r"^(?P<indent> *)\.\. code-block:: (?P<language>\w+)\n"
    r"(?P<options>(?:(?P=indent)   :.*\n)*)\n(?P<text>(?:(?:(?P=indent) {3,}.*)?\n)+)",
    re.MULTILINE,
)
_IN_MARKDOWN = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)
_CAPTION = re.compile(r":caption: *(\S+)")


class Block(NamedTuple):
    """A block of code on a page; `caption` is the name of its file, if it has one."""

    language: str
    text: str
    caption: str | None = None


class Step(NamedTuple):
    """What is typed, and what it prints."""

    command: str
    output: str


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text()
    if page.suffix == ".md":
        return [Block(each["language"], each["text"]) for each in _IN_MARKDOWN.finditer(text)]
    found = []
    for each in _IN_RST.finditer(text):
        caption = _CAPTION.search(each["options"])
        code = textwrap.dedent(each["text"]).rstrip("\n") + "\n"
        found.append(Block(each["language"], code, caption and caption[1]))
    return found


def steps(block: Block) -> list[Step]:
    """What is typed in a console block."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
    return [Step(command, output) for command, _, output in (p.partition("\n") for p in parts)]


def steadied(text: str) -> str:
    """A text without what differs from run to run."""
    for pattern, name in VARYING:
        text = pattern.sub(name, text)
    return text.strip()


@dataclass
class Place:
    """Where a session takes place: a folder, a database of its own, a port of its own."""

    folder: Path
    uri: str
    database: str
    port: int

    @classmethod
    def new(cls, folder: Path, uri: str) -> Place:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = int(found.getsockname()[1])
        return cls(folder, uri, f"session{port}", port)

    @property
    def environment(self) -> dict[str, str]:
        commands = str(Path(sys.executable).parent)
        path = f"{commands}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "MONGODB_URI": self.uri, "PYTHONPATH": str(ROOT), "PATH": path}

    def write(self, name: str, program: str, *, database: str) -> None:
        """Save a program; it connects to `database`, which becomes the one of this place."""
        assert f'"{database}"' in program
        own = program.replace(f'"{database}"', f'"{self.database}"').replace(PORT, str(self.port))
        (self.folder / name).write_text(own)

    def type(self, command: str) -> str:
        """What a command prints."""
        result = subprocess.run(
            ["bash", "-c", command.replace(PORT, str(self.port))],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return result.stdout.replace(str(self.port), PORT)

    @contextmanager
    def running(self, *program: str) -> Iterator[list[str]]:
        """Run a program until the end of the block; the lines that it prints, as they come."""
        process = subprocess.Popen(
            [sys.executable, "-u", *program],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        printed: list[str] = []
        assert process.stdout is not None
        reading = threading.Thread(target=lambda: printed.extend(process.stdout or ()))
        reading.start()
        try:
            wait_until(lambda: self._listens(process), 60)
            yield printed
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
            reading.join()
            process.stdout.close()
            assert process.stderr is not None
            process.stderr.close()

    def _listens(self, process: subprocess.Popen[str]) -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"The program ended: {process.communicate()[1]}")
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", self.port)) == 0
