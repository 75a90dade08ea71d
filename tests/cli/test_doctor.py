"""`bzz doctor`: what it finds, what it says to do, how it ends, and that it makes nothing."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta

import mongoengine
import pymongo
import pytest
from click.testing import CliRunner
from mongoengine import Document, IntField, StringField, get_db

from bzz import embedded
from bzz.audit import Auditor
from bzz.cli import history_checks, server_checks
from bzz.cli.main import bzz
from bzz.cli.telling import lasting
from tests.audit.subscribers import caught_up, hurry, working
from tests.cli import here
from tests.cli.here import run
from tests.house import built, failing, new_database
from tests.support import wait_until
from tests.test_connection import hello_as

NOBODY = "mongodb://127.0.0.1:9/"


def reported(*arguments, code=0):
    """The findings by check."""
    result = run("doctor", *arguments, "--json")
    assert code == result.exit_code, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    return {each["check"]: each for each in found}


def of_uri(uri, *, code=0):
    """The findings of a server alone."""
    result = CliRunner().invoke(bzz, ["doctor", "--uri", uri, "--json"])
    assert code == result.exit_code, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    return {each["check"]: each for each in found}


def said(finding):
    """The state, and the words of a finding."""
    return f"{finding['state']}: {finding['message']} {finding['remedy'] or ''}".strip()


@pytest.fixture
def fresh(database, monkeypatch):
    """A house in an empty database, where nothing has been prepared."""
    with built() as house:
        house.auditor.track(house.User)
        monkeypatch.setattr(here, "auditor", house.auditor)
        yield house
        house.auditor.close()


@pytest.fixture
def house(fresh):
    """A house that is prepared, with all of its models."""
    fresh.track()
    return fresh


# A good server --------------------------------------------------------------------------------


def test_where_all_is_well_it_ends_with_0_and_every_line_says_ok(house):
    house.make(name="Ana")
    house.auditor.sequence()

    assert {"ok"} == {each["state"] for each in reported().values()}


def test_a_line_is_the_state_in_words_the_check_and_a_sentence(house):
    lines = [line.split("\t") for line in run("doctor").stdout.splitlines()]

    assert ["ok", "python", f"Python {server_checks.platform.python_version()}."] == lines[0]
    assert {3} == {len(each) for each in lines}


def test_it_looks_at_all_that_bzz_rests_on(house):
    house.auditor.subscribe("index")(lambda event, ctx: None)

    assert [
        *("python", "libraries", "server", "clock", "replica set", "compatibility"),
        *("storage engine", "privileges", "write concern", "read preference", "transactions"),
        *("oplog", "history", "indexes of bzz_history", "indexes of bzz_snapshots"),
        *("indexes of bzz_parked", "positions", "sizes"),
        *("model user", "baselines of user", "model team", "baselines of team"),
        *("model club", "baselines of club", "model order", "baselines of order"),
        *("model deed", "baselines of deed", "subscription index"),
    ] == list(reported())


def test_it_leaves_nothing_behind(fresh):
    reported()

    assert [] == get_db().list_collection_names()


def test_it_does_not_number_events(house):
    house.make(name="Ana")
    reported()

    assert 1 == get_db().bzz_history.count_documents({"p": 0})


def test_after_it_the_application_makes_its_indexes_as_ever(fresh):
    reported()
    fresh.auditor.prepare()

    assert "email_1" in get_db().user.index_information()


# The server -----------------------------------------------------------------------------------


def test_a_server_that_does_not_answer_is_found_soon():
    begun = time.monotonic()
    result = CliRunner().invoke(bzz, ["doctor", "--uri", NOBODY, "--timeout", "0.5"])

    assert 3 == result.exit_code
    assert "fail\tserver\tThe database does not answer: " in result.stdout
    assert time.monotonic() - begun < 4


def test_a_server_of_an_application_that_does_not_answer_is_found_soon(monkeypatch):
    mongoengine.disconnect_all()
    mongoengine.connect("app", host=f"{NOBODY}?uuidRepresentation=standard")
    with built() as house:
        house.auditor.track(house.User)
        monkeypatch.setattr(here, "auditor", house.auditor)
        found = reported("--timeout=0.5", code=3)
    mongoengine.disconnect_all()

    assert ["python", "libraries", "server"] == list(found)
    assert "fail" == found["server"]["state"]


def test_a_standalone_is_said_clearly(standalone):
    found = of_uri(standalone, code=3)

    assert (
        "fail: The MongoDB server is a standalone, which has no transactions. Start mongod with "
        "--replSet rs0 and run rs.initiate() once; a replica set of one node is enough."
    ) == said(found["replica set"])
    assert "fail" == found["transactions"]["state"]
    assert "history" not in found


def test_mongomock_is_said_clearly(mock_database, monkeypatch):
    with built() as house:
        house.auditor.track(house.User)
        monkeypatch.setattr(here, "auditor", house.auditor)
        found = reported(code=3)

    assert (
        "fail: The connection is mongomock's, for tests alone: no transactions, positions, "
        "subscriptions. Connect to a replica set; for tests: bzz.embedded."
    ) == said(found["server"])


def test_a_server_that_is_too_old_is_said_so(mongod_uri, monkeypatch):
    hello_as(monkeypatch, maxWireVersion=13)

    assert ("fail: The MongoDB server is older than 6.0, which bzz needs. Upgrade it.") == said(
        of_uri(mongod_uri, code=3)["replica set"]
    )


def test_a_sharded_cluster_is_looked_at_as_far_as_it_can_be(mongod_uri, monkeypatch):
    hello_as(monkeypatch, setName=None, msg="isdbgrid")
    found = of_uri(mongod_uri)

    assert "It is a sharded cluster." == found["replica set"]["message"]
    assert not {"oplog", "storage engine"} & found.keys()


def test_a_server_on_its_own_tells_of_the_history_in_its_database(mongod_uri, house):
    name = get_db().name

    assert "There is none in the database test." == of_uri(mongod_uri)["history"]["message"]
    with_history = of_uri(mongod_uri.replace("/?", f"/{name}?"))
    assert f"It is in the database {name}." == with_history["history"]["message"]
    assert "ok" == with_history["indexes of bzz_history"]["state"]


@pytest.mark.parametrize(
    ("options", "state", "told"),
    [
        pytest.param("&w=1", "warn", "w=1 in the URI: what is written without audit", id="w=1"),
        pytest.param("&w=0", "warn", "w=0 in the URI", id="w=0"),
        pytest.param("&journal=false", "warn", "j=False in the URI", id="no journal"),
        pytest.param("&w=majority", "ok", "w=majority in the URI.", id="majority"),
        pytest.param("", "ok", "That of the server", id="none"),
    ],
)
def test_the_write_concern_of_the_uri_is_judged(mongod_uri, options, state, told):
    finding = of_uri(mongod_uri + options)["write concern"]

    assert state == finding["state"]
    assert told in finding["message"]


def test_a_read_preference_for_secondaries_is_warned_of(mongod_uri):
    finding = of_uri(f"{mongod_uri}&readPreference=secondaryPreferred")["read preference"]

    assert ("warn", True) == (
        finding["state"],
        finding["message"].startswith("SecondaryPreferred in the URI: "),
    )


def test_a_transaction_that_fails_is_said_with_the_remedy(house):
    with failing(get_db().client, ["insert"], errorCode=13):
        told = said(reported(code=3)["transactions"])

    assert told.startswith("fail: A trial transaction on the database ")
    assert told.endswith(
        " Writes need readWrite rights, and a URI without options that transactions refuse."
    )


def answering(monkeypatch, asked, answer):
    """The server answers one command so."""
    command = server_checks.connection.pymongo.synchronous.database.Database.command

    def faked(self, name, *args, **kwargs):
        if name == asked:
            return answer
        return command(self, name, *args, **kwargs)

    monkeypatch.setattr(
        server_checks.connection.pymongo.synchronous.database.Database, "command", faked
    )


def test_an_upgrade_that_is_not_finished_fails(house, monkeypatch):
    name = "featureCompatibilityVersion"
    answering(monkeypatch, "getParameter", {name: {"version": "5.0"}})

    assert (
        f"fail: {name} is 5.0, and bzz needs 6.0. Finish the upgrade: "
        "db.adminCommand({setFeatureCompatibilityVersion: '6.0'})."
    ) == said(reported(code=3)["compatibility"])


def test_another_storage_engine_is_warned_of(house, monkeypatch):
    answering(monkeypatch, "serverStatus", {"storageEngine": {"name": "ephemeral"}})

    assert ("warn: ephemeral, on which bzz is not tested. Use wiredTiger.") == said(
        reported()["storage engine"]
    )


@pytest.mark.parametrize(("seconds", "told"), [(90, "90 s ahead"), (-90, "90 s behind")])
def test_clocks_that_differ_are_warned_of(house, monkeypatch, seconds, told):
    now = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=seconds)
    hello_as(monkeypatch, localTime=now)

    assert said(reported()["clock"]).startswith(f"warn: The server's clock is {told}. Let both ")


def privileges(monkeypatch, *granted):
    users = [{"user": "app", "db": "admin"}]
    told = {"authenticatedUsers": users, "authenticatedUserPrivileges": list(granted)}
    answering(monkeypatch, "connectionStatus", {"authInfo": told})


def test_rights_that_are_missing_are_named(house, monkeypatch):
    name = get_db().name
    allowed = sorted(server_checks._NEEDED - {"insert", "createIndex"})
    privileges(monkeypatch, {"resource": {"db": name, "collection": ""}, "actions": allowed})

    assert (
        f"fail: app@admin lacks rights in {name}: createIndex, insert. Grant the role readWrite on "
        f"{name}."
    ) == said(reported(code=3)["privileges"])


@pytest.mark.parametrize(
    ("resource", "actions"),
    [
        pytest.param({"anyResource": True}, ["anyAction"], id="root"),
        pytest.param({"db": "", "collection": ""}, sorted(server_checks._NEEDED), id="any"),
    ],
)
def test_rights_that_suffice_are_ok(house, monkeypatch, resource, actions):
    privileges(monkeypatch, {"resource": resource, "actions": actions})

    assert "ok" == reported()["privileges"]["state"]


def test_rights_in_another_database_do_not_count(house, monkeypatch):
    elsewhere = {"db": "elsewhere", "collection": ""}
    privileges(monkeypatch, {"resource": elsewhere, "actions": sorted(server_checks._NEEDED)})

    assert "fail" == reported(code=3)["privileges"]["state"]


@pytest.fixture
def guarded(tmp_path):
    """A replica set with access control: the URI of one who may read and write in one database."""
    key = tmp_path / "key"
    key.write_text("secret" * 10)
    key.chmod(0o600)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [embedded.find_mongod(), "--dbpath", tmp_path, "--port", port, "--keyFile", key]
    command += ["--replSet", "rs", "--bind_ip", "127.0.0.1", "--nounixsocket"]
    process = subprocess.Popen(
        [*map(str, command), "--wiredTigerCacheSizeGB", "0.25"], stdout=subprocess.DEVNULL
    )
    with pymongo.MongoClient(f"mongodb://127.0.0.1:{port}/?directConnection=true") as client:
        members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
        client.admin.command("replSetInitiate", {"_id": "rs", "members": members})
        wait_until(lambda: client.admin.command("hello")["isWritablePrimary"])
        roles = [{"role": "root", "db": "admin"}]
        client.admin.command("createUser", "root", pwd="root", roles=roles)
    with pymongo.MongoClient(f"mongodb://root:root@127.0.0.1:{port}/?replicaSet=rs") as client:
        roles = [{"role": "readWrite", "db": "shop"}]
        client.admin.command("createUser", "app", pwd="app", roles=roles)
    yield f"mongodb://app:app@127.0.0.1:{port}/{{}}?replicaSet=rs&authSource=admin"
    process.terminate()
    process.wait(30)


def test_the_role_readwrite_is_enough_and_what_it_may_not_see_is_a_warning(guarded):
    found = of_uri(guarded.format("shop"))
    elsewhere = of_uri(guarded.format("other"), code=3)

    assert "ok: app@admin may do what bzz does in shop." == said(found["privileges"])
    assert ("ok", "warn", "warn", "warn") == tuple(
        found[each]["state"]
        for each in ("transactions", "compatibility", "storage engine", "oplog")
    )
    assert ("fail", "fail") == tuple(
        elsewhere[each]["state"] for each in ("privileges", "transactions")
    )


def test_what_a_user_may_not_look_at_is_a_warning(house):
    with failing(get_db().client, ["serverStatus"], errorCode=13):
        finding = reported()["storage engine"]

    assert "warn" == finding["state"]
    assert "Run this as a user with the role clusterMonitor too, to know." == finding["remedy"]


def test_what_cannot_be_looked_at_fails(house):
    with failing(get_db().client, ["serverStatus"], errorCode=96):
        finding = reported(code=3)["storage engine"]

    assert finding["message"].startswith("It could not be looked at: ")


@pytest.mark.parametrize(
    ("maximum", "state"), [pytest.param(1, "warn", id="full"), pytest.param(10**12, "ok", id="new")]
)
def test_a_short_oplog_is_warned_of_once_it_is_full(house, monkeypatch, maximum, state):
    answering(
        monkeypatch,
        "collStats",
        {"size": 1000, "maxSize": maximum, "count": 0, "storageSize": 0, "totalIndexSize": 0},
    )

    assert state == reported()["oplog"]["state"]


@pytest.mark.parametrize(
    ("version", "bounds", "fits"),
    [
        ("4.17.0", ">=4.17,<5", True),
        ("4.20.1", "<5,>=4.17", True),
        ("4.16.9", ">=4.17,<5", False),
        ("5.0", ">=4.17,<5", False),
        (None, ">=4.17", False),
    ],
)
def test_versions_are_compared_with_bounds(version, bounds, fits):
    assert fits == server_checks._fulfils(version, bounds)


def test_a_library_of_another_version_is_warned_of(mongod_uri, monkeypatch):
    monkeypatch.setattr(server_checks.metadata, "requires", lambda name: ["pymongo<4,>=3"])

    finding = of_uri(mongod_uri)["libraries"]
    assert said(finding).startswith("warn: bzz ")
    assert "Install pymongo<4,>=3." == finding["remedy"]


def test_without_metadata_the_versions_are_told_alone(mongod_uri, monkeypatch):
    def missing(name):
        raise server_checks.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(server_checks.metadata, "requires", missing)

    assert "ok" == of_uri(mongod_uri)["libraries"]["state"]


# The history ----------------------------------------------------------------------------------


@pytest.fixture
def without_index(house):
    """The history without its index of positions, which is there again afterwards."""
    get_db().bzz_history.drop_index("position")
    yield house
    get_db().bzz_history.drop_indexes()
    house.auditor.store.prepare()


def test_a_missing_index_of_the_history_fails(without_index):
    finding = reported(code=3)["indexes of bzz_history"]

    assert ("fail: position is missing. Say --fix.") == said(finding)
    assert ["the index position of bzz_history"] == finding["makes"]


def test_an_index_that_is_another_fails(without_index):
    get_db().bzz_history.create_index("p", name="position")

    assert (
        "fail: position is not as it has to be. Drop it, and let --fix make it: "
        "db.bzz_history.dropIndex('position')."
    ) == said(reported(code=3)["indexes of bzz_history"])


def test_an_index_of_ones_own_is_told(without_index):
    without_index.auditor.store.prepare()
    get_db().bzz_history.create_index("t", name="mine")

    assert ("ok: All are there, and mine besides.") == said(reported()["indexes of bzz_history"])


def test_events_that_wait_long_for_their_positions_fail(house, monkeypatch):
    house.make(name="Ana")
    waiting = reported()["positions"]
    monkeypatch.setattr(history_checks, "_LATE", 0.0)
    late = reported(code=3)["positions"]

    assert "ok: 1 events wait for their positions, the first for 0 s." == said(waiting)
    assert said(late).startswith("fail: ")
    assert (
        "No process gives them: run the application with work=True, or bzz worker."
        == (late["remedy"])
    )


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(None, ""), (90.4, "90 s"), (3725, "62 min"), (100_000, "28 h"), (200_000, "2 d")],
)
def test_lengths_of_time_are_for_people(seconds, told):
    assert told == lasting(seconds)


@pytest.mark.parametrize(
    ("size", "told"),
    [(512, "512 bytes"), (1536, "1.5 KB"), (3 * 1024**3, "3.0 GB"), (2 * 1024**4, "2.0 TB")],
)
def test_sizes_are_for_people(size, told):
    assert told == server_checks.bytes_told(size)


def test_the_size_of_the_history_is_told(house):
    house.make(name="Ana")

    assert reported()["sizes"]["message"].startswith("1 events of ")


# Models ---------------------------------------------------------------------------------------


def test_what_is_missing_at_first_is_a_warning_with_the_remedy(fresh):
    found = reported()

    assert "warn" == found["history"]["state"]
    assert ("warn: user lacks the index (email 1). The first use makes it, and --fix.") == said(
        found["model user"]
    )


def test_a_model_without_audit_that_lacks_an_index_is_told_too(fresh):
    class Plain(Document):
        number = IntField(unique=True)

    found = reported()

    assert "plain lacks the index (number 1)." == found["model Plain"]["message"]
    assert "model team" not in found  # it has no index but that of its ids


def test_an_index_that_no_model_names_is_told(house):
    get_db().team.create_index("name")
    try:
        assert ("ok: team has all indexes that Team names, and (name 1).") == said(
            reported()["model team"]
        )
    finally:
        get_db().team.drop_index("name_1")


def test_documents_without_history_are_counted(house):
    house.make(name="Ana")
    get_db().user.insert_many([{"name": "Ben"}, {"name": "Cem"}])

    assert (
        "warn: Of 3 documents 2 have no history: it begins with their next change. Let it begin "
        "now: bzz adopt user."
    ) == said(reported()["baselines of user"])


def test_counting_ends_in_time(house, monkeypatch):
    monkeypatch.setattr(history_checks, "_BATCH", 2)
    get_db().user.insert_many([{"name": "Ben"} for _ in range(5)])
    checks = history_checks.ApplicationChecks(house.auditor, get_db().client, seconds=0)

    [finding] = checks._baselines(house.User)
    assert finding.message.startswith("Of the first 2 documents 2 have no history")


def test_documents_of_another_class_in_the_same_collection_are_not_counted(fresh):
    class Animal(Document):
        meta = {"allow_inheritance": True}

    class Dog(Animal):
        name = StringField()

    fresh.auditor.track(Dog)
    get_db().animal.insert_many([{"_cls": "Animal"}, {"_cls": "Animal.Dog"}])

    assert "Of 1 documents 1 have no history" in reported()["baselines of dog"]["message"]


def test_an_auditor_without_models_fails(monkeypatch):
    monkeypatch.setattr(here, "auditor", Auditor(work=False))

    assert ("fail: This auditor has no models: pass audit= to routes_for, or track().") == said(
        reported(code=3)["models"]
    )


def test_models_without_a_connection_fail(mongod_uri, monkeypatch):
    with new_database(mongod_uri), built() as house:
        house.auditor.track(house.User)
        monkeypatch.setattr(here, "auditor", house.auditor)
        found = reported(code=3)

    assert "User has no connection 'default'" in found["models"]["message"]


# Subscriptions --------------------------------------------------------------------------------


def test_a_stopped_subscription_fails(house):
    house.auditor.subscribe("index")(lambda event, ctx: None)
    with working(house):
        caught_up(house)
    house.auditor.begin_epoch()

    finding = reported(code=3)["subscription index"]
    assert ("fail", True) == (
        finding["state"],
        finding["message"].startswith("It has stopped: The subscription 'index' has stopped"),
    )
    assert finding["remedy"].endswith("bzz subscriptions restart index --from …")


def test_parked_events_are_warned_of_with_the_last_error(house, monkeypatch):
    hurry(monkeypatch)

    @house.auditor.subscribe("index", retries=0)
    def index(event, ctx):
        raise ValueError("ill")

    house.make(name="Ana")
    with working(house):
        caught_up(house)

    assert (
        "warn: 1 events are parked; the last error: ValueError: ill Mend what failed, then: bzz "
        "subscriptions retry index (or skip)."
    ) == said(reported()["subscription index"])


def test_a_subscription_that_is_far_behind_is_warned_of(house, monkeypatch):
    house.auditor.subscribe("index")(lambda event, ctx: None)
    house.make(name="Ana")
    house.auditor.sequence()
    before = reported()["subscription index"]
    monkeypatch.setattr(history_checks, "_BEHIND", 0.0)
    after = reported()["subscription index"]

    assert ("ok: It is idle, at position 0, 1 behind.") == said(before)
    assert "warn" == after["state"]
    assert after["message"].startswith("Nobody works for it, at position 0, 1 behind")
    assert "Start a worker: bzz worker." == after["remedy"]


def test_a_slow_subscription_is_warned_of(house, monkeypatch):
    hurry(monkeypatch)
    monkeypatch.setattr(history_checks, "_BEHIND", 0.0)
    reached, over = threading.Event(), threading.Event()

    @house.auditor.subscribe("index")
    def index(event, ctx):
        reached.set()
        over.wait(20)

    house.make(name="Ana")
    house.auditor.sequence()
    with working(house):
        reached.wait(20)
        finding = reported()["subscription index"]
        over.set()

    assert "Its consumer is too slow, or hangs: look at the log of its worker." == finding["remedy"]


# --fix ----------------------------------------------------------------------------------------


def test_fix_makes_what_is_missing_once_it_was_said(fresh):
    result = run("doctor", "--fix", "--yes")

    assert 0 == result.exit_code
    assert "Missing: the collection bzz_history\n" in result.stderr
    assert "Missing: the index (email 1) of user\n" in result.stderr
    assert "email_1" in get_db().user.index_information()
    assert "warn" not in {line.split("\t")[0] for line in result.stdout.splitlines()}


def test_fix_mends_the_indexes_of_the_history(fresh):
    fresh.auditor.prepare()
    get_db().bzz_history.drop_index("position")
    fresh.auditor._client = None  # as in another process

    assert 0 == run("doctor", "--fix", "--yes").exit_code
    assert "position" in get_db().bzz_history.index_information()


@pytest.mark.parametrize(("option", "code"), [("--dry-run", 0), ("--json", 2)])
def test_fix_makes_nothing_unasked(fresh, option, code):
    result = run("doctor", "--fix", option)

    assert code == result.exit_code
    assert "Missing: the collection bzz_history\n" in result.stderr
    assert [] == get_db().list_collection_names()


def test_fix_says_so_where_nothing_is_missing(house):
    result = run("doctor", "--fix")

    assert 0 == result.exit_code
    assert "Nothing is missing that could be made.\n" == result.stderr


# Arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "Say --app module:auditor (or set BZZ_APP), or --uri", id="nothing"),
        pytest.param(["--uri=http://u:secret@x/"], "It names no server: Invalid", id="no MongoDB"),
        pytest.param(["--uri=mongodb://x/?w=a&w=", "--fix"], "--fix makes what an app", id="fix"),
        pytest.param(["--uri=mongodb://x/", "--app=a:b"], "Say --app or --uri", id="both"),
        pytest.param(["--app=none:auditor"], "There is no module 'none'", id="no module"),
    ],
)
def test_wrong_arguments_end_it_with_2(arguments, message):
    result = CliRunner().invoke(bzz, ["doctor", *arguments])

    assert 2 == result.exit_code
    assert message in result.stderr
    assert "secret" not in result.stderr
