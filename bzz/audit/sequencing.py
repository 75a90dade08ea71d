"""The thread that lets the sequencer run by itself, one of all processes at a time.

Who works holds a lease, which is for economy: others wait instead of colliding.  It also says
whose transaction is left open when its process is killed, so that the next one ends it and need
not wait for a minute.  That positions are right rests on the sequencer alone.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pymongo
from bson import ObjectId
from pymongo.errors import DuplicateKeyError, InvalidOperation, PyMongoError
from pymongo.write_concern import WriteConcern

from bzz.audit.seals import POSITIONS
from bzz.audit.sequencer import Sequencer
from bzz.sessions import kill
from bzz.transactions import Deadline, is_transient, said
from bzz.values import EXACT

SPACING = 0.03
"""Seconds from a sign of new events to their batch: many commits share one."""
POLL = 1.0
"""Seconds after which events are looked for that nobody told of."""
LEASE = 5.0
"""Seconds that a process has the work to itself, from its last batch on."""

_CLOSING = 2.0
_log = logging.getLogger("bzz.audit")


class Lease:
    """The right to work, held by one process until it has not renewed it for a while.

    Knows the server's time alone.
    """

    def __init__(self, database: Any, *, seconds: float = LEASE) -> None:
        self._leases = database[POSITIONS].with_options(
            codec_options=EXACT, write_concern=WriteConcern(w=1)
        )
        self._seconds = seconds
        self._me = ObjectId()

    def take(self, client: Any, session_id: Any) -> bool:
        """Take the lease, or renew it, for transactions of a session; whether it is ours.

        Ends the transaction of the one that held it before and is late.
        """
        until = {"$add": ["$$NOW", int(self._seconds * 1000)]}
        mine = {"by": self._me, "session": {"$literal": session_id}, "until": until}
        free = [{"by": self._me}, {"$expr": {"$lte": ["$until", "$$NOW"]}}]
        before = self._leases.find_one_and_update({"_id": "lease", "$or": free}, [{"$set": mine}])
        if before is None:
            return self._make() and self.take(client, session_id)
        if before["by"] not in (None, self._me):
            kill(client, before["session"])
        return True

    def _make(self) -> bool:
        """Make the lease, which is free then; false when there is one."""
        begun = {"_id": "lease", "by": None, "until": datetime.fromtimestamp(0, UTC)}
        try:
            self._leases.insert_one(begun)
        except DuplicateKeyError:
            return False
        return True

    def give_up(self) -> None:
        """Let another take it at once."""
        self._leases.update_one({"_id": "lease", "by": self._me}, [{"$set": {"until": "$$NOW"}}])


class Sequencing:
    """Numbers events soon after their commit, in a thread of its own.

    `kick()` says that there will be some; the thread looks by itself now and then, for those of
    processes that were killed.  Errors are logged, and tried again; the thread ends with
    `close()`, with its client and with the program.
    """

    def __init__(self, sequencer: Sequencer, lease: Lease) -> None:
        self._sequencer = sequencer
        self._lease = lease
        self._kicked = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._process = 0
        self._troubled = False

    def start(self) -> None:
        """Start the thread, unless it runs in this process."""
        if self._process == os.getpid() or self._closed.is_set():
            return
        self._process = os.getpid()
        self._kicked, self._closed = threading.Event(), threading.Event()  # a fork's may be locked
        self._thread = threading.Thread(target=self.serve, name="bzz-sequencer", daemon=True)
        self._thread.start()
        atexit.register(_close, weakref.ref(self))

    def kick(self) -> None:
        """There will be events, once the caller's transaction has committed."""
        self.start()
        self._kicked.set()

    def close(self) -> None:
        """End the thread; what it has begun is done within two seconds, or taken back."""
        self._closed.set()
        self._kicked.set()
        thread = self._thread
        if thread is not None and self._process == os.getpid():
            thread.join(_CLOSING)

    def serve(self) -> None:
        """What the thread does until it is closed."""
        pause = SPACING
        while not self._closed.is_set():
            if self._kicked.wait(pause):
                self._kicked.clear()
                pause = SPACING
            if self._closed.wait(SPACING):
                break
            pause = min(2 * pause, POLL) if self._round() else POLL
        with suppress(PyMongoError):  # it runs out by itself
            self._lease.give_up()

    def _round(self) -> bool:
        """Number what there is; whether that went well."""
        try:
            with pymongo.timeout(LEASE):
                is_waited_for = self._sequencer.is_waited_for()
            if is_waited_for:
                self._number()
            return True
        except InvalidOperation:
            self._closed.set()  # the client was closed
        except Exception as error:  # whatever it is, the next round may do better
            if not is_transient(error):  # which means that another was at work
                self._tell(error)
        return False

    def _number(self) -> None:
        client = self._sequencer.client
        with client.start_session() as session:
            while not self._closed.is_set():
                with pymongo.timeout(LEASE):
                    is_ours = self._lease.take(client, session.session_id)
                if not is_ours:
                    self._closed.wait(POLL)  # in vain to be kicked: another is at work
                    return
                if not self._sequencer.step(session, Deadline(LEASE)):
                    return
                self._troubled = False
                self._closed.wait(SPACING)

    def _tell(self, error: Exception) -> None:
        # Once, until it works again: it may take an hour until somebody has mended it.
        level = logging.DEBUG if self._troubled else logging.WARNING
        _log.log(level, "Events wait for their positions: %s", said(error) or repr(error))
        self._troubled = True


def _close(reference: weakref.ref[Sequencing]) -> None:
    sequencing = reference()
    if sequencing is not None:
        sequencing.close()
