"""Templates, the one stylesheet and the one script, and what a browser may do with a page.

Both stand within each page, so that a page is one answer and needs no routes of its own; the
policy names them by their digests, and nothing else runs or is loaded.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from tornado.template import Loader

from bzz.audit.pages import words
from bzz.audit.pages.values import shown, shown_change

_HERE = Path(__file__).parent
_STYLE = (_HERE / "style.css").read_text(encoding="utf-8")
_SCRIPT = (_HERE / "script.js").read_text(encoding="utf-8")
_LOADER = Loader(
    str(_HERE / "templates"),
    namespace={
        "words": words,
        "shown": shown,
        "shown_change": shown_change,
        "style": _STYLE,
        "script": _SCRIPT,
    },
)


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


HEADERS = {
    "Content-Type": "text/html; charset=UTF-8",
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            f"style-src {_digest(_STYLE)}",
            f"script-src {_digest(_SCRIPT)}",
            "connect-src 'self'",
            "img-src data:",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
"""The header fields of every page."""


def render(template: str, **values: Any) -> bytes:
    """A page: a template with its values, which are shown as text wherever they stand."""
    return _LOADER.load(template).generate(**values)
