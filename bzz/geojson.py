"""The shapes of GeoJSON and of the older pairs, as MongoDB's geo indexes take them.

MongoEngine's own checks let through what they cannot count with (objects, NaN, a latitude of
400), which then fails in the server or breaks the check itself.
"""

from __future__ import annotations

import math
from typing import Any

_DEPTHS = {
    "Point": 0,
    "LineString": 1,
    "MultiPoint": 1,
    "Polygon": 2,
    "MultiLineString": 2,
    "MultiPolygon": 3,
}


def is_shape(kind: str, coordinates: Any, *, bounded: bool) -> bool:
    """Whether these are coordinates of a GeoJSON `kind` ("Point", "Polygon", …)."""
    return _shaped(coordinates, _DEPTHS[kind], bounded=bounded)


def _shaped(value: Any, depth: int, *, bounded: bool) -> bool:
    if depth == 0:
        return is_position(value, bounded=bounded)
    return (
        isinstance(value, (list, tuple))
        and bool(value)
        and all(_shaped(item, depth - 1, bounded=bounded) for item in value)
    )


def is_position(value: Any, *, bounded: bool) -> bool:
    """Whether it is a list of two numbers; `bounded` as the server's geo indexes ask it."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return False
    for number, limit in zip(value, (180, 90), strict=True):
        if not isinstance(number, (int, float)) or isinstance(number, bool):
            return False
        if not math.isfinite(number) or (bounded and abs(number) > limit):
            return False
    return True


def how_to_write(kind: str) -> str:
    """Return a sentence that says what a GeoJSON value of this kind looks like."""
    example = "[2.35, 48.86]" if kind == "Point" else "[…]"
    return (
        f'A {kind} is {{"type": "{kind}", "coordinates": {example}}}, with finite longitudes'
        " from -180 to 180 and latitudes from -90 to 90."
    )
