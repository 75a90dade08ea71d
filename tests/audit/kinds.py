"""Documents of every kind, and in plain Python what bodies and patches make of them.

A `Kind` is a model with what is to be known of it: which member is stored under which name, how a
stored state is shown over HTTP, what of it is hidden.  Knows nothing of histories.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import bson
from hypothesis import strategies as st
from mongoengine import (
    NULLIFY,
    PULL,
    Document,
    DynamicDocument,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    FloatField,
    IntField,
    ListField,
    ReferenceField,
    StringField,
)

from bzz.values import EXACT

State = dict[str, Any]
Spec = dict[str, tuple[str, Any]]
"""Python names, each with the stored one and what is inside: None for a scalar, a spec for an
embedded document, a list of one spec for a list of them, an empty list for a list of scalars."""

HUSH = "hush"
"""With this each value begins that no history may hold."""

ADDRESS: Spec = {"street": ("street", None), "city": ("c", None)}
LINE: Spec = {"id": ("id", None), "count": ("count", None), "to": ("to", ADDRESS)}
CARD: Spec = {"id": ("id", None), "label": ("label", None), "number": ("number", None)}


@dataclass(frozen=True, eq=False)
class Kind:
    """One model.

    Attributes
    ----------
    path: of its list, without slashes.
    keys: the ids that its documents may have.
    label: the Python name of a text that each of them has.
    specs: of each class by `_cls`; None for models that know no inheritance.
    bodies: what PUT may send.
    excluded, masked: stored names of hidden members; `cards` hides the numbers of cards.
    """

    path: str
    model: Any
    keys: tuple[str, ...]
    label: str
    specs: dict[str | None, Spec]
    bodies: st.SearchStrategy[State]
    is_dynamic: bool = False
    excluded: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    hides_numbers: bool = False
    classes: dict[str | None, Any] = field(default_factory=dict)

    # Names and forms

    def spec(self, state: State) -> Spec:
        """The members of the class that a state, or a body, names."""
        return self.specs[state.get("_cls")]

    def stored_name(self, name: str) -> str:
        """The stored name of a member."""
        return next((spec[name][0] for spec in self.specs.values() if name in spec), name)

    def python_name(self, stored: str) -> str:
        """The Python name of a stored member."""
        specs = self.specs.values()
        return next(
            (n for spec in specs for n, (each, _) in spec.items() if each == stored), stored
        )

    def shown(self, key: str, state: State) -> State:
        """A state as the API shows it."""
        spec = self.spec(state)
        declared = {stored for stored, _ in spec.values()}
        more = {name: value for name, value in state.items() if name not in declared}
        if more.get("_cls") == self.model.__name__:
            del more["_cls"]  # only a class that inherits is named
        return {"id": key, "key": key, **shown_of(spec, state), **more}

    def stored(self, content: State) -> State:
        """Content of a new document, as it is stored."""
        own = {"_cls": content["_cls"]} if "_cls" in content else {}
        spec = self.spec(content)
        empty = {name: [] for name, (_, inner) in spec.items() if isinstance(inner, list)}
        given = {name: value for name, value in content.items() if value is not None}
        return exactly({**own, **self._members(spec, {**empty, **given})})

    def assigned(self, key: str, state: State, wanted: State) -> State:
        """A state, once the content that is shown of it has been made `wanted`.

        What is shown as before stays as it is stored, type and all.
        """
        content, spec, after = self.shown(key, state), self.spec(state), dict(state)
        for name in ({**content, **wanted}).keys() - {"id", "key", "_cls"}:
            if name in content and name in wanted and text(content[name]) == text(wanted[name]):
                continue
            value, (stored, inner) = wanted.get(name), spec.get(name, (name, None))
            if value is None and isinstance(inner, list):
                value = []
            after.pop(stored, None)
            if value is not None:
                after[stored] = stored_of(inner, value)
        return exactly(after)

    def knows(self, state: State, names: Any) -> bool:
        """Whether the class of a state may have all these members."""
        return self.is_dynamic or set(names) <= {*self.spec(state), "id", "key", "_cls"}

    def _members(self, spec: Spec, content: State) -> State:
        found = {name: spec.get(name, (name, None)) for name in content if name != "_cls"}
        return {stored: stored_of(inner, content[name]) for name, (stored, inner) in found.items()}

    # What is hidden

    def strip(self, state: State | None) -> State | None:
        """A state without what is hidden."""
        if state is None:
            return None
        hidden = (*self.excluded, *self.masked)
        visible = {name: value for name, value in state.items() if name not in hidden}
        if self.hides_numbers and "cards" in visible:
            visible["cards"] = [_without(each, "number") for each in visible["cards"]]
        return visible

    def veiled(self, state: State | None) -> Any:
        """What of a state is masked: only that it changed is to be told."""
        state = state or {}
        numbers = [each.get("number") for each in state.get("cards", ())]
        return [[state.get(name) for name in self.masked], numbers if self.hides_numbers else []]

    def keep_hidden(self, target: State, current: State | None) -> State:
        """A state that is brought back, with what is hidden as it is now."""
        found, current = self.strip(target) or {}, current or {}
        hidden = (*self.excluded, *self.masked)
        found |= {name: value for name, value in current.items() if name in hidden}
        if self.hides_numbers and "cards" in found:
            cards = {each["id"]: each for each in current.get("cards", ())}
            found["cards"] = [_with_number(each, cards.get(each["id"])) for each in found["cards"]]
        return found


def shown_of(spec: Spec, state: State) -> State:
    """What is stored of the members of a spec, as the API shows it."""
    found: State = {}
    for name, (stored, inner) in spec.items():
        value = state.get(stored)
        if isinstance(inner, list):
            found[name] = [shown_of(inner[0], each) if inner else each for each in value or ()]
        else:
            found[name] = value if inner is None or value is None else shown_of(inner, value)
    return found


def stored_of(inner: Any, value: Any) -> Any:
    """A value as it is stored; `inner` says what is inside."""
    if isinstance(inner, list):
        return [stored_of(inner[0], each) for each in value] if inner else value
    if inner is None:
        return value
    return {inner[n][0]: stored_of(inner[n][1], v) for n, v in value.items() if v is not None}


def _without(element: State, name: str) -> State:
    return {each: value for each, value in element.items() if each != name}


def _with_number(card: State, present: State | None) -> State:
    return card | ({"number": present["number"]} if present and "number" in present else {})


def text(value: Any) -> str:
    """JSON, in one order."""
    return json.dumps(value, sort_keys=True)


def exactly(state: State) -> State:
    """A state as BSON gives it back: integers above 32 bits have a type of their own."""
    found: State = bson.decode(bson.encode(state), EXACT)
    return found


# What is sent ------------------------------------------------------------------------------


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found


def patched(target: Any, operations: list[State]) -> Any:
    """RFC 6902, as far as `operations` below and `bzz` itself make it.  None: a test failed."""
    found = copy.deepcopy(target)
    for each in operations:
        *way, last = (_unescaped(token) for token in each["path"].split("/")[1:])
        holder = found
        for token in way:
            holder = holder[int(token) if isinstance(holder, list) else token]
        if isinstance(holder, list):
            last = len(holder) if last == "-" else int(last)
        if each["op"] == "test":
            if text(holder[last]) != text(each["value"]):
                return None
        elif each["op"] == "remove":
            del holder[last]
        elif each["op"] == "add" and isinstance(holder, list):
            holder.insert(last, copy.deepcopy(each["value"]))
        else:
            holder[last] = copy.deepcopy(each["value"])
    return found


def _unescaped(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")


def operations(content: State, body: State, draw: Callable[[Any], Any]) -> list[State]:
    """A JSON Patch that fits content, but perhaps for a test in it."""
    made = [{"op": "replace", "path": f"/{n}", "value": v} for n, v in body.items() if n in content]
    places = sorted(_places(patched(content, made)))
    if places and draw(st.booleans()):
        made.append({"op": "remove", "path": draw(st.sampled_from(places))})
    after = patched(content, made)
    if isinstance(after.get("tags"), list):
        made.append({"op": "add", "path": "/tags/0", "value": draw(st.sampled_from("xyz"))})
    if draw(st.integers(0, 9)) == 0:
        wrong = draw(st.booleans())
        value = "another" if wrong else after["key"]
        made.append({"op": "test", "path": "/key", "value": value})
    return made


def _places(content: Any, above: str = "") -> Iterator[str]:
    """The pointers of all that may be taken away."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for token, value in items:
        if token in ("id", "key", "_cls") or "/" in str(token) or "~" in str(token):
            continue
        path = f"{above}/{token}"
        yield path
        if isinstance(value, dict | list):
            yield from _places(value, path)


