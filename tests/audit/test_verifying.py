"""Verify: what is wrong is found and named, and nothing is that is not wrong."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import mongoengine
import pytest
from bson import Binary, Int64, ObjectId
from hypothesis import given, settings
from mongoengine import Document, DynamicDocument, DynamicField, IntField, StringField, get_db

from bzz.audit import Auditor, Change
from bzz.audit.trail import ProblemKind
from bzz.errors import BadRequest, BzzError, SetupError
from bzz.values import ABSENT
from tests import bson_values
from tests.house import elsewhere, own_registry, raw


def history_of(house, user):
    return house.auditor.history(type(user), user.pk)


def tamper(document, version, update):
    """Change a stored event, as somebody with a shell would."""
    get_db()["bzz_history"].update_one({"d": document.pk, "v": version}, update)


def remove(document, *versions):
    get_db()["bzz_history"].delete_many({"d": document.pk, "v": {"$in": list(versions)}})


def kinds(report):
    return [(each.kind.value, each.version) for each in report.problems]


@pytest.fixture
def user(house):
    """A user of four versions: Ana, Bea, Bea of 30, Cleo of 30."""
    user = house.make(name="Ana")
    for change in ({"name": "Bea"}, {"age": 30}, {"name": "Cleo"}):
        house.write(lambda: house.User.objects(pk=user.pk).update(**change))
    return user


# One document


def test_a_document_that_is_what_its_history_says_is_in_order(house, user):
    report = history_of(house, user).verify()

    assert (True, "user", user.pk, 4, (), ()) == (
        report.ok,
        report.model,
        report.document,
        report.versions,
        report.differences,
        report.problems,
    )


def test_differences_lead_from_what_the_history_says_to_what_is_stored(house, user):
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"name": "Eve"}, "$unset": {"age": 1}})
    report = history_of(house, user).verify()

    assert not report.ok
    assert (Change(("name",), "Cleo", "Eve"), Change(("age",), 30, ABSENT)) == report.differences


def test_another_type_of_the_same_number_is_a_difference(house, user):
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"age": Int64(30)}})
    [difference] = history_of(house, user).verify().differences

    assert (int, Int64) == (type(difference.from_), type(difference.to))


def test_a_deleted_document_is_in_order(house, user):
    house.write(lambda: house.User.objects(pk=user.pk).delete())
    report = history_of(house, user).verify()

    assert (True, 5) == (report.ok, report.versions)


def test_a_document_that_vanished_round_bzz_differs_by_all_it_had(house, user):
    raw(house.User).delete_one({"_id": user.pk})
    report = history_of(house, user).verify()

    assert {"name", "age", "tags"} >= {change.path[0] for change in report.differences}
    assert all(change.to is ABSENT for change in report.differences)
    assert not report.ok


def test_a_document_that_came_back_round_bzz_differs_even_if_it_is_empty(house, user):
    house.write(lambda: house.User.objects(pk=user.pk).delete())
    raw(house.User).insert_one({"_id": user.pk})
    report = history_of(house, user).verify()

    assert (Change(("_id",), ABSENT, user.pk),) == report.differences


def test_a_gap_is_named_with_the_versions_that_are_missing(house, user):
    remove(user, 2, 3)
    report = history_of(house, user).verify()

    assert not report.ok
    assert ("gap", 2) in kinds(report)
    assert "Version 2 to 3 are missing from the history. Bring it back from a backup." in [
        each.detail for each in report.problems
    ]


def test_a_missing_first_event_is_a_gap(house, user):
    remove(user, 1)

    assert [("gap", 1)] == kinds(history_of(house, user).verify())


def test_the_stored_document_is_compared_behind_a_gap_as_well(house, user):
    remove(user, 3)
    assert [("gap", 3)] == kinds(history_of(house, user).verify())

    raw(house.User).update_one({"_id": user.pk}, {"$set": {"name": "Eve"}})
    report = history_of(house, user).verify()

    assert [("gap", 3), ("untold", 4)] == kinds(report)
    assert report.problems[1].detail == (
        "What is stored is not the state after version 4; what differs cannot be told from a "
        "broken history."
    )


def test_a_state_that_a_digest_proves_behind_a_gap_is_compared_member_by_member(house, user):
    remove(user, 2)  # version 4 sets the name again
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"name": "Eve"}})
    report = history_of(house, user).verify()

    assert [("gap", 2)] == kinds(report)
    assert (Change(("name",), "Cleo", "Eve"),) == report.differences


@pytest.mark.parametrize(
    "update",
    [
        pytest.param({"$set": {"c.0.t": "Eve"}}, id="value after"),
        pytest.param({"$set": {"c.0.f": "Eve"}}, id="value before"),
        pytest.param({"$set": {"c.0.p": "/nick"}}, id="path"),
        pytest.param({"$set": {"c": []}}, id="no changes"),
        pytest.param({"$set": {"h": Binary(b"0" * 32)}}, id="digest"),
        pytest.param({"$set": {"z": Binary(b"0" * 16)}}, id="salt"),
        pytest.param({"$set": {"g": 1}}, id="made a delete"),
        pytest.param({"$unset": {"h": 1}}, id="no digest"),
        pytest.param({"$set": {"o": "?"}}, id="unknown operation"),
        pytest.param({"$set": {"c": "nothing"}}, id="no list of changes"),
    ],
)
def test_an_altered_event_is_named(house, user, update):
    tamper(user, 2, update)
    report = history_of(house, user).verify()

    assert not report.ok
    assert [("altered", 2)] == kinds(report)
    assert report.problems[0].detail.startswith(f"Version 2 of user {user.pk} was altered")


def test_one_altered_event_does_not_blame_those_after_it(house, user):
    tamper(user, 3, {"$set": {"c.0.t": 31}})

    assert [("altered", 3)] == [
        pair for pair in kinds(history_of(house, user).verify()) if pair[0] == "altered"
    ]


def test_an_event_that_was_moved_from_another_document_is_found(house, user):
    other = house.make(name="Zoe")
    remove(other, 1)
    get_db()["bzz_history"].update_one({"d": user.pk, "v": 1}, {"$set": {"d": other.pk}})

    assert [("gap", 1)] == kinds(history_of(house, user).verify())
    assert [("altered", 1), ("untold", 1)] == kinds(history_of(house, other).verify())


def test_a_document_without_history_is_not_wrong_and_the_way_out_is_named(house):
    raw(house.User).insert_one({"_id": ObjectId(b"a" * 12), "name": "Old"})
    report = house.auditor.history(house.User, ObjectId(b"a" * 12)).verify()

    assert (True, 0) == (report.ok, report.versions)
    assert [ProblemKind.NO_BASELINE] == [each.kind for each in report.problems]
    assert report.problems[0].detail == (
        f"User {ObjectId(b'a' * 12)} has no history yet; auditor.adopt(User) gives it its baseline."
    )


def test_where_nothing_was_nothing_is_wrong(house):
    report = house.auditor.history(house.User, ObjectId()).verify()

    assert (True, 0, ()) == (report.ok, report.versions, report.problems)


def test_a_verification_within_a_write_is_refused(house, user):
    with pytest.raises(BzzError, match="A verification cannot run within auditor.write"):
        house.write(lambda: history_of(house, user).verify())
    with pytest.raises(BzzError, match="A run over many documents cannot run within"):
        house.write(lambda: house.auditor.verify())


# What is hidden


@pytest.fixture
def masked(house):
    house.auditor.track(house.User, exclude=["secret"], mask=["pin"])
    return house


def test_hidden_values_are_no_differences_and_stand_in_none(masked):
    user = masked.make(name="Ana", secret="s", pin="1")
    raw(masked.User).update_one({"_id": user.pk}, {"$set": {"secret": "t", "pin": "2"}})

    assert history_of(masked, user).verify().ok
    assert masked.auditor.verify().run().ok


def test_a_field_that_has_been_hidden_since_is_no_difference(house):
    user = house.make(name="Ana", secret="s")
    house.auditor.track(house.User, exclude=["secret"])
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"secret": "t"}})

    assert history_of(house, user).verify().ok
    assert [True] == [each.ok for each in house.auditor.verify(house.User)]


def test_the_value_of_a_field_that_has_been_hidden_since_stands_in_no_report(house):
    user = house.make(name="Ana", secret="s3cret")
    house.auditor.track(house.User, exclude=["secret"])
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"name": "Eve"}})
    [report] = house.auditor.verify(house.User)

    assert (Change(("name",), "Ana", "Eve"),) == report.differences
    assert "s3cret" not in repr(report)


# A model, all models


def test_all_documents_of_all_models_are_verified(house):
    team = house.make(house.Team, name="Red")
    users = [house.make(name=name, team=team) for name in "abc"]
    house.write(lambda: house.User.objects(pk=users[0].pk).delete())
    counts = house.auditor.verify().run()

    assert counts.ok
    assert (4, 5, 0, 0, 0) == (
        counts.documents,
        counts.versions,
        counts.different,
        counts.broken,
        counts.without_baseline,
    )


def test_what_is_wrong_in_a_model_is_reported_document_by_document(house):
    users = [house.make(name=name) for name in "abcd"]
    raw(house.User).update_one({"_id": users[1].pk}, {"$set": {"name": "Eve"}})
    tamper(users[2], 1, {"$set": {"c.0.t": "x"}})
    raw(house.User).delete_one({"_id": users[3].pk})
    raw(house.User).insert_one({"_id": "old", "name": "Old"})
    run = house.auditor.verify(house.User)
    wrong = {report.document: report for report in run if not report.ok}

    assert {each.pk for each in users[1:]} == set(wrong)
    assert (2, 1, 1, 5) == (
        run.counts.different,
        run.counts.broken,
        run.counts.without_baseline,
        run.counts.documents,
    )
    assert not run.counts.ok


def test_another_models_documents_are_not_looked_at(house):
    house.make(house.Team, name="Red")

    assert [] == list(house.auditor.verify(house.User))


def test_a_model_that_is_not_audited_is_refused(house):
    with own_registry():

        class Stray(Document):
            name = StringField()

    with pytest.raises(SetupError, match="Stray is not audited"):
        house.auditor.verify(Stray)


IDS = [1, 2.5, Int64(7), "a", "", ObjectId(), Binary(b"x", 5), {"a": 1}, True, None, -3]


@pytest.fixture
def things(house):
    class Thing(DynamicDocument):
        key = DynamicField(primary_key=True)

    house.track(Thing)
    return Thing


def test_ids_of_all_types_are_met_in_one_run(house, things):
    for each in IDS:
        house.write(lambda: things._get_collection().insert_one({"_id": each, "n": 1}))
    reports = list(house.auditor.verify(things))

    assert (len(IDS), True) == (len(reports), all(each.ok for each in reports))
    assert 3 == house.auditor.verify(things, after=reports[-4].token).run().documents


def test_documents_of_all_types_of_ids_are_found_without_a_history(house, things):
    raw(things).insert_many({"_id": each, "n": 1} for each in IDS)
    run = house.auditor.verify(things)
    reports = list(run)

    assert len(IDS) == run.counts.without_baseline == len(reports)
    assert 3 == house.auditor.verify(things, after=reports[-4].token).run().documents


def test_a_run_goes_on_after_the_token_of_any_report(house):
    users = [house.make(name=name) for name in "abcde"]
    raw(house.User).insert_many({"_id": f"old{n}"} for n in range(3))
    reports = list(house.auditor.verify(house.User))

    assert 8 == len(reports)
    for number, report in enumerate(reports, 1):
        rest = list(house.auditor.verify(house.User, after=report.token))
        assert [each.document for each in reports[number:]] == [each.document for each in rest]
    assert {each.pk for each in users} == {each.document for each in reports[:5]}


def test_a_run_over_all_models_goes_on_in_the_next_one(house):
    for model in (house.Team, house.Club, house.Order):
        house.make(model)
    reports = list(house.auditor.verify())

    for number, report in enumerate(reports, 1):
        assert 3 - number == house.auditor.verify(after=report.token).run().documents


@pytest.mark.parametrize("token", ["", "?", "é", "AAAA", "x" * 200])
def test_a_token_of_no_run_is_refused(house, token):
    with pytest.raises(BadRequest, match="is not a place in a run over these models"):
        house.auditor.verify(house.User, after=token)


def test_a_token_of_another_model_is_refused(house):
    house.make(house.Team, name="Red")
    [report] = house.auditor.verify(house.Team)

    with pytest.raises(BadRequest, match="is not a place in a run"):
        house.auditor.verify(house.User, after=report.token)


def test_progress_is_told_now_and_then_and_at_the_end(house):
    house.write(lambda: [house.User(name=str(n)).save() for n in range(101)])
    told = []
    house.auditor.verify(house.User, progress=told.append).run()

    assert [100, 101] == [each.documents for each in told]
    assert told[-1].token


def test_streams_of_many_pages_are_read_whole(house, user, monkeypatch):
    monkeypatch.setattr("bzz.audit.store._PAGE", 2)
    house.make(name="Zoe")
    counts = house.auditor.verify(house.User).run()

    assert (2, 5, True) == (counts.documents, counts.versions, counts.ok)
    assert 4 == history_of(house, user).verify().versions


# Classes that share a collection


@pytest.fixture
def zoo(house):
    class Animal(Document):
        meta = {"allow_inheritance": True}
        name = StringField()

    class Dog(Animal):
        chip = StringField()

    class Cat(Animal):
        lives = IntField()

    house.Animal, house.Dog, house.Cat = Animal, Dog, Cat
    return house


def test_each_document_of_a_family_is_verified_once(zoo):
    zoo.track(zoo.Animal)
    zoo.track(zoo.Dog, exclude=["chip"])
    for model in (zoo.Animal, zoo.Dog, zoo.Cat):
        zoo.make(model, name="x")
    dog = zoo.make(zoo.Dog, name="y", chip="1")
    raw(zoo.Dog).update_one({"_id": dog.pk}, {"$set": {"chip": "2"}})
    counts = zoo.auditor.verify().run()

    assert (4, True) == (counts.documents, counts.ok)


def test_a_class_of_a_family_is_verified_alone(zoo):
    zoo.track(zoo.Animal)
    zoo.make(zoo.Cat, name="x")
    dogs = [zoo.make(zoo.Dog, name="y") for _ in range(2)]
    zoo.write(lambda: zoo.Dog.objects(pk=dogs[0].pk).delete())
    raw(zoo.Animal).insert_many([{"_cls": "Animal.Dog"}, {"_cls": "Animal.Cat"}])
    counts = zoo.auditor.verify(zoo.Dog).run()

    assert (3, 1) == (counts.documents, counts.without_baseline)


def test_a_class_may_have_a_stream_of_its_own(zoo):
    zoo.track(zoo.Animal)
    zoo.track(zoo.Dog, stream="dogs")
    zoo.make(zoo.Dog, name="x")
    zoo.make(zoo.Cat, name="y")

    counts = zoo.auditor.verify(zoo.Animal).run()

    assert (2, 0, True) == (counts.documents, counts.without_baseline, counts.ok)
    assert {"animal", "dogs"} == {each.stream for each in zoo.auditor.verify()}


def test_classes_that_are_not_kin_may_share_a_collection(house):
    class One(Document):
        meta = {"collection": "things"}
        name = StringField()

    class Other(Document):
        meta = {"collection": "things", "strict": False}
        name = StringField()
        code = StringField()

    house.track(One)
    house.track(Other, exclude=["code"])
    house.make(One, name="a")
    house.make(Other, name="b", code="secret")
    counts = house.auditor.verify().run()

    assert (2, 0, True) == (counts.documents, counts.without_baseline, counts.ok)


# While writers go on


def test_a_run_gives_no_false_alarm_while_writers_go_on(house):
    users = [house.make(name=str(n)) for n in range(30)]
    stop = threading.Event()

    def keep_writing(number):
        done = 0
        while not stop.is_set():
            user = users[(done * 7 + number) % len(users)]
            if done % 9 == 8:
                house.write(lambda: house.User.objects(pk=user.pk).delete())
                house.write(lambda: house.User(pk=user.pk, name="again").save())
            house.write(lambda: house.User.objects(pk=user.pk).update(inc__age=1))
            house.make(name="new")
            done += 1
        return done

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(keep_writing, number) for number in range(3)]
        try:
            wrong = [
                report
                for _ in range(6)
                for report in house.auditor.verify(house.User)
                if not report.ok or report.problems
            ]
        finally:
            stop.set()
        written = [each.result() for each in writers]

    assert [] == wrong
    assert all(written)


def test_a_document_is_looked_at_again_before_it_is_called_wrong(house, user, monkeypatch):
    from bzz.audit import verifying

    real = verifying._judged

    def later(scope, sights, settle):
        # A writer comes between the reading of the history and that of the document.
        elsewhere(lambda: house.write(lambda: house.User.objects(pk=user.pk).update(age=99)))
        return real(scope, sights, settle)

    monkeypatch.setattr(verifying, "_judged", later)
    [report] = house.auditor.verify(house.User)

    assert (True, 5) == (report.ok, report.versions)


# Any document at all


@settings(max_examples=60)
@given(pair=bson_values.pairs)
def test_any_two_states_are_in_order_when_written_and_differ_when_not(standing_house, pair):
    house = standing_house
    before, after = ({k: v for k, v in each.items() if k != "_id"} for each in pair)
    key = ObjectId()
    collection = house.User._get_collection()

    house.write(lambda: collection.insert_one({"_id": key, **before}))
    house.write(lambda: (collection.delete_one({"_id": key}), None)[1])
    house.write(lambda: collection.insert_one({"_id": key, **after}))
    assert house.auditor.history(house.User, key).verify().ok

    raw(house.User).delete_one({"_id": key})
    raw(house.User).insert_one({"_id": key, **before})
    report = house.auditor.history(house.User, key).verify()
    differs = bool(report.differences)
    assert report.ok is not differs
    raw(house.User).delete_one({"_id": key})
    assert not house.auditor.history(house.User, key).verify().ok
    get_db()["bzz_history"].delete_many({"d": key})


# On a database of tests


def test_a_database_of_tests_is_verified_too(mock_database):
    with own_registry():

        class User(Document):
            name = StringField()

        auditor = Auditor(work=False)
        auditor.track(User)
        for name in "ab":
            auditor.write(lambda: User(name=name).save())
        mongoengine.get_db()["user"].insert_one({"name": "old"})
        counts = auditor.verify().run()

        assert (3, 1, True) == (counts.documents, counts.without_baseline, counts.ok)
        first = next(auditor.verify())
        assert 2 == auditor.verify(after=first.token).run().documents
