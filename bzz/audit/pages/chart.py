"""A small chart of changes per day, as SVG.  Knows days and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

HEIGHT = 48
STEP = 10
_BAR = 8


@dataclass(frozen=True, slots=True)
class Bar:
    """A day's place in the chart, in its own units."""

    day: date
    count: int
    x: int
    y: float
    height: float
    width: int = _BAR


@dataclass(frozen=True, slots=True)
class Chart:
    """The days from the first to the last, those without changes too."""

    bars: Sequence[Bar]

    @property
    def width(self) -> int:
        """How wide it is."""
        return len(self.bars) * STEP

    @property
    def total(self) -> int:
        """All changes."""
        return sum(bar.count for bar in self.bars)

    @property
    def highest(self) -> Bar:
        """The first of the days with the most changes."""
        return max(self.bars, key=lambda bar: bar.count)


def chart(counts: Mapping[date, int], last: date, days: int) -> Chart:
    """The chart of the `days` that end with `last`."""
    shown = [last - timedelta(days=back) for back in reversed(range(days))]
    most = max([counts.get(day, 0) for day in shown] + [1])
    bars = []
    for place, day in enumerate(shown):
        number = counts.get(day, 0)
        # A day with one change is not to look like one without.
        height = max(2.0, round(HEIGHT * number / most, 1)) if number else 0.0
        bars.append(Bar(day, number, place * STEP, round(HEIGHT - height, 1), height))
    return Chart(bars)
