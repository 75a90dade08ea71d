"""The thread that numbers events by itself: soon, once, beside others, and after one was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import mongoengine
from mongoengine import get_connection, get_db
from pymongo.errors import InvalidOperation

from bzz import flatten
from bzz.audit.leasing import Lease
from bzz.audit.sequencer import Sequencer
from bzz.audit.sequencing import Sequencing
from tests.house import built, new_database
from tests.support import Server, wait_until

WORKER = """
import sys, time, mongoengine
from bzz.audit.seals import SealStore
from bzz.audit.sequencer import Sequencer
from bzz.audit.leasing import Lease
from bzz.transactions import Deadline
client = mongoengine.connect(sys.argv[1], host=sys.argv[2])
database = client[sys.argv[1]]
seals = SealStore(database)
put = seals.put
def hang(*args, **options):
    put(*args, **options)
    print("numbered", flush=True)
    time.sleep(100)
seals.put = hang
lease = Lease(database.bzz_positions, seconds=1)
with client.start_session() as session:
    while not lease.take(client, session.session_id):
        pass
    Sequencer(client, seals).step(session, Deadline(100))
"""


def threads():
    return [each for each in threading.enumerate() if each.name == "bzz-sequencer"]


def test_a_reader_beside_writers_sees_every_event_once_and_in_order(database):
    """The thread numbers; eight writers pause inside their transactions."""
    with built(work=True) as house:
        house.track()
        routes = flatten([house.routes(), house.auditor.routes()])

        def write(number):
            for count in range(25):
                house.write(
                    lambda: [
                        house.User(name=f"{number}-{count}").save(),
                        time.sleep(0.002 * (number % 4)),
                        house.Team(name=f"{number}-{count}").save(),
                    ]
                )

        writers = [threading.Thread(target=write, args=(each,)) for each in range(8)]
        seen = []
        with Server(routes) as server:
            following = "/history/?order=asc&limit=100"
            for each in writers:
                each.start()

            def read():
                nonlocal following
                answer = server.get(following)
                seen.extend((each["position"], each["id"]) for each in answer.json["items"])
                following = answer.json["next"]
                return len(seen) >= 400 and not any(each.is_alive() for each in writers)

            wait_until(read, 40)
        house.auditor.close()

        assert list(range(1, 401)) == [position for position, _ in seen]
        assert 400 == len({identity for _, identity in seen})
        assert house.auditor.verify().run().ok


def test_events_are_numbered_soon_and_the_thread_ends_when_it_is_told(database):
    with built(work=True) as house:
        house.track()
        user = house.make(name="Ana")
        wait_until(lambda: [1] == [each.position for each in house.events(user)], 10)
        house.auditor.close()

        assert [] == threads()


def test_an_auditor_that_does_not_work_starts_no_thread(database):
    with built(work=False) as house:
        house.track()
        house.make(name="Ana")

        assert [] == threads()
        house.auditor.close()


def test_the_thread_ends_with_its_client(mongod_uri):
    with new_database(mongod_uri) as name, built(work=True) as house:
        mongoengine.connect(name, host=mongod_uri)
        house.track()
        mongoengine.disconnect_all()
        wait_until(lambda: not threads(), 10)


def test_only_one_has_the_lease(database):
    with get_connection().start_session() as session:
        one, other = Lease(database.bzz_positions), Lease(database.bzz_positions)

        assert one.take(get_connection(), session.session_id)
        assert not other.take(get_connection(), session.session_id)
        one.give_up()
        assert other.take(get_connection(), session.session_id)


def test_who_gave_the_lease_up_keeps_its_session(database):
    """It may have another transaction by then, of somebody who writes."""
    client = get_connection()
    one, other = Lease(database.bzz_positions), Lease(database.bzz_positions)
    with client.start_session() as session, client.start_session() as its:
        one.take(client, session.session_id)
        one.give_up()
        with session.start_transaction():
            database.things.insert_one({"_id": 1}, session=session)
            assert other.take(client, its.session_id)

    assert 1 == database.things.count_documents({})


def test_a_lease_from_a_clock_that_was_ahead_is_over(database):
    """The clock of the next primary may be an hour behind."""
    client = get_connection()
    one, other = Lease(database.bzz_positions), Lease(database.bzz_positions)
    with client.start_session() as session:
        one.take(client, session.session_id)
        later = {"$set": {"until": datetime.now(UTC) + timedelta(hours=1)}}
        get_db().bzz_positions.update_one({"_id": "lease"}, later)

        assert other.take(client, session.session_id)


def test_first_uses_at_once_start_one_thread(database):
    with built(work=True) as house:
        house.auditor.track(house.User)
        uses = [threading.Thread(target=house.auditor.prepare) for _ in range(8)]
        for each in uses:
            each.start()
        for each in uses:
            each.join()

        assert 1 == len(threads())
        house.auditor.close()
        assert [] == threads()


def test_a_thread_that_died_is_started_again_with_the_next_write(database, monkeypatch):
    with built(work=True) as house:
        with monkeypatch.context() as patch:
            patch.setattr(Sequencing, "_serve", lambda *_: None)
            house.track()
        wait_until(lambda: not threads(), 10)
        sequencing = house.auditor._sequencing
        sequencing._background._work = sequencing._serve
        user = house.make(name="Ana")
        wait_until(lambda: [1] == [each.position for each in house.events(user)], 10)
        house.auditor.close()


def test_an_error_is_logged_once_and_the_thread_goes_on(database, monkeypatch, caplog):
    with built(work=True) as house:
        house.track()
        fails = iter([RuntimeError("once"), RuntimeError("twice"), InvalidOperation("thrice")])
        usual = Sequencer.step

        def step(*args):
            for error in fails:
                raise error
            return usual(*args)

        monkeypatch.setattr(Sequencer, "step", step)
        user = house.make(name="Ana")
        wait_until(lambda: [1] == [each.position for each in house.events(user)], 20)
        house.auditor.close()

    warned = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert ["Events wait for their positions: once"] == warned


FORKED = """
import os, sys, time, mongoengine, warnings
warnings.simplefilter("ignore")
from bzz.audit import Auditor
name, uri = sys.argv[1:]
mongoengine.connect(name, host=uri)
class Thing(mongoengine.Document):
    name = mongoengine.StringField()
