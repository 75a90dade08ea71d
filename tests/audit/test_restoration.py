"""A set of documents put back: to a time, or by taking back what somebody or some request did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mongoengine import Document, DynamicField, get_db
from tornado.web import HTTPError

from bzz import MongoEngineRestHandler, flatten
from bzz.audit import Auditor
from bzz.audit.errors import HistoryTooShort, UndoConflict
from bzz.errors import Conflict, InvalidInput, PreconditionFailed, SetupError
from bzz.signals import pre_create_instance, pre_get_instance
from tests.house import built, raw, stored
from tests.support import Server

HOUR = timedelta(hours=1)


class Clock:
    """Tells the time that it is set to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def later(self) -> datetime:
        """An hour has passed since all that was so far."""
        before = self.now
        self.now += HOUR
        return before


@pytest.fixture
def clock(house) -> Iterator[Clock]:
    recorder, clock = house.auditor._recorder, Clock()
    usual, recorder._clock = recorder._clock, clock
    yield clock
    recorder._clock = usual


def change(house: Any, user: Any, actor: Any = "ana", correlation: str = "c", **values: Any) -> Any:
    def work() -> Any:
        for name, value in values.items():
            setattr(user, name, value)
        return user.save()

    return house.write(work, actor=actor, correlation=correlation)


def kinds(moves: Any) -> list[tuple[str, int]]:
    return [(each.move.kind, each.move.version) for each in moves]


# Back to a time -----------------------------------------------------------------------------


def test_documents_go_back_to_what_they_were_then(house, clock):
    one, two = house.make(name="One", age=1), house.make(name="Two", age=2)
    then = clock.later()
    change(house, one, age=10)
    change(house, two, age=20)
    change(house, two, name="Three")

    report = house.auditor.restoration(model=house.User, to=then).run(reason="noon")

    assert (2, 2, 0) == (report.documents, report.written, report.unchanged)
    assert [("One", 1), ("Two", 2)] == [(s["name"], s["age"]) for s in map(stored, (one, two))]
    assert [3, 4] == [len(house.events(each)) for each in (one, two)]
    assert (1, "noon") == (house.events(two)[-1].restored_from, house.events(two)[-1].reason)


def test_what_was_not_there_then_is_deleted(house, clock):
    then = clock.later()
    user = house.make(name="New")

    house.auditor.restoration(model=house.User, to=then).run()

    assert stored(user) is None
    assert ["created", "deleted"] == house.told(user)


def test_what_was_deleted_since_comes_back(house, clock):
    user = house.make(name="Ana")
    then = clock.later()
    house.write(user.delete)

    house.auditor.restoration(model=house.User, to=then).run()

    assert "Ana" == stored(user)["name"]
    assert ["created", "deleted", "restored"] == house.told(user)


def test_what_was_deleted_then_is_deleted_again(house, clock):
    user = house.make(name="Ana")
    house.write(user.delete)
    then = clock.later()
    house.auditor.history(house.User, user.pk).restore(1)

    house.auditor.restoration(model=house.User, to=then).run()

    assert stored(user) is None


def test_what_has_not_changed_since_is_left_alone(house, clock):
    user = house.make(name="Ana")
    then = clock.later()

    report = house.auditor.restoration(model=house.User, to=then).run()

    assert 0 == report.documents
    assert ["created"] == house.told(user)


def test_other_models_are_left_alone(house, clock):
    then = clock.later()
    team = house.make(house.Team, name="T")

    house.auditor.restoration(model=house.User, to=then).run()

    assert stored(team) is not None


def test_a_second_run_to_the_same_time_changes_nothing(house, clock):
    user = house.make(name="Ana")
    then = clock.later()
    change(house, user, name="Bea")
    restoration = house.auditor.restoration(model=house.User, to=then)
    restoration.run()

    report = restoration.run()

    assert (1, 0, 1) == (report.documents, report.written, report.unchanged)
    assert 3 == len(house.events(user))


