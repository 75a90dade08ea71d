"""Documents for the paths of a description: each request gets a document of its own."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from typing import Any

_number = itertools.count(1)


def _person(world: Any) -> Any:
    return world.Person(
        name="Ana",
        email=f"ana{next(_number)}@example.com",
        score=1.5,
        home=world.Address(street="Rua", country=world.Country(code="PT")),
        contacts=[world.Contact(label="work"), world.Phone(label="home", number="1")],
        tags=["a"],
        points={"left": 1},
        secret="x",
    ).save()


def _parcel(world: Any) -> Any:
    person = _person(world)
    return world.Parcel(
        number=f"P {next(_number)}/ü",
        sender=person,
        counters=[_counter(world)],
        about=person,
        size=world.Size.LARGE,
        weight="1.25",
        price="9.99",
        key=uuid.uuid4(),
        label=b"\0\1",
        place=[1, 2],
        spot=[3.5, 4],
        notes={"any": [1, {"deep": None}]},
        thing=world.Phone(label="x"),
    ).save()


def _counter(world: Any) -> Any:
    return world.Counter(code=next(_number)).save()


def _reading(world: Any) -> Any:
    return world.Reading(counter=_counter(world), values=[[1], []]).save()


def _note(world: Any) -> Any:
    return world.Note(title="T", anything={"a": [1.5, None, "x"]}, other=3).save()


def _free(world: Any) -> Any:
    return world.Free(title="t").save()


_MAKERS: dict[str, Callable[[Any], Any]] = {
    "person": _person,
    "parcel": _parcel,
    "counter": _counter,
    "reading": _reading,
    "note": _note,
    "animal": lambda world: world.Puppy(name="P", weeks=3).save(),
    "dog": lambda world: world.Dog(name="D").save(),
    "free": _free,
}


def parameters_for(world: Any, path: str) -> dict[str, Any]:
    """The parameters of a path's template that lead to a new document, which has two versions.

    Of a subscription's path they lead to an event that it has parked, once it has any.
    """
    if "{subscription}" in path:
        world.auditor.write(lambda: _counter(world))
        parked = world.auditor.subscription("parking").parked(limit=1)
        found = {"subscription": "parking", "position": parked[0].position if parked else 1}
        return {name: value for name, value in found.items() if f"{{{name}}}" in path}
    document = world.auditor.write(lambda: _MAKERS[path.split("/")[1]](world))
    if "{version}" in path and next(_number) % 4 == 0:
        world.auditor.write(document.delete)
    found = {"id": getattr(document, "code", str(document.pk)), "version": 1}
    if hasattr(document, "counters"):
        found["counters_id"] = document.counters[0].fetch().code
    found["contacts_id"] = "home"
    return {name: value for name, value in found.items() if f"{{{name}}}" in path}
