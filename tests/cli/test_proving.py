"""`bzz verify`, `replay`, `adopt` and `export`: over many documents, and to be gone on with."""

from __future__ import annotations

import json
import signal

import pytest
from bson import ObjectId
from mongoengine import Document, StringField, get_db

from bzz.audit import adopting
from bzz.audit.verifying import Reports
from bzz.cli.telling import Teller
from tests.cli.here import run, told
from tests.house import raw, stored


@pytest.fixture
def three(house):
    """Three users of two versions each, and their positions 1 to 6."""
    users = [house.make(name=name, age=1) for name in ("One", "Two", "Three")]
    for each in users:
        house.write(lambda each=each: house.User.objects(pk=each.pk).update(age=2))
    house.auditor.sequence()
    return users


def spoil(house, user, **values):
    raw(house.User).update_one({"_id": user.pk}, {"$set": values})


def interrupt_at(monkeypatch, owner, name, call):
    """Ctrl-C is pressed at a call of a method."""
    real, calls = getattr(owner, name), []

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == call:
            signal.raise_signal(signal.SIGINT)
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, interrupted)


# verify ---------------------------------------------------------------------------------------


def test_of_what_is_right_only_a_summary_is_told(three):
    result = run("verify")

    assert (0, "") == (result.exit_code, result.stdout)
    assert "Verified 3 documents, 6 versions: nothing is wrong.\n" == result.stderr


def test_each_wrong_document_is_a_line_and_the_code_is_3(house, three):
    spoil(house, three[1], age=7, name="X")
    result = run("verify", "user")

    assert 3 == result.exit_code
    assert f'user {three[1].pk}: ~ /name: "Two" -> "X"; ~ /age: 2 -> 7\n' == result.stdout
    assert "3 documents, 6 versions: 1 otherwise than their history says." in result.stderr


def test_wrong_documents_are_told_in_json_as_the_api_shows_them(house, three):
    spoil(house, three[1], age=7)
    result = run("verify", "user", "--json")
    shown = house.running.post(f"/user/{three[1].pk}/history/replay/", {}).json
    del shown["mode"]

    assert [shown] == [json.loads(line) for line in result.stdout.splitlines()]


def test_one_document_is_verified(house, three):
    spoil(house, three[1], age=7)

    assert 3 == run("verify", "user", str(three[1].pk)).exit_code
    assert 0 == run("verify", "user", str(three[0].pk)).exit_code


def test_a_missing_event_is_told(house, three):
    get_db()["bzz_history"].delete_one({"d": three[0].pk, "v": 1})
    result = run("verify", "user", str(three[0].pk))

    assert 3 == result.exit_code
    assert "Version 1 is missing from the history." in result.stdout
    assert "1 with a history that is not whole" in result.stderr


def test_what_is_wrong_with_all_events_is_told(house, three):
    get_db()["bzz_history"].delete_many({"d": three[0].pk})
    raw(house.User).delete_one({"_id": three[0].pk})
    result = run("verify")

    assert 3 == result.exit_code
    assert "All events: " in result.stdout


def test_documents_without_a_history_are_not_wrong_and_counted(house, three):
    raw(house.User).insert_one({"name": "Old"})
    result = run("verify", "user")

    assert 0 == result.exit_code
    assert "1 document has no history yet: 'bzz adopt MODEL' gives them" in result.stderr


def test_a_long_text_that_differs_is_one_line_too(house):
    user = house.make(name="Ana", note="a\nb\nc")
    spoil(house, user, note="a\nB\nc")

    assert 1 == len(run("verify").stdout.splitlines())


def test_ctrl_c_tells_how_far_it_is_and_how_to_go_on(house, three, monkeypatch):
    spoil(house, three[2], age=7)
    interrupt_at(monkeypatch, Reports, "__next__", 2)
    result = run("verify", "user")

    assert 130 == result.exit_code
    assert "Verified 2 documents, 4 versions: nothing is wrong. Go on with --after " in (
        result.stderr
    )
    rest = run("verify", "user", "--after", result.stderr.split()[-1])
    assert 3 == rest.exit_code
    assert "Verified 1 document, 2 versions: 1 otherwise" in rest.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["user", "--after", "x"], "'x' is not a place in a run over these models"),
        (["usr"], "No model 'usr' is audited here"),
        (["user", str(ObjectId()), "--after", "x"], "--after is for many documents, without ID."),
    ],
)
def test_a_run_that_nobody_can_mean_is_a_wrong_argument(three, arguments, message):
    result = run("verify", *arguments)

    assert 2 == result.exit_code
    assert message in result.stderr


def test_a_document_that_never_was_is_not_verified(three):
    result = run("verify", "user", str(ObjectId()))

    assert 1 == result.exit_code
    assert "none is known to have been" in result.stderr


# replay ---------------------------------------------------------------------------------------


def test_documents_become_what_their_histories_say(house, three):
    spoil(house, three[1], age=7)
    result = run("replay", "user", "--yes")

    assert (0, 2) == (result.exit_code, stored(three[1])["age"])
    assert [
        "1 document stored otherwise than its history says:",
        f"user {three[1].pk}: ~ /age: 2 -> 7",
        "1 document overwritten.",
    ] == result.stdout.splitlines()
    assert 2 == len(house.events(three[1]))


