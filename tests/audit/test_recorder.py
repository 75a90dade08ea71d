"""What of a write is in its event, and that there is never one without the other."""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from bson import (
    Binary,
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from bson.datetime_ms import DatetimeMS
from mongoengine import (
    Document,
    DynamicDocument,
    DynamicField,
    EmbeddedDocument,
    EmbeddedDocumentField,
    IntField,
    ListField,
    SequenceField,
    StringField,
    UUIDField,
    get_db,
)
from pymongo.errors import BulkWriteError

from bzz import MongoEngineRestHandler
from bzz.audit import Actor
from bzz.audit.diff import ABSENT
from bzz.audit.events import SYSTEM
from bzz.errors import BzzError, Conflict, TooLarge, Unavailable, Unrecorded
from bzz.signals import before_commit, post_create_instance, post_update_instance
from tests.audit.checking import check_histories, replayed
from tests.house import built, failing, history_bytes, raw, stored
from tests.support import Server


@pytest.fixture
def house(database):
    with built() as built_house:
        built_house.track()
        yield built_house


def changes(event: Any) -> list[tuple[Any, Any, Any]]:
    return [(change.path, change.from_, change.to) for change in event.changes]


# The three operations


def test_a_created_event_has_a_change_for_each_member_but_the_id(house):
    user = house.make(name="Ana", age=3)
    (event,) = house.events(user)

    assert ("created", 1) == (event.operation, event.version)
    assert [(("name",), ABSENT, "Ana"), (("age",), ABSENT, 3), (("tags",), ABSENT, [])] == changes(
        event
    )


def test_an_updated_event_has_only_what_changed(house):
    user = house.make(name="Ana", age=3, tags=["a"])
    house.write(lambda: house.User.objects.get(pk=user.pk).modify(age=4, name="Eva"))

    assert [(("name",), "Ana", "Eva"), (("age",), 3, 4)] == changes(house.events(user)[1])


def test_a_deleted_event_has_what_was_there(house):
    user = house.make(name="Ana")
    house.write(user.delete)
    event = house.events(user)[1]

    assert ("deleted", True) == (event.operation, event.gone)
    assert [(("name",), "Ana", ABSENT), (("tags",), [], ABSENT)] == changes(event)


def test_versions_go_on_counting_when_a_document_is_created_again(house):
    user = house.make(name="Ana")
    house.write(user.delete)
    house.make(pk=user.pk, name="Eva")

    assert ["created", "deleted", "created"] == house.told(user)
    assert check_histories(house.auditor, house.User) == 3


def test_a_write_that_changes_nothing_makes_no_event(house):
    user = house.make(name="Ana")
    house.write(lambda: house.User.objects(pk=user.pk).update(name="Ana"))

    assert ["created"] == house.told(user)


def test_what_is_created_and_deleted_in_one_write_makes_no_event(house):
    def work():
        user = house.User(name="Ana").save()
        user.delete()
        return user

    assert [] == house.events(house.write(work))


def test_two_saves_in_one_write_are_one_event(house):
    def work():
        user = house.User(name="Ana").save()
        user.name = "Eva"
        return user.save()

    (event,) = house.events(house.write(work))

    assert (("name",), ABSENT, "Eva") in changes(event)


def test_a_save_on_a_taken_id_is_an_update(house):
    user = house.make(name="Ana", age=3)
    house.make(pk=user.pk, name="Eva")

    assert [(("name",), "Ana", "Eva"), (("age",), 3, ABSENT)] == changes(house.events(user)[1])


def test_an_insert_into_a_long_list_is_a_small_event(house):
    tags = [f"tag number {number}" for number in range(2000)]
    user = house.make(name="Ana", tags=tags)
    before = len(history_bytes())
    house.write(lambda: house.User.objects(pk=user.pk).update(push__tags__7="new"))

    assert [(("tags", "7"), ABSENT, "new")] == changes(house.events(user)[1])
    assert len(history_bytes()) - before < 500


# Neighbouring writes

WHO = {"actor": "eva", "reason": "tidying", "correlation": "c-1"}


def context_of(event: Any) -> dict[str, Any]:
    return {"actor": event.actor.id, "reason": event.reason, "correlation": event.correlation}


def test_cascade_deletes_with_an_event_of_each(house):
    user = house.make(name="Ana")
    orders = [house.make(house.Order, user=user) for _ in range(3)]
    house.write(user.delete, **WHO)

    assert [["created", "deleted"]] * 3 == [house.told(order) for order in orders]
    assert [WHO] * 3 == [context_of(house.events(order)[1]) for order in orders]


def test_nullify_is_an_update_with_its_event(house):
    team = house.make(house.Team, name="red")
    user = house.make(name="Ana", team=team)
    house.write(team.delete, **WHO)
    event = house.events(user)[1]

    assert [(("team",), team.pk, ABSENT)] == changes(event)
    assert WHO == context_of(event)


def test_pull_is_an_update_with_its_event(house):
    users = [house.make(name=name) for name in ("Ana", "Eva")]
    club = house.make(house.Club, members=users)
    house.write(users[0].delete, **WHO)
    event = house.events(club)[1]

    assert [(("members", "0"), users[0].pk, ABSENT)] == changes(event)
    assert WHO == context_of(event)


def test_a_save_that_saves_others_records_all_of_them(house):
    class Invoice(Document):
        user = StringField()

        def save(self, *args, **kwargs):
            house.User(name=self.user).save()
            return super().save(*args, **kwargs)

    house.auditor.track(Invoice)
    invoice = house.write(lambda: Invoice(user="Ana").save(), **WHO)
    user = house.User.objects.get(name="Ana")

    assert [WHO, WHO] == [context_of(house.events(each)[0]) for each in (invoice, user)]


def test_what_an_atomic_receiver_saves_has_its_event(house):
    @post_create_instance.connect_via(house.User, atomic=True)
    def add_order(instance):
        house.Order(user=instance).save()

    user = house.write(lambda: house.User(name="Ana").save(), **WHO)
    order = house.Order.objects.get(user=user)

    assert WHO == context_of(house.events(order)[0])


def test_what_an_atomic_receiver_makes_of_the_same_document_is_in_its_one_event(house):
    @post_create_instance.connect_via(house.User, atomic=True)
    def number(instance):
        instance.age = 42
        instance.save()

    (event,) = house.events(house.make(name="Ana"))

    assert (("age",), ABSENT, 42) in changes(event)


def test_an_unaudited_neighbour_is_in_the_transaction_and_has_no_event(house):
    class Note(Document):
        text = StringField()

    def work(fails):
        house.User(name="Ana").save()
        Note(text="kept").save()
        if fails:
            raise KeyError("late")

    with pytest.raises(KeyError):
        house.write(lambda: work(True))

    assert 0 == Note.objects.count()

    house.write(lambda: work(False))

    assert 1 == Note.objects.count()
    assert {"user"} == set(get_db()["bzz_history"].distinct("s"))


def test_two_auditors_on_one_connection_record_the_same_actor(house):
    with built() as other:

        class Parcel(Document):
            name = StringField()

        other.auditor.track(Parcel)
        other.auditor.prepare()

        def work():
            house.User(name="Ana").save()
            return Parcel(name="box").save()

        parcel = house.write(work, **WHO)

        assert WHO == context_of(other.events(parcel)[0])


# Querysets


def test_an_update_of_many_has_an_event_for_each_that_changed(house):
    users = [house.make(name="Ana", age=age) for age in (1, 2, 3)]
    house.write(lambda: house.User.objects(age__gte=2).update(age=3))

    assert [1, 2, 1] == [len(house.events(user)) for user in users]


@pytest.mark.parametrize(
    "update",
    [
        pytest.param(lambda found: found.update(inc__age=1), id="update"),
        pytest.param(lambda found: found.update_one(inc__age=1), id="update_one"),
        pytest.param(lambda found: found.modify(inc__age=1), id="modify"),
        pytest.param(lambda found: found.first().update(inc__age=1), id="document.update"),
        pytest.param(lambda found: found.first().modify(age=2), id="document.modify"),
        pytest.param(lambda found: found.only("name").modify(inc__age=1), id="only.modify"),
        pytest.param(lambda found: found.order_by("-age").modify(inc__age=1), id="sort.modify"),
        pytest.param(lambda found: found.update(__raw__={"$inc": {"age": 1}}), id="raw"),
        pytest.param(
            lambda found: found.update(__raw__=[{"$set": {"age": {"$add": ["$age", 1]}}}]),
            id="pipeline",
        ),
        pytest.param(
            lambda found: found._collection.find_one_and_update(
                {"name": "Ana"}, {"$inc": {"age": 1}}
            ),
            id="find_one_and_update",
        ),
        pytest.param(
            lambda found: found._collection.find_one_and_replace(
                {"name": "Ana"}, {"name": "Ana", "age": 2, "tags": []}
            ),
            id="find_one_and_replace",
        ),
        pytest.param(
            lambda found: found._collection.replace_one(
                {"name": "Ana"}, {"name": "Ana", "age": 2, "tags": []}
            ),
            id="replace_one",
        ),
        pytest.param(
            lambda found: found._collection.update_one(
                {"name": "ANA"},
                {"$inc": {"age": 1}},
                collation={"locale": "en", "strength": 2},
            ),
            id="collation",
        ),
        pytest.param(
            lambda found: found._collection.update_many(
                {"name": "ANA"},
                {"$inc": {"age": 1}},
                collation={"locale": "en", "strength": 2},
            ),
            id="collation of many",
        ),
    ],
)
def test_every_way_of_updating_is_recorded(house, update):
    user = house.make(name="Ana", age=1)
    house.write(lambda: update(house.User.objects(name="Ana")))

    assert [(("age",), 1, 2)] == changes(house.events(user)[-1])
    assert ["created", "updated"] == house.told(user)


@pytest.mark.parametrize(
    "delete",
    [
        pytest.param(lambda found: found.delete(), id="delete"),
        pytest.param(lambda found: found.first().delete(), id="document.delete"),
        pytest.param(lambda found: found.modify(remove=True), id="modify"),
        pytest.param(lambda found: found._collection.delete_one({"name": "Ana"}), id="delete_one"),
        pytest.param(
            lambda found: found._collection.find_one_and_delete({"name": "Ana"}),
            id="find_one_and_delete",
        ),
    ],
)
def test_every_way_of_deleting_is_recorded(house, delete):
    user = house.make(name="Ana")
    house.write(lambda: delete(house.User.objects(name="Ana")))

    assert ["created", "deleted"] == house.told(user)


@pytest.mark.parametrize(
    "insert",
    [
        pytest.param(lambda m: m.objects(name="Ana").update_one(age=1, upsert=True), id="update"),
        pytest.param(lambda m: m.objects(name="Ana").update(age=1, upsert=True), id="many"),
        pytest.param(lambda m: m.objects(name="Ana").upsert_one(age=1), id="upsert_one"),
        pytest.param(lambda m: m.objects(name="Ana").modify(age=1, upsert=True), id="modify"),
        pytest.param(lambda m: m.objects(pk=ObjectId()).update_one(age=1, upsert=True), id="by id"),
        pytest.param(lambda m: m.objects.insert(m(name="Ana", age=1)), id="insert"),
        pytest.param(
            lambda m: m._get_collection().replace_one({"name": "Ana"}, {"age": 1}, upsert=True),
            id="replace_one",
        ),
    ],
)
def test_every_way_of_inserting_is_recorded(house, insert):
    house.write(lambda: insert(house.User))
    user_id = raw(house.User).find_one({"age": 1})["_id"]
    (event,) = house.events(user_id, house.User)

    assert ("created", (("age",), ABSENT, 1)) == (
        event.operation,
        next(each for each in changes(event) if each[0] == ("age",)),
    )


def test_a_bulk_insert_has_an_event_for_each(house):
    users = house.write(lambda: house.User.objects.insert([house.User(name=n) for n in "abc"]))

    assert [["created"]] * 3 == [house.told(user) for user in users]


def test_bulk_write_is_refused(house):
    with pytest.raises(BzzError, match="bulk_write on .*user cannot be recorded; save the doc"):
        house.write(lambda: house.User._get_collection().bulk_write([]))


def test_a_queryset_made_before_the_connection_was_prepared_is_recorded(database):
    with built() as house:
        house.auditor.track(house.Team)
        house.auditor.track(house.User)
        found = house.User.objects(name="Ana")
        user = house.make(name="Ana")
        house.write(lambda: found.update(age=3))

        assert ["created", "updated"] == house.told(user)


def test_a_save_of_a_document_that_vanished_stores_no_fragment(house):
    user = house.make(name="Ana", age=1)
    house.write(house.User.objects.get(pk=user.pk).delete)

    def work():
        user.age = 2
        user.save()

    with pytest.raises(Conflict, match="was deleted by another writer; saving it would store a"):
        house.write(work)

    assert stored(user) is None
    assert ["created", "deleted"] == house.told(user)


def test_a_document_that_its_model_cannot_load_is_updated_and_recorded(house):
    user = house.make(name="Ana")
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"odd": 1}})
    house.write(lambda: house.User.objects(pk=user.pk).update(age=3))

    assert ["created", "external", "updated"] == house.told(user)


