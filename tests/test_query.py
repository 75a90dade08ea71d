"""The query string of a list, read into one frozen value."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

import pytest
from bson import ObjectId
from mongoengine import (
    DictField,
    Document,
    DynamicDocument,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    EnumField,
    FloatField,
    GenericReferenceField,
    IntField,
    ListField,
    MapField,
    PointField,
    ReferenceField,
    StringField,
)
from mongoengine.fields import BooleanField, DateTimeField, Decimal128Field, UUIDField

from bzz.errors import BadRequest
from bzz.query import ListQuery, Sort, parse_list_query, project
from bzz.schema import schema_of


class Colour(enum.Enum):
    RED = "red"


class QueryTown(EmbeddedDocument):
    name = StringField(db_field="n")
    size = IntField()


class QueryTeam(Document):
    slug = StringField(unique=True)

    @classmethod
    def get_id_field_name(cls) -> str:
        return "slug"


class QueryPerson(Document):
    name = StringField(db_field="nm")
    age = IntField(min_value=0)
    score = FloatField()
    price = Decimal128Field()
    active = BooleanField()
    born = DateTimeField()
    key = UUIDField()
    colour = EnumField(Colour)
    tags = ListField(StringField())
    numbers = ListField(IntField())
    town = EmbeddedDocumentField(QueryTown, db_field="t")
    towns = EmbeddedDocumentListField(QueryTown)
    friend = ReferenceField("self")
    team = ReferenceField(QueryTeam)
    anything = DictField()
    counts = MapField(IntField())
    owner = GenericReferenceField()
    place = PointField()


class QueryNote(DynamicDocument):
    title = StringField()


class QueryShown(Document):
    name = StringField()

    def to_dict(self) -> dict[str, Any]:
        return {"label": self.name}


def parse(text: str, model: Any = QueryPerson) -> ListQuery:
    pairs = [part.partition("=")[::2] for part in text.split("&") if part]
    return parse_list_query(schema_of(model), pairs)


def only_filter(text: str, model: Any = QueryPerson) -> tuple[str, str, list[Any]]:
    """Path, operator and the typed values of the one filter of a query."""
    [found] = parse(text, model).filters
    return found.path, found.operator, [list(each) for each in found.values]


def test_an_empty_query_asks_for_the_first_twenty() -> None:
    query = parse("")

    assert (20, None, None, (), (), None) == (
        query.limit,
        query.cursor,
        query.page,
        query.filters,
        query.sort,
        query.fields,
    )


SOME_ID = ObjectId("64b000000000000000000001")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age=5", ("age", "eq", [[5]])),
        ("age__gt=-5", ("age", "gt", [[-5]])),
        ("age__in=1,2&age__in=3", ("age", "in", [[1], [2], [3]])),
        ("age__exists=false", ("age", "exists", [[False]])),
        ("name=", ("nm", "eq", [[""]])),
        ("name=5", ("nm", "eq", [["5"]])),
        ("name__in=a\\,b,c", ("nm", "in", [["a,b"], ["c"]])),
        ("name__icontains=.*", ("nm", "icontains", [[".*"]])),
        ("score=1.5", ("score", "eq", [[1.5]])),
        ("active=true", ("active", "eq", [[True]])),
        ("born__lt=2024-01-01T00:00:00Z", ("born", "lt", [[datetime(2024, 1, 1)]])),
        ("born__lt=2024-01-01T02:00:00 02:00", ("born", "lt", [[datetime(2024, 1, 1)]])),
        ("colour=red", ("colour", "eq", [["red"]])),
        ("tags=a", ("tags", "eq", [["a"]])),
        ("tags__size=2", ("tags", "size", [[2]])),
        ("tags__all=a,b", ("tags", "all", [["a"], ["b"]])),
        ("numbers__0=7", ("numbers.0", "eq", [[7]])),
        ("town__name=x", ("t.n", "eq", [["x"]])),
        ("town.name__ne=x", ("t.n", "ne", [["x"]])),
        ("town__size=3", ("t.size", "eq", [[3]])),
        ("town__size__gte=3", ("t.size", "gte", [[3]])),
        ("towns__name__startswith=x", ("towns.n", "startswith", [["x"]])),
        ("towns__size=3", ("towns.size", "eq", [[3]])),
        ("towns__exists=1", ("towns", "exists", [[True]])),
        ("anything__a__b=true", ("anything.a.b", "eq", [[True, "true"]])),
        ("counts__x__gt=1", ("counts.x", "gt", [[1]])),
        (f"id={SOME_ID}", ("_id", "eq", [[SOME_ID]])),
        (f"pk__ne={SOME_ID}", ("_id", "ne", [[SOME_ID]])),
        (f"friend={SOME_ID}", ("friend", "eq", [[SOME_ID]])),
        ("team=red", ("team", "eq", [["red"]])),
        ("towns__0__name=x", ("towns.0.n", "eq", [["x"]])),
        ("friend__in=" + f"{SOME_ID},{SOME_ID}", ("friend", "in", [[SOME_ID], [SOME_ID]])),
        ("owner__exists=false", ("owner", "exists", [[False]])),
    ],
)
def test_a_filter_is_typed_by_its_field(text: str, expected: object) -> None:
    assert expected == only_filter(text)


def test_a_list_of_embedded_documents_is_asked_for_its_size_by_the_member_first() -> None:
    """`size` is a field of the embedded class here, so it is not the operator."""
    path, operator, _ = only_filter("towns__size=3")

    assert ("towns.size", "eq") == (path, operator)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", [5, "5"]),
        ("-1.5e3", [-1500.0, "-1.5e3"]),
        ("true", [True, "true"]),
        ("007", ["007"]),
        ("null", ["null"]),
        ("1" * 30, [float("1" * 30), "1" * 30]),
        ("1e999", ["1e999"]),
        ("6" * 24, [float("6" * 24), ObjectId("6" * 24), "6" * 24]),
        ("2024-01-01", ["2024-01-01"]),
        ("2024-99-01T00:00:00Z", ["2024-99-01T00:00:00Z"]),
        (str(SOME_ID), [SOME_ID, str(SOME_ID)]),
        ("2024-01-01T00:00:00Z", [datetime(2024, 1, 1), "2024-01-01T00:00:00Z"]),
        ("", [""]),
    ],
)
def test_a_value_of_no_declared_type_may_stand_for_several(text: str, expected: object) -> None:
    assert ("free", "eq", [expected]) == only_filter(f"free={text}", QueryNote)


def test_one_field_may_have_several_conditions() -> None:
    query = parse("age__gte=1&age__lt=5&tags=a&tags=b")

    assert ["gte", "lt", "eq", "eq"] == [each.operator for each in query.filters]


def test_a_reference_by_an_id_of_its_own_is_left_to_be_looked_up() -> None:
    [found] = parse("team=red").filters

    assert QueryTeam is found.references


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("nope=1", "QueryPerson has no field 'nope'; it has active, age"),
        ("nope=1", "cursor, fields, limit, page, per_page, sort"),
        ("town__nope=1", "QueryTown has no field 'nope'; it has name, size"),
        ("age__nope=1", "neither a member nor an operator 'nope'. Operators are ne, lt"),
        ("friend__name=1", "friend refers to another document"),
        ("$where=1", "'$where' cannot be a name"),
        ("anything__$gt=1", "'$gt' cannot be a name"),
        ("anything__=1", "'' cannot be a name"),
        ("age=x", "age cannot be 'x'"),
        ("age=" + "9" * 30, "64 bits"),
        ("price=1e9999999", "price cannot be"),
        ("age=", "age__exists=false"),
        ("age__exists=maybe", "age__exists is true or false, not 'maybe'"),
        ("tags__size=-1", "tags__size is a whole number, not '-1'"),
        ("age__size=1", "size works on lists"),
        ("age__all=1", "all works on lists"),
        ("age__contains=1", "contains works on text"),
        ("town=1", "town holds whole objects"),
        ("place=1", "place holds whole objects"),
        ("owner=1", "owner holds whole objects"),
        ("id=x", "id cannot be 'x'"),
        ("friend=x", "cannot be an id of QueryPerson"),
        ("colour=blue", "colour cannot be 'blue'"),
        ("team__gt=a", "no order"),
        ("name__contains=" + "x" * 1001, "at most 1000 characters"),
        ("anything" + "__a" * 20 + "=1", "at most 20 names"),
        ("name__contains=a\0", "no NUL"),
        ("owner__name=1", "owner refers to another document"),
        ("sort=nope", "no field 'nope'"),
        ("sort=", "field names with commas"),
        ("sort=age,,name", "field names with commas"),
        ("sort=age,-age", "sort names age twice"),
        ("sort=id,pk", "sort names pk twice"),
        ("sort=tags,numbers", "both lists"),
        ("sort=towns__name,towns__size", "both lists"),
        ("sort=anything__a,anything__b", "one list"),
        ("sort=tags__0", "index"),
        ("sort=a,b,c,d,e,f,g,h,i", "at most 8 fields"),
        ("fields=nope", "no field 'nope'"),
        ("fields=", "field names with commas"),
        ("limit=0", "limit is a whole number from 1 to 100, not '0'"),
        ("limit=101", "not '101'"),
        ("limit=1.5", "not '1.5'"),
        ("limit=٣", "not '٣'"),
        ("limit=5&limit=6", "limit is given 2 times"),
        ("per_page=101", "per_page is a whole number from 1 to 100"),
        ("page=0", "page is a whole number from 1 on"),
        ("page=2&cursor=x", "cursor and page cannot go together"),
        ("per_page=2&limit=3", "limit and per_page cannot go together"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_can(text: str, part: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(text)

    assert part in str(caught.value)


def test_dynamic_documents_take_any_name_but_an_operator_of_mongodb() -> None:
    with pytest.raises(BadRequest, match="cannot be a name"):
        parse("$or=1", QueryNote)


def test_sort_names_fields_and_directions() -> None:
    expected = (Sort(("age",), True), Sort(("t", "n"), False), Sort(("_id",), False))

    assert expected == parse("sort=-age, town__name,+id").sort


def test_a_plus_that_was_decoded_to_a_space_still_sorts() -> None:
    assert (Sort(("age",), False),) == parse("sort= age").sort


def test_pages_are_counted_when_a_page_is_named() -> None:
    query = parse("per_page=7")

    assert (1, 7) == (query.page, query.limit)


def test_fields_may_be_dotted() -> None:
    assert (("name",), ("town", "name")) == parse("fields=name,town.name").fields


def test_fields_of_a_model_with_its_own_form_may_be_any() -> None:
    assert (("label",),) == parse("fields=label", QueryShown).fields


def test_the_fingerprint_knows_filters_and_sort_alone() -> None:
    one, other = parse("age=1&name=x&limit=5"), parse("name=x&age=1&cursor=abc")

    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize("text", ["age=2", "age=1&sort=age", "age__ne=1", ""])
def test_the_fingerprint_differs_for_another_list(text: str) -> None:
    assert parse("age=1").fingerprint != parse(text).fingerprint


def test_a_projection_keeps_the_named_members_in_their_order() -> None:
    shown = {"id": "1", "name": "a", "town": {"name": "b", "size": 2}, "towns": [{"name": "c"}, {}]}

    assert {"name": "a", "town": {"name": "b"}, "towns": [{"name": "c"}, {}]} == project(
        shown, [("town", "name"), ("towns", "name"), ("name",), ("nothing",)]
    )


def test_a_projection_of_a_whole_member_wins_over_one_of_its_parts() -> None:
    assert {"town": {"a": 1, "b": 2}} == project(
        {"town": {"a": 1, "b": 2}}, [("town", "a"), ("town",)]
    )
