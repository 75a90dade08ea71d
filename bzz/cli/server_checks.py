"""What `bzz doctor` asks a server, with any client: whether bzz can work on it, and how well."""

from __future__ import annotations

import platform
import re
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from pymongo import ReadPreference
from pymongo.errors import OperationFailure

from bzz import connection
from bzz.cli.findings import FAIL, OK, WARN, Check, Finding
from bzz.driver import BoundDatabase
from bzz.errors import SetupError
from bzz.version import __version__

_PYTHON = (3, 11)
_OLDEST = (6, 0)
_LIBRARIES = ("pymongo", "mongoengine", "tornado")
_SKEW = 1.0
"""Seconds by which the clocks of server and process may differ."""
_WINDOW = 24.0
"""Hours that an oplog should reach back."""
_NEEDED = frozenset(
    ["find", "insert", "update", "remove", "createCollection", "createIndex", "dropCollection"]
    + ["changeStream", "collStats", "listCollections"]
)
"""What bzz does in a database; the role readWrite allows all of it."""


def library_findings() -> Iterator[Finding]:
    """Python and the libraries, against what bzz asks for."""
    ok = sys.version_info >= _PYTHON
    remedy = None if ok else "Use Python 3.11 or newer."
    yield Finding("python", OK if ok else FAIL, f"Python {platform.python_version()}.", remedy)
    versions = {each: metadata.version(each) for each in _LIBRARIES}
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    wrong = [each for each in _requirements() if not _fulfils(versions.get(each[0]), each[1])]
    remedy = None
    if wrong:
        remedy = f"Install {', '.join(f'{name}{bounds}' for name, bounds in wrong)}."
    yield Finding("libraries", WARN if wrong else OK, f"bzz {__version__}, {told}.", remedy)


def _requirements() -> list[tuple[str, str]]:
    """The libraries that bzz names, with their bounds; none for a checkout."""
    try:
        named = metadata.requires("bzz") or []
    except metadata.PackageNotFoundError:
        return []
    found = [re.fullmatch(r"([a-z]+)([<>=0-9.,]+)", each) for each in named]
    return [(each[1], each[2]) for each in found if each and each[1] in _LIBRARIES]


def _fulfils(version: str | None, bounds: str) -> bool:
    numbers = _numbers(version or "0")
    for each in bounds.split(","):
        wanted = _numbers(each.lstrip("<>="))
        if each.startswith(">=") and numbers < wanted:
            return False
        if each.startswith("<") and numbers >= wanted:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