# All or nothing


def test_an_exception_after_a_save_leaves_nothing(house):
    def work():
        house.User(name="Ana").save()
        raise KeyError("late")

    with pytest.raises(KeyError, match="late"):
        house.write(work)

    assert (0, b"") == (raw(house.User).count_documents({}), history_bytes())


@pytest.mark.parametrize("count", [1, 3])
def test_an_event_that_the_database_refuses_refuses_the_write(house, count):
    users = [house.make(name="Ana", age=1) for _ in range(count)]
    get_db().command("collMod", "bzz_history", validator={"z": {"$type": "string"}})

    with pytest.raises(Unavailable) as caught:
        house.write(lambda: house.User.objects.update(age=2))

    assert (
        "The event could not be stored, so the write was refused: Document failed validation"
        == (str(caught.value))
    )
    assert [1] * count == [stored(user)["age"] for user in users]
    get_db().command("collMod", "bzz_history", validator={})


def test_a_failing_insert_of_the_event_refuses_the_write(house, database):
    user = house.make(name="Ana", age=1)
    events = {"namespace": f"{database.name}.bzz_history", "errorCode": 8000}
    with failing(database.client, ["insert"], **events), pytest.raises(Unavailable):
        house.write(lambda: house.User.objects.update(age=2))

    assert (1, ["created"]) == (stored(user)["age"], house.told(user))


