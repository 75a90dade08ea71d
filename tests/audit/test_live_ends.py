"""Where live streams end, and where there are none; and that a restart loses nothing."""

from __future__ import annotations

from mongoengine import Document, StringField

from bzz import MongoEngineRestHandler, flatten
from bzz.audit import Auditor
from tests.audit.sse import Stream
from tests.house import built, own_registry
from tests.support import Server


def served(house, **options):
    return Server(flatten([house.routes(), house.auditor.routes()]), **options)


def test_streams_end_with_the_auditor(database):
    with built() as house:
        house.track()
        with served(house) as server, Stream(server.port, "/history/") as stream:
            house.auditor.close()
            assert [None] == [told.data for told in stream.blocks()]


def test_without_positions_there_are_no_streams(mock_database):
    with own_registry():

        class Cat(Document):
            name = StringField()

        auditor = Auditor()
        routes = MongoEngineRestHandler.routes_for("mongoengine", Cat, audit=auditor)
        with Server(flatten([routes, auditor.routes()])) as server:
            with Stream(server.port, "/history/") as stream:
                assert 500 == stream.status
                assert "mongomock has none; use a real MongoDB" in stream.problem["detail"]
            server.take_errors()


def test_who_comes_back_after_a_restart_gets_each_event_once(database):
    with built(work=True) as house:
        house.track()

        def make(first):
            for number in range(first, first + 5):
                house.make(name=f"u{number}")

        with served(house) as server, Stream(server.port, "/history/") as stream:
            make(0)
            seen = stream.take(5)
        make(5)
        with served(house) as server, Stream(server.port, "/history/", stream.last) as again:
            make(10)
            seen += again.take(10)

        assert list(range(1, 16)) == [each["position"] for each in seen]
        house.auditor.close()
