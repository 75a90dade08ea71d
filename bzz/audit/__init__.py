"""Audit: every write of a model as an immutable event, and what can be done with a history."""

from __future__ import annotations

from bzz.audit.audience import Live
from bzz.audit.auditor import Auditor
from bzz.audit.blaming import Blame
from bzz.audit.context import from_header
from bzz.audit.diff import Change
from bzz.audit.errors import AuditError
from bzz.audit.events import Actor, Context, Event, Operation, Request
from bzz.audit.history import History
from bzz.values import ABSENT

__all__ = [
    "ABSENT",
    "Actor",
    "AuditError",
    "Auditor",
    "Blame",
    "Change",
    "Context",
    "Event",
    "History",
    "Live",
    "Operation",
    "Request",
    "from_header",
]
