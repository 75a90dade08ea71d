"""What one unit of work read and wrote: every touched document, as stored before and after.

The units that share a transaction make a batch: each sees what those before it wrote, and no two
of them have written the same document without the first being settled.  Knows nothing of
transactions' begin and end, of HTTP, of the audit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from pymongo.client_session import ClientSession

from bzz.errors import Superseded
from bzz.recording import Head, Model, Recorder, State, recorder_of
from bzz.signals import before_commit
from bzz.source import Key, Source, id_key, stored_id
from bzz.values import ABSENT, Absent, same

_current: ContextVar[Unit | None] = ContextVar("bzz_unit", default=None)


def current_unit() -> Unit | None:
    """The unit of work in which the calling code runs, or None.

    Code that runs later in a copy of the context (a callback given to an event loop) is in none.
    """
    unit = _current.get()
    return unit if unit is not None and unit.is_open else None


def is_observed(model: Model) -> bool:
    """Whether anybody wants to know what a unit of work does to documents of a class."""
    return recorder_of(model) is not None or before_commit.has_receivers_for(model)


class Write:
    """One document that a unit of work touched.

    Attributes
    ----------
    model: the document's class.
    id: its primary key, as stored.
    before, after: its stored content before the unit's first touch and at its end;
        None where there was, or is, no document.
    changed: whether the two differ, typed.
    context: who writes and why, as the model's recorder described it; None without one.
    event: what the recorder made of the write; None until then, and when nothing changed.
    intent: what the caller of the write meant by it, for the recorder (a restore names
        the version it goes back to); None for an ordinary write.
    """

    __slots__ = (
        "_instance",
        "after",
        "before",
        "changed",
        "context",
        "event",
        "fresh",
        "id",
        "intent",
        "model",
        "recorded",
        "source",
        "unit",
    )

    def __init__(self, unit: Unit, source: Source, document_id: Any, before: State | None) -> None:
        self.unit = unit
        self.source = source
        self.model: Model = source.model
        self.id = document_id
        self.before = before
        self.after: State | None = None
        self.changed = False
        self.fresh = False
        self.context: object = None
        self.event: Any = None
        self.recorded = False
        self.intent: Any = None
        self._instance: Any = None

    @property
    def instance(self) -> Any:
        """The document: the object that was written where it is known, else loaded as stored."""
        if self._instance is None:
            state = self.before if self.after is None else self.after
            self._instance = None if state is None else self.source.load(state)
        return self._instance

    @instance.setter
    def instance(self, document: Any) -> None:
        self._instance = document

    def record(self, event: Any) -> None:
        """Called by the recorder: the write is dealt with; `event` (or None) stands for it."""
        self.event = event
        self.recorded = True

    def _found(self, state: State | None) -> None:
        self.after = state
        self.changed = not same(self.before, state)
        self.fresh = True
        self.model = self.source.class_of(state or self.before)
        recorder = recorder_of(self.model)
        if recorder is not None:
            self.context = self.unit.contexts.get(recorder)


class Activity(NamedTuple):
    """Whose code a batch is waiting for, and since when (`time.monotonic`)."""

    receiver: Any
    signal: str
    begun: float


class _Pending(NamedTuple):
    recorder: Recorder
    event: Any
    unit: Unit


class Batch:
    """What the units of one transaction share.

    `session` is None where there is no transaction.  `settle` is called with a unit that has
    to be settled before another one may touch what it touched; without it there is one unit.

    Attributes
    ----------
    at_fault: the unit whose event could not be appended, once that is known.
    activity: the atomic receiver that is running, if one is.
    """

    def __init__(
        self,
        session: ClientSession | None = None,
        settle: Callable[[Unit], None] | None = None,
    ) -> None:
        self.session = session
        self.at_fault: Unit | None = None
        self.activity: Activity | None = None
        self._settle = settle
        self._owners: dict[Key, Unit] = {}
        self._states: dict[Key, State | None] = {}
        self._heads: dict[Key, Head | None] = {}
        self._pending: list[_Pending] = []
        self._first: Any = None

    # States and heads as the transaction sees them ---------------------------------------

    def known(self, key: Key) -> State | Absent | None:
        """The content of a document, None if there is no document, `ABSENT` if not known."""
        return self._states.get(key, ABSENT)

    def read(self, source: Source, ids: Iterable[Any]) -> None:
        """Read the documents of many ids at once, those that are not known."""
        wanted = {source.key(each): each for each in ids}
        wanted = {key: each for key, each in wanted.items() if key not in self._states}
        if not wanted:
            return
        found = source.find(self.session, {"_id": {"$in": list(wanted.values())}})
        self._states |= dict.fromkeys(wanted)
        self._states |= {source.key(state["_id"]): state for state in found}

    def forget(self, key: Key) -> None:
        """What is known of a document is about to change."""
        self._states.pop(key, None)

    def forget_all(self) -> None:
        """Code that nobody can see into has run, and may have written any document."""
        self._states.clear()

    def knows_head(self, key: Key) -> bool:
        """Whether `head` would answer without reading."""
        return key in self._heads

    def head(self, key: Key) -> Head | None:
        """The last event of a document, if it is known."""
        return self._heads.get(key)

    def set_head(self, key: Key, head: Head | None) -> None:
        """Note the last event of a document, read or just made."""
        self._heads[key] = head

    # Units among each other --------------------------------------------------------------

    def claim(self, key: Key, unit: Unit) -> bool:
        """Make `unit` the one that touches a document; whether another was settled for it."""
        owner = self._owners.get(key)
        self._owners[key] = unit
        if owner is None or owner is unit or self._settle is None:
            return False
        self._settle(owner)
        return True

    def release(self, unit: Unit, *, trusted: bool) -> None:
        """The unit is settled: others may touch its documents, as it has left them.

        Not `trusted`, all are read again: receivers may have written any document.
        """
        for key, write in unit._writes.items():
            if self._owners.get(key) is unit:
                del self._owners[key]
            if write.fresh:
                self._states[key] = write.after
            else:
                self.forget(key)
        if not trusted:
            self.forget_all()

    # Events ------------------------------------------------------------------------------

    def defer(self, recorder: Recorder, event: Any, unit: Unit) -> None:
        """Append an event with all others of the transaction, when `flush` is called."""
        self._pending.append(_Pending(recorder, event, unit))

    def first(self, event_id: Any) -> Any:
        """The id of the transaction's first event, which the first to ask is told of itself."""
        if self._first is None:
            self._first = event_id
        return self._first

    def flush(self) -> None:
        """Append the events that are waiting.  Raises what the recorders raise."""
        pending, self._pending = self._pending, []
        for recorder in dict.fromkeys(each.recorder for each in pending):
            own = [each for each in pending if each.recorder is recorder]
            try:
                recorder.append([each.event for each in own], self.session)
            except Superseded as error:
                self.at_fault = None if error.index is None else own[error.index].unit
                raise
            except Exception:
                self.at_fault = own[0].unit if len({each.unit for each in own}) == 1 else None
                raise


