"""What a consumer gets beside an event: its context, and collections to write effects to.

The effects of an event are in the transaction in which the checkpoint moves, so that both are
stored or neither is.  The transaction begins with the first effect: a consumer without any holds
none open while it works.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from pymongo import ReadPreference
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bzz.errors import BzzError
from bzz.sessions import kill
from bzz.transactions import Deadline, abort, commit, transaction_options

_IN_TRANSACTIONS = frozenset(
    {
        *("insert_one", "insert_many", "replace_one", "update_one", "update_many", "bulk_write"),
        *("delete_one", "delete_many", "find_one_and_update", "find_one_and_replace"),
        *("find_one_and_delete", "find", "find_one", "aggregate", "count_documents", "distinct"),
    }
)
"""The methods of PyMongo's Collection that take a session, and that transactions allow."""
_FACTS = frozenset({"name", "full_name"})


class Effects:
    """The transaction of one attempt, in a session of its own; it begins when it is needed.

    `fence` is called with the session first of all: it moves the checkpoint, and raises when
    another worker has done so.  From two threads: the consumer's, and that which waits for it
    and may end it.  `failure` is what ended it, if anything has.
    """

    def __init__(self, client: Any, session: Any, fence: Callable[[Any], object]) -> None:
        self.client = client
        self.session = session
        self._fence = fence
        self._lock = threading.Lock()
        self._begun = False
        self._over = self._cut_off = False
        self.failure: BaseException | None = None

    def begin(self) -> Any:
        """The session, in its transaction.  Raises what the fence raises."""
        with self._lock:
            if self._over:
                raise BzzError(
                    "The time of this attempt is over: nothing more can be written through it."
                )
            if self.failure is not None:
                raise self.failure
            if not self._begun:
                self._begun = True
                self.session.start_transaction(**transaction_options())
                try:
                    self._fence(self.session)
                except BaseException as error:
                    self.failure = error
                    raise
            return self.session

    def commit(self, deadline: Deadline) -> None:
        """Store the effects and the checkpoint.  Raises as `begin`, and what a commit raises."""
        self.begin()
        with self._lock:
            self._over = True
        commit(self.session, deadline)

    def abort(self) -> None:
        """Take back what there is."""
        with self._lock:
            self._over = True
            if self._begun:
                abort(self.session)

    @property
    def is_cut_off(self) -> bool:
        """Whether the consumer was left behind."""
        return self._cut_off

    def cut_off(self) -> None:
        """Take back what a consumer has done that still runs, and all that it will do yet.

        The session is not to be used again.
        """
        with self._lock:  # the first command has been sent, or never will be
            self._over = self._cut_off = True
            if self._begun:
                kill(self.client, self.session.session_id)


class EffectsCollection:
    """A collection to a consumer: PyMongo's methods, in the transaction of the checkpoint.

    All methods of `pymongo.collection.Collection` that take a session; it is passed by itself.
    Others (indexes, `drop`, `watch` …) raise `BzzError`: they cannot be part of a transaction.
    """

    def __init__(self, collection: Any, effects: Effects) -> None:
        self._collection = collection
        self._effects = effects

    def __getattr__(self, name: str) -> Any:
        if name in _FACTS:
            return getattr(self._collection, name)
        if name not in _IN_TRANSACTIONS:
            raise BzzError(
                f"ctx.collection({self._collection.name!r}) has no {name!r}: it has what can be in "
                "the checkpoint's transaction, which is "
                f"{', '.join(sorted(_IN_TRANSACTIONS))}. Make indexes before the worker starts."
            )
        method = getattr(self._collection, name)

        def within(*args: Any, **options: Any) -> Any:
            if "session" in options:
                raise BzzError(
                    f"{name}(…, session=…) is not needed: ctx.collection() writes within the "
                    "transaction of the checkpoint."
                )
            session = self._effects.begin()
            try:
                return method(*args, session=session, **options)
            except PyMongoError as error:
                self._effects.failure = error  # the transaction is over, also if it is caught
                raise

        return within


class ConsumerContext:
    """What a consumer gets beside the event.

    Attributes
    ----------
    subscription: its name.
    attempt: how often the event was given to the consumer, this time included.
    replay: the history is gone through again, into a fresh target: effects outside the database
        have been there before.
    into: the name of that target; None when it is no replay.
    """

    def __init__(
        self,
        subscription: str,
        *,
        attempt: int,
        into: str | None,
        database: Any,
        effects: Effects,
    ) -> None:
        self.subscription = subscription
        self.attempt = attempt
        self.into = into
        self._database = database
        self._effects = effects

    @property
    def replay(self) -> bool:
        """Whether the history is gone through again."""
        return self.into is not None

    def collection(self, name: str) -> Any:
        """A collection of the database of the history, whose writes are stored with the checkpoint.

        In a replay into 'x' the collection 'name' is 'name_x'.  Raises `BzzError` for those of
        bzz itself, and once the time of the attempt is over, for each use.
        """
        if name.startswith("bzz_"):
            raise BzzError(f"{name!r} is a collection of bzz; a consumer writes to its own.")
        collection = self._database.get_collection(
            name if self.into is None else target(name, self.into),
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern(),
            read_concern=ReadConcern(),
        )
        return EffectsCollection(collection, self._effects)


def target(name: str, into: str) -> str:
    """The collection that stands for another one in a replay."""
    return f"{name}_{into}"
