"""One operation: a method at a path, with what it takes and all that it can answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bzz.openapi import parameters
from bzz.openapi.answers import FAILING, READING, problems
from bzz.openapi.book import Book, Json
from bzz.recording import recorder_of, recorders
from bzz.resource import Resource


def operation(
    book: Book,
    name: str,
    summary: str,
    *,
    tag: str,
    asked: Iterable[Json],
    answers: Mapping[str, Json],
    failures: Iterable[str],
    body: Json | None = None,
    patch: bool = False,
) -> Json:
    """An operation as OpenAPI has it.

    Args:
        name: what code calls it.
        tag: the resource that it belongs to.
        asked: its parameters, but those of the path.
        answers: by status, where it works.
        failures: the short names of the problems it may end in, but those of any request.
        patch: it is a PATCH, which names the formats it reads.
    """
    failing = problems(book, *READING, *FAILING, *failures, patch=patch)
    made: Json = {
        "tags": [tag],
        "operationId": name,
        "summary": summary,
        "parameters": list(asked),
        "responses": dict(sorted({**answers, **failing}.items())),
    }
    return made if body is None else {**made, "requestBody": body}


def writing(book: Book, resource: Resource, *, conditional: bool = True) -> list[Json]:
    """The header fields of a request that writes; `conditional` where there is a version."""
    shared = {name: told for each in recorders() for name, told in each.headers().items()}
    found = parameters.of_recorders(book, shared.items())
    if conditional:
        found.append(parameters.if_match(book, required=resource.require_precondition))
    return found


def unmet(resource: Resource) -> list[str]:
    """The problems of a request whose If-Match does not hold."""
    required = ["precondition-required"] if resource.require_precondition else []
    return ["precondition-failed", *required]


def missing(resource: Resource) -> list[str]:
    """The problems of a path that begins with a document of the resource."""
    audited = recorder_of(resource.model) is not None
    return ["not-found", "gone"] if audited else ["not-found"]
