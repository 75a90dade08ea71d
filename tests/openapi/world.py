"""The models that are described and fuzzed: embedded, referenced, dynamic, inherited, all types."""

from __future__ import annotations

import enum
from types import SimpleNamespace
from typing import Any

from mongoengine import (
    DENY,
    BinaryField,
    BooleanField,
    ComplexDateTimeField,
    DateField,
    DateTimeField,
    Decimal128Field,
    DecimalField,
    DictField,
    Document,
    DynamicDocument,
    DynamicField,
    EmailField,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    EnumField,
    FileField,
    FloatField,
    GenericEmbeddedDocumentField,
    GenericReferenceField,
    GeoPointField,
    IntField,
    LazyReferenceField,
    ListField,
    MapField,
    PointField,
    PolygonField,
    ReferenceField,
    SequenceField,
    StringField,
    URLField,
    UUIDField,
)


class Size(enum.Enum):
    """Of a parcel."""

    SMALL = "small"
    LARGE = 2


def define() -> SimpleNamespace:
    """People with addresses, who send parcels; notes, animals and records beside them."""

    class Country(EmbeddedDocument):
        code = StringField(required=True, regex="[A-Z]{2}")

    class Address(EmbeddedDocument):
        street = StringField(required=True)
        city = StringField(db_field="c", max_length=30)
        country = EmbeddedDocumentField(Country)

    class Contact(EmbeddedDocument):
        meta = {"allow_inheritance": True}
        label = StringField(required=True)

        @classmethod
        def get_id_field_name(cls) -> Any:
            return cls.label

    class Phone(Contact):
        number = StringField()

    class Person(Document):
        name = StringField(required=True, min_length=1, max_length=40)
        email = EmailField(unique=True, sparse=True)
        site = URLField()
        age = IntField(min_value=0, max_value=150)
        score = FloatField(min_value=-1)
        active = BooleanField(default=True)
        born = DateField()
        seen = DateTimeField()
        home = EmbeddedDocumentField(Address)
        contacts = EmbeddedDocumentListField(Contact)
        tags = ListField(StringField(max_length=10), max_length=5)
        points = MapField(IntField())
        extra = DynamicField()
        secret = StringField()

    class Counter(Document):
        code = IntField(unique=True, required=True)
        serial = SequenceField()

        @classmethod
        def get_id_field_name(cls) -> str:
            return "code"

    class Parcel(Document):
        number = StringField(primary_key=True, max_length=20)
        sender = ReferenceField(Person, required=True, reverse_delete_rule=DENY)
        counters = ListField(LazyReferenceField(Counter))
        about = GenericReferenceField(choices=[Person])
        size = EnumField(Size)
        status = StringField(choices=["new", "sent"], default="new", required=True)
        weight = DecimalField(min_value=0, precision=3)
        price = Decimal128Field()
        key = UUIDField(binary=True)
        label = BinaryField(max_bytes=100)
        exact = ComplexDateTimeField()
        place = PointField(auto_index=False)
        spot = GeoPointField()
        area = PolygonField(auto_index=False)
        notes = DictField()
        lines = ListField(DictField(field=FloatField()))
        thing = GenericEmbeddedDocumentField(choices=(Address, Contact))
        scan = FileField()

    class Reading(Document):
        counter = ReferenceField(Counter)
        values = ListField(ListField(IntField()))

    class Note(DynamicDocument):
        title = StringField()

    class Animal(Document):
        meta = {"allow_inheritance": True}
        name = StringField(required=True)

    class Dog(Animal):
        bark = IntField()

    class Puppy(Dog):
        weeks = IntField(required=True)

    class Free(Document):
        title = StringField()

        def to_dict(self) -> Any:
            return {"id": self.id, "shout": (self.title or "").upper()}

    return SimpleNamespace(Size=Size, **locals())


SERVED = ("Person", "Parcel", "Counter", "Reading", "Note", "Animal", "Dog", "Free")
