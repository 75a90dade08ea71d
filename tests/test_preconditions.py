"""If-Match and If-None-Match: what they say, and when they hold."""

from __future__ import annotations

import pytest

from bzz.errors import BadRequest, PreconditionFailed, PreconditionRequired
from bzz.preconditions import Precondition, etag, none_match, parse_if_match, require


def test_a_tag_is_the_version_in_quotes() -> None:
    assert '"7"' == etag(7)


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        pytest.param('"7"', {7}, id="one"),
        pytest.param('"7", "8"', {7, 8}, id="several"),
        pytest.param('"7","8"', {7, 8}, id="without a space"),
        pytest.param(' "7" ', {7}, id="with spaces around"),
        pytest.param('W/"7"', {7}, id="weak"),
        pytest.param('"7-gzip"', {7}, id="as a proxy compressed it"),
        pytest.param('W/"7-br"', {7}, id="weak and compressed"),
        pytest.param('"0"', {0}, id="no history yet"),
        pytest.param('"x"', set(), id="well-formed and not ours"),
        pytest.param('""', set(), id="an empty tag"),
        pytest.param('"7;8"', set(), id="something in a tag"),
        pytest.param('"' + "9" * 30 + '"', set(), id="no version is that large"),
        pytest.param('"x", "7"', {7}, id="one of them ours"),
    ],
)
def test_the_versions_that_if_match_names(header: str, versions: set[int]) -> None:
    assert Precondition(frozenset(versions)) == parse_if_match(header)


def test_a_star_is_any_version() -> None:
    assert Precondition(frozenset(), any=True) == parse_if_match(" * ")


def test_without_the_header_there_is_no_precondition() -> None:
    assert parse_if_match(None) is None


@pytest.mark.parametrize("header", ["7", '"7', "W/7", '"7" "8"', "*, *", 'w/"7"', '"7",,', "", " "])
@pytest.mark.parametrize("read", [parse_if_match, lambda header: none_match(header, 7)])
def test_a_malformed_header_is_refused(header: str, read: object) -> None:
    with pytest.raises(BadRequest, match="If-Match|If-None-Match"):
        read(header)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("header", "current"),
    [
        pytest.param('"7"', 7, id="the version"),
        pytest.param('"6", "7"', 7, id="one of several"),
        pytest.param("*", 7, id="any"),
        pytest.param("*", None, id="any, of a document without a known version"),
        pytest.param('"0"', 0, id="no history yet"),
    ],
)
def test_a_precondition_holds(header: str, current: int | None) -> None:
    precondition = parse_if_match(header)
    assert precondition is not None

    precondition.check(current, what="User 1")


@pytest.mark.parametrize(
    ("header", "current", "message"),
    [
        pytest.param(
            '"7"', 8, "User 1 has version 8, and If-Match asked for 7. Read it again.", id="another"
        ),
        pytest.param(
            '"9", "10"',
            8,
            "User 1 has version 8, and If-Match asked for 9 or 10. Read it again.",
            id="others",
        ),
        pytest.param(
            '"x"',
            8,
            "User 1 has version 8, and If-Match asked for no known version. Read it again.",
            id="not ours",
        ),
        pytest.param(
            '"7"',
            None,
            "User 1 has no version of its own, and If-Match asked for 7. Read it again.",
            id="no known version",
        ),
    ],
)
def test_a_precondition_fails_with_what_is_there(
    header: str, current: int | None, message: str
) -> None:
    precondition = parse_if_match(header)
    assert precondition is not None
    with pytest.raises(PreconditionFailed) as failed:
        precondition.check(current, what="User 1")

    assert (message, current) == (str(failed.value), failed.value.current)


@pytest.mark.parametrize(
    ("header", "version", "expected"),
    [
        pytest.param(None, 7, False, id="no header"),
        pytest.param('"7"', 7, True, id="the version"),
        pytest.param('W/"6", W/"7"', 7, True, id="one of several"),
        pytest.param('"6"', 7, False, id="another"),
        pytest.param("*", 7, True, id="any"),
        pytest.param('"7"', None, False, id="no known version"),
    ],
)
def test_if_none_match(header: str | None, version: int | None, expected: bool) -> None:
    assert expected is none_match(header, version)


@pytest.mark.parametrize(
    ("header", "variant", "expected"),
    [
        pytest.param('"7-text"', "text", True, id="the same format"),
        pytest.param('"7-text-gzip"', "text", True, id="packed on the way"),
        pytest.param('"7"', "text", False, id="as JSON"),
        pytest.param('"7-text"', "", False, id="as text"),
        pytest.param('"7-patch"', "text", False, id="as a patch"),
        pytest.param('"7-gzip"', "", True, id="packed JSON"),
    ],
)
def test_if_none_match_tells_formats_apart(header: str, variant: str, expected: bool) -> None:
    assert expected is none_match(header, 7, variant)


def test_the_tag_of_another_format_says_which() -> None:
    assert ('"7"', '"7-text"') == (etag(7), etag(7, "text"))


def test_if_match_takes_the_tag_of_any_format() -> None:
    assert Precondition(frozenset({7})) == parse_if_match('"7-text"')


def test_a_precondition_may_be_required() -> None:
    with pytest.raises(PreconditionRequired, match='such as If-Match: "7"'):
        require(None)


def test_a_required_precondition_that_is_there_is_enough() -> None:
    require(Precondition(frozenset({7})))
