"""Who writes and why, read from an application's answers and from a request's headers."""

from __future__ import annotations

import pytest

from bzz.audit.context import (
    LONGEST_CORRELATION,
    LONGEST_REASON,
    checked_reason,
    correlation_from,
    header_text,
    reason_from,
)
from bzz.audit.errors import ContextError


def as_sent(text):
    """How a server reads a header that was sent as UTF-8."""
    return text.encode().decode("latin-1")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("refund", "refund", id="ascii"),
        pytest.param(as_sent("Grüße an Zoë"), "Grüße an Zoë", id="utf-8"),
        pytest.param(as_sent("返金 🐝"), "返金 🐝", id="utf-8 of any script"),
        pytest.param("Grüße", "Grüße", id="latin-1"),
        pytest.param("返金", "返金", id="not from a header"),
        pytest.param("%E8%BF%94%E9%87%91", "返金", id="percent-encoded"),
        pytest.param("a%20b%2fc", "a b/c", id="percent-encoded ascii"),
        pytest.param("100% sure", "100% sure", id="a percent sign"),
        pytest.param("50%ff", "50%ff", id="no utf-8 behind the percent sign"),
        pytest.param("a+b", "a+b", id="a plus is a plus"),
        pytest.param(as_sent("ü") + "%C3%BC", "üü", id="both"),
        pytest.param("", "", id="empty"),
    ],
)
def test_a_header_is_read_as_it_was_meant(value, expected):
    assert expected == header_text(value)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"X-Audit-Reason": ""}, None, id="empty"),
        pytest.param({"X-Audit-Reason": "  "}, None, id="spaces"),
        pytest.param({"X-Audit-Reason": " why "}, "why", id="trimmed"),
        pytest.param({"X-Audit-Reason": as_sent("für Zoë")}, "für Zoë", id="utf-8"),
        pytest.param({"X-Audit-Reason": "x" * LONGEST_REASON}, "x" * LONGEST_REASON, id="longest"),
    ],
)
def test_the_reason_is_that_of_the_header(headers, expected):
    assert expected == reason_from(headers)


def test_a_reason_that_is_too_long_is_refused():
    with pytest.raises(ContextError) as caught:
        reason_from({"X-Audit-Reason": "x" * (LONGEST_REASON + 1)})

    assert "The reason has 4097 characters; at most 4096 are kept." == str(caught.value)


def test_characters_are_counted_not_bytes():
    assert "返" * LONGEST_REASON == checked_reason("返" * LONGEST_REASON)


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({"X-Correlation-Id": "a"}, "a", id="correlation id"),
        pytest.param({"X-Correlation-Id": as_sent("ü")}, "ü", id="utf-8"),
        pytest.param({"traceparent": TRACEPARENT}, TRACE, id="traceparent"),
        pytest.param({"traceparent": f" {TRACEPARENT} "}, TRACE, id="traceparent with spaces"),
        pytest.param({"traceparent": f"cc-{TRACE}-00f067aa0ba902b7-01-x"}, TRACE, id="later"),
        pytest.param({"X-Request-ID": "r"}, "r", id="request id"),
        pytest.param(
            {"X-Correlation-Id": "a", "traceparent": TRACEPARENT, "X-Request-ID": "r"},
            "a",
            id="the first wins",
        ),
        pytest.param({"traceparent": TRACEPARENT, "X-Request-ID": "r"}, TRACE, id="the second"),
        pytest.param({"traceparent": "nonsense", "X-Request-ID": "r"}, "r", id="bad traceparent"),
        pytest.param(
            {"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01", "X-Request-ID": "r"},
            "r",
            id="no trace",
        ),
        pytest.param(
            {"traceparent": f"ff-{TRACE}-00f067aa0ba902b7-01", "X-Request-ID": "r"},
            "r",
            id="no version",
        ),
        pytest.param({"X-Correlation-Id": " ", "X-Request-ID": "r"}, "r", id="an empty one"),
    ],
)
def test_the_correlation_is_the_first_that_is_there(headers, expected):
    assert expected == correlation_from(headers)


def test_without_one_the_correlation_is_new():
    assert correlation_from({}) != correlation_from({})


@pytest.mark.parametrize("name", ["X-Correlation-Id", "X-Request-ID"])
def test_a_correlation_that_is_too_long_is_refused(name):
    with pytest.raises(ContextError) as caught:
        correlation_from({name: "x" * (LONGEST_CORRELATION + 1)})

    assert f"{name} has 257 characters; at most 256 are kept." == str(caught.value)
