"""Rebuild: stored documents become what their histories say, without an event or a signal."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import mongoengine
import pytest
from bson import Int64, ObjectId
from hypothesis import given, settings
from mongoengine import Document, StringField, get_db
from mongoengine.errors import NotUniqueError

from bzz.audit import Auditor, Change
from bzz.audit.errors import EventAltered, ReplayError, StreamGap, TargetNotEmpty, UnknownVersion
from bzz.errors import BzzError, PreconditionFailed, SetupError
from bzz.signals import before_commit, post_update_instance
from bzz.values import ABSENT, EXACT, same
from tests import bson_values
from tests.house import own_registry, raw, stored


def history_of(house, user):
    return house.auditor.history(type(user), user.pk)


def exact(collection, key):
    return get_db()[collection].with_options(codec_options=EXACT).find_one({"_id": key})


def forget(key):
    """The database of all examples is one."""
    for name, member in (("user", "_id"), ("bzz_history", "d")):
        get_db()[name].delete_many({member: key})


@pytest.fixture
def user(house):
    """A user of two versions: Ana, Bea."""
    user = house.make(name="Ana", age=30)
    house.write(lambda: house.User.objects(pk=user.pk).update(name="Bea"))
    return user


# One document


def test_a_document_becomes_what_its_last_event_says_and_the_report_what_it_was(house, user):
    before = stored(user)
    raw(house.User).update_one(
        {"_id": user.pk}, {"$set": {"name": "Eve", "age": Int64(30), "more": 1}}
    )
    report = history_of(house, user).rebuild()

    assert (True, True, 2) == (report.ok, report.rebuilt, report.versions)
    assert (
        Change(("name",), "Bea", "Eve"),
        Change(("age",), 30, Int64(30)),
        Change(("more",), ABSENT, 1),
    ) == report.differences
    assert same(before, stored(user))


def test_a_rebuild_makes_no_event_and_sends_no_signal(house, user):
    heard = []
    for signal in (post_update_instance, before_commit):
        signal.connect(lambda sender, **rest: heard.append(sender), weak=False)
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"name": "Eve"}})
    history_of(house, user).rebuild()

    assert (["created", "updated"], []) == (house.told(user), heard)
    house.write(lambda: house.User.objects(pk=user.pk).update(age=31))
    assert ["created", "updated", "updated"] == house.told(user)


def test_a_document_that_is_in_order_is_not_written(house, user):
    report = history_of(house, user).rebuild()

    assert (True, False, ()) == (report.ok, report.rebuilt, report.differences)


def test_a_document_that_vanished_comes_back(house, user):
    before = stored(user)
    raw(house.User).delete_one({"_id": user.pk})
    history_of(house, user).rebuild()

    assert same(before, stored(user))


def test_a_document_whose_stream_ends_in_a_delete_is_removed(house, user):
    house.write(lambda: house.User.objects(pk=user.pk).delete())
    raw(house.User).insert_one({"_id": user.pk, "name": "Ghost"})
    report = history_of(house, user).rebuild()

    assert (Change(("name",), ABSENT, "Ghost"),) == report.differences
    assert stored(user) is None


def test_hidden_values_stay_as_they_are_now(house):
    house.auditor.track(house.User, exclude=["secret"], mask=["pin"])
    user = house.make(name="Ana", secret="s", pin="1")
    raw(house.User).update_one(
        {"_id": user.pk}, {"$set": {"name": "Eve", "secret": "t", "pin": "2"}}
    )
    report = history_of(house, user).rebuild()

    assert ["Ana", "t", "2"] == [stored(user)[each] for each in ("name", "secret", "pin")]
    assert [("name",)] == [each.path for each in report.differences]


def test_a_gap_is_refused_and_nothing_written(house, user):
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"name": "Eve"}})
    get_db()["bzz_history"].delete_one({"d": user.pk, "v": 1})

    with pytest.raises(StreamGap) as caught:
        history_of(house, user).rebuild()

    assert 1 == caught.value.missing
    assert "Eve" == stored(user)["name"]


@pytest.mark.parametrize("update", [{"$set": {"c.0.t": "x"}}, {"$set": {"c.0.f": "x"}}])
def test_an_altered_event_is_refused_and_nothing_written(house, user, update):
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"name": "Eve"}})
    get_db()["bzz_history"].update_one({"d": user.pk, "v": 2}, update)

    with pytest.raises(ReplayError, match=f"Version 2 of user {user.pk} was altered") as caught:
        history_of(house, user).rebuild()

    assert isinstance(caught.value, EventAltered)
    assert 2 == caught.value.version
    assert "Eve" == stored(user)["name"]


def test_a_document_without_a_history_is_refused(house):
    with pytest.raises(UnknownVersion, match="it has no history"):
        house.auditor.history(house.User, ObjectId()).rebuild()


def test_a_rebuild_within_a_write_is_refused(house, user):
    with pytest.raises(BzzError, match="A rebuild cannot run within auditor.write"):
        house.write(lambda: history_of(house, user).rebuild())


def test_a_unique_value_that_another_document_has_by_now_is_refused(house):
    user = house.make(name="Ana", email="a@x")
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"email": "b@x"}})
    house.make(name="Bea", email="a@x")

    with pytest.raises(NotUniqueError, match="another document has a value of it"):
        history_of(house, user).rebuild()

    assert "b@x" == stored(user)["email"]


@settings(max_examples=60)
@given(pair=bson_values.pairs)
def test_any_document_comes_back_exactly(standing_house, pair):
    house = standing_house
    before, after = ({k: v for k, v in each.items() if k != "_id"} for each in pair)
    key = ObjectId()
    collection = house.User._get_collection()
    house.write(lambda: collection.insert_one({"_id": key, **before}))
    told = exact(collection.name, key)
    raw(house.User).delete_one({"_id": key})
    raw(house.User).insert_one({"_id": key, **after})

    house.auditor.history(house.User, key).rebuild()

    assert same(told, exact(collection.name, key))
    assert house.auditor.history(house.User, key).verify().ok
    forget(key)


# A model


def test_a_model_is_rebuilt_document_by_document(house):
    users = [house.make(name=name) for name in "abcd"]
    house.write(lambda: house.User.objects(pk=users[3].pk).delete())
    raw(house.User).update_one({"_id": users[0].pk}, {"$set": {"name": "Eve"}})
    raw(house.User).delete_one({"_id": users[1].pk})
    raw(house.User).insert_one({"_id": users[3].pk, "name": "Ghost"})
    raw(house.User).insert_one({"_id": "old", "name": "Old"})
    counts = house.auditor.rebuild(house.User).run()

    assert (5, 3, 0, 1, True) == (
        counts.documents,
        counts.rebuilt,
        counts.different,
        counts.without_baseline,
        counts.ok,
    )
    assert ["a", "b", "c", None] == [(stored(each) or {}).get("name") for each in users]
    assert house.auditor.verify(house.User).run().ok
    assert "Old" == exact("user", "old")["name"]


def test_a_broken_history_is_reported_and_its_document_left_alone(house):
    users = [house.make(name=name) for name in "ab"]
    for each in users:
        raw(house.User).update_one({"_id": each.pk}, {"$set": {"name": "Eve"}})
    get_db()["bzz_history"].update_one({"d": users[0].pk}, {"$set": {"c.0.t": "x"}})
    reports = {each.document: each for each in house.auditor.rebuild(house.User)}

    assert (False, True) == (reports[users[0].pk].ok, reports[users[1].pk].ok)
    assert ["Eve", "b"] == [stored(each)["name"] for each in users]


def test_a_clash_is_reported_and_a_second_run_finishes(house):
    one = house.make(name="Ana", email="a@x")
    two = house.make(name="Bea", email="b@x")
    raw(house.User).update_one({"_id": one.pk}, {"$set": {"email": "c@x"}})
    raw(house.User).update_one({"_id": two.pk}, {"$set": {"email": "a@x"}})
    first = house.auditor.rebuild(house.User)
    clashes = [report for report in first if not report.ok]

    assert [one.pk] == [each.document for each in clashes]
    assert ["clash"] == [each.kind.value for each in clashes[0].problems]
    assert (1, 1, 0) == (first.counts.rebuilt, first.counts.different, first.counts.broken)
    assert house.auditor.rebuild(house.User).run().ok
    assert ["a@x", "b@x"] == [stored(each)["email"] for each in (one, two)]


def test_a_rebuild_while_writers_go_on_undoes_nothing_of_theirs(house):
    users = [house.make(name=str(n), age=0) for n in range(12)]
    stop = threading.Event()

    def count(user):
        done = 0
        while not stop.is_set():
            house.write(lambda: house.User.objects(pk=user.pk).update(inc__age=1))
            done += 1
        return done

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(count, user) for user in users[:3]]
        try:
            for _ in range(5):
                raw(house.User).update_one({"_id": users[7].pk}, {"$set": {"name": "Eve"}})
                assert house.auditor.rebuild(house.User).run().ok
        finally:
            stop.set()
        counted = [each.result() for each in writers]

    assert counted == [stored(each)["age"] for each in users[:3]]
    assert "7" == stored(users[7])["name"]


# Into another collection


def test_a_rebuild_into_another_collection_gives_the_documents_back(house):
    users = [house.make(name=str(n), tags=["x"] * n) for n in range(5)]
    house.write(lambda: house.User.objects(pk=users[0].pk).delete())
    counts = house.auditor.rebuild(house.User, into="again").run()

    assert (5, 4, True) == (counts.documents, counts.rebuilt, counts.ok)
    found = {each["_id"]: each for each in get_db()["again"].find()}
    assert {each.pk for each in users[1:]} == set(found)
    assert all(same(stored(each), found[each.pk]) for each in users[1:])


def test_what_was_written_round_bzz_is_not_in_it(house, user):
    before = stored(user)
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"name": "Eve"}})
    house.auditor.rebuild(house.User, into="again").run()

    assert same(before, exact("again", user.pk))


def test_hidden_values_are_not_in_it(house):
    user = house.make(name="Ana", secret="s")
    house.auditor.track(house.User, exclude=["secret"])
    house.auditor.rebuild(house.User, into="again").run()

    assert "s" == stored(user)["secret"]
    assert "secret" not in exact("again", user.pk)


def test_a_broken_history_is_reported_and_not_in_it(house, user):
    get_db()["bzz_history"].update_one({"d": user.pk, "v": 2}, {"$set": {"c.0.t": "x"}})
    [report] = house.auditor.rebuild(house.User, into="again")

    assert (False, False) == (report.ok, report.rebuilt)
    assert exact("again", user.pk) is None


def test_a_collection_that_is_not_empty_is_refused(house, user):
    get_db()["again"].insert_one({})

    with pytest.raises(TargetNotEmpty, match="The collection 'again' is not empty") as caught:
        house.auditor.rebuild(house.User, into="again")

    assert "again" == caught.value.collection


@pytest.mark.parametrize("name", ["", "bzz_history", "bzz_new", "user", "team"])
def test_a_collection_that_is_for_something_else_is_refused(house, name):
    with pytest.raises(SetupError, match="A rebuild cannot go into"):
        house.auditor.rebuild(house.User, into=name)


def test_a_rebuild_that_was_cut_off_goes_on(house):
    users = [house.make(name=str(n)) for n in range(5)]
    first = house.auditor.rebuild(house.User, into="again")
    for _ in range(2):
        report = next(first)
    house.write(lambda: house.User.objects(pk=users[4].pk).update(name="new"))
    counts = house.auditor.rebuild(house.User, into="again", after=report.token).run()

    assert 3 == counts.documents
    names = ["0", "1", "2", "3", "new"]
    assert names == [each["name"] for each in get_db()["again"].find().sort("_id")]


@settings(max_examples=40)
@given(states=bson_values.states)
def test_any_document_is_given_back_typed(standing_house, states):
    house = standing_house
    key = ObjectId()
    collection = house.User._get_collection()
    get_db()["again"].drop()
    document = {k: v for k, v in states.items() if k != "_id"}
    house.write(lambda: collection.insert_one({"_id": key, **document}))

    house.auditor.rebuild(house.User, into="again").run()

    assert same(exact(collection.name, key), exact("again", key))
    forget(key)


def test_the_documents_of_all_models_are_rebuilt_in_one_run(house, user):
    team = house.make(house.Team, name="Red")
    for each in (user, team):
        raw(type(each)).update_one({"_id": each.pk}, {"$set": {"name": "Eve"}})

    counts = house.auditor.rebuild().run()

    assert 2 == counts.rebuilt
    assert ["Bea", "Red"] == [stored(each)["name"] for each in (user, team)]


def test_a_document_that_is_otherwise_than_it_was_seen_is_not_rebuilt(house, user):
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"name": "Eve"}})
    seen = history_of(house, user).verify()
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"name": "Mal"}})

    with pytest.raises(PreconditionFailed, match="nothing was written"):
        history_of(house, user).rebuild(seen=seen)
    assert "Mal" == stored(user)["name"]


def test_a_document_that_is_as_it_was_seen_is_rebuilt(house, user):
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"name": "Eve"}})

    assert history_of(house, user).rebuild(seen=history_of(house, user).verify()).rebuilt
    assert "Bea" == stored(user)["name"]


def test_a_rebuild_into_another_collection_is_of_one_model(house, user):
    with pytest.raises(SetupError, match="A rebuild into 'again' is of one model: name it"):
        house.auditor.rebuild(into="again")


def test_a_database_of_tests_is_rebuilt_too(mock_database):
    with own_registry():

        class User(Document):
            name = StringField()

        auditor = Auditor(work=False)
        auditor.track(User)
        user = auditor.write(lambda: User(name="Ana").save())
        collection = mongoengine.get_db()["user"]
        collection.update_one({"_id": user.pk}, {"$set": {"name": "Eve"}})

        assert auditor.history(User, user.pk).rebuild().rebuilt
        assert "Ana" == collection.find_one()["name"]
        assert 1 == auditor.rebuild(User, into="again").run().rebuilt
        assert "Ana" == mongoengine.get_db()["again"].find_one()["name"]