UNRECORDED = "is audited, and its write came to the commit without an event"


def test_a_write_past_an_auditor_that_was_disconnected_is_refused(house):
    before_commit.disconnect(house.auditor._record)

    with pytest.raises(Unrecorded, match=f"User .* {UNRECORDED}"):
        house.make(name="Ana")

    assert 0 == raw(house.User).count_documents({})


def test_a_write_while_before_commit_is_muted_is_refused(house):
    with before_commit.muted(), pytest.raises(Unrecorded, match=UNRECORDED):
        house.make(name="Ana")

    assert 0 == raw(house.User).count_documents({})


def test_a_write_after_all_receivers_were_dropped_is_refused(house):
    before_commit.receivers = {}

    with pytest.raises(Unrecorded, match=UNRECORDED):
        house.make(name="Ana")

    assert 0 == raw(house.User).count_documents({})


def test_a_delete_by_a_rule_without_its_event_is_refused(house):
    user = house.make(name="Ana")
    order = house.make(house.Order, user=user)
    before_commit.disconnect(house.auditor._record, sender=house.Order)

    with pytest.raises(Unrecorded, match=f"Order {order.pk} {UNRECORDED}"):
        house.write(user.delete)

    assert user.pk == stored(order)["user"]


def test_a_receiver_of_before_commit_that_writes_the_document_is_refused(house):
    @before_commit.connect_via(house.User)
    def meddle(writes):
        house.User.objects(pk=writes[0].id).update(age=99)

    with pytest.raises(Unrecorded, match="or a receiver of before_commit wrote the document"):
        house.make(name="Ana")

    assert 0 == raw(house.User).count_documents({})