def test_what_was_deleted_round_bzz_and_made_again_goes_back(house, clock):
    user = house.make(name="Ana")
    then = clock.later()
    raw(house.User).delete_one({"_id": user.pk})
    house.make(pk=user.pk, name="Eva")

    house.auditor.restoration(model=house.User, to=then).run()

    assert "Ana" == stored(user)["name"]
    assert ["created", "external", "created", "restored"] == house.told(user)


def test_what_had_been_deleted_round_bzz_by_then_is_deleted_again(house):
    user = house.make(name="Ana")
    raw(house.User).delete_one({"_id": user.pk})
    house.make(pk=user.pk, name="Eva")
    _, external, again = house.events(user)
    get_db()["bzz_history"].update_one({"_id": again.id}, {"$set": {"t": again.time + HOUR}})

    house.auditor.restoration(model=house.User, to=external.time).run()

    assert stored(user) is None


def test_a_document_older_than_its_history_is_told_and_left(house, clock):
    raw(house.User).insert_one({"name": "Old"})
    user = house.User.objects.get()
    then = clock.later()
    change(house, user, name="New")

    report = house.auditor.restoration(model=house.User, to=then).run()

    [failure] = report.failures
    assert isinstance(failure.error, HistoryTooShort)
    assert str(failure.error) == (
        f"user {user.pk} was there before its history began at 2026-03-01T10:00:00+00:00; how it "
        "was before that was not recorded."
    )
    assert "New" == stored(user)["name"]


def test_a_document_written_round_bzz_is_told_and_left(house, clock):
    user = house.make(name="Ana")
    then = clock.later()
    change(house, user, name="Bea")
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"age": 5}})

    report = house.auditor.restoration(model=house.User, to=then).run()

    [failure] = report.failures
    assert isinstance(failure.error, Conflict)
    assert str(failure.error) == (
        f"User {user.pk} was written round bzz since its last event; restore it by itself, where "
        "that is seen."
    )
    assert ("Bea", 5) == (stored(user)["name"], stored(user)["age"])


def test_one_that_cannot_be_restored_stops_no_other(house, clock):
    one, two = house.make(name="One", email="e"), house.make(name="Two")
    then = clock.later()
    change(house, one, email="f")
    change(house, two, name="Three")
    house.make(name="Thief", email="e")  # would have to go first, and does not come first

    report = house.auditor.restoration(model=house.User, to=then, actor="ana").run()

    assert [one.pk] == [each.document for each in report.failures]
    assert "Two" == stored(two)["name"]


# Taking back --------------------------------------------------------------------------------


def test_what_one_request_did_is_taken_back_and_the_rest_stays(house):
    one, two = house.make(name="One"), house.make(name="Two")
    change(house, one, correlation="import", age=1)
    change(house, two, correlation="import", age=2)
    change(house, two, correlation="other", name="Zwei")

    report = house.auditor.restoration(correlation="import").run()

    assert (2, 2) == (report.documents, report.written)
    assert {"name", "_id"} == stored(one).keys() - {"tags"}
    assert ("Zwei", None) == (stored(two)["name"], stored(two).get("age"))
    assert [2, 2] == [house.events(each)[-1].undo_of for each in (one, two)]


def test_what_a_request_created_is_deleted(house):
    users = [
        house.write(house.User(name=name).save, correlation="import") for name in ("One", "Two")
    ]

    house.auditor.restoration(correlation="import").run()

    assert [None, None] == [stored(each) for each in users]


def test_what_a_request_deleted_comes_back(house):
    user = house.make(name="Ana")
    house.write(user.delete, correlation="cleanup")

    house.auditor.restoration(correlation="cleanup").run()

    assert "Ana" == stored(user)["name"]


def test_what_a_request_created_and_others_changed_is_told_and_left(house):
    user = house.write(house.User(name="Ana").save, correlation="import")
    change(house, user, correlation="other", age=5)

    report = house.auditor.restoration(correlation="import").run()

    [failure] = report.failures
    assert "cannot be undone" in str(failure.error)
    assert 5 == stored(user)["age"]


def test_many_changes_in_a_row_go_in_one_step(house, clock):
    user = house.make(name="Ana")
    clock.later()
    for age in (1, 2, 3):
        change(house, user, age=age)

    house.auditor.restoration(actor="ana", since=clock.now).run()

    assert [None, 1] == [stored(user).get("age"), house.events(user)[-1].restored_from]
    assert 5 == len(house.events(user))


