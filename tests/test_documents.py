"""What MongoEngine does on its own, met on a real MongoDB; every type of field in and out."""

from __future__ import annotations

import enum
import math
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from bson import DBRef, Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from mongoengine import (
    BinaryField,
    BooleanField,
    CachedReferenceField,
    ComplexDateTimeField,
    DateField,
    DateTimeField,
    Decimal128Field,
    DecimalField,
    DictField,
    Document,
    DynamicDocument,
    DynamicField,
    EmailField,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    EnumField,
    FloatField,
    GenericEmbeddedDocumentField,
    GenericLazyReferenceField,
    GenericReferenceField,
    GeoPointField,
    IntField,
    LazyReferenceField,
    LineStringField,
    ListField,
    LongField,
    MapField,
    MultiPointField,
    ObjectIdField,
    PointField,
    PolygonField,
    ReferenceField,
    SequenceField,
    SortedListField,
    StringField,
    URLField,
    UUIDField,
)
from mongoengine.errors import ValidationError
from tornado.web import HTTPError

from bzz.audit import Auditor
from bzz.signals import before_commit, post_update_instance
from tests.house import own_receivers, own_registry
from tests.people import People, served, serving, stored
from tests.support import JSON_PATCH, MERGE_PATCH, Server


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@pytest.fixture
def registry(database: Any) -> Iterator[None]:
    with own_registry(), own_receivers():
        yield


@pytest.fixture
def people(database: Any) -> Iterator[People]:
    with served() as world:
        yield world


# Every type of field


def wide() -> tuple[Any, Any, Any]:
    class Town(EmbeddedDocument):
        name = StringField(db_field="n")

    class Team(Document):
        name = StringField()

    class Wide(Document):
        meta = {"auto_create_index": False}
        text = StringField(db_field="t")
        url = URLField()
        email = EmailField()
        whole = IntField()
        long = LongField()
        real = FloatField()
        price = DecimalField(precision=2)
        priced = DecimalField(precision=3, force_string=True)
        exact = Decimal128Field()
        flag = BooleanField()
        when = DateTimeField()
        exactly = ComplexDateTimeField()
        day = DateField()
        key = ObjectIdField()
        unique = UUIDField()
        unique_text = UUIDField(binary=False)
        data = BinaryField()
        colour = EnumField(Colour)
        town = EmbeddedDocumentField(Town)
        any_town = GenericEmbeddedDocumentField()
        towns = EmbeddedDocumentListField(Town)
        words = ListField(StringField())
        days = ListField(DateTimeField())
        ordered = SortedListField(IntField())
        points = MapField(IntField())
        places = MapField(EmbeddedDocumentField(Town))
        free = DictField()
        anything = DynamicField()
        team = ReferenceField(Team)
        old_team = ReferenceField(Team, dbref=True)
        lazy = LazyReferenceField(Team)
        cached = CachedReferenceField(Team)
        teams = ListField(ReferenceField(Team))
        some = GenericReferenceField()
        some_lazy = GenericLazyReferenceField()
        number = SequenceField()
        spot = GeoPointField()
        point = PointField()
        line = LineStringField()
        area = PolygonField()
        spots = MultiPointField()

    return Wide, Team, Town


TEAM = ObjectId()
SQUARE = [[[0, 0], [0, 1], [1, 1], [0, 0]]]

