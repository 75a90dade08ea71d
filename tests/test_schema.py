"""What Document classes say of themselves."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from typing import Any

import pytest
from bson import ObjectId
from mongoengine import (
    CachedReferenceField,
    DateTimeField,
    DictField,
    Document,
    DynamicDocument,
    DynamicField,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    EnumField,
    GenericEmbeddedDocumentField,
    GenericReferenceField,
    IntField,
    LazyReferenceField,
    ListField,
    LongField,
    MapField,
    ReferenceField,
    SequenceField,
    SortedListField,
    StringField,
    UUIDField,
)

from bzz.errors import SetupError
from bzz.schema import resource_name, schema_of


class Size(enum.Enum):
    SMALL = "s"


class SchemaTown(EmbeddedDocument):
    name = StringField(db_field="n")


class SchemaAddress(EmbeddedDocument):
    meta = {"allow_inheritance": True}
    street = StringField(db_field="st")
    towns = EmbeddedDocumentListField(SchemaTown, db_field="tw")
    inner = EmbeddedDocumentField("self", db_field="in")


class SchemaHome(SchemaAddress):
    floor = IntField(db_field="fl")


class SchemaTeam(Document):
    title = StringField()


class SchemaPerson(Document):
    meta = {"allow_inheritance": True}
    name = StringField(db_field="nm")
    address = EmbeddedDocumentField(SchemaAddress, db_field="ad")
    addresses = ListField(EmbeddedDocumentField(SchemaAddress), db_field="ads")
    by_kind = MapField(EmbeddedDocumentField(SchemaAddress), db_field="bk")
    grid = ListField(ListField(EmbeddedDocumentField(SchemaTown)), db_field="gr")
    table = DictField(db_field="tb")
    free = DynamicField(db_field="fr")
    generic = GenericEmbeddedDocumentField(db_field="ge")
    team = ReferenceField(SchemaTeam, db_field="tm")
    lazy = LazyReferenceField("SchemaTeam")
    cached = CachedReferenceField(SchemaTeam)
    friends = SortedListField(ReferenceField("self"))
    anyone = GenericReferenceField()


class SchemaChild(SchemaPerson):
    school = StringField(db_field="sc")


class SchemaSlug(Document):
    slug = StringField(db_field="sl")

    @classmethod
    def get_id_field_name(cls) -> Any:
        return cls.slug


class SchemaNamedSlug(EmbeddedDocument):
    slug = StringField()

    @classmethod
    def get_id_field_name(cls) -> str:
        return "slug"


class SchemaAnything(DynamicDocument):
    pass


def test_one_class_has_one_schema() -> None:
    assert schema_of(SchemaTeam) is schema_of(SchemaTeam)


def test_fields_stand_as_declared_and_without_the_class_name() -> None:
    assert ["street", "towns", "inner"] == list(schema_of(SchemaAddress).fields)
    assert ["id", "title"] == list(schema_of(SchemaTeam).fields)
    assert "_cls" not in schema_of(SchemaPerson).fields


def test_a_class_says_whether_it_is_strict_or_dynamic() -> None:
    class SchemaLoose(Document):
        meta = {"strict": False}

    flags = [(schema_of(c).strict, schema_of(c).dynamic) for c in (SchemaTeam, SchemaAnything)]

    assert [(True, False), (False, True)] == flags
    assert not schema_of(SchemaLoose).strict


@pytest.mark.parametrize(
    ("model", "pk", "id_field"),
    [
        (SchemaTeam, "id", "id"),
        (SchemaSlug, "id", "slug"),
        (SchemaNamedSlug, None, "slug"),
        (SchemaTown, None, None),
    ],
)
def test_the_id_field_is_the_hooks_or_the_primary_key(model: Any, pk: Any, id_field: Any) -> None:
    schema = schema_of(model)

    assert (pk, id_field) == (schema.pk, schema.id_field)


def test_an_id_field_that_is_not_there_is_a_fault_of_the_set_up() -> None:
    class SchemaWrong(Document):
        @classmethod
        def get_id_field_name(cls) -> str:
            return "slug"

    with pytest.raises(SetupError, match="returned 'slug'"):
        schema_of(SchemaWrong)


def test_id_and_pk_stand_for_fields() -> None:
    class SchemaOwn(Document):
        code = StringField(primary_key=True)

    class SchemaBoth(Document):
        id = IntField(primary_key=True)
        slug = StringField()

        @classmethod
        def get_id_field_name(cls) -> str:
            return "slug"

    assert ("code", "code") == tuple(map(schema_of(SchemaOwn).real_name, ("id", "pk")))
    assert ("slug", "id") == tuple(map(schema_of(SchemaSlug).real_name, ("id", "pk")))
    assert ("id", "id") == tuple(map(schema_of(SchemaBoth).real_name, ("id", "pk")))
    assert ("_id", "sl") == (
        schema_of(SchemaOwn).stored_of("id"),
        schema_of(SchemaSlug).stored_of("id"),
    )


PATHS = [
    (("nm",), ("name",)),
    (("_id",), ("id",)),
    (("ad", "st"), ("address", "street")),
    (("ad", "in", "in", "st"), ("address", "inner", "inner", "street")),
    (("ad", "fl"), ("address", "floor")),
    (("ad", "_cls"), ("address", "_cls")),
    (("ads", "0", "st"), ("addresses", "0", "street")),
    (("ads", 0, "tw", "12", "n"), ("addresses", 0, "towns", "12", "name")),
    (("ads", "-", "st"), ("addresses", "-", "street")),
    (("ads", "st"), ("addresses", "street")),
    (("bk", "st", "st"), ("by_kind", "st", "street")),
    (("gr", "0", "1", "n"), ("grid", "0", "1", "name")),
    (("gr", "n"), ("grid", "name")),
    (("tb", "nm", "st"), ("table", "nm", "st")),
    (("fr", "nm"), ("free", "nm")),
    (("ge", "n"), ("generic", "n")),
    (("tm", "nm"), ("team", "nm")),
    (("sc",), ("school",)),
    (("unknown", "nm"), ("unknown", "nm")),
    ((), ()),
]


@pytest.mark.parametrize(("stored", "names"), PATHS, ids=str)
def test_paths_go_from_stored_names_to_python_names_and_back(stored: Any, names: Any) -> None:
    schema = schema_of(SchemaPerson)

    assert names == schema.names(stored)
    assert stored == schema.stored(names)


def test_the_field_of_a_path_is_found() -> None:
    schema = schema_of(SchemaPerson)

    assert schema.field_at(("addresses", "street")) is SchemaAddress.street
    assert schema.field_at(("addresses", "0", "towns", 1, "name")) is SchemaTown.name
    assert schema.field_at(("by_kind", "x", "floor")) is SchemaHome.floor
    assert schema.field_at(("table", "x")) is None
    assert schema.field_at(("nothing",)) is None


@pytest.mark.parametrize(
    ("name", "target", "embedded", "many"),
    [
        ("address", SchemaAddress, True, False),
        ("addresses", SchemaAddress, True, True),
        ("team", SchemaTeam, False, False),
        ("lazy", SchemaTeam, False, False),
        ("cached", SchemaTeam, False, False),
        ("friends", SchemaPerson, False, True),
    ],
)
def test_relations_lead_to_classes(name: str, target: Any, embedded: bool, many: bool) -> None:
    relation = schema_of(SchemaPerson).relation(name)

    assert relation is not None
    assert (name, target, embedded, many) == (
        relation.name,
        relation.target,
        relation.embedded,
        relation.many,
    )


@pytest.mark.parametrize("name", ["name", "by_kind", "table", "anyone", "generic", "missing"])
def test_other_fields_lead_nowhere(name: str) -> None:
    assert schema_of(SchemaPerson).relation(name) is None


def test_all_relations_can_be_listed() -> None:
    names = [relation.name for relation in schema_of(SchemaPerson).relations()]

    assert ["address", "addresses", "team", "lazy", "cached", "friends"] == names


def keyed(field: Any) -> Any:
    return type("SchemaKeyed", (Document,), {"key": field})


OID = ObjectId("5f5f5f5f5f5f5f5f5f5f5f5f")

IDS = [
    (StringField(primary_key=True), "são / %2F . 🐝", "são / %2F . 🐝"),
    (IntField(primary_key=True), "-7", -7),
    (LongField(primary_key=True), str(2**62), 2**62),
    (SequenceField(primary_key=True), "12", 12),
    (SequenceField(primary_key=True, value_decorator=lambda n: f"A-{n}"), "A-7", "A-7"),
    (UUIDField(primary_key=True), str(uuid.UUID(int=7)), uuid.UUID(int=7)),
    (EnumField(Size, primary_key=True), "s", Size.SMALL),
    (DateTimeField(primary_key=True), "2024-05-31T00:00:00.000Z", datetime(2024, 5, 31)),
    (StringField(), str(OID), OID),
    (ReferenceField(SchemaTeam, primary_key=True), str(OID), OID),
]


@pytest.mark.parametrize(("field", "text", "value"), IDS, ids=[str(t) for _, t, _ in IDS])
def test_ids_are_typed_by_the_model_and_written_back(field: Any, text: str, value: Any) -> None:
    schema = schema_of(keyed(field))

    parsed = schema.parse_id(text)

    assert value == parsed
    assert type(value) is type(parsed)
    assert text == schema.format_id(parsed)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (IntField(primary_key=True), "x"),
        (IntField(primary_key=True), "007"),
        (IntField(primary_key=True), " 7"),
        (IntField(primary_key=True), "1.0"),
        (IntField(primary_key=True), "٣"),
        (IntField(primary_key=True), str(2**63)),
        (IntField(primary_key=True), "9" * 5000),
        (UUIDField(primary_key=True), "x"),
        (UUIDField(primary_key=True), "0" * 32),
        (StringField(primary_key=True), "\ud800"),
        (StringField(), "abc"),
        (StringField(), "abcdefghijkl"),
    ],
    ids=lambda value: ascii(value)[:20] if isinstance(value, str) else type(value).__name__,
)
def test_text_that_cannot_be_an_id_is_refused(field: Any, text: str) -> None:
    with pytest.raises(ValueError, match="id"):
        schema_of(keyed(field)).parse_id(text)


def test_hexadecimal_ids_have_no_case() -> None:
    assert OID == schema_of(SchemaTeam).parse_id(str(OID).upper())


@pytest.mark.parametrize(
    ("name", "resource"),
    [("User", "user"), ("OrderLine", "order_line"), ("HTTPLog", "http_log"), ("A1Team", "a1_team")],
)
def test_resources_are_named_in_snake_case(name: str, resource: str) -> None:
    assert resource == resource_name(type(name, (), {}))
