"""The history of one document in code: its events, its states by version and by time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from mongoengine import get_db

from bzz.audit.errors import DocumentDeleted, ReplayError, StreamGap, UnknownVersion
from bzz.errors import BadRequest, Conflict, Gone, NotFound
from bzz.source import Source
from bzz.values import ABSENT
from tests.house import built

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Clock:
    """Tells one minute after noon for version 1, two for version 2 …; sent back at will."""

    def __init__(self):
        self.minutes = [1, 2, 3, 4]

    def __call__(self):
        return NOON + timedelta(minutes=self.minutes.pop(0))


@pytest.fixture
def house(database):
    with built(clock=Clock()) as house:
        house.track(house.User)
        yield house


@pytest.fixture
def history(house):
    """Versions 1 (Ana), 2 (Bea), 3 (deleted), 4 (Cleo)."""
    user = house.make(name="Ana")
    house.write(lambda: house.User.objects.get().modify(name="Bea"))
    house.write(lambda: house.User.objects.get().delete())
    house.write(lambda: house.User(pk=user.pk, name="Cleo").save(force_insert=True))
    return house.auditor.history(house.User, user.pk)


def break_at(version):
    get_db()["bzz_history"].delete_one({"v": version})


def test_the_versions_come_in_order(history):
    assert [1, 2, 3, 4] == [event.version for event in history.versions()]


def test_the_versions_come_newest_first_and_limited(history):
    assert [4, 3] == [event.version for event in history.versions(newest_first=True, limit=2)]


def test_one_event_is_found_by_its_version(history):
    assert "updated" == history.event(2).operation


@pytest.mark.parametrize("version", [0, -1, 5, 2**63, 2**80, -(2**80)], ids=str)
def test_an_event_that_never_was_is_unknown(history, version):
    with pytest.raises(UnknownVersion, match=f"has no version {version}; its last version is 4."):
        history.event(version)


def test_the_last_version_is_told(history):
    assert 4 == history.last_version()


def test_a_document_without_history_has_version_zero(house):
    history = house.auditor.history(house.User, house.User(name="x").save().pk)

    assert (0, [], None) == (history.last_version(), list(history.versions()), history.last_state())
    with pytest.raises(UnknownVersion, match="has no version 1; it has no history."):
        history.state_at(1)


def test_a_history_is_found_by_the_text_of_its_id(history, house):
    assert 4 == house.auditor.history(house.User, str(history.document_id)).last_version()


@pytest.mark.parametrize(("version", "name"), [(1, "Ana"), (2, "Bea"), (4, "Cleo")])
def test_the_state_at_a_version_is_as_stored(history, version, name):
    expected = {"_id": history.document_id, "name": name, "tags": []}
    assert expected == history.state_at(version)


@pytest.mark.parametrize(
    ("minute", "name"),
    [
        pytest.param(1, "Ana", id="the very moment"),
        pytest.param(1.5, "Ana", id="between"),
        pytest.param(2, "Bea", id="the next moment"),
        pytest.param(60, "Cleo", id="later"),
    ],
)
def test_the_state_at_a_time_is_the_one_after_the_last_event_not_later(history, minute, name):
    assert name == history.state_at(NOON + timedelta(minutes=minute))["name"]


def test_a_time_may_have_any_offset(history):
    east = timezone(timedelta(hours=9))

    assert "Bea" == history.state_at((NOON + timedelta(minutes=2)).astimezone(east))["name"]


def test_a_clock_that_goes_back_does_not_change_the_order(database):
    clock = Clock()
    clock.minutes = [5, 3, 4]
    with built(clock=clock) as house:
        house.track(house.User)
        user = house.make(name="Ana")
        house.write(lambda: house.User.objects.get().modify(name="Bea"))
        house.write(lambda: house.User.objects.get().modify(name="Cleo"))
        history = house.auditor.history(house.User, user.pk)

        # At minute 3.5 the last event that is not later is version 2, whatever 1 says.
        assert "Bea" == history.state_at(NOON + timedelta(minutes=3.5))["name"]
        assert ["Ana", "Bea", "Cleo"] == [history.state_at(v)["name"] for v in (1, 2, 3)]


def test_the_state_after_a_delete_is_none(history):
    with pytest.raises(DocumentDeleted, match="the last state before it is that of version 2."):
        history.state_at(3)
    with pytest.raises(DocumentDeleted):
        history.state_at(NOON + timedelta(minutes=3))


def test_a_time_before_the_first_event_is_not_known(history):
    with pytest.raises(NotFound, match="was not known yet at 2026-05-01T12:00:00.000Z."):
        history.state_at(NOON)


def told(changes):
    return [(change.path, change.from_, change.to) for change in changes]


@pytest.mark.parametrize(
    ("from_", "to", "expected"),
    [
        pytest.param(1, 2, [(("name",), "Ana", "Bea")], id="forwards"),
        pytest.param(2, 1, [(("name",), "Bea", "Ana")], id="backwards"),
        pytest.param(1, 4, [(("name",), "Ana", "Cleo")], id="over a delete"),
        pytest.param(2, 2, [], id="the same"),
        pytest.param(2, 3, [(("name",), "Bea", ABSENT), (("tags",), [], ABSENT)], id="deleted"),
        pytest.param(3, 4, [(("name",), ABSENT, "Cleo"), (("tags",), ABSENT, [])], id="again"),
        pytest.param(0, 1, [(("name",), ABSENT, "Ana"), (("tags",), ABSENT, [])], id="created"),
        pytest.param(0, 3, [], id="nothing and nothing"),
    ],
)
def test_two_states_are_compared(history, from_, to, expected):
    assert expected == told(history.changes(from_, to))


def test_states_at_times_are_compared(history):
    times = (NOON + timedelta(minutes=minute) for minute in (1.5, 2.5))

    assert [(("name",), "Ana", "Bea")] == told(history.changes(*times))


@pytest.mark.parametrize("version", [5, -1, 2**63, 2**80])
def test_a_version_that_never_was_is_not_compared(history, version):
    for pair in ((1, version), (version, 1), (version, version)):
        with pytest.raises(UnknownVersion, match=f"has no version {version}"):
            history.changes(*pair)


def test_versions_around_a_gap_are_not_compared(history):
    break_at(2)

    for pair in ((1, 4), (2, 4), (1, 2)):
        with pytest.raises(StreamGap, match="Version 2"):
            history.changes(*pair)


def test_a_walk_shows_each_event_with_the_states_around_it(history):
    steps = list(history.walk(2, 4))

    assert [2, 3, 4] == [step.event.version for step in steps]
    assert ["Ana", "Bea", None] == [step.before and step.before["name"] for step in steps]
    assert ["Bea", None, "Cleo"] == [step.after and step.after["name"] for step in steps]


def test_a_walk_goes_from_the_first_event_to_the_last(history):
    assert [1, 2, 3, 4] == [step.event.version for step in history.walk()]
    assert [] == list(history.walk(5))


def test_blame_tells_what_set_each_value(history):
    assert {("name",): 4, ("tags",): 4} == {each.path: each.version for each in history.blame()}


def test_blame_of_a_document_that_a_writer_has_just_changed_is_of_the_event_before(
    history, monkeypatch
):
    last, find_one = history.last_version, Source.find_one

    def found(self, session, query):
        # Between the look at the events and that at the document.
        document = find_one(self, session, query)
        if last() == 4 and document is not None:
            history._auditor._clock.minutes.append(5)
            monkeypatch.setattr(Source, "find_one", find_one)
            history._auditor.write(lambda: history._tracked.model.objects.get().modify(name="Dora"))
            return find_one(self, session, query)
        return document

    monkeypatch.setattr(Source, "find_one", found)
    version, blames = history.blamed()

    assert (4, {4}) == (version, {each.version for each in blames})


@pytest.mark.parametrize("deleted", [True, False])
def test_a_document_that_is_not_there_has_no_blame(house, history, deleted):
    house.auditor._clock.minutes.append(5)
    if deleted:
        house.write(lambda: house.User.objects.get().delete())
    else:
        get_db()["user"].delete_one({})

    with pytest.raises(DocumentDeleted if deleted else Gone):
        history.blame()


def test_a_document_that_never_was_has_no_blame(house):
    with pytest.raises(UnknownVersion, match="it has no history"):
        house.auditor.history(house.User, "0" * 24).blame()


def test_the_last_state_outlives_a_delete(history, house):
    house.auditor._clock.minutes.append(5)
    house.write(lambda: house.User.objects.get().delete())

    assert "Cleo" == history.last_state()["name"]


@pytest.mark.parametrize("version", [2, 4])
def test_a_state_behind_a_gap_is_not_told(history, version):
    break_at(2)

    with pytest.raises(StreamGap, match="Version 2 of .* is missing from the history"):
        history.state_at(version)


def test_an_event_that_is_missing_is_a_gap(history):
    break_at(2)

    with pytest.raises(StreamGap, match="Version 2"):
        history.event(2)


def test_a_state_before_a_gap_is_told(history):
    break_at(4)

    assert "Bea" == history.state_at(2)["name"]


def test_an_altered_event_is_noticed(history):
    get_db()["bzz_history"].update_one({"v": 1}, {"$set": {"c.0.t": "Eve", "c.1.t": "Eve"}})

    with pytest.raises(ReplayError, match="an event before it is missing or was altered"):
        history.state_at(2)


@pytest.mark.parametrize(
    ("at", "version"),
    [
        ("1", 1),
        ("2026-05-01T12:02:30Z", 2),
        ("2026-05-01 12:04", 4),
        ("2026-05-01T14:01:00+02:00", 1),
    ],
)
def test_the_past_is_read_by_version_or_time(history, at, version):
    past = history.past(at)

    assert (version, history.state_at(version)) == (past.version, past.state)
    assert NOON + timedelta(minutes=version) == past.time


@pytest.mark.parametrize(
    ("at", "error"),
    [
        ("3", Gone),
        ("2026-05-01T12:03:30Z", Gone),
        ("0", NotFound),
        ("9" * 40, NotFound),
        ("2026-05-01T11:00:00Z", NotFound),
        ("soon", BadRequest),
        ("", BadRequest),
    ],
)
def test_a_past_that_is_not_there_is_an_error(history, at, error):
    with pytest.raises(error):
        history.past(at)


def test_the_past_of_a_broken_history_is_a_conflict(history):
    break_at(2)

    with pytest.raises(Conflict, match="is missing from the history"):
        history.past("4")
