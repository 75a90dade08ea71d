"""The tutorial: its program grows as the reader is told, and its commands print what it says."""

from __future__ import annotations

import shutil

import pytest

from tests.docs.sessions import ROOT, Place, blocks, steadied, steps
from tests.support import wait_until

PAGE = blocks(ROOT / "docs" / "tutorial.rst")
PROGRAM, SUBSCRIPTION = (block.text for block in PAGE if block.caption)
BEHIND = 'auditor = Auditor(actor=from_header("X-User"))\n'


def type_in(place, block):
    for command, expected in steps(block):
        assert steadied(expected) == steadied(place.type(command)), command


@pytest.mark.skipif(shutil.which("curl") is None, reason="the session is typed with curl")
def test_the_tutorial_goes_as_it_says(tmp_path, mongod_uri):
    place = Place.new(tmp_path, mongod_uri)
    sessions = [block for block in PAGE if block.language == "console"]
    [printed] = [block.text for block in PAGE if block.language == "text"]
    first_request = next(i for i, each in enumerate(sessions) if "-o /dev/null" in each.text)

    place.write("shop.py", PROGRAM, database="shop")
    with place.running("shop.py"):
        for block in sessions[:first_request]:
            type_in(place, block)

    assert BEHIND in PROGRAM
    place.write("shop.py", PROGRAM.replace(BEHIND, f"{BEHIND}\n\n{SUBSCRIPTION}"), database="shop")
    with place.running("shop.py") as lines:
        type_in(place, sessions[first_request])
        wait_until(lambda: len(lines) >= printed.count("\n"), 60)
        assert printed == "".join(lines)
        for block in sessions[first_request + 1 :]:
            type_in(place, block)