FIELDS: list[Any] = [
    ("text", "größe\0😀", "größe\0😀"),
    ("url", "https://example.org/a?b=c", "https://example.org/a?b=c"),
    ("email", "a@example.org", "a@example.org"),
    ("whole", -3, -3),
    ("long", 2**63 - 1, Int64(2**63 - 1)),
    ("real", 0.1, 0.1),
    ("price", "12.50", 12.5),
    ("priced", "12.500", "12.500"),
    ("exact", "0.10", Decimal128("0.10")),
    ("flag", False, False),
    ("when", "2024-05-01T10:00:00.123Z", datetime(2024, 5, 1, 10, 0, 0, 123000)),
    ("exactly", "2024-05-01T10:00:00.123456Z", "2024,05,01,10,00,00,123456"),
    ("day", "2024-05-01", datetime(2024, 5, 1)),
    ("key", str(TEAM), TEAM),
    ("unique", str(uuid.UUID(int=5)), uuid.UUID(int=5)),
    ("unique_text", str(uuid.UUID(int=5)), str(uuid.UUID(int=5))),
    ("data", "AP8=", b"\x00\xff"),
    ("colour", "blue", "blue"),
    ("town", {"name": "a"}, {"n": "a"}),
    ("any_town", {"_cls": "Town", "name": "a"}, {"_cls": "Town", "n": "a"}),
    ("towns", [{"name": "a"}, {"name": None}], [{"n": "a"}, {}]),
    ("words", ["a", "", "b"], ["a", "", "b"]),
    ("days", ["2024-05-01T00:00:00.000Z"], [datetime(2024, 5, 1)]),
    ("ordered", [1, 2, 3], [1, 2, 3]),
    ("points", {"a": 1, "größe.b": 2}, {"a": 1, "größe.b": 2}),
    ("places", {"x": {"name": "a"}}, {"x": {"n": "a"}}),
    ("free", {"a": {"b": [1, None, 1.5]}}, {"a": {"b": [1, None, 1.5]}}),
    ("anything", [{"a": True}, None, 3], [{"a": True}, None, 3]),
    ("team", str(TEAM), TEAM),
    ("old_team", str(TEAM), DBRef("team", TEAM)),
    ("lazy", str(TEAM), TEAM),
    ("cached", str(TEAM), {"_id": TEAM, "name": "A"}),
    ("teams", [str(TEAM)], [TEAM]),
    ("some", {"model": "Team", "id": str(TEAM)}, {"_cls": "Team", "_ref": DBRef("team", TEAM)}),
    (
        "some_lazy",
        {"model": "Team", "id": str(TEAM)},
        {"_cls": "Team", "_ref": DBRef("team", TEAM)},
    ),
    ("number", 7, 7),
    ("spot", [1.5, 2], [1.5, 2]),
    ("point", {"type": "Point", "coordinates": [1, 2]}, {"type": "Point", "coordinates": [1, 2]}),
    (
        "line",
        {"type": "LineString", "coordinates": [[1, 2], [3, 4]]},
        {"type": "LineString", "coordinates": [[1, 2], [3, 4]]},
    ),
    (
        "area",
        {"type": "Polygon", "coordinates": SQUARE},
        {"type": "Polygon", "coordinates": SQUARE},
    ),
    (
        "spots",
        {"type": "MultiPoint", "coordinates": [[1, 2]]},
        {"type": "MultiPoint", "coordinates": [[1, 2]]},
    ),
]


@pytest.fixture
def wide_server(registry: None) -> Iterator[tuple[Server, Any]]:
    model, team, _ = wide()
    team(pk=TEAM, name="A").save()
    with serving(model, team) as server:
        yield server, model


def test_every_type_of_field_is_stored_as_its_model_says(wide_server: Any) -> None:
    server, model = wide_server
    answer = server.post("/wide/", {name: sent for name, sent, _ in FIELDS})

    assert 201 == answer.status, answer
    assert {name: kept for name, _, kept in FIELDS} == {
        name if name != "t" else "text": value
        for name, value in stored(model.objects.get()).items()
    }


def test_every_type_of_field_is_shown_as_it_was_sent(wide_server: Any) -> None:
    server, _ = wide_server
    created = server.post("/wide/", {name: sent for name, sent, _ in FIELDS})
    shown = server.get(created.headers["Location"]).json

    assert {name: sent for name, sent, _ in FIELDS} == {
        name: value for name, value in shown.items() if name != "id"
    }
    assert created.json == shown


