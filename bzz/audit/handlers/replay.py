"""Edge: `POST …/history/replay/`, verify and rebuild: one document, or a model slice by slice."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from bzz.actions import reading
from bzz.audit.diff import pointer
from bzz.audit.handlers.across import AcrossHandler
from bzz.audit.handlers.base import HistoryHandler, answered
from bzz.audit.handlers.describing import replayed, replayed_slice
from bzz.audit.rebuilding import rebuild_all
from bzz.audit.trail import ProblemKind
from bzz.audit.verifying import Report, verify_all
from bzz.audit.views import show_problem, show_report
from bzz.documents import is_open
from bzz.errors import BadRequest, Conflict, FieldError, InvalidInput, NotFound
from bzz.openapi.book import Book, Json
from bzz.openapi.places import Place
from bzz.query import DEFAULT_LIMIT, MAX_LIMIT
from bzz.recording import Model
from bzz.resource import Resource
from bzz.schema import Schema, schema_of
from bzz.targets import Step, Target

_MAY = {"verify": "history", "rebuild": "rebuild"}
"""What `may` is asked for each mode."""


class ReplayHandler(HistoryHandler):
    """Proves the history of a document, or makes the document what it says."""

    below = "/replay"
    template = "replay/"
    methods = ("POST",)

    @classmethod
    def operations(cls, book: Book, resource: Resource, place: Place) -> dict[str, Json]:
        """The replay, for OpenAPI."""
        what = f"Prove the history of a {place.schema.model.__name__}, or rebuild it"
        return {"post": replayed(book, resource, place, what)}

    async def post(self, *_: str) -> None:
        """Verify, or with `mode=rebuild` rebuild; the mode is in the query string or the body."""
        target = self.target()
        mode = _mode(self.check_arguments("mode"), _members(self.read_body().nested(), "mode"))
        step = target.last
        action = (_MAY[mode], step.schema.model, step.value)
        await self.permit([*reading(target)[:-1], action], target.arguments)
        report = await self.off_loop(self._replay, target, mode)
        self.respond({"mode": mode, **show_report(report, step.schema)})

    def _replay(self, target: Target, mode: str) -> Report:
        history = self.history_of(target)
        with answered():
            report = history.rebuild() if mode == "rebuild" else history.verify()
        if not report.versions and not report.has_no_baseline:
            self.history_key(self.named(target))  # raises for a document that never was
        for problem in report.problems:
            if problem.kind is ProblemKind.GAP:
                raise Conflict(problem.detail)
        return report


class ReplayAcrossHandler(AcrossHandler):
    """The same for the documents of a model, or to verify of all models, a slice at a time.

    The answer has the reports of what is not in order, and the cursor of the next slice.  The
    last slice of all models tells the problems of the positions and seals of all events too.
    """

    methods = ("POST",)

    @classmethod
    def operations(cls, book: Book) -> dict[str, Json]:
        """The replay of a model, for OpenAPI."""
        return {"post": replayed_slice(book, cls.template)}

    async def post(self, *_: str) -> None:
        """Go through at most `limit` documents after `cursor`."""
        self.check_arguments()
        given = _members(self.read_body().nested(), "model", "mode", "cursor", "limit")
        mode, limit, cursor = _mode({}, given), _limit(given), _cursor(given)
        models = self._models(given.get("model"), mode)
        await self.permit([(_MAY[mode], model, None) for model in models], [])
        model = models[0] if given.get("model") is not None else None
        self.respond(await self.off_loop(self._slice, model, mode, cursor, limit))

    def _known(self) -> dict[str, Model]:
        """The tracked classes by the names that events and reports have for them."""
        return {self.auditor.tracked_as(each).name: each for each in self.auditor.models()}

    def _models(self, name: Any, mode: str) -> list[Model]:
        """The models that are meant.  Raises `InvalidInput`."""
        known = self._known()
        if name is None and mode == "verify":
            return list(known.values())
        if not isinstance(name, str) or name not in known:
            detail = f"model is one of {', '.join(sorted(known))}; got {name!r}."
            raise InvalidInput([FieldError("/model", detail)])
        if mode == "rebuild" and hasattr(known[name], "get_instance_queryset"):
            detail = (
                f"A request may not see every {name}, so they are rebuilt one by one, or in code "
                "with auditor.rebuild."
            )
            raise InvalidInput([FieldError("/model", detail)])
        return [known[name]]

    def _slice(
        self, model: Model | None, mode: str, cursor: str | None, limit: int
    ) -> dict[str, Any]:
        batch = limit + 1  # one more says whether there is a next slice
        if mode == "rebuild" and model is not None:
            # Each report that is taken has been rebuilt, so none is taken to look ahead.
            run, batch = rebuild_all(self.auditor, model, None, after=cursor, batch=limit), limit
        else:
            run = verify_all(self.auditor, model, after=cursor, batch=batch)
        reports = list(islice(run, batch))
        more = len(reports) >= batch
        token = reports[:limit][-1].token if more else None
        schemas = {name: schema_of(each) for name, each in self._known().items()}
        reports = reports[:limit]
        on_log = [problem for each in reports if each.of_log for problem in each.problems]
        reports = [
            each for each in reports if not each.of_log and self._sees(each, schemas[each.model])
        ]
        wrong = [each for each in reports if each.differences or not each.ok]
        return {
            "ok": not on_log and all(each.ok for each in reports),
            "checked": len(reports),
            "differences": [show_report(each, schemas[each.model]) for each in wrong],
            "problems": [show_problem(each) for each in on_log],
            "next": token,
        }

    def _sees(self, report: Report, schema: Schema) -> bool:
        """Whether the request may see the document of a report."""
        if is_open(schema.model):
            return True
        if schema.id_field != schema.pk:
            return False  # the hook goes by another field, which a report does not have
        shown = schema.format_id(report.document)
        try:
            self.history_key(Step(report.model, schema, None, shown, report.document))
        except NotFound:
            return False
        return True


def _members(values: Any, *known: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise InvalidInput([FieldError("", "The body of a replay is an object.")])
    errors = [
        FieldError(pointer([name]), f"A replay knows {', '.join(known)}, not {name!r}.")
        for name in values
        if name not in known
    ]
    if errors:
        raise InvalidInput(errors)
    return values


def _mode(arguments: Mapping[str, str], members: Mapping[str, Any]) -> str:
    """The mode of the query string or the body.  Raises `BadRequest`, `InvalidInput`."""
    asked, given = arguments.get("mode"), members.get("mode")
    if given is not None and given not in tuple(_MAY):
        raise InvalidInput([FieldError("/mode", f"mode is verify or rebuild, not {given!r}.")])
    if asked is not None and asked not in _MAY:
        raise BadRequest(f"'mode' is verify or rebuild, not {asked!r}.")
    if asked and given and asked != given:
        raise BadRequest(f"'mode' is {asked} in the URL and {given} in the body; name one.")
    return str(asked or given or "verify")


def _limit(members: Mapping[str, Any]) -> int:
    given = members.get("limit", DEFAULT_LIMIT)
    text = str(given) if isinstance(given, int | str) and not isinstance(given, bool) else ""
    if not (text.isascii() and text.isdecimal() and len(text) < 4 and 1 <= int(text) <= MAX_LIMIT):
        raise InvalidInput([FieldError("/limit", f"limit is 1 to {MAX_LIMIT}, not {given!r}.")])
    return int(text)


def _cursor(members: Mapping[str, Any]) -> str | None:
    given = members.get("cursor")
    if given is not None and not isinstance(given, str):
        raise InvalidInput([FieldError("/cursor", "cursor is the next of the answer before.")])
    return given
