"""Documents out as JSON-ready values, and bodies back in."""

from __future__ import annotations

import enum
import math
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import bson
import mongomock
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from mongoengine import (
    BinaryField,
    BooleanField,
    CachedReferenceField,
    ComplexDateTimeField,
    DateField,
    DateTimeField,
    Decimal128Field,
    DecimalField,
    DictField,
    Document,
    DynamicDocument,
    DynamicEmbeddedDocument,
    DynamicField,
    EmailField,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    EnumField,
    FileField,
    FloatField,
    GenericEmbeddedDocumentField,
    GenericLazyReferenceField,
    GenericReferenceField,
    GeoPointField,
    IntField,
    LazyReferenceField,
    LineStringField,
    ListField,
    LongField,
    MapField,
    MultiLineStringField,
    MultiPointField,
    MultiPolygonField,
    ObjectIdField,
    PointField,
    PolygonField,
    ReferenceField,
    SequenceField,
    SortedListField,
    StringField,
    URLField,
    UUIDField,
    connect,
    disconnect,
)
from mongoengine.base import BaseField

from bzz.codec import decode, decode_members, members, plain, represent
from bzz.errors import InvalidInput
from bzz.jsontext import MAX_DEPTH, dumps, loads
from bzz.jsonvalues import show


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Rank(enum.IntEnum):
    LOW = 1
    HIGH = 2


class CodecTeam(Document):
    name = StringField()


class CodecCity(Document):
    slug = StringField()
    name = StringField()

    @classmethod
    def get_id_field_name(cls) -> Any:
        return cls.slug


class CodecCode(Document):
    code = StringField(primary_key=True)


class CodecTown(EmbeddedDocument):
    name = StringField(db_field="n")
    size = IntField()


class CodecPlace(EmbeddedDocument):
    meta = {"allow_inheritance": True}
    street = StringField(db_field="st")
    towns = EmbeddedDocumentListField(CodecTown)


class CodecHouse(CodecPlace):
    floors = IntField(db_field="fl")


class CodecFree(DynamicEmbeddedDocument):
    kind = StringField()


class CodecEverything(DynamicDocument):
    text = StringField(db_field="t")
    url = URLField()
    email = EmailField()
    whole = IntField()
    long = LongField()
    real = FloatField()
    price = DecimalField(precision=2)
    priced = DecimalField(precision=3, force_string=True)
    exact = Decimal128Field()
    flag = BooleanField()
    when = DateTimeField()
    exactly = ComplexDateTimeField()
    day = DateField()
    key = ObjectIdField()
    unique = UUIDField()
    unique_text = UUIDField(binary=False)
    data = BinaryField()
    colour = EnumField(Colour)
    rank = EnumField(Rank)
    place = EmbeddedDocumentField(CodecPlace)
    free = EmbeddedDocumentField(CodecFree)
    generic = GenericEmbeddedDocumentField()
    numbers = ListField(IntField())
    nested = ListField(ListField(FloatField()))
    anything = ListField()
    sorted = SortedListField(IntField())
    towns = EmbeddedDocumentListField(CodecTown)
    colours = ListField(EnumField(Colour))
    table = DictField()
    dates = MapField(DateTimeField())
    places = MapField(EmbeddedDocumentField(CodecPlace))
    dynamic = DynamicField()
    team = ReferenceField(CodecTeam)
    team_ref = ReferenceField(CodecTeam, dbref=True)
    lazy = LazyReferenceField(CodecTeam)
    cached = CachedReferenceField(CodecTeam, fields=["name"])
    city = ReferenceField(CodecCity)
    coded = ReferenceField(CodecCode)
    teams = ListField(ReferenceField(CodecTeam))
    lazies = ListField(LazyReferenceField(CodecTeam))
    any_ref = GenericReferenceField()
    any_lazy = GenericLazyReferenceField()
    any_refs = ListField(GenericReferenceField())
    number = SequenceField()
    spot = GeoPointField()
    point = PointField()
    line = LineStringField()
    area = PolygonField()
    points = MultiPointField()
    lines = MultiLineStringField()
    areas = MultiPolygonField()


class CodecStrict(Document):
    name = StringField()
    place = EmbeddedDocumentField(CodecPlace)