def test_changes_between_those_of_others_are_undone_one_by_one(house, clock):
    user = house.make(name="Ana")
    change(house, user, age=1)
    change(house, user, actor="bea", active=True)
    change(house, user, score=1.5)
    change(house, user, actor="bea", secret="s")

    report = house.auditor.restoration(actor="ana", since=clock.now).run()

    assert 2 == report.written
    assert {"_id", "name", "active", "secret"} == stored(user).keys() - {"tags"}
    assert [4, 2] == [event.undo_of for event in house.events(user)[5:]]


def test_what_others_changed_on_top_is_told_and_left(house, clock):
    user = house.make(name="Ana")
    change(house, user, age=1, active=True)
    change(house, user, actor="bea", age=2)

    report = house.auditor.restoration(actor="ana", since=clock.now).run()

    [failure] = report.failures
    assert isinstance(failure.error, UndoConflict)
    assert (("/age", 3),) == failure.error.conflicts
    assert 2 == stored(user)["age"]


def test_a_second_run_finishes_what_was_in_the_way(house, clock):
    user = house.make(name="Ana")
    change(house, user, age=1)
    change(house, user, actor="bea", age=2)
    restoration = house.auditor.restoration(actor="ana", since=clock.now)
    restoration.run()
    house.auditor.history(house.User, user.pk).undo(3)

    report = restoration.run()

    assert ([], 1) == (report.failures, report.written)
    assert "age" not in stored(user)


@pytest.mark.parametrize("times", [2, 3])
def test_what_is_taken_back_stays_so_at_further_runs(house, clock, times):
    user = house.make(name="Ana")
    change(house, user, age=1)
    restoration = house.auditor.restoration(actor="ana", since=clock.now)

    reports = [restoration.run(actor="ana") for _ in range(times)]

    assert [1, 0] == [report.written for report in reports[:2]]
    assert 0 == reports[-1].written
    assert "age" not in stored(user)


def test_a_run_can_itself_be_taken_back(house):
    user = house.make(name="Ana")
    change(house, user, correlation="import", age=1)
    house.auditor.restoration(correlation="import").run(correlation="oops")

    house.auditor.restoration(correlation="oops").run()

    assert 1 == stored(user)["age"]


def test_what_somebody_put_right_by_hand_is_left_alone(house):
    user = house.make(name="Ana", age=1)
    change(house, user, correlation="bad", age=99)
    change(house, user, actor="bea", age=1)

    report = house.auditor.restoration(correlation="bad").run()

    assert (1, []) == (report.unchanged, report.failures)
    assert 3 == len(house.events(user))


def test_what_was_brought_back_and_deleted_again_stays_deleted(house):
    user = house.make(name="Ana", age=1)
    change(house, user, correlation="bad", age=99)
    house.write(user.delete, correlation="cleanup")
    house.auditor.history(house.User, user.pk).undo(3)
    house.write(user.delete, actor="bea")

    bad = house.auditor.restoration(correlation="bad").run()
    cleanup = house.auditor.restoration(correlation="cleanup").run()

    assert ["deleted the document" in str(each.error) for each in bad.failures] == [True]
    assert (0, 1) == (cleanup.written, cleanup.unchanged)
    assert stored(user) is None
    assert 5 == len(house.events(user))


def test_the_time_of_events_can_be_bounded(house, clock):
    user = house.make(name="Ana")
    clock.later()
    change(house, user, age=1)
    first = clock.later()
    change(house, user, active=True)

    house.auditor.restoration(actor="ana", since=first, until=first).run()

    assert ("age" in stored(user), stored(user)["active"]) == (False, True)


# Preview and progress -----------------------------------------------------------------------


def test_a_preview_says_what_would_be_done_and_does_nothing(house, clock):
    one = house.make(name="One", age=1)
    then = clock.later()
    change(house, one, age=2)
    two = house.make(name="Two")
    restoration = house.auditor.restoration(model=house.User, to=then)

    seen = restoration.preview()

    assert (2, 2) == restoration.count()
    assert [("restore", 1), ("delete", 0)] == kinds(seen)
    assert [(("age",), 2, 1)] == [(c.path, c.from_, c.to) for c in seen[0].changes]
    assert ["/".join(map(str, c.path)) for c in seen[1].changes] == ["name", "tags"]
    assert [2, 1] == [len(house.events(each)) for each in (one, two)]


