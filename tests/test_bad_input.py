"""Whatever a client sends: a 4xx problem document, nothing stored, no stack in the log."""

from __future__ import annotations

import gzip
import http.client
import json
import logging
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import mongoengine
import mongomock
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mongoengine import (
    BinaryField,
    BooleanField,
    ComplexDateTimeField,
    DateField,
    DateTimeField,
    Decimal128Field,
    DecimalField,
    DictField,
    DynamicDocument,
    DynamicField,
    EmailField,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    FloatField,
    GenericEmbeddedDocumentField,
    GenericReferenceField,
    GeoPointField,
    IntField,
    ListField,
    MapField,
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

from bzz.body import FORM, JSON
from tests.house import own_receivers, own_registry
from tests.people import People, served, serving, stored
from tests.support import JSON_PATCH, MERGE_PATCH, PROBLEM, Client


@pytest.fixture
def people(mock_database: Any) -> Iterator[People]:
    with served(max_body=10_000) as world:
        yield world


@pytest.fixture
def ana(people: People) -> Any:
    return people.make(name="Ana", age=30, tags=["a"], home={"street": "A"})


def deep(levels: int) -> bytes:
    return b'{"name": ' + b'{"a": ' * levels + b"1" + b"}" * levels + b"}"


def deep_list(levels: int) -> bytes:
    return b'{"tags": ' + b"[" * levels + b"]" * levels + b"}"


# Of each: what is sent, its Content-Type, and the status.
BODIES: list[Any] = [
    pytest.param(b"{", JSON, 400, id="cut off"),
    pytest.param(b'{"name": }', JSON, 400, id="no value"),
    pytest.param(b"{'name': 'A'}", JSON, 400, id="other quotes"),
    pytest.param(b'{"name": "A"} x', JSON, 400, id="more behind it"),
    pytest.param(b'{"name": "A",}', JSON, 400, id="a comma too many"),
    pytest.param(b'{"name": "\xff"}', JSON, 400, id="bytes that are no UTF-8"),
    pytest.param(b'{"name": "\\ud800"}', JSON, 400, id="half a surrogate pair"),
    pytest.param(b'{"name": "a\nb"}', JSON, 400, id="a raw line break"),
    pytest.param('{"name": "größe"}'.encode("latin-1"), JSON, 400, id="latin-1"),
    pytest.param('{"name": "A"}'.encode("utf-16"), JSON, 400, id="utf-16"),
    pytest.param(b'{"score": NaN}', JSON, 400, id="NaN"),
    pytest.param(b'{"score": -Infinity}', JSON, 400, id="Infinity"),
    pytest.param(b'{"score": 1e999}', JSON, 400, id="a float without end"),
    pytest.param(b'{"age": 0x10}', JSON, 400, id="hexadecimal"),
    pytest.param(b'{"age": 01}', JSON, 400, id="a zero before"),
    pytest.param(b'{"age": 1' + b"0" * 30 + b"}", JSON, 422, id="a huge number"),
    pytest.param(b'{"age": 1' + b"0" * 5000 + b"}", JSON, None, id="a number of 5,000 digits"),
    pytest.param(b'{"age": 1.5}', JSON, 422, id="a fraction"),
    pytest.param(b'{"age": "1"}', JSON, 422, id="text for a number"),
    pytest.param(b'{"age": true}', JSON, 422, id="true for a number"),
    pytest.param(b'{"age": [1]}', JSON, 422, id="a list for a number"),
    pytest.param(b'{"name": 1}', JSON, 422, id="a number for text"),
    pytest.param(b'{"name": {"$ne": 1}}', JSON, 422, id="an operator for text"),
    pytest.param(b'{"$set": {"name": "A"}}', JSON, 422, id="an operator as a name"),
    pytest.param(b'{"home": {"$set": 1}}', JSON, 422, id="an operator in an object"),
    pytest.param(b'{"points": {"$inc": 1}}', JSON, 422, id="an operator in a map"),
    pytest.param(b'{"pets": [{"$a": 1}]}', JSON, 422, id="an operator in a list"),
    pytest.param(b'{"points": {"a\\u0000": 1}}', JSON, 422, id="a NUL in a name"),
    pytest.param(b'{"nickname": 1}', JSON, 422, id="an unknown field"),
    pytest.param(b'{"_id": 1}', JSON, 422, id="the stored name of the id"),
    pytest.param(b'{"_cls": "User.Admin"}', JSON, 422, id="a class"),
    pytest.param(b'{"__class__": 1}', JSON, 422, id="a name of Python's"),
    pytest.param(b'{"save": 1}', JSON, 422, id="the name of a method"),
    pytest.param(b'{"": 1}', JSON, 422, id="an empty name"),
    pytest.param(b"[]", JSON, None, id="a list"),
    pytest.param(b'"name"', JSON, None, id="text"),
    pytest.param(b"null", JSON, None, id="null"),
    pytest.param(b"1", JSON, None, id="a number"),
    pytest.param(deep(90), JSON, 422, id="deep"),
    pytest.param(deep(150), JSON, 400, id="too deep"),
    pytest.param(deep_list(1500), JSON, 400, id="far too deep"),
    pytest.param(b'{"name": "' + b"x" * 10_000 + b'"}', JSON, 413, id="too large"),
    pytest.param(b'{"id": "x"}', JSON, 422, id="an id that is none"),
    pytest.param(b'{"id": {"$oid": "x"}}', JSON, 422, id="an id that is an object"),
    pytest.param(b'{"name": "A"}', "application/xml", 415, id="another type"),
    pytest.param(b'{"name": "A"}', "multipart/form-data; boundary=x", None, id="multipart"),
    pytest.param(b'{"name": "A"}', "multipart/form-data", None, id="multipart without its end"),
    pytest.param(b'{"name": "A"}', "nonsense", 415, id="a type that is none"),
    pytest.param(b'{"name": "A"}', "application/json; charset=latin-1", 415, id="a charset"),
    pytest.param(gzip.compress(b'{"name": "A"}'), JSON, 400, id="compressed and not said"),
]

FORMS: list[Any] = [
    pytest.param(b"name=%FF", 400, id="bytes that are no UTF-8"),
    pytest.param(b"name=A&name[]=B", 400, id="one and a list"),
    pytest.param(b"home=x&home.street=y", 400, id="a whole and its part"),
    pytest.param(b"=A", 400, id="no name"),
    pytest.param(b"home..street=A", 400, id="two dots"),
    pytest.param(b"home." + b"a." * 120 + b"a=1", 400, id="many dots"),
    pytest.param(b"age=x", 422, id="text for a number"),
    pytest.param(b"age=1&age=2", 422, id="two for one"),
    pytest.param(b"nickname=x", 422, id="an unknown field"),
    pytest.param(b"home.nickname=x", 422, id="an unknown member"),
    pytest.param(b"%24set.name=A", 422, id="an operator"),
    pytest.param(b"points.%24inc=1", 422, id="an operator in a map"),
    pytest.param(b"name.x=1", 422, id="below a text"),
    pytest.param(b"tags.x=1", None, id="below a list"),
    pytest.param(b"home=%7B", 422, id="half an object"),
    pytest.param(b"x=" + b"y" * 10_000, 413, id="too large"),
]


def check_refused(answer: Any, status: int | None) -> None:
    assert 400 <= answer.problem["status"] < 500
    assert status in (None, answer.status)


@pytest.mark.parametrize(("body", "content_type", "status"), BODIES)
def test_a_bad_body_creates_nothing(
    people: People, body: bytes, content_type: str, status: int | None
) -> None:
    answer = people.server.request("POST", "/user/", body, headers={"Content-Type": content_type})

    check_refused(answer, status)
    assert 0 == people.User.objects.count()


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(("body", "content_type", "status"), BODIES)
def test_a_bad_body_changes_nothing(
    people: People, ana: Any, method: str, body: bytes, content_type: str, status: int | None
) -> None:
    before = stored(ana)
    answer = people.server.request(
        method, f"/user/{ana.pk}/", body, headers={"Content-Type": content_type}
    )

    if answer.status != 200:
        check_refused(answer, status)
    # A merge patch takes away what is null, and finds nothing to take away.
    assert answer.status != 200 or (method, body) == ("PATCH", b'{"nickname": null}')
    assert before == stored(ana)


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(("body", "status"), FORMS)
def test_a_bad_form_changes_nothing(
    people: People, ana: Any, method: str, body: bytes, status: int | None
) -> None:
    before = stored(ana)
    path = "/user/" if method == "POST" else f"/user/{ana.pk}/"
    answer = people.server.request(method, path, body, headers={"Content-Type": FORM})

    check_refused(answer, status)
    assert (before, 1) == (stored(ana), people.User.objects.count())


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param({}, id="no list"),
        pytest.param([1], id="no object"),
        pytest.param([{}], id="no op"),
        pytest.param([{"op": "drop", "path": "/name"}], id="an unknown op"),
        pytest.param([{"op": "add", "path": "name", "value": 1}], id="no pointer"),
        pytest.param([{"op": "add", "path": "/name"}], id="no value"),
        pytest.param([{"op": "remove", "path": ""}], id="the whole"),
        pytest.param([{"op": "replace", "path": "", "value": []}], id="a list for the whole"),
        pytest.param([{"op": "add", "path": "/age", "value": "x"}], id="another type"),
        pytest.param([{"op": "add", "path": "/$set", "value": {}}], id="an operator"),
        pytest.param([{"op": "add", "path": "/points/$inc", "value": 1}], id="an operator inside"),
        pytest.param([{"op": "add", "path": "/_id", "value": 1}], id="the id"),
        pytest.param([{"op": "replace", "path": "/id", "value": "x"}], id="another id"),
        pytest.param([{"op": "remove", "path": "/name"}], id="a required field"),
        pytest.param([{"op": "test", "path": "/name", "value": "B"}], id="a failed test"),
        pytest.param([{"op": "add", "path": "/tags/9", "value": "x"}], id="beyond a list"),
    ],
)
def test_a_bad_json_patch_changes_nothing(people: People, ana: Any, operations: Any) -> None:
    before = stored(ana)
    answer = people.server.patch(
        f"/user/{ana.pk}/", operations, headers={"Content-Type": JSON_PATCH}
    )

    check_refused(answer, None)
    assert before == stored(ana)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/user/"), ("PUT", "/user/{}/"), ("PATCH", "/user/{}/")],
    ids=["POST", "PUT", "PATCH"],
)
@pytest.mark.parametrize("coding", ["gzip", "br", "x-unknown"])
def test_a_coding_that_is_not_read_is_told(
    people: People, ana: Any, method: str, path: str, coding: str
) -> None:
    body = gzip.compress(b'{"name": "B"}')
    headers = {"Content-Type": JSON, "Content-Encoding": coding}
    answer = people.server.request(method, path.format(ana.pk), body, headers=headers)

    assert (415, "Ana") == (answer.problem["status"], stored(ana)["name"])
    assert f"the coding '{coding}' is not read here" in answer.problem["detail"]


