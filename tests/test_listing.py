"""Pages of a list, read from a real MongoDB unless a test says otherwise."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import bson
import mongoengine
import mongomock
import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mongoengine import (
    CachedReferenceField,
    Document,
    DynamicDocument,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    IntField,
    ListField,
    ReferenceField,
    StringField,
)
from pymongo.errors import OperationFailure

from bzz.errors import BadRequest
from bzz.listing import Links, Page, links, run, run_items
from bzz.query import parse_list_query
from bzz.schema import schema_of


class ListedTown(EmbeddedDocument):
    name = StringField(db_field="n")


class ListedTeam(Document):
    slug = StringField(unique=True)

    @classmethod
    def get_id_field_name(cls) -> str:
        return "slug"


class ListedPerson(Document):
    name = StringField(db_field="nm")
    age = IntField()
    tags = ListField(StringField())
    town = EmbeddedDocumentField(ListedTown, db_field="t")
    towns = EmbeddedDocumentListField(ListedTown)
    team = ReferenceField(ListedTeam)
    old_team = ReferenceField(ListedTeam, dbref=True)
    best_friend = CachedReferenceField("self", fields=["name"])
    meta = {"indexes": ["age"]}  # noqa: RUF012 - this is how MongoEngine is told


class ListedRow(DynamicDocument):
    meta = {"strict": False}  # noqa: RUF012


class ListedOrdered(Document):
    rank = IntField()
    meta = {"ordering": ["-rank"]}  # noqa: RUF012


def query_of(text: str, model: Any) -> Any:
    pairs = [part.partition("=")[::2] for part in text.split("&") if part]
    return parse_list_query(schema_of(model), pairs)


def page_of(text: str = "", model: Any = ListedPerson) -> Page:
    return run(model.objects, query_of(text, model))


def names(text: str) -> list[str]:
    return sorted(person.name for person in page_of(text).documents)


def pages(text: str, model: Any, sizes: Iterator[int]) -> list[Any]:
    """The primary keys met by a reader that follows the cursors."""
    met: list[Any] = []
    cursor = ""
    while True:
        page = page_of(f"{text}&limit={next(sizes)}{cursor}", model)
        met.extend(document.pk for document in page.documents)
        if page.cursor is None:
            return met
        cursor = f"&cursor={page.cursor}"


@pytest.fixture
def people(database: Any) -> None:
    red = ListedTeam(slug="red").save()
    ana = ListedPerson(
        name="Ana",
        age=30,
        tags=["a", "b"],
        town=ListedTown(name="Bonn"),
        towns=[ListedTown(name="Ulm"), ListedTown(name="Graz")],
        team=red,
        old_team=red,
    ).save()
    ListedPerson(name="bob (x.y)", age=40, tags=["b"], best_friend=ana).save()
    ListedPerson(name="bananas\n", tags=["a", "b", "c"], town=ListedTown(name="Köln")).save()


ANA, BOB, BANANAS = "Ana", "bob (x.y)", "bananas\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [ANA, BANANAS, BOB]),
        ("age=30", [ANA]),
        ("age__ne=30", [BANANAS, BOB]),
        ("age__lt=40", [ANA]),
        ("age__lte=40", [ANA, BOB]),
        ("age__gt=30", [BOB]),
        ("age__gte=30&age__lt=40", [ANA]),
        ("age__in=30,40", [ANA, BOB]),
        ("age__nin=30,40", [BANANAS]),
        ("age__exists=false", [BANANAS]),
        ("age__exists=true", [ANA, BOB]),
        ("name__contains=an", [BANANAS]),
        ("name__icontains=AN", [ANA, BANANAS]),
        ("name__startswith=b", [BANANAS, BOB]),
        ("name__startswith=B", []),
        ("name__istartswith=B", [BANANAS, BOB]),
        ("name__endswith=s", []),
        ("name__endswith=.y)", [BOB]),
        ("name__endswith=s\n", [BANANAS]),
        ("name__iendswith=Y)", [BOB]),
        ("name__iexact=ANA", [ANA]),
        ("name__iexact=bananas", []),
        ("name__contains=.*", []),
        ("name__contains=(x.y)", [BOB]),
        ("town__name__icontains=ÖL", [BANANAS]),
        ("tags=a", [ANA, BANANAS]),
        ("tags=a&tags=c", [BANANAS]),
        ("tags__size=1", [BOB]),
        ("tags__all=a,b", [ANA, BANANAS]),
        ("tags__in=c,zzz", [BANANAS]),
        ("tags__0=b", [BOB]),
        ("towns__name=Graz", [ANA]),
        ("towns__size=2", [ANA]),
        ("team=red", [ANA]),
        ("team__ne=red", [BANANAS, BOB]),
        ("team=blue", []),
        ("team__nin=blue", [ANA, BANANAS, BOB]),
        ("old_team__in=red,blue", [ANA]),
    ],
)
def test_filters_find_what_they_say(people: None, text: str, expected: list[str]) -> None:
    assert expected == names(text)


def test_a_list_can_be_asked_for_one_id(people: None) -> None:
    ana = ListedPerson.objects(name="Ana").first()

    assert [ANA] == names(f"id={ana.pk}")


def test_a_cached_reference_is_found_by_its_id(people: None) -> None:
    ana = ListedPerson.objects(name="Ana").first()

    assert [BOB] == names(f"best_friend={ana.pk}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("free=5", [1, 2]),
        ("free__ne=5", [3, 4, 5, 6]),
        ("free__gt=4", [1]),
        ("free=true", [3, 4]),
        ("free__in=true,5", [1, 2, 3, 4]),
        ("free__contains=ru", [4]),
        ("deep__a__b=x", [5]),
        ("free__size=2", [6]),
        ("free__all=5,q", []),
        ("free__all=p,q", [6]),
    ],
)
def test_untyped_members_are_found_as_value_and_as_text(
    database: Any, text: str, expected: list[int]
) -> None:
    ListedRow._get_collection().insert_many(
        [
            {"_id": 1, "free": 5},
            {"_id": 2, "free": "5"},
            {"_id": 3, "free": True},
            {"_id": 4, "free": "true"},
            {"_id": 5, "deep": {"a": {"b": "x"}}},
            {"_id": 6, "free": ["p", "q"]},
        ]
    )

    assert expected == sorted(row.pk for row in page_of(text, ListedRow).documents)


# Every kind of value that MongoDB sorts in its own place, and what lists make of them.
MIXED: list[Any] = [
    None,
    MinKey(),
    MaxKey(),
    -1,
    0,
    1,
    1.0,
    Int64(2**60),
    1.5,
    float("nan"),
    float("inf"),
    Decimal128("1"),
    Decimal128("NaN"),
    "",
    "a",
    "$a",
    "ä",
    {},
    {"a": 1},
    {"b": 0},
    {"$a": 1},
    [],
    [[]],
    [None],
    [1, "a"],
    [[1], 3],
    [{"x": 1}],
    b"",
    Binary(b"ab", 5),
    UUID(int=7),
    ObjectId("64b000000000000000000001"),
    False,
    True,
    datetime(1969, 1, 1),
    datetime(2024, 1, 1),
    Timestamp(1, 1),
    bson.Regex("a", "i"),
    bson.Code("a"),
]
ABSENT = object()

mixed = st.sampled_from([ABSENT, *MIXED])
scalars = st.sampled_from([value for value in MIXED if not isinstance(value, list)])
nested = st.one_of(
    scalars,
    st.dictionaries(st.sampled_from("xy"), st.sampled_from(MIXED), max_size=2),
    st.lists(
        st.one_of(
            st.dictionaries(st.sampled_from("xy"), st.sampled_from(MIXED), max_size=2),
            st.sampled_from([1, None, [], [{"x": 1}]]),
        ),
        max_size=3,
    ),
)


def insert(rows: list[dict[str, Any]]) -> None:
    collection = ListedRow._get_collection()
    collection.delete_many({})
    documents = [
        {"_id": index, **{name: value for name, value in row.items() if value is not ABSENT}}
        for index, row in enumerate(rows)
    ]
    if documents:
        collection.insert_many(documents)


def in_order(*sort: tuple[str, int]) -> list[Any]:
    """What MongoDB itself says the order is."""
    return [row["_id"] for row in ListedRow._get_collection().find().sort(list(sort))]


@pytest.mark.parametrize("sign", ["", "-"])
def test_every_type_of_value_is_paged_in_mongodbs_order(database: Any, sign: str) -> None:
    insert([{"a": value} for value in [ABSENT, *MIXED]])
    direction = -1 if sign else 1

    assert in_order(("a", direction), ("_id", direction)) == pages(
        f"sort={sign}a", ListedRow, iter([1] * 100)
    )


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(st.fixed_dictionaries({"a": mixed, "b": scalars}), max_size=14),
    first=st.sampled_from(["a", "-a"]),
    second=st.sampled_from(["", "b", "-b", "id", "-id"]),
    data=st.data(),
)
def test_following_the_cursors_yields_each_row_once_in_mongodbs_order(
    database: Any, rows: list[dict[str, Any]], first: str, second: str, data: st.DataObject
) -> None:
    insert(rows)
    chosen = [first, second] if second else [first]
    order = [("_id" if n.lstrip("-") == "id" else n.lstrip("-"), -1 if n[0] == "-" else 1)
             for n in chosen]  # fmt: skip
    if order[-1][0] != "_id":
        order.append(("_id", order[-1][1]))

    met = pages(
        f"sort={','.join(chosen)}", ListedRow, iter(lambda: data.draw(st.integers(1, 4)), 0)
    )

    assert in_order(*order) == met


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(st.fixed_dictionaries({"a": nested}), max_size=12),
    sign=st.sampled_from(["", "-"]),
)
def test_a_path_through_objects_and_stray_lists_is_paged_in_mongodbs_order(
    database: Any, rows: list[dict[str, Any]], sign: str
) -> None:
    insert(rows)
    direction = -1 if sign else 1

    assert in_order(("a.x", direction), ("_id", direction)) == pages(
        f"sort={sign}a.x", ListedRow, iter([2] * 100)
    )


def test_ids_of_several_types_are_paged_without_a_sort(database: Any) -> None:
    ids = [3, "b", ObjectId(), 1.5, None, {"a": 1}, UUID(int=1), "a", False]
    ListedRow._get_collection().insert_many([{"_id": id_} for id_ in ids])

    assert in_order(("_id", 1)) == pages("", ListedRow, iter([2] * 100))


def test_a_row_deleted_between_two_pages_moves_nothing(people: None) -> None:
    first = page_of("sort=name&limit=1")
    ListedPerson.objects(name=ANA).delete()

    second = page_of(f"sort=name&limit=1&cursor={first.cursor}")

    assert [BANANAS] == [person.name for person in second.documents]


def test_a_later_page_begins_in_the_index(database: Any) -> None:
    collection = ListedPerson._get_collection()
    ListedPerson.ensure_indexes()
    collection.insert_many([{"age": index} for index in range(500)])
    cursor = page_of("sort=age&limit=90").cursor
    second = page_of(f"sort=age&limit=90&cursor={cursor}").cursor
    examined = []

    class Watching(mongoengine.QuerySet):
        def aggregate(self, pipeline: Any, **options: Any) -> Any:
            plan = collection.database.command(
                "explain",
                {"aggregate": collection.name, "pipeline": pipeline, "cursor": {}},
                verbosity="executionStats",
            )
            examined.extend(re.findall(r"'totalKeysExamined': (\d+)", str(plan)))
            return super().aggregate(pipeline, **options)

    run(
        Watching(ListedPerson, collection),
        query_of(f"sort=age&limit=90&cursor={second}", ListedPerson),
    )

    assert examined and all(int(count) < 400 for count in examined)


def test_two_lists_in_one_row_are_refused_with_the_reason(database: Any) -> None:
    insert([{"a": [1, 2], "b": [3, 4]}])

    with pytest.raises(BadRequest, match="holds lists in two of the sort fields"):
        page_of("sort=a,b", ListedRow)


def test_a_cursor_of_another_sort_is_refused(people: None) -> None:
    cursor = page_of("sort=name&limit=1").cursor

    with pytest.raises(BadRequest, match="not one of this list"):
        page_of(f"sort=-name&cursor={cursor}")


def test_a_cursor_of_another_filter_is_refused(people: None) -> None:
    cursor = page_of("tags=b&limit=1").cursor

    with pytest.raises(BadRequest, match="not one of this list"):
        page_of(f"tags=a&limit=1&cursor={cursor}")


def forged(fingerprint: str, keys: Any) -> str:
    data = bson.encode({"l": fingerprint, "k": keys})
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize("cursor", ["x", "", "é", "AAAA", "====", "BQAAAAA", "a b", "%00"])
def test_a_cursor_that_is_none_is_refused(people: None, cursor: str) -> None:
    with pytest.raises(BadRequest, match="not one of this list"):
        page_of(f"cursor={cursor}")


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([], id="too few"),
        pytest.param([1, 2], id="too many"),
        pytest.param("ab", id="no list"),
        pytest.param(None, id="nothing"),
    ],
)
def test_a_forged_cursor_is_refused(people: None, keys: Any) -> None:
    fingerprint = query_of("", ListedPerson).fingerprint

    with pytest.raises(BadRequest, match="not one of this list"):
        page_of(f"cursor={forged(fingerprint, keys)}")


def test_a_forged_cursor_of_many_levels_is_refused(people: None) -> None:
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    fingerprint = query_of("sort=name", ListedPerson).fingerprint

    with pytest.raises(BadRequest):
        page_of(f"sort=name&cursor={forged(fingerprint, [deep, 1])}")


def test_an_expression_in_a_forged_cursor_is_a_plain_value(people: None) -> None:
    fingerprint = query_of("sort=name", ListedPerson).fingerprint
    expression = {"$function": {"body": "function() { return 1 }", "args": [], "lang": "js"}}

    page = page_of(f"sort=name&cursor={forged(fingerprint, [[1, expression], expression])}")

    assert () == page.documents


def test_a_value_too_long_for_a_cursor_is_refused_with_a_way_out(database: Any) -> None:
    insert([{"a": "x" * 9000}, {"a": "y" * 9000}])

    with pytest.raises(BadRequest, match="sort by another field, or use page and per_page"):
        page_of("sort=a&limit=1", ListedRow)


# Counted pages


def test_a_page_past_the_end_is_the_last_one(people: None) -> None:
    page = page_of("sort=name&page=99&per_page=2")

    assert (2, 2, 3, [BOB]) == (page.page, page.pages, page.total, [d.name for d in page.documents])


def test_an_empty_list_has_one_empty_page(people: None) -> None:
    page = page_of("age=1&page=3")

    assert (1, 1, 0, ()) == (page.page, page.pages, page.total, page.documents)


def test_a_model_without_documents_has_one_empty_page(database: Any) -> None:
    assert ((), None) == (page_of().documents, page_of().cursor)


# What the queryset brings


def test_the_order_of_the_model_is_kept_and_paged(database: Any) -> None:
    for rank in (2, 3, 1, 3):
        ListedOrdered(rank=rank).save()
    met = pages("", ListedOrdered, iter([1] * 10))

    assert [3, 3, 2, 1] == [ListedOrdered.objects(pk=pk).first().rank for pk in met]


def test_conditions_order_and_limit_of_the_queryset_hold(database: Any) -> None:
    for rank in range(10):
        ListedOrdered(rank=rank).save()
    queryset = ListedOrdered.objects(rank__lt=8).order_by("rank")[:6]

    page = run(queryset, query_of("rank__gte=2&sort=-rank", ListedOrdered))

    assert [5, 4, 3, 2] == [document.rank for document in page.documents]


def test_fields_that_the_queryset_leaves_out_are_not_read(people: None) -> None:
    queryset = ListedPerson.objects.only("name")

    page = run(queryset, query_of("sort=age&limit=1", ListedPerson))

    assert (BANANAS, []) == (page.documents[0].name, page.documents[0].tags)
    assert page.cursor is not None


def test_fields_that_the_queryset_excludes_are_not_read(people: None) -> None:
    queryset = ListedPerson.objects.exclude("tags")

    page = run(queryset, query_of("sort=-name&limit=1", ListedPerson))

    assert (BOB, []) == (page.documents[0].name, page.documents[0].tags)


def test_a_collation_of_the_queryset_rules_the_order_of_all_pages(people: None) -> None:
    queryset = ListedPerson.objects.collation({"locale": "en", "strength": 2})
    first = run(queryset, query_of("sort=-name&limit=2", ListedPerson))
    rest = run(queryset, query_of(f"sort=-name&limit=2&cursor={first.cursor}", ListedPerson))

    assert [BOB, BANANAS, ANA] == [d.name for d in (*first.documents, *rest.documents)]


def test_an_order_that_no_cursor_can_hold_is_left_out(people: None) -> None:
    queryset = ListedPerson.objects.order_by("$natural")

    assert 3 == len(run(queryset, query_of("", ListedPerson)).documents)


def test_what_the_server_refuses_for_other_reasons_is_let_through(people: None) -> None:
    queryset = ListedPerson.objects.filter(__raw__={"age": {"$nonsense": 1}})

    with pytest.raises(OperationFailure, match="nonsense"):
        run(queryset, query_of("", ListedPerson))


def test_text_that_is_no_text_is_refused(people: None) -> None:
    with pytest.raises(BadRequest, match="cannot be asked"):
        page_of("free=\ud800", ListedRow)


def test_an_empty_queryset_stays_empty(people: None) -> None:
    assert () == run(ListedPerson.objects.none(), query_of("", ListedPerson)).documents


# On mongomock


@pytest.fixture
def stand_in() -> Iterator[None]:
    mongoengine.disconnect("stand_in")
    mongoengine.connect(
        "listing",
        alias="stand_in",
        uuidRepresentation="standard",
        mongo_client_class=mongomock.MongoClient,
    )
    yield
    mongoengine.disconnect("stand_in")


class ListedMock(Document):
    name = StringField()
    meta = {"db_alias": "stand_in"}  # noqa: RUF012


def test_mongomock_is_paged_too(stand_in: None) -> None:
    ListedMock.drop_collection()
    for name in ("b", None, "a", "b"):
        ListedMock(name=name).save()
    met = pages("sort=name", ListedMock, iter([1] * 10))

    assert [None, "a", "b", "b"] == [ListedMock.objects(pk=pk).first().name for pk in met]


def test_mongomock_is_filtered_and_counted_too(stand_in: None) -> None:
    ListedMock.drop_collection()
    for name in ("b", "a", "ba"):
        ListedMock(name=name).save()

    page = page_of("name__startswith=b&page=2&per_page=1&sort=name", ListedMock)

    assert (["ba"], 2) == ([document.name for document in page.documents], page.total)


# Items at hand


def test_items_at_hand_are_paged_by_their_place() -> None:
    query = query_of("limit=2", ListedPerson)
    first = run_items([1, 2, 3], query)

    rest = run_items([1, 2, 3], query_of(f"limit=2&cursor={first.cursor}", ListedPerson))

    assert ((1, 2), (3,), None) == (first.documents, rest.documents, rest.cursor)


def test_items_at_hand_refuse_a_cursor_of_another_kind() -> None:
    query = query_of("", ListedPerson)

    with pytest.raises(BadRequest, match="not one of this list"):
        run_items([1], query_of(f"cursor={forged(query.fingerprint, ['x'])}", ListedPerson))


def test_items_at_hand_are_counted() -> None:
    page = run_items([1, 2, 3], query_of("page=9&per_page=2", ListedPerson))

    assert ((3,), 2, 2, 3) == (page.documents, page.page, page.pages, page.total)


def test_items_at_hand_are_not_filtered() -> None:
    with pytest.raises(BadRequest, match="no filters, no sort"):
        run_items([], query_of("age=1", ListedPerson))


# Links


def test_a_cursor_leads_to_the_next_page_with_the_same_arguments() -> None:
    found = links("/user/", [("name", "é&"), ("cursor", "old"), ("limit", "2")],
                  Page(documents=(), cursor="new"))  # fmt: skip

    assert found == Links(
        "/user/?name=%C3%A9%26&limit=2&cursor=new",
        '</user/?name=%C3%A9%26&limit=2>; rel="first", '
        '</user/?name=%C3%A9%26&limit=2&cursor=new>; rel="next"',
    )


def test_counted_pages_link_in_all_directions() -> None:
    found = links("/user/", [("page", "2")], Page(documents=(), page=2, pages=3, total=5))

    assert found == Links(
        "/user/?page=3",
        '</user/?page=1>; rel="first", </user/?page=1>; rel="prev", '
        '</user/?page=3>; rel="next", </user/?page=3>; rel="last"',
    )


def test_the_last_page_has_no_next() -> None:
    assert links("/user", [], Page(documents=())) == Links(None, '</user>; rel="first"')


def test_a_path_cannot_lead_to_another_host_or_out_of_the_header() -> None:
    found = links('//evil.example/a%2Fb/>"é', [], Page(documents=()))

    assert '</evil.example/a%2Fb/%3E%22%C3%A9>; rel="first"' == found.header
