"""Which format an Accept header asks for."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzz.negotiation import preferred

OFFERS = ("application/json", "application/json-patch+json", "text/plain")
JSON, PATCH, TEXT = OFFERS


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param(None, JSON, id="no header"),
        pytest.param("", JSON, id="empty"),
        pytest.param("*/*", JSON, id="anything"),
        pytest.param("text/plain", TEXT, id="one"),
        pytest.param("TEXT/Plain", TEXT, id="in capitals"),
        pytest.param("text/*", TEXT, id="a kind"),
        pytest.param("application/*", JSON, id="a kind with two offers"),
        pytest.param("text/plain, */*", TEXT, id="the one that is named"),
        pytest.param("application/json, text/plain, */*", JSON, id="the first of two named"),
        pytest.param("text/plain;q=0.5, application/json-patch+json", PATCH, id="quality"),
        pytest.param("application/json;q=0, */*", PATCH, id="all but one"),
        pytest.param("text/*;q=0.9, text/plain;q=0.1, */*;q=0.2", JSON, id="precise counts"),
        pytest.param("text/plain;q=1.000, */*;q=0.001", TEXT, id="three digits"),
        pytest.param("text/plain ; q=0.7 , application/json ; q=0.6", TEXT, id="blanks"),
        pytest.param('x/y;z=",", text/plain', TEXT, id="a quoted comma"),
        pytest.param("text/plain;format=flowed, */*;q=0.1", JSON, id="an unknown parameter"),
        pytest.param("image/png", JSON, id="none of the offers"),
        pytest.param("application/json;q=0", JSON, id="nothing at all"),
        pytest.param("text/plain;q=2, application/json-patch+json;q=0.1", PATCH, id="no quality"),
        pytest.param("nonsense, */plain, ;;, text/plain;q=0.3", TEXT, id="what cannot be read"),
        pytest.param('text/plain;a="', JSON, id="an open quote"),
    ],
)
def test_the_format_is_the_one_that_is_wanted_most(accept, expected):
    assert expected == preferred(accept, OFFERS)


def test_a_parameter_of_an_offer_may_be_asked_for():
    offers = ("application/json", "text/plain; charset=UTF-8")

    assert offers[1] == preferred('text/plain;charset="utf-8"', offers)


@given(st.text(st.sampled_from('aextplin/*;q=0.15,"\\ '), max_size=40) | st.text(max_size=40))
def test_any_header_gets_one_of_the_offers(accept):
    assert preferred(accept, OFFERS) in OFFERS


@pytest.mark.parametrize("part", [",", '",', ";", "a/b,", '"', "*/*;q=0.1,"])
def test_a_long_header_is_read_in_linear_time(part):
    start = time.process_time()
    preferred(part * (64_000 // len(part)), OFFERS)

    assert time.process_time() - start < 2
