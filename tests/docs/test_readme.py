"""The README's first session: its program runs, and its commands print what it says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()

# What differs from run to run: ids, times, correlation ids, and positions.
VARYING = [
    (re.compile(r'"[0-9a-f]{24}"'), '"<id>"'),
    (re.compile(r'"[0-9a-f]{32}"'), '"<correlation>"'),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r'"position": (\d+|null)'), '"position": <n>'),  # given within a moment
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def session() -> list[tuple[str, str]]:
    """The commands of all console blocks with a prompt, each with what it prints."""
    steps: list[tuple[str, str]] = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            steps.append((command, output))
    return steps


def steadied(text: str) -> str:
    for pattern, name in VARYING:
        text = pattern.sub(name, text)
    return text.strip()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            raise RuntimeError(f"The program ended: {process.communicate()[1]}")
        time.sleep(0.05)
    raise TimeoutError("The program did not listen.")


@pytest.fixture
def running(tmp_path, mongod_uri):
    """The README's program, running; the port on which it listens."""
    port = free_port()
    program = blocks("python")[0].replace("8888", str(port)).replace('"shop"', f'"readme{port}"')
    (tmp_path / "app.py").write_text(program)
    environment = {**os.environ, "MONGODB_URI": mongod_uri, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(port, process)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the session is typed with curl")
def test_the_first_session_prints_what_the_readme_shows(running):
    for command, expected in session():
        result = subprocess.run(
            ["bash", "-c", command.replace("8888", str(running))],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

        assert steadied(expected) == steadied(result.stdout), command
