"""JSON text: the one place that names the JSON library.

`dumps` takes what `bzz.jsonvalues.show` returns: plain dicts, lists, strings, numbers.  Knows
nothing of documents, of BSON or of HTTP.
"""

from __future__ import annotations

from typing import Any

import msgspec

# A document's nesting in BSON; also what keeps the recursion of readers bounded.
MAX_DEPTH = 100

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_format = msgspec.json.format
_BOM = b"\xef\xbb\xbf"


def dumps(value: Any) -> bytes:
    """Return `value` as compact JSON in UTF-8.

    `value` must be made of JSON's own types; a NaN among them would go out as null, so give
    stored values to `bzz.jsonvalues.show` first.  Raises `TypeError` for other types.
    """
    return _encode(value)


def pretty(value: Any) -> str:
    """Return `value` as indented JSON text, for people; takes what `dumps` takes."""
    return _format(_encode(value), indent=2).decode()


def loads(text: bytes) -> Any:
    """Return the value of a JSON text in UTF-8 (a byte order mark is skipped).

    Integers are exact whatever their size; of two members with one name the last one counts.
    Raises `ValueError`, with a sentence that says what is wrong and where, for text that is
    not JSON: NaN and Infinity, half surrogate pairs, numbers out of range, values nested
    deeper than `MAX_DEPTH` levels.
    """
    try:
        value = _decode(text[len(_BOM) :] if text.startswith(_BOM) else text)
    except RecursionError as error:
        raise ValueError(_too_deep()) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"This is not valid JSON: {_reason(error, text)}.") from error
    _check_depth(value, text)
    return value


def _reason(error: Exception, text: bytes) -> str:
    try:
        text.decode()
    except UnicodeDecodeError as found:  # which msgspec names, or not, by its version
        return f"the byte 0x{text[found.start]:02x} at {found.start} is not UTF-8 there"
    reason = str(error).removeprefix("JSON is malformed: ").replace("(byte ", "(at byte ")
    if not text.strip():
        return "it is empty"
    if reason == "Input data was truncated":
        return f"it ends too early, at byte {len(text)}"
    return reason[:1].lower() + reason[1:]


def _too_deep() -> str:
    return f"The values are nested too deep; {MAX_DEPTH} levels are the limit."


def _check_depth(value: Any, text: bytes) -> None:
    # Most texts have fewer brackets than levels are allowed, and need no walk.
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _containers_in(item)]
        if not level:
            return
    raise ValueError(_too_deep())


def _containers_in(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, (dict, list))]
