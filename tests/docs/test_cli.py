"""The sessions of the pages on commands: at a terminal they print what the page shows."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from tests.docs.sessions import PORT, ROOT, Place, blocks, steadied, steps
from tests.support import wait_until

HISTORY = blocks(ROOT / "docs" / "cli.rst")
OPERATION = blocks(ROOT / "docs" / "cli-operation.rst")
MARK = "<<end of a command>>"

# What differs from run to run besides, and what makes a line bold.
VARYING = [
    (re.compile(r"--correlation [0-9a-f]{32}\b"), "--correlation <id>"),
    (re.compile(r"of epoch \S+\."), "of epoch <epoch>."),
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r" +$", re.MULTILINE), ""),
    (re.compile(r"\t"), "  "),  # a page has none
]
# A terminal of this width, without colours and bars.
TERMINAL = {"COLUMNS": "110", "TERM": "xterm", "NO_COLOR": "1", "TTY_INTERACTIVE": "0"}


def session(page):
    """What is typed on a page, from its first console to its last."""
    typed = [each for each in page if each.language == "console" and each.caption is None]
    return [step for each in typed for step in steps(each)]


def steady(text):
    for pattern, name in VARYING:
        text = pattern.sub(name, text)
    return steadied(text)


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


def printed_by(commands, place):
    """What each command prints, in one shell for all of them, as for a reader."""
    here = f'bzz() {{ {sys.executable} -m bzz "$@"; }}\n'
    script = here + "".join(f"(exit $code)\n{each}\ncode=$?; echo '{MARK}'\n" for each in commands)
    environment = {**place.environment, **TERMINAL}
    printed = at_a_terminal(["bash", "-c", script], cwd=place.folder, env=environment)
    return printed.split(MARK)[:-1]


@pytest.mark.parametrize(
    ("page", "program", "database"),
    [
        pytest.param(HISTORY, "shop.py", "shop", id="history"),
        pytest.param(OPERATION, "app.py", "news", id="operation"),
    ],
)
def test_the_sessions_print_what_the_page_shows(tmp_path, mongod_uri, page, program, database):
    place = Place.new(tmp_path, mongod_uri)
    [code] = [each.text for each in page if each.language == "python"]
    place.write(program, code, database=database)
    place.type(f"python {program}")

    commands = [each.command for each in session(page)]
    for step, found in zip(session(page), printed_by(commands, place), strict=True):
        assert steady(step.output) == steady(found), step.command


def test_a_server_says_where_it_serves(tmp_path, mongod_uri):
    place = Place.new(tmp_path, mongod_uri)
    [code] = [each.text for each in OPERATION if each.language == "python"]
    place.write("app.py", code, database="news")
    [(command, expected)] = [step for each in OPERATION if each.caption for step in steps(each)]
    arguments = command.replace(PORT, str(place.port)).split()
    with place.running("-m", *arguments) as printed:
        wait_until(lambda: printed)
        found = "".join(printed).replace(str(place.port), PORT)

    assert expected.strip() == found.strip()
