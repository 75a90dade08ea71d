"""`bzz restore` and `bzz undo`: shown first, then asked for, and what was shown is done."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from bson import ObjectId
from mongoengine import Document, IntField, StringField, ValidationError

from bzz.audit.restoration import Restoration
from bzz.cli import output
from tests.cli.here import run
from tests.house import stored


@pytest.fixture
def ana(house):
    """A user of three versions: Ana 1, Ana 2, Anna 2."""
    user = house.make(name="Ana", age=1)

    def change(**values):
        return lambda: house.User.objects(pk=user.pk).update(**values)

    house.write(change(age=2), actor="ben", correlation="c1")
    house.write(change(name="Anna"))
    return user


def name_and_age(user):
    found = stored(user)
    return None if found is None else (found["name"], found.get("age"))


def last(house, user):
    return house.events(user)[-1]


def done(result):
    assert 0 == result.exit_code, result.output
    return json.loads(result.stdout)


# One document ---------------------------------------------------------------------------------


def test_a_version_is_restored(house, ana):
    result = run("restore", "user", str(ana.pk), "1", "--yes")

    assert (0, ("Ana", 1)) == (result.exit_code, name_and_age(ana))
    assert [
        f"user {ana.pk}, at version 3: restore version 1 (2 changes)",
        '  ~ /name: "Anna" -> "Ana"',
        "  ~ /age: 2 -> 1",
        f"user {ana.pk} has version 4 now.",
    ] == result.stdout.splitlines()


def test_an_event_is_undone(house, ana):
    result = run("undo", "user", str(ana.pk), "2", "--yes")

    assert (0, ("Anna", 1)) == (result.exit_code, name_and_age(ana))
    assert f"user {ana.pk}, at version 3: undo version 2 (1 change)" in result.stdout


def test_who_and_why_are_in_the_event(house, ana):
    run("restore", "user", str(ana.pk), "1", "--as", "job:nightly", "--reason", "wrong", "--yes")

    event = last(house, ana)
    assert ("job", "nightly", "wrong") == (event.actor.kind, event.actor.id, event.reason)


def test_with_an_id_the_actor_is_who_does_it(house, ana):
    run("undo", "user", str(ana.pk), "2", "--actor", "eve", "--yes")

    assert ("user", "eve") == (last(house, ana).actor.kind, last(house, ana).actor.id)


def test_by_default_the_system_does_it(house, ana):
    run("restore", "user", str(ana.pk), "1", "--yes")

    assert ("system", None) == (last(house, ana).actor.kind, last(house, ana).actor.id)


def test_single_fields_are_restored(house, ana):
    run("restore", "user", str(ana.pk), "1", "--field", "age", "--yes")

    assert ("Anna", 1) == name_and_age(ana)


def test_a_time_is_restored(house, ana):
    then = datetime.now(UTC).isoformat()
    house.write(lambda: house.User.objects(pk=ana.pk).update(name="Eve"))
    run("restore", "user", str(ana.pk), then, "--yes")

    assert ("Anna", 2) == name_and_age(ana)


def test_a_deleted_document_comes_back(house, ana):
    house.write(ana.delete)
    result = run("restore", "user", str(ana.pk), "3", "--yes")

    assert ("Anna", 2) == name_and_age(ana)
    assert "restore version 3, which brings it back" in result.stdout


@pytest.mark.parametrize("command", ["restore", "undo"])
def test_a_dry_run_shows_what_would_change_and_changes_nothing(house, ana, command):
    result = run(command, "user", str(ana.pk), "2", "--dry-run")

    assert 0 == result.exit_code
    assert "~ /" in result.stdout
    assert 3 == len(house.events(ana))


def test_a_dry_run_is_told_in_json(house, ana):
    shown = done(run("restore", "user", str(ana.pk), "1", "--field", "age", "--dry-run", "--json"))

    assert {
        "model": "user",
        "document": str(ana.pk),
        "version": 3,
        "changes": [{"path": "/age", "from": 2, "to": 1}],
    } == shown


def test_what_was_done_is_told_in_json_and_the_preview_beside_it(house, ana):
    result = run("restore", "user", str(ana.pk), "1", "--yes", "--json")

    assert 4 == done(result)["version"]
    assert "~ /age: 2 -> 1" in result.stderr


def test_without_a_terminal_nothing_is_done_unless_it_is_said(house, ana):
    result = run("restore", "user", str(ana.pk), "1")

    assert 2 == result.exit_code
    assert "There is nobody to ask: look at it with --dry-run, or say --yes." in result.stderr
    assert "~ /age: 2 -> 1" in result.stdout
    assert 3 == len(house.events(ana))


def test_what_is_so_already_is_told(house, ana):
    result = run("restore", "user", str(ana.pk), "3")

    assert 0 == result.exit_code
    assert f"user {ana.pk} is so already: there is nothing to do.\n" == result.stdout


@pytest.mark.parametrize("command", ["restore", "undo"])
def test_what_changes_after_the_preview_is_not_overwritten(house, ana, monkeypatch, command):
    def another_writer(question, *, yes):
        house.write(lambda: house.User.objects(pk=ana.pk).update(score=1.0))

    monkeypatch.setattr("bzz.cli.restore.confirm", another_writer)
    result = run(command, "user", str(ana.pk), "2")

    assert 1 == result.exit_code
    assert (
        f"User {ana.pk} was changed since the preview and has version 4 by now; "
        "nothing was written. Look at it again."
    ) in result.stderr
    assert 4 == len(house.events(ana))


def test_what_was_changed_again_is_told_with_the_version_that_did(house, ana):
    house.write(lambda: house.User.objects(pk=ana.pk).update(age=3))
    result = run("undo", "user", str(ana.pk), "2", "--yes")

    assert 1 == result.exit_code
    assert "cannot be undone: /age was changed again by version 4." in result.stderr
    assert result.stderr.endswith("\n  /age: changed again by version 4\n")


def test_what_todays_model_refuses_is_told_by_field(house):
    class Page(Document):
        title = StringField()
        rank = IntField()

        def clean(self):
            if self.rank == 1:
                raise ValidationError("no", errors={"rank": ValidationError("1 is taken.")})

    house.auditor.track(Page)
    page = house.write(lambda: Page(title="a", rank=0).save())
    house.write(lambda: Page.objects(pk=page.pk).update(rank=1))
    house.write(lambda: Page.objects(pk=page.pk).update(rank=2))
    result = run("restore", "page", str(page.pk), "2", "--yes")

    assert 1 == result.exit_code
    assert "\n  /rank: " in result.stderr
    assert 2 == stored(page)["rank"]


@pytest.mark.parametrize("how", [["--dry-run"], ["--dry-run", "--json"], ["--yes"], []])
def test_what_todays_model_refuses_is_foreseen_and_nobody_is_asked(house, how):
    class Page(Document):
        title = StringField()

    house.auditor.track(Page)
    page = house.write(lambda: Page(title="a long title").save())
    house.write(lambda: Page.objects(pk=page.pk).update(title="b"))
    Page.title.max_length = 5
    result = run("restore", "page", str(page.pk), "1", *how)

    assert 1 == result.exit_code
    assert "\n  /title: String value is too long" in result.stderr
    assert '~ /title: "b" -> "a long title"' in result.output
    assert "b" == stored(page)["title"]


def test_a_value_that_another_document_has_by_now_is_told(house):
    user = house.make(name="Ana", email="a@example.org")
    house.write(lambda: house.User.objects(pk=user.pk).update(email="b@example.org"))
    house.make(name="Eve", email="a@example.org")
    result = run("restore", "user", str(user.pk), "1", "--yes")

    assert 1 == result.exit_code
    assert "/email" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["1", "--field", "weight"], "User has no field 'weight', and had none in that version."),
        (["1", "--reason", "x" * 5000], "The reason has 5000 characters; at most 4096 are kept."),
        (["1", "--to", "2026-01-01T00:00:00Z"], "say the version or the time in place of --to."),
        (["1", "--correlation", "x"], "--correlation is for sets of documents, without ID."),
        (["1", "--model", "user"], "--model is for sets of documents, without ID."),
        (["1", "--actor", "a", "--as", "b"], "--actor and --as are the same: say one of them."),
        ([], "Which version? Say: bzz restore MODEL ID VERSION."),
    ],
)
def test_what_does_not_go_together_is_a_wrong_argument(house, ana, arguments, message):
    result = run("restore", "user", str(ana.pk), *arguments)

    assert 2 == result.exit_code
    assert message in result.stderr


def test_a_document_that_never_was_is_told(house, ana):
    result = run("undo", "user", str(ObjectId()), "1")

    assert 1 == result.exit_code
    assert "none is known to have been" in result.stderr


# Asked at a terminal --------------------------------------------------------------------------


@pytest.fixture
def at_a_terminal(monkeypatch):
    """Somebody sits there, who gives the answers that a test sends."""

    class Terminal:
        @staticmethod
        def isatty():
            return True

    class Sys:
        stdin = Terminal

        def __getattr__(self, name):
            return getattr(__import__("sys"), name)

    monkeypatch.setattr(output, "sys", Sys())


def test_a_yes_does_it(house, ana, at_a_terminal):
    result = run("restore", "user", str(ana.pk), "1", input="y\n")

    assert 0 == result.exit_code
    assert f"Restore user {ana.pk}? [y/N]" in result.stderr
    assert ("Ana", 1) == name_and_age(ana)


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_all_else_does_nothing(house, ana, at_a_terminal, answer):
    result = run("restore", "user", str(ana.pk), "1", input=answer)

    assert 1 == result.exit_code
    assert "Nothing was done." in result.stderr
    assert 3 == len(house.events(ana))


# Sets -----------------------------------------------------------------------------------------


@pytest.fixture
def many(house):
    """Three users, two of which the request c2 by eve has changed, and one of these ben since."""
    users = [house.make(name=name, age=1) for name in ("One", "Two", "Three")]
    users[0].then = datetime.now(UTC).isoformat()
    for each in users[:2]:
        house.write(
            lambda each=each: house.User.objects(pk=each.pk).update(age=2),
            actor="eve",
            correlation="c2",
        )
    house.write(lambda: house.User.objects(pk=users[1].pk).update(name="2"), actor="ben")
    return users


def test_a_request_is_taken_back(house, many):
    result = run("undo", "--correlation", "c2", "--yes", "--reason", "oops")

    assert 0 == result.exit_code
    assert [("One", 1), ("2", 1), ("Three", 1)] == list(map(name_and_age, many))
    assert "oops" == last(house, many[0]).reason
    assert result.stdout.startswith("2 documents, 2 events:\n")
    assert f"user {many[0].pk}: undo version 2\n  ~ /age: 2 -> 1\n" in result.stdout
    assert result.stdout.endswith("2 events written.\n")


def test_what_was_taken_back_can_be_taken_back(house, many):
    result = run("undo", "--correlation", "c2", "--yes")
    correlation = result.stderr.split()[-1]
    run("undo", "--correlation", correlation, "--yes")

    assert [("One", 2), ("2", 2), ("Three", 1)] == list(map(name_and_age, many))


def test_what_somebody_did_is_taken_back(house, many):
    run("undo", "--actor", "eve", "--since", many[0].then, "--yes", "--as", "root")

    assert [("One", 1), ("2", 1), ("Three", 1)] == list(map(name_and_age, many))
    assert "root" == last(house, many[0]).actor.id


@pytest.mark.parametrize("model", [["--model", "user"], ["user"]])
def test_a_model_goes_back_to_a_time(house, many, model):
    result = run("restore", "--to", many[0].then, *model, "--yes")

    assert 0 == result.exit_code, result.output
    assert [("One", 1), ("Two", 1), ("Three", 1)] == list(map(name_and_age, many))


def test_a_set_is_shown_without_being_done(house, many):
    result = run("undo", "--correlation", "c2", "--dry-run")

    assert 0 == result.exit_code
    assert "2 documents, 2 events:" in result.stdout
    assert 2 == len(house.events(many[0]))


def test_a_set_that_is_not_done_is_told_in_json(house, many):
    shown = done(run("undo", "--correlation", "c2", "--dry-run", "--json"))

    assert (2, 2) == (shown["documents"], shown["events"])
    assert {
        "model": "user",
        "document": str(many[0].pk),
        "does": "undo",
        "version": 2,
        "changes": [{"path": "/age", "from": 2, "to": 1}],
    } == shown["sample"][0]


def test_a_set_that_is_done_is_told_in_json(house, many):
    shown = done(run("undo", "--correlation", "c2", "--yes", "--json"))

    assert (2, 2, 0, []) == tuple(
        shown[each] for each in ("documents", "written", "unchanged", "failed")
    )
    assert shown["correlation"] == last(house, many[0]).correlation


def test_without_a_terminal_a_set_is_only_shown(house, many):
    result = run("undo", "--correlation", "c2")

    assert 2 == result.exit_code
    assert "2 documents, 2 events:" in result.stdout
    assert 2 == len(house.events(many[0]))


def test_an_empty_set_is_nothing_to_do(house, many):
    result = run("undo", "--correlation", "none")

    assert 0 == result.exit_code
    assert "No document has such events: there is nothing to do.\n" == result.stdout


def test_of_a_large_set_the_first_are_shown(house, monkeypatch):
    monkeypatch.setattr("bzz.cli.putting_back._SAMPLE", 1)
    for name in ("One", "Two", "Three"):
        user = house.make(name=name)
        house.write(lambda user=user: house.User.objects(pk=user.pk).update(age=1), correlation="c")
    shown = run("undo", "--correlation", "c", "--dry-run").stdout

    assert shown.startswith("3 documents, 3 events:\n")
    assert shown.endswith("… and 2 more documents.\n")
    assert 1 == shown.count("undo version 2")


def test_what_cannot_be_taken_back_is_told_and_the_rest_is_done(house, many):
    house.write(lambda: house.User.objects(pk=many[0].pk).update(age=3))
    result = run("undo", "--correlation", "c2", "--yes")

    assert 1 == result.exit_code
    assert f"user {many[0].pk}: undo version 2: " in result.stderr
    assert "/age was changed again by version 3." in result.stderr
    assert "1 event written, 1 document left alone." in result.stdout
    assert [("One", 3), ("2", 1)] == list(map(name_and_age, many[:2]))


def test_what_changes_after_the_preview_is_left_alone(house, many, monkeypatch):
    def another_writer(question, *, yes):
        house.write(lambda: house.User.objects(pk=many[0].pk).update(score=1.0))

    monkeypatch.setattr("bzz.cli.putting_back.confirm", another_writer)
    result = run("undo", "--correlation", "c2")

    assert 1 == result.exit_code
    assert f"User {many[0].pk} was changed since the preview" in result.stderr
    assert [("One", 2), ("2", 1)] == list(map(name_and_age, many[:2]))


def test_an_error_of_the_application_is_named_without_its_words(house, many, monkeypatch):
    class Odd(Exception):
        pass

    def save(self, *arguments, **options):
        raise Odd("P1N")

    monkeypatch.setattr(house.User, "save", save)
    result = run("undo", "--correlation", "c2", "--yes")

    assert 1 == result.exit_code
    assert "The application raised Odd." in result.stderr
    assert "P1N" not in result.output


def test_ctrl_c_ends_behind_a_document_and_tells_how_to_go_on(house, many, monkeypatch):
    run_one = Restoration._run_one

    def interrupted(self, work, who):
        run_one(self, work, who)
        monkeypatch.setattr(Restoration, "_run_one", run_one)
        __import__("signal").raise_signal(2)

    monkeypatch.setattr(Restoration, "_run_one", interrupted)
    result = run("undo", "--correlation", "c2", "--yes")

    assert 130 == result.exit_code
    assert "1 of 2 documents are done, with 1 event; go on with --after " in result.stderr
    assert [("One", 1), ("2", 2)] == list(map(name_and_age, many[:2]))

    token = result.stderr.split()[-1]
    assert 0 == run("undo", "--correlation", "c2", "--yes", "--after", token).exit_code
    assert ("2", 1) == name_and_age(many[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["restore"], "Say MODEL ID VERSION; or --to and a time, for a set of documents."),
        (["restore", "--to", "soon"], "'soon' is no time such as 2026-05-01T12:00:00Z."),
        (["restore", "--to", "2026-01-01T00:00:00Z"], "Name a model, an actor or a correlation"),
        (["undo"], "Name a model, an actor or a correlation id."),
        (["undo", "--actor", "eve"], "Say from when on: 'to', 'since', or a correlation id."),
        (["undo", "--correlation", "c", "--after", "x"], "it is what an earlier run said"),
        (["undo", "--correlation", "c", "--field", "a"], "--field is for one document"),
        (["undo", "user", "--model", "user", "--correlation", "c"], "Name the model once"),
        (["undo", "user", "1", "2", "--since", "2026-01-01T00:00:00Z"], "--since and --until are"),
    ],
)
def test_a_set_that_nobody_can_mean_is_a_wrong_argument(house, many, arguments, message):
    result = run(*arguments, "--yes")

    assert 2 == result.exit_code
    assert message in result.stderr