def test_a_preview_says_what_cannot_be_done(house, clock):
    user = house.make(name="Ana")
    change(house, user, age=1)
    change(house, user, actor="bea", age=2)

    [seen] = house.auditor.restoration(actor="ana", since=clock.now).preview()

    assert isinstance(seen.error, UndoConflict)


def test_a_preview_shows_as_many_documents_as_are_asked_for(house, clock):
    then = clock.later()
    for name in "abc":
        house.make(name=name)

    assert 2 == len(house.auditor.restoration(model=house.User, to=then).preview(2))


def test_progress_is_told_after_each_document(house, clock):
    then = clock.later()
    for name in "abc":
        house.make(name=name)
    told = []

    house.auditor.restoration(model=house.User, to=then).run(
        progress=lambda report: told.append((report.documents, report.written))
    )

    assert [(1, 1), (2, 2), (3, 3)] == told


def test_a_run_goes_on_behind_the_place_of_an_earlier_one(house, clock):
    then = clock.later()
    users = [house.make(name=name) for name in "abc"]
    restoration = house.auditor.restoration(model=house.User, to=then)
    places = []

    def stop(report: Any) -> None:
        places.append(report.place)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        restoration.run(progress=stop)
    report = restoration.run(after=places[0])

    assert 2 == report.documents
    assert [None] * 3 == [stored(each) for each in users]


def test_ids_of_many_types_are_gone_through_in_order(house, clock):
    class Thing(Document):
        key = DynamicField(primary_key=True)
        size = DynamicField()

    house.auditor.track(Thing)
    then = clock.later()
    for key in (1, "a", 2.5, "b", True):
        house.make(Thing, key=key)
    restoration = house.auditor.restoration(model=Thing, to=then)

    places = [place for place, _ in restoration.works()]
    rest = [[p for p, _ in restoration.works(after=place)] for place in places]

    assert [places[index + 1 :] for index in range(5)] == rest
    get_db()["thing"].drop()


# What cannot be meant -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"since": datetime(2026, 1, 1)}, "Name a model, an actor or a correlation id."),
        ({"actor": "ana"}, "Say from when on: 'to', 'since', or a correlation id."),
        (
            {"actor": "ana", "to": datetime(2026, 1, 1), "since": datetime(2026, 1, 1)},
            "'since' chooses events to take back; with 'to' all later ones are meant.",
        ),
    ],
)
def test_a_choice_without_bounds_is_refused(house, choice, told):
    with pytest.raises(InvalidInput) as caught:
        house.auditor.restoration(**choice)

    assert told == str(caught.value)


# Over HTTP ----------------------------------------------------------------------------------


@pytest.fixture
def api(house) -> Iterator[Server]:
    with Server(flatten([house.routes(), house.auditor.routes()])) as server:
        yield server


def test_a_set_is_put_back_over_http(house, api, clock):
    one, two = house.make(name="One"), house.make(name="Two")
    then = clock.later()
    change(house, one, age=1)
    house.write(two.delete)

    answer = api.post(
        "/history/restore/",
        {"model": "user", "to": then.isoformat(), "reason": "noon"},
        headers={"X-User": "eve", "X-Correlation-Id": "put-back"},
    )

    assert 200 == answer.status, answer
    assert {
        "documents": 2,
        "written": 2,
        "unchanged": 0,
        "failed": [],
        "correlation": "put-back",
        "next": None,
    } == answer.json
    last = house.events(one)[-1]
    assert ("eve", "noon", "put-back") == (last.actor.id, last.reason, last.correlation)
    assert "Two" == stored(two)["name"]


