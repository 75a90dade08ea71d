"""Pages as a browser shows them: a tab that complains, values that are evil, what axe finds."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

PHONE = {"width": 360, "height": 720}
EVIL = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"


@contextmanager
def opened(browser: Any, server: Any, **options: Any):
    base = f"http://127.0.0.1:{server.port}"
    with browser.new_context(base_url=base, **options) as context:
        page, complaints = context.new_page(), []
        page.on("console", lambda each: complaints.append(each.text))
        page.on("pageerror", lambda each: complaints.append(str(each)))
        page.on("dialog", lambda each: complaints.append(each.message))
        yield page
        # Chromium says of each answer that is an error that it is one.
        own = [each for each in complaints if "the server responded with a status" not in each]
        assert [] == own


def grave(tab: Any) -> list[Any]:
    """What axe finds wrong with a page, but for trifles."""
    from axe_playwright_python.sync_playwright import Axe  # the package is an extra

    return [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in Axe().run(tab).response["violations"]
        if each["impact"] != "minor"
    ]
