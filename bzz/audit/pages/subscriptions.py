"""The pages about subscriptions: how they stand, what one has set aside, and a decision on that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bzz.audit.pages.change import Trouble
from bzz.audit.pages.rendering import render

STATES = {"parked": "Parked", "waiting": "Waiting for their next try", "skipped": "Left out"}
"""What events are set aside for, in words, in the order in which they are offered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """One subscription, and a page of the events that it has set aside.

    Attributes
    ----------
    told: how it stands, as the API shows it, with its `items`, each event with its `history`.
    state: for what the events are set aside that are shown.
    may_decide: the reader may retry and skip.
    path: of the activity.
    """

    told: Mapping[str, Any]
    state: str
    may_decide: bool
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What a form asks the reader to confirm.

    Attributes
    ----------
    what: 'retry' or 'skip'.
    name: of the subscription.
    parked: the parked event, as the API shows it, with its `history`.
    token: against forms of other sites.
    path: of the activity.
    reason: what was given already.
    trouble: why it was not done the last time.
    """

    what: str
    name: str
    parked: Mapping[str, Any]
    token: str
    path: str
    reason: str = ""
    trouble: Trouble | None = None


def subscriptions(items: Sequence[Mapping[str, Any]], path: str) -> bytes:
    """How all subscriptions stand."""
    return render("subscriptions.html", items=items, path=path)


def subscription(standing: Standing) -> bytes:
    """How one stands, and what it has set aside."""
    return render("subscription.html", it=standing, states=STATES)


def decision(asked: Decision) -> bytes:
    """What a retry or a skip means, and a form that asks for it."""
    return render("decision.html", it=asked)
