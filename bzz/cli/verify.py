"""`bzz verify`: prove that histories are whole, and that documents are what they say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from rich.text import Text

from bzz.audit import Auditor
from bzz.audit.scope import scopes
from bzz.audit.verifying import Counts, Report
from bzz.audit.views import show_problem, show_report
from bzz.cli.application import audited, document_named, model_named, unknown
from bzz.cli.ending import Interrupted, interruptible
from bzz.cli.naming import id_argument, model_argument
from bzz.cli.output import FOUND_WRONG, Output, reported, styled
from bzz.cli.telling import change_lines, named
from bzz.recording import Model
from bzz.schema import schema_of


@click.command()
@model_argument(required=False)
@id_argument(required=False)
@click.option("--after", metavar="TOKEN", help="Go on where an earlier run ended.")
@audited
@reported
def verify(
    model: str | None,
    id: str | None,  # noqa: A002
    after: str | None,
    auditor: Auditor,
    out: Output,
) -> None:
    """Prove the histories of a document, a model, or of all.

    While writers go on. Prints a line for each document that is not what its history says, or
    whose history is not whole, and ends with 3 if there is one.
    """
    if model is not None and id is not None:
        if after is not None:
            raise click.UsageError("--after is for many documents, without ID.")
        counts = _verify_one(auditor, model, id, out)
    else:
        found = None if model is None else model_named(auditor, model)
        counts = _verify_many(auditor, found, after, out)
    if not counts.ok:
        raise click.exceptions.Exit(FOUND_WRONG)


def _verify_one(auditor: Auditor, model: str, text: str, out: Output) -> Counts:
    report = document_named(auditor, model, text).verify()
    if not report.versions and not report.has_no_baseline:
        raise unknown(model, text)
    tell(auditor, report, out)
    return _summary(Counts().plus(report), out)


def _verify_many(auditor: Auditor, model: Model | None, after: str | None, out: Output) -> Counts:
    run = auditor.verify(model, after=after)
    total = None if after else documents_of(auditor, model)
    with interruptible() as interrupt, out.progress("Verifying", total) as advance:
        try:
            for report in run:
                tell(auditor, report, out)
                advance(run.counts.documents)
                interrupt.check()
        except KeyboardInterrupt:
            raise Interrupted(reached("Verified", run.counts)) from None
    return _summary(run.counts, out)


def documents_of(auditor: Auditor, model: Model | None) -> int:
    """How many documents of a model, or of all, have a history."""
    auditor.prepare()
    streams = [each.stream for each in scopes(auditor, model)]
    return auditor.store.count({"s": {"$in": streams}})[0]


def reached(done: str, counts: Counts) -> str:
    """How far a run has come that was ended, and how it goes on."""
    token = f" Go on with --after {counts.token}" if counts.token else ""
    return f"{done} {told(counts)}.{token}"


def told(counts: Counts) -> str:
    """What a run has met, in words."""
    wrong = [
        f"{counts.different:,} otherwise than their history says" if counts.different else "",
        f"{counts.broken:,} with a history that is not whole" if counts.broken else "",
    ]
    found = "; ".join(each for each in wrong if each) or "nothing is wrong"
    return f"{named(counts.documents, 'document')}, {named(counts.versions, 'version')}: {found}"


def tell(auditor: Auditor, report: Report, out: Output) -> None:
    """A line on a report of something wrong; nothing on another one."""
    if report.ok and not report.differences:
        return
    shown = shown_of(auditor, report)
    out.item(shown, [line_of(shown)])


def shown_of(auditor: Auditor, report: Report) -> dict[str, Any]:
    """A report as the API shows it."""
    if report.of_log:
        problems = [show_problem(each) for each in report.problems]
        return {"ok": False, "model": None, "document": None, "problems": problems}
    models = {auditor.tracked_as(each).name: each for each in auditor.models()}
    return show_report(report, schema_of(models[report.model]))


def line_of(shown: dict[str, Any]) -> Text:
    """A report, as the API shows it, in one line."""
    name = "All events" if shown["model"] is None else f"{shown['model']} {shown['document']}"
    parts = list(_parts(shown))
    joined: list[Text] = []
    for each in parts:
        joined += [styled("; "), each] if joined else [each]
    return Text.assemble(styled((name, "bold"), ": "), *joined)


def _parts(shown: dict[str, Any]) -> Iterator[Text]:
    for each in shown["problems"]:
        yield styled((each["detail"], "yellow"))
    for change in shown.get("differences", ()):
        yield Text(" ").join(change_lines([change]))


def _summary(counts: Counts, out: Output) -> Counts:
    out.remark(f"Verified {told(counts)}.")
    if counts.without_baseline:
        are = "has" if counts.without_baseline == 1 else "have"
        out.remark(
            f"{named(counts.without_baseline, 'document')} {are} no history yet: 'bzz adopt "
            "MODEL' gives them their baseline."
        )
    return counts
