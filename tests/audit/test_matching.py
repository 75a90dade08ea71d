"""A filter means in memory what it means in the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mongoengine import get_db

from bzz.audit.asking import Asked
from bzz.audit.events import Operation
from bzz.audit.matching import matcher
from bzz.errors import BadRequest
from bzz.schema import schema_of
from bzz.values import EXACT
from tests.house import define, own_registry

with own_registry():
    SCHEMA = schema_of(define().User)

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
TIMES = st.integers(-3, 3).map(lambda number: START + timedelta(microseconds=500 * number))
NAMES = st.sampled_from(
    ["name", "tags", "home", "home.street", "home.c", "note", "a", "a.b", "a\nb", "ü", "0", "*"]
) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
WHO = st.sampled_from(["ana", "user:ana", "user", "user:", "", ":", "system", "a:b"])
PATHS = st.lists(
    st.sampled_from(["name", "tags", "home", "c", "0", "12", "a", "a\nb", "~1", "ü"])
    | NAMES.map(lambda name: name.replace("~", "~0").replace("/", "~1")),
    max_size=3,
).map(lambda tokens: "".join(f"/{token}" for token in tokens))

EVENTS = st.fixed_dictionaries(
    {
        "s": st.sampled_from(["user", "team"]),
        "v": st.integers(1, 5),
        "o": st.sampled_from("curdxbe"),
        "t": TIMES,
        "c": st.lists(st.none() | st.fixed_dictionaries({"p": PATHS, "t": st.just(1)}), max_size=3),
        "a": st.lists(WHO, min_size=1, max_size=2),
    },
    optional={"x": st.lists(PATHS, max_size=2), "k": st.sampled_from(["c-1", "c-2"])},
)
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "before": st.integers(0, 6).map(str),
        "after": st.integers(0, 6).map(str),
        "since": TIMES.map(datetime.isoformat),
        "until": TIMES.map(datetime.isoformat),
        "operation": st.lists(st.sampled_from(list(Operation)), min_size=1).map(",".join),
        "actor": WHO,
        "field": NAMES | PATHS,
    },
)
OF_FEED = st.fixed_dictionaries(
    {},
    optional={
        "s": st.sampled_from(["user", {"$in": ["team"]}, {"$in": ["team", "user"]}, {"$in": []}]),
        "k": st.sampled_from(["c-1", ""]),
    },
)


@settings(max_examples=150)
@given(events=st.lists(EVENTS, min_size=1, max_size=12), arguments=ASKED, more=OF_FEED)
def test_memory_and_database_choose_the_same_events(standing_house, events, arguments, more):
    try:
        asked = Asked.read(arguments, SCHEMA).query(SCHEMA)
    except BadRequest:
        return
    query = {"$and": [asked, more]}
    collection = get_db()["matching"].with_options(codec_options=EXACT)
    collection.delete_many({})
    collection.insert_many({**each, "_id": number} for number, each in enumerate(events))
    stored = list(collection.find())

    expected = [each["_id"] for each in collection.find(query)]
    is_wanted = matcher(query)
    assert expected == [each["_id"] for each in stored if is_wanted(each)]


@pytest.mark.parametrize("query", [{"$nor": [{"v": 1}]}, {"v": {"$mod": [2, 0]}}])
def test_what_is_not_known_is_refused(query):
    with pytest.raises(ValueError, match="is not one of events in memory"):
        matcher(query)