def test_its_writes_share_a_correlation_of_their_own_by_which_they_are_taken_back(
    house, api, clock
):
    users = [house.make(name=name) for name in "ab"]
    for user in users:
        change(house, user, correlation="bad", age=9)

    done = api.post("/history/restore/", {"correlation": "bad"}).json
    back = api.post("/history/restore/", {"correlation": done["correlation"]}).json

    assert (2, 2) == (done["written"], back["written"])
    assert [9, 9] == [stored(each)["age"] for each in users]


def test_a_dry_run_gives_counts_and_a_sample(house, api, clock):
    one = house.make(name="One", age=1)
    change(house, one, correlation="bad", age=9)
    two = house.write(house.User(name="Two").save, correlation="bad")
    change(house, two, age=3)

    answer = api.post("/history/restore/", {"correlation": "bad", "dry_run": True})

    assert (2, 2) == (answer.json["documents"], answer.json["events"])
    first, second = answer.json["sample"]
    assert {
        "model": "user",
        "document": str(one.pk),
        "does": "undo",
        "version": 2,
        "changes": [{"path": "/age", "from": 9, "to": 1}],
    } == first
    assert (str(two.pk), 409) == (second["document"], second["problem"]["status"])
    assert [2, 2] == [len(house.events(each)) for each in (one, two)]


def test_the_sample_is_as_long_as_the_limit_says_and_the_counts_are_whole(house, api):
    for name in "abc":
        house.write(house.User(name=name).save, correlation="bad")

    answer = api.post("/history/restore/", {"correlation": "bad", "dry_run": "true", "limit": 1})

    assert (3, 1) == (answer.json["documents"], len(answer.json["sample"]))


def test_what_cannot_be_restored_is_listed_with_its_problem(house, api):
    user = house.make(name="Ana")
    change(house, user, correlation="bad", age=9)
    change(house, user, age=10)

    answer = api.post("/history/restore/", {"correlation": "bad"})

    [failed] = answer.json["failed"]
    assert ("user", str(user.pk), "undo", 2) == (
        failed["model"],
        failed["document"],
        failed["does"],
        failed["version"],
    )
    assert 409 == failed["problem"]["status"]
    assert (1, 0) == (answer.json["documents"], answer.json["written"])


def test_a_clash_names_the_field_as_the_model_calls_it(house, api):
    one = house.make(name="One", email="e")
    change(house, one, correlation="bad", email="f")
    house.make(name="Two", email="e")

    [failed] = api.post("/history/restore/", {"correlation": "bad"}).json["failed"]

    assert (409, "/email") == (
        failed["problem"]["status"],
        failed["problem"]["errors"][0]["pointer"],
    )


def test_one_request_does_a_part_and_says_where_the_next_goes_on(house, api):
    users = [house.write(house.User(name=name).save, correlation="bad") for name in "abc"]

    first = api.post("/history/restore/", {"correlation": "bad", "limit": 2}).json
    second = api.post(
        "/history/restore/", {"correlation": "bad", "limit": 2, "cursor": first["next"]}
    ).json

    assert (2, 1) == (first["documents"], second["documents"])
    assert second["next"] is None
    assert [None] * 3 == [stored(each) for each in users]


def test_a_form_is_understood_too(house, api):
    house.write(house.User(name="a").save, correlation="bad")

    answer = api.post("/history/restore/", form={"correlation": "bad", "dry_run": "true"})

    assert (200, 1) == (answer.status, answer.json["documents"])


BAD = [
    ({}, "", "Name a model, an actor or a correlation id."),
    ({"model": "user"}, "", "Say from when on: 'to', 'since', or a correlation id."),
    (
        {"model": "nix", "to": "2026-01-01T00:00:00Z"},
        "/model",
        "There is no 'nix' here; there is club, deed, order, team, user.",
    ),
    (
        {"correlation": "c", "since": "noon"},
        "/since",
        "'since' is a time such as 2026-05-01T12:00:00Z, not 'noon'.",
    ),
    ({"correlation": 5}, "/correlation", "'correlation' is a text, not 5."),
    ({"correlation": " "}, "/correlation", "'correlation' is a text, not ' '."),
    ({"correlation": "c", "limit": 0}, "/limit", "'limit' is a number from 1 to 100, not 0."),
    ({"correlation": "c", "limit": True}, "/limit", "'limit' is a number from 1 to 100, not True."),
    ({"correlation": "c", "dry_run": 1}, "/dry_run", "'dry_run' is true or false, not 1."),
    (
        {"correlation": "c", "cursor": "?"},
        "/cursor",
        "The cursor is the 'next' of an earlier answer; leave it out to begin anew.",
    ),
    (
        {"correlation": "c", "more": 1},
        "/more",
        (
            "There is no 'more' here; there is model, to, actor, correlation, since, until, "
            "reason, dry_run, limit, cursor."
        ),
    ),
    (
        {"correlation": "c", "reason": "x" * 5000},
        "/reason",
        "The reason has 5000 characters; at most 4096 are kept.",
    ),
]