def test_an_atomic_receiver_that_raises_refuses_the_write(house):
    user = house.make(name="Ana")

    @post_update_instance.connect_via(house.User, atomic=True)
    def refuse():
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        house.write(lambda: house.User.objects.update(age=2))

    assert ("age" in stored(user), ["created"]) == (False, house.told(user))


def test_an_event_above_16_mb_refuses_the_write(house):
    user = house.make(name="Ana", note="x" * 9_000_000)

    with pytest.raises(TooLarge, match="the event of its change, is too large"):
        house.write(lambda: house.User.objects(pk=user.pk).update(note="y" * 9_000_000))

    assert ("x", ["created"]) == (stored(user)["note"][0], house.told(user))


def test_an_error_of_the_database_that_is_swallowed_still_refuses_the_commit(house):
    house.make(name="Ana", email="a@b")

    def work():
        house.User(name="Eva").save()
        with suppress(Exception):
            house.User.objects.insert([house.User(name="x", email="a@b")], load_bulk=False)

    with pytest.raises(BulkWriteError):
        house.write(work)

    assert 1 == raw(house.User).count_documents({})


# Found, not made


def test_a_document_from_before_gets_a_baseline(house):
    user_id = raw(house.User).insert_one({"name": "Ana", "age": 1}).inserted_id
    house.write(lambda: house.User.objects(pk=user_id).update(age=2), actor="eva")
    baseline, update = house.events(user_id, house.User)

    assert ("baseline", 1, SYSTEM, None) == (
        baseline.operation,
        baseline.version,
        baseline.actor,
        baseline.request,
    )
    assert [(("name",), ABSENT, "Ana"), (("age",), ABSENT, 1)] == changes(baseline)
    assert ("updated", 2, Actor("user", "eva")) == (
        update.operation,
        update.version,
        update.actor,
    )


