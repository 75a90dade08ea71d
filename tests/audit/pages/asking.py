"""Pages asked for as a browser asks, and what stands on them as a person reads it."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from tests.support import Answer

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
_OUTSIDE = re.compile(r"<(script|style)>.*?</\1>", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_INPUT = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


def page(server: Any, path: str, status: int = 200, **headers: str) -> str:
    """The HTML of a page."""
    answer = server.get(path, headers=HTML | headers)
    assert status == answer.status, words(answer.body.decode())
    return html_of(answer)


def html_of(answer: Answer) -> str:
    """The HTML of an answer."""
    assert "text/html; charset=UTF-8" == answer.headers["Content-Type"]
    return answer.body.decode()


def words(html: str) -> str:
    """The text of a page, without what looks like spaces."""
    return " ".join(unescape(_TAG.sub(" ", _OUTSIDE.sub("", html))).split())


def links(html: str) -> list[str]:
    """Where the links of a page lead."""
    return [unescape(each) for each in re.findall(r'<a [^>]*?href="([^"]*)"', html)]


def hidden(html: str) -> dict[str, str]:
    """The values that the form of a page sends without being asked."""
    return {name: unescape(value) for name, value in _INPUT.findall(html)}


def send(server: Any, path: str, form: dict[str, str], cookie: str = "", **headers: str) -> Answer:
    """Send the form of a page as a browser does."""
    own = {**HTML, **headers} | ({"Cookie": cookie} if cookie else {})
    return server.post(path, form=form, headers=own)


def preview(server: Any, path: str, **headers: str) -> tuple[str, dict[str, str], str]:
    """A preview: its HTML, what its form holds, and the cookie that came with it."""
    answer = server.get(path, headers=HTML | headers)
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    return html_of(answer), hidden(html_of(answer)), cookie
