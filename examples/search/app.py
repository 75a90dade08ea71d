"""Articles, and a search that a subscription keeps.  README.md beside it says what to try."""

import asyncio
import contextlib
import os
import re
from collections import Counter

import tornado.web
from mongoengine import Document, StringField, connect, get_db

from bzz import MongoEngineRestHandler, embedded
from bzz.audit import Auditor, from_header

PORT = int(os.environ.get("PORT", "8888"))
WORDS = "search_words"
SHOWN = 20


class Article(Document):
    """What is searched."""

    slug = StringField(primary_key=True)
    title = StringField(required=True)
    text = StringField(default="")


# The web process only writes; `python -m bzz worker` runs the subscription.
auditor = Auditor(actor=from_header("X-User"), work=False)
auditor.track(Article)


def words_of(text: str) -> list[str]:
    """The words of a text, as they are found."""
    return re.findall(r"\w+", text.casefold())


@auditor.subscribe("search", model=Article, start="first")
def index(event, ctx):
    """Put the words of an article as the event left it in the place of those it had.

    What is written through `ctx` is stored in one transaction with the place that the
    subscription has reached: nobody finds half an article, whenever the worker dies.
    """
    found = ctx.collection(WORDS)
    found.delete_many({"article": event.document})
    if event.gone:
        return
    # Not the live document: that may be a later one, and a rebuild gets to it by itself.
    article = auditor.history(Article, event.document).state_at(event.version)
    times = Counter(words_of(f"{article['title']} {article['text']}"))
    found.insert_many(
        {"word": word, "article": event.document, "times": count} for word, count in times.items()
    )


def make_index(collection: str) -> None:
    """A transaction makes no indexes.  Were an article in it twice, this one would refuse it."""
    words = get_db()[collection]
    words.create_index([("word", 1), ("article", 1)], unique=True)
    words.create_index("article")


def search(text: str) -> list[dict[str, object]]:
    """The articles that have all words of a text, those that have them most often first."""
    wanted = sorted(set(words_of(text)))
    stages = [
        {"$match": {"word": {"$in": wanted}}},
        {"$group": {"_id": "$article", "words": {"$sum": 1}, "times": {"$sum": "$times"}}},
        {"$match": {"words": len(wanted)}},
        {"$sort": {"times": -1, "_id": 1}},
        {"$limit": SHOWN},
    ]
    return [
        {"id": each["_id"], "times": each["times"]} for each in get_db()[WORDS].aggregate(stages)
    ]


class Search(tornado.web.RequestHandler):
    """`/search?q=…`"""

    async def get(self) -> None:
        """What is found, in the form of bzz's own lists."""
        self.write({"items": await asyncio.to_thread(search, self.get_query_argument("q"))})


def prepare() -> None:
    """Make what is missing, and give articles from before the audit an event to be found by."""
    make_index(WORDS)
    auditor.prepare()
    auditor.adopt(Article)  # passes over those that have a history


def for_worker() -> Auditor:
    """The auditor of a worker: `python -m bzz worker app:for_worker`, with MONGODB_URI set."""
    connect("search", host=os.environ["MONGODB_URI"])
    prepare()
    return auditor


async def main() -> None:
    """Serve until Ctrl-C."""
    with embedded.database("search-data") as uri:
        connect("search", host=uri)
        await asyncio.to_thread(prepare)
        routes = MongoEngineRestHandler.routes_for("mongoengine", Article, audit=auditor)
        application = tornado.web.Application([*routes, (r"/search/?", Search)])
        application.listen(PORT, "127.0.0.1")
        print(f"Articles: http://127.0.0.1:{PORT}/article/", flush=True)
        print(f"Worker:   MONGODB_URI='{uri}' python -m bzz worker app:for_worker", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
