"""The sessions of the page on commands: at a terminal they print what the page shows."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

from tests.docs.sessions import ROOT, Place, blocks, steadied, steps

PAGE = ROOT / "docs" / "cli.rst"
MARK = "<<end of a command>>"

# What differs from run to run besides, and what makes a line bold.
VARYING = [
    (re.compile(r"--correlation [0-9a-f]{32}\b"), "--correlation <id>"),
    (re.compile(r"of epoch \S+\."), "of epoch <epoch>."),
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r" +$", re.MULTILINE), ""),
]
# A terminal of this width, without colours and bars.
TERMINAL = {"COLUMNS": "100", "TERM": "xterm", "NO_COLOR": "1", "TTY_INTERACTIVE": "0"}


def session():
    """What is typed on the page, from its first console to its last."""
    return [step for each in blocks(PAGE) if each.language == "console" for step in steps(each)]


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


def test_the_sessions_print_what_the_page_shows(tmp_path, mongod_uri):
    place = Place.new(tmp_path, mongod_uri)
    [program] = [each.text for each in blocks(PAGE) if each.language == "python"]
    place.write("shop.py", program, database="shop")
    place.type("python shop.py")

    commands = [each.command for each in session()]
    for step, found in zip(session(), printed_by(commands, place), strict=True):
        assert steady(step.output) == steady(found), step.command