TEAM = ObjectId("5f5f5f5f5f5f5f5f5f5f5f5f")
CITY = ObjectId("6f6f6f6f6f6f6f6f6f6f6f6f")
SQUARE = [[[0, 0], [0, 1.5], [1, 1], [0, 0]]]


@pytest.fixture(autouse=True)
def connection() -> Iterator[None]:
    connect("codec", mongo_client_class=mongomock.MongoClient, uuidRepresentation="standard")
    CodecTeam(id=TEAM, name="Red").save()
    CodecCity(id=CITY, slug="são paulo", name="São Paulo").save()
    CodecCode(code="a/b").save()
    yield
    CodecEverything.drop_collection()
    disconnect()


def team() -> Any:
    return CodecTeam.objects.get(pk=TEAM)


def field(name: str) -> Any:
    return CodecEverything._fields[name]


UUIDS: Any = CodecOptions(dict, uuid_representation=UuidRepresentation.STANDARD)


def made(name: str, value: Any) -> Any:
    document = CodecEverything(id=ObjectId(), number=1)
    setattr(document, name, value() if callable(value) else value)
    return document


def raw(document: Any) -> bytes:
    """The document as it goes to the database: types and all."""
    return bson.encode(document.to_mongo(), codec_options=UUIDS)


def faults(error: pytest.ExceptionInfo[InvalidInput]) -> list[str]:
    return [fault.pointer for fault in error.value.errors]


SHOWN = [
    ("text", "Zoë 🐝 \0", "Zoë 🐝 \0"),
    ("text", "", ""),
    ("url", "http://example.org/a?b=c", "http://example.org/a?b=c"),
    ("email", "ana@example.org", "ana@example.org"),
    ("whole", 5, 5),
    ("whole", 2**40, 2**40),
    ("long", 5, 5),
    ("long", -(2**63), -(2**63)),
    ("real", 1.5, 1.5),
    ("real", 3.0, 3.0),
    ("real", math.inf, "Infinity"),
    ("real", -math.inf, "-Infinity"),
    ("real", math.nan, "NaN"),
    ("price", Decimal("12.50"), "12.50"),
    ("priced", Decimal("0.125"), "0.125"),
    (
        "exact",
        Decimal("1234567890.123456789012345678901234"),
        "1234567890.123456789012345678901234",
    ),
    ("exact", Decimal("1E+3"), "1E+3"),
    ("flag", True, True),
    ("flag", False, False),
    ("when", datetime(2024, 5, 31, 17, 0, 1, 250000), "2024-05-31T17:00:01.250Z"),
    ("when", datetime(1, 1, 1), "0001-01-01T00:00:00.000Z"),
    ("exactly", datetime(2024, 5, 31, 17, 0, 1, 250001), "2024-05-31T17:00:01.250001Z"),
    ("day", date(2024, 2, 29), "2024-02-29"),
    ("key", TEAM, str(TEAM)),
    ("unique", uuid.UUID(int=7), str(uuid.UUID(int=7))),
    ("unique_text", uuid.UUID(int=7), str(uuid.UUID(int=7))),
    ("data", b"\x00\xff", "AP8="),
    ("data", b"", ""),
    ("colour", Colour.RED, "red"),
    ("rank", Rank.HIGH, 2),
    (
        "place",
        CodecPlace(street="Rua", towns=[CodecTown(name="a", size=1)]),
        {"street": "Rua", "towns": [{"name": "a", "size": 1}]},
    ),
    (
        "place",
        CodecHouse(street="Rua", floors=2),
        {"_cls": CodecHouse._class_name, "street": "Rua", "towns": [], "floors": 2},
    ),
    ("free", CodecFree(kind="x", more=[1, {"a": None}]), {"kind": "x", "more": [1, {"a": None}]}),
    ("generic", CodecTown(name="a"), {"_cls": "CodecTown", "name": "a", "size": None}),
    ("numbers", [1, 2], [1, 2]),
    ("nested", [[1.5], [2.0, math.nan]], [[1.5], [2.0, "NaN"]]),
    ("anything", [1, 1.0, "a", True, [{"b": []}]], [1, 1.0, "a", True, [{"b": []}]]),
    ("sorted", [1, 2, 3], [1, 2, 3]),
    ("towns", [CodecTown(name="a")], [{"name": "a", "size": None}]),
    ("colours", [Colour.BLUE], ["blue"]),
    ("table", {"a.b": 1, " ": {"/": "~"}, "": 0}, {"a.b": 1, " ": {"/": "~"}, "": 0}),
    ("dates", {"a": datetime(2024, 1, 1)}, {"a": "2024-01-01T00:00:00.000Z"}),
    ("places", {"a": CodecPlace(street="x")}, {"a": {"street": "x", "towns": []}}),
    ("dynamic", {"a": [1, 1.5]}, {"a": [1, 1.5]}),
    ("dynamic", "5", "5"),
    ("team", team, str(TEAM)),
    ("team_ref", team, str(TEAM)),
    ("lazy", team, str(TEAM)),
    ("cached", team, str(TEAM)),
    ("city", lambda: CodecCity.objects.get(pk=CITY), "são paulo"),
    ("coded", lambda: CodecCode.objects.get(pk="a/b"), "a/b"),
    ("teams", lambda: [team(), team()], [str(TEAM)] * 2),
    ("lazies", lambda: [team()], [str(TEAM)]),
    ("any_ref", team, {"model": "CodecTeam", "id": str(TEAM)}),
    (
        "any_ref",
        lambda: CodecCity.objects.get(pk=CITY),
        {"model": "CodecCity", "id": "são paulo"},
    ),
    ("any_lazy", team, {"model": "CodecTeam", "id": str(TEAM)}),
    ("any_refs", lambda: [team()], [{"model": "CodecTeam", "id": str(TEAM)}]),
    ("number", 7, 7),
    ("spot", [1.5, 2], [1.5, 2]),
    ("point", [1.5, 2], {"type": "Point", "coordinates": [1.5, 2]}),
    ("line", [[0, 0], [1, 1]], {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}),
    ("area", SQUARE, {"type": "Polygon", "coordinates": SQUARE}),
    ("points", [[0, 0]], {"type": "MultiPoint", "coordinates": [[0, 0]]}),
    ("lines", SQUARE, {"type": "MultiLineString", "coordinates": SQUARE}),
    ("areas", [SQUARE], {"type": "MultiPolygon", "coordinates": [SQUARE]}),
    ("more", {"a": [1, None, 2.0]}, {"a": [1, None, 2.0]}),
    ("space d", "x", "x"),
]