def test_a_document_from_before_that_is_deleted_keeps_its_content_in_history(house):
    user_id = raw(house.User).insert_one({"name": "Ana", "tags": []}).inserted_id
    house.write(lambda: house.User.objects.get(pk=user_id).delete())

    assert ["baseline", "deleted"] == [
        event.operation for event in house.events(user_id, house.User)
    ]
    assert house.auditor.history(house.User, user_id).last_state()["name"] == "Ana"


def test_several_changes_round_bzz_are_one_external_event(house):
    user = house.make(name="Ana", age=1)
    for age in (2, 3, 4):
        raw(house.User).update_one({"_id": user.pk}, {"$set": {"age": age}})
    house.write(lambda: house.User.objects.update(name="Eva"), actor="eva", reason="why")
    _, external, update = house.events(user)

    assert ("external", SYSTEM, None, None) == (
        external.operation,
        external.actor,
        external.reason,
        external.request,
    )
    assert [(("age",), 1, 4)] == changes(external)
    assert [(("name",), "Ana", "Eva")] == changes(update)
    assert 3 == check_histories(house.auditor, house.User)


def test_a_change_round_bzz_of_the_type_alone_is_external(house):
    user = house.make(name="Ana", age=1)
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"age": 1.0}})
    house.write(lambda: house.User.objects.update(name="Eva"))
    external = house.events(user)[1]

    assert [("age", int, float)] == [
        (path[0], type(old), type(new)) for path, old, new in changes(external)
    ]


def test_a_delete_round_bzz_is_a_tombstone_before_the_new_creation(house):
    user = house.make(name="Ana")
    raw(house.User).delete_one({"_id": user.pk})
    house.make(pk=user.pk, name="Eva")

    assert ["created", "external", "created"] == house.told(user)
    assert house.events(user)[1].gone
    assert 3 == check_histories(house.auditor, house.User)


