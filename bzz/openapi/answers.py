"""Answers: what comes back when it worked, and the problems when it did not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from bzz.openapi.book import Book, Json
from bzz.problems import KINDS, PROBLEM_JSON, type_of

JSON = "application/json"

READING = ("bad-request", "unauthorized", "forbidden", "refused")
"""The problems that any request may meet, before anything is read."""
FAILING = ("internal-server-error", "setup", "unavailable")
"""And those that are the server's."""
SENDING = ("too-large", "unsupported-media-type", "invalid-input")
"""Of requests with a body."""
WRITING = ("conflict", "unrecorded", "slow-receiver", "undecided")
"""Of requests that write."""


# Header fields

_TAG: Json = {"pattern": '^"(0|[1-9][0-9]*)(-[a-z]+)?"$', "examples": ['"7"']}
_HEADERS: Mapping[str, tuple[str, Json]] = {
    "ETag": ("The version of the document, as a strong tag.", _TAG),
    "Last-Modified": ("When the last event of the document was.", {}),
    "Location": ("Where it is now.", {"format": "uri-reference"}),
    "X-Created-Id": ("The id of what was created, percent-encoded.", {"minLength": 1}),
    "Link": ("The way on (RFC 8288): pages of a list, versions of a document.", {}),
    "Memento-Datetime": ("When the state that is shown came to be (RFC 7089).", {}),
    "Vary": ("The header fields of the request that decide the format.", {}),
    "Cache-Control": ("How long it may be kept (RFC 9111).", {}),
    "Retry-After": ("Seconds after which to try again.", {"pattern": "^[0-9]+$"}),
    "Accept": ("The formats that are read here.", {}),
    "Accept-Patch": ("The formats of patches that are read here.", {}),
}


def headers(book: Book, *names: str, always: Iterable[str] = ()) -> Json:
    """Header fields of an answer; those in `always` are never missing."""
    required = set(always)
    return {
        name: book.header(
            f"{name}.always" if name in required else name,
            lambda name=name: _header(name, required=name in required),  # type: ignore[misc]
        )
        for name in (*names, *required)
    }


def _header(name: str, *, required: bool) -> Json:
    description, more = _HEADERS[name]
    told: Json = {"description": description, "schema": {"type": "string", **more}}
    return {**told, "required": True} if required else told


# What worked


def success(description: str, schema: Json | None = None, fields: Json | None = None) -> Json:
    """An answer with a JSON body, or with none, and its header fields."""
    answer: Json = {"description": description}
    if fields:
        answer["headers"] = fields
    if schema is not None:
        answer["content"] = {JSON: {"schema": schema}}
    return answer


def not_modified(book: Book) -> Json:
    """The answer to a read of what is known already."""
    told = "What is known already is still the newest."
    return book.response("304", "not-modified", lambda: success(told, None, headers(book, "ETag")))


def page_of(items: Json) -> Json:
    """The schema of a list's answer."""
    following = {"type": ["string", "null"], "description": "The next page, relative to the host."}
    return {
        "type": "object",
        "properties": {"items": {"type": "array", "items": items}, "next": following},
        "required": ["items", "next"],
        "additionalProperties": False,
    }


# What did not


def problems(book: Book, *slugs: str, patch: bool = False) -> dict[str, Json]:
    """The answers for problems, by their short names; `patch` for those to a PATCH."""
    by_status: dict[int, list[str]] = defaultdict(list)
    for slug in dict.fromkeys(slugs):
        by_status[KINDS[slug].status].append(slug)
    return {
        str(status): _problem(book, status, sorted(kinds), patch=patch and status == 415)
        for status, kinds in sorted(by_status.items())
    }


def _problem(book: Book, status: int, slugs: list[str], *, patch: bool) -> Json:
    name = ".".join([*slugs, *(["patch"] if patch else [])])
    return book.response(name, name, lambda: _answer(book, status, slugs, patch=patch))


def _answer(book: Book, status: int, slugs: list[str], *, patch: bool) -> Json:
    problem = book.schema("Problem", "Problem", lambda: _PROBLEM)
    own = {"type": {"enum": [type_of(slug) for slug in slugs]}, "status": {"const": status}}
    shape = {"allOf": [problem, {"type": "object", "properties": own}]}
    told = "; ".join(KINDS[slug].title for slug in slugs)
    answer: Json = {"description": told or HTTPStatus(status).phrase}
    fields = _headers_of(book, status, patch=patch)
    if fields:
        answer["headers"] = fields
    return {**answer, "content": {PROBLEM_JSON: {"schema": shape}}}


def _headers_of(book: Book, status: int, *, patch: bool) -> Json:
    if status in (404, 410):
        return headers(book, *(["Link"] if status == 410 else []), always=["Cache-Control"])
    if status == 415:
        return headers(book, "Accept", always=["Accept-Patch"] if patch else [])
    return headers(book, always=["Retry-After"]) if status == 503 else {}


_PROBLEM: Json = {
    "type": "object",
    "description": "An error (RFC 9457).",
    "properties": {
        "type": {
            "type": "string",
            "format": "uri",
            "description": "The kind of problem: the address of its page in the documentation.",
        },
        "title": {"type": "string", "description": "The kind of problem in words."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "A sentence about this occurrence."},
        "errors": {
            "type": "array",
            "description": "What is wrong where in the body.",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "format": "json-pointer"},
                    "detail": {"type": "string"},
                },
                "required": ["pointer", "detail"],
            },
        },
        "version": {"type": "integer", "description": "The version that decided, of a document."},
        "conflicts": {
            "type": "array",
            "description": "The paths that were changed again, and the versions that did it.",
            "items": {
                "type": "object",
                "properties": {
                    "path": {"type": "string", "format": "json-pointer"},
                    "version": {"type": ["integer", "null"]},
                },
                "required": ["path", "version"],
            },
        },
    },
    "required": ["type", "title", "status"],
}