@pytest.mark.parametrize(
    ("name", "value", "shown"), SHOWN, ids=[f"{n} {i}" for i, (n, *_) in enumerate(SHOWN)]
)
def test_a_value_of_every_type_goes_out_and_comes_back_the_same(
    name: str, value: Any, shown: Any
) -> None:
    document = made(name, value)
    loaded = CodecEverything._from_son(bson.decode(raw(document), UUIDS))

    sent = loads(dumps(represent(loaded)))[name]
    copy = CodecEverything(id=document.id, number=1)
    setattr(copy, name, decode(CodecEverything._fields.get(name), sent, pointer=""))
    copy.validate()

    assert shown == sent
    assert type(shown) is type(sent)
    assert raw(document) == raw(copy)


@pytest.mark.parametrize(
    ("name", "value", "shown"), SHOWN, ids=[f"{n} {i}" for i, (n, *_) in enumerate(SHOWN)]
)
def test_members_are_what_is_stored_and_come_back_the_same(
    name: str, value: Any, shown: Any
) -> None:
    document = made(name, value)
    loaded = CodecEverything._from_son(bson.decode(raw(document), UUIDS))

    content = members(loaded)[name]
    copy = CodecEverything(id=document.id, number=1)
    setattr(copy, name, decode(CodecEverything._fields.get(name), content, pointer=""))

    assert shown == show(content)
    assert raw(document) == raw(copy)