def test_one_document_becomes_what_its_history_says(house, three):
    for each in three:
        spoil(house, each, age=7)
    run("replay", "user", str(three[1].pk), "--yes")

    assert [7, 2, 7] == [stored(each)["age"] for each in three]


def test_a_replay_is_shown_without_being_done(house, three):
    spoil(house, three[1], age=7)
    result = run("replay", "user", "--dry-run")

    assert (0, 7) == (result.exit_code, stored(three[1])["age"])
    assert "~ /age: 2 -> 7" in result.stdout


def test_a_replay_is_told_in_json(house, three):
    spoil(house, three[1], age=7)
    [planned] = told("replay", "user", "--dry-run")
    [done] = told("replay", "user", "--yes")

    assert [(False, False), (True, True)] == [
        (each["ok"], each["rebuilt"]) for each in (planned, done)
    ]
    assert planned["differences"] == done["differences"]


def test_without_a_terminal_a_replay_is_only_shown(house, three):
    spoil(house, three[1], age=7)
    result = run("replay", "user")

    assert (2, 7) == (result.exit_code, stored(three[1])["age"])


def test_where_all_is_right_there_is_nothing_to_replay(three):
    result = run("replay", "user")

    assert 0 == result.exit_code
    assert "All documents are what their histories say: there is nothing to do.\n" == result.stdout


def test_what_is_spoiled_after_the_preview_is_left_alone(house, three, monkeypatch):
    spoil(house, three[1], age=7)
    monkeypatch.setattr(
        "bzz.cli.replay.confirm", lambda question, yes: spoil(house, three[1], age=8)
    )
    result = run("replay", "user")

    assert (1, 8) == (result.exit_code, stored(three[1])["age"])
    assert "is not what it was when it was verified; nothing was written." in result.stderr


def test_a_broken_history_is_not_replayed_and_told(house, three):
    spoil(house, three[1], age=7)
    get_db()["bzz_history"].delete_one({"d": three[0].pk, "v": 1})
    result = run("replay", "user", "--yes")

    assert (1, 2) == (result.exit_code, stored(three[1])["age"])
    assert "1 document cannot be told from a broken history:" in result.stdout


def test_ctrl_c_ends_a_replay_behind_a_document(house, three, monkeypatch):
    for each in three:
        spoil(house, each, age=7)
    interrupt_at(monkeypatch, type(house.auditor), "history_under", 2)
    result = run("replay", "user", "--yes")

    assert 130 == result.exit_code
    assert "2 of 3 documents are overwritten; run it again for the others." in result.stderr
    assert [2, 2, 7] == [stored(each)["age"] for each in three]


def test_another_collection_is_filled(house, three):
    spoil(house, three[1], age=7)
    result = run("replay", "user", "--into", "again", "--yes")

    assert 0 == result.exit_code
    assert [2, 2, 2] == [each["age"] for each in get_db()["again"].find()]
    assert 7 == stored(three[1])["age"]
    assert "3 documents stored in 'again'" in result.stdout


def test_without_a_terminal_no_collection_is_filled(three):
    result = run("replay", "user", "--into", "again")

    assert (2, 0) == (result.exit_code, get_db()["again"].count_documents({}))
    assert "The user documents go into 'again', of 3 histories." in result.stdout


def test_a_collection_that_has_documents_is_not_filled(three):
    get_db()["again"].insert_one({})
    result = run("replay", "user", "--into", "again", "--yes")

    assert 1 == result.exit_code
    assert "The collection 'again' is not empty" in result.stderr


def test_ctrl_c_ends_the_filling_and_tells_how_to_go_on(house, three, monkeypatch):
    interrupt_at(monkeypatch, Reports, "__next__", 1)
    result = run("replay", "user", "--into", "again", "--yes")

    assert 130 == result.exit_code
    token = result.stderr.split()[-1]
    again = run("replay", "user", "--into", "again", "--yes", "--after", token)
    assert 0 == again.exit_code, again.output
    assert 3 == get_db()["again"].count_documents({})


# adopt ----------------------------------------------------------------------------------------


@pytest.fixture
def old(house):
    """Three users from before the audit, and one with a history."""
    house.make(name="New")
    raw(house.User).insert_many([{"name": f"Old {n}"} for n in range(3)])


def test_documents_from_before_the_audit_get_their_baseline(house, old):
    result = run("adopt", "user", "--yes")

    assert 0 == result.exit_code
    assert [
        "3 of 4 user documents have no history yet.",
        "3 documents adopted, 1 had a history.",
    ] == result.stdout.splitlines()
    assert 3 == get_db()["bzz_history"].count_documents({"o": "b"})


@pytest.mark.parametrize("how", [["--dry-run"], []])
def test_an_adoption_is_shown_without_being_done(house, old, how):
    result = run("adopt", "user", *how)

    assert (0 if how else 2) == result.exit_code
    assert "3 of 4 user documents have no history yet.\n" == result.stdout
    assert 0 == get_db()["bzz_history"].count_documents({"o": "b"})