auditor = Auditor()
auditor.track(Thing)
auditor.prepare()
sequencing = auditor._sequencing
sequencing.close()
sequencing._background._closed.clear()  # as in a server that forks before its first write
if child := os.fork():
    os.waitpid(child, 0)
    sys.exit()
auditor.write(lambda: Thing(name="of the child").save())
history = mongoengine.get_db().bzz_history
until = time.monotonic() + 20
while not history.count_documents({"p": 1}) and time.monotonic() < until:
    time.sleep(0.01)
print(history.count_documents({"p": 1}), flush=True)
os._exit(0)
"""


def test_a_process_that_was_forked_has_a_thread_of_its_own(database, mongod_uri):
    command = [sys.executable, "-c", FORKED, database.name, mongod_uri]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert "1" == done.stdout.strip(), done.stderr


def test_a_worker_killed_between_numbers_and_commit_leaves_nothing_and_is_replaced(
    database, mongod_uri
):
    with built(work=False) as house:
        house.track()
        for number in range(5):
            house.make(name=f"u{number}")
        command = [sys.executable, "-c", WORKER, database.name, mongod_uri]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            assert "numbered" == worker.stdout.readline().strip()
            worker.send_signal(signal.SIGKILL)
        with built(work=True) as next_house:
            begun = time.monotonic()
            next_house.track()
            history = get_db().bzz_history
            wait_until(lambda: 5 == history.count_documents({"p": {"$gt": 0}}), 30)
            next_house.auditor.close()

        assert time.monotonic() - begun < 20  # the server alone would take a minute
        assert [1, 2, 3, 4, 5] == sorted(each["p"] for each in history.find())
        assert [] == list(house.auditor.seals.problems())
