"""The sessions of the page on commands: on a terminal they print what the page shows."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "cli.rst").read_text()

# What differs from run to run: times, correlation ids, epochs, the space that a column takes.
VARYING = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<correlation>"),
    (re.compile(r"of epoch \S+\."), "of epoch <epoch>."),
    (re.compile(r"\x1b\[[0-9;]*m"), ""),  # bold
    (re.compile(r" +$", re.MULTILINE), ""),
]


MARK = "<<end of a command>>"


def blocks(language):
    found = re.findall(
        rf"^\.\. code-block:: {language}\n\n((?:(?: {{3,}}.*)?\n)+)", PAGE, re.MULTILINE
    )
    return [textwrap.dedent(each) for each in found]


def session():
    """The commands of all consoles of the page, each with what it prints."""
    steps = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            steps.append((command, output))
    return steps


def steadied(text):
    for pattern, name in VARYING:
        text = pattern.sub(name, text)
    return text.strip()


def at_a_terminal(command, **options):
    """What a program prints at a terminal."""
    outside, inside = pty.openpty()
    process = subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside, **options)
    os.close(inside)
    printed = b""
    try:
        while chunk := os.read(outside, 65536):
            printed += chunk
    except OSError:  # the other side was closed
        pass
    finally:
        os.close(outside)
        process.wait(60)
    return printed.decode().replace("\r\n", "\n")


@pytest.fixture
def shop(tmp_path, database, mongod_uri):
    """The folder of the page's application, which has a past, and the environment to run it."""
    program = blocks("python")[0].replace('"shop"', f'"{database.name}"')
    (tmp_path / "shop.py").write_text(program)
    environment = {
        **os.environ,
        "MONGODB_URI": mongod_uri,
        "PYTHONPATH": str(ROOT),
        # A terminal of this width, without colours and bars.
        "COLUMNS": "100",
        "TERM": "xterm",
        "NO_COLOR": "1",
        "TTY_INTERACTIVE": "0",
    }
    subprocess.run([sys.executable, "shop.py"], cwd=tmp_path, env=environment, check=True)
    return {"cwd": tmp_path, "env": environment}


def printed_by(commands, shop):
    """What each command prints, in one shell for all of them, as for a reader."""
    here = f'bzz() {{ {sys.executable} -m bzz "$@"; }}; python() {{ {sys.executable} "$@"; }}\n'
    script = here + "".join(f"(exit $code)\n{each}\ncode=$?; echo '{MARK}'\n" for each in commands)
    return at_a_terminal(["bash", "-c", script], **shop).split(MARK)[:-1]


def test_the_sessions_print_what_the_page_shows(shop):
    commands = [command for command, _ in session()]
    for (command, expected), found in zip(session(), printed_by(commands, shop), strict=True):
        assert steadied(expected) == steadied(found), command
