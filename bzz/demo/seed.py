"""The demo's past: six weeks of an office's life, written as it would have been.

Each deed is one write of the auditor, with its actor, reason and time; nothing is put into the
history by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any

from bzz.audit import Auditor
from bzz.demo.models import Address, Line, Order, Person, Team

SHOP = ("service", "purchasing")
COURIER = ("service", "courier")

# Who was there before anything was audited, and who came later: days ago.
PEOPLE = [
    (None, "eva", "Eva Lindqvist", "people", "1979-04-02", "Lisboa", "pt sv en", "4100"),
    (None, "rui", "Rui Carvalho", "buyer", "1985-11-23", "Lisboa", "pt en", "3300"),
    (None, "ana", "Ana Souza", "engineer", "1990-06-14", "Porto", "pt en", "4400"),
    (None, "ken", "Kenji Sato", "designer", "1988-01-30", "Lisboa", "ja en pt", "3900"),
    (None, "tom", "Tom Okafor", "support", "1993-09-08", "Braga", "en pt", "2900"),
    (41, "ines", "Inês Moreira", "engineer", "1994-12-01", "Porto", "pt en fr", "4000"),
    (40, "zoe", "Zoë Martin", "designer", "1991-03-17", "Lisboa", "fr en", "3700"),
    (38, "omar", "Omar Haddad", "engineer", "1987-07-21", "Porto", "ar fr en", "4600"),
    (36, "sam", "Samuel Brandt", "support", "1996-05-05", "Braga", "de en", "2800"),
    (33, "mia", "Mia Kowalska", "designer", "1995-10-11", "Lisboa", "pl en", "3500"),
    (29, "yara", "Yara Lima", "engineer", "1992-02-26", "Coimbra", "pt en es", "4200"),
    (24, "leo", "Leo Fontana", "support", "1998-08-19", "Braga", "it en", "2700"),
    (17, "nadia", "Nadia Petrova", "engineer", "1986-04-28", "Porto", "ru en pt", "4700"),
    (9, "pia", "Pia Jensen", "people", "1990-12-12", "Lisboa", "da en", "3400"),
]

TEAMS = [
    ("platform", "engineer", "ana", "Keeps the lights on"),
    ("design", "designer", "ken", "Makes things clear"),
    ("support", "support", "tom", "Answers within the hour"),
    ("purchasing", "buyer", "rui", "Buys well"),
    ("people", "people", "eva", "Hires, and helps to stay"),
]

PRICES = {
    "Laptop": "1249.00",
    "Monitor": "329.00",
    "Dock": "189.00",
    "Keyboard": "74.50",
    "Headset": "89.00",
    "Desk lamp": "39.90",
    "Standing desk": "549.00",
    "Chair": "419.00",
    "Whiteboard": "129.00",
    "Coffee, 1 kg": "18.40",
}

# Number, customer, days ago, articles, and how far it came.
ORDERS: list[tuple[str, str, int, dict[str, int], str]] = [
    ("1001", "ana", 40, {"Laptop": 1, "Dock": 1}, "delivered"),
    ("1002", "ken", 39, {"Monitor": 2}, "delivered"),
    ("1003", "ines", 38, {"Laptop": 1, "Keyboard": 1}, "delivered"),
    ("1004", "tom", 37, {"Headset": 4}, "delivered"),
    ("1005", "zoe", 36, {"Standing desk": 1, "Chair": 1}, "delivered"),
    ("1006", "eva", 34, {"Whiteboard": 1}, "cancelled"),
    ("1007", "tom", 32, {"Desk lamp": 100}, "delivered"),
    ("1008", "omar", 31, {"Laptop": 1, "Monitor": 1, "Dock": 1}, "delivered"),
    ("1009", "rui", 28, {"Coffee, 1 kg": 12}, "delivered"),
    ("1010", "mia", 26, {"Monitor": 1, "Desk lamp": 1}, "delivered"),
    ("1011", "ana", 24, {"Keyboard": 1}, "cancelled"),
    ("1012", "yara", 22, {"Laptop": 1, "Dock": 1, "Headset": 1}, "delivered"),
    ("1013", "ken", 20, {"Whiteboard": 2}, "delivered"),
    ("1014", "leo", 18, {"Headset": 1, "Chair": 1}, "delivered"),
    ("1015", "leo", 18, {"Headset": 1, "Chair": 1}, "requested"),
    ("1016", "ines", 15, {"Standing desk": 1}, "delivered"),
    ("1017", "nadia", 13, {"Laptop": 1, "Monitor": 2, "Dock": 1}, "delivered"),
    ("1018", "omar", 10, {"Chair": 1}, "ordered"),
    ("1019", "eva", 8, {"Coffee, 1 kg": 12}, "ordered"),
    ("1020", "pia", 6, {"Laptop": 1, "Headset": 1}, "ordered"),
    ("1021", "zoe", 4, {"Desk lamp": 2}, "approved"),
    ("1022", "yara", 3, {"Monitor": 1}, "approved"),
    ("1023", "mia", 2, {"Keyboard": 1, "Dock": 1}, "requested"),
    ("1024", "tom", 1, {"Headset": 2}, "requested"),
]

STORIES = [
    (Order, "1007", "A hundred desk lamps, and who noticed"),
    (Order, "1012", "Deleted by mistake, and brought back"),
    (Order, "1015", "Deleted for good: the history is still there"),
    (Order, "1018", "Changed in a database shell, round bzz: found and recorded as external"),
    (Person, "ana", "Known before auditing began; her salary changed, its values are nobody's"),
    (Team, "support", "Somebody left the company, and MongoEngine took him out of his team"),
]
"""Documents whose history is worth a look."""


class Clock:
    """Tells an auditor the time; within `at` the time that it is told."""

    def __init__(self) -> None:
        self._told: datetime | None = None

    def __call__(self) -> datetime:
        return self._told or datetime.now(UTC)

    @contextmanager
    def at(self, moment: datetime) -> Iterator[None]:
        """Let it be `moment` for the length of a block."""
        self._told = moment
        try:
            yield
        finally:
            self._told = None


@dataclass(frozen=True, kw_only=True)
class Deed:
    """What somebody did some days ago.  Without an actor it was done round bzz."""

    days: int
    at: str
    actor: Any
    work: Callable[[], object]
    reason: str | None = None
    correlation: str | None = None

    @property
    def when(self) -> datetime:
        """When it was done."""
        return moment(self.days, self.at)


def seed(auditor: Auditor, clock: Clock) -> None:
    """Let all deeds happen, in order."""
    deeds = chain(founding(), hiring(), ordering(), mishaps(auditor), office_life(auditor))
    for deed in sorted(deeds, key=lambda each: each.when):
        if deed.actor is None:
            deed.work()
            continue
        with clock.at(deed.when):
            auditor.write(
                deed.work,
                actor=deed.actor,
                reason=deed.reason,
                correlation=deed.correlation,
            )


def founding() -> Iterator[Deed]:
    """The documents that were there before: the first change of each begins with a baseline."""
    for days, *facts in PEOPLE:
        if days is None:
            yield Deed(days=45, at="08:00", actor=None, work=person(*facts).save)
    for name, role, lead, purpose in TEAMS:
        yield Deed(days=45, at="08:30", actor=None, work=found(name, role, lead, purpose))


def hiring() -> Iterator[Deed]:
    """A new colleague and the team that grows: two documents, one write."""
    for days, handle, name, *facts in PEOPLE:
        if days is not None:
            yield Deed(
                days=days,
                at="09:15",
                actor="eva",
                reason=f"{name} joins us",
                correlation=f"hire-{handle}",
                work=hire(handle, name, *facts),
            )


def ordering() -> Iterator[Deed]:
    """All orders, each on its way."""
    for number, customer, days, articles, end in ORDERS:
        yield from way_of(number, customer, days, articles, end)


def way_of(
    number: str, customer: str, days: int, articles: dict[str, int], end: str
) -> Iterator[Deed]:
    """An order's way: the customer asks, a lead approves, and services do the rest."""
    at = f"{9 + int(number) % 8:02}:{int(number) * 7 % 60:02}"

    def step(after: int, actor: Any, status: str, reason: str | None = None) -> Deed:
        return Deed(
            days=days - after,
            at=at,
            actor=actor,
            reason=reason,
            correlation=f"order-{number}",
            work=change(Order, number, status=status),
        )

    asked = place(number, customer, moment(days, at), articles)
    yield replace(step(0, customer, "requested"), work=asked)
    if end == "cancelled":
        yield step(1, customer, "cancelled", "found one in the cellar")
    if end in ("approved", "ordered", "delivered"):
        yield step(1, approver_of(customer), "approved", "within the budget")
    if end in ("ordered", "delivered"):
        yield step(2, SHOP, "ordered")
    if end == "delivered":
        yield step(5, COURIER, "delivered", "left at the reception")