@pytest.mark.parametrize("method", ["PUT", "PATCH", "PUT replace"])
def test_what_is_shown_can_be_sent_back_and_changes_nothing(wide_server: Any, method: str) -> None:
    server, model = wide_server
    created = server.post("/wide/", {name: sent for name, sent, _ in FIELDS})
    before = stored(model.objects.get())
    verb, _, replace = method.partition(" ")
    place = created.headers["Location"] + ("?replace=true" if replace else "")
    answer = server.request(verb, place, json=created.json)

    assert (200, before) == (answer.status, stored(model.objects.get()))


@pytest.mark.parametrize(("name", "sent", "kept"), FIELDS, ids=[name for name, _, _ in FIELDS])
def test_each_field_is_set_alone_and_unset(
    wide_server: Any, name: str, sent: Any, kept: Any
) -> None:
    server, model = wide_server
    place = server.post("/wide/", {"text": "x"}).headers["Location"]
    put = server.put(place, {name: sent})
    member = "t" if name == "text" else name
    was = stored(model.objects.get())[member]
    unset = server.put(place, {name: None})

    assert (200, sent, kept) == (put.status, put.json[name], was)
    assert 200 == unset.status
    assert unset.json[name] in (None, [], {}) or name == "number"


def test_a_form_is_read_by_the_types_of_the_fields(wide_server: Any) -> None:
    server, model = wide_server
    form = {
        "text": "5",
        "whole": "5",
        "real": "5",
        "price": "5",
        "flag": "true",
        "when": "2024-05-01",
        "key": str(TEAM),
        "words": "a",
        "colour": "red",
        "team": str(TEAM),
        "point.type": "Point",
        "points.a": "3",
    }
    answer = server.post("/wide/", form={k: v for k, v in form.items() if k != "point.type"})
    expected = {
        "text": "5",
        "whole": 5,
        "real": 5.0,
        "flag": True,
        "words": ["a"],
        "points": {"a": 3},
    }

    assert expected == {name: answer.json[name] for name in expected}
    assert (TEAM, 5.0) == (
        stored(model.objects.get())["team"],
        stored(model.objects.get())["price"],
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("whole", "5"),
        ("whole", 1.5),
        ("whole", True),
        ("whole", 2**63),
        ("real", "x"),
        ("flag", 1),
        ("when", "yesterday"),
        ("day", "2024-13-01"),
        ("key", "x"),
        ("unique", "x"),
        ("data", "?"),
        ("colour", "green"),
        ("town", "x"),
        ("any_town", {"name": "a"}),
        ("words", "x"),
        ("words", [None]),
        ("points", {"a": "x"}),
        ("points", []),
        ("free", {"$a": 1}),
        ("anything", {"a": {"$b": 1}}),
        ("team", "x"),
        ("team", str(ObjectId(b"x" * 12))),
        ("some", {"model": "Nothing", "id": str(TEAM)}),
        ("spot", [1]),
        ("spot", [200, 2]),
        ("point", {"type": "Line", "coordinates": []}),
        ("area", [[[0, 0], [1, 1]]]),
        ("url", "x"),
        ("email", "x"),
        ("price", "1e400"),
        ("exact", "1" * 40),
        ("number", "x"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_value_of_another_type_is_refused_at_its_field(
    wide_server: Any, name: str, value: Any
) -> None:
    server, model = wide_server
    answer = server.post("/wide/", {name: value})

    assert 422 == answer.problem["status"]
    assert all(each["pointer"].startswith(f"/{name}") for each in answer.problem["errors"])
    assert 0 == model.objects.count()


def test_a_sequence_goes_on_by_itself_and_is_kept(wide_server: Any) -> None:
    server, _ = wide_server
    one = server.post("/wide/", {"text": "a"})
    two = server.post("/wide/", {"text": "b"})
    replaced = server.put(one.headers["Location"] + "?replace=true", {"text": "c"})

    assert one.json["number"] + 1 == two.json["number"]
    assert one.json["number"] == replaced.json["number"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_json_has_no_number_for_goes_in_and_out_by_its_name(
    wide_server: Any, value: str
) -> None:
    server, model = wide_server
    answer = server.post("/wide/", {"real": value})
    kept = stored(model.objects.get())["real"]

    assert (201, value) == (answer.status, answer.json["real"])
    assert repr(float(value)) == repr(kept)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_json_itself_has_no_such_number(wide_server: Any, value: str) -> None:
    server, model = wide_server
    answer = server.request("POST", "/wide/", f'{{"real": {value}}}')

    assert (400, 0) == (answer.problem["status"], model.objects.count())


# What a patch leaves alone keeps its type


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        pytest.param(MERGE_PATCH, {"free": {"b": 1}}, id="a merge patch"),
        pytest.param(JSON_PATCH, [{"op": "add", "path": "/free/b", "value": 1}], id="a json patch"),
    ],
)
def test_a_patch_leaves_the_types_beside_it_alone(
    wide_server: Any, content_type: str, patch: Any
) -> None:
    server, model = wide_server
    kept = {"id": ObjectId(), "n": Int64(1), "d": Decimal128("1.0"), "t": datetime(2024, 5, 1)}
    document = model(free=dict(kept)).save()
    server.patch(f"/wide/{document.pk}/", patch, headers={"Content-Type": content_type})

    assert {**kept, "b": 1} == stored(document)["free"]
    assert ["ObjectId", "Int64", "Decimal128", "datetime", "int"] == [
        type(each).__name__ for each in stored(document)["free"].values()
    ]


# What MongoEngine takes for equal, or drops


def loose() -> Any:
    class Loose(DynamicDocument):
        name = StringField()
        tags = ListField(StringField())
        free = DictField()

    return Loose


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(1, True, id="1 to true"),
        pytest.param(True, 1, id="true to 1"),
        pytest.param(0, 0.0, id="0 to 0.0"),
        pytest.param(0, False, id="0 to false"),
        pytest.param(1.0, 1, id="1.0 to 1"),
        pytest.param([1], [True], id="in a list"),
        pytest.param({"a": 0}, {"a": False}, id="in an object"),
        pytest.param("a", "", id="to an empty string"),
        pytest.param([1], [], id="to an empty list"),
        pytest.param({"a": 1}, {}, id="to an empty object"),
        pytest.param("a", 0, id="to 0"),
        pytest.param("a", False, id="to false"),
    ],
)
def test_a_change_of_a_dynamic_member_is_stored_as_it_was_sent(
    registry: None, before: Any, after: Any
) -> None:
    model, updates = loose(), []

    def receiver(updated_fields: Any) -> None:
        updates.append(updated_fields)

    document = model(extra=before).save()
    with serving(model) as server, post_update_instance.connected_to(receiver):
        answer = server.put(f"/loose/{document.pk}/", {"extra": after})

    assert repr(after) == repr(answer.json["extra"]) == repr(stored(document)["extra"])
    assert [{"extra": {"from": before, "to": after}}] == updates


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("tags", [], id="an empty list"),
        pytest.param("free", {}, id="an empty map"),
        pytest.param("name", "", id="an empty string"),
    ],
)
def test_what_is_empty_is_stored_as_empty(registry: None, name: str, value: Any) -> None:
    model = loose()
    document = model(name="a", tags=["a"], free={"a": 1}).save()
    with serving(model) as server:
        answer = server.put(f"/loose/{document.pk}/", {name: value})

    assert (value, value) == (answer.json[name], stored(document)[name])


