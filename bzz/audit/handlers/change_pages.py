"""Edge: a restore or an undo as pages: what it will change, a reason, done or not and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bzz.audit.handlers.document_pages import DocumentPageHandler
from bzz.audit.handlers.paging import EXPLAINED
from bzz.audit.handlers.restore import Order, Ordered, RestoreHandler, UndoHandler
from bzz.audit.pages.change import Asked, Trouble, change, choice_of
from bzz.audit.planning import Plan
from bzz.audit.restoring import refusal
from bzz.errors import BadRequest, NotFound
from bzz.preconditions import Precondition
from bzz.problems import Problem
from bzz.targets import Target


class ChangePageHandler(DocumentPageHandler, RestoreHandler):
    """Asks before it is done; a form that comes back is carried out as an order by the API is.

    The reader may choose some of the fields: a form of its own asks for another preview, and what
    was previewed is what is sent.
    """

    word = ""
    """How the path ends."""
    _refused: Exception | None = None

    async def page(self) -> None:
        """What would change now, and a form that asks for it."""
        self.check_arguments()
        chosen = [value for name, value in super().query_arguments() if name == "fields"]
        await self._ask(self.target(), chosen)

    def query_arguments(self) -> list[tuple[str, str]]:
        """As for all pages; fields are chosen by one parameter each."""
        pairs = super().query_arguments()
        return [each for each in pairs if not (each[0] == "fields" and self.wants_page())]

    async def post(self, *_: str) -> None:
        """Do what a page's form asks for; other bodies are the API's."""
        if not self.is_form_of_page():
            await super().post(*_)
            return
        target = self.target()
        self.check_arguments()
        form, chosen = self.read_form("reason", "seen"), self._chosen()
        try:
            order = Order.read({"reason": form.get("reason"), "fields": chosen or None}, self.what)
            came = await self.carry_out(target, order, _precondition(form.get("seen")))
        except Exception as error:  # which of them the reader can mend, their problems tell
            problem = self.problem(error)
            if problem.status not in EXPLAINED:
                raise
            self.set_status(problem.status)
            await self._ask(target, chosen, reason=form.get("reason", ""), problem=problem)
            return
        version = came.done.version or ""
        self.set_header("Cache-Control", "no-store")
        self.redirect(f"{self.history_url()}#v{version}", status=303)

    def foreseen(self, plan: Plan) -> None:
        """Keep what saving would raise, for the page to tell; the API's answer does not."""
        self._refused = refusal(plan) if self.wants_page() else None

    def _chosen(self) -> list[str]:
        given = self.read_body().nested().get("fields") or []
        return [given] if isinstance(given, str) else given

    async def _ask(
        self,
        target: Target,
        chosen: list[str],
        *,
        reason: str = "",
        problem: Problem | None = None,
    ) -> None:
        version, subject = int(self.part(2)), await self.subject(target)
        event = None
        # Who may restore may not be meant to see who did what before.
        if await self.may_do([("history", target.last.schema.model, target.last.value)]):
            event = await self.off_loop(self._event_if_any, target, version)
        whole, why = await self._foresee(target, [])
        came, why = await self._foresee(target, chosen) if chosen else (whole, why)
        if came is None and why is not None:
            self.set_status(why.status)
        elif problem is not None:
            why = self.trouble(problem)
        # What cannot be taken back whole may be in part.
        fields = whole.changes if whole else event["changes"] if event else []
        asked = Asked(
            what=self.word,
            version=version,
            seen=None if came is None else came.seen,
            changes=None if came is None else came.changes,
            token=self.token(),
            choice={} if subject.is_deleted else choice_of(fields),
            chosen=chosen,
            reason=reason,
            trouble=why,
        )
        await self.show(change, subject, event, asked, keep="no-store")

    async def _foresee(
        self, target: Target, chosen: list[str]
    ) -> tuple[Ordered | None, Trouble | None]:
        """What would change, and why it would be refused; or why nothing can be foreseen."""
        try:
            order = Order.read({"fields": chosen or None, "dry_run": True}, self.what)
            came = await self.carry_out(target, order, None)
        except Exception as error:  # as above
            problem = self.problem(error)
            if problem.status not in (*EXPLAINED, 410):
                raise
            return None, self.trouble(problem)
        if self._refused is None:
            return came, None
        problem = self.problem(self._refused)
        told = replace(self.trouble(problem), is_foreseen=True)
        return came, told if problem.status in EXPLAINED else None

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
