"""A real Chromium for tests and pictures: Debian's package, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = "There is no Chromium here; on Debian: apt-get install -y chromium"
_FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser for the length of a block.  Raises `RuntimeError` where there is none."""
    from playwright.sync_api import sync_playwright  # the package is an extra

    if CHROMIUM is None:
        raise RuntimeError(MISSING)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()
