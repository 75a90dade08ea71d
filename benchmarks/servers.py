"""The servers that `rest.py` compares: `python benchmarks/servers.py KIND URI`.

Serves one kind (bzz, by hand, plain) on a free port, prints it, and ends with standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pymongo
import tornado.httpserver
import tornado.netutil
import tornado.web
from bson import ObjectId
from mongoengine import (
    Document,
    EmbeddedDocument,
    EmbeddedDocumentField,
    IntField,
    ListField,
    StringField,
    connect,
)
from pymongo.write_concern import WriteConcern

from bzz import MongoEngineRestHandler
from bzz.audit import Auditor


def serve(kind: str, uri: str) -> None:
    """Serve one kind on a free port, say where, and end with standard input."""
    routes = bzz_routes(uri) if kind == "bzz" else hand_routes(uri, history=kind == "by hand")

    async def main() -> None:
        sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
        server = tornado.httpserver.HTTPServer(
            tornado.web.Application(routes, log_function=lambda handler: None)
        )
        server.add_sockets(sockets)
        print(sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.buffer.read)

    asyncio.run(main())


def bzz_routes(uri: str) -> list[Any]:
    """The routes of the audited model."""

    class Address(EmbeddedDocument):
        street = StringField()
        city = StringField()

    class User(Document):
        name = StringField(required=True)
        age = IntField()
        tags = ListField(StringField())
        address = EmbeddedDocumentField(Address)

    connect("bench_bzz", host=uri)
    auditor = Auditor(actor=lambda handler: handler.request.headers.get("X-User"))
    routes = MongoEngineRestHandler.routes_for("mongoengine", User, audit=auditor)
    auditor.prepare()
    return list(routes)


def hand_routes(uri: str, *, history: bool) -> list[Any]:
    """The same API, as far as it is measured, written by hand."""
    client: Any = pymongo.MongoClient(uri)
    database = client["bench_hand" if history else "bench_plain"]
    majority = WriteConcern("majority")
    users = database["user"] if history else database.get_collection("user", write_concern=majority)
    events = database["history"]
    events.create_index([("document", 1), ("version", 1)], unique=True)
    pool = ThreadPoolExecutor(16)

    def shown(user: dict[str, Any]) -> dict[str, Any]:
        return {"id": str(user["_id"]), **{k: v for k, v in user.items() if k[0] != "_"}}

    def event(
        before: dict[str, Any], after: dict[str, Any], facts: dict[str, Any], verb: str
    ) -> dict[str, Any]:
        changes = [
            {"field": name, "from": before.get(name), "to": after.get(name)}
            for name in {**before, **after}
            if name[0] != "_" and before.get(name) != after.get(name)
        ]
        return {
            "document": after["_id"],
            "version": after["_version"],
            "operation": verb,
            "time": datetime.now(UTC),
            **facts,
            "changes": changes,
        }

    def transact(work: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        with client.start_session() as session:
            return session.with_transaction(work, write_concern=majority)

    def update(key: ObjectId, values: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
        change = {"$set": values, "$inc": {"_version": 1}}

        def work(session: Any) -> dict[str, Any]:
            before = users.find_one_and_update({"_id": key}, change, session=session)
            after = {**before, **values, "_version": before["_version"] + 1}
            events.insert_one(event(before, after, facts, "updated"), session=session)
            return after

        if history:
            return transact(work)
        before = users.find_one_and_update({"_id": key}, change)
        return {**before, **values}

    def create(values: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
        user = {"_id": ObjectId(), **values, "_version": 1}

        def work(session: Any) -> dict[str, Any]:
            users.insert_one(user, session=session)
            events.insert_one(event({}, user, facts, "created"), session=session)
            return user

        if history:
            return transact(work)
        users.insert_one(user)
        return user

    def listed(key: ObjectId) -> list[dict[str, Any]]:
        return [
            {**each, "_id": str(each["_id"]), "document": str(key), "time": str(each["time"])}
            for each in events.find({"document": key}).sort("version", -1).limit(20)
        ]

    def past(key: ObjectId, version: int) -> dict[str, Any]:
        state: dict[str, Any] = {"_id": key}
        for each in events.find({"document": key, "version": {"$lte": version}}).sort("version", 1):
            for change in each["changes"]:
                state[change["field"]] = change["to"]
        return state

    class Handler(tornado.web.RequestHandler):
        async def off(self, function: Callable[..., Any], *args: Any) -> Any:
            return await asyncio.get_running_loop().run_in_executor(pool, function, *args)

        def facts(self) -> dict[str, Any]:
            """Who writes, in the course of what: what bzz keeps of a request as well."""
            request = self.request
            return {
                "actor": request.headers.get("X-User"),
                "correlation": request.headers.get("X-Request-ID") or uuid.uuid4().hex,
                "request": {
                    "method": request.method,
                    "path": request.path,
                    "address": request.remote_ip,
                },
            }

        async def get(self, key: str) -> None:
            user = await self.off(users.find_one, {"_id": ObjectId(key)})
            self.set_header("Etag", f'"{user["_version"]}"')
            self.write(shown(user))

        async def put(self, key: str) -> None:
            values = json.loads(self.request.body)
            user = await self.off(update, ObjectId(key), values, self.facts())
            self.set_header("Etag", f'"{user["_version"]}"')
            self.write(shown(user))

        async def post(self, *_: str) -> None:
            values = json.loads(self.request.body)
            user = await self.off(create, values, self.facts())
            self.set_status(201)
            self.set_header("Location", f"/user/{user['_id']}/")
            self.write(shown(user))

    class History(Handler):
        async def get(self, key: str, version: str = "") -> None:
            if version:
                self.write(shown(await self.off(past, ObjectId(key), int(version))))
            else:
                self.write({"items": await self.off(listed, ObjectId(key))})

    return [
        (r"/user/", Handler),
        (r"/user/(\w+)/", Handler),
        (r"/user/(\w+)/history/", History),
        (r"/user/(\w+)/history/(\d+)/", History),
    ]


if __name__ == "__main__":
    serve(*sys.argv[1:])