def test_the_coding_identity_is_none(people: People) -> None:
    headers = {"Content-Type": JSON, "Content-Encoding": "identity"}

    assert 201 == people.server.post("/user/", {"name": "A"}, headers=headers).status


@pytest.mark.parametrize(
    ("method", "status"), [("POST", 422), ("PUT", 200), ("PATCH", 200)], ids=lambda each: str(each)
)
@pytest.mark.parametrize("content_type", [None, JSON, MERGE_PATCH, FORM])
def test_an_empty_body_names_nothing(
    people: People, ana: Any, method: str, status: int, content_type: str | None
) -> None:
    readable = {"POST": (None, JSON, FORM), "PUT": (None, JSON, FORM)}
    if content_type not in readable.get(method, (None, JSON, MERGE_PATCH)):
        status = 415
    before = stored(ana)
    path = "/user/" if method == "POST" else f"/user/{ana.pk}/"
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = people.server.request(method, path, b"", headers=headers)

    assert (status, before) == (answer.status, stored(ana))


def test_of_two_members_with_one_name_the_last_one_counts(people: People) -> None:
    answer = people.server.request("POST", "/user/", '{"name": "A", "name": "B"}')

    assert (201, "B") == (answer.status, answer.json["name"])


@pytest.mark.parametrize(
    "path",
    [
        "/user/?limit=99999999999999999999",
        "/user/?page=999999999999999999999",
        "/user/?age=99999999999999999999999",
        "/user/?age__gt=NaN",
        "/user/?born=yesterday",
        "/user/?home=x",
        "/user/?name__regex=x",
        "/user/?name__contains=%00",
        "/user/?sort=" + ",".join(["age"] * 20),
        "/user/?" + "home__" * 30 + "x=1",
        "/user/?cursor=" + "A" * 8000,
        "/user/?cursor=" + "%F0%9F%98%80",
        "/user/?=1",
        "/user/?id=x&limit=%E0%A4%A",
        "/user/?age__in=1,x",
        "/user/?tags__size=-1",
        "/user/?fields=",
        "/user/?sort=",
        "/user/?__=1",
        "/user/?age__gt__gt=1",
    ],
)
def test_a_bad_query_is_a_bad_request(people: People, path: str) -> None:
    assert 400 == people.server.get(path).problem["status"]


