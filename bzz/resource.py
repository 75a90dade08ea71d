"""What one registered model is served with, and the paths under which it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bzz.recording import Recorder
from bzz.schema import Schema

MAX_BODY = 16 * 1024 * 1024
"""Bytes; the largest document that MongoDB stores."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A model as it is served.

    Attributes
    ----------
    schema: what the model says of itself.
    name: the resource name, the first segment after the prefix.
    prefix: goes in front of all paths; '' or '/api'.
    recorder: records the model's writes; None for a model without history.
    max_body: bytes; a longer body is refused with 413.
    deadline: seconds within which a write is answered.
    require_precondition: a change without If-Match is refused with 428.
    """

    schema: Schema
    name: str
    prefix: str = ""
    recorder: Recorder | None = None
    max_body: int = MAX_BODY
    deadline: float = 10.0
    require_precondition: bool = False

    @property
    def model(self) -> type[Any]:
        """The Document class."""
        model: type[Any] = self.schema.model
        return model

    @property
    def root(self) -> str:
        """The path of the collection, percent-encoded, without a slash at its end."""
        return quote(f"{self.prefix}/{self.name}", safe="/:@!$&'()*+,;=~%")

    def path(self, *segments: str) -> str:
        """A path below the root, its segments percent-encoded, with a slash at its end."""
        return "/".join((self.root, *(quote(each, safe="") for each in segments), ""))
