"""The REST handler of MongoEngine documents: verbs, permissions, signals, answers.

HTTP stands here; finding and saving is `bzz.work`'s, and runs in a thread, one hop a request.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote

import tornado.web
from pymongo.errors import ConnectionFailure
from tornado.httputil import format_timestamp

from bzz import connection
from bzz.actions import Action, associating, existing_ids, reading, writing
from bzz.assignment import Input, fields_input, merge_input, patch_input
from bzz.body import JSON, JSON_PATCH, MERGE_PATCH, READ, Body, read_body
from bzz.codec import represent
from bzz.commit_lane import Job, lane_of
from bzz.documents import has_own_code, instance_query, instantiate, list_queryset, past_query
from bzz.errors import (
    BadRequest,
    FieldError,
    Gone,
    InvalidInput,
    NotFound,
    SetupError,
    TooLarge,
    UnsupportedMedia,
)
from bzz.jsontext import dumps
from bzz.listing import Links, Page, links
from bzz.listing import run as run_list
from bzz.offload import shared_offload
from bzz.openapi.book import Book, Json
from bzz.openapi.resources import paths_of
from bzz.preconditions import etag, none_match, parse_if_match, read_if_match, require
from bzz.problems import PROBLEM_JSON, Problem, problem_for
from bzz.query import ListQuery, parse_list_query, project
from bzz.recording import Head, Model, Recorder, family, record_with, recorder_of, recorders
from bzz.resource import Resource, check_segment, registered
from bzz.routes import Route, Routes
from bzz.schema import schema_of
from bzz.settling import SIGNAL_OF, signal_arguments
from bzz.signals import (
    Signal,
    announce,
    ask,
    before_commit,
    post_get_instance,
    post_get_list,
    pre_create_instance,
    pre_delete_instance,
    pre_get_instance,
    pre_get_list,
    pre_update_instance,
)
from bzz.source import Source
from bzz.targets import Step, Target, parse_target, segments_of
from bzz.transactions import Deadline
from bzz.transactions import run as run_unit
from bzz.unit import Unit
from bzz.work import (
    Outcome,
    Work,
    Worker,
    Written,
    deleted_head,
    document_key,
    missing,
    show_state,
    written,
)

__all__ = ["MongoEngineRestHandler"]

T = TypeVar("T")

_log = logging.getLogger("bzz")

ACCEPTED_PATCHES = (MERGE_PATCH, JSON_PATCH, JSON)

_PRE_SIGNAL: dict[str, Signal] = {
    "list": pre_get_list,
    "read": pre_get_instance,
    "create": pre_create_instance,
    "update": pre_update_instance,
    "delete": pre_delete_instance,
}


class MongoEngineRestHandler(tornado.web.RequestHandler):
    """Serves the documents of one model under `/<resource>/`, and what is nested in them.

    Subclass it to add what an application needs in all of its routes: `prepare`,
    `get_current_user`, `may`, `set_default_headers`, `write_error`.
    """

    resource: Resource

    # Registration ----------------------------------------------------------------------

    @classmethod
    def routes_for(
        cls,
        provider: str,
        model: Model,
        prefix: str = "",
        resource_name: str | None = None,
        audit: Recorder | None = None,
        **options: Any,
    ) -> Routes:
        """The routes of a model's documents.

        Args:
            provider: 'mongoengine' for this class (or the subclass on which it is called), or
                the dotted name of a handler class.
            model: a MongoEngine Document class.
            prefix: goes in front of each path: '/api'.
            resource_name: the path's first segment; by default the class name in snake_case.
            audit: an `Auditor`; with it the model's writes are recorded, and its history
                routes are in the list.
            options: `max_body` (bytes, 16 MB by default), `deadline` (seconds within which
                a write is answered, 10 by default), `require_precondition` (False by
                default: a change without If-Match is accepted).

        Raises `SetupError` for a provider that is no handler class, a class that has no
        documents, a model that another auditor has, and a model with a field that is named
        as its history's path segment.
        """
        handler = cls._provider(provider)
        resource = registered(model, prefix, resource_name, audit, options)
        routes = Routes()
        if audit is not None:
            check_segment(resource, audit.segment())
            record_with(audit, model)
            routes.extend(audit.routes_beside(handler, resource))
        pattern = rf"{re.escape(resource.root)}(?:/.*)?"
        routes.append(Route(pattern, handler, {"resource": resource}))
        return routes

    @classmethod
    def _provider(cls, provider: str) -> type[MongoEngineRestHandler]:
        if provider == "mongoengine":
            return cls
        module, _, name = provider.rpartition(".")
        try:
            found = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise SetupError(
                f"There is no provider {provider!r}: it is 'mongoengine', or the dotted name "
                "of a handler class."
            ) from error
        if not (isinstance(found, type) and issubclass(found, MongoEngineRestHandler)):
            raise SetupError(f"The provider {provider!r} is no MongoEngineRestHandler.")
        return found

    def initialize(self, resource: Resource) -> None:
        """Called by Tornado for each request with what `routes_for` has put into the route."""
        self.resource = resource

    @classmethod
    def describe(cls, book: Book, resource: Resource) -> dict[str, Json]:
        """The paths that the class serves for a resource, as OpenAPI path items.

        Called by `openapi_route`, with what `routes_for` has put into the route; what paths
        share goes into `book`.  A class that serves other paths than this one says so here.
        """
        return paths_of(resource, book)

    # Hooks -----------------------------------------------------------------------------

    def may(self, action: str, model: Model, pk: Any) -> Any:
        """Whether the request may do this; True unless overridden, plainly or as a coroutine.

        Asked on the event loop before anything is read or written, once for each document
        that the path names.  `action` is 'list', 'read', 'create', 'update', 'delete',
        'history', 'restore', 'rebuild' or 'feed'; `pk` is the id in the URL, typed, or None.
        False answers 403; raise `tornado.web.HTTPError` for another status.
        """
        return True

    # Verbs -----------------------------------------------------------------------------

    async def get(self, *_: str) -> None:
        """A document, an item, or a list of them."""
        target = self.target()
        if target.last.is_list:
            await self._get_list(target)
        else:
            await self._get_instance(target)

    head = get

    async def options(self, *_: str) -> None:
        """What is allowed here."""
        allowed = self.allowed()
        if allowed == ["OPTIONS"]:
            raise NotFound("There is nothing at this path.")
        self.set_status(204)
        self.set_header("Allow", ", ".join(allowed))
        if "PATCH" in allowed:
            self.set_header("Accept-Patch", ", ".join(ACCEPTED_PATCHES))

    async def post(self, *_: str) -> None:
        """Create a document or an item, or associate documents that exist."""
        target = self.target()
        self._allow("POST", target)
        self.check_arguments()
        body = self.read_body()
        if not target.nested:
            given = self._fields(body)
            await self._write(target, "create", lambda w, u: w.create(u, given))
            return
        existing = existing_ids(target.last, body.values)
        if existing is None:
            given = self._fields(body)
            await self._write(target, "create", lambda w, u: w.add(u, given))
            return
        actions = associating(target, existing.values())
        await self._write(target, "associate", lambda w, u: w.associate(u, existing), actions)

    async def put(self, *_: str) -> None:
        """Set the fields that the body names; with `replace=true` unset all others."""
        target = self.target()
        self._allow("PUT", target)
        replace = self._replace_argument()
        given = self._fields(self.read_body(), replace=replace)
        await self._write(target, "update", lambda w, u: w.change(u, given, replace=replace))

    async def patch(self, *_: str) -> None:
        """Apply a merge patch (RFC 7396) or a JSON Patch (RFC 6902)."""
        target = self.target()
        self._allow("PATCH", target)
        self.check_arguments()
        given = self._patch()
        await self._write(target, "update", lambda w, u: w.change(u, given))

    async def delete(self, *_: str) -> None:
        """Delete a document, or take an item out of its owner."""
        target = self.target()
        self._allow("DELETE", target)
        self.check_arguments()
        await self._write(target, "delete", lambda w, u: w.remove(u))

    # Reading ---------------------------------------------------------------------------

    async def _get_instance(self, target: Target) -> None:
        arguments = self.check_arguments("at")
        if "at" in arguments:
            await self.ask_may([("history", target.last.schema.model, target.last.value)])
        await self.permit(reading(target), target.arguments)
        if "at" in arguments:
            await self._get_past(target, arguments["at"])
            return
        shown, item, head, tag = await self.off_loop(self._read, target)
        if head is not None:
            self._describe_head(target, head)
        if tag is not None:
            self.set_header("Etag", etag(tag))
        if none_match(self.request.headers.get("If-None-Match"), tag) and tag is not None:
            self.set_status(304)
            return
        await announce(post_get_instance, target.document.schema.model, instance=item, handler=self)
        self.respond(shown)

    def _read(self, target: Target) -> tuple[Any, Any, Head | None, int | None]:
        """The item as shown and as loaded, the head of the document that holds it, its version."""
        if not target.nested:
            return self._read_root(target.last)
        unit = Unit(handler=self)
        place = Worker(target, self).locate(unit)
        document = place.document
        # Where the path itself does not name the document its id is known only now, so the
        # version is read after it, and a tag is given only if it still describes the state.
        head, tag = self._head_of(document.model, document.id, document.before)
        return represent(place.item), place.item, head, tag

    def _read_root(self, step: Step) -> tuple[Any, Any, Head | None, int | None]:
        found = self._look_up(step)
        if found[3] is None and recorder_of(step.schema.model) is not None:
            # Written round bzz; or by another request between the two looks, and not again now.
            found = self._look_up(step)
        return found

    def _look_up(self, step: Step) -> tuple[Any, Any, Head | None, int | None]:
        model = step.schema.model
        recorder = recorder_of(model)
        query = instance_query(model, step.value, self)
        head, pk = None, None
        if recorder is not None:
            recorder.prepare()
            pk = document_key(step.schema, step.value)
        if recorder is None or pk is None:
            state = Source.of(model).find_one(None, query)
        else:
            # The event before the document: the tag may be too old, never too new.
            head, state = recorder.look(model, pk, query)
        if state is None:
            error = missing(None, step, self)
            # As in history_key: what is not gone may have come back meanwhile.
            state = None if isinstance(error, Gone) else Source.of(model).find_one(None, query)
            if state is None:
                raise error
        document = instantiate(model, state)
        tag = None
        if recorder is not None:
            tag = 0 if head is None else head.version
            if head is not None and not recorder.matches(head, model, state):
                tag = None
        return represent(document), document, head, tag

    def _head_of(
        self, model: Model, document_id: Any, state: Any
    ) -> tuple[Head | None, int | None]:
        recorder = recorder_of(model)
        if recorder is None:
            return None, None
        recorder.prepare()
        head = recorder.heads(None, model, [document_id])[0]
        if head is None:
            return None, 0
        return head, head.version if recorder.matches(head, model, state) else None

    async def _get_past(self, target: Target, at: str) -> None:
        recorder = recorder_of(target.last.schema.model)
        if recorder is None or target.nested:
            raise BadRequest("There is no 'at' here: this resource has no history.")
        model = target.last.schema.model

        def read() -> tuple[Any, Any]:
            past = self.read_past(target.last, at)
            return past, show_state(model, past.state)

        past, shown = await self.off_loop(read)
        self.set_header("Memento-Datetime", format_timestamp(past.time))
        self.respond(shown)

    def read_past(self, step: Step, at: str) -> Any:
        """A past state of the document that a step names, if the request may see it."""
        model = step.schema.model
        recorder = recorder_of(model)
        if recorder is None:
            raise NotFound("This resource has no history.")
        recorder.prepare()
        pk = self.history_key(step)
        return recorder.past(model, pk, at)

    def history_key(self, step: Step) -> Any:
        """The key of the stream that a step names, live or deleted, if the request may see it.

        Raises `NotFound` otherwise.
        """
        model = step.schema.model
        query = past_query(model, step.value, self)
        for _ in range(2):  # it may come back between the look at it and that at its history
            state = Source.of(model).find_one(None, query)
            if state is not None:
                return state["_id"]
            if deleted_head(None, step, self) is not None:
                return document_key(step.schema, step.value)
        raise missing(None, step, self)

    def _describe_head(self, target: Target, head: Head) -> None:
        self.set_header("Last-Modified", format_timestamp(head.time))
        if not target.nested and target.last.id is not None and self.resource.recorder is not None:
            path = self.resource.path(target.last.id, self.resource.recorder.segment())
            self.set_header("Link", f'<{path}>; rel="version-history"')

    async def _get_list(self, target: Target) -> None:
        step = target.last
        query = parse_list_query(step.schema, self.query_arguments())
        await self.permit(reading(target), target.arguments)
        page, shown = await self.off_loop(self._read_list, target, query)
        await announce(
            post_get_list, target.document.schema.model, items=list(page.documents), handler=self
        )
        where: Links = links(_plain_path(self.request.path), self.query_arguments(), page)
        if where.header:
            self.set_header("Link", where.header)
        self.respond({"items": shown, "next": where.next})

    def _read_list(self, target: Target, query: ListQuery) -> tuple[Page, list[Any]]:
        step = target.last
        if not target.nested:
            page = run_list(list_queryset(step.schema.model, self), query)
        else:
            page = Worker(target, self).page(Unit(handler=self), query)
        shown = [represent(document) for document in page.documents]
        if query.fields is not None:
            shown = [project(each, query.fields) for each in shown]
        return page, shown

    # Writing ---------------------------------------------------------------------------

    async def _write(
        self,
        target: Target,
        verb: str,
        job: Callable[[Worker, Unit], Outcome],
        actions: Sequence[Action] | None = None,
    ) -> None:
        header = self.request.headers.get("If-Match")
        creates = verb == "create" and not target.nested
        # What is created has no version to check, so what cannot be read is told here.
        precondition = parse_if_match(header) if creates else read_if_match(header)
        if self.resource.require_precondition and not creates:
            require(precondition)
        await self.permit(actions or writing(target, verb), target.arguments)
        worker = Worker(target, self, precondition)
        done = await self.run_write(target, lambda unit: job(worker, unit))
        await self.announce_writes(done.unit)
        self._answer_write(target, done)

    async def run_write(self, target: Target, work: Work, *, reason: str | None = None) -> Written:
        """Run `work` as one unit of work, off the loop, within the resource's deadline."""
        contexts = await self._contexts(reason)
        deadline = Deadline(self.resource.deadline)
        models = frozenset(step.schema.model for step in target.steps if not step.embedded)
        client = connection.client_of(target.steps[0].schema.model)
        if _needs_transaction(client, models) and connection.has_transactions(client):
            job = Job(
                work=work,
                finish=written,
                models=models,
                first=target.first,
                contexts=contexts,
                handler=self,
                deadline=deadline,
                size=len(self.request.body),
            )
            done: Written = await lane_of(client)(job)
            return done
        # The thread keeps the deadline itself; the margin lets its own answer come first.
        return await self.off_loop(
            self._run_plainly, models, work, contexts, deadline, deadline=deadline.seconds + 1
        )

    async def _contexts(self, reason: str | None) -> Mapping[Recorder, object]:
        """Who writes and why: one answer of the resource's recorder, whose models ever change."""
        own = self.resource.recorder
        if own is not None:
            return dict.fromkeys(recorders(), await own.describe(self, reason))
        return {each: await each.describe(self, reason) for each in recorders()}

    def _run_plainly(
        self,
        models: frozenset[Model],
        work: Work,
        contexts: Mapping[Recorder, object],
        deadline: Deadline,
    ) -> Written:
        for recorder in recorders():
            recorder.prepare()
        outcome, unit = run_unit(
            work,
            client=None,
            transactional=False,
            contexts=contexts,
            handler=self,
            deadline=deadline,
        )
        # Nobody may have asked yet what was stored, and the answer says just that.
        unit.reread()
        return written(unit, outcome)

    async def announce_writes(self, unit: Unit) -> None:
        """Send the `post_` signals of a committed unit's operations."""
        for kind, write in unit.operations:
            signal = SIGNAL_OF[kind]
            if write.changed and signal.has_receivers_for(write.model):
                await announce(signal, write.model, **signal_arguments(kind, write))

    def _answer_write(self, target: Target, done: Written) -> None:
        outcome = done.outcome
        if done.version is not None and outcome.document.after is not None:
            self.set_header("Etag", etag(done.version))
        if outcome.item is None:
            self.set_status(204)
            return
        if outcome.created:
            self._locate(target, outcome)
            self.set_status(201)
        self.respond(done.shown)

    def _locate(self, target: Target, outcome: Outcome) -> None:
        schema = schema_of(type(outcome.item))
        segments = [part for step in target.steps for part in (step.name, step.id) if part]
        created = None if schema.id_field is None else outcome.item[schema.id_field]
        if created is not None:
            text = schema.format_id(created)
            self.set_header("X-Created-Id", quote(text, safe=""))
            if target.last.is_list:
                segments.append(text)
        self.set_header("Location", self.resource.path(*segments[1:]))

    # What handlers share ---------------------------------------------------------------

    def target(self) -> Target:
        """What the request's path names.  Raises `NotFound`."""
        segments = segments_of(self.request.path[len(self.resource.root) :].removeprefix("/"))
        return parse_target(self.resource.schema, self.resource.name, segments)

    def allowed(self) -> list[str]:
        """The methods that the request's path allows."""
        try:
            step = self.target().last
        except NotFound:
            return ["OPTIONS"]
        if step.is_list:
            return ["GET", "HEAD", "OPTIONS", "POST"]
        verbs = ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"]
        if step.relation is not None and step.id is None:
            verbs.append("POST")
        return verbs

    def _allow(self, method: str, target: Target) -> None:
        if method not in self.allowed():
            raise tornado.web.HTTPError(405)

    async def permit(self, actions: Sequence[Action], arguments: list[str]) -> None:
        """Ask `may`, then the `pre_` receivers, about everything that is about to be done."""
        await self.ask_may(actions)
        for action, model, _ in actions:
            signal = _PRE_SIGNAL.get(action, pre_get_instance)
            await ask(signal, model, arguments=arguments, handler=self)

    async def ask_may(self, actions: Sequence[Action]) -> None:
        """Ask `may` about each action.  Raises `HTTPError` 403 where it says no."""
        for action, model, pk in actions:
            recorder = recorder_of(model)
            if recorder is not None:
                recorder.serve()
            allowed = self.may(action, model, pk)
            if inspect.isawaitable(allowed):
                allowed = await allowed
            if not allowed:
                raise tornado.web.HTTPError(403)

    async def off_loop(
        self, function: Callable[..., T], *args: Any, deadline: float | None = None
    ) -> T:
        """Run a blocking function in the pool of threads, in a copy of the request's context."""
        return await shared_offload()(function, *args, deadline=deadline)

    def query_arguments(self) -> list[tuple[str, str]]:
        """The decoded arguments of the query string, in order, values as they were sent."""
        return query_pairs(self.request.query)

    def check_arguments(self, *known: str) -> dict[str, str]:
        """The arguments of the query string.  Raises `BadRequest` for unknown and doubled ones."""
        found: dict[str, str] = {}
        for name, value in self.query_arguments():
            if name not in known:
                expected = f"it knows {', '.join(known)}" if known else "it knows none"
                raise BadRequest(f"The query parameter {name!r} is unknown here; {expected}.")
            if name in found:
                raise BadRequest(f"The query parameter {name!r} is there twice.")
            found[name] = value
        return found

    def read_body(self) -> Body:
        """The request's body.  Raises `TooLarge`, `BadRequest`, `UnsupportedMedia`."""
        return self._read_body(READ)

    def _read_body(self, accepted: tuple[str, ...]) -> Body:
        size, headers = len(self.request.body), self.request.headers
        if size > self.resource.max_body:
            raise TooLarge(f"The body has {size} bytes; at most {self.resource.max_body} are read.")
        # Where Tornado is told to decode bodies, it takes the header away.
        coding = headers.get("Content-Encoding", "identity").strip().lower()
        if size and coding != "identity":
            raise UnsupportedMedia(
                f"A body in the coding {coding[:40]!r} is not read here; send it as it is.",
                accepted=accepted,
            )
        return read_body(headers.get("Content-Type"), self.request.body, accepted=accepted)

    def _fields(self, body: Body, *, replace: bool = False) -> Input:
        if not isinstance(body.values, dict):
            raise InvalidInput([FieldError("", "The body is an object with a member per field.")])
        return fields_input(body.values, inner=body.paths, text=body.form, replace=replace)

    def _patch(self) -> Input:
        body = self._read_body(ACCEPTED_PATCHES)
        if body.media_type == JSON_PATCH:
            return patch_input(body.values)
        return merge_input(body.values)

    def _replace_argument(self) -> bool:
        value = self.check_arguments("replace").get("replace", "false")
        if value not in ("true", "false"):
            raise BadRequest(f"'replace' is true or false, not {value!r}.")
        return value == "true"

    # Answers ---------------------------------------------------------------------------

    def respond(self, value: Any, *, content_type: str = "application/json") -> None:
        """Write a JSON-ready value as the answer."""
        self.set_header("Content-Type", content_type)
        self.write(dumps(value))

    def compute_etag(self) -> str | None:
        """None: a tag is a version, never a digest of the body."""
        return None

    def problem(self, error: BaseException) -> Problem:
        """The problem as which an error is answered."""
        return problem_for(error, names=self.resource.schema.names)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer an error as `application/problem+json` (RFC 9457)."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        problem = self.problem(error or tornado.web.HTTPError(status_code))
        for name, value in problem.headers.items():
            self.set_header(name, value)
        if problem.status == 405:
            self.set_header("Allow", ", ".join(self.allowed()))
        if isinstance(error, UnsupportedMedia) and self.request.method == "PATCH":
            self.set_header("Accept-Patch", ", ".join(ACCEPTED_PATCHES))
        if isinstance(error, Gone):
            self._point_to_history()
        self.set_header("Content-Type", PROBLEM_JSON)
        self.finish(problem.to_json())

    def _point_to_history(self) -> None:
        recorder = self.resource.recorder
        segments = segments_of(self.request.path[len(self.resource.root) :].removeprefix("/"))
        if recorder is not None and segments:
            path = self.resource.path(segments[0], recorder.segment())
            self.set_header("Link", f'<{path}>; rel="version-history"')

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """What is the client's doing, or the database's, is one line; a stack is for our own."""
        if isinstance(value, tornado.web.HTTPError):
            super().log_exception(typ, value, tb)
            return
        status = self.problem(value).status if value is not None else 500
        if status < 500:
            # Not its message, which may name values that must not be in a log.
            _log.info("%d %s: %s", status, self._request_summary(), type(value).__name__)
        elif status == 503:
            _log.warning("%d %s: %s%s", status, self._request_summary(), value, _cause(value))
        else:
            super().log_exception(typ, value, tb)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """As Tornado's, with the status that the error itself has."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if error is not None:
            status_code = self.problem(error).status
        super().send_error(status_code, **kwargs)


def _needs_transaction(client: Any, models: Iterable[Model]) -> bool:
    """Whether a write of these models must be one with what is recorded of it, or of others."""
    kinds = [kind for model in models for kind in family(model)]
    return any(map(_is_one_with_others, kinds)) or (
        # What nobody records may reach what is recorded: by its save(), or by a delete rule.
        any(has_own_code(each) or each._meta.get("delete_rules") for each in kinds)
        and bool(connection.recorders_on(client))
    )


def _is_one_with_others(model: Model) -> bool:
    return (
        recorder_of(model) is not None
        or before_commit.has_receivers_for(model)
        or any(signal.has_atomic_receivers_for(model) for signal in SIGNAL_OF.values())
    )


def query_pairs(query: str) -> list[tuple[str, str]]:
    """The pairs of a query string.  Raises `BadRequest` for what is not UTF-8.

    Percent-encoded or plain: Tornado reads the latter as Latin-1.
    """
    try:
        text = query.encode("latin-1").decode()
        return parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise BadRequest("The query string is not percent-encoded UTF-8.") from error


def _cause(error: BaseException) -> str:
    """What the driver said of a lost connection, hosts and all; for the log alone."""
    cause, notes = error.__cause__, getattr(error, "__notes__", ())
    told = [str(cause)] if isinstance(cause, ConnectionFailure) else notes
    return f" ({'; '.join(told)})" if told else ""


def _plain_path(path: str) -> str:
    """A path as it was sent, where that was not percent-encoded."""
    return path.encode("latin-1").decode("utf-8")
