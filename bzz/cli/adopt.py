"""`bzz adopt`: give documents from before the audit the baseline that their history starts from."""

from __future__ import annotations

import click

from bzz.audit import Auditor
from bzz.audit.adopting import Adoption, without_baseline
from bzz.cli.application import audited, model_named
from bzz.cli.ending import Interrupted, interruptible
from bzz.cli.naming import model_argument
from bzz.cli.output import Output, confirm, confirmed, reported
from bzz.cli.telling import named
from bzz.errors import Unavailable
from bzz.recording import Model
from bzz.schema import schema_of


@click.command()
@model_argument()
@click.option("--after", metavar="TOKEN", help="Go on where an earlier run ended.")
@click.option("--dry-run", is_flag=True, help="Only say how many documents have no history yet.")
@confirmed
@audited
@reported
def adopt(
    model: str, after: str | None, dry_run: bool, yes: bool, auditor: Auditor, out: Output
) -> None:
    """Give documents without a history their baseline.

    Those of MODEL, from before the audit. May be run again, and while the application writes.
    """
    found = model_named(auditor, model)
    with out.progress("Looking") as advance:
        new, looked_at = without_baseline(auditor, found, after=after, progress=advance)
    if dry_run and out.as_json:
        out.document({"model": model, "without_history": new, "documents": looked_at})
        return
    out.lines(
        [f"{new:,} of {named(looked_at, f'{model} document')} have no history yet."],
        err=out.as_json,
    )
    if dry_run or not new:
        return
    confirm(f"Give {named(new, 'document')} a baseline?", yes=yes)
    done = _adopt(auditor, found, after, looked_at, out)
    _tell(found, done, out)


def _adopt(auditor: Auditor, model: Model, after: str | None, total: int, out: Output) -> Adoption:
    so_far = Adoption()
    with interruptible() as interrupt, out.progress("Adopting", total) as advance:

        def progress(adoption: Adoption) -> None:
            nonlocal so_far
            so_far = adoption
            advance(adoption.adopted + adoption.known + len(adoption.refused))
            interrupt.check()

        try:
            return auditor.adopt(model, after=after, progress=progress)
        except KeyboardInterrupt:
            raise Interrupted(_reached(so_far)) from None
        except Unavailable as error:
            raise click.ClickException(f"{error} {_reached(so_far)}") from error


def _reached(adoption: Adoption) -> str:
    done = f"{named(adoption.adopted, 'document')} have a baseline by now"
    return f"{done}." if adoption.token is None else f"{done}; go on with --after {adoption.token}"


def _tell(model: Model, done: Adoption, out: Output) -> None:
    schema = schema_of(model)
    refused = [schema.format_id(each) for each in done.refused]
    out.item(
        {"adopted": done.adopted, "known": done.known, "refused": refused},
        [f"{named(done.adopted, 'document')} adopted, {done.known:,} had a history."],
    )
    for each in refused:
        out.remark(f"{model.__name__} {each} is too large for an event.")
    if refused:
        raise click.exceptions.Exit(1)
