"""JSON text in and out."""

from __future__ import annotations

from typing import Any

import pytest

from bzz.jsontext import MAX_DEPTH, dumps, loads, pretty


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, 1.0, "\\u00e9", null, true]}', {"a": [1, 1.0, "é", None, True]}),
        (b"\xef\xbb\xbf{}", {}),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"18446744073709551616", 2**64),
        (b'"\\ud83d\\udc1d \\u0000"', "🐝 \0"),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b" [] ", []),
    ],
)
def test_text_is_read_exactly(text: bytes, value: Any) -> None:
    read = loads(text)

    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize("text", [b"1.0", b"1e2", b"-0.0"])
def test_a_number_with_a_fraction_or_exponent_is_a_float(text: bytes) -> None:
    assert isinstance(loads(text), float)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "it is empty"),
        (b"  ", "it is empty"),
        (b'{"a":', "ends too early, at byte 5"),
        (b"NaN", "invalid character"),
        (b"[-Infinity]", "invalid"),
        (b"1e400", "out of range"),
        (b"1" * 5000, "out of range"),
        (b'"\\ud800 "', "not valid JSON"),
        (b'["\\udc00aaaaaaaaaaaaaa"]', "surrogate"),
        (b'"\xff"', "0xff"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b"{'a': 1}", "at byte 1"),
        (b"[1] 2", "at byte 5"),
        (b"[" * 200 + b"]" * 200, "nested too deep"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "nested too deep"),
    ],
)
def test_what_is_not_json_is_refused_with_a_reason(text: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        loads(text)


def test_the_greatest_depth_is_read() -> None:
    assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert 1000 == len(loads(b"[" + b",".join([b"{}"] * 1000) + b"]"))


def test_values_are_written_compactly_in_utf8() -> None:
    assert '{"a":[1,1.0,"é",null]}'.encode() == dumps({"a": [1, 1.0, "é", None]})


def test_a_type_that_json_lacks_is_refused() -> None:
    with pytest.raises(TypeError):
        dumps({"a": object()})


def test_text_for_people_is_indented() -> None:
    assert '{\n  "a": 1\n}' == pretty({"a": 1})
