"""`bzz restore` and `bzz undo` of sets: shown first, then asked for, then done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click
from rich.text import Text

from bzz.audit import Auditor
from bzz.audit.context import correlation_from
from bzz.audit.restoration import Failure, Foreseen, Move, Outlook, Report, Restoration
from bzz.audit.selection import Place
from bzz.audit.views import show_changes
from bzz.cli.application import model_named
from bzz.cli.ending import Interrupted, interruptible, listed, sentence
from bzz.cli.output import Output, confirm, styled
from bzz.cli.telling import change_lines, named
from bzz.errors import InvalidInput, Unavailable
from bzz.schema import schema_of

_SAMPLE = 20
"""Documents of which the preview tells all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """Which events are meant, as `Auditor.restoration` takes them; the model by its name."""

    model: str | None = None
    to: datetime | None = None
    actor: str | None = None
    correlation: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """How it is to be done: by whom and why, whether at all, and without asking."""

    actor: Any
    reason: str | None
    dry_run: bool
    yes: bool


def put_back(
    auditor: Auditor, chosen: Chosen, terms: Terms, out: Output, *, after: str | None
) -> None:
    """Show what would become of a set of documents, ask, and do it.

    Raises `click.UsageError` for a choice that nobody can mean, `click.exceptions.Exit` with 1
    when some documents could not be put back, `Interrupted`.
    """
    restoration = _restoration(auditor, chosen)
    place = _place(after)
    seen = _look(restoration, place, out)
    if out.as_json and terms.dry_run:
        sample = [_shown(auditor, each) for each in seen.sample]
        out.document({"documents": seen.documents, "events": seen.events, "sample": sample})
        return
    out.lines(_preview(auditor, seen), err=out.as_json)
    if terms.dry_run or not seen.documents:
        return
    confirm(f"Put back {named(seen.documents, 'document')}?", yes=terms.yes)
    correlation = correlation_from({})
    report = _run(restoration, place, seen, terms, correlation, out)
    _tell(auditor, report, correlation, out)
    if report.failures:
        raise click.exceptions.Exit(1)


def _restoration(auditor: Auditor, chosen: Chosen) -> Restoration:
    model = None if chosen.model is None else model_named(auditor, chosen.model)
    try:
        return auditor.restoration(
            model=model,
            to=chosen.to,
            actor=chosen.actor,
            correlation=chosen.correlation,
            since=chosen.since,
            until=chosen.until,
        )
    except InvalidInput as error:
        raise click.UsageError(listed("That is no set of documents:", error.errors)) from error


def _place(token: str | None) -> Place | None:
    try:
        return None if token is None else Place.of(token)
    except ValueError as error:
        raise click.BadParameter(
            "it is what an earlier run said; leave it out to begin anew.", param_hint="--after"
        ) from error


def _look(restoration: Restoration, after: Place | None, out: Output) -> Outlook:
    total, _ = restoration.count()
    with out.progress("Looking", total) as advance:
        return restoration.outlook(
            _SAMPLE, after=after, progress=lambda found: advance(found.documents)
        )


def _run(
    restoration: Restoration,
    after: Place | None,
    seen: Outlook,
    terms: Terms,
    correlation: str,
    out: Output,
) -> Report:
    so_far = Report()

    with interruptible() as interrupt, out.progress("Putting back", seen.documents) as advance:

        def progress(report: Report) -> None:
            nonlocal so_far
            so_far = report
            advance(report.documents)
            interrupt.check()

        try:
            return restoration.run(
                actor=terms.actor,
                reason=terms.reason,
                correlation=correlation,
                after=after,
                progress=progress,
                seen=seen,
            )
        except KeyboardInterrupt:
            raise Interrupted(_reached(so_far, seen)) from None
        except Unavailable as error:
            raise click.ClickException(f"{error} {_reached(so_far, seen)}") from error


def _reached(report: Report, seen: Outlook) -> str:
    done = f"{report.documents:,} of {named(seen.documents, 'document')} are done"
    if report.place is None:
        return f"{done}."
    return f"{done}, with {named(report.written, 'event')}; go on with --after {report.place.token}"


def _tell(auditor: Auditor, report: Report, correlation: str, out: Output) -> None:
    failed = [_shown(auditor, each) for each in report.failures]
    if out.as_json:
        facts = {
            "documents": report.documents,
            "written": report.written,
            "unchanged": report.unchanged,
            "failed": failed,
            "correlation": correlation,
        }
        out.document(facts)
        return
    out.lines((line for each in failed for line in _lines(each)), err=True)
    left = len({(each["model"], each["document"]) for each in failed})
    told = [
        f"{named(report.written, 'event')} written",
        f"{report.unchanged:,} were so already" if report.unchanged else "",
        f"{named(left, 'document')} left alone" if left else "",
    ]
    out.lines([f"{', '.join(each for each in told if each)}."])
    if report.written:
        out.remark(f"All of it is taken back by: bzz undo --correlation {correlation}")


def _preview(auditor: Auditor, seen: Outlook) -> Iterator[Text]:
    if not seen.documents:
        yield styled("No document has such events: there is nothing to do.")
        return
    yield styled(f"{named(seen.documents, 'document')}, {named(seen.events, 'event')}:")
    for each in seen.sample:
        yield from _lines(_shown(auditor, each))
    if seen.documents > _SAMPLE:
        yield styled(f"… and {named(seen.documents - _SAMPLE, 'more document')}.")


def _lines(shown: dict[str, Any]) -> Iterator[Text]:
    name = f"{shown['model']} {shown['document']}"
    does = "" if shown["does"] is None else f": {shown['does']}"
    version = "" if shown["version"] is None else f" version {shown['version']}"
    if "problem" in shown:
        yield styled(f"{name}{does}{version}: ", (shown["problem"]["detail"], "yellow"))
        return
    so = "" if shown["changes"] or shown["does"] == "delete" else " (it is so already)"
    yield styled(f"{name}{does}{version}{so}")
    yield from change_lines(shown["changes"], indent=2)


def _shown(auditor: Auditor, told: Failure | Foreseen) -> dict[str, Any]:
    schema, move = schema_of(told.model), told.move
    shown: dict[str, Any] = {
        "model": auditor.tracked_as(told.model).name,
        "document": schema.format_id(told.document),
        **_does(move),
    }
    if isinstance(told, Foreseen) and told.error is None:
        return {**shown, "changes": show_changes(told.changes, schema)}
    return {**shown, "problem": {"detail": _why(told.error)}}


def _does(move: Move | None) -> dict[str, Any]:
    if move is None:
        return {"does": None, "version": None}
    return {"does": move.kind, "version": move.version or None}


def _why(error: Exception | None) -> str:
    # What nobody expects is named alone: its words may hold what is not to be shown.
    told = None if error is None else sentence(error)
    return told or f"The application raised {type(error).__name__}."
