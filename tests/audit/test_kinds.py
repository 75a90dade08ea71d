"""Any sequence of all operations on documents of every kind, against plain lists of states."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import mongoengine
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
from mongoengine import get_db

from bzz import MongoEngineRestHandler, flatten
from bzz.values import ABSENT, same
from tests.audit import kinds
from tests.audit.checked import Checked
from tests.audit.kinds import (
    LINE,
    Kind,
    State,
    exactly,
    merged,
    operations,
    patched,
    shown_of,
    stored_of,
    text,
)
from tests.audit.truths import (
    UNTOLD,
    Told,
    Truth,
    at,
    spots,
)
from tests.house import built, new_database, raw
from tests.support import JSON_PATCH, MERGE_PATCH, Server

KEYS = ("o1", "o2", "t1", "p1", "p2", "s1", "s2", "v1")
RESTORER = "rob"

FOCUSES = [("o1",), ("o1", "t1"), ("o1", "o2", "t1"), ("p1",), ("p1", "p2"), ("s1",), ("s1", "s2")]
FOCUSES += [("v1",), ("v1",), KEYS]

# Which of the documents of a run, whichever these are.
keys = orders = st.integers(0, 7)
actors = st.sampled_from(["ana", "bea", None])
correlations = st.sampled_from([None, None, "c1", "c2"])
matches = st.sampled_from([None, None, None, None, "current", "current", "stale"])


class Writers(Checked, RuleBasedStateMachine):
    """Several actors write documents of every kind, through bzz and round it."""

    @initialize(focus=st.sampled_from(FOCUSES), full=st.booleans(), data=st.data())
    def begin(self, focus: tuple[str, ...], full: bool, data: Any) -> None:
        self.focus, self.checks = focus, 0
        database = get_db()
        for name in database.list_collection_names():
            database[name].delete_many({})
        self.truths = {
            key: Truth(kind, key) for kind in self.world.kinds for key in sorted(kind.keys)
        }
        self.moments = [(self.world.clock(), dict.fromkeys(KEYS, 0))]
        for key in focus if full else ():
            self.create(key, "ana", None, data)

    def key(self, number: int) -> str:
        """One of the documents that this run is about."""
        return self.focus[number % len(self.focus)]

    def order(self, number: int) -> str:
        """An order, of those that this run is about."""
        found = [each for each in self.focus if each[0] == "o"]
        return found[number % len(found)]

    # Asking ----------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        body: Any,
        actor: str | None = None,
        correlation: str | None = None,
        **headers: str,
    ) -> Any:
        if actor is not None:
            headers["X-User"] = actor
        if correlation is not None:
            headers["X-Correlation-Id"] = correlation
        return self.world.server.request(method, path, json=body, headers=headers)

    def lacks(self, content: State, before: State) -> bool:
        """Whether content that is new refers to an order that is not there."""
        named = (
            [content.get("head")] if text(content.get("head")) != text(before.get("head")) else []
        )
        if text(content.get("members")) != text(before.get("members")):
            named += content.get("members") or []
        return any(each is not None and self.truths[each].stored is None for each in named)

    # Noting ----------------------------------------------------------------------------

    def note(self, key: str, state: State | None, *who: Any) -> None:
        """A write through bzz, with what MongoEngine's rules of deletion do besides."""
        self.note_all({key: state}, *who)

    def note_all(self, states: dict[str, State | None], *who: Any) -> None:
        operation = dict.fromkeys(states, who[2] if len(who) > 2 else None)
        pulled = self.pulled(states)
        for key, state in (pulled | states).items():
            self.truths[key].write(state, *who[:2], operation=operation.get(key))

    def pulled(self, states: dict[str, State | None]) -> dict[str, State | None]:
        """The teams, without the orders that are deleted."""
        gone = {
            key
            for key, state in states.items()
            if key[0] == "o" and state is None and self.truths[key].stored is not None
        }
        team = self.truths["t1"].stored
        if not gone or team is None or states.get("t1", team) is None:
            return {}
        return {"t1": _without(team, gone)}

    # Rules: documents over HTTP --------------------------------------------------------

    @rule(number=keys, actor=actors, correlation=correlations, data=st.data())
    def create_one(self, number, actor, correlation, data):
        self.create(self.key(number), actor, correlation, data)

    def is_made(self, key: str, actor: str | None, data: Any) -> bool:
        """Whether a document was not there and is made instead of what was to be done with it."""
        if self.truths[key].stored is not None or not data.draw(st.integers(0, 3)):
            return False
        self.create(key, actor, None, data)
        return True

    def create(self, key, actor, correlation, data):
        truth = self.truths[key]
        kind, body = truth.kind, data.draw(truth.kind.bodies)
        if kind.classes:
            body = {"_cls": data.draw(st.sampled_from(sorted(kind.classes))), **body}
        body = self.fitting(kind, body, body, data)
        answer = self.ask("POST", f"/{kind.path}/", {"id": key, **body}, actor, correlation)
        wrong = not kind.knows(body, body) or self.lacks(body, {})
        status = 422 if wrong else 409 if truth.stored is not None else 201
        assert status == answer.status, answer
        if status == 201:
            self.note(key, kind.stored(body), actor, correlation)
            assert truth.tag == answer.etag
        self.check(key)

    @rule(number=keys, actor=actors, correlation=correlations, match=matches, data=st.data())
    def put(self, number, actor, correlation, match, data):
        self.update(number, "put", actor, correlation, match, data)

    @rule(number=keys, actor=actors, correlation=correlations, match=matches, data=st.data())
    def replace(self, number, actor, correlation, match, data):
        self.update(number, "replace", actor, correlation, match, data)

    @rule(number=keys, actor=actors, correlation=correlations, match=matches, data=st.data())
    def merge(self, number, actor, correlation, match, data):
        self.update(number, "merge", actor, correlation, match, data)

    @rule(number=keys, actor=actors, correlation=correlations, match=matches, data=st.data())
    def patch(self, number, actor, correlation, match, data):
        self.update(number, "patch", actor, correlation, match, data)

    def update(self, number, form, actor, correlation, match, data):
        key = self.key(number)
        if self.is_made(key, actor, data):
            return
        truth = self.truths[key]
        kind, body, headers = truth.kind, data.draw(truth.kind.bodies), {}
        body = self.fitting(kind, truth.stored, body, data)
        content = {} if truth.stored is None else kind.shown(key, truth.stored)
        method, query, wanted = "PUT", "", {**content, **body}
        if form == "replace":
            query, wanted = "?replace=true", body
        elif form == "merge":
            method, headers = "PATCH", {"Content-Type": MERGE_PATCH}
            wanted = merged(content, body)
        elif form == "patch":
            method, headers = "PATCH", {"Content-Type": JSON_PATCH}
            body = operations(content, body, data.draw) if content else []
            wanted = patched(content, body)
        if match is not None:
            headers["If-Match"] = truth.tag or '"1"' if match == "current" else '"99"'
        status = self.refusal(truth, content, wanted, match) or 200
        answer = self.ask(method, self.path(key) + query, body, actor, correlation, **headers)
        assert status == answer.status, (answer, body, content)
        if status == 200:
            self.note(key, kind.assigned(key, truth.stored, wanted), actor, correlation)
            assert truth.tag == answer.etag
        self.check(key)

    def fitting(self, kind: Kind, state: State | None, body: State, data: Any) -> State:
        """A body, mostly without what the class of the document does not know."""
        if state is None or not data.draw(st.integers(0, 9)):
            return body
        return {name: value for name, value in body.items() if kind.knows(state, [name])}

    def refusal(self, truth: Truth, content: State, wanted: Any, match: str | None) -> int | None:
        if truth.stored is None:
            return truth.missing
        if match == "stale" or (match == "current" and truth.tag is None):
            return 412
        if wanted is None:
            return 409
        if not truth.kind.knows(truth.stored, wanted) or self.lacks(
            {**dict.fromkeys(content), **wanted}, content
        ):
            return 422
        return None

    @precondition(lambda self: any(key[0] == "o" for key in self.focus))
    @rule(street=st.sampled_from("xyz"), title=st.sampled_from("xyz"), number=orders, actor=actors)
    def send_a_form(self, street, title, number, actor):
        key = self.order(number)
        truth = self.truths[key]
        form = {"title": title, "home.street": street, "tags[]": ["f"]}
        headers = {} if actor is None else {"X-User": actor}
        answer = self.world.server.request("PUT", self.path(key), form=form, headers=headers)
        assert (truth.missing or 200) == answer.status, answer
        if truth.stored is not None:
            content = truth.kind.shown(key, truth.stored)
            home = {**(content["home"] or {}), "street": street}
            wanted = {**content, "title": title, "home": home, "tags": ["f"]}
            self.note(key, truth.kind.assigned(key, truth.stored, wanted), actor)
            assert truth.tag == answer.etag
        self.check(key)

    @rule(number=keys, actor=actors, correlation=correlations, match=matches)
    def delete(self, number, actor, correlation, match):
        key = self.key(number)
        truth, headers = self.truths[key], {}
        if match is not None:
            headers["If-Match"] = truth.tag or '"1"' if match == "current" else '"99"'
        status = self.refusal(truth, {}, {}, match) or 204
        answer = self.ask("DELETE", self.path(key), {}, actor, correlation, **headers)
        assert status == answer.status, answer
        if status == 204:
            self.note(key, None, actor, correlation)
        self.check(key)

    # Rules: what is below a document ------------------------------------------------------

    def way_to(self, key: str, data: Any) -> str:
        """A path of an order: its own, or through the team that refers to it."""
        team, ways = self.truths["t1"].stored or {}, [self.path(key)]
        if self.truths[key].stored is not None:
            if key in team.get("members", ()):
                ways.append(f"/team/t1/members/{key}/")
            if team.get("head") == key:
                ways += ["/team/t1/head/", f"/team/t1/head/{key}/"]
        return data.draw(st.sampled_from(ways))

    @precondition(lambda self: any(key[0] == "o" for key in self.focus))
    @rule(
        number=orders,
        line=kinds.lines,
        method=st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]),
        actor=actors,
        data=st.data(),
    )
    def write_a_line(self, number, line, method, actor, data):
        key = self.order(number)
        if self.is_made(key, actor, data):
            return
        truth = self.truths[key]
        present = copy.deepcopy((truth.stored or {}).get("lines", []))
        index = next((i for i, each in enumerate(present) if each["id"] == line["id"]), None)
        path, body = f"{self.way_to(key, data)}lines/", line
        if method == "POST":
            status = truth.missing or (201 if index is None else 409)
            present.append(_line(line))
        else:
            path += f"{line['id']}/"
            body = {name: value for name, value in line.items() if name != "id"}
            status = truth.missing or (404 if index is None else 204 if method == "DELETE" else 200)
            if index is not None:
                present[index : index + 1] = (
                    []
                    if method == "DELETE"
                    else [_with_line(present[index], body, merge=method == "PATCH")]
                )
        self.below(key, method, path, body, actor, status, "lines", present)

    @precondition(lambda self: any(key[0] == "o" for key in self.focus))
    @rule(
        number=orders,
        home=kinds.addresses,
        method=st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]),
        actor=actors,
        data=st.data(),
    )
    def write_a_home(self, number, home, method, actor, data):
        key = self.order(number)
        if self.is_made(key, actor, data):
            return
        truth = self.truths[key]
        present = (truth.stored or {}).get("home")
        names = {"street": "street", "city": "c"}
        new = {names[name]: value for name, value in home.items()}
        status = truth.missing or {"POST": 201, "DELETE": 204}.get(method, 200)
        if method != "POST":
            status = truth.missing or (404 if present is None else status)
            new = ABSENT if method == "DELETE" else {**(present or {}), **new}
        path = f"{self.way_to(key, data)}home/"
        self.below(key, method, path, home, actor, status, "home", new)

    def below(self, key, method, path, body, actor, status, member, value):
        truth = self.truths[key]
        answer = self.ask(method, path, body, actor)
        assert status == answer.status, (answer, method, path, body)
        if status < 300:
            state = {name: each for name, each in truth.stored.items() if name != member}
            state |= {} if value is ABSENT else {member: value}
            self.note(key, exactly(state), actor)
            assert method == "DELETE" or truth.tag == answer.etag
        self.check(key)

    @precondition(lambda self: {"o1", "t1"} <= {*self.focus})
    @rule(
        number=orders,
        does=st.sampled_from(["associate", "make", "leave", "head", "behead"]),
        actor=actors,
    )
    def refer(self, number, does, actor):
        order = self.order(number)
        team, there = self.truths["t1"], self.truths[order].stored is not None
        state = copy.deepcopy(team.stored or {})
        members, made = state.get("members", []), {}
        path, body = "/team/t1/members/", {"id": order}
        method, status = "POST", 201
        if does == "make":
            body = {"id": order, "title": "made"}
            status = 409 if there else 201
            made = {order: self.truths[order].kind.stored({"title": "made"})}
        elif does == "leave":
            method, path = "DELETE", f"{path}{order}/"
            status = 204 if order in members else 404
        elif does == "head":
            path, status = "/team/t1/head/", 201 if there else 422
        elif does == "behead":
            method, path, status = "DELETE", "/team/t1/head/", 204 if state.get("head") else 404
        else:
            status = 201 if there else 422
        status = team.missing or status
        answer = self.ask(method, path, body, actor)
        assert status == answer.status, (answer, does)
        if status < 300:
            if does in ("associate", "make") and order not in members:
                state["members"] = [*members, order]
            elif does == "leave":
                state["members"] = [each for each in members if each != order]
            elif does == "head":
                state["head"] = order
            elif does == "behead":
                del state["head"]
            self.note_all({**made, "t1": state}, actor)
        self.check("t1", order)

    def some_version(self, truth: Truth, data: Any) -> int:
        """A version, seldom one that there is not."""
        last = len(truth.events)
        unknown = not last or not data.draw(st.integers(0, 9))
        return last + 1 if unknown else data.draw(st.sampled_from(range(last, 0, -1)))

    # Rules: back ---------------------------------------------------------------------------

    def back(
        self, key: str, version: int, does: str, body: State, actor: Any, in_code: bool
    ) -> Any:
        """Restore or undo; the status, and the tag or the number that was answered."""
        if not in_code:
            path = f"{self.path(key)}history/{version}/{does}/"
            answer = self.ask("POST", path, body, actor)
            return answer.status, answer
        history, before = self.history(key), len(self.truths[key].events)
        who = {} if actor is None else {"actor": actor}
        fields = body.get("fields")
        try:
            number = getattr(history, does)(version, fields=fields, **who)
        except Exception as error:
            return 0, error
        return 201 if number > before else 200, number

    def is_answered(self, key: str, expected: Any, status: int, answer: Any, in_code: bool) -> None:
        truth = self.truths[key]
        if expected is not None:
            assert expected == status or (in_code and expected >= 400 and not status), answer
        if 200 <= status < 300:
            number = f'"{answer}"' if in_code else answer.etag
            assert truth.tag == number or (in_code and truth.tag is None), answer

    @rule(number=keys, actor=actors, in_code=st.booleans(), data=st.data())
    def restore(self, number, actor, in_code, data):
        key = self.key(number)
        truth = self.truths[key]
        version = self.some_version(truth, data)
        names = sorted({name for spec in truth.kind.specs.values() for name in spec})
        names += ["a", "b"] if truth.kind.is_dynamic else []
        fields = data.draw(st.none() | st.sets(st.sampled_from(names), min_size=1, max_size=2))
        known = version <= len(truth.events)
        state = truth.states[version - 1] if known else None
        status = 404 if not known else 410 if state is None else 201
        if status == 201 and fields is not None:
            status = 409 if truth.stored is None else 201
            stored = {truth.kind.stored_name(name) for name in fields}
            now = truth.stored or {}
            state = {n: v for n, v in now.items() if n not in stored} | {
                n: v for n, v in state.items() if n in stored
            }
        if status == 201:
            state = truth.kind.keep_hidden(state, truth.stored)
            if same(state, truth.stored):
                status = 200
            elif not truth.kind.knows(state, map(truth.kind.python_name, state)):
                status = 422
        body = {} if fields is None else {"fields": sorted(fields)}
        if data.draw(st.booleans()) and status < 300:
            tried = self.ask(
                "POST", f"{self.path(key)}history/{version}/restore/", {**body, "dry_run": True}
            )
            assert 200 == tried.status, tried
            assert bool(tried.json["changes"]) == (
                status == 201 and not same(truth.kind.strip(state), truth.visible or {})
            )
        got, answer = self.back(key, version, "restore", body, actor, in_code)
        if status == 201:
            self.note(key, state, actor, None, "restored")
        self.is_answered(key, status, got, answer, in_code)
        self.check(key)

    @rule(number=keys, actor=actors, in_code=st.booleans(), data=st.data())
    def undo(self, number, actor, in_code, data):
        key = self.key(number)
        truth = self.truths[key]
        version = self.some_version(truth, data)
        found = truth.undone(version)
        before = truth.stored
        status, answer = self.back(key, version, "undo", {}, actor, in_code)
        expected = found if isinstance(found, int) else None
        if isinstance(found, dict):
            expected = 200 if same(found, truth.stored) else 201
        elif found is UNTOLD:
            assert status in (0, 200, 201, 409), answer
        if status == 201:
            state = self.found(key)
            if isinstance(found, dict):
                assert same(found, state), (found, state)
            elif before is not None:
                mine = set(_touched(*[None, *truth.states][version - 1 : version + 1]))
                assert mine >= set(_touched(before, state)), (before, state)
            self.note(key, state, actor, None, "restored")
        self.is_answered(key, expected, status, answer, in_code)
        self.check(key)

    # Rules: in code ------------------------------------------------------------------------

    @rule(
        acts=st.lists(
            st.tuples(keys, st.sampled_from(["label", "label", "delete", "create"])),
            min_size=1,
            max_size=5,
        ),
        word=st.sampled_from("xyz"),
        actor=actors,
        correlation=correlations,
        fails=st.integers(0, 5),
    )
    def write_in_code(self, acts, word, actor, correlation, fails):
        acts = [(self.key(number), does) for number, does in acts]
        states = {key: copy.deepcopy(truth.stored) for key, truth in self.truths.items()}
        for number, (key, does) in enumerate(acts):
            self.act_in_model(states, key, does, f"{word}{number}")

        def work() -> None:
            for number, (key, does) in enumerate(acts):
                self.act(key, does, f"{word}{number}")
            if not fails:
                raise LookupError

        who = {} if actor is None else {"actor": actor}
        try:
            self.world.auditor.write(work, correlation=correlation, **who)
        except LookupError:
            assert not fails
        else:
            for key, state in states.items():
                self.truths[key].write(state, actor, correlation)
        self.check(*self.focus)

    def act(self, key: str, does: str, word: str) -> None:
        kind = self.truths[key].kind
        document = kind.model.objects(pk=key).first()
        if document is None and does == "create":
            model = max(kind.classes.values(), key=lambda each: each.__name__, default=kind.model)
            model(key=key, **{kind.label: word}).save(force_insert=True)
        elif document is not None and does == "delete":
            document.delete()
        elif document is not None and does == "label":
            setattr(document, kind.label, word)
            document.save()

    def act_in_model(self, states: Any, key: str, does: str, word: str) -> None:
        kind, state = self.truths[key].kind, states[key]
        label = kind.stored_name(kind.label)
        if state is None and does == "create":
            last = max(kind.classes, key=lambda each: kind.classes[each].__name__, default=None)
            own = {"_cls": last} if last else {}
            states[key] = kind.stored({**own, kind.label: word})
        elif state is not None and does == "delete":
            states[key] = None
            if key[0] == "o" and states["t1"] is not None:
                states["t1"] = _without(states["t1"], {key})
        elif state is not None and does == "label":
            states[key] = {**state, label: word}

    @rule(
        number=keys,
        does=st.sampled_from(["update", "unset", "delete", "insert"]),
        word=st.sampled_from("xyz"),
        actor=actors,
        correlation=correlations,
    )
    def write_in_bulk(self, number, does, word, actor, correlation):
        key = self.key(number)
        kind, auditor = self.truths[key].kind, self.world.auditor
        label = kind.stored_name(kind.label)
        context = {"correlation": correlation} | ({} if actor is None else {"actor": actor})
        there = {k: t.stored for k, t in self.truths.items() if k in kind.keys and t.stored}
        there |= {k: {} for k in kind.keys if self.truths[k].stored == {}}
        made: dict[str, Any] = {}
        if does == "insert":
            new = [each for each in kind.keys if each not in there]
            model = max(kind.classes.values(), key=lambda each: each.__name__, default=kind.model)
            documents = [model(key=each, **{kind.label: word}) for each in new]
            assert len(new) == auditor.insert(documents, **context)
            last = max(kind.classes, key=lambda each: kind.classes[each].__name__, default=None)
            own = {"_cls": last} if last else {}
            made = {each: kind.stored({**own, kind.label: word}) for each in new}
        elif does == "delete":
            assert len(there) == auditor.delete(kind.model.objects, **context)
            made = dict.fromkeys(there)
        elif does == "update":
            auditor.update(kind.model.objects, **context, **{f"set__{kind.label}": word})
            made = {each: {**state, label: word} for each, state in there.items()}
        else:
            auditor.update(kind.model.objects, **context, **{f"unset__{kind.label}": 1})
            made = {
                each: {n: v for n, v in state.items() if n != label}
                for each, state in there.items()
            }
        self.note_all(made, actor, correlation)
        self.check(*self.focus)

    # Rules: round bzz, and put right -----------------------------------------------------

    @rule(number=keys, data=st.data(), rebuild=st.sampled_from([None, None, "http", "code", "all"]))
    def write_round_bzz(self, number, data, rebuild):
        key = self.key(number)
        truth = self.truths[key]
        kind, body = truth.kind, data.draw(truth.kind.bodies)
        if data.draw(st.integers(0, 4)) == 0:
            raw(kind.model).delete_one({"_id": key})
        else:
            name = data.draw(st.sampled_from(sorted(kind.classes) or [None]))
            body = {n: v for n, v in body.items() if kind.knows({"_cls": name}, [n])}
            state = kind.stored(body if name is None else {"_cls": name, **body})
            if data.draw(st.booleans()):
                state = {n: v for n, v in state.items() if v != []}
            if data.draw(st.integers(0, 4)) == 0:
                state[kind.stored_name(kind.label)] = None
            raw(kind.model).replace_one({"_id": key}, {"_id": key, **state}, upsert=True)
        truth.stored = self.found(key)
        if rebuild is not None:
            self.rebuild(key, rebuild)
        self.check(key)

    def rebuild(self, key: str, how: str) -> None:
        truth = self.truths[key]
        differs = bool(truth.events) and not truth.is_told
        self.check_verified(key)
        if how == "http":
            answer = self.ask("POST", f"{self.path(key)}history/replay/?mode=rebuild", {})
            known = truth.events or truth.stored is not None
            assert (200 if truth.events else 404) == answer.status or not truth.events, answer
            assert known or 404 == answer.status
            if truth.events:
                assert differs == answer.json["rebuilt"]
        elif how == "code" and truth.events:
            assert differs == self.history(key).rebuild().rebuilt
        elif how == "all":
            for each in self.world.auditor.rebuild(truth.kind.model):
                assert each.ok
            for other in truth.kind.keys:
                self.put_right(self.truths[other])
        self.put_right(truth)

    def put_right(self, truth: Truth) -> None:
        if not truth.events:
            return
        last = truth.last
        truth.stored = None if last is None else truth.kind.keep_hidden(last, truth.stored)

    # Rules: a set ----------------------------------------------------------------------------

    @rule(
        what=st.sampled_from(["to", "actor", "correlation"]),
        number=keys,
        of_model=st.booleans(),
        value=st.sampled_from(["ana", "bea"]),
        shared=st.sampled_from(["c1", "c2"]),
        over_http=st.booleans(),
        data=st.data(),
    )
    def restore_a_set(self, what, number, of_model, value, shared, over_http, data):
        moment, counts = data.draw(st.sampled_from(self.moments[-6:]))
        kind = self.truths[self.key(number)].kind if of_model else None
        choice: dict[str, Any] = {"correlation": shared} if what == "correlation" else {}
        if what == "actor":
            choice = {"actor": value, "since": moment + timedelta(milliseconds=500)}
        elif what == "to":
            choice = {"to": moment} | ({"actor": value} if kind is None else {})
        chosen = {
            key: versions
            for key, truth in self.truths.items()
            if kind in (None, truth.kind) and (versions := _chosen(truth, choice, counts[key]))
        }
        plans = {
            key: self.plan(self.truths[key], versions, counts[key] if what == "to" else None)
            for key, versions in chosen.items()
        }
        before = {k: dataclasses.replace(t, events=list(t.events)) for k, t in self.truths.items()}
        failed = self.run_set(choice, kind, over_http, set(chosen))
        loses = {k for k in self.truths if k[0] == "o" and before[k].stored and not self.found(k)}
        for key, truth in self.truths.items():
            expected = plans.get(key, truth.stored)
            if expected is UNTOLD or (key == "t1" and loses):
                self.observe(truth)
                if key not in failed and key in chosen and not loses:
                    self.is_taken_back(before[key], truth, chosen[key])
                continue
            assert (expected == "fails") == (key in failed), (key, expected, failed)
            if expected == "fails" or key not in plans:
                continue
            operation = "deleted" if expected is None else "restored"
            state = expected and truth.kind.keep_hidden(expected, truth.stored)
            state = {} if expected == {} and state is expected else state
            if same(truth.kind.strip(state), truth.visible):
                continue
            truth.write(state, RESTORER, None, operation)
        if not failed:
            assert not self.run_set(choice, kind, over_http, None)
        self.check(*self.focus)

    def plan(self, truth: Truth, versions: list[int], count: int | None) -> Any:
        """What a set makes of a document: a state, None, 'fails' or `UNTOLD`."""
        states = [None, *truth.states]
        differs = truth.stored is not None and not truth.is_told
        if count is not None:
            target = states[count]
            if not count and truth.events[0].operation == "baseline":
                return "fails"
            if target is None and (truth.last is None or truth.stored is None):
                return truth.stored if truth.stored is None else truth.visible
            return "fails" if differs else target
        if not truth.is_told or versions != list(range(versions[0], len(truth.events) + 1)):
            return UNTOLD
        return states[versions[0] - 1]

    def run_set(self, choice: Any, kind: Kind | None, over_http: bool, chosen: Any) -> set[str]:
        """Restore a set; the documents that failed.  `chosen` None: nothing is left to do."""
        if over_http:
            body = {n: v if isinstance(v, str) else v.isoformat() for n, v in choice.items()}
            body |= {} if kind is None else {"model": kind.path}
            answer = self.ask("POST", "/history/restore/", body, RESTORER)
            assert 200 == answer.status and answer.json["next"] is None, answer
            report = SimpleNamespace(**answer.json)
            failed = {each["document"] for each in report.failed}
        else:
            model = None if kind is None else kind.model
            restoration = self.world.auditor.restoration(model=model, **choice)
            restoration.preview()
            report = restoration.run(actor=RESTORER)
            failed = {each.document for each in report.failures}
        if chosen is None:
            assert 0 == report.written, report
        else:
            assert len(chosen) == report.documents, report
        return failed

    def is_taken_back(self, before: Truth, truth: Truth, versions: list[int]) -> None:
        """Members that only chosen events touched are as before these, others as they were."""
        states = [None, *before.states][versions[0] - 1 :]
        if None in states or before.stored is None or truth.stored is None or not before.is_told:
            return
        owners: dict[str, list[bool]] = {}
        for version, (old, new) in enumerate(itertools.pairwise(states), versions[0]):
            for path in spots(old, new):
                owners.setdefault(path[0], []).append(version in versions)
        for name in {*states[0], *states[-1], *truth.visible}:
            touches = owners.get(name, [])
            if all(touches) or not any(touches):
                wanted = states[0] if touches and all(touches) else states[-1]
                assert same(at(wanted, (name,)), at(truth.visible, (name,))), (name, truth)

    def observe(self, truth: Truth) -> None:
        """Take over what was made of a document that the plain model has no word on."""
        history, stored = self.history(truth.key), self.found(truth.key)
        new = list(history.versions(query={"v": {"$gt": len(truth.events)}}))
        if not new:
            assert same(truth.kind.strip(stored), truth.visible), truth.key
        for event in new:
            state = None if event.gone else _body(history.state_at(event.version))
            assert event.operation in ("restored", "deleted", "external", "updated", "baseline")
            truth.events.append(Told(event.operation, state, event.actor.id, event.correlation))
        truth.stored = stored


