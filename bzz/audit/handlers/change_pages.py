"""Edge: a restore or an undo as pages: what it will change, a reason, done or not and why."""

from __future__ import annotations

from typing import Any

from bzz.audit.handlers.document_pages import DocumentPageHandler
from bzz.audit.handlers.paging import EXPLAINED
from bzz.audit.handlers.restore import Order, RestoreHandler, UndoHandler
from bzz.audit.pages.change import Asked, change
from bzz.errors import BadRequest, NotFound
from bzz.preconditions import Precondition
from bzz.problems import Problem
from bzz.targets import Target


class ChangePageHandler(DocumentPageHandler, RestoreHandler):
    """Asks before it is done; a form that comes back is carried out as an order by the API is."""

    word = ""
    """How the path ends."""

    async def page(self) -> None:
        """What would change now, and a form that asks for it."""
        self.check_arguments()
        await self._ask(self.target())

    async def post(self, *_: str) -> None:
        """Do what a page's form asks for; other bodies are the API's."""
        if not self.is_form_of_page():
            await super().post(*_)
            return
        target = self.target()
        self.check_arguments()
        form = self.read_form("reason", "seen")
        try:
            order = Order.read({"reason": form.get("reason")}, self.what)
            came = await self.carry_out(target, order, _precondition(form.get("seen")))
        except Exception as error:  # which of them the reader can mend, their problems tell
            problem = self.problem(error)
            if problem.status not in EXPLAINED:
                raise
            self.set_status(problem.status)
            await self._ask(target, reason=form.get("reason", ""), problem=problem)
            return
        version = came.done.version or ""
        self.set_header("Cache-Control", "no-store")
        self.redirect(f"{self.history_url()}#v{version}", status=303)

    async def _ask(
        self, target: Target, *, reason: str = "", problem: Problem | None = None
    ) -> None:
        trouble = None if problem is None else self.trouble(problem)
        changes, seen = None, None
        try:
            came = await self.carry_out(target, Order(dry_run=True), None)
            changes, seen = came.changes, came.seen
        except Exception as error:  # as above
            now = self.problem(error)
            if now.status not in (*EXPLAINED, 410):
                raise
            # Nothing can be foreseen, and that is what there is to say.
            self.set_status(now.status)
            trouble = self.trouble(now)
        version = int(self.part(2))
        subject = await self.subject(target)
        event = None
        # Who may restore may not be meant to see who did what before.
        if await self.may_do([("history", target.last.schema.model, target.last.value)]):
            event = await self.off_loop(self._event_if_any, target, version)
        asked = Asked(
            what=self.word,
            version=version,
            seen=seen,
            changes=changes,
            token=self.token(),
            reason=reason,
            trouble=trouble,
        )
        await self.show(change, subject, event, asked, keep="no-store")

    def _event_if_any(self, target: Target, version: int) -> dict[str, Any] | None:
        try:
            return self.read_event(target, version)[1]
        except NotFound:
            return None


class RestorePageHandler(ChangePageHandler):
    """Makes a version the newest one."""

    word = "restore"


class UndoPageHandler(ChangePageHandler, UndoHandler):
    """Takes one event back."""

    word = "undo"


def _precondition(seen: str | None) -> Precondition:
    """That the document has the version for which the preview was made; any, if it had none."""
    if seen is None:
        return Precondition(frozenset(), any=True)
    if not (seen.isascii() and seen.isdecimal() and len(seen) < 19):
        raise BadRequest(f"'seen' is the version that the preview showed; got {seen[:40]!r}.")
    return Precondition(frozenset({int(seen)}))