@pytest.mark.parametrize("header", ['"', "7", '"a', "W/7", '"7" "8"', ""])
def test_a_malformed_precondition_is_a_bad_request(people: People, ana: Any, header: str) -> None:
    answer = people.server.put(f"/user/{ana.pk}/", {"age": 1}, headers={"If-Match": header})

    assert (400, 30) == (answer.problem["status"], stored(ana)["age"])


def test_refusals_write_no_stack(
    people: People, ana: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for case in BODIES:
            body, content_type, _ = case.values
            headers = {"Content-Type": content_type}
            people.server.request("PUT", f"/user/{ana.pk}/", body, headers=headers)

    assert [] == [record.getMessage() for record in caplog.records if record.exc_info]


# Beyond what Tornado itself reads


def test_a_body_beyond_the_limit_of_tornado_is_refused_by_it(people: People) -> None:
    with socket.create_connection(("127.0.0.1", people.server.port), timeout=10) as connection:
        head = f"POST /user/ HTTP/1.1\r\nHost: x\r\nContent-Length: {2**40}\r\n\r\n"
        connection.sendall(head.encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()

    assert (400, 0) == (answer.status, people.User.objects.count())


# Anything at all


NAMES = st.sampled_from(
    [
        "id", "text", "whole", "real", "price", "exact", "flag", "when", "exactly", "day", "key",
        "unique", "data", "home", "any_home", "homes", "words", "ordered", "points", "free",
        "anything", "me", "some", "number", "spot", "point", "area", "url", "email", "_cls",
        "$set", "a.b", "", "street", "model", "type", "coordinates", "_ref", "_id", "pk", "\0",
    ]
)  # fmt: skip
TEXT = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            "NaN", "Infinity", "1e400", "-0", "2024-05-01T00:00:00Z", "9999-12-31T23:59:59-23:59",
            "0001-01-01T00:00:00+23:59", "0000-00-00", "Point", "Any", "Home", "x@y.z", "AP8=",
            "http://x.y", "0" * 24, "0" * 32, "1e99999", "9" * 400, "a@[1.2.3.4", "http://[",
        ]
    ),
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(NAMES, TEXT), inner, max_size=4)
    ),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.one_of(NAMES, TEXT), VALUES, max_size=6)
