"""The JSON form of single values: `show` writes any BSON or Python value, `read` takes one back.

`read` goes by the type of a MongoEngine field that holds one scalar; what holds several values
(lists, maps, embedded documents, references) is the codec's.  Never touches a database.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import decimal
import enum
import math
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import bson
from bson.binary import OLD_UUID_SUBTYPE, UUID_SUBTYPE, UuidRepresentation
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from mongoengine.base import ObjectIdField
from mongoengine.fields import (
    BinaryField,
    BooleanField,
    ComplexDateTimeField,
    DateField,
    DateTimeField,
    Decimal128Field,
    DecimalField,
    EnumField,
    FloatField,
    IntField,
    SequenceField,
    StringField,
    UUIDField,
)

Field: TypeAlias = Any

INT64 = range(-(2**63), 2**63)


class NotThisType(ValueError):
    """The value is not one of the field's type; `str(error)` is a sentence for people."""


# Writing


def show(value: Any) -> Any:
    """Return the JSON form of a BSON or Python value, made of JSON's own types only.

    ObjectId, UUID and decimals become strings; datetimes RFC 3339 in UTC (naive ones are
    UTC) with milliseconds, or microseconds where there are some; binary base64; NaN and the
    infinities the strings "NaN", "Infinity" and "-Infinity"; an enum member its value.
    Raises `TypeError` for a type that has no JSON form.
    """
    kind = type(value)
    try:
        writer = _WRITERS[kind]
    except KeyError:
        writer = _writer_of(kind)
    return value if writer is None else writer(value)


def _writer_of(kind: type) -> Callable[[Any], Any] | None:
    for base in kind.__mro__[:-1]:
        if base in _WRITERS:
            return _WRITERS[base]
    raise TypeError(f"A value of type {kind.__module__}.{kind.__qualname__} has no JSON form.")


def show_float(value: float) -> float | str:
    """Return the number, or its name as a string where JSON has no number for it."""
    if math.isfinite(value):
        return float(value)
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def show_datetime(value: datetime.datetime) -> str:
    """Return RFC 3339 in UTC; a naive datetime is taken as UTC."""
    precision = "microseconds" if value.microsecond % 1000 else "milliseconds"
    if value.tzinfo is None:
        return value.isoformat(timespec=precision) + "Z"
    if value.tzinfo is not datetime.UTC:
        value = value.astimezone(datetime.UTC)
    return value.isoformat(timespec=precision).removesuffix("+00:00") + "Z"


def _show_binary(value: bson.Binary) -> str:
    if value.subtype in (UUID_SUBTYPE, OLD_UUID_SUBTYPE) and len(value) == 16:
        return str(uuid_of(value))
    return _show_bytes(value)


def _show_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _show_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {key if type(key) is str else str(show(key)): show(v) for key, v in value.items()}


def _show_items(value: Iterable[Any]) -> list[Any]:
    return [show(item) for item in value]


def _show_dbref(value: bson.DBRef) -> dict[str, Any]:
    shown = {"collection": value.collection, "id": show(value.id)}
    return shown if value.database is None else {**shown, "database": value.database}


def _show_code(value: bson.Code) -> Any:
    return str(value) if value.scope is None else {"code": str(value), "scope": show(value.scope)}


def _show_regex(value: bson.Regex[Any]) -> str:
    pattern = value.pattern if isinstance(value.pattern, str) else value.pattern.decode()
    flags = "".join(letter for letter, flag in _REGEX_FLAGS if value.flags & flag)
    return f"/{pattern}/{flags}"


_REGEX_FLAGS = (
    ("i", re.IGNORECASE),
    ("l", re.LOCALE),
    ("m", re.MULTILINE),
    ("s", re.DOTALL),
    ("u", re.UNICODE),
    ("x", re.VERBOSE),
)

# None: the value is its own JSON form.
_WRITERS: dict[type, Callable[[Any], Any] | None] = {
    str: lambda value: value if type(value) is str else str.__str__(value),
    int: int,
    bool: None,
    type(None): None,
    float: show_float,
    dict: _show_mapping,
    list: _show_items,
    tuple: _show_items,
    set: _show_items,
    frozenset: _show_items,
    enum.Enum: lambda value: show(value.value),
    bson.ObjectId: str,
    uuid.UUID: str,
    decimal.Decimal: str,
    Decimal128: str,
    datetime.datetime: show_datetime,
    datetime.date: datetime.date.isoformat,
    DatetimeMS: lambda value: {"milliseconds": int(value)},
    bytes: _show_bytes,
    bytearray: _show_bytes,
    bson.Binary: _show_binary,
    bson.DBRef: _show_dbref,
    bson.Code: _show_code,
    bson.Regex: _show_regex,
    re.Pattern: lambda value: _show_regex(bson.Regex.from_native(value)),
    bson.Timestamp: lambda value: {"time": value.time, "inc": value.inc},
    bson.MinKey: lambda value: "MinKey",
    bson.MaxKey: lambda value: "MaxKey",
}


# Reading


