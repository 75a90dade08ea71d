"""The proof of what an event holds, and of the order of all events; nothing of storage.

Which bytes are digested.  `canonical` is the BSON of `{"": value}` with the members of all
documents in it in the order of their names; H is SHA-256, and the first byte says what is
digested:

=============  ==================================================================
salt           H(2, z, label): one for each part of an event that can be erased
commitment     H(0, salt, canonical(part))
leaf           H(1, canonical(event)) cut to 16 bytes: the event as it is stored, its position
               among the rest, without z, and with a commitment in the place of each such part
seal           H(3, the seal before it, the leaves of the batch); 32 zero bytes before the first
=============  ==================================================================

The parts are the values (`c`, each change for itself: label c/0, c/1 …), the masked places (`x`),
the actor (`a`), the reason (`w`), the correlation (`k`) and the request (`q`).  One that has been
erased leaves its commitment, which tells nothing: its salt cannot be found from those of the
others, and z, from which all of them come, is taken away with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bson import Binary

from bzz.values import canonical

LEAF = 16
"""Bytes of an event's leaf: so many that nobody finds another event that has the same."""
START = bytes(32)
"""The seal before the first."""

_PARTS = ("x", "a", "w", "k", "q")
_SALT, _COMMITMENTS, _SALTS = "z", "yc", "ys"
_COMMITTED, _LEAF, _DERIVED, _SEALED = b"\0", b"\1", b"\2", b"\3"


def leaf(stored: Mapping[str, Any], position: int | None = None) -> bytes:
    """The leaf of an event as it is stored, or as it will be once it has its `position`."""
    told = {name: value for name, value in stored.items() if name not in _UNTOLD}
    if position is not None:
        told["p"] = position
    told["p"] = int(told["p"])
    commitments = dict(_commitments(stored))
    changes = [each for each in commitments if each.startswith("c/")]
    told["c"] = [commitments.pop(f"c/{index}") for index in range(len(changes))]
    return _hash(_LEAF, canonical({**told, **commitments}))[:LEAF]


_UNTOLD = {_SALT, _COMMITMENTS, _SALTS, "c", *_PARTS}


def seal(before: bytes, leaves: bytes) -> bytes:
    """The seal of a batch, given the one before it and its leaves, one after another."""
    return _hash(_SEALED, before, leaves)


def without(stored: Mapping[str, Any], labels: Iterable[str]) -> dict[str, Any]:
    """An event as it is stored, with some of its parts erased; its leaf stays the same."""
    gone = set(labels)
    commitments = {**stored.get(_COMMITMENTS, {})}
    salts: dict[str, Any] = {}
    for label, part in _parts(stored):
        salt = _salt(stored, label)
        if label in gone:
            commitments[label] = Binary(_commitment(salt, part))
        else:
            salts[label] = Binary(salt)
    kept = {name: value for name, value in stored.items() if name not in gone and name != _SALT}
    kept["c"] = [
        None if f"c/{index}" in gone else change for index, change in enumerate(stored["c"])
    ]
    return {**kept, _COMMITMENTS: commitments, _SALTS: salts}


def _commitments(stored: Mapping[str, Any]) -> Iterator[tuple[str, Binary]]:
    yield from stored.get(_COMMITMENTS, {}).items()
    for label, part in _parts(stored):
        yield label, Binary(_commitment(_salt(stored, label), part))


def _parts(stored: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What can be erased and has not been, by its label."""
    for index, change in enumerate(stored["c"]):
        if change is not None:
            yield f"c/{index}", change
    for name in _PARTS:
        if name in stored:
            yield name, stored[name]


def _salt(stored: Mapping[str, Any], label: str) -> bytes:
    if _SALT in stored:
        return _hash(_DERIVED, bytes(stored[_SALT]), label.encode())
    return bytes(stored[_SALTS][label])


def _commitment(salt: bytes, part: Any) -> bytes:
    return _hash(_COMMITTED, salt, canonical(part))


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()