POINTERS = st.lists(st.one_of(NAMES, TEXT, st.sampled_from(["0", "1", "-"])), max_size=3).map(
    lambda parts: "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
)
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"])},
        optional={"path": POINTERS, "from": POINTERS, "value": VALUES},
    ),
    max_size=4,
)
FORM_BODIES = st.lists(
    st.tuples(st.one_of(NAMES, TEXT), st.sampled_from(["", ".street", "[]", ".0", ".a"]), TEXT),
    max_size=5,
).map(lambda pairs: [(f"{name}{end}", value) for name, end, value in pairs])


@pytest.fixture(scope="module")
def anything() -> Iterator[tuple[Client, str]]:
    """A client of a model with fields of all types, and the path of one document of it."""
    mongoengine.disconnect_all()
    mongoengine.connect(
        "anything", mongo_client_class=mongomock.MongoClient, uuidRepresentation="standard"
    )
    with own_registry(), own_receivers():

        class Home(EmbeddedDocument):
            street = StringField()

        class Any_(DynamicDocument):
            meta = {"collection": "any"}
            text = StringField()
            url = URLField()
            email = EmailField()
            whole = IntField()
            real = FloatField()
            price = DecimalField()
            exact = Decimal128Field()
            flag = BooleanField()
            when = DateTimeField()
            exactly = ComplexDateTimeField()
            day = DateField()
            key = ObjectIdField()
            unique = UUIDField()
            data = BinaryField()
            home = EmbeddedDocumentField(Home)
            any_home = GenericEmbeddedDocumentField()
            homes = EmbeddedDocumentListField(Home)
            words = ListField(StringField())
            ordered = SortedListField(IntField())
            points = MapField(IntField())
            free = DictField()
            anything = DynamicField()
            me = ReferenceField("self")
            some = GenericReferenceField()
            number = SequenceField()
            spot = GeoPointField()
            point = PointField()
            area = PolygonField()

        with serving(Any_, resource_name="any") as server:
            place = server.post("/any/", {"text": "a"}).headers["Location"]
            yield server, place
    mongoengine.disconnect_all()