def test_an_adoption_is_told_in_json(house, old):
    assert [{"model": "user", "without_history": 3, "documents": 4}] == told(
        "adopt", "user", "--dry-run"
    )
    assert [{"adopted": 3, "known": 1, "refused": []}] == told("adopt", "user", "--yes")


def test_where_all_have_a_history_nobody_is_asked(three):
    result = run("adopt", "user")

    assert (0, "0 of 3 user documents have no history yet.\n") == (
        result.exit_code,
        result.stdout,
    )


def test_ctrl_c_ends_an_adoption_and_tells_how_to_go_on(house, monkeypatch):
    raw(house.User).insert_many([{"name": f"Old {n}"} for n in range(250)])
    interrupt_at(monkeypatch, adopting, "_adopted", 1)
    result = run("adopt", "user", "--yes")

    assert 130 == result.exit_code
    assert "100 documents have a baseline by now; go on with --after " in result.stderr
    assert 100 == get_db()["bzz_history"].count_documents({"o": "b"})

    [rest] = told("adopt", "user", "--yes", "--after", result.stderr.split()[-1])
    assert 150 == rest["adopted"]


def test_a_document_too_large_for_an_event_is_told(house):
    key = raw(house.User).insert_one({"name": "x" * (16 * 1024 * 1024 - 100)}).inserted_id
    result = run("adopt", "user", "--yes")

    assert 1 == result.exit_code
    assert f"User {key} is too large for an event." in result.stderr


# export ---------------------------------------------------------------------------------------


def positions(*arguments):
    return [each["position"] for each in told("export", *arguments)]


def test_all_events_are_exported_in_the_order_of_their_positions(house, three):
    result = run("export")
    items = [json.loads(line) for line in result.stdout.splitlines()]

    assert list(range(1, 7)) == [each["position"] for each in items]
    epoch = house.auditor.feed.head().epoch
    assert f"6 events, up to position 6 of epoch {epoch}.\n" == result.stderr
    assert house.running.get(f"/user/{three[0].pk}/history/").json["items"][::-1] == [
        each for each in items if each["document"] == str(three[0].pk)
    ]


def test_events_that_have_no_position_yet_are_exported_too(house):
    house.make(name="Ana")

    assert [1] == positions()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--after", "4"], [5, 6]),
        (["--before", "3"], [1, 2]),
        (["--operation", "created"], [1, 2, 3]),
        (["--field", "name"], [1, 2, 3]),
        (["user", "--actor", "system", "--after", "5"], [6]),
        (["team"], []),
        (["--correlation", "none"], []),
        (["--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z"], []),
    ],
)
def test_what_is_exported_is_filtered(three, arguments, expected):
    assert expected == positions(*arguments)


def test_where_nothing_matches_the_position_is_told_all_the_same(three):
    assert "No events, up to position 6 of epoch" in run("export", "team").stderr


def test_a_file_is_written(three, tmp_path):
    target = tmp_path / "events.jsonl"
    result = run("export", "--output", str(target))

    assert (0, "") == (result.exit_code, result.stdout)
    assert 6 == len(target.read_text().splitlines())
    assert [target] == list(tmp_path.iterdir())


def test_a_file_is_there_only_when_it_is_complete(house, three, tmp_path, monkeypatch):
    target = tmp_path / "events.jsonl"
    target.write_text("before")
    interrupt_at(monkeypatch, Teller, "tell", 2)
    result = run("export", "--output", str(target))

    assert 130 == result.exit_code
    assert f"{target} was not written." in result.stderr
    assert ["before"] == [each.read_text() for each in tmp_path.iterdir()]


def test_a_file_that_cannot_be_written_is_told(three, tmp_path):
    result = run("export", "--output", str(tmp_path / "no" / "events.jsonl"))

    assert 1 == result.exit_code
    assert "cannot be written: No such file or directory." in result.stderr


def test_ctrl_c_tells_behind_which_position_to_go_on(three, monkeypatch):
    interrupt_at(monkeypatch, Teller, "tell", 2)
    result = run("export")

    assert 130 == result.exit_code
    assert 2 == len(result.stdout.splitlines())
    assert "2 events printed; go on with --after 2" in result.stderr


def test_a_position_of_another_epoch_is_told(three):
    result = run("export", "--after", "1", "--epoch", "other")

    assert 1 == result.exit_code
    assert "Position 1 is of another epoch" in result.stderr


def test_an_event_that_an_upcaster_cannot_tell_ends_the_export_where_it_is(house, three):
    class Page(Document):
        title = StringField()

    house.auditor.track(Page)
    house.write(lambda: Page(title="a").save())
    house.auditor.track(Page, schema=2)

    @house.auditor.upcast(Page, from_schema=1)
    def broken(state):
        raise ValueError("no")

    result = run("export")

    assert 1 == result.exit_code
    assert 6 == len(result.stdout.splitlines())
    assert "6 events printed; go on with --after 6" in result.stderr
