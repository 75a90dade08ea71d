"""The sessions in which one thread runs its transactions, one after another.

Knows the driver's sessions and what becomes of a transaction whose end was not heard of.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pymongo
from pymongo.client_session import ClientSession
from pymongo.errors import InvalidOperation, PyMongoError

_ANSWER = 5.0


class Sessions:
    """The sessions of one thread.

    Each transaction has a session of its own, which ends with it: code that outlives it in a copy
    of its context (a callback given to an event loop) must not write into the next transaction.
    Only where its commit or abort may not have arrived, the next one has the same session again:
    by its begin the server ends what was left open.  Else documents stay locked for a minute or
    more.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self._doubtful: ClientSession | None = None

    @contextmanager
    def one(self) -> Iterator[ClientSession]:
        """A session for one transaction, which the block commits, or aborts and raises."""
        session = self._doubtful or self.client.start_session()
        self._doubtful = session
        committed = False
        try:
            yield session
            committed = True
        finally:
            if committed or not _lost_its_connection(session):
                self._doubtful = None
                session.end_session()

    def close(self) -> None:
        """No transaction follows: what may have been left open is ended now."""
        session, self._doubtful = self._doubtful, None
        if session is not None:
            kill(self.client, session.session_id)
            session.end_session()


def kill(client: Any, session_id: Any) -> None:
    """Let the server end the transaction of a session, so that its locks are free at once."""
    with suppress(PyMongoError), pymongo.timeout(1):
        client.admin.command("killSessions", [session_id])


def is_closed(client: Any) -> bool:
    """Whether a client was closed, for good: asked where something was an `InvalidOperation`."""
    try:
        with pymongo.timeout(_ANSWER):
            client.admin.command("ping")
    except InvalidOperation:
        return True
    except PyMongoError:
        pass
    return False


def _lost_its_connection(session: ClientSession) -> bool:
    # The driver's own mark; without it any session is taken for one that has.
    return bool(getattr(session._server_session, "dirty", True))
