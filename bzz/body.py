"""A request's body into named values: JSON, or a form.

Reads the text only; what the names and values mean to a model is the codec's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from bzz.errors import BadRequest, UnsupportedMedia
from bzz.jsontext import MAX_DEPTH, loads

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

READ = (JSON, FORM)

_JSON_TYPE = re.compile(r"application/(?:[^/;]+\+)?json")
_PARAMETER = re.compile(r';\s*([^\s=;]+)\s*=\s*(?:"([^"]*)"|([^;\s]*))\s*')


@dataclass(frozen=True, slots=True)
class Body:
    """What a request's body says.

    Attributes
    ----------
    values: the JSON value; of a form a dict of its keys without dots.
    form: it was a form, so that all values are strings, or lists of strings.
    paths: of a form what its dotted keys say, by the parts of the key:
        `address.street=x` is `{("address", "street"): "x"}`.
    media_type: the type that was sent, in lower case; "" if there was none.
    """

    values: Any
    form: bool = False
    paths: Mapping[tuple[str, ...], Any] = field(default_factory=dict)
    media_type: str = ""

    def nested(self) -> Any:
        """Return the values with the dotted keys of a form put into objects of their own."""
        if not self.paths:
            return self.values
        whole = dict(self.values)
        for path, value in self.paths.items():
            *parents, last = path
            here = whole
            for name in parents:
                here = here.setdefault(name, {})
            here[last] = value
        return whole


def read_body(content_type: str | None, body: bytes, *, accepted: tuple[str, ...] = READ) -> Body:
    """Return what a body says.

    Without a Content-Type it is JSON if it starts with `{` or `[`, else a form; an empty
    body of either kind is `{}`.  `accepted` are the media types that the caller can use;
    `application/json` stands for all JSON types but the patches, which must be named.

    Raises `UnsupportedMedia` for another type or charset, `BadRequest` for a body that is
    malformed, with the place.
    """
    media_type, charset = _content_type(content_type or "")
    kind = _kind(media_type, body, accepted)
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise UnsupportedMedia(
            f"Bodies are read in UTF-8, not in {charset[:40]!r}.", accepted=accepted
        )
    if kind == FORM:
        return _form(body, media_type)
    if not body.strip():
        return Body({}, media_type=media_type)
    try:
        return Body(loads(body), media_type=media_type)
    except ValueError as error:
        raise BadRequest(f"The body cannot be read. {error}") from error


def _content_type(header: str) -> tuple[str, str]:
    """The media type and the charset, both in lower case, "" where there is none."""
    media_type, separator, rest = header.partition(";")
    charset = ""
    for match in _PARAMETER.finditer(separator + rest):
        if match[1].lower() == "charset":
            charset = (match[2] or match[3] or "").lower()
    return media_type.strip().lower(), charset


def _kind(media_type: str, body: bytes, accepted: tuple[str, ...]) -> str:
    """The accepted type as which the body is to be read."""
    if not media_type:
        sniffed = JSON if body.lstrip()[:1] in (b"{", b"[") else FORM
        return sniffed if sniffed in accepted else accepted[0]
    if media_type in accepted:
        return media_type
    patch = media_type in (MERGE_PATCH, JSON_PATCH)
    if JSON in accepted and not patch and _JSON_TYPE.fullmatch(media_type):
        return JSON
    raise UnsupportedMedia(
        f"A body of type {media_type[:80]!r} is not read here; send {' or '.join(accepted)}.",
        accepted=accepted,
    )


# Forms


def _form(body: bytes, media_type: str) -> Body:
    values: dict[str, Any] = {}
    paths: dict[tuple[str, ...], Any] = {}
    for key, found in _pairs(body).items():
        name = key.removesuffix("[]")
        value = found if key != name or len(found) > 1 else found[0]
        target, path = (paths, _path(name)) if "." in name else (values, name)
        if path in target:
            raise BadRequest(f"The form has both {name!r} and {name + '[]'!r}; send one of them.")
        target[path] = value  # type: ignore[index]
    _check_overlaps(values, paths)
    return Body(values, form=True, paths=paths, media_type=media_type)


def _pairs(body: bytes) -> dict[str, list[str]]:
    """The values of each key, in the order of the body."""
    pairs: dict[str, list[str]] = {}
    position = 0
    for part in body.split(b"&"):
        if part.strip():
            key, _, value = part.partition(b"=")
            name = _text(key, position)
            if not name:
                raise BadRequest(f"The form has a value without a name at byte {position}.")
            pairs.setdefault(name, []).append(_text(value, position + len(key) + 1))
        position += len(part) + 1
    return pairs


def _text(encoded: bytes, position: int) -> str:
    try:
        return unquote_to_bytes(encoded.replace(b"+", b" ")).decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"The form is not UTF-8 in what starts at byte {position}.") from error


def _path(name: str) -> tuple[str, ...]:
    parts = tuple(name.split("."))
    if "" in parts:
        raise BadRequest(f"The key {name[:80]!r} has nothing before, after or between its dots.")
    if len(parts) > MAX_DEPTH:
        raise BadRequest(f"The key {name[:80]!r}… has more than {MAX_DEPTH} parts.")
    return parts


def _check_overlaps(values: dict[str, Any], paths: dict[tuple[str, ...], Any]) -> None:
    """Refuse a form that names a whole and a part of it: which comes first is not said."""
    for path in paths:
        for length in range(1, len(path)):
            whole = path[:length]
            if whole in paths or (length == 1 and path[0] in values):
                raise BadRequest(
                    f"The form has both {'.'.join(whole)!r} and {'.'.join(path)!r};"
                    " send one of them."
                )
