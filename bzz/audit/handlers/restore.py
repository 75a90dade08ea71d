"""Edge: `POST …/history/<v>/restore/` and `…/undo/`: back to a state, or one event taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from bzz.actions import reading
from bzz.audit.context import checked_reason
from bzz.audit.diff import pointer
from bzz.audit.errors import ContextError
from bzz.audit.handlers.base import HistoryHandler, answered
from bzz.audit.handlers.describing import ordered
from bzz.audit.planning import Plan, Planner, plan_restore, plan_undo
from bzz.audit.restoring import carry_out
from bzz.audit.views import show_changes
from bzz.documents import instantiate
from bzz.errors import FieldError, InvalidInput
from bzz.openapi.book import Book, Json
from bzz.openapi.places import Place
from bzz.preconditions import Precondition, etag, read_if_match, require
from bzz.resource import Resource
from bzz.signals import ask, pre_create_instance, pre_get_instance, pre_update_instance
from bzz.source import Source
from bzz.targets import Step, Target
from bzz.unit import Unit
from bzz.work import Outcome, Worker, Written, current_version


class RestoreHandler(HistoryHandler):
    """Makes a version the newest one."""

    below = "/([1-9][0-9]{0,8})/restore"
    template = "{version}/restore/"
    methods = ("POST",)
    what: ClassVar[str] = "A restore"
    """The order, as messages name it."""

    def planner(self) -> Planner:
        """What finds out what the order comes to."""
        return plan_restore

    @classmethod
    def operations(cls, book: Book, resource: Resource, place: Place) -> dict[str, Json]:
        """The restore, for OpenAPI."""
        what = f"Make a version of a {place.schema.model.__name__} the newest one"
        return {"post": ordered(book, resource, place, "restore", what)}

    async def post(self, *_: str) -> None:
        """Do it, or with `dry_run` say what it would change."""
        target = self.target()
        self.check_arguments()
        order = Order.read(self.read_body().nested(), self.what)
        precondition = read_if_match(self.request.headers.get("If-Match"))
        if self.resource.require_precondition and not order.dry_run:
            require(precondition)
        came = await self.carry_out(target, order, precondition)
        done = came.done
        if order.dry_run:
            self.respond({"changes": came.changes})
            return
        if done.version is not None:
            self.set_header("Etag", etag(done.version))
        if done.outcome.created and done.outcome.document.event is not None:
            self.set_status(201)
            self.set_header("Location", self.history_url(str(done.version)))
        self.respond(done.shown)

    async def carry_out(
        self, target: Target, order: Order, precondition: Precondition | None
    ) -> Ordered:
        """Do what is ordered of the version in the path, if the request may, and tell receivers.

        Raises what is answered instead.
        """
        version, model = int(self.part(2)), target.last.schema.model
        way = reading(target)[:-1]
        await self.ask_may([*way, ("restore", model, target.last.value)])
        for action in way:
            await ask(pre_get_instance, action[1], arguments=target.arguments, handler=self)
        step, key, live = await self.off_loop(self._key, target)
        signal = pre_get_instance
        if not order.dry_run:
            signal = pre_update_instance if live else pre_create_instance
        await ask(signal, model, arguments=target.arguments, handler=self)
        worker = Worker(Target((step,)), self, precondition)
        plans: list[tuple[Plan, int | None]] = []

        def job(unit: Unit) -> Outcome:
            plan, seen = self._plan(unit, worker, step, key, version, order)
            plans[:] = [(plan, seen)]
            if order.dry_run:
                self.foreseen(plan)
            if order.dry_run or plan.is_so:
                return _unchanged(unit, plan, key, shown=not order.dry_run)
            write = carry_out(unit, plan)
            return Outcome(write.instance, write, created=True)

        done = await self.run_write(worker.target, job, reason=order.reason)
        if not order.dry_run:
            await self.announce_writes(done.unit)
        [(plan, seen)] = plans
        return Ordered(show_changes(plan.changes, step.schema), seen, done)

    def foreseen(self, plan: Plan) -> None:
        """Called with the plan of a dry run, in its unit of work; writes and raises nothing."""

    def _key(self, target: Target) -> tuple[Step, Any, bool]:
        """The document by itself, the key of its stream, and whether it is there."""
        self.auditor.prepare()
        step = self.named(target)
        key = self.history_key(step)
        return step, key, Source.of(step.schema.model).find_one(None, {"_id": key}) is not None

    def _plan(
        self, unit: Unit, worker: Worker, step: Step, key: Any, version: int, order: Order
    ) -> tuple[Plan, int | None]:
        """The plan, and the version that the document has as it is made."""
        model = step.schema.model
        history = self.auditor._history(model, key)
        with answered():
            plan = self.planner()(unit, history, model, version, order.fields)
        if worker.precondition is None and not order.dry_run:
            return plan, None
        current = _version_now(unit, plan, model, key)
        if worker.precondition is not None:
            worker.precondition.check(current, what=f"{model.__name__} {key}")
        return plan, current


class UndoHandler(RestoreHandler):
    """Takes one event back, and leaves what came later: a restore but for its plan."""

    below = "/([1-9][0-9]{0,8})/undo"
    template = "{version}/undo/"
    what = "An undo"

    @classmethod
    def operations(cls, book: Book, resource: Resource, place: Place) -> dict[str, Json]:
        """The undo, for OpenAPI."""
        what = f"Take one event of a {place.schema.model.__name__} back"
        return {"post": ordered(book, resource, place, "undo", what, "overtaken")}

    def planner(self) -> Planner:
        """As for a restore."""
        return plan_undo


@dataclass(frozen=True, slots=True)
class Order:
    """What the body of a restore or an undo asks for."""

    reason: str | None = None
    fields: list[str] | None = None
    dry_run: bool = False

    @classmethod
    def read(cls, values: Any, what: str) -> Order:
        """The order in a body; `what` it is, as messages name it.  Raises `InvalidInput`."""
        if not isinstance(values, dict):
            raise InvalidInput([FieldError("", f"{what} has an object for its body.")])
        errors = [
            FieldError(pointer([name]), f"{what} knows reason, fields and dry_run, not {name!r}.")
            for name in values
            if name not in ("reason", "fields", "dry_run")
        ]
        reason, fields, dry_run = (values.get(name) for name in ("reason", "fields", "dry_run"))
        if reason is not None and not isinstance(reason, str):
            errors.append(FieldError("/reason", "The reason is a text."))
        if isinstance(fields, str):
            fields = [fields]
        if fields is not None and not (
            isinstance(fields, list) and fields and all(isinstance(each, str) for each in fields)
        ):
            errors.append(FieldError("/fields", "The fields are a list of names or JSON Pointers."))
        if not (dry_run is None or isinstance(dry_run, bool) or dry_run in ("true", "false")):
            errors.append(FieldError("/dry_run", "dry_run is true or false."))
        if errors:
            raise InvalidInput(errors)
        try:
            kept = None if reason is None else checked_reason(reason)
        except ContextError as error:
            raise InvalidInput([FieldError("/reason", str(error))]) from error
        return cls(kept, fields, dry_run in (True, "true"))


@dataclass(frozen=True, slots=True)
class Ordered:
    """What came of an order.

    `changes` as the API shows them; `seen` the version for which a dry run foresaw them, None
    where the document has none; `done` the unit of work.
    """

    changes: list[dict[str, Any]]
    seen: int | None
    done: Written


def _version_now(unit: Unit, plan: Plan, model: Any, key: Any) -> int | None:
    if plan.current is not None:
        return current_version(unit, plan.current)
    head = unit.head(model, key)
    # Deleted round bzz it has no version yet.
    return head.version if head is not None and head.deleted else None


def _unchanged(unit: Unit, plan: Plan, key: Any, *, shown: bool) -> Outcome:
    write = plan.current or unit.touched(Source.of(plan.model), key, None)
    if shown:
        write.instance = instantiate(plan.model, write.before)
    return Outcome(write.instance if shown else None, write)
