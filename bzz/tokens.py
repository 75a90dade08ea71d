"""Places in a list as text: values of any BSON type, safe in URLs.  Nothing is hidden in them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import bson
from bson.errors import BSONError


def make_token(values: Mapping[str, Any], options: Any) -> str:
    """Return some values as text; `options` are the codec options with which they were read."""
    data = bson.encode(values, codec_options=options)
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def read_token(text: str, options: Any) -> dict[str, Any]:
    """Return the values of a token; raises `ValueError` for a text that is none."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        values: dict[str, Any] = bson.decode(
            base64.b64decode(padded, altchars=b"-_", validate=True), codec_options=options
        )
    except (UnicodeEncodeError, binascii.Error, BSONError) as error:
        raise ValueError("This is no token.") from error
    return values