def check_no_failure(answer: Any) -> None:
    assert answer.status < 500, answer
    if answer.status >= 400:
        assert PROBLEM == answer.headers["Content-Type"]


@settings(max_examples=150)
@given(body=DOCUMENTS, method=st.sampled_from(["POST", "PUT", "PATCH", "PUT replace"]))
def test_no_json_is_a_failure(anything: tuple[Client, str], body: Any, method: str) -> None:
    client, place = anything
    verb, _, replace = method.partition(" ")
    path = "/any/" if verb == "POST" else place + ("?replace=true" if replace else "")
    answer = client.request(verb, path, json.dumps(body), headers={"Content-Type": JSON})

    check_no_failure(answer)
    if answer.status < 300:
        shown = answer.json
        again = client.request("PUT", path_of(shown), json=shown)
        assert (200, shown) == (again.status, again.json)


def path_of(shown: Any) -> str:
    return f"/any/{shown['id']}/"


@settings(max_examples=100)
@given(operations=OPERATIONS)
def test_no_json_patch_is_a_failure(anything: tuple[Client, str], operations: Any) -> None:
    client, place = anything
    answer = client.patch(place, operations, headers={"Content-Type": JSON_PATCH})

    check_no_failure(answer)


@settings(max_examples=100)
@given(pairs=FORM_BODIES, method=st.sampled_from(["POST", "PUT"]))
def test_no_form_is_a_failure(anything: tuple[Client, str], pairs: Any, method: str) -> None:
    client, place = anything
    answer = client.request(method, "/any/" if method == "POST" else place, form=pairs)

    check_no_failure(answer)


@settings(max_examples=100)
@given(
    body=st.binary(max_size=40),
    method=st.sampled_from(["POST", "PUT", "PATCH"]),
    content_type=st.sampled_from([JSON, FORM, MERGE_PATCH, JSON_PATCH, "", "x/y", "multipart/x"]),
)
def test_no_bytes_are_a_failure(
    anything: tuple[Client, str], body: bytes, method: str, content_type: str
) -> None:
    client, place = anything
    path = "/any/" if method == "POST" else place
    answer = client.request(method, path, body, headers={"Content-Type": content_type})

    check_no_failure(answer)


@settings(max_examples=100)
@given(
    pairs=st.lists(
        st.tuples(
            st.one_of(NAMES, TEXT, st.sampled_from(["sort", "fields", "limit", "cursor", "page"])),
            st.sampled_from(["", "__gt", "__in", "__exists", "__size", "__all", "__contains"]),
            TEXT,
        ),
        max_size=3,
    )
)
def test_no_query_is_a_failure(anything: tuple[Client, str], pairs: Any) -> None:
    client, _ = anything
    query = urlencode([(f"{name}{operator}", value) for name, operator, value in pairs])

    check_no_failure(client.get(f"/any/?{query}"))


@settings(max_examples=100)
@given(path=st.lists(st.one_of(NAMES, TEXT), max_size=4))
def test_no_path_is_a_failure(anything: tuple[Client, str], path: list[str]) -> None:
    client, _ = anything
    check_no_failure(client.get("/any/" + "/".join(quote(part, safe="") for part in path)))
