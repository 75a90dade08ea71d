"""Every example of the docs is a program of its own, and runs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.docs.sessions import ROOT, blocks


def examples() -> list[object]:
    """Those that are no part of a session, whose files have captions."""
    found = []
    for page in sorted((ROOT / "docs").rglob("*.rst")):
        programs = [each for each in blocks(page) if each.language == "python"]
        found += [
            pytest.param(each.text, id=f"{page.stem}-{number}")
            for number, each in enumerate(programs, 1)
            if each.caption is None
        ]
    return found


@pytest.mark.parametrize("code", examples())
def test_an_example_of_the_docs_runs(code, tmp_path, mongod_uri):
    (tmp_path / "example.py").write_text(code)
    result = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=tmp_path,
        env={**os.environ, "MONGODB_URI": mongod_uri, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert 0 == result.returncode, result.stderr