def test_null_that_a_field_keeps_is_stored(registry: None) -> None:
    class Form(Document):
        answer = StringField(null=True, default="none")
        other = StringField()

    form = Form(answer="yes", other="x").save()
    with serving(Form) as server:
        server.put(f"/form/{form.pk}/", {"answer": None, "other": None})

    assert {"answer": None} == stored(form)


def test_an_empty_string_inside_an_embedded_document_is_stored(people: People) -> None:
    ana = people.make(home={"street": "A", "city": "Rio"})
    people.server.put(f"/user/{ana.pk}/", {"home": {"street": "A", "city": ""}})

    assert {"street": "A", "c": ""} == stored(ana)["home"]


def test_null_gives_a_field_its_default(registry: None) -> None:
    class Level(Document):
        n = IntField(default=18)

    level = Level(n=1).save()
    with serving(Level) as server:
        answer = server.put(f"/level/{level.pk}/", {"n": None})

    assert (18, {"n": 18}) == (answer.json["n"], stored(level))


# Ids and other documents


def test_a_taken_id_does_not_replace_the_document(people: People) -> None:
    people.make(people.Page, slug="one", title="first")
    answer = people.server.post("/page/", {"id": "one", "title": "second"})

    assert ([{"pointer": "/slug", "detail": "This value is taken."}], "first") == (
        answer.problem["errors"],
        people.Page.objects.get().title,
    )


