"""`bzz subscriptions`: how they stand, what they have parked, and what is to become of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import UTC
from typing import Any, NoReturn

import click
from rich.text import Text

from bzz.audit import Auditor
from bzz.audit.errors import NotParked
from bzz.audit.parking import Parked, Waits
from bzz.audit.store import unpacked
from bzz.audit.subscribing import FIRST, LATEST, Start
from bzz.audit.subscription import Replayed, Restart, Subscription
from bzz.audit.views import show_event, show_parked, show_status
from bzz.cli.application import audited, auditor_for
from bzz.cli.completion import subscription_names
from bzz.cli.output import Output, confirm, confirmed, reported
from bzz.cli.telling import lasting
from bzz.jsonvalues import INT64, NotThisType, read_time
from bzz.schema import schema_of

_PAGE = 100
_STYLES = {"running": "green", "idle": "yellow", "stopped": "bold red"}
_NUMBERS = ("position", "lag", "parked", "waiting", "skipped", "delivered", "failed")

_named = click.argument("name", shell_complete=subscription_names)
_tried = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@click.group(invoke_without_command=True)
@click.option("--app", metavar="MODULE:AUDITOR", help="Also at the commands below.")
@reported
@click.pass_context
def subscriptions(ctx: click.Context, app: str | None, out: Output) -> None:
    """List the subscriptions, or look after one of them.

    Without a command below: a line for each, in the order in which they were declared.
    """
    if ctx.invoked_subcommand is not None:
        return
    out.rows(
        ("name", "state", "position", "lag", "age", "parked", "waiting", "error"),
        map(show_status, auditor_for(ctx).subscriptions()),
        lambda item: (
            item["name"],
            Text(item["state"], _style(item)),
            item["position"],
            item["lag"],
            lasting(item["age"]),
            item["parked"],
            item["waiting"],
            item["error"],
        ),
    )


@subscriptions.command()
@_named
@audited
@reported
def show(name: str, auditor: Auditor, out: Output) -> None:
    """Tell how one subscription stands."""
    item = show_status(auditor.subscription(name).status())
    lines: list[object] = [f"name: {name}", Text(f"state: {item['state']}", _style(item))]
    lines += [f"{each}: {item[each]}" for each in _NUMBERS]
    if item["age"] is not None:
        lines.append(f"age: {lasting(item['age'])}")
    if item["error"] is not None:
        where = f"at position {item['error_position']}, " if item["error_position"] else ""
        when = f" ({where}{item['error_time']})" if item["error_time"] else ""
        lines.append(f"error: {item['error']}{when}")
    lines.append(f"worker: {item['worker'] or 'none'}")
    out.item(item, lines)


@subscriptions.command()
@_named
@click.option(
    "--state",
    type=click.Choice([each.value for each in Waits]),
    default=Waits.PARKED.value,
    show_default=True,
    help="What the events wait for.",
)
@click.option("--after", type=click.IntRange(0), default=0, metavar="POSITION")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="So many at most.")
@audited
@reported
def parked(
    name: str, state: str, after: int, limit: int | None, auditor: Auditor, out: Output
) -> None:
    """List the events that a subscription has set aside, in the order of their positions."""
    found = auditor.subscription(name)
    out.rows(
        ("position", "model", "document", "version", "operation", "attempts", "since", "error"),
        (_shown(auditor, each) for each in _set_aside(found, Waits(state), after, limit)),
        lambda item: (
            item["position"],
            *(item["event"][each] for each in ("model", "document", "version", "operation")),
            item["attempts"],
            item["since"],
            item["error"] if item["reason"] is None else f"skipped: {item['reason']}",
        ),
    )


@subscriptions.command()
@_named
@click.argument("position", type=click.IntRange(1), required=False)
@audited
@reported
def retry(name: str, position: int | None, auditor: Auditor, out: Output) -> None:
    """Let parked events be tried again: of one stream, or without POSITION of all.

    POSITION is that of a parked event; its stream is tried from its first one on, in order.
    """
    found = auditor.subscription(name)
    streams = found.retry(position)
    out.item({"streams": streams}, [f"{_count(streams, 'stream')} will be tried again."])
    if streams and found.status().worker is None:
        out.remark("No worker has the subscription now; start one with: bzz worker")


@subscriptions.command()
@_named
@click.argument("position", type=click.IntRange(1))
@click.option("--reason", required=True, help="Why it is left out; kept with the event.")
@click.option("--actor", metavar="ID", help="The user who decides; without it, the system.")
@_tried
@confirmed
@audited
@reported
def skip(
    name: str,
    position: int,
    reason: str,
    actor: str | None,
    dry_run: bool,
    yes: bool,
    auditor: Auditor,
    out: Output,
) -> None:
    """Leave a parked event out, for good, and go on with its stream."""
    if not reason.strip():
        raise click.UsageError("A skipped event needs a reason: say why it is left out.")
    found = auditor.subscription(name)
    item = _shown(auditor, _parked_at(found, position))
    event = item["event"]
    told = (
        f"Position {position}, {event['operation']} {event['model']} {event['document']} "
        f"version {event['version']}: {item['error'] or 'waits behind another of its stream'}"
    )
    if dry_run:
        out.item(item, [told])
        return
    out.remark(told)
    confirm("Leave it out for good?", yes=yes)
    options = {} if actor is None else {"actor": actor}
    found.skip(position, reason=reason, **options)
    out.item({**item, "state": Waits.SKIPPED.value, "reason": reason}, ["Skipped."])


class _StartType(click.ParamType[Start]):
    """Where a subscription goes on."""

    name = "start"

    def convert(self, value: Any, param: Any, ctx: Any) -> Start:
        if value in (FIRST, LATEST):
            return str(value)
        if value.isascii() and value.isdecimal():
            if len(value) < 20 and int(value) in INT64 and int(value) > 0:
                return int(value)
            self._refuse(value, param, ctx)
        try:
            return read_time(value).replace(tzinfo=UTC)
        except NotThisType:
            self._refuse(value, param, ctx)

    def _refuse(self, value: Any, param: Any, ctx: Any) -> NoReturn:
        self.fail(
            f"{value!r} is neither {FIRST!r}, {LATEST!r}, a position from 1, nor a time such as "
            "2026-05-01T12:00:00Z.",
            param,
            ctx,
        )


@subscriptions.command()
@_named
@click.option(
    "--from",
    "start",
    type=_StartType(),
    required=True,
    metavar="START",
    help="first, latest, a position (the first that it gets) or a time (UTC without an offset).",
)
@_tried
@confirmed
@audited
@reported
def restart(
    name: str, start: Start, dry_run: bool, yes: bool, auditor: Auditor, out: Output
) -> None:
    """Let a subscription go on from another place.

    What it gets again it does again, but for what it writes through ctx.collection into
    collections that you empty before. Says first what comes again and what is passed over.
    """
    found = auditor.subscription(name)
    plan = found.preview_restart(start)
    item = {"name": name, **asdict(plan)}
    if dry_run:
        out.item(item, _plan(plan))
        return
    for each in _plan(plan):
        out.remark(each)
    confirm(f"Let {name} go on behind position {plan.position}?", yes=yes)
    found.restart(start)
    out.item(item, [f"{name} goes on behind position {plan.position}."])


@subscriptions.command()
@_named
@click.option(
    "--into",
    required=True,
    metavar="TARGET",
    help="ctx.collection('x') is then the collection x_TARGET, which has to be empty.",
)
@click.option("--after", type=click.IntRange(0), default=0, metavar="POSITION", show_default=True)
@audited
@reported
def replay(name: str, into: str, after: int, auditor: Auditor, out: Output) -> None:
    """Run a subscription's consumer over the history again, into new collections.

    In this process, up to the last position there is; the subscription itself goes on beside it.
    Where it was interrupted, the same command goes on.
    """
    found = auditor.subscription(name)
    with out.progress(f"Replaying {name}", auditor.feed.head().position) as advance:
        done = found.replay(into, after=after, progress=_position(advance))
    told = f"{_count(done.delivered, 'event')} went to the consumer, up to position {done.position}"
    out.item(asdict(done), [f"{told}."])


def _position(advance: Callable[[int], None]) -> Callable[[Replayed], None]:
    return lambda done: advance(done.position)


def _set_aside(
    found: Subscription, state: Waits, after: int, limit: int | None
) -> Iterator[Parked]:
    """Events of a state, page by page."""
    while limit is None or limit > 0:
        page = found.set_aside(state, after=after, limit=min(limit or _PAGE, _PAGE))
        yield from page
        if not page:
            return
        after = page[-1].position
        limit = None if limit is None else limit - len(page)


def _parked_at(found: Subscription, position: int) -> Parked:
    for each in found.parked(after=position - 1, limit=1):
        if each.position == position:
            return each
    raise NotParked(found.name, position)


def _shown(auditor: Auditor, each: Parked) -> dict[str, Any]:
    """A parked event as the API shows it; of a model that is not tracked, what is known of it."""
    bounds = range(each.position, each.position + 1)
    stored = auditor.store.numbered({}, bounds, newest_first=False, limit=1)
    history = auditor.history_under(each.stream, each.document)
    event = {"model": each.stream, "document": str(each.document), "version": None}
    event["operation"] = None
    if stored and history is not None:
        [told] = history.told([unpacked(stored[0], "")])
        event = show_event(told, schema_of(history.model), history.hidden())
    return show_parked(each, event)


def _plan(plan: Restart) -> Iterable[str]:
    yield f"It goes on behind position {plan.position}; the last one is {plan.head}."
    if plan.again:
        yield f"{_count(plan.again, 'event')} that it has dealt with will come again."
    if plan.passed:
        yield f"{_count(plan.passed, 'event')} that it has not dealt with will not come."
    if plan.forgotten:
        yield f"{_count(plan.forgotten, 'event')} that it has set aside will be forgotten."


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _style(item: dict[str, Any]) -> str:
    return _STYLES[item["state"]]