# The models --------------------------------------------------------------------------------

words = st.sampled_from(["a", "b", "ü", ""])
counts = st.sampled_from([0, 1, 2, 2**40])
hushed = st.sampled_from([f"{HUSH}-1", f"{HUSH}-2"])
addresses = st.fixed_dictionaries({}, optional={"street": words, "city": words})
lines = st.fixed_dictionaries({"id": st.sampled_from("lmno")}, optional={"count": counts})
lines |= st.fixed_dictionaries({"id": st.sampled_from("lmno"), "to": addresses})
cards = st.fixed_dictionaries(
    {"id": st.sampled_from("cde")}, optional={"label": words, "number": hushed}
)
scalars = st.sampled_from([None, True, False, 0, 1, 0.0, 1.0, 1.5, "", "x", "1", 2**40])
inner_names = st.sampled_from(["x", "y", "", "a.b", "é", "id"])
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(inner_names, inner, max_size=3),
    max_leaves=5,
)


def _some(**members: Any) -> st.SearchStrategy[State]:
    """A few of these members, null among their values."""
    return st.fixed_dictionaries({}, optional={n: st.none() | v for n, v in members.items()})


def _by_id(items: Any) -> Any:
    return st.lists(items, max_size=3, unique_by=lambda each: each["id"])