def test_a_taken_id_is_a_conflict_also_where_save_takes_no_arguments(registry: None) -> None:
    class Page(Document):
        slug = StringField(primary_key=True)
        title = StringField()

        def save(self) -> Any:
            return super().save()

    Page(slug="one", title="first").save()
    with serving(Page) as server:
        taken = server.post("/page/", {"id": "one", "title": "second"})
        free = server.post("/page/", {"id": "two"})

    assert (409, 201, "first") == (taken.status, free.status, Page.objects.get(slug="one").title)
    assert "There is a Page with the id one already." == taken.problem["detail"]


def test_a_unique_clash_names_the_field_in_todays_name(registry: None) -> None:
    class User(Document):
        email = StringField(unique=True, db_field="e")

    User(email="a@example.org").save()
    with serving(User) as server:
        answer = server.post("/user/", {"email": "a@example.org"})

    assert (409, ["/email"]) == (answer.status, [e["pointer"] for e in answer.problem["errors"]])


def test_a_unique_clash_of_several_fields_names_them(registry: None) -> None:
    class Seat(Document):
        row = IntField()
        number = IntField(unique_with="row")

    Seat(row=1, number=1).save()
    with serving(Seat) as server:
        answer = server.post("/seat/", {"row": 1, "number": 1})

    assert ["/number", "/row"] == sorted(each["pointer"] for each in answer.problem["errors"])


@pytest.mark.parametrize("atomic", [False, True], ids=["alone", "in a transaction"])
def test_a_document_that_vanishes_while_it_is_written_does_not_come_back(
    registry: None, atomic: bool
) -> None:
    entered, released = threading.Event(), threading.Event()

    class Page(Document):
        title = StringField()

        def clean(self) -> None:
            if self.title == "slow":
                entered.set()
                assert released.wait(10)

    def receiver(instance: Any) -> None:
        """Its presence asks for a transaction."""

    if atomic:
        post_update_instance.connect(receiver, sender=Page, atomic=True)
    page = Page(title="a").save()
    statuses: list[int] = []
    with serving(Page) as server, closing(server.client()) as client:
        put = threading.Thread(
            target=lambda: statuses.append(
                client.put(f"/page/{page.pk}/", {"title": "slow"}).status
            )
        )
        put.start()
        assert entered.wait(10)
        Page._get_collection().delete_one({"_id": page.pk})
        released.set()
        put.join(10)

    assert ([404], None) == (statuses, stored(page))


