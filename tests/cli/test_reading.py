"""`bzz history`, `show`, `diff` and `blame`: what documents were, and who made them so."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from bson import ObjectId
from mongoengine import Document, StringField

from tests.cli.here import run, told
from tests.house import raw


@pytest.fixture
def ana(house):
    """A user of three versions, by ana, ben and the system; another one of one version."""
    user = house.write(lambda: house.User(name="Ana", age=1).save(), actor="ana", reason="new")

    def change(**values):
        return lambda: house.User.objects(pk=user.pk).update(**values)

    house.write(change(age=2), actor="ben", correlation="c1")
    house.write(change(name="Anna", tags=["a"]))
    house.write(lambda: house.User(name="Eve").save(), actor="ben", correlation="c1")
    return user


def versions(*arguments):
    return [each["version"] for each in told("history", *arguments)]


# history of one document ----------------------------------------------------------------------


def test_the_events_of_a_document_are_lines_newest_first(ana):
    lines = run("history", "user", str(ana.pk)).stdout.splitlines()

    assert ["3", "updated"] == lines[0].split("\t")[:2]
    assert ["ana", "new", "name, age, tags"] == lines[2].split("\t")[3:]


def test_events_are_told_in_json_as_the_api_shows_them(house, ana):
    shown = house.running.get(f"/user/{ana.pk}/history/").json["items"]

    assert shown == told("history", "user", str(ana.pk))


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--field", "age"], [2, 1]),
        (["--actor", "ben"], [2]),
        (["--operation", "created"], [1]),
        (["--before", "3"], [2, 1]),
        (["--after", "2"], [3]),
        (["--order", "asc"], [1, 2, 3]),
        (["--limit", "2"], [3, 2]),
        (["--until", "2020-01-01T00:00:00Z"], []),
        (["--since", "2020-01-01T00:00:00Z"], [3, 2, 1]),
    ],
)
def test_the_events_of_a_document_are_filtered(ana, filters, expected):
    assert expected == versions("user", str(ana.pk), *filters)


def test_a_deleted_document_still_has_its_events(house, ana):
    house.write(ana.delete)

    assert [4, 3, 2, 1] == versions("user", str(ana.pk))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--order", "up"], "'order' is asc or desc, not 'up'."),
        (["--operation", "eaten"], "'operation' is one of created, updated"),
        (["--since", "soon"], "'since' is a time such as 2026-05-01T12:00:00Z; got 'soon'."),
        (["--before", "x"], "'before' is a whole number from 0; got 'x'."),
        (["--field", "weight"], "User has no field 'weight', and never had in this history."),
        (["--limit", "0"], "0 is not in the range x>=1"),
        (["--model", "user"], "--model and --correlation are for the events of many documents."),
    ],
)
def test_a_wrong_filter_is_a_wrong_argument(ana, arguments, message):
    result = run("history", "user", str(ana.pk), *arguments)

    assert 2 == result.exit_code
    assert message in result.stderr


def test_an_unknown_model_is_named_with_those_that_there_are(ana):
    result = run("history", "usr", "1")

    assert 2 == result.exit_code
    assert "No model 'usr' is audited here; there are club, deed, order, team, user." in (
        result.stderr
    )


def test_what_can_be_no_id_is_a_wrong_argument(ana):
    result = run("history", "user", "17")

    assert 2 == result.exit_code
    assert "'17' can be no id of 'user'" in result.stderr


def test_a_document_that_never_was_has_no_history(ana):
    gone = str(ObjectId())
    result = run("history", "user", gone)

    assert 1 == result.exit_code
    assert f"There is no user {gone}, and none is known to have been." in result.stderr


def test_a_model_of_other_ids_is_told_the_same(house):
    class Member(Document):
        email = StringField(unique=True)

        @classmethod
        def get_id_field_name(cls):
            return cls.email

    house.track(Member)
    house.make(Member, email="a/b@example.org")
    result = run("history", "member", "nobody@example.org")

    assert [1] == versions("member", "a/b@example.org")
    assert 1 == result.exit_code
    assert "There is no member nobody@example.org, and none is known to have been." in result.stderr


def test_a_document_from_before_the_audit_is_said_to_have_no_history_yet(house):
    raw(house.User).insert_one({"_id": (key := ObjectId()), "name": "Old"})
    result = run("history", "user", str(key))

    assert 1 == result.exit_code
    assert f"user {key} has no history yet: 'bzz adopt user' gives it its baseline." in (
        result.stderr
    )


def test_the_class_names_a_model_too(ana):
    assert [3, 2, 1] == versions("User", str(ana.pk))


# history of all -------------------------------------------------------------------------------


def test_without_an_id_the_events_of_all_are_told_as_the_api_shows_them(house, ana):
    items = told("history")

    assert [4, 3, 2, 1] == [each["position"] for each in items]
    assert "Eve" == items[0]["changes"][0]["to"]


@pytest.mark.parametrize(
    ("filters", "positions"),
    [
        (["--correlation", "c1"], [4, 2]),
        (["--model", "team"], []),
        (["team"], []),
        (["user"], [4, 3, 2, 1]),
        (["--actor", "ben", "--order", "asc"], [2, 4]),
        (["--field", "age"], [2, 1]),
        (["--after", "2"], [4, 3]),
        (["--before", "3", "--limit", "1"], [2]),
    ],
)
def test_the_events_of_all_are_filtered(ana, filters, positions):
    assert positions == [each["position"] for each in told("history", *filters)]


def test_a_position_that_is_not_there_is_told(ana):
    result = run("history", "--after", "99")

    assert 1 == result.exit_code
    assert "There is no position 99; the last one is 4." in result.stderr


def test_a_class_has_the_events_of_those_that_inherit_from_it(house):
    class Animal(Document):
        meta = {"allow_inheritance": True}
        name = StringField()

    class Dog(Animal):
        bark = StringField(db_field="b")

    for each in (Animal, Dog):
        house.auditor.track(each)
    house.write(lambda: Animal(name="a").save())
    dog = house.write(lambda: Dog(name="d", bark="wau").save())
    house.auditor.sequence()

    assert ["dog", "animal"] == [each["model"] for each in told("history", "animal")]
    assert ["dog"] == [each["model"] for each in told("history", "dog")]
    for model in ("animal", "dog"):
        [event] = told("history", model, str(dog.pk))
        assert {"/name", "/bark", "/_cls"} == {each["path"] for each in event["changes"]}


def test_the_model_is_named_once(ana):
    result = run("history", "user", "--model", "team")

    assert 2 == result.exit_code
    assert "Name the model once" in result.stderr


# show -----------------------------------------------------------------------------------------


def test_the_last_version_is_shown(house, ana):
    assert house.running.get(f"/user/{ana.pk}/").json == json.loads(
        run("show", "user", str(ana.pk)).stdout
    )


def test_a_version_is_shown(ana):
    [shown] = told("show", "user", str(ana.pk), "2")

    assert ("Ana", 2) == (shown["name"], shown["age"])


def test_a_time_is_shown(ana):
    now = datetime.now(UTC).isoformat()

    assert "Anna" == told("show", "user", str(ana.pk), now)[0]["name"]


def test_an_event_is_shown(house, ana):
    [shown] = told("show", "user", str(ana.pk), "2", "--event")

    assert house.running.get(f"/user/{ana.pk}/history/2/?view=event").json == shown


def test_a_version_that_never_was_is_told(ana):
    result = run("show", "user", str(ana.pk), "9")

    assert 1 == result.exit_code
    assert "has no version 9; its last version is 3." in result.stderr


def test_a_time_before_the_document_is_told(ana):
    result = run("show", "user", str(ana.pk), "2020-01-01T00:00:00Z")

    assert 1 == result.exit_code
    assert "was not known yet at 2020-01-01T00:00:00.000Z." in result.stderr


def test_what_is_neither_a_version_nor_a_time_is_a_wrong_argument(ana):
    result = run("show", "user", str(ana.pk), "soon")

    assert 2 == result.exit_code
    assert "'soon' is neither a version nor a time such as 2026-05-01T12:00:00Z." in result.stderr


def test_of_a_deleted_document_the_last_state_is_named(house, ana):
    house.write(ana.delete)
    result = run("show", "user", str(ana.pk))

    assert 1 == result.exit_code
    assert "is a delete; the last state before it is that of version 3." in result.stderr


# diff -----------------------------------------------------------------------------------------


def test_what_the_last_version_changed_is_lines(ana):
    lines = run("diff", "user", str(ana.pk)).stdout.splitlines()

    assert [line[:13] for line in lines[:2]] == ["--- version 2", "+++ version 3"]
    assert ['~ /name: "Ana" -> "Anna"', '+ /tags/0: "a"'] == lines[2:]


def test_two_versions_are_compared_either_way(ana):
    [shown] = told("diff", "user", str(ana.pk), "2", "1")

    assert {"from": 2, "to": 1, "changes": [{"path": "/age", "from": 2, "to": 1}]} == shown


def test_a_version_is_compared_with_the_last_one(ana):
    [shown] = told("diff", "user", str(ana.pk), "1")

    assert (1, 3) == (shown["from"], shown["to"])


def test_changes_are_told_as_a_json_patch(ana):
    patch = json.loads(run("diff", "user", str(ana.pk), "1", "2", "--patch").stdout)

    assert [{"op": "replace", "path": "/age", "value": 2}] == patch


# blame ----------------------------------------------------------------------------------------


def test_each_value_is_told_with_what_set_it(ana):
    lines = [each.split("\t") for each in run("blame", "user", str(ana.pk)).stdout.splitlines()]

    assert [
        ("/name", "3", "system", '"Anna"'),
        ("/age", "2", "ben", "2"),
        ("/tags/0", "3", "system", '"a"'),
    ] == [(path, version, actor, value) for path, version, _, actor, value in lines]


def test_blame_is_told_in_json_as_the_api_shows_it(house, ana):
    shown = house.running.get(f"/user/{ana.pk}/history/blame/").json["items"]

    assert shown == told("blame", "user", str(ana.pk))


def test_what_was_written_round_bzz_is_not_recorded(house, ana):
    raw(house.User).update_one({"_id": ana.pk}, {"$set": {"age": 7}})

    assert "/age\tnot recorded\t\t\t7" in run("blame", "user", str(ana.pk)).stdout


def test_a_long_value_is_cut(house):
    user = house.make(name="x" * 40, note="y" * 100)

    assert f'"{"y" * 58}…' in run("blame", "user", str(user.pk)).stdout


# What is never told ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("history", "user", "ID"),
        ("history",),
        ("show", "user", "ID"),
        ("show", "user", "ID", "1", "--event"),
        ("diff", "user", "ID", "0", "1"),
        ("diff", "user", "ID", "0", "1", "--patch"),
        ("blame", "user", "ID"),
        ("export",),
        ("restore", "user", "ID", "1", "--dry-run"),
        ("verify", "user", "ID"),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_hidden_values_are_never_told(house, arguments, form):
    house.auditor.track(house.User, exclude=["secret"], mask=["pin"])
    user = house.make(name="Ana", secret="S3CRET", pin="P1N")
    house.write(lambda: house.User.objects(pk=user.pk).update(name="Eve", secret="S3CRET2"))
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"name": "Mal", "pin": "P1N2"}})
    given = [str(user.pk) if each == "ID" else each for each in arguments]
    result = run(*given, *form)

    assert result.exit_code in (0, 3), result.output
    assert "S3CRET" not in result.output
    assert "P1N" not in result.output
    assert result.stdout


@pytest.mark.parametrize("command", ["history", "diff", "blame"])
def test_signs_that_steer_a_terminal_are_escaped_in_lines(house, command):
    user = house.write(
        lambda: house.User(name="\x1b[31mred\u202e\x9b").save(), reason="\x1b]0;title\x07"
    )
    house.auditor.sequence()
    result = run(command, "user", str(user.pk))

    assert result.stdout
    assert all(each.isprintable() or each in "\n\t" for each in result.stdout)
