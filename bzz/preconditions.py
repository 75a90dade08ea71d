"""Versions as entity tags, and what If-Match and If-None-Match ask of them (RFC 9110, 8.8 and 13).

The strong tag of a document is its version: `"7"`.  The same in another format than JSON has a
tag of its own: `"7-text"`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bzz.errors import BadRequest, PreconditionFailed, PreconditionRequired

# A weak tag and one with a coding's suffix are what proxies make of ours on the way.
_TAG = re.compile(r'\s*(?:W/)?"([^"]*)"\s*(?:,|$)')
_OURS = re.compile(r"(\d{1,18})(?:-(html|patch|text))?(?:-[a-z]+)?")


@dataclass(frozen=True, slots=True)
class Precondition:
    """The versions of which a document must have one; `any` is `*`, a document of any version.

    `fault` is what is wrong with a header that could not be read.
    """

    versions: frozenset[int]
    any: bool = False
    fault: BadRequest | None = None

    def check(self, current: int | None, *, what: str) -> None:
        """Raises `PreconditionFailed` unless `current` is one of the versions, or the fault.

        None is a document that is not as its last event left it, or that has no versions: no
        tag describes it, only `*` does.
        """
        if self.fault is not None:
            raise self.fault
        if self.any or (current is not None and current in self.versions):
            return
        asked = " or ".join(str(version) for version in sorted(self.versions)) or "no known version"
        found = "no version of its own" if current is None else f"version {current}"
        raise PreconditionFailed(
            f"{what} has {found}, and If-Match asked for {asked}. Read it again.", current=current
        )


def etag(version: int, variant: str = "") -> str:
    """The entity tag of a version; `variant` is html, patch or text for what is not JSON."""
    return f'"{version}-{variant}"' if variant else f'"{version}"'


def parse_if_match(header: str | None) -> Precondition | None:
    """The precondition of an If-Match header; None without one.

    Raises `BadRequest` for a header that is no list of entity tags.  A tag that is well-formed
    and not ours matches nothing.
    """
    if header is None:
        return None
    if header.strip() == "*":
        return Precondition(frozenset(), any=True)
    return Precondition(frozenset(version for version, _ in _tags(header, "If-Match")))


def read_if_match(header: str | None) -> Precondition | None:
    """As `parse_if_match`; a fault is raised by the check, which comes after 404 and 410."""
    try:
        return parse_if_match(header)
    except BadRequest as error:
        return Precondition(frozenset(), fault=error)


def none_match(header: str | None, version: int | None, variant: str = "") -> bool:
    """Whether If-None-Match names the version in this format, so that 304 is the answer.

    Raises `BadRequest` as `parse_if_match` does.
    """
    if header is None:
        return False
    if header.strip() == "*":
        return True
    return (version, variant) in _tags(header, "If-None-Match")


def require(precondition: Precondition | None) -> None:
    """Raises `PreconditionRequired` for None."""
    if precondition is None:
        raise PreconditionRequired(
            "This resource is changed only with an If-Match header: send the ETag of the last "
            'read, such as If-Match: "7".'
        )


def _tags(header: str, name: str) -> set[tuple[int, str]]:
    tags, end = set(), 0
    while end < len(header):
        match = _TAG.match(header, end)
        if match is None:
            raise BadRequest(
                f'{name} is a list of quoted entity tags, such as "7", or *; got {header!r}.'
            )
        ours = _OURS.fullmatch(match[1])
        if ours:
            tags.add((int(ours[1]), ours[2] or ""))
        end = match.end()
    if not header.strip():
        raise BadRequest(f'{name} is empty; send entity tags such as "7", or *.')
    return tags
