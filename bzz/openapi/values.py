"""The type of a field as a JSON Schema (2020-12), for values as shown or as accepted.

The same knowledge as `bzz.codec` (showing) and `bzz.decoding` (accepting), in another language;
`tests/openapi` holds them together.  What holds documents is `bzz.openapi.models`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mongoengine.base import GeoJsonBaseField, ObjectIdField
from mongoengine.fields import (
    BinaryField,
    BooleanField,
    ComplexDateTimeField,
    DateField,
    DateTimeField,
    Decimal128Field,
    DecimalField,
    EmailField,
    EnumField,
    FloatField,
    GeoPointField,
    IntField,
    SequenceField,
    StringField,
    URLField,
    UUIDField,
)

from bzz.jsonvalues import INT64, show
from bzz.openapi.book import Json
from bzz.schema import Field

NOT_FINITE = ("NaN", "Infinity", "-Infinity")
DATE_TIME: Json = {"type": "string", "format": "date-time"}
_DECIMAL: Json = {
    "type": "string",
    "format": "decimal",
    "pattern": r"^([-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|NaN|-?Infinity)$",
    "examples": ["12.50"],
}
_POSITION: Json = {
    "type": "array",
    "items": {"type": "number"},
    "minItems": 2,
    "maxItems": 2,
    "description": "Longitude and latitude.",
}
_DEPTHS = {
    "Point": 0,
    "LineString": 1,
    "MultiPoint": 1,
    "Polygon": 2,
    "MultiLineString": 2,
    "MultiPolygon": 3,
}
# What means the same to Python and to ECMAScript, whose expressions JSON Schema has: no groups
# with a question mark, no classes like \d, which know all scripts in Python.
_PORTABLE = re.compile(r"(?:[^\\(]|\((?!\?)|\\[^A-Za-z0-9])*")


def scalar(field: Field, *, shown: bool) -> Json | None:
    """The schema of a field that holds one value; None for all others, and for unknown types.

    `shown` says that it is for values as the API shows them, which may have been stored before
    today's limits; else for values as it accepts them.
    """
    make = next((_SCALARS[kind] for kind in type(field).__mro__ if kind in _SCALARS), None)
    if make is None:
        return None
    choices = [] if isinstance(field, EnumField) else choices_of(field)
    return {"enum": choices} if choices else make(field, shown)


def choices_of(field: Field) -> list[Any]:
    """The values that a field allows, as they are shown; none where it allows all."""
    choices = [each[0] if isinstance(each, list | tuple) else each for each in field.choices or ()]
    if any(isinstance(each, type) for each in choices):
        return []
    return [show(each) for each in choices]


def nullable(schema: Json) -> Json:
    """The schema for the same values, and null."""
    if not schema:
        return schema
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if isinstance(schema.get("type"), str) and "const" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def either(schemas: Iterable[Json]) -> Json:
    """The schema for values of any of these."""
    different: list[Json] = []
    for schema in schemas:
        if schema not in different:
            different.append(schema)
    return different[0] if len(different) == 1 else {"anyOf": different}


def _string(field: Field, shown: bool) -> Json:
    if shown:
        return {"type": "string"}
    limits = {"minLength": field.min_length, "maxLength": field.max_length}
    return {"type": "string", **_known(limits), **_pattern(field.regex)}


def _pattern(regex: re.Pattern[str] | None) -> Json:
    """What must match at the beginning of the text."""
    if regex is None:
        return {}
    portable = regex.flags == re.UNICODE and _PORTABLE.fullmatch(regex.pattern)
    if not portable:
        return {"description": f"Matches the Python expression {regex.pattern!r}."}
    return {"pattern": f"^(?:{regex.pattern})"}


def _formatted(name: str) -> Callable[[Field, bool], Json]:
    return lambda field, shown: {**_without_pattern(_string(field, shown)), "format": name}


def _without_pattern(schema: Json) -> Json:
    return {name: value for name, value in schema.items() if name not in ("pattern", "description")}


def _integer(field: Field, shown: bool) -> Json:
    least, most = INT64[0], INT64[-1]
    if not shown:
        least = least if field.min_value is None else max(least, field.min_value)
        most = most if field.max_value is None else min(most, field.max_value)
    return {"type": "integer", "format": "int64", "minimum": least, "maximum": most}


def _float(field: Field, shown: bool) -> Json:
    number: Json = {"type": "number", "format": "double"}
    if not shown:
        number |= _known({"minimum": field.min_value, "maximum": field.max_value})
    return {"anyOf": [number, {"enum": list(NOT_FINITE)}]}


def _decimal(field: Field, shown: bool) -> Json:
    if shown:
        return _DECIMAL
    limits = {"minimum": field.min_value, "maximum": field.max_value}
    exact = {name: float(value) for name, value in _known(limits).items()}
    return {"anyOf": [_DECIMAL, {"type": "number", **exact}]}


def _binary(field: Field, shown: bool) -> Json:
    return {"type": "string", "contentEncoding": "base64", "pattern": "^[A-Za-z0-9+/]*={0,2}$"}


def _enum(field: Field, shown: bool) -> Json:
    return {"enum": [show(member) for member in field.choices]}


def _sequence(field: Field, shown: bool) -> Json:
    if field.value_decorator is int:
        return {"type": "integer"}
    return {"type": ["integer", "string"]}


def _geo_point(field: Field, shown: bool) -> Json:
    return _POSITION


def _geo_json(field: Field, shown: bool) -> Json:
    coordinates = _POSITION
    for _ in range(_DEPTHS[field._type]):
        coordinates = {"type": "array", "items": coordinates, "minItems": 1}
    whole = {
        "type": "object",
        "properties": {"type": {"const": field._type}, "coordinates": coordinates},
        "required": ["type", "coordinates"],
        "additionalProperties": False,
    }
    return whole if shown else {"anyOf": [whole, coordinates]}


def _known(limits: Mapping[str, Any]) -> Json:
    return {name: value for name, value in limits.items() if value is not None}


_SCALARS: dict[type, Callable[[Field, bool], Json]] = {
    StringField: _string,
    EmailField: _formatted("email"),
    URLField: _formatted("uri"),
    ComplexDateTimeField: lambda field, shown: DATE_TIME,
    IntField: _integer,
    FloatField: _float,
    DecimalField: _decimal,
    Decimal128Field: _decimal,
    BooleanField: lambda field, shown: {"type": "boolean"},
    DateTimeField: lambda field, shown: DATE_TIME,
    DateField: lambda field, shown: {"type": "string", "format": "date"},
    ObjectIdField: lambda field, shown: {"type": "string", "pattern": "^[0-9a-fA-F]{24}$"},
    UUIDField: lambda field, shown: {"type": "string", "format": "uuid"},
    BinaryField: _binary,
    EnumField: _enum,
    SequenceField: _sequence,
    GeoPointField: _geo_point,
    GeoJsonBaseField: _geo_json,
}
