"""Live streams and clients as they are: curl, a browser, and many that crash and come back."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager

import pytest
import tornado.web

from bzz import flatten
from tests.audit.sse import Stream
from tests.house import built
from tests.support import Server, wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PAGE = """<!doctype html><script>
const source = new EventSource("/history/?after=0");
source.onmessage = (message) => fetch("/seen", {method: "POST", body: JSON.stringify(
    {id: message.lastEventId, event: JSON.parse(message.data)})});
</script>"""


def routes(house):
    return flatten([house.routes(), house.auditor.routes()])


@contextmanager
def working():
    with built(work=True) as house:
        house.track()
        yield house
        house.auditor.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing: apt install curl")
def test_curl_follows_a_history(database):
    with working() as house, Server(routes(house)) as server:
        command = ["curl", "-sN", "-H", "Accept: text/event-stream"]
        url = f"http://127.0.0.1:{server.port}/history/?after=0"
        with subprocess.Popen([*command, url], stdout=subprocess.PIPE, text=True) as curl:
            house.make(name="Ana")
            lines = []
            while not lines or not lines[-1].startswith("data:"):
                lines.append(curl.stdout.readline())
            curl.terminate()

    assert "retry: 2000\n" == lines[0]
    assert lines[-2].startswith("id: 1-")
    assert 1 == json.loads(lines[-1].removeprefix("data:"))["position"]


class _Browser:
    """A page with an EventSource, and what it said that it saw."""

    def __init__(self, house):
        self.seen = seen = []
        self._house = house

        class Page(tornado.web.RequestHandler):
            def get(self):
                self.write(PAGE)

            def post(self):
                seen.append(json.loads(self.request.body))

        self._page = Page

    def server(self):
        return Server([*routes(self._house), ("/page", self._page), ("/seen", self._page)])

    @property
    def positions(self):
        return sorted(each["event"]["position"] for each in self.seen)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing: apt install chromium")
def test_the_eventsource_of_a_browser_follows_and_comes_back(database, tmp_path, monkeypatch):
    """Its connection is cut by the server's end; what it then asks for says what it knows."""
    with working() as house:
        browser = _Browser(house)
        with browser.server() as server:
            command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"]
            command += [f"--user-data-dir={tmp_path}", "--remote-debugging-port=0"]
            command.append(f"http://127.0.0.1:{server.port}/page")
            quiet = subprocess.DEVNULL
            with subprocess.Popen(command, stdout=quiet, stderr=quiet) as chromium:
                try:
                    for number in range(5):
                        house.make(name=f"u{number}")
                    wait_until(lambda: len(browser.seen) == 5, 60)
                    cut(house, server)
                    for number in range(5):
                        house.make(name=f"v{number}")
                    wait_until(lambda: len(browser.seen) >= 10, 60)
                finally:
                    chromium.terminate()

    assert list(range(1, 11)) == browser.positions
    epoch = house.auditor.seals.head().epoch
    assert {f"{each['event']['position']}-{epoch}" for each in browser.seen} == {
        each["id"] for each in browser.seen
    }


def cut(house, server):
    """End all streams of a server, as a proxy or a network would."""

    def leave():
        for row in house.auditor.audience._rows.values():
            for seat in tuple(row.seats):
                seat.leave()

    server.loop.call_soon_threadsafe(leave)


@pytest.mark.parametrize(
    ("writers", "each", "clients"),
    [
        pytest.param(16, 6, 3, id="short"),
        pytest.param(16, 700, 8, id="long", marks=pytest.mark.soak),
    ],
)
def test_beside_writers_each_client_gets_each_event_once_and_in_order(
    database, writers, each, clients
):
    """Transactions of two events with pauses in them; clients leave at random and come back."""
    total = writers * each * 2
    with working() as house, Server(routes(house)) as server:

        def write(number):
            for count in range(each):
                house.write(
                    lambda: [
                        house.User(name=f"{number}-{count}").save(),
                        time.sleep(random.uniform(0, 0.02)),
                        house.Team(name=f"{number}-{count}").save(),
                    ]
                )

        seen = [[] for _ in range(clients)]

        def follow(mine):
            last = None
            while len(mine) < total:
                with Stream(server.port, "/history/?after=0", last, timeout=60) as stream:
                    assert 200 == stream.status
                    for told, _ in zip(stream.blocks(), range(random.randint(1, 60))):
                        last = stream.last
                        if told.data is not None:
                            mine.append((told.data["position"], told.data["id"]))
                        if len(mine) == total:
                            break

        work = [threading.Thread(target=write, args=[number]) for number in range(writers)]
        work += [threading.Thread(target=follow, args=[mine]) for mine in seen]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join(600)
        stored = house.auditor.store._outside.find({"p": {"$gt": 0}}, sort=[("p", 1)])
        expected = [(event["p"], str(event["_id"])) for event in stored]

    assert total == len(expected)
    assert [expected] * clients == seen
