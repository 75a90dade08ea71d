"""The example of a search index: found after every write, right after a kill, and rebuilt."""

from __future__ import annotations

import re
from functools import partial
from types import SimpleNamespace

import pymongo
import pytest

from tests.examples.running import EXAMPLES, free_port, new_database, started, wait_for
from tests.support import Client, wait_until

FOLDER = EXAMPLES / "search"
WHY = {"X-Audit-Reason": "a test"}
soon = partial(wait_until, seconds=60)  # a worker is a process, and takes a lease


@pytest.fixture
def service(mongod_uri, tmp_path):
    """The web process, running on a database with an article from before the audit."""
    port = free_port()
    with (
        new_database(mongod_uri) as uri,
        pymongo.MongoClient(uri) as mongo,
    ):
        database = mongo.get_default_database()
        old = {"_id": "old", "title": "Old", "text": "was here before"}
        database.article.insert_one(old)
        with started(FOLDER / "app.py", folder=tmp_path, PORT=port, MONGODB_URI=uri) as process:
            wait_for(port, process)
            client = Client(port)
            yield SimpleNamespace(client=client, database=database, uri=uri)
            client.close()


def worker(service):
    """A worker in a process of its own, as the README tells to start it."""
    arguments = "-m", "bzz", "worker", "app:for_worker"
    return started(*arguments, folder=FOLDER, MONGODB_URI=service.uri)


def write(service, slug, text):
    """Create an article, or change its text."""
    found = service.client.get(f"/article/{slug}/").status == 200
    if found:
        answer = service.client.patch(f"/article/{slug}/", {"text": text})
    else:
        answer = service.client.post("/article/", {"slug": slug, "title": slug, "text": text})
    assert answer.status in (200, 201)


def found(service, words):
    return [each["id"] for each in service.client.get(f"/search?q={words}").json["items"]]


def indexed(service):
    """The index as it is: how often each word is in each article."""
    rows = service.database.search_words.find()
    return sorted((each["article"], each["word"], each["times"]) for each in rows)


def expected(service):
    """The index as it has to be, of the articles as they are stored."""
    rows = {}
    for each in service.database.article.find():
        for word in re.findall(r"\w+", f"{each['title']} {each['text']}".casefold()):
            key = each["_id"], word
            rows[key] = rows.get(key, 0) + 1
    return sorted((*key, times) for key, times in rows.items())


def delivered(service):
    """How many events the subscription has dealt with."""
    found = service.database.bzz_subscriptions.find_one({"_id": "search"})
    return 0 if found is None else found["p"]


def test_an_article_is_found_after_each_kind_of_write(service):
    with worker(service):
        soon(lambda: found(service, "before") == ["old"])  # it has an event by adopt

        write(service, "tea", "grows on hills")
        soon(lambda: found(service, "hills") == ["tea"])

        write(service, "tea", "likes rain")
        soon(lambda: found(service, "rain+tea") == ["tea"])
        assert [] == found(service, "hills")

        service.client.delete("/article/tea/")
        soon(lambda: found(service, "rain") == [])

        service.client.post("/article/tea/history/1/restore/", {}, headers=WHY)
        soon(lambda: found(service, "hills") == ["tea"])


def test_articles_with_all_words_are_found_those_that_have_them_most_often_first(service):
    with worker(service):
        write(service, "a", "tea rain")
        write(service, "b", "tea rain rain")
        write(service, "c", "tea")

        soon(lambda: found(service, "Rain+TEA") == ["b", "a"])


def test_the_index_is_right_after_its_worker_was_killed(service):
    texts = ["one two three", "two three four four", "five"]
    with worker(service) as process:
        soon(lambda: delivered(service) >= 1)
        for number in range(60):
            write(service, f"article-{number % 20}", texts[number % 3])
            if number == 40:
                process.kill()
                process.wait()
    service.client.delete("/article/article-7/")
    service.client.post("/article/article-8/history/1/restore/", {}, headers=WHY)
    assert expected(service) != indexed(service)

    with worker(service):
        soon(lambda: indexed(service) == expected(service))


def test_a_rebuild_makes_the_same_index_and_is_switched_to_under_way(service):
    with worker(service):
        for number in range(9):
            write(service, f"article-{number % 3}", f"text number {number}")
        soon(lambda: indexed(service) == expected(service))
        before = indexed(service)
        service.database.search_words.insert_one({"word": "wrong", "article": "x", "times": 1})

        with started("rebuild.py", folder=FOLDER, MONGODB_URI=service.uri) as process:
            told, trouble = process.communicate(timeout=60)

        assert (0, "Rebuilt from 10 events.\n") == (process.returncode, told), trouble
        assert before == indexed(service)
        assert "search_words_fresh" not in service.database.list_collection_names()
        write(service, "article-0", "came later")
        soon(lambda: found(service, "later") == ["article-0"])