def test_a_condition_of_save_that_does_not_hold_is_a_conflict(registry: None) -> None:
    class Page(Document):
        title = StringField()

        def save(self, *args: Any, **kwargs: Any) -> Any:
            condition = {"title": "other"} if self.pk else None
            return super().save(*args, save_condition=condition, **kwargs)

    page = Page(title="a").save()
    with serving(Page) as server:
        answer = server.put(f"/page/{page.pk}/", {"title": "b"})

    assert (409, {"title": "a"}) == (answer.status, stored(page))
    assert f"Page {page.pk} was changed by another writer." == answer.problem["detail"]


def test_a_save_that_stores_nothing_is_a_failure(registry: None) -> None:
    class Page(Document):
        def save(self, *args: Any, **kwargs: Any) -> Any:
            return self

    with serving(Page) as server:
        answer = server.post("/page/", {})
        logged = server.take_errors()

    assert 500 == answer.problem["status"]
    assert "Page.save() returned without storing the document." in str(logged[0].exc_info[1])


def test_the_answer_shows_what_save_made_of_the_document(registry: None) -> None:
    class Page(Document):
        title = StringField()

        def save(self, *args: Any, **kwargs: Any) -> Any:
            self.title = self.title.upper()
            return super().save(*args, **kwargs)

    with serving(Page) as server:
        created = server.post("/page/", {"title": "a"})
        changed = server.put(created.headers["Location"], {"title": "b"})

    assert ("A", "B", "B") == (
        created.json["title"],
        changed.json["title"],
        Page.objects.get().title,
    )


def test_what_clean_refuses_is_invalid(registry: None) -> None:
    class Page(Document):
        title = StringField()

        def clean(self) -> None:
            if self.title == "bad":
                raise ValidationError("Not this title.")

    with serving(Page) as server:
        answer = server.post("/page/", {"title": "bad"})

    assert (422, [{"pointer": "", "detail": "Not this title."}]) == (
        answer.status,
        answer.problem["errors"],
    )


# What a model cannot load


@pytest.fixture
def broken(people: People) -> Any:
    ana = people.make(name="Ana", age=30)
    people.User._get_collection().update_one({"_id": ana.pk}, {"$set": {"old_name": "A"}})
    return ana


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "/user/{}/", id="a read"),
        pytest.param("GET", "/user/", id="a list"),
        pytest.param("GET", "/user/?page=1", id="a counted list"),
        pytest.param("PUT", "/user/{}/", id="a put"),
        pytest.param("PATCH", "/user/{}/", id="a patch"),
        pytest.param("GET", "/user/{}/pets/", id="what is nested in it"),
        pytest.param("DELETE", "/user/{}/", id="a delete"),
    ],
)
def test_a_document_that_its_model_cannot_load_is_unreadable(
    people: People, broken: Any, method: str, path: str
) -> None:
    body = {"age": 1} if method in ("PUT", "PATCH") else None
    answer = people.server.request(method, path.format(broken.pk), json=body)
    people.server.take_errors()

    assert (500, True) == (
        answer.problem["status"],
        answer.problem["type"].endswith("/unreadable.html"),
    )
    assert "old_name" in answer.problem["detail"]


def test_replace_mends_what_its_model_cannot_load(people: People, broken: Any) -> None:
    answer = people.server.put(f"/user/{broken.pk}/?replace=true", {"name": "Ben"})

    assert (200, "Ben", str(broken.pk)) == (answer.status, answer.json["name"], answer.json["id"])
    assert "old_name" not in stored(broken)


def test_replace_of_what_cannot_be_loaded_must_be_valid(people: People, broken: Any) -> None:
    answer = people.server.put(f"/user/{broken.pk}/?replace=true", {"age": "x"})

    assert (422, "A") == (answer.status, stored(broken)["old_name"])


def test_a_mended_document_sends_what_changed(people: People, broken: Any) -> None:
    updates: list[Any] = []

    def receiver(updated_fields: Any) -> None:
        updates.append(updated_fields)

    with post_update_instance.connected_to(receiver):
        people.server.put(f"/user/{broken.pk}/?replace=true", {"name": "Ana", "age": 31})

    assert ({"from": 30, "to": 31}, {"from": "A", "to": None}) == (
        updates[0]["age"],
        updates[0]["old_name"],
    )


