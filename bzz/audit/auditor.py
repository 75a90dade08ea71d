"""The Auditor: the one place where the parts of the audit are put together."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from pymongo.errors import PyMongoError

from bzz import connection
from bzz.audit.adopting import BATCH as ADOPTED_AT_ONCE
from bzz.audit.adopting import Adoption, adopt_all
from bzz.audit.audience import Audience, Live
from bzz.audit.bulk import delete_all, insert_all, update_all
from bzz.audit.context import (
    CONTEXT_HEADERS,
    actor_from,
    checked_correlation,
    checked_reason,
    correlation_from,
    path_text,
    reason_from,
)
from bzz.audit.delivering import Books
from bzz.audit.errors import (
    ContextError,
    EventNotStored,
    ReplayError,
    StreamGap,
    UnknownSubscription,
)
from bzz.audit.events import SYSTEM, Context, Request
from bzz.audit.feed import Feed
from bzz.audit.handlers.routing import path_across, routes_across, routes_for_history
from bzz.audit.history import History
from bzz.audit.hub import Hub, Window
from bzz.audit.rebuilding import rebuild_all
from bzz.audit.recorder import Clock, WriteRecorder, is_state_of, utc_now
from bzz.audit.restoration import Restoration
from bzz.audit.running import Worker
from bzz.audit.scope import refuse_within_write
from bzz.audit.seals import SealStore
from bzz.audit.selection import chosen
from bzz.audit.sequencer import Sequencer
from bzz.audit.sequencing import Sequencing
from bzz.audit.snapshots import SnapshotStore
from bzz.audit.store import COLLECTION, HistoryStore
from bzz.audit.subscribing import (
    DEADLINE as CONSUMER_DEADLINE,
)
from bzz.audit.subscribing import (
    FIRST,
    RETRIES,
    Consumer,
    Declaration,
    Options,
    Start,
    declared,
)
from bzz.audit.subscription import Status, Subscription
from bzz.audit.tracking import Tracked, by_stream, tracked
from bzz.audit.upcasting import Upcaster
from bzz.audit.verifying import Counts, Reports, verify_all
from bzz.audit.watching import Watch
from bzz.capture import watch
from bzz.errors import BadRequest, Conflict, SetupError, Unavailable
from bzz.recording import Head, Model, Past, Recorder, State, family, record_with, recorders
from bzz.resource import Resource
from bzz.routes import Routes
from bzz.settling import SIGNAL_OF, settled, signal_arguments
from bzz.signals import announce, before_commit
from bzz.source import Source, id_key
from bzz.transactions import DEADLINE, Deadline, is_transient, said, transaction
from bzz.transactions import run as run_unit
from bzz.unit import Batch, Unit, Write, current_unit
from bzz.values import Hidden

T = TypeVar("T")

ActorHook = Callable[[Any], Any]


class Auditor:
    """Turns the writes of its models into events, and answers for their history.

    Args:
        actor: called with the handler of a request, on the event loop, after the request was
            authenticated; says who writes: a string (an id of kind 'user'), a `(kind, id)` pair,
            or None (anonymous).  May be a coroutine function.  Without it requests are
            anonymous.
        segment: the path segment of history routes, for models with a field of that name.
        deadline: seconds within which a write in code is done, 10 by default.
        clock: tells the time of events, UTC; for tests.
        work: whether threads of this process give events their positions, soon after their
            commit, and run the subscriptions once it serves requests; without it another
            process has to: `python -m bzz worker`, or `worker()`.
        live: how live streams are served; see `Live`.

    Raises `SetupError` for a segment that no path can have.
    """

    def __init__(
        self,
        actor: ActorHook | None = None,
        *,
        segment: str = "history",
        deadline: float = DEADLINE,
        clock: Clock = utc_now,
        work: bool = True,
        live: Live = Live(),  # noqa: B008 - it is frozen
    ) -> None:
        self._actor = actor
        self._segment = _checked_segment(segment)
        self._deadline = deadline
        self._clock = clock
        self._work = work
        self._live = live
        self._tracked: dict[Model, Tracked] = {}
        self._served: list[tuple[type[Any], Resource]] = []
        self._listening: set[Model] = set()
        self._activity: str | None = None
        self._client: Any = None
        self._preparing = threading.RLock()
        self._store: HistoryStore | None = None
        self._snapshots: SnapshotStore | None = None
        self._recorder: WriteRecorder | None = None
        self._seals: SealStore | None = None
        self._sequencing: Sequencing | None = None
        self._watch: Watch | None = None
        self._hub: Hub | None = None
        self._audience: Audience | None = None
        self._books: Books | None = None
        self._declarations: dict[str, Declaration] = {}
        self._worker: Worker | None = None

    # Registration ----------------------------------------------------------------------

    def track(
        self,
        model: Model,
        *,
        stream: str | None = None,
        exclude: Iterable[str] = (),
        mask: Iterable[str] = (),
        schema: int = 1,
    ) -> None:
        """Record every write of `model` from now on, or set its options.

        Args:
            model: a MongoEngine Document class.
            stream: the name of its streams, by default its collection's; give one so that
                history survives a rename.
            exclude: fields (dotted into embedded ones) whose values are never stored, nor that
                they changed.
            mask: fields of which events tell that they changed, never their values.
            schema: the version of the model's schema, written into its events.

        Raises `SetupError` for unknown fields, the id, a model of another auditor, and the stream
        of another model.
        """
        present = self._tracked.get(model)
        made = tracked(
            model,
            stream=stream,
            name=None if present is None else present.name,
            exclude=exclude,
            mask=mask,
            schema=schema,
            upcasts=None if present is None else present.upcasts,
        )
        for other, present in self._tracked.items():
            if present.stream == made.stream and not _share_a_collection(model, other):
                raise SetupError(
                    f"{model.__name__} cannot have the stream {made.stream!r}, which is that of "
                    f"{other.__name__}; give it another with track(…, stream='…')."
                )
        record_with(self, model)
        self._tracked[model] = made
        watch(model)

    def upcast(self, model: Model, *, from_schema: int) -> Callable[[Upcaster], Upcaster]:
        """A decorator: the function brings states of one schema version to the next, on reading.

        It gets the state of a document as it was stored (a dict by stored names, its own copy)
        and returns it as the next version of the model would store it.  Events never change.
        Today's version is that of `track(model, schema=…)`; a version without a function is
        as the next one.

        Args:
            model: a tracked class.
            from_schema: the version of the states that the function takes, from 1.

        Raises `SetupError` for a model that is not tracked, a version that is not older than
        today's, and a second function for one version.
        """
        tracked = self.tracked_as(model)
        if not 1 <= from_schema < tracked.schema:
            raise SetupError(
                f"{model.__name__} has the schema {tracked.schema}, and an upcaster is for an "
                f"older one, not for {from_schema}: track(…, schema=…) says which is today's."
            )

        def register(function: Upcaster) -> Upcaster:
            if not tracked.upcasts.add(from_schema, function):
                raise SetupError(
                    f"{model.__name__} has an upcaster from schema {from_schema} already."
                )
            return function

        return register

    def subscribe(
        self,
        name: str,
        *,
        model: Model | Iterable[Model] | None = None,
        operations: Iterable[str] = (),
        fields: Iterable[str] = (),
        start: Start = FIRST,
        deadline: float = CONSUMER_DEADLINE,
        retries: int = RETRIES,
        batch: int = 1,
        replayable: bool = True,
    ) -> Callable[[Consumer], Consumer]:
        """A decorator: the function, plain or a coroutine function, gets `(event, ctx)`.

        It gets each matching event at least once, in the order of positions, wherever it runs;
        what it writes through `ctx.collection(…)` is stored exactly once.

        Args:
            name: of the subscription, under which it remembers how far it is; for good.
            model: the class whose events are wanted, with those that inherit from it, or
                several; None for all tracked ones.
            operations: names of operations: 'created', 'updated' …; none for all.
            fields: only events that changed one of these (names or JSON Pointers), or what is
                below or above it; none for all.
            start: where it begins, for the first time: 'first', 'latest', a position (its first
                event), or a time (about the first event that is not older).
            deadline: seconds that the function has for an event.
            retries: how often an event at which it failed is tried again, after 1, 2, 4 … 60
                seconds, before it is parked.  Later events of its stream wait for it.  One at
                which it hung beyond the deadline is tried once more.
            batch: how many events may share a transaction.
            replayable: whether the function may be run over the history again.

        Raises `SetupError` for a name that is taken, and what cannot be meant.  That the models
        are not tracked, or have no such fields, is told by `prepare()` where that comes later.
        """
        options = Options(deadline=deadline, retries=retries, batch=batch, replayable=replayable)

        def register(consumer: Consumer) -> Consumer:
            if name in self._declarations:
                raise SetupError(
                    f"There is a subscription {name!r} already; give this one another name."
                )
            made = declared(
                name,
                consumer,
                model=model,
                operations=operations,
                fields=fields,
                start=start,
                options=options,
            )
            if self._client is not None:
                self._check(made)
            self._declarations[name] = made
            if self._worker is not None:
                self._worker.add(self, made)
            return consumer

        return register

    def tracked_as(self, model: Model) -> Tracked:
        """How a model (or a class that it inherits from) is recorded.  Raises `SetupError`."""
        for ancestor in model.__mro__:
            if ancestor in self._tracked:
                return self._tracked[ancestor]
        raise SetupError(
            f"{model.__name__} is not audited: pass audit= to routes_for, or track() it."
        )

    def tracked_of(self, model: Model, state: State | None) -> Tracked:
        """How the document of a state is recorded: as its own class, `model` or one below it.

        Raises `SetupError`.
        """
        if state is None or not model._meta.get("allow_inheritance"):
            return self.tracked_as(model)
        own = Source.of(model).class_of(state)
        return self.tracked_as(own if issubclass(own, model) else model)

    def is_of_many(self, model: Model) -> bool:
        """Whether classes that inherit from a model are recorded in ways of their own."""
        own = self.tracked_as(model)
        return any(self.tracked_as(each) is not own for each in family(model))

    def routes(self, prefix: str = "", handler: type[Any] | None = None) -> Routes:
        """The routes across models: `/history/`, and `restore/` and `replay/` below it.

        Call it after `routes_for` of the models: it serves those that have routes by then.

        Args:
            prefix: goes in front of each path: '/api'.
            handler: the class that serves them, by default that on which the models' routes
                were made.

        Raises `SetupError` when no model has routes, and when their classes differ and none is
        named.
        """
        classes = {each for each, _ in self._served}
        if not classes:
            raise SetupError("No model has routes yet: call routes_for(…, audit=…) first.")
        if handler is None and len(classes) > 1:
            names = ", ".join(sorted(each.__name__ for each in classes))
            raise SetupError(
                f"The models are served by {names}; say which of them serves what is about all "
                "models: auditor.routes(handler=…)."
            )
        routes = routes_across(self, handler or classes.pop(), prefix)
        self._activity = self._activity or f"{path_across(self, prefix)}/"
        return routes

    @property
    def activity(self) -> str | None:
        """The path of the events of all models, the first there is; None where it is not served."""
        return self._activity

    # In code ---------------------------------------------------------------------------

    def write(
        self,
        function: Callable[[], T],
        *,
        actor: Any = SYSTEM,
        reason: str | None = None,
        correlation: str | None = None,
    ) -> T:
        """Run `function` in one transaction and return its value; its writes are recorded.

        It is run again when the database asks for it, so it loads what it changes and has no
        effects outside the database.  Runs in the calling thread; from a coroutine:
        `await asyncio.to_thread(auditor.write, function)`.

        Raises `TypeError` for a coroutine function, which nothing here awaits; what `function`
        raises (nothing is stored then); `Unavailable` when the database
        cannot decide within the deadline, `Undecided` when the outcome is not known.
        """
        if current_unit() is not None:
            return _plainly(function)  # within another write: the same transaction, the same actor
        self.prepare()
        value, unit = run_unit(
            lambda _: _plainly(function),
            client=self._client,
            transactional=connection.has_transactions(self._client),
            contexts=self._contexts(actor, reason, correlation),
            deadline=Deadline(self._deadline),
            announce_all=True,
        )
        _announce_here(unit)
        return value

    @contextmanager
    def recording(
        self, *, actor: Any = SYSTEM, reason: str | None = None, correlation: str | None = None
    ) -> Iterator[None]:
        """As `write`, for a block that may not be repeated.

        Raises `RuntimeError` in a coroutine, whose `await` would carry the transaction into
        other tasks; `Conflict` when another writer was faster: nothing is stored then.
        """
        _refuse_on_loop()
        if current_unit() is not None:
            yield
            return
        self.prepare()
        contexts, earlier = self._contexts(actor, reason, correlation), sys.exception()
        if not connection.has_transactions(self._client):
            unit = Unit(contexts=contexts, announce_all=True)
            with settled(unit):
                yield
        else:
            with self._client.start_session() as session:
                unit = Unit(Batch(session), contexts=contexts, announce_all=True)
                try:
                    with transaction(unit, Deadline(self._deadline)):
                        yield
                except Exception as error:
                    if not is_transient(error, earlier):
                        raise
                    raise Conflict(
                        "Another writer changed the same documents first; nothing was stored. "
                        "Repeat the block, or use auditor.write, which repeats it by itself."
                    ) from error
        _announce_here(unit)

    def history(self, model: Model, pk: Any) -> History:
        """The history of one document, by its primary key."""
        tracked = self.tracked_as(model)
        self.prepare()
        document_id = model._fields[model._meta["id_field"]].to_mongo(pk)
        return History(self, tracked, _exactly(model, document_id))

    def verify(
        self,
        model: Model | None = None,
        *,
        after: str | None = None,
        progress: Callable[[Counts], object] | None = None,
    ) -> Reports:
        """Prove the histories of a model, or of all tracked ones: a report on each document.

        Versions are gapless, events are as they were stored, and documents are what their
        histories say; documents that have no history yet are reported at the end, as such and not
        as wrong.  What has a position is as it was sealed; of a run over all models a last report
        (`of_log`) tells of positions without events and of broken seals, if there are any.
        Reads as the reports are asked for, in bounded memory; writers may go on.

        Args:
            model: the class, with those that inherit from it; None for all tracked ones.
            after: the token of a report, to go on after it.
            progress: called with the counts now and then, and at the end.

        `auditor.verify(User).run()` goes through all of them and returns the counts.  Raises
        `BadRequest` for a token of another run, `BzzError` within a write.
        """
        return verify_all(self, model, after=after, progress=progress)

    def rebuild(
        self,
        model: Model | None = None,
        into: str | None = None,
        *,
        after: str | None = None,
        progress: Callable[[Counts], object] | None = None,
    ) -> Reports:
        """Make documents what their histories say, as the reports are asked for.

        Those of a model, or of all tracked ones: in place, each in a transaction, without events
        and signals; hidden values stay as they are, and what has a broken history or none is left
        alone and reported.  Or those of a model `into` another collection of the same database,
        which has to be empty: there it stores the documents as they were in the database, without
        what is hidden.

        Arguments and errors as `verify`; `TargetNotEmpty` for a collection that has documents
        (with `after` it may), `SetupError` for one that is not there for this.
        """
        return rebuild_all(self, model, into, after=after, progress=progress)

    def adopt(
        self,
        model: Model,
        *,
        after: str | None = None,
        progress: Callable[[Adoption], object] | None = None,
        batch: int = ADOPTED_AT_ONCE,
    ) -> Adoption:
        """Give the documents of a model that have no history yet their baseline.

        In transactions of `batch` documents.  May be run again, and while the application
        writes: what has a history by then is passed over.  `progress` is called after each
        batch with what has been done so far; the `token` of that goes on after it.  Raises as
        `write` does; what has been adopted before stays so.
        """
        return adopt_all(self, model, after=after, progress=progress, batch=batch)

    def update(
        self,
        queryset: Any,
        *,
        actor: Any = SYSTEM,
        reason: str | None = None,
        correlation: str | None = None,
        **changes: Any,
    ) -> int:
        """Update the documents of a queryset, each with an event; the number of documents.

        `changes` are those of MongoEngine's `queryset.update`, with `upsert`, `multi` and
        `array_filters`.  In transactions of 100 documents with one correlation id; within
        `write` in that one.  A document that has ceased to match by its turn is left alone.

        `actor`, `reason` and `correlation` are those of the events; a field of such a name is
        set with `set__reason=…`.  Raises `TypeError` where the model has it and the name alone
        is given; what MongoEngine and `write` raise; `BulkFailed` when others were done before.
        """
        context = {"actor": actor, "reason": reason, "correlation": correlation}
        return update_all(self, queryset, changes, context)

    def delete(
        self,
        queryset: Any,
        *,
        actor: Any = SYSTEM,
        reason: str | None = None,
        correlation: str | None = None,
    ) -> int:
        """Delete the documents of a queryset, each with an event; the number of documents.

        As MongoEngine's `queryset.delete`, rules of deletion and all: order, `limit` and `skip`
        count.  Transactions and errors as of `update`.
        """
        context = {"actor": actor, "reason": reason, "correlation": correlation}
        return delete_all(self, queryset, context)

    def insert(
        self,
        documents: Iterable[Any],
        *,
        actor: Any = SYSTEM,
        reason: str | None = None,
        correlation: str | None = None,
    ) -> int:
        """Insert new documents, each with an event; the number of documents.

        As MongoEngine's `queryset.insert`: neither `save()` nor `clean()` run, and nothing is
        validated.  `documents` may be a generator.  Transactions and errors as of `update`.
        """
        context = {"actor": actor, "reason": reason, "correlation": correlation}
        return insert_all(self, documents, context)

    def restoration(
        self,
        *,
        to: datetime | None = None,
        model: Model | None = None,
        actor: str | None = None,
        correlation: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Restoration:
        """A set of documents to be put back; preview it, then run it.

        With `to` each document that has chosen events after that time goes back to how it was
        then; one that was not there yet is deleted.  Without it the chosen events are taken
        back, and what others changed besides stays.

        Args:
            to: a time, UTC.
            model: the class whose documents are meant, with those that inherit from it; all
                tracked ones by default.
            actor: whose events, an id or 'kind:id'.
            correlation: the events of one request, or of those that share its id.
            since, until: when the events were made, UTC, both inclusive; not with `to`.

        Raises `InvalidInput` for a choice that names no model, actor or correlation, or no
        time from which on events are meant (a correlation needs none).
        """
        selection = chosen(
            list(self._tracked.values()) if model is None else self._of_family(model),
            named=model is not None,
            to=to,
            actor=actor,
            correlation=correlation,
            since=since,
            until=until,
        )
        self.prepare()
        return Restoration(self, selection, to)

    # Positions -------------------------------------------------------------------------

    def sequence(self) -> int:
        """Give all committed events that have no position yet theirs; how many this call gave.

        A thread does it by itself (`work`); this is for tests and tools, and may be called
        beside it.  Raises `Unavailable` when none could be numbered until the deadline,
        `BzzError` within a write and where the last position is not known any more.
        """
        refuse_within_write("A numbering of events")
        self.prepare()
        if self._seals is None:
            return 0
        return Sequencer(self._client, self._seals).run(self._deadline)

    def begin_epoch(self) -> str | None:
        """Say that the database was restored from a backup; the new epoch of positions.

        Readers of the positions of before are answered 410, since other events may stand under
        their numbers.  Where the collections were made anew (as mongorestore makes them) that
        is noticed by itself when an application starts; after a copy of the files it is not.
        None on mongomock, which has no positions.  Raises `BzzError` within a write.
        """
        refuse_within_write("The begin of an epoch")
        self.prepare()
        return None if self._seals is None else self._seals.begin_epoch()

    def close(self) -> None:
        """End the threads and live streams of this auditor, for good; other processes go on.

        An event at work is done within two seconds, or taken back.
        """
        if self._worker is not None:
            self._worker.close()
        self._close_parts()

    def _close_parts(self) -> None:
        for each in (self._sequencing, self._hub, self._watch):
            if each is not None:
                each.close()

    # Subscriptions ---------------------------------------------------------------------

    def subscription_names(self) -> list[str]:
        """The names of all subscriptions, in the order in which they were declared."""
        return list(self._declarations)

    def subscriptions(self) -> list[Status]:
        """How all subscriptions stand, in the order in which they were declared.

        Raises `SetupError` on mongomock, which has no positions.
        """
        return [self.subscription(name).status() for name in self._declarations]

    def subscription(self, name: str) -> Subscription:
        """One subscription, to be looked after.

        Raises `UnknownSubscription`, and `SetupError` on mongomock, which has no positions.
        """
        declaration = self.declaration(name)
        self.prepare()
        return Subscription(self, declaration)

    def declaration(self, name: str) -> Declaration:
        """What a subscription was declared to want.  Raises `UnknownSubscription`."""
        if name not in self._declarations:
            raise UnknownSubscription(name, self._declarations)
        return self._declarations[name]

    def worker(self, only: Iterable[str] | None = None) -> Worker:
        """What runs subscriptions in threads of this process, once it is started.

        All, or those that are named.  It gives events their positions too.  Raises
        `UnknownSubscription`, `SetupError`.
        """
        names = list(self._declarations if only is None else only)
        declarations = [self.declaration(name) for name in names]
        self.prepare()
        self.books.prepare()
        self._start_sequencing()
        return Worker(self, declarations)

    async def start(self) -> None:
        """Start what runs in a web process now, and not with its first request.

        It ends with the running loop.  Raises as `prepare`.
        """
        await asyncio.to_thread(self.prepare)
        self.serve()

    def serve(self) -> None:
        """Called on the event loop before a request: the subscriptions start, with `work`."""
        loop = asyncio.get_running_loop()
        if not self._work or not self._declarations:
            return
        if self._worker is None or self._worker.loop is not loop:
            self._worker = Worker(self, self._declarations.values(), loop)
            self._worker.start()

    def _check(self, declaration: Declaration) -> None:
        declaration.query(self.tracked_for(declaration))  # raises for what cannot be meant

    def tracked_for(self, declaration: Declaration) -> list[Tracked]:
        """How the models of a subscription are recorded.  Raises `SetupError`."""
        if not declaration.models:
            return list(self._tracked.values())
        return [self.tracked_as(each) for each in declaration.models]

    @property
    def books(self) -> Books:
        """Where subscriptions are kept.

        Raises `SetupError` before `prepare()`, and on mongomock.
        """
        if self._books is None:
            raise SetupError(
                "Subscriptions need positions, which only a replica set has: mongomock has none."
            )
        return self._books

    @property
    def books_database(self) -> Any:
        """The database of the history.  Raises as `books`."""
        return self.books.database

    # What the framework asks (bzz.recording.Recorder) -----------------------------------

    def prepare(self) -> None:
        """Check the server, and make the history collection and all indexes that are missing.

        Runs by itself on first use; cheap afterwards.  Raises `SetupError` with one sentence
        that says what to do, `Unavailable` when the server does not answer.
        """
        client, models = self.client(), list(self._tracked)
        connection.prepare(models[0])
        self._listen()
        if client is not self._client:
            with self._preparing:  # by one thread, if several are first
                if client is not self._client:
                    self._prepare_store(client, models)

    def client(self) -> Any:
        """The client through which all models are stored; asks the server nothing.

        Raises `SetupError` where there are no models, or no such client.
        """
        if not self._tracked:
            raise SetupError("This auditor has no models: pass audit= to routes_for, or track().")
        models = list(self._tracked)
        client = connection.client_of(models[0])
        for model in models:
            if connection.client_of(model) is not client:
                raise SetupError(
                    f"{model.__name__} is stored through another client than "
                    f"{models[0].__name__}, and one transaction cannot span two: "
                    "give it an auditor of its own."
                )
        return client

    def _prepare_store(self, client: Any, models: list[Model]) -> None:
        database, real = models[0]._get_db(), connection.has_transactions(client)
        store, snapshots = HistoryStore(database, real=real), SnapshotStore(database, real=real)
        seals, books = (SealStore(database), Books.of(database)) if real else (None, None)
        for each in self._declarations.values():
            self._check(each)
        try:
            store.prepare()
            snapshots.prepare()
            if seals is not None and books is not None:
                seals.prepare()
                books.prepare()
        except EventNotStored as error:
            raise SetupError(
                f"The collection {COLLECTION} cannot be made as it has to be: {error}. "
                "It needs readWrite rights, and a unique index on s, d and v."
            ) from error
        except PyMongoError as error:
            raise Unavailable(f"The database does not answer: {said(error)}") from error
        self._close_parts()  # those of an earlier client
        self._store, self._snapshots = store, snapshots
        self._seals, self._books = seals, books
        self._watch = self._hub = self._audience = None
        if seals is not None:
            self._watch, live = Watch(seals), self._live
            feed = Feed(store, seals)
            self._hub = Hub(feed, self._watch, kept=live.kept, size=live.kept_bytes)
            self._audience = Audience(self._hub, size=live.streams)
        self._recorder = WriteRecorder(store, snapshots, clock=self._clock)
        self._sequencing = None
        self._client = client
        if self._work:
            self._start_sequencing()

    def _start_sequencing(self) -> None:
        if self._seals is not None and self._sequencing is None:
            sequencer = Sequencer(self._client, self._seals)
            self._sequencing = Sequencing(sequencer, self._seals.database)
            self._sequencing.start()

    def _listen(self) -> None:
        for model in self._tracked:
            for each in family(model):
                # Once for each class: whoever disconnects the auditor is not undone in silence.
                if each not in self._listening:
                    before_commit.connect(self._record, sender=each, weak=False)
                    self._listening.add(each)

    def _record(self, sender: Model, writes: list[Write]) -> None:
        if self._recorder is not None:
            self._recorder.record(self, self.tracked_as(sender), writes)

    def append(self, events: Sequence[Any], session: Any) -> None:
        """Store the events that were made in one transaction."""
        if self._recorder is not None:
            self._recorder.append(events, session)
            if self._sequencing is not None:
                self._sequencing.kick()

    async def describe(self, handler: Any, reason: str | None = None) -> Context:
        """Who makes a request's writes, and why; `reason` wins over the header's.

        Raises `BadRequest` for a reason or a correlation id that cannot be kept, and
        `ContextError` when the actor callable returned something that is no actor.
        """
        actor = None if self._actor is None else self._actor(handler)
        if inspect.isawaitable(actor):
            actor = await actor
        request = handler.request
        try:
            reason = reason or reason_from(request.headers)
            correlation = correlation_from(request.headers)
        except ContextError as error:
            raise BadRequest(str(error)) from error
        return Context(
            actor=actor_from(actor),
            reason=reason,
            correlation=correlation,
            request=Request(request.method, path_text(request.path), request.remote_ip),
        )

    def headers(self) -> Mapping[str, str]:
        """The header fields of a request that say why it writes, and in the course of what."""
        return CONTEXT_HEADERS

    def hidden(self, model: Model) -> Hidden:
        """The stored paths of a model that are excluded or masked."""
        return self.tracked_as(model).redaction.hidden

    def heads(self, unit: Unit | None, model: Model, ids: Iterable[Any]) -> list[Head | None]:
        """The last event of each document, in the order of `ids`; None where there is none."""
        wanted = [_exactly(model, each) for each in ids]
        session = None if unit is None else unit.session
        stored = self.store.heads(self.tracked_as(model).stream, wanted, session=session)
        found = {id_key(each["d"]): _head(each) for each in stored}
        return [found.get(id_key(each)) for each in wanted]

    def look(
        self, model: Model, document_id: Any, query: Mapping[str, Any]
    ) -> tuple[Head | None, State | None]:
        """The last event of a document, and what `query` finds of it, read in this order."""
        source = Source.of(model)
        if self.store.reaches(source.collection) and query.keys() <= {"_id", "_cls"}:
            stored, state = self.store.look(
                self.tracked_as(model).stream,
                source.exact(document_id),
                source.collection.name,
                {**query, "_id": source.exact(query["_id"])},
            )
            return None if stored is None else _head(stored), state
        [head] = self.heads(None, model, [document_id])
        return head, source.find_one(None, query)

    def matches(self, head: Head, model: Model, state: State | None) -> bool:
        """Whether `state` is what the document was after the event of `head`."""
        shown = self.tracked_of(model, state).redaction.strip(state)
        # What is hidden now was told by the last event where it has been hidden since.
        return is_state_of(head, shown) or (shown is not state and is_state_of(head, state))

    def last_state(self, model: Model, document_id: Any) -> State | None:
        """The last state in which a document existed.

        None when it never did, and when its history is broken so that nobody can tell.
        """
        try:
            return self._history(model, document_id).last_state()
        except (StreamGap, ReplayError):
            return None

    def trace(self, model: Model, member: str, value: Any) -> Any:
        """The primary key of the last deleted document whose `member` was `value`; or None."""
        value = _exactly(model, value)
        return self.store.trace(self.tracked_as(model).stream, member, value)

    def past(self, model: Model, document_id: Any, at: str) -> Past:
        """A document as it was at a version (digits) or a time (RFC 3339)."""
        return self._history(model, document_id).past(at)

    def routes_beside(self, handler: type[Any], resource: Any) -> list[Any]:
        """The history routes of a model, on the handler class that serves the model."""
        if resource.model not in self._tracked:
            self.track(resource.model)
        if resource.model not in {each.model for each in self.resources}:
            tracked = self._tracked[resource.model]
            self._tracked[resource.model] = replace(tracked, name=resource.name)
        self._served.append((handler, resource))
        return routes_for_history(handler, resource, self)

    @property
    def resources(self) -> list[Resource]:
        """The models as they are served, those that have routes."""
        return [resource for _, resource in self._served]

    def segment(self) -> str:
        """The path segment of history routes."""
        return self._segment

    # Parts -----------------------------------------------------------------------------

    def _of_family(self, model: Model) -> list[Tracked]:
        """How a model is recorded, and each class that inherits from it."""
        return [replace(self.tracked_as(each), model=each) for each in (model, *family(model))]

    def models(self) -> list[Model]:
        """The classes that are tracked by themselves."""
        return list(self._tracked)

    def tracked_under(self, stream: str) -> list[Tracked]:
        """How the classes are recorded whose streams have a name."""
        return [each for each in self._tracked.values() if each.stream == stream]

    def history_under(self, stream: str, document_id: Any) -> History | None:
        """The history of a document by the name of its stream; None where no model has it."""
        present = self.tracked_under(stream)
        found = by_stream(present, lambda each: each.stream, lambda each: each.model)
        return History(self, found[stream], document_id) if found else None

    def has_transactions(self) -> bool:
        """Whether the database has them, as all but that of tests do."""
        return connection.has_transactions(self._client)

    def alone(self, work: Callable[[Unit], T], *, deadline: Deadline) -> T:
        """Run `work` in a transaction of its own, again when the database asks for it."""
        value, _ = run_unit(
            work,
            client=self._client,
            transactional=self.has_transactions(),
            deadline=deadline,
        )
        return value

    @property
    def recorder(self) -> WriteRecorder:
        """What makes events.  Raises `SetupError` before `prepare()`."""
        if self._recorder is None:
            raise SetupError("Call prepare() first.")
        return self._recorder

    @property
    def store(self) -> HistoryStore:
        """Where events are stored.  Raises `SetupError` before `prepare()`."""
        if self._store is None:
            raise SetupError("Call prepare() first.")
        return self._store

    @property
    def feed(self) -> Feed:
        """The events of all streams by their positions.  Raises `SetupError` before `prepare()`."""
        return Feed(self.store, self._seals)

    @property
    def watch(self) -> Watch | None:
        """What tells when events have got positions; None where there are none, and before
        `prepare()`.
        """
        return self._watch

    @property
    def live(self) -> Live:
        """How live streams are served."""
        return self._live

    @property
    def audience(self) -> Audience | None:
        """Who follows events live; None where there are no positions, and before `prepare()`."""
        return self._audience

    @property
    def window(self) -> Window | None:
        """The newest events, in memory; None until somebody follows them."""
        return None if self._hub is None else self._hub.window

    @property
    def seals(self) -> SealStore | None:
        """What proves the order of events; None where there are no positions, and before
        `prepare()`.
        """
        return self._seals

    @property
    def snapshots(self) -> SnapshotStore:
        """Where readers leave states.  Raises `SetupError` before `prepare()`."""
        if self._snapshots is None:
            raise SetupError("Call prepare() first.")
        return self._snapshots

    def _history(self, model: Model, document_id: Any) -> History:
        return History(self, self.tracked_as(model), _exactly(model, document_id))

    def _contexts(
        self, actor: Any, reason: str | None, correlation: str | None
    ) -> dict[Recorder, object]:
        """Who writes and why: one answer, whichever recorder has the models that are written."""
        context = Context(
            actor=actor_from(actor),
            reason=None if reason is None else checked_reason(reason),
            correlation=checked_correlation(correlation) if correlation else correlation_from({}),
        )
        return {**dict.fromkeys(recorders(), context), self: context}


def _checked_segment(segment: str) -> str:
    if segment in ("", ".", "..") or "/" in segment:
        raise SetupError(f"The segment of history routes is one of a path, not {segment!r}.")
    return segment


def _head(stored: dict[str, Any]) -> Head:
    return Head(
        version=int(stored["v"]),
        deleted="g" in stored,
        time=stored["t"],
        facts={"h": stored["h"], "z": stored["z"]},
    )


def _exactly(model: Model, value: Any) -> Any:
    return Source.of(model).exact(value)


def _share_a_collection(one: Model, other: Model) -> bool:
    """Whether the documents of two classes have their ids from one and the same index."""
    return bool(
        one._get_collection_name() == other._get_collection_name()
        and one._meta.get("db_alias") == other._meta.get("db_alias")
    )


def _announce_here(unit: Unit) -> None:
    """Send the `post_` signals of a unit of code, in the thread that wrote.

    Coroutine receivers run on a loop of their own.  Where the caller itself blocks a running
    loop they become a task of that one, since nothing can be awaited there.
    """

    async def all_of_them() -> None:
        for kind, write in unit.operations:
            await announce(SIGNAL_OF[kind], write.model, **signal_arguments(kind, write))

    if any(SIGNAL_OF[kind].has_receivers_for(write.model) for kind, write in unit.operations):
        _run_here(all_of_them())


_tasks: set[asyncio.Task[None]] = set()  # asyncio itself holds tasks weakly


def _run_here(work: Coroutine[Any, Any, None]) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    task = loop.create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def _plainly(function: Callable[[], T]) -> T:
    value = function()
    if inspect.iscoroutine(value):
        value.close()
        raise TypeError(
            "auditor.write runs a plain function, and this one is a coroutine function, which "
            "would write after the commit; make it plain, and use asyncio.to_thread around write."
        )
    return value


def _refuse_on_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "auditor.recording() cannot be used in a coroutine: an await inside it would carry the "
        "transaction into other tasks. Use await asyncio.to_thread(auditor.write, function)."
    )