@pytest.mark.parametrize(
    "name", [name for name, *_ in SHOWN if name not in ("generic", "place", "places", "towns")]
)
def test_the_stored_form_of_a_value_is_taken_too(name: str) -> None:
    value = next(value for each, value, _ in SHOWN if each == name)
    document = made(name, value)
    path = CodecEverything._fields[name].db_field if name in CodecEverything._fields else name

    copy = CodecEverything(id=document.id, number=1)
    content = bson.decode(raw(document), UUIDS)[path]
    given = decode(CodecEverything._fields.get(name), content, pointer="")
    setattr(copy, name, given)

    assert raw(document) == raw(copy)


# Out


def test_a_document_is_shown_under_python_names_with_null_for_what_is_unset() -> None:
    shown = represent(CodecStrict(id=TEAM, place=CodecPlace(street="x")))

    assert {"id": str(TEAM), "name": None, "place": {"street": "x", "towns": []}} == shown


def test_an_own_primary_key_is_shown_as_id_and_under_its_name() -> None:
    assert {"id": "a/b", "code": "a/b"} == represent(CodecCode(code="a/b"))


def test_the_field_that_urls_use_is_shown_as_id() -> None:
    shown = represent(CodecCity.objects.get(pk=CITY))

    assert {"id": "são paulo", "slug": "são paulo", "name": "São Paulo"} == shown


def test_showing_a_reference_does_not_load_it() -> None:
    missing = ObjectId()
    document = CodecEverything(team=DBRef("codec_team", missing), teams=[missing], number=1).save()
    loaded = CodecEverything.objects.get(pk=document.pk)

    shown = represent(loaded)

    assert (str(missing), [str(missing)]) == (shown["team"], shown["teams"])
    assert isinstance(loaded._data["team"], DBRef)


def test_an_own_representation_is_shown_as_it_is_in_json_types() -> None:
    class CodecOwn(EmbeddedDocument):
        name = StringField()

        def to_dict(self) -> dict[str, Any]:
            return {"called": self.name, "since": datetime(2024, 1, 1), "of": team()}

    class CodecOwner(Document):
        own = EmbeddedDocumentField(CodecOwn)

    shown = represent(CodecOwner(own=CodecOwn(name="x")))

    assert {
        "called": "x",
        "since": "2024-01-01T00:00:00.000Z",
        "of": str(TEAM),
    } == shown["own"]


def test_a_document_of_a_class_that_inherits_names_its_class() -> None:
    class CodecBase(Document):
        meta = {"allow_inheritance": True}
        name = StringField()

    class CodecDerived(CodecBase):
        more = IntField()

    shown = represent(CodecDerived(name="x", more=1))

    assert {"_cls": "CodecBase.CodecDerived", "id": None, "name": "x", "more": 1} == shown


def test_files_are_not_shown() -> None:
    class CodecFiled(Document):
        name = StringField()
        file = FileField()

    assert {"id": None, "name": "x"} == represent(CodecFiled(name="x"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Int64(5), 5),
        (Decimal128("NaN"), "NaN"),
        (Binary(b"\1" * 16, 4), "01010101-0101-0101-0101-010101010101"),
        (Binary(b"\1", 5), "AQ=="),
        (datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2024-01-01T00:00:00.000Z"),
        (DatetimeMS(2**60), {"milliseconds": 2**60}),
        (Regex("a/b", "i"), "/a/b/i"),
        (Timestamp(1, 2), {"time": 1, "inc": 2}),
        (Code("f()"), "f()"),
        (Code("f()", {"a": 1}), {"code": "f()", "scope": {"a": 1}}),
        (DBRef("c", TEAM), {"collection": "c", "id": str(TEAM)}),
        (MinKey(), "MinKey"),
        (MaxKey(), "MaxKey"),
        ({1: (math.nan, -0.0)}, {"1": ["NaN", -0.0]}),
        (Rank.LOW, 1),
    ],
    ids=str,
)
def test_every_type_of_bson_has_a_plain_form(value: Any, shown: Any) -> None:
    assert shown == loads(dumps(plain(value)))


def test_a_type_without_a_plain_form_is_named() -> None:
    with pytest.raises(TypeError, match=r"builtins\.object has no JSON form"):
        plain({"a": object()})