class Unit:
    """One unit of work: the documents it touched, what it is about to announce.

    Lives in one thread.  Without a `batch` there is no transaction: on mongomock, and for
    models that neither are recorded nor have atomic receivers.  With `announce_all` every
    changed document of a recorded model counts as an operation of the caller's.

    Attributes
    ----------
    begun: whether code that may have written has been entered: what fails before can be
        refused and leave the transaction as it is.
    opaque: whether code has run in it that may have written documents past the capture.
    failure: the first error after which the transaction cannot be committed, whatever the code
        that met it made of it.
    """

    def __init__(
        self,
        batch: Batch | None = None,
        contexts: Mapping[Recorder, object] | None = None,
        handler: Any = None,
        *,
        announce_all: bool = False,
    ) -> None:
        self.batch = batch or Batch()
        self.announce_all = announce_all
        self.contexts = contexts or {}
        self.handler = handler
        self.begun = False
        self.opaque = False
        self.is_open = False
        self.failure: Exception | None = None
        self.operations: list[tuple[str, Write]] = []
        self._writes: dict[Key, Write] = {}

    @property
    def session(self) -> ClientSession | None:
        """The session of the transaction; None where there is none."""
        return self.batch.session

    # Reading ---------------------------------------------------------------------------

    def load(self, model: Model, query: Mapping[str, Any]) -> Write | None:
        """Read one document of `model` and keep its content as the state before the write.

        Returns the (so far empty) write to it, or None when nothing matches `query`.
        """
        source = Source.of(model)
        state = self.find_one(source, query)
        return None if state is None else self._touch(source, state["_id"], state)

    def find(self, model: Model, query: Mapping[str, Any]) -> list[Write]:
        """As `load`, for all documents that match."""
        source = Source.of(model)
        return [self._touch(source, each["_id"], each) for each in self.find_all(source, query)]

    def find_one(self, source: Source, query: Mapping[str, Any], **how: Any) -> State | None:
        """A document that this unit is going to touch, as the units before it have left it."""
        document_id = query.get("_id", ABSENT)
        if document_id is not ABSENT and not isinstance(document_id, dict):
            key = source.key(document_id)
            self.batch.claim(key, self)
            known = self.batch.known(key)
            if known is not ABSENT and query.keys() <= {"_id", "_cls"} and not how:
                return known if known is None or _is_of_class(known, query) else None
        state = source.find_one(self.session, query, **how)
        if state is not None and self.batch.claim(source.key(state["_id"]), self):
            return source.find_one(self.session, query, **how)
        return state

    def find_all(self, source: Source, query: Mapping[str, Any], **how: Any) -> Iterable[State]:
        """As `find_one`, for all documents that match."""
        states = source.find(self.session, query, **how)
        settled = [self.batch.claim(source.key(each["_id"]), self) for each in states]
        return source.find(self.session, query, **how) if any(settled) else states

    def head(self, model: Model, document_id: Any) -> Head | None:
        """The last event of a document of a recorded model, read once in a transaction."""
        key = Source.of(model).key(document_id)
        if not self.batch.knows_head(key):
            self.read_heads(model, [document_id])
        return self.batch.head(key)

    def knows_head(self, model: Model, document_id: Any) -> bool:
        """Whether `head` would answer without reading."""
        return self.batch.knows_head(Source.of(model).key(document_id))

    def read_heads(self, model: Model, ids: Iterable[Any]) -> None:
        """Read the last events of many documents of a model at once."""
        recorder, wanted, source = recorder_of(model), list(ids), Source.of(model)
        if recorder is None or not wanted:
            return
        for document_id, head in zip(wanted, recorder.heads(self, model, wanted), strict=True):
            self.batch.set_head(source.key(document_id), head)

    def writes(self) -> list[Write]:
        """All touched documents, in the order of their first touch."""
        return list(self._writes.values())

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make this the current unit of the calling code for the length of a block."""
        token, was_open = _current.set(self), self.is_open
        self.is_open = True
        try:
            yield
        finally:
            self.is_open = was_open
            _current.reset(token)

    # Writing ---------------------------------------------------------------------------

    def announce(self, kind: str, instance: Any) -> Write:
        """Note that the caller created, updated or deleted `instance`.

        `kind` is 'create', 'update' or 'delete'.  The signals of that kind are sent for it
        when the unit comes to its end.
        """
        source = Source.of(type(instance))
        document_id = stored_id(instance)
        write = self._touch(source, document_id, None)
        write.instance = instance
        self.operations.append((kind, write))
        return write

    def infer_operations(self) -> None:
        """Note as operations what the writes so far did to documents of recorded models."""
        for write in self._writes.values():
            known = any(each is write for _, each in self.operations)
            if not known and write.changed and recorder_of(write.model) is not None:
                kind = "create" if write.before is None else "update"
                self.operations.append(("delete" if write.after is None else kind, write))

    def claim(self, source: Source, document_id: Any) -> None:
        """Called by the capture before a document is inserted."""
        self.batch.claim(source.key(document_id), self)

    def touched(self, source: Source, document_id: Any, before: State | None) -> Write:
        """Called by the capture before (an update, a delete) or after (an insert) a write."""
        write = self._touch(source, document_id, before)
        write.fresh = False
        self.batch.forget(source.key(document_id))
        return write

    def is_touched(self, source: Source, document_id: Any) -> bool:
        """Whether the state of a document before this unit is already known."""
        return source.key(document_id) in self._writes

    def reread(self) -> None:
        """Read what is stored now for every document touched since the last call."""
        reread([self])

    def _touch(self, source: Source, document_id: Any, before: State | None) -> Write:
        key = source.key(document_id)
        write = self._writes.get(key)
        if write is None:
            self.batch.claim(key, self)
            write = self._writes[key] = Write(self, source, source.exact(document_id), before)
        return write


def reread(units: Iterable[Unit]) -> None:
    """Read what is stored now for all that units of one batch touched, once a collection."""
    stale: dict[str, list[Write]] = {}
    for unit in units:
        for write in unit._writes.values():
            if not write.fresh:
                stale.setdefault(write.source.name, []).append(write)
    for writes in stale.values():
        session, source = writes[0].unit.session, writes[0].source
        query = {"_id": writes[0].id if len(writes) == 1 else {"$in": [w.id for w in writes]}}
        found = {id_key(state["_id"]): state for state in source.find(session, query)}
        for write in writes:
            write._found(found.get(id_key(write.id)))


def _is_of_class(state: State, query: Mapping[str, Any]) -> bool:
    wanted = query.get("_cls", ABSENT)
    if isinstance(wanted, dict):
        return state.get("_cls") in wanted.get("$in", ())
    return wanted is ABSENT or wanted == state.get("_cls")