def test_a_creation_round_bzz_after_a_delete_is_external(house):
    user = house.make(name="Ana")
    house.write(user.delete)
    raw(house.User).insert_one({"_id": user.pk, "name": "Eva", "tags": []})
    house.write(lambda: house.User.objects(pk=user.pk).update(age=2))

    assert ["created", "deleted", "external", "updated"] == house.told(user)
    assert 4 == check_histories(house.auditor, house.User)


def test_members_in_another_order_are_no_change(house):
    user = house.make(name="Ana", age=1)
    raw(house.User).replace_one({"_id": user.pk}, {"tags": [], "age": 1, "name": "Ana"})
    house.write(lambda: house.User.objects.update(age=2))

    assert ["created", "updated"] == house.told(user)


# Hidden values

SECRET = "s3cr3t-of-ana"


@pytest.fixture
def hiding(database):
    with built() as house:

        class Card(EmbeddedDocument):
            label = StringField()
            number = StringField(db_field="no")

        class Holder(Document):
            name = StringField()
            secret = StringField()
            pin = StringField(db_field="p")
            card = EmbeddedDocumentField(Card)
            cards = ListField(EmbeddedDocumentField(Card))

        house.Card, house.Holder = Card, Holder
        house.auditor.track(Holder, exclude=["secret", "cards.number"], mask=["pin", "card.number"])
        yield house


def test_hidden_values_never_reach_the_history(hiding):
    card = hiding.Card(label="a", number=SECRET)
    told = []

    @post_update_instance.connect_via(hiding.Holder, atomic=True)
    def tell(updated_fields):
        told.append(repr(updated_fields))

    holder = hiding.make(hiding.Holder, secret=SECRET, pin=SECRET, card=card, cards=[card])
    more = SECRET + "2"
    change = dict.fromkeys(["secret", "p", "card.no", "cards.0.no"], more)
    hiding.write(lambda: hiding.Holder.objects.update(__raw__={"$set": {"name": "x", **change}}))
    raw(hiding.Holder).update_one({}, {"$set": {"name": "y", "p": SECRET + "3"}})
    hiding.write(holder.delete)

    assert SECRET.encode() not in history_bytes()
    assert SECRET not in "".join(told)
    assert ["created", "updated", "external", "deleted"] == hiding.told(holder)
    assert 4 == check_histories(hiding.auditor, hiding.Holder)


def test_a_change_of_an_excluded_value_alone_makes_no_event(hiding):
    cards = [hiding.Card(number="1")]
    holder = hiding.make(hiding.Holder, name="Ana", cards=cards)
    change = {"secret": "new", "cards.0.no": "2"}
    hiding.write(lambda: hiding.Holder.objects.update(__raw__={"$set": change}))

    assert ["created"] == hiding.told(holder)
    assert "new" == stored(holder)["secret"]


def test_of_a_masked_value_the_event_tells_that_it_changed(hiding):
    holder = hiding.make(hiding.Holder, name="Ana", card=hiding.Card(label="a"))
    hiding.write(lambda: hiding.Holder.objects.update(pin="1234", card__number="77"))
    event = hiding.events(holder)[1]

    assert ((), {"/p", "/card/no"}) == (event.changes, set(event.masked))


def test_the_updated_fields_of_a_hidden_change_are_without_it(hiding):
    hiding.make(hiding.Holder, name="Ana")
    told = []

    @post_update_instance.connect_via(hiding.Holder, atomic=True)
    def tell(updated_fields):
        told.append(updated_fields)

    hiding.write(lambda: hiding.Holder.objects.update(name="Eva", secret="x", pin="y"))

    assert [{"name": {"from": "Ana", "to": "Eva"}}] == told


# Types and names