def test_values_stored_past_the_model_are_shown_as_they_are() -> None:
    odd = {"numbers": "text", "table": 5, "t": 5, "when": DatetimeMS(2**60), "any_ref": TEAM}
    document = CodecEverything._from_son({"_id": TEAM, "number": 1, **odd})

    shown = represent(document)

    assert ("text", 5, 5) == (shown["numbers"], shown["table"], shown["text"])
    assert {"milliseconds": 2**60} == shown["when"]
    assert {"model": None, "id": str(TEAM)} == shown["any_ref"]


def test_documents_within_untyped_values_are_shown() -> None:
    free = [CodecTown(name="a"), team(), Decimal("1.5"), Colour.RED, Decimal("1" * 40)]

    shown = represent(CodecEverything(number=1, dynamic=free))["dynamic"]

    assert [
        {"_cls": "CodecTown", "name": "a", "size": None},
        str(TEAM),
        "1.5",
        "red",
        "1" * 40,
    ] == shown


def test_a_field_of_the_users_own_is_shown_as_it_is_stored() -> None:
    class Pair(BaseField):
        def to_mongo(self, value: Any) -> Any:
            return list(value)

    class CodecPaired(Document):
        pair = Pair()

    assert [0.0, 1] == represent(CodecPaired(pair=iter((0.0, 1))))["pair"]


def test_a_dynamic_member_that_was_deleted_is_not_shown() -> None:
    document = CodecEverything(number=1, more=1)
    del document.more

    assert "more" not in represent(document)


# In


def test_a_reference_to_an_abstract_class_cannot_be_read() -> None:
    class CodecAbstract(Document):
        meta = {"abstract": True}

    with pytest.raises(InvalidInput, match="is abstract"):
        decode(ReferenceField(CodecAbstract), "x", pointer="")


def test_a_reference_to_a_document_that_cannot_be_loaded_is_a_fault() -> None:
    CodecTeam._get_collection().insert_one({"_id": 7, "unknown": 1})
    broken = CodecTeam._get_collection().insert_one({"unknown": 1}).inserted_id

    with pytest.raises(InvalidInput, match="cannot be loaded by its model"):
        decode(field("teams"), [str(broken)], pointer="/x")


def test_stored_generic_references_may_have_lost_their_documents() -> None:
    stored = {"_cls": "CodecTeam", "_ref": DBRef("codec_team", ObjectId())}

    assert stored == decode(field("any_ref"), stored, pointer="").to_dict()


def test_documents_are_taken_as_they_are() -> None:
    town, place = CodecTown(name="a"), CodecPlace(street="x")

    assert team() == decode(field("team"), team(), pointer="")
    assert team() == decode(field("any_ref"), team(), pointer="")
    assert place is decode(field("place"), place, pointer="")
    assert town is decode(field("generic"), town, pointer="")


def test_a_generic_reference_may_be_limited_to_some_models() -> None:
    limited = GenericReferenceField(choices=[CodecCity])

    with pytest.raises(InvalidInput, match="It may be CodecCity"):
        decode(limited, {"model": "CodecTeam", "id": str(TEAM)}, pointer="")


