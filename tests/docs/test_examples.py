"""Every example of the docs is a program of its own, and runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^\.\. code-block:: python\n(?:   :.*\n)*\n((?:(?: {3,}.*)?\n)+)", re.MULTILINE)


def examples() -> list[object]:
    found = []
    for page in sorted((ROOT / "docs").rglob("*.rst")):
        for number, match in enumerate(BLOCK.finditer(page.read_text()), 1):
            code = textwrap.dedent(match[1])
            found.append(pytest.param(code, id=f"{page.stem}-{number}"))
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
