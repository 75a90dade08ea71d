"""Paths below a document: embedded and referenced, lists and single ones, of any depth."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from mongoengine import (
    CachedReferenceField,
    Document,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    IntField,
    LazyReferenceField,
    ListField,
    ReferenceField,
    StringField,
    UUIDField,
)

from bzz.signals import post_create_instance, pre_create_instance
from tests.house import own_receivers, own_registry
from tests.people import People, served, serving, stored
from tests.support import JSON_PATCH


@pytest.fixture
def people(mock_database: Any) -> Iterator[People]:
    with served() as world:
        yield world


@pytest.fixture
def ana(people: People) -> Any:
    return people.make(
        name="Ana",
        home={"street": "Rua A", "city": "Rio"},
        pets=[
            {"name": "Rex", "kind": "dog", "home": {"street": "Hut"}},
            {"name": "Tom", "kind": "cat"},
        ],
    )


@pytest.fixture
def ben(people: People) -> Any:
    return people.make(name="Ben")


@pytest.fixture
def team(people: People, ana: Any) -> Any:
    return people.make(people.Team, name="A", users=[ana], lead=ana)


def users(people: People, team: Any) -> list[str]:
    return [user.name for user in people.Team.objects.get(pk=team.pk).users]


# A list of references


def test_a_list_of_references_shows_the_documents(people: People, team: Any) -> None:
    answer = people.server.get(f"/team/{team.pk}/users/")

    assert (["Ana"], None) == ([each["name"] for each in answer.json["items"]], answer.json["next"])


def test_a_list_of_references_is_filtered_and_paged(people: People, team: Any, ben: Any) -> None:
    people.make(name="Cid")
    people.server.post(f"/team/{team.pk}/users/", {"id": str(ben.pk)})
    first = people.server.get(f"/team/{team.pk}/users/?sort=-name&limit=1")
    second = people.server.get(first.json["next"])
    found = people.server.get(f"/team/{team.pk}/users/?name=Ana")

    assert ["Ben", "Ana", "Ana"] == [
        item["name"] for answer in (first, second, found) for item in answer.json["items"]
    ]


def test_a_referenced_document_is_read_below_its_owner(people: People, team: Any, ana: Any) -> None:
    nested = people.server.get(f"/team/{team.pk}/users/{ana.pk}/")

    assert people.server.get(f"/user/{ana.pk}/").json == nested.json


def test_a_document_that_is_not_referred_to_is_not_found(
    people: People, team: Any, ben: Any
) -> None:
    answer = people.server.get(f"/team/{team.pk}/users/{ben.pk}/")

    assert f"Team {team.pk} has nothing at 'users/{ben.pk}'." == answer.problem["detail"]


def test_a_post_creates_and_associates(people: People, team: Any) -> None:
    answer = people.server.post(f"/team/{team.pk}/users/", {"name": "Cid"})
    created = answer.headers["X-Created-Id"]

    assert (201, "Cid", ["Ana", "Cid"]) == (
        answer.status,
        answer.json["name"],
        users(people, team),
    )
    assert f"/team/{team.pk}/users/{created}/" == answer.headers["Location"]
    assert "Cid" == people.server.get(f"/user/{created}/").json["name"]


@pytest.mark.parametrize("body", [{"name": None}, {"name": "Cid", "x": 1}], ids=["null", "unknown"])
def test_a_post_that_is_invalid_associates_nothing(people: People, team: Any, body: Any) -> None:
    answer = people.server.post(f"/team/{team.pk}/users/", body)

    assert (422, ["Ana"], 1) == (answer.status, users(people, team), people.User.objects.count())


def test_an_id_associates_an_existing_document(people: People, team: Any, ben: Any) -> None:
    answer = people.server.post(f"/team/{team.pk}/users/", {"id": str(ben.pk)})

    assert (201, "Ben") == (answer.status, answer.json["name"])
    assert f"/team/{team.pk}/users/{ben.pk}/" == answer.headers["Location"]
    assert (["Ana", "Ben"], 2) == (users(people, team), people.User.objects.count())


def test_the_ids_of_a_form_associate_existing_documents(
    people: People, team: Any, ben: Any
) -> None:
    cid = people.make(name="Cid")
    body = f"users[]={ben.pk}&users[]={cid.pk}"
    answer = people.server.request("POST", f"/team/{team.pk}/users/", body)

    assert (201, ["Ana", "Ben", "Cid"]) == (answer.status, users(people, team))


def test_associating_twice_refers_once(people: People, team: Any, ana: Any) -> None:
    answer = people.server.post(f"/team/{team.pk}/users/", {"id": str(ana.pk)})

    assert (201, ["Ana"]) == (answer.status, users(people, team))


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        pytest.param({"id": str(ObjectId(b"x" * 12))}, "/id", id="unknown"),
        pytest.param({"id": "x"}, "/id", id="no id"),
        pytest.param({"id": None}, "/id", id="null"),
        pytest.param({"id": {"$ne": 1}}, "/id", id="an operator"),
        pytest.param({"users": []}, "/users", id="none"),
        pytest.param({"users": [str(ObjectId(b"x" * 12))]}, "/users/0", id="unknown in a list"),
    ],
)
def test_what_cannot_be_associated_is_named(
    people: People, team: Any, body: Any, pointer: str
) -> None:
    answer = people.server.post(f"/team/{team.pk}/users/", body)

    assert (422, [pointer]) == (answer.status, [e["pointer"] for e in answer.problem["errors"]])
    assert ["Ana"] == users(people, team)


def test_an_association_creates_nothing_and_says_so(people: People, team: Any, ben: Any) -> None:
    heard: list[str] = []

    def before(arguments: Any) -> None:
        heard.append("before")

    def after(instance: Any) -> None:
        heard.append("after")

    with pre_create_instance.connected_to(before), post_create_instance.connected_to(after):
        people.server.post(f"/team/{team.pk}/users/", {"id": str(ben.pk)})

    assert [] == heard


def test_a_put_changes_the_referenced_document(people: People, team: Any, ana: Any) -> None:
    answer = people.server.put(f"/team/{team.pk}/users/{ana.pk}/", {"age": 5})

    assert (200, 5, 5) == (answer.status, answer.json["age"], stored(ana)["age"])


def test_a_patch_changes_the_referenced_document(people: People, team: Any, ana: Any) -> None:
    people.server.patch(f"/team/{team.pk}/users/{ana.pk}/", {"home": {"city": "X"}})

    assert {"street": "Rua A", "c": "X"} == stored(ana)["home"]


def test_a_delete_takes_the_reference_and_leaves_the_document(
    people: People, team: Any, ana: Any
) -> None:
    answer = people.server.delete(f"/team/{team.pk}/users/{ana.pk}/")

    assert (204, [], "Ana") == (answer.status, users(people, team), stored(ana)["name"])
    assert 404 == people.server.delete(f"/team/{team.pk}/users/{ana.pk}/").status


# A single reference


def test_a_single_reference_is_read(people: People, team: Any) -> None:
    assert "Ana" == people.server.get(f"/team/{team.pk}/lead/").json["name"]


def test_an_id_may_follow_a_single_reference(people: People, team: Any, ana: Any) -> None:
    answer = people.server.get(f"/team/{team.pk}/lead/{ana.pk}/")

    assert (200, "Ana") == (answer.status, answer.json["name"])


def test_another_id_after_a_single_reference_is_not_found(
    people: People, team: Any, ben: Any
) -> None:
    assert 404 == people.server.get(f"/team/{team.pk}/lead/{ben.pk}/").status


def test_a_single_reference_that_is_not_there_is_not_found(people: People) -> None:
    team = people.make(people.Team, name="B")
    answer = people.server.get(f"/team/{team.pk}/lead/")

    assert f"Team {team.pk} has nothing at 'lead'." == answer.problem["detail"]


def test_a_post_creates_the_single_reference(people: People) -> None:
    team = people.make(people.Team, name="B")
    answer = people.server.post(f"/team/{team.pk}/lead/", {"name": "Cid"})

    assert (201, f"/team/{team.pk}/lead/") == (answer.status, answer.headers["Location"])
    assert answer.headers["X-Created-Id"] == people.server.get(f"/team/{team.pk}/lead/").json["id"]


def test_a_post_associates_the_single_reference(people: People, team: Any, ben: Any) -> None:
    people.server.post(f"/team/{team.pk}/lead/", {"lead": str(ben.pk)})

    assert "Ben" == people.Team.objects.get().lead.name


def test_a_single_reference_takes_one_id(people: People, team: Any, ana: Any, ben: Any) -> None:
    answer = people.server.post(f"/team/{team.pk}/lead/", {"lead": [str(ana.pk), str(ben.pk)]})

    assert "lead takes one id here." == answer.problem["detail"]


def test_a_delete_takes_the_single_reference(people: People, team: Any, ana: Any) -> None:
    answer = people.server.delete(f"/team/{team.pk}/lead/")

    assert (204, None) == (answer.status, people.Team.objects.get().lead)
    assert stored(ana) is not None


# A single embedded document


def test_an_embedded_document_is_read(people: People, ana: Any) -> None:
    answer = people.server.get(f"/user/{ana.pk}/home/")

    assert {"street": "Rua A", "city": "Rio"} == answer.json


def test_an_embedded_document_is_created(people: People, ben: Any) -> None:
    answer = people.server.post(f"/user/{ben.pk}/home/", {"street": "B"})

    assert (201, f"/user/{ben.pk}/home/") == (answer.status, answer.headers["Location"])
    assert {"street": "B"} == stored(ben)["home"]


def test_an_embedded_document_is_changed(people: People, ana: Any) -> None:
    answer = people.server.put(f"/user/{ana.pk}/home/", {"city": None})

    assert (200, {"street": "Rua A", "city": None}) == (answer.status, answer.json)
    assert {"street": "Rua A"} == stored(ana)["home"]


def test_an_embedded_document_is_replaced(people: People, ana: Any) -> None:
    people.server.put(f"/user/{ana.pk}/home/?replace=true", {"street": "C"})

    assert {"street": "C"} == stored(ana)["home"]


def test_an_embedded_document_is_patched(people: People, ana: Any) -> None:
    operations = [{"op": "replace", "path": "/city", "value": "X"}]
    people.server.patch(f"/user/{ana.pk}/home/", operations, headers={"Content-Type": JSON_PATCH})

    assert {"street": "Rua A", "c": "X"} == stored(ana)["home"]


def test_an_embedded_document_that_becomes_invalid_stays(people: People, ana: Any) -> None:
    answer = people.server.put(f"/user/{ana.pk}/home/", {"street": None})

    assert (422, {"street": "Rua A", "c": "Rio"}) == (answer.status, stored(ana)["home"])


def test_an_embedded_document_is_deleted(people: People, ana: Any) -> None:
    answer = people.server.delete(f"/user/{ana.pk}/home/")

    assert (204, False) == (answer.status, "home" in stored(ana))


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_an_embedded_document_that_is_not_there_is_not_found(
    people: People, ben: Any, method: str
) -> None:
    body = {"street": "x"} if method in ("PUT", "PATCH") else None
    answer = people.server.request(method, f"/user/{ben.pk}/home/", json=body)

    assert f"User {ben.pk} has no 'home'." == answer.problem["detail"]


# A list of embedded documents


def test_an_embedded_list_is_read(people: People, ana: Any) -> None:
    answer = people.server.get(f"/user/{ana.pk}/pets/")

    assert ["Rex", "Tom"] == [pet["id"] for pet in answer.json["items"]]


def test_an_embedded_list_is_paged(people: People, ana: Any) -> None:
    first = people.server.get(f"/user/{ana.pk}/pets/?limit=1")
    second = people.server.get(first.json["next"])

    assert ["Rex", "Tom"] == [each.json["items"][0]["name"] for each in (first, second)]


def test_an_embedded_list_has_no_filters(people: People, ana: Any) -> None:
    answer = people.server.get(f"/user/{ana.pk}/pets/?kind=cat")

    assert 400 == answer.problem["status"]


def test_an_item_is_read_by_its_id(people: People, ana: Any) -> None:
    answer = people.server.get(f"/user/{ana.pk}/pets/Tom/")

    assert {"id": "Tom", "name": "Tom", "kind": "cat", "home": None} == answer.json


def test_an_item_is_added(people: People, ana: Any) -> None:
    answer = people.server.post(f"/user/{ana.pk}/pets/", {"name": "Bip Bop"})

    assert (201, f"/user/{ana.pk}/pets/Bip%20Bop/") == (answer.status, answer.headers["Location"])
    assert ["Rex", "Tom", "Bip Bop"] == [pet["name"] for pet in stored(ana)["pets"]]


def test_an_item_with_a_taken_id_is_a_conflict(people: People, ana: Any) -> None:
    answer = people.server.post(f"/user/{ana.pk}/pets/", {"name": "Rex"})

    assert f"User {ana.pk} has 'Rex' in 'pets' already." == answer.problem["detail"]
    assert (409, 2) == (answer.status, len(stored(ana)["pets"]))


def test_an_item_cannot_take_the_id_of_another(people: People, ana: Any) -> None:
    answer = people.server.put(f"/user/{ana.pk}/pets/Rex/", {"name": "Tom"})

    assert (409, "Rex") == (answer.status, stored(ana)["pets"][0]["name"])


def test_an_item_is_changed_and_the_others_stay(people: People, ana: Any) -> None:
    answer = people.server.put(f"/user/{ana.pk}/pets/Tom/", {"kind": "lion"})

    assert (200, "lion") == (answer.status, answer.json["kind"])
    assert ["dog", "lion"] == [pet["kind"] for pet in stored(ana)["pets"]]


def test_an_item_is_taken_out(people: People, ana: Any) -> None:
    answer = people.server.delete(f"/user/{ana.pk}/pets/Rex/")

    assert (204, ["Tom"]) == (answer.status, [pet["name"] for pet in stored(ana)["pets"]])


def test_the_last_item_leaves_an_empty_list(people: People, ana: Any) -> None:
    for name in ("Rex", "Tom"):
        people.server.delete(f"/user/{ana.pk}/pets/{name}/")

    assert [] == stored(ana)["pets"]


# Through several


def test_a_path_leads_through_references_and_embedded_documents(
    people: People, team: Any, ana: Any
) -> None:
    base = f"/team/{team.pk}/users/{ana.pk}/pets"
    people.server.put(f"{base}/Rex/home/", {"city": "Rio"})
    people.server.post(f"{base}/", {"name": "Bip"})

    assert {"street": "Hut", "c": "Rio"} == stored(ana)["pets"][0]["home"]
    assert ["Rex", "Tom", "Bip"] == [
        pet["name"] for pet in people.server.get(f"{base}/").json["items"]
    ]


def test_the_location_of_a_deep_item_can_be_followed(people: People, team: Any, ana: Any) -> None:
    answer = people.server.post(f"/team/{team.pk}/lead/pets/", {"name": "Bip"})

    assert f"/team/{team.pk}/lead/pets/Bip/" == answer.headers["Location"]
    assert answer.json == people.server.get(answer.headers["Location"]).json


@pytest.mark.parametrize(
    ("path", "part"),
    [
        pytest.param("/team/{x}/users/{ana}/pets/Rex/", "no Team with the id", id="the first"),
        pytest.param("/team/{team}/users/{x}/pets/Rex/", "nothing at 'users/", id="the second"),
        pytest.param("/team/{team}/users/{ana}/pets/No/", "nothing at 'pets/No'", id="the last"),
        pytest.param("/team/{team}/users/pets/", "No User has the id 'pets'", id="an id left out"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_the_missing_part_is_named(
    people: People, team: Any, ana: Any, method: str, path: str, part: str
) -> None:
    where = path.format(team=team.pk, ana=ana.pk, x=ObjectId())
    body = {"kind": "x"} if method in ("PUT", "PATCH") else None
    answer = people.server.request(method, where, json=body)

    assert 404 == answer.status
    assert part in answer.problem["detail"]


def test_a_reference_that_leads_to_nothing_is_left_out(people: People, team: Any, ana: Any) -> None:
    people.User._get_collection().delete_one({"_id": ana.pk})

    assert [] == people.server.get(f"/team/{team.pk}/users/").json["items"]
    assert 404 == people.server.get(f"/team/{team.pk}/users/{ana.pk}/").status


# Other kinds of references and ids


@pytest.fixture
def registry() -> Iterator[None]:
    with own_registry(), own_receivers():
        yield


def test_references_go_by_the_id_that_the_model_names(mock_database: Any, registry: None) -> None:
    class City(Document):
        slug = StringField()

        @classmethod
        def get_id_field_name(cls) -> Any:
            return cls.slug

    class Tour(Document):
        cities = ListField(ReferenceField(City))
        start = ReferenceField(City)

    rio, tour = City(slug="rio").save(), Tour().save()
    with serving(Tour, City) as server:
        statuses = [
            server.post(f"/tour/{tour.pk}/cities/", {"id": "rio"}).status,
            server.post(f"/tour/{tour.pk}/cities/", {"slug": "são"}).status,
            server.put(f"/tour/{tour.pk}/", {"start": "rio"}).status,
        ]
        shown = server.get(f"/tour/{tour.pk}/").json
        names = [
            server.get(f"/tour/{tour.pk}/{way}/").json["slug"] for way in ("cities/rio", "start")
        ]

    assert [201, 201, 200] == statuses
    assert {"id": str(tour.pk), "cities": ["rio", "são"], "start": "rio"} == shown
    assert (["rio", "rio"], rio.pk) == (names, Tour.objects.get().start.pk)


@pytest.mark.parametrize(
    "kind",
    [ReferenceField, LazyReferenceField, CachedReferenceField],
    ids=lambda kind: kind.__name__,
)
def test_every_kind_of_reference_leads_to_its_document(
    database: Any, registry: None, kind: Any
) -> None:
    class Part(Document):
        name = StringField()

    class Whole(Document):
        parts = ListField(kind(Part))
        main = kind(Part)

    part, whole = Part(name="p").save(), Whole().save()
    with serving(Whole, Part) as server:
        where = f"/whole/{whole.pk}"
        server.post(f"{where}/parts/", {"id": str(part.pk)})
        server.post(f"{where}/parts/", {"id": str(part.pk)})
        server.post(f"{where}/main/", {"id": str(part.pk)})
        shown = server.get(f"{where}/").json
        found = [server.get(f"{where}/{way}/").status for way in (f"parts/{part.pk}", "main")]
        server.delete(f"{where}/parts/{part.pk}/")
        left = server.get(f"{where}/").json

    assert ([str(part.pk)], str(part.pk)) == (shown["parts"], shown["main"])
    assert ([200, 200], []) == (found, left["parts"])


@pytest.mark.parametrize(
    ("field", "pk"),
    [
        pytest.param(UUIDField, uuid.UUID(int=7), id="uuid"),
        pytest.param(IntField, 7, id="int"),
        pytest.param(StringField, "a/b", id="text"),
    ],
)
def test_ids_of_every_type_are_referred_to(
    database: Any, registry: None, field: Any, pk: Any
) -> None:
    class Part(Document):
        key = field(primary_key=True)

    class Whole(Document):
        parts = ListField(ReferenceField(Part))

    Part(key=pk).save()
    whole = Whole().save()
    sent = pk if isinstance(pk, int) else str(pk)
    with serving(Whole, Part) as server:
        created = server.post(f"/whole/{whole.pk}/parts/", {"id": sent})
        again = server.post(f"/whole/{whole.pk}/parts/", {"id": sent})
        followed = server.get(created.headers["Location"])
        removed = server.delete(created.headers["Location"])

    assert [201, 201, 200, 204] == [each.status for each in (created, again, followed, removed)]
    assert [] == Whole.objects.get().parts


def test_an_embedded_class_that_inherits_is_created_and_shown(
    mock_database: Any, registry: None
) -> None:
    class Shape(EmbeddedDocument):
        meta = {"allow_inheritance": True}
        name = StringField()

        @classmethod
        def get_id_field_name(cls) -> str:
            return "name"

    class Circle(Shape):
        radius = IntField()

    class Sheet(Document):
        shapes = EmbeddedDocumentListField(Shape)
        main = EmbeddedDocumentField(Shape)

    sheet = Sheet().save()
    with serving(Sheet) as server:
        body = {"_cls": "Circle", "name": "c", "radius": 2}
        created = server.post(f"/sheet/{sheet.pk}/shapes/", body)
        shown = server.get(created.headers["Location"]).json
        changed = server.put(created.headers["Location"], {**shown, "radius": 3})

    assert {"_cls": "Circle", "id": "c", "name": "c", "radius": 2} == shown
    assert (200, 3) == (changed.status, Sheet.objects.get().shapes[0].radius)


def test_items_without_an_id_are_listed_and_added(mock_database: Any, registry: None) -> None:
    class Line(EmbeddedDocument):
        text = StringField()

    class Poem(Document):
        lines = EmbeddedDocumentListField(Line)

    poem = Poem().save()
    with serving(Poem) as server:
        answer = server.post(f"/poem/{poem.pk}/lines/", {"text": "a"})
        listed = server.get(answer.headers["Location"]).json["items"]
        unknown = server.get(f"/poem/{poem.pk}/lines/0/")

    assert (201, None, [{"text": "a"}]) == (answer.status, answer.headers["X-Created-Id"], listed)
    assert "No Line has the id '0'." == unknown.problem["detail"]