VALUES = {
    "int": 1,
    "float": 1.0,
    "true": True,
    "int64": Int64(1),
    "decimal": Decimal128("1"),
    "decimal with zero": Decimal128("1.0"),
    "text": "1",
    "null": None,
    "minus zero": -0.0,
    "not a number": float("nan"),
    "date": datetime(2026, 1, 2, 3, 4, 5, 678000),
    "date beyond years": DatetimeMS(2**62),
    "bytes": b"1",
    "uuid": Binary.from_uuid(uuid.UUID(int=1)),
    "old uuid": Binary(b"1" * 16, 3),
    "object id": ObjectId(b"1" * 12),
    "timestamp": Timestamp(1, 2),
    "pattern": Regex("^a", "i"),
    "code": Code("f()"),
    "code with scope": Code("f()", {"x": 1}),
    "least": MinKey(),
    "greatest": MaxKey(),
    "reference": DBRef("a", 1),
    "empty list": [],
    "empty object": {},
    "nested": {"a": [{"b": [1, 1.0, None]}, Int64(2)]},
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_of_any_type_survives_in_events(house, name):
    user = house.make(name="Ana")
    collection = house.User._get_collection()
    for value in (VALUES[name], [VALUES[name]], "other"):
        house.write(
            lambda value=value: collection.update_one({"_id": user.pk}, {"$set": {"note": value}})
        )
    house.write(lambda: collection.update_one({"_id": user.pk}, {"$unset": {"note": 1}}))

    assert 5 == check_histories(house.auditor, house.User)


ONES = ["int", "float", "true", "int64", "decimal", "decimal with zero", "text", "null"]


@pytest.mark.parametrize("old", ONES)
def test_values_that_look_alike_are_a_change(house, old):
    collection = house.User._get_collection()
    user = house.make(name="Ana")
    for new in ONES:
        for each in (old, new):
            house.write(
                lambda each=each: collection.update_one(
                    {"_id": user.pk}, {"$set": {"note": VALUES[each]}}
                )
            )

    # The creation and the first value; to each of the others and, but for the last, back.
    to_and_fro = 2 * (len(ONES) - 1) - (old != ONES[-1])
    assert 2 + to_and_fro == check_histories(house.auditor, house.User)


def test_null_and_absent_are_different(house):
    user = house.make(name="Ana")
    house.write(lambda: house.User.objects.update(__raw__={"$set": {"note": None}}))
    house.write(lambda: house.User.objects.update(__raw__={"$unset": {"note": 1}}))

    assert [[(("note",), ABSENT, None)], [(("note",), None, ABSENT)]] == [
        changes(event) for event in house.events(user)[1:]
    ]


@pytest.mark.parametrize(
    "name", ["a.b", "$set", "$", "a b", "", "/", "~", "~1", "0", "名前", "🐝", "_id"]
)
def test_a_member_of_any_name_survives_in_events(house, name):
    collection = house.User._get_collection()
    user = house.make(name="Ana")
    for note in ({name: 1}, {name: 2, "other": {name: [{name: 3}]}}, {}):
        state = {"name": "Ana", "note": note}
        house.write(lambda state=state: collection.replace_one({"_id": user.pk}, state))

    assert 4 == check_histories(house.auditor, house.User)


# Models of all kinds


def test_what_clean_changes_is_in_the_event(house):
    class Article(Document):
        title = StringField()
        slug = StringField(db_field="sl")

        def clean(self):
            self.slug = self.title.lower()

        def save(self, *args, **kwargs):
            self.title = self.title.strip()
            return super().save(*args, **kwargs)

    house.auditor.track(Article)
    (event,) = house.events(house.make(Article, title=" Hello "))

    assert [(("title",), ABSENT, "Hello"), (("sl",), ABSENT, "hello")] == changes(event)


def test_documents_of_subclasses_stand_in_the_streams_of_their_collection(house):
    class Animal(Document):
        name = StringField()
        meta = {"allow_inheritance": True}

    class Dog(Animal):
        breed = StringField()

    house.auditor.track(Animal)
    dog = house.make(Dog, name="Rex", breed="pug")
    house.write(lambda: Animal.objects.update(name="Max"))

    assert [(("name",), "Rex", "Max")] == changes(house.events(dog)[1])
    assert 2 == check_histories(house.auditor, Animal)


def test_a_subclass_that_is_declared_later_is_recorded(house):
    class Animal(Document):
        name = StringField()
        meta = {"allow_inheritance": True}

    house.auditor.track(Animal)
    house.make(Animal, name="Rex")

    class Cat(Animal):
        lives = IntField(unique=True)

    assert ["created"] == house.told(house.make(Cat, lives=9))


def test_members_of_dynamic_documents_are_recorded(house):
    class Thing(DynamicDocument):
        name = StringField()

    house.auditor.track(Thing)
    thing = house.make(Thing, name="a", colour="red")

    def work():
        found = Thing.objects.get(pk=thing.pk)
        found.colour = {"r": 1}
        found.weight = 2
        found.save()

    house.write(work)

    assert [(("colour",), "red", {"r": 1}), (("weight",), ABSENT, 2)] == changes(
        house.events(thing)[1]
    )


class Point(EmbeddedDocument):
    x = IntField()
    y = IntField()


@pytest.mark.parametrize(
    ("field", "key"),
    [
        pytest.param(UUIDField(primary_key=True), uuid.UUID(int=7), id="uuid"),
        pytest.param(StringField(primary_key=True), "a/b c", id="text"),
        pytest.param(IntField(primary_key=True), 7, id="int"),
        pytest.param(SequenceField(primary_key=True), 1, id="sequence"),
        pytest.param(DynamicField(primary_key=True), {"a": 1, "b": [2]}, id="object"),
        pytest.param(DynamicField(primary_key=True), datetime(2026, 1, 2), id="date"),
        pytest.param(EmbeddedDocumentField(Point, primary_key=True), Point(x=1, y=2), id="point"),
    ],
)
def test_documents_have_ids_of_any_type(house, field, key):
    class Thing(Document):
        key = field
        n = IntField()

    house.auditor.track(Thing)
    house.write(lambda: Thing(key=key, n=1).save())
    house.write(lambda: Thing.objects(key=key).update(n=2))
    house.write(lambda: Thing.objects.get(key=key).delete())

    assert ["created", "updated", "deleted"] == [
        each.operation for each in house.events(key, Thing)
    ]
    assert 3 == check_histories(house.auditor, Thing)


def test_a_query_by_a_uuid_finds_what_is_changed(house):
    class Thing(Document):
        token = UUIDField()
        n = IntField()

    house.auditor.track(Thing)
    thing = house.make(Thing, token=uuid.UUID(int=7))
    house.write(lambda: Thing.objects(token=uuid.UUID(int=7)).update(n=2))

    assert [(("n",), ABSENT, 2)] == changes(house.events(thing)[1])


def test_documents_are_counted_in_a_write(house):
    house.make(name="Ana")

    assert (1, 1) == house.write(
        lambda: (house.User.objects.count(), house.User.objects(name="Ana").count())
    )


# Without transactions


def test_on_mongomock_the_event_follows_the_document(mock_database):
    with built() as house:
        house.track()
        user = house.make(name="Ana", age=1)
        house.write(lambda: house.User.objects.get(pk=user.pk).modify(age=2))
        house.write(user.delete)

        assert ["created", "updated", "deleted"] == house.told(user)
        assert replayed(house.events(user)) is None


def test_a_document_with_a_uuid_has_its_history_over_http(database):
    key = uuid.UUID(int=7)
    with built() as house:

        class Thing(Document):
            key = UUIDField(primary_key=True)
            n = IntField()

        routes = MongoEngineRestHandler.routes_for("mongoengine", Thing, audit=house.auditor)
        with Server(routes) as server:
            path = f"/thing/{key}/"
            statuses = [
                server.post("/thing/", {"id": str(key), "n": 1}).status,
                server.get(path).status,
                server.put(path, {"n": 2}, headers={"If-Match": '"1"'}).status,
                server.delete(path).status,
                server.get(path).status,
            ]
            shown = server.get(f"{path}history/").json["items"]

    assert [201, 200, 200, 204, 410] == statuses
    assert [(str(key), 3), (str(key), 2), (str(key), 1)] == [
        (each["document"], each["version"]) for each in shown
    ]
