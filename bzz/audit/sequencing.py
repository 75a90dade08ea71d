"""The thread that lets the sequencer run by itself, one of all processes at a time.

Who works holds a lease, which is for economy: others wait instead of colliding.  It also says
whose transaction is left open when its process is killed, so that the next one ends it and need
not wait for a minute.  That positions are right rests on the sequencer alone.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import Any

import pymongo
from pymongo.errors import InvalidOperation, PyMongoError

from bzz.audit.background import Background
from bzz.audit.leasing import LEASE, Lease
from bzz.audit.seals import POSITIONS
from bzz.audit.sequencer import Sequencer
from bzz.sessions import is_closed
from bzz.transactions import Deadline, is_transient, said

SPACING = 0.03
"""Seconds from a sign of new events to their batch: many commits share one."""
POLL = 1.0
"""Seconds after which events are looked for that nobody told of."""

_STEP = LEASE - 1
"""Seconds for one batch: it is done, or taken back, while the lease lasts."""
_RIVAL = 0.2
"""Seconds to leave to another that has the lease before looking what it has left."""
_CLOSING = 2.0
_log = logging.getLogger("bzz.audit")


class Sequencing:
    """Numbers events soon after their commit, in a thread of its own.

    `kick()` says that there will be some; the thread looks by itself now and then, for those of
    processes that were killed.  Errors are logged, and tried again; the thread ends with
    `close()`, with its client and with the program.  A process that was forked gets its own.
    """

    def __init__(self, sequencer: Sequencer, database: Any) -> None:
        self._sequencer = sequencer
        self._database = database
        self._troubled = False
        self._background = Background("bzz-sequencer", self._serve, self._renew)

    def _renew(self) -> None:
        self._kicked = threading.Event()

    def start(self) -> None:
        """Start the thread, unless it runs or was closed."""
        self._background.start()

    def kick(self) -> None:
        """There will be events, once the caller's transaction has committed."""
        self._background.start()
        self._kicked.set()

    def close(self) -> None:
        """End the thread; what it has begun is done within two seconds, or taken back."""
        self._background.close()

    def _serve(self, closed: threading.Event) -> None:
        """What the thread does until it is closed."""
        client, lease, pause = self._sequencer.client, Lease(self._database[POSITIONS]), SPACING
        # A session that nobody else gets while the lease names it, as it may be killed for that.
        session = client.start_session()
        while not closed.is_set():
            if self._kicked.wait(pause):
                self._kicked.clear()
                pause = SPACING
            if closed.wait(SPACING):
                break
            pause = min(2 * pause, POLL) if self._round(lease, session, closed) else POLL
        with suppress(PyMongoError), pymongo.timeout(_CLOSING):  # it runs out by itself
            lease.give_up()
            session.end_session()

    def _round(self, lease: Lease, session: Any, closed: threading.Event) -> bool:
        """Number what there is; whether that went well."""
        try:
            self._number(lease, session, closed)
            self._troubled = False
            return True
        except Exception as error:  # whatever it is, the next round may do better
            if isinstance(error, InvalidOperation) and is_closed(self._sequencer.client):
                closed.set()
            elif not is_transient(error):  # which means that another was at work
                self._tell(error)
        return False

    def _number(self, lease: Lease, session: Any, closed: threading.Event) -> None:
        client, is_ours = self._sequencer.client, False
        while self._is_waited_for():
            with pymongo.timeout(LEASE):
                is_ours = lease.take(client, session.session_id)
            if not is_ours:
                closed.wait(_RIVAL)
                return
            self._sequencer.step(session, Deadline(_STEP))
            if closed.wait(SPACING):
                return
        if is_ours:  # another may have the next events sooner
            with pymongo.timeout(LEASE):
                lease.give_up()

    def _is_waited_for(self) -> bool:
        with pymongo.timeout(LEASE):
            return self._sequencer.is_waited_for()

    def _tell(self, error: Exception) -> None:
        # Once, until it works again: it may take an hour until somebody has mended it.
        level = logging.DEBUG if self._troubled else logging.WARNING
        _log.log(level, "Events wait for their positions: %s", said(error) or repr(error))
        self._troubled = True
