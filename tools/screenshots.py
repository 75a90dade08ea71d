"""Pictures of the pages for the documentation: `python -m tools.screenshots [FOLDER]`.

The demo is served from a database of its own, seen in Debian's Chromium, and forgotten.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.browsing import chromium

WIDE, PHONE = {"width": 900, "height": 760}, {"width": 360, "height": 720}
SHOTS: list[tuple[str, str, dict[str, int], str]] = [
    ("history", "/order/1007/history/", WIDE, "light"),
    ("history-dark", "/order/1007/history/", WIDE, "dark"),
    ("history-phone", "/order/1012/history/", PHONE, "light"),
    ("version", "/order/1007/history/3/", WIDE, "light"),
    ("compare", "/order/1007/history/diff/?from=1&to=3", WIDE, "light"),
    ("blame", "/person/ana/history/blame/", WIDE, "light"),
    ("restore", "/order/1007/history/1/restore/", WIDE, "light"),
    ("activity", "/history/", WIDE, "light"),
    ("subscription", "/history/subscriptions/invoices/", WIDE, "light"),
    ("deleted", "/order/1015/history/", WIDE, "light"),
]


@contextmanager
def demo() -> Iterator[str]:
    """The address of a demo, for the length of a block."""
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "bzz.demo", "--port", "0", "--data", data]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            for line in process.stdout or ():
                if found := re.search(r"http://[^/]+", line):
                    yield found[0]
                    break
        finally:
            process.terminate()
            process.wait(30)


def main(folder: str = "docs/images") -> None:
    """Write all pictures."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with demo() as address, chromium() as browser:
        for name, path, size, scheme in SHOTS:
            options: Any = {"viewport": size, "color_scheme": scheme}
            with browser.new_context(**options) as context:
                page = context.new_page()
                page.goto(f"{address}{path}")
                page.screenshot(path=target / f"{name}.png")
                print(target / f"{name}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
