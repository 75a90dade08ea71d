"""Bodies of requests: JSON and forms."""

from __future__ import annotations

import pytest

from bzz.body import FORM, JSON, JSON_PATCH, MERGE_PATCH, read_body
from bzz.errors import BadRequest, UnsupportedMedia


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=UTF-8",
        'application/json;charset="utf-8"; charset=utf8',
        "application/vnd.example+json",
        "",
        None,
    ],
)
def test_json_is_read(content_type: str | None) -> None:
    body = read_body(content_type, b' {"a": [1]}')

    assert ({"a": [1]}, False) == (body.values, body.form)


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded; charset=utf-8", None])
def test_a_form_is_read(content_type: str | None) -> None:
    body = read_body(content_type, b"name=Bernardo%20Heynemann&note=+a%2Bb+&empty=&flag")

    assert {"name": "Bernardo Heynemann", "note": " a+b ", "empty": "", "flag": ""} == body.values
    assert body.form


def test_repeated_keys_and_brackets_are_lists() -> None:
    body = read_body(FORM, b"a=1&a=2&b[]=3&c%5B%5D=4&c[]=5")

    assert {"a": ["1", "2"], "b": ["3"], "c": ["4", "5"]} == body.values


def test_dotted_keys_are_paths() -> None:
    body = read_body(FORM, b"name=x&address.street=s&address.town.name=t&address.tags[]=u")

    assert {"name": "x"} == body.values
    assert {
        ("address", "street"): "s",
        ("address", "town", "name"): "t",
        ("address", "tags"): ["u"],
    } == body.paths
    assert {
        "name": "x",
        "address": {"street": "s", "town": {"name": "t"}, "tags": ["u"]},
    } == body.nested()


def test_nesting_leaves_the_body_as_it_is() -> None:
    body = read_body(FORM, b"a=1&b.c=2")

    assert body.nested() == body.nested()
    assert {"a": "1"} == body.values


@pytest.mark.parametrize("content_type", [None, "", JSON, FORM])
def test_an_empty_body_has_no_values(content_type: str | None) -> None:
    assert {} == read_body(content_type, b"").values


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b"{"),
        (JSON, b"a=1"),
        (JSON, b'{"a": NaN}'),
        (JSON, b'{"a": "\xff"}'),
        (JSON, b"[" * 5000),
        (None, b"{'a': 1}"),
        (FORM, b"a=%ff"),
        (FORM, b"a\xff=1"),
        (FORM, b"=1"),
        (FORM, b"a=1&a.b=2"),
        (FORM, b"a.b=1&a.b.c=2"),
        (FORM, b"a=1&a[]=2"),
        (FORM, b"a..b=1"),
        (FORM, b".a=1"),
        (FORM, b"a" + b".a" * 200 + b"=1"),
    ],
)
def test_a_malformed_body_is_refused(content_type: str | None, body: bytes) -> None:
    with pytest.raises(BadRequest):
        read_body(content_type, body)


def test_the_place_of_a_fault_is_named() -> None:
    with pytest.raises(BadRequest, match="byte 6"):
        read_body(FORM, b"a=1&b=%ff")
    with pytest.raises(BadRequest, match="at byte 6"):
        read_body(JSON, b'{"a": x}')


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "multipart/form-data; boundary=x",
        JSON_PATCH,
        "application/json; charset=utf-16",
    ],
)
def test_another_type_or_charset_is_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedMedia) as error:
        read_body(content_type, b"{}")

    assert (JSON, FORM) == error.value.accepted


def test_patches_are_read_where_they_are_accepted() -> None:
    accepted = (MERGE_PATCH, JSON, JSON_PATCH)

    assert JSON_PATCH == read_body(JSON_PATCH, b"[]", accepted=accepted).media_type
    with pytest.raises(UnsupportedMedia, match="json-patch"):
        read_body(FORM, b"a=1", accepted=accepted)
