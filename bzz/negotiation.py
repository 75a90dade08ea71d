"""Which of several formats a request wants: proactive negotiation by Accept (RFC 9110, 12.5.1).

Knows media types and nothing of handlers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_RANGE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)/([!#$%&'*+.^_`|~0-9A-Za-z-]+)")
_QUALITY = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
# Parts between commas, and between semicolons; within quotes neither separates anything.
_ELEMENTS = re.compile(r'(?:[^,"]|"[^"]*"?)+')
_PARAMETERS = re.compile(r'(?:[^;"]|"[^"]*"?)+')


@dataclass(frozen=True, slots=True)
class _Range:
    """A media range of an Accept header, and how much it is wanted."""

    main: str
    sub: str
    parameters: frozenset[str]
    quality: float

    def precision(self, offer: _Range) -> int | None:
        """How exactly the range names an offered type; None where it does not."""
        if self.main == "*":
            return 0 if self.sub == "*" and not self.parameters else None
        if self.main != offer.main or not self.parameters <= offer.parameters:
            return None
        if self.sub == "*":
            return 1
        return 2 + len(self.parameters) if self.sub == offer.sub else None


def preferred(accept: str | None, offers: Sequence[str]) -> str:
    """The one of `offers` (media types, the best first) that a request wants most.

    The most precise range of the header that names a type decides about it; of types that are
    wanted alike the one that is named more precisely wins, then the one that is offered first.
    The first also where there is no header, where nothing in it can be read, and where it names
    none of the offers: an answer in another format says more than none (12.4.1).
    """
    ranges = [] if accept is None else _ranges(accept)
    best, best_rank = offers[0], (0.0, -1)
    for offer in offers:
        found = _rank(ranges, _range(offer))
        if found[0] > 0 and found > best_rank:
            best, best_rank = offer, found
    return best


def _rank(ranges: Sequence[_Range], offer: _Range | None) -> tuple[float, int]:
    found = (0.0, -1)
    for each in ranges:
        precision = None if offer is None else each.precision(offer)
        if precision is not None and precision > found[1]:
            found = each.quality, precision
    return found


def _ranges(header: str) -> list[_Range]:
    return [found for part in _ELEMENTS.findall(header) if (found := _range(part)) is not None]


def _range(text: str) -> _Range | None:
    """A media type or range; None for what is none."""
    name, *parameters = (part.strip() for part in _PARAMETERS.findall(text) or [""])
    match = _RANGE.fullmatch(name)
    if match is None:
        return None
    quality, kept = 1.0, set()
    for parameter in parameters:
        key, _, value = (part.strip().lower() for part in parameter.partition("="))
        if key == "q":
            if not _QUALITY.fullmatch(value):
                return None
            quality = float(value)
        elif key:
            kept.add(f"{key}={value.strip(chr(34))}")
    return _Range(match[1].lower(), match[2].lower(), frozenset(kept), quality)