def define() -> list[Kind]:
    """New models of every kind.  Orders come first: teams refer to them."""

    class Address(EmbeddedDocument):
        street = StringField()
        city = StringField(db_field="c")

    class Line(EmbeddedDocument):
        id = StringField()
        count = IntField()
        to = EmbeddedDocumentField(Address)

    class Order(Document):
        key = StringField(primary_key=True)
        title = StringField(db_field="t")
        home = EmbeddedDocumentField(Address)
        lines = EmbeddedDocumentListField(Line)
        tags = ListField(StringField())

    class Team(Document):
        key = StringField(primary_key=True)
        name = StringField()
        head = ReferenceField(Order, reverse_delete_rule=NULLIFY)
        members = ListField(ReferenceField(Order, reverse_delete_rule=PULL))

    class Page(DynamicDocument):
        key = StringField(primary_key=True)
        title = StringField()

    class Shape(Document):
        key = StringField(primary_key=True)
        name = StringField()
        meta = {"allow_inheritance": True}

    class Circle(Shape):
        radius = FloatField()

    class Box(Shape):
        width = IntField()
        corners = ListField(IntField())

    class Card(EmbeddedDocument):
        id = StringField()
        label = StringField()
        number = StringField()

    class Vault(Document):
        key = StringField(primary_key=True)
        name = StringField()
        secret = StringField()
        pin = StringField()
        cards = EmbeddedDocumentListField(Card)

    shape: Spec = {"name": ("name", None)}
    return [
        Kind(
            "order",
            Order,
            ("o1", "o2"),
            "title",
            {
                None: {
                    "title": ("t", None),
                    "home": ("home", ADDRESS),
                    "lines": ("lines", [LINE]),
                    "tags": ("tags", []),
                }
            },
            _some(title=words, home=addresses, lines=_by_id(lines), tags=st.lists(words)),
        ),
        Kind(
            "team",
            Team,
            ("t1",),
            "name",
            {None: {"name": ("name", None), "head": ("head", None), "members": ("members", [])}},
            _some(
                name=words,
                head=st.sampled_from(["o1", "o2"]),
                members=st.lists(st.sampled_from(["o1", "o2"]), unique=True),
            ),
        ),
        Kind(
            "page",
            Page,
            ("p1", "p2"),
            "title",
            {None: {"title": ("title", None)}},
            _some(title=words, a=anything, b=anything, c=anything),
            is_dynamic=True,
        ),
        Kind(
            "shape",
            Shape,
            ("s1", "s2"),
            "name",
            {
                "Shape": shape,
                "Shape.Circle": {**shape, "radius": ("radius", None)},
                "Shape.Box": {**shape, "width": ("width", None), "corners": ("corners", [])},
            },
            _some(
                name=words,
                radius=st.sampled_from([0.0, 1.0, 1.5]),
                width=counts,
                corners=st.lists(counts, max_size=3),
            ),
            classes={"Shape": Shape, "Shape.Circle": Circle, "Shape.Box": Box},
        ),
        Kind(
            "vault",
            Vault,
            ("v1",),
            "name",
            {
                None: {
                    "name": ("name", None),
                    "secret": ("secret", None),
                    "pin": ("pin", None),
                    "cards": ("cards", [CARD]),
                }
            },
            _some(name=words, secret=hushed, pin=hushed, cards=_by_id(cards)),
            excluded=("secret",),
            masked=("pin",),
            hides_numbers=True,
        ),
    ]
