"""Each kind of tampering with the stored history, found and named by a verification."""

from __future__ import annotations

import pytest
from bson import Binary, Int64, ObjectId
from mongoengine import get_db

from bzz.audit.trail import ProblemKind


@pytest.fixture
def users(house):
    """Three documents of three versions each, their events numbered in batches of three."""
    users = [house.make(name=f"u{number}", age=0) for number in range(3)]
    house.auditor.sequence()
    for age in (1, 2):
        for user in users:
            house.write(lambda: house.User.objects(pk=user.pk).update(age=age))
        house.auditor.sequence()
    return users


def history():
    return get_db().bzz_history


def told(house, user):
    """The kinds and versions of what is wrong with a document's history."""
    report = house.auditor.history(house.User, user.pk).verify()
    return [(each.kind.value, each.version) for each in report.problems]


def on_log(house):
    """What is wrong with the log as a whole."""
    reports = [each for each in house.auditor.verify() if each.of_log]
    return [(each.kind.value, each.detail) for report in reports for each in report.problems]


def test_a_history_that_nobody_touched_is_whole(house, users):
    counts = house.auditor.verify().run()

    assert counts.ok
    assert (3, 9, 0) == (counts.documents, counts.versions, counts.broken)


@pytest.mark.parametrize(
    "change",
    [
        {"a": ["user", "mallory"]},
        {"w": "a reason that nobody gave"},
        {"k": "another"},
        {"q": {"m": "PUT", "p": "/", "a": None}},
        {"t": __import__("datetime").datetime(2020, 1, 1)},
        {"o": "r", "r": 1},
        {"b": ObjectId()},
        {"z": Binary(b"0" * 16)},
        {"x": ["/pin"]},
        {"p": Int64(4711)},
        {"p": 5.5},
        {"more": 1},
    ],
    ids=lambda change: "".join(change),
)
def test_an_event_that_was_changed_is_named(house, users, change):
    history().update_one({"d": users[1].pk, "v": 2}, {"$set": change})

    assert [2] == [version for _, version in told(house, users[1])]
    assert [] == told(house, users[0])
    assert 1 == len([each for each in house.auditor.verify(house.User) if not each.ok])


def test_a_value_that_was_changed_is_named_once(house, users):
    history().update_one({"d": users[1].pk, "v": 2}, {"$set": {"c.0.t": 99}})

    assert [("altered", 2)] == [each for each in told(house, users[1]) if each[1] == 2]


def test_events_that_changed_places_are_named(house, users):
    one, other = ({"d": user.pk, "v": 2} for user in users[:2])
    places = [history().find_one(each)["p"] for each in (one, other)]
    history().update_one(one, {"$set": {"p": Int64(-1)}})
    history().update_one(other, {"$set": {"p": places[0]}})
    history().update_one(one, {"$set": {"p": places[1]}})

    assert [("altered", 2)] == told(house, users[0]) == told(house, users[1])


def test_an_event_that_was_put_behind_the_last_one_is_named(house, users):
    stored = history().find_one({"d": users[0].pk, "v": 3})
    more = {**stored, "_id": ObjectId(), "v": 4, "p": Int64(10), "c": []}
    history().insert_one(more)

    assert [("unsealed", 4)] == told(house, users[0])


def test_an_event_that_lost_its_position_and_got_another_is_named(house, users):
    history().update_one({"d": users[0].pk, "v": 2}, {"$set": {"p": Int64(0)}})
    house.auditor.sequence()

    assert [("misplaced", 3)] == told(house, users[0])
    expected = "Position 4 has no event any more. Bring it back from a backup."
    assert [("removed", expected)] == on_log(house)


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([5], "Position 5 has no event any more. Bring it back from a backup."),
        ([5, 6, 7], "Positions 5 to 7 have no event any more. Bring it back from a backup."),
        ([9], "Position 9 has no event any more. Bring it back from a backup."),
    ],
)
def test_events_that_were_removed_are_named(house, users, positions, expected):
    history().delete_many({"p": {"$in": positions}})

    assert [("removed", expected)] == on_log(house)