def mishaps(auditor: Auditor) -> Iterator[Deed]:
    """What a history is for."""

    def ten_lamps() -> None:
        order = Order.objects.get(number="1007")
        order.lines[0].quantity = 10
        order.save()

    def in_a_shell() -> None:
        Order.objects(number="1018").update(status="delivered")

    def back_again() -> None:
        auditor.history(Order, "1012").restore(4)

    late = change(Order, "1018", due=moment(-7, "00:00").date())
    yield Deed(days=32, at="16:40", actor="rui", reason="ten, not a hundred", work=ten_lamps)
    yield Deed(days=17, at="10:00", actor="leo", reason="same as 1014", work=delete(Order, "1015"))
    yield Deed(days=16, at="11:05", actor="tom", work=delete(Order, "1012"))
    yield Deed(days=16, at="11:20", actor="rui", reason="deleted by mistake", work=back_again)
    yield Deed(days=5, at="18:30", actor=None, work=in_a_shell)
    yield Deed(days=4, at="09:10", actor="rui", reason="the supplier is late", work=late)


def office_life(auditor: Auditor) -> Iterator[Deed]:
    """A move, raises, a farewell, and an edit that was taken back."""

    def raises() -> None:
        for colleague in Person.objects(handle__in=["ana", "ken", "tom"]):
            colleague.salary += 150
            colleague.save()

    def next_lead() -> None:
        team = Team.objects.get(name="design")
        team.lead = somebody("mia")
        team.save()

    def as_before() -> None:
        auditor.history(Team, "design").restore(3)

    move = change(Person, "ana", home=Address(street="Rua das Flores 11", city="Porto"))
    words = change(Team, "design", purpose="Synergises touchpoints")
    married = change(Person, "ken", name="Kenji Sato-Reis")
    goodbye = delete(Person, "sam")
    yield Deed(days=35, at="12:30", actor="ana", work=move)
    yield Deed(days=30, at="10:00", actor="eva", reason="yearly review", work=raises)
    yield Deed(days=27, at="15:45", actor="zoe", reason="clearer?", work=words)
    yield Deed(days=27, at="16:05", actor="ken", reason="no", work=as_before)
    yield Deed(days=19, at="08:50", actor="ken", work=married)
    yield Deed(days=14, at="17:00", actor="eva", reason="left the company", work=goodbye)
    yield Deed(days=7, at="09:30", actor="eva", reason="leads from next week", work=next_lead)