@pytest.mark.parametrize(("body", "pointer", "detail"), BAD)
def test_a_body_that_cannot_be_meant_is_422_and_changes_nothing(house, api, body, pointer, detail):
    user = house.write(house.User(name="a").save, correlation="c")

    answer = api.post("/history/restore/", body)

    assert 422 == answer.status, answer
    assert {"pointer": pointer, "detail": detail} in answer.json["errors"]
    assert ["created"] == house.told(user)


def test_a_body_that_is_no_object_is_422(api):
    answer = api.post("/history/restore/", [1])

    assert (422, "The body is an object.") == (answer.status, answer.json["detail"])


def test_other_methods_are_405(api):
    answer = api.get("/history/restore/")

    assert (405, "OPTIONS, POST") == (answer.status, answer.headers["Allow"])


@pytest.mark.parametrize("path", ["/history/nix/", "/history/restore/more/"])
def test_what_is_not_there_across_models_is_a_problem(api, path):
    answer = api.get(path)

    assert (404, f"There is nothing at '{path}'.") == (answer.status, answer.problem["detail"])


def test_the_set_and_each_document_are_asked_about(house, clock):
    user = house.write(house.User(name="a").save, correlation="bad")
    asked = []

    class Handler(MongoEngineRestHandler):
        def may(self, action, model, pk):
            asked.append((action, model.__name__, pk))
            return pk is None

    routes = Handler.routes_for("mongoengine", house.User, audit=house.auditor)
    with Server(flatten([routes, house.auditor.routes(handler=Handler)])) as server:
        answer = server.post("/history/restore/", {"correlation": "bad", "model": "user"})

    assert [("restore", "User", None), ("restore", "User", user.pk)] == asked
    assert 403 == answer.json["failed"][0]["problem"]["status"]
    assert stored(user) is not None


def test_a_preview_shows_no_document_of_which_may_says_no(house):
    user = house.write(house.User(name="a").save, correlation="bad")

    class Handler(MongoEngineRestHandler):
        def may(self, action, model, pk):
            return pk is None

    routes = Handler.routes_for("mongoengine", house.User, audit=house.auditor)
    with Server(flatten([routes, house.auditor.routes(handler=Handler)])) as server:
        body = {"correlation": "bad", "model": "user", "dry_run": True}
        [shown] = server.post("/history/restore/", body).json["sample"]

    assert (str(user.pk), 403) == (shown["document"], shown["problem"]["status"])
    assert "changes" not in shown


def test_a_preview_asks_the_receivers_of_reads(house, api):
    house.write(house.User(name="a").save, correlation="bad")

    def refuse(sender):
        raise HTTPError(403)

    with pre_get_instance.connected_to(refuse, sender=house.User):
        answer = api.post("/history/restore/", {"correlation": "bad", "dry_run": True})

    assert [403] == [each["problem"]["status"] for each in answer.json["sample"]]


def test_what_would_be_deleted_is_asked_about_as_a_delete(house):
    user = house.write(house.User(name="a").save, correlation="bad")

    class Handler(MongoEngineRestHandler):
        def may(self, action, model, pk):
            return action != "delete"

    routes = Handler.routes_for("mongoengine", house.User, audit=house.auditor)
    with Server(flatten([routes, house.auditor.routes(handler=Handler)])) as server:
        answer = server.post("/history/restore/", {"correlation": "bad", "model": "user"})

    assert [403] == [each["problem"]["status"] for each in answer.json["failed"]]
    assert stored(user) is not None