class ServerChecks:
    """The checks of one server, with a client and the database that is meant.

    Args:
        client: as the application uses it.
        database: one of it.
    """

    def __init__(self, client: Any, database: Any) -> None:
        self._client = client
        self._database = database
        self._hello: dict[str, Any] = {}

    def reach(self) -> Iterator[Finding]:
        """Whether it answers; the others make sense where it does."""
        begun = time.monotonic()
        before = datetime.now(UTC)
        self._hello = self._client.admin.command("hello")
        taken = time.monotonic() - begun
        version = self._client.admin.command("buildInfo")["version"]
        yield Finding("server", OK, f"MongoDB {version} answers in {1000 * taken:.0f} ms.")
        yield self._clock(before, taken)

    def _clock(self, before: datetime, taken: float) -> Finding:
        its = self._hello["localTime"].replace(tzinfo=UTC)
        # The server looked at its clock at some time between.
        ahead = (its - before).total_seconds()
        skew = max(ahead - taken, 0.0) or min(ahead, 0.0)
        if abs(skew) <= _SKEW:
            return Finding("clock", OK, "The clocks of server and process agree.")
        return Finding(
            "clock",
            WARN,
            f"The server's clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}.",
            "Let both follow NTP: times of events are for people, and would mislead them.",
        )

    @property
    def is_replicated(self) -> bool:
        """Whether it has transactions, by what it said."""
        return "setName" in self._hello or self._is_sharded

    @property
    def _is_sharded(self) -> bool:
        return self._hello.get("msg") == "isdbgrid"

    def all(self) -> list[tuple[str, Check]]:
        """The other checks, by name."""
        return [
            ("replica set", self._replica_set),
            ("compatibility", self._compatibility),
            ("storage engine", self._storage_engine),
            ("privileges", self._privileges),
            ("write concern", self._write_concern),
            ("read preference", self._read_preference),
            ("transactions", self._transactions),
            ("oplog", self._oplog),
        ]

    def _replica_set(self) -> Iterable[Finding]:
        try:
            hello = connection.check_server(self._client)
        except SetupError as error:
            told, _, remedy = str(error).partition(": ")
            return [Finding("replica set", FAIL, f"{told}.", f"{remedy[:1].upper()}{remedy[1:]}")]
        if self._is_sharded:
            return [Finding("replica set", OK, "It is a sharded cluster.")]
        members = len(hello.get("hosts", ()))
        told = f"{hello['setName']}, with {members} members that hold data."
        if members == 1:
            told = f"{hello['setName']}, with one member: nobody takes over when it fails."
        return [Finding("replica set", OK, told)]

    def _compatibility(self) -> Iterable[Finding]:
        name = "featureCompatibilityVersion"
        try:
            found = self._client.admin.command("getParameter", 1, **{name: 1})[name]["version"]
        except OperationFailure:
            if self._is_sharded:  # a router has none
                return []
            raise
        if _numbers(found) >= _OLDEST:
            return [Finding("compatibility", OK, f"{name} {found}.")]
        return [
            Finding(
                "compatibility",
                FAIL,
                f"{name} is {found}, and bzz needs 6.0.",
                "Finish the upgrade: db.adminCommand({setFeatureCompatibilityVersion: '6.0'}).",
            )
        ]

    def _storage_engine(self) -> Iterable[Finding]:
        if self._is_sharded:
            return []
        engine = self._client.admin.command("serverStatus").get("storageEngine", {}).get("name")
        if engine == "wiredTiger":
            return [Finding("storage engine", OK, "wiredTiger.")]
        told = f"{engine}, on which bzz is not tested."
        return [Finding("storage engine", WARN, told, "Use wiredTiger.")]

    def _privileges(self) -> Iterable[Finding]:
        told = self._client.admin.command("connectionStatus", showPrivileges=True)["authInfo"]
        if not told["authenticatedUsers"]:
            return [Finding("privileges", OK, "Nobody has logged in, and no right is missing.")]
        users = ", ".join(f"{each['user']}@{each['db']}" for each in told["authenticatedUsers"])
        name = self._database.name
        allowed = {
            action
            for each in told["authenticatedUserPrivileges"]
            if _is_of(each["resource"], name)
            for action in each["actions"]
        }
        missing = [] if "anyAction" in allowed else sorted(_NEEDED - allowed)
        if not missing:
            return [Finding("privileges", OK, f"{users} may do what bzz does in {name}.")]
        return [
            Finding(
                "privileges",
                FAIL,
                f"{users} lacks rights in {name}: {', '.join(missing)}.",
                f"Grant the role readWrite on {name}.",
            )
        ]

    def _write_concern(self) -> Iterable[Finding]:
        concern = self._client.write_concern.document
        how = ", ".join(f"{key}={value}" for key, value in concern.items())
        if concern.get("w", "majority") == "majority" and concern.get("j", True):
            told = (
                f"{how} in the URI." if how else "That of the server; audited writes say majority."
            )
            return [Finding("write concern", OK, told)]
        # Transactions set it aside; what is written without them does not.
        return [
            Finding(
                "write concern",
                WARN,
                f"{how} in the URI: what is written without audit is lost when a member fails.",
                "Say w=majority in the URI, or nothing. Audited writes do so by themselves.",
            )
        ]

    def _read_preference(self) -> Iterable[Finding]:
        preference = self._client.read_preference
        if preference == ReadPreference.PRIMARY:
            return [Finding("read preference", OK, "primary.")]
        return [
            Finding(
                "read preference",
                WARN,
                f"{preference.name} in the URI: documents may be read as they were a while ago, "
                "and not as they were just written.",
                "Leave readPreference out. Audited writes and histories read from the primary.",
            )
        ]

    def _transactions(self) -> Iterable[Finding]:
        if not self.is_replicated:
            return [Finding("transactions", FAIL, "There are none without a replica set.")]
        try:
            connection.try_transaction(self._client, BoundDatabase.of(self._database))
        except SetupError as error:
            told, _, remedy = str(error).partition(". ")
            return [Finding("transactions", FAIL, f"{told}.", remedy or None)]
        return [Finding("transactions", OK, "One was tried, and taken back.")]

    def _oplog(self) -> Iterable[Finding]:
        if self._is_sharded or not self.is_replicated:
            return []
        local = self._client.get_database("local", read_preference=ReadPreference.PRIMARY)
        oplog = local["oplog.rs"]
        first, last = (oplog.find_one({}, {"ts": 1}, sort=[("$natural", each)]) for each in (1, -1))
        stats = local.command("collStats", "oplog.rs")
        hours = (last["ts"].time - first["ts"].time) / 3600
        size, room = stats["size"], stats.get("maxSize") or stats["size"]
        told = f"It reaches back {_hours(hours)}, with {bytes_told(size)} of {bytes_told(room)}"
        if hours >= _WINDOW or size < 0.9 * room:
            return [Finding("oplog", OK, f"{told}.")]
        return [
            Finding(
                "oplog",
                WARN,
                f"{told}: a member that is away for longer has to be made anew.",
                "Enlarge it: db.adminCommand({replSetResizeOplog: 1, size: <megabytes>}).",
            )
        ]


def _is_of(resource: dict[str, Any], database: str) -> bool:
    """Whether a privilege is about all collections of a database."""
    if resource.get("anyResource"):
        return True
    return resource.get("db") in ("", database) and resource.get("collection") == ""


def _hours(hours: float) -> str:
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.1f} hours"


def bytes_told(size: float) -> str:
    """A number of bytes for people."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
