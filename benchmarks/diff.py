"""How long changes take, against what the jsonpatch library takes for the same two states.

Run with `python benchmarks/diff.py`.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import bson
import jsonpatch

from bzz.audit.diff import apply, changes_between, digest
from bzz.values import EXACT, same

State = dict[str, Any]

# Seconds for one measurement; the fastest of several counts.
SHORTEST = 0.02
ROUNDS = 7


def main() -> None:
    """Print one line for each case."""
    titles = ("jsonpatch", "ratio", "apply", "same", "digest")
    print(f"{'milliseconds':26}{'changes':>9}{'ours':>9}", *(f"{title:>10}" for title in titles))
    for name, (before, after) in cases().items():
        print(f"{name:26}{measured(before, after)}", flush=True)


def measured(before: State, after: State) -> str:
    """What one case takes, as the rest of its line."""
    changes = changes_between(before, after)
    # The library compares JSON; what is none is given to it as text.
    old, new = (json.loads(json.dumps(state, default=str)) for state in (before, after))
    ours = milliseconds(lambda: changes_between(before, after))
    theirs = milliseconds(lambda: jsonpatch.make_patch(old, new))
    others = (
        milliseconds(lambda: apply(before, changes)),
        milliseconds(lambda: same(before, after)),
        milliseconds(lambda: digest(after, b"salt")),
    )
    line = f"{len(changes):9}{ours:9.4f} {theirs:10.3f} {theirs / ours:9.0f}x"
    return line + "".join(f" {each:10.4f}" for each in others)


def cases() -> dict[str, tuple[State, State]]:
    """Pairs of states, decoded as they would come from the database."""
    one, hundred = person(0, orders=4), person(0, orders=620)
    rows = [{"sku": f"A-{n:05}", "count": n, "price": n * 1.25} for n in range(1_000)]
    items = [{"_id": bson.ObjectId(), **row} for row in rows]
    inserted = [*rows[:500], {"sku": "new", "count": 1, "price": 1.0}, *rows[500:]]
    shuffled = random.Random(1).sample(rows, len(rows))
    return {
        "1 KB, one change": decoded(one, {**one, "age": 42}),
        "100 KB, one change": decoded(hundred, {**hundred, "age": 42}),
        "one insert in 1,000": decoded({"rows": rows}, {"rows": inserted}),
        "20 scattered in 1,000": decoded({"rows": rows}, {"rows": scattered(rows)}),
        "20 scattered, with ids": decoded({"rows": items}, {"rows": scattered(items)}),
        "every element edited": decoded({"rows": rows}, {"rows": [{**r, "n": 1} for r in rows]}),
        "shuffled": decoded({"rows": rows}, {"rows": shuffled}),
        "other 1,000 numbers": decoded(
            {"rows": list(range(1_000))}, {"rows": list(range(5_000, 6_000))}
        ),
    }


def person(seed: int, *, orders: int) -> State:
    """A document of some 100 bytes, and 160 for each order."""
    moment = datetime(2024, 5, 31, 17)
    return {
        "_id": bson.ObjectId(),
        "name": "Ana Lima",
        "age": 41,
        "tags": ["a", "b", "c"],
        "address": {"street": "Rua Direita 7", "city": "Olinda", "position": [-8.01, -34.85]},
        "orders": [
            {
                "number": seed + n,
                "placed": moment + timedelta(hours=n),
                "customer": bson.ObjectId(),
                "total": bson.Decimal128(f"{n}.50"),
                "paid": bool(n % 3),
                "note": "leave it with the neighbours",
            }
            for n in range(orders)
        ],
    }


def scattered(rows: list[State]) -> list[State]:
    """The list with ten elements removed here and there, and ten inserted."""
    chosen = random.Random(2)
    changed = list(rows)
    for n in range(10):
        del changed[chosen.randrange(len(changed))]
        fresh = {**rows[0], "sku": f"new-{n}"}
        if "_id" in fresh:
            fresh["_id"] = bson.ObjectId()
        changed.insert(chosen.randrange(len(changed)), fresh)
    return changed


def decoded(before: State, after: State) -> tuple[State, State]:
    """Both states as the database gives them: no value is one and the same object in both."""
    return bson.decode(bson.encode(before), EXACT), bson.decode(bson.encode(after), EXACT)


def milliseconds(function: Callable[[], object]) -> float:
    """The shortest of several measurements of one call."""
    calls = 1
    while (taken := timed(function, calls)) < SHORTEST and calls < 1_000_000:
        calls *= 4
    rounds = 1 if taken > 10 * SHORTEST else ROUNDS
    return min(taken, *(timed(function, calls) for _ in range(rounds))) / calls * 1_000


def timed(function: Callable[[], object], calls: int) -> float:
    """Seconds for so many calls."""
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
