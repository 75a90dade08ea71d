"""Positions: given after the commit, to whole transactions, once, in an order that stays."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
from bson import BSON, Int64
from mongoengine import get_connection, get_db
from pymongo.errors import PyMongoError

from bzz.audit import sequencer as sequencer_module
from bzz.audit.sequencer import Sequencer
from bzz.errors import BzzError, Unavailable
from bzz.transactions import Deadline
from tests.house import elsewhere, raw


def numbered():
    return list(get_db().bzz_history.find({"p": {"$gt": 0}}, sort=[("p", 1)]))


def sequencer(house, **options):
    return Sequencer(get_connection(), house.auditor.seals, **options)


def step(each):
    with get_connection().start_session() as session:
        return each.step(session, Deadline())


def test_events_get_their_positions_in_the_order_of_their_commits(house):
    users = [house.make(name=f"u{number}") for number in range(3)]

    assert 3 == house.auditor.sequence()
    assert [1, 2, 3] == [event["p"] for event in numbered()]
    assert [user.pk for user in users] == [event["d"] for event in numbered()]


def test_an_event_has_no_position_before_and_keeps_it_then(house):
    user = house.make(name="Ana")

    assert [None] == [event.position for event in house.events(user)]
    house.auditor.sequence()
    house.make(name="Bea")
    house.auditor.sequence()
    assert [1] == [event.position for event in house.events(user)]


def test_when_there_is_nothing_to_number_nothing_is_written(house):
    house.make(name="Ana")
    house.auditor.sequence()
    before = list(get_db().bzz_positions.find())

    assert 0 == house.auditor.sequence()
    assert before == list(get_db().bzz_positions.find())


def test_events_of_one_transaction_know_their_first(house):
    house.write(lambda: [house.User(name=name).save() for name in "abc"])
    house.make(name="d")
    first, *others, alone = get_db().bzz_history.find(sort=[("n", 1)])

    assert "b" not in first
    assert [first["_id"]] * 2 == [event["b"] for event in others]
    assert "b" not in alone


def test_a_transaction_that_the_limit_would_cut_is_numbered_whole(house):
    house.make(name="first")
    house.write(lambda: [house.User(name=f"u{number}").save() for number in range(7)])
    house.make(name="last")
    few = sequencer(house, batch=3)

    assert [8, 1, 0] == [step(few) for _ in range(3)]
    assert list(range(1, 10)) == [event["p"] for event in numbered()]


def many(house, count):
    return house.write(lambda: [house.User(name=f"u{n}").save() for n in range(count)])


def test_a_transaction_that_is_too_large_is_numbered_in_pieces_with_nothing_between(house):
    house.make(name="first")
    large = many(house, 20)
    # As if another had written while the large one was at work.
    between = house.make(name="between")
    place = get_db().bzz_history.find_one({"d": large[14].pk})["n"]
    get_db().bzz_history.update_one({"d": between.pk}, {"$set": {"n": place}})
    house.make(name="last")
    few = sequencer(house, batch=3, largest=4)
    steps = []
    while count := step(few):
        steps.append(count)

    assert max(steps) < 9
    assert list(range(1, 24)) == [event["p"] for event in numbered()]
    documents = [event["d"] for event in numbered()]
    begin = documents.index(large[0].pk)
    assert [user.pk for user in large] == documents[begin : begin + 20]
    assert house.auditor.verify().run().ok


def test_the_pieces_of_a_large_transaction_follow_each_other_whoever_numbers_them(house):
    large = many(house, 9)
    one, other = (sequencer(house, batch=2, largest=2) for _ in range(2))
    step(one)
    house.make(name="later")
    while step(other):
        pass

    assert [user.pk for user in large] == [event["d"] for event in numbered()][:9]
    assert None is house.auditor.seals.head().unfinished


def test_a_large_transaction_behind_small_ones_does_not_hold_them_up(house):
    for number in range(4):
        house.make(name=f"small {number}")
    many(house, 9)
    few = sequencer(house, batch=5, largest=3)

    assert 4 == step(few)
    while step(few):
        pass
    assert list(range(1, 14)) == [event["p"] for event in numbered()]


def test_batches_that_take_too_long_become_smaller(house, monkeypatch):
    for number in range(9):
        house.make(name=f"u{number}")
    seals = house.auditor.seals
    usual, sizes = seals.put, []

    def slow(head, leaves, *args, **options):
        sizes.append(len(leaves) // 16)
        if sizes[-1] > 2:
            time.sleep(0.6)
        usual(head, leaves, *args, **options)

    monkeypatch.setattr(seals, "put", slow)
    each, done = sequencer(house, batch=8), 0
    while done < 9:
        with get_connection().start_session() as session, suppress(PyMongoError):
            done += each.step(session, Deadline(0.5))

    assert [8, 4, 2, 4, 2] == sizes[:5]
    assert list(range(1, 10)) == [event["p"] for event in numbered()]


def test_a_backlog_may_take_longer_than_the_deadline(house, monkeypatch):
    """It is for each batch."""
    for number in range(6):
        house.make(name=f"u{number}")
    usual = house.auditor.seals.put

    def slow(*args, **options):
        time.sleep(0.3)
        usual(*args, **options)

    monkeypatch.setattr(house.auditor.seals, "put", slow)
    assert 6 == sequencer(house, batch=1).run(1)


def test_when_another_holds_the_head_it_is_said_after_a_while(house):
    house.make(name="Ana")
    with get_connection().start_session() as session, session.start_transaction():
        house.auditor.seals.fence(session)
        with pytest.raises(Unavailable, match="No event could be given its position for 0.5 s"):
            elsewhere(lambda: sequencer(house).run(0.5))
        session.abort_transaction()

    assert 1 == house.auditor.sequence()


def test_transactions_that_ran_side_by_side_are_numbered_one_after_the_other(house):
    def both():
        house.User(name="outer 1").save()
        house.User(name="outer 2").save()

    house.write(both)
    events = get_db().bzz_history
    # As if another transaction had written between the two.
    one, two = events.find(sort=[("n", 1)])
    between = house.make(name="between")
    events.update_one({"d": between.pk}, {"$set": {"n": one["n"]}})
    house.auditor.sequence()

    positions = {event["_id"]: event["p"] for event in numbered()}
    assert 1 == abs(positions[one["_id"]] - positions[two["_id"]])


def test_positions_follow_the_versions_of_a_stream(house):
    user = house.make(name="Ana")
    for age in range(30):
        house.write(lambda age=age: house.User.objects(pk=user.pk).update(age=age))
    few = sequencer(house, batch=4)
    while step(few):
        pass

    assert list(range(1, 32)) == [event.position for event in house.events(user)]


def test_events_that_are_large_come_in_smaller_batches(house, monkeypatch):
    monkeypatch.setattr(sequencer_module, "_BATCH_BYTES", 1000)
    for _ in range(3):
        house.make(name="n" * 900)
    each = sequencer(house)

    assert [1, 1, 1, 0] == [step(each) for _ in range(4)]


def test_of_two_sequencers_one_is_refused_and_nothing_is_doubled(house):
    for number in range(6):
        house.make(name=f"u{number}")
    one, other = sequencer(house, batch=3), sequencer(house, batch=3)
    history = one._history

    class Meanwhile:
        """Between the numbers and the commit of one the other has its turn."""

        def update_many(self, *args, **options):
            done = history.update_many(*args, **options)
            with pytest.raises(Exception, match="WriteConflict|Write conflict"):
                elsewhere(lambda: step(other))
            return done

        def __getattr__(self, name):
            return getattr(history, name)

    one._history = Meanwhile()

    assert 3 == step(one)
    assert 3 == step(other)
    assert list(range(1, 7)) == [event["p"] for event in numbered()]
    assert [] == list(house.auditor.seals.problems())


def test_a_batch_that_fails_before_its_commit_leaves_no_position(house, monkeypatch):
    house.make(name="Ana")
    each = sequencer(house)

    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(house.auditor.seals, "put", fail)
    with pytest.raises(ZeroDivisionError):
        step(each)
    monkeypatch.undo()

    assert [] == numbered()
    assert 1 == house.auditor.sequence()
    assert [] == list(house.auditor.seals.problems())


def test_numbering_within_a_write_is_refused(house):
    with pytest.raises(BzzError, match="A numbering of events cannot run within auditor.write"):
        house.write(house.auditor.sequence)


def test_what_the_positions_cost_is_what_the_page_says(house):
    """The bytes of seals: 16 an event, and 75 a batch."""
    for number in range(10):
        house.make(name=f"u{number}")
    house.auditor.sequence()
    [seal] = get_db().bzz_seals.find()

    assert 16 * 10 + 75 >= len(BSON.encode(seal)) > 16 * 10
    assert {"_id", "l", "d"} == set(seal)


def test_a_database_that_was_made_anew_has_another_epoch(house):
    house.make(name="Ana")
    house.auditor.sequence()
    before = house.auditor.seals.head()
    events = list(get_db().bzz_history.find())
    raw_history = get_db().bzz_history
    raw_history.drop()
    house.auditor.store.prepare()
    raw_history.insert_many(events)
    house.auditor.seals.prepare()
    after = house.auditor.seals.head()

    assert before.epoch != after.epoch
    assert before.position == after.position


def test_an_epoch_begins_when_it_is_said(house):
    house.make(name="Ana")
    house.auditor.sequence()
    before = house.auditor.seals.head()
    epoch = house.auditor.begin_epoch()
    house.make(name="Bea")
    house.auditor.sequence()

    assert before.epoch != epoch == house.auditor.seals.head().epoch
    assert [1, 2] == [event["p"] for event in numbered()]
    assert [] == list(house.auditor.seals.problems())


def test_after_a_backup_of_another_moment_positions_go_on_above_all_that_are_there(house):
    house.make(name="Ana")
    house.auditor.sequence()
    get_db().bzz_history.update_one({"p": 1}, {"$set": {"p": 9}})
    house.auditor.begin_epoch()
    house.make(name="Bea")
    house.auditor.sequence()

    assert [9, 10] == [event["p"] for event in numbered()]


def test_documents_adopted_together_share_a_transaction(house):
    raw(house.User).insert_many([{"name": f"u{number}"} for number in range(5)])
    house.auditor.adopt(house.User)

    assert 4 == get_db().bzz_history.count_documents({"b": {"$exists": True}})


def test_without_its_head_nothing_is_numbered_until_an_epoch_begins(house):
    house.make(name="Ana")
    house.auditor.sequence()
    house.make(name="Bea")
    get_db().bzz_positions.delete_one({"_id": "head"})

    with pytest.raises(BzzError, match="of bzz_positions, which counts .* was taken away"):
        house.auditor.sequence()
    assert 1 == len(numbered())
    house.auditor.begin_epoch()
    assert 1 == house.auditor.sequence()
    assert [1, 2] == [event["p"] for event in numbered()]
    assert [] == list(house.auditor.seals.problems())


def test_an_application_that_starts_without_a_head_goes_on_behind_what_is_numbered(house):
    house.make(name="Ana")
    house.auditor.sequence()
    get_db().bzz_positions.delete_one({"_id": "head"})
    house.auditor.seals.prepare()
    house.make(name="Bea")
    house.auditor.sequence()

    assert [1, 2] == [event["p"] for event in numbered()]


def test_a_head_that_was_set_back_is_refused_with_the_way_out(house):
    for name in ("Ana", "Bea"):
        house.make(name=name)
        house.auditor.sequence()
    house.make(name="Cid")
    first = get_db().bzz_seals.find_one({"_id": 1})
    set_back = {"p": Int64(1), "d": first["d"]}
    get_db().bzz_positions.update_one({"_id": "head"}, {"$set": set_back})

    with pytest.raises(BzzError, match="The next position is taken: .*begin_epoch"):
        house.auditor.sequence()
    house.auditor.begin_epoch()
    assert 1 == house.auditor.sequence()
    assert [1, 2, 3] == [event["p"] for event in numbered()]
    assert [] == list(house.auditor.seals.problems())


def test_an_epoch_that_begins_beside_a_sequencer_takes_nothing_from_it(house):
    """It waits for the head, and finds what was numbered meanwhile."""
    for number in range(6):
        house.make(name=f"u{number}")
    each, usual = sequencer(house, batch=3), house.auditor.seals.put
    begun = threading.Thread(target=house.auditor.begin_epoch)

    def put(*args, **options):
        begun.start()
        usual(*args, **options)

    each._seals = SimpleNamespace(fence=house.auditor.seals.fence, put=put)
    assert 3 == step(each)
    begun.join()
    house.auditor.sequence()

    assert list(range(1, 7)) == [event["p"] for event in numbered()]
    assert [] == list(house.auditor.seals.problems())


def test_of_applications_that_start_together_after_a_backup_one_begins_the_epoch(house):
    get_db().bzz_positions.update_one({"_id": "head"}, {"$set": {"u": "another"}})
    epochs = []
    each = threading.Barrier(4)

    def start():
        each.wait()
        house.auditor.seals.prepare()
        epochs.append(house.auditor.seals.head().epoch)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == len(set(epochs))


def test_the_begin_of_an_epoch_within_a_write_is_refused(house):
    with pytest.raises(BzzError, match="The begin of an epoch cannot run within auditor.write"):
        house.write(house.auditor.begin_epoch)
