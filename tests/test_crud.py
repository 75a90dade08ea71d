"""Documents created, read, changed and deleted over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from bson import ObjectId

from tests.people import People, served, stored
from tests.support import JSON_PATCH, MERGE_PATCH


@pytest.fixture
def people(mock_database: Any) -> Iterator[People]:
    with served() as world:
        yield world


@pytest.fixture
def ana(people: People) -> Any:
    return people.make(
        name="Ana",
        email="ana@example.org",
        age=30,
        home={"street": "Rua A", "city": "Rio"},
        tags=["a", "b"],
        points={"x": 1, "y": 2},
    )


def path_of(document: Any) -> str:
    return f"/user/{document.pk}/"


# Create


def test_a_post_answers_the_new_document(people: People) -> None:
    answer = people.server.post("/user/", {"name": "Ana", "age": 3})
    expected = {
        "id": answer.headers["X-Created-Id"],
        "name": "Ana",
        "email": None,
        "age": 3,
        "score": None,
        "born": None,
        "home": None,
        "pets": [],
        "tags": [],
        "points": {},
    }

    assert (201, expected) == (answer.status, answer.json)


def test_a_post_says_where_the_new_document_is(people: People) -> None:
    answer = people.server.post("/user/", {"name": "Ana"})

    assert f"/user/{answer.headers['X-Created-Id']}/" == answer.headers["Location"]
    assert answer.json == people.server.get(answer.headers["Location"]).json


def test_a_post_stores_what_it_says(people: People) -> None:
    people.server.post(
        "/user/", {"name": "Ana", "home": {"street": "A", "city": "Rio"}, "tags": ["x"]}
    )

    assert {"name": "Ana", "home": {"street": "A", "c": "Rio"}, "tags": ["x"]} == {
        name: value
        for name, value in stored(people.User.objects.get()).items()
        if name in ("name", "home", "tags")
    }


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param("application/x-www-form-urlencoded", id="as a form"),
        pytest.param("application/x-www-form-urlencoded; charset=UTF-8", id="with a charset"),
        pytest.param(None, id="without a type"),
    ],
)
def test_a_post_reads_forms(people: People, content_type: str | None) -> None:
    body = (
        "name=Bernardo%20Heynemann&age=30&home.street=Rua+A&home.city=Rio"
        "&tags[]=a&tags[]=b&points.x=4&born=2024-05-01T10:00:00+02:00"
    )
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = people.server.request("POST", "/user/", body, headers=headers)
    expected = {
        "name": "Bernardo Heynemann",
        "age": 30,
        "home": {"street": "Rua A", "city": "Rio"},
        "tags": ["a", "b"],
        "points": {"x": 4},
        "born": "2024-05-01T08:00:00.000Z",
    }

    assert expected == {name: answer.json[name] for name in expected}


def test_repeated_keys_of_a_form_are_a_list(people: People) -> None:
    answer = people.server.post("/user/", form=[("name", "Ana"), ("tags", "a"), ("tags", "b")])

    assert ["a", "b"] == answer.json["tags"]


def test_one_key_of_a_form_is_a_list_where_the_field_is_one(people: People) -> None:
    answer = people.server.post("/user/", form={"name": "Ana", "tags": "a"})

    assert ["a"] == answer.json["tags"]


def test_json_without_a_type_is_read_as_json(people: People) -> None:
    answer = people.server.request("POST", "/user/", '{"name": "Ana"}')

    assert (201, "Ana") == (answer.status, answer.json["name"])


def test_a_post_may_choose_the_id(people: People) -> None:
    chosen = str(ObjectId())
    answer = people.server.post("/user/", {"id": chosen, "name": "Ana"})

    assert (201, chosen) == (answer.status, answer.headers["X-Created-Id"])


def test_a_primary_key_is_sent_as_id_or_by_its_name(people: People) -> None:
    people.server.post("/page/", {"id": "one"})
    people.server.post("/page/", {"slug": "two"})
    people.server.post("/page/", {"id": "three", "slug": "three"})

    assert ["one", "three", "two"] == sorted(page.slug for page in people.Page.objects)


def test_an_id_that_contradicts_its_field_is_refused(people: People) -> None:
    answer = people.server.post("/page/", {"id": "one", "slug": "two"})

    assert 422 == answer.problem["status"]
    assert ["/slug"] == [each["pointer"] for each in answer.problem["errors"]]


def test_a_taken_id_is_a_conflict_and_the_document_stays(people: People) -> None:
    people.make(people.Page, slug="one", title="first")
    answer = people.server.post("/page/", {"id": "one", "title": "second"})

    assert 409 == answer.problem["status"]
    assert "first" == people.Page.objects.get().title


@pytest.mark.parametrize("chosen", [".", "..", ""])
def test_an_id_that_no_path_can_hold_is_refused(people: People, chosen: str) -> None:
    answer = people.server.post("/page/", {"slug": chosen})

    assert (422, ["/slug"]) == (answer.status, [e["pointer"] for e in answer.problem["errors"]])
    assert 0 == people.Page.objects.count()


def test_invalid_content_names_each_field(people: People) -> None:
    answer = people.server.post(
        "/user/", {"age": "three", "home": {"street": 1, "x": 2}, "tags": ["a", 2], "nickname": "A"}
    )

    assert ["/age", "/home/street", "/home/x", "/nickname", "/tags/1"] == sorted(
        each["pointer"] for each in answer.problem["errors"]
    )
    assert (422, 0) == (answer.status, people.User.objects.count())


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        pytest.param({}, ["/name"], id="missing"),
        pytest.param({"name": None}, ["/name"], id="null"),
        pytest.param({"name": "x" * 41}, ["/name"], id="too long"),
        pytest.param({"name": "A", "age": -1}, ["/age"], id="too small"),
        pytest.param({"name": "A", "home": {}}, ["/home/street"], id="missing inside"),
        pytest.param({"name": "A", "pets": [{"name": "P"}, {}]}, ["/pets/1/name"], id="in a list"),
    ],
)
def test_what_the_model_refuses_names_its_field(
    people: People, body: Any, pointers: list[str]
) -> None:
    answer = people.server.post("/user/", body)

    assert (422, pointers) == (answer.status, [e["pointer"] for e in answer.problem["errors"]])


# Read


def test_a_get_answers_the_document(people: People, ana: Any) -> None:
    answer = people.server.get(path_of(ana))

    assert (200, str(ana.pk), "Ana") == (answer.status, answer.json["id"], answer.json["name"])


def test_what_is_not_there_is_not_found(people: People) -> None:
    unknown = ObjectId()
    answer = people.server.get(f"/user/{unknown}/")

    assert f"There is no User with the id '{unknown}'." == answer.problem["detail"]
    assert "no-store" == answer.headers["Cache-Control"]


def test_an_unaudited_document_has_no_tag(people: People, ana: Any) -> None:
    assert people.server.get(path_of(ana)).etag is None


# PUT


def test_a_put_sets_the_fields_that_it_names(people: People, ana: Any) -> None:
    answer = people.server.put(path_of(ana), {"age": 31, "tags": []})
    expected = {"name": "Ana", "age": 31, "tags": [], "points": {"x": 1, "y": 2}}

    assert expected == {name: answer.json[name] for name in expected}


def test_a_put_answers_what_a_get_answers(people: People, ana: Any) -> None:
    answer = people.server.put(path_of(ana), {"age": 31})

    assert (200, people.server.get(path_of(ana)).json) == (answer.status, answer.json)


def test_null_unsets(people: People, ana: Any) -> None:
    people.server.put(path_of(ana), {"age": None, "home": None, "email": None})

    assert set() == {"age", "home", "email"} & set(stored(ana))


def test_null_empties_lists_and_maps_as_a_new_document_has_them(people: People, ana: Any) -> None:
    people.server.put(path_of(ana), {"tags": None, "points": None})

    assert ([], {}) == (stored(ana)["tags"], stored(ana)["points"])


def test_an_embedded_document_is_replaced_whole(people: People, ana: Any) -> None:
    answer = people.server.put(path_of(ana), {"home": {"street": "B"}})

    assert {"street": "B", "city": None} == answer.json["home"]


def test_a_map_is_replaced_whole(people: People, ana: Any) -> None:
    answer = people.server.put(path_of(ana), {"points": {"z": 3}})

    assert {"z": 3} == answer.json["points"]


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        pytest.param("home.city=Olinda", "home", {"street": "Rua A", "city": "Olinda"}, id="whole"),
        pytest.param("home.city=", "home", {"street": "Rua A", "city": ""}, id="empty"),
        pytest.param("points.z=3", "points", {"x": 1, "y": 2, "z": 3}, id="of a map"),
        pytest.param("tags.1=z", "tags", ["a", "z"], id="of a list"),
        pytest.param("tags.2=c", "tags", ["a", "b", "c"], id="at the end of a list"),
    ],
)
def test_a_dotted_key_sets_that_member_alone(
    people: People, ana: Any, body: str, field: str, expected: Any
) -> None:
    answer = people.server.request("PUT", path_of(ana), body)

    assert expected == answer.json[field]


def test_a_dotted_key_reaches_into_one_item_of_a_list(people: People, ana: Any) -> None:
    people.server.put(path_of(ana), {"pets": [{"name": "Rex", "kind": "dog"}, {"name": "Tom"}]})
    answer = people.server.request("PUT", path_of(ana), "pets.1.kind=cat")

    assert [("Rex", "dog"), ("Tom", "cat")] == [
        (pet["name"], pet["kind"]) for pet in answer.json["pets"]
    ]


@pytest.mark.parametrize("index", ["3", "x", "-1", "01"])
def test_a_dotted_key_beyond_a_list_is_refused(people: People, ana: Any, index: str) -> None:
    answer = people.server.request("PUT", path_of(ana), f"tags.{index}=z")

    assert [f"/tags/{index}"] == [each["pointer"] for each in answer.problem["errors"]]
    assert ["a", "b"] == stored(ana)["tags"]


def test_replace_unsets_what_is_not_named(people: People, ana: Any) -> None:
    people.server.put(f"{path_of(ana)}?replace=true", {"name": "Ben"})

    assert {"name": "Ben", "tags": [], "pets": [], "points": {}} == stored(ana)


def test_replace_keeps_the_id(people: People, ana: Any) -> None:
    answer = people.server.put(f"{path_of(ana)}?replace=true", {"name": "Ben"})

    assert str(ana.pk) == answer.json["id"]


def test_replace_without_a_required_field_is_invalid(people: People, ana: Any) -> None:
    answer = people.server.put(f"{path_of(ana)}?replace=true", {"age": 1})

    assert (422, "Ana") == (answer.status, stored(ana)["name"])


@pytest.mark.parametrize("value", ["yes", "1", ""])
def test_replace_is_true_or_false(people: People, ana: Any, value: str) -> None:
    answer = people.server.put(f"{path_of(ana)}?replace={value}", {"name": "Ben"})

    assert f"'replace' is true or false, not {value!r}." == answer.problem["detail"]


def test_the_same_id_in_a_body_is_accepted(people: People, ana: Any) -> None:
    answer = people.server.put(path_of(ana), {"id": str(ana.pk), "age": 31})

    assert (200, 31) == (answer.status, answer.json["age"])


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_another_id_in_a_body_is_refused(people: People, ana: Any, method: str) -> None:
    answer = people.server.request(method, path_of(ana), json={"id": str(ObjectId()), "age": 31})

    assert (422, ["/id"]) == (answer.status, [e["pointer"] for e in answer.problem["errors"]])
    assert 30 == stored(ana)["age"]


def test_a_put_of_what_a_get_answered_changes_nothing(people: People, ana: Any) -> None:
    before = stored(ana)
    people.server.put(path_of(ana), people.server.get(path_of(ana)).json)

    assert before == stored(ana)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_what_is_not_there_is_not_written(people: People, method: str) -> None:
    body = None if method == "DELETE" else {"name": "A"}
    answer = people.server.request(method, f"/user/{ObjectId()}/", json=body)

    assert (404, 0) == (answer.problem["status"], people.User.objects.count())


# PATCH


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param(MERGE_PATCH, id="its own type"),
        pytest.param("application/json", id="read as that"),
        pytest.param("Application/Merge-Patch+JSON; charset=utf-8", id="in any case"),
        pytest.param(None, id="without a type"),
    ],
)
def test_a_merge_patch_merges(people: People, ana: Any, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    patch = '{"age": null, "home": {"city": "Olinda"}, "points": {"x": null, "z": 3}}'
    answer = people.server.request("PATCH", path_of(ana), patch, headers=headers)
    expected = {
        "age": None,
        "home": {"street": "Rua A", "city": "Olinda"},
        "points": {"y": 2, "z": 3},
        "name": "Ana",
    }

    assert expected == {name: answer.json[name] for name in expected}


def test_a_json_patch_applies(people: People, ana: Any) -> None:
    operations = [
        {"op": "test", "path": "/name", "value": "Ana"},
        {"op": "replace", "path": "/home/city", "value": "Olinda"},
        {"op": "add", "path": "/tags/-", "value": "c"},
        {"op": "remove", "path": "/points/x"},
        {"op": "move", "from": "/points/y", "path": "/points/z"},
    ]
    answer = people.server.patch(path_of(ana), operations, headers={"Content-Type": JSON_PATCH})
    expected = {
        "home": {"street": "Rua A", "city": "Olinda"},
        "tags": ["a", "b", "c"],
        "points": {"z": 2},
    }

    assert (200, expected) == (answer.status, {name: answer.json[name] for name in expected})


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param({"op": "test", "path": "/name", "value": "Ben"}, id="a test fails"),
        pytest.param({"op": "remove", "path": "/points/q"}, id="no such member"),
        pytest.param({"op": "replace", "path": "/tags/7", "value": "x"}, id="no such item"),
    ],
)
def test_a_json_patch_that_does_not_apply_changes_nothing(
    people: People, ana: Any, operation: Any
) -> None:
    before = stored(ana)
    operations = [{"op": "replace", "path": "/age", "value": 1}, operation]
    answer = people.server.patch(path_of(ana), operations, headers={"Content-Type": JSON_PATCH})

    assert (409, ["/1"]) == (answer.status, [e["pointer"] for e in answer.problem["errors"]])
    assert before == stored(ana)


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain", "application/xml"]
)
def test_a_patch_of_another_type_is_told_what_is_read(
    people: People, ana: Any, content_type: str
) -> None:
    answer = people.server.request(
        "PATCH", path_of(ana), "age=1", headers={"Content-Type": content_type}
    )

    assert 415 == answer.problem["status"]
    assert (
        "application/merge-patch+json, application/json-patch+json, application/json"
        == answer.headers["Accept-Patch"]
    )


# DELETE


def test_a_delete_deletes(people: People, ana: Any) -> None:
    answer = people.server.delete(path_of(ana))

    assert (204, b"", None) == (answer.status, answer.body, stored(ana))


def test_a_repeated_delete_finds_nothing(people: People, ana: Any) -> None:
    people.server.delete(path_of(ana))

    assert 404 == people.server.delete(path_of(ana)).problem["status"]


def test_a_delete_that_a_rule_denies_is_a_conflict(people: People, ana: Any) -> None:
    people.make(people.Deed, owner=ana)
    answer = people.server.delete(path_of(ana))

    assert (409, "Ana") == (answer.problem["status"], stored(ana)["name"])
    assert "Deed.owner refers to this document" in answer.problem["detail"]


# Unique fields


def test_a_clash_names_the_field(people: People, ana: Any) -> None:
    answer = people.server.post("/user/", {"name": "Ben", "email": "ana@example.org"})

    assert (409, 1) == (answer.problem["status"], people.User.objects.count())
    assert "example.org" not in answer.body.decode()


def test_a_put_that_clashes_changes_nothing(people: People, ana: Any) -> None:
    ben = people.make(name="Ben", email="ben@example.org")
    answer = people.server.put(path_of(ben), {"name": "B", "email": "ana@example.org"})

    assert (409, {"name": "Ben", "email": "ben@example.org"}) == (
        answer.status,
        {name: stored(ben)[name] for name in ("name", "email")},
    )


# Lists


@pytest.fixture
def crowd(people: People) -> People:
    for index, name in enumerate(["Ana", "Ben", "Cid", "Dora", "Eva"]):
        people.make(name=name, age=20 + index, tags=[name.lower()])
    return people


def names(answer: Any) -> list[str]:
    return [each["name"] for each in answer.json["items"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("age=21", ["Ben"], id="equality"),
        pytest.param("age__gte=22&age__lt=24", ["Cid", "Dora"], id="an interval"),
        pytest.param("name__in=Ana,Eva", ["Ana", "Eva"], id="one of several"),
        pytest.param("tags=cid", ["Cid"], id="an element of a list"),
        pytest.param("name__istartswith=d", ["Dora"], id="text"),
        pytest.param("sort=-age&limit=2", ["Eva", "Dora"], id="sorted"),
        pytest.param("sort=name&page=2&per_page=2", ["Cid", "Dora"], id="a page"),
        pytest.param("sort=name&page=99&per_page=2", ["Eva"], id="past the end"),
    ],
)
def test_a_list_shows_what_is_asked_for(crowd: People, query: str, expected: list[str]) -> None:
    assert expected == names(crowd.server.get(f"/user/?{query}"))


def test_a_list_shows_twenty_by_default(people: People) -> None:
    for _ in range(21):
        people.make()

    assert 20 == len(people.server.get("/user/").json["items"])


def test_fields_leaves_the_rest_out(crowd: People) -> None:
    answer = crowd.server.get("/user/?sort=name&limit=1&fields=name,tags")

    assert [{"name": "Ana", "tags": ["ana"]}] == answer.json["items"]


def test_next_can_be_followed_to_the_end(crowd: People) -> None:
    seen, path = [], "/user/?limit=2&name__ne=Cid"
    while path:
        answer = crowd.server.get(path)
        seen.append(names(answer))
        path = answer.json["next"]

    assert [["Ana", "Ben"], ["Dora", "Eva"]] == seen


def test_the_link_header_says_what_next_says(crowd: People) -> None:
    answer = crowd.server.get("/user/?limit=2")

    assert f'<{answer.json["next"]}>; rel="next"' in answer.headers["Link"]


def test_counted_pages_are_linked(crowd: People) -> None:
    answer = crowd.server.get("/user?page=2&per_page=2")

    assert (
        '</user?per_page=2&page=1>; rel="first", </user?per_page=2&page=1>; rel="prev", '
        '</user?per_page=2&page=3>; rel="next", </user?per_page=2&page=3>; rel="last"'
        == answer.headers["Link"]
    )


@pytest.mark.parametrize(
    ("query", "part"),
    [
        pytest.param("nickname=A", "User has no field 'nickname'", id="a field"),
        pytest.param("age__near=3", "neither a member nor an operator 'near'", id="an operator"),
        pytest.param("age=three", "'three' is not a whole number", id="a value"),
        pytest.param("cursor=zzz", "cursor", id="a cursor"),
        pytest.param("limit=0", "limit is a whole number from 1 to 100", id="too small"),
        pytest.param("limit=101", "limit is a whole number from 1 to 100", id="too large"),
        pytest.param("sort=nickname", "User has no field 'nickname'", id="a sort"),
        pytest.param("fields=nickname", "User has no field 'nickname'", id="fields"),
        pytest.param("page=x", "page is a whole number", id="a page"),
        pytest.param("%24where=1", "cannot be a name", id="an operator of MongoDB"),
        pytest.param("name[$ne]=1", "has no field", id="an operator as others write it"),
        pytest.param("name=%FF", "not percent-encoded UTF-8", id="bytes"),
    ],
)
def test_a_list_refuses_what_it_does_not_know(people: People, query: str, part: str) -> None:
    answer = people.server.get(f"/user/?{query}")

    assert 400 == answer.status
    assert part in answer.problem["detail"]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_other_requests_refuse_unknown_parameters(people: People, ana: Any, method: str) -> None:
    body = None if method in ("GET", "DELETE") else {"age": 1}
    answer = people.server.request(method, f"{path_of(ana)}?x=1", json=body)

    assert (400, 30) == (answer.status, stored(ana)["age"])
    assert "The query parameter 'x' is unknown here" in answer.problem["detail"]


def test_a_post_refuses_parameters(people: People) -> None:
    answer = people.server.post("/user/?x=1", {"name": "Ana"})

    assert (400, 0) == (answer.status, people.User.objects.count())


def test_a_parameter_may_not_be_doubled(people: People, ana: Any) -> None:
    answer = people.server.put(f"{path_of(ana)}?replace=true&replace=true", {"name": "Ben"})

    assert "The query parameter 'replace' is there twice." == answer.problem["detail"]


# Inheritance


def test_a_base_route_lists_what_inherits(people: People) -> None:
    people.make(people.Animal, name="Cat")
    people.make(people.Dog, name="Rex", bark="wau")

    assert ["Cat", "Rex"] == names(people.server.get("/animal/?sort=name"))


def test_a_sub_route_lists_its_own(people: People) -> None:
    people.make(people.Animal, name="Cat")
    people.make(people.Dog, name="Rex", bark="wau")

    assert ["Rex"] == names(people.server.get("/dog/"))


def test_a_sub_route_creates_its_own(people: People) -> None:
    people.server.post("/dog/", {"name": "Rex", "bark": "wau"})

    assert "Animal.Dog" == stored(people.Dog.objects.get())["_cls"]


def test_a_base_route_shows_and_changes_what_inherits(people: People) -> None:
    rex = people.make(people.Dog, name="Rex", bark="wau")
    people.server.put(f"/animal/{rex.pk}/", {"bark": "waf"})
    answer = people.server.get(f"/animal/{rex.pk}/")

    assert {"id": str(rex.pk), "_cls": "Animal.Dog", "name": "Rex", "bark": "waf"} == answer.json


def test_a_base_route_creates_what_inherits(people: People) -> None:
    answer = people.server.post("/animal/", {"_cls": "Animal.Dog", "name": "Rex", "bark": "wau"})

    assert (201, "Animal.Dog") == (answer.status, stored(people.Dog.objects.get())["_cls"])


@pytest.mark.parametrize("name", ["User", "Nothing", 3, None, "Animal.Cat"])
def test_a_class_that_does_not_inherit_is_refused(people: People, name: Any) -> None:
    answer = people.server.post("/dog/", {"_cls": name, "name": "Rex"})

    assert (422, ["/_cls"]) == (answer.status, [e["pointer"] for e in answer.problem["errors"]])


def test_what_inherits_can_be_sent_back(people: People) -> None:
    rex = people.make(people.Dog, name="Rex", bark="wau")
    shown = people.server.get(f"/animal/{rex.pk}/").json
    answer = people.server.put(f"/animal/{rex.pk}/", shown | {"bark": "waf"})

    assert (200, "waf") == (answer.status, answer.json["bark"])


def test_the_class_of_a_document_cannot_be_changed(people: People) -> None:
    cat = people.make(people.Animal, name="Cat")
    answer = people.server.put(f"/animal/{cat.pk}/", {"_cls": "Animal.Dog"})

    assert (422, ["/_cls"]) == (answer.status, [e["pointer"] for e in answer.problem["errors"]])


# Dynamic documents


def test_a_dynamic_document_keeps_what_it_is_sent(people: People) -> None:
    answer = people.server.post("/note/", {"title": "A", "any": [1, {"b": None}], "größe": 1.5})
    expected = {"title": "A", "any": [1, {"b": None}], "größe": 1.5}

    assert expected == {name: answer.json[name] for name in expected}


def test_null_takes_a_dynamic_member_away(people: People) -> None:
    note = people.make(people.Note, title="A", extra=1)
    answer = people.server.put(f"/note/{note.pk}/", {"extra": None})

    assert "extra" not in answer.json
    assert {"title": "A"} == stored(note)


@pytest.mark.parametrize("name", ["a.b", "$a", "a\0b", "_x", "save", "pk", "objects"])
def test_a_dynamic_name_that_cannot_be_kept_is_refused(people: People, name: str) -> None:
    answer = people.server.post("/note/", {name: 1})

    assert (422, [f"/{name}"]) == (answer.status, [e["pointer"] for e in answer.problem["errors"]])
    assert 0 == people.Note.objects.count()


# Ids


@pytest.mark.parametrize(
    "slug",
    [
        "a b",
        "a/b",
        "100%",
        "%41",
        "a.b",
        "...",
        "größe",
        "日本",
        "a?b#c&d=e",
        "new\nline",
        "+",
        " ",
        "a\\b",
        "😀",
        "history",
        ":~@!",
    ],
)
def test_an_id_may_be_any_text(people: People, slug: str) -> None:
    created = people.server.post("/page/", {"slug": slug, "title": "A"})
    place = created.headers["Location"]

    assert (201, f"/page/{quote(slug, safe='')}/") == (created.status, place)
    assert quote(slug, safe="") == created.headers["X-Created-Id"]
    assert slug == people.server.get(place).json["id"]
    assert "B" == people.server.put(place, {"title": "B"}).json["title"]
    assert 204 == people.server.delete(place).status
