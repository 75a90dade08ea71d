"""`bzz replay`: make stored documents what their histories say, or fill a collection with them."""

from __future__ import annotations

from typing import Any

import click
from mongoengine.errors import NotUniqueError

from bzz.audit import Auditor, History
from bzz.audit.errors import AuditError
from bzz.audit.verifying import Counts, Report
from bzz.cli.application import audited, document_named, model_named
from bzz.cli.ending import Interrupted, interruptible, sentence
from bzz.cli.naming import id_argument, model_argument
from bzz.cli.output import Output, confirm, confirmed, reported, styled
from bzz.cli.telling import named, require_history
from bzz.cli.verify import documents_of, line_of, reached, shown_of, told
from bzz.errors import BzzError
from bzz.recording import Model

_SAMPLE = 20
"""Documents of which the preview tells all."""


@click.command()
@model_argument()
@id_argument(required=False)
@click.option("--into", metavar="COLLECTION", help="Store them there, and leave the stored ones.")
@click.option("--after", metavar="TOKEN", help="Go on where an earlier run ended.")
@click.option("--dry-run", is_flag=True, help="Only show what would be overwritten.")
@confirmed
@audited
@reported
def replay(
    model: str,
    id: str | None,  # noqa: A002
    into: str | None,
    after: str | None,
    dry_run: bool,
    yes: bool,
    auditor: Auditor,
    out: Output,
) -> None:
    """Make documents what their histories say.

    Without an event, and only those that are not so. What is stored otherwise is shown first,
    from what the history says to what is stored, and is lost. With --into the documents of
    MODEL are stored in an empty collection instead.
    """
    found = model_named(auditor, model)
    if into is not None:
        if id is not None:
            raise click.UsageError("--into is for all documents of a model, without ID.")
        _fill(auditor, found, into, after, dry_run, yes, out)
        return
    if id is not None and after is not None:
        raise click.UsageError("--after is for many documents, without ID.")
    reports = (
        [_of_one(auditor, model, id)] if id is not None else _of_many(auditor, found, after, out)
    )
    _mend(auditor, reports, dry_run, yes, out)


def _of_one(auditor: Auditor, model: str, text: str) -> Report:
    history = document_named(auditor, model, text)
    require_history(history, model, text)
    return history.verify()


def _of_many(auditor: Auditor, model: Model, after: str | None, out: Output) -> list[Report]:
    """The reports on all documents that are not what their histories say."""
    run = auditor.verify(model, after=after)
    total = None if after else documents_of(auditor, model)
    with interruptible() as interrupt, out.progress("Verifying", total) as advance:
        found = []
        try:
            for report in run:
                if report.differences or not report.ok:
                    found.append(report)
                advance(run.counts.documents)
                interrupt.check()
        except KeyboardInterrupt:
            raise Interrupted("Nothing was done.") from None
    return found


def _mend(auditor: Auditor, reports: list[Report], dry_run: bool, yes: bool, out: Output) -> None:
    wrong = [each for each in reports if each.differences or not each.ok]
    mendable = [each for each in wrong if not each.is_broken]
    broken = [each for each in wrong if each.is_broken]
    if out.as_json and dry_run:
        for each in wrong:
            out.item(shown_of(auditor, each), ())
    else:
        _preview(auditor, mendable, broken, out)
    if mendable and not dry_run:
        confirm(f"Overwrite {named(len(mendable), 'document')}?", yes=yes)
        _overwrite(auditor, mendable, out)
    if broken:
        raise click.exceptions.Exit(1)


def _preview(auditor: Auditor, mendable: list[Report], broken: list[Report], out: Output) -> None:
    lines: list[Any] = (
        [
            styled(
                (f"{named(len(broken), 'document')} cannot be told from a broken history:", "bold")
            )
        ]
        if broken
        else []
    )
    lines += [line_of(shown_of(auditor, each)) for each in broken[:_SAMPLE]]
    if mendable:
        lines.append(f"{named(len(mendable), 'document')} stored otherwise than its history says:")
        lines += [line_of(shown_of(auditor, each)) for each in mendable[:_SAMPLE]]
        if len(mendable) > _SAMPLE:
            lines.append(f"… and {named(len(mendable) - _SAMPLE, 'more document')}.")
    elif not broken:
        lines.append("All documents are what their histories say: there is nothing to do.")
    out.lines(lines, err=out.as_json)


def _overwrite(auditor: Auditor, reports: list[Report], out: Output) -> None:
    done, failed = 0, 0
    with interruptible() as interrupt, out.progress("Replaying", len(reports)) as advance:
        try:
            for number, report in enumerate(reports, 1):
                problem = _overwrite_one(auditor, report)
                done, failed = done + (problem is None), failed + (problem is not None)
                if problem is not None:
                    out.remark(problem)
                elif out.as_json:
                    out.item({**shown_of(auditor, report), "ok": True, "rebuilt": True}, ())
                advance(number)
                interrupt.check()
        except KeyboardInterrupt:
            raise Interrupted(
                f"{done:,} of {named(len(reports), 'document')} are overwritten; run it again for "
                "the others."
            ) from None
    if not out.as_json:
        out.lines([f"{named(done, 'document')} overwritten."])
    if failed:
        raise click.ClickException(f"{named(failed, 'document')} left as they were.")


def _overwrite_one(auditor: Auditor, report: Report) -> str | None:
    """Overwrite one document as it was seen; else why not."""
    history: History | None = auditor.history_under(report.stream, report.document)
    if history is None:  # no model has the stream any more
        return f"No model has the stream {report.stream!r}."
    try:
        history.rebuild(seen=report)
    except (AuditError, BzzError, NotUniqueError) as error:
        return str(error) if isinstance(error, NotUniqueError) else sentence(error)
    return None


def _fill(
    auditor: Auditor,
    model: Model,
    into: str,
    after: str | None,
    dry_run: bool,
    yes: bool,
    out: Output,
) -> None:
    total = documents_of(auditor, model)
    name = auditor.tracked_as(model).name
    out.lines(
        [f"The {name} documents go into {into!r}, of {named(total, 'history', 'histories')}."],
        err=out.as_json,
    )
    if dry_run:
        return
    confirm(f"Fill {into!r}?", yes=yes)
    run = auditor.rebuild(model, into=into, after=after)
    with interruptible() as interrupt, out.progress("Replaying", total) as advance:
        try:
            for report in run:
                if report.is_broken:
                    out.item(shown_of(auditor, report), [line_of(shown_of(auditor, report))])
                advance(run.counts.documents)
                interrupt.check()
        except KeyboardInterrupt:
            raise Interrupted(reached(f"Stored in {into!r} from", run.counts)) from None
    _tell_filled(run.counts, into, out)


def _tell_filled(counts: Counts, into: str, out: Output) -> None:
    out.item(
        {"into": into, "documents": counts.rebuilt, "broken": counts.broken},
        [f"{named(counts.rebuilt, 'document')} stored in {into!r}, from {told(counts)}."],
    )
    if counts.broken:
        raise click.exceptions.Exit(1)