def test_the_last_events_that_were_removed_with_their_seal_are_named(house, users):
    history().delete_many({"p": {"$gt": 6}})
    get_db().bzz_seals.delete_one({"_id": 9})

    assert [
        ("chain", "Positions 7 to 9 have no seal: it was removed."),
        ("removed", "Positions 7 to 9 have no event any more. Bring it back from a backup."),
    ] == on_log(house)


def test_a_seal_that_was_removed_in_the_middle_is_named(house, users):
    get_db().bzz_seals.delete_one({"_id": 6})

    assert [("chain", "Positions 4 to 6 have no seal: it was removed.")] == on_log(house)


def test_a_seal_that_was_made_to_fit_an_altered_event_is_named(house, users):
    seal = get_db().bzz_seals.find_one({"_id": 6})
    get_db().bzz_seals.update_one({"_id": 6}, {"$set": {"l": Binary(bytes(len(seal["l"])))}})

    assert [("chain", "Positions 4 to 6 have a seal that was altered.")] == on_log(house)
    assert [("altered", 2)] == told(house, users[0])


def test_a_chain_that_was_made_anew_does_not_fit_the_head(house, users):
    get_db().bzz_positions.update_one({"_id": "head"}, {"$set": {"d": Binary(bytes(32))}})

    assert [("chain", "Position 9 has another seal than it was given.")] == on_log(house)


def test_a_head_that_was_set_back_is_named(house, users):
    seal = get_db().bzz_seals.find_one({"_id": 6})
    set_back = {"p": Int64(6), "d": seal["d"]}
    get_db().bzz_positions.update_one({"_id": "head"}, {"$set": set_back})

    told = "Positions 7 to 9 have a seal, and the head stops before: it was altered."
    assert [("chain", told)] == on_log(house)


def test_a_head_that_was_set_forward_is_named(house, users):
    get_db().bzz_positions.update_one({"_id": "head"}, {"$set": {"p": Int64(12)}})

    assert [
        ("chain", "Positions 10 to 12 have no seal: it was removed."),
        ("removed", "Positions 10 to 12 have no event any more. Bring it back from a backup."),
    ] == on_log(house)


def test_two_seals_that_changed_places_are_named(house, users):
    seals = get_db().bzz_seals
    one, other = (seals.find_one({"_id": each}) for each in (3, 6))
    for place, seal in ((3, other), (6, one)):
        seals.update_one({"_id": place}, {"$set": {"l": seal["l"], "d": seal["d"]}})

    assert ("chain", "Positions 1 to 3 have a seal that was altered.") in on_log(house)
    assert [("altered", 1), ("altered", 2)] == told(house, users[0])


def test_the_newest_events_that_were_removed_with_seal_and_head_leave_their_documents(house, users):
    """Nothing of the log tells of them, so that the last seal is kept at another place."""
    seal = get_db().bzz_seals.find_one({"_id": 6})
    history().delete_many({"p": {"$gt": 6}})
    get_db().bzz_seals.delete_one({"_id": 9})
    before = {"p": Int64(6), "d": seal["d"]}
    get_db().bzz_positions.update_one({"_id": "head"}, {"$set": before})

    assert [] == on_log(house)
    assert 3 == house.auditor.verify().run().different


def test_the_log_counts_as_broken_and_as_no_document(house, users):
    history().delete_one({"p": 9})
    counts = house.auditor.verify().run()

    assert not counts.ok
    assert 3 == counts.documents


def test_events_without_a_position_have_nothing_to_be_compared_with(house):
    user = house.make(name="Ana")

    assert [] == told(house, user)
    assert {"unsealed", "misplaced", "removed", "chain"} <= {each.value for each in ProblemKind}
