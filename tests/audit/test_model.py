"""Any sequence of writes over HTTP and round it, against a plain list of states."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import bson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from mongoengine import Document, DynamicField, StringField

from bzz import MongoEngineRestHandler
from bzz.values import ABSENT, EXACT, same
from tests.house import raw, standing, visit
from tests.support import MERGE_PATCH, Server

State = dict[str, Any]

NAMES = ("a", "b", "c")
numbers = itertools.count()

scalars = st.sampled_from([None, True, False, 0, 1, 0.0, 1.0, 1.5, "", "x", "1", 2**40])
inner_names = st.sampled_from(["x", "y", "", "a.b", "é", "id"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(inner_names, inner, max_size=3),
    max_leaves=5,
)
bodies = st.dictionaries(st.sampled_from(NAMES), values, max_size=3)
actors = st.sampled_from(["ana", "bea", None])
keys = st.sampled_from([0, 1])


@dataclass
class Truth:
    """What is to be true of one document."""

    stored: State | None = None
    states: list[State | None] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    actors: list[str | None] = field(default_factory=list)

    @property
    def last(self) -> State | None:
        return self.states[-1] if self.states else None

    @property
    def tag(self) -> str | None:
        if not self.states:
            return '"0"'
        return f'"{len(self.states)}"' if same(self.last, self.stored) else None

    def write(self, operation: str, state: State | None, actor: str | None) -> bool:
        """Note a write through bzz; whether it changed anything."""
        if same(state, self.stored):
            return False
        if not same(self.stored, self.last):
            self._append("external" if self.states else "baseline", self.stored, None)
        self._append(operation, state, actor)
        self.stored = state
        return True

    def undone(self, version: int) -> State | int | None:
        """What undoing an event comes to: a state or a status; None where members do not tell.

        Where one member was touched twice, it depends on what lies below it.
        """
        if version > len(self.states):
            return 404
        after, before = self.states[version - 1], self.states[version - 2] if version > 1 else None
        later = [*self.states[version:], self.stored]
        if before is None:
            return 409
        if after is None:
            return before if later == [None] else 409
        if self.stored is None:
            return 409
        mine = touched(before, after)
        for old, new in itertools.pairwise([after, *later]):
            if mine & touched(old, new):
                return None
        rest = {name: value for name, value in self.stored.items() if name not in mine}
        return rest | {name: value for name, value in before.items() if name in mine}

    def _append(self, operation: str, state: State | None, actor: str | None) -> None:
        self.states.append(state)
        self.operations.append(operation)
        self.actors.append(actor)


def touched(before: State | None, after: State | None) -> set[str]:
    """The members that differ; those of a document that comes or goes all do."""
    one, other = before or {}, after or {}
    names = one.keys() | other.keys()
    whole = before is None or after is None
    return {n for n in names if whole or not same(one.get(n, ABSENT), other.get(n, ABSENT))}


def put(state: State, body: State) -> State:
    """What PUT makes of a state: null unsets."""
    changed = {**state, **body}
    return {name: each for name, each in changed.items() if name not in body or each is not None}


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


class Writers(RuleBasedStateMachine):
    """Several actors write two documents, through bzz and round it."""

    house: Any
    model: Any
    server: Any

    @initialize()
    def begin(self) -> None:
        number = next(numbers)
        self.keys = [f"{number}-{each}" for each in range(2)]
        self.truths = [Truth(), Truth()]

    def path(self, key: int) -> str:
        return f"/paper/{self.keys[key]}/"

    def send(
        self, method: str, path: str, body: Any, actor: str | None, status: int, **headers: str
    ) -> Any:
        if actor is not None:
            headers["X-User"] = actor
        answer = self.server.request(method, path, json=body, headers=headers)
        assert status == answer.status, answer
        return answer

    # Rules

    @rule(key=keys, body=bodies, actor=actors)
    def create(self, key, body, actor):
        truth = self.truths[key]
        there = truth.stored is not None
        sent = {"id": self.keys[key], **body}
        answer = self.send("POST", "/paper/", sent, actor, 409 if there else 201)
        if not there:
            truth.write("created", put({}, body), actor)
            assert truth.tag == answer.etag
        self.check(key)

    @rule(key=keys, body=bodies, actor=actors)
    def update(self, key, body, actor):
        self.change(key, "PUT", body, actor, put)

    @rule(key=keys, body=bodies, actor=actors)
    def patch(self, key, body, actor):
        self.change(key, "PATCH", body, actor, merge, {"Content-Type": MERGE_PATCH})

    def change(self, key, method, body, actor, make, headers=None):
        truth = self.truths[key]
        status = self.missing(truth) or 200
        answer = self.send(method, self.path(key), body, actor, status, **(headers or {}))
        if status == 200:
            truth.write("updated", make(truth.stored, body), actor)
            assert truth.tag == answer.etag
        self.check(key)

    @rule(key=keys, actor=actors)
    def delete(self, key, actor):
        truth = self.truths[key]
        status = self.missing(truth) or 204
        self.send("DELETE", self.path(key), {}, actor, status)
        if status == 204:
            truth.write("deleted", None, actor)
        self.check(key)

    @rule(key=keys, actor=actors, data=st.data())
    def restore(self, key, actor, data):
        truth = self.truths[key]
        version = data.draw(st.integers(1, len(truth.states) + 1))
        self.take_back(key, version, actor, {})

    @precondition(lambda self: any(truth.stored is not None for truth in self.truths))
    @rule(key=keys, actor=actors, data=st.data(), names=st.sets(st.sampled_from(NAMES), min_size=1))
    def restore_fields(self, key, actor, data, names):
        truth = self.truths[key]
        if truth.stored is not None:
            version = data.draw(st.integers(1, len(truth.states) + 1))
            self.take_back(key, version, actor, {"fields": sorted(names)})

    def take_back(self, key, version, actor, body):
        truth = self.truths[key]
        state = truth.states[version - 1] if version <= len(truth.states) else ABSENT
        status = 404 if state is ABSENT else 410 if state is None else 201
        if status == 201:
            if "fields" in body:
                rest = {n: v for n, v in truth.stored.items() if n not in body["fields"]}
                state = rest | {n: v for n, v in state.items() if n in body["fields"]}
            status = 200 if same(state, truth.stored) else 201
        path = f"{self.path(key)}history/{version}/restore/"
        answer = self.send("POST", path, body, actor, status)
        if status == 201:
            truth.write("restored", state, actor)
        if status < 300:
            assert truth.tag == answer.etag
        self.check(key)

    @rule(key=keys, actor=actors, data=st.data())
    def undo(self, key, actor, data):
        truth = self.truths[key]
        version = data.draw(st.integers(1, len(truth.states) + 1))
        found = truth.undone(version)
        headers = {} if actor is None else {"X-User": actor}
        answer = self.server.post(f"{self.path(key)}history/{version}/undo/", {}, headers=headers)
        if isinstance(found, int):
            assert found == answer.status, answer
        elif found is not None:
            assert (200 if same(found, truth.stored) else 201) == answer.status, answer
        if answer.status == 201:
            state = self.stored(key)
            assert found is None or same(found, state)
            truth.write("restored", state, actor)
        if answer.status < 300:
            assert truth.tag == answer.etag
        self.check(key)

    @rule(key=keys, state=st.none() | bodies)
    def write_round_bzz(self, key, state):
        query = {"_id": self.keys[key]}
        if state is None:
            raw(self.model).delete_one(query)
        else:
            raw(self.model).replace_one(query, query | state, upsert=True)
        self.truths[key].stored = self.stored(key)
        self.check(key)

    def stored(self, key: int) -> State | None:
        exact = raw(self.model).with_options(EXACT).find_one({"_id": self.keys[key]})
        return exact and {n: v for n, v in exact.items() if n != "_id"}

    # What is to be true

    def missing(self, truth: Truth) -> int | None:
        if truth.stored is not None:
            return None
        return 410 if truth.states else 404

    def check(self, key: int) -> None:
        truth, path = self.truths[key], self.path(key)
        live = self.server.get(path)
        assert (self.missing(truth) or 200) == live.status, live
        if truth.stored is not None:
            assert canonical(self.shown(key, truth.stored)) == canonical(live.json)
            assert truth.tag == live.etag
        self.check_history(truth, self.server.get(f"{path}history/?order=asc&limit=100"))
        if truth.states:
            self.check_version(key, len(truth.states))

    def check_history(self, truth: Truth, answer: Any) -> None:
        if truth.stored is None and not truth.states:
            assert 404 == answer.status
            return
        events = answer.json["items"]
        assert list(range(1, len(truth.states) + 1)) == [event["version"] for event in events]
        assert truth.operations == [event["operation"] for event in events]
        assert truth.actors == [event["actor"]["id"] for event in events]
        is_settled = all(each["position"] for each in events)
        assert (f'"{len(truth.states)}"' if is_settled else None) == answer.etag

    def check_version(self, key: int, version: int) -> None:
        state = self.truths[key].states[version - 1]
        answer = self.server.get(f"{self.path(key)}history/{version}/")
        assert (410 if state is None else 200) == answer.status
        if state is not None:
            assert canonical(self.shown(key, state)) == canonical(answer.json)
            history = self.house.auditor.history(self.model, self.keys[key])
            assert same({"_id": self.keys[key], **exactly(state)}, history.state_at(version))

    def shown(self, key: int, state: State) -> State:
        unset = dict.fromkeys(NAMES)
        return {"id": self.keys[key], "key": self.keys[key], **unset, **state}

    def teardown(self) -> None:
        for key, truth in enumerate(getattr(self, "truths", ())):
            for version in range(1, len(truth.states) + 1):
                self.check_version(key, version)


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def exactly(state: State) -> State:
    """A state as BSON gives it back: integers above 32 bits have a type of their own."""
    found: State = bson.decode(bson.encode(state), EXACT)
    return found


@pytest.fixture
def house(mongod_uri):
    with standing(mongod_uri) as house, visit(house):
        yield house


def test_every_write_is_in_the_history_and_every_version_is_told(house):
    class Paper(Document):
        key = StringField(primary_key=True)
        a = DynamicField()
        b = DynamicField()
        c = DynamicField()

    routes = MongoEngineRestHandler.routes_for("mongoengine", Paper, audit=house.auditor)
    with Server(routes) as server:
        Writers.house, Writers.model, Writers.server = house, Paper, server
        run_state_machine_as_test(
            Writers, settings=settings(max_examples=20, stateful_step_count=15, deadline=None)
        )