# Parts of deeds ---------------------------------------------------------------------------


def person(
    handle: str, name: str, role: str, born: str, city: str, languages: str, salary: str
) -> Person:
    """A person, not yet saved."""
    return Person(
        handle=handle,
        name=name,
        role=role,
        email=f"{handle}@example.org",
        born=date.fromisoformat(born),
        home=Address(street=f"Rua Direita {len(name)}", city=city),
        languages=languages.split(),
        salary=Decimal(salary),
        last_seen=datetime.now(UTC),
    )


def found(name: str, role: str, lead: str, purpose: str) -> Callable[[], object]:
    """Make a team of those who have its role."""

    def work() -> None:
        members = list(Person.objects(role=role))
        Team(name=name, purpose=purpose, lead=somebody(lead), members=members).save()

    return work


def hire(handle: str, name: str, role: str, *facts: str) -> Callable[[], object]:
    """Take somebody in, and into the team of the role."""

    def work() -> None:
        newcomer = person(handle, name, role, *facts).save(force_insert=True)
        team = Team.objects.get(name=next(team for team, of, *_ in TEAMS if of == role))
        team.members.append(newcomer)
        team.save()

    return work


def place(
    number: str, customer: str, placed: datetime, articles: dict[str, int]
) -> Callable[[], object]:
    """Place an order, to be delivered where the customer lives."""

    def work() -> None:
        buyer = somebody(customer)
        Order(
            number=number,
            customer=buyer,
            lines=[
                Line(article=article, quantity=quantity, price=PRICES[article])
                for article, quantity in articles.items()
            ],
            deliver_to=buyer.home,
            placed=placed,
            due=placed.date() + timedelta(7),
        ).save(force_insert=True)

    return work


def change(model: Any, pk: str, **values: Any) -> Callable[[], object]:
    """Set fields of a document."""

    def work() -> None:
        document = model.objects.get(pk=pk)
        for name, value in values.items():
            setattr(document, name, value)
        document.save()

    return work


def delete(model: Any, pk: str) -> Callable[[], object]:
    """Delete a document, and do what the rules of MongoEngine say."""
    return lambda: model.objects.get(pk=pk).delete()


def somebody(handle: str) -> Any:
    """A person, as stored now."""
    return Person.objects.get(handle=handle)


def approver_of(handle: str) -> str:
    """Who approves what somebody orders: the lead of the team, and never oneself."""
    role = next(each[3] for each in PEOPLE if each[1] == handle)
    leads = [next(lead for _, of, lead, _ in TEAMS if of == role), "eva", "rui"]
    return next(lead for lead in leads if lead != handle)


def moment(days: int, at: str) -> datetime:
    """A time of day, some days ago."""
    day = datetime.now(UTC).date() - timedelta(days)
    return datetime.combine(day, time.fromisoformat(at), UTC)
