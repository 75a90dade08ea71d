"""What the description says of the routes and of the models."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mongoengine import (
    Document,
    EmbeddedDocument,
    EmbeddedDocumentListField,
    ReferenceField,
    StringField,
)
from openapi_spec_validator import OpenAPIV31SpecValidator

from bzz import MongoEngineRestHandler, flatten
from bzz.audit import Auditor
from bzz.audit.asking import EVENT_FILTERS
from bzz.audit.handlers.base import HistoryHandler
from bzz.openapi.route import Description
from bzz.problems import KINDS, type_of
from bzz.query import CONTROLS, parse_list_query
from bzz.schema import schema_of
from tests.house import own_registry
from tests.openapi.conftest import routes_of
from tests.openapi.world import define


def described(routes: Any) -> Any:
    return json.loads(Description(routes, title="World", version="1").text())


@pytest.fixture(scope="module")
def plain() -> Any:
    """The description of the world without an audit."""
    with own_registry():
        yield described(routes_of(define()))


@pytest.fixture(scope="module")
def audited() -> Any:
    """The description of the audited world, in which changes need an If-Match."""
    with own_registry():
        auditor = Auditor(work=False)
        routes = routes_of(define(), auditor, require_precondition=True)
        yield described([*routes, *auditor.routes()])


def operations(document: Any) -> list[Any]:
    methods = ("get", "post", "put", "patch", "delete")
    return [item[each] for item in document["paths"].values() for each in methods if each in item]


def schema(document: Any, name: str) -> Any:
    return document["components"]["schemas"][name]


def accepts(document: Any, name: str, value: Any) -> bool:
    whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return bool(Draft202012Validator(whole).is_valid(value))


def resolved(document: Any, part: Any) -> Any:
    if "$ref" not in part:
        return part
    _, _, kind, name = part["$ref"].split("/")
    return document["components"][kind][name]


def parameters(document: Any, path: str, method: str) -> dict[str, Any]:
    found = [resolved(document, each) for each in document["paths"][path][method]["parameters"]]
    return {each["name"]: each for each in found}


@pytest.mark.parametrize("which", ["plain", "audited"])
def test_the_description_is_valid(which, request):
    assert [] == list(OpenAPIV31SpecValidator(request.getfixturevalue(which)).iter_errors())


def test_the_names_of_operations_are_unique(audited):
    names = [each["operationId"] for each in operations(audited)]

    assert sorted(set(names)) == sorted(names)


def test_what_is_shared_is_used(audited):
    text = json.dumps(audited)

    unused = [
        f"#/components/{kind}/{name}"
        for kind, parts in audited["components"].items()
        for name in parts
        if f'"#/components/{kind}/{name}"' not in text
    ]
    assert [] == unused


def test_each_kind_of_problem_but_a_wrong_method_is_in_the_description(audited):
    text = json.dumps(audited)

    assert ["method-not-allowed"] == [each for each in KINDS if type_of(each) not in text]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/person/", "get post"),
        ("/person/{id}/", "get put patch delete"),
        ("/person/{id}/home/", "get post put patch delete"),
        ("/person/{id}/contacts/", "get post"),
        ("/person/{id}/contacts/{contacts_id}/", "get put patch delete"),
        ("/parcel/{id}/sender/home/country/", "get post put patch delete"),
        ("/person/{id}/history/", "get"),
        ("/person/{id}/history/{version}/", "get"),
        ("/person/{id}/history/{version}/restore/", "post"),
        ("/person/{id}/history/{version}/undo/", "post"),
        ("/person/{id}/history/diff/", "get"),
        ("/person/{id}/history/blame/", "get"),
        ("/person/{id}/history/replay/", "post"),
        ("/history/restore/", "post"),
        ("/history/subscriptions/", "get"),
        ("/history/subscriptions/{subscription}/", "get"),
        ("/history/subscriptions/{subscription}/parked/{position}/retry/", "post"),
        ("/history/subscriptions/{subscription}/parked/{position}/skip/", "post"),
        ("/parcel/{id}/sender/history/", "get"),
    ],
)
def test_a_path_has_the_methods_that_it_serves(audited, path, methods):
    assert sorted(methods.split()) == sorted(set(audited["paths"][path]) - {"parameters"})


def test_without_an_audit_there_is_no_history(plain):
    assert [] == [path for path in plain["paths"] if "history" in path]


def test_items_without_an_id_have_no_path():
    with own_registry():

        class Line(EmbeddedDocument):
            text = StringField()

        class Bill(Document):
            lines = EmbeddedDocumentListField(Line)

        document = described(MongoEngineRestHandler.routes_for("mongoengine", Bill))

    assert ["/bill/", "/bill/{id}/", "/bill/{id}/lines/"] == list(document["paths"])


def test_models_that_refer_to_each_other_are_followed_once():
    with own_registry():

        class Hen(Document):
            egg = ReferenceField("Egg")

        class Egg(Document):
            hen = ReferenceField(Hen)

        routes = [MongoEngineRestHandler.routes_for("mongoengine", each) for each in (Hen, Egg)]
        document = described(flatten(routes))

    assert ["/hen/", "/hen/{id}/", "/hen/{id}/egg/", "/egg/", "/egg/{id}/", "/egg/{id}/hen/"] == (
        list(document["paths"])
    )


# Models

FLOAT = {
    "anyOf": [
        {"type": "number", "format": "double"},
        {"enum": ["NaN", "Infinity", "-Infinity"]},
    ]
}


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ("number", {"type": "string"}),
        ("sender", {"type": "string", "pattern": "^[0-9a-fA-F]{24}$"}),
        ("status", {"enum": ["new", "sent"]}),
        ("size", {"enum": ["small", 2, None]}),
        ("exact", {"type": ["string", "null"], "format": "date-time"}),
        ("key", {"type": ["string", "null"], "format": "uuid"}),
        ("lines", {"type": "array", "items": {"type": "object", "additionalProperties": FLOAT}}),
    ],
)
def test_a_field_is_shown_as_its_type_is(plain, field, shown):
    assert shown == schema(plain, "Parcel")["properties"][field]


def test_a_reference_is_the_id_that_urls_use(plain):
    assert "integer" in schema(plain, "Reading")["properties"]["counter"]["type"]


def test_files_are_not_shown_and_not_sent(plain):
    assert not {"scan"} & set(schema(plain, "Parcel")["properties"])
    assert not {"scan"} & set(schema(plain, "NewParcel")["properties"])


PERSON = {"name": "Ana"}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        pytest.param("NewPerson", PERSON, True, id="what is required"),
        pytest.param("NewPerson", {}, False, id="required and missing"),
        pytest.param("NewPerson", {"name": None}, False, id="required and null"),
        pytest.param("NewPerson", PERSON | {"age": None}, True, id="null"),
        pytest.param("NewPerson", PERSON | {"age": -1}, False, id="too small"),
        pytest.param("NewPerson", {"name": "a" * 41}, False, id="too long"),
        pytest.param("NewPerson", PERSON | {"odd": 1}, False, id="unknown"),
        pytest.param("NewPerson", PERSON | {"tags": ["a"] * 6}, False, id="list too long"),
        pytest.param("NewPerson", PERSON | {"home": {}}, False, id="embedded, incomplete"),
        pytest.param("NewPerson", PERSON | {"points": {"a": "x"}}, False, id="map of another type"),
        pytest.param("NewPerson", PERSON | {"points": {"$a": 1}}, False, id="key of a map"),
        pytest.param("NewPerson", PERSON | {"score": "NaN"}, True, id="not a number"),
        pytest.param("PersonChanges", {}, True, id="PUT of nothing"),
        pytest.param("PersonChanges", {"name": None}, False, id="PUT unsets what is required"),
        pytest.param("PersonPatch", {"home": {"city": None}}, True, id="a merge goes inside"),
        pytest.param("NewParcel", {"id": "1", "sender": "0" * 24}, True, id="the id as id"),
        pytest.param("NewParcel", {"number": "1", "sender": "0" * 24}, True, id="under its name"),
        pytest.param("NewParcel", {"sender": "0" * 24}, False, id="without the id"),
        pytest.param(
            "NewParcel", {"id": "1", "sender": {"id": "0" * 24}}, True, id="a reference as object"
        ),
        pytest.param("NewReading", {"counter": {"code": 5}}, True, id="by the id's own name"),
        pytest.param("NewNote", {"anything": [1, {}]}, True, id="dynamic"),
        pytest.param("NewNote", {"$odd": 1}, False, id="dynamic, no name"),
        pytest.param("NewNote", {"a.b": 1}, False, id="dynamic, a path"),
    ],
)
def test_a_body_is_accepted_as_the_model_says(plain, name, value, expected):
    assert expected == accepts(plain, name, value)


def body_of(document: Any, path: str, method: str) -> Any:
    return document["paths"][path][method]["requestBody"]["content"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"name": "a"}, True),
        ({"name": "a", "_cls": "Animal"}, True),
        ({"name": "a", "_cls": "Animal.Dog", "bark": 1}, True),
        ({"name": "a", "bark": 1}, False),
        ({"name": "a", "_cls": "Animal.Dog.Puppy"}, False),
        ({"name": "a", "_cls": "Other"}, False),
    ],
)
def test_a_body_names_the_class_that_inherits(plain, value, expected):
    shape = body_of(plain, "/animal/", "post")["application/json"]["schema"]
    whole = {**shape, "components": plain["components"]}

    assert expected == Draft202012Validator(whole).is_valid(value)


def test_a_patch_has_three_formats(plain):
    assert [
        "application/merge-patch+json",
        "application/json",
        "application/json-patch+json",
    ] == list(body_of(plain, "/person/{id}/", "patch"))


def test_a_form_has_keys_with_dots_and_lists(plain):
    form = schema(plain, "PersonForm")

    assert {"name", "home.street", "home.country.code", "tags", "tags[]"} <= set(form["properties"])
    assert r"^points(\.[^.]+)+$" in form["patternProperties"]


def test_a_model_with_a_form_of_its_own_is_free(plain):
    answer = plain["paths"]["/free/{id}/"]["get"]["responses"]["200"]

    assert {"description"} == set(answer["content"]["application/json"]["schema"])


# Parameters, header fields, answers

V = "/person/{id}/history/{version}/"


def test_every_filter_that_is_described_is_understood(plain):
    with own_registry():
        world = define()
    for name in ("Person", "Parcel", "Counter", "Reading", "Dog"):
        asked = set(parameters(plain, f"/{name.lower()}/", "get")) - {*CONTROLS, "filters"}
        known = [each for each in asked if each.endswith("__exists")]
        query = parse_list_query(
            schema_of(getattr(world, name)), [(each, "true") for each in known]
        )
        assert len(known) == len(query.filters) > 1


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("age", True),
        ("age__gte", True),
        ("age__contains", False),
        ("name__icontains", True),
        ("home", False),
        ("home__exists", True),
        ("home__city", True),
        ("tags__size", True),
        ("tags__all", True),
        ("name__size", False),
    ],
)
def test_a_filter_has_the_operators_that_work_on_its_field(plain, name, there):
    assert there == (name in parameters(plain, "/person/", "get"))


def test_several_values_stand_between_commas(plain):
    found = parameters(plain, "/person/", "get")["age__in"]

    assert ("form", False, "array") == (found["style"], found["explode"], found["schema"]["type"])


def test_the_members_that_may_be_asked_for_are_named_once_each(plain):
    names = parameters(plain, "/dog/", "get")["fields"]["schema"]["items"]["enum"]

    assert "id" in names
    assert len(names) == len(set(names))


def test_an_embedded_list_is_neither_filtered_nor_sorted(plain):
    assert {"limit", "cursor", "page", "per_page", "fields"} == set(
        parameters(plain, "/person/{id}/contacts/", "get")
    )


def test_a_list_of_events_has_the_parameters_that_are_read(audited):
    assert {*EVENT_FILTERS, "If-None-Match", "Last-Event-ID"} == set(
        parameters(audited, "/person/{id}/history/", "get")
    )


def test_a_write_of_an_audited_model_says_why(audited):
    asked = parameters(audited, "/person/{id}/", "put")

    assert {"X-Audit-Reason", "X-Correlation-Id", "If-Match", "replace"} == set(asked)
    assert asked["If-Match"]["required"]


def test_a_write_of_an_unaudited_model_has_no_reason(plain):
    assert {"If-Match"} == set(parameters(plain, "/person/{id}/", "delete"))


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/person/", "get", "200 400 401 403 500 503"),
        ("/person/", "post", "201 400 401 403 409 413 415 422 500 503"),
        ("/person/{id}/", "get", "200 304 400 401 403 404 410 500 503"),
        ("/person/{id}/", "put", "200 400 401 403 404 409 410 412 413 415 422 428 500 503"),
        ("/person/{id}/", "delete", "204 400 401 403 404 409 410 412 413 422 428 500 503"),
    ],
)
def test_an_operation_has_all_its_statuses(audited, path, method, statuses):
    assert statuses.split() == list(audited["paths"][path][method]["responses"])


@pytest.mark.parametrize(
    ("path", "method", "status", "names"),
    [
        ("/person/", "post", "201", "ETag Location X-Created-Id"),
        ("/person/{id}/", "get", "200", "ETag Last-Modified Link Memento-Datetime"),
        ("/person/{id}/", "patch", "415", "Accept Accept-Patch"),
        ("/person/{id}/", "patch", "503", "Retry-After"),
        ("/person/{id}/", "get", "410", "Link Cache-Control"),
        (V, "get", "200", "ETag Memento-Datetime Link Cache-Control Vary"),
        (f"{V}restore/", "post", "201", "ETag Location"),
    ],
)
def test_an_answer_has_its_header_fields(audited, path, method, status, names):
    answer = resolved(audited, audited["paths"][path][method]["responses"][status])

    assert set(names.split()) == set(answer["headers"])


def test_a_comparison_has_four_formats(audited):
    answer = audited["paths"]["/person/{id}/history/diff/"]["get"]["responses"]["200"]

    formats = ["application/json", "application/json-patch+json", "text/plain", "text/html"]
    assert formats == list(answer["content"])


def test_every_route_below_a_history_is_described():
    with own_registry():
        routes = routes_of(define(), Auditor())
    handlers = [each.target for each in routes if issubclass(each.target, HistoryHandler)]

    silent = HistoryHandler.operations.__func__
    assert {()} == {each.methods for each in handlers if each.operations.__func__ is silent}


def test_a_problem_names_the_kinds_that_it_may_be(audited):
    answer = resolved(audited, audited["paths"]["/person/{id}/"]["patch"]["responses"]["409"])
    shape = answer["content"]["application/problem+json"]["schema"]

    kinds = shape["allOf"][1]["properties"]["type"]["enum"]
    assert [type_of(each) for each in ("conflict", "not-unique", "patch-conflict")] == kinds