def read(field: Field, value: Any, *, text: bool = False) -> Any:
    """Return the Python value that a scalar field takes for `value`.

    `value` is a JSON value or one that has the field's type already.  With `text` a string
    is what a form or a URL says, and is read by the field's type ("5" is 5 to an IntField);
    without it JSON's types are taken at their word (neither "5" nor true is an int).
    Raises `NotThisType`.  A field of a type that is not known here takes any value.
    """
    reader = reader_of(field)
    if reader is None:
        return value
    if text and isinstance(value, str) and not keeps_text(field):
        value = value.strip()
    return reader(field, value, text)


def reader_of(field: Field) -> Callable[[Field, Any, bool], Any] | None:
    """Return the function that reads values of the field's type, or None if it is no scalar."""
    return next((_READERS[kind] for kind in type(field).__mro__ if kind in _READERS), None)


def keeps_text(field: Field) -> bool:
    """Whether the field holds text, so that an empty string is a value and spaces count."""
    return isinstance(field, StringField) and not isinstance(field, ComplexDateTimeField)


def read_integer(value: Any) -> int:
    """Return a JSON number without fraction as an int of 64 bits; raises `NotThisType`."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise NotThisType(f"{_name(value)} is not a whole number.")
    # Of an Int64 or an IntEnum a range would look for it number by number.
    number = int(value)
    if number not in INT64:
        raise NotThisType(f"{_name(number)} does not fit into 64 bits.")
    return number


def read_string(value: Any) -> str:
    """Return a string that can be stored; raises `NotThisType`."""
    if not isinstance(value, str):
        raise NotThisType(f"{_name(value)} is not a string.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise NotThisType("The string holds half a surrogate pair.") from error
    return value


def read_datetime(value: Any) -> datetime.datetime:
    """Return a datetime in UTC, without tzinfo, from one or from RFC 3339 text.

    Without an offset UTC is meant; a space in the place of the offset's sign is the `+`
    that it was before a form was decoded; a date alone is its midnight.
    Raises `NotThisType`.
    """
    if isinstance(value, datetime.datetime):
        return _to_utc(value)
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day)
    match = _DATETIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise NotThisType(f"{_name(value)} is not a date and time like 2024-05-31T17:00:00Z.")
    try:
        return _datetime_of(match)
    except (ValueError, OverflowError) as error:
        raise NotThisType(f"{_name(value)} is not a date and time that exists.") from error


def read_time(text: str) -> datetime.datetime:
    """Return the time that a URL or a form names, to the millisecond.  Raises `NotThisType`."""
    return to_milliseconds(read_datetime(text.strip()))


_DATETIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(?:[.,]([0-9]{1,12}))?"
    r"(?:(?P<utc>[Zz])|(?P<sign>[-+ ])(?P<hours>[0-9]{2}):?(?P<minutes>[0-9]{2}))?)?"
)


def _datetime_of(match: re.Match[str]) -> datetime.datetime:
    date, clock, seconds, fraction = match.group(1, 2, 3, 4)
    when = datetime.datetime.fromisoformat(f"{date}T{clock or '00:00'}{seconds or ':00'}")
    when = when.replace(microsecond=int((fraction or "0")[:6].ljust(6, "0")))
    if match["sign"] is None:
        return when
    offset = datetime.timedelta(hours=int(match["hours"]), minutes=int(match["minutes"]))
    if int(match["minutes"]) > 59 or offset >= datetime.timedelta(days=1):
        raise ValueError("no such offset")
    return when + offset if match["sign"] == "-" else when - offset


def decimal128(value: decimal.Decimal) -> Decimal128 | str:
    """Return the decimal as BSON keeps it; as a string if it has more digits than BSON keeps."""
    try:
        return Decimal128(value)
    except decimal.DecimalException:
        return str(value)


def _to_utc(value: datetime.datetime) -> datetime.datetime:
    if value.tzinfo is None:
        return value
    return value.astimezone(datetime.UTC).replace(tzinfo=None)


def to_milliseconds(value: datetime.datetime) -> datetime.datetime:
    """Return the datetime as BSON keeps it: what is below a millisecond is cut off."""
    if value.microsecond % 1000 == 0:
        return value
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


def uuid_of(value: bson.Binary) -> uuid.UUID:
    """Return the UUID in a Binary of subtype 4, or of 3 as PyMongo has always written it."""
    if value.subtype == UUID_SUBTYPE:
        return value.as_uuid(UuidRepresentation.STANDARD)
    return value.as_uuid(UuidRepresentation.PYTHON_LEGACY)


def _read_string(field: Field, value: Any, text: bool) -> str:
    return read_string(value)


def _read_int(field: Field, value: Any, text: bool) -> int:
    if text and isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise NotThisType(f"{_name(value)} is not a whole number.")
        value = int(value)
    return read_integer(value)


# No int or float of Python's that is worth reading has more digits; int() refuses 4,300.
_INTEGER = re.compile(r"[-+]?[0-9]{1,400}")
_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,400}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,5})?")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _read_float(field: Field, value: Any, text: bool) -> float:
    if isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    if text and isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
        if math.isinf(value):
            raise NotThisType("The number is too large for a float.")
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise NotThisType(f"{_name(value)} is not a number.")
    try:
        return float(value)
    except OverflowError as error:
        raise NotThisType(f"{_name(value)} is too large for a float.") from error


def _read_any_decimal(value: Any) -> decimal.Decimal:
    if isinstance(value, decimal.Decimal):
        return value
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, str) and (_NUMBER.fullmatch(value) or value in _NOT_FINITE):
        return decimal.Decimal(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # The shortest text of a float is what its sender wrote.
        return decimal.Decimal(repr(value) if type(value) is float else int(value))
    raise NotThisType(f'{_name(value)} is not a decimal number like "12.50".')


def _read_decimal(field: Field, value: Any, text: bool) -> decimal.Decimal:
    number = _read_any_decimal(value)
    try:
        number = decimal.Decimal(field.to_python(number))
        if number.is_finite() and math.isfinite(float(number)):
            return number
    except (decimal.DecimalException, OverflowError):
        pass
    raise NotThisType(f"{_name(value)} is out of this field's range.")


def _read_decimal128(field: Field, value: Any, text: bool) -> decimal.Decimal:
    try:
        return Decimal128(_read_any_decimal(value)).to_decimal()
    except decimal.DecimalException as error:
        raise NotThisType(f"{_name(value)} has more than 34 digits or is out of range.") from error


_TRUE = ("true", "1", "on", "yes")
_FALSE = ("false", "0", "off", "no")


def _read_bool(field: Field, value: Any, text: bool) -> bool:
    if isinstance(value, bool):
        return value
    word = value.lower() if text and isinstance(value, str) else None
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise NotThisType(f"{_name(value)} is neither true nor false.")


def _read_datetime(field: Field, value: Any, text: bool) -> datetime.datetime | DatetimeMS:
    if isinstance(value, DatetimeMS):
        return value
    return to_milliseconds(read_datetime(value))


def _read_exact_datetime(field: Field, value: Any, text: bool) -> datetime.datetime:
    # The field turns its stored text, which has an order of its own, into a datetime.
    return read_datetime(field.to_python(value))


def _read_date(field: Field, value: Any, text: bool) -> datetime.date:
    if isinstance(value, datetime.datetime):
        return _to_utc(value).date()
    if isinstance(value, datetime.date):
        return value
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            pass
    raise NotThisType(f"{_name(value)} is not a date like 2024-05-31.")


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-?)(?:[0-9a-fA-F]{4}\1){3}[0-9a-fA-F]{12}")


def _read_object_id(field: Field, value: Any, text: bool) -> bson.ObjectId:
    if isinstance(value, bson.ObjectId):
        return value
    if isinstance(value, str) and _OBJECT_ID.fullmatch(value):
        return bson.ObjectId(value)
    raise NotThisType(f"{_name(value)} is not an ObjectId, which has 24 hexadecimal digits.")


def _read_uuid(field: Field, value: Any, text: bool) -> uuid.UUID:
    if isinstance(value, uuid.UUID):
        return value
    if isinstance(value, bson.Binary) and len(value) == 16:
        return uuid_of(value)
    if isinstance(value, str) and _UUID.fullmatch(value):
        return uuid.UUID(value)
    raise NotThisType(f"{_name(value)} is not a UUID.")


def _read_binary(field: Field, value: Any, text: bool) -> bytes:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value) if isinstance(value, bytearray) else value
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
    raise NotThisType(f"{_name(value)} is not binary data in base64.")


def _read_enum(field: Field, value: Any, text: bool) -> enum.Enum:
    allowed: list[enum.Enum] = list(field.choices)
    for member in allowed:
        shown = show(member)
        if value is member or (value == shown and type(value) is type(shown)):
            return member
        if text and value == str(shown):
            return member
        if type(value) is type(member.value) and value == member.value:
            return member
    names = ", ".join(str(show(member)) for member in allowed)
    raise NotThisType(f"{_name(value)} is none of the values allowed: {names}.")


def _read_sequence(field: Field, value: Any, text: bool) -> Any:
    if field.value_decorator is int:
        return _read_int(field, value, text)
    # A decorator makes something of its own out of the number: only its type is known.
    if isinstance(value, str):
        return read_string(value)
    return read_integer(value)


_READERS: dict[type, Callable[[Field, Any, bool], Any]] = {
    StringField: _read_string,
    ComplexDateTimeField: _read_exact_datetime,
    IntField: _read_int,
    FloatField: _read_float,
    DecimalField: _read_decimal,
    Decimal128Field: _read_decimal128,
    BooleanField: _read_bool,
    DateTimeField: _read_datetime,
    DateField: _read_date,
    ObjectIdField: _read_object_id,
    UUIDField: _read_uuid,
    BinaryField: _read_binary,
    EnumField: _read_enum,
    SequenceField: _read_sequence,
}


def _name(value: Any) -> str:
    """A value as an error message names it: what it is, cut short."""
    if isinstance(value, dict):
        return "An object"
    if isinstance(value, (list, tuple)):
        return "A list"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int) and int(value) not in INT64:
        return "The number"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
