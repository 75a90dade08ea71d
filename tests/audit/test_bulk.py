"""Bulk writes: MongoEngine's, in bounded transactions, with one event for each document."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import mongoengine
import pytest
from mongoengine import Document, IntField, Q, StringField, get_db
from mongoengine.errors import InvalidQueryError, NotUniqueError, OperationError

from bzz.audit import Auditor
from bzz.audit.errors import BulkFailed
from bzz.errors import SetupError
from bzz.signals import post_create_instance, post_delete_instance, post_update_instance
from tests.audit.checking import check_histories
from tests.house import failing, own_registry, raw, stored


@pytest.fixture
def small(monkeypatch):
    """Transactions of three documents."""
    monkeypatch.setattr("bzz.audit.bulk.BATCH", 3)


@pytest.fixture
def transactions(house, monkeypatch):
    """The correlation ids of the transactions."""
    made = []
    write = house.auditor.write

    def counted(function, **context):
        made.append(context.get("correlation"))
        return write(function, **context)

    monkeypatch.setattr(house.auditor, "write", counted)
    return made


def people(house, count, **values):
    return house.auditor.insert(house.User(name=str(n), age=n, **values) for n in range(count))


def names(house):
    return [each.name for each in house.User.objects.order_by("age")]


# Inserting


def test_insert_makes_one_event_for_each_document(house):
    assert 7 == people(house, 7)
    assert 7 == check_histories(house.auditor, house.User)
    assert {"created"} == {told for each in house.User.objects for told in house.told(each)}


def test_insert_takes_a_generator_part_by_part(house, small, transactions):
    taken = []

    def documents():
        for number in range(7):
            taken.append((number, house.User.objects.count()))
            yield house.User(name=str(number))

    assert 7 == house.auditor.insert(documents())
    assert 3 == len(transactions)
    assert (3, 3) == taken[3]  # read when the first three were committed


def test_insert_takes_documents_of_several_classes(house):
    team = house.Team(name="Red")

    assert 3 == house.auditor.insert([team, house.User(name="a"), house.User(name="b")])
    assert ["created"] == house.told(team)


def test_insert_takes_one_document(house):
    assert 1 == house.auditor.insert(house.User(name="a"))


def test_the_events_of_all_transactions_have_one_context(house, small):
    house.auditor.insert([house.User(name=str(n)) for n in range(7)], actor="eva", reason="import")
    events = [event for each in house.User.objects for event in house.events(each)]

    assert {("eva", "import")} == {(each.actor.id, each.reason) for each in events}
    assert 1 == len({each.correlation for each in events})


def test_the_correlation_is_the_given_one(house, small):
    people(house, 4)
    house.auditor.update(house.User.objects, inc__age=1, correlation="job-7")
    house.auditor.delete(house.User.objects(age=1), correlation="job-8")

    found = {each["k"] for each in get_db()["bzz_history"].find({"o": {"$in": ["u", "d"]}})}
    assert {"job-7", "job-8"} == found


def test_insert_runs_again_when_the_database_asks_for_it(house):
    with failing(
        get_db().client,
        ["commitTransaction"],
        errorCode=112,
        errorLabels=["TransientTransactionError"],
    ):
        assert 4 == people(house, 4)

    assert 4 == check_histories(house.auditor, house.User)


def test_insert_refuses_what_is_no_document(house):
    with pytest.raises(TypeError, match="auditor.insert takes documents, not a dict"):
        house.auditor.insert([{"name": "a"}])


def test_insert_refuses_documents_that_are_not_audited(house):
    with own_registry():

        class Stray(Document):
            name = StringField()

    with pytest.raises(SetupError, match="Stray is not audited"):
        house.auditor.insert([Stray(name="a")])


# Updating


def test_update_makes_one_event_for_each_document(house, small, transactions):
    people(house, 7)
    transactions.clear()

    assert 7 == house.auditor.update(house.User.objects, set__name="x", inc__age=10)
    assert 3 == len(transactions)
    assert [10, 11, 12, 13, 14, 15, 16] == sorted(each.age for each in house.User.objects)
    assert 14 == check_histories(house.auditor, house.User)


def test_a_document_that_keeps_matching_is_updated_once(house, small):
    people(house, 9)
    house.User.ensure_indexes()
    raw(house.User).create_index("age")

    assert 9 == house.auditor.update(house.User.objects(age__lt=100).hint("age_1"), inc__age=1)
    assert list(range(1, 10)) == sorted(each.age for each in house.User.objects)


def test_update_changes_what_matches_alone(house, small):
    people(house, 9)
    ids = [each.pk for each in house.User.objects(age__gte=2)]

    assert 4 == house.auditor.update(house.User.objects(Q(pk__in=ids) & Q(age__lt=6)), name="x")
    assert ["0", "1", "x", "x", "x", "x", "6", "7", "8"] == names(house)
    assert 2 == house.auditor.update(house.User.objects(__raw__={"age": {"$lt": 2}}), name="y")


def test_a_document_that_has_ceased_to_match_by_its_turn_is_left_alone(house, small, monkeypatch):
    people(house, 6)
    last = house.User.objects.get(age=5)
    write, calls = house.auditor.write, []

    def after_the_first(function, **context):
        if len(calls) == 1:
            write(lambda: house.User.objects(pk=last.pk).update(name="other"))
        calls.append(1)
        return write(function, **context)

    monkeypatch.setattr(house.auditor, "write", after_the_first)

    assert 5 == house.auditor.update(house.User.objects(name__ne="other"), name="x")
    assert "other" == stored(last)["name"]


def test_update_ignores_order_limit_and_skip_as_mongoengine_does(house):
    people(house, 5)
    limited = house.User.objects.order_by("-age").limit(2)

    assert 5 == house.write(lambda: limited.update(name="x"))
    assert 5 == house.auditor.update(limited, name="y")


def test_nothing_that_matches_is_nothing_done(house):
    assert 0 == house.auditor.update(house.User.objects(name="none"), name="x")
    assert 0 == house.auditor.update(house.User.objects.none(), name="x")
    assert 0 == house.auditor.delete(house.User.objects.none())
    assert 0 == house.auditor.insert([])


def test_an_upsert_creates_what_nothing_matches(house):
    assert 1 == house.auditor.update(house.User.objects(name="new"), upsert=True, age=3)
    [user] = house.User.objects

    assert ("new", 3, ["created"]) == (user.name, user.age, house.told(user))


def test_an_upsert_updates_what_matches(house, small):
    people(house, 5)

    assert 5 == house.auditor.update(house.User.objects(age__gte=0), upsert=True, name="x")
    assert 5 == house.User.objects.count()


def test_multi_false_updates_one(house):
    people(house, 5)

    assert 1 == house.auditor.update(house.User.objects, multi=False, name="x")
    assert 1 == house.User.objects(name="x").count()


def test_updates_of_lists_and_pipelines_are_mongoengines(house):
    people(house, 2, tags=["a", "b"])
    house.auditor.update(
        house.User.objects, __raw__={"$set": {"tags.$[x]": "c"}}, array_filters=[{"x": "a"}]
    )
    house.auditor.update(house.User.objects, __raw__=[{"$set": {"score": 1.5}}])

    assert [(["c", "b"], 1.5)] * 2 == [(each.tags, each.score) for each in house.User.objects]
    assert 6 == check_histories(house.auditor, house.User)


def test_what_mongoengine_refuses_is_raised_as_it_is(house):
    people(house, 2)

    with pytest.raises(InvalidQueryError):
        house.auditor.update(house.User.objects, nothing=1)
    with pytest.raises(OperationError, match="No update parameters"):
        house.auditor.update(house.User.objects)
    with pytest.raises(TypeError, match="there is no full_result"):
        house.auditor.update(house.User.objects, name="x", full_result=True)


def test_a_queryset_of_a_model_that_is_not_audited_is_refused(house):
    with own_registry():

        class Stray(Document):
            name = StringField()

    for write in (house.auditor.delete, lambda some: house.auditor.update(some, name="x")):
        with pytest.raises(SetupError, match="Stray is not audited"):
            write(Stray.objects)


@pytest.fixture
def claims(house):
    class Claim(Document):
        reason = StringField()
        actor = StringField()
        state = StringField()

    house.track(Claim)
    house.auditor.insert([Claim(reason="a", state="open")])
    return Claim


@pytest.mark.parametrize("name", ["reason", "actor"])
def test_a_name_that_is_a_field_and_a_fact_of_the_event_is_refused(house, claims, name):
    with pytest.raises(TypeError, match=f"Claim has a field '{name}', and {name}= of a bulk"):
        house.auditor.update(claims.objects, **{name: "x"}, state="closed")

    assert "open" == claims.objects.get().state


def test_such_a_field_is_set_by_its_long_name(house, claims):
    house.auditor.update(claims.objects, set__reason="b", correlation="c-1")
    [claim] = claims.objects

    assert ("b", "c-1") == (claim.reason, house.events(claim)[-1].correlation)


# Deleting


def test_delete_makes_one_event_for_each_document(house, small, transactions):
    people(house, 7)
    transactions.clear()

    assert 5 == house.auditor.delete(house.User.objects(age__lt=5), reason="too young")
    assert 2 == len(transactions)
    assert ["5", "6"] == names(house)
    assert 12 == check_histories(house.auditor, house.User)


def test_delete_keeps_order_limit_and_skip(house, small):
    people(house, 9)

    assert 5 == house.auditor.delete(house.User.objects.order_by("-age").skip(1).limit(5))
    assert ["0", "1", "2", "8"] == names(house)
    assert 4 == house.auditor.delete(house.User.objects.limit(10))


def test_rules_of_deletion_hold_with_an_event_each(house, small):
    people(house, 4)
    users = list(house.User.objects)
    orders = [house.make(house.Order, user=each) for each in users]
    club = house.make(house.Club, members=users)

    assert 4 == house.auditor.delete(house.User.objects, correlation="bye")
    assert [["created", "deleted"]] * 4 == [house.told(each) for each in orders]
    assert [] == stored(club).get("members", [])
    assert {"bye"} == {house.events(each)[-1].correlation for each in [*orders, club]}


def test_a_rule_that_denies_says_how_many_were_done_before(house, small):
    people(house, 7)
    fifth = house.User.objects.order_by("pk")[4]
    house.make(house.Deed, owner=fifth)

    with pytest.raises(BulkFailed, match="stopped after 3 documents, which are written") as caught:
        house.auditor.delete(house.User.objects)

    assert (3, OperationError) == (caught.value.done, type(caught.value.__cause__))
    assert 4 == house.User.objects.count()
    assert 10 == check_histories(house.auditor, house.User)


def test_a_failure_of_the_first_transaction_is_raised_as_it_is(house, small):
    people(house, 2)
    house.make(house.Deed, owner=house.User.objects.first())

    with pytest.raises(OperationError, match="Could not delete document"):
        house.auditor.delete(house.User.objects)


def test_a_clash_in_a_later_part_leaves_that_part_out_as_a_whole(house, small):
    documents = [house.User(name=str(n), email=f"{min(n, 4)}@x") for n in range(6)]

    with pytest.raises(BulkFailed) as caught:
        house.auditor.insert(documents)

    assert 3 == caught.value.done == house.User.objects.count()
    assert 3 == check_histories(house.auditor, house.User)


def test_a_clash_within_an_update_is_mongoengines(house):
    people(house, 2)

    with pytest.raises(NotUniqueError):
        house.auditor.update(house.User.objects, email="a@x")


# Within a write, signals, other writers


def test_within_a_write_they_join_it(house, small, transactions):
    people(house, 7)
    transactions.clear()

    def work():
        done = (
            house.auditor.update(house.User.objects, inc__age=1),
            house.auditor.delete(house.User.objects(age__lte=3)),
            house.auditor.insert(house.User(name=str(n)) for n in range(5)),
        )
        assert 3 == len(house.User.objects(age=None, name="x")) + 3
        return done

    assert (7, 3, 5) == house.write(work, reason="one")
    assert 1 == len(transactions)
    assert 9 == house.User.objects.count()
    reasons = {each.get("w") for each in get_db()["bzz_history"].find({"o": {"$in": ["u", "d"]}})}
    assert {"one"} == reasons


def test_within_a_write_that_fails_nothing_stays(house, small):
    people(house, 7)

    def work():
        house.auditor.update(house.User.objects, name="x")
        raise KeyError

    with pytest.raises(KeyError):
        house.write(work)

    assert 0 == house.User.objects(name="x").count()


def test_signals_are_sent_for_each_document(house, small):
    heard = []
    for signal in (post_create_instance, post_update_instance, post_delete_instance):
        signal.connect(
            lambda instance, event, name=signal.name: heard.append((name, event.version)),
            sender=house.User,
            weak=False,
        )
    people(house, 4)
    house.auditor.update(house.User.objects, name="x")
    house.auditor.delete(house.User.objects)

    assert [4, 4, 4] == [sum(version == n for _, version in heard) for n in (1, 2, 3)]


def test_bulk_writes_and_single_ones_do_not_lose_each_other(house, small):
    people(house, 12)
    for each in house.User.objects:
        house.write(lambda: house.User.objects(pk=each.pk).update(age=0))
    keys = [each.pk for each in house.User.objects]
    start = threading.Barrier(3)

    def bulk():
        start.wait()
        return house.auditor.update(house.User.objects, inc__age=1)

    def single():
        start.wait()
        for key in keys:
            house.write(lambda: house.User.objects(pk=key).update(inc__age=100))

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(job) for job in (bulk, single, bulk)]
        for job in jobs:
            job.result()

    assert [102] * 12 == [each.age for each in house.User.objects]
    assert check_histories(house.auditor, house.User)


def test_documents_of_a_family_keep_their_class(house, small):
    class Animal(Document):
        meta = {"allow_inheritance": True}
        name = StringField()

    class Dog(Animal):
        age = IntField()

    house.track(Animal)
    house.auditor.insert([Animal(name="a"), *(Dog(name=str(n), age=n) for n in range(4))])

    assert 4 == house.auditor.update(Dog.objects, inc__age=1)
    assert 2 == house.auditor.delete(Dog.objects.order_by("age").limit(2))
    assert 3 == house.auditor.delete(Animal.objects)


def test_a_database_of_tests_takes_them_too(mock_database):
    with own_registry():

        class User(Document):
            name = StringField()

        auditor = Auditor(work=False)
        auditor.track(User)
        assert 3 == auditor.insert(User(name=name) for name in "abc")
        assert 3 == auditor.update(User.objects, name="x")
        assert 2 == auditor.delete(User.objects.limit(2))
        assert 1 == mongoengine.get_db()["user"].count_documents({})
