"""Undo over HTTP and in code: the changes of one event are taken back by an ordinary write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from bson import Int64, ObjectId
from mongoengine import (
    DictField,
    Document,
    DynamicDocument,
    DynamicField,
    EmbeddedDocument,
    EmbeddedDocumentField,
    IntField,
    ListField,
    StringField,
)
from tornado.web import HTTPError

from bzz import MongoEngineRestHandler
from bzz.audit.diff import Change
from bzz.audit.errors import CannotUndo, UndoConflict, UnknownVersion
from bzz.audit.restoring import undo_in
from bzz.errors import BzzError, Conflict, InvalidInput, PreconditionFailed
from bzz.signals import (
    post_create_instance,
    post_update_instance,
    pre_create_instance,
    pre_get_instance,
    pre_update_instance,
)
from bzz.values import ABSENT, same
from tests.audit.checking import check_histories
from tests.audit.test_restore import GONE, ana, created, gone, operations, raw_of, serving, told
from tests.house import raw, stored

__all__ = ["ana", "gone"]


@pytest.fixture
def history(house, ana):
    return house.auditor.history(house.User, ObjectId(ana.split("/")[2]))


def undo(server: Any, path: str, version: int, body: Any = None, **headers: str) -> Any:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.post(f"{path}history/{version}/undo/", body or {}, headers=sent)


# What it makes ------------------------------------------------------------------------------


def test_one_event_is_taken_back_and_what_came_later_stays(server, ana):
    answer = undo(server, ana, 2)

    assert (201, '"4"', f"{ana}history/4/") == (
        answer.status,
        answer.etag,
        answer.headers["Location"],
    )
    assert ("Anna", 1, ["a", "b"]) == tuple(answer.json[n] for n in ("name", "age", "tags"))
    assert answer.json == server.get(ana).json


def test_the_event_says_what_it_takes_back(server, ana):
    undo(server, ana, 2, {"reason": "a slip"}, X_User="bea")
    event = told(server, ana)[-1]

    assert ("restored", 2, None) == (
        event["operation"],
        event["undo_of"],
        event["restored_from"],
    )
    assert ("bea", "a slip") == (event["actor"]["id"], event["reason"])
    assert [{"path": "/age", "from": 2, "to": 1}] == event["changes"]


def test_a_deleted_document_comes_back_as_it_was(server, gone):
    before = server.get(f"{gone}history/3/").json
    answer = undo(server, gone, 4)

    assert (201, '"5"', before) == (answer.status, answer.etag, answer.json)
    assert ["deleted", "restored"] == operations(server, gone)[3:]
    assert 200 == server.get(gone).status


def test_an_undo_can_be_undone(server, ana):
    undo(server, ana, 2)
    answer = undo(server, ana, 4)

    assert (201, 2) == (answer.status, answer.json["age"])


def test_the_undo_of_a_restore_is_as_of_an_update(server, ana):
    server.post(f"{ana}history/1/restore/", {})
    answer = undo(server, ana, 4)

    assert ("Anna", 2, ["a", "b"]) == tuple(answer.json[n] for n in ("name", "age", "tags"))


def test_all_is_undone_from_the_newest_on(house, server, ana):
    states = [server.get(f"{ana}history/{version}/").json for version in (2, 1)]

    assert states == [undo(server, ana, version).json for version in (3, 2)]
    check_histories(house.auditor, house.User)


def test_what_is_taken_back_already_makes_no_event(server, ana):
    undo(server, ana, 2)
    answer = undo(server, ana, 2)

    assert (200, '"4"', None) == (answer.status, answer.etag, answer.headers["Location"])
    assert (1, 4) == (answer.json["age"], len(told(server, ana)))


def test_list_elements_are_found_where_they_are_now(server, ana):
    server.put(ana, {"tags": ["a", "x", "b"]})
    server.put(ana, {"tags": ["c", "a", "x", "b", "d"]})
    answer = undo(server, ana, 4)

    assert ["c", "a", "b", "d"] == answer.json["tags"]


def test_of_two_undos_at_once_one_finds_it_done(house, server, ana):
    clients = [server.client(), server.client()]
    with ThreadPoolExecutor(2) as pool:
        statuses = pool.map(lambda client: undo(client, ana, 2).status, clients)
    for client in clients:
        client.close()

    assert [200, 201] == sorted(statuses)
    assert 4 == len(told(server, ana))
    check_histories(house.auditor, house.User)


# What has no undo ---------------------------------------------------------------------------


def test_what_was_changed_again_is_409_and_names_both(server, ana):
    server.put(ana, {"age": 3, "email": "a@x"})
    answer = undo(server, ana, 2)

    assert 409 == answer.status
    assert answer.problem["type"].endswith("/overtaken.html")
    assert [{"path": "/age", "version": 4}] == answer.problem["conflicts"]
    key = ana.split("/")[2]
    assert answer.problem["detail"] == (
        f"Version 2 of user {key} cannot be undone: /age was changed again by version 4. "
        "Undo what came later first, or undo other fields alone."
    )
    assert 4 == len(told(server, ana))


def test_conflicts_have_todays_names(server):
    path = created(server, name="Ana", home={"street": "a", "city": "b"})
    server.put(path, {"home": {"street": "a", "city": "c"}})
    server.put(path, {"home": None})
    answer = undo(server, path, 2)

    assert [{"path": "/home/city", "version": 3}] == answer.problem["conflicts"]


def test_a_long_list_of_conflicts_is_cut_in_the_sentence_alone(server):
    path = created(server, name="Ana")
    server.put(path, {"name": "b", "age": 1, "score": 1.0, "email": "a@x", "active": True})
    server.put(path, {"name": "c", "age": 2, "score": 2.0, "email": "b@x", "active": False})
    answer = undo(server, path, 2)

    assert 5 == len(answer.problem["conflicts"])
    assert "by version 3, 2 more. Undo what" in answer.problem["detail"]


def test_a_later_write_round_bzz_is_in_the_way(house, server, ana):
    raw(house.User).update_one({}, {"$set": {"age": 9}})
    answer = undo(server, ana, 2)

    assert [{"path": "/age", "version": None}] == answer.problem["conflicts"]
    assert "/age was changed again round bzz." in answer.problem["detail"]
    assert 3 == len(told(server, ana))


def test_a_write_round_bzz_elsewhere_has_its_event_first(house, server, ana):
    raw(house.User).update_one({}, {"$set": {"email": "a@x"}})
    answer = undo(server, ana, 2)

    assert (201, '"5"', "a@x", 1) == (
        answer.status,
        answer.etag,
        answer.json["email"],
        answer.json["age"],
    )
    assert ["external", "restored"] == operations(server, ana)[3:]


@pytest.mark.parametrize(
    ("version", "detail"),
    [
        pytest.param(1, "cannot be undone: it created the document; delete that instead.", id="1"),
        pytest.param(
            2, "cannot be undone: version 4 deleted the document; restore it first.", id="2"
        ),
    ],
)
def test_what_has_no_undo_is_409_and_says_why(server, gone, version, detail):
    answer = undo(server, gone, version)

    assert (409, f"Version {version} of user {gone.split('/')[2]} {detail}") == (
        answer.status,
        answer.problem["detail"],
    )
    assert 4 == len(told(server, gone))


def test_a_baseline_has_no_undo(house, server):
    user = house.User(name="Ana").save()
    server.put(f"/user/{user.pk}/", {"age": 1})
    answer = undo(server, f"/user/{user.pk}/", 1)

    assert 409 == answer.status
    assert "it is where the history begins" in answer.problem["detail"]


def test_a_delete_has_no_undo_once_the_document_is_there_again(server, gone):
    undo(server, gone, 4)
    answer = undo(server, gone, 4)

    assert 409 == answer.status
    assert "the document is there again since version 5." in answer.problem["detail"]


def test_what_brought_a_document_back_has_no_undo(server, gone):
    undo(server, gone, 4)
    answer = undo(server, gone, 5)

    assert 409 == answer.status
    assert "it brought the document back; delete that instead." in answer.problem["detail"]


@pytest.mark.parametrize("version", ["9", "0", "x"])
def test_an_event_that_never_was_is_404(server, ana, version):
    assert 404 == server.post(f"{ana}history/{version}/undo/", {}).status


def test_a_document_that_never_was_is_404(server):
    assert 404 == undo(server, f"/user/{GONE}/", 1).status


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_an_undo_is_a_post(server, ana, method):
    answer = server.request(method, f"{ana}history/2/undo/", None if method == "GET" else "{}")

    assert (405, "OPTIONS, POST") == (answer.status, answer.headers["Allow"])


def test_a_gap_in_the_stream_is_409(house, server, ana):
    raw_history = house.User._get_db()["bzz_history"]
    raw_history.delete_one({"v": 2})

    assert (409, 409) == (undo(server, ana, 2).status, undo(server, ana, 3).status)
    assert "Version 2 of user" in undo(server, ana, 3).problem["detail"]


# External events ----------------------------------------------------------------------------


def test_an_external_event_is_undone_as_an_update(house, server, ana):
    raw(house.User).update_one({}, {"$set": {"age": 9}})
    server.put(ana, {"name": "Bea"})
    answer = undo(server, ana, 4)

    assert (201, 2, "Bea") == (answer.status, answer.json["age"], answer.json["name"])


def test_an_external_delete_is_undone(house, server, ana):
    raw(house.User).delete_many({})
    server.post(f"{ana}history/1/restore/", {})
    server.delete(ana)

    assert ["external", "restored", "deleted"] == operations(server, ana)[3:]
    assert 409 == undo(server, ana, 4).status
    assert (201, "Ana") == (undo(server, ana, 6).status, raw_of(ana)["name"])


# The body -----------------------------------------------------------------------------------


def test_an_undo_needs_no_body(server, ana):
    assert 201 == server.request("POST", f"{ana}history/2/undo/").status


def test_a_form_is_understood(server, ana):
    form = {"fields[]": ["name"], "reason": "x", "dry_run": "true"}
    answer = server.post(f"{ana}history/3/undo/", form=form)

    assert {"changes": [{"path": "/name", "from": "Anna", "to": "Ana"}]} == answer.json


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        pytest.param([], "", "An undo has an object for its body.", id="list"),
        pytest.param({"x": 1}, "/x", "An undo knows reason, fields and dry_run, not 'x'", id="x"),
        pytest.param({"fields": ["age"]}, "/fields", "Version 3 did not change 'age'.", id="age"),
        pytest.param({"fields": ["no"]}, "/fields", "Version 3 did not change 'no'.", id="no"),
        pytest.param({"fields": [""]}, "/fields", "Version 3 did not change ''.", id="empty"),
        pytest.param({"fields": ["/a~2"]}, "/fields", "'/a~2' is not a JSON Pointer", id="escape"),
        pytest.param(
            {"fields": ["name.x"]},
            "/fields",
            "Version 3 changed /name as a whole, not 'name.x' alone.",
            id="below",
        ),
    ],
)
def test_a_bad_body_is_422_and_says_where(server, ana, body, pointer, detail):
    answer = server.post(f"{ana}history/3/undo/", body)

    assert 422 == answer.status
    [error] = answer.problem["errors"]
    assert pointer == error["pointer"]
    assert error["detail"].startswith(detail)
    assert 3 == len(told(server, ana))


def test_all_bad_fields_are_told(server, ana):
    answer = undo(server, ana, 2, {"fields": ["name", "age", "tags"]})

    details = [each["detail"] for each in answer.problem["errors"]]
    assert ["Version 2 did not change 'name'.", "Version 2 did not change 'tags'."] == details


def test_single_fields_of_a_delete_are_409(server, gone):
    answer = undo(server, gone, 4, {"fields": ["age"]})

    assert 409 == answer.status
    assert "undo it without naming fields." in answer.problem["detail"]


@pytest.mark.parametrize("field", ["home.city", "/home/city", "/home/c"])
def test_only_the_named_fields_are_taken_back(server, field):
    path = created(server, name="Ana", home={"street": "a", "city": "b"})
    server.put(path, {"home": {"street": "c", "city": "d"}, "age": 1})
    answer = undo(server, path, 2, {"fields": [field]})

    assert ({"street": "c", "city": "b"}, 1) == (answer.json["home"], answer.json["age"])


# Dry run and preconditions ------------------------------------------------------------------


def test_a_dry_run_says_what_would_change_and_writes_nothing(server, ana):
    before = raw_of(ana)
    answer = undo(server, ana, 2, {"dry_run": True})

    assert (200, {"changes": [{"path": "/age", "from": 2, "to": 1}]}) == (
        answer.status,
        answer.json,
    )
    assert (before, 3) == (raw_of(ana), len(told(server, ana)))


def test_a_dry_run_tells_of_conflicts(server, ana):
    server.put(ana, {"age": 3})

    assert 409 == undo(server, ana, 2, {"dry_run": True}).status


def test_a_dry_run_of_a_delete_shows_all_that_comes_back(server, gone):
    changes = undo(server, gone, 4, {"dry_run": True}).json["changes"]

    assert {"/name": "Anna", "/age": 2, "/tags": ["a", "b"]} == {
        each["path"]: each["to"] for each in changes
    }
    assert 410 == server.get(gone).status


def test_preconditions_hold(server, ana):
    assert 412 == undo(server, ana, 2, If_Match='"2"').status
    assert 412 == undo(server, ana, 2, {"dry_run": True}, If_Match='"2"').status
    assert 201 == undo(server, ana, 2, If_Match='"3"').status


def test_the_version_of_a_deleted_document_is_its_deletes(server, gone):
    assert 412 == undo(server, gone, 4, If_Match='"3"').status
    assert 201 == undo(server, gone, 4, If_Match='"4"').status


def test_a_resource_that_asks_for_a_precondition_asks_for_it_here(house, ana):
    with serving(house, house.User, require_precondition=True) as strict:
        assert 428 == undo(strict, ana, 2).status
        assert 200 == undo(strict, ana, 2, {"dry_run": True}).status


# Permission and signals ---------------------------------------------------------------------


def test_the_application_is_asked_as_for_a_restore(house, ana):
    asked = []

    class Guarded(MongoEngineRestHandler):
        def may(self, action, model, pk):
            asked.append(action)
            return False

    with serving(house, house.User, Guarded) as server:
        assert 403 == undo(server, ana, 2).status
    assert ["restore"] == asked


@pytest.mark.parametrize(
    ("signal", "version", "body"),
    [
        pytest.param(pre_update_instance, 2, {}, id="live"),
        pytest.param(pre_create_instance, 4, {}, id="deleted"),
        pytest.param(pre_get_instance, 2, {"dry_run": True}, id="dry run"),
    ],
)
def test_a_pre_receiver_refuses_an_undo(server, ana, signal, version, body):
    if version == 4:
        server.delete(ana)

    def receiver(sender):
        raise HTTPError(402)

    signal.connect(receiver)
    answer = undo(server, ana, version, body)
    signal.disconnect(receiver)

    assert 402 == answer.status


def test_receivers_see_an_update_or_a_create_and_what_was_undone(server, ana):
    heard = []

    def updated(updated_fields, event):
        heard.append((updated_fields, event.undo_of))

    def came(instance, event):
        heard.append((instance.name, event.undo_of))

    post_update_instance.connect(updated)
    post_create_instance.connect(came)
    undo(server, ana, 2)
    server.delete(ana)
    undo(server, ana, 5)

    assert [({"age": {"from": 2, "to": 1}}, 2), ("Anna", 5)] == heard


# An ordinary write --------------------------------------------------------------------------


def test_a_unique_value_that_is_taken_by_now_is_409(server):
    path = created(server, name="Ana", email="a@x")
    server.put(path, {"email": "b@x"})
    created(server, name="Bea", email="a@x")
    answer = undo(server, path, 2)

    assert (409, "/email") == (answer.status, answer.problem["errors"][0]["pointer"])
    assert "b@x" == raw_of(path)["email"]


@pytest.fixture
def item(house):
    class Part(EmbeddedDocument):
        size = IntField(max_value=9)

    class Item(Document):
        name = StringField(required=True, max_length=5)
        parts = ListField(EmbeddedDocumentField(Part))
        any = DynamicField()
        facts = DictField()

    with serving(house, Item) as server:
        yield server, raw(Item)


def test_a_state_that_is_invalid_today_is_422_with_each_fault(item):
    server, collection = item
    path = created(server, "/item/", name="a")
    collection.update_one({}, {"$set": {"name": "too long", "parts": [{"size": 10}]}})
    assert 200 == server.put(path, {"name": "b", "parts": []}).status
    answer = undo(server, path, 3)

    assert 422 == answer.status
    assert {"/name", "/parts/0/size"} == {each["pointer"] for each in answer.problem["errors"]}


def test_what_todays_model_cannot_load_is_422_and_named(item):
    server, collection = item
    path = created(server, "/item/", name="a")
    collection.update_one({}, {"$set": {"old": 1}})
    server.put(f"{path}?replace=true", {"name": "b"})
    answer = undo(server, path, 3)

    assert 422 == answer.status
    [fault] = answer.problem["errors"]
    assert ("/old", "Today's Item cannot hold what was there before version 3: /old.") == (
        fault["pointer"],
        fault["detail"],
    )


@pytest.mark.parametrize("value", ["", None, [], {}, Int64(5), 5.0, {"a.b": 1, "": None}], ids=repr)
def test_what_mongoengine_would_drop_is_put_back(item, value):
    server, collection = item
    path = created(server, "/item/", name="a", any="x")
    collection.update_one({}, {"$set": {"any": value}})
    server.put(path, {"any": "y"})
    server.put(path, {"name": "b"})
    undo(server, path, 3)

    assert same({"name": "b", "any": value}, {n: raw_of(path)[n] for n in ("name", "any")})


def test_what_clean_makes_of_it_is_in_the_event(house):
    class Item(Document):
        name = StringField()
        count = IntField(default=0)

        def clean(self):
            self.count += 1

    with serving(house, Item) as server:
        path = created(server, "/item/", name="a")
        server.put(path, {"name": "b"})
        answer = undo(server, path, 2, {"fields": ["name"]})

        assert ("a", 3) == (answer.json["name"], answer.json["count"])
        assert {"/name", "/count"} == {c["path"] for c in told(server, path)[-1]["changes"]}


def test_members_that_only_a_document_has_are_taken_back(house):
    class Open(DynamicDocument):
        name = StringField()

    with serving(house, Open) as server:
        path = created(server, "/open/", name="a", extra={"0": [1, 2]})
        server.put(path, {"extra": {"0": [1, 3]}, "more": 1})
        server.put(path, {"name": "b"})
        undo(server, path, 2)

        stored = {n: v for n, v in raw_of(path).items() if n not in ("_id", "_cls")}
        assert {"name": "b", "extra": {"0": [1, 2]}} == stored


def test_an_inherited_document_keeps_its_class(house):
    class Animal(Document):
        meta = {"allow_inheritance": True}
        name = StringField()

    class Dog(Animal):
        bark = StringField()

    house.auditor.track(Animal)
    dog = house.write(lambda: Dog(name="a", bark="w").save())
    house.write(lambda: Dog.objects.first().modify(bark="x"))
    house.write(lambda: Dog.objects.first().modify(name="b"))
    house.auditor.history(Animal, dog.pk).undo(2)

    assert [("Animal.Dog", "b", "w")] == [(d._cls, d.name, d.bark) for d in Dog.objects]


# What is hidden -----------------------------------------------------------------------------


@pytest.fixture
def vault(house):
    class Vault(Document):
        name = StringField()
        secret = StringField()
        pin = StringField()

    house.auditor.track(Vault, exclude=["secret"], mask=["pin"])
    with serving(house, Vault) as server:
        path = created(server, "/vault/", name="a", secret="s1", pin="p1")
        server.put(path, {"name": "b", "secret": "s2", "pin": "p2"})
        server.put(path, {"pin": "p3"})
        yield server, path


def test_hidden_fields_are_left_as_they_are(vault):
    server, path = vault
    undo(server, path, 2)

    assert ("a", "s2", "p3") == tuple(raw_of(path)[n] for n in ("name", "secret", "pin"))


def test_hidden_fields_are_unset_after_an_undelete(vault):
    server, path = vault
    server.delete(path)
    undo(server, path, 4)

    assert {"_id", "name"} == set(raw_of(path))


def test_an_event_of_masked_values_alone_is_409(vault):
    server, path = vault
    answer = undo(server, path, 3)

    assert 409 == answer.status
    assert "changed only hidden values" in answer.problem["detail"]


@pytest.mark.parametrize(
    ("field", "detail"),
    [
        ("pin", "'pin' is masked: what it was before version 2 was not kept."),
        ("secret", "Version 2 did not change 'secret'."),
    ],
)
def test_a_hidden_field_cannot_be_named(vault, field, detail):
    server, path = vault
    answer = undo(server, path, 2, {"fields": [field]})

    assert (422, detail) == (answer.status, answer.problem["errors"][0]["detail"])


# In code ------------------------------------------------------------------------------------


def test_an_undo_in_code_gives_the_number_of_the_new_version(history):
    assert 4 == history.undo(2, actor="ana", reason="a slip")
    event = history.event(4)

    assert ("ana", "a slip", 2) == (event.actor.id, event.reason, event.undo_of)


def test_it_gives_the_current_number_when_it_is_taken_back_already(history):
    history.undo(2)

    assert 4 == history.undo(2)


def test_within_another_write_it_gives_the_number_that_the_event_will_have(history, house):
    assert (4, 4) == (house.write(lambda: history.undo(2)), history.last_version())


def test_what_a_write_has_changed_it_cannot_undo_as_well(history, house):
    def both():
        history.undo(3)
        history.undo(2)

    with pytest.raises(Conflict, match="was changed in this write already"):
        house.write(both)
    assert 3 == history.last_version()


def test_what_a_write_has_only_read_it_can_undo(history, house):
    def work():
        history.preview_undo(2)
        return history.undo(2)

    assert 4 == house.write(work)


def test_a_conflict_in_code_carries_the_facts(history, server, ana):
    server.put(ana, {"age": 3})
    with pytest.raises(UndoConflict) as caught:
        history.undo(2)

    assert (2, (("/age", 4),)) == (caught.value.version, caught.value.conflicts)


@pytest.mark.parametrize(
    ("version", "fields", "error", "message"),
    [
        pytest.param(9, None, UnknownVersion, "has no version 9; its last version is 3.", id="9"),
        pytest.param(0, None, UnknownVersion, "has no version 0; its last version is 3.", id="0"),
        pytest.param(2**70, None, UnknownVersion, "its last version is 3.", id="huge"),
        pytest.param(1, None, CannotUndo, "it created the document", id="created"),
        pytest.param(2, ["name"], InvalidInput, "Version 2 did not change 'name'", id="field"),
    ],
)
def test_what_cannot_be_undone_in_code_raises(history, version, fields, error, message):
    with pytest.raises(error, match=message):
        history.undo(version, fields=fields)


def test_a_preview_writes_nothing(history):
    assert [Change(("age",), 2, 1)] == history.preview_undo(2)
    assert [Change(("name",), "Anna", "Ana")] == history.preview_undo(3, fields=["name"])
    assert [Change(("age",), 2, 1)] == history.preview_restore(1, fields=["age"])
    assert 3 == history.last_version()


def test_a_preview_of_a_deleted_document_shows_all_that_comes_back(history, server, ana):
    server.delete(ana)

    assert {"name": "Anna", "age": 2, "tags": ["a", "b"]} == {
        change.path[0]: change.to for change in history.preview_undo(4) if change.from_ is ABSENT
    }


def test_a_preview_raises_what_the_undo_would(history, server, ana):
    server.put(ana, {"age": 3})

    with pytest.raises(UndoConflict, match="/age was changed again by version 4"):
        history.preview_undo(2)


def test_outside_of_a_write_there_is_no_unit_to_undo_in(history, house):
    with pytest.raises(BzzError, match="runs in a unit of work: use auditor.write"):
        undo_in(history, 2)


# What was seen is what is done


@pytest.mark.parametrize("kind", ["restore", "undo"])
def test_what_was_foreseen_is_done(house, kind):
    user = house.make(name="Ana", age=1)
    house.write(lambda: house.User.objects(pk=user.pk).update(age=2))
    history = house.auditor.history(house.User, user.pk)
    version = {"restore": 1, "undo": 2}[kind]
    seen = getattr(history, f"foresee_{kind}")(version)

    assert [Change(("age",), 2, 1)] == seen.changes
    assert 3 == getattr(history, kind)(version, seen=seen)


@pytest.mark.parametrize("kind", ["restore", "undo"])
@pytest.mark.parametrize("past_bzz", [True, False])
def test_nothing_is_done_once_the_document_is_not_what_was_seen(house, kind, past_bzz):
    user = house.make(name="Ana", age=1)
    house.write(lambda: house.User.objects(pk=user.pk).update(age=2))
    history = house.auditor.history(house.User, user.pk)
    version = {"restore": 1, "undo": 2}[kind]
    seen = getattr(history, f"foresee_{kind}")(version)
    if past_bzz:
        raw(house.User).update_one({"_id": user.pk}, {"$set": {"name": "Eve"}})
    else:
        house.write(lambda: house.User.objects(pk=user.pk).update(name="Eve"))

    with pytest.raises(PreconditionFailed, match="was changed since the preview"):
        getattr(history, kind)(version, seen=seen)
    assert ("Eve", 2) == (stored(user)["name"], stored(user)["age"])