WRONG = [
    ("text", 5),
    ("text", "\ud800"),
    ("whole", True),
    ("whole", "5"),
    ("whole", 1.5),
    ("whole", 2**63),
    ("long", -(2**63) - 1),
    ("real", "1.5"),
    ("real", False),
    ("real", 10**400),
    ("price", "1e999"),
    ("price", "NaN"),
    ("price", "x"),
    ("exact", "1" * 35),
    ("exact", "1_0"),
    ("flag", 1),
    ("flag", "true"),
    ("when", 5),
    ("when", "yesterday"),
    ("when", "2024-02-30T00:00:00Z"),
    ("when", "0001-01-01T00:00:00+01:00"),
    ("when", "2024-01-01T00:00:00+25:00"),
    ("when", "2024-W01-1"),
    ("exactly", "x"),
    ("day", "2024-02-30"),
    ("day", "2024-02-28T00:00:00Z"),
    ("key", "5f"),
    ("key", 5),
    ("unique", "x"),
    ("unique", "{00000000-0000-0000-0000-000000000007}"),
    ("data", "not base64!"),
    ("colour", "green"),
    ("colour", {"a": 1}),
    ("rank", True),
    ("rank", "2"),
    ("place", "x"),
    ("place", []),
    ("generic", {"name": "x"}),
    ("numbers", 5),
    ("numbers", {"0": 1}),
    ("table", []),
    ("dates", "x"),
    ("team", 5),
    ("team", "f" * 24),
    ("team", {"id": str(TEAM), "name": "x"}),
    ("team", {"id": None}),
    ("city", str(CITY)),
    ("coded", 5),
    ("any_ref", str(TEAM)),
    ("number", "5"),
    ("spot", [1]),
    ("spot", [1, True]),
    ("point", [math.nan, 1]),
    ("point", [0, 91]),
    ("point", {"type": "Polygon", "coordinates": [0, 0]}),
    ("point", {"type": "Point", "coordinates": [0, 0], "crs": 1}),
    ("line", [[{}, {}]]),
    ("area", [{"a": 1}]),
    ("area", [[[0, 0], [0, 1], [1, 1]]]),
    ("areas", SQUARE),
    ("dynamic", 2**64),
    ("dynamic", "\ud800"),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{n} {str(v)[:20]!a}" for n, v in WRONG])
def test_a_value_of_another_type_is_a_fault(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as error:
        decode(field(name), value, pointer="/x")

    assert all(pointer.startswith("/x") for pointer in faults(error))


@pytest.mark.parametrize(
    ("name", "value", "pointer"),
    [
        ("numbers", [1, "x", 3], "/x/1"),
        ("numbers", [None], "/x/0"),
        ("place", {"towns": [{"name": "a"}, {"size": "b"}]}, "/x/towns/1/size"),
        ("place", {"a~/b": 1}, "/x/a~0~1b"),
        ("place", {"_cls": "CodecTown"}, "/x/_cls"),
        ("generic", {"_cls": "CodecTeam"}, "/x/_cls"),
        ("generic", {"_cls": "Nothing"}, "/x/_cls"),
        ("dates", {"a": "b"}, "/x/a"),
        ("table", {"a": [{"$b": 1}]}, "/x/a/0/$b"),
        ("table", {"a\0": 1}, "/x/a\0"),
        ("table", {"_ref": 1}, "/x/_ref"),
        ("dynamic", {"a": {"_cls": "Nothing"}}, "/x/a/_cls"),
        ("free", {"a.b": 1}, "/x/a.b"),
        ("teams", [str(TEAM), "f" * 24], "/x/1"),
        ("any_ref", {"model": "Nothing", "id": 1}, "/x/model"),
        ("any_ref", {"model": "CodecTown", "id": 1}, "/x/model"),
        ("any_ref", {"model": "CodecTeam", "id": "x"}, "/x/id"),
    ],
)
def test_a_fault_inside_is_pointed_to(name: str, value: Any, pointer: str) -> None:
    with pytest.raises(InvalidInput) as error:
        decode(field(name), value, pointer="/x")

    assert [pointer] == faults(error)


def test_all_faults_are_found_at_once() -> None:
    body = {"name": 5, "place": {"street": 6, "towns": [{"size": "x"}], "more": 1}, "other": 1}

    with pytest.raises(InvalidInput) as error:
        decode_members(CodecStrict, body)

    assert ["/name", "/place/street", "/place/towns/0/size", "/place/more", "/other"] == faults(
        error
    )


def test_a_missing_reference_is_named() -> None:
    with pytest.raises(InvalidInput, match="There is no CodecCity with the id 'rio'"):
        decode(field("city"), "rio", pointer="/city")


def test_a_reference_that_was_stored_may_have_lost_its_document() -> None:
    gone = ObjectId()

    assert DBRef("codec_team", gone) == decode(field("team"), gone, pointer="")


def test_a_reference_may_be_an_object_with_an_id() -> None:
    assert TEAM == decode(field("team"), {"id": str(TEAM)}, pointer="").pk


@pytest.mark.parametrize("name", ["save", "objects", "_x", "", "a.b", "$a", "a\0", "pk", "_cls"])
def test_a_dynamic_member_that_could_not_be_kept_is_a_fault(name: str) -> None:
    with pytest.raises(InvalidInput):
        decode_members(CodecEverything, {name: 1})


def test_id_and_the_own_primary_key_may_both_be_sent_if_equal() -> None:
    assert {"code": "x"} == decode_members(CodecCode, {"id": "x", "code": "x"})
    with pytest.raises(InvalidInput, match="are one, and differ"):
        decode_members(CodecCode, {"id": "x", "code": "y"})


def test_null_is_none_for_every_field() -> None:
    nulls = dict.fromkeys(set(CodecEverything._fields) - {"_cls"})

    assert set(decode_members(CodecEverything, nulls).values()) == {None}


@pytest.mark.parametrize(
    "shape", [lambda inner: [inner], lambda inner: {"a": inner}], ids=["lists", "objects"]
)
@pytest.mark.parametrize("name", ["dynamic", "table", "anything"])
def test_values_nested_too_deep_are_a_fault_and_no_crash(name: str, shape: Any) -> None:
    value: Any = 1
    for _ in range(2000):
        value = shape(value)

    with pytest.raises(InvalidInput):
        decode(field(name), value, pointer="")


def test_a_value_of_the_greatest_depth_is_taken() -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH - 1):
        value = [value]

    assert value == decode(field("dynamic"), value, pointer="")


def test_a_file_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Files are not read"):
        decode(FileField(), "x", pointer="/file")


def test_a_datetime_is_cut_to_milliseconds_in_utc() -> None:
    expected = datetime(2024, 5, 31, 15, 0, 1, 123000)

    for text in ("2024-05-31T17:00:01.123999+02:00", "2024-05-31 17:00:01.123 02:00"):
        assert expected == decode(field("when"), text, pointer="")
    assert expected == decode(field("when"), expected.replace(tzinfo=UTC), pointer="")


def test_choices_that_cannot_be_compared_do_not_crash() -> None:
    chosen = ListField(choices=["a", "b"])

    with pytest.raises(InvalidInput):
        decode(chosen, [{"a": 1}], pointer="/x")


# Forms


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("text", " a ", " a "),
        ("text", "", ""),
        ("whole", " 5 ", 5),
        ("whole", "", None),
        ("real", "1e3", 1000.0),
        ("price", "12.5", Decimal("12.50")),
        ("flag", "on", True),
        ("flag", "False", False),
        ("when", "2024-01-01T00:00:00 01:00", datetime(2023, 12, 31, 23)),
        ("rank", "2", Rank.HIGH),
        ("numbers", "5", [5]),
        ("numbers", ["5", "6"], [5, 6]),
        ("numbers", {"0": "5", "1": "6"}, [5, 6]),
        ("numbers", "[5, 6]", [5, 6]),
        ("table", '{"a": {"b": 1}}', {"a": {"b": 1}}),
        ("dynamic", "5", "5"),
        ("dynamic", "", ""),
        ("spot", ["1.5", "2"], [1.5, 2.0]),
        ("number", "7", 7),
        ("colours", ["red"], [Colour.RED]),
    ],
)
def test_a_form_is_read_by_the_type_of_the_field(name: str, text: Any, value: Any) -> None:
    decoded = decode(field(name), text, pointer="", text=True)

    assert value == decoded
    assert type(value) is type(decoded)


def test_a_form_may_hold_references_and_embedded_documents() -> None:
    body = {"teams": [str(TEAM)], "place": {"street": "x", "towns": {"0": {"size": "5"}}}}

    decoded = decode_members(CodecEverything, body, text=True)

    assert [TEAM] == [each.pk for each in decoded["teams"]]
    assert CodecPlace(street="x", towns=[CodecTown(size=5)]) == decoded["place"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("whole", "1_0"), ("whole", "٣"), ("real", "inf"), ("real", "1e999"), ("flag", "maybe")],
)
def test_text_that_is_not_of_the_type_is_a_fault(name: str, text: str) -> None:
    with pytest.raises(InvalidInput):
        decode(field(name), text, pointer="/x", text=True)


def test_what_the_store_encodes_has_no_type_of_pythons_own() -> None:
    value = {"a": Decimal("1.5"), "b": date(2024, 1, 1)}

    assert bson.encode({"x": decode(field("dynamic"), value, pointer="")})
