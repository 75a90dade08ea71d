"""Clients that append unique elements to lists, and note what they were told of each.

In the manner of Jepsen's list-append workload: what the answers said is checked afterwards
against what is stored (`tests.faults.lists`).
"""

from __future__ import annotations

import http.client
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bson import ObjectId

from tests.support import JSON_PATCH, Answer, Client

CLIENT_PATIENCE = 60.0
"""Seconds after which a client gives a server up; no test may come near it."""


class Outcome(Enum):
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(kw_only=True, slots=True)
class Note:
    """What one client was told of one element, or of one read (`element` is None).

    `version` is that of the answer's ETag, `told` the list in its body.
    """

    kind: str
    document: str
    element: str | None
    outcome: Outcome
    status: int | None
    version: int | None
    told: list[str] | None
    begun: float
    ended: float
    retry_after: str | None = None

    @property
    def seconds(self) -> float:
        return self.ended - self.begun


Request = tuple[str, str, str, str | None, dict[str, Any]]


class Load:
    """Some clients, each a thread with connections of its own, for the length of a `with` block.

    Args:
        ports: gives the ports of the servers that are there now; a client sends to any of them.
        documents: the ids of the lists to which they append.
        clients: how many.
        mix: how often each kind of request is sent: 'patch', 'put' (with If-Match, after a GET),
            'post' (a document of its own, with an id of its own, repeated when the outcome is
            not known), 'clash' (a POST of a name that is taken).
        prefix: of the servers' routes.
    """

    MIX = {"patch": 14, "put": 3, "post": 2, "clash": 1}

    def __init__(
        self,
        ports: Callable[[], Sequence[int]],
        documents: Sequence[str],
        *,
        clients: int = 8,
        mix: dict[str, int] | None = None,
        prefix: str = "",
        seed: int = 0,
    ) -> None:
        self._prefix = prefix
        self.notes: list[Note] = []
        self._ports = ports
        self._documents = list(documents)
        self._mix = mix or self.MIX
        self._stop = threading.Event()
        self._numbers = itertools.count()
        self._tag = ObjectId()
        self._failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._client, args=(random.Random(f"{seed} {n}"),), daemon=True)
            for n in range(clients)
        ]

    def __enter__(self) -> Load:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def stop(self) -> None:
        """Let each client end its request, and wait for it.  Raises what a client met."""
        self._stop.set()
        for each in self._threads:
            each.join(2 * CLIENT_PATIENCE)
        assert not any(each.is_alive() for each in self._threads), "A client hangs."
        for failure in self._failures:
            raise failure

    # What it came to -------------------------------------------------------------------------

    @property
    def counts(self) -> Counter[str]:
        """How many writes had each outcome."""
        return Counter(each.outcome.value for each in list(self.notes) if each.element)

    @property
    def statuses(self) -> Counter[int | None]:
        """How many answers had each status; None is a lost connection."""
        return Counter(each.status for each in self.notes)

    @property
    def acknowledged(self) -> int:
        return self.counts[Outcome.ACKNOWLEDGED.value]

    @property
    def slowest(self) -> float:
        """Seconds that the slowest request took."""
        return max((each.seconds for each in self.notes), default=0.0)

    def more(self, number: int) -> Callable[[], bool]:
        """A condition: so many more writes than now have been acknowledged."""
        goal = self.acknowledged + number
        return lambda: self.acknowledged >= goal or bool(self._failures)

    # A client --------------------------------------------------------------------------------

    def _client(self, chance: random.Random) -> None:
        try:
            connections: dict[int, Client] = {}
            kinds, weights = list(self._mix), list(self._mix.values())
            while not self._stop.is_set():
                (kind,) = chance.choices(kinds, weights)
                port = self._port(chance)
                if port is not None:
                    client = connections.get(port) or Client(port, CLIENT_PATIENCE)
                    connections[port] = client
                    getattr(self, f"_{kind}")(client, chance)
            for each in connections.values():
                each.close()
        except BaseException as error:
            self._failures.append(error)

    def _port(self, chance: random.Random) -> int | None:
        """A server, as soon as there is one; None when the load ends first."""
        while not self._stop.is_set():
            ports = self._ports()
            if ports:
                return chance.choice(list(ports))
            self._stop.wait(0.01)
        return None

    def _patch(self, client: Client, chance: random.Random) -> None:
        document, element = chance.choice(self._documents), self._element()
        body = [{"op": "add", "path": "/log/-", "value": element}]
        headers = {"Content-Type": JSON_PATCH}
        request = ("patch", "PATCH", document, element, {"json": body, "headers": headers})
        self._note(client, request)

    def _put(self, client: Client, chance: random.Random) -> None:
        document, element = chance.choice(self._documents), self._element()
        read = self._note(client, ("get", "GET", document, None, {}))
        if read.version is None or read.told is None:
            return
        options = {
            "json": {"log": [*read.told, element]},
            "headers": {"If-Match": f'"{read.version}"'},
        }
        self._note(client, ("put", "PUT", document, element, options))

    def _post(self, client: Client, chance: random.Random) -> None:
        """Repeated until the answer says whether it is there, as the contract invites to."""
        document, element = str(ObjectId()), self._element()
        body = {"id": document, "name": element, "log": [element]}
        request = ("post", "POST", document, element, {"json": body})
        note = self._note(client, request)
        while note.outcome is Outcome.UNKNOWN and not self._stop.is_set():
            if not self._ports():
                self._stop.wait(0.01)
                continue
            note = self._note(client, request)
            if note.status == 409:
                note.outcome = Outcome.ACKNOWLEDGED

    def _clash(self, client: Client, chance: random.Random) -> None:
        element = self._element()
        body = {"name": f"list {chance.choice(self._documents)}", "log": [element]}
        self._note(client, ("clash", "POST", "", element, {"json": body}))

    def _element(self) -> str:
        return f"{self._tag} {next(self._numbers)}"

    def _note(self, client: Client, request: Request) -> Note:
        kind, method, document, element, options = request
        path = f"{self._prefix}/page/" + ("" if method == "POST" else f"{document}/")
        begun = time.monotonic()
        answer: Answer | None = None
        outcome = Outcome.UNKNOWN
        try:
            answer = client.request(method, path, **options)
            outcome = outcome_of(answer.status)
        except ConnectionRefusedError:
            outcome = Outcome.REFUSED  # it was never sent
            client.close()
            self._stop.wait(0.01)
        except (OSError, http.client.HTTPException):
            client.close()
        succeeded = answer is not None and answer.status < 300
        note = Note(
            kind=kind,
            document=document,
            element=element,
            outcome=outcome,
            status=None if answer is None else answer.status,
            version=_version(answer) if succeeded else None,
            told=answer.json.get("log", []) if answer is not None and succeeded else None,
            begun=begun,
            ended=time.monotonic(),
            retry_after=None if answer is None else answer.headers.get("Retry-After"),
        )
        self.notes.append(note)
        return note


def outcome_of(status: int) -> Outcome:
    if status < 300:
        return Outcome.ACKNOWLEDGED
    return Outcome.REFUSED if status < 500 else Outcome.UNKNOWN


def _version(answer: Answer | None) -> int | None:
    tag = None if answer is None else answer.etag
    return None if tag is None else int(tag.strip('"'))


@contextmanager
def in_parallel(*functions: Callable[[], Any]) -> Iterator[list[Any]]:
    """What functions return that run in threads of their own; there after the block."""
    results: list[Any] = [None] * len(functions)

    def run(number: int) -> None:
        results[number] = functions[number]()

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(len(functions))]
    for each in threads:
        each.start()
    yield results
    for each in threads:
        each.join(CLIENT_PATIENCE)
