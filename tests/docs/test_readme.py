"""The README's first session: its program runs, and its commands print what it says."""

from __future__ import annotations

import shutil

import pytest

from tests.docs.sessions import ROOT, Place, blocks, steadied, steps

README = blocks(ROOT / "README.md")


@pytest.mark.skipif(shutil.which("curl") is None, reason="the session is typed with curl")
def test_the_first_session_prints_what_the_readme_shows(tmp_path, mongod_uri):
    place = Place.new(tmp_path, mongod_uri)
    place.write("app.py", next(b.text for b in README if b.language == "python"), database="shop")
    with place.running("app.py"):
        for block in README:
            for command, expected in steps(block) if block.language == "console" else ():
                assert steadied(expected) == steadied(place.type(command)), command
