"""What the demo is about: people in teams, and what they order for their work."""

from __future__ import annotations

from typing import Any

from mongoengine import (
    DENY,
    NULLIFY,
    PULL,
    DateField,
    DateTimeField,
    Decimal128Field,
    Document,
    EmailField,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    IntField,
    ListField,
    ReferenceField,
    StringField,
)

ROLES = ["engineer", "designer", "buyer", "support", "people"]
STATUSES = ["requested", "approved", "ordered", "delivered", "cancelled"]


class Address(EmbeddedDocument):
    """Where somebody lives, or something is delivered."""

    street = StringField(required=True)
    city = StringField(required=True)
    country = StringField(default="PT", regex="[A-Z]{2}")


class Person(Document):
    """Somebody who works here."""

    handle = StringField(primary_key=True, regex="[a-z]{2,20}")
    name = StringField(required=True, max_length=80)
    email = EmailField(required=True, unique=True)
    role = StringField(required=True, choices=ROLES)
    born = DateField()
    home = EmbeddedDocumentField(Address)
    languages = ListField(StringField(regex="[a-z]{2}"))
    salary = Decimal128Field(min_value=0)  # masked: its changes are in the history, not its values
    last_seen = DateTimeField()  # excluded: of no interest to anybody's history


class Team(Document):
    """People who work together."""

    name = StringField(primary_key=True)
    purpose = StringField()
    lead = ReferenceField(Person, reverse_delete_rule=NULLIFY)
    members = ListField(ReferenceField(Person, reverse_delete_rule=PULL))


class Line(EmbeddedDocument):
    """An article of an order."""

    article = StringField(required=True)
    quantity = IntField(required=True, min_value=1)
    price = Decimal128Field(required=True, min_value=0)


class Order(Document):
    """What somebody needs."""

    number = StringField(primary_key=True)
    customer = ReferenceField(Person, required=True, reverse_delete_rule=DENY)
    status = StringField(required=True, choices=STATUSES, default="requested")
    lines = EmbeddedDocumentListField(Line)
    total = Decimal128Field()
    deliver_to = EmbeddedDocumentField(Address)
    placed = DateTimeField()
    due = DateField()

    def clean(self) -> None:
        """Add up the lines: what `clean()` and `save()` change is in the history as well."""
        # Runs before the validation, so that a line may still want its price.
        self.total = sum((line.quantity or 0) * (line.price or 0) for line in self.lines)


MODELS: list[Any] = [Person, Team, Order]