def _touched(before: State | None, after: State | None) -> set[str]:
    return {path[0] for path in spots(before or {}, after or {})}


def _without(team: State, gone: set[str]) -> State:
    """A team without some orders."""
    state = {name: each for name, each in team.items() if name != "head" or each not in gone}
    if gone & set(state.get("members", ())):
        state["members"] = [each for each in state["members"] if each not in gone]
    return state


def _line(line: State) -> State:
    return stored_of(LINE, line)


def _with_line(present: State, body: State, *, merge: bool) -> State:
    content = shown_of(LINE, present)
    wanted = merged(content, body) if merge else {**content, **body}
    changed = {n: v for n, v in wanted.items() if text(v) != text(content.get(n))}
    return {**present, **stored_of(LINE, changed)}


def _chosen(truth: Truth, choice: State, count: int) -> list[int]:
    events = enumerate(truth.events, 1)
    if "correlation" in choice:
        return [v for v, each in events if each.correlation == choice["correlation"]]
    who = choice.get("actor")
    return [v for v, each in events if v > count and who in (None, each.actor)]


def _body(state: State) -> State:
    return {name: value for name, value in state.items() if name != "_id"}


class Clock:
    """Tells a later time at each call."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def world(mongod_uri) -> Iterator[Any]:
    clock = Clock()
    with new_database(mongod_uri) as name:
        mongoengine.connect(name, host=mongod_uri, uuidRepresentation="standard")
        with built(clock=clock) as house:
            made = kinds.define()
            for kind in made:
                house.auditor.track(
                    kind.model,
                    exclude=kind.excluded,
                    mask=[*kind.masked, *(["cards.number"] if kind.hides_numbers else [])],
                )
            routes = flatten(
                MongoEngineRestHandler.routes_for("mongoengine", kind.model, audit=house.auditor)
                for kind in made
            )
            house.auditor.prepare()
            with Server([*routes, *house.auditor.routes()]) as server:
                yield SimpleNamespace(kinds=made, auditor=house.auditor, server=server, clock=clock)


def run(world: Any, **options: Any) -> None:
    Writers.world = world
    run_state_machine_as_test(Writers, settings=settings(deadline=None, **options))


def test_documents_of_every_kind_are_as_the_plain_model_says(world):
    run(world, max_examples=8, stateful_step_count=20, derandomize=True)


@pytest.mark.soak
def test_documents_of_every_kind_stay_as_the_plain_model_says(world):
    run(world, max_examples=500, stateful_step_count=40)
