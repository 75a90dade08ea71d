"""Restore: an earlier state becomes the newest one, over HTTP and in code, as an ordinary write."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.codec_options import CodecOptions
from mongoengine import (
    BooleanField,
    DictField,
    Document,
    DynamicDocument,
    DynamicField,
    EmbeddedDocument,
    EmbeddedDocumentField,
    FloatField,
    IntField,
    ListField,
    StringField,
    get_db,
)
from tornado.web import HTTPError

from bzz import MongoEngineRestHandler
from bzz.audit.errors import DocumentDeleted, UnknownVersion
from bzz.errors import Conflict, InvalidInput
from bzz.signals import (
    post_create_instance,
    post_update_instance,
    pre_create_instance,
    pre_get_instance,
    pre_update_instance,
)
from bzz.values import EXACT, same
from tests.house import raw
from tests.support import Server

GONE = ObjectId("0123456789abcdef01234567")


def serving(house: Any, model: Any, handler: Any = MongoEngineRestHandler, **options: Any) -> Any:
    routes = handler.routes_for("mongoengine", model, audit=house.auditor, **options)
    return Server(routes)


def created(server: Any, path: str = "/user/", **values: Any) -> str:
    answer = server.post(path, values or {"name": "Ana"})
    assert 201 == answer.status, answer
    return str(answer.headers["Location"])


@pytest.fixture
def ana(server):
    """A document with the versions 1 (Ana, 1), 2 (Ana, 2), 3 (Anna, 2, tagged)."""
    path = created(server, name="Ana", age=1)
    server.put(path, {"age": 2})
    server.put(path, {"name": "Anna", "tags": ["a", "b"]})
    return path


@pytest.fixture
def gone(server, ana):
    """The same, deleted by version 4."""
    server.delete(ana)
    return ana


def restore(server: Any, path: str, version: int, body: Any = None, **headers: str) -> Any:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.post(f"{path}history/{version}/restore/", body or {}, headers=sent)


def told(server: Any, path: str) -> list[Any]:
    return list(server.get(f"{path}history/?order=asc&limit=100").json["items"])


def operations(server: Any, path: str) -> list[str]:
    return [event["operation"] for event in told(server, path)]


# What it makes ------------------------------------------------------------------------------


def test_a_live_document_is_taken_back(server, ana):
    answer = restore(server, ana, 1)

    assert (201, '"4"', f"{ana}history/4/") == (
        answer.status,
        answer.etag,
        answer.headers["Location"],
    )
    assert ("Ana", 1, []) == tuple(answer.json[name] for name in ("name", "age", "tags"))
    assert answer.json == server.get(ana).json


def test_the_event_says_where_it_comes_from(server, ana):
    restore(server, ana, 1)
    event = told(server, ana)[-1]

    assert ("restored", 1) == (event["operation"], event["restored_from"])


def test_a_deleted_document_comes_back_under_its_id(server, gone):
    answer = restore(server, gone, 3)

    assert (201, '"5"', f"{gone}history/5/") == (
        answer.status,
        answer.etag,
        answer.headers["Location"],
    )
    assert (200, '"5"') == (server.get(gone).status, server.get(gone).etag)
    assert ["created", "updated", "updated", "deleted", "restored"] == operations(server, gone)


def test_what_is_so_already_makes_no_event(server, ana):
    answer = restore(server, ana, 3)

    assert (200, '"3"', None) == (answer.status, answer.etag, answer.headers["Location"])
    assert server.get(ana).json == answer.json
    assert 3 == len(told(server, ana))


def test_a_restored_version_can_be_restored_and_left_again(server, ana):
    restore(server, ana, 1)
    restore(server, ana, 3)

    assert ("Anna", ["a", "b"]) == tuple(server.get(ana).json[name] for name in ("name", "tags"))
    assert 5 == len(told(server, ana))


@pytest.mark.parametrize("version", ["4", "0", "x"])
def test_a_version_that_never_was_is_404(server, ana, version):
    assert 404 == server.post(f"{ana}history/{version}/restore/", {}).status


def test_a_version_that_is_a_delete_is_410(server, gone):
    answer = restore(server, gone, 4)

    assert (410, 4) == (answer.status, answer.problem["version"])


def test_a_document_that_never_was_is_404(server):
    assert 404 == restore(server, f"/user/{GONE}/", 1).status


# The body -----------------------------------------------------------------------------------


def test_a_restore_needs_no_body(server, ana):
    assert 201 == server.request("POST", f"{ana}history/1/restore/").status


def test_a_form_is_understood(server, ana):
    answer = server.post(f"{ana}history/1/restore/", form={"fields[]": ["age"], "reason": "x"})

    assert ("Anna", 1) == (answer.json["name"], answer.json["age"])


def test_the_reason_of_the_body_wins_over_the_headers(server, ana):
    restore(server, ana, 1, {"reason": "of the body"}, X_Audit_Reason="of the header")

    assert "of the body" == told(server, ana)[-1]["reason"]


def test_the_reason_of_the_header_stands_without_one_in_the_body(server, ana):
    restore(server, ana, 1, {}, X_Audit_Reason="of the header", X_User="bea")
    event = told(server, ana)[-1]

    assert ("of the header", "bea") == (event["reason"], event["actor"]["id"])


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        pytest.param([], "", "A restore has an object for its body.", id="list"),
        pytest.param({"x": 1}, "/x", "A restore knows reason, fields and dry_run,", id="unknown"),
        pytest.param({"reason": 1}, "/reason", "The reason is a text.", id="reason"),
        pytest.param(
            {"reason": "x" * 4097}, "/reason", "The reason has 4097 characters;", id="long"
        ),
        pytest.param({"fields": []}, "/fields", "The fields are a list of names", id="none"),
        pytest.param({"fields": [1]}, "/fields", "The fields are a list of names", id="number"),
        pytest.param({"fields": {}}, "/fields", "The fields are a list of names", id="object"),
        pytest.param({"fields": ["nope"]}, "/fields", "User has no field 'nope',", id="no field"),
        pytest.param({"fields": [""]}, "/fields", "User has no field '',", id="empty name"),
        pytest.param({"fields": ["/a~2"]}, "/fields", "'/a~2' is not a JSON Pointer", id="escape"),
        pytest.param({"fields": ["tags.9"]}, "/fields", "'tags.9' leads nowhere", id="no element"),
        pytest.param({"fields": ["tags.x"]}, "/fields", "'tags.x' leads nowhere", id="no index"),
        pytest.param({"fields": ["tags.01"]}, "/fields", "'tags.01' leads nowhere", id="bad index"),
        pytest.param({"fields": ["name.x"]}, "/fields", "'name.x' leads nowhere", id="in a text"),
        pytest.param({"dry_run": 1}, "/dry_run", "dry_run is true or false.", id="dry_run"),
    ],
)
def test_a_bad_body_is_422_and_says_where(server, ana, body, pointer, detail):
    answer = server.post(f"{ana}history/1/restore/", body)

    assert 422 == answer.status
    [error] = answer.problem["errors"]
    assert pointer == error["pointer"]
    assert error["detail"].startswith(detail)
    assert 3 == len(told(server, ana))


def test_all_bad_fields_are_told(server, ana):
    answer = restore(server, ana, 1, {"fields": ["nope", "age", "nor this"]})

    assert ["/fields", "/fields"] == [each["pointer"] for each in answer.problem["errors"]]


def test_a_restore_knows_no_query_parameters(server, ana):
    assert 400 == server.post(f"{ana}history/1/restore/?dry_run=true", {}).status


def test_a_malformed_body_is_400(server, ana):
    headers = {"Content-Type": "application/json"}
    assert 400 == server.request("POST", f"{ana}history/1/restore/", "{", headers=headers).status


# Fields -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "name", "age", "tags"),
    [
        pytest.param(["age"], "Anna", 1, ["a", "b"], id="one"),
        pytest.param(["age", "name"], "Ana", 1, ["a", "b"], id="several"),
        pytest.param(["/age"], "Anna", 1, ["a", "b"], id="pointer"),
        pytest.param(["tags"], "Anna", 2, [], id="list"),
        pytest.param(["id", "age"], "Anna", 1, ["a", "b"], id="the id is itself"),
        pytest.param("age", "Anna", 1, ["a", "b"], id="a text"),
    ],
)
def test_only_the_named_fields_are_taken_back(server, ana, fields, name, age, tags):
    answer = restore(server, ana, 1, {"fields": fields})

    assert (201, name, age, tags) == (
        answer.status,
        *(answer.json[each] for each in ("name", "age", "tags")),
    )


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        pytest.param("home.city", {"street": "c", "city": "b"}, id="dotted"),
        pytest.param("/home/city", {"street": "c", "city": "b"}, id="pointer"),
        pytest.param("/home/c", {"street": "c", "city": "b"}, id="stored name"),
        pytest.param("home", {"street": "a", "city": "b"}, id="whole"),
    ],
)
def test_a_member_of_an_embedded_document_is_taken_back(server, field, expected):
    path = created(server, name="Ana", home={"street": "a", "city": "b"})
    server.put(path, {"home": {"street": "c", "city": "d"}})

    assert expected == restore(server, path, 1, {"fields": [field]}).json["home"]


@pytest.mark.parametrize("field", ["tags.1", "/tags/1"])
def test_an_element_of_a_list_is_taken_back(server, field):
    path = created(server, name="Ana", tags=["a", "b", "c"])
    server.put(path, {"tags": ["x", "y"]})

    assert ["x", "b"] == restore(server, path, 1, {"fields": [field]}).json["tags"]


def test_a_field_that_was_not_there_is_unset(server):
    path = created(server, name="Ana")
    server.put(path, {"age": 5, "home": {"street": "a"}})

    restore(server, path, 1, {"fields": ["age", "home"]})
    assert {"_id", "name", "tags"} == set(raw_of(path))


def test_a_member_is_put_into_an_embedded_document_that_is_gone(server):
    path = created(server, name="Ana", home={"street": "a", "city": "b"})
    server.put(path, {"home": None})

    answer = restore(server, path, 1, {"fields": ["home.city"]})
    assert {"street": None, "city": "b"} == answer.json["home"]


def test_single_fields_of_a_deleted_document_are_409(server, gone):
    answer = restore(server, gone, 1, {"fields": ["age"]})

    assert 409 == answer.status
    assert answer.problem["detail"].startswith("The document is deleted; restore it whole first")


def raw_of(path: str, **options: Any) -> Any:
    _, collection, key, _ = path.split("/")
    found = get_db()[collection].with_options(CodecOptions(**options) if options else EXACT)
    return found.find_one({"_id": ObjectId(key)})


# Dry run ------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", [True, "true"])
def test_a_dry_run_says_what_would_change_and_writes_nothing(server, ana, flag):
    before = raw_of(ana)
    answer = restore(server, ana, 1, {"dry_run": flag})

    assert 200 == answer.status
    expected = [
        {"path": "/name", "from": "Anna", "to": "Ana"},
        {"path": "/age", "from": 2, "to": 1},
        {"path": "/tags/0", "from": "a"},
        {"path": "/tags/0", "from": "b"},
    ]
    assert {"changes": expected} == answer.json
    assert (before, 3) == (raw_of(ana), len(told(server, ana)))


def test_a_dry_run_of_a_deleted_document_shows_all_of_it(server, gone):
    changes = restore(server, gone, 1, {"dry_run": True}).json["changes"]

    assert {"/name": "Ana", "/age": 1, "/tags": []} == {c["path"]: c["to"] for c in changes}
    assert 410 == server.get(gone).status
    assert 4 == len(told(server, gone))


def test_a_dry_run_of_what_is_so_already_is_empty(server, ana):
    assert {"changes": []} == restore(server, ana, 3, {"dry_run": True}).json


def test_a_dry_run_checks_its_precondition_too(server, ana):
    assert 412 == restore(server, ana, 1, {"dry_run": True}, If_Match='"1"').status
    assert 404 == restore(server, ana, 9, {"dry_run": True}).status


# Preconditions ------------------------------------------------------------------------------


def test_a_restore_with_a_true_precondition_is_done(server, ana):
    assert 201 == restore(server, ana, 1, If_Match='"3"').status


def test_a_restore_with_a_false_precondition_is_412(server, ana):
    answer = restore(server, ana, 1, If_Match='"2"')

    assert (412, 3) == (answer.status, answer.problem["version"])
    assert 3 == len(told(server, ana))


def test_the_version_of_a_deleted_document_is_its_deletes(server, gone):
    assert 412 == restore(server, gone, 3, If_Match='"3"').status
    assert 201 == restore(server, gone, 3, If_Match='"4"').status


def test_no_tag_matches_a_document_that_was_deleted_round_bzz(house, server, ana):
    raw(house.User).delete_many({})

    assert 412 == restore(server, ana, 3, If_Match='"3"').status


def test_a_resource_that_asks_for_a_precondition_asks_for_it_here(house, ana):
    with serving(house, house.User, require_precondition=True) as strict:
        assert 428 == restore(strict, ana, 1).status
        assert 200 == restore(strict, ana, 1, {"dry_run": True}).status
        assert 201 == restore(strict, ana, 1, If_Match='"3"').status


# What is in the way -------------------------------------------------------------------------


def test_a_unique_value_that_is_taken_by_now_is_409(server):
    path = created(server, name="Ana", email="a@x")
    server.put(path, {"email": "b@x"})
    created(server, name="Bea", email="a@x")
    answer = restore(server, path, 1)

    assert 409 == answer.status
    assert "/email" == answer.problem["errors"][0]["pointer"]
    assert "b@x" == raw_of(path)["email"]
    assert ["created", "updated"] == operations(server, path)


def test_a_unique_value_that_is_taken_hinders_an_undelete_too(server):
    path = created(server, name="Ana", email="a@x")
    server.delete(path)
    created(server, name="Bea", email="a@x")

    assert 409 == restore(server, path, 1).status
    assert 410 == server.get(path).status


def test_a_document_to_which_others_refer_is_restored(server, ana):
    created(server, "/deed/", owner=ana.split("/")[2])

    assert 409 == server.delete(ana).status
    assert 201 == restore(server, ana, 1).status


@pytest.fixture
def item(house):
    """A model whose past may break the rules that it has today."""

    class Part(EmbeddedDocument):
        size = IntField(max_value=9)

    class Item(Document):
        name = StringField(required=True, max_length=5)
        parts = ListField(EmbeddedDocumentField(Part))
        count = IntField()

    with serving(house, Item) as server:
        yield server, raw(Item)


def past(server: Any, collection: Any, **state: Any) -> str:
    """A document whose version 2 is a state that was written round bzz."""
    path = created(server, "/item/", name="a")
    collection.update_one({}, {"$set": state})
    assert 200 == server.put(f"{path}?replace=true", {"name": "b"}).status
    assert ["created", "external", "updated"] == operations(server, path)
    return path


def test_a_state_that_is_invalid_today_is_422_with_each_fault(item):
    server, collection = item
    path = past(server, collection, name="too long", parts=[{"size": 10}])
    answer = restore(server, path, 2)

    assert 422 == answer.status
    assert {"/name", "/parts/0/size"} == {each["pointer"] for each in answer.problem["errors"]}
    assert 3 == len(told(server, path))


def test_a_state_that_todays_model_cannot_load_is_422_and_names_what_it_cannot(item):
    server, collection = item
    path = past(server, collection, old=1, older=2, count=3)
    answer = restore(server, path, 2)

    assert 422 == answer.status
    faults = answer.problem["errors"]
    assert ["/old", "/older"] == sorted(each["pointer"] for each in faults)
    details = {each["detail"] for each in faults}
    assert "Today's Item cannot hold what version 2 has: /older." in details


def test_the_valid_fields_of_such_a_state_are_restored(item):
    server, collection = item
    path = past(server, collection, old=1, count=7)

    assert 7 == restore(server, path, 2, {"fields": ["count"]}).json["count"]


def test_a_required_field_that_was_absent_is_422(item):
    server, collection = item
    path = created(server, "/item/", name="a")
    collection.update_one({}, {"$unset": {"name": 1}})
    server.put(path, {"name": "b"})
    answer = restore(server, path, 2)

    assert (422, "/name") == (answer.status, answer.problem["errors"][0]["pointer"])


# What MongoEngine alone would drop ----------------------------------------------------------


@pytest.fixture
def thing(house):
    class Thing(Document):
        text = StringField(null=True)
        many = ListField(IntField())
        facts = DictField()
        number = FloatField()
        any = DynamicField()
        active = BooleanField(default=True)
        count = IntField(default=7)

    with serving(house, Thing) as server:
        yield server, raw(Thing)


EMPTY = {"text": "", "many": [], "facts": {}, "number": 0.0, "any": None, "active": False}
FULL = {"text": "x", "many": [1], "facts": {"a": 1}, "number": 1.5, "any": "y", "active": True}


@pytest.mark.parametrize("deleted", [False, True], ids=["live", "deleted"])
@pytest.mark.parametrize(
    "state",
    [
        pytest.param(EMPTY, id="empty values"),
        pytest.param({}, id="nothing, and no defaults"),
        pytest.param({"text": None, "any": None, "count": None}, id="null"),
        pytest.param({"any": {}, "facts": {"a": {}, "b": None, "c": []}}, id="empty inside"),
        pytest.param({"any": {"": 1, "a.b": 2, "$c": 3}}, id="odd names inside"),
        pytest.param({"number": Int64(1), "count": Int64(5), "any": Int64(5)}, id="64 bits"),
        pytest.param({"number": 1, "count": 5}, id="whole where a float is"),
        pytest.param({"any": True, "number": -0.0}, id="true and minus zero"),
        pytest.param({"count": 7.0}, id="float where a whole is"),
    ],
)
def test_a_state_comes_back_as_it_was_stored(thing, state, deleted):
    server, collection = thing
    path = created(server, "/thing/", **FULL)
    state = {"_id": raw_of(path)["_id"], **state}
    collection.replace_one({}, state)
    server.put(path, {**FULL, "count": 1})
    if deleted:
        server.delete(path)
    answer = restore(server, path, 2)

    assert 201 == answer.status
    assert same(state, raw_of(path)), raw_of(path)
    assert answer.etag == server.get(path).etag


EVERY_TYPE = {
    "double": 1.0,
    "string": "é",
    "object": {"b": 1, "a": {"deep": [1, [2.0, {"x": None}]]}},
    "array": [1, 1.0, True, None, "1", Int64(1), Decimal128("1")],
    "binary": b"\0\xff",
    "uuid": Binary.from_uuid(uuid.UUID(int=1)),
    "subtype": Binary(b"x", 128),
    "id": ObjectId(GONE),
    "bool": False,
    "date": datetime.datetime(2024, 2, 29, 1, 2, 3, 4000),
    "null": None,
    "regex": Regex("^a", "i"),
    "code": Code("f()"),
    "scope": Code("f()", {"x": 1}),
    "int": 5,
    "timestamp": Timestamp(1, 2),
    "long": Int64(5),
    "decimal": Decimal128("1.10"),
    "minkey": MinKey(),
    "maxkey": MaxKey(),
    "ref": DBRef("user", GONE),
    "nan": float("nan"),
    "empty": {"list": [], "object": {}, "string": ""},
}


@pytest.mark.parametrize("deleted", [False, True], ids=["live", "deleted"])
@pytest.mark.parametrize("name", [*EVERY_TYPE, "all"])
def test_every_type_of_bson_comes_back(house, name, deleted):
    class Box(Document):
        any = DynamicField()

    value = EVERY_TYPE if name == "all" else EVERY_TYPE[name]
    house.auditor.track(Box)
    box = house.write(lambda: Box(any="x").save())
    raw(Box).update_one({}, {"$set": {"any": value}})
    house.write(lambda: raw_delete(Box) if deleted else Box.objects.first().modify(any="y"))
    version = house.auditor.history(Box, box.pk).restore(2)

    assert 4 == version
    assert same({"_id": box.pk, "any": value}, raw(Box).with_options(EXACT).find_one({}))


def raw_delete(model: Any) -> None:
    model._get_collection().delete_one({})


def test_members_that_only_a_document_has_come_back(house):
    class Open(DynamicDocument):
        name = StringField()

    with serving(house, Open) as server:
        path = created(server, "/open/", name="a", extra={"x": [1.0]}, more="")
        server.put(path, {"extra": None, "other": 1})
        restore(server, path, 1)

        assert {"name": "a", "extra": {"x": [1.0]}, "more": ""} == {
            name: value for name, value in raw_of(path).items() if name not in ("_id", "_cls")
        }


@pytest.mark.parametrize("deleted", [False, True], ids=["live", "deleted"])
def test_members_that_a_lenient_model_does_not_know_come_back(house, deleted):
    class Loose(Document):
        meta = {"strict": False}
        name = StringField()

    with serving(house, Loose) as server:
        path = created(server, "/loose/", name="a")
        old = {"_id": raw_of(path)["_id"], "name": "b", "old": 1, "a.b": 2, "a": {"b": 3}}
        raw(Loose).replace_one({}, old)
        server.put(path, {"name": "c"})
        raw(Loose).replace_one({}, {"_id": old["_id"], "name": "c", "a.b": 9})
        if deleted:
            server.delete(path)

        assert 201 == restore(server, path, 2).status
        assert same(old, raw_of(path)), raw_of(path)


# What the model makes of it -----------------------------------------------------------------


def test_what_save_and_clean_make_of_it_is_in_the_event_and_the_answer(house):
    class Item(Document):
        name = StringField()
        count = IntField(default=0)

        def clean(self):
            self.name = self.name.upper()

        def save(self, *args, **kwargs):
            self.count += 1
            return super().save(*args, **kwargs)

    with serving(house, Item) as server:
        path = created(server, "/item/", name="a")
        raw(Item).update_one({}, {"$set": {"name": "b"}})
        server.put(path, {"name": "c"})
        answer = restore(server, path, 2)

        assert ("B", 2) == (answer.json["name"], answer.json["count"])
        assert {"name": "B", "count": 2} == {n: raw_of(path)[n] for n in ("name", "count")}
        changes = {each["path"]: each.get("to") for each in told(server, path)[-1]["changes"]}
        assert {"/name": "B"} == changes
        assert answer.etag == server.get(path).etag


def test_what_save_writes_itself_is_left_alone(house):
    class Item(Document):
        name = StringField()
        count = IntField()

        def save(self, *args, **kwargs):
            super().save(*args, **kwargs)
            type(self)._get_collection().update_one({"_id": self.pk}, {"$inc": {"count": 1}})
            return self

    with serving(house, Item) as server:
        path = created(server, "/item/", name="a", count=10)
        server.put(path, {"name": "b", "count": 20})
        answer = restore(server, path, 1)

        assert ("a", 12) == (answer.json["name"], answer.json["count"])
        assert 12 == raw_of(path)["count"]


def test_a_save_that_refuses_refuses_the_restore(house):
    class Item(Document):
        name = StringField()

        def save(self, *args, **kwargs):
            if self.name == "a" and self.pk:
                raise HTTPError(418)
            return super().save(*args, **kwargs)

    with serving(house, Item) as server:
        path = created(server, "/item/", name="a")
        server.put(path, {"name": "b"})

        assert 418 == restore(server, path, 1).status
        assert "b" == raw_of(path)["name"]


def test_a_document_comes_back_as_the_class_that_it_was(house):
    class Animal(Document):
        meta = {"allow_inheritance": True}
        name = StringField()

    class Dog(Animal):
        bark = StringField()

    house.auditor.track(Animal)
    dog = house.write(lambda: Dog(name="a", bark="w").save())
    history = house.auditor.history(Animal, dog.pk)
    house.write(lambda: Dog.objects.get(pk=dog.pk).delete())
    house.write(lambda: Animal(pk=dog.pk, name="b").save(force_insert=True))
    history.restore(1)

    assert [("Animal.Dog", "w")] == [(d._cls, d.bark) for d in Dog.objects]


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
        yield server, path


def test_hidden_fields_are_left_as_they_are(vault):
    server, path = vault
    restore(server, path, 1)

    assert ("a", "s2", "p2") == tuple(raw_of(path)[name] for name in ("name", "secret", "pin"))


def test_naming_a_hidden_field_does_not_change_that(vault):
    server, path = vault
    answer = restore(server, path, 1, {"fields": ["secret", "pin"]})

    assert (200, "s2") == (answer.status, raw_of(path)["secret"])


def test_hidden_fields_are_unset_after_an_undelete(vault):
    server, path = vault
    server.delete(path)
    restore(server, path, 1)

    assert {"_id", "name"} == set(raw_of(path))


def test_a_dry_run_does_not_show_hidden_values(vault):
    server, path = vault
    answer = restore(server, path, 1, {"dry_run": True})

    assert {"changes": [{"path": "/name", "from": "b", "to": "a"}]} == answer.json


def test_a_required_hidden_field_makes_an_undelete_422(house):
    class Safe(Document):
        name = StringField()
        secret = StringField(required=True)

    house.auditor.track(Safe, exclude=["secret"])
    with serving(house, Safe) as server:
        path = created(server, "/safe/", name="a", secret="s")
        server.delete(path)
        answer = restore(server, path, 1)

        assert (422, "/secret") == (answer.status, answer.problem["errors"][0]["pointer"])
        assert None is raw_of(path)


# Written round bzz --------------------------------------------------------------------------


def test_a_write_round_bzz_has_its_event_before_the_restores(house, server, ana):
    raw(house.User).update_one({}, {"$set": {"name": "Eve"}})
    answer = restore(server, ana, 3)

    assert (201, '"5"') == (answer.status, answer.etag)
    events = told(server, ana)
    assert ["external", "restored"] == [event["operation"] for event in events[3:]]
    assert [{"path": "/name", "from": "Eve", "to": "Anna"}] == events[4]["changes"]
    assert {"kind": "system", "id": None} == events[3]["actor"]


def test_a_delete_round_bzz_has_its_event_before_the_restores(house, server, ana):
    raw(house.User).delete_many({})

    assert '"5"' == restore(server, ana, 3).etag
    assert ["external", "restored"] == operations(server, ana)[3:]
    assert 410 == server.get(f"{ana}history/4/").status


def test_a_write_round_bzz_to_the_very_state_makes_no_event(house, server, ana):
    before = raw_of(ana)
    server.put(ana, {"age": 9})
    raw(house.User).replace_one({}, before)
    answer = restore(server, ana, 3)

    assert (200, None) == (answer.status, answer.etag)


# Signals ------------------------------------------------------------------------------------


@pytest.fixture
def heard():
    heard: list[Any] = []

    def updated(sender, instance, updated_fields, handler, event):
        assert handler is None or handler.request.method == "POST"
        heard.append(("updated", instance.name, updated_fields, event.restored_from))

    def came(sender, instance, event):
        heard.append(("created", instance.name, event.restored_from))

    post_update_instance.connect(updated, weak=False)
    post_create_instance.connect(came, weak=False)
    return heard


def test_a_restore_of_a_live_document_sends_post_update_instance(server, ana, heard):
    heard.clear()
    restore(server, ana, 1, {"fields": ["age"]})

    assert [("updated", "Anna", {"age": {"from": 2, "to": 1}}, 1)] == heard


def test_a_restore_that_recreates_sends_post_create_instance(server, gone, heard):
    restore(server, gone, 1)

    assert [("created", "Ana", 1)] == heard


def test_a_restore_in_code_sends_each_signal_once(house, ana, heard):
    history = house.auditor.history(house.User, ObjectId(ana.split("/")[2]))
    history.restore(1, fields=["age"])

    assert [("updated", "Anna", {"age": {"from": 2, "to": 1}}, 1)] == heard


@pytest.mark.parametrize("body", [{"dry_run": True}, {"fields": ["id"]}], ids=str)
def test_a_restore_that_writes_nothing_sends_no_post_signal(server, ana, heard, body):
    restore(server, ana, 1, body)

    assert [] == heard


@pytest.mark.parametrize(
    ("signal", "deleted", "body"),
    [
        pytest.param(pre_update_instance, False, {}, id="live"),
        pytest.param(pre_create_instance, True, {}, id="deleted"),
        pytest.param(pre_get_instance, False, {"dry_run": True}, id="dry run"),
    ],
)
def test_a_pre_receiver_refuses_a_restore_as_it_refuses_the_write(
    house, server, ana, signal, deleted, body
):
    if deleted:
        server.delete(ana)
    seen = []

    def receiver(sender, arguments):
        seen.append((sender, arguments))
        raise HTTPError(402)

    count = len(told(server, ana))
    signal.connect(receiver)
    answer = restore(server, ana, 1, body)
    signal.disconnect(receiver)

    assert (402, [(house.User, [ana.strip("/")])]) == (answer.status, seen)
    assert count == len(told(server, ana))


def test_an_atomic_receiver_refuses_a_restore(server, ana):
    def receiver(event=None):
        raise HTTPError(402)

    post_update_instance.connect(receiver, atomic=True)

    assert 402 == restore(server, ana, 1).status
    assert 3 == len(told(server, ana))


# In code ------------------------------------------------------------------------------------


@pytest.fixture
def history(house, ana):
    return house.auditor.history(house.User, ObjectId(ana.split("/")[2]))


def test_a_restore_in_code_gives_the_number_of_the_new_version(history, house):
    assert 4 == history.restore(1, actor="ana", reason="a mistake")
    event = history.event(4)

    assert ("user", "ana", "a mistake", 1) == (
        event.actor.kind,
        event.actor.id,
        event.reason,
        event.restored_from,
    )


def test_it_gives_the_current_number_when_the_document_is_so_already(history):
    assert 3 == history.restore(3)


def test_within_another_write_it_gives_the_number_that_the_event_will_have(history, house):
    raw(house.User).update_one({}, {"$set": {"age": 9}})

    assert (5, 5) == (house.write(lambda: history.restore(1)), history.last_version())


def test_within_a_write_that_fails_nothing_is_restored(history, house):
    def work():
        history.restore(1)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        house.write(work)

    assert (3, "Anna") == (history.last_version(), raw(house.User).find_one({})["name"])


@pytest.mark.parametrize(
    ("version", "fields", "error", "message"),
    [
        pytest.param(9, None, UnknownVersion, "has no version 9; its last version is 3.", id="9"),
        pytest.param(2**70, None, UnknownVersion, "its last version is 3.", id="huge"),
        pytest.param(1, ["nope"], InvalidInput, "has no field 'nope'", id="unknown field"),
    ],
)
def test_what_cannot_be_restored_in_code_raises(history, version, fields, error, message):
    with pytest.raises(error, match=message):
        history.restore(version, fields=fields)


def test_a_delete_cannot_be_restored_in_code(history, server, ana):
    server.delete(ana)

    with pytest.raises(DocumentDeleted, match="Version 4 of user .* is a delete"):
        history.restore(4)
    with pytest.raises(Conflict, match="restore it whole first"):
        history.restore(1, fields=["age"])
    assert 5 == history.restore(1)


def test_a_write_that_has_changed_the_document_restores_it_from_there(history, house):
    def there_and_back():
        history.restore(1)
        assert "Ana" == house.User.objects.get(pk=history.document_id).name
        return history.restore(3)

    before = raw(house.User).find_one({})

    house.write(there_and_back)
    assert (3, before) == (history.last_version(), raw(house.User).find_one({}))


def test_of_two_restores_in_one_write_the_last_one_stands(history, house):
    def twice():
        history.restore(1)
        return history.restore(2)

    assert 4 == house.write(twice)
    assert (2, ("Ana", 2)) == (
        history.event(4).restored_from,
        tuple(raw(house.User).find_one({})[name] for name in ("name", "age")),
    )


def test_what_a_write_has_deleted_it_restores(history, house):
    def work():
        house.User.objects.get(pk=history.document_id).delete()
        return history.restore(1)

    assert 4 == house.write(work)
    assert ("Ana", 1) == tuple(raw(house.User).find_one({})[name] for name in ("name", "age"))


@pytest.mark.parametrize("now", [{}, {"home": None}], ids=["absent", "null"])
def test_a_member_comes_back_in_an_embedded_document_of_its_old_class(house, now):
    class Home(EmbeddedDocument):
        meta = {"allow_inheritance": True}
        street = StringField()

    class Flat(Home):
        floor = IntField()

    class Tenant(Document):
        name = StringField()
        home = EmbeddedDocumentField(Home)

    house.auditor.track(Tenant)
    tenant = house.write(lambda: Tenant(name="a", home=Flat(street="s", floor=3)).save())
    raw(Tenant).replace_one({}, {"_id": tenant.pk, "name": "b", **now})
    house.auditor.history(Tenant, tenant.pk).restore(1, fields=["home.floor"])

    assert {"_cls": "Flat", "floor": 3} == raw(Tenant).find_one({})["home"]