def test_a_value_of_another_type_than_its_field_is_shown_as_it_is(people: People) -> None:
    ana = people.make(age=30)
    people.User._get_collection().update_one({"_id": ana.pk}, {"$set": {"age": "old"}})

    assert "old" == people.server.get(f"/user/{ana.pk}/").json["age"]


def test_stored_values_without_a_number_are_shown_by_their_names(people: People) -> None:
    ana = people.make(score=1.0)
    people.User._get_collection().update_one({"_id": ana.pk}, {"$set": {"score": math.nan}})

    assert "NaN" == people.server.get(f"/user/{ana.pk}/").json["score"]


@pytest.mark.parametrize("path", ["/loose/{}/", "/loose/"], ids=["a read", "a list"])
def test_a_value_that_its_field_cannot_hold_is_named(registry: None, path: str) -> None:
    class Loose(Document):
        price = DecimalField()

    loose = Loose(price=Decimal("1")).save()
    update = {"$set": {"price": Decimal128("9E+6000")}}
    Loose._get_collection().update_one({"_id": loose.pk}, update)
    with serving(Loose) as server:
        answer = server.get(path.format(loose.pk))
        server.take_errors()

    assert (
        f"The stored Loose {loose.pk} cannot be loaded by its model, because of 'price'."
        == answer.problem["detail"]
    )


@pytest.mark.parametrize("path", ["/loose/{}/", "/loose/"], ids=["a read", "a list"])
def test_a_date_that_python_cannot_hold_is_unreadable(registry: None, path: str) -> None:
    class Loose(Document):
        when = DateTimeField()

    loose = Loose().save()
    update = {"$set": {"when": DatetimeMS(2**60)}}
    Loose._get_collection().update_one({"_id": loose.pk}, update)
    with serving(Loose) as server:
        answer = server.get(path.format(loose.pk))
        server.take_errors()

    assert (500, True) == (answer.status, answer.problem["type"].endswith("/unreadable.html"))


def test_a_state_that_only_the_whole_makes_unreadable_is_told_without_a_member(
    registry: None,
) -> None:
    class Odd(Document):
        one = IntField()
        two = IntField()

        def __init__(self, *args: Any, **values: Any) -> None:
            super().__init__(*args, **values)
            if self.one and self.two:
                raise ValueError("Not both.")

    _id = Odd._get_collection().insert_one({"one": 1, "two": 2}).inserted_id
    with serving(Odd) as server:
        answer = server.get(f"/odd/{_id}/")
        server.take_errors()

    assert answer.problem["detail"].endswith("because of what it holds together.")


# What reaches an audited document from one that is not


def test_a_write_that_nobody_records_takes_recorded_ones_into_its_transaction(
    registry: None,
) -> None:
    class Ledger(Document):
        count = IntField()

    class Sale(Document):
        ledger = ReferenceField(Ledger)

        def save(self, *args: Any, **kwargs: Any) -> Any:
            self.ledger.count += 1
            self.ledger.save()
            return super().save(*args, **kwargs)

    def refuse(writes: Any) -> None:
        raise HTTPError(409)

    auditor = Auditor(work=False)
    auditor.track(Ledger)
    ledger = auditor.write(lambda: Ledger(count=0).save())
    with serving(Sale) as server:
        sold = server.post("/sale/", {"ledger": str(ledger.pk)}).status
        with before_commit.connected_to(refuse, sender=Ledger):
            refused = server.post("/sale/", {"ledger": str(ledger.pk)}).status

    assert ((201, 409), (1, 1)) == (
        (sold, refused),
        (Sale.objects.count(), stored(ledger)["count"]),
    )
    assert 2 == len(list(auditor.history(Ledger, ledger.pk).versions()))