def test_what_the_server_fails_at_is_in_its_log(house):
    user = house.make(name="a")
    house.write(user.delete, correlation="bad")

    def broken(sender):
        raise RuntimeError("a bug")

    with (
        Server(flatten([house.routes(), house.auditor.routes()])) as server,
        pre_create_instance.connected_to(broken, sender=house.User),
    ):
        answer = server.post("/history/restore/", {"correlation": "bad"})
        logged = [each.exc_info[1] for each in server.take_errors(1)]
    house.running.take_errors(1)  # which listens too

    assert [500] == [each["problem"]["status"] for each in answer.json["failed"]]
    assert ["a bug"] == list(map(str, logged))


def test_what_the_request_may_not_see_is_neither_told_nor_touched(house):
    def only_open(model, queryset, instance_id, handler):
        return queryset.filter(active=True)

    house.User.get_instance_queryset = staticmethod(only_open)
    try:
        seen = house.write(house.User(name="a", active=True).save, correlation="bad")
        unseen = house.write(house.User(name="b", active=False).save, correlation="bad")
        with Server(flatten([house.routes(), house.auditor.routes()])) as server:
            dry = server.post("/history/restore/", {"correlation": "bad", "dry_run": True}).json
            done = server.post("/history/restore/", {"correlation": "bad"}).json
    finally:
        del house.User.get_instance_queryset

    assert (1, [str(seen.pk)]) == (dry["documents"], [each["document"] for each in dry["sample"]])
    assert 1 == done["documents"]
    assert (None, "b") == (stored(seen), stored(unseen)["name"])


def test_routes_across_models_need_models():
    with pytest.raises(SetupError, match="No model has routes yet: call routes_for"):
        Auditor().routes()


def test_routes_across_models_of_different_handlers_need_one_that_is_named(mongod_uri):
    class One(MongoEngineRestHandler):
        pass

    class Two(MongoEngineRestHandler):
        pass

    with built() as house:
        One.routes_for("mongoengine", house.User, audit=house.auditor)
        Two.routes_for("mongoengine", house.Team, audit=house.auditor)

        with pytest.raises(SetupError, match="The models are served by One, Two; say which"):
            house.auditor.routes()
        assert house.auditor.routes(handler=Two)


# What was seen is what is done ----------------------------------------------------------------


def test_what_was_changed_since_the_look_is_left_alone(house):
    one, two = house.make(name="One"), house.make(name="Two")
    change(house, one, age=1, correlation="bad")
    change(house, two, age=2, correlation="bad")
    restoration = house.auditor.restoration(correlation="bad")
    seen = restoration.outlook()
    change(house, one, name="Three", correlation="other")

    report = restoration.run(seen=seen)

    assert (2, 2) == (seen.documents, seen.events)
    assert [PreconditionFailed] == [type(each.error) for each in report.failures]
    assert (1, None) == (stored(one)["age"], stored(two).get("age"))


def test_what_came_into_the_set_since_the_look_is_left_alone(house, clock):
    then = clock.later()
    restoration = house.auditor.restoration(model=house.User, to=then)
    seen = restoration.outlook()
    user = house.make(name="New")

    report = restoration.run(seen=seen)

    assert [user.pk] == [each.document for each in report.failures]
    assert "New" == stored(user)["name"]


def test_the_moves_of_one_document_that_was_seen_follow_each_other(house):
    user = house.make(name="One")
    change(house, user, age=1, correlation="bad")
    change(house, user, name="Two", correlation="good")
    change(house, user, score=2.0, correlation="bad")
    change(house, user, tags=["a"], correlation="good")
    restoration = house.auditor.restoration(correlation="bad")

    report = restoration.run(seen=restoration.outlook())

    assert (2, []) == (report.written, report.failures)
    assert ("Two", ["a"]) == (stored(user)["name"], stored(user)["tags"])


def test_the_look_tells_what_would_be_done_with_the_first_ones(house):
    for name in ("One", "Two", "Three"):
        change(house, house.make(name=name), age=1, correlation="bad")

    seen = house.auditor.restoration(correlation="bad").outlook(2)

    assert (3, 2) == (seen.documents, len(seen.sample))
