"""The paths of one resource as OpenAPI path items: lists, documents, and what is nested in them.

A path is described with the slash at its end; it is served without it too.  HEAD, which answers
as GET does, and OPTIONS, which names the methods, are served everywhere and not described.
"""

from __future__ import annotations

from bzz.openapi import bodies, parameters
from bzz.openapi.answers import (
    SENDING,
    WRITING,
    headers,
    not_modified,
    page_of,
    success,
)
from bzz.openapi.book import Book, Json
from bzz.openapi.models import Use, documents
from bzz.openapi.operations import missing, operation, unmet, writing
from bzz.openapi.places import Place, places_of
from bzz.openapi.values import either
from bzz.recording import recorder_of
from bzz.resource import Resource


def paths_of(resource: Resource, book: Book) -> dict[str, Json]:
    """The path items of a resource, by their templates."""
    return {
        place.path: Operations(resource, book, place).path_item()
        for place in places_of(resource, book)
    }


class Operations:
    """What can be done at one place."""

    def __init__(self, resource: Resource, book: Book, place: Place) -> None:
        self.resource = resource
        self.book = book
        self.place = place
        self.what = place.schema.model.__name__

    def path_item(self) -> Json:
        """The operations by their methods, with what they share."""
        if self.place.is_list:
            found = {"get": self._list(), "post": self._create()}
        else:
            found = {"get": self._read(), "put": self._put(), "patch": self._patch()}
            found["delete"] = self._delete()
            if self.place.single:
                found["post"] = self._create()
        return {"parameters": list(self.place.ids), **found} if self.place.ids else found

    # Reading ---------------------------------------------------------------------------

    def _list(self) -> Json:
        schema, asked = self.place.schema, [*parameters.paging(self.book)]
        asked.append(parameters.fields(schema))
        if not self.place.embedded:
            asked += [parameters.sort(schema), *parameters.filters(self.book, schema)]
        answer = success(
            "A page of the list.",
            page_of(either([self._shown(), self._shown(Use.PART)])),
            headers(self.book, always=["Link"]),
        )
        return self._operation(
            "list", f"List {self.what} documents", asked, {"200": answer}, "unreadable"
        )

    def _read(self) -> Json:
        asked: list[Json] = [parameters.if_none_match(self.book)]
        names: list[str] = []
        answers = {}
        if self._is_audited():
            names = ["ETag", "Last-Modified"]
            answers["304"] = not_modified(self.book)
            if not self.place.nested:
                asked.append(self.book.parameter("at", _at))
                names += ["Link", "Memento-Datetime"]
        answers["200"] = success(self.what, self._shown(), headers(self.book, *names))
        return self._operation("read", f"Read a {self.what}", asked, answers, "unreadable")

    # Writing ---------------------------------------------------------------------------

    def _create(self) -> Json:
        always = ["Location"]
        if self.place.schema.id_field is not None:
            always.append("X-Created-Id")
        fields = headers(self.book, *self._tag(), always=always)
        verb = "Add" if self.place.nested else "Create"
        return self._operation(
            "create",
            f"{verb} a {self.what}",
            self._writing(),
            {"201": success("It is there.", self._shown(), fields)},
            *(*SENDING, *WRITING, "not-unique"),
            body=bodies.new(self.book, self.place),
        )

    def _put(self) -> Json:
        told = "Unset what the body does not name."
        replace = parameters.query("replace", {"type": "boolean", "default": False}, told)
        return self._operation(
            "change",
            f"Set the fields of a {self.what} that the body names",
            [*self._writing(), replace],
            {"200": self._changed()},
            *(*SENDING, *WRITING, "not-unique", "unreadable"),
            body=bodies.changes(self.book, self.place),
        )

    def _patch(self) -> Json:
        return self._operation(
            "patch",
            f"Patch a {self.what}",
            self._writing(),
            {"200": self._changed()},
            *(*SENDING, *WRITING, "not-unique", "patch-conflict", "unreadable"),
            body=bodies.patch(self.book, self.place),
        )

    def _delete(self) -> Json:
        does = f"Take a {self.what} out" if self.place.nested else f"Delete a {self.what}"
        return self._operation(
            "delete",
            does,
            self._writing(),
            {"204": success("It is gone.", None, headers(self.book, *self._nested_tag()))},
            *(*WRITING, "referred-to", "invalid-input", "not-unique", "unreadable", "too-large"),
        )

    def _changed(self) -> Json:
        return success("As it is now.", self._shown(), headers(self.book, *self._tag()))

    def _writing(self) -> list[Json]:
        return writing(self.book, self.resource, conditional=not self._is_root_list())

    # Both ------------------------------------------------------------------------------

    def _shown(self, use: Use = Use.SHOWN) -> Json:
        return documents(self.book, self.place.schema.model, use)

    def _operation(
        self,
        verb: str,
        summary: str,
        asked: list[Json],
        answers: dict[str, Json],
        *slugs: str,
        body: Json | None = None,
    ) -> Json:
        failures = [*slugs, *([] if self._is_root_list() else missing(self.resource))]
        if verb not in ("list", "read") and not self._is_root_list():
            failures += unmet(self.resource)
        return operation(
            self.book,
            self.book.operation_id(verb, self.place.path),
            summary,
            tag=self.resource.name,
            asked=asked,
            answers=answers,
            failures=failures,
            body=body,
            patch=verb == "patch",
        )

    def _is_root_list(self) -> bool:
        return self.place.is_list and not self.place.nested

    def _is_audited(self) -> bool:
        return recorder_of(self.place.document) is not None

    def _tag(self) -> list[str]:
        return ["ETag"] if self._is_audited() else []

    def _nested_tag(self) -> list[str]:
        return self._tag() if self.place.nested else []


def _at() -> Json:
    told = "A version, in digits, or a time (RFC 3339): the state then, as far as it can be shown."
    return parameters.query("at", {"type": "string", "examples": ["3", "2026-05-01"]}, told)
